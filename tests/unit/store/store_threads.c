/* store_threads: as cmd will run it: the store on a thread of its own, two clients on theirs. Under TSan.
 *
 * Each client counts a key of its own up by comparing and putting, takes turns with the other at a shared
 * one, and watches all: both must be told the same row of revisions, without a gap. */
#include <pthread.h>

#include "unit/store/help.h"

enum { CLIENTS = 2, ROUNDS = 150 };

struct side {
    pthread_t thread;
    struct sp_loop *loop;
    struct sp_store *store;
    struct sp_store_client *client;
    int number;
    uint64_t own, shared, tries; /* increments that held */
    uint64_t told, events, want;
    bool bad;
};

static void try_again(struct side *side);

static void on_batch(void *arg, const struct sp_store_batch *batch)
{
    struct side *side = arg;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint64_t revision = batch->events[i].kv->mod_revision;
        side->bad |= revision < side->told || revision > side->told + 1;
        side->told = revision;
        side->events++;
    }
    if (side->events == side->want)
        sp_loop_stop(side->loop);
}

static void on_end(void *arg, enum sp_store_why why, uint64_t compacted)
{
    ((struct side *)arg)->bad = true;
}

static void on_tried(void *arg, const struct sp_store_answer *answer)
{
    struct side *side = arg;
    if (answer->why) {
        side->bad = true;
        sp_loop_stop(side->loop);
        return;
    }
    if (answer->succeeded) {
        side->own++;
        side->shared = 0; /* look anew */
    } else {
        side->shared = answer->results[0].kv_count ? answer->results[0].kvs[0]->version : 0;
    }
    if (side->own < ROUNDS)
        try_again(side);
}

/* The shared key's version is what we think: then put it and our own, else tell us. */
static void try_again(struct side *side)
{
    struct sp_store_ask *ask = sp_store_ask_new(side->client);
    char key[8];
    snprintf(key, sizeof(key), "own%d", side->number);
    side->tries++;
    sp_store_ask_if(ask, SP_STR("shared"), SP_STORE_VERSION, SP_STORE_EQUAL, side->shared);
    sp_store_ask_put(ask, SP_STR("shared"), SP_STR("x"), 0, false);
    sp_store_ask_put(ask, sp_str_c(key), SP_STR("y"), 0, false);
    sp_store_ask_else(ask);
    sp_store_ask_range(ask, &(struct sp_store_span){ .from = SP_STR("shared") }, 0, 0, false);
    sp_store_ask_post(ask, on_tried, side);
}

static void *run_side(void *arg)
{
    struct side *side = arg;
    bool closed = false;
    side->client = sp_store_client_new(side->store, side->loop);
    struct sp_store_watch_config config = {
        .span = { .kind = SP_STORE_PREFIX }, .from = 1, .on_batch = on_batch, .on_end = on_end, .arg = side
    };
    sp_store_watch_open(side->client, &config);
    try_again(side);
    sp_loop_run(side->loop);
    sp_store_client_close(side->client, mark_true, &closed);
    while (!closed)
        sp_loop_turn(side->loop, SP_NS_PER_MS);
    return NULL;
}

static void *run_store(void *arg)
{
    sp_loop_run(arg);
    return NULL;
}

static void run_all(const char *path)
{
    struct rig rig = { .path = path };
    struct side sides[CLIENTS];
    bool closed = false;
    pthread_t thread;
    rig_open(&rig); /* its own client is closed while no other thread runs */
    sp_store_client_close(rig.client, mark_true, &closed);
    turn_until(rig.loop, &closed);
    assert_int_equal(pthread_create(&thread, NULL, run_store, rig.loop), 0);
    for (int i = 0; i < CLIENTS; i++) {
        sides[i] = (struct side){
            .loop = sp_loop_new(NULL), .store = rig.store, .number = i, .want = CLIENTS * ROUNDS * 2
        };
        assert_int_equal(pthread_create(&sides[i].thread, NULL, run_side, &sides[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(sides[i].thread, NULL), 0);
        assert_false(sides[i].bad);
        assert_int_equal(sides[i].told, CLIENTS * ROUNDS);
        assert_int_equal(sides[i].events, CLIENTS * ROUNDS * 2);
        sp_loop_free(sides[i].loop);
    }
    sp_loop_stop(rig.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    sp_store_free(rig.store);
    sp_loop_free(rig.loop);
}

static void two_clients_on_their_threads_share_a_store_in_memory(void **state)
{
    run_all(NULL);
}

static void two_clients_on_their_threads_share_a_store_on_a_disk(void **state)
{
    struct place place;
    place_make(&place);
    run_all(place.file);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_clients_on_their_threads_share_a_store_in_memory),
        cmocka_unit_test(two_clients_on_their_threads_share_a_store_on_a_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
