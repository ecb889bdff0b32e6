/* store.c - what a put costs that is on the disk when it is answered, and what a thousand watches cost.
 *
 * A round is one put. store/plain is what SQLite alone does for it in the same mode (WAL, synchronous=FULL):
 * one transaction each, so one fsync each. store/put_1 keeps one put under way: it adds the way there and
 * back by mail. store/put_16 and store/put_256 keep so many under way: they share commits, and must cost a
 * fraction.
 *
 * store/mem_put is a put without a disk; store/watch_1000 the same with a thousand watches that are told,
 * which must cost a thousand letters and not one copy of the value.
 *
 * All on one thread: loop turns carry the store's side and the client's. In a folder under /tmp, or under
 * BENCH_DIR, of its own, for what is measured is that place's fsync.
 */
#include "bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/loop.h"
#include "store/mem/mem.h"
#include "store/sqlite/sqlite.h"
#include "store/store.h"

enum { KEYS = 1000, VALUE = 256, KEEP_EVENTS = 20000, WATCHES = 1000, WATCHED_VALUE = 16384 };

struct place {
    char folder[256], file[300];
};

struct puts {
    struct place place;
    struct sp_loop *loop;
    struct sp_store *store;
    struct sp_store_client *client;
    uint64_t under_way, left, out, next;
    size_t value_bytes;
    bool closed;
};

static void check(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "bench: store: %s failed\n", what);
        exit(1);
    }
}

static void make_place(struct place *place)
{
    const char *under = getenv("BENCH_DIR");
    snprintf(place->folder, sizeof place->folder, "%s/bench-store-XXXXXX", under ? under : "/tmp");
    check(mkdtemp(place->folder) != NULL, "mkdtemp");
    snprintf(place->file, sizeof place->file, "%s/store.db", place->folder);
}

static void remove_place(const struct place *place)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    char name[320];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", place->file, ends[i]);
        unlink(name);
    }
    rmdir(place->folder);
}

/* ---- SQLite alone ---- */

struct plain {
    struct place place;
    sqlite3 *db;
    sqlite3_stmt *put;
    uint64_t next;
};

static void *make_plain(void)
{
    struct plain *p = sp_bench_alloc(sizeof *p);
    make_place(&p->place);
    check(sqlite3_open(p->place.file, &p->db) == SQLITE_OK, "sqlite3_open");
    check(
        sqlite3_exec(p->db,
                     "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
                     NULL, NULL, NULL) == SQLITE_OK,
        "schema");
    check(sqlite3_prepare_v2(p->db, "REPLACE INTO kv VALUES (?, ?)", -1, &p->put, NULL) == SQLITE_OK,
          "prepare");
    return p;
}

static void run_plain(void *state, uint64_t rounds)
{
    struct plain *p = state;
    char key[32], value[VALUE];
    memset(value, 'v', sizeof value);
    for (uint64_t n = 0; n < rounds; n++) {
        int len = snprintf(key, sizeof key, "key-%llu", (unsigned long long)(p->next++ % KEYS));
        sqlite3_bind_blob(p->put, 1, key, len, SQLITE_STATIC);
        sqlite3_bind_blob(p->put, 2, value, sizeof value, SQLITE_STATIC);
        check(sqlite3_step(p->put) == SQLITE_DONE, "step");
        sqlite3_reset(p->put);
    }
}

static void drop_plain(void *state)
{
    struct plain *p = state;
    sqlite3_finalize(p->put);
    sqlite3_close(p->db);
    remove_place(&p->place);
    free(p);
}

/* ---- the store ---- */

static struct puts *make_puts(bool on_disk, uint64_t under_way, size_t value_bytes)
{
    struct puts *p = sp_bench_alloc(sizeof *p);
    char trouble[SP_STORE_SQLITE_TROUBLE] = "";
    p->loop = sp_loop_new(NULL);
    p->under_way = under_way;
    p->value_bytes = value_bytes;
    if (on_disk) {
        struct sp_store_sqlite_config config = { .loop = p->loop, .keep_events = KEEP_EVENTS };
        make_place(&p->place);
        config.path = p->place.file;
        check(sp_store_sqlite_open(&config, &p->store, trouble) == SP_OK, trouble);
    } else {
        p->store = sp_store_mem_open(&(struct sp_store_mem_config){ .loop = p->loop, .keep_events = 1000 });
    }
    check(p->store && (p->client = sp_store_client_new(p->store, p->loop)), "open");
    return p;
}

static void *make_put_1(void)
{
    return make_puts(true, 1, VALUE);
}

static void *make_put_16(void)
{
    return make_puts(true, 16, VALUE);
}

static void *make_put_256(void)
{
    return make_puts(true, 256, VALUE);
}

static void *make_mem(void)
{
    return make_puts(false, 1, WATCHED_VALUE);
}

static void put_next(struct puts *p);

static void on_answer(void *arg, const struct sp_store_answer *answer)
{
    struct puts *p = arg;
    check(answer->why == SP_STORE_FINE, sp_store_why_words(answer->why));
    p->out--;
    if (p->left)
        put_next(p);
}

static void put_next(struct puts *p)
{
    static const char value[WATCHED_VALUE];
    char key[32];
    int len = snprintf(key, sizeof key, "key-%llu", (unsigned long long)(p->next++ % KEYS));
    struct sp_store_ask *ask = sp_store_ask_new(p->client);
    sp_store_ask_put(ask, sp_str_of(key, (size_t)len), sp_str_of(value, p->value_bytes), 0, false);
    sp_store_ask_post(ask, on_answer, p);
    p->left--;
    p->out++;
}

static void run_puts(void *state, uint64_t rounds)
{
    struct puts *p = state;
    p->left = rounds;
    while (p->left && p->out < p->under_way)
        put_next(p);
    while (p->out)
        sp_loop_turn(p->loop, SP_NS_PER_S);
}

static void on_closed(void *arg)
{
    ((struct puts *)arg)->closed = true;
}

static void drop_puts(void *state)
{
    struct puts *p = state;
    sp_store_client_close(p->client, on_closed, p);
    while (!p->closed)
        sp_loop_turn(p->loop, SP_NS_PER_MS);
    sp_store_free(p->store);
    sp_loop_free(p->loop);
    if (p->place.folder[0])
        remove_place(&p->place);
    free(p);
}

static void on_batch(void *arg, const struct sp_store_batch *batch)
{
    sp_bench_keep(batch->events);
}

static void on_end(void *arg, enum sp_store_why why, uint64_t compacted)
{
    check(false, "a watch that keeps up");
}

static void *make_watched(void)
{
    struct puts *p = make_puts(false, 1, WATCHED_VALUE);
    struct sp_store_watch_config config = { .span = { .from = SP_STR("key-"), .kind = SP_STORE_PREFIX },
                                            .on_batch = on_batch,
                                            .on_end = on_end };
    for (int i = 0; i < WATCHES; i++)
        check(sp_store_watch_open(p->client, &config) != NULL, "watch");
    for (int i = 0; i < 3; i++)
        sp_loop_turn(p->loop, 0);
    return p;
}

const struct sp_bench sp_bench_store[] = {
    { .name = "store/plain", .make = make_plain, .run = run_plain, .drop = drop_plain },
    { .name = "store/put_1",
      .baseline = "store/plain",
      .make = make_put_1,
      .run = run_puts,
      .drop = drop_puts },
    { .name = "store/put_16",
      .baseline = "store/plain",
      .make = make_put_16,
      .run = run_puts,
      .drop = drop_puts },
    { .name = "store/put_256",
      .baseline = "store/plain",
      .make = make_put_256,
      .run = run_puts,
      .drop = drop_puts },
    { .name = "store/mem_put", .make = make_mem, .run = run_puts, .drop = drop_puts },
    { .name = "store/watch_1000",
      .baseline = "store/mem_put",
      .make = make_watched,
      .run = run_puts,
      .drop = drop_puts },
    { 0 },
};
