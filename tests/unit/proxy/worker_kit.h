/* worker_kit: a sidecar in the simulated world, and peers on both sides of it that a test moves by hand:
 * what they say is written in the test, byte for byte, and so is what they must hear.
 *
 *     peer ── says, hears ──> 127.0.0.1:15001 sidecar ──> door at 127.0.0.1:8080 ──> peer
 *
 * A test says what is to happen and then asks; asking lets virtual time pass (5 s at most) until it has. When
 * the kit is freed nothing may be left: no connection, no call, no share of a limit, no block of memory. */
#ifndef SP_TESTS_PROXY_WORKER_KIT_H
#define SP_TESTS_PROXY_WORKER_KIT_H

#include "proxy/cluster.h"
#include "proxy/line.h"
#include "proxy/listener.h"
#include "sim/app.h"
#include "sim/mesh.h"
#include "unit/base/help.h"
#include "wire/bolt/bolt.h"

struct kit {
    uint64_t blocks;
    struct mesh *mesh;
    struct mesh_sidecar *sidecar;
    struct sp_worker *worker; /* the first */
    struct sp_loop *app;      /* where peers live: the sidecar's own machine */
    struct sp_list peers;     /* of peer.link */
    struct sp_list doors;     /* of door.link */
};

struct peer {
    struct app_conn conn;
    struct sp_list link;
    struct kit *kit;
    struct sp_list door_link; /* on door.waiting: accepted, and not taken by the test yet */
    bool opened, ended, gone;
    sp_err open_err, end_err;
};

struct door {
    struct app_server server;
    struct sp_list link;
    struct kit *kit;
    struct sp_list waiting; /* of peer.door_link */
    uint32_t accepted;
};

struct kit *kit_new(uint32_t workers);
void kit_free(struct kit *kit);
void kit_run(struct kit *kit, uint32_t ms);
/* Until `done`; false after `ms`. */
bool kit_until(struct kit *kit, uint32_t ms, bool (*done)(void *arg), void *arg);

/* The usual pair: cluster "app" with an endpoint at 127.0.0.1:8080, and listener "out" at 127.0.0.1:15001
 * whose one route leads there. What differs is changed before kit_apply. */
struct sp_cluster_spec *kit_cluster(struct kit *kit);
struct sp_listener_spec *kit_listener(struct kit *kit, enum sp_protocol protocol);
void kit_apply(struct kit *kit);
/* A sidecar with that pair, and its door. */
struct kit *kit_usual(enum sp_protocol protocol, struct door **ret_door);

#define KIT_OUT "127.0.0.1:15001"
#define KIT_APP "127.0.0.1:8080"

struct peer *kit_call(struct kit *kit, const char *addr); /* connects, and waits until that is decided */
struct peer *kit_call_from(struct kit *kit, struct sp_loop *loop, const char *addr);
struct door *kit_door(struct kit *kit, const char *addr);
void door_close(struct door *door);
/* The next that was accepted; the test fails when none comes. */
struct peer *door_next(struct door *door);
bool door_is_quiet(struct door *door, uint32_t ms); /* nobody comes for so long */

void say(struct peer *peer, const char *text);
void say_bytes(struct peer *peer, const void *bytes, size_t len);
void say_fin(struct peer *peer);
void leave(struct peer *peer, bool reset);
/* Exactly this comes next. */
void hear(struct peer *peer, const char *text);
/* Everything up to and with `mark`; borrowed until the next. */
sp_str hear_to(struct peer *peer, const char *mark);
/* So many bytes, whatever they are. */
void hear_bytes(struct peer *peer, size_t len);
/* What has come and was not taken, now. */
sp_str heard(const struct peer *peer);
/* Nothing comes for so long. */
void hear_nothing(struct peer *peer, uint32_t ms);
void hear_end(struct peer *peer, sp_err err);
/* It has been cut, perhaps so soon that it never saw itself open. */
void check_cut(const struct peer *peer);
/* A head that begins with `first`; the rest of it is returned, borrowed until the next. */
sp_str hear_head(struct peer *peer, const char *first);
/* An answer of the sidecar's own, with that status and reason. */
void hear_refusal(struct peer *peer, uint32_t status, const char *reason);

/* --- Bolt ----------------------------------------------------------------------------------------------- */

struct frame {
    enum sp_msg kind;
    uint32_t id, status, raw_status;
    int32_t timeout_ms;
    char reason[40], service[80];
    char *body; /* heap */
    size_t body_bytes;
};

struct ask {
    uint32_t id;
    int32_t timeout_ms;
    bool oneway, v2;
    const char *service; /* NULL = com.acme.Echo:1.0 */
    const char *body;
    size_t body_bytes; /* 0 = of the text */
    size_t say_bytes;  /* say only so much of the frame; 0 = all */
};

/* Says a request frame; returns its length. */
size_t say_ask(struct peer *peer, const struct ask *ask);
/* The frame alone, heap. */
char *ask_bytes(const struct ask *ask, size_t *ret_len);
void say_answer(struct peer *peer, uint32_t id, const char *body);
void say_answer_head(struct peer *peer, uint32_t id, size_t body_bytes); /* the body follows, or not */
void say_heartbeat(struct peer *peer, uint32_t id, bool ack);
void hear_frame(struct peer *peer, struct frame *ret_frame); /* whole */
void frame_free(struct frame *frame);
/* A request with that body; its id. */
uint32_t hear_ask(struct peer *peer, const char *body);
void hear_answer(struct peer *peer, uint32_t id, const char *body);
void hear_bolt_refusal(struct peer *peer, uint32_t id, const char *reason);

/* --- figures -------------------------------------------------------------------------------------------- */

struct sp_cluster *the_cluster(struct kit *kit, const char *name);
struct sp_endpoint *the_endpoint(struct kit *kit, const char *cluster, uint32_t index);
struct sp_listener *the_listener(struct kit *kit, const char *name);
struct sp_chain *the_chain(struct kit *kit);
uint64_t why_count(struct kit *kit, enum sp_why why);
/* The newest record. */
const struct sp_report *last_report(struct kit *kit);

#endif
