/* ring: records out of a worker, without waiting.
 *
 * One thread writes, one reads. The writer owns `tail`, the reader owns `head`; each is written by one side
 * and read by the other, so a release store and an acquire load are all that is needed:
 *
 *        head                tail
 *          v                   v
 *     |....|###|###|###|###|###|....|....|     tail - head = records inside, both only ever grow
 *            peek ^             ^ reserve
 *
 * Each side keeps its last sight of the other's index on its own cache line and looks again only when
 * that says full or empty. So a busy ring moves a line between cores once for a batch, not once a record.
 *
 * When it is full the record is dropped and counted. A worker never waits for whoever shows figures: a
 * report lost is a gap in a log, a worker that waits is a stop for every call it carries.
 *
 * Records are fixed in size and written in place (`reserve`, fill, `push`), read in place (`peek`, use,
 * `pop`): nothing is copied here. */
#include "base/ring.h"

#include "base/mem.h"

sp_err sp_ring_init(struct sp_ring *r, uint32_t cap, uint32_t item_bytes)
{
    SP_ASSERT(cap && !(cap & (cap - 1)) && item_bytes);
    *r = (struct sp_ring){ .cap = cap, .item_bytes = item_bytes };
    r->items = sp_mem_zalloc((size_t)cap * item_bytes);
    return r->items ? 0 : SP_E_NOMEM;
}

void sp_ring_deinit(struct sp_ring *r)
{
    sp_mem_free(r->items);
    *r = (struct sp_ring){ 0 };
}

static char *item_at(const struct sp_ring *r, uint32_t index)
{
    return r->items + (size_t)(index & (r->cap - 1)) * r->item_bytes;
}

void *sp_ring_reserve(struct sp_ring *r)
{
    if (r->tail - r->head_seen == r->cap) {
        r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        if (r->tail - r->head_seen == r->cap) {
            __atomic_store_n(&r->dropped, r->dropped + 1, __ATOMIC_RELAXED);
            return NULL;
        }
    }
    return item_at(r, r->tail);
}

void sp_ring_push(struct sp_ring *r)
{
    __atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
}

const void *sp_ring_peek(struct sp_ring *r)
{
    if (r->head == r->tail_seen) {
        r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
        if (r->head == r->tail_seen)
            return NULL;
    }
    return item_at(r, r->head);
}

void sp_ring_pop(struct sp_ring *r)
{
    SP_ASSERT(r->head != r->tail_seen); /* a peek said that there is one */
    __atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
}

uint64_t sp_ring_dropped(const struct sp_ring *r)
{
    return __atomic_load_n(&r->dropped, __ATOMIC_RELAXED);
}

uint32_t sp_ring_waiting(const struct sp_ring *r)
{
    return __atomic_load_n(&r->tail, __ATOMIC_RELAXED) - r->head;
}
