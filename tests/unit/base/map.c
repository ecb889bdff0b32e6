/* map and idmap: against a plain array by seed, at collisions, at every failed allocation. */
#include "base/map.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static char values[64]; /* addresses to store */

static void an_empty_map_finds_nothing(void **state)
{
    struct sp_map m;
    size_t at = 0;

    sp_map_init(&m, 1);
    assert_null(sp_map_get(&m, SP_STR("x")));
    assert_null(sp_map_remove(&m, SP_STR("x")));
    assert_false(sp_map_next(&m, &at, NULL, NULL));
    sp_map_deinit(&m);
}

static void put_replaces_and_hands_out_the_old(void **state)
{
    struct sp_map m;
    void *old = &m;

    sp_map_init(&m, 1);
    assert_int_equal(sp_map_put(&m, SP_STR("k"), &values[1], &old), 0);
    assert_null(old);
    assert_int_equal(sp_map_put(&m, SP_STR("k"), &values[2], &old), 0);
    assert_ptr_equal(old, &values[1]);
    assert_int_equal(sp_map_put(&m, SP_STR(""), &values[3], NULL), 0);
    assert_int_equal(m.len, 2);
    assert_ptr_equal(sp_map_get(&m, SP_STR("k")), &values[2]);
    assert_ptr_equal(sp_map_get(&m, SP_STR_NULL), &values[3]);
    assert_ptr_equal(sp_map_remove(&m, SP_STR("k")), &values[2]);
    assert_null(sp_map_get(&m, SP_STR("k")));
    sp_map_deinit(&m);
}

static void a_replaced_key_borrows_the_new_bytes(void **state)
{
    struct sp_map m;
    char first[] = "key", second[] = "key";

    sp_map_init(&m, 1);
    assert_int_equal(sp_map_put(&m, sp_str_c(first), &values[1], NULL), 0);
    assert_int_equal(sp_map_put(&m, sp_str_c(second), &values[2], NULL), 0);
    memset(first, '!', 3); /* the first owner is gone */
    assert_ptr_equal(sp_map_get(&m, SP_STR("key")), &values[2]);
    sp_map_deinit(&m);
}

static void many_removals_do_not_make_the_table_grow(void **state)
{
    struct sp_map m;
    char key[16];

    sp_map_init(&m, 1);
    for (int i = 0; i < 100000; i++) {
        int len = snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(sp_map_put(&m, sp_str_of(key, (size_t)len), &values[0], NULL), 0);
        assert_ptr_equal(sp_map_remove(&m, sp_str_of(key, (size_t)len)), &values[0]);
    }
    assert_int_equal(m.len, 0);
    assert_true(m.cap <= 16);
    sp_map_deinit(&m);
}

static void a_failed_put_leaves_the_map_as_it_was(void **state)
{
    struct sp_map m;
    static char keys[200][8];
    uint64_t refused = 0;

    sp_map_init(&m, 1);
    for (size_t i = 0; i < 200; i++) {
        sp_str key = sp_str_of(keys[i], (size_t)snprintf(keys[i], sizeof(keys[i]), "k%zu", i));
        (void)sp_mem_fail_at(1);
        sp_err err = sp_map_put(&m, key, &values[i % 64], NULL);
        (void)sp_mem_fail_at(0);
        if (err) {
            refused++;
            assert_int_equal(err, SP_E_NOMEM);
            assert_int_equal(m.len, i);
            assert_null(sp_map_get(&m, key));
            assert_int_equal(sp_map_put(&m, key, &values[i % 64], NULL), 0);
        }
        for (size_t k = 0; k <= i; k++)
            assert_ptr_equal(sp_map_get(&m, sp_str_c(keys[k])), &values[k % 64]);
    }
    assert_true(refused >= 5);
    sp_map_deinit(&m);
}

static void run_map(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_map m;
    char keys[100][4];
    void *model[100] = { 0 };
    size_t len = 0;

    sp_rng_init(&rng, seed);
    sp_map_init(&m, seed);
    for (size_t i = 0; i < 100; i++)
        snprintf(keys[i], sizeof(keys[i]), "%zu", i);
    for (int step = 0; step < 2000; step++) {
        size_t i = sp_rng_below(&rng, 100);
        sp_str key = sp_str_c(keys[i]);
        check_seed(seed, sp_map_get(&m, key) == model[i]);
        if (sp_rng_chance(&rng, step % 1000 < 500 ? 700 : 300)) {
            void *old = NULL, *value = &values[sp_rng_below(&rng, 64)];
            check_seed(seed, sp_map_put(&m, key, value, &old) == 0 && old == model[i]);
            len += !model[i];
            model[i] = value;
        } else {
            check_seed(seed, sp_map_remove(&m, key) == model[i]);
            len -= model[i] != NULL;
            model[i] = NULL;
        }
        check_seed(seed, m.len == len);
    }
    size_t at = 0, seen = 0;
    sp_str key;
    void *value;
    while (sp_map_next(&m, &at, &key, &value)) {
        uint64_t i = 1000;
        check_seed(seed, sp_str_to_u64(key, &i) == 0 && i < 100 && model[i] == value);
        seen++;
    }
    check_seed(seed, seen == len);
    sp_map_deinit(&m);
}

static void any_row_of_steps_matches_an_array(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    each_seed(40, run_map);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

/* --- ids --- */

static void an_empty_idmap_owns_no_memory(void **state)
{
    struct sp_idmap m;
    uint32_t at = 0;

    (void)sp_mem_fail_at(0);
    sp_idmap_init(&m);
    assert_null(sp_idmap_get(&m, 0));
    assert_null(sp_idmap_remove(&m, 0));
    assert_false(sp_idmap_next(&m, &at, NULL, NULL));
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_idmap_deinit(&m);
}

static void ids_at_both_ends_are_ids(void **state)
{
    struct sp_idmap m;

    sp_idmap_init_seed(&m, 99);
    assert_int_equal(sp_idmap_put(&m, 0, &values[1]), 0);
    assert_int_equal(sp_idmap_put(&m, UINT64_MAX, &values[2]), 0);
    assert_int_equal(sp_idmap_put(&m, 99, &values[3]), 0);
    assert_ptr_equal(sp_idmap_get(&m, 0), &values[1]);
    assert_ptr_equal(sp_idmap_get(&m, UINT64_MAX), &values[2]);
    assert_ptr_equal(sp_idmap_remove(&m, 0), &values[1]);
    assert_null(sp_idmap_get(&m, 0));
    assert_int_equal(m.len, 2);
    sp_idmap_deinit(&m);
}

static void trim_gives_back_only_what_is_empty(void **state)
{
    struct sp_idmap m;
    uint64_t blocks = sp_mem_live_blocks();

    sp_idmap_init(&m);
    assert_int_equal(sp_idmap_put(&m, 5, &values[5]), 0);
    sp_idmap_trim(&m);
    assert_ptr_equal(sp_idmap_get(&m, 5), &values[5]);
    assert_ptr_equal(sp_idmap_remove(&m, 5), &values[5]);
    assert_int_equal(sp_mem_live_blocks(), blocks + 1);
    sp_idmap_trim(&m);
    assert_int_equal(sp_mem_live_blocks(), blocks);
    assert_null(sp_idmap_get(&m, 5));
    assert_int_equal(sp_idmap_put(&m, 5, &values[6]), 0);
    assert_ptr_equal(sp_idmap_get(&m, 5), &values[6]);
    sp_idmap_deinit(&m);
}

static void calls_that_come_and_go_do_not_make_it_grow(void **state)
{
    struct sp_idmap m;

    sp_idmap_init(&m);
    for (uint64_t id = 0; id < 100000; id++) {
        assert_int_equal(sp_idmap_put(&m, id, &values[id % 64]), 0);
        if (id >= 10)
            assert_ptr_equal(sp_idmap_remove(&m, id - 10), &values[(id - 10) % 64]);
    }
    assert_int_equal(m.len, 10);
    assert_true(m.cap <= 32);
    sp_idmap_deinit(&m);
}

static void a_failed_put_leaves_the_ids_as_they_were(void **state)
{
    struct sp_idmap m;
    uint64_t refused = 0;

    sp_idmap_init(&m);
    for (uint64_t id = 0; id < 200; id++) {
        (void)sp_mem_fail_at(1);
        sp_err err = sp_idmap_put(&m, id * 1000, &values[id % 64]);
        (void)sp_mem_fail_at(0);
        if (err) {
            refused++;
            assert_int_equal(err, SP_E_NOMEM);
            assert_null(sp_idmap_get(&m, id * 1000));
            assert_int_equal(sp_idmap_put(&m, id * 1000, &values[id % 64]), 0);
        }
        for (uint64_t k = 0; k <= id; k++)
            assert_ptr_equal(sp_idmap_get(&m, k * 1000), &values[k % 64]);
    }
    assert_true(refused >= 5);
    sp_idmap_deinit(&m);
}

static void put_twice(void)
{
    struct sp_idmap m;
    sp_idmap_init(&m);
    for (int i = 0; i < 2; i++)
        if (sp_idmap_put(&m, 7, &values[0]))
            return;
}

static void an_id_cannot_be_put_twice(void **state)
{
    check_dies(put_twice, "assertion failed: !slot->value");
}

static void run_idmap(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_idmap m;
    void *model[300] = { 0 };
    uint32_t len = 0;
    uint64_t scale = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 1u << 20 : 0x9E3779B97F4A7C15u;
    uint64_t keys = 20 + seed % 280; /* few keys in a small table: long runs, wrapped ones too */

    sp_rng_init(&rng, seed);
    if (seed & 1)
        sp_idmap_init_seed(&m, seed);
    else
        sp_idmap_init(&m);
    for (int step = 0; step < 4000; step++) {
        uint64_t i = sp_rng_below(&rng, keys);
        check_seed(seed, sp_idmap_get(&m, i * scale) == model[i]);
        if (model[i]) {
            check_seed(seed, sp_idmap_remove(&m, i * scale) == model[i]);
            model[i] = NULL;
            len--;
        } else if (sp_rng_chance(&rng, step % 2000 < 1000 ? 900 : 200)) {
            model[i] = &values[sp_rng_below(&rng, 64)];
            check_seed(seed, sp_idmap_put(&m, i * scale, model[i]) == 0);
            len++;
        } else {
            check_seed(seed, sp_idmap_remove(&m, i * scale) == NULL);
        }
        check_seed(seed, m.len == len);
        if (step % 50 == 0)
            for (uint64_t k = 0; k < keys; k++)
                check_seed(seed, sp_idmap_get(&m, k * scale) == model[k]);
    }
    uint32_t at = 0, seen = 0;
    uint64_t key;
    void *value;
    while (sp_idmap_next(&m, &at, &key, &value)) {
        check_seed(seed, sp_idmap_get(&m, key) == value);
        seen++;
    }
    check_seed(seed, seen == len);
    sp_idmap_deinit(&m);
}

static void any_row_of_calls_matches_an_array(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    each_seed(90, run_idmap);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_finds_nothing),
        cmocka_unit_test(put_replaces_and_hands_out_the_old),
        cmocka_unit_test(a_replaced_key_borrows_the_new_bytes),
        cmocka_unit_test(many_removals_do_not_make_the_table_grow),
        cmocka_unit_test(a_failed_put_leaves_the_map_as_it_was),
        cmocka_unit_test(any_row_of_steps_matches_an_array),
        cmocka_unit_test(an_empty_idmap_owns_no_memory),
        cmocka_unit_test(ids_at_both_ends_are_ids),
        cmocka_unit_test(trim_gives_back_only_what_is_empty),
        cmocka_unit_test(calls_that_come_and_go_do_not_make_it_grow),
        cmocka_unit_test(a_failed_put_leaves_the_ids_as_they_were),
        cmocka_unit_test(an_id_cannot_be_put_twice),
        cmocka_unit_test(any_row_of_calls_matches_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
