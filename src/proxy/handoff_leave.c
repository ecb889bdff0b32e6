/* handoff_leave: how a worker forgets everything without touching a socket.
 *
 * The process that has handed itself over does not need this: it exits. It is for those whose process lives
 * on: tests, and the simulation, where old and new worker share one process and the descriptors are numbers
 * that the new one adopts.
 *
 * Calls go first, without a word and without a report, then what they were on; each gives back what it holds,
 * as it would at its end. Lines that are still connecting are nobody else's: they are closed. What is left
 * is an empty worker, and ends as any. */
#include "base/mem.h"
#include "proxy/handoff_impl.h"
#include "proxy/intake_impl.h"
#include "proxy/line_impl.h"

/* A descriptor that left its sock: another process has it too, or somebody here. */
static void drop_fd(struct sp_worker *worker, int fd, bool close_fds)
{
    if (close_fds)
        sp_sock_forget_fd(worker->loop, fd);
}

static void leave_stream(struct sp_stream *s)
{
    struct sp_cluster *cluster = s->cluster;
    struct sp_chain *chain = s->chain;
    sp_timer_stop(s->worker->loop, &s->timer);
    sp_list_remove(&s->behind_link);
    sp_list_remove(&s->in_link);
    sp_list_remove(&s->out_link);
    sp_forward_drop_held(s);
    sp_stream_unpick(s);
    if (s->counted)
        sp_lease_give(&cluster->requests);
    if (cluster)
        sp_cluster_unuse(cluster);
    if (chain)
        sp_chain_unuse(chain);
    s->state = SP_STREAM_DONE;
    sp_stream_give(s);
}

static void leave_line(struct sp_line *line, bool close_fds)
{
    struct sp_worker *worker = line->worker;
    struct sp_chain *chain = line->chain;
    struct sp_endpoint *ep = line->endpoint;
    sp_timer_stop(worker->loop, &line->timer);
    drop_fd(worker, sp_conn_leave(&line->conn), close_fds);
    sp_list_remove(&line->link);
    sp_list_remove(&line->wait_link);
    while (!sp_list_is_empty(&line->waiters))
        sp_list_remove(line->waiters.next);
    sp_list_remove(&line->mux->bind_link);
    while (!sp_list_is_empty(&line->mux->binds))
        sp_list_remove(line->mux->binds.next);
    sp_line_give(line);
    if (chain) {
        struct sp_listener *listener = chain->listener;
        sp_chain_unuse(chain);
        sp_lease_give(&worker->connection_lease);
        sp_listener_unuse(listener);
        return;
    }
    sp_lease_give(&ep->cluster->connections);
    sp_endpoint_unuse(ep);
}

static void leave_list(struct sp_list *lines, bool close_fds)
{
    struct sp_line *line;
    SP_LIST_EACH(lines, line, next, struct sp_line, link)
        leave_line(line, close_fds);
}

static void leave_cluster(struct sp_cluster *cluster, bool close_fds)
{
    struct sp_endpoint *ep;
    cluster->users++;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        ep->users++;
        struct sp_line *line;
        SP_LIST_EACH(&ep->connecting, line, next_line, struct sp_line, pool_link)
            sp_line_close(line, SP_WHY_NONE, true);
        leave_list(&ep->idle, close_fds);
        leave_list(&ep->busy, close_fds);
        leave_list(&ep->lingering, close_fds);
        sp_endpoint_unuse(ep);
    }
    sp_cluster_unuse(cluster);
}

static void leave_relay(struct sp_relay *r, bool close_fds)
{
    struct sp_worker *worker = r->worker;
    struct sp_chain *chain = r->chain;
    struct sp_listener *listener = chain->listener;
    sp_timer_stop(worker->loop, &r->timer);
    drop_fd(worker, sp_sock_detach(&r->down), close_fds);
    if (r->up_open) {
        int fd = sp_sock_detach(&r->up);
        drop_fd(worker, fd, close_fds || !r->connected); /* one that connects is nobody else's */
        sp_lease_give(&r->cluster->connections);
        r->endpoint->active--;
        sp_endpoint_unuse(r->endpoint);
    }
    if (r->cluster)
        sp_cluster_unuse(r->cluster);
    sp_chain_unuse(chain);
    sp_lease_give(&worker->connection_lease);
    sp_slab_unref(r->first.slab);
    sp_list_remove(&r->link);
    sp_mem_free(r);
    sp_listener_unuse(listener);
}

static void leave_intake(struct sp_intake *in, bool close_fds)
{
    struct sp_listener *listener = in->listener;
    struct sp_worker *worker = listener->worker;
    sp_timer_stop(worker->loop, &in->timer);
    drop_fd(worker, sp_conn_leave(&in->conn), close_fds);
    sp_list_remove(&in->link);
    sp_mem_free(in);
    sp_lease_give(&worker->connection_lease);
    sp_listener_unuse(listener);
}

static void leave_connections(struct sp_worker *worker, bool close_fds)
{
    struct sp_intake *in;
    SP_LIST_EACH(&worker->intakes, in, next, struct sp_intake, link)
        leave_intake(in, close_fds);
    struct sp_relay *relay;
    SP_LIST_EACH(&worker->relays, relay, next_relay, struct sp_relay, link)
        if (!relay->closing)
            leave_relay(relay, close_fds);
    leave_list(&worker->lines, close_fds);
    size_t at = 0;
    void *value;
    while (sp_map_next(&worker->clusters, &at, NULL, &value))
        leave_cluster(value, close_fds);
    struct sp_cluster *cluster;
    SP_LIST_EACH(&worker->gone_clusters, cluster, next_cluster, struct sp_cluster, link)
        leave_cluster(cluster, close_fds);
}

void sp_worker_leave(struct sp_worker *worker, bool close_fds)
{
    struct sp_list *lists[] = { &worker->listeners, &worker->gone_listeners };
    struct sp_listener *listener;
    for (unsigned i = 0; i < SP_COUNTOF(lists); i++)
        SP_LIST_EACH(lists[i], listener, next, struct sp_listener, link)
            sp_listener_leave(listener, close_fds);
    struct sp_stream *stream;
    SP_LIST_EACH(&worker->streams, stream, next_stream, struct sp_stream, link)
        leave_stream(stream);
    leave_connections(worker, close_fds);
    sp_worker_deinit(worker);
}
