/* listen: how connections come to be in the simulated world: three words, each with its delay.
 *
 *   connect ──"syn"──> listener there?  no ───────> REFUSED
 *                      │   queue full, or cut ────> asked again after 1, 2, 4 ... s, at last TIMEOUT
 *                      ▼ yes
 *                      its end waits in the queue, and may be sent to already
 *   on_connected <──"ack"──┘                       accept takes it when the loop comes to it
 *
 * So a connect can succeed towards a program that never accepts, and a connection can be gone before it was
 * taken: then accept says RESET, or gives a number whose first read fails; both are seen in the wild.
 *
 * A path of a Unix socket belongs to its machine. There the kernel decides inside connect, as Linux does.
 *
 * Redirection is what the kernel's nat rules do: the connection arrives elsewhere, and remembers where it was
 * going. */
#include "io/sim/sim_impl.h"

#include <string.h>

#include "base/mem.h"

#define RETRY_NS SP_NS_PER_S
#define CONNECT_NS (127 * SP_NS_PER_S) /* six retries of SYN, as Linux has them */

static void on_connect(struct sp_sim_event *event);

static bool is_any(const sp_addr *addr)
{
    static const uint8_t any[16];
    return !memcmp(addr->ip, any, sizeof(any));
}

/* --- who listens ---------------------------------------------------------------------------------------- */

static bool listens_at(const struct sp_sim_listener *listener, const sp_addr *addr, bool exactly)
{
    if (listener->addr.family != addr->family)
        return false;
    if (addr->family == SP_ADDR_UNIX)
        return strcmp(listener->path, addr->path) == 0;
    return listener->addr.port == addr->port &&
           (exactly ? !memcmp(listener->addr.ip, addr->ip, sizeof(addr->ip)) : is_any(&listener->addr));
}

/* One of those that listen there (SO_REUSEPORT), the exact address first. */
static struct sp_sim_listener *find_listener(struct sp_sim_machine *machine, const sp_addr *addr)
{
    for (int exactly = 1; exactly >= 0; exactly--) {
        struct sp_sim_listener *at, *drawn = NULL;
        uint64_t count = 0;
        SP_LIST_EACH(&machine->listeners, at, next, struct sp_sim_listener, link)
            if (listens_at(at, addr, exactly) &&
                (++count == 1 || sp_rng_below(&machine->sim->rng, count) == 0))
                drawn = at;
        if (drawn)
            return drawn;
    }
    return NULL;
}

static uint16_t free_port(struct sp_sim_machine *machine)
{
    machine->next_port = machine->next_port >= 60999 ? 32768 : machine->next_port + 1;
    return machine->next_port;
}

/* --- connecting ----------------------------------------------------------------------------------------- */

/* The server's end is born into the listener's queue. */
static void enqueue(struct sp_sim_cx *cx, struct sp_sim_machine *machine, struct sp_sim_listener *listener)
{
    struct sp_sim_end *client = &cx->end[0], *server = &cx->end[1];
    server->file.machine = machine;
    server->state = SP_SIM_QUEUED;
    server->peer = client->local;
    server->local = cx->to;
    if (cx->to.family == SP_ADDR_UNIX)
        server->local.path = server->peer.path = "";
    else
        server->local.port = listener->addr.port;
    server->original = client->original;
    if (machine->redirect_in && cx->to.family != SP_ADDR_UNIX)
        server->original = cx->to; /* redirected or not: a kernel that tracks says it of both */
    client->original = (sp_addr){ .family = SP_ADDR_NONE };
    sp_list_push(&listener->queue, &server->queue_link);
    listener->queued++;
    sp_sim_file_touch(&listener->file);
}

/* What the connect comes to, when its first word arrives. SP_E_AGAIN: nothing, ask again. */
static sp_err decide(struct sp_sim_cx *cx)
{
    struct sp_sim *sim = cx->sim;
    struct sp_sim_machine *from = cx->end[0].file.machine;
    bool is_unix = cx->to.family == SP_ADDR_UNIX;
    struct sp_sim_machine *machine = is_unix ? from : sp_sim_machine_at(sim, &cx->to, from);
    if (!machine)
        return SP_E_UNREACHABLE;
    if (sp_sim_is_cut(sim, from, machine))
        return SP_E_AGAIN;
    if (!is_unix && sp_sim_chance(sim, sim->faults.refuse, &sim->counts.refused))
        return SP_E_REFUSED;
    sp_addr to = cx->to;
    if (machine != from && machine->redirect_in)
        to.port = machine->redirect_in;
    struct sp_sim_listener *listener = find_listener(machine, &to);
    if (!listener)
        return is_unix ? SP_E_MISSING : SP_E_REFUSED;
    if (listener->queued >= listener->backlog)
        return is_unix ? SP_E_REFUSED : SP_E_AGAIN;
    enqueue(cx, machine, listener);
    return 0;
}

static void tell(struct sp_sim_cx *cx)
{
    struct sp_sim_end *client = &cx->end[0];
    if (client->state != SP_SIM_CONNECTING)
        return; /* closed meanwhile */
    client->state = SP_SIM_OPEN;
    if (cx->outcome && !client->err)
        client->err = cx->outcome;
    sp_sim_note(cx->sim, "connect", cx->serial, (uint64_t)-cx->outcome, 0);
    sp_sim_file_touch(&client->file);
}

static void on_connect(struct sp_sim_event *event)
{
    struct sp_sim_cx *cx = SP_CONTAINER(event, struct sp_sim_cx, connect);
    struct sp_sim *sim = cx->sim;
    bool born = cx->end[1].state != SP_SIM_UNBORN;
    bool lost = born && sp_sim_is_cut(sim, cx->end[0].file.machine, cx->end[1].file.machine);
    if (cx->decided && !lost) {
        tell(cx);
        return;
    }
    sp_err outcome = cx->decided ? SP_E_AGAIN : decide(cx);
    if (outcome == SP_E_AGAIN && sim->now - cx->started >= CONNECT_NS)
        outcome = SP_E_TIMEOUT;
    if (outcome == SP_E_AGAIN) {
        sim->counts.retried++;
        sp_sim_at(sim, event, sim->now + cx->retry);
        cx->retry *= 2;
        return;
    }
    cx->decided = true;
    cx->outcome = outcome;
    sp_sim_at(sim, event, sim->now + sp_sim_delay(sim));
}

static sp_err take_addresses(struct sp_sim_cx *cx, struct sp_sim_loop *l, const sp_addr *to,
                             const sp_addr *from, uint32_t flags)
{
    struct sp_sim_end *client = &cx->end[0];
    struct sp_sim_machine *machine = l->machine;
    cx->to = client->peer = *to;
    client->local = (sp_addr){ .family = to->family };
    if (to->family == SP_ADDR_UNIX) {
        size_t len = strlen(to->path);
        if (len == 0 || len >= sizeof(cx->to_path))
            return SP_E_INVALID;
        memcpy(cx->to_path, to->path, len + 1);
        cx->to.path = cx->to_path;
        client->local.path = client->peer.path = "";
        return 0;
    }
    bool local = sp_addr_is_loopback(to);
    if (from && !sp_addr_is_loopback(from) && !is_any(from) && !(flags & SP_SOCK_TRANSPARENT) &&
        memcmp(from->ip, machine->ip.ip, sizeof(from->ip)))
        return SP_E_INVALID; /* not an address of ours */
    memcpy(client->local.ip,
           from && !is_any(from) ? from->ip
           : local               ? to->ip
                                 : machine->ip.ip,
           sizeof(client->local.ip));
    client->local.port = from && from->port ? from->port : free_port(machine);
    if (l->redirect_out && !local) {
        client->original = *to; /* the server's end gets it */
        cx->to = (sp_addr){ .family = SP_ADDR_IP4, .port = l->redirect_out, .ip = { 127, 0, 0, 1 } };
    }
    return 0;
}

sp_err sp_sim_connect(struct sp_sock *sock, const sp_addr *to, const sp_addr *from, uint32_t flags,
                      sp_err *ret_late)
{
    struct sp_sim_loop *l = sp_sim_loop_of(sock->loop);
    struct sp_sim *sim = l->sim;
    if (to->family == SP_ADDR_NONE)
        return SP_E_INVALID;
    struct sp_sim_cx *cx = sp_sim_cx_new(sim);
    struct sp_sim_end *client = &cx->end[0];
    sp_err err = take_addresses(cx, l, to, from, flags);
    if (!err)
        err = sp_sim_file_open(l->machine, &client->file);
    if (err) {
        sp_sim_cx_free(cx);
        return err;
    }
    client->state = SP_SIM_CONNECTING;
    client->file.loop = l;
    client->sock = sock;
    sock->fd = client->file.number;
    cx->connect.on_due = on_connect;
    cx->started = sim->now;
    cx->retry = RETRY_NS;
    sim->counts.connects++;
    sp_sim_note(sim, "syn", cx->serial, cx->to.port, client->local.port);
    if (to->family == SP_ADDR_UNIX) {
        *ret_late = decide(cx);
        if (*ret_late) {
            sp_sim_end_drop(client, false);
            sock->fd = -1;
            return 0;
        }
        cx->decided = true;
    }
    sp_sim_at(sim, &cx->connect, sim->now + (cx->decided ? 0 : sp_sim_delay(sim)));
    return 0;
}

sp_err sp_sim_connected(struct sp_sock *sock)
{
    struct sp_sim_end *end = SP_CONTAINER(sp_sim_file_find(sp_sim_loop_of(sock->loop)->machine, sock->fd),
                                          struct sp_sim_end, file);
    return end->state == SP_SIM_CONNECTING ? SP_E_AGAIN : sp_sim_error(sock);
}

/* --- listening ------------------------------------------------------------------------------------------ */

static struct sp_sim_listener *listener_of(const struct sp_acceptor *acceptor)
{
    struct sp_sim_file *file = sp_sim_file_find(sp_sim_loop_of(acceptor->loop)->machine, acceptor->fd);
    SP_ASSERT(file && file->kind == SP_SIM_LISTENER);
    return SP_CONTAINER(file, struct sp_sim_listener, file);
}

static sp_err check_address(struct sp_sim_machine *machine, const struct sp_listen_config *config)
{
    const sp_addr *addr = &config->addr;
    if (addr->family == SP_ADDR_UNIX) {
        size_t len = strlen(addr->path);
        if (len == 0 || len >= SP_SIM_PATH_MAX)
            return SP_E_INVALID;
    } else if (addr->family == SP_ADDR_NONE ||
               (!is_any(addr) && !sp_addr_is_loopback(addr) && !config->transparent &&
                memcmp(addr->ip, machine->ip.ip, sizeof(addr->ip)))) {
        return SP_E_INVALID; /* not an address of ours */
    }
    struct sp_sim_listener *at;
    SP_LIST_EACH(&machine->listeners, at, next, struct sp_sim_listener, link)
        if (listens_at(at, addr, true) && !(at->reuse_port && config->reuse_port))
            return SP_E_EXISTS;
    return 0;
}

sp_err sp_sim_listen(struct sp_acceptor *acceptor, const struct sp_listen_config *config)
{
    struct sp_sim_loop *l = sp_sim_loop_of(acceptor->loop);
    sp_err err = check_address(l->machine, config);
    if (err)
        return err;
    struct sp_sim_listener *listener = sp_sim_alloc(l->sim, sizeof(*listener));
    listener->file.kind = SP_SIM_LISTENER;
    listener->file.number = -1;
    err = sp_sim_file_open(l->machine, &listener->file);
    if (err) {
        sp_mem_free(listener);
        return err;
    }
    listener->file.loop = l;
    listener->acceptor = acceptor;
    listener->addr = config->addr;
    listener->backlog = config->backlog ? config->backlog : SP_SIM_BACKLOG;
    listener->reuse_port = config->reuse_port;
    listener->watched = true;
    sp_list_init(&listener->queue);
    if (config->addr.family == SP_ADDR_UNIX) {
        memcpy(listener->path, config->addr.path, strlen(config->addr.path) + 1);
        listener->addr.path = listener->path;
    } else if (!listener->addr.port) {
        listener->addr.port = free_port(l->machine);
    }
    sp_list_push(&l->machine->listeners, &listener->link);
    acceptor->fd = listener->file.number;
    acceptor->is_unix = config->addr.family == SP_ADDR_UNIX;
    return 0;
}

/* A listening number that no loop has: one that was handed over. */
sp_err sp_sim_acceptor_open(struct sp_acceptor *acceptor, int number, bool shared)
{
    struct sp_sim_loop *l = sp_sim_loop_of(acceptor->loop);
    struct sp_sim_file *file = sp_sim_file_find(l->machine, number);
    if (!file || file->kind != SP_SIM_LISTENER || file->loop)
        return SP_E_INVALID;
    struct sp_sim_listener *listener = SP_CONTAINER(file, struct sp_sim_listener, file);
    file->loop = l;
    listener->acceptor = acceptor;
    listener->watched = true;
    acceptor->fd = number;
    acceptor->shared = shared;
    acceptor->is_unix = listener->addr.family == SP_ADDR_UNIX;
    sp_sim_file_touch(file);
    return 0;
}

void sp_sim_acceptor_watch(struct sp_acceptor *acceptor, bool on)
{
    struct sp_sim_listener *listener = listener_of(acceptor);
    listener->watched = on;
    sp_sim_file_touch(&listener->file);
}

int sp_sim_accept(struct sp_acceptor *acceptor, sp_addr *ret_peer)
{
    struct sp_sim_listener *listener = listener_of(acceptor);
    struct sp_sim_machine *machine = listener->file.machine;
    struct sp_sim *sim = machine->sim;
    struct sp_sim_end *end = SP_LIST_FIRST(&listener->queue, struct sp_sim_end, queue_link);
    if (!end)
        return SP_E_AGAIN;
    bool gone = end->err && sp_rng_chance(&sim->rng, 500);
    sp_err err = gone ? 0 : sp_sim_file_open(machine, &end->file);
    if (err)
        return err;
    sp_list_remove(&end->queue_link);
    listener->queued--;
    sp_sim_note(sim, "accept", end->cx->serial, gone, (uint64_t)end->file.number);
    if (gone) {
        sp_sim_end_drop(end, false);
        return SP_E_RESET;
    }
    end->state = SP_SIM_OPEN;
    sim->counts.accepts++;
    *ret_peer = end->peer;
    return end->file.number;
}

void sp_sim_acceptor_close(struct sp_acceptor *acceptor)
{
    struct sp_sim_listener *listener = listener_of(acceptor);
    struct sp_list *link;
    while ((link = sp_list_pop_first(&listener->queue)))
        sp_sim_end_drop(SP_CONTAINER(link, struct sp_sim_end, queue_link), true);
    sp_list_remove(&listener->link);
    sp_sim_file_close(&listener->file);
    sp_mem_free(listener);
}

int sp_sim_acceptor_detach(struct sp_acceptor *acceptor)
{
    struct sp_sim_listener *listener = listener_of(acceptor);
    sp_list_remove(&listener->file.ready_link);
    listener->file.loop = NULL;
    listener->acceptor = NULL;
    return acceptor->fd;
}

sp_err sp_sim_acceptor_addr(const struct sp_acceptor *acceptor, sp_addr *ret_addr)
{
    *ret_addr = listener_of(acceptor)->addr;
    if (ret_addr->family == SP_ADDR_UNIX)
        ret_addr->path = "";
    return 0;
}
