/* store_model: random histories of all that can be asked, against a model that is too simple to be wrong, and
 * both bodies: every answer is the same text, every watch is told exactly what the model says it must be.
 *
 * The model is a list of all changes ever, searched from its end. Asks are posted in groups, so that several
 * share a batch; watches sit on a loop of their own, which is turned rarely, so that they fall behind; stores
 * are closed and opened again; a watch that ended goes on, as a caller would, from what it was told last. */
#include "unit/store/disk.h"
#include "unit/store/help.h"

enum { CHANGES = 4096, LEASES = 6, WATCHES = 5, STEPS = 150, POSTED = 8, OPS = 4 };

struct change {
    char key[4], value[8];
    uint64_t created, revision, version, lease;
};

struct model {
    struct change changes[CHANGES];
    int count;
    uint64_t revision, compacted;
    bool leases[LEASES + 1];
    bool revoked[LEASES + 1];
    bool dirty; /* a change or a compaction, so that there is something to keep */
};

struct op {
    enum sp_store_op op;
    char from[4], to[4], value[8];
    enum sp_store_span_kind kind;
    uint64_t lease, revision, limit;
    bool flag; /* want_previous, count_only */
};

struct test {
    char key[4], value[8];
    enum sp_store_field field;
    enum sp_store_relation relation;
    uint64_t number;
};

enum kind { TXN, GRANT, REVOKE, LOOK, COMPACT, KINDS };

struct script {
    enum kind kind;
    struct test tests[2];
    int test_count;
    struct op ops[2][OPS];
    int op_count[2];
    uint64_t number;
};

/* ---- the model ---- */

static const struct change *newest(const struct model *m, const char *key, uint64_t revision)
{
    for (int i = m->count - 1; i >= 0; i--)
        if (m->changes[i].revision <= revision && strcmp(m->changes[i].key, key) == 0)
            return m->changes[i].version ? &m->changes[i] : NULL;
    return NULL;
}

static bool meant(enum sp_store_span_kind kind, const char *from, const char *to, const char *key)
{
    switch (kind) {
    case SP_STORE_ONE: return strcmp(key, from) == 0;
    case SP_STORE_PREFIX: return strncmp(key, from, strlen(from)) == 0;
    case SP_STORE_UNTIL: return strcmp(key, from) >= 0 && strcmp(key, to) < 0;
    case SP_STORE_ONWARD: return strcmp(key, from) >= 0;
    }
    return false;
}

/* All keys that there can be, in order: "a" "aa" "ab" ... "b" ... */
static const char letters[] = "abcd";
static bool next_key(char key[4])
{
    size_t len = strlen(key);
    if (len == 0 || (len == 1 && key[0])) {
        key[len] = 'a';
        key[len + 1] = 0;
        return true;
    }
    while (len && key[len - 1] == letters[3])
        key[--len] = 0;
    if (!len)
        return false;
    key[len - 1]++;
    return true;
}

static void write_change(struct sp_buf *out, const struct change *c)
{
    sp_buf_printf(out, " %s=%s@%llu,%llu,%llu,%llu", c->key, c->value, (unsigned long long)c->created,
                  (unsigned long long)c->revision, (unsigned long long)c->version,
                  (unsigned long long)c->lease);
}

static void add_change(struct model *m, const char *key, const char *value, uint64_t lease, bool deletion)
{
    assert_true(m->count < CHANGES);
    m->dirty = true;
    const struct change *before = newest(m, key, UINT64_MAX);
    struct change c = { .revision = m->revision + 1 };
    snprintf(c.key, sizeof(c.key), "%s", key);
    if (!deletion) {
        snprintf(c.value, sizeof(c.value), "%s", value);
        c.created = before ? before->created : c.revision;
        c.version = before ? before->version + 1 : 1;
        c.lease = lease;
    }
    m->changes[m->count++] = c;
}

static int64_t number_of(const struct change *c, enum sp_store_field field)
{
    if (!c)
        return 0;
    return (int64_t)(field == SP_STORE_VERSION    ? c->version
                     : field == SP_STORE_CREATED  ? c->created
                     : field == SP_STORE_MODIFIED ? c->revision
                                                  : c->lease);
}

static bool test_holds(const struct model *m, const struct test *t)
{
    const struct change *c = newest(m, t->key, UINT64_MAX);
    int64_t order;
    if (t->field == SP_STORE_VALUE) {
        if (!c)
            return false;
        order = strcmp(c->value, t->value);
    } else {
        order = number_of(c, t->field) - (int64_t)t->number;
    }
    return t->relation == SP_STORE_EQUAL       ? order == 0
           : t->relation == SP_STORE_DIFFERENT ? order != 0
           : t->relation == SP_STORE_GREATER   ? order > 0
                                               : order < 0;
}

static bool changes_twice(const struct op *ops, int count)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < count; k++) {
            const struct op *p = &ops[i], *d = &ops[k];
            if (i == k || p->op != SP_STORE_PUT || d->op == SP_STORE_RANGE)
                continue;
            if (d->op == SP_STORE_PUT ? strcmp(p->from, d->from) == 0
                                      : meant(d->kind, d->from, d->to, p->from))
                return true;
        }
    return false;
}

static enum sp_store_why check_ops(const struct model *m, const struct op *ops, int count)
{
    for (int i = 0; i < count; i++) {
        const struct op *op = &ops[i];
        if (op->op == SP_STORE_RANGE && op->revision > m->revision)
            return SP_STORE_FUTURE;
        if (op->op == SP_STORE_RANGE && op->revision && op->revision < m->compacted)
            return SP_STORE_COMPACTED;
        if (op->op == SP_STORE_PUT && op->lease && !m->leases[op->lease])
            return SP_STORE_NO_LEASE;
    }
    return SP_STORE_FINE;
}

static void model_op(struct model *m, const struct op *op, struct sp_buf *out)
{
    static const char *const names[] = { "range", "put", "delete" };
    struct sp_buf kvs;
    uint64_t count = 0, shown = 0;
    char key[4] = "";
    sp_buf_init(&kvs, 0);
    if (op->op == SP_STORE_PUT) {
        const struct change *before = newest(m, op->from, UINT64_MAX);
        if (before && op->flag)
            write_change(&kvs, before);
        add_change(m, op->from, op->value, op->lease, false);
    }
    while (op->op != SP_STORE_PUT && next_key(key)) {
        const struct change *c = newest(m, key,
                                        op->op == SP_STORE_RANGE && op->revision ? op->revision : UINT64_MAX);
        if (!c || !meant(op->kind, op->from, op->to, key))
            continue;
        count++;
        if (op->op == SP_STORE_DELETE && op->flag)
            write_change(&kvs, c);
        if (op->op == SP_STORE_RANGE && !op->flag && (!op->limit || shown < op->limit)) {
            write_change(&kvs, c);
            shown++;
        }
        if (op->op == SP_STORE_DELETE)
            add_change(m, key, "", 0, true);
    }
    bool more = op->op == SP_STORE_RANGE && !op->flag && shown < count;
    sp_buf_printf(out, "; %s %llu%s", names[op->op], (unsigned long long)count, more ? " more" : "");
    sp_buf_add_str(out, sp_buf_str(&kvs));
    sp_buf_deinit(&kvs);
}

static enum sp_store_why model_txn(struct model *m, const struct script *s, bool *held, struct sp_buf *out)
{
    if (changes_twice(s->ops[0], s->op_count[0]) || changes_twice(s->ops[1], s->op_count[1]))
        return SP_STORE_TWICE;
    *held = true;
    for (int i = 0; i < s->test_count; i++)
        *held = *held && test_holds(m, &s->tests[i]);
    const struct op *ops = s->ops[!*held];
    int count = s->op_count[!*held], before = m->count;
    enum sp_store_why why = check_ops(m, ops, count);
    *held = *held && !why;
    for (int i = 0; !why && i < count; i++)
        model_op(m, &ops[i], out);
    m->revision += m->count > before;
    return why;
}

static uint64_t keys_of(const struct model *m, uint64_t lease)
{
    uint64_t count = 0;
    char key[4] = "";
    while (next_key(key)) {
        const struct change *c = newest(m, key, UINT64_MAX);
        count += c && c->lease == lease;
    }
    return count;
}

static enum sp_store_why model_revoke(struct model *m, uint64_t id, struct sp_buf *out)
{
    uint64_t count = keys_of(m, id);
    int before = m->count;
    char key[4] = "";
    sp_buf_printf(out, "; lease %llu ttl 1000 keys %llu", (unsigned long long)id, (unsigned long long)count);
    while (next_key(key)) {
        const struct change *c = newest(m, key, UINT64_MAX);
        if (c && c->lease == id)
            add_change(m, key, "", 0, true);
    }
    m->revision += m->count > before;
    m->leases[id] = false;
    m->revoked[id] = true;
    return SP_STORE_FINE;
}

static enum sp_store_why model_other(struct model *m, const struct script *s, struct sp_buf *out)
{
    uint64_t id = s->number;
    if (s->kind == COMPACT) {
        if (id > m->revision)
            return SP_STORE_FUTURE;
        if (id <= m->compacted)
            return SP_STORE_COMPACTED;
        m->compacted = id;
        m->dirty = true;
        return SP_STORE_FINE;
    }
    if (s->kind == GRANT) {
        if (m->leases[id])
            return SP_STORE_LEASE_TAKEN;
        m->leases[id] = true;
        sp_buf_printf(out, "; lease %llu ttl 1000 keys 0", (unsigned long long)id);
        return SP_STORE_FINE;
    }
    if (!m->leases[id])
        return SP_STORE_NO_LEASE;
    if (s->kind == REVOKE)
        return model_revoke(m, id, out);
    sp_buf_printf(out, "; lease %llu ttl 1000 keys %llu", (unsigned long long)id,
                  (unsigned long long)keys_of(m, id));
    return SP_STORE_FINE;
}

/* The answer as help.h would write it. */
static void model_run(struct model *m, const struct script *s, struct sp_buf *out)
{
    struct sp_buf results;
    bool held = false;
    sp_buf_init(&results, 0);
    enum sp_store_why why = s->kind == TXN ? model_txn(m, s, &held, &results) : model_other(m, s, &results);
    sp_buf_printf(out, "%s, revision %llu, compacted %llu%s", sp_store_why_words(why),
                  (unsigned long long)m->revision, (unsigned long long)m->compacted, held ? ", held" : "");
    sp_buf_add_str(out, sp_buf_str(&results));
    sp_buf_deinit(&results);
}

/* Why the ask is refused, while nothing can be kept; FINE: it only reads, and is answered as ever. */
static enum sp_store_why model_full(const struct model *m, const struct script *s)
{
    bool held = true;
    if (s->kind == COMPACT)
        return s->number > m->revision     ? SP_STORE_FUTURE
               : s->number <= m->compacted ? SP_STORE_COMPACTED
                                           : SP_STORE_DISK_FULL;
    if (s->kind != TXN)
        return s->kind == LOOK ? SP_STORE_FINE : SP_STORE_DISK_FULL;
    if (changes_twice(s->ops[0], s->op_count[0]) || changes_twice(s->ops[1], s->op_count[1]))
        return SP_STORE_TWICE;
    for (int i = 0; i < s->test_count; i++)
        held = held && test_holds(m, &s->tests[i]);
    for (int i = 0; i < s->op_count[!held]; i++) {
        const struct op *op = &s->ops[!held][i];
        if (op->op != SP_STORE_RANGE)
            return SP_STORE_DISK_FULL;
        enum sp_store_why why = check_ops(m, op, 1);
        if (why)
            return why;
    }
    return SP_STORE_FINE;
}

/* Is there something to keep? A lease that was granted and revoked at once leaves nothing. */
static bool is_dirty(const struct model *before, const struct model *after)
{
    bool dirty = after->dirty;
    for (int id = 1; id <= LEASES; id++)
        dirty |= before->leases[id] ? after->revoked[id] : after->leases[id];
    return dirty;
}

/* A group of asks in one batch, on a disk that is full: if it holds a change, it is as if it had held none.
 * */
static void model_group(struct model *m, const struct script *scripts, uint64_t count, bool full,
                        struct sp_buf *out)
{
    struct model *changed = malloc(sizeof(*changed));
    *changed = *m;
    changed->dirty = false;
    memset(changed->revoked, 0, sizeof(changed->revoked));
    for (uint64_t i = 0; i < count; i++)
        model_run(changed, &scripts[i], &out[i]);
    bool kept = !full || !is_dirty(m, changed);
    if (kept)
        *m = *changed;
    for (uint64_t i = 0; !kept && i < count; i++) {
        enum sp_store_why why = model_full(m, &scripts[i]);
        sp_buf_reset(&out[i]);
        if (why)
            sp_buf_printf(&out[i], "%s, revision %llu, compacted %llu", sp_store_why_words(why),
                          (unsigned long long)m->revision, (unsigned long long)m->compacted);
        else
            model_run(m, &scripts[i], &out[i]);
    }
    free(changed);
}

/* ---- random scripts ---- */

static void random_key(struct sp_rng *rng, char key[4])
{
    size_t len = 1 + sp_rng_below(rng, 2);
    for (size_t i = 0; i < len; i++)
        key[i] = letters[sp_rng_below(rng, 4)];
    key[len] = 0;
}

static void random_op(struct sp_rng *rng, const struct model *m, struct op *op)
{
    *op = (struct op){ .op = (enum sp_store_op)sp_rng_below(rng, 3), .flag = sp_rng_chance(rng, 500) };
    if (sp_rng_chance(rng, 300))
        op->op = SP_STORE_PUT;
    op->kind = sp_rng_chance(rng, 500) ? SP_STORE_ONE : (enum sp_store_span_kind)sp_rng_below(rng, 4);
    random_key(rng, op->from);
    random_key(rng, op->to);
    snprintf(op->value, sizeof(op->value), "%u", (unsigned)sp_rng_below(rng, 10));
    if (op->op == SP_STORE_PUT && sp_rng_chance(rng, 300))
        op->lease = 1 + sp_rng_below(rng, LEASES);
    if (op->op == SP_STORE_RANGE) {
        op->revision = sp_rng_chance(rng, 300) ? sp_rng_below(rng, m->revision + 3) : 0;
        op->limit = sp_rng_below(rng, 4);
        op->flag = sp_rng_chance(rng, 200);
    }
}

static void random_script(struct sp_rng *rng, const struct model *m, struct script *s)
{
    static const enum kind kinds[] = { TXN, TXN, TXN, TXN, TXN, TXN, GRANT, GRANT, LOOK, REVOKE };
    *s = (struct script){ .kind = kinds[sp_rng_below(rng, SP_COUNTOF(kinds))] };
    if (sp_rng_chance(rng, 20))
        s->kind = COMPACT;
    s->number = s->kind == COMPACT ? m->revision + 2 - sp_rng_below(rng, SP_MIN(m->revision, 20) + 2)
                                   : 1 + sp_rng_below(rng, LEASES);
    s->test_count = (int)sp_rng_below(rng, 3);
    for (int i = 0; i < s->test_count; i++) {
        struct test *t = &s->tests[i];
        random_key(rng, t->key);
        t->field = (enum sp_store_field)sp_rng_below(rng, 5);
        t->relation = (enum sp_store_relation)sp_rng_below(rng, 4);
        t->number = sp_rng_chance(rng, 400) ? 0 : sp_rng_below(rng, m->revision + 2);
        snprintf(t->value, sizeof(t->value), "%u", (unsigned)sp_rng_below(rng, 10));
    }
    for (int b = 0; b < 2; b++) {
        s->op_count[b] = (int)sp_rng_below(rng, OPS + 1);
        for (int i = 0; i < s->op_count[b]; i++)
            random_op(rng, m, &s->ops[b][i]);
    }
}

static struct sp_store_ask *script_ask(struct rig *rig, const struct script *s)
{
    struct sp_store_ask *ask = ask_new(rig);
    switch (s->kind) {
    case GRANT: sp_store_ask_grant(ask, s->number, 1000); return ask;
    case REVOKE: sp_store_ask_revoke(ask, s->number); return ask;
    case LOOK: sp_store_ask_lease(ask, s->number); return ask;
    case COMPACT: sp_store_ask_compact(ask, s->number); return ask;
    case TXN:
    case KINDS: break;
    }
    for (int i = 0; i < s->test_count; i++) {
        const struct test *t = &s->tests[i];
        if (t->field == SP_STORE_VALUE)
            sp_store_ask_if_value(ask, sp_str_c(t->key), t->relation, sp_str_c(t->value));
        else
            sp_store_ask_if(ask, sp_str_c(t->key), t->field, t->relation, t->number);
    }
    for (int b = 0; b < 2; b++) {
        if (b)
            sp_store_ask_else(ask);
        for (int i = 0; i < s->op_count[b]; i++) {
            const struct op *op = &s->ops[b][i];
            struct sp_store_span span = { sp_str_c(op->from), sp_str_c(op->to), op->kind };
            switch (op->op) {
            case SP_STORE_PUT:
                sp_store_ask_put(ask, sp_str_c(op->from), sp_str_c(op->value), op->lease, op->flag);
                break;
            case SP_STORE_DELETE: sp_store_ask_delete(ask, &span, op->flag); break;
            case SP_STORE_RANGE: sp_store_ask_range(ask, &span, op->revision, op->limit, op->flag); break;
            }
        }
    }
    return ask;
}

/* ---- watches ---- */

struct run;

struct watched {
    struct run *run;
    struct sp_store_watch *watch;
    char from[4], to[4];
    enum sp_store_span_kind kind;
    bool previous, ended;
    uint64_t next; /* the first revision that it has not been told */
    uint64_t batches, events;
};

struct run {
    struct model model;
    struct rig rig;
    struct sp_loop *slow; /* of the watches */
    struct sp_store_client *watcher;
    struct watched watches[WATCHES];
    uint64_t seed;
    struct disk *disk; /* NULL: it is never full */
    uint64_t full;     /* groups that met a full disk */
};

/* What the model says that a watch is told from revision `next` up to `upto`. */
static void expected(const struct watched *w, uint64_t next, uint64_t upto, struct sp_buf *out)
{
    const struct model *m = &w->run->model;
    for (int i = 0; i < m->count; i++) {
        const struct change *c = &m->changes[i];
        if (c->revision < next || c->revision > upto || !meant(w->kind, w->from, w->to, c->key))
            continue;
        write_change(out, c);
        const struct change *before = newest(m, c->key, c->revision - 1);
        if (w->previous && before) {
            sp_buf_add_c(out, " was");
            write_change(out, before);
        }
    }
}

static void check_batch(void *arg, const struct sp_store_batch *batch)
{
    struct watched *w = arg;
    struct sp_buf have, want;
    sp_buf_init(&have, 0);
    sp_buf_init(&want, 0);
    for (uint32_t i = 0; i < batch->count; i++) {
        write_kv(&have, batch->events[i].kv);
        if (batch->events[i].previous) {
            sp_buf_add_c(&have, " was");
            write_kv(&have, batch->events[i].previous);
        }
    }
    expected(w, w->next, batch->revision, &want);
    if (batch->revision + 1 < w->next || !sp_str_eq(sp_buf_str(&have), sp_buf_str(&want)))
        fail_msg("SAMPAN_SEED=%llu: from %llu to %llu a watch is told \"%.*s\", the model says \"%.*s\"",
                 (unsigned long long)w->run->seed, (unsigned long long)w->next,
                 (unsigned long long)batch->revision, SP_STR_ARG(sp_buf_str(&have)),
                 SP_STR_ARG(sp_buf_str(&want)));
    w->next = batch->revision + 1;
    w->batches++;
    w->events += batch->count;
    sp_buf_deinit(&have);
    sp_buf_deinit(&want);
}

static void check_end(void *arg, enum sp_store_why why, uint64_t compacted)
{
    struct watched *w = arg;
    assert_int_equal(why, SP_STORE_COMPACTED);
    if (compacted > w->run->model.compacted || w->next > compacted)
        fail_msg("SAMPAN_SEED=%llu: a watch at %llu ended, compacted to %llu",
                 (unsigned long long)w->run->seed, (unsigned long long)w->next,
                 (unsigned long long)compacted);
    w->ended = true;
}

static void watch_open(struct watched *w)
{
    struct sp_store_watch_config config = { .span = { sp_str_c(w->from), sp_str_c(w->to), w->kind },
                                            .from = w->next,
                                            .want_previous = w->previous,
                                            .on_batch = check_batch,
                                            .on_end = check_end,
                                            .arg = w };
    w->ended = false;
    w->watch = sp_store_watch_open(w->run->watcher, &config);
    assert_non_null(w->watch);
}

static void watch_random(struct run *run, struct watched *w, struct sp_rng *rng)
{
    if (w->watch)
        sp_store_watch_close(w->watch);
    if (!w->watch || sp_rng_chance(rng, 300)) {
        random_key(rng, w->from);
        random_key(rng, w->to);
        if (sp_rng_chance(rng, 300))
            w->from[0] = 0;
        w->kind = (enum sp_store_span_kind)(1 + sp_rng_below(rng, 3));
        w->previous = sp_rng_chance(rng, 500);
        w->next = 1 + sp_rng_below(rng, run->model.revision + 3);
    } else if (w->ended) { /* as the face says: read anew, and go on behind that */
        w->next = run->model.revision + 1;
    }
    watch_open(w);
}

static void turn_all(struct run *run, int turns)
{
    for (int i = 0; i < turns; i++) {
        sp_loop_turn(run->rig.loop, 0);
        sp_loop_turn(run->slow, 0);
    }
}

/* With nothing under way, every watch has been told all that there is. */
static void check_told(struct run *run)
{
    turn_all(run, 6);
    for (int i = 0; i < WATCHES; i++) {
        struct watched *w = &run->watches[i];
        struct sp_buf missing;
        if (!w->watch || w->ended)
            continue;
        sp_buf_init(&missing, 0);
        expected(w, w->next, UINT64_MAX, &missing);
        if (missing.len)
            fail_msg("SAMPAN_SEED=%llu: a watch at %llu misses \"%.*s\"", (unsigned long long)run->seed,
                     (unsigned long long)w->next, SP_STR_ARG(sp_buf_str(&missing)));
        sp_buf_deinit(&missing);
    }
}

/* ---- a run ---- */

static void open_all(struct run *run)
{
    rig_open(&run->rig);
    run->watcher = sp_store_client_new(run->rig.store, run->slow);
    assert_non_null(run->watcher);
    for (int i = 0; i < WATCHES; i++)
        if (run->watches[i].watch)
            watch_open(&run->watches[i]);
}

static void shut_all(struct run *run)
{
    bool closed = false;
    sp_store_client_close(run->watcher, mark_true, &closed);
    for (int i = 0; i < 1000 && !closed; i++)
        turn_all(run, 1);
    assert_true(closed);
    rig_shut(&run->rig);
}

static void ask_group(struct run *run, struct sp_rng *rng)
{
    static struct reply replies[POSTED];
    struct script scripts[POSTED];
    struct sp_buf want[POSTED];
    uint64_t count = 1 + sp_rng_below(rng, POSTED);
    bool full = run->disk && sp_rng_chance(rng, 250);
    for (int i = 0; full && i < 4; i++) /* nothing that is under way, and no sweep, meets it */
        sp_loop_turn(run->rig.loop, 0);
    for (uint64_t i = 0; i < count; i++) {
        random_script(rng, &run->model, &scripts[i]);
        sp_buf_init(&want[i], 0);
        replies[i] = (struct reply){ 0 };
        sp_store_ask_post(script_ask(&run->rig, &scripts[i]), on_reply, &replies[i]);
    }
    model_group(&run->model, scripts, count, full, want);
    if (full)
        run->disk->room = 0;
    run->full += full;
    for (uint64_t i = 0; i < count; i++) {
        turn_until(run->rig.loop, &replies[i].done);
        if (!sp_str_eq(sp_str_c(replies[i].text), sp_buf_str(&want[i])))
            fail_msg("SAMPAN_SEED=%llu: the store says \"%s\", the model \"%.*s\"",
                     (unsigned long long)run->seed, replies[i].text, SP_STR_ARG(sp_buf_str(&want[i])));
        sp_buf_deinit(&want[i]);
    }
    if (full)
        run->disk->room = -1;
}

static void run_history(uint64_t seed, const char *path, struct disk *disk)
{
    struct run *run = calloc(1, sizeof(*run));
    struct sp_rng rng;
    uint64_t before = sp_mem_live_blocks(), batches = 0, events = 0;
    sp_rng_init(&rng, seed);
    run->seed = seed;
    run->rig.path = path;
    run->rig.vfs = disk ? "disk" : NULL;
    run->disk = disk;
    run->slow = sp_loop_new(&(struct sp_loop_config){ .seed = 2 });
    for (int i = 0; i < WATCHES; i++)
        run->watches[i].run = run;
    open_all(run);
    for (int step = 0; step < STEPS; step++) {
        ask_group(run, &rng);
        if (sp_rng_chance(&rng, 200))
            watch_random(run, &run->watches[sp_rng_below(&rng, WATCHES)], &rng);
        if (sp_rng_chance(&rng, 150))
            sp_loop_turn(run->slow, 0);
        if (sp_rng_chance(&rng, 50))
            check_told(run);
        if (path && sp_rng_chance(&rng, 40)) {
            shut_all(run);
            open_all(run);
        }
    }
    check_told(run);
    for (int i = 0; i < WATCHES; i++) {
        batches += run->watches[i].batches;
        events += run->watches[i].events;
    }
    assert_true(!disk || run->full > 10);
    assert_true(batches > 5 && events > 5 && run->model.revision > 100 && run->model.compacted > 0);
    shut_all(run);
    rig_close(&run->rig);
    sp_loop_free(run->slow);
    assert_int_equal(sp_mem_live_blocks(), before);
    free(run);
}

static void run_mem(uint64_t seed)
{
    run_history(seed, NULL, NULL);
}

static void run_sqlite(uint64_t seed)
{
    struct place place;
    place_make(&place);
    run_history(seed, place.file, NULL);
    place_remove(&place);
}

static void run_full(uint64_t seed)
{
    struct place place;
    struct disk *disk = malloc(sizeof(*disk));
    disk_init(disk);
    place_make(&place);
    run_history(seed, place.file, disk);
    place_remove(&place);
    disk_deinit(disk);
    free(disk);
}

static void random_histories_in_memory_answer_as_the_model_does(void **state)
{
    each_seed(40, run_mem);
}

static void random_histories_on_a_disk_answer_as_the_model_does(void **state)
{
    each_seed(4, run_sqlite);
}

static void random_histories_on_a_disk_that_is_full_at_times_answer_as_the_model_does(void **state)
{
    each_seed(12, run_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_in_memory_answer_as_the_model_does),
        cmocka_unit_test(random_histories_on_a_disk_answer_as_the_model_does),
        cmocka_unit_test(random_histories_on_a_disk_that_is_full_at_times_answer_as_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
