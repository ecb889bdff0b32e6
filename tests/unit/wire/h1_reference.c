/* h1_reference: the decoder against a second reader of the same grammar, slow and obvious: it has the whole
 * input, cuts lines as strings, asks one question after the other, and shares no code with the first. Both
 * read what random damage makes of good and of ambiguous requests; they must agree on what is understood and
 * on whether it ends in a refusal. SAMPAN_SEED=n runs one seed. */
#include <ctype.h>

#include "base/rng.h"
#include "unit/base/help.h"
#include "unit/wire/h1_kit.h"

/* --- the slow reader ----------------------------------------------------------------------------------- */

enum verdict { UNDERSTOOD, INCOMPLETE, REFUSED };

struct slow {
    sp_str rest;
    struct sp_buf *out;
    struct sp_buf body;
    sp_str method, path, host, lines[SP_HEADERS_MAX + 1];
    size_t line_count;
    bool last;
};

static bool is_tchar(unsigned char c)
{
    return c < 0x80 && (isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c)));
}

static bool is_token(sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_tchar((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool is_digits(sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isdigit((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

/* Lines up to the empty one, cut off `rest`. */
static enum verdict cut_lines(struct slow *s, bool start)
{
    s->line_count = 0;
    size_t from = 0;
    for (size_t i = 0; i < s->rest.len; i++) {
        unsigned char c = (unsigned char)s->rest.ptr[i];
        bool pair = c == '\r' && i + 1 < s->rest.len && s->rest.ptr[i + 1] == '\n';
        if (c == '\r' && i + 1 == s->rest.len)
            return INCOMPLETE;
        if ((c < 0x20 && c != '\t' && !pair) || c == 0x7f)
            return REFUSED;
        if (!pair)
            continue;
        if (i == from && s->line_count == 0 && start)
            return REFUSED;
        if (i == from) {
            s->rest = sp_str_from(s->rest, i + 2);
            return UNDERSTOOD;
        }
        if (s->line_count == (size_t)SP_HEADERS_MAX + start)
            return REFUSED;
        s->lines[s->line_count++] = (sp_str){ s->rest.ptr + from, i - from };
        from = i + 2;
        i++;
    }
    return INCOMPLETE;
}

static bool split_header(sp_str line, sp_str *name, sp_str *value)
{
    size_t colon = sp_str_find(line, ':');
    if (colon == line.len)
        return false;
    *name = sp_str_upto(line, colon);
    *value = sp_str_trim(sp_str_from(line, colon + 1));
    return is_token(*name);
}

/* How many headers of that name; the value of the last. */
static size_t count_header(const struct slow *s, size_t first, const char *wanted, sp_str *value)
{
    size_t count = 0;
    for (size_t i = first; i < s->line_count; i++) {
        sp_str name, text;
        if (split_header(s->lines[i], &name, &text) && sp_str_eq_nocase(name, sp_str_c(wanted))) {
            *value = text;
            count++;
        }
    }
    return count;
}

static bool has_option(const struct slow *s, const char *wanted)
{
    for (size_t i = 1; i < s->line_count; i++) {
        sp_str name, rest;
        if (!split_header(s->lines[i], &name, &rest) || !sp_str_eq_nocase(name, SP_STR("connection")))
            continue;
        while (rest.ptr)
            if (sp_str_eq_nocase(sp_str_trim(sp_str_cut(&rest, ',')), sp_str_c(wanted)))
                return true;
    }
    return false;
}

static bool connection_is_sound(const struct slow *s)
{
    size_t options = 0;
    for (size_t i = 1; i < s->line_count; i++) {
        sp_str name, rest;
        if (!split_header(s->lines[i], &name, &rest) || !sp_str_eq_nocase(name, SP_STR("connection")))
            continue;
        while (rest.ptr) {
            sp_str option = sp_str_trim(sp_str_cut(&rest, ','));
            if (option.len && (!is_token(option) || ++options > 32))
                return false;
        }
    }
    return true;
}

static bool headers_are_sound(const struct slow *s, size_t first)
{
    for (size_t i = first; i < s->line_count; i++) {
        sp_str name, value;
        if (!split_header(s->lines[i], &name, &value))
            return false;
        char plain[64] = "";
        for (size_t k = 0; k < name.len && name.len < sizeof plain; k++)
            plain[k] = name.ptr[k] == '_' ? '-' : (char)tolower((unsigned char)name.ptr[k]);
        bool framing = strcmp(plain, "content-length") == 0 || strcmp(plain, "transfer-encoding") == 0;
        if (first && framing && memchr(name.ptr, '_', name.len))
            return false;
    }
    return true;
}

static bool is_host_name(sp_str s)
{
    if (s.len == 0 || s.len > 255 || s.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x80 || !(isalnum(c) || (c && strchr("-._~", c))))
            return false;
        if (c == '.' && i && s.ptr[i - 1] == '.')
            return false;
    }
    return true;
}

static bool split_place(sp_str place, sp_str *host, long *port)
{
    *host = place;
    *port = -1;
    size_t colon = sp_str_find_last(place, ':');
    if (colon < place.len && place.ptr[place.len - 1] != ']') {
        sp_str digits = sp_str_from(place, colon + 1);
        *host = sp_str_upto(place, colon);
        if (!is_digits(digits) || digits.len > 5 || digits.ptr[0] == '0')
            return false;
        char text[8] = "";
        memcpy(text, digits.ptr, digits.len);
        *port = strtol(text, NULL, 10);
        if (*port > 65535)
            return false;
    }
    /* The seeds hold few addresses in brackets: these alone are known here. */
    return is_host_name(*host) || sp_str_eq(*host, SP_STR("[::1]")) ||
           sp_str_eq(*host, SP_STR("[2001:db8::ffff:1.2.3.4]"));
}

static bool same_place(sp_str a, sp_str b, long standard)
{
    sp_str host_a, host_b;
    long port_a, port_b;
    if (!split_place(a, &host_a, &port_a) || !split_place(b, &host_b, &port_b))
        return false;
    return sp_str_eq_nocase(host_a, host_b) &&
           (port_a < 0 ? standard : port_a) == (port_b < 0 ? standard : port_b);
}

static bool read_target(struct slow *s, sp_str target, size_t hosts, sp_str host)
{
    sp_str name;
    long port;
    s->host = host;
    if (hosts && !split_place(host, &name, &port))
        return false;
    if (sp_str_eq(s->method, SP_STR("CONNECT"))) {
        s->host = target;
        s->path = SP_STR("");
        if (!split_place(target, &name, &port) || port < 0)
            return false;
        return !hosts || same_place(host, target, -2) || sp_str_eq_nocase(host, name);
    }
    if (target.len && target.ptr[0] == '/') {
        s->path = target;
        return true;
    }
    if (sp_str_eq(target, SP_STR("*"))) {
        s->path = target;
        return sp_str_eq(s->method, SP_STR("OPTIONS"));
    }
    bool plain = sp_str_starts_nocase(target, SP_STR("http://"));
    if (!plain && !sp_str_starts_nocase(target, SP_STR("https://")))
        return false;
    sp_str rest = sp_str_from(target, plain ? 7 : 8);
    size_t slash = sp_str_find(rest, '/'), query = sp_str_find(rest, '?');
    if (query < slash)
        return false;
    s->host = sp_str_upto(rest, slash);
    s->path = slash < rest.len                          ? sp_str_from(rest, slash)
              : sp_str_eq(s->method, SP_STR("OPTIONS")) ? SP_STR("*")
                                                        : SP_STR("/");
    if (!split_place(s->host, &name, &port))
        return false;
    return !hosts || same_place(host, s->host, plain ? 80 : 443);
}

/* Method, target, version. */
static bool read_start(struct slow *s, sp_str line, sp_str *target, int *minor)
{
    size_t first = sp_str_find(line, ' '), last = sp_str_find_last(line, ' ');
    if (first == line.len || last <= first + 1)
        return false;
    sp_str version = sp_str_from(line, last + 1);
    s->method = sp_str_upto(line, first);
    *target = (sp_str){ line.ptr + first + 1, last - first - 1 };
    for (size_t i = 0; i < target->len; i++) {
        unsigned char c = (unsigned char)target->ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return false;
    }
    *minor = sp_str_eq(version, SP_STR("HTTP/1.1")) ? 1 : sp_str_eq(version, SP_STR("HTTP/1.0")) ? 0 : -1;
    return is_token(s->method) && s->method.len <= 32 && *minor >= 0;
}

static enum verdict read_chunks(struct slow *s)
{
    uint64_t extensions = 0;
    for (;;) {
        /* The size line ends at the first CR that is not inside a quoted string, which holds none. */
        size_t i = 0, digits = 0;
        uint64_t size = 0;
        while (i < s->rest.len && isxdigit((unsigned char)s->rest.ptr[i]) && digits < 17) {
            if (size >= (uint64_t)1 << 59)
                return REFUSED;
            char one[2] = { s->rest.ptr[i++], 0 };
            size = size * 16 + strtoull(one, NULL, 16);
            digits++;
        }
        if (digits > 16)
            return REFUSED;
        if (i == s->rest.len)
            return INCOMPLETE;
        if (digits == 0)
            return REFUSED;

        bool quoted = false, escaped = false, blanks = false, named = true, any = false;
        for (; i < s->rest.len && !(s->rest.ptr[i] == '\r' && !quoted && named && !blanks); i++) {
            unsigned char c = (unsigned char)s->rest.ptr[i];
            if (any && ++extensions > 4096)
                return REFUSED;
            if ((c < 0x20 && c != '\t') || c == 0x7f)
                return REFUSED;
            if (escaped) {
                escaped = false;
            } else if (quoted) {
                quoted = c != '"';
                escaped = c == '\\';
            } else if (!any || blanks) {
                if (c == ';')
                    named = false;
                else if (c != ' ' && c != '\t')
                    return REFUSED;
                blanks = c != ';';
                any = true;
            } else if (c == ';') {
                if (!named)
                    return REFUSED;
                named = false;
            } else if (!named) {
                if (is_tchar(c))
                    named = true;
                else if (c != ' ' && c != '\t')
                    return REFUSED;
            } else if (c == '"') {
                quoted = true;
            } else if (c != ' ' && c != '\t' && c != '=' && !is_tchar(c)) {
                return REFUSED;
            }
        }
        if (any && i < s->rest.len && ++extensions > 4096)
            return REFUSED;
        if (i + 1 >= s->rest.len)
            return INCOMPLETE;
        if (s->rest.ptr[i + 1] != '\n')
            return REFUSED;
        s->rest = sp_str_from(s->rest, i + 2);
        if (size == 0)
            break;
        if (s->rest.len < size)
            return INCOMPLETE;
        sp_buf_add(&s->body, s->rest.ptr, size);
        s->rest = sp_str_from(s->rest, size);
        sp_str end = sp_str_upto(s->rest, 2);
        if (memcmp(end.ptr, "\r\n", end.len) != 0)
            return REFUSED;
        if (end.len < 2)
            return INCOMPLETE;
        s->rest = sp_str_from(s->rest, 2);
    }

    enum verdict verdict = cut_lines(s, false);
    sp_str value;
    if (verdict == UNDERSTOOD &&
        (!headers_are_sound(s, 0) || count_header(s, 0, "host", &value) ||
         count_header(s, 0, "content-length", &value) || count_header(s, 0, "transfer-encoding", &value)))
        return REFUSED;
    return verdict;
}

static enum verdict read_body(struct slow *s, int minor)
{
    sp_str length = SP_STR_NULL, coding = SP_STR_NULL;
    size_t lengths = count_header(s, 1, "content-length", &length);
    size_t codings = count_header(s, 1, "transfer-encoding", &coding);
    bool bodiless = sp_str_eq(s->method, SP_STR("CONNECT")) || sp_str_eq(s->method, SP_STR("TRACE"));
    if (lengths + codings > 1)
        return REFUSED;
    if (codings)
        return minor == 0 || bodiless || !sp_str_eq_nocase(coding, SP_STR("chunked")) ? REFUSED
                                                                                      : read_chunks(s);
    if (!lengths)
        return UNDERSTOOD;
    if (!is_digits(length) || length.len > 19)
        return REFUSED;
    char text[32] = "";
    memcpy(text, length.ptr, length.len);
    uint64_t bytes = strtoull(text, NULL, 10);
    if (bytes > INT64_MAX || (bytes && bodiless))
        return REFUSED;
    if (bytes > s->rest.len)
        return INCOMPLETE;
    sp_buf_add(&s->body, s->rest.ptr, bytes);
    s->rest = sp_str_from(s->rest, bytes);
    return UNDERSTOOD;
}

static enum verdict read_one(struct slow *s)
{
    if (s->rest.len >= 2 && memcmp(s->rest.ptr, "\r\n", 2) == 0)
        s->rest = sp_str_from(s->rest, 2);
    if (s->rest.len == 0)
        return INCOMPLETE;
    if ((unsigned char)s->rest.ptr[0] >= 0x80) /* before any line is whole */
        return REFUSED;
    enum verdict verdict = cut_lines(s, true);
    if (verdict != UNDERSTOOD)
        return verdict;

    sp_str target = SP_STR_NULL, host = SP_STR_NULL;
    int minor = 0;
    if (!read_start(s, s->lines[0], &target, &minor) || !headers_are_sound(s, 1) || !connection_is_sound(s))
        return REFUSED;
    size_t hosts = count_header(s, 1, "host", &host);
    if (hosts > 1 || (hosts == 0 && minor == 1) || !read_target(s, target, hosts, host))
        return REFUSED;
    s->last = has_option(s, "close") || (minor == 0 && !has_option(s, "keep-alive"));

    verdict = read_body(s, minor);
    return verdict;
}

static void put_meaning(struct sp_buf *out, sp_str method, sp_str path, sp_str host,
                        const struct sp_buf *body)
{
    sp_buf_printf(out, "%.*s ", SP_STR_ARG(method));
    h1_put_escaped(out, path);
    sp_buf_printf(out, " %.*s ", SP_STR_ARG(host));
    h1_put_escaped(out, sp_buf_str(body));
    sp_buf_add_char(out, '\n');
}

static void read_slowly(sp_str in, struct sp_buf *out)
{
    struct slow s = { .rest = in, .out = out };
    sp_buf_init(&s.body, 0);
    while (s.rest.len && !s.last) {
        enum verdict verdict = read_one(&s);
        if (verdict == REFUSED)
            sp_buf_add_c(out, "refused\n");
        if (verdict != UNDERSTOOD)
            break;
        put_meaning(out, s.method, s.path, s.host, &s.body);
        sp_buf_reset(&s.body);
        if (sp_str_eq(s.method, SP_STR("CONNECT")))
            break;
    }
    sp_buf_deinit(&s.body);
}

/* --- the decoder, in the same words -------------------------------------------------------------------- */

static void read_fast(sp_str in, struct sp_rng *rng, struct sp_buf *out)
{
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct sp_codec_limits limits = { 0 };
    struct sp_codec_state st;
    struct sp_buf body;
    size_t at = 0, avail = 0;
    sp_buf_init(&body, 0);
    sp_h1_codec.init(&st, SP_ROLE_SERVER, &limits);

    while (at < in.len) {
        if (avail == at)
            avail = at + 1 + sp_rng_below(rng, in.len - at);
        struct sp_event ev = { .head = &head };
        ssize_t used = sp_h1_codec.decode(&st, sp_str_of(in.ptr + at, avail - at), &ev);
        if (used < 0) {
            sp_buf_add_c(out, "refused\n");
            break;
        }
        sp_buf_add_str(&body, ev.body);
        if (ev.end) {
            put_meaning(out, head.method, head.path, head.service, &body);
            sp_buf_reset(&body);
            if (head.flags & SP_HEAD_TUNNEL)
                break;
            sp_h1_codec.answered(&st, NULL);
        }
        at += (size_t)used;
        if (used == 0 && avail == in.len)
            break;
        if (used == 0)
            avail += 1 + sp_rng_below(rng, in.len - avail);
    }
    sp_buf_deinit(&body);
}

/* --- damage -------------------------------------------------------------------------------------------- */

static struct {
    sp_str text[1024];
    size_t count;
} seeds;

static void keep_seed(const struct h1_case *c)
{
    sp_str in = sp_buf_str(&c->input);
    if (c->role != SP_ROLE_SERVER || in.len > 700 || in.len == 0 || seeds.count == SP_COUNTOF(seeds.text))
        return;
    char *copy = malloc(in.len);
    memcpy(copy, in.ptr, in.len);
    seeds.text[seeds.count++] = sp_str_of(copy, in.len);
}

static sp_str a_word(struct sp_rng *rng)
{
    static const char *const words[] = {
        "\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        ":",
        ",",
        ";",
        "0",
        "5",
        "a",
        "chunked",
        "#",
        "?",
        "/",
        "\\",
        "%2f",
        "Host: a\r\n",
        "Host: b\r\n",
        "Connection: close\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "\r\n\r\n",
        "0\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "HTTP/1.1",
        "HTTP/1.0",
        "http://a",
        "\"",
        "=",
        "_",
        "-",
        "*",
        "@",
        "[",
        "]",
        ":80",
        "CONNECT",
        "OPTIONS",
        "\x7f",
        "\x80",
        "\xff",
        "\x0b",
    };
    return sp_str_c(words[sp_rng_below(rng, SP_COUNTOF(words))]);
}

/* Put `with` for `cut` bytes at `at`. */
static void splice(struct sp_buf *b, size_t at, size_t cut, sp_str with)
{
    struct sp_buf made;
    sp_buf_init(&made, 0);
    sp_buf_add(&made, b->ptr, at);
    sp_buf_add_str(&made, with);
    sp_buf_add_str(&made, sp_str_from(sp_buf_str(b), at + cut));
    sp_buf_deinit(b);
    *b = made;
}

static void damage(struct sp_buf *b, struct sp_rng *rng)
{
    size_t at = sp_rng_below(rng, b->len + 1);
    size_t left = b->len - at, run = left ? sp_rng_below(rng, SP_MIN(left, (size_t)20)) : 0;
    char byte = (char)sp_rng_below(rng, 256);
    switch (sp_rng_below(rng, 6)) {
    case 0: splice(b, at, run, SP_STR_NULL); break;
    case 1: splice(b, at, left ? 1 : 0, sp_str_of(&byte, 1)); break;
    case 2: splice(b, at, 0, a_word(rng)); break;
    case 3: splice(b, at, run, a_word(rng)); break;
    case 4: {
        char copy[20];
        memcpy(copy, b->ptr + at, run);
        splice(b, sp_rng_below(rng, b->len + 1), 0, sp_str_of(copy, run));
        break;
    }
    default: splice(b, at, 0, seeds.text[sp_rng_below(rng, seeds.count)]); break;
    }
}

static void run_seed(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_buf input, slow, fast;
    sp_rng_init(&rng, seed);
    sp_buf_init(&input, 0);
    sp_buf_init(&slow, 0);
    sp_buf_init(&fast, 0);
    sp_buf_add_str(&input, seeds.text[sp_rng_below(&rng, seeds.count)]);
    for (uint64_t times = 1 + sp_rng_below(&rng, 4); times; times--)
        damage(&input, &rng);

    read_slowly(sp_buf_str(&input), &slow);
    read_fast(sp_buf_str(&input), &rng, &fast);
    if (!sp_str_eq(sp_buf_str(&slow), sp_buf_str(&fast))) {
        struct sp_buf text;
        sp_buf_init(&text, 0);
        h1_put_escaped(&text, sp_buf_str(&input));
        fail_msg("SAMPAN_SEED=%llu: %.*s\n--- decoder\n%.*s--- slow reader\n%.*s", (unsigned long long)seed,
                 SP_STR_ARG(sp_buf_str(&text)), SP_STR_ARG(sp_buf_str(&fast)), SP_STR_ARG(sp_buf_str(&slow)));
    }
    sp_buf_deinit(&input);
    sp_buf_deinit(&slow);
    sp_buf_deinit(&fast);
}

static void decoder_and_slow_reader_agree_on_damaged_requests(void **state)
{
    (void)h1_each_case("ambiguous.txt", keep_seed);
    (void)h1_each_case("requests.txt", keep_seed);
    assert_true(seeds.count > 400);
    each_seed(30000, run_seed);
    for (size_t i = 0; i < seeds.count; i++)
        free((void *)(uintptr_t)seeds.text[i].ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_and_slow_reader_agree_on_damaged_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
