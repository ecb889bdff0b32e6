/* handoff_scenes: a simulated sidecar with calls of every kind, for the fuzzing of what it tells a successor.
 *
 * A scene is what the sidecar has saved in the middle of one kind of call, record by record. A world is a
 * machine with a fresh sidecar of the same configuration, and peers that hold the other ends of the
 * descriptors of a scene. */
#ifndef SP_FUZZ_HANDOFF_SCENES_H
#define SP_FUZZ_HANDOFF_SCENES_H

#include "proxy/handoff.h"
#include "sim/app.h"
#include "sim/mesh.h"

enum { SCENES = 27, PEERS_MOST = 128, RECORDS_MOST = 400 };

struct scene {
    const struct sp_record_kind *kinds[RECORDS_MOST];
    void *values[RECORDS_MOST]; /* the records, each as its kind's struct; heap */
    uint32_t count;
    bool listens[PEERS_MOST]; /* by descriptor: it is a listening socket */
    uint32_t fd_count;
};

struct peer {
    struct app_conn conn;
    bool gone;
};

struct world {
    struct mesh *mesh;
    struct mesh_sidecar *sidecar;
    struct sp_loop *loop; /* the peers' */
    struct app_server door, giver;
    struct peer peers[PEERS_MOST];
    uint32_t peer_count;
    int *given; /* where the giver puts what it accepts */
    uint32_t given_count;
};

/* One of SCENES, made at its first use and kept. */
const struct scene *the_scene(uint32_t which);

/* With the configuration, which no worker has applied yet. */
void world_open(struct world *w, uint32_t workers);
/* Numbers for the scene's descriptors; peers 0, 1, ... have the other ends of those that do not listen. */
void world_give(struct world *w, const struct scene *scene, int fds[PEERS_MOST]);
/* Connect to one of the sidecar's listeners. */
struct peer *world_call(struct world *w, uint32_t which);
/* Close a number, whatever it stands for, that no loop has. */
void world_close_number(struct world *w, int fd);
/* Peers leave, and the door is closed. */
void world_close(struct world *w);
/* Time passes until nothing is under way in the sidecar, which must come. */
void world_settle(struct world *w);
/* The sidecar forgets what it has; numbers that it was given are nobody's. */
void world_leave(struct world *w);
void world_free(struct world *w); /* nothing may be left */

void peer_say(struct peer *peer, const void *bytes, size_t len);
/* A frame of Bolt: 9 a request, 10 an answer, 11 a heartbeat, 12 its answer, 13 a one-way request, 14 a
 * request of v2 with CRC, 15 a request of which only half is said. */
void peer_say_frame(struct peer *peer, unsigned which, uint32_t id, uint32_t body_bytes);
void peer_fin(struct peer *peer);
void peer_close(struct peer *peer, bool reset);

#endif
