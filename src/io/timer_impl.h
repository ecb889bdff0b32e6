/* timer_impl: the wheel behind timer.h. Part of struct sp_loop; a body needs it only to know how long it
 * may wait (sp_wheel_next). */
#ifndef SP_IO_TIMER_IMPL_H
#define SP_IO_TIMER_IMPL_H

#include "base/list.h"
#include "io/timer.h"

enum {
    SP_WHEEL_BITS = 6,
    SP_WHEEL_SLOTS = 1 << SP_WHEEL_BITS,
    SP_WHEEL_LEVELS =
        6, /* 2^36 ms: more than two years; what is farther waits in the last slot and is put again */
};

struct sp_wheel {
    uint64_t tick;                                         /* everything up to this tick has fired */
    uint64_t busy[SP_WHEEL_LEVELS];                        /* a bit for each slot that may hold something */
    struct sp_list slots[SP_WHEEL_LEVELS][SP_WHEEL_SLOTS]; /* of sp_timer.link */
};

void sp_wheel_init(struct sp_wheel *wheel, sp_ns now);
/* The instant at which sp_wheel_advance has something to do; UINT64_MAX when no timer runs. It may be a
 * move between levels, so it is a lower bound for the next firing. Forgets slots that stops have emptied. */
sp_ns sp_wheel_next(struct sp_wheel *wheel);
/* Fire everything due at `now`; returns how many. A timer set by a callback fires in a later turn. */
uint64_t sp_wheel_advance(struct sp_wheel *wheel, sp_ns now);

#endif
