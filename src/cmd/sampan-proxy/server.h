/* server: the parts of the running process, for the files of this program that join them. Main thread. */
#ifndef SP_CMD_PROXY_SERVER_H
#define SP_CMD_PROXY_SERVER_H

#include <pthread.h>

#include "base/log.h"
#include "base/vec.h"
#include "io/mail.h"
#include "io/timer.h"
#include "proxy/process.h"
#include "proxy/worker.h"

struct doors;
struct parting;
struct proxy_config;
struct proxy_options;
struct server;
struct sp_lightsdk;
struct sp_signals;
struct takeover;
struct upgrade;

/* An order from the main loop to a worker's, for `run`; `done` tells the main loop. */
struct order {
    struct sp_mail mail;
    struct sp_worker *worker;
    void (*run)(struct sp_worker *worker, uint64_t value);
    uint64_t value;
};

struct thread {
    pthread_t id;
    struct server *server;
    struct sp_loop *loop;
    struct sp_worker worker;
    struct sp_mail drained; /* the worker's answer to its draining */
    bool made, running;
    sp_str *names; /* listeners, with fds */
    int *fds;
    uint32_t fd_count;
};

struct server {
    const struct proxy_options *options;
    struct proxy_config *config;
    struct sp_log log;
    struct sp_loop *loop;
    struct sp_signals *signals;
    struct sp_process process;
    struct doors *doors;
    struct sp_vec sockfiles; /* of struct sockfile: of the listeners that are Unix sockets */
    struct thread *threads;
    uint32_t thread_count, drained_count;
    uint64_t drain_ns;
    struct upgrade *upgrade;   /* the way to a successor; NULL: there is none */
    struct takeover *takeover; /* while this process takes over */
    struct parting *parting;   /* another process that should end by itself; NULL: there is none */
    uint32_t generation;       /* how many predecessors it had */
    uint32_t pipes;            /* of raw relays, for each worker */
    struct sp_timer names_due; /* until the names' first answers have come: see go() */
    sp_err err;                /* what ended it after its start */
    bool awaits_names, live, draining;
};

/* Workers stand still between two turns, and go on. */
void server_stop_threads(struct server *server);
sp_err server_start_threads(struct server *server) SP_MUST_USE;
/* As SIGTERM. */
void server_drain(struct server *server);
/* Have `run` called on every worker's own thread. */
void server_order(struct server *server, void (*run)(struct sp_worker *worker, uint64_t value),
                  uint64_t value);

#endif
