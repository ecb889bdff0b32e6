/* epoll_impl: the inside of the epoll body, for the files of the room that work on real descriptors only:
 * epoll.c net.c splice.c signal.c child.c cares.c. */
#ifndef SP_IO_EPOLL_IMPL_H
#define SP_IO_EPOLL_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "io/loop_impl.h"

enum {
    SP_EPOLL_EVENTS = 512, /* taken by one wait; what is over comes with the next */
    SP_EPOLL_PIPES = 64,   /* idle pipes kept */
};

/* A descriptor that is no sock: eventfd, signalfd, pidfd, a resolver's socket. */
struct sp_fd_watch {
    int fd;
    void (*on_ready)(struct sp_fd_watch *watch, uint32_t events); /* EPOLLIN ... */
};

struct sp_epoll {
    struct sp_loop loop;
    int epfd;
    struct sp_fd_watch wake; /* an eventfd */
    bool no_pwait2;          /* the kernel, or a seccomp filter, does not know it */
    int at, count;           /* the batch being worked off */
    int pipe_count;
    int pipes[SP_EPOLL_PIPES][2];
    struct epoll_event events[SP_EPOLL_EVENTS];
};

extern const struct sp_loop_body sp_epoll_body;
extern const struct sp_splice_body sp_epoll_splice;

static inline struct sp_epoll *sp_epoll_of(const struct sp_loop *loop)
{
    return SP_CONTAINER(loop, struct sp_epoll, loop);
}

/* False for a loop of another body: what stands on descriptors is refused there. */
bool sp_epoll_is(const struct sp_loop *loop);
/* Watch `watch->fd` for `events`; again = change them. SP_E_NOMEM, SP_E_LIMIT (max_user_watches), SP_E_IO. */
sp_err sp_epoll_watch(struct sp_loop *loop, struct sp_fd_watch *watch, uint32_t events,
                      bool again) SP_MUST_USE;
/* Before the descriptor is closed. What the batch under way still says of it is dropped. */
void sp_epoll_unwatch(struct sp_loop *loop, struct sp_fd_watch *watch);

/* net.c: the table's entries that are system calls on sockets. */
sp_err sp_net_connect(struct sp_sock *sock, const sp_addr *to, const sp_addr *from, uint32_t flags,
                      sp_err *ret_late);
sp_err sp_net_connected(struct sp_sock *sock);
sp_err sp_net_error(struct sp_sock *sock);
ssize_t sp_net_recv(struct sp_sock *sock, char *to, size_t bytes);
ssize_t sp_net_send(struct sp_sock *sock, const struct iovec *iov, int count);
void sp_net_shutdown(struct sp_sock *sock);
sp_err sp_net_addr(const struct sp_sock *sock, enum sp_addr_which which, sp_addr *ret_addr);
int sp_net_accept(struct sp_acceptor *acceptor, sp_addr *ret_peer);
/* Set what accepted sockets inherit. SP_E_INVALID: it does not listen. */
sp_err sp_net_listener_prepare(int fd, bool *ret_is_unix);
sp_err sp_net_acceptor_addr(const struct sp_acceptor *acceptor, sp_addr *ret_addr);

/* net.c: between our words and the system's. */
sp_err sp_net_err(int system_error);
/* Length of `ret_os`; 0 when the path of a Unix socket is too long or there is no family. */
socklen_t sp_net_to_os(const sp_addr *addr, struct sockaddr_storage *ret_os);
/* A Unix path is not copied: path is "" then. IPv4 in IPv6 comes out as IPv4. */
sp_addr sp_net_from_os(const struct sockaddr_storage *os, socklen_t bytes);

#endif
