/* finish: how calls end: by the upstream's answer, by one of ours, or cut.
 *
 * Whatever the end, it passes sp_stream_finish once: the call leaves both lines, its figures are added, one
 * report is written, limits get their shares back; only then do the lines go on, because a line that goes on
 * may begin the next call at once, or close and tell the others.
 *
 *      nothing of the answer has been sent   -> our own well-formed answer, with the request's id
 *      a part has been sent                  -> the caller's line is cut: the protocol has no other way left
 *      the caller is gone                    -> the callee's line is cut (h1) or the id forgotten (Bolt)
 *
 * Envoy edits its own answers by the route like any other, so ours carry the route's response headers too, as
 * soon as a route was found. RPC's error frames have none.
 *
 * The reason is set where it is decided and never overwritten. */
#include <string.h>

#include "proxy/listener.h"
#include "proxy/stream_impl.h"

enum { ERROR_ROOM = 1024, REDIRECT_ROOM = 512, ID_MOST = 256 /* as in errors: wire/h1/h1.h */ };

static void finish(struct sp_stream *s, const struct sp_line *reported);

static void set_why(struct sp_stream *s, enum sp_why why)
{
    if (!s->why)
        s->why = (uint16_t)why;
}

/* ---- answers of our own ---- */

static sp_str said_reason(const struct sp_worker *worker, enum sp_why why)
{
    bool said = __atomic_load_n(&worker->process->settings->reason_header, __ATOMIC_RELAXED);
    return said ? sp_str_c(sp_why_row(why)->code) : SP_STR_NULL;
}

/* Room for one more whole frame that waits for another's to end: see sp_line_frame_done. */
static struct sp_slab *later_room(struct sp_line *line)
{
    struct sp_slab *slab = line->mux->refusals;
    struct sp_slab_pool *pool = sp_loop_slabs(line->worker->loop);
    if (slab && slab->cap - slab->used >= ERROR_ROOM)
        return slab;
    struct sp_slab *larger = slab ? sp_slab_take_for(pool, slab->cap + 1)
                                  : sp_slab_take(pool, SP_SLAB_MEDIUM);
    if (!larger)
        return NULL;
    if (slab)
        memcpy(larger->bytes, slab->bytes, slab->used);
    larger->used = slab ? slab->used : 0;
    sp_slab_unref(slab);
    line->mux->refusals = larger;
    return larger;
}

static bool write_later(struct sp_line *line, const struct sp_head *request, enum sp_why why, uint32_t status)
{
    struct sp_slab *slab = later_room(line);
    if (!slab)
        return false;
    ssize_t n = line->conn.codec->encode_error(request, status, said_reason(line->worker, why),
                                               sp_str_c(sp_why_row(why)->text), false,
                                               slab->bytes + slab->used, ERROR_ROOM);
    if (n < 0)
        return false;
    slab->used += (uint32_t)n;
    return true;
}

bool sp_stream_write_error(struct sp_line *line, const struct sp_head *request, enum sp_why why,
                           uint32_t status, bool last)
{
    if (line->mux->sending) /* inside somebody's frame */
        return !last && write_later(line, request, why, status);
    char *out = sp_conn_reserve(&line->conn, ERROR_ROOM);
    ssize_t n = out ? line->conn.codec->encode_error(request, status, said_reason(line->worker, why),
                                                     sp_str_c(sp_why_row(why)->text), last, out, ERROR_ROOM)
                    : SP_E_NOMEM;
    if (n < 0)
        return false;
    sp_conn_commit(&line->conn, (size_t)n);
    if (line->conn.codec->answered)
        line->conn.codec->answered(&line->conn.codec_state, NULL);
    return true;
}

/* Leave the callee's line; what it still sends for this call is dropped. */
static struct sp_line *leave_callee(struct sp_stream *s, bool *ret_whole)
{
    struct sp_line *line = s->callee;
    *ret_whole = false;
    if (!line)
        return NULL;
    bool half_sent = s->head_sent && !s->request_sent;
    *ret_whole = s->codec->multiplexed ? !half_sent : s->answer_done && s->request_sent && !s->own_answer;
    sp_list_remove(&s->out_link);
    if (s->callee_id)
        sp_idmap_remove(&line->mux->ids, s->callee_id);
    if (line->receiving == s)
        line->receiving = NULL;
    if (line->mux->sending == s)
        line->mux->sending = NULL;
    s->callee = NULL;
    return line;
}

static void release_callee(struct sp_line *line, bool whole)
{
    if (!line)
        return;
    if (line->endpoint)
        sp_line_release(line, whole);
    else if (!whole) /* a backward request of which a part was sent */
        sp_line_close(line, SP_WHY_CLIENT_GONE, true);
}

/* What encode_error says, with the edits of the route that was found. */
static sp_err routed_head(struct sp_stream *s, enum sp_why why, uint32_t status, struct sp_head *head)
{
    sp_str reason = said_reason(s->worker, why), id = sp_head_value(&s->request, SP_HDR_X_REQUEST_ID);
    *head = (struct sp_head){ .kind = SP_MSG_RESPONSE,
                              .protocol = SP_PROTO_HTTP1,
                              .status = status,
                              .body_bytes = (int64_t)strlen(sp_why_row(why)->text),
                              .flags = (s->request.flags & SP_HEAD_OLD) |
                                       (s->caller_last ? SP_HEAD_LAST : 0) };
    sp_err err = 0;
    if (reason.len)
        err = sp_head_add(head, &s->arena, SP_STR("x-sampan-reason"), reason);
    if (!err && id.len && id.len <= ID_MOST)
        err = sp_head_add(head, &s->arena, SP_STR("x-request-id"), id);
    if (!err)
        err = sp_head_add(head, &s->arena, SP_STR("Content-Type"), SP_STR("text/plain"));
    return err ? err : sp_route_edit_response(s->table, &s->choice, &s->arena, head);
}

/* False: nothing has been written; there is no route, or no memory for what it would say. */
static bool write_routed_error(struct sp_stream *s, enum sp_why why, uint32_t status)
{
    struct sp_head head;
    sp_str sent, text = sp_str_c(sp_why_row(why)->text);
    bool has_edits = !s->codec->multiplexed && s->table && s->choice.route;
    if (!has_edits || routed_head(s, why, status, &head) || sp_forward_head(s->caller, &head, &sent))
        return false;
    if (!sp_str_eq(s->request.method, SP_STR("HEAD")))
        sp_conn_queue(&s->caller->conn, (struct sp_view){ NULL, text.ptr, text.len });
    s->codec->answered(&s->caller->conn.codec_state, NULL);
    return true;
}

/* A complete answer that says the reason and nothing else. */
static void answer_error(struct sp_stream *s, enum sp_why why, uint32_t status)
{
    struct sp_line *caller = s->caller;
    s->answer.status = status;
    s->answer.raw_status = 0;
    s->caller_last |= !s->codec->multiplexed && (!s->request_done || caller->last || s->worker->draining);
    s->answer_done = s->own_answer = write_routed_error(s, why, status) ||
                                     sp_stream_write_error(caller, &s->request, why, status, s->caller_last);
    s->answer_started = true;
    sp_stream_finish(s);
}

void sp_stream_refuse(struct sp_stream *s, enum sp_why why)
{
    struct sp_line *caller = s->caller;
    if (s->answer_done && sp_list_is_on(&s->behind_link))
        return; /* it is whole, and only waits its turn */
    set_why(s, why);
    why = (enum sp_why)s->why; /* what is said is what is recorded */
    uint32_t status = sp_why_row(why)->status;
    bool begun = s->answer_started && !(s->codec->multiplexed && caller && caller->mux->sending != s);
    if (!caller || begun || s->oneway || !status)
        sp_stream_finish(s);
    else
        answer_error(s, why, status);
}

/* A response head built here, with the route's edits. */
static sp_err direct_head(struct sp_stream *s, struct sp_head *head, uint32_t status, sp_str body)
{
    *head = (struct sp_head){ .kind = SP_MSG_RESPONSE,
                              .protocol = SP_PROTO_HTTP1,
                              .status = status,
                              .body_bytes = (int64_t)body.len,
                              .proto_ver = 1 };
    if (sp_str_eq(s->request.method, SP_STR("HEAD")))
        head->flags |= SP_HEAD_NO_BODY;
    s->caller_last |= !s->request_done || s->caller->last || s->worker->draining;
    if (s->caller_last)
        head->flags |= SP_HEAD_LAST;
    sp_err err = 0;
    if (body.len)
        err = sp_head_add(head, &s->arena, SP_STR("content-type"), SP_STR("text/plain"));
    sp_str id = sp_head_value(&s->request, SP_HDR_X_REQUEST_ID);
    if (!err && id.len && id.len <= ID_MOST)
        err = sp_head_add(head, &s->arena, SP_STR("x-request-id"), id);
    if (!err && s->choice.route->kind == SP_ROUTE_REDIRECT) {
        struct sp_route_input in = { .head = &s->request, .arena = &s->arena, .path = s->path };
        sp_str location = sp_route_location(s->choice.route, &in);
        err = location.ptr ? sp_head_add(head, &s->arena, SP_STR("location"), location) : SP_E_NOMEM;
    }
    return err ? err : sp_route_edit_response(s->table, &s->choice, &s->arena, head);
}

void sp_stream_answer_self(struct sp_stream *s)
{
    const struct sp_route *route = s->choice.route;
    bool redirect = route->kind == SP_ROUTE_REDIRECT;
    enum sp_why why = redirect ? SP_WHY_REDIRECT : SP_WHY_DIRECT;
    uint32_t status = redirect ? route->redirect.status : route->direct_status;
    sp_str body = redirect ? SP_STR_NULL : route->direct_body;
    if (s->codec->multiplexed) { /* RPC has no redirect: the status says it */
        set_why(s, why);
        if (s->oneway)
            sp_stream_finish(s);
        else
            answer_error(s, why, status);
        return;
    }
    struct sp_head head;
    size_t room = body.len + ERROR_ROOM * 8;
    sp_err err = direct_head(s, &head, status, body);
    char *out = err ? NULL : sp_conn_reserve(&s->caller->conn, room);
    ssize_t n = out ? s->codec->encode_head(&head, out, room - body.len) : SP_E_NOMEM;
    if (n < 0) {
        sp_stream_refuse(s, SP_WHY_MEMORY);
        return;
    }
    if (!(head.flags & SP_HEAD_NO_BODY) && body.len) {
        memcpy(out + n, body.ptr, body.len);
        n += (ssize_t)body.len;
        s->answer_bytes = body.len;
    }
    sp_conn_commit(&s->caller->conn, (size_t)n);
    s->codec->answered(&s->caller->conn.codec_state, &head);
    set_why(s, why);
    s->answer.status = status;
    s->answer_started = s->answer_done = s->own_answer = true;
    sp_stream_finish(s);
}

bool sp_stream_refuse_unborn(struct sp_line *line, const struct sp_head *request, enum sp_why why,
                             uint32_t status, const char *failure, bool last)
{
    char id[SP_STREAM_ID_BYTES];
    struct sp_header named = { "x-request-id", id, sizeof(id), 12, SP_HDR_X_REQUEST_ID, 0 };
    struct sp_head told;
    bool http = line->conn.codec->protocol == SP_PROTO_HTTP1;
    if (http && line->chain && line->chain->spec->generate_request_id &&
        !sp_head_find(request, SP_HDR_X_REQUEST_ID)) {
        sp_stream_make_id(line->worker, id);
        told = *request; /* an error repeats no other header of its request */
        told.headers = &named;
        told.header_count = 1;
        request = &told;
    }
    sp_cell_add(&line->worker->cells.why[why], 1);
    sp_report_unborn(line, request, why, status, failure);
    return request && sp_stream_write_error(line, request, why, status, last);
}

/* A call whose frame was broken in the middle. False: it was not in the middle of one. */
static bool refuse_half(struct sp_line *line, enum sp_why why, const struct sp_event *ev)
{
    struct sp_stream *half = line->receiving;
    line->receiving = NULL;
    if (!half || line->receiving_answer)
        return false;
    half->failure = ev->why;
    sp_stream_refuse(half, why);
    return true;
}

/* What came could not be read. Calls that were whole before it are still answered: sp_line_deafen. */
void sp_stream_broken(struct sp_line *line, struct sp_event *ev)
{
    enum sp_why why = ev->status == 431               ? SP_WHY_HEAD_TOO_LARGE
                      : ev->status == 414             ? SP_WHY_URI_TOO_LONG
                      : ev->status == 501             ? SP_WHY_UNSUPPORTED
                      : ev->status == 505             ? SP_WHY_HTTP_VERSION
                      : ev->status == 408             ? SP_WHY_HEADERS_TIMEOUT
                      : line->conn.codec->multiplexed ? SP_WHY_BAD_FRAME
                                                      : SP_WHY_BAD_REQUEST;
    bool large = why == SP_WHY_HEAD_TOO_LARGE || why == SP_WHY_URI_TOO_LONG;
    sp_cell_add(&line->chain->cells.rq_too_large, large);
    struct sp_stream *current = line->conn.codec->multiplexed
                                    ? NULL
                                    : SP_LIST_FIRST(&line->calls_in, struct sp_stream, in_link);
    if (current) { /* its body is broken */
        current->failure = ev->why;
        line->last = true;
        sp_stream_refuse(current, why);
        if (line->state == SP_LINE_OPEN)
            sp_line_linger(line, why);
        return;
    }
    if (refuse_half(line, why, ev)) {
        if (line->state == SP_LINE_OPEN && !sp_line_deafen(line, why))
            sp_line_linger(line, why);
        return;
    }
    struct sp_head unknown = { .kind = SP_MSG_REQUEST, .protocol = (uint8_t)line->conn.codec->protocol };
    const struct sp_head *request = ev->head && ev->head->raw.len ? ev->head : &unknown;
    if (line->conn.codec->multiplexed && request == &unknown)
        request = NULL; /* no id to answer to */
    bool last = !line->conn.codec->multiplexed;
    SP_IGNORE(sp_stream_refuse_unborn(line, request, why, ev->status ? ev->status : 400, ev->why, last));
    if (!sp_line_deafen(line, why))
        sp_line_linger(line, why);
}

/* ---- cut ---- */

void sp_stream_caller_gone(struct sp_stream *s, enum sp_why why)
{
    const struct sp_line *gone = s->caller;
    sp_list_remove(&s->in_link);
    sp_list_remove(&s->behind_link);
    s->caller = NULL;
    if (s->oneway && s->request_done && s->waits && why == SP_WHY_CLIENT_GONE)
        return; /* whole, and nobody waits for an answer: it goes out when there is a line */
    if (!s->answer_done)
        set_why(s, why ? why : SP_WHY_CLIENT_GONE);
    if (s->cluster && !s->answer_done)
        sp_cell_add(&s->cluster->cells.rq_cancelled, 1);
    if (s->chain && !s->answer_done)
        sp_cell_add(&s->chain->cells.rq_rx_reset, 1);
    finish(s, gone);
}

void sp_stream_callee_gone(struct sp_stream *s, enum sp_why why)
{
    bool again = sp_stream_may_go_again(s, why);
    sp_list_remove(&s->out_link);
    s->failed = true;
    if (s->cluster)
        sp_cell_add(&s->cluster->cells.rq_rx_reset, 1);
    if (!s->failure)
        s->failure = sp_why_row(why)->text;
    s->callee = NULL;
    if (again && sp_stream_go_again(s, why))
        return;
    /* What ends a caller's connection is no answer to those who call it backwards. */
    sp_stream_refuse(s, sp_why_row(why)->status ? why : SP_WHY_UPSTREAM_CLOSED);
}

void sp_stream_cut(struct sp_stream *s, enum sp_why why)
{
    sp_stream_refuse(s, why);
}

void sp_stream_tunnel_end(struct sp_stream *s, struct sp_line *from)
{
    struct sp_line *other = from == s->caller ? s->callee : s->caller;
    if (s->tunnel_ends++ || !other) {
        s->answer_done = true;
        sp_stream_finish(s);
        return;
    }
    sp_conn_finish(&other->conn);
}

/* ---- the end ---- */

static void release_caller(struct sp_line *line, const struct sp_stream *s)
{
    if (!line)
        return;
    bool begun = s->answer_started && !s->answer_done;
    bool half_frame = line->mux->sending == s;
    if (half_frame)
        line->mux->sending = NULL;
    if (line->receiving == s)
        line->receiving = NULL;
    sp_line_go_on(line); /* it may have rested until there was a line: sp_stream_request_more */
    if (half_frame || (begun && !s->codec->multiplexed)) {
        sp_line_close(line, s->why ? s->why : SP_WHY_UPSTREAM_RESET, true);
        return;
    }
    if (!s->answer_done && !s->oneway) { /* not even an error could be said */
        sp_line_close(line, s->why, true);
        return;
    }
    sp_line_release(line, s->codec->multiplexed || (s->request_done && !s->caller_last && !s->tunnel));
}

void sp_stream_finish(struct sp_stream *s)
{
    finish(s, s->caller);
}

/* `reported`: whose address the record says, though the line may be going. */
static void finish(struct sp_stream *s, const struct sp_line *reported)
{
    sp_stream_move(s, SP_STREAM_DONE);
    sp_timer_stop(s->worker->loop, &s->timer);
    sp_list_remove(&s->behind_link);
    bool whole;
    struct sp_line *caller = s->caller, *callee = leave_callee(s, &whole);
    sp_list_remove(&s->in_link);
    sp_forward_drop_held(s);
    sp_report_call(s, reported, callee);
    if (s->counted) {
        sp_lease_give(&s->cluster->requests);
        sp_cell_sub(&s->cluster->cells.rq_active, 1);
    }
    struct sp_endpoint *kept = s->endpoint;
    if (kept)
        kept->users++; /* until the lines have gone on */
    sp_stream_unpick(s);
    struct sp_cluster *cluster = s->cluster;
    struct sp_chain *chain = s->chain;
    if (chain)
        sp_cell_sub(&chain->cells.rq_active, 1);
    if (chain && s->tunnel)
        sp_cell_sub(&chain->cells.cx_upgrades_active, 1);
    release_callee(callee, whole);
    if (caller && !caller->conn.closed)
        release_caller(caller, s);
    if (kept)
        sp_endpoint_unuse(kept);
    if (cluster)
        sp_cluster_unuse(cluster);
    if (chain)
        sp_chain_unuse(chain);
    sp_stream_give(s);
}
