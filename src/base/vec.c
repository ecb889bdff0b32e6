/* vec: a growing array of items of one size.
 *
 * For set-up and control paths: reading a configuration, collecting errors, building an index. It moves
 * when it grows, so no pointer into it survives a push; what must stay put lives in an arena, and the vec
 * holds pointers. Growth doubles, from eight items, and a failed push changes nothing.
 *
 * Items are bytes to it: they are zeroed when pushed and forgotten when removed. What an item owns is
 * its owner's to end before that. */
#include "base/vec.h"

#include <string.h>

#include "base/mem.h"

void sp_vec_init(struct sp_vec *v, size_t item_bytes)
{
    SP_ASSERT(item_bytes > 0);
    *v = (struct sp_vec){ .item_bytes = item_bytes };
}

void sp_vec_deinit(struct sp_vec *v)
{
    sp_mem_free(v->items);
    *v = (struct sp_vec){ 0 };
}

void sp_vec_reset(struct sp_vec *v)
{
    v->len = 0;
}

static sp_err grow(struct sp_vec *v)
{
    size_t cap, bytes;

    if (__builtin_mul_overflow(v->cap, (size_t)2, &cap))
        return SP_E_NOMEM;
    cap = SP_MAX(cap, (size_t)8);
    if (__builtin_mul_overflow(cap, v->item_bytes, &bytes))
        return SP_E_NOMEM;
    void *items = sp_mem_realloc(v->items, bytes);
    if (!items)
        return SP_E_NOMEM;
    v->items = items;
    v->cap = cap;
    return 0;
}

void *sp_vec_push(struct sp_vec *v)
{
    if (v->len == v->cap && grow(v))
        return NULL;
    return memset((char *)v->items + v->len++ * v->item_bytes, 0, v->item_bytes);
}

void *sp_vec_at(const struct sp_vec *v, size_t i)
{
    SP_ASSERT(i < v->len);
    return (char *)v->items + i * v->item_bytes;
}

void sp_vec_remove(struct sp_vec *v, size_t i)
{
    char *item = sp_vec_at(v, i);
    memmove(item, item + v->item_bytes, (v->len - i - 1) * v->item_bytes);
    v->len--;
}
