/* route: the indices of a route table: which virtual host serves a name.
 *
 * A name is tried in this order, and the first hit wins; which entry stood first in the file does not matter,
 * because no domain may stand there twice:
 *
 *      a.b.example.com     exact            one probe of a hash map
 *      *.example.com       longest suffix   what the star stands for is never empty
 *      a.*                 longest prefix
 *      *                   any
 *
 * Wild-card entries are an array, longest first and in byte order within one length. A look-up walks the
 * lengths, of which there are few, and halves its way through the entries of one length, so that ten
 * thousand tenants, each with a domain of its own, cost a dozen comparisons for each length and not ten
 * thousand.
 *
 * In HTTP, names fold: tables hold them in lower case, and callers bring the canonical form
 * (sp_host_canonical). The port is part of the name, as it is for Envoy: `example.com` does not serve
 * `example.com:8080` unless the table ignores ports; then the name with its port is tried first, so that an
 * entry with a port still counts. RPC names are compared byte for byte: Java's names differ by case.
 *
 * The index is also the last gate for header edits: a name or value that could make a second message out of
 * one does not get past it, so that whoever applies edits need not look again for each call.
 *
 * Nothing here looks at a call: matching routes is proxy/route.c's. */
#include "model/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static bool is_any(sp_str domain)
{
    return sp_str_eq(domain, SP_STR("*"));
}

static bool is_suffix(sp_str domain)
{
    return domain.len > 1 && domain.ptr[0] == '*';
}

static bool is_prefix(sp_str domain)
{
    return domain.len > 1 && domain.ptr[domain.len - 1] == '*' && domain.ptr[0] != '*';
}

/* ---- names ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Where the host ends: at the colon before the port, or at the end. */
static size_t host_end(sp_str host)
{
    size_t colon = sp_str_find_last(host, ':');
    if (colon == host.len || (host.len && host.ptr[0] == '[' && host.ptr[colon - 1] != ']'))
        return host.len;
    return colon;
}

sp_str sp_host_canonical(sp_str host, char *out, size_t out_bytes)
{
    size_t end = host_end(host), len = 0;
    SP_ASSERT(out_bytes >= host.len);
    for (size_t i = 0; i < host.len; i++) {
        bool root_dot = host.ptr[i] == '.' && i + 1 == end && end > 1;
        if (!root_dot)
            out[len++] = lower(host.ptr[i]);
    }
    return sp_str_of(out, len);
}

/* ---- building ---- */

struct building {
    struct sp_route_table *table;
    struct sp_arena *arena;
    struct sp_domain_suffix *suffixes, *prefixes;
    sp_str *ret_domain;
};

static int compare_longest_first(const void *a, const void *b)
{
    const struct sp_domain_suffix *x = a, *y = b;
    if (x->text.len != y->text.len)
        return x->text.len > y->text.len ? -1 : 1;
    return sp_str_cmp(x->text, y->text);
}

static sp_err complain(struct building *b, sp_err err, sp_str what)
{
    *b->ret_domain = what;
    return err;
}

/* As the table compares it: the same bytes, or folded into the arena. ptr NULL when memory is out. */
static sp_str spelled(struct building *b, sp_str domain)
{
    if (!b->table->fold_domains)
        return domain;
    char *out = sp_arena_alloc_align(b->arena, domain.len, 1);
    return out ? sp_host_canonical(domain, out, domain.len) : SP_STR_NULL;
}

static sp_err put_domain(struct building *b, sp_str domain, const struct sp_vhost *vhost)
{
    struct sp_route_table *table = b->table;
    sp_str text = spelled(b, domain);
    if (!text.ptr)
        return SP_E_NOMEM;
    if (is_any(text)) {
        if (table->any)
            return complain(b, SP_E_EXISTS, domain);
        table->any = vhost;
        return 0;
    }
    if (is_suffix(text)) {
        b->suffixes[table->suffix_count++] = (struct sp_domain_suffix){ sp_str_from(text, 1), vhost };
        return 0;
    }
    if (is_prefix(text)) {
        b->prefixes[table->prefix_count++] = (struct sp_domain_suffix){ sp_str_upto(text, text.len - 1),
                                                                        vhost };
        return 0;
    }
    if (sp_map_get(&table->exact, text))
        return complain(b, SP_E_EXISTS, domain);
    return sp_map_put(&table->exact, text, (void *)(uintptr_t)vhost, NULL); /* only ever read through const */
}

/* Sort; two of the same are neighbours then. */
static sp_err sort_wild(struct building *b, struct sp_domain_suffix *list, uint32_t count)
{
    if (count)
        qsort(list, count, sizeof(*list), compare_longest_first);
    for (uint32_t i = 1; i < count; i++)
        if (sp_str_eq(list[i].text, list[i - 1].text))
            return complain(b, SP_E_EXISTS, list[i].text);
    return 0;
}

static void count_wild(const struct sp_route_table *table, size_t *ret_suffixes, size_t *ret_prefixes)
{
    *ret_suffixes = *ret_prefixes = 0;
    for (uint32_t i = 0; i < table->vhost_count; i++)
        for (uint32_t k = 0; k < table->vhosts[i].domain_count; k++) {
            *ret_suffixes += is_suffix(table->vhosts[i].domains[k]);
            *ret_prefixes += is_prefix(table->vhosts[i].domains[k]);
        }
}

static sp_err put_domains(struct building *b)
{
    struct sp_route_table *table = b->table;
    size_t suffixes, prefixes;
    count_wild(table, &suffixes, &prefixes);
    b->suffixes = sp_arena_array(b->arena, suffixes, sizeof(*b->suffixes));
    b->prefixes = sp_arena_array(b->arena, prefixes, sizeof(*b->prefixes));
    if (!b->suffixes || !b->prefixes)
        return SP_E_NOMEM;

    for (uint32_t i = 0; i < table->vhost_count; i++)
        for (uint32_t k = 0; k < table->vhosts[i].domain_count; k++) {
            sp_err err = put_domain(b, table->vhosts[i].domains[k], &table->vhosts[i]);
            if (err)
                return err;
        }
    table->suffixes = b->suffixes;
    table->prefixes = b->prefixes;
    sp_err err = sort_wild(b, b->suffixes, table->suffix_count);
    return err ? err : sort_wild(b, b->prefixes, table->prefix_count);
}

/* ---- header edits ---- */

static bool is_token(sp_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len != 0;
}

static bool is_line(sp_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* What the codec writes itself, from the head's slots. */
static bool is_framing(sp_str name)
{
    static const sp_str names[] = {
        { "host", 4 },    { "content-length", 14 }, { "transfer-encoding", 17 }, { "connection", 10 },
        { "te", 2 },      { "keep-alive", 10 },     { "proxy-connection", 16 },  { "trailer", 7 },
        { "upgrade", 7 },
    };
    for (size_t i = 0; i < SP_COUNTOF(names); i++)
        if (sp_str_eq_nocase(name, names[i]))
            return true;
    return false;
}

/* RPC headers carry their lengths: any byte may stand in them. */
static sp_err check_edits(struct building *b, const struct sp_header_edits *edits)
{
    bool http = b->table->fold_domains;
    for (uint32_t i = 0; i < edits->add_count; i++) {
        sp_str name = edits->add[i].name;
        if (!name.len || name.len > UINT16_MAX || edits->add[i].value.len > UINT32_MAX ||
            (http && (!is_token(name) || is_framing(name) || !is_line(edits->add[i].value))))
            return complain(b, SP_E_DENIED, name);
    }
    for (uint32_t i = 0; i < edits->remove_count; i++)
        if (!edits->remove[i].len || (http && (!is_token(edits->remove[i]) || is_framing(edits->remove[i]))))
            return complain(b, SP_E_DENIED, edits->remove[i]);
    return 0;
}

static sp_err check_both(struct building *b, const struct sp_header_edits *request,
                         const struct sp_header_edits *response)
{
    sp_err err = check_edits(b, request);
    return err ? err : check_edits(b, response);
}

static sp_err check_route(struct building *b, const struct sp_route *route)
{
    sp_err err = check_both(b, &route->request, &route->response);
    for (uint32_t i = 0; !err && i < route->weighted_count; i++)
        err = check_both(b, &route->weighted[i].request, &route->weighted[i].response);
    return err;
}

static sp_err check_table(struct building *b)
{
    const struct sp_route_table *table = b->table;
    sp_err err = check_both(b, &table->request, &table->response);
    for (uint32_t i = 0; !err && i < table->vhost_count; i++) {
        const struct sp_vhost *vhost = &table->vhosts[i];
        err = check_both(b, &vhost->request, &vhost->response);
        for (uint32_t k = 0; !err && k < vhost->route_count; k++)
            err = check_route(b, &vhost->routes[k]);
    }
    return err;
}

/* ---- the whole ---- */

static bool looks_at_path(const struct sp_route *route)
{
    return route->match.kind != SP_PATH_PREFIX || !sp_str_eq(route->match.path, SP_STR("/")) ||
           route->match.param_count;
}

static bool path_matters(const struct sp_route_table *table)
{
    for (uint32_t i = 0; i < table->vhost_count; i++)
        for (uint32_t k = 0; k < table->vhosts[i].route_count; k++)
            if (looks_at_path(&table->vhosts[i].routes[k]))
                return true;
    return false;
}

sp_err sp_route_table_index(struct sp_route_table *table, struct sp_arena *arena, sp_str *ret_domain)
{
    struct building b = { .table = table, .arena = arena, .ret_domain = ret_domain };
    table->any = NULL;
    table->suffix_count = table->prefix_count = 0;
    sp_map_init(&table->exact, 0); /* keys are configuration's: callers only look them up */

    sp_err err = check_table(&b);
    if (!err)
        err = put_domains(&b);
    if (err) {
        sp_route_table_deinit(table);
        return err;
    }
    table->path_matters = path_matters(table);
    return 0;
}

void sp_route_table_deinit(struct sp_route_table *table)
{
    sp_map_deinit(&table->exact);
    table->any = NULL;
    table->suffixes = table->prefixes = NULL;
    table->suffix_count = table->prefix_count = 0;
}

/* ---- looking up ---- */

/* The first entry, from `from` on, that is shorter than `len`. */
static uint32_t first_shorter(const struct sp_domain_suffix *list, uint32_t from, uint32_t count, size_t len)
{
    while (from < count) {
        uint32_t middle = from + (count - from) / 2;
        if (list[middle].text.len < len)
            count = middle;
        else
            from = middle + 1;
    }
    return from;
}

/* Among entries [from, end), all as long as `text`. */
static const struct sp_vhost *find_of_length(const struct sp_domain_suffix *list, uint32_t from, uint32_t end,
                                             sp_str text)
{
    while (from < end) {
        uint32_t middle = from + (end - from) / 2;
        int order = memcmp(list[middle].text.ptr, text.ptr, text.len);
        if (order == 0)
            return list[middle].vhost;
        if (order < 0)
            from = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

static const struct sp_vhost *find_wild(const struct sp_domain_suffix *list, uint32_t count, sp_str name,
                                        bool at_end)
{
    const struct sp_vhost *vhost = NULL;
    for (uint32_t i = first_shorter(list, 0, count, name.len);
         !vhost && i < count;) { /* the star is not empty */
        size_t len = list[i].text.len;
        uint32_t end = first_shorter(list, i, count, len);
        sp_str part = at_end ? sp_str_from(name, name.len - len) : sp_str_upto(name, len);
        vhost = find_of_length(list, i, end, part);
        i = end;
    }
    return vhost;
}

static const struct sp_vhost *find_specific(const struct sp_route_table *table, sp_str name)
{
    const struct sp_vhost *vhost = sp_map_get(&table->exact, name);
    if (!vhost && table->suffix_count)
        vhost = find_wild(table->suffixes, table->suffix_count, name, true);
    if (!vhost && table->prefix_count)
        vhost = find_wild(table->prefixes, table->prefix_count, name, false);
    return vhost;
}

const struct sp_vhost *sp_route_table_vhost(const struct sp_route_table *table, sp_str service)
{
    const struct sp_vhost *vhost = find_specific(table, service);
    if (!vhost && table->fold_domains && table->ignore_port) {
        size_t end = host_end(service);
        if (end < service.len)
            vhost = find_specific(table, sp_str_upto(service, end));
    }
    return vhost ? vhost : table->any;
}
