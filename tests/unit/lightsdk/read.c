/* read: the bodies that SDKs send, and all that is not one. */
#include "lightsdk/lightsdk_impl.h"

#include "unit/base/help.h"

enum { BLOCK = 4096, LIMIT = 512 * 1024 };

static sp_err read_body(struct sp_arena *arena, const char *body, struct sp_lightsdk_ask *ask, char *why)
{
    sp_arena_reset(arena);
    why[0] = 0;
    return sp_lightsdk_read(arena, sp_str_c(body), ask, why);
}

static void check_refused(const char *body, sp_err err, const char *words)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask = { .port = 4711 };
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    sp_err got = read_body(&arena, body, &ask, why);
    if (got != err)
        fail_msg("%s: %d (%s)", body, got, why);
    check_str(sp_str_c(why), words);
    assert_int_equal(ask.port, 4711); /* untouched */
    sp_arena_deinit(&arena);
}

static void what_sofarpc_publishes_is_read(void **state)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    assert_int_equal(
        read_body(&arena,
                  "{\"onlyPublishInCloud\":false,\"protocolType\":\"bolt\",\"providerMetaInfo\":{"
                  "\"appName\":\"acme-echo\",\"properties\":{\"timeout\":\"3000\",\"startTime\":17,"
                  "\"warm\":true,\"gone\":null,\"caf\\u00e9\":\"\\u8222\"},\"protocol\":\"bolt\","
                  "\"serializeType\":\"hessian2\",\"version\":\"4.0\"},"
                  "\"serviceName\":\"com.acme.EchoService:1.0\"}",
                  &ask, why),
        0);
    const struct sp_lightsdk_publication *p = &ask.publication;
    check_str(ask.service, "com.acme.EchoService:1.0");
    check_str(p->service, "com.acme.EchoService:1.0");
    check_str(p->protocol_type, "bolt");
    check_str(p->protocol, "bolt");
    check_str(p->version, "4.0");
    check_str(p->serialize_type, "hessian2");
    check_str(p->application, "acme-echo");
    assert_int_equal(p->properties.count, 4);
    check_str(p->properties.list[0].value, "3000");
    check_str(p->properties.list[1].value, "17");
    check_str(p->properties.list[2].value, "true");
    check_str(p->properties.list[3].name, "caf\xc3\xa9");
    check_str(p->properties.list[3].value, "\xe8\x88\xa2");
    assert_false(p->only_in_cloud);
    assert_int_equal(ask.port, 0);
    sp_arena_deinit(&arena);
}

static void what_anthunder_publishes_is_read(void **state)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    assert_int_equal(
        read_body(&arena,
                  "{\"serviceName\": \"com.acme.FromPython:1.0\", \"providerMetaInfo\": {\"protocol\": "
                  "\"1\", \"version\": \"4.0\", \"serializeType\": \"protobuf\", \"appName\": \"py\"}, "
                  "\"port\": \"12201\", \"protocolType\": \"DEFAULT\", \"onlyPublishInCloud\": true}",
                  &ask, why),
        0);
    assert_int_equal(ask.port, 12201);
    check_str(ask.publication.protocol, "1");
    assert_true(ask.publication.only_in_cloud);
    assert_int_equal(read_body(&arena, "{\"port\": 80}", &ask, why), 0);
    assert_int_equal(ask.port, 80);
    assert_int_equal(read_body(&arena, "{\"port\": \"\"}", &ask, why), 0);
    assert_int_equal(ask.port, 0);
    assert_int_equal(read_body(&arena, "{\"port\": null, \"serviceName\": null}", &ask, why), 0);
    assert_int_equal(ask.service.len, 0);
    sp_arena_deinit(&arena);
}

static void what_subscribers_send_is_read(void **state)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    assert_int_equal(
        read_body(&arena,
                  "{\"group\":\"blue\",\"localCloudFirst\":true,\"properties\":{\"a\":\"b\"},"
                  "\"protocolType\":\"bolt\",\"serviceName\":\"s\",\"targetAppAddress\":\"1.2.3.4:5\","
                  "\"vipEnforce\":true,\"vipOnly\":false}",
                  &ask, why),
        0);
    const struct sp_lightsdk_subscription *s = &ask.subscription;
    check_str(s->service, "s");
    check_str(s->protocol_type, "bolt");
    check_str(s->group, "blue");
    check_str(s->target, "1.2.3.4:5");
    assert_true(s->vip_enforce && s->local_cloud_first && !s->vip_only);
    assert_int_equal(s->properties.count, 1);
    sp_arena_deinit(&arena);
}

static void fields_that_nobody_knows_are_passed_over_whatever_they_hold(void **state)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    assert_int_equal(
        read_body(&arena,
                  "{\"a\":1,\"b\":[],\"c\":{},\"d\":[[{\"serviceName\":\"no\"},[]],{\"x\":[1,{}]}],"
                  "\"e\":\"s\",\"f\":null,\"g\":true,\"serviceName\":\"yes\",\"h\":{\"i\":{\"j\":[]}},"
                  "\"providerMetaInfo\":{\"new\":[{}],\"protocol\":\"bolt\"}}",
                  &ask, why),
        0);
    check_str(ask.service, "yes");
    check_str(ask.publication.protocol, "bolt");
    assert_int_equal(read_body(&arena, "{}", &ask, why), 0);
    sp_arena_deinit(&arena);
}

static void what_is_wrong_is_said_at_its_place(void **state)
{
    check_refused("", SP_E_INVALID, "the body is not JSON: a value should stand here (line 1, column 1)");
    check_refused("{\"a\" 1}", SP_E_INVALID,
                  "the body is not JSON: a colon should stand here (line 1, column 6)");
    check_refused("{} x", SP_E_INVALID,
                  "the body is not JSON: something stands behind the end (line 1, column 4)");
    check_refused("[]", SP_E_INVALID, "the body should be a map (line 1, column 1)");
    check_refused("\"serviceName\"", SP_E_INVALID, "the body should be a map (line 1, column 1)");
    check_refused("{\n \"serviceName\": [1]}", SP_E_INVALID,
                  "serviceName should be a string (line 2, column 17)");
    check_refused("{\"serviceName\":true}", SP_E_INVALID,
                  "serviceName should be a string (line 1, column 16)");
    check_refused("{\"serviceName\":5}", SP_E_INVALID, "serviceName should be a string (line 1, column 16)");
    check_refused("{\"providerMetaInfo\":{\"version\":4.0,\n\"protocol\":1}}", SP_E_INVALID,
                  "protocol should be a string (line 2, column 12)");
    check_refused("{\"vipOnly\":\"yes\"}", SP_E_INVALID,
                  "vipOnly should be true or false (line 1, column 12)");
    check_refused("{\"parameters\":[]}", SP_E_INVALID,
                  "parameters should be a map of strings (line 1, column 15)");
    check_refused("{\"parameters\":{\"a\":{}}}", SP_E_INVALID,
                  "parameters should hold strings only (line 1, column 20)");
    check_refused("{\"providerMetaInfo\":\"x\"}", SP_E_INVALID,
                  "providerMetaInfo should be a map (line 1, column 21)");
    check_refused("{\"serviceName\":\"a\",\"serviceName\":\"b\"}", SP_E_INVALID,
                  "serviceName stands twice (line 1, column 20)");
    check_refused("{\"port\":0}", SP_E_INVALID, "port should be a number from 1 to 65535 (line 1, column 9)");
    check_refused("{\"port\":\"65536\"}", SP_E_INVALID,
                  "port should be a number from 1 to 65535 (line 1, column 9)");
    check_refused("{\"port\":80.5}", SP_E_INVALID,
                  "port should be a number from 1 to 65535 (line 1, column 9)");
    check_refused("{\"port\":{}}", SP_E_INVALID,
                  "port should be a number from 1 to 65535 (line 1, column 9)");
}

static void a_body_cut_anywhere_is_refused(void **state)
{
    const char whole[] =
        "{\"serviceName\":\"s\\u00e9\",\"providerMetaInfo\":{\"protocol\":\"bolt\",\"properties\":"
        "{\"a\":\"b\"}},\"port\":\"80\",\"x\":[{\"y\":[1]}]}";
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    for (size_t cut = 0; cut < sizeof(whole) - 1; cut++) {
        sp_arena_reset(&arena);
        why[0] = 0;
        if (sp_lightsdk_read(&arena, sp_str_of(whole, cut), &ask, why) != SP_E_INVALID || !why[0])
            fail_msg("cut at %zu it is taken", cut);
    }
    assert_int_equal(sp_lightsdk_read(&arena, sp_str_c(whole), &ask, why), 0);
    sp_arena_deinit(&arena);
}

static void maps_and_depths_have_an_end(void **state)
{
    char body[16 * 1024], *at = body;
    at += snprintf(at, 64, "{\"parameters\":{");
    for (int i = 0; i <= SP_LIGHTSDK_PAIRS_MAX; i++)
        at += snprintf(at, 64, "%s\"k%d\":\"v\"", i ? "," : "", i);
    snprintf(at, 64, "}}");
    check_refused(body, SP_E_LIMIT, "parameters holds more than 256 pairs (line 1, column 2729)");
    at = body + snprintf(body, 64, "{\"x\":");
    memset(at, '[', 5000);
    at[5000] = 0;
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, LIMIT);
    assert_int_equal(read_body(&arena, body, &ask, why), SP_E_LIMIT);
    sp_arena_deinit(&arena);
}

static void an_arena_that_is_out_is_told(void **state)
{
    struct sp_arena arena;
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES];
    sp_arena_init(&arena, NULL, 0, BLOCK, BLOCK);
    assert_int_equal(read_body(&arena, "{\"parameters\":{}}", &ask, why), SP_E_NOMEM);
    check_str(sp_str_c(why), "parameters needs too much memory (line 1, column 15)");
    sp_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_sofarpc_publishes_is_read),
        cmocka_unit_test(what_anthunder_publishes_is_read),
        cmocka_unit_test(what_subscribers_send_is_read),
        cmocka_unit_test(fields_that_nobody_knows_are_passed_over_whatever_they_hold),
        cmocka_unit_test(what_is_wrong_is_said_at_its_place),
        cmocka_unit_test(a_body_cut_anywhere_is_refused),
        cmocka_unit_test(maps_and_depths_have_an_end),
        cmocka_unit_test(an_arena_that_is_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
