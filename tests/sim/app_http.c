/* app_http: HTTP/1.1 as two applications speak it. The reader below knows as much of the protocol as it
 * needs to find the end of a message, by other ways than the codec of the sidecar. */
#include "sim/app_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { QUEUE = 16, HEAD_MAX = 64 * 1024 };

/* --- reading messages ----------------------------------------------------------------------------------- */

enum in_state {
    IN_HEAD,
    IN_BODY,
    IN_CHUNK_SIZE,
    IN_CHUNK,
    IN_CHUNK_END,
    IN_TRAILERS,
    IN_UNTIL_CLOSE,
    IN_DONE
};

static void in_reset(struct http_in *in, bool response)
{
    memset(in, 0, sizeof(*in));
    in->response = response;
    in->length = -1;
}

/* The line at the front without its CRLF; false: not all of it is there. */
static bool cut_line(sp_str *rest, sp_str *ret_line)
{
    size_t end = sp_str_find_str(*rest, SP_STR("\r\n"));
    if (end == rest->len)
        return false;
    *ret_line = sp_str_upto(*rest, end);
    *rest = sp_str_from(*rest, end + 2);
    return true;
}

static void read_header(struct http_in *in, sp_str line)
{
    size_t colon = sp_str_find(line, ':');
    sp_str name = sp_str_upto(line, colon), value = sp_str_trim(sp_str_from(line, colon + 1));
    uint64_t n = 0;
    if (sp_str_eq_nocase(name, SP_STR("content-length"))) {
        in->broken |= in->length >= 0 || sp_str_to_u64(value, &n);
        in->length = (int64_t)n;
    } else if (sp_str_eq_nocase(name, SP_STR("transfer-encoding"))) {
        in->broken |= in->chunked || !sp_str_eq(value, SP_STR("chunked"));
        in->chunked = true;
    } else if (sp_str_eq_nocase(name, SP_STR("connection"))) {
        in->last |= sp_str_eq_nocase(value, SP_STR("close"));
    } else if (sp_str_eq_nocase(name, SP_STR("upgrade"))) {
        in->upgrade = sp_str_eq_nocase(value, SP_STR("websocket"));
    } else if (sp_str_eq_nocase(name, SP_STR("expect"))) {
        in->expect = true;
    } else if (sp_str_eq_nocase(name, SP_STR("x-token"))) {
        in->broken |= in->has_token || sp_str_hex_to_u64(value, &in->token);
        in->has_token = true;
    } else if (sp_str_eq_nocase(name, SP_STR("x-want"))) {
        in->broken |= sp_str_to_u64(value, &n) != 0;
        in->want = (uint32_t)n;
    } else if (sp_str_eq_nocase(name, SP_STR("x-mode"))) {
        in->broken |= sp_str_to_u64(value, &n) != 0;
        in->mode = (uint32_t)n;
    } else if (sp_str_eq_nocase(name, SP_STR("x-sampan-reason"))) {
        snprintf(in->reason, sizeof(in->reason), "%.*s", SP_STR_ARG(value));
    }
}

static void read_first_line(struct http_in *in, sp_str line)
{
    sp_str word = sp_str_cut(&line, ' ');
    if (!in->response) {
        snprintf(in->method, sizeof(in->method), "%.*s", SP_STR_ARG(word));
        in->broken |= !sp_str_ends(line, SP_STR(" HTTP/1.1"));
        return;
    }
    uint64_t status = 0;
    in->old = sp_str_eq(word, SP_STR("HTTP/1.0"));
    in->broken |= (!in->old && !sp_str_eq(word, SP_STR("HTTP/1.1"))) ||
                  sp_str_to_u64(sp_str_cut(&line, ' '), &status);
    in->status = (uint32_t)status;
}

/* How the body ends (RFC 9112 6.3). */
static enum in_state after_head(struct http_in *in)
{
    if (in->response ? in->status == 101 : in->upgrade)
        return IN_UNTIL_CLOSE; /* a tunnel */
    bool empty = in->response ? in->no_body || in->status < 200 || in->status == 204 || in->status == 304
                              : !in->chunked && in->length < 0;
    if (empty || (!in->chunked && in->length == 0))
        return IN_DONE;
    if (in->chunked)
        return IN_CHUNK_SIZE;
    in->left = (uint64_t)in->length;
    return in->length < 0 ? IN_UNTIL_CLOSE : IN_BODY;
}

static size_t eat_head(struct http_in *in, sp_str bytes)
{
    sp_str rest = bytes, line;
    size_t end = sp_str_find_str(bytes, SP_STR("\r\n\r\n"));
    if (end == bytes.len) {
        in->broken |= bytes.len > HEAD_MAX;
        return 0;
    }
    if (cut_line(&rest, &line))
        read_first_line(in, line);
    while (cut_line(&rest, &line) && line.len)
        read_header(in, line);
    in->head_done = true;
    in->state = (uint8_t)after_head(in);
    return end + 4;
}

static size_t eat_line(struct http_in *in, sp_str bytes)
{
    sp_str rest = bytes, line;
    if (!cut_line(&rest, &line))
        return 0;
    if (in->state == IN_CHUNK_SIZE) {
        in->broken |= sp_str_hex_to_u64(line, &in->left) != 0;
        in->state = in->left ? IN_CHUNK : IN_TRAILERS;
    } else if (in->state == IN_CHUNK_END) {
        in->broken |= line.len != 0;
        in->state = IN_CHUNK_SIZE;
    } else if (line.len == 0) {
        in->state = IN_DONE;
    }
    return bytes.len - rest.len;
}

/* Body bytes of the message: each must be what its token says. */
static void check_body(struct mesh *mesh, const struct http_in *in, sp_str piece)
{
    bool own = in->response && !in->has_token; /* a sidecar's own words */
    if (own)
        return;
    int64_t wrong = mesh_verify(in->token, in->response, in->body_bytes, piece.ptr, piece.len);
    if (wrong >= 0)
        mesh_fail(mesh, "call %016llx: byte %llu of its %s is another's", (unsigned long long)in->token,
                  (unsigned long long)in->body_bytes + (unsigned long long)wrong,
                  in->response ? "answer" : "request");
}

/* How many bytes are used up; 0 = more are wanted, or in->done, or in->broken. */
static size_t in_eat(struct mesh *mesh, struct http_in *in, sp_str bytes)
{
    if (in->broken || !bytes.len)
        return 0;
    sp_str piece = bytes;
    switch ((enum in_state)in->state) {
    case IN_HEAD: return eat_head(in, bytes);
    case IN_CHUNK_SIZE:
    case IN_CHUNK_END:
    case IN_TRAILERS: return eat_line(in, bytes);
    case IN_BODY:
    case IN_CHUNK:
    case IN_UNTIL_CLOSE:
        if (in->state != IN_UNTIL_CLOSE)
            piece = sp_str_upto(bytes, in->left);
        check_body(mesh, in, piece);
        in->body_bytes += piece.len;
        in->left -= in->state == IN_UNTIL_CLOSE ? 0 : piece.len;
        if (in->left == 0 && in->state == IN_BODY)
            in->state = IN_DONE;
        else if (in->left == 0 && in->state == IN_CHUNK)
            in->state = IN_CHUNK_END;
        return piece.len;
    case IN_DONE: break;
    }
    return 0;
}

static void add_body(struct sp_buf *out, uint64_t token, bool answer, uint64_t from, size_t len)
{
    char *room = sp_buf_room(out, len);
    SP_ASSERT(room);
    mesh_fill(token, answer, from, room, len);
    out->len += len;
}

/* The body in chunks of drawn sizes, and its end. */
static void add_chunks(struct mesh *mesh, struct sp_buf *out, uint64_t token, bool answer, size_t len,
                       bool trailers)
{
    for (size_t at = 0; at < len;) {
        size_t drawn = 1 + mesh_below(mesh, 5000), piece = SP_MIN(len - at, drawn);
        sp_buf_add_hex(out, piece, 1);
        sp_buf_add_c(out, "\r\n");
        add_body(out, token, answer, at, piece);
        sp_buf_add_c(out, "\r\n");
        at += piece;
    }
    sp_buf_add_c(out, trailers ? "0\r\nx-trailer: the end\r\n\r\n" : "0\r\n\r\n");
}

/* --- the server ----------------------------------------------------------------------------------------- */

struct http_sconn {
    struct app_conn conn;
    struct sp_list link;
    struct http_server *server;
    struct http_in in;
    struct mesh_call *call;
    struct sp_timer timer;
    bool answered, close_sent, reset_sent, mute, mute_sent;
};

static struct http_sconn *sconn_of(struct app_conn *conn)
{
    return SP_CONTAINER(conn, struct http_sconn, conn);
}

static void serve(struct http_sconn *s);

static void sconn_close(struct http_sconn *s, bool reset)
{
    sp_timer_stop(s->conn.loop, &s->timer);
    app_conn_close(&s->conn, reset);
}

static void add_interim(struct sp_buf *out)
{
    sp_buf_add_c(out, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
}

/* Into the tunnel: all that the server has to say; it ends its direction when it has heard all. */
static void write_tunnel(struct http_sconn *s)
{
    struct sp_buf *out = &s->conn.out;
    s->call->answered++;
    s->answered = s->mute_sent = true;
    sp_buf_printf(out,
                  "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                  "x-token: %016llx\r\n\r\n",
                  (unsigned long long)s->call->token);
    add_body(out, s->call->token, true, 0, s->call->answer_bytes);
    app_conn_flush(&s->conn);
}

static void write_answer(struct http_sconn *s)
{
    struct mesh_call *call = s->call;
    struct sp_buf *out = &s->conn.out;
    enum http_mode mode = (enum http_mode)call->mode;
    bool head = strcmp(s->in.method, "HEAD") == 0;
    bool chunked = mode == HTTP_CHUNKED || mode == HTTP_TRAILERS, until_close = mode == HTTP_UNTIL_CLOSE;
    bool last = until_close || mode == HTTP_LAST || mode == HTTP_EARLY_CLOSE;
    call->answered++;
    s->answered = true;
    if (mode == HTTP_INTERIM)
        add_interim(out);
    sp_buf_printf(out, "HTTP/1.1 %s\r\nx-token: %016llx\r\nserver: app\r\n%s",
                  mode == HTTP_ERROR ? "500 Oops" : "200 OK", (unsigned long long)call->token,
                  last ? "connection: close\r\n" : "");
    if (chunked)
        sp_buf_add_c(out, "transfer-encoding: chunked\r\n\r\n");
    else if (until_close)
        sp_buf_add_c(out, "\r\n");
    else
        sp_buf_printf(out, "content-length: %u\r\n\r\n", call->answer_bytes);
    size_t bytes = call->answer_bytes;
    if (mode == HTTP_SHORT || mode == HTTP_RESET_IN_ANSWER)
        bytes /= 2;
    if (chunked && !head)
        add_chunks(s->conn.mesh, out, call->token, true, bytes, mode == HTTP_TRAILERS);
    else if (!head)
        add_body(out, call->token, true, 0, bytes);
    s->close_sent = last || mode == HTTP_SHORT || mode == HTTP_CLOSE_AFTER;
    s->reset_sent = mode == HTTP_RESET_IN_ANSWER;
    s->conn.write_pace = mode == HTTP_TRICKLE ? 3 * SP_NS_PER_MS : 0;
    s->conn.crumb = 1 + (uint32_t)mesh_below(s->conn.mesh, 4000);
}

/* The request is there: do as it says. */
static void act(struct http_sconn *s)
{
    switch ((enum http_mode)s->call->mode) {
    case HTTP_RESET: sconn_close(s, true); return;
    case HTTP_FIN: sconn_close(s, false); return;
    case HTTP_SILENT: s->mute = true; return;
    case HTTP_GARBAGE:
        s->call->answered++;
        sp_buf_add_c(&s->conn.out, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello");
        s->answered = true;
        break;
    case HTTP_LATE: sp_timer_set(s->conn.loop, &s->timer, mesh_below(s->conn.mesh, 2 * SP_NS_PER_S)); return;
    default: write_answer(s); break;
    }
    app_conn_flush(&s->conn);
}

static void on_late(struct sp_timer *timer)
{
    struct http_sconn *s = SP_CONTAINER(timer, struct http_sconn, timer);
    write_answer(s);
    app_conn_flush(&s->conn);
}

static void on_request_head(struct http_sconn *s)
{
    struct mesh *mesh = s->conn.mesh;
    s->server->requests++;
    s->call = s->in.has_token ? mesh_call_find(mesh, s->in.token) : NULL;
    if (!s->call)
        mesh_fail(mesh, "a server got a request that nobody made (token %016llx)",
                  (unsigned long long)s->in.token);
    mesh_call_seen(mesh, s->call);
    if (s->in.want != s->call->answer_bytes || s->in.mode != s->call->mode)
        mesh_fail(mesh, "call %016llx: its head changed on the way", (unsigned long long)s->in.token);
    enum http_mode mode = (enum http_mode)s->call->mode;
    if (s->in.upgrade) {
        write_tunnel(s);
        return;
    }
    if (s->in.expect && mode != HTTP_EARLY && mode != HTTP_EARLY_CLOSE && mesh_chance(mesh, 800)) {
        sp_buf_add_c(&s->conn.out, "HTTP/1.1 100 Continue\r\n\r\n");
        app_conn_flush(&s->conn);
    }
    if (mode == HTTP_EARLY || mode == HTTP_EARLY_CLOSE)
        act(s);
}

static void on_request_end(struct http_sconn *s)
{
    if (s->in.body_bytes != s->call->ask_bytes)
        mesh_fail(s->conn.mesh, "call %016llx: %llu bytes of %u came", (unsigned long long)s->call->token,
                  (unsigned long long)s->in.body_bytes, s->call->ask_bytes);
    if (!s->answered)
        act(s);
}

/* Read as long as no request waits for its answer. */
static void serve(struct http_sconn *s)
{
    struct mesh *mesh = s->conn.mesh;
    while (!s->conn.closing && !s->mute && s->in.state != IN_DONE) {
        bool had_head = s->in.head_done;
        size_t used = in_eat(mesh, &s->in, app_conn_in(&s->conn));
        if (s->in.broken)
            mesh_fail(mesh, "a server got a request that it cannot read");
        if (!used)
            return;
        app_conn_use(&s->conn, used);
        if (!had_head && s->in.head_done)
            on_request_head(s);
        if (s->in.upgrade && s->in.body_bytes == s->call->ask_bytes && !s->conn.fin_wanted)
            app_conn_finish(&s->conn);
        if (s->in.state == IN_DONE && !s->conn.closing)
            on_request_end(s);
    }
}

static void on_server_input(struct app_conn *conn)
{
    serve(sconn_of(conn));
}

/* An answer has left. */
static void on_server_sent(struct app_conn *conn)
{
    struct http_sconn *s = sconn_of(conn);
    if (!s->answered || s->mute_sent)
        return;
    if (s->reset_sent || s->close_sent) {
        s->answered = false;
        s->mute = true;
        if (s->call->mode == HTTP_UNTIL_CLOSE || s->call->mode == HTTP_LAST)
            app_conn_finish(conn); /* and read on until the sidecar has had enough: see RFC 9112 9.6 */
        else
            sconn_close(s, s->reset_sent);
        return;
    }
    if (s->in.state != IN_DONE)
        return; /* answered early: the rest of the request still comes */
    s->answered = false;
    in_reset(&s->in, false);
    serve(s);
}

static void on_server_end(struct app_conn *conn, sp_err err)
{
    struct http_sconn *s = sconn_of(conn);
    bool waits = err == SP_E_CLOSED && s->in.state == IN_DONE && !s->mute;
    waits |= err == SP_E_CLOSED && s->in.upgrade && conn->out.len; /* a tunnel's other direction */
    if (!waits)                                                    /* else the answer is still ours to give */
        sconn_close(s, false);
}

static void on_server_closed(struct app_conn *conn)
{
    struct http_sconn *s = sconn_of(conn);
    sp_list_remove(&s->link);
    sp_mem_free(s);
}

static const struct app_ops server_ops = { .on_input = on_server_input,
                                           .on_end = on_server_end,
                                           .on_sent = on_server_sent,
                                           .on_closed = on_server_closed };

static void on_accept(struct app_server *base, int fd)
{
    struct http_server *server = SP_CONTAINER(base, struct http_server, base);
    struct http_sconn *s = sp_mem_zalloc(sizeof(*s));
    SP_ASSERT(s);
    s->server = server;
    s->conn.read_pace = server->read_pace;
    s->timer.on_fire = on_late;
    in_reset(&s->in, false);
    sp_list_push(&server->conns, &s->link);
    app_conn_accept(&s->conn, base->mesh, base->loop, &server_ops, fd);
}

void http_server_start(struct http_server *server, struct mesh *mesh, struct sp_loop *loop, const char *addr)
{
    *server = (struct http_server){ .base = { .mesh = mesh, .loop = loop, .on_accept = on_accept } };
    sp_list_init(&server->conns);
    app_server_listen(&server->base, addr);
}

void http_server_stop(struct http_server *server)
{
    struct http_sconn *s;
    app_server_close(&server->base);
    SP_LIST_EACH(&server->conns, s, next, struct http_sconn, link)
        sconn_close(s, false);
}

/* --- the client ----------------------------------------------------------------------------------------- */

struct asked {
    struct mesh_call *call;
    bool head, upgrade;
};

struct http_cconn {
    struct app_conn conn;
    struct sp_list link;
    struct http_client *client;
    struct http_in in;
    struct asked queue[QUEUE]; /* on the way, oldest first */
    uint32_t count, begun, most;
    struct sp_timer timer; /* thinking, or about to give up */
    bool gives_up, no_more, tunnel;
    struct mesh_call *body_waits; /* for 100 (Continue) */
};

static struct http_cconn *cconn_of(struct app_conn *conn)
{
    return SP_CONTAINER(conn, struct http_cconn, conn);
}

static void more_conns(struct http_client *client);

/* Whatever is on the way comes to this end. */
static void end_all(struct http_cconn *c, enum mesh_outcome outcome)
{
    for (uint32_t i = 0; i < c->count; i++)
        mesh_call_end(c->conn.mesh, c->queue[i].call, outcome);
    c->client->under_way -= c->count;
    c->count = 0;
}

static void cconn_close(struct http_cconn *c, enum mesh_outcome outcome, bool reset)
{
    end_all(c, outcome);
    sp_timer_stop(c->conn.loop, &c->timer);
    app_conn_close(&c->conn, reset);
}

/* What the request is: its method, and how its body comes. */
struct kind {
    const char *method, *version, *extra;
    bool body, chunked, expect;
};

static struct kind draw_kind(struct http_cconn *c, struct asked *asked)
{
    struct mesh *mesh = c->conn.mesh;
    const struct http_plan *plan = &c->client->plan;
    uint64_t drawn = plan->exact ? 4 : mesh_below(mesh, 10); /* 3 GET, 1 HEAD, 3 POST, 3 chunked POST */
    struct kind kind = {
        .version = "1.1", .extra = "", .body = drawn >= 4 && plan->ask_most, .chunked = drawn >= 7
    };
    asked->head = drawn == 3;
    if (mesh_chance(mesh, plan->upgrades)) {
        kind = (struct kind){ .version = "1.1", .extra = "connection: Upgrade\r\nupgrade: websocket\r\n" };
        asked->head = false;
        asked->upgrade = c->no_more = true;
    } else if (mesh_chance(mesh, plan->old)) {
        kind.version = "1.0";
        kind.chunked = false;
        c->no_more = true;
    } else if (kind.body && mesh_chance(mesh, plan->expect)) {
        kind.expect = c->no_more = true;
        kind.extra = "expect: 100-continue\r\n";
    }
    kind.method = asked->head ? "HEAD" : kind.body ? "POST" : "GET";
    return kind;
}

static void draw_sizes(struct http_cconn *c, struct mesh_call *call)
{
    struct mesh *mesh = c->conn.mesh;
    const struct http_plan *plan = &c->client->plan;
    call->mode = (uint32_t)mesh_below(mesh, plan->modes);
    call->ask_bytes = plan->ask_most;
    call->answer_bytes = plan->answer_most;
    if (plan->exact)
        return;
    bool small = mesh_chance(mesh, 900); /* most are */
    call->ask_bytes = (uint32_t)mesh_below(mesh,
                                           small ? SP_MIN(plan->ask_most, 2000u) + 1 : plan->ask_most + 1);
    call->answer_bytes = (uint32_t)mesh_below(mesh, small ? SP_MIN(plan->answer_most, 2000u) + 1
                                                          : plan->answer_most + 1);
}

/* What must be refused, or cut, and reach nobody. */
static void write_broken(struct http_cconn *c, struct mesh_call *call)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/9.1\r\nHost: a\r\n",
        "\x16\x03\x01 no words at all\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n",
    };
    struct mesh *mesh = c->conn.mesh;
    struct sp_buf *out = &c->conn.out;
    call->broken = c->no_more = true;
    sp_buf_add_c(out, heads[mesh_below(mesh, SP_COUNTOF(heads))]);
    if (mesh_chance(mesh, 100)) {
        size_t len = 100000; /* and too large */
        sp_buf_add_c(out, "x-large: ");
        while (len--)
            sp_buf_add_char(out, 'x');
        sp_buf_add_c(out, "\r\n");
    }
    sp_buf_printf(out, "x-token: %016llx\r\n\r\n", (unsigned long long)call->token);
}

static void write_request(struct http_cconn *c, struct asked *asked)
{
    if (mesh_chance(c->conn.mesh, c->client->plan.broken)) {
        write_broken(c, asked->call);
        return;
    }
    struct mesh *mesh = c->conn.mesh;
    struct mesh_call *call = asked->call;
    struct sp_buf *out = &c->conn.out;
    struct kind kind = draw_kind(c, asked);
    draw_sizes(c, call);
    call->idempotent = !kind.body;
    if (!kind.body && !asked->upgrade)
        call->ask_bytes = 0;
    sp_buf_printf(
        out, "%s /call/%u HTTP/%s\r\nHost: bank.test\r\nx-token: %016llx\r\nx-want: %u\r\nx-mode: %u\r\n%s",
        kind.method, call->mode, kind.version, (unsigned long long)call->token, call->answer_bytes,
        call->mode, kind.extra);
    if (!kind.body) {
        sp_buf_add_c(out, "\r\n");
    } else if (kind.chunked && !kind.expect) {
        sp_buf_add_c(out, "transfer-encoding: chunked\r\n\r\n");
        add_chunks(mesh, out, call->token, false, call->ask_bytes, mesh_chance(mesh, 300));
    } else {
        sp_buf_printf(out, "content-length: %u\r\n\r\n", call->ask_bytes);
        if (!kind.expect)
            add_body(out, call->token, false, 0, call->ask_bytes);
    }
    if (kind.expect) {
        c->body_waits = call;
        sp_timer_set(c->conn.loop, &c->timer, 100 * SP_NS_PER_MS); /* RFC 9110 10.1.1: do not wait for ever */
    }
}

static void send_body(struct http_cconn *c)
{
    struct mesh_call *call = c->body_waits;
    c->body_waits = NULL;
    add_body(&c->conn.out, call->token, false, 0, call->ask_bytes);
    app_conn_flush(&c->conn);
}

/* The server has agreed: what the client has to say, and perhaps that this is all. */
static void enter_tunnel(struct http_cconn *c)
{
    struct mesh_call *call = c->queue[0].call;
    c->tunnel = true;
    add_body(&c->conn.out, call->token, false, 0, call->ask_bytes);
    if (mesh_chance(c->conn.mesh, 500))
        app_conn_finish(&c->conn);
    else
        app_conn_flush(&c->conn);
}

static void begin_calls(struct http_cconn *c)
{
    struct http_client *client = c->client;
    const struct http_plan *plan = &client->plan;
    while (!c->no_more && c->count < SP_MIN(plan->depth, (uint32_t)QUEUE) && client->left &&
           !client->stopped) {
        struct asked *asked = &c->queue[c->count++];
        *asked = (struct asked){ .call = mesh_call_begin(c->conn.mesh) };
        client->left--;
        client->under_way++;
        write_request(c, asked);
        if (c->count == 1)
            c->in.no_body = asked->head;
        if (++c->begun == c->most)
            c->no_more = true;
        if (!c->body_waits && mesh_chance(c->conn.mesh, plan->give_up)) {
            c->gives_up = c->no_more = true;
            sp_timer_set(c->conn.loop, &c->timer, mesh_below(c->conn.mesh, 20 * SP_NS_PER_MS));
        }
    }
    c->no_more |= client->left == 0;
    bool all_said = c->no_more && c->count && !c->gives_up && !c->body_waits &&
                    !c->queue[c->count - 1].upgrade;
    if (all_said && plan->half_close)
        app_conn_finish(&c->conn);
    app_conn_flush(&c->conn);
    if (c->no_more && c->count == 0)
        cconn_close(c, MESH_CUT, false);
}

static void on_time(struct sp_timer *timer)
{
    struct http_cconn *c = SP_CONTAINER(timer, struct http_cconn, timer);
    if (c->body_waits)
        send_body(c);
    else if (c->gives_up)
        cconn_close(c, MESH_GIVEN_UP, mesh_chance(c->conn.mesh, 500));
    else
        begin_calls(c);
}

/* The answer to the oldest is whole. */
static void on_answer(struct http_cconn *c)
{
    struct mesh *mesh = c->conn.mesh;
    struct asked asked = c->queue[0];
    struct http_in *in = &c->in;
    unsigned long long token = asked.call->token;
    bool good = in->has_token;
    if (good && in->token != asked.call->token)
        mesh_fail(mesh, "call %016llx was answered with the answer of %016llx", token,
                  (unsigned long long)in->token);
    if (good && !asked.head && in->body_bytes != asked.call->answer_bytes)
        mesh_fail(mesh, "call %016llx: %llu bytes of %u came back", token, (unsigned long long)in->body_bytes,
                  asked.call->answer_bytes);
    if (!good && !in->reason[0])
        mesh_fail(mesh, "call %016llx was answered with %u by nobody", token, in->status);
    memcpy(asked.call->reason, in->reason, sizeof(in->reason));
    memmove(&c->queue[0], &c->queue[1], --c->count * sizeof(c->queue[0]));
    c->client->under_way--;
    mesh_call_end(mesh, asked.call, good ? MESH_GOOD : MESH_REFUSED);
    bool last = in->last || in->old || in->state == IN_UNTIL_CLOSE || c->body_waits == asked.call;
    in_reset(in, true);
    in->no_body = c->count && c->queue[0].head;
    if (last) {
        cconn_close(c, MESH_CUT, false);
    } else if (!c->gives_up && c->client->plan.think && mesh_chance(mesh, 300)) {
        if (!sp_timer_is_set(&c->timer))
            sp_timer_set(c->conn.loop, &c->timer, mesh_below(mesh, c->client->plan.think));
    } else if (!c->gives_up && !sp_timer_is_set(&c->timer)) {
        begin_calls(c);
    }
}

static void on_client_input(struct app_conn *conn)
{
    struct http_cconn *c = cconn_of(conn);
    while (!conn->closing) {
        if (!c->count && app_conn_in(conn).len)
            mesh_fail(conn->mesh, "bytes behind the last answer: %.60s", app_conn_in(conn).ptr);
        size_t used = in_eat(conn->mesh, &c->in, app_conn_in(conn));
        if (c->in.broken)
            mesh_fail(conn->mesh, "a client got an answer that it cannot read");
        app_conn_use(conn, used);
        if (c->in.head_done && c->in.status == 101 && !c->tunnel)
            enter_tunnel(c);
        if (c->in.state == IN_DONE && c->in.status == 100 && c->body_waits && c->count == 1) {
            sp_timer_stop(c->conn.loop, &c->timer);
            send_body(c);
        }
        if (c->in.state == IN_DONE && c->in.status < 200) {
            bool no_body = c->in.no_body;
            in_reset(&c->in, true); /* interim: the real one follows */
            c->in.no_body = no_body;
        } else if (c->in.state == IN_DONE) {
            on_answer(c);
        } else if (!used) {
            return;
        }
    }
}

static void on_client_end(struct app_conn *conn, sp_err err)
{
    struct http_cconn *c = cconn_of(conn);
    if (err == SP_E_CLOSED && c->in.state == IN_UNTIL_CLOSE)
        on_answer(c);
    cconn_close(c, MESH_CUT, false);
}

static void on_client_open(struct app_conn *conn, sp_err err)
{
    struct http_cconn *c = cconn_of(conn);
    if (!err) {
        begin_calls(c);
        return;
    }
    c->client->connect_failures++;
    cconn_close(c, MESH_CUT, false);
}

static void on_client_closed(struct app_conn *conn)
{
    struct http_cconn *c = cconn_of(conn);
    struct http_client *client = c->client;
    sp_list_remove(&c->link);
    sp_mem_free(c);
    client->conn_count--;
    if (client->left && !client->stopped && !sp_timer_is_set(&client->again))
        sp_timer_set(client->loop, &client->again, mesh_below(client->mesh, 5 * SP_NS_PER_MS));
}

static const struct app_ops client_ops = { .on_open = on_client_open,
                                           .on_input = on_client_input,
                                           .on_end = on_client_end,
                                           .on_closed = on_client_closed };

static void more_conns(struct http_client *client)
{
    while (client->conn_count < client->plan.conns && client->left && !client->stopped) {
        struct http_cconn *c = sp_mem_zalloc(sizeof(*c));
        SP_ASSERT(c);
        c->client = client;
        c->timer.on_fire = on_time;
        c->most = client->plan.calls_each ? 1 + (uint32_t)mesh_below(client->mesh, client->plan.calls_each)
                                          : UINT32_MAX;
        c->conn.read_pace = client->plan.read_pace;
        c->conn.write_pace = client->plan.write_pace;
        c->conn.crumb = client->plan.crumb;
        in_reset(&c->in, true);
        if (app_conn_connect(&c->conn, client->mesh, client->loop, &client_ops, &client->to)) {
            sp_mem_free(c); /* no descriptor is left: later */
            sp_timer_set(client->loop, &client->again, 20 * SP_NS_PER_MS);
            return;
        }
        sp_list_push(&client->conns, &c->link);
        client->conn_count++;
    }
}

static void on_again(struct sp_timer *timer)
{
    more_conns(SP_CONTAINER(timer, struct http_client, again));
}

void http_client_start(struct http_client *client, struct mesh *mesh, struct sp_loop *loop,
                       const struct http_plan *plan)
{
    *client = (struct http_client){
        .mesh = mesh, .loop = loop, .plan = *plan, .to = app_addr(plan->to), .left = plan->calls
    };
    client->again.on_fire = on_again;
    sp_list_init(&client->conns);
    more_conns(client);
}

bool http_client_is_done(const struct http_client *client)
{
    return client->left == 0 && client->under_way == 0 && client->conn_count == 0;
}

void http_client_stop(struct http_client *client)
{
    struct http_cconn *c;
    client->stopped = true;
    client->left = 0;
    sp_timer_stop(client->loop, &client->again);
    SP_LIST_EACH(&client->conns, c, next, struct http_cconn, link)
        cconn_close(c, MESH_GIVEN_UP, false);
}
