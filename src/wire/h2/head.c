/* head: the fields of a block become a call's head, under the rules of RFC 9113 8.1 to 8.3.
 *
 * A block that both ends of a chain of proxies do not read alike is a smuggled request, and HTTP/2 carries
 * many to HTTP/1.1: so what h1 refuses is refused here, by the same tables.
 *
 *      :method :scheme :authority :path    each once, before all others, none other; :path not empty
 *      :status                             of an answer, three digits; 101 has no meaning here
 *      names                               small letters, tokens; no connection, keep-alive, upgrade ...
 *      te                                  "trailers" or nothing
 *      content-length                      one number, and as much body
 *      host                                stands in for :authority, or means the same place
 *      cookie                              crumbs are put together with "; " before anybody looks
 *      values                              no control characters, no blanks at their ends
 *
 * Every decoded byte is charged, and 32 for each field, before anything is decided about the field: what is
 * later dropped or refused has been paid for. Behind the limit the block is read on for the table's sake
 * alone.
 *
 * What was found out about an entry of the dynamic table is kept in its tag, so a header that comes with each
 * request is judged once for each connection: its number in call.h, and that name and value are sound. */
#include "wire/h1/h1_impl.h"
#include "wire/h1/sixteen_impl.h"
#include "wire/h2/h2_impl.h"

enum { TAG_SOUND = 1 << 8, TAG_ID = 0xff };

enum pseudo { METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, STATUS = 16 };

struct reading {
    struct sp_head *head;
    struct sp_h2_event *ev;
    uint32_t charged, most;
    uint32_t headers_most;
    uint32_t seen; /* enum pseudo */
    uint32_t cookies;
    sp_str host;
    uint8_t hosts, lengths;
    bool regular; /* a field that is no pseudo one has come */
    enum sp_h2_section section;
    enum sp_h2_verdict verdict;
    const struct sp_header *expect;
};

static void refuse(struct reading *r, const char *why)
{
    if (r->verdict != SP_H2_GOOD)
        return;
    r->verdict = SP_H2_MALFORMED;
    r->ev->base.why = why;
    r->ev->base.status = 400;
}

static void too_large(struct reading *r)
{
    r->verdict = SP_H2_LARGE;
    r->ev->base.why = "head is longer than its limit";
    r->ev->base.status = 431;
}

static bool is_name(sp_str name)
{
    if (!name.len || name.len > UINT16_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!sp_char_is(name.ptr[i], SP_CHAR_TOKEN) || (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool sp_h2_is_value(sp_str value)
{
    if (!value.len)
        return true;
    if (is_blank(value.ptr[0]) || is_blank(value.ptr[value.len - 1]))
        return false;
    if (value.len < 4)
        return sp_char_all(value, SP_CHAR_VALUE);
    if (value.len < 16)
        return sp_sixteen_controls(sp_sixteen_short(value.ptr, value.len)) == 0;
    uint32_t bad = sp_sixteen_controls(sp_sixteen_load(value.ptr + value.len - 16));
    for (size_t i = 0; i + 16 < value.len; i += 16)
        bad |= sp_sixteen_controls(sp_sixteen_load(value.ptr + i));
    return bad == 0;
}

/* content_length is framing to a gateway that makes underscores of dashes. */
static bool is_disguised(sp_str name)
{
    char plain[20];
    if ((name.len != 14 && name.len != 17) || sp_str_find(name, '_') == name.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        plain[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
    enum sp_hdr id = sp_hdr_of(sp_str_of(plain, name.len), true);
    return id == SP_HDR_CONTENT_LENGTH || id == SP_HDR_TRANSFER_ENCODING;
}

/* Which of the five, by the place in the static table or by its text; 0: none of them. */
static uint32_t pseudo_of(const struct sp_hpack_field *f)
{
    static const uint8_t by_index[15] = { 0,      AUTHORITY, METHOD, METHOD, PATH,   PATH,   SCHEME, SCHEME,
                                          STATUS, STATUS,    STATUS, STATUS, STATUS, STATUS, STATUS };
    uint32_t fixed = f->fixed ? f->fixed : sp_hpack_static_name(f->name);
    return fixed < SP_COUNTOF(by_index) ? by_index[fixed] : 0;
}

static void take_status(struct reading *r, sp_str value)
{
    if (value.len != 3 || !sp_char_all(value, SP_CHAR_DIGIT) || value.ptr[0] == '0') {
        refuse(r, ":status is not three digits");
        return;
    }
    r->head->status = (uint32_t)((value.ptr[0] - '0') * 100 + (value.ptr[1] - '0') * 10 +
                                 (value.ptr[2] - '0'));
    r->head->raw_status = r->head->status;
    if (r->head->status == 101)
        refuse(r, ":status 101 has no meaning in HTTP/2");
}

static void take_pseudo(struct reading *r, const struct sp_hpack_field *f)
{
    uint32_t which = pseudo_of(f);
    uint32_t allowed = r->section == SP_H2_REQUEST    ? METHOD | SCHEME | AUTHORITY | PATH
                       : r->section == SP_H2_RESPONSE ? STATUS
                                                      : 0;
    if (!(which & allowed)) {
        refuse(r, "a pseudo field that does not belong here");
    } else if (r->regular) {
        refuse(r, "a pseudo field behind a header");
    } else if (r->seen & which) {
        refuse(r, "a pseudo field that comes twice");
    }
    r->seen |= which;
    switch (which) {
    case METHOD: r->head->method = f->value; break;
    case PATH: r->head->path = f->value; break;
    case AUTHORITY: r->head->service = f->value; break;
    case STATUS: take_status(r, f->value); break;
    case SCHEME:
        if (!sp_str_eq(f->value, SP_STR("http")) && !sp_str_eq(f->value, SP_STR("https")))
            refuse(r, ":scheme is neither http nor https");
        break;
    default: break;
    }
}

/* What an id means for the whole. */
static void take_known(struct reading *r, struct sp_header *h)
{
    sp_str value = { h->value, h->value_len };
    switch ((enum sp_hdr)h->id) {
    case SP_HDR_CONNECTION:
    case SP_HDR_KEEP_ALIVE:
    case SP_HDR_PROXY_CONNECTION:
    case SP_HDR_TRANSFER_ENCODING:
    case SP_HDR_UPGRADE: refuse(r, "a header of the connection, which HTTP/2 has none of"); break;
    case SP_HDR_TE:
        if (!sp_str_eq_nocase(value, SP_STR("trailers")))
            refuse(r, "te is other than trailers");
        break;
    case SP_HDR_HOST:
        r->host = value;
        r->hosts += r->hosts < 2;
        h->flags |= SP_HEADER_HOP; /* it is in `service` */
        break;
    case SP_HDR_CONTENT_LENGTH:
        r->lengths += r->lengths < 2;
        if (r->lengths > 1)
            refuse(r, "more than one Content-Length");
        else if (sp_h1_read_length(h, &r->head->body_bytes, &r->ev->base))
            refuse(r, r->ev->base.why);
        break;
    case SP_HDR_COOKIE: r->cookies++; break;
    case SP_HDR_EXPECT: r->expect = h; break;
    default: break;
    }
}

static uint32_t judge_text(struct reading *r, const struct sp_hpack_field *f)
{
    if (!f->fixed && !is_name(f->name))
        refuse(r, "a header's name is empty, or not of small letters and tokens");
    else if (!f->fixed_value && !sp_h2_is_value(f->value))
        refuse(r, "a header's value holds a control character or ends in a blank");
    else if (!f->fixed && is_disguised(f->name))
        refuse(r, "framing header with an underscore for its dash");
    return TAG_SOUND | (uint32_t)sp_hdr_of(f->name, true);
}

static void take_header(struct reading *r, struct sp_hpack_table *table, const struct sp_hpack_field *f)
{
    uint32_t tag = f->tag;
    if (!(tag & TAG_SOUND)) {
        tag = judge_text(r, f);
        if (r->verdict == SP_H2_GOOD)
            sp_hpack_set_tag(table, f->entry, tag);
    }
    r->regular = true;
    struct sp_head *head = r->head;
    if (r->verdict != SP_H2_GOOD)
        return;
    if (head->header_count == r->headers_most) {
        too_large(r);
        return;
    }
    struct sp_header *h = &head->headers[head->header_count];
    *h = (struct sp_header){ .name = f->name.ptr,
                             .value = f->value.len ? f->value.ptr : "",
                             .name_len = (uint16_t)f->name.len,
                             .value_len = (uint32_t)f->value.len,
                             .id = tag & TAG_ID };
    if (h->id)
        take_known(r, h);
    if (r->section == SP_H2_TRAILERS && !sp_h1_is_trailer(h))
        h->flags |= SP_HEADER_HOP;
    head->header_count++;
}

/* One cookie of all crumbs (RFC 9113 8.2.3), in place of the first. */
static void join_cookies(struct reading *r, struct sp_hpack_scratch *scratch)
{
    struct sp_head *head = r->head;
    struct sp_header *first = NULL;
    char *begin = scratch->at, *at = begin;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct sp_header *h = &head->headers[i];
        if (h->id == SP_HDR_COOKIE) {
            if ((size_t)(scratch->end - at) < h->value_len + 2u) {
                too_large(r);
                return;
            }
            if (first)
                memcpy(at, "; ", 2), at += 2;
            memcpy(at, h->value, h->value_len);
            at += h->value_len;
            if (first)
                continue;
            first = &head->headers[kept];
        }
        head->headers[kept++] = *h;
    }
    scratch->at = at;
    head->header_count = kept;
    first->value = begin;
    first->value_len = (uint32_t)(at - begin);
}

static void finish_place(struct reading *r, bool connect)
{
    struct sp_head *head = r->head;
    if (r->hosts > 1)
        refuse(r, "more than one Host");
    if (!(r->seen & AUTHORITY))
        head->service = r->host;
    else if (r->hosts && !sp_str_eq(r->host, head->service) &&
             !sp_h1_same_authority(r->host, head->service, 0))
        refuse(r, "Host and :authority name two places");
    if (!sp_h1_is_authority(head->service, connect))
        refuse(r, "neither :authority nor Host is host or host:port");
}

static void finish_request(struct reading *r, bool end)
{
    struct sp_head *head = r->head;
    bool connect = sp_str_eq(head->method, SP_STR("CONNECT"));
    head->kind = SP_MSG_REQUEST;
    uint32_t needed = connect ? METHOD | AUTHORITY : METHOD | SCHEME | PATH;
    if ((r->seen & needed) != needed || (connect && (r->seen & (SCHEME | PATH)))) {
        refuse(r, "pseudo fields are missing, or too many for CONNECT");
        return;
    }
    if (!head->method.len || head->method.len > SP_H1_METHOD_BYTES ||
        !sp_char_all(head->method, SP_CHAR_TOKEN))
        refuse(r, ":method is not a token, or too long");
    if (!connect && !(head->path.len && head->path.ptr[0] == '/' && sp_sixteen_is_target(head->path)) &&
        !(sp_str_eq(head->path, SP_STR("*")) && sp_str_eq(head->method, SP_STR("OPTIONS"))))
        refuse(r, ":path is neither a path nor, for OPTIONS, *");
    finish_place(r, connect);
    if (connect) {
        head->flags |= SP_HEAD_TUNNEL;
        if (r->lengths)
            refuse(r, "CONNECT with a body");
    }
    if (end && !r->lengths)
        head->body_bytes = 0;
    if (sp_str_eq(head->method, SP_STR("TRACE")) && head->body_bytes != 0)
        refuse(r, "TRACE with a body");
    if (r->expect && !end &&
        sp_str_eq_nocase((sp_str){ r->expect->value, r->expect->value_len }, SP_STR("100-continue")))
        head->flags |= SP_HEAD_EXPECT;
}

static void finish_response(struct reading *r, bool end)
{
    if (!(r->seen & STATUS))
        refuse(r, "no :status");
    bool interim = r->head->status < 200;
    r->head->kind = interim ? SP_MSG_INTERIM : SP_MSG_RESPONSE;
    if (interim && end)
        refuse(r, "an interim answer that ends the stream");
    if (interim && r->lengths)
        refuse(r, "an interim answer with a length");
}

static void finish(struct reading *r, struct sp_hpack_scratch *scratch, bool end, int64_t body_most)
{
    if (r->cookies > 1 && r->verdict == SP_H2_GOOD)
        join_cookies(r, scratch);
    switch (r->section) {
    case SP_H2_REQUEST: finish_request(r, end); break;
    case SP_H2_RESPONSE: finish_response(r, end); break;
    case SP_H2_TRAILERS:
        if (!end)
            refuse(r, "trailers that do not end the message");
        break;
    case SP_H2_IGNORED: break;
    }
    if (body_most > 0 && r->head && r->head->body_bytes > body_most && r->verdict == SP_H2_GOOD) {
        refuse(r, "body is longer than its limit");
        r->ev->base.status = 413;
    }
}

/* An empty head for a new message; trailers leave it as it is but for the headers. */
static void begin(struct sp_head *head, enum sp_h2_section section, uint32_t id)
{
    head->header_count = 0;
    if (section == SP_H2_TRAILERS)
        return;
    *head = (struct sp_head){ .protocol = SP_PROTO_HTTP1,
                              .proto_ver = SP_H2_PROTO_VER,
                              .id = id,
                              .body_bytes = -1,
                              .headers = head->headers,
                              .header_cap = head->header_cap };
}

enum sp_h2_verdict sp_h2_read_head(struct sp_h2 *h2, sp_str block, struct sp_hpack_scratch *scratch,
                                   enum sp_h2_section section, bool end, struct sp_h2_event *ev,
                                   uint32_t *ret_charged)
{
    struct reading r = {
        .head = ev->base.head, .ev = ev, .most = sp_h2_head_bytes(h2->limits), .section = section
    };
    bool drop = section == SP_H2_IGNORED || (section == SP_H2_TRAILERS && !r.head);
    const char *at = block.ptr, *stop = block.ptr + block.len;
    char *front = scratch->at;
    struct sp_hpack_field f;
    int64_t told = -1;
    SP_ASSERT(drop || r.head);
    if (!drop) {
        told = r.head->body_bytes;
        begin(r.head, section, ev->id);
        r.headers_most = SP_MIN(sp_h2_or(h2->limits->headers, SP_HEADERS_MAX), r.head->header_cap);
    }
    for (bool first = true;; first = false) {
        if (drop || r.verdict == SP_H2_LARGE)
            scratch->at = front; /* nobody looks at what was there */
        int got = sp_hpack_next(&h2->decoder, &at, stop, first, scratch, &f);
        if (got == 0)
            break;
        if (got == SP_E_INVALID)
            return SP_H2_UNREADABLE;
        uint64_t cost = got < 0 ? r.most : SP_HPACK_ENTRY + f.name.len + f.value.len;
        r.charged = (uint32_t)SP_MIN(r.charged + cost, (uint64_t)UINT32_MAX);
        if (drop || r.verdict == SP_H2_LARGE)
            continue;
        if (r.charged > r.most)
            too_large(&r);
        else if (f.name.len && f.name.ptr[0] == ':')
            take_pseudo(&r, &f);
        else
            take_header(&r, &h2->decoder, &f);
    }
    *ret_charged = r.charged;
    if (drop)
        return section == SP_H2_IGNORED || end ? SP_H2_GOOD : SP_H2_MALFORMED;
    finish(&r, scratch, end, section == SP_H2_TRAILERS ? 0 : h2->limits->body_bytes);
    if (section == SP_H2_TRAILERS)
        r.head->body_bytes = told;
    return r.verdict;
}
