/* app: a connection of an application. Reading fills conn->in, writing empties conn->out; both can be slowed
 * down, because a slow reader is what makes buffers of others grow, and crumbs are what finds a decoder's
 * seams. */
#include "sim/app.h"

#include <string.h>

#include "base/mem.h"

static struct app_conn *conn_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct app_conn, sock);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void on_read_time(struct sp_timer *timer)
{
    struct app_conn *conn = SP_CONTAINER(timer, struct app_conn, read_timer);
    if (conn->open && !conn->closing && !conn->ended)
        sp_sock_read(&conn->sock, true);
}

static void on_sock_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    struct app_conn *conn = conn_of(sock);
    (void)slab;
    if (conn->read_pace) {
        sp_sock_read(sock, false);
        sp_timer_set(conn->loop, &conn->read_timer, mesh_below(conn->mesh, conn->read_pace));
    }
    if (conn->in_at) {
        memmove(conn->in.ptr, conn->in.ptr + conn->in_at, conn->in.len - conn->in_at);
        conn->in.len -= conn->in_at;
        conn->in_at = 0;
    }
    sp_buf_add(&conn->in, ptr, len);
    SP_ASSERT(!conn->in.failed);
    conn->ops->on_input(conn);
}

void app_conn_use(struct app_conn *conn, size_t bytes)
{
    conn->in_at += bytes;
    SP_ASSERT(conn->in_at <= conn->in.len);
}

static void on_sock_end(struct sp_sock *sock, sp_err err)
{
    struct app_conn *conn = conn_of(sock);
    conn->ended = true;
    conn->ops->on_end(conn, err);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void sent_all(struct app_conn *conn)
{
    bool something = conn->out.len > 0;
    conn->out.len = conn->out_at = 0;
    if (conn->fin_wanted && !conn->fin_sent) {
        conn->fin_sent = true;
        sp_sock_shutdown(&conn->sock);
    }
    if (something && conn->ops->on_sent)
        conn->ops->on_sent(conn);
}

void app_conn_flush(struct app_conn *conn)
{
    SP_ASSERT(!conn->out.failed);
    while (conn->open && !conn->closing && !conn->room_awaited && !sp_timer_is_set(&conn->write_timer)) {
        size_t left = conn->out.len - conn->out_at, piece = left;
        if (left == 0) {
            sent_all(conn);
            return;
        }
        if (conn->write_pace) {
            size_t crumb = 1 + mesh_below(conn->mesh, conn->crumb);
            piece = SP_MIN(left, crumb);
        }
        struct iovec iov = { conn->out.ptr + conn->out_at, piece };
        ssize_t sent = sp_sock_send(&conn->sock, &iov, 1);
        if (sent < 0)
            return; /* on_end says it */
        conn->out_at += (size_t)sent;
        if ((size_t)sent < piece)
            conn->room_awaited = true;
        else if (conn->write_pace)
            sp_timer_set(conn->loop, &conn->write_timer, mesh_below(conn->mesh, conn->write_pace));
    }
}

static void on_sock_room(struct sp_sock *sock)
{
    struct app_conn *conn = conn_of(sock);
    conn->room_awaited = false;
    app_conn_flush(conn);
}

static void on_write_time(struct sp_timer *timer)
{
    app_conn_flush(SP_CONTAINER(timer, struct app_conn, write_timer));
}

void app_conn_finish(struct app_conn *conn)
{
    conn->fin_wanted = true;
    app_conn_flush(conn);
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static void on_sock_connected(struct sp_sock *sock, sp_err err)
{
    struct app_conn *conn = conn_of(sock);
    if (!err) {
        conn->open = true;
        sp_sock_read(sock, true);
    }
    conn->ops->on_open(conn, err);
    if (conn->open)
        app_conn_flush(conn);
}

static void on_sock_closed(struct sp_sock *sock)
{
    struct app_conn *conn = conn_of(sock);
    sp_buf_deinit(&conn->in);
    sp_buf_deinit(&conn->out);
    conn->ops->on_closed(conn);
}

static const struct sp_sock_ops sock_ops = { on_sock_connected, on_sock_bytes, on_sock_room, on_sock_end,
                                             on_sock_closed };

static void prepare(struct app_conn *conn, struct mesh *mesh, struct sp_loop *loop, const struct app_ops *ops)
{
    conn->mesh = mesh;
    conn->loop = loop;
    conn->ops = ops;
    conn->in_at = conn->out_at = 0;
    conn->open = conn->ended = conn->fin_wanted = conn->fin_sent = conn->closing = conn->room_awaited = false;
    conn->read_timer.on_fire = on_read_time;
    conn->write_timer.on_fire = on_write_time;
    sp_buf_init(&conn->in, 0);
    sp_buf_init(&conn->out, 0);
}

void app_conn_accept(struct app_conn *conn, struct mesh *mesh, struct sp_loop *loop,
                     const struct app_ops *ops, int fd)
{
    prepare(conn, mesh, loop, ops);
    SP_ASSERT(!sp_sock_open_fd(&conn->sock, loop, &sock_ops, fd));
    conn->open = true;
    sp_sock_read(&conn->sock, true);
}

sp_err app_conn_connect(struct app_conn *conn, struct mesh *mesh, struct sp_loop *loop,
                        const struct app_ops *ops, const sp_addr *to)
{
    prepare(conn, mesh, loop, ops);
    return sp_sock_connect(&conn->sock, loop, &sock_ops, to, NULL, 0);
}

void app_conn_close(struct app_conn *conn, bool reset)
{
    if (conn->closing)
        return;
    conn->closing = true;
    sp_timer_stop(conn->loop, &conn->read_timer);
    sp_timer_stop(conn->loop, &conn->write_timer);
    sp_sock_close(&conn->sock, reset);
}

/* --- servers -------------------------------------------------------------------------------------------- */

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct app_server *server = SP_CONTAINER(acceptor, struct app_server, acceptor);
    (void)peer;
    server->on_accept(server, fd);
}

static void on_again(struct sp_timer *timer)
{
    sp_acceptor_pause(&SP_CONTAINER(timer, struct app_server, again)->acceptor, false);
}

/* Out of descriptors, but not for long. */
static void on_full(struct sp_acceptor *acceptor, sp_err err)
{
    struct app_server *server = SP_CONTAINER(acceptor, struct app_server, acceptor);
    (void)err;
    sp_timer_set(server->loop, &server->again, 10 * SP_NS_PER_MS);
}

sp_addr app_addr(const char *text)
{
    sp_addr addr = { .family = SP_ADDR_UNIX, .path = text };
    if (text[0] != '/' && text[0] != '@')
        SP_ASSERT(!sp_addr_parse(sp_str_c(text), &addr));
    return addr;
}

void app_server_listen(struct app_server *server, const char *addr)
{
    struct sp_listen_config config = { .addr = app_addr(addr), .reuse_port = true };
    server->acceptor.on_accept = on_accept;
    server->acceptor.on_full = on_full;
    server->again.on_fire = on_again;
    SP_ASSERT(!sp_acceptor_listen(&server->acceptor, server->loop, &config));
    server->open = true;
}

void app_server_close(struct app_server *server)
{
    sp_timer_stop(server->loop, &server->again);
    if (server->open)
        sp_acceptor_close(&server->acceptor);
    server->open = false;
}
