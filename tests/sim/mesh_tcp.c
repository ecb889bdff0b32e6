/* mesh_tcp: bytes that no sidecar understands, through two of them. Each direction ends by itself: what was
 * sent before a FIN arrives before it, and the other direction goes on. Some servers speak first, so that
 * nothing tells what the connection is; some sidecars tell each other who called by the PROXY protocol. */
#include "sim/app_tcp.h"
#include "sim/pair.h"

enum { CLIENTS = 2 };

struct run {
    struct pair pair;
    struct tcp_app clients[CLIENTS], servers[PAIR_SERVERS];
    uint32_t client_count;
};

static void draw_plan(struct run *r, struct tcp_plan *plan, bool greeted)
{
    struct mesh *mesh = r->pair.mesh;
    bool hostile = r->pair.trouble.degree >= TROUBLE_HOSTILE;
    *plan = (struct tcp_plan){
        .to = r->pair.to,
        .calls = 10 + (uint32_t)mesh_below(mesh, 60),
        .conns = 1 + (uint32_t)mesh_below(mesh, 8),
        .ask_most = 1 + (uint32_t)mesh_below(mesh, mesh_chance(mesh, 200) ? 300000 : 3000),
        .answer_most = 1 + (uint32_t)mesh_below(mesh, mesh_chance(mesh, 200) ? 300000 : 3000),
        .modes = hostile && mesh_chance(mesh, 600) ? TCP_MODES : TCP_HONEST,
        .greeted = greeted
    };
    if (hostile && mesh_chance(mesh, 500))
        plan->give_up = (uint32_t)mesh_below(mesh, 100);
    if (mesh_chance(mesh, 200)) {
        plan->read_pace = 1 + mesh_below(mesh, 5 * SP_NS_PER_MS);
        plan->calls = 10;
    }
    if (mesh_chance(mesh, 200)) {
        plan->write_pace = 1 + mesh_below(mesh, 2 * SP_NS_PER_MS);
        plan->crumb = 1 + (uint32_t)mesh_below(mesh, 3000);
        plan->calls = 10;
    }
}

static bool is_done(void *arg)
{
    const struct run *r = arg;
    for (uint32_t i = 0; i < r->client_count; i++)
        if (!tcp_client_is_done(&r->clients[i]))
            return false;
    return true;
}

static void one(struct mesh *mesh)
{
    struct run r;
    pair_open(&r.pair, mesh, SP_PROTO_TCP);
    bool greeted = mesh_chance(mesh, 300);
    r.client_count = 1 + (uint32_t)mesh_below(mesh, CLIENTS);
    for (uint32_t i = 0; i < r.pair.servers; i++)
        tcp_server_start(&r.servers[i], mesh, r.pair.server_loop, r.pair.addrs[i], greeted);
    for (uint32_t i = 0; i < r.client_count; i++) {
        struct tcp_plan plan;
        draw_plan(&r, &plan, greeted);
        tcp_client_start(&r.clients[i], mesh, r.pair.client_loop, &plan);
    }

    pair_run(&r.pair, 1200 * SP_NS_PER_S, is_done, &r);
    if (r.pair.shop->draining)
        for (uint32_t i = 0; i < r.client_count; i++)
            tcp_app_stop(&r.clients[i]);
    if (!is_done(&r) && !r.pair.shop->draining)
        mesh_fail_open(mesh);
    for (uint32_t i = 0; i < r.pair.servers; i++)
        tcp_app_stop(&r.servers[i]);
    pair_check(&r.pair);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_tcp", 200, one);
}
