/* h2_heads: which heads are calls, and which mean two things and are refused (RFC 9113 8.1 to 8.3). */
#include "h2_kit.h"

#include "wire/grpc/grpc.h"
#include "wire/h1/h1.h"

/* Lines of "name: value" as literals that join no table. */
static size_t put_fields(char *out, const char *lines)
{
    char *at = out;
    while (*lines) {
        const char *end = strchr(lines, '\n'), *colon = strstr(lines + 1, ": ");
        assert_true(end && colon && colon < end);
        *at++ = 0;
        at = sp_hpack_put_int(at, 0, 7, (uint32_t)(colon - lines));
        memcpy(at, lines, (size_t)(colon - lines));
        at += colon - lines;
        at = sp_hpack_put_int(at, 0, 7, (uint32_t)(end - colon - 2));
        memcpy(at, colon + 2, (size_t)(end - colon - 2));
        at += end - colon - 2;
        lines = end + 1;
    }
    return (size_t)(at - out);
}

#define GET ":method: GET\n:scheme: http\n:path: /\n:authority: a\n"
#define POST ":method: POST\n:scheme: http\n:path: /\n:authority: a\n"

static void heads_that_mean_one_thing(void **unused)
{
    static const struct {
        const char *lines, *text;
    } good[] = {
        { GET, "request 1 GET a / 0\nend 1\n" },
        { ":path: *\n:method: OPTIONS\n:authority: a\n:scheme: https\n", "request 1 OPTIONS a * 0\nend 1\n" },
        { ":method: CONNECT\n:authority: a:443\n", "request 1 CONNECT a:443  0\nend 1\n" },
        { ":method: GET\n:scheme: http\n:path: /\nhost: b:80\n",
          "request 1 GET b:80 / 0 host=b:80\nend 1\n" },
        { GET "host: a\n", "request 1 GET a / 0 host=a\nend 1\n" },
        { GET "host: A\n", "request 1 GET a / 0 host=A\nend 1\n" },
        { GET "te: trailers\n", "request 1 GET a / 0 te=trailers\nend 1\n" },
        { GET "content-length: 0\n", "request 1 GET a / 0 content-length=0\nend 1\n" },
        { GET "cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3\n",
          "request 1 GET a / 0 cookie=a=1; b=2; c=3 x=y\nend 1\n" },
        { GET "x-empty: \n", "request 1 GET a / 0 x-empty=\nend 1\n" },
    };
    for (size_t i = 0; i < SP_COUNTOF(good); i++) {
        struct end *e = server_new(NULL);
        char block[1024];
        assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, block, put_fields(block, good[i].lines)));
        check_text(e, good[i].text);
        end_free(e);
    }
}

static void heads_that_are_refused(void **unused)
{
    static const char *const bad[] = {
        ":method: GET\n:scheme: http\n:authority: a\n",
        ":method: GET\n:path: /\n:authority: a\n",
        ":scheme: http\n:path: /\n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: /\n", /* nowhere */
        ":method: GET\n:scheme: http\n:path: \n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: x\n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: *\n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: /a b\n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: /#a\n:authority: a\n",
        ":method: GET\n:scheme: ftp\n:path: /\n:authority: a\n",
        ":method: G T\n:scheme: http\n:path: /\n:authority: a\n",
        ":method: \n:scheme: http\n:path: /\n:authority: a\n",
        ":method: GET\n:scheme: http\n:path: /\n:authority: a b\n",
        ":method: GET\n:scheme: http\n:path: /\n:authority: u@a\n",
        ":method: CONNECT\n:authority: a\n",
        ":method: CONNECT\n:authority: a:1\n:path: /\n:scheme: http\n",
        ":method: CONNECT\n:authority: a:1\ncontent-length: 0\n",
        GET ":path: /b\n",
        GET ":status: 200\n",
        GET ":protocol: websocket\n",
        GET ":unknown: x\n",
        "x: y\n" GET,
        GET "host: b\n",
        GET "host: a\nhost: a\n",
        GET "connection: close\n",
        GET "keep-alive: 1\n",
        GET "proxy-connection: x\n",
        GET "transfer-encoding: chunked\n",
        GET "upgrade: h2c\n",
        GET "te: gzip\n",
        GET "te: trailers, gzip\n",
        GET "X-Large: y\n",
        GET "x y: z\n",
        GET "x: y \n",
        GET "x:  y\n",
        GET "x: a\rb\n",
        GET "x: a\001b\n",
        GET "content-length: 1\n", /* the stream ends here */
        GET "content-length: +0\n",
        GET "content-length: 0\ncontent-length: 0\n",
        GET "content-length: 99999999999999999999\n",
        GET "content_length: 0\n",
        GET "transfer_encoding: chunked\n",
        ":method: TRACE\n:scheme: http\n:path: /\n:authority: a\ncontent-length: 5\n",
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct end *e = server_new(NULL);
        char block[1024], want[64];
        assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, block, put_fields(block, bad[i])));
        e->text[e->text_len] = '\0';
        if (strstr(e->text, "request"))
            fail_msg("not refused:\n%s", bad[i]);
        snprintf(want, sizeof want, "%s 1 PROTOCOL_ERROR%s\n",
                 strncmp(e->text, "reset", 5) ? "refused" : "reset",
                 strncmp(e->text, "reset", 5) ? "" : " by us");
        assert_string_equal(e->text, want);
        e->text_len = 0;
        assert_true(end_get(e, 3)); /* the connection goes on */
        check_text(e, "request 3 GET a / 0\nend 3\n");
        end_free(e);
    }
}

static void a_zero_byte_in_a_value_is_refused(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, KIT_GET "\0\1x\3a\0b", 6 + 7));
    check_text(e, "refused 1 PROTOCOL_ERROR\n");
    end_free(e);
}

static void an_entry_that_was_judged_is_not_believed_for_another_name(void **unused)
{
    struct end *e = server_new(NULL);
    /* x: y joins the table; then its name with a value that is none, then both again. */
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, KIT_GET "\x40\1x\1y", 6 + 5));
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 3, KIT_GET "\x7e\1\n", 6 + 3));
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 5, KIT_GET "\xbf", 6 + 1));
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 7, KIT_GET "\xbe", 6 + 1));
    check_text(e, "request 1 GET a / 0 x=y\nend 1\nrefused 3 PROTOCOL_ERROR\n"
                  "request 5 GET a / 0 x=y\nend 5\nrefused 7 PROTOCOL_ERROR\n");
    end_free(e);
}

static void bodies_must_be_as_long_as_they_say(void **unused)
{
    static const struct {
        const char *body;
        bool end;
        const char *text;
    } cases[] = {
        { "abc", true, "body 1 abc\nend 1\n" },
        { "ab", true, "reset 1 PROTOCOL_ERROR by us\n" },
        { "abcd", false, "reset 1 PROTOCOL_ERROR by us\n" },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct end *e = server_new(NULL);
        char block[256];
        assert_true(end_frame(e, SP_H2_HEADERS, 4, 1, block, put_fields(block, POST "content-length: 3\n")));
        e->text_len = 0;
        assert_true(end_frame(e, SP_H2_DATA, cases[i].end, 1, cases[i].body, strlen(cases[i].body)));
        check_text(e, cases[i].text);
        end_free(e);
    }
    struct end *e = server_new(NULL);
    char block[256];
    assert_true(end_frame(e, SP_H2_HEADERS, 4, 1, block, put_fields(block, POST "content-length: 3\n")));
    e->text_len = 0;
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, block, put_fields(block, "x-sum: 1\n")));
    check_text(e, "reset 1 PROTOCOL_ERROR by us\n");
    end_free(e);
}

static void trailers_hold_no_pseudo_fields_and_end_the_message(void **unused)
{
    static const struct {
        unsigned flags;
        const char *lines;
    } bad[] = { { 4, "x: y\n" }, { 5, ":path: /\n" }, { 5, "connection: x\n" } };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct end *e = server_new(NULL);
        char block[256];
        assert_true(end_post(e, 1));
        e->text_len = 0;
        assert_true(end_frame(e, SP_H2_HEADERS, bad[i].flags, 1, block, put_fields(block, bad[i].lines)));
        check_text(e, "reset 1 PROTOCOL_ERROR by us\n");
        end_free(e);
    }
}

static void frames_behind_the_end_are_refused(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(end_get(e, 1));
    e->text_len = 0;
    assert_true(end_frame(e, SP_H2_DATA, 0, 1, "x", 1));
    check_text(e, "reset 1 STREAM_CLOSED by us\n");
    assert_true(end_get(e, 3));
    e->text_len = 0;
    assert_true(end_get(e, 3));
    check_text(e, "reset 3 STREAM_CLOSED by us\n");
    end_free(e);
}

static struct end *client_with(const char *method, uint32_t *ret_id)
{
    struct end *c = end_new(SP_ROLE_CLIENT, NULL);
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = sp_str_c(method),
                           .path = SP_STR("/"),
                           .service = SP_STR("a") };
    free(sp_h2_give(c->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    assert_true(sp_h2_encode_request(c->h2, &ask, true, ret_id, c->out, 1024) > 0);
    assert_true(end_frame(c, SP_H2_SETTINGS_FRAME, 0, 0, NULL, 0));
    return c;
}

static void answers_of_each_kind(void **unused)
{
    static const struct {
        const char *method, *lines, *text;
        unsigned flags;
    } cases[] = {
        { "GET", ":status: 200\n", "answer 1 200 -1\n", 4 },
        { "GET", ":status: 204\n", "answer 1 204 0\nend 1\n", 5 },
        { "HEAD", ":status: 200\ncontent-length: 9\n", "answer 1 200 9 content-length=9\nend 1\n", 5 },
        { "GET", ":status: 304\ncontent-length: 9\n", "answer 1 304 9 content-length=9\nend 1\n", 5 },
        { "GET", ":status: 103\nlink: x\n", "interim 1 103 -1 link=x\n", 4 },
        { "GET", ":status: 103\n", "reset 1 PROTOCOL_ERROR by us\n", 5 },
        { "GET", ":status: 101\n", "reset 1 PROTOCOL_ERROR by us\n", 4 },
        { "GET", ":status: 20\n", "reset 1 PROTOCOL_ERROR by us\n", 4 },
        { "GET", ":status: 2000\n", "reset 1 PROTOCOL_ERROR by us\n", 4 },
        { "GET", "x: y\n", "reset 1 PROTOCOL_ERROR by us\n", 4 },
        { "GET", ":status: 200\n:path: /\n", "reset 1 PROTOCOL_ERROR by us\n", 4 },
        { "GET", ":status: 200\ncontent-length: 9\n", "reset 1 PROTOCOL_ERROR by us\n", 5 },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        uint32_t id;
        char block[256];
        struct end *c = client_with(cases[i].method, &id);
        assert_true(end_frame(c, SP_H2_HEADERS, cases[i].flags, 1, block, put_fields(block, cases[i].lines)));
        check_text(c, cases[i].text);
        end_free(c);
    }
}

static void edits_that_would_be_a_second_request_are_not_written(void **unused)
{
    static const char *const values[] = { "a\r\nb", "a\nb", "a\001" };
    struct end *c = end_new(SP_ROLE_CLIENT, NULL);
    uint32_t id;
    free(sp_h2_give(c->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    for (size_t i = 0; i < SP_COUNTOF(values); i++) {
        struct sp_header h = { "x", values[i], (uint32_t)strlen(values[i]), 1, 0, 0 };
        struct sp_head ask = { .kind = SP_MSG_REQUEST,
                               .protocol = SP_PROTO_HTTP1,
                               .method = SP_STR("GET"),
                               .path = SP_STR("/"),
                               .service = SP_STR("a"),
                               .headers = &h,
                               .header_count = 1 };
        assert_int_equal(sp_h2_encode_request(c->h2, &ask, true, &id, c->out, 1024), SP_E_INVALID);
        ask.header_count = 0;
        ask.path = sp_str_c(values[i]);
        assert_int_equal(sp_h2_encode_request(c->h2, &ask, true, &id, c->out, 1024), SP_E_INVALID);
    }
    end_free(c);
}

/* S4: what came by HTTP/2 leaves by HTTP/1.1 as one request, and means the same there. */
static void a_head_goes_on_as_http1(void **unused)
{
    struct end *e = server_new(NULL);
    struct sp_codec_state state;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_event ev = { .head = &head };
    char block[256], out[1024];
    assert_true(end_frame(e, SP_H2_HEADERS, 4, 1, block,
                          put_fields(block, POST "content-length: 3\ncookie: a=1\ncookie: b=2\nx: y\n")));
    ssize_t len = sp_h1_codec.encode_head(&e->head, out, sizeof out);
    assert_true(len > 0);
    sp_h1_codec.init(&state, SP_ROLE_SERVER, NULL);
    assert_int_equal(sp_h1_codec.decode(&state, sp_str_of(out, (size_t)len), &ev), len);
    assert_int_equal(head.body_bytes, 3);
    assert_true(sp_str_eq(head.service, SP_STR("a")) && sp_str_eq(head.method, SP_STR("POST")));
    assert_true(sp_str_eq(sp_head_value(&head, SP_HDR_COOKIE), SP_STR("a=1; b=2")));
    end_free(e);
}

static void errors_of_our_own(void **unused)
{
    struct end *e = server_new(NULL), *c = end_new(SP_ROLE_CLIENT, NULL);
    struct sp_header type = { "content-type", "application/grpc+proto", 22, 12, SP_HDR_CONTENT_TYPE, 0 };
    struct sp_head plain = { .kind = SP_MSG_REQUEST,
                             .protocol = SP_PROTO_HTTP1,
                             .method = SP_STR("GET"),
                             .path = SP_STR("/"),
                             .service = SP_STR("a") };
    struct sp_head grpc = plain;
    uint32_t id;
    grpc.headers = &type;
    grpc.header_count = 1;
    free(sp_h2_give(c->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    assert_true(sp_h2_encode_request(c->h2, &plain, true, &id, c->out, 1024) > 0);
    assert_true(sp_h2_encode_request(c->h2, &grpc, true, &id, c->out, 1024) > 0);
    assert_true(end_get(e, 1) && end_get(e, 3));
    char out[1024];
    assert_true(end_frame(c, SP_H2_SETTINGS_FRAME, 0, 0, NULL, 0));
    ssize_t n = sp_h2_encode_error(e->h2, 1, &plain, 503, SP_STR("NO_HEALTHY"), SP_STR("no one"), out, 1024);
    assert_true(n > 0 && end_feed(c, out, (size_t)n));
    n = sp_h2_encode_error(e->h2, 3, &grpc, 504, SP_STR("TIMEOUT"), SP_STR("too late: 5%"), out, 1024);
    assert_true(n > 0 && end_feed(c, out, (size_t)n));
    check_text(c, "answer 1 503 6 content-length=6 x-sampan-reason=NO_HEALTHY content-type=text/plain\n"
                  "body 1 no one\nend 1\n"
                  "answer 3 200 0 x-sampan-reason=TIMEOUT grpc-status=4 grpc-message=too late: 5%25 "
                  "content-type=application/grpc\nend 3\n");
    end_free(e);
    end_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_mean_one_thing),
        cmocka_unit_test(heads_that_are_refused),
        cmocka_unit_test(a_zero_byte_in_a_value_is_refused),
        cmocka_unit_test(an_entry_that_was_judged_is_not_believed_for_another_name),
        cmocka_unit_test(bodies_must_be_as_long_as_they_say),
        cmocka_unit_test(trailers_hold_no_pseudo_fields_and_end_the_message),
        cmocka_unit_test(frames_behind_the_end_are_refused),
        cmocka_unit_test(answers_of_each_kind),
        cmocka_unit_test(edits_that_would_be_a_second_request_are_not_written),
        cmocka_unit_test(a_head_goes_on_as_http1),
        cmocka_unit_test(errors_of_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
