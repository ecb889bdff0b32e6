/* admin: the sidecar's door for operators and their tools: figures, configuration, reasons, and the few
 * handles.
 *
 * Lives on the main loop. What belongs to workers it gets through the table that cmd fills; it knows no
 * worker. Reads are served on the Unix socket and on TCP; what changes something is POST, and works on the
 * Unix socket alone (403 on TCP), because the application shares loopback with us.
 *
 * What cmd does (sampan-proxy/doors.c):
 *
 *   static bool ask(void *arg, uint32_t index, sp_admin_fn fn, sp_admin_then then, void *ask_arg)
 *     { struct asking { struct sp_ask ask; fn; then; arg; } *a = sp_mem_zalloc(...);
 *       a->ask.fn calls fn(worker, a->arg); a->ask.then calls then(a->arg) and frees a; sp_worker_ask(...); }
 *
 *   struct sp_admin_config config = { .ops = &admin_ops, .arg = server, .log = &server->log,
 *       .settings = settings, .unix_path = "<base-dir>/<hash>.admin.sock", .tcp = settings->admin, ... };
 *   server->admin = sp_admin_new(server->loop, &config, &why);
 *
 * and at the end, in this order: sp_admin_free; stop and join the threads; a turn of each worker's loop and
 * then of the main loop, so that asks that were out come home; sp_worker_deinit. */
#ifndef SP_OBSERVE_ADMIN_H
#define SP_OBSERVE_ADMIN_H

#include "base/addr.h"
#include "base/log.h"
#include "io/loop.h"
#include "proxy/report.h"
#include "proxy/view.h"

struct sp_accesslog;
struct sp_admin;
struct sp_buf;
struct sp_settings;

/* What applications have said to the light SDK's door. */
struct sp_admin_lightsdk {
    uint64_t applications, publications, subscriptions; /* kept now */
    uint64_t kept_bytes;
    uint64_t requests; /* all */
    uint64_t wrong;    /* of them refused: not what the interface says */
    uint64_t limited;  /* of them refused: a limit */
};

enum sp_admin_state { SP_ADMIN_STARTING, SP_ADMIN_LIVE, SP_ADMIN_DRAINING };

typedef void (*sp_admin_fn)(struct sp_worker *worker, void *ask_arg);
typedef void (*sp_admin_then)(void *ask_arg);

/* All on the main thread, save `walk` and `recent`, which are called from inside an sp_admin_fn. Those that
 * are marked may be NULL: then the page says that this program has no such thing (501). */
struct sp_admin_ops {
    /* Run fn on worker `index`'s loop, then `then` on the main loop. False: that worker is gone; neither
     * runs. The worker's memory stays until `then` has run, or sp_admin_free. */
    bool (*ask)(void *arg, uint32_t index, sp_admin_fn fn, sp_admin_then then, void *ask_arg);
    void (*walk)(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg); /* sp_worker_walk */
    /* The last calls, newest first, until `each` says false. */
    void (*recent)(struct sp_worker *worker, bool (*each)(void *each_arg, const struct sp_report *report),
                   void *each_arg);
    enum sp_admin_state (*state)(void *arg);
    void (*drain_listeners)(void *arg, bool inbound_only, bool graceful); /* may be NULL */
    void (*quit)(void *arg);                                              /* as SIGTERM; may be NULL */
    /* The light SDK's door: its figures, and all that is kept as JSON behind the end of `json` where that is
     * not NULL. False: the bootstrap asks for no such door. May be NULL. */
    bool (*lightsdk)(void *arg, struct sp_admin_lightsdk *ret_figures, struct sp_buf *json);
    /* A key of the runtime table got a value (see sp_runtime_key in runtime.h). May be NULL. */
    sp_err (*set_runtime)(void *arg, uint32_t key, uint64_t value);
};

struct sp_admin_config {
    const struct sp_admin_ops *ops;
    void *arg;
    struct sp_log *log;
    const struct sp_settings *settings; /* labels, node */
    const char *unix_path;              /* NULL: none */
    sp_addr tcp;                        /* family NONE: none; loopback unless the operator says otherwise */
    uint32_t workers;
    void *bootstrap;                    /* typed value as it was read, for /config_dump; may be NULL */
    const char *config_path, *base_dir; /* as the command line has them; may be NULL */
    struct sp_accesslog *accesslog;     /* may be NULL; its figures are shown */
    /* Listening sockets of a predecessor, instead of binding; -1: none. */
    bool has_handed;
    int handed_unix, handed_tcp;
};

/* Borrows what `config` points to, for as long as it lives. On failure NULL and static words in *ret_why;
 * an address that cannot be had is named in the log. */
struct sp_admin *sp_admin_new(struct sp_loop *loop, const struct sp_admin_config *config,
                              const char **ret_why);
void sp_admin_free(struct sp_admin *admin);
/* Whether `unix_path` is served: another process may stand there, and admin on TCP alone is better than
 * none. */
bool sp_admin_has_unix(const struct sp_admin *admin);
/* Listening descriptors, borrowed; -1: there is none. */
int sp_admin_unix_fd(const struct sp_admin *admin);
int sp_admin_tcp_fd(const struct sp_admin *admin);
/* The TCP address that is served (with the port that the system chose); SP_E_MISSING when there is none. */
sp_err sp_admin_local(const struct sp_admin *admin, sp_addr *ret_addr) SP_MUST_USE;

#endif
