/* handoff_stream: calls under way, on their way to another process.
 *
 *      PENDING     waits for a line: the whole request so far comes along, and the new process's pool gives
 *                  it a line as if it had asked there. Nothing of it has left this host.
 *      ATTACHED    its request flows: what is held back, what is left to be sent of the frame
 *      ANSWER      its answer flows: likewise, the other way
 *
 * A head whose bytes have not gone yet is told as strings and headers. In a multiplexed protocol it is told
 * as its own bytes too, with the body's first bytes right behind them, because it will be forwarded as those
 * bytes, with the id patched where it lies; so they are decoded once more over there, and must be a head.
 *
 *      raw   |len|id|...head...|first bytes of the body|     in one slab, as forward.c expects them
 *
 * Routes are found again by place and name of virtual host and route. When they are gone the call goes on
 * without them: its time was noted when it began, only edits of the answer are lost. */
#include "base/buf.h"
#include "proxy/handoff_impl.h"

#include <string.h>

enum { STREAM_PENDING = 1, STREAM_ATTACHED, STREAM_ANSWER };
enum { HEADER_BYTES = 8, STRINGS_MOST = 200 * 1024, HELD_PIECE = 64 * 1024 };

/* Kinds of messages that heads write as numbers, and headers of which a name is not kept. */
_Static_assert(SP_MSG_REQUEST == 0 && SP_MSG_ONEWAY == 1 && SP_MSG_RESPONSE == 2, "written as numbers");
_Static_assert(SP_HDR_USER_AGENT == 11 && SP_HDR_X_FORWARDED_FOR == 15 && SP_HDR_X_REQUEST_ID == 17 &&
                   SP_HDR_TRACEPARENT == 18 && SP_HDR_B3_TRACE_ID == 20 && SP_HDR_SOFA_TRACE_ID == 22 &&
                   SP_HDR_SOFA_APP == 27,
               "written as numbers");

struct head_record {
    uint8_t kind, codec_id, proto_ver;
    uint32_t flags, id, status, raw_status;
    int32_t timeout_ms;
    int64_t body_bytes;
};

/* wide because a call's whole state is one record, as it is one block. */
struct stream_record {
    uint32_t number, caller, callee, chain, cluster, endpoint;
    sp_addr client;
    uint8_t protocol, state;
    struct head_record request, answer;
    sp_str service, method, path, class_name, headers, raw, first, canonical, trailers, held, again_head,
        again_body;
    bool has_trailers, normalized, held_end;
    bool has_route;
    uint32_t vhost, route, weighted; /* places; weighted from 1 */
    sp_str vhost_name, route_name;
    uint32_t callee_id;
    uint64_t started_ns, attached_ns, request_end_ns, answer_ns, deadline_ns, active_ns, wall_ns;
    uint64_t request_bytes, answer_bytes, body_left;
    uint32_t delta, tried[SP_STREAM_TRIED];
    sp_str why, retry_why, failure;
    uint8_t attempts, tunnel_ends;
    bool request_done, request_sent, head_sent, answer_started, answer_done, counted, failed, retrying,
        tunnel, own_answer, backward, oneway, exclusive, caller_last, interim, repeated, fresh;
};

#define RECORD stream_record
#define FIELD(number, type, member) SP_RECORD_FIELD(number, type, RECORD, member)
static const struct sp_record_field fields[] = {
    FIELD(1, U32, number),
    FIELD(2, U32, caller),
    FIELD(3, U32, callee),
    FIELD(4, U32, chain),
    FIELD(5, U32, cluster),
    FIELD(6, U32, endpoint),
    FIELD(7, U8, protocol),
    FIELD(8, U8, state),
    FIELD(9, U8, request.kind),
    FIELD(10, U8, request.codec_id),
    FIELD(11, U8, request.proto_ver),
    FIELD(12, U32, request.flags),
    FIELD(13, U32, request.id),
    FIELD(14, I32, request.timeout_ms),
    FIELD(15, I64, request.body_bytes),
    FIELD(16, U8, answer.kind),
    FIELD(17, U32, answer.flags),
    FIELD(18, U32, answer.status),
    FIELD(19, U32, answer.raw_status),
    FIELD(20, I64, answer.body_bytes),
    FIELD(21, BYTES, service),
    FIELD(22, BYTES, method),
    FIELD(23, BYTES, path),
    FIELD(24, BYTES, class_name),
    FIELD(25, BYTES, headers),
    FIELD(26, BYTES, raw),
    FIELD(27, BYTES, first),
    FIELD(28, BYTES, canonical),
    FIELD(29, BYTES, trailers),
    FIELD(30, BYTES, held),
    FIELD(31, BOOL, has_trailers),
    FIELD(32, BOOL, normalized),
    FIELD(33, BOOL, held_end),
    FIELD(34, BOOL, has_route),
    FIELD(35, U32, vhost),
    FIELD(36, U32, route),
    FIELD(37, U32, weighted),
    FIELD(38, BYTES, vhost_name),
    FIELD(39, BYTES, route_name),
    FIELD(40, U32, callee_id),
    FIELD(41, U64, started_ns),
    FIELD(42, U64, attached_ns),
    FIELD(43, U64, request_end_ns),
    FIELD(44, U64, answer_ns),
    FIELD(45, U64, deadline_ns),
    FIELD(46, U64, active_ns),
    FIELD(47, U64, wall_ns),
    FIELD(48, U64, request_bytes),
    FIELD(49, U64, answer_bytes),
    FIELD(50, U64, body_left),
    FIELD(51, U32, delta),
    FIELD(52, U32, tried[0]),
    FIELD(53, U32, tried[1]),
    FIELD(54, U32, tried[2]),
    FIELD(55, U32, tried[3]),
    FIELD(56, BYTES, why),
    FIELD(57, BYTES, failure),
    FIELD(58, U8, attempts),
    FIELD(59, U8, tunnel_ends),
    FIELD(60, BOOL, request_done),
    FIELD(61, BOOL, request_sent),
    FIELD(62, BOOL, head_sent),
    FIELD(63, BOOL, answer_started),
    FIELD(64, BOOL, answer_done),
    FIELD(65, BOOL, counted),
    FIELD(66, BOOL, failed),
    FIELD(67, BOOL, retrying),
    FIELD(68, BOOL, tunnel),
    FIELD(69, BOOL, own_answer),
    FIELD(70, BOOL, backward),
    FIELD(71, BOOL, oneway),
    FIELD(72, BOOL, exclusive),
    FIELD(73, BOOL, caller_last),
    FIELD(74, U32, request.status),
    FIELD(75, U32, request.raw_status),
    FIELD(76, BYTES, again_head),
    FIELD(77, BYTES, again_body),
    FIELD(78, BYTES, retry_why),
    FIELD(79, BOOL, interim),
    FIELD(80, BOOL, repeated),
    FIELD(81, BOOL, fresh),
    /* spare: without it the log names who connected, as the build before it did */
    SP_RECORD_SPARE(82, ADDR, RECORD, client),
};
const struct sp_record_kind sp_handoff_stream_kind = SP_RECORD_KIND(SP_KIND_STREAM, false, "stream", RECORD,
                                                                    fields);

/* ---- saving ---- */

/* Each: id, flags, length of the name (2), of the value (4), little-endian; then both. */
static sp_str pack_headers(struct sp_buf *buf, const struct sp_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        const uint8_t fixed[HEADER_BYTES] = {
            h->id,
            h->flags,
            (uint8_t)h->name_len,
            (uint8_t)(h->name_len >> 8),
            (uint8_t)h->value_len,
            (uint8_t)(h->value_len >> 8),
            (uint8_t)(h->value_len >> 16),
            (uint8_t)(h->value_len >> 24),
        };
        sp_buf_add(buf, fixed, sizeof(fixed));
        if (h->name_len)
            sp_buf_add(buf, h->name, h->name_len);
        if (h->value_len)
            sp_buf_add(buf, h->value, h->value_len);
    }
    return buf->len ? sp_buf_str(buf) : SP_STR_NULL;
}

static struct head_record pack_head(const struct sp_head *head)
{
    return (struct head_record){ .kind = head->kind,
                                 .codec_id = head->codec_id,
                                 .proto_ver = head->proto_ver,
                                 .flags = head->flags,
                                 .id = head->id,
                                 .status = head->status,
                                 .raw_status = head->raw_status,
                                 .timeout_ms = head->timeout_ms,
                                 .body_bytes = head->body_bytes };
}

static void save_route(const struct sp_stream *s, struct stream_record *r)
{
    const struct sp_route_choice *c = &s->choice;
    if (!s->table || !c->vhost || !c->route)
        return;
    r->has_route = true;
    r->vhost = (uint32_t)(c->vhost - s->table->vhosts);
    r->vhost_name = c->vhost->name;
    r->route = (uint32_t)(c->route - c->vhost->routes);
    r->route_name = c->route->name;
    r->weighted = c->weighted ? (uint32_t)(c->weighted - c->route->weighted) + 1 : 0;
}

static void save_bytes(struct sp_saver *saver, const struct sp_stream *s, struct stream_record *r)
{
    r->headers = pack_headers(sp_saver_buf(saver, 0), &s->request);
    r->has_trailers = s->trailers != NULL;
    if (s->trailers)
        r->trailers = pack_headers(sp_saver_buf(saver, 1), s->trailers);
    struct sp_buf *held = sp_saver_buf(saver, 2);
    for (const struct sp_held *at = s->held_first; at; at = at->next)
        sp_buf_add(held, at->view.ptr, at->view.len);
    r->held = held->len ? sp_buf_str(held) : SP_STR_NULL;
    if (s->head_sent)
        return;
    r->first = sp_view_str(s->first);
    if (s->codec->multiplexed)
        r->raw = s->request.raw;
}

static void save_times(const struct sp_stream *s, struct stream_record *r)
{
    r->started_ns = s->started_ns;
    r->attached_ns = s->attached_ns;
    r->request_end_ns = s->request_end_ns;
    r->answer_ns = s->answer_ns;
    r->deadline_ns = s->deadline_ns;
    r->active_ns = s->active_ns;
    r->wall_ns = s->started_wall_ns;
    r->request_bytes = s->request_bytes;
    r->answer_bytes = s->answer_bytes;
    r->body_left = s->body_left;
    r->delta = s->delta;
}

static void save_bits(const struct sp_stream *s, struct stream_record *r)
{
    r->normalized = s->normalized;
    r->held_end = s->held_end;
    r->attempts = s->attempts;
    r->tunnel_ends = s->tunnel_ends;
    r->request_done = s->request_done;
    r->request_sent = s->request_sent;
    r->head_sent = s->head_sent;
    r->answer_started = s->answer_started;
    r->answer_done = s->answer_done;
    r->counted = s->counted;
    r->failed = s->failed;
    r->retrying = s->retrying;
    r->tunnel = s->tunnel;
    r->own_answer = s->own_answer;
    r->backward = s->backward;
    r->oneway = s->oneway;
    r->exclusive = s->exclusive;
    r->caller_last = s->caller_last;
    r->interim = s->interim;
    r->repeated = s->repeated;
    r->fresh = s->fresh;
}

static uint8_t state_of(const struct sp_stream *s)
{
    SP_ASSERT(s->state == SP_STREAM_PENDING || s->state == SP_STREAM_ATTACHED ||
              s->state == SP_STREAM_ANSWER);
    return s->state == SP_STREAM_PENDING    ? STREAM_PENDING
           : s->state == SP_STREAM_ATTACHED ? STREAM_ATTACHED
                                            : STREAM_ANSWER;
}

static void save_stream(struct sp_saver *saver, const struct sp_stream *s)
{
    struct stream_record r = {
        .number = sp_saver_new(saver, s),
        .caller = sp_saver_number(saver, s->caller),
        .callee = sp_saver_number(saver, s->callee),
        .chain = sp_saver_number(saver, s->chain),
        .cluster = sp_saver_number(saver, s->cluster),
        .endpoint = sp_saver_number(saver, s->endpoint),
        .client = s->client,
        .protocol = (uint8_t)s->codec->protocol,
        .state = state_of(s),
        .request = pack_head(&s->request),
        .answer = pack_head(&s->answer),
        .service = s->request.service,
        .method = s->request.method,
        .path = s->request.path,
        .class_name = s->request.class_name,
        .canonical = s->path,
        .callee_id = s->callee_id,
        .why = sp_saver_why(s->why),
        .retry_why = sp_saver_why(s->retry_why),
        .again_head = s->again_head,
        .again_body = s->again_body,
        .failure = sp_str_c(s->failure),
    };
    for (int i = 0; i < SP_STREAM_TRIED; i++) /* never followed: they may be gone */
        r.tried[i] = sp_saver_number(saver, s->tried[i]);
    save_route(s, &r);
    save_bytes(saver, s, &r);
    save_times(s, &r);
    save_bits(s, &r);
    sp_record_put(saver->writer, &sp_handoff_stream_kind, &r);
}

/* Those that wait for a line last, in the order in which they wait: so they wait over there. */
void sp_save_streams(struct sp_saver *saver)
{
    const struct sp_stream *s;
    SP_LIST_EACH(&saver->worker->streams, s, next, struct sp_stream, link)
        if (!s->waits)
            save_stream(saver, s);
    const struct sp_endpoint *ep;
    SP_LIST_EACH(&saver->worker->streams, s, next_waiting, struct sp_stream, link) {
        ep = s->endpoint;
        if (!s->waits || ep->pending.next != &s->pool_link)
            continue; /* not the first in its line: it came with that one */
        const struct sp_list *at;
        for (at = ep->pending.next; at != &ep->pending; at = at->next)
            save_stream(saver, SP_CONTAINER(at, struct sp_stream, pool_link));
    }
}

/* ---- loading: what a call points to ---- */

struct found {
    struct sp_line *caller, *callee;
    struct sp_chain *chain;
    struct sp_cluster *cluster;
    struct sp_endpoint *endpoint;
    const struct sp_codec *codec;
    uint16_t why, retry_why;
};

static sp_err find_all(struct sp_handoff *h, const struct stream_record *r, struct found *f)
{
    f->codec = r->protocol < SP_PROTO_COUNT ? h->worker->process->codecs[r->protocol] : NULL;
    if (!f->codec)
        return SP_HANDOFF_BAD(h, "protocol %u is not spoken here", r->protocol);
    sp_err err = sp_handoff_find(h, SP_HANDOFF_CHAIN, r->chain, true, &f->chain);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_CLUSTER, r->cluster, true, &f->cluster);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_ENDPOINT, r->endpoint, true, &f->endpoint);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_LINE, r->caller, true, &f->caller);
    if (!err)
        err = sp_handoff_find(h, SP_HANDOFF_LINE, r->callee, true, &f->callee);
    if (!err)
        err = sp_handoff_why(h, r->why, &f->why);
    return err ? err : sp_handoff_why(h, r->retry_why, &f->retry_why);
}

static bool speaks(const struct sp_line *line, const struct sp_codec *codec)
{
    return line->state == SP_LINE_OPEN && line->conn.codec == codec;
}

/* Who may be whose, by which way the call goes. */
static const char *judge_lines(const struct stream_record *r, const struct found *f)
{
    bool pending = r->state == STREAM_PENDING;
    if (r->state < STREAM_PENDING || r->state > STREAM_ANSWER)
        return "its state is none";
    if (pending ? f->callee != NULL : !f->callee || !f->caller)
        return "it lacks a line, or has one too early";
    if (!f->caller && !(r->oneway && r->request_done))
        return "nobody waits for it";
    if ((f->caller && !speaks(f->caller, f->codec)) || (f->callee && !speaks(f->callee, f->codec)))
        return "its lines speak something else";
    if (r->backward)
        return pending || f->chain || f->cluster || f->endpoint || !f->codec->both_ways ||
                       !f->caller->endpoint || !f->callee->chain
                   ? "it does not come backwards"
                   : NULL;
    if (!f->chain || !f->cluster || !f->endpoint || f->endpoint->cluster != f->cluster)
        return "it lacks a chain, a cluster or an endpoint";
    if ((f->caller && f->caller->chain != f->chain) || (f->callee && f->callee->endpoint != f->endpoint))
        return "its lines are another's";
    return NULL;
}

static const char *judge_call(const struct stream_record *r, const struct found *f)
{
    bool many = f->codec->multiplexed, answers = r->state == STREAM_ANSWER;
    if (!many && ((f->caller && !sp_list_is_empty(&f->caller->calls_in)) ||
                  (f->callee && !sp_list_is_empty(&f->callee->calls_out))))
        return "its lines have a call already";
    if (answers != r->answer_started)
        return "its answer has begun and has not";
    if ((r->state == STREAM_PENDING && (r->head_sent || r->callee_id)) || (r->request_sent && !r->head_sent))
        return "more of it has been sent than can be";
    if (many && r->head_sent && !r->callee_id)
        return "it has no id";
    if (r->callee_id && (!many || (!r->oneway && sp_idmap_get(&f->callee->mux->ids, r->callee_id))))
        return "its id is another's";
    if (answers && !r->head_sent)
        return "its answer came before it was asked";
    if (r->tunnel && (many || !answers || !f->caller->tunnel || !f->callee->tunnel))
        return "it cannot be a tunnel";
    if (r->oneway && answers)
        return "nobody waits for its answer";
    if (r->request.kind != (r->oneway ? SP_MSG_ONEWAY : SP_MSG_REQUEST))
        return "its request is none";
    if (r->retrying && r->state != STREAM_PENDING)
        return "it tries again and is there";
    if (r->attempts == 0 && !r->backward)
        return "it was never tried";
    return NULL;
}

/* ---- loading: bytes ---- */

static uint32_t number_at(const char *at, unsigned bytes)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint32_t)(uint8_t)at[i] << (8 * i);
    return v;
}

static bool unpack_header(struct sp_arena *arena, sp_str *in, bool fold, struct sp_header *ret_header)
{
    if (in->len < HEADER_BYTES)
        return false;
    uint32_t name_len = number_at(in->ptr + 2, 2), value_len = number_at(in->ptr + 4, 4);
    struct sp_header h = { .id = (uint8_t)in->ptr[0],
                           .flags = (uint8_t)in->ptr[1],
                           .name_len = (uint16_t)name_len,
                           .value_len = value_len };
    *in = sp_str_from(*in, HEADER_BYTES);
    if (in->len < name_len || in->len - name_len < value_len)
        return false;
    sp_str name = sp_str_upto(*in, name_len), value = sp_str_of(in->ptr + name_len, value_len);
    h.name = name_len ? sp_str_dup(arena, name).ptr : "";
    h.value = value_len ? sp_str_dup(arena, value).ptr : "";
    if (name_len)
        h.id = (uint8_t)sp_hdr_of(name, fold);
    *in = sp_str_from(*in, (size_t)name_len + value_len);
    *ret_header = h;
    return h.name && h.value && h.id < SP_HDR_COUNT;
}

static bool unpack_headers(struct sp_arena *arena, sp_str in, bool fold, struct sp_head *head)
{
    if (!in.len)
        return true;
    head->headers = sp_arena_alloc(arena, SP_HEADERS_MAX * sizeof(struct sp_header));
    head->header_cap = SP_HEADERS_MAX;
    while (head->headers && in.len)
        if (head->header_count == SP_HEADERS_MAX ||
            !unpack_header(arena, &in, fold, &head->headers[head->header_count++]))
            return false;
    return head->headers != NULL;
}

static void unpack_head(struct sp_head *head, const struct head_record *r, uint8_t protocol)
{
    head->kind = r->kind;
    head->protocol = protocol;
    head->codec_id = r->codec_id;
    head->proto_ver = r->proto_ver;
    head->flags = r->flags;
    head->id = r->id;
    head->status = r->status;
    head->raw_status = r->raw_status;
    head->timeout_ms = r->timeout_ms;
    head->body_bytes = r->body_bytes;
}

/* A string of its own, or nothing. */
static bool keep(struct sp_arena *arena, sp_str from, sp_str *to)
{
    *to = from.len ? sp_str_dup(arena, from) : SP_STR_NULL;
    return to->ptr || !from.len;
}

/* Bytes that will be forwarded as a head must be one. */
static bool is_head(struct sp_handoff *h, const struct sp_codec *codec, sp_str bytes,
                    const struct stream_record *r)
{
    static const struct sp_codec_limits limits = { 0 };
    struct sp_link *link = &h->worker->link;
    struct sp_codec_state state;
    struct sp_event ev = { .head = &link->head };
    link->head.headers = link->headers;
    link->head.header_cap = SP_HEADERS_MAX;
    codec->init(&state, SP_ROLE_SERVER, &limits);
    ssize_t used = codec->decode(&state, bytes, &ev);
    return used > 0 && ev.kind == SP_EVENT_HEAD && ev.head->raw.len == r->raw.len &&
           ev.head->kind == r->request.kind && ev.head->proto_ver == r->request.proto_ver &&
           ev.head->body_bytes == r->request.body_bytes && ev.body.len <= r->first.len;
}

static sp_err load_first(struct sp_handoff *h, struct sp_stream *s, const struct stream_record *r)
{
    bool many = s->codec->multiplexed;
    size_t bytes = r->raw.len + r->first.len;
    if (r->head_sent || (!bytes && !many))
        return r->first.len || r->raw.len ? SP_HANDOFF_BAD(h, "its head has gone and is here") : 0;
    if (many != (r->raw.len > 0))
        return SP_HANDOFF_BAD(h, "it lacks its head's bytes, or needs none");
    struct sp_slab *slab = sp_slab_take_for(sp_loop_slabs(h->worker->loop), bytes);
    if (!slab)
        return SP_HANDOFF_BAD(h, "its head is too long, or memory is out");
    s->request_slab = slab;
    if (r->raw.len)
        memcpy(slab->bytes, r->raw.ptr, r->raw.len);
    if (r->first.len)
        memcpy(slab->bytes + r->raw.len, r->first.ptr, r->first.len);
    slab->used = (uint32_t)bytes;
    if (many && !is_head(h, s->codec, sp_str_of(slab->bytes, bytes), r))
        return SP_HANDOFF_BAD(h, "its head's bytes are none");
    if (r->raw.len)
        s->request.raw = sp_str_of(slab->bytes, r->raw.len);
    s->first = (struct sp_view){ NULL, slab->bytes + r->raw.len, r->first.len };
    return 0;
}

static sp_err load_held(struct sp_handoff *h, struct sp_stream *s, sp_str held)
{
    while (held.len) {
        sp_str piece = sp_str_upto(held, HELD_PIECE);
        struct sp_slab *slab = sp_slab_take_for(sp_loop_slabs(h->worker->loop), piece.len);
        if (!slab)
            return SP_HANDOFF_BAD(h, "memory is out");
        memcpy(slab->bytes, piece.ptr, piece.len);
        slab->used = (uint32_t)piece.len;
        bool ok = sp_forward_hold(s, slab, sp_str_of(slab->bytes, piece.len));
        sp_slab_unref(slab);
        if (!ok)
            return SP_HANDOFF_BAD(h, "memory is out");
        held = sp_str_from(held, piece.len);
    }
    return 0;
}

static sp_err load_bytes(struct sp_handoff *h, struct sp_stream *s, const struct stream_record *r)
{
    struct sp_head *head = &s->request;
    struct sp_arena *a = &s->arena;
    bool fold = s->codec->protocol == SP_PROTO_HTTP1;
    sp_str failure;
    if (r->service.len + r->method.len + r->path.len + r->class_name.len + r->headers.len + r->canonical.len +
            r->trailers.len + r->failure.len + r->again_head.len + r->again_body.len >
        STRINGS_MOST)
        return SP_HANDOFF_BAD(h, "its strings are too long");
    unpack_head(head, &r->request, (uint8_t)s->codec->protocol);
    unpack_head(&s->answer, &r->answer, 0);
    bool ok = keep(a, r->service, &head->service) && keep(a, r->method, &head->method) &&
              keep(a, r->path, &head->path) && keep(a, r->class_name, &head->class_name) &&
              keep(a, r->again_head, &s->again_head) && keep(a, r->again_body, &s->again_body) &&
              keep(a, r->canonical, &s->path) && unpack_headers(a, r->headers, fold, head);
    if (ok && r->failure.len) {
        s->failure = sp_str_dup_z(a, r->failure);
        ok = s->failure && keep(a, r->failure, &failure);
    }
    if (ok && r->has_trailers) {
        s->trailers = SP_ARENA_NEW(a, struct sp_head);
        ok = s->trailers && unpack_headers(a, r->trailers, fold, s->trailers);
    }
    if (!ok)
        return SP_HANDOFF_BAD(h, "its strings are broken, or memory is out");
    sp_err err = load_first(h, s, r);
    return err ? err : load_held(h, s, r->held);
}

/* ---- loading: the call ---- */

static const struct sp_vhost *find_vhost(const struct sp_route_table *table, const struct stream_record *r)
{
    for (uint32_t i = 0; i <= table->vhost_count; i++) {
        uint32_t at = i ? i - 1 : r->vhost; /* the same place first */
        if (at < table->vhost_count && sp_str_eq(table->vhosts[at].name, r->vhost_name))
            return &table->vhosts[at];
    }
    return NULL;
}

static void find_route(struct sp_stream *s, const struct stream_record *r)
{
    const struct sp_route_table *table = s->chain ? s->chain->spec->routes : NULL;
    const struct sp_vhost *vhost = r->has_route && table ? find_vhost(table, r) : NULL;
    if (s->cluster)
        s->choice.cluster = s->cluster->spec->name;
    for (uint32_t i = 0; vhost && i <= vhost->route_count; i++) {
        uint32_t at = i ? i - 1 : r->route;
        if (at >= vhost->route_count || !sp_str_eq(vhost->routes[at].name, r->route_name) ||
            vhost->routes[at].kind != SP_ROUTE_FORWARD)
            continue;
        s->table = table;
        s->choice.vhost = vhost;
        s->choice.route = &vhost->routes[at];
        bool weighted = r->weighted && r->weighted <= s->choice.route->weighted_count;
        s->choice.weighted = weighted ? &s->choice.route->weighted[r->weighted - 1] : NULL;
        return;
    }
}

static void fill_times(struct sp_handoff *h, struct sp_stream *s, const struct stream_record *r)
{
    s->started_ns = sp_handoff_time(h, r->started_ns);
    s->attached_ns = sp_handoff_time(h, r->attached_ns);
    s->request_end_ns = sp_handoff_time(h, r->request_end_ns);
    s->answer_ns = sp_handoff_time(h, r->answer_ns);
    s->deadline_ns = sp_handoff_time(h, r->deadline_ns);
    s->active_ns = sp_handoff_time(h, r->active_ns);
    s->started_wall_ns = r->wall_ns;
    s->request_bytes = r->request_bytes;
    s->answer_bytes = r->answer_bytes;
    s->body_left = r->body_left;
    s->delta = r->delta;
}

static void fill_bits(struct sp_stream *s, const struct stream_record *r)
{
    s->normalized = r->normalized;
    s->held_end = r->held_end;
    s->attempts = r->attempts;
    s->tunnel_ends = r->tunnel_ends;
    s->request_done = r->request_done;
    s->request_sent = r->request_sent;
    s->head_sent = r->head_sent;
    s->answer_started = r->answer_started;
    s->answer_done = r->answer_done;
    s->failed = r->failed;
    s->tunnel = r->tunnel;
    s->own_answer = r->own_answer;
    s->backward = r->backward;
    s->oneway = r->oneway;
    s->exclusive = r->exclusive;
    s->caller_last = r->caller_last;
    s->interim = r->interim;
    s->repeated = r->repeated;
    s->fresh = r->fresh;
}

/* It is the worker's from here, and holds what it holds: sp_stream_finish can end it. */
static void count_stream(struct sp_stream *s, const struct found *f, const struct stream_record *r)
{
    struct sp_worker *w = s->worker;
    sp_lease_force(&w->stream_lease);
    sp_cell_add(&w->cells.streams_active, 1);
    sp_list_push(&w->streams, &s->link);
    s->chain = f->chain;
    s->cluster = f->cluster;
    s->endpoint = f->endpoint;
    if (s->chain) {
        s->chain->users++;
        sp_cell_add(&s->chain->cells.rq_active, 1);
        sp_cell_add(&s->chain->cells.cx_upgrades_active, r->tunnel);
    }
    if (!s->cluster)
        return;
    s->cluster->users++;
    s->endpoint->users++;
    s->endpoint->active++;
    if (r->counted) {
        s->counted = true;
        sp_lease_force(&s->cluster->requests);
        sp_cell_add(&s->cluster->cells.rq_active, 1);
    }
    if (r->retrying) {
        s->retrying = true;
        sp_lease_force(&s->cluster->retries);
    }
}

static void wait_for_line(struct sp_stream *s)
{
    s->waits = true;
    s->endpoint->pending_count++;
    sp_list_push(&s->endpoint->pending, &s->pool_link);
    sp_lease_force(&s->cluster->pending);
    sp_cell_add(&s->cluster->cells.rq_pending_active, 1);
}

static sp_err hang_stream(struct sp_handoff *h, struct sp_stream *s, const struct found *f,
                          const struct stream_record *r)
{
    s->caller = f->caller;
    s->callee = f->callee;
    if (s->caller)
        sp_list_push(&s->caller->calls_in, &s->in_link);
    if (s->callee)
        sp_list_push(&s->callee->calls_out, &s->out_link);
    if (r->state == STREAM_PENDING)
        wait_for_line(s);
    s->state = r->state == STREAM_PENDING    ? SP_STREAM_PENDING
               : r->state == STREAM_ATTACHED ? SP_STREAM_ATTACHED
                                             : SP_STREAM_ANSWER;
    if (r->callee_id && !r->oneway && sp_idmap_put(&s->callee->mux->ids, r->callee_id, s))
        return SP_HANDOFF_BAD(h, "memory is out");
    s->callee_id = r->callee_id;
    return 0;
}

sp_err sp_load_stream(struct sp_handoff *h)
{
    struct stream_record r;
    struct found f = { 0 };
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = find_all(h, &r, &f);
    if (err)
        return err;
    const char *words = judge_lines(&r, &f);
    if (!words)
        words = judge_call(&r, &f);
    if (words)
        return SP_HANDOFF_BAD(h, "%s", words);
    struct sp_stream *s = sp_stream_block(h->worker);
    if (!s)
        return SP_HANDOFF_BAD(h, "memory is out");
    s->worker = h->worker;
    s->codec = f.codec;
    s->timer.on_fire = sp_stream_on_timer;
    s->why = f.why;
    s->retry_why = f.retry_why;
    if (r.client.family != SP_ADDR_UNIX) /* a path would not outlive the records */
        s->client = r.client;
    count_stream(s, &f, &r);
    fill_times(h, s, &r);
    fill_bits(s, &r);
    for (int i = 0; i < SP_STREAM_TRIED; i++)
        s->tried[i] = sp_handoff_peek(h, SP_HANDOFF_ENDPOINT, r.tried[i]);
    find_route(s, &r);
    err = hang_stream(h, s, &f, &r);
    if (!err)
        err = load_bytes(h, s, &r);
    return err ? err : sp_handoff_put(h, SP_HANDOFF_STREAM, r.number, s);
}

/* A direction is over when what fed it is. */
static bool is_tunnel(const struct sp_stream *s)
{
    const struct sp_conn *caller = &s->caller->conn, *callee = &s->callee->conn;
    return (!caller->fin_queued || callee->end_told) && (!callee->fin_queued || caller->end_told) &&
           s->tunnel_ends == (uint32_t)caller->fin_queued + callee->fin_queued;
}

sp_err sp_finish_streams(struct sp_handoff *h)
{
    uint32_t at = 0;
    uint64_t number;
    void *value;
    while (sp_idmap_next(&h->things[SP_HANDOFF_STREAM], &at, &number, &value)) {
        struct sp_stream *s = value;
        bool behind = sp_list_is_on(&s->behind_link);
        if (s->held_end && !behind)
            return SP_HANDOFF_BAD(h, "stream %u is whole and nobody lets it go", (unsigned)number);
        if (s->state == SP_STREAM_ATTACHED && !s->head_sent && !behind)
            return SP_HANDOFF_BAD(h, "stream %u has a line and does not ask", (unsigned)number);
        if (s->tunnel && !is_tunnel(s))
            return SP_HANDOFF_BAD(h, "stream %u is a tunnel whose ends do not fit", (unsigned)number);
        sp_stream_arm(s);
    }
    return 0;
}
