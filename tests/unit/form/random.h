/* random: a typed value of any message, made from a seed by walking the message's table. */
#ifndef SP_TESTS_FORM_RANDOM_H
#define SP_TESTS_FORM_RANDOM_H

#include "base/rng.h"
#include "unit/form/help.h"

struct random_form {
    struct sp_arena *arena;
    struct sp_rng rng;
    unsigned depth;
};

static inline void *random_message(struct random_form *r, const struct sp_form_msg *type);

static inline uint64_t random_u64(struct random_form *r)
{
    uint64_t bits = sp_rng_next(&r->rng);
    switch (sp_rng_below(&r->rng, 4)) { /* small, large, edges */
    case 0: return bits & 0xff;
    case 1: return bits;
    case 2: return (uint64_t)1 << (bits & 63);
    default: return 0 - (bits & 3);
    }
}

static inline sp_str random_text(struct random_form *r)
{
    static const char *const pieces[] = { "a",  "route", "\xc3\xa9", "\xf0\x9f\x98\x80", " ", "\"", "\\",
                                          "\n", "0",     "%" };
    char *text = sp_arena_alloc(r->arena, 64);
    size_t len = 0, n = sp_rng_below(&r->rng, 12);
    for (size_t i = 0; i < n; i++) {
        const char *piece = pieces[sp_rng_below(&r->rng, SP_COUNTOF(pieces))];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return sp_str_of(text, len);
}

static inline double random_real(struct random_form *r)
{
    double value = (double)(int64_t)random_u64(r) / (double)(1 + sp_rng_below(&r->rng, 1000));
    return value == 0 ? 0.0 : value; /* the oracle takes -0.0 for absent */
}

static inline void random_number(struct random_form *r, const struct sp_form_field *f, void *place)
{
    uint64_t bits = random_u64(r);
    float real = (float)random_real(r);
    double wide = random_real(r);
    int32_t named = f->en ? f->en->values[sp_rng_below(&r->rng, f->en->values_len)].number : 0;
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_BOOL: *(bool *)place = bits & 1; return;
    case SP_FORM_FLOAT: memcpy(place, &real, sizeof(real)); return;
    case SP_FORM_DOUBLE: memcpy(place, &wide, sizeof(wide)); return;
    case SP_FORM_ENUM: memcpy(place, &named, sizeof(named)); return;
    default: memcpy(place, &bits, sp_form_kind_bytes(f->kind));
    }
}

static inline void random_value(struct random_form *r, const struct sp_form_field *f, void *place)
{
    if (f->kind == SP_FORM_MESSAGE)
        *(void **)place = random_message(r, f->msg);
    else if (f->kind == SP_FORM_STRING || f->kind == SP_FORM_BYTES)
        *(sp_str *)place = random_text(r);
    else
        random_number(r, f, place);
}

/* Keys differ: a map that is sent holds each once. */
static inline void random_map(struct random_form *r, const struct sp_form_field *f, void *msg, size_t len)
{
    const struct sp_form_field *key = &f->msg->fields[0], *value = &f->msg->fields[1];
    if (key->kind == SP_FORM_BOOL && len > 2)
        len = 2;
    for (size_t i = 0; i < len; i++) {
        char *entry = sp_form_new(r->arena, f->msg);
        *(void **)sp_form_add(r->arena, msg, f) = entry;
        if (key->kind == SP_FORM_STRING)
            *(sp_str *)(void *)(entry + key->offset) = sp_str_c(sp_arena_printf(r->arena, "k%zu", i));
        else
            entry[key->offset] = (char)i;
        random_value(r, value, entry + value->offset);
    }
}

static inline void random_field(struct random_form *r, const struct sp_form_field *f, void *msg)
{
    if (f->flags & SP_FORM_F_MAP) {
        random_map(r, f, msg, sp_rng_below(&r->rng, 4));
    } else if (f->flags & SP_FORM_F_REPEATED) {
        size_t len = sp_rng_below(&r->rng, 6);
        for (size_t i = 0; i < len; i++)
            random_value(r, f, sp_form_add(r->arena, msg, f));
    } else {
        random_value(r, f, sp_form_add(r->arena, msg, f));
    }
}

/* Durations and times have bounds, and JSON has no other form for them. */
static inline void random_time(struct random_form *r, void *msg)
{
    struct sp_pb_google_duration *d = msg; /* Timestamp looks the same */
    d->seconds = (int64_t)sp_rng_below(&r->rng, 2000000000);
    d->nanos = (int32_t)(sp_rng_below(&r->rng, 1000) * (sp_rng_chance(&r->rng, 500) ? 1000000 : 1));
    if (d->head.type->special == SP_FORM_DURATION && sp_rng_chance(&r->rng, 300)) {
        d->seconds = -d->seconds;
        d->nanos = -d->nanos;
    }
}

static inline void random_any(struct random_form *r, struct sp_pb_google_any *any)
{
    static const struct sp_form_msg *const types[] = {
        &sp_pb_google_duration_msg,   &sp_pb_google_struct_msg,       &sp_pb_core_address_msg,
        &sp_pb_core_header_value_msg, &sp_pb_google_uint32_value_msg, &sp_pb_router_router_msg,
    };
    const struct sp_form_msg *type = types[sp_rng_below(&r->rng, SP_COUNTOF(types))];
    any->type_url = sp_str_c(sp_arena_printf(r->arena, "type.googleapis.com/%s", type->name));
    any->message = random_message(r, type);
}

static inline bool random_special(struct random_form *r, void *msg)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    const struct sp_form_field *pick;
    switch ((enum sp_form_special)type->special) {
    case SP_FORM_DURATION:
    case SP_FORM_TIMESTAMP: random_time(r, msg); return true;
    case SP_FORM_ANY: random_any(r, msg); return true;
    case SP_FORM_VALUE: /* always one of its kinds; the first four end */
        pick = &type->fields[sp_rng_below(&r->rng, r->depth > 4 ? 4 : 6)];
        random_field(r, pick, msg);
        return true;
    case SP_FORM_WRAPPER: random_field(r, &type->fields[0], msg); return true;
    default: return false;
    }
}

static inline void *random_message(struct random_form *r, const struct sp_form_msg *type)
{
    void *msg = sp_form_new(r->arena, type);
    assert_non_null(msg);
    r->depth++;
    bool done = random_special(r, msg);
    for (uint32_t i = 0; i < type->fields_len && !done; i++) {
        const struct sp_form_field *f = &type->fields[i];
        bool entry = type->special == SP_FORM_MAP_ENTRY;
        if (f->kind == SP_FORM_MESSAGE && !entry && (r->depth > 4 || !sp_rng_chance(&r->rng, 300)))
            continue;
        if (entry || sp_rng_chance(&r->rng, 400))
            random_field(r, f, msg);
    }
    r->depth--;
    return msg;
}

#endif
