/* build: a resource while it is made, from its first byte to the one who takes it.
 *
 *      open ──► arena, zeroed spec ──► readers fill it, faults go to the document ──► close
 *                                                                                     │
 *                                              any fault, or no memory: freed, with all that it held
 *
 * A message is read to its end whatever is wrong with it: whoever wrote it wants to hear of everything at
 * once. So nothing in this folder returns early because of a fault. It leaves zero where the value should
 * be, and says so; close counts what was said since open, and gives nothing out when there was anything.
 * The same goes for memory: the first allocation that fails is remembered, and what follows leaves zeros.
 *
 * Strings are copied: the message lies in the document's arena, which goes when the reading is over, while
 * a resource lives as long as a worker serves it. What an arena cannot hold (compiled regexes, maps) hangs
 * on a list in it, and goes when the resource does.
 *
 * It does not know which resource it is. */
#include "xds/types/types_impl.h"

#include "model/regex.h"

/* What a resource of ours begins with; the resource points to its first member. */
struct built {
    union {
        struct sp_listener_spec listener;
        struct sp_route_table routes;
        struct sp_cluster_spec cluster;
    };
    struct sp_xds_hold *holds;
};

uint64_t sp_xds_error_count(const struct sp_form_doc *doc)
{
    return (uint64_t)doc->errors_len + doc->errors_dropped;
}

static void on_free(struct sp_resource *resource)
{
    struct built *built = (struct built *)(void *)
                              resource->listener; /* all members of the union start there */
    for (struct sp_xds_hold *hold = built->holds; hold; hold = hold->next) {
        if (hold->table)
            sp_route_table_deinit(hold->table);
        sp_regex_free(hold->regex);
    }
}

sp_err sp_xds_open(struct sp_xds_build *b, const struct sp_xds_reading *in, enum sp_resource_kind kind,
                   sp_str name)
{
    *b = (struct sp_xds_build){ .in = in, .doc = in->doc, .errors_before = sp_xds_error_count(in->doc) };
    b->resource = sp_resource_new(kind, name);
    if (!b->resource)
        return SP_E_NOMEM;
    b->arena = &b->resource->arena;
    struct built *built = SP_ARENA_NEW(b->arena, struct built);
    if (!built) {
        sp_resource_unref(b->resource);
        return SP_E_NOMEM;
    }
    b->holds = &built->holds;
    b->resource->on_free = on_free;
    switch (kind) {
    case SP_RESOURCE_LISTENER: b->resource->listener = &built->listener; break;
    case SP_RESOURCE_ROUTES: b->resource->routes = &built->routes; break;
    case SP_RESOURCE_CLUSTER: b->resource->cluster = &built->cluster; break;
    case SP_RESOURCE_KINDS: SP_ASSERT(kind != SP_RESOURCE_KINDS);
    }
    return 0;
}

sp_err sp_xds_close(struct sp_xds_build *b, struct sp_resource **ret_resource)
{
    sp_err err = b->no_memory ? SP_E_NOMEM : sp_xds_error_count(b->doc) > b->errors_before ? SP_E_INVALID : 0;
    if (err)
        sp_resource_unref(b->resource);
    else
        *ret_resource = b->resource;
    b->resource = NULL;
    return err;
}

void *sp_xds_array(struct sp_xds_build *b, size_t count, size_t item_bytes)
{
    void *array = count ? sp_arena_array(b->arena, count, item_bytes) : NULL;
    if (count && !array)
        b->no_memory = true;
    return array;
}

sp_str sp_xds_str(struct sp_xds_build *b, sp_str s)
{
    if (s.len == 0)
        return SP_STR("");
    sp_str copy = sp_str_dup(b->arena, s);
    if (!copy.ptr)
        b->no_memory = true;
    return copy;
}

static struct sp_xds_hold *hold(struct sp_xds_build *b)
{
    struct sp_xds_hold *hold = sp_xds_array(b, 1, sizeof(*hold));
    if (!hold)
        return NULL;
    hold->next = *b->holds;
    *b->holds = hold;
    return hold;
}

void sp_xds_hold_regex(struct sp_xds_build *b, struct sp_regex *regex)
{
    struct sp_xds_hold *held = hold(b);
    if (held)
        held->regex = regex;
    else
        sp_regex_free(regex);
}

void sp_xds_hold_table(struct sp_xds_build *b, struct sp_route_table *table)
{
    struct sp_xds_hold *held = hold(b);
    if (held)
        held->table = table;
    else
        sp_route_table_deinit(table);
}

void sp_xds_use(struct sp_xds_build *b, sp_str cluster, const void *msg, uint32_t field)
{
    if (!b->in->uses || cluster.len == 0)
        return;
    struct sp_xds_use *use = sp_vec_push(b->in->uses);
    if (!use) {
        b->no_memory = true;
        return;
    }
    *use = (struct sp_xds_use){ .cluster = cluster,
                                .msg = msg,
                                .field = field,
                                .chain = b->chain,
                                .protocol = b->protocol,
                                .may_miss = b->may_miss };
}
