/* view: what applications have said to the light SDK's door, for onlookers: admin, the uplink, a later
 * handoff.
 *
 * Everything is borrowed and valid until the next request is answered; on the sdk's own thread. */
#ifndef SP_LIGHTSDK_VIEW_H
#define SP_LIGHTSDK_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

struct sp_buf;
struct sp_lightsdk;

/* What is kept at most; beyond it a request is refused, which `limited` counts. */
enum {
    SP_LIGHTSDK_APPLICATIONS_MAX = 64,
    SP_LIGHTSDK_PUBLICATIONS_MAX = 4096,
    SP_LIGHTSDK_SUBSCRIPTIONS_MAX = 16384,
    SP_LIGHTSDK_PAIRS_MAX = 256,               /* in one map */
    SP_LIGHTSDK_NAME_BYTES = 512,              /* of a name of a service or an application */
    SP_LIGHTSDK_ASK_BYTES = 64 * 1024,         /* of one request */
    SP_LIGHTSDK_KEPT_BYTES = 16 * 1024 * 1024, /* all together */
};

struct sp_lightsdk_pair {
    sp_str name, value;
};

struct sp_lightsdk_pairs {
    struct sp_lightsdk_pair *list;
    uint32_t count;
};

struct sp_lightsdk_application {
    sp_str name; /* empty: it did not say */
    struct sp_lightsdk_pairs parameters;
};

enum sp_lightsdk_source {
    SP_LIGHTSDK_NOWHERE,
    SP_LIGHTSDK_BY_PORT,
    SP_LIGHTSDK_BY_PROPERTY,
    SP_LIGHTSDK_BY_BOOTSTRAP
};

struct sp_lightsdk_publication {
    sp_str service;       /* the unique name: com.acme.EchoService:1.0 */
    sp_str protocol_type; /* as it was said; part of the key */
    sp_str group;
    sp_str protocol, version, serialize_type, application;
    struct sp_lightsdk_pairs properties;
    bool only_in_cloud;
    sp_addr addr; /* where the application serves it; family NONE: nobody said */
    enum sp_lightsdk_source source;
};

struct sp_lightsdk_subscription {
    sp_str service, protocol_type, group, target;
    struct sp_lightsdk_pairs properties;
    bool vip_enforce, vip_only, local_cloud_first;
};

struct sp_lightsdk_view {
    uint64_t applications, publications, subscriptions; /* kept now */
    uint64_t kept_bytes;
    uint64_t asks;    /* requests that reached a handler */
    uint64_t wrong;   /* refused: not what the interface says */
    uint64_t limited; /* refused: a limit */
};

struct sp_lightsdk_view sp_lightsdk_view(const struct sp_lightsdk *sdk);

/* In the order of their coming: `after` NULL = the first; NULL at the end. */
const struct sp_lightsdk_application *sp_lightsdk_application_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_application *after);
const struct sp_lightsdk_publication *sp_lightsdk_publication_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_publication *after);
const struct sp_lightsdk_subscription *sp_lightsdk_subscription_next(
    const struct sp_lightsdk *sdk, const struct sp_lightsdk_subscription *after);
/* The first publication of the service that has an address; NULL when there is none. */
const struct sp_lightsdk_publication *sp_lightsdk_find(const struct sp_lightsdk *sdk, sp_str service);

/* All of it as JSON. Values of an application's parameters are left out: some SDKs send keys among them. */
void sp_lightsdk_write_json(const struct sp_lightsdk *sdk, struct sp_buf *out);

#endif
