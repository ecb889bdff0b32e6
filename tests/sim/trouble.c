/* trouble: the faults that a world has all the time (io/sim draws each), and the blows that fall now and
 * then: a partition between two machines, a crash, a machine without descriptors, a worker without slabs. A
 * blow is healed after a while; what it broke must have come to an end by itself. */
#include "sim/trouble.h"

static uint32_t some(struct mesh *mesh, uint32_t most)
{
    return mesh_chance(mesh, 500) ? 0 : (uint32_t)mesh_below(mesh, most + 1);
}

void trouble_init(struct trouble *t, struct mesh *mesh, enum trouble_degree degree)
{
    struct sp_sim_faults faults = { 0 };
    *t = (struct trouble){ .mesh = mesh, .degree = degree };
    if (degree >= TROUBLE_ROUGH) {
        faults.short_read = some(mesh, 400);
        faults.short_write = some(mesh, 400);
        faults.stall = some(mesh, 30);
        faults.pause = some(mesh, 30);
        faults.delay_max = some(mesh, 5) * SP_NS_PER_MS;
        faults.stall_max = 200 * SP_NS_PER_MS;
        faults.window_bytes = mesh_chance(mesh, 500) ? 0 : 500 + (uint32_t)mesh_below(mesh, 20000);
    }
    if (degree >= TROUBLE_HOSTILE) {
        faults.reset = some(mesh, 20);
        faults.refuse = some(mesh, 200);
    }
    sp_sim_set_faults(mesh->sim, &faults);
}

static struct mesh_sidecar *draw(struct trouble *t)
{
    return t->sidecars[mesh_below(t->mesh, t->sidecar_count)];
}

static void limit_slabs(struct mesh_sidecar *s, uint64_t bytes)
{
    for (uint32_t i = 0; s->up && i < s->worker_count; i++)
        sp_loop_slabs(s->loops[i])->limit_bytes = bytes;
}

static void limit_memory(struct mesh_sidecar *s, uint32_t permille)
{
    for (uint32_t i = 0; s->up && i < s->worker_count; i++)
        sp_sim_fail_memory(s->loops[i], permille);
}

static void heal(struct trouble *t)
{
    if (t->cut[0])
        sp_sim_partition(t->mesh->sim, t->cut[0]->place, t->cut[1]->place, false);
    t->cut[0] = NULL;
    for (uint32_t i = 0; i < t->sidecar_count; i++) {
        sp_sim_limit_files(t->mesh->sim, t->sidecars[i]->place, 0);
        limit_slabs(t->sidecars[i], 0);
        limit_memory(t->sidecars[i], 0);
    }
}

static void strike(struct trouble *t)
{
    struct mesh *mesh = t->mesh;
    struct mesh_sidecar *a = draw(t), *b = draw(t);
    heal(t);
    if (!a->up || !b->up)
        return;
    switch (mesh_below(mesh, 7)) {
    case 0:
        if (a->place == b->place)
            return;
        t->cut[0] = a;
        t->cut[1] = b;
        t->cuts++;
        sp_sim_partition(mesh->sim, a->place, b->place, true);
        return;
    case 1:
        t->crashes++;
        sp_sim_crash(mesh->sim, a->place);
        return;
    case 2:
        t->droughts++;
        sp_sim_limit_files(mesh->sim, a->place, 1 + sp_sim_open_files(mesh->sim, a->place));
        return;
    case 3:
        t->droughts++;
        limit_slabs(a, 64 * 1024 + mesh_below(mesh, 1024 * 1024));
        return;
    case 4:
        t->droughts++;
        limit_memory(a, 1 + (uint32_t)mesh_below(mesh, 300));
        return;
    default: return; /* a while of peace */
    }
}

bool trouble_run_until(struct trouble *t, sp_ns ns, bool (*done)(void *arg), void *arg)
{
    struct mesh *mesh = t->mesh;
    sp_ns end = sp_sim_now(mesh->sim) + ns;
    while (sp_sim_now(mesh->sim) < end && !done(arg)) {
        if (t->degree == TROUBLE_NEMESIS)
            strike(t);
        sp_ns slice = (1 + mesh_below(mesh, 1000)) * SP_NS_PER_MS;
        if (mesh_chance(mesh, 700))
            slice /= 20;
        mesh_run_until(mesh, slice, done, arg);
    }
    heal(t);
    return done(arg);
}
