/* admin_impl: what the pages of admin share: the server, and the question that goes to all workers. */
#ifndef SP_OBSERVE_ADMIN_IMPL_H
#define SP_OBSERVE_ADMIN_IMPL_H

#include "base/list.h"
#include "io/timer.h"
#include "observe/admin.h"
#include "observe/gather.h"
#include "observe/runtime.h"
#include "rpc/http.h"

struct sp_regex;

struct sp_admin {
    struct sp_loop *loop;
    struct sp_admin_config config;
    struct sp_http_server *server;
    struct sp_list asks;    /* of sp_ask_all.link: questions that are out */
    struct sp_gather *base; /* figures at the last /reset_counters, or NULL */
    struct sp_runtime runtime;
    sp_ns started_ns;
    uint64_t started_wall_ns;
    sp_ns before_ns;                          /* how long predecessors have served, over hot upgrades */
    uint64_t before_requests, before_refused; /* likewise, of its callers */
    int tcp_door;                             /* of the server; -1 when there is none */
    bool has_unix;
    uint32_t piece_bytes; /* of pages: SP_PAGE_PIECE, save in tests */
};

/* A question to all workers. Each gets a part of its own to write into; parts come back one by one. */
struct sp_ask_all {
    struct sp_list link;
    struct sp_admin *admin;    /* NULL when it is gone */
    struct sp_http_call *call; /* NULL when its client is gone, or was told that it took too long */
    const struct sp_ask_kind *kind;
    struct sp_timer late;
    uint32_t out; /* workers that have not come back */
    bool failed;  /* memory was out: no answer but 503 */
};

struct sp_ask_part {
    struct sp_ask_all *all;
    const struct sp_admin_ops *ops;
};

/* How one kind of question is asked; the structs above are the first members of the kind's own. */
struct sp_ask_kind {
    size_t part_bytes;
    bool (*init_part)(struct sp_ask_part *part, struct sp_ask_all *all);
    void (*on_worker)(struct sp_worker *worker, struct sp_ask_part *part); /* on the worker's thread */
    void (*on_part)(struct sp_ask_all *all,
                    struct sp_ask_part *part); /* main; only while the answer is wanted */
    void (*deinit_part)(struct sp_ask_part *part);
    void (*on_done)(
        struct sp_ask_all *all);          /* all parts are in, the client is there: answer, and own `all` */
    void (*free)(struct sp_ask_all *all); /* nobody wants it any more */
};

/* `all` is the kind's, zeroed, heap memory; it is answered or freed by its kind from here on. */
void sp_ask_all(struct sp_admin *admin, struct sp_http_call *call, const struct sp_ask_kind *kind,
                struct sp_ask_all *all);

/* The figures, gathered and sealed, with what was reset taken off; then `done` answers and owns the
 * gather. */
typedef void (*sp_gathered_fn)(struct sp_admin *admin, struct sp_http_call *call, struct sp_gather *gather);
void sp_admin_gather(struct sp_admin *admin, struct sp_http_call *call, sp_gathered_fn done);
/* The same without what /reset_counters took off. */
void sp_admin_gather_raw(struct sp_admin *admin, struct sp_http_call *call, sp_gathered_fn done);

/* A page that is printed piece by piece from a gather that it owns. Its step prints the next thing (a line, a
 * head with its first line) into an empty buffer and moves on, and returns false when that was the last; it
 * knows nothing of pieces, so no border between them can change what is printed. */
struct sp_page {
    struct sp_http_source source;
    struct sp_admin *admin; /* only while the server lives, which cuts the page before it goes */
    struct sp_gather *gather;
    bool (*step)(struct sp_page *page, struct sp_buf *out);
    struct sp_buf line; /* what the last step printed */
    uint32_t stage, row;
    size_t item;
    bool json, only_used;
    bool began; /* something stands before which the next is a comma, or the family's head was printed */
    bool has_histograms;     /* their list in the JSON of /stats has begun */
    struct sp_regex *filter; /* model/regex.h; NULL: everything */
};

enum { SP_PAGE_PIECE = 24 * 1024 };

struct sp_page *sp_page_new(struct sp_admin *admin, struct sp_gather *gather,
                            bool (*step)(struct sp_page *page,
                                         struct sp_buf *out)); /* takes the gather, always */
void sp_page_start(struct sp_page *page, struct sp_http_call *call, const char *type);
void sp_page_free(struct sp_page *page);

/* The figures of the light SDK's door; false when there is none. */
bool sp_admin_lightsdk(const struct sp_admin *admin, struct sp_admin_lightsdk *ret_figures);

/* A key gets a value that is in its range, and whoever owns it is told. */
sp_err sp_admin_heed(struct sp_admin *admin, enum sp_runtime_id id, uint64_t value) SP_MUST_USE;

/* Handlers, by page. */
void sp_admin_stats(void *arg, struct sp_http_call *call);
void sp_admin_prometheus(void *arg, struct sp_http_call *call);
void sp_admin_clusters(void *arg, struct sp_http_call *call);
void sp_admin_listeners(void *arg, struct sp_http_call *call);
void sp_admin_config_dump(void *arg, struct sp_http_call *call);
void sp_admin_why(void *arg, struct sp_http_call *call);
void sp_admin_server_info(void *arg, struct sp_http_call *call);
void sp_admin_ready(void *arg, struct sp_http_call *call);
void sp_admin_memory(void *arg, struct sp_http_call *call);
void sp_admin_certs(void *arg, struct sp_http_call *call);
void sp_admin_lightsdk_page(void *arg, struct sp_http_call *call);
void sp_admin_logging(void *arg, struct sp_http_call *call);
void sp_admin_runtime(void *arg, struct sp_http_call *call);
void sp_admin_runtime_modify(void *arg, struct sp_http_call *call);
void sp_admin_drain_listeners(void *arg, struct sp_http_call *call);
void sp_admin_quit(void *arg, struct sp_http_call *call);
void sp_admin_reset_counters(void *arg, struct sp_http_call *call);

#endif
