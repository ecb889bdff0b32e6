/* pidfd: to know of another process whether it is dead, and to end it, without ever meaning the wrong one.
 *
 * A pid is a number that the kernel gives away again; between reading it and using it the process may have
 * died and another have got it. A pidfd is opened once and then stands for that process alone.
 *
 * Opening one for a socket's peer has that very gap, for the socket knows a pid. Linux 6.5 closes it
 * (SO_PEERPIDFD). Before that: open by number, then look whether the connection still stands. Its end is
 * closed when the process dies, before its number is given away, so a connection that stands after the open
 * means that the number was still the peer's at the open. */
#include "io/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fdpass.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

uint32_t sp_pid_own(void)
{
    return (uint32_t)getpid();
}

uint32_t sp_uid_own(void)
{
    return geteuid();
}

static sp_err err_of(int system_error)
{
    switch (system_error) {
    case ESRCH: return SP_E_MISSING;
    case EPERM: return SP_E_DENIED;
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOMEM: return SP_E_NOMEM;
    case EBADF:
    case EINVAL: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

/* Has the other end been closed? */
static bool is_cut(int sock)
{
    struct pollfd one = { .fd = sock, .events = POLLIN };
    return poll(&one, 1, 0) < 0 || one.revents & (POLLHUP | POLLERR | POLLNVAL);
}

/* The peer's pidfd, whether it lives or not; SP_E_MISSING where that cannot be had any more. */
static sp_err open_peer(int sock, uint32_t pid, int *ret_fd)
{
    socklen_t len = sizeof(*ret_fd);
    if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, ret_fd, &len) == 0)
        return SP_OK;
    if (errno != ENOPROTOOPT)
        return errno == ENODATA ? SP_E_MISSING : err_of(errno);
    *ret_fd = pidfd_open((pid_t)pid, 0); /* close-on-exec by itself */
    if (*ret_fd < 0)
        return err_of(errno);
    if (!is_cut(sock))
        return SP_OK;
    close(*ret_fd);
    return SP_E_MISSING;
}

sp_err sp_pidfd_peer(int sock, int *ret_fd, uint32_t *ret_pid, uint32_t *ret_uid)
{
    uint32_t pid, uid;
    int fd = -1;
    sp_err err = sp_fdpass_peer(sock, &pid, &uid);
    if (err)
        return err;
    if (pid == 0)
        return SP_E_UNSUPPORTED;
    err = open_peer(sock, pid, &fd);
    if (!err && sp_pidfd_wait(fd, 0) == SP_OK) {
        close(fd);
        err = SP_E_MISSING;
    }
    if (err == SP_E_MISSING && !is_cut(sock))
        err = SP_E_UNSUPPORTED; /* somebody else holds its end */
    if (err)
        return err;
    *ret_fd = fd;
    *ret_pid = pid;
    *ret_uid = uid;
    return SP_OK;
}

static sp_err send_signal(int fd, int number)
{
    return pidfd_send_signal(fd, number, NULL, 0) ? err_of(errno) : SP_OK;
}

sp_err sp_pidfd_may_end(int fd)
{
    return send_signal(fd, 0);
}

sp_err sp_pidfd_end(int fd)
{
    return send_signal(fd, SIGKILL);
}

sp_err sp_pidfd_wait(int fd, int timeout_ms)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    int ready;
    do /* a signal begins the wait anew: it is bounded by the signals, not by us */
        ready = poll(&one, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready < 0 || one.revents & POLLNVAL)
        return err_of(ready < 0 ? errno : EBADF);
    return ready ? SP_OK : SP_E_TIMEOUT;
}

/* "PID (NAME) STATE ...": a name may have blanks and brackets in it, nothing behind it has. */
static bool says_stopped(const char *line)
{
    const char *end = strrchr(line, ')');
    return end && end[1] == ' ' && end[2] == 'T';
}

bool sp_pidfd_is_stopped(int fd, uint32_t pid)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t got = read(file, line, sizeof(line) - 1);
    close(file);
    if (got <= 0)
        return false;
    line[got] = 0;
    /* Alive: then the number was its own until now. */
    return says_stopped(line) && sp_pidfd_wait(fd, 0) == SP_E_TIMEOUT;
}
