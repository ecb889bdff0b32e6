/* bootstrap: the file that a proxy starts from becomes settings and the first snapshot.
 *
 *      settings ──► clusters ──► listeners, routes ──► what only the whole can tell ──► snapshot
 *
 * Everything is read before anything is judged, so that one run of `--mode validate` names all that is
 * wrong: a cluster that could not be read still has a name, and a route to it is no second error.
 *
 * It does so with a text that has errors of its own, too; then there is no snapshot, but what is wrong with
 * the rest is said (spoilt.c tells what is only a consequence).
 *
 * What only the whole can tell: names that stand twice; routes to clusters that do not exist (Envoy's rule
 * for static tables, off with validate_clusters: false); callers and clusters of different protocols, where
 * every call would be refused; limits of listeners that do not exist; two listeners, or a listener and a door
 * of our own, at one address. */
#include "xds/types/types_impl.h"

/* What is known of the whole while its parts are read. */
struct whole {
    struct sp_xds_reading in;
    const struct sp_pb_bootstrap_bootstrap_static_resources *msg;
    struct sp_snapshot *snapshot;
    struct sp_map clusters;  /* names: read or not -> their message */
    struct sp_map listeners; /* the same */
    struct sp_map places;    /* addresses that are taken -> by whom: char */
    struct sp_vec uses;      /* of struct sp_xds_use */
    sp_err err;              /* SP_E_NOMEM, or the last that was said in the document */
};

#define WRONG(w, msg, field, ...) SP_XDS_SAY(&(w)->in, SP_E_INVALID, msg, field, SP_XDS_NO_ITEM, __VA_ARGS__)

static void note(struct whole *w, sp_err err)
{
    if (err && w->err != SP_E_NOMEM)
        w->err = err;
}

/* The reference is the snapshot's from here. */
static void put(struct whole *w, struct sp_resource *resource)
{
    note(w, sp_snapshot_put(w->snapshot, resource));
    sp_resource_unref(resource);
}

/* The message is kept under its name; one that has it already is told of. */
static void take_name(struct whole *w, struct sp_map *names, sp_str name, void *msg, uint32_t field)
{
    const void *other = name.len ? sp_map_get(names, name) : NULL;
    if (!other) {
        note(w, sp_map_put(names, name, msg, NULL));
        return;
    }
    struct sp_form_place place = sp_form_where(w->in.doc, other, field);
    WRONG(w, msg, field, "%.*s stands twice; first in line %u", SP_STR_ARG(name), (unsigned)place.line);
}

/* ---- clusters ---- */

static void read_cluster(struct whole *w, struct sp_pb_cluster_cluster *m)
{
    struct sp_resource *resource;
    sp_err err = sp_xds_cluster(&w->in, m, &resource);
    note(w, err);
    take_name(w, &w->clusters, m->name, m, SP_FIELD_CLUSTER_CLUSTER_NAME);
    if (!err)
        put(w, resource);
}

static void say_missing(struct whole *w, const struct sp_xds_use *use)
{
    uint32_t count = w->msg->clusters_len, len = 0;
    const char **names = sp_arena_array(w->in.doc->arena, count + 1u, sizeof(*names));
    for (uint32_t i = 0; names && i < count; i++) {
        const char *name = sp_str_dup_z(w->in.doc->arena, w->msg->clusters[i]->name);
        if (name)
            names[len++] = name;
    }
    const char *near = names ? sp_form_did_you_mean(use->cluster, names, len) : NULL;
    WRONG(w, use->msg, use->field, "there is no cluster %.*s%s%s%s",
          SP_STR_ARG(sp_str_upto(use->cluster, 200)), near ? "; did you mean " : "", near ? near : "",
          near ? "?" : "");
}

/* Would every call be refused? A raw relay does not mind what it carries. */
static void check_protocol(struct whole *w, const struct sp_xds_use *use,
                           const struct sp_cluster_spec *cluster)
{
    bool minds = use->chain != SP_CHAIN_TCP && cluster->protocol != SP_PROTO_NONE;
    bool http = cluster->protocol == SP_PROTO_HTTP1;
    bool same = use->protocol == SP_PROTO_NONE ? use->chain == SP_CHAIN_RPC && !http
                                               : use->protocol == cluster->protocol;
    if (minds && !same)
        WRONG(w, use->msg, use->field, "the cluster %.*s speaks %s, and the caller does not",
              SP_STR_ARG(use->cluster), sp_protocol_name((enum sp_protocol)cluster->protocol));
}

/* One connection serves the calls of many callers, but a PROXY header names one. */
static void check_proxyproto(struct whole *w, const struct sp_xds_use *use,
                             const struct sp_cluster_spec *cluster)
{
    if (cluster->proxyproto == SP_PROXYPROTO_OFF || use->chain == SP_CHAIN_TCP)
        return;
    SP_XDS_SAY(&w->in, SP_E_UNSUPPORTED, use->msg, use->field, SP_XDS_NO_ITEM,
               "the cluster %.*s sends a PROXY header, which is for TcpProxy only: calls of many callers "
               "share a connection; send x-forwarded-for instead (use_remote_address)",
               SP_STR_ARG(use->cluster));
}

static void check_uses(struct whole *w)
{
    bool sure = w->msg && !sp_xds_is_broken_below(&w->in, w->msg,
                                                  SP_FIELD_BOOTSTRAP_BOOTSTRAP_STATIC_RESOURCES_CLUSTERS);
    for (size_t i = 0; i < w->uses.len; i++) {
        const struct sp_xds_use *use = sp_vec_at(&w->uses, i);
        const struct sp_cluster_spec *cluster = sp_snapshot_cluster(w->snapshot, use->cluster);
        if (cluster) {
            check_protocol(w, use, cluster);
            check_proxyproto(w, use, cluster);
        } else if (sure && !use->may_miss && !sp_map_get(&w->clusters, use->cluster)) {
            say_missing(w, use);
        }
    }
}

/* ---- addresses ---- */

static void take_place(struct whole *w, const struct sp_pb_core_address *a, const void *msg, uint32_t field,
                       const char *owner)
{
    sp_str text = a && a->pipe ? a->pipe->path : SP_STR("");
    sp_addr addr;
    if (sp_xds_peek_addr(a, &addr) && addr.port) {
        char *out = sp_arena_alloc(w->in.doc->arena, SP_ADDR_TEXT_BYTES);
        if (!out) {
            note(w, SP_E_NOMEM);
            return;
        }
        text = sp_str_of(out, sp_addr_print(&addr, out, SP_ADDR_TEXT_BYTES));
    }
    if (!text.len)
        return;
    const char *other = sp_map_get(&w->places, text);
    if (other)
        WRONG(w, msg, field, "%.*s is taken by %s", SP_STR_ARG(text), other);
    else
        note(w, sp_map_put(&w->places, text, (void *)(uintptr_t)owner, NULL)); /* only ever read */
}

static void take_doors(struct whole *w, const struct sp_pb_bootstrap_bootstrap *msg)
{
    if (msg->admin && msg->admin->address && !msg->admin->address->pipe)
        take_place(w, msg->admin->address, msg->admin, SP_FIELD_BOOTSTRAP_ADMIN_ADDRESS, "admin");
    for (uint32_t i = 0; i < msg->bootstrap_extensions_len; i++) {
        const struct sp_pb_google_any *any = msg->bootstrap_extensions[i]->typed_config;
        const struct sp_pb_proxy_settings *own = any ? any->message : NULL;
        if (own && sp_xds_is(own, &sp_pb_proxy_settings_msg) && own->light_sdk)
            take_place(w, own->light_sdk->address, own->light_sdk, SP_FIELD_PROXY_LIGHT_SDK_ADDRESS,
                       "the light SDK's door");
    }
}

/* ---- listeners ---- */

static void read_listener(struct whole *w, struct sp_pb_listener_listener *m)
{
    struct sp_resource *resource;
    sp_err err = sp_xds_listener(&w->in, m, &resource);
    note(w, err);
    if (m->name.len)
        take_name(w, &w->listeners, m->name, m, SP_FIELD_LISTENER_LISTENER_NAME);
    take_place(w, m->address, m, SP_FIELD_LISTENER_LISTENER_ADDRESS, "another listener");
    if (!err)
        put(w, resource);
}

static void check_limits(struct whole *w, const struct sp_pb_bootstrap_bootstrap *msg)
{
    bool sure = w->in.settings && w->msg &&
                !sp_xds_is_broken_below(&w->in, w->msg,
                                        SP_FIELD_BOOTSTRAP_BOOTSTRAP_STATIC_RESOURCES_LISTENERS);
    for (uint32_t i = 0; sure && i < w->in.settings->listener_limit_count; i++) {
        sp_str name = w->in.settings->listener_limits[i].listener;
        if (!sp_snapshot_listener(w->snapshot, name) && !sp_map_get(&w->listeners, name))
            WRONG(w, msg, SP_FIELD_BOOTSTRAP_BOOTSTRAP_LAYERED_RUNTIME,
                  "there is no listener %.*s to limit the connections of",
                  SP_STR_ARG(sp_str_upto(name, 200)));
    }
}

/* ---- the whole ---- */

static void read_whole(struct whole *w, const struct sp_pb_bootstrap_bootstrap *msg, struct sp_arena *keep,
                       struct sp_settings *settings)
{
    sp_err err = sp_xds_settings(&w->in, msg, keep, settings);
    note(w, err);
    w->in.settings = err ? NULL : settings;
    w->msg = msg->static_resources;
    take_doors(w, msg);
    for (uint32_t i = 0; w->msg && i < w->msg->clusters_len; i++)
        read_cluster(w, w->msg->clusters[i]);
    for (uint32_t i = 0; w->msg && i < w->msg->listeners_len; i++)
        read_listener(w, w->msg->listeners[i]);
    check_uses(w);
    check_limits(w, msg);
    if (sp_xds_error_count(w->in.doc))
        note(w, SP_E_INVALID);
}

sp_err sp_xds_bootstrap(struct sp_form_doc *doc, const struct sp_pb_bootstrap_bootstrap *msg,
                        struct sp_arena *keep, struct sp_settings *ret_settings,
                        struct sp_snapshot **ret_snapshot)
{
    struct whole w = { .in = { .doc = doc, .text_errors = doc->errors_len } };
    struct sp_settings settings;
    w.snapshot = sp_snapshot_new(NULL);
    if (!w.snapshot)
        return SP_E_NOMEM;
    w.in.uses = &w.uses;
    sp_map_init(&w.clusters, 0);
    sp_map_init(&w.listeners, 0);
    sp_map_init(&w.places, 0);
    sp_vec_init(&w.uses, sizeof(struct sp_xds_use));
    read_whole(&w, msg, keep, &settings);
    sp_vec_deinit(&w.uses);
    sp_map_deinit(&w.places);
    sp_map_deinit(&w.listeners);
    sp_map_deinit(&w.clusters);
    if (w.err) {
        sp_snapshot_unref(w.snapshot);
        return w.err;
    }
    *ret_settings = settings;
    *ret_snapshot = w.snapshot;
    return 0;
}
