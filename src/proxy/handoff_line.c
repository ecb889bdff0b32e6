/* handoff_line: lines with what hangs on them, and intakes, on their way to another process.
 *
 * A line's conn is told before it, and what only a multiplexed line has is told behind it:
 *
 *      conn   line   mux        conn   line        conn   intake
 *
 * Upstream lines come first, endpoint by endpoint, idle, busy, lingering, each in order: the line used last
 * stays first. Lines that are still connecting stay behind; nobody's byte is on them.
 *
 * Ties come last of all, when everybody has a number: whose message is being received, whose frame is being
 * sent, who waits behind it, who rests for whom, and through whom a server may call back. */
#include "base/mem.h"
#include "proxy/handoff_impl.h"
#include "proxy/intake_impl.h"
#include "proxy/line_impl.h"

enum { PLACE_NONE, PLACE_IDLE, PLACE_BUSY, PLACE_LINGERING, PLACES };
enum { LINE_OPEN = 1, LINE_CLOSING = 2 };

struct line_record {
    uint32_t number, chain, endpoint;
    uint8_t place, state;
    sp_addr peer, local, dst, direct;
    uint64_t opened_ns, part_ns, full_ns, linger_ns;
    uint32_t calls;
    sp_str why;
    bool receiving_answer, last, tunnel;
};

#define RECORD line_record
#define FIELD(number, type, member) SP_RECORD_FIELD(number, type, RECORD, member)
static const struct sp_record_field line_fields[] = {
    FIELD(1, U32, number),   FIELD(2, U32, chain),    FIELD(3, U32, endpoint),
    FIELD(4, U8, place),     FIELD(5, U8, state),     FIELD(6, ADDR, peer),
    FIELD(7, ADDR, local),   FIELD(8, ADDR, dst),     FIELD(9, U64, opened_ns),
    FIELD(10, U64, part_ns), FIELD(11, U64, full_ns), FIELD(12, U64, linger_ns),
    FIELD(13, U32, calls),   FIELD(14, BYTES, why),   FIELD(15, BOOL, receiving_answer),
    FIELD(16, BOOL, last),   FIELD(17, BOOL, tunnel), SP_RECORD_SPARE(18, ADDR, RECORD, direct),
};
const struct sp_record_kind sp_handoff_line_kind = SP_RECORD_KIND(SP_KIND_LINE, false, "line", RECORD,
                                                                  line_fields);
#undef RECORD

struct mux_record {
    uint32_t line;
    sp_str refusals;
    uint64_t quiet_ns, heartbeat_ns, blocks_ns;
    uint32_t next_id, heartbeat_id;
    uint8_t heartbeats_lost, version;
    bool slow, shared, exclusive;
};

#define RECORD mux_record
static const struct sp_record_field mux_fields[] = {
    FIELD(1, U32, line),         FIELD(2, BYTES, refusals),     FIELD(3, U64, quiet_ns),
    FIELD(4, U64, heartbeat_ns), FIELD(5, U64, blocks_ns),      FIELD(6, U32, next_id),
    FIELD(7, U32, heartbeat_id), FIELD(8, U8, heartbeats_lost), FIELD(9, U8, version),
    FIELD(10, BOOL, slow),       FIELD(11, BOOL, shared),       FIELD(12, BOOL, exclusive),
};
const struct sp_record_kind sp_handoff_mux_kind = SP_RECORD_KIND(SP_KIND_MUX, false, "mux", RECORD,
                                                                 mux_fields);
#undef RECORD

struct intake_record {
    uint32_t listener;
    sp_addr peer, local, dst, direct;
    uint64_t left_ns; /* of its timer */
    bool proxy_header_done, rests;
};

#define RECORD intake_record
static const struct sp_record_field intake_fields[] = {
    FIELD(1, U32, listener), FIELD(2, ADDR, peer),
    FIELD(3, ADDR, local),   FIELD(4, ADDR, dst),
    FIELD(5, U64, left_ns),  FIELD(6, BOOL, proxy_header_done),
    FIELD(7, BOOL, rests),   SP_RECORD_SPARE(8, ADDR, RECORD, direct),
};
const struct sp_record_kind sp_handoff_intake_kind = SP_RECORD_KIND(SP_KIND_INTAKE, false, "intake", RECORD,
                                                                    intake_fields);
#undef RECORD

enum { TIE_RECEIVING = 1, TIE_SENDING, TIE_BEHIND, TIE_WAITS, TIE_BOUND };

struct tie_record {
    uint8_t tie;
    uint32_t line, other; /* a stream; WAITS: for which line; BOUND: to which downstream line */
};

#define RECORD tie_record
static const struct sp_record_field tie_fields[] = {
    FIELD(1, U8, tie),
    FIELD(2, U32, line),
    FIELD(3, U32, other),
};
const struct sp_record_kind sp_handoff_tie_kind = SP_RECORD_KIND(SP_KIND_TIE, false, "tie", RECORD,
                                                                 tie_fields);
#undef RECORD

static bool has_mux(const struct sp_line *line)
{
    return line->mux != &line->worker->no_mux;
}

/* ---- saving ---- */

static sp_ns left_ns(const struct sp_worker *worker, const struct sp_timer *timer)
{
    return sp_timer_is_set(timer) ? sp_timer_left(worker->loop, timer) + 1 : 0;
}

static void save_mux(struct sp_saver *saver, const struct sp_line *line, uint32_t number)
{
    const struct sp_line_mux *mux = line->mux;
    struct mux_record record = {
        .line = number,
        .refusals = mux->refusals ? sp_str_of(mux->refusals->bytes, mux->refusals->used) : SP_STR_NULL,
        .quiet_ns = mux->quiet_ns,
        .heartbeat_ns = mux->heartbeat_ns,
        .blocks_ns = mux->blocks_ns,
        .next_id = mux->next_id,
        .heartbeat_id = mux->heartbeat_id,
        .heartbeats_lost = mux->heartbeats_lost,
        .version = mux->version,
        .slow = mux->slow,
        .shared = mux->shared,
        .exclusive = mux->exclusive,
    };
    sp_record_put(saver->writer, &sp_handoff_mux_kind, &record);
}

static void save_line(struct sp_saver *saver, const struct sp_line *line, uint8_t place)
{
    if (line->conn.closed || line->state == SP_LINE_CONNECTING)
        return;
    sp_conn_save(&line->conn, saver->writer);
    struct line_record record = {
        .number = sp_saver_new(saver, line),
        .chain = sp_saver_number(saver, line->chain),
        .endpoint = sp_saver_number(saver, line->endpoint),
        .place = place,
        .state = line->state == SP_LINE_OPEN ? LINE_OPEN : LINE_CLOSING,
        .peer = line->origin.peer,
        .local = line->origin.local,
        .dst = line->origin.dst ? *line->origin.dst : (sp_addr){ .family = SP_ADDR_NONE },
        .direct = line->origin.direct ? *line->origin.direct : (sp_addr){ .family = SP_ADDR_NONE },
        .opened_ns = line->opened_ns,
        .part_ns = line->part_ns,
        .full_ns = line->full_ns,
        .linger_ns = line->state == SP_LINE_CLOSING ? left_ns(saver->worker, &line->timer) : 0,
        .calls = line->calls,
        .why = sp_saver_why(line->why),
        .receiving_answer = line->receiving_answer,
        .last = line->last,
        .tunnel = line->tunnel,
    };
    sp_record_put(saver->writer, &sp_handoff_line_kind, &record);
    if (has_mux(line) && line->conn.codec)
        save_mux(saver, line, record.number);
}

void sp_save_caller(struct sp_saver *saver, const struct sp_line *line)
{
    save_line(saver, line, PLACE_NONE);
}

static void save_pool(struct sp_saver *saver, const struct sp_list *list, uint8_t place)
{
    const struct sp_line *line;
    SP_LIST_EACH(list, line, next, struct sp_line, pool_link)
        save_line(saver, line, place);
}

/* Every cluster, gone ones too. */
static void each_endpoint(struct sp_saver *saver, void (*fn)(struct sp_saver *, const struct sp_endpoint *))
{
    size_t at = 0;
    void *value;
    const struct sp_endpoint *ep;
    while (sp_map_next(&saver->worker->clusters, &at, NULL, &value))
        SP_LIST_EACH(&((struct sp_cluster *)value)->all, ep, next, struct sp_endpoint, link)
            fn(saver, ep);
    const struct sp_cluster *cluster;
    SP_LIST_EACH(&saver->worker->gone_clusters, cluster, next_gone, struct sp_cluster, link)
        SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link)
            fn(saver, ep);
}

static void save_pools(struct sp_saver *saver, const struct sp_endpoint *ep)
{
    save_pool(saver, &ep->idle, PLACE_IDLE);
    save_pool(saver, &ep->busy, PLACE_BUSY);
    save_pool(saver, &ep->lingering, PLACE_LINGERING);
}

void sp_save_lines(struct sp_saver *saver)
{
    each_endpoint(saver, save_pools);
    sp_save_callers(saver);
}

void sp_save_intakes(struct sp_saver *saver)
{
    const struct sp_intake *in;
    SP_LIST_EACH(&saver->worker->intakes, in, next, struct sp_intake, link) {
        if (in->conn.closed)
            continue;
        sp_conn_save(&in->conn, saver->writer);
        struct intake_record record = { .listener = sp_saver_number(saver, in->listener),
                                        .peer = in->origin.peer,
                                        .local = in->origin.local,
                                        .dst = in->origin.dst,
                                        .direct = in->origin.direct,
                                        .left_ns = left_ns(saver->worker, &in->timer),
                                        .proxy_header_done = in->proxy_header_done,
                                        .rests = in->rests };
        sp_record_put(saver->writer, &sp_handoff_intake_kind, &record);
    }
}

static void tie(struct sp_saver *saver, uint8_t which, const void *line, const void *other)
{
    if (!other)
        return;
    struct tie_record record = { .tie = which,
                                 .line = sp_saver_number(saver, line),
                                 .other = sp_saver_number(saver, other) };
    if (record.line && record.other)
        sp_record_put(saver->writer, &sp_handoff_tie_kind, &record);
}

static void save_ties_of(struct sp_saver *saver, const struct sp_line *line)
{
    tie(saver, TIE_RECEIVING, line, line->receiving);
    const struct sp_list *at;
    for (at = line->waiters.next; at != &line->waiters; at = at->next)
        tie(saver, TIE_WAITS, SP_CONTAINER(at, struct sp_line, wait_link), line);
    if (!has_mux(line) || !line->conn.codec)
        return;
    tie(saver, TIE_SENDING, line, line->mux->sending);
    for (at = line->mux->behind.next; at != &line->mux->behind; at = at->next)
        tie(saver, TIE_BEHIND, line, SP_CONTAINER(at, struct sp_stream, behind_link));
    if (line->mux->bound && line->mux->bound->conn.codec)
        tie(saver, TIE_BOUND, line, line->mux->bound);
}

static void save_ties_of_pools(struct sp_saver *saver, const struct sp_endpoint *ep)
{
    const struct sp_list *lists[] = { &ep->idle, &ep->busy, &ep->lingering };
    const struct sp_line *line;
    for (unsigned i = 0; i < SP_COUNTOF(lists); i++)
        SP_LIST_EACH(lists[i], line, next, struct sp_line, pool_link)
            save_ties_of(saver, line);
}

void sp_save_ties(struct sp_saver *saver)
{
    each_endpoint(saver, save_ties_of_pools);
    const struct sp_line *line;
    SP_LIST_EACH(&saver->worker->lines, line, next, struct sp_line, link)
        save_ties_of(saver, line);
}

/* ---- loading lines ---- */

static void count_line(struct sp_line *line)
{
    if (line->chain) {
        line->chain->users++;
        sp_cell_add(&line->chain->cells.cx_active, 1);
        sp_handoff_count_connection(line->chain->listener);
        return;
    }
    struct sp_endpoint *ep = line->endpoint;
    ep->users++;
    sp_cell_add(&ep->cx_active, 1);
    sp_cell_add(&ep->cluster->cells.cx_active, 1);
    sp_lease_force(&ep->cluster->connections);
}

static void hang_line(struct sp_line *line, uint8_t place)
{
    if (line->chain) {
        sp_list_push(&line->worker->lines, &line->link);
        return;
    }
    struct sp_endpoint *ep = line->endpoint;
    sp_list_push(place == PLACE_IDLE   ? &ep->idle
                 : place == PLACE_BUSY ? &ep->busy
                                       : &ep->lingering,
                 &line->pool_link);
}

void sp_handoff_place_line(struct sp_line *line)
{
    count_line(line);
    hang_line(line, PLACE_NONE);
}

static sp_err judge_line(struct sp_handoff *h, const struct line_record *r, const struct sp_chain *chain,
                         const struct sp_codec *codec)
{
    if (r->state < LINE_OPEN || r->state > LINE_CLOSING || r->place >= PLACES)
        return SP_HANDOFF_BAD(h, "state %u or place %u is none", r->state, r->place);
    if (!r->chain == !r->endpoint || (r->place == PLACE_NONE) != (r->chain != 0))
        return SP_HANDOFF_BAD(h, "it is neither downstream nor upstream");
    if (r->state == LINE_CLOSING && !r->chain && r->place != PLACE_LINGERING)
        return SP_HANDOFF_BAD(h, "it is closing and may be called on");
    if (r->state == LINE_OPEN && !codec)
        return SP_HANDOFF_BAD(h, "it is open and speaks nothing");
    if (r->state == LINE_OPEN && (h->conn.close_flushed || (h->conn.fin_queued && !r->tunnel)))
        return SP_HANDOFF_BAD(h, "it is open and has said its last");
    if (h->ahead && (!r->chain || r->state != LINE_OPEN || h->conn.in.len || h->conn.out.len))
        return SP_HANDOFF_BAD(h, "it is not quiet, and comes ahead");
    if (chain && chain->spec->kind == SP_CHAIN_TCP)
        return SP_HANDOFF_BAD(h, "its chain knows no calls");
    if (r->tunnel && codec && codec->multiplexed)
        return SP_HANDOFF_BAD(h, "it is a tunnel with many calls");
    return 0;
}

/* What it reads depends on whose side it is on. */
static sp_err judge_decoder(struct sp_handoff *h, const struct sp_codec *codec, bool downstream)
{
    struct sp_codec_state state;
    static const struct sp_codec_limits limits = { 0 };
    if (!codec || !codec->role || h->conn.state.len != codec->save_bytes ||
        codec->load(&state, h->conn.state.ptr, &limits))
        return 0; /* sp_conn_load says what is wrong */
    return codec->role(&state) == (downstream ? SP_ROLE_SERVER : SP_ROLE_CLIENT)
               ? 0
               : SP_HANDOFF_BAD(h, "its decoder reads what the other side says");
}

static void fill_line(struct sp_handoff *h, struct sp_line *line, const struct line_record *r)
{
    line->opened_ns = sp_handoff_time(h, r->opened_ns);
    line->part_ns = line->chain ? sp_handoff_time(h, r->part_ns) : 0;
    line->full_ns = sp_handoff_time(h, r->full_ns);
    line->calls = r->calls;
    line->state = r->state == LINE_OPEN ? SP_LINE_OPEN : SP_LINE_CLOSING;
    line->receiving_answer = r->receiving_answer;
    line->last = r->last;
    line->tunnel = r->tunnel;
    if (r->linger_ns)
        sp_timer_set(h->worker->loop, &line->timer, r->linger_ns);
}

sp_err sp_load_line(struct sp_handoff *h)
{
    struct line_record r;
    const struct sp_codec *codec;
    struct sp_chain *chain = NULL;
    struct sp_endpoint *ep = NULL;
    uint16_t why;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = sp_handoff_conn_codec(h, &codec);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_CHAIN, r.chain, true, &chain);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_ENDPOINT, r.endpoint, true, &ep);
    if (!err)
        err = judge_line(h, &r, chain, codec);
    if (!err)
        err = judge_decoder(h, codec, chain != NULL);
    if (!err)
        err = sp_handoff_why(h, r.why, &why);
    if (err)
        return err;
    struct sp_line *line = sp_line_take(h->worker, codec);
    if (!line)
        return SP_HANDOFF_BAD(h, "memory is out");
    struct sp_origin origin = sp_handoff_origin(&r.peer, &r.local, &r.dst, &r.direct);
    err = sp_line_set_origin(line, &origin) ? SP_HANDOFF_BAD(h, "memory is out") : 0;
    if (!err)
        err = sp_handoff_put(h, SP_HANDOFF_LINE, r.number, line);
    if (!err)
        err = sp_handoff_take_conn(h, &line->conn, &sp_line_conn_ops, codec,
                                   chain ? &chain->limits : &ep->cluster->limits);
    if (err) {
        sp_line_give(line);
        return err;
    }
    line->chain = chain;
    line->endpoint = ep;
    line->why = why;
    fill_line(h, line, &r);
    if (h->ahead)
        return sp_handoff_keep_ahead(h, line);
    count_line(line);
    hang_line(line, r.place);
    return 0;
}

sp_err sp_load_mux(struct sp_handoff *h)
{
    struct mux_record r;
    struct sp_line *line;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_LINE, r.line, false, &line);
    if (err)
        return err;
    struct sp_line_mux *mux = line->mux;
    if (!has_mux(line) || mux->next_id || mux->refusals)
        return SP_HANDOFF_BAD(h, "line %u has none, or has one already", r.line);
    if (r.refusals.len) {
        mux->refusals = sp_slab_take_for(sp_loop_slabs(h->worker->loop), r.refusals.len);
        if (!mux->refusals)
            return SP_HANDOFF_BAD(h, "its refusals are too long, or memory is out");
        memcpy(mux->refusals->bytes, r.refusals.ptr, r.refusals.len);
        mux->refusals->used = (uint32_t)r.refusals.len;
    }
    mux->quiet_ns = sp_handoff_time(h, r.quiet_ns);
    mux->heartbeat_ns = sp_handoff_time(h, r.heartbeat_ns);
    mux->blocks_ns = sp_handoff_time(h, r.blocks_ns);
    mux->next_id = r.next_id;
    mux->heartbeat_id = r.heartbeat_id;
    mux->heartbeats_lost = r.heartbeats_lost;
    mux->version = r.version;
    mux->slow = r.slow;
    mux->shared = r.shared;
    mux->exclusive = r.exclusive;
    return 0;
}

sp_err sp_finish_lines(struct sp_handoff *h)
{
    uint32_t at = 0;
    uint64_t number;
    void *value;
    while (sp_idmap_next(&h->things[SP_HANDOFF_LINE], &at, &number, &value)) {
        struct sp_line *line = value;
        if (line->state == SP_LINE_OPEN)
            sp_line_arm(line);
        else if (!sp_list_is_empty(&line->calls_in) || !sp_list_is_empty(&line->calls_out))
            return SP_HANDOFF_BAD(h, "line %u is closing and has calls", (unsigned)number);
    }
    return 0;
}

/* ---- loading intakes ---- */

sp_err sp_load_intake(struct sp_handoff *h)
{
    struct intake_record r;
    struct sp_listener *listener;
    const struct sp_codec *codec;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = sp_handoff_conn_codec(h, &codec);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_LISTENER, r.listener, false, &listener);
    if (!err && (codec || !h->conn.held))
        err = SP_HANDOFF_BAD(h, "its bytes are being decoded already");
    if (!err && (h->conn.fin_queued || h->conn.close_flushed || h->conn.out.len))
        err = SP_HANDOFF_BAD(h, "it has been answered before it was heard");
    if (err)
        return err;
    struct sp_intake *in = sp_mem_zalloc(sizeof(*in));
    if (!in)
        return SP_HANDOFF_BAD(h, "memory is out");
    err = sp_handoff_take_conn(h, &in->conn, &sp_intake_conn_ops, NULL, NULL);
    if (err) {
        sp_mem_free(in);
        return err;
    }
    in->listener = listener;
    in->origin = sp_handoff_origin(&r.peer, &r.local, &r.dst, &r.direct);
    in->proxy_header_done = r.proxy_header_done;
    in->rests = r.rests;
    in->timer.on_fire = sp_intake_on_timer;
    sp_list_push(&h->worker->intakes, &in->link);
    sp_handoff_count_connection(listener);
    if (r.left_ns)
        sp_timer_set(h->worker->loop, &in->timer, r.left_ns);
    return 0;
}

/* ---- loading ties ---- */

static sp_err tie_stream(struct sp_handoff *h, const struct tie_record *r, struct sp_line *line)
{
    struct sp_stream *s;
    sp_err err = sp_handoff_find(h, SP_HANDOFF_STREAM, r->other, false, &s);
    if (err)
        return err;
    bool receiving = r->tie == TIE_RECEIVING;
    bool answer = receiving && line->receiving_answer;
    if ((receiving ? (answer ? s->callee : s->caller) != line : s->callee != line && s->caller != line) ||
        line->state != SP_LINE_OPEN)
        return SP_HANDOFF_BAD(h, "stream %u is not on line %u", r->other, r->line);
    if (!receiving && !has_mux(line))
        return SP_HANDOFF_BAD(h, "line %u has one call at a time", r->line);
    if (receiving               ? line->receiving != NULL
        : r->tie == TIE_SENDING ? line->mux->sending != NULL
                                : sp_list_is_on(&s->behind_link))
        return SP_HANDOFF_BAD(h, "it is told twice");
    if (receiving)
        line->receiving = s;
    else if (r->tie == TIE_SENDING)
        line->mux->sending = s;
    else
        sp_list_push(&line->mux->behind, &s->behind_link);
    return 0;
}

static sp_err tie_lines(struct sp_handoff *h, const struct tie_record *r, struct sp_line *line)
{
    struct sp_line *other;
    sp_err err = sp_handoff_find(h, SP_HANDOFF_LINE, r->other, false, &other);
    if (err)
        return err;
    if (r->tie == TIE_WAITS) {
        bool alike = !line->endpoint == !other->endpoint;
        if (sp_list_is_on(&line->wait_link) || (alike && line != other))
            return SP_HANDOFF_BAD(h, "line %u waits twice, or for one of its kind", r->line);
        sp_list_push(&other->waiters, &line->wait_link);
        return 0;
    }
    if (!has_mux(line) || !has_mux(other) || !line->endpoint || !other->chain || line->mux->bound)
        return SP_HANDOFF_BAD(h, "line %u cannot be known by line %u", r->line, r->other);
    line->mux->bound = other;
    sp_list_push(&other->mux->binds, &line->mux->bind_link);
    return 0;
}

sp_err sp_load_tie(struct sp_handoff *h)
{
    struct tie_record r;
    struct sp_line *line;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_LINE, r.line, false, &line);
    if (err)
        return err;
    switch (r.tie) {
    case TIE_RECEIVING:
    case TIE_SENDING:
    case TIE_BEHIND: return tie_stream(h, &r, line);
    case TIE_WAITS:
    case TIE_BOUND: return tie_lines(h, &r, line);
    default: return SP_HANDOFF_BAD(h, "tie %u is none", r.tie);
    }
}
