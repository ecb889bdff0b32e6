/* control: the frames between neighbours: settings, pings, resets, windows, goodbyes. Each is wholly there
 * and has a length that decode.c has judged.
 *
 * Each that carries nothing costs one of a budget (h2.c). A change of the initial window walks the open
 * streams, so a frame's settings are read first and applied once, and a frame has at most 64 of them.
 *
 * Priorities were withdrawn (RFC 9113 5.3): read, judged for what is wrong in itself, and dropped. */
#include "wire/h2/h2_impl.h"

static const char flood[] = "too many frames that carry nothing";

/* The initial window changed: all open streams' follow. False: one would be too large. */
static bool move_windows(struct sp_h2 *h2, uint32_t window)
{
    int64_t delta = (int64_t)window - h2->peer_window;
    h2->peer_window = (int32_t)window;
    if (!delta)
        return true;
    for (uint32_t i = 0; i < h2->stream_slots; i++) {
        struct sp_h2_stream *s = &h2->streams[i];
        int64_t moved = s->send_window + delta;
        if (!s->id)
            continue;
        if (moved > INT32_MAX)
            return false;
        s->send_window = (int32_t)moved; /* may be below 0 (RFC 9113 6.9.2) */
    }
    return true;
}

/* Our settings are in force: the windows of streams that began before count from ours. */
static void settings_acked(struct sp_h2 *h2)
{
    int32_t ours = (int32_t)sp_h2_window(h2);
    if (h2->acked)
        return;
    h2->acked = true;
    sp_h2_table_acked(h2);
    for (uint32_t i = 0; ours < SP_H2_WINDOW_FIRST && i < h2->stream_slots; i++)
        if (h2->streams[i].id)
            h2->streams[i].recv_window += ours - SP_H2_WINDOW_FIRST;
}

static ssize_t read_settings(struct sp_h2 *h2, struct sp_h2_frame f, const char *p, struct sp_h2_event *ev)
{
    if (f.flags & SP_H2_ACK) {
        settings_acked(h2);
        ev->note = SP_H2_ACKED;
        return 0;
    }
    uint32_t window = (uint32_t)h2->peer_window, table = UINT32_MAX, lowest = UINT32_MAX;
    for (uint32_t at = 0; at < f.len; at += 6) {
        uint32_t value = sp_h2_get32(p + at + 2);
        switch ((unsigned)(unsigned char)p[at] << 8 | (unsigned char)p[at + 1]) {
        case SP_H2_SET_TABLE: table = value, lowest = SP_MIN(lowest, value); break;
        case SP_H2_SET_PUSH:
            if (value > (h2->role == SP_ROLE_SERVER))
                return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1");
            break;
        case SP_H2_SET_STREAMS: h2->peer_streams = value; break;
        case SP_H2_SET_WINDOW:
            if (value > SP_H2_ID_MAX)
                return sp_h2_broken(h2, ev, SP_H2_FLOW_CONTROL_ERROR,
                                    "INITIAL_WINDOW_SIZE is above 2^31 - 1");
            window = value;
            break;
        case SP_H2_SET_FRAME:
            if (value < SP_H2_FRAME_MAX || value >= 1 << 24)
                return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range");
            h2->peer_frame = value;
            break;
        case SP_H2_SET_HEAD: h2->peer_head = value; break;
        default: break; /* RFC 9113 6.5.2: what is not known is passed over */
        }
    }
    if (table != UINT32_MAX) {
        sp_hpack_encoder_most(&h2->encoder, lowest);
        sp_hpack_encoder_most(&h2->encoder, table);
    }
    bool grew = window > (uint32_t)h2->peer_window;
    if (!move_windows(h2, window))
        return sp_h2_broken(h2, ev, SP_H2_FLOW_CONTROL_ERROR, "a window is above 2^31 - 1");
    ev->note = grew ? SP_H2_ROOM : SP_H2_SETTINGS;
    ev->id = 0;
    sp_h2_put_frame(ev->reply + ev->reply_len, 0, SP_H2_SETTINGS_FRAME, SP_H2_ACK, 0);
    ev->reply_len += SP_H2_FRAME_HEAD;
    return 0;
}

static ssize_t read_ping(struct sp_h2_frame f, const char *p, struct sp_h2_event *ev)
{
    if (f.flags & SP_H2_ACK) {
        memcpy(&ev->opaque, p, sizeof ev->opaque);
        ev->note = SP_H2_PONG;
        return 0;
    }
    char *at = sp_h2_put_frame(ev->reply + ev->reply_len, 8, SP_H2_PING, SP_H2_ACK, 0);
    memcpy(at, p, 8);
    ev->reply_len += SP_H2_FRAME_HEAD + 8;
    return 0;
}

static ssize_t read_reset(struct sp_h2 *h2, struct sp_h2_frame f, const char *p, struct sp_h2_event *ev)
{
    if (sp_h2_is_unopened(h2, f.id))
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "RST_STREAM on a stream that nobody opened");
    if (!sp_h2_spend(&h2->resets))
        return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, "too many streams ended by a reset");
    struct sp_h2_stream *s = sp_h2_find(h2, f.id);
    if (!s)
        return 0;
    sp_h2_remove(h2, s, false);
    ev->note = SP_H2_RESET;
    ev->by_peer = true;
    ev->id = f.id;
    ev->code = sp_h2_get32(p);
    return 0;
}

static ssize_t read_priority(struct sp_h2 *h2, struct sp_h2_frame f, const char *p, struct sp_h2_event *ev)
{
    if ((sp_h2_get32(p) & SP_H2_ID_MAX) == f.id)
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "a stream that depends on itself");
    return 0;
}

static ssize_t read_update(struct sp_h2 *h2, struct sp_h2_frame f, const char *p, struct sp_h2_event *ev)
{
    uint32_t bytes = sp_h2_get32(p) & SP_H2_ID_MAX;
    int32_t *window = &h2->send_window;
    if (f.id && sp_h2_is_unopened(h2, f.id))
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that nobody opened");
    struct sp_h2_stream *s = f.id ? sp_h2_find(h2, f.id) : NULL;
    if (f.id && !s)
        return 0; /* it was under way when the stream ended */
    if (s)
        window = &s->send_window;
    if (!bytes && !s)
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "WINDOW_UPDATE of nothing");
    if (!bytes)
        return sp_h2_cut(h2, ev, f.id, SP_H2_PROTOCOL_ERROR, "WINDOW_UPDATE of nothing", 0);
    if (*window > INT32_MAX - (int32_t)bytes && !s)
        return sp_h2_broken(h2, ev, SP_H2_FLOW_CONTROL_ERROR, "a window is above 2^31 - 1");
    if (*window > INT32_MAX - (int32_t)bytes)
        return sp_h2_cut(h2, ev, f.id, SP_H2_FLOW_CONTROL_ERROR, "a window is above 2^31 - 1", 0);
    *window += (int32_t)bytes;
    ev->note = SP_H2_ROOM;
    ev->id = f.id;
    return 0;
}

static ssize_t read_goaway(struct sp_h2 *h2, const char *p, struct sp_h2_event *ev)
{
    uint32_t last = sp_h2_get32(p) & SP_H2_ID_MAX;
    if (last > h2->goaway_got)
        return sp_h2_broken(h2, ev, SP_H2_PROTOCOL_ERROR, "GOAWAY takes back an earlier one");
    h2->goaway_got = last;
    for (uint32_t i = 0; i < h2->stream_slots;) {
        struct sp_h2_stream *s = &h2->streams[i];
        if (s->id > last && sp_h2_is_ours(h2, s->id))
            sp_h2_remove(h2, s, true); /* may move another into this slot */
        else
            i++;
    }
    ev->note = SP_H2_GOAWAY;
    ev->id = last;
    ev->code = sp_h2_get32(p + 4);
    return 0;
}

ssize_t sp_h2_read_control(struct sp_h2 *h2, struct sp_h2_frame f, const char *payload,
                           struct sp_h2_event *ev)
{
    bool counted = f.type != SP_H2_RST_STREAM && f.type != SP_H2_GOAWAY_FRAME;
    if (counted && !sp_h2_spend(&h2->controls))
        return sp_h2_broken(h2, ev, SP_H2_ENHANCE_YOUR_CALM, flood);
    switch ((enum sp_h2_type)f.type) {
    case SP_H2_SETTINGS_FRAME: return read_settings(h2, f, payload, ev);
    case SP_H2_PING: return read_ping(f, payload, ev);
    case SP_H2_RST_STREAM: return read_reset(h2, f, payload, ev);
    case SP_H2_PRIORITY: return read_priority(h2, f, payload, ev);
    case SP_H2_WINDOW_UPDATE: return read_update(h2, f, payload, ev);
    case SP_H2_GOAWAY_FRAME: return read_goaway(h2, payload, ev);
    case SP_H2_DATA:
    case SP_H2_HEADERS:
    case SP_H2_PUSH_PROMISE:
    case SP_H2_CONTINUATION:
    case SP_H2_TYPES: break;
    }
    return 0;
}
