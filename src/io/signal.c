/* signal: signals as readiness of a signalfd, so that a handler is an ordinary callback of the loop, between
 * two others, and may do what a callback may do.
 *
 * The signals are blocked in the calling thread and in every thread that it makes afterwards; so this comes
 * before the workers are made, and nothing else of the program ever sees them. Freeing does not unblock:
 * one that arrived in between would end the process. */
#include "io/signal.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/epoll_impl.h"

struct sp_signals {
    struct sp_loop *loop;
    struct sp_fd_watch watch;
    void (*on_signal)(void *arg, int signal);
    void *arg;
    bool *freed; /* tells on_ready's frame that a callback freed us */
};

static void on_ready(struct sp_fd_watch *watch, uint32_t events)
{
    struct sp_signals *signals = SP_CONTAINER(watch, struct sp_signals, watch);
    struct signalfd_siginfo info[8];
    ssize_t got = read(watch->fd, info, sizeof(info));
    bool freed = false;
    signals->freed = &freed;
    for (ssize_t at = 0; got >= at + (ssize_t)sizeof(info[0]); at += (ssize_t)sizeof(info[0])) {
        signals->on_signal(signals->arg, (int)info[(size_t)at / sizeof(info[0])].ssi_signo);
        if (freed)
            return;
    }
    signals->freed = NULL;
}

struct sp_signals *sp_signals_new(struct sp_loop *loop, const int *numbers, uint32_t count,
                                  void (*on_signal)(void *arg, int signal), void *arg)
{
    if (!sp_epoll_is(loop)) {
        errno = ENOTSUP;
        return NULL;
    }
    sigset_t set;
    sigemptyset(&set);
    for (uint32_t i = 0; i < count; i++)
        sigaddset(&set, numbers[i]);

    struct sp_signals *signals = sp_mem_zalloc(sizeof(*signals));
    if (!signals)
        return NULL;
    signals->loop = loop;
    signals->on_signal = on_signal;
    signals->arg = arg;
    signals->watch = (struct sp_fd_watch){ .fd = -1, .on_ready = on_ready };
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        goto fail;
    signals->watch.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->watch.fd < 0)
        goto fail;
    if (sp_epoll_watch(loop, &signals->watch, EPOLLIN, false))
        goto fail_watch;
    return signals;

fail_watch:
    close(signals->watch.fd);
fail:
    sp_mem_free(signals);
    return NULL;
}

void sp_signals_free(struct sp_signals *signals)
{
    if (!signals)
        return;
    if (signals->freed)
        *signals->freed = true;
    sp_epoll_unwatch(signals->loop, &signals->watch);
    close(signals->watch.fd);
    sp_mem_free(signals);
}
