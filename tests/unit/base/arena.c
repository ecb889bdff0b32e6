/* arena: pieces never overlap, storage comes first, reset keeps one block, limits and failures are NULL. */
#include "base/arena.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void a_common_request_never_meets_the_heap(void **state)
{
    struct sp_arena a;
    _Alignas(16) char storage[512];

    sp_arena_init(&a, storage, sizeof(storage), 1024, 0);
    (void)sp_mem_fail_at(0);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 8; i++) {
            char *p = sp_arena_alloc(&a, 64);
            assert_true(p >= storage && p + 64 <= storage + sizeof(storage));
        }
        sp_arena_reset(&a);
    }
    assert_int_equal(sp_mem_fail_at(0), 0);
    assert_int_equal(a.held_bytes, 0);
    sp_arena_deinit(&a);
}

static void reset_keeps_one_usual_block_and_no_more(void **state)
{
    struct sp_arena a;
    char storage[100];

    sp_arena_init(&a, storage, sizeof(storage), 1024, 0);
    for (int i = 0; i < 50; i++)
        assert_non_null(sp_arena_alloc(&a, 500));
    assert_non_null(sp_arena_alloc(&a, 5000));
    assert_true(a.held_bytes > 25000);
    sp_arena_reset(&a);
    assert_int_equal(a.held_bytes, 1024);

    (void)sp_mem_fail_at(0);
    for (int round = 0; round < 10; round++) {
        assert_non_null(sp_arena_alloc(&a, 90));
        assert_non_null(sp_arena_alloc(&a, 900));
        sp_arena_reset(&a);
    }
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_arena_deinit(&a);
}

static void an_arena_without_storage_is_warm_after_one_round(void **state)
{
    struct sp_arena a;

    sp_arena_init(&a, NULL, 0, 2048, 0);
    assert_non_null(sp_arena_alloc(&a, 1));
    sp_arena_reset(&a);
    (void)sp_mem_fail_at(0);
    for (int round = 0; round < 10; round++) {
        assert_non_null(sp_arena_alloc(&a, 2000));
        sp_arena_reset(&a);
    }
    assert_int_equal(sp_mem_fail_at(0), 0);
    assert_int_equal(a.held_bytes, 2048);
    sp_arena_deinit(&a);
    assert_null(a.at);
    assert_null(a.blocks);
}

static void a_big_piece_leaves_the_current_block_in_use(void **state)
{
    struct sp_arena a;

    sp_arena_init(&a, NULL, 0, 1024, 0);
    char *before = sp_arena_alloc(&a, 16);
    char *big = sp_arena_alloc(&a, 100000);
    char *after = sp_arena_alloc(&a, 16);
    assert_non_null(big);
    assert_ptr_equal(after, before + 16);
    memset(big, 1, 100000);
    sp_arena_deinit(&a);

    /* And with none in use yet, the big one must not be taken for the current one. */
    sp_arena_init(&a, NULL, 0, 1024, 0);
    big = sp_arena_alloc(&a, 100000);
    before = sp_arena_alloc(&a, 16);
    assert_non_null(big);
    assert_non_null(before);
    assert_true(before < big || before >= big + 100000);
    sp_arena_deinit(&a);
}

static void every_alignment_is_kept_in_every_block(void **state)
{
    struct sp_arena a;
    char storage[64];

    for (size_t align = 1; align <= 4096; align *= 2) {
        sp_arena_init(&a, storage + 1, sizeof(storage) - 1, 256, 0);
        for (int i = 0; i < 40; i++) {
            char *p = sp_arena_alloc_align(&a, 13, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            memset(p, 1, 13);
            assert_non_null(sp_arena_alloc_align(&a, 1, 1));
        }
        sp_arena_deinit(&a);
    }
}

static void the_limit_bounds_all_heap_blocks_together(void **state)
{
    struct sp_arena a;
    char storage[64];
    size_t got = 0;

    sp_arena_init(&a, storage, sizeof(storage), 1024, 3000);
    while (sp_arena_alloc(&a, 100))
        got += 100;
    assert_true(a.held_bytes <= 3000);
    assert_true(got >= 2500); /* the last block shrinks to what the limit leaves */
    assert_null(sp_arena_alloc(&a, 4000));
    sp_arena_reset(&a);
    assert_non_null(sp_arena_alloc(&a, 900));
    sp_arena_deinit(&a);

    sp_arena_init(&a, NULL, 0, 4096, 100);
    assert_non_null(sp_arena_alloc(&a, 50));
    assert_null(sp_arena_alloc(&a, 50));
    sp_arena_reset(&a);
    assert_true(a.held_bytes <= 100);
    sp_arena_deinit(&a);
}

static void sizes_that_overflow_are_null(void **state)
{
    struct sp_arena a;

    sp_arena_init(&a, NULL, 0, 1024, 1 << 20);
    assert_null(sp_arena_alloc(&a, SIZE_MAX));
    assert_null(sp_arena_alloc(&a, SIZE_MAX - 20));
    assert_null(sp_arena_array(&a, SIZE_MAX / 2, 3));
    assert_null(sp_arena_array(&a, SIZE_MAX, SIZE_MAX));
    assert_null(sp_arena_zalloc(&a, SIZE_MAX / 2));
    assert_non_null(sp_arena_alloc(&a, 1));
    assert_null(sp_arena_alloc(&a, SIZE_MAX));
    assert_null(sp_arena_alloc(&a, PTRDIFF_MAX));
    sp_arena_deinit(&a);
}

static void nothing_at_all_still_has_an_address(void **state)
{
    struct sp_arena a;

    sp_arena_init(&a, NULL, 0, 1024, 0);
    assert_non_null(sp_arena_alloc(&a, 0));
    assert_non_null(sp_arena_array(&a, 0, 8));
    sp_arena_deinit(&a);
}

static void zeroed_pieces_are_zero_after_a_reset_too(void **state)
{
    struct sp_arena a;
    _Alignas(16) char storage[256];

    sp_arena_init(&a, storage, sizeof(storage), 256, 0);
    for (int round = 0; round < 3; round++) {
        unsigned char *p = sp_arena_array(&a, 50, 4);
        for (int i = 0; i < 200; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xFF, 200);
        uint64_t *n = SP_ARENA_NEW(&a, uint64_t);
        assert_int_equal(*n, 0);
        *n = UINT64_MAX;
        sp_arena_reset(&a);
    }
    sp_arena_deinit(&a);
}

static void printf_fits_whatever_the_length(void **state)
{
    struct sp_arena a;

    sp_arena_init(&a, NULL, 0, 64, 0);
    for (int width = 0; width < 600; width += 7) {
        char *text = sp_arena_printf(&a, "%*d|", width, 7);
        assert_non_null(text);
        assert_int_equal(strlen(text), (size_t)SP_MAX(width, 1) + 1);
        assert_string_equal(text + strlen(text) - 2, "7|");
    }
    sp_arena_deinit(&a);
}

/* What docs/buffers.md shows. */
static sp_err page_example(sp_str *ret_name, struct sp_arena *arena, char *storage, size_t bytes)
{
    sp_arena_init(arena, storage, bytes, 4096, 64 * 1024);
    sp_str name = sp_str_dup_lower(arena, SP_STR("Content-Type"));
    if (!name.ptr)
        return SP_E_NOMEM;
    *ret_name = name;
    return 0;
}

static void the_example_of_the_page_works(void **state)
{
    struct sp_arena arena;
    char storage[256];
    sp_str name = SP_STR_NULL;

    assert_int_equal(page_example(&name, &arena, storage, sizeof(storage)), 0);
    check_str(name, "content-type");
    assert_ptr_equal(name.ptr, storage);
    sp_arena_deinit(&arena);
}

static void a_failed_allocation_is_null_and_changes_nothing(void **state)
{
    struct sp_arena a;
    uint64_t blocks = sp_mem_live_blocks();

    for (uint64_t n = 1;; n++) {
        bool failed = false;
        sp_arena_init(&a, NULL, 0, 1024, 0);
        (void)sp_mem_fail_at(n);
        for (int i = 0; i < 20; i++) {
            size_t bytes = i % 5 ? 300 : 3000, held = a.held_bytes;
            char *p = i % 7 ? sp_arena_alloc(&a, bytes) : sp_arena_printf(&a, "%0*d", (int)bytes, 1);
            if (p) {
                memset(p, 1, bytes);
                continue;
            }
            failed = true;
            assert_int_equal(a.held_bytes, held);
            assert_non_null(sp_arena_alloc(&a, bytes)); /* the next one works */
        }
        uint64_t made = sp_mem_fail_at(0);
        sp_arena_deinit(&a);
        assert_int_equal(sp_mem_live_blocks(), blocks);
        if (!failed) {
            assert_true(made < n);
            break;
        }
    }
}

struct piece {
    unsigned char *ptr;
    size_t bytes;
    unsigned char fill;
};

static void check_pieces(uint64_t seed, const struct piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < pieces[i].bytes; k++)
            check_seed(seed, pieces[i].ptr[k] == pieces[i].fill);
}

static void run_pieces(uint64_t seed)
{
    struct sp_arena a;
    struct sp_rng rng;
    struct piece pieces[200];
    char storage[300];
    size_t count = 0;

    sp_rng_init(&rng, seed);
    sp_arena_init(&a, storage, sp_rng_below(&rng, sizeof(storage) + 1), 64 + sp_rng_below(&rng, 2000), 0);
    for (int step = 0; step < 600; step++) {
        if (count == SP_COUNTOF(pieces) || sp_rng_chance(&rng, 10)) {
            check_pieces(seed, pieces, count);
            sp_arena_reset(&a);
            check_seed(seed, a.held_bytes <= a.block_bytes);
            count = 0;
        }
        size_t bytes = sp_rng_below(&rng, sp_rng_chance(&rng, 50) ? 5000 : 100);
        size_t align = (size_t)1 << sp_rng_below(&rng, 8);
        unsigned char *p = sp_arena_alloc_align(&a, bytes, align);
        check_seed(seed, p && (uintptr_t)p % align == 0);
        pieces[count] = (struct piece){ p, bytes, (unsigned char)step };
        memset(p, pieces[count].fill, bytes);
        count++;
    }
    check_pieces(seed, pieces, count);
    sp_arena_deinit(&a);
}

static void pieces_never_overlap(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    each_seed(60, run_pieces);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

#if defined(SP_HAS_ASAN)
static void touch_after_reset(void)
{
    struct sp_arena a;
    _Alignas(16) char storage[256];

    sp_arena_init(&a, storage, sizeof(storage), 256, 0);
    volatile char *p = sp_arena_alloc(&a, 32);
    *p = 1;
    sp_arena_reset(&a);
    *p = 2;
}

static void touching_a_piece_after_reset_is_reported(void **state)
{
    check_dies(touch_after_reset, "use-after-poison");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_common_request_never_meets_the_heap),
        cmocka_unit_test(reset_keeps_one_usual_block_and_no_more),
        cmocka_unit_test(an_arena_without_storage_is_warm_after_one_round),
        cmocka_unit_test(a_big_piece_leaves_the_current_block_in_use),
        cmocka_unit_test(every_alignment_is_kept_in_every_block),
        cmocka_unit_test(the_limit_bounds_all_heap_blocks_together),
        cmocka_unit_test(sizes_that_overflow_are_null),
        cmocka_unit_test(nothing_at_all_still_has_an_address),
        cmocka_unit_test(zeroed_pieces_are_zero_after_a_reset_too),
        cmocka_unit_test(printf_fits_whatever_the_length),
        cmocka_unit_test(the_example_of_the_page_works),
        cmocka_unit_test(a_failed_allocation_is_null_and_changes_nothing),
        cmocka_unit_test(pieces_never_overlap),
#if defined(SP_HAS_ASAN)
        cmocka_unit_test(touching_a_piece_after_reset_is_reported),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
