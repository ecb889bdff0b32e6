/* The schema's tables, looked up; a typed value's fields, reached through them.
 *
 * Everything generic in this room stands on the functions here: the reader of texts, the two protobuf
 * directions, the JSON writer, the rule checker. None of them knows a message by name; they see a struct
 * through the table that tools/pbgen wrote beside it:
 *
 *     struct sp_pb_route_route_match            its sp_form_field entries
 *     +------------------------+
 *     | head.type ------------------> sp_form_msg: name, fields, oneofs, size
 *     | head.unknown           |
 *     | path_specifier_case    | <--- side_offset of the oneof's members
 *     | prefix  (sp_str)       | <--- { 1, "prefix", STRING, offset }
 *     | path    (sp_str)       |
 *     | headers (pointer)      | <--- { 6, "headers", MESSAGE, REPEATED, offset, side_offset }
 *     | headers_len            | <--- side_offset of a list
 *     +------------------------+
 *
 * A oneof's members do not share storage. Configuration is small, and a union would make every reader of a
 * member depend on having looked at the case first; so the others are zero and looking at the wrong one is
 * harmless.
 *
 * Lists keep no capacity: a list grows when its length is a power of two, to twice that. In an arena the old
 * place is lost, which costs at most the list's own size again; lists are short.
 *
 * Field tables are sorted by number and searched by halving; names are compared one by one. A name is only
 * looked up when a text is read, where scanning 60 short strings costs less than the text's own parsing. */
#include "form/form.h"

#include <string.h>

#include "base/arena.h"
#include "form/pb.h"
#include "form/pb_wire.h"

void *sp_form_new(struct sp_arena *a, const struct sp_form_msg *type)
{
    struct sp_form_head *head = sp_arena_zalloc(a, type->size);
    if (head)
        head->type = type;
    return head;
}

static int compare_name(sp_str name, const char *entry)
{
    return sp_str_cmp(name, sp_str_c(entry));
}

const struct sp_form_msg *sp_form_find(const struct sp_form_set *set, sp_str full_name)
{
    size_t low = 0, high = set->msgs_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(full_name, set->msgs[middle]->name);
        if (order == 0)
            return set->msgs[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool sp_form_is_known(const struct sp_form_set *set, sp_str full_name)
{
    size_t low = 0, high = set->known_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(full_name, set->known[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

const struct sp_form_field *sp_form_field(const struct sp_form_msg *type, uint32_t number)
{
    size_t low = 0, high = type->fields_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (type->fields[middle].number == number)
            return &type->fields[middle];
        if (number < type->fields[middle].number)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct sp_form_field *sp_form_field_by_name(const struct sp_form_msg *type, sp_str name)
{
    for (uint32_t i = 0; i < type->fields_len; i++) {
        const struct sp_form_field *f = &type->fields[i];
        if (sp_str_eq(name, sp_str_c(f->name)) || sp_str_eq(name, sp_str_c(f->json_name)))
            return f;
    }
    return NULL;
}

const struct sp_form_value_name *sp_form_enum_value(const struct sp_form_enum *en, int32_t number)
{
    for (uint32_t i = 0; i < en->values_len; i++)
        if (en->values[i].number == number)
            return &en->values[i];
    return NULL;
}

const struct sp_form_value_name *sp_form_enum_by_name(const struct sp_form_enum *en, sp_str name)
{
    for (uint32_t i = 0; i < en->values_len; i++)
        if (sp_str_eq(name, sp_str_c(en->values[i].name)))
            return &en->values[i];
    return NULL;
}

sp_str sp_form_type_name(sp_str type_url)
{
    size_t slash = sp_str_find_last(type_url, '/');
    return slash == type_url.len ? type_url : sp_str_from(type_url, slash + 1);
}

size_t sp_form_kind_bytes(enum sp_form_kind kind)
{
    switch (kind) {
    case SP_FORM_BOOL: return sizeof(bool);
    case SP_FORM_INT32:
    case SP_FORM_UINT32:
    case SP_FORM_SINT32:
    case SP_FORM_FIXED32:
    case SP_FORM_SFIXED32:
    case SP_FORM_FLOAT:
    case SP_FORM_ENUM: return 4;
    case SP_FORM_INT64:
    case SP_FORM_UINT64:
    case SP_FORM_SINT64:
    case SP_FORM_FIXED64:
    case SP_FORM_SFIXED64:
    case SP_FORM_DOUBLE: return 8;
    case SP_FORM_STRING:
    case SP_FORM_BYTES: return sizeof(sp_str);
    case SP_FORM_MESSAGE: return sizeof(void *);
    }
    SP_ASSERT(!"a kind of the table");
    return 0;
}

static uint32_t *side_u32(const void *msg, const struct sp_form_field *f)
{
    return (uint32_t *)((char *)(uintptr_t)msg + f->side_offset);
}

static void *place(const void *msg, const struct sp_form_field *f)
{
    return (char *)(uintptr_t)msg + f->offset;
}

/* Not zero, bit by bit: -0.0 is a value that is sent, as protobuf's own libraries have it. */
static bool scalar_is_set(const void *msg, const struct sp_form_field *f)
{
    static const char zero[sizeof(uint64_t)] = { 0 };
    if (f->kind == SP_FORM_STRING || f->kind == SP_FORM_BYTES)
        return ((const sp_str *)place(msg, f))->len > 0;
    if (f->kind == SP_FORM_MESSAGE)
        return *(void **)place(msg, f) != NULL;
    return memcmp(place(msg, f), zero, sp_form_kind_bytes(f->kind)) != 0;
}

bool sp_form_has(const void *msg, const struct sp_form_field *f)
{
    if (f->flags & SP_FORM_F_REPEATED)
        return *side_u32(msg, f) > 0;
    if (f->flags & SP_FORM_F_ONEOF)
        return *side_u32(msg, f) == f->number;
    if (f->flags & SP_FORM_F_OPTIONAL)
        return *(bool *)((char *)(uintptr_t)msg + f->side_offset);
    return scalar_is_set(msg, f);
}

uint32_t sp_form_len(const void *msg, const struct sp_form_field *f)
{
    if (f->flags & SP_FORM_F_REPEATED)
        return *side_u32(msg, f);
    return sp_form_has(msg, f) ? 1 : 0;
}

void *sp_form_at(const void *msg, const struct sp_form_field *f, uint32_t i)
{
    if (!(f->flags & SP_FORM_F_REPEATED)) {
        SP_ASSERT(i == 0);
        return place(msg, f);
    }
    SP_ASSERT(i < *side_u32(msg, f));
    return *(char **)place(msg, f) + (size_t)i * sp_form_kind_bytes(f->kind);
}

void *sp_form_msg_at(const void *msg, const struct sp_form_field *f, uint32_t i)
{
    SP_ASSERT(f->kind == SP_FORM_MESSAGE);
    return *(void **)sp_form_at(msg, f, i);
}

static void *list_grow(struct sp_arena *a, void *msg, const struct sp_form_field *f)
{
    uint32_t *len = side_u32(msg, f);
    char **items = place(msg, f);
    size_t bytes = sp_form_kind_bytes(f->kind);
    if ((*len & (*len - 1)) == 0) { /* 0, 1, 2, 4, ...: full */
        size_t cap = *len ? (size_t)*len * 2 : 1;
        char *grown = sp_arena_array(a, cap, bytes);
        if (!grown)
            return NULL;
        if (*len)
            memcpy(grown, *items, *len * bytes);
        *items = grown;
    }
    char *item = *items + *len * bytes;
    memset(item, 0, bytes);
    *len += 1;
    return item;
}

static void oneof_clear(void *msg, const struct sp_form_field *chosen)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    for (uint32_t i = 0; i < type->fields_len; i++) {
        const struct sp_form_field *f = &type->fields[i];
        if ((f->flags & SP_FORM_F_ONEOF) && f->oneof == chosen->oneof && f != chosen)
            memset(place(msg, f), 0, sp_form_kind_bytes(f->kind));
    }
}

void *sp_form_add(struct sp_arena *a, void *msg, const struct sp_form_field *f)
{
    if (f->flags & SP_FORM_F_REPEATED)
        return list_grow(a, msg, f);
    if ((f->flags & SP_FORM_F_ONEOF) && *side_u32(msg, f) != f->number) {
        oneof_clear(msg, f);
        *side_u32(msg, f) = f->number;
    }
    if (f->flags & SP_FORM_F_OPTIONAL)
        *(bool *)((char *)msg + f->side_offset) = true;
    return place(msg, f);
}

sp_err sp_form_any_get(struct sp_arena *a, void *any_msg, void **ret_msg)
{
    struct sp_pb_google_any *any = any_msg;
    SP_ASSERT(any->head.type->special == SP_FORM_ANY);
    if (!any->message) {
        sp_str name = sp_form_type_name(any->type_url);
        const struct sp_form_msg *type = sp_form_find(any->head.type->set, name);
        if (!type)
            return sp_form_is_known(any->head.type->set, name) ? SP_E_UNSUPPORTED : SP_E_MISSING;
        void *decoded;
        sp_err err = sp_form_pb_decode(a, type, any->value, &decoded);
        if (err)
            return err;
        any->message = decoded;
    }
    *ret_msg = any->message;
    return SP_OK;
}
