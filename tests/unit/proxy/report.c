/* report: what is left of a call, in its record and in the figures. */
#include "proxy/report.h"

#include "unit/proxy/worker_kit.h"

static void check_text(struct kit *kit, enum sp_report_str which, const char *want)
{
    check_str(sp_report_str(last_report(kit), which), want);
}

static void an_http_call_is_told_in_full(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1)->direction = SP_DIRECTION_INBOUND;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /pay?x=1 HTTP/1.1\r\nHost: bank:80\r\nUser-Agent: me/1\r\nX-Request-Id: r-1\r\n"
                "X-Forwarded-For: 192.0.2.9\r\n"
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                "Content-Length: 5\r\n\r\nhe");
    struct peer *server = door_next(door);
    kit_run(kit, 500);
    say(caller, "llo");
    kit_run(kit, 1000);
    say(server, "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes");
    hear_head(caller, "HTTP/1.1 201");
    const struct sp_report *r = last_report(kit);
    assert_int_equal(r->status, 201);
    assert_int_equal(r->why, SP_WHY_NONE);
    assert_int_equal(r->protocol, SP_PROTO_HTTP1);
    assert_int_equal(r->proto_minor, 1);
    assert_int_equal(r->direction, SP_DIRECTION_INBOUND);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->bytes_received, 5);
    assert_int_equal(r->bytes_sent, 3);
    assert_true(r->wall_start_ns > 1700000000ull * SP_NS_PER_S);
    assert_in_range(r->request_ns / SP_NS_PER_MS, 490, 520); /* until its last byte came */
    assert_in_range(r->upstream_ns / SP_NS_PER_MS, 1490, 1540);
    assert_true(r->duration_ns >= r->upstream_ns);
    assert_int_equal(r->downstream.family, SP_ADDR_IP4);
    assert_int_equal(r->downstream_local.port, 15001);
    assert_int_equal(r->upstream.port, 8080);
    assert_int_equal(r->upstream_local.family, SP_ADDR_IP4);
    assert_int_not_equal(r->upstream_local.port, 0);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_rx_bytes), 5);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_tx_bytes), 3);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_tx_bytes), 5);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_rx_bytes), 3);
    assert_false(r->cut || r->oneway || r->app_error);
    check_text(kit, SP_REPORT_SERVICE, "bank:80");
    check_text(kit, SP_REPORT_METHOD, "POST");
    check_text(kit, SP_REPORT_PATH, "/pay?x=1");
    check_text(kit, SP_REPORT_REQUEST_ID, "r-1");
    check_text(kit, SP_REPORT_TRACE_ID, "0af7651916cd43dd8448eb211c80319c");
    check_text(kit, SP_REPORT_USER_AGENT, "me/1");
    check_text(kit, SP_REPORT_FORWARDED_FOR, "192.0.2.9");
    check_text(kit, SP_REPORT_CLUSTER, "app");
    check_text(kit, SP_REPORT_ROUTE, "all");
    check_text(kit, SP_REPORT_CHAIN, "out");
    check_text(kit, SP_REPORT_FAILURE, "");
    kit_free(kit);
}

/* The header goes on as it came. */
static void check_trace(struct kit *kit, struct door *door, const char *parent, const char *want)
{
    char text[300], line[200];
    struct peer *caller = kit_call(kit, KIT_OUT);
    snprintf(line, sizeof(line), "traceparent: %s\r\n", parent);
    snprintf(text, sizeof(text), "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", line);
    say(caller, text);
    struct peer *server = door_next(door);
    sp_str head = hear_head(server, "GET /a");
    if (sp_str_find_str(head, sp_str_c(line)) == head.len)
        fail_msg("%s has not gone on in %.*s", line, SP_STR_ARG(head));
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    hear_head(caller, "HTTP/1.1 200");
    sp_str got = sp_report_str(last_report(kit), SP_REPORT_TRACE_ID);
    if (!sp_str_eq(got, sp_str_c(want)))
        fail_msg("of %s it took \"%.*s\"", parent, SP_STR_ARG(got));
    say_fin(server);
}

static void a_traceparent_that_breaks_its_rules_is_passed_on_and_not_believed(void **state)
{
    (void)state;
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define NO_TRACE "00000000000000000000000000000000"
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    check_trace(kit, door, "00-" TRACE "-b7ad6b7169203331-00", TRACE);
    check_trace(kit, door, "cc-" TRACE "-b7ad6b7169203331-01", TRACE);
    check_trace(kit, door, "cc-" TRACE "-b7ad6b7169203331-01-what-comes", TRACE);
    static const char *const bad[] = {
        "00-ZZf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", /* no hex */
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", /* upper case */
        "00-" NO_TRACE "-b7ad6b7169203331-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "-b7ad6b716920333z-01",
        "00-" TRACE "-b7ad6b7169203331-0x",
        "ff-" TRACE "-b7ad6b7169203331-01",
        "0x-" TRACE "-b7ad6b7169203331-01",
        "00-" TRACE "-b7ad6b7169203331-01-more", /* version 00 has no more */
        "cc-" TRACE "-b7ad6b7169203331-01more",
        "00-" TRACE "-b7ad6b7169203331-0",
        "00-" TRACE "-b7ad6b7169203331",
        "00-" TRACE "ab-b7ad6b71692033-01",
        "00-" TRACE,
        "00_" TRACE "-b7ad6b7169203331-01",
        "00-" TRACE "_b7ad6b7169203331-01",
        "00-" TRACE "-b7ad6b7169203331_01",
    };
    for (unsigned i = 0; i < SP_COUNTOF(bad); i++)
        check_trace(kit, door, bad[i], "");
    kit_free(kit);
}

static void a_bolt_call_is_told_by_service_and_method(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 3000, .body = "hello" });
    struct peer *server = door_next(door);
    say_answer(server, hear_ask(server, "hello"), "hi");
    hear_answer(caller, 1, "hi");
    const struct sp_report *r = last_report(kit);
    assert_int_equal(r->status, 200);
    assert_int_equal(r->raw_status, SP_BOLT_SUCCESS);
    assert_int_equal(r->protocol, SP_PROTO_BOLT);
    assert_int_equal(r->bytes_received, 5);
    assert_int_equal(r->bytes_sent, 2);
    check_text(kit, SP_REPORT_SERVICE, "com.acme.Echo:1.0");
    check_text(kit, SP_REPORT_METHOD, "say");
    kit_free(kit);
}

static void a_path_that_is_too_long_is_cut_and_marked(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char path[4001];
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    say(caller, "GET ");
    say(caller, path);
    say(caller, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET /ppp");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    const struct sp_report *r = last_report(kit);
    sp_str kept = sp_report_str(r, SP_REPORT_PATH);
    assert_true(r->cut);
    assert_true(kept.len > 100 && kept.len < SP_REPORT_TEXT);
    assert_memory_equal(kept.ptr, path, kept.len);
    check_text(kit, SP_REPORT_CLUSTER, "app"); /* what it is found by stays */
    kit_free(kit);
}

static void figures_are_added_once_for_each_call(void **state)
{
    (void)state;
    static const char *const answers[] = { "200 OK", "302 Found", "404 Not Found", "500 Oops" };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    for (unsigned i = 0; i < SP_COUNTOF(answers); i++)
        for (unsigned k = 0; k <= i; k++) { /* one 200, two 302, ... */
            say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
            server = server ? server : door_next(door);
            hear_head(server, "GET /a");
            char text[80];
            snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", answers[i]);
            say(server, text);
            hear_head(caller, "HTTP/1.1");
        }
    const struct sp_chain *chain = the_chain(kit);
    const struct sp_cluster *cluster = the_cluster(kit, "app");
    const sp_cell *by_chain[] = { &chain->cells.rq_2xx, &chain->cells.rq_3xx, &chain->cells.rq_4xx,
                                  &chain->cells.rq_5xx };
    const sp_cell *by_cluster[] = { &cluster->cells.rq_2xx, &cluster->cells.rq_3xx, &cluster->cells.rq_4xx,
                                    &cluster->cells.rq_5xx };
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(sp_cell_get(by_chain[i]), i + 1);
        assert_int_equal(sp_cell_get(by_cluster[i]), i + 1);
    }
    assert_int_equal(sp_cell_get(&chain->cells.rq_total), 10);
    assert_int_equal(sp_hist_count_upto(&chain->rq_time_ns, UINT64_MAX), 10);
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_total), 10);
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 4); /* the 500 */
    kit_free(kit);
}

static void calls_that_agree_in_all_labels_share_a_series(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    struct sp_series *first = NULL;
    for (int i = 0; i < 6; i++) {
        say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        server = server ? server : door_next(door);
        hear_head(server, "GET /a");
        say(server, i < 5 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                          : "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        hear_head(caller, "HTTP/1.1");
        struct sp_series *last = the_endpoint(kit, "app", 0)->last_series;
        assert_non_null(last); /* found next time without a hash */
        if (!first)
            first = last;
        assert_int_equal(last == first, i < 5);
    }
    assert_int_equal(sp_cell_get(&first->requests), 5);
    assert_int_equal(first->key.status, 200);
    assert_int_equal(kit->worker->series_count, 2);
    kit_free(kit);
}

static void calls_whose_chain_has_a_log_go_into_the_ring(void **state)
{
    (void)state;
    static const struct sp_log_spec logs[2];
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_chain_spec *chain = mesh_chain(kit_listener(kit, SP_PROTO_HTTP1));
    chain->logs = logs;
    chain->log_count = 2;
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (int i = 0; i < SP_REPORT_RING + 3; i++) {
        say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        hear_refusal(caller, 503, "CONNECT");
    }
    const struct sp_report *r = sp_ring_peek(&kit->worker->reports);
    assert_non_null(r);
    assert_int_equal(r->log_mask, 3);
    check_str(sp_report_str(r, SP_REPORT_PATH), "/a");
    assert_int_equal(sp_cell_get(&kit->worker->cells.reports_lost), 3); /* nobody reads it here */
    kit_free(kit);
}

struct found {
    const char *id;
    uint32_t at, looked_at;
    uint64_t last_end_ns;
};

static bool find_id(void *arg, const struct sp_report *r)
{
    struct found *f = arg;
    uint64_t end_ns = r->wall_start_ns + r->duration_ns;
    if (f->looked_at++)
        assert_true(end_ns <= f->last_end_ns); /* newest first, from both rings */
    f->last_end_ns = end_ns;
    if (sp_str_eq(sp_report_str(r, SP_REPORT_REQUEST_ID), sp_str_c(f->id)))
        f->at = f->looked_at;
    return true;
}

static uint32_t place_of(struct kit *kit, const char *id, uint32_t *ret_count)
{
    struct found f = { .id = id };
    sp_worker_recent(kit->worker, find_id, &f);
    *ret_count = f.looked_at;
    return f.at;
}

static struct sp_report *add_record(struct kit *kit, uint64_t end_ms, const char *id)
{
    struct sp_report *r = sp_worker_report(kit->worker);
    memset(r, 0, sizeof(*r));
    r->wall_start_ns = end_ms * SP_NS_PER_MS;
    r->status = 200;
    r->len[SP_REPORT_REQUEST_ID] = (uint16_t)strlen(id);
    memcpy(r->text, id, strlen(id));
    return r;
}

static void a_failed_call_is_remembered_under_load(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    uint32_t cap = kit->worker->recent_cap, count, now = 1;
    assert_true(cap > 4);
    assert_null(kit->worker->failed); /* nothing has failed: no memory for it */
    static const char *const ids[] = { "refused", "upstreams own 500", "business", "direct 403" };
    struct sp_report *r = add_record(kit, now++, ids[0]);
    r->why = SP_WHY_CONNECT;
    sp_worker_report_done(kit->worker, r);
    r = add_record(kit, now++, ids[1]);
    r->status = 500;
    sp_worker_report_done(kit->worker, r);
    r = add_record(kit, now++, ids[2]);
    r->app_error = true;
    sp_worker_report_done(kit->worker, r);
    r = add_record(kit, now++, ids[3]);
    r->why = SP_WHY_DIRECT;
    r->status = 403;
    sp_worker_report_done(kit->worker, r);
    for (uint32_t i = 0; i < 5000; i++) {
        r = add_record(kit, now++, "good");
        r->why = i % 2 ? SP_WHY_NONE : i % 4 ? SP_WHY_REDIRECT : SP_WHY_DIRECT; /* what went well */
        sp_worker_report_done(kit->worker, r);
    }
    for (uint32_t i = 0; i < SP_COUNTOF(ids); i++)
        assert_int_equal(place_of(kit, ids[i], &count), cap + SP_COUNTOF(ids) - i);
    assert_int_equal(count, cap + SP_COUNTOF(ids));
    r = add_record(kit, now++, "last");
    r->why = SP_WHY_TIMEOUT;
    sp_worker_report_done(kit->worker, r);
    assert_int_equal(place_of(kit, "last", &count), 1); /* among the good ones it is where it belongs */
    sp_worker_report_done(kit->worker, add_record(kit, now++, "good"));
    assert_int_equal(place_of(kit, "last", &count), 2);
    for (uint32_t i = 0; i < 2 * cap; i++) { /* and those are bounded too */
        r = add_record(kit, now++, "bad");
        r->why = SP_WHY_TIMEOUT;
        sp_worker_report_done(kit->worker, r);
    }
    assert_int_equal(place_of(kit, "refused", &count), 0);
    assert_int_equal(count, 2 * cap);
    kit_free(kit);
}

static void what_is_too_large_is_counted(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    char pad[100001];
    memset(pad, 'x', sizeof(pad) - 1);
    pad[sizeof(pad) - 1] = '\0';
    struct peer *head = kit_call(kit, KIT_OUT), *line = kit_call(kit, KIT_OUT);
    say(head, "GET /a HTTP/1.1\r\nHost: a\r\nX: ");
    say(head, pad);
    hear_refusal(head, 431, "HEAD_TOO_LARGE");
    say(line, "GET /");
    say(line, pad);
    hear_refusal(line, 414, "URI_TOO_LONG");
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_too_large), 2);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_call_is_told_in_full),
        cmocka_unit_test(a_traceparent_that_breaks_its_rules_is_passed_on_and_not_believed),
        cmocka_unit_test(a_bolt_call_is_told_by_service_and_method),
        cmocka_unit_test(a_path_that_is_too_long_is_cut_and_marked),
        cmocka_unit_test(figures_are_added_once_for_each_call),
        cmocka_unit_test(calls_that_agree_in_all_labels_share_a_series),
        cmocka_unit_test(calls_whose_chain_has_a_log_go_into_the_ring),
        cmocka_unit_test(a_failed_call_is_remembered_under_load),
        cmocka_unit_test(what_is_too_large_is_counted),
    };
    return cmocka_run_group_tests_name("proxy report", tests, NULL, NULL);
}
