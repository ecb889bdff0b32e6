/* handoff_listener: listening sockets and chains, on their way to another process.
 *
 * Sockets are needed before a worker has its configuration, so they are read in a pass of their own, and
 * spread over the new workers: each of the old sockets stays open, because closing one of several on the same
 * address resets who waits in its queue. Where the new process has fewer workers some get several (doors);
 * where it has more, those that got none open theirs when it runs.
 *
 *      old 0 ──> new 0                  old 0 ──> new 0
 *      old 1 ──> new 1                  old 1 ──> new 0, a door
 *                new 2: opens one later
 *
 * A chain is found again by its listener's name, its own name and its kind, at the same place first. Of a
 * chain that a change of configuration has replaced the connections go to the one that stands in its place
 * now; what the old one had counted has ended with it. */
#include "base/buf.h"
#include "base/mem.h"
#include "proxy/handoff_impl.h"

struct listener_record {
    uint32_t number;
    sp_str name;
    uint32_t fd;
    sp_addr bound;
    bool gone, resting;
    uint32_t waiting_fd;
    sp_addr waiting_peer;
    struct sp_listener_cells cells;
};

#define RECORD listener_record
#define CELL(number, member) SP_RECORD_SPARE(number, CELL, RECORD, member)
static const struct sp_record_field listener_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, number),
    SP_RECORD_FIELD(2, BYTES, RECORD, name),
    SP_RECORD_FIELD(3, U32, RECORD, fd),
    SP_RECORD_FIELD(4, ADDR, RECORD, bound),
    SP_RECORD_FIELD(5, BOOL, RECORD, gone),
    SP_RECORD_FIELD(6, BOOL, RECORD, resting),
    SP_RECORD_FIELD(7, U32, RECORD, waiting_fd),
    SP_RECORD_FIELD(8, ADDR, RECORD, waiting_peer),
    CELL(20, cells.cx_total),
    CELL(21, cells.cx_destroy),
    CELL(22, cells.cx_overflow),
    CELL(23, cells.cx_overload_reject),
    CELL(24, cells.no_filter_chain_match),
    CELL(25, cells.detect_timeout),
    CELL(26, cells.proxy_protocol_error),
    CELL(27, cells.accept_paused),
};
const struct sp_record_kind sp_handoff_listener_kind = SP_RECORD_KIND(SP_KIND_LISTENER, false, "listener",
                                                                      RECORD, listener_fields);
#undef RECORD

struct door_record {
    uint32_t listener, fd;
    sp_str name;
};

#define RECORD door_record
static const struct sp_record_field door_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, listener),
    SP_RECORD_FIELD(2, U32, RECORD, fd),
    SP_RECORD_FIELD(3, BYTES, RECORD, name),
};
const struct sp_record_kind sp_handoff_door_kind = SP_RECORD_KIND(SP_KIND_DOOR, false, "door", RECORD,
                                                                  door_fields);
#undef RECORD

struct chain_record {
    uint32_t number, listener, place;
    uint8_t kind; /* enum sp_chain_kind, from 1 */
    sp_str name;
    bool gone;
    sp_str rq_time_ns;
    struct sp_chain_cells cells;
    struct sp_tcp_cells tcp;
};
_Static_assert(SP_CHAIN_HTTP == 0 && SP_CHAIN_RPC == 1 && SP_CHAIN_TCP == 2, "written as numbers");

#define RECORD chain_record
static const struct sp_record_field chain_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, number),
    SP_RECORD_FIELD(2, U32, RECORD, listener),
    SP_RECORD_FIELD(3, U32, RECORD, place),
    SP_RECORD_FIELD(4, U8, RECORD, kind),
    SP_RECORD_FIELD(5, BYTES, RECORD, name),
    SP_RECORD_FIELD(6, BOOL, RECORD, gone),
    SP_RECORD_SPARE(7, BYTES, RECORD, rq_time_ns),
    CELL(10, cells.rq_total),
    CELL(11, cells.rq_1xx),
    CELL(12, cells.rq_2xx),
    CELL(13, cells.rq_3xx),
    CELL(14, cells.rq_4xx),
    CELL(15, cells.rq_5xx),
    CELL(16, cells.rq_app_error),
    CELL(17, cells.rq_oneway),
    CELL(18, cells.rq_rx_reset),
    CELL(19, cells.rq_timeout),
    CELL(20, cells.rq_idle_timeout),
    CELL(21, cells.rq_header_timeout),
    CELL(22, cells.rq_too_large),
    CELL(23, cells.no_route),
    CELL(24, cells.cx_total),
    CELL(25, cells.cx_destroy_remote),
    CELL(26, cells.cx_idle_timeout),
    CELL(27, cells.cx_max_duration),
    CELL(28, cells.cx_protocol_error),
    CELL(29, cells.cx_rx_bytes),
    CELL(30, cells.cx_tx_bytes),
    CELL(31, cells.cx_upgrades),
    CELL(32, cells.heartbeats),
    CELL(60, tcp.cx_total),
    CELL(61, tcp.cx_no_route),
    CELL(62, tcp.cx_rx_bytes),
    CELL(63, tcp.cx_tx_bytes),
    CELL(64, tcp.idle_timeout),
    CELL(65, tcp.max_duration),
};
const struct sp_record_kind sp_handoff_chain_kind = SP_RECORD_KIND(SP_KIND_CHAIN, false, "chain", RECORD,
                                                                   chain_fields);
#undef RECORD

enum { NAME_MOST = 100 };

/* ---- saving ---- */

static void save_chain(struct sp_saver *saver, const struct sp_chain *chain)
{
    if (sp_saver_number(saver, chain))
        return;
    const struct sp_listener_spec *spec = chain->resource->listener;
    struct chain_record record = {
        .number = sp_saver_new(saver, chain),
        .listener = sp_saver_number(saver, chain->listener),
        .place = (uint32_t)(chain->spec - spec->chains),
        .kind = (uint8_t)(chain->spec->kind + 1),
        .name = chain->spec->name,
        .gone = chain->gone,
        .rq_time_ns = sp_saver_hist(saver, 0, &chain->rq_time_ns),
        .cells = chain->cells,
        .tcp = chain->tcp,
    };
    sp_record_put(saver->writer, &sp_handoff_chain_kind, &record);
}

void sp_save_chain_name(struct sp_saver *saver, const struct sp_chain *chain)
{
    const struct sp_listener *l = chain->listener;
    if (sp_saver_number(saver, chain))
        return;
    if (!sp_saver_number(saver, l)) {
        struct listener_record named = { .number = sp_saver_new(saver, l), .name = l->spec->name };
        sp_record_put(saver->writer, &sp_handoff_listener_kind, &named);
    }
    struct chain_record record = {
        .number = sp_saver_new(saver, chain),
        .listener = sp_saver_number(saver, l),
        .place = (uint32_t)(chain->spec - chain->resource->listener->chains),
        .kind = (uint8_t)(chain->spec->kind + 1),
        .name = chain->spec->name,
    };
    sp_record_put(saver->writer, &sp_handoff_chain_kind, &record);
}

static void save_listener(struct sp_saver *saver, const struct sp_listener *l)
{
    struct listener_record record = {
        .number = sp_saver_new(saver, l),
        .name = l->spec->name,
        .fd = l->accepting ? sp_record_add_fd(saver->writer, l->acceptor.fd) : 0,
        .bound = l->bound,
        .gone = l->gone,
        .resting = l->resting,
        .waiting_fd = sp_record_add_fd(saver->writer, l->waiting_fd),
        .waiting_peer = l->waiting_fd >= 0 ? l->waiting_peer : (sp_addr){ .family = SP_ADDR_NONE },
        .cells = l->cells,
    };
    sp_record_put(saver->writer, &sp_handoff_listener_kind, &record);
    const struct sp_listener_door *door;
    SP_LIST_EACH(&l->doors, door, next, struct sp_listener_door, link) {
        struct door_record more = { .listener = record.number,
                                    .fd = sp_record_add_fd(saver->writer, door->acceptor.fd),
                                    .name = record.name };
        sp_record_put(saver->writer, &sp_handoff_door_kind, &more);
    }
    for (uint32_t i = 0; i < l->chain_count; i++)
        save_chain(saver, l->chains[i]);
}

/* Chains that are gone hang on their connections alone. */
void sp_save_listeners(struct sp_saver *saver)
{
    const struct sp_worker *w = saver->worker;
    const struct sp_listener *l;
    SP_LIST_EACH(&w->listeners, l, next, struct sp_listener, link)
        save_listener(saver, l);
    SP_LIST_EACH(&w->gone_listeners, l, next_gone, struct sp_listener, link)
        save_listener(saver, l);
    const struct sp_line *line;
    SP_LIST_EACH(&w->lines, line, next_line, struct sp_line, link)
        save_chain(saver, line->chain);
    const struct sp_relay *relay;
    SP_LIST_EACH(&w->relays, relay, next_relay, struct sp_relay, link)
        save_chain(saver, relay->chain);
    const struct sp_stream *stream;
    SP_LIST_EACH(&w->streams, stream, next_stream, struct sp_stream, link)
        if (stream->chain)
            save_chain(saver, stream->chain);
}

/* ---- the first pass ---- */

static sp_err note_socket(struct sp_record_reader *reader, struct sp_vec *found, sp_str name, uint32_t place,
                          uint32_t worker, const sp_addr *bound)
{
    int fd;
    sp_err err = sp_record_take_fd(reader, place, &fd);
    if (err || fd < 0)
        return err;
    struct sp_handoff_listener *l = sp_vec_push(found);
    if (!l)
        return SP_E_NOMEM;
    *l = (struct sp_handoff_listener){ .name = name, .worker = worker, .fd = fd, .bound = *bound };
    return 0;
}

static sp_err note_record(struct sp_record_reader *reader, struct sp_vec *found, uint16_t kind,
                          uint32_t *workers)
{
    sp_err err = 0;
    *workers += kind == SP_KIND_WORKER;
    if (kind == SP_KIND_LISTENER) {
        struct listener_record r;
        err = sp_record_get(reader, &sp_handoff_listener_kind, &r);
        return err ? err : note_socket(reader, found, r.name, r.fd, *workers - 1, &r.bound);
    }
    if (kind == SP_KIND_DOOR) {
        struct door_record r;
        err = sp_record_get(reader, &sp_handoff_door_kind, &r);
        return err ? err
                   : note_socket(reader, found, r.name, r.fd, *workers - 1,
                                 &(sp_addr){ .family = SP_ADDR_NONE });
    }
    return 0;
}

static void rewind_records(struct sp_record_reader *reader)
{
    reader->at = 0;
    reader->records = 0;
}

sp_err sp_handoff_listeners(struct sp_record_reader *reader, struct sp_handoff_listener **ret_listeners,
                            uint32_t *ret_count)
{
    struct sp_vec found;
    uint32_t workers = 0;
    uint16_t kind;
    int more;
    sp_err err = 0;
    sp_vec_init(&found, sizeof(struct sp_handoff_listener));
    rewind_records(reader);
    while (!err && (more = sp_record_next(reader, &kind)) != 0)
        err = more < 0 ? (sp_err)more : note_record(reader, &found, kind, &workers);
    rewind_records(reader);
    if (err) {
        sp_vec_deinit(&found);
        return err;
    }
    *ret_listeners = found.items;
    *ret_count = (uint32_t)found.len;
    return 0;
}

/* Has the new worker a socket of that name among those before `upto`? */
static bool has_one(const struct sp_handoff_listener *l, uint32_t count, uint32_t worker, sp_str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (l[i].placed && !l[i].extra && l[i].to == worker && sp_str_eq(l[i].name, name))
            return true;
    return false;
}

void sp_handoff_spread(struct sp_handoff_listener *listeners, uint32_t count, uint32_t workers)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sp_handoff_listener *l = &listeners[i];
        l->to = l->worker % workers;
        l->extra = false;
        l->placed = !has_one(listeners, count, l->to, l->name);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sp_handoff_listener *l = &listeners[i];
        for (uint32_t w = 0; w < workers && !l->placed; w++) {
            if (has_one(listeners, count, w, l->name))
                continue;
            l->to = w;
            l->placed = true;
        }
        l->extra = !l->placed;
        l->placed = true;
    }
}

/* ---- loading ---- */

static struct sp_listener *find_listener(struct sp_worker *worker, sp_str name)
{
    struct sp_listener *l;
    SP_LIST_EACH(&worker->listeners, l, next, struct sp_listener, link)
        if (sp_str_eq(l->spec->name, name))
            return l;
    return NULL;
}

static sp_err take_waiting(struct sp_handoff *h, struct sp_listener *l, const struct listener_record *r)
{
    int fd;
    sp_err err = sp_record_take_fd(h->reader, r->waiting_fd, &fd);
    if (err || fd < 0)
        return err;
    sp_addr peer = sp_handoff_addr(&r->waiting_peer);
    if (l->waiting_fd < 0 && l->accepting) {
        l->waiting_fd = fd;
        l->waiting_peer = peer;
        sp_listener_rest(l);
        return 0;
    }
    sp_lease_force(&h->worker->connection_lease);
    sp_lease_force(&l->connections);
    sp_listener_let_in(l, fd, &peer);
    return 0;
}

sp_err sp_load_listener(struct sp_handoff *h)
{
    struct listener_record r;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    struct sp_listener *l = find_listener(h->worker, r.name);
    if (!l && r.waiting_fd)
        return SP_HANDOFF_BAD(h, "\"%.*s\" has a connection, and is not in the new configuration",
                              SP_STR_ARG(sp_str_upto(r.name, NAME_MOST)));
    if (!l)
        return sp_handoff_put_missing(h, SP_HANDOFF_LISTENER, r.number,
                                      "listener \"%.*s\" is in use, and not in the new configuration",
                                      SP_STR_ARG(sp_str_upto(r.name, NAME_MOST)));
    if (h->ahead && (r.waiting_fd || r.resting))
        return SP_HANDOFF_BAD(h, "it is more than a name, and comes ahead");
    if (!r.gone)
        sp_handoff_add_cells(h->kind, &l->cells, &r, offsetof(struct listener_record, cells),
                             sizeof(r.cells));
    if (r.resting && !r.gone)
        sp_listener_rest(l);
    err = sp_handoff_put(h, SP_HANDOFF_LISTENER, r.number, l);
    return err ? err : take_waiting(h, l, &r);
}

/* Its socket has been taken in the first pass. */
sp_err sp_load_door(struct sp_handoff *h)
{
    struct door_record r;
    return sp_record_get(h->reader, h->kind, &r);
}

static struct sp_chain *find_chain(const struct sp_listener *l, const struct chain_record *r)
{
    for (uint32_t i = 0; i <= l->chain_count; i++) {
        uint32_t at = i ? i - 1 : r->place; /* the same place first */
        if (at >= l->chain_count)
            continue;
        struct sp_chain *chain = l->chains[at];
        if (chain->spec->kind + 1u == r->kind && sp_str_eq(chain->spec->name, r->name))
            return chain;
    }
    return NULL;
}

sp_err sp_load_chain(struct sp_handoff *h)
{
    struct chain_record r;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    if (r.kind < 1 || r.kind > SP_CHAIN_TCP + 1)
        return SP_HANDOFF_BAD(h, "kind %u is none", r.kind);
    struct sp_listener *l = sp_handoff_peek(h, SP_HANDOFF_LISTENER, r.listener);
    const char *words = sp_idmap_get(&h->missing[SP_HANDOFF_LISTENER], r.listener);
    if (words)
        return sp_handoff_put_missing(h, SP_HANDOFF_CHAIN, r.number, "%s", words);
    if (!l)
        return SP_HANDOFF_BAD(h, "there is no listener %u", r.listener);
    struct sp_chain *chain = find_chain(l, &r);
    if (!chain)
        return sp_handoff_put_missing(
            h, SP_HANDOFF_CHAIN, r.number,
            "chain %u \"%.*s\" of listener \"%.*s\" is in use, and not in the new configuration", r.place,
            SP_STR_ARG(sp_str_upto(r.name, NAME_MOST / 2)),
            SP_STR_ARG(sp_str_upto(l->spec->name, NAME_MOST / 2)));
    if (!r.gone) {
        sp_handoff_add_cells(h->kind, &chain->cells, &r, offsetof(struct chain_record, cells),
                             sizeof(r.cells));
        sp_handoff_add_cells(h->kind, &chain->tcp, &r, offsetof(struct chain_record, tcp), sizeof(r.tcp));
        err = sp_handoff_add_hist(h, &chain->rq_time_ns, r.rq_time_ns);
    }
    return err ? err : sp_handoff_put(h, SP_HANDOFF_CHAIN, r.number, chain);
}
