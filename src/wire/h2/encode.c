/* encode: calls become frames: a request's or an answer's head, 9 bytes before each piece of body, an end.
 *
 * As in h1/encode.c nothing is copied as it stood: pseudo fields come from the slots, Content-Length from
 * `body_bytes`, and of the headers those are written that are not the connection's own. Names that came by
 * HTTP/1.1 are made small. A first walk checks all of it and asks for room by an upper bound; the second
 * writes, and cannot fail, because what the encoder's table has taken in the peer must get.
 *
 *      HEADERS [9] block ───────────────> more than the peer's frame: cut from behind into CONTINUATIONs
 *
 * What hardly ever comes again is not offered to the table, and secrets are literals at every hop. All else
 * joins it when it is seen twice (hpack.c).
 *
 * Flow control: sp_h2_room is the least of both windows; a piece is charged when its 9 bytes are written, for
 * from then on it will leave. */
#include "wire/h1/h1_impl.h"
#include "wire/h1/sixteen_impl.h"
#include "wire/grpc/grpc.h"
#include "wire/h2/h2_impl.h"

enum { NAME_MOST = 256, SLOTS_ROOM = 5 * SP_HPACK_FIELD_ROOM + 24 };

/* Places in the static table. */
enum {
    AT_AUTHORITY = 1,
    AT_GET = 2,
    AT_POST = 3,
    AT_ROOT = 4,
    AT_HTTP = 6,
    AT_HTTPS = 7,
    AT_STATUS = 8,
    AT_LENGTH = 28
};

/* By place in the static table; what is not named is KEEP. */
static const uint8_t fixed_ways[SP_HPACK_STATIC + 1] = {
    [21] = SP_HPACK_PLAIN, /* age */
    [23] = SP_HPACK_NEVER, /* authorization */
    [28] = SP_HPACK_PLAIN, /* content-length */
    [30] = SP_HPACK_PLAIN, /* content-range */
    [34] = SP_HPACK_PLAIN, /* etag */
    [40] = SP_HPACK_PLAIN, /* if-modified-since */
    [41] = SP_HPACK_PLAIN, /* if-none-match */
    [44] = SP_HPACK_PLAIN, /* last-modified */
    [46] = SP_HPACK_PLAIN, /* location */
    [49] = SP_HPACK_NEVER, /* proxy-authorization */
    [53] = SP_HPACK_PLAIN, /* retry-after */
    [55] = SP_HPACK_NEVER, /* set-cookie */
};

static enum sp_hpack_way way_of(const struct sp_header *h, uint32_t fixed)
{
    switch ((enum sp_hdr)h->id) {
    case SP_HDR_X_REQUEST_ID:
    case SP_HDR_TRACEPARENT:
    case SP_HDR_TRACESTATE:
    case SP_HDR_B3_TRACE_ID:
    case SP_HDR_SOFA_TRACE_ID:
    case SP_HDR_SOFA_RPC_ID: return SP_HPACK_PLAIN;
    case SP_HDR_COOKIE: return h->value_len < 20 ? SP_HPACK_NEVER : SP_HPACK_KEEP; /* short: can be guessed */
    default: return (enum sp_hpack_way)fixed_ways[fixed];
    }
}

#define NUMBER(id) (1u << (id))

/* Numbers of headers that are written from slots, or never. */
static uint32_t written_apart(const struct sp_head *head)
{
    uint32_t apart = NUMBER(SP_HDR_TRANSFER_ENCODING) | NUMBER(SP_HDR_CONNECTION) |
                     NUMBER(SP_HDR_KEEP_ALIVE) | NUMBER(SP_HDR_PROXY_CONNECTION) | NUMBER(SP_HDR_UPGRADE);
    bool request = head->kind == SP_MSG_REQUEST;
    if (request)
        apart |= NUMBER(SP_HDR_HOST);
    if (request || !(head->flags & SP_HEAD_NO_BODY) || head->status == 204)
        apart |= NUMBER(SP_HDR_CONTENT_LENGTH);
    return apart;
}

static bool is_written(const struct sp_header *h, uint32_t apart)
{
    if (apart >> (h->id & 31) & 1)
        return false;
    if (h->id == SP_HDR_TE) /* the one that HTTP/2 knows is end to end */
        return sp_str_eq_nocase((sp_str){ h->value, h->value_len }, SP_STR("trailers"));
    return !(h->flags & SP_HEADER_HOP);
}

/* Are all headers such as may be written? *sum: an upper bound of their bytes. */
static bool check_headers(const struct sp_head *head, uint32_t apart, size_t *sum)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (!is_written(h, apart))
            continue;
        sp_str name = { h->name, h->name_len }, value = sp_str_trim((sp_str){ h->value, h->value_len });
        if (!name.len || name.len > NAME_MOST || !sp_char_all(name, SP_CHAR_TOKEN) || !sp_h2_is_value(value))
            return false;
        *sum += SP_HPACK_FIELD_ROOM + name.len + value.len;
    }
    return true;
}

/* The name in small letters: as it is, or in `small`. */
static sp_str small_name(const struct sp_header *h, char *small)
{
    bool large = false;
    for (uint32_t i = 0; i < h->name_len; i++) {
        char c = h->name[i];
        bool capital = c >= 'A' && c <= 'Z';
        large |= capital;
        small[i] = capital ? (char)(c | 0x20) : c;
    }
    return (sp_str){ large ? small : h->name, h->name_len };
}

static char *put_slot(struct sp_h2 *h2, char *out, uint32_t fixed, sp_str value, enum sp_hpack_way way)
{
    if (sp_str_eq(sp_hpack_static[fixed].value, value) && value.len)
        return sp_hpack_put_index(out, fixed);
    return sp_hpack_put(&h2->encoder, out, fixed, sp_hpack_static[fixed].name, value, way);
}

static char *put_headers(struct sp_h2 *h2, char *out, const struct sp_head *head, uint32_t apart)
{
    char small[NAME_MOST];
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (!is_written(h, apart))
            continue;
        sp_str name = small_name(h, small), value = sp_str_trim((sp_str){ h->value, h->value_len });
        uint32_t fixed = sp_hpack_static_name(name);
        if (fixed && value.len && sp_str_eq(sp_hpack_static[fixed].value, value))
            out = sp_hpack_put_index(out, fixed);
        else
            out = sp_hpack_put(&h2->encoder, out, fixed, name, value, way_of(h, fixed));
    }
    return out;
}

static char *put_length(struct sp_h2 *h2, char *out, const struct sp_head *head, bool end)
{
    char digits[20];
    size_t n = sizeof digits;
    uint64_t value = (uint64_t)head->body_bytes;
    if (head->body_bytes < 0 || (head->flags & (SP_HEAD_NO_BODY | SP_HEAD_TUNNEL)) ||
        head->kind == SP_MSG_INTERIM || (end && head->kind == SP_MSG_REQUEST))
        return out;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    return put_slot(h2, out, AT_LENGTH, sp_str_of(digits + n, sizeof digits - n), SP_HPACK_PLAIN);
}

static char *put_request(struct sp_h2 *h2, char *out, const struct sp_head *head)
{
    bool post = sp_str_eq(head->method, SP_STR("POST"));
    out = put_slot(h2, out, post ? AT_POST : AT_GET, head->method, SP_HPACK_KEEP);
    if (!(head->flags & SP_HEAD_TUNNEL)) {
        out = sp_hpack_put_index(out, h2->limits->secure ? AT_HTTPS : AT_HTTP);
        out = put_slot(h2, out, AT_ROOT, head->path, SP_HPACK_KEEP);
    }
    return put_slot(h2, out, AT_AUTHORITY, head->service, SP_HPACK_KEEP);
}

static char *put_status(struct sp_h2 *h2, char *out, const struct sp_head *head)
{
    char digits[3] = { (char)('0' + head->status / 100), (char)('0' + head->status / 10 % 10),
                       (char)('0' + head->status % 10) };
    for (uint32_t i = AT_STATUS; i < AT_STATUS + 7; i++)
        if (memcmp(sp_hpack_static[i].value.ptr, digits, 3) == 0)
            return sp_hpack_put_index(out, i);
    return put_slot(h2, out, AT_STATUS, sp_str_of(digits, 3), SP_HPACK_KEEP);
}

static bool is_request(const struct sp_head *head)
{
    if (head->kind != SP_MSG_REQUEST || !head->method.len || head->method.len > SP_H1_METHOD_BYTES ||
        !sp_char_all(head->method, SP_CHAR_TOKEN))
        return false;
    bool connect = sp_str_eq(head->method, SP_STR("CONNECT"));
    if (head->flags & SP_HEAD_TUNNEL)
        return connect && sp_h1_is_authority(head->service, true);
    if (connect || !sp_h1_is_authority(head->service, false) || !head->path.len)
        return false;
    return head->path.ptr[0] == '/'
               ? sp_sixteen_is_target(head->path)
               : sp_str_eq(head->path, SP_STR("*")) && sp_str_eq(head->method, SP_STR("OPTIONS"));
}

/* Put frame heads around a block that lies at out + 9; bytes in all. */
static ssize_t frame_block(const struct sp_h2 *h2, char *out, size_t block, uint32_t id, unsigned flags)
{
    size_t most = h2->peer_frame, frames = block ? (block + most - 1) / most : 1;
    char *body = out + SP_H2_FRAME_HEAD;
    for (size_t i = frames - 1; i > 0; i--) {
        size_t len = SP_MIN(most, block - i * most);
        memmove(body + i * (most + SP_H2_FRAME_HEAD), body + i * most, len);
        sp_h2_put_frame(body + i * (most + SP_H2_FRAME_HEAD) - SP_H2_FRAME_HEAD, (uint32_t)len,
                        SP_H2_CONTINUATION, i == frames - 1 ? SP_H2_END_HEADERS : 0, id);
    }
    sp_h2_put_frame(out, (uint32_t)SP_MIN(most, block), SP_H2_HEADERS,
                    flags | (frames == 1 ? SP_H2_END_HEADERS : 0u), id);
    return (ssize_t)(block + frames * SP_H2_FRAME_HEAD);
}

/* `head` is checked but for its headers. `trailers`: no slots. */
static ssize_t encode_block(struct sp_h2 *h2, const struct sp_head *head, uint32_t id, bool end,
                            bool trailers, char *out, size_t room)
{
    uint32_t apart = trailers
                         ? NUMBER(SP_HDR_CONNECTION) | NUMBER(SP_HDR_TRANSFER_ENCODING) |
                               NUMBER(SP_HDR_KEEP_ALIVE) | NUMBER(SP_HDR_PROXY_CONNECTION) |
                               NUMBER(SP_HDR_UPGRADE) | NUMBER(SP_HDR_CONTENT_LENGTH) | NUMBER(SP_HDR_HOST)
                         : written_apart(head);
    size_t sum = SP_H2_FRAME_HEAD + SP_HPACK_BEGIN_ROOM;
    if (!trailers)
        sum += SLOTS_ROOM + head->method.len + head->path.len + head->service.len;
    if (!check_headers(head, apart, &sum))
        return SP_E_INVALID;
    sum += sum / h2->peer_frame * SP_H2_FRAME_HEAD;
    if (sum > room)
        return SP_E_LIMIT;

    char *begin = out + SP_H2_FRAME_HEAD, *at = sp_hpack_begin(&h2->encoder, begin);
    if (!trailers) {
        at = head->kind == SP_MSG_REQUEST ? put_request(h2, at, head) : put_status(h2, at, head);
        at = put_length(h2, at, head, end);
    }
    at = put_headers(h2, at, head, apart);
    return frame_block(h2, out, (size_t)(at - begin), id, end ? SP_H2_END_STREAM : 0);
}

bool sp_h2_can_open(const struct sp_h2 *h2)
{
    return h2->role == SP_ROLE_CLIENT && h2->phase != SP_H2_PHASE_BROKEN && h2->goaway_got == UINT32_MAX &&
           h2->stream_count < h2->peer_streams && h2->our_last < SP_H2_ID_MAX - 1;
}

ssize_t sp_h2_encode_request(struct sp_h2 *h2, const struct sp_head *head, bool end, uint32_t *ret_id,
                             char *out, size_t room)
{
    *ret_id = 0;
    if (!is_request(head))
        return SP_E_INVALID;
    if (!sp_h2_can_open(h2))
        return SP_E_LIMIT;
    if (!sp_h2_has_slot(h2))
        return SP_E_AGAIN;
    uint32_t id = h2->our_last ? h2->our_last + 2 : 1;
    ssize_t len = encode_block(h2, head, id, end, false, out, room);
    if (len < 0) {
        *ret_id = id;
        return len;
    }
    struct sp_h2_stream *s = sp_h2_add(h2, id);
    h2->our_last = id;
    if (sp_str_eq(head->method, SP_STR("HEAD")))
        s->flags |= SP_H2_ASKED_HEAD;
    if (head->flags & SP_HEAD_TUNNEL)
        s->flags |= SP_H2_TUNNELS;
    if (end)
        s->flags |= SP_H2_WE_ENDED;
    *ret_id = id;
    return len;
}

ssize_t sp_h2_encode_answer(struct sp_h2 *h2, uint32_t id, const struct sp_head *head, bool end, char *out,
                            size_t room)
{
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    bool interim = head->kind == SP_MSG_INTERIM;
    if (!s || (s->flags & (SP_H2_WE_ENDED | SP_H2_ANSWERED)))
        return SP_E_MISSING;
    if (head->kind == SP_MSG_REQUEST || head->status < 100 || head->status > 999 || head->status == 101 ||
        (interim && end))
        return SP_E_INVALID;
    ssize_t len = encode_block(h2, head, id, end, false, out, room);
    if (len < 0)
        return len;
    if (!interim)
        s->flags |= SP_H2_ANSWERED;
    if (end)
        sp_h2_end_side(h2, s, SP_H2_WE_ENDED);
    return len;
}

uint32_t sp_h2_room(const struct sp_h2 *h2, uint32_t id)
{
    const struct sp_h2_stream *s = sp_h2_find(h2, id);
    if (!s || (s->flags & SP_H2_WE_ENDED))
        return 0;
    int32_t least = SP_MIN(s->send_window, h2->send_window);
    return least > 0 ? (uint32_t)least : 0;
}

uint32_t sp_h2_frame_most(const struct sp_h2 *h2)
{
    return h2->peer_frame;
}

ssize_t sp_h2_encode_data(struct sp_h2 *h2, uint32_t id, uint32_t len, bool end, char *out, size_t room)
{
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    if (!s || (s->flags & SP_H2_WE_ENDED))
        return SP_E_MISSING;
    if (room < SP_H2_FRAME_HEAD)
        return SP_E_LIMIT;
    SP_ASSERT(len <= h2->peer_frame && (!len || len <= sp_h2_room(h2, id)));
    sp_h2_put_frame(out, len, SP_H2_DATA, end ? SP_H2_END_STREAM : 0, id);
    s->send_window -= (int32_t)len;
    h2->send_window -= (int32_t)len;
    h2->controls = SP_MIN(h2->controls + 2, (int32_t)SP_H2_CONTROLS); /* updates for it will come */
    if (end)
        sp_h2_end_side(h2, s, SP_H2_WE_ENDED);
    return SP_H2_FRAME_HEAD;
}

ssize_t sp_h2_encode_end(struct sp_h2 *h2, uint32_t id, const struct sp_head *trailers, char *out,
                         size_t room)
{
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    if (!s || (s->flags & SP_H2_WE_ENDED))
        return SP_E_MISSING;
    if (!trailers || !trailers->header_count)
        return sp_h2_encode_data(h2, id, 0, true, out, room);
    ssize_t len = encode_block(h2, trailers, id, true, true, out, room);
    if (len > 0)
        sp_h2_end_side(h2, s, SP_H2_WE_ENDED);
    return len;
}

static bool is_grpc(const struct sp_head *request)
{
    return request && sp_grpc_is_type(sp_head_value(request, SP_HDR_CONTENT_TYPE));
}

ssize_t sp_h2_encode_error(struct sp_h2 *h2, uint32_t id, const struct sp_head *request, uint32_t status,
                           sp_str reason_code, sp_str text, char *out, size_t room)
{
    struct sp_header headers[4];
    char words[SP_GRPC_MESSAGE_MOST * 3], code[4];
    uint32_t count = 0;
    struct sp_head head = { .kind = SP_MSG_RESPONSE, .protocol = SP_PROTO_HTTP1, .status = status };
    head.headers = headers;
    if (reason_code.len)
        headers[count++] = (struct sp_header){
            "x-sampan-reason", reason_code.ptr, (uint32_t)reason_code.len, 15, SP_HDR_OTHER, 0
        };
    if (is_grpc(request)) {
        head.header_count = count;
        head.header_cap = SP_COUNTOF(headers);
        head.body_bytes = -1;
        head.status = 200;
        head.header_count += sp_grpc_trailers(sp_grpc_of_own(status), text, code, words, &headers[count]);
        headers[head.header_count++] = (struct sp_header){
            "content-type", "application/grpc", 16, 12, SP_HDR_CONTENT_TYPE, 0
        };
        return sp_h2_encode_answer(h2, id, &head, true, out, room);
    }
    headers[count++] = (struct sp_header){ "content-type", "text/plain", 10, 12, SP_HDR_CONTENT_TYPE, 0 };
    head.header_count = count;
    head.body_bytes = (int64_t)text.len;
    bool no_body = (request && sp_str_eq(request->method, SP_STR("HEAD"))) || !text.len ||
                   text.len > sp_h2_room(h2, id) || text.len > h2->peer_frame;
    if (no_body)
        head.body_bytes = 0;
    size_t behind = no_body ? 0 : SP_H2_FRAME_HEAD + text.len;
    if (room < behind)
        return SP_E_LIMIT;
    ssize_t len = sp_h2_encode_answer(h2, id, &head, no_body, out, room - behind);
    if (len < 0 || no_body)
        return len;
    len += sp_h2_encode_data(h2, id, (uint32_t)text.len, true, out + len, room - (size_t)len);
    memcpy(out + len, text.ptr, text.len);
    return len + (ssize_t)text.len;
}
