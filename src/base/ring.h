/* ring: a bounded single-producer single-consumer queue of fixed-size records, for reports and events
 * that leave a worker. A full ring drops and counts; the producer never waits. */
#ifndef SP_BASE_RING_H
#define SP_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Three cache lines: what both read, what the consumer writes, what the producer writes. Padded and not
 * aligned, so that it can be part of anything. */
struct sp_ring {
    char *items;
    uint32_t item_bytes;
    uint32_t cap; /* a power of two */
    char pad_shared[64];
    uint32_t head;      /* next to read; the consumer's */
    uint32_t tail_seen; /* the consumer's copy of tail */
    char pad_consumer[64];
    uint32_t tail;      /* next to write; the producer's */
    uint32_t head_seen; /* the producer's copy of head */
    uint64_t dropped;   /* by sp_ring_dropped only */
    char pad_producer[48];
};

/* `cap` is a power of two, at most 2^31. */
sp_err sp_ring_init(struct sp_ring *r, uint32_t cap, uint32_t item_bytes) SP_MUST_USE;
void sp_ring_deinit(struct sp_ring *r);
/* Storage for the next record, or NULL (and dropped + 1) when full; visible after `push`. */
void *sp_ring_reserve(struct sp_ring *r);
void sp_ring_push(struct sp_ring *r);
/* The oldest record or NULL; gone after `pop`. */
const void *sp_ring_peek(struct sp_ring *r);
void sp_ring_pop(struct sp_ring *r);
/* Any thread. */
uint64_t sp_ring_dropped(const struct sp_ring *r);
/* Records pushed and not popped, as the consumer's thread sees it. */
uint32_t sp_ring_waiting(const struct sp_ring *r);

#endif
