/* rig.c - the few lines that load, backend and relay have in common.
 *
 * The three programs are kept apart from the house on purpose. They use plain epoll and plain sockets, one
 * thread each, and end at the first thing that they did not expect: a figure made by a limping rig is worse
 * than none. Everything is bound to loopback; the rig never opens a port to the outside.
 */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, FILES_WANTED = 200000 };

_Noreturn void sp_rig_die(const char *what)
{
    perror(what);
    exit(1);
}

void sp_rig_prepare(void)
{
    struct rlimit files = { FILES_WANTED, FILES_WANTED };
    if (setrlimit(RLIMIT_NOFILE, &files) && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* less than wanted is enough for most rows */
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

long sp_rig_number(const char *option, const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max) {
        fprintf(stderr, "%s: %s is not a number between %ld and %ld\n", option, text, min, max);
        exit(2);
    }
    return v;
}

void *sp_rig_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p)
        sp_rig_die("calloc");
    return p;
}

void *sp_rig_grow(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);
    if (!p)
        sp_rig_die("realloc");
    return p;
}

struct sockaddr_in sp_rig_loopback(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

int sp_rig_listen(uint16_t port)
{
    struct sockaddr_in a = sp_rig_loopback(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, BACKLOG))
        sp_rig_die("listen");
    return fd;
}

int sp_rig_dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    sp_rig_nodelay(fd);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

void sp_rig_nodelay(int fd)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        sp_rig_die("TCP_NODELAY");
}

void sp_rig_arm(int epoll, int fd, uint32_t *armed, uint32_t want, void *mark)
{
    want |= EPOLLERR; /* reported in any case; it keeps the wish for nothing apart from 0 = not added */
    if (*armed == want)
        return;
    struct epoll_event e = { .events = want, .data.ptr = mark };
    if (epoll_ctl(epoll, *armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e))
        sp_rig_die("epoll_ctl");
    *armed = want;
}
