/* sockfile: a socket's file goes with its process, and only then. */
#include "cmd/sampan-proxy/sockfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/sock.h"

struct place {
    char dir[64], path[80];
    struct sockfile file;
    int fd;
};

static int bind_at(const char *path)
{
    struct sp_listen_config config = { .addr = { .family = SP_ADDR_UNIX, .path = path } };
    int fd;
    assert_int_equal(sp_listen_fd(&config, &fd), 0);
    return fd;
}

static void open_place(struct place *p)
{
    snprintf(p->dir, sizeof(p->dir), "/tmp/sampan-sockfile.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/in.sock", p->dir);
    p->fd = bind_at(p->path);
    sockfile_note(&p->file, p->path);
}

static void close_place(struct place *p)
{
    (void)unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
}

static bool is_there(const struct place *p)
{
    return access(p->path, F_OK) == 0;
}

static void the_file_goes_with_its_process(void **state)
{
    struct place p;
    open_place(&p);
    close(p.fd);
    assert_true(is_there(&p));
    assert_true(sockfile_end(&p.file, false));
    assert_false(is_there(&p));
    assert_false(sockfile_end(&p.file, false)); /* once */
    close_place(&p);
}

static void a_successor_keeps_the_file_that_it_was_given(void **state)
{
    struct place p;
    open_place(&p);
    assert_false(sockfile_end(&p.file, true));
    assert_true(is_there(&p));
    close(p.fd);
    close_place(&p);
}

/* The other one begins while we drain: our listener is closed, so it takes our file for a dead one. */
static void a_file_that_another_process_put_there_stays(void **state)
{
    struct place p;
    open_place(&p);
    close(p.fd);
    int other = bind_at(p.path);
    assert_false(sockfile_end(&p.file, false));
    assert_true(is_there(&p));
    close(other);
    close_place(&p);
}

static void what_is_gone_already_is_no_matter(void **state)
{
    struct place p;
    open_place(&p);
    close(p.fd);
    assert_int_equal(unlink(p.path), 0);
    assert_false(sockfile_end(&p.file, false));
    close_place(&p);
}

static void a_socket_without_a_file_has_none_to_remove(void **state)
{
    struct sockfile file;
    sockfile_note(&file, "@sampan-sockfile");
    assert_false(sockfile_end(&file, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_goes_with_its_process),
        cmocka_unit_test(a_successor_keeps_the_file_that_it_was_given),
        cmocka_unit_test(a_file_that_another_process_put_there_stays),
        cmocka_unit_test(what_is_gone_already_is_no_matter),
        cmocka_unit_test(a_socket_without_a_file_has_none_to_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
