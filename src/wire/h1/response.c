/* response: a whole response head becomes an answer.
 *
 * How long an answer is depends on what was asked (RFC 9112 6.3), so the state knows one thing of the last
 * request: nothing was asked, something plain, HEAD, an upgrade, CONNECT. In that order of looking:
 *
 *      1xx but 101            no body, more answers follow; at most 16 of them
 *      101                    only after an upgrade was asked; opaque bytes follow
 *      2xx to CONNECT         opaque bytes follow, lengths mean nothing
 *      to HEAD, 204, 304      no body, lengths are about another one
 *      Transfer-Encoding      chunked alone; beside Content-Length, or in HTTP/1.0, the answer is refused
 *      Content-Length         one number
 *      neither                until the connection closes
 *
 * An answer to nothing is refused: the bytes of one that a server made up (or that an earlier request
 * smuggled in) would be taken for the answer to the next call. Every refusal is 502 to the caller. The blank
 * behind the status code may be missing when there is no reason phrase: many servers leave it out, and no
 * reader takes it for anything else. */
#include "wire/h1/h1_impl.h"

#include "wire/chars_impl.h"

static ssize_t read_status(sp_str line, struct sp_head *head, struct sp_event *ev)
{
    if (line.len < 12 || memcmp(line.ptr, "HTTP/1.", 7) != 0 || line.ptr[8] != ' ' ||
        !sp_char_all((sp_str){ line.ptr + 9, 3 }, SP_CHAR_DIGIT))
        return sp_h1_refuse(ev, 502, "status line is not HTTP/1.x and three digits");
    if (line.ptr[7] != '0' && line.ptr[7] != '1')
        return sp_h1_refuse(ev, 502, "version is neither HTTP/1.1 nor HTTP/1.0");
    if (line.len > 12 && line.ptr[12] != ' ')
        return sp_h1_refuse(ev, 502, "status code has more than three digits");

    head->proto_ver = (uint8_t)(line.ptr[7] - '0');
    if (head->proto_ver == 0)
        head->flags |= SP_HEAD_OLD;
    head->status = (uint32_t)(line.ptr[9] - '0') * 100 + (uint32_t)(line.ptr[10] - '0') * 10 +
                   (uint32_t)(line.ptr[11] - '0');
    head->raw_status = head->status;
    if (head->status < 100)
        return sp_h1_refuse(ev, 502, "status code below 100");
    head->reason = sp_str_from(line, 13);
    return 0;
}

static ssize_t read_framing(struct sp_h1 *s, const struct sp_h1_fields *f, struct sp_head *head,
                            struct sp_event *ev)
{
    if (f->codings && f->lengths)
        return sp_h1_refuse(ev, 502, "Transfer-Encoding beside Content-Length");
    if (f->codings > 1 || f->lengths > 1)
        return sp_h1_refuse(ev, 502,
                            f->codings ? "more than one Transfer-Encoding" : "more than one Content-Length");
    if (f->codings) {
        if (head->proto_ver == 0 || !sp_h1_is_chunked(f->coding))
            return sp_h1_refuse(ev, 502, "Transfer-Encoding is other than chunked, or in HTTP/1.0");
        head->flags |= SP_HEAD_CHUNKED;
        head->body_bytes = -1;
        s->left = 0;
        sp_h1_move(s, SP_H1_CHUNK_SIZE);
        return 0;
    }
    if (!f->lengths) {
        head->flags |= SP_HEAD_UNTIL_CLOSE | SP_HEAD_LAST;
        head->body_bytes = -1;
        s->last = 1;
        sp_h1_move(s, SP_H1_UNTIL_CLOSE);
        return 0;
    }
    ssize_t err = sp_h1_read_length(f->length, &head->body_bytes, ev);
    if (err)
        return err;
    int64_t most = s->limits ? s->limits->body_bytes : 0;
    if (most > 0 && head->body_bytes > most)
        return sp_h1_refuse(ev, 502, "body is longer than its limit");
    s->left = (uint64_t)head->body_bytes;
    if (s->left)
        sp_h1_move(s, SP_H1_COUNTED);
    return 0;
}

static ssize_t read_interim(struct sp_h1 *s, struct sp_head *head, struct sp_event *ev)
{
    if (++s->interims > SP_H1_INTERIMS)
        return sp_h1_refuse(ev, 502, "more interim answers than allowed");
    head->kind = SP_MSG_INTERIM;
    head->flags &= ~(uint32_t)SP_HEAD_LAST;
    head->flags |= SP_HEAD_NO_BODY;
    return 0;
}

/* A length about another body is passed on as it stands, so it must be one. */
static ssize_t check_length(const struct sp_h1_fields *f, struct sp_event *ev)
{
    int64_t unused;
    if (f->lengths > 1)
        return sp_h1_refuse(ev, 502, "more than one Content-Length");
    return f->lengths ? sp_h1_read_length(f->length, &unused, ev) : 0;
}

static ssize_t read_body(struct sp_h1 *s, const struct sp_h1_fields *f, struct sp_head *head,
                         struct sp_event *ev)
{
    uint32_t status = head->status;
    if (status == 101) {
        if (s->wish != SP_H1_WISH_UPGRADE || !f->upgrade || !f->wants_upgrade)
            return sp_h1_refuse(ev, 502, "101 without an upgrade that was asked");
        head->flags |= SP_HEAD_UPGRADE | SP_HEAD_NO_BODY;
        sp_h1_move(s, SP_H1_TUNNEL);
        return 0;
    }
    if (status < 200)
        return read_interim(s, head, ev);
    if (f->close || (head->proto_ver == 0 && !f->keep_alive)) {
        head->flags |= SP_HEAD_LAST;
        s->last = 1;
    }
    if (status < 300 && s->wish == SP_H1_WISH_CONNECT) {
        head->flags |= SP_HEAD_TUNNEL | SP_HEAD_NO_BODY;
        sp_h1_move(s, SP_H1_TUNNEL);
        return 0;
    }
    if (s->wish == SP_H1_WISH_HEAD || status == 204 || status == 304) {
        head->flags |= SP_HEAD_NO_BODY;
        return check_length(f, ev);
    }
    return read_framing(s, f, head, ev);
}

ssize_t sp_h1_read_response(struct sp_h1 *s, sp_str in, const uint32_t *ends, struct sp_event *ev)
{
    struct sp_head *head = ev->head;
    struct sp_h1_fields fields;
    head->kind = SP_MSG_RESPONSE;

    if (s->wish == SP_H1_WISH_NONE)
        return sp_h1_refuse(ev, 502, "an answer to nothing");
    ssize_t err = read_status((sp_str){ in.ptr, ends[0] }, head, ev);
    if (!err)
        err = sp_h1_read_fields(in, ends, 1, s->lines, ev, &fields);
    if (!err)
        err = read_body(s, &fields, head, ev);
    if (!err && head->kind != SP_MSG_INTERIM)
        s->wish = SP_H1_WISH_NONE, s->interims = 0;
    return err;
}
