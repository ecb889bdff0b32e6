/* timer: the wheel. Time is cut into ticks of 1 ms; six levels of 64 slots each hold the timers of a loop.
 *
 *   level 0   64 slots of 1 tick      due within the current 64 ms
 *   level 1   64 slots of 64 ticks    due within the current 4 s
 *   level 2   64 slots of 4096 ticks  due within the current 4 min ... and so on
 *
 * The level of a timer is the highest group of six bits in which its tick differs from the wheel's: all of a
 * lower level are due before any of a higher one, so the next thing to do is found in the lowest level that
 * is not empty, by one bit scan. When the wheel reaches a slot of a higher level, what hangs there is put
 * again, one level or more farther down: each timer moves at most five times in its life, and a timeout of
 * some seconds that is stopped in time (as nearly all are) has moved not once.
 *
 * Stopping takes the timer off its list and nothing else. The bit of a slot that became empty by that stays
 * set until somebody looks for the next due slot; otherwise each stop would have to find its slot.
 *
 * A timer is due at the first tick that is not before its instant: never early, late by less than a tick
 * and the turn that it falls in. Instants count from the loop's clock, which stands still during a turn.
 *
 * A binary heap was the alternative: log n for set and stop, on the way of every request. */
#include "io/timer.h"

#include "io/loop_impl.h"
#include "io/timer_impl.h"

#define TICK_NS SP_NS_PER_MS
#define FAR_TICKS (1ull << (SP_WHEEL_BITS * SP_WHEEL_LEVELS))

static uint64_t tick_of_due(sp_ns due)
{
    return due / TICK_NS + (due % TICK_NS != 0);
}

void sp_wheel_init(struct sp_wheel *wheel, sp_ns now)
{
    wheel->tick = now / TICK_NS;
    for (int level = 0; level < SP_WHEEL_LEVELS; level++) {
        wheel->busy[level] = 0;
        for (int slot = 0; slot < SP_WHEEL_SLOTS; slot++)
            sp_list_init(&wheel->slots[level][slot]);
    }
}

/* `tick` is after wheel->tick. */
static void put(struct sp_wheel *wheel, struct sp_timer *timer, uint64_t tick)
{
    if (tick - wheel->tick >= FAR_TICKS)
        tick = wheel->tick + FAR_TICKS - 1;
    uint64_t differ = tick ^ wheel->tick;
    int level = (63 - __builtin_clzll(differ)) / SP_WHEEL_BITS;
    if (level >= SP_WHEEL_LEVELS)
        level = SP_WHEEL_LEVELS - 1;
    uint32_t slot = (uint32_t)(tick >> (level * SP_WHEEL_BITS)) % SP_WHEEL_SLOTS;

    wheel->busy[level] |= 1ull << slot;
    sp_list_push(&wheel->slots[level][slot], &timer->link);
}

void sp_timer_set(struct sp_loop *loop, struct sp_timer *timer, sp_ns delay_ns)
{
    struct sp_wheel *wheel = &loop->wheel;
    timer->due = delay_ns > SP_FOREVER - loop->now ? SP_FOREVER : loop->now + delay_ns;
    uint64_t tick = tick_of_due(timer->due);
    uint64_t today = loop->now /
                     TICK_NS; /* not before wheel->tick; what is set in a turn fires in a later one */
    if (tick <= today)
        tick = today + 1;
    sp_list_remove(&timer->link);
    put(wheel, timer, tick);
}

void sp_timer_stop(struct sp_loop *loop, struct sp_timer *timer)
{
    sp_list_remove(&timer->link);
}

sp_ns sp_timer_left(const struct sp_loop *loop, const struct sp_timer *timer)
{
    return sp_timer_is_set(timer) && timer->due > loop->now ? timer->due - loop->now : 0;
}

/* The first slot of `level` at or behind the wheel's hand that holds something, as the tick at which it
 * begins; false when the level is empty. */
static bool next_slot(struct sp_wheel *wheel, int level, uint64_t *ret_tick)
{
    int shift = level * SP_WHEEL_BITS;
    uint32_t hand = (uint32_t)(wheel->tick >> shift) % SP_WHEEL_SLOTS;
    while (wheel->busy[level]) {
        uint64_t busy = wheel->busy[level];
        uint64_t turned = hand ? busy >> hand | busy << (64 - hand) : busy;
        uint32_t ahead = (uint32_t)__builtin_ctzll(turned);
        uint32_t slot = (hand + ahead) % SP_WHEEL_SLOTS;
        if (sp_list_is_empty(&wheel->slots[level][slot])) {
            wheel->busy[level] &= ~(1ull << slot);
            continue;
        }
        /* Only the last level goes round: there slot 0 ahead of the hand means a whole round away. */
        uint64_t round = wheel->tick >> shift >> SP_WHEEL_BITS;
        if (slot < hand || (slot == hand && level == SP_WHEEL_LEVELS - 1))
            round++;
        *ret_tick = (round << SP_WHEEL_BITS | slot) << shift;
        return true;
    }
    return false;
}

static bool next_due(struct sp_wheel *wheel, int *ret_level, uint64_t *ret_tick)
{
    for (int level = 0; level < SP_WHEEL_LEVELS; level++) {
        if (!next_slot(wheel, level, ret_tick))
            continue;
        *ret_level = level;
        return true;
    }
    return false;
}

sp_ns sp_wheel_next(struct sp_wheel *wheel)
{
    int level;
    uint64_t tick;
    if (!next_due(wheel, &level, &tick))
        return SP_FOREVER;
    return tick > SP_FOREVER / TICK_NS ? SP_FOREVER : tick * TICK_NS;
}

/* Move all of one slot to `to`, an initialised head. Callbacks may stop what hangs there. */
static void take_slot(struct sp_list *slot, struct sp_list *to)
{
    if (sp_list_is_empty(slot))
        return;
    to->next = slot->next;
    to->prev = slot->prev;
    to->next->prev = to;
    to->prev->next = to;
    sp_list_init(slot);
}

uint64_t sp_wheel_advance(struct sp_wheel *wheel, sp_ns now)
{
    uint64_t until = now / TICK_NS;
    uint64_t fired = 0;
    int level;
    uint64_t tick;
    while (next_due(wheel, &level, &tick) && tick <= until) {
        struct sp_list taken;
        struct sp_list *link;
        sp_list_init(&taken);
        take_slot(&wheel->slots[level][(tick >> (level * SP_WHEEL_BITS)) % SP_WHEEL_SLOTS], &taken);
        wheel->tick = tick;
        while ((link = sp_list_pop_first(&taken))) {
            struct sp_timer *timer = SP_CONTAINER(link, struct sp_timer, link);
            uint64_t due = tick_of_due(timer->due);
            if (due > tick) {
                put(wheel, timer, due);
                continue;
            }
            fired++;
            timer->on_fire(timer);
        }
    }
    if (wheel->tick < until)
        wheel->tick = until;
    return fired;
}
