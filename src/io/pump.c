/* pump: one direction of a raw relay, by whichever way is cheaper for what is flowing.
 *
 *   copy     recv into the loop's large slab and send it at once. Nothing is kept when the receiver takes it
 *            all; what it leaves stays in that slab, held by the pump, and reading pauses until it is gone.
 *   splice   socket -> pipe -> socket: the bytes stay in the kernel, two system calls for up to a pipe full.
 *
 *      from ──recv──> slab ──send──> to            held: [held_at, held_end) of the slab
 *      from ──splice─> pipe ──splice─> to          piped: bytes inside the pipe
 *
 * Splice more than halves the price of bulk and raises that of small messages: beside a bare relay that
 * copies it loses up to some 32 KB a message, breaks even below 100 KB and wins by far at 1 MB. So a flow
 * starts by copying and turns to the pipe when a read fills the slab of 64 KiB; it turns back after
 * THIN_READS splices in a row below THIN_BYTES. Asking for two full reads was tried: messages of 100 KB
 * then never got there. A pipe is lent by the loop for as long as bytes are inside: mostly that is within
 * one callback, so many flows share one pipe and idle connections hold none. When no pipe is to be had the
 * flow goes on by copying.
 *
 * A pump never reads while it holds bytes; so it holds at most one slab or one pipe full, and when its
 * source ends there is nothing left to deliver. That also is all of the flow control: a slow receiver stops
 * the reading, and the window of the sender does the rest. */
#include "io/pump.h"

#include <string.h>

#include "io/loop_impl.h"

enum pump_mode { MODE_COPY, MODE_SPLICE };

enum {
    THIN_READS = 4, /* splices in a row below THIN_BYTES: no longer bulk */
    THIN_BYTES = 32 * 1024,
};

/* Give back what bytes were in, and the bytes with it. */
static void let_go(struct sp_pump *pump)
{
    struct sp_loop *loop = pump->from->loop;
    sp_slab_unref(pump->held);
    pump->held = NULL;
    if (pump->pipe[0] >= 0)
        loop->body->splice->pipe_give(loop, pump->pipe, pump->piped == 0);
    pump->piped = 0;
}

/* No callback from here on. */
static void stop(struct sp_pump *pump)
{
    struct sp_sock *from = pump->from, *to = pump->to;
    let_go(pump);
    pump->running = false;
    from->pumped = false;
    from->into = NULL;
    to->pump_in = NULL;
    to->room_wanted = false;
    sp_sock_read(from, false);
}

static void finish(struct sp_pump *pump, sp_err err)
{
    stop(pump);
    pump->on_done(pump, err);
}

sp_err sp_pump_start(struct sp_pump *pump, struct sp_sock *from, struct sp_sock *to)
{
    SP_ASSERT(!pump->running);
    if (from->pumped || to->pump_in)
        return SP_E_EXISTS;
    if (from->state != SP_SOCK_OPEN || to->state != SP_SOCK_OPEN || from->ended || to->shut)
        return SP_E_CLOSED;
    pump->from = from;
    pump->to = to;
    pump->held = NULL;
    pump->held_at = 0;
    pump->piped = 0;
    pump->pipe[0] = pump->pipe[1] = -1;
    pump->mode = MODE_COPY;
    pump->run = 0;
    pump->stopping = false;
    pump->running = true;
    sp_sock_read(from, true);
    from->pumped = true;
    from->pump_out = pump;
    to->pump_in = pump;
    return 0;
}

bool sp_pump_stop(struct sp_pump *pump)
{
    if (!pump->running)
        return true;
    if (!pump->held && pump->piped == 0) {
        sp_pump_cancel(pump);
        return true;
    }
    pump->stopping = true;
    return false;
}

/* --- hand-over ------------------------------------------------------------------------------------------ */

sp_err sp_pump_drain_pipe(struct sp_pump *pump)
{
    if (!pump->running || pump->piped == 0)
        return 0;
    SP_ASSERT(!pump->held);
    struct sp_loop *loop = pump->from->loop;
    struct sp_slab *slab = sp_slab_take_for(&loop->slabs, pump->piped);
    if (!slab)
        return SP_E_NOMEM;
    ssize_t got = loop->body->splice->drain(pump->pipe, slab->bytes, pump->piped);
    if (got < 0) {
        sp_slab_unref(slab);
        return (sp_err)got;
    }
    slab->used = pump->piped;
    pump->held = slab;
    pump->held_at = 0;
    pump->held_end = pump->piped;
    pump->piped = 0;
    loop->body->splice->pipe_give(loop, pump->pipe, true);
    return 0;
}

sp_str sp_pump_inside(const struct sp_pump *pump)
{
    SP_ASSERT(pump->running && pump->piped == 0);
    return pump->held ? sp_str_of(pump->held->bytes + pump->held_at, pump->held_end - pump->held_at)
                      : SP_STR_NULL;
}

sp_err sp_pump_load(struct sp_pump *pump, struct sp_sock *from, struct sp_sock *to, sp_str inside)
{
    struct sp_slab *slab = NULL;
    if (inside.len > UINT32_MAX)
        return SP_E_LIMIT;
    if (inside.len && !(slab = sp_slab_take_for(&from->loop->slabs, inside.len)))
        return SP_E_LIMIT;
    sp_err err = sp_pump_start(pump, from, to);
    if (err || !slab) {
        sp_slab_unref(slab);
        return err;
    }
    memcpy(slab->bytes, inside.ptr, inside.len);
    slab->used = (uint32_t)inside.len;
    pump->held = slab;
    pump->held_end = slab->used;
    from->reading = false;
    to->room_wanted = true;
    sp_sock_touch(from);
    sp_sock_touch(to);
    return 0;
}

void sp_pump_cancel(struct sp_pump *pump)
{
    if (!pump->running)
        return;
    stop(pump);
}

/* --- giving --------------------------------------------------------------------------------------------- */

/* What is inside goes out as far as it can. False when the pump came to its end by that. */
static bool deliver(struct sp_pump *pump)
{
    struct sp_sock *to = pump->to;
    const struct sp_loop_body *body = to->loop->body;
    ssize_t sent;
    if (pump->held) {
        struct iovec iov = { pump->held->bytes + pump->held_at, pump->held_end - pump->held_at };
        sent = body->send(to, &iov, 1);
        if (sent > 0)
            pump->held_at += (uint32_t)sent;
        if (pump->held_at == pump->held_end) {
            sp_slab_unref(pump->held);
            pump->held = NULL;
        }
    } else {
        sent = body->splice->out(to, pump->pipe, pump->piped);
        if (sent > 0)
            pump->piped -= (uint32_t)sent;
        if (pump->piped == 0)
            to->loop->body->splice->pipe_give(to->loop, pump->pipe, true);
    }
    if (sent < 0) {
        sp_sock_lost(to, (sp_err)sent);
        finish(pump, (sp_err)sent);
        return false;
    }
    if (sent > 0 && pump->on_moved)
        pump->on_moved(pump, (uint64_t)sent);
    return pump->running;
}

/* Read on when empty, else wait for room. */
static void settle(struct sp_pump *pump)
{
    bool empty = !pump->held && pump->piped == 0;
    if (empty && pump->stopping) {
        finish(pump, SP_E_CANCELLED);
        return;
    }
    if (empty && pump->from->ended) {
        finish(pump, SP_E_CLOSED);
        return;
    }
    pump->from->reading = empty;
    pump->to->room_wanted = !empty;
    sp_sock_touch(pump->from);
    sp_sock_touch(pump->to);
}

void sp_pump_writable(struct sp_pump *pump)
{
    if (pump->to->state == SP_SOCK_OPEN && (pump->held || pump->piped) && !deliver(pump))
        return;
    settle(pump);
}

/* --- taking --------------------------------------------------------------------------------------------- */

/* The same results as recv. */
static ssize_t take_by_copy(struct sp_pump *pump)
{
    struct sp_loop *loop = pump->from->loop;
    struct sp_slab **home;
    struct sp_slab *slab = sp_spare_take(loop, true, &home);
    if (!slab) {
        sp_sock_starve(pump->from);
        return SP_E_AGAIN;
    }
    uint32_t at = slab->used, room = slab->cap - at;
    ssize_t got = loop->body->recv(pump->from, slab->bytes + at, room);
    if (got > 0) {
        slab->used = at + (uint32_t)got;
        if ((size_t)got == room && loop->body->splice) {
            pump->mode = MODE_SPLICE;
            pump->run = 0;
        }
        pump->held = sp_slab_ref(slab);
        pump->held_at = at;
        pump->held_end = slab->used; /* others' bytes may follow behind: see sp_spare_take */
        deliver(pump);
    }
    sp_spare_give(slab, home);
    return got;
}

static ssize_t take_by_splice(struct sp_pump *pump)
{
    struct sp_loop *loop = pump->from->loop;
    const struct sp_splice_body *splice = loop->body->splice;
    if (splice->pipe_take(loop, pump->pipe)) {
        pump->mode = MODE_COPY;
        return take_by_copy(pump);
    }
    ssize_t got = splice->in(pump->from, pump->pipe, splice->pipe_bytes);
    if (got <= 0) {
        splice->pipe_give(loop, pump->pipe, true);
        return got;
    }
    pump->piped = (uint32_t)got;
    pump->run = got < THIN_BYTES ? (uint8_t)(pump->run + 1) : 0;
    if (pump->run >= THIN_READS) {
        pump->mode = MODE_COPY;
        pump->run = 0;
    }
    deliver(pump);
    return got;
}

void sp_pump_readable(struct sp_pump *pump)
{
    struct sp_sock *from = pump->from;
    if (pump->held || pump->piped)
        return; /* ERR or HUP while we hold bytes: seen again when they are out */
    ssize_t got = pump->mode == MODE_SPLICE ? take_by_splice(pump) : take_by_copy(pump);
    if (got == 0)
        sp_sock_ended(from, SP_E_CLOSED);
    else if (got < 0 && got != SP_E_AGAIN)
        sp_sock_ended(from, (sp_err)got);
    else if (got > 0 && pump->running)
        settle(pump);
}

/* Our source ended (then nothing is inside, see the essay), or one side broke. */
void sp_pump_broken(struct sp_pump *pump, sp_err err)
{
    finish(pump, err);
}
