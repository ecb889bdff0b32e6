/* demo_dir: what killed demos left goes with the next one, and nothing else does. */
#include "cmd/sampan/demo_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char parent[64];
    char path[256]; /* of the folder that a demo left */
};

/* The number of a process that is no more. */
static long dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void make_left(struct place *p, long pid)
{
    char file[300];
    snprintf(p->path, sizeof(p->path), "%s/sampan-demo-%ld-AbCdEf", p->parent, pid);
    assert_int_equal(mkdir(p->path, 0700), 0);
    snprintf(file, sizeof(file), "%s/front.yaml", p->path);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int open_place(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    snprintf(p->parent, sizeof(p->parent), "/tmp/sampan-test-demo-XXXXXX");
    *state = p;
    return mkdtemp(p->parent) ? 0 : -1;
}

static int close_place(void **state)
{
    struct place *p = *state;
    char file[300];
    snprintf(file, sizeof(file), "%s/front.yaml", p->path);
    (void)unlink(file);
    (void)rmdir(p->path);
    int left = rmdir(p->parent); /* nothing else is there */
    free(p);
    return left;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void what_a_dead_demo_left_goes_with_the_next(void **state)
{
    struct place *p = *state;
    struct demo_dir dir = { .fd = -1 };
    make_left(p, dead_pid());
    assert_true(demo_dir_make(&dir, p->parent, false));
    assert_false(is_there(p->path));
    assert_true(is_there(dir.path));
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0); /* its owner lives: we are it */
    snprintf(p->path, sizeof(p->path), "%.250s", dir.path);
    demo_dir_end(&dir);
    assert_false(is_there(p->path));
}

static void an_owner_whose_end_nobody_has_asked_for_is_dead(void **state)
{
    struct place *p = *state;
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    make_left(p, pid);
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void what_a_living_demo_has_stays(void **state)
{
    struct place *p = *state;
    make_left(p, (long)getppid());
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0);
    assert_true(is_there(p->path));
}

static void what_another_user_left_stays(void **state)
{
    struct place *p = *state;
    make_left(p, dead_pid());
    assert_int_equal(demo_dir_sweep(p->parent, geteuid() + 1), 0);
    assert_true(is_there(p->path));
}

/* Its number is of another container's process, which we cannot see. */
static void what_somebody_has_locked_stays(void **state)
{
    struct place *p = *state;
    make_left(p, dead_pid());
    int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0);
    assert_true(is_there(p->path));
    close(fd);
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 1);
    assert_false(is_there(p->path));
}

static void a_link_with_such_a_name_is_not_followed(void **state)
{
    struct place *p = *state;
    char link[256];
    make_left(p, (long)getppid());
    snprintf(link, sizeof(link), "%s/sampan-demo-%ld-AbCdEg", p->parent, dead_pid());
    assert_int_equal(symlink(p->path, link), 0);
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0);
    char file[300];
    snprintf(file, sizeof(file), "%s/front.yaml", p->path);
    assert_true(is_there(file));
    assert_int_equal(unlink(link), 0);
}

static void other_names_are_none_of_ours(void **state)
{
    static const char *const names[] = {
        "sampan-demo-kept-AbCdEf",   "sampan-demo-AbCdEf",
        "sampan-demo--AbCdEf",       "sampan-demo-99999999999999999999-AbCdEf",
        "sampan-e2e-4000000-AbCdEf", "sampan-demo-4000000-AbCdEfG",
        "sampan-demo-0-AbCdEf"
    };
    struct place *p = *state;
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->parent, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0);
        assert_int_equal(rmdir(path), 0);
    }
}

static void a_folder_that_is_kept_is_kept_for_good(void **state)
{
    struct place *p = *state;
    struct demo_dir dir = { .fd = -1 };
    assert_true(demo_dir_make(&dir, p->parent, true));
    snprintf(p->path, sizeof(p->path), "%.250s", dir.path);
    demo_dir_end(&dir);
    assert_int_equal(demo_dir_sweep(p->parent, geteuid()), 0);
    assert_true(is_there(p->path));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)
    const struct CMUnitTest tests[] = {
        TEST(what_a_dead_demo_left_goes_with_the_next),
        TEST(an_owner_whose_end_nobody_has_asked_for_is_dead),
        TEST(what_a_living_demo_has_stays),
        TEST(what_another_user_left_stays),
        TEST(what_somebody_has_locked_stays),
        TEST(a_link_with_such_a_name_is_not_followed),
        TEST(other_names_are_none_of_ours),
        TEST(a_folder_that_is_kept_is_kept_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
