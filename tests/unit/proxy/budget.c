/* budget: one number for the process, lent to workers: exact where it is small, never above its limit. */
#include "proxy/budget.h"

#include <pthread.h>
#include <sched.h>

#include "base/rng.h"
#include "unit/base/help.h"

static void a_small_limit_is_exact_at_every_instant(void **state)
{
    (void)state;
    struct sp_budget budget;
    struct sp_lease a, b;
    sp_budget_init(&budget, 3, 2);
    sp_lease_init(&a, &budget);
    sp_lease_init(&b, &budget);
    for (int round = 0; round < 3; round++) {
        assert_true(sp_lease_take(&a));
        assert_true(sp_lease_take(&a));
        assert_true(sp_lease_take(&b));
        assert_false(sp_lease_take(&a));
        assert_false(sp_lease_take(&b));
        assert_int_equal(sp_budget_out(&budget), 3);
        sp_lease_give(&a); /* what one gives another may take at once */
        assert_true(sp_lease_take(&b));
        assert_false(sp_lease_take(&a));
        sp_lease_give(&a);
        sp_lease_give(&b);
        sp_lease_give(&b);
        assert_int_equal(sp_budget_out(&budget), 0);
    }
    sp_lease_deinit(&a);
    sp_lease_deinit(&b);
}

static void a_limit_of_nothing_lends_nothing(void **state)
{
    (void)state;
    struct sp_budget budget;
    struct sp_lease lease;
    sp_budget_init(&budget, 0, 1);
    sp_lease_init(&lease, &budget);
    assert_false(sp_lease_take(&lease));
    sp_lease_deinit(&lease);
}

static void what_is_held_back_is_a_small_part_of_the_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit;
        uint32_t workers, batch;
    } cases[] = { { 1, 1, 1 },           { 63, 1, 1 },   { 128, 1, 2 },   { 1024, 1, 16 }, { 100000, 1, 64 },
                  { UINT32_MAX, 1, 64 }, { 1024, 2, 8 }, { 1024, 64, 1 }, { 8192, 2, 64 }, { 8192, 64, 2 } };
    for (unsigned i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_budget budget;
        sp_budget_init(&budget, cases[i].limit, cases[i].workers);
        assert_int_equal(budget.batch, cases[i].batch);
    }
}

static void the_whole_limit_can_be_taken_by_one(void **state)
{
    (void)state;
    struct sp_budget budget;
    struct sp_lease lease;
    uint64_t taken = 0;
    sp_budget_init(&budget, 10007, 2); /* no multiple of the batch */
    sp_lease_init(&lease, &budget);
    while (sp_lease_take(&lease))
        taken++;
    assert_int_equal(taken, 10007);
    assert_int_equal(sp_budget_out(&budget), 10007);
    while (taken--)
        sp_lease_give(&lease);
    assert_true(sp_budget_out(&budget) < 2 * budget.batch); /* the spare */
    sp_lease_deinit(&lease);
    assert_int_equal(sp_budget_out(&budget), 0);
}

static void spare_shares_go_back_when_idle(void **state)
{
    (void)state;
    struct sp_budget budget;
    struct sp_lease lease;
    sp_budget_init(&budget, 4096, 1);
    sp_lease_init(&lease, &budget);
    assert_true(sp_lease_take(&lease));
    assert_int_equal(sp_budget_out(&budget), budget.batch);
    sp_lease_idle(&lease); /* something has changed since the last tick */
    assert_int_equal(sp_budget_out(&budget), budget.batch);
    sp_lease_idle(&lease);
    assert_int_equal(sp_budget_out(&budget), 1); /* what is in use stays */
    sp_lease_give(&lease);
    sp_lease_idle(&lease);
    sp_lease_idle(&lease);
    assert_int_equal(sp_budget_out(&budget), 0);
    sp_lease_deinit(&lease);
}

static void a_limit_that_sinks_below_what_is_out_lends_nothing_more(void **state)
{
    (void)state;
    struct sp_budget budget;
    struct sp_lease lease;
    sp_budget_init(&budget, 10, 1);
    sp_lease_init(&lease, &budget);
    for (int i = 0; i < 10; i++)
        assert_true(sp_lease_take(&lease));
    sp_budget_set_limit(&budget, 4, 1);
    assert_false(sp_lease_take(&lease));
    for (int i = 0; i < 6; i++) {
        sp_lease_give(&lease);
        assert_false(sp_lease_take(&lease));
    }
    sp_lease_give(&lease);
    assert_true(sp_lease_take(&lease)); /* 4 of 4 */
    assert_false(sp_lease_take(&lease));
    sp_budget_set_limit(&budget, 5, 1);
    assert_true(sp_lease_take(&lease));
    for (int i = 0; i < 5; i++)
        sp_lease_give(&lease);
    sp_lease_deinit(&lease);
    assert_int_equal(sp_budget_out(&budget), 0);
}

/* --- threads -------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000 };

struct crowd {
    struct sp_budget budget;
    uint64_t inside; /* atomic: taken by all together, counted apart */
    uint64_t most;   /* atomic */
    uint64_t refused;
};

struct member {
    struct crowd *crowd;
    uint64_t seed;
    uint64_t taken;
};

static void enter(struct crowd *crowd)
{
    uint64_t now = __atomic_add_fetch(&crowd->inside, 1, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&crowd->most, __ATOMIC_RELAXED);
    while (now > most &&
           !__atomic_compare_exchange_n(&crowd->most, &most, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void *crowd_run(void *arg)
{
    struct member *m = arg;
    struct sp_lease lease;
    struct sp_rng rng;
    sp_lease_init(&lease, &m->crowd->budget);
    sp_rng_init(&rng, m->seed);
    for (int i = 0; i < ROUNDS; i++) {
        if (sp_rng_chance(&rng, 550)) {
            if (sp_lease_take(&lease)) {
                enter(m->crowd);
                m->taken++;
            } else {
                __atomic_add_fetch(&m->crowd->refused, 1, __ATOMIC_RELAXED);
            }
        } else if (lease.used) {
            __atomic_sub_fetch(&m->crowd->inside, 1, __ATOMIC_RELAXED);
            sp_lease_give(&lease);
        }
        if (sp_rng_chance(&rng, 5))
            sp_lease_idle(&lease);
        if (sp_rng_chance(&rng, 5))
            sched_yield();
    }
    while (lease.used) {
        __atomic_sub_fetch(&m->crowd->inside, 1, __ATOMIC_RELAXED);
        sp_lease_give(&lease);
    }
    sp_lease_deinit(&lease);
    return NULL;
}

static void no_crowd_of_workers_passes_the_limit(void **state)
{
    (void)state;
    static const uint64_t limits[] = { 1, 7, 100, 1500 };
    for (unsigned i = 0; i < SP_COUNTOF(limits); i++) {
        struct crowd crowd = { .most = 0 };
        struct member members[THREADS];
        pthread_t threads[THREADS];
        uint64_t taken = 0;
        sp_budget_init(&crowd.budget, limits[i], THREADS);
        for (uint64_t t = 0; t < THREADS; t++) {
            members[t] = (struct member){ .crowd = &crowd, .seed = t + 1 };
            assert_int_equal(pthread_create(&threads[t], NULL, crowd_run, &members[t]), 0);
        }
        for (int t = 0; t < THREADS; t++) {
            pthread_join(threads[t], NULL);
            taken += members[t].taken;
        }
        assert_true(crowd.most <= limits[i]);
        assert_true(crowd.refused > 0 && taken > 0);
        assert_int_equal(crowd.inside, 0);
        assert_int_equal(sp_budget_out(&crowd.budget), 0);
    }
}

/* What was lent before a hand-over is lent after it, whatever the new limit. */
static void what_is_forced_is_lent_beyond_the_limit_and_comes_back(void **state)
{
    struct sp_budget budget;
    struct sp_lease a, b;
    sp_budget_init(&budget, 4, 2);
    sp_lease_init(&a, &budget);
    sp_lease_init(&b, &budget);
    for (int i = 0; i < 6; i++)
        sp_lease_force(i % 2 ? &a : &b);
    assert_int_equal(a.used, 3);
    assert_int_equal(b.used, 3);
    assert_false(sp_lease_take(&a)); /* nobody new */
    assert_false(sp_lease_take(&b));
    for (int i = 0; i < 2; i++) {
        sp_lease_give(&a);
        sp_lease_idle(&a);
        sp_lease_idle(&a);
        assert_false(sp_lease_take(&b)); /* six were out of four: two had to come back first */
    }
    sp_lease_give(&a);
    sp_lease_idle(&a);
    sp_lease_idle(&a);
    assert_true(sp_lease_take(&b));
    assert_false(sp_lease_take(&a));
    for (int i = 0; i < 4; i++)
        sp_lease_give(&b);
    int all = 0;
    sp_lease_idle(&b);
    sp_lease_idle(&b);
    while (sp_lease_take(&a))
        all++;
    assert_int_equal(all, 4);
    while (all--)
        sp_lease_give(&a);
    sp_lease_deinit(&a);
    sp_lease_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_limit_is_exact_at_every_instant),
        cmocka_unit_test(a_limit_of_nothing_lends_nothing),
        cmocka_unit_test(what_is_held_back_is_a_small_part_of_the_limit),
        cmocka_unit_test(the_whole_limit_can_be_taken_by_one),
        cmocka_unit_test(spare_shares_go_back_when_idle),
        cmocka_unit_test(a_limit_that_sinks_below_what_is_out_lends_nothing_more),
        cmocka_unit_test(no_crowd_of_workers_passes_the_limit),
        cmocka_unit_test(what_is_forced_is_lent_beyond_the_limit_and_comes_back),
    };
    return cmocka_run_group_tests_name("proxy budget", tests, NULL, NULL);
}
