/* wire_h2: any bytes behind a client's beginning, to the HTTP/2 decoder. The first byte says how they are
 * cut.
 *
 * Held against the same bytes in one read with the state moving between any two calls, and against nghttp2:
 * what we take for a request it must take too, with the same fields, the same body and the same end; what it
 * takes and we refuse must be refused for a reason of the list below, and for those alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "wire/h2/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 64, TEXT = 32 * 1024 };

static const char beginning[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
enum { BEGINNING = sizeof beginning - 1 };

/* Known differences: we are stricter. */
static const char *const stricter[] = {
    ":scheme is neither",     /* it takes any */
    ":path is neither",       /* it takes more bytes in a path */
    "neither :authority nor", /* it takes what is no host */
    "Host and :authority",    /* it compares nothing */
    "more than one Host",
    "framing header with an underscore",
    "TRACE with a body",
    "CONNECT with a body",
    ":method is not",        /* ours has at most 32 bytes */
    "head is longer",        /* it counts names and values otherwise */
    "heads of open streams", /* it does not count them */
    "more streams at once",  /* before its settings are in force it takes more */
    "te is other",
    "a head of more pieces",           /* it takes 64 KiB in any number of them */
    "too many",                        /* our budgets */
    "more settings in a frame",        /* it takes 32 others */
    "a stream that depends on itself", /* priorities of RFC 7540: it ends the connection, so may we */
    "a header's value",                /* it leaves blanks at the ends, and bytes that no value may hold */
    "Content-Length",
    "more than one Content",
    "no HTTP/2 client",
    "DATA on a stream that has ended",
    "HEADERS on a stream", /* it has forgotten the stream, and passes them over */
    "WINDOW_UPDATE",       /* on a stream that it has forgotten */
    "RST_STREAM",
    "GOAWAY",
    "a window is above",
    "PRIORITY",
    "ENABLE_PUSH",
};

struct record {
    uint32_t id;
    bool told, ended, gone;
    uint64_t body; /* hash */
    uint64_t body_len;
    char head[TEXT];
    size_t head_len;
    char method[256], path[4096], authority[1024], host[1024];
    size_t cookie; /* where the first one ends in head, 0 = none */
};

struct run {
    struct record *records;
    size_t count;
    bool over;
    bool deaf;            /* theirs, behind a GOAWAY: no new stream, though RFC 9113 6.8 allows them */
    const char *why;      /* of the connection's end */
    const char *cut[256]; /* whys of streams */
    size_t cuts;
    uint32_t cut_id[256];
};

static void must(bool holds, const char *what, uint32_t id)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s (stream %u)\n", what, id);
        abort();
    }
}

static struct record *record_of(struct run *run, uint32_t id)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->records[i].id == id)
            return &run->records[i];
    if (run->count == STREAMS)
        return NULL;
    struct record *r = &run->records[run->count++];
    memset(r, 0, sizeof *r);
    r->id = id;
    r->body = 1;
    return r;
}

static void add_body(struct record *r, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        r->body = (r->body ^ p[i]) * 0x100000001b3u;
    r->body_len += len;
}

static void add_text(struct record *r, const void *bytes, size_t len)
{
    len = len < TEXT - r->head_len ? len : TEXT - r->head_len;
    if (len)
        memcpy(r->head + r->head_len, bytes, len);
    r->head_len += len;
}

/* A field; crumbs of cookies are put into the first. */
static void add_field(struct record *r, sp_str name, sp_str value)
{
    if (sp_str_eq(name, SP_STR("cookie")) && r->cookie) {
        size_t len = value.len + 2;
        if (len > TEXT - r->head_len)
            return;
        memmove(r->head + r->cookie + len, r->head + r->cookie, r->head_len - r->cookie);
        memcpy(r->head + r->cookie, "; ", 2);
        if (value.len)
            memcpy(r->head + r->cookie + 2, value.ptr, value.len);
        r->cookie += len;
        r->head_len += len;
        return;
    }
    add_text(r, name.ptr, name.len);
    add_text(r, "=", 1);
    add_text(r, value.ptr, value.len);
    if (sp_str_eq(name, SP_STR("cookie")))
        r->cookie = r->head_len;
    add_text(r, "\n", 1);
}

static void keep(char *to, size_t room, sp_str s)
{
    size_t len = s.len < room - 1 ? s.len : room - 1;
    if (len)
        memcpy(to, s.ptr, len);
    to[len] = '\0';
}

/* ---- ours ---- */

struct ours {
    struct sp_h2_limits limits;
    struct sp_h2 *h2;
    void *regions[SP_H2_REGIONS];
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_h2_event ev;
};

static void give(struct ours *o, enum sp_h2_region region, uint32_t bytes)
{
    o->regions[region] = calloc(1, bytes);
    free(sp_h2_give(o->h2, region, o->regions[region], bytes));
}

static void move(struct ours *o)
{
    size_t len = sp_h2_save_bytes(o->h2);
    char *saved = malloc(len);
    uint32_t bytes[SP_H2_REGIONS];
    sp_h2_save(o->h2, saved);
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++) {
        free(o->regions[r]);
        o->regions[r] = NULL;
    }
    sp_h2_init(o->h2, SP_ROLE_SERVER, &o->limits);
    must(sp_h2_load_bytes(sp_str_of(saved, len), bytes) == SP_OK, "a saved state has sizes", 0);
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
        if (bytes[r])
            give(o, r, r == SP_H2_STREAMS ? bytes[r] : sp_h2_region_bytes(o->h2, r));
    must(sp_h2_load(o->h2, sp_str_of(saved, len)) == SP_OK, "a saved state can be loaded", 0);
    free(saved);
}

static void take_head(struct run *run, struct ours *o)
{
    struct record *r = record_of(run, o->ev.id);
    if (!r)
        return;
    if (!o->ev.base.trailers) {
        r->told = true;
        keep(r->method, sizeof r->method, o->head.method);
        keep(r->path, sizeof r->path, o->head.path);
        keep(r->authority, sizeof r->authority, o->head.service);
    }
    for (uint32_t i = 0; i < o->head.header_count; i++) {
        const struct sp_header *h = &o->head.headers[i];
        add_field(r, sp_str_of(h->name, h->name_len), sp_str_of(h->value, h->value_len));
    }
}

static void take_event(struct run *run, struct ours *o)
{
    const struct sp_h2_event *ev = &o->ev;
    if (ev->base.kind == SP_EVENT_HEAD || ev->base.trailers)
        take_head(run, o);
    struct record *r = ev->base.kind != SP_EVENT_NONE ? record_of(run, ev->id) : NULL;
    if (r) {
        add_body(r, (const uint8_t *)ev->base.body.ptr, ev->base.body.len);
        r->ended |= ev->base.end;
    }
    if ((ev->note == SP_H2_RESET || ev->note == SP_H2_REFUSED) && !ev->by_peer && run->cuts < 256) {
        run->cut_id[run->cuts] = ev->id;
        run->cut[run->cuts++] = ev->base.why;
    }
    if (ev->note == SP_H2_RESET && (r = record_of(run, ev->id)))
        r->gone = true;
}

/* Bytes used until the end or the break. */
static size_t feed_ours(struct run *run, const uint8_t *bytes, size_t len, unsigned cuts, bool moves)
{
    struct ours *o = calloc(1, sizeof *o);
    char preface[96], credit[64];
    size_t used = 0, there = cuts ? 0 : len;
    unsigned next = cuts;
    o->h2 = sp_h2_init(calloc(1, sp_h2_bytes()), SP_ROLE_SERVER, &o->limits);
    o->head.headers = o->headers;
    o->head.header_cap = SP_HEADERS_MAX;
    o->ev.base.head = &o->head;
    o->ev.scratch_bytes = sp_h2_scratch_bytes(&o->limits);
    o->ev.scratch = malloc(o->ev.scratch_bytes);
    must(sp_h2_encode_preface(o->h2, preface, sizeof preface) > 0, "a preface", 0);
    ssize_t n = 1;
    while (n >= 0) {
        uint8_t *copy = malloc(there - used + 1);
        memcpy(copy, bytes + used, there - used);
        n = sp_h2_decode(o->h2, sp_str_of(copy, there - used), &o->ev);
        if (n > 0)
            take_event(run, o);
        size_t body = n > 0 ? o->ev.base.body.len : 0;
        free(copy);
        if (n == SP_E_AGAIN) {
            give(o, o->ev.needs, o->ev.needs_bytes);
            n = 1;
            continue;
        }
        if (n < 0)
            break;
        must((size_t)n <= there - used, "no more is used than there is", 0);
        used += (size_t)n;
        if (body)
            must(sp_h2_took(o->h2, o->ev.id, (uint32_t)body, credit, sizeof credit) >= 0, "credit", 0);
        if (n == 0 && there == len)
            break;
        if (n == 0) {
            next = next * 1103515245 + 12345;
            there += 1 + (next >> 16) % (1 + cuts % 40);
            there = there < len ? there : len;
        }
        if (moves)
            move(o);
    }
    run->over = n < 0;
    run->why = n < 0 ? o->ev.base.why : NULL;
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
        free(o->regions[r]);
    free(o->ev.scratch);
    free(o->h2);
    free(o);
    return used;
}

/* ---- nghttp2 ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct record *r = record_of(user, (uint32_t)frame->hd.stream_id);
    sp_str n = sp_str_of(name, name_len), v = sp_str_of(value, value_len);
    if (!r)
        return 0;
    if (sp_str_eq(n, SP_STR(":method")))
        keep(r->method, sizeof r->method, v);
    else if (sp_str_eq(n, SP_STR(":path")))
        keep(r->path, sizeof r->path, v);
    else if (sp_str_eq(n, SP_STR(":authority")))
        keep(r->authority, sizeof r->authority, v);
    else if (n.len && n.ptr[0] != ':')
        add_field(r, n, v);
    if (sp_str_eq(n, SP_STR("host")))
        keep(r->host, sizeof r->host, v);
    return 0;
}

static int on_bad_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                         nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct record *r = frame->hd.stream_id ? record_of(user, (uint32_t)frame->hd.stream_id) : NULL;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        ((struct run *)user)->deaf = true;
    if (!r)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        if (!r->told && !r->authority[0])
            memcpy(r->authority, r->host, sizeof r->host);
        r->told = true;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        r->ended = true;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t len,
                   void *user)
{
    struct record *r = record_of(user, (uint32_t)id);
    if (r)
        add_body(r, p, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct record *r = record_of(user, (uint32_t)id);
    if (r)
        r->gone = true;
    return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct run *run = user;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        run->over = true;
    return 0;
}

static void drain(nghttp2_session *session)
{
    const uint8_t *out;
    while (nghttp2_session_mem_send(session, &out) > 0)
        ;
}

static void feed_theirs(struct run *run, const uint8_t *bytes, size_t len)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100 },
                                          { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 << 10 },
                                          { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64 << 10 } };
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_bad_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_server_new(&session, callbacks, run);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 3);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 1 << 20);
    drain(session);
    /* frame by frame, so that what it says leaves before the next is read */
    for (size_t at = 0; at < len && !run->over;) {
        size_t step = at < 24 ? 24 : 9;
        if (at >= 24 && len - at >= 9)
            step = 9 + ((size_t)bytes[at] << 16 | (size_t)bytes[at + 1] << 8 | bytes[at + 2]);
        step = step < len - at ? step : len - at;
        if (nghttp2_session_mem_recv(session, bytes + at, step) < 0)
            run->over = true;
        drain(session);
        at += step;
    }
    nghttp2_session_del(session);
    nghttp2_session_callbacks_del(callbacks);
}

/* ---- both ---- */

static bool is_stricter(const char *why)
{
    for (size_t i = 0; why && i < sizeof stricter / sizeof *stricter; i++)
        if (strncmp(why, stricter[i], strlen(stricter[i])) == 0)
            return true;
    return false;
}

static const char *why_cut(const struct run *run, uint32_t id)
{
    for (size_t i = 0; i < run->cuts; i++)
        if (run->cut_id[i] == id)
            return run->cut[i];
    return NULL;
}

static bool same_head(const struct record *a, const struct record *b)
{
    return a->head_len == b->head_len && memcmp(a->head, b->head, a->head_len) == 0 &&
           strcmp(a->method, b->method) == 0 && strcmp(a->path, b->path) == 0 &&
           strcmp(a->authority, b->authority) == 0;
}

static void compare_cuts(const struct run *a, const struct run *b)
{
    must(a->count == b->count && a->over == b->over && a->cuts == b->cuts, "the same, however it is cut", 0);
    for (size_t i = 0; i < a->count; i++) {
        const struct record *x = &a->records[i], *y = &b->records[i];
        must(x->id == y->id && same_head(x, y) && x->body == y->body && x->ended == y->ended &&
                 x->gone == y->gone,
             "the same stream, however it is cut", x->id);
    }
}

static void compare_theirs(struct run *ours, struct run *theirs)
{
    for (size_t i = 0; i < ours->count; i++) {
        struct record *a = &ours->records[i], *b = record_of(theirs, a->id);
        if (!b || !a->told || theirs->over || (theirs->deaf && !b->told))
            continue;
        must(b->told, "a request of ours is one of theirs", a->id);
        if (a->gone || b->gone)
            continue;
        must(same_head(a, b), "the same fields", a->id);
        must(a->body == b->body && a->body_len == b->body_len, "the same body", a->id);
        must(a->ended == b->ended, "the same end", a->id);
    }
    for (size_t i = 0; i < theirs->count; i++) {
        const struct record *b = &theirs->records[i];
        struct record *a = record_of(ours, b->id);
        if (!b->told || !a || a->told || b->gone)
            continue;
        const char *why = why_cut(ours, b->id);
        if (!is_stricter(why))
            fprintf(stderr, "refused: %s\n", why ? why : "without words");
        must(is_stricter(why), "a request of theirs is one of ours, or known to be refused", b->id);
    }
}

/* Any bytes as a saved state: refused, or what save would have written. */
static void load_any(sp_str saved)
{
    struct ours *o = calloc(1, sizeof *o);
    uint32_t bytes[SP_H2_REGIONS];
    o->h2 = sp_h2_init(calloc(1, sp_h2_bytes()), SP_ROLE_SERVER, &o->limits);
    if (sp_h2_load_bytes(saved, bytes) == SP_OK) {
        for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
            if (bytes[r])
                give(o, r, r == SP_H2_STREAMS ? bytes[r] : sp_h2_region_bytes(o->h2, r));
        if (sp_h2_load(o->h2, saved) == SP_OK)
            must(sp_h2_save_bytes(o->h2) == saved.len, "loaded and saved the same", 0);
    }
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
        free(o->regions[r]);
    free(o->h2);
    free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 16384)
        return 0;
    size_t len = BEGINNING + size - 1;
    uint8_t *bytes = malloc(len);
    memcpy(bytes, beginning, BEGINNING);
    memcpy(bytes + BEGINNING, data + 1, size - 1);

    static struct record pool[3][STREAMS]; /* large; only what is used is cleared */
    struct run whole = { .records = pool[0] }, cut = { .records = pool[1] }, theirs = { .records = pool[2] };
    size_t used = feed_ours(&whole, bytes, len, 0, true);
    feed_ours(&cut, bytes, len, data[0] + 1u, false);
    compare_cuts(&whole, &cut);
    feed_theirs(&theirs, bytes, used);
    compare_theirs(&whole, &theirs);

    load_any(sp_str_of(data, size));
    free(bytes);
    return 0;
}
