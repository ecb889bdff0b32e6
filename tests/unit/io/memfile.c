/* memfile: what was written is what another maps, and nobody can change it. */
#include "io/memfile.h"

#include <sys/mman.h>

#include "unit/io/help.h"

static void bytes_are_mapped_as_they_were_written(void **state)
{
    enum { BYTES = 3 * 1024 * 1024 + 5 };
    char *bytes = malloc(BYTES);
    int fd;
    sp_str mapped;
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    assert_int_equal(sp_memfile_new(sp_str_of(bytes, BYTES), &fd), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(sp_memfile_map(fd, BYTES, &mapped), 0);
    close(fd); /* the mapping stays */
    assert_int_equal(mapped.len, BYTES);
    assert_memory_equal(mapped.ptr, bytes, BYTES);
    sp_memfile_unmap(mapped);
    free(bytes);
}

static void no_bytes_are_a_file_too(void **state)
{
    int fd;
    sp_str mapped = SP_STR("x");
    assert_int_equal(sp_memfile_new(SP_STR_NULL, &fd), 0);
    assert_int_equal(sp_memfile_map(fd, 0, &mapped), 0);
    assert_int_equal(mapped.len, 0);
    sp_memfile_unmap(mapped);
    close(fd);
}

static void nobody_can_change_it_any_more(void **state)
{
    int fd;
    assert_int_equal(sp_memfile_new(SP_STR("sealed"), &fd), 0);
    assert_int_equal(pwrite(fd, "S", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 100), -1);
    assert_true(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    close(fd);
}

static void what_could_still_change_is_refused(void **state)
{
    static const unsigned missing[] = { F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK };
    sp_str mapped;
    for (size_t i = 0; i < 3; i++) {
        unsigned seals = (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) & ~missing[i];
        int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        assert_int_equal(sp_memfile_map(fd, 10, &mapped), SP_E_INVALID);
        close(fd);
    }
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sp_memfile_map(fds[0], 10, &mapped), SP_E_INVALID);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(sp_memfile_map(-1, 10, &mapped), SP_E_INVALID);
}

static void more_than_the_reader_wants_is_refused(void **state)
{
    int fd;
    sp_str mapped;
    assert_int_equal(sp_memfile_new(SP_STR("123456"), &fd), 0);
    assert_int_equal(sp_memfile_map(fd, 5, &mapped), SP_E_LIMIT);
    assert_int_equal(sp_memfile_map(fd, 6, &mapped), 0);
    sp_memfile_unmap(mapped);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_mapped_as_they_were_written),
        cmocka_unit_test(no_bytes_are_a_file_too),
        cmocka_unit_test(nobody_can_change_it_any_more),
        cmocka_unit_test(what_could_still_change_is_refused),
        cmocka_unit_test(more_than_the_reader_wants_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
