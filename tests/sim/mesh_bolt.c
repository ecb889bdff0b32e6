/* mesh_bolt: Bolt through two sidecars while the world does its worst. Many calls at once on each connection,
 * answers out of order, one-way calls, heartbeats, checksums, bodies larger than what is held back whole, and
 * servers that call their clients. What must hold is what mesh_http says; and a call that comes backwards
 * finds the very client for which it was made, or is refused. */
#include "sim/app_bolt.h"
#include "sim/pair.h"

enum { CLIENTS = 3 };

struct run {
    struct pair pair;
    struct bolt_app clients[CLIENTS], servers[PAIR_SERVERS];
    uint32_t client_count;
};

static void draw_plan(struct run *r, struct bolt_plan *plan)
{
    struct mesh *mesh = r->pair.mesh;
    bool hostile = r->pair.trouble.degree >= TROUBLE_HOSTILE;
    *plan = (struct bolt_plan){ .to = r->pair.to,
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
    /* A large call that waits for a line of its own keeps its caller from reading; behind it may be the
     * answer that the only line is waiting for. Where lines are that scarce, only the call's time ends this.
     * */
    if (r->pair.limited && !hostile && plan->modes == BOLT_MODES_BACK)
        plan->modes = BOLT_HONEST;
    if (plan->modes > BOLT_HONEST)
        plan->half_close = false; /* who will be called back must be able to answer */
    if (hostile && mesh_chance(mesh, 500))
        plan->timeout_ms = 1 + (int32_t)mesh_below(mesh, 5000);
    if (hostile && mesh_chance(mesh, 300))
        plan->broken = 30;
    if (hostile && mesh_chance(mesh, 50)) {
        plan->read_pace = 40 * SP_NS_PER_S; /* as good as never */
        plan->calls = 5;
    }
    if (hostile && mesh_chance(mesh, 500))
        plan->give_up = (uint32_t)mesh_below(mesh, 50);
    if (!plan->read_pace && mesh_chance(mesh, 200)) {
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

static void one(struct mesh *mesh)
{
    struct run r;
    pair_open(&r.pair, mesh, SP_PROTO_BOLT);
    r.client_count = 1 + (uint32_t)mesh_below(mesh, CLIENTS);
    for (uint32_t i = 0; i < r.pair.servers; i++) {
        bolt_server_start(&r.servers[i], mesh, r.pair.server_loop, r.pair.addrs[i]);
        r.servers[i].deaf = r.pair.trouble.degree >= TROUBLE_HOSTILE && mesh_chance(mesh, 200);
    }
    for (uint32_t i = 0; i < r.client_count; i++) {
        struct bolt_plan plan;
        draw_plan(&r, &plan);
        bolt_client_start(&r.clients[i], mesh, r.pair.client_loop, &plan);
    }

    pair_run(&r.pair, 1200 * SP_NS_PER_S, is_done, &r);
    if (r.pair.shop->draining)
        for (uint32_t i = 0; i < r.client_count; i++)
            bolt_app_stop(&r.clients[i]);
    if (!is_done(&r) && !r.pair.shop->draining)
        mesh_fail_open(mesh);
    mesh_run(mesh, 5 * SP_NS_PER_S); /* one-way calls are still on their way */
    for (uint32_t i = 0; i < r.pair.servers; i++)
        bolt_app_stop(&r.servers[i]);
    pair_check(&r.pair);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_bolt", 200, one);
}
