/* chunk: the framing of a body whose length is told piece by piece (RFC 9112 7.1).
 *
 *      5 ;name=value CR LF  hello  CR LF  0 CR LF  trailers CR LF
 *      └SIZE└EXT        └LF └DATA  └END   ┘SIZE    └TRAILERS
 *
 * The framing is eaten byte by byte as it comes, so nothing of it waits in a buffer; body bytes are handed on
 * as they stand. What is common, a size line that is whole and an end without trailers behind the last piece,
 * is taken in one step, so that a small body in one chunk is one event with its head.
 *
 * The number is bounded by its digits before it is bounded by its value, extensions by their bytes in the
 * whole message: all that is dropped must be bounded, or a peer makes us read for ever what nobody gets.
 * Their grammar is followed as far as needed to know where they end: a CR or LF inside a quoted string, an
 * extension without a name, blanks with no extension behind them are refused, because readers in the field
 * disagree where such a line ends.
 *
 * Trailers wait until they are whole, like a head, by the same scan and the same limits. One that would have
 * changed how the message was framed or where it went is refused; one that policy looks at in a head is
 * marked hop-by-hop, so that nobody merges it into the head behind the policy's back (RFC 9110 6.5.1). */
#include "wire/h1/h1_impl.h"

#include "wire/chars_impl.h"

static ssize_t read_size(struct sp_h1 *s, char c, struct sp_event *ev)
{
    if (sp_char_is(c, SP_CHAR_HEX)) {
        if (++s->digits > SP_H1_CHUNK_DIGITS)
            return sp_h1_refuse(ev, 400, "chunk size has too many digits");
        if (s->left > (uint64_t)INT64_MAX >> 4)
            return sp_h1_refuse(ev, 400, "chunk size does not fit");
        s->left = s->left << 4 | sp_char_hex(c);
        return 0;
    }
    if (s->digits == 0)
        return sp_h1_refuse(ev, 400, "chunk without a size");
    if (c == '\r') {
        sp_h1_move(s, SP_H1_CHUNK_LF);
        return 0;
    }
    if (c != ';' && c != ' ' && c != '\t')
        return sp_h1_refuse(ev, 400, "chunk size is not a hexadecimal number");
    s->place = c == ';' ? SP_H1_EXT_NAME : SP_H1_EXT_GAP;
    sp_h1_move(s, SP_H1_CHUNK_EXT);
    return 0;
}

/* -1: the line ends here. -2: refused. Else the place behind `c`. */
static int next_place(enum sp_h1_ext place, char c)
{
    bool blank = c == ' ' || c == '\t';
    switch (place) {
    case SP_H1_EXT_GAP: return blank ? SP_H1_EXT_GAP : c == ';' ? SP_H1_EXT_NAME : -2;
    case SP_H1_EXT_NAME: return blank ? SP_H1_EXT_NAME : sp_char_is(c, SP_CHAR_TOKEN) ? SP_H1_EXT_WORD : -2;
    case SP_H1_EXT_WORD:
        if (c == '\r')
            return -1;
        if (c == '"')
            return SP_H1_EXT_QUOTED;
        if (c == ';')
            return SP_H1_EXT_NAME;
        return blank || c == '=' || sp_char_is(c, SP_CHAR_TOKEN) ? SP_H1_EXT_WORD : -2;
    case SP_H1_EXT_QUOTED:
        if (!sp_char_is(c, SP_CHAR_VALUE))
            return -2;
        return c == '"' ? SP_H1_EXT_WORD : c == '\\' ? SP_H1_EXT_ESCAPED : SP_H1_EXT_QUOTED;
    case SP_H1_EXT_ESCAPED: return sp_char_is(c, SP_CHAR_VALUE) ? SP_H1_EXT_QUOTED : -2;
    case SP_H1_EXT_COUNT: break;
    }
    return -2;
}

static ssize_t read_extension(struct sp_h1 *s, char c, struct sp_event *ev)
{
    if (++s->ext > SP_H1_EXT_BYTES)
        return sp_h1_refuse(ev, 400, "chunk extensions are longer than their limit");
    int place = next_place(s->place, c);
    if (place == -2)
        return sp_h1_refuse(ev, 400, "chunk extension breaks its grammar");
    if (place == -1)
        sp_h1_move(s, SP_H1_CHUNK_LF);
    else
        s->place = (uint8_t)place;
    return 0;
}

static ssize_t read_line_end(struct sp_h1 *s, char c, struct sp_event *ev)
{
    if (c != '\n')
        return sp_h1_refuse(ev, 400, "CR without LF behind a chunk size");
    s->digits = 0;
    s->place = 0;
    sp_h1_move(s, s->left ? SP_H1_CHUNK_DATA : SP_H1_TRAILERS);
    return 0;
}

static ssize_t read_chunk_end(struct sp_h1 *s, char c, struct sp_event *ev)
{
    if (c != (s->place ? '\n' : '\r'))
        return sp_h1_refuse(ev, 400, "chunk does not end in CR LF where its size says");
    if (!s->place) {
        s->place = 1;
        return 0;
    }
    s->place = 0;
    s->left = 0;
    sp_h1_move(s, SP_H1_CHUNK_SIZE);
    return 0;
}

static bool is_framing(const struct sp_h1 *s)
{
    return s->phase == SP_H1_CHUNK_SIZE || s->phase == SP_H1_CHUNK_EXT || s->phase == SP_H1_CHUNK_LF ||
           s->phase == SP_H1_CHUNK_END;
}

/* A whole size line of up to eight digits without extensions, as nearly all are: its length, 0 = another. */
static size_t read_plain_size(struct sp_h1 *s, sp_str in)
{
    uint64_t size = 0;
    size_t digits = 0, most = SP_MIN(in.len, (size_t)8);
    while (digits < most && sp_char_is(in.ptr[digits], SP_CHAR_HEX))
        size = size << 4 | sp_char_hex(in.ptr[digits++]);
    if (digits == 0 || in.len - digits < 2 || memcmp(in.ptr + digits, "\r\n", 2) != 0)
        return 0;
    s->left = size;
    sp_h1_move(s, size ? SP_H1_CHUNK_DATA : SP_H1_TRAILERS);
    return digits + 2;
}

/* Eat framing. Bytes used, or refused. */
static ssize_t read_framing(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    size_t used = 0;
    if (s->phase == SP_H1_CHUNK_SIZE && s->digits == 0)
        used = read_plain_size(s, in);
    while (used < in.len && is_framing(s)) {
        char c = in.ptr[used++];
        ssize_t err;
        if (s->phase == SP_H1_CHUNK_SIZE)
            err = read_size(s, c, ev);
        else if (s->phase == SP_H1_CHUNK_EXT)
            err = read_extension(s, c, ev);
        else if (s->phase == SP_H1_CHUNK_LF)
            err = read_line_end(s, c, ev);
        else
            err = read_chunk_end(s, c, ev);
        if (err)
            return err;
    }
    return (ssize_t)used;
}

static bool is_one_of(const struct sp_header *h, const sp_str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sp_str_eq_nocase((sp_str){ h->name, h->name_len }, names[i]))
            return true;
    return false;
}

bool sp_h1_is_trailer(const struct sp_header *h)
{
    /* What a head's reader acts on. Whatever has a number is such, but for the ids of a trace. */
    static const sp_str barred[] = {
        { "authorization", 13 },
        { "proxy-authorization", 19 },
        { "proxy-authenticate", 18 },
        { "www-authenticate", 16 },
        { "set-cookie", 10 },
        { "content-encoding", 16 },
        { "content-range", 13 },
        { "cache-control", 13 },
        { "range", 5 },
        { "max-forwards", 12 },
        { "forwarded", 9 },
        { "x-real-ip", 9 },
    };
    switch ((enum sp_hdr)h->id) {
    case SP_HDR_OTHER: return !is_one_of(h, barred, SP_COUNTOF(barred));
    case SP_HDR_TRACEPARENT:
    case SP_HDR_TRACESTATE:
    case SP_HDR_X_REQUEST_ID: return true;
    default: return false;
    }
}

static ssize_t read_trailers(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    struct sp_h1_bounds b = {
        .head_bytes = sp_h1_or(s->limits ? s->limits->head_bytes : 0, SP_H1_HEAD_BYTES),
        .lines = SP_MIN(sp_h1_or(s->limits ? s->limits->headers : 0, SP_HEADERS_MAX),
                        (uint32_t)SP_HEADERS_MAX),
    };
    uint32_t ends[SP_H1_LINES_MAX];
    ssize_t len = sp_h1_scan(s, in, &b, ends, ev);
    if (len <= 0)
        return len;

    struct sp_header one;
    for (uint32_t i = 0; i < s->lines; i++) {
        const char *at = i ? in.ptr + ends[i - 1] + 2 : in.ptr;
        struct sp_header *h = ev->head && i < ev->head->header_cap ? &ev->head->headers[i] : &one;
        ssize_t err = sp_h1_read_line(at, in.ptr + ends[i], in.ptr + in.len, h, ev);
        if (err)
            return err;
        if (h->id == SP_HDR_TRANSFER_ENCODING || h->id == SP_HDR_CONTENT_LENGTH || h->id == SP_HDR_HOST)
            return sp_h1_refuse(ev, 400, "trailer that frames or routes the message");
        h->flags = sp_h1_is_trailer(h) ? 0 : SP_HEADER_HOP;
    }
    if (ev->head && s->lines > ev->head->header_cap)
        return sp_h1_refuse(ev, 431, "more trailers than there is room for");
    if (ev->head && s->lines) {
        ev->head->header_count = s->lines;
        ev->trailers = true;
    }
    ev->kind = SP_EVENT_END;
    ev->end = true;
    sp_h1_end_message(s);
    return len;
}

ssize_t sp_h1_read_chunked(struct sp_h1 *s, sp_str in, struct sp_event *ev)
{
    if (s->phase == SP_H1_TRAILERS)
        return read_trailers(s, in, ev);

    ssize_t used = read_framing(s, in, ev);
    if (used < 0 || s->phase != SP_H1_CHUNK_DATA || (size_t)used == in.len)
        return used;

    sp_str body = sp_str_from(in, (size_t)used);
    if (body.len > s->left)
        body.len = (size_t)s->left;
    s->left -= body.len;
    ev->kind = SP_EVENT_DATA;
    ev->body = body;
    used += (ssize_t)body.len;
    if (s->left)
        return used;

    sp_h1_move(s, SP_H1_CHUNK_END);
    static const sp_str end = { "\r\n0\r\n\r\n", 7 };
    if (!sp_str_starts(sp_str_from(in, (size_t)used), end))
        return used;
    ev->end = true;
    sp_h1_end_message(s);
    return used + (ssize_t)end.len;
}
