/* kit: a conn on a simulated loop, a far end that the test holds in its hand, and a toy grammar.
 *
 *    near: struct near { sp_conn } <── sim ──> far: a bare sock that says what it is told, keeps what comes
 *
 * The toy grammar. A byte n < 250 and n bytes of payload are a message, one event. 250 begins a message that
 * flows until '\n'; 251 one that flows until the end of the connection. 255 is broken. What comes is written
 * down: "[abc]" for a whole message, "<", the flow, ">" for one that flows, "!" for broken, and the end as
 * "." in order, "~" inside a message, "#err" otherwise. */
#ifndef SP_TESTS_LINK_KIT_H
#define SP_TESTS_LINK_KIT_H

#include "base/buf.h"
#include "base/mem.h"
#include "io/sim/sim.h"
#include "io/timer.h"
#include "link/conn.h"
#include "link/conn_impl.h"
#include "unit/base/help.h"

struct near;

struct far {
    struct sp_sock sock;
    struct sp_buf got;
    struct sp_buf late; /* what the peer's window did not take yet */
    bool open, ended, gone, reset;
};

struct world {
    uint64_t blocks;
    struct sp_sim *sim;
    struct sp_loop *loop, *far_loop;
    struct sp_link link;
    struct sp_acceptor acceptor;
    struct near *accepting; /* whose socket the next accept is */
    struct far far[2];
};

/* The conn under test and its owner. */
struct near {
    struct sp_conn conn;
    struct world *world;
    struct sp_buf said;
    uint32_t events, parts, drained, connected, closed;
    sp_err connect_err;
    const struct sp_codec *codec;
    void (*on_event)(struct near *near, struct sp_event *ev, struct sp_slab *slab); /* beside writing down */
    void (*on_broken)(struct near *near);
    void (*on_end)(struct near *near, sp_err err);
    void (*on_part)(struct near *near);
    void (*on_drained)(struct near *near);
    void (*on_connected)(struct near *near);
    void *arg;
};

/* --- the toy grammar ------------------------------------------------------------------------------------ */

enum { TOY_FLOWS = 250, TOY_TO_THE_END = 251, TOY_BROKEN = 255 };

static inline void toy_init(struct sp_codec_state *state, enum sp_role role,
                            const struct sp_codec_limits *limits)
{
    (void)role, (void)limits;
    state->bytes[0] = 0;
}

static inline ssize_t toy_flow(struct sp_codec_state *state, sp_str in, struct sp_event *ev)
{
    size_t end = state->bytes[0] == TOY_FLOWS ? sp_str_find(in, '\n') : in.len;
    ev->body = sp_str_upto(in, end);
    ev->kind = SP_EVENT_DATA;
    if (end == in.len)
        return (ssize_t)in.len;
    ev->kind = SP_EVENT_END;
    ev->end = true;
    state->bytes[0] = 0;
    return (ssize_t)end + 1;
}

static inline ssize_t toy_decode(struct sp_codec_state *state, sp_str in, struct sp_event *ev)
{
    unsigned char n = (unsigned char)in.ptr[0];
    if (state->bytes[0])
        return toy_flow(state, in, ev);
    ev->kind = SP_EVENT_HEAD;
    if (n == TOY_BROKEN) {
        ev->why = "the toy is broken";
        return SP_E_INVALID;
    }
    if (n >= TOY_FLOWS) {
        state->bytes[0] = n;
        return 1;
    }
    if (in.len < (size_t)n + 1)
        return 0;
    ev->body = sp_str_of(in.ptr + 1, n);
    ev->end = true;
    return n + 1;
}

static inline ssize_t toy_finish(struct sp_codec_state *state, struct sp_event *ev)
{
    if (state->bytes[0] == TOY_FLOWS)
        return SP_E_CLOSED;
    if (state->bytes[0]) {
        ev->kind = SP_EVENT_END;
        ev->end = true;
    }
    state->bytes[0] = 0;
    return 0;
}

static const struct sp_codec toy_codec = {
    .name = "toy", .init = toy_init, .decode = toy_decode, .finish = toy_finish
};

/* --- the near end --------------------------------------------------------------------------------------- */

static inline struct near *near_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct near, conn);
}

static inline void near_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    struct near *near = near_of(conn);
    bool whole = ev->kind == SP_EVENT_HEAD && ev->end;
    assert_int_equal(near->closed, 0);
    near->events++;
    if (ev->body.len && conn->codec) /* the bytes are where they are said to be */
        assert_true(ev->body.ptr >= slab->bytes && ev->body.ptr + ev->body.len <= slab->bytes + slab->used);
    if (ev->kind == SP_EVENT_HEAD)
        sp_buf_add_c(&near->said, whole ? "[" : "<");
    sp_buf_add_str(&near->said, ev->body);
    if (ev->end)
        sp_buf_add_c(&near->said, whole ? "]" : ">");
    if (near->on_event)
        near->on_event(near, ev, slab);
}

static inline void near_broken(struct sp_conn *conn, struct sp_event *ev)
{
    struct near *near = near_of(conn);
    (void)ev;
    sp_buf_add_c(&near->said, "!");
    if (near->on_broken)
        near->on_broken(near);
}

static inline void near_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    struct near *near = near_of(conn);
    if (err == SP_E_CLOSED)
        sp_buf_add_c(&near->said, mid_message ? "~" : ".");
    else
        sp_buf_printf(&near->said, "#%d", (int)err);
    if (near->on_end)
        near->on_end(near, err);
}

static inline void near_part(struct sp_conn *conn)
{
    struct near *near = near_of(conn);
    near->parts++;
    if (near->on_part)
        near->on_part(near);
}

static inline void near_drained(struct sp_conn *conn)
{
    struct near *near = near_of(conn);
    near->drained++;
    if (near->on_drained)
        near->on_drained(near);
}

static inline void near_connected(struct sp_conn *conn, sp_err err)
{
    struct near *near = near_of(conn);
    near->connected++;
    near->connect_err = err;
    if (near->on_connected)
        near->on_connected(near);
}

static inline void near_closed(struct sp_conn *conn)
{
    near_of(conn)->closed++;
}

static const struct sp_conn_ops near_ops = { near_connected, near_event,   near_broken, near_end,
                                             near_part,      near_drained, near_closed };

/* --- the far end ---------------------------------------------------------------------------------------- */

static inline struct far *far_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct far, sock);
}

static inline void far_flush(struct sp_sock *sock)
{
    struct far *far = far_of(sock);
    struct iovec iov = { far->late.ptr, far->late.len };
    ssize_t n = iov.iov_len && !far->reset ? sp_sock_send(sock, &iov, 1) : 0;
    if (n <= 0)
        return;
    memmove(far->late.ptr, far->late.ptr + n, far->late.len - (size_t)n);
    far->late.len -= (size_t)n;
}

static inline void far_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    (void)slab;
    sp_buf_add(&far_of(sock)->got, ptr, len);
}

static inline void far_end(struct sp_sock *sock, sp_err err)
{
    far_of(sock)->ended = true;
    far_of(sock)->reset = err != SP_E_CLOSED;
}

static inline void far_connected(struct sp_sock *sock, sp_err err)
{
    assert_int_equal(err, 0);
    far_of(sock)->open = true;
    sp_sock_read(sock, true);
}

static inline void far_closed(struct sp_sock *sock)
{
    far_of(sock)->gone = true;
    far_of(sock)->open = false;
}

static const struct sp_sock_ops far_ops = { far_connected, far_bytes, far_flush, far_end, far_closed };

static inline void far_say_bytes(struct far *far, const void *bytes, size_t len)
{
    bool idle = far->late.len == 0;
    sp_buf_add(&far->late, bytes, len);
    if (idle)
        far_flush(&far->sock);
}

static inline void far_say(struct far *far, const char *text)
{
    far_say_bytes(far, text, strlen(text));
}

/* A toy message. */
static inline void far_tell(struct far *far, const char *payload)
{
    char n = (char)strlen(payload);
    far_say_bytes(far, &n, 1);
    far_say(far, payload);
}

static inline void far_close(struct far *far, bool reset)
{
    if (far->open)
        sp_sock_close(&far->sock, reset);
    far->open = false;
}

/* --- the world ------------------------------------------------------------------------------------------ */

static inline void run(struct world *world)
{
    sp_sim_run(world->sim, sp_sim_now(world->sim) + 100 * SP_NS_PER_MS);
}

static inline void world_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct world *world = SP_CONTAINER(acceptor, struct world, acceptor);
    struct near *near = world->accepting;
    (void)peer;
    assert_non_null(near);
    world->accepting = NULL;
    assert_int_equal(sp_conn_open(&near->conn, &world->link, &near_ops, fd), 0);
    sp_conn_speak(&near->conn, near->codec, SP_ROLE_SERVER, NULL);
}

static inline sp_addr world_addr(void)
{
    sp_addr addr;
    assert_int_equal(sp_addr_parse(SP_STR("10.0.0.1:80"), &addr), 0);
    return addr;
}

static inline void world_start(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->blocks = sp_mem_live_blocks();
    world->sim = sp_sim_new(1);
    world->loop = sp_sim_host(world->sim, "10.0.0.1");
    world->far_loop = sp_sim_host(world->sim, "10.0.0.2");
    assert_int_equal(sp_link_init(&world->link, world->loop), 0);
    world->acceptor.on_accept = world_accept;
    struct sp_listen_config config = { .addr = world_addr() };
    assert_int_equal(sp_acceptor_listen(&world->acceptor, world->loop, &config), 0);
}

/* A far end that has called; `near` is the other end. */
static inline struct far *world_join(struct world *world, struct near *near, const struct sp_codec *codec)
{
    struct far *far = world->far[0].open ? &world->far[1] : &world->far[0];
    sp_addr to = world_addr();
    near->world = world;
    near->codec = codec;
    world->accepting = near;
    assert_int_equal(sp_sock_connect(&far->sock, world->far_loop, &far_ops, &to, NULL, 0), 0);
    run(world);
    assert_true(far->open);
    assert_null(world->accepting);
    return far;
}

static inline void near_stop(struct near *near)
{
    if (near->conn.link && !near->conn.closed)
        sp_conn_close(&near->conn, true);
}

/* Everything goes, and nothing is left. */
static inline void world_stop(struct world *world, struct near *near)
{
    near_stop(near);
    for (unsigned i = 0; i < 2; i++)
        far_close(&world->far[i], true);
    sp_acceptor_close(&world->acceptor);
    run(world);
    if (near->conn.link)
        assert_int_equal(near->closed, 1);
    sp_buf_deinit(&near->said);
    for (unsigned i = 0; i < 2; i++) {
        sp_buf_deinit(&world->far[i].got);
        sp_buf_deinit(&world->far[i].late);
    }
    sp_link_deinit(&world->link);
    sp_sim_free(world->sim);
    assert_int_equal(sp_mem_live_blocks(), world->blocks);
}

static inline void check_said(struct near *near, const char *want)
{
    check_str(sp_str_of(near->said.ptr, near->said.len), want);
    near->said.len = 0;
}

static inline void check_got(struct far *far, const char *want)
{
    check_str(sp_str_of(far->got.ptr, far->got.len), want);
    far->got.len = 0;
}

static inline void near_say(struct near *near, const char *text)
{
    sp_conn_queue(&near->conn, (struct sp_view){ NULL, text, strlen(text) });
}

static inline uint64_t slab_bytes(const struct world *world)
{
    return sp_loop_slabs(world->loop)->held_bytes - sp_loop_slabs(world->loop)->kept_bytes;
}

#endif
