/* ring: order, drops counted, indices that wrap, and two threads that lose nothing unseen. */
#include "base/ring.h"

#include <pthread.h>
#include <sched.h>

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

struct record {
    uint64_t number, check;
};

static void records_come_out_as_they_went_in(void **state)
{
    struct sp_ring r;

    assert_int_equal(sp_ring_init(&r, 4, sizeof(struct record)), 0);
    assert_null(sp_ring_peek(&r));
    for (uint64_t i = 0; i < 4; i++) {
        struct record *record = sp_ring_reserve(&r);
        assert_non_null(record);
        record->number = i;
        sp_ring_push(&r);
    }
    assert_null(sp_ring_reserve(&r));
    assert_null(sp_ring_reserve(&r));
    assert_int_equal(sp_ring_dropped(&r), 2);
    for (uint64_t i = 0; i < 4; i++) {
        const struct record *record = sp_ring_peek(&r);
        assert_non_null(record);
        assert_int_equal(record->number, i);
        assert_ptr_equal(sp_ring_peek(&r), record); /* peeking takes nothing away */
        sp_ring_pop(&r);
    }
    assert_null(sp_ring_peek(&r));
    sp_ring_deinit(&r);
}

static void what_is_reserved_is_unseen_until_pushed(void **state)
{
    struct sp_ring r;

    assert_int_equal(sp_ring_init(&r, 2, 8), 0);
    void *first = sp_ring_reserve(&r);
    assert_ptr_equal(sp_ring_reserve(&r), first); /* not pushed: the same place again */
    assert_null(sp_ring_peek(&r));
    sp_ring_push(&r);
    assert_ptr_equal(sp_ring_peek(&r), first);
    sp_ring_deinit(&r);
}

static void indices_wrap_beyond_32_bits(void **state)
{
    struct sp_ring r;

    assert_int_equal(sp_ring_init(&r, 8, sizeof(uint64_t)), 0);
    r.head = r.tail = r.head_seen = r.tail_seen = UINT32_MAX - 3; /* as after four thousand million records */
    for (uint64_t i = 0; i < 40; i++) {
        for (uint64_t k = 0; k < 8; k++) {
            *(uint64_t *)sp_ring_reserve(&r) = i * 8 + k;
            sp_ring_push(&r);
        }
        assert_null(sp_ring_reserve(&r));
        for (uint64_t k = 0; k < 8; k++) {
            assert_int_equal(*(const uint64_t *)sp_ring_peek(&r), i * 8 + k);
            sp_ring_pop(&r);
        }
        assert_null(sp_ring_peek(&r));
    }
    sp_ring_deinit(&r);
}

static void without_memory_init_fails_and_deinit_is_fine(void **state)
{
    struct sp_ring r;

    (void)sp_mem_fail_at(1);
    assert_int_equal(sp_ring_init(&r, 64, 64), SP_E_NOMEM);
    assert_int_equal(sp_mem_fail_at(0), 1);
    sp_ring_deinit(&r);
}

static void pop_nothing(void)
{
    struct sp_ring r;
    if (sp_ring_init(&r, 4, 4) == 0)
        sp_ring_pop(&r);
}

static void odd_cap(void)
{
    struct sp_ring r;
    SP_IGNORE(sp_ring_init(&r, 3, 4)); /* it never returns */
}

static void misuse_is_wrong_code(void **state)
{
    check_dies(pop_nothing, "assertion failed: r->head != r->tail_seen");
    check_dies(odd_cap, "assertion failed: cap");
}

static void run_model(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_ring r;
    uint32_t cap = 1u << sp_rng_below(&(struct sp_rng){ { seed, 1, 2, 3 } }, 6);
    uint64_t in = 0, out = 0, dropped = 0;

    sp_rng_init(&rng, seed);
    check_seed(seed, sp_ring_init(&r, cap, sizeof(uint64_t)) == 0);
    for (int step = 0; step < 3000; step++) {
        if (sp_rng_chance(&rng, step % 600 < 300 ? 700 : 300)) {
            uint64_t *record = sp_ring_reserve(&r);
            check_seed(seed, (record == NULL) == (in - out == cap));
            if (record) {
                *record = in++;
                sp_ring_push(&r);
            } else {
                dropped++;
            }
        } else {
            const uint64_t *record = sp_ring_peek(&r);
            check_seed(seed, (record == NULL) == (in == out));
            if (record) {
                check_seed(seed, *record == out++);
                sp_ring_pop(&r);
            }
        }
        check_seed(seed, sp_ring_dropped(&r) == dropped);
    }
    sp_ring_deinit(&r);
}

static void any_row_of_steps_matches_two_counters(void **state)
{
    each_seed(60, run_model);
}

enum { RECORDS = 300000 };

static void *produce(void *arg)
{
    struct sp_ring *r = arg;
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct record *record = sp_ring_reserve(r);
        if (!record) {
            sched_yield();
            continue;
        }
        *record = (struct record){ i, ~i };
        sp_ring_push(r);
    }
    /* The last record is always delivered, so that the reader knows the end. */
    struct record *last;
    while (!(last = sp_ring_reserve(r)))
        sched_yield();
    *last = (struct record){ RECORDS, ~(uint64_t)RECORDS };
    sp_ring_push(r);
    return NULL;
}

static void between_threads_records_are_whole_and_in_order(void **state)
{
    struct sp_ring r;
    pthread_t thread;
    uint64_t next = 0, got = 0;

    assert_int_equal(sp_ring_init(&r, 64, sizeof(struct record)), 0);
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    while (next <= RECORDS) {
        const struct record *record = sp_ring_peek(&r);
        if (!record) {
            sched_yield();
            continue;
        }
        assert_true(record->number >= next && record->check == ~record->number);
        next = record->number + 1;
        got++;
        sp_ring_pop(&r);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(got <= RECORDS + 1);
    assert_true(got + sp_ring_dropped(&r) >= RECORDS + 1); /* what is missing was counted */
    sp_ring_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_went_in),
        cmocka_unit_test(what_is_reserved_is_unseen_until_pushed),
        cmocka_unit_test(indices_wrap_beyond_32_bits),
        cmocka_unit_test(without_memory_init_fails_and_deinit_is_fine),
        cmocka_unit_test(misuse_is_wrong_code),
        cmocka_unit_test(any_row_of_steps_matches_two_counters),
        cmocka_unit_test(between_threads_records_are_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
