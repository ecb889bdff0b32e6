/* str: every function at its edges; the folding and the UTF-8 check against a naive model. */
#include "base/str.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void equal_is_by_length_and_bytes(void **state)
{
    assert_true(sp_str_eq(SP_STR("ab"), sp_str_of("abc", 2)));
    assert_false(sp_str_eq(SP_STR("ab"), SP_STR("abc")));
    assert_false(sp_str_eq(SP_STR("ab"), SP_STR("aB")));
    assert_true(sp_str_eq(SP_STR("a\0b"), sp_str_of("a\0b", 3)));
    assert_false(sp_str_eq(SP_STR("a\0b"), SP_STR("a\0c")));
    assert_true(sp_str_eq(SP_STR_NULL, SP_STR("")));
    assert_int_equal(sp_str_c(NULL).len, 0);
}

static void order_is_bytewise_then_shorter_first(void **state)
{
    assert_int_equal(sp_str_cmp(SP_STR("a"), SP_STR("b")), -1);
    assert_int_equal(sp_str_cmp(SP_STR("b"), SP_STR("a")), 1);
    assert_int_equal(sp_str_cmp(SP_STR("a"), SP_STR("aa")), -1);
    assert_int_equal(sp_str_cmp(SP_STR("aa"), SP_STR("a")), 1);
    assert_int_equal(sp_str_cmp(SP_STR("\x7f"), SP_STR("\x80")), -1);
    assert_int_equal(sp_str_cmp(SP_STR_NULL, SP_STR("")), 0);
    assert_int_equal(sp_str_cmp(SP_STR_NULL, SP_STR("x")), -1);
}

static unsigned char naive_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static void folding_touches_ascii_letters_only_at_every_place(void **state)
{
    char a[19], b[19];

    for (int x = 0; x < 256; x++)
        for (int y = 0; y < 256; y++) {
            bool same = naive_lower((unsigned char)x) == naive_lower((unsigned char)y);
            size_t at = (size_t)(x * 7 + y) % sizeof(a);
            memset(a, 'k', sizeof(a));
            memset(b, 'K', sizeof(b));
            a[at] = (char)x;
            b[at] = (char)y;
            assert_int_equal(sp_str_eq_nocase(sp_str_of(a, 19), sp_str_of(b, 19)), same);
        }
    assert_false(sp_str_eq_nocase(SP_STR("abc"), SP_STR("abcd")));
    assert_true(sp_str_eq_nocase(SP_STR_NULL, SP_STR("")));
}

static void starts_and_ends_hold_at_the_edges(void **state)
{
    assert_true(sp_str_starts(SP_STR("/api/v1"), SP_STR("/api")));
    assert_true(sp_str_starts(SP_STR("/api"), SP_STR("/api")));
    assert_true(sp_str_starts(SP_STR("/api"), SP_STR("")));
    assert_false(sp_str_starts(SP_STR("/ap"), SP_STR("/api")));
    assert_false(sp_str_starts(SP_STR("/Api"), SP_STR("/api")));
    assert_true(sp_str_starts_nocase(SP_STR("Bearer x"), SP_STR("bearer ")));
    assert_false(sp_str_starts_nocase(SP_STR("Bear"), SP_STR("bearer ")));
    assert_true(sp_str_ends(SP_STR("a.example"), SP_STR(".example")));
    assert_true(sp_str_ends(SP_STR("x"), SP_STR("")));
    assert_true(sp_str_ends(SP_STR_NULL, SP_STR_NULL));
    assert_false(sp_str_ends(SP_STR("example"), SP_STR(".example")));
}

static void find_says_where_or_the_length(void **state)
{
    sp_str s = SP_STR("a:b:c");
    assert_int_equal(sp_str_find(s, ':'), 1);
    assert_int_equal(sp_str_find_last(s, ':'), 3);
    assert_int_equal(sp_str_find(s, 'x'), 5);
    assert_int_equal(sp_str_find_last(s, 'x'), 5);
    assert_int_equal(sp_str_find(SP_STR_NULL, 'x'), 0);
    assert_int_equal(sp_str_find_last(SP_STR_NULL, 'x'), 0);
    assert_int_equal(sp_str_find_str(s, SP_STR("b:c")), 2);
    assert_int_equal(sp_str_find_str(s, SP_STR("b:d")), 5);
    assert_int_equal(sp_str_find_str(s, SP_STR("")), 0);
    assert_int_equal(sp_str_find_str(SP_STR_NULL, SP_STR("a")), 0);
}

static void parts_never_leave_the_string(void **state)
{
    check_str(sp_str_from(SP_STR("abc"), 1), "bc");
    check_str(sp_str_from(SP_STR("abc"), 3), "");
    check_str(sp_str_from(SP_STR("abc"), 99), "");
    check_str(sp_str_upto(SP_STR("abc"), 2), "ab");
    check_str(sp_str_upto(SP_STR("abc"), 99), "abc");
    assert_null(sp_str_from(SP_STR_NULL, 5).ptr);
    check_str(sp_str_trim(SP_STR(" \t a b\t ")), "a b");
    check_str(sp_str_trim(SP_STR(" \t ")), "");
    check_str(sp_str_trim(SP_STR("\ra\n")), "\ra\n");
}

static void cut_walks_all_parts_and_ends_with_null(void **state)
{
    sp_str rest = SP_STR("a,b,");
    check_str(sp_str_cut(&rest, ','), "a");
    check_str(sp_str_cut(&rest, ','), "b");
    assert_non_null(rest.ptr);
    check_str(sp_str_cut(&rest, ','), "");
    assert_null(rest.ptr);

    rest = SP_STR("");
    check_str(sp_str_cut(&rest, ','), "");
    assert_null(rest.ptr);
    check_str(sp_str_cut(&rest, ','), "");
}

static void check_u64(const char *text, sp_err want_err, uint64_t want)
{
    uint64_t value = 77;
    assert_int_equal(sp_str_to_u64(sp_str_c(text), &value), want_err);
    assert_int_equal(value, want_err ? 77 : want);
}

static void whole_strings_are_numbers_or_none(void **state)
{
    check_u64("0", 0, 0);
    check_u64("007", 0, 7);
    check_u64("18446744073709551615", 0, UINT64_MAX);
    check_u64("000018446744073709551615", 0, UINT64_MAX);
    check_u64("18446744073709551616", SP_E_RANGE, 0);
    check_u64("99999999999999999999999", SP_E_RANGE, 0);
    check_u64("99999999999999999999999x", SP_E_INVALID, 0);
    check_u64("", SP_E_INVALID, 0);
    check_u64("+1", SP_E_INVALID, 0);
    check_u64("-1", SP_E_INVALID, 0);
    check_u64(" 1", SP_E_INVALID, 0);
    check_u64("1 ", SP_E_INVALID, 0);
    check_u64("0x10", SP_E_INVALID, 0);
    check_u64("/", SP_E_INVALID, 0);
    check_u64(":", SP_E_INVALID, 0);
}

static void check_i64(const char *text, sp_err want_err, int64_t want)
{
    int64_t value = 77;
    assert_int_equal(sp_str_to_i64(sp_str_c(text), &value), want_err);
    assert_true(value == (want_err ? 77 : want));
}

static void signed_numbers_reach_both_ends(void **state)
{
    check_i64("9223372036854775807", 0, INT64_MAX);
    check_i64("-9223372036854775808", 0, INT64_MIN);
    check_i64("9223372036854775808", SP_E_RANGE, 0);
    check_i64("-9223372036854775809", SP_E_RANGE, 0);
    check_i64("-0", 0, 0);
    check_i64("-", SP_E_INVALID, 0);
    check_i64("--1", SP_E_INVALID, 0);
    check_i64("+1", SP_E_INVALID, 0);
    check_i64("", SP_E_INVALID, 0);
}

static void check_hex(const char *text, sp_err want_err, uint64_t want)
{
    uint64_t value = 77;
    assert_int_equal(sp_str_hex_to_u64(sp_str_c(text), &value), want_err);
    assert_int_equal(value, want_err ? 77 : want);
}

static void hex_takes_both_cases_and_no_prefix(void **state)
{
    check_hex("0", 0, 0);
    check_hex("aBcDeF", 0, 0xabcdef);
    check_hex("ffffffffffffffff", 0, UINT64_MAX);
    check_hex("0000ffffffffffffffff", 0, UINT64_MAX);
    check_hex("10000000000000000", SP_E_RANGE, 0);
    check_hex("10000000000000000g", SP_E_INVALID, 0);
    check_hex("0x1", SP_E_INVALID, 0);
    check_hex("", SP_E_INVALID, 0);
    check_hex("g", SP_E_INVALID, 0);
    check_hex("@", SP_E_INVALID, 0);
    check_hex("`", SP_E_INVALID, 0);
}

static void copies_live_in_the_arena(void **state)
{
    struct sp_arena a;
    char source[] = "MiXed \xC3\x84";

    sp_arena_init(&a, NULL, 0, 256, 0);
    sp_str copy = sp_str_dup(&a, sp_str_c(source));
    char *z = sp_str_dup_z(&a, sp_str_of(source, 3));
    sp_str low = sp_str_dup_lower(&a, sp_str_c(source));
    sp_str empty = sp_str_dup(&a, SP_STR_NULL);
    memset(source, 'x', sizeof(source) - 1);
    check_str(copy, "MiXed \xC3\x84");
    assert_string_equal(z, "MiX");
    check_str(low, "mixed \xC3\x84");
    assert_non_null(empty.ptr);
    assert_int_equal(empty.len, 0);
    assert_non_null(sp_str_dup_z(&a, SP_STR_NULL));
    sp_arena_deinit(&a);
}

static void copies_into_a_full_arena_are_null(void **state)
{
    struct sp_arena a;
    sp_arena_init(&a, NULL, 0, 256, 0);
    for (int which = 0; which < 3; which++) {
        (void)sp_mem_fail_at(1);
        if (which == 0)
            assert_null(sp_str_dup(&a, SP_STR("abc")).ptr);
        if (which == 1)
            assert_null(sp_str_dup_z(&a, SP_STR("abc")));
        if (which == 2)
            assert_null(sp_str_dup_lower(&a, SP_STR("abc")).ptr);
        assert_int_equal(sp_mem_fail_at(0), 1);
    }
    assert_null(sp_str_dup_z(&a, sp_str_of("", SIZE_MAX)));
    sp_arena_deinit(&a);
}

static void hashes_are_xxh3(void **state)
{
    /* From the reference implementation's own check program. */
    assert_int_equal(sp_str_hash(SP_STR_NULL), 0x2D06800538D394C2u);
    assert_int_equal(sp_str_hash_seed(SP_STR_NULL, 0), 0x2D06800538D394C2u);
    assert_true(sp_str_hash(SP_STR("a")) != sp_str_hash(SP_STR("b")));
    assert_true(sp_str_hash_seed(SP_STR("a"), 1) != sp_str_hash_seed(SP_STR("a"), 2));
    assert_int_equal(sp_str_hash(SP_STR("a")), sp_str_hash_seed(SP_STR("a"), 0));
}

/* The naive model: decode by the definition, then forbid what RFC 3629 forbids. */
static size_t naive_utf8(const unsigned char *p, size_t len)
{
    size_t need = p[0] < 0x80 ? 1 : (p[0] & 0xE0) == 0xC0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : 4;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t code = need == 1 ? p[0] : p[0] & (0xFFu >> (need + 1));

    if ((p[0] >= 0x80 && p[0] < 0xC0) || p[0] >= 0xF8 || len < need)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    if (code < least[need] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    return need;
}

static void utf8_agrees_with_the_definition_for_all_starts(void **state)
{
    static const unsigned char tails[] = { 0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF };
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t t = 0; t < SP_COUNTOF(tails); t++)
                for (size_t u = 0; u < SP_COUNTOF(tails); u++)
                    for (size_t len = 1; len <= 4; len++) {
                        unsigned char s[4] = { (unsigned char)first, (unsigned char)second, tails[t],
                                               tails[u] };
                        if (sp_str_utf8_at(sp_str_of(s, len)) != naive_utf8(s, len))
                            fail_msg("%02x %02x %02x %02x, length %zu", s[0], s[1], s[2], s[3], len);
                    }
    assert_int_equal(sp_str_utf8_at(SP_STR_NULL), 0);
}

static void run_utf8(uint64_t seed)
{
    struct sp_rng rng;
    unsigned char text[64];

    sp_rng_init(&rng, seed);
    size_t len = sp_rng_below(&rng, sizeof(text) + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (unsigned char)sp_rng_below(&rng, 128);
    for (int times = 0; len && times < 2; times++) {
        size_t at = sp_rng_below(&rng, len);
        const char *piece = sp_rng_chance(&rng, 600) ? "\xE4\xB8\xAD" : "\xC3\xA4";
        memcpy(text + at, piece, SP_MIN(strlen(piece), len - at));
    }
    bool want = true;
    for (size_t at = 0; want && at < len;) {
        size_t step = naive_utf8(text + at, len - at);
        want = step > 0;
        at += step;
    }
    check_seed(seed, sp_str_is_utf8(sp_str_of(text, len)) == want);
}

static void whole_texts_agree_with_the_definition(void **state)
{
    each_seed(3000, run_utf8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_is_by_length_and_bytes),
        cmocka_unit_test(order_is_bytewise_then_shorter_first),
        cmocka_unit_test(folding_touches_ascii_letters_only_at_every_place),
        cmocka_unit_test(starts_and_ends_hold_at_the_edges),
        cmocka_unit_test(find_says_where_or_the_length),
        cmocka_unit_test(parts_never_leave_the_string),
        cmocka_unit_test(cut_walks_all_parts_and_ends_with_null),
        cmocka_unit_test(whole_strings_are_numbers_or_none),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(hex_takes_both_cases_and_no_prefix),
        cmocka_unit_test(copies_live_in_the_arena),
        cmocka_unit_test(copies_into_a_full_arena_are_null),
        cmocka_unit_test(hashes_are_xxh3),
        cmocka_unit_test(utf8_agrees_with_the_definition_for_all_starts),
        cmocka_unit_test(whole_texts_agree_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
