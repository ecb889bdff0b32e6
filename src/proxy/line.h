/* line: one connection and the calls upon it. Downstream lines (accepted) and upstream lines (pooled) are
 * the same thing, because in Bolt either side may call the other.
 *
 *    caller's line                    stream                     callee's line
 *    calls_in  ──────────────── one call under way ──────────────── calls_out, ids
 *    (its own id of the call)                                  (the id that we gave it)
 */
#ifndef SP_PROXY_LINE_H
#define SP_PROXY_LINE_H

#include "base/map.h"
#include "link/conn.h"
#include "io/timer.h"
#include "proxy/intake.h"

struct sp_stream;
struct sp_endpoint;

/* What only a multiplexed line has: many calls at once, frames that must not mix, callers that are known. */
struct sp_line_mux {
    struct sp_idmap ids;       /* our id -> stream */
    struct sp_stream *sending; /* whose frame is partly queued; no other may cut in */
    struct sp_list behind;     /* of sp_stream.behind_link: whole frames that wait for it to end */
    struct sp_slab *refusals;  /* error frames that wait for it to end; or NULL */
    struct sp_list binds; /* downstream: of sp_line_mux.bind_link: upstream lines that we alone called on */
    struct sp_list bind_link; /* upstream: on bound->mux->binds */
    struct sp_line *bound;    /* upstream: the only downstream line that called through it, or NULL */
    sp_ns quiet_ns;           /* when its last call left */
    sp_ns heartbeat_ns;       /* when the heartbeat left */
    uint32_t next_id;
    uint32_t heartbeat_id; /* sent and not answered; 0 = none */
    uint8_t heartbeats_lost;
    /* upstream: proto_ver of its calls (Bolt v2: ver1, which says whether there are checksums) */
    uint8_t version;
    sp_ns blocks_ns; /* downstream: since when a line that others share rests for us; 0 = none does */
    bool slow;       /* downstream: it has let others wait; its calls share no line any more */
    bool shared;     /* upstream: more than one has called through it */
    bool exclusive;  /* upstream: lent to one call alone */
};

/* wide because it is one connection's whole life; what can stand alone (conn, ids, origin) is a struct of its
 * own. */
struct sp_line {
    struct sp_conn conn;
    struct sp_worker *worker;
    struct sp_chain *chain;       /* downstream: where it came in; NULL upstream */
    struct sp_endpoint *endpoint; /* upstream: where it leads; NULL downstream */
    union {
        struct sp_list link;      /* downstream: on worker->lines */
        struct sp_list pool_link; /* upstream: on endpoint's idle, busy, connecting or lingering */
    };
    struct sp_list calls_in;     /* of sp_stream.in_link: whose request came here */
    struct sp_list calls_out;    /* of sp_stream.out_link: whose request went out here */
    struct sp_list wait_link;    /* it rests: on the waiters of whom it waits for */
    struct sp_list waiters;      /* of sp_line.wait_link: who rests because we are full */
    struct sp_line_mux *mux;     /* its own, or the worker's empty one where calls come one by one */
    struct sp_stream *receiving; /* whose message's body is coming now */
    struct sp_timer timer;       /* idle, head deadline, connect, heartbeat: the next that is due */
    struct {                     /* as sp_origin, less the room for what most connections do not have */
        sp_addr peer, local;     /* upstream: `local` alone */
        sp_addr *dst, *direct;   /* our own, or NULL */
    } origin;
    sp_ns opened_ns;
    sp_ns part_ns;             /* since when an incomplete head waits; 0 = none does */
    sp_ns full_ns;             /* since when somebody waits for us to drain; 0 = nobody does */
    uint32_t calls;            /* ever */
    uint16_t why;              /* enum sp_why, of its end */
    uint8_t state;             /* enum sp_line_state */
    bool receiving_answer : 1; /* `receiving`: its answer, not its request */
    bool last : 1;             /* no further call: close when the current ones are done */
    bool tunnel : 1;           /* h1 after upgrade or CONNECT */
};

/* Frames up to this size are forwarded when they are whole; larger ones flow. */
enum { SP_LINE_WHOLE_BYTES = 64 * 1024 };

enum sp_line_state { SP_LINE_CONNECTING, SP_LINE_OPEN, SP_LINE_CLOSING };

/* Downstream. `fd` is taken over (closed on failure); `first` are bytes that the intake has read, their
 * reference goes along; `codec` is known. */
void sp_line_accept(struct sp_chain *chain, int fd, const struct sp_origin *origin,
                    const struct sp_codec *codec, struct sp_view first);
/* Upstream, from pool.c: a connect under way. Fails with SP_E_NOFILE, SP_E_NOMEM, SP_E_IO. */
sp_err sp_line_connect(struct sp_endpoint *endpoint, const struct sp_codec *codec,
                       struct sp_line **ret_line) SP_MUST_USE;

/* Whence it came: once, of a fresh line. SP_E_NOMEM. */
sp_err sp_line_set_origin(struct sp_line *line, const struct sp_origin *origin) SP_MUST_USE;

/* A call has ended on this side (it is off the lists): the line takes the next, goes back to its pool, or
 * closes. `reusable`: nothing of the call's messages is still to come or to go. */
void sp_line_release(struct sp_line *line, bool reusable);
/* Close now; calls on it must have been told before. */
void sp_line_close(struct sp_line *line, enum sp_why why, bool reset);
/* Behind what is queued: FIN, then what still comes is read and dropped for a while, so that the peer sees
 * our last words and not a reset (RFC 9112 9.6). */
void sp_line_linger(struct sp_line *line, enum sp_why why);
/* What came on a caller's line cannot be read, and nothing more is. Calls that came before are finished, each
 * within its own time, and the line ends behind the last; backward calls on it fail, for `why`. False: nobody
 * is waited for, or could not be answered: end it. */
bool sp_line_deafen(struct sp_line *line, enum sp_why why);
/* No further call on an upstream line: close it, behind what is queued where something is: a one-way call is
 * over when its last byte has been queued. */
void sp_line_end(struct sp_line *line, enum sp_why why);
/* The frame that `sending` stood for has ended: let go who waits behind it. */
void sp_line_frame_done(struct sp_line *line);
/* A fresh id for what goes out here, mapped to the stream unless that is NULL. 0: memory is out. */
uint32_t sp_line_take_id(struct sp_line *line, struct sp_stream *stream);
/* Set the timer to what is due next. */
void sp_line_arm(struct sp_line *line);
/* `from` pours into `to`: when `to` is full let `from` rest until it has drained. */
void sp_line_check_full(struct sp_line *from, struct sp_line *to);
/* Let `from` rest until `to` has drained, or its current frame has ended. A line may wait for itself: its
 * peer asks on and does not read. */
void sp_line_wait(struct sp_line *from, struct sp_line *to);
/* Read on, unless it rests for another line's sake. */
void sp_line_go_on(struct sp_line *line);
/* It rests no more; one that does not rest is fine. */
void sp_line_wake(struct sp_line *line);
/* No new calls: say so where the protocol can. A caller's line that has been quiet for a second ends at once,
 * for `why`; another behind its next answer, or when it has been quiet for so long. */
void sp_line_drain(struct sp_line *line, enum sp_why why);

/* pool.c: an upstream line for the stream: bound at once (SP_OK), waiting (SP_E_AGAIN: sp_stream_attached or
 * sp_stream_connect_failed follows), or refused with *ret_why. */
sp_err sp_pool_take(struct sp_stream *stream, enum sp_why *ret_why) SP_MUST_USE;
/* The stream waits no more. */
void sp_pool_forget(struct sp_stream *stream);
void sp_pool_line_open(struct sp_line *line);                                /* connected */
void sp_pool_line_failed(struct sp_line *line, enum sp_why why, sp_err err); /* never opened */
/* a call left it: idle again, or next pending */
void sp_pool_line_free(struct sp_line *line);
void sp_pool_line_gone(struct sp_line *line);           /* no further call: off all lists */
void sp_pool_line_closed(struct sp_endpoint *endpoint); /* its socket is gone: another may be opened */
void sp_pool_close_idle(struct sp_endpoint *endpoint);
/* After a hand-over: lines that were connecting did not come along, calls that wait for them did. */
void sp_pool_restart(struct sp_endpoint *endpoint);

#endif
