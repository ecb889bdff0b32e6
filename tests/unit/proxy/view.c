/* view: a struct of cells and the table of its names stand in the same order; the walk finds everything. */
#include "proxy/view.h"

#include "unit/proxy/worker_kit.h"

struct place {
    size_t offset;
    const char *name;
};
#define PLACE(type, cell, text)                                                                              \
    {                                                                                                        \
        offsetof(struct type, cell), text                                                                    \
    }

static void check_places(const struct sp_cell_name *names, const struct place *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(places[i].offset, i * sizeof(sp_cell)); /* the test names every cell, in order */
        assert_string_equal(names[i].name, places[i].name);
        assert_true(strlen(names[i].help) > 0);
        bool is_gauge = strstr(names[i].name, "_active") && !strstr(names[i].name, "with_active");
        assert_int_equal(names[i].gauge, is_gauge);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i].name, names[k].name);
    }
}

static void names_of_cluster_cells_stand_in_their_order(void **state)
{
    (void)state;
    static const struct place places[] = {
        PLACE(sp_cluster_cells, rq_total, "upstream_rq_total"),
        PLACE(sp_cluster_cells, rq_active, "upstream_rq_active"),
        PLACE(sp_cluster_cells, rq_1xx, "upstream_rq_1xx"),
        PLACE(sp_cluster_cells, rq_2xx, "upstream_rq_2xx"),
        PLACE(sp_cluster_cells, rq_3xx, "upstream_rq_3xx"),
        PLACE(sp_cluster_cells, rq_4xx, "upstream_rq_4xx"),
        PLACE(sp_cluster_cells, rq_5xx, "upstream_rq_5xx"),
        PLACE(sp_cluster_cells, rq_timeout, "upstream_rq_timeout"),
        PLACE(sp_cluster_cells, rq_retry, "upstream_rq_retry"),
        PLACE(sp_cluster_cells, rq_retry_success, "upstream_rq_retry_success"),
        PLACE(sp_cluster_cells, rq_retry_overflow, "upstream_rq_retry_overflow"),
        PLACE(sp_cluster_cells, rq_pending_total, "upstream_rq_pending_total"),
        PLACE(sp_cluster_cells, rq_pending_active, "upstream_rq_pending_active"),
        PLACE(sp_cluster_cells, rq_pending_overflow, "upstream_rq_pending_overflow"),
        PLACE(sp_cluster_cells, rq_overflow, "upstream_rq_overflow"),
        PLACE(sp_cluster_cells, rq_app_error, "upstream_rq_app_error"),
        PLACE(sp_cluster_cells, rq_rx_reset, "upstream_rq_rx_reset"),
        PLACE(sp_cluster_cells, rq_cancelled, "upstream_rq_cancelled"),
        PLACE(sp_cluster_cells, cx_total, "upstream_cx_total"),
        PLACE(sp_cluster_cells, cx_active, "upstream_cx_active"),
        PLACE(sp_cluster_cells, cx_connect_fail, "upstream_cx_connect_fail"),
        PLACE(sp_cluster_cells, cx_connect_timeout, "upstream_cx_connect_timeout"),
        PLACE(sp_cluster_cells, cx_overflow, "upstream_cx_overflow"),
        PLACE(sp_cluster_cells, cx_destroy, "upstream_cx_destroy"),
        PLACE(sp_cluster_cells, cx_destroy_with_active, "upstream_cx_destroy_with_active_rq"),
        PLACE(sp_cluster_cells, cx_max_requests, "upstream_cx_max_requests"),
        PLACE(sp_cluster_cells, cx_idle_timeout, "upstream_cx_idle_timeout"),
        PLACE(sp_cluster_cells, cx_protocol_error, "upstream_cx_protocol_error"),
        PLACE(sp_cluster_cells, cx_rx_bytes, "upstream_cx_rx_bytes_total"),
        PLACE(sp_cluster_cells, cx_tx_bytes, "upstream_cx_tx_bytes_total"),
        PLACE(sp_cluster_cells, cx_heartbeat, "upstream_cx_heartbeat"),
        PLACE(sp_cluster_cells, cx_heartbeat_lost, "upstream_cx_heartbeat_lost"),
        PLACE(sp_cluster_cells, lb_no_endpoint, "lb_no_endpoint"),
        PLACE(sp_cluster_cells, update_success, "update_success"),
        PLACE(sp_cluster_cells, update_failure, "update_failure"),
    };
    assert_int_equal(sizeof(struct sp_cluster_cells), SP_COUNTOF(places) * sizeof(sp_cell));
    check_places(sp_cluster_cell_names, places, SP_COUNTOF(places));
}

static void names_of_listener_cells_stand_in_their_order(void **state)
{
    (void)state;
    static const struct place places[] = {
        PLACE(sp_listener_cells, cx_total, "downstream_cx_total"),
        PLACE(sp_listener_cells, cx_active, "downstream_cx_active"),
        PLACE(sp_listener_cells, cx_destroy, "downstream_cx_destroy"),
        PLACE(sp_listener_cells, cx_overflow, "downstream_cx_overflow"),
        PLACE(sp_listener_cells, cx_overload_reject, "downstream_cx_overload_reject"),
        PLACE(sp_listener_cells, no_filter_chain_match, "no_filter_chain_match"),
        PLACE(sp_listener_cells, detect_timeout, "downstream_pre_cx_timeout"),
        PLACE(sp_listener_cells, proxy_protocol_error, "proxy_protocol_error"),
        PLACE(sp_listener_cells, accept_paused, "accept_paused"),
    };
    assert_int_equal(sizeof(struct sp_listener_cells), SP_COUNTOF(places) * sizeof(sp_cell));
    check_places(sp_listener_cell_names, places, SP_COUNTOF(places));
}

static void names_of_chain_cells_stand_in_their_order(void **state)
{
    (void)state;
    static const struct place places[] = {
        PLACE(sp_chain_cells, rq_total, "downstream_rq_total"),
        PLACE(sp_chain_cells, rq_active, "downstream_rq_active"),
        PLACE(sp_chain_cells, rq_1xx, "downstream_rq_1xx"),
        PLACE(sp_chain_cells, rq_2xx, "downstream_rq_2xx"),
        PLACE(sp_chain_cells, rq_3xx, "downstream_rq_3xx"),
        PLACE(sp_chain_cells, rq_4xx, "downstream_rq_4xx"),
        PLACE(sp_chain_cells, rq_5xx, "downstream_rq_5xx"),
        PLACE(sp_chain_cells, rq_app_error, "downstream_rq_app_error"),
        PLACE(sp_chain_cells, rq_oneway, "downstream_rq_oneway"),
        PLACE(sp_chain_cells, rq_rx_reset, "downstream_rq_rx_reset"),
        PLACE(sp_chain_cells, rq_timeout, "downstream_rq_timeout"),
        PLACE(sp_chain_cells, rq_idle_timeout, "downstream_rq_idle_timeout"),
        PLACE(sp_chain_cells, rq_header_timeout, "downstream_rq_header_timeout"),
        PLACE(sp_chain_cells, rq_too_large, "downstream_rq_too_large"),
        PLACE(sp_chain_cells, no_route, "no_route"),
        PLACE(sp_chain_cells, cx_total, "downstream_cx_total"),
        PLACE(sp_chain_cells, cx_active, "downstream_cx_active"),
        PLACE(sp_chain_cells, cx_destroy_remote, "downstream_cx_destroy_remote"),
        PLACE(sp_chain_cells, cx_idle_timeout, "downstream_cx_idle_timeout"),
        PLACE(sp_chain_cells, cx_max_duration, "downstream_cx_max_duration_reached"),
        PLACE(sp_chain_cells, cx_protocol_error, "downstream_cx_protocol_error"),
        PLACE(sp_chain_cells, cx_rx_bytes, "downstream_cx_rx_bytes_total"),
        PLACE(sp_chain_cells, cx_tx_bytes, "downstream_cx_tx_bytes_total"),
        PLACE(sp_chain_cells, cx_upgrades, "downstream_cx_upgrades_total"),
        PLACE(sp_chain_cells, cx_upgrades_active, "downstream_cx_upgrades_active"),
        PLACE(sp_chain_cells, heartbeats, "downstream_heartbeats"),
    };
    assert_int_equal(sizeof(struct sp_chain_cells), SP_COUNTOF(places) * sizeof(sp_cell));
    check_places(sp_chain_cell_names, places, SP_COUNTOF(places));
}

static void names_of_tcp_cells_stand_in_their_order(void **state)
{
    (void)state;
    static const struct place places[] = {
        PLACE(sp_tcp_cells, cx_total, "downstream_cx_total"),
        PLACE(sp_tcp_cells, cx_active, "downstream_cx_active"),
        PLACE(sp_tcp_cells, cx_no_route, "downstream_cx_no_route"),
        PLACE(sp_tcp_cells, cx_rx_bytes, "downstream_cx_rx_bytes_total"),
        PLACE(sp_tcp_cells, cx_tx_bytes, "downstream_cx_tx_bytes_total"),
        PLACE(sp_tcp_cells, idle_timeout, "idle_timeout"),
        PLACE(sp_tcp_cells, max_duration, "max_downstream_connection_duration"),
    };
    assert_int_equal(sizeof(struct sp_tcp_cells), SP_COUNTOF(places) * sizeof(sp_cell));
    check_places(sp_tcp_cell_names, places, SP_COUNTOF(places));
}

/* --- the walk ------------------------------------------------------------------------------------------- */

static void note(void *arg, const char *what, sp_str name)
{
    sp_buf_printf(arg, "%s %.*s\n", what, SP_STR_ARG(name));
}

static void on_listener(void *arg, const struct sp_listener_spec *spec, const sp_addr *bound,
                        const struct sp_listener_cells *cells)
{
    assert_true(bound->port == 15001 && cells);
    note(arg, "listener", spec->name);
}

static void on_chain(void *arg, sp_str prefix, const struct sp_chain_cells *cells, const struct sp_hist *hist)
{
    assert_true(cells && hist);
    note(arg, "chain", prefix);
}

static void on_tcp(void *arg, sp_str prefix, const struct sp_tcp_cells *cells)
{
    note(arg, "tcp", prefix);
    sp_buf_printf(arg, "connections %d\n", (int)sp_cell_get(&cells->cx_total));
}

static void on_cluster(void *arg, const struct sp_cluster_spec *spec, const struct sp_cluster_cells *cells,
                       const struct sp_hist *hist)
{
    assert_true(cells && hist);
    note(arg, "cluster", spec->name);
}

static void on_endpoint(void *arg, const struct sp_cluster_spec *spec, const sp_addr *addr,
                        const struct sp_endpoint_view *ep)
{
    char text[SP_ADDR_TEXT_BYTES];
    sp_addr_print(addr, text, sizeof(text));
    sp_buf_printf(arg, "endpoint %.*s %s total %d active %d cx %d %s\n", SP_STR_ARG(spec->name), text,
                  (int)ep->rq_total, (int)ep->rq_active, (int)ep->cx_active, ep->healthy ? "up" : "down");
}

static void on_series(void *arg, const struct sp_series *series)
{
    sp_buf_printf(arg, "series %u\n", series->key.status);
}

static void on_worker(void *arg, uint32_t index, const struct sp_worker_cells *cells)
{
    sp_buf_printf(arg, "worker %u %d\n", index, (int)sp_cell_get(&cells->streams_active));
}

static void the_walk_shows_what_there_is(void **state)
{
    (void)state;
    static const struct sp_view_ops all = { on_listener, on_chain,  on_cluster,
                                            on_endpoint, on_series, on_worker };
    static const struct sp_view_ops nothing = { NULL };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (int i = 0; i < 2; i++) {
        say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        if (i)
            break;
        struct peer *server = door_next(door);
        hear_head(server, "GET");
        say(server, "HTTP/1.1 204 No Content\r\n\r\n");
        hear_head(caller, "HTTP/1.1 204");
    }
    kit_run(kit, 10);
    struct sp_buf text = { 0 };
    sp_worker_walk(kit->worker, &all, &text);
    sp_worker_walk(kit->worker, &nothing, &text);
    check_str(sp_buf_str(&text),
              "listener out\nchain out\ncluster app\n"
              "endpoint app 127.0.0.1:8080 total 2 active 1 cx 1 up\nseries 204\nworker 0 1\n");
    sp_buf_deinit(&text);
    kit_free(kit);
}

static void a_chain_of_raw_bytes_is_shown_as_one(void **state)
{
    (void)state;
    static const struct sp_view_ops ops = { .on_chain = on_chain, .on_tcp = on_tcp };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "x");
    hear(door_next(door), "x");
    struct sp_buf text = { 0 };
    sp_worker_walk(kit->worker, &ops, &text);
    check_str(sp_buf_str(&text), "tcp out\nconnections 1\n");
    sp_buf_deinit(&text);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_cluster_cells_stand_in_their_order),
        cmocka_unit_test(names_of_listener_cells_stand_in_their_order),
        cmocka_unit_test(names_of_chain_cells_stand_in_their_order),
        cmocka_unit_test(names_of_tcp_cells_stand_in_their_order),
        cmocka_unit_test(the_walk_shows_what_there_is),
        cmocka_unit_test(a_chain_of_raw_bytes_is_shown_as_one),
    };
    return cmocka_run_group_tests_name("proxy view", tests, NULL, NULL);
}
