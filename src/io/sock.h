/* sock: a stream socket (TCP or Unix) with a completion-shaped face: bytes come, room comes, the end comes.
 *
 * Embedded in its owner. Reading: while reading is on, each completion brings bytes that landed in a slab.
 * The slab is lent for the call; who wants to keep bytes takes a reference. When nobody kept it the loop
 * reads the next socket's bytes into the same memory, so an idle socket owns no buffer. An owner that
 * holds the beginning of something in a slab with room may ask that what follows lands behind it
 * (sp_sock_read_into).
 * Writing: sp_sock_send takes what the peer's window takes now; if that was not all, one on_room follows.
 * Interest in the kernel changes only when reading is paused or room is awaited: no epoll_ctl in the
 * steady state, one recv for each event, none that returns EAGAIN.
 *
 *        open_fd ──> OPEN ──────────────┐ shutdown: our direction ended, theirs goes on
 *  connect ──> CONNECTING ──> OPEN ──┐  │
 *                   │ on_connected(e)│  ├──> close() ──> on_closed at the end of the turn
 *                   └────────────────┴──┘
 */
#ifndef SP_IO_SOCK_H
#define SP_IO_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/slab.h"
#include "io/loop.h"

struct sp_sock;
struct sp_pump;

struct sp_sock_ops {
    /* Only after sp_sock_connect. err != 0: it never opened; the owner closes. */
    void (*on_connected)(struct sp_sock *sock, sp_err err);
    /* `len` fresh bytes at `ptr` inside `slab` (slab->used already counts them). */
    void (*on_bytes)(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len);
    /* After a send that took less than all. */
    void (*on_room)(struct sp_sock *sock);
    /* SP_E_CLOSED: the peer ended its direction, ours is still open. SP_E_RESET and others: both are gone.
     * Comes once; no on_bytes after it. A slab shortage pauses reading instead and is no end. */
    void (*on_end)(struct sp_sock *sock, sp_err err);
    /* After sp_sock_close, once, at the end of the turn: storage is the owner's again. */
    void (*on_closed)(struct sp_sock *sock);
};

struct sp_sock {
    struct sp_loop *loop;
    const struct sp_sock_ops *ops;
    union {
        struct sp_slab *into;     /* not pumped: see sp_sock_read_into; borrowed */
        struct sp_pump *pump_out; /* pumped: it reads from us while it runs */
    };
    struct sp_pump *pump_in; /* writes to us while it runs */
    struct sp_list link;     /* on one of the loop's lists: changed, late, starved or closed */
    int fd;                  /* in the simulation: the number of an end */
    uint8_t state;           /* enum sp_sock_state in loop_impl.h */
    uint8_t interest;        /* what the kernel watches for us */
    int8_t late;             /* an sp_err that the owner is still owed */
    bool reading : 1;
    bool room_wanted : 1;
    bool ended : 1;     /* on_end was called */
    bool read_full : 1; /* the last read filled its slab: the next gets a large one */
    bool shut : 1;      /* our direction was ended */
    bool starved : 1;   /* on the loop's list of those */
    bool pumped : 1;    /* pump_out is meant, not `into` */
    bool over : 1;      /* a HUP was seen that reading alone can explain: not watched until then */
};

enum sp_sock_flag {
    SP_SOCK_TRANSPARENT = 1, /* may use addresses that are not ours (TPROXY) */
};

/* Adopt an open descriptor (from accept, or handed over). Reading is off until sp_sock_read(sock, true). */
sp_err sp_sock_open_fd(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops,
                       int fd) SP_MUST_USE;
/* `from` may be NULL; its port may be 0. The answer always comes as on_connected, never inside this call,
 * unless the call itself fails (out of descriptors: SP_E_NOFILE), after which there is nothing to close. */
sp_err sp_sock_connect(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops,
                       const sp_addr *to, const sp_addr *from, uint32_t flags) SP_MUST_USE;

void sp_sock_read(struct sp_sock *sock, bool on);
/* The next bytes land at the end of `slab` when at least `min` bytes are free in it (else in a fresh slab);
 * NULL ends that. The owner holds the reference. */
static inline void sp_sock_read_into(struct sp_sock *sock, struct sp_slab *slab)
{
    if (!sock->pumped)
        sock->into = slab;
}

/* Bytes taken, from 0 to all; fewer than all = one on_room will come, send again then. Negative: the
 * connection is dead (on_end follows unless it came already). One system call. */
ssize_t sp_sock_send(struct sp_sock *sock, const struct iovec *iov, int count) SP_MUST_USE;
/* End our direction (FIN) behind everything sent. */
void sp_sock_shutdown(struct sp_sock *sock);
/* `reset`: cut with RST and drop what is unsent. */
void sp_sock_close(struct sp_sock *sock, bool reset);
/* Leave the loop without closing: the descriptor is the caller's (hand-over); no on_closed. */
int sp_sock_detach(struct sp_sock *sock);
/* What a sock knows that its descriptor does not: for hand-over to another process. */
struct sp_sock_saved {
    bool ended, shut; /* the peer's direction has been told to be over; ours was ended */
    bool broken;      /* a send or a read failed: nothing goes out any more */
    int8_t late;      /* an sp_err of which on_end has still to tell */
};
/* Not of a sock that is connecting. */
void sp_sock_save(const struct sp_sock *sock, struct sp_sock_saved *ret_saved);
/* As sp_sock_open_fd, and then as it was: the descriptor is adopted, nothing is read or told before the loop
 * runs. The owner says by sp_sock_read, on or off, whether it reads. SP_E_INVALID: no sock can have been so.
 * On failure the descriptor is still the caller's. */
sp_err sp_sock_load(struct sp_sock *sock, struct sp_loop *loop, const struct sp_sock_ops *ops, int fd,
                    const struct sp_sock_saved *saved) SP_MUST_USE;
/* Cut an accepted descriptor that nobody takes. */
void sp_sock_drop_fd(struct sp_loop *loop, int fd);
/* Close our copy of a descriptor that somebody else has too: the connection lives on. */
void sp_sock_forget_fd(struct sp_loop *loop, int fd);

sp_err sp_sock_local(const struct sp_sock *sock, sp_addr *ret_addr) SP_MUST_USE;
sp_err sp_sock_peer(const struct sp_sock *sock, sp_addr *ret_addr) SP_MUST_USE;
/* SO_ORIGINAL_DST (REDIRECT, IPv4 and IPv6); SP_E_MISSING when there is none. */
sp_err sp_sock_original_dst(const struct sp_sock *sock, sp_addr *ret_addr) SP_MUST_USE;

/* A listening socket. */
struct sp_acceptor {
    struct sp_loop *loop;
    /* A new connection; the descriptor is the callee's. */
    void (*on_accept)(struct sp_acceptor *acceptor, int fd, const sp_addr *peer);
    /* Out of descriptors: the acceptor paused itself; resume when some are back. */
    void (*on_full)(struct sp_acceptor *acceptor, sp_err err);
    int fd;
    bool paused;
    bool is_unix;
    bool shared;
    uint32_t batch;     /* accepts at most for each event; 0 = 64 */
    uint32_t quota;     /* accepts for the next event: grows while connections come in every turn */
    uint64_t full_turn; /* the turn in which the quota was last used up */
};

struct sp_listen_config {
    sp_addr addr;     /* port 0: the system chooses, see sp_acceptor_local */
    uint32_t backlog; /* 0 = 4096 */
    uint32_t mode;    /* permission bits of a Unix socket; 0 = 0600 */
    bool reuse_port;
    bool transparent;
};

/* Open a listening descriptor without a loop: cmd opens the addresses first, so that errors come before
 * anything starts. SP_E_EXISTS: the address is in use; SP_E_DENIED; SP_E_INVALID. */
sp_err sp_listen_fd(const struct sp_listen_config *config, int *ret_fd) SP_MUST_USE;
/* `shared`: one descriptor in several loops' epolls, woken one at a time. */
sp_err sp_acceptor_open(struct sp_acceptor *acceptor, struct sp_loop *loop, int fd, bool shared) SP_MUST_USE;
/* The same in one step, also in the simulation. */
sp_err sp_acceptor_listen(struct sp_acceptor *acceptor, struct sp_loop *loop,
                          const struct sp_listen_config *config) SP_MUST_USE;
void sp_acceptor_pause(struct sp_acceptor *acceptor, bool on);
void sp_acceptor_close(struct sp_acceptor *acceptor); /* at once, no callback */
/* Leave the loop without closing: the descriptor is the caller's (hand-over). */
int sp_acceptor_detach(struct sp_acceptor *acceptor);
sp_err sp_acceptor_local(const struct sp_acceptor *acceptor, sp_addr *ret_addr) SP_MUST_USE;

#endif
