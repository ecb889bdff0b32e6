/* reply: what the decoder says back, and how a stream or a connection ends by it.
 *
 * The codec keeps no queue of frames to be sent: one call of the decoder reads at most one frame, and what
 * that calls for (an acknowledgement, a reset, an update, a goodbye) stands in the event that it fills. So
 * no flood can make anything grow here, and the link, which knows whether the socket takes bytes, stops
 * decoding when it does not.
 *
 * An error of a stream costs a reset of the budget, also when it was ours: what the peer did made us do it.
 * */
#include "wire/h2/h2_impl.h"

static char *reply_room(struct sp_h2_event *ev, size_t bytes)
{
    SP_ASSERT(ev->reply_len + bytes <= sizeof ev->reply);
    char *at = ev->reply + ev->reply_len;
    ev->reply_len += (uint32_t)bytes;
    return at;
}

void sp_h2_reply_reset(struct sp_h2_event *ev, uint32_t id, uint32_t code)
{
    char *at = reply_room(ev, SP_H2_FRAME_HEAD + 4);
    sp_h2_put32(sp_h2_put_frame(at, 4, SP_H2_RST_STREAM, 0, id), code);
}

static char *put_update(char *out, uint32_t id, uint32_t bytes)
{
    return sp_h2_put32(sp_h2_put_frame(out, 4, SP_H2_WINDOW_UPDATE, 0, id), bytes);
}

/* Updates that are worth a frame: half of a window is to be given back. `stream` may be NULL. */
char *sp_h2_put_credit(struct sp_h2 *h2, struct sp_h2_stream *stream, char *out)
{
    if (stream && stream->taken >= sp_h2_window(h2) / 2 && stream->taken &&
        !(stream->flags & SP_H2_PEER_ENDED)) {
        out = put_update(out, stream->id, stream->taken);
        stream->recv_window += (int32_t)stream->taken;
        stream->taken = 0;
    }
    if (h2->taken >= sp_h2_window_all(h2) / 2) {
        out = put_update(out, 0, h2->taken);
        h2->recv_window += (int32_t)h2->taken;
        h2->taken = 0;
    }
    return out;
}

void sp_h2_reply_credit(struct sp_h2 *h2, struct sp_h2_event *ev)
{
    char *at = ev->reply + ev->reply_len;
    SP_ASSERT(ev->reply_len + 13 <= sizeof ev->reply);
    ev->reply_len += (uint32_t)(sp_h2_put_credit(h2, NULL, at) - at);
}

ssize_t sp_h2_broken(struct sp_h2 *h2, struct sp_h2_event *ev, enum sp_h2_code code, const char *why)
{
    sp_str words = sp_str_upto(sp_str_c(why), 80);
    char *at = reply_room(ev, SP_H2_FRAME_HEAD + 8 + words.len);
    at = sp_h2_put_frame(at, (uint32_t)(8 + words.len), SP_H2_GOAWAY_FRAME, 0, 0);
    at = sp_h2_put32(sp_h2_put32(at, h2->peer_last), code);
    memcpy(at, words.ptr, words.len);

    h2->phase = SP_H2_PHASE_BROKEN;
    ev->base.kind = SP_EVENT_NONE;
    ev->base.body = SP_STR_NULL;
    ev->base.end = false;
    ev->base.why = why;
    ev->base.status = h2->role == SP_ROLE_CLIENT ? 502 : 400;
    ev->note = SP_H2_QUIET;
    ev->code = code;
    return code == SP_H2_ENHANCE_YOUR_CALM ? SP_E_LIMIT : SP_E_INVALID;
}

bool sp_h2_spend(int32_t *budget)
{
    return (*budget)-- > 0;
}

ssize_t sp_h2_cut(struct sp_h2 *h2, struct sp_h2_event *ev, uint32_t id, enum sp_h2_code code,
                  const char *why, ssize_t used)
{
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    ev->base.kind = SP_EVENT_NONE;
    ev->base.body = SP_STR_NULL;
    ev->base.end = false;
    ev->base.why = why;
    ev->base.status = h2->role == SP_ROLE_CLIENT ? 502 : 400;
    ev->note = s ? SP_H2_RESET : SP_H2_REFUSED;
    ev->by_peer = false;
    ev->id = id;
    ev->code = code;
    if (s)
        sp_h2_remove(h2, s, true);
    else if (!sp_h2_in_ring(h2->cut, id))
        sp_h2_ring_put(h2->cut, &h2->cut_at, id);
    sp_h2_reply_reset(ev, id, code);
    if (!sp_h2_spend(&h2->resets))
        return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, "too many streams ended by a reset");
    return used;
}
