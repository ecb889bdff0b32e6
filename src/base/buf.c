/* buf: text that is being written.
 *
 * For what is made for people and scrapers: pages of metrics, JSON dumps, access-log lines, heads of our
 * own answers. Checking every append would bury the text in error handling, so a buf remembers: once an
 * append did not fit, or memory was out, it is `failed`, the rest is swallowed, and whoever made the page
 * asks once at the end. An append goes in whole or not at all.
 *
 * It grows by doubling up to `limit`, or lives on storage of the caller and never grows. There is always
 * one byte behind what cap says, because vsnprintf insists on a NUL.
 *
 * JSON strings are written here and nowhere else. Bytes that are not UTF-8 become U+FFFD, one for each bad
 * byte: a peer's header must not be able to break a log that someone parses. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

enum { FIRST_CAP = 256 };

void sp_buf_init(struct sp_buf *b, size_t limit)
{
    *b = (struct sp_buf){ .limit = limit };
}

void sp_buf_init_fixed(struct sp_buf *b, void *storage, size_t bytes)
{
    SP_ASSERT(storage && bytes);
    *b = (struct sp_buf){ .ptr = storage, .cap = bytes - 1, .fixed = true };
}

void sp_buf_deinit(struct sp_buf *b)
{
    if (!b->fixed)
        sp_mem_free(b->ptr);
    *b = (struct sp_buf){ 0 };
}

void sp_buf_reset(struct sp_buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Make cap at least `need`. */
static bool grow(struct sp_buf *b, size_t need)
{
    if (b->fixed || need == SIZE_MAX || (b->limit && need > b->limit))
        return false;
    size_t cap = b->cap > SIZE_MAX / 4 ? need : SP_MAX(b->cap * 2, (size_t)FIRST_CAP - 1);
    cap = SP_MAX(cap, need);
    if (b->limit)
        cap = SP_MIN(cap, b->limit);
    char *ptr = sp_mem_realloc(b->ptr, cap + 1);
    if (!ptr)
        return false;
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

char *sp_buf_room(struct sp_buf *b, size_t bytes)
{
    size_t need;

    if (SP_UNLIKELY(b->failed))
        return NULL;
    if (SP_UNLIKELY(!b->ptr || b->cap - b->len < bytes) &&
        (__builtin_add_overflow(b->len, bytes, &need) || !grow(b, need))) {
        b->failed = true;
        return NULL;
    }
    return b->ptr + b->len;
}

void sp_buf_add(struct sp_buf *b, const void *bytes, size_t len)
{
    char *room = sp_buf_room(b, len);
    if (!room || len == 0)
        return;
    memcpy(room, bytes, len);
    b->len += len;
}

void sp_buf_add_str(struct sp_buf *b, sp_str s)
{
    sp_buf_add(b, s.ptr, s.len);
}

void sp_buf_add_c(struct sp_buf *b, const char *cstr)
{
    sp_buf_add(b, cstr, strlen(cstr));
}

void sp_buf_add_char(struct sp_buf *b, char c)
{
    sp_buf_add(b, &c, 1);
}

static void add_number(struct sp_buf *b, uint64_t v, bool negative)
{
    char text[21];
    size_t at = sizeof(text);

    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    if (negative)
        text[--at] = '-';
    sp_buf_add(b, text + at, sizeof(text) - at);
}

void sp_buf_add_u64(struct sp_buf *b, uint64_t v)
{
    add_number(b, v, false);
}

void sp_buf_add_i64(struct sp_buf *b, int64_t v)
{
    add_number(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

void sp_buf_add_hex(struct sp_buf *b, uint64_t v, int digits)
{
    char text[16];
    size_t at = sizeof(text);

    SP_ASSERT(digits >= 1 && digits <= 16);
    do
        text[--at] = "0123456789abcdef"[v & 15];
    while ((v >>= 4) || sizeof(text) - at < (size_t)digits);
    sp_buf_add(b, text + at, sizeof(text) - at);
}

void sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
    va_list args;

    if (!sp_buf_room(b, 0))
        return;
    va_start(args, fmt);
    int len = vsnprintf(b->ptr + b->len, b->cap - b->len + 1, fmt, args);
    va_end(args);
    if (len < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)len > b->cap - b->len) {
        if (!sp_buf_room(b, (size_t)len))
            return;
        va_start(args, fmt);
        (void)vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, args); /* its length is known */
        va_end(args);
    }
    b->len += (size_t)len;
}

static void add_json_escape(struct sp_buf *b, unsigned char c)
{
    static const char short_form[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };

    if (c >= 32 || short_form[c]) { /* of those from 32 on, the quote and the backslash come here */
        char pair[2] = { '\\', c >= 32 ? (char)c : short_form[c] };
        sp_buf_add(b, pair, 2);
    } else {
        sp_buf_add_c(b, "\\u00");
        sp_buf_add_hex(b, c, 2);
    }
}

void sp_buf_add_json(struct sp_buf *b, sp_str s)
{
    size_t start = b->len, plain = 0, at = 0; /* s[plain .. at) goes in as it is */

    sp_buf_add_char(b, '"');
    while (at < s.len) {
        unsigned char c = (unsigned char)s.ptr[at];
        size_t step = c < 0x80 ? 1 : sp_str_utf8_at(sp_str_from(s, at));
        if (step && c >= 0x20 && c != '"' && c != '\\') {
            at += step;
            continue;
        }
        sp_buf_add(b, s.ptr + plain, at - plain);
        if (step)
            add_json_escape(b, c);
        else
            sp_buf_add_c(b, "\xEF\xBF\xBD");
        plain = ++at;
    }
    if (s.len > plain)
        sp_buf_add(b, s.ptr + plain, s.len - plain);
    sp_buf_add_char(b, '"');
    if (b->failed)
        b->len = start; /* whole or not at all */
}

sp_str sp_buf_str(const struct sp_buf *b)
{
    return (sp_str){ b->ptr ? b->ptr : "", b->len };
}
