/* lightsdk: the door over real connections: what SDKs ask, what they are told, what is kept and what is
 * not. */
#include "lightsdk/lightsdk.h"

#include "lib/http.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "lightsdk/lightsdk_impl.h"
#include "model/settings.h"
#include "rpc/http.h"

struct world {
    struct sp_loop *loop;
    struct sp_settings settings;
    struct sp_lightsdk *sdk;
    sp_addr door;
    int changes;
    uint64_t now_ns; /* the sdk's clock */
    struct sp_log log;
    int lines;
    char line[512]; /* the last */
};

static uint64_t now_ns(void *arg)
{
    return ((struct world *)arg)->now_ns;
}

static void on_line(void *arg, enum sp_log_level level, sp_str line)
{
    struct world *w = arg;
    (void)level;
    w->lines++;
    snprintf(w->line, sizeof(w->line), "%.*s", SP_STR_ARG(line));
}

static void on_change(void *arg)
{
    struct world *w = arg;
    w->changes++;
}

static const struct sp_lightsdk_app_spec apps[] = {
    { { "bolt", 4 }, { .family = SP_ADDR_IP4, .port = 12200, .ip = { 127, 0, 0, 1 } } },
    { { "dubbo", 5 }, { .family = SP_ADDR_IP4, .port = 20880, .ip = { 10, 0, 0, 9 } } },
};

static void open_world(struct world *w)
{
    struct sp_listen_config where = { .addr = { .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 } } };
    *w = (struct world){ .loop = sp_loop_new(NULL) };
    assert_non_null(w->loop);
    w->settings.lightsdk.apps = apps;
    w->settings.lightsdk.app_count = SP_COUNTOF(apps);
    w->log = (struct sp_log){ .level = SP_LOG_WARN, .sink = on_line, .sink_arg = w };
    w->sdk = sp_lightsdk_new(&(struct sp_lightsdk_config){ .loop = w->loop,
                                                           .settings = &w->settings,
                                                           .log = &w->log,
                                                           .seed = 1,
                                                           .now_ns = now_ns,
                                                           .on_change = on_change,
                                                           .arg = w });
    assert_non_null(w->sdk);
    assert_int_equal(sp_http_server_listen(sp_lightsdk_server(w->sdk), &where), 0);
    assert_int_equal(sp_http_server_local(sp_lightsdk_server(w->sdk), 0, &w->door), 0);
}

static void close_world(struct world *w)
{
    sp_lightsdk_free(w->sdk);
    sp_loop_turn(w->loop, 0);
    sp_loop_turn(w->loop, 0);
    sp_loop_free(w->loop);
}

/* Sends it as the SDKs do and gives the body of the answer (free it). */
static char *post_with(struct world *w, const char *path, const char *headers, const char *body, int status)
{
    size_t room = strlen(body) + 512;
    char *ask = malloc(room);
    snprintf(ask, room,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1:13330\r\nContent-Type: text/plain\r\nConnection: close\r\n"
             "%sContent-Length: %zu\r\n\r\n%s",
             path, headers, strlen(body), body);
    char *answer = http_talk(w->loop, &w->door, ask);
    free(ask);
    assert_int_equal(http_status(answer), status);
    char *text = strdup(http_body(answer));
    free(answer);
    return text;
}

static void check_post(struct world *w, const char *path, const char *body, const char *want)
{
    char *got = post_with(w, path, "", body, 200);
    if (strcmp(got, want) != 0)
        fail_msg("%s %s answers %sand should answer %s", path, body, got, want);
    free(got);
}

static void check_refused(struct world *w, const char *path, const char *body, const char *why)
{
    char want[512];
    snprintf(want, sizeof(want), "{\"success\":false,\"errorMessage\":\"%s\"}\n", why);
    check_post(w, path, body, want);
}

#define GOOD "{\"success\":true}\n"

static char *shown(const struct sp_lightsdk *sdk)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_lightsdk_write_json(sdk, &out);
    assert_false(out.failed);
    char *text = strndup(out.ptr, out.len);
    sp_buf_deinit(&out);
    return text;
}

static void check_shown(const struct world *w, const char *part)
{
    char *text = shown(w->sdk);
    if (!strstr(text, part))
        fail_msg("%s is not in %s", part, text);
    free(text);
}

/* ---- tests ---- */

static void an_application_tells_its_name_before_all_else(void **state)
{
    struct world w;
    open_world(&w);
    check_post(&w, "/configs/application", "{\"appName\":\"acme\",\"parameters\":{\"accessKey\":\"geheim\"}}",
               GOOD);
    check_post(&w, "/configs/application", "{\"appName\":\"acme\"}", GOOD); /* started anew */
    check_post(&w, "/configs/application", "{}", GOOD);                     /* SOFARPC without a name */
    check_post(&w, "/configs/application",
               "{\"appName\":\"b\",\"parameters\":{\"zone\":\"z\",\"key\":\"geheim\"}}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).applications, 3);
    assert_int_equal(w.changes, 4);
    check_shown(
        &w, "\"applications\":[{\"appName\":\"acme\"},{\"appName\":\"\"},{\"appName\":\"b\",\"parameters\":"
            "[\"zone\",\"key\"]}]");
    char *text = shown(w.sdk);
    assert_null(strstr(text, "geheim"));
    free(text);
    close_world(&w);
}

static void a_published_service_has_the_address_that_the_bootstrap_tells_for_its_protocol(void **state)
{
    struct world w;
    open_world(&w);
    check_post(
        &w, "/services/publish",
        "{\"serviceName\":\"com.acme.Echo:1.0\",\"protocolType\":\"bolt\",\"providerMetaInfo\":{\"protocol\":"
        "\"bolt\",\"version\":\"4.0\",\"serializeType\":\"hessian2\",\"appName\":\"acme\",\"properties\":"
        "{\"timeout\":\"3000\"}}}",
        GOOD);
    const struct sp_lightsdk_publication *p = sp_lightsdk_find(w.sdk, SP_STR("com.acme.Echo:1.0"));
    assert_non_null(p);
    assert_int_equal(p->source, SP_LIGHTSDK_BY_BOOTSTRAP);
    assert_true(sp_addr_eq(&p->addr, &apps[0].addr));
    check_shown(
        &w, "\"publications\":[{\"serviceName\":\"com.acme.Echo:1.0\",\"protocolType\":\"bolt\",\"protocol\":"
            "\"bolt\",\"version\":\"4.0\",\"serializeType\":\"hessian2\",\"appName\":\"acme\",\"properties\":"
            "{\"timeout\":\"3000\"},\"address\":\"127.0.0.1:12200\",\"addressFrom\":\"bootstrap\"}]");
    check_post(&w, "/services/publish", "{\"serviceName\":\"d\",\"protocolType\":\"Dubbo\"}", GOOD);
    p = sp_lightsdk_find(w.sdk, SP_STR("d"));
    assert_true(p && sp_addr_eq(&p->addr, &apps[1].addr));
    check_post(&w, "/services/publish", "{\"serviceName\":\"one\",\"providerMetaInfo\":{\"protocol\":\"1\"}}",
               GOOD);
    p = sp_lightsdk_find(w.sdk, SP_STR("one"));
    assert_true(p && sp_addr_eq(&p->addr, &apps[0].addr));
    close_world(&w);
}

static void a_port_that_the_application_tells_goes_before_the_bootstraps(void **state)
{
    struct world w;
    open_world(&w);
    check_post(
        &w, "/services/publish",
        "{\"serviceName\":\"a\",\"port\":\"4711\",\"providerMetaInfo\":{\"protocol\":\"bolt\",\"properties\":"
        "{\"port\":\"4712\"}}}",
        GOOD);
    check_post(&w, "/services/publish",
               "{\"serviceName\":\"b\",\"protocolType\":\"bolt\",\"providerMetaInfo\":{\"properties\":"
               "{\"port\":\"4712\"}}}",
               GOOD);
    check_post(&w, "/services/publish",
               "{\"serviceName\":\"c\",\"protocolType\":\"bolt\",\"providerMetaInfo\":{\"properties\":"
               "{\"port\":\"x\"}}}",
               GOOD);
    const struct sp_lightsdk_publication *p = sp_lightsdk_publication_next(w.sdk, NULL);
    assert_int_equal(p->addr.port, 4711);
    assert_true(sp_addr_is_loopback(&p->addr));
    assert_int_equal(p->source, SP_LIGHTSDK_BY_PORT);
    p = sp_lightsdk_publication_next(w.sdk, p);
    assert_int_equal(p->addr.port, 4712);
    assert_int_equal(p->source, SP_LIGHTSDK_BY_PROPERTY);
    p = sp_lightsdk_publication_next(w.sdk, p);
    assert_int_equal(p->addr.port, 12200);
    assert_null(sp_lightsdk_publication_next(w.sdk, p));
    close_world(&w);
}

static void a_service_whose_address_nobody_tells_is_kept_without_one(void **state)
{
    struct world w;
    open_world(&w);
    check_post(&w, "/services/publish", "{\"serviceName\":\"t\",\"protocolType\":\"tr\"}", GOOD);
    assert_null(sp_lightsdk_find(w.sdk, SP_STR("t")));
    check_shown(&w, "{\"serviceName\":\"t\",\"protocolType\":\"tr\",\"addressFrom\":\"unknown\"}");
    close_world(&w);
}

static void publishing_twice_is_publishing_once(void **state)
{
    struct world w;
    open_world(&w);
    for (int i = 0; i < 3; i++)
        check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\"}", GOOD);
    uint64_t kept = sp_lightsdk_view(w.sdk).kept_bytes;
    check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\",\"port\":5}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).publications, 1);
    assert_int_equal(sp_lightsdk_view(w.sdk).kept_bytes, kept);
    assert_int_equal(sp_lightsdk_find(w.sdk, SP_STR("s"))->addr.port, 5);
    check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"dubbo\"}", GOOD);
    check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\",\"group\":\"g\"}",
               GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).publications, 3);
    close_world(&w);
}

static void unpublishing_takes_back_what_is_named(void **state)
{
    struct world w;
    open_world(&w);
    check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\"}", GOOD);
    check_post(&w, "/services/publish", "{\"serviceName\":\"s\",\"protocolType\":\"dubbo\"}", GOOD);
    check_post(&w, "/services/publish", "{\"serviceName\":\"other\",\"protocolType\":\"DEFAULT\"}", GOOD);
    check_post(&w, "/services/unpublish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\"}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).publications, 2);
    /* gone already */
    check_post(&w, "/services/unpublish", "{\"serviceName\":\"s\",\"protocolType\":\"bolt\"}", GOOD);
    assert_int_equal(w.changes, 4);
    check_post(&w, "/services/unpublish", "{\"serviceName\":\"other\"}", GOOD); /* as anthunder says it */
    check_post(&w, "/services/unpublish", "{\"serviceName\":\"s\"}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).publications, 0);
    assert_int_equal(sp_lightsdk_view(w.sdk).kept_bytes, 0);
    close_world(&w);
}

static void a_subscriber_is_told_to_call_its_own_machine(void **state)
{
    struct world w;
    open_world(&w);
    check_post(&w, "/services/subscribe", "{\"serviceName\":\"com.acme.Echo:1.0\",\"protocolType\":\"bolt\"}",
               "{\"success\":true,\"serviceName\":\"com.acme.Echo:1.0\",\"datas\":[]}\n");
    check_post(&w, "/services/subscribe",
               "{\"serviceName\":\"com.acme.Echo:1.0\",\"targetAppAddress\":\"1.2.3.4:5\"}",
               "{\"success\":true,\"serviceName\":\"com.acme.Echo:1.0\",\"datas\":[]}\n");
    assert_int_equal(sp_lightsdk_view(w.sdk).subscriptions, 2);
    check_shown(&w, "\"subscriptions\":[{\"serviceName\":\"com.acme.Echo:1.0\",\"protocolType\":\"bolt\"},"
                    "{\"serviceName\":\"com.acme.Echo:1.0\",\"targetAppAddress\":\"1.2.3.4:5\"}]");
    check_post(&w, "/services/unsubscribe",
               "{\"serviceName\":\"com.acme.Echo:1.0\",\"targetAppAddress\":\"1.2.3.4:5\"}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).subscriptions, 1);
    check_post(&w, "/services/unsubscribe", "{\"serviceName\":\"com.acme.Echo:1.0\"}", GOOD);
    check_post(&w, "/services/unsubscribe", "{\"serviceName\":\"com.acme.Echo:1.0\"}", GOOD);
    assert_int_equal(sp_lightsdk_view(w.sdk).subscriptions, 0);
    assert_int_equal(w.changes, 4);
    close_world(&w);
}

static void what_is_wrong_is_told_with_status_200_and_why(void **state)
{
    struct world w;
    open_world(&w);
    const char *const paths[] = { "/services/publish", "/services/unpublish", "/services/subscribe",
                                  "/services/unsubscribe" };
    for (size_t i = 0; i < SP_COUNTOF(paths); i++) {
        check_refused(&w, paths[i], "{}", "serviceName is missing");
        check_refused(&w, paths[i], "{\"serviceName\":\"\"}", "serviceName is missing");
        check_refused(&w, paths[i], "{\"serviceName\":\"a\\u0000b\"}",
                      "serviceName should be up to 512 bytes without control characters");
        check_refused(&w, paths[i], "serviceName=a",
                      "the body is not JSON: a value should stand here (line 1, column 1)");
        check_refused(&w, paths[i], "", "the body is not JSON: a value should stand here (line 1, column 1)");
    }
    check_refused(&w, "/services/publish", "{\"serviceName\":\"a\",\"port\":\"no\"}",
                  "port should be a number from 1 to 65535 (line 1, column 27)");
    check_refused(&w, "/configs/application", "{\"appName\":\"a\\nb\"}",
                  "appName should be up to 512 bytes without control characters");
    check_refused(
        &w, "/services/subscribe", "{\"serviceName\":\"a\",\"protocolType\":\"\\u0007\"}",
        "protocolType, group and targetAppAddress should be up to 512 bytes without control characters");
    struct sp_lightsdk_view view = sp_lightsdk_view(w.sdk);
    assert_int_equal(view.asks, 23);
    assert_int_equal(view.wrong, 23);
    assert_int_equal(view.publications + view.subscriptions + view.applications, 0);
    assert_int_equal(w.changes, 0);
    close_world(&w);
}

static void what_is_no_request_of_the_interface_has_another_status(void **state)
{
    struct world w;
    open_world(&w);
    free(post_with(&w, "/services/frobnicate", "", "{}", 404));
    char *answer = http_talk(w.loop, &w.door,
                             "GET /services/publish HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_status(answer), 405);
    free(answer);
    char *big = malloc(SP_LIGHTSDK_ASK_BYTES + 2);
    memset(big, ' ', SP_LIGHTSDK_ASK_BYTES + 1);
    big[SP_LIGHTSDK_ASK_BYTES + 1] = 0;
    free(post_with(&w, "/services/publish", "", big, 413));
    free(big);
    assert_int_equal(sp_lightsdk_view(w.sdk).asks, 0);
    close_world(&w);
}

static void a_page_in_a_browser_is_refused(void **state)
{
    struct world w;
    open_world(&w);
    free(post_with(&w, "/services/publish", "Origin: http://evil.example\r\n", "{\"serviceName\":\"a\"}",
                   403));
    free(post_with(&w, "/services/publish", "origin: null\r\n", "{\"serviceName\":\"a\"}", 403));
    assert_int_equal(sp_lightsdk_view(w.sdk).publications, 0);
    close_world(&w);
}

static void people_can_read_what_is_kept(void **state)
{
    struct world w;
    open_world(&w);
    check_refused(&w, "/services/publish", "{}", "serviceName is missing");
    check_post(&w, "/services/publish", "{\"serviceName\":\"\\\"<\\u00e9>\"}", GOOD);
    char *answer = http_talk(w.loop, &w.door,
                             "GET /services HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_status(answer), 200);
    assert_non_null(strstr(answer, "application/json"));
    char *body = http_body(answer), *wanted = shown(w.sdk);
    assert_string_equal(body, wanted);
    assert_non_null(strstr(body, "{\"serviceName\":\"\\\"<\xc3\xa9>\",\"addressFrom\":\"unknown\"}"));
    assert_non_null(strstr(body, "\"requests\":{\"taken\":1,\"wrong\":1,\"limited\":0}"));
    free(wanted);
    free(answer);
    close_world(&w);
}

static void the_number_of_each_kind_is_limited_and_what_is_known_can_still_be_said_again(void **state)
{
    struct world w;
    char body[128];
    open_world(&w);
    for (int i = 0; i < SP_LIGHTSDK_APPLICATIONS_MAX; i++) {
        snprintf(body, sizeof(body), "{\"appName\":\"a%d\"}", i);
        check_post(&w, "/configs/application", body, GOOD);
    }
    check_refused(&w, "/configs/application", "{\"appName\":\"more\"}",
                  "the sidecar keeps no more: a limit of light SDK entries is reached");
    check_post(&w, "/configs/application", "{\"appName\":\"a7\"}", GOOD);
    struct sp_lightsdk_view view = sp_lightsdk_view(w.sdk);
    assert_int_equal(view.applications, SP_LIGHTSDK_APPLICATIONS_MAX);
    assert_int_equal(view.limited, 1);
    assert_int_equal(view.wrong, 0);
    close_world(&w);
}

static void bytes_together_are_limited(void **state)
{
    struct world w;
    enum { EACH = 60 * 1024 };
    char *body = malloc(EACH + 256);
    open_world(&w);
    int kept = 0;
    uint64_t limit = SP_LIGHTSDK_KEPT_BYTES;
    for (; sp_lightsdk_view(w.sdk).limited == 0 && kept < 1000; kept++) {
        int len = snprintf(body, 256, "{\"serviceName\":\"s%d\",\"properties\":{\"x\":\"", kept);
        memset(body + len, 'x', EACH);
        memcpy(body + len + EACH, "\"}}", 4);
        free(post_with(&w, "/services/subscribe", "", body, 200));
        assert_true(sp_lightsdk_view(w.sdk).kept_bytes <= limit);
    }
    assert_in_range(kept, limit / EACH - 10, limit / EACH + 1);
    check_post(&w, "/services/unsubscribe", "{\"serviceName\":\"s0\"}", GOOD);
    char *again = post_with(&w, "/services/subscribe", "", body, 200);
    assert_non_null(strstr(again, "\"success\":true"));
    free(again);
    free(body);
    close_world(&w);
}

static void each_allocation_that_fails_while_it_is_made_leaves_nothing(void **state)
{
    struct world w;
    open_world(&w);
    uint64_t live = sp_mem_live_blocks();
    for (uint64_t n = 1;; n++) {
        sp_mem_fail_at(n);
        struct sp_lightsdk *other = sp_lightsdk_new(
            &(struct sp_lightsdk_config){ .loop = w.loop, .settings = &w.settings, .seed = 1 });
        sp_mem_fail_at(0);
        if (other) {
            assert_true(n > 1);
            sp_lightsdk_free(other);
            sp_loop_turn(w.loop, 0);
            assert_int_equal(sp_mem_live_blocks(), live);
            break;
        }
        assert_int_equal(sp_mem_live_blocks(), live);
    }
    close_world(&w);
}

static void each_allocation_that_fails_while_a_service_is_published_leaves_the_former(void **state)
{
    struct sp_lightsdk_pair pair = { SP_STR("k"), SP_STR("v") };
    struct sp_lightsdk_publication p = { .service = SP_STR("s"),
                                         .properties = { &pair, 1 },
                                         .addr = apps[0].addr };
    struct world w;
    open_world(&w);
    assert_int_equal(sp_lightsdk_keep(w.sdk, SP_LIGHTSDK_PUBLICATIONS, &p), 0);
    char *before = shown(w.sdk);
    p.addr = apps[1].addr;
    for (uint64_t n = 1;; n++) {
        sp_mem_fail_at(n);
        sp_err err = sp_lightsdk_keep(w.sdk, SP_LIGHTSDK_PUBLICATIONS, &p);
        sp_mem_fail_at(0);
        if (!err) {
            assert_true(n > 1);
            break;
        }
        assert_int_equal(err, SP_E_NOMEM);
        char *now = shown(w.sdk);
        assert_string_equal(before, now);
        free(now);
    }
    assert_int_equal(sp_lightsdk_find(w.sdk, SP_STR("s"))->addr.port, 20880);
    free(before);
    close_world(&w);
}

static void check_line(struct world *w, int lines, const char *part)
{
    assert_int_equal(w->lines, lines);
    if (!strstr(w->line, part))
        fail_msg("the last line is: %s", w->line);
}

static void a_thousand_refusals_leave_two_lines_and_a_count(void **state)
{
    struct world w;
    open_world(&w);
    for (int i = 0; i < 1000; i++) {
        w.now_ns = (uint64_t)i * 9999999; /* the last one just before ten seconds are over */
        check_refused(&w, "/services/publish", "{}", "serviceName is missing");
    }
    check_line(&w, 1, "path=/services/publish why=\"serviceName is missing\" unsaid=0\n");
    w.now_ns = 10000000000u;
    check_refused(&w, "/services/subscribe", "{}", "serviceName is missing");
    check_line(&w, 2, "path=/services/subscribe why=\"serviceName is missing\" unsaid=999\n");
    assert_int_equal(sp_lightsdk_view(w.sdk).wrong, 1001);
    w.now_ns = 60000000000u;
    check_refused(&w, "/services/subscribe", "{}", "serviceName is missing");
    check_line(&w, 3, "unsaid=0\n");
    close_world(&w);
}

static void services_that_nobody_serves_leave_a_line_and_a_count(void **state)
{
    struct world w;
    open_world(&w);
    for (int i = 0; i < 20; i++)
        check_post(&w, "/services/publish", "{\"serviceName\":\"lost\",\"protocolType\":\"tr\"}", GOOD);
    check_line(&w, 1, "service=lost protocol= unsaid=0\n");
    check_refused(&w, "/services/publish", "{}", "serviceName is missing"); /* has a pace of its own */
    assert_int_equal(w.lines, 2);
    w.now_ns = 10000000000u;
    check_post(&w, "/services/publish", "{\"serviceName\":\"lost\"}", GOOD);
    check_line(&w, 3, "unsaid=19\n");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_application_tells_its_name_before_all_else),
        cmocka_unit_test(a_published_service_has_the_address_that_the_bootstrap_tells_for_its_protocol),
        cmocka_unit_test(a_port_that_the_application_tells_goes_before_the_bootstraps),
        cmocka_unit_test(a_service_whose_address_nobody_tells_is_kept_without_one),
        cmocka_unit_test(publishing_twice_is_publishing_once),
        cmocka_unit_test(unpublishing_takes_back_what_is_named),
        cmocka_unit_test(a_subscriber_is_told_to_call_its_own_machine),
        cmocka_unit_test(what_is_wrong_is_told_with_status_200_and_why),
        cmocka_unit_test(what_is_no_request_of_the_interface_has_another_status),
        cmocka_unit_test(a_page_in_a_browser_is_refused),
        cmocka_unit_test(people_can_read_what_is_kept),
        cmocka_unit_test(the_number_of_each_kind_is_limited_and_what_is_known_can_still_be_said_again),
        cmocka_unit_test(bytes_together_are_limited),
        cmocka_unit_test(each_allocation_that_fails_while_it_is_made_leaves_nothing),
        cmocka_unit_test(each_allocation_that_fails_while_a_service_is_published_leaves_the_former),
        cmocka_unit_test(a_thousand_refusals_leave_two_lines_and_a_count),
        cmocka_unit_test(services_that_nobody_serves_leave_a_line_and_a_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
