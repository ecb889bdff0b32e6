/* regex_syntax: RE2's grammar read by hand, PCRE2's spelling written.
 *
 * A list of forbidden things would be the shorter gate, and a wrong one: what both engines accept and read
 * differently would pass. So each thing that RE2 has is named here, and all else is refused in words.
 *
 *      RE2                          PCRE2
 *      (x)  (?P<n>x)  (?<n>x)       (?:x)                    nobody asks what a group took
 *      \d  \W  \s                   [0-9]  [^0-9A-Za-z_]  [\t\n\f\r ]
 *      [\S]                         [\x00-\x08\x0b..]        the complement, as ranges
 *      \v  \123  \Q..\E             \x{0b}  \x{53}           and each byte escaped
 *      {x  a{,3}                    \{x  a\{,3\}             not a repetition there, so a letter
 *      \b  [[:alpha:]]  \pN         as they are
 *
 * The classes are spelled out because \s takes the vertical tab in PCRE2, and because its machine code
 * (10.42) lets \D and \W take no character of two bytes.
 *
 * Refused by name: look-around, atomic groups, possessive repetition, back references, recursion,
 * conditions, call-outs, comments, verbs, \C, and escapes that RE2 does not know. Repetition counts end at
 * 1,000 as in RE2. A repetition of ^ or \b, which RE2 takes and which means nothing, is refused too. */
#include <string.h>

#include "model/regex_impl.h"

enum { REPEAT_MAX = 1000, NAME_BYTES = 64, GROUPS_MAX = 100 };

struct reader {
    sp_str in;
    size_t at;
    char *out;
    size_t len;
    sp_err err;
    const char *why;
    size_t depth;
    uint32_t copies[GROUPS_MAX + 1]; /* of each open group: most copies of a part that its repetitions make */
    uint32_t atom_copies;            /* the same of the atom before: 1, or what the group that closed had */
    bool repeatable;                 /* an atom stands before */
    bool repeated;                   /* a repetition stands before */
};

static void put(struct reader *r, const char *text)
{
    size_t len = strlen(text);
    memcpy(r->out + r->len, text, len);
    r->len += len;
}

static void put_byte(struct reader *r, char c)
{
    r->out[r->len++] = c;
}

static bool refuse(struct reader *r, sp_err err, const char *why)
{
    r->err = err;
    r->why = why;
    return false;
}

/* The byte `ahead` of the reader, 0 at the end; a pattern that holds a 0 byte is refused as a literal. */
static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->in.len ? r->in.ptr[r->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- letters ---- */

static void put_rune(struct reader *r, uint32_t rune)
{
    static const char digits[] = "0123456789abcdef";
    put(r, "\\x{");
    for (int shift = 20; shift >= 0; shift -= 4)
        if (rune >> shift || !shift)
            put_byte(r, digits[rune >> shift & 15]);
    put_byte(r, '}');
}

/* One letter that stands for itself; it may be several bytes of UTF-8. */
static bool put_literal(struct reader *r)
{
    char c = peek(r, 0);
    size_t len = sp_str_utf8_at(sp_str_from(r->in, r->at));
    if (!len || !c)
        return refuse(r, SP_E_INVALID, "not UTF-8, or a zero byte");
    if (len == 1 && (unsigned char)c < 0x20) {
        put_rune(r, (unsigned char)c);
    } else {
        if (len == 1 && !is_word(c))
            put_byte(r, '\\');
        memcpy(r->out + r->len, r->in.ptr + r->at, len);
        r->len += len;
    }
    r->at += len;
    return true;
}

static bool put_octal(struct reader *r)
{
    if (peek(r, 0) != '0' && !is_octal(peek(r, 1)))
        return refuse(r, SP_E_UNSUPPORTED, "back references are not part of RE2");
    uint32_t value = 0;
    for (int i = 0; i < 3 && is_octal(peek(r, 0)); i++)
        value = value * 8 + (uint32_t)(r->in.ptr[r->at++] - '0');
    put_rune(r, value);
    return true;
}

static bool put_hex(struct reader *r)
{
    uint32_t value = 0;
    r->at++; /* x */
    bool braced = peek(r, 0) == '{';
    r->at += braced;
    size_t digits = 0, most = braced ? 6 : 2;
    for (; digits < most && hex_value(peek(r, 0)) >= 0; digits++)
        value = value * 16 + (uint32_t)hex_value(r->in.ptr[r->at++]);
    bool ends = braced ? digits && peek(r, 0) == '}' : digits == 2;
    if (!ends || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return refuse(r, SP_E_INVALID,
                      "\\x is followed by two hex digits, or by the number of a character in braces");
    r->at += braced;
    put_rune(r, value);
    return true;
}

/* \pL, \PL, \p{Greek}, \p{^Greek} */
static bool put_property(struct reader *r)
{
    size_t start = r->at++;
    if (peek(r, 0) != '{') {
        if (!is_letter(peek(r, 0)))
            return refuse(r, SP_E_INVALID, "\\p is followed by a letter or a name in braces");
        r->at++;
    } else {
        r->at++;
        r->at += peek(r, 0) == '^';
        size_t name = r->at;
        while (is_word(peek(r, 0)))
            r->at++;
        if (r->at == name || r->at - name > NAME_BYTES || peek(r, 0) != '}')
            return refuse(r, SP_E_INVALID, "\\p is followed by a letter or a name in braces");
        r->at++;
    }
    put_byte(r, '\\');
    memcpy(r->out + r->len, r->in.ptr + start, r->at - start);
    r->len += r->at - start;
    return true;
}

/* An escape that is one character, in a class or outside; the reader stands behind the backslash.
 * *ret_known false: it is none of those, and nothing was read. */
static bool put_escape(struct reader *r, bool *ret_known)
{
    char c = peek(r, 0);
    *ret_known = true;
    switch (c) {
    case 'a':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        put_byte(r, '\\');
        put_byte(r, c);
        r->at++;
        return true;
    case 'v':
        put(r, "\\x{0b}");
        r->at++;
        return true;
    case 'x': return put_hex(r);
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return put_octal(r);
    }
    if ((unsigned char)c < 0x80 && c && (!is_word(c) || c == '_'))
        return put_literal(r);
    *ret_known = false;
    return true;
}

static bool refuse_escape(struct reader *r)
{
    if (r->at >= r->in.len)
        return refuse(r, SP_E_INVALID, "ends in a backslash");
    switch (peek(r, 0)) {
    case 'C': return refuse(r, SP_E_UNSUPPORTED, "\\C (one byte) is refused: it can tear a character apart");
    case 'g':
    case 'k': return refuse(r, SP_E_UNSUPPORTED, "back references are not part of RE2");
    case 'Z': return refuse(r, SP_E_UNSUPPORTED, "\\Z is not part of RE2: \\z is the end of the text");
    }
    return refuse(r, SP_E_UNSUPPORTED, "this escape is not part of RE2");
}

/* ---- classes ---- */

static bool put_posix(struct reader *r)
{
    static const char names[] =
        " alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit ";
    sp_str rest = sp_str_from(r->in, r->at);
    size_t end = sp_str_find_str(rest, SP_STR(":]"));
    sp_str name = sp_str_from(sp_str_upto(rest, end), 2);
    bool inverted = name.len && name.ptr[0] == '^';
    name = sp_str_from(name, inverted);
    char spaced[NAME_BYTES] = " ";
    if (end == rest.len || name.len == 0 || name.len > 8)
        return refuse(r, SP_E_INVALID, "[: is not followed by the name of a class and :]");
    memcpy(spaced + 1, name.ptr, name.len);
    spaced[name.len + 1] = ' ';
    if (!strstr(names, spaced))
        return refuse(r, SP_E_INVALID, "no class of this name");
    memcpy(r->out + r->len, rest.ptr, end + 2);
    r->len += end + 2;
    r->at += end + 2;
    return true;
}

/* One entry of a class: *ret_single when it is one character, which may begin or end a range. */
static bool put_entry(struct reader *r, bool *ret_single)
{
    *ret_single = false;
    if (peek(r, 0) == '[' && peek(r, 1) == ':')
        return put_posix(r);
    *ret_single = true;
    if (peek(r, 0) != '\\')
        return put_literal(r);
    r->at++;
    bool known;
    if (!put_escape(r, &known))
        return false;
    if (known)
        return true;
    *ret_single = false;
    switch (peek(r, 0)) {
    case 'p':
    case 'P': return put_property(r);
    case 'd': put(r, "0-9"); break;
    case 'D': put(r, "\\x00-\\x2f\\x3a-\\x{10ffff}"); break;
    case 's': put(r, "\\t\\n\\f\\r "); break;
    case 'S': put(r, "\\x00-\\x08\\x0b\\x0e-\\x1f\\x21-\\x{10ffff}"); break;
    case 'w': put(r, "0-9A-Za-z_"); break;
    case 'W': put(r, "\\x00-\\x2f\\x3a-\\x40\\x5b-\\x5e\\x60\\x7b-\\x{10ffff}"); break;
    default: return refuse_escape(r);
    }
    r->at++;
    return true;
}

static bool put_class(struct reader *r)
{
    put_byte(r, '[');
    r->at++;
    if (peek(r, 0) == '^') {
        put_byte(r, '^');
        r->at++;
    }
    for (bool first = true; first || peek(r, 0) != ']'; first = false) {
        bool single;
        if (r->at >= r->in.len)
            return refuse(r, SP_E_INVALID, "a class has no end: ] is missing");
        if (!put_entry(r, &single))
            return false;
        if (peek(r, 0) != '-' || peek(r, 1) == ']' || r->at + 1 >= r->in.len || !single)
            continue;
        put_byte(r, '-');
        r->at++;
        if (!put_entry(r, &single))
            return false;
        if (!single)
            return refuse(r, SP_E_INVALID, "a range does not end in a character");
    }
    put_byte(r, ']');
    r->at++;
    return true;
}

/* ---- groups, repetition ---- */

static bool refuse_group(struct reader *r)
{
    switch (peek(r, 2)) {
    case '=':
    case '!': return refuse(r, SP_E_UNSUPPORTED, "look-ahead is not part of RE2");
    case '<': return refuse(r, SP_E_UNSUPPORTED, "look-behind is not part of RE2");
    case '>': return refuse(r, SP_E_UNSUPPORTED, "atomic groups are not part of RE2");
    case '(': return refuse(r, SP_E_UNSUPPORTED, "conditions are not part of RE2");
    case 'C': return refuse(r, SP_E_UNSUPPORTED, "call-outs are not part of RE2");
    case '#': return refuse(r, SP_E_UNSUPPORTED, "comments are not part of RE2");
    case 'R':
    case '&':
    case '+': return refuse(r, SP_E_UNSUPPORTED, "recursion is not part of RE2");
    case 'P':
        return refuse(r, SP_E_UNSUPPORTED,
                      peek(r, 3) == '=' ? "back references are not part of RE2"
                                        : "recursion is not part of RE2");
    }
    return refuse(r, SP_E_UNSUPPORTED,
                  is_digit(peek(r, 2)) ? "recursion is not part of RE2"
                                       : "this kind of group is not part of RE2");
}

static bool enter(struct reader *r)
{
    if (r->depth == GROUPS_MAX)
        return refuse(r, SP_E_LIMIT, "more than 100 groups within each other");
    r->copies[++r->depth] = 1;
    return true;
}

/* (?P<name> and (?<name>: the name is dropped. */
static bool open_named(struct reader *r, size_t name)
{
    size_t end = name;
    while (is_word(peek(r, end)))
        end++;
    if (end == name || peek(r, end) != '>')
        return refuse(r, SP_E_INVALID, "a group's name is letters, digits and _ up to >");
    r->at += end + 1;
    put(r, "(?:");
    return enter(r);
}

/* (?i) or (?i-s:, with flags among imsU. */
static bool open_flags(struct reader *r)
{
    size_t end = 2;
    bool minus = false, some = false;
    for (;; end++) {
        char c = peek(r, end);
        if (c == '-' && !minus) {
            minus = true;
            some = false;
        } else if (c && strchr("imsU", c)) {
            some = true;
        } else {
            break;
        }
    }
    char last = peek(r, end);
    if ((last != ')' && last != ':') || (minus && !some) || (last == ')' && end == 2))
        return refuse_group(r);
    memcpy(r->out + r->len, r->in.ptr + r->at, end + 1);
    r->len += end + 1;
    r->at += end + 1;
    return last == ')' || enter(r);
}

static bool open_group(struct reader *r)
{
    r->repeatable = r->repeated = false;
    if (peek(r, 1) == '*')
        return refuse(r, SP_E_UNSUPPORTED, "verbs are not part of RE2");
    if (peek(r, 1) != '?') {
        r->at++;
        put(r, "(?:");
        return enter(r);
    }
    if (peek(r, 2) == 'P' && peek(r, 3) == '<')
        return open_named(r, 4);
    if (peek(r, 2) == '<' && peek(r, 3) != '=' && peek(r, 3) != '!')
        return open_named(r, 3);
    return open_flags(r);
}

static bool close_group(struct reader *r)
{
    if (!r->depth)
        return refuse(r, SP_E_INVALID, ") closes nothing");
    r->atom_copies = r->copies[r->depth--];
    r->copies[r->depth] = SP_MAX(r->copies[r->depth], r->atom_copies);
    put_byte(r, ')');
    r->at++;
    r->repeatable = true;
    r->repeated = false;
    return true;
}

/* Length of {n}, {n,} or {n,m} here; 0 when the brace is a letter. */
static size_t count_at(const struct reader *r, uint32_t *ret_least, uint32_t *ret_most)
{
    uint32_t number[2] = { 0, 0 };
    size_t at = 1, digits[2] = { 0, 0 };
    unsigned i = 0;
    for (;; at++) {
        char c = peek(r, at);
        if (is_digit(c)) {
            number[i] = SP_MIN(number[i] * 10 + (uint32_t)(c - '0'), (uint32_t)REPEAT_MAX + 1);
            digits[i]++;
        } else if (c == ',' && i == 0) {
            i = 1;
        } else {
            break;
        }
    }
    if (peek(r, at) != '}' || !digits[0])
        return 0;
    *ret_least = number[0];
    *ret_most = i == 0 || !digits[1] ? number[0] : number[1];
    return at + 1;
}

/* `len` bytes of the pattern repeat the atom before; {n,m} makes `copies` of it. */
static bool put_repeat(struct reader *r, size_t len, uint32_t copies)
{
    if (r->repeated)
        return refuse(r, SP_E_UNSUPPORTED,
                      peek(r, 0) == '+' ? "possessive repetition is not part of RE2"
                                        : "a repetition of a repetition needs a group");
    if (!r->repeatable)
        return refuse(r, SP_E_INVALID, "nothing that could be repeated stands here");
    copies *= r->atom_copies;
    if (copies > REPEAT_MAX)
        return refuse(r, SP_E_INVALID, "repetitions within each other count to 1000 at most");
    r->copies[r->depth] = SP_MAX(r->copies[r->depth], copies);
    memcpy(r->out + r->len, r->in.ptr + r->at, len);
    r->len += len;
    r->at += len;
    if (peek(r, 0) == '?') {
        put_byte(r, '?');
        r->at++;
    }
    r->repeatable = false;
    r->repeated = true;
    return true;
}

static bool put_brace(struct reader *r)
{
    uint32_t least = 0, most = 0;
    size_t len = count_at(r, &least, &most);
    if (!len) {
        r->atom_copies = 1;
        r->repeatable = true;
        r->repeated = false;
        return put_literal(r);
    }
    if (most > REPEAT_MAX || least > most)
        return refuse(r, SP_E_INVALID, "a repetition counts up, and to 1000 at most");
    return put_repeat(r, len, SP_MAX(most, 1u));
}

/* ---- the whole ---- */

static bool put_quoted(struct reader *r)
{
    r->at++; /* Q */
    while (r->at < r->in.len) {
        if (peek(r, 0) == '\\' && peek(r, 1) == 'E') {
            r->at += 2;
            return true;
        }
        if (!put_literal(r))
            return false;
    }
    return true;
}

static bool put_backslash(struct reader *r)
{
    bool known;
    r->at++;
    r->repeatable = true;
    r->repeated = false;
    if (!put_escape(r, &known) || known)
        return !r->err;
    char c = peek(r, 0);
    switch (c) {
    case 'Q': return put_quoted(r);
    case 'p':
    case 'P': return put_property(r);
    case 'd': put(r, "[0-9]"); break;
    case 'D': put(r, "[^0-9]"); break;
    case 's': put(r, "[\\t\\n\\f\\r ]"); break;
    case 'S': put(r, "[^\\t\\n\\f\\r ]"); break;
    case 'w': put(r, "[0-9A-Za-z_]"); break;
    case 'W': put(r, "[^0-9A-Za-z_]"); break;
    case 'A':
    case 'z':
    case 'b':
    case 'B':
        r->repeatable = false;
        put_byte(r, '\\');
        put_byte(r, c);
        break;
    default: return refuse_escape(r);
    }
    r->at++;
    return true;
}

static bool put_item(struct reader *r)
{
    char c = peek(r, 0);
    if (!strchr("*+?{", c) || !c)
        r->atom_copies = 1;
    switch (c) {
    case '\\': return put_backslash(r);
    case '(': return open_group(r);
    case ')': return close_group(r);
    case '*':
    case '+':
    case '?': return put_repeat(r, 1, 1);
    case '{': return put_brace(r);
    case '|':
    case '^':
    case '$':
    case '.':
        put_byte(r, c);
        r->at++;
        r->repeatable = c == '.';
        r->repeated = false;
        return true;
    }
    r->repeatable = true;
    r->repeated = false;
    return c == '[' ? put_class(r) : put_literal(r);
}

sp_err sp_regex_translate(sp_str pattern, char *out, size_t *ret_len, const char **ret_why, size_t *ret_at)
{
    struct reader r = { .in = pattern, .out = out, .copies = { 1 } };
    while (r.at < pattern.len && put_item(&r)) {
    }
    if (r.err || (r.depth && !refuse(&r, SP_E_INVALID, "a group has no end: ) is missing"))) {
        *ret_why = r.why;
        *ret_at = r.at;
        return r.err;
    }
    *ret_len = r.len;
    return 0;
}
