/* wire_bolt: any bytes to the Bolt decoders. The first byte says how the rest is cut into reads.
 *
 * Held against: the same bytes in one read (what comes out may not depend on the cuts, nor on the state
 * moving to another process between any two reads); a plain second reader of the header block, written from
 * the words of the format; and the encoder, whose bytes must mean the same, with a CRC that is true if and
 * only if it was true before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/bolt/bolt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    uint64_t hash; /* of all bytes that came out, in order, with what they were */
    uint64_t used;
    unsigned heads, ends;
    ssize_t result; /* the last call's */
    bool idle;
};

struct pair {
    const uint8_t *name, *value;
    uint32_t name_len, value_len;
};

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static void mix(struct run *run, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        run->hash = (run->hash ^ p[i]) * 0x100000001b3u;
}

static uint32_t number(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The pairs that count, in the order of their first appearance; -1 when the block is broken. */
static int read_pairs(const uint8_t *p, size_t len, struct pair *pairs)
{
    int count = 0;
    for (size_t at = 0; at < len;) {
        struct pair pair = { 0 };
        for (int half = 0; half < 2; half++) {
            if (len - at < 4)
                return -1;
            uint32_t n = number(p + at);
            at += 4;
            if (n != UINT32_MAX && n > len - at)
                return -1;
            const uint8_t *bytes = n == UINT32_MAX ? NULL : p + at;
            n = n == UINT32_MAX ? 0 : n;
            at += n;
            *(half ? &pair.value : &pair.name) = bytes;
            *(half ? &pair.value_len : &pair.name_len) = n;
        }
        if (!pair.name || !pair.value)
            continue;
        int i = 0;
        while (i < count &&
               (pairs[i].name_len != pair.name_len || memcmp(pairs[i].name, pair.name, pair.name_len)))
            i++;
        if (i == SP_HEADERS_MAX)
            return -1;
        pairs[i] = pair;
        count += i == count;
    }
    return count;
}

static void check_pairs(const struct sp_head *head)
{
    struct pair pairs[SP_HEADERS_MAX];
    size_t block_len = 0, fixed = head->protocol == SP_PROTO_BOLT2 ? 22 : 20;
    const uint8_t *raw = (const uint8_t *)head->raw.ptr;
    fixed += head->kind == SP_MSG_RESPONSE || head->kind == SP_MSG_HEARTBEAT_ACK ? 0 : 2;
    block_len = head->raw.len - fixed - head->class_name.len;
    int count = read_pairs(raw + fixed + head->class_name.len, block_len, pairs);
    must(count == (int)head->header_count, "as many pairs as a plain reader finds");
    for (int i = 0; i < count; i++) {
        const struct sp_header *h = &head->headers[i];
        must(h->name_len == pairs[i].name_len && h->value_len == pairs[i].value_len &&
                 memcmp(h->name, pairs[i].name, h->name_len) == 0 &&
                 memcmp(h->value, pairs[i].value, h->value_len) == 0,
             "the pairs that a plain reader finds");
        must(h->id == sp_hdr_of(sp_str_of(h->name, h->name_len), false), "the name's number");
    }
}

/* The head of a frame that is wholly there, sent on: patched in place, and encoded anew. */
static void check_forward(const struct sp_codec *codec, const struct sp_event *ev)
{
    const struct sp_head *head = ev->head;
    size_t len = head->raw.len + ev->body.len;
    char *frame = malloc(len), *out = malloc(len + 8);
    memcpy(frame, head->raw.ptr, len);
    bool crc = head->flags & SP_HEAD_CRC;
    bool was_true = crc && sp_bolt_crc_ok(sp_str_of(frame, len));

    struct sp_head copy = *head;
    copy.raw.ptr = frame;
    uint32_t delta = codec->patch(&copy, head->id ^ 0x5a5a, 77);
    codec->fix(frame + head->raw.len, ev->body.len, 0, delta);
    must(!crc || sp_bolt_crc_ok(sp_str_of(frame, len)) == was_true, "a patch keeps the CRC's truth");

    copy.raw = head->raw;
    copy.id = head->id + 1;
    ssize_t n = codec->encode_head(&copy, out, len);
    must(n > 0 && (size_t)n <= head->raw.len, "a head never grows by itself");
    delta = codec->delta(&copy, sp_str_of(out, (size_t)n));
    if (ev->body.len)
        memcpy(out + n, ev->body.ptr, ev->body.len);
    codec->fix(out + n, ev->body.len, 0, delta);
    must(!crc || sp_bolt_crc_ok(sp_str_of(out, (size_t)n + ev->body.len)) == was_true,
         "encoding keeps the CRC's truth");

    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head again = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_event second = { .head = &again };
    struct sp_codec_state state;
    codec->init(&state, SP_ROLE_CLIENT, NULL);
    must(codec->decode(&state, sp_str_of(out, (size_t)n + ev->body.len), &second) ==
             n + (ssize_t)ev->body.len,
         "what is encoded can be decoded");
    must(second.end && again.kind == head->kind && again.id == head->id + 1 &&
             again.header_count == head->header_count &&
             again.flags == (head->flags & ~(uint32_t)SP_HEAD_EDITED) &&
             again.timeout_ms == head->timeout_ms && again.raw_status == head->raw_status &&
             sp_str_eq(again.service, head->service) && sp_str_eq(again.method, head->method) &&
             sp_str_eq(again.class_name, head->class_name),
         "and means the same");
    free(frame);
    free(out);
}

static void take(struct run *run, const struct sp_codec *codec, const struct sp_event *ev, bool deep)
{
    if (ev->kind == SP_EVENT_HEAD) {
        run->heads++;
        mix(run, ev->head->raw.ptr, ev->head->raw.len);
        mix(run, &ev->head->flags, sizeof ev->head->flags);
        mix(run, &ev->head->header_count, sizeof ev->head->header_count);
        if (deep)
            check_pairs(ev->head);
        if (deep && ev->end)
            check_forward(codec, ev);
    }
    mix(run, ev->body.ptr, ev->body.len);
    run->ends += ev->end;
}

/* Reads of 1 .. `most` bytes, by a small generator from `cuts`; 0 = all at once. */
static struct run feed(const struct sp_codec *codec, const uint8_t *bytes, size_t len, unsigned cuts)
{
    struct run run = { .hash = 1 };
    struct sp_codec_limits limits = { .body_bytes = 1 << 20 };
    struct sp_codec_state state;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_event ev = { .head = &head };
    size_t there = cuts ? 0 : len;
    unsigned next = cuts;

    codec->init(&state, SP_ROLE_SERVER, &limits);
    for (;;) {
        size_t have = there - run.used;
        uint8_t *copy = malloc(have ? have : 1);
        memcpy(copy, bytes + run.used, have);
        run.result = codec->decode(&state, sp_str_of(copy, have), &ev);
        if (run.result > 0)
            take(&run, codec, &ev, cuts == 0);
        free(copy);
        if (run.result < 0)
            break;
        must((size_t)run.result <= have, "no more is used than there is");
        run.used += (size_t)run.result;
        if (run.result == 0 && there == len)
            break;
        if (run.result == 0) {
            next = next * 1103515245 + 12345;
            there = SP_MIN(len, there + 1 + (next >> 16) % (1 + cuts % 40));
        }
        uint8_t kept[SP_CODEC_STATE_BYTES];
        codec->save(&state, kept);
        memset(&state, 0xa5, sizeof state);
        must(codec->load(&state, kept, &limits) == SP_OK, "a saved state can be loaded");
    }
    run.idle = codec->is_idle(&state);
    must(codec->finish(&state, &ev) < 0 || run.idle, "only an idle connection ends well");
    return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size = SP_MIN(size, 16384); /* reads of one byte copy what waits each time */
    const struct sp_codec *codec = data[1] == 2 ? &sp_bolt2_codec : &sp_bolt_codec;
    struct run whole = feed(codec, data + 1, size - 1, 0);
    struct run cut = feed(codec, data + 1, size - 1, data[0] + 1u);
    must(whole.hash == cut.hash && whole.heads == cut.heads && whole.ends == cut.ends &&
             whole.result == cut.result && whole.idle == cut.idle && whole.used == cut.used,
         "the same, however it is cut");

    /* Any bytes as a saved state: refused, or saved as they were loaded. */
    struct sp_codec_state state;
    uint8_t back[SP_CODEC_STATE_BYTES];
    if (size > codec->save_bytes && codec->load(&state, data + 1, NULL) == SP_OK) {
        codec->save(&state, back);
        must(memcmp(back, data + 1, codec->save_bytes) == 0, "loaded and saved the same");
    }
    return 0;
}
