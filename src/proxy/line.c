/* line: a connection's life above link/: who calls on it, when it is idle, when it must go.
 *
 * Downstream                                   Upstream
 *    accept ──> OPEN ──> CLOSING ──> gone         CONNECTING ──> OPEN (idle | busy) ──> CLOSING ──> gone
 *
 * One timer for each line, set to the earliest of what can be due (sp_line_arm): a connect that takes too
 * long, a head that does not end, a reader that takes nothing, a heartbeat, idleness, age. Nothing touches
 * the timer while calls flow: it fires, looks at the times that were noted, and is set anew.
 *
 * A multiplexed line carries whole frames. `sending` is the call whose frame is partly queued; a whole frame
 * of another call waits on `behind` until it has ended. An upstream line that dies in mid-frame would take
 * other callers along, so requests are forwarded when they are whole; one too big to be held gets a line of
 * its own (exclusive).
 *
 * Backward calls. A Bolt server may call its client on the connection that the client opened. Upstream lines
 * are shared by all callers of a worker, so the client is known only while one downstream line alone has
 * called through it (`bound`). When a request comes back on a shared line it is refused (BACKWARD), and the
 * endpoint is remembered as one that talks back: from then on each downstream line gets upstream lines of
 * its own to it, and the next backward call finds its way.
 *
 * Back-pressure. Who pours into a full line rests (paused) on its `waiters` until it has drained. A caller
 * who asks on and does not read its answers rests on its own list. A reader that takes nothing for STALL_NS
 * is cut.
 *
 * A shared upstream line that rests for one caller keeps the answers of all others back, so that is short:
 * new calls take another line meanwhile, the caller has BLOCK_NS to drain or is cut, and one that let others
 * wait for longer than SLOW_NS gets lines of its own from then on. Without this one deaf caller stopped all
 * others of an endpoint for STALL_NS at a time.
 *
 * What cannot be read. In HTTP a call is answered before the next is read. A multiplexed line may have calls
 * under way when a frame comes that is none: they came whole and are answered; nothing more is read, and the
 * line ends behind the last of them.
 *
 * Parting. A caller's line that takes no further call (drain, age) is not closed in a caller's face: the next
 * request may be on its way already, and would be lost. A call that still comes is served, in HTTP with the
 * word that it was the last, and the line ends behind it. Only a line that has been quiet for PARTING_NS ends
 * without one. To close idle lines at once lost a third of the calls of a busy client pool. */
#include "proxy/line.h"

#include <string.h>

#include "base/mem.h"
#include "base/sm.h"
#include "proxy/line_impl.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum { KEEP_LINES = 256, HEARTBEATS_LOST_MAX = 3, HEARTBEAT_ROOM = 64 };

#define LINGER_NS (2 * SP_NS_PER_S)
#define STALL_NS (30 * SP_NS_PER_S)
#define BLOCK_NS (3 * SP_NS_PER_S)   /* longer than a pause of a garbage collector that still does its work */
#define SLOW_NS (100 * SP_NS_PER_MS) /* longer than a burst takes to drain */
#define PARTING_NS (1 * SP_NS_PER_S) /* longer than any way from a caller to us that still carries calls */
#define HEARTBEAT_NS_DEFAULT (15 * SP_NS_PER_S) /* bolt.tcp.heartbeat.interval */
#define HEARTBEAT_WAIT_NS (1 * SP_NS_PER_S)     /* sofa-bolt waits 1 s for the answer */
#define NEVER UINT64_MAX

static const struct sp_sm_state states[] = {
    [SP_LINE_CONNECTING] = { "connecting", SP_SM_TO(SP_LINE_OPEN) | SP_SM_TO(SP_LINE_CLOSING) },
    [SP_LINE_OPEN] = { "open", SP_SM_TO(SP_LINE_CLOSING) },
    [SP_LINE_CLOSING] = { "closing", 0 },
};

static void on_timer(struct sp_timer *timer);
static sp_ns parting_due(const struct sp_line *line);

/* Nobody is known by this line any more. */
static void unbind(struct sp_line *line)
{
    struct sp_line_mux *mux = line->mux;
    struct sp_list *at;
    mux->bound = NULL;
    sp_list_remove(&mux->bind_link);
    while ((at = sp_list_pop_first(&mux->binds)))
        SP_CONTAINER(at, struct sp_line_mux, bind_link)->bound = NULL;
}

static bool is_multiplexed(const struct sp_line *line)
{
    return line->conn.codec && line->conn.codec->multiplexed;
}

static bool is_quiet(const struct sp_line *line)
{
    return sp_list_is_empty(&line->calls_in) && sp_list_is_empty(&line->calls_out);
}

static struct sp_line *line_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct sp_line, conn);
}

/* ---- storage ---- */

/* What a multiplexed line has besides; other lines share the worker's empty one. */
static bool take_mux(struct sp_line *line, const struct sp_codec *codec)
{
    line->mux = &line->worker->no_mux;
    if (!codec || !codec->multiplexed)
        return true;
    struct sp_line_mux *mux = sp_mem_zalloc(sizeof(*mux));
    if (!mux)
        return false;
    sp_list_init(&mux->behind);
    sp_list_init(&mux->binds);
    sp_idmap_init(&mux->ids);
    line->mux = mux;
    return true;
}

static void give_mux(struct sp_line *line)
{
    if (line->mux == &line->worker->no_mux)
        return;
    sp_idmap_deinit(&line->mux->ids);
    sp_slab_unref(line->mux->refusals);
    sp_mem_free(line->mux);
    line->mux = &line->worker->no_mux;
}

void sp_line_give(struct sp_line *line)
{
    struct sp_worker *worker = line->worker;
    give_mux(line);
    sp_mem_free(line->origin.dst);
    sp_mem_free(line->origin.direct);
    if (worker->free_line_count >= KEEP_LINES) {
        sp_mem_free(line);
        return;
    }
    line->link.next = (struct sp_list *)(void *)worker->free_lines;
    worker->free_lines = line;
    worker->free_line_count++;
}

struct sp_line *sp_line_take(struct sp_worker *worker, const struct sp_codec *codec)
{
    struct sp_line *line = worker->free_lines;
    if (line) {
        worker->free_lines = (struct sp_line *)(void *)line->link.next;
        worker->free_line_count--;
        memset(line, 0, sizeof(*line));
    } else {
        line = sp_mem_zalloc(sizeof(*line));
        if (!line)
            return NULL;
    }
    line->worker = worker;
    if (!take_mux(line, codec)) {
        sp_line_give(line);
        return NULL;
    }
    sp_list_init(&line->calls_in);
    sp_list_init(&line->calls_out);
    sp_list_init(&line->waiters);
    line->timer.on_fire = on_timer;
    /* No two at the same instant: whoever was noted is told from one that lies where he lay. */
    worker->line_opened_ns = SP_MAX(sp_loop_now(worker->loop), worker->line_opened_ns + 1);
    line->opened_ns = worker->line_opened_ns;
    return line;
}

/* ---- events of the connection ---- */

static void on_heartbeat(struct sp_line *line, const struct sp_head *head)
{
    if (line->chain)
        sp_cell_add(&line->chain->cells.heartbeats, 1);
    bool silent = line->mux->sending || sp_conn_is_full(&line->conn);
    char *room = silent ? NULL : sp_conn_reserve(&line->conn, HEARTBEAT_ROOM);
    if (!room)
        return; /* never inside another frame: bytes that are queued are sign of life enough */
    ssize_t n = line->conn.codec->encode_heartbeat(head, head->id, true, room, HEARTBEAT_ROOM);
    if (n > 0)
        sp_conn_commit(&line->conn, (size_t)n);
}

static void on_heartbeat_ack(struct sp_line *line, const struct sp_head *head)
{
    if (head->id != line->mux->heartbeat_id)
        return;
    line->mux->heartbeat_id = 0;
    line->mux->heartbeats_lost = 0;
}

static void on_answer_head(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_stream *stream;
    if (is_multiplexed(line)) {
        stream = sp_idmap_get(&line->mux->ids, ev->head->id);
        if (stream && stream->answer_started)
            stream = NULL; /* answered twice: the first counts */
    } else {
        stream = SP_LIST_FIRST(&line->calls_out, struct sp_stream, out_link);
        if (!stream) { /* an answer to nothing: what follows cannot be trusted */
            sp_line_close(line, SP_WHY_UPSTREAM_PROTOCOL, true);
            return;
        }
    }
    bool more = !ev->end && ev->head->kind == SP_MSG_RESPONSE;
    line->receiving = more ? stream : NULL;
    line->receiving_answer = true;
    if (stream) /* else it is late: its caller has gone or has had an answer */
        sp_stream_answer(stream, ev, slab);
}

static void on_head(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab)
{
    line->part_ns = 0;
    switch ((enum sp_msg)ev->head->kind) {
    case SP_MSG_REQUEST:
    case SP_MSG_ONEWAY:
        line->receiving = NULL;
        line->receiving_answer = false;
        sp_stream_request(line, ev, slab);
        return;
    case SP_MSG_RESPONSE:
    case SP_MSG_INTERIM: on_answer_head(line, ev, slab); return;
    case SP_MSG_HEARTBEAT: on_heartbeat(line, ev->head); return;
    case SP_MSG_HEARTBEAT_ACK: on_heartbeat_ack(line, ev->head); return;
    case SP_MSG_GOAWAY: sp_line_drain(line, SP_WHY_DRAINING); return;
    }
}

static void on_data(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab);

static bool is_heartbeat_ack(const struct sp_event *ev)
{
    return ev->kind == SP_EVENT_HEAD && ev->head->kind == SP_MSG_HEARTBEAT_ACK;
}

static void on_conn_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_line *line = line_of(conn);
    if (line->state == SP_LINE_CLOSING)
        return;                                             /* lingering: read and dropped */
    if (line->mux->heartbeat_id && !is_heartbeat_ack(ev)) { /* busy, and so alive */
        line->mux->heartbeat_id = 0;
        line->mux->heartbeats_lost = 0;
    }
    if (ev->kind == SP_EVENT_HEAD)
        on_head(line, ev, slab);
    else
        on_data(line, ev, slab);
    /* A caller who asks on and does not read: what it asks waits, or our answers would pile up. */
    if (line->chain && line->state == SP_LINE_OPEN && is_multiplexed(line) && !line->receiving)
        sp_line_check_full(line, line);
}

static void on_data(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_stream *stream = line->receiving;
    if (ev->end)
        line->receiving = NULL;
    if (!stream)
        return; /* the rest of something that nobody wants any more */
    if (line->receiving_answer)
        sp_stream_answer_more(stream, ev, slab);
    else
        sp_stream_request_more(stream, ev, slab);
}

static void on_conn_broken(struct sp_conn *conn, struct sp_event *ev)
{
    struct sp_line *line = line_of(conn);
    if (line->state == SP_LINE_CLOSING)
        return;
    if (line->chain) {
        sp_cell_add(&line->chain->cells.cx_protocol_error, 1);
        sp_stream_broken(line, ev);
        return;
    }
    sp_cell_add(&line->endpoint->cluster->cells.cx_protocol_error, 1);
    struct sp_stream *at;
    SP_LIST_EACH(&line->calls_out, at, next, struct sp_stream, out_link)
        at->failure = ev->why;
    sp_line_close(line, SP_WHY_UPSTREAM_PROTOCOL, true);
}

static void on_conn_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    struct sp_line *line = line_of(conn);
    if (line->state == SP_LINE_CLOSING) {
        if (err == SP_E_CLOSED)
            sp_conn_close_flushed(&line->conn); /* our last words may still be queued */
        else
            sp_line_close(line, line->why, true);
        return;
    }
    if (line->tunnel && err == SP_E_CLOSED && (line->chain || line->endpoint)) {
        struct sp_stream *stream = line->chain ? SP_LIST_FIRST(&line->calls_in, struct sp_stream, in_link)
                                               : SP_LIST_FIRST(&line->calls_out, struct sp_stream, out_link);
        if (stream) {
            sp_stream_tunnel_end(stream, line);
            return;
        }
    }
    if (line->chain) {
        /* A client may end its direction and still wait for its answers (RFC 9112 9.6). */
        bool waits = err == SP_E_CLOSED && !mid_message && !line->receiving &&
                     !sp_list_is_empty(&line->calls_in);
        if (waits) {
            line->last = true;
            return;
        }
        sp_cell_add(&line->chain->cells.cx_destroy_remote, 1);
        if (err == SP_E_CLOSED && !mid_message && sp_list_is_empty(&line->calls_in)) {
            sp_line_linger(line, SP_WHY_NONE); /* its last answer may still be queued */
            return;
        }
        sp_line_close(line, err == SP_E_NOMEM ? SP_WHY_MEMORY : SP_WHY_CLIENT_GONE, err != SP_E_CLOSED);
        return;
    }
    sp_line_close(line, err == SP_E_CLOSED ? SP_WHY_UPSTREAM_CLOSED : SP_WHY_UPSTREAM_RESET,
                  err != SP_E_CLOSED);
}

void sp_line_wake(struct sp_line *line)
{
    if (!sp_list_is_on(&line->wait_link))
        return;
    sp_list_remove(&line->wait_link);
    sp_conn_pause(&line->conn, false);
    if (is_multiplexed(line) || (line->chain && sp_list_is_empty(&line->calls_in)))
        sp_conn_hold(&line->conn, false);
    if (line->endpoint && is_multiplexed(line) && line->state == SP_LINE_OPEN) {
        line->mux->heartbeat_ns = sp_loop_now(line->worker->loop); /* the time for an answer begins anew */
        sp_line_arm(line);
    }
}

static void wake_waiters(struct sp_line *line)
{
    line->full_ns = 0;
    if (line->mux->blocks_ns) {
        line->mux->slow |= sp_loop_now(line->worker->loop) > line->mux->blocks_ns + SLOW_NS;
        line->mux->blocks_ns = 0;
    }
    while (!sp_list_is_empty(&line->waiters))
        sp_line_wake(SP_CONTAINER(line->waiters.next, struct sp_line, wait_link));
}

static void on_conn_drained(struct sp_conn *conn)
{
    wake_waiters(line_of(conn));
}

static void on_conn_connected(struct sp_conn *conn, sp_err err)
{
    struct sp_line *line = line_of(conn);
    if (err) {
        sp_pool_line_failed(line, SP_WHY_CONNECT, err);
        sp_line_close(line, SP_WHY_CONNECT, true);
        return;
    }
    sp_sm_move(states, &line->state, SP_LINE_OPEN, "line");
    if (line->endpoint->addr.family != SP_ADDR_UNIX)
        SP_IGNORE(sp_sock_local(&conn->sock, &line->origin.local)); /* for records: they can do without */
    sp_line_arm(line);
    sp_pool_line_open(line);
}

static void on_conn_closed(struct sp_conn *conn)
{
    struct sp_line *line = line_of(conn);
    struct sp_worker *worker = line->worker;
    sp_timer_stop(worker->loop, &line->timer);
    sp_list_remove(&line->link);
    sp_list_remove(&line->wait_link);
    unbind(line);
    if (line->chain) {
        struct sp_listener *listener = line->chain->listener;
        sp_cell_sub(&line->chain->cells.cx_active, 1);
        sp_chain_unuse(line->chain);
        sp_cell_sub(&worker->cells.connections_active, 1);
        sp_lease_give(&worker->connection_lease);
        sp_listener_unuse(listener);
    } else {
        struct sp_endpoint *endpoint = line->endpoint;
        sp_pool_line_closed(endpoint);
        sp_endpoint_unuse(endpoint);
    }
    sp_line_give(line);
}

static void on_conn_part(struct sp_conn *conn)
{
    struct sp_line *line = line_of(conn);
    if (!line->chain || line->part_ns || line->receiving || line->tunnel)
        return;
    if (line->conn.held && is_multiplexed(line))
        return; /* it is we who rest; what waits may well be whole */
    if (!is_multiplexed(line) && !sp_list_is_empty(&line->calls_in))
        return; /* the next request waits for its turn: not its sender's fault */
    line->part_ns = sp_loop_now(line->worker->loop);
    sp_line_arm(line);
}

const struct sp_conn_ops sp_line_conn_ops = {
    .on_connected = on_conn_connected,
    .on_event = on_conn_event,
    .on_broken = on_conn_broken,
    .on_end = on_conn_end,
    .on_drained = on_conn_drained,
    .on_part = on_conn_part,
    .on_closed = on_conn_closed,
};

/* ---- begin ---- */

/* What most lines do not have. */
static sp_err keep_addr(const sp_addr *addr, sp_addr **ret_kept)
{
    if (!addr->family)
        return 0;
    *ret_kept = sp_mem_alloc(sizeof(**ret_kept));
    if (!*ret_kept)
        return SP_E_NOMEM;
    **ret_kept = *addr;
    return 0;
}

sp_err sp_line_set_origin(struct sp_line *line, const struct sp_origin *origin)
{
    line->origin.peer = origin->peer;
    line->origin.local = origin->local;
    sp_err err = keep_addr(&origin->dst, &line->origin.dst);
    return err ? err : keep_addr(&origin->direct, &line->origin.direct);
}

void sp_line_accept(struct sp_chain *chain, int fd, const struct sp_origin *origin,
                    const struct sp_codec *codec, struct sp_view first)
{
    struct sp_worker *worker = chain->listener->worker;
    struct sp_line *line = sp_line_take(worker, codec);
    if (!line)
        goto fail_memory;
    line->chain = chain;
    line->state = SP_LINE_OPEN;
    if (sp_line_set_origin(line, origin) || sp_conn_open(&line->conn, &worker->link, &sp_line_conn_ops, fd))
        goto fail_open;
    line->conn.out_mark = chain->listener->spec->buffer_bytes ? chain->listener->spec->buffer_bytes / 4
                                                              : SP_CONN_MARK_DEFAULT;
    chain->users++;
    sp_list_push(&worker->lines, &line->link);
    sp_cell_add(&chain->cells.cx_total, 1);
    sp_cell_add(&chain->cells.cx_active, 1);
    sp_conn_speak(&line->conn, codec, SP_ROLE_SERVER, &chain->limits);
    if (first.len)
        sp_conn_feed(&line->conn, first);
    if (line->state == SP_LINE_OPEN)
        sp_line_arm(line);
    return;

fail_open:
    sp_line_give(line);
fail_memory:
    sp_slab_unref(first.slab);
    sp_cell_add(&worker->cells.memory_refused, 1);
    sp_listener_refuse(chain->listener, fd, SP_WHY_MEMORY);
}

sp_err sp_line_connect(struct sp_endpoint *endpoint, const struct sp_codec *codec, struct sp_line **ret_line)
{
    struct sp_cluster *cluster = endpoint->cluster;
    struct sp_worker *worker = cluster->worker;
    struct sp_line *line = sp_line_take(worker, codec);
    if (!line)
        return SP_E_NOMEM;
    line->endpoint = endpoint;
    line->state = SP_LINE_CONNECTING;
    const sp_addr *bind = cluster->spec->bind.family ? &cluster->spec->bind : NULL;
    sp_err err = sp_conn_connect(&line->conn, &worker->link, &sp_line_conn_ops, &endpoint->addr, bind, 0);
    if (err) {
        line->endpoint = NULL;
        sp_line_give(line);
        return err;
    }
    if (cluster->spec->buffer_bytes)
        line->conn.out_mark = cluster->spec->buffer_bytes / 4;
    sp_conn_speak(&line->conn, codec, SP_ROLE_CLIENT, &cluster->limits);
    endpoint->users++;
    sp_cell_add(&endpoint->cx_total, 1);
    sp_cell_add(&endpoint->cx_active, 1);
    sp_cell_add(&cluster->cells.cx_total, 1);
    sp_cell_add(&cluster->cells.cx_active, 1);
    sp_line_arm(line);
    *ret_line = line;
    return 0;
}

/* ---- calls ---- */

void sp_line_wait(struct sp_line *from, struct sp_line *to)
{
    if (sp_list_is_on(&from->wait_link))
        return;
    sp_list_push(&to->waiters, &from->wait_link);
    sp_conn_pause(&from->conn, true);
    if (is_multiplexed(from))
        sp_conn_hold(&from->conn, true); /* what was read already would pour on */
    bool blocks = to->chain && from->endpoint && from->mux->shared && !to->mux->blocks_ns;
    if (blocks)
        to->mux->blocks_ns = sp_loop_now(to->worker->loop);
    if (!to->full_ns)
        to->full_ns = sp_loop_now(to->worker->loop);
    else if (!blocks)
        return;
    sp_line_arm(to);
}

void sp_line_go_on(struct sp_line *line)
{
    if (!sp_list_is_on(&line->wait_link))
        sp_conn_pause(&line->conn, false);
}

void sp_line_check_full(struct sp_line *from, struct sp_line *to)
{
    if (sp_conn_is_full(&to->conn))
        sp_line_wait(from, to);
}

void sp_line_frame_done(struct sp_line *line)
{
    struct sp_slab *refusals = line->mux->refusals;
    line->mux->sending = NULL;
    line->mux->refusals = NULL;
    if (refusals)
        sp_conn_queue(&line->conn, (struct sp_view){ refusals, refusals->bytes, refusals->used });
    while (!line->mux->sending && !sp_list_is_empty(&line->mux->behind)) {
        struct sp_list *at = sp_list_pop_first(&line->mux->behind);
        sp_stream_go_on(SP_CONTAINER(at, struct sp_stream, behind_link), line);
    }
    if (!line->mux->sending && !sp_conn_is_full(&line->conn))
        wake_waiters(line);
}

uint32_t sp_line_take_id(struct sp_line *line, struct sp_stream *stream)
{
    do {
        line->mux->next_id = line->mux->next_id + 1 ? line->mux->next_id + 1 : 1;
    } while (sp_idmap_get(&line->mux->ids, line->mux->next_id));
    if (stream && sp_idmap_put(&line->mux->ids, line->mux->next_id, stream))
        return 0;
    return line->mux->next_id;
}

/* Nothing but a next call can follow. Bytes behind an answer are nothing that we asked for. */
static bool is_reusable(const struct sp_line *line)
{
    return is_multiplexed(line) ||
           (!line->tunnel && line->conn.in_len == 0 && line->conn.codec->is_idle(&line->conn.codec_state));
}

/* `whole`: the call's messages have passed wholly. Then the line ends by FIN, for a server may take a reset
 * for a fault of its own. */
static void release_upstream(struct sp_line *line, bool whole)
{
    uint32_t most = line->endpoint->cluster->spec->max_requests_per_connection;
    if (most && line->calls >= most && !line->last) {
        line->last = true;
        sp_cell_add(&line->endpoint->cluster->cells.cx_max_requests, 1);
    }
    if (!is_multiplexed(line))
        sp_line_wake(line);                      /* it rested for this caller; the next one may read faster */
    else if (sp_list_is_empty(&line->calls_out)) /* a call that came backwards leaves it as it is */
        line->mux->exclusive = false;
    bool quiet = sp_list_is_empty(&line->calls_out) && sp_list_is_empty(&line->calls_in);
    if (quiet && is_multiplexed(line))
        line->mux->quiet_ns = sp_loop_now(line->worker->loop);
    if (!whole || !is_reusable(line) || (line->last && quiet)) {
        if (whole)
            sp_line_end(line, SP_WHY_NONE);
        else
            sp_line_close(line, SP_WHY_NONE, true);
        return;
    }
    if (!line->last)
        sp_pool_line_free(line);
}

void sp_line_release(struct sp_line *line, bool reusable)
{
    if (line->state == SP_LINE_CLOSING)
        return;
    if (line->endpoint) {
        release_upstream(line, reusable);
        return;
    }
    if (is_multiplexed(line)) {
        if (!line->last || !sp_list_is_empty(&line->calls_in))
            return;
        if (line->conn.end_told || line->conn.broken) /* it asks no more, and has its answers */
            sp_line_linger(line, SP_WHY_NONE);
        else
            sp_line_arm(line);
        return;
    }
    if (!reusable || line->last) {
        sp_line_linger(line, SP_WHY_NONE);
        return;
    }
    sp_line_wake(line); /* it may have rested for the callee's sake, which is another's now */
    bool full = sp_conn_is_full(&line->conn);
    sp_conn_hold(&line->conn, full);
    if (full)
        sp_line_wait(line, line);
}

/* ---- the end ---- */

static void tell_calls(struct sp_line *line, enum sp_why why)
{
    struct sp_list *at;
    while (!sp_list_is_empty(&line->calls_in)) {
        at = line->calls_in.next;
        sp_stream_caller_gone(SP_CONTAINER(at, struct sp_stream, in_link), why);
        SP_ASSERT(line->calls_in.next != at);
    }
    while (!sp_list_is_empty(&line->calls_out)) {
        at = line->calls_out.next;
        sp_stream_callee_gone(SP_CONTAINER(at, struct sp_stream, out_link), why);
        SP_ASSERT(line->calls_out.next != at);
    }
}

static void leave_pool(struct sp_line *line)
{
    struct sp_cluster_cells *cells = &line->endpoint->cluster->cells;
    bool busy = !sp_list_is_empty(&line->calls_out);
    sp_pool_line_gone(line);
    sp_cell_add(busy ? &cells->cx_destroy_with_active : &cells->cx_destroy, 1);
}

void sp_line_close(struct sp_line *line, enum sp_why why, bool reset)
{
    if (line->conn.closed)
        return;
    if (line->endpoint && line->state != SP_LINE_CLOSING)
        leave_pool(line);
    if (line->state != SP_LINE_CLOSING) {
        sp_sm_move(states, &line->state, SP_LINE_CLOSING, "line");
        line->why = (uint16_t)why;
    }
    sp_timer_stop(line->worker->loop, &line->timer);
    tell_calls(line, why);
    line->receiving = line->mux->sending = NULL;
    wake_waiters(line);
    sp_list_remove(&line->wait_link);
    unbind(line);
    sp_list_remove(&line->link);
    sp_conn_close(&line->conn, reset);
}

void sp_line_linger(struct sp_line *line, enum sp_why why)
{
    if (line->state == SP_LINE_CLOSING)
        return;
    if (line->endpoint) {
        leave_pool(line);
        sp_list_push(&line->endpoint->lingering, &line->pool_link);
    }
    sp_sm_move(states, &line->state, SP_LINE_CLOSING, "line");
    line->why = (uint16_t)why;
    tell_calls(line, why);
    line->receiving = line->mux->sending = NULL;
    wake_waiters(line);
    sp_timer_set(line->worker->loop, &line->timer, LINGER_NS);
    if (line->conn.end_told || line->conn.end_pending) {
        sp_conn_close_flushed(&line->conn);
        return;
    }
    sp_conn_speak(&line->conn, NULL, SP_ROLE_SERVER, NULL); /* what still comes is dropped unread */
    sp_conn_hold(&line->conn, false);
    sp_conn_pause(&line->conn, false);
    sp_conn_finish(&line->conn);
}

bool sp_line_deafen(struct sp_line *line, enum sp_why why)
{
    struct sp_list *at;
    if (!is_multiplexed(line) || sp_list_is_empty(&line->calls_in))
        return false;
    unbind(line);
    line->last = true;
    line->part_ns = 0;
    sp_conn_deafen(&line->conn);
    while (!sp_list_is_empty(&line->calls_out)) {
        at = line->calls_out.next;
        struct sp_stream *stream = SP_CONTAINER(at, struct sp_stream, out_link);
        if (line->mux->sending == stream)
            return false; /* in the middle of what goes out, nothing can follow */
        sp_idmap_remove(&line->mux->ids, stream->callee_id);
        sp_stream_callee_gone(stream, why);
        SP_ASSERT(line->calls_out.next != at);
    }
    return line->state == SP_LINE_OPEN && !sp_list_is_empty(&line->calls_in);
}

void sp_line_end(struct sp_line *line, enum sp_why why)
{
    if (line->conn.out_bytes)
        sp_line_linger(line, why);
    else
        sp_line_close(line, why, false);
}

void sp_line_drain(struct sp_line *line, enum sp_why why)
{
    if (line->state != SP_LINE_OPEN)
        return;
    line->last = true;
    if (line->endpoint) {
        sp_pool_line_gone(line);
        sp_list_push(&line->endpoint->lingering, &line->pool_link);
        if (is_quiet(line))
            sp_line_end(line, why);
        return;
    }
    sp_ns due = parting_due(line);
    if (due && sp_loop_now(line->worker->loop) >= due)
        sp_line_linger(line, why);
    else
        sp_line_arm(line);
}

/* ---- time ---- */

/* When a head that has begun must be whole; 0: it may take its time, or none has begun. */
static sp_ns headers_due(const struct sp_line *line)
{
    uint64_t ns = line->part_ns ? line->chain->spec->headers_timeout_ns : 0;
    return ns ? line->part_ns + ns : 0;
}

static sp_ns idle_ns(const struct sp_line *line)
{
    return line->chain ? line->chain->spec->idle_ns : line->endpoint->cluster->spec->idle_timeout_ns;
}

static sp_ns age_ns(const struct sp_line *line)
{
    if (line->last)
        return 0;
    return line->chain ? line->chain->spec->max_connection_ns
                       : line->endpoint->cluster->spec->max_connection_ns;
}

/* When to say that we are alive, or to miss the answer; 0 where the protocol does not. */
static sp_ns heartbeat_due(const struct sp_line *line)
{
    if (!line->endpoint || !line->conn.codec || !line->conn.codec->encode_heartbeat)
        return 0;
    if (sp_list_is_on(&line->wait_link))
        return 0; /* it reads nothing, so it would not hear the answer: see sp_line_wake */
    if (line->mux->heartbeat_id)
        return line->mux->heartbeat_ns + HEARTBEAT_WAIT_NS;
    uint64_t ns = line->endpoint->cluster->spec->heartbeat_ns;
    return line->conn.last_ns + (ns ? ns : HEARTBEAT_NS_DEFAULT);
}

/* Since when there is no call on it. Our own heartbeats keep no line from being idle. */
static sp_ns quiet_since(const struct sp_line *line)
{
    if (!line->endpoint || !is_multiplexed(line))
        return line->conn.last_ns;
    return SP_MAX(line->mux->quiet_ns, line->opened_ns);
}

/* When a caller's line that takes no further call ends without one; 0: not by itself, it is in use. The
 * drain's deadline comes first. */
static sp_ns parting_due(const struct sp_line *line)
{
    const struct sp_worker *worker = line->worker;
    if (!line->chain || !line->last || !is_quiet(line) || line->receiving || line->conn.in_len)
        return 0;
    sp_ns due = line->conn.last_ns + PARTING_NS;
    return worker->draining ? SP_MIN(due, worker->drain_ns) : due;
}

static sp_ns stall_due(const struct sp_line *line)
{
    if (!line->full_ns)
        return 0;
    sp_ns due = SP_MAX(line->full_ns, line->conn.out_ns) + STALL_NS;
    return line->mux->blocks_ns ? SP_MIN(due, line->mux->blocks_ns + BLOCK_NS) : due;
}

static void sooner(sp_ns *due, sp_ns at)
{
    if (at && at < *due)
        *due = at;
}

void sp_line_arm(struct sp_line *line)
{
    struct sp_loop *loop = line->worker->loop;
    sp_ns now = sp_loop_now(loop), due = NEVER;
    if (line->state == SP_LINE_CLOSING)
        return; /* linger has set it */
    if (line->state == SP_LINE_CONNECTING) {
        due = line->opened_ns + line->endpoint->cluster->spec->connect_timeout_ns;
    } else {
        sooner(&due, headers_due(line));
        sooner(&due, stall_due(line));
        sooner(&due, heartbeat_due(line));
        sooner(&due, parting_due(line));
        if (idle_ns(line)) /* while busy: look again later */
            sooner(&due, (is_quiet(line) ? quiet_since(line) : now) + idle_ns(line));
        sooner(&due, age_ns(line) ? line->opened_ns + age_ns(line) : 0);
    }
    if (due == NEVER)
        sp_timer_stop(loop, &line->timer);
    else
        sp_timer_set(loop, &line->timer, due > now ? due - now : 0);
}

static void on_heartbeat_due(struct sp_line *line, sp_ns now)
{
    struct sp_cluster_cells *cells = &line->endpoint->cluster->cells;
    if (line->mux->heartbeat_id && sp_list_is_on(&line->wait_link)) {
        line->mux->heartbeat_ns = now; /* the answer may have come: we do not read */
        return;
    }
    if (line->mux->heartbeat_id) {
        line->mux->heartbeat_id = 0;
        sp_cell_add(&cells->cx_heartbeat_lost, 1);
        if (++line->mux->heartbeats_lost >= HEARTBEATS_LOST_MAX) {
            sp_line_close(line, SP_WHY_HEARTBEAT_LOST, true);
            return;
        }
    }
    char *room = line->mux->sending ? NULL : sp_conn_reserve(&line->conn, HEARTBEAT_ROOM);
    uint32_t id = room ? sp_line_take_id(line, NULL) : 0;
    ssize_t n = room ? line->conn.codec->encode_heartbeat(NULL, id, false, room, HEARTBEAT_ROOM) : 0;
    if (n <= 0) { /* inside a frame: what was not asked cannot stay unanswered; look again later */
        line->conn.last_ns = now;
        return;
    }
    line->mux->heartbeat_id = id;
    line->mux->heartbeat_ns = now;
    sp_conn_commit(&line->conn, (size_t)n);
    sp_cell_add(&cells->cx_heartbeat, 1);
}

static void on_idle_due(struct sp_line *line)
{
    sp_cell_add(&line->worker->cells.why[SP_WHY_IDLE], 1);
    if (line->chain) {
        sp_cell_add(&line->chain->cells.cx_idle_timeout, 1);
        sp_line_linger(line, SP_WHY_IDLE);
    } else {
        sp_cell_add(&line->endpoint->cluster->cells.cx_idle_timeout, 1);
        sp_line_close(line, SP_WHY_IDLE, false);
    }
}

static void look_at_times(struct sp_line *line, sp_ns now)
{
    sp_ns heartbeat = heartbeat_due(line), stall = stall_due(line), headers = headers_due(line);
    sp_ns parting = parting_due(line);
    if (headers && now >= headers) {
        sp_cell_add(&line->chain->cells.rq_header_timeout, 1);
        /* No head: what the link's scratch holds may be another connection's. */
        struct sp_event ev = { .status = 408, .why = "the request's head did not end in time" };
        sp_stream_broken(line, &ev);
    } else if (stall && now >= stall) {
        sp_line_close(line, SP_WHY_STALLED, true);
    } else if (parting && now >= parting) {
        sp_line_linger(line, line->worker->draining ? SP_WHY_DRAINING : SP_WHY_MAX_AGE);
    } else if (idle_ns(line) && is_quiet(line) && now >= quiet_since(line) + idle_ns(line)) {
        on_idle_due(line);
    } else if (age_ns(line) && now >= line->opened_ns + age_ns(line)) {
        if (line->chain)
            sp_cell_add(&line->chain->cells.cx_max_duration, 1);
        sp_cell_add(&line->worker->cells.why[SP_WHY_MAX_AGE], 1);
        sp_line_drain(line, SP_WHY_MAX_AGE);
    } else if (heartbeat && now >= heartbeat) {
        on_heartbeat_due(line, now);
    }
}

static void on_timer(struct sp_timer *timer)
{
    struct sp_line *line = SP_CONTAINER(timer, struct sp_line, timer);
    sp_ns now = sp_loop_now(line->worker->loop);
    if (line->state == SP_LINE_CONNECTING) {
        sp_cell_add(&line->endpoint->cluster->cells.cx_connect_timeout, 1);
        sp_pool_line_failed(line, SP_WHY_CONNECT_TIMEOUT, SP_E_TIMEOUT);
        sp_line_close(line, SP_WHY_CONNECT_TIMEOUT, true);
        return;
    }
    if (line->state == SP_LINE_CLOSING) {
        if (line->conn.out_bytes && now < line->conn.out_ns + STALL_NS)
            sp_timer_set(line->worker->loop, timer, LINGER_NS); /* it still reads our last words */
        else /* a reset takes back what the kernel still holds for a slow reader */
            sp_line_close(line, line->why, line->conn.out_bytes > 0);
        return;
    }
    look_at_times(line, now);
    if (line->state == SP_LINE_OPEN)
        sp_line_arm(line);
}
