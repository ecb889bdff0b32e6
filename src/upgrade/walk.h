/* walk: the order in which a running process hands itself to its successor, and who may touch what when.
 *
 *      new process                               old process
 *      hello: build, workers, schema   ───────>  checks; from here on it waits for `go`
 *                                      <───────  hello: build, workers, schema (or `no` with words)
 *      parses, builds, warms up
 *      ahead                           ───────>  goes on serving
 *                                      <───────  parts: quiet connections, as a set each; then `end`
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
 * Whoever has waited too long shuts its ear before it judges: what the other had said until then is heard and
 * counts (`running`, `abort`, the set); what it says later is refused, and it knows. So there is no instant
 * in which one begins and the other takes back.
 *
 * Both sides block here, each in its main thread, for a bounded time; nothing else is served meanwhile by the
 * old one from `go` on. What is in the records this room does not know. */
#ifndef SP_UPGRADE_WALK_H
#define SP_UPGRADE_WALK_H

#include <stdbool.h>

#include "base/err.h"
#include "base/record.h"

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

/* A connection that came to the upgrade socket (sp_fdpass_listen). First half: reads hello, answers. The peer
 * must have our uid or be root, and be one that we could end. Best called when the connection is readable:
 * else it waits, hello_ms at most. On an error the connection is closed and `trouble` says why. Then the loop
 * goes on until the descriptor is readable (go, or EOF) or go_ms have passed, and the second half follows. */
struct sp_walk_old;
sp_err sp_walk_old_greet(int fd, const struct sp_record_book *book, uint32_t workers, const char *build,
                         const struct sp_walk_times *times, struct sp_walk_old **ret_walk,
                         char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
/* A connection that cannot be heard now (another walk is under way): says `no` and closes it. */
void sp_walk_old_refuse(int fd, const char *words);
/* A walk that waits for `go` is given up, for that reason: the new one is told. Free it then. */
void sp_walk_old_abort(struct sp_walk_old *walk, const char *words);
/* The descriptor to watch for reading. */
int sp_walk_old_fd(const struct sp_walk_old *walk);
const struct sp_walk_peer *sp_walk_old_peer(const struct sp_walk_old *walk);
uint32_t sp_walk_old_go_ms(const struct sp_walk_old *walk);
/* The descriptor is readable. True: the successor asks for what can be told while we serve: sp_walk_old_part
 * for each part, then sp_walk_old_end_parts, and the waiting goes on. False: what it said is for
 * sp_walk_old_run. */
bool sp_walk_old_asks_ahead(struct sp_walk_old *walk);
/* What the successor can read; borrowed. */
const struct sp_record_schema *sp_walk_old_schema(const struct sp_walk_old *walk);
sp_err sp_walk_old_part(struct sp_walk_old *walk, const struct sp_record_writer *part) SP_MUST_USE;
sp_err sp_walk_old_end_parts(struct sp_walk_old *walk) SP_MUST_USE;
/* `go` has come (or nonsense, or EOF, or nothing at all in go_ms): the rest of the walk, blocking. On
 * SP_WALK_MOVED the caller exits touching no socket (it may flush logs); on SP_WALK_RESUMED it goes on,
 * `trouble` says why, and ops->resume has been called if ops->save was. There is no other end. */
enum sp_walk_end sp_walk_old_run(struct sp_walk_old *walk, const struct sp_walk_old_ops *ops, void *arg,
                                 char trouble[SP_WALK_TROUBLE]);
/* When a walk was given up: the pidfd of the successor, the caller's from here on, as with
 * sp_walk_new_take_pidfd: it may hold copies of our sockets, until it ends. -1: it was given none. */
int sp_walk_old_take_pidfd(struct sp_walk_old *walk);
/* Closes the descriptor, with `abort` when the walk was under way; NULL is fine. */
void sp_walk_old_free(struct sp_walk_old *walk);

/* ---- new side ---- */

struct sp_walk_new;
/* Connect to `path`. SP_E_MISSING: nobody is there (no socket, a dead one, or the old process died over it):
 * start afresh. One that is stopped (SIGSTOP) and silent for hello_ms serves nobody: it is ended, and counts
 * as dead. SP_E_UNSUPPORTED: refused, in words. SP_E_DENIED, SP_E_TIMEOUT and others: it is there and
 * goes on; the caller gives up. */
sp_err sp_walk_new_greet(const char *path, const struct sp_record_book *book, uint32_t workers,
                         const char *build, const struct sp_walk_times *times, struct sp_walk_new **ret_walk,
                         char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
const struct sp_walk_peer *sp_walk_new_peer(const struct sp_walk_new *walk);
/* Everything is parsed and built, and the old one serves: have it tell what it can. `on_part` gets each
 * part in order; what it borrows from the reader, and descriptors that it does not take, are gone behind
 * it; on its error, the reader's trouble says why. SP_WALK_MOVED: that was all (nothing, when the old one
 * is of a build that does not know `kind`). SP_WALK_ALONE: the old one is dead, or
 * silent: sp_walk_new_take finds out. SP_WALK_RESUMED: it goes on, the caller ends by _exit. */
enum sp_walk_end sp_walk_new_ahead(struct sp_walk_new *walk, uint16_t kind,
                                   sp_err (*on_part)(void *arg, struct sp_record_reader *reader), void *arg,
                                   char trouble[SP_WALK_TROUBLE]);
/* Everything is parsed and built: `go`, and wait for the set. SP_WALK_MOVED: *ret_reader has it whole (also
 * where the old one died behind it: sp_walk_new_finish tells). SP_WALK_ALONE: the old one is dead before its
 * set was whole; *ret_reader has no records, and whatever descriptors came (for the listeners among them, by
 * sp_record_take_fd). SP_WALK_RESUMED: the old one goes on and said why. The reader, and the bytes that
 * records borrow from it, live until sp_walk_new_free. */
enum sp_walk_end sp_walk_new_take(struct sp_walk_new *walk, struct sp_record_reader **ret_reader,
                                  char trouble[SP_WALK_TROUBLE]);
/* Everything is loaded: `ready`, and wait for `yours`. MOVED or ALONE: it is ours; `running` has been said,
 * the caller starts. RESUMED: `abort` came: the caller ends by _exit, touching no socket. */
enum sp_walk_end sp_walk_new_finish(struct sp_walk_new *walk, char trouble[SP_WALK_TROUBLE]);
/* It cannot be loaded: say so to the old one, and wait until it says that it goes on: SP_WALK_RESUMED, the
 * caller ends by _exit. SP_WALK_ALONE: the old one is dead, nobody serves; the caller starts afresh (as a new
 * process, if it has loaded something), or fails for its supervisor to start it again. */
enum sp_walk_end sp_walk_new_refuse(struct sp_walk_new *walk, const char *words);
/* After SP_WALK_MOVED the old one exits by itself. Its pidfd, the caller's from here on, is readable when it
 * has; while it lives, sockets that we close stay open by its copies, so whoever waits in vain ends it. -1:
 * it is dead. */
int sp_walk_new_take_pidfd(struct sp_walk_new *walk);
/* Descriptors that nobody took are closed (not shut down: others may hold them). NULL is fine. */
void sp_walk_new_free(struct sp_walk_new *walk);

#endif
