/* snapshot: all that the proxy is configured to do at one instant: an index of counted resources, each
 * with its own arena, so that the next snapshot shares what did not change.
 *
 * Built by one thread; immutable from sp_snapshot_seal on; each worker holds one reference (atomic). */
#ifndef SP_MODEL_SNAPSHOT_H
#define SP_MODEL_SNAPSHOT_H

#include "base/arena.h"
#include "base/map.h"
#include "model/cluster.h"
#include "model/listener.h"

enum sp_resource_kind { SP_RESOURCE_LISTENER, SP_RESOURCE_ROUTES, SP_RESOURCE_CLUSTER, SP_RESOURCE_KINDS };

struct sp_resource {
    uint32_t refs; /* atomic */
    enum sp_resource_kind kind;
    sp_str name;
    sp_str version;
    uint64_t hash; /* of the bytes it was built from: equal = unchanged */
    struct sp_arena arena;
    union {
        struct sp_listener_spec *listener;
        struct sp_route_table *routes;
        struct sp_cluster_spec *cluster;
    };
    void (*on_free)(struct sp_resource *resource); /* regexes and maps outside the arena; may be NULL */
};

struct sp_snapshot {
    uint32_t refs;                            /* atomic */
    uint64_t number;                          /* 1, 2, 3 ... in this process */
    struct sp_map by_name[SP_RESOURCE_KINDS]; /* name -> struct sp_resource */
    bool sealed;
};

/* refs 1, an empty arena, name copied. */
struct sp_resource *sp_resource_new(enum sp_resource_kind kind, sp_str name);
void sp_resource_ref(struct sp_resource *resource);
void sp_resource_unref(struct sp_resource *resource);

/* shares `from`'s resources; NULL = empty */
struct sp_snapshot *sp_snapshot_new(const struct sp_snapshot *from);
/* Takes a reference of its own. SP_E_EXISTS is never: a resource of that name is replaced. */
sp_err sp_snapshot_put(struct sp_snapshot *snapshot, struct sp_resource *resource) SP_MUST_USE;
void sp_snapshot_remove(struct sp_snapshot *snapshot, enum sp_resource_kind kind, sp_str name);
void sp_snapshot_seal(struct sp_snapshot *snapshot, uint64_t number);
void sp_snapshot_ref(struct sp_snapshot *snapshot);
void sp_snapshot_unref(struct sp_snapshot *snapshot);

const struct sp_listener_spec *sp_snapshot_listener(const struct sp_snapshot *s, sp_str name);
const struct sp_route_table *sp_snapshot_routes(const struct sp_snapshot *s, sp_str name);
const struct sp_cluster_spec *sp_snapshot_cluster(const struct sp_snapshot *s, sp_str name);

#endif
