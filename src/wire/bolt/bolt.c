/* bolt: the two codecs as tables, what is patched in place, and the words for status.
 *
 * v1 and v2 are two codecs because they are two protocols on two connections: the first frame decides, and
 * a frame of the other version later is an error in Java too. They differ in three bytes and a CRC, so they
 * share every file of this folder; decode.c and encode.c tell them apart by one constant.
 *
 * Patching is the reason why a sidecar for Bolt can be nearly as cheap as a blind relay: of a frame of 1 KiB
 * four bytes change, in the slab where it landed, and the same slab leaves.
 *
 * The state that survives a change of process is 16 bytes: where in a frame the connection is. The bytes of
 * an incomplete head are not in it; they belong to the connection, which feeds them again. */
#include "wire/bolt/bolt.h"

#include "wire/bolt/frame_impl.h"

/* A saved state, little-endian: schema, proto, role, phase, need (4), left (8). */
enum { SAVE_SCHEMA = 1, SAVE_BYTES = 16 };

static void init(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits,
                 uint8_t proto)
{
    struct sp_bolt_state *s = (struct sp_bolt_state *)state->bytes;
    memset(state, 0, sizeof *state);
    s->limits = limits;
    s->role = (uint8_t)role;
    s->proto = proto;
    s->phase = SP_BOLT_HEAD;
}

static void init1(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits)
{
    init(state, role, limits, 1);
}

static void init2(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits)
{
    init(state, role, limits, 2);
}

/* Lengths of an answer do not depend on the question here. */
static void no_pairing(struct sp_codec_state *state, const struct sp_head *head)
{
}

static bool is_idle(const struct sp_codec_state *state)
{
    const struct sp_bolt_state *s = (const struct sp_bolt_state *)state->bytes;
    return s->phase == SP_BOLT_HEAD && s->need == 0;
}

static ssize_t encode_end(const struct sp_head *head, const struct sp_head *trailers, char *out, size_t room)
{
    return 0;
}

static void save(const struct sp_codec_state *state, void *out)
{
    const struct sp_bolt_state *s = (const struct sp_bolt_state *)state->bytes;
    unsigned char *o = out;
    uint32_t need = htole32(s->need);
    uint64_t left = htole64(s->left);
    o[0] = SAVE_SCHEMA;
    o[1] = s->proto;
    o[2] = s->role;
    o[3] = s->phase;
    memcpy(o + 4, &need, sizeof need);
    memcpy(o + 8, &left, sizeof left);
}

/* Could save() have written this? */
static bool is_state(const struct sp_bolt_state *s)
{
    uint32_t fixed_min = s->proto == 2 ? SP_BOLT_FIXED(1) : SP_BOLT_FIXED(0);
    switch (s->phase) {
    case SP_BOLT_HEAD:
        return s->left == 0 &&
               (s->need == 0 || (s->need >= fixed_min && s->need <= fixed_min + 2 + SP_BOLT_FRAME_MAX));
    case SP_BOLT_BODY: return s->need == 0 && s->left > 0 && s->left <= SP_BOLT_FRAME_MAX;
    case SP_BOLT_BROKEN: return s->left <= SP_BOLT_FRAME_MAX;
    default: return false;
    }
}

static sp_err load(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits,
                   uint8_t proto)
{
    const unsigned char *i = in;
    uint32_t need;
    uint64_t left;
    memcpy(&need, i + 4, sizeof need);
    memcpy(&left, i + 8, sizeof left);
    struct sp_bolt_state s = { .limits = limits,
                               .left = le64toh(left),
                               .need = le32toh(need),
                               .phase = i[3],
                               .proto = i[1],
                               .role = i[2] };
    if (i[0] != SAVE_SCHEMA || s.proto != proto || s.role > SP_ROLE_CLIENT || !is_state(&s))
        return SP_E_INVALID;
    memset(state, 0, sizeof *state);
    memcpy(state->bytes, &s, sizeof s);
    return SP_OK;
}

static sp_err load1(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits)
{
    return load(state, in, limits, 1);
}

static sp_err load2(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits)
{
    return load(state, in, limits, 2);
}

static enum sp_role role(const struct sp_codec_state *state)
{
    return (enum sp_role)((const struct sp_bolt_state *)(const void *)state)->role;
}

static uint64_t frame_len(const struct sp_head *head)
{
    return head->raw.len + (uint64_t)head->body_bytes - sp_bolt_crc_bytes(head);
}

/* Id, and time unless it is 0, into the raw bytes; the price is one walk over the distance to the CRC. */
static uint32_t patch(const struct sp_head *head, uint32_t id, int32_t timeout_ms)
{
    char *raw = (char *)(uintptr_t)head->raw.ptr; /* the slab's: its owner lets us, see base/slab.h */
    uint32_t id_at = sp_bolt_id_at((enum sp_protocol)head->protocol);
    uint32_t time_at = sp_bolt_timeout_at((enum sp_protocol)head->protocol);
    uint32_t id_change = sp_bolt_get32(raw + id_at) ^ id;
    uint32_t time_change = 0;
    sp_bolt_put32(raw + id_at, id);
    if (timeout_ms && head->kind != SP_MSG_RESPONSE && head->kind != SP_MSG_HEARTBEAT_ACK) {
        time_change = sp_bolt_get32(raw + time_at) ^ (uint32_t)timeout_ms;
        sp_bolt_put32(raw + time_at, (uint32_t)timeout_ms);
    }
    if (!(head->flags & SP_HEAD_CRC))
        return 0;
    return time_change ? sp_bolt_crc_delta2(frame_len(head), id_at, id_change, time_at - id_at, time_change)
                       : sp_bolt_crc_delta(frame_len(head), id_at, id_change, 0);
}

static uint32_t delta(const struct sp_head *head, sp_str sent)
{
    if (!(head->flags & SP_HEAD_CRC))
        return 0;
    return sp_bolt_crc_delta_head(head->raw, sent, frame_len(head) - head->raw.len);
}

const struct sp_codec sp_bolt_codec = {
    .name = "bolt",
    .protocol = SP_PROTO_BOLT,
    .multiplexed = true,
    .both_ways = true,
    .save_bytes = SAVE_BYTES,
    .init = init1,
    .decode = sp_bolt_decode1,
    .asked = no_pairing,
    .answered = no_pairing,
    .finish = sp_bolt_finish,
    .is_idle = is_idle,
    .encode_head = sp_bolt_encode_head,
    .encode_chunk = NULL,
    .encode_end = encode_end,
    .encode_error = sp_bolt_encode_error,
    .patch = patch,
    .delta = delta,
    .fix = sp_bolt_crc_apply,
    .encode_heartbeat = sp_bolt_encode_heartbeat1,
    .save = save,
    .load = load1,
    .role = role,
};

const struct sp_codec sp_bolt2_codec = {
    .name = "bolt2",
    .protocol = SP_PROTO_BOLT2,
    .multiplexed = true,
    .both_ways = true,
    .save_bytes = SAVE_BYTES,
    .init = init2,
    .decode = sp_bolt_decode2,
    .asked = no_pairing,
    .answered = no_pairing,
    .finish = sp_bolt_finish,
    .is_idle = is_idle,
    .encode_head = sp_bolt_encode_head,
    .encode_chunk = NULL,
    .encode_end = encode_end,
    .encode_error = sp_bolt_encode_error,
    .patch = patch,
    .delta = delta,
    .fix = sp_bolt_crc_apply,
    .encode_heartbeat = sp_bolt_encode_heartbeat2,
    .save = save,
    .load = load2,
    .role = role,
};

uint32_t sp_bolt_id_at(enum sp_protocol protocol)
{
    return protocol == SP_PROTO_BOLT2 ? SP_BOLT_AT_ID(1) : SP_BOLT_AT_ID(0);
}

uint32_t sp_bolt_timeout_at(enum sp_protocol protocol)
{
    return protocol == SP_PROTO_BOLT2 ? SP_BOLT_AT_WAIT(1) : SP_BOLT_AT_WAIT(0);
}

void sp_bolt_patch_id(char *frame, uint32_t id)
{
    sp_bolt_put32(frame + (frame[0] == 2 ? SP_BOLT_AT_ID(1) : SP_BOLT_AT_ID(0)), id);
}

void sp_bolt_patch_timeout(char *frame, int32_t timeout_ms)
{
    uint32_t k = frame[0] == 2;
    SP_ASSERT(frame[SP_BOLT_AT_TYPE(k)] != SP_BOLT_TYPE_RESPONSE); /* a status would be overwritten */
    sp_bolt_put32(frame + SP_BOLT_AT_WAIT(k), (uint32_t)timeout_ms);
}

uint32_t sp_bolt_http_status(uint32_t bolt_status)
{
    switch (bolt_status) {
    case SP_BOLT_SUCCESS: return 200;
    case SP_BOLT_BUSY: return 503;
    case SP_BOLT_TIMEOUT: return 504;
    case SP_BOLT_CONNECTION_CLOSED: return 502;
    default: return 500;
    }
}

/* 502 and 503 mean too many things: nobody there, a torn connection, a broken answer, too much. A Java client
 * may call again after BUSY, so that is said only where the call did not run. -1: no such reason. */
static int status_by_reason(sp_str reason_code)
{
    static const struct {
        sp_str code;
        int status;
    } words[] = {
        { SP_STR("NO_HEALTHY"), SP_BOLT_NO_PROCESSOR },
        { SP_STR("NO_CLUSTER"), SP_BOLT_NO_PROCESSOR },
        { SP_STR("NO_ROUTE"), SP_BOLT_NO_PROCESSOR },
        { SP_STR("NO_ORIGINAL_DST"), SP_BOLT_NO_PROCESSOR },
        { SP_STR("DNS"), SP_BOLT_NO_PROCESSOR },
        { SP_STR("CONNECT"), SP_BOLT_CONNECTION_CLOSED },
        { SP_STR("CONNECT_TIMEOUT"), SP_BOLT_CONNECTION_CLOSED },
        { SP_STR("UPSTREAM_RESET"), SP_BOLT_CONNECTION_CLOSED },
        { SP_STR("UPSTREAM_CLOSED"), SP_BOLT_CONNECTION_CLOSED },
        { SP_STR("HEARTBEAT_LOST"), SP_BOLT_CONNECTION_CLOSED },
        { SP_STR("UPSTREAM_PROTOCOL"), SP_BOLT_CODEC_EXCEPTION },
        { SP_STR("PROTOCOL_MISMATCH"), SP_BOLT_CODEC_EXCEPTION },
        { SP_STR("RETRY_LIMIT"), SP_BOLT_UNKNOWN },
    };
    for (size_t i = 0; i < SP_COUNTOF(words); i++) {
        if (sp_str_eq(reason_code, words[i].code))
            return words[i].status;
    }
    return -1;
}

uint32_t sp_bolt_status_of(uint32_t http_status, sp_str reason_code)
{
    int by_reason = status_by_reason(reason_code);
    if (by_reason >= 0 && (http_status == 502 || http_status == 503))
        return (uint32_t)by_reason;
    switch (http_status) {
    case 200: return SP_BOLT_SUCCESS;
    case 400:
    case 413:
    case 414:
    case 431:
    case 505: return SP_BOLT_CODEC_EXCEPTION;
    case 401:
    case 403:
    case 500: return SP_BOLT_SERVER_EXCEPTION;
    case 404: return SP_BOLT_NO_PROCESSOR;
    case 408:
    case 504: return SP_BOLT_TIMEOUT;
    case 429:
    case 503: return SP_BOLT_BUSY;
    case 502: return SP_BOLT_CONNECTION_CLOSED;
    default: return SP_BOLT_UNKNOWN;
    }
}
