/* signal: signals come as callbacks of the loop, between two others, and nowhere else. */
#include "io/signal.h"

#include "unit/io/help.h"

struct heard {
    struct sp_signals *signals;
    int numbers[16];
    uint32_t count;
    bool free_at_once;
};

static void on_signal(void *arg, int number)
{
    struct heard *heard = arg;
    heard->numbers[heard->count++] = number;
    if (heard->free_at_once) {
        sp_signals_free(heard->signals);
        heard->signals = NULL;
    }
}

static void signals_come_as_callbacks_of_a_turn(void **state)
{
    static const int numbers[] = { SIGHUP, SIGUSR2 };
    struct sp_loop *loop = new_loop();
    struct heard heard = { 0 };
    heard.signals = sp_signals_new(loop, numbers, 2, on_signal, &heard);
    assert_non_null(heard.signals);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR2);
    assert_int_equal(heard.count, 0);
    run_until(loop, heard.count == 2);
    assert_int_equal(heard.numbers[0] + heard.numbers[1], SIGHUP + SIGUSR2);
    kill(getpid(), SIGHUP);
    run_until(loop, heard.count == 3);
    assert_int_equal(heard.numbers[2], SIGHUP);
    sp_signals_free(heard.signals);
    sp_signals_free(NULL);
    sp_loop_free(loop);
}

static void they_may_be_freed_inside_the_callback(void **state)
{
    static const int numbers[] = { SIGHUP, SIGUSR2 };
    struct sp_loop *loop = new_loop();
    struct heard heard = { .free_at_once = true };
    heard.signals = sp_signals_new(loop, numbers, 2, on_signal, &heard);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR2);
    run_until(loop, heard.count == 1);
    run_turns(loop, 3);
    assert_int_equal(heard.count, 1);
    sp_loop_free(loop);
}

static void a_failing_allocation_is_said(void **state)
{
    static const int numbers[] = { SIGHUP };
    struct sp_loop *loop = new_loop();
    (void)sp_mem_fail_at(1);
    assert_null(sp_signals_new(loop, numbers, 1, on_signal, NULL));
    (void)sp_mem_fail_at(0);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_come_as_callbacks_of_a_turn),
        cmocka_unit_test(they_may_be_freed_inside_the_callback),
        cmocka_unit_test(a_failing_allocation_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
