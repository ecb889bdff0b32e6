/* yaml: what of YAML is taken, what is refused, and what a hostile document costs. */
#include "unit/form/help.h"

static void a_broken_grammar_is_said_at_its_place(void **state)
{
    check_says(
        KINDS, "k.yaml", "inner: {strings: [a, b\n",
        "2:1: inner.strings: not YAML: did not find expected ',' or ']', while parsing a flow sequence\n");
    check_says(KINDS, "k.yaml", "inner:\n  a_bool: true\n a_uint32: 1\n",
               "3:2: not YAML: did not find expected key, while parsing a block mapping\n");
    check_says(KINDS, "k.yaml", "a_string: \"x\n",
               "2:1: not YAML: found unexpected end of stream, while scanning a quoted scalar\n");
    check_says(KINDS, "k.yaml", "a_string: \"\xff\"\n",
               "1:1: not YAML: invalid leading UTF-8 octet at byte 11\n");
}

static void an_empty_document_is_an_error(void **state)
{
    check_says(KINDS, "k.yaml", "", "1:1: the document is empty\n");
    check_says(KINDS, "k.yaml", "# nothing\n", "1:1: the document is empty\n");
    check_says(KINDS, "k.yaml", "---\n...\n", "2:1: should be a map, not null\n");
    check_says(KINDS, "k.yaml", "- a\n", "1:1: should be a map, not a list\n");
    check_reads(KINDS, "k.yaml", "{}\n", "{}");
}

static void anchors_stand_for_their_value(void **state)
{
    check_reads(KINDS, "k.yaml",
                "inner: &i\n  an_int32: 1\n  strings: &s [a, b]\ninners: [*i, {strings: *s}]\n",
                "{\"inner\":{\"an_int32\":1,\"strings\":[\"a\",\"b\"]},"
                "\"inners\":[{\"an_int32\":1,\"strings\":[\"a\",\"b\"]},{\"strings\":[\"a\",\"b\"]}]}");
    check_reads(KINDS, "k.yaml", "int32s: [&n 1, *n, &n 2, *n]\n", "{\"int32s\":[1,1,2,2]}");
}

static void an_error_in_an_alias_is_said_where_the_alias_stands(void **state)
{
    check_says(KINDS, "k.yaml", "by_bool:\n  true: &x {an_int32: many}\ninner: *x\n",
               "2:23: by_bool.true.an_int32: \"many\" is not a whole number\n"
               "3:8: inner.an_int32: \"many\" is not a whole number\n");
}

static void aliases_that_make_no_sense_are_refused(void **state)
{
    check_says(KINDS, "k.yaml", "inner: *x\n", "1:8: no anchor of this name stands before the alias\n");
    check_says(KINDS, "k.yaml", "inner: &x {inner: *x}\n",
               "1:19: inner: the alias stands inside the value that it names\n");
    check_says(KINDS, "k.yaml", "by_name: {&k a: 1}\n",
               "1:11: by_name: an anchor on a key is not supported\n");
    check_says(KINDS, "k.yaml", "a_string: &k a\nby_name: {*k : 1}\n",
               "2:11: by_name: an alias as a key is not supported\n");
}

static void a_bomb_of_aliases_is_defused(void **state)
{
    struct reading r;
    read_as(&r, SPECIAL, "s.yaml",
            SP_STR("free:\n"
                   "  a: &a [x,x,x,x,x,x,x,x,x]\n"
                   "  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                   "  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                   "  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                   "  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                   "  f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                   "  g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"),
            0);
    assert_int_equal(r.err, SP_E_LIMIT);
    assert_int_equal(r.doc.errors_len, 1);
    assert_string_equal(r.doc.errors[0].text, "aliases stand for more than 50000 values");
    assert_int_equal(r.doc.errors[0].line, 6);
    assert_true(r.arena.held_bytes < (size_t)32 << 20);
    read_end(&r);
}

static void what_yaml_has_and_a_configuration_does_not_need_is_refused(void **state)
{
    check_says(KINDS, "k.yaml", "inner: {a_bool: true}\ninners:\n- <<: {a_bool: true}\n",
               "3:3: inners[0]: merge keys (<<) are not supported; write the fields out, or alias the whole "
               "value\n");
    check_says(KINDS, "k.yaml", "a_bool: true\n---\na_bool: false\n",
               "2:1: a second document begins here; there must be one\n");
    check_says(KINDS, "k.yaml", "%YAML 1.1\n---\na_bool: true\n", "1:1: directives are not supported\n");
    check_says(KINDS, "k.yaml", "a_string: !mine x\n", "1:11: this tag is not supported\n");
    check_says(KINDS, "k.yaml", "strings: !!set [a]\n", "1:10: this tag is not supported\n");
    check_says(KINDS, "k.yaml", "{[a]: 1}\n", "1:2: a key must be a scalar\n");
}

static void depth_is_limited(void **state)
{
    char text[512] = "free: {a: ";
    memset(text + strlen(text), '[', 99);
    check_says(SPECIAL, "s.yaml", text, "1:109: nested deeper than 100\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_grammar_is_said_at_its_place),
        cmocka_unit_test(an_empty_document_is_an_error),
        cmocka_unit_test(anchors_stand_for_their_value),
        cmocka_unit_test(an_error_in_an_alias_is_said_where_the_alias_stands),
        cmocka_unit_test(aliases_that_make_no_sense_are_refused),
        cmocka_unit_test(a_bomb_of_aliases_is_defused),
        cmocka_unit_test(what_yaml_has_and_a_configuration_does_not_need_is_refused),
        cmocka_unit_test(depth_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
