/* splice: bytes from socket to socket through a pipe, without entering the process; and the loop's pipes.
 *
 * A pipe is made when there is none to take, asked to hold PIPE_BYTES, and kept when it comes back empty.
 * One that comes back with bytes inside (its connection broke) is closed: they belong to nobody. The number
 * of pipes, lent and idle together, is bounded: each takes two descriptors, which connections and admin want
 * too, and may pin its size in pages of the kernel (64 MiB for the 256 pipes of a loop that was told
 * nothing). Beyond the bound pumps copy. An unprivileged user's sum is bounded in the kernel too
 * (pipe-user-pages-soft): then F_SETPIPE_SZ is refused and the pipe works with its 64 KiB.
 *
 * SPLICE_F_NONBLOCK speaks of the pipe; for the sockets their own O_NONBLOCK counts, which all that we open
 * or accept have. One that was handed over in blocking mode is set right when its first pipe is used. */
#include "io/epoll_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIPE_BYTES = 256 * 1024 };

static sp_err pipe_take(struct sp_loop *loop, int pipe[2])
{
    struct sp_epoll *e = sp_epoll_of(loop);
    if (e->pipe_count > 0) {
        e->pipe_count--;
        pipe[0] = e->pipes[e->pipe_count][0];
        pipe[1] = e->pipes[e->pipe_count][1];
        return 0;
    }
    if (loop->view.pipes_open >= loop->pipes_max)
        return SP_E_LIMIT;
    if (pipe2(pipe, O_NONBLOCK | O_CLOEXEC)) {
        pipe[0] = pipe[1] = -1;
        return sp_net_err(errno);
    }
    loop->view.pipes_open++;
    (void)fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* refused: it works with what it has */
    return 0;
}

static void pipe_give(struct sp_loop *loop, int pipe[2], bool is_empty)
{
    struct sp_epoll *e = sp_epoll_of(loop);
    if (is_empty && e->pipe_count < SP_EPOLL_PIPES) {
        e->pipes[e->pipe_count][0] = pipe[0];
        e->pipes[e->pipe_count][1] = pipe[1];
        e->pipe_count++;
    } else {
        close(pipe[0]);
        close(pipe[1]);
        loop->view.pipes_open--;
    }
    pipe[0] = pipe[1] = -1;
}

static ssize_t result(ssize_t moved, ssize_t when_none)
{
    if (moved >= 0)
        return moved;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return when_none;
    return sp_net_err(errno);
}

static ssize_t splice_in(struct sp_sock *from, const int pipe[2], size_t bytes)
{
    return result(splice(from->fd, NULL, pipe[1], NULL, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE),
                  SP_E_AGAIN);
}

static ssize_t splice_out(struct sp_sock *to, const int pipe[2], size_t bytes)
{
    return result(splice(pipe[0], NULL, to->fd, NULL, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE), 0);
}

/* Out of the pipe: for hand-over, when what is inside must become bytes that can be told. */
static ssize_t pipe_drain(const int pipe[2], char *to, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = read(pipe[0], to + done, bytes - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? sp_net_err(errno) : SP_E_IO;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

const struct sp_splice_body sp_epoll_splice = {
    .pipe_take = pipe_take,
    .pipe_give = pipe_give,
    .in = splice_in,
    .out = splice_out,
    .drain = pipe_drain,
    .pipe_bytes = PIPE_BYTES,
};
