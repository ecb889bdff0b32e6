/* net: blocking sockets and a thread for each connection. The simplest thing that carries real calls; the
 * examples show services, not servers. */
#include "net.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int net_listen(uint16_t port)
{
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 128)) {
        perror("listen");
        exit(1);
    }
    signal(SIGPIPE, SIG_IGN);
    return fd;
}

int net_dial(uint16_t port)
{
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

struct visit {
    int fd;
    void (*serve)(int fd);
};

static void *run(void *arg)
{
    struct visit visit = *(struct visit *)arg;
    free(arg);
    visit.serve(visit.fd);
    close(visit.fd);
    return NULL;
}

void net_serve(int listener, void (*serve)(int fd))
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct visit *visit = malloc(sizeof(*visit));
        pthread_t thread;
        *visit = (struct visit){ fd, serve };
        if (pthread_create(&thread, NULL, run, visit)) {
            close(fd);
            free(visit);
        } else {
            pthread_detach(thread);
        }
    }
}

bool net_read(int fd, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, (char *)to + got, len - got, 0);
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

bool net_write(int fd, const void *from, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)from + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

bool net_line(int fd, char *to, size_t room)
{
    size_t at = 0;
    char c;
    while (net_read(fd, &c, 1)) {
        if (c == '\n') {
            to[at > 0 && to[at - 1] == '\r' ? at - 1 : at] = '\0';
            return true;
        }
        if (at + 1 < room)
            to[at++] = c;
    }
    return false;
}

uint16_t net_port(int argc, char **argv, int at, const char *usage)
{
    long port = argc > at ? strtol(argv[at], NULL, 10) : 0;
    if (port > 0 && port < 65536)
        return (uint16_t)port;
    fprintf(stderr, "usage: %s %s\n", argv[0], usage);
    exit(2);
}

/* xorshift32; each thread its own. */
static unsigned draw(void)
{
    static _Thread_local unsigned state;
    if (state == 0)
        state = (unsigned)(uintptr_t)&state | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

bool net_chance(unsigned n)
{
    return draw() % n == 0;
}

void net_work(unsigned mean_us)
{
    unsigned us = net_chance(100) ? mean_us * 10 : mean_us / 2 + draw() % (mean_us + 1);
    struct timespec time = { 0, (long)us * 1000 };
    nanosleep(&time, NULL);
}
