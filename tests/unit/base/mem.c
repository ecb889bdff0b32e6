/* mem: what goes out comes back, and an allocation fails exactly when told to. */
#include "base/mem.h"

#include <pthread.h>

#include "unit/base/help.h"

static void what_is_freed_is_no_longer_counted(void **state)
{
    uint64_t bytes = sp_mem_used_bytes(), blocks = sp_mem_live_blocks();
    void *a = sp_mem_alloc(100), *b = sp_mem_zalloc(5000);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(sp_mem_used_bytes() >= bytes + 5100);
    assert_int_equal(sp_mem_live_blocks(), blocks + 2);
    a = sp_mem_realloc(a, 100000);
    assert_non_null(a);
    assert_true(sp_mem_used_bytes() >= bytes + 105000);
    assert_int_equal(sp_mem_live_blocks(), blocks + 2);
    a = sp_mem_realloc(a, 10);
    assert_non_null(a);
    assert_true(sp_mem_used_bytes() < bytes + 100000);
    sp_mem_free(a);
    sp_mem_free(b);
    sp_mem_free(NULL);
    sp_mem_trim();
    assert_int_equal(sp_mem_used_bytes(), bytes);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

static void zalloc_gives_zeroes_in_memory_used_before(void **state)
{
    for (int round = 0; round < 20; round++) {
        unsigned char *p = sp_mem_zalloc(333);
        assert_non_null(p);
        for (int i = 0; i < 333; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xAA, 333);
        sp_mem_free(p);
    }
}

static void blocks_are_aligned_to_sixteen(void **state)
{
    for (size_t bytes = 0; bytes < 200; bytes++) {
        void *p = sp_mem_alloc(bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        sp_mem_free(p);
    }
}

static void the_nth_allocation_fails_and_no_other(void **state)
{
    (void)sp_mem_fail_at(3);
    for (int i = 1; i <= 6; i++) {
        void *p = sp_mem_alloc(1);
        assert_int_equal(p == NULL, i == 3);
        sp_mem_free(p);
    }
    assert_int_equal(sp_mem_fail_at(0), 6);
    assert_int_equal(sp_mem_fail_at(0), 0);
}

static void a_failed_realloc_leaves_the_block(void **state)
{
    char *p = sp_mem_alloc(8);
    assert_non_null(p);
    memcpy(p, "sevenish", 8);
    uint64_t bytes = sp_mem_used_bytes();
    (void)sp_mem_fail_at(1);
    assert_null(sp_mem_realloc(p, 1 << 20));
    (void)sp_mem_fail_at(0);
    assert_memory_equal(p, "sevenish", 8);
    assert_int_equal(sp_mem_used_bytes(), bytes);
    sp_mem_free(p);
    (void)sp_mem_fail_at(1);
    assert_null(sp_mem_realloc(NULL, 10));
    assert_int_equal(sp_mem_fail_at(0), 1);
}

static void *allocate_once(void *arg)
{
    void *p = sp_mem_alloc(16);
    *(bool *)arg = p != NULL;
    sp_mem_free(p);
    return NULL;
}

static void a_failure_is_meant_for_the_thread_that_asked(void **state)
{
    pthread_t thread;
    bool other_got = false;

    (void)sp_mem_fail_at(1);
    assert_int_equal(pthread_create(&thread, NULL, allocate_once, &other_got), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(other_got);
    assert_null(sp_mem_alloc(16));
    assert_int_equal(sp_mem_fail_at(0), 1);
}

static void *churn(void *arg)
{
    void *held[16] = { 0 };
    for (int i = 0; i < 20000; i++) {
        sp_mem_free(held[i % 16]);
        held[i % 16] = sp_mem_alloc((size_t)(i % 700));
    }
    for (int i = 0; i < 16; i++)
        sp_mem_free(held[i]);
    return NULL;
}

static void counts_come_out_right_with_many_threads(void **state)
{
    pthread_t threads[4];
    uint64_t bytes = sp_mem_used_bytes(), blocks = sp_mem_live_blocks();

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(sp_mem_used_bytes(), bytes);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_freed_is_no_longer_counted),
        cmocka_unit_test(zalloc_gives_zeroes_in_memory_used_before),
        cmocka_unit_test(blocks_are_aligned_to_sixteen),
        cmocka_unit_test(the_nth_allocation_fails_and_no_other),
        cmocka_unit_test(a_failed_realloc_leaves_the_block),
        cmocka_unit_test(a_failure_is_meant_for_the_thread_that_asked),
        cmocka_unit_test(counts_come_out_right_with_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
