/* speak: what a connection says for itself: its beginning, updates, resets, pings, goodbyes.
 *
 *      client   PRI * ... SM   SETTINGS   WINDOW_UPDATE 0
 *      server                  SETTINGS   WINDOW_UPDATE 0
 *
 * Settings are said once, at the beginning; what equals the standard is left out. They are in force when the
 * peer has acknowledged them, and until then it may count with the standard (control.c, stream.c). */
#include "wire/h2/h2_impl.h"

static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum { SETTING_BYTES = 6, SETTINGS_MOST = 5, PREFACE_ROOM = 96 };

static char *put_setting(char *at, enum sp_h2_setting setting, uint32_t value)
{
    *at++ = 0;
    *at++ = (char)setting;
    return sp_h2_put32(at, value);
}

ssize_t sp_h2_encode_preface(struct sp_h2 *h2, char *out, size_t room)
{
    bool client = h2->role == SP_ROLE_CLIENT;
    uint32_t table = sp_h2_read_table(h2->limits), window = sp_h2_window(h2), all = sp_h2_window_all(h2);
    if (room < PREFACE_ROOM)
        return SP_E_LIMIT;
    SP_ASSERT(!h2->greeted);
    h2->greeted = true;
    char *at = out;
    if (client) {
        memcpy(at, magic, SP_H2_MAGIC);
        at += SP_H2_MAGIC;
    }
    char *frame = at;
    at += SP_H2_FRAME_HEAD;
    if (table != SP_HPACK_TABLE_STANDARD)
        at = put_setting(at, SP_H2_SET_TABLE, table);
    at = client ? put_setting(at, SP_H2_SET_PUSH, 0)
                : put_setting(at, SP_H2_SET_STREAMS, sp_h2_streams_most(h2->limits));
    if (window != SP_H2_WINDOW_FIRST)
        at = put_setting(at, SP_H2_SET_WINDOW, window);
    at = put_setting(at, SP_H2_SET_HEAD, sp_h2_head_bytes(h2->limits));
    sp_h2_put_frame(frame, (uint32_t)(at - frame) - SP_H2_FRAME_HEAD, SP_H2_SETTINGS_FRAME, 0, 0);
    if (all > SP_H2_WINDOW_FIRST) {
        at = sp_h2_put32(sp_h2_put_frame(at, 4, SP_H2_WINDOW_UPDATE, 0, 0), all - SP_H2_WINDOW_FIRST);
        h2->recv_window += (int32_t)(all - SP_H2_WINDOW_FIRST);
    }
    return at - out;
}

ssize_t sp_h2_took(struct sp_h2 *h2, uint32_t id, uint32_t bytes, char *out, size_t room)
{
    if (room < 2 * (SP_H2_FRAME_HEAD + 4))
        return SP_E_LIMIT;
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    if (s)
        s->taken += bytes;
    h2->taken += bytes;
    return sp_h2_put_credit(h2, s, out) - out;
}

ssize_t sp_h2_encode_reset(struct sp_h2 *h2, uint32_t id, enum sp_h2_code code, char *out, size_t room)
{
    struct sp_h2_stream *s = sp_h2_find(h2, id);
    if (!s)
        return 0;
    if (room < SP_H2_FRAME_HEAD + 4)
        return SP_E_LIMIT;
    if (h2->phase == SP_H2_PHASE_BODY && h2->stream_id == id) { /* what is left of the frame is for nobody */
        h2->taken += h2->left;
        h2->left += h2->pad;
        h2->end = false;
        h2->phase = h2->left ? SP_H2_PHASE_PAD : SP_H2_PHASE_FRAME;
    }
    sp_h2_remove(h2, s, true);
    return sp_h2_put32(sp_h2_put_frame(out, 4, SP_H2_RST_STREAM, 0, id), code) - out;
}

ssize_t sp_h2_encode_goaway(struct sp_h2 *h2, uint32_t last, enum sp_h2_code code, char *out, size_t room)
{
    if (room < SP_H2_FRAME_HEAD + 8)
        return SP_E_LIMIT;
    if (last == UINT32_MAX)
        last = h2->peer_last;
    h2->goaway_sent = SP_MIN(h2->goaway_sent, last);
    char *at = sp_h2_put_frame(out, 8, SP_H2_GOAWAY_FRAME, 0, 0);
    return sp_h2_put32(sp_h2_put32(at, h2->goaway_sent), code) - out;
}

ssize_t sp_h2_encode_ping(uint64_t opaque, char *out, size_t room)
{
    if (room < SP_H2_FRAME_HEAD + sizeof opaque)
        return SP_E_LIMIT;
    memcpy(sp_h2_put_frame(out, sizeof opaque, SP_H2_PING, 0, 0), &opaque, sizeof opaque);
    return SP_H2_FRAME_HEAD + sizeof opaque;
}
