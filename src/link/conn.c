/* conn: the one place where a socket meets a grammar.
 *
 * Input. A slab that the loop filled is lent to us for the length of on_bytes. The decode loop pulls events
 * out of it; most times nothing is left and nothing is kept: an idle connection owns no buffer. When a
 * message is cut we take a reference, ask the loop to let the rest land right behind it (sp_sock_read_into),
 * and at the end of the turn a small remainder in a big slab moves to a small one, so that ten thousand slow
 * clients pin kilobytes and not slabs (sp_conn_settle).
 *
 *   slab   |used up........|in_at ####in_len####|  room: the next bytes land here  |
 *
 * When the rest does not fit behind the beginning, both move together into the smallest slab that leaves room
 * to go on. So a byte is moved log(size) times at most, but for remainders of some hundred bytes: they settle
 * into the smallest slabs, which have no room to read into, and each read behind one moves it once more.
 *
 * Decoding can rest for two reasons, which must not be mixed up. `held` is the owner's: HTTP/1.1 answers
 * requests in order, so the next request waits until the answer before it is complete. `paused` is
 * back-pressure: the other side is slow, so we stop reading and let TCP tell the sender.
 *
 * The end of the peer's direction waits its turn behind the bytes that came before it: end_pending.
 *
 * Re-entrance. Owners answer inside on_event, and an answer may let the next message go (hold off). The loop
 * below then just goes on; from outside it, resuming waits for the turn's end, so depth never grows with
 * the number of pipelined requests. A close inside a callback only marks; storage lives until on_closed.
 *
 * Not known here: what a call is for, which side is the client, timeouts. */
#include "link/conn.h"

#include <string.h>

#include "link/conn_impl.h"

/* What a slab must have free for the next read to land in it: less and the loop reads elsewhere. And the
 * smallest slab there is. */
enum { READ_ROOM = 2048, SMALL_MOST = 512 };

void sp_conn_update_reading(struct sp_conn *conn)
{
    if (conn->closed || conn->connecting)
        return;
    sp_sock_read(&conn->sock, !conn->paused && !conn->starved && !conn->end_told && !conn->broken);
}

/* Keep [at, at+len) of `slab`, which we do not own yet. */
static void keep_input(struct sp_conn *conn, struct sp_slab *slab, char *at, size_t len)
{
    SP_ASSERT(len <= UINT32_MAX);
    if (conn->in != slab) {
        sp_slab_ref(slab);
        sp_slab_unref(conn->in);
        conn->in = slab;
    }
    conn->in_at = at;
    conn->in_len = (uint32_t)len;
}

static void drop_input(struct sp_conn *conn)
{
    sp_slab_unref(conn->in);
    conn->in = NULL;
    conn->in_at = NULL;
    conn->in_len = 0;
    sp_sock_read_into(&conn->sock, NULL);
}

/* For `bytes`, and the next read behind them where any slab is large enough for both. */
static struct sp_slab *take_roomy(struct sp_conn *conn, size_t bytes)
{
    struct sp_slab_pool *pool = sp_loop_slabs(conn->link->loop);
    struct sp_slab *slab = sp_slab_take_for(pool, bytes + READ_ROOM);
    return slab ? slab : sp_slab_take_for(pool, bytes);
}

/* Put `len` fresh bytes behind what waits, in one slab. False when memory is out. */
static bool join_input(struct sp_conn *conn, struct sp_slab *slab, char *ptr, size_t len)
{
    if (conn->in_len == 0) {
        keep_input(conn, slab, ptr, len);
        return true;
    }
    if (conn->in == slab && ptr == conn->in_at + conn->in_len) {
        conn->in_len += (uint32_t)len;
        return true;
    }
    struct sp_slab *joined = take_roomy(conn, conn->in_len + len);
    if (!joined)
        return false;
    memcpy(joined->bytes, conn->in_at, conn->in_len);
    memcpy(joined->bytes + conn->in_len, ptr, len);
    joined->used = (uint32_t)(conn->in_len + len);
    sp_cell_add(&conn->link->copied_bytes, joined->used);
    sp_slab_unref(conn->in);
    conn->in = joined;
    conn->in_at = joined->bytes;
    conn->in_len = joined->used;
    return true;
}

/* Tell the owner of the end, once, when all that came before it is decoded. */
static void tell_end(struct sp_conn *conn)
{
    if (!conn->end_pending || conn->end_told || conn->closed)
        return;
    if (conn->close_flushed) { /* no more events; what is queued still goes where it can */
        if (conn->end_err != SP_E_CLOSED)
            sp_conn_close(conn, false);
        return;
    }
    if (conn->held && conn->codec) /* raw and held: somebody gathers, and wants to know */
        return;
    if (conn->wants & SP_WANT_DECODE)
        return; /* what came before has still to be decoded: sp_conn_decode comes here again */
    if (conn->broken || conn->end_err != SP_E_CLOSED || !conn->codec) {
        conn->end_told = true;
        conn->ops->on_end(conn, conn->end_err, false);
        return;
    }
    struct sp_event ev = { .kind = SP_EVENT_NONE, .head = &conn->link->head };
    ssize_t r = conn->codec->finish(&conn->codec_state, &ev);
    bool mid_message = r < 0 || conn->in_len > 0;
    if (r >= 0 && ev.kind != SP_EVENT_NONE) {
        conn->ops->on_event(conn, &ev, conn->in);
        if (conn->closed || conn->held)
            return;
    }
    conn->end_told = true;
    conn->ops->on_end(conn, conn->end_err, mid_message);
}

static void decode_raw(struct sp_conn *conn)
{
    struct sp_event ev = { .kind = SP_EVENT_DATA, .body = { conn->in_at, conn->in_len } };
    struct sp_slab *slab = conn->in;
    sp_slab_ref(slab);
    drop_input(conn);
    conn->ops->on_event(conn, &ev, slab);
    sp_slab_unref(slab);
}

/* One pull. False: stop for now. */
static bool decode_one(struct sp_conn *conn)
{
    struct sp_link *link = conn->link;
    struct sp_event ev;
    memset(&ev, 0, sizeof(ev));
    ev.head = &link->head;
    /* What breaks off must not be taken for the last head that was read here, perhaps another conn's. */
    link->head = (struct sp_head){ .headers = link->headers, .header_cap = SP_HEADERS_MAX };
    ssize_t used = conn->codec->decode(&conn->codec_state, sp_str_of(conn->in_at, conn->in_len), &ev);
    if (used == 0)
        return false;
    if (used < 0) {
        conn->broken = true;
        conn->ops->on_broken(conn, &ev);
        return true; /* the loop ends, unless another grammar is spoken now */
    }
    SP_ASSERT((size_t)used <= conn->in_len);
    conn->in_at += used;
    conn->in_len -= (uint32_t)used;
    if (ev.kind != SP_EVENT_NONE)
        conn->ops->on_event(conn, &ev, conn->in);
    return true;
}

void sp_conn_decode(struct sp_conn *conn)
{
    if (conn->decoding)
        return;
    conn->decoding = true;
    while (!conn->closed && !conn->broken && !conn->held && conn->in_len > 0) {
        if (!conn->codec)
            decode_raw(conn);
        else if (!decode_one(conn))
            break;
    }
    conn->decoding = false;
    if (conn->closed)
        return;
    if (conn->in_len == 0 || conn->broken)
        drop_input(conn);
    else
        sp_sock_read_into(&conn->sock, conn->in);
    if (conn->in_len > 0)
        sp_link_want(conn, SP_WANT_SETTLE);
    bool starved = conn->held && conn->in_len >= SP_CONN_IN_MAX; /* else the codec's limits bound it */
    if (starved != conn->starved) {
        conn->starved = starved;
        sp_conn_update_reading(conn);
    }
    tell_end(conn);
}

void sp_conn_settle(struct sp_conn *conn)
{
    struct sp_slab *slab = conn->in;
    if (!slab || conn->in_len == 0 || conn->in_len * 4 >= slab->cap)
        return;
    size_t bytes = conn->in_len + conn->in_len / 2 + 64;
    struct sp_slab *small = bytes <= SMALL_MOST ? sp_slab_take_for(sp_loop_slabs(conn->link->loop), bytes)
                                                : take_roomy(conn, conn->in_len);
    if (!small)
        return; /* keeping the big one is the lesser evil */
    if (small->cap >= slab->cap) {
        sp_slab_unref(small);
        return;
    }
    memcpy(small->bytes, conn->in_at, conn->in_len);
    small->used = conn->in_len;
    sp_cell_add(&conn->link->copied_bytes, conn->in_len);
    sp_slab_unref(slab);
    conn->in = small;
    conn->in_at = small->bytes;
    sp_sock_read_into(&conn->sock, small);
}

/* ---- the socket's callbacks ---- */

static struct sp_conn *conn_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct sp_conn, sock);
}

static void on_sock_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    struct sp_conn *conn = conn_of(sock);
    conn->last_ns = sp_loop_now(conn->link->loop);
    sp_cell_add(&conn->link->bytes_in, len);
    if (!join_input(conn, slab, ptr, len)) {
        sp_conn_fail_later(conn, SP_E_NOMEM);
        return;
    }
    sp_conn_decode(conn);
}

static void on_sock_connected(struct sp_sock *sock, sp_err err)
{
    struct sp_conn *conn = conn_of(sock);
    conn->connecting = false;
    conn->last_ns = sp_loop_now(conn->link->loop);
    if (!err) {
        sp_conn_update_reading(conn);
        if (conn->out_bytes || conn->fin_queued)
            sp_flush_want(conn);
    }
    conn->ops->on_connected(conn, err);
}

static void on_sock_room(struct sp_sock *sock)
{
    struct sp_conn *conn = conn_of(sock);
    conn->wait_room = false;
    sp_flush_want(conn);
}

static void on_sock_end(struct sp_sock *sock, sp_err err)
{
    struct sp_conn *conn = conn_of(sock);
    conn->end_pending = true;
    conn->end_err = (int8_t)err;
    if (err != SP_E_CLOSED) {
        conn->held = false; /* both directions are gone: there is nothing to wait for */
        sp_flush_drop(conn);
    }
    if (!conn->decoding)
        tell_end(conn);
}

static void on_sock_closed(struct sp_sock *sock)
{
    struct sp_conn *conn = conn_of(sock);
    conn->ops->on_closed(conn);
}

const struct sp_sock_ops sp_conn_sock_ops = {
    .on_connected = on_sock_connected,
    .on_bytes = on_sock_bytes,
    .on_room = on_sock_room,
    .on_end = on_sock_end,
    .on_closed = on_sock_closed,
};

/* ---- the face ---- */

void sp_conn_reset(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops)
{
    memset(conn, 0, sizeof(*conn));
    conn->link = link;
    conn->ops = ops;
    conn->out_mark = SP_CONN_MARK_DEFAULT;
    conn->last_ns = conn->out_ns = sp_loop_now(link->loop);
}

sp_err sp_conn_open(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops, int fd)
{
    sp_conn_reset(conn, link, ops);
    sp_err err = sp_sock_open_fd(&conn->sock, link->loop, &sp_conn_sock_ops, fd);
    if (err)
        return err;
    sp_conn_update_reading(conn);
    return 0;
}

sp_err sp_conn_connect(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops,
                       const sp_addr *to, const sp_addr *from, uint32_t sock_flags)
{
    sp_conn_reset(conn, link, ops);
    conn->connecting = true;
    return sp_sock_connect(&conn->sock, link->loop, &sp_conn_sock_ops, to, from, sock_flags);
}

void sp_conn_speak(struct sp_conn *conn, const struct sp_codec *codec, enum sp_role role,
                   const struct sp_codec_limits *limits)
{
    bool was_broken = conn->broken;
    conn->codec = codec;
    conn->broken = conn->failed; /* a grammar that was broken is not spoken any more */
    if (was_broken)
        sp_conn_update_reading(conn);
    if (codec)
        codec->init(&conn->codec_state, role, limits);
    if (conn->in_len > 0)
        sp_conn_resume_later(conn);
}

void sp_conn_deafen(struct sp_conn *conn)
{
    conn->broken = true;
    sp_conn_update_reading(conn);
}

void sp_conn_feed(struct sp_conn *conn, struct sp_view first)
{
    SP_ASSERT(!conn->in && first.slab);
    conn->in = first.slab;
    conn->in_at = (char *)(uintptr_t)first.ptr;
    conn->in_len = (uint32_t)first.len;
    sp_conn_resume_later(conn);
}

void sp_conn_fail_later(struct sp_conn *conn, sp_err err)
{
    if (conn->closed || conn->failed)
        return;
    sp_flush_drop(conn); /* what stands behind a gap means something else */
    conn->end_pending = true;
    conn->end_told = false; /* an end in order may have been told before */
    conn->end_err = (int8_t)err;
    conn->held = false;
    conn->failed = conn->broken = true;
    sp_conn_resume_later(conn);
}

void sp_conn_resume_later(struct sp_conn *conn)
{
    if (!conn->decoding && !conn->closed)
        sp_link_want(conn, SP_WANT_DECODE);
}

void sp_conn_hold(struct sp_conn *conn, bool on)
{
    if (conn->held == on || conn->close_flushed)
        return;
    conn->held = on;
    if (!on && (conn->in_len > 0 || conn->end_pending))
        sp_conn_resume_later(conn);
}

void sp_conn_pause(struct sp_conn *conn, bool on)
{
    if (conn->paused == on)
        return;
    conn->paused = on;
    sp_conn_update_reading(conn);
}

void sp_conn_finish(struct sp_conn *conn)
{
    if (conn->fin_queued || conn->closed)
        return;
    conn->fin_queued = true;
    sp_flush_want(conn);
}

void sp_conn_close(struct sp_conn *conn, bool reset)
{
    if (conn->closed)
        return;
    conn->closed = true;
    sp_link_unwant(conn, conn->wants);
    sp_flush_drop(conn);
    drop_input(conn);
    sp_sock_close(&conn->sock, reset);
}

void sp_conn_close_flushed(struct sp_conn *conn)
{
    if (conn->closed || conn->close_flushed)
        return;
    conn->close_flushed = true;
    conn->held = true;
    if (conn->out_bytes == 0 && !conn->wait_room) {
        sp_conn_close(conn, false);
        return;
    }
    sp_flush_want(conn);
}

void sp_conn_skip(struct sp_conn *conn, size_t bytes)
{
    SP_ASSERT(bytes <= conn->in_len);
    conn->in_at += bytes;
    conn->in_len -= (uint32_t)bytes;
}

struct sp_view sp_conn_release_input(struct sp_conn *conn)
{
    struct sp_view view = { conn->in, conn->in_at, conn->in_len };
    if (view.len == 0) {
        sp_slab_unref(view.slab);
        view = (struct sp_view){ NULL, NULL, 0 };
    }
    conn->in = NULL;
    conn->in_at = NULL;
    conn->in_len = 0;
    conn->codec = NULL;
    sp_sock_read_into(&conn->sock, NULL);
    sp_link_unwant(conn, SP_WANT_SETTLE);
    return view;
}

void sp_conn_forget(struct sp_conn *conn)
{
    SP_ASSERT(!conn->in && !conn->out_bytes);
    conn->closed = true;
    sp_link_unwant(conn, conn->wants);
}
