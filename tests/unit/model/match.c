/* match: each kind, by a table; absence; folding; the regex that gives no answer. */
#include "model/header.h"

#include "base/arena.h"
#include "base/rng.h"
#include "model/regex.h"
#include "unit/base/help.h"

static const char absent[] = "(absent)"; /* stands for a value that is not there */

struct row {
    enum sp_match_kind kind;
    bool ignore_case;
    const char *text, *value;
    bool hit;
};

static sp_str value_of(const char *value)
{
    return value == absent ? SP_STR_NULL : sp_str_c(value);
}

static bool test(const struct sp_match *match, const char *value)
{
    bool hit = false;
    assert_int_equal(sp_match_test(match, value_of(value), &hit), 0);
    return hit;
}

static void strings_are_compared_as_the_kind_says(void **state)
{
    static const struct row rows[] = {
        { SP_MATCH_EXACT, false, "abc", "abc", true },
        { SP_MATCH_EXACT, false, "abc", "abcd", false },
        { SP_MATCH_EXACT, false, "abc", "ABC", false },
        { SP_MATCH_EXACT, true, "abc", "aBC", true },
        { SP_MATCH_EXACT, false, "", "", true },
        { SP_MATCH_EXACT, false, "", "a", false },
        { SP_MATCH_PREFIX, false, "ab", "abc", true },
        { SP_MATCH_PREFIX, false, "ab", "a", false },
        { SP_MATCH_PREFIX, true, "ab", "ABc", true },
        { SP_MATCH_PREFIX, false, "", "abc", true },
        { SP_MATCH_SUFFIX, false, "bc", "abc", true },
        { SP_MATCH_SUFFIX, false, "bc", "c", false },
        { SP_MATCH_SUFFIX, true, "BC", "abc", true },
        { SP_MATCH_SUFFIX, false, "ab", "abc", false },
        { SP_MATCH_CONTAINS, false, "b", "abc", true },
        { SP_MATCH_CONTAINS, false, "x", "abc", false },
        { SP_MATCH_CONTAINS, false, "", "", true },
        { SP_MATCH_CONTAINS, true, "", "", true },
        { SP_MATCH_CONTAINS, true, "BC", "abcd", true },
        { SP_MATCH_CONTAINS, true, "CD", "abcd", true },
        { SP_MATCH_CONTAINS, true, "abcde", "abcd", false },
        { SP_MATCH_CONTAINS, false, "abcde", "abcd", false },
        { SP_MATCH_EXACT, true, "\xc3\x84", "\xc3\xa4", false }, /* only ASCII folds */
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct sp_match match = { .kind = rows[i].kind,
                                  .ignore_case = rows[i].ignore_case,
                                  .text = sp_str_c(rows[i].text) };
        if (test(&match, rows[i].value) != rows[i].hit)
            fail_msg("row %zu: \"%s\" against \"%s\"", i, rows[i].value, rows[i].text);
        match.invert = true;
        if (test(&match, rows[i].value) == rows[i].hit)
            fail_msg("row %zu inverted", i);
    }
}

static void ranges_hold_their_start_and_not_their_end(void **state)
{
    static const struct {
        const char *value;
        bool hit;
    } rows[] = {
        { "-3", true }, { "-4", false }, { "9", true },   { "10", false }, { "0", true },
        { "", false },  { "3x", false }, { " 3", false }, { "+3", false }, { "99999999999999999999", false },
    };
    struct sp_match match = { .kind = SP_MATCH_RANGE, .range_start = -3, .range_end = 10 };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++)
        if (test(&match, rows[i].value) != rows[i].hit)
            fail_msg("\"%s\"", rows[i].value);
}

static void presence_asks_for_the_header_alone(void **state)
{
    struct sp_match match = { .kind = SP_MATCH_PRESENT, .want_present = true };
    assert_true(test(&match, ""));
    assert_false(test(&match, absent));
    match.invert = true;
    assert_false(test(&match, ""));
    assert_true(test(&match, absent));
    match.want_present = false;
    assert_true(test(&match, "x"));
    assert_false(test(&match, absent));
    match.invert = false;
    assert_false(test(&match, "x"));
    assert_true(test(&match, absent));
}

static void nothing_holds_for_an_absent_header_not_even_inverted(void **state)
{
    for (int kind = SP_MATCH_EXACT; kind <= SP_MATCH_RANGE; kind++) {
        struct sp_match match = { .kind = (enum sp_match_kind)kind, .text = SP_STR("") };
        if (kind == SP_MATCH_PRESENT)
            continue;
        assert_false(test(&match, absent));
        match.invert = true;
        assert_false(test(&match, absent));
    }
}

static void a_missing_header_can_count_as_empty(void **state)
{
    struct sp_match match = { .kind = SP_MATCH_EXACT, .missing_is_empty = true, .text = SP_STR("") };
    assert_true(test(&match, absent));
    match.text = SP_STR("x");
    assert_false(test(&match, absent));
    match.invert = true;
    assert_true(test(&match, absent));
    match = (struct sp_match){ .kind = SP_MATCH_PRESENT, .missing_is_empty = true, .want_present = true };
    assert_true(test(&match, absent));
}

static struct sp_regex *regex(struct sp_arena *arena, const char *pattern)
{
    struct sp_regex *made = NULL;
    const char *why = "";
    if (sp_regex_new(sp_str_c(pattern), arena, &made, &why))
        fail_msg("%s: %s", pattern, why);
    return made;
}

static void a_regex_must_match_the_whole_value(void **state)
{
    struct sp_arena arena;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    struct sp_match match = { .kind = SP_MATCH_REGEX, .regex = regex(&arena, "v[0-9]+") };
    assert_true(test(&match, "v12"));
    assert_false(test(&match, "v12x"));
    assert_false(test(&match, "xv12"));
    assert_false(test(&match, absent));
    match.invert = true;
    assert_true(test(&match, "v12x"));
    sp_regex_free(match.regex);
    sp_arena_deinit(&arena);
}

static void a_regex_without_an_answer_is_an_error_also_inverted(void **state)
{
    struct sp_arena arena;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    struct sp_match match = { .kind = SP_MATCH_REGEX, .regex = regex(&arena, "(a|aa)+[bc]") };
    for (int i = 0; i < 2; i++, match.invert = true) {
        bool hit = false;
        sp_str text = SP_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_int_equal(sp_match_test(&match, text, &hit), SP_E_LIMIT);
        assert_false(hit);
    }
    sp_regex_free(match.regex);
    sp_arena_deinit(&arena);
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Is `text` at `at` of `value`? Letter by letter. */
static bool stands_at(const char *value, size_t at, const char *text, bool ignore_case)
{
    for (size_t i = 0; text[i]; i++) {
        char a = value[at + i], b = text[i];
        if (!a || (ignore_case ? fold(a) != fold(b) : a != b))
            return false;
    }
    return true;
}

static bool slow(const struct sp_match *match, const char *value, const char *text)
{
    size_t v = strlen(value), t = strlen(text);
    switch (match->kind) {
    case SP_MATCH_EXACT: return v == t && stands_at(value, 0, text, match->ignore_case);
    case SP_MATCH_PREFIX: return stands_at(value, 0, text, match->ignore_case);
    case SP_MATCH_SUFFIX: return v >= t && stands_at(value, v - t, text, match->ignore_case);
    default: break;
    }
    for (size_t at = 0; at <= v; at++)
        if (stands_at(value, at, text, match->ignore_case))
            return true;
    return false;
}

static void one_seed(uint64_t seed)
{
    struct sp_rng rng;
    char value[12], text[6];
    sp_rng_init(&rng, seed);
    size_t v = sp_rng_below(&rng, sizeof(value)), t = sp_rng_below(&rng, sizeof(text));
    for (size_t i = 0; i < v; i++)
        value[i] = "abAB"[sp_rng_below(&rng, 4)];
    for (size_t i = 0; i < t; i++)
        text[i] = "abAB"[sp_rng_below(&rng, 4)];
    value[v] = text[t] = '\0';
    struct sp_match match = { .kind = (enum sp_match_kind)sp_rng_below(&rng, SP_MATCH_CONTAINS + 1),
                              .ignore_case = sp_rng_below(&rng, 2),
                              .invert = sp_rng_below(&rng, 2),
                              .text = sp_str_c(text) };
    check_seed(seed, test(&match, value) == (slow(&match, value, text) != match.invert));
}

static void strings_compare_as_a_slow_reader_does(void **state)
{
    each_seed(20000, one_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_compared_as_the_kind_says),
        cmocka_unit_test(ranges_hold_their_start_and_not_their_end),
        cmocka_unit_test(presence_asks_for_the_header_alone),
        cmocka_unit_test(nothing_holds_for_an_absent_header_not_even_inverted),
        cmocka_unit_test(a_missing_header_can_count_as_empty),
        cmocka_unit_test(a_regex_must_match_the_whole_value),
        cmocka_unit_test(a_regex_without_an_answer_is_an_error_also_inverted),
        cmocka_unit_test(strings_compare_as_a_slow_reader_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
