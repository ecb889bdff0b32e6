/* str: a borrowed run of bytes. Never ends in NUL by promise; what must outlive its bytes is copied into
 * an arena by name (sp_str_dup). Small value, passed by copy. */
#ifndef SP_BASE_STR_H
#define SP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct sp_arena;

typedef struct {
    const char *ptr;
    size_t len;
} sp_str;

#define SP_STR(lit) ((sp_str){ "" lit, sizeof(lit) - 1 })
#define SP_STR_NULL ((sp_str){ NULL, 0 })
/* For printf: "%.*s", SP_STR_ARG(s) */
#define SP_STR_ARG(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

static inline sp_str sp_str_of(const void *ptr, size_t len)
{
    return (sp_str){ (const char *)ptr, len };
}

static inline sp_str sp_str_c(const char *cstr)
{
    return (sp_str){ cstr, cstr ? strlen(cstr) : 0 };
}

static inline bool sp_str_eq(sp_str a, sp_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Without the first `at` bytes / not beyond the first `len`; past the end is the end. */
static inline sp_str sp_str_from(sp_str s, size_t at)
{
    if (at > s.len)
        at = s.len;
    return at ? (sp_str){ s.ptr + at, s.len - at } : s; /* NULL + 0 is undefined */
}

static inline sp_str sp_str_upto(sp_str s, size_t len)
{
    return len >= s.len ? s : (sp_str){ s.ptr, len };
}

/* ASCII letters fold, all other bytes compare as they are. */
bool sp_str_eq_nocase(sp_str a, sp_str b);
int sp_str_cmp(sp_str a, sp_str b); /* bytewise, then the shorter first */
bool sp_str_starts(sp_str s, sp_str prefix);
bool sp_str_starts_nocase(sp_str s, sp_str prefix);
bool sp_str_ends(sp_str s, sp_str suffix);
/* Position of the first `c` or of `needle`; s.len when absent. */
size_t sp_str_find(sp_str s, char c);
size_t sp_str_find_last(sp_str s, char c);
size_t sp_str_find_str(sp_str s, sp_str needle);
/* Without blanks and tabs at both ends. */
sp_str sp_str_trim(sp_str s);
/* Cut the part before the first `sep` off `*rest` and return it; the whole rest when there is none. Ends
 * with rest->ptr NULL after the last part, so `while (rest.ptr)` walks "a,b," as "a", "b", "". */
sp_str sp_str_cut(sp_str *rest, char sep);

/* Whole string must be a number: SP_E_INVALID if it is none, SP_E_RANGE if it does not fit. No sign, no
 * blanks; `hex` takes no prefix. */
sp_err sp_str_to_u64(sp_str s, uint64_t *ret_value) SP_MUST_USE;
sp_err sp_str_to_i64(sp_str s, int64_t *ret_value) SP_MUST_USE; /* one leading '-' allowed */
sp_err sp_str_hex_to_u64(sp_str s, uint64_t *ret_value) SP_MUST_USE;

/* Copies into the arena; `_z` adds a NUL behind the copy. ptr is NULL when the arena is out. */
sp_str sp_str_dup(struct sp_arena *arena, sp_str s);
char *sp_str_dup_z(struct sp_arena *arena, sp_str s);
sp_str sp_str_dup_lower(struct sp_arena *arena, sp_str s);

/* XXH3, seed 0 unless said. Not for untrusted keys in tables that grow without limit. */
uint64_t sp_str_hash(sp_str s);
uint64_t sp_str_hash_seed(sp_str s, uint64_t seed);
/* xxHash64: where others must place the same key at the same point (ring hash of gRPC and Envoy). */
uint64_t sp_str_xxh64(sp_str s, uint64_t seed);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sp_str_is_utf8(sp_str s);
/* Bytes in the well-formed sequence that `s` starts with: 1 to 4; 0 when it is malformed or s is empty. */
size_t sp_str_utf8_at(sp_str s);

#endif
