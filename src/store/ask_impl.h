/* ask_impl: what goes between a client and a store by mail, and the seam where another body joins: whoever
 * has a loop and answers these letters is a store. */
#ifndef SP_STORE_ASK_IMPL_H
#define SP_STORE_ASK_IMPL_H

#include "base/arena.h"
#include "base/list.h"
#include "io/mail.h"
#include "store/store.h"

/* A body's own struct begins with it. */
struct sp_store {
    struct sp_loop *loop;
    void (*on_ask)(struct sp_store *store, struct sp_store_ask *ask); /* each is sent back once */
    void (*on_watch)(struct sp_store *store, struct sp_store_watch *watch);
    void (*on_unwatch)(struct sp_store *store, struct sp_store_watch *watch);
    void (*on_batch_back)(struct sp_store *store, struct sp_store_watch *watch);
    void (*free)(struct sp_store *store);
    uint32_t clients; /* atomic */
};

enum sp_ask_kind {
    SP_ASK_TXN,
    SP_ASK_GRANT,
    SP_ASK_KEEP_ALIVE,
    SP_ASK_REVOKE,
    SP_ASK_LEASE,
    SP_ASK_COMPACT,
    SP_ASK_BACKUP,
};

struct sp_ask_compare {
    struct sp_ask_compare *next;
    sp_str key, value;
    uint64_t number;
    enum sp_store_field field;
    enum sp_store_relation relation;
};

struct sp_ask_op {
    struct sp_ask_op *next;
    enum sp_store_op op;
    bool count_only, want_previous;
    struct sp_store_span span;
    uint64_t revision, limit;
    struct sp_store_kv *kv; /* PUT: counted; its numbers are the store's to fill in, until it is published */
};

struct sp_ask_branch {
    struct sp_ask_op *first, **last;
    uint32_t count;
};

struct sp_store_ask {
    struct sp_mail mail;
    struct sp_list link; /* in the store's queue or batch */
    struct sp_store_client *client;
    sp_store_on_answer on_answer;
    void *arg;
    struct sp_arena arena;
    enum sp_ask_kind kind;
    bool otherwise;          /* operations go into the second branch */
    enum sp_store_why early; /* what was wrong while it was made */
    size_t bytes;
    struct sp_ask_compare *compares;
    uint32_t compare_count;
    struct sp_ask_branch branches[2];
    uint64_t id, revision; /* of leases, compaction */
    uint32_t ttl_s;
    char *path;
    struct sp_store_answer answer;
    struct sp_store_result *results; /* of the answer; their kvs are counted and the lists on the heap */
    char first_bytes[512];           /* of the arena */
};

/* Counted kvs and lists of an earlier evaluation go; the answer is empty. */
void sp_ask_clear(struct sp_store_ask *ask);
/* To the client, whose the ask is from here on. */
void sp_ask_answer(struct sp_store_ask *ask);

/* Above the line the client's, below the store's, `batch` by turns: the client's while it is out. */
struct sp_store_watch {
    struct sp_store_client *client;
    struct sp_list link;                 /* on sp_store_client.watches */
    struct sp_store_watch_config config; /* keys are copied behind the struct; never changes */
    struct sp_mail open, close, batch;
    bool closing;
    /* ---- */
    struct sp_list store_link; /* on the store's watches, or on no list */
    uint64_t place;            /* of the next change to be looked at */
    uint64_t told;             /* the revision of the last batch */
    bool out, ended, unwatched, greeted;
    /* ---- by turns */
    struct sp_store_event *events; /* both counted */
    uint32_t count, cap;
    uint64_t revision;
    enum sp_store_why why; /* not FINE: the end */
    uint64_t compacted;
};

/* The batch that was filled in goes out / the store knows the watch no more. */
void sp_watch_send(struct sp_store_watch *watch);
void sp_watch_gone(struct sp_store_watch *watch);

#endif
