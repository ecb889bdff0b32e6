/* gather: all figures of the process at about one instant, added up over the workers, as plain numbers.
 *
 * A gather is filled in two steps. On a worker's thread sp_gather_worker copies what only that worker may
 * touch; on the main thread sp_gather_add puts such a part into the whole. What pages show is read from the
 * whole; it owns everything that it points to, so it may be shown slowly, long after configuration has
 * changed. */
#ifndef SP_OBSERVE_GATHER_H
#define SP_OBSERVE_GATHER_H

#include "base/arena.h"
#include "base/hist.h"
#include "base/map.h"
#include "base/vec.h"
#include "model/settings.h"
#include "proxy/view.h"

enum sp_subject_kind {
    SP_SUBJECT_CLUSTER,
    SP_SUBJECT_CHAIN, /* of calls */
    SP_SUBJECT_TCP,   /* chains of raw bytes */
    SP_SUBJECT_LISTENER,
    SP_SUBJECT_KINDS
};

enum {
    SP_FOLD_BOUNDS = 19,         /* Envoy's histogram bounds; +Inf besides */
    SP_GATHER_SERIES_MAX = 4096, /* different label sets that are shown; the rest is added to one */
    SP_GATHER_LABEL_BYTES = 256, /* of one label's value; longer ones are cut */
};

/* A histogram as Prometheus shows it: at[i] counts values up to the i-th bound, not cumulative. */
struct sp_fold {
    uint64_t count, sum;
    uint64_t at[SP_FOLD_BOUNDS];
};

/* The bounds as Prometheus prints them, in milliseconds (or bytes). */
extern const char *const sp_fold_bound_text[SP_FOLD_BOUNDS];
extern const uint64_t sp_fold_bound_milli[SP_FOLD_BOUNDS]; /* the same in thousandths */

struct sp_gather_endpoint {
    sp_addr addr;
    struct sp_endpoint_view view;
    sp_str hostname, zone;
    uint32_t priority;
    struct sp_gather_endpoint *next; /* in the order of the cluster */
};

/* Something that has cells and a name. */
struct sp_subject {
    sp_str name;      /* cluster, stat_prefix, listener's address as Envoy writes it (0.0.0.0_80) */
    sp_str full_name; /* listener: its own name */
    uint64_t *values; /* sp_subject_kinds[kind].count of them */
    struct sp_hist time_ns;
    sp_addr bound; /* listener */
    /* cluster */
    struct sp_cluster_limits limits;
    enum sp_cluster_kind cluster_kind;
    struct sp_gather_endpoint *endpoints, *last_endpoint;
    struct sp_gather_endpoint *expected; /* where the next one of another worker probably is */
    uint32_t healthy, total;
};

/* What all subjects of a kind have in common. */
struct sp_subject_kind_info {
    const char *text_prefix; /* "cluster." */
    const char *prom_prefix; /* "envoy_cluster_" */
    const char *label;       /* "envoy_cluster_name" */
    const char *time_name;   /* "upstream_rq_time", NULL when there is none */
    const struct sp_cell_name *names;
    uint32_t count;
};
const struct sp_subject_kind_info *sp_subject_kind_info(enum sp_subject_kind kind);

struct sp_gather_series {
    sp_str labels; /* the common ones, ready to be printed: reporter="source",... */
    sp_str code;   /* response_code and grpc_response_status, for all but TCP; empty for TCP */
    uint64_t requests, tcp_opened, tcp_closed, tcp_sent, tcp_received;
    struct sp_fold duration_ms, request_bytes, response_bytes;
};

/* A figure of the worker as such: streams_active ... */
struct sp_worker_figure {
    const char *name, *help;
    bool gauge;
    uint16_t offset; /* in struct sp_worker_cells */
};
enum { SP_WORKER_FIGURES = 10 };
extern const struct sp_worker_figure sp_worker_figures[SP_WORKER_FIGURES];

struct sp_gather {
    struct sp_arena arena;
    struct sp_map by_name[SP_SUBJECT_KINDS];  /* -> struct sp_subject */
    struct sp_vec subjects[SP_SUBJECT_KINDS]; /* of struct sp_subject *, by name once sealed */
    uint64_t worker_values[SP_WORKER_FIGURES];
    uint64_t why[SP_WHY_COUNT];
    uint32_t workers; /* whose figures are in it */
    struct sp_map series_by_labels;
    struct sp_vec series;                  /* of struct sp_gather_series * */
    const struct sp_series *worker_series; /* a part: the list to add, read by sp_gather_add */
    bool failed;                           /* memory was out: the figures are not whole */
};

/* NULL when memory is out. */
struct sp_gather *sp_gather_new(uint64_t seed);
void sp_gather_free(struct sp_gather *gather);
/* On the worker's thread. `walk` is sp_worker_walk. */
void sp_gather_worker(struct sp_gather *part, struct sp_worker *worker,
                      void (*walk)(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg));
/* On the main thread, while the worker lives: its series are read where they are. */
void sp_gather_add(struct sp_gather *whole, struct sp_gather *part, const struct sp_labels *own);
/* All parts are in: sort by name. */
void sp_gather_seal(struct sp_gather *whole);
/* What was counted until `base` is taken off all counters, not off gauges and histograms: /reset_counters. */
void sp_gather_subtract(struct sp_gather *whole, const struct sp_gather *base);

#endif
