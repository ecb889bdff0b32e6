/* list: lists of ports and networks are read, kept in order without overlaps, and refused with words. */
#include "intercept/rules_impl.h"

#include "base/buf.h"
#include "base/rng.h"
#include "unit/base/help.h"

static void check_ports(const char *text, const char *want)
{
    struct sp_port_list list = { 0 };
    struct sp_buf out;
    char why[SP_INTERCEPT_WHY_BYTES] = "";
    sp_buf_init(&out, 0);
    if (sp_port_list_add(&list, sp_str_c(text), why))
        fail_msg("\"%s\": %s", text, why);
    assert_true(list.given);
    for (uint32_t i = 0; i < list.count; i++)
        sp_buf_printf(&out, "%u-%u ", (unsigned)list.ranges[i].first, (unsigned)list.ranges[i].last);
    check_str(sp_buf_str(&out), want);
    sp_buf_deinit(&out);
}

static void check_nets(const char *text, const char *want)
{
    struct sp_net_list list = { 0 };
    struct sp_buf out;
    char why[SP_INTERCEPT_WHY_BYTES] = "", ip[SP_ADDR_TEXT_BYTES];
    sp_buf_init(&out, 0);
    if (sp_net_list_add(&list, sp_str_c(text), why))
        fail_msg("\"%s\": %s", text, why);
    for (uint32_t i = 0; i < list.count; i++) {
        sp_addr_print_ip(&list.nets[i].addr, ip, sizeof(ip));
        sp_buf_printf(&out, "%s/%u ", ip, (unsigned)list.nets[i].bits);
    }
    check_str(sp_buf_str(&out), want);
    sp_buf_deinit(&out);
}

static void ranges_of_ports_are_sorted_and_joined(void **state)
{
    check_ports("80", "80-80 ");
    check_ports("443, 80 ,8000-8100", "80-80 443-443 8000-8100 ");
    check_ports("5,1,3", "1-1 3-3 5-5 ");
    check_ports("5,1,3,2,4", "1-5 ");
    check_ports("10-20,15-30,31", "10-31 ");
    check_ports("1-2,4-5,1-65535", "1-65535 ");
    check_ports("65535,1", "1-1 65535-65535 ");
    check_ports("none", "");
}

/* Against a plain set of 65,536 bits. */
static void joined_ranges_hold_what_was_put(uint64_t seed)
{
    static bool model[UINT16_MAX + 2];
    struct sp_port_list list = { 0 };
    struct sp_rng rng;
    sp_rng_init(&rng, seed);
    memset(model, 0, sizeof(model));
    for (int i = 0; i < 60; i++) {
        uint16_t first = (uint16_t)(1 + sp_rng_below(&rng, 500));
        uint16_t last = (uint16_t)(first + sp_rng_below(&rng, 12));
        check_seed(seed, sp_port_list_put(&list, first, last) == 0);
        memset(model + first, true, (size_t)(last - first + 1));
    }
    uint32_t at = 0;
    for (uint32_t port = 1; port <= UINT16_MAX; port++) {
        if (at < list.count && port > list.ranges[at].last)
            at++;
        bool in = at < list.count && port >= list.ranges[at].first;
        check_seed(seed, in == model[port]);
    }
    for (uint32_t i = 1; i < list.count; i++)
        check_seed(seed, list.ranges[i].first > list.ranges[i - 1].last + 1);
}

static void ranges_hold_exactly_what_was_put(void **state)
{
    each_seed(200, joined_ranges_hold_what_was_put);
}

static void networks_that_nest_become_the_outer_one(void **state)
{
    check_nets("10.0.0.0/8", "10.0.0.0/8 ");
    check_nets("192.0.2.1", "192.0.2.1/32 ");
    check_nets("10.1.0.0/16,10.0.0.0/8,10.2.3.4", "10.0.0.0/8 ");
    check_nets("10.0.0.0/8,10.1.0.0/16", "10.0.0.0/8 ");
    check_nets("fd00::/8, 172.16.0.0/12,::1", "172.16.0.0/12 ::1/128 fd00::/8 ");
    check_nets("0.0.0.0/0,1.2.3.4,::/0", "0.0.0.0/0 ::/0 ");
    check_nets("none", "");
}

static void check_port_refusal(const char *text, sp_err err, const char *words)
{
    struct sp_port_list list = { .given = true, .count = 1, .ranges = { { 7, 7 } } }, was = list;
    char why[SP_INTERCEPT_WHY_BYTES] = "";
    assert_int_equal(sp_port_list_add(&list, sp_str_c(text), why), err);
    check_str(sp_str_c(why), words);
    assert_memory_equal(&list, &was, sizeof(list));
}

static void what_is_no_port_is_refused_and_the_list_stays(void **state)
{
    check_port_refusal("", SP_E_INVALID, "not a port: \"\"");
    check_port_refusal("80,", SP_E_INVALID, "not a port: \"\"");
    check_port_refusal("80,http", SP_E_INVALID, "not a port: \"http\"");
    check_port_refusal("-80", SP_E_INVALID, "not a port: \"\"");
    check_port_refusal("0", SP_E_RANGE, "a port is a number from 1 to 65535, not: \"0\"");
    check_port_refusal("65536", SP_E_RANGE, "a port is a number from 1 to 65535, not: \"65536\"");
    check_port_refusal("99999999999999999999", SP_E_RANGE,
                       "a port is a number from 1 to 65535, not: \"99999999999999999999\"");
    check_port_refusal("90-80", SP_E_RANGE, "a range of ports goes upward, not: \"90-80\"");
    check_port_refusal("1,none", SP_E_INVALID, "not a port: \"none\"");
}

static void check_net_refusal(const char *text, sp_err err, const char *words)
{
    struct sp_net_list list = { 0 };
    char why[SP_INTERCEPT_WHY_BYTES] = "";
    assert_int_equal(sp_net_list_add(&list, sp_str_c(text), why), err);
    check_str(sp_str_c(why), words);
    assert_int_equal(list.count, 0);
}

static void what_is_no_network_is_refused(void **state)
{
    check_net_refusal("example.com", SP_E_INVALID, "not an IP address or network: \"example.com\"");
    check_net_refusal("10.0.0.0/33", SP_E_RANGE, "not a length of a network: \"10.0.0.0/33\"");
    check_net_refusal("10.0.0.0/", SP_E_RANGE, "not a length of a network: \"10.0.0.0/\"");
    check_net_refusal("::/129", SP_E_RANGE, "not a length of a network: \"::/129\"");
    check_net_refusal("10.1.2.3/8", SP_E_INVALID,
                      "bits are set behind the network's length, 10.0.0.0/8 is meant: \"10.1.2.3/8\"");
    check_net_refusal("fd00::1/8", SP_E_INVALID,
                      "bits are set behind the network's length, fd00::/8 is meant: \"fd00::1/8\"");
}

static void a_list_has_an_end(void **state)
{
    struct sp_port_list ports = { 0 };
    struct sp_net_list nets = { 0 };
    char why[SP_INTERCEPT_WHY_BYTES], text[32];
    for (unsigned i = 0; i < SP_INTERCEPT_PORTS_MAX; i++) {
        snprintf(text, sizeof(text), "%u", 1 + i * 2);
        assert_int_equal(sp_port_list_add(&ports, sp_str_c(text), why), 0);
    }
    assert_int_equal(sp_port_list_add(&ports, SP_STR("9999"), why), SP_E_LIMIT);
    check_str(sp_str_c(why), "too many ports (128 ranges at most) at: \"9999\"");
    assert_int_equal(sp_port_list_add(&ports, SP_STR("2"), why), 0); /* joins two */
    assert_int_equal(ports.count, SP_INTERCEPT_PORTS_MAX - 1);
    for (unsigned i = 0; i < SP_INTERCEPT_NETS_MAX; i++) {
        snprintf(text, sizeof(text), "10.0.%u.0/24", i);
        assert_int_equal(sp_net_list_add(&nets, sp_str_c(text), why), 0);
    }
    assert_int_equal(sp_net_list_add(&nets, SP_STR("::1"), why), SP_E_LIMIT);
    assert_int_equal(sp_net_list_add(&nets, SP_STR("10.0.0.0/16"), why), 0);
    assert_int_equal(nets.count, 1);
}

static void a_tables_name_is_one_that_nft_takes(void **state)
{
    struct sp_intercept_plan plan;
    char why[SP_INTERCEPT_WHY_BYTES];
    const char *const wrong[] = { "",    "1a",
                                  "a b", "a;flush ruleset",
                                  "a\"", "-a",
                                  "a{",  "a123456789012345678901234567890123456789012345678901234567890123" };
    sp_intercept_plan_init(&plan);
    for (size_t i = 0; i < SP_COUNTOF(wrong); i++) {
        assert_int_equal(sp_intercept_set_table(&plan, sp_str_c(wrong[i]), why), SP_E_INVALID);
        assert_string_equal(plan.table, "sampan");
    }
    assert_int_equal(sp_intercept_set_table(&plan, SP_STR("Mesh_2-b"), why), 0);
    assert_string_equal(plan.table, "Mesh_2-b");
}

static void the_note_of_tproxy_is_read_back(void **state)
{
    uint32_t mark = 1, table = 2;
    assert_false(sp_intercept_read_note(SP_STR("table inet sampan {\n}\n"), &mark, &table));
    assert_false(sp_intercept_read_note(SP_STR(""), &mark, &table));
    assert_false(sp_intercept_read_note(SP_STR("return comment \"mark=13"), &mark, &table));
    assert_false(sp_intercept_read_note(SP_STR("comment \"mark=99999999999 route_table=1\""), &mark, &table));
    assert_int_equal(mark, 1);
    assert_true(
        sp_intercept_read_note(SP_STR("return comment \"mark=1337 route_table=133\"\n}"), &mark, &table));
    assert_int_equal(mark, 1337);
    assert_int_equal(table, 133);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_of_ports_are_sorted_and_joined),
        cmocka_unit_test(ranges_hold_exactly_what_was_put),
        cmocka_unit_test(networks_that_nest_become_the_outer_one),
        cmocka_unit_test(what_is_no_port_is_refused_and_the_list_stays),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(a_tables_name_is_one_that_nft_takes),
        cmocka_unit_test(the_note_of_tproxy_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
