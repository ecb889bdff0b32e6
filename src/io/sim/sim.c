/* sim: a world that can be run again. Machines, loops and connections are data of one thread; time is a
 * number; whatever could happen one way or another is drawn from one seed. So a run is a function of its
 * seed, and a fault that was met once is met again, under a debugger, as often as one likes.
 *
 * What runs here is the code that production runs: the common layer of the loop with its turns, timers,
 * pauses and pumps, and everything above it. Only what epoll.c and net.c ask of the kernel is made up.
 *
 *      step:  what is due by now happens ──> one loop, drawn from those that have work, takes a turn
 *               │                              │ its readiness in a drawn order, perhaps only a part of it
 *               │ nobody has: time jumps       │ it is busy for some microseconds; others may run meanwhile
 *               └──────────────<───────────────┘
 *
 * So loops interleave as processes on many cores do, not in a fixed round. A paused loop (a process that gets
 * no processor for a while) is one whose turn takes long.
 *
 * Under AddressSanitizer the slab that the next read lands in is poisoned between reads: a view that is used
 * after its bytes have been given away is reported, where production would read another connection's bytes.
 *
 * What is not modelled: packets (a delivery is a piece of the stream, in order), congestion, the kernel's own
 * memory. What TCP does to a program at its ends is: see end.c and listen.c. */
#include "io/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/poison.h"
#include "io/sim/sim_impl.h"

#define BEGINNING (1000 * SP_NS_PER_S)          /* no clock stands at 0 */
#define WALL_AT_0 (1767225600ull * SP_NS_PER_S) /* 2026-01-01 */
enum { TURN_US = 20, BATCH_CHANCE = 250, BATCH_MOST = 4, ALLOCATIONS = 20 };

/* --- chance and record ---------------------------------------------------------------------------------- */

void sp_sim_note(struct sp_sim *sim, const char *what, uint64_t serial, uint64_t a, uint64_t b)
{
    uint64_t h = sim->digest;
    const uint64_t words[] = { sim->now, (uint64_t)(unsigned char)what[0] << 8 | (unsigned char)what[1],
                               serial, a, b };
    for (unsigned i = 0; i < SP_COUNTOF(words); i++) {
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    sim->digest = h;
    if (SP_UNLIKELY(sim->on_line != NULL)) {
        char line[160];
        snprintf(line, sizeof(line), "%12.6f ms  %-8s cx %-4llu %llu %llu",
                 (double)(sim->now - BEGINNING) / 1e6, what, (unsigned long long)serial,
                 (unsigned long long)a, (unsigned long long)b);
        sim->on_line(sim->trace_arg, line);
    }
}

bool sp_sim_chance(struct sp_sim *sim, uint32_t permille, uint64_t *counter)
{
    if (permille == 0 || !sp_rng_chance(&sim->rng, permille))
        return false;
    (*counter)++;
    return true;
}

sp_ns sp_sim_delay(struct sp_sim *sim)
{
    const struct sp_sim_faults *f = &sim->faults;
    return f->delay_min +
           (f->delay_max > f->delay_min ? sp_rng_below(&sim->rng, f->delay_max - f->delay_min + 1) : 0);
}

/* --- memory --------------------------------------------------------------------------------------------- */

void sp_sim_fail_memory(struct sp_loop *loop, uint32_t permille)
{
    sp_sim_loop_of(loop)->fail_memory = permille;
}

/* The one that is to fail is none of the world's: what was allocated so far counts, and then nothing, until
 * alarm_again. */
static void calm(struct sp_sim *sim)
{
    if (!sim->fail_at)
        return;
    uint64_t made = sp_mem_fail_at(0);
    sim->fail_at = made >= sim->fail_at ? 0 : sim->fail_at - made;
}

static void alarm_again(struct sp_sim *sim)
{
    if (sim->fail_at)
        (void)sp_mem_fail_at(sim->fail_at); /* none were made meanwhile that count */
}

void *sp_sim_alloc(struct sp_sim *sim, size_t bytes)
{
    calm(sim);
    void *ptr = sp_mem_zalloc(bytes);
    SP_ASSERT(ptr);
    alarm_again(sim);
    return ptr;
}

/* --- what will happen ----------------------------------------------------------------------------------- */

void sp_sim_at(struct sp_sim *sim, struct sp_sim_event *event, sp_ns at)
{
    sp_err err = 0;
    calm(sim);
    if (event->node.place)
        sp_heap_rekey(&sim->due, &event->node, at);
    else
        err = sp_heap_insert(&sim->due, &event->node, at);
    SP_ASSERT(!err);
    alarm_again(sim);
}

void sp_sim_not(struct sp_sim *sim, struct sp_sim_event *event)
{
    sp_heap_remove(&sim->due, &event->node);
}

static void happen(struct sp_sim *sim)
{
    struct sp_heap_node *node;
    while ((node = sp_heap_first(&sim->due)) && node->key <= sim->now) {
        sp_heap_remove(&sim->due, node);
        struct sp_sim_event *event = SP_CONTAINER(node, struct sp_sim_event, node);
        event->on_due(event);
    }
}

static sp_ns next_event(const struct sp_sim *sim)
{
    const struct sp_heap_node *node = sp_heap_first(&sim->due);
    return node ? node->key : SP_FOREVER;
}

/* --- the body: clock and wait --------------------------------------------------------------------------- */

static sp_ns sim_clock(const struct sp_loop *loop)
{
    return sp_sim_loop_of(loop)->sim->now;
}

static uint64_t sim_wall(const struct sp_loop *loop)
{
    return WALL_AT_0 + sp_sim_loop_of(loop)->sim->now;
}

static void sim_wake(struct sp_loop *loop)
{
    (void)loop; /* one thread: nobody sleeps; sp_loop_due sees what there is to do */
}

/* Is something ready? Takes off the list what is not. */
static bool has_ready(struct sp_sim_loop *l)
{
    while (!sp_list_is_empty(&l->ready)) {
        struct sp_sim_file *file = SP_CONTAINER(l->ready.next, struct sp_sim_file, ready_link);
        if (sp_sim_file_ready(file))
            return true;
        sp_list_remove(&file->ready_link);
    }
    return false;
}

/* What nobody holds of a spare slab. */
static void hide(const struct sp_slab *slab)
{
    uint32_t held = slab && slab->refs > 1 ? slab->used : 0;
    if (slab)
        SP_POISON(slab->bytes + held, slab->cap - held);
}

/* Say what is ready, in a drawn order. */
static void say_ready(struct sp_sim_loop *l)
{
    struct sp_sim *sim = l->sim;
    struct sp_list batch, *link;
    sp_list_init(&batch);
    while ((link = sp_list_pop_first(&l->ready)))
        sp_list_insert(sp_rng_chance(&sim->rng, 500) ? &batch : batch.next, link);

    uint64_t most = sp_rng_chance(&sim->rng, BATCH_CHANCE) ? 1 + sp_rng_below(&sim->rng, BATCH_MOST)
                                                           : UINT64_MAX;
    while ((link = sp_list_pop_first(&batch))) {
        struct sp_sim_file *file = SP_CONTAINER(link, struct sp_sim_file, ready_link);
        uint32_t ready = sp_sim_file_ready(file);
        if (!ready)
            continue;
        sp_list_push(&l->ready, link); /* a level: said again until it is gone */
        if (most == 0)
            continue;
        most--;
        l->loop.view.events++;
        if (file->kind == SP_SIM_END)
            sp_sock_ready(SP_CONTAINER(file, struct sp_sim_end, file)->sock, ready);
        else
            sp_acceptor_ready(SP_CONTAINER(file, struct sp_sim_listener, file)->acceptor);
        hide(l->loop.spare_read);
        hide(l->loop.spare_large);
    }
}

/* By sp_sim_step a loop takes its turns with at_most 0. A test that turns one loop by hand may wait: then the
 * world goes on without the other loops until something is ready here. */
static void sim_wait(struct sp_loop *loop, sp_ns at_most)
{
    struct sp_sim_loop *l = sp_sim_loop_of(loop);
    struct sp_sim *sim = l->sim;
    sp_ns limit = at_most == SP_FOREVER ? SP_FOREVER : sim->now + at_most;
    happen(sim);
    while (at_most && !has_ready(l)) {
        sp_ns next = next_event(sim);
        SP_ASSERT(next != SP_FOREVER || limit != SP_FOREVER); /* it would sleep for ever */
        sim->now = SP_MAX(sim->now, SP_MIN(next, limit));
        if (next > limit)
            break;
        happen(sim);
    }
    loop->now = sim->now;
    sim->counts.turns++;
    say_ready(l);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

/* When the loop has something to do, as far as is known now. */
static sp_ns wants_at(struct sp_sim_loop *l)
{
    sp_ns at = has_ready(l) ? l->sim->now : sp_loop_due(&l->loop);
    return SP_MAX(at, l->free_at);
}

/* One of the loops that can run now, each with the same chance; else the instant at which one can. */
static struct sp_sim_loop *draw(struct sp_sim *sim, sp_ns *ret_next)
{
    struct sp_sim_loop *l, *drawn = NULL;
    uint64_t can = 0;
    *ret_next = SP_FOREVER;
    SP_LIST_EACH(&sim->loops, l, next, struct sp_sim_loop, link) {
        sp_ns at = wants_at(l);
        if (at > sim->now)
            *ret_next = SP_MIN(*ret_next, at);
        else if (sp_rng_below(&sim->rng, ++can) == 0)
            drawn = l;
    }
    return drawn;
}

static void take_turn(struct sp_sim_loop *l)
{
    struct sp_sim *sim = l->sim;
    sp_ns busy = SP_NS_PER_US * (1 + sp_rng_below(&sim->rng, TURN_US));
    if (sp_sim_chance(sim, sim->faults.pause, &sim->counts.pauses))
        busy += sp_rng_below(&sim->rng, sim->faults.pause_max ? sim->faults.pause_max : 20 * SP_NS_PER_MS);
    l->free_at = sim->now + busy;
    sp_sim_note(sim, "turn", 0, l->index, busy);
    if (sp_sim_chance(sim, l->fail_memory, &sim->counts.no_memory))
        sim->fail_at = 1 + sp_rng_below(&sim->rng, ALLOCATIONS);
    alarm_again(sim);
    sp_loop_turn(&l->loop, 0); /* the last use: it may end by its own hand */
    calm(sim);
    sim->fail_at = 0;
}

static bool step_until(struct sp_sim *sim, sp_ns until)
{
    for (;;) {
        sp_ns next;
        happen(sim);
        struct sp_sim_loop *l = draw(sim, &next);
        if (l) {
            take_turn(l);
            return true;
        }
        next = SP_MIN(next, next_event(sim));
        if (next > until || next == SP_FOREVER)
            return false;
        sim->now = next;
    }
}

bool sp_sim_step(struct sp_sim *sim)
{
    return step_until(sim, SP_FOREVER);
}

sp_ns sp_sim_run(struct sp_sim *sim, sp_ns until)
{
    while (sim->now <= until && step_until(sim, until))
        ;
    if (until != SP_FOREVER && sim->now < until)
        sim->now = until;
    return sim->now;
}

sp_ns sp_sim_now(const struct sp_sim *sim)
{
    return sim->now;
}

uint64_t sp_sim_digest(const struct sp_sim *sim)
{
    return sim->digest;
}

/* --- birth and death ------------------------------------------------------------------------------------ */

struct sp_sim *sp_sim_new(uint64_t seed)
{
    struct sp_sim *sim = sp_mem_zalloc(sizeof(*sim));
    if (!sim)
        return NULL;
    sim->now = BEGINNING;
    sp_rng_init(&sim->rng, seed);
    sp_heap_init(&sim->due);
    sp_list_init(&sim->loops);
    sp_list_init(&sim->machines);
    sp_list_init(&sim->cxs);
    sp_list_init(&sim->cuts);
    sp_list_init(&sim->names);
    return sim;
}

static void free_list(struct sp_list *head, size_t link_at)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(head)))
        sp_mem_free((char *)link - link_at);
}

void sp_sim_free(struct sp_sim *sim)
{
    if (!sim)
        return;
    while (!sp_list_is_empty(&sim->loops))
        sp_loop_free(&SP_CONTAINER(sim->loops.next, struct sp_sim_loop, link)->loop);
    while (!sp_list_is_empty(&sim->machines))
        sp_sim_machine_free(SP_CONTAINER(sim->machines.next, struct sp_sim_machine, link));
    SP_ASSERT(sp_list_is_empty(&sim->cxs));
    SP_ASSERT(!sp_heap_first(&sim->due));
    free_list(&sim->cuts, offsetof(struct sp_sim_cut, link));
    free_list(&sim->names, offsetof(struct sp_sim_name, link));
    sp_heap_deinit(&sim->due);
    sp_mem_free(sim);
}

static void sim_loop_free(struct sp_loop *loop)
{
    struct sp_sim_loop *l = sp_sim_loop_of(loop);
    SP_ASSERT(sp_wheel_next(&loop->wheel) == SP_FOREVER); /* a timer that nobody stopped */
    SP_ASSERT(!loop->mail);
    SP_ASSERT(sp_list_is_empty(&loop->turn_ends));
    SP_ASSERT(sp_list_is_empty(&l->ready));
    sp_loop_deinit(loop);
    sp_list_remove(&l->link);
    sp_mem_free(l);
}

void sp_sim_set_faults(struct sp_sim *sim, const struct sp_sim_faults *faults)
{
    sim->faults = *faults;
}

const struct sp_sim_counts *sp_sim_counts(const struct sp_sim *sim)
{
    return &sim->counts;
}

void sp_sim_set_trace(struct sp_sim *sim, void (*on_line)(void *arg, const char *line), void *arg)
{
    sim->on_line = on_line;
    sim->trace_arg = arg;
}

const struct sp_loop_body sp_sim_body = {
    .free = sim_loop_free,
    .clock = sim_clock,
    .wall = sim_wall,
    .wait = sim_wait,
    .wake = sim_wake,
    .open = sp_sim_open,
    .connect = sp_sim_connect,
    .connected = sp_sim_connected,
    .watch = sp_sim_watch,
    .recv = sp_sim_recv,
    .send = sp_sim_send,
    .error = sp_sim_error,
    .shutdown = sp_sim_shutdown,
    .close = sp_sim_close,
    .detach = sp_sim_detach,
    .addr = sp_sim_addr,
    .listen = sp_sim_listen,
    .acceptor_open = sp_sim_acceptor_open,
    .acceptor_watch = sp_sim_acceptor_watch,
    .accept = sp_sim_accept,
    .acceptor_close = sp_sim_acceptor_close,
    .acceptor_detach = sp_sim_acceptor_detach,
    .acceptor_addr = sp_sim_acceptor_addr,
    .splice = NULL,
    .dns = &sp_sim_dns,
};
