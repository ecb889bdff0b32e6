/* Access logs: where lines go and how one looks. */
#include "unit/xds/help.h"

#include "model/logformat.h"

#define FILE_LOG "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
#define STDOUT_LOG "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
#define STDERR_LOG "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog"

static void logs_go_to_a_file_or_a_stream(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&hcm_frame,
                "access_log:\n"
                "- {typed_config: {\"@type\": " FILE_LOG
                ", path: /var/log/a, format: \"%RESPONSE_CODE%\\n\"}}\n"
                "- {typed_config: {\"@type\": " STDOUT_LOG "}}\n"
                "- {typed_config: {\"@type\": " STDERR_LOG "}}\n",
                &l);
    const struct sp_log_spec *logs = chain_of(&l)->logs;
    assert_int_equal(chain_of(&l)->log_count, 3);
    check_str(logs[0].path, "/var/log/a");
    assert_int_equal(logs[0].format, SP_LOG_TEXT);
    check_str(logs[0].text, "%RESPONSE_CODE%\n");
    check_str(logs[1].path, "/dev/stdout");
    assert_true(sp_str_eq(logs[1].text, sp_log_format_default));
    check_str(logs[2].path, "/dev/stderr");
    unload(&l);
}

static void json_keeps_the_order_of_the_file_unless_sorted(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &tcp_frame,
        "cluster: out\naccess_log:\n"
        "- {typed_config: {\"@type\": " STDOUT_LOG
        ", log_format: {json_format: {b: \"%DURATION%\", a: x}}}}\n"
        "- {typed_config: {\"@type\": " STDOUT_LOG ", log_format: {json_format: {b: \"%DURATION%\", a: x}, "
        "json_format_options: {sort_properties: true}}}}\n"
        "- {typed_config: {\"@type\": " FILE_LOG ", path: f, typed_json_format: {c: \"%ATTEMPTS%\"}}}\n",
        &l);
    const struct sp_log_spec *logs = chain_of(&l)->logs;
    assert_int_equal(logs[0].format, SP_LOG_JSON);
    assert_int_equal(logs[0].field_count, 2);
    check_str(logs[0].fields[0].key, "b");
    check_str(logs[0].fields[0].text, "%DURATION%");
    check_str(logs[0].fields[1].key, "a");
    check_str(logs[1].fields[0].key, "a");
    check_str(logs[2].fields[0].text, "%ATTEMPTS%");
    unload(&l);
}

static void formats_may_stand_in_every_place_that_envoy_has(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &rpc_frame,
        "protocol: bolt\naccess_log:\n"
        "- {typed_config: {\"@type\": " FILE_LOG ", path: f, log_format: {text_format: \"%SERVICE%\"}}}\n"
        "- {typed_config: {\"@type\": " FILE_LOG
        ", path: f, log_format: {text_format_source: {inline_string: "
        "\"%METHOD%\"}}}}\n"
        "- {typed_config: {\"@type\": " STDERR_LOG
        ", log_format: {text_format_source: {inline_bytes: JVNFUlZJQ0Ul}}}}\n"
        "- {typed_config: {\"@type\": " FILE_LOG ", path: f, json_format: {r: \"%SAMPAN_REASON%\"}}}\n",
        &l);
    const struct sp_log_spec *logs = chain_of(&l)->logs;
    check_str(logs[0].text, "%SERVICE%");
    check_str(logs[1].text, "%METHOD%");
    check_str(logs[2].text, "%SERVICE%");
    check_str(logs[3].fields[0].text, "%SAMPAN_REASON%");
    unload(&l);
}

static void bad_operators_are_told_with_place_and_near_miss(void **state)
{
    (void)state;
    check_says(
        &hcm_frame,
        "access_log:\n"
        "- {typed_config: {\"@type\": " FILE_LOG ", path: f,\n"
        "   format: \"%RESPONSE_CODES% %DURATION%\"}}\n"
        "- {typed_config: {\"@type\": " STDOUT_LOG ", log_format:\n"
        "   {json_format: {a: \"%GRPC_STATUS%\", b: \"%REQ(X-SECRET)%\", c: 5}}}}\n",
        "3:12: access_log[0].typed_config.format: there is no operator %RESPONSE_CODES%; a per cent sign "
        "itself is "
        "written %%; did you mean %RESPONSE_CODE%?\n"
        "5:22: access_log[1].typed_config.log_format.json_format.a: the operator %GRPC_STATUS% is not "
        "supported\n"
        "5:42: access_log[1].typed_config.log_format.json_format.b: the header \"X-SECRET\" is not kept for "
        "logs; these "
        "are: :method, :path, :authority, user-agent, x-request-id, x-forwarded-for\n"
        "5:64: access_log[1].typed_config.log_format.json_format.c: a key of a log has one text, such as "
        "\"%RESPONSE_CODE%\"\n");
}

static void a_log_is_one_of_ours(void **state)
{
    (void)state;
    check_says(
        &hcm_frame,
        "access_log:\n- {name: a}\n"
        "- {typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n",
        "2:3: access_log[0].typed_config: is missing: it says what this is, by its \"@type\"\n"
        "3:4: access_log[1].typed_config: is no access log; FileAccessLog, StdoutAccessLog and "
        "StderrAccessLog are\n");
}

static void there_are_eight_logs_at_most(void **state)
{
    (void)state;
    struct sp_buf text;
    sp_buf_init(&text, 0);
    sp_buf_add_c(&text, "access_log:\n");
    for (int i = 0; i < 9; i++)
        sp_buf_add_c(&text, "- {typed_config: {\"@type\": " STDOUT_LOG "}}\n");
    sp_buf_add_char(&text, '\0');
    check_says(&hcm_frame, text.ptr,
               "10:3: access_log[8]: is the ninth access log of this chain; there may be eight\n");
    sp_buf_deinit(&text);
}

static void an_empty_json_format_is_an_error(void **state)
{
    (void)state;
    check_says(&hcm_frame,
               "access_log:\n- {typed_config: {\"@type\": " FILE_LOG ", path: f,\n   json_format: {}}}",
               "3:4: access_log[0].typed_config.json_format: must not be empty\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_go_to_a_file_or_a_stream),
        cmocka_unit_test(json_keeps_the_order_of_the_file_unless_sorted),
        cmocka_unit_test(formats_may_stand_in_every_place_that_envoy_has),
        cmocka_unit_test(bad_operators_are_told_with_place_and_near_miss),
        cmocka_unit_test(a_log_is_one_of_ours),
        cmocka_unit_test(there_are_eight_logs_at_most),
        cmocka_unit_test(an_empty_json_format_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
