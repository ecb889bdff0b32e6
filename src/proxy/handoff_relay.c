/* handoff_relay: raw bytes on their way to another process: two sockets, and what is between them.
 *
 *      caller ──> [first: PROXY header, bytes read while looking] ──> endpoint      before the pumps run
 *      caller ──> [inside the pump to_up]   ──> endpoint
 *      caller <── [inside the pump to_down] <── endpoint
 *
 * Bytes inside a pipe are read out of it when the worker is saved. A direction that has ended is told by its
 * pump that does not run, and by its sock, whose FIN is out. A relay that is still connecting comes along
 * without its second socket and connects anew, as an attempt that does not count. */
#include "proxy/handoff_impl.h"

#include "base/mem.h"

/* wide because a relay's whole state is one record, its two socks and pumps with it. */
struct relay_record {
    uint32_t chain, cluster, endpoint, fd, up_fd;
    sp_addr peer, local, dst, up_local, direct;
    sp_str first, to_up, to_down; /* bytes inside */
    uint64_t started_ns, active_ns, connected_ns, wall_ns, sent, received, sent_told, received_told;
    uint32_t attempts, tried[SP_RELAY_TRIED];
    sp_str why;
    bool connected, ended_one, up_runs, down_runs;
    bool down_ended, down_shut, down_broken, up_ended, up_shut, up_broken;
    int32_t down_late, up_late, failure;
};

#define RECORD relay_record
#define FIELD(number, type, member) SP_RECORD_FIELD(number, type, RECORD, member)
static const struct sp_record_field fields[] = {
    FIELD(1, U32, chain),          FIELD(2, U32, cluster),
    FIELD(3, U32, endpoint),       FIELD(4, U32, fd),
    FIELD(5, U32, up_fd),          FIELD(6, ADDR, peer),
    FIELD(7, ADDR, local),         FIELD(8, ADDR, dst),
    FIELD(9, ADDR, up_local),      FIELD(10, BYTES, first),
    FIELD(11, BYTES, to_up),       FIELD(12, BYTES, to_down),
    FIELD(13, U64, started_ns),    FIELD(14, U64, active_ns),
    FIELD(15, U64, connected_ns),  FIELD(16, U64, wall_ns),
    FIELD(17, U64, sent),          FIELD(18, U64, received),
    FIELD(19, U32, attempts),      FIELD(20, U32, tried[0]),
    FIELD(21, U32, tried[1]),      FIELD(22, U32, tried[2]),
    FIELD(23, U32, tried[3]),      FIELD(24, BYTES, why),
    FIELD(25, BOOL, connected),    FIELD(26, BOOL, ended_one),
    FIELD(27, BOOL, up_runs),      FIELD(28, BOOL, down_runs),
    FIELD(29, BOOL, down_ended),   FIELD(30, BOOL, down_shut),
    FIELD(31, BOOL, down_broken),  FIELD(32, BOOL, up_ended),
    FIELD(33, BOOL, up_shut),      FIELD(34, BOOL, up_broken),
    FIELD(35, I32, down_late),     FIELD(36, I32, up_late),
    FIELD(37, I32, failure),       FIELD(38, U64, sent_told),
    FIELD(39, U64, received_told), SP_RECORD_SPARE(40, ADDR, RECORD, direct),
};
const struct sp_record_kind sp_handoff_relay_kind = SP_RECORD_KIND(SP_KIND_RELAY, false, "relay", RECORD,
                                                                   fields);

/* ---- saving ---- */

static void save_pump(struct sp_saver *saver, struct sp_pump *pump, bool *ret_runs, sp_str *ret_inside)
{
    if (!pump->running)
        return;
    sp_err err = sp_pump_drain_pipe(pump);
    if (err) {
        if (!saver->writer->err)
            saver->writer->err = err == SP_E_NOMEM ? err : SP_E_UNSUPPORTED;
        return;
    }
    *ret_runs = true;
    *ret_inside = sp_pump_inside(pump);
}

static void save_up(struct sp_saver *saver, struct sp_relay *r, struct relay_record *record)
{
    struct sp_sock_saved up;
    sp_sock_save(&r->up, &up);
    record->up_fd = sp_record_add_fd(saver->writer, r->up.fd);
    record->endpoint = sp_saver_number(saver, r->endpoint);
    record->up_ended = up.ended;
    record->up_shut = up.shut;
    record->up_broken = up.broken;
    record->up_late = up.late;
    save_pump(saver, &r->to_up, &record->up_runs, &record->to_up);
    save_pump(saver, &r->to_down, &record->down_runs, &record->to_down);
}

static void save_relay(struct sp_saver *saver, struct sp_relay *r)
{
    struct sp_sock_saved down;
    sp_sock_save(&r->down, &down);
    struct relay_record record = {
        .chain = sp_saver_number(saver, r->chain),
        .cluster = sp_saver_number(saver, r->cluster),
        .fd = sp_record_add_fd(saver->writer, r->down.fd),
        .peer = r->origin.peer,
        .local = r->origin.local,
        .dst = r->origin.dst,
        .direct = r->origin.direct,
        .up_local = r->up_local,
        .first = sp_view_str(r->first),
        .started_ns = r->started_ns,
        .active_ns = r->active_ns,
        .connected_ns = r->connected_ns,
        .wall_ns = r->wall_ns,
        .sent = r->sent,
        .received = r->received,
        .sent_told = r->sent_told,
        .received_told = r->received_told,
        .attempts = r->connected || r->moved ? r->attempts : r->attempts - 1,
        .why = sp_saver_why(r->why),
        .connected = r->connected,
        .ended_one = r->ended_one,
        .down_ended = down.ended,
        .down_shut = down.shut,
        .down_broken = down.broken,
        .down_late = down.late,
        .failure = r->failure,
    };
    for (int i = 0; i < SP_RELAY_TRIED; i++) /* never followed: they may be gone */
        record.tried[i] = sp_saver_number(saver, r->tried[i]);
    if (r->connected)
        save_up(saver, r, &record);
    sp_record_put(saver->writer, &sp_handoff_relay_kind, &record);
}

void sp_save_relays(struct sp_saver *saver)
{
    struct sp_relay *r;
    SP_LIST_EACH(&saver->worker->relays, r, next, struct sp_relay, link)
        if (!r->closing)
            save_relay(saver, r);
}

/* ---- loading ---- */

static sp_err open_sock(struct sp_handoff *h, struct sp_sock *sock, const struct sp_sock_ops *ops,
                        uint32_t place, const struct sp_sock_saved *saved)
{
    int fd;
    sp_err err = sp_record_take_fd(h->reader, place, &fd);
    if (err)
        return err;
    if (fd < 0)
        return SP_HANDOFF_BAD(h, "it lacks a descriptor");
    err = sp_sock_load(sock, h->worker->loop, ops, fd, saved);
    if (err) {
        sp_handoff_return_fd(h, place, fd);
        return SP_HANDOFF_BAD(h, "its socket cannot be adopted");
    }
    sp_sock_read(sock, false); /* tells what is owed, when the loop runs */
    return 0;
}

static sp_err load_first(struct sp_handoff *h, struct sp_relay *r, sp_str first)
{
    if (!first.len)
        return 0;
    struct sp_slab *slab = sp_slab_take_for(sp_loop_slabs(h->worker->loop), first.len);
    if (!slab)
        return SP_HANDOFF_BAD(h, "its first bytes are too many, or memory is out");
    memcpy(slab->bytes, first.ptr, first.len);
    slab->used = (uint32_t)first.len;
    r->first = (struct sp_view){ slab, slab->bytes, first.len };
    return 0;
}

static void count_up(struct sp_relay *r)
{
    r->endpoint->users++;
    r->endpoint->active++;
    sp_cell_add(&r->endpoint->cx_active, 1);
    sp_cell_add(&r->cluster->cells.cx_active, 1);
    sp_lease_force(&r->cluster->connections);
    r->up_open = true;
    r->socks++;
}

static sp_err load_up(struct sp_handoff *h, struct sp_relay *r, const struct relay_record *record)
{
    struct sp_endpoint *ep;
    struct sp_sock_saved up = { .ended = record->up_ended,
                                .shut = record->up_shut,
                                .broken = record->up_broken,
                                .late = (int8_t)record->up_late };
    sp_err err = sp_handoff_find(h, SP_HANDOFF_ENDPOINT, record->endpoint, false, &ep);
    if (!err && ep->cluster != r->cluster)
        err = SP_HANDOFF_BAD(h, "its endpoint is another cluster's");
    if (!err && r->first.len ? record->up_runs || record->down_runs : !record->up_runs && !record->down_runs)
        err = SP_HANDOFF_BAD(h, "its pumps run too early, or never");
    if (!err)
        err = open_sock(h, &r->up, &sp_relay_up_ops, record->up_fd, &up);
    if (err)
        return err;
    r->endpoint = ep;
    r->connected = true;
    count_up(r);
    r->series = sp_relay_series(r);
    if (record->up_runs)
        err = sp_pump_load(&r->to_up, &r->down, &r->up, record->to_up);
    if (!err && record->down_runs)
        err = sp_pump_load(&r->to_down, &r->up, &r->down, record->to_down);
    return err ? SP_HANDOFF_BAD(h, "a pump cannot run: %s", sp_err_str(err)) : 0;
}

/* It is on the worker's list, and counted. */
static sp_err fill_relay(struct sp_handoff *h, struct sp_relay *r, const struct relay_record *record)
{
    r->started_ns = sp_handoff_time(h, record->started_ns);
    r->active_ns = sp_handoff_time(h, record->active_ns);
    r->connected_ns = sp_handoff_time(h, record->connected_ns);
    r->wall_ns = record->wall_ns;
    r->sent = record->sent;
    r->received = record->received;
    r->sent_told = record->sent_told;
    r->received_told = record->received_told;
    r->attempts = record->attempts;
    r->ended_one = record->ended_one;
    r->failure = record->failure;
    for (int i = 0; i < SP_RELAY_TRIED; i++)
        r->tried[i] = sp_handoff_peek(h, SP_HANDOFF_ENDPOINT, record->tried[i]);
    sp_err err = load_first(h, r, record->first);
    if (!err && record->connected)
        err = load_up(h, r, record);
    if (err)
        return err;
    r->moved = !r->connected || r->first.len;
    if (r->connected)
        sp_relay_arm(r);
    return 0;
}

static sp_err judge_relay(struct sp_handoff *h, const struct relay_record *r, const struct sp_chain *chain,
                          uint16_t why)
{
    if (chain->spec->kind != SP_CHAIN_TCP)
        return SP_HANDOFF_BAD(h, "its chain knows calls");
    if (r->failure > 0 || r->failure < SP_E_CANCELLED || why)
        return SP_HANDOFF_BAD(h, "it has ended already");
    if (r->down_late > 0 || r->down_late < SP_E_CANCELLED || r->up_late > 0 || r->up_late < SP_E_CANCELLED)
        return SP_HANDOFF_BAD(h, "what is owed to it is no error");
    if (r->sent_told > r->sent || r->received_told > r->received)
        return SP_HANDOFF_BAD(h, "it has told of more bytes than there were");
    if (!r->connected && (r->up_fd || r->endpoint || r->ended_one || r->up_runs || r->down_runs))
        return SP_HANDOFF_BAD(h, "it is not connected, and has what connected ones have");
    return 0;
}

sp_err sp_load_relay(struct sp_handoff *h)
{
    struct relay_record record;
    struct sp_chain *chain;
    struct sp_cluster *cluster;
    uint16_t why;
    sp_err err = sp_record_get(h->reader, h->kind, &record);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_CHAIN, record.chain, false, &chain);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_CLUSTER, record.cluster, false, &cluster);
    if (!err)
        err = sp_handoff_why(h, record.why, &why);
    if (!err)
        err = judge_relay(h, &record, chain, why);
    if (err)
        return err;
    struct sp_sock_saved down = { .ended = record.down_ended,
                                  .shut = record.down_shut,
                                  .broken = record.down_broken,
                                  .late = (int8_t)record.down_late };
    struct sp_relay *r = sp_mem_zalloc(sizeof(*r));
    if (!r)
        return SP_HANDOFF_BAD(h, "memory is out");
    err = open_sock(h, &r->down, &sp_relay_down_ops, record.fd, &down);
    if (err) {
        sp_mem_free(r);
        return err;
    }
    r->worker = h->worker;
    r->chain = chain;
    r->cluster = cluster;
    r->origin = sp_handoff_origin(&record.peer, &record.local, &record.dst, &record.direct);
    r->up_local = sp_handoff_addr(&record.up_local);
    r->socks = 1;
    sp_relay_wire(r);
    chain->users++;
    cluster->users++;
    sp_cell_add(&chain->tcp.cx_active, 1);
    sp_handoff_count_connection(chain->listener);
    sp_list_push(&h->worker->relays, &r->link);
    return fill_relay(h, r, &record);
}
