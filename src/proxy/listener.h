/* listener: a place where connections come in: accepts, finds out what they are (PROXY header, original
 * destination, first bytes), chooses the chain, and hands over to a line (calls) or a relay (raw TCP). */
#ifndef SP_PROXY_LISTENER_H
#define SP_PROXY_LISTENER_H

#include "base/list.h"
#include "io/sock.h"
#include "model/snapshot.h"
#include "proxy/budget.h"
#include "proxy/view.h"
#include "wire/codec.h"

struct sp_worker;

/* A chain of a listener with its figures. Connections point here; `users` keeps it when the listener
 * changes. */
struct sp_chain {
    struct sp_listener *listener;
    const struct sp_chain_spec *spec;
    struct sp_resource *resource; /* a reference: where spec lives */
    struct sp_codec_limits limits;
    struct sp_chain_cells cells; /* HTTP, RPC */
    struct sp_tcp_cells tcp;     /* raw bytes */
    struct sp_hist rq_time_ns;
    uint32_t users;
    bool gone;
    bool fits; /* while one is chosen: still in question */
};

/* One more socket of a listener: of a worker that a hand-over has joined with this one. Closing it would
 * reset who waits in its queue. */
struct sp_listener_door {
    struct sp_acceptor acceptor;
    struct sp_listener *listener;
    struct sp_list link; /* on sp_listener.doors */
};

struct sp_listener {
    struct sp_worker *worker;
    struct sp_list link; /* on worker->listeners */
    struct sp_resource *resource;
    const struct sp_listener_spec *spec;
    struct sp_acceptor acceptor;
    struct sp_list doors; /* of sp_listener_door.link */
    bool accepting;
    bool resting;         /* at a cap: see listener.c */
    int waiting_fd;       /* accepted when there was no room any more; -1 = none */
    sp_addr waiting_peer; /* its address */
    sp_addr bound;
    struct sp_chain **chains;
    uint32_t chain_count;
    struct sp_listener_cells cells;
    uint32_t active;             /* connections */
    struct sp_lease connections; /* as many of the process's for this listener */
    struct sp_budget own;        /* which nobody shares: where the process was not told of the listener */
    bool gone;
};

enum { SP_LISTENER_OPEN = -1, SP_LISTENER_LATER = -2 };
/* `fd` SP_LISTENER_OPEN: open the address ourselves; SP_LISTENER_LATER: sp_listener_open follows. */
sp_err sp_listener_new(struct sp_worker *worker, struct sp_resource *resource, int fd, bool shared_fd,
                       struct sp_listener **ret_listener) SP_MUST_USE;
/* Open the address now, if it should be and is not. */
sp_err sp_listener_open(struct sp_listener *listener) SP_MUST_USE;
/* The same, with a socket that listens already; on failure it is still the caller's. */
sp_err sp_listener_place(struct sp_listener *listener, int fd) SP_MUST_USE;
/* Accept from this socket too; likewise. */
sp_err sp_listener_add_door(struct sp_listener *listener, int fd) SP_MUST_USE;
/* At a cap: no accepting until a connection ends, or the next tick. */
void sp_listener_rest(struct sp_listener *listener);
/* Touching no socket: stop accepting. Descriptors are closed or left open for others. */
void sp_listener_leave(struct sp_listener *listener, bool close_fds);
/* A connection that was accepted before, and is counted. */
void sp_listener_let_in(struct sp_listener *listener, int fd, const sp_addr *peer);
sp_err sp_listener_update(struct sp_listener *listener, struct sp_resource *resource) SP_MUST_USE;
/* Stops accepting at once; freed when its connections are gone. */
void sp_listener_free(struct sp_listener *listener);
/* Once a second: accepting goes on after it had to rest. */
void sp_listener_tick(struct sp_listener *listener);

/* A connection cannot be served: closes `fd`, counts, says why. The lease and the count are given back. */
void sp_listener_refuse(struct sp_listener *listener, int fd, enum sp_why why);
/* A connection is gone. */
void sp_listener_unuse(struct sp_listener *listener);
void sp_chain_unuse(struct sp_chain *chain);

#endif
