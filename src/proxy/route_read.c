/* route_read: a call as routes see it: its service, path, query, headers and parameters.
 *
 * Nearly all of it is a view of bytes that lie in the head already. Memory is taken (from the call's arena)
 * in four cases: a service in capital letters, an RPC path (put together from service and method), a path
 * that was not canonical, and several headers of one name, which count as one value, joined by ",", as Envoy
 * counts them. Each is built once: what the input holds is not asked for again.
 *
 * Names with a colon are parts of the head. Host is one of them, whatever spelling: the authority that the
 * call goes by may have come from the target and not from the header. */
#include "wire/path.h"

#include "proxy/route_impl.h"

/* ---- path, query ---- */

static sp_err see_http_path(struct sp_route_input *in)
{
    const struct sp_head *head = in->head;
    sp_str target = head->path;
    if (!target.ptr) { /* CONNECT */
        in->path = SP_STR("");
        return 0;
    }
    if (in->normalize || in->merge_slashes) {
        struct sp_path_rules rules = { .normalize = in->normalize, .merge_slashes = in->merge_slashes };
        const char *why;
        sp_err err = sp_path_canonical(head->path, &rules, in->arena, &target, &why);
        if (err)
            return err;
        in->changed = target.ptr != head->path.ptr;
    }
    in->path = sp_path_without_query(target);
    return 0;
}

sp_err sp_route_see_path(struct sp_route_input *in)
{
    bool http = sp_route_is_http(in->head);
    if (!in->path.ptr) {
        sp_err err = 0;
        if (http)
            err = see_http_path(in);
        else
            in->path = sp_head_path(in->head, in->arena);
        if (err || !in->path.ptr)
            return err ? err : SP_E_NOMEM;
    }
    if (!in->query.ptr && http) {
        size_t mark = sp_str_find(in->head->path, '?');
        if (mark < in->head->path.len)
            in->query = sp_str_from(in->head->path, mark + 1);
    }
    return 0;
}

static sp_str join(struct sp_arena *arena, sp_str a, sp_str between, sp_str b)
{
    char *out = sp_arena_alloc_align(arena, a.len + between.len + b.len, 1);
    if (!out)
        return SP_STR_NULL;
    if (a.len)
        memcpy(out, a.ptr, a.len);
    memcpy(out + a.len, between.ptr, between.len);
    if (b.len)
        memcpy(out + a.len + between.len, b.ptr, b.len);
    return sp_str_of(out, a.len + between.len + b.len);
}

sp_str sp_route_target(struct sp_route_input *in, sp_str path)
{
    sp_str whole = in->head->path;
    if (!in->query.ptr)
        return path;
    if (path.ptr == whole.ptr)
        return whole; /* nothing was changed: path and query still lie side by side */
    return join(in->arena, path, SP_STR("?"), in->query);
}

sp_str sp_route_rewritten(const struct sp_route *route, struct sp_route_input *in, sp_str with)
{
    bool prefix = route->match.kind == SP_PATH_PREFIX || route->match.kind == SP_PATH_SEPARATED_PREFIX;
    sp_str rest = prefix ? sp_str_from(in->path, route->match.path.len) : SP_STR("");
    return rest.len ? join(in->arena, with, SP_STR(""), rest) : with;
}

/* ---- service ---- */

static bool is_canonical(sp_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool root_dot = c == '.' && (i + 1 == host.len || host.ptr[i + 1] == ':');
        if ((c >= 'A' && c <= 'Z') || root_dot)
            return false;
    }
    return true;
}

sp_err sp_route_see_service(const struct sp_route_table *table, struct sp_route_input *in)
{
    if (in->service.ptr)
        return 0;
    sp_str service = in->head->service.ptr ? in->head->service : SP_STR("");
    if (table->fold_domains && !is_canonical(service)) {
        char *out = sp_arena_alloc_align(in->arena, service.len, 1);
        if (!out)
            return SP_E_NOMEM;
        service = sp_host_canonical(service, out, service.len);
    }
    in->service = service;
    return 0;
}

/* ---- headers, parameters ---- */

sp_str sp_route_next_value(const struct sp_head *head, sp_str name, uint32_t *at)
{
    bool fold = sp_route_is_http(head);
    while (*at < head->header_count) {
        const struct sp_header *h = &head->headers[(*at)++];
        sp_str have = { h->name, h->name_len };
        if (have.len == name.len && (fold ? sp_str_eq_nocase(have, name) : sp_str_eq(have, name)))
            return (sp_str){ h->value ? h->value : "", h->value_len };
    }
    return SP_STR_NULL;
}

/* ":method" and its like; false: there is no such part. */
static bool read_part(struct sp_route_input *in, sp_str name, sp_str *ret_value, sp_err *ret_err)
{
    const struct sp_head *head = in->head;
    *ret_err = 0;
    if (sp_str_eq(name, SP_STR(":method"))) {
        *ret_value = head->method;
    } else if (sp_str_eq(name, SP_STR(":authority"))) {
        *ret_value = head->service;
    } else if (sp_str_eq(name, SP_STR(":scheme"))) {
        *ret_value = SP_STR("http"); /* what came over TLS has its own listener, and none exists yet */
    } else if (sp_str_eq(name, SP_STR(":path"))) {
        *ret_err = sp_route_see_path(in);
        if (!*ret_err)
            *ret_value = head->flags & SP_HEAD_TUNNEL ? SP_STR_NULL : sp_route_target(in, in->path);
        if (!*ret_err && !ret_value->ptr && !(head->flags & SP_HEAD_TUNNEL))
            *ret_err = SP_E_NOMEM;
    } else {
        return false;
    }
    return true;
}

sp_err sp_route_header(struct sp_route_input *in, sp_str name, sp_str *ret_value)
{
    const struct sp_head *head = in->head;
    sp_err err;
    *ret_value = SP_STR_NULL;
    if (name.len && name.ptr[0] == ':' && read_part(in, name, ret_value, &err))
        return err;
    if (name.len == 4 && sp_route_is_http(head) && sp_str_eq_nocase(name, SP_STR("host"))) {
        *ret_value = head->service;
        return 0;
    }
    uint32_t at = 0;
    sp_str value = sp_route_next_value(head, name, &at), next;
    while (value.ptr && (next = sp_route_next_value(head, name, &at)).ptr) {
        value = join(in->arena, value, SP_STR(","), next);
        if (!value.ptr)
            return SP_E_NOMEM;
    }
    *ret_value = value;
    return 0;
}

sp_str sp_route_param(struct sp_route_input *in, sp_str name)
{
    sp_str query = in->query;
    if (!query.ptr && sp_route_is_http(in->head))
        query = sp_str_from(in->head->path, SP_MIN(sp_str_find(in->head->path, '?') + 1, in->head->path.len));
    while (query.ptr) {
        sp_str value = sp_str_cut(&query, '&');
        sp_str key = sp_str_cut(&value, '=');
        if (sp_str_eq(key, name))
            return value.ptr ? value : SP_STR("");
    }
    return SP_STR_NULL;
}
