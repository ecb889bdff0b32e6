/* handoff_kit: scripted exchanges, each run as often as it has steps: once without a hand-over, and once with
 * one after each step. What both peers hear must be the same to the byte, whatever the instant. */
#ifndef SP_TESTS_PROXY_HANDOFF_KIT_H
#define SP_TESTS_PROXY_HANDOFF_KIT_H

#include "proxy/handoff.h"
#include "unit/proxy/worker_kit.h"

/* Every exchange says its steps through this: `move` is the step behind which the sidecar is replaced. */
struct run {
    struct kit *kit;
    struct door *door;
    uint32_t step, move, workers;
    bool moved;
};

static inline void as_they_are(void *arg, struct sp_record_writer *writer)
{
    (void)arg, (void)writer;
}

/* In one instant: nothing is told ahead, so that what is on its way stays there. */
static inline void upgrade(struct run *r)
{
    r->kit->sidecar = mesh_upgrade_by(r->kit->sidecar, r->workers, as_they_are, NULL);
    r->kit->worker = &r->kit->sidecar->workers[0];
    r->moved = true;
}

/* Everything that was just said has come as far as it can; or is still on its way. */
static inline void step(struct run *r)
{
    for (int late = 0; late < 2; late++) {
        if (late)
            kit_run(r->kit, 2);
        if (r->step++ == r->move)
            upgrade(r);
    }
}

static inline void each_step(enum sp_protocol protocol, void (*script)(struct run *r))
{
    for (uint32_t workers = 1; workers <= 2; workers++)
        for (uint32_t move = 0;; move++) {
            struct run r = { .move = move, .workers = workers };
            r.kit = kit_usual(protocol, &r.door);
            script(&r);
            kit_free(r.kit);
            if (!r.moved)
                break; /* the last one was without */
        }
}

/* A line that was still connecting stayed behind, and the door may have seen it come and go. */
static inline struct peer *next_alive(struct run *r)
{
    for (;;) {
        struct peer *peer = door_next(r->door);
        kit_run(r->kit, 2);
        if (!peer->ended && !peer->gone)
            return peer;
    }
}

#endif
