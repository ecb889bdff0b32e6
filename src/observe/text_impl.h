/* text_impl: small writings that the pages share: escapes and times. */
#ifndef SP_OBSERVE_TEXT_IMPL_H
#define SP_OBSERVE_TEXT_IMPL_H

#include "base/buf.h"

/* A Prometheus label's value without its quotes: \\ \" \n, and U+FFFD for what is not UTF-8. */
void sp_text_label(struct sp_buf *buf, sp_str value);
/* Text inside HTML, also inside a quoted attribute. */
void sp_text_html(struct sp_buf *buf, sp_str value);

struct sp_text_date {
    int year;
    unsigned month, day, hour, minute, second, weekday; /* weekday 0 = Sunday */
    unsigned year_day;                                  /* from 1 */
    uint32_t nanos;
};
/* UTC of nanoseconds since 1970. */
struct sp_text_date sp_text_date(uint64_t wall_ns);
/* 2026-01-31T12:34:56.789Z */
void sp_text_time(struct sp_buf *buf, uint64_t wall_ns);

#endif
