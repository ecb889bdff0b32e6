/* memory: what a process may have, under a root of files that a test wrote. */
#include "io/file.h"

#include <ftw.h>
#include <sys/stat.h>

#include "unit/io/help.h"

#define MIB (UINT64_C(1) << 20)

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sampan-memory-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int drop_dir(void **state)
{
    (void)state;
    return nftw(dir, drop_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", dir, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(sp_file_make_dirs(full, 0700), 0);
    *slash = '/';
    assert_int_equal(sp_file_replace(full, sp_str_c(text), 0600), 0);
}

static void the_machine_s_memory_is_the_most(void **state)
{
    (void)state;
    assert_int_equal(sp_proc_memory_under(dir), 0); /* nothing is known */
    put("/proc/meminfo", "MemTotal:        2097152 kB\nMemFree:          100 kB\n");
    assert_int_equal(sp_proc_memory_under(dir), 2048 * MIB);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    assert_int_equal(sp_proc_memory_under(dir), 2048 * MIB);
}

static void the_least_of_all_groups_holds(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal:        2097152 kB\n");
    put("/proc/self/cgroup", "0::/pod/container\n");
    put("/sys/fs/cgroup/pod/container/memory.max", "max\n");
    put("/sys/fs/cgroup/pod/memory.max", "536870912\n");
    assert_int_equal(sp_proc_memory_under(dir), 512 * MIB);
    put("/sys/fs/cgroup/pod/container/memory.max", "268435456\n");
    assert_int_equal(sp_proc_memory_under(dir), 256 * MIB);
    put("/sys/fs/cgroup/memory.max", "104857600\n");
    assert_int_equal(sp_proc_memory_under(dir), 100 * MIB);
}

static void a_path_of_the_host_leads_to_the_container_s_own_group(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal:        2097152 kB\n");
    put("/proc/self/cgroup", "12:cpu,cpuacct:/far\n4:hugetlb,memory:/kubepods/burst/of/the/host\n0::/\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(sp_proc_memory_under(dir), 2048 * MIB);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
    assert_int_equal(sp_proc_memory_under(dir), 128 * MIB);
}

static void this_machine_has_some(void **state)
{
    (void)state;
    assert_true(sp_proc_memory_bytes() > MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_machine_s_memory_is_the_most, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(the_least_of_all_groups_holds, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_path_of_the_host_leads_to_the_container_s_own_group, make_dir,
                                        drop_dir),
        cmocka_unit_test(this_machine_has_some),
    };
    return cmocka_run_group_tests_name("io memory", tests, NULL, NULL);
}
