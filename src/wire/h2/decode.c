/* decode: bytes of an HTTP/2 connection to events.
 *
 *      MAGIC ──> SETTINGS ──> FRAME ──> FRAME            a frame that is wholly there: one call
 *      (server)               │   ▲
 *                             ▼   │                      DATA passes as it comes: its head is judged, then
 *                            BODY ┴─> PAD                each piece is an event, a view into the input
 *
 * A head (HEADERS with its CONTINUATIONs) and a control frame are read when they are whole; until then
 * nothing of them is used up, and `need` says from how many bytes on another look makes sense. What is wrong
 * in the nine bytes of a frame's head is refused before a byte of the rest has come: lengths, streams,
 * order, and limits on what a frame claims.
 *
 * DATA is charged to both windows by its whole length when its head is judged. Padding, and bytes of streams
 * that are gone, are given back at once; the rest when the consumer says that it took them.
 *
 * A small body that is there with its head comes in the head's event: a unary call is one event, as in h1.
 *
 * It does not know what a call means, who consumes the bytes, or when the reply leaves. */
#include "wire/h2/h2_impl.h"

static const char magic[SP_H2_MAGIC + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum { WHOLE_BYTES = 16384 }; /* a body of at most this comes with its head, when it is there */

static void nothing(struct sp_h2_event *ev)
{
    ev->base.kind = SP_EVENT_NONE;
    ev->base.end = ev->base.trailers = false;
    ev->base.body = SP_STR_NULL;
    ev->base.why = NULL;
    ev->base.status = 0;
    ev->id = ev->code = 0;
    ev->note = SP_H2_QUIET;
    ev->by_peer = false;
    ev->reply_len = 0;
}

static ssize_t read_magic(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev)
{
    if (memcmp(in.ptr, magic, SP_MIN(in.len, (size_t)SP_H2_MAGIC)) != 0)
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "no HTTP/2 client begins so");
    if (in.len < SP_H2_MAGIC)
        return 0;
    h2->phase = SP_H2_PHASE_SETTINGS;
    return SP_H2_MAGIC;
}

/* BODY and PAD: what passes. */
static ssize_t pass(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev)
{
    uint32_t here = (uint32_t)SP_MIN(in.len, (size_t)h2->left);
    h2->left -= here;
    if (h2->phase == SP_H2_PHASE_PAD) {
        if (!h2->left)
            h2->phase = SP_H2_PHASE_FRAME;
        return here;
    }
    ev->base.kind = SP_EVENT_DATA;
    ev->base.body = sp_str_upto(in, here);
    ev->id = h2->stream_id;
    if (h2->left)
        return here;
    h2->left = h2->pad;
    h2->phase = h2->left ? SP_H2_PHASE_PAD : SP_H2_PHASE_FRAME;
    if (h2->end) {
        h2->end = false;
        ev->base.end = true;
        struct sp_h2_stream *s = sp_h2_find(h2, h2->stream_id);
        if (s)
            sp_h2_end_side(h2, s, SP_H2_PEER_ENDED);
    }
    return here;
}

/* `bytes` of the frame at hand are for nobody. */
static void drop(struct sp_h2 *h2, struct sp_h2_event *ev, uint32_t bytes, uint32_t credit)
{
    h2->left = bytes;
    h2->phase = bytes ? SP_H2_PHASE_PAD : SP_H2_PHASE_FRAME;
    h2->taken += credit;
    sp_h2_reply_credit(h2, ev);
}

/* DATA on a stream that is not there any more. */
static ssize_t read_stray(struct sp_h2 *h2, struct sp_h2_frame f, struct sp_h2_event *ev)
{
    bool cut = sp_h2_in_ring(h2->cut, f.id);
    drop(h2, ev, f.len, f.len);
    if (cut && sp_h2_spend(&h2->controls))
        return SP_H2_FRAME_HEAD;
    return sp_h2_cut(h2, ev, f.id, SP_H2_STREAM_CLOSED, "DATA on a stream that has ended", SP_H2_FRAME_HEAD);
}

/* Does the stream take `body` bytes more, and the end? NULL: yes. */
static const char *judge_body(const struct sp_h2 *h2, const struct sp_h2_stream *s, struct sp_h2_frame f,
                              uint32_t body, enum sp_h2_code *ret_code)
{
    *ret_code = SP_H2_STREAM_CLOSED;
    if (s->flags & SP_H2_PEER_ENDED)
        return "DATA behind the end of a message";
    *ret_code = SP_H2_FLOW_CONTROL_ERROR;
    if ((int64_t)f.len > s->recv_window)
        return "more DATA than the stream's window";
    *ret_code = SP_H2_PROTOCOL_ERROR;
    if (!(s->flags & SP_H2_HEADED))
        return "DATA before a head";
    if (s->body_left >= 0 && body > s->body_left)
        return "more body than Content-Length says";
    if (s->body_left >= 0 && (f.flags & SP_H2_END_STREAM) && body != s->body_left)
        return "less body than Content-Length says";
    return NULL;
}

static ssize_t read_data(struct sp_h2 *h2, struct sp_h2_frame f, sp_str in, struct sp_h2_event *ev)
{
    uint32_t pad = 0, front = f.flags & SP_H2_PADDED ? 1 : 0;
    if (f.id == 0 || sp_h2_is_unopened(h2, f.id))
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "DATA on a stream that nobody opened");
    if ((int64_t)f.len > h2->recv_window)
        return sp_h2_broken(h2, ev, SP_H2_FLOW_CONTROL_ERROR, "more DATA than the connection's window");
    if (front) {
        if (f.len && in.len < SP_H2_FRAME_HEAD + 1)
            return 0;
        pad = f.len ? (unsigned char)in.ptr[SP_H2_FRAME_HEAD] : 0;
        if (pad + front > f.len)
            return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "more padding than there is in the frame");
    }
    uint32_t body = f.len - front - pad;
    if (!body && !(f.flags & SP_H2_END_STREAM) && !sp_h2_spend(&h2->controls))
        return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
    h2->recv_window -= (int32_t)f.len;
    struct sp_h2_stream *s = sp_h2_find(h2, f.id);
    if (!s)
        return read_stray(h2, f, ev);

    enum sp_h2_code code;
    const char *why = judge_body(h2, s, f, body, &code);
    if (why) {
        drop(h2, ev, f.len, f.len);
        return sp_h2_cut(h2, ev, f.id, code, why, SP_H2_FRAME_HEAD);
    }
    s->recv_window -= (int32_t)f.len;
    if (s->body_left >= 0)
        s->body_left -= body;
    s->taken += front + pad;
    h2->taken += front + pad;
    h2->left = body;
    h2->pad = (uint16_t)pad;
    h2->stream_id = f.id;
    h2->end = f.flags & SP_H2_END_STREAM;
    h2->phase = SP_H2_PHASE_BODY;
    if (body)
        h2->controls = SP_MIN(h2->controls + 1, (int32_t)SP_H2_CONTROLS);
    size_t head = SP_H2_FRAME_HEAD + front;
    sp_str rest = sp_str_from(in, head);
    if (body && !rest.len)
        return (ssize_t)head;
    ssize_t used = pass(h2, rest, ev);
    if (!body) { /* an end, padding, or nothing */
        ev->base.kind = ev->base.end ? SP_EVENT_END : SP_EVENT_NONE;
        ev->base.body = SP_STR_NULL;
    }
    return (ssize_t)head + used;
}

/* What is wrong in the head of a frame that is not DATA; NULL: nothing. */
static const char *judge_frame(struct sp_h2_frame f, enum sp_h2_code *ret_code)
{
    bool on_stream = f.type == SP_H2_HEADERS || f.type == SP_H2_PRIORITY || f.type == SP_H2_RST_STREAM ||
                     f.type == SP_H2_CONTINUATION;
    bool on_conn = f.type == SP_H2_SETTINGS_FRAME || f.type == SP_H2_PING || f.type == SP_H2_GOAWAY_FRAME;
    *ret_code = SP_H2_PROTOCOL_ERROR;
    if (f.type == SP_H2_PUSH_PROMISE)
        return "a push, which was never allowed";
    if (f.type == SP_H2_CONTINUATION)
        return "CONTINUATION of nothing";
    if ((on_stream && !f.id) || (on_conn && f.id))
        return "a frame on the wrong stream";
    *ret_code = SP_H2_FRAME_SIZE_ERROR;
    bool ack = f.flags & SP_H2_ACK;
    switch (f.type) {
    case SP_H2_PRIORITY: return f.len == 5 ? NULL : "PRIORITY has not 5 bytes";
    case SP_H2_RST_STREAM:
    case SP_H2_WINDOW_UPDATE: return f.len == 4 ? NULL : "RST_STREAM or WINDOW_UPDATE has not 4 bytes";
    case SP_H2_PING: return f.len == 8 ? NULL : "PING has not 8 bytes";
    case SP_H2_GOAWAY_FRAME: return f.len >= 8 ? NULL : "GOAWAY has less than 8 bytes";
    case SP_H2_SETTINGS_FRAME:
        if (f.len % 6 || (ack && f.len))
            return "SETTINGS is no list of settings";
        *ret_code = SP_H2_ENHANCE_YOUR_CALM;
        return f.len <= 6 * SP_H2_SETTINGS_MAX ? NULL : "more settings in a frame than allowed";
    default: return NULL;
    }
}

/* A frame that is not DATA or HEADERS. */
static ssize_t read_other(struct sp_h2 *h2, struct sp_h2_frame f, sp_str in, struct sp_h2_event *ev)
{
    uint32_t whole = f.type == SP_H2_GOAWAY_FRAME ? 8 : f.len; /* behind it words for people */
    if (f.type >= SP_H2_TYPES) {
        if (!sp_h2_spend(&h2->controls))
            return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
        drop(h2, ev, f.len, 0);
        return SP_H2_FRAME_HEAD;
    }
    if (in.len < SP_H2_FRAME_HEAD + whole) {
        h2->need = SP_H2_FRAME_HEAD + whole;
        return 0;
    }
    h2->need = 0;
    ssize_t err = sp_h2_read_control(h2, f, in.ptr + SP_H2_FRAME_HEAD, ev);
    if (err < 0)
        return err;
    h2->left = f.len - whole;
    h2->phase = h2->left ? SP_H2_PHASE_PAD : SP_H2_PHASE_FRAME;
    return SP_H2_FRAME_HEAD + (ssize_t)whole;
}

/* A small body that stands behind its head and ends the message joins the head's event. */
static ssize_t join_body(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev)
{
    if (in.len < SP_H2_FRAME_HEAD)
        return 0;
    struct sp_h2_frame f = sp_h2_get_frame(in.ptr);
    enum sp_h2_code code;
    struct sp_h2_stream *s = sp_h2_find(h2, ev->id);
    if (f.type != SP_H2_DATA || f.id != ev->id || f.flags != SP_H2_END_STREAM || f.len > WHOLE_BYTES ||
        in.len < SP_H2_FRAME_HEAD + (size_t)f.len || (int64_t)f.len > h2->recv_window || !s ||
        judge_body(h2, s, f, f.len, &code))
        return 0;
    h2->recv_window -= (int32_t)f.len;
    s->recv_window -= (int32_t)f.len;
    if (f.len)
        h2->controls = SP_MIN(h2->controls + 1, (int32_t)SP_H2_CONTROLS);
    ev->base.body = sp_str_upto(sp_str_from(in, SP_H2_FRAME_HEAD), f.len);
    ev->base.end = true;
    sp_h2_end_side(h2, s, SP_H2_PEER_ENDED);
    return SP_H2_FRAME_HEAD + (ssize_t)f.len;
}

static ssize_t read_frame(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev)
{
    if (in.len < SP_H2_FRAME_HEAD || in.len < h2->need)
        return 0;
    struct sp_h2_frame f = sp_h2_get_frame(in.ptr);
    if (h2->phase == SP_H2_PHASE_SETTINGS && (f.type != SP_H2_SETTINGS_FRAME || (f.flags & SP_H2_ACK)))
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "the first frame is not SETTINGS");
    if (f.len > SP_H2_FRAME_MAX)
        return sp_h2_broken(h2, ev, SP_H2_FRAME_SIZE_ERROR, "frame is longer than 16384 bytes");
    if (f.type == SP_H2_DATA)
        return read_data(h2, f, in, ev);
    enum sp_h2_code code;
    const char *why = judge_frame(f, &code);
    if (why)
        return sp_h2_broken(h2, ev, code, why);
    if (f.type != SP_H2_HEADERS)
        return read_other(h2, f, in, ev);

    ssize_t used = sp_h2_read_headers(h2, f, in, ev);
    if (used > 0 && ev->base.kind == SP_EVENT_HEAD && !ev->base.end)
        used += join_body(h2, sp_str_from(in, (size_t)used), ev);
    return used;
}

ssize_t sp_h2_decode(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev)
{
    nothing(ev);
    if (!in.len)
        return 0;
    switch ((enum sp_h2_phase)h2->phase) {
    case SP_H2_PHASE_MAGIC: return read_magic(h2, in, ev);
    case SP_H2_PHASE_SETTINGS:
    case SP_H2_PHASE_FRAME: return read_frame(h2, in, ev);
    case SP_H2_PHASE_BODY:
    case SP_H2_PHASE_PAD: return pass(h2, in, ev);
    case SP_H2_PHASE_BROKEN:
    case SP_H2_PHASES: break;
    }
    ev->base.why = "bytes behind the end of the connection";
    ev->base.status = 400;
    return SP_E_INVALID;
}
