/* timer: the wheel against a naive list of timers, on a clock that the test moves. */
#include "io/timer.h"

#include "base/rng.h"
#include "unit/io/help.h"

/* A body without sockets: the clock is a number. */
static sp_ns false_now;

static sp_ns false_clock(const struct sp_loop *loop)
{
    return false_now;
}

static void false_wait(struct sp_loop *loop, sp_ns at_most)
{
    loop->now = false_now;
}

static const struct sp_loop_body false_body = { .clock = false_clock, .wait = false_wait };

static void start(struct sp_loop *loop, sp_ns now)
{
    false_now = now;
    sp_loop_init(loop, &false_body, NULL, 1);
}

static void turn_at(struct sp_loop *loop, sp_ns now)
{
    false_now = now;
    sp_loop_turn(loop, 0);
}

struct probe {
    struct sp_timer timer;
    struct sp_loop *loop;
    uint32_t fired;
    sp_ns fired_at;
    sp_ns again; /* set again from the callback, with this delay */
    struct probe *stops;
};

static void on_probe(struct sp_timer *timer)
{
    struct probe *p = SP_CONTAINER(timer, struct probe, timer);
    assert_false(sp_timer_is_set(timer));
    p->fired++;
    p->fired_at = sp_loop_now(p->loop);
    if (p->again)
        sp_timer_set(p->loop, timer, p->again);
    if (p->stops)
        sp_timer_stop(p->loop, &p->stops->timer);
}

static void probe_set(struct sp_loop *loop, struct probe *p, sp_ns delay)
{
    p->loop = loop;
    p->timer.on_fire = on_probe;
    sp_timer_set(loop, &p->timer, delay);
}

static void a_timer_fires_once_and_never_early(void **state)
{
    struct sp_loop loop;
    struct probe p = { 0 };
    start(&loop, 12345678);
    probe_set(&loop, &p, 5 * SP_NS_PER_MS + 1);
    sp_ns due = 12345678 + 5 * SP_NS_PER_MS + 1;
    turn_at(&loop, due - 1);
    assert_int_equal(p.fired, 0);
    turn_at(&loop, due + SP_NS_PER_MS);
    assert_int_equal(p.fired, 1);
    turn_at(&loop, due + SP_NS_PER_S);
    assert_int_equal(p.fired, 1);
    sp_loop_deinit(&loop);
}

static void setting_again_moves_it_and_stopping_ends_it(void **state)
{
    struct sp_loop loop;
    struct probe p = { 0 };
    start(&loop, 0);
    probe_set(&loop, &p, 10 * SP_NS_PER_MS);
    probe_set(&loop, &p, 300 * SP_NS_PER_MS);
    assert_int_equal(sp_timer_left(&loop, &p.timer), 300 * SP_NS_PER_MS);
    turn_at(&loop, 200 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 0);
    assert_int_equal(sp_timer_left(&loop, &p.timer), 100 * SP_NS_PER_MS);
    sp_timer_stop(&loop, &p.timer);
    sp_timer_stop(&loop, &p.timer);
    assert_int_equal(sp_timer_left(&loop, &p.timer), 0);
    turn_at(&loop, 400 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 0);
    assert_int_equal(sp_loop_due(&loop), SP_FOREVER);
    sp_loop_deinit(&loop);
}

static void a_delay_of_nothing_fires_in_a_later_turn(void **state)
{
    struct sp_loop loop;
    struct probe p = { .again = 0 };
    start(&loop, 7 * SP_NS_PER_MS);
    probe_set(&loop, &p, 0);
    turn_at(&loop, 7 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 0);
    turn_at(&loop, 8 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 1);
    sp_loop_deinit(&loop);
}

static void one_that_sets_itself_again_does_not_hold_the_turn(void **state)
{
    struct sp_loop loop;
    struct probe p = { .again = 1 };
    start(&loop, 0);
    probe_set(&loop, &p, 1);
    turn_at(&loop, 1000 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 1);
    turn_at(&loop, 1001 * SP_NS_PER_MS);
    assert_int_equal(p.fired, 2);
    sp_timer_stop(&loop, &p.timer);
    sp_loop_deinit(&loop);
}

static void one_may_stop_another_that_is_due_in_the_same_tick(void **state)
{
    struct sp_loop loop;
    struct probe a = { 0 }, b = { 0 };
    a.stops = &b;
    start(&loop, 0);
    probe_set(&loop, &a, 3 * SP_NS_PER_MS);
    probe_set(&loop, &b, 3 * SP_NS_PER_MS);
    turn_at(&loop, 10 * SP_NS_PER_MS);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    sp_loop_deinit(&loop);
}

static void a_timer_for_ever_and_one_beyond_the_wheel_are_kept(void **state)
{
    struct sp_loop loop;
    struct probe never = { 0 }, far = { 0 };
    sp_ns far_ns = (3ull << 36) * SP_NS_PER_MS; /* six years */
    start(&loop, 99 * SP_NS_PER_S);
    probe_set(&loop, &never, UINT64_MAX);
    probe_set(&loop, &far, far_ns);
    for (int i = 0; i < 40 && !far.fired; i++) {
        assert_true(sp_loop_due(&loop) > false_now);
        turn_at(&loop, sp_loop_due(&loop));
    }
    assert_int_equal(far.fired, 1);
    assert_int_equal(far.fired_at, 99 * SP_NS_PER_S + far_ns);
    assert_int_equal(never.fired, 0);
    sp_timer_stop(&loop, &never.timer);
    sp_loop_deinit(&loop);
}

/* --- the property --------------------------------------------------------------------------------------- */

enum { TIMERS = 200, STEPS = 1500 };

struct model {
    struct probe probe;
    bool set;
    uint64_t tick; /* the one in which it must fire */
    struct world *world;
};

struct world {
    struct sp_loop loop;
    struct sp_rng rng;
    struct model timers[TIMERS];
    uint64_t seed, last_tick, fired;
};

#define check_seed(world, expr)                                                                              \
    do {                                                                                                     \
        if (!(expr))                                                                                         \
            fail_msg("seed %llu breaks %s", (unsigned long long)(world)->seed, #expr);                       \
    } while (0)

static sp_ns some_delay(struct sp_rng *rng)
{
    uint64_t bits = sp_rng_below(rng, 44);
    return sp_rng_next(rng) & ((1ull << bits) - 1);
}

static void model_set(struct world *w, struct model *m, sp_ns delay)
{
    sp_timer_set(&w->loop, &m->probe.timer, delay);
    sp_ns due = w->loop.now + delay;
    uint64_t tick = (due + SP_NS_PER_MS - 1) / SP_NS_PER_MS, now_tick = w->loop.now / SP_NS_PER_MS;
    m->tick = tick > now_tick ? tick : now_tick + 1;
    m->set = true;
}

static void model_stop(struct world *w, struct model *m)
{
    sp_timer_stop(&w->loop, &m->probe.timer);
    m->set = false;
}

static void on_model(struct sp_timer *timer)
{
    struct model *m = SP_CONTAINER(timer, struct model, probe.timer);
    struct world *w = m->world;
    check_seed(w, m->set);
    check_seed(w, m->tick <= w->loop.now / SP_NS_PER_MS);
    check_seed(w, m->tick >= w->last_tick); /* in the order of their ticks */
    w->last_tick = m->tick;
    m->set = false;
    w->fired++;
    if (sp_rng_chance(&w->rng, 200))
        model_set(w, m, some_delay(&w->rng));
    if (sp_rng_chance(&w->rng, 200))
        model_stop(w, &w->timers[sp_rng_below(&w->rng, TIMERS)]);
}

static uint64_t first_tick(const struct world *w)
{
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (w->timers[i].set && w->timers[i].tick < first)
            first = w->timers[i].tick;
    return first;
}

static void run_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    sp_rng_init(&w->rng, seed);
    start(&w->loop, sp_rng_next(&w->rng) >> 12);
    for (int i = 0; i < TIMERS; i++) {
        w->timers[i].world = w;
        w->timers[i].probe.timer.on_fire = on_model;
    }
    for (int step = 0; step < STEPS; step++) {
        struct model *m = &w->timers[sp_rng_below(&w->rng, TIMERS)];
        if (sp_rng_chance(&w->rng, 600))
            model_set(w, m, some_delay(&w->rng));
        else if (sp_rng_chance(&w->rng, 300))
            model_stop(w, m);

        uint64_t first = first_tick(w);
        sp_ns due = sp_loop_due(&w->loop);
        check_seed(w, first == UINT64_MAX ? due == SP_FOREVER
                                          : due <= first * SP_NS_PER_MS && due > w->loop.now);
        sp_ns to = sp_rng_chance(&w->rng, 500) || due == SP_FOREVER ? false_now + some_delay(&w->rng) / 8
                                                                    : due;
        w->last_tick = 0;
        turn_at(&w->loop, to);
        check_seed(w, first_tick(w) > w->loop.now / SP_NS_PER_MS);
        for (int i = 0; i < TIMERS; i++)
            check_seed(w, sp_timer_is_set(&w->timers[i].probe.timer) == w->timers[i].set);
    }
    check_seed(w, w->fired > 50);
    for (int i = 0; i < TIMERS; i++)
        model_stop(w, &w->timers[i]);
    check_seed(w, sp_loop_due(&w->loop) == SP_FOREVER);
    sp_loop_deinit(&w->loop);
}

static void the_wheel_agrees_with_a_naive_list(void **state)
{
    struct world *w = malloc(sizeof(*w));
    for (uint64_t seed = 1; seed <= 40; seed++)
        run_world(w, seed);
    free(w);
}

/* --- on the real clock ---------------------------------------------------------------------------------- */

static void the_epoll_body_wakes_for_a_timer(void **state)
{
    struct sp_loop *loop = new_loop();
    struct probe p = { 0 };
    sp_loop_turn(loop, 0);
    sp_ns before = sp_loop_now(loop);
    probe_set(loop, &p, 3 * SP_NS_PER_MS);
    run_until(loop, p.fired);
    assert_true(p.fired_at - before >= 3 * SP_NS_PER_MS);
    struct sp_loop_view view;
    sp_loop_get_view(loop, &view);
    assert_int_equal(view.timers_fired, 1);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_and_never_early),
        cmocka_unit_test(setting_again_moves_it_and_stopping_ends_it),
        cmocka_unit_test(a_delay_of_nothing_fires_in_a_later_turn),
        cmocka_unit_test(one_that_sets_itself_again_does_not_hold_the_turn),
        cmocka_unit_test(one_may_stop_another_that_is_due_in_the_same_tick),
        cmocka_unit_test(a_timer_for_ever_and_one_beyond_the_wheel_are_kept),
        cmocka_unit_test(the_wheel_agrees_with_a_naive_list),
        cmocka_unit_test(the_epoll_body_wakes_for_a_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
