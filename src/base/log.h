/* log: one line a fact: a fixed message, then key=value. Rooms below proxy/ do not log.
 *
 * The sink and the clock are given by cmd; base knows neither files nor time. A line is built on the
 * stack and handed to the sink whole. Levels can be changed while it runs (any thread). */
#ifndef SP_BASE_LOG_H
#define SP_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sp_log_level { SP_LOG_ERROR, SP_LOG_WARN, SP_LOG_INFO, SP_LOG_DEBUG, SP_LOG_LEVELS };

/* The newline included. */
enum { SP_LOG_LINE_BYTES = 4096 };

struct sp_log {
    uint32_t level; /* relaxed atomic */
    /* `line` is message and pairs, and ends in a newline; time and level are the sink's to put before it.
     * Called on the thread that logs; borrowed for the call. */
    void (*sink)(void *sink_arg, enum sp_log_level level, sp_str line);
    void *sink_arg;
};

static inline bool sp_log_on(const struct sp_log *log, enum sp_log_level level)
{
    return log && level <= __atomic_load_n(&log->level, __ATOMIC_RELAXED);
}

void sp_log_set_level(struct sp_log *log, enum sp_log_level level);
/* "error", "warn", "info", "debug", and as Envoy spells them "warning", "trace" (debug), "critical" and
 * "off" (both leave errors on). */
sp_err sp_log_level_parse(sp_str name, enum sp_log_level *ret_level) SP_MUST_USE;
const char *sp_log_level_name(enum sp_log_level level);

/* `fmt` writes the pairs: sp_log_line(log, SP_LOG_WARN, "cluster has no endpoint", "cluster=%s", name).
 * Control bytes, newlines and what is not UTF-8 are written as \xNN, so that no peer can forge a line; what
 * goes beyond SP_LOG_LINE_BYTES is cut and ends in "...". `fmt` may be NULL; so may `log`. */
void sp_log_line(struct sp_log *log, enum sp_log_level level, const char *message, const char *fmt, ...)
    SP_PRINTF(4, 5);

#endif
