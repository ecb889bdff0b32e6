/* h2_kit: what the tests of HTTP/2 share: an end with its memory, frames made from parts, events as text. */
#ifndef SP_TESTS_WIRE_H2_KIT_H
#define SP_TESTS_WIRE_H2_KIT_H

#include "lib/golden.h"

#include "wire/h2/h2_impl.h"

enum { KIT_ROOM = 512 * 1024 };

struct end {
    struct sp_h2 *h2;
    struct sp_h2_limits limits;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_h2_event ev;
    char in[KIT_ROOM]; /* not used up yet */
    size_t in_len;
    char out[KIT_ROOM]; /* what it says: replies, and what the test lets it write */
    size_t out_len;
    char text[KIT_ROOM]; /* events, one a line */
    size_t text_len;
    bool moves; /* the state goes through save and load between any two calls */
    bool took;  /* takes body bytes at once */
    ssize_t result;
    char *last; /* what the last event's strings lie in */
};

#define KIT_MAGIC "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static inline void end_fill(struct end *e)
{
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++) {
        uint32_t bytes = sp_h2_region_bytes(e->h2, r);
        if (bytes && r != SP_H2_STREAMS)
            free(sp_h2_give(e->h2, r, calloc(1, bytes), bytes));
    }
}

static inline struct end *end_new(enum sp_role role, const struct sp_h2_limits *limits)
{
    struct end *e = calloc(1, sizeof *e);
    assert_non_null(e);
    if (limits)
        e->limits = *limits;
    e->took = true;
    e->head.headers = e->headers;
    e->head.header_cap = SP_HEADERS_MAX;
    e->ev.base.head = &e->head;
    e->ev.scratch_bytes = sp_h2_scratch_bytes(&e->limits);
    e->ev.scratch = malloc(e->ev.scratch_bytes);
    e->h2 = sp_h2_init(malloc(sp_h2_bytes()), role, &e->limits);
    return e;
}

static inline void end_drop_state(struct end *e)
{
    if (!e->h2->stream_count)
        free(sp_h2_give(e->h2, SP_H2_STREAMS, NULL, 0));
    else
        free(e->h2->streams);
    free(sp_h2_give(e->h2, SP_H2_READ_TABLE, NULL, 0));
    free(sp_h2_give(e->h2, SP_H2_WRITE_TABLE, NULL, 0));
    free(e->h2);
}

static inline void end_free(struct end *e)
{
    end_drop_state(e);
    free(e->ev.scratch);
    free(e->last);
    free(e);
}

/* Save, forget, load. */
static inline void end_move(struct end *e)
{
    size_t len = sp_h2_save_bytes(e->h2);
    char *saved = malloc(len), *again = malloc(len);
    uint32_t bytes[SP_H2_REGIONS];
    enum sp_role role = e->h2->role;
    sp_h2_save(e->h2, saved);
    end_drop_state(e);
    e->h2 = sp_h2_init(malloc(sp_h2_bytes()), role, &e->limits);
    assert_int_equal(sp_h2_load_bytes(sp_str_of(saved, len), bytes), 0);
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++) {
        uint32_t want = r == SP_H2_STREAMS ? bytes[r] : sp_h2_region_bytes(e->h2, r);
        if (bytes[r])
            sp_h2_give(e->h2, r, calloc(1, want), want);
    }
    assert_int_equal(sp_h2_load(e->h2, sp_str_of(saved, len)), 0);
    assert_int_equal(sp_h2_save_bytes(e->h2), len);
    sp_h2_save(e->h2, again);
    free(saved);
    free(again);
}

static inline void end_say(struct end *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    e->text_len += (size_t)vsnprintf(e->text + e->text_len, sizeof e->text - e->text_len, fmt, args);
    va_end(args);
    assert_true(e->text_len < sizeof e->text);
}

static inline void end_say_head(struct end *e)
{
    const struct sp_head *h = &e->head;
    if (e->ev.base.trailers)
        end_say(e, "trailers %u", e->ev.id);
    else if (h->kind == SP_MSG_REQUEST)
        end_say(e, "request %u %.*s %.*s %.*s", e->ev.id, SP_STR_ARG(h->method), SP_STR_ARG(h->service),
                SP_STR_ARG(h->path));
    else
        end_say(e, "%s %u %u", h->kind == SP_MSG_INTERIM ? "interim" : "answer", e->ev.id, h->status);
    if (!e->ev.base.trailers)
        end_say(e, " %lld", (long long)h->body_bytes);
    for (uint32_t i = 0; i < h->header_count; i++)
        end_say(e, " %.*s=%.*s", h->headers[i].name_len, h->headers[i].name, (int)h->headers[i].value_len,
                h->headers[i].value);
}

/* One event; body bytes of a stream in a row are one line, however they were cut. */
static inline void end_note(struct end *e)
{
    const struct sp_h2_event *ev = &e->ev;
    if (ev->base.kind == SP_EVENT_HEAD || (ev->base.kind == SP_EVENT_END && ev->base.trailers)) {
        end_say_head(e);
        end_say(e, "\n");
    }
    if (ev->base.body.len) {
        char open[32];
        int n = snprintf(open, sizeof open, "body %u ", ev->id);
        const char *line = e->text + e->text_len;
        while (line > e->text && (line == e->text + e->text_len || line[-1] != '\n'))
            line--;
        if (e->text_len && strncmp(line, open, (size_t)n) == 0)
            e->text_len--; /* goes on in the same line */
        else
            end_say(e, "%s", open);
        end_say(e, "%.*s\n", SP_STR_ARG(ev->base.body));
    }
    if (ev->base.end)
        end_say(e, "end %u\n", ev->id);
    if (ev->note == SP_H2_RESET)
        end_say(e, "reset %u %s%s\n", ev->id, sp_h2_code_name(ev->code), ev->by_peer ? "" : " by us");
    if (ev->note == SP_H2_REFUSED)
        end_say(e, "refused %u %s\n", ev->id, sp_h2_code_name(ev->code));
    if (ev->note == SP_H2_GOAWAY)
        end_say(e, "goaway %u %s\n", ev->id, sp_h2_code_name(ev->code));
    if (ev->note == SP_H2_PONG)
        end_say(e, "pong\n");
}

/* Decode what is there; false: the connection is over. */
static inline bool end_decode(struct end *e)
{
    size_t at = 0;
    for (;;) {
        if (e->moves &&
            e->result != SP_E_AGAIN) /* what was given a moment ago is not moved while it is empty */
            end_move(e);
        size_t have = e->in_len - at;
        char *copy = malloc(have ? have : 1); /* so that a look behind it is reported */
        memcpy(copy, e->in + at, have);
        e->result = sp_h2_decode(e->h2, sp_str_of(copy, have), &e->ev);
        if (e->result > 0)
            end_note(e);
        if (e->result < 0 && e->result != SP_E_AGAIN)
            end_say(e, "broken %s\n", sp_h2_code_name(e->ev.code));
        uint32_t body = e->result > 0 ? (uint32_t)e->ev.base.body.len : 0;
        if (e->result > 0) {
            free(e->last);
            e->last = copy;
        } else {
            free(copy);
        }
        if (e->result == SP_E_AGAIN) {
            assert_int_equal(e->ev.reply_len, 0);
            free(sp_h2_give(e->h2, e->ev.needs, calloc(1, e->ev.needs_bytes), e->ev.needs_bytes));
            continue;
        }
        memcpy(e->out + e->out_len, e->ev.reply, e->ev.reply_len);
        e->out_len += e->ev.reply_len;
        if (body && e->took)
            e->out_len += (size_t)sp_h2_took(e->h2, e->ev.id, body, e->out + e->out_len, 64);
        if (e->result <= 0)
            break;
        at += (size_t)e->result;
    }
    memmove(e->in, e->in + at, e->in_len - at);
    e->in_len -= at;
    return e->result == 0;
}

static inline bool end_feed(struct end *e, const void *bytes, size_t len)
{
    assert_true(len <= sizeof e->in - e->in_len);
    memcpy(e->in + e->in_len, bytes, len);
    e->in_len += len;
    return end_decode(e);
}

/* A frame from parts, to the end; false: the connection is over. */
static inline bool end_frame(struct end *e, unsigned type, unsigned flags, uint32_t id, const void *payload,
                             size_t len)
{
    char frame[9 + 65536];
    sp_h2_put_frame(frame, (uint32_t)len, (enum sp_h2_type)type, flags, id);
    if (len)
        memcpy(frame + 9, payload, len);
    return end_feed(e, frame, 9 + len);
}

/* A server whose client has begun; nothing is in its output any more. */
static inline struct end *server_new(const struct sp_h2_limits *limits)
{
    struct end *e = end_new(SP_ROLE_SERVER, limits);
    assert_true(end_feed(e, KIT_MAGIC, 24));
    assert_true(end_frame(e, SP_H2_SETTINGS_FRAME, 0, 0, NULL, 0));
    e->out_len += (size_t)sp_h2_encode_preface(e->h2, e->out + e->out_len, 96);
    assert_true(end_frame(e, SP_H2_SETTINGS_FRAME, SP_H2_ACK, 0, NULL, 0));
    e->out_len = e->text_len = 0;
    return e;
}

/* :method GET, :scheme http, :path /, :authority a */
#define KIT_GET                                                                                              \
    "\x82\x86\x84\x01\x01"                                                                                   \
    "a"
/* The same with POST. */
#define KIT_POST                                                                                             \
    "\x83\x86\x84\x01\x01"                                                                                   \
    "a"

static inline bool end_get(struct end *e, uint32_t id)
{
    return end_frame(e, SP_H2_HEADERS, SP_H2_END_HEADERS | SP_H2_END_STREAM, id, KIT_GET, sizeof KIT_GET - 1);
}

static inline bool end_post(struct end *e, uint32_t id)
{
    return end_frame(e, SP_H2_HEADERS, SP_H2_END_HEADERS, id, KIT_POST, sizeof KIT_POST - 1);
}

static inline void check_text(struct end *e, const char *want)
{
    e->text[e->text_len] = '\0';
    assert_string_equal(e->text, want);
    e->text_len = 0;
}

/* The last frame that it said. */
static inline struct sp_h2_frame last_frame(const struct end *e)
{
    struct sp_h2_frame f = { 0 };
    size_t at = e->h2->role == SP_ROLE_CLIENT && e->out_len && e->out[0] == 'P' ? 24 : 0;
    for (; at + 9 <= e->out_len; at += 9 + f.len)
        f = sp_h2_get_frame(e->out + at);
    return f;
}

/* Did it say goodbye with that code? */
static inline void check_goaway(const struct end *e, enum sp_h2_code code)
{
    size_t at = 0, last = 0;
    for (; at + 9 <= e->out_len; at += 9 + sp_h2_get_frame(e->out + at).len)
        last = at;
    assert_int_equal(sp_h2_get_frame(e->out + last).type, SP_H2_GOAWAY_FRAME);
    assert_int_equal(sp_h2_get32(e->out + last + 13), code);
}

#endif
