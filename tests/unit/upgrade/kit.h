/* kit: a walk as a play: the test forks an old and a new process, lets one of them do wrong at one step, and
 * counts in the end who serves.
 *
 *      test ──┬── old: counter 41, one end of a socket ──┐  a walk over a real Unix socket
 *             └── new: nothing                         ──┘
 *
 * Who serves adds one to the counter that it has, writes it to the socket if it has it, and tells the test;
 * the others must be dead then. The test holds the socket's other end, as a client would. */
#ifndef SP_TESTS_UPGRADE_KIT_H
#define SP_TESTS_UPGRADE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/fdpass.h"
#include "upgrade/walk_impl.h"

enum { START = 41, PATIENCE_MS = 30000 };

/* What a side does at a step, instead of going on. */
enum act {
    NOTHING,
    CRASH,
    HANG,
    GARBAGE,
    END,
    REFUSE,
    /* A set that is not whole, at OLD_HALF. */
    UNSEALED,
    OTHER_BYTES,
    OTHER_LENGTH,
    FEWER_FDS,
    SHORT_SET,
    EMPTY_BATCH,
    /* Gives up while something that it has not read waits, at OLD_SENT. */
    DEAF,
    /* Nonsense, and then `running` all the same, at NEW_OWNS. */
    LATE,
    /* Hears nothing any more, at OLD_ASKED or NEW_LOADED. */
    SHUT,
};

/* Where. The first of each side are the start. */
enum step {
    NOWHERE,
    OLD_ACCEPTED, /* before its hello */
    OLD_GREETED,  /* waits for go */
    OLD_WENT,     /* go has come */
    OLD_HALF,     /* some of the set is sent */
    OLD_SENT,     /* the whole set is sent */
    OLD_ASKED,    /* ready has come */
    OLD_GAVE,     /* yours is said */
    NEW_CONNECTED,
    NEW_GREETED,
    NEW_WENT,   /* go is said */
    NEW_LOADED, /* the set has come */
    NEW_READY,  /* ready is said */
    NEW_OWNS,   /* yours has come */
    NEW_RUNS,   /* running is said */
    NEW_KILLS,  /* the set has come: the old one is killed by the test's hand */
};

struct told {
    char who; /* 'o', 'n' */
    char how; /* 'm' with records, 'f' afresh, 'r' resumed, 's' was not even greeted */
    bool served;
    uint32_t count;
    char trouble[SP_WALK_TROUBLE];
};

struct play {
    char path[64];
    int report[2], listening[2], release[2];
    int socket[2]; /* the old one's, the test's */
    struct sp_walk_times times;
    enum step step;
    enum act act;
    pid_t old_pid, new_pid;
    uint32_t count;           /* of the process that looks */
    int have;                 /* its end of the socket; -1: none */
    uint32_t saved, resumed;  /* how often it was told to */
    struct sp_walk_talk talk; /* of a side by script */
};

struct counter {
    uint32_t n, socket;
};
static const struct sp_record_field counter_fields[] = { SP_RECORD_FIELD(1, U32, counter, n),
                                                         SP_RECORD_FIELD(2, U32, counter, socket) };
static const struct sp_record_kind counter_kind = {
    1, false, "counter", sizeof(struct counter), counter_fields, 2
};
static const struct sp_record_kind *const counter_kinds[] = { &counter_kind };
static const struct sp_record_book counter_book = { counter_kinds, 1 };

/* --- in both processes ---------------------------------------------------------------------------------- */

/* To be sure that a failing check in a process that is not the test is seen. */
#define must(expr)                                                                                           \
    do {                                                                                                     \
        if (!(expr)) {                                                                                       \
            fprintf(stderr, "# process %d: %s does not hold (line %d)\n", (int)getpid(), #expr, __LINE__);   \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static inline void tell(struct play *play, char who, char how, bool served, const char *trouble)
{
    struct told told = { .who = who, .how = how, .served = served, .count = play->count };
    snprintf(told.trouble, sizeof(told.trouble), "%s", trouble);
    must(write(play->report[1], &told, sizeof(told)) == sizeof(told));
}

/* Ends when the test lets go. */
_Noreturn static inline void serve(struct play *play, char who, char how, const char *trouble)
{
    char byte;
    play->count++;
    if (play->have >= 0) {
        char token = (char)play->count;
        must(send(play->have, &token, 1, MSG_NOSIGNAL) == 1);
    }
    tell(play, who, how, true, trouble);
    must(read(play->release[0], &byte, 1) == 0);
    _exit(0);
}

_Noreturn static inline void leave(struct play *play, char who, char how, const char *trouble)
{
    tell(play, who, how, false, trouble);
    _exit(0);
}

static inline void wait_readable(int fd)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    must(poll(&one, 1, PATIENCE_MS) == 1);
}

static inline bool crash_or_hang(struct play *play, enum step step)
{
    if (play->step != step)
        return false;
    if (play->act == CRASH)
        raise(SIGKILL);
    if (play->act == HANG)
        raise(SIGSTOP); /* the test lets it go on when somebody serves */
    return true;
}

static inline int accept_one(struct play *play)
{
    int listening, sock;
    must(sp_fdpass_listen(play->path, false, &listening) == SP_OK);
    must(write(play->listening[1], "l", 1) == 1);
    wait_readable(listening);
    must(sp_fdpass_accept(listening, &sock) == SP_OK);
    close(listening);
    return sock;
}

static inline void wait_listening(struct play *play)
{
    char byte;
    must(read(play->listening[0], &byte, 1) == 1);
}

/* --- a real old process --------------------------------------------------------------------------------- */

static inline sp_err save_counter(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer)
{
    struct play *play = arg;
    must(peer->pid == (uint32_t)play->new_pid || play->new_pid == 0);
    play->saved++;
    crash_or_hang(play, OLD_WENT);
    if (play->step == OLD_WENT && play->act == REFUSE) {
        sp_record_refuse(writer, "stream 7 cannot move");
        return SP_E_UNSUPPORTED;
    }
    struct counter counter = { play->count, sp_record_add_fd(writer, play->have) };
    sp_record_put(writer, &counter_kind, &counter);
    return SP_OK;
}

static inline void note_resume(void *arg)
{
    struct play *play = arg;
    play->resumed++;
}

static const struct sp_walk_old_ops counter_ops = { save_counter, note_resume };

static inline void real_old(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    int sock = accept_one(play);
    crash_or_hang(play, OLD_ACCEPTED);
    if (sp_walk_old_greet(sock, &counter_book, 2, "9.8.7", &play->times, &walk, trouble))
        serve(play, 'o', 's', trouble);
    crash_or_hang(play, OLD_GREETED);
    struct pollfd one = { .fd = sp_walk_old_fd(walk), .events = POLLIN };
    must(poll(&one, 1, (int)sp_walk_old_go_ms(walk)) >= 0);
    enum sp_walk_end end = sp_walk_old_run(walk, &counter_ops, play, trouble);
    must(play->saved <= 1 && play->resumed == (end == SP_WALK_RESUMED ? play->saved : 0));
    int process = sp_walk_old_take_pidfd(walk);
    must((process >= 0) == (play->saved == 1) && sp_walk_old_take_pidfd(walk) < 0);
    sp_walk_old_free(walk);
    if (process >= 0)
        close(process);
    if (end == SP_WALK_MOVED)
        leave(play, 'o', 'm', trouble);
    must(end == SP_WALK_RESUMED && trouble[0]);
    serve(play, 'o', 'r', trouble);
}

/* --- a real new process --------------------------------------------------------------------------------- */

static inline void load_counter(struct play *play, struct sp_record_reader *reader)
{
    struct counter counter;
    uint16_t kind;
    must(sp_record_next(reader, &kind) == 1 && kind == 1);
    must(sp_record_get(reader, &counter_kind, &counter) == SP_OK);
    must(sp_record_take_fd(reader, counter.socket, &play->have) == SP_OK);
    must(sp_record_next(reader, &kind) == 0);
    play->count = counter.n;
}

static inline void real_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    struct sp_record_reader *reader;
    wait_listening(play);
    crash_or_hang(play, NEW_CONNECTED);
    sp_err err = sp_walk_new_greet(play->path, &counter_book, 3, "9.8.8", &play->times, &walk, trouble);
    if (err == SP_E_MISSING)
        serve(play, 'n', 'f', trouble);
    if (err)
        leave(play, 'n', 's', trouble);
    if (crash_or_hang(play, NEW_GREETED) && play->act == REFUSE) {
        must(sp_walk_new_refuse(walk, "the configuration is wrong") == SP_WALK_RESUMED);
        leave(play, 'n', 'r', "");
    }
    enum sp_walk_end end = sp_walk_new_take(walk, &reader, trouble);
    if (end == SP_WALK_RESUMED)
        leave(play, 'n', 'r', trouble);
    if (end == SP_WALK_ALONE)
        serve(play, 'n', 'f', trouble);
    load_counter(play, reader);
    if (crash_or_hang(play, NEW_LOADED) && play->act == REFUSE) {
        must(sp_walk_new_refuse(walk, "the route is gone") == SP_WALK_RESUMED);
        leave(play, 'n', 'r', "");
    }
    if (play->step == NEW_KILLS)
        must(kill((pid_t)sp_walk_new_peer(walk)->pid, SIGKILL) == 0);
    end = sp_walk_new_finish(walk, trouble);
    if (end == SP_WALK_RESUMED)
        leave(play, 'n', 'r', trouble);
    crash_or_hang(play, NEW_RUNS);
    sp_walk_new_free(walk);
    serve(play, 'n', 'm', trouble);
}

/* --- the test ------------------------------------------------------------------------------------------- */

static inline void play_init(struct play *play)
{
    static unsigned number;
    memset(play, 0, sizeof(*play));
    snprintf(play->path, sizeof(play->path), "@sampan-walk-%d-%u", (int)getpid(), ++number);
    assert_int_equal(pipe(play->report), 0);
    assert_int_equal(pipe(play->listening), 0);
    assert_int_equal(pipe(play->release), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, play->socket), 0);
}

static inline pid_t play_fork(struct play *play, void (*run)(struct play *play), bool old)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    close(play->report[0]);
    close(play->release[1]);
    close(play->socket[1]);
    play->have = old ? play->socket[0] : -1;
    play->count = old ? START : 0;
    if (!old)
        close(play->socket[0]);
    run(play);
    _exit(1); /* it neither served nor left */
}

static inline bool has_ended(pid_t pid, int timeout_ms)
{
    int fd = pidfd_open(pid, 0);
    assert_true(fd >= 0);
    struct pollfd one = { .fd = fd, .events = POLLIN };
    int ready = poll(&one, 1, timeout_ms);
    close(fd);
    return ready == 1;
}

/* The next that a process tells; false: both are silent for good, or for too long. */
static inline bool hear_told(struct play *play, struct told *ret_told, int timeout_ms)
{
    struct pollfd one = { .fd = play->report[0], .events = POLLIN };
    if (poll(&one, 1, timeout_ms) != 1)
        return false;
    return read(play->report[0], ret_told, sizeof(*ret_told)) == sizeof(*ret_told);
}

/* Run both to the end. Returns what the one that serves has told; *ret_other what the other told before it
 * left (who = 0: nothing). */
static inline struct told play_run(struct play *play, void (*old_main)(struct play *play),
                                   void (*new_main)(struct play *play), struct told *ret_other)
{
    struct told told, server = { 0 }, other = { 0 };
    play->old_pid = play_fork(play, old_main, true);
    play->new_pid = play_fork(play, new_main, false);
    close(play->report[1]);
    close(play->socket[0]);
    play->report[1] = play->socket[0] = -1;
    while (!server.who) {
        if (!hear_told(play, &told, PATIENCE_MS))
            fail_msg("step %d, act %d: nobody serves", play->step, play->act);
        *(told.served ? &server : &other) = told;
        if (!told.served) /* the one that hung may be all there is */
            kill(told.who == 'o' ? play->new_pid : play->old_pid, SIGCONT);
    }
    pid_t rest = server.who == 'o' ? play->new_pid : play->old_pid;
    kill(rest, SIGCONT); /* one that hung finds out now */
    bool ended = has_ended(rest, PATIENCE_MS);
    while (hear_told(play, &told, 0)) {
        if (told.served)
            fail_msg("step %d, act %d: both serve", play->step, play->act);
        other = told;
    }
    /* The client's end: the one token of who serves, and no end. */
    char token[2];
    ssize_t got = recv(play->socket[1], token, sizeof(token), MSG_DONTWAIT);
    if (server.how == 'f')
        assert_true(got <= 0); /* nobody wrote to it */
    else if (got != 1 || token[0] != START + 1)
        fail_msg("step %d, act %d: the socket has %zd", play->step, play->act, got);
    if (!ended)
        kill(rest, SIGKILL);
    close(play->release[1]);
    int status;
    assert_int_equal(waitpid(rest, &status, 0), rest);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        fail_msg("step %d, act %d: ended by signal %d", play->step, play->act, WTERMSIG(status));
    pid_t first = server.who == 'o' ? play->old_pid : play->new_pid;
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    if (!ended)
        fail_msg("step %d, act %d: the other one lives on", play->step, play->act);
    close(play->report[0]);
    close(play->listening[0]);
    close(play->listening[1]);
    close(play->release[0]);
    close(play->socket[1]);
    if (ret_other)
        *ret_other = other;
    return server;
}

#endif
