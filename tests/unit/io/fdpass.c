/* fdpass: descriptors arrive with their bytes, up to the kernel's number; what is too much is refused and
 * closed. */
#include "io/fdpass.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "io/file.h"
#include "unit/io/help.h"

static void make_fds(int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
}

static void close_fds(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

static void a_descriptor_arrives_as_the_same_file(void **state)
{
    int pair[2], pipes[2], got[4];
    char bytes[16];
    uint32_t count = 99;
    unix_pair(pair);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(sp_fdpass_send(pair[0], "take this", 9, pipes, 2, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 4, &count, 1000), 9);
    assert_memory_equal(bytes, "take this", 9);
    assert_int_equal(count, 2);
    assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(got[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], bytes, 1), 1);
    close_fds(got, 2);
    close_fds(pipes, 2);
    close_fds(pair, 2);
}

static void bytes_alone_bring_no_descriptors(void **state)
{
    int pair[2], got[4];
    char bytes[16];
    uint32_t count = 99;
    unix_pair(pair);
    assert_int_equal(sp_fdpass_send(pair[0], "x", 1, NULL, 0, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 4, &count, 1000), 1);
    assert_int_equal(count, 0);
    close(pair[0]);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 4, &count, 1000), 0);
    close(pair[1]);
}

static void the_most_that_fits_in_a_message_passes(void **state)
{
    int pair[2], fds[SP_FDPASS_MAX + 1], got[SP_FDPASS_MAX];
    char byte;
    uint32_t count;
    unix_pair(pair);
    make_fds(fds, SP_FDPASS_MAX + 1);
    uint32_t before = sp_proc_open_files();
    assert_int_equal(sp_fdpass_send(pair[0], "x", 1, fds, SP_FDPASS_MAX + 1, 1000), SP_E_LIMIT);
    assert_int_equal(sp_fdpass_send(pair[0], "x", 1, fds, SP_FDPASS_MAX, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[1], &byte, 1, got, SP_FDPASS_MAX, &count, 1000), 1);
    assert_int_equal(count, SP_FDPASS_MAX);
    assert_int_equal(sp_proc_open_files(), before + SP_FDPASS_MAX);
    close_fds(got, count);
    close_fds(fds, SP_FDPASS_MAX + 1);
    close_fds(pair, 2);
}

static void more_than_the_reader_has_room_for_is_refused_and_closed(void **state)
{
    int pair[2], fds[8], got[3];
    char byte;
    uint32_t count;
    unix_pair(pair);
    make_fds(fds, 8);
    uint32_t before = sp_proc_open_files();
    assert_int_equal(sp_fdpass_send(pair[0], "x", 1, fds, 8, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[1], &byte, 1, got, 3, &count, 1000), SP_E_LIMIT);
    assert_int_equal(sp_proc_open_files(), before);
    close_fds(fds, 8);
    close_fds(pair, 2);
}

static void a_reader_out_of_descriptors_gets_none_instead_of_some(void **state)
{
    int pair[2], fds[4], got[8];
    char byte;
    uint32_t count;
    struct rlimit before, low;
    unix_pair(pair);
    make_fds(fds, 4);
    assert_int_equal(sp_fdpass_send(pair[0], "x", 1, fds, 4, 1000), 0);
    int next = dup(0); /* the lowest free number: room for two */
    close(next);
    uint32_t open_before = sp_proc_open_files();
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)next + 2;
    setrlimit(RLIMIT_NOFILE, &low);
    ssize_t len = sp_fdpass_recv(pair[1], &byte, 1, got, 8, &count, 1000);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(len, SP_E_LIMIT);
    assert_int_equal(sp_proc_open_files(), open_before);
    close_fds(fds, 4);
    close_fds(pair, 2);
}

static void two_messages_keep_their_descriptors_apart(void **state)
{
    int pair[2], fds[3], got[8];
    char bytes[64];
    uint32_t count;
    unix_pair(pair);
    make_fds(fds, 3);
    assert_int_equal(sp_fdpass_send(pair[0], "first", 5, fds, 1, 1000), 0);
    assert_int_equal(sp_fdpass_send(pair[0], "second", 6, fds + 1, 2, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 8, &count, 1000), 5);
    assert_int_equal(count, 1);
    close_fds(got, count);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 8, &count, 1000), 6);
    assert_int_equal(count, 2);
    close_fds(got, count);
    close_fds(fds, 3);
    close_fds(pair, 2);
}

static void nobody_there_comes_to_the_time_limit(void **state)
{
    int pair[2], got[1];
    char byte;
    uint32_t count;
    unix_pair(pair);
    assert_int_equal(sp_fdpass_recv(pair[1], &byte, 1, got, 1, &count, 5), SP_E_TIMEOUT);
    char *bytes = calloc(1, 4 << 20);
    assert_int_equal(sp_fdpass_send(pair[0], bytes, 4 << 20, NULL, 0, 5),
                     SP_E_TIMEOUT); /* the queue is full */
    close(pair[1]);
    assert_int_equal(sp_fdpass_send(pair[0], bytes, 1, NULL, 0, 5), SP_E_RESET);
    free(bytes);
    close(pair[0]);
}

struct sending {
    int sock, fd;
    char *bytes;
    size_t len;
    sp_err err;
};

static void *send_long(void *arg)
{
    struct sending *s = arg;
    s->err = sp_fdpass_send(s->sock, s->bytes, s->len, &s->fd, 1, 10000);
    return NULL;
}

static void a_long_message_brings_its_descriptors_once(void **state)
{
    struct sending s = { .len = 2 << 20 };
    int pair[2], got[4];
    uint32_t count, total = 0;
    size_t len = 0;
    pthread_t thread;
    char *bytes = malloc(1 << 20);
    unix_pair(pair);
    make_fds(&s.fd, 1);
    s.sock = pair[0];
    s.bytes = calloc(1, s.len);
    assert_int_equal(pthread_create(&thread, NULL, send_long, &s), 0);
    while (len < s.len) {
        ssize_t now = sp_fdpass_recv(pair[1], bytes, 1 << 20, got, 4, &count, 10000);
        assert_true(now > 0);
        len += (size_t)now;
        close_fds(got, count);
        total += count;
    }
    pthread_join(thread, NULL);
    assert_int_equal(s.err, 0);
    assert_int_equal(total, 1);
    close(s.fd);
    free(s.bytes);
    free(bytes);
    close_fds(pair, 2);
}

static void the_peer_is_known_by_pid_and_uid(void **state)
{
    int pair[2];
    uint32_t pid = 0, uid = 99;
    unix_pair(pair);
    assert_int_equal(sp_fdpass_peer(pair[0], &pid, &uid), 0);
    assert_int_equal(pid, getpid());
    assert_int_equal(uid, getuid());
    close_fds(pair, 2);
    assert_true(sp_fdpass_peer(-1, &pid, &uid) < 0);
}

/* --- sockets of whole messages -------------------------------------------------------------------------- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[108];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/sampan-fdpass-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void messages_stay_whole(void **state)
{
    int listening, near, far, got[2];
    char bytes[16];
    uint32_t count;
    make_folder();
    const char *path = in_folder("sock");
    assert_int_equal(sp_fdpass_listen(path, false, &listening), 0);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
    assert_int_equal(sp_fdpass_accept(listening, &far), SP_E_AGAIN);
    assert_int_equal(sp_fdpass_connect(path, 1000, &near), 0);
    assert_int_equal(sp_fdpass_accept(listening, &far), 0);
    assert_true(fcntl(near, F_GETFD) & FD_CLOEXEC && fcntl(far, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(sp_fdpass_send(near, "one", 3, NULL, 0, 1000), 0);
    assert_int_equal(sp_fdpass_send(near, "three", 5, &listening, 1, 1000), 0);
    close(near);
    assert_int_equal(sp_fdpass_recv(far, bytes, sizeof(bytes), got, 2, &count, 1000), 3);
    assert_int_equal(sp_fdpass_recv(far, bytes, sizeof(bytes), got, 2, &count, 1000), 5);
    assert_int_equal(count, 1);
    close(got[0]);
    assert_int_equal(sp_fdpass_recv(far, bytes, sizeof(bytes), got, 2, &count, 1000), 0);
    assert_int_equal(sp_fdpass_send(far, "x", 1, NULL, 0, 1000), SP_E_RESET);
    close(far);
    close(listening);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void behind_a_shut_ear_nothing_more_is_heard_and_all_that_came_before(void **state)
{
    int pair[2], got[1];
    char bytes[16];
    uint32_t count;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(sp_fdpass_send(pair[0], "first", 5, NULL, 0, 1000), 0);
    assert_int_equal(sp_fdpass_send(pair[0], "second", 6, NULL, 0, 1000), 0);
    sp_fdpass_shut(pair[1]);
    assert_int_equal(sp_fdpass_send(pair[0], "third", 5, NULL, 0, 1000), SP_E_RESET);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 1, &count, 1000), 5);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 1, &count, 1000), 6);
    assert_int_equal(sp_fdpass_recv(pair[1], bytes, sizeof(bytes), got, 1, &count, 1000), 0);
    assert_int_equal(sp_fdpass_send(pair[1], "reply", 5, NULL, 0, 1000), 0);
    assert_int_equal(sp_fdpass_recv(pair[0], bytes, sizeof(bytes), got, 1, &count, 1000), 5);
    close_fds(pair, 2);
}

static void a_dead_socket_is_replaced_and_a_living_one_when_asked(void **state)
{
    int first, second, third, near, far;
    make_folder();
    const char *path = in_folder("sock");
    assert_int_equal(sp_fdpass_listen(path, false, &first), 0);
    assert_int_equal(sp_fdpass_listen(path, false, &second), SP_E_EXISTS);
    assert_int_equal(sp_fdpass_listen(path, true, &second), 0);
    assert_int_equal(sp_fdpass_connect(path, 1000, &near), 0);
    assert_int_equal(sp_fdpass_accept(second, &far), 0); /* the look of the refused one went to the first */
    close(near);
    close(far);
    close(first);
    close(second);
    assert_int_equal(sp_fdpass_connect(path, 1000, &near), SP_E_MISSING);
    assert_int_equal(sp_fdpass_listen(path, false, &third), 0);
    close(third);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing is left beside it */
}

static void what_is_no_socket_is_left_alone(void **state)
{
    int sock;
    char longest[200];
    make_folder();
    const char *path = in_folder("file");
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(sp_fdpass_listen(path, true, &sock), SP_E_EXISTS);
    assert_int_equal(sp_fdpass_connect(path, 1000, &sock), SP_E_MISSING);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sp_fdpass_connect(path, 1000, &sock), SP_E_MISSING);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(sp_fdpass_listen(path, false, &sock), SP_E_MISSING); /* no such folder */
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(sp_fdpass_listen(longest, false, &sock), SP_E_INVALID);
    assert_int_equal(sp_fdpass_connect(longest, 1000, &sock), SP_E_INVALID);
    assert_int_equal(sp_fdpass_connect("", 1000, &sock), SP_E_INVALID);
}

static void an_abstract_name_is_taken_once(void **state)
{
    int first, second;
    char path[64];
    snprintf(path, sizeof(path), "@sampan-fdpass-%d", (int)getpid());
    assert_int_equal(sp_fdpass_listen(path, false, &first), 0);
    assert_int_equal(sp_fdpass_listen(path, true, &second), SP_E_EXISTS);
    close(first);
    assert_int_equal(sp_fdpass_connect(path, 1000, &second), SP_E_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_arrives_as_the_same_file),
        cmocka_unit_test(bytes_alone_bring_no_descriptors),
        cmocka_unit_test(the_most_that_fits_in_a_message_passes),
        cmocka_unit_test(more_than_the_reader_has_room_for_is_refused_and_closed),
        cmocka_unit_test(a_reader_out_of_descriptors_gets_none_instead_of_some),
        cmocka_unit_test(two_messages_keep_their_descriptors_apart),
        cmocka_unit_test(nobody_there_comes_to_the_time_limit),
        cmocka_unit_test(a_long_message_brings_its_descriptors_once),
        cmocka_unit_test(the_peer_is_known_by_pid_and_uid),
        cmocka_unit_test(messages_stay_whole),
        cmocka_unit_test(behind_a_shut_ear_nothing_more_is_heard_and_all_that_came_before),
        cmocka_unit_test(a_dead_socket_is_replaced_and_a_living_one_when_asked),
        cmocka_unit_test(what_is_no_socket_is_left_alone),
        cmocka_unit_test(an_abstract_name_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
