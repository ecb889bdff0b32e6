/* log: one line a fact.
 *
 *      cluster has no endpoint cluster=outbound|8080||reviews.default reason=NO_HEALTHY
 *      \_ fixed message _____/ \_ pairs ____________________________________________/
 *
 * The message never changes, so that one can search for it and count it; what varies follows as pairs. A
 * line is built on the stack and handed to the sink whole: no lock, no allocation, and no two threads'
 * words mixed.
 *
 * Base knows neither time nor files. The sink is `cmd`'s: it puts time and level before the line and
 * writes both by one call; a test's sink keeps the line and compares it.
 *
 * What peers say gets into logs. Bytes that could end a line or move a terminal's cursor are written as
 * \xNN, and so is what is not UTF-8. A line longer than the buffer is cut and says so. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const level_names[SP_LOG_LEVELS] = {
    [SP_LOG_ERROR] = "error",
    [SP_LOG_WARN] = "warn",
    [SP_LOG_INFO] = "info",
    [SP_LOG_DEBUG] = "debug",
};

static const struct {
    const char *name;
    enum sp_log_level level;
} spellings[] = {
    { "error", SP_LOG_ERROR },    { "warn", SP_LOG_WARN },   { "info", SP_LOG_INFO },
    { "debug", SP_LOG_DEBUG },    { "trace", SP_LOG_DEBUG }, { "warning", SP_LOG_WARN },
    { "critical", SP_LOG_ERROR }, { "off", SP_LOG_ERROR },
};

void sp_log_set_level(struct sp_log *log, enum sp_log_level level)
{
    __atomic_store_n(&log->level, (uint32_t)level, __ATOMIC_RELAXED);
}

sp_err sp_log_level_parse(sp_str name, enum sp_log_level *ret_level)
{
    for (size_t i = 0; i < SP_COUNTOF(spellings); i++)
        if (sp_str_eq(name, sp_str_c(spellings[i].name))) {
            *ret_level = spellings[i].level;
            return 0;
        }
    return SP_E_INVALID;
}

const char *sp_log_level_name(enum sp_log_level level)
{
    return (unsigned)level < SP_LOG_LEVELS ? level_names[level] : "unknown";
}

/* How many bytes at the front of `s` make one character that may stand as it is; 0 = write it as \xNN. C1
 * controls (U+0080 to U+009F) move cursors as much as those below 0x20 do. */
static size_t plain_at(sp_str s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    if (c < 0x80)
        return c >= 0x20 && c != 0x7F;
    if (c == 0xC2 && s.len > 1 && (unsigned char)s.ptr[1] < 0xA0)
        return 0;
    return sp_str_utf8_at(s);
}

/* Copy `s` to out[0 .. room), escaped. Returns what was written; *ret_cut says that not all went in. */
static size_t add_escaped(char *out, size_t room, sp_str s, bool *ret_cut)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = 0;

    while (s.len) {
        size_t step = plain_at(s);
        size_t need = step ? step : 4;
        if (room - len < need) {
            *ret_cut = true;
            break;
        }
        if (step) {
            memcpy(out + len, s.ptr, step);
        } else {
            unsigned char c = (unsigned char)s.ptr[0];
            const char text[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
            memcpy(out + len, text, 4);
        }
        len += need;
        s = sp_str_from(s, step ? step : 1);
    }
    return len;
}

void sp_log_line(struct sp_log *log, enum sp_log_level level, const char *message, const char *fmt, ...)
{
    char pairs[SP_LOG_LINE_BYTES], line[SP_LOG_LINE_BYTES];
    const size_t room = sizeof(line) - 4; /* "..." and the newline always fit */
    bool cut = false;
    va_list args;

    if (!sp_log_on(log, level))
        return;
    size_t len = add_escaped(line, room, sp_str_c(message), &cut);
    if (fmt && !cut) {
        va_start(args, fmt);
        int want = vsnprintf(pairs, sizeof(pairs), fmt, args);
        va_end(args);
        size_t got = want < 0 ? 0 : SP_MIN((size_t)want, sizeof(pairs) - 1);
        if (got && len < room)
            line[len++] = ' ';
        len += add_escaped(line + len, room - len, sp_str_of(pairs, got), &cut);
        cut |= want > 0 && (size_t)want > got;
    }
    if (cut) {
        memcpy(line + len, "...", 3);
        len += 3;
    }
    line[len++] = '\n';
    log->sink(log->sink_arg, level, sp_str_of(line, len));
}
