/* view: the proxy's figures for onlookers. Cells belong to a worker; whoever shows them sums over workers.
 *
 * Each struct of cells is an array of sp_cell in disguise; sp_*_cell_names gives Envoy's name for each, so
 * admin and Prometheus need no second list. */
#ifndef SP_PROXY_VIEW_H
#define SP_PROXY_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/cell.h"
#include "base/hist.h"
#include "base/str.h"
#include "model/cluster.h"
#include "model/listener.h"
#include "proxy/why.h"

struct sp_worker;
struct sp_endpoint_view;

/* name: after "cluster.<name>.", "listener.<address>.", "http.<stat_prefix>.", "tcp.<stat_prefix>."; gauge or
 * counter. */
struct sp_cell_name {
    const char *name;
    const char *help;
    bool gauge;
};

struct sp_cluster_cells {
    sp_cell rq_total, rq_active, rq_1xx, rq_2xx, rq_3xx, rq_4xx, rq_5xx, rq_timeout, rq_retry,
        rq_retry_success, rq_retry_overflow, rq_pending_total, rq_pending_active, rq_pending_overflow,
        rq_overflow, rq_app_error, rq_rx_reset, rq_cancelled, cx_total, cx_active, cx_connect_fail,
        cx_connect_timeout, cx_overflow, cx_destroy, cx_destroy_with_active, cx_max_requests, cx_idle_timeout,
        cx_protocol_error, cx_rx_bytes, cx_tx_bytes, cx_heartbeat, cx_heartbeat_lost, lb_no_endpoint,
        update_success, update_failure;
};
struct sp_listener_cells {
    sp_cell cx_total, cx_active, cx_destroy, cx_overflow, cx_overload_reject, no_filter_chain_match,
        detect_timeout, proxy_protocol_error, accept_paused;
};
struct sp_chain_cells {
    sp_cell rq_total, rq_active, rq_1xx, rq_2xx, rq_3xx, rq_4xx, rq_5xx, rq_app_error, rq_oneway, rq_rx_reset,
        rq_timeout, rq_idle_timeout, rq_header_timeout, rq_too_large, no_route, cx_total, cx_active,
        cx_destroy_remote, cx_idle_timeout, cx_max_duration, cx_protocol_error, cx_rx_bytes, cx_tx_bytes,
        cx_upgrades, cx_upgrades_active, heartbeats;
};
/* Of a chain for raw bytes. */
struct sp_tcp_cells {
    sp_cell cx_total, cx_active, cx_no_route, cx_rx_bytes, cx_tx_bytes, idle_timeout, max_duration;
};
struct sp_worker_cells {
    sp_cell streams_active, streams_total, streams_refused, memory_refused, connections_active,
        connections_total, reports_lost, series_overflow, snapshots, accept_errors;
    sp_cell why[SP_WHY_COUNT];
};

extern const struct sp_cell_name sp_cluster_cell_names[sizeof(struct sp_cluster_cells) / sizeof(sp_cell)];
extern const struct sp_cell_name sp_listener_cell_names[sizeof(struct sp_listener_cells) / sizeof(sp_cell)];
extern const struct sp_cell_name sp_chain_cell_names[sizeof(struct sp_chain_cells) / sizeof(sp_cell)];
extern const struct sp_cell_name sp_tcp_cell_names[sizeof(struct sp_tcp_cells) / sizeof(sp_cell)];

/* One of Istio's standard series: requests that agree in all labels. Strings live as long as the worker. */
struct sp_series_key {
    uint8_t direction; /* enum sp_direction: reporter source (outbound, none) or destination (inbound) */
    uint8_t protocol;  /* enum sp_protocol */
    uint16_t status;   /* as HTTP counts */
    uint16_t why;      /* enum sp_why: response_flags */
    bool app_error;
    sp_str cluster;                      /* name; its labels are in the cluster's spec */
    sp_str workload, workload_namespace; /* of the endpoint, outbound */
};
struct sp_series {
    struct sp_series *next; /* list of the worker; published with release, never shortened */
    struct sp_series_key key;
    sp_str service, service_name, service_namespace; /* destination_* */
    sp_cell requests;
    sp_cell tcp_opened, tcp_closed, tcp_sent, tcp_received;
    struct sp_hist duration_ns, request_bytes, response_bytes;
};

/* What the walks below hand out; valid during the callback. Called on the loop that owns the worker, or on
 * another thread while the worker is alive: only cells and published lists are touched. */
struct sp_view_ops {
    void (*on_listener)(void *arg, const struct sp_listener_spec *spec, const sp_addr *bound,
                        const struct sp_listener_cells *cells);
    void (*on_chain)(void *arg, sp_str stat_prefix, const struct sp_chain_cells *cells,
                     const struct sp_hist *rq_time_ns);
    void (*on_cluster)(void *arg, const struct sp_cluster_spec *spec, const struct sp_cluster_cells *cells,
                       const struct sp_hist *rq_time_ns);
    void (*on_endpoint)(void *arg, const struct sp_cluster_spec *spec, const sp_addr *addr,
                        const struct sp_endpoint_view *ep);
    void (*on_series)(void *arg, const struct sp_series *series);
    void (*on_worker)(void *arg, uint32_t index, const struct sp_worker_cells *cells);
    void (*on_tcp)(void *arg, sp_str stat_prefix,
                   const struct sp_tcp_cells *cells); /* chains for raw bytes */
};
struct sp_endpoint_view {
    uint32_t weight;
    bool healthy;
    uint64_t rq_total, rq_error, rq_active, cx_total, cx_active, cx_connect_fail;
};

/* Not thread-safe against changes of configuration: call it on the worker's loop (sp_worker_ask does). */
void sp_worker_walk(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg);

#endif
