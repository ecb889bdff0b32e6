/* tcp: raw relaying. A relay joins the accepted socket and one to an endpoint by two pumps (io/pump.h), which
 * copy small reads and splice large flows; what this file adds is the walk of a call in small: choose a
 * cluster by weight, pick an endpoint, connect (again elsewhere, as often as the chain allows), say who calls
 * (PROXY protocol out), relay, count, report.
 *
 *    CONNECTING ──on_connected──> FIRST (PROXY header, bytes that were read while looking) ──> RELAYING ──>
 * gone
 *
 * Nothing is read from the caller before the endpoint is there: what it sends waits in the kernel. Each
 * direction ends by itself: FIN is passed on when everything before it has been delivered. Either side
 * breaking cuts both.
 *
 * Figures are told while the relay lives: opened when the endpoint is there, bytes once a second and at the
 * end (tell_bytes). A connection may live for days, and whoever looks wants to see what it does now.
 *
 * Idleness and age are looked at when the timer fires: bytes that flow only note the time. */
#include "proxy/tcp.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "proxy/line.h"
#include "proxy/tcp_impl.h"
#include "proxy/worker.h"
#include "wire/proxyproto.h"

static void attempt(struct sp_relay *r);
static void cut(struct sp_relay *r, enum sp_why why, bool reset);

/* ---- the end ---- */

static void report(struct sp_relay *r)
{
    struct sp_report *report = sp_worker_report(r->worker);
    if (!report)
        return;
    memset(report, 0, offsetof(struct sp_report, text));
    report->wall_start_ns = r->wall_ns;
    report->duration_ns = sp_loop_now(r->worker->loop) - r->started_ns;
    report->upstream_ns = r->connected_ns ? r->connected_ns - r->started_ns : 0;
    report->bytes_received = r->received;
    report->bytes_sent = r->sent;
    sp_report_origin(report, &r->origin);
    if (r->endpoint)
        report->upstream = sp_report_addr(r->endpoint->addr);
    report->upstream_local = sp_report_addr(r->up_local);
    report->why = (uint16_t)r->why;
    report->protocol = SP_PROTO_TCP;
    report->direction = (uint8_t)r->chain->listener->spec->direction;
    report->attempts = (uint8_t)SP_MIN(r->attempts, 255u);
    report->chain = r->chain->spec;
    report->log_mask = (uint8_t)((1u << SP_MIN(r->chain->spec->log_count, 8u)) - 1);
    sp_str strs[SP_REPORT_STRS] = { [SP_REPORT_CHAIN] = r->chain->spec->stat_prefix };
    strs[SP_REPORT_CLUSTER] = r->cluster ? r->cluster->spec->name : SP_STR_NULL;
    strs[SP_REPORT_FAILURE] = r->failure ? sp_str_c(sp_err_str(r->failure)) : SP_STR_NULL;
    size_t at = 0;
    for (int i = 0; i < SP_REPORT_STRS; i++) {
        size_t len = SP_MIN(strs[i].len, SP_REPORT_TEXT - at);
        if (len)
            memcpy(report->text + at, strs[i].ptr, len);
        report->len[i] = (uint16_t)len;
        at += len;
    }
    sp_worker_report_done(r->worker, report);
}

struct sp_series *sp_relay_series(struct sp_relay *r)
{
    struct sp_series_key key = { .direction = (uint8_t)r->chain->listener->spec->direction,
                                 .protocol = SP_PROTO_TCP,
                                 .why = (uint16_t)r->why,
                                 .cluster = r->cluster ? r->cluster->spec->name : SP_STR_NULL };
    if (r->endpoint) {
        key.workload = r->endpoint->workload;
        key.workload_namespace = r->endpoint->workload_namespace;
    }
    return sp_worker_series(r->worker, &key, r->cluster ? r->cluster->spec : NULL);
}

static void opened(struct sp_relay *r)
{
    r->series = sp_relay_series(r);
    if (r->series)
        sp_cell_add(&r->series->tcp_opened, 1);
}

/* What has passed since the last time. */
static void tell_bytes(struct sp_relay *r)
{
    uint64_t sent = r->sent - r->sent_told, received = r->received - r->received_told;
    r->sent_told = r->sent;
    r->received_told = r->received;
    sp_cell_add(&r->chain->tcp.cx_rx_bytes, received);
    sp_cell_add(&r->chain->tcp.cx_tx_bytes, sent);
    if (r->cluster) {
        sp_cell_add(&r->cluster->cells.cx_tx_bytes, received);
        sp_cell_add(&r->cluster->cells.cx_rx_bytes, sent);
    }
    if (r->series) {
        sp_cell_add(&r->series->tcp_sent, sent);
        sp_cell_add(&r->series->tcp_received, received);
    }
}

/* One that has met no endpoint was opened too, and its reason is known: it says why there were no bytes. */
static void count_end(struct sp_relay *r)
{
    if (r->why)
        sp_cell_add(&r->worker->cells.why[r->why], 1);
    if (!r->series)
        opened(r);
    tell_bytes(r);
    struct sp_series *s = sp_relay_series(r);
    if (s)
        sp_cell_add(&s->tcp_closed, 1);
}

static void leave_endpoint(struct sp_relay *r)
{
    if (!r->endpoint)
        return;
    r->endpoint->active--;
    sp_endpoint_unuse(r->endpoint);
    r->endpoint = NULL;
}

static void relay_free(struct sp_relay *r)
{
    struct sp_worker *worker = r->worker;
    struct sp_listener *listener = r->chain->listener;
    report(r);
    count_end(r);
    leave_endpoint(r);
    if (r->cluster)
        sp_cluster_unuse(r->cluster);
    sp_cell_sub(&r->chain->tcp.cx_active, 1);
    sp_chain_unuse(r->chain);
    sp_cell_sub(&worker->cells.connections_active, 1);
    sp_lease_give(&worker->connection_lease);
    sp_listener_unuse(listener);
    sp_slab_unref(r->first.slab);
    sp_list_remove(&r->link);
    sp_mem_free(r);
}

static void on_down_closed(struct sp_sock *sock)
{
    struct sp_relay *r = SP_CONTAINER(sock, struct sp_relay, down);
    if (--r->socks == 0)
        relay_free(r);
}

/* The socket towards an endpoint is gone: the relay too, or another attempt follows. */
static void on_up_closed(struct sp_sock *sock)
{
    struct sp_relay *r = SP_CONTAINER(sock, struct sp_relay, up);
    sp_pool_line_closed(r->endpoint);
    r->socks--;
    if (!r->closing) {
        leave_endpoint(r);
        attempt(r);
        return;
    }
    if (r->socks == 0)
        relay_free(r);
}

static void cut(struct sp_relay *r, enum sp_why why, bool reset)
{
    if (r->closing)
        return;
    r->closing = true;
    if (!r->why)
        r->why = why;
    sp_timer_stop(r->worker->loop, &r->timer);
    sp_pump_cancel(&r->to_up);
    sp_pump_cancel(&r->to_down);
    if (r->up_open)
        sp_sock_close(&r->up, reset);
    r->up_open = false;
    sp_sock_close(&r->down, reset);
}

/* ---- relaying ---- */

static void on_moved_up(struct sp_pump *pump, uint64_t bytes)
{
    struct sp_relay *r = SP_CONTAINER(pump, struct sp_relay, to_up);
    r->received += bytes;
    r->active_ns = sp_loop_now(r->worker->loop);
}

static void on_moved_down(struct sp_pump *pump, uint64_t bytes)
{
    struct sp_relay *r = SP_CONTAINER(pump, struct sp_relay, to_down);
    r->sent += bytes;
    r->active_ns = sp_loop_now(r->worker->loop);
}

static void direction_done(struct sp_relay *r, struct sp_sock *to, enum sp_why broken, sp_err err)
{
    if (err != SP_E_CLOSED) {
        r->failure = err;
        cut(r, broken, true);
        return;
    }
    if (r->ended_one) {
        cut(r, SP_WHY_NONE, false);
        return;
    }
    r->ended_one = true;
    sp_sock_shutdown(to);
}

static void on_up_done(struct sp_pump *pump, sp_err err)
{
    struct sp_relay *r = SP_CONTAINER(pump, struct sp_relay, to_up);
    direction_done(r, &r->up, SP_WHY_CLIENT_GONE, err);
}

static void on_down_done(struct sp_pump *pump, sp_err err)
{
    struct sp_relay *r = SP_CONTAINER(pump, struct sp_relay, to_down);
    direction_done(r, &r->down, SP_WHY_UPSTREAM_RESET, err);
}

static void start_pumps(struct sp_relay *r)
{
    sp_slab_unref(r->first.slab);
    r->first.slab = NULL;
    sp_err err = sp_pump_start(&r->to_up, &r->down, &r->up);
    if (!err)
        err = sp_pump_start(&r->to_down, &r->up, &r->down);
    if (err) {
        r->failure = err;
        cut(r, SP_WHY_UPSTREAM_RESET, true);
    }
}

static void send_first(struct sp_relay *r)
{
    while (r->first.len) {
        struct iovec iov = { (void *)(uintptr_t)r->first.ptr, r->first.len };
        ssize_t sent = sp_sock_send(&r->up, &iov, 1);
        if (sent < 0)
            return; /* on_end follows */
        r->first.ptr += sent;
        r->first.len -= (size_t)sent;
        r->received += (uint64_t)sent;
        if (r->first.len)
            return; /* on_room follows */
    }
    start_pumps(r);
}

/* ---- connecting ---- */

/* The PROXY header goes ahead of everything. */
static bool put_proxy_header(struct sp_relay *r)
{
    enum sp_proxyproto_out out = r->cluster->spec->proxyproto;
    if (out == SP_PROXYPROTO_OFF)
        return true;
    struct sp_slab *slab = sp_slab_take_for(sp_loop_slabs(r->worker->loop),
                                            SP_PROXYPROTO_WRITE_BYTES + r->first.len);
    if (!slab)
        return false;
    struct sp_proxyproto header = { .from = r->origin.peer,
                                    .to = r->origin.dst.family ? r->origin.dst : r->origin.local,
                                    .version = out == SP_PROXYPROTO_V1 ? 1 : 2 };
    ssize_t n = sp_proxyproto_write(&header, slab->bytes, SP_PROXYPROTO_WRITE_BYTES);
    if (n < 0) {
        sp_slab_unref(slab);
        return false;
    }
    if (r->first.len)
        memcpy(slab->bytes + n, r->first.ptr, r->first.len);
    slab->used = (uint32_t)n + (uint32_t)r->first.len;
    sp_slab_unref(r->first.slab);
    r->first = (struct sp_view){ slab, slab->bytes, slab->used };
    return true;
}

static void arm(struct sp_relay *r, sp_ns ns)
{
    if (ns)
        sp_timer_set(r->worker->loop, &r->timer, ns);
    else
        sp_timer_stop(r->worker->loop, &r->timer);
}

/* Idleness or age, whichever comes first. */
static void arm_relaying(struct sp_relay *r, sp_ns now)
{
    const struct sp_chain_spec *spec = r->chain->spec;
    sp_ns due = UINT64_MAX;
    if (spec->tcp_idle_ns)
        due = r->active_ns + spec->tcp_idle_ns;
    if (spec->max_connection_ns)
        due = SP_MIN(due, r->started_ns + spec->max_connection_ns);
    arm(r, due == UINT64_MAX ? 0 : due > now ? due - now : 1);
}

static void connect_failed(struct sp_relay *r, enum sp_why why, sp_err err)
{
    sp_cell_add(&r->endpoint->cx_connect_fail, 1);
    sp_cell_add(&r->cluster->cells.cx_connect_fail, 1);
    r->failure = err;
    uint32_t most = r->chain->spec->connect_attempts ? r->chain->spec->connect_attempts : 1;
    if (r->attempts >= most) {
        cut(r, why, true);
        return;
    }
    r->up_open = false;
    sp_sock_close(&r->up, true); /* on_up_closed tries again */
}

static void on_connected(struct sp_sock *sock, sp_err err)
{
    struct sp_relay *r = SP_CONTAINER(sock, struct sp_relay, up);
    if (err) {
        connect_failed(r, SP_WHY_CONNECT, err);
        return;
    }
    r->connected = true;
    r->failure = 0;
    if (r->endpoint->addr.family != SP_ADDR_UNIX)
        SP_IGNORE(sp_sock_local(sock, &r->up_local)); /* for the record: it can do without */
    r->connected_ns = r->active_ns = sp_loop_now(r->worker->loop);
    opened(r);
    arm_relaying(r, r->connected_ns);
    if (!put_proxy_header(r)) {
        cut(r, SP_WHY_MEMORY, true);
        return;
    }
    send_first(r);
}

static void on_room(struct sp_sock *sock)
{
    send_first(SP_CONTAINER(sock, struct sp_relay, up));
}

static void on_down_end(struct sp_sock *sock, sp_err err)
{
    struct sp_relay *r = SP_CONTAINER(sock, struct sp_relay, down);
    r->failure = err == SP_E_CLOSED ? 0 : err;
    cut(r, SP_WHY_CLIENT_GONE, true);
}

static void on_up_end(struct sp_sock *sock, sp_err err)
{
    struct sp_relay *r = SP_CONTAINER(sock, struct sp_relay, up);
    r->failure = err;
    cut(r, SP_WHY_UPSTREAM_RESET, true);
}

static void on_no_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    (void)slab, (void)ptr, (void)len;
    SP_ASSERT(!sock); /* reading is the pump's */
}

const struct sp_sock_ops sp_relay_down_ops = { .on_bytes = on_no_bytes,
                                               .on_end = on_down_end,
                                               .on_closed = on_down_closed };
const struct sp_sock_ops sp_relay_up_ops = { .on_connected = on_connected,
                                             .on_bytes = on_no_bytes,
                                             .on_room = on_room,
                                             .on_end = on_up_end,
                                             .on_closed = on_up_closed };

static sp_str draw_cluster(const struct sp_relay *r)
{
    const struct sp_chain_spec *spec = r->chain->spec;
    if (!spec->weighted_count)
        return spec->cluster;
    uint64_t at = sp_rng_below(sp_loop_rng(r->worker->loop), spec->weight_total);
    for (uint32_t i = 0; i < spec->weighted_count; i++) {
        if (at < spec->weighted[i].weight)
            return spec->weighted[i].cluster;
        at -= spec->weighted[i].weight;
    }
    return spec->weighted[0].cluster;
}

static enum sp_why open_up(struct sp_relay *r)
{
    struct sp_balance_key key = { .avoid = r->tried, .avoid_count = SP_MIN(r->attempts - 1, SP_RELAY_TRIED) };
    enum sp_why why = SP_WHY_NO_HEALTHY;
    struct sp_endpoint *ep = sp_cluster_pick(r->cluster, &key, r->origin.dst.family ? &r->origin.dst : NULL,
                                             &why);
    if (!ep) {
        sp_cell_add(&r->cluster->cells.lb_no_endpoint, 1);
        return why;
    }
    if (!sp_lease_take(&r->cluster->connections)) {
        sp_cell_add(&r->cluster->cells.cx_overflow, 1);
        return SP_WHY_POOL_FULL;
    }
    const sp_addr *bind = r->cluster->spec->bind.family ? &r->cluster->spec->bind : NULL;
    r->failure = sp_sock_connect(&r->up, r->worker->loop, &sp_relay_up_ops, &ep->addr, bind, 0);
    if (r->failure) {
        sp_lease_give(&r->cluster->connections);
        return r->failure == SP_E_NOFILE ? SP_WHY_DESCRIPTORS : SP_WHY_CONNECT;
    }
    r->endpoint = ep;
    if (r->attempts <= SP_RELAY_TRIED)
        r->tried[r->attempts - 1] = ep;
    ep->users++;
    ep->active++;
    sp_cell_add(&ep->cx_total, 1);
    sp_cell_add(&ep->cx_active, 1);
    sp_cell_add(&r->cluster->cells.cx_total, 1);
    sp_cell_add(&r->cluster->cells.cx_active, 1);
    r->up_open = true;
    r->socks++;
    return SP_WHY_NONE;
}

static void attempt(struct sp_relay *r)
{
    r->attempts++;
    enum sp_why why = open_up(r);
    if (why) {
        cut(r, why, true);
        return;
    }
    arm(r, r->cluster->spec->connect_timeout_ns);
}

static void on_timer(struct sp_timer *timer)
{
    struct sp_relay *r = SP_CONTAINER(timer, struct sp_relay, timer);
    const struct sp_chain_spec *spec = r->chain->spec;
    sp_ns now = sp_loop_now(r->worker->loop);
    if (!r->connected) {
        sp_cell_add(&r->cluster->cells.cx_connect_timeout, 1);
        connect_failed(r, SP_WHY_CONNECT_TIMEOUT, SP_E_TIMEOUT);
    } else if (spec->tcp_idle_ns && now >= r->active_ns + spec->tcp_idle_ns) {
        sp_cell_add(&r->chain->tcp.idle_timeout, 1);
        cut(r, SP_WHY_IDLE, false);
    } else if (spec->max_connection_ns && now >= r->started_ns + spec->max_connection_ns) {
        sp_cell_add(&r->chain->tcp.max_duration, 1);
        cut(r, SP_WHY_MAX_AGE, false);
    } else {
        arm_relaying(r, now);
    }
}

void sp_relay_wire(struct sp_relay *r)
{
    r->timer.on_fire = on_timer;
    r->to_up.on_moved = on_moved_up;
    r->to_up.on_done = on_up_done;
    r->to_down.on_moved = on_moved_down;
    r->to_down.on_done = on_down_done;
}

void sp_relay_go_on(struct sp_relay *r)
{
    if (!r->connected)
        attempt(r);
    else if (r->first.slab)
        send_first(r);
}

void sp_relay_arm(struct sp_relay *r)
{
    arm_relaying(r, sp_loop_now(r->worker->loop));
}

void sp_tcp_start(struct sp_chain *chain, int fd, const struct sp_origin *origin, struct sp_view first)
{
    struct sp_worker *worker = chain->listener->worker;
    struct sp_relay *r = sp_mem_zalloc(sizeof(*r));
    if (!r || sp_sock_open_fd(&r->down, worker->loop, &sp_relay_down_ops, fd)) {
        sp_mem_free(r);
        sp_slab_unref(first.slab);
        sp_listener_refuse(chain->listener, fd, SP_WHY_MEMORY);
        return;
    }
    r->worker = worker;
    r->chain = chain;
    chain->users++;
    r->origin = *origin;
    r->first = first;
    r->socks = 1;
    r->started_ns = r->active_ns = sp_loop_now(worker->loop);
    r->wall_ns = sp_loop_wall(worker->loop);
    sp_relay_wire(r);
    sp_list_push(&worker->relays, &r->link);
    sp_cell_add(&chain->tcp.cx_total, 1);
    sp_cell_add(&chain->tcp.cx_active, 1);
    r->cluster = sp_worker_cluster(worker, draw_cluster(r));
    if (!r->cluster) {
        sp_cell_add(&chain->tcp.cx_no_route, 1);
        cut(r, SP_WHY_NO_CLUSTER, true);
        return;
    }
    r->cluster->users++;
    attempt(r);
}

void sp_relay_tick(struct sp_worker *worker)
{
    struct sp_relay *r;
    SP_LIST_EACH(&worker->relays, r, next, struct sp_relay, link)
        tell_bytes(r);
}

void sp_relay_cut_all(struct sp_worker *worker)
{
    struct sp_relay *r;
    SP_LIST_EACH(&worker->relays, r, next, struct sp_relay, link)
        cut(r, SP_WHY_DRAINING, true);
}
