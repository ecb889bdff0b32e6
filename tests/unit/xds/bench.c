/* The bootstraps of the benchmarks load: what a measured sidecar runs is what this room makes of them. */
#include "unit/xds/help.h"

#include "wire/call.h"

/* @PORT@ and its kin become numbers, as bench/mesh does it. */
static void put_file(const char *name, struct sp_buf *out)
{
    char path[512], bytes[8192];
    snprintf(path, sizeof(path), "%s/../bench/mesh/proxies/%s", SP_TESTS_DIR, name);
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
    load_file(&l, "envoy-http.yaml.in");
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
    load_file(&l, "sampan-bolt.yaml.in");
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
    load_file(&l, "envoy-tcp.yaml.in");
    assert_int_equal(chain_of(&l)->kind, SP_CHAIN_TCP);
    check_str(chain_of(&l)->cluster, "out");
    assert_int_equal(cluster_of(&l, "out")->limits.connections, 20000);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_bootstrap_has_one_chain_that_speaks_http),
        cmocka_unit_test(bolt_bootstrap_has_one_chain_that_speaks_bolt),
        cmocka_unit_test(tcp_bootstrap_has_one_chain_that_relays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
