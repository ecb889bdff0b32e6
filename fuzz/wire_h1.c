/* wire_h1: any bytes to the HTTP/1.1 decoder. The first byte says who reads and what was asked, the second
 * how the rest is cut into reads.
 *
 * Held against: the same bytes in one read (neither the cuts nor a state that moves to another process
 * between any two reads may change what comes out); the encoder, whose bytes must be read as the same call,
 * and written the same again; and the rules of paths, whose forms must be forms of themselves. Each read gets
 * its bytes in a block of exactly their size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "wire/h1/h1.h"
#include "wire/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS = 24, OUT_BYTES = 1 << 20 };

struct setting {
    enum sp_role role;
    unsigned asked;  /* 0 nothing, 1 GET, 2 HEAD, 3 CONNECT, 4 upgrade */
    unsigned answer; /* status for what wants a tunnel; 0 = an error of our own */
    uint32_t cuts;   /* 0 = one read; else where they fall */
};

struct run {
    uint64_t hash; /* of all that came out, in order */
    size_t used;
    ssize_t result; /* the last call's */
    ssize_t finished;
};

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static void mix(struct run *run, sp_str s, char what)
{
    run->hash = (run->hash ^ (unsigned char)what) * 0x100000001b3u;
    for (size_t i = 0; i < s.len; i++)
        run->hash = (run->hash ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    run->hash = (run->hash ^ s.len) * 0x100000001b3u;
}

static void mix_headers(struct run *run, const struct sp_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        mix(run, sp_str_of(h->name, h->name_len), 'n');
        mix(run, sp_str_of(h->value, h->value_len), (char)('a' + h->flags));
    }
}

static void mix_head(struct run *run, const struct sp_head *head)
{
    mix(run, head->method, (char)head->kind);
    mix(run, head->path, 'p');
    mix(run, head->service, 's');
    mix(run, head->reason, 'r');
    mix(run, sp_str_of(&head->status, sizeof head->status), 'c');
    mix(run, sp_str_of(&head->flags, sizeof head->flags), 'f');
    mix(run, sp_str_of(&head->body_bytes, sizeof head->body_bytes), 'b');
    mix_headers(run, head);
}

/* Body bytes one by one: pieces of a body are one run, however they came. */
static void mix_event(struct run *run, const struct sp_event *ev)
{
    if (ev->kind == SP_EVENT_HEAD)
        mix_head(run, ev->head);
    for (size_t i = 0; i < ev->body.len; i++)
        run->hash = (run->hash ^ (unsigned char)ev->body.ptr[i]) * 0x100000001b3u;
    if (ev->end)
        mix(run, SP_STR_NULL, 'e');
    if (ev->trailers)
        mix_headers(run, ev->head);
}

static void move_house(struct sp_codec_state *st, const struct sp_codec_limits *limits)
{
    unsigned char saved[SP_CODEC_STATE_BYTES];
    sp_h1_codec.save(st, saved);
    memset(st, 0x77, sizeof *st);
    must(sp_h1_codec.load(st, saved, limits) == 0, "a saved state loads");
}

static void ask(struct sp_codec_state *st, unsigned asked)
{
    static const char *const methods[] = { "", "GET", "HEAD", "CONNECT", "GET" };
    struct sp_head request = { .method = sp_str_c(methods[asked]) };
    request.flags = asked == 3 ? SP_HEAD_TUNNEL : asked == 4 ? SP_HEAD_UPGRADE : 0;
    if (asked)
        sp_h1_codec.asked(st, &request);
}

static void read_all(struct run *run, const struct setting *set, sp_str in,
                     void (*on_head)(const struct sp_head *))
{
    struct sp_codec_limits limits = { .head_bytes = 2048, .line_bytes = 512, .headers = HEADERS };
    struct sp_header headers[HEADERS];
    struct sp_head head = { .headers = headers, .header_cap = HEADERS };
    struct sp_head answer = { .kind = SP_MSG_RESPONSE, .status = set->answer };
    struct sp_codec_state st;
    size_t at = 0, avail = 0;
    uint32_t dice = set->cuts;
    bool wish = false;

    memset(run, 0, sizeof *run);
    sp_h1_codec.init(&st, set->role, &limits);
    if (set->role == SP_ROLE_CLIENT)
        ask(&st, set->asked);
    while (at < in.len) {
        if (avail == at || run->result == 0) {
            dice = dice * 1664525 + 1013904223;
            size_t step = set->cuts ? 1 + (dice >> 24) % (1 + set->cuts % 64) : in.len;
            avail = step < in.len - avail ? avail + step : in.len;
        }
        char *block = malloc(avail - at);
        must(block != NULL, "memory");
        memcpy(block, in.ptr + at, avail - at);
        if (set->cuts)
            move_house(&st, &limits);
        struct sp_event ev = { .head = &head };
        run->result = sp_h1_codec.decode(&st, sp_str_of(block, avail - at), &ev);
        must(run->result <= (ssize_t)(avail - at), "no more is used than there is");
        if (run->result >= 0) {
            mix_event(run, &ev);
            if (ev.kind == SP_EVENT_HEAD && on_head)
                on_head(&head);
            if (ev.kind == SP_EVENT_HEAD && set->role == SP_ROLE_SERVER)
                wish = (head.flags & (SP_HEAD_TUNNEL | SP_HEAD_UPGRADE)) != 0;
        } else {
            must(ev.why && ev.status >= 400, "a refusal says why");
            mix(run, sp_str_c(ev.why), 'x');
        }
        free(block);
        if (run->result < 0)
            return;
        if (ev.end && wish) {
            sp_h1_codec.answered(&st, set->answer ? &answer : NULL);
            wish = false;
        }
        at += (size_t)run->result;
        if (run->result == 0 && avail == in.len)
            break;
    }
    struct sp_event ev = { .head = &head };
    run->used = at;
    run->finished = sp_h1_codec.finish(&st, &ev);
    mix_event(run, &ev);
}

static bool is_kept(const struct sp_head *head, const struct sp_header *h)
{
    if (h->flags & SP_HEADER_HOP)
        return false;
    return h->id != SP_HDR_CONTENT_LENGTH && (h->id != SP_HDR_HOST || head->kind != SP_MSG_REQUEST);
}

/* What is kept of `from`, in order, is in `to`. */
static void check_kept(const struct sp_head *from, const struct sp_head *to)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < from->header_count; i++) {
        const struct sp_header *h = &from->headers[i];
        if (!is_kept(from, h))
            continue;
        while (at < to->header_count && !is_kept(to, &to->headers[at]))
            at++;
        must(at < to->header_count, "no header is lost");
        const struct sp_header *g = &to->headers[at++];
        must(sp_str_eq(sp_str_of(h->name, h->name_len), sp_str_of(g->name, g->name_len)), "names stay");
        must(sp_str_eq(sp_str_of(h->value, h->value_len), sp_str_of(g->value, g->value_len)), "values stay");
    }
    while (at < to->header_count)
        must(!is_kept(to, &to->headers[at++]), "no header is made up");
}

static void check_path(sp_str target)
{
    struct sp_arena arena;
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    for (unsigned bits = 0; bits < 12; bits++) {
        struct sp_path_rules rules = { bits & 1, (bits & 2) != 0, (uint8_t)(bits / 4) };
        sp_str form, again;
        const char *why = NULL;
        if (sp_path_canonical(target, &rules, &arena, &form, &why)) {
            must(why != NULL, "a refused path says why");
            continue;
        }
        must(form.len <= target.len, "no form is longer than its path");
        must(sp_path_canonical(form, &rules, &arena, &again, &why) == 0 && again.ptr == form.ptr,
             "a form is its own form");
    }
    sp_arena_deinit(&arena);
}

static void check_encoded(const struct sp_head *head)
{
    static char out[OUT_BYTES], again[OUT_BYTES];
    struct sp_head sent = *head;
    bool request = sent.kind == SP_MSG_REQUEST;
    if (request && sent.path.len)
        check_path(sent.path);
    if (request && !sent.service.len)
        return; /* HTTP/1.0 without Host: there is no way to say it in 1.1 */
    sent.flags &= ~(uint32_t)SP_HEAD_OLD;
    ssize_t len = sp_h1_codec.encode_head(&sent, out, sizeof out);
    must(len > 0, "what was decoded can be encoded");

    struct sp_header headers[HEADERS + 4];
    struct sp_head got = { .headers = headers, .header_cap = HEADERS + 4 };
    struct sp_event ev = { .head = &got };
    struct sp_codec_state st;
    sp_h1_codec.init(&st, request ? SP_ROLE_SERVER : SP_ROLE_CLIENT, NULL);
    if (!request) {
        bool no_body = (sent.flags & SP_HEAD_NO_BODY) && sent.status != 204 && sent.status != 304;
        ask(&st, sent.flags & SP_HEAD_UPGRADE ? 4 : sent.flags & SP_HEAD_TUNNEL ? 3 : no_body ? 2 : 1);
    }
    must(sp_h1_codec.decode(&st, sp_str_of(out, (size_t)len), &ev) == len, "an encoded head is a head");
    must(ev.kind == SP_EVENT_HEAD && got.kind == sent.kind, "of the same kind");
    must(sp_str_eq(got.method, sent.method) && sp_str_eq(got.path, sent.path), "method and path stay");
    must(sp_str_eq(got.service, sent.service) && got.status == sent.status, "service and status stay");
    must(got.body_bytes == sent.body_bytes, "the length stays");
    uint32_t same = SP_HEAD_LAST | SP_HEAD_UPGRADE | SP_HEAD_TUNNEL | SP_HEAD_EXPECT;
    must((got.flags & same) == (sent.flags & same), "flags stay");
    check_kept(&sent, &got);
    must(sp_h1_codec.encode_head(&got, again, sizeof again) == len && memcmp(out, again, (size_t)len) == 0,
         "encoded again it is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    static const unsigned answers[] = { 0, 101, 200, 403 };
    struct setting set = {
        .role = data[0] & 1 ? SP_ROLE_CLIENT : SP_ROLE_SERVER,
        .asked = (data[0] >> 1 & 7) % 5,
        .answer = answers[data[0] >> 4 & 3],
    };
    sp_str in = sp_str_of(data + 2, size - 2);
    struct run whole, pieces;
    read_all(&whole, &set, in, check_encoded);
    set.cuts = 1 + data[1];
    read_all(&pieces, &set, in, NULL);
    must(whole.hash == pieces.hash, "cuts change nothing");
    must(whole.used == pieces.used && whole.finished == pieces.finished, "cuts change nothing at the end");
    must((whole.result < 0) == (pieces.result < 0), "cuts refuse nothing else");
    return 0;
}
