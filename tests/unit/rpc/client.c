/* client: questions to a server of our own, and to one that misbehaves. */
#include "lib/http.h"

#include "io/sock.h"
#include "rpc/http.h"

struct world {
    struct sp_loop *loop;
    struct sp_http_server *server;
    struct sp_http_client *client;
    sp_addr at;
    int replies;
    sp_err err;
    uint32_t status;
    char body[128];
    char type[64];
    char why[128];
};

static void echo(void *arg, struct sp_http_call *call)
{
    const struct sp_http_request *r = sp_http_request(call);
    sp_http_header(call, "X-Method", r->method);
    sp_http_answer(call, 200, "text/x-echo", r->body.len ? r->body : r->path);
}

static void never(void *arg, struct sp_http_call *call)
{
}

static const struct sp_http_route routes[] = {
    { "/never", "GET", never },
    { "/*", "GET, POST, PUT", echo },
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->loop = sp_loop_new(NULL);
    const struct sp_http_config config = { .routes = routes, .route_count = SP_COUNTOF(routes), .arg = w };
    w->server = sp_http_server_new(w->loop, &config);
    w->client = sp_http_client_new(w->loop);
    const struct sp_listen_config where = { .addr = { .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 } } };
    assert_int_equal(sp_http_server_listen(w->server, &where), 0);
    assert_int_equal(sp_http_server_local(w->server, 0, &w->at), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    sp_http_client_free(w->client);
    sp_http_server_free(w->server);
    sp_loop_turn(w->loop, 0);
    sp_loop_free(w->loop);
    free(w);
    return 0;
}

static void on_reply(void *arg, const struct sp_http_reply *reply)
{
    struct world *w = arg;
    w->replies++;
    w->err = reply->err;
    w->status = reply->status;
    snprintf(w->body, sizeof w->body, "%.*s", SP_STR_ARG(sp_str_upto(reply->body, 100)));
    snprintf(w->type, sizeof w->type, "%.*s",
             SP_STR_ARG(reply->head ? sp_head_value(reply->head, SP_HDR_CONTENT_TYPE) : SP_STR_NULL));
    snprintf(w->why, sizeof w->why, "%s", reply->why ? reply->why : "");
}

static void ask(struct world *w, struct sp_http_ask question)
{
    int before = w->replies;
    if (question.to.family == SP_ADDR_NONE)
        question.to = w->at;
    assert_int_equal(sp_http_client_send(w->client, &question, on_reply, w), 0);
    assert_int_equal(w->replies, before); /* never from inside the call */
    turn_until(w->loop, w->replies == before + 1);
}

static void a_question_gets_its_answer(void **state)
{
    struct world *w = *state;
    ask(w, (struct sp_http_ask){ .path = SP_STR("/abc") });
    assert_int_equal(w->err, 0);
    assert_int_equal(w->status, 200);
    assert_string_equal(w->body, "/abc");
    assert_string_equal(w->type, "text/x-echo");
    ask(w, (struct sp_http_ask){ .path = SP_STR("/abc"), .body = SP_STR("a body"), .type = "text/plain" });
    assert_string_equal(w->body, "a body");
    ask(w, (struct sp_http_ask){ .path = SP_STR("/abc"), .method = "DELETE" });
    assert_int_equal(w->status, 405);
}

static void a_large_body_goes_whole(void **state)
{
    struct world *w = *state;
    size_t len = 1000000;
    char *bytes = malloc(len);
    memset(bytes, 'z', len);
    ask(w, (struct sp_http_ask){ .path = SP_STR("/"), .body = sp_str_of(bytes, len) });
    assert_int_equal(w->err, 0);
    assert_int_equal(strspn(w->body, "z"), 100);
    free(bytes);
}

static void each_way_to_fail_says_which(void **state)
{
    struct world *w = *state;
    ask(w, (struct sp_http_ask){ .to = { .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 }, .port = 1 } });
    assert_int_equal(w->err, SP_E_REFUSED);
    ask(w, (struct sp_http_ask){ .path = SP_STR("/never"), .timeout_ns = 30 * SP_NS_PER_MS });
    assert_int_equal(w->err, SP_E_TIMEOUT);
    ask(w, (struct sp_http_ask){ .path = SP_STR("/"), .body = SP_STR("0123456789"), .answer_bytes = 5 });
    assert_int_equal(w->err, SP_E_LIMIT);
    const struct sp_http_ask split = { .to = w->at, .path = SP_STR("/a HTTP/1.1\r\nX: y") };
    assert_int_equal(sp_http_client_send(w->client, &split, on_reply, w), SP_E_INVALID);
}

/* A server that answers what it is told. */
static void answer_of(struct world *w, const char *bytes)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof in;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    const struct sp_http_ask question = {
        .to = { .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 }, .port = ntohs(in.sin_port) }
    };
    int before = w->replies;
    assert_int_equal(sp_http_client_send(w->client, &question, on_reply, w), 0);
    int fd = accept(listener, NULL, NULL);
    http_send(fd, bytes, strlen(bytes));
    shutdown(fd, SHUT_WR);
    turn_until(w->loop, w->replies == before + 1);
    close(fd);
    close(listener);
}

static void answers_of_other_servers_are_understood_or_refused(void **state)
{
    struct world *w = *state;
    answer_of(w, "HTTP/1.1 200 OK\r\n\r\nuntil close");
    assert_int_equal(w->err, 0);
    assert_string_equal(w->body, "until close");
    answer_of(w, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
    assert_int_equal(w->status, 404);
    assert_string_equal(w->body, "no");
    answer_of(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_int_equal(w->err, SP_E_CLOSED);
    answer_of(w, "SMTP is what I speak\r\n\r\n");
    assert_int_equal(w->err, SP_E_INVALID);
    answer_of(w, "");
    assert_int_equal(w->err, SP_E_CLOSED);
}

static void a_client_that_goes_drops_its_questions_silently(void **state)
{
    struct world *w = *state;
    const struct sp_http_ask question = { .to = w->at, .path = SP_STR("/never") };
    assert_int_equal(sp_http_client_send(w->client, &question, on_reply, w), 0);
    sp_loop_turn(w->loop, 0);
    sp_http_client_free(w->client);
    w->client = NULL;
    for (int i = 0; i < 5; i++)
        sp_loop_turn(w->loop, 0);
    assert_int_equal(w->replies, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_question_gets_its_answer),
        TEST(a_large_body_goes_whole),
        TEST(each_way_to_fail_says_which),
        TEST(answers_of_other_servers_are_understood_or_refused),
        TEST(a_client_that_goes_drops_its_questions_silently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
