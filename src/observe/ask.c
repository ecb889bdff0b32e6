/* ask: one question to all workers, answered when all have spoken.
 *
 *      request ──► sp_ask_all ──► worker 0 ... worker n-1      (each on its own thread, into its own part)
 *                     │                 │
 *                     │  5 s: 503 ◄─────┤ on_part, one by one, on the main loop
 *                     └─────────────────┴──► on_done: the page
 *
 * Nothing waits: while the parts are out, the main loop serves other requests, so a page that needs no
 * worker (/ready) answers at once however busy the workers are. Who asks is told after five seconds that a
 * worker did not come back; half a sum would be worse, since counters that fall look like a restart. A
 * worker that has gone is not asked, and its figures are gone with it.
 *
 * The client may go, the door may close, the question stays until its last part is home, because a worker
 * may be writing into a part at any instant. So it is detached (call or admin is NULL) and freed at the
 * end. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "base/rng.h"
#include "io/loop.h"

#define LATE_NS (5 * SP_NS_PER_S)

static void finish(struct sp_ask_all *all)
{
    const struct sp_ask_kind *kind = all->kind;
    if (all->admin) {
        sp_timer_stop(all->admin->loop, &all->late);
        sp_list_remove(&all->link);
    }
    if (!all->call) {
        kind->free(all);
        return;
    }
    sp_http_on_gone(all->call, NULL, NULL);
    if (all->failed) {
        sp_http_answer(all->call, 503, NULL, SP_STR("memory is out\n"));
        kind->free(all);
        return;
    }
    kind->on_done(all);
}

static void on_gone(void *arg)
{
    struct sp_ask_all *all = arg;
    all->call = NULL;
}

static void on_late(struct sp_timer *timer)
{
    struct sp_ask_all *all = SP_CONTAINER(timer, struct sp_ask_all, late);
    struct sp_http_call *call = all->call;
    if (!call)
        return;
    char text[96];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, text, sizeof(text));
    sp_buf_printf(&buf, "%u of the workers did not answer within 5 seconds\n", all->out);
    all->call = NULL;
    sp_http_answer(call, 503, NULL, sp_buf_str(&buf));
}

static void on_worker(struct sp_worker *worker, void *arg)
{
    struct sp_ask_part *part = arg;
    part->all->kind->on_worker(worker, part);
}

static void on_then(void *arg)
{
    struct sp_ask_part *part = arg;
    struct sp_ask_all *all = part->all;
    if (all->admin && all->call)
        all->kind->on_part(all, part);
    all->kind->deinit_part(part);
    sp_mem_free(part);
    if (--all->out == 0)
        finish(all);
}

static void ask_one(struct sp_ask_all *all, uint32_t index)
{
    struct sp_admin *admin = all->admin;
    struct sp_ask_part *part = sp_mem_zalloc(all->kind->part_bytes);
    if (!part || !all->kind->init_part(part, all)) {
        all->failed = true; /* half a sum is no answer */
        sp_mem_free(part);
        return;
    }
    part->all = all;
    part->ops = admin->config.ops;
    all->out++;
    if (admin->config.ops->ask(admin->config.arg, index, on_worker, on_then, part))
        return;
    all->out--;
    all->kind->deinit_part(part);
    sp_mem_free(part);
}

void sp_ask_all(struct sp_admin *admin, struct sp_http_call *call, const struct sp_ask_kind *kind,
                struct sp_ask_all *all)
{
    all->admin = admin;
    all->call = call;
    all->kind = kind;
    all->late.on_fire = on_late;
    sp_list_push(&admin->asks, &all->link);
    sp_timer_set(admin->loop, &all->late, LATE_NS);
    sp_http_on_gone(call, on_gone, all);
    all->out = 1; /* ours, so that the last part does not end it while we still ask */
    for (uint32_t i = 0; i < admin->config.workers; i++)
        ask_one(all, i);
    if (--all->out == 0)
        finish(all);
}

/* ---- figures ---- */

struct gather_all {
    struct sp_ask_all all;
    struct sp_gather *whole;
    sp_gathered_fn done;
    bool raw;
};

struct gather_part {
    struct sp_ask_part part;
    struct sp_gather *gather;
};

static bool init_part(struct sp_ask_part *part, struct sp_ask_all *all)
{
    struct gather_part *p = SP_CONTAINER(part, struct gather_part, part);
    p->gather = sp_gather_new(sp_rng_next(sp_loop_rng(all->admin->loop)));
    return p->gather != NULL;
}

static void gather_worker(struct sp_worker *worker, struct sp_ask_part *part)
{
    sp_gather_worker(SP_CONTAINER(part, struct gather_part, part)->gather, worker, part->ops->walk);
}

static void add_part(struct sp_ask_all *all, struct sp_ask_part *part)
{
    static const struct sp_labels unknown;
    const struct sp_settings *settings = all->admin->config.settings;
    sp_gather_add(SP_CONTAINER(all, struct gather_all, all)->whole,
                  SP_CONTAINER(part, struct gather_part, part)->gather,
                  settings ? &settings->labels : &unknown);
}

static void deinit_part(struct sp_ask_part *part)
{
    sp_gather_free(SP_CONTAINER(part, struct gather_part, part)->gather);
}

static void free_all(struct sp_ask_all *all)
{
    struct gather_all *g = SP_CONTAINER(all, struct gather_all, all);
    sp_gather_free(g->whole);
    sp_mem_free(g);
}

static void on_done(struct sp_ask_all *all)
{
    struct gather_all *g = SP_CONTAINER(all, struct gather_all, all);
    struct sp_admin *admin = all->admin;
    if (g->whole->failed) {
        sp_http_answer(all->call, 503, NULL, SP_STR("memory is out\n"));
        free_all(all);
        return;
    }
    sp_gather_seal(g->whole);
    if (admin->base && !g->raw)
        sp_gather_subtract(g->whole, admin->base);
    g->done(admin, all->call, g->whole);
    sp_mem_free(g);
}

static const struct sp_ask_kind gather_kind = {
    .part_bytes = sizeof(struct gather_part),
    .init_part = init_part,
    .on_worker = gather_worker,
    .on_part = add_part,
    .deinit_part = deinit_part,
    .on_done = on_done,
    .free = free_all,
};

static void gather(struct sp_admin *admin, struct sp_http_call *call, sp_gathered_fn done, bool raw)
{
    struct gather_all *g = sp_mem_zalloc(sizeof(*g));
    struct sp_gather *whole = g ? sp_gather_new(sp_rng_next(sp_loop_rng(admin->loop))) : NULL;
    if (!whole) {
        sp_mem_free(g);
        sp_http_answer(call, 503, NULL, SP_STR("memory is out\n"));
        return;
    }
    g->whole = whole;
    g->done = done;
    g->raw = raw;
    sp_ask_all(admin, call, &gather_kind, &g->all);
}

void sp_admin_gather(struct sp_admin *admin, struct sp_http_call *call, sp_gathered_fn done)
{
    gather(admin, call, done, false);
}

void sp_admin_gather_raw(struct sp_admin *admin, struct sp_http_call *call, sp_gathered_fn done)
{
    gather(admin, call, done, true);
}
