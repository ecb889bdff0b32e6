/* end: the two ends of a connection, and what passes between them.
 *
 *     end[0] ── under_way: in flight, with its instant ──> arrived: waits to be read ──> recv of end[1]
 *            <────────────────── the same, the other way ─────────────────────────────── end[1]
 *
 * What a send takes is cut into deliveries, each with an instant of its own but none before the one ahead of
 * it: a stream stays a stream, while connections overtake each other. Bytes under way and bytes unread
 * together fill the window; at its limit sends take nothing until the other side has read.
 *
 * The hard part of TCP for a program is how it ends, so this is as Linux does it:
 *   - FIN is a delivery behind all bytes. Both directions ended: HUP.
 *   - Close with bytes unread resets the peer, and what was under way to it is lost, perhaps: a server that
 *     answers and closes without having read the whole request may lose its answer. (Hence lingering.)
 *   - Bytes that arrive at an end nobody holds any more are answered with a reset; so the first send after
 *     the peer has gone succeeds and a later one fails.
 *   - After a reset what had arrived can still be read, then comes the error, once; then 0. What was sent and
 *     had not arrived is lost from some point on.
 *
 * A reset by chance (a middlebox, a machine that went) hits both ends, each at its own instant. */
#include "io/sim/sim_impl.h"

#include <string.h>

#include "base/mem.h"
#include "base/poison.h"

enum { PIECES_MOST = 4 };

static struct sp_sim_end *other_of(struct sp_sim_end *end)
{
    return end == &end->cx->end[0] ? &end->cx->end[1] : &end->cx->end[0];
}

static struct sp_sim_end *end_of(const struct sp_sock *sock)
{
    struct sp_sim_file *file = sp_sim_file_find(sp_sim_loop_of(sock->loop)->machine, sock->fd);
    SP_ASSERT(file && file->kind == SP_SIM_END);
    return SP_CONTAINER(file, struct sp_sim_end, file);
}

static bool is_unix(const struct sp_sim_end *end)
{
    return end->cx->to.family == SP_ADDR_UNIX;
}

static void on_delivery(struct sp_sim_event *event);
static void on_cut(struct sp_sim_event *event);

/* --- connections ---------------------------------------------------------------------------------------- */

struct sp_sim_cx *sp_sim_cx_new(struct sp_sim *sim)
{
    struct sp_sim_cx *cx = sp_sim_alloc(sim, sizeof(*cx));
    cx->sim = sim;
    cx->serial = ++sim->serials;
    cx->window = sim->faults.window_bytes ? sim->faults.window_bytes : SP_SIM_WINDOW;
    cx->cut.on_due = on_cut;
    for (int i = 0; i < 2; i++) {
        struct sp_sim_end *end = &cx->end[i];
        end->cx = cx;
        end->file.kind = SP_SIM_END;
        end->file.number = -1;
        end->event.on_due = on_delivery;
        sp_list_init(&end->under_way);
        sp_list_init(&end->arrived);
    }
    sp_list_push(&sim->cxs, &cx->link);
    return cx;
}

static void drop_segs(struct sp_sim_end *end, struct sp_list *segs)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(segs))) {
        struct sp_sim_seg *seg = SP_CONTAINER(link, struct sp_sim_seg, link);
        end->held_bytes -= seg->len - seg->read;
        if (segs == &end->arrived)
            end->arrived_bytes -= seg->len - seg->read;
        sp_mem_free(seg);
    }
}

void sp_sim_cx_free(struct sp_sim_cx *cx)
{
    for (int i = 0; i < 2; i++) {
        struct sp_sim_end *end = &cx->end[i];
        SP_ASSERT(end->file.number < 0 && !sp_list_is_on(&end->queue_link));
        sp_list_remove(&end->file.ready_link);
        drop_segs(end, &end->under_way);
        drop_segs(end, &end->arrived);
        sp_sim_not(cx->sim, &end->event);
    }
    sp_sim_not(cx->sim, &cx->connect);
    sp_sim_not(cx->sim, &cx->cut);
    sp_list_remove(&cx->link);
    sp_mem_free(cx);
}

/* --- sending -------------------------------------------------------------------------------------------- */

static void push(struct sp_sim_end *end, enum sp_sim_what what, const char *bytes, uint32_t len)
{
    struct sp_sim *sim = end->cx->sim;
    struct sp_sim_seg *seg = sp_sim_alloc(sim, sizeof(*seg) + len);
    sp_ns at = sim->now + sp_sim_delay(sim);
    if (!is_unix(end) && sp_sim_chance(sim, sim->faults.stall, &sim->counts.stalls))
        at += sp_rng_below(&sim->rng, sim->faults.stall_max ? sim->faults.stall_max : SP_NS_PER_S);
    end->last_at = SP_MAX(end->last_at, at);
    seg->at = end->last_at;
    seg->what = what;
    seg->len = len;
    if (len)
        memcpy(seg->bytes, bytes, len);
    end->held_bytes += len;
    bool first = sp_list_is_empty(&end->under_way);
    sp_list_push(&end->under_way, &seg->link);
    if (first)
        sp_sim_at(sim, &end->event, seg->at);
}

/* What is under way is lost from a drawn point on. */
static void lose_some(struct sp_sim_end *end)
{
    struct sp_sim *sim = end->cx->sim;
    uint64_t count = 0;
    for (struct sp_list *at = end->under_way.next; at != &end->under_way; at = at->next)
        count++;
    if (!count)
        return;
    for (uint64_t keep = sp_rng_below(&sim->rng, count + 1); count > keep; count--) {
        struct sp_sim_seg *seg = SP_CONTAINER(end->under_way.prev, struct sp_sim_seg, link);
        sp_list_remove(&seg->link);
        end->held_bytes -= seg->len;
        sim->counts.lost_bytes += seg->len;
        sp_mem_free(seg);
    }
    if (sp_list_is_empty(&end->under_way))
        sp_sim_not(sim, &end->event);
}

/* Nothing follows. */
static void send_rst(struct sp_sim_end *end)
{
    if (end->rst_sent)
        return;
    lose_some(end);
    push(end, SP_SIM_RST, NULL, 0);
    end->rst_sent = true;
}

static uint32_t room(struct sp_sim_end *end)
{
    uint32_t window = end->cx->window;
    return end->held_bytes < window ? window - end->held_bytes : 0;
}

/* Gather `len` bytes of the vectors from `*part` and `*at` on. */
static void gather(const struct iovec **part, size_t *at, char *to, size_t len)
{
    while (len) {
        size_t some = SP_MIN(len, (*part)->iov_len - *at);
        if (some)
            memcpy(to, (char *)(*part)->iov_base + *at, some);
        to += some;
        len -= some;
        *at += some;
        if (*at == (*part)->iov_len) {
            (*part)++;
            *at = 0;
        }
    }
}

static void push_pieces(struct sp_sim_end *end, const char *bytes, uint32_t len)
{
    struct sp_sim *sim = end->cx->sim;
    for (int pieces = 1; len && pieces < PIECES_MOST; pieces++) {
        if (!sp_sim_chance(sim, sim->faults.short_read, &sim->counts.splits))
            break;
        uint32_t some = 1 + (uint32_t)sp_rng_below(&sim->rng, len);
        push(end, SP_SIM_BYTES, bytes, some);
        bytes += some;
        len -= some;
    }
    if (len)
        push(end, SP_SIM_BYTES, bytes, len);
}

ssize_t sp_sim_send(struct sp_sock *sock, const struct iovec *iov, int count)
{
    struct sp_sim_end *end = end_of(sock);
    struct sp_sim *sim = end->cx->sim;
    if (end->err) {
        sp_err err = end->err_told ? SP_E_RESET : end->err;
        end->err_told = true;
        return err;
    }
    SP_ASSERT(end->state == SP_SIM_OPEN && !end->shut);
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    uint32_t take = (uint32_t)SP_MIN(total, room(end));
    if (take && sp_sim_chance(sim, sim->faults.short_write, &sim->counts.short_writes))
        take = (uint32_t)sp_rng_below(&sim->rng, take);

    char *bytes = sp_sim_alloc(sim, take + 1);
    size_t at = 0;
    gather(&iov, &at, bytes, take);
    sim->counts.bytes += take;
    sp_sim_note(sim, "send", end->cx->serial, take, take ? sp_str_hash(sp_str_of(bytes, take)) : 0);
    if (!end->rst_sent) /* else it runs into the void */
        push_pieces(end, bytes, take);
    sp_mem_free(bytes);
    if (!is_unix(end) && !end->cx->cut.node.place &&
        sp_sim_chance(sim, sim->faults.reset, &sim->counts.resets))
        sp_sim_at(sim, &end->cx->cut,
                  sim->now + sp_rng_below(&sim->rng, 2 * sim->faults.delay_max + SP_NS_PER_MS));
    return take;
}

void sp_sim_shutdown(struct sp_sock *sock)
{
    struct sp_sim_end *end = end_of(sock);
    if (end->err || end->shut)
        return;
    end->shut = true;
    sp_sim_note(end->cx->sim, "fin", end->cx->serial, end != &end->cx->end[0], 0);
    if (!end->rst_sent)
        push(end, SP_SIM_FIN, NULL, 0);
    sp_sim_file_touch(&end->file); /* perhaps HUP now */
}

/* --- arriving ------------------------------------------------------------------------------------------- */

static void die(struct sp_sim_end *end, sp_err err)
{
    if (end->err || end->state == SP_SIM_CLOSED)
        return;
    end->err = err;
    if (!end->rst_sent) { /* else our own reset must still tell the other end */
        drop_segs(end, &end->under_way);
        sp_sim_not(end->cx->sim, &end->event);
    }
    sp_sim_file_touch(&end->file);
}

static void arrive(struct sp_sim_end *end, struct sp_sim_seg *seg)
{
    struct sp_sim_end *to = other_of(end);
    sp_sim_note(end->cx->sim,
                seg->what == SP_SIM_BYTES ? "bytes"
                : seg->what == SP_SIM_FIN ? "FIN"
                                          : "RST",
                end->cx->serial, end != &end->cx->end[0], seg->len);
    if (seg->what == SP_SIM_BYTES && to->state != SP_SIM_CLOSED && !to->err) {
        sp_list_push(&end->arrived, &seg->link);
        end->arrived_bytes += seg->len;
        sp_sim_file_touch(&to->file);
        return;
    }
    if (seg->what == SP_SIM_FIN)
        to->fin_came = true;
    else if (seg->what == SP_SIM_RST)
        die(to, SP_E_RESET);
    else if (to->state == SP_SIM_CLOSED)
        send_rst(to);
    end->held_bytes -= seg->len;
    sp_mem_free(seg);
    sp_sim_file_touch(&to->file);
    sp_sim_file_touch(&end->file);
}

static void on_delivery(struct sp_sim_event *event)
{
    struct sp_sim_end *end = SP_CONTAINER(event, struct sp_sim_end, event);
    struct sp_sim *sim = end->cx->sim;
    if (sp_sim_is_cut(sim, end->file.machine, other_of(end)->file.machine)) {
        sim->counts.held_back++;
        return; /* sp_sim_end_heal goes on */
    }
    struct sp_sim_seg *seg;
    while ((seg = SP_LIST_FIRST(&end->under_way, struct sp_sim_seg, link)) && seg->at <= sim->now) {
        sp_list_remove(&seg->link);
        arrive(end, seg);
    }
    if (seg)
        sp_sim_at(sim, &end->event, seg->at);
}

void sp_sim_end_heal(struct sp_sim_end *end)
{
    if (!sp_list_is_empty(&end->under_way) && !end->event.node.place)
        sp_sim_at(end->cx->sim, &end->event, end->cx->sim->now + sp_sim_delay(end->cx->sim));
}

ssize_t sp_sim_recv(struct sp_sock *sock, char *to, size_t bytes)
{
    struct sp_sim_end *end = end_of(sock), *from = other_of(end);
    struct sp_sim *sim = end->cx->sim;
    SP_UNPOISON(to, bytes);
    if (!from->arrived_bytes) {
        if (end->err && !end->err_told) {
            end->err_told = true;
            return end->err;
        }
        return end->fin_came || end->err ? 0 : SP_E_AGAIN;
    }
    size_t take = SP_MIN(bytes, from->arrived_bytes), done = 0;
    if (take > 1 && sp_sim_chance(sim, sim->faults.short_read, &sim->counts.short_reads))
        take = sp_rng_chance(&sim->rng, 300) ? 1 : 1 + sp_rng_below(&sim->rng, take);
    while (done < take) {
        struct sp_sim_seg *seg = SP_LIST_FIRST(&from->arrived, struct sp_sim_seg, link);
        uint32_t some = (uint32_t)SP_MIN(take - done, seg->len - seg->read);
        memcpy(to + done, seg->bytes + seg->read, some);
        done += some;
        seg->read += some;
        if (seg->read == seg->len) {
            sp_list_remove(&seg->link);
            sp_mem_free(seg);
        }
    }
    from->arrived_bytes -= (uint32_t)take;
    from->held_bytes -= (uint32_t)take;
    sp_sim_note(sim, "recv", end->cx->serial, end != &end->cx->end[0], take);
    sp_sim_file_touch(&from->file); /* there is room */
    return (ssize_t)take;
}

/* --- ends of ends --------------------------------------------------------------------------------------- */

/* Nobody holds the end any more. */
void sp_sim_end_drop(struct sp_sim_end *end, bool reset)
{
    struct sp_sim_cx *cx = end->cx;
    struct sp_sim_end *other = other_of(end);
    bool unread = other->arrived_bytes > 0;
    sp_sim_note(cx->sim, "close", cx->serial, end != &cx->end[0], reset);
    sp_sim_file_close(&end->file);
    end->sock = NULL;
    end->watched = 0;
    if (other->state == SP_SIM_CLOSED || other->state == SP_SIM_UNBORN) {
        sp_sim_cx_free(cx);
        return;
    }
    if (!end->err && (reset || unread)) {
        cx->sim->counts.unread_cut += unread && !reset;
        send_rst(end);
    } else if (!end->err && !end->shut && !end->rst_sent) {
        push(end, SP_SIM_FIN, NULL, 0);
    }
    end->shut = true;
    end->state = SP_SIM_CLOSED;
    drop_segs(other, &other->arrived);
    sp_sim_file_touch(&other->file); /* there may be room now, to no avail */
}

void sp_sim_cx_cut(struct sp_sim_cx *cx)
{
    sp_sim_note(cx->sim, "cut cx", cx->serial, 0, 0);
    sp_sim_not(cx->sim, &cx->cut);
    for (int i = 0; i < 2; i++)
        if (!cx->end[i].err && cx->end[i].state != SP_SIM_UNBORN && cx->end[!i].state != SP_SIM_UNBORN)
            send_rst(&cx->end[i]);
}

static void on_cut(struct sp_sim_event *event)
{
    sp_sim_cx_cut(SP_CONTAINER(event, struct sp_sim_cx, cut));
}

/* --- the rest of the body ------------------------------------------------------------------------------- */

uint32_t sp_sim_end_ready(const struct sp_sim_end *end)
{
    if (!end->watched || end->state != SP_SIM_OPEN)
        return 0;
    const struct sp_sim_end *from = end == &end->cx->end[0] ? &end->cx->end[1] : &end->cx->end[0];
    uint32_t ready = 0;
    bool some_room = end->held_bytes < end->cx->window &&
                     end->cx->window - end->held_bytes >= end->cx->window / 4;
    if (from->arrived_bytes || end->fin_came || end->err)
        ready |= SP_READY_IN;
    if (some_room || end->err || end->shut)
        ready |= SP_READY_OUT;
    ready &= end->watched & (SP_WATCH_IN | SP_WATCH_OUT);
    if (end->err && !end->err_told)
        ready |= SP_READY_ERR;
    if (end->err || (end->fin_came && end->shut))
        ready |= SP_READY_HUP;
    return ready;
}

sp_err sp_sim_open(struct sp_sock *sock, int number)
{
    struct sp_sim_loop *l = sp_sim_loop_of(sock->loop);
    struct sp_sim_file *file = sp_sim_file_find(l->machine, number);
    if (!file || file->kind != SP_SIM_END || file->loop)
        return SP_E_INVALID;
    sock->fd = number;
    file->loop = l;
    SP_CONTAINER(file, struct sp_sim_end, file)->sock = sock;
    return 0;
}

void sp_sim_watch(struct sp_sock *sock, uint8_t interest)
{
    struct sp_sim_end *end = end_of(sock);
    end->watched = interest;
    sp_sim_file_touch(&end->file);
}

sp_err sp_sim_error(struct sp_sock *sock)
{
    struct sp_sim_end *end = end_of(sock);
    if (end->err_told)
        return 0;
    end->err_told = end->err != 0;
    return end->err;
}

void sp_sim_close(struct sp_sock *sock, bool reset)
{
    struct sp_sim_end *end = end_of(sock);
    sock->fd = -1;
    sp_sim_end_drop(end, reset);
}

int sp_sim_detach(struct sp_sock *sock)
{
    struct sp_sim_end *end = end_of(sock);
    sp_list_remove(&end->file.ready_link);
    end->file.loop = NULL;
    end->sock = NULL;
    end->watched = 0;
    sock->fd = -1;
    return end->file.number;
}

sp_err sp_sim_addr(const struct sp_sock *sock, enum sp_addr_which which, sp_addr *ret_addr)
{
    const struct sp_sim_end *end = end_of(sock);
    const sp_addr *addr = which == SP_ADDR_LOCAL  ? &end->local
                          : which == SP_ADDR_PEER ? &end->peer
                                                  : &end->original;
    if (addr->family == SP_ADDR_NONE)
        return SP_E_MISSING;
    *ret_addr = *addr;
    return 0;
}
