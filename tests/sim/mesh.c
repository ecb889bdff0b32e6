/* mesh: sidecars put together from the proxy's own pieces, as cmd/sampan-proxy/serve.c does it with threads:
 * a process on a main loop, workers each on a loop of their own, a snapshot given to all of them by mail.
 *
 * What a test wants to know at the end is asked here once: every call has one outcome, a good one was seen
 * by a server once, a refused connect was seen by none; figures that count what is under way are back at
 * zero; the heap holds as many blocks as before. The seed is printed whenever the program ends otherwise,
 * also by an assertion or a sanitizer. */
#include "sim/mesh.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "proxy/resolve.h"
#include "wire/bolt/bolt.h"
#include "wire/h1/h1.h"

static const struct sp_codec *const codecs[SP_PROTO_COUNT] = {
    [SP_PROTO_HTTP1] = &sp_h1_codec,
    [SP_PROTO_BOLT] = &sp_bolt_codec,
    [SP_PROTO_BOLT2] = &sp_bolt2_codec,
};

static uint64_t current_seed; /* for handlers of the program's end */
static const char *current_name = "sim";

/* --- saying the seed ------------------------------------------------------------------------------------ */

static void say_seed(void)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "\n%s: SAMPAN_SEED=%llu replays this\n", current_name,
                       (unsigned long long)current_seed);
    ssize_t n = write(STDERR_FILENO, line, (size_t)len);
    (void)n; /* there is nobody else to tell */
}

static void on_abort(int number)
{
    (void)number;
    say_seed();
}

/* Given by the sanitizers where they are. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

void mesh_fail(const struct mesh *mesh, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: ", current_name);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, " (at %.6f s)\n", (double)sp_sim_now(mesh->sim) / 1e9 - 1000);
    va_end(args);
    abort();
}

static void say_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

/* --- the world ------------------------------------------------------------------------------------------ */

uint64_t mesh_below(struct mesh *mesh, uint64_t n)
{
    return sp_rng_below(&mesh->rng, n);
}

bool mesh_chance(struct mesh *mesh, uint32_t permille)
{
    return sp_rng_chance(&mesh->rng, permille);
}

struct mesh *mesh_new(uint64_t seed)
{
    struct mesh *mesh = sp_mem_zalloc(sizeof(*mesh));
    SP_ASSERT(mesh);
    current_seed = seed;
    mesh->seed = seed;
    mesh->sim = sp_sim_new(seed);
    SP_ASSERT(mesh->sim);
    sp_rng_init(&mesh->rng, ~seed);
    sp_list_init(&mesh->sidecars);
    sp_vec_init(&mesh->calls, sizeof(struct mesh_call *));
    sp_idmap_init(&mesh->by_token);
    return mesh;
}

static void look_at_memory(struct mesh *mesh)
{
    struct mesh_sidecar *s;
    SP_LIST_EACH(&mesh->sidecars, s, next, struct mesh_sidecar, link)
        for (uint32_t i = 0; s->up && i < s->worker_count; i++)
            s->most_slab_bytes = SP_MAX(s->most_slab_bytes, sp_loop_slabs(s->loops[i])->held_bytes);
}

void mesh_run(struct mesh *mesh, sp_ns ns)
{
    mesh_run_until(mesh, ns, NULL, NULL);
}

bool mesh_run_until(struct mesh *mesh, sp_ns ns, bool (*done)(void *arg), void *arg)
{
    sp_ns end = sp_sim_now(mesh->sim) + ns;
    while (sp_sim_now(mesh->sim) < end) {
        if (done && done(arg))
            return true;
        sp_sim_run(mesh->sim, SP_MIN(end, sp_sim_now(mesh->sim) + 5 * SP_NS_PER_MS));
        look_at_memory(mesh);
    }
    return done && done(arg);
}

void mesh_fail_open(struct mesh *mesh)
{
    for (size_t i = 0; i < mesh->calls.len; i++) {
        const struct mesh_call *call = *(struct mesh_call **)sp_vec_at(&mesh->calls, i);
        if (call->outcome == MESH_OPEN)
            fprintf(stderr,
                    "%s: call %016llx of mode %u, begun at %.6f s, seen %u times, answered %u times\n",
                    current_name, (unsigned long long)call->token, call->mode,
                    (double)call->began / 1e9 - 1000, call->seen, call->answered);
    }
    mesh_fail(mesh, "the clients have not come to their end");
}

static void check_calls(struct mesh *mesh)
{
    for (size_t i = 0; i < mesh->calls.len; i++) {
        struct mesh_call *call = *(struct mesh_call **)sp_vec_at(&mesh->calls, i);
        if (call->outcome == MESH_OPEN)
            mesh_fail(mesh, "call %016llx was lost: it has come to no outcome",
                      (unsigned long long)call->token);
        sp_mem_free(call);
    }
    sp_vec_deinit(&mesh->calls);
    sp_idmap_deinit(&mesh->by_token);
}

void mesh_free(struct mesh *mesh)
{
    check_calls(mesh);
    while (!sp_list_is_empty(&mesh->sidecars)) {
        struct mesh_sidecar *s = SP_CONTAINER(mesh->sidecars.next, struct mesh_sidecar, link);
        mesh_kill(s);
        sp_list_remove(&s->link);
        sp_mem_free(s);
    }
    sp_sim_free(mesh->sim);
    sp_mem_free(mesh);
}

/* --- sidecars ------------------------------------------------------------------------------------------- */

static void say_log(void *arg, enum sp_log_level level, sp_str line)
{
    (void)arg, (void)level;
    fprintf(stderr, "%.*s", SP_STR_ARG(line));
}

static struct mesh_sidecar *start(struct mesh *mesh, struct sp_loop *place, uint32_t workers)
{
    struct mesh_sidecar *s = sp_mem_zalloc(sizeof(*s));
    SP_ASSERT(s && place && workers <= MESH_WORKERS_MAX);
    s->mesh = mesh;
    s->place = place;
    s->main = sp_sim_loop(mesh->sim, place);
    SP_ASSERT(s->main);
    s->worker_count = workers;
    s->settings = (struct sp_settings){ .drain_ns = 5 * SP_NS_PER_S,
                                        .why_records = 16,
                                        .reason_header = true };
    s->log = (struct sp_log){ .level = SP_LOG_ERROR, .sink = say_log };
    sp_err err = sp_process_init(&s->process, s->main, &s->log, &s->settings, codecs, workers);
    for (uint32_t i = 0; i < workers && !err; i++) {
        s->loops[i] = sp_sim_loop(mesh->sim, place);
        SP_ASSERT(s->loops[i]);
        err = sp_worker_init(&s->workers[i], &s->process, s->loops[i], i);
    }
    SP_ASSERT(!err);
    s->next = sp_snapshot_new(NULL);
    SP_ASSERT(s->next);
    s->up = true;
    sp_list_push(&mesh->sidecars, &s->link);
    return s;
}

struct mesh_sidecar *mesh_sidecar(struct mesh *mesh, const char *ip, uint32_t workers)
{
    return start(mesh, sp_sim_host(mesh->sim, ip), workers);
}

struct mesh_sidecar *mesh_sidecar_beside(struct mesh_sidecar *sidecar, uint32_t workers)
{
    return start(sidecar->mesh, sidecar->place, workers);
}

struct sp_loop *mesh_app_loop(struct mesh_sidecar *sidecar)
{
    struct sp_loop *loop = sp_sim_loop(sidecar->mesh->sim, sidecar->place);
    SP_ASSERT(loop);
    return loop;
}

void mesh_kill(struct mesh_sidecar *s)
{
    if (!s->up)
        return;
    s->up = false;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        sp_loop_turn(s->loops[i], 0); /* orders that are in the mail */
        sp_worker_deinit(&s->workers[i]);
        sp_loop_free(s->loops[i]);
    }
    sp_process_deinit(&s->process);
    sp_dns_free(s->process.dns);
    sp_loop_free(s->main);
    sp_snapshot_unref(s->next);
}

/* --- resources ------------------------------------------------------------------------------------------ */

static sp_str copy(struct sp_arena *arena, const char *text)
{
    sp_str s = sp_str_dup(arena, sp_str_c(text));
    SP_ASSERT(s.ptr);
    return s;
}

static sp_addr address(struct sp_arena *arena, const char *text)
{
    sp_addr addr = { .family = SP_ADDR_UNIX };
    if (text[0] != '/' && text[0] != '@') {
        SP_ASSERT(!sp_addr_parse(sp_str_c(text), &addr));
        return addr;
    }
    addr.path = sp_str_dup_z(arena, sp_str_c(text));
    SP_ASSERT(addr.path);
    return addr;
}

static struct sp_resource *resource(struct mesh_sidecar *s, enum sp_resource_kind kind, const char *name)
{
    struct sp_resource *r = sp_resource_new(kind, sp_str_c(name));
    SP_ASSERT(r);
    r->hash = ++s->versions;
    SP_ASSERT(!sp_snapshot_put(s->next, r));
    sp_resource_unref(r); /* the snapshot's reference keeps it */
    return r;
}

/* A name instead of a number ("bank:80") makes the cluster STRICT_DNS. */
static void set_endpoint(struct sp_cluster_spec *spec, struct sp_endpoint_spec *ep, struct sp_arena *arena,
                         const char *text)
{
    sp_str all = sp_str_c(text);
    size_t colon = sp_str_find_last(all, ':');
    bool is_path = text[0] == '/' || text[0] == '@';
    sp_addr addr;
    ep->weight = 1;
    ep->healthy = true;
    if (is_path || !sp_addr_parse(all, &addr)) {
        ep->addr = address(arena, text);
        return;
    }
    uint64_t port;
    SP_ASSERT(colon < all.len && !sp_str_to_u64(sp_str_from(all, colon + 1), &port));
    spec->kind = SP_CLUSTER_STRICT_DNS;
    ep->port = (uint16_t)port;
    ep->host = sp_str_dup(arena, sp_str_upto(all, colon));
}

struct sp_cluster_spec *mesh_cluster(struct mesh_sidecar *sidecar, const char *name, const char *const *addrs)
{
    struct sp_resource *r = resource(sidecar, SP_RESOURCE_CLUSTER, name);
    struct sp_cluster_spec *spec = SP_ARENA_NEW(&r->arena, struct sp_cluster_spec);
    SP_ASSERT(spec);
    uint32_t count = 0;
    while (addrs[count])
        count++;
    struct sp_endpoint_spec *endpoints = sp_arena_array(&r->arena, count + 1, sizeof(*endpoints));
    SP_ASSERT(endpoints);
    *spec = (struct sp_cluster_spec){ .name = r->name,
                                      .kind = SP_CLUSTER_STATIC,
                                      .balance = SP_BALANCE_ROUND_ROBIN,
                                      .connect_timeout_ns = 2 * SP_NS_PER_S,
                                      .idle_timeout_ns = 3 * SP_NS_PER_S,
                                      .endpoints = endpoints,
                                      .endpoint_count = count,
                                      .limits = { 1024, 1024, 1024, 3 },
                                      .least_choices = 2,
                                      .dns_refresh_ns = SP_NS_PER_S,
                                      .ring_min = 64,
                                      .ring_max = 1024 };
    for (uint32_t i = 0; i < count; i++)
        set_endpoint(spec, &endpoints[i], &r->arena, addrs[i]);
    r->cluster = spec;
    return spec;
}

static void free_routes(struct sp_resource *r)
{
    for (uint32_t i = 0; i < r->listener->chain_count; i++)
        if (r->listener->chains[i].routes)
            sp_route_table_deinit((struct sp_route_table *)(uintptr_t)r->listener->chains[i].routes);
}

static struct sp_route_table *make_routes(struct sp_arena *arena, bool fold, const char *cluster)
{
    struct sp_route_table *table = SP_ARENA_NEW(arena, struct sp_route_table);
    struct sp_vhost *vhost = SP_ARENA_NEW(arena, struct sp_vhost);
    struct sp_route *route = SP_ARENA_NEW(arena, struct sp_route);
    sp_str *domain = SP_ARENA_NEW(arena, sp_str);
    SP_ASSERT(table && vhost && route && domain);
    *domain = SP_STR("*");
    *route = (struct sp_route){ .name = SP_STR("all"),
                                .kind = SP_ROUTE_FORWARD,
                                .cluster = copy(arena, cluster),
                                .timeout_ns = 15 * SP_NS_PER_S,
                                .match = {
                                    .kind = SP_PATH_PREFIX, .path = SP_STR("/"), .fraction_ppm = 1000000 } };
    *vhost = (struct sp_vhost){
        .name = SP_STR("any"), .domains = domain, .domain_count = 1, .routes = route, .route_count = 1
    };
    *table = (struct sp_route_table){
        .name = SP_STR("routes"), .vhosts = vhost, .vhost_count = 1, .fold_domains = fold
    };
    sp_str twice;
    SP_ASSERT(!sp_route_table_index(table, arena, &twice));
    return table;
}

static void fill_chain(struct sp_resource *r, struct sp_chain_spec *chain, enum sp_protocol protocol,
                       const char *cluster)
{
    bool http = protocol == SP_PROTO_HTTP1, tcp = protocol == SP_PROTO_TCP;
    *chain = (struct sp_chain_spec){ .name = r->name,
                                     .kind = tcp    ? SP_CHAIN_TCP
                                             : http ? SP_CHAIN_HTTP
                                                    : SP_CHAIN_RPC,
                                     .stat_prefix = r->name,
                                     .protocol = tcp ? SP_PROTO_NONE : (uint8_t)protocol,
                                     .stream_idle_ns = 300 * SP_NS_PER_S,
                                     .idle_ns = 3600 * SP_NS_PER_S,
                                     .generate_request_id = true,
                                     .tcp_idle_ns = 3600 * SP_NS_PER_S };
    if (tcp)
        chain->cluster = copy(&r->arena, cluster);
    else
        chain->routes = make_routes(&r->arena, http, cluster);
}

static struct sp_listener_spec *listener(struct mesh_sidecar *sidecar, const char *name, const char *addr,
                                         uint32_t chains)
{
    struct sp_resource *r = resource(sidecar, SP_RESOURCE_LISTENER, name);
    struct sp_listener_spec *spec = SP_ARENA_NEW(&r->arena, struct sp_listener_spec);
    SP_ASSERT(spec);
    *spec = (struct sp_listener_spec){ .name = r->name,
                                       .addr = address(&r->arena, addr),
                                       .bind = true,
                                       .direction = SP_DIRECTION_OUTBOUND,
                                       .chains = sp_arena_array(&r->arena, chains,
                                                                sizeof(struct sp_chain_spec)),
                                       .chain_count = chains };
    SP_ASSERT(spec->chains);
    r->listener = spec;
    r->on_free = free_routes;
    return spec;
}

static struct sp_resource *find_resource(const struct mesh_sidecar *s, const char *name)
{
    return sp_map_get(&s->next->by_name[SP_RESOURCE_LISTENER], sp_str_c(name));
}

struct sp_listener_spec *mesh_listener(struct mesh_sidecar *sidecar, const char *name, const char *addr,
                                       enum sp_protocol protocol, const char *cluster)
{
    struct sp_listener_spec *spec = listener(sidecar, name, addr, 1);
    fill_chain(find_resource(sidecar, name), mesh_chain(spec), protocol, cluster);
    return spec;
}

struct sp_listener_spec *mesh_listener_any(struct mesh_sidecar *sidecar, const char *name, const char *addr,
                                           const char *http, const char *bolt, const char *tcp)
{
    struct sp_listener_spec *spec = listener(sidecar, name, addr, 3);
    struct sp_resource *r = find_resource(sidecar, name);
    struct sp_chain_spec *chains = mesh_chain(spec);
    sp_str *names = sp_arena_array(&r->arena, 2, sizeof(sp_str));
    SP_ASSERT(names);
    fill_chain(r, &chains[0], SP_PROTO_HTTP1, http);
    fill_chain(r, &chains[1], SP_PROTO_BOLT, bolt);
    fill_chain(r, &chains[2], SP_PROTO_TCP, tcp);
    names[0] = SP_STR("http/1.1");
    names[1] = SP_STR("bolt");
    for (int i = 0; i < 2; i++) {
        chains[i].match_protocols = &names[i];
        chains[i].match_protocol_count = 1;
    }
    spec->detect = spec->has_default = true;
    return spec;
}

struct sp_chain_spec *mesh_chain(struct sp_listener_spec *listener)
{
    return (struct sp_chain_spec *)(uintptr_t)&listener->chains[0];
}

struct sp_route *mesh_route(struct sp_listener_spec *listener)
{
    const struct sp_route_table *table = listener->chains[0].routes;
    return table ? (struct sp_route *)(uintptr_t)&table->vhosts[0].routes[0] : NULL;
}

void mesh_drop_listener(struct mesh_sidecar *sidecar, const char *name)
{
    sp_snapshot_remove(sidecar->next, SP_RESOURCE_LISTENER, sp_str_c(name));
}

struct order {
    struct sp_mail mail;
    struct sp_worker *worker;
    struct mesh_sidecar *sidecar;
    struct sp_snapshot *snapshot;
    sp_ns deadline_ns;
};

static struct order *order_new(struct mesh_sidecar *s, uint32_t worker, void (*on_mail)(struct sp_mail *mail))
{
    struct order *order = sp_mem_zalloc(sizeof(*order));
    SP_ASSERT(order);
    order->mail.on_mail = on_mail;
    order->worker = &s->workers[worker];
    order->sidecar = s;
    return order;
}

static void on_apply(struct sp_mail *mail)
{
    struct order *order = SP_CONTAINER(mail, struct order, mail);
    sp_err err = sp_worker_apply(order->worker, order->snapshot, NULL);
    if (err && err != SP_E_NOFILE && err != SP_E_NOMEM) /* of which it runs short by the test's own doing */
        mesh_fail(order->sidecar->mesh, "a snapshot was refused: %s", sp_err_str(err));
    sp_snapshot_unref(order->snapshot);
    sp_mem_free(order);
}

static bool make_budgets(struct mesh_sidecar *s, const struct sp_snapshot *snapshot)
{
    bool names = false;
    size_t at = 0;
    void *value;
    SP_ASSERT(!sp_process_share(&s->process, snapshot));
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_CLUSTER], &at, NULL, &value)) {
        const struct sp_cluster_spec *spec = ((struct sp_resource *)value)->cluster;
        names |= spec->kind == SP_CLUSTER_STRICT_DNS;
    }
    return names;
}

void mesh_apply(struct mesh_sidecar *s)
{
    struct sp_snapshot *snapshot = s->next;
    s->next = sp_snapshot_new(snapshot);
    SP_ASSERT(s->next);
    sp_snapshot_seal(snapshot, ++s->versions);
    bool names = make_budgets(s, snapshot);
    bool first = !s->process.snapshot;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct order *order = order_new(s, i, on_apply);
        sp_snapshot_ref(snapshot);
        order->snapshot = snapshot;
        if (first)
            on_apply(&order->mail);
        else
            sp_mail_post(s->loops[i], &order->mail);
    }
    if (s->process.snapshot)
        sp_snapshot_unref(s->process.snapshot);
    s->process.snapshot = snapshot; /* our reference */
    if (names && !s->process.dns)
        s->process.dns = sp_dns_new(s->main);
    if (s->process.dns)
        SP_ASSERT(!sp_resolve_update(&s->process));
}

/* --- asking a worker, as admin does --------------------------------------------------------------------- */

struct question {
    struct sp_ask ask;
    uint64_t seen;
};

static void on_listener(void *arg, const struct sp_listener_spec *spec, const sp_addr *bound,
                        const struct sp_listener_cells *cells)
{
    *(uint64_t *)arg += spec->name.len + bound->port + sp_cell_get(&cells->cx_total);
}

static void on_chain(void *arg, sp_str stat_prefix, const struct sp_chain_cells *cells,
                     const struct sp_hist *rq_time_ns)
{
    *(uint64_t *)arg += stat_prefix.len + sp_cell_get(&cells->rq_total) + sp_hist_quantile(rq_time_ns, 990);
}

static void on_cluster(void *arg, const struct sp_cluster_spec *spec, const struct sp_cluster_cells *cells,
                       const struct sp_hist *rq_time_ns)
{
    *(uint64_t *)arg += spec->name.len + sp_cell_get(&cells->rq_total) + sp_hist_quantile(rq_time_ns, 990);
}

static void on_endpoint(void *arg, const struct sp_cluster_spec *spec, const sp_addr *addr,
                        const struct sp_endpoint_view *ep)
{
    *(uint64_t *)arg += spec->name.len + addr->port + ep->rq_total + ep->rq_active;
}

static void on_series(void *arg, const struct sp_series *series)
{
    *(uint64_t *)arg += series->key.cluster.len + sp_cell_get(&series->requests);
}

static void on_worker(void *arg, uint32_t index, const struct sp_worker_cells *cells)
{
    *(uint64_t *)arg += index + sp_cell_get(&cells->streams_total);
}

static void look(struct sp_worker *worker, void *arg)
{
    static const struct sp_view_ops ops = { on_listener, on_chain,  on_cluster,
                                            on_endpoint, on_series, on_worker };
    sp_worker_walk(worker, &ops, arg);
}

static void on_looked(struct sp_ask *ask)
{
    sp_mem_free(SP_CONTAINER(ask, struct question, ask));
}

void mesh_ask(struct mesh_sidecar *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct question *q = sp_mem_zalloc(sizeof(*q));
        SP_ASSERT(q);
        q->ask = (struct sp_ask){ .fn = look, .then = on_looked, .arg = &q->seen };
        sp_worker_ask(&s->workers[i], &q->ask);
    }
}

/* --- the end of a sidecar ------------------------------------------------------------------------------- */

static void on_drained(struct sp_worker *worker)
{
    struct mesh_sidecar *s = SP_CONTAINER(worker - worker->index, struct mesh_sidecar, workers[0]);
    s->drained++;
}

static void on_drain(struct sp_mail *mail)
{
    struct order *order = SP_CONTAINER(mail, struct order, mail);
    sp_worker_drain(order->worker, order->deadline_ns, on_drained);
    sp_mem_free(order);
}

void mesh_drain(struct mesh_sidecar *s, sp_ns deadline_ns)
{
    s->draining = true;
    __atomic_store_n(&s->process.draining, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct order *order = order_new(s, i, on_drain);
        order->deadline_ns = deadline_ns;
        sp_mail_post(s->loops[i], &order->mail);
    }
}

static void zero(const struct mesh_sidecar *s, const char *what, uint64_t value)
{
    if (value)
        mesh_fail(s->mesh, "%s is %llu in an idle sidecar", what, (unsigned long long)value);
}

static void check_cluster(const struct mesh_sidecar *s, const struct sp_cluster *cluster)
{
    zero(s, "cluster rq_active", sp_cell_get(&cluster->cells.rq_active));
    zero(s, "cluster rq_pending_active", sp_cell_get(&cluster->cells.rq_pending_active));
    zero(s, "cluster requests lent", cluster->requests.used);
    zero(s, "cluster pending lent", cluster->pending.used);
    zero(s, "cluster retries lent", cluster->retries.used);
    const struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        zero(s, "endpoint active", ep->active);
        zero(s, "endpoint pending", ep->pending_count);
        zero(s, "endpoint connecting", ep->connecting_count);
        zero(s, "endpoint gone and still there", ep->gone);
    }
}

void mesh_check_idle(struct mesh_sidecar *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        const struct sp_worker *w = &s->workers[i];
        zero(s, "streams_active", sp_cell_get(&w->cells.streams_active));
        zero(s, "connections_active", sp_cell_get(&w->cells.connections_active));
        zero(s, "streams", !sp_list_is_empty(&w->streams));
        zero(s, "lines", !sp_list_is_empty(&w->lines));
        zero(s, "relays", !sp_list_is_empty(&w->relays));
        zero(s, "connections lent", w->connection_lease.used);
        zero(s, "streams lent", w->stream_lease.used);
        size_t at = 0;
        void *value;
        while (sp_map_next(&w->clusters, &at, NULL, &value))
            check_cluster(s, value);
    }
}

/* --- the ledger ----------------------------------------------------------------------------------------- */

struct mesh_call *mesh_call_begin(struct mesh *mesh)
{
    struct mesh_call *call = sp_mem_zalloc(sizeof(*call));
    struct mesh_call **place = sp_vec_push(&mesh->calls);
    SP_ASSERT(call && place);
    *place = call;
    call->token = sp_rng_next(&mesh->rng) | 1;
    call->began = sp_sim_now(mesh->sim);
    SP_ASSERT(!sp_idmap_put(&mesh->by_token, call->token, call));
    return call;
}

struct mesh_call *mesh_call_find(struct mesh *mesh, uint64_t token)
{
    return sp_idmap_get(&mesh->by_token, token);
}

void mesh_call_seen(struct mesh *mesh, struct mesh_call *call)
{
    if (call->broken)
        mesh_fail(mesh, "call %016llx came to a server, though its request is none",
                  (unsigned long long)call->token);
    unsigned most = call->idempotent ? 4 : 1; /* twice for each of two sidecars on its way */
    if (++call->seen > most)
        mesh_fail(mesh, "call %016llx came to a server %u times", (unsigned long long)call->token,
                  call->seen);
}

/* Reasons that say: nothing of the call has left this sidecar. */
static bool means_unsent(const char *reason)
{
    static const char *const codes[] = { "NO_ROUTE",         "NO_CLUSTER", "NO_HEALTHY", "CONNECT",
                                         "CONNECT_TIMEOUT",  "POOL_FULL",  "BREAKER",    "DNS",
                                         "TOO_MANY_STREAMS", "DESCRIPTORS" };
    for (unsigned i = 0; i < SP_COUNTOF(codes); i++)
        if (strcmp(codes[i], reason) == 0)
            return true;
    return false;
}

void mesh_call_end(struct mesh *mesh, struct mesh_call *call, enum mesh_outcome outcome)
{
    unsigned long long token = call->token;
    if (call->outcome != MESH_OPEN)
        mesh_fail(mesh, "call %016llx has ended twice: %d, then %d", token, call->outcome, outcome);
    bool once = call->seen == 1 && call->answered == 1;
    bool often = call->idempotent && call->seen && call->answered;
    if (outcome == MESH_GOOD && !call->oneway && !once && !often)
        mesh_fail(mesh, "call %016llx was answered, but a server saw it %u times and answered %u times",
                  token, call->seen, call->answered);
    /* One that may go twice may have been seen the first time, by way of the same second sidecar. */
    if (outcome == MESH_REFUSED && call->seen && !call->idempotent && means_unsent(call->reason))
        mesh_fail(mesh, "call %016llx was refused with %s, but a server saw it", token, call->reason);
    static const char *const words[MESH_OUTCOMES] = { "open", "good", "refused", "cut", "given up" };
    if (mesh->traced)
        fprintf(stderr, "%12.6f ms  call %016llx mode %u ask %u answer %u seen %u answered %u: %s %s\n",
                (double)sp_sim_now(mesh->sim) / 1e6 - 1e6, token, call->mode, call->ask_bytes,
                call->answer_bytes, call->seen, call->answered, words[outcome], call->reason);
    call->outcome = outcome;
    call->ended = sp_sim_now(mesh->sim);
    mesh->outcomes[outcome]++;
}

void mesh_fill(uint64_t token, bool answer, uint64_t from, char *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = mesh_byte(token, answer, from + i);
}

int64_t mesh_verify(uint64_t token, bool answer, uint64_t from, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != mesh_byte(token, answer, from + i))
            return (int64_t)i;
    return -1;
}

/* --- many seeds ----------------------------------------------------------------------------------------- */

static uint64_t number(const char *text, uint64_t otherwise)
{
    uint64_t value = otherwise;
    if (text && sp_str_to_u64(sp_str_c(text), &value)) {
        fprintf(stderr, "%s: not a number: %s\n", current_name, text);
        exit(2);
    }
    return value;
}

int mesh_main(int argc, char **argv, const char *name, uint32_t count, void (*one)(struct mesh *mesh))
{
    const char *only = sp_proc_env("SAMPAN_SEED");
    const char *trace = sp_proc_env("SAMPAN_TRACE");
    uint64_t first = number(only ? only : argc > 1 ? argv[1] : NULL, 1);
    uint64_t seeds = only ? 1 : number(argc > 2 ? argv[2] : NULL, count);
    uint64_t sum[MESH_OUTCOMES] = { 0 }, moved = 0;
    uint32_t upgrades = (uint32_t)number(sp_proc_env("SAMPAN_UPGRADES"), 0);
    current_name = name;
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_seed);
    uint64_t cpu = sp_proc_cpu_ns();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        uint64_t blocks = sp_mem_live_blocks();
        struct mesh *mesh = mesh_new(seed);
        mesh->traced = trace != NULL;
        mesh->upgrades = upgrades;
        if (trace)
            sp_sim_set_trace(mesh->sim, say_line, NULL);
        one(mesh);
        for (int i = 0; i < MESH_OUTCOMES; i++)
            sum[i] += mesh->outcomes[i];
        moved += mesh->upgrades_done;
        mesh_free(mesh);
        if (sp_mem_live_blocks() != blocks) {
            fprintf(stderr, "%s: %llu blocks of memory are left\n", name,
                    (unsigned long long)(sp_mem_live_blocks() - blocks));
            abort();
        }
    }
    printf("%s: %llu seeds from %llu: %llu calls good, %llu refused, %llu cut, %llu given up; %.1f ms each\n",
           name, (unsigned long long)seeds, (unsigned long long)first, (unsigned long long)sum[MESH_GOOD],
           (unsigned long long)sum[MESH_REFUSED], (unsigned long long)sum[MESH_CUT],
           (unsigned long long)sum[MESH_GIVEN_UP],
           (double)(sp_proc_cpu_ns() - cpu) / 1e6 / (double)SP_MAX(seeds, 1u));
    if (upgrades)
        printf("%s: %llu hot upgrades\n", name, (unsigned long long)moved);
    return 0;
}
