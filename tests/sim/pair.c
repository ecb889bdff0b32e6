/* pair: see pair.h. Each feature is drawn by itself, so that the seeds cover their products. */
#include "sim/pair.h"

#include <string.h>

#include "model/cluster.h"
#include "model/listener.h"

static const char *const server_addrs[PAIR_SERVERS] = { "127.0.0.1:8080", "127.0.0.1:8081",
                                                        "127.0.0.1:8082" };

static void draw_limits(struct pair *p, struct sp_cluster_spec *spec)
{
    struct mesh *mesh = p->mesh;
    if (!p->limited)
        return;
    if (mesh_chance(mesh, 500))
        spec->limits.connections = 1 + (uint32_t)mesh_below(mesh, 4);
    if (mesh_chance(mesh, 500))
        spec->limits.pending = 1 + (uint32_t)mesh_below(mesh, 10);
    if (mesh_chance(mesh, 500))
        spec->limits.requests = 1 + (uint32_t)mesh_below(mesh, 10);
}

/* Caps of the process. */
static void draw_caps(struct pair *p, struct mesh_sidecar *s)
{
    struct mesh *mesh = p->mesh;
    if (p->limited && mesh_chance(mesh, 300))
        sp_budget_set_limit(&s->process.connections, 1 + mesh_below(mesh, 6), s->worker_count);
    if (p->limited && mesh_chance(mesh, 300))
        sp_budget_set_limit(&s->process.streams, 1 + mesh_below(mesh, 10), s->worker_count);
}

static void draw_life(struct pair *p, struct sp_cluster_spec *spec)
{
    struct mesh *mesh = p->mesh;
    static const enum sp_balance_kind kinds[] = { SP_BALANCE_ROUND_ROBIN, SP_BALANCE_LEAST_REQUEST,
                                                  SP_BALANCE_RANDOM, SP_BALANCE_RING_HASH };
    if (spec->kind != SP_CLUSTER_ORIGINAL_DST)
        spec->balance = kinds[mesh_below(mesh, SP_COUNTOF(kinds))];
    if (p->short_lived && mesh_chance(mesh, 500))
        spec->idle_timeout_ns = SP_NS_PER_MS * (1 + mesh_below(mesh, 30));
    if (mesh_chance(mesh, 300))
        spec->max_requests_per_connection = 1 + (uint32_t)mesh_below(mesh, 5);
    if (mesh_chance(mesh, 200))
        spec->max_connection_ns = SP_NS_PER_MS * (1 + mesh_below(mesh, 200));
    bool prompt = p->trouble.degree == TROUBLE_NONE &&
                  !p->limited; /* else it may be taken for dead, and is not */
    if (p->protocol == SP_PROTO_BOLT && (prompt || p->trouble.degree >= TROUBLE_HOSTILE) &&
        mesh_chance(mesh, 300))
        spec->heartbeat_ns = SP_NS_PER_MS * (10 + mesh_below(mesh, 300));
    if (mesh_chance(mesh, 200))
        spec->buffer_bytes = 1024 * (1 + (uint32_t)mesh_below(mesh, 64));
}

static void draw_route(struct pair *p, struct sp_listener_spec *listener)
{
    struct mesh *mesh = p->mesh;
    mesh_chain(listener)->upgrade_websocket = true;
    struct sp_route *route = mesh_route(listener);
    if (!route)
        return;
    if (p->trouble.degree <= TROUBLE_ROUGH)
        route->timeout_ns = 0; /* slow readers of long answers have all the time there is */
    if (mesh_chance(mesh, 500)) {
        route->retry.on = SP_RETRY_CONNECT_FAILURE;
        route->retry.retries = 1 + (uint32_t)mesh_below(mesh, 3);
    }
}

/* How long a caller may take; in peace, as long as it likes. */
static void draw_times(struct pair *p, struct sp_listener_spec *listener)
{
    struct mesh *mesh = p->mesh;
    struct sp_chain_spec *chain = mesh_chain(listener);
    if (p->limited && mesh_chance(mesh, 200))
        listener->max_connections = 1 + (uint32_t)mesh_below(mesh, 6);
    if (p->trouble.degree < TROUBLE_HOSTILE) {
        chain->headers_timeout_ns = 3600 * SP_NS_PER_S;
        return;
    }
    if (mesh_chance(mesh, 300))
        chain->headers_timeout_ns = SP_NS_PER_MS * (10 + mesh_below(mesh, 500));
    if (mesh_chance(mesh, 300))
        chain->stream_idle_ns = SP_NS_PER_MS * (10 + mesh_below(mesh, 2000));
    if (mesh_chance(mesh, 200))
        chain->max_connection_ns = SP_NS_PER_MS * (10 + mesh_below(mesh, 500));
    if (mesh_chance(mesh, 200))
        chain->tcp_idle_ns = SP_NS_PER_MS * (10 + mesh_below(mesh, 500));
}

static void configure_shop(struct pair *p)
{
    static const char *const by_number[] = { "10.0.0.2:15006", NULL }, *const by_name[] = { "bank.test:15006",
                                                                                            NULL };
    static const char *const by_path[] = { "@bank", NULL }, *const nowhere[] = { NULL };
    struct sp_cluster_spec *bank = mesh_cluster(p->shop, "bank",
                                                p->intercepted ? nowhere
                                                : p->by_path   ? by_path
                                                : p->by_name   ? by_name
                                                               : by_number);
    if (p->intercepted)
        bank->kind = SP_CLUSTER_ORIGINAL_DST;
    draw_limits(p, bank);
    draw_life(p, bank);
    struct sp_listener_spec *out = mesh_listener(p->shop, "outbound", "127.0.0.1:15001", p->protocol, "bank");
    draw_times(p, out);
    draw_caps(p, p->shop);
    out->read_original_dst = p->intercepted;
    if (p->proxied)
        bank->proxyproto = mesh_chance(p->mesh, 500) ? SP_PROXYPROTO_V1 : SP_PROXYPROTO_V2;
    if (p->detected)
        mesh_chain(out)->protocol = SP_PROTO_NONE;
    draw_route(p, out);
}

static void configure_bank(struct pair *p)
{
    struct sp_cluster_spec *app = mesh_cluster(p->bank, "app", p->addrs);
    draw_limits(p, app);
    draw_life(p, app);
    const char *addr = p->by_path ? "@bank" : p->intercepted ? "0.0.0.0:15006" : "10.0.0.2:15006";
    struct sp_listener_spec *in = mesh_listener(p->bank, "inbound", addr, p->protocol, "app");
    in->direction = SP_DIRECTION_INBOUND;
    draw_times(p, in);
    draw_caps(p, p->bank);
    in->read_original_dst = p->intercepted;
    in->proxy_protocol = p->proxied;
    if (p->detected)
        mesh_chain(in)->protocol = SP_PROTO_NONE;
    if (p->short_lived && mesh_chance(p->mesh, 500))
        mesh_chain(in)->idle_ns = SP_NS_PER_MS * (1 + mesh_below(p->mesh, 30));
    draw_route(p, in);
}

static void draw_features(struct pair *p)
{
    struct mesh *mesh = p->mesh;
    uint64_t way = mesh_below(mesh, 10);
    p->intercepted = way == 0 || way == 1;
    p->by_name = way == 2 || way == 3;
    p->by_path = way == 4;
    p->detected = p->protocol != SP_PROTO_TCP && mesh_chance(mesh, 300);
    p->proxied = p->protocol == SP_PROTO_TCP && mesh_chance(mesh, 300);
    p->limited = mesh_chance(mesh, 200);
    p->short_lived = mesh_chance(mesh, 200);
    p->swaps = mesh_chance(mesh, 300);
    p->drains = mesh_chance(mesh, 150);
    p->dies = p->trouble.degree >= TROUBLE_HOSTILE && mesh_chance(mesh, 150);
    p->die_at = sp_sim_now(mesh->sim) + mesh_below(mesh, 200 * SP_NS_PER_MS);
    p->next_swap = sp_sim_now(mesh->sim) + mesh_below(mesh, 50 * SP_NS_PER_MS);
    p->drain_at = sp_sim_now(mesh->sim) + mesh_below(mesh, 200 * SP_NS_PER_MS);
}

void pair_open(struct pair *p, struct mesh *mesh, enum sp_protocol protocol)
{
    *p = (struct pair){ .mesh = mesh, .protocol = protocol };
    trouble_init(&p->trouble, mesh, (enum trouble_degree)(mesh->seed % TROUBLE_DEGREES));
    draw_features(p);
    p->servers = 1 + (uint32_t)mesh_below(mesh, PAIR_SERVERS);
    for (uint32_t i = 0; i < p->servers; i++)
        p->addrs[i] = server_addrs[i];
    p->shop = mesh_sidecar(mesh, "10.0.0.1", 1 + (uint32_t)mesh_below(mesh, 3));
    /* A path is one machine's own: then the bank lives beside the shop. */
    p->bank = p->by_path ? mesh_sidecar_beside(p->shop, 1)
                         : mesh_sidecar(mesh, "10.0.0.2", 1 + (uint32_t)mesh_below(mesh, 3));
    SP_ASSERT(!sp_sim_name(mesh->sim, "bank.test", "10.0.0.2"));
    p->trouble.sidecars[0] = p->shop;
    p->trouble.sidecars[1] = p->bank;
    p->trouble.sidecar_count = 2;
    configure_shop(p);
    configure_bank(p);
    mesh_apply(p->bank);
    mesh_apply(p->shop);
    p->client_loop = mesh_app_loop(p->shop);
    p->server_loop = mesh_app_loop(p->bank);
    p->to = "127.0.0.1:15001";
    if (p->intercepted) {
        sp_sim_redirect_out(p->client_loop, 15001);
        sp_sim_redirect_in(p->bank->place, 15006);
        p->to = "10.0.0.2:8080";
    }
    if (p->by_name)
        mesh_run(mesh, 3 * SP_NS_PER_S); /* names take a while */
}

/* --- what happens meanwhile ----------------------------------------------------------------------------- */

/* The same again, in new clothes: everything is built anew, some of it drawn anew. */
static void swap(struct pair *p)
{
    static const char *const spare[] = { "10.0.0.9:1", NULL };
    struct mesh_sidecar *s = mesh_chance(p->mesh, 500) ? p->shop : p->bank;
    p->swap_count++;
    if (s == p->shop && mesh_chance(p->mesh, 700))
        configure_shop(p);
    if (s == p->bank && mesh_chance(p->mesh, 700))
        configure_bank(p);
    if (mesh_chance(p->mesh, 300))
        mesh_listener(s, "spare", "127.0.0.1:19999", p->protocol, "spare");
    else
        mesh_drop_listener(s, "spare");
    if (mesh_chance(p->mesh, 500))
        mesh_cluster(s, "spare", spare);
    mesh_apply(s);
}

static void upgrade(struct pair *p)
{
    bool shop = mesh_chance(p->mesh, 500);
    struct mesh_sidecar **s = shop ? &p->shop : &p->bank;
    if (!(*s)->up || (*s)->draining)
        return;
    uint32_t workers = !shop && p->by_path ? 1 : 1 + (uint32_t)mesh_below(p->mesh, 3);
    *s = mesh_upgrade(*s, workers);
    p->trouble.sidecars[shop ? 0 : 1] = *s;
}

static void befall(struct pair *p)
{
    sp_ns now = sp_sim_now(p->mesh->sim);
    if (p->mesh->upgrades && mesh_chance(p->mesh, p->mesh->upgrades))
        upgrade(p);
    if (p->swaps && now >= p->next_swap && !p->shop->draining && !p->bank->draining) {
        swap(p);
        p->next_swap = now + mesh_below(p->mesh, 100 * SP_NS_PER_MS);
    }
    if (p->swaps && mesh_chance(p->mesh, 100))
        mesh_ask(p->shop);
    if (p->drains && now >= p->drain_at) {
        p->drains = false;
        bool hard = p->trouble.degree >= TROUBLE_HOSTILE && mesh_chance(p->mesh, 500);
        mesh_drain(mesh_chance(p->mesh, 500) ? p->shop : p->bank,
                   hard ? mesh_below(p->mesh, 300 * SP_NS_PER_MS) : 600 * SP_NS_PER_S);
    }
    if (p->dies && now >= p->die_at) {
        p->dies = false;
        mesh_kill(p->bank);
        p->bank = mesh_sidecar_beside(p->bank, p->by_path ? 1 : 1 + (uint32_t)mesh_below(p->mesh, 3));
        p->trouble.sidecars[1] = p->bank;
        configure_bank(p);
        mesh_apply(p->bank);
    }
}

void pair_run(struct pair *p, sp_ns ns, bool (*done)(void *arg), void *arg)
{
    sp_ns end = sp_sim_now(p->mesh->sim) + ns;
    while (sp_sim_now(p->mesh->sim) < end && !done(arg)) {
        befall(p);
        if (p->shop->draining && p->shop->drained == p->shop->worker_count)
            return; /* the clients' door is closed: they would knock for ever */
        sp_ns slice = p->swaps || p->drains || p->dies || p->mesh->upgrades
                          ? (1 + mesh_below(p->mesh, 10)) * SP_NS_PER_MS
                          : SP_NS_PER_S;
        trouble_run_until(&p->trouble, slice, done, arg);
    }
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void check_unhurt(struct pair *p, const struct mesh_call *call)
{
    struct mesh *mesh = p->mesh;
    bool drained = p->shop->draining || p->bank->draining;
    bool unseen = call->seen == 0 && (call->outcome == MESH_REFUSED || call->outcome == MESH_CUT);
    /* A connection that waits for its turn at a cap says nothing, and is taken for dead in the end. */
    bool unheard = p->limited && call->outcome == MESH_REFUSED && strcmp(call->reason, "HEARTBEAT_LOST") == 0;
    bool may = ((p->limited || p->short_lived || drained) && unseen) || unheard;
    if (call->outcome != MESH_GOOD && !may && !call->backward)
        mesh_fail(mesh,
                  "call %016llx of mode %u came to outcome %d (%s), seen %u times, though nothing broke",
                  (unsigned long long)call->token, call->mode, call->outcome, call->reason, call->seen);
    if (call->oneway && call->seen != 1 && !p->limited && !p->short_lived && !drained)
        mesh_fail(mesh, "one-way call %016llx was seen %u times", (unsigned long long)call->token,
                  call->seen);
}

void pair_check(struct pair *p)
{
    struct mesh *mesh = p->mesh;
    mesh_run(mesh, 20 * SP_NS_PER_S);
    if (p->trouble.degree <= TROUBLE_ROUGH)
        for (size_t i = 0; i < mesh->calls.len; i++)
            check_unhurt(p, *(struct mesh_call **)sp_vec_at(&mesh->calls, i));
    struct mesh_sidecar *both[] = { p->shop, p->bank };
    for (unsigned i = 0; i < SP_COUNTOF(both); i++) {
        mesh_check_idle(both[i]);
        if (both[i]->draining && both[i]->drained != both[i]->worker_count)
            mesh_fail(mesh, "%u of %u workers have drained", both[i]->drained, both[i]->worker_count);
    }
}
