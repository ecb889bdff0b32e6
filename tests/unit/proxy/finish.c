/* finish: each way in which a call may end, from each place where it may be: the caller hears what it can,
 * one record is written, and every figure of what is under way is back at rest (kit_free looks). */
#include "unit/proxy/worker_kit.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

static bool has(sp_str text, const char *part)
{
    return sp_str_find_str(text, sp_str_c(part)) < text.len;
}

static uint64_t records(struct kit *kit)
{
    return kit->worker->recent_at + kit->worker->failed_at;
}

/* Nothing is under way any more, now and not only after all connections have gone. */
static void check_at_rest(struct kit *kit, uint64_t calls)
{
    const struct sp_cluster *cluster = the_cluster(kit, "app");
    kit_run(kit, 10);
    assert_int_equal(records(kit), calls);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_active), 0);
    assert_int_equal(sp_cell_get(&kit->worker->cells.streams_active), 0);
    assert_int_equal(sp_cell_get(&cluster->cells.rq_active), 0);
    assert_int_equal(sp_cell_get(&cluster->cells.rq_pending_active), 0);
    assert_int_equal(cluster->requests.used, 0);
    assert_int_equal(cluster->pending.used, 0);
    assert_int_equal(cluster->users, 0);
    for (uint32_t i = 0; i < cluster->set_count; i++)
        assert_int_equal(cluster->set[i]->active, 0);
}

/* A server's address that answers nothing, not even the connect. */
static struct kit *kit_to_nowhere(enum sp_protocol protocol)
{
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = 20 * SP_NS_PER_S;
    kit_listener(kit, protocol);
    kit_apply(kit);
    return kit;
}

/* --- the caller goes ------------------------------------------------------------------------------------ */

static void a_caller_that_goes_while_its_call_waits(void **state)
{
    (void)state;
    for (int bolt = 0; bolt < 2; bolt++) {
        struct kit *kit = kit_to_nowhere(bolt ? SP_PROTO_BOLT : SP_PROTO_HTTP1);
        struct peer *caller = kit_call(kit, KIT_OUT);
        if (bolt)
            say_ask(caller, &(struct ask){ .id = 1, .body = "x" });
        else
            say(caller, ask_a);
        kit_run(kit, 100);
        assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_pending_active), 1);
        leave(caller, true);
        check_at_rest(kit, 1);
        assert_int_equal(last_report(kit)->why, SP_WHY_CLIENT_GONE);
        assert_int_equal(last_report(kit)->downstream.family, SP_ADDR_IP4); /* who it was is still known */
        assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_cancelled), 1);
        assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_rx_reset), 1);
        kit_free(kit);
    }
}

static void a_caller_that_goes_while_its_server_thinks(void **state)
{
    (void)state;
    for (int bolt = 0; bolt < 2; bolt++) {
        struct door *door;
        struct kit *kit = kit_usual(bolt ? SP_PROTO_BOLT : SP_PROTO_HTTP1, &door);
        struct peer *caller = kit_call(kit, KIT_OUT);
        if (bolt)
            say_ask(caller, &(struct ask){ .id = 1, .body = "x" });
        else
            say(caller, ask_a);
        struct peer *server = door_next(door);
        kit_run(kit, 10);
        leave(caller, true);
        check_at_rest(kit, 1);
        assert_int_equal(last_report(kit)->why, SP_WHY_CLIENT_GONE);
        assert_int_equal(server->ended, !bolt); /* Bolt's line serves others; the late answer is dropped */
        kit_free(kit);
    }
}

static void a_caller_that_goes_in_mid_answer(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    hear_head(caller, "HTTP/1.1 200");
    leave(caller, true);
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->status, 200);
    assert_int_equal(last_report(kit)->why, SP_WHY_CLIENT_GONE);
    assert_int_equal(last_report(kit)->bytes_sent, 3);
    kit_free(kit);
}

static void a_caller_that_ends_its_direction_hears_its_answer(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    say_fin(caller);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear_head(caller, "HTTP/1.1 200");
    hear(caller, "ok");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->why, SP_WHY_NONE);
    kit_free(kit);
}

static void a_caller_that_ends_in_mid_request_is_gone(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear(server, "abc");
    say_fin(caller);
    hear_end(server, SP_E_RESET); /* it must not take the half for a whole */
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->why, SP_WHY_CLIENT_GONE);
    kit_free(kit);
}

/* --- the server goes ------------------------------------------------------------------------------------ */

static void a_server_that_goes_before_its_answer(void **state)
{
    (void)state;
    static const struct {
        bool reset;
        const char *reason;
        enum sp_why why;
    } cases[] = { { true, "UPSTREAM_RESET", SP_WHY_UPSTREAM_RESET },
                  { false, "UPSTREAM_CLOSED", SP_WHY_UPSTREAM_CLOSED } };
    for (int bolt = 0; bolt < 2; bolt++)
        for (unsigned i = 0; i < SP_COUNTOF(cases); i++) {
            struct door *door;
            struct kit *kit = kit_usual(bolt ? SP_PROTO_BOLT : SP_PROTO_HTTP1, &door);
            struct peer *caller = kit_call(kit, KIT_OUT);
            if (bolt)
                say_ask(caller, &(struct ask){ .id = 8, .body = "x" });
            else
                say(caller, ask_a);
            struct peer *server = door_next(door);
            kit_run(kit, 10);
            hear_bytes(server, heard(server).len); /* closing with bytes unread would reset */
            leave(server, cases[i].reset);
            if (bolt)
                hear_bolt_refusal(caller, 8, cases[i].reason);
            else
                hear_refusal(caller, 503, cases[i].reason);
            check_at_rest(kit, 1);
            assert_int_equal(last_report(kit)->why, cases[i].why);
            assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_rx_reset), 1);
            /* one call, one error */
            assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 1);
            assert_int_equal(last_report(kit)->upstream.port, 8080);
            hear_nothing(caller, 10); /* the caller's line lives on */
            kit_free(kit);
        }
}

static void a_server_that_goes_in_mid_answer_cuts_the_caller(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    hear_head(caller, "HTTP/1.1 200");
    hear(caller, "abc");
    leave(server, false);
    hear_end(caller, SP_E_RESET); /* there is no other way left to say it */
    check_at_rest(kit, 1);
    kit_free(kit);
}

static void an_answer_that_breaks_the_grammar(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
    hear_refusal(caller, 502, "UPSTREAM_PROTOCOL");
    check_at_rest(kit, 1);
    assert_true(sp_report_str(last_report(kit), SP_REPORT_FAILURE).len > 0);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_protocol_error), 1);
    kit_free(kit);
}

static void a_status_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const statuses[] = { "600", "999", "099", "000" };
    for (unsigned i = 0; i < SP_COUNTOF(statuses); i++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
        struct peer *caller = kit_call(kit, KIT_OUT);
        say(caller, ask_a);
        struct peer *server = door_next(door);
        hear_head(server, "GET /a");
        char text[80];
        snprintf(text, sizeof(text), "HTTP/1.1 %s Eh\r\nContent-Length: 2\r\n\r\nno", statuses[i]);
        say(server, text);
        hear_refusal(caller, 502, "UPSTREAM_PROTOCOL");
        hear_end(server, SP_E_RESET);
        check_at_rest(kit, 1);
        assert_true(sp_report_str(last_report(kit), SP_REPORT_FAILURE).len > 0);
        assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 1);
        say(caller, ask_a); /* the caller's line lives on, and 599 is a status */
        server = door_next(door);
        hear_head(server, "GET /a");
        say(server, "HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n");
        hear_head(caller, "HTTP/1.1 599 Odd");
        kit_free(kit);
    }
}

static void a_protocol_changed_unasked(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    say(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    hear_refusal(caller, 502, "UPSTREAM_PROTOCOL");
    check_at_rest(kit, 1);
    kit_free(kit);
}

static void an_answer_before_the_request_is_whole_is_given_and_the_lines_end(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear(server, "abc");
    say(server, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    sp_str head = hear_head(caller, "HTTP/1.1 413");
    assert_true(has(head, "onnection: close\r\n"));
    hear(caller, "big");
    say(caller, "def"); /* what still comes is read and dropped, so that our words are not lost to a reset */
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->why, SP_WHY_NONE);
    assert_true(server->ended);
    kit_free(kit);
}

/* --- the request is broken ------------------------------------------------------------------------------ */

static void a_head_that_breaks_the_grammar_is_refused_and_recorded(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    hear_refusal(caller, 400, "BAD_REQUEST");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->status, 400);
    assert_true(sp_report_str(last_report(kit), SP_REPORT_FAILURE).len > 0);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.cx_protocol_error), 1);
    kit_free(kit);
}

static void a_body_that_breaks_the_grammar_ends_its_call(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear(server, "3\r\nabc\r\n");
    say(caller, "zz\r\n");
    hear_refusal(caller, 400, "BAD_REQUEST");
    hear_end(caller, SP_E_CLOSED);
    hear_end(server, SP_E_RESET);
    check_at_rest(kit, 1);
    kit_free(kit);
}

static void calls_before_a_broken_frame_are_answered_and_then_the_line_ends(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .body = "good" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "good");
    size_t len;
    char *bytes = ask_bytes(&(struct ask){ .id = 77, .body = "bad" }, &len);
    memset(bytes + 14, 0xff, 2); /* a class name of negative length, as Java reads it */
    say_bytes(caller, bytes, len);
    free(bytes);
    hear_bolt_refusal(caller, 77, "BAD_FRAME");
    hear_nothing(caller, 3000);
    say_ask(caller, &(struct ask){ .id = 78, .body = "late" });
    say_answer(server, id, "well");
    hear_answer(caller, 1, "well");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 2); /* what came behind it is no call */
    assert_int_equal(last_report(kit)->why, SP_WHY_NONE);
    assert_int_equal(why_count(kit, SP_WHY_BAD_FRAME), 1);
    kit_free(kit);
}

static void behind_junk_nothing_is_read_and_no_call_waits_for_ever(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 500, .body = "one" });
    say_ask(caller, &(struct ask){ .id = 2, .body = "two" });
    struct peer *server = door_next(door);
    hear_ask(server, "one");
    uint32_t id = hear_ask(server, "two");
    say(caller, "\x09 junk that is no frame");
    for (int i = 0; i < 20; i++)
        say_ask(caller, &(struct ask){ .id = 10, .body = "late" });
    hear_bolt_refusal(caller, 1, "TIMEOUT");
    say_answer(server, id, "well");
    hear_answer(caller, 2, "well");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 3);
    assert_int_equal(why_count(kit, SP_WHY_BAD_FRAME), 1);
    kit_free(kit);
}

static void a_frame_of_another_version_takes_no_call_before_it_along(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .body = "good" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "good");
    static const struct ask v2 = { .id = 2, .v2 = true, .body = "of another version" };
    say_ask(caller, &v2);
    hear_nothing(caller, 100);
    say_answer(server, id, "well");
    hear_answer(caller, 1, "well");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 2);
    assert_int_equal(last_report(kit)->why, SP_WHY_NONE);
    kit_free(kit);
}

/* --- answers of our own --------------------------------------------------------------------------------- */

static struct kit *kit_direct(enum sp_protocol protocol, uint32_t status, const char *body)
{
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_route *route = mesh_route(kit_listener(kit, protocol));
    route->kind = SP_ROUTE_DIRECT;
    route->direct_status = status;
    route->direct_body = sp_str_c(body);
    kit_apply(kit);
    return kit;
}

static void a_direct_response_is_whole_and_the_line_goes_on(void **state)
{
    (void)state;
    struct kit *kit = kit_direct(SP_PROTO_HTTP1, 418, "short and stout");
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (uint64_t i = 1; i <= 2; i++) {
        say(caller, ask_a);
        assert_true(has(hear_head(caller, "HTTP/1.1 418"), "Content-Length: 15\r\n"));
        hear(caller, "short and stout");
        check_at_rest(kit, i);
        assert_int_equal(last_report(kit)->why, SP_WHY_DIRECT);
    }
    say(caller, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_head(caller, "HTTP/1.1 418");
    hear_nothing(caller, 10);
    kit_free(kit);
}

static void a_direct_response_heeds_the_callers_wish_to_close(void **state)
{
    (void)state;
    static const char *const asks[] = { "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                                        "GET /a HTTP/1.0\r\nHost: a\r\n\r\n" };
    for (unsigned i = 0; i < SP_COUNTOF(asks); i++) {
        struct kit *kit = kit_direct(SP_PROTO_HTTP1, 200, "bye");
        struct peer *caller = kit_call(kit, KIT_OUT);
        say(caller, asks[i]);
        hear_head(caller, "HTTP/1.1 200");
        hear(caller, "bye");
        hear_end(caller, SP_E_CLOSED);
        kit_free(kit);
    }
}

static void a_redirect_says_where(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_route *route = mesh_route(kit_listener(kit, SP_PROTO_HTTP1));
    route->kind = SP_ROUTE_REDIRECT;
    route->redirect = (struct sp_redirect){ .host = SP_STR("else.where"), .status = 308 };
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(has(hear_head(caller, "HTTP/1.1 308"), "location: http://else.where/a?b=c\r\n"));
    check_at_rest(kit, 1);
    assert_int_equal(last_report(kit)->why, SP_WHY_REDIRECT);
    kit_free(kit);
}

static void a_direct_response_to_bolt_is_a_status_and_to_one_way_calls_silence(void **state)
{
    (void)state;
    struct kit *kit = kit_direct(SP_PROTO_BOLT, 503, "");
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 4, .oneway = true, .body = "x" });
    say_ask(caller, &(struct ask){ .id = 5, .body = "x" });
    hear_bolt_refusal(caller, 5, "DIRECT");
    hear_nothing(caller, 10);
    check_at_rest(kit, 2);
    kit_free(kit);
}

static void reasons_are_kept_from_callers_when_told_so(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    kit->sidecar->settings.reason_header = false;
    door_close(door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    assert_false(has(hear_head(caller, "HTTP/1.1 503"), "x-sampan"));
    kit_free(kit);
}

/* Of each level; and the reason is taken away, to see that removals hold too. */
static void edit_answers(struct sp_listener_spec *spec)
{
    static const struct sp_header_add adds[] = { { .name = SP_STR("x-route"), .value = SP_STR("r") },
                                                 { .name = SP_STR("x-vhost"), .value = SP_STR("v") },
                                                 { .name = SP_STR("x-table"), .value = SP_STR("t") } };
    static const sp_str removed = SP_STR("content-type");
    struct sp_route_table *table = (struct sp_route_table *)(uintptr_t)spec->chains[0].routes;
    struct sp_vhost *vhost = (struct sp_vhost *)(uintptr_t)&table->vhosts[0];
    mesh_route(spec)->response = (struct sp_header_edits){ .add = &adds[0], .add_count = 1 };
    vhost->response = (struct sp_header_edits){ .add = &adds[1], .add_count = 1 };
    table->response = (struct sp_header_edits){ &adds[2], 1, &removed, 1 };
}

static void check_edited(sp_str head, bool edited)
{
    assert_true(has(head, "x-route: r\r\n") == edited);
    assert_true(has(head, "x-vhost: v\r\n") == edited);
    assert_true(has(head, "x-table: t\r\n") == edited);
    assert_true(has(head, "ontent-Type: ") == !edited);
}

static void our_own_errors_carry_the_headers_of_the_route_that_was_found(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    edit_answers(kit_listener(kit, SP_PROTO_HTTP1));
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nx-request-id: 77\r\n\r\n"); /* nobody is at the door */
    sp_str head = hear_head(caller, "HTTP/1.1 503 Service Unavailable\r\n");
    check_edited(head, true);
    assert_true(has(head, "x-sampan-reason: CONNECT\r\n"));
    assert_true(has(head, "x-request-id: 77\r\n"));
    hear(caller, sp_why_row(SP_WHY_CONNECT)->text);
    say(caller, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    check_edited(hear_head(caller, "HTTP/1.1 503 "), true);
    hear_nothing(caller, 10);
    struct door *door = kit_door(kit, KIT_APP);
    say(caller, ask_a);
    hear_head(door_next(door), "GET /a");
    kit_run(kit, 16000);
    check_edited(hear_head(caller, "HTTP/1.1 504 Gateway Timeout\r\n"), true);
    hear(caller, sp_why_row(SP_WHY_TIMEOUT)->text);
    say(caller, "GET\r\n\r\n"); /* no route was looked for */
    check_edited(hear_head(caller, "HTTP/1.1 400 "), false);
    kit_free(kit);
}

static void a_refused_call_leaves_a_line_that_goes_on(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    door_close(door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    for (uint64_t i = 1; i <= 3; i++) {
        say(caller, ask_a);
        hear_refusal(caller, 503, "CONNECT");
        check_at_rest(kit, i);
    }
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"); /* not whole: it must end */
    hear_refusal(caller, 503, "CONNECT");
    hear_end(caller, SP_E_CLOSED);
    check_at_rest(kit, 4);
    kit_free(kit);
}

static void one_way_calls_end_when_they_are_sent(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .oneway = true, .body = "told" });
    hear_ask(door_next(door), "told");
    check_at_rest(kit, 1);
    assert_true(last_report(kit)->oneway);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_oneway), 1);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_that_goes_while_its_call_waits),
        cmocka_unit_test(a_caller_that_goes_while_its_server_thinks),
        cmocka_unit_test(a_caller_that_goes_in_mid_answer),
        cmocka_unit_test(a_caller_that_ends_its_direction_hears_its_answer),
        cmocka_unit_test(a_caller_that_ends_in_mid_request_is_gone),
        cmocka_unit_test(a_server_that_goes_before_its_answer),
        cmocka_unit_test(a_server_that_goes_in_mid_answer_cuts_the_caller),
        cmocka_unit_test(an_answer_that_breaks_the_grammar),
        cmocka_unit_test(a_status_that_is_none_is_refused),
        cmocka_unit_test(a_protocol_changed_unasked),
        cmocka_unit_test(an_answer_before_the_request_is_whole_is_given_and_the_lines_end),
        cmocka_unit_test(a_head_that_breaks_the_grammar_is_refused_and_recorded),
        cmocka_unit_test(a_body_that_breaks_the_grammar_ends_its_call),
        cmocka_unit_test(calls_before_a_broken_frame_are_answered_and_then_the_line_ends),
        cmocka_unit_test(behind_junk_nothing_is_read_and_no_call_waits_for_ever),
        cmocka_unit_test(a_frame_of_another_version_takes_no_call_before_it_along),
        cmocka_unit_test(a_direct_response_is_whole_and_the_line_goes_on),
        cmocka_unit_test(a_direct_response_heeds_the_callers_wish_to_close),
        cmocka_unit_test(a_redirect_says_where),
        cmocka_unit_test(a_direct_response_to_bolt_is_a_status_and_to_one_way_calls_silence),
        cmocka_unit_test(reasons_are_kept_from_callers_when_told_so),
        cmocka_unit_test(our_own_errors_carry_the_headers_of_the_route_that_was_found),
        cmocka_unit_test(a_refused_call_leaves_a_line_that_goes_on),
        cmocka_unit_test(one_way_calls_end_when_they_are_sent),
    };
    return cmocka_run_group_tests_name("proxy finish", tests, NULL, NULL);
}
