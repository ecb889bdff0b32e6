/* file: whole files and their limits, replacing without a half-written instant, logs that rotate and that
 * meet a full disk or a pipe nobody reads, directories, and what the process knows of itself. */
#include "io/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unit/io/help.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/sampan-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void check_file(const char *path, const char *want)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    assert_int_equal(sp_file_read(path, 1 << 20, &buf), 0);
    assert_int_equal(buf.len, strlen(want));
    assert_memory_equal(buf.ptr, want, buf.len);
    sp_buf_deinit(&buf);
}

static void a_file_is_read_whole_behind_what_was_there(void **state)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_add_c(&buf, "head:");
    put_file(in_dir("a"), "body");
    assert_int_equal(sp_file_read(in_dir("a"), 4, &buf), 0);
    assert_memory_equal(buf.ptr, "head:body", 9);
    assert_int_equal(sp_file_read(in_dir("a"), 3, &buf), SP_E_LIMIT);
    sp_buf_deinit(&buf);
    unlink(in_dir("a"));
}

static void what_cannot_be_read_says_why(void **state)
{
    struct sp_buf buf, full;
    char storage[2];
    sp_buf_init(&buf, 0);
    assert_int_equal(sp_file_read(in_dir("none"), 100, &buf), SP_E_MISSING);
    assert_int_equal(sp_file_read(dir, 100, &buf), SP_E_UNSUPPORTED); /* a folder */
    put_file(in_dir("a"), "body");
    sp_buf_init_fixed(&full, storage, sizeof(storage));
    assert_int_equal(sp_file_read(in_dir("a"), 100, &full), SP_E_NOMEM);
    sp_buf_deinit(&buf);
    unlink(in_dir("a"));
}

static void replacing_is_whole_or_nothing(void **state)
{
    struct stat st;
    assert_int_equal(sp_file_replace(in_dir("r"), SP_STR("one"), 0640), 0);
    check_file(in_dir("r"), "one");
    assert_int_equal(sp_file_replace(in_dir("r"), SP_STR("two"), 0600), 0);
    check_file(in_dir("r"), "two");
    assert_int_equal(stat(in_dir("r"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    struct rlimit before, small = { 10, RLIM_INFINITY };
    char big[100];
    memset(big, 'x', sizeof(big));
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    sp_err err = sp_file_replace(in_dir("r"), sp_str_of(big, sizeof(big)), 0600);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(err < 0);
    check_file(in_dir("r"), "two"); /* the old one stands, and nothing lies beside it */
    unlink(in_dir("r"));
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(sp_file_replace("/nowhere/at/all", SP_STR("x"), 0600), SP_E_MISSING);
}

static void a_log_appends_and_reopens_after_rotation(void **state)
{
    struct sp_file_log log;
    char moved[300];
    put_file(in_dir("log"), "old\n");
    assert_int_equal(sp_file_log_open(&log, in_dir("log")), 0);
    sp_file_log_write(&log, SP_STR("one\n"));
    check_file(in_dir("log"), "old\none\n");
    snprintf(moved, sizeof(moved), "%s.1", in_dir("log"));
    assert_int_equal(rename(in_dir("log"), moved), 0);
    sp_file_log_write(&log, SP_STR("two\n"));
    assert_int_equal(sp_file_log_reopen(&log), 0);
    sp_file_log_write(&log, SP_STR("three\n"));
    check_file(moved, "old\none\ntwo\n");
    check_file(in_dir("log"), "three\n");
    unlink(moved);

    unlink(in_dir("log"));
    mkdir(in_dir("log"), 0700); /* cannot be opened: the old descriptor stays */
    assert_int_equal(sp_file_log_reopen(&log), SP_E_UNSUPPORTED);
    sp_file_log_write(&log, SP_STR("four\n"));
    assert_int_equal(log.lost_bytes, 0);
    rmdir(in_dir("log"));
    sp_file_log_close(&log);
    assert_int_equal(sp_file_log_open(&log, "/nowhere/at/all"), SP_E_MISSING);
    (void)sp_mem_fail_at(1);
    assert_int_equal(sp_file_log_open(&log, in_dir("log")), SP_E_NOMEM);
    (void)sp_mem_fail_at(0);
}

static void what_a_full_disk_does_not_take_is_counted(void **state)
{
    struct sp_file_log log;
    assert_int_equal(sp_file_log_open(&log, "/dev/full"), 0);
    sp_file_log_write(&log, SP_STR("lost\n"));
    sp_file_log_write(&log, SP_STR("too\n"));
    assert_int_equal(log.lost_bytes, 9);
    sp_file_log_close(&log);
}

static void a_standard_output_that_nobody_reads_does_not_hold_us(void **state)
{
    int pipes[2];
    static char line[50000];
    assert_int_equal(pipe(pipes), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct sp_file_log log;
        uint64_t total = 0;
        alarm(10); /* it ends by that if it waits */
        dup2(pipes[1], STDOUT_FILENO);
        if (sp_file_log_open(&log, "/dev/stdout"))
            _exit(1);
        for (int i = 0; i < 10; i++, total += sizeof(line))
            sp_file_log_write(&log, sp_str_of(line, sizeof(line)));
        sp_file_log_close(&log);
        _exit(log.fd == -1 && fcntl(STDOUT_FILENO, F_GETFD) >= 0 && total > 0 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void directories_are_made_with_their_parents(void **state)
{
    char path[300], real[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/a/b/c", dir);
    assert_int_equal(sp_file_make_dirs(path, 0700), 0);
    assert_int_equal(sp_file_make_dirs(path, 0700), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/a/./b/../b/c", dir);
    assert_int_equal(sp_file_real_path(path, real, sizeof(real)), 0);
    assert_string_equal(real + strlen(real) - 6, "/a/b/c");
    assert_int_equal(sp_file_real_path(path, real, 5), SP_E_LIMIT);
    assert_int_equal(sp_file_real_path(in_dir("none"), real, sizeof(real)), SP_E_MISSING);
    put_file(in_dir("file"), "");
    snprintf(path, sizeof(path), "%s/file", dir);
    assert_int_equal(sp_file_make_dirs(path, 0700), SP_E_EXISTS);
    snprintf(path, sizeof(path), "%s/file/below", dir);
    assert_true(sp_file_make_dirs(path, 0700) < 0);
    assert_int_equal(sp_file_make_dirs("", 0700), SP_E_INVALID);
    unlink(in_dir("file"));
    rmdir(in_dir("a/b/c"));
    rmdir(in_dir("a/b"));
    rmdir(in_dir("a"));
}

static void the_process_knows_itself(void **state)
{
    uint8_t a[32] = { 0 }, b[32] = { 0 };
    uint32_t before = sp_proc_open_files();
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(sp_proc_open_files(), before + 1);
    close(fd);
    assert_true(sp_proc_rss_bytes() > 100000);
    assert_true(sp_proc_cpu_ns() > 0);
    struct rlimit limit;
    uint64_t files = sp_proc_raise_files();
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(files, limit.rlim_cur);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
    setenv("SAMPAN_TEST_WORD", "here", 1);
    assert_string_equal(sp_proc_env("SAMPAN_TEST_WORD"), "here");
    assert_null(sp_proc_env("SAMPAN_TEST_NO_SUCH_WORD"));
    sp_proc_random(a, sizeof(a));
    sp_proc_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

static int remove_dir(void **state)
{
    return rmdir(dir); /* fails when a test left something behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_behind_what_was_there),
        cmocka_unit_test(what_cannot_be_read_says_why),
        cmocka_unit_test(replacing_is_whole_or_nothing),
        cmocka_unit_test(a_log_appends_and_reopens_after_rotation),
        cmocka_unit_test(what_a_full_disk_does_not_take_is_counted),
        cmocka_unit_test(a_standard_output_that_nobody_reads_does_not_hold_us),
        cmocka_unit_test(directories_are_made_with_their_parents),
        cmocka_unit_test(the_process_knows_itself),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
