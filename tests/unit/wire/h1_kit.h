/* h1_kit: what the tests of HTTP/1.1 share: cases read from tests/conform/h1, and a decoder that is fed in
 * pieces and says in text what it saw.
 *
 * A file of cases:
 *      # for people
 *      = name of the case
 *      role server                      or: client GET, client HEAD, client CONNECT, client UPGRADE
 *      answer 101                       server: how a request that wants a tunnel or an upgrade is answered
 *      limit head_bytes 100             line_bytes, headers, body_bytes
 *      < bytes                          appended to the input; \r \n \t \s (blank) \\ \xHH, \{3 ab} = ababab
 *      > text                           one line of what is expected */
#ifndef SP_TESTS_WIRE_H1_KIT_H
#define SP_TESTS_WIRE_H1_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "wire/h1/h1.h"

struct h1_case {
    char name[160];
    enum sp_role role;
    char asked[16];
    uint32_t answer;
    struct sp_codec_limits limits;
    struct sp_buf input;
    struct sp_buf want;
};

/* How a case is fed. */
struct h1_feed {
    const size_t *cuts; /* ascending offsets at which a read ended; the end of the input is implied */
    size_t cut_count;
    size_t stride; /* without cuts: this many bytes at a time; 0 = all at once */
    bool restore;  /* save, wipe and load the state around every call */
};

static inline void h1_put_escaped(struct sp_buf *b, sp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\r')
            sp_buf_add_c(b, "\\r");
        else if (c == '\n')
            sp_buf_add_c(b, "\\n");
        else if (c == '\\')
            sp_buf_add_c(b, "\\\\");
        else if (c < 0x20 || c >= 0x7f)
            sp_buf_printf(b, "\\x%02x", c);
        else
            sp_buf_add_char(b, (char)c);
    }
}

static inline int h1_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "{3 ab}" behind a backslash; the length of what was read. */
static inline size_t h1_put_repeated(struct sp_buf *b, sp_str text);

/* Append the bytes that `text` spells. */
static inline void h1_unescape(struct sp_buf *b, sp_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\\') {
            sp_buf_add_char(b, c);
            continue;
        }
        char kind = i + 1 < text.len ? text.ptr[++i] : '\0';
        if (kind == 'x' && i + 2 < text.len) {
            int high = h1_hex(text.ptr[i + 1]), low = h1_hex(text.ptr[i + 2]);
            assert_true(high >= 0 && low >= 0);
            sp_buf_add_char(b, (char)(high << 4 | low));
            i += 2;
            continue;
        }
        if (kind == '{') {
            i += h1_put_repeated(b, sp_str_from(text, i)) - 1;
            continue;
        }
        const char *names = "rnts\\", *means = "\r\n\t \\", *at = strchr(names, kind);
        if (!kind || !at)
            fail_msg("escape \\%c is none", kind);
        sp_buf_add_char(b, means[at - names]);
    }
}

static inline size_t h1_put_repeated(struct sp_buf *b, sp_str text)
{
    size_t close = sp_str_find(text, '}'), blank = sp_str_find(text, ' ');
    unsigned long count = strtoul(text.ptr + 1, NULL, 10);
    assert_true(close < text.len && blank < close && count > 0);
    while (count--)
        h1_unescape(b, (sp_str){ text.ptr + blank + 1, close - blank - 1 });
    return close + 1;
}

static inline void h1_case_init(struct h1_case *c, const char *name)
{
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%.*s", (int)sizeof c->name - 1, name);
    sp_buf_init(&c->input, 0);
    sp_buf_init(&c->want, 0);
}

static inline void h1_case_deinit(struct h1_case *c)
{
    sp_buf_deinit(&c->input);
    sp_buf_deinit(&c->want);
}

static inline void h1_set_limit(struct h1_case *c, const char *name, long value)
{
    if (strcmp(name, "head_bytes") == 0)
        c->limits.head_bytes = (uint32_t)value;
    else if (strcmp(name, "line_bytes") == 0)
        c->limits.line_bytes = (uint32_t)value;
    else if (strcmp(name, "headers") == 0)
        c->limits.headers = (uint32_t)value;
    else if (strcmp(name, "body_bytes") == 0)
        c->limits.body_bytes = value;
    else
        fail_msg("%s: no limit is called %s", c->name, name);
}

static inline void h1_case_line(struct h1_case *c, const char *line)
{
    char word[32];
    long value;
    if (line[0] == '<' || line[0] == '>') {
        struct sp_buf *to = line[0] == '<' ? &c->input : &c->want;
        const char *text = line[1] == ' ' ? line + 2 : line + 1;
        if (line[0] == '<')
            h1_unescape(to, sp_str_c(text));
        else
            sp_buf_printf(to, "%s\n", text);
    } else if (strcmp(line, "role server") == 0) {
        c->role = SP_ROLE_SERVER;
    } else if (sscanf(line, "role client %15s", c->asked) == 1) {
        c->role = SP_ROLE_CLIENT;
    } else if (sscanf(line, "answer %ld", &value) == 1) {
        c->answer = (uint32_t)value;
    } else if (sscanf(line, "limit %31s %ld", word, &value) == 2) {
        h1_set_limit(c, word, value);
    } else if (line[0] && line[0] != '#') {
        fail_msg("%s: what is \"%s\"?", c->name, line);
    }
}

/* Every case of tests/conform/h1/<file>; how many there were. */
static inline size_t h1_each_case(const char *file, void (*run)(const struct h1_case *c))
{
    char path[1024], line[16384];
    snprintf(path, sizeof path, "%s/conform/h1/%s", SP_TESTS_DIR, file);
    FILE *in = fopen(path, "r");
    if (!in)
        fail_msg("cannot open %s", path);

    size_t count = 0;
    struct h1_case c;
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '=') {
            if (count++) {
                run(&c);
                h1_case_deinit(&c);
            }
            h1_case_init(&c, line + 2);
        } else if (count) {
            h1_case_line(&c, line);
        }
    }
    fclose(in);
    if (count) {
        run(&c);
        h1_case_deinit(&c);
    }
    return count;
}

/* --- the decoder, told in text ------------------------------------------------------------------------- */

struct h1_tale {
    struct sp_buf *out;
    bool in_data;
};

static inline void h1_tell_headers(struct sp_buf *out, const struct sp_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        sp_buf_add_c(out, h->flags & SP_HEADER_HOP ? "  -" : "  ");
        h1_put_escaped(out, sp_str_of(h->name, h->name_len));
        sp_buf_add_c(out, h->value_len ? ": " : ":");
        h1_put_escaped(out, sp_str_of(h->value, h->value_len));
        sp_buf_add_char(out, '\n');
    }
}

static inline void h1_tell_flags(struct sp_buf *out, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *word;
    } words[] = {
        { SP_HEAD_LAST, "last" },       { SP_HEAD_UPGRADE, "upgrade" },
        { SP_HEAD_TUNNEL, "tunnel" },   { SP_HEAD_EXPECT, "expect" },
        { SP_HEAD_CHUNKED, "chunked" }, { SP_HEAD_UNTIL_CLOSE, "until-close" },
        { SP_HEAD_NO_BODY, "no-body" }, { SP_HEAD_OLD, "old" },
    };
    for (size_t i = 0; i < SP_COUNTOF(words); i++)
        if (flags & words[i].flag)
            sp_buf_printf(out, " %s", words[i].word);
}

static inline void h1_tell_head(struct sp_buf *out, const struct sp_head *head)
{
    if (head->kind == SP_MSG_REQUEST) {
        sp_buf_printf(out, "request %.*s ", SP_STR_ARG(head->method));
        h1_put_escaped(out, head->path);
        sp_buf_printf(out, " service=%.*s", SP_STR_ARG(head->service));
    } else {
        sp_buf_printf(out, "%s %u ", head->kind == SP_MSG_INTERIM ? "interim" : "response", head->status);
        h1_put_escaped(out, head->reason);
    }
    sp_buf_printf(out, " body=%lld", (long long)head->body_bytes);
    h1_tell_flags(out, head->flags);
    sp_buf_add_char(out, '\n');
    h1_tell_headers(out, head);
}

static inline void h1_tell(struct h1_tale *t, const struct sp_event *ev)
{
    if (t->in_data && (ev->kind == SP_EVENT_HEAD || ev->end) && !ev->body.len) {
        sp_buf_add_char(t->out, '\n');
        t->in_data = false;
    }
    if (ev->kind == SP_EVENT_HEAD)
        h1_tell_head(t->out, ev->head);
    if (ev->body.len) {
        if (!t->in_data)
            sp_buf_add_c(t->out, "data ");
        t->in_data = true;
        h1_put_escaped(t->out, ev->body);
    }
    if (!ev->end)
        return;
    if (t->in_data)
        sp_buf_add_char(t->out, '\n');
    t->in_data = false;
    sp_buf_add_c(t->out, "end\n");
    if (ev->trailers)
        h1_tell_headers(t->out, ev->head);
}

/* Save, forget, load: nothing may change. */
static inline void h1_move_house(struct sp_codec_state *st, const struct sp_codec_limits *limits)
{
    unsigned char saved[SP_CODEC_STATE_BYTES], again[SP_CODEC_STATE_BYTES];
    assert_true(sp_h1_codec.save_bytes <= sizeof saved);
    sp_h1_codec.save(st, saved);
    memset(st, 0xa5, sizeof *st);
    assert_int_equal(sp_h1_codec.load(st, saved, limits), 0);
    sp_h1_codec.save(st, again);
    assert_memory_equal(saved, again, sp_h1_codec.save_bytes);
}

static inline size_t h1_next_cut(const struct h1_feed *feed, size_t avail, size_t len)
{
    if (feed->cuts) {
        for (size_t i = 0; i < feed->cut_count; i++)
            if (feed->cuts[i] > avail && feed->cuts[i] < len)
                return feed->cuts[i];
        return len;
    }
    return feed->stride && avail + feed->stride < len ? avail + feed->stride : len;
}

static inline void h1_ask(struct sp_codec_state *st, const char *asked)
{
    struct sp_head request = { .kind = SP_MSG_REQUEST, .method = sp_str_c(asked) };
    if (strcmp(asked, "NOTHING") == 0)
        return;
    if (strcmp(asked, "CONNECT") == 0)
        request.flags = SP_HEAD_TUNNEL;
    if (strcmp(asked, "UPGRADE") == 0)
        request.flags = SP_HEAD_UPGRADE;
    sp_h1_codec.asked(st, &request);
}

static inline void h1_finish(struct sp_codec_state *st, struct h1_tale *t, struct sp_event *ev)
{
    ssize_t finished = sp_h1_codec.finish(st, ev);
    if (finished < 0)
        sp_buf_printf(t->out, "%scut\n", t->in_data ? "\n" : "");
    else
        h1_tell(t, ev);
    if (finished >= 0 && t->in_data)
        sp_buf_add_char(t->out, '\n');
}

/* Feed the input and write what was seen to `out`. Each call gets its bytes in a block of exactly their
 * size, so that the sanitizer sees a read beyond them. */
static inline void h1_run(const struct h1_case *c, const struct h1_feed *feed, struct sp_buf *out)
{
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_codec_state st;
    struct h1_tale tale = { .out = out };
    struct sp_head answer = { .kind = SP_MSG_RESPONSE, .status = c->answer };
    sp_str in = sp_buf_str(&c->input);
    size_t at = 0, avail = h1_next_cut(feed, 0, in.len);
    bool wish = false;

    memset(&st, 0x5a, sizeof st);
    sp_h1_codec.init(&st, c->role, &c->limits);
    if (c->role == SP_ROLE_CLIENT)
        h1_ask(&st, c->asked);

    while (at < in.len) {
        char *block = malloc(avail - at + (avail == at));
        memcpy(block, in.ptr + at, avail - at);
        struct sp_event ev = { .head = &head };
        if (feed->restore)
            h1_move_house(&st, &c->limits);
        ssize_t used = sp_h1_codec.decode(&st, sp_str_of(block, avail - at), &ev);
        assert_true(used <= (ssize_t)(avail - at));
        if (used < 0) {
            assert_non_null(ev.why);
            sp_buf_printf(out, "%srefused %u %s\n", tale.in_data ? "\n" : "", ev.status, ev.why);
            ssize_t again = sp_h1_codec.decode(&st, sp_str_of(block, avail - at), &ev);
            assert_true(again < 0);
            free(block);
            return;
        }
        if (ev.body.len)
            assert_true(ev.body.ptr >= block && ev.body.ptr + ev.body.len <= block + used);
        h1_tell(&tale, &ev);
        if (ev.kind == SP_EVENT_HEAD && c->role == SP_ROLE_SERVER)
            wish = (head.flags & (SP_HEAD_TUNNEL | SP_HEAD_UPGRADE)) != 0;
        free(block);
        if (ev.end && wish) {
            sp_h1_codec.answered(&st, c->answer ? &answer : NULL);
            wish = false;
        }
        at += (size_t)used;
        if (used == 0 && avail == in.len)
            break;
        if (used == 0 || at == avail)
            avail = h1_next_cut(feed, avail, in.len);
    }
    struct sp_event ev = { .head = &head };
    if (feed->restore)
        h1_move_house(&st, &c->limits);
    h1_finish(&st, &tale, &ev);
}

/* As above, and compare with what the case expects. */
static inline void h1_check(const struct h1_case *c, const struct h1_feed *feed, const char *how,
                            size_t number)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    h1_run(c, feed, &out);
    if (!sp_str_eq(sp_buf_str(&out), sp_buf_str(&c->want)))
        fail_msg("%s, %s %zu:\n--- have\n%.*s--- want\n%.*s", c->name, how, number,
                 SP_STR_ARG(sp_buf_str(&out)), SP_STR_ARG(sp_buf_str(&c->want)));
    sp_buf_deinit(&out);
}

#endif
