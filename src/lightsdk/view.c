/* view: what is kept, for onlookers: one by one for the uplink, and as JSON for people.
 *
 * The order is that of coming, so that a list which is shown twice reads the same. Finding by name walks the
 * list: it is asked when a route is made, not when a call is.
 *
 * The JSON has the names that the interface itself uses, so that a reader needs one vocabulary; what was not
 * said is left out. */
#include "lightsdk/view.h"

#include "base/buf.h"
#include "lightsdk/lightsdk_impl.h"

struct sp_lightsdk_view sp_lightsdk_view(const struct sp_lightsdk *sdk)
{
    return sdk->view;
}

/* ---- one by one ---- */

static const struct sp_lightsdk_record *record_next(const struct sp_lightsdk *sdk,
                                                    enum sp_lightsdk_shelf_kind kind, const void *after)
{
    const struct sp_list *head = &sdk->shelves[kind].records, *link = head->next;
    if (after) /* the three kinds begin at one place */
        link = SP_CONTAINER(after, const struct sp_lightsdk_record, application)->link.next;
    return link == head ? NULL : SP_CONTAINER(link, const struct sp_lightsdk_record, link);
}

const struct sp_lightsdk_application *sp_lightsdk_application_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_application *after)
{
    const struct sp_lightsdk_record *record = record_next(sdk, SP_LIGHTSDK_APPLICATIONS, after);
    return record ? &record->application : NULL;
}

const struct sp_lightsdk_publication *sp_lightsdk_publication_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_publication *after)
{
    const struct sp_lightsdk_record *record = record_next(sdk, SP_LIGHTSDK_PUBLICATIONS, after);
    return record ? &record->publication : NULL;
}

const struct sp_lightsdk_subscription *sp_lightsdk_subscription_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_subscription *after)
{
    const struct sp_lightsdk_record *record = record_next(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, after);
    return record ? &record->subscription : NULL;
}

const struct sp_lightsdk_publication *sp_lightsdk_find(const struct sp_lightsdk *sdk, sp_str service)
{
    const struct sp_lightsdk_publication *p = NULL;
    while ((p = sp_lightsdk_publication_next(sdk, p)))
        if (p->addr.family != SP_ADDR_NONE && sp_str_eq(p->service, service))
            return p;
    return NULL;
}

/* ---- as JSON ---- */

static void add_text(struct sp_buf *out, const char *name, sp_str value)
{
    if (!value.len)
        return;
    sp_buf_printf(out, ",\"%s\":", name);
    sp_buf_add_json(out, value);
}

static void add_yes(struct sp_buf *out, const char *name, bool yes)
{
    if (yes)
        sp_buf_printf(out, ",\"%s\":true", name);
}

static void add_pairs(struct sp_buf *out, const char *name, const struct sp_lightsdk_pairs *pairs)
{
    if (!pairs->count)
        return;
    sp_buf_printf(out, ",\"%s\":{", name);
    for (uint32_t i = 0; i < pairs->count; i++) {
        sp_buf_add_c(out, i ? "," : "");
        sp_buf_add_json(out, pairs->list[i].name);
        sp_buf_add_char(out, ':');
        sp_buf_add_json(out, pairs->list[i].value);
    }
    sp_buf_add_char(out, '}');
}

static void add_application(struct sp_buf *out, const struct sp_lightsdk_application *a)
{
    sp_buf_add_c(out, "{\"appName\":");
    sp_buf_add_json(out, a->name);
    if (a->parameters.count)
        sp_buf_add_c(out, ",\"parameters\":[");
    for (uint32_t i = 0; i < a->parameters.count; i++) {
        sp_buf_add_c(out, i ? "," : "");
        sp_buf_add_json(out, a->parameters.list[i].name);
    }
    sp_buf_add_c(out, a->parameters.count ? "]}" : "}");
}

static const char *source_name(enum sp_lightsdk_source source)
{
    switch (source) {
    case SP_LIGHTSDK_NOWHERE: return "unknown";
    case SP_LIGHTSDK_BY_PORT: return "port";
    case SP_LIGHTSDK_BY_PROPERTY: return "property";
    case SP_LIGHTSDK_BY_BOOTSTRAP: return "bootstrap";
    }
    return "unknown";
}

static void add_publication(struct sp_buf *out, const struct sp_lightsdk_publication *p)
{
    char addr[SP_ADDR_TEXT_BYTES] = "";
    if (p->addr.family != SP_ADDR_NONE)
        sp_addr_print(&p->addr, addr, sizeof(addr));
    sp_buf_add_c(out, "{\"serviceName\":");
    sp_buf_add_json(out, p->service);
    add_text(out, "protocolType", p->protocol_type);
    add_text(out, "group", p->group);
    add_text(out, "protocol", p->protocol);
    add_text(out, "version", p->version);
    add_text(out, "serializeType", p->serialize_type);
    add_text(out, "appName", p->application);
    add_yes(out, "onlyPublishInCloud", p->only_in_cloud);
    add_pairs(out, "properties", &p->properties);
    add_text(out, "address", sp_str_c(addr));
    add_text(out, "addressFrom", sp_str_c(source_name(p->source)));
    sp_buf_add_char(out, '}');
}

static void add_subscription(struct sp_buf *out, const struct sp_lightsdk_subscription *s)
{
    sp_buf_add_c(out, "{\"serviceName\":");
    sp_buf_add_json(out, s->service);
    add_text(out, "protocolType", s->protocol_type);
    add_text(out, "group", s->group);
    add_text(out, "targetAppAddress", s->target);
    add_yes(out, "vipEnforce", s->vip_enforce);
    add_yes(out, "vipOnly", s->vip_only);
    add_yes(out, "localCloudFirst", s->local_cloud_first);
    add_pairs(out, "properties", &s->properties);
    sp_buf_add_char(out, '}');
}

void sp_lightsdk_write_json(const struct sp_lightsdk *sdk, struct sp_buf *out)
{
    const struct sp_lightsdk_application *a = NULL;
    const struct sp_lightsdk_publication *p = NULL;
    const struct sp_lightsdk_subscription *s = NULL;
    const struct sp_lightsdk_view *v = &sdk->view;
    sp_buf_add_c(out, "{\"applications\":[");
    while ((a = sp_lightsdk_application_next(sdk, a))) {
        sp_buf_add_c(out, a == sp_lightsdk_application_next(sdk, NULL) ? "" : ",");
        add_application(out, a);
    }
    sp_buf_add_c(out, "],\"publications\":[");
    while ((p = sp_lightsdk_publication_next(sdk, p))) {
        sp_buf_add_c(out, p == sp_lightsdk_publication_next(sdk, NULL) ? "" : ",");
        add_publication(out, p);
    }
    sp_buf_add_c(out, "],\"subscriptions\":[");
    while ((s = sp_lightsdk_subscription_next(sdk, s))) {
        sp_buf_add_c(out, s == sp_lightsdk_subscription_next(sdk, NULL) ? "" : ",");
        add_subscription(out, s);
    }
    sp_buf_printf(out,
                  "],\"requests\":{\"taken\":%llu,\"wrong\":%llu,\"limited\":%llu},\"keptBytes\":%llu}\n",
                  (unsigned long long)(v->asks - v->wrong - v->limited), (unsigned long long)v->wrong,
                  (unsigned long long)v->limited, (unsigned long long)v->kept_bytes);
}
