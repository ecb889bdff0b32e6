/* loop: one thread's way to wait, and its only clock. Two bodies behind one face: epoll (io/epoll.c) and
 * a simulated world (io/sim). What runs on a loop never asks which body it has.
 *
 * A turn:  wait -> completions (bytes, room, accepts, mail) -> timers -> turn-end hooks -> closed
 * Callbacks may open, close and send; storage of a closed thing is the owner's again in on_closed, which
 * comes once, at the end of the turn. All functions are for the loop's own thread, save sp_loop_stop and
 * sp_mail_post. */
#ifndef SP_IO_LOOP_H
#define SP_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct sp_loop;
struct sp_slab_pool;
struct sp_rng;

typedef uint64_t sp_ns; /* nanoseconds: a monotonic instant or a length of time */

#define SP_NS_PER_US 1000ull
#define SP_NS_PER_MS 1000000ull
#define SP_NS_PER_S 1000000000ull

enum { SP_LOOP_PIPES = 256 };

struct sp_loop_config {
    uint32_t keep_slab_bytes;  /* free slabs kept while busy; 0 = 4 MiB */
    uint64_t slab_limit_bytes; /* most that slabs of this loop may hold; 0 = none */
    uint64_t seed;             /* of the loop's rng; 0 = from the system */
    uint32_t pipes;            /* of pumps, two descriptors each, at most; 0 = SP_LOOP_PIPES */
    bool no_pipes;             /* pumps copy */
};

/* The epoll body. NULL with errno set when the system refuses. */
struct sp_loop *sp_loop_new(const struct sp_loop_config *config);
void sp_loop_free(struct sp_loop *loop); /* everything on it must be closed */

/* Turns until sp_loop_stop. */
void sp_loop_run(struct sp_loop *loop);
/* One turn; waits at most `wait_ns`. */
void sp_loop_turn(struct sp_loop *loop, sp_ns wait_ns);
/* Any thread, and signal handlers. */
void sp_loop_stop(struct sp_loop *loop);

/* Monotonic; read once a turn after the wait. */
sp_ns sp_loop_now(const struct sp_loop *loop);
/* Between turns, when the last one may be long ago: read the clock anew. */
void sp_loop_refresh(struct sp_loop *loop);
/* Wall clock, nanoseconds since 1970, of the same instant. */
uint64_t sp_loop_wall(const struct sp_loop *loop);
/* Read the monotonic clock this instant: for measuring, where a turn's grain is too coarse. */
sp_ns sp_loop_clock(const struct sp_loop *loop);

struct sp_slab_pool *sp_loop_slabs(struct sp_loop *loop);
struct sp_rng *sp_loop_rng(struct sp_loop *loop);

/* A hook that runs once at the end of the current turn (or the next, when asked for between turns).
 * Asking twice in a turn is fine. */
struct sp_turn {
    struct sp_list link; /* on the loop's turn list */
    void (*on_turn_end)(struct sp_turn *turn);
};
void sp_loop_at_turn_end(struct sp_loop *loop, struct sp_turn *turn);
void sp_loop_turn_cancel(struct sp_turn *turn);

/* Between turns: what socks want to be told of is asked of the system now, not by the next turn. Nothing is
 * read or told before that. */
void sp_loop_watch_now(struct sp_loop *loop);

/* Figures for admin and overload control. */
struct sp_loop_view {
    uint64_t turns, events, timers_fired;
    uint64_t socks_open, pipes_open;
    uint64_t starved;   /* reads put off because no slab was to be had */
    sp_ns busy_ns;      /* spent outside the wait, since the start */
    sp_ns longest_turn; /* since the last look */
};
void sp_loop_get_view(struct sp_loop *loop, struct sp_loop_view *ret_view);

#endif
