/* worker: one thread's whole world: loop, listeners, clusters, calls, figures. Owns what it touches. */
#ifndef SP_PROXY_WORKER_H
#define SP_PROXY_WORKER_H

#include "base/map.h"
#include "base/ring.h"
#include "io/mail.h"
#include "io/timer.h"
#include "link/conn.h"
#include "proxy/cluster.h"
#include "proxy/line.h"
#include "proxy/process.h"
#include "proxy/report.h"

struct sp_stream;
struct sp_line;

/* wide because it is the root of everything that a thread owns; what has a life of its own hangs below it. */
struct sp_worker {
    uint32_t index;
    struct sp_process *process;
    struct sp_loop *loop;
    struct sp_link link;
    struct sp_snapshot *snapshot;  /* our reference */
    struct sp_list listeners;      /* of sp_listener.link */
    struct sp_map clusters;        /* name -> struct sp_cluster; names live in sp_process.clusters */
    struct sp_list gone_clusters;  /* of sp_cluster.link: out of the configuration, kept by their calls */
    struct sp_list gone_listeners; /* of sp_listener.link: closed, kept by their connections */
    struct sp_list streams;        /* of sp_stream.link: calls under way */
    struct sp_list lines;          /* of sp_line.link: all downstream connections */
    struct sp_list intakes;        /* of sp_intake.link: connections not known yet */
    struct sp_list relays;         /* of sp_relay.link: raw TCP */
    struct sp_line_mux no_mux;     /* of lines whose calls come one by one; always empty */
    struct sp_stream *free_streams;
    struct sp_line *free_lines;
    sp_ns line_opened_ns; /* of the newest line */
    uint32_t free_stream_count, free_line_count;
    struct sp_lease connection_lease, stream_lease;
    struct sp_ring reports;      /* to observe: calls whose chain has a log */
    struct sp_report one_report; /* where a record is made when recent_cap is 0 */
    struct sp_report *recent;    /* circular: the last calls that went well, for /why */
    struct sp_report *failed;    /* the same for those that did not; made when the first comes */
    uint32_t recent_cap;         /* of each */
    uint64_t recent_at, failed_at;
    struct sp_mail reports_mail;                  /* the ring fills: whoever empties it is told */
    bool reports_told;                            /* atomic: the mail is out */
    bool reports_direct;                          /* there is one thread left: on_reports without mail */
    void (*on_reports)(struct sp_worker *worker); /* on the main loop; NULL: nobody empties the ring */
    void *on_reports_arg;
    struct sp_series *series; /* published list */
    struct sp_map series_by_key;
    uint32_t series_count;
    struct sp_turn moved;     /* after a hand-over: what begins anew in the first turn */
    struct sp_timer tick;     /* once a second */
    struct sp_timer deadline; /* of draining */
    sp_ns drain_ns;           /* when draining has to end */
    uint64_t streams_before;  /* streams_total at the last tick */
    struct sp_worker_cells cells;
    bool was_idle; /* at the last tick: memory has been given back */
    bool draining;
    void (*on_drained)(struct sp_worker *worker); /* draining and nothing is left */
    /* over 30 fields: this is the root of everything a thread owns; what has a life of its own hangs below
     * it */
};

enum { SP_SERIES_MAX = 4096, SP_REPORT_RING = 1024 };

/* On the worker's own thread (or before it starts). The loop stays the caller's. */
sp_err sp_worker_init(struct sp_worker *worker, struct sp_process *process, struct sp_loop *loop,
                      uint32_t index) SP_MUST_USE;
/* Everything is cut. */
void sp_worker_deinit(struct sp_worker *worker);
/* The same, and the worker stays: so that who reads its reports gets those of the calls that were cut. Its
 * thread has ended and the caller's is the main loop's: on_reports is called from inside. */
void sp_worker_cut(struct sp_worker *worker);

/* Descriptors opened ahead by cmd, by listener name; NULL: open our own. */
struct sp_listen_fds {
    const sp_str *names;
    const int *fds;
    uint32_t count;
    bool only; /* addresses that are not among them are opened later, by sp_worker_open */
};
/* Swap the configuration, between two turns. Listeners that stay keep their sockets and connections; on an
 * error the worker goes on with the old one where it can, and the error is the first that was met. */
sp_err sp_worker_apply(struct sp_worker *worker, struct sp_snapshot *snapshot,
                       const struct sp_listen_fds *fds) SP_MUST_USE;
/* Open the addresses that were left for later. The first error. */
sp_err sp_worker_open(struct sp_worker *worker) SP_MUST_USE;
/* The socket of a listener that was left for later. SP_E_MISSING: none of that name waits for one; on failure
 * it is still the caller's. */
sp_err sp_worker_place(struct sp_worker *worker, sp_str listener, int fd) SP_MUST_USE;
/* One more listening socket for that listener. SP_E_MISSING: there is none of that name that accepts; on
 * failure it is still the caller's. */
sp_err sp_worker_add_door(struct sp_worker *worker, sp_str listener, int fd) SP_MUST_USE;
/* Endpoints of a STRICT_DNS cluster; no such cluster is fine. */
void sp_worker_set_endpoints(struct sp_worker *worker, sp_str cluster, const struct sp_endpoint_found *found,
                             uint32_t count, bool failed);

/* Stop accepting; finish what is under way, ask peers to go; on_drained when nothing is left. After
 * `deadline_ns` what is left is cut. */
void sp_worker_drain(struct sp_worker *worker, sp_ns deadline_ns,
                     void (*on_drained)(struct sp_worker *worker));
void sp_worker_drain_listeners(struct sp_worker *worker, bool inbound_only);

struct sp_cluster *sp_worker_cluster(struct sp_worker *worker, sp_str name);
/* The series of `key`; the shared overflow series when there are too many. */
struct sp_series *sp_worker_series(struct sp_worker *worker, const struct sp_series_key *key,
                                   const struct sp_cluster_spec *spec);
struct sp_series *sp_worker_series_overflow(struct sp_worker *worker);

/* A record to fill in place; goes to one of /why's rings, and to the log ring when `log_mask` is set at
 * commit. */
struct sp_report *sp_worker_report(struct sp_worker *worker);
void sp_worker_report_done(struct sp_worker *worker, struct sp_report *report);

/* The last calls and the last failed ones, by when they ended, newest first, until `each` says false. On the
 * worker's thread. */
void sp_worker_recent(struct sp_worker *worker, bool (*each)(void *arg, const struct sp_report *report),
                      void *arg);

/* Run `fn` on the worker's loop and, when it is done, `then` on the process's main loop: how admin reads
 * what only the worker may touch. */
struct sp_ask {
    struct sp_mail mail;
    struct sp_worker *worker;
    void (*fn)(struct sp_worker *worker, void *arg);
    void (*then)(struct sp_ask *ask);
    void *arg;
};
void sp_worker_ask(struct sp_worker *worker, struct sp_ask *ask);

#endif
