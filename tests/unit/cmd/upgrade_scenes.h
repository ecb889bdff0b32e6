/* upgrade_scenes: sidecars in the simulated world in the middle of something, for golden records.
 *
 * `begin` brings a sidecar to the instant at which it is saved; `finish` lets the peers say and hear what is
 * left, to the byte, whoever serves them by then. */
#ifndef SP_TESTS_CMD_UPGRADE_SCENES_H
#define SP_TESTS_CMD_UPGRADE_SCENES_H

#include "unit/proxy/worker_kit.h"

enum { SCENE_PEERS = 8 };

struct scene {
    struct kit *kit;
    struct door *door;
    struct peer *peers[SCENE_PEERS];
    uint32_t ids[SCENE_PEERS];
};

struct scene_kind {
    const char *name; /* of its files in tests/conform/upgrade */
    void (*begin)(struct scene *s);
    void (*finish)(struct scene *s);
};
enum { SCENES = 7 };
extern const struct scene_kind scenes[SCENES];

/* A call whose client a proxy before us has named. */
void scene_begin_forwarded(struct scene *s);
void scene_finish_forwarded(struct scene *s);

#endif
