/* h1_encode: what leaves is exact, fits its room, and means what was meant, or does not leave at all. */
#include "base/arena.h"
#include "base/rng.h"
#include "unit/base/help.h"
#include "unit/wire/h1_kit.h"

#define HEADER(n, v, number, hop)                                                                            \
    {                                                                                                        \
        .name = n, .name_len = sizeof(n) - 1, .value = v, .value_len = sizeof(v) - 1, .id = number,          \
        .flags = hop                                                                                         \
    }

static struct sp_head request(const char *method, const char *path, const char *service)
{
    return (struct sp_head){
        .kind = SP_MSG_REQUEST,
        .protocol = SP_PROTO_HTTP1,
        .method = sp_str_c(method),
        .path = sp_str_c(path),
        .service = sp_str_c(service),
    };
}

static struct sp_head response(uint32_t status)
{
    return (struct sp_head){ .kind = SP_MSG_RESPONSE, .protocol = SP_PROTO_HTTP1, .status = status };
}

static void check_bytes(const struct sp_head *head, const char *want)
{
    char out[2048];
    ssize_t len = sp_h1_codec.encode_head(head, out, sizeof out);
    assert_true(len > 0);
    check_str(sp_str_of(out, (size_t)len), want);
}

static void a_request_is_its_slots_then_its_headers_then_its_framing(void **state)
{
    struct sp_header headers[] = {
        HEADER("host", "other", SP_HDR_HOST, 0),
        HEADER("User-Agent", "x y", SP_HDR_USER_AGENT, 0),
        HEADER("Content-Length", "99", SP_HDR_CONTENT_LENGTH, 0),
        HEADER("Transfer-Encoding", "chunked", SP_HDR_TRANSFER_ENCODING, SP_HEADER_HOP),
        HEADER("X-Hop", "1", SP_HDR_OTHER, SP_HEADER_HOP),
        HEADER("Empty", "", SP_HDR_OTHER, 0),
        HEADER("Connection", "x-hop", SP_HDR_CONNECTION, 0),
        HEADER("Keep-Alive", "1", SP_HDR_KEEP_ALIVE, 0),
        HEADER("Proxy-Connection", "1", SP_HDR_PROXY_CONNECTION, 0),
        HEADER("TE", "trailers", SP_HDR_TE, 0),
        HEADER("Upgrade", "websocket", SP_HDR_UPGRADE, 0),
    };
    struct sp_head head = request("POST", "/a?b", "h:80");
    head.headers = headers;
    head.header_count = SP_COUNTOF(headers);
    head.body_bytes = 1234567890123;
    check_bytes(&head, "POST /a?b HTTP/1.1\r\nHost: h:80\r\nUser-Agent: x y\r\nEmpty: \r\n"
                       "Content-Length: 1234567890123\r\n\r\n");
    head.body_bytes = -1;
    head.flags = SP_HEAD_LAST | SP_HEAD_OLD;
    check_bytes(&head, "POST /a?b HTTP/1.1\r\nHost: h:80\r\nUser-Agent: x y\r\nEmpty: \r\n"
                       "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    head.flags = SP_HEAD_UPGRADE;
    head.body_bytes = 0;
    head.method = SP_STR("GET");
    check_bytes(&head,
                "GET /a?b HTTP/1.1\r\nHost: h:80\r\nUser-Agent: x y\r\nEmpty: \r\nUpgrade: websocket\r\n"
                "Connection: upgrade\r\n\r\n");
}

static void a_length_of_zero_is_said_where_a_body_is_expected(void **state)
{
    static const char *const methods[] = { "GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH" };
    for (size_t i = 0; i < SP_COUNTOF(methods); i++) {
        char want[128];
        struct sp_head head = request(methods[i], "/", "h");
        snprintf(want, sizeof want, "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", methods[i],
                 i < 4 ? "" : "Content-Length: 0\r\n");
        check_bytes(&head, want);
    }
}

static void connect_says_the_authority_and_no_length(void **state)
{
    struct sp_head head = request("CONNECT", "", "h:443");
    head.flags = SP_HEAD_TUNNEL;
    check_bytes(&head, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
}

static void a_response_has_a_phrase_and_framing(void **state)
{
    struct sp_header headers[] = {
        HEADER("Content-Length", "5", SP_HDR_CONTENT_LENGTH, 0),
        HEADER("Host", "kept", SP_HDR_HOST, 0),
    };
    struct sp_head head = response(404);
    head.headers = headers;
    head.header_count = 2;
    head.body_bytes = 7;
    check_bytes(&head, "HTTP/1.1 404 Not Found\r\nHost: kept\r\nContent-Length: 7\r\n\r\n");
    head.reason = SP_STR("Gone Fishing");
    head.flags = SP_HEAD_LAST;
    check_bytes(&head,
                "HTTP/1.1 404 Gone Fishing\r\nHost: kept\r\nContent-Length: 7\r\nConnection: close\r\n\r\n");
    head = response(299);
    check_bytes(&head, "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n");
}

static void a_response_without_length_is_chunked_even_if_it_came_until_close(void **state)
{
    struct sp_head head = response(200);
    head.body_bytes = -1;
    head.flags = SP_HEAD_UNTIL_CLOSE;
    check_bytes(&head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void an_old_client_is_told_by_closing_or_by_length(void **state)
{
    struct sp_head head = response(200);
    head.flags = SP_HEAD_OLD;
    head.body_bytes = -1;
    check_bytes(&head, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    assert_int_equal(sp_h1_codec.encode_chunk(&head, 5, NULL, 0), 0);
    assert_int_equal(sp_h1_codec.encode_end(&head, NULL, NULL, 0), 0);
    head.body_bytes = 3;
    check_bytes(&head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n");
    head.flags |= SP_HEAD_LAST;
    check_bytes(&head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

static void lengths_about_another_body_are_kept_where_they_may_be(void **state)
{
    struct sp_header length[] = { HEADER("Content-Length", "5", SP_HDR_CONTENT_LENGTH, 0) };
    struct sp_head head = response(200);
    head.headers = length;
    head.header_count = 1;
    head.flags = SP_HEAD_NO_BODY;
    check_bytes(&head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    head.status = 304;
    check_bytes(&head, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    head.status = 204;
    check_bytes(&head, "HTTP/1.1 204 No Content\r\n\r\n");
    head.status = 103;
    head.kind = SP_MSG_INTERIM;
    check_bytes(&head, "HTTP/1.1 103 Early Hints\r\n\r\n");
    head.status = 100;
    check_bytes(&head, "HTTP/1.1 100 Continue\r\n\r\n");
    head.kind = SP_MSG_RESPONSE;
    head.status = 200;
    head.flags = SP_HEAD_TUNNEL | SP_HEAD_NO_BODY;
    check_bytes(&head, "HTTP/1.1 200 OK\r\n\r\n");
}

static void an_agreed_upgrade_says_so(void **state)
{
    struct sp_header headers[] = { HEADER("Upgrade", "websocket", SP_HDR_UPGRADE, SP_HEADER_HOP) };
    struct sp_head head = response(101);
    head.headers = headers;
    head.header_count = 1;
    head.flags = SP_HEAD_UPGRADE | SP_HEAD_NO_BODY;
    check_bytes(&head,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
}

static void nothing_is_written_into_too_little_room(void **state)
{
    struct sp_header headers[] = { HEADER("Name", "value", SP_HDR_OTHER, 0) };
    struct sp_head head = request("POST", "/", "h");
    char out[512], untouched[512];
    head.headers = headers;
    head.header_count = 1;
    memset(untouched, 0x7e, sizeof untouched);
    size_t text = 4 + 1 + 1 + 4 + 5 + 4;
    for (size_t room = 0; room < sizeof out; room++) {
        memset(out, 0x7e, sizeof out);
        ssize_t len = sp_h1_codec.encode_head(&head, out, room);
        if (len < 0) {
            assert_int_equal(len, SP_E_LIMIT);
            assert_memory_equal(out, untouched, sizeof out);
            assert_true(room < text + SP_H1_HEAD_ROOM);
        } else {
            assert_true((size_t)len <= room);
            assert_memory_equal(out + len, untouched, sizeof out - (size_t)len);
        }
    }
}

/* Every slot in turn gets the byte. */
static ssize_t encode_with(size_t slot, const char *text, size_t len)
{
    struct sp_header headers[] = { HEADER("Name", "value", SP_HDR_OTHER, 0) };
    struct sp_head head = slot == 5 ? response(200) : request("GET", "/", "h");
    char out[512];
    head.headers = headers;
    head.header_count = 1;
    switch (slot) {
    case 0: head.method = sp_str_of(text, len); break;
    case 1: head.path = sp_str_of(text, len); break;
    case 2: head.service = sp_str_of(text, len); break;
    case 3: headers[0].name = text, headers[0].name_len = (uint16_t)len; break;
    case 4: headers[0].value = text, headers[0].value_len = (uint32_t)len; break;
    default: head.reason = sp_str_of(text, len); break;
    }
    return sp_h1_codec.encode_head(&head, out, sizeof out);
}

static void a_byte_that_breaks_a_slot_is_not_written(void **state)
{
    static const char *const barred[] = {
        "\x01\r\n \t:/(\"\x7f\x80",   /* method */
        "\r\n \t#\x7f\x80",           /* path */
        "\r\n \t@/#?,;%\\\"\x7f\x80", /* service */
        "\r\n \t:/(\"@,\x7f\x80",     /* name */
        "\r\n\x01\x1b\x7f",           /* value */
        "\r\n\x01\x1b\x7f",           /* reason */
    };
    for (size_t slot = 0; slot < SP_COUNTOF(barred); slot++)
        for (size_t i = 0; i <= strlen(barred[slot]); i++)
            for (size_t at = 1; at <= 40; at++) {
                char text[64];
                memset(text, 'a', sizeof text);
                text[0] = slot == 1 ? '/' : 'a';
                /* A method has 32 at most. */
                size_t len = slot == 0 ? 30 : 41;
                if (at >= len)
                    continue;
                assert_true(encode_with(slot, text, len) > 0);
                text[at] = barred[slot][i];
                if (encode_with(slot, text, len) != SP_E_INVALID)
                    fail_msg("slot %zu takes \\x%02x at %zu", slot, (unsigned char)barred[slot][i], at);
            }
}

static void slots_that_make_no_request_are_refused(void **state)
{
    char out[512];
    struct sp_head head = request("", "/", "h");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("GET", "", "h");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("GET", "a", "h");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("GET", "*", "h");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("GET", "/", "");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("CONNECT", "/", "h:1");
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("GET", "/", "h:1");
    head.flags = SP_HEAD_TUNNEL;
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = request("CONNECT", "", "h");
    head.flags = SP_HEAD_TUNNEL;
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = response(99);
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
    head = response(1000);
    assert_int_equal(sp_h1_codec.encode_head(&head, out, sizeof out), SP_E_INVALID);
}

static void chunks_are_a_size_before_and_a_line_end_behind(void **state)
{
    struct sp_head head = response(200);
    char out[SP_H1_CHUNK_ROOM], want[32];
    head.body_bytes = -1;
    check_str(sp_h1_codec.chunk_suffix, "\r\n");
    for (unsigned bit = 0; bit < 64; bit++)
        for (int less = 0; less < 2; less++) {
            size_t size = ((size_t)1 << bit) - (size_t)less;
            ssize_t len = sp_h1_codec.encode_chunk(&head, size, out, sizeof out);
            snprintf(want, sizeof want, "%zx\r\n", size);
            check_str(sp_str_of(out, (size_t)len), size ? want : "");
        }
    assert_int_equal(sp_h1_codec.encode_chunk(&head, 1, out, sizeof out - 1), SP_E_LIMIT);
    head.body_bytes = 5;
    assert_int_equal(sp_h1_codec.encode_chunk(&head, 5, out, sizeof out), 0);
    head.body_bytes = -1;
    head.flags = SP_HEAD_NO_BODY;
    assert_int_equal(sp_h1_codec.encode_chunk(&head, 5, out, sizeof out), 0);
}

static void trailers_leave_but_for_those_that_may_not(void **state)
{
    struct sp_header list[] = {
        HEADER("grpc-status", "0", SP_HDR_OTHER, 0),
        HEADER("Content-Length", "5", SP_HDR_CONTENT_LENGTH, 0),
        HEADER("Authorization", "x", SP_HDR_OTHER, 0),
        HEADER("x-hop", "x", SP_HDR_OTHER, SP_HEADER_HOP),
        HEADER("x-sum", "1 2", SP_HDR_OTHER, 0),
    };
    struct sp_head head = response(200), trailers = { .headers = list, .header_count = SP_COUNTOF(list) };
    char out[256];
    head.body_bytes = -1;
    ssize_t len = sp_h1_codec.encode_end(&head, NULL, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len), "0\r\n\r\n");
    len = sp_h1_codec.encode_end(&head, &trailers, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len), "0\r\ngrpc-status: 0\r\nx-sum: 1 2\r\n\r\n");
    assert_int_equal(sp_h1_codec.encode_end(&head, &trailers, out, 40), SP_E_LIMIT);
    assert_int_equal(sp_h1_codec.encode_end(&head, NULL, out, 4), SP_E_LIMIT);
    list[0].value = "0\r\n";
    list[0].value_len = 3;
    assert_int_equal(sp_h1_codec.encode_end(&head, &trailers, out, sizeof out), SP_E_INVALID);
}

static void an_old_client_is_promised_no_trailers(void **state)
{
    char out[512];
    struct sp_header list[] = { { "Trailer", "x-sum", 5, 7, SP_HDR_TRAILER, 0 } };
    struct sp_head head = response(200);
    head.headers = list;
    head.header_count = 1;
    head.body_bytes = 2;
    ssize_t len = sp_h1_codec.encode_head(&head, out, sizeof out);
    assert_true(sp_str_find_str(sp_str_of(out, (size_t)len), SP_STR("Trailer: x-sum")) < (size_t)len);
    head.flags |= SP_HEAD_OLD;
    len = sp_h1_codec.encode_head(&head, out, sizeof out);
    assert_true(len > 0);
    assert_true(sp_str_find_str(sp_str_of(out, (size_t)len), SP_STR("Trailer")) >= (size_t)len);
}

static void an_error_of_our_own_is_complete(void **state)
{
    char out[512];
    struct sp_head get = request("GET", "/", "h"), head = request("HEAD", "/", "h");
    ssize_t len = sp_h1_codec.encode_error(&get, 503, SP_STR("NO_HEALTHY"), SP_STR("no endpoint\n"), false,
                                           out, sizeof out);
    check_str(sp_str_of(out, (size_t)len),
              "HTTP/1.1 503 Service Unavailable\r\nx-sampan-reason: NO_HEALTHY\r\n"
              "Content-Type: text/plain\r\nContent-Length: 12\r\n\r\nno endpoint\n");
    len = sp_h1_codec.encode_error(&head, 503, SP_STR("NO_HEALTHY"), SP_STR("no endpoint\n"), true, out,
                                   sizeof out);
    check_str(sp_str_of(out, (size_t)len),
              "HTTP/1.1 503 Service Unavailable\r\nx-sampan-reason: NO_HEALTHY\r\n"
              "Content-Type: text/plain\r\nContent-Length: 12\r\nConnection: close\r\n\r\n");
    len = sp_h1_codec.encode_error(NULL, 400, SP_STR("BAD_REQUEST"), SP_STR(""), true, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len),
              "HTTP/1.1 400 Bad Request\r\nx-sampan-reason: BAD_REQUEST\r\n"
              "Content-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    get.flags = SP_HEAD_OLD;
    len = sp_h1_codec.encode_error(&get, 404, SP_STR("NO_ROUTE"), SP_STR("x"), false, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len),
              "HTTP/1.1 404 Not Found\r\nx-sampan-reason: NO_ROUTE\r\nContent-Type: text/plain\r\n"
              "Content-Length: 1\r\nConnection: keep-alive\r\n\r\nx");
    assert_int_equal(sp_h1_codec.encode_error(NULL, 400, SP_STR("A B"), SP_STR(""), true, out, sizeof out),
                     SP_E_INVALID);
    assert_int_equal(sp_h1_codec.encode_error(NULL, 400, SP_STR("A"), SP_STR("x"), true, out, 100),
                     SP_E_LIMIT);
}

static void an_error_bears_the_id_of_its_request(void **state)
{
    char out[512];
    static char id[SP_H1_ERROR_ID_MAX + 1];
    memset(id, 'i', sizeof(id));
    struct sp_header list[] = { { "X-Request-Id", "7f3c", 4, 12, SP_HDR_X_REQUEST_ID, 0 } };
    struct sp_head get = request("GET", "/", "h");
    get.headers = list;
    get.header_count = 1;
    ssize_t len = sp_h1_codec.encode_error(&get, 503, SP_STR_NULL, SP_STR("x"), false, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len), "HTTP/1.1 503 Service Unavailable\r\nx-request-id: 7f3c\r\n"
                                           "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    list[0].value = id;
    list[0].value_len = sizeof(id);
    len = sp_h1_codec.encode_error(&get, 503, SP_STR_NULL, SP_STR("x"), false, out, sizeof out);
    check_str(sp_str_of(out, (size_t)len), "HTTP/1.1 503 Service Unavailable\r\n"
                                           "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
}

static void an_error_needs_no_more_room_than_promised(void **state)
{
    char out[SP_H1_ERROR_ROOM + 3 + 5 + SP_H1_ERROR_ID_MAX];
    static char id[SP_H1_ERROR_ID_MAX];
    memset(id, 'i', sizeof(id));
    struct sp_header list[] = { { "X-Request-Id", id, sizeof(id), 12, SP_HDR_X_REQUEST_ID, 0 } };
    struct sp_head get = request("GET", "/", "h");
    get.headers = list;
    get.header_count = 1;
    for (uint32_t status = 400; status < 600; status++) {
        assert_true(sp_h1_codec.encode_error(NULL, status, SP_STR("ABC"), SP_STR("words"), true, out,
                                             sizeof out - sizeof id) > 0);
        assert_true(sp_h1_codec.encode_error(&get, status, SP_STR("ABC"), SP_STR("words"), true, out,
                                             sizeof out) > 0);
    }
}

/* --- decode(encode(x)) is x ----------------------------------------------------------------------------- */

struct made {
    struct sp_head head;
    struct sp_header headers[8];
    char text[8][64];
    char path[64];
};

static void make_word(char *out, struct sp_rng *rng, const char *set, size_t most)
{
    size_t len = 1 + sp_rng_below(rng, most);
    for (size_t i = 0; i < len; i++)
        out[i] = set[sp_rng_below(rng, strlen(set))];
    out[len] = '\0';
}

static void make_headers(struct made *m, struct sp_rng *rng)
{
    static const char *const names[] = { "X-a",    "user-agent", "Cookie", "x-envoy-b",
                                         "Accept", "Te",         "Host",   "content-length" };
    struct sp_arena none = { 0 };
    m->head.headers = m->headers;
    m->head.header_cap = SP_COUNTOF(m->headers);
    for (size_t i = sp_rng_below(rng, SP_COUNTOF(m->headers)); i; i--) {
        make_word(m->text[i], rng, "ab \t\x80\xff!~,;=", 40);
        sp_str value = sp_str_trim(sp_str_c(m->text[i]));
        const char *name = names[sp_rng_below(rng, SP_COUNTOF(names))];
        assert_int_equal(sp_head_add(&m->head, &none, sp_str_c(name), value), 0);
    }
}

static void make(struct made *m, struct sp_rng *rng)
{
    static const char *const methods[] = { "GET", "POST", "HEAD", "PUT", "DELETE", "M-SEARCH" };
    static const char *const services[] = { "a", "b.c:8080", "[::1]:80", "x_y.z." };
    memset(m, 0, sizeof *m);
    if (sp_rng_chance(rng, 500)) {
        m->path[0] = '/';
        make_word(m->path + 1, rng, "ab/.%?&=;\\{}", 50);
        m->head = request(methods[sp_rng_below(rng, SP_COUNTOF(methods))], m->path,
                          services[sp_rng_below(rng, SP_COUNTOF(services))]);
    } else {
        m->head = response(200 + (uint32_t)sp_rng_below(rng, 400));
        m->head.reason = SP_STR("some phrase");
    }
    make_headers(m, rng);
    m->head.body_bytes = sp_rng_chance(rng, 300)   ? -1
                         : sp_rng_chance(rng, 300) ? 0
                                                   : (int64_t)(sp_rng_next(rng) >> 1);
    if (sp_rng_chance(rng, 200))
        m->head.flags |= SP_HEAD_LAST;
}

static bool is_kept(const struct sp_header *h, bool is_request)
{
    return h->id != SP_HDR_TE && h->id != SP_HDR_CONTENT_LENGTH && (h->id != SP_HDR_HOST || !is_request);
}

static void check_headers(uint64_t seed, const struct sp_head *sent, const struct sp_head *got)
{
    bool is_request = sent->kind == SP_MSG_REQUEST;
    uint32_t at = is_request; /* Host comes first */
    for (uint32_t i = 0; i < sent->header_count; i++) {
        const struct sp_header *h = &sent->headers[i];
        if (!is_kept(h, is_request))
            continue;
        check_seed(seed, at < got->header_count);
        const struct sp_header *g = &got->headers[at++];
        check_seed(seed, g->id == h->id && g->flags == 0);
        check_seed(seed, sp_str_eq(sp_str_of(g->name, g->name_len), sp_str_of(h->name, h->name_len)));
        check_seed(seed, sp_str_eq(sp_str_of(g->value, g->value_len), sp_str_of(h->value, h->value_len)));
    }
    for (; at < got->header_count; at++)
        check_seed(seed, got->headers[at].id == SP_HDR_CONTENT_LENGTH ||
                             got->headers[at].id == SP_HDR_TRANSFER_ENCODING ||
                             got->headers[at].id == SP_HDR_CONNECTION);
}

static void run_seed(uint64_t seed)
{
    struct sp_rng rng;
    struct made m;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head got = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_event ev = { .head = &got };
    struct sp_codec_limits limits = { 0 };
    struct sp_codec_state st;
    char out[4096];
    sp_rng_init(&rng, seed);
    make(&m, &rng);
    bool is_request = m.head.kind == SP_MSG_REQUEST;
    bool bodiless = !is_request && (m.head.status == 204 || m.head.status == 304);

    ssize_t len = sp_h1_codec.encode_head(&m.head, out, sizeof out);
    check_seed(seed, len > 0);
    sp_h1_codec.init(&st, is_request ? SP_ROLE_SERVER : SP_ROLE_CLIENT, &limits);
    if (!is_request)
        h1_ask(&st, "GET");
    check_seed(seed, sp_h1_codec.decode(&st, sp_str_of(out, (size_t)len), &ev) == len);
    check_seed(seed, ev.kind == SP_EVENT_HEAD);
    check_seed(seed, sp_str_eq(got.method, m.head.method) && sp_str_eq(got.path, m.head.path));
    check_seed(seed, sp_str_eq(got.service, m.head.service) && got.status == m.head.status);
    check_seed(seed, sp_str_eq(got.reason, m.head.reason));
    check_seed(seed, got.body_bytes == (bodiless ? 0 : m.head.body_bytes));
    check_seed(seed, (got.flags & SP_HEAD_LAST) == (m.head.flags & SP_HEAD_LAST));
    check_headers(seed, &m.head, &got);

    char again[4096];
    got.flags &= ~(uint32_t)SP_HEAD_CHUNKED;
    ssize_t second = sp_h1_codec.encode_head(&got, again, sizeof again);
    check_seed(seed, second == len && memcmp(out, again, (size_t)len) == 0);
}

static void what_is_written_is_read_as_what_was_meant(void **state)
{
    each_seed(20000, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_its_slots_then_its_headers_then_its_framing),
        cmocka_unit_test(a_length_of_zero_is_said_where_a_body_is_expected),
        cmocka_unit_test(connect_says_the_authority_and_no_length),
        cmocka_unit_test(a_response_has_a_phrase_and_framing),
        cmocka_unit_test(a_response_without_length_is_chunked_even_if_it_came_until_close),
        cmocka_unit_test(an_old_client_is_told_by_closing_or_by_length),
        cmocka_unit_test(lengths_about_another_body_are_kept_where_they_may_be),
        cmocka_unit_test(an_agreed_upgrade_says_so),
        cmocka_unit_test(nothing_is_written_into_too_little_room),
        cmocka_unit_test(a_byte_that_breaks_a_slot_is_not_written),
        cmocka_unit_test(slots_that_make_no_request_are_refused),
        cmocka_unit_test(chunks_are_a_size_before_and_a_line_end_behind),
        cmocka_unit_test(trailers_leave_but_for_those_that_may_not),
        cmocka_unit_test(an_old_client_is_promised_no_trailers),
        cmocka_unit_test(an_error_of_our_own_is_complete),
        cmocka_unit_test(an_error_bears_the_id_of_its_request),
        cmocka_unit_test(an_error_needs_no_more_room_than_promised),
        cmocka_unit_test(what_is_written_is_read_as_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
