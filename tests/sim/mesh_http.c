/* mesh_http: HTTP/1.1 through two sidecars while the world does its worst.
 *
 *   shop: clients ──> sidecar ═══ the world's faults ═══> sidecar ──> bank: one or two servers
 *
 * By its seed a run draws how many workers, clients, connections and requests at once there are, how the
 * applications behave, and what befalls them (trouble.h). What holds for every seed:
 *   - each call has exactly one outcome; a server saw it at most once; a good answer is its own, byte for byte
 *   - where nothing broke a connection (degrees NONE and ROUGH, honest servers) every call is good
 *   - in the end nothing is under way in a sidecar, nothing is lent, no memory is left */
#include "sim/app_http.h"
#include "sim/trouble.h"

enum { CLIENTS = 3, SERVERS = 2 };

struct run {
    struct mesh *mesh;
    struct mesh_sidecar *shop, *bank;
    struct http_client clients[CLIENTS];
    struct http_server servers[SERVERS];
    uint32_t client_count, server_count;
    struct trouble trouble;
};

static void configure(struct run *r)
{
    static const char *const bank[] = { "10.0.0.2:15006", NULL };
    static const char *const apps[] = { "127.0.0.1:8080", "127.0.0.1:8081", NULL };
    struct mesh *mesh = r->mesh;
    r->shop = mesh_sidecar(mesh, "10.0.0.1", 1 + (uint32_t)mesh_below(mesh, 2));
    r->bank = mesh_sidecar(mesh, "10.0.0.2", 1 + (uint32_t)mesh_below(mesh, 2));
    mesh_cluster(r->shop, "bank", bank);
    struct sp_listener_spec *out = mesh_listener(r->shop, "outbound", "127.0.0.1:15001", SP_PROTO_HTTP1,
                                                 "bank");
    mesh_apply(r->shop);
    mesh_cluster(r->bank, "app", SERVERS - r->server_count + apps);
    struct sp_listener_spec *in = mesh_listener(r->bank, "inbound", "10.0.0.2:15006", SP_PROTO_HTTP1, "app");
    if (r->trouble.degree <= TROUBLE_ROUGH) /* slow readers of long answers have all the time there is */
        mesh_route(out)->timeout_ns = mesh_route(in)->timeout_ns = 0;
    mesh_apply(r->bank);
}

static void draw_plan(struct run *r, struct http_plan *plan)
{
    struct mesh *mesh = r->mesh;
    bool hostile = r->trouble.degree >= TROUBLE_HOSTILE;
    *plan = (struct http_plan){ .to = "127.0.0.1:15001",
                                .calls = 20 + (uint32_t)mesh_below(mesh, 100),
                                .conns = 1 + (uint32_t)mesh_below(mesh, 5),
                                .depth = mesh_chance(mesh, 500) ? 1 : 1 + (uint32_t)mesh_below(mesh, 6),
                                .calls_each = mesh_chance(mesh, 500) ? 0 : 1 + (uint32_t)mesh_below(mesh, 10),
                                .ask_most = 1 + (uint32_t)mesh_below(mesh, 100000),
                                .answer_most = 1 + (uint32_t)mesh_below(mesh, 100000),
                                .modes = hostile && mesh_chance(mesh, 700) ? HTTP_MODES : HTTP_HONEST,
                                .half_close = mesh_chance(mesh, 300),
                                .think = mesh_chance(mesh, 500) ? 0 : mesh_below(mesh, 20 * SP_NS_PER_MS) };
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
        if (!http_client_is_done(&r->clients[i]))
            return false;
    return true;
}

static void stop(struct run *r)
{
    for (uint32_t i = 0; i < r->server_count; i++)
        http_server_stop(&r->servers[i]);
    mesh_run(r->mesh, 20 * SP_NS_PER_S);
    mesh_check_idle(r->shop);
    mesh_check_idle(r->bank);
}

static void one(struct mesh *mesh)
{
    struct run r = { .mesh = mesh };
    trouble_init(&r.trouble, mesh, (enum trouble_degree)(mesh->seed % TROUBLE_DEGREES));
    r.client_count = 1 + (uint32_t)mesh_below(mesh, CLIENTS);
    r.server_count = 1 + (uint32_t)mesh_below(mesh, SERVERS);
    configure(&r);
    r.trouble.sidecars[0] = r.shop;
    r.trouble.sidecars[1] = r.bank;
    r.trouble.sidecar_count = 2;
    for (uint32_t i = 0; i < r.server_count; i++)
        http_server_start(&r.servers[i], mesh, mesh_app_loop(r.bank),
                          i + 1 == r.server_count ? "127.0.0.1:8081" : "127.0.0.1:8080");
    for (uint32_t i = 0; i < r.client_count; i++) {
        struct http_plan plan;
        draw_plan(&r, &plan);
        http_client_start(&r.clients[i], mesh, mesh_app_loop(r.shop), &plan);
    }

    if (!trouble_run_until(&r.trouble, 1200 * SP_NS_PER_S, is_done, &r))
        mesh_fail_open(mesh);
    if (r.trouble.degree <= TROUBLE_ROUGH && mesh->outcomes[MESH_REFUSED] + mesh->outcomes[MESH_CUT])
        mesh_fail(mesh, "%u calls refused and %u cut, though nothing broke", mesh->outcomes[MESH_REFUSED],
                  mesh->outcomes[MESH_CUT]);
    stop(&r);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_http", 200, one);
}
