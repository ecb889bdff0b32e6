/* new: the side of a walk that takes over.
 *
 *      greeted ── go ──> takes batches, the set ── ready ──> waits ── yours ──> running: MOVED
 *                               │                               │
 *                 abort ────────┼───────────────────────────────┼──> RESUMED: the old one serves, we _exit
 *                 end, time ────┴───────────────────────────────┴──> see that the old one is dead: ALONE
 *
 * Until `yours` we touch no socket: bytes that we read would be missing where the old one goes on. What we do
 * with descriptors before that is to hold them.
 *
 * An end without `abort` means that the old process died: it says abort whenever it goes on. It is believed
 * after its pidfd says so too, or after it was killed. A whole set (length, hash and count of descriptors
 * agree) is as good from a dead process as from a living one, for it stopped before it saved. Of half a set
 * only the descriptors are of use, and among them the listeners: a listener that is closed resets those who
 * queue at it.
 *
 * When it is we who cannot go on, saying `no` is not enough: the old one may die in that very moment, and
 * nobody would serve. So whoever turns back waits for the old one's `abort`.
 *
 * Who has waited too long shuts its ear before it kills: an `abort` that came until then is heard and counts,
 * one that comes later is refused, and the old one then waits for our death instead of going on. So it is
 * with us: where `running` is refused we do not begin before the old one is dead. */
#include "upgrade/walk_impl.h"

#include <unistd.h>

#include "base/mem.h"
#include "io/memfile.h"
#include "io/pidfd.h"

/* Messages that one may say which we do not want to hear any more: all batches, and a few. */
enum { FIRST_FDS = 256, TURN_BACK_MESSAGES = SP_WALK_FDS_MAX / SP_FDPASS_MAX + 16 };

/* As many hello_ms more for one that is busy: a walk with another takes load_ms, run_ms and the burial. */
enum { BUSY_TIMES = 3 };

struct sp_walk_new {
    struct sp_walk_talk talk;
    struct sp_record_reader reader;
    sp_str records; /* mapped */
    int *fds;       /* of the reader: those that nobody took are closed in the end */
    uint32_t fd_count, fd_cap;
    bool old_is_dead; /* certainly */
};

/* --- the first half ------------------------------------------------------------------------------------- */

static sp_err connect_to(const char *path, const struct sp_walk_times *times, int *ret_sock,
                         char trouble[SP_WALK_TROUBLE])
{
    int wait_ms = times && times->hello_ms ? (int)times->hello_ms : SP_WALK_KILL_MS;
    sp_err err = sp_fdpass_connect(path, wait_ms, ret_sock);
    if (err == SP_E_MISSING)
        sp_walk_words(trouble, "nobody listens at %s", path);
    else if (err == SP_E_UNSUPPORTED)
        sp_walk_words(trouble, "%s is not a socket for taking over", path);
    else if (err)
        sp_walk_words(trouble, "%s: %s", path, sp_err_str(err));
    return err;
}

/* One that is silent may be busy with another successor, and serves again soon. One that is stopped does not
 * serve, and holds what we need. */
static sp_err hear_hello(struct sp_walk_talk *talk, char trouble[SP_WALK_TROUBLE])
{
    uint32_t waited_ms = talk->times.hello_ms;
    sp_err err = sp_walk_hear(talk, waited_ms);
    if (err == SP_E_TIMEOUT && !sp_pidfd_is_stopped(talk->process, talk->peer.pid)) {
        waited_ms += BUSY_TIMES * talk->times.hello_ms;
        err = sp_walk_hear(talk, BUSY_TIMES * talk->times.hello_ms);
    }
    if (!err && talk->kind == SP_WALK_HELLO)
        return SP_OK;
    sp_walk_words_for(talk, err, "hello", waited_ms, trouble);
    bool stopped = err == SP_E_TIMEOUT && sp_pidfd_is_stopped(talk->process, talk->peer.pid);
    if (stopped && sp_walk_end_peer(talk, 0))
        return SP_E_MISSING;
    if (err == SP_E_CLOSED && sp_pidfd_wait(talk->process, SP_WALK_GRACE_MS) == SP_OK)
        return SP_E_MISSING;
    return err == SP_E_TIMEOUT ? err : SP_E_UNSUPPORTED;
}

static sp_err greet(struct sp_walk_talk *talk, const struct sp_record_book *book, uint32_t workers,
                    const char *build, char trouble[SP_WALK_TROUBLE])
{
    sp_err err = sp_walk_say_hello(talk, book, workers, build);
    if (err && err != SP_E_RESET) { /* one that has gone may have said why */
        sp_walk_words(trouble, "process %u does not hear: %s", talk->peer.pid, sp_err_str(err));
        return err;
    }
    err = hear_hello(talk, trouble);
    if (!err) {
        err = sp_walk_take_hello(talk, book, trouble);
        if (err) /* it hears the end otherwise */
            SP_IGNORE(sp_walk_say(talk, SP_WALK_NO, sp_str_c(trouble), NULL, 0, 0));
    }
    return err;
}

sp_err sp_walk_new_greet(const char *path, const struct sp_record_book *book, uint32_t workers,
                         const char *build, const struct sp_walk_times *times, struct sp_walk_new **ret_walk,
                         char trouble[SP_WALK_TROUBLE])
{
    int sock;
    sp_err err = connect_to(path, times, &sock, trouble);
    if (err)
        return err;
    struct sp_walk_new *walk = sp_mem_zalloc(sizeof(*walk));
    if (!walk) {
        close(sock);
        sp_walk_words(trouble, "%s", sp_err_str(SP_E_NOMEM));
        return SP_E_NOMEM;
    }
    err = sp_walk_talk_init(&walk->talk, sock, times, trouble);
    if (err)
        goto fail_init;
    err = greet(&walk->talk, book, workers, build, trouble);
    if (err)
        goto fail_greet;
    *ret_walk = walk;
    return SP_OK;

fail_greet:
    sp_walk_talk_deinit(&walk->talk);
fail_init:
    sp_mem_free(walk);
    return err;
}

const struct sp_walk_peer *sp_walk_new_peer(const struct sp_walk_new *walk)
{
    return &walk->talk.peer;
}

int sp_walk_new_take_pidfd(struct sp_walk_new *walk)
{
    int fd = walk->old_is_dead ? -1 : walk->talk.process;
    if (fd >= 0)
        walk->talk.process = -1;
    return fd;
}

void sp_walk_new_free(struct sp_walk_new *walk)
{
    if (!walk)
        return;
    sp_walk_talk_deinit(&walk->talk);
    for (uint32_t i = 0; i < walk->fd_count; i++)
        if (walk->fds[i] >= 0)
            close(walk->fds[i]);
    sp_mem_free(walk->fds);
    sp_memfile_unmap(walk->records);
    sp_mem_free(walk);
}

/* --- turning back and going alone ----------------------------------------------------------------------- */

/* The next message. Where none comes in time nothing is waited for any more: what had come by then is heard
 * to its end, SP_E_CLOSED. */
static sp_err hear(struct sp_walk_new *walk, uint32_t wait_ms)
{
    sp_err err = sp_walk_hear(&walk->talk, wait_ms);
    if (err != SP_E_TIMEOUT)
        return err;
    sp_walk_shut(&walk->talk);
    return sp_walk_hear(&walk->talk, 0);
}

static uint32_t grace_ms(const struct sp_walk_new *walk)
{
    return walk->talk.shut ? 0 : SP_WALK_GRACE_MS;
}

/* The old one has ended the talk, or hangs: see that it is dead. */
static enum sp_walk_end bury(struct sp_walk_new *walk, uint32_t within_ms)
{
    walk->old_is_dead = walk->old_is_dead || sp_walk_end_peer(&walk->talk, within_ms);
    return walk->old_is_dead ? SP_WALK_ALONE : SP_WALK_RESUMED; /* two that serve would be worse than none */
}

/* Say `no`, and hear whether the old one goes on. */
static enum sp_walk_end turn_back(struct sp_walk_new *walk, const char *words)
{
    struct sp_walk_talk *talk = &walk->talk;
    if (walk->old_is_dead)
        return SP_WALK_ALONE;
    sp_err err = sp_walk_say(talk, SP_WALK_NO, sp_str_c(words), NULL, 0, talk->times.yours_ms);
    if (err == SP_E_RESET)
        err = SP_OK; /* what it said before waits to be heard */
    for (int i = 0; !err && i < TURN_BACK_MESSAGES; i++) {
        err = hear(walk, talk->times.yours_ms);
        if (!err && talk->kind == SP_WALK_ABORT)
            return SP_WALK_RESUMED;
        if (err == SP_E_INVALID || err == SP_E_LIMIT)
            err = SP_OK;
    }
    if (err != SP_E_CLOSED)
        sp_walk_shut(talk); /* it talks on and on, or does not hear: it is not waited for */
    return bury(walk, grace_ms(walk));
}

enum sp_walk_end sp_walk_new_refuse(struct sp_walk_new *walk, const char *words)
{
    char cut[SP_WALK_TROUBLE];
    sp_walk_words(cut, "%s", words);
    return turn_back(walk, cut);
}

/* --- the second half ------------------------------------------------------------------------------------ */

/* The descriptors just heard are ours. */
static sp_err keep_fds(struct sp_walk_new *walk)
{
    struct sp_walk_talk *talk = &walk->talk;
    uint32_t need = walk->fd_count + talk->fd_count;
    if (need > SP_WALK_FDS_MAX)
        return SP_E_LIMIT;
    if (need > walk->fd_cap) {
        uint32_t cap = SP_MAX(need, walk->fd_cap ? walk->fd_cap * 2 : FIRST_FDS);
        int *fds = sp_mem_realloc(walk->fds, cap * sizeof(*fds));
        if (!fds)
            return SP_E_NOMEM;
        walk->fds = fds;
        walk->fd_cap = cap;
    }
    memcpy(walk->fds + walk->fd_count, talk->fds, talk->fd_count * sizeof(*talk->fds));
    walk->fd_count = need;
    talk->fd_count = 0;
    return SP_OK;
}

/* The set or part just heard: is it whole? Its descriptor stays with the talk. */
static sp_err open_set(struct sp_walk_new *walk)
{
    struct sp_walk_talk *talk = &walk->talk;
    struct sp_walk_set set;
    if (talk->body.len != sizeof(set))
        return SP_E_INVALID;
    memcpy(&set, talk->body.ptr, sizeof(set));
    sp_err err = sp_memfile_map(talk->fds[0], SP_WALK_SET_MAX, &walk->records);
    if (err)
        return err;
    bool whole = set.bytes == walk->records.len && set.hash == sp_str_hash(walk->records) &&
                 set.fds == walk->fd_count;
    if (!whole) {
        sp_memfile_unmap(walk->records);
        walk->records = SP_STR_NULL;
    }
    return whole ? SP_OK : SP_E_INVALID;
}

/* What `want` waits for did not come: the old one gave up, or is dead, or must be told. */
static enum sp_walk_end lost(struct sp_walk_new *walk, sp_err err, const char *want,
                             char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    sp_walk_words_for(talk, sp_walk_end_of(talk, err), want, talk->times.save_ms, trouble);
    if (!err && talk->kind == SP_WALK_ABORT)
        return SP_WALK_RESUMED;
    return err == SP_E_CLOSED ? bury(walk, grace_ms(walk)) : turn_back(walk, trouble);
}

/* One message of the set. *ret_whole: it was the last. */
static sp_err take_one(struct sp_walk_new *walk, bool *ret_whole)
{
    if (walk->talk.kind == SP_WALK_BATCH)
        return keep_fds(walk);
    sp_err err = open_set(walk);
    *ret_whole = !err;
    return err;
}

/* Waits for the set; `reader` is left to the caller. */
static enum sp_walk_end take(struct sp_walk_new *walk, char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    for (bool whole = false; !whole;) {
        sp_err err = hear(walk, talk->times.save_ms);
        if (!err && (talk->kind == SP_WALK_BATCH || talk->kind == SP_WALK_SET)) {
            err = take_one(walk, &whole);
            if (!err)
                continue;
            sp_walk_words(trouble, "what process %u sent cannot be taken: %s", talk->peer.pid,
                          sp_err_str(err));
            return turn_back(walk, trouble);
        }
        return lost(walk, err, "set", trouble);
    }
    if (talk->shut && bury(walk, grace_ms(walk)) == SP_WALK_RESUMED) /* it hung behind its set */
        return SP_WALK_RESUMED;
    return SP_WALK_MOVED;
}

/* What was not taken of a part is nobody's. */
static void end_part(struct sp_walk_new *walk)
{
    for (uint32_t i = 0; i < walk->fd_count; i++)
        if (walk->fds[i] >= 0)
            close(walk->fds[i]);
    walk->fd_count = 0;
    sp_memfile_unmap(walk->records);
    walk->records = SP_STR_NULL;
}

/* One message of what is told ahead. */
static sp_err hear_part(struct sp_walk_new *walk,
                        sp_err (*on_part)(void *arg, struct sp_record_reader *reader), void *arg,
                        char trouble[SP_WALK_TROUBLE])
{
    sp_err err = walk->talk.kind == SP_WALK_PART_BATCH ? keep_fds(walk) : open_set(walk);
    if (!err && walk->talk.kind == SP_WALK_PART) {
        sp_record_reader_init(&walk->reader, walk->records, walk->fds, walk->fd_count);
        err = on_part(arg, &walk->reader);
        sp_walk_words(trouble, "%s", walk->reader.trouble);
        end_part(walk);
    }
    if (err && !trouble[0])
        sp_walk_words(trouble, "what process %u told ahead cannot be taken: %s", walk->talk.peer.pid,
                      sp_err_str(err));
    return err;
}

enum sp_walk_end sp_walk_new_ahead(struct sp_walk_new *walk, uint16_t kind,
                                   sp_err (*on_part)(void *arg, struct sp_record_reader *reader), void *arg,
                                   char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    trouble[0] = 0;
    if (!sp_record_schema_knows(talk->schema, kind))
        return SP_WALK_MOVED;
    /* As with `go`: what is wrong is heard. */
    SP_IGNORE(sp_walk_say(talk, SP_WALK_AHEAD, SP_STR_NULL, NULL, 0, talk->times.save_ms));
    for (;;) {
        sp_err err = sp_walk_hear(talk, talk->times.save_ms);
        if (!err && talk->kind == SP_WALK_END)
            return SP_WALK_MOVED;
        bool part = !err && (talk->kind == SP_WALK_PART_BATCH || talk->kind == SP_WALK_PART);
        if (part && hear_part(walk, on_part, arg, trouble))
            return turn_back(walk, trouble);
        if (part)
            continue;
        if (err != SP_E_TIMEOUT)
            return lost(walk, err, "part", trouble);
        return SP_WALK_ALONE; /* slow or hung: it serves perhaps, and nobody is ended before `go` */
    }
}

enum sp_walk_end sp_walk_new_take(struct sp_walk_new *walk, struct sp_record_reader **ret_reader,
                                  char trouble[SP_WALK_TROUBLE])
{
    trouble[0] = 0;
    /* When it cannot be said the old one is dead or gave up: hearing tells which. */
    SP_IGNORE(sp_walk_say(&walk->talk, SP_WALK_GO, SP_STR_NULL, NULL, 0, walk->talk.times.save_ms));
    enum sp_walk_end end = take(walk, trouble);
    sp_record_reader_init(&walk->reader, walk->records, walk->fds, walk->fd_count);
    *ret_reader = &walk->reader;
    return end;
}

/* `yours` has come: begin, unless the old one hears us no more: it is dead, or has lost its patience and ends
 * us in this very moment. */
static enum sp_walk_end begin(struct sp_walk_new *walk, char trouble[SP_WALK_TROUBLE])
{
    if (!sp_walk_say(&walk->talk, SP_WALK_RUNNING, SP_STR_NULL, NULL, 0, 0))
        return SP_WALK_MOVED;
    sp_walk_words(trouble, "process %u does not hear `running`", walk->talk.peer.pid);
    return bury(walk, SP_WALK_GRACE_MS);
}

enum sp_walk_end sp_walk_new_finish(struct sp_walk_new *walk, char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    trouble[0] = 0;
    if (walk->old_is_dead)
        return SP_WALK_ALONE;
    /* As with `go`: what is wrong is heard. */
    SP_IGNORE(sp_walk_say(talk, SP_WALK_READY, SP_STR_NULL, NULL, 0, talk->times.yours_ms));
    sp_err err = hear(walk, talk->times.yours_ms);
    if (!err && talk->kind == SP_WALK_YOURS)
        return begin(walk, trouble);
    sp_walk_words_for(talk, sp_walk_end_of(talk, err), "yours", talk->times.yours_ms, trouble);
    if (!err && talk->kind == SP_WALK_ABORT)
        return SP_WALK_RESUMED;
    return err == SP_E_CLOSED ? bury(walk, grace_ms(walk)) : turn_back(walk, trouble);
}
