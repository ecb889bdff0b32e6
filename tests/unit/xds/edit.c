/* Header edits: what may be edited, with which value, and how. */
#include "unit/xds/help.h"

#define ROUTE_TO_OUT "match: {prefix: /}\nroute: {cluster: out}\n"

static void edits_are_taken_on_every_level(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&table_frame,
                "request_headers_to_add: [{header: {key: X-Table, value: t}}]\n"
                "response_headers_to_remove: [X-Gone]\n"
                "virtual_hosts:\n"
                "- name: a\n"
                "  domains: [\"*\"]\n"
                "  request_headers_to_remove: [X-Vhost]\n"
                "  response_headers_to_add: [{header: {key: x-v, value: v}, append_action: ADD_IF_ABSENT}]\n"
                "  routes:\n"
                "  - match: {prefix: /}\n"
                "    route: {cluster: out}\n"
                "    request_headers_to_add:\n"
                "    - {header: {key: a, value: 100%%}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}\n"
                "    - {header: {key: b, raw_value: YQ==}, append_action: OVERWRITE_IF_EXISTS}\n"
                "    - {header: {key: c}, append: false, keep_empty_value: true}\n"
                "    response_headers_to_remove: [x-r]\n",
                &l);
    const struct sp_route_table *table = chain_of(&l)->routes;
    check_str(table->request.add[0].name, "x-table");
    check_str(table->request.add[0].value, "t");
    assert_int_equal(table->request.add[0].action, SP_HEADER_APPEND);
    check_str(table->response.remove[0], "x-gone");
    check_str(table->vhosts[0].request.remove[0], "x-vhost");
    assert_int_equal(table->vhosts[0].response.add[0].action, SP_HEADER_ADD_IF_ABSENT);
    const struct sp_header_edits *edits = &route_of(&l)->request;
    assert_int_equal(edits->add_count, 3);
    check_str(edits->add[0].value, "100%");
    assert_int_equal(edits->add[0].action, SP_HEADER_OVERWRITE);
    check_str(edits->add[1].value, "a");
    assert_int_equal(edits->add[1].action, SP_HEADER_OVERWRITE_IF_PRESENT);
    assert_int_equal(edits->add[2].action, SP_HEADER_OVERWRITE);
    assert_true(edits->add[2].keep_empty && !edits->add[0].keep_empty);
    check_str(route_of(&l)->response.remove[0], "x-r");
    unload(&l);
}

/* Each of the four levels has four lists. */
static void every_level_has_its_four_lists(void **state)
{
    (void)state;
#define FOUR(level, indent)                                                                                  \
    indent "request_headers_to_add: [{header: {key: qa, value: " level "}}]\n" indent                        \
           "request_headers_to_remove: [qr-" level "]\n" indent                                              \
           "response_headers_to_add: [{header: {key: sa, value: " level "}}]\n" indent                       \
           "response_headers_to_remove: [sr-" level "]\n"
    struct loaded l;
    check_takes(
        &table_frame,
        FOUR("table", "") "virtual_hosts:\n- name: a\n  domains: [\"*\"]\n" FOUR(
            "vhost",
            "  ") "  routes:\n  - name: r\n    match: {prefix: /}\n" FOUR("route",
                                                                          "    ") "    route:\n      "
                                                                                  "weighted_clusters:\n     "
                                                                                  "   "
                                                                                  "clusters:\n        - "
                                                                                  "name: out\n "
                                                                                  "        "
                                                                                  " weight: 1\n" FOUR(
                                                                                      "weight", "          "),
        &l);
    const struct sp_route_table *t = chain_of(&l)->routes;
    const struct sp_vhost *v = &t->vhosts[0];
    const struct sp_route *r = route_of(&l);
    check_str(r->name, "r");
    const struct {
        const char *level;
        const struct sp_header_edits *request, *response;
    } levels[] = {
        { "table", &t->request, &t->response },
        { "vhost", &v->request, &v->response },
        { "route", &r->request, &r->response },
        { "weight", &r->weighted[0].request, &r->weighted[0].response },
    };
    for (size_t i = 0; i < SP_COUNTOF(levels); i++) {
        char name[32];
        check_str(levels[i].request->add[0].name, "qa");
        check_str(levels[i].request->add[0].value, levels[i].level);
        snprintf(name, sizeof(name), "qr-%s", levels[i].level);
        check_str(levels[i].request->remove[0], name);
        check_str(levels[i].response->add[0].name, "sa");
        check_str(levels[i].response->add[0].value, levels[i].level);
        snprintf(name, sizeof(name), "sr-%s", levels[i].level);
        check_str(levels[i].response->remove[0], name);
    }
    unload(&l);
#undef FOUR
}

static void operators_in_values_are_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        ROUTE_TO_OUT "request_headers_to_add:\n"
                     "- {header: {key: a, value: \"from %DOWNSTREAM_REMOTE_ADDRESS% here\"}}\n"
                     "- {header: {key: b, value: \"50%\"}}\n",
        "4:28: request_headers_to_add[0].header.value: the operator %DOWNSTREAM_REMOTE_ADDRESS% is not "
        "supported in "
        "headers; a per cent sign itself is written %%\n"
        "5:28: request_headers_to_add[1].header.value: the operator %% is not supported in headers; a per "
        "cent sign "
        "itself is written %%\n");
}

static void what_frames_a_message_cannot_be_edited(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        ROUTE_TO_OUT "request_headers_to_add:\n"
                     "- {header: {key: Content-Length, value: \"1\"}}\n"
                     "- {header: {key: \":path\", value: /a}}\n"
                     "- {header: {key: Host, value: h}}\n"
                     "response_headers_to_remove: [x-fine, transfer-encoding]\n",
        "4:18: request_headers_to_add[0].header.key: Content-Length belongs to the connection and cannot be "
        "edited\n"
        "5:18: request_headers_to_add[1].header.key: :path is not a header that can be edited; "
        "host_rewrite_literal "
        "and prefix_rewrite change a request\n"
        "6:18: request_headers_to_add[2].header.key: the host is not edited as a header; write "
        "host_rewrite_literal\n"
        "7:38: response_headers_to_remove[1]: transfer-encoding belongs to the connection and cannot be "
        "edited\n");
}

static void rpc_headers_keep_their_case(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&rpc_route_frame,
                "match: {prefix: /}\nroute: {cluster: bolt}\n"
                "request_headers_to_add: [{header: {key: rpcTraceContext, value: x}}]\n"
                "request_headers_to_remove: [sofaHead]\n",
                &l);
    check_str(route_of(&l)->request.add[0].name, "rpcTraceContext");
    check_str(route_of(&l)->request.remove[0], "sofaHead");
    unload(&l);
}

static void two_values_or_two_actions_are_one_too_many(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        ROUTE_TO_OUT "request_headers_to_add:\n"
                     "- {header: {key: a, value: b, raw_value: YQ==}}\n"
                     "- {header: {key: c}, append: true, append_action: ADD_IF_ABSENT}\n",
        "4:42: request_headers_to_add[0].header.raw_value: stands beside value; one of them is enough\n"
        "5:30: request_headers_to_add[1].append: stands beside append_action, which took its place\n");
}

static void a_raw_value_cannot_smuggle_a_line(void **state)
{
    (void)state;
    check_says(
        &route_frame, ROUTE_TO_OUT "request_headers_to_add: [{header: {key: a, raw_value: YQ0KYjogYw==}}]",
        "3:55: request_headers_to_add[0].header.raw_value: cannot be a header's value: it holds a control "
        "byte\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_taken_on_every_level),
        cmocka_unit_test(every_level_has_its_four_lists),
        cmocka_unit_test(operators_in_values_are_refused_by_name),
        cmocka_unit_test(what_frames_a_message_cannot_be_edited),
        cmocka_unit_test(rpc_headers_keep_their_case),
        cmocka_unit_test(two_values_or_two_actions_are_one_too_many),
        cmocka_unit_test(a_raw_value_cannot_smuggle_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
