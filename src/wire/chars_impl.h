/* chars: which bytes may stand where in HTTP text. One table, a bit for each grammar, so that a scan costs
 * one load for each byte; decoder, encoder and path rules cannot differ because they ask the same table. */
#ifndef SP_WIRE_CHARS_IMPL_H
#define SP_WIRE_CHARS_IMPL_H

#include <stdbool.h>

#include "base/str.h"

enum sp_char {
    SP_CHAR_TOKEN = 1 << 0,      /* RFC 9110 5.6.2 tchar: methods, header names */
    SP_CHAR_TARGET = 1 << 1,     /* visible ASCII without '#': request targets */
    SP_CHAR_UNRESERVED = 1 << 2, /* RFC 3986 2.3: letters, digits, - . _ ~; also what a host name may hold */
    SP_CHAR_VALUE = 1 << 3,      /* tab, blank, visible, obs-text: header values, reason phrases */
    SP_CHAR_HEX = 1 << 4,
    SP_CHAR_DIGIT = 1 << 5,
};

extern const uint8_t sp_wire_chars[256];

static inline bool sp_char_is(char c, uint8_t kinds)
{
    return (sp_wire_chars[(unsigned char)c] & kinds) != 0;
}

/* Length of the run of such bytes that `s` begins with. */
static inline size_t sp_char_run(sp_str s, uint8_t kinds)
{
    size_t n = 0;
    while (n < s.len && sp_char_is(s.ptr[n], kinds))
        n++;
    return n;
}

static inline bool sp_char_all(sp_str s, uint8_t kinds)
{
    return sp_char_run(s, kinds) == s.len;
}

/* 0..15; the caller knows that it is SP_CHAR_HEX. */
static inline unsigned sp_char_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20u) - 'a' + 10;
}

#endif
