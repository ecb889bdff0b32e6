/* head: find the end of a head, and cut it into header lines.
 *
 * A head is read twice, and that is the cheaper way. The first pass looks for one thing only: the bytes that
 * end lines. 64 bytes at a step it asks which are control characters; in a sound head those are CR and LF
 * alone, once each for a line, so a head of 200 bytes costs six steps and one question for each line. What it
 * learns on the way is all that can be refused before the head is whole: a CR without LF, an LF without CR, a
 * NUL or another control character, a line or a head that is too long, too many lines. It remembers how far
 * it came, so a head that trickles in byte by byte is looked at once.
 *
 *      GET /a HTTP/1.1 CR LF Host: b CR LF CR LF
 *                      ^ends[0]      ^ends[1]  ^ line begins here: this is the end
 *
 * The second pass runs when the head is whole, with the line ends in hand. No question about missing bytes
 * is left, so it is straight: name up to the colon, value without blanks around it, number of the name,
 * and the few names that framing hangs on are set aside.
 *
 * Refused, because two readers of such a head may read two heads: a line that begins with a blank (folding),
 * a blank before the colon, an empty name, a name with other than token characters, a control character
 * anywhere, and a framing header whose dashes are underscores (gateways to CGI-like programs turn one into
 * the other). Order of refusals is order of bytes, so that how the bytes were cut changes nothing.
 *
 * One pass that parses while it scans would need a state for each place where bytes may run out, and would
 * act on the first lines of a head whose last line is refused. */
#include "wire/h1/h1_impl.h"

#include "wire/h1/sixteen_impl.h"

/* Bit i: the byte at `at` + i is a control character. Looks at 64 bytes, or at what is left in steps; never
 * outside `in`. *ret_seen: at how many. */
static uint64_t controls(sp_str in, size_t at, size_t *ret_seen)
{
    size_t left = in.len - at;
    const char *p = in.ptr + at;
    if (left >= 64) {
        *ret_seen = 64;
        return (uint64_t)sp_sixteen_controls(sp_sixteen_load(p)) |
               (uint64_t)sp_sixteen_controls(sp_sixteen_load(p + 16)) << 16 |
               (uint64_t)sp_sixteen_controls(sp_sixteen_load(p + 32)) << 32 |
               (uint64_t)sp_sixteen_controls(sp_sixteen_load(p + 48)) << 48;
    }
    *ret_seen = SP_MIN(left, (size_t)16);
    if (left >= 16)
        return sp_sixteen_controls(sp_sixteen_load(p));
    if (in.len >= 16)
        return sp_sixteen_controls(sp_sixteen_load(in.ptr + in.len - 16)) >> (16 - left);

    uint64_t found = 0;
    for (size_t i = 0; i < left; i++)
        found |= (uint64_t)!sp_char_is(p[i], SP_CHAR_VALUE) << i;
    return found;
}

static ssize_t refuse_size(const struct sp_h1 *s, const struct sp_h1_bounds *b, struct sp_event *ev)
{
    if (s->lines == 0 && b->start)
        return sp_h1_refuse(ev, 414, "start line is longer than its limit");
    return sp_h1_refuse(ev, 431, "head is longer than its limit");
}

/* The largest offset at which the line at hand may still end. */
static size_t end_max(const struct sp_h1 *s, const struct sp_h1_bounds *b)
{
    return s->lines == 0 && b->start ? SP_MIN(b->line_bytes, b->head_bytes) : b->head_bytes;
}

static ssize_t refuse_control(char c, struct sp_event *ev)
{
    if (c == '\r')
        return sp_h1_refuse(ev, 400, "CR without LF in a head");
    if (c == '\n')
        return sp_h1_refuse(ev, 400, "LF without CR in a head");
    return sp_h1_refuse(ev, 400, "control character in a head");
}

/* A line ends at `at`. 1: it was the empty one. 0: go on. */
static ssize_t end_line(struct sp_h1 *s, uint32_t at, const struct sp_h1_bounds *b, uint32_t *ends,
                        struct sp_event *ev)
{
    if (at == s->line) {
        if (s->lines < b->start)
            return sp_h1_refuse(ev, 400, "empty line where a start line belongs");
        return 1;
    }
    if (s->lines >= b->lines)
        return sp_h1_refuse(ev, 431, "more header lines than allowed");
    ends[s->lines++] = at;
    s->line = at + 2;
    return 0;
}

static ssize_t scan_on(struct sp_h1 *s, sp_str in, const struct sp_h1_bounds *b, uint32_t *ends,
                       struct sp_event *ev)
{
    size_t most = end_max(s, b), seen = 0;
    for (size_t at = s->scanned; at < in.len; at += seen) {
        for (uint64_t found = controls(in, at, &seen); found; found &= found - 1) {
            size_t here = at + (unsigned)__builtin_ctzll(found);
            char c = in.ptr[here];
            if (here > most)
                return refuse_size(s, b, ev);
            if (c == '\n' && here > 0 && in.ptr[here - 1] == '\r')
                continue; /* only where a step begins between CR and LF */
            if (c == '\r' && here + 1 == in.len) {
                s->scanned = (uint32_t)here;
                return 0;
            }
            if (c != '\r' || in.ptr[here + 1] != '\n')
                return refuse_control(c, ev);

            ssize_t done = end_line(s, (uint32_t)here, b, ends, ev);
            if (done)
                return done < 0 ? done : (ssize_t)here + 2;
            most = end_max(s, b);
            if (here + 1 < at + seen)
                found &= found - 1; /* the LF; the loop takes the CR */
        }
    }
    if (in.len > most)
        return refuse_size(s, b, ev);
    s->scanned = (uint32_t)in.len;
    return 0;
}

ssize_t sp_h1_scan(struct sp_h1 *s, sp_str in, const struct sp_h1_bounds *b, uint32_t *ends,
                   struct sp_event *ev)
{
    bool resumed = s->scanned > 0;
    ssize_t len = scan_on(s, in, b, ends, ev);
    if (len <= 0 || !resumed)
        return len;

    /* The ends of the lines that came earlier were not kept: 48 bytes of state have no room. */
    s->scanned = s->line = s->lines = 0;
    return scan_on(s, in, b, ends, ev);
}

/* Why is this not a header line? */
static ssize_t refuse_name(const char *at, const char *end, const char *stop, struct sp_event *ev)
{
    if (stop < end && (*stop == ' ' || *stop == '\t'))
        return sp_h1_refuse(ev, 400,
                            stop == at ? "folded header line" : "blank in a header name or before its colon");
    if (stop < end && *stop == ':')
        return sp_h1_refuse(ev, 400, "header without a name");
    if (stop == end)
        return sp_h1_refuse(ev, 400, "header line without a colon");
    return sp_h1_refuse(ev, 400, "header name is not a token");
}

/* Where the name that begins at `at` ends. What is common is found sixteen bytes at a step; the CR behind
 * the line stops it too, so a step may look beyond the line as long as bytes are `there`. */
static const char *name_end(const char *at, const char *end, const char *there)
{
    while (there - at >= 16) {
        uint32_t found = sp_sixteen_not_word(sp_sixteen_load(at));
        if (found) {
            at += __builtin_ctz(found);
            break;
        }
        at += 16;
    }
    while (at < end && sp_char_is(*at, SP_CHAR_TOKEN))
        at++;
    return at;
}

ssize_t sp_h1_read_line(const char *at, const char *end, const char *there, struct sp_header *ret_header,
                        struct sp_event *ev)
{
    const char *stop = name_end(at, end, there);
    if (SP_UNLIKELY(stop == at || stop == end || *stop != ':'))
        return refuse_name(at, end, stop, ev);
    if (SP_UNLIKELY(stop - at > UINT16_MAX))
        return sp_h1_refuse(ev, 431, "header name is longer than its limit");

    const char *value = stop + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;

    sp_str name = { at, (size_t)(stop - at) };
    *ret_header = (struct sp_header){
        .name = at,
        .value = value,
        .value_len = (uint32_t)(end - value),
        .name_len = (uint16_t)name.len,
        .id = (uint8_t)sp_hdr_of(name, true),
    };
    return 0;
}

/* Content_Length and Transfer_Encoding: not framing for us, but for what stands behind a CGI gateway. */
static bool is_disguised(const struct sp_header *h)
{
    static const sp_str framing[] = { { "content-length", 14 }, { "transfer-encoding", 17 } };
    for (size_t i = 0; i < SP_COUNTOF(framing); i++) {
        if (h->name_len != framing[i].len)
            continue;
        size_t same = 0;
        while (same < framing[i].len && ((h->name[same] | 0x20) == framing[i].ptr[same] ||
                                         (h->name[same] == '_' && framing[i].ptr[same] == '-')))
            same++;
        if (same == framing[i].len)
            return true;
    }
    return false;
}

ssize_t sp_h1_read_fields(sp_str in, const uint32_t *ends, uint32_t first, uint32_t lines,
                          struct sp_event *ev, struct sp_h1_fields *ret_fields)
{
    struct sp_head *head = ev->head;
    struct sp_h1_fields f = { 0 };
    if (lines - first > head->header_cap)
        return sp_h1_refuse(ev, 431, "more header lines than there is room for");

    const char *at = first ? in.ptr + ends[first - 1] + 2 : in.ptr;
    for (uint32_t i = first; i < lines; i++) {
        struct sp_header *h = &head->headers[i - first];
        ssize_t err = sp_h1_read_line(at, in.ptr + ends[i], in.ptr + in.len, h, ev);
        if (SP_UNLIKELY(err))
            return err;
        at = in.ptr + ends[i] + 2;

        switch (h->id) {
        case SP_HDR_OTHER:
            if (SP_UNLIKELY(is_disguised(h)))
                return sp_h1_refuse(ev, 400, "framing header with an underscore for its dash");
            break;
        case SP_HDR_HOST: f.host = h, f.hosts += f.hosts < 2; break;
        case SP_HDR_CONTENT_LENGTH: f.length = h, f.lengths += f.lengths < 2; break;
        case SP_HDR_TRANSFER_ENCODING:
            f.coding = h, f.codings += f.codings < 2, h->flags = SP_HEADER_HOP;
            break;
        case SP_HDR_CONNECTION: f.options = true, h->flags = SP_HEADER_HOP; break;
        case SP_HDR_UPGRADE: f.upgrade = h, h->flags = SP_HEADER_HOP; break;
        case SP_HDR_EXPECT:
            /* RFC 9110 10.1.1: of HTTP/1.0 it is not heeded, so it must not reach one who heeds it. */
            f.expect = h, h->flags = head->flags & SP_HEAD_OLD ? SP_HEADER_HOP : 0;
            break;
        case SP_HDR_KEEP_ALIVE:
        case SP_HDR_PROXY_CONNECTION:
        case SP_HDR_TE: h->flags = SP_HEADER_HOP; break;
        default: break;
        }
    }
    head->header_count = lines - first;
    *ret_fields = f;
    return f.options ? sp_h1_read_connection(head, ret_fields, ev) : 0;
}

static void mark_hop(struct sp_head *head, sp_str name)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct sp_header *h = &head->headers[i];
        if (h->name_len == name.len && sp_str_eq_nocase((sp_str){ h->name, h->name_len }, name))
            h->flags |= SP_HEADER_HOP;
    }
}

static void take_option(struct sp_head *head, sp_str option, struct sp_h1_fields *fields)
{
    if (sp_str_eq_nocase(option, SP_STR("close")))
        fields->close = true;
    else if (sp_str_eq_nocase(option, SP_STR("keep-alive")))
        fields->keep_alive = true;
    else if (sp_str_eq_nocase(option, SP_STR("upgrade")))
        fields->wants_upgrade = true;
    else
        mark_hop(head, option);
}

ssize_t sp_h1_read_connection(struct sp_head *head, struct sp_h1_fields *fields, struct sp_event *ev)
{
    uint32_t options = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (h->id != SP_HDR_CONNECTION)
            continue;
        sp_str rest = { h->value, h->value_len };
        while (rest.ptr) {
            sp_str option = sp_str_trim(sp_str_cut(&rest, ','));
            if (option.len == 0)
                continue;
            if (!sp_char_all(option, SP_CHAR_TOKEN))
                return sp_h1_refuse(ev, 400, "Connection holds what is not a token");
            if (++options > SP_H1_CONNECTION_OPTIONS)
                return sp_h1_refuse(ev, 431, "Connection names more than allowed");
            take_option(head, option, fields);
        }
    }
    return 0;
}

ssize_t sp_h1_read_length(const struct sp_header *h, int64_t *ret_bytes, struct sp_event *ev)
{
    sp_str text = { h->value, h->value_len };
    if (text.len == 0 || !sp_char_all(text, SP_CHAR_DIGIT))
        return sp_h1_refuse(ev, 400, "Content-Length is not one number");
    if (text.len > SP_H1_LENGTH_DIGITS)
        return sp_h1_refuse(ev, 400, "Content-Length has too many digits");

    uint64_t bytes = 0; /* 19 digits fit into 64 bits */
    for (size_t i = 0; i < text.len; i++)
        bytes = bytes * 10 + (unsigned)(text.ptr[i] - '0');
    if (bytes > INT64_MAX)
        return sp_h1_refuse(ev, 400, "Content-Length does not fit");
    *ret_bytes = (int64_t)bytes;
    return 0;
}

bool sp_h1_is_chunked(const struct sp_header *h)
{
    return sp_str_eq_nocase((sp_str){ h->value, h->value_len }, SP_STR("chunked"));
}
