/* help: what the tests of store share: a store on a loop that the test turns, and asks that wait for their
 * answer. */
#ifndef SP_TESTS_STORE_HELP_H
#define SP_TESTS_STORE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "io/loop.h"
#include "store/mem/mem.h"
#include "store/sqlite/sqlite.h"
#include "store/store.h"

/* The seeds to run: 1 .. count, or the one that the environment names. */
static inline void each_seed(uint64_t count, void (*run)(uint64_t seed))
{
    const char *one = getenv("SAMPAN_SEED");
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= count; seed++)
        run(seed);
}

/* A folder of its own; in memory where that is to be had: it outlives a killed process as a disk does, and a
 * lost supply is made up by disk.h. */
struct place {
    char folder[64], file[96];
};

static inline void place_make(struct place *place)
{
    const char *under = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(place->folder, sizeof(place->folder), "%s/sampan-store-XXXXXX", under);
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->file, sizeof(place->file), "%s/store.db", place->folder);
}

static inline void place_remove(const struct place *place)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal", ".copy" };
    char name[128];
    for (size_t i = 0; i < SP_COUNTOF(ends); i++) {
        snprintf(name, sizeof(name), "%s%s", place->file, ends[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(place->folder), 0);
}

/* ---- a store and a client on one loop ---- */

struct rig {
    struct sp_loop *loop;
    struct sp_store *store;
    struct sp_store_client *client;
    struct sp_store_mem_config config; /* limits, for both bodies */
    const char *path, *vfs;            /* path NULL: mem */
    char trouble[SP_STORE_SQLITE_TROUBLE];
};

static inline sp_err rig_try(struct rig *rig)
{
    if (!rig->loop)
        rig->loop = sp_loop_new(&(struct sp_loop_config){ .seed = 1 });
    assert_non_null(rig->loop);
    rig->config.loop = rig->loop;
    if (!rig->path) {
        rig->store = sp_store_mem_open(&rig->config);
        assert_non_null(rig->store);
    } else {
        sp_err err = sp_store_sqlite_open(
            &(struct sp_store_sqlite_config){ .loop = rig->loop,
                                              .path = rig->path,
                                              .vfs = rig->vfs,
                                              .limit_bytes = rig->config.limit_bytes,
                                              .keep_events = rig->config.keep_events },
            &rig->store, rig->trouble);
        if (err)
            return err;
    }
    rig->client = sp_store_client_new(rig->store, rig->loop);
    assert_non_null(rig->client);
    return SP_OK;
}

static inline void rig_open(struct rig *rig)
{
    if (rig_try(rig))
        fail_msg("the store does not open: %s", rig->trouble);
}

static inline void mark_true(void *arg)
{
    *(bool *)arg = true;
}

static inline void turn_until(struct sp_loop *loop, const bool *done)
{
    for (int i = 0; i < 100000 && !*done; i++)
        sp_loop_turn(loop, 0);
    assert_true(*done);
}

static inline void rig_shut(struct rig *rig)
{
    bool closed = false;
    sp_store_client_close(rig->client, mark_true, &closed);
    turn_until(rig->loop, &closed);
    sp_store_free(rig->store);
    rig->store = NULL;
    rig->client = NULL;
}

static inline void rig_close(struct rig *rig)
{
    if (rig->store)
        rig_shut(rig);
    sp_loop_free(rig->loop);
    rig->loop = NULL;
}

/* ---- answers as text: "fine 7 put range 2 a=x@5" ---- */

static inline void write_kv(struct sp_buf *out, const struct sp_store_kv *kv)
{
    sp_buf_printf(out, " %.*s=%.*s@%llu,%llu,%llu,%llu", SP_STR_ARG(kv->key), SP_STR_ARG(kv->value),
                  (unsigned long long)kv->create_revision, (unsigned long long)kv->mod_revision,
                  (unsigned long long)kv->version, (unsigned long long)kv->lease);
}

static inline void write_answer(struct sp_buf *out, const struct sp_store_answer *answer)
{
    static const char *const ops[] = { "range", "put", "delete" };
    sp_buf_printf(out, "%s, revision %llu, compacted %llu%s", sp_store_why_words(answer->why),
                  (unsigned long long)answer->revision, (unsigned long long)answer->compacted,
                  answer->succeeded ? ", held" : "");
    for (uint32_t i = 0; i < answer->result_count; i++) {
        const struct sp_store_result *result = &answer->results[i];
        sp_buf_printf(out, "; %s %llu%s", ops[result->op], (unsigned long long)result->count,
                      result->more ? " more" : "");
        for (uint32_t k = 0; k < result->kv_count; k++)
            write_kv(out, result->kvs[k]);
    }
    if (answer->lease)
        sp_buf_printf(out, "; lease %llu ttl %u keys %llu", (unsigned long long)answer->lease, answer->ttl_s,
                      (unsigned long long)answer->lease_keys);
}

struct reply {
    bool done;
    enum sp_store_why why;
    uint64_t revision, compacted, count, lease;
    uint32_t left_s;
    bool succeeded;
    char text[4096];
};

static inline void on_reply(void *arg, const struct sp_store_answer *answer)
{
    struct reply *reply = arg;
    struct sp_buf text;
    assert_false(reply->done);
    assert_int_equal(answer->err, sp_store_why_err(answer->why));
    reply->done = true;
    reply->why = answer->why;
    reply->revision = answer->revision;
    reply->compacted = answer->compacted;
    reply->succeeded = answer->succeeded;
    reply->lease = answer->lease;
    reply->left_s = answer->left_s;
    reply->count = answer->result_count ? answer->results[0].count : 0;
    sp_buf_init_fixed(&text, reply->text, sizeof(reply->text));
    write_answer(&text, answer);
}

static inline struct sp_store_ask *ask_new(struct rig *rig)
{
    struct sp_store_ask *ask = sp_store_ask_new(rig->client);
    assert_non_null(ask);
    return ask;
}

/* Post it and turn until it is answered. */
static inline struct reply ask_wait(struct rig *rig, struct sp_store_ask *ask)
{
    struct reply reply = { 0 };
    sp_store_ask_post(ask, on_reply, &reply);
    turn_until(rig->loop, &reply.done);
    return reply;
}

static inline struct reply put(struct rig *rig, const char *key, const char *value, uint64_t lease)
{
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_put(ask, sp_str_c(key), sp_str_c(value), lease, false);
    return ask_wait(rig, ask);
}

static inline struct reply get(struct rig *rig, const char *key)
{
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_range(ask, &(struct sp_store_span){ .from = sp_str_c(key) }, 0, 0, false);
    return ask_wait(rig, ask);
}

static inline struct reply get_all(struct rig *rig, uint64_t revision)
{
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_range(ask, &(struct sp_store_span){ .kind = SP_STORE_PREFIX }, revision, 0, false);
    return ask_wait(rig, ask);
}

static inline struct reply del(struct rig *rig, const char *key)
{
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_delete(ask, &(struct sp_store_span){ .from = sp_str_c(key) }, false);
    return ask_wait(rig, ask);
}

static inline struct reply compact_to(struct rig *rig, uint64_t revision)
{
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_compact(ask, revision);
    return ask_wait(rig, ask);
}

static inline void expect(const struct reply *reply, const char *words)
{
    if (!strstr(reply->text, words))
        fail_msg("have \"%s\", want in it \"%s\"", reply->text, words);
}

#endif
