/* rules: a plan becomes nft's text.
 *
 * A program is sent through its sidecar without knowing: the kernel changes where the first packet of a
 * connection goes, and the sidecar asks it where that was (SO_ORIGINAL_DST).
 *
 *      program ──output──> [outbound] ── redirect :15001 ──> sidecar ──output (its uid: return)──> the world
 *
 *      the world ──prerouting──> [inbound] ── redirect or tproxy :15006 ──> sidecar ──lo──> program
 *
 * What is left alone, and why:
 *   - what the sidecar sends, known by its user, or nothing would ever leave;
 *   - what comes or goes by lo: a program that calls itself, also by the machine's own address, stays alone;
 *   - packets that do not begin a connection. Address translation sees only the first packet of a connection
 *     that the kernel tracks; but one that was open before it began to track is taken for new in mid-stream,
 *     and was torn off when that was tried. So only SYN alone is taken;
 *   - inbound, what is not for this machine: a router or a host of containers is no service;
 *   - the sidecar's own ports, and 22, so that nobody locks himself out.
 *
 * TPROXY keeps both addresses as they were. Its rules stand in a filter chain and see every packet, so what
 * belongs to a transparent socket of the sidecar is marked, and the mark is routed to this machine
 * (sp_intercept_ip_command). Where the sidecar calls the program from the caller's own address, the program's
 * answers would leave by the network: `answers` remembers such connections and marks the way back.
 *
 * With inbound_source the sidecar's calls to this machine's own addresses enter by the inbound port too, as
 * Istio has it, save those from these addresses. It cannot be the default: a sidecar whose inbound side does
 * not call from a known address would call itself without end.
 *
 * A plan that takes nothing is for leaving: new connections go past, and those that were taken go on, since
 * the kernel translates them as long as some rule translates (`open`), and TPROXY's marks stay. With no such
 * rule left they are torn off, which is what removing does.
 *
 * One transaction takes the old table away and makes the new one: there is no instant without rules, and
 * applying twice is applying once. `add` before `delete`, since deleting what is not there fails. iptables
 * was left: it has a program for each family, and cannot change a set of rules at one instant. */
#include "intercept/rules.h"

#include <stdio.h>
#include <string.h>

#include "intercept/rules_impl.h"

enum { MARK = 1337, ROUTE_TABLE = 133, OUTBOUND_PORT = 15001, INBOUND_PORT = 15006 };

/* ssh; admin, outbound, inbound, metrics, health, DNS; the light SDK's door and its calls. */
static const uint16_t own_ports[] = { 22, 12220, 13330, 15000, 15001, 15006, 15020, 15021, 15053 };

#define RULE_PLACE "15006"
#define NEW_ONLY "tcp flags & (fin | syn | rst | ack) != syn return comment \"open already\""

void sp_intercept_plan_init(struct sp_intercept_plan *plan)
{
    *plan = (struct sp_intercept_plan){ .table = "sampan",
                                        .mode = SP_INTERCEPT_REDIRECT,
                                        .outbound_port = OUTBOUND_PORT,
                                        .inbound_port = INBOUND_PORT,
                                        .ip4 = true,
                                        .ip6 = true,
                                        .mark = MARK,
                                        .route_table = ROUTE_TABLE };
    for (size_t i = 0; i < SP_COUNTOF(own_ports); i++)
        SP_IGNORE(sp_port_list_put(&plan->exclude_inbound, own_ports[i], own_ports[i])); /* there is room */
}

/* ---- pieces ---- */

/* Chains have an empty line between them. */
static void begin(struct sp_buf *out, const char *chain)
{
    bool first = out->len && out->ptr[out->len - 2] == '{';
    sp_buf_printf(out, "%s    chain %s {\n", first ? "" : "\n", chain);
}

static void line(struct sp_buf *out, const char *text)
{
    sp_buf_printf(out, "        %s\n", text);
}

static void print_ports(struct sp_buf *out, const struct sp_port_list *list)
{
    sp_buf_add_c(out, "{");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sp_port_range *range = &list->ranges[i];
        sp_buf_printf(out, "%s %u", i ? "," : "", (unsigned)range->first);
        if (range->last != range->first)
            sp_buf_printf(out, "-%u", (unsigned)range->last);
    }
    sp_buf_add_c(out, " }");
}

static uint32_t count_family(const struct sp_net_list *list, uint8_t family)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count; i++)
        n += list->nets[i].addr.family == family;
    return n;
}

static void print_nets(struct sp_buf *out, const struct sp_net_list *list, uint8_t family)
{
    const char *comma = "";
    sp_buf_add_c(out, "{");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sp_net *net = &list->nets[i];
        char text[SP_ADDR_TEXT_BYTES];
        if (net->addr.family != family)
            continue;
        sp_addr_print_ip(&net->addr, text, sizeof(text));
        sp_buf_printf(out, "%s %s", comma, text);
        if (net->bits != (family == SP_ADDR_IP4 ? 32 : 128))
            sp_buf_printf(out, "/%u", (unsigned)net->bits);
        comma = ",";
    }
    sp_buf_add_c(out, " }");
}

/* "ip daddr { ... } return" for each family that has some. */
static void return_nets(struct sp_buf *out, const char *field, const struct sp_net_list *list)
{
    static const uint8_t families[] = { SP_ADDR_IP4, SP_ADDR_IP6 };
    for (size_t i = 0; i < SP_COUNTOF(families); i++) {
        if (!count_family(list, families[i]))
            continue;
        sp_buf_printf(out, "        %s %s ", families[i] == SP_ADDR_IP4 ? "ip" : "ip6", field);
        print_nets(out, list, families[i]);
        sp_buf_add_c(out, " return\n");
    }
}

/* The reverse: what is in none of them. A family without any is out as a whole. */
static void return_other_nets(struct sp_buf *out, const struct sp_net_list *list)
{
    static const uint8_t families[] = { SP_ADDR_IP4, SP_ADDR_IP6 };
    for (size_t i = 0; i < SP_COUNTOF(families); i++) {
        bool four = families[i] == SP_ADDR_IP4;
        if (!count_family(list, families[i])) {
            line(out, four ? "meta nfproto ipv4 return" : "meta nfproto ipv6 return");
            continue;
        }
        sp_buf_printf(out, "        %s daddr != ", four ? "ip" : "ip6");
        print_nets(out, list, families[i]);
        sp_buf_add_c(out, " return\n");
    }
}

static void return_ports(struct sp_buf *out, const struct sp_port_list *exclude,
                         const struct sp_port_list *include)
{
    if (exclude->count) {
        sp_buf_add_c(out, "        tcp dport ");
        print_ports(out, exclude);
        sp_buf_add_c(out, " return\n");
    }
    if (include->given) {
        sp_buf_add_c(out, "        tcp dport != ");
        print_ports(out, include);
        sp_buf_add_c(out, " return\n");
    }
}

static void return_families(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    if (!plan->ip6)
        line(out, "meta nfproto != ipv4 return");
    if (!plan->ip4)
        line(out, "meta nfproto != ipv6 return");
}

/* ---- chains ---- */

static bool is_taken(const struct sp_port_list *include)
{
    return !include->given || include->count;
}

static void return_inbound_ports(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    struct sp_port_list exclude = plan->exclude_inbound;
    /* full: nobody listens there */
    SP_IGNORE(sp_port_list_put(&exclude, plan->outbound_port, plan->outbound_port));
    SP_IGNORE(sp_port_list_put(&exclude, plan->inbound_port, plan->inbound_port)); /* but the sidecar */
    return_ports(out, &exclude, &plan->include_inbound);
}

/* The sidecar's calls to this machine's own addresses, on lo already. A family in which its inbound side has
 * no address is out: those calls could not be told from the others. */
static void print_own_calls(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    bool four = count_family(&plan->inbound_source, SP_ADDR_IP4),
         six = count_family(&plan->inbound_source, SP_ADDR_IP6);
    begin(out, "own_calls");
    return_nets(out, "saddr", &plan->inbound_source);
    line(out, four ? "ip daddr 127.0.0.0/8 return" : "meta nfproto ipv4 return");
    line(out, six ? "ip6 daddr ::1 return" : "meta nfproto ipv6 return");
    return_inbound_ports(plan, out);
    sp_buf_printf(out, "        meta l4proto tcp redirect to :%u\n    }\n", (unsigned)plan->inbound_port);
}

/* True when there is something to translate. */
static bool print_outbound(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    bool own_calls = plan->inbound_source.count && is_taken(&plan->include_inbound);
    bool taken = is_taken(&plan->include_outbound) && (!plan->include_nets.given || plan->include_nets.count);
    if (!own_calls && !taken)
        return false;
    if (own_calls)
        print_own_calls(plan, out);
    begin(out, "outbound");
    line(out, "type nat hook output priority -100; policy accept;");
    return_families(plan, out);
    line(out, NEW_ONLY);
    if (own_calls)
        sp_buf_printf(out, "        meta skuid %u oifname \"lo\" jump own_calls\n", (unsigned)plan->uid);
    if (taken) {
        sp_buf_printf(out, "        meta skuid %u return comment \"the sidecar\"\n", (unsigned)plan->uid);
        if (plan->has_gid)
            sp_buf_printf(out, "        meta skgid %u return\n", (unsigned)plan->gid);
        line(out, "oifname \"lo\" return");
        return_nets(out, "daddr", &plan->exclude_nets);
        if (plan->include_nets.given)
            return_other_nets(out, &plan->include_nets);
        return_ports(out, &plan->exclude_outbound, &plan->include_outbound);
        sp_buf_printf(out, "        meta l4proto tcp redirect to :%u\n", (unsigned)plan->outbound_port);
    }
    sp_buf_add_c(out, "    }\n");
    return true;
}

static void print_inbound_redirect(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    begin(out, "inbound");
    line(out, "type nat hook prerouting priority -100; policy accept;");
    return_families(plan, out);
    line(out, NEW_ONLY);
    line(out, "iifname \"lo\" return");
    line(out, "fib daddr type != local return");
    return_inbound_ports(plan, out);
    sp_buf_printf(out, "        meta l4proto tcp redirect to :%u\n    }\n", (unsigned)plan->inbound_port);
}

static void print_tproxy(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    unsigned mark = (unsigned)plan->mark, port = (unsigned)plan->inbound_port;
    line(out, NEW_ONLY);
    line(out, "fib daddr type != local return");
    return_inbound_ports(plan, out);
    if (plan->ip4)
        sp_buf_printf(out, "        meta nfproto ipv4 meta l4proto tcp tproxy ip to :%u meta mark set %u\n",
                      port, mark);
    if (plan->ip6)
        sp_buf_printf(out, "        meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :%u meta mark set %u\n",
                      port, mark);
}

static void print_inbound_tproxy(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    unsigned mark = (unsigned)plan->mark;
    begin(out, "inbound");
    line(out, "type filter hook prerouting priority -150; policy accept;");
    return_families(plan, out);
    line(out, "iifname \"lo\" return");
    sp_buf_printf(
        out,
        "        meta l4proto tcp socket transparent 1 meta mark set %u return comment " SP_INTERCEPT_NOTE
        "\n",
        mark, mark, (unsigned)plan->route_table);
    if (is_taken(&plan->include_inbound))
        print_tproxy(plan, out);
    sp_buf_add_c(out, "    }\n");
    begin(out, "answers");
    line(out, "type route hook output priority -150; policy accept;");
    sp_buf_printf(out, "        meta skuid %u oifname \"lo\" fib saddr type != local ct mark set %u\n",
                  (unsigned)plan->uid, mark);
    sp_buf_printf(out, "        ct direction reply ct mark %u meta mark set %u\n    }\n", mark, mark);
}

/* Connections that were taken are translated for as long as some rule of the machine translates. */
static void print_open(struct sp_buf *out)
{
    begin(out, "open");
    line(out, "type nat hook output priority -100; policy accept;");
    line(out, "tcp dport 0 redirect comment \"holds what was taken, takes nothing\"");
    sp_buf_add_c(out, "    }\n");
}

/* ---- the whole ---- */

static void print_commands(const struct sp_intercept_plan *plan, bool removal, struct sp_buf *out)
{
    struct sp_ip_command command;
    for (uint32_t i = 0; sp_intercept_ip_command(plan, removal, i, &command); i++) {
        sp_buf_add_char(out, '#');
        for (uint32_t k = 0; command.argv[k]; k++)
            sp_buf_printf(out, " %s", command.argv[k]);
        sp_buf_add_char(out, '\n');
    }
}

static void print_away(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    sp_buf_printf(out, "add table inet %s\ndelete table inet %s\n", plan->table, plan->table);
}

void sp_intercept_print(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    sp_buf_add_c(out, "# Made by `sampan-proxy intercept`; `sampan-proxy intercept remove` takes it away.\n");
    if (plan->mode == SP_INTERCEPT_TPROXY)
        sp_buf_add_c(out, "# These commands come first:\n");
    print_commands(plan, false, out);
    print_away(plan, out);
    sp_buf_printf(out, "table inet %s {\n", plan->table);
    bool inbound = is_taken(&plan->include_inbound), tproxy = plan->mode == SP_INTERCEPT_TPROXY;
    bool translates = print_outbound(plan, out) || (inbound && !tproxy);
    if (tproxy)
        print_inbound_tproxy(plan, out);
    else if (inbound)
        print_inbound_redirect(plan, out);
    if (!translates)
        print_open(out);
    sp_buf_add_c(out, "}\n");
}

void sp_intercept_print_removal(const struct sp_intercept_plan *plan, struct sp_buf *out)
{
    print_away(plan, out);
    if (plan->mode == SP_INTERCEPT_TPROXY)
        sp_buf_add_c(out, "# These commands come after it:\n");
    print_commands(plan, true, out);
}

/* A family has two commands: the route first, so that the rule never leads to an empty table. The rule has a
 * place of its own (pref), or adding it twice would make two. */
bool sp_intercept_ip_command(const struct sp_intercept_plan *plan, bool removal, uint32_t i,
                             struct sp_ip_command *ret_command)
{
    struct sp_ip_command *c = ret_command;
    if (plan->mode != SP_INTERCEPT_TPROXY)
        return false;
    uint32_t families = plan->ip4 + plan->ip6;
    bool four = plan->ip4 && i < 2;
    if (i >= families * 2)
        return false;
    bool route = (i % 2 == 0) != removal;
    snprintf(c->mark, sizeof(c->mark), "%u", (unsigned)plan->mark);
    snprintf(c->table, sizeof(c->table), "%u", (unsigned)plan->route_table);
    const char *const of_route[] = { "ip",    four ? "-4" : "-6",
                                     "route", removal ? "del" : "replace",
                                     "local", four ? "0.0.0.0/0" : "::/0",
                                     "dev",   "lo",
                                     "table", c->table,
                                     NULL };
    const char *const of_rule[] = { "ip",     four ? "-4" : "-6", "rule",   removal ? "del" : "add",
                                    "pref",   RULE_PLACE,         "fwmark", c->mark,
                                    "lookup", c->table,           NULL };
    if (route)
        memcpy(c->argv, of_route, sizeof(of_route));
    else
        memcpy(c->argv, of_rule, sizeof(of_rule));
    return true;
}
