/* view: the names of the cells, and a walk over a worker's figures.
 *
 * Names are Envoy's where Envoy has the figure (cluster.<name>.upstream_rq_total), so that dashboards go on
 * working; ours where it has none. A struct of cells is an array of sp_cell, and its table stands in the same
 * order: the sizes are compared when this is compiled, the order by a test.
 *
 * Not known here: how figures are shown, summed or sent. */
#include "proxy/view.h"

#include "proxy/listener.h"
#include "proxy/worker.h"

const struct sp_cell_name sp_cluster_cell_names[sizeof(struct sp_cluster_cells) / sizeof(sp_cell)] = {
    { "upstream_rq_total", "calls sent", false },
    { "upstream_rq_active", "calls under way", true },
    { "upstream_rq_1xx", "calls answered 1xx", false },
    { "upstream_rq_2xx", "calls answered 2xx", false },
    { "upstream_rq_3xx", "calls answered 3xx", false },
    { "upstream_rq_4xx", "calls answered 4xx", false },
    { "upstream_rq_5xx", "calls answered 5xx", false },
    { "upstream_rq_timeout", "calls whose time ran out", false },
    { "upstream_rq_retry", "attempts after the first", false },
    { "upstream_rq_retry_success", "calls that a retry saved", false },
    { "upstream_rq_retry_overflow", "retries that the limit refused", false },
    { "upstream_rq_pending_total", "calls that waited for a connection", false },
    { "upstream_rq_pending_active", "calls that wait for a connection", true },
    { "upstream_rq_pending_overflow", "calls refused because the queue was full", false },
    { "upstream_rq_overflow", "calls refused because too many were under way", false },
    { "upstream_rq_app_error", "business errors behind a success status", false },
    { "upstream_rq_rx_reset", "calls whose connection ended before the answer did", false },
    { "upstream_rq_cancelled", "calls whose caller went away", false },
    { "upstream_cx_total", "connections begun", false },
    { "upstream_cx_active", "connections", true },
    { "upstream_cx_connect_fail", "connects that failed", false },
    { "upstream_cx_connect_timeout", "connects that took too long", false },
    { "upstream_cx_overflow", "connects that the limit refused", false },
    { "upstream_cx_destroy", "connections ended while idle", false },
    { "upstream_cx_destroy_with_active_rq", "connections ended with calls under way", false },
    { "upstream_cx_max_requests", "connections that had their number of calls", false },
    { "upstream_cx_idle_timeout", "connections closed because idle", false },
    { "upstream_cx_protocol_error", "answers that broke the protocol", false },
    { "upstream_cx_rx_bytes_total", "bytes received; of calls the bodies", false },
    { "upstream_cx_tx_bytes_total", "bytes sent; of calls the bodies", false },
    { "upstream_cx_heartbeat", "heartbeats sent", false },
    { "upstream_cx_heartbeat_lost", "heartbeats not answered", false },
    { "lb_no_endpoint", "calls for which no endpoint was usable", false },
    { "update_success", "sets of addresses that names have led to", false },
    { "update_failure", "name look-ups that failed", false },
};

const struct sp_cell_name sp_listener_cell_names[sizeof(struct sp_listener_cells) / sizeof(sp_cell)] = {
    { "downstream_cx_total", "connections accepted", false },
    { "downstream_cx_active", "connections", true },
    { "downstream_cx_destroy", "connections ended", false },
    { "downstream_cx_overflow", "connections refused at the listener's limit", false },
    { "downstream_cx_overload_reject", "connections refused at the process's limit", false },
    { "no_filter_chain_match", "connections that no chain takes", false },
    { "downstream_pre_cx_timeout", "connections whose first bytes did not come in time", false },
    { "proxy_protocol_error", "connections with a missing or broken PROXY header", false },
    { "accept_paused", "times that accepting had to rest", false },
};

const struct sp_cell_name sp_chain_cell_names[sizeof(struct sp_chain_cells) / sizeof(sp_cell)] = {
    { "downstream_rq_total", "calls received", false },
    { "downstream_rq_active", "calls under way", true },
    { "downstream_rq_1xx", "calls answered 1xx", false },
    { "downstream_rq_2xx", "calls answered 2xx", false },
    { "downstream_rq_3xx", "calls answered 3xx", false },
    { "downstream_rq_4xx", "calls answered 4xx", false },
    { "downstream_rq_5xx", "calls answered 5xx", false },
    { "downstream_rq_app_error", "business errors behind a success status", false },
    { "downstream_rq_oneway", "calls that ask for no answer", false },
    { "downstream_rq_rx_reset", "calls whose caller went away", false },
    { "downstream_rq_timeout", "calls whose time ran out", false },
    { "downstream_rq_idle_timeout", "calls in which nothing moved", false },
    { "downstream_rq_header_timeout", "heads that did not end in time", false },
    { "downstream_rq_too_large", "calls whose line or head was too large", false },
    { "no_route", "calls that no route takes", false },
    { "downstream_cx_total", "connections", false },
    { "downstream_cx_active", "connections now", true },
    { "downstream_cx_destroy_remote", "connections that the peer ended", false },
    { "downstream_cx_idle_timeout", "connections closed because idle", false },
    { "downstream_cx_max_duration_reached", "connections that reached their age", false },
    { "downstream_cx_protocol_error", "connections that broke the protocol", false },
    { "downstream_cx_rx_bytes_total", "bytes received; of calls the bodies", false },
    { "downstream_cx_tx_bytes_total", "bytes sent; of calls the bodies", false },
    { "downstream_cx_upgrades_total", "upgrades and tunnels", false },
    { "downstream_cx_upgrades_active", "upgrades and tunnels now", true },
    { "downstream_heartbeats", "heartbeats answered", false },
};

const struct sp_cell_name sp_tcp_cell_names[sizeof(struct sp_tcp_cells) / sizeof(sp_cell)] = {
    { "downstream_cx_total", "connections", false },
    { "downstream_cx_active", "connections now", true },
    { "downstream_cx_no_route", "connections whose cluster is not there", false },
    { "downstream_cx_rx_bytes_total", "bytes received", false },
    { "downstream_cx_tx_bytes_total", "bytes sent", false },
    { "idle_timeout", "connections closed because idle", false },
    { "max_downstream_connection_duration", "connections that reached their age", false },
};

static void walk_chain(const struct sp_chain *chain, const struct sp_view_ops *ops, void *arg)
{
    if (chain->spec->kind != SP_CHAIN_TCP && ops->on_chain)
        ops->on_chain(arg, chain->spec->stat_prefix, &chain->cells, &chain->rq_time_ns);
    else if (chain->spec->kind == SP_CHAIN_TCP && ops->on_tcp)
        ops->on_tcp(arg, chain->spec->stat_prefix, &chain->tcp);
}

void sp_worker_walk(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link) {
        if (ops->on_listener)
            ops->on_listener(arg, listener->spec, &listener->bound, &listener->cells);
        for (uint32_t i = 0; i < listener->chain_count; i++)
            walk_chain(listener->chains[i], ops, arg);
    }
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&worker->clusters, &at, &name, &value)) {
        struct sp_cluster *cluster = value;
        if (ops->on_cluster)
            ops->on_cluster(arg, cluster->spec, &cluster->cells, &cluster->rq_time_ns);
        struct sp_endpoint *ep;
        if (ops->on_endpoint)
            SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
                struct sp_endpoint_view view = {
                    .weight = ep->weight,
                    .healthy = ep->healthy && !ep->gone,
                    .rq_total = sp_cell_get(&ep->rq_total),
                    .rq_error = sp_cell_get(&ep->rq_error),
                    .rq_active = ep->active,
                    .cx_total = sp_cell_get(&ep->cx_total),
                    .cx_active = sp_cell_get(&ep->cx_active),
                    .cx_connect_fail = sp_cell_get(&ep->cx_connect_fail),
                };
                ops->on_endpoint(arg, cluster->spec, &ep->addr, &view);
            }
    }
    for (struct sp_series *s = __atomic_load_n(&worker->series, __ATOMIC_ACQUIRE); s && ops->on_series;
         s = s->next)
        ops->on_series(arg, s);
    if (ops->on_worker)
        ops->on_worker(arg, worker->index, &worker->cells);
}
