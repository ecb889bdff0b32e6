/* Typed values become protobuf's bytes, the same value always the same bytes.
 *
 * Fields go out by number, map entries by key, and what is absent not at all; unknown fields follow as they
 * came. Caches of serialised resources and comparisons of configuration stand on that.
 *
 * Lengths come before what they measure. Two passes (measure, write) would measure a message at depth n
 * n times or need a place to remember; instead the body is written first and moved up by the bytes that its
 * length takes, one to five. Bodies are mostly shorter than 128 bytes, so one byte is kept free ahead and
 * only longer ones move. */
#include "form/pb_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "form/pb.h"
#include "form/pb_impl.h"

static void put_varint(struct sp_buf *out, uint64_t value)
{
    char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (char)(value | 0x80);
    bytes[n++] = (char)value;
    sp_buf_add(out, bytes, n);
}

static void put_key(struct sp_buf *out, uint32_t number, unsigned wire)
{
    put_varint(out, (uint64_t)number << 3 | wire);
}

static void put_fixed(struct sp_buf *out, uint64_t value, size_t n)
{
    char bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(value >> (8 * i));
    sp_buf_add(out, bytes, n);
}

enum sp_pb_wire sp_form_pb_wire(enum sp_form_kind kind)
{
    switch (kind) {
    case SP_FORM_BOOL:
    case SP_FORM_INT32:
    case SP_FORM_INT64:
    case SP_FORM_UINT32:
    case SP_FORM_UINT64:
    case SP_FORM_SINT32:
    case SP_FORM_SINT64:
    case SP_FORM_ENUM: return SP_PB_VARINT;
    case SP_FORM_FIXED64:
    case SP_FORM_SFIXED64:
    case SP_FORM_DOUBLE: return SP_PB_64;
    case SP_FORM_STRING:
    case SP_FORM_BYTES:
    case SP_FORM_MESSAGE: return SP_PB_BYTES;
    case SP_FORM_FIXED32:
    case SP_FORM_SFIXED32:
    case SP_FORM_FLOAT: return SP_PB_32;
    }
    SP_ASSERT(!"a kind of the table");
    return SP_PB_VARINT;
}

static void put_number(struct sp_buf *out, const struct sp_form_field *f, const void *place)
{
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    size_t bytes = sp_form_kind_bytes(f->kind);
    if (bytes == 4)
        memcpy(&u32, place, 4);
    else if (bytes == 8)
        memcpy(&u64, place, 8);
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_BOOL: put_varint(out, *(const bool *)place ? 1 : 0); return;
    case SP_FORM_INT32:
    case SP_FORM_ENUM: /* negative ones take ten bytes, so that an int64 reads them too */
        put_varint(out, (uint64_t)(int64_t)(int32_t)u32);
        return;
    case SP_FORM_UINT32: put_varint(out, u32); return;
    case SP_FORM_INT64:
    case SP_FORM_UINT64: put_varint(out, u64); return;
    case SP_FORM_SINT32: put_varint(out, (u32 << 1) ^ (0 - (u32 >> 31))); return;
    case SP_FORM_SINT64: put_varint(out, (u64 << 1) ^ (0 - (u64 >> 63))); return;
    case SP_FORM_FIXED32:
    case SP_FORM_SFIXED32:
    case SP_FORM_FLOAT: put_fixed(out, u32, 4); return;
    case SP_FORM_FIXED64:
    case SP_FORM_SFIXED64:
    case SP_FORM_DOUBLE: put_fixed(out, u64, 8); return;
    case SP_FORM_STRING:
    case SP_FORM_BYTES:
    case SP_FORM_MESSAGE: break;
    }
    SP_ASSERT(!"a number's kind");
}

/* The length of what was written since `start`, put in front of it; one byte is free there. */
static void close_length(struct sp_buf *out, size_t start)
{
    size_t body = out->len - start - 1;
    size_t extra = 0;
    for (size_t rest = body >> 7; rest; rest >>= 7)
        extra++;
    if (out->failed || (extra && !sp_buf_room(out, extra)))
        return;
    if (extra)
        memmove(out->ptr + start + 1 + extra, out->ptr + start + 1, body);
    for (size_t i = 0; i <= extra; i++)
        out->ptr[start + i] = (char)((body >> (7 * i) & 0x7f) | (i < extra ? 0x80 : 0));
    out->len += extra;
}

static sp_err encode(struct sp_buf *out, const void *msg, uint32_t depth);

static sp_err put_message(struct sp_buf *out, uint32_t number, const void *msg, uint32_t depth)
{
    put_key(out, number, SP_PB_BYTES);
    size_t start = out->len;
    sp_buf_add_char(out, '\0');
    sp_err err = encode(out, msg, depth + 1);
    if (err)
        return err;
    close_length(out, start);
    return SP_OK;
}

static sp_err put_item(struct sp_buf *out, const struct sp_form_field *f, const void *place, uint32_t depth)
{
    if (f->kind == SP_FORM_MESSAGE)
        return put_message(out, f->number, *(void *const *)place, depth);
    put_key(out, f->number, sp_form_pb_wire(f->kind));
    if (f->kind == SP_FORM_STRING || f->kind == SP_FORM_BYTES) {
        const sp_str *s = place;
        put_varint(out, s->len);
        sp_buf_add_str(out, *s);
    } else {
        put_number(out, f, place);
    }
    return SP_OK;
}

static int compare_key(const struct sp_form_field *key, const void *a, const void *b)
{
    switch ((enum sp_form_kind)key->kind) {
    case SP_FORM_BOOL: return *(const bool *)a - *(const bool *)b;
    case SP_FORM_INT32:
    case SP_FORM_SINT32:
    case SP_FORM_SFIXED32:
        return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
    case SP_FORM_UINT32:
    case SP_FORM_FIXED32:
        return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b);
    case SP_FORM_INT64:
    case SP_FORM_SINT64:
    case SP_FORM_SFIXED64:
        return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
    case SP_FORM_UINT64:
    case SP_FORM_FIXED64:
        return (*(const uint64_t *)a > *(const uint64_t *)b) - (*(const uint64_t *)a < *(const uint64_t *)b);
    case SP_FORM_STRING: return sp_str_cmp(*(const sp_str *)a, *(const sp_str *)b);
    case SP_FORM_FLOAT:
    case SP_FORM_DOUBLE:
    case SP_FORM_BYTES:
    case SP_FORM_ENUM:
    case SP_FORM_MESSAGE: break;
    }
    SP_ASSERT(!"a kind that can be a key");
    return 0;
}

int sp_form_pb_compare_entries(const void *a, const void *b)
{
    const struct sp_form_field *key = &((const struct sp_form_head *)a)->type->fields[0];
    return compare_key(key, (const char *)a + key->offset, (const char *)b + key->offset);
}

static int compare_entries(const void *left, const void *right)
{
    return sp_form_pb_compare_entries(*(const void *const *)left, *(const void *const *)right);
}

static sp_err put_map(struct sp_buf *out, const struct sp_form_field *f, const void *msg, uint32_t depth)
{
    uint32_t len = sp_form_len(msg, f);
    const void **sorted = sp_mem_alloc(len * sizeof(*sorted));
    if (!sorted)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < len; i++)
        sorted[i] = sp_form_msg_at(msg, f, i);
    qsort(sorted, len, sizeof(*sorted), compare_entries);
    sp_err err = SP_OK;
    for (uint32_t i = 0; i < len && !err; i++)
        err = put_message(out, f->number, sorted[i], depth);
    sp_mem_free(sorted);
    return err;
}

static void put_packed(struct sp_buf *out, const struct sp_form_field *f, const void *msg)
{
    put_key(out, f->number, SP_PB_BYTES);
    size_t start = out->len;
    sp_buf_add_char(out, '\0');
    for (uint32_t i = 0; i < sp_form_len(msg, f); i++)
        put_number(out, f, sp_form_at(msg, f, i));
    close_length(out, start);
}

/* A decoded message is written in the place of the bytes that it came from, or never had. */
static sp_err put_any(struct sp_buf *out, const struct sp_pb_google_any *any, uint32_t depth)
{
    const struct sp_form_msg *type = any->head.type;
    sp_err err = SP_OK;
    if (any->type_url.len)
        err = put_item(out, sp_form_field(type, SP_FIELD_GOOGLE_ANY_TYPE_URL), &any->type_url, depth);
    size_t before = out->len;
    if (!err)
        err = put_message(out, SP_FIELD_GOOGLE_ANY_VALUE, any->message, depth);
    bool empty = out->len == before + 2; /* key and length: no bytes are an absent field */
    if (empty && !out->failed)
        out->len = before;
    sp_buf_add_str(out, any->head.unknown);
    return err;
}

static sp_err encode(struct sp_buf *out, const void *msg, uint32_t depth)
{
    const struct sp_form_head *head = msg;
    if (depth > SP_FORM_DEPTH_MAX)
        return SP_E_LIMIT;
    if (head->type->special == SP_FORM_ANY && ((const struct sp_pb_google_any *)msg)->message)
        return put_any(out, msg, depth);
    sp_err err = SP_OK;
    for (uint32_t n = 0; n < head->type->fields_len && !err; n++) {
        const struct sp_form_field *f = &head->type->fields[n];
        if (!sp_form_has(msg, f))
            continue;
        if (f->flags & SP_FORM_F_MAP)
            err = put_map(out, f, msg, depth);
        else if (f->flags & SP_FORM_F_PACKED)
            put_packed(out, f, msg);
        else
            for (uint32_t i = 0; i < sp_form_len(msg, f) && !err; i++)
                err = put_item(out, f, sp_form_at(msg, f, i), depth);
    }
    sp_buf_add_str(out, head->unknown);
    return err;
}

sp_err sp_form_pb_encode(const void *msg, struct sp_buf *out)
{
    sp_err err = encode(out, msg, 0);
    if (err)
        return err;
    return out->failed ? SP_E_NOMEM : SP_OK;
}
