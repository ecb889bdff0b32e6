/* serve: threads and their beginning and end.
 *
 *   main thread: one loop for signals, names, admin, logs           worker k: one loop, one sp_worker
 *
 *   1 open every listening address (an error ends here, nothing has started)
 *   2 budgets of all clusters; workers made and given the snapshot, still on the main thread
 *   3 names are looked up; when each has had its first answer or failure, threads begin; `ready`
 *   4 SIGTERM or SIGINT: every worker drains; a second one ends at once; SIGHUP: log files are opened anew
 *   5 all drained, or their deadline passed: loops stop, threads are joined, everything is taken down
 *
 * With --takeover the sockets of step 1 come from the running process, and everything else that is alive in
 * it comes between 2 and 3 (takeover.c); at any time between 3 and 4 a successor may ask for ours
 * (upgrade.c).
 *
 * Until threads begin, callers wait in the kernel's queue: the first call finds the endpoints that there are.
 * A successor's threads begin at once, with the endpoints of the process before, and ask for names then.
 *
 * Each worker has a listening socket of its own for each TCP address (SO_REUSEPORT): the kernel spreads
 * connections and no worker waits for another. Since SO_REUSEPORT would let a second process share the
 * address unasked, the address is first tried without it. */
#include "cmd/sampan-proxy/serve.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/basedir.h"
#include "cmd/sampan-proxy/config.h"
#include "cmd/sampan-proxy/detach.h"
#include "cmd/sampan-proxy/doors.h"
#include "cmd/sampan-proxy/logsink.h"
#include "cmd/sampan-proxy/options.h"
#include "cmd/sampan-proxy/parting.h"
#include "cmd/sampan-proxy/parts.h"
#include "cmd/sampan-proxy/server.h"
#include "cmd/sampan-proxy/sockfile.h"
#include "cmd/sampan-proxy/takeover.h"
#include "cmd/sampan-proxy/upgrade.h"
#include "io/dns.h"
#include "io/file.h"
#include "io/notify.h"
#include "io/signal.h"
#include "io/sock.h"
#include "proxy/resolve.h"
#include "proxy/worker.h"

/* What the process needs besides connections: files, names, admin's callers; and each worker of its own. */
enum { DESCRIPTORS_OWN = 64, DESCRIPTORS_OF_WORKER = 4 };

/* The table of descriptors is made for so many while there is one thread: 128 KiB of the system's memory. */
enum { FILES_AT_ONCE = 16 * 1024 };

/* How long a start waits for the first answers about its clusters' names. A name server that is away must not
 * keep those waiting whose addresses are known. */
#define NAMES_WAIT_NS (5 * SP_NS_PER_S)

/* ---- addresses ---- */

static sp_err refuse_address(const struct sp_listener_spec *spec, sp_err err)
{
    char text[SP_ADDR_TEXT_BYTES];
    sp_addr_print(&spec->addr, text, sizeof(text));
    const char *advice = err == SP_E_EXISTS        ? "another process listens there"
                         : err == SP_E_DENIED      ? "permission is missing"
                         : err == SP_E_UNREACHABLE ? "the address is not of this machine"
                                                   : sp_err_str(err);
    fprintf(stderr, "sampan-proxy: listener %.*s: cannot listen on %s: %s\n", SP_STR_ARG(spec->name), text,
            advice);
    return err;
}

static sp_err open_address(const struct sp_listener_spec *spec, bool share, int *ret_fd)
{
    struct sp_listen_config config = { .addr = spec->addr,
                                       .backlog = spec->backlog,
                                       .mode = spec->unix_mode,
                                       .transparent = spec->transparent,
                                       .reuse_port = share };
    return sp_listen_fd(&config, ret_fd);
}

/* Without memory the file stays behind, which the next process sets right. */
static void note_file(struct server *server, const char *path)
{
    struct sockfile *file = sp_vec_push(&server->sockfiles);
    if (file)
        sockfile_note(file, path);
}

/* `leave`: another process goes on with these sockets. */
static void end_files(struct server *server, bool leave)
{
    for (size_t i = 0; i < server->sockfiles.len; i++)
        sockfile_end(sp_vec_at(&server->sockfiles, i), leave);
    sp_vec_deinit(&server->sockfiles);
}

/* One descriptor for each worker; the first attempt, without sharing, finds a stranger at the address. */
static sp_err open_listener(struct server *server, const struct sp_listener_spec *spec)
{
    bool is_unix = spec->addr.family == SP_ADDR_UNIX;
    int fd;
    sp_err err = open_address(spec, false, &fd);
    if (err)
        return refuse_address(spec, err);
    if (is_unix)
        note_file(server, spec->addr.path);
    else
        close(fd);
    for (uint32_t w = 0; w < server->thread_count; w++) {
        struct thread *thread = &server->threads[w];
        if (is_unix && w > 0)
            fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        else if (!is_unix)
            err = open_address(spec, true, &fd);
        if (fd < 0)
            err = SP_E_NOFILE;
        if (err)
            return refuse_address(spec, err);
        thread->names[thread->fd_count] = spec->name;
        thread->fds[thread->fd_count++] = fd;
    }
    return 0;
}

static sp_err make_lists(struct server *server)
{
    size_t count = server->config->snapshot->by_name[SP_RESOURCE_LISTENER].len + 1;
    for (uint32_t w = 0; w < server->thread_count; w++) {
        struct thread *thread = &server->threads[w];
        thread->names = sp_mem_zalloc(count * sizeof(*thread->names));
        thread->fds = sp_mem_zalloc(count * sizeof(*thread->fds));
        if (!thread->names || !thread->fds)
            return SP_E_NOMEM;
    }
    return 0;
}

/* Those that were not handed over. */
static sp_err open_listeners(struct server *server)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&server->config->snapshot->by_name[SP_RESOURCE_LISTENER], &at, &name, &value)) {
        const struct sp_listener_spec *spec = ((struct sp_resource *)value)->listener;
        sp_err err = 0;
        if (takeover_has(server, name) && spec->addr.family == SP_ADDR_UNIX)
            note_file(server, spec->addr.path);
        else if (spec->bind && !takeover_has(server, name))
            err = open_listener(server, spec);
        if (err)
            return err;
    }
    return 0;
}

/* ---- workers ---- */

static sp_err make_worker(struct server *server, uint32_t index)
{
    struct thread *thread = &server->threads[index];
    thread->server = server;
    uint64_t told = server->config->settings.max_memory_bytes;
    uint64_t memory = told ? told
                           : sp_proc_memory_bytes() / 2; /* the other half is for all that is no buffer */
    struct sp_loop_config config = { .slab_limit_bytes = memory / server->thread_count,
                                     .pipes = server->pipes,
                                     .no_pipes = server->pipes == 0 };
    thread->loop = sp_loop_new(&config);
    if (!thread->loop)
        return SP_E_IO;
    sp_err err = sp_worker_init(&thread->worker, &server->process, thread->loop, index);
    if (err)
        return err;
    thread->made = true;
    return 0;
}

/* A successor gets its sockets later: `only` those that are listed are opened. */
static sp_err apply(struct server *server, bool only)
{
    sp_err err = 0;
    for (uint32_t i = 0; !err && i < server->thread_count; i++) {
        struct thread *thread = &server->threads[i];
        struct sp_listen_fds fds = { thread->names, thread->fds, thread->fd_count, only };
        err = sp_worker_apply(&thread->worker, server->config->snapshot, &fds);
    }
    return err;
}

/* The sockets that have come, to listeners that wait for them. */
static sp_err place(struct server *server)
{
    sp_err err = 0;
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *thread = &server->threads[i];
        for (uint32_t k = 0; !err && k < thread->fd_count; k++)
            err = sp_worker_place(&thread->worker, thread->names[k], thread->fds[k]);
    }
    return err;
}

static void *run_worker(void *arg)
{
    struct thread *thread = arg;
    sp_loop_run(thread->loop);
    return NULL;
}

sp_err server_start_threads(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *thread = &server->threads[i];
        if (pthread_create(&thread->id, NULL, run_worker, thread))
            return SP_E_LIMIT;
        thread->running = true;
    }
    return 0;
}

/* ---- signals and the end ---- */

static void on_all_drained(struct sp_mail *mail)
{
    struct thread *thread = SP_CONTAINER(mail, struct thread, drained);
    if (++thread->server->drained_count == thread->server->thread_count)
        sp_loop_stop(thread->server->loop);
}

static void on_worker_drained(struct sp_worker *worker)
{
    struct thread *thread = SP_CONTAINER(worker, struct thread, worker);
    thread->drained.on_mail = on_all_drained;
    sp_mail_post(thread->server->loop, &thread->drained);
}

static void on_order(struct sp_mail *mail)
{
    struct order *order = SP_CONTAINER(mail, struct order, mail);
    order->run(order->worker, order->value);
    sp_mem_free(order);
}

void server_order(struct server *server, void (*run)(struct sp_worker *worker, uint64_t value),
                  uint64_t value)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct order *order = sp_mem_zalloc(sizeof(*order));
        if (!order)
            return; /* the operator asks again */
        *order = (struct order){ .worker = &server->threads[i].worker, .run = run, .value = value };
        order->mail.on_mail = on_order;
        sp_mail_post(server->threads[i].loop, &order->mail);
    }
}

/* To systemd, where it asked to be told. */
static void tell(struct server *server, const char *lines)
{
    const char *to = sp_proc_env("NOTIFY_SOCKET");
    sp_err err = to && *to ? sp_notify(to, sp_str_c(lines)) : 0;
    if (err)
        sp_log_line(&server->log, SP_LOG_WARN, "the supervisor cannot be told", "socket=%s error=%s", to,
                    sp_err_str(err));
}

static void drain_worker(struct sp_worker *worker, uint64_t drain_ns)
{
    sp_worker_drain(worker, drain_ns, on_worker_drained);
}

void server_drain(struct server *server)
{
    if (server->draining) { /* asked twice: at once, please */
        sp_loop_stop(server->loop);
        return;
    }
    server->draining = true;
    if (server->awaits_names) { /* nobody has come in yet */
        sp_loop_stop(server->loop);
        return;
    }
    upgrade_drain(server);
    tell(server, "STOPPING=1\n");
    __atomic_store_n(&server->process.draining, true, __ATOMIC_RELAXED);
    sp_log_line(&server->log, SP_LOG_INFO, "draining", "seconds=%llu",
                (unsigned long long)(server->drain_ns / SP_NS_PER_S));
    server_order(server, drain_worker, server->drain_ns);
}

static void on_signal(void *arg, int signal)
{
    struct server *server = arg;
    if (signal != SIGHUP) {
        server_drain(server);
        return;
    }
    if (doors_reopen_logs(server->doors))
        sp_log_line(&server->log, SP_LOG_INFO, "log files opened anew", NULL);
}

void server_stop_threads(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].running)
            sp_loop_stop(server->threads[i].loop);
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].running)
            pthread_join(server->threads[i].id, NULL);
    for (uint32_t i = 0; i < server->thread_count; i++)
        server->threads[i].running = false;
}

static void take_down(struct server *server)
{
    sp_timer_stop(server->loop, &server->names_due);
    upgrade_close(server);
    parting_end(server);
    doors_close_admin(server->doors);
    server_stop_threads(server);
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].loop)
            sp_loop_turn(server->threads[i].loop, 0); /* mail that was out comes home */
    sp_loop_turn(server->loop, 0);
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].made)
            sp_worker_cut(&server->threads[i].worker); /* calls that are cut are logged too */
    doors_free(server->doors);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *thread = &server->threads[i];
        if (thread->made)
            sp_worker_deinit(&thread->worker);
        sp_mem_free(thread->names);
        sp_mem_free(thread->fds);
    }
    sp_process_deinit(&server->process);
    for (uint32_t i = 0; i < server->thread_count; i++)
        if (server->threads[i].loop)
            sp_loop_free(server->threads[i].loop);
    if (server->process.dns)
        sp_dns_free(server->process.dns);
    if (server->signals)
        sp_signals_free(server->signals);
    sp_loop_free(server->loop);
    end_files(server, false);
    sp_mem_free(server->threads);
}

/* ---- the beginning ---- */

static uint32_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set))
        return 1;
    int n = CPU_COUNT(&set);
    return (uint32_t)SP_MAX(1, SP_MIN(n, SP_WORKERS_MAX));
}

static uint64_t less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

/* Connections take two descriptors each, for each call may need one more, upstream. A raw relay of bulk would
 * like four more, for a pipe each way; but it can do without (io/pump.h), so pipes get an eighth, or what the
 * operator's own number of connections leaves. Whatever is carried, admin can be reached. */
static void share_descriptors(struct server *server, uint64_t all)
{
    struct sp_settings *settings = &server->config->settings;
    size_t listeners = server->config->snapshot->by_name[SP_RESOURCE_LISTENER].len;
    uint64_t rest = less(all, DESCRIPTORS_OWN + server->thread_count * (DESCRIPTORS_OF_WORKER + listeners));
    uint64_t pipes = rest / 8;
    if (settings->max_connections)
        pipes = SP_MIN(pipes, less(rest, 2 * (uint64_t)settings->max_connections));
    server->pipes = (uint32_t)SP_MIN(pipes / 2 / server->thread_count, (uint64_t)SP_LOOP_PIPES);
    rest = less(rest, 2 * (uint64_t)server->pipes * server->thread_count);
    if (!settings->max_connections)
        settings->max_connections = (uint32_t)SP_MIN(SP_MAX(16, rest / 2), (uint64_t)UINT32_MAX);
}

static sp_err set_up(struct server *server)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    struct sp_settings *settings = &server->config->settings;
    uint64_t files = sp_proc_raise_files();
    sp_proc_reserve_files(SP_MIN(files, (uint64_t)FILES_AT_ONCE));
    share_descriptors(server, files);
    server->drain_ns = settings->drain_ns;
    signal(SIGPIPE, SIG_IGN);
    struct sp_loop_config config = { .keep_slab_bytes = 256 * 1024 };
    server->loop = sp_loop_new(&config);
    if (!server->loop)
        return SP_E_IO;
    server->signals = sp_signals_new(server->loop, signals, SP_COUNTOF(signals), on_signal, server);
    if (!server->signals)
        return SP_E_IO;
    sp_err err = sp_process_init(&server->process, server->loop, &server->log, settings, proxy_codecs,
                                 server->thread_count);
    if (err)
        return err;
    sp_snapshot_ref(server->config->snapshot);
    server->process.snapshot = server->config->snapshot;
    return 0;
}

static bool needs_names(const struct server *server)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&server->config->snapshot->by_name[SP_RESOURCE_CLUSTER], &at, &name, &value))
        if (((struct sp_resource *)value)->cluster->kind == SP_CLUSTER_STRICT_DNS)
            return true;
    return false;
}

/* What takes time and needs no socket: a process that is taken over serves meanwhile. */
static sp_err prepare(struct server *server)
{
    const struct proxy_options *options = server->options;
    sp_err err = options->takeover ? takeover_greet(server) : 0;
    if (!err && !server->takeover && !basedir_can_hold(options, server->config, true))
        err = SP_E_DENIED;
    if (!err)
        err = make_lists(server);
    if (!err)
        err = sp_process_share(&server->process, server->config->snapshot);
    for (uint32_t i = 0; !err && i < server->thread_count; i++)
        err = make_worker(server, i);
    if (!err && server->takeover)
        err = apply(server, true);
    if (!err && server->takeover)
        err = takeover_ahead(server);
    return err;
}

/* From the sockets to what goes on behind them. */
static sp_err open_all(struct server *server)
{
    sp_err err = server->takeover ? takeover_receive(server) : 0;
    if (!err)
        err = open_listeners(server);
    if (!err)
        err = server->takeover ? place(server) : apply(server, false);
    if (!err)
        err = doors_open(server, &server->doors);
    if (!err && server->takeover)
        err = takeover_load(server);
    if (err && server->takeover)
        takeover_give_up(server, err);
    return err;
}

static void say_ready(struct server *server)
{
    sp_str ready = SP_STR("ready\n");
    server->live = true;
    server->log.sink(server->log.sink_arg, SP_LOG_INFO, ready); /* at every level: scripts wait for it */
    detach_ready(server->options->ready_fd);
}

/* Workers let callers in; supervisors and successors may know of us. */
static sp_err begin(struct server *server, bool successor)
{
    char lines[64] = "READY=1\n";
    sp_err err = server_start_threads(server);
    if (err)
        return err;
    upgrade_open(server, successor);
    if (successor)
        snprintf(lines, sizeof(lines), "READY=1\nMAINPID=%ld\n", (long)getpid());
    tell(server, lines);
    return 0;
}

static void begin_late(struct server *server)
{
    server->awaits_names = false;
    sp_timer_stop(server->loop, &server->names_due);
    if (server->draining)
        return;
    server->err = begin(server, false);
    if (server->err)
        sp_loop_stop(server->loop);
    else
        say_ready(server);
}

static void on_names_heard(void *arg)
{
    begin_late(arg);
}

static void on_names_due(struct sp_timer *timer)
{
    struct server *server = SP_CONTAINER(timer, struct server, names_due);
    uint32_t left = sp_resolve_await(&server->process, NULL, NULL);
    sp_log_line(&server->log, SP_LOG_WARN, "names have no answer yet", "names=%u", left);
    begin_late(server);
}

static sp_err look_up(struct server *server)
{
    if (!needs_names(server))
        return 0;
    server->process.dns = sp_dns_new(server->loop);
    if (!server->process.dns)
        sp_log_line(&server->log, SP_LOG_WARN, "names cannot be looked up", NULL);
    return sp_resolve_update(&server->process);
}

/* All is ours: from here on nothing is refused any more. */
static sp_err go(struct server *server)
{
    bool successor = server->takeover != NULL;
    if (successor)
        takeover_finish(server);
    for (uint32_t i = 0; successor && i < server->thread_count; i++)
        if (sp_worker_open(&server->threads[i].worker))
            sp_log_line(&server->log, SP_LOG_ERROR, "a worker cannot listen everywhere", "worker=%u", i);
    sp_err err = 0;
    if (successor) {
        err = begin(server, true);
        if (err)
            return err;
        takeover_end(server);
        return look_up(server);
    }
    err = look_up(server);
    if (err)
        return err;
    server->awaits_names = sp_resolve_await(&server->process, on_names_heard, server) > 0;
    if (!server->awaits_names)
        return begin(server, false);
    server->names_due.on_fire = on_names_due;
    sp_timer_set(server->loop, &server->names_due, NAMES_WAIT_NS);
    return 0;
}

static sp_err start(struct server *server)
{
    sp_err err = prepare(server);
    if (!err)
        err = open_all(server);
    if (err == SP_E_EXISTS && upgrade_is_taken(server))
        fprintf(stderr,
                "sampan-proxy: a sampan-proxy with this configuration serves already: end it first, or take "
                "its place with --takeover\n");
    return err ? err : go(server);
}

int proxy_serve(const struct proxy_options *options, struct proxy_config *config)
{
    struct server server = { .options = options, .config = config };
    server.thread_count = options->concurrency ? options->concurrency : processors();
    sp_vec_init(&server.sockfiles, sizeof(struct sockfile));
    server.threads = sp_mem_zalloc(server.thread_count * sizeof(struct thread));
    proxy_log_init(&server.log, options->log_level);
    sp_err err = server.threads ? set_up(&server) : SP_E_NOMEM;
    if (!err)
        err = start(&server);
    if (err) {
        if (err != SP_E_EXISTS) /* what is taken has been named */
            fprintf(stderr, "sampan-proxy: cannot start: %s\n", sp_err_str(err));
    } else {
        if (!server.awaits_names)
            say_ready(&server);
        sp_loop_run(server.loop);
        err = server.err;
        if (err)
            fprintf(stderr, "sampan-proxy: cannot start: %s\n", sp_err_str(err));
    }
    if (server.loop)
        take_down(&server);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
