/* cell: one thread adds, another reads; sums over workers come out right though one of them wraps. */
#include "base/cell.h"

#include <pthread.h>

#include "unit/base/help.h"

static void adds_and_subtracts(void **state)
{
    sp_cell c = { 0 };

    sp_cell_add(&c, 5);
    sp_cell_add(&c, 0);
    sp_cell_sub(&c, 2);
    assert_int_equal(sp_cell_get(&c), 3);
}

static void a_gauge_over_two_workers_sums_right_though_one_wraps(void **state)
{
    sp_cell opened_here = { 0 }, closed_here = { 0 };

    sp_cell_add(&opened_here, 10);
    sp_cell_sub(&closed_here, 4);
    assert_int_equal(sp_cell_get(&opened_here) + sp_cell_get(&closed_here), 6);
}

enum { ADDS = 1000000 };

static void *add_many(void *arg)
{
    for (int i = 0; i < ADDS; i++)
        sp_cell_add(arg, 3);
    return NULL;
}

static void a_reader_sees_it_grow_and_never_torn(void **state)
{
    sp_cell c = { 0 };
    pthread_t thread;
    uint64_t last = 0, now;

    assert_int_equal(pthread_create(&thread, NULL, add_many, &c), 0);
    do {
        now = sp_cell_get(&c);
        assert_true(now >= last && now % 3 == 0);
        last = now;
    } while (now < UINT64_C(3) * ADDS);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_subtracts),
        cmocka_unit_test(a_gauge_over_two_workers_sums_right_though_one_wraps),
        cmocka_unit_test(a_reader_sees_it_grow_and_never_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
