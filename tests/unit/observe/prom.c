/* prom: /stats/prometheus, read by a strict reader of the format: the right numbers under the right names,
 * whatever the names of things are. */
#include "unit/observe/help.h"

#include "unit/observe/expo.h"

static void scrape(struct paper *p, struct expo *e)
{
    char *answer;
    char *page = paper_page(p, "/stats/prometheus", &answer);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    if (!expo_read(e, page))
        fail_msg("not an exposition: %s", e->why);
    free(answer);
}

static void expect_sample(const struct expo *e, const char *name, const char *labels, double value)
{
    const struct expo_sample *s = expo_find(e, name, labels);
    if (!s)
        fail_msg("no %s{%s}", name, labels);
    if (s->value != value)
        fail_msg("%s{%s} is %g, not %g", name, labels, s->value, value);
}

static void cells_are_summed_over_workers_under_envoys_names(void **state)
{
    struct paper *p = *state;
    struct expo e;
    for (int i = 0; i < PAPER_WORKERS; i++) {
        struct paper_worker *w = &p->workers[i];
        sp_cell_add(&w->cluster.rq_total, 10 + (uint64_t)i);
        sp_cell_add(&w->cluster.rq_2xx, 7);
        sp_cell_add(&w->cluster.rq_5xx, 1);
        sp_cell_add(&w->chain.rq_active, 2);
        sp_cell_add(&w->tcp.cx_rx_bytes, 6);
        sp_cell_add(&w->listener.cx_total, 5);
        sp_cell_add(&w->cells.streams_total, 100);
        sp_cell_add(&w->cells.why[SP_WHY_NO_ROUTE], 3);
        sp_hist_add(&w->cluster_time, 30 * SP_NS_PER_MS);
    }
    p->workers[1].endpoints[0].healthy = false;
    scrape(p, &e);
    expect_sample(&e, "envoy_cluster_upstream_rq_total", "envoy_cluster_name=\"reviews\"", 21);
    expect_sample(&e, "envoy_cluster_upstream_rq_xx",
                  "envoy_response_code_class=\"2\",envoy_cluster_name=\"reviews\"", 14);
    expect_sample(&e, "envoy_cluster_upstream_rq_xx",
                  "envoy_response_code_class=\"5\",envoy_cluster_name=\"reviews\"", 2);
    expect_sample(&e, "envoy_http_downstream_rq_active", "envoy_http_conn_manager_prefix=\"in\"", 4);
    expect_sample(&e, "envoy_tcp_downstream_cx_rx_bytes_total", "envoy_tcp_prefix=\"in\"", 12);
    expect_sample(&e, "envoy_listener_downstream_cx_total", "envoy_listener_address=\"127.0.0.1_8080\"", 10);
    expect_sample(&e, "envoy_cluster_membership_total", "reviews", 2);
    expect_sample(&e, "envoy_cluster_membership_healthy", "reviews", 1); /* one worker doubts the other */
    expect_sample(&e, "sampan_streams_total", "", 200);
    expect_sample(&e, "sampan_reason_total", "reason=\"NO_ROUTE\"", 6);
    expect_sample(&e, "envoy_server_live", "", 1);
    expect_sample(&e, "envoy_cluster_upstream_rq_time_count", "reviews", 2);
    expect_sample(&e, "envoy_cluster_upstream_rq_time_sum", "reviews", 60);
    for (size_t i = 0; i < e.count; i++)
        if (strcmp(e.samples[i].name, "envoy_cluster_upstream_rq_time_bucket") == 0)
            assert_true(e.samples[i].value == (e.samples[i].le >= 50 ? 2 : 0));
    assert_non_null(expo_find(&e, "process_resident_memory_bytes", ""));
    assert_non_null(expo_find(&e, "istio_build", "component=\"proxy\""));
    expo_free(&e);
}

static void calls_appear_as_istios_standard_metrics(void **state)
{
    struct paper *p = *state;
    struct expo e;
    const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                       .protocol = SP_PROTO_BOLT,
                                       .status = 200,
                                       .cluster = SP_STR("reviews"),
                                       .workload = SP_STR("reviews-v1"),
                                       .workload_namespace = SP_STR("prod") };
    for (int i = 0; i < PAPER_WORKERS; i++) {
        struct sp_series *s = paper_series(&p->workers[i], key);
        s->service = SP_STR("reviews.prod.svc.cluster.local");
        s->service_name = SP_STR("reviews");
        sp_cell_add(&s->requests, 4);
        for (int k = 0; k < 4; k++) {
            sp_hist_add(&s->duration_ns, 3 * SP_NS_PER_MS);
            sp_hist_add(&s->request_bytes, 200);
            sp_hist_add(&s->response_bytes, 5000);
        }
    }
    scrape(p, &e);
    const char *who = "reporter=\"source\",source_workload=\"shop\",source_workload_namespace=\"prod\"";
    expect_sample(&e, "istio_requests_total", who, 8);
    const struct expo_sample *s = expo_find(&e, "istio_requests_total", "");
    static const char *const labels[] = {
        "source_principal=\"unknown\"",
        "source_app=\"unknown\"",
        "source_version=\"unknown\"",
        "source_cluster=\"unknown\"",
        "source_canonical_service=\"unknown\"",
        "source_canonical_revision=\"unknown\"",
        "destination_workload=\"reviews-v1\"",
        "destination_workload_namespace=\"prod\"",
        "destination_principal=\"unknown\"",
        "destination_app=\"unknown\"",
        "destination_version=\"unknown\"",
        "destination_service=\"reviews.prod.svc.cluster.local\"",
        "destination_service_name=\"reviews\"",
        "destination_service_namespace=\"unknown\"",
        "destination_cluster=\"unknown\"",
        "destination_canonical_service=\"unknown\"",
        "destination_canonical_revision=\"unknown\"",
        "request_protocol=\"bolt\"",
        "response_code=\"200\"",
        "grpc_response_status=\"\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"unknown\"",
    };
    for (size_t i = 0; i < SP_COUNTOF(labels); i++)
        if (!strstr(s->labels, labels[i]))
            fail_msg("no %s in %s", labels[i], s->labels);
    expect_sample(&e, "istio_request_duration_milliseconds_sum", who, 24);
    expect_sample(&e, "istio_request_duration_milliseconds_count", who, 8);
    expect_sample(&e, "istio_request_bytes_sum", who, 1600);
    expect_sample(&e, "istio_response_bytes_count", who, 8);
    for (size_t i = 0; i < e.count; i++)
        if (strcmp(e.samples[i].name, "istio_request_duration_milliseconds_bucket") == 0)
            assert_true(e.samples[i].value == (e.samples[i].le >= 5 ? 8 : 0));
        else if (strcmp(e.samples[i].name, "istio_request_bytes_bucket") == 0)
            assert_true(e.samples[i].value == (e.samples[i].le >= 250 ? 8 : 0));
    expo_free(&e);
}

static void an_inbound_call_names_this_workload_as_its_destination(void **state)
{
    struct paper *p = *state;
    struct expo e;
    const struct sp_series_key key = {
        .direction = SP_DIRECTION_INBOUND, .protocol = SP_PROTO_HTTP1, .status = 503, .why = SP_WHY_CONNECT
    };
    sp_cell_add(&paper_series(&p->workers[0], key)->requests, 1);
    scrape(p, &e);
    const struct expo_sample *s = expo_find(&e, "istio_requests_total", "reporter=\"destination\"");
    assert_non_null(s);
    assert_non_null(strstr(s->labels, "source_workload=\"unknown\""));
    assert_non_null(strstr(s->labels, "destination_workload=\"shop\""));
    assert_non_null(strstr(s->labels, "response_flags=\"UF\""));
    assert_non_null(strstr(s->labels, "request_protocol=\"http\""));
    assert_non_null(strstr(s->labels, "connection_security_policy=\"none\""));
    expo_free(&e);
}

static void series_that_istio_cannot_tell_apart_are_one(void **state)
{
    struct paper *p = *state;
    struct expo e;
    struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                 .protocol = SP_PROTO_BOLT,
                                 .status = 503,
                                 .why = SP_WHY_POOL_FULL,
                                 .cluster = SP_STR("a") };
    sp_cell_add(&paper_series(&p->workers[0], key)->requests, 1);
    key.why = SP_WHY_BREAKER; /* the same flag: UO */
    sp_cell_add(&paper_series(&p->workers[0], key)->requests, 10);
    key.protocol = SP_PROTO_BOLT2; /* the same name: bolt */
    sp_cell_add(&paper_series(&p->workers[1], key)->requests, 100);
    key.cluster = SP_STR("b"); /* no label has the cluster */
    sp_cell_add(&paper_series(&p->workers[1], key)->requests, 1000);
    key.app_error = true; /* counted apart */
    sp_cell_add(&paper_series(&p->workers[1], key)->requests, 10000);
    scrape(p, &e);
    expect_sample(&e, "istio_requests_total", "app_error=\"true\"", 10000);
    double rest = 0;
    int lines = 0;
    for (size_t i = 0; i < e.count; i++)
        if (strcmp(e.samples[i].name, "istio_requests_total") == 0 &&
            !strstr(e.samples[i].labels, "app_error")) {
            rest += e.samples[i].value;
            lines++;
        }
    assert_true(rest == 1111);
    assert_int_equal(lines, 1);
    expo_free(&e);
}

static void tcp_has_series_of_its_own(void **state)
{
    struct paper *p = *state;
    struct expo e;
    const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND, .protocol = SP_PROTO_TCP };
    struct sp_series *s = paper_series(&p->workers[0], key);
    sp_cell_add(&s->tcp_opened, 3);
    sp_cell_add(&s->tcp_closed, 2);
    sp_cell_add(&s->tcp_sent, 1000);
    sp_cell_add(&s->tcp_received, 50);
    scrape(p, &e);
    expect_sample(&e, "istio_tcp_connections_opened_total", "request_protocol=\"tcp\"", 3);
    expect_sample(&e, "istio_tcp_connections_closed_total", "request_protocol=\"tcp\"", 2);
    expect_sample(&e, "istio_tcp_sent_bytes_total", "request_protocol=\"tcp\"", 1000);
    expect_sample(&e, "istio_tcp_received_bytes_total", "request_protocol=\"tcp\"", 50);
    assert_null(expo_find(&e, "istio_requests_total", ""));
    assert_null(strstr(expo_find(&e, "istio_tcp_sent_bytes_total", "")->labels, "response_code"));
    expo_free(&e);
}

static void no_name_can_break_out_of_its_label(void **state)
{
    struct paper *p = *state;
    struct expo e;
    static const char evil[] = "a\"} 1\nfake_total{x=\"\\\r\t\xff\xc3(\xe2\x82 \xc2\x80{}";
    p->cluster.name = sp_str_of(evil, sizeof evil - 1);
    p->stat_prefix = p->cluster.name;
    const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                       .protocol = SP_PROTO_HTTP1,
                                       .workload = p->cluster.name };
    struct sp_series *s = paper_series(&p->workers[0], key);
    s->service = p->cluster.name;
    sp_cell_add(&s->requests, 1);
    scrape(p, &e);
    assert_null(expo_find(&e, "fake_total", ""));
    assert_non_null(expo_find(&e, "istio_requests_total", "destination_workload=\"a\\\"} 1\\nfake_total"));
    expo_free(&e);
}

static void an_attack_by_labels_is_bounded_in_lines_bytes_and_memory(void **state)
{
    struct paper *p = *state;
    struct expo e;
    /* More different series than any page shows, each with a label of a KiB: two workers full of what a
     * peer chose. */
    enum { SERIES = 8192, SHOWN = 4096 };
    char *names = malloc(SERIES * 1024);
    memset(names, 'x', SERIES * 1024);
    for (int i = 0; i < SERIES; i++) {
        char digits[16];
        memcpy(names + i * 1024, digits, (size_t)snprintf(digits, sizeof digits, "%08d", i));
        const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                           .protocol = SP_PROTO_TCP,
                                           .workload = sp_str_of(names + i * 1024, 1024) };
        sp_cell_add(&paper_series(&p->workers[i % PAPER_WORKERS], key)->tcp_opened, 1);
    }
    uint64_t before = sp_mem_used_bytes();
    scrape(p, &e);
    double sum = 0;
    size_t lines = 0;
    for (size_t i = 0; i < e.count; i++)
        if (strcmp(e.samples[i].name, "istio_tcp_connections_opened_total") == 0) {
            sum += e.samples[i].value;
            lines++;
            assert_true(strlen(e.samples[i].labels) < 1500); /* the value was cut */
        }
    const struct expo_sample *rest = expo_find(&e, "istio_requests_total", "reporter=\"overflow\"");
    assert_non_null(rest);
    assert_int_equal(lines, SHOWN);
    assert_true(sum == SHOWN);
    expo_free(&e);
    free(names);
    turn_until(p->loop, sp_mem_used_bytes() < before + 1024 * 1024); /* nothing of it stays */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, paper_set_up, paper_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(cells_are_summed_over_workers_under_envoys_names),
        TEST(calls_appear_as_istios_standard_metrics),
        TEST(an_inbound_call_names_this_workload_as_its_destination),
        TEST(series_that_istio_cannot_tell_apart_are_one),
        TEST(tcp_has_series_of_its_own),
        TEST(no_name_can_break_out_of_its_label),
        TEST(an_attack_by_labels_is_bounded_in_lines_bytes_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
