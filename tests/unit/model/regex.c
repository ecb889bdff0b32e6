/* regex: RE2's grammar and meaning, the limits, threads, every failed allocation. */
#include "model/regex.h"

#include <pthread.h>

#include "base/arena.h"
#include "base/mem.h"
#include "unit/base/help.h"

struct case_row {
    const char *pattern, *text;
    bool hit;
};

static sp_err match(const char *pattern, sp_str text, bool *ret_hit)
{
    struct sp_arena arena;
    struct sp_regex *regex;
    const char *why;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    if (sp_regex_new(sp_str_c(pattern), &arena, &regex, &why))
        fail_msg("%s: %s", pattern, why);
    sp_err err = sp_regex_match(regex, text, ret_hit);
    sp_regex_free(regex);
    sp_arena_deinit(&arena);
    return err;
}

static void check(const struct case_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool hit = false;
        assert_int_equal(match(rows[i].pattern, sp_str_c(rows[i].text), &hit), 0);
        if (hit != rows[i].hit)
            fail_msg("\"%s\" against \"%s\" should %smatch", rows[i].text, rows[i].pattern,
                     rows[i].hit ? "" : "not ");
    }
}

static void the_whole_text_must_match(void **state)
{
    static const struct case_row rows[] = {
        { "abc", "abc", true },
        { "abc", "abcd", false },
        { "abc", "xabc", false },
        { "a|ab", "ab", true },
        { "(a|ab)(c|bcd)", "abcd", true },
        { "", "", true },
        { "", "a", false },
        { "/api/.*", "/api/", true },
        { "/api/.*", "/ap", false },
        { "a$", "a\n", false },
        { "^a$", "a", true },
        { "a*?", "aaa", true },
        { "(?U)a+", "aaa", true },
        { "x|", "", true },
        { "()", "", true },
    };
    check(rows, SP_COUNTOF(rows));
}

/* Each of these means something else, or something more, when PCRE2 reads it by itself. */
static void what_is_read_means_what_it_means_to_re2(void **state)
{
    static const struct case_row rows[] = {
        { "\\s", "\v", false },
        { "[\\s]", "\v", false },
        { "\\S", "\v", true },
        { "[\\S]", "\xc3\xa9", true },
        { "[^\\S]", " ", true },
        { "\\v", "\v", true },
        { "\\v", "\n", false },
        { "\\D", "\xc3\xa9", true },
        { "[\\D]", "\xc3\xa9", true },
        { "\\W", "\xc3\xa9", true },
        { "[\\W]", "_", false },
        { "[^\\W]", "_", true },
        { "\\d", "\xd9\xa1", false },
        { "\\w", "\xc3\xa9", false },
        { "a{,2}", "a{,2}", true },
        { "a{,2}", "aa", false },
        { "{", "{", true },
        { "a{x}", "a{x}", true },
        { "a{2", "a{2", true },
        { "[[=a=]]", "=]", true },
        { "[]a]+", "]a", true },
        { "[^]a]", "]", false },
        { "[a-]+", "a-", true },
        { "[.-/]", "-", false },
        { "\\x{1F600}", "\xf0\x9f\x98\x80", true },
        { "\\101", "A", true },
        { "\\012", "\n", true },
        { "\\Qa.*\\E", "a.*", true },
        { "\\Qa.b", "a.b", true },
        { "\\_", "_", true },
        { "(?i)k", "\xe2\x84\xaa", true },
        { ".", "\xc3\xa9", true },
        { ".", "\n", false },
        { "(?s).", "\n", true },
        { ".", "\xff", false },
        { "a.b",
          "a\xc3"
          "b",
          false },
        { "(?m)a\n^b", "a\nb", true },
        { "\\pL+", "a\xc3\xa9", true },
        { "\\p{^Greek}", "\xce\xb1", false },
        { "[[:^alpha:]]", "1", true },
        { "[[:word:]]+", "a_1", true },
        { "(?i:A)b", "ab", true },
        { "(?i:A)b", "aB", false },
        { "(?i)a(?-i)b", "AB", false },
        { "(?P<x>a)(?<x>b)", "ab", true },
        { "a#b c", "a#b c", true },
        { "a\\ b", "a b", true },
        { "\\Aab\\z", "ab", true },
    };
    check(rows, SP_COUNTOF(rows));
}

static void what_re2_does_not_take_is_refused_in_words(void **state)
{
    static const struct {
        const char *pattern, *words;
        sp_err err;
    } rows[] = {
        { "(a)\\1", "back references", SP_E_UNSUPPORTED },
        { "\\g1", "back references", SP_E_UNSUPPORTED },
        { "\\k<n>", "back references", SP_E_UNSUPPORTED },
        { "(?P=n)", "back references", SP_E_UNSUPPORTED },
        { "\\8", "back references", SP_E_UNSUPPORTED },
        { "a(?=b)", "look-ahead", SP_E_UNSUPPORTED },
        { "a(?!b)", "look-ahead", SP_E_UNSUPPORTED },
        { "(?<=a)b", "look-behind", SP_E_UNSUPPORTED },
        { "(?<!a)b", "look-behind", SP_E_UNSUPPORTED },
        { "(?>a)", "atomic", SP_E_UNSUPPORTED },
        { "a++", "possessive", SP_E_UNSUPPORTED },
        { "a*+", "possessive", SP_E_UNSUPPORTED },
        { "a{2}+", "possessive", SP_E_UNSUPPORTED },
        { "a**", "repetition", SP_E_UNSUPPORTED },
        { "a{2}{3}", "repetition", SP_E_UNSUPPORTED },
        { "(?R)", "recursion", SP_E_UNSUPPORTED },
        { "(?1)", "recursion", SP_E_UNSUPPORTED },
        { "(?&n)", "recursion", SP_E_UNSUPPORTED },
        { "(?P>n)", "recursion", SP_E_UNSUPPORTED },
        { "(?(1)a)", "conditions", SP_E_UNSUPPORTED },
        { "(?C1)", "call-outs", SP_E_UNSUPPORTED },
        { "(?#x)", "comments", SP_E_UNSUPPORTED },
        { "(*ACCEPT)", "verbs", SP_E_UNSUPPORTED },
        { "(*UTF)a", "verbs", SP_E_UNSUPPORTED },
        { "(?|a)", "group", SP_E_UNSUPPORTED },
        { "(?x)a", "group", SP_E_UNSUPPORTED },
        { "\\C", "\\C", SP_E_UNSUPPORTED },
        { "\\K", "escape", SP_E_UNSUPPORTED },
        { "\\R", "escape", SP_E_UNSUPPORTED },
        { "\\h", "escape", SP_E_UNSUPPORTED },
        { "\\Z", "\\z", SP_E_UNSUPPORTED },
        { "[\\b]", "escape", SP_E_UNSUPPORTED },
        { "[a", "] is missing", SP_E_INVALID },
        { "(a", ") is missing", SP_E_INVALID },
        { "a)", "closes nothing", SP_E_INVALID },
        { "*a", "repeated", SP_E_INVALID },
        { "(*a", "verbs", SP_E_UNSUPPORTED },
        { "a|*", "repeated", SP_E_INVALID },
        { "a{1001}", "1000", SP_E_INVALID },
        { "a{3,2}", "1000", SP_E_INVALID },
        { "[z-a]", "range", SP_E_INVALID },
        { "[a-\\d]", "range", SP_E_INVALID },
        { "[[:foo:]]", "class", SP_E_INVALID },
        { "\\x{110000}", "hex", SP_E_INVALID },
        { "\\x4", "hex", SP_E_INVALID },
        { "\\p{", "name", SP_E_INVALID },
        { "\\p{Nowhere}", "", SP_E_INVALID },
        { "a\\", "backslash", SP_E_INVALID },
        { "\xff", "UTF-8", SP_E_INVALID },
        { "(?P<>a)", "name", SP_E_INVALID },
        { "(a{1000}){2}", "1000", SP_E_INVALID },
        { "((a{40}b|c)*{1}){26}", "", SP_E_UNSUPPORTED },
        { "((a{40}b|c)*d){26}", "1000", SP_E_INVALID },
        { "(?i:a{2}(b{501}){2})", "1000", SP_E_INVALID },
        { "(?:[\\S]\\W){1000}[\\D]", "large", SP_E_INVALID },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct sp_arena arena;
        struct sp_regex *regex = NULL;
        const char *why = "";
        sp_arena_init(&arena, NULL, 0, 1024, 0);
        sp_err err = sp_regex_new(sp_str_c(rows[i].pattern), &arena, &regex, &why);
        if (err != rows[i].err || !strstr(why, rows[i].words))
            fail_msg("%s: %d, \"%s\"", rows[i].pattern, err, why);
        assert_null(regex);
        sp_arena_deinit(&arena);
    }
}

static void a_zero_byte_and_an_endless_pattern_are_refused(void **state)
{
    struct sp_arena arena;
    struct sp_regex *regex = NULL;
    const char *why;
    static char big[8193];
    memset(big, 'a', sizeof(big));
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    assert_int_equal(sp_regex_new(sp_str_of("a\0b", 3), &arena, &regex, &why), SP_E_INVALID);
    assert_int_equal(sp_regex_new(sp_str_of(big, sizeof(big)), &arena, &regex, &why), SP_E_LIMIT);
    assert_int_equal(sp_regex_new(sp_str_of(big, sizeof(big) - 1), &arena, &regex, &why), 0);
    sp_regex_free(regex);
    sp_arena_deinit(&arena);
}

static void work_without_end_has_no_answer(void **state)
{
    static const char *const patterns[] = { "(a|a)*[bc]",     "(a+)+[bc]", "(a*)*[bc]",
                                            "(a|aa)+[bc]",    "(.*)*[bc]", "(a?){30}a{30}[bc]",
                                            ".*a.*a.*a.*[bc]" };
    char text[64];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < SP_COUNTOF(patterns); i++) {
        bool hit = false;
        if (match(patterns[i], sp_str_of(text, sizeof(text)), &hit) != SP_E_LIMIT || hit)
            fail_msg("%s gave an answer", patterns[i]);
    }
}

static void long_texts_are_no_trouble_for_linear_patterns(void **state)
{
    static char text[60000];
    static const char *const patterns[] = { ".*", "[^/]*", "(?:[a-z]+/?)*", ".*b|a+" };
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < SP_COUNTOF(patterns); i++) {
        bool hit = false;
        assert_int_equal(match(patterns[i], sp_str_of(text, sizeof(text)), &hit), 0);
        assert_true(hit);
    }
}

static void an_absent_text_is_an_empty_one(void **state)
{
    bool hit = false;
    assert_int_equal(match("a*", SP_STR_NULL, &hit), 0);
    assert_true(hit);
}

static void every_failed_allocation_leaves_nothing_behind(void **state)
{
    uint64_t before = sp_mem_live_blocks(), n = 1;
    sp_err err = SP_E_NOMEM;
    for (; err; n++) {
        struct sp_arena arena;
        struct sp_regex *regex = NULL;
        const char *why = NULL;
        bool hit = false;
        sp_arena_init(&arena, NULL, 0, 1024, 0);
        (void)sp_mem_fail_at(n);
        err = sp_regex_new(SP_STR("/(a|b)+/[0-9]{1,3}"), &arena, &regex, &why);
        (void)sp_mem_fail_at(0);
        if (err) {
            assert_int_equal(err, SP_E_NOMEM);
            assert_non_null(why);
        } else {
            assert_int_equal(sp_regex_match(regex, SP_STR("/ab/12"), &hit), 0);
            assert_true(hit);
            sp_regex_free(regex);
        }
        sp_arena_deinit(&arena);
        assert_int_equal(sp_mem_live_blocks(), before);
        assert_true(n < 1000);
    }
    assert_true(n > 4);
}

static void a_match_takes_nothing_from_the_heap(void **state)
{
    struct sp_arena arena;
    struct sp_regex *regex = NULL;
    const char *why = NULL;
    bool hit = false;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    assert_int_equal(sp_regex_new(SP_STR("/(a|b)+/[0-9]{1,3}"), &arena, &regex, &why), 0);
    (void)sp_mem_fail_at(0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sp_regex_match(regex, SP_STR("/ab/12"), &hit), 0);
    assert_int_equal(sp_mem_fail_at(0), 0);
    sp_regex_free(regex);
    sp_arena_deinit(&arena);
}

static void *match_many(void *opaque)
{
    size_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        bool hit = false;
        wrong += sp_regex_match(opaque, i & 1 ? SP_STR("/ab/12") : SP_STR("/ab/x"), &hit) != 0;
        wrong += hit != (i & 1);
    }
    return (void *)(uintptr_t)wrong;
}

static void threads_share_one_regex(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct sp_arena arena;
    struct sp_regex *regex = NULL;
    const char *why = NULL;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    assert_int_equal(sp_regex_new(SP_STR("/(a|b)+/[0-9]{1,3}"), &arena, &regex, &why), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_many, regex), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = regex;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    sp_regex_free(regex);
    sp_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_text_must_match),
        cmocka_unit_test(what_is_read_means_what_it_means_to_re2),
        cmocka_unit_test(what_re2_does_not_take_is_refused_in_words),
        cmocka_unit_test(a_zero_byte_and_an_endless_pattern_are_refused),
        cmocka_unit_test(work_without_end_has_no_answer),
        cmocka_unit_test(long_texts_are_no_trouble_for_linear_patterns),
        cmocka_unit_test(an_absent_text_is_an_empty_one),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
        cmocka_unit_test(a_match_takes_nothing_from_the_heap),
        cmocka_unit_test(threads_share_one_regex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
