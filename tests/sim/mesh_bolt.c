/* mesh_bolt: Bolt through two sidecars while the world does its worst. Many calls at once on each connection,
 * answers out of order, one-way calls, heartbeats, checksums, bodies larger than what is held back whole,
 * and servers that call their clients. What must hold is what mesh_http says; and a call that comes
 * backwards finds the very client for which it was made, or is refused. */
#include "sim/app_bolt.h"
#include "sim/trouble.h"

enum { CLIENTS = 3, SERVERS = 2 };

struct run {
    struct mesh *mesh;
    struct mesh_sidecar *shop, *bank;
    struct bolt_app clients[CLIENTS], servers[SERVERS];
    uint32_t client_count, server_count;
    struct trouble trouble;
};

static void configure(struct run *r)
{
    static const char *const bank[] = { "10.0.0.2:15006", NULL };
    static const char *const apps[] = { "127.0.0.1:12200", "127.0.0.1:12201", NULL };
    struct mesh *mesh = r->mesh;
    r->shop = mesh_sidecar(mesh, "10.0.0.1", 1 + (uint32_t)mesh_below(mesh, 2));
    r->bank = mesh_sidecar(mesh, "10.0.0.2", 1 + (uint32_t)mesh_below(mesh, 2));
    mesh_cluster(r->shop, "bank", bank);
    struct sp_listener_spec *out = mesh_listener(r->shop, "outbound", "127.0.0.1:15001", SP_PROTO_BOLT,
                                                 "bank");
    mesh_cluster(r->bank, "app", SERVERS - r->server_count + apps);
    struct sp_listener_spec *in = mesh_listener(r->bank, "inbound", "10.0.0.2:15006", SP_PROTO_BOLT, "app");
    if (r->trouble.degree <= TROUBLE_ROUGH)
        mesh_route(out)->timeout_ns = mesh_route(in)->timeout_ns = 0;
    mesh_apply(r->shop);
    mesh_apply(r->bank);
}

static void draw_plan(struct run *r, struct bolt_plan *plan)
{
    struct mesh *mesh = r->mesh;
    bool hostile = r->trouble.degree >= TROUBLE_HOSTILE;
    *plan = (struct bolt_plan){ .to = "127.0.0.1:15001",
                                .calls = 20 + (uint32_t)mesh_below(mesh, 100),
                                .conns = 1 + (uint32_t)mesh_below(mesh, 4),
                                .depth = 1 + (uint32_t)mesh_below(mesh, mesh_chance(mesh, 500) ? 4 : 40),
                                .calls_each = mesh_chance(mesh, 500) ? 0 : 1 + (uint32_t)mesh_below(mesh, 30),
                                .ask_most = 1 + (uint32_t)mesh_below(mesh, 200000),
                                .answer_most = 1 + (uint32_t)mesh_below(mesh, 200000),
                                .big = mesh_chance(mesh, 300) ? 200 : 20,
                                .one_way = mesh_chance(mesh, 300) ? 200 : 0,
                                .heartbeats = mesh_chance(mesh, 300) ? 100 : 0,
                                .version = 1 + (uint32_t)mesh_below(mesh, 3),
                                .half_close = mesh_chance(mesh, 200),
                                .think = mesh_chance(mesh, 500) ? 0 : mesh_below(mesh, 20 * SP_NS_PER_MS) };
    plan->modes = hostile && mesh_chance(mesh, 600) ? BOLT_MODES
                  : mesh_chance(mesh, 300)          ? BOLT_MODES_BACK
                                                    : BOLT_HONEST;
    if (plan->modes > BOLT_HONEST)
        plan->half_close = false; /* who will be called back must be able to answer */
    if (hostile && mesh_chance(mesh, 500))
        plan->timeout_ms = 1 + (int32_t)mesh_below(mesh, 5000);
    if (hostile && mesh_chance(mesh, 500))
        plan->give_up = (uint32_t)mesh_below(mesh, 50);
    if (mesh_chance(mesh, 200)) {
        plan->read_pace = 1 + mesh_below(mesh, 5 * SP_NS_PER_MS);
        plan->calls = 20;
    }
    if (mesh_chance(mesh, 200)) {
        plan->write_pace = 1 + mesh_below(mesh, 2 * SP_NS_PER_MS);
        plan->crumb = 1 + (uint32_t)mesh_below(mesh, 3000);
        plan->calls = 20;
    }
}

static bool is_done(void *arg)
{
    const struct run *r = arg;
    for (uint32_t i = 0; i < r->client_count; i++)
        if (!bolt_client_is_done(&r->clients[i]))
            return false;
    return true;
}

/* Nothing broke: then only a backward call may have been refused, and no one-way call got lost. */
static void check_unhurt(struct run *r)
{
    struct mesh *mesh = r->mesh;
    for (size_t i = 0; i < mesh->calls.len; i++) {
        const struct mesh_call *call = *(struct mesh_call **)sp_vec_at(&mesh->calls, i);
        bool may_fail = call->backward && (call->outcome == MESH_REFUSED || call->outcome == MESH_CUT);
        if (call->outcome != MESH_GOOD && !may_fail)
            mesh_fail(mesh, "call %016llx came to outcome %d (%s), though nothing broke",
                      (unsigned long long)call->token, call->outcome, call->reason);
        if (call->oneway && call->seen != 1)
            mesh_fail(mesh, "one-way call %016llx was seen %u times", (unsigned long long)call->token,
                      call->seen);
    }
}

static void one(struct mesh *mesh)
{
    static const char *const addrs[] = { "127.0.0.1:12200", "127.0.0.1:12201" };
    struct run r = { .mesh = mesh };
    trouble_init(&r.trouble, mesh, (enum trouble_degree)(mesh->seed % TROUBLE_DEGREES));
    r.client_count = 1 + (uint32_t)mesh_below(mesh, CLIENTS);
    r.server_count = 1 + (uint32_t)mesh_below(mesh, SERVERS);
    configure(&r);
    r.trouble.sidecars[0] = r.shop;
    r.trouble.sidecars[1] = r.bank;
    r.trouble.sidecar_count = 2;
    for (uint32_t i = 0; i < r.server_count; i++)
        bolt_server_start(&r.servers[i], mesh, mesh_app_loop(r.bank), addrs[SERVERS - 1 - i]);
    for (uint32_t i = 0; i < r.client_count; i++) {
        struct bolt_plan plan;
        draw_plan(&r, &plan);
        bolt_client_start(&r.clients[i], mesh, mesh_app_loop(r.shop), &plan);
    }

    if (!trouble_run_until(&r.trouble, 1200 * SP_NS_PER_S, is_done, &r))
        mesh_fail_open(mesh);
    mesh_run(mesh, 5 * SP_NS_PER_S); /* one-way calls are still on their way */
    for (uint32_t i = 0; i < r.server_count; i++)
        bolt_app_stop(&r.servers[i]);
    mesh_run(mesh, 20 * SP_NS_PER_S);
    if (r.trouble.degree <= TROUBLE_ROUGH)
        check_unhurt(&r);
    mesh_check_idle(r.shop);
    mesh_check_idle(r.bank);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_bolt", 200, one);
}
