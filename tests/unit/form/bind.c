/* bind: every spelling that is taken, in YAML and JSON, and what it becomes. */
#include "unit/form/help.h"

static void both_spellings_of_a_name_are_taken(void **state)
{
    check_reads(KINDS, "k.yaml", "an_int32: 5\naBool: true\n", "{\"a_bool\":true,\"an_int32\":5}");
    check_reads(KINDS, "k.json", "{\"anInt32\": 5, \"a_bool\": true}", "{\"a_bool\":true,\"an_int32\":5}");
}

static void block_and_flow_style_read_alike(void **state)
{
    const char *want = "{\"inner\":{\"strings\":[\"a\",\"b\"],\"by_name\":{\"x\":1,\"y\":2}}}";
    check_reads(KINDS, "k.yaml", "inner:\n  strings:\n  - a\n  - b\n  by_name:\n    x: 1\n    \"y\": 2\n",
                want);
    check_reads(KINDS, "k.yaml", "{inner: {strings: [a, b], by_name: {x: 1, \"y\": 2}}}\n", want);
    check_reads(KINDS, "k.yaml",
                "# words\n---\ninner: # more\n  strings: [a,\n    b]\n  by_name: {x: 1, ? \"y\" : 2}\n...\n",
                want);
}

static void integers_may_be_strings_or_have_exponents(void **state)
{
    check_reads(
        KINDS, "k.json",
        "{\"an_int32\": -2147483648, \"an_int64\": -9223372036854775808, \"a_uint32\": 4294967295,"
        "\"a_uint64\": 18446744073709551615, \"int64s\": [\"9007199254740993\", 1e3, 1.0, 120e-1, -0]}",
        "{\"an_int32\":-2147483648,\"an_int64\":\"-9223372036854775808\",\"a_uint32\":4294967295,"
        "\"a_uint64\":\"18446744073709551615\",\"int64s\":[\"9007199254740993\",\"1000\",\"1\",\"12\","
        "\"0\"]}");
    check_reads(KINDS, "k.yaml", "an_int32: \"-7\"\nuint64s: [1E2, 18446744073709551615]\n",
                "{\"an_int32\":-7,\"uint64s\":[\"100\",\"18446744073709551615\"]}");
}

static void reals_read_back_as_the_same_bits(void **state)
{
    check_reads(
        KINDS, "k.json",
        "{\"a_float\": 0.1, \"a_double\": 0.1, \"doubles\": [1e308, 5e-324, \"NaN\", \"-Infinity\", 3, "
        "\"1.5\"],"
        "\"floats\": [3.4028234e38, \"Infinity\", 16777217]}",
        "{\"a_float\":0.1,\"a_double\":0.1,\"floats\":[3.4028235e+38,\"Infinity\",16777216],"
        "\"doubles\":[1e+308,5e-324,\"NaN\",\"-Infinity\",3,1.5]}");
    check_reads(KINDS, "k.yaml", "a_double: Infinity\na_float: 2.5e1\n",
                "{\"a_float\":25,\"a_double\":\"Infinity\"}");
}

static void strings_keep_every_character(void **state)
{
    check_reads(KINDS, "k.json", "{\"a_string\": \"\\u00e9\\ud83d\\ude00\\n\\\"\\/\\u0000 \xc3\xa9\"}",
                "{\"a_string\":\"\xc3\xa9\xf0\x9f\x98\x80\\n\\\"/\\u0000 \xc3\xa9\"}");
    check_reads(
        KINDS, "k.yaml", "a_string: \"a\\x41\\u00e9\\n\"\nstrings: [plain words, 'it''s', /p, 1.10, v1, -]\n",
        "{\"a_string\":\"aA\xc3\xa9\\n\",\"strings\":[\"plain words\",\"it's\",\"/p\",\"1.10\",\"v1\","
        "\"-\"]}");
    check_reads(KINDS, "k.yaml", "a_string: |\n  two\n  lines\nstrings:\n- >-\n  one\n  line\n- !!str 5\n",
                "{\"a_string\":\"two\\nlines\\n\",\"strings\":[\"one line\",\"5\"]}");
}

static void bytes_are_base64_in_both_alphabets(void **state)
{
    check_reads(KINDS, "k.json",
                "{\"some_bytes\": \"-_8=\", \"bytes_list\": [\"+/8\", \"\", \"YQ==\", \"YWJj\"]}",
                "{\"some_bytes\":\"+/8=\",\"bytes_list\":[\"+/8=\",\"\",\"YQ==\",\"YWJj\"]}");
}

static void enums_go_by_name_or_number(void **state)
{
    check_reads(
        KINDS, "k.json", "{\"colour\": \"DEEP_BLUE\", \"colours\": [1, \"RED\", 7, -2, 0]}",
        "{\"colour\":\"DEEP_BLUE\",\"colours\":[\"RED\",\"RED\",\"DEEP_BLUE\",\"INFRARED\",\"NONE\"]}");
    check_reads(KINDS, "k.yaml", "colour: 7\ncolours: [RED]\n",
                "{\"colour\":\"DEEP_BLUE\",\"colours\":[\"RED\"]}");
}

static void maps_take_keys_of_every_kind(void **state)
{
    check_reads(
        KINDS, "k.json",
        "{\"by_number\": {\"-5\": \"x\", \"10\": \"y\"}, \"by_bool\": {\"true\": {}, \"false\": "
        "{\"a_bool\": true}},"
        "\"by_u64\": {\"18446744073709551615\": \"YQ==\"}, \"by_s64\": {\"-1\": 0.5}}",
        "{\"by_number\":{\"-5\":\"x\",\"10\":\"y\"},\"by_bool\":{\"false\":{\"a_bool\":true},\"true\":{}},"
        "\"by_u64\":{\"18446744073709551615\":\"YQ==\"},\"by_s64\":{\"-1\":0.5}}");
    check_reads(KINDS, "k.yaml", "by_bool: {true: {a_uint32: 1}}\nby_number: {7: z}\n",
                "{\"by_number\":{\"7\":\"z\"},\"by_bool\":{\"true\":{\"a_uint32\":1}}}");
}

static void a_oneof_remembers_a_zero(void **state)
{
    check_reads(KINDS, "k.yaml", "by_count: 0\na_uint32: 0\n", "{\"by_count\":0}");
    check_reads(KINDS, "k.yaml", "by_word: \"\"\n", "{\"by_word\":\"\"}");
    check_reads(KINDS, "k.yaml", "by_count: null\nby_flag: false\n", "{\"by_flag\":false}");
}

static void an_optional_field_remembers_a_zero(void **state)
{
    check_reads(MAYBE, "m.yaml", "count: 0\nword: \"\"\ncolour: NONE\nflag: false\nkinds: {}\n",
                "{\"count\":0,\"word\":\"\",\"colour\":\"NONE\",\"flag\":false,\"kinds\":{}}");
    check_reads(MAYBE, "m.yaml", "count: null\nflag: true\n", "{\"flag\":true}");
}

static void times_are_spelled_with_the_digits_they_need(void **state)
{
    check_reads(
        SPECIAL, "s.json",
        "{\"durations\": [\"0s\", \"1.5s\", \"-0.000001s\", \"315576000000s\", \"0.000000001s\", \"-3s\"]}",
        "{\"durations\":[\"0s\",\"1.500s\",\"-0.000001s\",\"315576000000s\",\"0.000000001s\",\"-3s\"]}");
    check_reads(SPECIAL, "s.yaml", "time: 2024-02-29T23:59:59.25+02:00\nduration: 2s\n",
                "{\"duration\":\"2s\",\"time\":\"2024-02-29T21:59:59.250Z\"}");
    check_reads(SPECIAL, "s.json", "{\"time\": \"0001-01-01T00:00:00Z\"}",
                "{\"time\":\"0001-01-01T00:00:00Z\"}");
    check_reads(SPECIAL, "s.json", "{\"time\": \"9999-12-31T23:59:59.999999999Z\"}",
                "{\"time\":\"9999-12-31T23:59:59.999999999Z\"}");
    check_reads(SPECIAL, "s.json", "{\"time\": \"1970-01-01T00:00:00Z\"}",
                "{\"time\":\"1970-01-01T00:00:00Z\"}");
}

static void wrappers_are_bare_and_absent_is_not_zero(void **state)
{
    check_reads(SPECIAL, "s.yaml",
                "maybe_bool: false\nmaybe_u64: 0\nmaybe_string: \"\"\nmaybe_bytes: \"\"\nmaybes: [0, 1]\n",
                "{\"maybe_bool\":false,\"maybe_u64\":\"0\",\"maybe_string\":\"\",\"maybe_bytes\":\"\","
                "\"maybes\":[0,1]}");
    check_reads(SPECIAL, "s.yaml", "maybe_bool: null\nmaybe_double: 2\n", "{\"maybe_double\":2}");
}

static void free_values_are_themselves(void **state)
{
    check_reads(SPECIAL, "s.json",
                "{\"free\": {\"z\": [1, \"2\", null, true, {\"x\": []}], \"a\": 0.5}, \"value\": null, "
                "\"list\": [[], {}],"
                "\"values\": [null, 1], \"nothing\": null}",
                "{\"free\":{\"a\":0.5,\"z\":[1,\"2\",null,true,{\"x\":[]}]},\"value\":null,\"list\":[[],{}],"
                "\"values\":[null,1]}");
}

static void words_in_free_values_become_what_envoy_makes_of_them(void **state)
{
    check_reads(SPECIAL, "s.yaml",
                "free: {a: 5, b: 0.5, c: text, d: 3000000000, e: \"5\", f: ~, g: true, h: -2147483648}\n",
                "{\"free\":{\"a\":5,\"b\":\"0.5\",\"c\":\"text\",\"d\":\"3000000000\",\"e\":\"5\",\"f\":null,"
                "\"g\":true,"
                "\"h\":-2147483648}}");
}

static void any_holds_messages_and_special_types(void **state)
{
    check_reads(SPECIAL, "s.yaml",
                "any:\n  \"@type\": type.googleapis.com/envoy.type.v3.FractionalPercent\n  numerator: 5\n"
                "  denominator: MILLION\n",
                "{\"any\":{\"@type\":\"type.googleapis.com/envoy.type.v3.FractionalPercent\",\"numerator\":5,"
                "\"denominator\":\"MILLION\"}}");
    check_reads(SPECIAL, "s.json",
                "{\"any\": {\"value\": \"1.5s\", \"@type\": \"x/google.protobuf.Duration\"}}",
                "{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1.500s\"}}");
    check_reads(
        SPECIAL, "s.json",
        "{\"any\": {\"@type\": \"x/google.protobuf.Any\", \"value\": {\"@type\": "
        "\"x/google.protobuf.Struct\","
        "\"value\": {\"a\": 1}}}}",
        "{\"any\":{\"@type\":\"x/google.protobuf.Any\",\"value\":{\"@type\":\"x/google.protobuf.Struct\","
        "\"value\":{\"a\":1}}}}");
}

static void null_leaves_a_field_absent(void **state)
{
    check_reads(KINDS, "k.json",
                "{\"a_bool\": null, \"inner\": null, \"strings\": null, \"by_name\": null, \"colour\": null}",
                "{}");
    check_reads(KINDS, "k.yaml", "inner:\nstrings: ~\na_string: null\n", "{}");
}

static void what_is_refused_is_taken_where_the_reader_says_so(void **state)
{
    struct reading r;
    read_as(&r, STRICT, "s.yaml", SP_STR("later: 3\ncolour: ULTRAVIOLET\nopaque: {a: 1}\n"),
            SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES);
    assert_int_equal(r.err, 0);
    struct sp_pb_test_strict *s = r.msg;
    assert_int_equal(s->later, 3);
    assert_int_equal(s->colour, SP_PB_TEST_COLOUR_ULTRAVIOLET);
    assert_non_null(s->opaque);
    read_end(&r);
}

/* A bootstrap as operators write it: every kind of listener of the first release. */
static const char bootstrap[] =
    "node: {id: a, cluster: b, metadata: {labels: {app: shop, replicas: 3}}}\n"
    "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}\n"
    "bootstrap_extensions:\n"
    "- name: sampan.proxy\n"
    "  typed_config:\n"
    "    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n"
    "    drain_time: 10s\n"
    "    caps: {max_connections: 1000, memory_bytes: 67108864}\n"
    "    light_sdk: {address: {socket_address: {address: 127.0.0.1, port_value: 13330}}, "
    "traffic_listener: out}\n"
    "    workload: {name: shop-1, namespace: default, app: shop, version: v1}\n"
    "static_resources:\n"
    "  listeners:\n"
    "  - name: out\n"
    "    address: {socket_address: {address: 127.0.0.1, port_value: 15001}}\n"
    "    traffic_direction: OUTBOUND\n"
    "    listener_filters:\n"
    "    - name: envoy.filters.listener.original_dst\n"
    "      typed_config: {\"@type\": "
    "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}\n"
    "    filter_chains:\n"
    "    - filters:\n"
    "      - name: sampan.filters.network.rpc\n"
    "        typed_config:\n"
    "          \"@type\": type.googleapis.com/sampan.rpc.v1.RpcConnectionManager\n"
    "          protocol: bolt\n"
    "          route_config:\n"
    "            name: local\n"
    "            virtual_hosts:\n"
    "            - name: all\n"
    "              domains: [\"*\"]\n"
    "              routes:\n"
    "              - match: {prefix: /, headers: [{name: x, string_match: {exact: \"1\"}}]}\n"
    "                route: {cluster: out, timeout: 3s, retry_policy: {retry_on: connect-failure, "
    "num_retries: 2}}\n"
    "          http_filters:\n"
    "          - name: envoy.filters.http.router\n"
    "            typed_config: {\"@type\": "
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n"
    "  clusters:\n"
    "  - name: out\n"
    "    type: STRICT_DNS\n"
    "    connect_timeout: 0.25s\n"
    "    lb_policy: RING_HASH\n"
    "    ring_hash_lb_config: {minimum_ring_size: 1024}\n"
    "    typed_extension_protocol_options:\n"
    "      sampan.rpc.v1: {\"@type\": type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: bolt}\n"
    "    load_assignment:\n"
    "      cluster_name: out\n"
    "      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: h, "
    "port_value: 12200}}}}]}]\n";

static void a_whole_bootstrap_becomes_structs(void **state)
{
    struct reading r;
    read_as(&r, BOOTSTRAP, "b.yaml", sp_str_c(bootstrap), 0);
    assert_int_equal(r.err, 0);
    struct sp_pb_bootstrap_bootstrap *b = r.msg;
    assert_int_equal(b->bootstrap_extensions_len, 1);
    struct sp_pb_proxy_settings *settings = b->bootstrap_extensions[0]->typed_config->message;
    assert_ptr_equal(settings->head.type, &sp_pb_proxy_settings_msg);
    assert_int_equal(settings->drain_time->seconds, 10);
    assert_int_equal(settings->caps->memory_bytes, 67108864);
    struct sp_pb_listener_listener *l = b->static_resources->listeners[0];
    assert_int_equal(l->traffic_direction, SP_PB_CORE_TRAFFIC_DIRECTION_OUTBOUND);
    struct sp_pb_rpc_rpc_connection_manager *rpc = l->filter_chains[0]->filters[0]->typed_config->message;
    struct sp_pb_route_route *route = rpc->route_config->virtual_hosts[0]->routes[0];
    assert_int_equal(route->action_case, SP_FIELD_ROUTE_ROUTE_ROUTE);
    check_str(route->route->cluster, "out");
    assert_int_equal(route->route->timeout->seconds, 3);
    assert_int_equal(route->route->retry_policy->num_retries->value, 2);
    struct sp_pb_cluster_cluster *c = b->static_resources->clusters[0];
    assert_int_equal(c->connect_timeout->nanos, 250000000);
    assert_int_equal(c->ring_hash_lb_config->minimum_ring_size->value, 1024);
    check_str(c->typed_extension_protocol_options[0]->key, "sampan.rpc.v1");
    read_end(&r);
}

/* JSON of a value, read and written again, is the same JSON; so is its way through protobuf. */
static void a_bootstrap_is_a_fixed_point_of_all_three_spellings(void **state)
{
    struct reading yaml, json;
    struct sp_buf first, second, third, wire;
    struct sp_buf *all[] = { &first, &second, &third, &wire };
    for (size_t i = 0; i < SP_COUNTOF(all); i++)
        sp_buf_init(all[i], 0);
    read_as(&yaml, BOOTSTRAP, "b.yaml", sp_str_c(bootstrap), 0);
    assert_int_equal(sp_form_write_json(&yaml.arena, yaml.msg, SP_FORM_PRETTY, &first), 0);
    read_as(&json, BOOTSTRAP, "b.json", sp_buf_str(&first), 0);
    assert_int_equal(json.err, 0);
    assert_int_equal(sp_form_write_json(&json.arena, json.msg, SP_FORM_PRETTY, &second), 0);
    assert_true(sp_str_eq(sp_buf_str(&first), sp_buf_str(&second)));

    void *decoded;
    assert_int_equal(sp_form_pb_encode(yaml.msg, &wire), 0);
    assert_int_equal(sp_form_pb_decode(&yaml.arena, BOOTSTRAP, sp_buf_str(&wire), &decoded), 0);
    assert_int_equal(sp_form_write_json(&yaml.arena, decoded, SP_FORM_PRETTY, &third), 0);
    assert_true(sp_str_eq(sp_buf_str(&first), sp_buf_str(&third)));
    for (size_t i = 0; i < SP_COUNTOF(all); i++)
        sp_buf_deinit(all[i]);
    read_end(&json);
    read_end(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_of_a_name_are_taken),
        cmocka_unit_test(block_and_flow_style_read_alike),
        cmocka_unit_test(integers_may_be_strings_or_have_exponents),
        cmocka_unit_test(reals_read_back_as_the_same_bits),
        cmocka_unit_test(strings_keep_every_character),
        cmocka_unit_test(bytes_are_base64_in_both_alphabets),
        cmocka_unit_test(enums_go_by_name_or_number),
        cmocka_unit_test(maps_take_keys_of_every_kind),
        cmocka_unit_test(a_oneof_remembers_a_zero),
        cmocka_unit_test(an_optional_field_remembers_a_zero),
        cmocka_unit_test(times_are_spelled_with_the_digits_they_need),
        cmocka_unit_test(wrappers_are_bare_and_absent_is_not_zero),
        cmocka_unit_test(free_values_are_themselves),
        cmocka_unit_test(words_in_free_values_become_what_envoy_makes_of_them),
        cmocka_unit_test(any_holds_messages_and_special_types),
        cmocka_unit_test(null_leaves_a_field_absent),
        cmocka_unit_test(what_is_refused_is_taken_where_the_reader_says_so),
        cmocka_unit_test(a_whole_bootstrap_becomes_structs),
        cmocka_unit_test(a_bootstrap_is_a_fixed_point_of_all_three_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
