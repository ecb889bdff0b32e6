/* buf: a growing run of bytes that is being written: text for people, exposition, heads, JSON.
 *
 * Once an append fails the buf is `failed` and swallows the rest: check once at the end. */
#ifndef SP_BASE_BUF_H
#define SP_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sp_buf {
    char *ptr;
    size_t len, cap;
    size_t limit; /* most that len may reach; 0 = none */
    bool fixed;   /* storage is the caller's and never grows */
    bool failed;
};

void sp_buf_init(struct sp_buf *b, size_t limit);
/* On storage of the caller; too small a one makes it `failed`. The last byte is kept for the NUL that
 * printf puts behind the text, so `bytes` is at least 1 and the text one shorter. */
void sp_buf_init_fixed(struct sp_buf *b, void *storage, size_t bytes);
void sp_buf_deinit(struct sp_buf *b);
void sp_buf_reset(struct sp_buf *b); /* empty and not failed; memory kept */
/* At least `bytes` free behind len, for the caller to fill and add to len; NULL (and failed) when out. */
char *sp_buf_room(struct sp_buf *b, size_t bytes);

void sp_buf_add(struct sp_buf *b, const void *bytes, size_t len);
void sp_buf_add_str(struct sp_buf *b, sp_str s);
void sp_buf_add_c(struct sp_buf *b, const char *cstr);
void sp_buf_add_char(struct sp_buf *b, char c);
void sp_buf_add_u64(struct sp_buf *b, uint64_t v);
void sp_buf_add_i64(struct sp_buf *b, int64_t v);
/* Lower case, at least `digits` (1 to 16) of them. */
void sp_buf_add_hex(struct sp_buf *b, uint64_t v, int digits);
void sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void sp_buf_add_json(struct sp_buf *b, sp_str s);
/* Borrowed until the next append. What a failed buf holds is whole appends, cut at the one that failed. */
sp_str sp_buf_str(const struct sp_buf *b);

#endif
