/* h1_ambiguous: the requests that two readers may read in two ways. Each is refused or has one meaning, which
 * no cut changes, and which is still the same when our own encoder has written it. */
#include "unit/wire/h1_kit.h"

struct reader {
    struct sp_codec_state st;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_buf *out;
    struct sp_buf body;
    bool open;
};

static void write_meaning(struct reader *r)
{
    sp_str body = sp_buf_str(&r->body);
    sp_buf_add_str(r->out, r->head.method);
    sp_buf_add_char(r->out, ' ');
    h1_put_escaped(r->out, r->head.path);
    sp_buf_add_char(r->out, ' ');
    sp_buf_add_str(r->out, r->head.service.len ? r->head.service : SP_STR("-"));
    if (body.len) {
        sp_buf_add_char(r->out, ' ');
        h1_put_escaped(r->out, body);
    }
    sp_buf_add_char(r->out, '\n');
    sp_buf_reset(&r->body);
}

/* The head's strings must outlive the piece that it came in: here the whole input does. */
static void take_event(struct reader *r, const struct sp_event *ev)
{
    if (ev->kind == SP_EVENT_HEAD)
        r->open = true;
    if (ev->body.len)
        sp_buf_add_str(&r->body, ev->body);
    if (!ev->end)
        return;
    r->open = false;
    write_meaning(r);
}

static void read_all(sp_str in, size_t stride, struct sp_buf *out)
{
    struct reader r = { .out = out };
    struct sp_codec_limits limits = { 0 };
    size_t at = 0, avail = stride ? SP_MIN(stride, in.len) : in.len;
    sp_buf_init(&r.body, 0);
    r.head.headers = r.headers;
    r.head.header_cap = SP_HEADERS_MAX;
    sp_h1_codec.init(&r.st, SP_ROLE_SERVER, &limits);

    while (at < in.len) {
        struct sp_event ev = { .head = &r.head };
        ssize_t used = sp_h1_codec.decode(&r.st, sp_str_of(in.ptr + at, avail - at), &ev);
        if (used < 0) {
            sp_buf_printf(out, "%u\n", ev.status);
            sp_buf_deinit(&r.body);
            return;
        }
        take_event(&r, &ev);
        at += (size_t)used;
        if (used == 0 && avail == in.len)
            break;
        if (used == 0 || at == avail)
            avail = stride ? SP_MIN(avail + stride, in.len) : in.len;
    }
    if (r.open || at < in.len)
        sp_buf_add_c(out, "more\n");
    sp_buf_deinit(&r.body);
}

static void check_meaning(const struct h1_case *c, size_t stride)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    read_all(sp_buf_str(&c->input), stride, &out);
    if (!sp_str_eq(sp_buf_str(&out), sp_buf_str(&c->want)))
        fail_msg("%s, strides of %zu:\n--- have\n%.*s--- want\n%.*s", c->name, stride,
                 SP_STR_ARG(sp_buf_str(&out)), SP_STR_ARG(sp_buf_str(&c->want)));
    sp_buf_deinit(&out);
}

static void check_whole(const struct h1_case *c)
{
    check_meaning(c, 0);
}

static void check_strides(const struct h1_case *c)
{
    size_t len = sp_buf_str(&c->input).len;
    for (size_t stride = 1; stride < SP_MIN(len, 100u); stride++)
        if (len < 2000 || stride == 1 || stride == 97)
            check_meaning(c, stride);
}

/* Write what was understood, and read that. */
static void check_forwarded(const struct h1_case *c)
{
    sp_str in = sp_buf_str(&c->input);
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_codec_state st;
    struct sp_codec_limits limits = { 0 };
    struct sp_buf sent, once, twice;
    bool whole = true;
    sp_buf_init(&sent, 0);
    sp_buf_init(&once, 0);
    sp_buf_init(&twice, 0);
    sp_h1_codec.init(&st, SP_ROLE_SERVER, &limits);

    struct sp_head open = { 0 };
    while (in.len) {
        struct sp_event ev = { .head = &head };
        ssize_t used = sp_h1_codec.decode(&st, in, &ev);
        if (used <= 0) {
            whole = used == 0 ? false : whole;
            break;
        }
        if (ev.kind == SP_EVENT_HEAD) {
            static char out[80 * 1024];
            open = head;
            open.flags &= ~(uint32_t)SP_HEAD_LAST;
            ssize_t len = head.service.len ? sp_h1_codec.encode_head(&open, out, sizeof out) : 0;
            assert_true(len >= 0);
            if (!len)
                whole = false;
            sp_buf_add(&sent, out, (size_t)len);
        }
        char frame[SP_H1_CHUNK_ROOM];
        ssize_t before = sp_h1_codec.encode_chunk(&open, ev.body.len, frame, sizeof frame);
        sp_buf_add(&sent, frame, (size_t)before);
        sp_buf_add_str(&sent, ev.body);
        if (before)
            sp_buf_add_str(&sent, sp_h1_codec.chunk_suffix);
        if (ev.end)
            sp_buf_add(&sent, frame, (size_t)sp_h1_codec.encode_end(&open, NULL, frame, sizeof frame));
        in = sp_str_from(in, (size_t)used);
    }
    read_all(sp_buf_str(&c->input), 0, &once);
    read_all(sp_buf_str(&sent), 0, &twice);
    /* A refusal behind forwarded requests is not forwarded. */
    sp_str want = sp_buf_str(&once);
    if (want.len >= 4 && want.ptr[want.len - 4] >= '4' && want.ptr[want.len - 4] <= '5')
        want.len -= 4, whole = false;
    if (whole && !sp_str_eq(want, sp_buf_str(&twice)))
        fail_msg("%s: sent on as\n%.*s--- which means\n%.*s", c->name, SP_STR_ARG(sp_buf_str(&sent)),
                 SP_STR_ARG(sp_buf_str(&twice)));
    sp_buf_deinit(&sent);
    sp_buf_deinit(&once);
    sp_buf_deinit(&twice);
}

static void every_ambiguous_request_has_one_meaning_or_is_refused(void **state)
{
    assert_true(h1_each_case("ambiguous.txt", check_whole) >= 400);
}

static void no_cut_of_an_ambiguous_request_gives_it_another_meaning(void **state)
{
    (void)h1_each_case("ambiguous.txt", check_strides);
}

static void what_is_sent_on_means_what_was_understood(void **state)
{
    (void)h1_each_case("ambiguous.txt", check_forwarded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ambiguous_request_has_one_meaning_or_is_refused),
        cmocka_unit_test(no_cut_of_an_ambiguous_request_gives_it_another_meaning),
        cmocka_unit_test(what_is_sent_on_means_what_was_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
