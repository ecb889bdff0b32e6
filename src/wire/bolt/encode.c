/* encode: Bolt frames that are not simply the bytes that came: heads that were edited, our own error
 * answers, heartbeats.
 *
 * Most calls never come here: a head that nobody edited leaves as its raw bytes, its id patched in place
 * (bolt.c). A head that was edited is written anew from its parts, and the content follows as it came:
 *
 *      fixed part | class | pairs | ... the body views of the decoder, CRC bytes included
 *                                                                       ^ XOR sp_bolt_crc_delta_head()
 *
 * An error of our own carries a status that makes a Java client throw the nearest of its own exceptions
 * (MOSN's choice, measured on Java clients): class, content and CRC are left out. Java looks at them for
 * status 0x02, 0x11 and 0x12 alone and takes their absence for "no more words"; a Hessian exception would
 * say more, but only to Java. The reason code goes into the header block, which Java ignores there and a
 * sidecar of ours reads.
 *
 * Heartbeats are those that were seen on real connections, byte for byte: codec 1, no CRC even in v2.
 *
 * It does not know where the bytes go, nor what the pairs mean. */
#include "wire/bolt/frame_impl.h"

#define REASON_NAME SP_STR("x-sampan-reason")

/* The fixed part, from parts. */
struct out_fixed {
    uint32_t k; /* 0: v1, 1: v2 */
    uint32_t ver1, type, cmd, id, codec, switches;
    uint32_t wait; /* timeout or status */
    uint32_t class_len, block_len, content_len;
};

static uint32_t fixed_bytes(const struct out_fixed *f)
{
    return SP_BOLT_FIXED(f->k) + (f->type == SP_BOLT_TYPE_RESPONSE ? 0 : 2);
}

static char *put_fixed(char *out, const struct out_fixed *f)
{
    out[0] = (char)(f->k + 1);
    if (f->k) {
        out[1] = (char)f->ver1;
        out[SP_BOLT_AT_SWITCH] = (char)f->switches;
    }
    out[SP_BOLT_AT_TYPE(f->k)] = (char)f->type;
    sp_bolt_put16(out + SP_BOLT_AT_CMD(f->k), f->cmd);
    out[SP_BOLT_AT_VER2(f->k)] = SP_BOLT_VER2;
    sp_bolt_put32(out + SP_BOLT_AT_ID(f->k), f->id);
    out[SP_BOLT_AT_CODEC(f->k)] = (char)f->codec;
    if (f->type == SP_BOLT_TYPE_RESPONSE)
        sp_bolt_put16(out + SP_BOLT_AT_WAIT(f->k), f->wait);
    else
        sp_bolt_put32(out + SP_BOLT_AT_WAIT(f->k), f->wait);
    char *lengths = out + fixed_bytes(f) - 8;
    sp_bolt_put16(lengths, f->class_len);
    sp_bolt_put16(lengths + 2, f->block_len);
    sp_bolt_put32(lengths + 4, f->content_len);
    return lengths + 8;
}

static char *put_bytes(char *out, const char *bytes, size_t len)
{
    if (len)
        memcpy(out, bytes, len);
    return out + len;
}

static char *put_pair(char *out, sp_str name, sp_str value)
{
    sp_bolt_put32(out, (uint32_t)name.len);
    out = put_bytes(out + 4, name.ptr, name.len);
    sp_bolt_put32(out, (uint32_t)value.len);
    return put_bytes(out + 4, value.ptr, value.len);
}

/* Kind to type and command; false for what Bolt has no frame for. */
static bool type_of(enum sp_msg kind, struct out_fixed *f)
{
    switch (kind) {
    case SP_MSG_REQUEST:
        f->type = SP_BOLT_TYPE_REQUEST;
        f->cmd = SP_BOLT_CMD_REQUEST;
        return true;
    case SP_MSG_ONEWAY:
        f->type = SP_BOLT_TYPE_ONEWAY;
        f->cmd = SP_BOLT_CMD_REQUEST;
        return true;
    case SP_MSG_RESPONSE:
        f->type = SP_BOLT_TYPE_RESPONSE;
        f->cmd = SP_BOLT_CMD_RESPONSE;
        return true;
    case SP_MSG_HEARTBEAT:
        f->type = SP_BOLT_TYPE_REQUEST;
        f->cmd = SP_BOLT_CMD_HEARTBEAT;
        return true;
    case SP_MSG_HEARTBEAT_ACK:
        f->type = SP_BOLT_TYPE_RESPONSE;
        f->cmd = SP_BOLT_CMD_HEARTBEAT;
        return true;
    case SP_MSG_GOAWAY:
        f->type = SP_BOLT_TYPE_REQUEST;
        f->cmd = SP_BOLT_CMD_GOAWAY;
        return true;
    case SP_MSG_INTERIM: return false;
    }
    return false;
}

/* Version, CRC and switch byte: as they were in the raw head, where there is one. */
static bool version_of(const struct sp_head *head, struct out_fixed *f)
{
    bool crc = head->flags & SP_HEAD_CRC;
    if (head->protocol == SP_PROTO_BOLT)
        return !crc;
    if (head->protocol != SP_PROTO_BOLT2)
        return false;
    f->k = 1;
    f->ver1 = crc ? 2 : head->proto_ver == 2 ? 2 : 1;
    f->switches = head->raw.len > SP_BOLT_AT_SWITCH && head->raw.ptr[0] == 2
                      ? (unsigned char)head->raw.ptr[SP_BOLT_AT_SWITCH] & 127u
                      : 0;
    if (f->ver1 == 2)
        f->switches = (f->switches & ~(uint32_t)SP_BOLT_SWITCH_CRC) | (crc ? SP_BOLT_SWITCH_CRC : 0);
    return true;
}

static sp_err lengths_of(const struct sp_head *head, struct out_fixed *f)
{
    uint32_t crc_len = sp_bolt_crc_bytes(head);
    if (head->body_bytes < crc_len)
        return SP_E_INVALID;
    uint64_t block_len = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (!(h->flags & SP_HEADER_HOP))
            block_len += 8 + (uint64_t)h->name_len + h->value_len;
    }
    if (head->class_name.len > SP_BOLT_FIELD_MAX || block_len > SP_BOLT_FIELD_MAX ||
        (uint64_t)head->body_bytes > SP_BOLT_FRAME_MAX - head->class_name.len - block_len)
        return SP_E_RANGE;
    f->class_len = (uint32_t)head->class_name.len;
    f->block_len = (uint32_t)block_len;
    f->content_len = (uint32_t)head->body_bytes - crc_len;
    return SP_OK;
}

ssize_t sp_bolt_encode_head(const struct sp_head *head, char *out, size_t room)
{
    struct out_fixed f = { .id = head->id, .codec = head->codec_id };
    if (!type_of((enum sp_msg)head->kind, &f) || !version_of(head, &f))
        return SP_E_INVALID;
    f.wait = f.type == SP_BOLT_TYPE_RESPONSE ? head->raw_status : (uint32_t)head->timeout_ms;
    sp_err err = lengths_of(head, &f);
    if (err)
        return err;
    size_t bytes = (size_t)fixed_bytes(&f) + f.class_len + f.block_len;
    if (bytes > room)
        return SP_E_LIMIT;

    char *at = put_bytes(put_fixed(out, &f), head->class_name.ptr, head->class_name.len);
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (!(h->flags & SP_HEADER_HOP))
            at = put_pair(at, sp_str_of(h->name, h->name_len), sp_str_of(h->value, h->value_len));
    }
    SP_ASSERT((size_t)(at - out) == bytes);
    return (ssize_t)bytes;
}

ssize_t sp_bolt_encode_error(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text,
                             bool last, char *out, size_t room)
{
    if (request->kind == SP_MSG_ONEWAY || request->kind == SP_MSG_RESPONSE ||
        request->kind == SP_MSG_HEARTBEAT_ACK || request->kind == SP_MSG_GOAWAY)
        return 0;
    if (request->protocol != SP_PROTO_BOLT && request->protocol != SP_PROTO_BOLT2)
        return SP_E_INVALID;
    reason_code = sp_str_upto(reason_code, 256); /* codes are words of ours; nothing longer is one */

    struct out_fixed f = { .type = SP_BOLT_TYPE_RESPONSE, .cmd = SP_BOLT_CMD_RESPONSE };
    f.k = request->protocol == SP_PROTO_BOLT2;
    f.ver1 = request->proto_ver == 2 ? 2 : 1;
    f.id = request->id;
    f.codec = request->codec_id;
    f.wait = sp_bolt_status_of(status, reason_code);
    f.block_len = reason_code.len ? (uint32_t)(8 + REASON_NAME.len + reason_code.len) : 0;
    size_t bytes = (size_t)fixed_bytes(&f) + f.block_len;
    if (bytes > room)
        return SP_E_LIMIT;

    char *at = put_fixed(out, &f);
    if (reason_code.len)
        put_pair(at, REASON_NAME, reason_code);
    return (ssize_t)bytes;
}

static ssize_t put_heartbeat(uint32_t k, const struct sp_head *like, uint32_t id, bool ack, char *out,
                             size_t room)
{
    struct out_fixed f = { .k = k, .cmd = SP_BOLT_CMD_HEARTBEAT, .id = id, .codec = SP_BOLT_CODEC_HESSIAN2 };
    f.type = ack ? SP_BOLT_TYPE_RESPONSE : SP_BOLT_TYPE_REQUEST;
    f.ver1 = like && like->proto_ver == 2 ? 2 : 1;
    f.wait = ack ? SP_BOLT_SUCCESS : UINT32_MAX; /* no answer is waited for by the peer's clock: -1 */
    if (fixed_bytes(&f) > room)
        return SP_E_LIMIT;
    return put_fixed(out, &f) - out;
}

ssize_t sp_bolt_encode_heartbeat1(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room)
{
    return put_heartbeat(0, like, id, ack, out, room);
}

ssize_t sp_bolt_encode_heartbeat2(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room)
{
    return put_heartbeat(1, like, id, ack, out, room);
}
