/* path: why /admin, //admin, /x/../admin, /%61dmin and \admin must not be five paths.
 *
 * A rule that forbids /admin is worth as much as the agreement between the one who checks and the one who
 * serves. Each server has its own idea of dots, doubled slashes, percent signs and backslashes; most holes
 * of this kind came from a proxy that compared one spelling and forwarded another. So the path gets one
 * spelling here, on the way in, and that is what policy compares, routes match and the next hop receives.
 *
 *      /a/./b/../%7Euser\x?q=..
 *      ├─ decode   %7E is ~; hex digits that stay are written large; "\" is "/"
 *      ├─ dots     "." goes, ".." takes its parent along; at the root there is none to take (RFC 3986 5.2.4)
 *      └─ merge    // becomes / where the rules say so; after the dots, as Envoy does it
 *      /a/~user/x?q=..
 *
 * Only once: %252e is a percent sign and "2e", not a dot. %2F and %5C are the operator's choice, because
 * servers differ; kept ones are opaque. What has no one meaning is refused rather than guessed: % without two
 * digits, an encoded NUL, a dot segment with path parameters (`/..;/`: Java servers cut the parameters off
 * and then see `..`), a dot segment beside a kept %2F or %5C.
 *
 * A path that is in its form already, which is nearly every path, costs one walk over its bytes and no
 * memory. The result is never longer than what came, so one allocation of that size is enough. Query strings
 * are left alone: they have no common grammar, and no route forbids by them. Bytes above ASCII stay as
 * they are encoded: whether %C0%AE is an overlong dot or a Chinese character is the server's affair. */
#include "wire/path.h"

#include "base/arena.h"
#include "wire/chars_impl.h"

struct builder {
    char *out;
    size_t at;      /* next free byte */
    size_t segment; /* where the last segment begins: behind a slash */
    const char *why;
};

sp_str sp_path_without_query(sp_str target)
{
    return sp_str_upto(target, sp_str_find(target, '?'));
}

static sp_err refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return SP_E_INVALID;
}

/* Could the rules change or refuse anything in it? Looks for percent, backslash, "//" and "/.". */
static bool is_plain(sp_str path)
{
    char before = '\0';
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '%' || c == '\\' || ((c == '/' || c == '.') && before == '/'))
            return false;
        before = c;
    }
    return true;
}

/* Does an escape stand there that some readers take for one of `chars`? */
static bool is_escaped(sp_str s, const char *chars)
{
    if (s.len < 3 || s.ptr[0] != '%' || !sp_char_is(s.ptr[1], SP_CHAR_HEX) ||
        !sp_char_is(s.ptr[2], SP_CHAR_HEX))
        return false;
    char c = (char)(sp_char_hex(s.ptr[1]) << 4 | sp_char_hex(s.ptr[2]));
    return c == chars[0] || c == chars[1];
}

static bool is_dots(sp_str s)
{
    return (s.len == 1 && s.ptr[0] == '.') || (s.len == 2 && s.ptr[0] == '.' && s.ptr[1] == '.');
}

/* Would it be dots to a reader that cuts path parameters off, or takes %2F and %5C for slashes? */
static bool hides_dots(sp_str segment)
{
    size_t start = 0, end = segment.len;
    bool cut = false;
    for (size_t i = 0; i < segment.len; i++) {
        sp_str rest = sp_str_from(segment, i);
        if (is_escaped(rest, "/\\")) {
            if (is_dots((sp_str){ segment.ptr + start, SP_MIN(end, i) - start }))
                return true;
            start = i + 3;
            end = segment.len;
            cut = true;
        } else if (end == segment.len && (rest.ptr[0] == ';' || is_escaped(rest, ";;"))) {
            end = i;
            cut = true;
        }
    }
    return cut && is_dots((sp_str){ segment.ptr + start, end - start });
}

/* The segment before `b->at` is whole. `slash`: one follows. */
static bool end_segment(struct builder *b, bool slash)
{
    sp_str segment = { b->out + b->segment, b->at - b->segment };
    if (is_dots(segment)) {
        b->at = b->segment;
        if (segment.len == 2 && b->at > 1) {
            b->at--;
            while (b->out[b->at - 1] != '/')
                b->at--;
        }
    } else if (hides_dots(segment)) {
        b->why = "dot segment with parameters or beside an encoded slash";
        return false;
    } else if (slash) {
        b->out[b->at++] = '/';
    }
    b->segment = b->at;
    return true;
}

/* What the escape with value `byte` becomes: '\0' = it stays an escape. */
static char decoded(unsigned char byte, const struct sp_path_rules *rules)
{
    if (rules->escaped == SP_PATH_ESCAPED_DECODE && (byte == '/' || byte == '\\'))
        return rules->normalize ? '/' : (char)byte;
    return rules->normalize && sp_char_is((char)byte, SP_CHAR_UNRESERVED) ? (char)byte : '\0';
}

/* Take the escape that `rest` begins with; false with b->why when it is none, or may not be. */
static bool read_escape(struct builder *b, sp_str rest, const struct sp_path_rules *rules, char *ret_char)
{
    if (rest.len < 3 || !sp_char_is(rest.ptr[1], SP_CHAR_HEX) || !sp_char_is(rest.ptr[2], SP_CHAR_HEX)) {
        b->why = "percent sign without two hexadecimal digits";
        return false;
    }
    unsigned char byte = (unsigned char)(sp_char_hex(rest.ptr[1]) << 4 | sp_char_hex(rest.ptr[2]));
    if (byte == '\0') {
        b->why = "encoded NUL";
        return false;
    }
    if (rules->escaped == SP_PATH_ESCAPED_REFUSE && (byte == '/' || byte == '\\')) {
        b->why = "encoded slash or backslash";
        return false;
    }
    *ret_char = decoded(byte, rules);
    return true;
}

static void keep_escape(struct builder *b, sp_str rest, bool normalize)
{
    static const char large[16] = "0123456789ABCDEF";
    b->out[b->at++] = '%';
    for (size_t i = 1; i < 3; i++)
        b->out[b->at++] = normalize ? large[sp_char_hex(rest.ptr[i])] : rest.ptr[i];
}

static bool build(struct builder *b, sp_str path, const struct sp_path_rules *rules)
{
    b->out[0] = '/';
    b->at = b->segment = 1;
    for (size_t i = 1; i < path.len;) {
        sp_str rest = sp_str_from(path, i);
        char c = rest.ptr[0];
        i += c == '%' ? 3 : 1;
        if (c == '%' && !read_escape(b, rest, rules, &c))
            return false;
        if (c == '\0')
            keep_escape(b, rest, rules->normalize);
        else if (rules->normalize && (c == '/' || c == '\\')) {
            if (!end_segment(b, true))
                return false;
        } else
            b->out[b->at++] = c;
    }
    return !rules->normalize || end_segment(b, false);
}

static void merge(struct builder *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->at; i++)
        if (b->out[i] != '/' || kept == 0 || b->out[kept - 1] != '/')
            b->out[kept++] = b->out[i];
    b->at = kept;
}

static sp_err check(sp_str target, const char **ret_why)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return refuse("path does not begin with a slash", ret_why);
    if (!sp_char_all(target, SP_CHAR_TARGET))
        return refuse("path holds a blank, a fragment or what is not ASCII", ret_why);
    return 0;
}

sp_err sp_path_canonical(sp_str target, const struct sp_path_rules *rules, struct sp_arena *arena,
                         sp_str *ret_target, const char **ret_why)
{
    if (sp_str_eq(target, SP_STR("*"))) {
        *ret_target = target;
        return 0;
    }
    sp_err err = check(target, ret_why);
    if (err)
        return err;
    sp_str path = sp_path_without_query(target);
    bool nothing = !rules->normalize && !rules->merge_slashes && rules->escaped == SP_PATH_ESCAPED_KEEP;
    if (nothing || is_plain(path)) {
        *ret_target = target;
        return 0;
    }

    struct builder b = { .out = sp_arena_alloc_align(arena, target.len, 1) };
    if (!b.out)
        return SP_E_NOMEM;
    if (!build(&b, path, rules))
        return refuse(b.why, ret_why);
    if (rules->merge_slashes)
        merge(&b);
    if (b.at == path.len && memcmp(b.out, path.ptr, b.at) == 0) {
        *ret_target = target;
        return 0;
    }
    memcpy(b.out + b.at, path.ptr + path.len, target.len - path.len);
    *ret_target = (sp_str){ b.out, b.at + target.len - path.len };
    return 0;
}
