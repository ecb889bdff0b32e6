/* The bootstraps that others read load: the benchmarks', and the examples. */
#include "unit/xds/help.h"

#include "wire/call.h"

/* @PORT@ and its kin become numbers, as bench/mesh does it. */
static void put_file(const char *name, struct sp_buf *out)
{
    char path[512], bytes[8192];
    snprintf(path, sizeof(path), "%s/../%s", SP_TESTS_DIR, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    assert_true(len > 0 && len < sizeof(bytes));
    fclose(file);
    unsigned number = 20000;
    for (size_t i = 0; i < len;) {
        size_t end = i + 1;
        while (end < len && ((bytes[end] >= 'A' && bytes[end] <= 'Z') || bytes[end] == '_'))
            end++;
        bool word = bytes[i] == '@' && end < len && bytes[end] == '@';
        if (word && sp_str_ends(sp_str_of(bytes + i, end - i), SP_STR("PORT")))
            sp_buf_add_u64(out, ++number);
        else if (!word)
            sp_buf_add_char(out, bytes[i]);
        i = word ? end + 1 : i + 1;
    }
}

static void load_file(struct loaded *l, const char *name)
{
    struct sp_buf text, said;
    sp_buf_init(&text, 0);
    sp_buf_init(&said, 0);
    put_file(name, &text);
    load(l, name, sp_buf_str(&text));
    sp_form_print_errors(&l->doc, &said);
    if (l->err)
        fail_msg("it says\n%.*s", SP_STR_ARG(sp_buf_str(&said)));
    sp_buf_deinit(&said);
    sp_buf_deinit(&text);
}

static void http_bootstrap_has_one_chain_that_speaks_http(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "bench/mesh/proxies/envoy-http.yaml.in");
    const struct sp_chain_spec *chain = chain_of(&l);
    assert_int_equal(chain->kind, SP_CHAIN_HTTP);
    assert_int_equal(chain->protocol, SP_PROTO_HTTP1);
    assert_false(listener_of(&l)->detect);
    check_str(route_of(&l)->cluster, "out");
    assert_int_equal(cluster_of(&l, "out")->endpoint_count, 1);
    assert_int_equal(cluster_of(&l, "out")->connect_timeout_ns, 2 * NS_PER_S);
    assert_int_equal(l.settings.admin.family, SP_ADDR_IP4);
    unload(&l);
}

static void bolt_bootstrap_has_one_chain_that_speaks_bolt(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "bench/mesh/proxies/sampan-bolt.yaml.in");
    assert_int_equal(chain_of(&l)->kind, SP_CHAIN_RPC);
    assert_int_equal(chain_of(&l)->protocol, SP_PROTO_BOLT);
    assert_true(listener_of(&l)->detect);
    assert_false(chain_of(&l)->routes->fold_domains);
    assert_int_equal(cluster_of(&l, "out")->protocol, SP_PROTO_BOLT);
    unload(&l);
}

static void tcp_bootstrap_has_one_chain_that_relays(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "bench/mesh/proxies/envoy-tcp.yaml.in");
    assert_int_equal(chain_of(&l)->kind, SP_CHAIN_TCP);
    check_str(chain_of(&l)->cluster, "out");
    assert_int_equal(cluster_of(&l, "out")->limits.connections, 20000);
    unload(&l);
}

/* ---- examples ---- */

static void the_first_configuration_is_ten_lines_long(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "examples/first.yaml");
    check_str(route_of(&l)->cluster, "app");
    unload(&l);
    struct sp_buf text;
    unsigned lines = 0;
    sp_buf_init(&text, 0);
    put_file("examples/first.yaml", &text);
    for (sp_str rest = sp_buf_str(&text); rest.len;)
        lines += !sp_str_starts(sp_str_cut(&rest, '\n'), SP_STR("#"));
    assert_int_equal(lines, 10);
    sp_buf_deinit(&text);
}

static void the_sidecar_example_sends_all_to_where_it_would_have_gone(void **state)
{
    (void)state;
    static const char *const names[] = { "outbound", "inbound", "outbound6", "inbound6" };
    struct loaded l;
    load_file(&l, "examples/sidecar.yaml");
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        const struct sp_listener_spec *s = sp_snapshot_listener(l.snapshot, sp_str_c(names[i]));
        assert_non_null(s);
        assert_true(s->read_original_dst && s->detect && s->has_default);
        assert_int_equal(s->chain_count, 3);
        assert_int_equal(s->chains[2].kind, SP_CHAIN_TCP);
        assert_int_equal(s->addr.family, i < 2 ? SP_ADDR_IP4 : SP_ADDR_IP6);
        assert_int_equal(cluster_of(&l, names[i % 2])->kind, SP_CLUSTER_ORIGINAL_DST);
    }
    unload(&l);
}

static void the_http_example_routes_logs_and_names_itself(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "examples/http.yaml");
    const struct sp_route_table *table = chain_of(&l)->routes;
    const struct sp_vhost *shop = sp_route_table_vhost(table, SP_STR("www.shop.example"));
    assert_non_null(shop);
    check_str(shop->name, "shop");
    assert_int_equal(shop->route_count, 5);
    check_str(sp_route_table_vhost(table, SP_STR("elsewhere"))->name, "rest");
    assert_int_equal(chain_of(&l)->logs[0].field_count, 7);
    assert_int_equal(cluster_of(&l, "app-v2")->kind, SP_CLUSTER_STRICT_DNS);
    check_str(l.settings.labels.workload, "web-1");
    unload(&l);
}

static void the_bolt_example_has_a_door_for_the_light_sdk(void **state)
{
    (void)state;
    struct loaded l;
    load_file(&l, "examples/bolt.yaml");
    assert_true(l.settings.lightsdk.on);
    assert_int_equal(l.settings.lightsdk.traffic.port, 12220);
    assert_int_equal(cluster_of(&l, "echo")->protocol, SP_PROTO_BOLT);
    unload(&l);
}

static void the_pair_s_ends_meet(void **state)
{
    (void)state;
    struct loaded out, in;
    load_file(&out, "examples/pair/outbound.yaml");
    load_file(&in, "examples/pair/inbound.yaml");
    const struct sp_cluster_spec *far = cluster_of(&out, "outbound|8080||service.default.svc.cluster.local");
    const struct sp_listener_spec *near = sp_snapshot_listener(in.snapshot, SP_STR("inbound"));
    assert_non_null(near);
    assert_true(sp_addr_eq(&far->endpoints[0].addr, &near->addr));
    check_str(far->service_name, "service");
    check_str(far->service_namespace, "default");
    assert_int_equal(near->chain_count, 3);
    assert_true(near->has_default && near->detect);
    unload(&out);
    unload(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_bootstrap_has_one_chain_that_speaks_http),
        cmocka_unit_test(bolt_bootstrap_has_one_chain_that_speaks_bolt),
        cmocka_unit_test(tcp_bootstrap_has_one_chain_that_relays),
        cmocka_unit_test(the_first_configuration_is_ten_lines_long),
        cmocka_unit_test(the_sidecar_example_sends_all_to_where_it_would_have_gone),
        cmocka_unit_test(the_http_example_routes_logs_and_names_itself),
        cmocka_unit_test(the_bolt_example_has_a_door_for_the_light_sdk),
        cmocka_unit_test(the_pair_s_ends_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
