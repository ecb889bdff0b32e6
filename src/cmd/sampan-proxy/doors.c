/* doors: joins observe/ to the workers by callbacks: observe knows no worker, the proxy knows no page.
 *
 *    admin (main loop) ── ask ──> mail to worker k ── fn on its thread ──> mail back ── then ──> admin
 *    worker's ring of records ── mail when a quarter full ──> access log (main loop) ──> files
 *
 * The Unix socket of admin is named after the configuration file, so that each sidecar of a machine has one
 * and tools find it: <base-dir>/<xxh64 of the file's absolute path>.admin.sock. Where the folder cannot be
 * made, and nobody has named it, the sidecar serves without it and says so: calls matter more than looking at
 * them. */
#include "cmd/sampan-proxy/doors.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/basedir.h"
#include "cmd/sampan-proxy/config.h"
#include "cmd/sampan-proxy/options.h"
#include "cmd/sampan-proxy/server.h"
#include "cmd/sampan-proxy/sockfile.h"
#include "cmd/sampan-proxy/takeover.h"
#include "cmd/sampan-proxy/upgrade.h"
#include "io/file.h"
#include "io/sock.h"
#include "lightsdk/handoff.h"
#include "lightsdk/lightsdk.h"
#include "lightsdk/view.h"
#include "observe/accesslog.h"
#include "observe/admin.h"
#include "observe/handoff.h"
#include "observe/runtime.h"
#include "rpc/http.h"

struct doors {
    struct server *server;
    struct sp_admin *admin;
    struct sp_accesslog *log;
    struct sp_lightsdk *sdk; /* NULL: the bootstrap asks for none */
    char base_dir[BASEDIR_BYTES], socket_path[BASEDIR_BYTES];
    struct sockfile socket; /* of admin, when it could be opened */
};

/* ---- what admin asks ---- */

struct asking {
    struct sp_ask ask;
    sp_admin_fn fn;
    sp_admin_then then;
    void *arg;
};

static void on_worker(struct sp_worker *worker, void *arg)
{
    struct asking *a = arg;
    a->fn(worker, a->arg);
}

static void on_answer(struct sp_ask *ask)
{
    struct asking *a = SP_CONTAINER(ask, struct asking, ask);
    a->then(a->arg);
    sp_mem_free(a);
}

static bool ask(void *arg, uint32_t index, sp_admin_fn fn, sp_admin_then then, void *ask_arg)
{
    struct server *server = arg;
    struct asking *a = sp_mem_zalloc(sizeof(*a));
    if (!a || !server->threads[index].running) {
        sp_mem_free(a);
        return false;
    }
    a->fn = fn;
    a->then = then;
    a->arg = ask_arg;
    a->ask.fn = on_worker;
    a->ask.then = on_answer;
    a->ask.arg = a;
    sp_worker_ask(&server->threads[index].worker, &a->ask);
    return true;
}

static enum sp_admin_state state(void *arg)
{
    const struct server *server = arg;
    return server->draining ? SP_ADMIN_DRAINING : server->live ? SP_ADMIN_LIVE : SP_ADMIN_STARTING;
}

static void drain_worker_listeners(struct sp_worker *worker, uint64_t inbound_only)
{
    sp_worker_drain_listeners(worker, inbound_only);
}

static void drain_listeners(void *arg, bool inbound_only, bool graceful)
{
    (void)graceful; /* ours always are: what is under way goes on */
    server_order(arg, drain_worker_listeners, inbound_only);
}

static void quit(void *arg)
{
    server_drain(arg);
}

static sp_err set_runtime(void *arg, uint32_t key, uint64_t value)
{
    struct server *server = arg;
    switch ((enum sp_runtime_id)key) {
    case SP_RUNTIME_DRAIN_TIME: server->drain_ns = value * SP_NS_PER_MS; return 0;
    case SP_RUNTIME_REASON_HEADER:
        __atomic_store_n(&server->config->settings.reason_header, value != 0, __ATOMIC_RELAXED);
        return 0;
    case SP_RUNTIME_LOG_LEVEL:
    case SP_RUNTIME_ACCESS_LOG_ON:
    case SP_RUNTIME_ACCESS_LOG_FLUSH:
    case SP_RUNTIME_KEYS: break;
    }
    return SP_E_UNSUPPORTED;
}

static bool lightsdk(void *arg, struct sp_admin_lightsdk *ret_figures, struct sp_buf *json)
{
    const struct server *server = arg;
    const struct sp_lightsdk *sdk = server->doors ? server->doors->sdk : NULL;
    if (!sdk)
        return false;
    struct sp_lightsdk_view view = sp_lightsdk_view(sdk);
    *ret_figures = (struct sp_admin_lightsdk){ .applications = view.applications,
                                               .publications = view.publications,
                                               .subscriptions = view.subscriptions,
                                               .kept_bytes = view.kept_bytes,
                                               .requests = view.asks,
                                               .wrong = view.wrong,
                                               .limited = view.limited };
    if (json)
        sp_lightsdk_write_json(sdk, json);
    return true;
}

static const struct sp_admin_ops admin_ops = {
    .ask = ask,
    .walk = sp_worker_walk,
    .recent = sp_worker_recent,
    .state = state,
    .drain_listeners = drain_listeners,
    .quit = quit,
    .lightsdk = lightsdk,
    .set_runtime = set_runtime,
};

/* ---- opening ---- */

static bool find_socket_path(struct doors *doors)
{
    const struct server *server = doors->server;
    basedir_print(server->options, doors->base_dir);
    sp_err err = basedir_path(server->options, server->config, ADMIN_SUFFIX, doors->socket_path);
    if (!err)
        return true;
    bool other = server->config->settings.admin.family != SP_ADDR_NONE;
    sp_log_line(doors->server->log.sink ? &doors->server->log : NULL, SP_LOG_WARN,
                other ? "no Unix socket for admin"
                      : "there is no admin: no Unix socket, and no address is given",
                "base_dir=%s error=%s", doors->base_dir, sp_err_str(err));
    return false;
}

static sp_err open_admin(struct doors *doors)
{
    struct server *server = doors->server;
    const char *why = "";
    bool has_folder = find_socket_path(doors);
    const sp_addr unix_addr = { .family = SP_ADDR_UNIX, .path = doors->socket_path };
    struct sp_admin_config config = {
        .ops = &admin_ops,
        .arg = server,
        .log = &server->log,
        .settings = &server->config->settings,
        .unix_path = has_folder ? doors->socket_path : NULL,
        .tcp = server->config->settings.admin,
        .workers = server->thread_count,
        .bootstrap = server->config->bootstrap,
        .config_path = server->options->config,
        .base_dir = doors->base_dir,
        .accesslog = doors->log,
        .has_handed = server->takeover != NULL,
        .handed_unix = takeover_door(server, UPGRADE_ADMIN_UNIX, &unix_addr),
        .handed_tcp = takeover_door(server, UPGRADE_ADMIN_TCP, &server->config->settings.admin),
    };
    doors->admin = sp_admin_new(server->loop, &config, &why);
    if (doors->admin && sp_admin_has_unix(doors->admin)) {
        sockfile_note(&doors->socket, doors->socket_path);
        sp_log_line(&server->log, SP_LOG_INFO, "admin is open", "socket=%s", doors->socket_path);
    }
    if (doors->admin)
        return 0;
    sp_log_line(&server->log, SP_LOG_ERROR, "admin cannot be opened", "why=%s", why);
    return SP_E_EXISTS;
}

static void on_reports(struct sp_worker *worker)
{
    struct doors *doors = worker->on_reports_arg;
    sp_accesslog_wake(doors->log);
}

static void on_log_trouble(void *arg, const char *path, sp_err err, uint64_t lost)
{
    struct doors *doors = arg;
    const char *why = err == SP_E_LIMIT   ? "the disk is full"
                      : err == SP_E_AGAIN ? "the pipe is full: nobody reads"
                                          : sp_err_str(err);
    if (err)
        sp_log_line(&doors->server->log, SP_LOG_WARN,
                    "the access log loses lines: its file does not take them", "path=%s error=\"%s\"", path,
                    why);
    else
        sp_log_line(&doors->server->log, SP_LOG_INFO, "the access log is written again",
                    "path=%s lost_lines=%llu", path, (unsigned long long)lost);
}

static const char *log_words(sp_err err)
{
    return err == SP_E_UNSUPPORTED ? "it is a folder" : sp_err_str(err);
}

static sp_err open_log(struct doors *doors)
{
    struct server *server = doors->server;
    char host[256] = "";
    const char *why = "";
    gethostname(host, sizeof(host) - 1);
    doors->log = sp_accesslog_new(server->loop, sp_str_c(host));
    if (!doors->log)
        return SP_E_NOMEM;
    sp_accesslog_watch(doors->log, on_log_trouble, doors);
    sp_err err = sp_accesslog_apply(doors->log, server->config->snapshot, &why);
    if (err) {
        sp_log_line(&server->log, SP_LOG_ERROR, "access log cannot be opened", "why=%s error=%s", why,
                    log_words(err));
        return err;
    }
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct sp_worker *worker = &server->threads[i].worker;
        worker->on_reports_arg = doors;
        worker->on_reports = on_reports;
        err = sp_accesslog_add_ring(doors->log, &worker->reports);
        if (err)
            return err;
    }
    return 0;
}

static uint64_t now_ns(void *arg)
{
    return sp_loop_now(((struct doors *)arg)->server->loop);
}

/* Applications wait for this door before they start: without it there is no use in going on. */
static sp_err open_sdk(struct doors *doors)
{
    struct server *server = doors->server;
    const struct sp_settings *settings = &server->config->settings;
    if (!settings->lightsdk.on)
        return 0;
    struct sp_lightsdk_config config = {
        .loop = server->loop, .settings = settings, .log = &server->log, .now_ns = now_ns, .arg = doors
    };
    sp_proc_random(&config.seed, sizeof(config.seed));
    doors->sdk = sp_lightsdk_new(&config);
    if (!doors->sdk)
        return SP_E_NOMEM;
    struct sp_listen_config where = { .addr = settings->lightsdk.api };
    int handed = takeover_door(server, UPGRADE_LIGHT_SDK, &where.addr);
    sp_err err = handed >= 0 ? sp_http_server_adopt(sp_lightsdk_server(doors->sdk), handed)
                             : sp_http_server_listen(sp_lightsdk_server(doors->sdk), &where);
    char text[SP_ADDR_TEXT_BYTES];
    sp_addr_print(&where.addr, text, sizeof(text));
    if (err)
        sp_log_line(&server->log, SP_LOG_ERROR, "the light SDK's door cannot be opened",
                    "address=%s error=%s", text, sp_err_str(err));
    return err;
}

sp_err doors_open(struct server *server, struct doors **ret_doors)
{
    struct doors *doors = sp_mem_zalloc(sizeof(*doors));
    if (!doors)
        return SP_E_NOMEM;
    doors->server = server;
    doors->socket.fd = -1;
    sp_err err = open_log(doors);
    if (!err)
        err = open_sdk(doors);
    if (!err)
        err = open_admin(doors);
    if (err) {
        doors_free(doors);
        return err;
    }
    *ret_doors = doors;
    return 0;
}

struct reopening {
    struct server *server;
    bool failed;
};

static void on_reopen_error(void *arg, const char *path, sp_err err)
{
    struct reopening *reopening = arg;
    reopening->failed = true;
    sp_log_line(&reopening->server->log, SP_LOG_WARN,
                "a log file cannot be opened anew; its lines go on into the old one", "path=%s error=%s",
                path, log_words(err));
}

bool doors_reopen_logs(struct doors *doors)
{
    struct reopening reopening = { .server = doors->server };
    sp_accesslog_reopen(doors->log, on_reopen_error, &reopening);
    return !reopening.failed;
}

/* Figures go with the process: what was lost at the very end would never be seen. */
static void finish_log(struct doors *doors)
{
    sp_accesslog_finish(doors->log);
    struct sp_accesslog_view view = sp_accesslog_view(doors->log);
    if (view.lost || view.lost_bytes)
        sp_log_line(&doors->server->log, SP_LOG_WARN, "the access log is not whole",
                    "lines=%llu lost=%llu lost_bytes=%llu", (unsigned long long)view.lines,
                    (unsigned long long)view.lost, (unsigned long long)view.lost_bytes);
    sp_accesslog_free(doors->log);
}

/* ---- hand-over ---- */

static void save_socket(struct sp_record_writer *writer, enum upgrade_role role, int fd, const sp_addr *addr)
{
    if (fd < 0)
        return;
    const struct upgrade_door_record record = { .role = (uint8_t)role,
                                                .fd = sp_record_add_fd(writer, fd),
                                                .addr = *addr };
    sp_record_put(writer, &upgrade_door_kind, &record);
}

void doors_save_sockets(struct doors *doors, struct sp_record_writer *writer)
{
    const struct sp_settings *settings = &doors->server->config->settings;
    const sp_addr unix_addr = { .family = SP_ADDR_UNIX, .path = doors->socket_path };
    save_socket(writer, UPGRADE_ADMIN_UNIX, sp_admin_unix_fd(doors->admin), &unix_addr);
    save_socket(writer, UPGRADE_ADMIN_TCP, sp_admin_tcp_fd(doors->admin), &settings->admin);
    if (doors->sdk)
        save_socket(writer, UPGRADE_LIGHT_SDK, sp_http_server_fd(sp_lightsdk_server(doors->sdk), 0),
                    &settings->lightsdk.api);
}

void doors_save(struct doors *doors, struct sp_record_writer *writer)
{
    if (doors->sdk)
        sp_lightsdk_save(doors->sdk, writer);
    sp_admin_save(doors->admin, writer);
    sp_accesslog_save(doors->log, writer);
}

sp_err doors_load(struct doors *doors, struct sp_record_reader *reader, uint16_t kind)
{
    sp_err err = sp_observe_load(doors->admin, doors->log, reader, kind);
    if (err != SP_E_MISSING)
        return err;
    if (doors->sdk)
        return sp_lightsdk_load(doors->sdk, reader, kind);
    for (uint32_t i = 0; i < sp_lightsdk_records.count; i++)
        if (sp_lightsdk_records.kinds[i]->number == kind)
            return 0; /* the new configuration has no such door: what was said there is over */
    return SP_E_MISSING;
}

void doors_write_logs(struct doors *doors)
{
    sp_accesslog_free(doors->log);
    doors->log = NULL;
}

void doors_close_admin(struct doors *doors)
{
    if (!doors)
        return;
    if (doors->admin)
        sp_admin_free(doors->admin);
    sockfile_end(&doors->socket, false); /* tools find sidecars by these: a dead one would mislead them */
    sp_lightsdk_free(doors->sdk);
    doors->admin = NULL;
    doors->sdk = NULL;
}

void doors_free(struct doors *doors)
{
    if (!doors)
        return;
    doors_close_admin(doors);
    if (doors->log)
        finish_log(doors);
    sp_mem_free(doors);
}
