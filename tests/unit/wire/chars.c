/* chars: the table of byte classes, computed again from the words of the RFCs. */
#include "wire/chars_impl.h"

#include "unit/base/help.h"

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool among(int c, const char *set)
{
    return c && strchr(set, c) != NULL;
}

static void every_byte_is_in_the_classes_that_the_rfcs_say(void **state)
{
    for (int c = 0; c < 256; c++) {
        bool vchar = c > 0x20 && c < 0x7f;
        char byte = (char)c;
        assert_int_equal(sp_char_is(byte, SP_CHAR_TOKEN),
                         is_letter(c) || is_digit(c) || among(c, "!#$%&'*+-.^_`|~"));
        assert_int_equal(sp_char_is(byte, SP_CHAR_TARGET), vchar && c != '#');
        assert_int_equal(sp_char_is(byte, SP_CHAR_UNRESERVED),
                         is_letter(c) || is_digit(c) || among(c, "-._~"));
        assert_int_equal(sp_char_is(byte, SP_CHAR_VALUE), vchar || c == ' ' || c == '\t' || c >= 0x80);
        assert_int_equal(sp_char_is(byte, SP_CHAR_HEX), is_digit(c) || among(c, "abcdefABCDEF"));
        assert_int_equal(sp_char_is(byte, SP_CHAR_DIGIT), is_digit(c));
    }
}

static void hexadecimal_digits_have_their_value_in_both_cases(void **state)
{
    for (unsigned v = 0; v < 16; v++) {
        assert_int_equal(sp_char_hex("0123456789abcdef"[v]), v);
        assert_int_equal(sp_char_hex("0123456789ABCDEF"[v]), v);
    }
}

static void a_run_ends_at_the_first_byte_of_another_class(void **state)
{
    assert_int_equal(sp_char_run(SP_STR("abc:d"), SP_CHAR_TOKEN), 3);
    assert_int_equal(sp_char_run(SP_STR(":"), SP_CHAR_TOKEN), 0);
    assert_int_equal(sp_char_run(SP_STR(""), SP_CHAR_TOKEN), 0);
    assert_true(sp_char_all(SP_STR("0123"), SP_CHAR_DIGIT));
    assert_false(sp_char_all(SP_STR("0123a"), SP_CHAR_DIGIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_in_the_classes_that_the_rfcs_say),
        cmocka_unit_test(hexadecimal_digits_have_their_value_in_both_cases),
        cmocka_unit_test(a_run_ends_at_the_first_byte_of_another_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
