/* json: the events of the pull reader with their places, and all that is not JSON. */
#include "form/json.h"

#include "unit/form/help.h"

/* One word for each event: "{ key=a n=1 } end", each behind line:column. */
static void check_events(const char *text, const char *want)
{
    static const char *const words[] = {
        "end", "{", "}", "[", "]", "key", "s", "n", "true", "false", "null"
    };
    struct sp_arena a;
    struct sp_json j;
    struct sp_buf out;
    int event;
    sp_arena_init(&a, NULL, 0, 1024, 0);
    sp_buf_init(&out, 0);
    sp_json_init(&j, &a, sp_str_c(text));
    do {
        event = sp_json_next(&j);
        if (event < 0) {
            sp_buf_printf(&out, "%u:%u:%s", (unsigned)j.line, (unsigned)j.column, j.problem);
            break;
        }
        sp_buf_printf(&out, "%u:%u:%s", (unsigned)j.line, (unsigned)j.column, words[event]);
        if (event == SP_JSON_KEY || event == SP_JSON_STRING || event == SP_JSON_NUMBER)
            sp_buf_printf(&out, "=%.*s", SP_STR_ARG(j.value));
        sp_buf_add_c(&out, event == SP_JSON_END ? "" : " ");
    } while (event != SP_JSON_END);
    if (!sp_str_eq(sp_buf_str(&out), sp_str_c(want)))
        fail_msg("of %s\ncome %.*s\nbut should come %s", text, SP_STR_ARG(sp_buf_str(&out)), want);
    int again = sp_json_next(&j);
    assert_true(event < 0 ? again < 0 : again == SP_JSON_END);
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

static void events_come_in_order_with_their_places(void **state)
{
    check_events("{\"a\": [1, true,\n \"x\"], \"\xc3\xa9\": {}}\n",
                 "1:1:{ 1:2:key=a 1:7:[ 1:8:n=1 1:11:true 2:2:s=x 2:5:] 2:8:key=\xc3\xa9 "
                 "2:13:{ 2:14:} 2:15:} 3:1:end");
    check_events(" null ", "1:2:null 1:7:end");
    check_events("[]", "1:1:[ 1:2:] 1:3:end");
    check_events("-0.5e+7", "1:1:n=-0.5e+7 1:8:end");
    check_events("\"\\u0041\\t\\ud834\\udd1e\"", "1:1:s=A\t\xf0\x9d\x84\x9e 1:23:end");
}

static void what_is_not_json_is_said_at_its_place(void **state)
{
    check_events("", "1:1:a value should stand here");
    check_events("[1,]", "1:1:[ 1:2:n=1 1:4:a value should stand here");
    check_events("[1 2]", "1:1:[ 1:2:n=1 1:4:a comma or ] should stand here");
    check_events("{\"a\":1,}", "1:1:{ 1:2:key=a 1:6:n=1 1:8:a key in quotes should stand here");
    check_events("{\"a\" 1}", "1:1:{ 1:6:a colon should stand here");
    check_events("{a:1}", "1:1:{ 1:2:a key in quotes should stand here");
    check_events("{\"a\":1]", "1:1:{ 1:2:key=a 1:6:n=1 1:7:a comma or } should stand here");
    check_events("[", "1:1:[ 1:2:a value should stand here");
    check_events("1 2", "1:1:n=1 1:3:something stands behind the end");
    check_events("tru", "1:1:a value should stand here");
    check_events("\n\n  nul", "3:3:a value should stand here");
    check_events("// x\n1", "1:1:a value should stand here");
    check_events("'a'", "1:1:a value should stand here");
}

static void numbers_have_one_form(void **state)
{
    static const char *const bad[] = { "01",  "-",   "+1",    "1.",   ".5",    "1e",
                                       "1e+", "--1", "1.2.3", "0x10", "1e5e5", "-.5" };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct sp_json j;
        sp_json_init(&j, NULL, sp_str_c(bad[i]));
        int event = sp_json_next(&j);
        if (event == SP_JSON_NUMBER) /* 0x10 ends as 0 and then something */
            event = sp_json_next(&j);
        if (event >= 0)
            fail_msg("%s is taken", bad[i]);
    }
}

static void strings_are_whole_escaped_and_utf_8(void **state)
{
    check_events("\"a", "1:1:the string has no end");
    check_events("\"a\\", "1:1:the string has no end");
    check_events("\"a\\\"", "1:1:the string has no end");
    check_events("\"a\nb\"", "1:3:a control character must be escaped");
    check_events("\"a\\x41\"", "1:3:this escape does not exist");
    check_events("\"\\u12\"", "1:2:this escape does not exist");
    check_events("\"\\ud800\"", "1:2:this escape does not exist");
    check_events("\"\\ud800\\u0041\"", "1:2:this escape does not exist");
    check_events("\"\\udc00\"", "1:2:this escape does not exist");
    check_events("\"\xc0\xaf\"", "1:1:the string is not UTF-8");
    check_events("\"\xed\xa0\x80\"", "1:1:the string is not UTF-8");
}

static void depth_is_limited(void **state)
{
    char text[202] = { 0 };
    struct sp_json j;
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    sp_json_init(&j, NULL, sp_str_c(text));
    for (int i = 0; i < 200; i++)
        assert_int_equal(sp_json_next(&j), i < 100 ? SP_JSON_LIST : SP_JSON_LIST_END);
    assert_int_equal(sp_json_next(&j), SP_JSON_END);

    memset(text, '[', 101);
    sp_json_init(&j, NULL, sp_str_c(text));
    for (int i = 0; i < 100; i++)
        assert_int_equal(sp_json_next(&j), SP_JSON_LIST);
    assert_int_equal(sp_json_next(&j), SP_E_LIMIT);
}

static void a_broken_document_is_an_error_of_the_file(void **state)
{
    check_says(KINDS, "k.json", "{\"inner\": {\"strings\": [1,\n oops]}}",
               "2:2: inner.strings: not JSON: a value should stand here\n");
    check_says(KINDS, "k.json", "", "1:1: not JSON: a value should stand here\n");
    check_says(KINDS, "k.json", "[]", "1:1: should be a map, not a list\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_with_their_places),
        cmocka_unit_test(what_is_not_json_is_said_at_its_place),
        cmocka_unit_test(numbers_have_one_form),
        cmocka_unit_test(strings_are_whole_escaped_and_utf_8),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(a_broken_document_is_an_error_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
