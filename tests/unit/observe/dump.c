/* dump: /config_dump of a bootstrap that a person wrote: Envoy's shape, everything in it, no credential. */
#include "unit/observe/help.h"

#include "base/buf.h"
#include "form/pb.h"
#include "form/read.h"
#include "form/write.h"

static const char bootstrap[] =
    "node: {id: n1, cluster: c1}\n"
    "static_resources:\n"
    "  listeners:\n"
    "  - name: front\n"
    "    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n"
    "    filter_chains:\n"
    "    - filters:\n"
    "      - name: envoy.filters.network.http_connection_manager\n"
    "        typed_config:\n"
    "          \"@type\": type.googleapis.com/"
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n"
    "          stat_prefix: in\n"
    "          route_config:\n"
    "            name: local\n"
    "            virtual_hosts:\n"
    "            - name: all\n"
    "              domains: [\"*\"]\n"
    "              request_headers_to_add:\n"
    "              - header: {key: AUTHORIZATION, value: Bearer s3cret}\n"
    "              - header: {key: x-plain, value: shown}\n"
    "              routes: [{match: {prefix: \"/\"}, route: {cluster: out}}]\n"
    "          http_filters:\n"
    "          - name: envoy.filters.http.router\n"
    "            typed_config:\n"
    "              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n"
    "  clusters:\n"
    "  - name: out\n"
    "    type: STATIC\n"
    "    load_assignment:\n"
    "      cluster_name: out\n"
    "      endpoints:\n"
    "      - lb_endpoints:\n"
    "        - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}\n";

struct read {
    struct paper *paper;
    struct sp_arena arena;
    struct sp_form_doc doc;
};

static int set_up(void **state)
{
    struct read *r = calloc(1, sizeof *r);
    r->paper = paper_new();
    sp_arena_init(&r->arena, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_doc_init(&r->doc, &r->arena, "test.yaml"), 0);
    void *msg = NULL;
    if (sp_form_read_text(&r->doc, &sp_pb_bootstrap_bootstrap_msg, sp_str_c(bootstrap), 0, &msg))
        fail_msg("the bootstrap: %s", r->doc.errors_len ? r->doc.errors[0].text : "");
    r->paper->config.bootstrap = msg;
    paper_open(r->paper);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct read *r = *state;
    paper_free(r->paper);
    sp_arena_deinit(&r->arena);
    free(r);
    return 0;
}

static void expect_in(const char *page, const char *text)
{
    assert_non_null(page);
    if (!strstr(page, text))
        fail_msg("no %s in %.4000s", text, page);
}

static void the_configuration_is_shown_in_envoys_shape(void **state)
{
    struct read *r = *state;
    char *answer;
    char *page = paper_page(r->paper, "/config_dump", &answer);
    expect_json(page);
    expect_in(page, "{\"@type\":\"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump\","
                    "\"bootstrap\":{\"node\":{\"id\":\"n1\"");
    expect_in(page, "{\"@type\":\"type.googleapis.com/envoy.admin.v3.ClustersConfigDump\","
                    "\"static_clusters\":[{\"cluster\":"
                    "{\"@type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\"name\":\"out\"");
    expect_in(page, "\"static_listeners\":[{\"listener\":"
                    "{\"@type\":\"type.googleapis.com/envoy.config.listener.v3.Listener\","
                    "\"name\":\"front\"");
    expect_in(page, "\"static_route_configs\":[{\"route_config\":{\"@type\":"
                    "\"type.googleapis.com/envoy.config.route.v3.RouteConfiguration\",\"name\":\"local\"");
    expect_in(page, "\"ignored\":[]}");
    assert_non_null(strstr(answer, "application/json"));
    free(answer);
}

static void credentials_are_hidden_and_the_configuration_stays_as_it_was(void **state)
{
    struct read *r = *state;
    for (int again = 0; again < 2; again++) {
        char *answer;
        char *page = paper_page(r->paper, "/config_dump", &answer);
        assert_null(strstr(page, "s3cret"));
        expect_in(page, "\"value\":\"[hidden]\"");
        expect_in(page, "\"value\":\"shown\"");
        free(answer);
    }
    struct sp_buf now;
    sp_buf_init(&now, 0);
    assert_int_equal(sp_form_write_json(&r->arena, r->paper->config.bootstrap, 0, &now), 0);
    sp_buf_add_char(&now, '\0');
    expect_in(now.ptr, "Bearer s3cret");
    sp_buf_deinit(&now);
}

static void memory_that_is_out_hides_nothing_for_ever(void **state)
{
    struct read *r = *state;
    for (uint64_t n = 1; n < 40; n++) {
        (void)sp_mem_fail_at(n);
        char *answer = http_talk(r->paper->loop, &r->paper->tcp,
                                 "GET /config_dump HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        uint64_t made = sp_mem_fail_at(0);
        assert_null(strstr(answer, "s3cret"));
        free(answer);
        if (made < n)
            break;
    }
    credentials_are_hidden_and_the_configuration_stays_as_it_was(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_configuration_is_shown_in_envoys_shape),
        TEST(credentials_are_hidden_and_the_configuration_stays_as_it_was),
        TEST(memory_that_is_out_hides_nothing_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
