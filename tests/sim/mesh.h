/* mesh: whole sidecars and applications in one simulated world (io/sim), for tests.
 *
 *    machine 10.0.0.1                               machine 10.0.0.2
 *    ┌──────────────────────────────┐               ┌──────────────────────────────┐
 *    │ client app ──> sidecar :15001│ ─── sim ────> │:15006 sidecar ──> server app │
 *    └──────────────────────────────┘               └──────────────────────────────┘
 *
 * A sidecar is the proxy's own pieces: a process, workers on loops of their own, snapshots. Applications are
 * app.h and what stands on it. Each call is an entry of the ledger: it carries a token that nobody else has,
 * and comes to exactly one outcome.
 *
 * Set-up errors end the program: a test without its world says nothing. */
#ifndef SP_TESTS_SIM_MESH_H
#define SP_TESTS_SIM_MESH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"
#include "io/sim/sim.h"
#include "model/settings.h"
#include "proxy/process.h"
#include "proxy/worker.h"
#include "wire/call.h"

struct sp_record_writer;

enum { MESH_WORKERS_MAX = 4 };

enum mesh_outcome {
    MESH_OPEN,     /* none yet */
    MESH_GOOD,     /* the server's own answer, whole */
    MESH_REFUSED,  /* an answer of a sidecar's own, well formed */
    MESH_CUT,      /* the connection ended before the answer did */
    MESH_GIVEN_UP, /* the client left */
    MESH_OUTCOMES
};

/* The ledger's entry of a call. */
struct mesh_call {
    uint64_t token;
    enum mesh_outcome outcome;
    uint32_t seen;     /* how often a server's app read the whole head */
    bool idempotent;   /* a sidecar may send it once more */
    uint32_t answered; /* how often it has begun to answer */
    uint32_t mode;     /* what the server is asked to do: app_*.h */
    uint32_t ask_bytes, answer_bytes;
    bool backward, oneway;
    bool broken; /* its request is none: no server may see it */
    sp_ns began, ended;
    char reason[40]; /* x-sampan-reason, when refused */
};

struct mesh_sidecar {
    struct mesh *mesh;
    struct sp_list link;   /* on mesh->sidecars */
    struct sp_loop *place; /* the machine; outlives the process */
    struct sp_loop *main;
    struct sp_loop *loops[MESH_WORKERS_MAX];
    struct sp_worker workers[MESH_WORKERS_MAX];
    uint32_t worker_count, drained;
    struct sp_process process;
    struct sp_settings settings;
    struct sp_log log;
    struct sp_snapshot *next; /* being put together; see mesh_apply */
    uint64_t versions;
    bool up, draining;
    uint64_t most_slab_bytes; /* of any worker, at any look */
};

struct mesh {
    struct sp_sim *sim;
    uint64_t seed;
    struct sp_rng rng;       /* what the test draws; the world draws from its own */
    struct sp_list sidecars; /* of mesh_sidecar.link */
    struct sp_vec calls;     /* of struct mesh_call * */
    struct sp_idmap by_token;
    uint32_t outcomes[MESH_OUTCOMES];
    bool traced;
    uint32_t upgrades; /* permille of instants at which sidecars are replaced (SAMPAN_UPGRADES) */
    uint32_t upgrades_done;
};

struct mesh *mesh_new(uint64_t seed);
/* Takes everything down, and asserts that nothing is left: no connection, call, timer, slab or byte.
 * Applications must have closed. */
void mesh_free(struct mesh *mesh);
void mesh_run(struct mesh *mesh, sp_ns ns);
/* Until `done` says so; false when `ns` have passed. */
bool mesh_run_until(struct mesh *mesh, sp_ns ns, bool (*done)(void *arg), void *arg);
/* Ends the program, saying the seed. */
_Noreturn void mesh_fail(const struct mesh *mesh, const char *fmt, ...) SP_PRINTF(2, 3);
#define MESH_CHECK(mesh, expr)                                                                               \
    do {                                                                                                     \
        if (!(expr))                                                                                         \
            mesh_fail((mesh), "%s:%d: %s", __FILE__, __LINE__, #expr);                                       \
    } while (0)

uint64_t mesh_below(struct mesh *mesh, uint64_t n);
bool mesh_chance(struct mesh *mesh, uint32_t permille);

/* --- sidecars ------------------------------------------------------------------------------------------- */

struct mesh_sidecar *mesh_sidecar(struct mesh *mesh, const char *ip, uint32_t workers);
/* On the machine of another. */
struct mesh_sidecar *mesh_sidecar_beside(struct mesh_sidecar *sidecar, uint32_t workers);
/* The loop of an application on the sidecar's machine. */
struct sp_loop *mesh_app_loop(struct mesh_sidecar *sidecar);

/* Resources of the next snapshot; one of the same name is replaced. The spec may be changed until
 * mesh_apply. */
struct sp_cluster_spec *mesh_cluster(struct mesh_sidecar *sidecar, const char *name,
                                     const char *const *addrs);
struct sp_listener_spec *mesh_listener(struct mesh_sidecar *sidecar, const char *name, const char *addr,
                                       enum sp_protocol protocol, const char *cluster);
/* Three chains: what speaks HTTP, what speaks Bolt, and the rest as raw bytes, each to its cluster. */
struct sp_listener_spec *mesh_listener_any(struct mesh_sidecar *sidecar, const char *name, const char *addr,
                                           const char *http, const char *bolt, const char *tcp);
/* The one route of such a listener: everything, to its cluster. NULL for raw TCP. */
struct sp_route *mesh_route(struct sp_listener_spec *listener);
struct sp_chain_spec *mesh_chain(struct sp_listener_spec *listener);
/* Walk over all figures of each worker, on its own loop, as admin asks for it. */
void mesh_ask(struct mesh_sidecar *sidecar);
void mesh_drop_listener(struct mesh_sidecar *sidecar, const char *name);
/* Give the snapshot to all workers. */
void mesh_apply(struct mesh_sidecar *sidecar);

/* Drain, as SIGTERM does; sidecar->drained counts workers that are done. */
void mesh_drain(struct mesh_sidecar *sidecar, sp_ns deadline_ns);
/* The process ends at once: everything is cut. */
void mesh_kill(struct mesh_sidecar *sidecar);
/* It hands itself to a successor with that many workers, which is returned; the old one is no more. */
struct mesh_sidecar *mesh_upgrade(struct mesh_sidecar *sidecar, uint32_t workers);
/* The same; `on_records` may put other records in the place of those that were saved: of another build. */
struct mesh_sidecar *mesh_upgrade_by(struct mesh_sidecar *sidecar, uint32_t workers,
                                     void (*on_records)(void *arg, struct sp_record_writer *writer),
                                     void *arg);
/* Nothing under way, nothing held: after the applications have closed and time has passed. */
void mesh_check_idle(struct mesh_sidecar *sidecar);

/* --- the ledger ----------------------------------------------------------------------------------------- */

struct mesh_call *mesh_call_begin(struct mesh *mesh);
/* NULL: no call has that token. */
struct mesh_call *mesh_call_find(struct mesh *mesh, uint64_t token);
void mesh_call_end(struct mesh *mesh, struct mesh_call *call, enum mesh_outcome outcome);
/* A server's app has read the call's head. */
void mesh_call_seen(struct mesh *mesh, struct mesh_call *call);
/* Byte `at` of the body that belongs to the token; `answer`: of the answer's. */
static inline char mesh_byte(uint64_t token, bool answer, uint64_t at)
{
    uint64_t word = (token ^ (answer ? 0x5555555555555555ull : 0)) + (at >> 3) * 0x9e3779b97f4a7c15ull;
    return (char)(word >> (8 * (at & 7)));
}
void mesh_fill(uint64_t token, bool answer, uint64_t from, char *out, size_t len);
/* Where the first wrong byte is, or -1. */
int64_t mesh_verify(uint64_t token, bool answer, uint64_t from, const char *bytes, size_t len);

/* The same as mesh_fail, naming the calls that are under way. */
_Noreturn void mesh_fail_open(struct mesh *mesh);

/* --- many seeds ----------------------------------------------------------------------------------------- */

/* Run `one` for `count` seeds, or for those of the command line (first [count]), or for SAMPAN_SEED alone.
 * With SAMPAN_TRACE=1 what happens in the world is said line by line. Prints the sum of outcomes. */
int mesh_main(int argc, char **argv, const char *name, uint32_t count, void (*one)(struct mesh *mesh));

#endif
