/* loop: the order of a turn, hooks that ask for hooks, stopping from elsewhere, the clocks and the figures.
 * */
#include "io/loop.h"

#include <pthread.h>

#include "base/rng.h"
#include "io/epoll_impl.h"
#include "io/mail.h"
#include "io/timer.h"
#include "unit/io/help.h"

/* --- the order ------------------------------------------------------------------------------------------ */

static char order[16];

static void say(char c)
{
    order[strlen(order)] = c;
}

struct order_test {
    struct sp_loop *loop;
    struct rec rec;
    struct sp_timer timer;
    struct sp_turn turn;
    struct sp_mail mail;
};

static struct order_test *at_work;

static void order_bytes(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    say('b');
    sp_loop_at_turn_end(at_work->loop, &at_work->turn);
    sp_loop_at_turn_end(at_work->loop, &at_work->turn);
    sp_sock_close(&rec->sock, false);
}

static void order_timer(struct sp_timer *timer)
{
    say('t');
}

static void order_turn(struct sp_turn *turn)
{
    assert_int_equal(at_work->rec.closes, 0);
    say('e');
}

static void order_mail(struct sp_mail *mail)
{
    say('m');
}

static void a_turn_goes_bytes_mail_timers_hooks_closed(void **state)
{
    struct order_test t = { .loop = new_loop() };
    int fds[2];
    at_work = &t;
    memset(order, 0, sizeof(order));
    unix_pair(fds);
    rec_open(&t.rec, t.loop, fds[0], true);
    run_turns(t.loop, 1);
    t.rec.do_bytes = order_bytes;
    t.timer.on_fire = order_timer;
    t.turn.on_turn_end = order_turn;
    t.mail.on_mail = order_mail;
    sp_timer_set(t.loop, &t.timer, 1);
    while (sp_loop_clock(t.loop) < sp_loop_now(t.loop) + 2 * SP_NS_PER_MS)
        ; /* until the timer is due in the very turn that follows */
    sp_mail_post(t.loop, &t.mail);
    raw_write(fds[1], "x", 1);
    sp_loop_turn(t.loop, 0);
    assert_string_equal(order, "bmte");
    assert_int_equal(t.rec.closes, 1);
    rec_close(&t.rec, t.loop);
    close(fds[1]);
    sp_loop_free(t.loop);
}

/* --- hooks ---------------------------------------------------------------------------------------------- */

struct hook {
    struct sp_turn turn;
    struct sp_loop *loop;
    uint32_t runs;
    bool again;
    struct hook *asks, *cancels;
};

static void on_hook(struct sp_turn *turn)
{
    struct hook *hook = SP_CONTAINER(turn, struct hook, turn);
    hook->runs++;
    if (hook->again)
        sp_loop_at_turn_end(hook->loop, turn);
    if (hook->asks)
        sp_loop_at_turn_end(hook->loop, &hook->asks->turn);
    if (hook->cancels)
        sp_loop_turn_cancel(&hook->cancels->turn);
}

static struct hook new_hook(struct sp_loop *loop)
{
    return (struct hook){ .turn.on_turn_end = on_hook, .loop = loop };
}

static void a_hook_asked_for_by_a_hook_runs_in_the_same_turn(void **state)
{
    struct sp_loop *loop = new_loop();
    struct hook a = new_hook(loop), b = new_hook(loop);
    a.asks = &b;
    sp_loop_at_turn_end(loop, &a.turn);
    sp_loop_turn(loop, SP_FOREVER); /* what is owed makes the wait a look */
    assert_int_equal(a.runs, 1);
    assert_int_equal(b.runs, 1);
    sp_loop_free(loop);
}

static void a_hook_that_asks_for_itself_does_not_hold_the_turn(void **state)
{
    struct sp_loop *loop = new_loop();
    struct hook a = new_hook(loop);
    a.again = true;
    sp_loop_at_turn_end(loop, &a.turn);
    sp_loop_turn(loop, SP_FOREVER);
    assert_int_equal(a.runs, SP_TURN_ROUNDS);
    a.again = false;
    sp_loop_turn(loop, SP_FOREVER);
    assert_int_equal(a.runs, SP_TURN_ROUNDS + 1);
    sp_loop_turn(loop, 0);
    assert_int_equal(a.runs, SP_TURN_ROUNDS + 1);
    sp_loop_free(loop);
}

static void a_hook_can_be_cancelled_also_by_another(void **state)
{
    struct sp_loop *loop = new_loop();
    struct hook a = new_hook(loop), b = new_hook(loop), c = new_hook(loop);
    a.cancels = &b;
    sp_loop_at_turn_end(loop, &a.turn);
    sp_loop_at_turn_end(loop, &b.turn);
    sp_loop_at_turn_end(loop, &c.turn);
    sp_loop_turn_cancel(&c.turn);
    sp_loop_turn_cancel(&c.turn);
    sp_loop_turn(loop, 0);
    assert_int_equal(a.runs, 1);
    assert_int_equal(b.runs, 0);
    assert_int_equal(c.runs, 0);
    sp_loop_free(loop);
}

/* --- stopping ------------------------------------------------------------------------------------------- */

static void *stop_from_thread(void *loop)
{
    sp_loop_stop(loop);
    return NULL;
}

static void stop_ends_a_run_from_another_thread_and_it_can_run_again(void **state)
{
    struct sp_loop *loop = new_loop();
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_from_thread, loop), 0);
        sp_loop_run(loop); /* before, while or after it waits: it ends */
        pthread_join(thread, NULL);
    }
    sp_loop_free(loop);
}

static struct sp_loop *in_handler;

static void stop_from_handler(int signal)
{
    sp_loop_stop(in_handler);
}

static void stop_ends_a_run_from_a_signal_handler(void **state)
{
    struct sp_loop *loop = new_loop();
    struct itimerspec soon = { .it_value.tv_nsec = 2000000 };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer;
    in_handler = loop;
    signal(SIGUSR1, stop_from_handler);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
    sp_loop_run(loop);
    timer_delete(timer);
    signal(SIGUSR1, SIG_DFL);
    sp_loop_free(loop);
}

/* --- clocks and figures --------------------------------------------------------------------------------- */

static void the_clock_stands_still_in_a_turn_and_the_wall_goes_with_it(void **state)
{
    struct sp_loop *loop = new_loop();
    struct timespec t;
    sp_loop_turn(loop, 0);
    sp_ns now = sp_loop_now(loop);
    assert_true(sp_loop_clock(loop) >= now);
    assert_int_equal(sp_loop_now(loop), now);
    uint64_t wall = sp_loop_wall(loop);
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t real = (uint64_t)t.tv_sec * SP_NS_PER_S + (uint64_t)t.tv_nsec;
    assert_true(wall <= real + SP_NS_PER_S && real <= wall + 60 * SP_NS_PER_S);
    assert_int_equal(sp_loop_wall(loop), wall);
    sp_loop_turn(loop, 2 * SP_NS_PER_MS);
    assert_true(sp_loop_wall(loop) - wall == sp_loop_now(loop) - now);
    sp_loop_free(loop);
}

static void a_wait_ends_in_time_and_counts_as_idle(void **state)
{
    struct sp_loop *loop = new_loop();
    struct sp_loop_view before, after;
    sp_loop_turn(loop, 0);
    sp_loop_get_view(loop, &before);
    sp_ns start = sp_loop_clock(loop);
    sp_loop_turn(loop, 30 * SP_NS_PER_MS);
    sp_ns waited = sp_loop_clock(loop) - start;
    assert_true(waited >= 30 * SP_NS_PER_MS);
    sp_loop_turn(loop, 0);
    sp_loop_get_view(loop, &after);
    assert_int_equal(after.turns, before.turns + 2);
    assert_true(after.busy_ns - before.busy_ns <= waited);
    sp_loop_free(loop);
}

static void a_kernel_without_pwait2_waits_by_milliseconds(void **state)
{
    struct sp_loop *loop = new_loop();
    ((struct sp_epoll *)loop)->no_pwait2 = true;
    sp_ns start = sp_loop_clock(loop);
    sp_loop_turn(loop, 1500000);
    assert_true(sp_loop_clock(loop) - start >= 1500000);
    sp_loop_free(loop);
}

static void the_seed_decides_the_rng_and_none_is_a_fresh_one(void **state)
{
    struct sp_loop_config config = { .seed = 5 };
    struct sp_loop *a = sp_loop_new(&config), *b = sp_loop_new(&config), *c = sp_loop_new(NULL),
                   *d = sp_loop_new(NULL);
    assert_int_equal(sp_rng_next(sp_loop_rng(a)), sp_rng_next(sp_loop_rng(b)));
    assert_true(sp_rng_next(sp_loop_rng(c)) != sp_rng_next(sp_loop_rng(d)));
    sp_loop_free(a);
    sp_loop_free(b);
    sp_loop_free(c);
    sp_loop_free(d);
}

static void a_failing_allocation_leaves_nothing_behind(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    for (uint64_t n = 1;; n++) {
        (void)sp_mem_fail_at(n);
        struct sp_loop *loop = sp_loop_new(NULL);
        (void)sp_mem_fail_at(0);
        if (loop) {
            sp_loop_free(loop);
            assert_true(n > 1);
            break;
        }
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(sp_mem_live_blocks(), blocks);
    }
    assert_int_equal(sp_mem_live_blocks(), blocks);
    sp_loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_goes_bytes_mail_timers_hooks_closed),
        cmocka_unit_test(a_hook_asked_for_by_a_hook_runs_in_the_same_turn),
        cmocka_unit_test(a_hook_that_asks_for_itself_does_not_hold_the_turn),
        cmocka_unit_test(a_hook_can_be_cancelled_also_by_another),
        cmocka_unit_test(stop_ends_a_run_from_another_thread_and_it_can_run_again),
        cmocka_unit_test(stop_ends_a_run_from_a_signal_handler),
        cmocka_unit_test(the_clock_stands_still_in_a_turn_and_the_wall_goes_with_it),
        cmocka_unit_test(a_wait_ends_in_time_and_counts_as_idle),
        cmocka_unit_test(a_kernel_without_pwait2_waits_by_milliseconds),
        cmocka_unit_test(the_seed_decides_the_rng_and_none_is_a_fresh_one),
        cmocka_unit_test(a_failing_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
