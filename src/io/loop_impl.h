/* loop_impl: what the bodies of the loop share, and the table by which they differ.
 *
 * The room is built in two layers. The common layer (loop.c timer.c sock.c acceptor.c pump.c mail.c) knows
 * turns, slabs, callbacks, pauses, half close and who is called when; it is the same for every body, so the
 * simulation runs the code that production runs. A body knows how to wait and how to move bytes: about as
 * much as a handful of system calls. It tells the common layer what is ready by sp_sock_ready and
 * sp_acceptor_ready, and is asked for bytes through `struct sp_loop_body`, one indirect call each.
 *
 *     owner (link, proxy)        on_bytes  on_room  on_end  on_accept
 *        │ sp_sock_send              ▲
 *     ───▼───────────────────────────┴────────────── sock.h: the face
 *        common layer: sock.c acceptor.c pump.c loop.c timer.c mail.c
 *     ───┬───────────────────────────▲────────────── this file
 *        │ body->send, recv, watch   │ sp_sock_ready
 *        ▼                           │
 *        epoll.c + net.c        or   sim/
 *
 * A body's own struct begins with `struct sp_loop loop`. */
#ifndef SP_IO_LOOP_IMPL_H
#define SP_IO_LOOP_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rng.h"
#include "base/slab.h"
#include "io/loop.h"
#include "io/sock.h"
#include "io/timer_impl.h"

struct sp_dns_body;
struct sp_mail;
struct sp_loop_body;

#define SP_FOREVER UINT64_MAX

/* States of sp_sock.state. BROKEN: a send failed; what had come before may still be read, then on_end. */
enum sp_sock_state {
    SP_SOCK_NONE,
    SP_SOCK_CONNECTING,
    SP_SOCK_OPEN,
    SP_SOCK_BROKEN,
    SP_SOCK_CLOSING, /* on loop->closed: whatever a body still says about it is ignored */
};

/* sp_sock.interest: what the body watches. 0 = the body says nothing about the sock; ON alone = it says
 * ERR and HUP only. IN and OUT have epoll's values, and so has `enum sp_ready`. */
enum sp_watch { SP_WATCH_IN = 1, SP_WATCH_OUT = 4, SP_WATCH_ON = 0x80 };

/* What a body says. Readiness is a level: it is said in each turn until it is gone or no longer watched.
 * HUP: both directions are over (bytes may still wait to be read). ERR: the connection broke. */
enum sp_ready { SP_READY_IN = 1, SP_READY_OUT = 4, SP_READY_ERR = 8, SP_READY_HUP = 16 };

enum sp_addr_which { SP_ADDR_LOCAL, SP_ADDR_PEER, SP_ADDR_ORIGINAL_DST };

enum {
    SP_SOCK_INTO_MIN = 2048, /* least room in sp_sock.into that is read into */
    SP_SPARE_MIN = 8192,  /* least room for which a spare that somebody keeps a part of goes on being one */
    SP_ACCEPT_BATCH = 64, /* default of sp_acceptor.batch */
    SP_FEED_BATCH = 8,    /* starved socks that read again in one turn */
    SP_TURN_ROUNDS = 4,   /* turn-end hooks that ask for hooks: after this many rounds they wait a turn */
};

struct sp_loop {
    const struct sp_loop_body *body;
    sp_ns now;         /* set by body->wait */
    uint64_t wall_now; /* wall clock at the instant `wall_at`; see sp_loop_wall */
    sp_ns wall_at;
    struct sp_slab *spare_read;  /* the slab that the next read goes to, or NULL */
    struct sp_slab *spare_large; /* the same, for socks whose last read came back full */
    const void *current;         /* the sock or acceptor whose callback runs; NULL once it left the loop */
    struct sp_list turn_ends;    /* of sp_turn.link */
    struct sp_list changed;      /* of sp_sock.link: interest differs from what the body watches */
    struct sp_list late; /* of sp_sock.link: on_connected(err) or on_end(err) is owed; err in sp_sock.late */
    struct sp_list starved; /* of sp_sock.link: readable, but no slab was to be had */
    struct sp_list closed;  /* of sp_sock.link: on_closed is owed */
    struct sp_mail *mail;   /* posted, newest first; atomic */
    int stop;               /* atomic */
    uint32_t pipes_max;     /* of pumps, lent and idle together */
    struct sp_loop_view view;
    sp_ns turn_began; /* when the last wait ended */
    struct sp_slab_pool slabs;
    struct sp_rng rng;
    struct sp_wheel wheel;
};

/* wide because it is a table of functions: all that a body must be able to do. */
struct sp_loop_body {
    /* The body's own; ends with sp_loop_deinit and gives the storage back. */
    void (*free)(struct sp_loop *loop);
    sp_ns (*clock)(const struct sp_loop *loop);
    uint64_t (*wall)(const struct sp_loop *loop); /* ns since 1970 */

    /* Wait at most `at_most` (0 = look only, SP_FOREVER), set loop->now, then say what is ready. */
    void (*wait)(struct sp_loop *loop, sp_ns at_most);
    /* End a wait, or the next one. Any thread, and signal handlers. */
    void (*wake)(struct sp_loop *loop);

    /* Socks. The common layer owns sock->state, ->interest and ->link; the body owns ->fd. */
    sp_err (*open)(struct sp_sock *sock, int fd); /* sets sock->fd; nothing is watched yet */
    /* Sets sock->fd. 0: under way, OUT (or ERR) tells when it is decided, then connected() says how.
     * *ret_late: failed at once, but the owner must hear it later; sock->fd is -1 then. */
    sp_err (*connect)(struct sp_sock *sock, const sp_addr *to, const sp_addr *from, uint32_t flags,
                      sp_err *ret_late);
    sp_err (*connected)(struct sp_sock *sock);
    /* Watch what `interest` (enum sp_watch) says from now on. sock->interest still holds what was watched. */
    void (*watch)(struct sp_sock *sock, uint8_t interest);
    /* > 0 bytes; 0 the peer ended its direction; SP_E_AGAIN; else the connection is dead. */
    ssize_t (*recv)(struct sp_sock *sock, char *to, size_t bytes);
    /* >= 0 bytes taken (0 = none fits now: OUT tells when); else the connection is dead: both directions
     * are over (HUP), yet bytes that had come before can still be received. */
    ssize_t (*send)(struct sp_sock *sock, const struct iovec *iov, int count);
    sp_err (*error)(struct sp_sock *sock); /* what broke it, said once; 0 = nothing */
    void (*shutdown)(struct sp_sock *sock);
    void (*close)(struct sp_sock *sock, bool reset); /* stops watching; sock->fd = -1 */
    int (*detach)(struct sp_sock *sock);             /* stops watching; the storage may vanish at once */
    sp_err (*addr)(const struct sp_sock *sock, enum sp_addr_which which, sp_addr *ret_addr);

    /* Acceptors. `watched` from open on; acceptor_watch switches. */
    sp_err (*listen)(struct sp_acceptor *acceptor, const struct sp_listen_config *config);
    sp_err (*acceptor_open)(struct sp_acceptor *acceptor, int fd, bool shared);
    void (*acceptor_watch)(struct sp_acceptor *acceptor, bool on);
    /* A descriptor; SP_E_AGAIN = none waits; SP_E_NOFILE; SP_E_RESET = that one is gone again, try the
     * next. */
    int (*accept)(struct sp_acceptor *acceptor, sp_addr *ret_peer);
    void (*acceptor_close)(struct sp_acceptor *acceptor); /* the storage may vanish at once */
    int (*acceptor_detach)(struct sp_acceptor *acceptor); /* not watched any more; as detach */
    sp_err (*acceptor_addr)(const struct sp_acceptor *acceptor, sp_addr *ret_addr);

    const struct sp_splice_body *splice; /* NULL: pumps copy */
    const struct sp_dns_body *dns;       /* see dns_impl.h */
};

/* Bytes from sock to sock that never enter the process. */
struct sp_splice_body {
    sp_err (*pipe_take)(struct sp_loop *loop, int pipe[2]);               /* from the loop's pool */
    void (*pipe_give)(struct sp_loop *loop, int pipe[2], bool is_empty);  /* pipe[] = -1 after */
    ssize_t (*in)(struct sp_sock *from, const int pipe[2], size_t bytes); /* as recv */
    ssize_t (*out)(struct sp_sock *to, const int pipe[2], size_t bytes);  /* as send */
    ssize_t (*drain)(const int pipe[2], char *to, size_t bytes);          /* into memory; all or an error */
    size_t pipe_bytes;                                                    /* what a pipe is asked to hold */
};

/* --- for bodies ------------------------------------------------------------------------------------- */

/* `seed` 0 is the body's to replace. The clock of `body` must work. */
void sp_loop_init(struct sp_loop *loop, const struct sp_loop_body *body, const struct sp_loop_config *config,
                  uint64_t seed);
void sp_loop_deinit(struct sp_loop *loop);
/* From body->wait only. `ready` is a set of enum sp_ready. Ignores socks that were closed meanwhile. */
void sp_sock_ready(struct sp_sock *sock, uint32_t ready);
void sp_acceptor_ready(struct sp_acceptor *acceptor);
/* When the next turn has something to do without the body's help: loop->now when something is owed, else
 * the next timer, else SP_FOREVER. */
sp_ns sp_loop_due(struct sp_loop *loop);

/* --- within the common layer ------------------------------------------------------------------------ */

/* Each works off one list of the loop. */
void sp_sock_deliver_late(struct sp_loop *loop);
void sp_sock_feed_starved(struct sp_loop *loop);
void sp_sock_apply_changed(struct sp_loop *loop);
void sp_sock_deliver_closed(struct sp_loop *loop);

/* The slab that the next read goes to, behind `used`, and where it belongs; NULL when there is none (not
 * even a smaller one than asked for). Given back it is the next spare, unless somebody keeps most of it. */
struct sp_slab *sp_spare_take(struct sp_loop *loop, bool large, struct sp_slab ***ret_home);
void sp_spare_give(struct sp_slab *slab, struct sp_slab **home);

/* Pumps, called by sock.c in place of the owner's callbacks: on_bytes and on_end of pump->from, on_room of
 * pump->to; and when either broke. */
void sp_pump_readable(struct sp_pump *pump);
void sp_pump_writable(struct sp_pump *pump);
void sp_pump_broken(struct sp_pump *pump, sp_err err);
/* sock.c's for pump.c. touch: what should be watched may have changed. lost: a send or receive said `err`. */
void sp_sock_touch(struct sp_sock *sock);
void sp_sock_lost(struct sp_sock *sock, sp_err err);
void sp_sock_starve(struct sp_sock *sock);
void sp_sock_ended(struct sp_sock *sock, sp_err err);

#endif
