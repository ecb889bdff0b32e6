/* detach: for whoever starts a successor and wants to know how that went (systemd's ExecReload).
 *
 *      command ── fork ──> between ── fork ──> program, not our child: takes over ... serves
 *         │ waits for its end  │ends                │
 *         ├──── one byte: go ──────────────────────>│
 *         │<─── one byte: ready (0), or the end (1) ┤
 *
 * The program stays in the foreground by itself, so its supervisor has one process to look after. A successor
 * is started by a command of that supervisor, which waits for the command's end and takes its status for the
 * answer: so here, and only where it is asked for, command and program are two processes. The program keeps
 * standard output and error: what goes wrong is read where it is expected.
 *
 * Why two forks: the program must be its supervisor's child by the time it says MAINPID=. systemd takes one
 * that is still the command's child for a stranger whose end it will not be told of: `systemctl stop` then
 * sends SIGTERM and, without waiting, SIGKILL, and no call is drained. So the process between ends, the
 * command sees that, and only then the program may begin. The price is the status: the command cannot wait
 * for what is no child of its own, so every failure is 1. That goes for a program that begins anew because
 * the old one died meanwhile, too: it may serve, but what was alive is lost. */
#include "cmd/sampan-proxy/detach.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* False: nobody is there any more. */
static bool hear_byte(int fd)
{
    char byte;
    ssize_t got;
    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static void say_byte(int fd)
{
    while (send(fd, "", 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue; /* whoever waited may have gone */
}

static _Noreturn void wait_for(pid_t between, int fd)
{
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
        continue;
    say_byte(fd);
    _exit(hear_byte(fd) ? EXIT_SUCCESS : EXIT_FAILURE);
}

int detach_begin(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return -1;
    pid_t between = fork();
    if (between < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (between > 0) {
        close(ends[1]);
        wait_for(between, ends[0]);
    }
    close(ends[0]);
    (void)setsid(); /* a terminal's Ctrl-C is not for it; it fails for a leader, which a child is not */
    pid_t program = fork();
    if (program != 0)
        _exit(program > 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    if (!hear_byte(ends[1])) /* the command was ended: nobody wants this any more */
        _exit(EXIT_FAILURE);
    return ends[1];
}

void detach_ready(int fd)
{
    if (fd < 0)
        return;
    say_byte(fd);
    close(fd);
}
