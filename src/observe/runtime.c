/* runtime: the table of handles.
 *
 * A handle is there when turning it while the process runs does not ask for a new configuration: a log
 * level, a time. Everything that decides where calls go is configuration and comes by its own way, so that
 * what the control plane believes and what holds are never two things.
 *
 * A value is a number, whatever its kind: a choice is the place of its word. The old value is not
 * forgotten: /runtime shows both, as Envoy shows layers.
 *
 * Who heeds a key is its owner's matter; keys of rooms that observe must not know go through one callback
 * of cmd. */
#include "observe/runtime.h"

#include "base/buf.h"
#include "base/log.h"
#include "model/settings.h"

static const char *const levels[] = { "error", "warn", "info", "debug", NULL };

static const struct sp_runtime_key keys[SP_RUNTIME_KEYS] = {
    [SP_RUNTIME_LOG_LEVEL] = { "log.level", SP_RUNTIME_CHOICE, levels, SP_LOG_INFO, 0, SP_LOG_LEVELS - 1,
                               "base", false,
                               "how much the process says on standard error; /logging changes the same" },
    [SP_RUNTIME_ACCESS_LOG_ON] = { "access_log.on", SP_RUNTIME_BOOL, NULL, 1, 0, 1, "observe", false,
                                   "whether access log lines are written; others are not counted as lost" },
    [SP_RUNTIME_ACCESS_LOG_FLUSH] = { "access_log.flush_ms", SP_RUNTIME_NUMBER, NULL, 50, 1, 1000, "observe",
                                      false, "how often an idle sidecar looks for records" },
    [SP_RUNTIME_DRAIN_TIME] = { "drain.time_ms", SP_RUNTIME_NUMBER, NULL, 30000, 0, 3600000, "proxy", true,
                                "how long SIGTERM and /quitquitquit wait for calls under way" },
    [SP_RUNTIME_REASON_HEADER] = { "reason_header", SP_RUNTIME_BOOL, NULL, 1, 0, 1, "proxy", true,
                                   "whether answers of our own carry x-sampan-reason" },
};

const struct sp_runtime_key *sp_runtime_key(enum sp_runtime_id id)
{
    SP_ASSERT(id < SP_RUNTIME_KEYS);
    return &keys[id];
}

enum sp_runtime_id sp_runtime_find(sp_str name)
{
    enum sp_runtime_id id = 0;
    while (id < SP_RUNTIME_KEYS && !sp_str_eq(sp_str_c(keys[id].name), name))
        id++;
    return id;
}

void sp_runtime_init(struct sp_runtime *runtime, const struct sp_settings *settings, uint32_t log_level)
{
    *runtime = (struct sp_runtime){ 0 };
    for (int i = 0; i < SP_RUNTIME_KEYS; i++)
        runtime->start[i] = keys[i].fallback;
    runtime->start[SP_RUNTIME_LOG_LEVEL] = log_level;
    if (settings) {
        runtime->start[SP_RUNTIME_DRAIN_TIME] = settings->drain_ns / 1000000;
        runtime->start[SP_RUNTIME_REASON_HEADER] = settings->reason_header;
    }
    for (int i = 0; i < SP_RUNTIME_KEYS; i++)
        runtime->values[i] = runtime->start[i];
}

sp_err sp_runtime_parse(enum sp_runtime_id id, sp_str text, uint64_t *ret_value)
{
    const struct sp_runtime_key *key = sp_runtime_key(id);
    uint64_t value = 0;
    switch (key->kind) {
    case SP_RUNTIME_BOOL:
        if (!sp_str_eq(text, SP_STR("true")) && !sp_str_eq(text, SP_STR("false")))
            return SP_E_INVALID;
        value = sp_str_eq(text, SP_STR("true"));
        break;
    case SP_RUNTIME_NUMBER: {
        sp_err err = sp_str_to_u64(text, &value);
        if (err)
            return err;
        break;
    }
    case SP_RUNTIME_CHOICE:
        while (key->choices[value] && !sp_str_eq(sp_str_c(key->choices[value]), text))
            value++;
        if (!key->choices[value])
            return SP_E_INVALID;
        break;
    }
    if (value < key->min || value > key->max)
        return SP_E_RANGE;
    *ret_value = value;
    return 0;
}

void sp_runtime_print(enum sp_runtime_id id, uint64_t value, struct sp_buf *buf)
{
    const struct sp_runtime_key *key = sp_runtime_key(id);
    switch (key->kind) {
    case SP_RUNTIME_BOOL: sp_buf_add_c(buf, value ? "true" : "false"); return;
    case SP_RUNTIME_NUMBER: sp_buf_add_u64(buf, value); return;
    case SP_RUNTIME_CHOICE: sp_buf_add_c(buf, key->choices[value]); return;
    }
}
