/* cluster: a group of endpoints that serve the same, and the terms of talking to them. Immutable; lives
 * in its resource's arena. What is learnt at run time is kept by proxy/, not here. */
#ifndef SP_MODEL_CLUSTER_H
#define SP_MODEL_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

enum sp_cluster_kind { SP_CLUSTER_STATIC, SP_CLUSTER_STRICT_DNS, SP_CLUSTER_ORIGINAL_DST };
enum sp_balance_kind {
    SP_BALANCE_ROUND_ROBIN,
    SP_BALANCE_LEAST_REQUEST,
    SP_BALANCE_RANDOM,
    SP_BALANCE_RING_HASH,
    SP_BALANCE_GIVEN
};

struct sp_endpoint_spec {
    sp_addr addr;    /* STATIC: where; STRICT_DNS: family NONE until resolved */
    sp_str host;     /* STRICT_DNS: the name; else empty */
    uint16_t port;   /* with host */
    sp_str hostname; /* for auto_host_rewrite */
    uint32_t weight; /* >= 1 */
    uint32_t priority;
    sp_str zone;
    bool healthy; /* health_status UNKNOWN or HEALTHY */
    /* Istio's workload labels from the endpoint's metadata, for metrics; empty = unknown. */
    sp_str workload, workload_namespace;
};

/* The name that its host is known by: what was told, else the host itself. */
static inline sp_str sp_endpoint_hostname(const struct sp_endpoint_spec *spec)
{
    return spec->hostname.len ? spec->hostname : spec->host;
}

struct sp_cluster_limits {
    uint32_t connections, pending, requests, retries;
};

enum sp_proxyproto_out { SP_PROXYPROTO_OFF, SP_PROXYPROTO_V1, SP_PROXYPROTO_V2 };

/* wide because it is a record of configuration: a field for each thing that can be said. */
struct sp_cluster_spec {
    sp_str name;
    sp_str alt_stat_name;
    enum sp_cluster_kind kind;
    enum sp_balance_kind balance;
    uint64_t connect_timeout_ns;
    const struct sp_endpoint_spec *endpoints;
    uint32_t endpoint_count;
    struct sp_cluster_limits limits; /* Envoy's defaults: 1024, 1024, 1024, 3 */
    /* enum sp_protocol of wire/call.h for RPC; NONE = as the caller speaks */
    uint8_t protocol;
    uint64_t heartbeat_ns;                /* RPC: idle connection heartbeat; 0 = 15 s */
    uint64_t idle_timeout_ns;             /* pooled connection; 0 = never */
    uint64_t max_connection_ns;           /* 0 = none */
    uint32_t max_requests_per_connection; /* 0 = any */
    uint32_t buffer_bytes;                /* per connection; 0 = 1 MiB */
    uint32_t least_choices;               /* least request: 2 */
    uint64_t ring_min, ring_max;          /* ring hash: 1024, 8 Mi */
    enum sp_proxyproto_out proxyproto;
    uint64_t dns_refresh_ns, dns_failure_refresh_ns;
    bool dns_respect_ttl;
    uint8_t dns_family;                              /* enum sp_dns_family of io/dns.h */
    sp_addr bind;                                    /* source address; family NONE = the system's choice */
    sp_str original_dst_header;                      /* ORIGINAL_DST by a header; empty = by the socket */
    sp_str service, service_name, service_namespace; /* labels destination_service* */
};

#endif
