/* decode_head: HEADERS and its CONTINUATIONs: when are they whole, which stream do they mean, and what comes
 * of it.
 *
 *      HEADERS | pad priority | fragment | CONTINUATION fragment | ... END_HEADERS
 *      └──────── in one frame: read where it lies; in several: put together in scratch ──────┘
 *
 * Whatever the answer is, the block is decoded, for the table must stay what the peer believes it to be;
 * that holds for streams that are refused, are gone, or came behind our goodbye. Limits bite before that: a
 * head has at most 16 CONTINUATIONs and at most as many coded bytes as decoded ones, judged by what their
 * frames claim.
 *
 * Memory. A reference of one byte can stand for 4 KiB of text, so what heads hold is charged: a stream may
 * hold four times the bytes that were sent for it; what is more is summed over the open streams, and may not
 * pass `held_bytes`. Beyond that streams are refused (RFC 9113 8.7: the client may try again). */
#include "wire/h2/h2_impl.h"

enum { AMPLIFY = 4 };

/* The block, without padding and priority, and the bytes of all its frames. 0: not yet whole. */
static ssize_t find_block(struct sp_h2 *h2, struct sp_h2_frame f, sp_str in, struct sp_h2_event *ev,
                          sp_str *ret_block, uint32_t *ret_frames)
{
    uint32_t front = (f.flags & SP_H2_PADDED ? 1 : 0) + (f.flags & SP_H2_WITH_PRIORITY ? 5 : 0), pad = 0;
    uint32_t most = sp_h2_head_bytes(h2->limits), sum = f.len, frames = 1;
    size_t end = SP_H2_FRAME_HEAD + (size_t)f.len;
    if (front > f.len)
        return sp_h2_broken(h2, ev, SP_H2_FRAME_SIZE_ERROR, "HEADERS ends inside its own fields");
    if (f.flags & SP_H2_PADDED) {
        if (in.len < SP_H2_FRAME_HEAD + 1)
            return 0;
        pad = (unsigned char)in.ptr[SP_H2_FRAME_HEAD];
        if (front + pad > f.len)
            return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "more padding than there is in the frame");
    }
    for (struct sp_h2_frame c = f; !(c.flags & SP_H2_END_HEADERS); frames++) {
        h2->need = (uint32_t)end + SP_H2_FRAME_HEAD;
        if (in.len < h2->need)
            return 0;
        c = sp_h2_get_frame(in.ptr + end);
        if (c.type != SP_H2_CONTINUATION || c.id != f.id)
            return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "a head is interrupted by another frame");
        if (c.len > SP_H2_FRAME_MAX)
            return sp_h2_broken(h2, ev, SP_H2_FRAME_SIZE_ERROR, "frame is longer than 16384 bytes");
        sum += c.len;
        if (frames > SP_H2_CONTINUATIONS || sum > most)
            return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM,
                                "a head of more pieces or bytes than allowed");
        end += SP_H2_FRAME_HEAD + (size_t)c.len;
    }
    h2->need = (uint32_t)end;
    if (in.len < end)
        return 0;
    h2->need = 0;
    *ret_block = sp_str_of(in.ptr + SP_H2_FRAME_HEAD + front, f.len - front - pad);
    *ret_frames = frames;
    return (ssize_t)end;
}

/* Several fragments: in scratch, one behind the other. */
static sp_str put_together(sp_str in, sp_str first, uint32_t frames, struct sp_h2_event *ev,
                           struct sp_hpack_scratch *scratch)
{
    char *begin = scratch->at;
    size_t at = SP_H2_FRAME_HEAD + sp_h2_get_frame(in.ptr).len;
    memcpy(scratch->at, first.ptr, first.len);
    scratch->at += first.len;
    for (uint32_t i = 1; i < frames; i++) {
        struct sp_h2_frame c = sp_h2_get_frame(in.ptr + at);
        memcpy(scratch->at, in.ptr + at + SP_H2_FRAME_HEAD, c.len);
        scratch->at += c.len;
        at += SP_H2_FRAME_HEAD + (size_t)c.len;
    }
    return sp_str_of(begin, (size_t)(scratch->at - begin));
}

static ssize_t ask(struct sp_h2 *h2, struct sp_h2_event *ev, enum sp_h2_region region)
{
    ev->needs = (uint8_t)region;
    ev->needs_bytes = sp_h2_region_bytes(h2, region);
    return SP_E_AGAIN;
}

/* 431 and the end, in plain literals: `:status` is name 8 of the static table. */
static void reply_large(struct sp_h2_event *ev, uint32_t id)
{
    static const char block[] = "\x08\x03"
                                "431";
    char *at = sp_h2_put_frame(ev->reply + ev->reply_len, sizeof block - 1, SP_H2_HEADERS,
                               SP_H2_END_HEADERS | SP_H2_END_STREAM, id);
    memcpy(at, block, sizeof block - 1);
    ev->reply_len += SP_H2_FRAME_HEAD + sizeof block - 1;
}

/* A head that will not become an event. */
static ssize_t refuse(struct sp_h2 *h2, struct sp_h2_event *ev, uint32_t id, enum sp_h2_verdict verdict,
                      ssize_t used)
{
    const char *why = ev->base.why;
    uint16_t status = ev->base.status;
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    bool say = verdict == SP_H2_LARGE && h2->role == SP_ROLE_SERVER && !(s && (s->flags & SP_H2_ANSWERED));
    if (say)
        reply_large(ev, id);
    ssize_t result = sp_h2_cut(h2, ev, id, say ? SP_H2_NO_ERROR : SP_H2_PROTOCOL_ERROR, why, used);
    if (result > 0)
        ev->base.status = status;
    return result;
}

/* Which section is it, of which stream? *ret_stream NULL: a new one. */
static ssize_t judge(struct sp_h2 *h2, struct sp_h2_frame f, struct sp_h2_event *ev,
                     struct sp_h2_stream **ret_stream, enum sp_h2_section *ret_section)
{
    struct sp_h2_stream *s = sp_h2_find(h2, f.id);
    *ret_stream = s;
    *ret_section = SP_H2_IGNORED;
    if (s) {
        if (!(s->flags & SP_H2_PEER_ENDED))
            *ret_section = s->flags & SP_H2_HEADED ? SP_H2_TRAILERS : SP_H2_RESPONSE;
        return 0;
    }
    if (!sp_h2_is_unopened(h2, f.id)) {
        if (sp_h2_in_ring(h2->ended, f.id))
            return sp_h2_broken(h2, ev, SP_H2_STREAM_CLOSED, "HEADERS on a stream that has ended");
        /* Late trailers of a request that we cut come soon or never; an id that was passed over is wrong. */
        if (h2->role == SP_ROLE_SERVER && !sp_h2_in_ring(h2->cut, f.id))
            return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "HEADERS on a stream below the last one");
        return 0;
    }
    if (h2->role == SP_ROLE_CLIENT || sp_h2_is_ours(h2, f.id))
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "HEADERS on a stream that the peer may not open");
    if (f.id <= h2->goaway_sent && h2->stream_count < sp_h2_streams_most(h2->limits))
        *ret_section = SP_H2_REQUEST;
    return 0;
}

/* A request's head is good: the stream begins. */
static ssize_t begin_stream(struct sp_h2 *h2, struct sp_h2_frame f, struct sp_h2_event *ev, uint32_t held,
                            ssize_t used)
{
    uint32_t most = sp_h2_or(h2->limits->held_bytes, 256 << 10);
    uint32_t sent = (uint32_t)used * AMPLIFY, charged = held > sent ? held - sent : 0;
    if (charged > most - SP_MIN(most, h2->charged)) {
        ev->base.status = 503;
        return sp_h2_cut(h2, ev, f.id, SP_H2_REFUSED_STREAM, "heads of open streams hold too much", used);
    }
    struct sp_h2_stream *s = sp_h2_add(h2, f.id);
    SP_ASSERT(s);
    s->charged = charged;
    h2->charged += charged;
    s->flags = SP_H2_HEADED;
    s->body_left = ev->base.head->body_bytes;
    return used;
}

/* A final answer: how long its body is depends on what was asked. */
static void take_answer(struct sp_h2_stream *s, struct sp_head *head, bool end)
{
    s->flags |= SP_H2_HEADED;
    if ((s->flags & SP_H2_TUNNELS) && head->status < 300) {
        head->flags |= SP_HEAD_TUNNEL;
        head->body_bytes = -1;
    } else if ((s->flags & SP_H2_ASKED_HEAD) || head->status == 204 || head->status == 304) {
        head->flags |= SP_HEAD_NO_BODY;
        end = true;
    }
    s->body_left = head->flags & SP_HEAD_NO_BODY ? 0 : head->body_bytes;
    if (end && head->body_bytes < 0)
        head->body_bytes = 0;
}

static ssize_t take_head(struct sp_h2 *h2, struct sp_h2_frame f, struct sp_h2_stream *s,
                         enum sp_h2_section section, struct sp_h2_event *ev, uint32_t held, ssize_t used)
{
    bool end = f.flags & SP_H2_END_STREAM;
    ev->id = f.id;
    if (section == SP_H2_REQUEST) {
        used = begin_stream(h2, f, ev, held, used);
        if (used < 0 || ev->note != SP_H2_QUIET)
            return used;
        s = sp_h2_find(h2, f.id);
    }
    h2->controls = SP_MIN(h2->controls + 4, (int32_t)SP_H2_CONTROLS);
    ev->base.kind = section == SP_H2_TRAILERS ? SP_EVENT_END : SP_EVENT_HEAD;
    ev->base.trailers = section == SP_H2_TRAILERS;
    if (section == SP_H2_RESPONSE && ev->base.head->kind != SP_MSG_INTERIM)
        take_answer(s, ev->base.head, end);
    if (end && s->body_left > 0) {
        ev->base.trailers = false;
        return sp_h2_cut(h2, ev, f.id, SP_H2_PROTOCOL_ERROR, "less body than Content-Length says", used);
    }
    if (end) {
        ev->base.end = true;
        sp_h2_end_side(h2, s, SP_H2_PEER_ENDED);
    }
    return used;
}

/* A head that nobody waits for; it has been decoded. */
static ssize_t drop_head(struct sp_h2 *h2, struct sp_h2_frame f, struct sp_h2_stream *s,
                         struct sp_h2_event *ev, bool fresh, ssize_t used)
{
    ev->base.why = NULL;
    if (s)
        return sp_h2_cut(h2, ev, f.id, SP_H2_STREAM_CLOSED, "HEADERS behind the end of a message", used);
    if (fresh && f.id <= h2->goaway_sent)
        return sp_h2_cut(h2, ev, f.id, SP_H2_REFUSED_STREAM, "more streams at once than allowed", used);
    if (!fresh && !sp_h2_in_ring(h2->cut, f.id))
        return sp_h2_cut(h2, ev, f.id, SP_H2_STREAM_CLOSED, "HEADERS on a stream that has ended", used);
    if (!sp_h2_spend(&h2->controls))
        return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
    return used;
}

ssize_t sp_h2_read_headers(struct sp_h2 *h2, struct sp_h2_frame f, sp_str in, struct sp_h2_event *ev)
{
    sp_str block;
    uint32_t frames = 0, held = 0;
    ssize_t used = find_block(h2, f, in, ev, &block, &frames);
    if (used <= 0)
        return used;
    if (!h2->decoder.memory)
        return ask(h2, ev, SP_H2_READ_TABLE);
    struct sp_h2_stream *s;
    enum sp_h2_section section;
    ssize_t err = judge(h2, f, ev, &s, &section);
    if (err)
        return err;
    if (section == SP_H2_REQUEST && !sp_h2_has_slot(h2))
        return ask(h2, ev, SP_H2_STREAMS);

    SP_ASSERT(ev->scratch_bytes >= sp_h2_scratch_bytes(h2->limits));
    struct sp_hpack_scratch scratch = { ev->scratch, ev->scratch + ev->scratch_bytes };
    if (frames > 1)
        block = put_together(in, block, frames, ev, &scratch);
    bool fresh = sp_h2_is_unopened(h2, f.id);
    if (fresh)
        h2->peer_last = f.id;
    ev->id = f.id;
    enum sp_h2_verdict verdict = sp_h2_read_head(h2, block, &scratch, section, f.flags & SP_H2_END_STREAM, ev,
                                                 &held);
    if (verdict == SP_H2_UNREADABLE)
        return sp_h2_broken(h2, ev, SP_H2_COMPRESSION_ERROR, "a head that cannot be decoded");
    const char *priority = in.ptr + SP_H2_FRAME_HEAD + (f.flags & SP_H2_PADDED ? 1 : 0);
    if ((f.flags & SP_H2_WITH_PRIORITY) && (sp_h2_get32(priority) & SP_H2_ID_MAX) == f.id)
        return sp_h2_cut(h2, ev, f.id, SP_H2_PROTOCOL_ERROR, "a stream that depends on itself", used);
    if (section == SP_H2_IGNORED)
        return drop_head(h2, f, s, ev, fresh, used);
    if (verdict != SP_H2_GOOD)
        return refuse(h2, ev, f.id, verdict, used);
    return take_head(h2, f, s, section, ev, held, used);
}
