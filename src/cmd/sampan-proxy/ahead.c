/* ahead: a successor is told of quiet connections while calls go on.
 *
 *      main loop                         worker 0, between two turns         successor
 *      asks worker 0  ────────────────>  saves 253 lines, copies their
 *      sends the part <────────────────  descriptors
 *                     ─────────────────────────────────────────────────────>  holds them
 *      asks again, until worker 0 has no more; then worker 1 ...
 *      end            ─────────────────────────────────────────────────────>
 *
 * A part is as many lines as one message has room for descriptors, and costs its worker a third of a
 * millisecond. The descriptors are copied, since the worker may close its own before the main loop has sent
 * them, and their numbers would be somebody else's.
 *
 * What changes behind its telling comes again with the freeze, and its copy is closed only then. So no more
 * is told than what the successor could hold if all of it came twice.
 *
 * A part that cannot be made or copied (memory, descriptors) costs nothing but time: what was told of that
 * worker is forgotten, and all of its lines go with the freeze. */
#include "cmd/sampan-proxy/ahead.h"

#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/server.h"
#include "io/fdpass.h"
#include "io/file.h"
#include "proxy/handoff.h"
#include "upgrade/walk.h"

/* Descriptors of a successor that are none of ours, and those of a part. */
enum { SPARE = 512 };

struct ahead {
    struct server *server;
    const struct sp_record_schema *schema;
    bool (*on_part)(void *arg, const struct sp_record_writer *part);
    void *arg;
    struct sp_ahead *of[SP_WORKERS_MAX];
    uint32_t at;   /* the worker that is asked */
    uint64_t room; /* how many descriptors a successor has for copies */
    struct sp_ask ask;
    struct sp_record_writer part; /* its descriptors are copies */
    uint32_t copied;
    bool more, asked;
    bool ended;               /* to be freed when the worker has answered */
    struct sp_walk_old *walk; /* likewise, or NULL */
};

static void drop_part(struct ahead *ahead)
{
    for (uint32_t i = 0; i < ahead->copied; i++)
        close(ahead->part.fds[i]);
    ahead->copied = 0;
    sp_record_writer_deinit(&ahead->part);
}

static void free_now(struct ahead *ahead)
{
    drop_part(ahead);
    for (uint32_t i = 0; i < SP_WORKERS_MAX; i++)
        sp_ahead_free(ahead->of[i]);
    sp_walk_old_free(ahead->walk);
    sp_mem_free(ahead);
}

/* On the worker's thread. */
static void save_part(struct sp_worker *worker, void *arg)
{
    struct ahead *ahead = arg;
    struct sp_record_writer *part = &ahead->part;
    if (!ahead->of[ahead->at])
        ahead->of[ahead->at] = sp_ahead_new(worker);
    sp_record_writer_init(part, ahead->schema);
    if (!ahead->of[ahead->at]) {
        part->err = SP_E_NOMEM;
        return;
    }
    ahead->more = sp_ahead_save(ahead->of[ahead->at], part,
                                (uint32_t)SP_MIN(ahead->room, (uint64_t)SP_FDPASS_MAX));
    for (; ahead->copied < part->fd_count && !part->err; ahead->copied++) {
        part->fds[ahead->copied] = dup(part->fds[ahead->copied]);
        if (part->fds[ahead->copied] < 0) {
            part->err = SP_E_NOFILE;
            return;
        }
    }
}

static void ask_next(struct ahead *ahead)
{
    ahead->asked = ahead->at < ahead->server->thread_count;
    if (ahead->asked)
        sp_worker_ask(&ahead->server->threads[ahead->at].worker, &ahead->ask);
    else
        SP_IGNORE(ahead->on_part(ahead->arg, NULL)); /* nothing more is done here, whatever it says */
}

static void on_saved(struct sp_ask *ask)
{
    struct ahead *ahead = SP_CONTAINER(ask, struct ahead, ask);
    ahead->asked = false;
    if (ahead->ended) {
        free_now(ahead);
        return;
    }
    bool failed = ahead->part.err != 0;
    ahead->room -= SP_MIN(ahead->room, (uint64_t)ahead->part.fd_count);
    if (!failed && !ahead->on_part(ahead->arg, &ahead->part))
        return; /* it has ended us */
    drop_part(ahead);
    if (failed) {
        sp_ahead_free(ahead->of[ahead->at]);
        ahead->of[ahead->at] = NULL;
    }
    if (failed || !ahead->more)
        ahead->at++;
    if (!ahead->room)
        ahead->at = ahead->server->thread_count;
    ask_next(ahead);
}

struct ahead *ahead_begin(struct server *server, const struct sp_walk_old *walk,
                          bool (*on_part)(void *arg, const struct sp_record_writer *part), void *arg)
{
    struct ahead *ahead = sp_mem_zalloc(sizeof(*ahead));
    if (!ahead)
        return NULL;
    uint64_t limit = sp_proc_raise_files(), open = sp_proc_open_files(), used = open + SPARE;
    sp_proc_reserve_files(open + SP_FDPASS_MAX + 1); /* here, and not by a worker that copies */
    *ahead = (struct ahead){ .server = server, .on_part = on_part, .arg = arg };
    ahead->room = limit > used ? limit - used : 0;
    ahead->schema = sp_walk_old_schema(walk);
    ahead->ask = (struct sp_ask){ .fn = save_part, .then = on_saved, .arg = ahead };
    sp_record_writer_init(&ahead->part, NULL);
    ask_next(ahead);
    return ahead;
}

bool ahead_is_done(const struct ahead *ahead)
{
    return !ahead->asked;
}

const struct sp_ahead *ahead_of(const struct ahead *ahead, uint32_t worker)
{
    return ahead ? ahead->of[worker] : NULL;
}

void ahead_end(struct ahead *ahead, struct sp_walk_old *walk)
{
    if (!ahead) {
        sp_walk_old_free(walk);
        return;
    }
    ahead->walk = walk;
    ahead->ended = true;
    if (!ahead->asked)
        free_now(ahead);
}
