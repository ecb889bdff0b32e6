/* notify: systemd's way to hear from a service, in its own few lines instead of a library for one datagram.
 *
 *      READY=1           it serves: what waits for it may start
 *      MAINPID=1234      another process is the service now (hot upgrade); said by the new one
 *      STOPPING=1        it drains
 *      STATUS=text       for people
 *
 * The name of the socket is in NOTIFY_SOCKET; no such variable means that nobody listens, and the caller says
 * nothing. A datagram that cannot be sent is an error that the caller may tell and nothing else: calls do not
 * depend on it. */
#include "io/notify.h"

#include <errno.h>
#include <unistd.h>

#include "io/epoll_impl.h"

sp_err sp_notify(const char *to, sp_str lines)
{
    struct sockaddr_storage os;
    sp_addr addr = { .family = SP_ADDR_UNIX, .path = to };
    socklen_t len = to[0] == '/' || to[0] == '@' ? sp_net_to_os(&addr, &os) : 0;
    if (!len)
        return SP_E_INVALID;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sp_net_err(errno);
    ssize_t sent = sendto(fd, lines.ptr, lines.len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&os, len);
    sp_err err = sent == (ssize_t)lines.len ? 0 : sp_net_err(errno);
    close(fd);
    return err;
}
