/* app_bolt: a client and a server that speak SOFABolt v1 and v2 with code of their own. Either side of a
 * connection may call the other, so both are a peer; what differs is who opens connections.
 *
 * As in app_http, a request says who it is and what is to be done with it; bodies follow from the token.
 * Frames of v2 may carry a checksum, which must hold at the other end although ids were changed on the way.
 * */
#ifndef SP_TESTS_SIM_APP_BOLT_H
#define SP_TESTS_SIM_APP_BOLT_H

#include "sim/app.h"

/* What the server does. Behind BOLT_HONEST a call may come to a bad end. */
enum bolt_mode {
    BOLT_NOW,
    BOLT_LATE,      /* after up to 1 s, out of order */
    BOLT_ERROR,     /* a status other than success */
    BOLT_APP_ERROR, /* success, and a business error in the header block */
    BOLT_PLUS,      /* and an answer to nobody besides */
    BOLT_HONEST,
    BOLT_CALL_BACK = BOLT_HONEST, /* calls the client first, and answers when that has come back */
    BOLT_MODES_BACK,
    BOLT_TWICE = BOLT_MODES_BACK, /* the same answer once more */
    BOLT_SILENT,
    BOLT_RESET,
    BOLT_FIN,
    BOLT_HALF,    /* half a frame, then a reset */
    BOLT_GARBAGE, /* what is no frame */
    BOLT_GOAWAY,  /* asks for no new calls, then answers */
    BOLT_MODES
};

struct bolt_plan {
    const char *to;
    uint32_t calls, conns, depth, calls_each;
    uint32_t ask_most, answer_most;
    uint32_t modes;
    uint32_t big;        /* permille of calls with large bodies; others stay below 2000 bytes */
    uint32_t one_way;    /* permille */
    uint32_t give_up;    /* permille */
    uint32_t broken;     /* permille of calls whose frame is none */
    uint32_t heartbeats; /* permille of calls that are followed by one */
    uint32_t version;    /* 1, 2; 3 = 2 with checksums */
    int32_t timeout_ms;  /* of calls; 0 = they do not say */
    bool half_close;
    bool exact; /* bodies of just that size */
    sp_ns think, read_pace, write_pace;
    uint32_t crumb;
};

/* All connections of one application. */
struct bolt_app {
    struct mesh *mesh;
    struct sp_loop *loop;
    struct sp_list conns;  /* of bolt_conn.link */
    struct bolt_plan plan; /* client */
    sp_addr to;
    struct app_server server; /* server */
    struct sp_timer again;
    uint32_t conn_count, left, under_way;
    uint32_t requests, heartbeats, acks, back_good, back_refused, back_cut;
    sp_ns read_pace; /* of a server */
    bool deaf;       /* a server that answers no heartbeat */
    bool stopped;
};

void bolt_server_start(struct bolt_app *app, struct mesh *mesh, struct sp_loop *loop, const char *addr);
void bolt_client_start(struct bolt_app *app, struct mesh *mesh, struct sp_loop *loop,
                       const struct bolt_plan *plan);
bool bolt_client_is_done(const struct bolt_app *app);
/* Closes everything, begins nothing more. */
void bolt_app_stop(struct bolt_app *app);

#endif
