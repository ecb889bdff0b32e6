/* fdpass: descriptors from process to process over a Unix socket. This is how a new sidecar gets the
 * listeners and connections of the old one.
 *
 * The kernel attaches descriptors to bytes: they arrive with the first byte of the message that carried them,
 * and a stream reader that asks for less never sees a second batch mixed into the first. So a message has at
 * least one byte. 253 is the kernel's limit for one message (SCM_MAX_FD).
 *
 * A message with more descriptors than the reader has room for is refused whole and all of them are closed:
 * half a hand-over is worse than none, and a descriptor that nobody knows of is a leak that holds a port.
 *
 * Where messages matter more than bytes, the socket is of whole messages (SOCK_SEQPACKET): one send is one
 * receive, and EOF is still told. Such a socket gets its path by rename of a listening one, so whoever
 * connects finds the old or the new, never one that does not listen yet.
 *
 * Blocking with a time limit, for both sides of a hand-over stand still while it lasts; a loop would only
 * spread it over more turns. */
#include "io/fdpass.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS_PER_S 1000

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * MS_PER_S + t.tv_nsec / 1000000;
}

/* Until `sock` is ready or the instant `until` (ms; negative: for ever). */
static sp_err wait_ready(int sock, short events, int64_t until)
{
    for (;;) {
        struct pollfd one = { .fd = sock, .events = events };
        int64_t left = until < 0 ? -1 : until - now_ms();
        if (until >= 0 && left < 0)
            left = 0;
        int ready = poll(&one, 1, (int)left);
        if (ready > 0)
            return 0;
        if (ready == 0)
            return SP_E_TIMEOUT;
        if (errno != EINTR)
            return SP_E_IO;
    }
}

static sp_err err_of(int system_error)
{
    switch (system_error) {
    case EPIPE:
    case ECONNRESET: return SP_E_RESET;
    case EMFILE:
    case ENFILE:
    case ETOOMANYREFS: return SP_E_NOFILE;
    case EAGAIN: return SP_E_AGAIN;
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED: return SP_E_MISSING;
    case EADDRINUSE:
    case EEXIST: return SP_E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS: return SP_E_DENIED;
    case EPROTOTYPE:
    case ENOTSOCK: return SP_E_UNSUPPORTED;
    case EBADF:
    case EINVAL: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

sp_err sp_fdpass_send(int sock, const void *bytes, size_t len, const int *fds, uint32_t count, int timeout_ms)
{
    if (count > SP_FDPASS_MAX)
        return SP_E_LIMIT;
    SP_ASSERT(len > 0);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SP_FDPASS_MAX * sizeof(int))];
    } control;
    int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    const char *at = bytes;
    while (len > 0) {
        struct iovec iov = { (void *)at, len };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (count > 0) {
            memset(&control, 0, sizeof(control));
            msg.msg_control = &control;
            msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
            struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(count * sizeof(int));
            memcpy(CMSG_DATA(head), fds, count * sizeof(int));
        }
        ssize_t sent = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            at += sent;
            len -= (size_t)sent;
            count = 0;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return err_of(errno);
        sp_err err = wait_ready(sock, POLLOUT, until);
        if (err)
            return err;
    }
    return 0;
}

/* Take the descriptors out of `msg`; those that do not fit are closed. Returns how many came. */
static uint32_t unpack(struct msghdr *msg, int *fds, uint32_t fds_max)
{
    uint32_t came = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++, came++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (came < fds_max)
                fds[came] = fd;
            else
                close(fd);
        }
    }
    return came;
}

ssize_t sp_fdpass_recv(int sock, void *out, size_t out_bytes, int *fds, uint32_t fds_max, uint32_t *ret_count,
                       int timeout_ms)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SP_FDPASS_MAX * sizeof(int))];
    } control;
    int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    for (;;) {
        struct iovec iov = { out, out_bytes };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            sp_err err = wait_ready(sock, POLLIN, until);
            if (err)
                return err;
            continue;
        }
        if (got < 0)
            return err_of(errno);

        uint32_t came = unpack(&msg, fds, fds_max);
        if (came > fds_max || msg.msg_flags & MSG_CTRUNC) {
            for (uint32_t i = 0; i < came && i < fds_max; i++)
                close(fds[i]);
            return SP_E_LIMIT;
        }
        *ret_count = came;
        return got;
    }
}

void sp_fdpass_shut(int sock)
{
    /* The kernel looks for it under the lock that queues a message. It fails where there is no peer. */
    (void)shutdown(sock, SHUT_RD);
}

sp_err sp_fdpass_peer(int sock, uint32_t *ret_pid, uint32_t *ret_uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return err_of(errno);
    *ret_pid = (uint32_t)peer.pid;
    *ret_uid = peer.uid;
    return 0;
}

/* --- sockets of whole messages -------------------------------------------------------------------------- */

static sp_err name_of(const char *path, struct sockaddr_un *ret_name, socklen_t *ret_len)
{
    size_t len = strlen(path);
    *ret_name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (len == 0 || len >= sizeof(ret_name->sun_path))
        return SP_E_INVALID;
    memcpy(ret_name->sun_path, path, len);
    bool abstract = path[0] == '@'; /* its length is exact, a file's counts the NUL */
    if (abstract)
        ret_name->sun_path[0] = 0;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    return SP_OK;
}

/* Is the place free for us? */
static sp_err look(const char *path, bool replace)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? SP_OK : err_of(errno);
    if (!S_ISSOCK(st.st_mode))
        return SP_E_EXISTS;
    if (replace)
        return SP_OK;
    int sock;
    sp_err err = sp_fdpass_connect(path, 0, &sock);
    if (!err)
        close(sock);
    return err == SP_E_MISSING ? SP_OK : SP_E_EXISTS;
}

static sp_err bind_file(int sock, const char *path)
{
    struct sockaddr_un name;
    socklen_t len;
    char beside[sizeof(name.sun_path)];
    int n = snprintf(beside, sizeof(beside), "%s.%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(beside))
        return SP_E_INVALID;
    sp_err err = name_of(beside, &name, &len);
    if (err)
        return err;
    (void)unlink(beside); /* of a process that had our number and was killed right here */
    if (bind(sock, (struct sockaddr *)&name, len))
        return err_of(errno);
    if (chmod(beside, 0600) || listen(sock, SOMAXCONN) || rename(beside, path)) {
        err = err_of(errno);
        (void)unlink(beside); /* the first fault is the one that is told */
    }
    return err;
}

sp_err sp_fdpass_listen(const char *path, bool replace, int *ret_sock)
{
    struct sockaddr_un name;
    socklen_t len;
    sp_err err = name_of(path, &name, &len);
    bool abstract = path[0] == '@';
    if (!err && !abstract)
        err = look(path, replace);
    if (err)
        return err;
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return err_of(errno);
    if (!abstract)
        err = bind_file(sock, path);
    else if (bind(sock, (struct sockaddr *)&name, len) || listen(sock, SOMAXCONN))
        err = err_of(errno);
    if (err) {
        close(sock);
        return err;
    }
    *ret_sock = sock;
    return SP_OK;
}

sp_err sp_fdpass_accept(int listening, int *ret_sock)
{
    int sock = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock < 0)
        return errno == EINTR || errno == ECONNABORTED ? SP_E_AGAIN : err_of(errno);
    *ret_sock = sock;
    return SP_OK;
}

sp_err sp_fdpass_connect(const char *path, int timeout_ms, int *ret_sock)
{
    struct sockaddr_un name;
    socklen_t len;
    sp_err err = name_of(path, &name, &len);
    if (err)
        return err;
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return err_of(errno);
    /* The kernel waits for a place in the queue as long as for one in a send buffer; 0 would be for ever. */
    struct timeval most = { timeout_ms / MS_PER_S, timeout_ms % MS_PER_S * 1000 };
    if (timeout_ms == 0)
        most.tv_usec = 1;
    int done;
    if (timeout_ms >= 0 && setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)))
        goto fail;
    do
        done = connect(sock, (struct sockaddr *)&name, len);
    while (done && errno == EINTR);
    if (done)
        goto fail;
    *ret_sock = sock;
    return SP_OK;

fail:
    err = errno == EAGAIN ? SP_E_TIMEOUT : err_of(errno);
    close(sock);
    return err;
}
