/* ledger: a row of operations that follows from a seed, and what a store must hold behind each of them.
 *
 * For tests in which a store dies: what is found afterwards must be what the first n operations leave, for an
 * n that is not below the number that was acknowledged and not above the number that was asked. All of it is
 * compared: the keys at every revision that is not compacted. */
#ifndef SP_TESTS_STORE_LEDGER_H
#define SP_TESTS_STORE_LEDGER_H

#include "unit/store/help.h"

enum { LEDGER_KEYS = 8, LEDGER_REVISIONS = 4096, LEDGER_KEEP = 6, LEDGER_VALUE = 24 };

struct ledger {
    uint64_t seed, done; /* operations that the values below follow from */
    uint64_t revision, compacted;
    struct {
        char value[LEDGER_VALUE];
        uint64_t created, modified, version;
    } keys[LEDGER_KEYS];
    char *texts[LEDGER_REVISIONS]; /* all keys, as help.h writes them, behind each revision */
};

struct ledger_op {
    uint64_t number;
    int put[2], deleted; /* keys, or -1 */
    bool compact;
};

static inline struct ledger_op ledger_op(uint64_t seed, uint64_t number)
{
    struct sp_rng rng;
    sp_rng_init(&rng, seed * 1000003 + number);
    struct ledger_op op = { .number = number, .put = { -1, -1 }, .deleted = -1 };
    uint64_t dice = sp_rng_below(&rng, 10);
    int key = (int)sp_rng_below(&rng, LEDGER_KEYS);
    if (dice == 0) {
        op.compact = true;
    } else if (dice == 1) {
        op.deleted = key;
    } else {
        op.put[0] = key;
        if (dice < 5)
            op.put[1] = (key + 1 + (int)sp_rng_below(&rng, LEDGER_KEYS - 1)) % LEDGER_KEYS;
    }
    return op;
}

static inline const char *ledger_key(int key)
{
    static const char *const names[LEDGER_KEYS] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    return names[key];
}

static inline void ledger_value(uint64_t number, char value[LEDGER_VALUE])
{
    snprintf(value, LEDGER_VALUE, "op-%llu", (unsigned long long)number);
}

/* The ask for it. A compaction goes to a revision that the ledger knows when it is asked. */
static inline struct sp_store_ask *ledger_ask(struct rig *rig, const struct ledger *ledger)
{
    struct ledger_op op = ledger_op(ledger->seed, ledger->done);
    struct sp_store_ask *ask = ask_new(rig);
    char value[LEDGER_VALUE];
    ledger_value(op.number, value);
    if (op.compact)
        sp_store_ask_compact(ask, ledger->revision > LEDGER_KEEP ? ledger->revision - LEDGER_KEEP : 0);
    if (op.deleted >= 0)
        sp_store_ask_delete(ask, &(struct sp_store_span){ .from = sp_str_c(ledger_key(op.deleted)) }, false);
    for (int i = 0; i < 2; i++)
        if (op.put[i] >= 0)
            sp_store_ask_put(ask, sp_str_c(ledger_key(op.put[i])), sp_str_c(value), 0, false);
    return ask;
}

static inline void ledger_write(struct ledger *ledger)
{
    struct sp_buf kvs, text;
    uint64_t count = 0;
    sp_buf_init(&kvs, 0);
    sp_buf_init(&text, 0);
    for (int i = 0; i < LEDGER_KEYS; i++)
        if (ledger->keys[i].version) {
            count++;
            sp_buf_printf(&kvs, " %s=%s@%llu,%llu,%llu,0", ledger_key(i), ledger->keys[i].value,
                          (unsigned long long)ledger->keys[i].created,
                          (unsigned long long)ledger->keys[i].modified,
                          (unsigned long long)ledger->keys[i].version);
        }
    sp_buf_printf(&text, "; range %llu%.*s", (unsigned long long)count, SP_STR_ARG(sp_buf_str(&kvs)));
    assert_true(ledger->revision < LEDGER_REVISIONS);
    free(ledger->texts[ledger->revision]);
    ledger->texts[ledger->revision] = strndup(text.ptr, text.len);
    sp_buf_deinit(&kvs);
    sp_buf_deinit(&text);
}

/* Carry out the next operation. */
static inline void ledger_step(struct ledger *ledger)
{
    struct ledger_op op = ledger_op(ledger->seed, ledger->done++);
    uint64_t next = ledger->revision + 1;
    if (op.compact && ledger->revision > LEDGER_KEEP && ledger->revision - LEDGER_KEEP > ledger->compacted)
        ledger->compacted = ledger->revision - LEDGER_KEEP;
    if (op.deleted >= 0 && ledger->keys[op.deleted].version) {
        memset(&ledger->keys[op.deleted], 0, sizeof(ledger->keys[0]));
        ledger->revision = next;
    }
    for (int i = 0; i < 2; i++)
        if (op.put[i] >= 0) {
            int key = op.put[i];
            ledger_value(op.number, ledger->keys[key].value);
            ledger->keys[key].modified = next;
            if (ledger->keys[key].version++ == 0)
                ledger->keys[key].created = next;
            ledger->revision = next;
        }
    ledger_write(ledger);
}

static inline void ledger_init(struct ledger *ledger, uint64_t seed)
{
    *ledger = (struct ledger){ .seed = seed };
    ledger_write(ledger);
}

static inline void ledger_deinit(struct ledger *ledger)
{
    for (int i = 0; i < LEDGER_REVISIONS; i++)
        free(ledger->texts[i]);
}

/* Go on to what the store holds, which must be the work of `least` to `most` operations. */
static inline void ledger_check(struct ledger *ledger, struct rig *rig, uint64_t least, uint64_t most)
{
    struct reply now = get_all(rig, 0);
    while (ledger->done < most &&
           (ledger->done < least || ledger->revision < now.revision || ledger->compacted < now.compacted))
        ledger_step(ledger);
    if (ledger->revision != now.revision || ledger->compacted != now.compacted)
        fail_msg(
            "SAMPAN_SEED=%llu: of %llu to %llu operations the ledger makes revision %llu compacted %llu, the "
            "store has %llu and %llu",
            (unsigned long long)ledger->seed, (unsigned long long)least, (unsigned long long)most,
            (unsigned long long)ledger->revision, (unsigned long long)ledger->compacted,
            (unsigned long long)now.revision, (unsigned long long)now.compacted);
    for (uint64_t revision = SP_MAX(ledger->compacted, 1); revision <= ledger->revision; revision++) {
        struct reply reply = get_all(rig, revision);
        const char *have = strstr(reply.text, "; range");
        if (!have || strcmp(have, ledger->texts[revision]) != 0)
            fail_msg("SAMPAN_SEED=%llu: at revision %llu the store has \"%s\", the ledger \"%s\"",
                     (unsigned long long)ledger->seed, (unsigned long long)revision, reply.text,
                     ledger->texts[revision]);
    }
}

#endif
