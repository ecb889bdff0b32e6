/* listener: where connections come in, and how many may.
 *
 *   acceptor ── on_accept ──> caps ──> intake (PROXY header? original destination? first bytes?) ──> line |
 * relay
 *
 * Caps, in this order: the listener's own, then the process's budget. At the process's cap accepting rests
 * instead of accepting and cutting: the kernel's queue holds callers a moment, and admin, which has its own
 * socket, stays reachable. That the cap is reached is seen with one connection too many in the hand: it waits
 * there (waiting_fd) and is the first to get in. The same when the worker's buffers are nearly used up. When
 * descriptors run out the acceptor pauses itself. All go on with the next connection that ends, or the next
 * tick.
 *
 * Each chain has its figures and its decoder's limits. A changed listener gets new chains; old ones are
 * `gone` and live until their last connection has left, so that a configuration can change under live
 * traffic. */
#include "proxy/listener.h"

#include <string.h>

#include "base/mem.h"
#include "proxy/intake.h"
#include "proxy/line.h"
#include "proxy/worker.h"

/* ---- chains ---- */

static struct sp_chain *chain_new(struct sp_listener *listener, const struct sp_chain_spec *spec)
{
    struct sp_chain *chain = sp_mem_zalloc(sizeof(*chain));
    if (!chain)
        return NULL;
    chain->listener = listener;
    chain->spec = spec;
    sp_resource_ref(listener->resource);
    chain->resource = listener->resource;
    chain->limits.head_bytes = spec->max_headers_kb ? spec->max_headers_kb * 1024 : 60 * 1024;
    chain->limits.headers = spec->max_headers ? spec->max_headers : 100;
    chain->limits.whole_bytes = SP_LINE_WHOLE_BYTES;
    sp_hist_init(&chain->rq_time_ns);
    return chain;
}

static void chain_free(struct sp_chain *chain)
{
    sp_hist_deinit(&chain->rq_time_ns);
    sp_resource_unref(chain->resource);
    sp_mem_free(chain);
}

void sp_chain_unuse(struct sp_chain *chain)
{
    SP_ASSERT(chain->users > 0);
    if (--chain->users == 0 && chain->gone)
        chain_free(chain);
}

static void drop_chains(struct sp_chain **chains, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        chains[i]->gone = true;
        if (chains[i]->users == 0)
            chain_free(chains[i]);
    }
    sp_mem_free(chains);
}

static sp_err make_chains(struct sp_listener *listener, struct sp_chain ***ret_chains)
{
    uint32_t count = listener->spec->chain_count;
    struct sp_chain **chains = sp_mem_zalloc((count + 1) * sizeof(*chains));
    if (!chains)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        chains[i] = chain_new(listener, &listener->spec->chains[i]);
        if (!chains[i]) {
            drop_chains(chains, i);
            return SP_E_NOMEM;
        }
    }
    *ret_chains = chains;
    return 0;
}

/* ---- accepting ---- */

static void pause_doors(struct sp_listener *listener, bool on)
{
    struct sp_listener_door *door;
    sp_acceptor_pause(&listener->acceptor, on);
    SP_LIST_EACH(&listener->doors, door, next, struct sp_listener_door, link)
        sp_acceptor_pause(&door->acceptor, on);
}

void sp_listener_rest(struct sp_listener *listener)
{
    listener->resting = true;
    if (listener->accepting)
        pause_doors(listener, true);
}

static void rest(struct sp_listener *listener)
{
    sp_cell_add(&listener->cells.accept_paused, 1);
    sp_listener_rest(listener);
}

/* Both leases are taken: the connection is the listener's. */
void sp_listener_let_in(struct sp_listener *listener, int fd, const sp_addr *peer)
{
    listener->active++;
    sp_cell_add(&listener->cells.cx_active, 1);
    sp_cell_add(&listener->worker->cells.connections_total, 1);
    sp_cell_add(&listener->worker->cells.connections_active, 1);
    sp_intake_start(listener, fd, peer);
}

static void drop_over(struct sp_listener *listener, int fd)
{
    struct sp_worker *worker = listener->worker;
    sp_cell_add(&listener->cells.cx_overflow, 1);
    sp_cell_add(&worker->cells.why[SP_WHY_LISTENER_FULL], 1);
    sp_sock_drop_fd(worker->loop, fd);
}

/* Buffers are nearly used up: who is here may go on, and nobody else comes in. */
static bool is_tight(const struct sp_worker *worker)
{
    const struct sp_slab_pool *pool = sp_loop_slabs(worker->loop);
    return pool->limit_bytes &&
           pool->held_bytes - pool->kept_bytes > pool->limit_bytes - pool->limit_bytes / 8;
}

static void wait_in_hand(struct sp_listener *listener, int fd, const sp_addr *peer)
{
    struct sp_worker *worker = listener->worker;
    rest(listener);
    if (listener->waiting_fd < 0) {
        listener->waiting_fd = fd;
        listener->waiting_peer = *peer;
        return;
    }
    sp_cell_add(&listener->cells.cx_overload_reject, 1); /* somebody let accepting go on all the same */
    sp_cell_add(&worker->cells.why[SP_WHY_LISTENER_FULL], 1);
    sp_sock_drop_fd(worker->loop, fd);
}

static void take(struct sp_listener *listener, int fd, const sp_addr *peer)
{
    struct sp_worker *worker = listener->worker;
    sp_cell_add(&listener->cells.cx_total, 1);
    if (!sp_lease_take(&listener->connections)) {
        drop_over(listener, fd);
        return;
    }
    bool tight = is_tight(worker);
    if (!tight && sp_lease_take(&worker->connection_lease)) {
        sp_listener_let_in(listener, fd, peer);
        return;
    }
    sp_lease_give(&listener->connections);
    sp_cell_add(&worker->cells.why[SP_WHY_MEMORY], tight);
    wait_in_hand(listener, fd, peer);
}

static void no_descriptors(struct sp_listener *listener)
{
    sp_cell_add(&listener->worker->cells.accept_errors, 1);
    rest(listener);
}

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    take(SP_CONTAINER(acceptor, struct sp_listener, acceptor), fd, peer);
}

static void on_full(struct sp_acceptor *acceptor, sp_err err)
{
    (void)err;
    no_descriptors(SP_CONTAINER(acceptor, struct sp_listener, acceptor));
}

static void on_door_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    take(SP_CONTAINER(acceptor, struct sp_listener_door, acceptor)->listener, fd, peer);
}

static void on_door_full(struct sp_acceptor *acceptor, sp_err err)
{
    (void)err;
    no_descriptors(SP_CONTAINER(acceptor, struct sp_listener_door, acceptor)->listener);
}

static void let_wait_end(struct sp_listener *listener, int fd)
{
    if (sp_lease_take(&listener->connections)) {
        sp_listener_let_in(listener, fd, &listener->waiting_peer);
        return;
    }
    sp_lease_give(&listener->worker->connection_lease);
    drop_over(listener, fd);
}

static void go_on(struct sp_listener *listener)
{
    if (!listener->resting || !listener->accepting || is_tight(listener->worker))
        return;
    int fd = listener->waiting_fd;
    if (fd >= 0) {
        if (!sp_lease_take(&listener->worker->connection_lease))
            return;
        listener->waiting_fd = -1;
        let_wait_end(listener, fd);
    }
    listener->resting = false;
    pause_doors(listener, false);
}

void sp_listener_tick(struct sp_listener *listener)
{
    sp_lease_idle(&listener->connections);
    go_on(listener);
}

void sp_listener_refuse(struct sp_listener *listener, int fd, enum sp_why why)
{
    struct sp_worker *worker = listener->worker;
    sp_cell_add(&worker->cells.why[why], 1);
    if (fd >= 0)
        sp_sock_drop_fd(worker->loop, fd);
    sp_cell_sub(&worker->cells.connections_active, 1);
    sp_lease_give(&worker->connection_lease);
    sp_listener_unuse(listener);
}

static void listener_free_now(struct sp_listener *listener)
{
    sp_list_remove(&listener->link);
    sp_lease_deinit(&listener->connections);
    drop_chains(listener->chains, listener->chain_count);
    sp_resource_unref(listener->resource);
    sp_mem_free(listener);
}

void sp_listener_unuse(struct sp_listener *listener)
{
    SP_ASSERT(listener->active > 0);
    listener->active--;
    sp_lease_give(&listener->connections);
    sp_cell_sub(&listener->cells.cx_active, 1);
    sp_cell_add(&listener->cells.cx_destroy, 1);
    if (listener->gone && listener->active == 0)
        listener_free_now(listener);
    else
        go_on(listener);
}

/* ---- life ---- */

static sp_err start_accepting(struct sp_listener *listener, int fd, bool shared_fd)
{
    const struct sp_listener_spec *spec = listener->spec;
    listener->acceptor.on_accept = on_accept;
    listener->acceptor.on_full = on_full;
    if (!spec->bind || fd == SP_LISTENER_LATER)
        return 0;
    struct sp_listen_config config = { .addr = spec->addr,
                                       .backlog = spec->backlog,
                                       .mode = spec->unix_mode,
                                       .reuse_port = spec->addr.family != SP_ADDR_UNIX,
                                       .transparent = spec->transparent };
    sp_err err = fd >= 0 ? sp_acceptor_open(&listener->acceptor, listener->worker->loop, fd, shared_fd)
                         : sp_acceptor_listen(&listener->acceptor, listener->worker->loop, &config);
    if (err)
        return err;
    listener->accepting = true;
    if (sp_acceptor_local(&listener->acceptor, &listener->bound))
        listener->bound = spec->addr;
    if (listener->resting)
        sp_acceptor_pause(&listener->acceptor, true);
    return 0;
}

sp_err sp_listener_open(struct sp_listener *listener)
{
    return listener->accepting || listener->gone ? 0 : start_accepting(listener, SP_LISTENER_OPEN, false);
}

sp_err sp_listener_place(struct sp_listener *listener, int fd)
{
    SP_ASSERT(fd >= 0 && !listener->accepting && !listener->gone);
    return start_accepting(listener, fd, listener->spec->addr.family == SP_ADDR_UNIX);
}

sp_err sp_listener_add_door(struct sp_listener *listener, int fd)
{
    if (!listener->accepting || listener->gone)
        return SP_E_INVALID;
    struct sp_listener_door *door = sp_mem_zalloc(sizeof(*door));
    if (!door)
        return SP_E_NOMEM;
    door->listener = listener;
    door->acceptor.on_accept = on_door_accept;
    door->acceptor.on_full = on_door_full;
    bool shared = listener->spec->addr.family == SP_ADDR_UNIX;
    sp_err err = sp_acceptor_open(&door->acceptor, listener->worker->loop, fd, shared);
    if (err) {
        sp_mem_free(door);
        return err;
    }
    sp_list_push(&listener->doors, &door->link);
    if (listener->resting)
        sp_acceptor_pause(&door->acceptor, true);
    return 0;
}

static void leave_acceptor(struct sp_acceptor *acceptor, bool close_fds)
{
    if (close_fds)
        sp_acceptor_close(acceptor);
    else
        SP_IGNORE(sp_acceptor_detach(acceptor)); /* its number is known to who has it now */
}

static void leave_doors(struct sp_listener *listener, bool close_fds)
{
    struct sp_listener_door *door;
    if (listener->accepting)
        leave_acceptor(&listener->acceptor, close_fds);
    listener->accepting = false;
    SP_LIST_EACH(&listener->doors, door, next, struct sp_listener_door, link) {
        leave_acceptor(&door->acceptor, close_fds);
        sp_list_remove(&door->link);
        sp_mem_free(door);
    }
}

void sp_listener_leave(struct sp_listener *listener, bool close_fds)
{
    leave_doors(listener, close_fds);
    if (listener->waiting_fd >= 0 && close_fds)
        sp_sock_forget_fd(listener->worker->loop, listener->waiting_fd);
    listener->waiting_fd = -1;
}

static void take_lease(struct sp_listener *listener)
{
    struct sp_listener_shared *shared = sp_map_get(&listener->worker->process->listeners,
                                                   listener->spec->name);
    SP_ASSERT(shared || !listener->spec->max_connections); /* sp_process_listener comes first */
    sp_budget_init(&listener->own, UINT32_MAX, 1);
    sp_lease_init(&listener->connections, shared ? &shared->connections : &listener->own);
}

sp_err sp_listener_new(struct sp_worker *worker, struct sp_resource *resource, int fd, bool shared_fd,
                       struct sp_listener **ret_listener)
{
    struct sp_listener *listener = sp_mem_zalloc(sizeof(*listener));
    if (!listener)
        return SP_E_NOMEM;
    listener->worker = worker;
    listener->waiting_fd = -1;
    sp_list_init(&listener->doors);
    sp_resource_ref(resource);
    listener->resource = resource;
    listener->spec = resource->listener;
    listener->bound = listener->spec->addr;
    take_lease(listener);
    sp_err err = make_chains(listener, &listener->chains);
    if (err)
        goto fail_chains;
    listener->chain_count = listener->spec->chain_count;
    err = start_accepting(listener, fd, shared_fd);
    if (err)
        goto fail_accept;
    sp_list_push(&worker->listeners, &listener->link);
    *ret_listener = listener;
    return 0;

fail_accept:
    drop_chains(listener->chains, listener->chain_count);
fail_chains:
    sp_resource_unref(resource);
    sp_mem_free(listener);
    return err;
}

sp_err sp_listener_update(struct sp_listener *listener, struct sp_resource *resource)
{
    struct sp_resource *before = listener->resource;
    struct sp_chain **chains;
    sp_resource_ref(resource);
    listener->resource = resource;
    listener->spec = resource->listener;
    sp_err err = make_chains(listener, &chains);
    if (err) {
        listener->resource = before;
        listener->spec = before->listener;
        sp_resource_unref(resource);
        return err;
    }
    drop_chains(listener->chains, listener->chain_count);
    listener->chains = chains;
    listener->chain_count = listener->spec->chain_count;
    sp_resource_unref(before);
    return 0;
}

void sp_listener_free(struct sp_listener *listener)
{
    if (listener->gone)
        return;
    listener->gone = true;
    leave_doors(listener, true);
    if (listener->waiting_fd >= 0)
        sp_sock_drop_fd(listener->worker->loop, listener->waiting_fd);
    listener->waiting_fd = -1;
    sp_list_remove(&listener->link);
    sp_list_push(&listener->worker->gone_listeners, &listener->link);
    if (listener->active == 0)
        listener_free_now(listener);
}
