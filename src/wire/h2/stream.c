/* stream: the table of open streams.
 *
 * Open addressing by id, linear, deletion by moving back what follows: no tombstones, no pointers, so the
 * table can be given larger memory between two calls. Ids of one side go up by two, so id / 2 spreads them
 * perfectly and a peer that picks ids to collide makes us walk its own streams, of which there are a
 * hundred.
 *
 *          ┌── sent or got HEADERS ──┐      END_STREAM of one side        of the other, or RST_STREAM
 *      idle                        open ──────────────────────> half closed ─────────────> gone
 *                                                                                           │
 *                    ended[16]: the peer ended it, so a frame on it is wrong  <─────────────┤
 *                    cut[16]: we did, so frames on it were under way          <─────────────┘
 *
 * A stream that is gone leaves its id in one of two short rings. What is in neither is answered mildly: it is
 * a long time ago, and a connection with good calls on it should not end for it. */
#include "wire/h2/h2_impl.h"

static uint32_t slot_of(const struct sp_h2 *h2, uint32_t id)
{
    return (id >> 1) & (h2->stream_slots - 1);
}

struct sp_h2_stream *sp_h2_find(const struct sp_h2 *h2, uint32_t id)
{
    if (!h2->stream_count || !id)
        return NULL;
    for (uint32_t at = slot_of(h2, id); h2->streams[at].id; at = (at + 1) & (h2->stream_slots - 1))
        if (h2->streams[at].id == id)
            return &h2->streams[at];
    return NULL;
}

/* One slot in four stays free, so that every walk ends soon. */
bool sp_h2_has_slot(const struct sp_h2 *h2)
{
    return h2->stream_count + 1 <= h2->stream_slots - h2->stream_slots / 4;
}

static struct sp_h2_stream *free_slot(struct sp_h2 *h2, uint32_t id)
{
    uint32_t at = slot_of(h2, id);
    while (h2->streams[at].id)
        at = (at + 1) & (h2->stream_slots - 1);
    return &h2->streams[at];
}

struct sp_h2_stream *sp_h2_add(struct sp_h2 *h2, uint32_t id)
{
    if (!sp_h2_has_slot(h2))
        return NULL;
    struct sp_h2_stream *s = free_slot(h2, id);
    uint32_t window = sp_h2_window(h2);
    /* Before our settings are in force the peer counts with the standard. */
    if (!h2->acked)
        window = SP_MAX(window, (uint32_t)SP_H2_WINDOW_FIRST);
    *s = (struct sp_h2_stream){
        .id = id, .send_window = h2->peer_window, .recv_window = (int32_t)window, .body_left = -1
    };
    h2->stream_count++;
    return s;
}

bool sp_h2_in_ring(const uint32_t ring[SP_H2_RING], uint32_t id)
{
    for (int i = 0; i < SP_H2_RING; i++)
        if (ring[i] == id)
            return true;
    return false;
}

void sp_h2_ring_put(uint32_t ring[SP_H2_RING], uint8_t *at, uint32_t id)
{
    ring[*at] = id;
    *at = (uint8_t)((*at + 1) % SP_H2_RING);
}

void sp_h2_remove(struct sp_h2 *h2, struct sp_h2_stream *stream, bool cut)
{
    if (cut)
        sp_h2_ring_put(h2->cut, &h2->cut_at, stream->id);
    else
        sp_h2_ring_put(h2->ended, &h2->ended_at, stream->id);
    h2->charged -= stream->charged;
    h2->stream_count--;

    uint32_t mask = h2->stream_slots - 1, hole = (uint32_t)(stream - h2->streams);
    for (uint32_t at = (hole + 1) & mask; h2->streams[at].id; at = (at + 1) & mask) {
        uint32_t home = slot_of(h2, h2->streams[at].id);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home lies behind the hole */
        h2->streams[hole] = h2->streams[at];
        hole = at;
    }
    h2->streams[hole] = (struct sp_h2_stream){ 0 };
}

void sp_h2_end_side(struct sp_h2 *h2, struct sp_h2_stream *stream, enum sp_h2_stream_flag side)
{
    stream->flags |= side;
    if (!(stream->flags & SP_H2_PEER_ENDED) || !(stream->flags & SP_H2_WE_ENDED))
        return;
    h2->resets = SP_MIN(h2->resets + 1, (int32_t)SP_H2_RESETS); /* a call that ended well */
    sp_h2_remove(h2, stream, false);
}

bool sp_h2_is_ours(const struct sp_h2 *h2, uint32_t id)
{
    return (id & 1) == (h2->role == SP_ROLE_CLIENT);
}

bool sp_h2_is_unopened(const struct sp_h2 *h2, uint32_t id)
{
    return id > (sp_h2_is_ours(h2, id) ? h2->our_last : h2->peer_last);
}
