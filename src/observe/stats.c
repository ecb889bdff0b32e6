/* stats: /stats, the figures as people read them: `name: value`, a line each, or JSON.
 *
 *      cluster.reviews.upstream_rq_total: 42          from cells, by the tables beside the cells
 *      cluster.reviews.upstream_rq_time: P0(nan,1) P25(nan,2) ...
 *      listener.127.0.0.1_8080.downstream_cx_active: 3
 *      server.uptime: 7     sampan.reason.NO_ROUTE: 1
 *
 *      {"stats":[{"name":"server.uptime","value":7}, ... {"histograms":{"supported_quantiles":[0,25,...],
 *        "computed_quantiles":[{"name":"cluster...upstream_rq_time",
 *          "values":[{"interval":null,"cumulative":1.25}, ...]}]}}]}
 *
 * Parameters are Envoy's: `filter` is a regular expression that is looked for anywhere in the name (RE2's
 * syntax, the work for a match is bounded), `usedonly` leaves zeros out, `format=json` makes
 * Envoy's JSON. A histogram's first number is Envoy's figure of the last interval, which is not kept here,
 * hence nan and null; the second is since the start, in milliseconds. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "io/file.h"
#include "model/regex.h"
#include "observe/accesslog.h"

enum stage { STAGE_CELLS, STAGE_SERVER, STAGE_HISTOGRAMS, STAGES };

enum { NAME_BYTES = 1024, QUANTILES = 10 };

static const uint32_t permilles[QUANTILES] = { 0, 250, 500, 750, 900, 950, 990, 995, 999, 1000 };
static const char *const percents[QUANTILES] = { "0",  "25", "50",   "75",   "90",
                                                 "95", "99", "99.5", "99.9", "100" };

static bool is_wanted(const struct sp_page *page, sp_str name)
{
    bool hit = true;
    if (page->filter && sp_regex_match(page->filter, name, &hit))
        return false; /* the expression reached its limit: what cannot be decided is not shown */
    return hit;
}

static void value_line(struct sp_page *page, struct sp_buf *out, sp_str name, uint64_t value)
{
    if ((page->only_used && !value) || !is_wanted(page, name))
        return;
    if (page->json) { /* JSON */
        sp_buf_add_c(out, page->began ? ",{\"name\":" : "{\"name\":");
        sp_buf_add_json(out, name);
        sp_buf_printf(out, ",\"value\":%llu}", (unsigned long long)value);
        page->began = true;
        return;
    }
    for (size_t i = 0; i < name.len; i++) /* a name may be a peer's: it gets one line */
        sp_buf_add_char(out, (unsigned char)name.ptr[i] < 0x20 ? '_' : name.ptr[i]);
    sp_buf_printf(out, ": %llu\n", (unsigned long long)value);
}

static void add_quantile(struct sp_buf *out, const struct sp_hist *hist, uint32_t permille)
{
    uint64_t us = sp_hist_quantile(hist, permille) / 1000;
    sp_buf_printf(out, "%llu.%03llu", (unsigned long long)(us / 1000), (unsigned long long)(us % 1000));
}

static void time_line(struct sp_page *page, struct sp_buf *out, sp_str name, const struct sp_hist *hist)
{
    if (page->json || !sp_cell_get(&hist->count) || !is_wanted(page, name))
        return; /* JSON has them behind everything else */
    for (size_t i = 0; i < name.len; i++)
        sp_buf_add_char(out, (unsigned char)name.ptr[i] < 0x20 ? '_' : name.ptr[i]);
    sp_buf_add_char(out, ':');
    for (size_t i = 0; i < QUANTILES; i++) {
        sp_buf_printf(out, " P%s(nan,", percents[i]);
        add_quantile(out, hist, permilles[i]);
        sp_buf_add_char(out, ')');
    }
    sp_buf_add_char(out, '\n');
}

/* The next of the page's row; NULL: it has no more, or none is wanted, and the next row begins. */
static const struct sp_subject *next_subject(struct sp_page *page, bool wanted)
{
    struct sp_vec *row = &page->gather->subjects[page->row];
    if (wanted && page->item < row->len)
        return *(struct sp_subject **)sp_vec_at(row, page->item++);
    page->row++;
    page->item = 0;
    return NULL;
}

/* All lines of one subject. */
static bool cells(struct sp_page *page, struct sp_buf *out)
{
    if (page->row == SP_SUBJECT_KINDS)
        return false;
    const struct sp_subject_kind_info *kind = sp_subject_kind_info(page->row);
    const struct sp_subject *s = next_subject(page, true);
    if (!s)
        return true;
    char storage[NAME_BYTES];
    struct sp_buf name;
    sp_buf_init_fixed(&name, storage, sizeof(storage));
    sp_buf_add_c(&name, kind->text_prefix);
    sp_buf_add_str(&name, sp_str_upto(s->name, NAME_BYTES - 128));
    sp_buf_add_char(&name, '.');
    size_t stem = name.len;
    for (uint32_t i = 0; i < kind->count; i++) {
        name.len = stem;
        sp_buf_add_c(&name, kind->names[i].name);
        value_line(page, out, sp_buf_str(&name), s->values[i]);
    }
    name.len = stem;
    if (page->row == SP_SUBJECT_CLUSTER) {
        sp_buf_add_c(&name, "membership_total");
        value_line(page, out, sp_buf_str(&name), s->total);
        name.len = stem;
        sp_buf_add_c(&name, "membership_healthy");
        value_line(page, out, sp_buf_str(&name), s->healthy);
        name.len = stem;
    }
    if (kind->time_name) {
        sp_buf_add_c(&name, kind->time_name);
        time_line(page, out, sp_buf_str(&name), &s->time_ns);
    }
    return true;
}

static void named(struct sp_page *page, struct sp_buf *out, const char *prefix, const char *name,
                  uint64_t value)
{
    char storage[NAME_BYTES];
    struct sp_buf full;
    sp_buf_init_fixed(&full, storage, sizeof(storage));
    sp_buf_printf(&full, "%s%s", prefix, name);
    value_line(page, out, sp_buf_str(&full), value);
}

static bool server(struct sp_page *page, struct sp_buf *out)
{
    struct sp_admin *admin = page->admin;
    const struct sp_admin_config *config = &admin->config;
    for (int i = 1; i < SP_WHY_COUNT; i++)
        named(page, out, "sampan.reason.", sp_why_row(i)->code, page->gather->why[i]);
    for (int i = 0; i < SP_WORKER_FIGURES; i++)
        named(page, out, "sampan.", sp_worker_figures[i].name, page->gather->worker_values[i]);
    if (config->accesslog) {
        struct sp_accesslog_view log = sp_accesslog_view(config->accesslog);
        named(page, out, "sampan.access_log.", "lines", log.lines);
        named(page, out, "sampan.access_log.", "lost", log.lost);
        named(page, out, "sampan.access_log.", "lost_bytes", log.lost_bytes);
        named(page, out, "sampan.access_log.", "errors", log.errors);
    }
    struct sp_admin_lightsdk sdk;
    if (sp_admin_lightsdk(admin, &sdk)) {
        named(page, out, "sampan.lightsdk.", "applications", sdk.applications);
        named(page, out, "sampan.lightsdk.", "publications", sdk.publications);
        named(page, out, "sampan.lightsdk.", "subscriptions", sdk.subscriptions);
        named(page, out, "sampan.lightsdk.", "kept_bytes", sdk.kept_bytes);
        named(page, out, "sampan.lightsdk.", "requests", sdk.requests);
        named(page, out, "sampan.lightsdk.", "wrong", sdk.wrong);
        named(page, out, "sampan.lightsdk.", "limited", sdk.limited);
    }
    named(page, out, "server.", "concurrency", config->workers);
    named(page, out, "server.", "live", config->ops->state(config->arg) == SP_ADMIN_LIVE);
    named(page, out, "server.", "memory_allocated", sp_mem_used_bytes());
    named(page, out, "server.", "uptime", (sp_loop_now(admin->loop) - admin->started_ns) / SP_NS_PER_S);
    return false;
}

/* ---- histograms in JSON ---- */

static void histograms_head(struct sp_page *page, struct sp_buf *out)
{
    sp_buf_add_c(out, page->began ? ",{\"histograms\":{\"supported_quantiles\":["
                                  : "{\"histograms\":{\"supported_quantiles\":[");
    for (size_t i = 0; i < QUANTILES; i++)
        sp_buf_printf(out, "%s%s", i ? "," : "", percents[i]);
    sp_buf_add_c(out, "],\"computed_quantiles\":[");
}

/* What has seen no value yet is there, as Envoy has it, and its quantiles are null. */
static void histogram(struct sp_page *page, struct sp_buf *out, sp_str name, const struct sp_hist *hist)
{
    bool used = sp_cell_get(&hist->count) > 0;
    if ((page->only_used && !used) || !is_wanted(page, name))
        return;
    if (page->has_histograms)
        sp_buf_add_char(out, ',');
    else
        histograms_head(page, out);
    page->has_histograms = true;
    sp_buf_add_c(out, "{\"name\":");
    sp_buf_add_json(out, name);
    sp_buf_add_c(out, ",\"values\":[");
    for (size_t i = 0; i < QUANTILES; i++) {
        sp_buf_add_c(out, i ? ",{\"interval\":null,\"cumulative\":" : "{\"interval\":null,\"cumulative\":");
        if (used)
            add_quantile(out, hist, permilles[i]);
        else
            sp_buf_add_c(out, "null");
        sp_buf_add_char(out, '}');
    }
    sp_buf_add_c(out, "]}");
}

static bool histograms(struct sp_page *page, struct sp_buf *out)
{
    if (!page->json || page->row == SP_SUBJECT_KINDS) {
        sp_buf_add_c(out, page->has_histograms ? "]}}" : "");
        return false;
    }
    const struct sp_subject_kind_info *kind = sp_subject_kind_info(page->row);
    const struct sp_subject *s = next_subject(page, kind->time_name != NULL);
    if (!s)
        return true;
    char storage[NAME_BYTES];
    struct sp_buf name;
    sp_buf_init_fixed(&name, storage, sizeof(storage));
    sp_buf_printf(&name, "%s%.*s.%s", kind->text_prefix, SP_STR_ARG(sp_str_upto(s->name, NAME_BYTES - 128)),
                  kind->time_name);
    histogram(page, out, sp_buf_str(&name), &s->time_ns);
    return true;
}

static bool step(struct sp_page *page, struct sp_buf *out)
{
    static bool (*const stages[STAGES])(struct sp_page * page, struct sp_buf * out) = {
        [STAGE_CELLS] = cells, [STAGE_SERVER] = server, [STAGE_HISTOGRAMS] = histograms
    };
    if (page->stage == STAGES) {
        if (page->json)
            sp_buf_add_c(out, "]}\n");
        return false;
    }
    if (page->json && page->stage == 0 && page->row == 0 && page->item == 0)
        sp_buf_add_c(out, "{\"stats\":[");
    if (stages[page->stage](page, out))
        return true;
    page->stage++;
    page->row = 0;
    page->item = 0;
    return true;
}

/* Looked for anywhere, as Envoy does: sp_regex matches whole strings. */
static sp_err compile(sp_str text, struct sp_regex **ret_regex, char *why, size_t why_bytes)
{
    struct sp_arena arena;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    const char *words = sp_err_str(SP_E_NOMEM);
    char *pattern = sp_arena_printf(&arena, "(?s).*(?:%.*s).*", SP_STR_ARG(text));
    struct sp_regex *alone; /* whose faults are told where the asker sees them */
    sp_err err = pattern ? sp_regex_new(text, &arena, &alone, &words) : SP_E_NOMEM;
    if (!err) {
        sp_regex_free(alone);
        err = sp_regex_new(sp_str_c(pattern), &arena, ret_regex, &words);
    }
    if (err) {
        struct sp_buf buf;
        sp_buf_init_fixed(&buf, why, why_bytes);
        sp_buf_printf(&buf, "filter: %.200s\n", words);
    }
    sp_arena_deinit(&arena);
    return err;
}

/* The call's parameters live until it is answered, which is here. */
static void on_gathered(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather)
{
    struct sp_page *page = sp_page_new(admin, gather, step);
    if (!page) {
        sp_page_start(NULL, call, NULL);
        return;
    }
    sp_str filter = sp_http_param(call, "filter"), format = sp_http_param(call, "format");
    page->only_used = sp_http_param(call, "usedonly").ptr != NULL;
    page->json = sp_str_eq(format, SP_STR("json"));
    char why[256];
    if (filter.len && compile(filter, &page->filter, why, sizeof(why))) {
        sp_page_free(page);
        sp_http_answer(call, 400, NULL, sp_str_c(why));
        return;
    }
    sp_page_start(page, call, page->json ? "application/json" : NULL);
}

void sp_admin_stats(void *arg, struct sp_http_call *call)
{
    sp_str format = sp_http_param(call, "format");
    if (sp_str_eq(format, SP_STR("prometheus")))
        sp_admin_prometheus(arg, call);
    else if (format.len && !sp_str_eq(format, SP_STR("json")) && !sp_str_eq(format, SP_STR("text")))
        sp_http_answer(call, 400, NULL, SP_STR("format is text, json or prometheus\n"));
    else
        sp_admin_gather(arg, call, on_gathered);
}
