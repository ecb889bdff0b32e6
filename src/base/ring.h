/* ring: a bounded single-producer single-consumer queue of fixed-size records, for reports and events
 * that leave a worker. A full ring drops and counts; the producer never waits. */
#ifndef SP_BASE_RING_H
#define SP_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sp_ring {
    char *items;
    uint32_t item_bytes;
    uint32_t cap; /* a power of two */
    _Alignas(64) uint32_t head; /* next to read; the consumer's */
    _Alignas(64) uint32_t tail; /* next to write; the producer's */
    uint64_t dropped;
};

sp_err sp_ring_init(struct sp_ring *r, uint32_t cap, uint32_t item_bytes) SP_MUST_USE;
void sp_ring_deinit(struct sp_ring *r);
/* Storage for the next record, or NULL (and dropped + 1) when full; visible after `push`. */
void *sp_ring_reserve(struct sp_ring *r);
void sp_ring_push(struct sp_ring *r);
/* The oldest record or NULL; gone after `pop`. */
const void *sp_ring_peek(struct sp_ring *r);
void sp_ring_pop(struct sp_ring *r);

#endif
