/* clusters: /clusters and /listeners, as Envoy prints them, so that scripts which read Envoy's go on working.
 *
 *      reviews::default_priority::max_connections::1024
 *      reviews::10.0.0.7:9080::rq_total::42
 *      reviews::10.0.0.7:9080::health_flags::healthy
 *
 * Figures are sums over the workers; an endpoint is healthy when every worker takes it for healthy. What
 * Envoy prints and we do not have (regions, canaries, success rates of outlier detection) is left out of
 * JSON and has its neutral value in the text, whose lines scripts expect to find. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "observe/text_impl.h"

static sp_str name_of(const struct sp_subject *s)
{
    return s->full_name.len ? s->full_name : s->name;
}

/* A name in a line of its own: no control byte passes. */
static void add_name(struct sp_buf *out, sp_str name)
{
    for (size_t i = 0; i < name.len; i++)
        sp_buf_add_char(out, (unsigned char)name.ptr[i] < 0x20 ? '_' : name.ptr[i]);
}

static void text_pair(struct sp_buf *out, const struct sp_subject *s, const char *where, const char *key,
                      uint64_t value)
{
    add_name(out, name_of(s));
    sp_buf_printf(out, "::%s::%s::%llu\n", where, key, (unsigned long long)value);
}

static void text_word(struct sp_buf *out, const struct sp_subject *s, const char *where, const char *key,
                      sp_str value)
{
    add_name(out, name_of(s));
    sp_buf_printf(out, "::%s::%s::", where, key);
    add_name(out, value);
    sp_buf_add_char(out, '\n');
}

static uint64_t successes(const struct sp_endpoint_view *v)
{
    return v->rq_total - SP_MIN(v->rq_total, v->rq_error + v->rq_active);
}

static void text_endpoint(struct sp_buf *out, const struct sp_subject *s, const struct sp_gather_endpoint *ep)
{
    char where[SP_ADDR_TEXT_BYTES];
    const struct sp_endpoint_view *v = &ep->view;
    sp_addr_print(&ep->addr, where, sizeof(where));
    text_pair(out, s, where, "cx_active", v->cx_active);
    text_pair(out, s, where, "cx_connect_fail", v->cx_connect_fail);
    text_pair(out, s, where, "cx_total", v->cx_total);
    text_pair(out, s, where, "rq_active", v->rq_active);
    text_pair(out, s, where, "rq_error", v->rq_error);
    text_pair(out, s, where, "rq_success", successes(v));
    text_pair(out, s, where, "rq_total", v->rq_total);
    text_word(out, s, where, "hostname", ep->hostname);
    text_word(out, s, where, "health_flags", v->healthy ? SP_STR("healthy") : SP_STR("/failed_eds_health"));
    text_pair(out, s, where, "weight", v->weight);
    text_word(out, s, where, "zone", ep->zone);
    text_word(out, s, where, "canary", SP_STR("false"));
    text_pair(out, s, where, "priority", ep->priority);
}

static void text_cluster(struct sp_buf *out, const struct sp_subject *s)
{
    add_name(out, name_of(s));
    sp_buf_add_c(out, "::observability_name::");
    add_name(out, s->name);
    sp_buf_add_char(out, '\n');
    text_pair(out, s, "default_priority", "max_connections", s->limits.connections);
    text_pair(out, s, "default_priority", "max_pending_requests", s->limits.pending);
    text_pair(out, s, "default_priority", "max_requests", s->limits.requests);
    text_pair(out, s, "default_priority", "max_retries", s->limits.retries);
    add_name(out, name_of(s));
    sp_buf_add_c(out, "::added_via_api::false\n");
}

static void json_addr(struct sp_buf *out, const sp_addr *addr)
{
    char text[SP_ADDR_TEXT_BYTES];
    if (addr->family == SP_ADDR_UNIX) {
        sp_buf_add_c(out, "{\"pipe\":{\"path\":");
        sp_buf_add_json(out, sp_str_c(addr->path));
        sp_buf_add_c(out, "}}");
        return;
    }
    size_t len = sp_addr_print_ip(addr, text, sizeof(text));
    sp_buf_add_c(out, "{\"socket_address\":{\"address\":");
    sp_buf_add_json(out, sp_str_of(text, len));
    sp_buf_printf(out, ",\"port_value\":%u}}", addr->port);
}

static void json_stat(struct sp_buf *out, const char *name, const char *type, uint64_t value)
{
    sp_buf_printf(out, "{\"name\":\"%s\",\"type\":\"%s\",\"value\":\"%llu\"}", name, type,
                  (unsigned long long)value);
}

static void json_endpoint(struct sp_buf *out, const struct sp_gather_endpoint *ep)
{
    const struct sp_endpoint_view *v = &ep->view;
    sp_buf_add_c(out, "{\"address\":");
    json_addr(out, &ep->addr);
    sp_buf_add_c(out, ",\"stats\":[");
    const struct {
        const char *name, *type;
        uint64_t value;
    } stats[] = {
        { "cx_connect_fail", "COUNTER", v->cx_connect_fail },
        { "cx_total", "COUNTER", v->cx_total },
        { "rq_error", "COUNTER", v->rq_error },
        { "rq_success", "COUNTER", successes(v) },
        { "rq_total", "COUNTER", v->rq_total },
        { "cx_active", "GAUGE", v->cx_active },
        { "rq_active", "GAUGE", v->rq_active },
    };
    for (size_t i = 0; i < SP_COUNTOF(stats); i++) {
        if (i)
            sp_buf_add_char(out, ',');
        json_stat(out, stats[i].name, stats[i].type, stats[i].value);
    }
    sp_buf_printf(out, "],\"health_status\":{\"eds_health_status\":\"%s\"},\"weight\":%u,\"hostname\":",
                  v->healthy ? "HEALTHY" : "UNHEALTHY", v->weight);
    sp_buf_add_json(out, ep->hostname);
    sp_buf_printf(out, ",\"priority\":%u,\"locality\":{\"zone\":", ep->priority);
    sp_buf_add_json(out, ep->zone);
    sp_buf_add_c(out, "}}");
}

static void json_cluster(struct sp_buf *out, const struct sp_subject *s)
{
    sp_buf_add_c(out, "{\"name\":");
    sp_buf_add_json(out, name_of(s));
    sp_buf_add_c(out, ",\"observability_name\":");
    sp_buf_add_json(out, s->name);
    sp_buf_printf(out,
                  ",\"added_via_api\":false,\"circuit_breakers\":{\"thresholds\":[{\"max_connections\":%u,"
                  "\"max_pending_requests\":%u,\"max_requests\":%u,\"max_retries\":%u}]},\"host_statuses\":[",
                  s->limits.connections, s->limits.pending, s->limits.requests, s->limits.retries);
}

/* A cluster's own lines, then its endpoints, of which it may have many. page->row counts what has been
 * printed of it: the lines are the first. */
static bool cluster_step(struct sp_page *page, struct sp_buf *out)
{
    const struct sp_vec *all = &page->gather->subjects[SP_SUBJECT_CLUSTER];
    if (page->json && !page->began)
        sp_buf_add_c(out, "{\"cluster_statuses\":[");
    page->began = true;
    if (page->item == all->len) {
        if (page->json)
            sp_buf_add_c(out, "]}\n");
        return false;
    }
    struct sp_subject *s = *(struct sp_subject **)sp_vec_at(all, page->item);
    if (page->row++ == 0) {
        if (page->json && page->item)
            sp_buf_add_char(out, ',');
        (page->json ? json_cluster : text_cluster)(out, s);
        s->expected = s->endpoints;
        return true;
    }
    if (!s->expected) {
        if (page->json)
            sp_buf_add_c(out, "]}");
        page->item++;
        page->row = 0;
        return true;
    }
    if (page->json && page->row > 2)
        sp_buf_add_char(out, ',');
    if (page->json)
        json_endpoint(out, s->expected);
    else
        text_endpoint(out, s, s->expected);
    s->expected = s->expected->next;
    return true;
}

static bool listener_step(struct sp_page *page, struct sp_buf *out)
{
    const struct sp_vec *all = &page->gather->subjects[SP_SUBJECT_LISTENER];
    if (page->json && !page->began)
        sp_buf_add_c(out, "{\"listener_statuses\":[");
    page->began = true;
    if (page->item == all->len) {
        if (page->json)
            sp_buf_add_c(out, "]}\n");
        return false;
    }
    const struct sp_subject *s = *(struct sp_subject **)sp_vec_at(all, page->item++);
    if (!page->json) {
        char where[SP_ADDR_TEXT_BYTES];
        sp_addr_print(&s->bound, where, sizeof(where));
        add_name(out, name_of(s));
        sp_buf_printf(out, "::%s\n", where);
        return true;
    }
    sp_buf_add_c(out, page->item > 1 ? ",{\"name\":" : "{\"name\":");
    sp_buf_add_json(out, name_of(s));
    sp_buf_add_c(out, ",\"local_address\":");
    json_addr(out, &s->bound);
    sp_buf_add_char(out, '}');
    return true;
}

static void start(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather,
                  bool (*step)(struct sp_page *page, struct sp_buf *out))
{
    struct sp_page *page = sp_page_new(admin, gather, step);
    if (page)
        page->json = sp_str_eq(sp_http_param(call, "format"), SP_STR("json"));
    sp_page_start(page, call, page && page->json ? "application/json" : NULL);
}

static void clusters_gathered(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather)
{
    start(admin, call, gather, cluster_step);
}

static void listeners_gathered(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather)
{
    start(admin, call, gather, listener_step);
}

void sp_admin_clusters(void *arg, struct sp_http_call *call)
{
    sp_admin_gather(arg, call, clusters_gathered);
}

void sp_admin_listeners(void *arg, struct sp_http_call *call)
{
    sp_admin_gather(arg, call, listeners_gathered);
}
