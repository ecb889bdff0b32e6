/* slab: references, free lists and their bound, the limit, and what failure leaves. */
#include "base/slab.h"

#include "base/mem.h"
#include "base/poison.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void a_taken_slab_is_empty_and_has_one_reference(void **state)
{
    struct sp_slab_pool pool;
    static const uint32_t caps[SP_SLAB_CLASSES] = { 512, 4096, 16384, 65536, 262144 };

    sp_slab_pool_init(&pool, 1 << 20, 0);
    for (unsigned klass = 0; klass < SP_SLAB_CLASSES; klass++) {
        struct sp_slab *slab = sp_slab_take(&pool, (enum sp_slab_class)klass);
        assert_non_null(slab);
        assert_int_equal(slab->refs, 1);
        assert_int_equal(slab->used, 0);
        assert_int_equal(slab->cap, caps[klass]);
        memset(slab->bytes, 1, slab->cap);
        slab->used = slab->cap;
        sp_slab_unref(slab);
    }
    assert_int_equal(pool.kept_bytes, 512 + 4096 + 16384 + 65536 + 262144);
    sp_slab_pool_deinit(&pool);
}

static void it_goes_back_at_the_last_reference_only(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 1 << 20, 0);
    struct sp_slab *slab = sp_slab_take(&pool, SP_SLAB_SMALL);
    assert_ptr_equal(sp_slab_ref(slab), slab);
    (void)sp_slab_ref(slab);
    sp_slab_unref(slab);
    sp_slab_unref(slab);
    assert_int_equal(slab->refs, 1);
    assert_int_equal(pool.free_count[SP_SLAB_SMALL], 0);
    sp_slab_unref(slab);
    assert_int_equal(pool.free_count[SP_SLAB_SMALL], 1);
    sp_slab_unref(NULL);
    sp_slab_pool_deinit(&pool);
}

static void the_last_one_in_is_the_first_one_out(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 1 << 20, 0);
    struct sp_slab *a = sp_slab_take(&pool, SP_SLAB_READ), *b = sp_slab_take(&pool, SP_SLAB_READ);
    sp_slab_unref(a);
    sp_slab_unref(b);
    (void)sp_mem_fail_at(0);
    assert_ptr_equal(sp_slab_take(&pool, SP_SLAB_READ), b);
    assert_ptr_equal(sp_slab_take(&pool, SP_SLAB_READ), a);
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_slab_unref(a);
    sp_slab_unref(b);
    sp_slab_pool_deinit(&pool);
}

static void what_waits_is_bounded_by_keep_bytes(void **state)
{
    struct sp_slab_pool pool;
    struct sp_slab *out[10];
    uint64_t blocks = sp_mem_live_blocks();

    sp_slab_pool_init(&pool, 3 * 4096 + 100, 0);
    for (int i = 0; i < 10; i++)
        out[i] = sp_slab_take(&pool, SP_SLAB_MEDIUM);
    assert_int_equal(pool.held_bytes, 10 * 4096);
    for (int i = 0; i < 10; i++)
        sp_slab_unref(out[i]);
    assert_int_equal(pool.free_count[SP_SLAB_MEDIUM], 3);
    assert_int_equal(pool.kept_bytes, 3 * 4096);
    assert_int_equal(pool.held_bytes, 3 * 4096);
    assert_int_equal(sp_mem_live_blocks(), blocks + 3);
    sp_slab_pool_trim(&pool);
    assert_int_equal(pool.held_bytes, 0);
    assert_int_equal(sp_mem_live_blocks(), blocks);
    sp_slab_pool_deinit(&pool);
}

static void a_pool_that_keeps_nothing_gives_all_back(void **state)
{
    struct sp_slab_pool pool;
    uint64_t blocks = sp_mem_live_blocks();

    sp_slab_pool_init(&pool, 0, 0);
    sp_slab_unref(sp_slab_take(&pool, SP_SLAB_SMALL));
    assert_int_equal(sp_mem_live_blocks(), blocks);
    sp_slab_pool_deinit(&pool);
}

static void the_limit_refuses_and_counts(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 1 << 20, 2 * 16384);
    struct sp_slab *a = sp_slab_take(&pool, SP_SLAB_READ), *b = sp_slab_take(&pool, SP_SLAB_READ);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(sp_slab_take(&pool, SP_SLAB_SMALL));
    assert_null(sp_slab_take(&pool, SP_SLAB_LARGE));
    assert_int_equal(pool.refused, 2);
    sp_slab_unref(a);
    a = sp_slab_take(&pool, SP_SLAB_READ); /* from the free list: no new memory */
    assert_non_null(a);
    assert_int_equal(pool.refused, 2);
    sp_slab_unref(a);
    sp_slab_unref(b);
    sp_slab_pool_deinit(&pool);
}

static void at_the_limit_waiting_slabs_of_other_sizes_make_room(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 1 << 20, 65536);
    sp_slab_unref(sp_slab_take(&pool, SP_SLAB_READ));
    assert_int_equal(pool.held_bytes, 16384);
    struct sp_slab *large = sp_slab_take(&pool, SP_SLAB_LARGE);
    assert_non_null(large);
    assert_int_equal(pool.held_bytes, 65536);
    assert_int_equal(pool.refused, 0);
    sp_slab_unref(large);
    sp_slab_pool_deinit(&pool);
}

static void take_for_finds_the_smallest_that_holds(void **state)
{
    struct sp_slab_pool pool;
    static const struct {
        size_t bytes;
        uint32_t cap;
    } rows[] = { { 0, 512 },       { 1, 512 },       { 512, 512 },      { 513, 4096 },     { 4097, 16384 },
                 { 16385, 65536 }, { 65536, 65536 }, { 65537, 262144 }, { 262144, 262144 } };

    sp_slab_pool_init(&pool, 0, 0);
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct sp_slab *slab = sp_slab_take_for(&pool, rows[i].bytes);
        assert_non_null(slab);
        assert_int_equal(slab->cap, rows[i].cap);
        sp_slab_unref(slab);
    }
    assert_null(sp_slab_take_for(&pool, 262145));
    assert_null(sp_slab_take_for(&pool, SIZE_MAX));
    sp_slab_pool_deinit(&pool);
}

static void without_memory_take_is_null_and_nothing_is_counted(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 1 << 20, 0);
    (void)sp_mem_fail_at(1);
    assert_null(sp_slab_take(&pool, SP_SLAB_READ));
    assert_int_equal(sp_mem_fail_at(0), 1);
    assert_int_equal(pool.held_bytes, 0);
    assert_int_equal(pool.refused, 0);
    sp_slab_pool_deinit(&pool);
}

static void forget_a_slab(void)
{
    struct sp_slab_pool pool;
    sp_slab_pool_init(&pool, 0, 0);
    if (sp_slab_take(&pool, SP_SLAB_SMALL))
        sp_slab_pool_deinit(&pool);
}

static void a_pool_cannot_end_while_slabs_are_out(void **state)
{
    check_dies(forget_a_slab, "assertion failed: pool->held_bytes == 0");
}

static void a_view_reads_as_a_string(void **state)
{
    struct sp_slab_pool pool;

    sp_slab_pool_init(&pool, 0, 0);
    struct sp_slab *slab = sp_slab_take(&pool, SP_SLAB_SMALL);
    memcpy(slab->bytes, "GET /x", 6);
    slab->used = 6;
    struct sp_view view = { sp_slab_ref(slab), slab->bytes + 4, 2 };
    check_str(sp_view_str(view), "/x");
    sp_slab_unref(view.slab);
    sp_slab_unref(slab);
    sp_slab_pool_deinit(&pool);
}

static void run_books(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_slab_pool pool;
    struct sp_slab *out[64];
    uint32_t refs[64];
    size_t count = 0;
    uint64_t limit = 700000, bytes_out = 0;

    sp_rng_init(&rng, seed);
    sp_slab_pool_init(&pool, 100000, limit);
    for (int step = 0; step < 2000; step++) {
        if (count < 64 && sp_rng_chance(&rng, 500)) {
            enum sp_slab_class klass = (enum sp_slab_class)sp_rng_below(&rng, SP_SLAB_CLASSES);
            struct sp_slab *slab = sp_slab_take(&pool, klass);
            if (!slab)
                continue;
            memset(slab->bytes, (int)count, slab->cap);
            bytes_out += slab->cap;
            refs[count] = 1;
            out[count++] = slab;
        } else if (count) {
            size_t i = sp_rng_below(&rng, count);
            if (sp_rng_chance(&rng, 300)) {
                (void)sp_slab_ref(out[i]);
                refs[i]++;
                continue;
            }
            uint32_t cap = out[i]->cap;
            sp_slab_unref(out[i]);
            if (--refs[i] == 0) {
                bytes_out -= cap;
                out[i] = out[--count];
                refs[i] = refs[count];
            }
        }
        check_seed(seed, pool.held_bytes == bytes_out + pool.kept_bytes);
        check_seed(seed, pool.held_bytes <= limit && pool.kept_bytes <= pool.keep_bytes);
    }
    while (count--)
        while (refs[count]--)
            sp_slab_unref(out[count]);
    sp_slab_pool_deinit(&pool);
}

static void the_books_balance_after_any_row_of_steps(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    each_seed(30, run_books);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

#if defined(SP_HAS_ASAN)
static void unref_twice(void)
{
    struct sp_slab_pool pool;
    sp_slab_pool_init(&pool, 1 << 20, 0);
    struct sp_slab *slab = sp_slab_take(&pool, SP_SLAB_SMALL);
    sp_slab_unref(slab);
    sp_slab_unref(slab);
}

static void one_unref_too_many_is_reported(void **state)
{
    check_dies(unref_twice, "use-after-poison");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taken_slab_is_empty_and_has_one_reference),
        cmocka_unit_test(it_goes_back_at_the_last_reference_only),
        cmocka_unit_test(the_last_one_in_is_the_first_one_out),
        cmocka_unit_test(what_waits_is_bounded_by_keep_bytes),
        cmocka_unit_test(a_pool_that_keeps_nothing_gives_all_back),
        cmocka_unit_test(the_limit_refuses_and_counts),
        cmocka_unit_test(at_the_limit_waiting_slabs_of_other_sizes_make_room),
        cmocka_unit_test(take_for_finds_the_smallest_that_holds),
        cmocka_unit_test(without_memory_take_is_null_and_nothing_is_counted),
        cmocka_unit_test(a_pool_cannot_end_while_slabs_are_out),
        cmocka_unit_test(a_view_reads_as_a_string),
        cmocka_unit_test(the_books_balance_after_any_row_of_steps),
#if defined(SP_HAS_ASAN)
        cmocka_unit_test(one_unref_too_many_is_reported),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
