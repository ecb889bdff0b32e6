/* demo_config: the bootstraps of the demo's sidecars.
 *
 *               ┌──────────────── front's sidecar ───────────────┐
 *   load ─────> inbound ──> front ──> http_out  ──> stock's inbound ──> stock
 *                                 └─> bolt_out  ──> price's inbound ──> price
 *
 * They are what an operator would write by hand; `sampan demo --keep` leaves them on disk to be read. */
#include "cmd/sampan/demo.h"

const char *const demo_names[DEMO_SERVICES] = { "front", "stock", "price" };

static void listener(struct sp_buf *out, const char *name, const char *direction, uint16_t port, bool bolt,
                     const char *cluster)
{
    sp_buf_printf(
        out,
        "  - name: %s\n"
        "    traffic_direction: %s\n"
        "    address: {socket_address: {address: 127.0.0.1, port_value: %u}}\n"
        "    filter_chains:\n"
        "    - filters:\n"
        "      - name: %s\n"
        "        typed_config:\n"
        "          \"@type\": type.googleapis.com/%s\n"
        "          stat_prefix: %s\n%s"
        "          route_config:\n"
        "            virtual_hosts:\n"
        "            - name: all\n"
        "              domains: [\"*\"]\n"
        "              routes: [{match: {prefix: \"/\"}, route: {cluster: %s}}]\n"
        "          http_filters:\n"
        "          - name: envoy.filters.http.router\n"
        "            typed_config:\n"
        "              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n",
        name, direction, port,
        bolt ? "sampan.filters.network.rpc" : "envoy.filters.network.http_connection_manager",
        bolt ? "sampan.rpc.v1.RpcConnectionManager"
             : "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        name, bolt ? "          protocol: bolt\n" : "", cluster);
}

static void cluster(struct sp_buf *out, const char *name, uint16_t port, bool bolt, const char *service)
{
    sp_buf_printf(
        out,
        "  - name: %s\n"
        "    type: STATIC\n"
        "    connect_timeout: 1s\n"
        "    metadata: {filter_metadata: {istio: {services: [{host: %s, name: %s, namespace: demo}]}}}\n%s"
        "    load_assignment:\n"
        "      cluster_name: %s\n"
        "      endpoints:\n"
        "      - lb_endpoints:\n"
        "        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %u}}}\n",
        name, service, service,
        bolt ? "    typed_extension_protocol_options:\n"
               "      sampan.rpc.v1:\n"
               "        \"@type\": type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions\n"
               "        protocol: bolt\n"
             : "",
        name, port);
}

void demo_bootstrap(struct sp_buf *out, const struct demo_node *nodes, enum demo_service which)
{
    const struct demo_node *node = &nodes[which];
    bool bolt = which == DEMO_PRICE, front = which == DEMO_FRONT;
    sp_buf_printf(out,
                  "# The sidecar beside `%s`, written by sampan demo.\n"
                  "node: {id: %s-1, cluster: demo}\n"
                  "admin: {address: {socket_address: {address: 127.0.0.1, port_value: %u}}}\n"
                  "bootstrap_extensions:\n"
                  "- name: sampan.proxy\n"
                  "  typed_config:\n"
                  "    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n"
                  "    drain_time: 1s\n"
                  "    workload: {name: %s, namespace: demo, app: %s, version: v1}\n"
                  "static_resources:\n"
                  "  listeners:\n",
                  node->name, node->name, node->admin, node->name, node->name);
    listener(out, "inbound", "INBOUND", node->inbound, bolt, "app");
    if (front) {
        listener(out, "http_out", "OUTBOUND", node->http_out, false, "stock");
        listener(out, "bolt_out", "OUTBOUND", node->bolt_out, true, "price");
    }
    sp_buf_add_c(out, "  clusters:\n");
    cluster(out, "app", node->app, bolt, node->name);
    if (front) {
        cluster(out, "stock", nodes[DEMO_STOCK].inbound, false, "stock");
        cluster(out, "price", nodes[DEMO_PRICE].inbound, true, "price");
    }
}
