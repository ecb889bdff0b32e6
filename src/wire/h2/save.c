/* save: a connection's state as bytes, for the process that takes over.
 *
 * Numbers are little-endian, in the order of one list that is walked in both directions, so that what is
 * written is what is read. Streams follow as they are found, then the entries of both tables, oldest first:
 * they are put in again by the function that took them from the wire, and so cannot be in a state that it
 * could not make. What the decoder noted about entries stays behind; it is found out again. Load believes
 * nothing. */
#include "wire/h2/h2_impl.h"

enum { SAVE_SCHEMA = 1, STREAM_BYTES = 32 };

struct cursor {
    char *out;      /* writing */
    const char *in; /* reading; NULL: writing */
};

static void number32(struct cursor *c, uint32_t *value)
{
    uint32_t v;
    if (c->in) {
        memcpy(&v, c->in, sizeof v);
        *value = le32toh(v);
        c->in += sizeof v;
    } else {
        v = htole32(*value);
        memcpy(c->out, &v, sizeof v);
        c->out += sizeof v;
    }
}

static void signed32(struct cursor *c, int32_t *value)
{
    uint32_t v = (uint32_t)*value;
    number32(c, &v);
    *value = (int32_t)v;
}

/* What a connection is beside its streams and tables, as numbers. */
struct image {
    uint32_t phase, role, bits, pad, ended_at, cut_at, streams;
    uint32_t read_given, read_limit, read_most, read_count;
    uint32_t write_given, write_limit, write_count;
};

enum { BIT_ACKED = 1, BIT_END = 2, BIT_GREETED = 4, BIT_RESIZED = 8, BITS = 15 };

static void walk(struct cursor *c, struct sp_h2 *h2, struct image *m)
{
    uint32_t *const parts[] = { &m->phase,        &m->role,        &m->bits,          &m->pad,
                                &m->ended_at,     &m->cut_at,      &m->streams,       &m->read_given,
                                &m->read_limit,   &m->read_most,   &m->read_count,    &m->write_given,
                                &m->write_limit,  &m->write_count, &h2->peer_last,    &h2->our_last,
                                &h2->goaway_sent, &h2->goaway_got, &h2->taken,        &h2->peer_streams,
                                &h2->peer_frame,  &h2->peer_head,  &h2->calm_rest,    &h2->need,
                                &h2->left,        &h2->stream_id,  &h2->encoder.most, &h2->encoder.least };
    for (size_t i = 0; i < SP_COUNTOF(parts); i++)
        number32(c, parts[i]);
    int32_t *const more[] = { &h2->send_window, &h2->recv_window, &h2->peer_window, &h2->resets,
                              &h2->controls };
    for (size_t i = 0; i < SP_COUNTOF(more); i++)
        signed32(c, more[i]);
    for (int i = 0; i < SP_H2_RING; i++)
        number32(c, &h2->ended[i]);
    for (int i = 0; i < SP_H2_RING; i++)
        number32(c, &h2->cut[i]);
}

enum { WALK_NUMBERS = 28 + 5 + 2 * SP_H2_RING, WALK_BYTES = 4 * WALK_NUMBERS };

static void walk_stream(struct cursor *c, struct sp_h2_stream *s)
{
    uint32_t low = (uint32_t)(uint64_t)s->body_left, high = (uint32_t)((uint64_t)s->body_left >> 32);
    number32(c, &s->id);
    signed32(c, &s->send_window);
    signed32(c, &s->recv_window);
    number32(c, &s->taken);
    number32(c, &s->charged);
    number32(c, &s->flags);
    number32(c, &low);
    number32(c, &high);
    s->body_left = (int64_t)((uint64_t)high << 32 | low);
}

static size_t table_text(const struct sp_hpack_table *t)
{
    return t->size - (size_t)t->count * SP_HPACK_ENTRY + (size_t)t->count * 8;
}

size_t sp_h2_save_bytes(const struct sp_h2 *h2)
{
    return 4 + WALK_BYTES + (size_t)h2->stream_count * STREAM_BYTES + table_text(&h2->decoder) +
           table_text(&h2->encoder.table);
}

static void save_table(struct cursor *c, const struct sp_hpack_table *t)
{
    struct sp_hpack_field f;
    for (uint32_t at = t->count; at-- > 0;) {
        if (!sp_hpack_table_get(t, at, &f))
            break;
        uint32_t name = (uint32_t)f.name.len, value = (uint32_t)f.value.len;
        number32(c, &name);
        number32(c, &value);
        if (name)
            memcpy(c->out, f.name.ptr, name);
        if (value)
            memcpy(c->out + name, f.value.ptr, value);
        c->out += name + value;
    }
}

void sp_h2_save(const struct sp_h2 *h2, void *out)
{
    struct cursor c = { .out = out };
    struct sp_h2 copy = *h2;
    uint32_t schema = SAVE_SCHEMA;
    struct image m = {
        .phase = h2->phase,
        .role = h2->role,
        .bits = (h2->acked ? BIT_ACKED : 0u) | (h2->end ? BIT_END : 0u) | (h2->greeted ? BIT_GREETED : 0u) |
                (h2->encoder.resized ? BIT_RESIZED : 0u),
        .pad = h2->pad,
        .ended_at = h2->ended_at,
        .cut_at = h2->cut_at,
        .streams = h2->stream_count,
        .read_given = h2->decoder.memory != NULL,
        .read_limit = h2->decoder.limit,
        .read_most = h2->decoder.most,
        .read_count = h2->decoder.count,
        .write_given = h2->encoder.table.memory != NULL,
        .write_limit = h2->encoder.table.limit,
        .write_count = h2->encoder.table.count,
    };
    number32(&c, &schema);
    walk(&c, &copy, &m);
    for (uint32_t i = 0; i < h2->stream_slots; i++) {
        struct sp_h2_stream s = h2->streams[i];
        if (s.id)
            walk_stream(&c, &s);
    }
    save_table(&c, &h2->decoder);
    save_table(&c, &h2->encoder.table);
    SP_ASSERT(c.out == (char *)out + sp_h2_save_bytes(h2));
}

static sp_err read_image(sp_str saved, struct sp_h2 *h2, struct image *m)
{
    uint32_t schema;
    if (saved.len < 4 + WALK_BYTES)
        return SP_E_INVALID;
    struct cursor c = { .in = saved.ptr };
    number32(&c, &schema);
    walk(&c, h2, m);
    if (schema != SAVE_SCHEMA || m->phase >= SP_H2_PHASES || m->role > SP_ROLE_CLIENT || m->bits > BITS ||
        m->pad > UINT8_MAX || m->ended_at >= SP_H2_RING || m->cut_at >= SP_H2_RING || m->read_given > 1 ||
        m->write_given > 1 || m->streams > SP_H2_STREAMS_MAX || h2->peer_frame < SP_H2_FRAME_MAX ||
        h2->peer_frame >= 1 << 24 || h2->our_last > SP_H2_ID_MAX || h2->peer_last > SP_H2_ID_MAX ||
        h2->left > SP_H2_FRAME_MAX || h2->peer_window < 0 || (!m->read_given && m->read_count) ||
        (!m->write_given && m->write_count) || m->read_limit > SP_HPACK_TABLE_MAX ||
        m->write_limit > SP_HPACK_TABLE_MAX || m->read_most > SP_HPACK_TABLE_MAX ||
        h2->resets > SP_H2_RESETS || h2->controls > SP_H2_CONTROLS)
        return SP_E_INVALID;
    return SP_OK;
}

sp_err sp_h2_load_bytes(sp_str saved, uint32_t ret_bytes[SP_H2_REGIONS])
{
    struct sp_h2 h2 = { 0 };
    struct image m;
    sp_err err = read_image(saved, &h2, &m);
    if (err)
        return err;
    uint32_t slots = 8;
    while (m.streams && slots - slots / 4 < m.streams)
        slots *= 2;
    ret_bytes[SP_H2_STREAMS] = m.streams ? slots * (uint32_t)sizeof(struct sp_h2_stream) : 0;
    ret_bytes[SP_H2_READ_TABLE] = m.read_given; /* 1: it wants one; how large says sp_h2_region_bytes */
    ret_bytes[SP_H2_WRITE_TABLE] = m.write_given;
    return SP_OK;
}

static bool load_streams(struct sp_h2 *h2, sp_str *rest, uint32_t count)
{
    if (rest->len < (size_t)count * STREAM_BYTES)
        return false;
    struct cursor c = { .in = rest->ptr };
    for (uint32_t i = 0; i < count; i++) {
        struct sp_h2_stream s;
        walk_stream(&c, &s);
        if (!s.id || s.id > SP_H2_ID_MAX || sp_h2_find(h2, s.id) || s.body_left < -1 ||
            s.charged > UINT32_MAX - h2->charged || sp_h2_is_unopened(h2, s.id))
            return false;
        struct sp_h2_stream *to = sp_h2_add(h2, s.id);
        if (!to)
            return false;
        *to = s;
        h2->charged += s.charged;
    }
    *rest = sp_str_from(*rest, (size_t)count * STREAM_BYTES);
    return true;
}

static bool load_entry(sp_str *rest, sp_str *ret_name, sp_str *ret_value)
{
    uint32_t name, value;
    if (rest->len < 8)
        return false;
    struct cursor c = { .in = rest->ptr };
    number32(&c, &name);
    number32(&c, &value);
    *rest = sp_str_from(*rest, 8);
    if (name > rest->len || value > rest->len - name)
        return false;
    *ret_name = sp_str_upto(*rest, name);
    *ret_value = sp_str_upto(sp_str_from(*rest, name), value);
    *rest = sp_str_from(*rest, (size_t)name + value);
    return true;
}

static bool load_tables(struct sp_h2 *h2, const struct image *m, sp_str rest)
{
    struct sp_hpack_table *t = &h2->decoder;
    sp_str name, value;
    if (m->read_given) {
        if (m->read_limit > t->bytes || m->read_most > t->bytes)
            return false;
        sp_hpack_table_limit(t, m->read_limit);
        t->most = m->read_most;
        for (uint32_t i = 0; i < m->read_count; i++)
            if (!load_entry(&rest, &name, &value) || !sp_hpack_table_insert(t, name, value, 0))
                return false;
        if (t->count != m->read_count)
            return false;
    }
    if (m->write_given) {
        if (m->write_limit > h2->encoder.table.bytes)
            return false;
        sp_hpack_table_limit(&h2->encoder.table, m->write_limit);
        for (uint32_t i = 0; i < m->write_count; i++)
            if (!load_entry(&rest, &name, &value) || !sp_hpack_encoder_insert(&h2->encoder, name, value))
                return false;
        if (h2->encoder.table.count != m->write_count)
            return false;
    }
    return rest.len == 0;
}

sp_err sp_h2_load(struct sp_h2 *h2, sp_str saved)
{
    struct sp_h2 to = *h2;
    struct image m;
    sp_err err = read_image(saved, &to, &m);
    if (err || m.role != h2->role)
        return SP_E_INVALID;
    if ((m.read_given && !h2->decoder.memory) || (m.write_given && !h2->encoder.table.memory) ||
        (m.streams && m.streams > h2->stream_slots - h2->stream_slots / 4))
        return SP_E_NOMEM;
    to.phase = (uint8_t)m.phase;
    to.pad = (uint16_t)m.pad;
    to.acked = m.bits & BIT_ACKED;
    to.end = m.bits & BIT_END;
    to.greeted = m.bits & BIT_GREETED;
    to.encoder.resized = m.bits & BIT_RESIZED;
    to.ended_at = (uint8_t)m.ended_at;
    to.cut_at = (uint8_t)m.cut_at;
    to.charged = 0;
    sp_str rest = sp_str_from(saved, 4 + WALK_BYTES);
    if (!load_streams(&to, &rest, m.streams) || !load_tables(&to, &m, rest))
        return SP_E_INVALID; /* h2 is of no more use than after init: its memory may be taken back */
    *h2 = to;
    return SP_OK;
}
