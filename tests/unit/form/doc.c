/* doc: where a field stood, for those who find out later that it is wrong; and for values without a text. */
#include "unit/form/help.h"

#include "form/walk.h"

static void check_place(struct sp_form_place p, unsigned line, unsigned column, const char *path)
{
    if (p.line != line || p.column != column || strcmp(p.path, path) != 0)
        fail_msg("%u:%u %s, but should be %u:%u %s", (unsigned)p.line, (unsigned)p.column, p.path, line,
                 column, path);
}

static const char text[] = "inner:\n"
                           "  strings: [a, b]\n"
                           "  inners:\n"
                           "  - a_bool: true\n"
                           "  - by_bool: {true: {an_int32: 3}}\n"
                           "  by_name: {\"odd key\": 1, even: 2}\n";

static void places_are_those_of_the_text(void **state)
{
    struct reading r;
    read_as(&r, KINDS, "k.yaml", sp_str_c(text), 0);
    struct sp_pb_test_kinds *k = r.msg, *in = k->inner, *deep = in->inners[1]->by_bool[0]->value;
    check_place(sp_form_where(&r.doc, k, 0), 1, 1, "");
    check_place(sp_form_where(&r.doc, k, SP_FIELD_TEST_KINDS_INNER), 1, 1, "inner");
    check_place(sp_form_where(&r.doc, in, 0), 1, 1, "inner");
    check_place(sp_form_where(&r.doc, in, SP_FIELD_TEST_KINDS_STRINGS), 2, 3, "inner.strings");
    check_place(sp_form_where_item(&r.doc, in, SP_FIELD_TEST_KINDS_STRINGS, 1), 2, 16, "inner.strings[1]");
    check_place(sp_form_where(&r.doc, in->inners[0], SP_FIELD_TEST_KINDS_A_BOOL), 4, 13,
                "inner.inners[0].a_bool");
    check_place(sp_form_where(&r.doc, deep, SP_FIELD_TEST_KINDS_AN_INT32), 5, 32,
                "inner.inners[1].by_bool.true.an_int32");
    check_place(sp_form_where_item(&r.doc, in, SP_FIELD_TEST_KINDS_BY_NAME, 0), 6, 24,
                "inner.by_name[\"odd key\"]");
    read_end(&r);
}

static void an_absent_field_is_placed_where_its_message_stands(void **state)
{
    struct reading r;
    read_as(&r, KINDS, "k.yaml", sp_str_c(text), 0);
    struct sp_pb_test_kinds *k = r.msg;
    check_place(sp_form_where(&r.doc, k, SP_FIELD_TEST_KINDS_COLOUR), 1, 1, "colour");
    check_place(sp_form_where(&r.doc, k->inner->inners[0], SP_FIELD_TEST_KINDS_A_FLOAT), 4, 5,
                "inner.inners[0].a_float");
    check_place(sp_form_where_item(&r.doc, k->inner, SP_FIELD_TEST_KINDS_STRINGS, 9), 2, 3, "inner.strings");
    check_place(sp_form_where(&r.doc, &r, 1), 0, 0, "");
    read_end(&r);
}

static void later_errors_print_among_the_others(void **state)
{
    struct reading r;
    struct sp_buf out;
    sp_buf_init(&out, 0);
    read_as(&r, KINDS, "k.yaml", sp_str_c(text), 0);
    struct sp_pb_test_kinds *k = r.msg;
    sp_form_error_item(&r.doc, SP_E_MISSING, k->inner, SP_FIELD_TEST_KINDS_STRINGS, 1, "no cluster %s", "b");
    sp_form_error(&r.doc, SP_E_INVALID, k, SP_FIELD_TEST_KINDS_INNER, "is odd");
    sp_form_print_errors(&r.doc, &out);
    check_str(sp_buf_str(&out), "k.yaml:1:1: inner: is odd\nk.yaml:2:16: inner.strings[1]: no cluster b\n");
    assert_int_equal(r.doc.errors[0].code, SP_E_MISSING);
    sp_buf_deinit(&out);
    read_end(&r);
}

/* What came by the wire has the paths that its text would have had, and no lines. */
static void values_from_the_wire_have_paths_too(void **state)
{
    struct reading r;
    struct sp_form_doc doc;
    struct sp_buf wire;
    void *msg;
    sp_buf_init(&wire, 0);
    read_as(&r, KINDS, "k.yaml", sp_str_c(text), 0);
    assert_int_equal(sp_form_pb_encode(r.msg, &wire), 0);
    assert_int_equal(sp_form_pb_decode(&r.arena, KINDS, sp_buf_str(&wire), &msg), 0);
    assert_int_equal(sp_form_doc_init(&doc, &r.arena, "resource"), 0);
    assert_int_equal(sp_form_doc_adopt(&doc, msg), 0);
    struct sp_pb_test_kinds *k = msg, *in = k->inner, *deep = in->inners[1]->by_bool[0]->value;
    check_place(sp_form_where_item(&doc, in, SP_FIELD_TEST_KINDS_STRINGS, 1), 0, 0, "inner.strings[1]");
    check_place(sp_form_where(&doc, deep, SP_FIELD_TEST_KINDS_AN_INT32), 0, 0,
                "inner.inners[1].by_bool.true.an_int32");
    check_place(sp_form_where(&doc, deep, SP_FIELD_TEST_KINDS_A_BOOL), 0, 0,
                "inner.inners[1].by_bool.true.a_bool");
    sp_buf_deinit(&wire);
    read_end(&r);
}

static void numbers_as_keys_are_spelled_in_paths(void **state)
{
    struct sp_arena a;
    struct sp_form_doc doc;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&a, KINDS,
                                       SP_STR("\xd2\x02\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                              "\xe2\x02\x02\x08\x07"),
                                       &msg),
                     0);
    assert_int_equal(sp_form_doc_init(&doc, &a, "resource"), 0);
    assert_int_equal(sp_form_doc_adopt(&doc, msg), 0);
    check_place(sp_form_where_item(&doc, msg, SP_FIELD_TEST_KINDS_BY_NUMBER, 0), 0, 0, "by_number[\"-1\"]");
    check_place(sp_form_where_item(&doc, msg, SP_FIELD_TEST_KINDS_BY_U64, 0), 0, 0, "by_u64[\"7\"]");
    sp_arena_deinit(&a);
}

static void rules_are_checked_on_values_from_the_wire(void **state)
{
    struct reading r;
    struct sp_form_doc doc;
    struct sp_buf out;
    void *msg;
    sp_buf_init(&out, 0);
    sp_arena_init(&r.arena, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&r.arena, STRICT,
                                       SP_STR("\x0a\x01"
                                              "a"
                                              "\x10\xff\xff\x7f\x2a\x01x\x4a\x00"),
                                       &msg),
                     0);
    assert_int_equal(sp_form_doc_init(&doc, &r.arena, "resource"), 0);
    assert_int_equal(sp_form_doc_adopt(&doc, msg), 0);
    assert_int_equal(sp_form_check(&doc, msg), SP_E_INVALID);
    sp_form_print_errors(&doc, &out);
    check_str(sp_buf_str(&out), "resource: port: must be at most 65535\n"
                                "resource: must: is missing\n"
                                "resource: left: must not be empty\n");
    sp_buf_deinit(&out);
    sp_arena_deinit(&r.arena);
}

static void values_of_a_later_schema_are_named(void **state)
{
    struct reading r;
    struct sp_form_doc doc;
    struct sp_buf out;
    void *msg;
    sp_buf_init(&out, 0);
    sp_arena_init(&r.arena, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&r.arena, KINDS, SP_STR("\x80\x01\x2a\xa2\x02\x02\x01\x03"), &msg), 0);
    assert_int_equal(sp_form_doc_init(&doc, &r.arena, "resource"), 0);
    assert_int_equal(sp_form_doc_adopt(&doc, msg), 0);
    assert_int_equal(sp_form_check(&doc, msg), SP_E_INVALID);
    sp_form_print_errors(&doc, &out);
    check_str(sp_buf_str(&out), "resource: colour: 42 is no value of sampan.test.v1.Colour\n"
                                "resource: colours[1]: ULTRAVIOLET is known to Envoy but not supported\n");
    sp_buf_deinit(&out);
    sp_arena_deinit(&r.arena);
}

static void times_from_the_wire_keep_to_their_bounds(void **state)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        bool good;
    } cases[] = {
        { 1, 1, true },          { -1, -1, true },         { 1, -1, false },
        { -1, 1, false },        { 0, 1000000000, false }, { INT64_C(315576000001), 0, false },
        { INT64_MIN, 0, false },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct reading r;
        struct sp_form_doc doc;
        sp_arena_init(&r.arena, NULL, 0, 4096, 0);
        struct sp_pb_test_special *s = sp_form_new(&r.arena, SPECIAL);
        s->duration = sp_form_new(&r.arena, &sp_pb_google_duration_msg);
        s->duration->seconds = cases[i].seconds;
        s->duration->nanos = cases[i].nanos;
        assert_int_equal(sp_form_doc_init(&doc, &r.arena, "resource"), 0);
        assert_int_equal(sp_form_doc_adopt(&doc, s), 0);
        assert_int_equal(sp_form_check(&doc, s), cases[i].good ? 0 : SP_E_INVALID);
        if (!cases[i].good)
            assert_string_equal(doc.errors[0].path, "duration");
        sp_arena_deinit(&r.arena);
    }
}

static void paths_reach_into_any_from_the_wire(void **state)
{
    struct reading r;
    struct sp_form_doc doc;
    struct sp_buf wire;
    void *msg;
    sp_buf_init(&wire, 0);
    read_as(&r, SPECIAL, "s.yaml",
            SP_STR("any: {\"@type\": x/envoy.type.v3.FractionalPercent, numerator: 5}\n"
                   "durations_by_name: {a: 1s}\n"),
            0);
    assert_int_equal(sp_form_pb_encode(r.msg, &wire), 0);
    assert_int_equal(sp_form_pb_decode(&r.arena, SPECIAL, sp_buf_str(&wire), &msg), 0);
    assert_int_equal(sp_form_unpack(&r.arena, msg), 0);
    assert_int_equal(sp_form_doc_init(&doc, &r.arena, "resource"), 0);
    assert_int_equal(sp_form_doc_adopt(&doc, msg), 0);
    struct sp_pb_test_special *s = msg;
    check_place(sp_form_where(&doc, s->any->message, SP_FIELD_TYPE_FRACTIONAL_PERCENT_NUMERATOR), 0, 0,
                "any.numerator");
    check_place(sp_form_where(&doc, s->durations_by_name[0]->value, 0), 0, 0, "durations_by_name.a");
    sp_buf_deinit(&wire);
    read_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_those_of_the_text),
        cmocka_unit_test(an_absent_field_is_placed_where_its_message_stands),
        cmocka_unit_test(later_errors_print_among_the_others),
        cmocka_unit_test(values_from_the_wire_have_paths_too),
        cmocka_unit_test(numbers_as_keys_are_spelled_in_paths),
        cmocka_unit_test(rules_are_checked_on_values_from_the_wire),
        cmocka_unit_test(values_of_a_later_schema_are_named),
        cmocka_unit_test(times_from_the_wire_keep_to_their_bounds),
        cmocka_unit_test(paths_reach_into_any_from_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
