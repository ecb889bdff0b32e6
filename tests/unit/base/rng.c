/* rng: the published numbers, bounds without bias, and the same row for the same seed. */
#include "base/rng.h"

#include "unit/base/help.h"

static void the_state_comes_from_splitmix64(void **state)
{
    struct sp_rng r;

    sp_rng_init(&r, 0); /* the generator's published first outputs for seed 0 */
    assert_int_equal(r.s[0], 0xE220A8397B1DCDAFu);
    assert_int_equal(r.s[1], 0x6E789E6AA1B965F4u);
    assert_int_equal(r.s[2], 0x06C45D188009454Fu);
    assert_int_equal(r.s[3], 0xF88BB8A8724C81ECu);
}

static void the_row_is_that_of_xoshiro256starstar(void **state)
{
    struct sp_rng r = { { 1, 2, 3, 4 } };
    static const uint64_t published[] = { 11520, 0, 1509978240, 1215971899390074240 };

    for (size_t i = 0; i < SP_COUNTOF(published); i++)
        assert_int_equal(sp_rng_next(&r), published[i]);
}

static void the_same_seed_gives_the_same_row(void **state)
{
    struct sp_rng a, b, c;
    int differ = 0;

    sp_rng_init(&a, 42);
    sp_rng_init(&b, 42);
    sp_rng_init(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t x = sp_rng_next(&a);
        assert_int_equal(x, sp_rng_next(&b));
        differ += x != sp_rng_next(&c);
    }
    assert_int_equal(differ, 100);
}

/* Chi-squared over n bins; the bound is six standard deviations above the mean of n - 1. */
static void check_uniform(uint64_t n, uint64_t scale)
{
    struct sp_rng r;
    uint32_t bins[64] = { 0 };
    double chi = 0, draws = 64000;

    sp_rng_init(&r, n);
    for (int i = 0; i < (int)draws; i++) {
        uint64_t v = sp_rng_below(&r, n * scale);
        assert_true(v < n * scale);
        bins[v / scale]++;
    }
    for (uint64_t i = 0; i < n; i++) {
        double off = bins[i] - draws / (double)n;
        chi += off * off / (draws / (double)n);
    }
    assert_true(chi < (double)n + 6 * 1.4143 * (double)n);
}

static void below_is_uniform_and_bounded(void **state)
{
    for (uint64_t n = 2; n <= 64; n++)
        check_uniform(n, 1);
    check_uniform(3, UINT64_C(1) << 62); /* where a plain remainder would favour the first third by half */
    check_uniform(3, UINT64_C(0x55555555));
}

static void below_one_is_zero(void **state)
{
    struct sp_rng r;
    sp_rng_init(&r, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sp_rng_below(&r, 1), 0);
}

static void draw_below_zero(void)
{
    struct sp_rng r;
    sp_rng_init(&r, 1);
    (void)sp_rng_below(&r, 0);
}

static void below_zero_is_wrong_code(void **state)
{
    check_dies(draw_below_zero, "assertion failed: n > 0");
}

static void chance_holds_its_share(void **state)
{
    struct sp_rng r;
    int hits = 0;

    sp_rng_init(&r, 7);
    for (int i = 0; i < 100000; i++) {
        assert_false(sp_rng_chance(&r, 0));
        assert_true(sp_rng_chance(&r, 1000));
        hits += sp_rng_chance(&r, 250);
    }
    assert_true(hits > 24000 && hits < 26000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_comes_from_splitmix64),
        cmocka_unit_test(the_row_is_that_of_xoshiro256starstar),
        cmocka_unit_test(the_same_seed_gives_the_same_row),
        cmocka_unit_test(below_is_uniform_and_bounded),
        cmocka_unit_test(below_one_is_zero),
        cmocka_unit_test(below_zero_is_wrong_code),
        cmocka_unit_test(chance_holds_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
