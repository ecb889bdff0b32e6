/* endpoint: a ClusterLoadAssignment becomes the flat list of endpoints that the balancer wants.
 *
 * Localities fold away: their zone and priority go into each endpoint. Their weights count only under
 * locality weighted balancing, which Envoy does not do unless told, and we refuse to be told.
 *
 * Health is told apart in two: who may get calls and who may not. DEGRADED would be a third, used when
 * nothing else is left, and is refused.
 *
 * Istio writes the workload behind an endpoint into its metadata, as one string:
 *
 *      filter_metadata: { istio: { workload: "name;namespace;service;revision;cluster" } }
 *
 * It names the other side of a call in metrics, for whoever calls without a sidecar of its own to say so. */
#include "xds/types/types_impl.h"

/* All endpoints of a cluster; more than any mesh of ours has, and it bounds the array. */
enum { ENDPOINTS_MAX = 100000, PRIORITIES = 129 };

static void take_workload(struct sp_xds_build *b, const struct sp_pb_core_metadata *metadata,
                          struct sp_endpoint_spec *ep)
{
    sp_str rest = sp_xds_struct_str(sp_xds_metadata(metadata, "istio"), "workload");
    if (!rest.len)
        return;
    ep->workload = sp_xds_str(b, sp_str_cut(&rest, ';'));
    if (rest.ptr)
        ep->workload_namespace = sp_xds_str(b, sp_str_cut(&rest, ';'));
}

static void take_health(struct sp_xds_build *b, const struct sp_pb_endpoint_lb_endpoint *m,
                        struct sp_endpoint_spec *ep)
{
    switch (m->health_status) {
    case SP_PB_CORE_HEALTH_STATUS_UNKNOWN:
    case SP_PB_CORE_HEALTH_STATUS_HEALTHY: ep->healthy = true; break;
    case SP_PB_CORE_HEALTH_STATUS_UNHEALTHY:
    case SP_PB_CORE_HEALTH_STATUS_DRAINING:
    case SP_PB_CORE_HEALTH_STATUS_TIMEOUT: break;
    default:
        SP_XDS_REFUSE(b, m, SP_FIELD_ENDPOINT_LB_ENDPOINT_HEALTH_STATUS,
                      "is not supported; HEALTHY, UNHEALTHY, DRAINING, TIMEOUT and UNKNOWN are");
        break;
    }
}

static void take_address(struct sp_xds_build *b, const struct sp_pb_endpoint_endpoint *m, bool by_name,
                         struct sp_endpoint_spec *ep)
{
    if (!sp_xds_addr(b, m, SP_FIELD_ENDPOINT_ENDPOINT_ADDRESS, m->address, &ep->addr,
                     by_name ? &ep->host : NULL))
        return;
    ep->port = ep->addr.port;
    const struct sp_pb_core_socket_address *s = m->address->socket_address;
    if (s && s->port_value == 0)
        SP_XDS_WRONG(b, s, SP_FIELD_CORE_SOCKET_ADDRESS_PORT_VALUE, "must not be 0: there is nobody to call");
    ep->hostname = m->hostname.len ? sp_xds_str(b, m->hostname) : ep->host;
}

static void take_endpoint(struct sp_xds_build *b, const struct sp_pb_endpoint_lb_endpoint *m, bool by_name,
                          struct sp_endpoint_spec *ep)
{
    ep->weight = sp_xds_u32(m->load_balancing_weight, 1);
    take_health(b, m, ep);
    take_workload(b, m->metadata, ep);
    if (m->endpoint)
        take_address(b, m->endpoint, by_name, ep);
    else
        SP_XDS_WRONG(b, m, SP_FIELD_ENDPOINT_LB_ENDPOINT_ENDPOINT, "is missing: it says the address");
}

static bool count_endpoints(struct sp_xds_build *b, const struct sp_pb_endpoint_cluster_load_assignment *m,
                            uint32_t *ret_count)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < m->endpoints_len; i++)
        count += m->endpoints[i]->lb_endpoints_len;
    *ret_count = (uint32_t)count;
    if (count <= ENDPOINTS_MAX)
        return true;
    SP_XDS_WRONG(b, m, SP_FIELD_ENDPOINT_CLUSTER_LOAD_ASSIGNMENT_ENDPOINTS, "has more than %d endpoints",
                 ENDPOINTS_MAX);
    return false;
}

static void check_weights(struct sp_xds_build *b, const struct sp_pb_endpoint_cluster_load_assignment *m,
                          const struct sp_cluster_spec *spec)
{
    uint64_t total[PRIORITIES] = { 0 };
    for (uint32_t i = 0; i < spec->endpoint_count; i++)
        if (spec->endpoints[i].priority < PRIORITIES)
            total[spec->endpoints[i].priority] += spec->endpoints[i].weight;
    for (uint32_t i = 0; i < PRIORITIES; i++)
        if (total[i] > UINT32_MAX)
            SP_XDS_WRONG(b, m, SP_FIELD_ENDPOINT_CLUSTER_LOAD_ASSIGNMENT_ENDPOINTS,
                         "the weights of priority %u sum up to more than 32 bits hold", (unsigned)i);
}

void sp_xds_endpoints(struct sp_xds_build *b, const struct sp_pb_endpoint_cluster_load_assignment *m,
                      struct sp_cluster_spec *spec)
{
    uint32_t count;
    if (!count_endpoints(b, m, &count))
        return;
    struct sp_endpoint_spec *endpoints = sp_xds_array(b, count, sizeof(*endpoints));
    if (!endpoints)
        return;
    bool by_name = spec->kind == SP_CLUSTER_STRICT_DNS;
    uint32_t at = 0;
    for (uint32_t i = 0; i < m->endpoints_len; i++) {
        const struct sp_pb_endpoint_locality_lb_endpoints *place = m->endpoints[i];
        sp_str zone = sp_xds_str(b, place->locality ? place->locality->zone : SP_STR(""));
        for (uint32_t k = 0; k < place->lb_endpoints_len; k++, at++) {
            endpoints[at].zone = zone;
            endpoints[at].priority = place->priority;
            take_endpoint(b, place->lb_endpoints[k], by_name, &endpoints[at]);
        }
    }
    spec->endpoints = endpoints;
    spec->endpoint_count = count;
    check_weights(b, m, spec);
}
