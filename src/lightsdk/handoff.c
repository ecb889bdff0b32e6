/* handoff: the three shelves as records.
 *
 *      application (220)   name, pairs ───┐
 *      pair (223)          name, value    │ as many as it said
 *      publication (221)   ...            ┘ oldest first, so that the order stays
 *      pair ...
 *      subscription (222)  ...
 *      figures (224)       what the door has counted                spare
 *
 * An application says once what it serves and what it calls, over a connection that does not last: a sidecar
 * that forgot it would route nothing until the application starts anew. So the shelves go along whole, and
 * are filled by the same function as by a request: limits hold on both sides, and what a smaller successor
 * cannot keep is refused while the old process can still go on.
 *
 * Pairs have records of their own because a record is flat. They follow their owner, which says how many. */
#include "lightsdk/handoff.h"

#include "lightsdk/lightsdk_impl.h"

enum { APPLICATION = 220, PUBLICATION, SUBSCRIPTION, PAIR, FIGURES };

/* One struct for the three: what a kind does not have is not in its table. */
struct thing {
    sp_str name; /* of the application, or the service */
    sp_str protocol_type, group, target, protocol, version, serialize_type, application;
    sp_addr addr;
    uint32_t pairs;
    uint8_t source;
    bool only_in_cloud, vip_enforce, vip_only, local_cloud_first;
};

struct figures {
    uint64_t asks, wrong, limited;
};

static const struct sp_record_field application_fields[] = {
    SP_RECORD_FIELD(1, BYTES, thing, name),
    SP_RECORD_FIELD(2, U32, thing, pairs),
};
static const struct sp_record_field publication_fields[] = {
    SP_RECORD_FIELD(1, BYTES, thing, name),           SP_RECORD_FIELD(2, U32, thing, pairs),
    SP_RECORD_FIELD(3, BYTES, thing, protocol_type),  SP_RECORD_FIELD(4, BYTES, thing, group),
    SP_RECORD_FIELD(5, BYTES, thing, protocol),       SP_RECORD_FIELD(6, BYTES, thing, version),
    SP_RECORD_FIELD(7, BYTES, thing, serialize_type), SP_RECORD_FIELD(8, BYTES, thing, application),
    SP_RECORD_FIELD(9, BOOL, thing, only_in_cloud),   SP_RECORD_FIELD(10, ADDR, thing, addr),
    SP_RECORD_FIELD(11, U8, thing, source),
};
static const struct sp_record_field subscription_fields[] = {
    SP_RECORD_FIELD(1, BYTES, thing, name),          SP_RECORD_FIELD(2, U32, thing, pairs),
    SP_RECORD_FIELD(3, BYTES, thing, protocol_type), SP_RECORD_FIELD(4, BYTES, thing, group),
    SP_RECORD_FIELD(5, BYTES, thing, target),        SP_RECORD_FIELD(6, BOOL, thing, vip_enforce),
    SP_RECORD_FIELD(7, BOOL, thing, vip_only),       SP_RECORD_FIELD(8, BOOL, thing, local_cloud_first),
};
static const struct sp_record_field pair_fields[] = {
    SP_RECORD_FIELD(1, BYTES, sp_lightsdk_pair, name),
    SP_RECORD_FIELD(2, BYTES, sp_lightsdk_pair, value),
};
static const struct sp_record_field figures_fields[] = {
    SP_RECORD_SPARE(1, U64, figures, asks),
    SP_RECORD_SPARE(2, U64, figures, wrong),
    SP_RECORD_SPARE(3, U64, figures, limited),
};

static const struct sp_record_kind application_kind = SP_RECORD_KIND(
    APPLICATION, false, "light SDK application", thing, application_fields);
static const struct sp_record_kind publication_kind = SP_RECORD_KIND(
    PUBLICATION, false, "light SDK publication", thing, publication_fields);
static const struct sp_record_kind subscription_kind = SP_RECORD_KIND(
    SUBSCRIPTION, false, "light SDK subscription", thing, subscription_fields);
static const struct sp_record_kind pair_kind = SP_RECORD_KIND(PAIR, false, "light SDK pair", sp_lightsdk_pair,
                                                              pair_fields);
static const struct sp_record_kind figures_kind = SP_RECORD_KIND(FIGURES, true, "light SDK figures", figures,
                                                                 figures_fields);

static const struct sp_record_kind *const kinds[] = { &application_kind, &publication_kind,
                                                      &subscription_kind, &pair_kind, &figures_kind };
const struct sp_record_book sp_lightsdk_records = { kinds, SP_COUNTOF(kinds) };

/* ---- out ---- */

static void put(struct sp_record_writer *writer, const struct sp_record_kind *kind, struct thing thing,
                const struct sp_lightsdk_pairs *pairs)
{
    thing.pairs = pairs->count;
    sp_record_put(writer, kind, &thing);
    for (uint32_t i = 0; i < pairs->count; i++)
        sp_record_put(writer, &pair_kind, &pairs->list[i]);
}

static void put_publication(struct sp_record_writer *writer, const struct sp_lightsdk_publication *p)
{
    put(writer, &publication_kind,
        (struct thing){ .name = p->service,
                        .protocol_type = p->protocol_type,
                        .group = p->group,
                        .protocol = p->protocol,
                        .version = p->version,
                        .serialize_type = p->serialize_type,
                        .application = p->application,
                        .addr = p->addr,
                        .source = (uint8_t)p->source,
                        .only_in_cloud = p->only_in_cloud },
        &p->properties);
}

static void put_subscription(struct sp_record_writer *writer, const struct sp_lightsdk_subscription *s)
{
    put(writer, &subscription_kind,
        (struct thing){ .name = s->service,
                        .protocol_type = s->protocol_type,
                        .group = s->group,
                        .target = s->target,
                        .vip_enforce = s->vip_enforce,
                        .vip_only = s->vip_only,
                        .local_cloud_first = s->local_cloud_first },
        &s->properties);
}

void sp_lightsdk_save(const struct sp_lightsdk *sdk, struct sp_record_writer *writer)
{
    const struct sp_lightsdk_application *a = NULL;
    const struct sp_lightsdk_publication *p = NULL;
    const struct sp_lightsdk_subscription *s = NULL;
    while ((a = sp_lightsdk_application_next(sdk, a)))
        put(writer, &application_kind, (struct thing){ .name = a->name }, &a->parameters);
    while ((p = sp_lightsdk_publication_next(sdk, p)))
        put_publication(writer, p);
    while ((s = sp_lightsdk_subscription_next(sdk, s)))
        put_subscription(writer, s);
    const struct figures figures = { sdk->view.asks, sdk->view.wrong, sdk->view.limited };
    sp_record_put(writer, &figures_kind, &figures);
}

/* ---- in ---- */

static sp_err read_pairs(struct sp_lightsdk *sdk, struct sp_record_reader *reader,
                         const struct sp_record_kind *kind, uint32_t count, struct sp_lightsdk_pairs *pairs)
{
    *pairs = (struct sp_lightsdk_pairs){ 0 };
    if (count > SP_LIGHTSDK_PAIRS_MAX)
        return sp_record_bad(reader, kind, "%u pairs are more than %d", count, SP_LIGHTSDK_PAIRS_MAX);
    sp_arena_reset(&sdk->scratch);
    pairs->list = count ? sp_arena_array(&sdk->scratch, count, sizeof(*pairs->list)) : NULL;
    if (count && !pairs->list)
        return sp_record_bad(reader, kind, "memory is out");
    for (; pairs->count < count; pairs->count++) {
        uint16_t next = 0;
        int found = sp_record_next(reader, &next);
        if (found < 0)
            return found;
        if (!found || next != PAIR)
            return sp_record_bad(reader, kind, "%u of its %u pairs are missing", count - pairs->count, count);
        sp_err err = sp_record_get(reader, &pair_kind, &pairs->list[pairs->count]);
        if (err)
            return err;
    }
    return 0;
}

static sp_err keep(struct sp_lightsdk *sdk, struct sp_record_reader *reader,
                   const struct sp_record_kind *kind, enum sp_lightsdk_shelf_kind shelf, const void *value)
{
    sp_err err = sp_lightsdk_keep(sdk, shelf, value);
    if (!err)
        return 0;
    return sp_record_bad(reader, kind, "%s", err == SP_E_LIMIT ? "more than is kept here" : "memory is out");
}

static sp_err load_thing(struct sp_lightsdk *sdk, struct sp_record_reader *reader,
                         const struct sp_record_kind *kind)
{
    struct thing t;
    struct sp_lightsdk_pairs pairs;
    sp_err err = sp_record_get(reader, kind, &t);
    if (!err)
        err = read_pairs(sdk, reader, kind, t.pairs, &pairs);
    if (err)
        return err;
    if (t.source > SP_LIGHTSDK_BY_BOOTSTRAP)
        return sp_record_bad(reader, kind, "source %u is not known", t.source);
    if (kind == &application_kind) {
        struct sp_lightsdk_application a = { t.name, pairs };
        return keep(sdk, reader, kind, SP_LIGHTSDK_APPLICATIONS, &a);
    }
    if (kind == &publication_kind) {
        struct sp_lightsdk_publication p = { .service = t.name,
                                             .protocol_type = t.protocol_type,
                                             .group = t.group,
                                             .protocol = t.protocol,
                                             .version = t.version,
                                             .serialize_type = t.serialize_type,
                                             .application = t.application,
                                             .properties = pairs,
                                             .only_in_cloud = t.only_in_cloud,
                                             .addr = t.addr,
                                             .source = (enum sp_lightsdk_source)t.source };
        return keep(sdk, reader, kind, SP_LIGHTSDK_PUBLICATIONS, &p);
    }
    struct sp_lightsdk_subscription s = { .service = t.name,
                                          .protocol_type = t.protocol_type,
                                          .group = t.group,
                                          .target = t.target,
                                          .properties = pairs,
                                          .vip_enforce = t.vip_enforce,
                                          .vip_only = t.vip_only,
                                          .local_cloud_first = t.local_cloud_first };
    return keep(sdk, reader, kind, SP_LIGHTSDK_SUBSCRIPTIONS, &s);
}

static sp_err load_figures(struct sp_lightsdk *sdk, struct sp_record_reader *reader)
{
    struct figures figures;
    sp_err err = sp_record_get(reader, &figures_kind, &figures);
    if (err)
        return err;
    sdk->view.asks += figures.asks;
    sdk->view.wrong += figures.wrong;
    sdk->view.limited += figures.limited;
    return 0;
}

sp_err sp_lightsdk_load(struct sp_lightsdk *sdk, struct sp_record_reader *reader, uint16_t kind)
{
    switch (kind) {
    case APPLICATION: return load_thing(sdk, reader, &application_kind);
    case PUBLICATION: return load_thing(sdk, reader, &publication_kind);
    case SUBSCRIPTION: return load_thing(sdk, reader, &subscription_kind);
    case PAIR: return sp_record_bad(reader, &pair_kind, "it belongs to nothing");
    case FIGURES: return load_figures(sdk, reader);
    default: return SP_E_MISSING;
    }
}
