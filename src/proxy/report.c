/* report: what is left of a call: figures in cells, and one record for the log and for /why.
 *
 * Numbers go to the cells of chain, cluster, endpoint and Istio's series; the record takes numbers and the
 * beginnings of a few strings and is formatted later, by another thread (observe/). Nobody formats a number
 * on a request's way.
 *
 * The series of a call is found by what can change it: direction, cluster, endpoint's workload, status,
 * reason. Each endpoint, whose cluster and workload are always the same, remembers the last one, so that most
 * calls compare a few integers and hash nothing. */
#include "proxy/report.h"

#include <string.h>

#include "proxy/listener.h"
#include "proxy/stream_impl.h"

static void count_class(sp_cell *first_1xx, uint32_t status)
{
    if (status >= 100 && status < 600)
        sp_cell_add(&first_1xx[status / 100 - 1], 1); /* rq_1xx .. rq_5xx lie one behind the other */
}

static struct sp_series *series_of(struct sp_stream *s)
{
    struct sp_cluster *cluster = s->cluster;
    struct sp_series_key key = {
        .direction = (uint8_t)(s->chain ? s->chain->listener->spec->direction : SP_DIRECTION_OUTBOUND),
        .protocol = (uint8_t)s->codec->protocol,
        .status = (uint16_t)s->answer.status,
        .why = s->why,
        .app_error = (s->answer.flags & SP_HEAD_APP_ERROR) != 0,
        .cluster = cluster ? cluster->spec->name : SP_STR_NULL,
    };
    if (s->endpoint) {
        key.workload = s->endpoint->workload;
        key.workload_namespace = s->endpoint->workload_namespace;
    }
    struct sp_series *last = s->endpoint ? s->endpoint->last_series : NULL;
    if (last && last->key.status == key.status && last->key.why == key.why &&
        last->key.app_error == key.app_error && last->key.direction == key.direction &&
        last->key.protocol == key.protocol)
        return last;
    struct sp_series *series = sp_worker_series(s->worker, &key, cluster ? cluster->spec : NULL);
    if (s->endpoint)
        s->endpoint->last_series = series;
    return series;
}

static bool is_endpoints_fault(const struct sp_stream *s)
{
    if (s->failed)
        return true;
    if (s->own_answer)
        return s->answer.status == 502 || s->answer.status == 504; /* nonsense, or nothing in time */
    return s->answer.status >= 500 || s->answer.flags & SP_HEAD_APP_ERROR;
}

static void count(struct sp_stream *s, sp_ns duration)
{
    uint32_t status = s->answer.status;
    bool app_error = s->answer.flags & SP_HEAD_APP_ERROR;
    if (s->why)
        sp_cell_add(&s->worker->cells.why[s->why], 1);
    if (s->chain) {
        count_class(&s->chain->cells.rq_1xx, status);
        sp_hist_add(&s->chain->rq_time_ns, duration);
        sp_cell_add(&s->chain->cells.rq_app_error, app_error);
        sp_cell_add(&s->chain->cells.rq_oneway, s->oneway);
        sp_cell_add(&s->chain->cells.cx_rx_bytes, s->request_bytes);
        sp_cell_add(&s->chain->cells.cx_tx_bytes, s->answer_bytes);
    }
    if (s->counted) {
        bool callers_fault = s->own_answer && status < 500; /* it came too slowly, or broken */
        if (!callers_fault)
            count_class(&s->cluster->cells.rq_1xx, status);
        sp_hist_add(&s->cluster->rq_time_ns, duration);
        sp_cell_add(&s->cluster->cells.cx_tx_bytes, s->request_bytes);
        sp_cell_add(&s->cluster->cells.cx_rx_bytes, s->answer_bytes);
        sp_cell_add(&s->cluster->cells.rq_app_error, app_error);
        sp_cell_add(&s->cluster->cells.rq_retry_success, s->attempts > 1 && s->answer_done && !s->own_answer);
    }
    if (s->endpoint && is_endpoints_fault(s))
        sp_cell_add(&s->endpoint->rq_error, 1);
    struct sp_series *series = s->backward ? NULL : series_of(s);
    if (!series)
        return;
    sp_cell_add(&series->requests, 1);
    sp_hist_add(&series->duration_ns, duration);
    sp_hist_add(&series->request_bytes, s->request_bytes);
    sp_hist_add(&series->response_bytes, s->answer_bytes);
}

enum { STR_MOST = 112 }; /* of each string but the path, so that none pushes the others out */

static void add_str(struct sp_report *report, enum sp_report_str which, sp_str s, uint32_t *at)
{
    size_t len = s.len, room = SP_REPORT_TEXT - *at;
    if (which != SP_REPORT_PATH)
        room = SP_MIN(room, (size_t)STR_MOST);
    if (len > room) {
        len = room;
        report->cut = true;
    }
    if (len)
        memcpy(report->text + *at, s.ptr, len);
    report->len[which] = (uint16_t)len;
    *at += (uint32_t)len;
}

/* Lower-case hex digits and nothing else, not all of them zero. */
static bool is_hex_id(sp_str digits)
{
    bool some = false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        some |= c != '0';
    }
    return some;
}

static bool is_hex_byte(const char *at)
{
    return is_hex_id(sp_str_of(at, 2)) || memcmp(at, "00", 2) == 0;
}

enum { PARENT_BYTES = 55, TRACE_AT = 3, TRACE_BYTES = 32, SPAN_AT = 36, SPAN_BYTES = 16, FLAGS_AT = 53 };

/* The trace's id in a traceparent that holds to W3C Trace Context:
 *
 *      00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *
 * Version ff does not exist, 00 has nothing behind the flags, later ones may, behind a dash. One that is not
 * so is to be taken for absent (3.2.4); the header goes on as it came. */
static sp_str trace_of_parent(sp_str parent)
{
    const char *at = parent.ptr;
    if (parent.len < PARENT_BYTES || at[2] != '-' || at[SPAN_AT - 1] != '-' || at[FLAGS_AT - 1] != '-')
        return SP_STR_NULL;
    if (parent.len > PARENT_BYTES && (memcmp(at, "00", 2) == 0 || at[PARENT_BYTES] != '-'))
        return SP_STR_NULL;
    sp_str trace = sp_str_of(at + TRACE_AT, TRACE_BYTES);
    bool ok = is_hex_byte(at) && memcmp(at, "ff", 2) != 0 && is_hex_id(trace) &&
              is_hex_id(sp_str_of(at + SPAN_AT, SPAN_BYTES)) && is_hex_byte(at + FLAGS_AT);
    return ok ? trace : SP_STR_NULL;
}

static sp_str trace_id(const struct sp_head *head)
{
    sp_str trace = trace_of_parent(sp_head_value(head, SP_HDR_TRACEPARENT));
    if (trace.ptr)
        return trace;
    sp_str sofa = sp_head_value(head, SP_HDR_SOFA_TRACE_ID);
    return sofa.ptr ? sofa : sp_head_value(head, SP_HDR_B3_TRACE_ID);
}

static void add_strs(struct sp_report *report, const struct sp_stream *s)
{
    const struct sp_head *head = &s->request;
    uint32_t at = 0;
    sp_str id = sp_head_value(head, SP_HDR_X_REQUEST_ID), trace = trace_id(head);
    add_str(report, SP_REPORT_REQUEST_ID, id.ptr ? id : trace, &at);
    add_str(report, SP_REPORT_TRACE_ID, trace, &at);
    add_str(report, SP_REPORT_CLUSTER, s->cluster ? s->cluster->spec->name : SP_STR_NULL, &at);
    add_str(report, SP_REPORT_ROUTE, s->choice.route ? s->choice.route->name : SP_STR_NULL, &at);
    add_str(report, SP_REPORT_CHAIN, s->chain ? s->chain->spec->stat_prefix : SP_STR_NULL, &at);
    add_str(report, SP_REPORT_FAILURE, sp_str_c(s->failure), &at);
    add_str(report, SP_REPORT_METHOD, head->method, &at);
    add_str(report, SP_REPORT_SERVICE, head->service, &at);
    add_str(report, SP_REPORT_CALLER_APP, sp_head_value(head, SP_HDR_SOFA_APP), &at);
    add_str(report, SP_REPORT_USER_AGENT, sp_head_value(head, SP_HDR_USER_AGENT), &at);
    add_str(report, SP_REPORT_FORWARDED_FOR, sp_head_value(head, SP_HDR_X_FORWARDED_FOR), &at);
    add_str(report, SP_REPORT_PATH, head->path, &at);
}

/* As Envoy: a PROXY header says who calls and what was called; who connected is told beside it. */
void sp_report_origin(struct sp_report *report, const struct sp_origin *origin)
{
    bool claimed = origin->direct.family;
    report->downstream = origin->peer;
    report->downstream_direct = sp_report_addr(claimed ? origin->direct : origin->peer);
    report->downstream_local = sp_report_addr(claimed && origin->dst.family ? origin->dst : origin->local);
}

static void report_line(struct sp_report *report, const struct sp_line *line)
{
    struct sp_origin origin = { .peer = line->origin.peer, .local = line->origin.local };
    if (line->origin.dst)
        origin.dst = *line->origin.dst;
    if (line->origin.direct)
        origin.direct = *line->origin.direct;
    sp_report_origin(report, &origin);
}

void sp_report_call(struct sp_stream *s, const struct sp_line *caller, const struct sp_line *callee)
{
    sp_ns duration = sp_loop_now(s->worker->loop) - s->started_ns;
    count(s, duration);
    struct sp_report *report = sp_worker_report(s->worker);
    if (!report)
        return;
    memset(report, 0, offsetof(struct sp_report, text));
    report->wall_start_ns = s->started_wall_ns;
    report->duration_ns = duration;
    report->request_ns = s->request_end_ns ? SP_MAX(1, s->request_end_ns - s->started_ns) : 0;
    report->upstream_ns = s->answer_ns ? s->answer_ns - s->started_ns : 0;
    report->bytes_received = s->request_bytes;
    report->bytes_sent = s->answer_bytes;
    if (caller && caller->chain) {
        report_line(report, caller);
        if (s->client.family)
            report->downstream = s->client;
    }
    if (s->endpoint)
        report->upstream = sp_report_addr(s->endpoint->addr);
    if (callee)
        report->upstream_local = sp_report_addr(callee->origin.local);
    report->raw_status = s->answer.raw_status;
    report->status = (uint16_t)s->answer.status;
    report->why = s->why;
    report->protocol = (uint8_t)s->codec->protocol;
    report->proto_minor = s->request.proto_ver;
    report->direction = (uint8_t)(s->chain ? s->chain->listener->spec->direction : SP_DIRECTION_NONE);
    report->attempts = s->attempts;
    report->retry_why = s->retry_why;
    report->app_error = (s->answer.flags & SP_HEAD_APP_ERROR) != 0;
    report->oneway = s->oneway;
    report->chain = s->chain ? s->chain->spec : NULL;
    report->log_mask = s->chain ? (uint8_t)((1u << SP_MIN(s->chain->spec->log_count, 8u)) - 1) : 0;
    add_strs(report, s);
    sp_worker_report_done(s->worker, report);
}

void sp_report_unborn(struct sp_line *line, const struct sp_head *request, enum sp_why why, uint32_t status,
                      const char *failure)
{
    struct sp_report *report = sp_worker_report(line->worker);
    if (!report)
        return;
    memset(report, 0, offsetof(struct sp_report, text));
    report->wall_start_ns = sp_loop_wall(line->worker->loop);
    if (line->chain) {
        report_line(report, line);
    }
    report->status = (uint16_t)status;
    report->why = (uint16_t)why;
    report->protocol = (uint8_t)line->conn.codec->protocol;
    uint32_t at = 0;
    sp_str strs[SP_REPORT_STRS] = { [SP_REPORT_FAILURE] = sp_str_c(failure) };
    if (request)
        strs[SP_REPORT_REQUEST_ID] = sp_head_value(request, SP_HDR_X_REQUEST_ID);
    for (int i = 0; i < SP_REPORT_STRS; i++)
        add_str(report, (enum sp_report_str)i, strs[i], &at);
    if (line->chain) {
        count_class(&line->chain->cells.rq_1xx, report->status);
        report->direction = (uint8_t)line->chain->listener->spec->direction;
        report->chain = line->chain->spec;
        report->log_mask = (uint8_t)((1u << SP_MIN(line->chain->spec->log_count, 8u)) - 1);
    }
    sp_worker_report_done(line->worker, report);
}
