/* cluster: what one worker knows at run time of a cluster: its endpoints with their connections, the
 * balance, limits and figures. Found by name; survives a change of configuration: what was learnt is
 * re-attached by endpoint address. */
#ifndef SP_PROXY_CLUSTER_H
#define SP_PROXY_CLUSTER_H

#include "base/list.h"
#include "io/timer.h"
#include "model/snapshot.h"
#include "proxy/balance.h"
#include "proxy/budget.h"
#include "proxy/view.h"
#include "wire/codec.h"

struct sp_worker;
struct sp_cluster;
struct sp_cluster_shared; /* process.h */

/* wide because address, standing, connections and figures of an endpoint are used together.
 * Owned by its cluster; one that was removed lives on until its lines and calls are gone (users == 0). */
struct sp_endpoint {
    struct sp_cluster *cluster;
    sp_addr addr;
    sp_str hostname; /* for auto_host_rewrite; in the cluster's spec arena or our own copy */
    sp_str workload, workload_namespace;
    char *text; /* heap: the strings above and addr.path */
    uint32_t weight, priority;
    uint32_t active; /* calls under way from this worker: least request */
    uint32_t users;  /* lines and calls that point here */
    bool healthy;
    bool gone;           /* no longer in the set */
    bool talks_back;     /* it has sent requests to us: see line.c, backward calls */
    bool original_dst;   /* made for one destination; goes when idle */
    struct sp_list link; /* on sp_cluster.all */
    /* pool.c */
    struct sp_list idle;       /* of sp_line.pool_link: open, no call; most recently used first */
    struct sp_list busy;       /* of sp_line.pool_link: open, calls under way */
    struct sp_list connecting; /* of sp_line.pool_link */
    struct sp_list lingering;  /* of sp_line.pool_link: no further call, last bytes are leaving */
    struct sp_list pending;    /* of sp_stream.pool_link: calls that wait for a line */
    uint32_t connecting_count, pending_count;
    uint8_t mark;                  /* cluster.c, while a set is merged */
    bool serving;                  /* pending calls are being given lines */
    struct sp_series *last_series; /* of the last call: report.c */
    sp_cell rq_total, rq_error, cx_total, cx_active, cx_connect_fail;
};

struct sp_cluster {
    struct sp_worker *worker;
    struct sp_list link;          /* gone: on worker->gone_clusters */
    struct sp_resource *resource; /* a reference; spec lives in it */
    const struct sp_cluster_spec *spec;
    struct sp_cluster_shared *shared;
    struct sp_list all;       /* of sp_endpoint.link, gone ones too */
    struct sp_endpoint **set; /* those in the set */
    uint32_t set_count;
    struct sp_balance balance;
    struct sp_lease connections, pending, requests, retries;
    struct sp_map by_dst;          /* ORIGINAL_DST: text of the address -> endpoint */
    struct sp_codec_limits limits; /* of answers */
    struct sp_cluster_cells cells;
    struct sp_hist rq_time_ns;
    uint32_t users; /* calls that point here */
    bool gone;
    bool resolved; /* STRICT_DNS: at least one answer came */
};

sp_err sp_cluster_new(struct sp_worker *worker, struct sp_resource *resource,
                      struct sp_cluster_shared *shared, struct sp_cluster **ret_cluster) SP_MUST_USE;
/* Closes idle lines; calls under way finish first (users). */
void sp_cluster_free(struct sp_cluster *cluster);
/* The same name, a new resource: endpoints that stay keep their lines and figures. */
sp_err sp_cluster_update(struct sp_cluster *cluster, struct sp_resource *resource) SP_MUST_USE;

/* One resolved endpoint, from resolve.c. */
struct sp_endpoint_found {
    sp_addr addr;
    const struct sp_endpoint_spec *spec; /* the entry it comes from: weight, labels */
};
/* The set is now exactly this one. */
sp_err sp_cluster_set_endpoints(struct sp_cluster *cluster, const struct sp_endpoint_found *found,
                                uint32_t count) SP_MUST_USE;

/* For a hand-over: what another process knew of an endpoint. Found by its address, else made: in the set of a
 * cluster whose names are not resolved yet; else gone (kept by who uses it) or for one destination. Then
 * sp_cluster_settle follows. NULL when memory is out, or the address cannot be one. */
struct sp_endpoint_past {
    sp_addr addr;
    struct sp_endpoint_spec spec; /* of an endpoint in a resolved set */
    bool gone, original_dst;
};
struct sp_endpoint *sp_cluster_adopt(struct sp_cluster *cluster, const struct sp_endpoint_past *past);
/* Those that turned out to be used by nobody go. */
void sp_cluster_settle(struct sp_cluster *cluster);

/* An endpoint for a call, or NULL with *ret_why. `dst`: original destination (ORIGINAL_DST only), may be
 * NULL. The endpoint's and cluster's `users` are not touched. */
struct sp_endpoint *sp_cluster_pick(struct sp_cluster *cluster, const struct sp_balance_key *key,
                                    const sp_addr *dst, enum sp_why *ret_why);
/* users fell to 0: free what is gone. */
void sp_endpoint_unuse(struct sp_endpoint *endpoint);
void sp_cluster_unuse(struct sp_cluster *cluster);
/* Once a second from the worker: leases, unused ORIGINAL_DST endpoints. */
void sp_cluster_tick(struct sp_cluster *cluster);

#endif
