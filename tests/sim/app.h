/* app: what the applications of the simulation share: a connection with buffers on both sides, that can be
 * read slowly and written in crumbs. It uses nothing of the proxy's: io alone. */
#ifndef SP_TESTS_SIM_APP_H
#define SP_TESTS_SIM_APP_H

#include "base/buf.h"
#include "io/sock.h"
#include "io/timer.h"
#include "sim/mesh.h"

struct app_conn;

struct app_ops {
    void (*on_open)(struct app_conn *conn, sp_err err); /* connected, or not; a server's is open at once */
    void (*on_input)(struct app_conn *conn);            /* conn->in has grown */
    void (*on_end)(struct app_conn *conn, sp_err err);  /* as sp_sock_ops.on_end */
    void (*on_sent)(struct app_conn *conn);             /* everything queued has left; may be NULL */
    void (*on_closed)(struct app_conn *conn);           /* storage is the owner's again */
};

struct app_conn {
    struct sp_sock sock;
    const struct app_ops *ops;
    struct mesh *mesh;
    struct sp_loop *loop;
    struct sp_buf in, out;
    size_t in_at, out_at; /* used up so far */
    struct sp_timer read_timer, write_timer;
    sp_ns read_pace,
        write_pace; /* 0 = as fast as it goes; else a pause of up to this long after each piece */
    uint32_t crumb; /* with write_pace: most bytes in one piece */
    bool open, ended, fin_wanted, fin_sent, closing, room_awaited;
};

void app_conn_accept(struct app_conn *conn, struct mesh *mesh, struct sp_loop *loop,
                     const struct app_ops *ops, int fd);
/* SP_E_NOFILE and the like: nothing was begun. */
sp_err app_conn_connect(struct app_conn *conn, struct mesh *mesh, struct sp_loop *loop,
                        const struct app_ops *ops, const sp_addr *to) SP_MUST_USE;
/* What has come and is not used up. */
static inline sp_str app_conn_in(const struct app_conn *conn)
{
    return sp_str_of(conn->in.ptr + conn->in_at, conn->in.len - conn->in_at);
}
void app_conn_use(struct app_conn *conn, size_t bytes);
/* Write into conn->out with sp_buf_*, then this. */
void app_conn_flush(struct app_conn *conn);
/* FIN behind what is queued. */
void app_conn_finish(struct app_conn *conn);
void app_conn_close(struct app_conn *conn, bool reset);

/* A listening address whose owner makes connections. */
struct app_server {
    struct sp_acceptor acceptor;
    struct sp_loop *loop;
    struct mesh *mesh;
    void (*on_accept)(struct app_server *server, int fd);
    struct sp_timer again;
    bool open;
};
void app_server_listen(struct app_server *server, const char *addr);
void app_server_close(struct app_server *server);

sp_addr app_addr(const char *text);

#endif
