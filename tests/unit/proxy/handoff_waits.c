/* handoff_waits: whoever waits for something when the sidecar is replaced waits on in the successor, as long
 * as before and no longer: for a byte, for a go-ahead, for room, for a connection, for a clock. */
#include "unit/proxy/handoff_kit.h"

#define HEAD "Host: a\r\n"

enum { BIG = 500 * 1024 };

static sp_ns now(const struct run *r)
{
    return sp_sim_now(r->kit->mesh->sim);
}

/* Clocks are looked at every millisecond, and a hand-over takes none of the world's time. */
static void passed(const struct run *r, sp_ns since, sp_ns ns)
{
    sp_ns took = now(r) - since;
    if (took < ns || took > ns + 20 * SP_NS_PER_MS)
        fail_msg("it took %.3f ms, want %.3f", (double)took / 1e6, (double)ns / 1e6);
}

static struct sp_chain_spec *again(struct run *r, enum sp_protocol protocol)
{
    return mesh_chain(kit_listener(r->kit, protocol));
}

/* ---- for a byte ---- */

/* Each byte is a piece of its own, with a hand-over behind it. */
static void crumbs(struct run *r, struct peer *peer, const char *text)
{
    for (; *text; text++) {
        say_bytes(peer, text, 1);
        step(r);
    }
}

static void script_crumbs(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    crumbs(r, client, "PUT /a HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n");
    struct peer *server = next_alive(r);
    hear_head(server, "PUT /a HTTP/1.1\r\n");
    crumbs(r, client, "0a;x=\"y\\\"\";z\r\n0123456789\r\n00\r\nSum: 7\r\n\r\n");
    char body[16] = "";
    for (uint64_t bytes = 0, n = 1; n;) { /* pieces may be cut elsewhere: what they hold counts */
        sp_str size = hear_to(server, "\r\n");
        assert_int_equal(sp_str_hex_to_u64(sp_str_upto(size, size.len - 2), &n), 0);
        if (!n)
            break;
        sp_str piece = hear_to(server, "\r\n");
        memcpy(body + bytes, piece.ptr, n);
        bytes += n;
    }
    assert_string_equal(body, "0123456789");
    hear(server, "Sum: 7\r\n\r\n");
    crumbs(r, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 8\r\n\r\n");
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    char answer[16] = "";
    for (uint64_t bytes = 0, n = 1; n;) {
        sp_str size = hear_to(client, "\r\n");
        assert_int_equal(sp_str_hex_to_u64(sp_str_upto(size, size.len - 2), &n), 0);
        if (!n)
            break;
        sp_str piece = hear_to(client, "\r\n");
        memcpy(answer + bytes, piece.ptr, n);
        bytes += n;
    }
    assert_string_equal(answer, "abc");
    hear(client, "Sum: 8\r\n\r\n");
}

static void chunks_and_trailers_move_at_every_byte(void **state)
{
    each_step(SP_PROTO_HTTP1, script_crumbs);
}

static void script_detect(struct run *r)
{
    mesh_listener_any(r->kit->sidecar, "out", KIT_OUT, "app", "app", "app")->detect_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    step(r);
    crumbs(r, client, "GET /a H");
    say(client, "TTP/1.1\r\n" HEAD "\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "GET /a HTTP/1.1\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    step(r);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
}

static void bytes_by_which_a_protocol_is_found_out_move(void **state)
{
    each_step(SP_PROTO_HTTP1, script_detect);
}

static void script_silent(struct run *r)
{
    mesh_listener_any(r->kit->sidecar, "out", KIT_OUT, "app", "app", "app")->detect_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    sp_ns began = now(r);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    for (int i = 0; i < 3; i++) {
        kit_run(r->kit, 300);
        step(r);
    }
    struct peer *server = door_next(r->door);
    passed(r, began, SP_NS_PER_S);
    say(server, "220 ready");
    step(r);
    hear(client, "220 ready");
}

static void who_says_nothing_is_waited_for_no_longer_than_before(void **state)
{
    each_step(SP_PROTO_TCP, script_silent);
}

/* ---- for a go-ahead ---- */

static void script_continue(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "POST /a HTTP/1.1\r\n");
    hear_nothing(server, 1);
    step(r);
    say(server, "HTTP/1.1 100 Con");
    step(r);
    say(server, "tinue\r\n\r\n");
    step(r);
    hear(client, "HTTP/1.1 100 Continue\r\n\r\n");
    say(client, "abc");
    step(r);
    say(client, "def");
    step(r);
    hear(server, "abcdef");
    say(server, "HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok");
    step(r);
    hear_head(client, "HTTP/1.1 201 Made\r\n");
    hear(client, "ok");
}

static void who_waits_for_100_continue_gets_it_over_there(void **state)
{
    each_step(SP_PROTO_HTTP1, script_continue);
}

static void script_connect(struct run *r)
{
    struct sp_listener_spec *spec = kit_listener(r->kit, SP_PROTO_HTTP1);
    mesh_chain(spec)->upgrade_connect = true;
    mesh_route(spec)->match.kind = SP_PATH_CONNECT;
    mesh_route(spec)->connect = true;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "CONNECT a:80 HTTP/1.1\r\n");
    say(server, "HTTP/1.1 200 OK\r\n\r\nhello");
    step(r);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    hear(client, "hello");
    say(client, "from here");
    say(server, "from there");
    step(r);
    hear(server, "from here");
    hear(client, "from there");
    say_fin(server);
    step(r);
    hear_end(client, SP_E_CLOSED);
    say(client, "last words");
    step(r);
    hear(server, "last words");
}

static void a_tunnel_of_connect_moves_at_every_step(void **state)
{
    each_step(SP_PROTO_HTTP1, script_connect);
}

/* ---- for room ---- */

static char *pattern(char salt)
{
    char *bytes = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 31 + i / 251 + (size_t)salt);
    return bytes;
}

static bool has_all(void *arg)
{
    return heard(arg).len >= BIG;
}

static void hear_pattern(struct run *r, struct peer *peer, const char *bytes)
{
    sp_sock_read(&peer->conn.sock, true);
    assert_true(kit_until(r->kit, 5000, has_all, peer));
    assert_memory_equal(heard(peer).ptr, bytes, BIG);
    app_conn_use(&peer->conn, BIG);
}

static void script_slow(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT), *server = next_alive(r);
    char *up = pattern(1), *down = pattern(2);
    sp_sock_read(&client->conn.sock, false);
    sp_sock_read(&server->conn.sock, false);
    say_bytes(client, up, BIG);
    say_bytes(server, down, BIG);
    step(r);
    kit_run(r->kit, 50); /* nothing can move any more */
    step(r);
    hear_pattern(r, server, up);
    step(r);
    hear_pattern(r, client, down);
    say_fin(client);
    step(r);
    hear_end(server, SP_E_CLOSED);
    free(up);
    free(down);
}

static void a_relay_that_is_full_both_ways_moves(void **state)
{
    each_step(SP_PROTO_TCP, script_slow);
}

static void script_slow_answer(struct run *r)
{
    struct peer *client = kit_call(r->kit, KIT_OUT);
    char *down = pattern(3), head[80];
    say(client, "GET /a HTTP/1.1\r\n" HEAD "\r\nGET /b HTTP/1.1\r\n" HEAD "\r\n");
    struct peer *server = next_alive(r);
    sp_sock_read(&client->conn.sock, false);
    hear_head(server, "GET /a ");
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
    say(server, head);
    say_bytes(server, down, BIG);
    step(r);
    kit_run(r->kit, 50);
    step(r);
    sp_sock_read(&client->conn.sock, true);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    hear_pattern(r, client, down);
    step(r);
    hear_head(server, "GET /b ");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    step(r);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    free(down);
}

static void an_answer_that_nobody_reads_moves_with_what_waits(void **state)
{
    each_step(SP_PROTO_HTTP1, script_slow_answer);
}

/* ---- for a connection ---- */

/* Two endpoints of other machines that nothing reaches. */
static struct sp_cluster_spec *far_cluster(struct run *r)
{
    static const char *const addrs[] = { "10.0.0.2:80", "10.0.0.3:80", NULL };
    struct sp_sim *sim = r->kit->mesh->sim;
    for (int i = 0; i < 2; i++)
        sp_sim_partition(sim, r->kit->app, sp_sim_host(sim, i ? "10.0.0.3" : "10.0.0.2"), true);
    struct sp_cluster_spec *spec = mesh_cluster(r->kit->sidecar, "app", addrs);
    spec->connect_timeout_ns = 400 * SP_NS_PER_MS;
    return spec;
}

static void script_retry(struct run *r)
{
    far_cluster(r);
    mesh_route(kit_listener(r->kit, SP_PROTO_HTTP1))->retry = (struct sp_retry){
        .on = SP_RETRY_CONNECT_FAILURE, .retries = 2
    };
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Content-Length: 6\r\n\r\nabc");
    for (int i = 0; i < 5; i++) {
        step(r);
        hear_nothing(client, 200);
    }
    hear_refusal(client, 503, "CONNECT_TIMEOUT");
    const struct sp_report *report = last_report(r->kit);
    assert_int_equal(report->attempts, 3);
    assert_int_equal(sp_cell_get(&the_cluster(r->kit, "app")->cells.rq_retry), 2);
}

static void retries_are_counted_on_and_no_more_are_made(void **state)
{
    each_step(SP_PROTO_HTTP1, script_retry);
}

static void script_found(struct run *r)
{
    static const char *const addrs[] = { "10.0.0.2:80", KIT_APP, NULL };
    far_cluster(r);
    struct sp_cluster_spec *spec = mesh_cluster(r->kit->sidecar, "app", addrs);
    ((struct sp_endpoint_spec *)(uintptr_t)spec->endpoints)[0].weight = 2; /* it comes first */
    spec->connect_timeout_ns = 400 * SP_NS_PER_MS;
    mesh_route(kit_listener(r->kit, SP_PROTO_HTTP1))->retry = (struct sp_retry){
        .on = SP_RETRY_CONNECT_FAILURE, .retries = 1
    };
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Content-Length: 6\r\n\r\nabc");
    step(r);
    say(client, "def");
    step(r);
    hear_nothing(client, 300);
    step(r);
    kit_run(r->kit, 500);
    step(r);
    struct peer *server = next_alive(r);
    hear_head(server, "POST /a ");
    hear(server, "abcdef");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    step(r);
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    assert_true(door_is_quiet(r->door, 5));
}

static void what_was_held_back_for_a_retry_goes_elsewhere_once(void **state)
{
    each_step(SP_PROTO_HTTP1, script_found);
}

/* ---- for a clock ---- */

static void script_timeout(struct run *r)
{
    mesh_route(kit_listener(r->kit, SP_PROTO_HTTP1))->timeout_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    sp_ns began = now(r);
    say(client, "GET /a HTTP/1.1\r\n" HEAD "\r\n");
    for (int i = 0; i < 4; i++) {
        step(r);
        kit_run(r->kit, 200);
    }
    hear_refusal(client, 504, "TIMEOUT");
    passed(r, began, SP_NS_PER_S);
}

static void a_call_that_is_not_answered_times_out_when_it_would_have(void **state)
{
    each_step(SP_PROTO_HTTP1, script_timeout);
}

static void script_half_head(struct run *r)
{
    again(r, SP_PROTO_HTTP1)->headers_timeout_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    sp_ns began = now(r);
    say(client, "GET /a HT");
    for (int i = 0; i < 4; i++) {
        step(r);
        kit_run(r->kit, 200);
    }
    hear_refusal(client, 408, "HEADERS_TIMEOUT");
    passed(r, began, SP_NS_PER_S);
    hear_end(client, SP_E_CLOSED);
}

static void half_a_head_is_waited_for_no_longer_than_before(void **state)
{
    each_step(SP_PROTO_HTTP1, script_half_head);
}

static void script_stalled(struct run *r)
{
    again(r, SP_PROTO_HTTP1)->stream_idle_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "POST /a HTTP/1.1\r\n" HEAD "Content-Length: 6\r\n\r\nabc");
    struct peer *server = next_alive(r);
    hear_head(server, "POST /a ");
    step(r);
    kit_run(r->kit, 500);
    sp_ns last = now(r);
    say(client, "d");
    for (int i = 0; i < 3; i++) {
        step(r);
        kit_run(r->kit, 250);
    }
    hear_refusal(client, 408, "REQUEST_TIMEOUT");
    passed(r, last, SP_NS_PER_S);
}

static void a_call_in_which_nothing_moves_ends_when_it_would_have(void **state)
{
    each_step(SP_PROTO_HTTP1, script_stalled);
}

static void script_idle(struct run *r)
{
    kit_cluster(r->kit)->idle_timeout_ns = 1500 * SP_NS_PER_MS;
    again(r, SP_PROTO_HTTP1)->idle_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    say(client, "GET /a HTTP/1.1\r\n" HEAD "\r\n");
    struct peer *server = next_alive(r);
    hear_head(server, "GET /a ");
    sp_ns last = now(r);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        step(r);
        kit_run(r->kit, 200);
    }
    hear_head(client, "HTTP/1.1 200 OK\r\n");
    hear_end(client, SP_E_CLOSED);
    passed(r, last, SP_NS_PER_S);
    step(r);
    hear_end(server, SP_E_CLOSED);
    passed(r, last, 1500 * SP_NS_PER_MS);
}

static void idle_connections_are_closed_when_they_would_have_been(void **state)
{
    each_step(SP_PROTO_HTTP1, script_idle);
}

static void script_quiet_relay(struct run *r)
{
    again(r, SP_PROTO_TCP)->tcp_idle_ns = SP_NS_PER_S;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT), *server = next_alive(r);
    kit_run(r->kit, 300);
    sp_ns last = now(r);
    say(client, "x");
    for (int i = 0; i < 4; i++) {
        step(r);
        kit_run(r->kit, 200);
    }
    hear(server, "x");
    hear_end(server, SP_E_CLOSED);
    passed(r, last, SP_NS_PER_S);
    hear_end(client, SP_E_CLOSED);
}

static void a_relay_in_which_nothing_moves_ends_when_it_would_have(void **state)
{
    each_step(SP_PROTO_TCP, script_quiet_relay);
}

static void script_heartbeat(struct run *r)
{
    struct frame beat;
    struct sp_cluster_spec *cluster = kit_cluster(r->kit);
    cluster->heartbeat_ns = SP_NS_PER_S;
    cluster->idle_timeout_ns = 0;
    kit_apply(r->kit);
    struct peer *client = kit_call(r->kit, KIT_OUT);
    const struct ask ask = { .id = 7, .body = "one" };
    say_ask(client, &ask);
    struct peer *server = next_alive(r);
    say_answer(server, hear_ask(server, "one"), "done");
    hear_answer(client, 7, "done");
    for (int i = 0; i < 2; i++) { /* the first is answered, the next three are not */
        kit_run(r->kit, 300);
        step(r);
        hear_frame(server, &beat);
        assert_int_equal(beat.kind, SP_MSG_HEARTBEAT);
        step(r);
        if (!i)
            say_heartbeat(server, beat.id, true);
        frame_free(&beat);
        step(r);
    }
    for (int lost = 0; lost < 2; lost++) {
        hear_frame(server, &beat);
        assert_int_equal(beat.kind, SP_MSG_HEARTBEAT);
        frame_free(&beat);
        step(r);
    }
    hear_end(server, SP_E_RESET);
    assert_int_equal(sp_cell_get(&the_cluster(r->kit, "app")->cells.cx_heartbeat_lost), 3);
}

static void heartbeats_that_are_out_are_waited_for_over_there(void **state)
{
    each_step(SP_PROTO_BOLT, script_heartbeat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_trailers_move_at_every_byte),
        cmocka_unit_test(bytes_by_which_a_protocol_is_found_out_move),
        cmocka_unit_test(who_says_nothing_is_waited_for_no_longer_than_before),
        cmocka_unit_test(who_waits_for_100_continue_gets_it_over_there),
        cmocka_unit_test(a_tunnel_of_connect_moves_at_every_step),
        cmocka_unit_test(a_relay_that_is_full_both_ways_moves),
        cmocka_unit_test(an_answer_that_nobody_reads_moves_with_what_waits),
        cmocka_unit_test(retries_are_counted_on_and_no_more_are_made),
        cmocka_unit_test(what_was_held_back_for_a_retry_goes_elsewhere_once),
        cmocka_unit_test(a_call_that_is_not_answered_times_out_when_it_would_have),
        cmocka_unit_test(half_a_head_is_waited_for_no_longer_than_before),
        cmocka_unit_test(a_call_in_which_nothing_moves_ends_when_it_would_have),
        cmocka_unit_test(idle_connections_are_closed_when_they_would_have_been),
        cmocka_unit_test(a_relay_in_which_nothing_moves_ends_when_it_would_have),
        cmocka_unit_test(heartbeats_that_are_out_are_waited_for_over_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
