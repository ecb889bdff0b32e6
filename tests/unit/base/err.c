/* err: words for every code, asserts that say where, the small macros. */
#include "base/err.h"

#include "unit/base/help.h"

static void every_code_has_words_of_its_own(void **state)
{
    for (sp_err a = SP_E_CANCELLED; a <= SP_OK; a++) {
        assert_non_null(sp_err_str(a));
        assert_string_not_equal(sp_err_str(a), "unknown error");
        for (sp_err b = a + 1; b <= SP_OK; b++)
            assert_string_not_equal(sp_err_str(a), sp_err_str(b));
    }
}

static void a_code_from_nowhere_is_unknown(void **state)
{
    assert_string_equal(sp_err_str(1), "unknown error");
    assert_string_equal(sp_err_str(-18), "unknown error");
    assert_string_equal(sp_err_str(INT32_MIN), "unknown error");
}

static void break_an_assert(void)
{
    int two = 2;
    SP_ASSERT(two + two == 5);
}

static void a_broken_assert_says_what_and_where(void **state)
{
    check_dies(break_an_assert, "assertion failed: two + two == 5 (");
    check_dies(break_an_assert, "break_an_assert)");
}

static void an_assert_that_holds_evaluates_once_and_goes_on(void **state)
{
    int times = 0;
    SP_ASSERT(++times == 1);
    assert_int_equal(times, 1);
}

struct box {
    int before;
    int field;
};

static void container_finds_the_struct_around_a_field(void **state)
{
    struct box box = { 1, 2 };
    assert_ptr_equal(SP_CONTAINER(&box.field, struct box, field), &box);
    int five[5] = { 0 };
    assert_int_equal(SP_COUNTOF(five), 5);
    assert_int_equal(SP_MIN(3, -4), -4);
    assert_int_equal(SP_MAX(3, -4), 3);
    assert_int_equal(five[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_words_of_its_own),
        cmocka_unit_test(a_code_from_nowhere_is_unknown),
        cmocka_unit_test(a_broken_assert_says_what_and_where),
        cmocka_unit_test(an_assert_that_holds_evaluates_once_and_goes_on),
        cmocka_unit_test(container_finds_the_struct_around_a_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
