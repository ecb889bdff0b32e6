/* takeover: how a successor begins.
 *
 *      greet ──> budgets, workers, configuration applied: what needs no socket ──> ahead: quiet connections
 *      ──> receive ──> listeners get the sockets that came, doors opened ──> load ──> finish ──> what has no
 *      socket yet is opened ──> threads
 *
 * All that takes time is before `receive`, while the old process serves. Behind it callers wait, and there is
 * no ordinary end any more: the sockets that came are shared with the old process, which may go on with them,
 * and taking a worker down would shut them. So whoever cannot go on says why to the old one and ends by
 * _exit. Should the old one die in that very moment nobody would serve: then this program starts itself anew,
 * with a clean memory.
 *
 * A listening socket is matched by its name and address in the new configuration; one that is not in there is
 * closed, and who waits in its queue is reset, as with any listener that an operator takes away. An address
 * that is new is opened before `finish`, so that one that cannot be had is told while the old one can go on.
 *
 * When the old one died before it had sent everything there are no records, perhaps descriptors. The
 * listening ones among them are known by their addresses and used: their queues hold callers. */
#include "cmd/sampan-proxy/takeover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/basedir.h"
#include "cmd/sampan-proxy/config.h"
#include "cmd/sampan-proxy/doors.h"
#include "cmd/sampan-proxy/options.h"
#include "cmd/sampan-proxy/parting.h"
#include "cmd/sampan-proxy/server.h"
#include "cmd/sampan-proxy/upgrade.h"
#include "io/sock.h"
#include "proxy/handoff.h"
#include "upgrade/walk.h"

enum { DOORS_MAX = 16 };

struct door {
    uint8_t role; /* enum upgrade_role; 0: whichever has that address */
    int fd;       /* -1: taken */
    sp_addr addr;
};

struct takeover {
    struct sp_walk_new *walk;
    struct sp_handoff *handoff; /* what was loaded ahead waits in it */
    struct sp_record_reader *reader;
    struct sp_handoff_listener *listeners;
    uint32_t listener_count;
    struct door doors[DOORS_MAX];
    uint32_t door_count;
    bool taken; /* `go` was said: sockets are shared */
    bool alone; /* the old one is dead and left no records */
};

static sp_err greet(const struct server *server, const char *path, struct sp_walk_new **ret_walk,
                    char trouble[SP_WALK_TROUBLE])
{
    return sp_walk_new_greet(path, upgrade_book(), server->thread_count, SP_VERSION, NULL, ret_walk, trouble);
}

sp_err takeover_greet(struct server *server)
{
    char path[BASEDIR_BYTES], trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    sp_err err = basedir_path(server->options, server->config, ".sock", path);
    if (!err)
        err = greet(server, path, &walk, trouble);
    if (err == SP_E_MISSING) /* it may just have handed over to another, which listens there by now */
        err = greet(server, path, &walk, trouble);
    if (err == SP_E_MISSING) {
        sp_log_line(&server->log, SP_LOG_WARN, "nobody to take over from, starting afresh", "socket=%s",
                    path);
        return 0;
    }
    if (err) {
        fprintf(stderr, "sampan-proxy: cannot take over: %s\n", trouble[0] ? trouble : sp_err_str(err));
        return err;
    }
    server->takeover = sp_mem_zalloc(sizeof(*server->takeover));
    if (!server->takeover) {
        sp_walk_new_free(walk);
        return SP_E_NOMEM;
    }
    server->takeover->walk = walk;
    const struct sp_walk_peer *peer = sp_walk_new_peer(walk);
    sp_log_line(&server->log, SP_LOG_INFO, "taking over", "pid=%u version=%s workers=%u", peer->pid,
                peer->build, peer->workers);
    return 0;
}

/* ---- while the old one serves ---- */

static sp_err load_part(void *arg, struct sp_record_reader *reader)
{
    struct takeover *take = arg;
    uint16_t kind;
    int more;
    sp_err err = 0;
    take->taken = true;
    while (!err && (more = sp_record_next(reader, &kind)) != 0)
        err = more < 0 ? (sp_err)more : sp_handoff_load(take->handoff, reader, kind);
    if (err == SP_E_MISSING)
        err = sp_record_bad(reader, NULL, "kind %u cannot come ahead", kind);
    return err ? err : sp_handoff_end_part(take->handoff, reader);
}

sp_err takeover_ahead(struct server *server)
{
    struct takeover *take = server->takeover;
    struct sp_worker *workers[SP_WORKERS_MAX];
    char trouble[SP_WALK_TROUBLE];
    for (uint32_t i = 0; i < server->thread_count; i++)
        workers[i] = &server->threads[i].worker;
    sp_err err = sp_handoff_begin(workers, server->thread_count, &take->handoff);
    if (err)
        return err;
    enum sp_walk_end end = sp_walk_new_ahead(take->walk, sp_handoff_ahead_kind.number, load_part, take,
                                             trouble);
    if (end != SP_WALK_RESUMED)
        return 0; /* when it is dead, receive tells what then */
    fprintf(stderr, "sampan-proxy: cannot take over, the running process goes on: %s\n", trouble);
    _exit(EXIT_FAILURE);
}

/* ---- what came ---- */

/* Reading begins anew, in the same records and with the same descriptors. */
static struct sp_record_reader again(const struct takeover *take)
{
    struct sp_record_reader reader;
    sp_record_reader_init(&reader, take->reader->in, take->reader->fds, take->reader->fd_count);
    return reader;
}

/* The listening sockets of the doors are found before all else is loaded. */
static sp_err find_doors(struct takeover *take, struct sp_record_reader *reader)
{
    uint16_t kind;
    int found;
    while ((found = sp_record_next(reader, &kind)) > 0) {
        struct upgrade_door_record record;
        if (kind != upgrade_door_kind.number)
            continue;
        if (take->door_count == DOORS_MAX)
            return sp_record_bad(reader, &upgrade_door_kind, "more than %d doors", DOORS_MAX);
        struct door *door = &take->doors[take->door_count];
        sp_err err = sp_record_get(reader, &upgrade_door_kind, &record);
        if (!err)
            err = sp_record_take_fd(reader, record.fd, &door->fd);
        if (err)
            return err;
        door->role = record.role;
        door->addr = record.addr;
        take->door_count++;
    }
    return found;
}

static bool is_wanted(const struct sp_listener_spec *spec, const sp_addr *bound)
{
    sp_addr addr = spec->addr;
    if (addr.family == SP_ADDR_UNIX)
        return bound->family == SP_ADDR_UNIX && (!bound->path[0] || sp_addr_eq(&addr, bound));
    if (!addr.port)
        addr.port = bound->port;
    return sp_addr_eq(&addr, bound);
}

static const struct sp_listener_spec *find_spec(const struct server *server, sp_str name)
{
    struct sp_resource *resource = sp_map_get(&server->config->snapshot->by_name[SP_RESOURCE_LISTENER], name);
    return resource ? resource->listener : NULL;
}

static void ask_address(struct server *server, int fd, sp_addr *ret_addr)
{
    struct sp_acceptor acceptor = { .loop = server->loop, .fd = fd };
    if (sp_acceptor_local(&acceptor, ret_addr))
        *ret_addr = (sp_addr){ .family = SP_ADDR_NONE };
}

/* Closed, not shut: the old process may go on with them. */
static void drop_unwanted(struct server *server)
{
    struct takeover *take = server->takeover;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < take->listener_count; i++) {
        struct sp_handoff_listener *l = &take->listeners[i];
        const struct sp_listener_spec *spec = find_spec(server, l->name);
        if (l->fd >= 0 && l->bound.family == SP_ADDR_NONE) /* a further door of its worker */
            ask_address(server, l->fd, &l->bound);
        if (l->fd < 0 || (spec && spec->bind && is_wanted(spec, &l->bound))) {
            take->listeners[kept++] = *l;
            continue;
        }
        char text[SP_ADDR_TEXT_BYTES];
        sp_addr_print(&l->bound, text, sizeof(text));
        sp_log_line(&server->log, SP_LOG_INFO, "listener is not in the new configuration",
                    "name=%.*s address=%s", SP_STR_ARG(l->name), text);
        close(l->fd);
    }
    take->listener_count = kept;
}

/* Of a Unix listener each worker has the same socket: copies are as good as what came. */
static sp_err share_unix(struct server *server, const struct sp_handoff_listener *first, uint32_t worker)
{
    struct thread *thread = &server->threads[worker];
    for (uint32_t i = 0; i < thread->fd_count; i++)
        if (sp_str_eq(thread->names[i], first->name))
            return 0;
    int fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return SP_E_NOFILE;
    thread->names[thread->fd_count] = first->name;
    thread->fds[thread->fd_count++] = fd;
    return 0;
}

/* To the threads' lists, by name as the configuration spells it: the records go before the threads do. */
static sp_err spread(struct server *server)
{
    struct takeover *take = server->takeover;
    sp_handoff_spread(take->listeners, take->listener_count, server->thread_count);
    for (uint32_t i = 0; i < take->listener_count; i++) {
        struct sp_handoff_listener *l = &take->listeners[i];
        const struct sp_listener_spec *spec = find_spec(server, l->name);
        if (l->fd < 0 || !spec)
            continue;
        l->name = spec->name;
        l->taken = true;
        if (l->extra && spec->addr.family != SP_ADDR_UNIX)
            continue; /* a door, when the worker has its configuration */
        if (l->extra) {
            close(l->fd); /* one more copy */
            l->fd = -1;
            continue;
        }
        struct thread *thread = &server->threads[l->to];
        thread->names[thread->fd_count] = spec->name;
        thread->fds[thread->fd_count++] = l->fd;
    }
    for (uint32_t i = 0; i < take->listener_count; i++) {
        struct sp_handoff_listener *l = &take->listeners[i];
        const struct sp_listener_spec *spec = find_spec(server, l->name);
        bool is_unix = l->fd >= 0 && spec && spec->addr.family == SP_ADDR_UNIX;
        for (uint32_t w = 0; is_unix && w < server->thread_count; w++) {
            sp_err err = share_unix(server, l, w);
            if (err)
                return err;
        }
    }
    return 0;
}

/* ---- of a dead one ---- */

/* A listening TCP socket, and where. Unix sockets do not know their path here: they are bound anew, so the
 * old ones must not answer there any more. */
static bool is_listening(struct server *server, int fd, sp_addr *ret_addr)
{
    int listens = 0;
    socklen_t len = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens)
        return false;
    ask_address(server, fd, ret_addr);
    return ret_addr->family == SP_ADDR_IP4 || ret_addr->family == SP_ADDR_IP6;
}

static const struct sp_listener_spec *spec_at(const struct server *server, const sp_addr *addr)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&server->config->snapshot->by_name[SP_RESOURCE_LISTENER], &at, &name, &value)) {
        const struct sp_listener_spec *spec = ((struct sp_resource *)value)->listener;
        if (spec->bind && is_wanted(spec, addr))
            return spec;
    }
    return NULL;
}

/* Several on one address are of several workers, in their order. */
static void add_listener(struct takeover *take, const struct sp_listener_spec *spec, int fd,
                         const sp_addr *addr)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < take->listener_count; i++)
        before += sp_str_eq(take->listeners[i].name, spec->name);
    take->listeners[take->listener_count++] = (struct sp_handoff_listener){
        .name = spec->name, .worker = before, .fd = fd, .bound = *addr
    };
}

static sp_err find_by_address(struct server *server)
{
    struct takeover *take = server->takeover;
    uint32_t count = take->reader->fd_count;
    take->listeners = sp_mem_zalloc((count + 1) * sizeof(*take->listeners));
    if (!take->listeners)
        return SP_E_NOMEM;
    for (uint32_t place = 1; place <= count; place++) {
        sp_addr addr;
        int fd;
        if (sp_record_take_fd(take->reader, place, &fd))
            continue;
        bool listens = is_listening(server, fd, &addr);
        const struct sp_listener_spec *spec = listens ? spec_at(server, &addr) : NULL;
        if (spec)
            add_listener(take, spec, fd, &addr);
        else if (listens && take->door_count < DOORS_MAX)
            take->doors[take->door_count++] = (struct door){ .fd = fd, .addr = addr };
        else
            close(fd);
    }
    return 0;
}

/* ---- in order ---- */

static sp_err find_by_records(struct server *server)
{
    struct takeover *take = server->takeover;
    struct sp_record_reader reader = again(take);
    sp_err err = find_doors(take, &reader);
    if (!err) {
        reader = again(take);
        err = sp_handoff_listeners(&reader, &take->listeners, &take->listener_count);
    }
    if (err)
        memcpy(take->reader->trouble, reader.trouble, sizeof(reader.trouble));
    else
        drop_unwanted(server);
    return err;
}

sp_err takeover_receive(struct server *server)
{
    struct takeover *take = server->takeover;
    char trouble[SP_WALK_TROUBLE];
    take->taken = true;
    enum sp_walk_end end = sp_walk_new_take(take->walk, &take->reader, trouble);
    sp_err err = 0;
    switch (end) {
    case SP_WALK_MOVED: err = find_by_records(server); break;
    case SP_WALK_ALONE:
        take->alone = true;
        sp_log_line(&server->log, SP_LOG_ERROR, "the old process died, starting afresh", "why=\"%s\"",
                    trouble);
        err = find_by_address(server);
        break;
    case SP_WALK_RESUMED:
        fprintf(stderr, "sampan-proxy: cannot take over, the running process goes on: %s\n", trouble);
        _exit(EXIT_FAILURE);
    }
    return err ? err : spread(server);
}

bool takeover_has(const struct server *server, sp_str listener)
{
    const struct takeover *take = server->takeover;
    for (uint32_t i = 0; take && i < take->listener_count; i++)
        if (take->listeners[i].taken && sp_str_eq(take->listeners[i].name, listener))
            return true;
    return false;
}

int takeover_door(struct server *server, uint8_t role, const sp_addr *addr)
{
    struct takeover *take = server->takeover;
    for (uint32_t i = 0; take && i < take->door_count; i++) {
        struct door *door = &take->doors[i];
        int fd = door->fd;
        if (fd < 0 || (door->role && door->role != role) || !sp_addr_eq(&door->addr, addr))
            continue;
        door->fd = -1;
        return fd;
    }
    return -1;
}

/* Sockets of workers that this process has not: further doors of those that it has. */
static sp_err add_extra(struct server *server)
{
    struct takeover *take = server->takeover;
    for (uint32_t i = 0; i < take->listener_count; i++) {
        struct sp_handoff_listener *l = &take->listeners[i];
        if (!l->taken || !l->extra || l->fd < 0)
            continue;
        sp_err err = sp_worker_add_door(&server->threads[l->to].worker, l->name, l->fd);
        if (err)
            return err;
    }
    return 0;
}

static sp_err load_one(struct server *server, struct sp_record_reader *reader, uint16_t kind)
{
    struct upgrade_server_record record;
    if (kind == upgrade_door_kind.number || kind == UPGRADE_KIND_NEXT)
        return 0; /* was found before; is nothing to us */
    if (kind == upgrade_server_kind.number) {
        sp_err err = sp_record_get(reader, &upgrade_server_kind, &record);
        if (!err)
            server->generation = record.generation;
        return err;
    }
    sp_err err = sp_handoff_load(server->takeover->handoff, reader, kind);
    if (err == SP_E_MISSING)
        err = doors_load(server->doors, reader, kind);
    if (err == SP_E_MISSING) /* the writer leaves out what we have not said that we know */
        snprintf(reader->trouble, sizeof(reader->trouble), "kind %u is not known here", kind);
    return err;
}

static sp_err load_all(struct server *server, struct sp_record_reader *reader)
{
    uint16_t kind;
    int found;
    sp_err err = 0;
    while (!err && (found = sp_record_next(reader, &kind)) != 0)
        err = found < 0 ? found : load_one(server, reader, kind);
    return err ? err : sp_handoff_end(server->takeover->handoff, reader);
}

sp_err takeover_load(struct server *server)
{
    struct takeover *take = server->takeover;
    sp_err err = add_extra(server);
    if (take->alone) { /* nobody can say whether what came ahead is still as it was */
        sp_handoff_free(take->handoff);
        take->handoff = NULL;
    }
    if (err || take->alone)
        return err;
    struct sp_record_reader reader = again(take);
    err = load_all(server, &reader);
    if (err)
        memcpy(take->reader->trouble, reader.trouble, sizeof(reader.trouble));
    return err;
}

void takeover_finish(struct server *server)
{
    struct takeover *take = server->takeover;
    char trouble[SP_WALK_TROUBLE] = "";
    if (take->alone)
        return;
    if (sp_walk_new_finish(take->walk, trouble) == SP_WALK_RESUMED) {
        fprintf(stderr, "sampan-proxy: cannot take over, the running process goes on: %s\n", trouble);
        _exit(EXIT_FAILURE);
    }
}

void takeover_end(struct server *server)
{
    struct takeover *take = server->takeover;
    for (uint32_t i = 0; i < take->door_count; i++)
        if (take->doors[i].fd >= 0)
            close(take->doors[i].fd); /* of a door that is configured no more */
    parting_watch(server, sp_walk_new_take_pidfd(take->walk));
    sp_walk_new_free(take->walk);
    sp_handoff_free(take->handoff);
    sp_mem_free(take->listeners);
    sp_mem_free(take);
    server->takeover = NULL;
}

void takeover_give_up(struct server *server, sp_err err)
{
    struct takeover *take = server->takeover;
    const char *words = take->reader && take->reader->trouble[0] ? take->reader->trouble : sp_err_str(err);
    bool goes_on = !take->alone && sp_walk_new_refuse(take->walk, words) == SP_WALK_RESUMED;
    fprintf(stderr, "sampan-proxy: cannot take over%s: %s\n", goes_on ? ", the running process goes on" : "",
            err == SP_E_EXISTS ? "an address that it needs is taken" : words);
    if (goes_on)
        _exit(EXIT_FAILURE);
    sp_log_line(&server->log, SP_LOG_ERROR, "the old process died meanwhile, starting anew", NULL);
    execv("/proc/self/exe", server->options->argv);
    _exit(EXIT_FAILURE);
}
