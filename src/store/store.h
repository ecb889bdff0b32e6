/* store: keys with a history: one revision for the whole store, watches without a gap, leases, transactions.
 *
 * A store lives on the loop that it was opened with (mem/mem.h, sqlite/sqlite.h): in production a thread of
 * its own, in tests and in the simulation any. A caller has a client on its own loop; what it asks goes to
 * the store as mail and the answer comes back as mail, so each callback is on the client's thread. Nothing
 * but counted bytes that never change is shared between the two.
 *
 *     client's loop:  ask ──mail──>  store's loop:  all asks of a turn, one commit, one fsync
 *                         <──mail──                 answers, batches of watches
 *
 * An answer without an error is on the disk. The meaning is etcd's (v3), save where docs/store.md says so. */
#ifndef SP_STORE_STORE_H
#define SP_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sp_loop;
struct sp_store;
struct sp_store_ask;
struct sp_store_client;
struct sp_store_watch;

/* The limits. Reaching one is an answer with its own `why`. */
enum {
    SP_STORE_KEY_MAX = 4096,      /* bytes; at least 1 */
    SP_STORE_VALUE_MAX = 1 << 20, /* bytes */
    SP_STORE_OPS_MAX = 128,       /* comparisons, and operations of each branch, in a transaction */
    SP_STORE_ASK_MAX = 4 << 20,   /* bytes of a transaction's keys and values */
    SP_STORE_CHANGES_MAX = 65536, /* keys that one revision changes, or that hang on one lease */
    SP_STORE_LEASES_MAX = 1 << 20,
    SP_STORE_TTL_MAX_S = 365 * 24 * 3600,
    SP_STORE_ASKS_MAX = 65536,    /* of one client under way */
    SP_STORE_WATCHES_MAX = 65536, /* of one client */
};

/* Why an ask was refused, or a watch ended. */
enum sp_store_why {
    SP_STORE_FINE,
    SP_STORE_NO_MEMORY,
    SP_STORE_BAD_KEY,     /* empty, or longer than SP_STORE_KEY_MAX */
    SP_STORE_BAD_VALUE,   /* longer than SP_STORE_VALUE_MAX */
    SP_STORE_TOO_MANY,    /* more than SP_STORE_OPS_MAX */
    SP_STORE_TOO_LARGE,   /* more bytes than SP_STORE_ASK_MAX */
    SP_STORE_WIDE,        /* more changes than SP_STORE_CHANGES_MAX */
    SP_STORE_TWICE,       /* a branch changes a key twice */
    SP_STORE_COMPACTED,   /* the revision's history is gone; answer.compacted says up to where */
    SP_STORE_FUTURE,      /* a revision that is not yet */
    SP_STORE_NO_LEASE,    /* never granted, revoked, or over */
    SP_STORE_LEASE_TAKEN, /* a grant under an id that is in use */
    SP_STORE_BAD_TTL,     /* 0, or above SP_STORE_TTL_MAX_S */
    SP_STORE_LEASES_FULL, /* SP_STORE_LEASES_MAX */
    SP_STORE_FULL,        /* the store's own limit of bytes: delete and compact */
    SP_STORE_DISK_FULL,   /* nothing was changed; the same works when there is room */
    SP_STORE_BROKEN, /* the disk failed while it was to keep something: only reads until it is opened anew */
    SP_STORE_NO_BACKUP, /* this body has none, or the file exists or cannot be written */
    SP_STORE_WHYS
};
/* Words for people, never NULL, static; and the error that stands for it. */
const char *sp_store_why_words(enum sp_store_why why);
sp_err sp_store_why_err(enum sp_store_why why);

/* One version of a key, or (version 0, no value) its deletion. Never changes; any thread may hold it. */
struct sp_store_kv {
    sp_str key, value;
    uint64_t create_revision; /* since when the key exists without a break */
    uint64_t mod_revision;    /* when this version was made */
    uint64_t version;         /* 1 for the first since create_revision */
    uint64_t lease;           /* 0: none */
    uint64_t number;          /* of the change among all; the store's own */
    uint32_t refs;            /* through the functions only */
};
struct sp_store_kv *sp_store_kv_ref(const struct sp_store_kv *kv);
void sp_store_kv_unref(const struct sp_store_kv *kv); /* NULL is fine */

/* Which keys are meant. Bytewise order. */
enum sp_store_span_kind { SP_STORE_ONE, SP_STORE_PREFIX, SP_STORE_UNTIL, SP_STORE_ONWARD };
struct sp_store_span {
    sp_str from; /* the key; what the keys begin with (empty: all); the first key */
    sp_str to;   /* UNTIL: the first key that is no longer meant */
    enum sp_store_span_kind kind;
};
bool sp_store_span_holds(const struct sp_store_span *span, sp_str key);

/* ---- clients ---- */

/* Of the calling thread, on its loop. NULL when memory is out. */
struct sp_store_client *sp_store_client_new(struct sp_store *store, struct sp_loop *loop);
/* Ends the watches, then calls on_closed once, when nothing is under way any more; from now on no other
 * callback comes. Asks that were posted are still carried out. The client is gone behind on_closed. */
void sp_store_client_close(struct sp_store_client *client, void (*on_closed)(void *arg), void *arg);
/* All its clients must be closed. NULL is fine. On the store's thread, or when that has ended. */
void sp_store_free(struct sp_store *store);

/* ---- asks ---- */

enum sp_store_op { SP_STORE_RANGE, SP_STORE_PUT, SP_STORE_DELETE };

struct sp_store_result { /* of one operation, in order */
    enum sp_store_op op;
    bool more;      /* RANGE: the limit cut it */
    uint64_t count; /* RANGE: keys in the span, whatever the limit; DELETE: keys that were deleted */
    uint32_t kv_count;
    struct sp_store_kv *const *kvs; /* RANGE: ascending by key; else the former versions, if wanted */
};

struct sp_store_answer {
    enum sp_store_why why;
    sp_err err;         /* of `why` */
    uint64_t revision;  /* of the store, behind this ask */
    uint64_t compacted; /* history begins behind it */
    bool succeeded;     /* the comparisons held */
    uint32_t result_count;
    const struct sp_store_result *results; /* of the branch that was taken; borrowed, as all kvs in it */
    uint64_t lease;                        /* leases: its id */
    uint32_t ttl_s, left_s;                /* leases: as granted; what is left of it */
    uint64_t lease_keys;                   /* leases: keys that hang on it */
};
typedef void (*sp_store_on_answer)(void *arg, const struct sp_store_answer *answer);

/* A transaction: comparisons, what to do when all hold, and what else. Carried out whole or not at all, all
 * its changes under one revision. Bytes are copied. What is wrong in an ask comes as its answer.
 * NULL when memory is out or SP_STORE_ASKS_MAX are under way. */
struct sp_store_ask *sp_store_ask_new(struct sp_store_client *client);
void sp_store_ask_free(struct sp_store_ask *ask); /* one that is not posted; NULL is fine */

enum sp_store_field { SP_STORE_VERSION, SP_STORE_CREATED, SP_STORE_MODIFIED, SP_STORE_LEASE, SP_STORE_VALUE };
enum sp_store_relation { SP_STORE_EQUAL, SP_STORE_DIFFERENT, SP_STORE_GREATER, SP_STORE_LESS };
/* A key that does not exist has 0 in every number, and fails every comparison of its value. */
void sp_store_ask_if(struct sp_store_ask *ask, sp_str key, enum sp_store_field field,
                     enum sp_store_relation relation, uint64_t number);
void sp_store_ask_if_value(struct sp_store_ask *ask, sp_str key, enum sp_store_relation relation,
                           sp_str value);
void sp_store_ask_else(struct sp_store_ask *ask); /* what follows is done when a comparison fails */
void sp_store_ask_put(struct sp_store_ask *ask, sp_str key, sp_str value, uint64_t lease, bool want_previous);
void sp_store_ask_delete(struct sp_store_ask *ask, const struct sp_store_span *span, bool want_previous);
/* As of `revision`, 0: now, with what the ask itself has changed. limit 0: all; count_only: no kvs. */
void sp_store_ask_range(struct sp_store_ask *ask, const struct sp_store_span *span, uint64_t revision,
                        uint64_t limit, bool count_only);
/* The ask is the store's from here; on_answer (or NULL) is called once. */
void sp_store_ask_post(struct sp_store_ask *ask, sp_store_on_answer on_answer, void *arg);

/* Instead of a transaction. id 0: the store chooses one. A lease that is not kept alive for its time takes
 * its keys with it, all under one revision. Behind a restart every lease has its whole time again. */
void sp_store_ask_grant(struct sp_store_ask *ask, uint64_t id, uint32_t ttl_s);
void sp_store_ask_keep_alive(struct sp_store_ask *ask, uint64_t id);
void sp_store_ask_revoke(struct sp_store_ask *ask, uint64_t id);
void sp_store_ask_lease(struct sp_store_ask *ask, uint64_t id); /* look at it */
/* Forget the history up to and with `revision`; what is still valid then stays. */
void sp_store_ask_compact(struct sp_store_ask *ask, uint64_t revision);
/* A copy of all that is committed into a new file. The store stands still meanwhile. */
void sp_store_ask_backup(struct sp_store_ask *ask, sp_str path);

/* ---- watches ---- */

struct sp_store_event {
    const struct sp_store_kv *kv;       /* version 0: a deletion */
    const struct sp_store_kv *previous; /* when wanted, and there was one */
};

/* Whole revisions, ascending; each comes once. Up to and with `revision` all is told: go on at revision + 1.
 * No events: a mark of progress alone. Borrowed. */
struct sp_store_batch {
    uint64_t revision;
    uint32_t count;
    const struct sp_store_event *events;
};

struct sp_store_watch_config {
    struct sp_store_span span;
    uint64_t from; /* the first revision to be told; 0: what comes from now on */
    bool want_previous;
    bool want_progress; /* a mark each second in which the revision grew and nothing else was told */
    void (*on_batch)(void *arg, const struct sp_store_batch *batch);
    /* The history at `from`, or where a slow watch had come to, is compacted: read anew, and watch from the
     * revision of that answer + 1. Nothing more comes; the watch is still to be closed. */
    void (*on_end)(void *arg, enum sp_store_why why, uint64_t compacted);
    void *arg;
};
/* The first batch comes at once: with from 0 it tells where the watch begins. NULL when memory is out, the
 * span's keys are too long, or SP_STORE_WATCHES_MAX is reached. Copies the span. One batch is under way at a
 * time and the next is cut from the history when its callback has returned: a slow watch costs no memory. */
struct sp_store_watch *sp_store_watch_open(struct sp_store_client *client,
                                           const struct sp_store_watch_config *config);
/* Nothing comes any more; the watch is the room's to free. */
void sp_store_watch_close(struct sp_store_watch *watch);

#endif
