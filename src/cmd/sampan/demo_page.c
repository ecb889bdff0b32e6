/* demo_page: who calls whom, with rate, errors and time, read from the sidecars' Prometheus pages, as any
 * dashboard would read them: nothing here knows a sidecar from the inside.
 *
 * An edge is (reporter's workload, destination service, protocol). Its figures are sums over all series that
 * agree in these; what is shown is the difference to the page before. Quantiles are interpolated inside the
 * histogram's buckets, as Prometheus does.
 *
 *      caller   service   protocol    calls/s   errors      p50      p99
 *      load     front     http           99.8    0.9 %   3.1 ms   9.8 ms   */
#include "cmd/sampan/demo.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { EDGES_MAX = 32, BOUNDS_MAX = 32, NAME_BYTES = 64 };

struct figures {
    double calls, errors, count;
    double at[BOUNDS_MAX]; /* cumulative, as the page says it */
};

struct edge {
    char caller[NAME_BYTES], service[NAME_BYTES], protocol[NAME_BYTES];
    enum demo_service page; /* whose page told */
    struct figures now, before;
};

struct demo_page {
    struct edge edges[EDGES_MAX];
    unsigned count;
    double bounds_ms[BOUNDS_MAX];
    unsigned bound_count;
};

struct demo_page *demo_page_new(void)
{
    return sp_mem_zalloc(sizeof(struct demo_page));
}

void demo_page_free(struct demo_page *page)
{
    sp_mem_free(page);
}

/* ---- reading a page ---- */

/* The value of a label in `name="value",...`; empty when absent. */
static sp_str label(sp_str labels, const char *name)
{
    size_t n = strlen(name);
    for (size_t at = 0; at + n + 2 < labels.len; at++) {
        bool starts = at == 0 || labels.ptr[at - 1] == ',' || labels.ptr[at - 1] == ' ';
        if (!starts || memcmp(labels.ptr + at, name, n) != 0 || labels.ptr[at + n] != '=')
            continue;
        sp_str rest = sp_str_from(labels, at + n + 2);
        return sp_str_upto(rest, sp_str_find(rest, '"'));
    }
    return SP_STR("");
}

static void set_name(char *to, sp_str from)
{
    size_t n = SP_MIN(from.len, (size_t)NAME_BYTES - 1);
    memcpy(to, from.ptr, n);
    to[n] = '\0';
}

static struct edge *edge_for(struct demo_page *page, enum demo_service which, sp_str labels)
{
    char caller[NAME_BYTES], service[NAME_BYTES], protocol[NAME_BYTES];
    bool inbound = sp_str_eq(label(labels, "reporter"), SP_STR("destination"));
    if (inbound && which != DEMO_FRONT)
        return NULL; /* the caller's sidecar has told of the same calls */
    set_name(caller, inbound ? SP_STR("load") : label(labels, "source_workload"));
    set_name(service, label(labels, "destination_service_name"));
    set_name(protocol, label(labels, "request_protocol"));
    for (unsigned i = 0; i < page->count; i++) {
        struct edge *e = &page->edges[i];
        if (e->page == which && !strcmp(e->caller, caller) && !strcmp(e->service, service) &&
            !strcmp(e->protocol, protocol))
            return e;
    }
    if (page->count == EDGES_MAX)
        return NULL;
    struct edge *e = &page->edges[page->count++];
    memset(e, 0, sizeof(*e));
    e->page = which;
    memcpy(e->caller, caller, NAME_BYTES);
    memcpy(e->service, service, NAME_BYTES);
    memcpy(e->protocol, protocol, NAME_BYTES);
    return e;
}

static int bound_index(struct demo_page *page, sp_str le)
{
    char text[32];
    set_name(text, sp_str_upto(le, sizeof(text) - 1));
    double bound = !strcmp(text, "+Inf") ? 1e300 : strtod(text, NULL);
    for (unsigned i = 0; i < page->bound_count; i++)
        if (page->bounds_ms[i] == bound)
            return (int)i;
    if (page->bound_count == BOUNDS_MAX)
        return -1;
    page->bounds_ms[page->bound_count] = bound;
    return (int)page->bound_count++;
}

static bool is_error(sp_str labels)
{
    sp_str code = label(labels, "response_code");
    return (code.len == 3 && code.ptr[0] == '5') || sp_str_eq(label(labels, "app_error"), SP_STR("true"));
}

static void take_sample(struct demo_page *page, enum demo_service which, sp_str name, sp_str labels,
                        double value)
{
    bool total = sp_str_eq(name, SP_STR("istio_requests_total"));
    bool bucket = sp_str_eq(name, SP_STR("istio_request_duration_milliseconds_bucket"));
    if (!total && !bucket)
        return;
    struct edge *e = edge_for(page, which, labels);
    if (!e)
        return;
    if (total) {
        e->now.calls += value;
        e->now.errors += is_error(labels) ? value : 0;
        return;
    }
    int at = bound_index(page, label(labels, "le"));
    if (at >= 0)
        e->now.at[at] += value;
}

void demo_page_feed(struct demo_page *page, enum demo_service which, sp_str prometheus)
{
    for (unsigned i = 0; i < page->count; i++)
        if (page->edges[i].page == which)
            memset(&page->edges[i].now, 0, sizeof(page->edges[i].now));
    while (prometheus.ptr) {
        sp_str line = sp_str_cut(&prometheus, '\n');
        size_t open = sp_str_find(line, '{'), close = sp_str_find_last(line, '}');
        if (line.len == 0 || line.ptr[0] == '#' || open >= close || close >= line.len)
            continue;
        char number[32];
        set_name(number, sp_str_upto(sp_str_trim(sp_str_from(line, close + 1)), sizeof(number) - 1));
        sp_str labels = { line.ptr + open + 1, close - open - 1 };
        take_sample(page, which, sp_str_upto(line, open), labels, strtod(number, NULL));
    }
}

/* ---- showing ---- */

static double quantile_ms(const struct demo_page *page, const struct edge *e, double share)
{
    unsigned n = page->bound_count;
    double all = n ? e->now.at[n - 1] - e->before.at[n - 1] : 0, below = 0, from = 0;
    if (all <= 0)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        double upto = e->now.at[i] - e->before.at[i];
        if (upto >= all * share && upto > below) {
            double top = page->bounds_ms[i] > 1e200 ? from * 2 : page->bounds_ms[i];
            return from + (top - from) * (all * share - below) / (upto - below);
        }
        below = upto;
        from = page->bounds_ms[i];
    }
    return from;
}

static void show_row(struct demo_page *page, struct edge *e, struct sp_buf *out, double seconds, bool screen,
                     bool colour)
{
    double calls = e->now.calls - e->before.calls, errors = e->now.errors - e->before.errors;
    double percent = calls > 0 ? 100 * errors / calls : 0;
    double p50 = quantile_ms(page, e, 0.50), p99 = quantile_ms(page, e, 0.99);
    const char *red = colour && percent > 0 ? "\033[33m" : "", *plain = colour ? "\033[0m" : "";
    if (screen)
        sp_buf_printf(out, "  %-10s %-10s %-8s %9.1f   %s%6.2f %%%s %9.2f ms %9.2f ms\n", e->caller,
                      e->service, e->protocol, calls / seconds, red, percent, plain, p50, p99);
    else
        sp_buf_printf(out, "  %s>%s %s %.1f/s err=%.2f%% p50=%.2fms p99=%.2fms", e->caller, e->service,
                      e->protocol, calls / seconds, percent, p50, p99);
    e->before = e->now;
}

void demo_page_show(struct demo_page *page, struct sp_buf *out, double seconds, bool screen, bool colour)
{
    if (screen)
        sp_buf_printf(out, "%s  %-10s %-10s %-8s %9s   %8s %12s %12s%s\n", colour ? "\033[1m" : "", "caller",
                      "service", "protocol", "calls/s", "errors", "p50", "p99", colour ? "\033[0m" : "");
    for (unsigned i = 0; i < page->count; i++)
        show_row(page, &page->edges[i], out, seconds, screen, colour);
}
