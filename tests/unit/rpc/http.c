/* http: the server of our own doors, over real sockets: what it answers, what it refuses, and how it holds
 * itself against clients that are slow, many, or gone. */
#include "lib/http.h"

#include "base/mem.h"
#include "io/sock.h"
#include "rpc/http.h"

struct world {
    struct sp_loop *loop;
    struct sp_http_server *server;
    sp_addr tcp, local;
    char path[64];
    struct sp_http_call *kept; /* of /later */
    int gone, ended, whole;
    struct sp_http_source source;
    int pieces, left;
    bool fail_piece, wait_piece;
    char seen[256]; /* what the handler saw last */
};

static void see(void *arg, struct sp_http_call *call)
{
    struct world *w = arg;
    const struct sp_http_request *r = sp_http_request(call);
    sp_str x = sp_http_param(call, "x");
    snprintf(w->seen, sizeof w->seen, "%.*s %.*s q=%.*s host=%.*s body=%.*s x=%.*s unix=%d uid=%d",
             SP_STR_ARG(r->method), SP_STR_ARG(r->path), SP_STR_ARG(r->query), SP_STR_ARG(r->host),
             SP_STR_ARG(sp_str_upto(r->body, 20)), SP_STR_ARG(x), r->is_unix,
             r->peer_uid == (r->is_unix ? (uint32_t)getuid() : UINT32_MAX));
    sp_http_header(call, "X-Own", SP_STR("yes"));
    sp_http_answer(call, 200, NULL, SP_STR("seen\n"));
}

static void on_gone(void *arg)
{
    struct world *w = arg;
    w->gone++;
    w->kept = NULL;
}

static void later(void *arg, struct sp_http_call *call)
{
    struct world *w = arg;
    w->kept = call;
    sp_http_on_gone(call, on_gone, w);
}

static enum sp_http_next more(struct sp_http_source *source, struct sp_buf *out)
{
    struct world *w = SP_CONTAINER(source, struct world, source);
    static const char piece[10000] = { 'p' };
    w->pieces++;
    if (w->wait_piece && w->left == 2) {
        w->wait_piece = false;
        return SP_HTTP_WAIT;
    }
    if (w->fail_piece && w->left == 2)
        out->failed = true;
    sp_buf_add(out, piece, sizeof piece);
    return --w->left ? SP_HTTP_MORE : SP_HTTP_END;
}

static void on_end(struct sp_http_source *source, bool whole)
{
    struct world *w = SP_CONTAINER(source, struct world, source);
    w->ended++;
    w->whole += whole;
}

static void stream(void *arg, struct sp_http_call *call)
{
    struct world *w = arg;
    w->kept = call;
    w->source = (struct sp_http_source){ more, on_end };
    sp_http_stream(call, 200, "application/x-test", &w->source);
}

static void big(void *arg, struct sp_http_call *call)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    for (int i = 0; i < 500000; i++)
        sp_buf_add_char(&buf, (char)('a' + i % 26));
    sp_http_answer_buf(call, 200, NULL, &buf);
    assert_int_equal(buf.len, 0);
}

static uint16_t guard(void *arg, const struct sp_http_request *request, const char **ret_text)
{
    *ret_text = "the guard says no";
    return sp_str_eq(request->path, SP_STR("/guarded")) && !request->is_unix ? 403 : 0;
}

static const struct sp_http_route routes[] = {
    { "/see", "GET", see },           { "/put", "PUT, POST", see }, { "/tree/*", "GET", see },
    { "/guarded", "GET, POST", see }, { "/later", "GET", later },   { "/stream", "GET", stream },
    { "/big", "GET", big },
};

static int set_up_with(void **state, struct sp_http_config config)
{
    struct world *w = calloc(1, sizeof *w);
    w->loop = sp_loop_new(NULL);
    config.routes = routes;
    config.route_count = SP_COUNTOF(routes);
    config.arg = w;
    config.guard = guard;
    w->server = sp_http_server_new(w->loop, &config);
    assert_non_null(w->server);
    snprintf(w->path, sizeof w->path, "/tmp/sampan-test-http-%d.sock", (int)getpid());
    const struct sp_listen_config tcp = { .addr = { .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 } } };
    const struct sp_listen_config local = { .addr = { .family = SP_ADDR_UNIX, .path = w->path } };
    assert_int_equal(sp_http_server_listen(w->server, &tcp), 0);
    assert_int_equal(sp_http_server_listen(w->server, &local), 0);
    assert_int_equal(sp_http_server_local(w->server, 0, &w->tcp), 0);
    w->local = local.addr;
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, (struct sp_http_config){ .body_bytes = 1000 });
}

static int set_up_small(void **state)
{
    return set_up_with(state, (struct sp_http_config){ .connections = 2,
                                                       .idle_ns = 80 * SP_NS_PER_MS,
                                                       .request_ns = 80 * SP_NS_PER_MS,
                                                       .stall_ns = 100 * SP_NS_PER_MS });
}

static int tear_down(void **state)
{
    struct world *w = *state;
    sp_http_server_free(w->server);
    sp_loop_turn(w->loop, 0);
    sp_loop_free(w->loop);
    unlink(w->path);
    free(w);
    return 0;
}

static void expect(struct world *w, const char *request, int status, const char *in_answer)
{
    char *answer = http_talk(w->loop, &w->tcp, request);
    if (http_status(answer) != status || !strstr(answer, in_answer))
        fail_msg("%s\n... was answered\n%s", request, answer);
    free(answer);
}

/* ---- what it answers ---- */

static void a_request_reaches_its_handler_with_all_its_parts(void **state)
{
    struct world *w = *state;
    expect(w, "GET /see?x=a%20b%2Bc+d&y HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n", 200,
           "X-Own: yes");
    assert_string_equal(w->seen, "GET /see q=x=a%20b%2Bc+d&y host=h:1 body= x=a b+c+d unix=0 uid=1");
    expect(w, "POST /put HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200,
           "seen");
    assert_string_equal(w->seen, "POST /put q= host=h body=hello x= unix=0 uid=1");
    expect(w,
           "PUT /put HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
           "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
           200, "seen");
    assert_string_equal(w->seen, "PUT /put q= host=h body=hello x= unix=0 uid=1");
    expect(w, "GET /tree/a/b HTTP/1.0\r\n\r\n", 200, "Connection: close");
    assert_string_equal(w->seen, "GET /tree/a/b q= host= body= x= unix=0 uid=1");
}

static void a_unix_client_is_known_by_its_user(void **state)
{
    struct world *w = *state;
    char *answer = http_talk(w->loop, &w->local,
                             "GET /guarded HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_status(answer), 200);
    free(answer);
    assert_string_equal(w->seen, "GET /guarded q= host=any body= x= unix=1 uid=1");
    expect(w, "GET /guarded HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n", 403, "the guard says no");
}

static void pipelined_requests_are_answered_in_order_on_one_connection(void **state)
{
    struct world *w = *state;
    char *answer = http_talk(w->loop, &w->tcp,
                             "GET /see HTTP/1.1\r\nHost: h\r\n\r\n"
                             "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
                             "DELETE /see HTTP/1.1\r\nHost: h\r\n\r\n"
                             "HEAD /see HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    static const char *const wanted[] = { "HTTP/1.1 200 ", "HTTP/1.1 404 ", "HTTP/1.1 405 ",
                                          "HTTP/1.1 200 " };
    const char *at = answer;
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        at = strstr(at, wanted[i]);
        if (!at)
            fail_msg("no %s in\n%s", wanted[i], answer);
        at++;
    }
    assert_non_null(strstr(answer, "Allow: GET\r\n"));
    assert_non_null(strstr(at, "Content-Length: 5\r\n"));
    assert_null(strstr(at, "seen")); /* HEAD has no body */
    free(answer);
}

static void a_large_body_arrives_whole(void **state)
{
    struct world *w = *state;
    char *answer = http_talk(w->loop, &w->tcp, "GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    char *body = http_body(answer);
    assert_int_equal(strlen(body), 500000);
    for (int i = 0; i < 500000; i++)
        if (body[i] != 'a' + i % 26)
            fail_msg("byte %d is %d", i, body[i]);
    free(answer);
}

static void a_source_is_asked_piece_by_piece_and_told_of_the_end(void **state)
{
    struct world *w = *state;
    w->left = 200;
    char *answer = http_talk(w->loop, &w->tcp,
                             "GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "Content-Type: application/x-test"));
    size_t head = (size_t)(strstr(answer, "\r\n\r\n") - answer);
    assert_true(head < 400);
    free(answer);
    assert_int_equal(w->pieces, 200);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->whole, 1);
}

static void a_client_of_http_1_0_gets_a_source_until_close(void **state)
{
    struct world *w = *state;
    w->left = 3;
    int fd = http_connect(&w->tcp);
    char *out = malloc(100000);
    size_t len = 0;
    http_send(fd, "GET /stream HTTP/1.0\r\n\r\n", 24);
    turn_until(w->loop, http_read(fd, out, 100000, &len));
    const char *body = strstr(out, "\r\n\r\n") + 4;
    assert_null(strstr(out, "chunked"));
    assert_int_equal(len - (size_t)(body - out), 30000);
    close(fd);
    free(out);
}

static void a_source_for_head_is_never_asked(void **state)
{
    struct world *w = *state;
    w->left = 3;
    expect(w, "HEAD /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200, "application/x-test");
    assert_int_equal(w->pieces, 0);
    assert_int_equal(w->ended, 1);
}

static void a_source_that_fails_cuts_the_connection_without_the_last_chunk(void **state)
{
    struct world *w = *state;
    w->left = 5;
    w->fail_piece = true;
    char *answer = http_talk(w->loop, &w->tcp,
                             "GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_null(strstr(answer, "\r\n0\r\n\r\n"));
    free(answer);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->whole, 0);
}

static void a_source_that_waits_goes_on_when_it_is_woken(void **state)
{
    struct world *w = *state;
    w->left = 5;
    w->wait_piece = true;
    int fd = http_connect(&w->tcp);
    char *out = malloc(200000);
    size_t len = 0;
    const char *ask = "GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->pieces == 4);
    for (int i = 0; i < 10; i++)
        sp_loop_turn(w->loop, 0);
    assert_int_equal(w->pieces, 4);
    assert_int_equal(w->ended, 0);
    sp_http_wake(w->kept);
    turn_until(w->loop, http_read(fd, out, 200000, &len));
    assert_int_equal(w->whole, 1);
    assert_true(len > 50000);
    close(fd);
    free(out);
}

static void a_slow_reader_holds_its_source_back(void **state)
{
    struct world *w = *state;
    w->left = 1000;
    int fd = http_connect(&w->tcp);
    int small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    const char *ask = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->pieces > 5);
    for (int i = 0; i < 200; i++)
        sp_loop_turn(w->loop, 0);
    assert_true(w->pieces < 800); /* the kernel's buffers and one mark, not ten MB */
    assert_int_equal(w->ended, 0);
    close(fd);
    turn_until(w->loop, w->ended == 1);
    assert_int_equal(w->whole, 0);
}

static void an_answer_may_come_later(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    const char *ask = "GET /later HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->kept);
    sp_http_answer(w->kept, 202, "text/x", SP_STR("at last"));
    turn_until(w->loop, http_read(fd, out, sizeof out, &len));
    assert_non_null(strstr(out, "202 Accepted"));
    assert_non_null(strstr(out, "at last"));
    assert_int_equal(w->gone, 0);
    close(fd);
}

static void who_waits_for_an_answer_is_told_that_the_client_reset(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    const char *ask = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->kept);
    struct linger cut = { 1, 0 };
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof cut), 0);
    close(fd);
    turn_until(w->loop, w->gone == 1);
}

static void who_waits_for_an_answer_is_told_that_the_server_goes(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    const char *ask = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->kept);
    sp_http_server_free(w->server);
    w->server = NULL;
    assert_int_equal(w->gone, 1);
    close(fd);
}

static void a_half_closed_client_still_gets_its_answer(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    const char *ask = "GET /see HTTP/1.1\r\nHost: h\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    shutdown(fd, SHUT_WR);
    turn_until(w->loop, http_read(fd, out, sizeof out, &len));
    assert_non_null(strstr(out, "seen"));
    close(fd);
}

/* ---- what it refuses ---- */

static void what_is_too_long_is_refused_by_its_status(void **state)
{
    struct world *w = *state;
    expect(w, "POST /put HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413, "Connection: close");
    char *chunks = malloc(4000);
    int at = snprintf(chunks, 4000, "POST /put HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++)
        at += snprintf(chunks + at, (size_t)(4000 - at), "64\r\n%0100d\r\n", i);
    expect(w, chunks, 413, "the body is longer");
    free(chunks);
    char *head = malloc(40000);
    at = snprintf(head, 40000, "GET /see HTTP/1.1\r\nHost: h\r\n");
    while (at < 20000)
        at += snprintf(head + at, (size_t)(40000 - at), "X-%d: %0100d\r\n", at, 0);
    snprintf(head + at, (size_t)(40000 - at), "\r\n");
    expect(w, head, 431, "Connection: close");
    free(head);
}

static void what_breaks_the_grammar_is_refused_and_cut(void **state)
{
    struct world *w = *state;
    expect(w, "NONSENSE\r\n\r\n", 400, "Connection: close");
    expect(w, "GET /see HTTP/1.1\r\n\r\n", 400, "no Host");
    expect(w, "GET /see HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
           "");
    expect(w, "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 404, "");
    assert_string_equal(w->seen, "");
}

static void a_refused_request_is_read_to_its_end_and_the_next_one_served(void **state)
{
    struct world *w = *state;
    char *answer = http_talk(
        w->loop, &w->tcp,
        "POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /see HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET /tree/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_status(answer), 404);
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(w->seen, "/tree/x"));
    free(answer);
}

static void who_expects_100_gets_it_before_the_body_is_sent(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    const char *ask = "POST /put HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n"
                      "Content-Length: 5\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, (http_read(fd, out, sizeof out, &len), strstr(out, "100 Continue")));
    assert_null(strstr(out, "200"));
    http_send(fd, "hello", 5);
    turn_until(w->loop, http_read(fd, out, sizeof out, &len));
    assert_non_null(strstr(out, "200 OK"));
    close(fd);
}

/* ---- how it holds itself ---- */

static void a_request_that_trickles_is_ended_by_one_span_for_all_of_it(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    const char *ask = "GET /see HTTP/1.1\r\nHost: h\r\nX-Endless: ";
    http_send(fd, ask, strlen(ask));
    uint64_t begun = sp_loop_clock(w->loop);
    bool ended = false;
    while (!ended) { /* a byte in each turn: the span is not begun anew */
        if (send(fd, "x", 1, MSG_NOSIGNAL) < 0)
            break;
        sp_loop_turn(w->loop, 2 * SP_NS_PER_MS);
        ended = http_read(fd, out, sizeof out, &len) || len > 0;
        if (sp_loop_clock(w->loop) - begun > 5 * SP_NS_PER_S)
            fail_msg("it was let trickle for five seconds");
    }
    turn_until(w->loop, http_read(fd, out, sizeof out, &len));
    assert_non_null(strstr(out, "408 Request Timeout"));
    assert_int_equal(sp_http_server_view(w->server).too_slow, 1);
    close(fd);
}

static void an_idle_connection_is_closed(void **state)
{
    struct world *w = *state;
    int fd = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    turn_until(w->loop, http_read(fd, out, sizeof out, &len));
    assert_int_equal(len, 0);
    close(fd);
    turn_until(w->loop, sp_http_server_view(w->server).connections == 0);
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    struct world *w = *state;
    w->left = 1000000;
    int fd = http_connect(&w->tcp);
    const char *ask = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    http_send(fd, ask, strlen(ask));
    turn_until(w->loop, w->ended == 1);
    assert_int_equal(w->whole, 0);
    assert_int_equal(sp_http_server_view(w->server).too_slow, 1);
    close(fd);
}

static void beyond_the_limit_the_longest_idle_connection_makes_room(void **state)
{
    struct world *w = *state;
    int first = http_connect(&w->tcp), second = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    turn_until(w->loop, sp_http_server_view(w->server).connections == 2);
    expect(w, "GET /see HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200, "seen");
    assert_true(http_read(first, out, sizeof out, &len)); /* it had to go */
    assert_int_equal(len, 0);
    assert_int_equal(sp_http_server_view(w->server).refused, 0);
    close(first);
    close(second);
}

static void a_full_door_refuses_and_leaves_the_other_door_open(void **state)
{
    struct world *w = *state;
    int fds[2];
    const char *ask = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
    for (int i = 0; i < 2; i++) {
        fds[i] = http_connect(&w->tcp);
        http_send(fds[i], ask, strlen(ask));
        w->kept = NULL;
        turn_until(w->loop, w->kept);
    }
    int third = http_connect(&w->tcp);
    char out[1000];
    size_t len = 0;
    turn_until(w->loop, http_read(third, out, sizeof out, &len));
    assert_int_equal(len, 0);
    assert_int_equal(sp_http_server_view(w->server).refused, 1);
    char *answer = http_talk(w->loop, &w->local, "GET /see HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_status(answer), 200);
    free(answer);
    close(third);
    close(fds[0]);
    close(fds[1]);
}

static void a_server_without_memory_is_not_made(void **state)
{
    struct sp_loop *loop = sp_loop_new(NULL);
    const struct sp_http_config config = { .routes = routes, .route_count = SP_COUNTOF(routes) };
    uint64_t before = sp_mem_live_blocks();
    (void)sp_mem_fail_at(1);
    assert_null(sp_http_server_new(loop, &config));
    (void)sp_mem_fail_at(0);
    assert_int_equal(sp_mem_live_blocks(), before);
    sp_loop_free(loop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_reaches_its_handler_with_all_its_parts),
        TEST(a_unix_client_is_known_by_its_user),
        TEST(pipelined_requests_are_answered_in_order_on_one_connection),
        TEST(a_large_body_arrives_whole),
        TEST(a_source_is_asked_piece_by_piece_and_told_of_the_end),
        TEST(a_client_of_http_1_0_gets_a_source_until_close),
        TEST(a_source_for_head_is_never_asked),
        TEST(a_source_that_fails_cuts_the_connection_without_the_last_chunk),
        TEST(a_source_that_waits_goes_on_when_it_is_woken),
        TEST(a_slow_reader_holds_its_source_back),
        TEST(an_answer_may_come_later),
        TEST(who_waits_for_an_answer_is_told_that_the_client_reset),
        TEST(who_waits_for_an_answer_is_told_that_the_server_goes),
        TEST(a_half_closed_client_still_gets_its_answer),
        TEST(what_is_too_long_is_refused_by_its_status),
        TEST(what_breaks_the_grammar_is_refused_and_cut),
        TEST(a_refused_request_is_read_to_its_end_and_the_next_one_served),
        TEST(who_expects_100_gets_it_before_the_body_is_sent),
        TEST_SMALL(a_request_that_trickles_is_ended_by_one_span_for_all_of_it),
        TEST_SMALL(an_idle_connection_is_closed),
        TEST_SMALL(a_client_that_takes_nothing_is_cut),
        TEST_SMALL(beyond_the_limit_the_longest_idle_connection_makes_room),
        TEST_SMALL(a_full_door_refuses_and_leaves_the_other_door_open),
        cmocka_unit_test(a_server_without_memory_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
