/* Protobuf's bytes become typed values.
 *
 * One pass, table beside it. Strings, bytes and unknown fields are views into the input: an xDS resource of
 * a megabyte costs the structs and nothing else. What the grammar says is checked before anything is built:
 *
 *     message = { key value }      key = varint(number << 3 | wire)      number 1 .. 2^29 - 1
 *     wire 0  varint, at most 10 bytes     wire 1  8 bytes       wire 5  4 bytes
 *     wire 2  varint length, bytes         wire 3  group: fields until the matching wire 4
 *
 * A field whose wire type does not fit its kind is kept as unknown, which is what protobuf's own libraries
 * do: another version of the schema may have meant something else. For a repeated scalar both forms fit.
 *
 * Unknown fields are collected as bytes. When they lie side by side in the input one view is enough; else
 * they are copied together. Maps come out sorted by key, of equal keys the last.
 *
 * protobuf-c is the oracle of the fuzz target; it was eight times slower when the two were chosen between. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "form/pb_impl.h"
#include "form/pb_wire.h"

#define FIELD_NUMBER_MAX ((UINT32_C(1) << 29) - 1)

/* Bytes eaten, or 0 when the varint is cut off or longer than ten bytes. */
static size_t take_varint(sp_str s, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.len && i < 10; i++) {
        uint8_t byte = (uint8_t)s.ptr[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

static uint64_t little(const char *bytes, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    return value;
}

/* Key of the field at the front. */
static sp_err take_key(struct sp_form_wire *w)
{
    uint64_t key;
    size_t n = take_varint(w->rest, &key);
    if (n == 0 || key >> 3 == 0 || key >> 3 > FIELD_NUMBER_MAX)
        return SP_E_INVALID;
    w->number = (uint32_t)(key >> 3);
    w->wire = key & 7;
    w->rest = sp_str_from(w->rest, n);
    return SP_OK;
}

static int next_at(struct sp_form_wire *w, uint32_t depth);

static sp_err skip_group(struct sp_form_wire *w, uint32_t depth)
{
    struct sp_form_wire inner = { .rest = w->rest };
    if (depth >= SP_FORM_DEPTH_MAX)
        return SP_E_LIMIT;
    for (;;) {
        const char *at = inner.rest.ptr;
        int more = next_at(&inner, depth + 1);
        if (more < 0)
            return more;
        if (more == 0)
            return SP_E_INVALID; /* the end came before the group's */
        if (inner.wire == SP_PB_GROUP_END) {
            if (inner.number != w->number)
                return SP_E_INVALID;
            w->bytes = sp_str_of(w->rest.ptr, (size_t)(at - w->rest.ptr));
            w->rest = inner.rest;
            return SP_OK;
        }
    }
}

static sp_err take_value(struct sp_form_wire *w, uint32_t depth)
{
    size_t n;
    switch (w->wire) {
    case SP_PB_VARINT:
        n = take_varint(w->rest, &w->value);
        if (n == 0)
            return SP_E_INVALID;
        break;
    case SP_PB_64:
    case SP_PB_32:
        n = w->wire == SP_PB_64 ? 8 : 4;
        if (w->rest.len < n)
            return SP_E_INVALID;
        w->value = little(w->rest.ptr, n);
        break;
    case SP_PB_BYTES: {
        uint64_t len;
        n = take_varint(w->rest, &len);
        if (n == 0 || len > w->rest.len - n)
            return SP_E_INVALID;
        w->bytes = sp_str_of(w->rest.ptr + n, (size_t)len);
        n += (size_t)len;
        break;
    }
    case SP_PB_GROUP: return skip_group(w, depth);
    case SP_PB_GROUP_END: return SP_OK;
    default: return SP_E_INVALID;
    }
    w->rest = sp_str_from(w->rest, n);
    return SP_OK;
}

static int next_at(struct sp_form_wire *w, uint32_t depth)
{
    const char *start = w->rest.ptr;
    if (w->rest.len == 0)
        return 0;
    sp_err err = take_key(w);
    if (!err)
        err = take_value(w, depth);
    if (err)
        return err;
    w->whole = sp_str_of(start, (size_t)(w->rest.ptr - start));
    return 1;
}

int sp_form_wire_next(struct sp_form_wire *w)
{
    int more = next_at(w, 0);
    return more == 1 && w->wire == SP_PB_GROUP_END ? SP_E_INVALID : more;
}

struct decode {
    struct sp_arena *arena;
    uint32_t depth;
    bool has_maps; /* with more than one entry, which may be of one key */
};

/* Unknown fields are a view while they lie side by side in the input, else a copy that grows by doubling:
 * a message that is merged from many pieces is not copied for each. */
static sp_err keep(struct decode *d, struct sp_form_head *head, sp_str field)
{
    sp_str *kept = &head->unknown;
    if (kept->len == 0) {
        *kept = field;
        return SP_OK;
    }
    if (head->unknown_room == 0 && kept->ptr + kept->len == field.ptr) {
        kept->len += field.len;
        return SP_OK;
    }
    if (head->unknown_room < kept->len + field.len) {
        size_t room = 2 * (kept->len + field.len);
        char *copy = sp_arena_alloc_align(d->arena, room, 1);
        if (!copy)
            return SP_E_NOMEM;
        memcpy(copy, kept->ptr, kept->len);
        kept->ptr = copy;
        head->unknown_room = (uint32_t)room;
    }
    memcpy((char *)(uintptr_t)kept->ptr + kept->len, field.ptr, field.len);
    kept->len += field.len;
    return SP_OK;
}

static void put_number(const struct sp_form_field *f, void *place, uint64_t value)
{
    uint32_t low = (uint32_t)value;
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_BOOL: *(bool *)place = value != 0; return;
    case SP_FORM_SINT32:
        low = (low >> 1) ^ (0 - (low & 1));
        memcpy(place, &low, 4);
        return;
    case SP_FORM_SINT64:
        value = (value >> 1) ^ (0 - (value & 1));
        memcpy(place, &value, 8);
        return;
    case SP_FORM_INT32:
    case SP_FORM_UINT32:
    case SP_FORM_ENUM:
    case SP_FORM_FIXED32:
    case SP_FORM_SFIXED32:
    case SP_FORM_FLOAT: memcpy(place, &low, 4); return;
    case SP_FORM_INT64:
    case SP_FORM_UINT64:
    case SP_FORM_FIXED64:
    case SP_FORM_SFIXED64:
    case SP_FORM_DOUBLE: memcpy(place, &value, 8); return;
    case SP_FORM_STRING:
    case SP_FORM_BYTES:
    case SP_FORM_MESSAGE: break;
    }
    SP_ASSERT(!"a number's kind");
}

static sp_err decode_into(struct decode *d, void *msg, sp_str bytes);

static sp_err take_packed(struct decode *d, void *msg, const struct sp_form_field *f, sp_str bytes)
{
    enum sp_pb_wire wire = sp_form_pb_wire(f->kind);
    while (bytes.len) {
        uint64_t value;
        size_t n = wire == SP_PB_VARINT ? take_varint(bytes, &value) : wire == SP_PB_64 ? 8 : 4;
        if (n == 0 || n > bytes.len)
            return SP_E_INVALID;
        if (wire != SP_PB_VARINT)
            value = little(bytes.ptr, n);
        void *place = sp_form_add(d->arena, msg, f);
        if (!place)
            return SP_E_NOMEM;
        put_number(f, place, value);
        bytes = sp_str_from(bytes, n);
    }
    return SP_OK;
}

static sp_err take_message(struct decode *d, void **place, const struct sp_form_field *f, sp_str bytes)
{
    if (!*place) /* else merged into what is there */
        *place = sp_form_new(d->arena, f->msg);
    return *place ? decode_into(d, *place, bytes) : SP_E_NOMEM;
}

static sp_err take_field(struct decode *d, void *msg, const struct sp_form_field *f,
                         const struct sp_form_wire *w)
{
    enum sp_pb_wire wire = sp_form_pb_wire(f->kind);
    if (w->wire == SP_PB_BYTES && wire != SP_PB_BYTES)
        return take_packed(d, msg, f, w->bytes);
    if (f->kind == SP_FORM_STRING && !sp_str_is_utf8(w->bytes))
        return SP_E_INVALID;
    void *place = sp_form_add(d->arena, msg, f);
    if (!place)
        return SP_E_NOMEM;
    if (f->kind == SP_FORM_STRING || f->kind == SP_FORM_BYTES) {
        *(sp_str *)place = w->bytes;
        return SP_OK;
    }
    if (f->kind != SP_FORM_MESSAGE) {
        put_number(f, place, w->value);
        return SP_OK;
    }
    if (f->flags & SP_FORM_F_MAP && sp_form_len(msg, f) > 1)
        d->has_maps = true;
    return take_message(d, place, f, w->bytes);
}

static bool fits(const struct sp_form_field *f, const struct sp_form_wire *w)
{
    enum sp_pb_wire wire = sp_form_pb_wire(f->kind);
    return w->wire == wire || (w->wire == SP_PB_BYTES && f->flags & SP_FORM_F_REPEATED);
}

/* A map's value that was not sent is the empty value, never absent. */
static sp_err fill_entry(struct decode *d, void *msg, const struct sp_form_msg *type)
{
    const struct sp_form_field *value = &type->fields[1];
    void **place = (void **)((char *)msg + value->offset);
    if (value->kind != SP_FORM_MESSAGE || *place)
        return SP_OK;
    *place = sp_form_new(d->arena, value->msg);
    return *place ? SP_OK : SP_E_NOMEM;
}

static sp_err decode_into(struct decode *d, void *msg, sp_str bytes)
{
    struct sp_form_head *head = msg;
    struct sp_form_wire w = { .rest = bytes };
    if (d->depth >= SP_FORM_DEPTH_MAX)
        return SP_E_LIMIT;
    d->depth++;
    int more;
    while ((more = next_at(&w, d->depth)) == 1) {
        if (w.wire == SP_PB_GROUP_END)
            return SP_E_INVALID;
        const struct sp_form_field *f = sp_form_field(head->type, w.number);
        sp_err err = f && fits(f, &w) ? take_field(d, msg, f, &w) : keep(d, head, w.whole);
        if (err)
            return err;
    }
    d->depth--;
    if (more < 0)
        return more;
    return head->type->special == SP_FORM_MAP_ENTRY ? fill_entry(d, msg, head->type) : SP_OK;
}

struct ordered {
    void *entry;
    uint32_t at;
};

static int compare_ordered(const void *left, const void *right)
{
    const struct ordered *a = left, *b = right;
    int order = sp_form_pb_compare_entries(a->entry, b->entry);
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

/* By key, and of one key the last. */
static sp_err settle_map(void *msg, const struct sp_form_field *f)
{
    uint32_t len = sp_form_len(msg, f), kept = 0;
    struct ordered *sorted = sp_mem_alloc(len * sizeof(*sorted));
    if (!sorted)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < len; i++)
        sorted[i] = (struct ordered){ sp_form_msg_at(msg, f, i), i };
    qsort(sorted, len, sizeof(*sorted), compare_ordered);
    for (uint32_t i = 0; i < len; i++) {
        bool last = i + 1 == len || sp_form_pb_compare_entries(sorted[i].entry, sorted[i + 1].entry) != 0;
        if (last)
            *(void **)sp_form_at(msg, f, kept++) = sorted[i].entry;
    }
    *(uint32_t *)((char *)msg + f->side_offset) = kept;
    sp_mem_free(sorted);
    return SP_OK;
}

/* Maps are settled when all is read: a message that is merged from many pieces is sorted once. */
static sp_err settle_maps(void *msg)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    sp_err err = SP_OK;
    for (uint32_t n = 0; n < type->fields_len && !err; n++) {
        const struct sp_form_field *f = &type->fields[n];
        if (f->kind != SP_FORM_MESSAGE || !sp_form_has(msg, f))
            continue;
        if (f->flags & SP_FORM_F_MAP && sp_form_len(msg, f) > 1)
            err = settle_map(msg, f);
        for (uint32_t i = 0; i < sp_form_len(msg, f) && !err; i++)
            err = settle_maps(sp_form_msg_at(msg, f, i));
    }
    return err;
}

sp_err sp_form_pb_decode(struct sp_arena *a, const struct sp_form_msg *type, sp_str bytes, void **ret_msg)
{
    struct decode d = { .arena = a };
    if (bytes.len > SP_FORM_BYTES_MAX)
        return SP_E_LIMIT;
    void *msg = sp_form_new(a, type);
    if (!msg)
        return SP_E_NOMEM;
    sp_err err = decode_into(&d, msg, bytes);
    if (!err && d.has_maps)
        err = settle_maps(msg);
    if (err)
        return err;
    *ret_msg = msg;
    return SP_OK;
}
