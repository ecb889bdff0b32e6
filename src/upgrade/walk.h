/* walk: the order in which a running process hands itself to its successor, and who may touch what when.
 *
 *      new process                               old process
 *      hello: build, workers, schema   ───────>  checks; from here on it waits for `go`
 *                                      <───────  hello: build, workers, schema (or `no` with words)
 *      parses, builds, warms up
 *      go                              ───────>  stops its workers at the end of a turn, saves them
 *                                      <───────  descriptors in batches, records (one memory file)
 *      loads, touching no socket
 *      ready                           ───────>
 *                                      <───────  yours: it touches nothing any more
 *      running, then starts            ───────>  exits
 *
 * Until it has sent `yours` the old one can go on as if nothing had been: on EOF, on `no`, on a time-out (it
 * sends `abort` then and kills nobody). After `yours` it waits for `running` or EOF; a new process that hangs
 * there is killed by its pidfd. The new process, on EOF without `abort`, makes sure by the pidfd that the old
 * one is dead, kills it when it hangs, and serves: with the records when the set is complete and whole (its
 * length and hash agree), else afresh on the listeners that it has.
 *
 * Both sides block here, each in its main thread, for a bounded time; nothing else is served meanwhile by the
 * old one from `go` on. What is in the records this room does not know. */
#ifndef SP_UPGRADE_WALK_H
#define SP_UPGRADE_WALK_H

#include "base/err.h"
#include "base/record.h"
#include "base/str.h"

enum { SP_WALK_TROUBLE = 256, SP_WALK_BUILD = 64 };

/* How a walk ended, for either side. */
enum sp_walk_end {
    SP_WALK_MOVED,   /* the new process serves */
    SP_WALK_RESUMED, /* the old process goes on; the new one gives up */
    SP_WALK_ALONE,   /* the other side is dead and this one serves; new: see `complete` */
};

/* What a peer says of itself. */
struct sp_walk_peer {
    uint32_t pid;
    uint32_t workers;
    char build[SP_WALK_BUILD]; /* version */
};

/* ---- old side ---- */

struct sp_walk_old_ops {
    /* Stop the workers, save everything; SP_E_UNSUPPORTED with the writer's trouble: something cannot move.
     * On any error `resume` follows. */
    sp_err (*save)(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer);
    void (*resume)(void *arg); /* the workers go on: nothing has changed */
};

/* How long each side waits for the other, in milliseconds; 0 = 5000 for each. */
struct sp_walk_times {
    uint32_t hello_ms, /* new: for the old one's hello */
        go_ms,         /* old: new process prepares (default 120000) */
        load_ms,       /* old: between the records and `ready` */
        run_ms,        /* old: between `yours` and `running` */
        save_ms,       /* new: between `go` and the whole set */
        yours_ms;      /* new: between `ready` and `yours` */
};

/* A connection that came to the upgrade socket. First half: reads hello, answers. The peer must have our uid
 * or be root. On an error the connection is closed and `trouble` says why. Then the loop goes on until the
 * descriptor is readable (go, or EOF), and the second half follows. */
struct sp_walk_old;
sp_err sp_walk_old_greet(int fd, const struct sp_record_book *book, uint32_t workers, const char *build,
                         const struct sp_walk_times *times, struct sp_walk_old **ret_walk,
                         char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
/* The descriptor to watch for reading. */
int sp_walk_old_fd(const struct sp_walk_old *walk);
/* `go` has come (or nonsense, or EOF): the rest of the walk, blocking. On SP_WALK_MOVED the caller exits
 * touching no socket (it may flush logs); on SP_WALK_RESUMED it goes on, `trouble` says why. */
enum sp_walk_end sp_walk_old_run(struct sp_walk_old *walk, const struct sp_walk_old_ops *ops, void *arg,
                                 char trouble[SP_WALK_TROUBLE]);
void sp_walk_old_free(struct sp_walk_old *walk); /* closes the descriptor; NULL is fine */

/* ---- new side ---- */

struct sp_walk_new;
/* Connect to `path`. SP_E_MISSING: nobody is there (no socket, or a dead one): start afresh.
 * SP_E_UNSUPPORTED: refused, in words. */
sp_err sp_walk_new_greet(const char *path, const struct sp_record_book *book, uint32_t workers,
                         const char *build, const struct sp_walk_times *times, struct sp_walk_new **ret_walk,
                         char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
const struct sp_walk_peer *sp_walk_new_peer(const struct sp_walk_new *walk);
/* Everything is parsed and built: `go`, and wait for the set. SP_WALK_MOVED: *ret_reader has it whole.
 * SP_WALK_ALONE: the old one is dead before its set was whole; *ret_reader has no records, and whatever
 * descriptors came (for the listeners among them; see sp_walk_new_fds). SP_WALK_RESUMED: the old one goes on
 * and said why. */
enum sp_walk_end sp_walk_new_take(struct sp_walk_new *walk, struct sp_record_reader **ret_reader,
                                  char trouble[SP_WALK_TROUBLE]);
/* Everything is loaded: `ready`, and wait for `yours`. MOVED or ALONE: it is ours; `running` has been said,
 * the caller starts. RESUMED: `abort` came: the caller ends by _exit, touching no socket. */
enum sp_walk_end sp_walk_new_finish(struct sp_walk_new *walk, char trouble[SP_WALK_TROUBLE]);
/* It cannot be loaded: say so to the old one, which resumes. The caller ends by _exit. */
void sp_walk_new_refuse(struct sp_walk_new *walk, const char *words);
void sp_walk_new_free(struct sp_walk_new *walk); /* descriptors that nobody took are closed */

#endif
