/* server: connections to our own doors, and the one call that is on each.
 *
 * A connection carries one call at a time: while it is answered, decoding is held, so pipelined requests
 * wait in the conn and are answered in order. A request is gathered whole (its limit is small) before its
 * handler runs, so a handler never meets half of one. What is wrong with a request is decided at its head,
 * and said when its body has been read and dropped: an answer that overtakes a body is lost to clients that
 * write first and read then.
 *
 *      IDLE ──first byte──► READING ──whole──► ANSWERING ──all queued──┬─► IDLE
 *        │                     │ 408, broken       │                   └─► LINGER ──► closed
 *        └────────────► closed ◄───────────────────┘
 *
 * Each phase has its own patience: IDLE idle_ns, READING request_ns from the first byte (a slow loris gets
 * one span for everything, not one for each byte), ANSWERING stall_ns without a byte taken, LINGER one
 * second, so that the last answer is not overtaken by the RST that unread bytes would cause.
 *
 * Connections are limited for each address, not together: who fills the TCP door does not shut the Unix one.
 *
 * Not known here: what the pages say, who may see them (the guard's matter), TLS. */
#include "rpc/http_impl.h"

#include "base/mem.h"
#include "io/fdpass.h"
#include "wire/h1/h1.h"

enum {
    BODY_DEFAULT = 1024 * 1024,
    CONNECTIONS_DEFAULT = 64,
    HEAD_BYTES = 16 * 1024, /* our own clients send less than one */
    HEADERS = 64,
    ARENA_BLOCK = 2048,
    ARENA_LIMIT = 256 * 1024,
    OUT_MARK = 128 * 1024,
};

#define REQUEST_NS (10 * SP_NS_PER_S)
#define IDLE_NS (60 * SP_NS_PER_S)
#define STALL_NS (30 * SP_NS_PER_S)
#define LINGER_NS SP_NS_PER_S
#define RESUME_NS (100 * SP_NS_PER_MS)

static struct sp_http_line *line_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct sp_http_line, conn);
}

/* ---- phases ---- */

static sp_ns patience(const struct sp_http_line *line)
{
    const struct sp_http_config *config = &line->server->config;
    switch (line->phase) {
    case SP_HTTP_IDLE: return config->idle_ns;
    case SP_HTTP_READING: return config->request_ns;
    case SP_HTTP_ANSWERING: return config->stall_ns;
    case SP_HTTP_LINGER: return LINGER_NS;
    case SP_HTTP_PHASE_COUNT: break;
    }
    return 0;
}

void sp_http_line_phase(struct sp_http_line *line, enum sp_http_phase to)
{
    line->phase = to;
    line->phase_ns = sp_loop_now(line->server->loop);
    sp_timer_set(line->server->loop, &line->timer, patience(line));
    if (to == SP_HTTP_IDLE) { /* to the tail: the head is who idles longest */
        sp_list_remove(&line->link);
        sp_list_push(&line->server->lines, &line->link);
    }
}

void sp_http_call_gone(struct sp_http_call *call)
{
    void (*fn)(void *) = call->on_gone;
    struct sp_http_source *source = call->source;
    call->on_gone = NULL;
    call->source = NULL;
    call->streaming = false;
    if (fn)
        fn(call->on_gone_arg);
    if (source)
        source->on_end(source, false);
}

static void close_line(struct sp_http_line *line, bool reset)
{
    sp_http_call_gone(&line->call);
    sp_timer_stop(line->server->loop, &line->timer);
    sp_conn_close(&line->conn, reset);
}

static void on_timer(struct sp_timer *timer)
{
    struct sp_http_line *line = SP_CONTAINER(timer, struct sp_http_line, timer);
    struct sp_http_server *server = line->server;
    sp_ns now = sp_loop_now(server->loop);
    switch (line->phase) {
    case SP_HTTP_IDLE:
    case SP_HTTP_LINGER: close_line(line, false); return;
    case SP_HTTP_READING:
        server->view.too_slow++;
        sp_http_refuse(line, 408, "the request did not come in time", true);
        return;
    case SP_HTTP_ANSWERING:
        if (line->conn.out_bytes &&
            now - SP_MAX(line->conn.out_ns, line->phase_ns) >= server->config.stall_ns) {
            server->view.too_slow++;
            close_line(line, true);
            return;
        }
        sp_timer_set(server->loop, timer, server->config.stall_ns / 2);
        return;
    case SP_HTTP_PHASE_COUNT: break;
    }
}

/* ---- a request ---- */

static bool path_fits(const char *pattern, sp_str path)
{
    sp_str want = sp_str_c(pattern);
    if (want.len && want.ptr[want.len - 1] == '*')
        return sp_str_starts(path, sp_str_upto(want, want.len - 1));
    return sp_str_eq(want, path);
}

static bool method_fits(const char *methods, sp_str method)
{
    sp_str rest = sp_str_c(methods);
    bool head = sp_str_eq(method, SP_STR("HEAD"));
    while (rest.ptr) {
        sp_str one = sp_str_trim(sp_str_cut(&rest, ','));
        if (sp_str_eq(one, method) || (head && sp_str_eq(one, SP_STR("GET"))))
            return true;
    }
    return false;
}

static void refuse_later(struct sp_http_call *call, uint16_t status, const char *text)
{
    if (call->refuse)
        return;
    call->refuse = status;
    call->refuse_text = text;
}

static void find_route(struct sp_http_server *server, struct sp_http_call *call)
{
    struct sp_http_request *request = &call->request;
    const struct sp_http_route *other = NULL;
    for (uint32_t i = 0; i < server->config.route_count && !request->route; i++) {
        const struct sp_http_route *route = &server->config.routes[i];
        if (!path_fits(route->path, request->path))
            continue;
        if (method_fits(route->methods, request->method))
            request->route = route;
        else if (!other)
            other = route;
    }
    if (request->route)
        return;
    if (other)
        sp_http_header(call, "Allow", sp_str_c(other->methods));
    refuse_later(call, other ? 405 : 404, other ? "this path has other methods" : "there is no such page");
}

static void fill_request(struct sp_http_line *line)
{
    struct sp_http_call *call = &line->call;
    struct sp_http_request *request = &call->request;
    sp_str target = call->head.path;
    size_t mark = sp_str_find(target, '?');
    request->head = &call->head;
    request->method = call->head.method;
    request->path = sp_str_upto(target, mark);
    request->query = mark < target.len ? sp_str_from(target, mark + 1) : SP_STR_NULL;
    request->host = call->head.service;
    request->is_unix = line->door->acceptor.is_unix;
    uint32_t pid;
    if (!request->is_unix || sp_fdpass_peer(line->conn.sock.fd, &pid, &request->peer_uid))
        request->peer_uid = UINT32_MAX;
    if (!request->is_unix && sp_sock_peer(&line->conn.sock, &request->peer))
        request->peer = (sp_addr){ .family = SP_ADDR_NONE };
}

static void reset_call(struct sp_http_line *line)
{
    struct sp_http_call *call = &line->call;
    sp_buf_deinit(&call->body_in);
    sp_buf_deinit(&call->body_out);
    sp_arena_reset(&line->arena);
    *call = (struct sp_http_call){ 0 };
    sp_buf_init(&call->body_in, line->server->config.body_bytes);
    sp_buf_init(&call->body_out, 0);
}

static void on_head(struct sp_http_line *line, struct sp_event *ev)
{
    struct sp_http_server *server = line->server;
    struct sp_http_call *call = &line->call;
    reset_call(line);
    if (line->phase == SP_HTTP_IDLE)
        sp_http_line_phase(line, SP_HTTP_READING);
    server->view.requests++;
    if (sp_head_copy(&call->head, ev->head, &line->arena, true)) {
        close_line(line, true); /* out of memory: nothing can be said */
        return;
    }
    fill_request(line);
    const char *text = "refused";
    uint16_t status = server->config.guard ? server->config.guard(server->config.arg, &call->request, &text)
                                           : 0;
    if (status)
        refuse_later(call, status, text);
    find_route(server, call);
    if (call->head.flags & SP_HEAD_TUNNEL)
        refuse_later(call, 405, "this is no proxy");
    if ((call->head.flags & SP_HEAD_EXPECT) && !ev->end && !call->refuse)
        sp_conn_queue(&line->conn, (struct sp_view){ .ptr = "HTTP/1.1 100 Continue\r\n\r\n", .len = 25 });
}

static void dispatch(struct sp_http_line *line)
{
    struct sp_http_server *server = line->server;
    struct sp_http_call *call = &line->call;
    sp_conn_hold(&line->conn, true);
    sp_http_line_phase(line, SP_HTTP_ANSWERING);
    if (call->refuse) {
        sp_http_refuse(line, call->refuse, call->refuse_text, (call->head.flags & SP_HEAD_TUNNEL) != 0);
        return;
    }
    call->request.body = sp_buf_str(&call->body_in);
    call->request.route->handle(server->config.arg, call);
}

static void on_conn_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_http_line *line = line_of(conn);
    struct sp_http_call *call = &line->call;
    if (line->phase == SP_HTTP_LINGER)
        return; /* read and dropped */
    if (ev->kind == SP_EVENT_HEAD)
        on_head(line, ev);
    if (conn->closed)
        return;
    if (ev->body.len && !call->refuse) {
        sp_buf_add_str(&call->body_in, ev->body);
        if (call->body_in.failed) {
            sp_http_refuse(line, 413, "the body is longer than its limit", true);
            return;
        }
    }
    if (ev->end)
        dispatch(line);
}

static void on_conn_broken(struct sp_conn *conn, struct sp_event *ev)
{
    struct sp_http_line *line = line_of(conn);
    line->server->view.broken++;
    if (line->phase == SP_HTTP_LINGER)
        return;
    if (line->phase == SP_HTTP_IDLE)
        reset_call(line);
    sp_http_refuse(line, ev->status ? ev->status : 400, ev->why, true);
}

static void on_conn_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    struct sp_http_line *line = line_of(conn);
    if (err != SP_E_CLOSED || line->phase != SP_HTTP_IDLE || !conn->out_bytes) {
        close_line(line, err != SP_E_CLOSED);
        return;
    }
    sp_timer_set(line->server->loop, &line->timer, line->server->config.stall_ns);
    sp_conn_close_flushed(conn); /* it ended its direction and still waits for the answer's rest */
}

static void on_conn_part(struct sp_conn *conn)
{
    struct sp_http_line *line = line_of(conn);
    if (line->phase != SP_HTTP_IDLE)
        return;
    reset_call(line);
    sp_http_line_phase(line, SP_HTTP_READING);
}

static void on_conn_drained(struct sp_conn *conn)
{
    struct sp_http_line *line = line_of(conn);
    if (line->phase != SP_HTTP_ANSWERING || !line->call.answered)
        return;
    if (line->call.streaming)
        sp_http_pump(line);
    else
        sp_http_line_answered(line);
}

static void free_server(struct sp_http_server *server)
{
    sp_link_deinit(&server->link);
    sp_mem_free(server);
}

static void on_conn_closed(struct sp_conn *conn)
{
    struct sp_http_line *line = line_of(conn);
    struct sp_http_server *server = line->server;
    sp_http_call_gone(&line->call); /* closed behind the last byte */
    sp_timer_stop(server->loop, &line->timer);
    sp_list_remove(&line->link);
    line->door->lines--;
    server->view.connections--;
    sp_buf_deinit(&line->call.body_in);
    sp_buf_deinit(&line->call.body_out);
    sp_arena_deinit(&line->arena);
    sp_mem_free(line);
    if (server->freed && sp_list_is_empty(&server->lines))
        free_server(server);
}

static const struct sp_conn_ops conn_ops = {
    .on_event = on_conn_event,
    .on_broken = on_conn_broken,
    .on_end = on_conn_end,
    .on_part = on_conn_part,
    .on_drained = on_conn_drained,
    .on_closed = on_conn_closed,
};

void sp_http_line_answered(struct sp_http_line *line)
{
    struct sp_conn *conn = &line->conn;
    if (line->call.answer.flags & SP_HEAD_LAST) {
        sp_conn_finish(conn);
        sp_http_line_phase(line, SP_HTTP_LINGER);
    } else {
        sp_http_line_phase(line, SP_HTTP_IDLE);
    }
    sp_conn_hold(conn, false);
}

/* ---- doors ---- */

/* Somebody idle makes room. */
static bool evict(struct sp_http_door *door)
{
    struct sp_http_line *line;
    SP_LIST_EACH(&door->server->lines, line, next, struct sp_http_line, link) {
        if (line->door != door || line->phase != SP_HTTP_IDLE || line->conn.closed || line->conn.out_bytes)
            continue;
        close_line(line, false);
        return true;
    }
    return false;
}

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct sp_http_door *door = SP_CONTAINER(acceptor, struct sp_http_door, acceptor);
    struct sp_http_server *server = door->server;
    bool room = door->lines < server->config.connections || evict(door);
    struct sp_http_line *line = room ? sp_mem_zalloc(sizeof(*line)) : NULL;
    if (!line || sp_conn_open(&line->conn, &server->link, &conn_ops, fd)) {
        sp_mem_free(line);
        sp_sock_drop_fd(server->loop, fd);
        server->view.refused++;
        return;
    }
    line->server = server;
    line->door = door;
    line->timer.on_fire = on_timer;
    line->conn.out_mark = OUT_MARK;
    sp_arena_init(&line->arena, NULL, 0, ARENA_BLOCK, ARENA_LIMIT);
    reset_call(line);
    door->lines++;
    server->view.connections++;
    server->view.accepted++;
    sp_conn_speak(&line->conn, &sp_h1_codec, SP_ROLE_SERVER, &server->limits);
    sp_http_line_phase(line, SP_HTTP_IDLE);
}

static void on_full(struct sp_acceptor *acceptor, sp_err err)
{
    struct sp_http_door *door = SP_CONTAINER(acceptor, struct sp_http_door, acceptor);
    sp_timer_set(door->server->loop, &door->resume, RESUME_NS);
}

static void on_resume(struct sp_timer *timer)
{
    sp_acceptor_pause(&SP_CONTAINER(timer, struct sp_http_door, resume)->acceptor, false);
}

struct sp_http_server *sp_http_server_new(struct sp_loop *loop, const struct sp_http_config *config)
{
    struct sp_http_server *server = sp_mem_zalloc(sizeof(*server));
    if (!server)
        return NULL;
    server->loop = loop;
    server->config = *config;
    struct sp_http_config *c = &server->config;
    c->body_bytes = c->body_bytes ? c->body_bytes : BODY_DEFAULT;
    c->connections = c->connections ? c->connections : CONNECTIONS_DEFAULT;
    c->request_ns = c->request_ns ? c->request_ns : REQUEST_NS;
    c->idle_ns = c->idle_ns ? c->idle_ns : IDLE_NS;
    c->stall_ns = c->stall_ns ? c->stall_ns : STALL_NS;
    server->limits = (struct sp_codec_limits){ .head_bytes = HEAD_BYTES,
                                               .headers = HEADERS,
                                               .body_bytes = c->body_bytes };
    sp_list_init(&server->lines);
    if (sp_link_init(&server->link, loop)) {
        sp_mem_free(server);
        return NULL;
    }
    return server;
}

static struct sp_http_door *next_door(struct sp_http_server *server)
{
    if (server->door_count == SP_HTTP_ADDRESSES)
        return NULL;
    struct sp_http_door *door = &server->doors[server->door_count];
    *door = (struct sp_http_door){
        .acceptor = { .on_accept = on_accept, .on_full = on_full },
        .server = server,
        .resume = { .on_fire = on_resume },
    };
    return door;
}

sp_err sp_http_server_listen(struct sp_http_server *server, const struct sp_listen_config *where)
{
    struct sp_http_door *door = next_door(server);
    sp_err err = door ? sp_acceptor_listen(&door->acceptor, server->loop, where) : SP_E_LIMIT;
    if (err)
        return err;
    door->acceptor.is_unix = where->addr.family == SP_ADDR_UNIX;
    server->door_count++;
    return 0;
}

sp_err sp_http_server_adopt(struct sp_http_server *server, int fd)
{
    struct sp_http_door *door = next_door(server);
    sp_err err = door ? sp_acceptor_open(&door->acceptor, server->loop, fd, false) : SP_E_LIMIT;
    server->door_count += !err;
    return err;
}

int sp_http_server_fd(const struct sp_http_server *server, uint32_t i)
{
    return i < server->door_count ? server->doors[i].acceptor.fd : -1;
}

sp_err sp_http_server_local(const struct sp_http_server *server, uint32_t i, sp_addr *ret_addr)
{
    return i < server->door_count ? sp_acceptor_local(&server->doors[i].acceptor, ret_addr) : SP_E_MISSING;
}

struct sp_http_server_view sp_http_server_view(const struct sp_http_server *server)
{
    return server->view;
}

void sp_http_server_free(struct sp_http_server *server)
{
    if (!server)
        return;
    for (uint32_t i = 0; i < server->door_count; i++) {
        sp_timer_stop(server->loop, &server->doors[i].resume);
        sp_acceptor_close(&server->doors[i].acceptor);
    }
    server->door_count = 0;
    server->freed = true;
    if (sp_list_is_empty(&server->lines)) {
        free_server(server);
        return;
    }
    struct sp_http_line *line;
    SP_LIST_EACH(&server->lines, line, next, struct sp_http_line, link)
        close_line(line, false);
}
