/* forward: the bytes of a call, from line to line. Nothing is decided here.
 *
 * HTTP/1.1. The head is written anew (connection headers stay behind, edits go in); body pieces pass as views
 * of the slabs they were read into, wrapped in chunks where the length is not known ahead. One call a line,
 * so nobody can cut in.
 *
 * Multiplexed protocols. A frame whose head was not edited passes as its own bytes: id and time patched where
 * they lie, one view for head and body. Frames must not mix: while one is partly queued on a line (sending),
 * a frame of another call waits in its stream's held pieces, on the line's `behind` list. A checksum that
 * must follow the patch is fixed by XOR as its bytes pass.
 *
 *     caller ──request──> [held while there is no line] ──> callee
 *     caller <──answer── [held while another frame is being sent] <── callee
 *
 * Back-pressure: after each piece, when the target is full, the source rests (sp_line_check_full). */
#include <string.h>

#include "proxy/listener.h"
#include "proxy/stream_impl.h"

enum { HEAD_ROOM_EXTRA = 512, HEAD_ROOM_MAX = 192 * 1024, CHUNK_ROOM = 32, AGAIN_BYTES = 4096 };

/* ---- held pieces ---- */

bool sp_forward_hold(struct sp_stream *s, struct sp_slab *slab, sp_str bytes)
{
    struct sp_held *last = s->held_last, *held = s->held_spare;
    s->held_bytes += (uint32_t)bytes.len;
    if (last && last->view.slab == slab && last->view.ptr + last->view.len == bytes.ptr) {
        last->view.len += bytes.len;
        return true;
    }
    if (held)
        s->held_spare = held->next;
    else if (!(held = sp_arena_alloc(&s->arena, sizeof(*held))))
        return false;
    held->next = NULL;
    held->view = (struct sp_view){ sp_slab_ref(slab), bytes.ptr, bytes.len };
    if (s->held_last)
        s->held_last->next = held;
    else
        s->held_first = held;
    s->held_last = held;
    return true;
}

/* The views have gone elsewhere; their nodes serve again, for a body may have any number of pieces. */
static void forget_held(struct sp_stream *s)
{
    if (s->held_last) {
        s->held_last->next = s->held_spare;
        s->held_spare = s->held_first;
    }
    s->held_first = s->held_last = NULL;
    s->held_bytes = 0;
}

void sp_forward_drop_held(struct sp_stream *s)
{
    for (struct sp_held *held = s->held_first; held; held = held->next)
        sp_slab_unref(held->view.slab);
    forget_held(s);
}

/* ---- heads ---- */

static size_t head_room(const struct sp_head *head)
{
    size_t room = HEAD_ROOM_EXTRA + head->service.len + head->method.len + head->path.len + head->reason.len +
                  head->class_name.len;
    for (uint32_t i = 0; i < head->header_count; i++)
        room += head->headers[i].name_len + head->headers[i].value_len + 8u;
    return room;
}

sp_err sp_forward_head(struct sp_line *to, const struct sp_head *head, sp_str *ret_sent)
{
    size_t room = head_room(head);
    if (room > HEAD_ROOM_MAX)
        return SP_E_LIMIT;
    char *out = sp_conn_reserve(&to->conn, room);
    ssize_t n = out ? to->conn.codec->encode_head(head, out, room) : SP_E_NOMEM;
    if (n < 0)
        return (sp_err)n;
    sp_conn_commit(&to->conn, (size_t)n);
    *ret_sent = sp_str_of(out, (size_t)n);
    return 0;
}

/* A piece of body, wrapped when the head says so. `view`'s reference goes along. */
static void write_body(struct sp_line *to, const struct sp_head *head, struct sp_view view)
{
    const struct sp_codec *codec = to->conn.codec;
    bool chunked = codec->encode_chunk && (head->flags & SP_HEAD_CHUNKED) && view.len;
    if (chunked) {
        char size[CHUNK_ROOM];
        ssize_t n = codec->encode_chunk(head, view.len, size, sizeof(size));
        SP_ASSERT(n > 0);
        sp_conn_queue(&to->conn, (struct sp_view){ NULL, size, (size_t)n });
    }
    sp_conn_queue(&to->conn, view);
    if (chunked)
        sp_conn_queue(&to->conn, (struct sp_view){ NULL, codec->chunk_suffix.ptr, codec->chunk_suffix.len });
}

static void write_end(struct sp_line *to, const struct sp_head *head, const struct sp_head *trailers)
{
    const struct sp_codec *codec = to->conn.codec;
    if (!codec->encode_end)
        return;
    size_t room = CHUNK_ROOM + (trailers ? head_room(trailers) : 0);
    char *out = sp_conn_reserve(&to->conn, room);
    ssize_t n = out ? codec->encode_end(head, trailers, out, room) : SP_E_NOMEM;
    if (n < 0)
        sp_conn_fail_later(&to->conn, (sp_err)n); /* without its end the message would swallow the next */
    else
        sp_conn_commit(&to->conn, (size_t)n);
}

/* ---- the request ---- */

/* What is left of the time the caller waits, for the frame; 0 = its own word stands. */
static int32_t time_left(const struct sp_stream *s)
{
    if (s->request.timeout_ms <= 0)
        return 0;
    uint64_t spent_ms = (sp_loop_now(s->worker->loop) - s->started_ns) / SP_NS_PER_MS;
    int64_t left = (int64_t)s->request.timeout_ms - (int64_t)spent_ms;
    if (s->deadline_ns) {
        int64_t ours = (int64_t)((s->deadline_ns - SP_MIN(s->deadline_ns, sp_loop_now(s->worker->loop))) /
                                 SP_NS_PER_MS);
        left = SP_MIN(left, SP_MAX(ours, 1));
    }
    return left == s->request.timeout_ms ? 0 : (int32_t)SP_MAX(left, 1);
}

static struct sp_view view_of(struct sp_slab *slab, const char *ptr, size_t len)
{
    return (struct sp_view){ sp_slab_ref(slab), ptr, len };
}

/* Does the piece end the frame's checksum? Then fix it where it lies. */
static void fix_body(struct sp_stream *s, const struct sp_codec *codec, sp_str body)
{
    s->body_left -= SP_MIN(s->body_left, body.len);
    if (s->delta && codec->fix)
        codec->fix((char *)(uintptr_t)body.ptr, body.len, s->body_left, s->delta);
}

static sp_err send_frame_head(struct sp_stream *s, struct sp_line *to)
{
    const struct sp_codec *codec = to->conn.codec;
    s->callee_id = sp_line_take_id(to, s->oneway ? NULL : s);
    if (!s->callee_id)
        return SP_E_NOMEM;
    s->body_left = s->request.body_bytes > 0 ? (uint64_t)s->request.body_bytes : 0;
    sp_str body = sp_str_of(s->first.ptr, s->first.len);
    int32_t left = time_left(s);
    if (!(s->request.flags & SP_HEAD_EDITED)) {
        s->delta = codec->patch(&s->request, s->callee_id, left);
        fix_body(s, codec, body);
        SP_ASSERT(!body.len || body.ptr == s->request.raw.ptr + s->request.raw.len);
        sp_conn_queue(&to->conn, view_of(s->request_slab, s->request.raw.ptr, s->request.raw.len + body.len));
        return 0;
    }
    struct sp_head head = s->request;
    head.id = s->callee_id;
    head.timeout_ms = left ? left : head.timeout_ms;
    sp_str sent;
    sp_err err = sp_forward_head(to, &head, &sent);
    if (err)
        return err;
    s->delta = codec->delta(&s->request, sent);
    fix_body(s, codec, body);
    sp_conn_queue(&to->conn, view_of(s->request_slab, body.ptr, body.len));
    return 0;
}

static char *put_bytes(char *at, sp_str s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* A line that has been used may be closed by the server while the request is on its way. A small request that
 * is whole is kept, as it was sent, to be sent again then. Out of memory: it is not. */
static void keep_for_again(struct sp_stream *s, const struct sp_line *to, sp_str head)
{
    size_t body = s->first.len + s->held_bytes;
    bool wanted = to->calls > 1 && s->request_done && !s->repeated && !(s->request.flags & SP_HEAD_TUNNEL);
    if (!wanted || head.len + body > AGAIN_BYTES)
        return;
    char *bytes = sp_arena_alloc_align(&s->arena, head.len + body, 1), *at = bytes;
    if (!bytes)
        return;
    at = put_bytes(at, head);
    at = put_bytes(at, sp_view_str(s->first));
    for (const struct sp_held *held = s->held_first; held; held = held->next)
        at = put_bytes(at, sp_view_str(held->view));
    s->again_head = sp_str_of(bytes, head.len);
    s->again_body = sp_str_of(bytes + head.len, body);
}

static sp_err send_again(struct sp_stream *s, struct sp_line *to)
{
    sp_conn_queue(&to->conn, (struct sp_view){ NULL, s->again_head.ptr, s->again_head.len });
    to->conn.codec->asked(&to->conn.codec_state, &s->request);
    if (s->again_body.len)
        write_body(to, &s->request, (struct sp_view){ NULL, s->again_body.ptr, s->again_body.len });
    return 0;
}

static sp_err send_http_head(struct sp_stream *s, struct sp_line *to)
{
    if (s->repeated && s->again_head.len)
        return send_again(s, to);
    sp_str sent;
    s->request.flags &= ~(uint32_t)SP_HEAD_LAST; /* our line to the callee lives on */
    sp_err err = sp_forward_head(to, &s->request, &sent);
    if (err)
        return err;
    keep_for_again(s, to, sent);
    to->conn.codec->asked(&to->conn.codec_state, &s->request);
    if (s->first.len)
        write_body(to, &s->request, view_of(s->request_slab, s->first.ptr, s->first.len));
    return 0;
}

static bool is_reported(uint8_t id)
{
    switch (id) {
    case SP_HDR_X_REQUEST_ID:
    case SP_HDR_TRACEPARENT:
    case SP_HDR_SOFA_TRACE_ID:
    case SP_HDR_B3_TRACE_ID:
    case SP_HDR_USER_AGENT:
    case SP_HDR_X_FORWARDED_FOR:
    case SP_HDR_SOFA_APP: return true;
    default: return false;
    }
}

static void keep(struct sp_stream *s, sp_str *str)
{
    *str = sp_str_dup(&s->arena, sp_str_upto(*str, SP_REPORT_TEXT));
}

/* The head has been sent: what the report will say is copied, and the slab is free for the next read. So a
 * call that takes long pins what it needs and not a slab. Out of memory leaves gaps in the report. */
static void let_go_of_head(struct sp_stream *s)
{
    struct sp_head *head = &s->request;
    uint32_t kept = 0;
    if (!s->request_slab)
        return;
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct sp_header h = head->headers[i];
        if (!is_reported(h.id))
            continue;
        sp_str value = sp_str_of(h.value, h.value_len);
        keep(s, &value);
        head->headers[kept++] = (struct sp_header){
            .name = "", .value = value.ptr, .id = h.id, .value_len = (uint32_t)value.len
        };
    }
    head->header_count = kept;
    keep(s, &head->service);
    keep(s, &head->method);
    keep(s, &head->path);
    head->raw = head->class_name = SP_STR_NULL;
    sp_slab_unref(s->request_slab);
    s->request_slab = NULL;
}

bool sp_forward_request(struct sp_stream *s)
{
    struct sp_line *to = s->callee;
    bool multiplexed = s->codec->multiplexed;
    if (!s->head_sent) {
        if (multiplexed && to->mux->sending && to->mux->sending != s) {
            if (!sp_list_is_on(&s->behind_link))
                sp_list_push(&to->mux->behind, &s->behind_link);
            return true;
        }
        sp_err err = multiplexed ? send_frame_head(s, to) : send_http_head(s, to);
        if (err) {
            s->failure = "the request's head cannot be written";
            sp_stream_refuse(s, err == SP_E_NOMEM ? SP_WHY_MEMORY : SP_WHY_BAD_REQUEST);
            return false;
        }
        s->head_sent = true;
        s->first.len = 0;
        let_go_of_head(s);
        if (multiplexed && !s->request_done)
            to->mux->sending = s;
    }
    for (struct sp_held *held = s->held_first; held; held = held->next) {
        if (multiplexed)
            fix_body(s, to->conn.codec, sp_view_str(held->view));
        write_body(to, &s->request, held->view);
    }
    forget_held(s);
    if (s->request_done && !s->request_sent && !s->tunnel) {
        write_end(to, &s->request, s->trailers);
        s->request_sent = true;
        if (to->mux->sending == s)
            sp_line_frame_done(to);
        if (s->oneway) {
            sp_stream_finish(s);
            return false;
        }
    }
    if (s->caller)
        sp_line_check_full(s->caller, to);
    return true;
}

/* ---- the answer ---- */

/* Queue a piece of the answer's frame, or keep it while another frame is being sent. */
static bool put_frame(struct sp_stream *s, struct sp_line *to, struct sp_view view)
{
    if (!sp_list_is_on(&s->behind_link)) {
        sp_conn_queue(&to->conn, view);
        return true;
    }
    bool ok = sp_forward_hold(s, view.slab, sp_view_str(view));
    sp_slab_unref(view.slab);
    return ok;
}

/* An edited head becomes a slab of its own: it may have to wait. */
static bool put_edited(struct sp_stream *s, struct sp_line *to, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_head head = *ev->head;
    head.id = s->request.id;
    struct sp_slab *own = sp_slab_take_for(sp_loop_slabs(s->worker->loop), head_room(&head));
    ssize_t n = own ? to->conn.codec->encode_head(&head, own->bytes, own->cap) : SP_E_NOMEM;
    if (n < 0) {
        sp_slab_unref(own);
        return false;
    }
    own->used = (uint32_t)n;
    s->delta = to->conn.codec->delta(ev->head, sp_str_of(own->bytes, own->used));
    fix_body(s, to->conn.codec, ev->body);
    return put_frame(s, to, (struct sp_view){ own, own->bytes, own->used }) &&
           put_frame(s, to, view_of(slab, ev->body.ptr, ev->body.len));
}

static void answer_frame(struct sp_stream *s, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_line *to = s->caller;
    struct sp_head *head = ev->head;
    if (to->mux->sending && to->mux->sending != s)
        sp_list_push(&to->mux->behind, &s->behind_link);
    s->body_left = head->body_bytes > 0 ? (uint64_t)head->body_bytes : 0;
    bool ok = true;
    if (head->flags & SP_HEAD_EDITED) {
        ok = put_edited(s, to, ev, slab);
    } else {
        s->delta = to->conn.codec->patch(head, s->request.id, 0);
        fix_body(s, to->conn.codec, ev->body);
        ok = put_frame(s, to, view_of(slab, head->raw.ptr, head->raw.len + ev->body.len));
    }
    if (!ok) {
        sp_stream_refuse(s, SP_WHY_MEMORY);
        return;
    }
    bool waits = sp_list_is_on(&s->behind_link);
    if (ev->end) {
        s->held_end = waits;
        s->answer_done = true;
        sp_line_check_full(s->callee, to);
        if (!waits)
            sp_stream_finish(s);
        return;
    }
    if (waits)
        sp_line_wait(s->callee, to);
    else
        to->mux->sending = s;
}

/* The framing towards the caller: what it understands, and whether its line goes on. */
static void frame_http(struct sp_stream *s, struct sp_head *head)
{
    bool old = s->request.flags & SP_HEAD_OLD;
    if (head->flags & (SP_HEAD_CHUNKED | SP_HEAD_UNTIL_CLOSE)) {
        head->flags &= ~(uint32_t)(SP_HEAD_CHUNKED | SP_HEAD_UNTIL_CLOSE);
        head->flags |= old ? SP_HEAD_UNTIL_CLOSE : SP_HEAD_CHUNKED;
        if (old)
            s->caller_last = true;
    }
    s->caller_last |= s->caller->last || s->worker->draining || !s->request_done;
    head->flags &= ~(uint32_t)(SP_HEAD_LAST | SP_HEAD_OLD);
    if (s->caller_last && !s->tunnel)
        head->flags |= SP_HEAD_LAST;
    if (old)
        head->flags |= SP_HEAD_OLD;
}

static void open_tunnel(struct sp_stream *s)
{
    struct sp_line *line = s->caller;
    line->tunnel = s->callee->tunnel = true;
    line->receiving = s;
    line->receiving_answer = false;
    s->request_sent = true;
    s->request_done = false;
    if (s->chain) {
        sp_cell_add(&s->chain->cells.cx_upgrades, 1);
        sp_cell_add(&s->chain->cells.cx_upgrades_active, 1);
    }
    sp_stream_arm(s);
    sp_conn_hold(&line->conn, false);
}

static bool is_tunnel(const struct sp_stream *s, const struct sp_head *head)
{
    if (s->request.flags & SP_HEAD_TUNNEL)
        return head->status >= 200 && head->status < 300;
    return head->status == 101 && (s->request.flags & SP_HEAD_UPGRADE);
}

static void answer_http(struct sp_stream *s, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_line *to = s->caller;
    struct sp_head *head = ev->head;
    s->tunnel = is_tunnel(s, head);
    frame_http(s, head);
    s->answer.flags = head->flags;
    sp_str sent;
    if (sp_forward_head(to, head, &sent)) {
        s->answer_started = false;
        s->failure = "the answer's head cannot be written";
        sp_stream_refuse(s, SP_WHY_UPSTREAM_PROTOCOL);
        return;
    }
    to->conn.codec->answered(&to->conn.codec_state, head);
    if (ev->body.len)
        write_body(to, &s->answer, view_of(slab, ev->body.ptr, ev->body.len));
    if (s->tunnel) {
        open_tunnel(s);
    } else if (ev->end) {
        write_end(to, &s->answer, NULL);
        s->answer_done = true;
        sp_stream_finish(s);
        return;
    }
    sp_line_check_full(s->callee, to);
}

/* 100 and 103 pass; an HTTP/1.0 caller knows none. */
static void answer_interim(struct sp_stream *s, struct sp_head *head)
{
    sp_str sent;
    s->interim = true;
    if (s->request.flags & SP_HEAD_OLD)
        return;
    SP_IGNORE(sp_forward_head(s->caller, head, &sent)); /* one that cannot be written is left out */
    sp_line_check_full(s->callee, s->caller);
}

/* What the grammar lets pass and no caller could make sense of; NULL = there is nothing of that. Statuses
 * beyond 599 are invalid (RFC 9110 15): each reader would take them for something else. */
static const char *nonsense(const struct sp_stream *s, const struct sp_head *head)
{
    if (s->codec->protocol != SP_PROTO_HTTP1)
        return NULL;
    if (head->status < 100 || head->status > 599)
        return "the upstream's status is none: beyond 599";
    if (head->status == 101 && !(s->request.flags & SP_HEAD_UPGRADE))
        return "the upstream changed the protocol unasked";
    return NULL;
}

void sp_stream_answer(struct sp_stream *s, struct sp_event *ev, struct sp_slab *slab)
{
    s->active_ns = sp_loop_now(s->worker->loop);
    s->failure = nonsense(s, ev->head);
    if (s->failure) {
        sp_stream_refuse(s, SP_WHY_UPSTREAM_PROTOCOL);
        return;
    }
    if (ev->head->kind == SP_MSG_INTERIM) {
        answer_interim(s, ev->head);
        return;
    }
    sp_stream_move(s, SP_STREAM_ANSWER);
    s->answer_ns = s->active_ns;
    s->answer_started = true;
    s->answer.flags = ev->head->flags;
    s->answer.status = ev->head->status;
    s->answer.raw_status = ev->head->raw_status;
    s->answer.body_bytes = ev->head->body_bytes;
    s->answer.kind = ev->head->kind;
    s->answer_bytes = ev->body.len;
    if (ev->head->flags & SP_HEAD_LAST)
        s->callee->last = true;
    if (s->table && sp_route_edit_response(s->table, &s->choice, &s->arena, ev->head)) {
        s->answer_started = false;
        sp_stream_refuse(s, SP_WHY_MEMORY);
        return;
    }
    if (s->codec->multiplexed)
        answer_frame(s, ev, slab);
    else
        answer_http(s, ev, slab);
}

void sp_stream_answer_more(struct sp_stream *s, struct sp_event *ev, struct sp_slab *slab)
{
    struct sp_line *to = s->caller, *from = s->callee;
    s->active_ns = sp_loop_now(s->worker->loop);
    s->answer_bytes += ev->body.len;
    if (s->codec->multiplexed) {
        fix_body(s, to->conn.codec, ev->body);
        if (ev->body.len && !put_frame(s, to, view_of(slab, ev->body.ptr, ev->body.len))) {
            sp_stream_refuse(s, SP_WHY_MEMORY);
            return;
        }
    } else if (ev->body.len) {
        write_body(to, &s->answer, view_of(slab, ev->body.ptr, ev->body.len));
    }
    if (!ev->end || s->tunnel) { /* a tunnel ends with its connections: sp_stream_tunnel_end */
        sp_line_check_full(from, to);
        return;
    }
    s->answer_done = true;
    if (s->codec->multiplexed)
        sp_line_check_full(from, to);
    if (sp_list_is_on(&s->behind_link)) {
        s->held_end = true;
        return;
    }
    if (!s->codec->multiplexed)
        write_end(to, &s->answer, ev->trailers ? ev->head : NULL);
    bool was_sending = to->mux->sending == s;
    if (was_sending)
        to->mux->sending = NULL;
    sp_stream_finish(s);
    if (was_sending && !to->conn.closed)
        sp_line_frame_done(to);
}

/* The line is free for what was held back. */
void sp_stream_go_on(struct sp_stream *s, struct sp_line *line)
{
    if (line == s->callee && !s->answer_started) { /* a backward request */
        sp_forward_request(s);
        return;
    }
    for (struct sp_held *held = s->held_first; held; held = held->next)
        sp_conn_queue(&line->conn, held->view);
    forget_held(s);
    if (s->held_end) {
        sp_stream_finish(s);
        return;
    }
    line->mux->sending = s;
    if (!sp_conn_is_full(&line->conn)) /* else it wakes with all others, when there is room */
        sp_line_wake(s->callee);
}
