/* route_kit: a call and a table of one route, for the tests of the route decision. */
#ifndef SP_TESTS_PROXY_ROUTE_KIT_H
#define SP_TESTS_PROXY_ROUTE_KIT_H

#include "proxy/route.h"
#include "unit/base/help.h"

enum { KIT_HEADERS = 16 };

/* A call, and all that a decision needs. */
struct kit {
    struct sp_arena arena;
    struct sp_rng rng;
    struct sp_header headers[KIT_HEADERS];
    struct sp_head head;
    struct sp_route_input in;
    struct sp_route_choice choice;
    struct sp_route_table table;
    struct sp_vhost vhost;
    struct sp_route route;
    sp_str domain;
};

static inline void kit_start(struct kit *k, enum sp_protocol protocol)
{
    *k = (struct kit){ 0 };
    sp_arena_init(&k->arena, NULL, 0, 1024, 0);
    sp_rng_init(&k->rng, 1);
    k->head = (struct sp_head){ .protocol = (uint8_t)protocol,
                                .headers = k->headers,
                                .header_cap = KIT_HEADERS };
    k->in = (struct sp_route_input){ .head = &k->head, .arena = &k->arena, .rng = &k->rng };
    k->domain = SP_STR("*");
    k->route = (struct sp_route){ .match = { .path = SP_STR("/"), .fraction_ppm = 1000000 },
                                  .cluster = SP_STR("c") };
    k->vhost = (struct sp_vhost){
        .domains = &k->domain, .domain_count = 1, .routes = &k->route, .route_count = 1
    };
    k->table = (struct sp_route_table){ .vhosts = &k->vhost,
                                        .vhost_count = 1,
                                        .fold_domains = protocol == SP_PROTO_HTTP1 };
}

static inline void kit_header(struct kit *k, const char *name, const char *value)
{
    assert_int_equal(sp_head_add(&k->head, &k->arena, sp_str_c(name), sp_str_c(value)), 0);
    k->head.flags &= ~(uint32_t)SP_HEAD_EDITED;
}

/* An HTTP call of "host/target" in one text. */
static inline void kit_http(struct kit *k, const char *host, const char *target)
{
    kit_start(k, SP_PROTO_HTTP1);
    k->head.method = SP_STR("GET");
    k->head.service = sp_str_c(host);
    k->head.path = target ? sp_str_c(target) : SP_STR_NULL;
    if (!target)
        k->head.flags |= SP_HEAD_TUNNEL;
}

static inline void kit_rpc(struct kit *k, const char *service, const char *method)
{
    kit_start(k, SP_PROTO_BOLT);
    k->head.service = sp_str_c(service);
    k->head.method = sp_str_c(method);
}

static inline enum sp_why kit_find(struct kit *k)
{
    sp_str named;
    sp_route_table_deinit(&k->table);
    assert_int_equal(sp_route_table_index(&k->table, &k->arena, &named), 0);
    k->in.path = k->in.query = k->in.service = SP_STR_NULL;
    k->in.changed = false;
    return sp_route_find(&k->table, &k->in, &k->choice);
}

static inline void kit_end(struct kit *k)
{
    sp_route_table_deinit(&k->table);
    sp_arena_deinit(&k->arena);
}

#endif
