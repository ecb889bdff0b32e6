/* h1_turns: what the decoder is told by the other direction: what was asked, what was answered, and when a
 * connection is between messages. */
#include "unit/base/help.h"
#include "unit/wire/h1_kit.h"

struct fixture {
    struct sp_codec_state st;
    struct sp_header headers[8];
    struct sp_head head;
    struct sp_event ev;
};

static void set_up(struct fixture *f, enum sp_role role)
{
    memset(f, 0, sizeof *f);
    f->head.headers = f->headers;
    f->head.header_cap = SP_COUNTOF(f->headers);
    f->ev.head = &f->head;
    sp_h1_codec.init(&f->st, role, NULL);
}

static ssize_t feed(struct fixture *f, const char *text)
{
    return sp_h1_codec.decode(&f->st, sp_str_c(text), &f->ev);
}

static void answer(struct fixture *f, uint32_t status)
{
    struct sp_head head = { .kind = SP_MSG_RESPONSE, .status = status };
    sp_h1_codec.answered(&f->st, &head);
}

static void a_server_is_idle_between_requests_only(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    assert_true(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(feed(&f, ""), 0);
    assert_true(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(feed(&f, "G"), 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
    const char *post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    assert_int_equal(feed(&f, post), strlen(post));
    assert_false(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(feed(&f, ""), 0);
    assert_int_equal(f.ev.kind, SP_EVENT_NONE);
    assert_int_equal(feed(&f, "abc"), 3);
    assert_true(f.ev.end);
    assert_true(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(feed(&f, "\r"), 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
}

static void a_client_is_idle_when_nothing_is_asked(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_CLIENT);
    assert_true(sp_h1_codec.is_idle(&f.st));
    h1_ask(&f.st, "GET");
    assert_false(sp_h1_codec.is_idle(&f.st));
    assert_true(feed(&f, "HTTP/1.1 100 Continue\r\n\r\n") > 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
    assert_true(feed(&f, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n") > 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(feed(&f, "x"), 1);
    assert_true(sp_h1_codec.is_idle(&f.st));
    h1_ask(&f.st, "GET");
    assert_true(feed(&f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") > 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
}

static void a_tunnel_is_held_until_its_final_answer(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    assert_true(feed(&f, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n") > 0);
    assert_true(f.ev.end);
    assert_int_equal(feed(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_int_equal(f.ev.kind, SP_EVENT_NONE);
    answer(&f, 102);
    assert_int_equal(feed(&f, "raw"), 0);
    assert_false(sp_h1_codec.is_idle(&f.st));
    assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), 0);
    assert_int_equal(f.ev.kind, SP_EVENT_NONE);
    answer(&f, 299);
    assert_int_equal(feed(&f, "raw"), 3);
    assert_int_equal(f.ev.kind, SP_EVENT_DATA);
    assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), 0);
    assert_int_equal(f.ev.kind, SP_EVENT_END);
    assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), 0);
    assert_int_equal(f.ev.kind, SP_EVENT_NONE);
}

static void an_answer_before_the_body_ended_counts_when_it_has(void **state)
{
    static const struct {
        uint32_t status;
        bool tunnel;
    } turns[] = { { 101, true }, { 403, false } };
    for (size_t i = 0; i < SP_COUNTOF(turns); i++) {
        struct fixture f;
        set_up(&f, SP_ROLE_SERVER);
        assert_true(feed(&f, "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"
                             "Content-Length: 3\r\n\r\n") > 0);
        answer(&f, turns[i].status);
        assert_int_equal(feed(&f, "abcGET /"), 3);
        assert_true(f.ev.end);
        assert_int_equal(feed(&f, "GET /"), turns[i].tunnel ? 5 : 0);
        assert_int_equal(f.ev.kind, turns[i].tunnel ? SP_EVENT_DATA : SP_EVENT_NONE);
    }
}

static void an_answer_to_an_ordinary_request_changes_nothing(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    assert_true(feed(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
    answer(&f, 101);
    sp_h1_codec.answered(&f.st, NULL);
    assert_true(feed(&f, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
    check_str(f.head.path, "/2");
    /* Of an upgrade, 200 is a refusal; of CONNECT, 101 is none. */
    assert_true(feed(&f, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") > 0);
    answer(&f, 200);
    assert_true(feed(&f, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n") > 0);
    answer(&f, 101);
    assert_int_equal(feed(&f, "thrown away"), 11);
    assert_int_equal(f.ev.kind, SP_EVENT_NONE);
    assert_int_equal(f.ev.body.len, 0);
}

static void a_small_message_that_is_there_is_one_event(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < SP_COUNTOF(requests); i++) {
        struct fixture f;
        set_up(&f, SP_ROLE_SERVER);
        assert_int_equal(feed(&f, requests[i]), strlen(requests[i]));
        assert_int_equal(f.ev.kind, SP_EVENT_HEAD);
        assert_true(f.ev.end);
        check_str(f.ev.body, i ? "hello" : "");
    }
}

static void a_fault_behind_a_head_is_told_after_the_head(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    const char *head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    char text[128];
    snprintf(text, sizeof text, "%sx\r\n", head);
    assert_int_equal(feed(&f, text), strlen(head));
    assert_int_equal(f.ev.kind, SP_EVENT_HEAD);
    assert_null(f.ev.why);
    assert_int_equal(feed(&f, "x\r\n"), SP_E_INVALID);
    assert_non_null(f.ev.why);
    assert_int_equal(f.ev.status, 400);
}

static void trailers_leave_the_head_alone_and_need_none(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    assert_true(feed(&f, "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") > 0);
    assert_int_equal(feed(&f, "0\r\n"), 3);
    assert_int_equal(feed(&f, "x: y\r\n\r\n"), 8);
    assert_true(f.ev.trailers);
    assert_int_equal(f.head.header_count, 1);
    check_str(f.head.path, "/p");

    set_up(&f, SP_ROLE_SERVER);
    assert_true(feed(&f, "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") > 0);
    f.ev.head = NULL;
    assert_int_equal(feed(&f, "0\r\n"), 3);
    assert_int_equal(feed(&f, "x: y\r\n\r\n"), 8);
    assert_true(f.ev.end && !f.ev.trailers);

    set_up(&f, SP_ROLE_SERVER);
    assert_true(feed(&f, "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") > 0);
    assert_int_equal(feed(&f, "0\r\n"), 3);
    assert_int_equal(feed(&f, "\r\n"), 2);
    assert_true(f.ev.end && !f.ev.trailers);
    assert_int_equal(f.head.header_count, 2);
}

static void an_end_inside_a_message_says_so(void **state)
{
    struct fixture f;
    set_up(&f, SP_ROLE_SERVER);
    assert_int_equal(feed(&f, "GET /"), 0);
    assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), SP_E_CLOSED);
    assert_int_equal(f.ev.status, 400);
    set_up(&f, SP_ROLE_CLIENT);
    h1_ask(&f.st, "GET");
    assert_true(feed(&f, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc") > 0);
    assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), SP_E_CLOSED);
    assert_int_equal(f.ev.status, 502);
    assert_non_null(f.ev.why);
}

static void a_refusal_says_how_and_with_which_status(void **state)
{
    static const struct {
        const char *text;
        int status;
        sp_err err;
    } refusals[] = {
        { "GET / HTTP/2.0\r\n\r\n", 505, SP_E_UNSUPPORTED },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, SP_E_UNSUPPORTED },
        { "GET /\r\n\r\n", 400, SP_E_INVALID },
    };
    for (size_t i = 0; i < SP_COUNTOF(refusals); i++) {
        struct fixture f;
        set_up(&f, SP_ROLE_SERVER);
        assert_int_equal(feed(&f, refusals[i].text), refusals[i].err);
        assert_int_equal(f.ev.status, refusals[i].status);
        assert_non_null(f.ev.why);
        assert_false(sp_h1_codec.is_idle(&f.st));
        assert_int_equal(sp_h1_codec.finish(&f.st, &f.ev), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_idle_between_requests_only),
        cmocka_unit_test(a_client_is_idle_when_nothing_is_asked),
        cmocka_unit_test(a_tunnel_is_held_until_its_final_answer),
        cmocka_unit_test(an_answer_before_the_body_ended_counts_when_it_has),
        cmocka_unit_test(an_answer_to_an_ordinary_request_changes_nothing),
        cmocka_unit_test(a_small_message_that_is_there_is_one_event),
        cmocka_unit_test(a_fault_behind_a_head_is_told_after_the_head),
        cmocka_unit_test(trailers_leave_the_head_alone_and_need_none),
        cmocka_unit_test(an_end_inside_a_message_says_so),
        cmocka_unit_test(a_refusal_says_how_and_with_which_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
