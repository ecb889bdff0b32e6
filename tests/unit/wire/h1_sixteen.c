/* h1_sixteen: each question about sixteen bytes answers as the byte table does, for every byte at every
 * place, in runs of every length, without a look at the bytes around the run. */
#include "wire/h1/sixteen_impl.h"

#include "unit/base/help.h"

/* A good run of `len` bytes with `c` at `at`, in a block of exactly its size. */
static char *run_of(size_t len, size_t at, int c)
{
    char *run = malloc(len);
    memset(run, 'a', len);
    run[at] = (char)c;
    return run;
}

static void each_byte_at_each_place_is_judged_as_by_the_table(void **state)
{
    for (size_t at = 0; at < 16; at++)
        for (int c = 0; c < 256; c++) {
            char bytes[16];
            memset(bytes, 'a', sizeof bytes);
            bytes[at] = (char)c;
            sp_sixteen v = sp_sixteen_load(bytes);
            uint32_t bit = 1u << at;
            assert_int_equal(sp_sixteen_controls(v), sp_char_is((char)c, SP_CHAR_VALUE) ? 0 : bit);
            assert_int_equal(sp_sixteen_not_target(v), sp_char_is((char)c, SP_CHAR_TARGET) ? 0 : bit);
            assert_int_equal(sp_sixteen_not_host(v), sp_char_is((char)c, SP_CHAR_UNRESERVED) ? 0 : bit);
            assert_int_equal(sp_sixteen_dots(v), c == '.' ? bit : 0);
            /* A word is a token, not every token is a word. */
            if (sp_sixteen_not_word(v) == 0)
                assert_true(sp_char_is((char)c, SP_CHAR_TOKEN));
            else
                assert_int_equal(sp_sixteen_not_word(v), bit);
        }
}

static void short_runs_keep_their_places(void **state)
{
    for (size_t len = 4; len < 16; len++)
        for (size_t at = 0; at < len; at++) {
            char *run = run_of(len, at, '.');
            uint32_t found = sp_sixteen_places(sp_sixteen_dots(sp_sixteen_short(run, len)), len);
            assert_int_equal(found, 1u << at);
            free(run);
        }
}

static void runs_of_any_length_are_judged_and_copied(void **state)
{
    for (size_t len = 1; len <= 70; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c<256; c += len> 20 ? 7 : 1) {
                char *run = run_of(len, at, c), *to = malloc(len);
                sp_str s = sp_str_of(run, len);
                assert_int_equal(sp_sixteen_is_target(s), sp_char_is((char)c, SP_CHAR_TARGET));
                assert_int_equal(sp_sixteen_copy_value(to, s), sp_char_is((char)c, SP_CHAR_VALUE));
                assert_memory_equal(to, run, len);
                memset(to, 0, len);
                assert_int_equal(sp_sixteen_copy_name(to, s), sp_char_is((char)c, SP_CHAR_TOKEN));
                assert_memory_equal(to, run, len);
                free(run);
                free(to);
            }
    assert_true(sp_sixteen_is_target(SP_STR("")));
    assert_true(sp_sixteen_copy_value(NULL, SP_STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_at_each_place_is_judged_as_by_the_table),
        cmocka_unit_test(short_runs_keep_their_places),
        cmocka_unit_test(runs_of_any_length_are_judged_and_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
