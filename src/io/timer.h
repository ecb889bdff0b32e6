/* timer: something to happen later on this loop. A hierarchical wheel of 1-ms ticks: set and stop are a
 * few stores, so a timer for each request is free. Never early; late by at most a tick and a turn. */
#ifndef SP_IO_TIMER_H
#define SP_IO_TIMER_H

#include "base/list.h"
#include "io/loop.h"

struct sp_timer {
    struct sp_list link; /* on a wheel's slot, or on no list */
    sp_ns due;
    void (*on_fire)(struct sp_timer *timer);
};

/* Storage zeroed by the owner, on_fire set. Re-arms a running one. */
void sp_timer_set(struct sp_loop *loop, struct sp_timer *timer, sp_ns delay_ns);
void sp_timer_stop(struct sp_loop *loop, struct sp_timer *timer); /* a stopped one is fine */

static inline int sp_timer_is_set(const struct sp_timer *timer)
{
    return sp_list_is_on(&timer->link);
}

/* Time left, 0 when due or stopped: for hand-over. */
sp_ns sp_timer_left(const struct sp_loop *loop, const struct sp_timer *timer);

#endif
