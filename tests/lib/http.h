/* http: a plain client for tests of our own doors: raw bytes over a real socket, on the loop under test. It
 * knows no HTTP beyond finding the end of an answer by closing, so it cannot share a mistake with rpc. */
#ifndef SP_TESTS_LIB_HTTP_H
#define SP_TESTS_LIB_HTTP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "io/loop.h"

/* Turns until `cond` holds; what has not come in ten seconds does not come. */
#define turn_until(loop, cond)                                                                               \
    do {                                                                                                     \
        uint64_t give_up = sp_loop_clock(loop) + 10 * SP_NS_PER_S;                                           \
        while (!(cond)) {                                                                                    \
            sp_loop_turn((loop), 5 * SP_NS_PER_MS);                                                          \
            if (sp_loop_clock(loop) > give_up)                                                               \
                fail_msg("%s never came true", #cond);                                                       \
        }                                                                                                    \
    } while (0)

static inline int http_connect(const sp_addr *to)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(to->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    bool is_unix = to->family == SP_ADDR_UNIX;
    if (is_unix)
        snprintf(un.sun_path, sizeof un.sun_path, "%s", to->path);
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const struct sockaddr *at = is_unix ? (const void *)&un : (const void *)&in;
    assert_int_equal(connect(fd, at, is_unix ? sizeof un : sizeof in), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline void http_send(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* What has come so far goes behind *ret_len; true when the other side ended. */
static inline bool http_read(int fd, char *to, size_t room, size_t *ret_len)
{
    for (;;) {
        ssize_t got = recv(fd, to + *ret_len, room - 1 - *ret_len, 0);
        if (got > 0)
            *ret_len += (size_t)got;
        to[*ret_len] = '\0';
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
        if (got < 0)
            return false;
        if (*ret_len == room - 1)
            return true;
    }
}

/* As http_read, into memory that grows with the answer: a test makes thousands of small ones, and whoever
 * runs it may have every block that is taken written all over (meson does). */
static inline bool http_gather(int fd, char **out, size_t *room, size_t *ret_len)
{
    while (http_read(fd, *out, *room, ret_len)) {
        if (*ret_len < *room - 1)
            return true;
        *room *= 2;
        assert_true(*room <= 64 * 1024 * 1024); /* that is no answer */
        *out = realloc(*out, *room);
        assert_non_null(*out);
    }
    return false;
}

/* Send, turn the loop until the other side closes, give everything that came (NUL behind it; free it). */
static inline char *http_talk(struct sp_loop *loop, const sp_addr *to, const char *bytes)
{
    size_t len = 0, room = 16 * 1024;
    char *out = malloc(room);
    int fd = http_connect(to);
    assert_non_null(out);
    out[0] = '\0';
    http_send(fd, bytes, strlen(bytes));
    turn_until(loop, http_gather(fd, &out, &room, &len));
    close(fd);
    return out;
}

/* The body behind the head, in place; chunks are put together. */
static inline char *http_body(char *answer)
{
    char *body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    *body = '\0';
    bool chunked = strstr(answer, "Transfer-Encoding: chunked") != NULL;
    body += 4;
    if (!chunked)
        return body;
    char *from = body, *to = body;
    for (;;) {
        char *end;
        unsigned long size = strtoul(from, &end, 16);
        if (end == from || end[0] != '\r')
            fail_msg("not a chunk: %.40s", from);
        if (size == 0)
            break;
        memmove(to, end + 2, size);
        to += size;
        from = end + 2 + size;
        if (from[0] != '\r' || from[1] != '\n')
            fail_msg("a chunk without its end: %.40s", from);
        from += 2;
    }
    *to = '\0';
    return body;
}

static inline int http_status(const char *answer)
{
    int status = 0;
    if (sscanf(answer, "HTTP/1.1 %d ", &status) != 1)
        fail_msg("no status line: %.80s", answer);
    return status;
}

#endif
