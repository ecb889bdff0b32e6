/* net: the system calls on sockets, and the translation between the system's words and ours.
 *
 * Nothing here decides anything: sock.c and acceptor.c ask, this answers with bytes or an sp_err. Every call
 * says MSG_DONTWAIT itself, so a descriptor that somebody handed over in blocking mode cannot stop a worker.
 *
 * Options, and where they are set:
 *   TCP_NODELAY    on listeners (accepted sockets inherit it: no call for each connection) and on connects.
 *                  We write whole turns at once; Nagle would hold back the last segment for a round trip.
 *   IPV6_V6ONLY    on listeners, so "::" and "0.0.0.0" can stand side by side and mean what they say.
 *   SO_REUSEADDR   on TCP listeners, so a restart does not wait for old connections to time out.
 *   IP_BIND_ADDRESS_NO_PORT on connects from a given address: the port is chosen when the destination is
 *                  known, so that ports are used once for each destination, not once at all.
 *   IP_TRANSPARENT, IPV6_TRANSPARENT where asked: addresses that are not ours (TPROXY). Needs
 *                  CAP_NET_ADMIN. */
#include "io/epoll_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    GET_ORIGINAL_DST = 80, /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST: their headers clash with libc's */
};

/* --- words ---------------------------------------------------------------------------------------------- */

sp_err sp_net_err(int system_error)
{
    switch (system_error) {
    case 0: return 0;
    case EAGAIN:
    case EINTR: return SP_E_AGAIN;
    case ECONNREFUSED: return SP_E_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED: return SP_E_RESET;
    case ETIMEDOUT: return SP_E_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
        return SP_E_UNREACHABLE; /* the last: from here, for it is no address of this machine */
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOMEM:
    case ENOBUFS: return SP_E_NOMEM;
    case EACCES:
    case EPERM: return SP_E_DENIED;
    case EADDRINUSE:
    case EEXIST: return SP_E_EXISTS;
    case ENOENT: return SP_E_MISSING;
    case EINVAL:
    case EAFNOSUPPORT: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

static socklen_t unix_to_os(const char *path, struct sockaddr_un *un)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un->sun_path))
        return 0;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    if (path[0] != '@')
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    un->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

socklen_t sp_net_to_os(const sp_addr *addr, struct sockaddr_storage *ret_os)
{
    memset(ret_os, 0, sizeof(*ret_os));
    switch ((enum sp_addr_family)addr->family) {
    case SP_ADDR_IP4: {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_os;
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip, 4);
        return sizeof(*in);
    }
    case SP_ADDR_IP6: {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_os;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        return sizeof(*in6);
    }
    case SP_ADDR_UNIX: return unix_to_os(addr->path, (struct sockaddr_un *)ret_os);
    case SP_ADDR_NONE: break;
    }
    return 0;
}

sp_addr sp_net_from_os(const struct sockaddr_storage *os, socklen_t bytes)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    sp_addr addr = { .family = SP_ADDR_NONE };
    if (bytes < sizeof(sa_family_t))
        return addr;
    if (os->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)os;
        addr.family = SP_ADDR_IP4;
        addr.port = ntohs(in->sin_port);
        memcpy(addr.ip, &in->sin_addr, 4);
    } else if (os->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)os;
        bool is_ip4 = memcmp(&in6->sin6_addr, mapped, sizeof(mapped)) == 0;
        addr.family = is_ip4 ? SP_ADDR_IP4 : SP_ADDR_IP6;
        addr.port = ntohs(in6->sin6_port);
        if (is_ip4)
            memcpy(addr.ip, (const uint8_t *)&in6->sin6_addr + sizeof(mapped), 4);
        else
            memcpy(addr.ip, &in6->sin6_addr, 16);
    } else if (os->ss_family == AF_UNIX) {
        addr.family = SP_ADDR_UNIX;
        addr.path = "";
    }
    return addr;
}

/* For options whose absence does no harm to what was asked. */
static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value)); /* see above */
}

static sp_err set_transparent(int fd, uint8_t family)
{
    int one = 1;
    int failed = family == SP_ADDR_IP6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &one, sizeof(one))
                                       : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one));
    return failed ? sp_net_err(errno) : 0;
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static sp_err open_for(const sp_addr *to, const sp_addr *from, uint32_t flags, int *ret_fd)
{
    struct sockaddr_storage os;
    int family = to->family == SP_ADDR_UNIX ? AF_UNIX : to->family == SP_ADDR_IP6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sp_net_err(errno);

    sp_err err = 0;
    if (family != AF_UNIX)
        set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (flags & SP_SOCK_TRANSPARENT) {
        err = set_transparent(fd, to->family);
        if (err)
            goto fail_option;
    }
    if (from) {
        socklen_t len = sp_net_to_os(from, &os);
        if (from->port == 0 && family != AF_UNIX)
            set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        else if (flags & SP_SOCK_TRANSPARENT)
            set(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* the client's own address and port, perhaps reused soon */
        err = !len ? SP_E_INVALID : bind(fd, (struct sockaddr *)&os, len) ? sp_net_err(errno) : 0;
        if (err)
            goto fail_option;
    }
    *ret_fd = fd;
    return 0;

fail_option:
    close(fd);
    return err;
}

sp_err sp_net_connect(struct sp_sock *sock, const sp_addr *to, const sp_addr *from, uint32_t flags,
                      sp_err *ret_late)
{
    struct sockaddr_storage os;
    socklen_t len = sp_net_to_os(to, &os);
    if (!len)
        return SP_E_INVALID;
    int fd = -1; /* gcc 12 does not see that open_for sets it whenever it returns 0 */
    sp_err err = open_for(to, from, flags, &fd);
    if (err)
        return err;

    if (connect(fd, (struct sockaddr *)&os, len) == 0 || errno == EINPROGRESS) {
        sock->fd = fd;
        return 0;
    }
    if (errno == EAGAIN)
        *ret_late = SP_E_REFUSED; /* a Unix listener whose queue is full */
    else if (errno == EADDRNOTAVAIL)
        *ret_late = SP_E_LIMIT; /* no local port is left for this destination */
    else
        *ret_late = sp_net_err(errno);
    close(fd);
    sock->fd = -1;
    return 0;
}

sp_err sp_net_error(struct sp_sock *sock)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        return sp_net_err(errno);
    return sp_net_err(error);
}

sp_err sp_net_connected(struct sp_sock *sock)
{
    return sp_net_error(sock);
}

/* --- moving bytes --------------------------------------------------------------------------------------- */

/* Bare system calls: around the C library's own a process of several threads pays two locked instructions to
 * be cancellable, and nobody cancels our threads. */
ssize_t sp_net_recv(struct sp_sock *sock, char *to, size_t bytes)
{
    ssize_t got = syscall(SYS_recvfrom, sock->fd, to, bytes, MSG_DONTWAIT, NULL, NULL);
    return got >= 0 ? got : sp_net_err(errno);
}

ssize_t sp_net_send(struct sp_sock *sock, const struct iovec *iov, int count)
{
    ssize_t sent;
    if (count == 1) {
        sent = syscall(SYS_sendto, sock->fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL,
                       0);
    } else {
        struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
        sent = syscall(SYS_sendmsg, sock->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent >= 0)
        return sent;
    /* A kernel short of memory for buffers is a window that is shut: it opens again. */
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return 0;
    return sp_net_err(errno);
}

void sp_net_shutdown(struct sp_sock *sock)
{
    (void)shutdown(sock->fd, SHUT_WR); /* fails when the connection is gone, which is told elsewhere */
}

/* --- addresses ------------------------------------------------------------------------------------------ */

static sp_err original_dst(int fd, sp_addr *ret_addr)
{
    struct sockaddr_storage os;
    socklen_t len = sizeof(os);
    memset(&os, 0, sizeof(os));
    if (getsockname(fd, (struct sockaddr *)&os, &len))
        return sp_net_err(errno);
    sp_addr local = sp_net_from_os(&os, len);
    if (local.family == SP_ADDR_UNIX)
        return SP_E_MISSING;

    len = sizeof(os);
    int level = local.family == SP_ADDR_IP6 ? IPPROTO_IPV6 : IPPROTO_IP;
    if (getsockopt(fd, level, GET_ORIGINAL_DST, &os, &len))
        return SP_E_MISSING;
    *ret_addr = sp_net_from_os(&os, len);
    return ret_addr->family == SP_ADDR_NONE ? SP_E_MISSING : 0;
}

sp_err sp_net_addr(const struct sp_sock *sock, enum sp_addr_which which, sp_addr *ret_addr)
{
    if (which == SP_ADDR_ORIGINAL_DST)
        return original_dst(sock->fd, ret_addr);

    struct sockaddr_storage os;
    socklen_t len = sizeof(os);
    int failed = which == SP_ADDR_LOCAL ? getsockname(sock->fd, (struct sockaddr *)&os, &len)
                                        : getpeername(sock->fd, (struct sockaddr *)&os, &len);
    if (failed)
        return sp_net_err(errno);
    *ret_addr = sp_net_from_os(&os, len);
    return 0;
}

/* --- listening ------------------------------------------------------------------------------------------ */

/* A socket file that nobody listens behind is left from a program that died: take it away. One that answers
 * stays, and bind will say that the address is in use. */
static void unlink_if_dead(const sp_addr *addr, const struct sockaddr_storage *os, socklen_t len)
{
    struct stat st;
    if (addr->path[0] == '@' || lstat(addr->path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)os, len) && errno == ECONNREFUSED)
        (void)unlink(addr->path); /* if it stays, bind says so */
    close(fd);
}

static sp_err bind_unix(int fd, const struct sp_listen_config *config, const struct sockaddr_storage *os,
                        socklen_t len)
{
    uint32_t mode = config->mode ? config->mode : 0600;
    unlink_if_dead(&config->addr, os, len);
    /* The file is made with the socket's own mode, so it is never wider than asked, not even for an
     * instant. */
    if (fchmod(fd, mode))
        return sp_net_err(errno);
    if (bind(fd, (const struct sockaddr *)os, len))
        return sp_net_err(errno);
    /* The umask may have taken bits away. */
    if (config->addr.path[0] != '@' && chmod(config->addr.path, mode))
        return sp_net_err(errno);
    return 0;
}

static sp_err bind_ip(int fd, const struct sp_listen_config *config, const struct sockaddr_storage *os,
                      socklen_t len)
{
    int one = 1;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (config->addr.family == SP_ADDR_IP6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (config->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
        return sp_net_err(errno);
    if (config->transparent) {
        sp_err err = set_transparent(fd, config->addr.family);
        if (err)
            return err;
    }
    return bind(fd, (const struct sockaddr *)os, len) ? sp_net_err(errno) : 0;
}

sp_err sp_listen_fd(const struct sp_listen_config *config, int *ret_fd)
{
    struct sockaddr_storage os;
    socklen_t len = sp_net_to_os(&config->addr, &os);
    if (!len)
        return SP_E_INVALID;
    int fd = socket(os.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sp_net_err(errno);

    sp_err err = os.ss_family == AF_UNIX ? bind_unix(fd, config, &os, len) : bind_ip(fd, config, &os, len);
    if (!err && listen(fd, config->backlog ? (int)config->backlog : BACKLOG))
        err = sp_net_err(errno);
    if (err) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

sp_err sp_net_listener_prepare(int fd, bool *ret_is_unix)
{
    int domain = 0, listens = 0;
    socklen_t len = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens)
        return SP_E_INVALID;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || fcntl(fd, F_SETFL, O_NONBLOCK))
        return sp_net_err(errno);
    if (domain != AF_UNIX)
        set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    *ret_is_unix = domain == AF_UNIX;
    return 0;
}

int sp_net_accept(struct sp_acceptor *acceptor, sp_addr *ret_peer)
{
    struct sockaddr_storage os;
    socklen_t len = sizeof(os);
    os.ss_family = AF_UNSPEC;
    int fd = accept4(acceptor->fd, (struct sockaddr *)&os, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        *ret_peer = sp_net_from_os(&os, len);
        return fd;
    }
    switch (errno) {
    case EAGAIN: return SP_E_AGAIN;
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOMEM:
    case ENOBUFS: return SP_E_NOMEM;
    default:
        return SP_E_RESET; /* this connection failed before it was taken (network errors, EPERM): the next */
    }
}

sp_err sp_net_acceptor_addr(const struct sp_acceptor *acceptor, sp_addr *ret_addr)
{
    struct sockaddr_storage os;
    socklen_t len = sizeof(os);
    if (getsockname(acceptor->fd, (struct sockaddr *)&os, &len))
        return sp_net_err(errno);
    *ret_addr = sp_net_from_os(&os, len);
    return 0;
}
