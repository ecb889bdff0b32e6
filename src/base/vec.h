/* vec: a growing array of fixed-size items on the heap. For set-up and control paths. */
#ifndef SP_BASE_VEC_H
#define SP_BASE_VEC_H

#include <stddef.h>

#include "base/err.h"

struct sp_vec {
    void *items;
    size_t len, cap, item_bytes;
};

void sp_vec_init(struct sp_vec *v, size_t item_bytes);
void sp_vec_deinit(struct sp_vec *v);
void sp_vec_reset(struct sp_vec *v); /* len 0, memory kept */
/* A zeroed item at the end; NULL when memory is out. Earlier pointers into the vec are dead. */
void *sp_vec_push(struct sp_vec *v) SP_MUST_USE;
void *sp_vec_at(const struct sp_vec *v, size_t i); /* i < len is asserted */
void sp_vec_remove(struct sp_vec *v, size_t i);    /* keeps the order */

#endif
