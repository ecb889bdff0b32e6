/* text: escapes for the places where foreign strings are shown, and the calendar.
 *
 * Everything that a page shows may have come from a peer: a service name, a path, a user agent. Each place
 * has its own dangerous bytes: a quote in a label ends the label, a < in a page begins an element, a
 * newline in a log begins a line. So each place has its escape here, and no page writes a foreign string
 * otherwise.
 *
 * The calendar is counted, not asked: the system's functions keep state, know time zones and may read
 * files. Days since 1970 become a date by counting years from March, so that the leap day is the last of
 * its year. */
#include "observe/text_impl.h"

void sp_text_label(struct sp_buf *buf, sp_str value)
{
    for (size_t i = 0; i < value.len;) {
        size_t len = sp_str_utf8_at(sp_str_from(value, i));
        char c = value.ptr[i];
        if (len == 0)
            sp_buf_add_c(buf, "\xEF\xBF\xBD");
        else if (c == '\\' || c == '"')
            sp_buf_add(buf, (const char[]){ '\\', c }, 2);
        else if (c == '\n')
            sp_buf_add_c(buf, "\\n");
        else if (c == '\r' || c == '\0') /* legal there, and yet some readers take them for an end */
            sp_buf_add_c(buf, "\xEF\xBF\xBD");
        else
            sp_buf_add(buf, value.ptr + i, len);
        i += len ? len : 1;
    }
}

void sp_text_html(struct sp_buf *buf, sp_str value)
{
    for (size_t i = 0; i < value.len; i++)
        switch (value.ptr[i]) {
        case '<': sp_buf_add_c(buf, "&lt;"); break;
        case '>': sp_buf_add_c(buf, "&gt;"); break;
        case '&': sp_buf_add_c(buf, "&amp;"); break;
        case '"': sp_buf_add_c(buf, "&quot;"); break;
        case '\'': sp_buf_add_c(buf, "&#39;"); break;
        default: sp_buf_add_char(buf, value.ptr[i]);
        }
}

struct sp_text_date sp_text_date(uint64_t wall_ns)
{
    uint64_t seconds = wall_ns / 1000000000u, days = seconds / 86400;
    unsigned rest = (unsigned)(seconds % 86400);
    struct sp_text_date d = { .hour = rest / 3600,
                              .minute = rest / 60 % 60,
                              .second = rest % 60,
                              .weekday = (unsigned)((days + 4) % 7),
                              .nanos = (uint32_t)(wall_ns % 1000000000u) };
    /* 719468 days lie between 0000-03-01 and 1970-01-01; an era is 400 years. */
    uint64_t z = days + 719468, era = z / 146097;
    unsigned in_era = (unsigned)(z % 146097);
    unsigned year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned from_march = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * from_march + 2) / 153; /* 0 = March */
    d.day = from_march - (153 * month + 2) / 5 + 1;
    d.month = month < 10 ? month + 3 : month - 9;
    d.year = (int)(year_of_era + era * 400) + (d.month <= 2);
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    d.year_day = from_march >= 306 ? from_march - 306 + 1 : from_march + 59 + leap + 1;
    return d;
}

void sp_text_time(struct sp_buf *buf, uint64_t wall_ns)
{
    struct sp_text_date d = sp_text_date(wall_ns);
    sp_buf_printf(buf, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", d.year, d.month, d.day, d.hour, d.minute,
                  d.second, d.nanos / 1000000);
}
