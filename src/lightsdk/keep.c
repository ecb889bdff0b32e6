/* keep: what applications said, until they take it back.
 *
 * Three shelves: applications by name, publications by service, protocol type and group, subscriptions by
 * those and the address that is aimed at. A record has its own arena, so that it comes and goes whole, and
 * saying a thing twice replaces the record: an application that starts anew says everything again.
 *
 *      shelf ── records ──> [oldest] ──> [next] ──> ...        by_key: "service\0type\0group" -> record
 *
 * Nothing here ends by itself. The interface is one request at a time over connections that do not last, so
 * there is nothing whose end would tell that an application is gone; a time of silence would not either,
 * since the SDKs do not repeat themselves. Whether the application still answers is found out by calling it.
 *
 * All is bounded: the number on each shelf, and the bytes of all together. */
#include <string.h>

#include "base/mem.h"
#include "lightsdk/lightsdk_impl.h"

enum { RECORD_BLOCK_BYTES = 512, KEY_PARTS = 4 };

static const uint32_t shelf_limits[SP_LIGHTSDK_SHELVES] = {
    [SP_LIGHTSDK_APPLICATIONS] = SP_LIGHTSDK_APPLICATIONS_MAX,
    [SP_LIGHTSDK_PUBLICATIONS] = SP_LIGHTSDK_PUBLICATIONS_MAX,
    [SP_LIGHTSDK_SUBSCRIPTIONS] = SP_LIGHTSDK_SUBSCRIPTIONS_MAX,
};

void sp_lightsdk_keep_init(struct sp_lightsdk *sdk)
{
    for (int i = 0; i < SP_LIGHTSDK_SHELVES; i++) {
        sp_list_init(&sdk->shelves[i].records);
        sp_map_init(&sdk->shelves[i].by_key, sdk->config.seed);
    }
}

static uint64_t *count_of(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind)
{
    switch (kind) {
    case SP_LIGHTSDK_APPLICATIONS: return &sdk->view.applications;
    case SP_LIGHTSDK_PUBLICATIONS: return &sdk->view.publications;
    case SP_LIGHTSDK_SUBSCRIPTIONS: return &sdk->view.subscriptions;
    case SP_LIGHTSDK_SHELVES: break;
    }
    return NULL;
}

/* ---- records ---- */

static uint64_t weight_of(const struct sp_lightsdk_record *record)
{
    return sizeof(*record) + record->arena.held_bytes;
}

static void record_free(struct sp_lightsdk_record *record)
{
    sp_arena_deinit(&record->arena);
    sp_mem_free(record);
}

static void take_off(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind,
                     struct sp_lightsdk_record *record)
{
    sp_list_remove(&record->link);
    sdk->view.kept_bytes -= weight_of(record);
    (*count_of(sdk, kind))--;
    record_free(record);
}

void sp_lightsdk_keep_deinit(struct sp_lightsdk *sdk)
{
    for (int i = 0; i < SP_LIGHTSDK_SHELVES; i++) {
        struct sp_lightsdk_shelf *shelf = &sdk->shelves[i];
        struct sp_lightsdk_record *record;
        while ((record = SP_LIST_FIRST(&shelf->records, struct sp_lightsdk_record, link)))
            take_off(sdk, (enum sp_lightsdk_shelf_kind)i, record);
        sp_map_deinit(&shelf->by_key);
    }
}

/* ---- copies ---- */

/* Parts with a NUL behind each; names hold none, see lightsdk.c. */
static sp_str key_of(struct sp_arena *arena, enum sp_lightsdk_shelf_kind kind, const void *value)
{
    const struct sp_lightsdk_application *a = value;
    const struct sp_lightsdk_publication *p = value;
    const struct sp_lightsdk_subscription *s = value;
    sp_str parts[KEY_PARTS] = { SP_STR_NULL };
    if (kind == SP_LIGHTSDK_APPLICATIONS)
        parts[0] = a->name;
    if (kind == SP_LIGHTSDK_PUBLICATIONS)
        parts[0] = p->service, parts[1] = p->protocol_type, parts[2] = p->group;
    if (kind == SP_LIGHTSDK_SUBSCRIPTIONS)
        parts[0] = s->service, parts[1] = s->protocol_type, parts[2] = s->group, parts[3] = s->target;
    size_t len = 0;
    for (int i = 0; i < KEY_PARTS; i++)
        len += parts[i].len + 1;
    char *key = sp_arena_alloc_align(arena, len, 1), *at = key;
    for (int i = 0; key && i < KEY_PARTS; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
        *at++ = 0;
    }
    return key ? sp_str_of(key, len) : SP_STR_NULL;
}

/* False when the arena is out. */
static bool copy(struct sp_arena *arena, sp_str *text)
{
    if (!text->len) {
        *text = SP_STR("");
        return true;
    }
    *text = sp_str_dup(arena, *text);
    return text->ptr != NULL;
}

static bool copy_pairs(struct sp_arena *arena, struct sp_lightsdk_pairs *pairs)
{
    const struct sp_lightsdk_pair *from = pairs->list;
    pairs->list = NULL;
    if (!pairs->count)
        return true;
    struct sp_lightsdk_pair *list = sp_arena_array(arena, pairs->count, sizeof(*list));
    for (uint32_t i = 0; list && i < pairs->count; i++) {
        list[i] = from[i];
        if (!copy(arena, &list[i].name) || !copy(arena, &list[i].value))
            return false;
    }
    pairs->list = list;
    return list != NULL;
}

static bool copy_value(struct sp_lightsdk_record *record, enum sp_lightsdk_shelf_kind kind, const void *value)
{
    struct sp_arena *arena = &record->arena;
    struct sp_lightsdk_application *a = &record->application;
    struct sp_lightsdk_publication *p = &record->publication;
    struct sp_lightsdk_subscription *s = &record->subscription;
    switch (kind) {
    case SP_LIGHTSDK_APPLICATIONS:
        *a = *(const struct sp_lightsdk_application *)value;
        return copy(arena, &a->name) && copy_pairs(arena, &a->parameters);
    case SP_LIGHTSDK_PUBLICATIONS:
        *p = *(const struct sp_lightsdk_publication *)value;
        return copy(arena, &p->service) && copy(arena, &p->protocol_type) && copy(arena, &p->group) &&
               copy(arena, &p->protocol) && copy(arena, &p->version) && copy(arena, &p->serialize_type) &&
               copy(arena, &p->application) && copy_pairs(arena, &p->properties);
    case SP_LIGHTSDK_SUBSCRIPTIONS:
        *s = *(const struct sp_lightsdk_subscription *)value;
        return copy(arena, &s->service) && copy(arena, &s->protocol_type) && copy(arena, &s->group) &&
               copy(arena, &s->target) && copy_pairs(arena, &s->properties);
    case SP_LIGHTSDK_SHELVES: break;
    }
    return false;
}

static struct sp_lightsdk_record *record_new(enum sp_lightsdk_shelf_kind kind, const void *value)
{
    struct sp_lightsdk_record *record = sp_mem_zalloc(sizeof(*record));
    if (!record)
        return NULL;
    sp_arena_init(&record->arena, NULL, 0, RECORD_BLOCK_BYTES, 0);
    record->key = key_of(&record->arena, kind, value);
    if (record->key.ptr && copy_value(record, kind, value))
        return record;
    record_free(record);
    return NULL;
}

/* ---- shelves ---- */

sp_err sp_lightsdk_keep(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind, const void *value)
{
    struct sp_lightsdk_shelf *shelf = &sdk->shelves[kind];
    struct sp_lightsdk_record *record = record_new(kind, value);
    if (!record)
        return SP_E_NOMEM;
    struct sp_lightsdk_record *old = sp_map_get(&shelf->by_key, record->key);
    uint64_t bytes = sdk->view.kept_bytes + weight_of(record) - (old ? weight_of(old) : 0);
    sp_err err = 0;
    if ((!old && *count_of(sdk, kind) >= shelf_limits[kind]) || bytes > SP_LIGHTSDK_KEPT_BYTES)
        err = SP_E_LIMIT;
    if (!err) /* replacing takes the new record's key too: the old one's goes with it */
        err = sp_map_put(&shelf->by_key, record->key, record, NULL);
    if (err) {
        record_free(record);
        return err;
    }
    sp_list_push(&shelf->records, &record->link);
    sdk->view.kept_bytes += weight_of(record);
    (*count_of(sdk, kind))++;
    if (old)
        take_off(sdk, kind, old);
    return 0;
}

static bool fits(sp_str kept, sp_str said)
{
    return !said.len || sp_str_eq(kept, said);
}

static bool is_named(const struct sp_lightsdk_record *record, enum sp_lightsdk_shelf_kind kind,
                     const struct sp_lightsdk_ask *ask)
{
    const struct sp_lightsdk_publication *p = &record->publication;
    const struct sp_lightsdk_subscription *s = &record->subscription;
    if (kind == SP_LIGHTSDK_PUBLICATIONS)
        return sp_str_eq(p->service, ask->service) && fits(p->protocol_type, ask->protocol_type) &&
               fits(p->group, ask->group);
    return sp_str_eq(s->service, ask->service) && fits(s->protocol_type, ask->protocol_type) &&
           fits(s->group, ask->group) && fits(s->target, ask->subscription.target);
}

uint32_t sp_lightsdk_drop(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind,
                          const struct sp_lightsdk_ask *ask)
{
    struct sp_lightsdk_shelf *shelf = &sdk->shelves[kind];
    struct sp_lightsdk_record *record;
    uint32_t dropped = 0;
    SP_LIST_EACH(&shelf->records, record, following, struct sp_lightsdk_record, link) {
        if (!is_named(record, kind, ask))
            continue;
        sp_map_remove(&shelf->by_key, record->key);
        take_off(sdk, kind, record);
        dropped++;
    }
    return dropped;
}
