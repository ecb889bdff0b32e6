/* h2: a connection of HTTP/2 begins, is given memory, calms down.
 *
 * A codec of one stream at a time needs 32 bytes of state; this one needs what RFC 9113 makes both ends
 * remember: two windows for each stream, two tables of headers, what was promised and what was said. It is
 * split by what pays for it:
 *
 *      sp_h2           about 400 bytes, from the first byte on
 *      STREAMS         32 bytes for each slot, 8 slots at first, doubled when it is three quarters full
 *      READ_TABLE      4.3 KiB, with the first head that comes
 *      WRITE_TABLE     4.5 KiB; without it the encoder works, and says everything in full
 *
 * The last three are asked for when they are needed, so that a connection which idles before its first call
 * costs nothing but the first line; a server of a hundred thousand streams can give smaller tables.
 *
 * Floods are counted in two budgets, and the one thing that a codec cannot know, the time, is told to it by
 * sp_h2_calm. Resets (H1, H2 of what is known of attacks) count on both sides, because a peer can make us
 * reset; a call that ends well gives one back, so a client that cancels a part of its calls is never cut.
 * Frames that carry nothing share the other budget; heads and bytes of body give back. */
#include "wire/h2/h2.h"

#include "wire/h2/h2_impl.h"

/* What comes back with time: 33 resets and 100 other frames a second. */
enum { CALM_RESET_MS = 30, CALM_CONTROL_MS = 10, SLOTS_FIRST = 8, SLOTS_MAX = 1 << 16 };

static const struct sp_h2_limits standard;

static const struct sp_h2_limits *limits_of(const struct sp_h2_limits *limits)
{
    return limits ? limits : &standard;
}

uint32_t sp_h2_window(const struct sp_h2 *h2)
{
    return SP_MIN(sp_h2_or(h2->limits->window, 256 << 10), SP_H2_ID_MAX);
}

uint32_t sp_h2_window_all(const struct sp_h2 *h2)
{
    return SP_MIN(SP_MAX(sp_h2_or(h2->limits->window_all, 1 << 20), (uint32_t)SP_H2_WINDOW_FIRST),
                  SP_H2_ID_MAX);
}

uint32_t sp_h2_head_bytes(const struct sp_h2_limits *limits)
{
    return sp_h2_or(limits->head_bytes, 64 << 10);
}

uint32_t sp_h2_read_table(const struct sp_h2_limits *limits)
{
    return SP_MIN(sp_h2_or(limits->read_table, SP_HPACK_TABLE_STANDARD), (uint32_t)SP_HPACK_TABLE_MAX);
}

uint32_t sp_h2_write_table(const struct sp_h2_limits *limits)
{
    return SP_MIN(sp_h2_or(limits->write_table, SP_HPACK_TABLE_STANDARD), (uint32_t)SP_HPACK_TABLE_MAX);
}

uint32_t sp_h2_streams_most(const struct sp_h2_limits *limits)
{
    return SP_MIN(sp_h2_or(limits->streams, 100), (uint32_t)SP_H2_STREAMS_MAX);
}

size_t sp_h2_bytes(void)
{
    return sizeof(struct sp_h2);
}

/* A head in pieces is put together in front, then its text, then an entry that the table must get. */
size_t sp_h2_scratch_bytes(const struct sp_h2_limits *limits)
{
    limits = limits_of(limits);
    /* the table is the standard one until our settings are in force */
    return 2 * (size_t)sp_h2_head_bytes(limits) +
           SP_MAX(sp_h2_read_table(limits), (uint32_t)SP_HPACK_TABLE_STANDARD);
}

struct sp_h2 *sp_h2_init(void *memory, enum sp_role role, const struct sp_h2_limits *limits)
{
    struct sp_h2 *h2 = memory;
    *h2 = (struct sp_h2){
        .limits = limits_of(limits),
        .goaway_sent = UINT32_MAX,
        .goaway_got = UINT32_MAX,
        .send_window = SP_H2_WINDOW_FIRST,
        .recv_window = SP_H2_WINDOW_FIRST,
        .peer_window = SP_H2_WINDOW_FIRST,
        .peer_streams = UINT32_MAX,
        .peer_frame = SP_H2_FRAME_MAX,
        .peer_head = UINT32_MAX,
        .resets = SP_H2_RESETS,
        .controls = SP_H2_CONTROLS,
        .phase = role == SP_ROLE_SERVER ? SP_H2_PHASE_MAGIC : SP_H2_PHASE_SETTINGS,
        .role = (uint8_t)role,
    };
    sp_hpack_encoder_init(&h2->encoder);
    return h2;
}

/* The peer may use the standard table until it has heard of a smaller one. */
static uint32_t table_bytes(const struct sp_h2 *h2)
{
    return SP_MAX(sp_h2_read_table(h2->limits), (uint32_t)SP_HPACK_TABLE_STANDARD);
}

uint32_t sp_h2_region_bytes(const struct sp_h2 *h2, enum sp_h2_region region)
{
    switch (region) {
    case SP_H2_STREAMS:
        if (sp_h2_has_slot(h2) || h2->stream_slots >= SLOTS_MAX)
            return 0;
        return (h2->stream_slots ? h2->stream_slots * 2 : SLOTS_FIRST) *
               (uint32_t)sizeof(struct sp_h2_stream);
    case SP_H2_READ_TABLE: return h2->decoder.memory ? 0 : (uint32_t)sp_hpack_table_bytes(table_bytes(h2));
    case SP_H2_WRITE_TABLE:
        return h2->encoder.table.memory ? 0 : (uint32_t)sp_hpack_encoder_bytes(sp_h2_write_table(h2->limits));
    case SP_H2_REGIONS: break;
    }
    return 0;
}

static void *give_streams(struct sp_h2 *h2, void *memory, uint32_t bytes)
{
    struct sp_h2_stream *old = h2->streams, *table = memory;
    uint32_t old_slots = h2->stream_slots, slots = SLOTS_FIRST;
    if (!memory) {
        SP_ASSERT(h2->stream_count == 0);
        h2->streams = NULL;
        h2->stream_slots = 0;
        return old;
    }
    while (slots < SLOTS_MAX && (size_t)slots * 2 * sizeof *table <= bytes)
        slots *= 2;
    SP_ASSERT(slots * sizeof *table <= bytes && h2->stream_count <= slots - slots / 4);
    memset(table, 0, slots * sizeof *table);
    h2->streams = table;
    h2->stream_slots = slots;
    for (uint32_t i = 0; i < old_slots; i++) {
        if (!old[i].id)
            continue;
        uint32_t at = (old[i].id >> 1) & (slots - 1);
        while (table[at].id)
            at = (at + 1) & (slots - 1);
        table[at] = old[i];
    }
    return old;
}

void *sp_h2_give(struct sp_h2 *h2, enum sp_h2_region region, void *memory, uint32_t bytes)
{
    void *old = NULL;
    switch (region) {
    case SP_H2_STREAMS: return give_streams(h2, memory, bytes);
    case SP_H2_READ_TABLE:
        old = h2->decoder.memory;
        if (memory) {
            SP_ASSERT(!old && bytes >= sp_hpack_table_bytes(table_bytes(h2)));
            sp_hpack_table_init(&h2->decoder, memory, table_bytes(h2), SP_HPACK_TABLE_STANDARD);
            if (h2->acked)
                sp_h2_table_acked(h2);
        } else {
            h2->decoder.memory = NULL; /* the connection is over */
        }
        return old;
    case SP_H2_WRITE_TABLE:
        old = h2->encoder.table.memory;
        if (memory) {
            SP_ASSERT(bytes >= sp_hpack_encoder_bytes(sp_h2_write_table(h2->limits)));
            sp_hpack_encoder_give(&h2->encoder, memory, sp_h2_write_table(h2->limits));
        } else {
            sp_hpack_encoder_init(&h2->encoder); /* the connection is over */
        }
        return old;
    case SP_H2_REGIONS: break;
    }
    return NULL;
}

/* The peer has heard what our table may hold. */
void sp_h2_table_acked(struct sp_h2 *h2)
{
    h2->decoder.most = sp_h2_read_table(h2->limits);
    if (h2->decoder.memory && h2->decoder.limit > h2->decoder.most)
        sp_hpack_table_limit(&h2->decoder, h2->decoder.most);
}

void sp_h2_calm(struct sp_h2 *h2, uint32_t milliseconds)
{
    uint32_t most = CALM_RESET_MS * SP_H2_RESETS, sum = SP_MIN(milliseconds, 100 * most) + h2->calm_rest;
    int32_t resets = (int32_t)(sum / CALM_RESET_MS);
    h2->calm_rest = sum % CALM_RESET_MS;
    int32_t controls = resets * (CALM_RESET_MS / CALM_CONTROL_MS);
    h2->resets = SP_MIN(h2->resets + resets, (int32_t)SP_H2_RESETS);
    h2->controls = SP_MIN(h2->controls + controls, (int32_t)SP_H2_CONTROLS);
}

uint32_t sp_h2_streams(const struct sp_h2 *h2)
{
    return h2->stream_count;
}

bool sp_h2_is_idle(const struct sp_h2 *h2)
{
    return h2->stream_count == 0 && h2->phase == SP_H2_PHASE_FRAME && h2->need == 0;
}

ssize_t sp_h2_finish(const struct sp_h2 *h2)
{
    return sp_h2_is_idle(h2) || h2->phase == SP_H2_PHASE_BROKEN ? 0 : SP_E_CLOSED;
}

const char *sp_h2_code_name(uint32_t code)
{
    static const char *const names[] = {
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    };
    return code < SP_COUNTOF(names) ? names[code] : "unknown";
}
