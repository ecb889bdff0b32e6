/* buf: every way of adding, limits, fixed storage, failure that is remembered. */
#include "base/buf.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void numbers_are_written_as_printf_would(void **state)
{
    struct sp_buf b;

    sp_buf_init(&b, 0);
    sp_buf_add_u64(&b, 0);
    sp_buf_add_char(&b, ' ');
    sp_buf_add_u64(&b, UINT64_MAX);
    sp_buf_add_c(&b, " ");
    sp_buf_add_i64(&b, INT64_MIN);
    sp_buf_add_str(&b, SP_STR(" "));
    sp_buf_add_i64(&b, -1);
    sp_buf_add(&b, " ", 1);
    sp_buf_add_i64(&b, INT64_MAX);
    check_str(sp_buf_str(&b), "0 18446744073709551615 -9223372036854775808 -1 9223372036854775807");
    sp_buf_reset(&b);
    sp_buf_add_hex(&b, 0, 1);
    sp_buf_add_char(&b, ' ');
    sp_buf_add_hex(&b, 0xabc, 8);
    sp_buf_add_char(&b, ' ');
    sp_buf_add_hex(&b, UINT64_MAX, 2);
    sp_buf_add_char(&b, ' ');
    sp_buf_add_hex(&b, 1, 16);
    check_str(sp_buf_str(&b), "0 00000abc ffffffffffffffff 0000000000000001");
    sp_buf_deinit(&b);
}

static void an_empty_buf_is_an_empty_string(void **state)
{
    struct sp_buf b;

    sp_buf_init(&b, 0);
    assert_non_null(sp_buf_str(&b).ptr);
    assert_int_equal(sp_buf_str(&b).len, 0);
    sp_buf_add_str(&b, SP_STR_NULL);
    assert_false(b.failed);
    assert_int_equal(b.len, 0);
    sp_buf_deinit(&b);
}

static void it_grows_as_far_as_the_limit_and_not_beyond(void **state)
{
    for (size_t limit = 1; limit < 700; limit += 13) {
        struct sp_buf b;
        sp_buf_init(&b, limit);
        for (size_t i = 0; i < limit; i++)
            sp_buf_add_char(&b, 'x');
        assert_false(b.failed);
        assert_int_equal(b.len, limit);
        sp_buf_add_char(&b, 'y');
        assert_true(b.failed);
        assert_int_equal(b.len, limit);
        sp_buf_reset(&b);
        sp_buf_printf(&b, "%*d", (int)limit, 1);
        assert_false(b.failed);
        assert_int_equal(b.len, limit);
        sp_buf_printf(&b, "%d", 1);
        assert_true(b.failed);
        sp_buf_deinit(&b);
    }
}

static void fixed_storage_never_overflows(void **state)
{
    char storage[40];

    for (size_t bytes = 1; bytes < 32; bytes++)
        for (int len = 0; len < 40; len++) {
            struct sp_buf b;
            memset(storage, '#', sizeof(storage));
            sp_buf_init_fixed(&b, storage, bytes);
            sp_buf_printf(&b, "%.*s", len, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst");
            assert_int_equal(b.failed, (size_t)len > bytes - 1);
            assert_int_equal(b.len, b.failed ? 0 : len);
            assert_int_equal(storage[bytes], '#');
            sp_buf_deinit(&b);
        }
}

static void once_failed_it_swallows_the_rest(void **state)
{
    struct sp_buf b;
    char storage[8];

    sp_buf_init_fixed(&b, storage, sizeof(storage));
    sp_buf_add_c(&b, "abc");
    sp_buf_add_c(&b, "too long for it");
    sp_buf_add_c(&b, "x");
    sp_buf_add_u64(&b, 1);
    sp_buf_printf(&b, "%d", 1);
    assert_null(sp_buf_room(&b, 1));
    assert_true(b.failed);
    check_str(sp_buf_str(&b), "abc");
    sp_buf_reset(&b);
    sp_buf_add_c(&b, "seven77");
    assert_false(b.failed);
    sp_buf_deinit(&b);
}

static void a_number_goes_in_whole_or_not_at_all(void **state)
{
    for (size_t bytes = 1; bytes < 8; bytes++) {
        char storage[8];
        struct sp_buf b;
        sp_buf_init_fixed(&b, storage, bytes);
        sp_buf_add_i64(&b, -1234);
        assert_int_equal(b.failed, bytes < 6);
        check_str(sp_buf_str(&b), bytes < 6 ? "" : "-1234");
    }
}

static void room_is_for_the_caller_to_fill(void **state)
{
    struct sp_buf b;

    sp_buf_init(&b, 0);
    char *room = sp_buf_room(&b, 1000);
    assert_non_null(room);
    memset(room, 'z', 1000);
    b.len += 1000;
    sp_buf_add_char(&b, '!');
    assert_int_equal(b.len, 1001);
    assert_int_equal(b.ptr[999], 'z');
    assert_null(sp_buf_room(&b, SIZE_MAX));
    assert_null(sp_buf_room(&b, SIZE_MAX - 1001));
    sp_buf_deinit(&b);
}

static void check_json(sp_str s, const char *want)
{
    struct sp_buf b;
    sp_buf_init(&b, 0);
    sp_buf_add_json(&b, s);
    check_str(sp_buf_str(&b), want);
    sp_buf_deinit(&b);
}

static void json_escapes_what_json_must(void **state)
{
    check_json(SP_STR(""), "\"\"");
    check_json(SP_STR_NULL, "\"\"");
    check_json(SP_STR("plain / text"), "\"plain / text\"");
    check_json(SP_STR("a\"b\\c"), "\"a\\\"b\\\\c\"");
    check_json(SP_STR("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
    check_json(SP_STR("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"");
    check_json(SP_STR("\xE4\xB8\xAD\xF0\x9F\x98\x80"), "\"\xE4\xB8\xAD\xF0\x9F\x98\x80\"");
    check_json(SP_STR("a\xFF\xC3(b\xE4\xB8"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD(b\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_json(SP_STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void run_json(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_buf b;
    unsigned char text[60];

    sp_rng_init(&rng, seed);
    size_t len = sp_rng_below(&rng, sizeof(text) + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (unsigned char)sp_rng_next(&rng);
    sp_buf_init(&b, 0);
    sp_buf_add_json(&b, sp_str_of(text, len));
    sp_str out = sp_buf_str(&b);
    check_seed(seed, sp_str_is_utf8(out) && out.len >= 2);
    check_seed(seed, out.ptr[0] == '"' && out.ptr[out.len - 1] == '"');
    for (size_t i = 1; i + 1 < out.len; i++) {
        check_seed(seed, (unsigned char)out.ptr[i] >= 0x20 && out.ptr[i] != '"');
        if (out.ptr[i] == '\\') {
            i++;
            check_seed(seed, i + 1 < out.len && strchr("\"\\bfnrtu", out.ptr[i]));
        }
    }
    sp_buf_deinit(&b);
}

static void json_of_any_bytes_is_a_json_string(void **state)
{
    each_seed(2000, run_json);
}

static void json_that_does_not_fit_leaves_nothing(void **state)
{
    char storage[8];
    struct sp_buf b;

    sp_buf_init_fixed(&b, storage, sizeof(storage));
    sp_buf_add_c(&b, "k=");
    sp_buf_add_json(&b, SP_STR("abcdefgh"));
    assert_true(b.failed);
    check_str(sp_buf_str(&b), "k=");
}

static void fill(struct sp_buf *b)
{
    for (int i = 0; i < 40; i++) {
        sp_buf_add_c(b, "some text ");
        sp_buf_printf(b, "%d %s ", i, "more");
        sp_buf_add_json(b, SP_STR("\n\xFF quoted"));
        sp_buf_add_u64(b, 123456789);
        sp_buf_add_i64(b, -5);
        sp_buf_add_hex(b, 255, 4);
    }
}

static void every_failed_allocation_is_remembered(void **state)
{
    uint64_t blocks = sp_mem_live_blocks(), n = 1;

    for (;; n++) {
        struct sp_buf b;
        sp_buf_init(&b, 0);
        (void)sp_mem_fail_at(n);
        fill(&b);
        bool failed = b.failed;
        uint64_t made = sp_mem_fail_at(0);
        sp_buf_deinit(&b);
        assert_int_equal(sp_mem_live_blocks(), blocks);
        assert_int_equal(failed, made >= n);
        if (!failed)
            break;
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_would),
        cmocka_unit_test(an_empty_buf_is_an_empty_string),
        cmocka_unit_test(it_grows_as_far_as_the_limit_and_not_beyond),
        cmocka_unit_test(fixed_storage_never_overflows),
        cmocka_unit_test(once_failed_it_swallows_the_rest),
        cmocka_unit_test(a_number_goes_in_whole_or_not_at_all),
        cmocka_unit_test(room_is_for_the_caller_to_fill),
        cmocka_unit_test(json_escapes_what_json_must),
        cmocka_unit_test(json_of_any_bytes_is_a_json_string),
        cmocka_unit_test(json_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(every_failed_allocation_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
