/* route.c - what deciding a route costs: the simplest table, long tables, many hosts, conditions, regexes.
 *
 * The call hits the last of the rules, which differ in their last bytes only: the worst case for a reader
 * that goes from first to last, and the only one that is fair to one that does not. The arena is emptied
 * every so many rounds, as a stream's is after each call.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/rng.h"
#include "model/regex.h"
#include "proxy/route.h"

enum { ARENA_BYTES = 65536, CALLS_IN_ARENA = 64, NAME_BYTES = 64, HEADERS = 6 };

struct state {
    struct sp_arena arena, call_arena;
    struct sp_rng rng;
    struct sp_head head;
    struct sp_header headers[HEADERS];
    struct sp_route_table table;
    struct sp_vhost *vhosts;
    struct sp_route *routes;
    struct sp_match match;
    struct sp_hash_policy hash;
    struct sp_regex *regex;
};

static void must(int ok)
{
    if (!ok) {
        fprintf(stderr, "bench: the route's state could not be built\n");
        exit(2);
    }
}

static sp_str text(struct state *s, const char *format, unsigned number)
{
    char *at = sp_arena_printf(&s->arena, format, number);
    must(at != NULL);
    return sp_str_c(at);
}

static void set_head(struct state *s, const char *service, sp_str path)
{
    static const char *const names[HEADERS] = { "host",         "user-agent", "accept",
                                                "x-request-id", "x-version",  "cookie" };
    static const char *const values[HEADERS] = {
        "a.com", "bench", "*/*", "0123456789abcdef", "v2", "sid=abc"
    };
    s->head = (struct sp_head){ .protocol = SP_PROTO_HTTP1,
                                .method = SP_STR("GET"),
                                .service = sp_str_c(service),
                                .path = path,
                                .headers = s->headers,
                                .header_cap = HEADERS };
    for (size_t i = 0; i < HEADERS; i++)
        must(!sp_head_add(&s->head, &s->arena, sp_str_c(names[i]), sp_str_c(values[i])));
    s->head.flags = 0;
}

/* `hosts` virtual hosts with one and the same list of `rules` routes. */
static struct state *make(unsigned hosts, unsigned rules)
{
    struct state *s = sp_bench_alloc(sizeof(*s));
    sp_str named;
    sp_arena_init(&s->arena, NULL, 0, ARENA_BYTES, 0);
    sp_arena_init(&s->call_arena, NULL, 0, ARENA_BYTES, 0);
    sp_rng_init(&s->rng, 1);
    s->vhosts = sp_arena_array(&s->arena, hosts, sizeof(*s->vhosts));
    s->routes = sp_arena_array(&s->arena, rules, sizeof(*s->routes));
    must(s->vhosts && s->routes);
    for (unsigned i = 0; i < rules; i++) {
        bool exact = i & 1;
        s->routes[i].match = (struct sp_route_match){
            .kind = exact ? SP_PATH_EXACT : SP_PATH_PREFIX,
            .path = rules == 1 ? SP_STR("/") : text(s, exact ? "/api/v1/thing%05u" : "/api/v1/thing%05u/", i),
            .fraction_ppm = 1000000,
        };
        s->routes[i].cluster = SP_STR("c");
    }
    for (unsigned i = 0; i < hosts; i++) {
        sp_str *domain = sp_arena_array(&s->arena, 1, sizeof(*domain));
        must(domain != NULL);
        *domain = hosts == 1 ? SP_STR("*")
                             : text(s, i & 1 ? "host%05u.example.com" : "*.host%05u.example.com", i);
        s->vhosts[i] = (struct sp_vhost){
            .domains = domain, .domain_count = 1, .routes = s->routes, .route_count = rules
        };
    }
    s->table = (struct sp_route_table){ .vhosts = s->vhosts, .vhost_count = hosts, .fold_domains = true };
    must(!sp_route_table_index(&s->table, &s->arena, &named));
    set_head(s, "a.com", text(s, "/api/v1/thing%05u", rules - 1));
    return s;
}

static void drop(void *state)
{
    struct state *s = state;
    sp_regex_free(s->regex);
    sp_route_table_deinit(&s->table);
    sp_arena_deinit(&s->call_arena);
    sp_arena_deinit(&s->arena);
    free(s);
}

static void run_find(void *state, uint64_t rounds)
{
    struct state *s = state;
    for (uint64_t n = 0; n < rounds; n++) {
        struct sp_route_input in = { .head = &s->head, .arena = &s->call_arena, .rng = &s->rng };
        struct sp_route_choice choice;
        must(sp_route_find(&s->table, &in, &choice) == SP_WHY_NONE);
        sp_bench_keep(choice.route);
        if (n % CALLS_IN_ARENA == 0)
            sp_arena_reset(&s->call_arena);
    }
}

static void *make_simplest(void)
{
    return make(1, 1);
}

static void *make_1000(void)
{
    return make(1, 1000);
}

static void *make_10000(void)
{
    return make(1, 10000);
}

static void *make_hosts(void)
{
    struct state *s = make(10000, 1);
    s->head.service = SP_STR("host09999.example.com");
    return s;
}

static void *make_wild_hosts(void)
{
    struct state *s = make(10000, 1);
    s->head.service = SP_STR("a.host09998.example.com");
    return s;
}

static void *make_rpc(void)
{
    struct state *s = make(1, 2);
    s->head.protocol = SP_PROTO_BOLT;
    s->head.service = SP_STR("com.acme.EchoService:1.0");
    s->head.method = SP_STR("say");
    s->routes[1].match.path = SP_STR("/com.acme.EchoService:1.0/say");
    return s;
}

static void *make_header(void)
{
    struct state *s = make(1, 2);
    s->match = (struct sp_match){ .kind = SP_MATCH_EXACT, .name = SP_STR("x-version"), .text = SP_STR("v2") };
    s->routes[1].match.headers = &s->match;
    s->routes[1].match.header_count = 1;
    return s;
}

static void *make_regex(void)
{
    struct state *s = make(1, 2);
    const char *why;
    must(!sp_regex_new(SP_STR("/api/v[0-9]+/users/[^/]+/orders/[^/]+"), &s->arena, &s->regex, &why));
    s->routes[1].match.kind = SP_PATH_REGEX;
    s->routes[1].match.regex = s->regex;
    s->head.path = SP_STR("/api/v1/users/12345/orders/778");
    return s;
}

static void run_regex(void *state, uint64_t rounds)
{
    struct state *s = state;
    for (uint64_t n = 0; n < rounds; n++) {
        bool hit = false;
        must(!sp_regex_match(s->regex, s->head.path, &hit) && hit);
        sp_bench_keep(&hit);
    }
}

static void run_edit(void *state, uint64_t rounds)
{
    struct state *s = state;
    struct sp_route_choice choice = { .vhost = s->vhosts, .route = s->routes };
    for (uint64_t n = 0; n < rounds; n++) {
        struct sp_route_input in = { .head = &s->head, .arena = &s->call_arena, .rng = &s->rng };
        must(!sp_route_edit_request(&s->table, &choice, &in, &s->head));
        must(!sp_route_edit_response(&s->table, &choice, &s->call_arena, &s->head));
        sp_bench_keep(&s->head);
    }
}

static void *make_hash(void)
{
    struct state *s = make(1, 1);
    s->hash = (struct sp_hash_policy){ .kind = SP_HASH_COOKIE, .name = SP_STR("sid") };
    s->routes[0].hash = &s->hash;
    s->routes[0].hash_count = 1;
    return s;
}

static void run_hash(void *state, uint64_t rounds)
{
    struct state *s = state;
    for (uint64_t n = 0; n < rounds; n++) {
        struct sp_route_input in = { .head = &s->head, .arena = &s->call_arena, .rng = &s->rng };
        uint64_t hash = 0;
        must(sp_route_hash(s->routes, &in, NULL, &hash));
        sp_bench_keep_number(hash);
    }
}

const struct sp_bench sp_bench_route[] = {
    { .name = "route/simplest",
      .baseline = "floor/call",
      .make = make_simplest,
      .run = run_find,
      .drop = drop },
    { .name = "route/rules_1000",
      .baseline = "route/simplest",
      .make = make_1000,
      .run = run_find,
      .drop = drop },
    { .name = "route/rules_10000",
      .baseline = "route/simplest",
      .make = make_10000,
      .run = run_find,
      .drop = drop },
    { .name = "route/hosts_10000",
      .baseline = "route/simplest",
      .make = make_hosts,
      .run = run_find,
      .drop = drop },
    { .name = "route/wild_10000",
      .baseline = "route/simplest",
      .make = make_wild_hosts,
      .run = run_find,
      .drop = drop },
    { .name = "route/rpc_path",
      .baseline = "route/simplest",
      .make = make_rpc,
      .run = run_find,
      .drop = drop },
    { .name = "route/header",
      .baseline = "route/simplest",
      .make = make_header,
      .run = run_find,
      .drop = drop },
    { .name = "route/regex",
      .baseline = "route/regex_match",
      .make = make_regex,
      .run = run_find,
      .drop = drop },
    { .name = "route/regex_match", .make = make_regex, .run = run_regex, .drop = drop },
    { .name = "route/edit_nothing",
      .baseline = "floor/call",
      .make = make_simplest,
      .run = run_edit,
      .drop = drop },
    { .name = "route/hash_cookie",
      .baseline = "floor/call",
      .make = make_hash,
      .run = run_hash,
      .drop = drop },
    { 0 },
};
