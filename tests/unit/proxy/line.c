/* line: a connection's life: idle, old, stuck, beating, called backwards, ended with last words. */
#include "unit/proxy/worker_kit.h"

/* --- HTTP/1.1 ------------------------------------------------------------------------------------------- */

static void one_http_call(struct peer *caller, struct door *door, struct peer **server)
{
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    if (!*server)
        *server = door_next(door);
    hear_head(*server, "GET /a HTTP/1.1\r\n");
    say(*server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear_head(caller, "HTTP/1.1 200 OK\r\n");
    hear(caller, "ok");
}

static void a_line_carries_one_call_after_another(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    for (int i = 0; i < 5; i++)
        one_http_call(caller, door, &server);
    assert_int_equal(door->accepted, 1);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_total), 5);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_2xx), 5);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_total), 1);
    kit_free(kit);
}

static void an_idle_caller_is_sent_away_by_fin(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->idle_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    hear_nothing(caller, 900);
    one_http_call(caller, door, &server);
    hear_nothing(caller, 900);
    hear_end(caller, SP_E_CLOSED);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_idle_timeout), 1);
    assert_int_equal(why_count(kit, SP_WHY_IDLE), 1);
    kit_free(kit);
}

static void a_call_under_way_is_not_idle(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->idle_timeout_ns = SP_NS_PER_S;
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->idle_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    hear_nothing(caller, 5000);
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    kit_free(kit);
}

static void an_idle_line_to_a_server_is_closed(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->idle_timeout_ns = SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_http_call(caller, door, &server);
    hear_nothing(server, 900);
    hear_end(server, SP_E_CLOSED);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_idle_timeout), 1);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_destroy), 1);
    leave(server, false);
    server = NULL;
    one_http_call(caller, door, &server);
    assert_int_equal(door->accepted, 2);
    kit_free(kit);
}

static void a_line_of_age_takes_no_further_call(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->max_connection_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *idle = kit_call(kit, KIT_OUT), *busy = kit_call(kit, KIT_OUT);
    say(busy, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    kit_run(kit, 2500);
    hear_end(idle, SP_E_CLOSED);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    sp_str head = hear_head(busy, "HTTP/1.1 200 OK\r\n");
    assert_true(sp_str_find_str(head, SP_STR("onnection: close\r\n")) < head.len);
    hear(busy, "ok");
    hear_end(busy, SP_E_CLOSED);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_max_duration), 2);
    assert_int_equal(why_count(kit, SP_WHY_MAX_AGE), 2);
    assert_int_equal(why_count(kit, SP_WHY_DRAINING), 0);
    kit_free(kit);
}

static void a_line_to_a_server_ends_at_its_age(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->max_connection_ns = 2 * SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_http_call(caller, door, &server);
    hear_nothing(server, 1900);
    hear_end(server, SP_E_CLOSED);
    assert_int_equal(why_count(kit, SP_WHY_MAX_AGE), 1);
    server = NULL;
    one_http_call(caller, door, &server);
    assert_int_equal(door->accepted, 2);
    kit_free(kit);
}

static void a_line_to_a_server_ends_after_its_number_of_calls(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->max_requests_per_connection = 2;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_http_call(caller, door, &server);
    one_http_call(caller, door, &server);
    hear_end(server, SP_E_CLOSED);
    server = NULL;
    one_http_call(caller, door, &server);
    assert_int_equal(door->accepted, 2);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_max_requests), 1);
    kit_free(kit);
}

/* The words that an answer to HEAD leaves out must be there: nothing of the last head decoded, which was
 * another connection's, may leak into the refusal. */
static void a_head_that_does_not_end_is_refused_for_itself(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->headers_timeout_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *other = kit_call(kit, KIT_OUT), *slow = kit_call(kit, KIT_OUT);
    say(slow, "GET /never HTTP/1.1\r\nHo");
    kit_run(kit, 10);
    say(other, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "HEAD"); /* the last head decoded */
    hear_nothing(slow, 900);
    hear_refusal(slow, 408, "HEADERS_TIMEOUT");
    hear_end(slow, SP_E_CLOSED);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    hear_head(other, "HTTP/1.1 200");
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_header_timeout), 1);
    assert_int_equal(why_count(kit, SP_WHY_HEADERS_TIMEOUT), 1);
    kit_free(kit);
}

/* request_headers_timeout: 0s. Two minutes are longer than any default ever was. */
static void a_head_may_take_its_time_where_the_configuration_sets_no_limit(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->headers_timeout_ns = 0;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *slow = kit_call(kit, KIT_OUT);
    say(slow, "GET /late HTTP/1.1\r\nHo");
    hear_nothing(slow, 120 * 1000);
    say(slow, "st: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET /late");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear_head(slow, "HTTP/1.1 200");
    assert_int_equal(why_count(kit, SP_WHY_HEADERS_TIMEOUT), 0);
    kit_free(kit);
}

static void an_answer_to_nothing_ends_the_line(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_http_call(caller, door, &server);
    say(server, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    kit_run(kit, 10);
    assert_true(server->ended);
    server = NULL;
    one_http_call(caller, door, &server); /* and nobody else hears of it */
    kit_free(kit);
}

/* A tunnel whose server has ended its direction: what the caller says last, with its own end, still
 * arrives. */
static void a_tunnels_last_words_arrive(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->upgrade_websocket = true;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET /ws");
    say(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    hear_head(caller, "HTTP/1.1 101");
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_upgrades_active), 1);
    say(server, "down");
    say_fin(server);
    hear(caller, "down");
    hear_end(caller, SP_E_CLOSED);
    say(caller, "last words");
    say_fin(caller);
    hear(server, "last words");
    hear_end(server, SP_E_CLOSED);
    kit_run(kit, 100);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_upgrades_active), 0);
    kit_free(kit);
}

/* --- Bolt: heartbeats ----------------------------------------------------------------------------------- */

static void one_bolt_call(struct peer *caller, struct door *door, struct peer **server, uint32_t id)
{
    say_ask(caller, &(struct ask){ .id = id, .timeout_ms = 3000, .body = "hello" });
    if (!*server)
        *server = door_next(door);
    uint32_t theirs = hear_ask(*server, "hello");
    say_answer(*server, theirs, "hi");
    hear_answer(caller, id, "hi");
}

static void hear_heartbeat(struct peer *peer, bool ack, uint32_t *ret_id)
{
    struct frame f;
    hear_frame(peer, &f);
    assert_int_equal(f.kind, ack ? SP_MSG_HEARTBEAT_ACK : SP_MSG_HEARTBEAT);
    *ret_id = f.id;
    frame_free(&f);
}

static void a_callers_heartbeat_is_answered_here(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    uint32_t id;
    say_heartbeat(caller, 77, false);
    hear_heartbeat(caller, true, &id);
    assert_int_equal(id, 77);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.heartbeats), 1);
    assert_true(door_is_quiet(door, 10));
    kit_free(kit);
}

static void a_server_that_answers_heartbeats_keeps_its_line(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_cluster_spec *cluster = kit_cluster(kit);
    cluster->heartbeat_ns = 2 * SP_NS_PER_S;
    cluster->idle_timeout_ns = 0;
    kit_listener(kit, SP_PROTO_BOLT);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_bolt_call(caller, door, &server, 1);
    for (int i = 0; i < 5; i++) {
        uint32_t id;
        hear_nothing(server, 1900);
        hear_heartbeat(server, false, &id);
        say_heartbeat(server, id, true);
    }
    one_bolt_call(caller, door, &server, 2);
    assert_int_equal(door->accepted, 1);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_heartbeat), 5);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_heartbeat_lost), 0);
    kit_free(kit);
}

static void three_lost_heartbeats_end_the_line_and_its_calls(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->heartbeat_ns = SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_BOLT);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 5, .timeout_ms = 60000, .body = "hello" });
    struct peer *server = door_next(door);
    hear_ask(server, "hello");
    for (int i = 0; i < 3; i++) {
        uint32_t id;
        hear_heartbeat(server, false, &id);
    }
    hear_bolt_refusal(caller, 5, "HEARTBEAT_LOST");
    hear_end(server, SP_E_RESET);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_heartbeat_lost), 3);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_destroy_with_active), 1);
    kit_free(kit);
}

/* --- Bolt: requests that come backwards ----------------------------------------------------------------- */

static void a_backward_call_finds_the_only_caller(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_bolt_call(caller, door, &server, 1);
    say_ask(server, &(struct ask){ .id = 900, .timeout_ms = 3000, .body = "back" });
    uint32_t id = hear_ask(caller, "back");
    say_answer(caller, id, "done");
    hear_answer(server, 900, "done");
    one_bolt_call(caller, door, &server, 2);
    assert_int_equal(door->accepted, 1);
    kit_free(kit);
}

static void a_shared_line_refuses_backward_calls_and_the_next_line_is_not_shared(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT), *server = NULL;
    one_bolt_call(one, door, &server, 1);
    one_bolt_call(two, door, &server, 2);
    say_ask(server, &(struct ask){ .id = 900, .timeout_ms = 3000, .body = "back" });
    hear_bolt_refusal(server, 900, "BACKWARD");
    assert_int_equal(why_count(kit, SP_WHY_BACKWARD), 1);

    struct peer *ones = NULL, *twos = NULL; /* from now on each has a line of its own */
    one_bolt_call(one, door, &ones, 3);
    one_bolt_call(two, door, &twos, 4);
    assert_int_equal(door->accepted, 3);
    say_ask(ones, &(struct ask){ .id = 901, .timeout_ms = 3000, .body = "to one" });
    say_answer(one, hear_ask(one, "to one"), "one");
    hear_answer(ones, 901, "one");
    say_ask(twos, &(struct ask){ .id = 902, .timeout_ms = 3000, .body = "to two" });
    say_answer(two, hear_ask(two, "to two"), "two");
    hear_answer(twos, 902, "two");
    kit_free(kit);
}

static void a_backward_call_whose_client_leaves_is_refused(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_bolt_call(caller, door, &server, 1);
    say_ask(server, &(struct ask){ .id = 900, .timeout_ms = 3000, .body = "back" });
    hear_ask(caller, "back");
    leave(caller, true);
    struct frame f;
    hear_frame(server, &f);
    assert_int_equal(f.kind, SP_MSG_RESPONSE);
    assert_int_equal(f.id, 900);
    assert_int_not_equal(f.raw_status, SP_BOLT_SUCCESS);
    frame_free(&f);
    say_ask(server, &(struct ask){ .id = 901, .timeout_ms = 3000, .body = "back" });
    hear_bolt_refusal(server, 901, "BACKWARD"); /* nobody is known by this line now */
    kit_free(kit);
}

static void a_backward_call_that_nobody_answers_ends_by_the_listeners_time(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->idle_timeout_ns = 0;
    mesh_chain(kit_listener(kit, SP_PROTO_BOLT))->stream_idle_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    one_bolt_call(caller, door, &server, 1);
    say_ask(server, &(struct ask){ .id = 900, .body = "back" }); /* it does not say how long it waits */
    hear_ask(caller, "back");
    hear_bolt_refusal(server, 900, "STREAM_IDLE");
    kit_free(kit);
}

/* --- Bolt: the end -------------------------------------------------------------------------------------- */

static void a_one_way_call_leaves_before_its_line_ends(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->max_requests_per_connection = 1;
    kit_listener(kit, SP_PROTO_BOLT);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (uint32_t i = 0; i < 3; i++) {
        say_ask(caller, &(struct ask){ .id = i, .oneway = true, .body = "told" });
        struct peer *server = door_next(door);
        hear_ask(server, "told");
        hear_end(server, SP_E_CLOSED);
    }
    kit_free(kit);
}

static void a_server_that_says_goaway_gets_no_further_call(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 3000, .body = "hello" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "hello");
    static const char goaway[] = { 1, 1, 0, 100, 1, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    say_bytes(server, goaway, sizeof(goaway));
    kit_run(kit, 10);
    struct peer *next = NULL;
    one_bolt_call(caller, door, &next, 2);
    say_answer(server, id, "late");
    hear_answer(caller, 1, "late");
    hear_end(server, SP_E_CLOSED);
    kit_free(kit);
}

/* It is we who let the caller rest when the server is slow: what waits undecoded is no head that does not
 * end. */
static void a_caller_that_rests_for_a_slow_server_is_not_late(void **state)
{
    (void)state;
    enum { ASKS = 200, BODY = 10000 };
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->buffer_bytes = 64 * 1024;
    mesh_chain(kit_listener(kit, SP_PROTO_BOLT))->headers_timeout_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char *body = calloc(1, BODY + 1);
    memset(body, 'x', BODY);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 60000, .body = body });
    struct peer *server = door_next(door);
    hear_ask(server, body);
    sp_sock_read(&server->conn.sock, false);
    for (uint32_t i = 2; i <= ASKS; i++)
        say_ask(caller, &(struct ask){ .id = i, .timeout_ms = 60000, .body = body });
    hear_nothing(caller, 5000);
    assert_true(caller->conn.out.len - caller->conn.out_at > 500 * 1000); /* it does rest */
    sp_sock_read(&server->conn.sock, true);
    for (uint32_t i = 2; i <= ASKS; i++)
        hear_ask(server, body);
    free(body);
    kit_free(kit);
}

/* A server that reads nothing: its line is cut after half a minute, and each call on it is answered. */
static void a_stalled_server_is_cut_and_its_callers_are_told(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_cluster_spec *cluster = kit_cluster(kit);
    cluster->buffer_bytes = 64 * 1024;
    cluster->heartbeat_ns = 60 * SP_NS_PER_S;
    mesh_route(kit_listener(kit, SP_PROTO_BOLT))->timeout_ns = 0;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 0, .body = "small" });
    struct peer *server = door_next(door);
    hear_ask(server, "small");
    sp_sock_read(&server->conn.sock, false);
    char *body = calloc(1, 60001);
    memset(body, 'x', 60000);
    for (uint32_t i = 2; i <= 4; i++)
        say_ask(caller, &(struct ask){ .id = i, .timeout_ms = 0, .body = body });
    kit_run(kit, 31000);
    for (uint32_t i = 1; i <= 3; i++)
        hear_bolt_refusal(caller, i, "STALLED");
    struct peer *next = door_next(door); /* the last had to wait at the caller's, and goes elsewhere now */
    say_answer(next, hear_ask(next, body), "done");
    hear_answer(caller, 4, "done");
    free(body);
    kit_free(kit);
}

static void a_frame_has_the_time_that_its_chain_gives(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_BOLT))->headers_timeout_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    kit_door(kit, KIT_APP);
    say_ask(caller, &(struct ask){ .id = 3, .body = "not all of it", .say_bytes = 40 });
    hear_nothing(caller, 1900);
    hear_end(caller, SP_E_CLOSED); /* its id has not come, so nothing can be answered */
    assert_int_equal(why_count(kit, SP_WHY_HEADERS_TIMEOUT), 1);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_carries_one_call_after_another),
        cmocka_unit_test(an_idle_caller_is_sent_away_by_fin),
        cmocka_unit_test(a_call_under_way_is_not_idle),
        cmocka_unit_test(an_idle_line_to_a_server_is_closed),
        cmocka_unit_test(a_line_of_age_takes_no_further_call),
        cmocka_unit_test(a_line_to_a_server_ends_at_its_age),
        cmocka_unit_test(a_line_to_a_server_ends_after_its_number_of_calls),
        cmocka_unit_test(a_head_that_does_not_end_is_refused_for_itself),
        cmocka_unit_test(a_head_may_take_its_time_where_the_configuration_sets_no_limit),
        cmocka_unit_test(an_answer_to_nothing_ends_the_line),
        cmocka_unit_test(a_tunnels_last_words_arrive),
        cmocka_unit_test(a_callers_heartbeat_is_answered_here),
        cmocka_unit_test(a_server_that_answers_heartbeats_keeps_its_line),
        cmocka_unit_test(three_lost_heartbeats_end_the_line_and_its_calls),
        cmocka_unit_test(a_backward_call_finds_the_only_caller),
        cmocka_unit_test(a_shared_line_refuses_backward_calls_and_the_next_line_is_not_shared),
        cmocka_unit_test(a_backward_call_whose_client_leaves_is_refused),
        cmocka_unit_test(a_backward_call_that_nobody_answers_ends_by_the_listeners_time),
        cmocka_unit_test(a_one_way_call_leaves_before_its_line_ends),
        cmocka_unit_test(a_server_that_says_goaway_gets_no_further_call),
        cmocka_unit_test(a_caller_that_rests_for_a_slow_server_is_not_late),
        cmocka_unit_test(a_stalled_server_is_cut_and_its_callers_are_told),
        cmocka_unit_test(a_frame_has_the_time_that_its_chain_gives),
    };
    return cmocka_run_group_tests_name("proxy line", tests, NULL, NULL);
}
