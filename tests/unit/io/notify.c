/* notify: the supervisor gets the lines as one datagram, by a path or by an abstract name. */
#include "io/notify.h"

#include <stdio.h>
#include <sys/un.h>

#include "unit/io/help.h"

/* A datagram socket at `name`; a '@' before it makes it abstract. */
static int supervisor(const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    memcpy(un.sun_path, name, len + 1);
    if (name[0] == '@')
        un.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] != '@'));
    assert_int_equal(bind(fd, (struct sockaddr *)&un, bytes), 0);
    return fd;
}

static void told(const char *name)
{
    char got[64];
    int fd = supervisor(name);
    assert_int_equal(sp_notify(name, SP_STR("READY=1\nMAINPID=7\n")), 0);
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 18);
    assert_memory_equal(got, "READY=1\nMAINPID=7\n", 18);
    close(fd);
}

static void lines_come_as_one_datagram_by_path(void **state)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/sampan-notify-%d", (int)getpid());
    told(path);
    assert_int_equal(sp_notify(path, SP_STR("READY=1\n")),
                     SP_E_REFUSED); /* the file is there, nobody behind */
    unlink(path);
    assert_int_equal(sp_notify(path, SP_STR("READY=1\n")), SP_E_MISSING);
}

static void lines_come_by_an_abstract_name(void **state)
{
    char name[64];
    snprintf(name, sizeof(name), "@sampan-notify-%d", (int)getpid());
    told(name);
}

static void what_is_no_address_is_refused(void **state)
{
    char text[200];
    memset(text, 'x', sizeof(text));
    text[0] = '/';
    text[sizeof(text) - 1] = 0;
    assert_int_equal(sp_notify("", SP_STR("READY=1")), SP_E_INVALID);
    assert_int_equal(sp_notify("vsock:2:1234", SP_STR("READY=1")), SP_E_INVALID);
    assert_int_equal(sp_notify(text, SP_STR("READY=1")), SP_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_as_one_datagram_by_path),
        cmocka_unit_test(lines_come_by_an_abstract_name),
        cmocka_unit_test(what_is_no_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
