/* child: programs are started, told of their end, signalled, fed and listened to. */
#include "io/child.h"

#include <sys/wait.h>

#include "io/file.h"
#include "io/signal.h"
#include "unit/io/help.h"

struct told {
    uint32_t count;
    int status;
};

static void on_exit_told(void *arg, int status)
{
    struct told *told = arg;
    told->count++;
    told->status = status;
}

static struct sp_child *start(struct sp_loop *loop, const char *const *argv, int out, int err,
                              struct told *told)
{
    struct sp_child_config config = { .argv = argv, .out_fd = out, .err_fd = err, .die_with_us = true };
    struct sp_child *child = NULL;
    memset(told, 0, sizeof(*told));
    assert_int_equal(sp_child_start(loop, &config, on_exit_told, told, &child), 0);
    assert_non_null(child);
    return child;
}

static void its_end_is_told_with_its_status(void **state)
{
    const char *const good[] = { "true", NULL }, *const seven[] = { "sh", "-c", "exit 7", NULL };
    struct sp_loop *loop = new_loop();
    struct told told;
    struct sp_child *child = start(loop, good, -1, -1, &told);
    run_until(loop, told.count);
    assert_int_equal(told.status, 0);
    sp_child_signal(child, SIGTERM); /* it is gone: nobody is hit */
    sp_child_free(child);
    child = start(loop, seven, -1, -1, &told);
    run_until(loop, told.count);
    assert_int_equal(told.status, 7);
    sp_child_free(child);
    run_turns(loop, 3);
    assert_int_equal(told.count, 1);
    sp_loop_free(loop);
}

static void a_signal_reaches_it_also_when_we_block_that_signal(void **state)
{
    static const int numbers[] = { SIGTERM };
    const char *const waits[] = { "sleep", "1000", NULL };
    struct sp_loop *loop = new_loop();
    struct told told;
    struct sp_signals *signals = sp_signals_new(loop, numbers, 1, NULL, NULL);
    struct sp_child *child = start(loop, waits, -1, -1, &told);
    assert_true(sp_child_pid(child) > 0);
    sp_child_signal(child, SIGTERM);
    run_until(loop, told.count);
    assert_int_equal(told.status, 128 + SIGTERM);
    sp_child_free(child);
    sp_signals_free(signals);
    sp_loop_free(loop);
}

static void its_output_goes_where_it_was_told(void **state)
{
    const char *const says[] = { "sh", "-c", "echo out; echo err >&2; read x || echo nothing to read", NULL };
    struct sp_loop *loop = new_loop();
    struct told told;
    int out[2], err[2];
    char text[64];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    struct sp_child *child = start(loop, says, out[1], err[1], &told);
    close(out[1]);
    close(err[1]);
    run_until(loop, told.count);
    assert_int_equal(read(out[0], text, sizeof(text)), 20);
    assert_memory_equal(text, "out\nnothing to read\n", 20);
    assert_int_equal(read(err[0], text, sizeof(text)), 4);
    assert_int_equal(read(err[0], text, sizeof(text)), 0); /* nobody else holds the pipe open */
    sp_child_free(child);
    close(out[0]);
    close(err[0]);
    sp_loop_free(loop);
}

static void a_program_that_is_not_there_is_said_by_the_call(void **state)
{
    const char *const none[] = { "sampan-no-such-program", NULL }, *const plain[] = { "/dev/null", NULL };
    struct sp_loop *loop = new_loop();
    struct told told = { 0 };
    struct sp_child *child = NULL;
    struct sp_child_config config = { .argv = none, .out_fd = -1, .err_fd = -1 };
    uint32_t files = sp_proc_open_files();
    assert_int_equal(sp_child_start(loop, &config, on_exit_told, &told, &child), SP_E_MISSING);
    config.argv = plain;
    assert_int_equal(sp_child_start(loop, &config, on_exit_told, &told, &child), SP_E_DENIED);
    assert_null(child);
    assert_int_equal(sp_proc_open_files(), files);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    sp_loop_free(loop);
}

static void a_failing_allocation_starts_nothing(void **state)
{
    const char *const good[] = { "true", NULL };
    struct sp_loop *loop = new_loop();
    struct sp_child *child = NULL;
    struct sp_child_config config = { .argv = good, .out_fd = -1, .err_fd = -1 };
    (void)sp_mem_fail_at(1);
    assert_int_equal(sp_child_start(loop, &config, on_exit_told, NULL, &child), SP_E_NOMEM);
    (void)sp_mem_fail_at(0);
    assert_null(child);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    sp_loop_free(loop);
}

static void a_running_one_can_be_forgotten(void **state)
{
    const char *const waits[] = { "sleep", "1000", NULL };
    struct sp_loop *loop = new_loop();
    struct told told;
    uint32_t files = sp_proc_open_files();
    struct sp_child *child = start(loop, waits, -1, -1, &told);
    pid_t pid = sp_child_pid(child);
    sp_child_free(child);
    sp_child_free(NULL);
    assert_int_equal(sp_proc_open_files(), files);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    run_turns(loop, 2);
    assert_int_equal(told.count, 0);
    sp_loop_free(loop);
}

static void run_feeds_and_collects_more_than_a_pipe_holds(void **state)
{
    const char *const cat[] = { "cat", NULL };
    struct sp_buf out;
    int status = -1;
    size_t len = 1 << 20;
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 >> 4);
    sp_buf_init(&out, 0);
    assert_int_equal(sp_child_run(cat, sp_str_of(bytes, len), &out, &status), 0);
    assert_int_equal(status, 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.ptr, bytes, len);
    sp_buf_deinit(&out);
    free(bytes);
}

static void run_survives_a_program_that_does_not_read(void **state)
{
    const char *const deaf[] = { "sh", "-c", "exec <&-; echo said; echo wrong >&2; exit 3", NULL };
    struct sp_buf out;
    int status = -1;
    char *bytes = calloc(1, 1 << 20);
    sp_buf_init(&out, 0);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(sp_child_run(deaf, sp_str_of(bytes, 1 << 20), &out, &status), 0);
    assert_int_equal(status, 3);
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.ptr, "said\nwrong\n", 11);
    sp_buf_deinit(&out);
    free(bytes);
}

static void run_bounds_what_it_collects(void **state)
{
    const char *const loud[] = { "head", "-c", "1000000", "/dev/zero", NULL };
    const char *const none[] = { "sampan-no-such-program", NULL };
    struct sp_buf out;
    int status = -1;
    sp_buf_init(&out, 50000);
    assert_int_equal(sp_child_run(loud, SP_STR(""), &out, &status), 0);
    assert_int_equal(status, 0);
    assert_true(out.failed);
    assert_true(out.len <= 50000);
    uint32_t files = sp_proc_open_files();
    assert_int_equal(sp_child_run(none, SP_STR(""), &out, &status), SP_E_MISSING);
    assert_int_equal(sp_proc_open_files(), files);
    sp_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_end_is_told_with_its_status),
        cmocka_unit_test(a_signal_reaches_it_also_when_we_block_that_signal),
        cmocka_unit_test(its_output_goes_where_it_was_told),
        cmocka_unit_test(a_program_that_is_not_there_is_said_by_the_call),
        cmocka_unit_test(a_failing_allocation_starts_nothing),
        cmocka_unit_test(a_running_one_can_be_forgotten),
        cmocka_unit_test(run_feeds_and_collects_more_than_a_pipe_holds),
        cmocka_unit_test(run_survives_a_program_that_does_not_read),
        cmocka_unit_test(run_bounds_what_it_collects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
