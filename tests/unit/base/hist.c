/* hist: buckets are exact at every edge, quantiles within an eighth of the sorted truth, merging loses
 * nothing, and another thread may read at any time. */
#include "base/hist.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void buckets_touch_and_never_overlap(void **state)
{
    for (uint32_t b = 0; b + 1 < SP_HIST_BUCKETS; b++) {
        uint64_t top = sp_hist_bucket_top(b);
        assert_int_equal(sp_hist_bucket_of(top), b);
        assert_int_equal(sp_hist_bucket_of(top + 1), b + 1);
    }
    assert_int_equal(sp_hist_bucket_of(0), 0);
    assert_int_equal(sp_hist_bucket_of(SP_HIST_LARGEST), SP_HIST_BUCKETS - 1);
    assert_int_equal(sp_hist_bucket_of(SP_HIST_LARGEST + 1), SP_HIST_BUCKETS - 1);
    assert_int_equal(sp_hist_bucket_of(UINT64_MAX), SP_HIST_BUCKETS - 1);
    assert_int_equal(sp_hist_bucket_top(SP_HIST_BUCKETS - 1), UINT64_MAX);
    assert_int_equal(sp_hist_bucket_top(UINT32_MAX), UINT64_MAX);
}

static void a_bucket_is_at_most_an_eighth_wide(void **state)
{
    for (uint32_t b = 1; b + 1 < SP_HIST_BUCKETS; b++) {
        uint64_t low = sp_hist_bucket_top(b - 1) + 1, top = sp_hist_bucket_top(b);
        assert_true(top - low <= low / 8);
    }
}

static void it_reaches_73_minutes_in_320_cells_as_the_page_says(void **state)
{
    assert_int_equal(SP_HIST_BUCKETS, 320);
    assert_int_equal(SP_HIST_LARGEST / 60000000000u, 73);
}

static void an_unused_histogram_owns_no_memory(void **state)
{
    struct sp_hist h, into;

    (void)sp_mem_fail_at(0);
    sp_hist_init(&h);
    sp_hist_init(&into);
    assert_int_equal(sp_hist_quantile(&h, 500), 0);
    assert_int_equal(sp_hist_count_upto(&h, UINT64_MAX), 0);
    sp_hist_merge(&into, &h);
    assert_null(into.buckets);
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_hist_deinit(&h);
    sp_hist_deinit(&into);
}

static void without_memory_count_and_sum_stay_true(void **state)
{
    struct sp_hist h, into;

    sp_hist_init(&h);
    sp_hist_init(&into);
    (void)sp_mem_fail_at(1);
    sp_hist_add(&h, 100);
    assert_int_equal(sp_mem_fail_at(0), 1);
    assert_int_equal(sp_cell_get(&h.count), 1);
    assert_int_equal(sp_cell_get(&h.sum), 100);
    assert_int_equal(sp_hist_quantile(&h, 500), 0);

    sp_hist_add(&h, 200); /* memory is back */
    assert_int_equal(sp_hist_count_upto(&h, UINT64_MAX), 1);
    (void)sp_mem_fail_at(1);
    sp_hist_merge(&into, &h);
    assert_int_equal(sp_mem_fail_at(0), 1);
    assert_int_equal(sp_cell_get(&into.count), 2);
    assert_int_equal(sp_cell_get(&into.sum), 300);
    assert_null(into.buckets);
    sp_hist_deinit(&h);
    sp_hist_deinit(&into);
}

static void values_beyond_the_largest_count_in_the_last_bucket(void **state)
{
    struct sp_hist h;

    sp_hist_init(&h);
    sp_hist_add(&h, UINT64_MAX);
    assert_int_equal(sp_hist_quantile(&h, 500), SP_HIST_LARGEST);
    assert_int_equal(sp_hist_count_upto(&h, SP_HIST_LARGEST), 0);
    assert_int_equal(sp_hist_count_upto(&h, UINT64_MAX), 1);
    sp_hist_deinit(&h);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

enum { VALUES = 1500 };

/* Of any size: first how many bits, then which. */
static uint64_t draw(struct sp_rng *rng)
{
    uint64_t bits = sp_rng_below(rng, 43);
    return sp_rng_next(rng) & ((UINT64_C(1) << bits) - 1);
}

static void run_model(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_hist parts[3], all;
    uint64_t values[VALUES], sum = 0;
    size_t count = 1 + seed * 37 % VALUES;

    sp_rng_init(&rng, seed);
    sp_hist_init(&all);
    for (int i = 0; i < 3; i++)
        sp_hist_init(&parts[i]);
    for (size_t i = 0; i < count; i++) {
        values[i] = draw(&rng);
        sum += values[i];
        sp_hist_add(&parts[sp_rng_below(&rng, 3)], values[i]);
    }
    for (int i = 0; i < 3; i++)
        sp_hist_merge(&all, &parts[i]);
    qsort(values, count, sizeof(values[0]), by_value);
    check_seed(seed, sp_cell_get(&all.count) == count && sp_cell_get(&all.sum) == sum);

    for (uint32_t permille = 0; permille <= 1000; permille += 25) {
        size_t rank = (count * permille + 999) / 1000;
        uint64_t truth = values[rank ? rank - 1 : 0], said = sp_hist_quantile(&all, permille);
        check_seed(seed, said >= truth && said - truth <= truth / 8);
    }
    for (uint32_t b = 0; b < SP_HIST_BUCKETS; b += 7) {
        uint64_t top = sp_hist_bucket_top(b), upto = 0;
        while (upto < count && values[upto] <= top)
            upto++;
        check_seed(seed, sp_hist_count_upto(&all, top) == upto);
    }
    check_seed(seed, sp_hist_count_upto(&all, UINT64_MAX) == count);
    for (int i = 0; i < 3; i++)
        sp_hist_deinit(&parts[i]);
    sp_hist_deinit(&all);
}

static void quantiles_are_within_an_eighth_of_the_sorted_truth(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    each_seed(80, run_model);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

static void quantiles_of_huge_counts_do_not_overflow(void **state)
{
    struct sp_hist h;

    sp_hist_init(&h);
    sp_hist_add(&h, 3);
    sp_hist_add(&h, 5);
    sp_cell_add(&h.buckets[3], UINT64_C(1) << 62);
    sp_cell_add(&h.buckets[5], UINT64_C(1) << 60);
    assert_int_equal(sp_hist_quantile(&h, 1), 3);
    assert_int_equal(sp_hist_quantile(&h, 799), 3);
    assert_int_equal(sp_hist_quantile(&h, 801), 5);
    assert_int_equal(sp_hist_quantile(&h, 1000), 5);
    assert_int_equal(sp_hist_quantile(&h, 5000), 5);
    sp_hist_deinit(&h);
}

enum { ADDS = 200000 };

static void *add_many(void *arg)
{
    for (uint64_t i = 0; i < ADDS; i++)
        sp_hist_add(arg, i);
    return NULL;
}

static void another_thread_may_merge_while_values_come(void **state)
{
    struct sp_hist h;
    pthread_t thread;
    uint64_t last = 0, seen;

    sp_hist_init(&h);
    assert_int_equal(pthread_create(&thread, NULL, add_many, &h), 0);
    do {
        struct sp_hist mine;
        sp_hist_init(&mine);
        sp_hist_merge(&mine, &h);
        seen = sp_hist_count_upto(&mine, UINT64_MAX);
        assert_true(seen >= last && seen <= ADDS);
        assert_true(sp_hist_quantile(&mine, 1000) <= sp_hist_bucket_top(sp_hist_bucket_of(ADDS)));
        last = seen;
        sp_hist_deinit(&mine);
    } while (seen < ADDS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sp_cell_get(&h.count), ADDS);
    sp_hist_deinit(&h);
}

/* ---- hand-over ---- */

static bool same(const struct sp_hist *a, const struct sp_hist *b)
{
    for (uint32_t i = 0; i < SP_HIST_BUCKETS; i++)
        if (sp_hist_count_upto(a, sp_hist_bucket_top(i)) != sp_hist_count_upto(b, sp_hist_bucket_top(i)))
            return false;
    return sp_cell_get(&a->count) == sp_cell_get(&b->count) && sp_cell_get(&a->sum) == sp_cell_get(&b->sum);
}

/* Saved after each value and loaded into an empty one, which goes on with the next. */
static void what_is_saved_after_each_value_counts_on(void **state)
{
    struct sp_hist stays, moves;
    struct sp_buf saved;
    struct sp_rng rng;
    sp_rng_init(&rng, 7);
    sp_hist_init(&stays);
    sp_hist_init(&moves);
    sp_buf_init(&saved, 0);
    for (int i = 0; i < 300; i++) {
        uint64_t value = i % 50 == 49 ? UINT64_MAX >> 8 : sp_rng_next(&rng) >> sp_rng_below(&rng, 64);
        sp_hist_add(&stays, value);
        sp_hist_add(&moves, value);
        sp_buf_reset(&saved);
        sp_hist_save(&moves, &saved);
        sp_hist_deinit(&moves);
        sp_hist_init(&moves);
        assert_int_equal(sp_hist_load(&moves, sp_buf_str(&saved)), 0);
        assert_true(same(&stays, &moves));
    }
    assert_int_equal(sp_hist_load(&moves, sp_buf_str(&saved)), 0); /* a second worker's: added */
    assert_int_equal(sp_cell_get(&moves.count), 600);
    sp_buf_deinit(&saved);
    sp_hist_deinit(&stays);
    sp_hist_deinit(&moves);
}

static void bytes_that_save_could_not_have_written_add_nothing(void **state)
{
    struct sp_hist from, into;
    struct sp_buf saved;
    uint32_t refused = 0;
    sp_hist_init(&from);
    sp_hist_init(&into);
    sp_buf_init(&saved, 0);
    for (uint64_t value = 1; value < UINT64_MAX / 9; value *= 9)
        sp_hist_add(&from, value);
    sp_hist_save(&from, &saved);
    for (size_t len = 0; len < saved.len; len++) {
        char *exact = sp_mem_alloc(len + 1);
        memcpy(exact, saved.ptr, len);
        sp_err err = sp_hist_load(&into, sp_str_of(exact, len));
        sp_mem_free(exact);
        if (!err) { /* fewer buckets, as when memory was out */
            sp_hist_deinit(&into);
            sp_hist_init(&into);
            continue;
        }
        assert_int_equal(err, SP_E_INVALID);
        assert_int_equal(sp_cell_get(&into.count) + sp_cell_get(&into.sum), 0);
        refused++;
    }
    assert_true(refused > saved.len / 3);
    static const char *const bad[] = { "\x01\x01\xff\xff\x03\x01", "\x01\x01\x01",
                                       "\xff\xff\xff\xff\xff\xff\xff\xff"
                                       "\xff\xff\xff" };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        assert_int_equal(sp_hist_load(&into, sp_str_c(bad[i])), SP_E_INVALID);
        assert_int_equal(sp_cell_get(&into.count), 0);
    }
    sp_buf_deinit(&saved);
    sp_hist_deinit(&from);
    sp_hist_deinit(&into);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_touch_and_never_overlap),
        cmocka_unit_test(a_bucket_is_at_most_an_eighth_wide),
        cmocka_unit_test(it_reaches_73_minutes_in_320_cells_as_the_page_says),
        cmocka_unit_test(an_unused_histogram_owns_no_memory),
        cmocka_unit_test(without_memory_count_and_sum_stay_true),
        cmocka_unit_test(values_beyond_the_largest_count_in_the_last_bucket),
        cmocka_unit_test(quantiles_are_within_an_eighth_of_the_sorted_truth),
        cmocka_unit_test(quantiles_of_huge_counts_do_not_overflow),
        cmocka_unit_test(another_thread_may_merge_while_values_come),
        cmocka_unit_test(what_is_saved_after_each_value_counts_on),
        cmocka_unit_test(bytes_that_save_could_not_have_written_add_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
