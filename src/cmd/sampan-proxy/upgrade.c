/* upgrade: how the serving process meets its successor.
 *
 *      successor                      main loop                                workers
 *      ── connects ──────────────>    greet: who are you, what can you read
 *         reads its configuration     goes on serving                          go on
 *      ── ahead ─────────────────>    tells of quiet connections (ahead.c)     go on
 *      ── go ────────────────────>    stops the threads at the end of a turn   stand
 *                                     saves all, sends all, waits
 *      ── running ───────────────>    logs what waits in the rings, ends
 *         or anything else            starts the threads again                 go on
 *
 * The order of the messages, what a time-out means and who may be killed is the room upgrade's
 * (upgrade/walk.h); what is in a worker is proxy's. Here is only what this program adds: the socket, the
 * threads, the listening sockets of its doors, and the order of the rooms.
 *
 * While a successor prepares, which may take long, nothing here waits for it, save for room in its queue when
 * it is told ahead (five seconds, of the main thread alone): the loop tells when its next message has come.
 * From `go` on the main thread blocks, for a bounded time: admin is not answered, calls are not served. A
 * second successor replaces one that still prepares: who asked last is who is wanted. A process that drains
 * has been told to end, and turns successors away: half of it has gone.
 *
 * A successor that was given everything and then sent away ends by itself; one that hangs is ended
 * (parting.c).
 *
 * The end of this process touches no socket: sockets belong to both processes by then, and a shutdown would
 * be heard by the peers. So it ends by _exit, when its successor has told its supervisor (it closes the
 * walk's socket behind that), lest systemd takes our end for the end of the service. */
#include "cmd/sampan-proxy/upgrade.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/ahead.h"
#include "cmd/sampan-proxy/basedir.h"
#include "cmd/sampan-proxy/doors.h"
#include "cmd/sampan-proxy/parting.h"
#include "cmd/sampan-proxy/serve.h"
#include "cmd/sampan-proxy/server.h"
#include "cmd/sampan-proxy/sockfile.h"
#include "io/fdpass.h"
#include "io/lookout.h"
#include "io/timer.h"
#include "lightsdk/handoff.h"
#include "observe/handoff.h"
#include "proxy/handoff.h"
#include "upgrade/walk.h"

enum {
    TELL_MS = 5 * 1000,  /* a successor tells its supervisor in that time */
    AHEAD_MS = 5 * 1000, /* and takes each part, or says `go` behind the last */
};

static const char drains[] = "it drains, and will end";

struct upgrade {
    struct server *server;
    int listening;
    struct sockfile file;
    struct sp_lookout *door;
    struct sp_walk_old *walk; /* a successor prepares */
    struct sp_lookout *answer;
    struct sp_timer late;
    struct ahead *ahead; /* what it was told while we served; NULL: nothing */
    bool stopped;        /* the threads */
    char path[BASEDIR_BYTES];
};

/* ---- the book ---- */

/* What a later version may bring, for the tests of upgrades between versions (src/cmd/meson.build): 1 = a
 * field and a kind that can be spared, 2 = a field that must not be lost. */
#ifndef SP_UPGRADE_NEXT
#define SP_UPGRADE_NEXT 0
#endif

static const struct sp_record_field server_fields[] = {
    SP_RECORD_SPARE(1, U32, upgrade_server_record, generation),
#if SP_UPGRADE_NEXT == 1
    SP_RECORD_SPARE(2, U64, upgrade_server_record, tomorrow),
#elif SP_UPGRADE_NEXT == 2
    SP_RECORD_FIELD(3, U64, upgrade_server_record, tomorrow),
#endif
};
static const struct sp_record_field door_fields[] = {
    SP_RECORD_FIELD(1, U8, upgrade_door_record, role),
    SP_RECORD_FIELD(2, U32, upgrade_door_record, fd),
    SP_RECORD_FIELD(3, ADDR, upgrade_door_record, addr),
};
const struct sp_record_kind upgrade_server_kind = SP_RECORD_KIND(1, false, "server", upgrade_server_record,
                                                                 server_fields);
const struct sp_record_kind upgrade_door_kind = SP_RECORD_KIND(2, false, "door", upgrade_door_record,
                                                               door_fields);

#if SP_UPGRADE_NEXT == 1
static const struct sp_record_field next_fields[] = { SP_RECORD_SPARE(1, U64, upgrade_server_record,
                                                                      tomorrow) };
static const struct sp_record_kind next_kind = SP_RECORD_KIND(UPGRADE_KIND_NEXT, true, "tomorrow",
                                                              upgrade_server_record, next_fields);
#endif

static uint32_t join(const struct sp_record_kind **all, uint32_t count, const struct sp_record_book *room)
{
    for (uint32_t i = 0; i < room->count && count < SP_RECORD_KINDS_MAX; i++)
        all[count++] = room->kinds[i];
    return count;
}

/* Numbers ascend in this order of the rooms. */
const struct sp_record_book *upgrade_book(void)
{
    static const struct sp_record_kind *all[SP_RECORD_KINDS_MAX];
    static struct sp_record_book book;
    static const struct sp_record_kind *const own[] = {
        &upgrade_server_kind,
        &upgrade_door_kind,
#if SP_UPGRADE_NEXT == 1
        &next_kind,
#endif
    };
    if (book.count)
        return &book;
    uint32_t count = join(all, 0, &(struct sp_record_book){ own, SP_COUNTOF(own) });
    count = join(all, count, &sp_proxy_records);
    count = join(all, count, &sp_lightsdk_records);
    count = join(all, count, &sp_observe_records);
    book = (struct sp_record_book){ all, count };
    return &book;
}

/* ---- saving ---- */

static sp_err save(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer)
{
    struct upgrade *up = arg;
    struct server *server = up->server;
    (void)peer; /* whatever number of workers it has */
    server_stop_threads(server);
    up->stopped = true;
    for (uint32_t i = 0; i < server->thread_count; i++)
        sp_mail_deliver(server->threads[i].loop); /* addresses of a name, say, that came a moment ago */
    const struct upgrade_server_record record = { .generation = server->generation + 1,
                                                  .tomorrow = SP_UPGRADE_NEXT };
    sp_record_put(writer, &upgrade_server_kind, &record);
#if SP_UPGRADE_NEXT == 1
    sp_record_put(writer, &next_kind, &record);
#endif
    doors_save_sockets(server->doors, writer);
    sp_process_save(&server->process, writer);
    for (uint32_t i = 0; i < server->thread_count; i++)
        sp_worker_save_rest(&server->threads[i].worker, writer, ahead_of(up->ahead, i));
    doors_save(server->doors, writer);
    return writer->err;
}

static void resume(void *arg)
{
    struct upgrade *up = arg;
    if (!up->stopped)
        return;
    up->stopped = false;
    if (server_start_threads(up->server)) { /* they ran a moment ago: the system is at its end */
        sp_log_line(&up->server->log, SP_LOG_ERROR, "threads cannot be started again", NULL);
        abort();
    }
}

static const struct sp_walk_old_ops walk_ops = { .save = save, .resume = resume };

/* ---- a successor ---- */

/* Whoever is at the other end is told why, and goes. */
static void forget(struct upgrade *up, const char *why)
{
    if (up->walk) {
        sp_walk_old_abort(up->walk, why);
        parting_watch(up->server, sp_walk_old_take_pidfd(up->walk));
    }
    sp_timer_stop(up->server->loop, &up->late);
    sp_lookout_free(up->answer);
    up->answer = NULL;
    ahead_end(up->ahead, up->walk);
    up->ahead = NULL;
    up->walk = NULL;
}

/* What the kernel does at our end (closing thousands of descriptors took 12 ms) does not go before the first
 * calls of the successor, which may share our core. */
static void step_back(void)
{
    const struct sched_param none = { 0 };
    SP_IGNORE(sched_setscheduler(0, SCHED_OTHER, &none)); /* it may not be allowed: it is only slower then */
    SP_IGNORE(setpriority(PRIO_PROCESS, 0, 19));
}

static _Noreturn void leave(struct upgrade *up)
{
    struct server *server = up->server;
    struct pollfd end = { .fd = sp_walk_old_fd(up->walk), .events = POLLIN };
    step_back();
    SP_IGNORE(poll(&end, 1, TELL_MS));
    sp_log_line(&server->log, SP_LOG_INFO, "handed over", "generation=%u", server->generation);
    doors_write_logs(server->doors);
    parting_end(server);
    _exit(EXIT_SUCCESS);
}

static void give_up(struct upgrade *up, const char *why)
{
    sp_log_line(&up->server->log, SP_LOG_WARN, "upgrade given up, serving goes on", "why=\"%s\"", why);
    forget(up, why);
}

static bool on_part(void *arg, const struct sp_record_writer *part)
{
    struct upgrade *up = arg;
    sp_err err = part ? sp_walk_old_part(up->walk, part) : sp_walk_old_end_parts(up->walk);
    sp_timer_set(up->server->loop, &up->late, AHEAD_MS * SP_NS_PER_MS);
    if (err)
        give_up(up, "the successor does not hear what it is told ahead");
    return !err;
}

static void tell_ahead(struct upgrade *up)
{
    if (up->ahead) {
        give_up(up, "the successor asks twice to be told ahead");
        return;
    }
    up->ahead = ahead_begin(up->server, up->walk, on_part, up);
    if (!up->ahead)
        give_up(up, sp_err_str(SP_E_NOMEM));
}

static void on_answer(void *arg)
{
    struct upgrade *up = arg;
    char trouble[SP_WALK_TROUBLE] = "";
    if (sp_walk_old_asks_ahead(up->walk)) {
        tell_ahead(up);
        return;
    }
    if (up->ahead && !ahead_is_done(up->ahead)) {
        give_up(up, "the successor did not wait for what it is told ahead");
        return;
    }
    sp_timer_stop(up->server->loop, &up->late);
    sp_lookout_free(up->answer);
    up->answer = NULL;
    if (sp_walk_old_run(up->walk, &walk_ops, up, trouble) == SP_WALK_MOVED)
        leave(up);
    give_up(up, trouble);
}

static void on_late(struct sp_timer *timer)
{
    struct upgrade *up = SP_CONTAINER(timer, struct upgrade, late);
    char why[80];
    snprintf(why, sizeof(why), "the successor was not ready after %u ms",
             up->ahead ? AHEAD_MS : sp_walk_old_go_ms(up->walk));
    give_up(up, why);
}

static void on_knock(void *arg)
{
    struct upgrade *up = arg;
    struct server *server = up->server;
    struct sp_walk_old *walk;
    char trouble[SP_WALK_TROUBLE] = "";
    int fd;
    if (sp_fdpass_accept(up->listening, &fd))
        return;
    sp_err err = sp_walk_old_greet(fd, upgrade_book(), server->thread_count, SP_VERSION, NULL, &walk,
                                   trouble);
    if (err == SP_E_CLOSED)
        return; /* it only looked whether somebody is here */
    if (err) {
        sp_log_line(&server->log, SP_LOG_WARN, "a successor was turned away", "why=\"%s\"", trouble);
        return;
    }
    if (server->draining) {
        sp_walk_old_abort(walk, drains);
        sp_walk_old_free(walk);
        return;
    }
    if (up->walk)
        sp_log_line(&server->log, SP_LOG_WARN, "a second successor comes, the first is forgotten", NULL);
    forget(up, "another successor has come");
    up->walk = walk;
    up->answer = sp_lookout_new(server->loop, sp_walk_old_fd(walk), on_answer, up);
    if (!up->answer) {
        forget(up, "it has no memory left");
        return;
    }
    const struct sp_walk_peer *peer = sp_walk_old_peer(walk);
    sp_timer_set(server->loop, &up->late, sp_walk_old_go_ms(walk) * SP_NS_PER_MS);
    sp_log_line(&server->log, SP_LOG_INFO, "a successor prepares", "pid=%u version=%s workers=%u", peer->pid,
                peer->build, peer->workers);
}

/* ---- the socket ---- */

static sp_err open_socket(struct upgrade *up, bool replace)
{
    struct server *server = up->server;
    sp_err err = basedir_path(server->options, server->config, ".sock", up->path);
    if (!err)
        err = sp_fdpass_listen(up->path, replace, &up->listening);
    if (err)
        return err;
    sockfile_note(&up->file, up->path);
    up->door = sp_lookout_new(server->loop, up->listening, on_knock, up);
    return up->door ? 0 : SP_E_NOMEM;
}

void upgrade_open(struct server *server, bool replace)
{
    struct upgrade *up = sp_mem_zalloc(sizeof(*up));
    if (!up)
        return; /* what serves without a successor serves all the same */
    *up = (struct upgrade){ .server = server, .listening = -1, .file.fd = -1, .late.on_fire = on_late };
    server->upgrade = up;
    sp_err err = open_socket(up, replace);
    if (!err)
        return;
    sp_log_line(&server->log, SP_LOG_WARN, "no successor can take over", "socket=%s reason=\"%s\"", up->path,
                err == SP_E_EXISTS ? "another sampan-proxy with this configuration listens there"
                                   : sp_err_str(err));
    upgrade_close(server);
}

bool upgrade_is_taken(struct server *server)
{
    char path[BASEDIR_BYTES];
    int sock;
    if (basedir_path(server->options, server->config, ".sock", path) || sp_fdpass_connect(path, 1000, &sock))
        return false;
    close(sock);
    return true;
}

void upgrade_drain(struct server *server)
{
    if (server->upgrade)
        forget(server->upgrade, drains);
}

void upgrade_close(struct server *server)
{
    struct upgrade *up = server->upgrade;
    if (!up)
        return;
    forget(up, "it ends");
    sp_lookout_free(up->door);
    if (up->listening >= 0)
        close(up->listening);
    sockfile_end(&up->file, false);
    sp_mem_free(up);
    server->upgrade = NULL;
}
