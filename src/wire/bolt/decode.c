/* decode: bytes of a Bolt connection to events.
 *
 * A frame says all its lengths in its first 20 to 24 bytes, so decoding is: wait for these, believe nothing
 * in them, wait for class and header block, walk the pairs of the block once, and let the content pass.
 *
 *              20..24 bytes       class + header block       content (+ CRC)
 *      HEAD ---------------> need ---------------------> HEAD event ---------> DATA events ---> HEAD
 *         \__ a frame that is wholly there goes from HEAD to HEAD in one event ____________________/
 *
 * Both roles decode requests and responses: a Bolt server may call its client on the same connection.
 *
 * What two readers could understand in two ways is refused, or leaves in the one way that all understand:
 * Java reads class and header lengths as signed shorts and adds all lengths in an int, so from 2^15 and
 * 2^31 on it would see another frame than we do. Its header reader drops pairs with a null and keeps the
 * last of a name; MOSN's shifts the pairing at a null and keeps them all. Such a block is read as Java reads
 * it and the head marked as edited, so that it is written anew from the pairs that count.
 *
 * Speed is the point of the shape. The golden request of SOFARPC has 12 pairs; the loop over them has one
 * length compare for each length, one switch over the name's length, and one probe of a small bit set to
 * know that a name is new. Comparing each name with all before it cost twice the rest of the loop.
 *
 * It does not know what a service is, whether an id is outstanding, or who reads the content. */
#include "wire/bolt/frame_impl.h"

/* The numbers of a frame's fixed part. */
struct fixed {
    uint32_t bytes; /* of the fixed part itself */
    uint32_t type, cmd;
    uint32_t class_len, block_len, content_len, crc_len;
};

static inline void nothing(struct sp_event *ev)
{
    ev->kind = SP_EVENT_NONE;
    ev->end = false;
    ev->trailers = false;
    ev->body = SP_STR_NULL;
}

static ssize_t broken(struct sp_bolt_state *s, struct sp_event *ev, sp_err err, uint16_t status,
                      const char *why)
{
    s->phase = SP_BOLT_BROKEN;
    nothing(ev);
    ev->why = why;
    ev->status = status;
    return err;
}

static ssize_t want(struct sp_bolt_state *s, size_t bytes)
{
    s->need = (uint32_t)bytes;
    return 0;
}

static bool is(const char *name, const char *word, size_t len)
{
    return memcmp(name, word, len) == 0;
}

/* The names that somebody looks at in RPC calls, as sp_hdr_of(name, false) knows them; one compare at most
 * for most lengths. */
static inline enum sp_hdr name_id(const char *name, size_t len)
{
    switch (len) {
    case 3: return is(name, "app", 3) ? SP_HDR_SOFA_APP : SP_HDR_OTHER;
    case 7: return is(name, "service", 7) ? SP_HDR_SOFA_SERVICE : SP_HDR_OTHER;
    case 10: return is(name, "tracestate", 10) ? SP_HDR_TRACESTATE : SP_HDR_OTHER;
    case 11: return is(name, "traceparent", 11) ? SP_HDR_TRACEPARENT : SP_HDR_OTHER;
    case 12: return is(name, "x-request-id", 12) ? SP_HDR_X_REQUEST_ID : SP_HDR_OTHER;
    case 20: return is(name, "sofa_head_target_app", 20) ? SP_HDR_SOFA_TARGET_APP : SP_HDR_OTHER;
    case 21: return is(name, "sofa_head_method_name", 21) ? SP_HDR_SOFA_METHOD : SP_HDR_OTHER;
    case 24:
        return is(name, "sofa_head_target_service", 24)   ? SP_HDR_SOFA_SERVICE
               : is(name, "sofa_head_response_error", 24) ? SP_HDR_SOFA_ERROR
                                                          : SP_HDR_OTHER;
    case 27: return is(name, "rpc_trace_context.sofaRpcId", 27) ? SP_HDR_SOFA_RPC_ID : SP_HDR_OTHER;
    case 29: return is(name, "rpc_trace_context.sofaTraceId", 29) ? SP_HDR_SOFA_TRACE_ID : SP_HDR_OTHER;
    case 30: return is(name, "sofa_head_deadline_remain_time", 30) ? SP_HDR_SOFA_DEADLINE : SP_HDR_OTHER;
    default: return SP_HDR_OTHER;
    }
}

/* 8 bits from a name's length and last 8 bytes (SOFA's names share their beginnings). The 8 bytes that end
 * with the name always exist: a fixed part stands before every block. */
static inline uint32_t name_bit(const char *name, uint32_t len)
{
    uint64_t tail;
    memcpy(&tail, name + len - 8, sizeof tail);
    tail = le64toh(tail);
    if (len < 8)
        tail = len ? tail >> (8 * (8 - len)) : 0;
    return (uint32_t)(((tail ^ len) * 0x9e3779b97f4a7c15u) >> 56);
}

/* The index of the pair's place: that of an earlier pair of the same name, or behind the last. */
static inline uint32_t place(const struct sp_head *head, uint64_t *seen, const char *name, uint32_t len)
{
    uint32_t bit = name_bit(name, len);
    if (SP_UNLIKELY(seen[bit >> 6] >> (bit & 63) & 1)) {
        for (uint32_t i = 0; i < head->header_count; i++) {
            const struct sp_header *h = &head->headers[i];
            if (h->name_len == len && memcmp(h->name, name, len) == 0)
                return i;
        }
    }
    seen[bit >> 6] |= (uint64_t)1 << (bit & 63);
    return head->header_count;
}

/* One length and its bytes. Returns what follows them; NULL with *why when the block ends before. */
static inline const char *take(const char *at, const char *end, const char **ret_ptr, uint32_t *ret_len,
                               const char **why)
{
    if (SP_UNLIKELY(end - at < 4)) {
        *why = "bolt: header block ends inside a pair";
        return NULL;
    }
    uint32_t len = sp_bolt_get32(at);
    at += 4;
    *ret_len = len;
    *ret_ptr = at;
    if (SP_LIKELY(len <= (size_t)(end - at)))
        return at + len;
    if (len == UINT32_MAX) {
        *ret_ptr = NULL; /* null: no bytes */
        return at;
    }
    *why = len > INT32_MAX ? "bolt: negative length in the header block"
                           : "bolt: a name or value runs over the end of the header block";
    return NULL;
}

/* What a pair means to the call. Later pairs of a name overwrite, as in the table. */
static inline void note(struct sp_head *head, enum sp_hdr id, uint32_t name_len, sp_str value, sp_str *target)
{
    if (id == SP_HDR_SOFA_SERVICE) {
        if (name_len == 7)
            head->service = value;
        else
            *target = value;
    } else if (id == SP_HDR_SOFA_METHOD) {
        head->method = value;
    } else if (id == SP_HDR_SOFA_ERROR && head->kind == SP_MSG_RESPONSE) {
        bool error = value.len == 4 && is(value.ptr, "true", 4);
        head->flags = error ? head->flags | SP_HEAD_APP_ERROR : head->flags & ~(uint32_t)SP_HEAD_APP_ERROR;
    }
}

static const char too_many[] = "bolt: too many header pairs";

/* Walk the pairs of the block. NULL when all is well, else words. */
static const char *walk_block(struct sp_head *head, const char *at, const char *end, uint32_t cap)
{
    uint64_t seen[4] = { 0 };
    sp_str target = SP_STR_NULL;
    const char *why = NULL;

    while (at != end) {
        const char *name, *value;
        uint32_t name_len, value_len;
        at = take(at, end, &name, &name_len, &why);
        if (SP_UNLIKELY(!at))
            return why;
        at = take(at, end, &value, &value_len, &why);
        if (SP_UNLIKELY(!at))
            return why;
        if (SP_UNLIKELY(!name || !value)) {
            head->flags |= SP_HEAD_EDITED;
            continue;
        }
        uint32_t i = place(head, seen, name, name_len);
        if (SP_UNLIKELY(i < head->header_count))
            head->flags |= SP_HEAD_EDITED;
        else if (SP_UNLIKELY(head->header_count++ >= cap))
            return too_many;
        enum sp_hdr id = name_id(name, name_len);
        head->headers[i] = (struct sp_header){ name, value, value_len, (uint16_t)name_len, (uint8_t)id, 0 };
        if (id != SP_HDR_OTHER)
            note(head, id, name_len, sp_str_of(value, value_len), &target);
    }
    if (!head->service.len)
        head->service = target;
    return NULL;
}

/* Type and command to kind; -1 when they do not belong together. */
static int kind_of(uint32_t type, uint32_t cmd)
{
    if (cmd == SP_BOLT_CMD_REQUEST && type != SP_BOLT_TYPE_RESPONSE)
        return type == SP_BOLT_TYPE_REQUEST ? SP_MSG_REQUEST : SP_MSG_ONEWAY;
    if (cmd == SP_BOLT_CMD_RESPONSE && type == SP_BOLT_TYPE_RESPONSE)
        return SP_MSG_RESPONSE;
    if (cmd == SP_BOLT_CMD_HEARTBEAT) /* a one-way heartbeat is a heartbeat to Java */
        return type == SP_BOLT_TYPE_RESPONSE ? SP_MSG_HEARTBEAT_ACK : SP_MSG_HEARTBEAT;
    if (cmd == SP_BOLT_CMD_GOAWAY && type != SP_BOLT_TYPE_RESPONSE)
        return SP_MSG_GOAWAY;
    return -1;
}

static inline void fill_fixed(const char *p, uint32_t k, const struct fixed *f, struct sp_head *head)
{
    uint32_t wait = sp_bolt_get32(p + SP_BOLT_AT_WAIT(k));
    bool response = f->type == SP_BOLT_TYPE_RESPONSE;

    head->protocol = k ? SP_PROTO_BOLT2 : SP_PROTO_BOLT;
    head->codec_id = (uint8_t)p[SP_BOLT_AT_CODEC(k)];
    head->proto_ver = k ? (uint8_t)p[1] : 1;
    head->flags = f->crc_len ? SP_HEAD_CRC : 0;
    head->id = sp_bolt_get32(p + SP_BOLT_AT_ID(k));
    head->raw_status = response ? wait >> 16 : 0;
    head->status = response ? sp_bolt_http_status(wait >> 16) : 0;
    head->timeout_ms = response ? 0 : (int32_t)wait;
    head->body_bytes = (int64_t)f->content_len + f->crc_len;
    head->service = head->method = head->path = head->reason = head->class_name = SP_STR_NULL;
    head->raw = sp_str_of(p, f->bytes);
    head->header_count = 0;
}

/* Read the fixed part. NULL when it can be believed; `*err` and words otherwise. `head` is filled, so that a
 * refusal can be answered. */
static inline const char *read_fixed(const char *p, uint32_t k, struct fixed *f, struct sp_head *head)
{
    const char *lengths = p + f->bytes - 8;
    f->cmd = sp_bolt_get16(p + SP_BOLT_AT_CMD(k));
    f->class_len = sp_bolt_get16(lengths);
    f->block_len = sp_bolt_get16(lengths + 2);
    f->content_len = sp_bolt_get32(lengths + 4);
    f->crc_len = k && p[1] == 2 && (p[SP_BOLT_AT_SWITCH] & SP_BOLT_SWITCH_CRC) ? SP_BOLT_CRC_BYTES : 0;

    int kind = kind_of(f->type, f->cmd);
    head->kind = kind >= 0                          ? (uint8_t)kind
                 : f->type == SP_BOLT_TYPE_RESPONSE ? SP_MSG_RESPONSE
                                                    : SP_MSG_REQUEST;
    fill_fixed(p, k, f, head);

    if (SP_UNLIKELY(kind < 0))
        return "bolt: type and command do not belong together, or the command is unknown";
    if (SP_UNLIKELY(p[SP_BOLT_AT_VER2(k)] != SP_BOLT_VER2))
        return "bolt: unknown command version";
    if (k && SP_UNLIKELY(p[1] != 1 && p[1] != 2))
        return "bolt: unknown version of protocol 2";
    if (k && SP_UNLIKELY((unsigned char)p[SP_BOLT_AT_SWITCH] > 127))
        return "bolt: illegal switch byte";
    if (SP_UNLIKELY(f->class_len > SP_BOLT_FIELD_MAX || f->block_len > SP_BOLT_FIELD_MAX))
        return "bolt: class or header block over 32767 bytes: Java peers would read a negative length";
    if (SP_UNLIKELY((uint64_t)f->class_len + f->block_len + f->content_len + f->crc_len > SP_BOLT_FRAME_MAX))
        return "bolt: frame over 2^31 - 1 bytes: Java peers would read a negative length";
    return NULL;
}

/* HEAD: the frame's beginning. `k` is a constant in each caller. */
static inline __attribute__((always_inline)) ssize_t decode_frame(struct sp_bolt_state *s, sp_str in,
                                                                  uint32_t k, struct sp_event *ev)
{
    const char *p = in.ptr;
    struct sp_head *head = ev->head;
    head->raw = SP_STR_NULL;

    if (SP_UNLIKELY((uint32_t)(unsigned char)p[0] != k + 1))
        return broken(s, ev, SP_E_INVALID, 400, "bolt: first byte is not this connection's protocol version");
    struct fixed f = { .bytes = SP_BOLT_FIXED(k) };
    if (SP_UNLIKELY(in.len < f.bytes))
        return want(s, f.bytes);
    f.type = (unsigned char)p[SP_BOLT_AT_TYPE(k)];
    if (SP_UNLIKELY(f.type > SP_BOLT_TYPE_ONEWAY))
        return broken(s, ev, SP_E_INVALID, 400, "bolt: unknown type");
    f.bytes += f.type == SP_BOLT_TYPE_RESPONSE ? 0 : 2;
    if (SP_UNLIKELY(in.len < f.bytes))
        return want(s, f.bytes);
    const char *why = read_fixed(p, k, &f, head);
    if (SP_UNLIKELY(why))
        return broken(s, ev, SP_E_INVALID, 400, why);

    const struct sp_codec_limits *limits = s->limits;
    size_t head_len = (size_t)f.bytes + f.class_len + f.block_len;
    if (SP_UNLIKELY(head_len > (limits && limits->head_bytes ? limits->head_bytes : 64 * 1024)))
        return broken(s, ev, SP_E_LIMIT, 431, "bolt: head over its limit");
    if (SP_UNLIKELY(limits && limits->body_bytes > 0 && f.content_len > (uint64_t)limits->body_bytes))
        return broken(s, ev, SP_E_LIMIT, 413, "bolt: content over its limit");
    uint64_t body = (uint64_t)f.content_len + f.crc_len;
    if (SP_UNLIKELY(in.len < head_len))
        return want(s, head_len);
    if (SP_UNLIKELY(in.len - head_len < body) && limits && head_len + body <= limits->whole_bytes)
        return want(s, head_len + body);

    uint32_t cap = limits && limits->headers ? limits->headers : SP_HEADERS_MAX;
    const char *block = p + f.bytes + f.class_len;
    why = walk_block(head, block, block + f.block_len, SP_MIN(cap, head->header_cap));
    if (SP_UNLIKELY(why)) {
        bool many = why == too_many;
        return broken(s, ev, many ? SP_E_LIMIT : SP_E_INVALID, many ? 431 : 400, why);
    }

    size_t here = (size_t)SP_MIN((uint64_t)(in.len - head_len), body);
    head->class_name = sp_str_of(p + f.bytes, f.class_len);
    head->raw = sp_str_of(p, head_len);
    s->need = 0;
    s->left = body - here;
    s->phase = s->left ? SP_BOLT_BODY : SP_BOLT_HEAD;
    ev->kind = SP_EVENT_HEAD;
    ev->end = s->left == 0;
    ev->body = sp_str_of(p + head_len, here);
    return (ssize_t)(head_len + here);
}

/* BODY: what is left of content and CRC passes. */
static ssize_t decode_body(struct sp_bolt_state *s, sp_str in, struct sp_event *ev)
{
    size_t here = (size_t)SP_MIN((uint64_t)in.len, s->left);
    s->left -= here;
    if (!s->left)
        s->phase = SP_BOLT_HEAD;
    ev->kind = SP_EVENT_DATA;
    ev->end = s->left == 0;
    ev->body = sp_str_upto(in, here);
    return (ssize_t)here;
}

static inline __attribute__((always_inline)) ssize_t decode(struct sp_codec_state *state, sp_str in,
                                                            uint32_t k, struct sp_event *ev)
{
    struct sp_bolt_state *s = (struct sp_bolt_state *)state->bytes;
    nothing(ev);
    switch ((enum sp_bolt_phase)s->phase) {
    case SP_BOLT_HEAD: return in.len && in.len >= s->need ? decode_frame(s, in, k, ev) : 0;
    case SP_BOLT_BODY: return in.len ? decode_body(s, in, ev) : 0;
    case SP_BOLT_BROKEN: break;
    }
    return broken(s, ev, SP_E_INVALID, 400, "bolt: bytes behind a broken frame");
}

ssize_t sp_bolt_decode1(struct sp_codec_state *state, sp_str in, struct sp_event *ev)
{
    return decode(state, in, 0, ev);
}

ssize_t sp_bolt_decode2(struct sp_codec_state *state, sp_str in, struct sp_event *ev)
{
    return decode(state, in, 1, ev);
}

ssize_t sp_bolt_finish(struct sp_codec_state *state, struct sp_event *ev)
{
    struct sp_bolt_state *s = (struct sp_bolt_state *)state->bytes;
    nothing(ev);
    if (s->phase == SP_BOLT_HEAD && s->need == 0)
        return 0;
    return broken(s, ev, SP_E_CLOSED, 400, "bolt: connection ended in the middle of a frame");
}
