/* admin: every page, who may see it, and what happens while workers are slow, silent or gone. */
#include "unit/observe/help.h"

static void expect_status(struct paper *p, const sp_addr *at, const char *method, const char *path,
                          int status)
{
    char *answer = paper_get(p, at, method, path);
    if (http_status(answer) != status)
        fail_msg("%s %s: not %d but %.300s", method, path, status, answer);
    free(answer);
}

/* ---- figures ---- */

static void stats_are_lines_of_name_and_value(void **state)
{
    struct paper *p = *state;
    char *answer;
    for (int i = 0; i < PAPER_WORKERS; i++) {
        sp_cell_add(&p->workers[i].cluster.rq_total, 21);
        sp_cell_add(&p->workers[i].cells.why[SP_WHY_TIMEOUT], 1);
        sp_hist_add(&p->workers[i].cluster_time, 7 * SP_NS_PER_MS);
    }
    char *page = paper_page(p, "/stats", &answer);
    expect_line(page, "cluster.reviews.upstream_rq_total: 42");
    expect_line(page, "cluster.reviews.upstream_rq_2xx: 0");
    expect_line(page, "cluster.reviews.membership_total: 2");
    expect_line(page, "http.in.downstream_rq_total: 0");
    expect_line(page, "listener.127.0.0.1_8080.downstream_cx_active: 0");
    expect_line(page, "sampan.reason.TIMEOUT: 2");
    expect_line(page, "server.live: 1");
    expect_line(page, "server.concurrency: 2");
    assert_non_null(strstr(page, "cluster.reviews.upstream_rq_time: P0(nan,"));
    free(answer);
    page = paper_page(p, "/stats?filter=rq_(total|2xx)&usedonly", &answer);
    assert_string_equal(page, "cluster.reviews.upstream_rq_total: 42\n");
    free(answer);
    page = paper_page(p, "/stats?filter=%5Ecluster%5C.reviews%5C.upstream_rq_total%24&format=json", &answer);
    assert_string_equal(page,
                        "{\"stats\":[{\"name\":\"cluster.reviews.upstream_rq_total\",\"value\":42}]}\n");
    free(answer);
    page = paper_page(p, "/stats?format=json", &answer);
    expect_json(page);
    free(answer);
    expect_status(p, &p->tcp, "GET", "/stats?filter=(", 400);
    answer = paper_get(p, &p->tcp, "GET", "/stats?filter=a(");
    const char *fault = strstr(answer, "(at byte ");
    assert_non_null(fault);
    assert_in_range(strtoul(fault + 9, NULL, 10), 1, 2); /* in what was asked, not in what we made of it */
    free(answer);
    expect_status(p, &p->tcp, "GET", "/stats?format=xml", 400);
    expect_status(p, &p->tcp, "HEAD", "/stats", 200);
}

static void json_has_histograms_in_envoys_shape(void **state)
{
    struct paper *p = *state;
    char *answer;
    p->cluster.name = SP_STR("a\"b");
    for (int i = 0; i < 8; i++)
        sp_hist_add(&p->workers[i % 2].cluster_time, SP_NS_PER_MS);
    char *page = paper_page(p, "/stats?format=json", &answer);
    expect_json(page);
    const char *at = strstr(page,
                            ",{\"histograms\":{\"supported_quantiles\":[0,25,50,75,90,95,99,99.5,99.9,100],"
                            "\"computed_quantiles\":[{\"name\":\"cluster.a\\\"b.upstream_rq_time\","
                            "\"values\":[{\"interval\":null,\"cumulative\":1.");
    assert_non_null(at);
    assert_non_null(strstr(at, "{\"name\":\"http.in.downstream_rq_time\",\"values\":[{\"interval\":null,"
                               "\"cumulative\":null},"));
    assert_string_equal(page + strlen(page) - 6, "]}}]}\n");
    free(answer);
    page = paper_page(p, "/stats?format=json&usedonly&filter=_rq_time", &answer);
    expect_json(page);
    assert_int_equal(strncmp(page, "{\"stats\":[{\"histograms\":", 24), 0);
    assert_null(strstr(page, "downstream_rq_time"));
    int quantiles = 0;
    for (at = page; (at = strstr(at, "\"cumulative\":1.")); at++)
        quantiles++;
    assert_int_equal(quantiles, 10);
    free(answer);
}

static void the_light_sdks_door_is_shown_where_there_is_one(void **state)
{
    struct paper *p = *state;
    char *answer;
    expect_status(p, &p->tcp, "GET", "/lightsdk", 404);
    char *page = paper_page(p, "/stats", &answer);
    assert_null(strstr(page, "lightsdk"));
    free(answer);
    page = paper_page(p, "/help", &answer);
    assert_non_null(strstr(page, "  /lightsdk: "));
    free(answer);
    p->lightsdk = &(const struct sp_admin_lightsdk){ 1, 2, 3, 4000, 50, 6, 7 };
    page = paper_page(p, "/lightsdk", &answer);
    assert_string_equal(page, "{\"applications\":[]}\n");
    assert_non_null(strstr(answer, "application/json"));
    free(answer);
    page = paper_page(p, "/stats", &answer);
    expect_line(page, "sampan.lightsdk.applications: 1");
    expect_line(page, "sampan.lightsdk.publications: 2");
    expect_line(page, "sampan.lightsdk.subscriptions: 3");
    expect_line(page, "sampan.lightsdk.kept_bytes: 4000");
    expect_line(page, "sampan.lightsdk.requests: 50");
    expect_line(page, "sampan.lightsdk.wrong: 6");
    expect_line(page, "sampan.lightsdk.limited: 7");
    free(answer);
    page = paper_page(p, "/stats/prometheus", &answer);
    expect_line(page, "sampan_lightsdk_publications 2");
    expect_line(page, "# TYPE sampan_lightsdk_requests_total counter");
    expect_line(page, "sampan_lightsdk_requests_total 50");
    expect_line(page, "sampan_lightsdk_limited_total 7");
    free(answer);
}

static void a_name_with_a_newline_stays_on_its_line(void **state)
{
    struct paper *p = *state;
    char *answer;
    p->cluster.name = SP_STR("a\nserver.live: 0\r");
    char *page = paper_page(p, "/stats", &answer);
    expect_line(page, "server.live: 1");
    expect_line(page, "cluster.a_server.live: 0_.upstream_rq_total: 0");
    free(answer);
    page = paper_page(p, "/clusters", &answer);
    expect_line(page, "a_server.live: 0_::added_via_api::false");
    free(answer);
}

static void clusters_look_as_envoy_prints_them(void **state)
{
    struct paper *p = *state;
    char *answer;
    for (int i = 0; i < PAPER_WORKERS; i++)
        p->workers[i].endpoints[1] = (struct sp_endpoint_view){ .weight = 5,
                                                                .healthy = i == 0,
                                                                .rq_total = 10,
                                                                .rq_error = 1,
                                                                .rq_active = 2,
                                                                .cx_total = 4,
                                                                .cx_active = 3,
                                                                .cx_connect_fail = 1 };
    char *page = paper_page(p, "/clusters", &answer);
    static const char *const golden = "reviews::observability_name::reviews\n"
                                      "reviews::default_priority::max_connections::1024\n"
                                      "reviews::default_priority::max_pending_requests::1025\n"
                                      "reviews::default_priority::max_requests::1026\n"
                                      "reviews::default_priority::max_retries::3\n"
                                      "reviews::added_via_api::false\n";
    assert_int_equal(strncmp(page, golden, strlen(golden)), 0);
    expect_line(page, "reviews::10.0.0.1:9080::health_flags::healthy");
    expect_line(page, "reviews::10.0.0.2:9080::health_flags::/failed_eds_health");
    expect_line(page, "reviews::10.0.0.2:9080::rq_total::20");
    expect_line(page, "reviews::10.0.0.2:9080::rq_success::14");
    expect_line(page, "reviews::10.0.0.2:9080::cx_active::6");
    expect_line(page, "reviews::10.0.0.2:9080::weight::5");
    expect_line(page, "reviews::10.0.0.2:9080::hostname::host");
    free(answer);
    page = paper_page(p, "/clusters?format=json", &answer);
    expect_json(page);
    assert_non_null(strstr(page, "{\"name\":\"rq_total\",\"type\":\"COUNTER\",\"value\":\"20\"}"));
    assert_non_null(
        strstr(page, "\"address\":{\"socket_address\":{\"address\":\"10.0.0.2\",\"port_value\":9080}}"));
    assert_non_null(strstr(page, "\"eds_health_status\":\"UNHEALTHY\""));
    free(answer);
    page = paper_page(p, "/listeners", &answer);
    assert_string_equal(page, "front::127.0.0.1:8080\n");
    free(answer);
    page = paper_page(p, "/listeners?format=json", &answer);
    assert_string_equal(
        page,
        "{\"listener_statuses\":[{\"name\":\"front\",\"local_address\":{\"socket_address\":{\"address\":"
        "\"127.0.0.1\",\"port_value\":8080}}}]}\n");
    free(answer);
}

static void counters_begin_anew_behind_a_reset_and_gauges_do_not(void **state)
{
    struct paper *p = *state;
    char *answer;
    sp_cell_add(&p->workers[0].cluster.rq_total, 10);
    sp_cell_add(&p->workers[0].cluster.rq_active, 3);
    sp_cell_add(&p->workers[1].cells.why[SP_WHY_TIMEOUT], 4);
    const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                       .protocol = SP_PROTO_HTTP1,
                                       .status = 200 };
    struct sp_series *s = paper_series(&p->workers[0], key);
    sp_cell_add(&s->requests, 5);
    expect_status(p, &p->local, "POST", "/reset_counters", 200);
    sp_cell_add(&p->workers[0].cluster.rq_total, 1);
    sp_cell_add(&s->requests, 2);
    char *page = paper_page(p, "/stats", &answer);
    expect_line(page, "cluster.reviews.upstream_rq_total: 1");
    expect_line(page, "cluster.reviews.upstream_rq_active: 3");
    expect_line(page, "sampan.reason.TIMEOUT: 0");
    free(answer);
    page = paper_page(p, "/stats/prometheus", &answer);
    const char *line = strstr(page, "\nistio_requests_total{");
    assert_non_null(line);
    assert_non_null(strstr(line, "} 2\n"));
    free(answer);
    expect_status(p, &p->local, "POST", "/reset_counters", 200);
    page = paper_page(p, "/stats?filter=upstream_rq_total", &answer);
    assert_string_equal(page, "cluster.reviews.upstream_rq_total: 0\n");
    free(answer);
}

/* ---- what and how ---- */

static void ready_follows_the_state(void **state)
{
    struct paper *p = *state;
    static const struct {
        enum sp_admin_state state;
        int status;
        const char *body;
    } rows[] = { { SP_ADMIN_STARTING, 503, "INITIALIZING\n" },
                 { SP_ADMIN_LIVE, 200, "LIVE\n" },
                 { SP_ADMIN_DRAINING, 503, "DRAINING\n" } };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        p->state = rows[i].state;
        char *answer = paper_get(p, &p->tcp, "GET", "/ready");
        assert_int_equal(http_status(answer), rows[i].status);
        assert_string_equal(http_body(answer), rows[i].body);
        free(answer);
    }
}

static void plain_pages_are_what_they_say(void **state)
{
    struct paper *p = *state;
    char *answer;
    char *page = paper_page(p, "/server_info", &answer);
    expect_json(page);
    assert_non_null(strstr(page, "\"state\":\"LIVE\""));
    assert_non_null(strstr(page, "\"node\":{\"id\":\"node-1\""));
    free(answer);
    page = paper_page(p, "/memory", &answer);
    expect_json(page);
    free(answer);
    page = paper_page(p, "/certs", &answer);
    assert_string_equal(page, "{\"certificates\":[]}\n");
    free(answer);
    page = paper_page(p, "/config_dump", &answer);
    assert_string_equal(page, "{\"configs\":[],\"ignored\":[]}\n");
    free(answer);
    page = paper_page(p, "/", &answer);
    assert_non_null(strstr(answer, "Content-Type: text/html"));
    assert_non_null(strstr(page, "<a href=\"/stats/prometheus\">"));
    assert_null(strstr(page, "<a href=\"/quitquitquit\">"));
    free(answer);
    page = paper_page(p, "/help", &answer);
    expect_line(page, "  /quitquitquit: drain and end (POST, Unix socket)");
    free(answer);
    expect_status(p, &p->tcp, "GET", "/nothing", 404);
}

/* ---- who may ---- */

static void what_changes_something_works_by_post_on_the_unix_socket_alone(void **state)
{
    struct paper *p = *state;
    static const char *const paths[] = { "/quitquitquit", "/drain_listeners", "/reset_counters",
                                         "/runtime_modify?log.level=debug", "/logging?level=debug" };
    for (size_t i = 0; i < SP_COUNTOF(paths); i++) {
        expect_status(p, &p->tcp, "POST", paths[i], 403);
        bool logging = strstr(paths[i], "logging") != NULL;
        expect_status(p, &p->tcp, "GET", paths[i], logging ? 400 : 403);
        expect_status(p, &p->local, "GET", paths[i], logging ? 400 : 405);
    }
    assert_int_equal(p->quits, 0);
    assert_int_equal(p->drained, 0);
    assert_int_equal(p->log.level, SP_LOG_INFO);
    for (size_t i = 0; i < SP_COUNTOF(paths); i++)
        expect_status(p, &p->local, "POST", paths[i], 200);
    assert_int_equal(p->quits, 1);
    assert_int_equal(p->drained, 1);
    assert_int_equal(p->inbound_only + p->graceful, 0);
    assert_int_equal(p->log.level, SP_LOG_DEBUG);
    expect_status(p, &p->local, "POST", "/drain_listeners?inboundonly&graceful", 200);
    assert_int_equal(p->inbound_only, 1);
    assert_int_equal(p->graceful, 1);
}

static void the_unix_socket_is_its_owners_alone(void **state)
{
    struct paper *p = *state;
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static int status_with_host(struct paper *p, const sp_addr *at, const char *host)
{
    char request[256];
    snprintf(request, sizeof request, "GET /ready HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    char *answer = http_talk(p->loop, at, request);
    int status = http_status(answer);
    free(answer);
    return status;
}

static void a_page_whose_name_was_rebound_to_loopback_is_turned_away(void **state)
{
    struct paper *p = *state;
    static const char *const good[] = { "localhost",   "LOCALHOST:15000", "127.0.0.1",     "127.0.0.1:15000",
                                        "[::1]:15000", "[::1]",           "10.1.2.3:15000" };
    static const char *const bad[] = { "evil.example", "evil.example:15000", "localhost.evil.example",
                                       "127.0.0.1.evil.example", "1.2.3.4.5" };
    for (size_t i = 0; i < SP_COUNTOF(good); i++)
        if (status_with_host(p, &p->tcp, good[i]) != 200)
            fail_msg("%s was turned away", good[i]);
    for (size_t i = 0; i < SP_COUNTOF(bad); i++)
        if (status_with_host(p, &p->tcp, bad[i]) != 403)
            fail_msg("%s was let in", bad[i]);
    assert_int_equal(status_with_host(p, &p->local, "admin"), 200);
    char *answer = http_talk(p->loop, &p->tcp, "GET /ready HTTP/1.0\r\n\r\n");
    assert_int_equal(http_status(answer), 200);
    free(answer);
}

/* ---- runtime ---- */

static void runtime_shows_and_changes_its_keys_within_their_ranges(void **state)
{
    struct paper *p = *state;
    char *answer;
    char *page = paper_page(p, "/runtime", &answer);
    expect_json(page);
    assert_non_null(
        strstr(page, "\"log.level\":{\"final_value\":\"info\",\"layer_values\":[\"info\",\"\"]}"));
    assert_non_null(strstr(page, "\"drain.time_ms\":{\"final_value\":\"30000\""));
    free(answer);
    expect_status(p, &p->local, "POST", "/runtime_modify?drain.time_ms=5000&reason_header=false", 200);
    assert_int_equal(p->runtime_key, SP_RUNTIME_REASON_HEADER);
    assert_int_equal(p->runtime_value, 0);
    expect_status(p, &p->local, "POST", "/runtime_modify?log.level=error", 200);
    assert_int_equal(p->log.level, SP_LOG_ERROR);
    static const char *const bad[] = { "",
                                       "?",
                                       "?log.level=loud",
                                       "?log.level",
                                       "?drain.time_ms=-1",
                                       "?drain.time_ms=3600001",
                                       "?drain.time_ms=99999999999999999999",
                                       "?reason_header=1",
                                       "?nothing=1" };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        char path[100];
        snprintf(path, sizeof path, "/runtime_modify%s", bad[i]);
        expect_status(p, &p->local, "POST", path, 400);
    }
    page = paper_page(p, "/runtime", &answer);
    assert_non_null(
        strstr(page, "\"drain.time_ms\":{\"final_value\":\"5000\",\"layer_values\":[\"30000\",\"5000\"]}"));
    assert_non_null(
        strstr(page, "\"reason_header\":{\"final_value\":\"false\",\"layer_values\":[\"true\",\"false\"]}"));
    free(answer);
    expect_status(p, &p->local, "POST", "/logging?level=warning", 200);
    page = paper_page(p, "/logging", &answer);
    assert_string_equal(page, "active loggers:\n  sampan: warn\n");
    free(answer);
    expect_status(p, &p->local, "POST", "/logging?level=loud", 400);
}

static void expect_unchanged(struct paper *p)
{
    char *answer;
    char *page = paper_page(p, "/runtime", &answer);
    assert_non_null(
        strstr(page, "\"drain.time_ms\":{\"final_value\":\"30000\",\"layer_values\":[\"30000\",\"\"]}"));
    assert_non_null(
        strstr(page, "\"log.level\":{\"final_value\":\"info\",\"layer_values\":[\"info\",\"\"]}"));
    assert_int_equal(p->log.level, SP_LOG_INFO);
    free(answer);
}

static void a_change_that_is_refused_has_changed_nothing(void **state)
{
    struct paper *p = *state;
    static const char *const bad[] = {
        "log.level=error&nothing=1",         "log.level=error&drain.time_ms=-1",
        "drain.time_ms=5000&log.level=loud", "drain.time_ms=5000&reason_header=false&log.level",
        "log.level=error&log.level=error",   "drain.time_ms=5000&=",
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        char path[100];
        snprintf(path, sizeof path, "/runtime_modify?%s", bad[i]);
        expect_status(p, &p->local, "POST", path, 400);
        expect_unchanged(p);
        assert_int_equal(p->runtime_value, 0); /* cmd was told nothing */
    }
}

static sp_err refuses_the_reason_header(void *arg, uint32_t key, uint64_t value)
{
    return key == SP_RUNTIME_REASON_HEADER ? SP_E_NOMEM : paper_runtime(arg, key, value);
}

static void a_change_that_does_not_work_takes_back_what_it_had_changed(void **state)
{
    struct paper *p = *state;
    struct sp_admin_ops ops = paper_ops;
    ops.set_runtime = refuses_the_reason_header;
    sp_admin_free(p->admin);
    p->config.ops = &ops;
    const char *why = NULL;
    p->admin = sp_admin_new(p->loop, &p->config, &why);
    assert_non_null(p->admin);
    const char *path = "/runtime_modify?log.level=error&drain.time_ms=5000&reason_header=false";
    expect_status(p, &p->local, "POST", path, 500);
    expect_unchanged(p);
    assert_int_equal(p->runtime_key, SP_RUNTIME_DRAIN_TIME);
    assert_int_equal(p->runtime_value, 30000);
}

/* ---- why ---- */

static struct sp_report *add_report(struct paper_worker *w, uint64_t wall_s, enum sp_why why, const char *id,
                                    const char *path)
{
    struct sp_report *r = &w->recent[w->recent_count++];
    assert_true(w->recent_count <= PAPER_RECENT);
    memset(r, 0, sizeof *r);
    r->wall_start_ns = wall_s * SP_NS_PER_S;
    r->why = (uint16_t)why;
    r->status = 404;
    r->protocol = SP_PROTO_HTTP1;
    size_t at = 0;
    for (int i = 0; i < SP_REPORT_STRS; i++) {
        const char *text = i == SP_REPORT_REQUEST_ID ? id : i == SP_REPORT_PATH ? path : "";
        r->len[i] = (uint16_t)strlen(text);
        memcpy(r->text + at, text, r->len[i]);
        at += r->len[i];
    }
    return r;
}

static void why_finds_a_call_in_whichever_worker_it_was(void **state)
{
    struct paper *p = *state;
    char *answer;
    add_report(&p->workers[0], 100, SP_WHY_NONE, "id-1", "/one");
    add_report(&p->workers[0], 101, SP_WHY_NO_ROUTE, "id-2", "/two");
    add_report(&p->workers[1], 102, SP_WHY_TIMEOUT, "id-3", "/three");
    add_report(&p->workers[1], 103, SP_WHY_CONNECT, "id-2", "/two again");
    p->workers[1].recent[0].attempts = 2;
    p->workers[1].recent[0].retry_why = SP_WHY_UPSTREAM_CLOSED;
    char *page = paper_page(p, "/why?id=id-3", &answer);
    expect_json(page);
    assert_non_null(strstr(page, "\"attempts\":2,\"retry_reason\":\"UPSTREAM_CLOSED\""));
    assert_non_null(strstr(page, "\"records_looked_at\":4"));
    assert_non_null(strstr(page, "\"time\":\"1970-01-01T00:01:42.000Z\",\"reason\":\"TIMEOUT\""));
    assert_non_null(strstr(page, "\"text\":\"the answer did not come in time\""));
    assert_non_null(strstr(page, "\"advice\":\"raise the route's timeout"));
    assert_non_null(strstr(page, "\"path\":\"/three\""));
    free(answer);
    page = paper_page(p, "/why?id=id-2", &answer);
    assert_true(strstr(page, "/two again") < strstr(page, "\"path\":\"/two\"")); /* newest first */
    free(answer);
    expect_status(p, &p->tcp, "GET", "/why?id=id-9", 404);
    page = paper_page(p, "/why", &answer); /* no id: what had a reason */
    assert_null(strstr(page, "id-1"));
    assert_non_null(strstr(page, "id-3"));
    free(answer);
}

static void why_escapes_what_peers_wrote(void **state)
{
    struct paper *p = *state;
    char *answer;
    add_report(&p->workers[0], 100, SP_WHY_NO_ROUTE, "x\"},{\"reason\":\"NONE", "/<script>\n\xff");
    char *page = paper_page(p, "/why?id=x%22%7D,%7B%22reason%22:%22NONE", &answer);
    expect_json(page);
    assert_non_null(strstr(page, "\"request_id\":\"x\\\"},{\\\"reason\\\":\\\"NONE\""));
    assert_non_null(strstr(answer, "nosniff"));
    free(answer);
}

static void why_shows_sixteen_records_at_most(void **state)
{
    struct paper *p = *state;
    char *answer;
    for (int i = 0; i < PAPER_RECENT; i++) {
        add_report(&p->workers[0], 100 + 2 * (uint64_t)i, SP_WHY_TIMEOUT, "same", "/0");
        add_report(&p->workers[1], 101 + 2 * (uint64_t)i, SP_WHY_TIMEOUT, "same", "/1");
    }
    char *page = paper_page(p, "/why?id=same", &answer);
    int records = 0;
    for (const char *at = page; (at = strstr(at, "\"reason\"")); at++)
        records++;
    assert_int_equal(records, 16);
    assert_non_null(strstr(page, "\"time\":\"1970-01-01T00:01:40"));
    free(answer);
}

/* ---- workers ---- */

static void a_worker_that_is_gone_is_left_out(void **state)
{
    struct paper *p = *state;
    char *answer;
    sp_cell_add(&p->workers[0].cluster.rq_total, 1);
    sp_cell_add(&p->workers[1].cluster.rq_total, 10);
    p->workers[0].gone = true;
    char *page = paper_page(p, "/stats?filter=upstream_rq_total", &answer);
    assert_string_equal(page, "cluster.reviews.upstream_rq_total: 10\n");
    free(answer);
    p->workers[1].gone = true;
    page = paper_page(p, "/stats?filter=upstream_rq_total", &answer);
    assert_string_equal(page, "");
    free(answer);
}

static void pages_that_need_no_worker_answer_while_workers_are_silent(void **state)
{
    struct paper *p = *state;
    p->workers[0].silent = p->workers[1].silent = true;
    int fd = http_connect(&p->tcp);
    const char *ask = "GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char out[65536];
    size_t len = 0;
    http_send(fd, ask, strlen(ask));
    turn_until(p->loop, p->asks_out == 2);
    expect_status(p, &p->tcp, "GET", "/ready", 200);
    assert_false(http_read(fd, out, sizeof out, &len));
    paper_release(p);
    turn_until(p->loop, http_read(fd, out, sizeof out, &len));
    assert_non_null(strstr(out, "200 OK"));
    close(fd);
}

static void a_worker_that_does_not_come_back_makes_a_503_and_no_half_sum(void **state)
{
    struct paper *p = *state;
    p->workers[1].silent = true;
    char *answer = paper_get(p, &p->tcp, "GET", "/stats"); /* five seconds */
    assert_int_equal(http_status(answer), 503);
    assert_non_null(strstr(answer, "1 of the workers did not answer"));
    free(answer);
    paper_release(p);
    turn_until(p->loop, p->asks_out == 0);
    expect_status(p, &p->tcp, "GET", "/stats", 200);
}

static void a_client_that_goes_while_workers_think_leaves_nothing_behind(void **state)
{
    struct paper *p = *state;
    static const char *const pages[] = { "/stats", "/why?id=x", "/stats/prometheus" };
    p->workers[0].silent = p->workers[1].silent = true;
    for (size_t i = 0; i < SP_COUNTOF(pages); i++) {
        char ask[100];
        int fd = http_connect(&p->tcp), out = p->asks_out;
        snprintf(ask, sizeof ask, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", pages[i]);
        http_send(fd, ask, strlen(ask));
        turn_until(p->loop, p->asks_out == out + 2);
        struct linger cut = { 1, 0 };
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof cut), 0);
        close(fd);
        sp_loop_turn(p->loop, SP_NS_PER_MS);
    }
    paper_release(p);
    turn_until(p->loop, p->asks_out == 0); /* the sanitizer looks for the rest */
}

static void admin_may_go_while_workers_think(void **state)
{
    struct paper *p = *state;
    p->workers[0].silent = p->workers[1].silent = true;
    int fd = http_connect(&p->tcp);
    const char *ask =
        "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\nGET /why?id=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(p->loop, p->asks_out == 2);
    sp_admin_free(p->admin);
    p->admin = NULL;
    paper_release(p);
    turn_until(p->loop, p->asks_out == 0);
    close(fd);
}

static void many_pages_at_once_are_all_answered(void **state)
{
    struct paper *p = *state;
    enum { CLIENTS = 40 };
    int fds[CLIENTS];
    static char outs[CLIENTS][65536];
    size_t lens[CLIENTS] = { 0 };
    const char *ask = "GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = http_connect(&p->tcp);
        http_send(fds[i], ask, strlen(ask));
    }
    for (int i = 0; i < CLIENTS; i++) {
        turn_until(p->loop, http_read(fds[i], outs[i], sizeof outs[i], &lens[i]));
        assert_non_null(strstr(outs[i], "server.live: 1"));
        close(fds[i]);
    }
}

static void memory_that_is_out_at_any_place_of_the_beginning_is_said(void **state)
{
    struct paper *p = paper_new();
    paper_open(p); /* fills in config */
    sp_admin_free(p->admin);
    sp_loop_turn(p->loop, 0);
    p->admin = NULL;
    uint64_t before = sp_mem_live_blocks();
    int failed = 0;
    for (uint64_t n = 1; n < 100; n++) {
        const char *why = NULL;
        (void)sp_mem_fail_at(n);
        p->admin = sp_admin_new(p->loop, &p->config, &why);
        (void)sp_mem_fail_at(0);
        if (p->admin)
            break;
        assert_non_null(why);
        failed++;
        sp_loop_turn(p->loop, 0);
        assert_int_equal(sp_mem_live_blocks(), before);
    }
    assert_non_null(p->admin);
    assert_true(failed >= 2);
    paper_free(p);
}

static void memory_that_is_out_for_a_page_is_said_and_the_next_page_works(void **state)
{
    struct paper *p = *state;
    static const char *const pages[] = { "/stats",    "/stats/prometheus", "/clusters?format=json",
                                         "/why?id=1", "/server_info",      "/" };
    const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                       .protocol = SP_PROTO_HTTP1,
                                       .status = 200 };
    sp_cell_add(&paper_series(&p->workers[0], key)->requests, 5);
    for (size_t i = 0; i < SP_COUNTOF(pages); i++)
        for (uint64_t n = 1; n < 60; n++) {
            (void)sp_mem_fail_at(n);
            char request[128];
            snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", pages[i]);
            char *answer = http_talk(p->loop, &p->tcp, request); /* any status, or a cut connection */
            uint64_t made = sp_mem_fail_at(0);
            free(answer);
            if (made < n)
                break;
        }
    expect_status(p, &p->tcp, "GET", "/stats", 200);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, paper_set_up, paper_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(stats_are_lines_of_name_and_value),
        TEST(json_has_histograms_in_envoys_shape),
        TEST(the_light_sdks_door_is_shown_where_there_is_one),
        TEST(a_name_with_a_newline_stays_on_its_line),
        TEST(clusters_look_as_envoy_prints_them),
        TEST(counters_begin_anew_behind_a_reset_and_gauges_do_not),
        TEST(ready_follows_the_state),
        TEST(plain_pages_are_what_they_say),
        TEST(what_changes_something_works_by_post_on_the_unix_socket_alone),
        TEST(the_unix_socket_is_its_owners_alone),
        TEST(a_page_whose_name_was_rebound_to_loopback_is_turned_away),
        TEST(runtime_shows_and_changes_its_keys_within_their_ranges),
        TEST(a_change_that_is_refused_has_changed_nothing),
        TEST(a_change_that_does_not_work_takes_back_what_it_had_changed),
        TEST(why_finds_a_call_in_whichever_worker_it_was),
        TEST(why_escapes_what_peers_wrote),
        TEST(why_shows_sixteen_records_at_most),
        TEST(a_worker_that_is_gone_is_left_out),
        TEST(pages_that_need_no_worker_answer_while_workers_are_silent),
        TEST(a_worker_that_does_not_come_back_makes_a_503_and_no_half_sum),
        TEST(a_client_that_goes_while_workers_think_leaves_nothing_behind),
        TEST(admin_may_go_while_workers_think),
        TEST(many_pages_at_once_are_all_answered),
        cmocka_unit_test(memory_that_is_out_at_any_place_of_the_beginning_is_said),
        TEST(memory_that_is_out_for_a_page_is_said_and_the_next_page_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
