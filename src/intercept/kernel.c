/* kernel: the only place of this room that changes anything.
 *
 *      apply    look ──> ip (TPROXY: route, rule) ──> nft, one transaction ──> ip: what an earlier TPROXY
 * left
 *      remove   look ───────────────────────────────> nft ───────────────────> ip
 *
 * The rules go in by `nft -f -`: its language is what `print` shows and what a person can check, and its
 * transaction is the kernel's own. Speaking netlink ourselves was left: a thousand lines for twelve rules,
 * and none of them could be read.
 *
 * Routes stand outside nft's transaction. So they come before the rules that need them and go after them, and
 * the rules bear a note with their numbers: whoever removes or replaces a table finds there what it has
 * besides, also when it was made with other options than the ones he has now.
 *
 * That we may is asked first (capget), so that a refusal says what to do and not what netlink said. */
#include "intercept/kernel.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "intercept/rules_impl.h"
#include "io/child.h"

enum { LISTING_BYTES = 256 * 1024 };

/* What stands in the kernel under our name. */
struct found {
    bool tproxy;
    struct sp_intercept_plan plan; /* of its TPROXY: mark, route table, both families */
};

/* ---- programs ---- */

static bool may_change_network(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    if (syscall(SYS_capget, &head, data))
        return true; /* then the kernel will say */
    return data[CAP_NET_ADMIN / 32].effective & (1u << (CAP_NET_ADMIN % 32));
}

/* Beyond PATH too: a root shell that came by `su` often lacks the folders of administration. */
static sp_err run(const char *const *argv, sp_str input, struct sp_buf *out, int *ret_status)
{
    static const char *const folders[] = { "", "/usr/sbin/", "/sbin/" };
    sp_err err = SP_E_MISSING;
    for (size_t i = 0; err == SP_E_MISSING && i < SP_COUNTOF(folders); i++) {
        char program[64];
        const char *words[SP_COUNTOF(((struct sp_ip_command *)0)->argv)] = { NULL };
        struct sp_buf path;
        sp_buf_init_fixed(&path, program, sizeof(program));
        sp_buf_printf(&path, "%s%s", folders[i], argv[0]);
        words[0] = program;
        for (size_t k = 1; argv[k - 1] && k < SP_COUNTOF(words); k++)
            words[k] = argv[k];
        err = sp_child_run(words, input, out, ret_status);
    }
    return err;
}

static sp_err cannot_run(const char *program, const char *package, sp_err err, struct sp_buf *say)
{
    if (err == SP_E_MISSING)
        sp_buf_printf(say, "the program %s is not there; install it: apt install %s\n", program, package);
    else
        sp_buf_printf(say, "the program `%s` cannot be run: %s\n", program, sp_err_str(err));
    return err;
}

static sp_err denied(struct sp_buf *say)
{
    sp_buf_add_c(say,
                 "changing rules needs the capability CAP_NET_ADMIN: run it as root (sudo), or in a pod as a "
                 "container with securityContext.capabilities.add: [NET_ADMIN]\n");
    return SP_E_DENIED;
}

static bool mentions(const struct sp_buf *out, const char *text)
{
    sp_str said = sp_buf_str(out);
    return sp_str_find_str(said, sp_str_c(text)) < said.len;
}

/* ---- nft ---- */

static sp_err run_nft(const struct sp_buf *rules, struct sp_buf *say)
{
    static const char *const argv[] = { "nft", "-f", "-", NULL };
    struct sp_buf out;
    int status = 0;
    sp_buf_init(&out, LISTING_BYTES);
    sp_err err = rules->failed ? SP_E_NOMEM : run(argv, sp_buf_str(rules), &out, &status);
    if (err) {
        err = cannot_run("nft", "nftables", err, say);
    } else if (status && mentions(&out, "Operation not permitted")) {
        err = denied(say);
    } else if (status) {
        sp_buf_printf(say, "nft refused the rules (status %d):\n%.*s", status, SP_STR_ARG(sp_buf_str(&out)));
        err = SP_E_IO;
    }
    sp_buf_deinit(&out);
    return err;
}

/* That there is no such table is an answer too. */
static sp_err look(const struct sp_intercept_plan *plan, struct found *found, struct sp_buf *say)
{
    const char *const argv[] = { "nft", "list", "table", "inet", plan->table, NULL };
    struct sp_buf out;
    int status = 0;
    sp_buf_init(&out, LISTING_BYTES);
    sp_err err = run(argv, SP_STR_NULL, &out, &status);
    *found = (struct found){ .plan = *plan };
    found->plan.mode = SP_INTERCEPT_TPROXY;
    found->plan.ip4 = found->plan.ip6 = true;
    found->plan.include_inbound.given = false;
    if (err)
        err = cannot_run("nft", "nftables", err, say);
    else if (!status)
        found->tproxy = sp_intercept_read_note(sp_buf_str(&out), &found->plan.mark, &found->plan.route_table);
    sp_buf_deinit(&out);
    return err;
}

/* ---- ip ---- */

/* Adding what is there and deleting what is not there are what was wanted. */
static bool is_fine(const struct sp_buf *out, bool removal)
{
    if (!removal)
        return mentions(out, "File exists");
    return mentions(out, "No such") || mentions(out, "does not exist") || mentions(out, "Cannot find");
}

static sp_err run_ip(const struct sp_intercept_plan *plan, bool removal, struct sp_buf *say)
{
    struct sp_ip_command command;
    sp_err err = 0;
    for (uint32_t i = 0; !err && sp_intercept_ip_command(plan, removal, i, &command); i++) {
        struct sp_buf out;
        int status = 0;
        sp_buf_init(&out, LISTING_BYTES);
        err = run(command.argv, SP_STR_NULL, &out, &status);
        if (err) {
            err = cannot_run("ip", "iproute2", err, say);
        } else if (status && !is_fine(&out, removal)) {
            sp_buf_printf(say, "`ip %s %s %s` failed: %.*s", command.argv[1], command.argv[2],
                          command.argv[3], SP_STR_ARG(sp_buf_str(&out)));
            err = SP_E_IO;
        }
        sp_buf_deinit(&out);
    }
    return err;
}

/* ---- the two verbs ---- */

/* What an earlier TPROXY has that the plan does not want: other numbers, or a family. */
static struct sp_intercept_plan left_over(const struct sp_intercept_plan *plan, const struct found *found)
{
    struct sp_intercept_plan left = found->plan;
    struct sp_ip_command command;
    bool same = sp_intercept_ip_command(plan, false, 0, &command) && left.mark == plan->mark &&
                left.route_table == plan->route_table;
    left.ip4 = found->tproxy && !(same && plan->ip4);
    left.ip6 = found->tproxy && !(same && plan->ip6);
    return left;
}

static sp_err apply(const struct sp_intercept_plan *plan, const struct found *found, struct sp_buf *rules,
                    struct sp_buf *say)
{
    sp_intercept_print(plan, rules);
    sp_err err = run_ip(plan, false, say);
    if (!err)
        err = run_nft(rules, say);
    if (err && !found->tproxy) {
        struct sp_buf ignored; /* the first failure is the one to tell */
        sp_buf_init(&ignored, LISTING_BYTES);
        SP_IGNORE(run_ip(plan, true, &ignored));
        sp_buf_deinit(&ignored);
    }
    if (err)
        return err;
    struct sp_intercept_plan left = left_over(plan, found);
    return run_ip(&left, true, say);
}

/* What was taken by TPROXY is held by its rules, whichever mode is asked for now. */
static struct sp_intercept_plan plan_for(const struct sp_intercept_plan *plan, const struct found *found)
{
    struct sp_intercept_plan now = *plan;
    bool takes_none = plan->include_inbound.given && !plan->include_inbound.count;
    if (takes_none && found->tproxy && plan->mode != SP_INTERCEPT_TPROXY) {
        now.mode = SP_INTERCEPT_TPROXY;
        now.mark = found->plan.mark;
        now.route_table = found->plan.route_table;
    }
    return now;
}

sp_err sp_intercept_apply(const struct sp_intercept_plan *plan, struct sp_buf *say)
{
    struct found found;
    struct sp_buf rules;
    if (!may_change_network())
        return denied(say);
    sp_err err = look(plan, &found, say);
    if (err)
        return err;
    struct sp_intercept_plan now = plan_for(plan, &found);
    sp_buf_init(&rules, 0);
    err = apply(&now, &found, &rules, say);
    sp_buf_deinit(&rules);
    return err;
}

sp_err sp_intercept_remove(const struct sp_intercept_plan *plan, struct sp_buf *say)
{
    struct found found;
    struct sp_buf rules;
    if (!may_change_network())
        return denied(say);
    sp_err err = look(plan, &found, say);
    if (err)
        return err;
    sp_buf_init(&rules, 0);
    sp_intercept_print_removal(plan, &rules);
    err = run_nft(&rules, say);
    sp_buf_deinit(&rules);
    if (!err && found.tproxy)
        err = run_ip(&found.plan, true, say);
    if (!err && plan->mode == SP_INTERCEPT_TPROXY)
        err = run_ip(plan, true, say);
    return err;
}
