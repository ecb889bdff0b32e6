/* mesh_slow: what a sidecar holds for peers that read slowly. Four clients at once ask for answers of
 * megabytes, or send requests of megabytes to a server that reads slowly, over each protocol: every byte
 * arrives, and meanwhile no worker holds more than its marks allow for each connection, however large the
 * bodies are. */
#include <stdio.h>

#include "sim/app_bolt.h"
#include "sim/app_http.h"
#include "sim/app_tcp.h"

enum {
    CONNS = 4,
    BODY = 3 * 1024 * 1024,
    /* A call may wait on each side of a worker: the high mark (256 KiB), the read that went beyond it (64
        * KiB), and what is held undecoded (96 KiB). Measured: 370 KiB. */
    CONN_BYTES = (256 + 64 + 96) * 1024
};

struct run {
    struct mesh *mesh;
    struct mesh_sidecar *shop, *bank;
    enum sp_protocol protocol;
    bool upload;
    struct http_client http;
    struct bolt_app bolt;
    struct tcp_app tcp;
    struct http_server http_server;
    struct bolt_app bolt_server;
    struct tcp_app tcp_server;
};

static bool is_done(void *arg)
{
    const struct run *r = arg;
    return r->protocol == SP_PROTO_HTTP1  ? http_client_is_done(&r->http)
           : r->protocol == SP_PROTO_BOLT ? bolt_client_is_done(&r->bolt)
                                          : tcp_client_is_done(&r->tcp);
}

static void configure(struct run *r)
{
    static const char *const bank[] = { "10.0.0.2:15006", NULL }, *const app[] = { "127.0.0.1:8080", NULL };
    r->shop = mesh_sidecar(r->mesh, "10.0.0.1", 1);
    r->bank = mesh_sidecar(r->mesh, "10.0.0.2", 1);
    mesh_cluster(r->shop, "bank", bank);
    mesh_cluster(r->bank, "app", app);
    struct sp_listener_spec *out = mesh_listener(r->shop, "outbound", "127.0.0.1:15001", r->protocol, "bank");
    struct sp_listener_spec *in = mesh_listener(r->bank, "inbound", "10.0.0.2:15006", r->protocol, "app");
    if (mesh_route(out))
        mesh_route(out)->timeout_ns = mesh_route(in)->timeout_ns = 0;
    mesh_apply(r->shop);
    mesh_apply(r->bank);
}

static void start(struct run *r)
{
    const char *to = "127.0.0.1:15001", *at = "127.0.0.1:8080";
    struct sp_loop *client = mesh_app_loop(r->shop), *server = mesh_app_loop(r->bank);
    sp_ns pace = 2 * SP_NS_PER_MS;
    uint32_t ask = r->upload ? BODY : 1000, back = r->upload ? 1000 : BODY;
    if (r->protocol == SP_PROTO_HTTP1) {
        struct http_plan plan = { .to = to,
                                  .calls = CONNS,
                                  .conns = CONNS,
                                  .depth = 1,
                                  .ask_most = ask,
                                  .answer_most = back,
                                  .modes = 1,
                                  .exact = true,
                                  .read_pace = r->upload ? 0 : pace };
        http_server_start(&r->http_server, r->mesh, server, at);
        r->http_server.read_pace = r->upload ? pace : 0;
        http_client_start(&r->http, r->mesh, client, &plan);
    } else if (r->protocol == SP_PROTO_BOLT) {
        struct bolt_plan plan = { .to = to,
                                  .calls = CONNS,
                                  .conns = CONNS,
                                  .depth = 1,
                                  .ask_most = ask,
                                  .answer_most = back,
                                  .modes = 1,
                                  .version = 3,
                                  .big = 1000,
                                  .exact = true,
                                  .read_pace = r->upload ? 0 : pace };
        bolt_server_start(&r->bolt_server, r->mesh, server, at);
        r->bolt_server.read_pace = r->upload ? pace : 0;
        bolt_client_start(&r->bolt, r->mesh, client, &plan);
    } else {
        struct tcp_plan plan = { .to = to,
                                 .calls = CONNS,
                                 .conns = CONNS,
                                 .ask_most = ask,
                                 .answer_most = back,
                                 .modes = 1,
                                 .exact = true,
                                 .read_pace = r->upload ? 0 : pace };
        tcp_server_start(&r->tcp_server, r->mesh, server, at, false);
        r->tcp_server.read_pace = r->upload ? pace : 0;
        tcp_client_start(&r->tcp, r->mesh, client, &plan);
    }
}

static void stop(struct run *r)
{
    if (r->protocol == SP_PROTO_HTTP1)
        http_server_stop(&r->http_server);
    else if (r->protocol == SP_PROTO_BOLT)
        bolt_app_stop(&r->bolt_server);
    else
        tcp_app_stop(&r->tcp_server);
    mesh_run(r->mesh, 20 * SP_NS_PER_S);
    mesh_check_idle(r->shop);
    mesh_check_idle(r->bank);
}

static void one(struct mesh *mesh)
{
    static const enum sp_protocol protocols[] = { SP_PROTO_HTTP1, SP_PROTO_BOLT, SP_PROTO_TCP };
    struct run r = { .mesh = mesh, .protocol = protocols[mesh->seed % 3], .upload = mesh->seed / 3 % 2 };
    const struct sp_sim_faults faults = { .short_read = 50, .short_write = 50, .delay_max = SP_NS_PER_MS };
    sp_sim_set_faults(mesh->sim, &faults);
    configure(&r);
    start(&r);
    if (!mesh_run_until(mesh, 600 * SP_NS_PER_S, is_done, &r))
        mesh_fail_open(mesh);
    MESH_CHECK(mesh, mesh->outcomes[MESH_GOOD] == CONNS);
    const struct mesh_sidecar *both[] = { r.shop, r.bank };
    for (unsigned i = 0; i < SP_COUNTOF(both) && mesh->traced; i++)
        fprintf(stderr, "%s %s: at most %llu bytes of slabs\n", sp_protocol_name(r.protocol),
                r.upload ? "up" : "down", (unsigned long long)both[i]->most_slab_bytes);
    for (unsigned i = 0; i < SP_COUNTOF(both); i++)
        if (both[i]->most_slab_bytes > CONNS * CONN_BYTES)
            mesh_fail(mesh, "%s, %s: a worker held %llu bytes in slabs", sp_protocol_name(r.protocol),
                      r.upload ? "upload" : "download", (unsigned long long)both[i]->most_slab_bytes);
    stop(&r);
}

int main(int argc, char **argv)
{
    return mesh_main(argc, argv, "mesh_slow", 12, one);
}
