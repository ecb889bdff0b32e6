/* runtime: what an operator may change while the sidecar runs, as a table: name, kind, range, whose it is,
 * what it does. /runtime shows it, /runtime_modify changes it, docs/runtime.md is printed from it. Main
 * thread. */
#ifndef SP_OBSERVE_RUNTIME_H
#define SP_OBSERVE_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sp_buf;
struct sp_settings;

enum sp_runtime_id {
    SP_RUNTIME_LOG_LEVEL, /* enum sp_log_level */
    SP_RUNTIME_ACCESS_LOG_ON,
    SP_RUNTIME_ACCESS_LOG_FLUSH, /* milliseconds */
    SP_RUNTIME_DRAIN_TIME,       /* milliseconds */
    SP_RUNTIME_REASON_HEADER,
    SP_RUNTIME_KEYS
};

enum sp_runtime_kind { SP_RUNTIME_BOOL, SP_RUNTIME_NUMBER, SP_RUNTIME_CHOICE };

struct sp_runtime_key {
    const char *name;
    enum sp_runtime_kind kind;
    const char *const *choices; /* CHOICE: by value, NULL behind the last */
    uint64_t fallback, min, max;
    const char *owner; /* the room that heeds it */
    bool by_cmd;       /* goes through sp_admin_ops.set_runtime */
    const char *text;
};
const struct sp_runtime_key *sp_runtime_key(enum sp_runtime_id id);
/* SP_RUNTIME_KEYS when there is none of that name. */
enum sp_runtime_id sp_runtime_find(sp_str name);

struct sp_runtime {
    uint64_t start[SP_RUNTIME_KEYS];  /* what the command line and bootstrap said */
    uint64_t values[SP_RUNTIME_KEYS]; /* what holds */
    bool changed[SP_RUNTIME_KEYS];    /* by /runtime_modify */
};

/* `settings` may be NULL. */
void sp_runtime_init(struct sp_runtime *runtime, const struct sp_settings *settings, uint32_t log_level);
/* SP_E_INVALID: not of its kind; SP_E_RANGE. */
sp_err sp_runtime_parse(enum sp_runtime_id id, sp_str text, uint64_t *ret_value) SP_MUST_USE;
void sp_runtime_print(enum sp_runtime_id id, uint64_t value, struct sp_buf *buf);

#endif
