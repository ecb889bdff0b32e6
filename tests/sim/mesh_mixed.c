/* mesh_mixed: one door for all: HTTP, Bolt of both versions and bytes that nobody understands come to the
 * same address, and the first bytes decide. So it is at both sidecars, as in a mesh that intercepts all of
 * it. Servers that speak first say nothing that could decide: after its time such a line is raw bytes. */
#include "sim/app_bolt.h"
#include "sim/app_http.h"
#include "sim/app_tcp.h"
#include "sim/trouble.h"

struct run {
    struct mesh *mesh;
    struct trouble trouble;
    struct mesh_sidecar *shop, *bank;
    struct http_client http;
    struct bolt_app bolt, bolt_server;
    struct tcp_app tcp, tcp_server;
    struct http_server http_server;
};

static void configure(struct run *r)
{
    static const char *const bank[] = { "10.0.0.2:15006", NULL }, *const http[] = { "127.0.0.1:8080", NULL },
                             *const bolt[] = { "127.0.0.1:12200", NULL },
                             *const tcp[] = { "127.0.0.1:9000", NULL };
    struct mesh *mesh = r->mesh;
    r->shop = mesh_sidecar(mesh, "10.0.0.1", 1 + (uint32_t)mesh_below(mesh, 2));
    r->bank = mesh_sidecar(mesh, "10.0.0.2", 1 + (uint32_t)mesh_below(mesh, 2));
    mesh_cluster(r->shop, "bank", bank);
    mesh_cluster(r->bank, "http", http);
    mesh_cluster(r->bank, "bolt", bolt);
    mesh_cluster(r->bank, "tcp", tcp);
    struct sp_listener_spec *both[] = {
        mesh_listener_any(r->shop, "outbound", "127.0.0.1:15001", "bank", "bank", "bank"),
        mesh_listener_any(r->bank, "inbound", "10.0.0.2:15006", "http", "bolt", "tcp"),
    };
    for (int i = 0; i < 2; i++) {
        /* Where words can be late, they must not be taken for silence: others would get them then. */
        both[i]->detect_ns = r->trouble.degree == TROUBLE_NONE ? SP_NS_PER_MS * (100 + mesh_below(mesh, 1000))
                                                               : 20 * SP_NS_PER_S;
        for (uint32_t k = 0; k < 2 && r->trouble.degree <= TROUBLE_ROUGH; k++) {
            struct sp_route_table *table = (struct sp_route_table *)(uintptr_t)both[i]->chains[k].routes;
            ((struct sp_route *)(uintptr_t)table->vhosts[0].routes)->timeout_ns = 0;
        }
    }
    mesh_apply(r->shop);
    mesh_apply(r->bank);
    r->trouble.sidecars[0] = r->shop;
    r->trouble.sidecars[1] = r->bank;
    r->trouble.sidecar_count = 2;
}

static void start(struct run *r)
{
    struct mesh *mesh = r->mesh;
    struct sp_loop *client = mesh_app_loop(r->shop), *server = mesh_app_loop(r->bank);
    const char *to = "127.0.0.1:15001";
    bool greeted = mesh_chance(mesh, 500);
    bool crumbs = r->trouble.degree >= TROUBLE_HOSTILE && mesh_chance(mesh, 300); /* else they come in time */
    struct http_plan http = { .to = to,
                              .calls = 30,
                              .conns = 1 + (uint32_t)mesh_below(mesh, 4),
                              .depth = 2,
                              .calls_each = 5,
                              .ask_most = 5000,
                              .answer_most = 5000,
                              .modes = HTTP_HONEST };
    struct bolt_plan bolt = { .to = to,
                              .calls = 30,
                              .conns = 1 + (uint32_t)mesh_below(mesh, 4),
                              .depth = 5,
                              .calls_each = 5,
                              .ask_most = 100000,
                              .answer_most = 5000,
                              .modes = BOLT_HONEST,
                              .big = 50,
                              .version = 1 + (uint32_t)mesh_below(mesh, 3) };
    struct tcp_plan tcp = { .to = to,
                            .calls = 20,
                            .conns = 1 + (uint32_t)mesh_below(mesh, 4),
                            .ask_most = 3000,
                            .answer_most = 3000,
                            .modes = TCP_HONEST,
                            .greeted = greeted };
    if (greeted)
        tcp.calls = 5; /* each waits for its time at both doors */
    if (crumbs) {
        http.write_pace = bolt.write_pace = tcp.write_pace = 20 * SP_NS_PER_MS;
        http.crumb = bolt.crumb = tcp.crumb = 2000;
    }
    http_server_start(&r->http_server, mesh, server, "127.0.0.1:8080");
    bolt_server_start(&r->bolt_server, mesh, server, "127.0.0.1:12200");
    tcp_server_start(&r->tcp_server, mesh, server, "127.0.0.1:9000", greeted);
    http_client_start(&r->http, mesh, client, &http);
    bolt_client_start(&r->bolt, mesh, client, &bolt);
    tcp_client_start(&r->tcp, mesh, client, &tcp);
}

static bool is_done(void *arg)
{
    const struct run *r = arg;
    return http_client_is_done(&r->http) && bolt_client_is_done(&r->bolt) && tcp_client_is_done(&r->tcp);
}

/* Either sidecar, by a successor with another number of workers. */
static void upgrade(struct run *r)
{
    bool shop = mesh_chance(r->mesh, 500);
    struct mesh_sidecar **s = shop ? &r->shop : &r->bank;
    *s = mesh_upgrade(*s, 1 + (uint32_t)mesh_below(r->mesh, 3));
    r->trouble.sidecars[shop ? 0 : 1] = *s;
}

static bool run_with_upgrades(struct run *r)
{
    for (uint32_t ms = 0; ms < 1200 * 1000 && !is_done(r); ms += 5) {
        if (mesh_chance(r->mesh, r->mesh->upgrades))
            upgrade(r);
        trouble_run_until(&r->trouble, 5 * SP_NS_PER_MS, is_done, r);
    }
    return is_done(r);
}

static void one(struct mesh *mesh)
{
    struct run r = { .mesh = mesh };
    trouble_init(&r.trouble, mesh, (enum trouble_degree)(mesh->seed % TROUBLE_DEGREES));
    configure(&r);
    start(&r);
    if (!(mesh->upgrades ? run_with_upgrades(&r)
                         : trouble_run_until(&r.trouble, 1200 * SP_NS_PER_S, is_done, &r)))
        mesh_fail_open(mesh);
    if (r.trouble.degree == TROUBLE_NONE && mesh->outcomes[MESH_REFUSED] + mesh->outcomes[MESH_CUT])
        mesh_fail(mesh, "%u calls refused and %u cut, though nothing broke", mesh->outcomes[MESH_REFUSED],
                  mesh->outcomes[MESH_CUT]);
    http_server_stop(&r.http_server);
    bolt_app_stop(&r.bolt_server);
    tcp_app_stop(&r.tcp_server);
    mesh_run(mesh, 20 * SP_NS_PER_S);
    mesh_check_idle(r.shop);
    mesh_check_idle(r.bank);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_mixed", 200, one);
}
