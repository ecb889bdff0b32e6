/* handoff_cluster: what a worker has learnt of clusters and endpoints, on its way to another process.
 *
 * A cluster is found again by its name and an endpoint by its address; weights, health and terms are the new
 * configuration's. Told are the figures, where round robin stands, who talks back, and the addresses that
 * names had: the new process asks its own name server, but calls come before the answer does.
 *
 * A cluster that the new configuration lacks is noted, and refused as soon as a call or connection that needs
 * it comes along. An endpoint that it lacks lives on as `gone` until its last call and line have left, as
 * after any change of configuration. */
#include "base/buf.h"
#include "proxy/handoff_impl.h"

struct cluster_record {
    uint32_t number;
    sp_str name;
    bool gone;
    uint64_t at; /* round robin */
    sp_str rq_time_ns;
    struct sp_cluster_cells cells;
};

#define RECORD cluster_record
#define CELL(number, member) SP_RECORD_SPARE(number, CELL, RECORD, member)
static const struct sp_record_field cluster_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, number),
    SP_RECORD_FIELD(2, BYTES, RECORD, name),
    SP_RECORD_FIELD(3, BOOL, RECORD, gone),
    SP_RECORD_SPARE(4, U64, RECORD, at),
    SP_RECORD_SPARE(5, BYTES, RECORD, rq_time_ns),
    CELL(10, cells.rq_total),
    CELL(11, cells.rq_1xx),
    CELL(12, cells.rq_2xx),
    CELL(13, cells.rq_3xx),
    CELL(14, cells.rq_4xx),
    CELL(15, cells.rq_5xx),
    CELL(16, cells.rq_timeout),
    CELL(17, cells.rq_retry),
    CELL(18, cells.rq_retry_success),
    CELL(19, cells.rq_retry_overflow),
    CELL(20, cells.rq_pending_total),
    CELL(21, cells.rq_pending_overflow),
    CELL(22, cells.rq_overflow),
    CELL(23, cells.rq_app_error),
    CELL(24, cells.rq_rx_reset),
    CELL(25, cells.rq_cancelled),
    CELL(26, cells.cx_total),
    CELL(27, cells.cx_connect_fail),
    CELL(28, cells.cx_connect_timeout),
    CELL(29, cells.cx_overflow),
    CELL(30, cells.cx_destroy),
    CELL(31, cells.cx_destroy_with_active),
    CELL(32, cells.cx_max_requests),
    CELL(33, cells.cx_idle_timeout),
    CELL(34, cells.cx_protocol_error),
    CELL(35, cells.cx_rx_bytes),
    CELL(36, cells.cx_tx_bytes),
    CELL(37, cells.cx_heartbeat),
    CELL(38, cells.cx_heartbeat_lost),
    CELL(39, cells.lb_no_endpoint),
    CELL(40, cells.update_success),
    CELL(41, cells.update_failure),
};
const struct sp_record_kind sp_handoff_cluster_kind = SP_RECORD_KIND(SP_KIND_CLUSTER, false, "cluster",
                                                                     RECORD, cluster_fields);
#undef RECORD

struct endpoint_record {
    uint32_t number, cluster;
    sp_addr addr;
    sp_str hostname, workload, workload_namespace;
    uint32_t weight, priority;
    bool unhealthy, gone, talks_back, original_dst;
    int64_t current; /* smooth weighted round robin */
    sp_cell rq_total, rq_error, cx_total, cx_connect_fail;
};

#define RECORD endpoint_record
static const struct sp_record_field endpoint_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, number),
    SP_RECORD_FIELD(2, U32, RECORD, cluster),
    SP_RECORD_FIELD(3, ADDR, RECORD, addr),
    SP_RECORD_FIELD(4, BYTES, RECORD, hostname),
    SP_RECORD_FIELD(5, BYTES, RECORD, workload),
    SP_RECORD_FIELD(6, BYTES, RECORD, workload_namespace),
    SP_RECORD_FIELD(7, U32, RECORD, weight),
    SP_RECORD_FIELD(8, U32, RECORD, priority),
    SP_RECORD_FIELD(9, BOOL, RECORD, unhealthy),
    SP_RECORD_FIELD(10, BOOL, RECORD, gone),
    SP_RECORD_FIELD(11, BOOL, RECORD, talks_back),
    SP_RECORD_FIELD(12, BOOL, RECORD, original_dst),
    SP_RECORD_SPARE(13, I64, RECORD, current),
    CELL(14, rq_total),
    CELL(15, rq_error),
    CELL(16, cx_total),
    CELL(17, cx_connect_fail),
};
const struct sp_record_kind sp_handoff_endpoint_kind = SP_RECORD_KIND(SP_KIND_ENDPOINT, false, "endpoint",
                                                                      RECORD, endpoint_fields);
#undef RECORD

enum { NAME_MOST = 120, ENDPOINT_TEXT_MOST = 64 * 1024 };

/* ---- saving ---- */

/* Where it stands among the usable ones; NULL when it is none. */
static int64_t *current_of(const struct sp_balance *b, const struct sp_endpoint *ep)
{
    if (b->kind != SP_BALANCE_ROUND_ROBIN || b->equal_weights)
        return NULL;
    for (uint32_t i = 0; i < b->usable_count; i++)
        if (b->endpoints[b->usable[i]] == ep)
            return &b->current[i];
    return NULL;
}

static void save_endpoint(struct sp_saver *saver, const struct sp_endpoint *ep)
{
    const int64_t *current = ep->cluster->gone ? NULL : current_of(&ep->cluster->balance, ep);
    struct endpoint_record record = {
        .number = sp_saver_new(saver, ep),
        .cluster = sp_saver_number(saver, ep->cluster),
        .addr = ep->addr,
        .hostname = ep->hostname,
        .workload = ep->workload,
        .workload_namespace = ep->workload_namespace,
        .weight = ep->weight,
        .priority = ep->priority,
        .unhealthy = !ep->healthy,
        .gone = ep->gone,
        .talks_back = ep->talks_back,
        .original_dst = ep->original_dst,
        .current = current ? *current : 0,
        .rq_total = ep->rq_total,
        .rq_error = ep->rq_error,
        .cx_total = ep->cx_total,
        .cx_connect_fail = ep->cx_connect_fail,
    };
    sp_record_put(saver->writer, &sp_handoff_endpoint_kind, &record);
}

static void save_cluster(struct sp_saver *saver, const struct sp_cluster *cluster)
{
    struct cluster_record record = {
        .number = sp_saver_new(saver, cluster),
        .name = cluster->spec->name,
        .gone = cluster->gone,
        .at = cluster->gone ? 0 : cluster->balance.at,
        .rq_time_ns = sp_saver_hist(saver, 0, &cluster->rq_time_ns),
        .cells = cluster->cells,
    };
    sp_record_put(saver->writer, &sp_handoff_cluster_kind, &record);
    const struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link)
        save_endpoint(saver, ep);
}

void sp_save_clusters(struct sp_saver *saver)
{
    size_t at = 0;
    void *value;
    while (sp_map_next(&saver->worker->clusters, &at, NULL, &value))
        save_cluster(saver, value);
    const struct sp_cluster *cluster;
    SP_LIST_EACH(&saver->worker->gone_clusters, cluster, next, struct sp_cluster, link)
        save_cluster(saver, cluster);
}

/* ---- loading ---- */

sp_err sp_load_cluster(struct sp_handoff *h)
{
    struct cluster_record r;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    struct sp_cluster *cluster = sp_worker_cluster(h->worker, r.name);
    if (!cluster)
        return sp_handoff_put_missing(h, SP_HANDOFF_CLUSTER, r.number,
                                      "cluster \"%.*s\" is in use, and not in the new configuration",
                                      SP_STR_ARG(sp_str_upto(r.name, NAME_MOST)));
    if (r.gone) /* it has come back since: what the one before it counted ended with it */
        return sp_handoff_put(h, SP_HANDOFF_CLUSTER, r.number, cluster);
    cluster->balance.at = r.at;
    sp_handoff_add_cells(h->kind, &cluster->cells, &r, offsetof(struct cluster_record, cells),
                         sizeof(r.cells));
    err = sp_handoff_add_hist(h, &cluster->rq_time_ns, r.rq_time_ns);
    return err ? err : sp_handoff_put(h, SP_HANDOFF_CLUSTER, r.number, cluster);
}

static void add_figures(struct sp_endpoint *ep, const struct endpoint_record *r)
{
    int64_t *current = current_of(&ep->cluster->balance, ep);
    if (current)
        *current = r->current;
    ep->talks_back |= r->talks_back;
    sp_cell_add(&ep->rq_total, r->rq_total.value);
    sp_cell_add(&ep->rq_error, r->rq_error.value);
    sp_cell_add(&ep->cx_total, r->cx_total.value);
    sp_cell_add(&ep->cx_connect_fail, r->cx_connect_fail.value);
}

/* Workers that nobody's records go to would know no address of a name before the first answer. */
static void share_address(struct sp_handoff *h, const struct sp_cluster *cluster,
                          const struct sp_endpoint_past *past)
{
    if (cluster->spec->kind != SP_CLUSTER_STRICT_DNS || past->gone)
        return;
    for (uint32_t i = 0; i < h->count; i++) {
        struct sp_cluster *other = sp_worker_cluster(h->workers[i], cluster->spec->name);
        if (other && other != cluster)
            SP_IGNORE(sp_cluster_adopt(other, past)); /* without memory it waits for the answer */
    }
}

sp_err sp_load_endpoint(struct sp_handoff *h)
{
    struct endpoint_record r;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    if (r.addr.family == SP_ADDR_NONE || !r.weight ||
        r.hostname.len + r.workload.len + r.workload_namespace.len > ENDPOINT_TEXT_MOST)
        return SP_HANDOFF_BAD(h, "no endpoint can be so");
    struct sp_cluster *cluster = sp_handoff_peek(h, SP_HANDOFF_CLUSTER, r.cluster);
    if (!cluster) { /* refused if somebody needs it */
        const char *words = sp_idmap_get(&h->missing[SP_HANDOFF_CLUSTER], r.cluster);
        return words ? sp_handoff_put_missing(h, SP_HANDOFF_ENDPOINT, r.number, "%s", words)
                     : SP_HANDOFF_BAD(h, "there is no cluster %u", r.cluster);
    }
    struct sp_endpoint_past past = { .addr = r.addr,
                                     .spec = { .addr = r.addr,
                                               .hostname = r.hostname,
                                               .weight = r.weight,
                                               .priority = r.priority,
                                               .healthy = !r.unhealthy,
                                               .workload = r.workload,
                                               .workload_namespace = r.workload_namespace },
                                     .gone = r.gone,
                                     .original_dst = r.original_dst };
    struct sp_endpoint *ep = sp_cluster_adopt(cluster, &past);
    if (!ep)
        return SP_HANDOFF_BAD(h, "memory is out");
    add_figures(ep, &r);
    share_address(h, cluster, &past);
    return sp_handoff_put(h, SP_HANDOFF_ENDPOINT, r.number, ep);
}

void sp_finish_clusters(struct sp_handoff *h)
{
    size_t at = 0;
    void *value;
    while (sp_map_next(&h->worker->clusters, &at, NULL, &value))
        sp_cluster_settle(value);
}
