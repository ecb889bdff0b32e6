/* bind: each thing that a file can do wrong, where it is said to be, and in which words. */
#include "unit/form/help.h"

/* A Strict that breaks nothing, to be spoiled; four lines. */
#define FINE "name: a\nport: 1\nnames: [x]\nmust: {}\n"

static void an_unknown_field_is_named_with_its_near_miss(void **state)
{
    check_says(KINDS, "k.yaml", "a_bool: true\nan_in32: 5\n",
               "2:1: an_in32: unknown field of sampan.test.v1.Kinds; did you mean an_int32?\n");
    check_says(KINDS, "k.yaml", "zzzzzz: 5\n", "1:1: zzzzzz: unknown field of sampan.test.v1.Kinds\n");
    check_says(KINDS, "k.json", "{\"inner\": {\n  \"a_strnig\": 1}}",
               "2:3: inner.a_strnig: unknown field of sampan.test.v1.Kinds; did you mean a_string?\n");
}

static void paths_run_through_lists_maps_and_any(void **state)
{
    check_says(KINDS, "k.yaml",
               "inners:\n"
               "- a_bool: true\n"
               "- inner:\n"
               "    by_bool:\n"
               "      true: {a_uint32: -1}\n"
               "    by_name:\n"
               "      \"two words\": x\n",
               "5:24: inners[1].inner.by_bool.true.a_uint32: \"-1\" does not fit\n"
               "7:20: inners[1].inner.by_name[\"two words\"]: \"x\" is not a whole number\n");
    check_says(SPECIAL, "s.yaml",
               "any:\n"
               "  \"@type\": type.googleapis.com/google.protobuf.Duration\n"
               "  value: soon\n",
               "3:10: any.value: \"soon\" is not a duration; write seconds with an s, such as 1.5s\n");
}

static void all_errors_of_a_document_come_at_once_in_its_order(void **state)
{
    check_says(
        KINDS, "k.yaml",
        "an_int32: many\n"
        "inner:\n"
        "  a_bool: maybe\n"
        "  unheard: 1\n"
        "strings: [a, [b], c]\n"
        "colour: GREEN\n"
        "inners: {}\n",
        "1:11: an_int32: \"many\" is not a whole number\n"
        "3:11: inner.a_bool: should be true or false, not a bare word\n"
        "4:3: inner.unheard: unknown field of sampan.test.v1.Kinds\n"
        "5:14: strings[1]: should be a string, not a list\n"
        "6:9: colour: \"GREEN\" is no value of sampan.test.v1.Colour; there are: NONE, RED, DEEP_BLUE, "
        "INFRARED, ULTRAVIOLET\n"
        "7:9: inners: should be a list, not a map\n");
}

static void after_a_hundred_errors_the_rest_is_counted(void **state)
{
    struct sp_buf text, said;
    struct reading r;
    sp_buf_init(&text, 0);
    sp_buf_init(&said, 0);
    for (int i = 0; i < 250; i++)
        sp_buf_printf(&text, "field_%d: 1\n", i);
    read_as(&r, KINDS, "k.yaml", sp_buf_str(&text), 0);
    assert_int_equal(r.doc.errors_len, 100);
    assert_int_equal(r.doc.errors_dropped, 150);
    sp_form_print_errors(&r.doc, &said);
    assert_true(sp_str_ends(sp_buf_str(&said), SP_STR("k.yaml: and 150 errors more\n")));
    read_end(&r);
    sp_buf_deinit(&said);
    sp_buf_deinit(&text);
}

static void what_is_known_and_refused_is_refused_by_name(void **state)
{
    check_says(STRICT, "s.yaml", FINE "left: l\nlater: 3\n",
               "6:1: later: is known to Envoy but not supported: next year\n");
    check_says(STRICT, "s.yaml", FINE "left: l\nopaque: {whatever: [1, 2]}\n",
               "6:1: opaque: is known to Envoy but not supported\n");
    check_says(STRICT, "s.yaml", FINE "left: l\ncolour: ULTRAVIOLET\n",
               "6:9: colour: ULTRAVIOLET is known to Envoy but not supported: nobody can see it\n");
    check_says(STRICT, "s.yaml", FINE "gone: l\n", "5:1: gone: is known to Envoy but not supported\n");
    check_says(
        BOOTSTRAP, "b.yaml", "stats_flush_interval: 5s\nstats_sinks: []\n",
        "1:1: stats_flush_interval: is known to Envoy but not supported: figures are read when somebody asks "
        "for them\n"
        "2:1: stats_sinks: is known to Envoy but not supported\n");
}

static void types_inside_any_are_refused_by_name_or_as_unknown(void **state)
{
    check_says(SPECIAL, "s.yaml",
               "any: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}\n",
               "1:16: any[\"@type\"]: envoy.extensions.filters.http.lua.v3.Lua is known to Envoy but not "
               "supported\n");
    check_says(SPECIAL, "s.yaml",
               "any: {\"@type\": type.googleapis.com/google.protobuf.Duratoin, value: 1s}\n",
               "1:16: any[\"@type\"]: unknown type google.protobuf.Duratoin; did you mean "
               "google.protobuf.Duration?\n");
    check_says(SPECIAL, "s.yaml", "any: {\"@type\": a.googleapis.com/of.nobody}\n",
               "1:16: any[\"@type\"]: unknown type of.nobody\n");
    check_says(SPECIAL, "s.yaml", "any: {\"@type\": google.protobuf.Duration, value: 1s}\n",
               "1:16: any[\"@type\"]: a type is written type.googleapis.com/<name>\n");
    check_says(SPECIAL, "s.yaml", "any: {value: 1s}\n",
               "1:6: any: \"@type\" is missing: it says what kind of map this is\n");
    check_says(SPECIAL, "s.yaml", "any: {\"@type\": [a]}\n",
               "1:16: any[\"@type\"]: should be a string, not a list\n");
    check_says(SPECIAL, "s.yaml", "any: 5\n", "1:6: any: should be a map with \"@type\", not a bare word\n");
    check_says(SPECIAL, "s.yaml", "any: {\"@type\": x/google.protobuf.Duration}\n",
               "1:6: any: value is missing beside @type\n");
    check_says(SPECIAL, "s.yaml", "any: {\"@type\": x/google.protobuf.Duration, value: 1s, unit: h}\n",
               "1:55: any.unit: only value may stand beside @type for this type\n");
}

static void a_field_stands_once_in_whatever_spelling(void **state)
{
    check_says(KINDS, "k.yaml", "a_bool: true\na_bool: false\n",
               "2:1: a_bool: stands twice; first in line 1\n");
    check_says(KINDS, "k.yaml", "a_bool: true\naBool: false\n",
               "2:1: aBool: stands twice; first in line 1 as a_bool\n");
    check_says(KINDS, "k.json", "{\"by_name\": {\"x\": 1,\n\"x\": 2}}",
               "2:1: by_name.x: stands twice; first in line 1\n");
    check_says(KINDS, "k.yaml", "nobody: 1\nnobody: 2\n",
               "1:1: nobody: unknown field of sampan.test.v1.Kinds\n"
               "2:1: nobody: stands twice; first in line 1\n");
}

static void keys_that_stand_twice_are_found_in_large_maps_too(void **state)
{
    struct sp_buf text;
    sp_buf_init(&text, 0);
    sp_buf_add_c(&text, "by_name:\n");
    for (int i = 0; i < 1000; i++)
        sp_buf_printf(&text, "  k%d: 1\n", i == 900 ? 17 : i);
    sp_buf_add_char(&text, '\0');
    check_says(KINDS, "k.yaml", text.ptr, "902:3: by_name.k17: stands twice; first in line 19\n");
    sp_buf_deinit(&text);
}

static void two_members_of_a_oneof_cannot_stand_together(void **state)
{
    check_says(KINDS, "k.yaml", "by_count: 1\nby_word: x\n",
               "2:1: by_word: cannot stand beside by_count: one of the two must go (choice)\n");
}

static void numbers_are_whole_and_fit(void **state)
{
    check_says(
        KINDS, "k.json",
        "{\"an_int32\": 2147483648, \"a_uint32\": -1, \"an_int64\": 9223372036854775808,\n"
        " \"a_uint64\": 18446744073709551616, \"a_sint32\": 1.5, \"a_float\": 1e39, \"a_double\": 1e309,\n"
        " \"int32s\": [true, \"0x10\", {}], \"an_sfixed32\": \"\"}",
        "1:14: an_int32: \"2147483648\" does not fit\n"
        "1:38: a_uint32: \"-1\" does not fit\n"
        "1:54: an_int64: \"9223372036854775808\" does not fit\n"
        "2:14: a_uint64: \"18446744073709551616\" does not fit\n"
        "2:48: a_sint32: \"1.5\" is not a whole number\n"
        "2:64: a_float: \"1e39\" does not fit\n"
        "2:82: a_double: \"1e309\" does not fit\n"
        "3:13: int32s[0]: should be a whole number, not true or false\n"
        "3:19: int32s[1]: \"0x10\" is not a whole number; write it in decimal, without a leading zero\n"
        "3:27: int32s[2]: should be a whole number, not a map\n"
        "3:47: an_sfixed32: \"\" is not a whole number\n");
    check_says(KINDS, "k.yaml", "an_int32: 010\na_double: .5\n",
               "1:11: an_int32: \"010\" is not a whole number; write it in decimal, without a leading zero\n"
               "2:11: a_double: \".5\" is not a number\n");
}

static void words_that_yaml_1_1_makes_booleans_of_are_refused(void **state)
{
    check_says(KINDS, "k.yaml", "bools: [yes, NO, on, Off, True]\na_string: yes\nstrings: [\"no\", off]\n",
               "1:9: bools[0]: \"yes\" is not a boolean here; write true\n"
               "1:14: bools[1]: \"NO\" is not a boolean here; write false\n"
               "1:18: bools[2]: \"on\" is not a boolean here; write true\n"
               "1:22: bools[3]: \"Off\" is not a boolean here; write false\n"
               "1:27: bools[4]: \"True\" is not a boolean here; write true\n"
               "2:11: a_string: \"yes\" could be read as another type; put it in quotes\n"
               "3:17: strings[1]: \"off\" could be read as another type; put it in quotes\n");
}

static void strings_that_look_like_something_else_want_quotes(void **state)
{
    check_says(KINDS, "k.yaml", "a_string: 8080\nstrings: [true, 1.10, -5]\n",
               "1:11: a_string: \"8080\" could be read as another type; put it in quotes\n"
               "2:11: strings[0]: \"true\" should be a string; put it in quotes\n"
               "2:23: strings[2]: \"-5\" could be read as another type; put it in quotes\n");
    check_says(KINDS, "k.json", "{\"a_string\": 5}",
               "1:14: a_string: \"5\" should be a string; put it in quotes\n");
}

static void durations_times_and_bytes_are_spelled_right(void **state)
{
    check_says(
        SPECIAL, "s.yaml",
        "durations: [5, 250ms, 1.0000000001s, 1h, s, 999999999999s, {}]\n"
        "time: 2023-02-29T00:00:00Z\n"
        "maybe_bytes: \"a\"\n",
        "1:13: durations[0]: \"5\" is not a duration; write seconds with an s, such as 1.5s\n"
        "1:16: durations[1]: \"250ms\" is not a duration; write seconds: 0.250s\n"
        "1:23: durations[2]: \"1.0000000001s\" is not a duration; write seconds with an s, such as 1.5s\n"
        "1:38: durations[3]: \"1h\" is not a duration; write seconds with an s, such as 1.5s\n"
        "1:42: durations[4]: \"s\" is not a duration; write seconds with an s, such as 1.5s\n"
        "1:45: durations[5]: \"999999999999s\" is too long ago, too far ahead or too long\n"
        "1:60: durations[6]: should be a duration such as 1.5s, not a map\n"
        "2:7: time: \"2023-02-29T00:00:00Z\" is not a time; write it as 2024-02-29T12:00:00Z\n"
        "3:14: maybe_bytes: \"a\" is not base64\n");
}

static void a_value_of_the_wrong_kind_is_told_apart(void **state)
{
    check_says(
        KINDS, "k.yaml",
        "a_bool: [a]\na_uint32: {}\na_double: [1]\na_string: {}\nsome_bytes: [a]\ncolour: {}\n"
        "by_name: [a]\ncolours: [REDD, \"1\"]\nby_flag: 1\n",
        "1:9: a_bool: should be true or false, not a list\n"
        "2:11: a_uint32: should be a whole number, not a map\n"
        "3:11: a_double: should be a number, not a list\n"
        "4:11: a_string: should be a string, not a map\n"
        "5:13: some_bytes: should be a string in base64, not a list\n"
        "6:9: colour: should be a name, not a map\n"
        "7:10: by_name: should be a map, not a list\n"
        "8:11: colours[0]: \"REDD\" is no value of sampan.test.v1.Colour; did you mean RED?\n"
        "8:17: colours[1]: \"1\" is no value of sampan.test.v1.Colour; there are: NONE, RED, DEEP_BLUE, "
        "INFRARED, ULTRAVIOLET\n"
        "9:10: by_flag: should be true or false, not a bare word\n");
}

static void null_is_absent_and_no_item(void **state)
{
    check_says(KINDS, "k.yaml", "a_bool: null\nint32s: [1, ~]\nby_name: {a: null}\ninner:\n",
               "2:13: int32s[1]: null cannot be an item of this list\n"
               "3:14: by_name.a: null cannot be a value of this map\n");
}

static void keys_of_maps_have_their_own_types(void **state)
{
    check_says(KINDS, "k.yaml", "by_number: {one: a}\nby_bool: {yes: {}}\nby_u64: {\"-1\": \"\"}\n",
               "1:13: by_number.one: \"one\" is not a whole number\n"
               "2:11: by_bool.yes: should be true or false, not a string\n"
               "3:10: by_u64[\"-1\"]: \"-1\" does not fit\n");
}

static void rules_of_the_schema_are_kept(void **state)
{
    check_says(STRICT, "s.yaml",
               "name: \"\"\nport: 70000\nwait: 0s\nweight: 129\nnames: []\nmust:\nright: 1\n",
               "1:7: name: must not be empty\n"
               "2:7: port: must be at most 65535\n"
               "3:7: wait: must be at least 1 ns\n"
               "4:9: weight: must be at most 128\n"
               "5:1: names: must have at least 1 of them\n"
               "6:6: must: is missing\n");
    check_says(STRICT, "s.yaml", "name: a\nport: 1\nnames: [x]\nright: 1\n", "1:1: must: is missing\n");
}

static void absent_scalars_are_judged_as_zero_and_absent_messages_are_not(void **state)
{
    check_says(STRICT, "s.yaml", "must: {}\nleft: l\n",
               "1:1: name: must not be empty\n"
               "1:1: port: must be at least 1\n"
               "1:1: names: must have at least 1 of them\n");
    check_says(STRICT, "s.yaml", "list:\n- must: {}\n  left: l\n" FINE "left: l\n",
               "2:3: list[0].name: must not be empty\n"
               "2:3: list[0].port: must be at least 1\n"
               "2:3: list[0].names: must have at least 1 of them\n");
}

static void lengths_and_header_text_are_judged(void **state)
{
    check_says(
        STRICT, "s.yaml",
        FINE "left: \"\"\nheader: \"a b\"\nheader_text: \"a\\nb\"\noffset: -6\nlimits: {a: 1, b: 2, c: 3}\n",
        "5:7: left: must not be empty\n"
        "6:9: header: cannot be a header's name\n"
        "7:14: header_text: cannot be a header's value: it holds a control byte\n"
        "8:9: offset: must be at least -5\n"
        "9:1: limits: must have at most 2 of them\n");
    check_says(STRICT, "s.yaml",
               "name: longer than eight\nport: 1\nnames: [a, \"\", b, c]\nmust: {}\nleft: l\n",
               "1:7: name: must be at most 8 bytes long\n"
               "3:1: names: must have at most 3 of them\n"
               "3:12: names[1]: must not be empty\n");
}

static void one_slip_is_said_once(void **state)
{
    check_says(STRICT, "s.yaml", "name: [a]\nport: x\nnames: [[a]]\nmust: 5\ngone: 1\n",
               "1:7: name: should be a string, not a list\n"
               "2:7: port: \"x\" is not a whole number\n"
               "3:9: names[0]: should be a string, not a list\n"
               "4:7: must: should be a map, not a bare word\n"
               "5:1: gone: is known to Envoy but not supported\n");
}

static void a_oneof_that_is_needed_is_asked_for_by_its_names(void **state)
{
    check_says(STRICT, "s.yaml", FINE, "1:1: one of these must be set: left, right\n");
    check_says(STRICT, "s.yaml", FINE "left: l\nlist:\n- {name: b, port: 1, names: [z], must: {}}\n",
               "7:3: list[0]: one of these must be set: left, right\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_field_is_named_with_its_near_miss),
        cmocka_unit_test(paths_run_through_lists_maps_and_any),
        cmocka_unit_test(all_errors_of_a_document_come_at_once_in_its_order),
        cmocka_unit_test(after_a_hundred_errors_the_rest_is_counted),
        cmocka_unit_test(what_is_known_and_refused_is_refused_by_name),
        cmocka_unit_test(types_inside_any_are_refused_by_name_or_as_unknown),
        cmocka_unit_test(a_field_stands_once_in_whatever_spelling),
        cmocka_unit_test(keys_that_stand_twice_are_found_in_large_maps_too),
        cmocka_unit_test(two_members_of_a_oneof_cannot_stand_together),
        cmocka_unit_test(numbers_are_whole_and_fit),
        cmocka_unit_test(words_that_yaml_1_1_makes_booleans_of_are_refused),
        cmocka_unit_test(strings_that_look_like_something_else_want_quotes),
        cmocka_unit_test(durations_times_and_bytes_are_spelled_right),
        cmocka_unit_test(a_value_of_the_wrong_kind_is_told_apart),
        cmocka_unit_test(null_is_absent_and_no_item),
        cmocka_unit_test(keys_of_maps_have_their_own_types),
        cmocka_unit_test(rules_of_the_schema_are_kept),
        cmocka_unit_test(absent_scalars_are_judged_as_zero_and_absent_messages_are_not),
        cmocka_unit_test(lengths_and_header_text_are_judged),
        cmocka_unit_test(one_slip_is_said_once),
        cmocka_unit_test(a_oneof_that_is_needed_is_asked_for_by_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
