/* vec: growth, order after removal, failure that changes nothing. */
#include "base/vec.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void pushed_items_are_zeroed_and_keep_their_order(void **state)
{
    struct sp_vec v;

    sp_vec_init(&v, sizeof(uint64_t));
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t *item = sp_vec_push(&v);
        assert_non_null(item);
        assert_int_equal(*item, 0);
        *item = i;
    }
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(*(uint64_t *)sp_vec_at(&v, i), i);
    sp_vec_deinit(&v);
    assert_null(v.items);
}

static void reset_keeps_memory_and_zeroes_again(void **state)
{
    struct sp_vec v;

    sp_vec_init(&v, 4);
    for (int i = 0; i < 100; i++)
        memset(sp_vec_push(&v), 0xFF, 4);
    sp_vec_reset(&v);
    assert_int_equal(v.len, 0);
    (void)sp_mem_fail_at(0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(*(uint32_t *)sp_vec_push(&v), 0);
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_vec_deinit(&v);
}

static void a_failed_push_changes_nothing(void **state)
{
    struct sp_vec v;

    sp_vec_init(&v, 3);
    for (size_t i = 0; i < 70; i++) {
        (void)sp_mem_fail_at(1);
        char *item = sp_vec_push(&v);
        (void)sp_mem_fail_at(0);
        if (!item) {
            assert_int_equal(v.len, i);
            item = sp_vec_push(&v);
        }
        memset(item, (int)i, 3);
    }
    for (size_t i = 0; i < 70; i++)
        assert_int_equal(((unsigned char *)sp_vec_at(&v, i))[2], i);
    sp_vec_deinit(&v);
}

static void items_too_large_to_count_fail(void **state)
{
    struct sp_vec v;

    sp_vec_init(&v, SIZE_MAX / 4);
    assert_null(sp_vec_push(&v));
    assert_int_equal(v.len, 0);
    sp_vec_deinit(&v);
}

static void look_past_the_end(void)
{
    struct sp_vec v;
    sp_vec_init(&v, 8);
    (void)sp_vec_at(&v, 0);
}

static void looking_past_the_end_is_wrong_code(void **state)
{
    check_dies(look_past_the_end, "assertion failed: i < v->len");
}

static void run_model(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_vec v;
    uint32_t model[100];
    size_t len = 0;

    sp_rng_init(&rng, seed);
    sp_vec_init(&v, sizeof(uint32_t));
    for (int step = 0; step < 400; step++) {
        if (len == 0 || (len < 100 && sp_rng_chance(&rng, 600))) {
            uint32_t *item = sp_vec_push(&v);
            check_seed(seed, item != NULL);
            *item = model[len++] = (uint32_t)step;
        } else {
            size_t at = sp_rng_below(&rng, len);
            sp_vec_remove(&v, at);
            memmove(model + at, model + at + 1, (--len - at) * sizeof(model[0]));
        }
        check_seed(seed, v.len == len && (len == 0 || !memcmp(v.items, model, len * sizeof(model[0]))));
    }
    sp_vec_deinit(&v);
}

static void any_row_of_steps_matches_an_array(void **state)
{
    each_seed(40, run_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushed_items_are_zeroed_and_keep_their_order),
        cmocka_unit_test(reset_keeps_memory_and_zeroes_again),
        cmocka_unit_test(a_failed_push_changes_nothing),
        cmocka_unit_test(items_too_large_to_count_fail),
        cmocka_unit_test(looking_past_the_end_is_wrong_code),
        cmocka_unit_test(any_row_of_steps_matches_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
