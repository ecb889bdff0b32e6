/* client: whom a call is taken to come from, by what stands in x-forwarded-for. */
#include "proxy/client.h"

#include "unit/proxy/worker_kit.h"

enum { LINES = 3 };

struct row {
    bool edge;
    uint32_t hops;
    const char *lines[LINES];
    const char *client; /* NULL = whoever connected */
};

static const struct row rows[] = {
    /* an edge with nothing of ours before it believes nobody */
    { true, 0, { NULL }, NULL },
    { true, 0, { "203.0.113.1" }, NULL },
    /* one balancer before it: the last; two: the one before that */
    { true, 1, { "203.0.113.1" }, "203.0.113.1" },
    { true, 1, { "192.0.2.66, 203.0.113.1" }, "203.0.113.1" },
    { true, 2, { "192.0.2.66, 203.0.113.1, 10.0.0.1" }, "203.0.113.1" },
    { true, 2, { "203.0.113.1" }, NULL }, /* too few */
    { true, 1, { NULL }, NULL },
    /* inside: the last, or so many further to the left */
    { false, 0, { NULL }, NULL },
    { false, 0, { "192.0.2.66,203.0.113.1" }, "203.0.113.1" },
    { false, 1, { "192.0.2.66, 203.0.113.1 , 10.0.0.1" }, "203.0.113.1" },
    { false, 2, { "203.0.113.1, 10.0.0.1" }, NULL },
    { false, 0, { "2001:db8::1" }, "2001:db8::1" },
    /* lines are one list */
    { false, 1, { "203.0.113.1", "10.0.0.1" }, "203.0.113.1" },
    { false, 2, { "192.0.2.66, 203.0.113.1", "10.0.0.1", "10.0.0.2" }, "203.0.113.1" },
    { false, 0, { "203.0.113.1", "" }, "203.0.113.1" },
    /* what is no address is nobody, and the next one is not taken in its place */
    { false, 0, { "203.0.113.1, unknown" }, NULL },
    { false, 0, { "203.0.113.1, " }, NULL },
    { false, 0, { "203.0.113.1:80" }, NULL },
    { false, 1, { "203.0.113.1, unknown" }, "203.0.113.1" },
    { false, UINT32_MAX, { "203.0.113.1" }, NULL },
};

static void the_client_is_whom_the_trusted_proxies_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct sp_header headers[LINES + 1] = { { .name = "x", .name_len = 1, .value = "10.9.9.9" } };
        struct sp_head head = { .headers = headers, .header_count = 1 };
        for (int k = 0; k < LINES && rows[i].lines[k]; k++)
            headers[head.header_count++] = (struct sp_header){ .name = "x-forwarded-for",
                                                               .name_len = 15,
                                                               .id = SP_HDR_X_FORWARDED_FOR,
                                                               .value = rows[i].lines[k],
                                                               .value_len = (uint32_t)strlen(
                                                                   rows[i].lines[k]) };
        const struct sp_chain_spec spec = { .use_remote_address = rows[i].edge, .xff_hops = rows[i].hops };
        sp_addr found, want;
        bool any = sp_client_find(&spec, &head, &found);
        if (any != (rows[i].client != NULL))
            fail_msg("row %zu: %s", i, any ? "somebody" : "nobody");
        if (!any)
            continue;
        assert_int_equal(sp_addr_parse_ip(sp_str_c(rows[i].client), 0, &want), 0);
        assert_true(sp_addr_eq(&found, &want));
    }
}

static void a_record_names_the_client_and_who_connected(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1, 203.0.113.1\r\n\r\n");
    struct peer *server = door_next(door);
    sp_str head = hear_head(server, "GET /a");
    assert_true(sp_str_find_str(head, SP_STR("192.0.2.1, 203.0.113.1\r\n")) < head.len);
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    static const uint8_t client[] = { 203, 0, 113, 1 };
    const struct sp_report *report = last_report(kit);
    assert_memory_equal(report->downstream.ip, client, 4);
    assert_int_equal(report->downstream_direct.ip[0], 127);
    assert_int_not_equal(report->downstream_direct.port, 0);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"); /* the next call on the line says nothing of it */
    hear_head(server, "GET /a");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    assert_int_equal(last_report(kit)->downstream.ip[0], 127);
    kit_free(kit);
}

static void calls_of_one_client_go_to_one_server(void **state)
{
    (void)state;
    static const char *const addrs[] = { "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003", NULL };
    static const struct sp_hash_policy by_source = { .kind = SP_HASH_SOURCE_IP };
    struct kit *kit = kit_new(1);
    struct sp_cluster_spec *cluster = mesh_cluster(kit->sidecar, "app", addrs);
    cluster->balance = SP_BALANCE_RING_HASH;
    cluster->ring_min = 1024;
    cluster->ring_max = 4096;
    struct sp_route *route = mesh_route(kit_listener(kit, SP_PROTO_HTTP1));
    route->hash = &by_source;
    route->hash_count = 1;
    kit_apply(kit);
    struct door *doors[3];
    for (int i = 0; i < 3; i++)
        doors[i] = kit_door(kit, addrs[i]);
    for (int i = 0; i < 24; i++) { /* all of them come by one proxy */
        char text[120];
        snprintf(text, sizeof(text), "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n",
                 i);
        say(kit_call(kit, KIT_OUT), text);
    }
    kit_run(kit, 100);
    for (int i = 0; i < 3; i++)
        assert_true(doors[i]->accepted > 0);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_whom_the_trusted_proxies_name),
        cmocka_unit_test(a_record_names_the_client_and_who_connected),
        cmocka_unit_test(calls_of_one_client_go_to_one_server),
    };
    return cmocka_run_group_tests_name("proxy client", tests, NULL, NULL);
}
