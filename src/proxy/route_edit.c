/* route_edit: what a route does to heads: headers added and removed, host and path rewritten, a redirect's
 * target.
 *
 * Order is Envoy's: the innermost level first (weighted cluster, route, virtual host, table), and on each
 * level removals before additions; then the host, then the path. A table without edits costs a look at a few
 * zero counts, and leaves the head unmarked, so that its bytes go on as they came.
 *
 * What could make two messages out of one cannot be edited: Host, lengths and connection headers belong to
 * the codec, which writes them from the head's slots and checks each name and value once more. Such an edit
 * does not pass sp_route_table_index; this file relies on it.
 *
 * RPC has no host and no path that could be rewritten alone: the service's name also stands in the serialised
 * body. Rewrites are HTTP's.
 *
 * A Location is built from what the caller sent, and read by a browser. So each byte that is not a visible
 * ASCII letter leaves as %XX, a path cannot pass for a host (`//evil` loses a slash), and without a host to
 * name the Location stays relative. */
#include "proxy/route.h"

#include "proxy/route_impl.h"

/* ---- headers ---- */

static sp_err add_header(const struct sp_header_add *add, struct sp_arena *arena, struct sp_head *head)
{
    if (!add->value.len && !add->keep_empty)
        return 0;
    bool present = add->action != SP_HEADER_APPEND && sp_head_find_name(head, add->name);
    switch ((enum sp_header_action)add->action) {
    case SP_HEADER_APPEND: break;
    case SP_HEADER_ADD_IF_ABSENT:
        if (present)
            return 0;
        break;
    case SP_HEADER_OVERWRITE: return sp_head_set(head, arena, add->name, add->value);
    case SP_HEADER_OVERWRITE_IF_PRESENT: return present ? sp_head_set(head, arena, add->name, add->value) : 0;
    }
    return sp_head_add(head, arena, add->name, add->value);
}

static sp_err edit(const struct sp_header_edits *edits, struct sp_arena *arena, struct sp_head *head)
{
    for (uint32_t i = 0; i < edits->remove_count; i++)
        sp_head_remove(head, edits->remove[i]);
    for (uint32_t i = 0; i < edits->add_count; i++) {
        sp_err err = add_header(&edits->add[i], arena, head);
        if (err)
            return err;
    }
    return 0;
}

sp_err sp_route_edit_response(const struct sp_route_table *table, const struct sp_route_choice *choice,
                              struct sp_arena *arena, struct sp_head *head)
{
    sp_err err = choice->weighted ? edit(&choice->weighted->response, arena, head) : 0;
    if (!err)
        err = edit(&choice->route->response, arena, head);
    if (!err)
        err = edit(&choice->vhost->response, arena, head);
    return err ? err : edit(&table->response, arena, head);
}

/* ---- host and path ---- */

static sp_err rewrite_path(const struct sp_route *route, struct sp_route_input *in, struct sp_head *head)
{
    bool rewrites = route->prefix_rewrite.len != 0;
    if (head->flags & SP_HEAD_TUNNEL || (!rewrites && !in->changed))
        return 0;
    sp_err err = sp_route_see_path(in);
    if (err)
        return err;
    sp_str before = sp_route_target(in, in->path), after = before;
    if (rewrites) {
        after = sp_route_rewritten(route, in, route->prefix_rewrite);
        after = after.ptr ? sp_route_target(in, after) : after;
    }
    if (!before.ptr || !after.ptr)
        return SP_E_NOMEM;
    if (rewrites && !sp_str_eq(before, after)) { /* for logs and applications, as Envoy tells it */
        err = sp_head_set(head, in->arena, SP_STR("x-envoy-original-path"), before);
        if (err)
            return err;
    }
    head->path = after;
    head->flags |= SP_HEAD_EDITED;
    return 0;
}

sp_err sp_route_edit_request(const struct sp_route_table *table, const struct sp_route_choice *choice,
                             struct sp_route_input *in, struct sp_head *head)
{
    const struct sp_route *route = choice->route;
    sp_err err = choice->weighted ? edit(&choice->weighted->request, in->arena, head) : 0;
    if (!err)
        err = edit(&route->request, in->arena, head);
    if (!err)
        err = edit(&choice->vhost->request, in->arena, head);
    if (!err)
        err = edit(&table->request, in->arena, head);
    if (err || head->protocol != SP_PROTO_HTTP1)
        return err;
    if (route->host_rewrite.len && !(head->flags & SP_HEAD_TUNNEL)) {
        head->service = route->host_rewrite;
        head->flags |= SP_HEAD_EDITED;
    }
    return rewrite_path(route, in, head);
}

/* ---- Location ---- */

struct location {
    char *out; /* NULL: only count */
    size_t len;
};

static void put_raw(struct location *l, sp_str text)
{
    if (l->out && text.len)
        memcpy(l->out + l->len, text.ptr, text.len);
    l->len += text.len;
}

/* Bytes that are no visible ASCII, and those in `also`, become %XX. */
static void put_safe(struct location *l, sp_str text, const char *also)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > 0x20 && c < 0x7f && !strchr(also, c)) {
            put_raw(l, sp_str_of(&text.ptr[i], 1));
            continue;
        }
        char code[3] = { '%', hex[c >> 4], hex[c & 15] };
        put_raw(l, sp_str_of(code, sizeof(code)));
    }
}

static void put_port(struct location *l, uint32_t port)
{
    char text[8] = ":";
    size_t at = sizeof(text);
    for (; port && at > 2; port /= 10)
        text[--at] = (char)('0' + port % 10);
    text[--at] = ':';
    put_raw(l, sp_str_of(text + at, sizeof(text) - at));
}

/* How the caller came here. Who stands before us may have taken TLS off. */
static sp_str scheme_of(const struct sp_head *head)
{
    sp_str said = sp_head_value(head, SP_HDR_X_FORWARDED_PROTO);
    return sp_str_eq_nocase(said, SP_STR("https")) ? SP_STR("https") : SP_STR("http");
}

/* The authority that the caller used; without its port where another is named, or where it is the default of
 * the scheme that the redirect leaves. */
static sp_str host_of(const struct sp_redirect *redirect, const struct sp_head *head, sp_str scheme)
{
    sp_str host = head->service, before = scheme_of(head);
    size_t colon = sp_str_find_last(host, ':');
    bool has_port = colon < host.len && (host.ptr[0] != '[' || (colon && host.ptr[colon - 1] == ']'));
    if (!has_port)
        return host;
    sp_str port = sp_str_from(host, colon + 1);
    bool was_default = sp_str_eq(port, sp_str_eq(before, SP_STR("https")) ? SP_STR("443") : SP_STR("80"));
    bool drop = redirect->port || (was_default && !sp_str_eq(before, scheme));
    return drop ? sp_str_upto(host, colon) : host;
}

static void write_location(struct location *l, const struct sp_redirect *redirect, const struct sp_head *head,
                           sp_str path, sp_str query)
{
    sp_str scheme = redirect->scheme.len ? redirect->scheme
                    : redirect->https    ? SP_STR("https")
                                         : scheme_of(head);
    sp_str host = redirect->host.len ? redirect->host : host_of(redirect, head, scheme);
    if (host.len) {
        put_safe(l, scheme, ":/?#@\\");
        put_raw(l, SP_STR("://"));
        put_safe(l, host, "/?#@\\");
        if (redirect->port)
            put_port(l, redirect->port);
    } else {
        while (path.len > 1 && path.ptr[0] == '/' && path.ptr[1] == '/')
            path = sp_str_from(path, 1);
    }
    if (!path.len || path.ptr[0] != '/')
        put_raw(l, SP_STR("/"));
    put_safe(l, path, "\\#");
    if (query.ptr) {
        put_raw(l, SP_STR("?"));
        put_safe(l, query, "#");
    }
}

sp_str sp_route_location(const struct sp_route *route, struct sp_route_input *in)
{
    const struct sp_redirect *redirect = &route->redirect;
    if (sp_route_see_path(in))
        return SP_STR_NULL;
    sp_str path = in->path, query = redirect->strip_query ? SP_STR_NULL : in->query;
    if (redirect->path.len) {
        size_t mark = sp_str_find(redirect->path, '?');
        path = sp_str_upto(redirect->path, mark);
        if (mark < redirect->path.len) /* a query that is written there goes before the caller's */
            query = sp_str_from(redirect->path, mark + 1);
    } else if (redirect->prefix.len) {
        path = sp_route_rewritten(route, in, redirect->prefix);
        if (!path.ptr)
            return SP_STR_NULL;
    }
    struct location count = { NULL, 0 };
    write_location(&count, redirect, in->head, path, query);
    struct location l = { sp_arena_alloc_align(in->arena, count.len, 1), 0 };
    if (!l.out)
        return SP_STR_NULL;
    write_location(&l, redirect, in->head, path, query);
    return sp_str_of(l.out, l.len);
}
