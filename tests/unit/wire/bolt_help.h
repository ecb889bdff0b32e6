/* bolt_help: what the tests of the Bolt codecs share: a decoder with its storage, and frames
 * made from parts. */
#ifndef SP_TESTS_WIRE_BOLT_HELP_H
#define SP_TESTS_WIRE_BOLT_HELP_H

#include "lib/golden.h"

#include "base/mem.h"
#include "wire/bolt/bolt.h"

struct rig {
    const struct sp_codec *codec;
    struct sp_codec_state state;
    struct sp_codec_limits limits;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_event ev;
};

static inline void rig_init(struct rig *rig, const struct sp_codec *codec)
{
    memset(rig, 0, sizeof *rig);
    rig->codec = codec;
    rig->head.headers = rig->headers;
    rig->head.header_cap = SP_HEADERS_MAX;
    rig->ev.head = &rig->head;
    codec->init(&rig->state, SP_ROLE_SERVER, &rig->limits);
}

static inline ssize_t rig_decode(struct rig *rig, const void *bytes, size_t len)
{
    return rig->codec->decode(&rig->state, sp_str_of(bytes, len), &rig->ev);
}

static inline const struct sp_codec *codec_of(const unsigned char *frame)
{
    return frame[0] == 2 ? &sp_bolt2_codec : &sp_bolt_codec;
}

/* A frame from parts; what is not said is 0. v2 when proto is 2. */
struct parts {
    unsigned proto, ver1, type, cmd, codec, switches;
    uint32_t id, wait;
    const char *class_name;
    const void *block, *content;
    size_t block_len, content_len;
    bool crc;
};

static inline size_t put_number(unsigned char *out, size_t at, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        out[at + i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

static inline size_t put_part(unsigned char *out, size_t at, const void *bytes, size_t len)
{
    if (len)
        memcpy(out + at, bytes, len);
    return at + len;
}

static inline size_t make_frame(unsigned char *out, const struct parts *p)
{
    size_t at = put_number(out, 0, 1, p->proto);
    size_t class_len = p->class_name ? strlen(p->class_name) : 0;
    if (p->proto == 2)
        at = put_number(out, at, 1, p->ver1);
    at = put_number(out, at, 1, p->type);
    at = put_number(out, at, 2, p->cmd);
    at = put_number(out, at, 1, 1);
    at = put_number(out, at, 4, p->id);
    at = put_number(out, at, 1, p->codec);
    if (p->proto == 2)
        at = put_number(out, at, 1, p->switches);
    at = put_number(out, at, p->type ? 4 : 2, p->wait);
    at = put_number(out, at, 2, (uint32_t)class_len);
    at = put_number(out, at, 2, (uint32_t)p->block_len);
    at = put_number(out, at, 4, (uint32_t)p->content_len);
    at = put_part(out, at, p->class_name, class_len);
    at = put_part(out, at, p->block, p->block_len);
    at = put_part(out, at, p->content, p->content_len);
    if (p->crc)
        at = put_number(out, at, 4, sp_bolt_crc(0, sp_str_of(out, at)));
    return at;
}

/* One pair behind `at`. */
static inline size_t put_pair(unsigned char *out, size_t at, const char *name, const char *value)
{
    at = put_number(out, at, 4, (uint32_t)strlen(name));
    at = put_part(out, at, name, strlen(name));
    at = put_number(out, at, 4, (uint32_t)strlen(value));
    return put_part(out, at, value, strlen(value));
}

static inline void check_text(sp_str have, const char *want)
{
    if (!sp_str_eq(have, sp_str_c(want)))
        fail_msg("have \"%.*s\", want \"%s\"", SP_STR_ARG(have), want);
}

#endif
