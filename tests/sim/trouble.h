/* trouble: what befalls a mesh, drawn from its seed, in four degrees. */
#ifndef SP_TESTS_SIM_TROUBLE_H
#define SP_TESTS_SIM_TROUBLE_H

#include "sim/mesh.h"

enum trouble_degree {
    TROUBLE_NONE,
    TROUBLE_ROUGH,   /* delays, pieces, short writes, stalls, pauses: no call may suffer by it */
    TROUBLE_HOSTILE, /* and resets, refused connects */
    TROUBLE_NEMESIS, /* and partitions, crashes, no descriptors, no slabs */
    TROUBLE_DEGREES
};

struct trouble {
    struct mesh *mesh;
    enum trouble_degree degree;
    struct mesh_sidecar *sidecars[4]; /* whom it may befall */
    uint32_t sidecar_count;
    struct mesh_sidecar *cut[2]; /* who is partitioned now */
    uint32_t cuts, crashes, droughts;
};

/* Draws the faults of the world, too. */
void trouble_init(struct trouble *trouble, struct mesh *mesh, enum trouble_degree degree);
/* Like mesh_run_until, with whatever befalls meanwhile; in the end everything is healed. */
bool trouble_run_until(struct trouble *trouble, sp_ns ns, bool (*done)(void *arg), void *arg);

#endif
