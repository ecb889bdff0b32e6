/* client_impl: the caller's end. */
#ifndef SP_STORE_CLIENT_IMPL_H
#define SP_STORE_CLIENT_IMPL_H

#include "io/loop.h"

struct sp_store;

struct sp_store_client {
    struct sp_store *store;
    struct sp_loop *loop;
    struct sp_list watches; /* of sp_store_watch.link */
    uint32_t asks_out, watch_count;
    bool closing;
    struct sp_turn ending;
    void (*on_closed)(void *arg);
    void *arg;
};

#endif
