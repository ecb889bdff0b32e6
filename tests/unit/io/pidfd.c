/* pidfd: whoever is at the other end of a socket is held, seen to end, and ended by our hand. */
#include "io/pidfd.h"

#include <sys/wait.h>

#include "io/fdpass.h"
#include "unit/io/help.h"

/* A child at the other end of a socket of whole messages: it does `act`, with its end. */
static pid_t child_at(const char *path, int listening, int *ret_sock, void (*act)(int sock))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int sock;
        if (sp_fdpass_connect(path, 1000, &sock))
            _exit(1);
        act(sock);
        _exit(0);
    }
    struct pollfd one = { .fd = listening, .events = POLLIN };
    assert_int_equal(poll(&one, 1, 10000), 1);
    assert_int_equal(sp_fdpass_accept(listening, ret_sock), 0);
    return pid;
}

static void wait_for_ever(int sock)
{
    char byte;
    (void)!read(sock, &byte, 1);
    (void)!read(sock, &byte, 1);
}

static void wait_for_word(int sock)
{
    char byte;
    (void)!read(sock, &byte, 1);
}

static int listen_at(char path[64])
{
    int listening;
    snprintf(path, 64, "@sampan-pidfd-%d", (int)getpid());
    assert_int_equal(sp_fdpass_listen(path, false, &listening), 0);
    return listening;
}

static void a_peer_is_seen_to_end(void **state)
{
    char path[64];
    int listening = listen_at(path), sock, fd;
    uint32_t pid, uid;
    pid_t child = child_at(path, listening, &sock, wait_for_word);
    assert_int_equal(sp_pidfd_peer(sock, &fd, &pid, &uid), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(pid, child);
    assert_int_equal(uid, sp_uid_own());
    assert_int_equal(sp_pidfd_may_end(fd), 0);
    assert_int_equal(sp_pidfd_wait(fd, 0), SP_E_TIMEOUT);
    assert_int_equal(write(sock, "x", 1), 1);
    assert_int_equal(sp_pidfd_wait(fd, 10000), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(sp_pidfd_end(fd), SP_E_MISSING);
    assert_int_equal(sp_pidfd_may_end(fd), SP_E_MISSING);
    assert_int_equal(sp_pidfd_wait(fd, 0), 0);
    close(fd);
    close(sock);
    close(listening);
}

static void a_peer_is_ended(void **state)
{
    char path[64];
    int listening = listen_at(path), sock, fd, status;
    uint32_t pid, uid;
    pid_t child = child_at(path, listening, &sock, wait_for_ever);
    assert_int_equal(sp_pidfd_peer(sock, &fd, &pid, &uid), 0);
    assert_int_equal(sp_pidfd_end(fd), 0);
    assert_int_equal(sp_pidfd_wait(fd, 10000), 0); /* before anybody has waited for it */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(fd);
    close(sock);
    close(listening);
}

static void a_stopped_peer_is_seen(void **state)
{
    char path[64];
    int listening = listen_at(path), sock, fd, status;
    uint32_t pid, uid;
    pid_t child = child_at(path, listening, &sock, wait_for_ever);
    assert_int_equal(sp_pidfd_peer(sock, &fd, &pid, &uid), 0);
    assert_false(sp_pidfd_is_stopped(fd, pid));
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status) && sp_pidfd_is_stopped(fd, pid));
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, WCONTINUED), child);
    assert_true(WIFCONTINUED(status) && !sp_pidfd_is_stopped(fd, pid));
    assert_int_equal(sp_pidfd_end(fd), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(sp_pidfd_is_stopped(fd, pid)); /* whoever has its number by now */
    close(fd);
    close(sock);
    close(listening);
}

static void a_peer_that_is_dead_is_not_held(void **state)
{
    char path[64];
    int listening = listen_at(path), sock, fd = -7, status;
    uint32_t pid, uid;
    pid_t child = child_at(path, listening, &sock, wait_for_word);
    assert_int_equal(write(sock, "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(sp_pidfd_peer(sock, &fd, &pid, &uid), SP_E_MISSING);
    assert_int_equal(fd, -7);
    close(sock);
    close(listening);
}

static void who_connects_holds_the_one_that_listens(void **state)
{
    char path[64];
    int listening = listen_at(path), sock, fd;
    uint32_t pid, uid;
    assert_int_equal(sp_fdpass_connect(path, 1000, &sock), 0);
    assert_int_equal(sp_pidfd_peer(sock, &fd, &pid, &uid), 0);
    assert_int_equal(pid, sp_pid_own());
    close(fd);
    close(sock);
    close(listening);
}

/* The child listens and dies; its socket lives on with us. */
static void a_socket_that_outlived_its_process_is_nobodys(void **state)
{
    char path[64], token;
    int pair[2], sock, fd, status;
    uint32_t pid, uid, count;
    snprintf(path, sizeof(path), "@sampan-pidfd-heir-%d", (int)getpid());
    unix_pair(pair);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int listening;
        if (sp_fdpass_listen(path, false, &listening) || sp_fdpass_send(pair[1], "l", 1, &listening, 1, 1000))
            _exit(1);
        _exit(0);
    }
    assert_int_equal(sp_fdpass_recv(pair[0], &token, 1, &fd, 1, &count, 10000), 1);
    assert_int_equal(count, 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(sp_fdpass_connect(path, 1000, &sock), 0);
    int none = -7;
    assert_int_equal(sp_pidfd_peer(sock, &none, &pid, &uid), SP_E_UNSUPPORTED);
    assert_int_equal(none, -7);
    close(sock);
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

static void what_is_no_socket_has_no_peer(void **state)
{
    int fd;
    uint32_t pid, uid;
    assert_true(sp_pidfd_peer(-1, &fd, &pid, &uid) < 0);
    assert_int_equal(sp_pidfd_wait(-1, 0), SP_E_TIMEOUT); /* poll heeds no negative number */
    assert_int_equal(sp_pidfd_end(-1), SP_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_is_seen_to_end),
        cmocka_unit_test(a_peer_is_ended),
        cmocka_unit_test(a_stopped_peer_is_seen),
        cmocka_unit_test(a_peer_that_is_dead_is_not_held),
        cmocka_unit_test(who_connects_holds_the_one_that_listens),
        cmocka_unit_test(a_socket_that_outlived_its_process_is_nobodys),
        cmocka_unit_test(what_is_no_socket_has_no_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
