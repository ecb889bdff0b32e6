/* read: the body of a request becomes a typed ask.
 *
 * The interface grew with its SDKs: an application sends more fields than it needs to, and newer SDKs more
 * than older ones. So fields that we do not know are passed over (form's strict readers are for what a person
 * wrote), but those that we know must be what they are: a wrong type is refused at its line and column, in
 * words that end up in the application's log, and a name that stands twice is refused since either could be
 * meant.
 *
 *      { "serviceName": "com.acme.EchoService:1.0", "protocolType": "bolt",        ─> fields
 *        "providerMetaInfo": { "protocol": "bolt", "properties": { ... } } }       ─> meta_fields
 *
 * null is absent. A number may stand for a text in `version` alone, where some SDKs write 4.0; a text for a
 * number in `port` alone, which one SDK sends so.
 *
 * Tables and offsets instead of code for each request: the five requests share most of their fields, and each
 * takes from the ask what it needs. */
#include <stdio.h>

#include "form/json.h"
#include "lightsdk/lightsdk_impl.h"

enum kind { TEXT, VERSION, PORT, YES, PAIRS, META };

struct field {
    const char *name;
    enum kind kind;
    size_t at; /* in the ask */
};

#define ASK(member) offsetof(struct sp_lightsdk_ask, member)

static const struct field fields[] = {
    { "appName", TEXT, ASK(application.name) },
    { "parameters", PAIRS, ASK(application.parameters) },
    { "serviceName", TEXT, ASK(service) },
    { "protocolType", TEXT, ASK(protocol_type) },
    { "group", TEXT, ASK(group) },
    { "port", PORT, ASK(port) },
    { "onlyPublishInCloud", YES, ASK(publication.only_in_cloud) },
    { "providerMetaInfo", META, 0 },
    { "targetAppAddress", TEXT, ASK(subscription.target) },
    { "vipEnforce", YES, ASK(subscription.vip_enforce) },
    { "vipOnly", YES, ASK(subscription.vip_only) },
    { "localCloudFirst", YES, ASK(subscription.local_cloud_first) },
    { "properties", PAIRS, ASK(subscription.properties) },
};

static const struct field meta_fields[] = {
    { "protocol", TEXT, ASK(publication.protocol) },
    { "version", VERSION, ASK(publication.version) },
    { "serializeType", TEXT, ASK(publication.serialize_type) },
    { "appName", TEXT, ASK(publication.application) },
    { "properties", PAIRS, ASK(publication.properties) },
};

struct reader {
    struct sp_json json;
    struct sp_arena *arena;
    struct sp_lightsdk_ask *ask;
    char *why;
};

static sp_err wrong(struct reader *r, sp_err err, const char *what, const char *name)
{
    snprintf(r->why, SP_LIGHTSDK_WHY_BYTES, "%s%s%s (line %u, column %u)", name ? name : "", name ? " " : "",
             what, (unsigned)r->json.line, (unsigned)r->json.column);
    return err;
}

/* The next event, or the words for why there is none. */
static int next(struct reader *r)
{
    int event = sp_json_next(&r->json);
    if (event == SP_E_NOMEM)
        snprintf(r->why, SP_LIGHTSDK_WHY_BYTES, "the request needs too much memory");
    else if (event < 0)
        return wrong(r, event, r->json.problem, "the body is not JSON:");
    return event;
}

/* The rest of a value whose first event was `event`. */
static sp_err skip(struct reader *r, int event)
{
    uint32_t depth = 0;
    for (;; event = next(r)) {
        if (event < 0)
            return event;
        if (event == SP_JSON_MAP || event == SP_JSON_LIST)
            depth++;
        if (event == SP_JSON_MAP_END || event == SP_JSON_LIST_END)
            depth--;
        if (depth == 0 && event != SP_JSON_KEY)
            return 0;
    }
}

/* ---- values ---- */

/* The reader's bytes are those of the body, or its arena's: both live as long as the ask. */
static sp_err read_text(struct reader *r, const struct field *f, int event, sp_str *ret_text)
{
    bool taken = event == SP_JSON_STRING || (event == SP_JSON_NUMBER && f->kind == VERSION);
    if (!taken)
        return wrong(r, SP_E_INVALID, "should be a string", f->name);
    *ret_text = r->json.value;
    return 0;
}

static sp_err read_port(struct reader *r, const struct field *f, int event, uint16_t *ret_port)
{
    uint64_t n;
    if (event == SP_JSON_STRING && !r->json.value.len)
        return 0;
    if ((event != SP_JSON_STRING && event != SP_JSON_NUMBER) || sp_str_to_u64(r->json.value, &n) || n < 1 ||
        n > UINT16_MAX)
        return wrong(r, SP_E_INVALID, "should be a number from 1 to 65535", f->name);
    *ret_port = (uint16_t)n;
    return 0;
}

static sp_err read_yes(struct reader *r, const struct field *f, int event, bool *ret_yes)
{
    if (event != SP_JSON_TRUE && event != SP_JSON_FALSE)
        return wrong(r, SP_E_INVALID, "should be true or false", f->name);
    *ret_yes = event == SP_JSON_TRUE;
    return 0;
}

static sp_err read_pair(struct reader *r, const struct field *f, struct sp_lightsdk_pairs *pairs)
{
    sp_str name = r->json.value, value;
    int event = next(r);
    switch (event) {
    case SP_JSON_NULL: return 0;
    case SP_JSON_TRUE: value = SP_STR("true"); break;
    case SP_JSON_FALSE: value = SP_STR("false"); break;
    case SP_JSON_STRING:
    case SP_JSON_NUMBER: value = r->json.value; break;
    default: return event < 0 ? event : wrong(r, SP_E_INVALID, "should hold strings only", f->name);
    }
    if (pairs->count == SP_LIGHTSDK_PAIRS_MAX)
        return wrong(r, SP_E_LIMIT, "holds more than 256 pairs", f->name);
    pairs->list[pairs->count++] = (struct sp_lightsdk_pair){ name, value };
    return 0;
}

static sp_err read_pairs(struct reader *r, const struct field *f, int event,
                         struct sp_lightsdk_pairs *ret_pairs)
{
    if (event != SP_JSON_MAP)
        return wrong(r, SP_E_INVALID, "should be a map of strings", f->name);
    ret_pairs->list = sp_arena_array(r->arena, SP_LIGHTSDK_PAIRS_MAX, sizeof(struct sp_lightsdk_pair));
    if (!ret_pairs->list)
        return wrong(r, SP_E_NOMEM, "needs too much memory", f->name);
    while ((event = next(r)) == SP_JSON_KEY) {
        sp_err err = read_pair(r, f, ret_pairs);
        if (err)
            return err;
    }
    return event < 0 ? event : 0;
}

/* ---- the map and the map in it ---- */

static sp_err read_fields(struct reader *r, const struct field *table, size_t count);

static sp_err read_field(struct reader *r, const struct field *f, int event)
{
    void *to = (char *)r->ask + f->at;
    if (event == SP_JSON_NULL)
        return 0;
    switch (f->kind) {
    case TEXT:
    case VERSION: return read_text(r, f, event, to);
    case PORT: return read_port(r, f, event, to);
    case YES: return read_yes(r, f, event, to);
    case PAIRS: return read_pairs(r, f, event, to);
    case META:
        if (event != SP_JSON_MAP)
            return wrong(r, SP_E_INVALID, "should be a map", f->name);
        return read_fields(r, meta_fields, SP_COUNTOF(meta_fields));
    }
    return SP_E_INVALID;
}

/* Behind the beginning of a map, up to its end. */
static sp_err read_fields(struct reader *r, const struct field *table, size_t count)
{
    uint32_t seen = 0;
    int event;
    while ((event = next(r)) == SP_JSON_KEY) {
        size_t i = 0;
        while (i < count && !sp_str_eq(r->json.value, sp_str_c(table[i].name)))
            i++;
        if (i < count && (seen & (1u << i)))
            return wrong(r, SP_E_INVALID, "stands twice", table[i].name);
        seen |= i < count ? 1u << i : 0;
        event = next(r);
        sp_err err = event < 0 ? event : i < count ? read_field(r, &table[i], event) : skip(r, event);
        if (err)
            return err;
    }
    return event < 0 ? event : 0;
}

sp_err sp_lightsdk_read(struct sp_arena *arena, sp_str body, struct sp_lightsdk_ask *ret_ask, char *why)
{
    struct sp_lightsdk_ask ask = { .port = 0 };
    struct reader r = { .arena = arena, .ask = &ask, .why = why };
    sp_json_init(&r.json, arena, body);
    int event = next(&r);
    if (event >= 0 && event != SP_JSON_MAP)
        return wrong(&r, SP_E_INVALID, "the body should be a map", NULL);
    sp_err err = event < 0 ? event : read_fields(&r, fields, SP_COUNTOF(fields));
    if (!err)
        err = (event = next(&r)) < 0 ? event : 0; /* nothing stands behind it */
    if (err)
        return err;
    ask.publication.service = ask.subscription.service = ask.service;
    ask.publication.protocol_type = ask.subscription.protocol_type = ask.protocol_type;
    ask.publication.group = ask.subscription.group = ask.group;
    *ret_ask = ask;
    return 0;
}
