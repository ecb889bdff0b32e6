/* arena: memory by lifetime.
 *
 * A request makes a few dozen small things (a decoded head, an edited path, a route decision, a record
 * for the log) and they all die together. Freeing them one by one is work, and each free is a chance to
 * be wrong. So they are cut off the front of a block, one after the other, and dropped whole:
 *
 *      first (in the stream)      blocks (heap, newest first)
 *     +-----------------+        +---+--------------+     +---+--------------------+
 *     |#################|  <---  | h |######........|  -> | h |####################|
 *     +-----------------+        +---+------^-------+     +---+--------------------+
 *                                           at       end     a big one, of its own size
 *
 * `first` is storage that the owner gave, normally part of the object that lives as long as the arena; a
 * common request fits there and the heap is never asked. When it is full, fresh blocks of block_bytes
 * follow. A request that no such block could hold gets a block of its own, hung *behind* the current
 * one, whose rest stays in use. `reset` frees all but one block of the usual size, kept as `spare`: a
 * stream that needed a second block once will need it again, and a stream that needed fifty will not.
 *
 * What is bounded: limit_bytes over all heap blocks. A peer that makes us remember more runs into it and
 * gets an answer; the machine does not.
 *
 * What this refuses to know: types, destructors, threads. What needs an end has an owner elsewhere.
 *
 * Under AddressSanitizer the bytes that a reset takes back are poisoned until they are given out again,
 * so that a pointer kept too long is found at its first use and not as another stream's header. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

struct sp_arena_block {
    struct sp_arena_block *next;
    size_t bytes; /* this header included */
    _Alignas(16) char data[];
};

void sp_arena_init(struct sp_arena *a, void *storage, size_t storage_bytes, size_t block_bytes,
                   size_t limit_bytes)
{
    *a = (struct sp_arena){
        .at = storage,
        .end = storage ? (char *)storage + storage_bytes : NULL,
        .first = storage,
        .first_bytes = storage ? storage_bytes : 0,
        .block_bytes = SP_MAX(block_bytes, sizeof(struct sp_arena_block) + 64),
        .limit_bytes = limit_bytes,
    };
}

static void free_block(struct sp_arena *a, struct sp_arena_block *block)
{
    a->held_bytes -= block->bytes;
    SP_UNPOISON(block, block->bytes);
    sp_mem_free(block);
}

void sp_arena_deinit(struct sp_arena *a)
{
    struct sp_arena_block *next;

    for (struct sp_arena_block *block = a->blocks; block; block = next) {
        next = block->next;
        free_block(a, block);
    }
    if (a->spare)
        free_block(a, a->spare);
    if (a->first)
        SP_UNPOISON(a->first, a->first_bytes);
    *a = (struct sp_arena){ 0 };
}

static void use_block(struct sp_arena *a, struct sp_arena_block *block)
{
    block->next = a->blocks;
    a->blocks = block;
    a->at = block->data;
    a->end = (char *)block + block->bytes;
}

void sp_arena_reset(struct sp_arena *a)
{
    struct sp_arena_block *next;

    for (struct sp_arena_block *block = a->blocks; block; block = next) {
        next = block->next;
        if (a->spare || block->bytes != a->block_bytes) {
            free_block(a, block);
        } else {
            a->spare = block;
            SP_POISON(block->data, block->bytes - sizeof(*block));
        }
    }
    a->blocks = NULL;
    a->at = a->first;
    a->end = a->first ? a->first + a->first_bytes : NULL;
    if (a->first) {
        SP_POISON(a->first, a->first_bytes);
    } else if (a->spare) {
        use_block(a, a->spare);
        a->spare = NULL;
    }
}

/* A heap block of up to `bytes`, at least `least`, within the limit. */
static struct sp_arena_block *new_block(struct sp_arena *a, size_t bytes, size_t least)
{
    if (a->limit_bytes) {
        size_t left = a->limit_bytes > a->held_bytes ? a->limit_bytes - a->held_bytes : 0;
        if (left < least)
            return NULL;
        bytes = SP_MIN(bytes, left);
    }
    struct sp_arena_block *block = sp_mem_alloc(bytes);
    if (!block)
        return NULL;
    block->bytes = bytes;
    a->held_bytes += bytes;
    return block;
}

static char *align_up(char *p, size_t align)
{
    return (char *)(((uintptr_t)p + (align - 1)) & ~(uintptr_t)(align - 1));
}

void *sp_arena_more(struct sp_arena *a, size_t bytes, size_t align)
{
    size_t least = 0; /* a block that holds it wherever malloc puts the block */
    SP_ASSERT(align && !(align & (align - 1)));
    if (__builtin_add_overflow(bytes, sizeof(struct sp_arena_block) + (align > 16 ? align - 1 : 0), &least))
        return NULL;

    if (least > a->block_bytes) { /* its own block, behind the current one */
        struct sp_arena_block *block = new_block(a, least, least);
        if (!block)
            return NULL;
        struct sp_arena_block **link = a->blocks ? &a->blocks->next : &a->blocks;
        block->next = *link;
        *link = block;
        return align_up(block->data, align);
    }

    struct sp_arena_block *block = a->spare;
    a->spare = NULL;
    if (!block)
        block = new_block(a, a->block_bytes, least);
    if (!block)
        return NULL;
    use_block(a, block);
    char *p = align_up(a->at, align);
    a->at = p + bytes;
    SP_UNPOISON(p, bytes);
    return p;
}

void *sp_arena_array(struct sp_arena *a, size_t count, size_t item_bytes)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, item_bytes, &bytes))
        return NULL;
    return sp_arena_zalloc(a, bytes);
}

char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        return NULL;

    char *text = sp_arena_alloc_align(a, (size_t)len + 1, 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args); /* its length is known */
    va_end(args);
    return text;
}
