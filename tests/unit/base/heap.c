/* heap: the smallest is first, after any row of inserts, moves and removals. */
#include "base/heap.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void keys_come_out_in_order(void **state)
{
    struct sp_heap h;
    struct sp_heap_node nodes[1000] = { 0 };
    uint64_t last = 0;

    sp_heap_init(&h);
    assert_null(sp_heap_first(&h));
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(sp_heap_insert(&h, &nodes[i], i * 7919 % 1009), 0);
    for (int i = 0; i < 1000; i++) {
        struct sp_heap_node *node = sp_heap_first(&h);
        assert_non_null(node);
        assert_true(node->key >= last);
        last = node->key;
        sp_heap_remove(&h, node);
        assert_int_equal(node->place, 0);
        sp_heap_remove(&h, node); /* in no heap: fine */
    }
    assert_null(sp_heap_first(&h));
    sp_heap_deinit(&h);
}

static void after_reserve_inserts_cannot_fail(void **state)
{
    struct sp_heap h;
    struct sp_heap_node nodes[500] = { 0 };

    sp_heap_init(&h);
    assert_int_equal(sp_heap_reserve(&h, 500), 0);
    (void)sp_mem_fail_at(1);
    for (uint64_t i = 0; i < 500; i++)
        assert_int_equal(sp_heap_insert(&h, &nodes[i], 500 - i), 0);
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_heap_deinit(&h);
    for (int i = 0; i < 500; i++)
        assert_int_equal(nodes[i].place, 0);
}

static void a_failed_insert_changes_nothing(void **state)
{
    struct sp_heap h;
    struct sp_heap_node nodes[100] = { 0 };
    int refused = 0;

    sp_heap_init(&h);
    for (uint32_t i = 0; i < 100; i++) {
        (void)sp_mem_fail_at(1);
        sp_err err = sp_heap_insert(&h, &nodes[i], 100 - i);
        (void)sp_mem_fail_at(0);
        if (!err)
            continue;
        refused++;
        assert_int_equal(err, SP_E_NOMEM);
        assert_int_equal(nodes[i].place, 0);
        assert_int_equal(h.len, i);
        assert_int_equal(sp_heap_insert(&h, &nodes[i], 100 - i), 0);
    }
    assert_int_equal(refused, 4); /* 16, 32, 64, 128 */
    assert_ptr_equal(sp_heap_first(&h), &nodes[99]);
    sp_heap_deinit(&h);
}

static void keys_at_both_ends_are_keys(void **state)
{
    struct sp_heap h;
    struct sp_heap_node a = { 0 }, b = { 0 };

    sp_heap_init(&h);
    assert_int_equal(sp_heap_insert(&h, &a, UINT64_MAX), 0);
    assert_int_equal(sp_heap_insert(&h, &b, 0), 0);
    assert_ptr_equal(sp_heap_first(&h), &b);
    sp_heap_rekey(&h, &b, UINT64_MAX);
    sp_heap_rekey(&h, &a, 0);
    assert_ptr_equal(sp_heap_first(&h), &a);
    sp_heap_deinit(&h);
}

static void insert_twice(void)
{
    struct sp_heap h;
    struct sp_heap_node node = { 0 };
    sp_heap_init(&h);
    for (int i = 0; i < 2; i++)
        if (sp_heap_insert(&h, &node, 1))
            return;
}

static void a_node_cannot_be_in_twice(void **state)
{
    check_dies(insert_twice, "assertion failed: node->place == 0");
}

static void check_heap(uint64_t seed, const struct sp_heap *h, const struct sp_heap_node *nodes, size_t count)
{
    uint64_t least = UINT64_MAX;
    uint32_t in = 0;

    for (size_t i = 0; i < count; i++)
        if (nodes[i].place) {
            check_seed(seed, h->entries[nodes[i].place - 1].node == &nodes[i]);
            least = SP_MIN(least, nodes[i].key);
            in++;
        }
    check_seed(seed, in == h->len);
    check_seed(seed, in == 0 ? !sp_heap_first(h) : sp_heap_first(h)->key == least);
}

static void run_model(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_heap h;
    struct sp_heap_node nodes[150] = { 0 };
    uint64_t range = seed % 2 ? 20 : UINT32_MAX; /* many equal keys, or few */

    sp_rng_init(&rng, seed);
    sp_heap_init(&h);
    for (int step = 0; step < 2000; step++) {
        struct sp_heap_node *node = &nodes[sp_rng_below(&rng, 150)];
        uint64_t key = sp_rng_below(&rng, range);
        if (!node->place)
            check_seed(seed, sp_heap_insert(&h, node, key) == 0);
        else if (sp_rng_chance(&rng, 400))
            sp_heap_rekey(&h, node, key);
        else
            sp_heap_remove(&h, node);
        check_heap(seed, &h, nodes, 150);
    }
    sp_heap_deinit(&h);
}

static void the_first_is_the_least_after_any_row_of_steps(void **state)
{
    each_seed(40, run_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_out_in_order),
        cmocka_unit_test(after_reserve_inserts_cannot_fail),
        cmocka_unit_test(a_failed_insert_changes_nothing),
        cmocka_unit_test(keys_at_both_ends_are_keys),
        cmocka_unit_test(a_node_cannot_be_in_twice),
        cmocka_unit_test(the_first_is_the_least_after_any_row_of_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
