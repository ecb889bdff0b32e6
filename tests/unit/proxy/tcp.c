/* tcp: raw relaying: half closes, other endpoints, idleness, the PROXY header, figures. */
#include "proxy/tcp.h"

#include "unit/proxy/worker_kit.h"

static const struct sp_report *check_gone(struct kit *kit, enum sp_why why)
{
    kit_run(kit, 100);
    assert_true(sp_list_is_empty(&kit->worker->relays));
    const struct sp_report *report = last_report(kit);
    assert_int_equal(report->why, why);
    assert_int_equal(report->protocol, SP_PROTO_TCP);
    assert_int_equal(the_cluster(kit, "app")->users, 0);
    assert_int_equal(the_cluster(kit, "app")->connections.used, 0);
    assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_active), 0);
    return report;
}

static void bytes_pass_both_ways_and_are_counted(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
    say(caller, "ping");
    hear(server, "ping");
    say(server, "pong!");
    hear(caller, "pong!");
    leave(caller, false);
    hear_end(server, SP_E_CLOSED);
    leave(server, false);
    const struct sp_report *report = check_gone(kit, SP_WHY_NONE);
    assert_int_equal(report->bytes_received, 4);
    assert_int_equal(report->bytes_sent, 5);
    assert_int_equal(report->attempts, 1);
    assert_int_equal(report->upstream.port, 8080);
    assert_int_not_equal(report->upstream_local.port, 0);
    check_str(sp_report_str(report, SP_REPORT_CLUSTER), "app");
    const struct sp_cluster_cells *cells = &the_cluster(kit, "app")->cells;
    assert_int_equal(sp_cell_get(&cells->cx_total), 1);
    assert_int_equal(sp_cell_get(&cells->cx_active), 0);
    assert_int_equal(sp_cell_get(&cells->cx_tx_bytes), 4);
    assert_int_equal(sp_cell_get(&cells->cx_rx_bytes), 5);
    assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_rx_bytes), 4);
    struct sp_series *series = kit->worker->series;
    assert_int_equal(sp_cell_get(&series->tcp_opened), 1);
    assert_int_equal(sp_cell_get(&series->tcp_closed), 1);
    assert_int_equal(sp_cell_get(&series->tcp_sent), 5);
    assert_int_equal(sp_cell_get(&series->tcp_received), 4);
    kit_free(kit);
}

static uint64_t of_all(struct kit *kit, size_t cell)
{
    uint64_t sum = 0;
    for (struct sp_series *s = kit->worker->series; s; s = s->next)
        sum += sp_cell_get((const sp_cell *)(const void *)((const char *)s + cell));
    return sum;
}
#define OF_ALL(kit, field) of_all(kit, offsetof(struct sp_series, field))

static void figures_are_told_while_it_lives_and_once(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
    const struct sp_cluster_cells *cells = &the_cluster(kit, "app")->cells;
    struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
    kit_run(kit, 10);
    assert_int_equal(OF_ALL(kit, tcp_opened), 1);
    for (uint64_t i = 1; i <= 3; i++) {
        say(caller, "ping");
        hear(server, "ping");
        say(server, "pong!");
        hear(caller, "pong!");
        kit_run(kit, 1100); /* a tick of the worker, and another one in which nothing passes */
        assert_int_equal(OF_ALL(kit, tcp_received), 4 * i);
        assert_int_equal(OF_ALL(kit, tcp_sent), 5 * i);
        assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_rx_bytes), 4 * i);
        assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_tx_bytes), 5 * i);
        assert_int_equal(sp_cell_get(&cells->cx_tx_bytes), 4 * i);
        assert_int_equal(sp_cell_get(&cells->cx_rx_bytes), 5 * i);
        assert_int_equal(OF_ALL(kit, tcp_closed), 0);
    }
    say(caller, "last");
    hear(server, "last");
    leave(server, true);
    const struct sp_report *report = check_gone(kit, SP_WHY_UPSTREAM_RESET);
    assert_int_equal(report->bytes_received, 16);
    assert_int_equal(OF_ALL(kit, tcp_received), 16);
    assert_int_equal(OF_ALL(kit, tcp_sent), 15);
    assert_int_equal(OF_ALL(kit, tcp_opened), 1);
    assert_int_equal(OF_ALL(kit, tcp_closed), 1);
    assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_rx_bytes), 16);
    kit_free(kit);
}

static void each_direction_ends_by_itself(void **state)
{
    (void)state;
    for (int server_first = 0; server_first < 2; server_first++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
        struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
        struct peer *first = server_first ? server : caller, *other = server_first ? caller : server;
        say(first, "all I have");
        say_fin(first);
        hear(other, "all I have");
        hear_end(other, SP_E_CLOSED);
        say(other, "and my answer");
        hear(first, "and my answer");
        hear_nothing(first, 1000);
        say_fin(other);
        hear_end(first, SP_E_CLOSED);
        check_gone(kit, SP_WHY_NONE);
        kit_free(kit);
    }
}

static void a_reset_of_either_side_cuts_the_other(void **state)
{
    (void)state;
    for (int server_first = 0; server_first < 2; server_first++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
        struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
        kit_run(kit, 10);
        leave(server_first ? server : caller, true);
        hear_end(server_first ? caller : server, SP_E_RESET);
        const struct sp_report *report = check_gone(kit, server_first ? SP_WHY_UPSTREAM_RESET
                                                                      : SP_WHY_CLIENT_GONE);
        check_str(sp_report_str(report, SP_REPORT_FAILURE), sp_err_str(SP_E_RESET));
        kit_free(kit);
    }
}

static void much_passes_in_order_at_a_slow_readers_pace(void **state)
{
    (void)state;
    enum { BYTES = 3000 * 1000 };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
    char *bytes = malloc(BYTES + 1);
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (char)('a' + i % 23);
    bytes[BYTES] = '\0';
    sp_sock_read(&server->conn.sock, false);
    say(caller, bytes);
    kit_run(kit, 1000);
    assert_true(sp_loop_slabs(kit->worker->loop)->held_bytes < 400 * 1000);
    sp_sock_read(&server->conn.sock, true);
    hear(server, bytes);
    free(bytes);
    kit_free(kit);
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static void a_server_that_refuses_ends_the_relay(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_TCP, &door);
    door_close(door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    const struct sp_report *report = check_gone(kit, SP_WHY_CONNECT);
    check_cut(caller);
    check_str(sp_report_str(report, SP_REPORT_FAILURE), sp_err_str(SP_E_REFUSED));
    kit_free(kit);
}

static void another_endpoint_is_tried_as_often_as_the_chain_allows(void **state)
{
    (void)state;
    static const char *const addrs[] = { "127.0.0.1:9", KIT_APP, NULL };
    for (uint32_t attempts = 1; attempts <= 2; attempts++) {
        struct kit *kit = kit_new(1);
        struct sp_cluster_spec *spec = mesh_cluster(kit->sidecar, "app", addrs);
        ((struct sp_endpoint_spec *)(uintptr_t)spec->endpoints)[0].weight = 2; /* it is the first */
        spec->balance = SP_BALANCE_RANDOM;
        mesh_chain(kit_listener(kit, SP_PROTO_TCP))->connect_attempts = attempts;
        kit_apply(kit);
        struct door *door = kit_door(kit, KIT_APP);
        uint32_t reached = 0;
        for (int i = 0; i < 20; i++) {
            struct peer *caller = kit_call(kit, KIT_OUT);
            kit_run(kit, 10);
            reached += !sp_list_is_empty(&door->waiting);
            if (!sp_list_is_empty(&door->waiting))
                leave(door_next(door), false);
            leave(caller, false);
            kit_run(kit, 10);
        }
        if (attempts == 2)
            assert_int_equal(reached, 20); /* never the same one twice while there is another */
        else
            assert_true(reached > 0 && reached < 20);
        kit_free(kit);
    }
}

static void a_connect_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = SP_NS_PER_S;
    mesh_chain(kit_listener(kit, SP_PROTO_TCP))->connect_attempts = 2;
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "hello?");
    hear_nothing(caller, 1900);
    hear_end(caller, SP_E_RESET);
    const struct sp_report *report = check_gone(kit, SP_WHY_CONNECT_TIMEOUT);
    assert_int_equal(report->attempts, 2);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_connect_timeout), 2);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_connect_fail), 2);
    kit_free(kit);
}

static void a_caller_may_go_while_a_connect_is_under_way(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_TCP);
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    leave(caller, true);
    kit_run(kit, 2000);
    assert_true(sp_list_is_empty(&kit->worker->relays));
    kit_free(kit);
}

static void a_cluster_that_is_not_there_and_one_that_is_full(void **state)
{
    (void)state;
    static const enum sp_why whys[] = { SP_WHY_NO_CLUSTER, SP_WHY_POOL_FULL, SP_WHY_NO_HEALTHY };
    for (unsigned i = 0; i < SP_COUNTOF(whys); i++) {
        static const char *const none[] = { NULL };
        struct kit *kit = kit_new(1);
        if (whys[i] == SP_WHY_POOL_FULL)
            kit_cluster(kit)->limits.connections = 0;
        else if (whys[i] == SP_WHY_NO_HEALTHY)
            mesh_cluster(kit->sidecar, "app", none);
        kit_listener(kit, SP_PROTO_TCP);
        kit_apply(kit);
        struct peer *caller = kit_call(kit, KIT_OUT);
        kit_run(kit, 10);
        check_cut(caller);
        assert_int_equal(why_count(kit, whys[i]), 1);
        assert_int_equal(last_report(kit)->why, whys[i]);
        assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.cx_no_route), whys[i] == SP_WHY_NO_CLUSTER);
        kit_free(kit);
    }
}

static void weights_share_connections_among_clusters(void **state)
{
    (void)state;
    enum { CALLS = 200 };
    static const char *const one[] = { "127.0.0.1:9001", NULL }, *const two[] = { "127.0.0.1:9002", NULL };
    static const struct sp_weighted weighted[] = { { .cluster = SP_STR("one"), .weight = 30 },
                                                   { .cluster = SP_STR("two"), .weight = 70 } };
    struct kit *kit = kit_new(1);
    mesh_cluster(kit->sidecar, "one", one);
    mesh_cluster(kit->sidecar, "two", two);
    struct sp_chain_spec *chain = mesh_chain(kit_listener(kit, SP_PROTO_TCP));
    chain->weighted = weighted;
    chain->weighted_count = 2;
    chain->weight_total = 100;
    kit_apply(kit);
    struct door *doors[] = { kit_door(kit, one[0]), kit_door(kit, two[0]) };
    for (int i = 0; i < CALLS; i++)
        kit_call(kit, KIT_OUT);
    kit_run(kit, 100);
    assert_int_equal(doors[0]->accepted + doors[1]->accepted, CALLS);
    assert_true(doors[0]->accepted > 28 && doors[0]->accepted < 92); /* 60, within five deviations of 6.5 */
    kit_free(kit);
}

/* --- the PROXY header, out ------------------------------------------------------------------------------ */

static void the_header_goes_ahead_of_everything(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        struct kit *kit = kit_new(1);
        kit_cluster(kit)->proxyproto = version == 1 ? SP_PROXYPROTO_V1 : SP_PROXYPROTO_V2;
        struct sp_listener_spec *spec = kit_listener(kit, SP_PROTO_TCP);
        spec->proxy_protocol = true; /* and says what it was told itself */
        kit_apply(kit);
        struct door *door = kit_door(kit, KIT_APP);
        struct peer *caller = kit_call(kit, KIT_OUT);
        say(caller, "PROXY TCP4 192.0.2.7 198.51.100.1 5555 80\r\nfirst bytes");
        struct peer *server = door_next(door);
        if (version == 1) {
            hear(server, "PROXY TCP4 192.0.2.7 198.51.100.1 5555 80\r\nfirst bytes");
        } else {
            static const unsigned char header[28] = { '\r', '\n', '\r', '\n', 0,    '\r', '\n', 'Q', 'U', 'I',
                                                      'T',  '\n', 0x21, 0x11, 0,    12,   192,  0,   2,   7,
                                                      198,  51,   100,  1,    0x15, 0xb3, 0,    80 };
            kit_run(kit, 10);
            assert_memory_equal(heard(server).ptr, header, sizeof(header));
            hear_bytes(server, sizeof(header));
            hear(server, "first bytes");
        }
        say(caller, ", and more");
        hear(server, ", and more");
        kit_free(kit);
    }
}

/* --- idleness ------------------------------------------------------------------------------------------- */

static void a_relay_in_which_nothing_moves_ends(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_TCP))->tcp_idle_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
    for (int i = 0; i < 4; i++) {
        struct peer *speaker = i & 1 ? server : caller, *listener = i & 1 ? caller : server;
        kit_run(kit, 1500);
        say(speaker, "x");
        hear(listener, "x");
    }
    hear_nothing(caller, 1900);
    hear_end(caller, SP_E_CLOSED);
    hear_end(server, SP_E_CLOSED);
    check_gone(kit, SP_WHY_IDLE);
    assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.idle_timeout), 1);
    kit_free(kit);
}

static void a_relay_ends_at_its_age_though_bytes_flow(void **state)
{
    (void)state;
    for (uint32_t idle_s = 0; idle_s <= 3600; idle_s += 3600) {
        struct kit *kit = kit_new(1);
        kit_cluster(kit);
        struct sp_chain_spec *chain = mesh_chain(kit_listener(kit, SP_PROTO_TCP));
        chain->tcp_idle_ns = idle_s * SP_NS_PER_S;
        chain->max_connection_ns = 2 * SP_NS_PER_S;
        kit_apply(kit);
        struct door *door = kit_door(kit, KIT_APP);
        struct peer *caller = kit_call(kit, KIT_OUT), *server = door_next(door);
        kit_run(kit, 1500);
        say(caller, "x");
        hear(server, "x");
        hear_nothing(caller, 400);
        hear_end(caller, SP_E_CLOSED);
        hear_end(server, SP_E_CLOSED);
        check_gone(kit, SP_WHY_MAX_AGE);
        assert_int_equal(why_count(kit, SP_WHY_MAX_AGE), 1);
        assert_int_equal(sp_cell_get(&the_chain(kit)->tcp.max_duration), 1);
        kit_free(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_both_ways_and_are_counted),
        cmocka_unit_test(figures_are_told_while_it_lives_and_once),
        cmocka_unit_test(each_direction_ends_by_itself),
        cmocka_unit_test(a_reset_of_either_side_cuts_the_other),
        cmocka_unit_test(much_passes_in_order_at_a_slow_readers_pace),
        cmocka_unit_test(a_server_that_refuses_ends_the_relay),
        cmocka_unit_test(another_endpoint_is_tried_as_often_as_the_chain_allows),
        cmocka_unit_test(a_connect_that_takes_too_long_is_given_up),
        cmocka_unit_test(a_caller_may_go_while_a_connect_is_under_way),
        cmocka_unit_test(a_cluster_that_is_not_there_and_one_that_is_full),
        cmocka_unit_test(weights_share_connections_among_clusters),
        cmocka_unit_test(the_header_goes_ahead_of_everything),
        cmocka_unit_test(a_relay_in_which_nothing_moves_ends),
        cmocka_unit_test(a_relay_ends_at_its_age_though_bytes_flow),
    };
    return cmocka_run_group_tests_name("proxy tcp", tests, NULL, NULL);
}
