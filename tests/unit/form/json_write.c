/* json_write: forms that no text reader brings, the two styles, and limits. */
#include "unit/form/help.h"

static void check_writes(struct sp_arena *a, void *msg, uint32_t flags, const char *want)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    assert_int_equal(sp_form_write_json(a, msg, flags, &out), 0);
    check_str(sp_buf_str(&out), want);
    sp_buf_deinit(&out);
}

static void names_and_lines_are_as_asked(void **state)
{
    struct reading r;
    read_as(
        &r, KINDS, "k.json",
        SP_STR(
            "{\"an_int32\": 1, \"int32s\": [1, 2], \"by_name\": {\"a\": 1}, \"inner\": {}, \"strings\": []}"),
        0);
    check_writes(&r.arena, r.msg, SP_FORM_CAMEL,
                 "{\"anInt32\":1,\"inner\":{},\"int32s\":[1,2],\"byName\":{\"a\":1}}");
    check_writes(&r.arena, r.msg, SP_FORM_PRETTY,
                 "{\n"
                 "  \"an_int32\": 1,\n"
                 "  \"inner\": {},\n"
                 "  \"int32s\": [\n"
                 "    1,\n"
                 "    2\n"
                 "  ],\n"
                 "  \"by_name\": {\n"
                 "    \"a\": 1\n"
                 "  }\n"
                 "}");
    read_end(&r);
}

static void an_any_that_cannot_be_decoded_shows_its_bytes(void **state)
{
    struct sp_arena a;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    struct sp_pb_google_any *any = sp_form_new(&a, &sp_pb_google_any_msg);
    check_writes(&a, any, 0, "{}");
    any->value = SP_STR("\x01\x02");
    check_writes(&a, any, 0, "{\"value\":\"AQI=\"}");
    any->type_url = SP_STR("x/of.nobody");
    check_writes(&a, any, 0, "{\"@type\":\"x/of.nobody\",\"value\":\"AQI=\"}");
    any->value = SP_STR_NULL;
    check_writes(&a, any, 0, "{\"@type\":\"x/of.nobody\"}");
    any->type_url = SP_STR("x/google.protobuf.Duration");
    any->value = SP_STR("\x08\x05");
    check_writes(&a, any, 0, "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"5s\"}");
    sp_arena_deinit(&a);
}

static void times_out_of_bounds_are_shown_as_what_they_are(void **state)
{
    struct sp_arena a;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    struct sp_pb_google_duration *d = sp_form_new(&a, &sp_pb_google_duration_msg);
    d->seconds = 1;
    d->nanos = -1;
    check_writes(&a, d, 0, "{\"seconds\":\"1\",\"nanos\":-1}");
    struct sp_pb_google_timestamp *t = sp_form_new(&a, &sp_pb_google_timestamp_msg);
    t->seconds = INT64_MAX;
    check_writes(&a, t, 0, "{\"seconds\":\"9223372036854775807\"}");
    t->seconds = -1;
    t->nanos = 999999999;
    check_writes(&a, t, 0, "\"1969-12-31T23:59:59.999999999Z\"");
    sp_arena_deinit(&a);
}

static void what_has_no_name_and_what_is_no_value_have_a_form(void **state)
{
    struct sp_arena a;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, SP_STR("\x80\x01\x2a"), &msg), 0);
    check_writes(&a, msg, 0, "{\"colour\":42}");
    struct sp_pb_google_value *value = sp_form_new(&a, &sp_pb_google_value_msg);
    check_writes(&a, value, 0, "null");
    sp_arena_deinit(&a);
}

static void keys_of_every_kind_are_strings(void **state)
{
    struct sp_arena a;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    /* by_number -1, by_u64 2^64 - 1, by_s64 -1 */
    assert_int_equal(sp_form_pb_decode(&a, KINDS,
                                       SP_STR("\xd2\x02\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                              "\xe2\x02\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                              "\xea\x02\x02\x08\x01"),
                                       &msg),
                     0);
    check_writes(
        &a, msg, 0,
        "{\"by_number\":{\"-1\":\"\"},\"by_u64\":{\"18446744073709551615\":\"\"},\"by_s64\":{\"-1\":0}}");
    sp_arena_deinit(&a);
}

static void depth_is_limited(void **state)
{
    struct sp_arena a;
    struct sp_buf out;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&out, 0);
    struct sp_pb_test_kinds *k = sp_form_new(&a, KINDS);
    for (int i = 0; i < 500; i++) {
        struct sp_pb_test_kinds *outer = sp_form_new(&a, KINDS);
        outer->inner = k;
        k = outer;
    }
    assert_int_equal(sp_form_write_json(&a, k, 0, &out), SP_E_LIMIT);
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_lines_are_as_asked),
        cmocka_unit_test(an_any_that_cannot_be_decoded_shows_its_bytes),
        cmocka_unit_test(times_out_of_bounds_are_shown_as_what_they_are),
        cmocka_unit_test(what_has_no_name_and_what_is_no_value_have_a_form),
        cmocka_unit_test(keys_of_every_kind_are_strings),
        cmocka_unit_test(depth_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
