/* hello: the smallest mesh there is, and the place to begin reading: two machines, a sidecar and an
 * application on each, a hundred calls from one application through both sidecars to the other. All in one
 * process, on one thread, in virtual time: io/sim takes the place of the kernel, everything above it is what
 * production runs.
 *
 *    10.0.0.1                                        10.0.0.2
 *    shop ──> its sidecar, 127.0.0.1:15001 ════════> the bank's sidecar, :15006 ──> bank, 127.0.0.1:8080
 *
 * Try:  build-test/tests/sim/hello               it says what came of the calls
 *       SAMPAN_TRACE=1 build-test/.../hello      everything that happened, with its instant
 *       build-test/.../hello 7 1                 the same in another order of things: seed 7
 */
#include "sim/app_http.h"
#include "sim/mesh.h"

static void hello(struct mesh *mesh)
{
    /* Two machines, each with a sidecar of one worker. */
    struct mesh_sidecar *shop = mesh_sidecar(mesh, "10.0.0.1", 1);
    struct mesh_sidecar *bank = mesh_sidecar(mesh, "10.0.0.2", 1);

    /* Configuration: what comes in at a listener goes to a cluster. */
    const char *const banks_sidecar[] = { "10.0.0.2:15006", NULL };
    const char *const bank_itself[] = { "127.0.0.1:8080", NULL };
    mesh_cluster(shop, "bank", banks_sidecar);
    mesh_listener(shop, "outbound", "127.0.0.1:15001", SP_PROTO_HTTP1, "bank");
    mesh_apply(shop);
    mesh_cluster(bank, "app", bank_itself);
    mesh_listener(bank, "inbound", "10.0.0.2:15006", SP_PROTO_HTTP1, "app");
    mesh_apply(bank);

    /* The applications: a server, and a client that calls it a hundred times over two connections. */
    struct http_server server;
    struct http_client client;
    struct http_plan plan = { .to = "127.0.0.1:15001",
                              .calls = 100,
                              .conns = 2,
                              .depth = 1,
                              .ask_most = 20000,
                              .answer_most = 20000,
                              .modes = HTTP_HONEST };
    http_server_start(&server, mesh, mesh_app_loop(bank), "127.0.0.1:8080");
    http_client_start(&client, mesh, mesh_app_loop(shop), &plan);

    /* Let virtual time pass; a minute of it takes some milliseconds. */
    mesh_run(mesh, 60 * SP_NS_PER_S);

    /* Every call came back with its own answer. */
    MESH_CHECK(mesh, http_client_is_done(&client));
    MESH_CHECK(mesh, mesh->outcomes[MESH_GOOD] == 100);
    MESH_CHECK(mesh, server.requests == 100);

    /* Once the applications have closed, nothing is left in the sidecars. */
    http_server_stop(&server);
    mesh_run(mesh, 10 * SP_NS_PER_S);
    mesh_check_idle(shop);
    mesh_check_idle(bank);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "hello", 1, hello);
}
