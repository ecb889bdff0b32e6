/* bootstrap: the file that a proxy starts from becomes settings and the first snapshot.
 *
 *      settings ──► clusters ──► listeners, routes ──► what only the whole can tell ──► snapshot
 *
 * Everything is read before anything is judged, so that one run of `--mode validate` names all that is
 * wrong: a cluster that could not be read still has a name, and a route to it is no second error.
 *
 * What only the whole can tell: names that stand twice; routes to clusters that do not exist (Envoy's rule
 * for static tables, off with validate_clusters: false); callers and clusters of different protocols, where
 * every call would be refused; two listeners, or a listener and a door of our own, at one address. */
#include "xds/types/types_impl.h"

/* What is known of the whole while its parts are read. */
struct whole {
    struct sp_form_doc *doc;
    const struct sp_pb_bootstrap_bootstrap_static_resources *msg;
    struct sp_snapshot *snapshot;
    struct sp_map names;  /* of clusters: read or not -> their message */
    struct sp_map places; /* address -> struct place */
    struct sp_vec uses;   /* of struct sp_xds_use */
    sp_err err;           /* SP_E_NOMEM, or the last that was said in the document */
};

static void note(struct whole *w, sp_err err)
{
    if (err && w->err != SP_E_NOMEM)
        w->err = err;
}

static void wrong(struct whole *w)
{
    note(w, SP_E_INVALID);
}

/* The reference is the snapshot's from here. */
static void put(struct whole *w, struct sp_resource *resource)
{
    note(w, sp_snapshot_put(w->snapshot, resource));
    sp_resource_unref(resource);
}

/* ---- clusters ---- */

static void read_cluster(struct whole *w, const struct sp_xds_reading *in, struct sp_pb_cluster_cluster *m)
{
    struct sp_resource *resource;
    const struct sp_pb_cluster_cluster *other = sp_map_get(&w->names, m->name);
    sp_err err = sp_xds_cluster(in, m, &resource);
    note(w, err);
    if (other) {
        struct sp_form_place place = sp_form_where(w->doc, other, SP_FIELD_CLUSTER_CLUSTER_NAME);
        sp_form_error(w->doc, SP_E_INVALID, m, SP_FIELD_CLUSTER_CLUSTER_NAME,
                      "%.*s stands twice; first in line %u", SP_STR_ARG(m->name), (unsigned)place.line);
        wrong(w);
    } else {
        note(w, sp_map_put(&w->names, m->name, m, NULL));
    }
    if (!err)
        put(w, resource);
}

static void did_you_mean(struct whole *w, const struct sp_xds_use *use)
{
    const char **names = sp_arena_array(w->doc->arena, w->msg->clusters_len + 1u, sizeof(*names));
    size_t count = 0;
    for (uint32_t i = 0; names && i < w->msg->clusters_len; i++) {
        const char *name = sp_str_dup_z(w->doc->arena, w->msg->clusters[i]->name);
        if (name)
            names[count++] = name;
    }
    const char *near = names ? sp_form_did_you_mean(use->cluster, names, count) : NULL;
    sp_form_error(w->doc, SP_E_INVALID, use->msg, use->field, "there is no cluster %.*s%s%s%s",
                  SP_STR_ARG(sp_str_upto(use->cluster, 200)), near ? "; did you mean " : "", near ? near : "",
                  near ? "?" : "");
    wrong(w);
}

/* Would every call be refused? A raw relay does not mind what it carries. */
static void check_protocol(struct whole *w, const struct sp_xds_use *use,
                           const struct sp_cluster_spec *cluster)
{
    bool minds = use->chain != SP_CHAIN_TCP && cluster->protocol != SP_PROTO_NONE;
    bool http = cluster->protocol == SP_PROTO_HTTP1;
    bool same = use->protocol == SP_PROTO_NONE ? use->chain == SP_CHAIN_RPC && !http
                                               : use->protocol == cluster->protocol;
    if (!minds || same)
        return;
    sp_form_error(w->doc, SP_E_INVALID, use->msg, use->field,
                  "the cluster %.*s speaks %s, and the caller does not", SP_STR_ARG(use->cluster),
                  sp_protocol_name((enum sp_protocol)cluster->protocol));
    wrong(w);
}

static void check_uses(struct whole *w)
{
    for (size_t i = 0; i < w->uses.len; i++) {
        const struct sp_xds_use *use = sp_vec_at(&w->uses, i);
        const struct sp_cluster_spec *cluster = sp_snapshot_cluster(w->snapshot, use->cluster);
        if (cluster)
            check_protocol(w, use, cluster);
        else if (!use->may_miss && !sp_map_get(&w->names, use->cluster))
            did_you_mean(w, use);
    }
}

/* ---- addresses ---- */

/* An address that is taken, and by whom. */
struct place {
    char text[SP_ADDR_TEXT_BYTES];
    const char *owner;
};

static void take_place(struct whole *w, const sp_addr *addr, const void *msg, uint32_t field,
                       const char *owner)
{
    if (addr->family == SP_ADDR_NONE || (addr->family != SP_ADDR_UNIX && addr->port == 0))
        return;
    struct place *place = sp_arena_alloc(w->doc->arena, sizeof(*place));
    if (!place) {
        note(w, SP_E_NOMEM);
        return;
    }
    place->owner = owner;
    sp_str text = addr->family == SP_ADDR_UNIX
                      ? sp_str_c(addr->path)
                      : sp_str_of(place->text, sp_addr_print(addr, place->text, sizeof(place->text)));
    const struct place *other = sp_map_get(&w->places, text);
    if (!other) {
        note(w, sp_map_put(&w->places, text, place, NULL));
        return;
    }
    sp_form_error(w->doc, SP_E_INVALID, msg, field, "%.*s is taken by %s", SP_STR_ARG(text), other->owner);
    wrong(w);
}

static void take_doors(struct whole *w, const struct sp_pb_bootstrap_bootstrap *msg,
                       const struct sp_settings *settings)
{
    take_place(w, &settings->admin, msg->admin, SP_FIELD_BOOTSTRAP_ADMIN_ADDRESS, "admin");
    if (settings->lightsdk.on)
        take_place(w, &settings->lightsdk.api, msg, SP_FIELD_BOOTSTRAP_BOOTSTRAP_BOOTSTRAP_EXTENSIONS,
                   "the light SDK's door");
}

/* ---- listeners ---- */

static void read_listener(struct whole *w, const struct sp_xds_reading *in, struct sp_pb_listener_listener *m)
{
    struct sp_resource *resource;
    sp_err err = sp_xds_listener(in, m, &resource);
    note(w, err);
    if (err)
        return;
    if (sp_snapshot_listener(w->snapshot, resource->name)) {
        sp_form_error(w->doc, SP_E_INVALID, m, SP_FIELD_LISTENER_LISTENER_NAME, "%.*s stands twice",
                      SP_STR_ARG(resource->name));
        sp_resource_unref(resource);
        wrong(w);
        return;
    }
    take_place(w, &resource->listener->addr, m, SP_FIELD_LISTENER_LISTENER_ADDRESS, "another listener");
    put(w, resource);
}

/* ---- the whole ---- */

static void read_whole(struct whole *w, const struct sp_pb_bootstrap_bootstrap *msg, struct sp_arena *keep,
                       struct sp_settings *settings)
{
    sp_err err = sp_xds_settings(w->doc, msg, keep, settings);
    struct sp_xds_reading in = { .doc = w->doc, .settings = err ? NULL : settings, .uses = &w->uses };
    note(w, err);
    w->msg = msg->static_resources;
    if (!err)
        take_doors(w, msg, settings);
    for (uint32_t i = 0; w->msg && i < w->msg->clusters_len; i++)
        read_cluster(w, &in, w->msg->clusters[i]);
    for (uint32_t i = 0; w->msg && i < w->msg->listeners_len; i++)
        read_listener(w, &in, w->msg->listeners[i]);
    check_uses(w);
}

sp_err sp_xds_bootstrap(struct sp_form_doc *doc, const struct sp_pb_bootstrap_bootstrap *msg,
                        struct sp_arena *keep, struct sp_settings *ret_settings,
                        struct sp_snapshot **ret_snapshot)
{
    struct whole w = { .doc = doc };
    struct sp_settings settings;
    w.snapshot = sp_snapshot_new(NULL);
    if (!w.snapshot)
        return SP_E_NOMEM;
    sp_map_init(&w.names, 0);
    sp_map_init(&w.places, 0);
    sp_vec_init(&w.uses, sizeof(struct sp_xds_use));
    read_whole(&w, msg, keep, &settings);
    sp_vec_deinit(&w.uses);
    sp_map_deinit(&w.places);
    sp_map_deinit(&w.names);
    if (w.err) {
        sp_snapshot_unref(w.snapshot);
        return w.err;
    }
    *ret_settings = settings;
    *ret_snapshot = w.snapshot;
    return 0;
}
