/* client: a question to somebody else's door, and its answer whole: for tests, tools and later rooms.
 *
 * A connection for each question, closed behind the answer: who asks a page once a minute gains nothing
 * from a kept one, and a question that is never sent on a dying connection need never be repeated.
 *
 *      send ──► connecting ──► asked ──► answer whole ──► fn(reply)
 *                   │             │
 *                   └─────────────┴──► refused, cut, too slow, too large, broken: fn(reply.err, why)
 *
 * `fn` comes from the loop, never from inside sp_http_client_send, once. The asker is freed with its socket.
 * Left aside: redirects (a door's answer is the answer), pools, pipelining. */
#include "rpc/http.h"

#include "base/arena.h"
#include "base/mem.h"
#include "io/sock.h"
#include "io/timer.h"
#include "link/conn.h"
#include "wire/h1/h1.h"

enum { ANSWER_DEFAULT = 16 * 1024 * 1024, ARENA_BLOCK = 2048, PIECE = 16 * 1024 };

#define TIMEOUT_NS (10 * SP_NS_PER_S)

struct sp_http_client {
    struct sp_loop *loop;
    struct sp_link link;
    struct sp_list asks; /* of asked.link */
    bool freed;
};

struct asked {
    struct sp_conn conn;
    struct sp_http_client *client;
    struct sp_list link;
    struct sp_timer timer;
    struct sp_arena arena;
    struct sp_codec_limits limits;
    struct sp_head head; /* the answer's, in arena */
    struct sp_buf body;
    bool done;
    void (*fn)(void *arg, const struct sp_http_reply *reply);
    void *arg;
};

static struct asked *asked_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct asked, conn);
}

static void finish(struct asked *asked, sp_err err, const char *why)
{
    if (asked->done)
        return;
    asked->done = true;
    sp_timer_stop(asked->client->loop, &asked->timer);
    struct sp_http_reply reply = { .err = err, .why = why };
    if (!err) {
        reply.status = asked->head.status;
        reply.head = &asked->head;
        reply.body = sp_buf_str(&asked->body);
    }
    asked->fn(asked->arg, &reply);
    sp_conn_close(&asked->conn, err != 0);
}

static void on_connected(struct sp_conn *conn, sp_err err)
{
    if (err)
        finish(asked_of(conn), err, sp_err_str(err));
}

static void on_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    struct asked *asked = asked_of(conn);
    if (asked->done)
        return;
    if (ev->kind == SP_EVENT_HEAD) {
        if (ev->head->kind == SP_MSG_INTERIM)
            return;
        if (sp_head_copy(&asked->head, ev->head, &asked->arena, true)) {
            finish(asked, SP_E_NOMEM, "no memory for the answer's head");
            return;
        }
    }
    sp_buf_add_str(&asked->body, ev->body);
    if (asked->body.failed)
        finish(asked, SP_E_LIMIT, "the answer is longer than its limit");
    else if (ev->end)
        finish(asked, 0, NULL);
}

static void on_broken(struct sp_conn *conn, struct sp_event *ev)
{
    finish(asked_of(conn), SP_E_INVALID, ev->why);
}

static void on_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    finish(asked_of(conn), err, "the connection ended before the answer did");
}

static void free_client(struct sp_http_client *client)
{
    sp_link_deinit(&client->link);
    sp_mem_free(client);
}

static void on_closed(struct sp_conn *conn)
{
    struct asked *asked = asked_of(conn);
    struct sp_http_client *client = asked->client;
    sp_list_remove(&asked->link);
    sp_buf_deinit(&asked->body);
    sp_arena_deinit(&asked->arena);
    sp_mem_free(asked);
    if (client->freed && sp_list_is_empty(&client->asks))
        free_client(client);
}

static const struct sp_conn_ops conn_ops = {
    .on_connected = on_connected,
    .on_event = on_event,
    .on_broken = on_broken,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void on_timer(struct sp_timer *timer)
{
    finish(SP_CONTAINER(timer, struct asked, timer), SP_E_TIMEOUT, "no answer in time");
}

struct sp_http_client *sp_http_client_new(struct sp_loop *loop)
{
    struct sp_http_client *client = sp_mem_zalloc(sizeof(*client));
    if (!client)
        return NULL;
    client->loop = loop;
    sp_list_init(&client->asks);
    if (sp_link_init(&client->link, loop)) {
        sp_mem_free(client);
        return NULL;
    }
    return client;
}

void sp_http_client_free(struct sp_http_client *client)
{
    if (!client)
        return;
    client->freed = true;
    if (sp_list_is_empty(&client->asks)) {
        free_client(client);
        return;
    }
    struct asked *asked;
    SP_LIST_EACH(&client->asks, asked, next, struct asked, link) {
        asked->done = true;
        sp_timer_stop(client->loop, &asked->timer);
        sp_conn_close(&asked->conn, true);
    }
}

static sp_err queue_request(struct asked *asked, const struct sp_http_ask *ask)
{
    const char *type = ask->type ? ask->type : "application/octet-stream";
    struct sp_header headers[] = {
        { "Content-Type", type, (uint32_t)strlen(type), 12, SP_HDR_CONTENT_TYPE, 0 },
        { "Accept", "*/*", 3, 6, SP_HDR_OTHER, 0 },
    };
    struct sp_head head = {
        .kind = SP_MSG_REQUEST,
        .protocol = SP_PROTO_HTTP1,
        .flags = SP_HEAD_LAST,
        .method = sp_str_c(ask->method     ? ask->method
                           : ask->body.len ? "POST"
                                           : "GET"),
        .service = ask->host.len ? ask->host : SP_STR("localhost"),
        .path = ask->path.len ? ask->path : SP_STR("/"),
        .body_bytes = (int64_t)ask->body.len,
        .headers = ask->body.len ? headers : headers + 1,
        .header_count = ask->body.len ? 2 : 1,
    };
    size_t room = SP_H1_HEAD_ROOM + head.method.len + head.service.len + head.path.len + strlen(type) + 64;
    char *out = sp_conn_reserve(&asked->conn, room);
    ssize_t len = out ? sp_h1_codec.encode_head(&head, out, room) : SP_E_NOMEM;
    if (len < 0)
        return (sp_err)len;
    sp_conn_commit(&asked->conn, (size_t)len);
    sp_h1_codec.asked(&asked->conn.codec_state, &head);
    for (sp_str rest = ask->body; rest.len; rest = sp_str_from(rest, PIECE)) {
        sp_str piece = sp_str_upto(rest, PIECE);
        sp_conn_queue(&asked->conn, (struct sp_view){ .ptr = piece.ptr, .len = piece.len });
    }
    return 0;
}

sp_err sp_http_client_send(struct sp_http_client *client, const struct sp_http_ask *ask,
                           void (*fn)(void *arg, const struct sp_http_reply *reply), void *arg)
{
    struct asked *asked = sp_mem_zalloc(sizeof(*asked));
    if (!asked)
        return SP_E_NOMEM;
    asked->client = client;
    asked->fn = fn;
    asked->arg = arg;
    asked->timer.on_fire = on_timer;
    sp_err err = sp_conn_connect(&asked->conn, &client->link, &conn_ops, &ask->to, NULL, 0);
    if (err) {
        sp_mem_free(asked);
        return err;
    }
    sp_arena_init(&asked->arena, NULL, 0, ARENA_BLOCK, 0);
    sp_buf_init(&asked->body, ask->answer_bytes ? ask->answer_bytes : ANSWER_DEFAULT);
    sp_list_push(&client->asks, &asked->link);
    sp_conn_speak(&asked->conn, &sp_h1_codec, SP_ROLE_CLIENT, &asked->limits);
    err = queue_request(asked, ask);
    if (err) {
        asked->done = true;
        sp_conn_close(&asked->conn, true);
        return err;
    }
    sp_timer_set(client->loop, &asked->timer, ask->timeout_ns ? ask->timeout_ns : TIMEOUT_NS);
    return 0;
}
