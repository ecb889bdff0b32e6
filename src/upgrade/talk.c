/* talk: the messages of a walk, and the certainty about who is at the other end.
 *
 *      ┌──────┬──────────────────────────────┐
 *      │ kind │ body: words, hello, a set    │  one message of a SOCK_SEQPACKET socket, descriptors beside it
 *      └──────┴──────────────────────────────┘
 *
 * Messages stay whole, so there is no framing to get wrong; they keep their order; and the end of the other
 * process is told behind all that it said. That last point has a trap: when a process dies (or closes) with
 * something unread in its queue, the kernel tells the survivor ECONNRESET first and hands out what was said
 * before it afterwards. An `abort` read as a plain end would make the new process kill the old one while
 * that serves again, so a reset is only believed the second time.
 *
 * The other side is held by its pidfd from the first moment, and whoever we could not end is refused then:
 * the walk stands on being able to make sure. Its number must be the one that it says itself; another one
 * means a socket that was handed down by somebody else, or a process of another pid namespace, and both would
 * have us end the wrong process.
 *
 * Two processes that wait for one another can both come to the end of their patience, or one just when the
 * other acts. So who gives up shuts its ear first (sp_fdpass_shut): a message is either in the queue by then,
 * and counts, or it is refused to its sender. `running` refused is no `running`: the new process must not
 * start; `abort` refused is no `abort`: the old one must not go on. Killing first and looking at the queue
 * then was tried before; it left an instant in which the killed one had already begun, and nobody served.
 *
 * A hello is written as it lies in memory, with the tables' schema behind it. It is the one message that must
 * keep its form for ever: what changes the walk changes the magic, and is refused in words. */
#include "upgrade/walk_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "io/pidfd.h"

enum { DEFAULT_MS = 5000, DEFAULT_GO_MS = 120000 };

static const char magic[8] = "SPWALK1";

struct hello {
    char magic[8];
    uint32_t pid, workers;
    char build[SP_WALK_BUILD]; /* ends in NUL */
};

/* --- words ---------------------------------------------------------------------------------------------- */

void sp_walk_words(char trouble[SP_WALK_TROUBLE], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(trouble, SP_WALK_TROUBLE, fmt, args); /* what is longer is cut */
    va_end(args);
}

void sp_walk_words_for(const struct sp_walk_talk *talk, sp_err err, const char *want, uint32_t waited_ms,
                       char trouble[SP_WALK_TROUBLE])
{
    uint32_t pid = talk->peer.pid;
    if (err == SP_E_CLOSED)
        sp_walk_words(trouble, "process %u ended the talk before `%s`", pid, want);
    else if (err == SP_E_TIMEOUT)
        sp_walk_words(trouble, "process %u did not say `%s` within %u ms", pid, want, waited_ms);
    else if (err)
        sp_walk_words(trouble, "process %u was not understood where `%s` belongs: %s", pid, want,
                      sp_err_str(err));
    else if (talk->kind == SP_WALK_NO || talk->kind == SP_WALK_ABORT)
        sp_walk_words(trouble, "process %u gives up: %.*s", pid, SP_STR_ARG(talk->body));
    else
        sp_walk_words(trouble, "process %u said '%c' where `%s` belongs", pid, talk->kind, want);
}

/* --- the other process ---------------------------------------------------------------------------------- */

static struct sp_walk_times times_of(const struct sp_walk_times *given)
{
    struct sp_walk_times t = given ? *given : (struct sp_walk_times){ 0 };
    t.hello_ms = t.hello_ms ? t.hello_ms : DEFAULT_MS;
    t.go_ms = t.go_ms ? t.go_ms : DEFAULT_GO_MS;
    t.load_ms = t.load_ms ? t.load_ms : DEFAULT_MS;
    t.run_ms = t.run_ms ? t.run_ms : DEFAULT_MS;
    t.save_ms = t.save_ms ? t.save_ms : DEFAULT_MS;
    t.yours_ms = t.yours_ms ? t.yours_ms : DEFAULT_MS;
    return t;
}

sp_err sp_walk_talk_init(struct sp_walk_talk *talk, int sock, const struct sp_walk_times *times,
                         char trouble[SP_WALK_TROUBLE])
{
    uint32_t pid = 0, uid = 0;
    talk->sock = sock;
    talk->process = -1;
    talk->times = times_of(times);
    sp_err err = sp_pidfd_peer(sock, &talk->process, &pid, &uid);
    if (err == SP_E_UNSUPPORTED)
        sp_walk_words(trouble,
                      "the socket's process is in a pid namespace that this one cannot see, or is dead "
                      "and has handed the socket down");
    else if (err)
        sp_walk_words(trouble, "the other process cannot be held: %s", sp_err_str(err));
    if (!err && uid != sp_uid_own() && uid != 0) {
        err = SP_E_DENIED;
        sp_walk_words(trouble, "process %u is of user %u, and this one of user %u", pid, uid, sp_uid_own());
    }
    if (!err) {
        err = sp_pidfd_may_end(talk->process);
        if (err)
            sp_walk_words(trouble, "process %u could not be ended if it hung: %s", pid, sp_err_str(err));
    }
    talk->peer.pid = pid;
    if (err) { /* the other side may be able to hold us, and wonder */
        sp_walk_old_refuse(sock, trouble);
        talk->sock = -1;
        sp_walk_talk_deinit(talk);
    }
    return err;
}

static void drop_fds(struct sp_walk_talk *talk)
{
    for (uint32_t i = 0; i < talk->fd_count; i++)
        close(talk->fds[i]);
    talk->fd_count = 0;
}

void sp_walk_talk_deinit(struct sp_walk_talk *talk)
{
    drop_fds(talk);
    if (talk->sock >= 0)
        close(talk->sock);
    if (talk->process >= 0)
        close(talk->process);
    talk->sock = talk->process = -1;
    sp_record_schema_free(talk->schema);
    talk->schema = NULL;
}

bool sp_walk_end_peer(struct sp_walk_talk *talk, uint32_t grace_ms)
{
    if (sp_pidfd_wait(talk->process, (int)grace_ms) == SP_OK)
        return true;
    sp_err err = sp_pidfd_end(talk->process);
    if (err && err != SP_E_MISSING)
        return false;
    /* Killed, it touches nothing any more, even where the kernel takes longer to bury it. */
    SP_IGNORE(sp_pidfd_wait(talk->process, SP_WALK_KILL_MS));
    return true;
}

/* --- messages ------------------------------------------------------------------------------------------- */

sp_err sp_walk_say(struct sp_walk_talk *talk, enum sp_walk_message kind, sp_str body, const int *fds,
                   uint32_t count, uint32_t timeout_ms)
{
    SP_ASSERT(body.len < SP_WALK_MESSAGE_BYTES);
    talk->bytes[0] = (char)kind; /* what was heard is over */
    if (body.len)
        memcpy(talk->bytes + 1, body.ptr, body.len);
    return sp_fdpass_send(talk->sock, talk->bytes, body.len + 1, fds, count, (int)timeout_ms);
}

/* Does a message of that kind come with so many descriptors? */
static bool fits(uint8_t kind, uint32_t fd_count)
{
    switch ((enum sp_walk_message)kind) {
    case SP_WALK_PART_BATCH:
    case SP_WALK_BATCH: return fd_count > 0;
    case SP_WALK_PART:
    case SP_WALK_SET: return fd_count == 1;
    case SP_WALK_HELLO:
    case SP_WALK_NO:
    case SP_WALK_AHEAD:
    case SP_WALK_END:
    case SP_WALK_GO:
    case SP_WALK_READY:
    case SP_WALK_YOURS:
    case SP_WALK_RUNNING:
    case SP_WALK_ABORT: return fd_count == 0;
    }
    return false;
}

void sp_walk_shut(struct sp_walk_talk *talk)
{
    sp_fdpass_shut(talk->sock);
    talk->shut = true;
}

sp_err sp_walk_end_of(const struct sp_walk_talk *talk, sp_err err)
{
    return err == SP_E_CLOSED && talk->shut ? SP_E_TIMEOUT : err;
}

sp_err sp_walk_hear(struct sp_walk_talk *talk, uint32_t timeout_ms)
{
    ssize_t got;
    int resets = 0;
    drop_fds(talk);
    talk->kind = 0;
    talk->body = SP_STR_NULL;
    do
        got = sp_fdpass_recv(talk->sock, talk->bytes, sizeof(talk->bytes), talk->fds, SP_FDPASS_MAX,
                             &talk->fd_count, (int)timeout_ms);
    while (got == SP_E_RESET && resets++ == 0);
    if (got == 0 || got == SP_E_RESET)
        return SP_E_CLOSED;
    if (got < 0)
        return (sp_err)got;
    talk->kind = (uint8_t)talk->bytes[0];
    if (got == sizeof(talk->bytes) || !fits(talk->kind, talk->fd_count)) {
        drop_fds(talk);
        return SP_E_INVALID;
    }
    talk->body = sp_str_of(talk->bytes + 1, (size_t)got - 1);
    return SP_OK;
}

/* --- hello ---------------------------------------------------------------------------------------------- */

sp_err sp_walk_say_hello(struct sp_walk_talk *talk, const struct sp_record_book *book, uint32_t workers,
                         const char *build)
{
    struct hello hello = { .pid = sp_pid_own(), .workers = workers };
    struct sp_buf body;
    memcpy(hello.magic, magic, sizeof(magic));
    snprintf(hello.build, sizeof(hello.build), "%s", build);
    sp_buf_init(&body, SP_WALK_MESSAGE_BYTES - 2);
    sp_buf_add(&body, &hello, sizeof(hello));
    sp_record_schema_write(book, &body);
    sp_err err = SP_E_NOMEM;
    if (!body.failed)
        err = sp_walk_say(talk, SP_WALK_HELLO, sp_buf_str(&body), NULL, 0, talk->times.hello_ms);
    sp_buf_deinit(&body);
    return err;
}

sp_err sp_walk_take_hello(struct sp_walk_talk *talk, const struct sp_record_book *book,
                          char trouble[SP_WALK_TROUBLE])
{
    struct hello hello;
    char why[SP_RECORD_TROUBLE] = "";
    if (talk->body.len < sizeof(hello) || memcmp(talk->body.ptr, magic, sizeof(magic)) != 0) {
        sp_walk_words(trouble, "process %u speaks another walk than %s", talk->peer.pid, magic);
        return SP_E_UNSUPPORTED;
    }
    memcpy(&hello, talk->body.ptr, sizeof(hello));
    if (hello.pid != talk->peer.pid || hello.build[SP_WALK_BUILD - 1] != 0) {
        sp_walk_words(trouble, "the socket is of process %u, and process %u speaks", talk->peer.pid,
                      hello.pid);
        return SP_E_UNSUPPORTED;
    }
    sp_err err = sp_record_schema_read(sp_str_from(talk->body, sizeof(hello)), book, &talk->schema, why);
    if (err) {
        sp_walk_words(trouble, "process %u cannot be read: %s", talk->peer.pid, why);
        return err == SP_E_NOMEM ? err : SP_E_UNSUPPORTED;
    }
    talk->peer.workers = hello.workers;
    memcpy(talk->peer.build, hello.build, sizeof(hello.build));
    return SP_OK;
}
