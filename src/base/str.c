/* str: what one does with a run of bytes that someone else owns.
 *
 * Nearly all text in a proxy is a slice of what the peer sent: a name, a value, a path. Copying it only to
 * put a NUL behind it would be the largest cost of parsing, and the NUL would lie anyhow, since peers send
 * NULs. So a string here is a pointer and a length, passed by value in two registers, and nothing in this
 * file looks at the byte behind the end. What must outlive its bytes is copied into an arena, by name.
 *
 * Letters fold in ASCII only. Header names, host names and schemes are ASCII by their grammars, and a
 * locale has no business in a protocol. Numbers are read whole or not at all: "12x", "+1", " 1", "" are
 * not numbers, because two programs that disagree about such text are how requests get smuggled.
 *
 * Hashes are XXH3 (libxxhash's header, built in here and nowhere else). Seed 0 is for what lives in one
 * process; tables that a peer can fill are seeded (base/map.h). Where a hash must mean the same to other
 * programs (ring hash), the caller says so at its own place.
 *
 * Comparing without case folds eight bytes at a step, and the last step overlaps the one before instead of
 * going byte by byte: header names of 14 bytes took 8.5 ns that way and take 3 to 6 now.
 *
 * Left aside: the same by SSE2. Names are shorter than 32 bytes nearly always. */
#include "base/str.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/arena.h"

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Every byte that is an ASCII capital gets 0x20 set; others stay. Bytes >= 0x80 are left alone: their
 * seven low bits are tested apart and the high bit masks the result. */
static uint64_t lower8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t low7 = v & ~high;
    uint64_t ge_a = low7 + ones * (0x80 - 'A');
    uint64_t gt_z = low7 + ones * (0x80 - 'Z' - 1);
    uint64_t capital = ge_a & ~gt_z & ~v & high;
    return v | (capital >> 2);
}

static unsigned char lower1(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

/* 4 to 7 bytes as one number: two loads that overlap. */
static uint64_t load4to7(const char *p, size_t len)
{
    uint32_t head, tail;
    memcpy(&head, p, sizeof(head));
    memcpy(&tail, p + len - 4, sizeof(tail));
    return (uint64_t)tail << 32 | head;
}

/* Most names that are compared are spelt alike: no folding then. */
static bool same8(uint64_t a, uint64_t b)
{
    return a == b || lower8(a) == lower8(b);
}

static bool eq_nocase(const char *a, const char *b, size_t len)
{
    if (len >= 8) {
        for (size_t at = 0; at < len - 8; at += 8)
            if (!same8(load8(a + at), load8(b + at)))
                return false;
        return same8(load8(a + len - 8), load8(b + len - 8));
    }
    if (len >= 4)
        return same8(load4to7(a, len), load4to7(b, len));
    for (size_t i = 0; i < len; i++)
        if (lower1(a[i]) != lower1(b[i]))
            return false;
    return true;
}

bool sp_str_eq_nocase(sp_str a, sp_str b)
{
    return a.len == b.len && eq_nocase(a.ptr, b.ptr, a.len);
}

int sp_str_cmp(sp_str a, sp_str b)
{
    size_t len = SP_MIN(a.len, b.len);
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    if (order)
        return order < 0 ? -1 : 1;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

bool sp_str_starts(sp_str s, sp_str prefix)
{
    return sp_str_eq(sp_str_upto(s, prefix.len), prefix);
}

bool sp_str_starts_nocase(sp_str s, sp_str prefix)
{
    return sp_str_eq_nocase(sp_str_upto(s, prefix.len), prefix);
}

bool sp_str_ends(sp_str s, sp_str suffix)
{
    return s.len >= suffix.len && sp_str_eq(sp_str_from(s, s.len - suffix.len), suffix);
}

size_t sp_str_find(sp_str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

size_t sp_str_find_last(sp_str s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

size_t sp_str_find_str(sp_str s, sp_str needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

sp_str sp_str_trim(sp_str s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

sp_str sp_str_cut(sp_str *rest, char sep)
{
    size_t at = sp_str_find(*rest, sep);
    sp_str part = { rest->ptr, at };
    *rest = at == rest->len ? SP_STR_NULL : sp_str_from(*rest, at + 1);
    return part;
}

sp_err sp_str_to_u64(sp_str s, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool over = false;

    if (s.len == 0)
        return SP_E_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return SP_E_INVALID;
        if (i < 19) { /* 19 digits fit whatever they are */
            value = value * 10 + digit;
            continue;
        }
        over |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        over |= __builtin_add_overflow(value, (uint64_t)digit, &value);
    }
    if (over)
        return SP_E_RANGE;
    *ret_value = value;
    return 0;
}

sp_err sp_str_to_i64(sp_str s, int64_t *ret_value)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t value;
    sp_err err = sp_str_to_u64(negative ? sp_str_from(s, 1) : s, &value);

    if (err)
        return err;
    if (value > (uint64_t)INT64_MAX + negative)
        return SP_E_RANGE;
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    unsigned char low = lower1(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10u : 16u;
}

sp_err sp_str_hex_to_u64(sp_str s, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool over = false;

    if (s.len == 0)
        return SP_E_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = hex_digit(s.ptr[i]);
        if (digit > 15)
            return SP_E_INVALID;
        over |= value >> 60 != 0;
        value = value << 4 | digit;
    }
    if (over)
        return SP_E_RANGE;
    *ret_value = value;
    return 0;
}

sp_str sp_str_dup(struct sp_arena *arena, sp_str s)
{
    char *copy = sp_arena_alloc_align(arena, s.len, 1);
    if (!copy)
        return SP_STR_NULL;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return (sp_str){ copy, s.len };
}

char *sp_str_dup_z(struct sp_arena *arena, sp_str s)
{
    if (s.len == SIZE_MAX)
        return NULL;
    char *copy = sp_arena_alloc_align(arena, s.len + 1, 1);
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

sp_str sp_str_dup_lower(struct sp_arena *arena, sp_str s)
{
    char *copy = sp_arena_alloc_align(arena, s.len, 1);
    if (!copy)
        return SP_STR_NULL;
    for (size_t i = 0; i < s.len; i++)
        copy[i] = (char)lower1(s.ptr[i]);
    return (sp_str){ copy, s.len };
}

uint64_t sp_str_hash(sp_str s)
{
    return XXH3_64bits(s.ptr, s.len);
}

uint64_t sp_str_xxh64(sp_str s, uint64_t seed)
{
    return XXH64(s.ptr ? s.ptr : "", s.len, seed);
}

uint64_t sp_str_hash_seed(sp_str s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.ptr, s.len, seed);
}

/* The table of RFC 3629, section 4: the first byte fixes the length and the range of the second. */
size_t sp_str_utf8_at(sp_str s)
{
    if (s.len == 0)
        return 0;
    unsigned char first = (unsigned char)s.ptr[0];
    if (first < 0x80)
        return 1;
    size_t len = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (len == 0 || s.len < len)
        return 0;

    unsigned char second = (unsigned char)s.ptr[1];
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (second < low || second > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (((unsigned char)s.ptr[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

bool sp_str_is_utf8(sp_str s)
{
    while (s.len) {
        if (s.len >= 8 && !(load8(s.ptr) & 0x8080808080808080u)) {
            s = sp_str_from(s, 8);
            continue;
        }
        size_t len = sp_str_utf8_at(s);
        if (len == 0)
            return false;
        s = sp_str_from(s, len);
    }
    return true;
}
