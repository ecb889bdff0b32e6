/* types: Envoy's messages become the model. Each listener, route table and cluster becomes one counted
 * resource with an arena of its own, so that xDS can bring them one by one, as a bootstrap brings all at
 * once.
 *
 * What is wrong is said in the document, everything at once, each with its place: a caller prints
 * sp_form_print_errors, or sends it up as a NACK. Nothing of a message is kept: it may go afterwards. One
 * thread. */
#ifndef SP_XDS_TYPES_H
#define SP_XDS_TYPES_H

#include "base/vec.h"
#include "model/settings.h"
#include "model/snapshot.h"

struct sp_form_doc;
struct sp_pb_bootstrap_bootstrap;
struct sp_pb_cluster_cluster;
struct sp_pb_listener_listener;
struct sp_pb_route_route_configuration;

/* A cluster that somebody named, and where. The place is a message's, so a use lives as long as the
 * document. */
struct sp_xds_use {
    sp_str cluster;
    const void *msg; /* sp_form_error(doc, ..., msg, field, ...) says it there */
    uint32_t field;
    uint8_t chain;    /* enum sp_chain_kind of the caller */
    uint8_t protocol; /* enum sp_protocol that the caller speaks; NONE = several */
    bool may_miss;    /* validate_clusters: false */
};

/* What a reading stands on and what it leaves behind. All of it is the caller's. */
struct sp_xds_reading {
    struct sp_form_doc *doc; /* places, and errors */
    uint32_t text_errors;    /* the first so many are of the text: what follows from them is not said */
    const struct sp_settings *settings; /* defaults that the process has, such as detect_ns */
    struct sp_vec *uses;                /* of struct sp_xds_use; NULL: nobody asks */
};

/* SP_E_INVALID: the document says why. The reference is the caller's. A listener holds the tables of its
 * chains; `sp_xds_routes` makes a table by itself, for chains that speak HTTP or (`rpc`) RPC. */
sp_err sp_xds_listener(const struct sp_xds_reading *in, const struct sp_pb_listener_listener *msg,
                       struct sp_resource **ret_resource) SP_MUST_USE;
sp_err sp_xds_routes(const struct sp_xds_reading *in, const struct sp_pb_route_route_configuration *msg,
                     bool rpc, struct sp_resource **ret_resource) SP_MUST_USE;
sp_err sp_xds_cluster(const struct sp_xds_reading *in, const struct sp_pb_cluster_cluster *msg,
                      struct sp_resource **ret_resource) SP_MUST_USE;

/* What concerns the process; strings are copied to `keep`. The traffic address of the light SDK is that of
 * the listener which the bootstrap names for it. */
sp_err sp_xds_settings(const struct sp_xds_reading *in, const struct sp_pb_bootstrap_bootstrap *msg,
                       struct sp_arena *keep, struct sp_settings *ret_settings) SP_MUST_USE;

/* A document that has errors already gives no snapshot, but what is wrong besides is said.
 * All of a bootstrap, and what only the whole can tell: names that stand twice, clusters that do not exist
 * or speak another protocol, addresses that clash. The snapshot is not sealed; its reference is the
 * caller's. */
sp_err sp_xds_bootstrap(struct sp_form_doc *doc, const struct sp_pb_bootstrap_bootstrap *msg,
                        struct sp_arena *keep, struct sp_settings *ret_settings,
                        struct sp_snapshot **ret_snapshot) SP_MUST_USE;

#endif
