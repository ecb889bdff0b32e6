/* rules: the text for each kind of plan is what stands in tests/conform/intercept, and nft takes it.
 *
 * SAMPAN_WRITE_GOLDEN=1 writes these files anew; then read what changed. */
#include "intercept/rules.h"

#include <unistd.h>

#include "base/buf.h"
#include "io/child.h"
#include "io/file.h"
#include "unit/base/help.h"

#define FOLDER SP_TESTS_DIR "/conform/intercept/"

enum { TEXT_BYTES = 64 * 1024 };

static void add_ports(struct sp_port_list *list, const char *text)
{
    char why[SP_INTERCEPT_WHY_BYTES];
    assert_int_equal(sp_port_list_add(list, sp_str_c(text), why), 0);
}

static void add_nets(struct sp_net_list *list, const char *text)
{
    char why[SP_INTERCEPT_WHY_BYTES];
    assert_int_equal(sp_net_list_add(list, sp_str_c(text), why), 0);
}

/* ---- plans ---- */

static void as_is(struct sp_intercept_plan *plan)
{
    (void)plan;
}

static void with_exceptions(struct sp_intercept_plan *plan)
{
    char why[SP_INTERCEPT_WHY_BYTES];
    plan->uid = 0;
    plan->has_gid = true;
    plan->gid = 1500;
    plan->outbound_port = 16001;
    plan->inbound_port = 16006;
    add_ports(&plan->exclude_outbound, "3306,8000-8100,53");
    add_ports(&plan->exclude_inbound, "9100,15002-15005");
    add_nets(&plan->exclude_nets, "10.0.0.0/8,169.254.169.254,fd00::/8,2001:db8::1");
    assert_int_equal(sp_intercept_set_table(plan, SP_STR("mesh_2-b"), why), 0);
}

static void only_what_is_named(struct sp_intercept_plan *plan)
{
    add_ports(&plan->include_outbound, "80,12200");
    add_ports(&plan->include_inbound, "8080");
    add_nets(&plan->include_nets, "172.16.0.0/12");
    add_nets(&plan->exclude_nets, "172.16.9.0/24");
}

static void outbound_alone(struct sp_intercept_plan *plan)
{
    add_ports(&plan->include_inbound, "none");
    plan->ip6 = false;
}

static void inbound_alone(struct sp_intercept_plan *plan)
{
    add_ports(&plan->include_outbound, "none");
    plan->ip4 = false;
}

static void own_calls(struct sp_intercept_plan *plan)
{
    add_nets(&plan->inbound_source, "127.0.0.6,::6");
}

static void tproxy(struct sp_intercept_plan *plan)
{
    plan->mode = SP_INTERCEPT_TPROXY;
}

static void tproxy_ipv4(struct sp_intercept_plan *plan)
{
    plan->mode = SP_INTERCEPT_TPROXY;
    plan->ip6 = false;
    plan->mark = 0x2000;
    plan->route_table = 7;
    add_nets(&plan->inbound_source, "127.0.0.6");
}

static void nothing_new(struct sp_intercept_plan *plan)
{
    add_ports(&plan->include_outbound, "none");
    add_ports(&plan->include_inbound, "none");
}

static void tproxy_nothing_new(struct sp_intercept_plan *plan)
{
    tproxy(plan);
    nothing_new(plan);
}

static const struct golden {
    const char *file;
    void (*change)(struct sp_intercept_plan *plan);
} goldens[] = {
    { "default.nft", as_is },
    { "exceptions.nft", with_exceptions },
    { "included.nft", only_what_is_named },
    { "outbound-ipv4.nft", outbound_alone },
    { "inbound-ipv6.nft", inbound_alone },
    { "own-calls.nft", own_calls },
    { "tproxy.nft", tproxy },
    { "tproxy-ipv4.nft", tproxy_ipv4 },
    { "drain.nft", nothing_new },
    { "tproxy-drain.nft", tproxy_nothing_new },
};

static void plan_of(const struct golden *golden, struct sp_intercept_plan *plan)
{
    sp_intercept_plan_init(plan);
    plan->uid = 1337;
    golden->change(plan);
}

static void path_of(const struct golden *golden, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s%s", FOLDER, golden->file);
}

/* ---- tests ---- */

static void each_plan_becomes_the_text_that_is_kept(void **state)
{
    for (size_t i = 0; i < SP_COUNTOF(goldens); i++) {
        struct sp_intercept_plan plan;
        struct sp_buf have, want;
        char path[512];
        sp_buf_init(&have, 0);
        sp_buf_init(&want, 0);
        plan_of(&goldens[i], &plan);
        path_of(&goldens[i], path, sizeof(path));
        sp_intercept_print(&plan, &have);
        if (getenv("SAMPAN_WRITE_GOLDEN"))
            assert_int_equal(sp_file_replace(path, sp_buf_str(&have), 0644), 0);
        assert_int_equal(sp_file_read(path, TEXT_BYTES, &want), 0);
        if (!sp_str_eq(sp_buf_str(&have), sp_buf_str(&want)))
            fail_msg("%s holds\n%.*sbut the text is\n%.*s", path, SP_STR_ARG(sp_buf_str(&want)),
                     SP_STR_ARG(sp_buf_str(&have)));
        sp_buf_deinit(&want);
        sp_buf_deinit(&have);
    }
}

static bool has(const struct sp_buf *out, const char *word)
{
    return sp_str_find_str(sp_buf_str(out), sp_str_c(word)) < out->len;
}

static int run(const char *const *argv, struct sp_buf *out)
{
    int status = -1;
    sp_buf_reset(out);
    assert_int_equal(sp_child_run(argv, SP_STR_NULL, out, &status), 0);
    return status;
}

/* As whoever runs the tests; where he may not, as root of a namespace of his own. */
static int check_by_nft(const char *path, struct sp_buf *out)
{
    const char *const plain[] = {
        "env", "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "nft", "-c", "-f", path, NULL
    };
    const char *const alone[] = { "env",     "PATH=/usr/sbin:/sbin:/usr/bin:/bin",
                                  "unshare", "--map-root-user",
                                  "--net",   "nft",
                                  "-c",      "-f",
                                  path,      NULL };
    int status = run(plain, out);
    return status && has(out, "not permitted") ? run(alone, out) : status;
}

static void nft_takes_each_text(void **state)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    for (size_t i = 0; i < SP_COUNTOF(goldens); i++) {
        char path[512];
        path_of(&goldens[i], path, sizeof(path));
        int status = check_by_nft(path, &out);
        if (status == 127)
            fail_msg("nft is missing: apt install nftables");
        if (status && has(&out, "unshare:")) {
            print_message("# neither root nor namespaces of a user: nft could not look at the rules\n");
            sp_buf_deinit(&out);
            skip();
        }
        if (status)
            fail_msg("of %s nft says: %.*s", path, SP_STR_ARG(sp_buf_str(&out)));
    }
    sp_buf_deinit(&out);
}

static void nft_would_refuse_what_is_wrong(void **state)
{
    struct sp_buf out;
    char path[] = "/tmp/sampan-nft.XXXXXX";
    const char wrong[] = "table inet t { chain c { tcp dport { 1-5, 3-9 } frobnicate } }\n";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, wrong, sizeof(wrong) - 1), sizeof(wrong) - 1);
    close(fd);
    sp_buf_init(&out, 0);
    assert_int_not_equal(check_by_nft(path, &out), 0);
    sp_buf_deinit(&out);
    unlink(path);
}

static void removing_takes_the_table_away_whether_it_is_there_or_not(void **state)
{
    struct sp_intercept_plan plan;
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_intercept_plan_init(&plan);
    sp_intercept_print_removal(&plan, &out);
    check_str(sp_buf_str(&out), "add table inet sampan\ndelete table inet sampan\n");
    sp_buf_reset(&out);
    plan.mode = SP_INTERCEPT_TPROXY;
    plan.ip4 = false;
    sp_intercept_print_removal(&plan, &out);
    check_str(sp_buf_str(&out), "add table inet sampan\ndelete table inet sampan\n"
                                "# These commands come after it:\n"
                                "# ip -6 rule del pref 15006 fwmark 1337 lookup 133\n"
                                "# ip -6 route del local ::/0 dev lo table 133\n");
    sp_buf_deinit(&out);
}

static void redirect_needs_no_command_of_ip(void **state)
{
    struct sp_intercept_plan plan;
    struct sp_ip_command command;
    sp_intercept_plan_init(&plan);
    assert_false(sp_intercept_ip_command(&plan, false, 0, &command));
    plan.mode = SP_INTERCEPT_TPROXY;
    assert_true(sp_intercept_ip_command(&plan, false, 3, &command));
    assert_false(sp_intercept_ip_command(&plan, false, 4, &command));
    add_ports(&plan.include_inbound, "none"); /* what was taken still needs them */
    assert_true(sp_intercept_ip_command(&plan, false, 0, &command));
}

static void a_text_that_does_not_fit_its_buf_is_failed_and_not_cut_in_silence(void **state)
{
    struct sp_intercept_plan plan;
    struct sp_buf out;
    sp_intercept_plan_init(&plan);
    sp_buf_init(&out, 200);
    sp_intercept_print(&plan, &out);
    assert_true(out.failed);
    sp_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_plan_becomes_the_text_that_is_kept),
        cmocka_unit_test(nft_takes_each_text),
        cmocka_unit_test(nft_would_refuse_what_is_wrong),
        cmocka_unit_test(removing_takes_the_table_away_whether_it_is_there_or_not),
        cmocka_unit_test(redirect_needs_no_command_of_ip),
        cmocka_unit_test(a_text_that_does_not_fit_its_buf_is_failed_and_not_cut_in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
