/* answer: how an answer leaves: head, then what there is room for, then the rest when there is room again.
 *
 * All bodies go one way, whether they are there (body_out) or are made as they go (a source): the pump
 * queues pieces until the conn is full, and on_drained calls it again. So a page of a hundred MB costs the
 * memory of one piece and of what the mark lets wait, and a client that reads slowly slows only its own
 * page.
 *
 *      source->more ──► piece ──► [chunk head] [piece] [CR LF] ──► conn ──► socket
 *                  ▲                                            │
 *                  └───────────── on_drained ◄──────────────────┘
 *
 * A source that fails in the middle cannot take its 200 back: the connection is cut, so the client sees a
 * body without its end. HEAD gets the head that GET would get; a source is then never asked. */
#include "rpc/http_impl.h"

#include "wire/h1/h1.h"

#define TEXT_TYPE "text/plain; charset=UTF-8"

static struct sp_http_line *line_of(struct sp_http_call *call)
{
    return SP_CONTAINER(call, struct sp_http_line, call);
}

const struct sp_http_request *sp_http_request(const struct sp_http_call *call)
{
    return &call->request;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is no escape stays as it is. */
static sp_str percent_decode(struct sp_arena *arena, sp_str in)
{
    char *out = sp_arena_alloc(arena, in.len + 1);
    size_t len = 0;
    if (!out)
        return SP_STR("");
    for (size_t i = 0; i < in.len; i++) {
        int high = -1, low = -1;
        if (in.ptr[i] == '%' && i + 2 < in.len) {
            high = hex_digit(in.ptr[i + 1]);
            low = hex_digit(in.ptr[i + 2]);
        }
        if (high >= 0 && low >= 0)
            i += 2;
        out[len++] = high >= 0 && low >= 0 ? (char)(high << 4 | low) : in.ptr[i];
    }
    return sp_str_of(out, len);
}

sp_str sp_http_param(struct sp_http_call *call, const char *name)
{
    sp_str rest = call->request.query;
    while (rest.ptr) {
        sp_str value = sp_str_cut(&rest, '&');
        sp_str key = sp_str_cut(&value, '=');
        if (sp_str_eq(key, sp_str_c(name)))
            return value.ptr ? percent_decode(&line_of(call)->arena, value) : SP_STR("");
    }
    return SP_STR_NULL;
}

void sp_http_on_gone(struct sp_http_call *call, void (*fn)(void *arg), void *arg)
{
    call->on_gone = fn;
    call->on_gone_arg = arg;
}

/* ---- the head ---- */

static void add_header(struct sp_http_call *call, const char *name, enum sp_hdr id, sp_str value)
{
    call->headers[call->header_count++] = (struct sp_header){
        .name = name,
        .name_len = (uint16_t)strlen(name),
        .value = value.ptr,
        .value_len = (uint32_t)value.len,
        .id = (uint8_t)id,
    };
}

void sp_http_header(struct sp_http_call *call, const char *name, sp_str value)
{
    sp_str copy = sp_str_dup(&line_of(call)->arena, value);
    if (copy.ptr && call->header_count < SP_HTTP_HEADERS)
        add_header(call, name, sp_hdr_of(sp_str_c(name), true), copy);
}

static bool is_head(const struct sp_http_call *call)
{
    return sp_str_eq(call->request.method, SP_STR("HEAD"));
}

/* `bytes` -1: chunked. */
static void begin(struct sp_http_line *line, uint16_t status, const char *type, int64_t bytes)
{
    struct sp_http_call *call = &line->call;
    SP_ASSERT(!call->answered);
    call->answered = true;
    call->on_gone = NULL;
    add_header(call, "Content-Type", SP_HDR_CONTENT_TYPE, sp_str_c(type ? type : TEXT_TYPE));
    add_header(call, "Cache-Control", SP_HDR_OTHER, SP_STR("no-store"));
    add_header(call, "X-Content-Type-Options", SP_HDR_OTHER, SP_STR("nosniff"));
    call->answer.kind = SP_MSG_RESPONSE;
    call->answer.protocol = SP_PROTO_HTTP1;
    call->answer.status = status;
    call->answer.body_bytes = bytes;
    call->answer.flags |= call->head.flags & (SP_HEAD_LAST | SP_HEAD_OLD);
    if (is_head(call)) {
        call->answer.flags |= SP_HEAD_NO_BODY;
        char *text = bytes >= 0 ? sp_arena_printf(&line->arena, "%lld", (long long)bytes) : NULL;
        if (text)
            add_header(call, "Content-Length", SP_HDR_CONTENT_LENGTH, sp_str_c(text));
    } else if (bytes < 0 && (call->head.flags & SP_HEAD_OLD)) {
        call->answer.flags |= SP_HEAD_LAST;
    }
    call->answer.headers = call->headers;
    call->answer.header_count = call->header_count;

    size_t room = SP_H1_HEAD_ROOM;
    for (uint32_t i = 0; i < call->header_count; i++)
        room += (size_t)call->headers[i].name_len + call->headers[i].value_len + 4;
    char *out = sp_conn_reserve(&line->conn, room + 64); /* and the reason phrase */
    ssize_t len = out ? sp_h1_codec.encode_head(&call->answer, out, room + 64) : SP_E_NOMEM;
    if (len <
        0) { /* a header's value that may not be written, or no memory: better no answer than a false one */
        sp_conn_close(&line->conn, true);
        return;
    }
    sp_conn_commit(&line->conn, (size_t)len);
    if (!line->conn.broken)
        sp_h1_codec.answered(&line->conn.codec_state, &call->answer);
}

/* ---- the body ---- */

static void queue(struct sp_http_line *line, sp_str bytes)
{
    while (bytes.len) {
        sp_str piece = sp_str_upto(bytes, SP_HTTP_PIECE);
        sp_conn_queue(&line->conn, (struct sp_view){ .ptr = piece.ptr, .len = piece.len });
        bytes = sp_str_from(bytes, piece.len);
    }
}

static void end_body(struct sp_http_line *line, bool whole)
{
    struct sp_http_call *call = &line->call;
    struct sp_http_source *source = call->source;
    call->streaming = false;
    call->source = NULL;
    sp_buf_deinit(&call->body_out);
    if (!whole)
        sp_conn_close(&line->conn, true);
    else if (source && !is_head(call)) {
        char end[8];
        ssize_t len = sp_h1_codec.encode_end(&call->answer, NULL, end, sizeof(end));
        if (len > 0)
            queue(line, sp_str_of(end, (size_t)len));
    }
    if (source)
        source->on_end(source, whole);
    if (!line->conn.closed && !sp_conn_is_full(&line->conn))
        sp_http_line_answered(line);
}

/* False: nothing more for now. */
static bool pump_source(struct sp_http_line *line)
{
    struct sp_http_call *call = &line->call;
    sp_buf_reset(&call->body_out);
    enum sp_http_next next = call->source->more(call->source, &call->body_out);
    sp_str piece = sp_buf_str(&call->body_out);
    if (call->body_out.failed) {
        end_body(line, false);
        return false;
    }
    if (piece.len) {
        char head[SP_H1_CHUNK_ROOM];
        ssize_t len = sp_h1_codec.encode_chunk(&call->answer, piece.len, head, sizeof(head));
        if (len > 0)
            queue(line, sp_str_of(head, (size_t)len));
        queue(line, piece);
        if (len > 0)
            queue(line, sp_h1_codec.chunk_suffix);
    }
    if (next == SP_HTTP_END)
        end_body(line, true);
    call->waiting = next == SP_HTTP_WAIT;
    return next == SP_HTTP_MORE;
}

static bool pump_body(struct sp_http_line *line)
{
    struct sp_http_call *call = &line->call;
    sp_str piece = sp_str_upto(sp_str_from(sp_buf_str(&call->body_out), call->body_at), SP_HTTP_PIECE);
    queue(line, piece);
    call->body_at += piece.len;
    if (call->body_at < call->body_out.len)
        return true;
    end_body(line, true);
    return false;
}

void sp_http_pump(struct sp_http_line *line)
{
    struct sp_http_call *call = &line->call;
    while (call->streaming && !call->waiting && !line->conn.closed && !sp_conn_is_full(&line->conn))
        if (!(call->source ? pump_source(line) : pump_body(line)))
            return;
}

void sp_http_wake(struct sp_http_call *call)
{
    call->waiting = false;
    sp_http_pump(line_of(call));
}

void sp_http_stream(struct sp_http_call *call, uint16_t status, const char *type,
                    struct sp_http_source *source)
{
    struct sp_http_line *line = line_of(call);
    begin(line, status, type, -1);
    call->source = source;
    if (line->conn.closed || is_head(call)) {
        end_body(line, !line->conn.closed);
        return;
    }
    call->streaming = true;
    sp_http_pump(line);
}

void sp_http_answer_buf(struct sp_http_call *call, uint16_t status, const char *type, struct sp_buf *body)
{
    struct sp_http_line *line = line_of(call);
    if (body->failed) {
        sp_buf_deinit(body);
        sp_buf_init(body, 0);
        sp_http_answer(call, 500, NULL, SP_STR("the page does not fit into memory\n"));
        return;
    }
    begin(line, status, type, (int64_t)body->len);
    sp_buf_deinit(&call->body_out);
    call->body_out = *body;
    sp_buf_init(body, 0);
    if (line->conn.closed || is_head(call)) {
        end_body(line, !line->conn.closed);
        return;
    }
    call->streaming = true;
    sp_http_pump(line);
}

void sp_http_answer(struct sp_http_call *call, uint16_t status, const char *type, sp_str body)
{
    struct sp_http_line *line = line_of(call);
    if (body.len > SP_HTTP_PIECE) {
        struct sp_buf copy;
        sp_buf_init(&copy, 0);
        sp_buf_add_str(&copy, body);
        sp_http_answer_buf(call, status, type, &copy);
        return;
    }
    begin(line, status, type, (int64_t)body.len);
    if (line->conn.closed) {
        end_body(line, false);
        return;
    }
    if (!is_head(call))
        queue(line, body);
    end_body(line, true);
}

void sp_http_refuse(struct sp_http_line *line, uint16_t status, const char *text, bool last)
{
    char words[256];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, words, sizeof(words));
    sp_buf_printf(&buf, "%.200s\n", text);
    if (last)
        line->call.answer.flags |= SP_HEAD_LAST;
    sp_conn_hold(&line->conn, true);
    if (line->phase != SP_HTTP_ANSWERING)
        sp_http_line_phase(line, SP_HTTP_ANSWERING);
    sp_http_answer(&line->call, status, NULL, sp_buf_str(&buf));
}
