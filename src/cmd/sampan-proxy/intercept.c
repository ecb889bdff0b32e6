/* intercept: the command line of interception. A table says each option; the room `intercept` does the work.
 *
 *      print     show what apply would do            apply     do it
 *      remove    take it away again                  --dry-run with either: print only
 *
 * Apply leaves nothing running: the rules live in the kernel until they are removed or the machine, or its
 * network namespace, goes. So this is a program of its own behind one word, for units, init containers and
 * people, and the sidecar itself never changes rules: it needs no capability for that.
 *
 * `remove` takes all options, so that one line of a unit can serve both verbs. */
#include "cmd/sampan-proxy/intercept.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "intercept/kernel.h"
#include "intercept/rules.h"

#define USER "sampan"

enum verb { VERB_NONE, VERB_PRINT, VERB_APPLY, VERB_REMOVE };

enum option_id {
    OPT_UID,
    OPT_GID,
    OPT_OUTBOUND_PORT,
    OPT_INBOUND_PORT,
    OPT_MODE,
    OPT_EXCLUDE_OUTBOUND_PORTS,
    OPT_INCLUDE_OUTBOUND_PORTS,
    OPT_EXCLUDE_INBOUND_PORTS,
    OPT_INCLUDE_INBOUND_PORTS,
    OPT_EXCLUDE_CIDRS,
    OPT_INCLUDE_CIDRS,
    OPT_INBOUND_SOURCE,
    OPT_TABLE,
    OPT_MARK,
    OPT_ROUTE_TABLE,
    OPT_IPV4_ONLY,
    OPT_IPV6_ONLY,
    OPT_DRAIN,
    OPT_DRY_RUN,
    OPT_HELP,
};

struct option_row {
    const char *name, *value, *help;
};

static const struct option_row rows[] = {
    [OPT_UID] = { "--uid", "USER",
                  "the sidecar's user, by number or name: its traffic passes (default: " USER ")" },
    [OPT_GID] = { "--gid", "GROUP", "traffic of this group passes too, by number (default: none)" },
    [OPT_OUTBOUND_PORT] = { "--outbound-port", "PORT", "where outbound connections go (default: 15001)" },
    [OPT_INBOUND_PORT] = { "--inbound-port", "PORT", "where inbound connections go (default: 15006)" },
    [OPT_MODE] = { "--mode", "redirect|tproxy",
                   "of the inbound side; tproxy keeps the caller's address (default: redirect)" },
    [OPT_EXCLUDE_OUTBOUND_PORTS] = { "--exclude-outbound-ports", "LIST", "these pass: 53,8000-8100" },
    [OPT_INCLUDE_OUTBOUND_PORTS] = { "--include-outbound-ports", "LIST",
                                     "only these are taken; none: no outbound" },
    [OPT_EXCLUDE_INBOUND_PORTS] = { "--exclude-inbound-ports", "LIST",
                                    "these pass, besides 22 and the sidecar's own ports" },
    [OPT_INCLUDE_INBOUND_PORTS] = { "--include-inbound-ports", "LIST",
                                    "only these are taken; none: no inbound" },
    [OPT_EXCLUDE_CIDRS] = { "--exclude-cidrs", "LIST",
                            "outbound to these networks passes: 10.0.0.0/8,fd00::/8" },
    [OPT_INCLUDE_CIDRS] = { "--include-cidrs", "LIST", "only outbound to these networks is taken" },
    [OPT_INBOUND_SOURCE] = { "--inbound-source", "LIST",
                             "where its inbound side calls from (127.0.0.6,::6): docs/intercept.md" },
    [OPT_TABLE] = { "--table", "NAME", "nft's table, of family inet (default: sampan)" },
    [OPT_MARK] = { "--mark", "N", "of packets for tproxy (default: 1337)" },
    [OPT_ROUTE_TABLE] = { "--route-table", "N", "where the mark is routed (default: 133)" },
    [OPT_IPV4_ONLY] = { "--ipv4-only", NULL, "leave IPv6 alone" },
    [OPT_IPV6_ONLY] = { "--ipv6-only", NULL, "leave IPv4 alone" },
    [OPT_DRAIN] = { "--drain", NULL, "take nothing new; what was taken goes on until it ends or remove" },
    [OPT_DRY_RUN] = { "--dry-run", NULL, "print what would be done" },
    [OPT_HELP] = { "--help", NULL, "this text" },
};

struct options {
    enum verb verb;
    struct sp_intercept_plan plan;
    bool has_uid, drain, dry_run, help;
};

static void help(void)
{
    printf("sampan-proxy intercept: send a machine's TCP traffic through its sidecar, by rules of nft\n\n"
           "usage: sampan-proxy intercept print|apply|remove [options]\n\n");
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-29s %s\n", left, rows[i].help);
    }
    printf(
        "\nA connection is taken when the include list is absent or names it, and no exclude list does.\n"
        "Connections that are open already stay as they are.\n"
        "\nexamples:\n"
        "  sampan-proxy intercept print --uid 1500\n"
        "  sampan-proxy intercept apply --exclude-outbound-ports 3306,6379 --exclude-cidrs 169.254.169.254\n"
        "  sampan-proxy intercept apply --include-inbound-ports 8080,12200 --include-outbound-ports none\n"
        "  sampan-proxy intercept remove\n");
}

static sp_err wrong(const char *what, const char *arg)
{
    fprintf(stderr, "sampan-proxy intercept: %s%s%s; see sampan-proxy intercept --help\n", what,
            arg ? ": " : "", arg ? arg : "");
    return SP_E_INVALID;
}

/* ---- values ---- */

static sp_err set_number(const char *option, const char *value, uint64_t least, uint64_t most,
                         uint32_t *ret_number)
{
    uint64_t n;
    if (sp_str_to_u64(sp_str_c(value), &n) || n < least || n > most) {
        fprintf(stderr, "sampan-proxy intercept: %s is a number from %llu to %llu, not \"%s\"\n", option,
                (unsigned long long)least, (unsigned long long)most, value);
        return SP_E_INVALID;
    }
    *ret_number = (uint32_t)n;
    return 0;
}

static sp_err set_port(const char *option, const char *value, uint16_t *ret_port)
{
    uint32_t n = 0;
    sp_err err = set_number(option, value, 1, UINT16_MAX, &n);
    if (!err)
        *ret_port = (uint16_t)n;
    return err;
}

static sp_err find_user(const char *value, uint32_t *ret_uid)
{
    uint64_t n;
    if (!sp_str_to_u64(sp_str_c(value), &n) && n < UINT32_MAX) {
        *ret_uid = (uint32_t)n;
        return 0;
    }
    const struct passwd *user = getpwnam(value);
    if (!user)
        return SP_E_MISSING;
    *ret_uid = user->pw_uid;
    return 0;
}

static sp_err set_mode(struct options *o, const char *value)
{
    if (strcmp(value, "redirect") != 0 && strcmp(value, "tproxy") != 0)
        return wrong("--mode is redirect or tproxy, not", value);
    o->plan.mode = strcmp(value, "tproxy") == 0 ? SP_INTERCEPT_TPROXY : SP_INTERCEPT_REDIRECT;
    return 0;
}

static sp_err say_why(const char *option, sp_err err, const char *why)
{
    if (err)
        fprintf(stderr, "sampan-proxy intercept: %s: %s\n", option, why);
    return err;
}

static sp_err set_value(struct options *o, enum option_id id, const char *value)
{
    struct sp_intercept_plan *plan = &o->plan;
    const char *name = rows[id].name;
    char why[SP_INTERCEPT_WHY_BYTES] = "";
    sp_str text = sp_str_c(value);
    switch (id) {
    case OPT_UID:
        o->has_uid = true;
        return find_user(value, &plan->uid) ? wrong("there is no such user", value) : 0;
    case OPT_GID: plan->has_gid = true; return set_number(name, value, 0, UINT32_MAX - 1, &plan->gid);
    case OPT_OUTBOUND_PORT: return set_port(name, value, &plan->outbound_port);
    case OPT_INBOUND_PORT: return set_port(name, value, &plan->inbound_port);
    case OPT_MODE: return set_mode(o, value);
    case OPT_EXCLUDE_OUTBOUND_PORTS:
        return say_why(name, sp_port_list_add(&plan->exclude_outbound, text, why), why);
    case OPT_INCLUDE_OUTBOUND_PORTS:
        return say_why(name, sp_port_list_add(&plan->include_outbound, text, why), why);
    case OPT_EXCLUDE_INBOUND_PORTS:
        return say_why(name, sp_port_list_add(&plan->exclude_inbound, text, why), why);
    case OPT_INCLUDE_INBOUND_PORTS:
        return say_why(name, sp_port_list_add(&plan->include_inbound, text, why), why);
    case OPT_EXCLUDE_CIDRS: return say_why(name, sp_net_list_add(&plan->exclude_nets, text, why), why);
    case OPT_INCLUDE_CIDRS: return say_why(name, sp_net_list_add(&plan->include_nets, text, why), why);
    case OPT_INBOUND_SOURCE: return say_why(name, sp_net_list_add(&plan->inbound_source, text, why), why);
    case OPT_TABLE: return say_why(name, sp_intercept_set_table(plan, text, why), why);
    case OPT_MARK: return set_number(name, value, 1, UINT32_MAX, &plan->mark);
    case OPT_ROUTE_TABLE: return set_number(name, value, 1, UINT32_MAX, &plan->route_table);
    case OPT_IPV4_ONLY: plan->ip6 = false; return 0;
    case OPT_IPV6_ONLY: plan->ip4 = false; return 0;
    case OPT_DRAIN: o->drain = true; return 0;
    case OPT_DRY_RUN: o->dry_run = true; return 0;
    case OPT_HELP: o->help = true; return 0;
    }
    return SP_E_INVALID;
}

/* ---- the line ---- */

/* "--name value", "--name=value". Returns how many arguments were used, or an error. */
static int parse_option(int left, char **argv, struct options *o)
{
    const char *arg = argv[0];
    size_t name_len = strcspn(arg, "=");
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        if (strlen(rows[i].name) != name_len || strncmp(arg, rows[i].name, name_len) != 0)
            continue;
        const char *value = arg[name_len] == '=' ? arg + name_len + 1 : NULL;
        if (!rows[i].value && value)
            return wrong("no value is taken by", rows[i].name);
        if (!rows[i].value)
            return set_value(o, (enum option_id)i, "") ? SP_E_INVALID : 1;
        if (!value && left < 2)
            return wrong("a value is missing behind", arg);
        sp_err err = set_value(o, (enum option_id)i, value ? value : argv[1]);
        return err ? err : value ? 1 : 2;
    }
    return wrong("unknown option", arg);
}

static sp_err parse_verb(const char *arg, struct options *o)
{
    static const char *const verbs[] = {
        [VERB_PRINT] = "print", [VERB_APPLY] = "apply", [VERB_REMOVE] = "remove"
    };
    if (o->verb != VERB_NONE)
        return wrong("one verb is enough; what is", arg);
    for (enum verb v = VERB_PRINT; v <= VERB_REMOVE; v++)
        if (strcmp(arg, verbs[v]) == 0)
            o->verb = v;
    return o->verb == VERB_NONE ? wrong("the verbs are print, apply and remove, not", arg) : 0;
}

static sp_err parse(int argc, char **argv, struct options *o)
{
    for (int i = 0; i < argc;) {
        int used = argv[i][0] == '-'        ? parse_option(argc - i, argv + i, o)
                   : parse_verb(argv[i], o) ? SP_E_INVALID
                                            : 1;
        if (used < 0)
            return used;
        i += used;
    }
    if (o->help)
        return 0;
    if (o->verb == VERB_NONE)
        return wrong("what is to be done? print, apply or remove", NULL);
    if (!o->plan.ip4 && !o->plan.ip6)
        return wrong("--ipv4-only and --ipv6-only together leave nothing", NULL);
    if (o->plan.outbound_port == o->plan.inbound_port)
        return wrong("--outbound-port and --inbound-port are the same", NULL);
    if (o->drain)
        o->plan.include_inbound = o->plan.include_outbound = (struct sp_port_list){ .given = true };
    if (!o->has_uid && o->verb != VERB_REMOVE && find_user(USER, &o->plan.uid))
        return wrong("as which user does the sidecar run? --uid is missing, and there is no user " USER,
                     NULL);
    return 0;
}

static int print(const struct options *o)
{
    struct sp_buf text;
    sp_buf_init(&text, 0);
    if (o->verb == VERB_REMOVE)
        sp_intercept_print_removal(&o->plan, &text);
    else
        sp_intercept_print(&o->plan, &text);
    bool good = !text.failed && fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    sp_buf_deinit(&text);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int change(const struct options *o)
{
    struct sp_buf say;
    sp_buf_init(&say, 0);
    sp_err err = o->verb == VERB_APPLY ? sp_intercept_apply(&o->plan, &say)
                                       : sp_intercept_remove(&o->plan, &say);
    if (err)
        fprintf(stderr, "sampan-proxy intercept: %.*s", SP_STR_ARG(sp_buf_str(&say)));
    sp_buf_deinit(&say);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int proxy_intercept(int argc, char **argv)
{
    struct options o = { .verb = VERB_NONE };
    sp_intercept_plan_init(&o.plan);
    if (parse(argc, argv, &o))
        return 2;
    if (o.help) {
        help();
        return EXIT_SUCCESS;
    }
    return o.verb == VERB_PRINT || o.dry_run ? print(&o) : change(&o);
}
