/* child: programs that we start. The end of one is the readiness of its pidfd, so no SIGCHLD handler, and
 * a signal goes to the process that we started, never to another that got its number since.
 *
 * Started by vfork: the parent's thread stands still until the child has become the other program, so
 * nothing of a large process is copied, and a failed exec is told through a variable that both see. Between
 * the two the child only makes system calls. It gets: the given output descriptors, /dev/null to read from,
 * no signal blocked (we block those that we read by signalfd, and the mask would be inherited), default
 * handlers. All our other descriptors are close-on-exec.
 *
 * `die_with_us` uses the kernel's parent-death signal, which follows the thread that started the child: start
 * such children from a thread that lives as long as the program. */
#include "io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/epoll_impl.h"

enum { FIRST_FREE_FD = 3, STEP_BYTES = 16 * 1024 };

struct sp_child {
    struct sp_loop *loop;
    struct sp_fd_watch watch; /* a pidfd; -1 once the child has ended */
    pid_t pid;
    void (*on_exit)(void *arg, int status);
    void *arg;
};

struct spawn {
    const char *const *argv;
    int in, out, err; /* -1: /dev/null for `in`, ours for the others */
    bool die_with_us;
};

/* --- in the child --------------------------------------------------------------------------------------- */

/* Out of the way of 0, 1 and 2, so that putting one in place does not overwrite another. */
static int move_up(int fd)
{
    return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
}

static bool put(int fd, int at)
{
    return fd < 0 || dup2(fd, at) >= 0;
}

static void reset_signals(void)
{
    struct sigaction plain = { .sa_handler = SIG_DFL };
    for (int number = 1; number < SIGRTMIN; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns only when it failed: errno tells. */
static void become(const struct spawn *spawn, pid_t parent)
{
    if (spawn->die_with_us) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL))
            return;
        if (getppid() != parent)
            raise(SIGKILL);
    }
    int in = spawn->in >= 0 ? move_up(spawn->in) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = move_up(spawn->out), err = move_up(spawn->err);
    if (!put(in, STDIN_FILENO) || !put(out, STDOUT_FILENO) || !put(err, STDERR_FILENO))
        return;
    reset_signals();
    execvp(spawn->argv[0], (char *const *)spawn->argv);
}

/* --- in the parent -------------------------------------------------------------------------------------- */

static sp_err err_of(int system_error)
{
    switch (system_error) {
    case ENOENT:
    case ENOTDIR: return SP_E_MISSING;
    case EACCES:
    case EPERM: return SP_E_DENIED;
    case EAGAIN: return SP_E_LIMIT;
    case ENOMEM: return SP_E_NOMEM;
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOEXEC: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

static sp_err spawn_child(const struct spawn *spawn, pid_t *ret_pid)
{
    /* All signals wait while child and parent share memory, or a handler of ours would run in the child. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    volatile int failed = 0;
    pid_t parent = getpid();
    pid_t pid = vfork();
    if (pid == 0) {
        become(spawn, parent);
        failed = errno;
        _exit(127);
    }
    int error = pid < 0 ? errno : failed;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid > 0 && error)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (error)
        return err_of(error);
    *ret_pid = pid;
    return 0;
}

/* As a shell counts: the exit code, or 128 + the signal. */
static int wait_status(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void on_ended(struct sp_fd_watch *watch, uint32_t events)
{
    struct sp_child *child = SP_CONTAINER(watch, struct sp_child, watch);
    sp_epoll_unwatch(child->loop, watch);
    close(watch->fd);
    watch->fd = -1;
    int status = wait_status(child->pid);
    child->on_exit(child->arg, status); /* may free the child */
}

sp_err sp_child_start(struct sp_loop *loop, const struct sp_child_config *config,
                      void (*on_exit)(void *arg, int status), void *arg, struct sp_child **ret_child)
{
    if (!sp_epoll_is(loop))
        return SP_E_UNSUPPORTED;
    struct sp_child *child = sp_mem_zalloc(sizeof(*child));
    if (!child)
        return SP_E_NOMEM;
    child->loop = loop;
    child->on_exit = on_exit;
    child->arg = arg;
    child->watch.on_ready = on_ended;

    struct spawn spawn = { .argv = config->argv,
                           .in = -1,
                           .out = config->out_fd,
                           .err = config->err_fd,
                           .die_with_us = config->die_with_us };
    sp_err err = spawn_child(&spawn, &child->pid);
    if (err)
        goto fail_spawn;
    child->watch.fd = pidfd_open(child->pid, 0); /* close-on-exec by itself */
    if (child->watch.fd < 0) {
        err = err_of(errno);
        goto fail_pidfd;
    }
    err = sp_epoll_watch(loop, &child->watch, EPOLLIN, false);
    if (err)
        goto fail_watch;
    *ret_child = child;
    return 0;

fail_watch:
    close(child->watch.fd);
fail_pidfd:
    kill(child->pid, SIGKILL); /* not yet waited for, so the number is still its own */
    wait_status(child->pid);
fail_spawn:
    sp_mem_free(child);
    return err;
}

int sp_child_pid(const struct sp_child *child)
{
    return child->pid;
}

void sp_child_signal(struct sp_child *child, int signal)
{
    if (child->watch.fd >= 0)
        (void)pidfd_send_signal(child->watch.fd, signal, NULL,
                                0); /* fails when it has just ended: the same */
}

void sp_child_free(struct sp_child *child)
{
    if (!child)
        return;
    if (child->watch.fd >= 0) {
        sp_epoll_unwatch(child->loop, &child->watch);
        close(child->watch.fd);
    }
    sp_mem_free(child);
}

/* --- without a loop ------------------------------------------------------------------------------------- */

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void feed(int *fd, sp_str *input)
{
    if (input->len > 0) {
        /* A pipe: SIGPIPE is ours to keep away, see talk. */
        ssize_t written = write(*fd, input->ptr, input->len);
        if (written > 0)
            *input = sp_str_from(*input, (size_t)written);
        else if (written < 0 && errno != EAGAIN && errno != EINTR)
            input->len = 0; /* it does not want the rest: its status will tell */
    }
    if (input->len == 0)
        close_one(fd);
}

static void collect(int *fd, struct sp_buf *out)
{
    char step[STEP_BYTES];
    ssize_t got = read(*fd, step, sizeof(step));
    if (got > 0)
        sp_buf_add(out, step, (size_t)got); /* beyond the limit of `out` it is read and dropped */
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_one(fd);
}

/* Both pipes until the output ends. */
static void talk(int *to_child, int *from_child, sp_str input, struct sp_buf *out)
{
    if (input.len == 0)
        close_one(to_child);
    while (*from_child >= 0) {
        struct pollfd fds[2] = { { .fd = *from_child, .events = POLLIN },
                                 { .fd = *to_child, .events = POLLOUT } };
        if (poll(fds, *to_child >= 0 ? 2 : 1, -1) < 0 && errno != EINTR)
            break;
        if (*to_child >= 0 && fds[1].revents)
            feed(to_child, &input);
        if (fds[0].revents)
            collect(from_child, out);
    }
    close_one(to_child);
}

sp_err sp_child_run(const char *const *argv, sp_str input, struct sp_buf *out, int *ret_status)
{
    int in[2] = { -1, -1 }, from[2] = { -1, -1 };
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    if (pipe2(in, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
        sp_err err = err_of(errno);
        close_one(&in[0]);
        close_one(&in[1]);
        return err;
    }
    struct spawn spawn = { .argv = argv, .in = in[0], .out = from[1], .err = from[1], .die_with_us = true };
    pid_t pid = -1;
    sp_err err = spawn_child(&spawn, &pid);
    close_one(&in[0]);
    close_one(&from[1]);
    if (!err) {
        pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
        (void)fcntl(in[1], F_SETFL, O_NONBLOCK); /* pipes take it */
        talk(&in[1], &from[0], input, out);
        struct timespec now = { 0, 0 };
        while (!sigismember(&before, SIGPIPE) && sigtimedwait(&pipe_signal, NULL, &now) > 0)
            ; /* one that our own write has raised */
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        *ret_status = wait_status(pid);
    }
    close_one(&in[1]);
    close_one(&from[0]);
    return err;
}
