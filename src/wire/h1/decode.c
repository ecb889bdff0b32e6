/* decode: bytes in, events out: the state machine of one direction of an HTTP/1.1 connection.
 *
 *                 ┌───────────────────────────── message ends ──────────────────────────────┐
 *                 ▼                                                                         │
 *      ───────► HEAD ──► COUNTED ───────────────────────────────────────────────────────────┤
 *                 ├────► CHUNK_SIZE ──► CHUNK_EXT ──► CHUNK_LF ──► TRAILERS ────────────────┤
 *                 │          ▲    └──────────────────────▲  └──► CHUNK_DATA                 │
 *                 │          └───────── CHUNK_END ◄──────────────────┘                      │
 *                 ├────► UNTIL_CLOSE (response)                                             │
 *                 └────► TUNNEL (101, 2xx to CONNECT)      server: HELD ──answered──► TUNNEL or HEAD
 *
 *      Behind the last message (Connection: close, a refused CONNECT): DONE. After a refusal: BROKEN.
 *
 * A message comes as HEAD, DATA, END, but what is there at once comes at once: a head with its whole body is
 * one event, and so is a piece of chunked body with the end right behind it. A request costs one call.
 *
 * HELD is where upgrades become safe. A client that asks for a tunnel may send bytes before it is answered;
 * whether they are the next request or the tunnel's is known only when `answered` says what was answered. So
 * the decoder uses up nothing until then. Bytes behind a refused CONNECT are never taken for a request.
 *
 * One empty line before a request is passed over, as RFC 9112 2.2 asks; a second is refused. */
#include "wire/h1/h1_impl.h"

#include "base/sm.h"

#define ANY_BODY                                                                                             \
    (SP_SM_TO(SP_H1_COUNTED) | SP_SM_TO(SP_H1_CHUNK_SIZE) | SP_SM_TO(SP_H1_UNTIL_CLOSE) |                    \
     SP_SM_TO(SP_H1_TUNNEL))
#define NEXT (SP_SM_TO(SP_H1_HEAD) | SP_SM_TO(SP_H1_HELD) | SP_SM_TO(SP_H1_TUNNEL) | SP_SM_TO(SP_H1_DONE))
#define BROKEN SP_SM_TO(SP_H1_BROKEN)

static const struct sp_sm_state phases[SP_H1_PHASE_COUNT] = {
    [SP_H1_HEAD] = { "head", ANY_BODY | NEXT | BROKEN },
    [SP_H1_COUNTED] = { "counted", NEXT | BROKEN },
    [SP_H1_CHUNK_SIZE] = { "chunk size", SP_SM_TO(SP_H1_CHUNK_EXT) | SP_SM_TO(SP_H1_CHUNK_LF) |
                                             SP_SM_TO(SP_H1_CHUNK_DATA) | SP_SM_TO(SP_H1_TRAILERS) | BROKEN },
    [SP_H1_CHUNK_EXT] = { "chunk extension", SP_SM_TO(SP_H1_CHUNK_LF) | BROKEN },
    [SP_H1_CHUNK_LF] = { "chunk line end", SP_SM_TO(SP_H1_CHUNK_DATA) | SP_SM_TO(SP_H1_TRAILERS) | BROKEN },
    [SP_H1_CHUNK_DATA] = { "chunk data", SP_SM_TO(SP_H1_CHUNK_END) | BROKEN },
    [SP_H1_CHUNK_END] = { "chunk end", SP_SM_TO(SP_H1_CHUNK_SIZE) | NEXT | BROKEN },
    [SP_H1_TRAILERS] = { "trailers", NEXT | BROKEN },
    [SP_H1_UNTIL_CLOSE] = { "until close", SP_SM_TO(SP_H1_DONE) },
    [SP_H1_HELD] = { "held", NEXT },
    [SP_H1_TUNNEL] = { "tunnel", SP_SM_TO(SP_H1_DONE) },
    [SP_H1_DONE] = { "done", 0 },
    [SP_H1_BROKEN] = { "broken", 0 },
};

void sp_h1_move(struct sp_h1 *s, enum sp_h1_phase to)
{
    sp_sm_move(phases, &s->phase, (uint8_t)to, "h1");
}

ssize_t sp_h1_refuse(struct sp_event *ev, uint16_t status, const char *why)
{
    ev->status = status;
    ev->why = why;
    switch (status) {
    case 413:
    case 414:
    case 431: return SP_E_LIMIT;
    case 501:
    case 505: return SP_E_UNSUPPORTED;
    default: return SP_E_INVALID;
    }
}

/* Where a server goes behind a request that wished for more than an answer. */
static enum sp_h1_phase behind_wish(const struct sp_h1 *s)
{
    switch ((enum sp_h1_verdict)s->verdict) {
    case SP_H1_OPEN: return SP_H1_HELD;
    case SP_H1_AGREED: return SP_H1_TUNNEL;
    case SP_H1_REFUSED: return s->wish == SP_H1_WISH_CONNECT || s->last ? SP_H1_DONE : SP_H1_HEAD;
    case SP_H1_VERDICT_COUNT: break;
    }
    return SP_H1_DONE;
}

void sp_h1_end_message(struct sp_h1 *s)
{
    s->left = 0;
    s->scanned = s->line = s->ext = 0;
    s->lines = 0;
    s->digits = s->place = s->blank = 0;
    enum sp_h1_phase to = SP_H1_HEAD;
    if (s->role == SP_ROLE_SERVER && s->wish != SP_H1_WISH_NONE)
        to = behind_wish(s);
    else if (s->last)
        to = SP_H1_DONE;
    if (to != s->phase)
        sp_h1_move(s, to);
    if (to == SP_H1_HEAD && s->role == SP_ROLE_SERVER)
        s->wish = SP_H1_WISH_NONE;
}

static void empty_head(struct sp_head *head)
{
    struct sp_header *headers = head->headers;
    uint32_t cap = head->header_cap;
    *head = (struct sp_head){ .protocol = SP_PROTO_HTTP1, .headers = headers, .header_cap = cap };
}

/* The one empty line before a request. Bytes used, 0 = go on, or -1 = want more. */
static int pass_blank(struct sp_h1 *s, sp_str in)
{
    if (s->role != SP_ROLE_SERVER || s->blank || s->scanned > 1 || in.ptr[0] != '\r')
        return 0;
    if (in.len == 1) {
        s->scanned = 1;
        return -1;
    }
    s->scanned = 0;
    if (in.ptr[1] != '\n')
        return 0;
    s->blank = 1;
    return 2;
}

/* The body's first bytes, where they are there already. */
static ssize_t start_body(struct sp_h1 *s, sp_str in, ssize_t len, struct sp_event *ev);

static ssize_t decode_head(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    if (in.len == 0)
        return 0;
    int blank = pass_blank(s, in);
    if (blank)
        return blank < 0 ? 0 : blank;
    if (s->role == SP_ROLE_SERVER && (unsigned char)in.ptr[0] >= 0x80) /* a line of that need never end */
        return sp_h1_refuse(ev, 400, "the first byte begins no method");

    const struct sp_codec_limits *l = s->limits;
    struct sp_h1_bounds b = {
        .head_bytes = sp_h1_or(l ? l->head_bytes : 0, SP_H1_HEAD_BYTES),
        .line_bytes = sp_h1_or(l ? l->line_bytes : 0, SP_H1_LINE_BYTES),
        .lines = SP_MIN(sp_h1_or(l ? l->headers : 0, SP_HEADERS_MAX), (uint32_t)SP_HEADERS_MAX) + 1,
        .start = 1,
    };
    uint32_t ends[SP_H1_LINES_MAX];
    ssize_t len = sp_h1_scan(s, in, &b, ends, ev);
    if (len <= 0)
        return len;

    SP_ASSERT(ev->head && ev->head->headers);
    empty_head(ev->head);
    ev->head->raw = sp_str_upto(in, (size_t)len);
    ssize_t err = s->role == SP_ROLE_SERVER ? sp_h1_read_request(s, in, ends, ev)
                                            : sp_h1_read_response(s, in, ends, ev);
    if (err)
        return err;
    s->scanned = s->line = s->lines = 0;
    ev->kind = SP_EVENT_HEAD;
    return start_body(s, in, len, ev);
}

static ssize_t take_body(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    ev->body = in;
    if (in.len > s->left)
        ev->body.len = (size_t)s->left;
    s->left -= ev->body.len;
    if (s->left == 0) {
        ev->end = true;
        sp_h1_end_message(s);
    }
    return (ssize_t)ev->body.len;
}

/* The first piece of a chunked body, and the end where it is there. What is wrong there is told next time:
 * this event is the head's. */
static ssize_t start_chunks(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    struct sp_h1 before = *s;
    struct sp_event first = { .kind = SP_EVENT_NONE };
    ssize_t used = in.len ? sp_h1_read_chunked(s, in, &first) : 0;
    if (used < 0) {
        *s = before;
        return 0;
    }
    ev->body = first.body;
    ev->end = first.end;
    return used;
}

static ssize_t start_body(struct sp_h1 *s, sp_str in, ssize_t len, struct sp_event *ev)
{
    switch ((enum sp_h1_phase)s->phase) {
    case SP_H1_HEAD:
        ev->end = true;
        sp_h1_end_message(s);
        return len;
    case SP_H1_COUNTED: return len + take_body(s, sp_str_from(in, (size_t)len), ev);
    case SP_H1_CHUNK_SIZE: return len + start_chunks(s, sp_str_from(in, (size_t)len), ev);
    default: return len;
    }
}

static ssize_t take_all(sp_str in, struct sp_event *ev)
{
    if (in.len) {
        ev->kind = SP_EVENT_DATA;
        ev->body = in;
    }
    return (ssize_t)in.len;
}

static ssize_t decode_in_phase(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    switch ((enum sp_h1_phase)s->phase) {
    case SP_H1_HEAD: return decode_head(s, in, ev);
    case SP_H1_COUNTED:
        if (in.len == 0)
            return 0;
        ev->kind = SP_EVENT_DATA;
        return take_body(s, in, ev);
    case SP_H1_CHUNK_SIZE:
    case SP_H1_CHUNK_EXT:
    case SP_H1_CHUNK_LF:
    case SP_H1_CHUNK_DATA:
    case SP_H1_CHUNK_END:
    case SP_H1_TRAILERS: return sp_h1_read_chunked(s, in, ev);
    case SP_H1_UNTIL_CLOSE:
    case SP_H1_TUNNEL: return take_all(in, ev);
    case SP_H1_HELD: return 0;
    case SP_H1_DONE: return (ssize_t)in.len;
    case SP_H1_BROKEN: return sp_h1_refuse(ev, 400, "bytes behind a broken message");
    case SP_H1_PHASE_COUNT: break;
    }
    return sp_h1_refuse(ev, 400, "no such phase");
}

ssize_t sp_h1_decode(struct sp_codec_state *state, sp_str in, struct sp_event *ev)
{
    struct sp_h1 *s = sp_h1_of(state);
    ev->kind = SP_EVENT_NONE;
    ev->end = false;
    ev->trailers = false;
    ev->body = SP_STR_NULL;
    ev->why = NULL;
    ev->status = 0;

    ssize_t used = decode_in_phase(s, in, ev);
    if (SP_UNLIKELY(used < 0)) {
        if (s->phase != SP_H1_BROKEN)
            sp_h1_move(s, SP_H1_BROKEN);
        if (s->role == SP_ROLE_CLIENT)
            ev->status = 502;
    }
    return used;
}

void sp_h1_asked(struct sp_codec_state *state, const struct sp_head *request)
{
    struct sp_h1 *s = sp_h1_of(state);
    SP_ASSERT(s->role == SP_ROLE_CLIENT);
    s->interims = 0;
    if (request->flags & SP_HEAD_TUNNEL)
        s->wish = SP_H1_WISH_CONNECT;
    else if (request->flags & SP_HEAD_UPGRADE)
        s->wish = SP_H1_WISH_UPGRADE;
    else if (sp_str_eq(request->method, SP_STR("HEAD")))
        s->wish = SP_H1_WISH_HEAD;
    else
        s->wish = SP_H1_WISH_PLAIN;
}

void sp_h1_answered(struct sp_codec_state *state, const struct sp_head *response)
{
    struct sp_h1 *s = sp_h1_of(state);
    SP_ASSERT(s->role == SP_ROLE_SERVER);
    uint32_t status = response ? response->status : 500;
    if (s->wish == SP_H1_WISH_NONE || (status < 200 && status != 101))
        return;

    bool agreed = s->wish == SP_H1_WISH_CONNECT ? status >= 200 && status < 300 : status == 101;
    s->verdict = agreed ? SP_H1_AGREED : SP_H1_REFUSED;
    if (s->phase == SP_H1_HELD)
        sp_h1_end_message(s);
}

ssize_t sp_h1_finish(struct sp_codec_state *state, struct sp_event *ev)
{
    struct sp_h1 *s = sp_h1_of(state);
    ev->kind = SP_EVENT_NONE;
    ev->end = false;
    ev->trailers = false;
    ev->body = SP_STR_NULL;
    ev->why = NULL;
    ev->status = 0;
    switch ((enum sp_h1_phase)s->phase) {
    case SP_H1_UNTIL_CLOSE:
    case SP_H1_TUNNEL:
        ev->kind = SP_EVENT_END;
        ev->end = true;
        sp_h1_move(s, SP_H1_DONE);
        return 0;
    case SP_H1_HEAD:
        if (s->scanned == 0)
            return 0;
        break;
    case SP_H1_HELD:
    case SP_H1_DONE:
    case SP_H1_BROKEN: return 0;
    default: break;
    }
    sp_h1_move(s, SP_H1_BROKEN);
    ev->status = s->role == SP_ROLE_CLIENT ? 502 : 400;
    ev->why = "the peer ended inside a message";
    return SP_E_CLOSED;
}

bool sp_h1_is_idle(const struct sp_codec_state *state)
{
    const struct sp_h1 *s = (const struct sp_h1 *)(const void *)state->bytes;
    return s->phase == SP_H1_HEAD && s->scanned == 0 && s->wish == SP_H1_WISH_NONE;
}
