/* list: lists of ports and networks as a command line says them.
 *
 * nft refuses a set whose intervals overlap, so a list is kept in order and disjoint as it grows: ranges of
 * ports that touch become one, a network inside another is left out. Two networks either nest or have nothing
 * in common, hence no more is needed for them.
 *
 * A list is refused as a whole: half of an exception is worse than an error. */
#include <stdio.h>
#include <string.h>

#include "intercept/rules_impl.h"

static sp_err say(char *why, sp_err err, const char *what, sp_str word)
{
    snprintf(why, SP_INTERCEPT_WHY_BYTES, "%s: \"%.*s\"", what, SP_STR_ARG(sp_str_upto(word, 64)));
    return err;
}

/* ---- ports ---- */

sp_err sp_port_list_put(struct sp_port_list *list, uint16_t first, uint16_t last)
{
    struct sp_port_range *r = list->ranges;
    uint32_t at = 0, end;
    while (at < list->count && r[at].last + 1 < first)
        at++;
    for (end = at; end < list->count && r[end].first <= last + 1; end++) {
        first = SP_MIN(first, r[end].first);
        last = SP_MAX(last, r[end].last);
    }
    uint32_t count = list->count - (end - at) + 1;
    if (count > SP_INTERCEPT_PORTS_MAX)
        return SP_E_LIMIT;
    memmove(&r[at + 1], &r[end], (list->count - end) * sizeof(*r));
    r[at] = (struct sp_port_range){ first, last };
    list->count = count;
    return 0;
}

static sp_err read_port(sp_str word, uint16_t *ret_port, char *why)
{
    uint64_t n;
    sp_err err = sp_str_to_u64(word, &n);
    if (err && err != SP_E_RANGE)
        return say(why, SP_E_INVALID, "not a port", word);
    if (err || n < 1 || n > UINT16_MAX)
        return say(why, SP_E_RANGE, "a port is a number from 1 to 65535, not", word);
    *ret_port = (uint16_t)n;
    return 0;
}

static sp_err read_range(sp_str word, struct sp_port_range *ret_range, char *why)
{
    sp_str rest = word, first = sp_str_cut(&rest, '-');
    struct sp_port_range range;
    sp_err err = read_port(sp_str_trim(first), &range.first, why);
    range.last = range.first;
    if (!err && rest.ptr)
        err = read_port(sp_str_trim(rest), &range.last, why);
    if (!err && range.last < range.first)
        err = say(why, SP_E_RANGE, "a range of ports goes upward, not", word);
    if (!err)
        *ret_range = range;
    return err;
}

sp_err sp_port_list_add(struct sp_port_list *list, sp_str text, char *why)
{
    struct sp_port_list grown = *list;
    grown.given = true;
    for (sp_str rest = text; rest.ptr && !sp_str_eq(text, SP_STR("none"));) {
        sp_str word = sp_str_trim(sp_str_cut(&rest, ','));
        struct sp_port_range range;
        sp_err err = read_range(word, &range, why);
        if (!err && sp_port_list_put(&grown, range.first, range.last))
            err = say(why, SP_E_LIMIT, "too many ports (128 ranges at most) at", word);
        if (err)
            return err;
    }
    *list = grown;
    return 0;
}

/* ---- networks ---- */

static uint32_t width(const sp_addr *addr)
{
    return addr->family == SP_ADDR_IP4 ? 32 : 128;
}

static void clear_host_bits(sp_addr *addr, uint32_t bits)
{
    for (uint32_t i = bits; i < width(addr); i++)
        addr->ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
}

static bool contains(const struct sp_net *outer, const struct sp_net *inner)
{
    return outer->addr.family == inner->addr.family && outer->bits <= inner->bits &&
           sp_addr_in_net(&inner->addr, &outer->addr, outer->bits);
}

static bool before(const struct sp_net *a, const struct sp_net *b)
{
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family;
    return memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip)) < 0;
}

static sp_err put_net(struct sp_net_list *list, const struct sp_net *net)
{
    uint32_t kept = 0, at = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (contains(&list->nets[i], net))
            return 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (!contains(net, &list->nets[i]))
            list->nets[kept++] = list->nets[i];
    list->count = kept;
    if (kept == SP_INTERCEPT_NETS_MAX)
        return SP_E_LIMIT;
    while (at < kept && before(&list->nets[at], net))
        at++;
    memmove(&list->nets[at + 1], &list->nets[at], (kept - at) * sizeof(*net));
    list->nets[at] = *net;
    list->count = kept + 1;
    return 0;
}

static sp_err read_net(sp_str word, struct sp_net *ret_net, char *why)
{
    sp_str bits_text = word, ip = sp_str_cut(&bits_text, '/');
    struct sp_net net;
    uint64_t bits;
    if (sp_addr_parse_ip(ip, 0, &net.addr))
        return say(why, SP_E_INVALID, "not an IP address or network", word);
    bits = width(&net.addr);
    if (bits_text.ptr && (sp_str_to_u64(bits_text, &bits) || bits > width(&net.addr)))
        return say(why, SP_E_RANGE, "not a length of a network", word);
    net.bits = (uint8_t)bits;
    sp_addr clean = net.addr;
    clear_host_bits(&clean, net.bits);
    if (!sp_addr_eq(&clean, &net.addr)) {
        char meant[SP_ADDR_TEXT_BYTES];
        sp_addr_print_ip(&clean, meant, sizeof(meant));
        snprintf(why, SP_INTERCEPT_WHY_BYTES,
                 "bits are set behind the network's length, %s/%u is meant: \"%.*s\"", meant, (unsigned)bits,
                 SP_STR_ARG(sp_str_upto(word, 64)));
        return SP_E_INVALID;
    }
    *ret_net = net;
    return 0;
}

sp_err sp_net_list_add(struct sp_net_list *list, sp_str text, char *why)
{
    struct sp_net_list grown = *list;
    grown.given = true;
    for (sp_str rest = text; rest.ptr && !sp_str_eq(text, SP_STR("none"));) {
        sp_str word = sp_str_trim(sp_str_cut(&rest, ','));
        struct sp_net net;
        sp_err err = read_net(word, &net, why);
        if (!err && put_net(&grown, &net))
            err = say(why, SP_E_LIMIT, "too many networks (256 at most) at", word);
        if (err)
            return err;
    }
    *list = grown;
    return 0;
}

/* ---- names and notes ---- */

static bool is_word(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-'));
}

sp_err sp_intercept_set_table(struct sp_intercept_plan *plan, sp_str name, char *why)
{
    bool good = name.len > 0 && name.len < sizeof(plan->table);
    for (size_t i = 0; good && i < name.len; i++)
        good = is_word(name.ptr[i], i == 0);
    if (!good)
        return say(why, SP_E_INVALID, "a table's name is up to 63 letters, digits, - and _, not", name);
    memcpy(plan->table, name.ptr, name.len);
    plan->table[name.len] = 0;
    return 0;
}

static sp_err read_number(sp_str *rest, const char *name, uint32_t *ret_value)
{
    uint64_t n;
    size_t at = sp_str_find_str(*rest, sp_str_c(name)), end = 0;
    *rest = sp_str_from(*rest, SP_MIN(at + strlen(name), rest->len));
    while (end < rest->len && rest->ptr[end] >= '0' && rest->ptr[end] <= '9')
        end++;
    if (sp_str_to_u64(sp_str_upto(*rest, end), &n) || n > UINT32_MAX)
        return SP_E_INVALID;
    *ret_value = (uint32_t)n;
    return 0;
}

bool sp_intercept_read_note(sp_str listing, uint32_t *ret_mark, uint32_t *ret_route_table)
{
    sp_str rest = listing;
    uint32_t mark, table;
    if (read_number(&rest, "\"mark=", &mark) || read_number(&rest, " route_table=", &table))
        return false;
    *ret_mark = mark;
    *ret_route_table = table;
    return true;
}
