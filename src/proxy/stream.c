/* stream: the walk of one call.
 *
 *             ┌── pick elsewhere ──┬── once more ──┐
 *   head ──> WALK ──> PENDING ─────┴──> ATTACHED ──┴> ANSWER ──> DONE
 *             │          │                 │             │
 *             └──────────┴───── refuse ────┴──── cut ────┘        each end writes one report
 *
 * The phases stand in a table below: admit, route, answer ourselves, edit, cluster, limit, pick, attach. Each
 * takes the stream and says go on, wait, or over. When the pool gives the line later, the call goes on in
 * sp_stream_attached; when a connect fails and the policy allows, it re-enters at `pick`.
 *
 * A kept line that the server closes just as a call is sent on it says nothing about that call. Such a call
 * is sent once more, on a fresh line (sp_stream_may_go_again): the one retry that no policy has to ask for.
 *
 * After that nothing is decided any more: forward.c carries the bytes, finish.c ends the call.
 *
 * A stream is one block with an arena inside, taken from the worker's free list: a call that fits never meets
 * the heap. Its head's strings point into the slab they were read into, which it keeps by reference.
 *
 * One timer covers the call: the earlier of its deadline and idleness; it is set when the call is attached
 * and looks at noted times when it fires, so bytes that flow do not touch it.
 *
 * Times. The route's timeout counts from the moment the request is complete (as Envoy counts), for RPC from
 * its head. A Bolt caller says how long it waits: the smaller of both holds, and the time that was spent here
 * is taken off the field before the frame goes on, so that the server never works for nobody. */
#include "proxy/stream.h"

#include <string.h>

#include "base/mem.h"
#include "base/sm.h"
#include "proxy/client.h"
#include "proxy/listener.h"
#include "proxy/stream_impl.h"

enum { KEEP_STREAMS = 64, ARENA_BLOCK = 4096, ARENA_LIMIT = 256 * 1024 };

/* What a phase says: on to the next; the call waits for the pool; it goes on elsewhere (attached) or has
 * ended. */
enum phase_result { GO, WAIT, OVER };

static enum phase_result admit(struct sp_stream *s);
static enum phase_result route(struct sp_stream *s);
static enum phase_result answer_self(struct sp_stream *s);
static enum phase_result cluster(struct sp_stream *s);
static enum phase_result edit(struct sp_stream *s);
static enum phase_result limit(struct sp_stream *s);
static enum phase_result pick(struct sp_stream *s);
static enum phase_result attach(struct sp_stream *s);

enum { PHASE_PICK = 6, PHASE_ATTACH };

static enum phase_result (*const phases[])(struct sp_stream *s) = {
    admit,       /* refuses with BACKWARD, UPGRADE_REFUSED, MEMORY; before it stands TOO_MANY_STREAMS */
    route,       /* NO_ROUTE, REGEX_LIMIT */
    answer_self, /* REDIRECT, DIRECT */
    cluster,     /* NO_CLUSTER, PROTOCOL_MISMATCH */
    edit,        /* MEMORY */
    limit,       /* BREAKER */
    [PHASE_PICK] = pick,     /* NO_HEALTHY, DNS, NO_ORIGINAL_DST; NO_CLUSTER, when it went meanwhile */
    [PHASE_ATTACH] = attach, /* POOL_FULL, CONNECT, CONNECT_TIMEOUT, RETRY_LIMIT, DESCRIPTORS, MEMORY */
};

static const struct sp_sm_state states[] = {
    [SP_STREAM_FREE] = { "free", SP_SM_TO(SP_STREAM_WALK) },
    [SP_STREAM_WALK] = { "walk", SP_SM_TO(SP_STREAM_PENDING) | SP_SM_TO(SP_STREAM_ATTACHED) |
                                     SP_SM_TO(SP_STREAM_DONE) },
    [SP_STREAM_PENDING] = { "pending", SP_SM_TO(SP_STREAM_WALK) | SP_SM_TO(SP_STREAM_ATTACHED) |
                                           SP_SM_TO(SP_STREAM_DONE) },
    [SP_STREAM_ATTACHED] = { "attached", SP_SM_TO(SP_STREAM_WALK) | SP_SM_TO(SP_STREAM_ANSWER) |
                                             SP_SM_TO(SP_STREAM_DONE) },
    [SP_STREAM_ANSWER] = { "answer", SP_SM_TO(SP_STREAM_DONE) },
    [SP_STREAM_DONE] = { "done", SP_SM_TO(SP_STREAM_FREE) },
};

void sp_stream_move(struct sp_stream *stream, enum sp_stream_state to)
{
    sp_sm_move(states, &stream->state, (uint8_t)to, "stream");
}

static void walk(struct sp_stream *s, unsigned from)
{
    for (unsigned i = from; i < SP_COUNTOF(phases); i++)
        if (phases[i](s) != GO)
            return;
}

static enum phase_result refused(struct sp_stream *s, enum sp_why why)
{
    sp_stream_refuse(s, why);
    return OVER;
}

/* ---- storage ---- */

struct sp_stream *sp_stream_block(struct sp_worker *worker)
{
    struct sp_stream *s = worker->free_streams;
    if (s) {
        worker->free_streams = (struct sp_stream *)(void *)s->link.next;
        worker->free_stream_count--;
        memset(s, 0, offsetof(struct sp_stream, arena));
        return s;
    }
    s = sp_mem_alloc(sizeof(*s));
    if (!s)
        return NULL;
    memset(s, 0, offsetof(struct sp_stream, storage));
    sp_arena_init(&s->arena, s->storage, sizeof(s->storage), ARENA_BLOCK, ARENA_LIMIT);
    return s;
}

struct sp_stream *sp_stream_take(struct sp_worker *worker, enum sp_why *ret_why)
{
    if (!sp_lease_take(&worker->stream_lease)) {
        sp_cell_add(&worker->cells.streams_refused, 1);
        *ret_why = SP_WHY_TOO_MANY_STREAMS;
        return NULL;
    }
    struct sp_stream *s = sp_stream_block(worker);
    if (!s) {
        sp_lease_give(&worker->stream_lease);
        sp_cell_add(&worker->cells.memory_refused, 1);
        *ret_why = SP_WHY_MEMORY;
        return NULL;
    }
    s->worker = worker;
    s->started_ns = s->active_ns = sp_loop_now(worker->loop);
    s->started_wall_ns = sp_loop_wall(worker->loop);
    sp_stream_move(s, SP_STREAM_WALK);
    sp_list_push(&worker->streams, &s->link);
    sp_cell_add(&worker->cells.streams_total, 1);
    sp_cell_add(&worker->cells.streams_active, 1);
    return s;
}

void sp_stream_give(struct sp_stream *s)
{
    struct sp_worker *worker = s->worker;
    sp_stream_move(s, SP_STREAM_FREE);
    sp_list_remove(&s->link);
    sp_slab_unref(s->request_slab);
    sp_arena_reset(&s->arena);
    sp_cell_sub(&worker->cells.streams_active, 1);
    sp_lease_give(&worker->stream_lease);
    if (worker->free_stream_count >= KEEP_STREAMS) {
        sp_arena_deinit(&s->arena);
        sp_mem_free(s);
        return;
    }
    s->link.next = (struct sp_list *)(void *)worker->free_streams;
    worker->free_streams = s;
    worker->free_stream_count++;
}

/* ---- time ---- */

static sp_ns idle_ns(const struct sp_stream *s)
{
    if (s->choice.route && s->choice.route->idle_timeout_ns)
        return s->choice.route->idle_timeout_ns;
    /* A call that came backwards goes to a caller's line: that listener's terms are its own. */
    const struct sp_chain *chain = s->chain ? s->chain : s->callee ? s->callee->chain : NULL;
    return chain ? chain->spec->stream_idle_ns : 0;
}

/* When the request must be whole; 0 = it is, or has all the time. */
static sp_ns request_due(const struct sp_stream *s)
{
    uint64_t ns = s->chain ? s->chain->spec->request_timeout_ns : 0;
    return ns && !s->request_done && !s->answer_started && !s->tunnel ? s->started_ns + ns : 0;
}

void sp_stream_arm(struct sp_stream *s)
{
    sp_ns now = sp_loop_now(s->worker->loop), due = UINT64_MAX;
    if (s->deadline_ns && !s->tunnel)
        due = s->deadline_ns;
    if (request_due(s))
        due = SP_MIN(due, request_due(s));
    if (idle_ns(s))
        due = SP_MIN(due, s->active_ns + idle_ns(s));
    if (due == UINT64_MAX)
        sp_timer_stop(s->worker->loop, &s->timer);
    else
        sp_timer_set(s->worker->loop, &s->timer, due > now ? due - now : 0);
}

/* The request is whole (or, for RPC, its head is there): the route's time begins. */
static void start_deadline(struct sp_stream *s)
{
    sp_ns now = sp_loop_now(s->worker->loop);
    uint64_t ns = s->choice.route ? s->choice.route->timeout_ns : 0;
    s->deadline_ns = ns ? now + ns : 0;
    if (s->request.timeout_ms > 0) {
        sp_ns callers = s->started_ns + (uint64_t)s->request.timeout_ms * SP_NS_PER_MS;
        s->deadline_ns = s->deadline_ns ? SP_MIN(s->deadline_ns, callers) : callers;
    }
}

void sp_stream_on_timer(struct sp_timer *timer)
{
    struct sp_stream *s = SP_CONTAINER(timer, struct sp_stream, timer);
    sp_ns now = sp_loop_now(s->worker->loop);
    if (s->deadline_ns && !s->tunnel && now >= s->deadline_ns) {
        if (s->cluster)
            sp_cell_add(&s->cluster->cells.rq_timeout, 1);
        if (s->chain)
            sp_cell_add(&s->chain->cells.rq_timeout, 1);
        sp_stream_refuse(s, SP_WHY_TIMEOUT);
    } else if (request_due(s) && now >= request_due(s)) {
        sp_cell_add(&s->chain->cells.rq_timeout, 1);
        sp_stream_refuse(s, SP_WHY_REQUEST_TIMEOUT);
    } else if (idle_ns(s) && now >= s->active_ns + idle_ns(s)) {
        if (s->chain)
            sp_cell_add(&s->chain->cells.rq_idle_timeout, 1);
        sp_stream_refuse(s, s->request_done ? SP_WHY_STREAM_IDLE : SP_WHY_REQUEST_TIMEOUT);
    } else {
        sp_stream_arm(s);
    }
}

/* ---- events of the caller's line ---- */

static void refuse_without_stream(struct sp_line *line, struct sp_event *ev, enum sp_why why)
{
    bool multiplexed = line->conn.codec->multiplexed;
    bool ok = sp_stream_refuse_unborn(line, ev->head, why, sp_why_row(why)->status, NULL, !multiplexed);
    if (!multiplexed || !ok)
        sp_line_linger(line, why);
}

void sp_stream_request(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab)
{
    enum sp_why why;
    struct sp_stream *s = sp_stream_take(line->worker, &why);
    if (!s) {
        refuse_without_stream(line, ev, why);
        return;
    }
    s->timer.on_fire = sp_stream_on_timer;
    s->caller = line;
    s->codec = line->conn.codec;
    sp_list_push(&line->calls_in, &s->in_link);
    s->backward = line->endpoint != NULL;
    s->chain = s->backward ? NULL : line->chain;
    s->oneway = ev->head->kind == SP_MSG_ONEWAY;
    s->caller_last = ev->head->flags & SP_HEAD_LAST;
    if (s->chain) {
        s->chain->users++;
        sp_cell_add(&s->chain->cells.rq_total, 1);
        sp_cell_add(&s->chain->cells.rq_active, 1);
    }
    bool multiplexed = s->codec->multiplexed;
    s->request_slab = slab ? sp_slab_ref(slab) : NULL;
    s->first = (struct sp_view){ NULL, ev->body.ptr, ev->body.len };
    s->request_bytes = ev->body.len;
    s->request_done = ev->end;
    s->exclusive = multiplexed && (!ev->end || line->mux->slow);
    if (s->request_done)
        s->request_end_ns = s->started_ns;
    else
        line->receiving = s;
    if (!multiplexed && ev->end)
        sp_conn_hold(&line->conn, true); /* answers go in order: the next request waits */
    if (sp_head_copy(&s->request, ev->head, &s->arena, false)) {
        sp_stream_refuse(s, SP_WHY_MEMORY);
        return;
    }
    walk(s, 0);
}

/* The call may have to wait for its line, and what was decoded is gone then. */
static bool keep_trailers(struct sp_stream *s, const struct sp_head *head)
{
    struct sp_head trailers = { .headers = head->headers, .header_count = head->header_count };
    s->trailers = sp_arena_alloc(&s->arena, sizeof(*s->trailers));
    return s->trailers && !sp_head_copy(s->trailers, &trailers, &s->arena, true);
}

void sp_stream_request_more(struct sp_stream *s, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_line *line = s->caller;
    s->active_ns = sp_loop_now(s->worker->loop);
    s->request_bytes += ev->body.len;
    if (ev->end) {
        s->request_done = true;
        s->request_end_ns = s->active_ns;
        if (!s->codec->multiplexed && !s->tunnel) {
            sp_conn_hold(&line->conn, true);
            start_deadline(s);
            sp_stream_arm(s);
        }
    }
    if (s->codec->multiplexed && s->answer_started)
        return; /* nobody wants the rest: the held pieces are the answer's now, if there are any */
    bool ok = !ev->trailers || keep_trailers(s, ev->head);
    ok = ok && (!ev->body.len || sp_forward_hold(s, slab, ev->body));
    if (!ok)
        sp_stream_refuse(s, SP_WHY_MEMORY);
    else if (s->state >= SP_STREAM_ATTACHED)
        sp_forward_request(s);
    else if (s->held_bytes > SP_STREAM_HELD_BYTES)
        sp_conn_pause(&line->conn, true); /* until there is a line: see sp_stream_attached */
}

/* ---- the phases ---- */

/* A request that came backwards goes to the one downstream line that is known to speak through this one. */
static enum phase_result send_backward(struct sp_stream *s)
{
    struct sp_line *from = s->caller, *to = from->mux->bound;
    from->endpoint->talks_back = true;
    if (!to || to->state != SP_LINE_OPEN)
        return refused(s, SP_WHY_BACKWARD);
    start_deadline(s);
    sp_stream_attached(s, to);
    return OVER;
}

/* At an edge only the mesh itself may say x-envoy-*: neither routes nor those behind us shall read claims. */
static void drop_claims(struct sp_head *head)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < head->header_count; i++)
        if (head->headers[i].id != SP_HDR_X_ENVOY)
            head->headers[kept++] = head->headers[i];
    if (kept < head->header_count)
        head->flags |= SP_HEAD_EDITED;
    head->header_count = kept;
}

/* The hex digits of 32 bits, most significant first, eight bytes at once. */
static void put_hex(char *out, uint32_t bits)
{
    uint64_t x = __builtin_bswap32(bits);
    x = (x | x << 16) & 0x0000ffff0000ffffull; /* a byte to every second one ... */
    x = (x | x << 8) & 0x00ff00ff00ff00ffull;
    x = (x >> 4 | x << 8) & 0x0f0f0f0f0f0f0f0full; /* ... and a nibble to each */
    uint64_t letters = (x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull; /* 1 where it is above 9 */
    x += 0x3030303030303030ull + letters * ('a' - '0' - 10);
    memcpy(out, &x, sizeof(x));
}

/* A random UUID (RFC 9562 version 4), as Envoy makes for x-request-id. */
void sp_stream_make_id(struct sp_worker *worker, char out[SP_STREAM_ID_BYTES])
{
    char hex[32];
    struct sp_rng *rng = sp_loop_rng(worker->loop);
    uint64_t high = (sp_rng_next(rng) & ~0xf000ull) | 0x4000ull;
    uint64_t low = (sp_rng_next(rng) & ~(3ull << 62)) | (2ull << 62);
    put_hex(hex, (uint32_t)(high >> 32));
    put_hex(hex + 8, (uint32_t)high);
    put_hex(hex + 16, (uint32_t)(low >> 32));
    put_hex(hex + 24, (uint32_t)low);
    memset(out, '-', SP_STREAM_ID_BYTES);
    memcpy(out, hex, 8);
    memcpy(out + 9, hex + 8, 4);
    memcpy(out + 14, hex + 12, 4);
    memcpy(out + 19, hex + 16, 4);
    memcpy(out + 24, hex + 20, 12);
}

/* An id by which the call can be found again, however it ends: so before anything can refuse it. At an edge
 * the caller's own is not believed. */
static sp_err name_call(struct sp_stream *s)
{
    const struct sp_chain_spec *spec = s->chain->spec;
    bool believed = !spec->use_remote_address || spec->preserve_request_id;
    if (!spec->generate_request_id || (believed && sp_head_find(&s->request, SP_HDR_X_REQUEST_ID)))
        return 0;
    char *id = sp_arena_alloc_align(&s->arena, SP_STREAM_ID_BYTES, 1);
    if (!id)
        return SP_E_NOMEM;
    sp_stream_make_id(s->worker, id);
    return sp_head_set(&s->request, &s->arena, SP_STR("x-request-id"), sp_str_of(id, SP_STREAM_ID_BYTES));
}

static enum phase_result admit(struct sp_stream *s)
{
    const struct sp_head *head = &s->request;
    if (s->backward)
        return send_backward(s);
    const struct sp_chain_spec *spec = s->chain->spec;
    if (spec->use_remote_address)
        drop_claims(&s->request);
    if (s->codec->protocol == SP_PROTO_HTTP1) {
        SP_IGNORE(sp_client_find(spec, head, &s->client)); /* nobody: whoever connected */
        if (name_call(s))
            return refused(s, SP_WHY_MEMORY);
    }
    if ((head->flags & SP_HEAD_TUNNEL) && !spec->upgrade_connect)
        return refused(s, SP_WHY_UPGRADE_REFUSED);
    if (head->flags & SP_HEAD_UPGRADE) {
        bool websocket = sp_str_eq_nocase(sp_head_value(head, SP_HDR_UPGRADE), SP_STR("websocket"));
        if (!websocket || !spec->upgrade_websocket)
            /* RFC 9110 7.8: may be ignored */
            s->request.flags = (s->request.flags & ~(uint32_t)SP_HEAD_UPGRADE) | SP_HEAD_EDITED;
    }
    return GO;
}

static void route_input(struct sp_stream *s, struct sp_route_input *in)
{
    *in = (struct sp_route_input){ .head = &s->request,
                                   .arena = &s->arena,
                                   .rng = sp_loop_rng(s->worker->loop),
                                   .normalize = s->chain->spec->normalize_path,
                                   .merge_slashes = s->chain->spec->merge_slashes };
}

static enum phase_result route(struct sp_stream *s)
{
    struct sp_route_input in;
    route_input(s, &in);
    s->table = s->chain->spec->routes;
    enum sp_why why = s->table ? sp_route_find(s->table, &in, &s->choice) : SP_WHY_NO_ROUTE;
    if (why) {
        sp_cell_add(&s->chain->cells.no_route, why == SP_WHY_NO_ROUTE);
        return refused(s, why);
    }
    s->path = in.path;
    s->normalized = in.changed;
    if (s->request_done || s->codec->multiplexed)
        start_deadline(s);
    return GO;
}

static enum phase_result answer_self(struct sp_stream *s)
{
    if (s->choice.route->kind == SP_ROUTE_FORWARD)
        return GO;
    sp_stream_answer_self(s);
    return OVER;
}

static enum phase_result cluster(struct sp_stream *s)
{
    s->cluster = sp_worker_cluster(s->worker, s->choice.cluster);
    if (!s->cluster)
        return refused(s, SP_WHY_NO_CLUSTER);
    s->cluster->users++;
    uint8_t speaks = s->cluster->spec->protocol;
    bool same = speaks == SP_PROTO_NONE || speaks == s->codec->protocol ||
                (speaks == SP_PROTO_BOLT && s->codec->protocol == SP_PROTO_BOLT2);
    return same ? GO : refused(s, SP_WHY_PROTOCOL_MISMATCH);
}

/* HTTP/1.0 may leave Host out; HTTP/1.1 behind us needs one: the address that was called. */
static sp_err name_host(struct sp_stream *s)
{
    const struct sp_line *line = s->caller;
    char *text = sp_arena_alloc_align(&s->arena, SP_ADDR_TEXT_BYTES, 1);
    if (!text)
        return SP_E_NOMEM;
    bool is_unix = line->origin.local.family == SP_ADDR_UNIX;
    const sp_addr *addr = line->origin.dst ? line->origin.dst : &line->origin.local;
    s->request.service = is_unix ? SP_STR("localhost")
                                 : sp_str_of(text, sp_addr_print(addr, text, SP_ADDR_TEXT_BYTES));
    return 0;
}

/* All that x-forwarded-for says, in however many lines, and behind it who called us. A line that was left out
 * could be the one that a balancer before us has added. */
static sp_str forwarded_chain(struct sp_stream *s, sp_str peer)
{
    const struct sp_head *head = &s->request;
    size_t room = peer.len;
    for (uint32_t i = 0; i < head->header_count; i++)
        if (head->headers[i].id == SP_HDR_X_FORWARDED_FOR)
            room += head->headers[i].value_len + 2u;
    char *out = sp_arena_alloc_align(&s->arena, room, 1);
    if (!out)
        return SP_STR_NULL;
    size_t at = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (h->id != SP_HDR_X_FORWARDED_FOR || !h->value_len)
            continue;
        memcpy(out + at, h->value, h->value_len);
        memcpy(out + at + h->value_len, ", ", 2);
        at += h->value_len + 2u;
    }
    memcpy(out + at, peer.ptr, peer.len);
    return sp_str_of(out, at + peer.len);
}

/* What HTTP proxies add: who forwarded. */
static sp_err edit_http(struct sp_stream *s)
{
    const struct sp_chain_spec *spec = s->chain->spec;
    struct sp_head *head = &s->request;
    sp_err err = head->service.len ? 0 : name_host(s);
    if (!err && spec->use_remote_address) {
        char *text = sp_arena_alloc_align(&s->arena, SP_ADDR_TEXT_BYTES, 1);
        if (!text)
            return SP_E_NOMEM;
        size_t len = sp_addr_print_ip(&s->caller->origin.peer, text, SP_ADDR_TEXT_BYTES);
        sp_str chain = len ? forwarded_chain(s, sp_str_of(text, len)) : SP_STR_NULL;
        if (len) /* who came by a Unix socket has no address that could be added */
            err = chain.ptr ? sp_head_set(head, &s->arena, SP_STR("x-forwarded-for"), chain) : SP_E_NOMEM;
    }
    bool claim = spec->use_remote_address && !spec->xff_hops; /* no balancer of ours before us could know */
    if (!err && (claim || !sp_head_find(head, SP_HDR_X_FORWARDED_PROTO)))
        err = sp_head_set(head, &s->arena, SP_STR("x-forwarded-proto"), SP_STR("http"));
    return err;
}

static enum phase_result edit(struct sp_stream *s)
{
    struct sp_route_input in;
    route_input(s, &in);
    in.path = s->path;
    in.changed = s->normalized;
    sp_err err = sp_route_edit_request(s->table, &s->choice, &in, &s->request);
    if (!err && s->codec->protocol == SP_PROTO_HTTP1)
        err = edit_http(s);
    return err ? refused(s, SP_WHY_MEMORY) : GO;
}

static enum phase_result limit(struct sp_stream *s)
{
    if (!sp_lease_take(&s->cluster->requests)) {
        sp_cell_add(&s->cluster->cells.rq_overflow, 1);
        return refused(s, SP_WHY_BREAKER);
    }
    s->counted = true;
    sp_cell_add(&s->cluster->cells.rq_total, 1);
    sp_cell_add(&s->cluster->cells.rq_active, 1);
    return GO;
}

/* A reason that says that nothing has left must not be said of a call that a server may have seen. */
static enum sp_why honest(const struct sp_stream *s, enum sp_why why)
{
    return s->repeated ? SP_WHY_UPSTREAM_CLOSED : why;
}

static enum phase_result pick(struct sp_stream *s)
{
    struct sp_balance_key key = { .avoid = s->tried, .avoid_count = SP_MIN(s->attempts, SP_STREAM_TRIED) };
    if (s->choice.route->hash_count) {
        struct sp_route_input in;
        route_input(s, &in);
        in.path = s->path;
        const sp_addr *source = s->client.family ? &s->client : &s->caller->origin.peer;
        key.has_hash = sp_route_hash(s->choice.route, &in, source, &key.hash);
    }
    enum sp_why why = SP_WHY_NO_HEALTHY;
    s->endpoint = sp_cluster_pick(s->cluster, &key, s->caller->origin.dst, &why);
    if (!s->endpoint) {
        sp_cell_add(&s->cluster->cells.lb_no_endpoint, 1);
        return refused(s, honest(s, why));
    }
    s->endpoint->users++;
    s->endpoint->active++;
    sp_cell_add(&s->endpoint->rq_total, 1);
    if (s->attempts < SP_STREAM_TRIED)
        s->tried[s->attempts] = s->endpoint;
    s->attempts++;
    return GO;
}

static enum phase_result attach(struct sp_stream *s)
{
    enum sp_why why = SP_WHY_CONNECT;
    sp_err err = sp_pool_take(s, &why);
    if (err == SP_E_AGAIN) {
        sp_stream_move(s, SP_STREAM_PENDING);
        sp_stream_arm(s);
        return WAIT;
    }
    if (err)
        sp_stream_connect_failed(s, why, "no connection to be had");
    return OVER; /* sp_stream_attached has run, or the call is over */
}

/* ---- from the pool ---- */

static void give_retry(struct sp_stream *s)
{
    if (s->retrying)
        sp_lease_give(&s->cluster->retries);
    s->retrying = false;
}

void sp_stream_attached(struct sp_stream *s, struct sp_line *line)
{
    sp_stream_move(s, SP_STREAM_ATTACHED);
    s->callee = line;
    s->attached_ns = sp_loop_now(s->worker->loop);
    sp_list_push(&line->calls_out, &s->out_link);
    give_retry(s);
    s->failed = false; /* that was an attempt before */
    s->failure = NULL;
    if (!s->oneway || !s->request_done) /* a one-way call that is whole is over in a moment */
        sp_stream_arm(s);
    if (s->caller)
        sp_line_go_on(s->caller);
    sp_forward_request(s);
}

static void leave_endpoint(struct sp_stream *s)
{
    sp_pool_forget(s);
    if (!s->endpoint)
        return;
    s->endpoint->active--;
    sp_endpoint_unuse(s->endpoint);
    s->endpoint = NULL;
}

void sp_stream_unpick(struct sp_stream *s)
{
    leave_endpoint(s);
    give_retry(s);
}

/* May it go elsewhere? The share of the limit is held until there is a line, or no more attempts. */
static bool take_retry(struct sp_stream *s, enum sp_why why)
{
    const struct sp_route *route = s->choice.route;
    if (!route || !s->caller)
        return false;
    const struct sp_retry *retry = &route->retry;
    bool wanted = (retry->on & SP_RETRY_CONNECT_FAILURE) &&
                  (why == SP_WHY_CONNECT || why == SP_WHY_CONNECT_TIMEOUT);
    if (!wanted || s->attempts > retry->retries + s->repeated)
        return false;
    if (!sp_lease_take(&s->cluster->retries)) {
        sp_cell_add(&s->cluster->cells.rq_retry_overflow, 1);
        s->why = SP_WHY_RETRY_LIMIT;
        return false;
    }
    s->retrying = true;
    s->retry_why = (uint16_t)why;
    sp_cell_add(&s->cluster->cells.rq_retry, 1);
    return true;
}

/* RFC 9110 9.2.2: to do it twice is as to do it once. */
static bool is_idempotent(sp_str method)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };
    for (unsigned i = 0; i < SP_COUNTOF(methods); i++)
        if (sp_str_eq(method, sp_str_c(methods[i])))
            return true;
    return false;
}

/* RFC 9112 9.3.1. Nothing of an answer has come, and the server either has not got a byte of the request, or
 * may get it twice. */
bool sp_stream_may_go_again(const struct sp_stream *s, enum sp_why why)
{
    const struct sp_conn *conn = &s->callee->conn;
    bool closed = why == SP_WHY_UPSTREAM_CLOSED || why == SP_WHY_UPSTREAM_RESET;
    if (!s->again_head.len || s->repeated || !closed || !s->caller)
        return false;
    if (s->answer_started || s->interim || conn->in_len)
        return false;
    bool unsent = conn->out_bytes >= s->again_head.len + s->again_body.len &&
                  !(s->request.flags & SP_HEAD_CHUNKED);
    return unsent || is_idempotent(s->request.method);
}

bool sp_stream_go_again(struct sp_stream *s, enum sp_why why)
{
    if (!sp_lease_take(&s->cluster->retries)) {
        sp_cell_add(&s->cluster->cells.rq_retry_overflow, 1);
        return false;
    }
    sp_cell_add(&s->cluster->cells.rq_retry, 1);
    s->retrying = s->repeated = s->fresh = true;
    s->retry_why = (uint16_t)why;
    s->head_sent = s->request_sent = false;
    sp_stream_move(s, SP_STREAM_WALK);
    if (s->endpoint->gone) {
        leave_endpoint(s);
        walk(s, PHASE_PICK);
        return true;
    }
    sp_cell_add(&s->endpoint->rq_total, 1);
    if (s->attempts < SP_STREAM_TRIED)
        s->tried[s->attempts] = s->endpoint;
    s->attempts++;
    walk(s, PHASE_ATTACH);
    return true;
}

void sp_stream_connect_failed(struct sp_stream *s, enum sp_why why, const char *failure)
{
    s->failure = failure;
    s->failed = why == SP_WHY_CONNECT || why == SP_WHY_CONNECT_TIMEOUT;
    give_retry(s);
    if (!take_retry(s, why)) {
        sp_stream_refuse(s, honest(s, why)); /* the endpoint is kept: the record names it */
        return;
    }
    sp_cell_add(&s->endpoint->rq_error, 1);
    leave_endpoint(s);
    if (s->state == SP_STREAM_PENDING)
        sp_stream_move(s, SP_STREAM_WALK);
    walk(s, PHASE_PICK);
}
