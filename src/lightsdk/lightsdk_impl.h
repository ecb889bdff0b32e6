/* lightsdk_impl: what the files of this room share: a request as it was read, and what is kept of all. */
#ifndef SP_LIGHTSDK_IMPL_H
#define SP_LIGHTSDK_IMPL_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "lightsdk/lightsdk.h"
#include "lightsdk/view.h"

enum { SP_LIGHTSDK_WHY_BYTES = 256 };

/* The fields of all requests together; strings live in the arena that it was read into, absent ones are
 * empty. */
struct sp_lightsdk_ask {
    struct sp_lightsdk_application application;
    struct sp_lightsdk_publication publication;
    struct sp_lightsdk_subscription subscription;
    sp_str service, protocol_type, group;
    uint16_t port; /* 0: it was not said */
};

/* SP_E_INVALID, SP_E_LIMIT, SP_E_NOMEM; then `why` (SP_LIGHTSDK_WHY_BYTES) says it to the application. */
sp_err sp_lightsdk_read(struct sp_arena *arena, sp_str body, struct sp_lightsdk_ask *ret_ask,
                        char *why) SP_MUST_USE;

/* One thing that is kept, with its own memory. */
struct sp_lightsdk_record {
    struct sp_list link; /* on shelf->records */
    struct sp_arena arena;
    sp_str key;
    union {
        struct sp_lightsdk_application application;
        struct sp_lightsdk_publication publication;
        struct sp_lightsdk_subscription subscription;
    };
};

enum sp_lightsdk_shelf_kind {
    SP_LIGHTSDK_APPLICATIONS,
    SP_LIGHTSDK_PUBLICATIONS,
    SP_LIGHTSDK_SUBSCRIPTIONS,
    SP_LIGHTSDK_SHELVES
};

struct sp_lightsdk_shelf {
    struct sp_list records; /* of sp_lightsdk_record.link, oldest first */
    struct sp_map by_key;
};

/* A warning that applications can cause as often as they like. */
struct sp_lightsdk_warning {
    uint64_t from_ns; /* not before then again */
    uint64_t unsaid;  /* how often it was due meanwhile */
};

struct sp_lightsdk {
    struct sp_lightsdk_config config;
    struct sp_http_server *server;
    struct sp_lightsdk_shelf shelves[SP_LIGHTSDK_SHELVES];
    struct sp_arena scratch; /* of the request that is being answered */
    struct sp_lightsdk_warning refused, nowhere;
    struct sp_lightsdk_view view;
};

/* ---- keep.c ---- */
void sp_lightsdk_keep_init(struct sp_lightsdk *sdk);
void sp_lightsdk_keep_deinit(struct sp_lightsdk *sdk);
/* What `value` points to is copied; a record of the same key goes. SP_E_LIMIT, SP_E_NOMEM: what was kept
 * stays. */
sp_err sp_lightsdk_keep(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind,
                        const void *value) SP_MUST_USE;
/* Drops what the ask names: its service, and whatever of protocol type, group and target it says. Returns how
 * many there were. */
uint32_t sp_lightsdk_drop(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind,
                          const struct sp_lightsdk_ask *ask);

#endif
