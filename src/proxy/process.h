/* process: what the workers of one process share: budgets, settings, the resolver. Lives on the main loop;
 * workers read it, and take from its budgets. */
#ifndef SP_PROXY_PROCESS_H
#define SP_PROXY_PROCESS_H

#include "base/log.h"
#include "base/map.h"
#include "io/dns.h"
#include "io/loop.h"
#include "model/settings.h"
#include "model/snapshot.h"
#include "proxy/budget.h"
#include "wire/codec.h"

struct sp_worker;
struct sp_resolve;

enum { SP_WORKERS_MAX = 64 };

/* Process-wide limits of a cluster; kept by name for the life of the process. */
struct sp_cluster_shared {
    sp_str name; /* heap, behind this struct */
    struct sp_budget connections, pending, requests, retries;
};

/* The connections that a listener may have, in all workers together; likewise. */
struct sp_listener_shared {
    sp_str name; /* heap, behind this struct */
    struct sp_budget connections;
};

struct sp_process {
    struct sp_loop *loop; /* main */
    struct sp_log *log;
    const struct sp_settings *settings;
    const struct sp_codec *const *codecs;      /* by enum sp_protocol; NULL where there is none */
    _Alignas(64) struct sp_budget connections; /* downstream */
    struct sp_budget streams;
    struct sp_map clusters;  /* name -> struct sp_cluster_shared; main thread only */
    struct sp_map listeners; /* name -> struct sp_listener_shared; main thread only */
    struct sp_dns *dns;      /* NULL: STRICT_DNS clusters stay empty */
    struct sp_resolve *resolve;
    struct sp_snapshot *snapshot; /* the newest; main thread only */
    struct sp_worker *workers[SP_WORKERS_MAX];
    uint32_t worker_count;
    bool draining; /* atomic */
};

sp_err sp_process_init(struct sp_process *process, struct sp_loop *loop, struct sp_log *log,
                       const struct sp_settings *settings, const struct sp_codec *const *codecs,
                       uint32_t workers) SP_MUST_USE;
void sp_process_deinit(struct sp_process *process); /* workers must be gone */
/* Main thread. Made on first use with the spec's limits, updated afterwards. NULL when memory is out. */
struct sp_cluster_shared *sp_process_cluster(struct sp_process *process, const struct sp_cluster_spec *spec);
struct sp_listener_shared *sp_process_listener(struct sp_process *process,
                                               const struct sp_listener_spec *spec);
/* Both, for all that stands in the snapshot: before workers apply it. */
sp_err sp_process_share(struct sp_process *process, const struct sp_snapshot *snapshot) SP_MUST_USE;

#endif
