/* prom: figures as Prometheus reads them.
 *
 * Two families of names, because two kinds of dashboards exist: Envoy's (envoy_cluster_upstream_rq_total
 * with the cluster as a label) and Istio's (istio_requests_total with who called whom). The first come from
 * cells, by the tables that stand beside the cells; the second from series. What neither knows is ours:
 * sampan_*.
 *
 *      stage   CELLS     a family for each cell of clusters, chains, listeners, a line for each subject
 *              TIMES     their histograms
 *              MEMBERS   endpoints of clusters
 *              WORKER    the workers' own figures, and the reasons
 *              PROCESS   server, process
 *              ISTIO     series
 *
 * The format wants all lines of a family together, so the outer walk goes by family and the inner one by
 * subject. A family's head is printed in one step with its first line; how much of the page is out by then
 * is nothing that a step can see. Counters that Envoy names by class (upstream_rq_2xx) become one family with
 * a label, as Envoy's own page has it.
 *
 * A histogram of ours knows values to an eighth; a bucket that straddles a bound counts above it. The count
 * is the sum of the buckets, so that the lines of one histogram never contradict each other. */
#include "observe/admin_impl.h"

#include "io/file.h"
#include "base/mem.h"
#include "observe/accesslog.h"
#include "observe/text_impl.h"

enum stage { STAGE_CELLS, STAGE_TIMES, STAGE_MEMBERS, STAGE_WORKER, STAGE_PROCESS, STAGE_ISTIO, STAGES };

static void family(struct sp_buf *out, const char *prefix, const char *name, const char *help,
                   const char *type)
{
    sp_buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, type);
}

static struct sp_subject *subject_at(const struct sp_page *page, enum sp_subject_kind kind, size_t i)
{
    return *(struct sp_subject **)sp_vec_at(&page->gather->subjects[kind], i);
}

/* "upstream_rq_2xx" -> 2; 0 for all others. */
static int class_of(const char *name)
{
    size_t len = strlen(name);
    if (len < 4 || strcmp(name + len - 2, "xx") != 0 || name[len - 4] != '_')
        return 0;
    return name[len - 3] >= '1' && name[len - 3] <= '5' ? name[len - 3] - '0' : 0;
}

/* ---- cells ---- */

static void class_lines(struct sp_buf *out, const struct sp_subject_kind_info *kind,
                        const struct sp_subject *s, uint32_t row)
{
    int stem = (int)strlen(kind->names[row].name) - 3;
    for (uint32_t i = row; i < kind->count && class_of(kind->names[i].name) == (int)(i - row) + 1; i++) {
        sp_buf_printf(out, "%s%.*sxx{envoy_response_code_class=\"%u\",%s=\"", kind->prom_prefix, stem,
                      kind->names[row].name, i - row + 1, kind->label);
        sp_text_label(out, s->name);
        sp_buf_printf(out, "\"} %llu\n", (unsigned long long)s->values[i]);
    }
}

static void cell_line(struct sp_buf *out, const struct sp_subject_kind_info *kind, const struct sp_subject *s,
                      uint32_t row)
{
    sp_buf_printf(out, "%s%s{%s=\"", kind->prom_prefix, kind->names[row].name, kind->label);
    sp_text_label(out, s->name);
    sp_buf_add_c(out, "\"} ");
    sp_buf_add_u64(out, s->values[row]);
    sp_buf_add_char(out, '\n');
}

static void cell_family(struct sp_buf *out, const struct sp_subject_kind_info *kind, uint32_t row)
{
    const struct sp_cell_name *name = &kind->names[row];
    char stem[80];
    struct sp_buf text;
    sp_buf_init_fixed(&text, stem, sizeof(stem));
    if (class_of(name->name) == 1)
        sp_buf_printf(&text, "%.*sxx", (int)strlen(name->name) - 3, name->name);
    else
        sp_buf_add_c(&text, name->name);
    sp_buf_add_char(&text, '\0');
    family(out, kind->prom_prefix, stem,
           class_of(name->name) ? "calls by the class of their status" : name->help,
           name->gauge ? "gauge" : "counter");
}

/* One of the `count` lines of this row has been printed, or there is none: the next one, or the next row. */
static void next_line(struct sp_page *page, size_t count)
{
    if (++page->item >= count) {
        page->row++;
        page->item = 0;
    }
}

/* The rows of all kinds one behind the other; page->row counts through. */
static bool cells(struct sp_page *page, struct sp_buf *out)
{
    uint32_t row = page->row;
    int k = 0;
    while (k < SP_SUBJECT_KINDS && row >= sp_subject_kind_info(k)->count)
        row -= sp_subject_kind_info(k++)->count;
    if (k == SP_SUBJECT_KINDS)
        return false;
    const struct sp_subject_kind_info *kind = sp_subject_kind_info(k);
    int class = class_of(kind->names[row].name);
    size_t count = class > 1 ? 0 : page->gather->subjects[k].len; /* said with the first class */
    if (count && page->item == 0)
        cell_family(out, kind, row);
    if (count && class)
        class_lines(out, kind, subject_at(page, k, page->item), row);
    else if (count)
        cell_line(out, kind, subject_at(page, k, page->item), row);
    next_line(page, count);
    return true;
}

/* ---- histograms ---- */

static void time_head(struct sp_buf *out, const struct sp_subject_kind_info *kind, const struct sp_subject *s,
                      const char *what)
{
    sp_buf_printf(out, "%s%s_%s{%s=\"", kind->prom_prefix, kind->time_name, what, kind->label);
    sp_text_label(out, s->name);
    sp_buf_add_char(out, '"');
}

static void time_lines(struct sp_buf *out, const struct sp_subject_kind_info *kind,
                       const struct sp_subject *s)
{
    uint64_t all = sp_hist_count_upto(&s->time_ns, UINT64_MAX);
    for (int i = 0; i <= SP_FOLD_BOUNDS; i++) {
        bool last = i == SP_FOLD_BOUNDS;
        uint64_t n = last ? all : sp_hist_count_upto(&s->time_ns, sp_fold_bound_milli[i] * 1000);
        time_head(out, kind, s, "bucket");
        sp_buf_printf(out, ",le=\"%s\"} %llu\n", last ? "+Inf" : sp_fold_bound_text[i],
                      (unsigned long long)n);
    }
    time_head(out, kind, s, "sum");
    sp_buf_printf(out, "} %llu\n", (unsigned long long)(sp_cell_get(&s->time_ns.sum) / 1000000));
    time_head(out, kind, s, "count");
    sp_buf_printf(out, "} %llu\n", (unsigned long long)all);
}

static bool times(struct sp_page *page, struct sp_buf *out)
{
    if (page->row == SP_SUBJECT_KINDS)
        return false;
    const struct sp_subject_kind_info *kind = sp_subject_kind_info(page->row);
    size_t count = kind->time_name ? page->gather->subjects[page->row].len : 0;
    if (count && page->item == 0)
        family(out, kind->prom_prefix, kind->time_name, "whole calls, in milliseconds", "histogram");
    if (count)
        time_lines(out, kind, subject_at(page, page->row, page->item));
    next_line(page, count);
    return true;
}

/* ---- members ---- */

static bool members(struct sp_page *page, struct sp_buf *out)
{
    static const char *const names[] = { "membership_total", "membership_healthy" };
    static const char *const helps[] = { "endpoints", "endpoints that may be used" };
    size_t count = page->gather->subjects[SP_SUBJECT_CLUSTER].len;
    if (page->row == SP_COUNTOF(names))
        return false;
    if (count && page->item == 0)
        family(out, "envoy_cluster_", names[page->row], helps[page->row], "gauge");
    if (count) {
        const struct sp_subject *s = subject_at(page, SP_SUBJECT_CLUSTER, page->item);
        sp_buf_printf(out, "envoy_cluster_%s{envoy_cluster_name=\"", names[page->row]);
        sp_text_label(out, s->name);
        sp_buf_printf(out, "\"} %u\n", page->row ? s->healthy : s->total);
    }
    next_line(page, count);
    return true;
}

/* ---- one each ---- */

static bool worker_figures(struct sp_page *page, struct sp_buf *out)
{
    for (int i = 0; i < SP_WORKER_FIGURES; i++) {
        const struct sp_worker_figure *f = &sp_worker_figures[i];
        family(out, "sampan_", f->name, f->help, f->gauge ? "gauge" : "counter");
        sp_buf_printf(out, "sampan_%s %llu\n", f->name, (unsigned long long)page->gather->worker_values[i]);
    }
    family(out, "sampan_", "reason_total",
           "calls and connections by the reason for what was done to them; docs/reasons.md", "counter");
    for (int i = 1; i < SP_WHY_COUNT; i++)
        sp_buf_printf(out, "sampan_reason_total{reason=\"%s\"} %llu\n", sp_why_row(i)->code,
                      (unsigned long long)page->gather->why[i]);
    return false;
}

static void one(struct sp_buf *out, const char *name, const char *help, const char *type, uint64_t value)
{
    family(out, "", name, help, type);
    sp_buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void lightsdk(struct sp_buf *out, const struct sp_admin_lightsdk *sdk)
{
    one(out, "sampan_lightsdk_applications", "applications that told their name to the light SDK's door",
        "gauge", sdk->applications);
    one(out, "sampan_lightsdk_publications", "services that applications publish there", "gauge",
        sdk->publications);
    one(out, "sampan_lightsdk_subscriptions", "services that applications subscribe to there", "gauge",
        sdk->subscriptions);
    one(out, "sampan_lightsdk_kept_bytes", "memory for what is kept of them", "gauge", sdk->kept_bytes);
    one(out, "sampan_lightsdk_requests_total", "requests of light SDKs", "counter", sdk->requests);
    one(out, "sampan_lightsdk_wrong_total", "requests of light SDKs that break the interface", "counter",
        sdk->wrong);
    one(out, "sampan_lightsdk_limited_total", "requests of light SDKs that a limit refused", "counter",
        sdk->limited);
}

static bool process(struct sp_page *page, struct sp_buf *out)
{
    struct sp_admin *admin = page->admin;
    const struct sp_admin_config *config = &admin->config;
    uint64_t cpu_us = sp_proc_cpu_ns() / 1000;
    sp_ns up_ns = sp_loop_now(admin->loop) - admin->started_ns;
    struct sp_http_server_view view = sp_http_server_view(admin->server);
    bool live = config->ops->state(config->arg) == SP_ADMIN_LIVE;
    one(out, "envoy_server_live", "1 while calls are taken, 0 while starting or draining", "gauge", live);
    one(out, "envoy_server_uptime", "seconds since the start", "gauge", up_ns / SP_NS_PER_S);
    one(out, "envoy_server_concurrency", "workers", "gauge", config->workers);
    one(out, "envoy_server_memory_allocated", "bytes allocated and not freed", "gauge", sp_mem_used_bytes());
    one(out, "sampan_workers_answered", "workers whose figures are in this page", "gauge",
        page->gather->workers);
    one(out, "sampan_admin_connections", "connections to admin", "gauge", view.connections);
    one(out, "sampan_admin_requests_total", "requests to admin", "counter",
        admin->before_requests + view.requests);
    one(out, "sampan_admin_refused_total", "connections to admin beyond their limit", "counter",
        admin->before_refused + view.refused);
    if (config->accesslog) {
        struct sp_accesslog_view log = sp_accesslog_view(config->accesslog);
        one(out, "sampan_access_log_lines_total", "lines written", "counter", log.lines);
        one(out, "sampan_access_log_lost_total", "records that no line was written of", "counter", log.lost);
        one(out, "sampan_access_log_lost_bytes_total", "bytes that a file did not take", "counter",
            log.lost_bytes);
        one(out, "sampan_access_log_errors_total", "times that a file could not be opened, at first or anew",
            "counter", log.errors);
    }
    struct sp_admin_lightsdk sdk;
    if (sp_admin_lightsdk(admin, &sdk))
        lightsdk(out, &sdk);
    family(out, "", "process_cpu_seconds_total", "processor time, of the user and the system", "counter");
    sp_buf_printf(out, "process_cpu_seconds_total %llu.%06llu\n", (unsigned long long)(cpu_us / 1000000),
                  (unsigned long long)(cpu_us % 1000000));
    one(out, "process_resident_memory_bytes", "memory that is there", "gauge", sp_proc_rss_bytes());
    one(out, "process_open_fds", "open descriptors", "gauge", sp_proc_open_files());
    one(out, "process_start_time_seconds", "when the process began, in seconds since 1970", "gauge",
        admin->started_wall_ns / SP_NS_PER_S);
    family(out, "", "istio_build", "what this is", "gauge");
    sp_buf_printf(out, "istio_build{component=\"proxy\",tag=\"sampan-%s\"} 1\n", SP_VERSION);
    return false;
}

/* ---- Istio ---- */

struct istio {
    const char *name, *help;
    uint16_t offset;
    bool tcp, hist;
};

#define COUNTER(name, help, field, tcp)                                                                      \
    {                                                                                                        \
        name, help, offsetof(struct sp_gather_series, field), tcp, false                                     \
    }
#define HISTOGRAM(name, help, field)                                                                         \
    {                                                                                                        \
        name, help, offsetof(struct sp_gather_series, field), false, true                                    \
    }

static const struct istio families[] = {
    COUNTER("istio_requests_total", "calls", requests, false),
    HISTOGRAM("istio_request_duration_milliseconds", "whole calls", duration_ms),
    HISTOGRAM("istio_request_bytes", "bodies of requests", request_bytes),
    HISTOGRAM("istio_response_bytes", "bodies of answers", response_bytes),
    COUNTER("istio_tcp_connections_opened_total", "connections begun", tcp_opened, true),
    COUNTER("istio_tcp_connections_closed_total", "connections ended", tcp_closed, true),
    COUNTER("istio_tcp_sent_bytes_total", "bytes to the caller", tcp_sent, true),
    COUNTER("istio_tcp_received_bytes_total", "bytes from the caller", tcp_received, true),
};

static void series_hist(struct sp_buf *out, const struct istio *f, const struct sp_gather_series *s)
{
    const struct sp_fold *fold = (const struct sp_fold *)(const void *)((const char *)s + f->offset);
    uint64_t sum = 0;
    for (int i = 0; i <= SP_FOLD_BOUNDS; i++) {
        bool last = i == SP_FOLD_BOUNDS;
        sum = last ? fold->count : sum + fold->at[i];
        sp_buf_printf(out, "%s_bucket{", f->name);
        sp_buf_add_str(out, s->labels);
        sp_buf_add_str(out, s->code);
        sp_buf_printf(out, ",le=\"%s\"} %llu\n", last ? "+Inf" : sp_fold_bound_text[i],
                      (unsigned long long)sum);
    }
    const uint64_t ends[] = { fold->sum, fold->count };
    for (int i = 0; i < 2; i++) {
        sp_buf_printf(out, "%s_%s{", f->name, i ? "count" : "sum");
        sp_buf_add_str(out, s->labels);
        sp_buf_add_str(out, s->code);
        sp_buf_printf(out, "} %llu\n", (unsigned long long)ends[i]);
    }
}

static void series_counter(struct sp_buf *out, const struct istio *f, const struct sp_gather_series *s)
{
    uint64_t value = *(const uint64_t *)(const void *)((const char *)s + f->offset);
    sp_buf_printf(out, "%s{", f->name);
    sp_buf_add_str(out, s->labels);
    sp_buf_add_str(out, s->code);
    sp_buf_printf(out, "} %llu\n", (unsigned long long)value);
}

static bool istio(struct sp_page *page, struct sp_buf *out)
{
    if (page->row == SP_COUNTOF(families))
        return false;
    const struct istio *f = &families[page->row];
    const struct sp_vec *all = &page->gather->series;
    const struct sp_gather_series *s = NULL; /* the next that the family has; others are not its kind */
    while (page->item < all->len && !s) {
        s = *(struct sp_gather_series **)sp_vec_at(all, page->item++);
        if (f->tcp != (s->code.len == 0))
            s = NULL;
    }
    if (!s) {
        page->row++;
        page->item = 0;
        page->began = false;
        return true;
    }
    if (!page->began)
        family(out, "", f->name, f->help, f->hist ? "histogram" : "counter");
    page->began = true;
    if (f->hist)
        series_hist(out, f, s);
    else
        series_counter(out, f, s);
    return true;
}

static bool step(struct sp_page *page, struct sp_buf *out)
{
    static bool (*const stages[STAGES])(struct sp_page * page, struct sp_buf * out) = {
        [STAGE_CELLS] = cells,           [STAGE_TIMES] = times,     [STAGE_MEMBERS] = members,
        [STAGE_WORKER] = worker_figures, [STAGE_PROCESS] = process, [STAGE_ISTIO] = istio,
    };
    if (page->stage == STAGES)
        return false;
    if (stages[page->stage](page, out))
        return true;
    page->stage++;
    page->row = 0;
    page->item = 0;
    return true;
}

static void on_gathered(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather)
{
    sp_page_start(sp_page_new(admin, gather, step), call, "text/plain; version=0.0.4; charset=utf-8");
}

void sp_admin_prometheus(void *arg, struct sp_http_call *call)
{
    sp_admin_gather(arg, call, on_gathered);
}
