/* h2_frames: two ends talk over golden bytes; every cut, every move to another process, each wrong frame. */
#include "h2_kit.h"

/* A client's bytes, in frames as other programs write them. */
static size_t golden(const char *name, char *out)
{
    struct golden *g = malloc(sizeof *g);
    golden_load(g, "h2/frames.hex", name);
    memcpy(out, g->bytes, g->len);
    size_t len = g->len;
    free(g);
    return len;
}

static const char all_text[] =
    "request 1 GET a / 0\n"
    "end 1\n"
    "request 3 POST a.example:80 /up?x=1 11 content-length=11 cookie=a=1; b=2 te=trailers\n"
    "body 3 hello world\n"
    "end 3\n"
    "request 5 POST a / -1\n"
    "body 5 abc\n"
    "trailers 5 x-sum=9\n"
    "end 5\n"
    "request 7 POST a / -1\n"
    "reset 7 CANCEL\n"
    "request 9 POST a / -1\n"
    "body 9 held\n"
    "end 9\n"
    "goaway 0 NO_ERROR\n";

/* The answers to those bytes: settings, ping, nothing else. */
static void check_replies(const struct end *e)
{
    static const char want[] = "\0\0\0\x04\x01\0\0\0\0"
                               "\0\0\x08\x06\x01\0\0\0\0"
                               "pingpong";
    assert_int_equal(e->out_len, sizeof want - 1);
    assert_memory_equal(e->out, want, sizeof want - 1);
}

static void golden_frames_become_events(void **unused)
{
    char bytes[2048];
    size_t len = golden("client", bytes);
    struct end *e = end_new(SP_ROLE_SERVER, NULL);
    assert_true(end_feed(e, bytes, len));
    check_text(e, all_text);
    check_replies(e);
    assert_true(sp_h2_finish(e->h2) < 0); /* the answers are still to come */
    end_free(e);
}

static void every_cut_gives_the_same_events(void **unused)
{
    char bytes[2048];
    size_t len = golden("client", bytes);
    for (size_t cut = 0; cut <= len; cut++) {
        struct end *e = end_new(SP_ROLE_SERVER, NULL);
        assert_true(end_feed(e, bytes, cut));
        assert_true(end_feed(e, bytes + cut, len - cut));
        check_text(e, all_text);
        check_replies(e);
        end_free(e);
    }
}

static void byte_by_byte_with_a_move_between_any_two(void **unused)
{
    char bytes[2048];
    size_t len = golden("client", bytes);
    struct end *e = end_new(SP_ROLE_SERVER, NULL);
    e->moves = true;
    for (size_t i = 0; i < len; i++)
        assert_true(end_feed(e, bytes + i, 1));
    check_text(e, all_text);
    check_replies(e);
    end_free(e);
}

static void carry(struct end *from, struct end *to)
{
    size_t len = from->out_len;
    char *bytes = malloc(len + 1);
    memcpy(bytes, from->out, len);
    from->out_len = 0;
    assert_true(end_feed(to, bytes, len));
    free(bytes);
}

static void put(struct end *e, ssize_t len)
{
    assert_true(len > 0);
    e->out_len += (size_t)len;
}

#define OUT(e) (e)->out + (e)->out_len, sizeof((e)->out) - (e)->out_len

static void put_body(struct end *e, uint32_t id, const char *text, bool end)
{
    size_t len = strlen(text);
    put(e, sp_h2_encode_data(e->h2, id, (uint32_t)len, end, OUT(e)));
    memcpy(e->out + e->out_len, text, len);
    e->out_len += len;
}

/* A call there and back, `rounds` times, with the state of both moving when `moves`. */
static void talk(bool moves, int rounds)
{
    struct end *client = end_new(SP_ROLE_CLIENT, NULL), *server = end_new(SP_ROLE_SERVER, NULL);
    struct sp_header headers[] = { { "Content-Type", "application/grpc", 16, 12, SP_HDR_CONTENT_TYPE, 0 },
                                   { "x-app", "orders", 6, 5, 0, 0 },
                                   { "connection", "x-app", 5, 10, SP_HDR_CONNECTION, SP_HEADER_HOP },
                                   { "te", "trailers", 8, 2, SP_HDR_TE, SP_HEADER_HOP } };
    struct sp_header sums[] = { { "grpc-status", "0", 1, 11, 0, 0 } };
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = SP_STR("POST"),
                           .path = SP_STR("/s/m"),
                           .service = SP_STR("svc:80"),
                           .body_bytes = -1,
                           .headers = headers,
                           .header_count = 4 };
    struct sp_head tell = {
        .kind = SP_MSG_RESPONSE, .status = 200, .body_bytes = -1, .headers = headers, .header_count = 2
    };
    struct sp_head trailers = { .headers = sums, .header_count = 1 };
    end_fill(client);
    end_fill(server);
    put(client, sp_h2_encode_preface(client->h2, OUT(client)));
    put(server, sp_h2_encode_preface(server->h2, OUT(server)));
    client->moves = server->moves = moves;
    for (int i = 0; i < rounds; i++) {
        char want[256];
        uint32_t id, again;
        if (!sp_h2_has_slot(client->h2))
            free(sp_h2_give(client->h2, SP_H2_STREAMS, calloc(8, 32), 256));
        put(client, sp_h2_encode_request(client->h2, &ask, false, &id, OUT(client)));
        assert_int_equal(id, 2 * i + 1);
        put_body(client, id, "question", true);
        carry(client, server);
        snprintf(want, sizeof want,
                 "request %u POST svc:80 /s/m -1 content-type=application/grpc x-app=orders te=trailers\n"
                 "body %u question\nend %u\n",
                 id, id, id);
        check_text(server, want);
        put(server, sp_h2_encode_answer(server->h2, id, &tell, false, OUT(server)));
        put_body(server, id, "ans", false);
        put_body(server, id, "wer", false);
        put(server, sp_h2_encode_end(server->h2, id, &trailers, OUT(server)));
        carry(server, client);
        snprintf(want, sizeof want,
                 "answer %u 200 -1 content-type=application/grpc x-app=orders\nbody %u answer\n"
                 "trailers %u grpc-status=0\nend %u\n",
                 id, id, id, id);
        check_text(client, want);
        assert_int_equal(sp_h2_encode_answer(server->h2, id, &tell, false, OUT(server)), SP_E_MISSING);
        again = sp_h2_streams(client->h2) + sp_h2_streams(server->h2);
        assert_int_equal(again, 0);
    }
    assert_true(sp_h2_is_idle(client->h2) && sp_h2_is_idle(server->h2));
    end_free(client);
    end_free(server);
}

static void calls_go_there_and_back(void **unused)
{
    talk(false, 100);
}

static void calls_go_on_while_both_ends_move(void **unused)
{
    talk(true, 20);
}

static void a_warm_request_is_a_few_bytes(void **unused)
{
    struct end *client = end_new(SP_ROLE_CLIENT, NULL);
    struct sp_header headers[] = { { "user-agent", "grpc-c/1.0", 10, 10, SP_HDR_USER_AGENT, 0 },
                                   { "x-app", "orders", 6, 5, 0, 0 } };
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = SP_STR("GET"),
                           .path = SP_STR("/s/m"),
                           .service = SP_STR("svc:80"),
                           .headers = headers,
                           .header_count = 2 };
    ssize_t len = 0;
    uint32_t id;
    end_fill(client);
    free(sp_h2_give(client->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    for (int i = 0; i < 3; i++)
        len = sp_h2_encode_request(client->h2, &ask, true, &id, client->out, 1024);
    assert_int_equal(len, 9 + 6);
    end_free(client);
}

static void a_large_head_is_cut_into_continuations(void **unused)
{
    struct end *client = end_new(SP_ROLE_CLIENT, NULL), *server = end_new(SP_ROLE_SERVER, NULL);
    static char long_value[40000];
    memset(long_value, 'v', sizeof long_value);
    struct sp_header headers[] = { { "x-long", long_value, sizeof long_value, 6, 0, 0 } };
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = SP_STR("GET"),
                           .path = SP_STR("/"),
                           .service = SP_STR("a"),
                           .headers = headers,
                           .header_count = 1 };
    uint32_t id;
    free(sp_h2_give(client->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    put(client, sp_h2_encode_preface(client->h2, OUT(client)));
    put(client, sp_h2_encode_request(client->h2, &ask, true, &id, OUT(client)));
    assert_int_equal(last_frame(client).type, SP_H2_CONTINUATION);
    carry(client, server);
    assert_int_equal(server->head.headers[0].value_len, sizeof long_value);
    assert_int_equal(server->head.header_count, 1);
    end_free(client);
    end_free(server);
}

static void windows_hold_back_and_let_go(void **unused)
{
    struct sp_h2_limits small = { .window = 65535, .window_all = 65535 };
    struct end *server = server_new(&small);
    struct sp_head tell = { .kind = SP_MSG_RESPONSE, .status = 200, .body_bytes = -1 };
    assert_true(end_frame(server, SP_H2_SETTINGS_FRAME, 0, 0, "\0\4\0\0\0\5", 6));
    assert_true(end_get(server, 1));
    put(server, sp_h2_encode_answer(server->h2, 1, &tell, false, OUT(server)));
    assert_int_equal(sp_h2_room(server->h2, 1), 5);
    put_body(server, 1, "12345", false);
    assert_int_equal(sp_h2_room(server->h2, 1), 0);
    assert_true(end_frame(server, SP_H2_SETTINGS_FRAME, 0, 0, "\0\4\0\0\0\2", 6)); /* 3 below nothing */
    assert_int_equal(sp_h2_room(server->h2, 1), 0);
    assert_true(end_frame(server, SP_H2_WINDOW_UPDATE, 0, 1, "\0\0\0\4", 4));
    assert_int_equal(server->ev.note, SP_H2_QUIET); /* the last call had nothing more */
    assert_int_equal(sp_h2_room(server->h2, 1), 1);
    end_free(server);
}

static void credit_comes_back_when_bytes_are_taken(void **unused)
{
    struct sp_h2_limits small = { .window = 65535, .window_all = 65535 };
    struct end *server = server_new(&small);
    static char chunk[16384];
    char out[64];
    server->took = false;
    assert_true(end_post(server, 1));
    for (int i = 0; i < 3; i++)
        assert_true(end_frame(server, SP_H2_DATA, 0, 1, chunk, sizeof chunk));
    assert_int_equal(server->out_len, 0); /* nobody took anything */
    assert_int_equal(sp_h2_took(server->h2, 1, 16384, out, sizeof out), 0);
    assert_int_equal(sp_h2_took(server->h2, 1, 16384, out, sizeof out), 26);
    assert_memory_equal(out, "\0\0\4\x8\0\0\0\0\1\0\0\x80\0\0\0\4\x8\0\0\0\0\0\0\0\x80\0", 26);
    end_free(server);
}

static void more_than_the_window_is_refused(void **unused)
{
    struct sp_h2_limits small = { .window = 100, .window_all = 65535 };
    struct end *server = server_new(&small);
    char chunk[101] = { 0 };
    assert_true(end_post(server, 1));
    server->text_len = 0;
    assert_true(end_frame(server, SP_H2_DATA, 0, 1, chunk, sizeof chunk));
    check_text(server, "reset 1 FLOW_CONTROL_ERROR by us\n");
    end_free(server);
}

static void padding_is_given_back_at_once(void **unused)
{
    struct sp_h2_limits small = { .window = 300, .window_all = 65535 };
    struct end *server = server_new(&small);
    char frame[256] = { (char)250, 'x' };
    assert_true(end_post(server, 1));
    assert_true(end_frame(server, SP_H2_DATA, SP_H2_PADDED, 1, frame, 252));
    struct sp_h2_stream *s = sp_h2_find(server->h2, 1);
    assert_int_equal(s->recv_window + (int32_t)s->taken, 300 - 1 + 1);
    end_free(server);
}

struct wrong {
    const char *why;
    unsigned type, flags;
    uint32_t id;
    const char *payload;
    size_t len;
    enum sp_h2_code code;
};

static void wrong_frames_end_the_connection(void **unused)
{
    static const struct wrong wrongs[] = {
        { "DATA on stream 0", SP_H2_DATA, 0, 0, "x", 1, SP_H2_PROTOCOL_ERROR },
        { "DATA on an idle stream", SP_H2_DATA, 0, 5, "x", 1, SP_H2_PROTOCOL_ERROR },
        { "padding beyond the frame", SP_H2_DATA, SP_H2_PADDED, 1, "\2x", 2, SP_H2_PROTOCOL_ERROR },
        { "HEADERS on stream 0", SP_H2_HEADERS, 4, 0, KIT_GET, 6, SP_H2_PROTOCOL_ERROR },
        { "HEADERS on an even stream", SP_H2_HEADERS, 4, 4, KIT_GET, 6, SP_H2_PROTOCOL_ERROR },
        { "HEADERS that is all padding", SP_H2_HEADERS, 4 | 8, 3, "\x9" KIT_GET, 7, SP_H2_PROTOCOL_ERROR },
        { "HEADERS without its priority", SP_H2_HEADERS, 4 | 32, 3, "\0\0", 2, SP_H2_FRAME_SIZE_ERROR },
        { "a block that is none", SP_H2_HEADERS, 5, 3, "\x80", 1, SP_H2_COMPRESSION_ERROR },
        { "PRIORITY of 4 bytes", SP_H2_PRIORITY, 0, 1, "\0\0\0\3", 4, SP_H2_FRAME_SIZE_ERROR },
        { "PRIORITY on itself", SP_H2_PRIORITY, 0, 1, "\0\0\0\1\0", 5, SP_H2_PROTOCOL_ERROR },
        { "RST_STREAM on stream 0", SP_H2_RST_STREAM, 0, 0, "\0\0\0\0", 4, SP_H2_PROTOCOL_ERROR },
        { "RST_STREAM on an idle stream", SP_H2_RST_STREAM, 0, 3, "\0\0\0\0", 4, SP_H2_PROTOCOL_ERROR },
        { "RST_STREAM of 3 bytes", SP_H2_RST_STREAM, 0, 1, "\0\0\0", 3, SP_H2_FRAME_SIZE_ERROR },
        { "SETTINGS on a stream", SP_H2_SETTINGS_FRAME, 0, 1, "", 0, SP_H2_PROTOCOL_ERROR },
        { "SETTINGS of 5 bytes", SP_H2_SETTINGS_FRAME, 0, 0, "\0\1\0\0\0", 5, SP_H2_FRAME_SIZE_ERROR },
        { "an acknowledgement with bytes", SP_H2_SETTINGS_FRAME, 1, 0, "\0\1\0\0\0\0", 6,
          SP_H2_FRAME_SIZE_ERROR },
        { "push neither on nor off", SP_H2_SETTINGS_FRAME, 0, 0, "\0\2\0\0\0\2", 6, SP_H2_PROTOCOL_ERROR },
        { "a window of 2^31", SP_H2_SETTINGS_FRAME, 0, 0, "\0\4\x80\0\0\0", 6, SP_H2_FLOW_CONTROL_ERROR },
        { "frames too small", SP_H2_SETTINGS_FRAME, 0, 0, "\0\5\0\0\x3f\xff", 6, SP_H2_PROTOCOL_ERROR },
        { "frames too large", SP_H2_SETTINGS_FRAME, 0, 0, "\0\5\1\0\0\0", 6, SP_H2_PROTOCOL_ERROR },
        { "a push", SP_H2_PUSH_PROMISE, 4, 1, "\0\0\0\2\x82", 5, SP_H2_PROTOCOL_ERROR },
        { "PING on a stream", SP_H2_PING, 0, 1, "12345678", 8, SP_H2_PROTOCOL_ERROR },
        { "PING of 7 bytes", SP_H2_PING, 0, 0, "1234567", 7, SP_H2_FRAME_SIZE_ERROR },
        { "GOAWAY on a stream", SP_H2_GOAWAY_FRAME, 0, 1, "\0\0\0\0\0\0\0\0", 8, SP_H2_PROTOCOL_ERROR },
        { "GOAWAY of 7 bytes", SP_H2_GOAWAY_FRAME, 0, 0, "\0\0\0\0\0\0\0", 7, SP_H2_FRAME_SIZE_ERROR },
        { "an update of nothing", SP_H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, SP_H2_PROTOCOL_ERROR },
        { "an update beyond 2^31", SP_H2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4,
          SP_H2_FLOW_CONTROL_ERROR },
        { "an update of an idle stream", SP_H2_WINDOW_UPDATE, 0, 3, "\0\0\0\1", 4, SP_H2_PROTOCOL_ERROR },
        { "an update of 5 bytes", SP_H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0\1", 5, SP_H2_FRAME_SIZE_ERROR },
        { "CONTINUATION of nothing", SP_H2_CONTINUATION, 4, 1, "", 0, SP_H2_PROTOCOL_ERROR },
    };
    for (size_t i = 0; i < SP_COUNTOF(wrongs); i++) {
        const struct wrong *w = &wrongs[i];
        struct end *e = server_new(NULL);
        assert_true(end_post(e, 1));
        if (end_frame(e, w->type, w->flags, w->id, w->payload, w->len))
            fail_msg("%s: not refused", w->why);
        if (e->ev.code != w->code)
            fail_msg("%s: %s", w->why, sp_h2_code_name(e->ev.code));
        check_goaway(e, w->code);
        assert_int_equal(sp_h2_decode(e->h2, SP_STR("x"), &e->ev), SP_E_INVALID);
        end_free(e);
    }
}

static void a_frame_too_long_is_refused_by_its_head(void **unused)
{
    struct end *e = server_new(NULL);
    assert_false(end_feed(e, "\0\x40\1\0\0\0\0\0\1", 9));
    check_goaway(e, SP_H2_FRAME_SIZE_ERROR);
    end_free(e);
}

static void the_beginning_must_be_http2(void **unused)
{
    struct end *e = end_new(SP_ROLE_SERVER, NULL);
    assert_true(end_feed(e, "PRI ", 4));
    assert_false(end_feed(e, "x", 1));
    end_free(e);
    e = end_new(SP_ROLE_SERVER, NULL);
    assert_true(end_feed(e, KIT_MAGIC, 24));
    assert_false(end_frame(e, SP_H2_PING, 0, 0, "12345678", 8));
    end_free(e);
    e = end_new(SP_ROLE_CLIENT, NULL);
    assert_false(end_feed(e, "HTTP/1.1 400 Bad", 16));
    end_free(e);
}

static void frames_behind_a_reset_of_ours_are_passed_over(void **unused)
{
    struct end *e = server_new(NULL);
    char out[64];
    assert_true(end_post(e, 1));
    assert_int_equal(sp_h2_encode_reset(e->h2, 1, SP_H2_CANCEL, out, sizeof out), 13);
    assert_int_equal(sp_h2_encode_reset(e->h2, 1, SP_H2_CANCEL, out, sizeof out), 0);
    e->text_len = 0;
    assert_true(end_frame(e, SP_H2_DATA, 0, 1, "late", 4));
    assert_true(end_frame(e, SP_H2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4));
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, "\x40\1x\1y", 5)); /* joins the table all the same */
    check_text(e, "");
    assert_int_equal(e->h2->decoder.count, 1);
    assert_int_equal(e->h2->taken, 4);
    assert_true(end_get(e, 3));
    end_free(e);
}

static void a_reset_inside_a_data_frame_drops_the_rest(void **unused)
{
    struct end *e = server_new(NULL);
    char out[64];
    assert_true(end_post(e, 1));
    assert_true(end_feed(e, "\0\0\6\0\1\0\0\0\1abc", 12));
    assert_int_equal(sp_h2_encode_reset(e->h2, 1, SP_H2_CANCEL, out, sizeof out), 13);
    e->text_len = 0;
    assert_true(end_feed(e, "def", 3));
    check_text(e, "");
    assert_true(end_get(e, 3));
    check_text(e, "request 3 GET a / 0\nend 3\n");
    end_free(e);
}

static void goodbyes_of_both_sides(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(end_get(e, 1));
    put(e, sp_h2_encode_goaway(e->h2, UINT32_MAX, SP_H2_NO_ERROR, OUT(e)));
    e->text_len = 0;
    assert_true(end_get(e, 3)); /* behind the goodbye: nobody hears it */
    check_text(e, "");
    assert_int_equal(sp_h2_streams(e->h2), 1);
    end_free(e);

    struct end *c = end_new(SP_ROLE_CLIENT, NULL);
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = SP_STR("GET"),
                           .path = SP_STR("/"),
                           .service = SP_STR("a") };
    uint32_t id;
    free(sp_h2_give(c->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    for (int i = 0; i < 3; i++)
        put(c, sp_h2_encode_request(c->h2, &ask, true, &id, OUT(c)));
    assert_true(end_frame(c, SP_H2_SETTINGS_FRAME, 0, 0, NULL, 0));
    assert_true(end_frame(c, SP_H2_GOAWAY_FRAME, 0, 0, "\0\0\0\3\0\0\0\0words", 13));
    check_text(c, "goaway 3 NO_ERROR\n");
    assert_int_equal(sp_h2_streams(c->h2), 2);
    assert_false(sp_h2_can_open(c->h2));
    assert_int_equal(sp_h2_encode_request(c->h2, &ask, true, &id, OUT(c)), SP_E_LIMIT);
    end_free(c);
}

static void the_peer_says_how_many_streams(void **unused)
{
    struct end *c = end_new(SP_ROLE_CLIENT, NULL);
    struct sp_head ask = { .kind = SP_MSG_REQUEST,
                           .protocol = SP_PROTO_HTTP1,
                           .method = SP_STR("GET"),
                           .path = SP_STR("/"),
                           .service = SP_STR("a") };
    uint32_t id;
    free(sp_h2_give(c->h2, SP_H2_STREAMS, calloc(8, 32), 256));
    assert_true(end_frame(c, SP_H2_SETTINGS_FRAME, 0, 0, "\0\3\0\0\0\1", 6));
    put(c, sp_h2_encode_request(c->h2, &ask, true, &id, OUT(c)));
    assert_int_equal(sp_h2_encode_request(c->h2, &ask, true, &id, OUT(c)), SP_E_LIMIT);
    assert_true(end_frame(c, SP_H2_HEADERS, 5, 1, "\x88", 1));
    check_text(c, "answer 1 200 0\nend 1\n");
    put(c, sp_h2_encode_request(c->h2, &ask, true, &id, OUT(c)));
    assert_int_equal(id, 3);
    end_free(c);
}

static void saved_states_that_nobody_wrote_are_refused(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(end_post(e, 1));
    size_t len = sp_h2_save_bytes(e->h2);
    char *saved = malloc(len);
    uint32_t bytes[SP_H2_REGIONS];
    sp_h2_save(e->h2, saved);
    saved[4] = 99; /* a phase */
    assert_int_equal(sp_h2_load_bytes(sp_str_of(saved, len), bytes), SP_E_INVALID);
    saved[4] = SP_H2_PHASE_FRAME;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(sp_h2_load(e->h2, sp_str_of(saved, cut)), SP_E_INVALID);
    free(saved);
    end_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_frames_become_events),
        cmocka_unit_test(every_cut_gives_the_same_events),
        cmocka_unit_test(byte_by_byte_with_a_move_between_any_two),
        cmocka_unit_test(calls_go_there_and_back),
        cmocka_unit_test(calls_go_on_while_both_ends_move),
        cmocka_unit_test(a_warm_request_is_a_few_bytes),
        cmocka_unit_test(a_large_head_is_cut_into_continuations),
        cmocka_unit_test(windows_hold_back_and_let_go),
        cmocka_unit_test(credit_comes_back_when_bytes_are_taken),
        cmocka_unit_test(more_than_the_window_is_refused),
        cmocka_unit_test(padding_is_given_back_at_once),
        cmocka_unit_test(wrong_frames_end_the_connection),
        cmocka_unit_test(a_frame_too_long_is_refused_by_its_head),
        cmocka_unit_test(the_beginning_must_be_http2),
        cmocka_unit_test(frames_behind_a_reset_of_ours_are_passed_over),
        cmocka_unit_test(a_reset_inside_a_data_frame_drops_the_rest),
        cmocka_unit_test(goodbyes_of_both_sides),
        cmocka_unit_test(the_peer_says_how_many_streams),
        cmocka_unit_test(saved_states_that_nobody_wrote_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
