/* detach: for whoever starts a successor and wants to know how that went (systemd's ExecReload).
 *
 *      command ── fork ──> child: takes over ... serves ──> one byte ──> goes on
 *         │ waits                                                │
 *         └──── reads the byte: 0      reads the end: the child's own status
 *
 * The program stays in the foreground by itself, so its supervisor has one process to look after. A successor
 * is started by a command of that supervisor, which waits for the command's end and takes its status for the
 * answer: so here, and only where it is asked for, command and program are two processes. The child keeps
 * standard output and error: what goes wrong is read where it is expected. */
#include "cmd/sampan-proxy/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void wait_for(pid_t child, int fd)
{
    char byte;
    ssize_t got;
    int status = 0;
    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        _exit(EXIT_SUCCESS);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int detach_begin(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for(child, ends[0]);
    }
    close(ends[0]);
    (void)setsid(); /* a terminal's Ctrl-C is not for it; it fails for a leader, which a child is not */
    return ends[1];
}

void detach_ready(int fd)
{
    if (fd < 0)
        return;
    while (write(fd, "", 1) < 0 && errno == EINTR)
        continue; /* whoever waited may have gone */
    close(fd);
}
