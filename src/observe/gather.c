/* gather: the sum over the workers.
 *
 * A figure belongs to one worker and is a plain cell there (base/cell.h). To show it somebody has to walk
 * over what the worker owns, and only the worker may do that, because configuration can change under
 * anybody else's feet. So the walk runs as a letter in the worker's mailbox and copies numbers into a part
 * of its own; parts travel back and are added up on the main thread. The worker pays for a copy of its
 * numbers and for no formatting at all:
 *
 *      main ──letter──► worker 0: walk, copy ──► part ──┐
 *      main ──letter──► worker 1: walk, copy ──► part ──┴──► add ──► seal ──► page
 *
 * Series are the exception: they are a published list that is never shortened, so the worker only says
 * where it begins, and the main thread folds its histograms (three times 320 numbers each) without holding
 * the worker up.
 *
 * Two series of the proxy may be one for Istio: reasons share flags, protocols share names, clusters share
 * services. The text of the labels is the key, so no two lines of the exposition can have the same labels,
 * which Prometheus would refuse with the whole page.
 *
 * Label values come from configuration and peers. They are cut at a length, what is not UTF-8 becomes
 * U+FFFD, and their number is bounded twice: by the worker (SP_SERIES_MAX) and here. */
#include "observe/gather.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "observe/text_impl.h"
#include "wire/call.h"

const char *const sp_fold_bound_text[SP_FOLD_BOUNDS] = {
    "0.5",  "1",    "5",     "10",    "25",    "50",     "100",    "250",     "500",     "1000",
    "2500", "5000", "10000", "30000", "60000", "300000", "600000", "1800000", "3600000",
};

/* The same in thousandths. */
const uint64_t sp_fold_bound_milli[SP_FOLD_BOUNDS] = {
    500,     1000,    5000,     10000,    25000,    50000,     100000,    250000,     500000,     1000000,
    2500000, 5000000, 10000000, 30000000, 60000000, 300000000, 600000000, 1800000000, 3600000000,
};

enum { ARENA_BLOCK = 16 * 1024, LABELS_BYTES = 8192 };

#define FIGURE(field, text, is_gauge)                                                                        \
    {                                                                                                        \
#field, text, is_gauge, offsetof(struct sp_worker_cells, field)                                      \
    }

const struct sp_worker_figure sp_worker_figures[SP_WORKER_FIGURES] = {
    FIGURE(streams_active, "calls under way", true),
    FIGURE(streams_total, "calls begun", false),
    FIGURE(streams_refused, "calls refused at the process's limit", false),
    FIGURE(memory_refused, "calls refused because memory was out", false),
    FIGURE(connections_active, "downstream connections", true),
    FIGURE(connections_total, "downstream connections accepted", false),
    FIGURE(reports_lost, "records that found the access log's ring full", false),
    FIGURE(series_overflow, "calls counted in the shared series, because there were too many others", false),
    FIGURE(snapshots, "configurations taken over, over all workers", false),
    FIGURE(accept_errors, "accepts that failed", false),
};

static const struct sp_subject_kind_info kinds[SP_SUBJECT_KINDS] = {
    [SP_SUBJECT_CLUSTER] = { "cluster.", "envoy_cluster_", "envoy_cluster_name", "upstream_rq_time",
                             sp_cluster_cell_names, SP_COUNTOF(sp_cluster_cell_names) },
    [SP_SUBJECT_CHAIN] = { "http.", "envoy_http_", "envoy_http_conn_manager_prefix", "downstream_rq_time",
                           sp_chain_cell_names, SP_COUNTOF(sp_chain_cell_names) },
    [SP_SUBJECT_TCP] = { "tcp.", "envoy_tcp_", "envoy_tcp_prefix", NULL, sp_tcp_cell_names,
                         SP_COUNTOF(sp_tcp_cell_names) },
    [SP_SUBJECT_LISTENER] = { "listener.", "envoy_listener_", "envoy_listener_address", NULL,
                              sp_listener_cell_names, SP_COUNTOF(sp_listener_cell_names) },
};

const struct sp_subject_kind_info *sp_subject_kind_info(enum sp_subject_kind kind)
{
    return &kinds[kind];
}

struct sp_gather *sp_gather_new(uint64_t seed)
{
    struct sp_gather *g = sp_mem_zalloc(sizeof(*g));
    if (!g)
        return NULL;
    sp_arena_init(&g->arena, NULL, 0, ARENA_BLOCK, 0);
    for (int k = 0; k < SP_SUBJECT_KINDS; k++) {
        sp_map_init(&g->by_name[k], seed);
        sp_vec_init(&g->subjects[k], sizeof(struct sp_subject *));
    }
    sp_map_init(&g->series_by_labels, seed);
    sp_vec_init(&g->series, sizeof(struct sp_gather_series *));
    return g;
}

static struct sp_subject *subject_at(const struct sp_gather *g, int kind, size_t i)
{
    return *(struct sp_subject **)sp_vec_at(&g->subjects[kind], i);
}

void sp_gather_free(struct sp_gather *g)
{
    if (!g)
        return;
    for (int k = 0; k < SP_SUBJECT_KINDS; k++) {
        for (size_t i = 0; i < g->subjects[k].len; i++)
            sp_hist_deinit(&subject_at(g, k, i)->time_ns);
        sp_map_deinit(&g->by_name[k]);
        sp_vec_deinit(&g->subjects[k]);
    }
    sp_map_deinit(&g->series_by_labels);
    sp_vec_deinit(&g->series);
    sp_arena_deinit(&g->arena);
    sp_mem_free(g);
}

/* ---- subjects ---- */

/* The subject of that name, made when it is new; NULL (and failed) when memory is out. */
static struct sp_subject *subject(struct sp_gather *g, enum sp_subject_kind kind, sp_str name)
{
    struct sp_subject *s = sp_map_get(&g->by_name[kind], name);
    if (s)
        return s;
    s = SP_ARENA_NEW(&g->arena, struct sp_subject);
    if (!s)
        goto fail;
    s->name = sp_str_dup(&g->arena, name);
    s->values = sp_arena_array(&g->arena, kinds[kind].count, sizeof(uint64_t));
    if (!s->name.ptr || !s->values)
        goto fail;
    struct sp_subject **slot = sp_vec_push(&g->subjects[kind]);
    if (!slot)
        goto fail;
    *slot = s;
    if (sp_map_put(&g->by_name[kind], s->name, s, NULL))
        goto fail;
    return s;

fail:
    g->failed = true;
    return NULL;
}

static void add_cells(struct sp_subject *s, enum sp_subject_kind kind, const void *cells,
                      const struct sp_hist *time_ns)
{
    const sp_cell *cell = cells;
    for (uint32_t i = 0; i < kinds[kind].count; i++)
        s->values[i] += sp_cell_get(&cell[i]);
    if (time_ns)
        sp_hist_merge(&s->time_ns, time_ns);
}

static void on_listener(void *arg, const struct sp_listener_spec *spec, const sp_addr *bound,
                        const struct sp_listener_cells *cells)
{
    struct sp_gather *g = arg;
    char text[SP_ADDR_TEXT_BYTES];
    const sp_addr *addr = bound->family != SP_ADDR_NONE ? bound : &spec->addr;
    size_t len = sp_addr_print(addr, text, sizeof(text));
    for (size_t i = 0; i < len; i++) /* as Envoy: a ':' would end the name's part */
        text[i] = text[i] == ':' ? '_' : text[i];
    struct sp_subject *s = subject(g, SP_SUBJECT_LISTENER, sp_str_of(text, len));
    if (!s)
        return;
    if (!s->full_name.ptr) {
        s->full_name = sp_str_dup(&g->arena, spec->name);
        s->bound = *addr;
        if (addr->family == SP_ADDR_UNIX)
            s->bound.path = sp_str_dup_z(&g->arena, sp_str_c(addr->path));
    }
    add_cells(s, SP_SUBJECT_LISTENER, cells, NULL);
}

static void on_chain(void *arg, sp_str stat_prefix, const struct sp_chain_cells *cells,
                     const struct sp_hist *rq_time_ns)
{
    struct sp_subject *s = subject(arg, SP_SUBJECT_CHAIN, stat_prefix);
    if (s)
        add_cells(s, SP_SUBJECT_CHAIN, cells, rq_time_ns);
}

static void on_tcp(void *arg, sp_str stat_prefix, const struct sp_tcp_cells *cells)
{
    struct sp_subject *s = subject(arg, SP_SUBJECT_TCP, stat_prefix);
    if (s)
        add_cells(s, SP_SUBJECT_TCP, cells, NULL);
}

static sp_str stat_name(const struct sp_cluster_spec *spec)
{
    return spec->alt_stat_name.len ? spec->alt_stat_name : spec->name;
}

static void on_cluster(void *arg, const struct sp_cluster_spec *spec, const struct sp_cluster_cells *cells,
                       const struct sp_hist *rq_time_ns)
{
    struct sp_gather *g = arg;
    struct sp_subject *s = subject(g, SP_SUBJECT_CLUSTER, stat_name(spec));
    if (!s)
        return;
    if (!s->full_name.ptr)
        s->full_name = sp_str_dup(&g->arena, spec->name);
    s->limits = spec->limits;
    s->cluster_kind = spec->kind;
    add_cells(s, SP_SUBJECT_CLUSTER, cells, rq_time_ns);
}

static void add_endpoint_figures(struct sp_endpoint_view *to, const struct sp_endpoint_view *from)
{
    to->healthy &= from->healthy; /* when all workers say so */
    to->rq_total += from->rq_total;
    to->rq_error += from->rq_error;
    to->rq_active += from->rq_active;
    to->cx_total += from->cx_total;
    to->cx_active += from->cx_active;
    to->cx_connect_fail += from->cx_connect_fail;
}

static struct sp_gather_endpoint *new_endpoint(struct sp_gather *g, struct sp_subject *s, const sp_addr *addr,
                                               const struct sp_endpoint_view *view)
{
    struct sp_gather_endpoint *ep = SP_ARENA_NEW(&g->arena, struct sp_gather_endpoint);
    if (!ep) {
        g->failed = true;
        return NULL;
    }
    ep->addr = *addr;
    if (addr->family == SP_ADDR_UNIX)
        ep->addr.path = sp_str_dup_z(&g->arena, sp_str_c(addr->path));
    ep->view = *view;
    if (s->last_endpoint)
        s->last_endpoint->next = ep;
    else
        s->endpoints = ep;
    s->last_endpoint = ep;
    s->total++;
    return ep;
}

/* What configuration says of it. The i-th that a worker has is mostly the i-th of the spec; a long list is
 * not searched, since that would be done for each of its endpoints. */
static void describe_endpoint(struct sp_gather *g, struct sp_gather_endpoint *ep,
                              const struct sp_cluster_spec *spec, uint32_t at)
{
    enum { SEARCHED = 64 };
    for (uint32_t i = 0; i < SP_MIN(spec->endpoint_count, (uint32_t)SEARCHED); i++) {
        const struct sp_endpoint_spec *from = &spec->endpoints[(at + i) % spec->endpoint_count];
        if (!sp_addr_eq(&from->addr, &ep->addr) && !(from->host.len && from->port == ep->addr.port))
            continue;
        ep->hostname = sp_str_dup(&g->arena, sp_endpoint_hostname(from));
        ep->zone = sp_str_dup(&g->arena, from->zone);
        ep->priority = from->priority;
        return;
    }
}

static void on_endpoint(void *arg, const struct sp_cluster_spec *spec, const sp_addr *addr,
                        const struct sp_endpoint_view *view)
{
    struct sp_gather *g = arg;
    struct sp_subject *s = sp_map_get(&g->by_name[SP_SUBJECT_CLUSTER], stat_name(spec));
    struct sp_gather_endpoint *ep = s ? new_endpoint(g, s, addr, view) : NULL;
    if (ep)
        describe_endpoint(g, ep, spec, s->total - 1);
}

static void copy_endpoint(struct sp_gather *whole, struct sp_subject *s,
                          const struct sp_gather_endpoint *from)
{
    struct sp_gather_endpoint *ep = new_endpoint(whole, s, &from->addr, &from->view);
    if (!ep)
        return;
    ep->hostname = sp_str_dup(&whole->arena, from->hostname);
    ep->zone = sp_str_dup(&whole->arena, from->zone);
    ep->priority = from->priority;
}

/* Workers list the same endpoints in the same order, so it is found where it is expected; else it is looked
 * for. */
static void merge_endpoint(struct sp_gather *whole, struct sp_subject *s,
                           const struct sp_gather_endpoint *from)
{
    struct sp_gather_endpoint *ep = s->expected;
    if (!ep || !sp_addr_eq(&ep->addr, &from->addr))
        for (ep = s->endpoints; ep && !sp_addr_eq(&ep->addr, &from->addr);)
            ep = ep->next;
    if (ep) {
        s->expected = ep->next;
        add_endpoint_figures(&ep->view, &from->view);
        return;
    }
    copy_endpoint(whole, s, from);
}

static void on_series(void *arg, const struct sp_series *series)
{
    struct sp_gather *g = arg;
    if (!g->worker_series)
        g->worker_series = series;
}

static void on_worker(void *arg, uint32_t index, const struct sp_worker_cells *cells)
{
    struct sp_gather *g = arg;
    for (int i = 0; i < SP_WORKER_FIGURES; i++)
        g->worker_values[i] += sp_cell_get(
            (const sp_cell *)(const void *)((const char *)cells + sp_worker_figures[i].offset));
    for (int i = 0; i < SP_WHY_COUNT; i++)
        g->why[i] += sp_cell_get(&cells->why[i]);
}

void sp_gather_worker(struct sp_gather *part, struct sp_worker *worker,
                      void (*walk)(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg))
{
    static const struct sp_view_ops ops = {
        .on_listener = on_listener,
        .on_chain = on_chain,
        .on_tcp = on_tcp,
        .on_cluster = on_cluster,
        .on_endpoint = on_endpoint,
        .on_series = on_series,
        .on_worker = on_worker,
    };
    walk(worker, &ops, part);
    part->workers = 1;
}

/* ---- series ---- */

/* Which bound each bucket of a histogram falls under; `milli`: how many thousandths of the bound's unit a
 * value of one is, as a fraction, so that nanoseconds become milliseconds. */
struct fold_table {
    uint8_t bound[SP_HIST_BUCKETS];
};

static void fold_table(struct fold_table *table, uint64_t values_per_unit)
{
    uint32_t b = 0;
    for (uint32_t i = 0; i < SP_HIST_BUCKETS; i++) {
        uint64_t top = sp_hist_bucket_top(i);
        while (b < SP_FOLD_BOUNDS &&
               (values_per_unit >= 1000 ? top > sp_fold_bound_milli[b] * (values_per_unit / 1000)
                                        : top > sp_fold_bound_milli[b] / 1000))
            b++;
        table->bound[i] = (uint8_t)b;
    }
}

static void fold(struct sp_fold *into, const struct sp_hist *hist, const struct fold_table *table,
                 uint64_t values_per_unit)
{
    const sp_cell *buckets = __atomic_load_n(&hist->buckets, __ATOMIC_ACQUIRE);
    uint64_t seen = 0;
    for (uint32_t i = 0; buckets && i < SP_HIST_BUCKETS; i++) {
        uint64_t n = sp_cell_get(&buckets[i]);
        if (!n)
            continue;
        seen += n;
        if (table->bound[i] < SP_FOLD_BOUNDS)
            into->at[table->bound[i]] += n;
    }
    uint64_t count = sp_cell_get(&hist->count); /* may lag behind the buckets, or lead */
    into->count += SP_MAX(seen, count);
    into->sum += sp_cell_get(&hist->sum) / values_per_unit;
}

static void label(struct sp_buf *buf, const char *name, sp_str value)
{
    sp_buf_printf(buf, "%s%s=\"", buf->len ? "," : "", name);
    sp_text_label(buf, value.len ? sp_str_upto(value, SP_GATHER_LABEL_BYTES) : SP_STR("unknown"));
    sp_buf_add_char(buf, '"');
}

/* Who calls and who is called: one of the two is ourselves. */
static void labels_of(struct sp_buf *buf, const struct sp_series *series, const struct sp_labels *own)
{
    const struct sp_series_key *key = &series->key;
    static const struct sp_labels nobody;
    bool inbound = key->direction == SP_DIRECTION_INBOUND;
    struct sp_labels there = nobody;
    there.workload = key->workload;
    there.workload_namespace = key->workload_namespace;
    const struct sp_labels *source = inbound ? &nobody : own, *target = inbound ? own : &there;
    label(buf, "reporter", inbound ? SP_STR("destination") : SP_STR("source"));
    label(buf, "source_workload", source->workload);
    label(buf, "source_workload_namespace", source->workload_namespace);
    label(buf, "source_principal", source->principal);
    label(buf, "source_app", source->app);
    label(buf, "source_version", source->version);
    label(buf, "source_cluster", source->cluster);
    label(buf, "source_canonical_service", source->canonical_service);
    label(buf, "source_canonical_revision", source->canonical_revision);
    label(buf, "destination_workload", target->workload);
    label(buf, "destination_workload_namespace", target->workload_namespace);
    label(buf, "destination_principal", target->principal);
    label(buf, "destination_app", target->app);
    label(buf, "destination_version", target->version);
    label(buf, "destination_service", series->service);
    label(buf, "destination_service_name", series->service_name);
    label(buf, "destination_service_namespace", series->service_namespace);
    label(buf, "destination_cluster", target->cluster);
    label(buf, "destination_canonical_service", target->canonical_service);
    label(buf, "destination_canonical_revision", target->canonical_revision);
    label(buf, "request_protocol", sp_str_c(sp_protocol_name(key->protocol)));
    label(buf, "response_flags", sp_str_c(key->why < SP_WHY_COUNT ? sp_why_row(key->why)->flag : "-"));
    label(buf, "connection_security_policy", inbound ? SP_STR("none") : SP_STR_NULL);
}

static struct sp_gather_series *make_series(struct sp_gather *g, sp_str labels, sp_str code)
{
    struct sp_gather_series *s = SP_ARENA_NEW(&g->arena, struct sp_gather_series);
    char *text = sp_arena_alloc(&g->arena, labels.len + code.len + 1);
    struct sp_gather_series **slot = s && text ? sp_vec_push(&g->series) : NULL;
    if (!slot) {
        g->failed = true;
        return NULL;
    }
    *slot = s;
    memcpy(text, labels.ptr, labels.len);
    if (code.len)
        memcpy(text + labels.len, code.ptr, code.len);
    s->labels = sp_str_of(text, labels.len);
    s->code = sp_str_of(text + labels.len, code.len);
    if (sp_map_put(&g->series_by_labels, sp_str_of(text, labels.len + code.len), s, NULL))
        g->failed = true;
    return s;
}

/* Where `series` is counted. */
static struct sp_gather_series *find_series(struct sp_gather *g, const struct sp_series *series,
                                            const struct sp_labels *own)
{
    char storage[LABELS_BYTES];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, storage, sizeof(storage));
    labels_of(&buf, series, own);
    size_t labels = buf.len;
    const struct sp_series_key *key = &series->key;
    if (key->protocol != SP_PROTO_TCP) {
        sp_buf_printf(&buf, ",response_code=\"%u\",grpc_response_status=\"\"", key->status);
        if (key->app_error)
            sp_buf_add_c(&buf, ",app_error=\"true\"");
    }
    sp_str text = sp_buf_str(&buf);
    if (buf.failed || g->series.len >= SP_GATHER_SERIES_MAX) {
        text = SP_STR("reporter=\"overflow\",response_code=\"0\"");
        labels = sp_str_find(text, ',');
    }
    struct sp_gather_series *s = sp_map_get(&g->series_by_labels, text);
    return s ? s : make_series(g, sp_str_upto(text, labels), sp_str_from(text, labels));
}

static void add_series(struct sp_gather *g, const struct sp_series *first, const struct sp_labels *own)
{
    struct fold_table by_ms, by_one;
    fold_table(&by_ms, 1000000);
    fold_table(&by_one, 1);
    for (const struct sp_series *from = first; from; from = from->next) {
        struct sp_gather_series *s = find_series(g, from, own);
        if (!s)
            return;
        s->requests += sp_cell_get(&from->requests);
        s->tcp_opened += sp_cell_get(&from->tcp_opened);
        s->tcp_closed += sp_cell_get(&from->tcp_closed);
        s->tcp_sent += sp_cell_get(&from->tcp_sent);
        s->tcp_received += sp_cell_get(&from->tcp_received);
        fold(&s->duration_ms, &from->duration_ns, &by_ms, 1000000);
        fold(&s->request_bytes, &from->request_bytes, &by_one, 1);
        fold(&s->response_bytes, &from->response_bytes, &by_one, 1);
    }
}

/* ---- the whole ---- */

static void add_subject(struct sp_gather *whole, enum sp_subject_kind kind, const struct sp_subject *from)
{
    struct sp_subject *s = subject(whole, kind, from->name);
    if (!s)
        return;
    for (uint32_t i = 0; i < kinds[kind].count; i++)
        s->values[i] += from->values[i];
    sp_hist_merge(&s->time_ns, &from->time_ns);
    if (!s->full_name.ptr) {
        s->full_name = sp_str_dup(&whole->arena, from->full_name);
        s->bound = from->bound;
        if (from->bound.family == SP_ADDR_UNIX)
            s->bound.path = sp_str_dup_z(&whole->arena, sp_str_c(from->bound.path));
    }
    s->limits = from->limits;
    s->cluster_kind = from->cluster_kind;
    bool first = !s->endpoints;
    s->expected = s->endpoints;
    for (const struct sp_gather_endpoint *ep = from->endpoints; ep; ep = ep->next) {
        if (first) /* the first worker's: all are new */
            copy_endpoint(whole, s, ep);
        else
            merge_endpoint(whole, s, ep);
    }
}

void sp_gather_add(struct sp_gather *whole, struct sp_gather *part, const struct sp_labels *own)
{
    for (int k = 0; k < SP_SUBJECT_KINDS; k++)
        for (size_t i = 0; i < part->subjects[k].len; i++)
            add_subject(whole, k, subject_at(part, k, i));
    for (int i = 0; i < SP_WORKER_FIGURES; i++)
        whole->worker_values[i] += part->worker_values[i];
    for (int i = 0; i < SP_WHY_COUNT; i++)
        whole->why[i] += part->why[i];
    add_series(whole, part->worker_series, own);
    whole->workers += part->workers;
    whole->failed |= part->failed;
}

static int by_name(const void *a, const void *b)
{
    return sp_str_cmp((*(struct sp_subject *const *)a)->name, (*(struct sp_subject *const *)b)->name);
}

static int by_labels(const void *a, const void *b)
{
    const struct sp_gather_series *x = *(struct sp_gather_series *const *)a,
                                  *y = *(struct sp_gather_series *const *)b;
    int order = sp_str_cmp(x->labels, y->labels);
    return order ? order : sp_str_cmp(x->code, y->code);
}

void sp_gather_seal(struct sp_gather *whole)
{
    for (int k = 0; k < SP_SUBJECT_KINDS; k++)
        if (whole->subjects[k].len)
            qsort(whole->subjects[k].items, whole->subjects[k].len, sizeof(struct sp_subject *), by_name);
    if (whole->series.len)
        qsort(whole->series.items, whole->series.len, sizeof(struct sp_gather_series *), by_labels);
    for (size_t i = 0; i < whole->subjects[SP_SUBJECT_CLUSTER].len; i++) {
        struct sp_subject *s = subject_at(whole, SP_SUBJECT_CLUSTER, i);
        s->healthy = 0;
        for (const struct sp_gather_endpoint *ep = s->endpoints; ep; ep = ep->next)
            s->healthy += ep->view.healthy;
    }
}

static uint64_t less(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0; /* a subject that left and came back counts from nothing */
}

static void subtract_series(struct sp_gather *whole, const struct sp_gather *base)
{
    for (size_t i = 0; i < whole->series.len; i++) {
        struct sp_gather_series *s = *(struct sp_gather_series **)sp_vec_at(&whole->series, i);
        const struct sp_gather_series *b = sp_map_get(&base->series_by_labels,
                                                      sp_str_of(s->labels.ptr, s->labels.len + s->code.len));
        if (!b)
            continue;
        s->requests = less(s->requests, b->requests);
        s->tcp_opened = less(s->tcp_opened, b->tcp_opened);
        s->tcp_closed = less(s->tcp_closed, b->tcp_closed);
        s->tcp_sent = less(s->tcp_sent, b->tcp_sent);
        s->tcp_received = less(s->tcp_received, b->tcp_received);
    }
}

void sp_gather_subtract(struct sp_gather *whole, const struct sp_gather *base)
{
    for (int k = 0; k < SP_SUBJECT_KINDS; k++)
        for (size_t i = 0; i < whole->subjects[k].len; i++) {
            struct sp_subject *s = subject_at(whole, k, i);
            const struct sp_subject *b = sp_map_get(&base->by_name[k], s->name);
            for (uint32_t v = 0; b && v < kinds[k].count; v++)
                if (!kinds[k].names[v].gauge)
                    s->values[v] = less(s->values[v], b->values[v]);
        }
    for (int i = 0; i < SP_WORKER_FIGURES; i++)
        if (!sp_worker_figures[i].gauge)
            whole->worker_values[i] = less(whole->worker_values[i], base->worker_values[i]);
    for (int i = 0; i < SP_WHY_COUNT; i++)
        whole->why[i] = less(whole->why[i], base->why[i]);
    subtract_series(whole, base);
}
