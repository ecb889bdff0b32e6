/* mesh_http: HTTP/1.1 through two sidecars while the world does its worst.
 *
 *   shop: clients ──> sidecar ═══ the world's faults ═══> sidecar ──> bank: servers
 *
 * By its seed a run draws its configuration (pair.h), what befalls it (trouble.h), how many clients,
 * connections and requests at once there are, and how the applications behave. What holds for every seed:
 *   - each call has exactly one outcome; a server saw it at most once; a good answer is its own, byte for
 * byte
 *   - where nothing broke a connection (degrees NONE and ROUGH, honest servers) every call is good
 *   - in the end nothing is under way in a sidecar, nothing is lent, no memory is left */
#include "sim/app_http.h"
#include "sim/pair.h"

enum { CLIENTS = 3 };

struct run {
    struct pair pair;
    struct http_client clients[CLIENTS];
    struct http_server servers[PAIR_SERVERS];
    uint32_t client_count;
};

static void draw_plan(struct run *r, struct http_plan *plan)
{
    struct mesh *mesh = r->pair.mesh;
    bool hostile = r->pair.trouble.degree >= TROUBLE_HOSTILE;
    *plan = (struct http_plan){ .to = r->pair.to,
                                .calls = 20 + (uint32_t)mesh_below(mesh, 100),
                                .conns = 1 + (uint32_t)mesh_below(mesh, 5),
                                .depth = mesh_chance(mesh, 500) ? 1 : 1 + (uint32_t)mesh_below(mesh, 6),
                                .calls_each = mesh_chance(mesh, 500) ? 0 : 1 + (uint32_t)mesh_below(mesh, 10),
                                .ask_most = 1 + (uint32_t)mesh_below(mesh, 100000),
                                .answer_most = 1 + (uint32_t)mesh_below(mesh, 100000),
                                .modes = hostile && mesh_chance(mesh, 700) ? HTTP_MODES : HTTP_HONEST,
                                .half_close = mesh_chance(mesh, 300),
                                .think = mesh_chance(mesh, 500) ? 0 : mesh_below(mesh, 20 * SP_NS_PER_MS) };
    if (mesh_chance(mesh, 300))
        plan->upgrades = 100;
    if (mesh_chance(mesh, 300))
        plan->old = 100;
    if (mesh_chance(mesh, 300))
        plan->expect = 200;
    if (hostile && mesh_chance(mesh, 300))
        plan->broken = 100;
    if (hostile && mesh_chance(mesh, 50)) {
        plan->read_pace = 40 * SP_NS_PER_S; /* as good as never */
        plan->calls = 5;
    }
    if (hostile && mesh_chance(mesh, 500))
        plan->give_up = (uint32_t)mesh_below(mesh, 100);
    if (!plan->read_pace && mesh_chance(mesh, 200)) {
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
        if (!http_client_is_done(&r->clients[i]))
            return false;
    return true;
}

static void one(struct mesh *mesh)
{
    struct run r;
    pair_open(&r.pair, mesh, SP_PROTO_HTTP1);
    r.client_count = 1 + (uint32_t)mesh_below(mesh, CLIENTS);
    for (uint32_t i = 0; i < r.pair.servers; i++)
        http_server_start(&r.servers[i], mesh, r.pair.server_loop, r.pair.addrs[i]);
    for (uint32_t i = 0; i < r.client_count; i++) {
        struct http_plan plan;
        draw_plan(&r, &plan);
        http_client_start(&r.clients[i], mesh, r.pair.client_loop, &plan);
    }

    pair_run(&r.pair, 1200 * SP_NS_PER_S, is_done, &r);
    if (r.pair.shop->draining)
        for (uint32_t i = 0; i < r.client_count; i++)
            http_client_stop(&r.clients[i]);
    if (!is_done(&r) && !r.pair.shop->draining)
        mesh_fail_open(mesh);
    for (uint32_t i = 0; i < r.pair.servers; i++)
        http_server_stop(&r.servers[i]);
    pair_check(&r.pair);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_http", 200, one);
}
