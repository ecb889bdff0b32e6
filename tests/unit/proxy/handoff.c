/* handoff: calls of each protocol, with a hand-over after each step: see handoff_kit.h. Those that wait for
 * something, a clock among it, are in handoff_waits.c. */
#include "unit/proxy/handoff_kit.h"

#define HEAD "Host: a\r\n"

/* ---- HTTP/1.1 ---- */

static void script_get(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT), *server = NULL;
    step(r);
    for (int i = 0; i < 2; i++) {
        say(client, "GET /a HT");
        step(r);
        say(client, "TP/1.1\r\nHost: a\r");
        step(r);
        say(client, "\n\r\n");
        step(r);
        if (!server)
            server = next_alive(r);
        hear(server, "GET /a HTTP/1.1\r\nHost: a\r\nx-forwarded-proto: http\r\n\r\n");
        say(server, "HTTP/1.1 200 OK\r\nConte");
        step(r);
        say(server, "nt-Length: 6\r\n\r\nabc");
        step(r);
        say(server, "def");
        step(r);
        hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef");
    }
    assert_true(door_is_quiet(r->door, 5)); /* the same line served both */
}

static void an_http_connection_moves_at_every_step_of_two_calls(void **state)
{
    each_step(SP_PROTO_HTTP1, script_get);
}

static void script_post(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nab");
    step(r);
    struct peer *server = next_alive(r);
    say(client, "c\r\n5\r");
    step(r);
    say(client, "\nhello\r\n0\r\n");
    step(r);
    say(client, "\r\n");
    step(r);
    sp_str head = hear_head(server, "POST /a HTTP/1.1\r\n");
    assert_true(sp_str_find_str(head, SP_STR("hunked")) < head.len);
    uint64_t bytes = 0; /* pieces may be cut elsewhere: what they hold counts */
    char body[16] = "";
    for (;;) {
        sp_str size = hear_to(server, "\r\n");
        uint64_t n;
        assert_int_equal(sp_str_hex_to_u64(sp_str_upto(size, size.len - 2), &n), 0);
        if (!n)
            break;
        sp_str piece = hear_to(server, "\r\n");
        memcpy(body + bytes, piece.ptr, n);
        bytes += n;
    }
    hear(server, "\r\n");
    assert_string_equal(body, "abchello");
    say(server, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n");
    step(r);
    say(server, "2\r\nhi\r\n0\r\n\r\n");
    step(r);
    hear(client, "HTTP/1.1 100 Continue\r\n\r\n");
    hear_head(client, "HTTP/1.1 201 Made\r\n");
    hear(client, "2\r\nhi\r\n0\r\n\r\n");
}

static void a_chunked_request_moves_at_every_step(void **state)
{
    each_step(SP_PROTO_HTTP1, script_post);
}

static void script_tunnel(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "GET /ws HTTP/1.1\r\n");
    say(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
    step(r);
    hear_head(client, "HTTP/1.1 101 Switching Protocols\r\n");
    hear(client, "hello");
    say(client, "from here");
    say(server, "from there");
    step(r);
    hear(server, "from here");
    hear(client, "from there");
    say_fin(client);
    step(r);
    hear_end(server, SP_E_CLOSED);
    say(server, "last words");
    step(r);
    hear(client, "last words");
    say_fin(server);
    step(r);
    hear_end(client, SP_E_CLOSED);
}

static struct kit *allow_websocket(struct kit *kit)
{
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->upgrade_websocket = true;
    kit_apply(kit);
    return kit;
}

static void script_websocket(struct run *r)
{
    allow_websocket(r->kit);
    script_tunnel(r);
}

static void a_websocket_moves_at_every_step(void **state)
{
    each_step(SP_PROTO_HTTP1, script_websocket);
}

static void script_pipelined(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "GET /1 HTTP/1.1\r\n" HEAD "\r\nGET /2 HTTP/1.1\r\n" HEAD "\r\n");
    say_fin(client);
    step(r);
    struct peer *server = next_alive(r);
    for (int i = 1; i <= 2; i++) {
        hear_head(server, i == 1 ? "GET /1 " : "GET /2 ");
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        step(r);
        hear(client, "HTTP/1.1 200 OK\r\n");
        hear_to(client, "\r\n\r\nx");
    }
    hear_end(client, SP_E_CLOSED);
}

static void requests_that_wait_behind_a_half_closed_end_move(void **state)
{
    each_step(SP_PROTO_HTTP1, script_pipelined);
}

/* ---- a line that is not there yet ---- */

static void script_pending(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Content-Length: 6\r\n\r\nabc");
    sp_sim_run(r->kit->mesh->sim, sp_sim_now(r->kit->mesh->sim)); /* perhaps connecting by now */
    step(r);
    say(client, "def");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "POST /a HTTP/1.1\r\n");
    hear(server, "abcdef");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    step(r);
    hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

static void a_call_whose_line_is_connecting_waits_on_over_there(void **state)
{
    each_step(SP_PROTO_HTTP1, script_pending);
}

/* ---- Bolt ---- */

static void script_bolt(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    const struct ask first = { .id = 7, .body = "first", .timeout_ms = 3000 };
    const struct ask second = { .id = 8, .body = "second", .say_bytes = 30 };
    say_ask(client, &first);
    step(r);
    struct peer *server = next_alive(r);
    size_t len;
    char *bytes = ask_bytes(&second, &len);
    say_ask(client, &second);
    step(r);
    uint32_t one = hear_ask(server, "first");
    say_bytes(client, bytes + 30, len - 30);
    free(bytes);
    step(r);
    uint32_t two = hear_ask(server, "second");
    assert_int_not_equal(one, two);
    say_answer(server, two, "second's");
    step(r);
    hear_answer(client, 8, "second's");
    say_heartbeat(client, 99, false);
    step(r);
    struct frame ack;
    hear_frame(client, &ack);
    assert_int_equal(ack.id, 99);
    frame_free(&ack);
    say_answer(server, one, "first's");
    step(r);
    hear_answer(client, 7, "first's");
}

static void bolt_calls_move_at_every_step_and_find_their_callers(void **state)
{
    each_step(SP_PROTO_BOLT, script_bolt);
}

static void script_big(struct run *r)
{
    enum { BIG = 150 * 1024, HALF = 70 * 1024 };
    struct peer *client = kit_call(r->kit, KIT_OUT), *other = kit_call(r->kit, KIT_OUT);
    char *body = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        body[i] = (char)(i * 31 + i / 251);
    struct ask big = { .id = 1, .body = body, .body_bytes = BIG, .say_bytes = HALF };
    const struct ask small = { .id = 2, .body = "small" };
    size_t len;
    char *bytes = ask_bytes(&big, &len);
    say_bytes(client, bytes, HALF);
    step(r);
    struct peer *server = next_alive(r);
    say_ask(other, &small); /* not behind it: that one has a line of its own */
    step(r);
    struct peer *second = next_alive(r);
    uint32_t id = hear_ask(second, "small");
    say_answer(second, id, "quick");
    step(r);
    hear_answer(other, 2, "quick");
    say_bytes(client, bytes + HALF, len - HALF);
    step(r);
    struct frame frame;
    hear_frame(server, &frame);
    assert_int_equal(frame.body_bytes, BIG);
    assert_memory_equal(frame.body, body, BIG);
    say_answer(server, frame.id, "taken");
    step(r);
    hear_answer(client, 1, "taken");
    frame_free(&frame);
    free(bytes);
    free(body);
}

static void a_frame_that_flows_moves_in_the_middle(void **state)
{
    each_step(SP_PROTO_BOLT, script_big);
}

static void script_behind(struct run *r)
{
    enum { BIG = 100 * 1024 };
    struct peer *client = kit_call(r->kit, KIT_OUT);
    const struct ask one = { .id = 1, .body = "one" }, two = { .id = 2, .body = "two" };
    say_ask(client, &one);
    say_ask(client, &two);
    step(r);
    struct peer *server = next_alive(r);
    uint32_t first = hear_ask(server, "one"), second = hear_ask(server, "two");
    char *body = malloc(BIG);
    memset(body, 'b', BIG);
    say_answer_head(server, first, BIG);
    say_bytes(server, body, BIG / 2);
    step(r);
    say_bytes(server, body, BIG / 2);
    say_answer(server, second, "behind");
    step(r);
    struct frame frame;
    hear_frame(client, &frame);
    assert_int_equal(frame.id, 1);
    assert_int_equal(frame.body_bytes, BIG);
    assert_memory_equal(frame.body, body, BIG);
    frame_free(&frame);
    hear_answer(client, 2, "behind");
    free(body);
}

static void an_answer_in_the_middle_of_its_frame_moves(void **state)
{
    each_step(SP_PROTO_BOLT, script_behind);
}

static void script_backward(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    const struct ask one = { .id = 1, .body = "one" }, back = { .id = 5, .body = "back" };
    say_ask(client, &one);
    step(r);
    struct peer *server = next_alive(r);
    uint32_t first = hear_ask(server, "one");
    say_ask(server, &back);
    step(r);
    uint32_t asked = hear_ask(client, "back");
    say_answer(client, asked, "yes");
    step(r);
    hear_answer(server, 5, "yes");
    say_answer(server, first, "done");
    step(r);
    hear_answer(client, 1, "done");
}

static void a_backward_call_moves_at_every_step(void **state)
{
    each_step(SP_PROTO_BOLT, script_backward);
}

/* A frame of the second version in pieces, and one behind it that nobody answers. */
static void script_bolt2(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    const struct ask ask = { .id = 7, .v2 = true, .body = "second version" };
    size_t len;
    char *bytes = ask_bytes(&ask, &len);
    for (size_t at = 0; at < len; at += 20) {
        say_bytes(client, bytes + at, SP_MIN(len - at, (size_t)20));
        step(r);
    }
    free(bytes);
    struct peer *server = next_alive(r);
    uint32_t first = hear_ask(server, "second version");
    step(r);
    const struct ask oneway = { .id = 8, .v2 = true, .oneway = true, .body = "and away" };
    say_ask(client, &oneway);
    step(r);
    assert_int_not_equal(hear_ask(server, "and away"), first);
}

static void bolt_of_the_second_version_moves_in_pieces(void **state)
{
    each_step(SP_PROTO_BOLT, script_bolt2);
}

/* ---- connections that are about to end ---- */

static void script_refused(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "GET nonsense\r\n\r\n");
    step(r);
    hear_refusal(client, 400, "BAD_REQUEST");
    hear_end(client, SP_E_CLOSED); /* it lingers for our end */
    step(r);
    say(client, "more, which nobody reads");
    step(r);
    say_fin(client);
    step(r);
    assert_true(sp_list_is_empty(&r->kit->worker->lines));
}

static void a_connection_that_lingers_moves_and_ends(void **state)
{
    each_step(SP_PROTO_HTTP1, script_refused);
}

static void script_last(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "GET /a HTTP/1.1\r\n" HEAD "Connection: close\r\n\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "GET /a ");
    say(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab");
    step(r);
    say(server, "cd");
    step(r);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    hear(client, "abcd");
    hear_end(client, SP_E_CLOSED);
    step(r);
    say_fin(client);
    say_fin(server);
    step(r);
    hear_end(server, SP_E_CLOSED);
}

static void the_last_call_of_a_connection_is_the_last_over_there(void **state)
{
    each_step(SP_PROTO_HTTP1, script_last);
}

/* ---- raw bytes ---- */

static void script_tcp(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    step(r);
    struct peer *server = next_alive(r);
    say(client, "up");
    say(server, "down");
    step(r);
    hear(server, "up");
    hear(client, "down");
    say_fin(client);
    step(r);
    hear_end(server, SP_E_CLOSED);
    say(server, "still");
    step(r);
    hear(client, "still");
    say_fin(server);
    step(r);
    hear_end(client, SP_E_CLOSED);
}

static void raw_bytes_move_at_every_step_with_half_closed_ends(void **state)
{
    each_step(SP_PROTO_TCP, script_tcp);
}

/* Who connected is no more in sight: it must have come along. */
static void check_told_apart(struct run *r)
{
    kit_run(r->kit, 10);
    const struct sp_report *report = last_report(r->kit);
    assert_int_equal(report->downstream.ip[0], 1);
    assert_int_equal(report->downstream_direct.ip[0], 127);
    assert_int_equal(report->downstream_local.ip[0], 5);
    assert_int_equal(report->downstream_local.port, 2000);
}

static void script_proxied(struct run *r)
{
    kit_cluster(r->kit)->proxyproto = SP_PROXYPROTO_V1;
    kit_listener(r->kit, SP_PROTO_TCP)->proxy_protocol = true;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    step(r);
    say(client, "PROXY TCP4 1.2.3.4 ");
    step(r);
    say(client, "5.6.7.8 1000 2000\r\nfirst");
    step(r);
    struct peer *server = next_alive(r);
    hear(server, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\nfirst");
    say(server, "heard");
    step(r);
    hear(client, "heard");
    leave(client, true);
    check_told_apart(r);
}

static void script_proxied_call(struct run *r)
{
    kit_cluster(r->kit);
    kit_listener(r->kit, SP_PROTO_HTTP1)->proxy_protocol = true;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n");
    step(r);
    say(client, "GET /a HTTP/1.1\r\n" HEAD "\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "GET /a");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(client, "HTTP/1.1 204");
    check_told_apart(r);
}

static void a_proxy_header_moves_half_read_and_half_said(void **state)
{
    each_step(SP_PROTO_TCP, script_proxied);
    each_step(SP_PROTO_HTTP1, script_proxied_call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_connection_moves_at_every_step_of_two_calls),
        cmocka_unit_test(a_chunked_request_moves_at_every_step),
        cmocka_unit_test(a_websocket_moves_at_every_step),
        cmocka_unit_test(requests_that_wait_behind_a_half_closed_end_move),
        cmocka_unit_test(a_call_whose_line_is_connecting_waits_on_over_there),
        cmocka_unit_test(bolt_calls_move_at_every_step_and_find_their_callers),
        cmocka_unit_test(a_frame_that_flows_moves_in_the_middle),
        cmocka_unit_test(an_answer_in_the_middle_of_its_frame_moves),
        cmocka_unit_test(a_backward_call_moves_at_every_step),
        cmocka_unit_test(raw_bytes_move_at_every_step_with_half_closed_ends),
        cmocka_unit_test(a_proxy_header_moves_half_read_and_half_said),
        cmocka_unit_test(bolt_of_the_second_version_moves_in_pieces),
        cmocka_unit_test(a_connection_that_lingers_moves_and_ends),
        cmocka_unit_test(the_last_call_of_a_connection_is_the_last_over_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
