/* text: numbers, durations, times and bytes at their edges. */
#include "form/form_impl.h"
#include "unit/form/help.h"

static void integers_are_exact_to_the_last_digit(void **state)
{
    int64_t i;
    uint64_t u;
    assert_int_equal(sp_form_text_to_u64(SP_STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(sp_form_text_to_u64(SP_STR("18446744073709551616"), &u), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_u64(SP_STR("1844674407370955161500e-2"), &u), 0);
    assert_int_equal(sp_form_text_to_u64(SP_STR("1.8446744073709551615e19"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(sp_form_text_to_i64(SP_STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(sp_form_text_to_i64(SP_STR("9223372036854775808"), &i), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_i64(SP_STR("-9223372036854775809"), &i), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_u64(SP_STR("-0"), &u), 0);
    assert_int_equal(sp_form_text_to_u64(SP_STR("-1"), &u), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_u64(SP_STR("0e99999999999999999999"), &u), 0);
    assert_int_equal(sp_form_text_to_u64(SP_STR("1e99999999999999999999"), &u), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_u64(SP_STR("1e-1"), &u), SP_E_INVALID);
    assert_int_equal(sp_form_text_to_u64(SP_STR("10e-1"), &u), 0);
    assert_int_equal(u, 1);
    assert_int_equal(sp_form_text_to_u64(SP_STR("0.000"), &u), 0);
    assert_int_equal(sp_form_text_to_u64(SP_STR("1.5"), &u), SP_E_INVALID);
    assert_int_equal(sp_form_text_to_u64(SP_STR("15.0e-1"), &u), SP_E_INVALID);
}

static void reals_overflow_by_name(void **state)
{
    double d;
    assert_int_equal(sp_form_text_to_double(SP_STR("1.7976931348623157e308"), &d), 0);
    assert_int_equal(sp_form_text_to_double(SP_STR("1.8e308"), &d), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_double(SP_STR("1e-400"), &d), 0);
    assert_true(d == 0);
    assert_int_equal(sp_form_text_to_double(SP_STR("Infinity"), &d), SP_E_INVALID);
    assert_int_equal(sp_form_text_to_double(SP_STR("0x1p3"), &d), SP_E_INVALID);
    assert_int_equal(sp_form_text_to_double(SP_STR("1 "), &d), SP_E_INVALID);
    assert_int_equal(sp_form_text_to_double(SP_STR("1\0"
                                                   "2"),
                                            &d),
                     SP_E_INVALID);
}

static void durations_have_bounds(void **state)
{
    int64_t s;
    int32_t n;
    assert_int_equal(sp_form_text_to_duration(SP_STR("-315576000000s"), &s, &n), 0);
    assert_true(s == -315576000000);
    assert_int_equal(sp_form_text_to_duration(SP_STR("315576000000.000000001s"), &s, &n), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_duration(SP_STR("315576000001s"), &s, &n), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_duration(SP_STR("99999999999999999999s"), &s, &n), SP_E_RANGE);
    assert_int_equal(sp_form_text_to_duration(SP_STR("-0.5s"), &s, &n), 0);
    assert_int_equal(n, -500000000);
    static const char *const bad[] = { "",    "s",   "-s", ".5s",  "1.s", "1.0000000000s",
                                       "+1s", "1 s", "1S", "--1s", "1s1s" };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++)
        if (sp_form_text_to_duration(sp_str_c(bad[i]), &s, &n) == 0)
            fail_msg("%s is taken", bad[i]);
}

static void times_know_the_calendar(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1969-12-31T23:59:59Z", -1 },
        { "2000-02-29T00:00:00Z", 951782400 },
        { "2024-12-31T23:59:59Z", 1735689599 },
        { "1900-03-01T00:00:00Z", -2203891200 },
        { "2024-01-01T00:00:00+05:30", 1704047400 },
        { "0001-01-01T00:00:00Z", -62135596800 },
        { "9999-12-31T23:59:59Z", 253402300799 },
    };
    static const char *const bad[] = {
        "1900-02-29T00:00:00Z",      "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",      "2024-00-01T00:00:00Z",
        "2024-01-32T00:00:00Z",      "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",      "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00",       "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00.Z",     "0000-01-01T00:00:00Z",
        "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+0530",
        "24-01-01T00:00:00Z",        "",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
    };
    int64_t s;
    int32_t n;
    for (size_t i = 0; i < SP_COUNTOF(good); i++) {
        if (sp_form_text_to_timestamp(sp_str_c(good[i].text), &s, &n))
            fail_msg("%s is refused", good[i].text);
        assert_true(s == good[i].seconds);
    }
    for (size_t i = 0; i < SP_COUNTOF(bad); i++)
        if (sp_form_text_to_timestamp(sp_str_c(bad[i]), &s, &n) == 0)
            fail_msg("%s is taken", bad[i]);
}

static void base64_has_one_spelling_of_each_byte(void **state)
{
    static const char *const bad[] = { "A",    "A===", "AB=",  "AB===", "====",
                                       "AA=A", "A A=", "AB==", "AAB=",  "AAAAA" };
    struct sp_arena a;
    sp_str bytes;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_text_to_bytes(&a, SP_STR("AP-_"), &bytes), 0);
    assert_true(sp_str_eq(bytes, SP_STR("\x00\xff\xbf")));
    assert_int_equal(sp_form_text_to_bytes(&a, SP_STR("/w"), &bytes), 0);
    assert_true(sp_str_eq(bytes, SP_STR("\xff")));
    assert_int_equal(sp_form_text_to_bytes(&a, SP_STR(""), &bytes), 0);
    assert_int_equal(bytes.len, 0);
    for (size_t i = 0; i < SP_COUNTOF(bad); i++)
        if (sp_form_text_to_bytes(&a, sp_str_c(bad[i]), &bytes) == 0)
            fail_msg("%s is taken", bad[i]);
    sp_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact_to_the_last_digit),
        cmocka_unit_test(reals_overflow_by_name),
        cmocka_unit_test(durations_have_bounds),
        cmocka_unit_test(times_know_the_calendar),
        cmocka_unit_test(base64_has_one_spelling_of_each_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
