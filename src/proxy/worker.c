/* worker: one thread's world, and how configuration enters it.
 *
 * A snapshot is applied between two turns: clusters first, so that no route meets a missing one, then
 * listeners, then what is no longer named leaves. Objects that stay are updated in place and keep their
 * sockets, lines, calls and figures; what leaves stops taking new work and is freed with its last user.
 *
 * sp_process_cluster is the main thread's; a worker finds the shared budgets already made (sp_worker_apply is
 * preceded by sp_process_cluster for every cluster, on the main loop), by reading the map that nobody changes
 * while workers apply.
 *
 * Draining: listeners close; a caller's line ends behind its next answer, or when it has been quiet for a
 * second (line.c); on_drained when nothing is left. At the deadline calls still under way are refused, and a
 * moment later what is left is cut.
 *
 * Series (Istio's metrics) are made on first use and never removed; their number is bounded, because labels
 * come from peers: beyond the bound all share one series named `overflow`. */
#include "proxy/worker.h"

#include <string.h>

#include "base/mem.h"
#include "proxy/line.h"
#include "proxy/listener.h"
#include "proxy/stream.h"
#include "proxy/tcp.h"

#define TICK_NS SP_NS_PER_S
#define LAST_WORDS_NS (500 * SP_NS_PER_MS) /* behind the drain's deadline: for refusals to be read */

static void on_tick(struct sp_timer *timer);

/* Of each of /why's rings: one more than it remembers, where the next is written, and perhaps not kept. */
static uint32_t slots(const struct sp_worker *worker)
{
    return worker->recent_cap + 1;
}

sp_err sp_worker_init(struct sp_worker *worker, struct sp_process *process, struct sp_loop *loop,
                      uint32_t index)
{
    memset(worker, 0, sizeof(*worker));
    worker->index = index;
    worker->process = process;
    worker->loop = loop;
    sp_list_init(&worker->listeners);
    sp_list_init(&worker->gone_listeners);
    sp_list_init(&worker->gone_clusters);
    sp_list_init(&worker->streams);
    sp_list_init(&worker->no_mux.behind);
    sp_list_init(&worker->no_mux.binds);
    sp_list_init(&worker->lines);
    sp_list_init(&worker->intakes);
    sp_list_init(&worker->relays);
    sp_map_init(&worker->clusters, sp_rng_next(sp_loop_rng(loop)));
    sp_map_init(&worker->series_by_key, sp_rng_next(sp_loop_rng(loop)));
    sp_lease_init(&worker->connection_lease, &process->connections);
    sp_lease_init(&worker->stream_lease, &process->streams);
    worker->tick.on_fire = on_tick;
    sp_err err = sp_link_init(&worker->link, loop);
    if (err)
        return err;
    err = sp_ring_init(&worker->reports, SP_REPORT_RING, sizeof(struct sp_report));
    if (err)
        goto fail_ring;
    worker->recent_cap = process->settings->why_records;
    if (worker->recent_cap) {
        worker->recent = sp_mem_zalloc(slots(worker) * sizeof(struct sp_report));
        if (!worker->recent)
            goto fail_recent;
    }
    process->workers[index] = worker;
    sp_timer_set(loop, &worker->tick, TICK_NS);
    return 0;

fail_recent:
    err = SP_E_NOMEM;
    sp_ring_deinit(&worker->reports);
fail_ring:
    sp_link_deinit(&worker->link);
    return err;
}

static bool is_empty(const struct sp_worker *worker)
{
    return sp_list_is_empty(&worker->streams) && sp_list_is_empty(&worker->lines) &&
           sp_list_is_empty(&worker->relays) && sp_list_is_empty(&worker->intakes);
}

/* Whoever ends one may end others on the same list, and some have ended already and only wait to be told so:
 * each is taken once. */
static void close_lines(struct sp_list *lines)
{
    struct sp_list batch, *at;
    sp_list_init(&batch);
    while ((at = sp_list_pop_first(lines)))
        sp_list_push(&batch, at);
    while ((at = sp_list_pop_first(&batch))) {
        sp_list_push(lines, at);
        sp_line_close(SP_CONTAINER(at, struct sp_line, link), SP_WHY_DRAINING, true);
    }
}

static void close_cluster_lines(struct sp_cluster *cluster)
{
    cluster->users++;
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        ep->users++;
        close_lines(&ep->idle);
        close_lines(&ep->busy);
        close_lines(&ep->connecting);
        close_lines(&ep->lingering);
        sp_endpoint_unuse(ep);
    }
    sp_cluster_unuse(cluster);
}

static void cut_everything(struct sp_worker *worker)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link)
        sp_listener_free(listener);
    close_lines(&worker->lines);
    sp_intake_cut_all(worker);
    sp_relay_cut_all(worker);
    size_t at = 0;
    void *value;
    while (sp_map_next(&worker->clusters, &at, NULL, &value))
        close_cluster_lines(value);
    struct sp_cluster *cluster;
    SP_LIST_EACH(&worker->gone_clusters, cluster, next_cluster, struct sp_cluster, link)
        close_cluster_lines(cluster);
    struct sp_stream *stream; /* one-way calls that outlived their callers and have met no line */
    SP_LIST_EACH(&worker->streams, stream, next_stream, struct sp_stream, link)
        if (!stream->caller && stream->waits)
            sp_stream_cut(stream, SP_WHY_DRAINING);
}

static void free_kept(struct sp_worker *worker)
{
    while (worker->free_lines) {
        struct sp_line *line = worker->free_lines;
        worker->free_lines = (struct sp_line *)(void *)line->link.next;
        sp_mem_free(line);
    }
    while (worker->free_streams) {
        struct sp_stream *stream = worker->free_streams;
        worker->free_streams = (struct sp_stream *)(void *)stream->link.next;
        sp_arena_deinit(&stream->arena);
        sp_mem_free(stream);
    }
    worker->free_line_count = worker->free_stream_count = 0;
}

void sp_worker_cut(struct sp_worker *worker)
{
    worker->reports_direct = true;
    worker->draining = true;
    cut_everything(worker);
}

void sp_worker_deinit(struct sp_worker *worker)
{
    worker->draining = true;
    cut_everything(worker);
    sp_timer_stop(worker->loop, &worker->tick);
    sp_timer_stop(worker->loop, &worker->deadline);
    sp_loop_turn_cancel(&worker->moved);
    sp_loop_turn(worker->loop, 0); /* on_closed of everything */
    SP_ASSERT(is_empty(worker));
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&worker->clusters, &at, &name, &value))
        sp_cluster_free(value);
    sp_map_deinit(&worker->clusters);
    SP_ASSERT(sp_list_is_empty(&worker->gone_clusters) && sp_list_is_empty(&worker->gone_listeners));
    while (worker->series) {
        struct sp_series *series = worker->series;
        worker->series = series->next;
        sp_hist_deinit(&series->duration_ns);
        sp_hist_deinit(&series->request_bytes);
        sp_hist_deinit(&series->response_bytes);
        sp_mem_free(series);
    }
    sp_map_deinit(&worker->series_by_key);
    free_kept(worker);
    sp_ring_deinit(&worker->reports);
    sp_mem_free(worker->recent);
    sp_mem_free(worker->failed);
    sp_lease_deinit(&worker->connection_lease);
    sp_lease_deinit(&worker->stream_lease);
    sp_link_deinit(&worker->link);
    if (worker->snapshot)
        sp_snapshot_unref(worker->snapshot);
    worker->process->workers[worker->index] = NULL;
}

/* ---- configuration ---- */

struct sp_cluster *sp_worker_cluster(struct sp_worker *worker, sp_str name)
{
    return sp_map_get(&worker->clusters, name);
}

static sp_err apply_cluster(struct sp_worker *worker, struct sp_resource *resource)
{
    struct sp_cluster *cluster = sp_map_get(&worker->clusters, resource->name);
    if (cluster && cluster->resource == resource)
        return 0;
    struct sp_cluster_shared *shared = sp_map_get(&worker->process->clusters, resource->name);
    SP_ASSERT(shared); /* sp_process_cluster comes first */
    if (cluster)
        return sp_cluster_update(cluster, resource);
    sp_err err = sp_cluster_new(worker, resource, shared, &cluster);
    if (err)
        return err;
    err = sp_map_put(&worker->clusters, shared->name, cluster, NULL); /* whose bytes stay */
    if (err)
        sp_cluster_free(cluster);
    return err;
}

static void drop_clusters(struct sp_worker *worker, const struct sp_snapshot *snapshot)
{
    bool again = true;
    while (again) { /* a removal ends the walk over the map: begin anew */
        again = false;
        size_t at = 0;
        sp_str name;
        void *value;
        while (sp_map_next(&worker->clusters, &at, &name, &value)) {
            if (sp_snapshot_cluster(snapshot, name))
                continue;
            sp_map_remove(&worker->clusters, name);
            sp_cluster_free(value);
            again = true;
            break;
        }
    }
}

static struct sp_listener *find_listener(struct sp_worker *worker, sp_str name)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link)
        if (sp_str_eq(listener->spec->name, name))
            return listener;
    return NULL;
}

static int fd_for(const struct sp_listen_fds *fds, sp_str name)
{
    for (uint32_t i = 0; fds && i < fds->count; i++)
        if (sp_str_eq(fds->names[i], name))
            return fds->fds[i];
    return fds && fds->only ? SP_LISTENER_LATER : SP_LISTENER_OPEN;
}

static bool has_same_socket(const struct sp_listener_spec *a, const struct sp_listener_spec *b)
{
    return sp_addr_eq(&a->addr, &b->addr) && a->bind == b->bind && a->transparent == b->transparent;
}

static sp_err apply_listener(struct sp_worker *worker, struct sp_resource *resource,
                             const struct sp_listen_fds *fds)
{
    struct sp_listener *listener = find_listener(worker, resource->name);
    if (listener && listener->resource == resource)
        return 0;
    if (listener && has_same_socket(listener->spec, resource->listener))
        return sp_listener_update(listener, resource);
    struct sp_listener *fresh;
    bool is_unix = resource->listener->addr.family == SP_ADDR_UNIX;
    sp_err err = sp_listener_new(worker, resource, fd_for(fds, resource->name), is_unix, &fresh);
    if (!err && listener) /* the name goes over to the new address only when that is open */
        sp_listener_free(listener);
    return err;
}

sp_err sp_worker_apply(struct sp_worker *worker, struct sp_snapshot *snapshot,
                       const struct sp_listen_fds *fds)
{
    sp_err first = 0;
    for (int kind = 0; kind < 2; kind++) {
        size_t at = 0;
        sp_str name;
        void *value;
        const struct sp_map *map = &snapshot->by_name[kind == 0 ? SP_RESOURCE_CLUSTER : SP_RESOURCE_LISTENER];
        while (sp_map_next(map, &at, &name, &value)) {
            sp_err err = kind == 0 ? apply_cluster(worker, value) : apply_listener(worker, value, fds);
            if (err && !first)
                first = err;
        }
    }
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link)
        if (!sp_snapshot_listener(snapshot, listener->spec->name))
            sp_listener_free(listener);
    drop_clusters(worker, snapshot);
    sp_snapshot_ref(snapshot);
    if (worker->snapshot)
        sp_snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    sp_cell_add(&worker->cells.snapshots, 1);
    return first;
}

sp_err sp_worker_open(struct sp_worker *worker)
{
    sp_err first = 0;
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link) {
        sp_err err = sp_listener_open(listener);
        first = first ? first : err;
    }
    return first;
}

sp_err sp_worker_place(struct sp_worker *worker, sp_str name, int fd)
{
    struct sp_listener *listener = find_listener(worker, name);
    return listener && !listener->accepting ? sp_listener_place(listener, fd) : SP_E_MISSING;
}

sp_err sp_worker_add_door(struct sp_worker *worker, sp_str name, int fd)
{
    struct sp_listener *listener = find_listener(worker, name);
    return listener && listener->accepting ? sp_listener_add_door(listener, fd) : SP_E_MISSING;
}

void sp_worker_set_endpoints(struct sp_worker *worker, sp_str name, const struct sp_endpoint_found *found,
                             uint32_t count, bool failed)
{
    struct sp_cluster *cluster = sp_map_get(&worker->clusters, name);
    if (!cluster)
        return;
    bool bad = failed || sp_cluster_set_endpoints(cluster, found, count) != 0;
    sp_cell_add(bad ? &cluster->cells.update_failure : &cluster->cells.update_success, 1);
    cluster->resolved |= !bad;
}

/* ---- once a second ---- */

static void check_drained(struct sp_worker *worker)
{
    if (!worker->draining || !worker->on_drained || !is_empty(worker))
        return;
    void (*tell)(struct sp_worker *) = worker->on_drained;
    worker->on_drained = NULL;
    sp_timer_stop(worker->loop, &worker->deadline);
    tell(worker);
}

static void on_tick(struct sp_timer *timer)
{
    struct sp_worker *worker = SP_CONTAINER(timer, struct sp_worker, tick);
    sp_lease_idle(&worker->connection_lease);
    sp_lease_idle(&worker->stream_lease);
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&worker->clusters, &at, &name, &value))
        sp_cluster_tick(value);
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link)
        sp_listener_tick(listener);
    sp_relay_tick(worker);
    uint64_t total = sp_cell_get(&worker->cells.streams_total);
    /* Nothing is called: hold no memory for speed, however many connections there are. */
    bool idle = total == worker->streams_before && sp_list_is_empty(&worker->streams);
    if (idle && !worker->was_idle) {
        free_kept(worker);
        sp_link_trim(&worker->link);
        sp_slab_pool_trim(sp_loop_slabs(worker->loop));
        sp_mem_trim();
    }
    worker->was_idle = idle;
    worker->streams_before = total;
    check_drained(worker);
    sp_timer_set(worker->loop, timer, worker->draining ? TICK_NS / 20 : TICK_NS);
}

/* ---- drain ---- */

static void on_last_words(struct sp_timer *timer)
{
    cut_everything(SP_CONTAINER(timer, struct sp_worker, deadline));
}

static void on_deadline(struct sp_timer *timer)
{
    struct sp_worker *worker = SP_CONTAINER(timer, struct sp_worker, deadline);
    struct sp_list batch, *at;
    sp_list_init(&batch);
    while ((at = sp_list_pop_first(&worker->streams)))
        sp_list_push(&batch, at);
    while ((at = sp_list_pop_first(&batch))) { /* one may end others, or wait with its refusal */
        sp_list_push(&worker->streams, at);
        sp_stream_cut(SP_CONTAINER(at, struct sp_stream, link), SP_WHY_DRAINING);
    }
    worker->deadline.on_fire = on_last_words; /* what was just said has still to leave */
    sp_timer_set(worker->loop, &worker->deadline, LAST_WORDS_NS);
}

void sp_worker_drain_listeners(struct sp_worker *worker, bool inbound_only)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&worker->listeners, listener, next, struct sp_listener, link)
        if (!inbound_only || listener->spec->direction == SP_DIRECTION_INBOUND)
            sp_listener_free(listener);
}

void sp_worker_drain(struct sp_worker *worker, sp_ns deadline_ns,
                     void (*on_drained)(struct sp_worker *worker))
{
    worker->draining = true;
    worker->on_drained = on_drained;
    sp_worker_drain_listeners(worker, false);
    worker->drain_ns = sp_loop_now(worker->loop) + deadline_ns;
    worker->deadline.on_fire = on_deadline;
    sp_timer_set(worker->loop, &worker->deadline, deadline_ns);
    struct sp_line *line;
    SP_LIST_EACH(&worker->lines, line, next, struct sp_line, link)
        sp_line_drain(line, SP_WHY_DRAINING);
    sp_timer_set(worker->loop, &worker->tick, SP_NS_PER_MS);
}

/* ---- series ---- */

static void put(char **at, sp_str s)
{
    uint16_t len = (uint16_t)s.len; /* the text that all this goes into is shorter */
    memcpy(*at, &len, sizeof(len));
    *at += sizeof(len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

static sp_str copy(char **at, sp_str s)
{
    sp_str out = sp_str_of(*at, s.len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return out;
}

static struct sp_series *make_series(struct sp_worker *worker, const struct sp_series_key *key, sp_str text,
                                     const struct sp_cluster_spec *spec)
{
    sp_str service = spec ? spec->service : SP_STR_NULL, name = spec ? spec->service_name : SP_STR_NULL;
    sp_str space = spec ? spec->service_namespace : SP_STR_NULL;
    size_t bytes = text.len + key->cluster.len + key->workload.len + key->workload_namespace.len +
                   service.len + name.len + space.len;
    struct sp_series *series = sp_mem_zalloc(sizeof(*series) + bytes);
    if (!series)
        return NULL;
    char *at = (char *)(series + 1);
    sp_str map_key = copy(&at, text);
    series->key = *key;
    series->key.cluster = copy(&at, key->cluster);
    series->key.workload_namespace = copy(&at, key->workload_namespace);
    series->service = copy(&at, service);
    series->service_name = copy(&at, name);
    series->service_namespace = copy(&at, space);
    series->key.workload = copy(&at, key->workload);
    sp_hist_init(&series->duration_ns);
    sp_hist_init(&series->request_bytes);
    sp_hist_init(&series->response_bytes);
    if (sp_map_put(&worker->series_by_key, map_key, series, NULL)) {
        sp_mem_free(series);
        return NULL;
    }
    series->next = worker->series;
    __atomic_store_n(&worker->series, series, __ATOMIC_RELEASE);
    worker->series_count++;
    return series;
}

struct sp_series *sp_worker_series(struct sp_worker *worker, const struct sp_series_key *key,
                                   const struct sp_cluster_spec *spec)
{
    char text[1024];
    char *at = text;
    if (key->cluster.len + key->workload.len + key->workload_namespace.len + 32 > sizeof(text))
        return NULL;
    const uint16_t numbers[] = { key->direction, key->protocol, key->status, key->why, key->app_error };
    memcpy(at, numbers, sizeof(numbers));
    at += sizeof(numbers);
    put(&at, key->cluster);
    put(&at, key->workload);
    put(&at, key->workload_namespace);
    sp_str found_by = sp_str_of(text, (size_t)(at - text));
    struct sp_series *series = sp_map_get(&worker->series_by_key, found_by);
    if (series)
        return series;
    if (worker->series_count < SP_SERIES_MAX)
        return make_series(worker, key, found_by, spec);
    sp_cell_add(&worker->cells.series_overflow, 1);
    return sp_worker_series_overflow(worker);
}

struct sp_series *sp_worker_series_overflow(struct sp_worker *worker)
{
    struct sp_series *series = sp_map_get(&worker->series_by_key, SP_STR("overflow"));
    const struct sp_series_key over = { .cluster = SP_STR("overflow") };
    return series ? series : make_series(worker, &over, SP_STR("overflow"), NULL);
}

/* ---- reports ---- */

/* Until the mail is read, nobody posts it again. */
static void on_reports_mail(struct sp_mail *mail)
{
    struct sp_worker *worker = SP_CONTAINER(mail, struct sp_worker, reports_mail);
    __atomic_store_n(&worker->reports_told, false, __ATOMIC_RELEASE);
    worker->on_reports(worker);
}

/* The ring is a quarter full: its reader's own pace is too slow. */
static void tell_reader(struct sp_worker *worker)
{
    struct sp_ring *ring = &worker->reports;
    uint32_t waiting = ring->tail - __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    if (waiting < ring->cap / 4 || !worker->on_reports)
        return;
    if (worker->reports_direct) {
        worker->on_reports(worker);
        return;
    }
    if (__atomic_exchange_n(&worker->reports_told, true, __ATOMIC_ACQ_REL))
        return;
    worker->reports_mail.on_mail = on_reports_mail;
    sp_mail_post(worker->process->loop, &worker->reports_mail);
}

struct sp_report *sp_worker_report(struct sp_worker *worker)
{
    return worker->recent_cap ? &worker->recent[worker->recent_at % slots(worker)] : &worker->one_report;
}

/* What is in use of a record: most of its text is not. */
static size_t report_bytes(const struct sp_report *report)
{
    size_t text = 0;
    for (int i = 0; i < SP_REPORT_STRS; i++)
        text += report->len[i];
    return offsetof(struct sp_report, text) + text;
}

/* A call that went wrong is what /why is asked for, and a thousand others that did not must not push it out:
 * it goes to a ring of its own, which a sidecar without trouble never has. */
static bool remember_failed(struct sp_worker *worker, const struct sp_report *report)
{
    if (!worker->failed)
        worker->failed = sp_mem_zalloc(slots(worker) * sizeof(struct sp_report));
    if (!worker->failed)
        return false;
    memcpy(&worker->failed[worker->failed_at++ % slots(worker)], report, report_bytes(report));
    return true;
}

void sp_worker_report_done(struct sp_worker *worker, struct sp_report *report)
{
    if (worker->recent_cap && !(sp_report_failed(report) && remember_failed(worker, report)))
        worker->recent_at++;
    if (!report->log_mask)
        return;
    struct sp_report *into = sp_ring_reserve(&worker->reports);
    if (!into) {
        sp_cell_add(&worker->cells.reports_lost, 1);
        return;
    }
    memcpy(into, report, report_bytes(report));
    sp_ring_push(&worker->reports);
    tell_reader(worker);
}

/* The record before the last `back` of a ring. */
static const struct sp_report *look_back(const struct sp_report *ring, uint64_t at, uint32_t cap,
                                         uint64_t back)
{
    return back < SP_MIN(at, cap) ? &ring[(at - back - 1) % (cap + 1)] : NULL;
}

static uint64_t ended_ns(const struct sp_report *report)
{
    return report->wall_start_ns + report->duration_ns;
}

/* The later of what is left in both rings, of which so many have been seen. */
static const struct sp_report *next_recent(const struct sp_worker *worker, uint64_t *good, uint64_t *bad)
{
    const struct sp_report *g = look_back(worker->recent, worker->recent_at, worker->recent_cap, *good);
    const struct sp_report *b = look_back(worker->failed, worker->failed_at, worker->recent_cap, *bad);
    if (b && (!g || ended_ns(b) >= ended_ns(g))) {
        ++*bad;
        return b;
    }
    *good += g != NULL;
    return g;
}

void sp_worker_recent(struct sp_worker *worker, bool (*each)(void *arg, const struct sp_report *report),
                      void *arg)
{
    uint64_t good = 0, bad = 0;
    const struct sp_report *next;
    while ((next = next_recent(worker, &good, &bad)))
        if (!each(arg, next))
            return;
}

/* ---- questions from the main loop ---- */

static void on_answered(struct sp_mail *mail)
{
    struct sp_ask *ask = SP_CONTAINER(mail, struct sp_ask, mail);
    ask->then(ask);
}

static void on_asked(struct sp_mail *mail)
{
    struct sp_ask *ask = SP_CONTAINER(mail, struct sp_ask, mail);
    ask->fn(ask->worker, ask->arg);
    ask->mail.on_mail = on_answered;
    sp_mail_post(ask->worker->process->loop, &ask->mail);
}

void sp_worker_ask(struct sp_worker *worker, struct sp_ask *ask)
{
    ask->worker = worker;
    ask->mail.on_mail = on_asked;
    sp_mail_post(worker->loop, &ask->mail);
}
