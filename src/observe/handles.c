/* handles: the pages that change something: POST, and on the Unix socket alone.
 *
 * The guard in admin.c has refused everybody else before a handler here runs; so what stands here need not
 * ask who calls. Nothing is changed here that is not admin's own: levels and times go through the table in
 * runtime.c, draining and the end through callbacks of cmd.
 *
 * /reset_counters changes no counter, since counters belong to workers. The figures of this instant are
 * kept, and from then on taken off what pages show; scrapers see counters begin anew, as after a
 * restart. */
#include "observe/admin_impl.h"

#include "observe/accesslog.h"

static void ok(struct sp_http_call *call)
{
    sp_http_answer(call, 200, NULL, SP_STR("OK\n"));
}

static void no_such(struct sp_http_call *call)
{
    sp_http_answer(call, 501, NULL, SP_STR("this program has no such handle\n"));
}

/* ---- runtime ---- */

sp_err sp_admin_heed(struct sp_admin *admin, enum sp_runtime_id id, uint64_t value)
{
    const struct sp_admin_config *config = &admin->config;
    if (sp_runtime_key(id)->by_cmd) {
        if (!config->ops->set_runtime)
            return SP_E_UNSUPPORTED;
        sp_err err = config->ops->set_runtime(config->arg, id, value);
        if (err)
            return err;
    }
    admin->runtime.values[id] = value;
    admin->runtime.changed[id] = true;
    if (id == SP_RUNTIME_LOG_LEVEL && config->log)
        sp_log_set_level(config->log, (enum sp_log_level)value);
    if (config->accesslog)
        sp_accesslog_set(config->accesslog, admin->runtime.values[SP_RUNTIME_ACCESS_LOG_ON],
                         (uint32_t)admin->runtime.values[SP_RUNTIME_ACCESS_LOG_FLUSH]);
    return 0;
}

/* What a request wants changed, by key. */
struct wish {
    bool wanted[SP_RUNTIME_KEYS];
    uint64_t values[SP_RUNTIME_KEYS];
};

/* One key with its value in words, which changes nothing yet. Says what is wrong with it, or NULL. */
static const char *wish_for(struct sp_admin *admin, struct wish *wish, enum sp_runtime_id id, sp_str text)
{
    if (wish->wanted[id])
        return "a key is said twice\n";
    if (sp_runtime_key(id)->by_cmd && !admin->config.ops->set_runtime)
        return "this program does not let the key be changed\n";
    sp_err err = sp_runtime_parse(id, text, &wish->values[id]);
    wish->wanted[id] = !err;
    return !err                ? NULL
           : err == SP_E_RANGE ? "the value is out of its range\n"
                               : "the value is not of the key's kind\n";
}

static const char *read_wish(struct sp_admin *admin, struct sp_http_call *call, struct wish *wish)
{
    sp_str rest = sp_http_request(call)->query;
    if (!rest.len)
        return "usage: /runtime_modify?key=value&...\n";
    while (rest.ptr && rest.len) {
        sp_str pair = sp_str_cut(&rest, '&');
        enum sp_runtime_id id = sp_runtime_find(sp_str_cut(&pair, '='));
        if (id == SP_RUNTIME_KEYS)
            return "there is no such key: see /runtime\n";
        const char *fault = wish_for(admin, wish, id, sp_http_param(call, sp_runtime_key(id)->name));
        if (fault)
            return fault;
    }
    return NULL;
}

static sp_err change(struct sp_admin *admin, enum sp_runtime_id id, uint64_t value)
{
    sp_err err = sp_admin_heed(admin, id, value);
    if (err)
        return err;
    char text[32];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, text, sizeof(text));
    sp_runtime_print(id, value, &buf);
    sp_log_line(admin->config.log, SP_LOG_INFO, "changed by admin", "key=%s value=%.*s",
                sp_runtime_key(id)->name, SP_STR_ARG(sp_buf_str(&buf)));
    return 0;
}

/* Each parameter is a key. All are looked at before the first is changed: a request that is refused has
 * changed nothing, and one whose change did not work takes back what it had changed. */
void sp_admin_runtime_modify(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    struct wish wish = { 0 };
    const char *fault = read_wish(admin, call, &wish);
    if (fault) {
        sp_http_answer(call, 400, NULL, sp_str_c(fault));
        return;
    }
    const struct sp_runtime before = admin->runtime;
    for (int id = 0; id < SP_RUNTIME_KEYS; id++) {
        if (!wish.wanted[id] || !change(admin, (enum sp_runtime_id)id, wish.values[id]))
            continue;
        while (id-- > 0)
            if (wish.wanted[id]) {
                SP_IGNORE(change(admin, (enum sp_runtime_id)id, before.values[id])); /* it held until now */
                admin->runtime.changed[id] = before.changed[id];
            }
        sp_http_answer(call, 500, NULL, SP_STR("the change did not work\n"));
        return;
    }
    ok(call);
}

void sp_admin_runtime(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_add_c(&buf, "{\"layers\":[\"start\",\"admin\"],\"entries\":{");
    for (int i = 0; i < SP_RUNTIME_KEYS; i++) {
        sp_buf_printf(&buf, "%s\"%s\":{\"final_value\":\"", i ? "," : "", sp_runtime_key(i)->name);
        sp_runtime_print(i, admin->runtime.values[i], &buf);
        sp_buf_add_c(&buf, "\",\"layer_values\":[\"");
        sp_runtime_print(i, admin->runtime.start[i], &buf);
        sp_buf_add_c(&buf, "\",\"");
        if (admin->runtime.changed[i])
            sp_runtime_print(i, admin->runtime.values[i], &buf);
        sp_buf_add_c(&buf, "\"]}");
    }
    sp_buf_add_c(&buf, "}}\n");
    sp_http_answer_buf(call, 200, "application/json", &buf);
}

/* GET shows the levels. POST ?level=debug as Envoy has it (?paths= and single loggers are not: there is
 * one). */
void sp_admin_logging(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    sp_str level = sp_http_param(call, "level");
    if (!sp_str_eq(sp_http_request(call)->method, SP_STR("POST")))
        level = SP_STR_NULL;
    if (level.ptr) {
        enum sp_log_level to;
        if (sp_log_level_parse(level, &to)) {
            sp_http_answer(call, 400, NULL, SP_STR("levels are error, warn, info, debug\n"));
            return;
        }
        SP_IGNORE(sp_admin_heed(admin, SP_RUNTIME_LOG_LEVEL, to)); /* not a key of cmd's: it cannot fail */
    } else if (sp_http_request(call)->query.len) {
        sp_http_answer(call, 400, NULL, SP_STR("usage: POST /logging?level=debug\n"));
        return;
    }
    char text[64];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, text, sizeof(text));
    sp_buf_printf(&buf, "active loggers:\n  sampan: %s\n",
                  sp_log_level_name((enum sp_log_level)admin->runtime.values[SP_RUNTIME_LOG_LEVEL]));
    sp_http_answer(call, 200, NULL, sp_buf_str(&buf));
}

/* ---- the end ---- */

void sp_admin_drain_listeners(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    const struct sp_admin_ops *ops = admin->config.ops;
    if (!ops->drain_listeners) {
        no_such(call);
        return;
    }
    bool inbound = sp_http_param(call, "inboundonly").ptr != NULL,
         graceful = sp_http_param(call, "graceful").ptr != NULL;
    ok(call);
    ops->drain_listeners(admin->config.arg, inbound, graceful);
}

void sp_admin_quit(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    const struct sp_admin_ops *ops = admin->config.ops;
    if (!ops->quit) {
        no_such(call);
        return;
    }
    ok(call);
    ops->quit(admin->config.arg);
}

static void on_base(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather)
{
    sp_gather_free(admin->base);
    admin->base = gather;
    ok(call);
}

void sp_admin_reset_counters(void *arg, struct sp_http_call *call)
{
    sp_admin_gather_raw(arg, call, on_base);
}
