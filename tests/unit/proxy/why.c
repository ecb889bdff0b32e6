/* why: each reason has its row, and each row its words. */
#include "proxy/why.h"

#include <ctype.h>

#include "base/err.h"
#include "unit/base/help.h"

static void each_reason_has_code_words_and_advice(void **state)
{
    (void)state;
    for (int why = 0; why < SP_WHY_COUNT; why++) {
        const struct sp_why_row *row = sp_why_row((enum sp_why)why);
        assert_non_null(row->code);
        assert_true(strlen(row->flag) > 0);
        assert_true(strlen(row->detail) > 0);
        assert_true(strlen(row->text) > 0);
        assert_true(strlen(row->advice) > 0);
        for (const char *c = row->code; *c; c++) /* a token: it goes into a header and into labels */
            assert_true(isupper((unsigned char)*c) || *c == '_');
        for (const char *c = row->detail; *c; c++)
            assert_true(isgraph((unsigned char)*c));
    }
}

static void no_two_reasons_share_a_code(void **state)
{
    (void)state;
    for (int a = 0; a < SP_WHY_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(sp_why_row((enum sp_why)a)->code, sp_why_row((enum sp_why)b)->code);
}

/* What is said to a caller is an answer that ends a call; HTTP has no body-less or interim one among them. */
static void a_status_is_one_that_an_answer_can_have(void **state)
{
    (void)state;
    for (int why = 0; why < SP_WHY_COUNT; why++) {
        unsigned status = sp_why_row((enum sp_why)why)->status;
        assert_true(status == 0 || (status >= 200 && status <= 599));
        assert_true(status != 204 && status != 304);
        if (why > SP_WHY_REDIRECT && status)
            assert_true(status >= 400);
    }
}

static void what_ends_a_callers_connection_says_nothing(void **state)
{
    (void)state;
    static const enum sp_why silent[] = { SP_WHY_NONE,     SP_WHY_CLIENT_GONE,  SP_WHY_LISTENER_FULL,
                                          SP_WHY_NO_CHAIN, SP_WHY_NOT_DETECTED, SP_WHY_PROXY_PROTOCOL,
                                          SP_WHY_IDLE,     SP_WHY_MAX_AGE };
    for (unsigned i = 0; i < SP_COUNTOF(silent); i++)
        assert_int_equal(sp_why_row(silent[i])->status, 0);
}

static void beyond_the_last(void)
{
    sp_why_row(SP_WHY_COUNT);
}

static void a_reason_that_there_is_not_is_wrong_code(void **state)
{
    (void)state;
    check_dies(beyond_the_last, "why < SP_WHY_COUNT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_has_code_words_and_advice),
        cmocka_unit_test(no_two_reasons_share_a_code),
        cmocka_unit_test(a_status_is_one_that_an_answer_can_have),
        cmocka_unit_test(what_ends_a_callers_connection_says_nothing),
        cmocka_unit_test(a_reason_that_there_is_not_is_wrong_code),
    };
    return cmocka_run_group_tests_name("proxy why", tests, NULL, NULL);
}
