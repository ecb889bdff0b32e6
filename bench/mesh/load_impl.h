/* What the files of the load generator share: its options, a connection, the counts.
 *
 *     load.c        options, the two ways to run (timed, holding)
 *     load_conn.c   a connection: dial, send, read, match answers, count losses
 *     load_stat.c   the histogram of latencies and the report
 *
 * One thread, one `struct load`, which owns all. A connection owns its buffers and its list of requests that
 * are due or under way; it is never freed, only dialled again. */
#ifndef SP_BENCH_MESH_LOAD_IMPL_H
#define SP_BENCH_MESH_LOAD_IMPL_H

#include "rig.h"

#include <stdbool.h>

enum load_protocol { SP_LOAD_HTTP, SP_LOAD_BOLT, SP_LOAD_TCP };

enum {
    LOAD_INPUT = 128 * 1024,  /* longest Bolt answer or HTTP head */
    LOAD_DRAIN = 256 * 1024,  /* one read of a TCP stream */
    LOAD_REQUEST = 64 * 1024, /* longest request */
    LOAD_DUE = 1 << 14,       /* requests that may wait on one connection; more are counted as overflow */
    LOAD_SUB = 128,           /* steps in each power of two of the histogram: less than 1 % off */
    LOAD_BUCKETS = 58 * LOAD_SUB,
    LOAD_WINDOWS = 8, /* most windows of a run */
};

/* A request under way. due_ns = 0: the slot is free. */
struct load_slot {
    uint32_t id;
    uint64_t due_ns;
};

struct load_conn {
    int fd; /* -1: closed */
    bool up;
    uint32_t armed;

    char *in;
    size_t in_len;
    size_t body_left; /* HTTP: body bytes still to come */
    bool in_body, last_answer;
    int status;

    char *out;
    size_t out_off, out_len, out_cap;

    uint32_t next_id;
    struct load_slot *sent; /* by id & sent_mask */
    uint32_t sent_mask, under_way;
    uint64_t *due; /* fixed rate: a ring of LOAD_DUE times, due and not yet sent */
    uint32_t due_head, due_tail;
    uint64_t answers;
};

struct load_counts {
    uint64_t ok, bytes;
    uint64_t bad_status, id_errors;        /* answers that are wrong */
    uint64_t failed, unanswered, overflow; /* requests without an answer */
    uint64_t closes, closes_busy, resets, close_headers;
    uint64_t connects, connect_errors;
};

struct load_histogram {
    uint64_t bucket[LOAD_BUCKETS];
    uint64_t count, max_ns;
    double sum_ns;
};

/* What was counted in one window: answers by the moment that counts for them, losses by when they came. */
struct load_window {
    struct load_counts counts;
    struct load_histogram latency;
};

struct load_options {
    enum load_protocol protocol;
    struct sockaddr_in target;
    int conns, depth, windows;
    double rate, warm_s, secs;
    size_t size;
    const char *path;
    bool hold, settle, marks, ask;
};

struct load {
    struct load_options set;
    int epoll;
    char *request;
    size_t request_len;
    char *drain;
    struct load_conn *conn;            /* `conns` of them */
    uint64_t begin_ns, from_ns, to_ns; /* counted is [from_ns, to_ns), in `windows` equal parts */
    bool opening;                      /* each connection asks once; nothing is counted but losses */
    bool measuring, stopping;
    uint64_t answers;           /* since the start, in a window or not */
    struct load_window *window; /* `windows` of them */
    int at;                     /* the window that runs; 0 before the first */
};

static inline struct load_counts *sp_load_counts(struct load *l)
{
    return &l->window[l->at].counts;
}

/* The window that a moment between from_ns and to_ns belongs to. */
static inline struct load_window *sp_load_window(struct load *l, uint64_t ns)
{
    uint64_t at = (ns - l->from_ns) / (uint64_t)(l->set.secs * 1e9), last = (uint64_t)l->set.windows - 1;
    return &l->window[at < last ? at : last];
}

uint64_t sp_load_now(void);

/* Write the bytes of the request that every connection sends; Bolt patches the id into its copy. */
void sp_load_make_request(struct load *l);

void sp_load_conn_init(struct load *l, struct load_conn *c, int index);
void sp_load_conn_dial(struct load *l, struct load_conn *c);
void sp_load_conn_event(struct load *l, struct load_conn *c, uint32_t events);

/* Let request number k of a fixed rate wait for its turn on c, and send what may go now. */
void sp_load_conn_due(struct load *l, struct load_conn *c, uint64_t due_ns, uint64_t now_ns);

/* Requests due on c that have no answer. */
uint64_t sp_load_conn_open(const struct load_conn *c);

/* At the end: each of them is unanswered, and the longest answer of its window took at least until now. */
void sp_load_conn_charge(struct load *l, const struct load_conn *c, uint64_t now_ns);

void sp_load_histogram_add(struct load_histogram *h, uint64_t ns);
double sp_load_histogram_us(const struct load_histogram *h, double quantile);

/* The result, a line of JSON for each window, on standard output; `last_s` is how long the last one was. */
void sp_load_report(const struct load *l, double last_s);

#endif
