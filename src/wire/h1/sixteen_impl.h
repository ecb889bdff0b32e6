/* sixteen: questions about bytes, sixteen at a step: which of them are control characters, may stand in a
 * target, end a header's name. SSE2, which every x86-64 has; elsewhere the byte table, one at a time. Both
 * answer alike (the unit test compares them with the table for every byte at every place).
 *
 * No function reads outside the run that it is given: a run of 8 to 15 bytes is read as its first and its
 * last 8, one of 4 to 7 as its first and last 4. */
#ifndef SP_WIRE_H1_SIXTEEN_IMPL_H
#define SP_WIRE_H1_SIXTEEN_IMPL_H

#include "wire/chars_impl.h"

#if defined(__SSE2__)
#include <emmintrin.h>

typedef __m128i sp_sixteen;

static inline sp_sixteen sp_sixteen_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void sp_sixteen_store(char *p, sp_sixteen v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* A run of 4 to 15 bytes: each of its bytes, some of them more than once, and no other. */
static inline sp_sixteen sp_sixteen_short(const char *p, size_t len)
{
    uint64_t first = 0, last = 0;
    if (len >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + len - 8, 8);
        return _mm_set_epi64x((long long)last, (long long)first);
    }
    memcpy(&first, p, 4);
    memcpy(&last, p + len - 4, 4);
    return _mm_set1_epi64x((long long)(first | last << 32));
}

/* Bit i: byte i is not SP_CHAR_VALUE. */
static inline uint32_t sp_sixteen_controls(sp_sixteen v)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

/* Bit i: byte i is not SP_CHAR_TARGET. Bytes above 0x7f are negative to cmplt. */
static inline uint32_t sp_sixteen_not_target(sp_sixteen v)
{
    __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x21));
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    __m128i hash = _mm_cmpeq_epi8(v, _mm_set1_epi8('#'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, del), hash));
}

static inline __m128i sp_sixteen_between(__m128i v, char from, char to)
{
    __m128i above = _mm_sub_epi8(v, _mm_set1_epi8(from));
    return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8((char)(to - from))), above);
}

/* Bit i: byte i is no letter, digit, dash or underscore: not the common part of SP_CHAR_TOKEN. */
static inline uint32_t sp_sixteen_not_word(sp_sixteen v)
{
    __m128i letter = sp_sixteen_between(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 'z');
    __m128i digit = sp_sixteen_between(v, '0', '9');
    __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
    __m128i under = _mm_cmpeq_epi8(v, _mm_set1_epi8('_'));
    __m128i word = _mm_or_si128(_mm_or_si128(letter, digit), _mm_or_si128(dash, under));
    return (uint32_t)_mm_movemask_epi8(word) ^ 0xffffu;
}

/* Bit i: byte i may not stand in a host's name: not SP_CHAR_UNRESERVED. */
static inline uint32_t sp_sixteen_not_host(sp_sixteen v)
{
    __m128i dot = _mm_cmpeq_epi8(v, _mm_set1_epi8('.'));
    __m128i tilde = _mm_cmpeq_epi8(v, _mm_set1_epi8('~'));
    return sp_sixteen_not_word(v) & ~(uint32_t)_mm_movemask_epi8(_mm_or_si128(dot, tilde));
}

/* Bit i: byte i is a dot. */
static inline uint32_t sp_sixteen_dots(sp_sixteen v)
{
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')));
}

#else

typedef struct {
    char bytes[16];
} sp_sixteen;

static inline sp_sixteen sp_sixteen_load(const char *p)
{
    sp_sixteen v;
    memcpy(v.bytes, p, 16);
    return v;
}

static inline void sp_sixteen_store(char *p, sp_sixteen v)
{
    memcpy(p, v.bytes, 16);
}

static inline sp_sixteen sp_sixteen_short(const char *p, size_t len)
{
    sp_sixteen v;
    size_t half = len >= 8 ? 8 : 4;
    for (size_t i = 0; i < 16; i++)
        v.bytes[i] = i % (2 * half) < half ? p[i % half] : p[len - half + i % half];
    return v;
}

static inline uint32_t sp_sixteen_outside(sp_sixteen v, uint8_t kinds)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < 16; i++)
        found |= (uint32_t)!sp_char_is(v.bytes[i], kinds) << i;
    return found;
}

static inline uint32_t sp_sixteen_controls(sp_sixteen v)
{
    return sp_sixteen_outside(v, SP_CHAR_VALUE);
}

static inline uint32_t sp_sixteen_not_target(sp_sixteen v)
{
    return sp_sixteen_outside(v, SP_CHAR_TARGET);
}

static inline uint32_t sp_sixteen_not_word(sp_sixteen v)
{
    return sp_sixteen_outside(v, SP_CHAR_TOKEN);
}

static inline uint32_t sp_sixteen_not_host(sp_sixteen v)
{
    return sp_sixteen_outside(v, SP_CHAR_UNRESERVED);
}

static inline uint32_t sp_sixteen_dots(sp_sixteen v)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < 16; i++)
        found |= (uint32_t)(v.bytes[i] == '.') << i;
    return found;
}

#endif

/* Are all bytes of a run SP_CHAR_TARGET? */
static inline bool sp_sixteen_is_target(sp_str s)
{
    if (s.len < 4)
        return sp_char_all(s, SP_CHAR_TARGET);
    if (s.len < 16)
        return sp_sixteen_not_target(sp_sixteen_short(s.ptr, s.len)) == 0;
    uint32_t bad = sp_sixteen_not_target(sp_sixteen_load(s.ptr + s.len - 16));
    for (size_t i = 0; i + 16 < s.len; i += 16)
        bad |= sp_sixteen_not_target(sp_sixteen_load(s.ptr + i));
    return bad == 0;
}

/* Put the bits that a question about sp_sixteen_short gave back to where the bytes stand. */
static inline uint32_t sp_sixteen_places(uint32_t bits, size_t len)
{
    if (len >= 8)
        return (bits & 0xff) | (bits >> 8 & 0xff) << (len - 8);
    return (bits & 0xf) | (bits >> 4 & 0xf) << (len - 4);
}

/* Copy a run of 4 to 15 bytes. */
static inline void sp_sixteen_copy_short(char *to, const char *from, size_t len)
{
    uint64_t first, last;
    uint32_t first4, last4;
    if (len >= 8) {
        memcpy(&first, from, 8);
        memcpy(&last, from + len - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + len - 8, &last, 8);
        return;
    }
    memcpy(&first4, from, 4);
    memcpy(&last4, from + len - 4, 4);
    memcpy(to, &first4, 4);
    memcpy(to + len - 4, &last4, 4);
}

/* Copy a value; false when a byte of it is none of a value. The check rides on the copy's loads. */
static inline bool sp_sixteen_copy_value(char *to, sp_str s)
{
    if (s.len < 4) {
        for (size_t i = 0; i < s.len; i++)
            to[i] = s.ptr[i];
        return sp_char_all(s, SP_CHAR_VALUE);
    }
    if (s.len < 16) {
        sp_sixteen_copy_short(to, s.ptr, s.len);
        return sp_sixteen_controls(sp_sixteen_short(s.ptr, s.len)) == 0;
    }
    sp_sixteen v = sp_sixteen_load(s.ptr + s.len - 16);
    uint32_t bad = sp_sixteen_controls(v);
    sp_sixteen_store(to + s.len - 16, v);
    for (size_t i = 0; i + 16 < s.len; i += 16) {
        v = sp_sixteen_load(s.ptr + i);
        bad |= sp_sixteen_controls(v);
        sp_sixteen_store(to + i, v);
    }
    return bad == 0;
}

/* Copy a header's name, which is not empty; false when it is no token. */
static inline bool sp_sixteen_copy_name(char *to, sp_str s)
{
    uint32_t bad;
    if (s.len < 4) {
        for (size_t i = 0; i < s.len; i++)
            to[i] = s.ptr[i];
        return sp_char_all(s, SP_CHAR_TOKEN);
    }
    if (s.len < 16) {
        sp_sixteen_copy_short(to, s.ptr, s.len);
        bad = sp_sixteen_not_word(sp_sixteen_short(s.ptr, s.len));
    } else {
        bad = sp_sixteen_not_word(sp_sixteen_load(s.ptr + s.len - 16));
        for (size_t i = 0; i + 16 < s.len; i += 16)
            bad |= sp_sixteen_not_word(sp_sixteen_load(s.ptr + i));
        memcpy(to, s.ptr, s.len);
    }
    return bad == 0 || sp_char_all(s, SP_CHAR_TOKEN);
}

#endif
