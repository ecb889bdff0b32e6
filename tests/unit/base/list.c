/* list: order, removal from anywhere, walks that remove; against an array. */
#include "base/list.h"

#include "base/rng.h"
#include "unit/base/help.h"

struct item {
    int number;
    struct sp_list link;
};

static void an_empty_list_has_no_first(void **state)
{
    struct sp_list head;
    struct item *it = NULL;

    sp_list_init(&head);
    assert_true(sp_list_is_empty(&head));
    assert_null(sp_list_pop_first(&head));
    assert_null(SP_LIST_FIRST(&head, struct item, link));
    SP_LIST_EACH(&head, it, it_next, struct item, link)
        fail_msg("walked an empty list");
    assert_null(it);
}

static void push_is_at_the_tail_and_push_first_at_the_head(void **state)
{
    struct sp_list head;
    struct item a = { 1 }, b = { 2 }, c = { 3 };

    sp_list_init(&head);
    sp_list_push(&head, &b.link);
    sp_list_push(&head, &c.link);
    sp_list_push_first(&head, &a.link);
    assert_ptr_equal(SP_LIST_FIRST(&head, struct item, link), &a);
    assert_ptr_equal(sp_list_pop_first(&head), &a.link);
    assert_false(sp_list_is_on(&a.link));
    assert_ptr_equal(sp_list_pop_first(&head), &b.link);
    assert_ptr_equal(sp_list_pop_first(&head), &c.link);
    assert_true(sp_list_is_empty(&head));
}

static void removing_what_is_on_no_list_is_fine(void **state)
{
    struct item a = { 1 };
    struct sp_list head;

    sp_list_remove(&a.link);
    sp_list_init(&head);
    sp_list_push(&head, &a.link);
    sp_list_remove(&a.link);
    sp_list_remove(&a.link);
    assert_true(sp_list_is_empty(&head));
}

static void a_walk_may_remove_what_it_stands_on(void **state)
{
    struct sp_list head;
    struct item items[10], *it;
    int seen = 0;

    sp_list_init(&head);
    for (int i = 0; i < 10; i++) {
        items[i] = (struct item){ .number = i };
        sp_list_push(&head, &items[i].link);
    }
    SP_LIST_EACH(&head, it, it_next, struct item, link) {
        assert_int_equal(it->number, seen++);
        if (it->number % 2)
            sp_list_remove(&it->link);
    }
    assert_int_equal(seen, 10);
    seen = 0;
    SP_LIST_EACH(&head, it, it_next, struct item, link) {
        assert_int_equal(it->number, seen);
        seen += 2;
    }
    assert_int_equal(seen, 10);
}

static void insert_twice(void)
{
    struct sp_list head;
    struct item a = { 1 };

    sp_list_init(&head);
    sp_list_push(&head, &a.link);
    sp_list_push(&head, &a.link);
}

static void a_link_on_a_list_cannot_be_put_on_another(void **state)
{
    check_dies(insert_twice, "assertion failed: !link->next");
}

static void run_model(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_list head;
    struct item items[20] = { 0 }, *it;
    int order[20], len = 0;

    sp_rng_init(&rng, seed);
    sp_list_init(&head);
    for (int step = 0; step < 500; step++) {
        int which = (int)sp_rng_below(&rng, 20), at = 0;
        while (at < len && order[at] != which)
            at++;
        check_seed(seed, sp_list_is_on(&items[which].link) == (at < len));
        if (at < len) {
            memmove(order + at, order + at + 1, (size_t)(--len - at) * sizeof(order[0]));
            sp_list_remove(&items[which].link);
        } else if (sp_rng_chance(&rng, 500)) {
            order[len++] = which;
            sp_list_push(&head, &items[which].link);
        } else {
            memmove(order + 1, order, (size_t)len++ * sizeof(order[0]));
            order[0] = which;
            sp_list_push_first(&head, &items[which].link);
        }
        at = 0;
        SP_LIST_EACH(&head, it, it_next, struct item, link)
            check_seed(seed, at < len && it == &items[order[at++]]);
        check_seed(seed, at == len);
    }
}

static void any_row_of_steps_matches_an_array(void **state)
{
    each_seed(50, run_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_has_no_first),
        cmocka_unit_test(push_is_at_the_tail_and_push_first_at_the_head),
        cmocka_unit_test(removing_what_is_on_no_list_is_fine),
        cmocka_unit_test(a_walk_may_remove_what_it_stands_on),
        cmocka_unit_test(a_link_on_a_list_cannot_be_put_on_another),
        cmocka_unit_test(any_row_of_steps_matches_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
