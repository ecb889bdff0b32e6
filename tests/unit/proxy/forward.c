/* forward: bytes of calls from line to line: as they are framed, while they wait, when a side is slow. */
#include "unit/proxy/worker_kit.h"

static bool has(sp_str text, const char *part)
{
    return sp_str_find_str(text, sp_str_c(part)) < text.len;
}

static struct peer *ask_http(struct peer *caller, struct door *door, const char *request, const char *first)
{
    say(caller, request);
    struct peer *server = door_next(door);
    hear_head(server, first);
    return server;
}

/* --- HTTP/1.1: framing ---------------------------------------------------------------------------------- */

static void a_body_of_known_length_passes_as_it_is(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    struct peer *server = door_next(door);
    assert_true(has(hear_head(server, "POST /a"), "Content-Length: 10\r\n"));
    hear(server, "01234"); /* before the rest has come */
    say(caller, "56789");
    hear(server, "56789");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    assert_true(has(hear_head(caller, "HTTP/1.1 200"), "Content-Length: 6\r\n"));
    hear(caller, "abc");
    say(server, "def");
    hear(caller, "def");
    kit_free(kit);
}

/* RFC 9112 3.2.2: a proxy makes Host from an absolute target, whatever Host has said. */
static void an_absolute_target_says_the_host_and_host_must_mean_the_same(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET http://A:80/x HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    assert_true(has(hear_head(server, "GET /x HTTP/1.1\r\n"), "Host: A:80\r\n"));
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    say(caller, "GET http://a/x HTTP/1.1\r\nHost: a:80\r\n\r\n");
    assert_true(has(hear_head(server, "GET /x HTTP/1.1\r\n"), "Host: a\r\n"));
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    say(caller, "GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_refusal(caller, 400, "BAD_REQUEST");
    kit_free(kit);
}

static void chunks_pass_with_trailers_both_ways(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(caller, door,
                                   "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "3\r\nabc\r\n",
                                   "POST /a");
    hear(server, "3\r\nabc\r\n");
    say(caller, "2\r\nde\r\n0\r\nX-End: 1\r\n\r\n");
    hear(server, "2\r\nde\r\n0\r\nX-End: 1\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    assert_true(has(hear_head(caller, "HTTP/1.1 200"), "Transfer-Encoding: chunked\r\n"));
    hear(caller, "1\r\nx\r\n");
    say(server, "0\r\nX-Sum: 7\r\n\r\n");
    hear(caller, "0\r\nX-Sum: 7\r\n\r\n");
    kit_free(kit);
}

static void an_answer_until_close_becomes_chunks(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(caller, door, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a");
    say(server, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    sp_str head = hear_head(caller, "HTTP/1.1 200 OK\r\n");
    assert_true(has(head, "Transfer-Encoding: chunked\r\n"));
    assert_false(has(head, "onnection")); /* that was about the server's line */
    hear(caller, "3\r\nabc\r\n");
    leave(server, false);
    hear(caller, "0\r\n\r\n");
    hear_nothing(caller, 100); /* ours goes on */
    kit_free(kit);
}

static void an_old_caller_gets_no_chunks(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(caller, door, "GET /a HTTP/1.0\r\nHost: a\r\n\r\n", "GET /a HTTP/1.1\r\n");
    say(server, "HTTP/1.1 100 Continue\r\n\r\n"); /* nor what it does not know */
    say(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    sp_str head = hear_head(caller, "HTTP/1.1 200 OK\r\n");
    assert_false(has(head, "hunked"));
    hear(caller, "abc");
    hear_end(caller, SP_E_CLOSED);
    kit_free(kit);
}

static void interim_answers_pass_and_the_body_follows(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(
        caller, door, "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        "POST /a");
    say(server, "HTTP/1.1 100 Continue\r\n\r\n");
    hear(caller, "HTTP/1.1 100 Continue\r\n\r\n");
    say(caller, "ok");
    hear(server, "ok");
    say(server, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert_true(has(hear_head(caller, "HTTP/1.1 103"), "Link: </a>\r\n"));
    hear_head(caller, "HTTP/1.1 204");
    kit_free(kit);
}

static void a_long_reason_phrase_is_no_broken_answer(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(caller, door, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a");
    char phrase[2001];
    memset(phrase, 'p', sizeof(phrase) - 1);
    phrase[sizeof(phrase) - 1] = '\0';
    say(server, "HTTP/1.1 200 ");
    say(server, phrase);
    say(server, "\r\nContent-Length: 0\r\n\r\n");
    hear_head(caller, "HTTP/1.1 200 pp");
    kit_free(kit);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    for (int i = 1; i <= 3; i++) {
        char first[16], answer[80];
        snprintf(first, sizeof(first), "GET /%d ", i);
        hear_head(server, first);
        hear_nothing(server, 20); /* the next waits for this answer */
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i);
        say(server, answer);
        hear_head(caller, "HTTP/1.1 200");
        snprintf(first, sizeof(first), "%d", i);
        hear(caller, first);
    }
    kit_free(kit);
}

/* --- while there is no line ----------------------------------------------------------------------------- */

static void a_body_waits_for_its_line_and_its_sender_rests(void **state)
{
    (void)state;
    enum { BODY = 1000 * 1000 };
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3"), *app = kit->app;
    mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = 20 * SP_NS_PER_S;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    kit->app = far;
    struct door *door = kit_door(kit, "10.0.0.3:80");
    kit->app = app;
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char head[100], *body = calloc(1, BODY + 1);
    snprintf(head, sizeof(head), "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY);
    for (int i = 0; i < BODY; i++)
        body[i] = (char)('a' + i % 23);
    say(caller, head);
    say(caller, body);
    kit_run(kit, 500);
    assert_true(sp_loop_slabs(kit->worker->loop)->held_bytes < 400 * 1000);
    assert_true(caller->conn.out.len - caller->conn.out_at > 500 * 1000);
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, false);
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear(server, body);
    free(body);
    kit_free(kit);
}

/* --- back-pressure -------------------------------------------------------------------------------------- */

static void a_slow_server_slows_its_caller(void **state)
{
    (void)state;
    enum { BODY = 4000 * 1000 };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    struct peer *server = ask_http(
        caller, door, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n", "POST /a");
    sp_sock_read(&server->conn.sock, false);
    char *body = calloc(1, BODY + 1);
    memset(body, 'b', BODY);
    say(caller, body);
    kit_run(kit, 2000);
    assert_true(sp_loop_slabs(kit->worker->loop)->held_bytes < 1500 * 1000);
    sp_sock_read(&server->conn.sock, true);
    hear(server, body);
    free(body);
    kit_free(kit);
}

static void a_slow_caller_slows_its_server(void **state)
{
    (void)state;
    enum { BODY = 4000 * 1000 };
    for (int bolt = 0; bolt < 2; bolt++) {
        struct door *door;
        struct kit *kit = kit_usual(bolt ? SP_PROTO_BOLT : SP_PROTO_HTTP1, &door);
        struct peer *caller = kit_call(kit, KIT_OUT), *server;
        char *body = calloc(1, BODY + 1);
        memset(body, 'b', BODY);
        uint32_t id = 0;
        if (bolt) {
            say_ask(caller, &(struct ask){ .id = 9, .timeout_ms = 10000, .body = "x" });
            server = door_next(door);
            id = hear_ask(server, "x");
        } else {
            server = ask_http(caller, door, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a");
        }
        sp_sock_read(&caller->conn.sock, false);
        if (bolt)
            say_answer_head(server, id, BODY);
        else
            say(server, "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n");
        say(server, body);
        kit_run(kit, 2000);
        assert_true(sp_loop_slabs(kit->worker->loop)->held_bytes < 1500 * 1000);
        sp_sock_read(&caller->conn.sock, true);
        if (bolt) {
            struct frame f;
            hear_frame(caller, &f);
            assert_int_equal(f.id, 9);
            assert_int_equal(f.body_bytes, BODY);
            assert_memory_equal(f.body, body, BODY);
            frame_free(&f);
        } else {
            hear_head(caller, "HTTP/1.1 200");
            hear(caller, body);
        }
        free(body);
        kit_free(kit);
    }
}

/* --- Bolt: frames --------------------------------------------------------------------------------------- */

static void callers_of_equal_ids_get_their_own_answers(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say_ask(one, &(struct ask){ .id = 5, .timeout_ms = 3000, .body = "from one" });
    struct peer *server = door_next(door);
    uint32_t id1 = hear_ask(server, "from one");
    say_ask(two, &(struct ask){ .id = 5, .timeout_ms = 3000, .body = "from two" });
    uint32_t id2 = hear_ask(server, "from two");
    assert_int_not_equal(id1, id2);
    say_answer(server, id2, "to two"); /* in the other order */
    say_answer(server, id1, "to one");
    hear_answer(one, 5, "to one");
    hear_answer(two, 5, "to two");
    assert_int_equal(door->accepted, 1);
    kit_free(kit);
}

static void an_answer_that_comes_twice_is_given_once(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 5, .timeout_ms = 3000, .body = "x" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "x");
    say_answer(server, id, "once");
    say_answer(server, id, "twice");
    say_answer(server, 4711, "to nobody");
    hear_answer(caller, 5, "once");
    hear_nothing(caller, 100);
    kit_free(kit);
}

/* The frame that flows may not be cut into by another's answer, by a refusal of ours, by a heartbeat's
 * answer. */
static void nothing_cuts_into_a_frame_that_flows(void **state)
{
    (void)state;
    enum { BODY = 200000 };
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_listener_spec *spec = kit_listener(kit, SP_PROTO_BOLT);
    mesh_route(spec)->match.path = SP_STR("/com.acme.");
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 9000, .body = "large" });
    struct peer *server = door_next(door);
    uint32_t large = hear_ask(server, "large");
    char *body = calloc(1, BODY + 1);
    memset(body, 'L', BODY);
    say_answer_head(server, large, BODY);
    say_bytes(server, body, BODY / 2);
    kit_run(kit, 50); /* half of it is on its way */

    say_ask(caller, &(struct ask){ .id = 2, .timeout_ms = 9000, .body = "x", .service = "org.none:1.0" });
    say_heartbeat(caller, 99, false);
    kit_run(kit, 50);
    say_bytes(server, body + BODY / 2, BODY - BODY / 2);
    struct frame f;
    hear_frame(caller, &f);
    assert_int_equal(f.id, 1);
    assert_int_equal(f.body_bytes, BODY);
    assert_memory_equal(f.body, body, BODY);
    frame_free(&f);
    hear_bolt_refusal(caller, 2, "NO_ROUTE"); /* it waited its turn */
    free(body);
    kit_free(kit);
}

/* However many refusals wait for the frame to end, each is heard and the line lives on. */
static void many_refusals_wait_behind_a_frame_that_flows(void **state)
{
    (void)state;
    enum { BODY = 200000, CALLS = 300 };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    sp_budget_set_limit(&kit->sidecar->process.streams, 1, 1);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 9000, .body = "large" });
    struct peer *server = door_next(door);
    uint32_t large = hear_ask(server, "large");
    char *body = calloc(1, BODY + 1);
    memset(body, 'L', BODY);
    say_answer_head(server, large, BODY);
    say_bytes(server, body, BODY / 2);
    kit_run(kit, 50);
    for (uint32_t id = 2; id < CALLS; id++)
        say_ask(caller, &(struct ask){ .id = id, .timeout_ms = 9000, .body = "x" });
    kit_run(kit, 50);
    say_bytes(server, body + BODY / 2, BODY - BODY / 2);
    hear_answer(caller, 1, body);
    for (uint32_t id = 2; id < CALLS; id++)
        hear_bolt_refusal(caller, id, "TOO_MANY_STREAMS");
    free(body);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 9000, .body = "again" });
    say_answer(server, hear_ask(server, "again"), "yes");
    hear_answer(caller, 1, "yes");
    kit_free(kit);
}

static void a_whole_answer_waits_behind_a_frame_that_flows(void **state)
{
    (void)state;
    enum { BODY = 200000 };
    static const char *const both[] = { KIT_APP, "127.0.0.1:8081", NULL };
    struct kit *kit = kit_new(1);
    mesh_cluster(kit->sidecar, "app", both);
    kit_listener(kit, SP_PROTO_BOLT);
    kit_apply(kit);
    struct door *doors[2] = { kit_door(kit, both[0]), kit_door(kit, both[1]) };
    struct peer *caller = kit_call(kit, KIT_OUT), *servers[2];
    uint32_t ids[2], callers[2]; /* by server: whose call came there */
    for (uint32_t i = 1; i <= 2; i++)
        say_ask(caller, &(struct ask){ .id = i, .timeout_ms = 9000, .body = i == 1 ? "1" : "2" });
    for (int k = 0; k < 2; k++) { /* round robin: each has one */
        struct frame f;
        servers[k] = door_next(doors[k]);
        hear_frame(servers[k], &f);
        ids[k] = f.id;
        callers[k] = (uint32_t)(f.body[0] - '0');
        frame_free(&f);
    }
    char *body = calloc(1, BODY + 1);
    memset(body, 'L', BODY);
    say_answer_head(servers[0], ids[0], BODY);
    say_bytes(servers[0], body, BODY / 2);
    kit_run(kit, 50);
    say_answer(servers[1], ids[1], "small");
    say_answer(servers[1], ids[1], "small, again"); /* while the first waits its turn */
    kit_run(kit, 50);
    leave(servers[1], true); /* even its sender may go: the answer is whole */
    kit_run(kit, 50);
    say_bytes(servers[0], body + BODY / 2, BODY - BODY / 2);
    hear_answer(caller, callers[0], body);
    hear_answer(caller, callers[1], "small");
    hear_nothing(caller, 50);
    free(body);
    kit_free(kit);
}

static void a_large_request_has_a_line_of_its_own(void **state)
{
    (void)state;
    enum { BODY = 200000 };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *other = kit_call(kit, KIT_OUT);
    char *body = calloc(1, BODY + 1);
    memset(body, 'L', BODY);
    struct ask large = { .id = 1, .timeout_ms = 9000, .body = body };
    size_t len;
    char *bytes = ask_bytes(&large, &len);
    say_bytes(caller, bytes, 100000);
    struct peer *server = door_next(door);
    say_ask(other, &(struct ask){ .id = 1, .timeout_ms = 9000, .body = "small" });
    struct peer *server2 = door_next(door); /* the first line has half a frame on it */
    say_answer(server2, hear_ask(server2, "small"), "ok");
    hear_answer(other, 1, "ok");
    say_bytes(caller, bytes + 100000, len - 100000);
    say_answer(server, hear_ask(server, body), "got it");
    hear_answer(caller, 1, "got it");
    free(bytes);
    free(body);
    kit_free(kit);
}

static void a_sender_that_goes_in_mid_frame_takes_its_own_line_alone(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *other = kit_call(kit, KIT_OUT);
    say_ask(other, &(struct ask){ .id = 1, .timeout_ms = 9000, .body = "small" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "small");
    char *body = calloc(1, 200000);
    say_ask(caller, &(struct ask){ .id = 1, .body = body, .body_bytes = 200000, .say_bytes = 100000 });
    free(body);
    struct peer *server2 = door_next(door);
    leave(caller, true);
    hear_bytes(server2, heard(server2).len);
    kit_run(kit, 10);
    assert_true(server2->ended);
    say_answer(server, id, "unharmed");
    hear_answer(other, 1, "unharmed");
    kit_free(kit);
}

/* A neighbour that refuses at the head answers before the rest has come. */
static void an_early_answer_to_a_large_request_is_given(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char *body = calloc(1, 200000);
    struct ask large = { .id = 1, .timeout_ms = 9000, .body = body, .body_bytes = 200000 };
    size_t len;
    char *bytes = ask_bytes(&large, &len);
    say_bytes(caller, bytes, 100000);
    struct peer *server = door_next(door);
    kit_run(kit, 50);
    say_answer(server, 1, "no"); /* our first id on that line is 1 */
    hear_answer(caller, 1, "no");
    say_bytes(caller, bytes + 100000, len - 100000);
    say_ask(caller, &(struct ask){ .id = 2, .timeout_ms = 9000, .body = "next" });
    struct peer *next = door_next(door);
    say_answer(next, hear_ask(next, "next"), "yes");
    hear_answer(caller, 2, "yes");
    free(bytes);
    free(body);
    kit_free(kit);
}

/* --- memory --------------------------------------------------------------------------------------------- */

/* No slab is left for the chunk's size, then for what ends the body: the caller is cut; it must neither
 * take the process along nor see a message that ends too early. */
static void memory_that_is_out_in_mid_answer_cuts_the_caller(void **state)
{
    (void)state;
    static const char *const rests[] = { "3\r\nabc\r\n", "0\r\n\r\n" };
    for (unsigned i = 0; i < SP_COUNTOF(rests); i++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
        struct peer *caller = kit_call(kit, KIT_OUT);
        struct peer *server = ask_http(caller, door, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a");
        say(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        hear_head(caller, "HTTP/1.1 200");
        hear(caller, "1\r\nx\r\n");
        struct sp_slab_pool *pool = sp_loop_slabs(kit->worker->loop);
        sp_link_trim(&kit->worker->link);
        sp_slab_pool_trim(pool);
        pool->limit_bytes = pool->held_bytes; /* the loop's spare is enough to read into */
        say(server, rests[i]);
        hear_end(caller, SP_E_RESET);
        pool->limit_bytes = 0;
        assert_int_equal(why_count(kit, SP_WHY_MEMORY), i == 0); /* else the call itself was over */
        kit_free(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_known_length_passes_as_it_is),
        cmocka_unit_test(an_absolute_target_says_the_host_and_host_must_mean_the_same),
        cmocka_unit_test(chunks_pass_with_trailers_both_ways),
        cmocka_unit_test(an_answer_until_close_becomes_chunks),
        cmocka_unit_test(an_old_caller_gets_no_chunks),
        cmocka_unit_test(interim_answers_pass_and_the_body_follows),
        cmocka_unit_test(a_long_reason_phrase_is_no_broken_answer),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_body_waits_for_its_line_and_its_sender_rests),
        cmocka_unit_test(a_slow_server_slows_its_caller),
        cmocka_unit_test(a_slow_caller_slows_its_server),
        cmocka_unit_test(callers_of_equal_ids_get_their_own_answers),
        cmocka_unit_test(an_answer_that_comes_twice_is_given_once),
        cmocka_unit_test(nothing_cuts_into_a_frame_that_flows),
        cmocka_unit_test(many_refusals_wait_behind_a_frame_that_flows),
        cmocka_unit_test(a_whole_answer_waits_behind_a_frame_that_flows),
        cmocka_unit_test(a_large_request_has_a_line_of_its_own),
        cmocka_unit_test(a_sender_that_goes_in_mid_frame_takes_its_own_line_alone),
        cmocka_unit_test(an_early_answer_to_a_large_request_is_given),
        cmocka_unit_test(memory_that_is_out_in_mid_answer_cuts_the_caller),
    };
    return cmocka_run_group_tests_name("proxy forward", tests, NULL, NULL);
}
