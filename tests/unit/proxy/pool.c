/* pool: which line a call gets, how long it waits for one, and what happens when there is none. Its face is
 * that of line.h; here it is seen from outside. */
#include "proxy/line.h"

#include "unit/proxy/worker_kit.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";

static const struct sp_cluster_cells *cells(struct kit *kit)
{
    return &the_cluster(kit, "app")->cells;
}

static struct kit *kit_limited(enum sp_protocol protocol, uint32_t connections, uint32_t pending,
                               struct door **ret_door)
{
    struct kit *kit = kit_new(1);
    struct sp_cluster_spec *spec = kit_cluster(kit);
    spec->limits.connections = connections;
    spec->limits.pending = pending;
    kit_listener(kit, protocol);
    kit_apply(kit);
    *ret_door = kit_door(kit, KIT_APP);
    return kit;
}

/* --- HTTP/1.1 ------------------------------------------------------------------------------------------- */

static void the_line_used_last_is_taken_first(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *callers[3], *servers[3];
    for (int i = 0; i < 3; i++) {
        callers[i] = kit_call(kit, KIT_OUT);
        say(callers[i], ask_a);
        servers[i] = door_next(door);
        hear_head(servers[i], "GET");
    }
    for (int i = 0; i < 3; i++) { /* the second comes free last */
        int k = (i * 2) % 3;      /* 0, 2, 1 */
        say(servers[k], answer);
        hear_head(callers[k], "HTTP/1.1 204");
    }
    for (int i = 0; i < 3; i++) { /* the others grow idle */
        say(callers[0], ask_a);
        hear_head(servers[1], "GET");
        say(servers[1], answer);
        hear_head(callers[0], "HTTP/1.1 204");
    }
    kit_run(kit, 2500);
    assert_int_equal(door->accepted, 3);
    kit_free(kit);
}

static void each_call_that_waits_has_a_connect_under_way(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *callers[4];
    for (int i = 0; i < 4; i++)
        callers[i] = kit_call(kit, KIT_OUT);
    for (int i = 0; i < 4; i++)
        say(callers[i], ask_a);
    for (int i = 0; i < 4; i++)
        hear_head(door_next(door), "GET");
    assert_int_equal(sp_cell_get(&cells(kit)->rq_pending_total), 4);
    assert_int_equal(sp_cell_get(&cells(kit)->cx_total), 4);
    kit_free(kit);
}

static void beyond_the_limit_of_connections_calls_wait_in_order(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_HTTP1, 1, 10, &door);
    struct peer *callers[4];
    for (int i = 0; i < 4; i++) {
        char ask[64];
        callers[i] = kit_call(kit, KIT_OUT);
        snprintf(ask, sizeof(ask), "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        say(callers[i], ask);
        kit_run(kit, 5);
    }
    struct peer *server = door_next(door);
    for (int i = 0; i < 4; i++) {
        char first[16];
        snprintf(first, sizeof(first), "GET /%d ", i);
        hear_head(server, first);
        say(server, answer);
        hear_head(callers[i], "HTTP/1.1 204");
    }
    assert_int_equal(door->accepted, 1);
    assert_true(sp_cell_get(&cells(kit)->cx_overflow) > 0);
    kit_free(kit);
}

static void beyond_the_limit_of_waiting_calls_they_are_refused(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_HTTP1, 1, 1, &door);
    struct peer *callers[3];
    for (int i = 0; i < 3; i++) {
        callers[i] = kit_call(kit, KIT_OUT);
        say(callers[i], ask_a);
        kit_run(kit, 5);
    }
    hear_refusal(callers[2], 503, "POOL_FULL");
    assert_int_equal(sp_cell_get(&cells(kit)->rq_pending_overflow), 1);
    struct peer *server = door_next(door);
    for (int i = 0; i < 2; i++) {
        hear_head(server, "GET");
        say(server, answer);
        hear_head(callers[i], "HTTP/1.1 204");
    }
    kit_free(kit);
}

/* No connection may be opened, and none of this endpoint could come free: waiting would only move the
 * timeout. */
static void without_any_connection_to_come_nobody_waits(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_HTTP1, 0, 10, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "POOL_FULL");
    assert_int_equal(the_cluster(kit, "app")->pending.used, 0);
    kit_free(kit);
}

static void a_line_that_closes_makes_room_for_who_waits(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_HTTP1, 1, 10, &door);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say(one, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    say(two, ask_a);
    kit_run(kit, 10);
    leave(server, true);
    hear_refusal(one, 503, "UPSTREAM_RESET");
    hear_head(door_next(door), "GET"); /* a new connection for the second */
    kit_free(kit);
}

/* The same when no descriptor is left for it: the call is told, and does not wait for nobody. */
static void who_waits_is_told_when_no_line_can_come_any_more(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_HTTP1, 1, 10, &door);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say(one, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    say(two, ask_a);
    kit_run(kit, 10);
    sp_sim_limit_files(kit->mesh->sim, kit->sidecar->main, 1);
    leave(server, true);
    hear_refusal(one, 503, "UPSTREAM_RESET");
    hear_refusal(two, 503, "DESCRIPTORS");
    sp_sim_limit_files(kit->mesh->sim, kit->sidecar->main, 0);
    kit_free(kit);
}

static void who_waits_for_a_dead_endpoint_is_told_call_by_call(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    door_close(door);
    struct peer *callers[5];
    for (int i = 0; i < 5; i++)
        callers[i] = kit_call(kit, KIT_OUT);
    for (int i = 0; i < 5; i++)
        say(callers[i], ask_a);
    for (int i = 0; i < 5; i++)
        hear_refusal(callers[i], 503, "CONNECT");
    assert_int_equal(sp_cell_get(&cells(kit)->cx_connect_fail), 5);
    assert_int_equal(the_endpoint(kit, "app", 0)->connecting_count, 0);
    kit_free(kit);
}

static void idle_lines_of_an_endpoint_that_goes_are_closed(void **state)
{
    (void)state;
    static const char *const other[] = { "127.0.0.1:8081", NULL };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    say(server, answer);
    hear_head(caller, "HTTP/1.1 204");
    mesh_cluster(kit->sidecar, "app", other);
    kit_apply(kit);
    hear_end(server, SP_E_CLOSED);
    kit_free(kit);
}

/* --- multiplexed ---------------------------------------------------------------------------------------- */

static void calls_of_bolt_share_one_line(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *callers[5];
    uint32_t ids[50];
    for (int i = 0; i < 5; i++)
        callers[i] = kit_call(kit, KIT_OUT);
    for (uint32_t i = 0; i < 50; i++) /* many before the line is there */
        say_ask(callers[i % 5], &(struct ask){ .id = i, .body = "x" });
    struct peer *server = door_next(door);
    for (uint32_t i = 0; i < 50; i++)
        ids[i] = hear_ask(server, "x");
    for (uint32_t i = 0; i < 50; i++)
        say_answer(server, ids[49 - i], "y");
    uint32_t answers = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 10; k++) {
            struct frame f;
            hear_frame(callers[i], &f);
            assert_int_equal(f.id % 5, i);
            answers++;
            frame_free(&f);
        }
    assert_int_equal(answers, 50);
    assert_int_equal(door->accepted, 1);
    assert_int_equal(sp_cell_get(&cells(kit)->cx_total), 1);
    kit_free(kit);
}

static void callers_of_both_versions_have_lines_of_their_own(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *old = kit_call(kit, KIT_OUT), *new = kit_call(kit, KIT_OUT);
    say_ask(old, &(struct ask){ .id = 1, .body = "v1" });
    say_ask(new, &(struct ask){ .id = 1, .v2 = true, .body = "v2" });
    struct peer *a = door_next(door), *b = door_next(door);
    kit_run(kit, 20);
    assert_int_not_equal(heard(a).ptr[0], heard(b).ptr[0]);
    kit_free(kit);
}

static void all_who_wait_for_a_shared_connect_fail_with_it(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    door_close(door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (uint32_t i = 1; i <= 20; i++)
        say_ask(caller, &(struct ask){ .id = i, .body = "x" });
    for (uint32_t i = 1; i <= 20; i++)
        hear_bolt_refusal(caller, i, "CONNECT");
    assert_int_equal(sp_cell_get(&cells(kit)->cx_connect_fail), 1);
    kit_free(kit);
}

/* A one-way call is over as soon as it has a line; served by recursion, these would need 20,000 frames of
 * it. */
static void one_way_calls_that_wait_are_served_without_end_of_the_stack(void **state)
{
    (void)state;
    enum { CALLS = 20000 };
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3"), *app = kit->app;
    struct sp_cluster_spec *spec = mesh_cluster(kit->sidecar, "app", addrs);
    spec->limits.pending = spec->limits.requests = CALLS;
    spec->connect_timeout_ns = 20 * SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_BOLT);
    kit_apply(kit);
    kit->app = far;
    struct door *door = kit_door(kit, "10.0.0.3:80");
    kit->app = app;
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    struct peer *caller = kit_call(kit, KIT_OUT);
    size_t len;
    char *bytes = ask_bytes(&(struct ask){ .id = 1, .oneway = true, .body = "x" }, &len);
    for (int i = 0; i < CALLS; i++)
        sp_buf_add(&caller->conn.out, bytes, len);
    free(bytes);
    app_conn_flush(&caller->conn);
    kit_run(kit, 500);
    assert_int_equal(the_endpoint(kit, "app", 0)->pending_count, CALLS);
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, false);
    hear_bytes(door_next(door), CALLS * len);
    kit_free(kit);
}

static void large_requests_get_lines_up_to_the_limit_and_then_wait(void **state)
{
    (void)state;
    enum { BODY = 100000 };
    struct door *door;
    struct kit *kit = kit_limited(SP_PROTO_BOLT, 2, 10, &door);
    char *body = calloc(1, BODY + 1);
    memset(body, 'x', BODY);
    struct peer *callers[3], *servers[2];
    size_t len;
    char *bytes = ask_bytes(&(struct ask){ .id = 1, .timeout_ms = 9000, .body = body }, &len);
    for (int i = 0; i < 3; i++) {
        callers[i] = kit_call(kit, KIT_OUT);
        say_bytes(callers[i], bytes, len - 10);
        kit_run(kit, 20);
    }
    for (int i = 0; i < 2; i++)
        servers[i] = door_next(door);
    assert_true(door_is_quiet(door, 50));
    for (int i = 0; i < 3; i++)
        say_bytes(callers[i], bytes + len - 10, 10);
    for (int i = 0; i < 2; i++)
        say_answer(servers[i], hear_ask(servers[i], body), "done");
    kit_run(kit, 50); /* the third takes a line that came free */
    struct peer *third = heard(servers[0]).len ? servers[0] : servers[1];
    say_answer(third, hear_ask(third, body), "done");
    for (int i = 0; i < 3; i++)
        hear_answer(callers[i], 1, "done");
    assert_int_equal(door->accepted, 2);
    free(bytes);
    free(body);
    kit_free(kit);
}

/* --- a kept line that is closed as a call is sent on it ------------------------------------------------- */

/* One call has come and gone on the caller's line and on the server's. */
static struct peer *kept_line(struct peer *caller, struct door *door)
{
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, answer);
    hear_head(caller, "HTTP/1.1 204");
    kit_run(caller->kit, 10);
    return server;
}

static void a_call_on_a_kept_line_that_is_closed_is_sent_once_more(void **state)
{
    (void)state;
    static const char *const asks[] = { "GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
                                        "DELETE /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                        "4\r\nbody\r\n0\r\n\r\n" };
    for (unsigned i = 0; i < 2 * SP_COUNTOF(asks); i++) {
        struct door *door;
        struct kit *kit = kit_limited(SP_PROTO_HTTP1, i & 1 ? 1 : 1024, 1024, &door);
        struct peer *caller = kit_call(kit, KIT_OUT), *server = kept_line(caller, door);
        say(caller, asks[i / 2]);
        kit_run(kit, 10);
        sp_str first = heard(server);
        assert_true(first.len > 0);
        char *was = strndup(first.ptr, first.len);
        app_conn_use(&server->conn, first.len);
        leave(server, i / 2 == 1);
        server = door_next(door);
        hear(server, was); /* the same bytes */
        hear_nothing(server, 10);
        say(server, answer);
        hear_head(caller, "HTTP/1.1 204");
        assert_int_equal(last_report(kit)->attempts, 2);
        assert_int_equal(last_report(kit)->why, SP_WHY_NONE);
        assert_int_equal(last_report(kit)->retry_why,
                         i / 2 == 1 ? SP_WHY_UPSTREAM_RESET : SP_WHY_UPSTREAM_CLOSED);
        assert_int_equal(sp_cell_get(&cells(kit)->rq_retry), 1);
        assert_int_equal(sp_cell_get(&cells(kit)->rq_retry_success), 1);
        assert_int_equal(the_cluster(kit, "app")->retries.used, 0);
        assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 0);
        free(was);
        say(caller, ask_a); /* and all goes on */
        hear_head(server, "GET /a");
        say(server, answer);
        hear_head(caller, "HTTP/1.1 204");
        kit_free(kit);
    }
}

static void what_might_be_done_twice_is_not_sent_again(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = kept_line(caller, door);
    say(caller, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    hear_head(server, "POST /b");
    hear(server, "body");
    leave(server, false);
    hear_refusal(caller, 503, "UPSTREAM_CLOSED");
    assert_int_equal(sp_cell_get(&cells(kit)->rq_retry), 0);
    assert_true(door_is_quiet(door, 100));
    kit_free(kit);
}

static void what_has_not_left_is_sent_again_whatever_it_is(void **state)
{
    (void)state;
    enum { BYTES = 250 * 1000 };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char *body = calloc(1, BYTES + 1);
    memset(body, 'x', BYTES);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    sp_sock_read(&server->conn.sock, false); /* the rest of it stays with the sidecar */
    say(caller, body);
    kit_run(kit, 100);
    say(server, answer);
    hear_head(caller, "HTTP/1.1 204");
    say(caller, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    kit_run(kit, 10);
    say_fin(server);
    server = door_next(door);
    hear_head(server, "POST /b");
    hear(server, "body");
    say(server, answer);
    hear_head(caller, "HTTP/1.1 204");
    assert_int_equal(sp_cell_get(&cells(kit)->rq_retry), 1);
    free(body);
    kit_free(kit);
}

static void what_has_begun_to_be_answered_is_not_sent_again(void **state)
{
    (void)state;
    static const char *const begun[] = { "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 O" };
    for (unsigned i = 0; i < SP_COUNTOF(begun); i++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
        struct peer *caller = kit_call(kit, KIT_OUT), *server = kept_line(caller, door);
        say(caller, ask_a);
        hear_head(server, "GET /a");
        say(server, begun[i]);
        kit_run(kit, 10);
        leave(server, false);
        if (i == 0)
            hear_head(caller, "HTTP/1.1 103");
        hear_refusal(caller, 503, "UPSTREAM_CLOSED");
        assert_true(door_is_quiet(door, 100));
        kit_free(kit);
    }
}

static void a_call_is_sent_again_once_and_on_a_fresh_line(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *callers[2], *servers[2];
    for (int i = 0; i < 2; i++) { /* two kept lines */
        callers[i] = kit_call(kit, KIT_OUT);
        say(callers[i], ask_a);
        servers[i] = door_next(door);
        hear_head(servers[i], "GET /a");
    }
    for (int i = 0; i < 2; i++) {
        say(servers[i], answer);
        hear_head(callers[i], "HTTP/1.1 204");
    }
    say(callers[0], ask_a);
    hear_head(servers[1], "GET /a");
    leave(servers[1], false);
    struct peer *third = door_next(door); /* the other kept line may be as old */
    hear_head(third, "GET /a");
    assert_int_equal(heard(servers[0]).len, 0);
    leave(third, false);
    hear_refusal(callers[0], 503, "UPSTREAM_CLOSED");
    assert_true(door_is_quiet(door, 100));
    assert_int_equal(last_report(kit)->attempts, 2);
    kit_free(kit);
}

static void a_call_that_finds_no_line_to_be_sent_again_on_may_have_been_seen(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = kept_line(caller, door);
    say(caller, ask_a);
    hear_head(server, "GET /a");
    door_close(door);
    leave(server, false);
    hear_refusal(caller, 503, "UPSTREAM_CLOSED"); /* not CONNECT, which says that nothing has left */
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 1);
    kit_free(kit);
}

static void the_clusters_limit_of_retries_holds(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->limits.retries = 0;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = kept_line(caller, door);
    say(caller, ask_a);
    hear_head(server, "GET /a");
    leave(server, false);
    hear_refusal(caller, 503, "UPSTREAM_CLOSED");
    assert_int_equal(sp_cell_get(&cells(kit)->rq_retry_overflow), 1);
    assert_int_equal(sp_cell_get(&cells(kit)->rq_retry), 0);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_used_last_is_taken_first),
        cmocka_unit_test(each_call_that_waits_has_a_connect_under_way),
        cmocka_unit_test(beyond_the_limit_of_connections_calls_wait_in_order),
        cmocka_unit_test(beyond_the_limit_of_waiting_calls_they_are_refused),
        cmocka_unit_test(without_any_connection_to_come_nobody_waits),
        cmocka_unit_test(a_line_that_closes_makes_room_for_who_waits),
        cmocka_unit_test(who_waits_is_told_when_no_line_can_come_any_more),
        cmocka_unit_test(who_waits_for_a_dead_endpoint_is_told_call_by_call),
        cmocka_unit_test(idle_lines_of_an_endpoint_that_goes_are_closed),
        cmocka_unit_test(calls_of_bolt_share_one_line),
        cmocka_unit_test(callers_of_both_versions_have_lines_of_their_own),
        cmocka_unit_test(all_who_wait_for_a_shared_connect_fail_with_it),
        cmocka_unit_test(one_way_calls_that_wait_are_served_without_end_of_the_stack),
        cmocka_unit_test(large_requests_get_lines_up_to_the_limit_and_then_wait),
        cmocka_unit_test(a_call_on_a_kept_line_that_is_closed_is_sent_once_more),
        cmocka_unit_test(what_might_be_done_twice_is_not_sent_again),
        cmocka_unit_test(what_has_not_left_is_sent_again_whatever_it_is),
        cmocka_unit_test(what_has_begun_to_be_answered_is_not_sent_again),
        cmocka_unit_test(a_call_is_sent_again_once_and_on_a_fresh_line),
        cmocka_unit_test(a_call_that_finds_no_line_to_be_sent_again_on_may_have_been_seen),
        cmocka_unit_test(the_clusters_limit_of_retries_holds),
    };
    return cmocka_run_group_tests_name("proxy pool", tests, NULL, NULL);
}
