/* request: a whole request head becomes a call.
 *
 * The start line is method, one blank, target, one blank, version; the version is looked for at the end of
 * the line, so the target is what lies between, and any blank in it is refused by the table of target bytes.
 * RFC 9112 3.2 knows four targets, and each fills the same slots:
 *
 *      origin     GET /a?b              service = Host, path = /a?b
 *      absolute   GET http://h:80/a?b   service = h:80, path = /a?b; Host must mean the same place
 *      authority  CONNECT h:443         service = h:443, no path; Host must agree
 *      asterisk   OPTIONS *             service = Host, path = *
 *
 * How long the body is follows RFC 9112 6.3, less what it lets pass: Transfer-Encoding is `chunked` alone or
 * 501, never beside Content-Length, never in HTTP/1.0; Content-Length is one header with one number, though
 * the RFC would let equal copies pass. A body of CONNECT or TRACE has no meaning that two readers share.
 *
 * An upgrade is taken up only when Connection names it. `h2c` never is: a tunnel of HTTP/2 would carry calls
 * past every filter. Such a request goes on without it, as RFC 9110 7.8 allows.
 *
 * A request with Connection: close, and one of HTTP/1.0 without keep-alive, is the last on its connection. */
#include "wire/h1/h1_impl.h"

#include "wire/h1/sixteen_impl.h"

enum { VERSION_LEN = 8 }; /* HTTP/1.1 */

static ssize_t read_version(sp_str version, struct sp_head *head, struct sp_event *ev)
{
    if (version.len != VERSION_LEN || memcmp(version.ptr, "HTTP/", 5) != 0 || version.ptr[6] != '.' ||
        !sp_char_is(version.ptr[5], SP_CHAR_DIGIT) || !sp_char_is(version.ptr[7], SP_CHAR_DIGIT))
        return sp_h1_refuse(ev, 400, "start line does not end in a version");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return sp_h1_refuse(ev, 505, "version is neither HTTP/1.1 nor HTTP/1.0");
    head->proto_ver = (uint8_t)(version.ptr[7] - '0');
    if (head->proto_ver == 0)
        head->flags |= SP_HEAD_OLD;
    return 0;
}

static ssize_t read_start(sp_str line, struct sp_head *head, sp_str *ret_target, struct sp_event *ev)
{
    size_t method = sp_char_run(line, SP_CHAR_TOKEN);
    if (method == 0 || method == line.len || line.ptr[method] != ' ')
        return sp_h1_refuse(ev, 400, "start line does not begin with a method and one blank");
    if (method > SP_H1_METHOD_BYTES)
        return sp_h1_refuse(ev, 501, "method is longer than its limit");
    if (line.len < method + 1 + 1 + 1 + VERSION_LEN || line.ptr[line.len - VERSION_LEN - 1] != ' ')
        return sp_h1_refuse(ev, 400, "start line is not method, target, version");

    head->method = sp_str_upto(line, method);
    *ret_target = (sp_str){ line.ptr + method + 1, line.len - VERSION_LEN - 1 - (method + 1) };
    if (!sp_sixteen_is_target(*ret_target))
        return sp_h1_refuse(ev, 400, "target holds a blank, a fragment or what is not ASCII");
    return read_version(sp_str_from(line, line.len - VERSION_LEN), head, ev);
}

/* http://authority[/path][?query]; *ret_port is the scheme's. */
static ssize_t read_absolute(sp_str target, struct sp_head *head, uint16_t *ret_port, struct sp_event *ev)
{
    static const sp_str schemes[] = { { "http://", 7 }, { "https://", 8 } };
    static const uint16_t ports[] = { 80, 443 };
    size_t kind = 0;
    while (kind < SP_COUNTOF(schemes) && !sp_str_starts_nocase(target, schemes[kind]))
        kind++;
    if (kind == SP_COUNTOF(schemes))
        return sp_h1_refuse(ev, 400, "target is neither a path nor an http or https URI");

    sp_str rest = sp_str_from(target, schemes[kind].len);
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    head->service = sp_str_upto(rest, len);
    if (!sp_h1_is_authority(head->service, false))
        return sp_h1_refuse(ev, 400, "authority of the target is not host or host:port");

    head->path = sp_str_from(rest, len);
    if (head->path.len && head->path.ptr[0] == '?')
        return sp_h1_refuse(ev, 400, "target has a query and no path");
    if (head->path.len == 0)
        head->path = sp_str_eq(head->method, SP_STR("OPTIONS")) ? SP_STR("*") : SP_STR("/");
    *ret_port = ports[kind];
    return 0;
}

/* One place, or no call: the target's authority, where it has one, and Host. */
static ssize_t read_place(sp_str target, const struct sp_h1_fields *f, struct sp_head *head,
                          struct sp_event *ev)
{
    if (f->hosts > 1)
        return sp_h1_refuse(ev, 400, "more than one Host");
    if (f->hosts == 0 && head->proto_ver == 1)
        return sp_h1_refuse(ev, 400, "no Host");
    sp_str host = f->host ? (sp_str){ f->host->value, f->host->value_len } : SP_STR_NULL;
    if (f->host && !sp_h1_is_authority(host, false))
        return sp_h1_refuse(ev, 400, "Host is not host or host:port");

    bool connect = sp_str_eq(head->method, SP_STR("CONNECT"));
    if (!connect && target.ptr[0] == '/') {
        head->path = target;
        head->service = host;
        return 0;
    }
    if (!connect && sp_str_eq(target, SP_STR("*"))) {
        if (!sp_str_eq(head->method, SP_STR("OPTIONS")))
            return sp_h1_refuse(ev, 400, "target * is for OPTIONS alone");
        head->path = target;
        head->service = host;
        return 0;
    }

    uint16_t port = 0;
    if (connect) {
        head->service = target;
        if (!sp_h1_is_authority(target, true))
            return sp_h1_refuse(ev, 400, "target of CONNECT is not host:port");
    } else {
        ssize_t err = read_absolute(target, head, &port, ev);
        if (err)
            return err;
    }
    sp_str name, unused;
    sp_h1_split_authority(head->service, &name, &unused);
    if (!f->host || sp_h1_same_authority(host, head->service, port) ||
        (connect && sp_str_eq_nocase(host, name)))
        return 0;
    return sp_h1_refuse(ev, 400, "Host and target name two places");
}

static ssize_t read_framing(const struct sp_h1 *s, const struct sp_h1_fields *f, struct sp_head *head,
                            struct sp_event *ev)
{
    if (f->codings == 0 && f->lengths == 0)
        return 0;
    if (f->codings && f->lengths)
        return sp_h1_refuse(ev, 400, "Transfer-Encoding beside Content-Length");
    if (f->codings > 1 || f->lengths > 1)
        return sp_h1_refuse(ev, 400,
                            f->codings ? "more than one Transfer-Encoding" : "more than one Content-Length");
    if (f->codings) {
        if (head->proto_ver == 0)
            return sp_h1_refuse(ev, 400, "Transfer-Encoding in HTTP/1.0");
        if (!sp_h1_is_chunked(f->coding))
            return sp_h1_refuse(ev, 501, "Transfer-Encoding is other than chunked");
        head->flags |= SP_HEAD_CHUNKED;
        head->body_bytes = -1;
    } else {
        ssize_t err = sp_h1_read_length(f->length, &head->body_bytes, ev);
        if (err)
            return err;
    }

    int64_t most = s->limits ? s->limits->body_bytes : 0;
    if (most > 0 && head->body_bytes > most)
        return sp_h1_refuse(ev, 413, "body is longer than its limit");
    if (head->body_bytes != 0 && sp_str_eq(head->method, SP_STR("CONNECT")))
        return sp_h1_refuse(ev, 400, "CONNECT with a body");
    if (head->body_bytes != 0 && sp_str_eq(head->method, SP_STR("TRACE")))
        return sp_h1_refuse(ev, 400, "TRACE with a body");
    return 0;
}

/* Is HTTP/2 among the protocols offered? */
static bool offers_h2c(const struct sp_header *upgrade)
{
    sp_str rest = { upgrade->value, upgrade->value_len };
    while (rest.ptr)
        if (sp_str_starts_nocase(sp_str_trim(sp_str_cut(&rest, ',')), SP_STR("h2")))
            return true;
    return false;
}

static void read_wishes(struct sp_h1 *s, const struct sp_h1_fields *f, struct sp_head *head)
{
    bool old = head->proto_ver == 0;
    if (f->close || (old && !f->keep_alive))
        head->flags |= SP_HEAD_LAST;
    s->last = (head->flags & SP_HEAD_LAST) != 0;

    s->wish = SP_H1_WISH_NONE;
    s->verdict = SP_H1_OPEN;
    if (sp_str_eq(head->method, SP_STR("CONNECT"))) {
        head->flags |= SP_HEAD_TUNNEL;
        s->wish = SP_H1_WISH_CONNECT;
    } else if (f->upgrade && f->wants_upgrade && !old && !f->close && !offers_h2c(f->upgrade)) {
        head->flags |= SP_HEAD_UPGRADE;
        s->wish = SP_H1_WISH_UPGRADE;
    }
    if (f->expect && !old && head->body_bytes != 0 &&
        sp_str_eq_nocase((sp_str){ f->expect->value, f->expect->value_len }, SP_STR("100-continue")))
        head->flags |= SP_HEAD_EXPECT;
}

ssize_t sp_h1_read_request(struct sp_h1 *s, sp_str in, const uint32_t *ends, struct sp_event *ev)
{
    struct sp_head *head = ev->head;
    struct sp_h1_fields fields;
    sp_str target = SP_STR_NULL;
    head->kind = SP_MSG_REQUEST;

    ssize_t err = read_start((sp_str){ in.ptr, ends[0] }, head, &target, ev);
    if (!err)
        err = sp_h1_read_fields(in, ends, 1, s->lines, ev, &fields);
    if (!err)
        err = read_place(target, &fields, head, ev);
    if (!err)
        err = read_framing(s, &fields, head, ev);
    if (err)
        return err;

    read_wishes(s, &fields, head);
    if (fields.coding)
        sp_h1_move(s, SP_H1_CHUNK_SIZE);
    else if (head->body_bytes > 0)
        sp_h1_move(s, SP_H1_COUNTED);
    s->left = fields.coding ? 0 : (uint64_t)head->body_bytes;
    return 0;
}
