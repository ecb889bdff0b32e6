/* cell: counters that belong to one worker. The owner adds with a plain load and store; others read with
 * relaxed loads and sum over the workers. Never a locked instruction, never a shared cache line.
 *
 * A block of cells is laid out once for a subject (a cluster, a listener) and carries its own names, so
 * that whoever shows figures needs no second table. */
#ifndef SP_BASE_CELL_H
#define SP_BASE_CELL_H

#include <stdint.h>

typedef struct {
    uint64_t value; /* through the functions below only */
} sp_cell;

static inline void sp_cell_add(sp_cell *c, uint64_t n)
{
    __atomic_store_n(&c->value, __atomic_load_n(&c->value, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* For gauges; the sum over workers may wrap in between and still comes out right. */
static inline void sp_cell_sub(sp_cell *c, uint64_t n)
{
    __atomic_store_n(&c->value, __atomic_load_n(&c->value, __ATOMIC_RELAXED) - n, __ATOMIC_RELAXED);
}

static inline uint64_t sp_cell_get(const sp_cell *c)
{
    return __atomic_load_n(&c->value, __ATOMIC_RELAXED);
}

#endif
