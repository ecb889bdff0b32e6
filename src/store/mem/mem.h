/* mem: a store that forgets all when it is freed: for tests and for the simulation. */
#ifndef SP_STORE_MEM_MEM_H
#define SP_STORE_MEM_MEM_H

#include <stdint.h>

struct sp_loop;
struct sp_store;

struct sp_store_mem_config {
    struct sp_loop *loop;
    uint64_t limit_bytes; /* most that versions and history may hold; 0 = 512 MiB */
    uint64_t keep_events; /* compacts by itself when the history is a quarter longer; 0: never */
};
/* NULL when memory is out. */
struct sp_store *sp_store_mem_open(const struct sp_store_mem_config *config);

#endif
