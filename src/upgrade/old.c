/* old: the side of a walk that serves, and hands itself over.
 *
 *      greeted ── go ──> saves ── set ──> waits ── ready ──> yours ── running ──> MOVED: exits
 *         │                │                │                  │
 *         │ nonsense, end  │ cannot move    │ no, end, time    │ no, end, time: make sure that the new one
 *         │ time           │                │                  │ is dead; had it said `running`? else go on
 *         └────────────────┴────────────────┴──────────────────┴──> abort ──> RESUMED: serves as before
 *
 * Up to `yours` nothing is lost by giving up: saving reads, and the new process touches no socket. So every
 * doubt ends in `abort`, which is always said, also to one that seems to have gone: an end without it tells
 * the new process that we are dead, and it would make sure of that. When abort cannot be delivered, because
 * the new one takes no messages or has shut its ear (it takes us for dead), it is the new one that must die
 * before we go on.
 *
 * From `yours` on we own nothing. Patience over, the ear is shut; a `running` that came before has begun, and
 * is not touched, however it goes on: its sockets are no longer as we saved them. Without one it has not
 * begun, and cannot any more: it is ended, for it holds copies, and then everything is ours again.
 *
 * All of it blocks the main thread, for the times given at most, twice: telling the walk as callbacks of the
 * loop was drawn first, and gave every step two more ways to be entered. */
#include "upgrade/walk_impl.h"

#include <unistd.h>

#include "base/mem.h"
#include "io/memfile.h"

struct sp_walk_old {
    struct sp_walk_talk talk;
    bool asked; /* the successor may hold copies of our sockets */
    bool over;  /* nothing more is to be said */
    bool heard; /* a message waits in `talk`, or the error of hearing it */
    sp_err err; /* of that */
};

/* Say that we go on, and be sure that it is known. */
static void give_up(struct sp_walk_old *walk, const char *words)
{
    if (walk->over)
        return;
    walk->over = true;
    sp_err err = sp_walk_say(&walk->talk, SP_WALK_ABORT, sp_str_c(words), NULL, 0, SP_WALK_GRACE_MS);
    if (!err || (err == SP_E_RESET && !walk->asked))
        return;
    /* It may have been given everything, so it must not live when we go on. */
    SP_IGNORE(sp_walk_end_peer(&walk->talk, err == SP_E_RESET ? SP_WALK_GRACE_MS : 0));
}

/* --- the first half ------------------------------------------------------------------------------------- */

static sp_err greet(struct sp_walk_talk *talk, const struct sp_record_book *book, uint32_t workers,
                    const char *build, char trouble[SP_WALK_TROUBLE])
{
    sp_err err = sp_walk_hear(talk, talk->times.hello_ms);
    if (err || talk->kind != SP_WALK_HELLO) {
        sp_walk_words_for(talk, err, "hello", talk->times.hello_ms, trouble);
        return err ? err : SP_E_INVALID;
    }
    err = sp_walk_take_hello(talk, book, trouble);
    if (err) {
        /* It may have gone: then nobody needs the words. */
        SP_IGNORE(sp_walk_say(talk, SP_WALK_NO, sp_str_c(trouble), NULL, 0, 0));
        return err;
    }
    err = sp_walk_say_hello(talk, book, workers, build);
    if (err)
        sp_walk_words(trouble, "process %u does not hear: %s", talk->peer.pid, sp_err_str(err));
    return err;
}

sp_err sp_walk_old_greet(int fd, const struct sp_record_book *book, uint32_t workers, const char *build,
                         const struct sp_walk_times *times, struct sp_walk_old **ret_walk,
                         char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_old *walk = sp_mem_zalloc(sizeof(*walk));
    if (!walk) {
        close(fd);
        sp_walk_words(trouble, "%s", sp_err_str(SP_E_NOMEM));
        return SP_E_NOMEM;
    }
    sp_err err = sp_walk_talk_init(&walk->talk, fd, times, trouble);
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

void sp_walk_old_refuse(int fd, const char *words)
{
    char message[SP_WALK_TROUBLE] = { SP_WALK_NO };
    size_t len = SP_MIN(strlen(words), sizeof(message) - 1);
    memcpy(message + 1, words, len);
    SP_IGNORE(sp_fdpass_send(fd, message, len + 1, NULL, 0, 0)); /* it may have gone */
    close(fd);
}

void sp_walk_old_abort(struct sp_walk_old *walk, const char *words)
{
    give_up(walk, words);
}

int sp_walk_old_fd(const struct sp_walk_old *walk)
{
    return walk->talk.sock;
}

const struct sp_walk_peer *sp_walk_old_peer(const struct sp_walk_old *walk)
{
    return &walk->talk.peer;
}

uint32_t sp_walk_old_go_ms(const struct sp_walk_old *walk)
{
    return walk->talk.times.go_ms;
}

int sp_walk_old_take_pidfd(struct sp_walk_old *walk)
{
    int fd = walk->asked ? walk->talk.process : -1;
    if (fd >= 0)
        walk->talk.process = -1;
    return fd;
}

void sp_walk_old_free(struct sp_walk_old *walk)
{
    if (!walk)
        return;
    give_up(walk, "the old process ended the talk");
    sp_walk_talk_deinit(&walk->talk);
    sp_mem_free(walk);
}

/* --- the second half ------------------------------------------------------------------------------------ */

static sp_err send_fds(struct sp_walk_talk *talk, enum sp_walk_message kind,
                       const struct sp_record_writer *writer)
{
    for (uint32_t at = 0; at < writer->fd_count;) {
        uint32_t count = SP_MIN(writer->fd_count - at, (uint32_t)SP_FDPASS_MAX);
        sp_err err = sp_walk_say(talk, kind, SP_STR_NULL, writer->fds + at, count, talk->times.load_ms);
        if (err)
            return err;
        at += count;
    }
    return SP_OK;
}

/* As a set, or as a part of what is told ahead. */
static sp_err send_records(struct sp_walk_talk *talk, enum sp_walk_message kind,
                           const struct sp_record_writer *writer)
{
    sp_str records = sp_buf_str(&writer->out);
    struct sp_walk_set set = { .bytes = records.len,
                               .hash = sp_str_hash(records),
                               .records = writer->records,
                               .fds = writer->fd_count };
    int file;
    if (set.bytes > SP_WALK_SET_MAX || set.fds > SP_WALK_FDS_MAX)
        return SP_E_LIMIT;
    sp_err err = sp_memfile_new(records, &file);
    if (err)
        return err;
    err = send_fds(talk, kind == SP_WALK_PART ? SP_WALK_PART_BATCH : SP_WALK_BATCH, writer);
    if (!err)
        err = sp_walk_say(talk, kind, sp_str_of(&set, sizeof(set)), &file, 1, talk->times.load_ms);
    close(file);
    return err;
}

bool sp_walk_old_asks_ahead(struct sp_walk_old *walk)
{
    walk->err = sp_walk_hear(&walk->talk, 0);
    walk->heard = walk->err || walk->talk.kind != SP_WALK_AHEAD;
    walk->asked = walk->asked || !walk->heard;
    return !walk->heard;
}

const struct sp_record_schema *sp_walk_old_schema(const struct sp_walk_old *walk)
{
    return walk->talk.schema;
}

sp_err sp_walk_old_part(struct sp_walk_old *walk, const struct sp_record_writer *part)
{
    return send_records(&walk->talk, SP_WALK_PART, part);
}

sp_err sp_walk_old_end_parts(struct sp_walk_old *walk)
{
    return sp_walk_say(&walk->talk, SP_WALK_END, SP_STR_NULL, NULL, 0, walk->talk.times.load_ms);
}

/* Everything up to `yours`. On an error nothing has been given away. */
static sp_err give(struct sp_walk_talk *talk, const struct sp_record_writer *writer,
                   char trouble[SP_WALK_TROUBLE])
{
    sp_err err = send_records(talk, SP_WALK_SET, writer);
    if (err) {
        sp_walk_words(trouble, "process %u did not get %llu records and %u descriptors: %s", talk->peer.pid,
                      (unsigned long long)writer->records, writer->fd_count, sp_err_str(err));
        return err;
    }
    err = sp_walk_hear(talk, talk->times.load_ms);
    if (err || talk->kind != SP_WALK_READY) {
        sp_walk_words_for(talk, err, "ready", talk->times.load_ms, trouble);
        return err ? err : SP_E_INVALID;
    }
    err = sp_walk_say(talk, SP_WALK_YOURS, SP_STR_NULL, NULL, 0, talk->times.run_ms);
    if (err)
        sp_walk_words(trouble, "process %u does not hear `yours`: %s", talk->peer.pid, sp_err_str(err));
    return err;
}

/* Is `running` among what had come by now? Nothing that comes later counts. */
static bool has_begun(struct sp_walk_talk *talk)
{
    sp_err err;
    sp_walk_shut(talk);
    do {
        err = sp_walk_hear(talk, 0);
        if (!err && talk->kind == SP_WALK_RUNNING)
            return true;
    } while (!err || err == SP_E_INVALID || err == SP_E_LIMIT); /* there is no more than had come */
    return false;
}

/* `yours` has been said. */
static enum sp_walk_end wait_running(struct sp_walk_old *walk, char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    sp_err err = sp_walk_hear(talk, talk->times.run_ms);
    if (!err && talk->kind == SP_WALK_RUNNING)
        return SP_WALK_MOVED;
    sp_walk_words_for(talk, err, "running", talk->times.run_ms, trouble);
    if (!err && talk->kind == SP_WALK_NO) { /* it promises to touch nothing */
        give_up(walk, trouble);
        return SP_WALK_RESUMED;
    }
    if (has_begun(talk) || !sp_walk_end_peer(talk, err == SP_E_CLOSED ? SP_WALK_GRACE_MS : 0))
        return SP_WALK_MOVED; /* two that serve would be worse than none */
    return SP_WALK_RESUMED;
}

static sp_err save(struct sp_walk_old *walk, const struct sp_walk_old_ops *ops, void *arg,
                   struct sp_record_writer *writer, char trouble[SP_WALK_TROUBLE])
{
    sp_err err = ops->save(arg, &walk->talk.peer, writer);
    if (!err)
        err = writer->err;
    if (err)
        sp_walk_words(trouble, "%s", writer->trouble[0] ? writer->trouble : sp_err_str(err));
    return err;
}

enum sp_walk_end sp_walk_old_run(struct sp_walk_old *walk, const struct sp_walk_old_ops *ops, void *arg,
                                 char trouble[SP_WALK_TROUBLE])
{
    struct sp_walk_talk *talk = &walk->talk;
    trouble[0] = 0;
    sp_err err = walk->heard ? walk->err : sp_walk_hear(talk, 0);
    if (err || talk->kind != SP_WALK_GO) {
        sp_walk_words_for(talk, err, "go", talk->times.go_ms, trouble);
        give_up(walk, trouble);
        return SP_WALK_RESUMED;
    }
    walk->asked = true;
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, talk->schema);
    err = save(walk, ops, arg, &writer, trouble);
    if (!err)
        err = give(talk, &writer, trouble);
    sp_record_writer_deinit(&writer);

    enum sp_walk_end end = SP_WALK_RESUMED;
    if (err)
        give_up(walk, trouble);
    else
        end = wait_running(walk, trouble);
    walk->over = true;
    if (end == SP_WALK_RESUMED)
        ops->resume(arg);
    return end;
}
