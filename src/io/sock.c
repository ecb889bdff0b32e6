/* sock: the common half of every stream socket: what a readiness becomes for its owner.
 *
 * Reading. The bytes of all socks land in one slab, the loop's spare, as long as nobody keeps any of them:
 * a request that is decoded, forwarded and done with inside its callback leaves the slab to the next sock,
 * warm in the cache. Who keeps a view takes a reference; then the next sock's bytes land behind it while
 * there is room for a good read, so that the small messages of a turn lie together in few pages (a slab for
 * each, all beginning at the same page offset, met in the same cache sets). A read that came back full
 * makes the next one of that sock a large one. One recv for each readiness: asking again until EAGAIN costs
 * a few per cent (measured on a bare relay) and readiness is a level, it comes again.
 *
 * Watching. What should be watched follows from the sock's bits (`wanted`); what is watched is `interest`.
 * Whoever changes a bit touches the sock, and at the end of the turn one call makes up the difference. Two
 * things are lazier still: a pause of reading changes nothing until bytes do arrive, for most pauses end
 * before that; and room is asked for only after a send took less than all. So a connection in steady state
 * meets no epoll_ctl.
 *
 * Ends. `recv` says 0: on_end(CLOSED), our direction lives on. A broken connection is found in one of three
 * places: by a read (told at once), by a send, or by the body while reading is paused. After a failed send
 * bytes may still wait to be read (a server that answers early and closes), so a sock that reads reads on
 * until nothing is left and is told then; one that does not is told at the end of the turn. HUP without an
 * error while reading is paused says only that both directions have ended in order; it would be said in every
 * turn, so the sock is not watched until it reads again.
 *
 * Nothing here touches a sock after a callback without asking loop->current: a callback may detach the sock,
 * and then the storage may be gone. After close it lives until on_closed.
 *
 * A paused and shut sock is a sock that nobody can wake: its owner needs a timer. That is the owner's to
 * know. */
#include "io/sock.h"

#include "io/loop_impl.h"
#include "io/pump.h"

/* --- opening -------------------------------------------------------------------------------------------- */

static void prepare(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops)
{
    *sock = (struct sp_sock){ .loop = loop, .ops = ops, .fd = -1 };
}

sp_err sp_sock_open_fd(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops, int fd)
{
    prepare(sock, loop, ops);
    sp_err err = loop->body->open(sock, fd);
    if (err)
        return err;
    sock->state = SP_SOCK_OPEN;
    loop->view.socks_open++;
    sp_sock_touch(sock);
    return 0;
}

sp_err sp_sock_connect(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops,
                       const sp_addr *to, const sp_addr *from, uint32_t flags)
{
    prepare(sock, loop, ops);
    sp_err late = 0;
    sp_err err = loop->body->connect(sock, to, from, flags, &late);
    if (err)
        return err;
    sock->state = SP_SOCK_CONNECTING;
    loop->view.socks_open++;
    if (late) {
        sock->late = (int8_t)late;
        sp_list_push(&loop->late, &sock->link);
    } else {
        sp_sock_touch(sock);
    }
    return 0;
}

/* --- hand-over ------------------------------------------------------------------------------------------ */

void sp_sock_save(const struct sp_sock *sock, struct sp_sock_saved *ret_saved)
{
    SP_ASSERT(sock->state == SP_SOCK_OPEN || sock->state == SP_SOCK_BROKEN);
    *ret_saved = (struct sp_sock_saved){
        .ended = sock->ended, .shut = sock->shut, .broken = sock->state == SP_SOCK_BROKEN, .late = sock->late
    };
}

sp_err sp_sock_load(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops, int fd,
                    const struct sp_sock_saved *saved)
{
    bool late_fits = saved->late ? saved->broken && !saved->ended : !saved->broken || saved->ended;
    if (!late_fits || saved->late > 0 || saved->late < SP_E_CANCELLED)
        return SP_E_INVALID;
    sp_err err = sp_sock_open_fd(sock, loop, ops, fd);
    if (err)
        return err;
    sock->ended = saved->ended;
    sock->shut = saved->shut;
    sock->late = saved->late;
    if (saved->broken)
        sock->state = SP_SOCK_BROKEN;
    return 0; /* what is owed is told when reading comes to its end, or by sp_sock_read(sock, false) */
}

/* --- what is watched ------------------------------------------------------------------------------------ */

static uint8_t wanted(const struct sp_sock *sock)
{
    if (sock->state == SP_SOCK_CONNECTING)
        return SP_WATCH_OUT | SP_WATCH_ON;

    bool reads = sock->reading && !sock->ended && !sock->starved;
    uint8_t interest = 0;
    if (reads)
        interest |= SP_WATCH_IN | SP_WATCH_ON;
    if (sock->room_wanted && sock->state == SP_SOCK_OPEN)
        interest |= SP_WATCH_OUT | SP_WATCH_ON;
    if (sock->state == SP_SOCK_OPEN && !sock->starved && !sock->over)
        interest |= SP_WATCH_ON;
    return interest;
}

static void apply(struct sp_sock *sock)
{
    uint8_t interest = wanted(sock);
    if (interest == sock->interest)
        return;
    sock->loop->body->watch(sock, interest);
    sock->interest = interest;
}

void sp_sock_touch(struct sp_sock *sock)
{
    if (sock->starved)
        apply(sock); /* the link is in use */
    else if (!sp_list_is_on(&sock->link) && wanted(sock) != sock->interest)
        sp_list_push(&sock->loop->changed, &sock->link);
}

void sp_sock_apply_changed(struct sp_loop *loop)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(&loop->changed)))
        apply(SP_CONTAINER(link, struct sp_sock, link));
}

void sp_sock_read(struct sp_sock *sock, bool on)
{
    SP_ASSERT(sock->state != SP_SOCK_NONE && sock->state != SP_SOCK_CLOSING);
    SP_ASSERT(!sock->pumped);
    sock->reading = on && !sock->ended;
    if (on) {
        sp_sock_touch(sock);
    } else if (sock->starved) {
        sock->starved = false;
        sp_list_remove(&sock->link);
        sp_sock_touch(sock);
    } else if (sock->state == SP_SOCK_BROKEN && sock->late && !sock->ended && !sp_list_is_on(&sock->link)) {
        sp_list_push(&sock->loop->late, &sock->link); /* nobody will read up to the end: tell it */
    }
}

/* --- readiness ------------------------------------------------------------------------------------------ */

/* Is it good for another read? Alone it begins anew; shared it needs room behind what is kept. */
static bool is_spare(struct sp_slab *slab)
{
    if (slab->refs == 1)
        slab->used = 0;
    return slab->refs == 1 || (slab->klass == SP_SLAB_READ && slab->cap - slab->used >= SP_SPARE_MIN);
}

/* Out of its home, when it still is one: who reads behind what he holds has used it up meanwhile. */
static struct sp_slab *leave_home(struct sp_slab **home)
{
    struct sp_slab *slab = *home;
    *home = NULL;
    if (!slab || is_spare(slab))
        return slab;
    sp_slab_unref(slab);
    return NULL;
}

struct sp_slab *sp_spare_take(struct sp_loop *loop, bool large, struct sp_slab ***ret_home)
{
    struct sp_slab *slab = NULL;
    if (large) {
        *ret_home = &loop->spare_large;
        slab = leave_home(*ret_home);
        if (!slab)
            slab = sp_slab_take(&loop->slabs, SP_SLAB_LARGE);
    }
    if (!slab) {
        *ret_home = &loop->spare_read;
        slab = leave_home(*ret_home);
        if (!slab)
            slab = sp_slab_take(&loop->slabs, SP_SLAB_READ);
    }
    return slab;
}

void sp_spare_give(struct sp_slab *slab, struct sp_slab **home)
{
    if (!*home && is_spare(slab))
        *home = slab;
    else
        sp_slab_unref(slab);
}

/* Where the next bytes go. *ret_home stays NULL when that is the owner's `into`. */
static struct sp_slab *slab_for(struct sp_sock *sock, struct sp_slab ***ret_home)
{
    struct sp_slab *into = sock->into;
    *ret_home = NULL;
    if (into && into->cap - into->used >= SP_SOCK_INTO_MIN)
        return into;
    return sp_spare_take(sock->loop, sock->read_full, ret_home);
}

static void readable(struct sp_sock *sock)
{
    if (sock->pumped) {
        sp_pump_readable(sock->pump_out);
        return;
    }
    struct sp_loop *loop = sock->loop;
    struct sp_slab **home;
    struct sp_slab *slab = slab_for(sock, &home);
    if (SP_UNLIKELY(!slab)) {
        sp_sock_starve(sock);
        return;
    }

    size_t room = slab->cap - slab->used;
    char *ptr = slab->bytes + slab->used;
    ssize_t got = loop->body->recv(sock, ptr, room);
    bool claimed = false;
    if (SP_LIKELY(got > 0)) {
        slab->used += (uint32_t)got;
        sock->read_full = (size_t)got == room;
        sock->ops->on_bytes(sock, slab, ptr, (size_t)got); /* `sock` may be gone after it */
        claimed = loop->current == sock && !sock->pumped && sock->into == slab;
    }
    if (home && claimed)
        sp_slab_unref(slab); /* the owner wants the rest right behind: nobody else's bytes may land there */
    else if (home)
        sp_spare_give(slab, home);
    if (got == 0)
        sp_sock_ended(sock, SP_E_CLOSED);
    else if (got < 0 && got != SP_E_AGAIN)
        sp_sock_ended(sock, (sp_err)got);
}

static void connect_decided(struct sp_sock *sock)
{
    sp_err err = sock->loop->body->connected(sock);
    if (err == SP_E_AGAIN)
        return;
    sock->state = err ? SP_SOCK_BROKEN : SP_SOCK_OPEN;
    sock->ended = err != 0;
    sp_sock_touch(sock);
    sock->ops->on_connected(sock, err);
}

static void writable(struct sp_sock *sock)
{
    if (!sock->room_wanted) {
        sp_sock_touch(sock);
        return;
    }
    sock->room_wanted = false;
    if (sock->pump_in)
        sp_pump_writable(sock->pump_in);
    else
        sock->ops->on_room(sock);
}

/* ERR or HUP while nobody reads. */
static void over_unread(struct sp_sock *sock, uint32_t ready)
{
    sp_err err = ready & SP_READY_ERR && !sock->ended ? sock->loop->body->error(sock) : 0;
    if (err) {
        sp_sock_ended(sock, err);
        return;
    }
    sock->over = true;
    sp_sock_touch(sock);
}

void sp_sock_ready(struct sp_sock *sock, uint32_t ready)
{
    struct sp_loop *loop = sock->loop;
    if (sock->state == SP_SOCK_CLOSING || sock->state == SP_SOCK_NONE)
        return;
    if (SP_UNLIKELY(sock->state == SP_SOCK_CONNECTING)) {
        if (ready & (SP_READY_OUT | SP_READY_ERR | SP_READY_HUP))
            connect_decided(sock);
        return;
    }

    loop->current = sock;
    bool dead = ready & (SP_READY_ERR | SP_READY_HUP);
    if (ready & SP_READY_OUT || (dead && sock->room_wanted)) {
        writable(sock);
        if (loop->current != sock || sock->state == SP_SOCK_CLOSING)
            return;
    }
    if (sock->reading && !sock->ended) {
        if (ready & SP_READY_IN || dead)
            readable(sock);
    } else if (dead) {
        over_unread(sock, ready);
    } else if (ready & SP_READY_IN) {
        sp_sock_touch(sock); /* paused, and now bytes do wait: stop watching for them */
    }
}

/* --- ends ----------------------------------------------------------------------------------------------- */

void sp_sock_ended(struct sp_sock *sock, sp_err err)
{
    SP_ASSERT(!sock->ended);
    struct sp_loop *loop = sock->loop;
    if (sock->state == SP_SOCK_BROKEN && sock->late)
        err = sock->late; /* what the send was told */
    else if (err != SP_E_CLOSED)
        sock->state = SP_SOCK_BROKEN;
    sock->ended = true;
    sock->reading = false;
    sock->late = 0;
    sp_sock_touch(sock);

    loop->current = sock;
    if (sock->pumped)
        sp_pump_broken(sock->pump_out, err);
    else
        sock->ops->on_end(sock, err);
    if (loop->current == sock && sock->state == SP_SOCK_BROKEN && sock->pump_in)
        sp_pump_broken(sock->pump_in, err);
}

void sp_sock_lost(struct sp_sock *sock, sp_err err)
{
    bool connecting = sock->state == SP_SOCK_CONNECTING;
    if (sock->state != SP_SOCK_OPEN && !connecting)
        return;
    if (!connecting)
        sock->state = SP_SOCK_BROKEN;
    sock->room_wanted = false;
    if (sock->ended) {
        sp_sock_touch(sock);
        return;
    }
    sock->late = (int8_t)err;
    if (!connecting && sock->reading && !sock->starved && (err == SP_E_RESET || err == SP_E_TIMEOUT)) {
        sp_sock_touch(sock);
        return;
    }
    sp_list_remove(&sock->link);
    sock->starved = false;
    sp_list_push(&sock->loop->late, &sock->link);
}

void sp_sock_deliver_late(struct sp_loop *loop)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(&loop->late))) {
        struct sp_sock *sock = SP_CONTAINER(link, struct sp_sock, link);
        if (sock->state == SP_SOCK_CONNECTING) {
            sp_err err = sock->late;
            sock->late = 0;
            sock->state = SP_SOCK_BROKEN;
            sock->ended = true;
            sock->ops->on_connected(sock, err);
        } else {
            sp_sock_ended(sock, sock->late);
        }
    }
}

/* --- slab shortage -------------------------------------------------------------------------------------- */

void sp_sock_starve(struct sp_sock *sock)
{
    struct sp_loop *loop = sock->loop;
    loop->view.starved++;
    sp_list_remove(&sock->link);
    sock->starved = true;
    sp_list_push(&loop->starved, &sock->link);
    apply(sock);
}

void sp_sock_feed_starved(struct sp_loop *loop)
{
    for (int i = 0; i < SP_FEED_BATCH && !sp_list_is_empty(&loop->starved); i++) {
        if (!loop->spare_read && !(loop->spare_read = sp_slab_take(&loop->slabs, SP_SLAB_READ)))
            return;
        struct sp_sock *sock = SP_CONTAINER(sp_list_pop_first(&loop->starved), struct sp_sock, link);
        sock->starved = false;
        sp_sock_touch(sock);
    }
}

/* --- writing -------------------------------------------------------------------------------------------- */

ssize_t sp_sock_send(struct sp_sock *sock, const struct iovec *iov, int count)
{
    if (SP_UNLIKELY(sock->state != SP_SOCK_OPEN)) {
        SP_ASSERT(sock->state == SP_SOCK_BROKEN);
        return sock->late ? sock->late : SP_E_RESET;
    }
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;

    ssize_t sent = sock->loop->body->send(sock, iov, count);
    if (SP_UNLIKELY(sent < 0)) {
        sp_sock_lost(sock, (sp_err)sent);
        return sent;
    }
    if ((size_t)sent < bytes) {
        sock->room_wanted = true;
        sp_sock_touch(sock);
    }
    return sent;
}

void sp_sock_shutdown(struct sp_sock *sock)
{
    SP_ASSERT(sock->state == SP_SOCK_OPEN || sock->state == SP_SOCK_BROKEN);
    if (sock->state == SP_SOCK_OPEN && !sock->shut)
        sock->loop->body->shutdown(sock);
    sock->shut = true;
}

/* --- closing -------------------------------------------------------------------------------------------- */

static void leave(struct sp_sock *sock)
{
    SP_ASSERT(sock->state != SP_SOCK_NONE && sock->state != SP_SOCK_CLOSING);
    if (sock->pumped)
        sp_pump_cancel(sock->pump_out);
    if (sock->pump_in)
        sp_pump_cancel(sock->pump_in);
    sp_list_remove(&sock->link);
    sock->starved = false;
    sock->reading = false;
    sock->room_wanted = false;
    sock->into = NULL;
    if (sock->loop->current == sock)
        sock->loop->current = NULL;
}

void sp_sock_close(struct sp_sock *sock, bool reset)
{
    leave(sock);
    if (sock->fd >= 0)
        sock->loop->body->close(sock, reset);
    sock->interest = 0;
    sock->state = SP_SOCK_CLOSING;
    sp_list_push(&sock->loop->closed, &sock->link);
}

void sp_sock_deliver_closed(struct sp_loop *loop)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(&loop->closed))) {
        struct sp_sock *sock = SP_CONTAINER(link, struct sp_sock, link);
        sock->state = SP_SOCK_NONE;
        loop->view.socks_open--;
        sock->ops->on_closed(sock);
    }
}

int sp_sock_detach(struct sp_sock *sock)
{
    leave(sock);
    int fd = sock->loop->body->detach(sock);
    sock->interest = 0;
    sock->state = SP_SOCK_NONE;
    sock->loop->view.socks_open--;
    return fd;
}

sp_err sp_sock_local(const struct sp_sock *sock, sp_addr *ret_addr)
{
    return sock->loop->body->addr(sock, SP_ADDR_LOCAL, ret_addr);
}

sp_err sp_sock_peer(const struct sp_sock *sock, sp_addr *ret_addr)
{
    return sock->loop->body->addr(sock, SP_ADDR_PEER, ret_addr);
}

sp_err sp_sock_original_dst(const struct sp_sock *sock, sp_addr *ret_addr)
{
    return sock->loop->body->addr(sock, SP_ADDR_ORIGINAL_DST, ret_addr);
}

void sp_sock_drop_fd(struct sp_loop *loop, int fd)
{
    struct sp_sock sock = { .loop = loop, .fd = -1 };
    if (!loop->body->open(&sock, fd))
        loop->body->close(&sock, true);
}

void sp_sock_forget_fd(struct sp_loop *loop, int fd)
{
    struct sp_sock sock = { .loop = loop, .fd = -1 };
    if (!loop->body->open(&sock, fd))
        loop->body->close(&sock, false);
}
