/* settings: what concerns the process and not a listener or cluster: caps, drain, labels, doors. */
#ifndef SP_MODEL_SETTINGS_H
#define SP_MODEL_SETTINGS_H

#include "base/addr.h"
#include "base/str.h"

struct sp_labels { /* of our own workload, for Istio's metric labels; empty = "unknown" */
    sp_str workload, workload_namespace, app, version, cluster, canonical_service, canonical_revision,
        principal;
};

struct sp_lightsdk_app_spec {
    sp_str protocol; /* as the SDK says it: "bolt" */
    sp_addr addr;    /* where the application serves it */
};

struct sp_lightsdk_spec {
    bool on;
    sp_addr api;     /* default 127.0.0.1:13330 */
    sp_addr traffic; /* default 127.0.0.1:12220: where the SDK calls; a listener must be there */
    const struct sp_lightsdk_app_spec *apps; /* one for each protocol */
    uint32_t app_count;
};

/* What a listener may have at most, told beside it: envoy.resource_limits.listener.<name>.connection_limit */
struct sp_listener_limit {
    sp_str listener;
    uint32_t connections;
};

struct sp_settings {
    sp_str node_id, node_cluster;
    struct sp_labels labels;
    sp_addr admin;             /* family NONE = Unix socket only */
    uint64_t drain_ns;         /* after SIGTERM: 30 s */
    uint32_t max_connections;  /* downstream, of the process; 0 = from the descriptor limit */
    uint64_t max_memory_bytes; /* of slabs; 0 = half of what the process may have */
    uint32_t max_streams;      /* calls under way, of the process; 0 = 100,000 */
    uint64_t detect_ns;        /* default detection time: 300 ms */
    struct sp_lightsdk_spec lightsdk;
    const struct sp_listener_limit *listener_limits; /* the last of a name counts */
    uint32_t listener_limit_count;
    uint32_t why_records; /* how many calls /why remembers for each worker: 512 */
    bool reason_header;   /* x-sampan-reason on answers of our own: true */
};

#endif
