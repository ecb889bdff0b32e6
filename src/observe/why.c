/* why: what became of a call: /why?id= finds its record and says the reason in words.
 *
 * Each worker remembers its last calls, whether or not they are logged, and in a ring beside it the last ones
 * that failed, so that many that go well do not push out the one that is asked for. The question
 * goes to all workers; each looks through both on its own thread, newest first, and copies what fits:
 * records whose request id or trace id is the one asked for, sixteen at most (a trace may have many calls).
 * The rings are short, a comparison of two lengths decides nearly every record, so a worker is held up for
 * microseconds.
 *
 *      {"id":"...","records":[{"time":..,"reason":"NO_ROUTE","text":"no route ...","advice":..,...}]}
 *
 * An id comes from a peer, and so does everything in a record: JSON's escapes are what makes the page safe.
 * No id at all shows the newest calls that had a reason or failed, for whoever has no id at hand. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "observe/line_impl.h"
#include "observe/text_impl.h"
#include "wire/call.h"

enum { FOUND_MAX = 16, ID_BYTES = 256 };

struct found {
    uint32_t count;
    uint32_t looked_at;
    struct sp_report reports[FOUND_MAX];
};

struct why_all {
    struct sp_ask_all all;
    char id[ID_BYTES];
    size_t id_len;
    struct found whole;
};

struct why_part {
    struct sp_ask_part part;
    char id[ID_BYTES]; /* `all` belongs to another thread */
    size_t id_len;
    struct found found;
};

static bool is_it(const struct sp_report *report, sp_str id)
{
    if (!id.len)
        return report->why != SP_WHY_NONE || sp_report_failed(report);
    return (report->len[SP_REPORT_REQUEST_ID] == id.len &&
            sp_str_eq(sp_report_str(report, SP_REPORT_REQUEST_ID), id)) ||
           (report->len[SP_REPORT_TRACE_ID] == id.len &&
            sp_str_eq(sp_report_str(report, SP_REPORT_TRACE_ID), id));
}

static bool each(void *arg, const struct sp_report *report)
{
    struct why_part *p = arg;
    p->found.looked_at++;
    if (is_it(report, sp_str_of(p->id, p->id_len)))
        p->found.reports[p->found.count++] = *report;
    return p->found.count < FOUND_MAX;
}

static bool init_part(struct sp_ask_part *part, struct sp_ask_all *all)
{
    struct why_part *p = SP_CONTAINER(part, struct why_part, part);
    struct why_all *a = SP_CONTAINER(all, struct why_all, all);
    memcpy(p->id, a->id, a->id_len);
    p->id_len = a->id_len;
    return true;
}

static void search(struct sp_worker *worker, struct sp_ask_part *part)
{
    part->ops->recent(worker, each, SP_CONTAINER(part, struct why_part, part));
}

static void add_part(struct sp_ask_all *all, struct sp_ask_part *part)
{
    struct found *whole = &SP_CONTAINER(all, struct why_all, all)->whole;
    const struct found *found = &SP_CONTAINER(part, struct why_part, part)->found;
    whole->looked_at += found->looked_at;
    for (uint32_t i = 0; i < found->count; i++) { /* newest first; the oldest fall off the end */
        uint32_t at = whole->count;
        while (at && whole->reports[at - 1].wall_start_ns < found->reports[i].wall_start_ns)
            at--;
        if (at == FOUND_MAX)
            continue;
        uint32_t behind = SP_MIN(whole->count, (uint32_t)FOUND_MAX - 1) - at;
        memmove(&whole->reports[at + 1], &whole->reports[at], behind * sizeof(struct sp_report));
        whole->reports[at] = found->reports[i];
        whole->count = SP_MIN(whole->count + 1, (uint32_t)FOUND_MAX);
    }
}

static void deinit_part(struct sp_ask_part *part)
{
}

/* ---- the page ---- */

static void text(struct sp_buf *out, const char *key, sp_str value)
{
    sp_buf_printf(out, ",\"%s\":", key);
    sp_buf_add_json(out, value);
}

static void number(struct sp_buf *out, const char *key, uint64_t value)
{
    sp_buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void addr(struct sp_buf *out, const char *key, const sp_addr *value)
{
    char words[SP_ADDR_TEXT_BYTES];
    if (value->family != SP_ADDR_NONE &&
        value->family != SP_ADDR_UNIX) /* a path may be gone with its configuration */
        text(out, key, sp_str_of(words, sp_addr_print(value, words, sizeof(words))));
}

static void ms(struct sp_buf *out, const char *key, uint64_t ns)
{
    sp_buf_printf(out, ",\"%s\":%llu.%03llu", key, (unsigned long long)(ns / 1000000),
                  (unsigned long long)(ns / 1000 % 1000));
}

static void record(struct sp_buf *out, const struct sp_report *r)
{
    static const struct {
        enum sp_report_str which;
        const char *key;
    } strs[] = {
        { SP_REPORT_SERVICE, "service" },
        { SP_REPORT_METHOD, "method" },
        { SP_REPORT_PATH, "path" },
        { SP_REPORT_REQUEST_ID, "request_id" },
        { SP_REPORT_TRACE_ID, "trace_id" },
        { SP_REPORT_USER_AGENT, "user_agent" },
        { SP_REPORT_FORWARDED_FOR, "forwarded_for" },
        { SP_REPORT_CLUSTER, "cluster" },
        { SP_REPORT_ROUTE, "route" },
        { SP_REPORT_CALLER_APP, "caller_app" },
        { SP_REPORT_CHAIN, "chain" },
        { SP_REPORT_FAILURE, "failure" },
    };
    const struct sp_why_row *why = sp_why_row(r->why < SP_WHY_COUNT ? r->why : SP_WHY_NONE);
    sp_buf_add_c(out, "{\"time\":\"");
    sp_text_time(out, r->wall_start_ns);
    sp_buf_printf(out, "\",\"reason\":\"%s\"", why->code);
    text(out, "text", sp_str_c(why->text));
    text(out, "advice", sp_str_c(why->advice));
    text(out, "response_flags", sp_str_c(why->flag));
    text(out, "response_code_details", sp_line_details(r));
    number(out, "status", r->status);
    number(out, "raw_status", r->raw_status);
    text(out, "protocol", sp_str_c(sp_protocol_name(r->protocol)));
    text(out, "direction",
         r->direction == SP_DIRECTION_INBOUND    ? SP_STR("inbound")
         : r->direction == SP_DIRECTION_OUTBOUND ? SP_STR("outbound")
                                                 : SP_STR("unspecified"));
    ms(out, "duration_ms", r->duration_ns);
    ms(out, "request_ms", r->request_ns);
    ms(out, "first_byte_ms", r->upstream_ns);
    number(out, "bytes_received", r->bytes_received);
    number(out, "bytes_sent", r->bytes_sent);
    number(out, "attempts", r->attempts);
    if (r->retry_why && r->retry_why < SP_WHY_COUNT)
        text(out, "retry_reason", sp_str_c(sp_why_row(r->retry_why)->code));
    sp_buf_printf(out, ",\"app_error\":%s,\"oneway\":%s,\"cut\":%s", r->app_error ? "true" : "false",
                  r->oneway ? "true" : "false", r->cut ? "true" : "false");
    addr(out, "downstream", &r->downstream);
    addr(out, "downstream_direct", &r->downstream_direct);
    addr(out, "downstream_local", &r->downstream_local);
    addr(out, "upstream", &r->upstream);
    for (size_t i = 0; i < SP_COUNTOF(strs); i++)
        if (r->len[strs[i].which])
            text(out, strs[i].key, sp_report_str(r, strs[i].which));
    sp_buf_add_char(out, '}');
}

static void on_done(struct sp_ask_all *all)
{
    struct why_all *a = SP_CONTAINER(all, struct why_all, all);
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_add_c(&buf, "{\"id\":");
    sp_buf_add_json(&buf, sp_str_of(a->id, a->id_len));
    sp_buf_printf(&buf, ",\"records_looked_at\":%u,\"records\":[", a->whole.looked_at);
    for (uint32_t i = 0; i < a->whole.count; i++) {
        if (i)
            sp_buf_add_char(&buf, ',');
        record(&buf, &a->whole.reports[i]);
    }
    sp_buf_add_c(&buf, "]}\n");
    sp_http_answer_buf(all->call, a->whole.count || !a->id_len ? 200 : 404, "application/json", &buf);
    sp_mem_free(a);
}

static void free_all(struct sp_ask_all *all)
{
    sp_mem_free(SP_CONTAINER(all, struct why_all, all));
}

static const struct sp_ask_kind why_kind = {
    .part_bytes = sizeof(struct why_part),
    .init_part = init_part,
    .on_worker = search,
    .on_part = add_part,
    .deinit_part = deinit_part,
    .on_done = on_done,
    .free = free_all,
};

void sp_admin_why(void *arg, struct sp_http_call *call)
{
    sp_str id = sp_http_param(call, "id");
    if (id.len > ID_BYTES) {
        sp_http_answer(call, 400, NULL, SP_STR("the id is longer than any that is kept\n"));
        return;
    }
    struct why_all *a = sp_mem_zalloc(sizeof(*a));
    if (!a) {
        sp_http_answer(call, 503, NULL, SP_STR("memory is out\n"));
        return;
    }
    if (id.len)
        memcpy(a->id, id.ptr, id.len);
    a->id_len = id.len;
    sp_ask_all(arg, call, &why_kind, &a->all);
}
