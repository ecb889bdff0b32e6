/* handoff: a worker, told to another process in records, and made again from them.
 *
 *      saving, one section for each worker          loading
 *      ───────────────────────────────────          ───────
 *      worker                                       opens a section: goes to worker k mod count
 *      listeners, chains, clusters, endpoints       found again in the new configuration, by their names
 *      figures, series                              added to what is there
 *      lines, intakes, relays                       adopt their descriptors
 *      streams                                      hang themselves on their lines
 *      ties                                         who waits for whom, whose frame is being sent
 *                                                   the end: timers; the rest is left to the first turn
 *
 * What is not told, because it follows: gauges (each thing that is loaded counts itself), shares of limits
 * (likewise, by force: what was lent stays lent), timers (set from the times that were noted), which socket
 * is full or readable. What is given up, because nobody misses it: lines that are still connecting (the calls
 * that wait for them come along and connect anew), memory kept for speed, the records of /why.
 *
 * Configuration is not told either: the new process has read its own. Where that lacks what a connection
 * needs, the loader says so by name, and the old process goes on.
 *
 * Left aside: telling a snapshot of the old configuration along, so that nothing could be missing. Two
 * builds would have to agree on every word of it for ever; names, addresses and a few dozen numbers are a
 * contract that can be kept. */
#include "proxy/handoff.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/handoff_impl.h"
#include "proxy/line.h"
#include "proxy/tcp_impl.h"

static const struct sp_record_kind *const kinds[] = {
    &sp_handoff_worker_kind, &sp_handoff_why_kind,     &sp_handoff_listener_kind, &sp_handoff_door_kind,
    &sp_handoff_chain_kind,  &sp_handoff_cluster_kind, &sp_handoff_endpoint_kind, &sp_handoff_series_kind,
    &sp_handoff_line_kind,   &sp_handoff_mux_kind,     &sp_handoff_intake_kind,   &sp_handoff_relay_kind,
    &sp_handoff_stream_kind, &sp_handoff_tie_kind,     &sp_handoff_ahead_kind,    &sp_handoff_still_kind,
    &sp_conn_kind,
};

const struct sp_record_book sp_proxy_records = { kinds, SP_COUNTOF(kinds) };

enum { NAMES_BLOCK = 4096, NAMES_LIMIT = 1024 * 1024 };
#define SAME_CLOCK_NS (600 * SP_NS_PER_S) /* a walk takes less: more between two readings is another clock */

/* ---- saving ---- */

uint32_t sp_saver_new(struct sp_saver *saver, const void *thing)
{
    uintptr_t number = ++saver->last;
    if (sp_idmap_put(&saver->numbers, (uintptr_t)thing, (void *)number) && !saver->writer->err)
        saver->writer->err = SP_E_NOMEM;
    return (uint32_t)number;
}

uint32_t sp_saver_number(const struct sp_saver *saver, const void *thing)
{
    return thing ? (uint32_t)(uintptr_t)sp_idmap_get(&saver->numbers, (uintptr_t)thing) : 0;
}

struct sp_buf *sp_saver_buf(struct sp_saver *saver, unsigned which)
{
    sp_buf_reset(&saver->bytes[which]);
    return &saver->bytes[which];
}

sp_str sp_saver_hist(struct sp_saver *saver, unsigned which, const struct sp_hist *hist)
{
    struct sp_buf *buf = sp_saver_buf(saver, which);
    if (!sp_cell_get(&hist->count))
        return SP_STR_NULL;
    sp_hist_save(hist, buf);
    return buf->failed ? SP_STR_NULL : sp_buf_str(buf);
}

void sp_process_save(const struct sp_process *process, struct sp_record_writer *writer)
{
    if (__atomic_load_n(&process->draining, __ATOMIC_RELAXED))
        sp_record_refuse(writer, "this process is draining: it is about to end anyway");
}

void sp_saver_init(struct sp_saver *saver)
{
    sp_idmap_init(&saver->numbers);
    for (unsigned i = 0; i < SP_COUNTOF(saver->bytes); i++)
        sp_buf_init(&saver->bytes[i], 0);
}

void sp_saver_deinit(struct sp_saver *saver)
{
    for (unsigned i = 0; i < SP_COUNTOF(saver->bytes); i++) {
        if (saver->bytes[i].failed && !saver->writer->err)
            saver->writer->err = SP_E_NOMEM;
        sp_buf_deinit(&saver->bytes[i]);
    }
    sp_idmap_deinit(&saver->numbers);
}

void sp_worker_save(struct sp_worker *worker, struct sp_record_writer *writer)
{
    sp_worker_save_rest(worker, writer, NULL);
}

void sp_worker_save_rest(struct sp_worker *worker, struct sp_record_writer *writer,
                         const struct sp_ahead *ahead)
{
    struct sp_saver saver = { .worker = worker, .writer = writer, .ahead = ahead };
    if (worker->draining)
        sp_record_refuse(writer, "worker %u is draining: it is about to end anyway", worker->index);
    sp_saver_init(&saver);
    sp_save_figures(&saver);
    sp_save_listeners(&saver);
    sp_save_clusters(&saver);
    sp_save_lines(&saver);
    sp_save_intakes(&saver);
    sp_save_relays(&saver);
    sp_save_streams(&saver);
    sp_save_ties(&saver);
    sp_saver_deinit(&saver);
}

/* ---- things by number ---- */

static const char *const whats[SP_HANDOFF_WHATS] = { "listener", "chain", "cluster",
                                                     "endpoint", "line",  "stream" };

sp_err sp_handoff_put(struct sp_handoff *h, enum sp_handoff_what what, uint32_t number, void *thing)
{
    if (!number || sp_idmap_get(&h->things[what], number) || sp_idmap_get(&h->missing[what], number))
        return SP_HANDOFF_BAD(h, "%s %u is none, or there are two", whats[what], number);
    return sp_idmap_put(&h->things[what], number, thing) ? SP_HANDOFF_BAD(h, "memory is out") : 0;
}

sp_err sp_handoff_put_missing(struct sp_handoff *h, enum sp_handoff_what what, uint32_t number,
                              const char *fmt, ...)
{
    char text[SP_RECORD_TROUBLE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char *words = sp_str_dup_z(&h->names, sp_str_c(text));
    if (!number || sp_idmap_get(&h->things[what], number) || sp_idmap_get(&h->missing[what], number))
        return SP_HANDOFF_BAD(h, "%s %u is none, or there are two", whats[what], number);
    return !words || sp_idmap_put(&h->missing[what], number, words) ? SP_HANDOFF_BAD(h, "memory is out") : 0;
}

void *sp_handoff_peek(const struct sp_handoff *h, enum sp_handoff_what what, uint32_t number)
{
    return sp_idmap_get(&h->things[what], number);
}

sp_err sp_handoff_find(struct sp_handoff *h, enum sp_handoff_what what, uint32_t number, bool optional,
                       void *ret_thing)
{
    void *thing = number ? sp_idmap_get(&h->things[what], number) : NULL;
    if (!thing && (number || !optional)) {
        const char *words = sp_idmap_get(&h->missing[what], number);
        return words ? SP_HANDOFF_BAD(h, "%s", words)
                     : SP_HANDOFF_BAD(h, "there is no %s %u", whats[what], number);
    }
    memcpy(ret_thing, &thing, sizeof(thing));
    return 0;
}

/* ---- values ---- */

sp_ns sp_handoff_time(const struct sp_handoff *h, sp_ns at)
{
    return at ? at + h->shift : 0;
}

sp_err sp_handoff_why(struct sp_handoff *h, sp_str code, uint16_t *ret_why)
{
    *ret_why = 0;
    if (!code.len)
        return 0;
    for (unsigned why = 1; why < SP_WHY_COUNT; why++) {
        if (!sp_str_eq(code, sp_str_c(sp_why_row((enum sp_why)why)->code)))
            continue;
        *ret_why = (uint16_t)why;
        return 0;
    }
    return SP_HANDOFF_BAD(h, "%.*s is no reason", SP_STR_ARG(sp_str_upto(code, 40)));
}

sp_addr sp_handoff_addr(const sp_addr *addr)
{
    sp_addr out = *addr;
    if (out.family == SP_ADDR_UNIX)
        out.path = "";
    return out;
}

struct sp_origin sp_handoff_origin(const sp_addr *peer, const sp_addr *local, const sp_addr *dst,
                                   const sp_addr *direct)
{
    return (struct sp_origin){ .peer = sp_handoff_addr(peer),
                               .local = sp_handoff_addr(local),
                               .dst = sp_handoff_addr(dst),
                               .direct = sp_handoff_addr(direct) };
}

/* ---- conns and descriptors ---- */

void sp_handoff_return_fd(struct sp_handoff *h, uint32_t place, int fd)
{
    if (place && fd >= 0)
        h->reader->fds[place - 1] = fd;
}

static sp_err load_conn(struct sp_handoff *h)
{
    if (h->has_conn)
        return SP_HANDOFF_BAD(h, "the one before it belongs to nobody");
    sp_err err = sp_record_get(h->reader, &sp_conn_kind, &h->conn);
    h->has_conn = !err;
    h->conn.last_ns = sp_handoff_time(h, h->conn.last_ns);
    h->conn.out_ns = sp_handoff_time(h, h->conn.out_ns);
    return err;
}

sp_err sp_handoff_conn_codec(struct sp_handoff *h, const struct sp_codec **ret_codec)
{
    if (!h->has_conn)
        return SP_HANDOFF_BAD(h, "there is no conn for it");
    *ret_codec = NULL;
    if (!h->conn.protocol)
        return 0;
    if (h->conn.protocol < SP_PROTO_COUNT)
        *ret_codec = h->worker->process->codecs[h->conn.protocol];
    return *ret_codec ? 0 : SP_HANDOFF_BAD(h, "protocol %u is not spoken here", h->conn.protocol);
}

sp_err sp_handoff_take_conn(struct sp_handoff *h, struct sp_conn *conn, const struct sp_conn_ops *ops,
                            const struct sp_codec *codec, const struct sp_codec_limits *limits)
{
    int fd;
    const char *words = NULL;
    if (!h->has_conn)
        return SP_HANDOFF_BAD(h, "there is no conn for it");
    h->has_conn = false;
    sp_err err = sp_record_take_fd(h->reader, h->conn.fd, &fd);
    if (!err && fd < 0)
        err = SP_HANDOFF_BAD(h, "its conn has no descriptor");
    if (err)
        return err;
    err = sp_conn_load(conn, &h->worker->link, ops, fd, &h->conn, codec, limits, &words);
    if (!err)
        return 0;
    sp_handoff_return_fd(h, h->conn.fd, fd);
    return SP_HANDOFF_BAD(h, "its conn: %s", words ? words : sp_err_str(err));
}

void sp_handoff_count_connection(struct sp_listener *listener)
{
    struct sp_worker *worker = listener->worker;
    listener->active++;
    sp_lease_force(&listener->connections);
    sp_cell_add(&listener->cells.cx_active, 1);
    sp_cell_add(&worker->cells.connections_active, 1);
    sp_lease_force(&worker->connection_lease);
}

/* ---- sections ---- */

static void forget_numbers(struct sp_handoff *h)
{
    for (int i = 0; i < SP_HANDOFF_WHATS; i++) {
        sp_idmap_deinit(&h->things[i]);
        sp_idmap_deinit(&h->missing[i]);
        sp_idmap_init(&h->things[i]);
        sp_idmap_init(&h->missing[i]);
    }
    sp_arena_reset(&h->names);
}

static bool restart_one(struct sp_cluster *cluster)
{
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        if (!ep->pending_count || ep->mark)
            continue;
        ep->mark = 1; /* it may be gone when this is over, and others with it */
        sp_pool_restart(ep);
        return true;
    }
    SP_LIST_EACH(&cluster->all, ep, next_marked, struct sp_endpoint, link)
        ep->mark = 0;
    return false;
}

/* What was connecting in the old process connects anew; what was about to be sent is sent. */
static void on_first_turn(struct sp_turn *turn)
{
    struct sp_worker *worker = SP_CONTAINER(turn, struct sp_worker, moved);
    size_t at = 0;
    void *value;
    while (sp_map_next(&worker->clusters, &at, NULL, &value))
        while (restart_one(value))
            continue;
    struct sp_relay *relay;
    SP_LIST_EACH(&worker->relays, relay, next, struct sp_relay, link)
        if (relay->moved) {
            relay->moved = false;
            if (!relay->closing) /* its caller may have left in this very turn */
                sp_relay_go_on(relay);
        }
}

static sp_err end_section(struct sp_handoff *h)
{
    if (!h->worker)
        return 0;
    if (h->has_conn)
        return SP_HANDOFF_BAD(h, "a conn belongs to nobody");
    sp_err err = sp_finish_streams(h);
    if (!err)
        err = sp_finish_lines(h);
    if (err)
        return err;
    sp_finish_clusters(h);
    h->worker->moved.on_turn_end = on_first_turn;
    sp_loop_at_turn_end(h->worker->loop, &h->worker->moved);
    forget_numbers(h);
    return 0;
}

void sp_handoff_begin_section(struct sp_handoff *h, sp_ns saved_now)
{
    h->worker = h->workers[h->sections++ % h->count];
    sp_handoff_set_clock(h, saved_now);
}

void sp_handoff_set_clock(struct sp_handoff *h, sp_ns saved_now)
{
    sp_loop_refresh(h->worker->loop); /* it may have been made long before it has its first turn */
    sp_ns now = sp_loop_now(h->worker->loop);
    h->saved_now = saved_now;
    h->shift = saved_now > now || now - saved_now > SAME_CLOCK_NS ? now - saved_now : 0;
}

sp_err sp_handoff_begin(struct sp_worker *const *workers, uint32_t count, struct sp_handoff **ret_handoff)
{
    struct sp_handoff *h = sp_mem_zalloc(sizeof(*h));
    if (!h)
        return SP_E_NOMEM;
    SP_ASSERT(count && count <= SP_WORKERS_MAX);
    memcpy(h->workers, workers, count * sizeof(*workers));
    h->count = count;
    for (int i = 0; i < SP_HANDOFF_WHATS; i++) {
        sp_idmap_init(&h->things[i]);
        sp_idmap_init(&h->missing[i]);
    }
    for (uint32_t i = 0; i < SP_WORKERS_MAX; i++)
        sp_vec_init(&h->aheads[i], sizeof(struct sp_line *));
    sp_arena_init(&h->names, NULL, 0, NAMES_BLOCK, NAMES_LIMIT);
    *ret_handoff = h;
    return 0;
}

void sp_handoff_free(struct sp_handoff *h)
{
    if (!h)
        return;
    sp_handoff_drop_ahead(h);
    for (uint32_t i = 0; i < SP_WORKERS_MAX; i++)
        sp_vec_deinit(&h->aheads[i]);
    forget_numbers(h);
    sp_arena_deinit(&h->names);
    sp_mem_free(h);
}

static sp_err load_worker(struct sp_handoff *h)
{
    sp_err err = end_section(h);
    return err ? err : sp_load_worker(h);
}

static const struct {
    const struct sp_record_kind *kind;
    sp_err (*load)(struct sp_handoff *handoff);
} loaders[] = {
    { &sp_handoff_worker_kind, load_worker },
    { &sp_handoff_why_kind, sp_load_why },
    { &sp_handoff_listener_kind, sp_load_listener },
    { &sp_handoff_door_kind, sp_load_door },
    { &sp_handoff_chain_kind, sp_load_chain },
    { &sp_handoff_cluster_kind, sp_load_cluster },
    { &sp_handoff_endpoint_kind, sp_load_endpoint },
    { &sp_handoff_series_kind, sp_load_series },
    { &sp_handoff_line_kind, sp_load_line },
    { &sp_handoff_mux_kind, sp_load_mux },
    { &sp_handoff_intake_kind, sp_load_intake },
    { &sp_handoff_relay_kind, sp_load_relay },
    { &sp_handoff_stream_kind, sp_load_stream },
    { &sp_handoff_tie_kind, sp_load_tie },
    { &sp_handoff_ahead_kind, sp_load_ahead },
    { &sp_handoff_still_kind, sp_load_still },
    { &sp_conn_kind, load_conn },
};

sp_err sp_handoff_load(struct sp_handoff *h, struct sp_record_reader *reader, uint16_t kind)
{
    for (unsigned i = 0; i < SP_COUNTOF(loaders); i++) {
        if (loaders[i].kind->number != kind)
            continue;
        h->reader = reader;
        h->kind = loaders[i].kind;
        if (!h->worker && kind != SP_KIND_WORKER && kind != SP_KIND_AHEAD)
            return SP_HANDOFF_BAD(h, "it comes before any worker");
        if (h->ahead && !sp_handoff_goes_ahead(kind))
            return SP_HANDOFF_BAD(h, "it cannot come ahead");
        return loaders[i].load(h);
    }
    return SP_E_MISSING;
}

sp_err sp_handoff_end_part(struct sp_handoff *h, struct sp_record_reader *reader)
{
    struct sp_worker *worker = h->worker;
    h->reader = reader;
    h->kind = NULL;
    h->worker = NULL;
    h->ahead = NULL;
    if (worker)
        sp_loop_watch_now(worker->loop); /* else the first turn would take 3 us for each */
    if (h->has_conn)
        return SP_HANDOFF_BAD(h, "a conn belongs to nobody");
    forget_numbers(h);
    return 0;
}

sp_err sp_handoff_end(struct sp_handoff *h, struct sp_record_reader *reader)
{
    h->reader = reader;
    h->kind = NULL;
    sp_err err = end_section(h);
    h->worker = NULL;
    sp_handoff_drop_ahead(h); /* of workers that said nothing of them */
    return err;
}
