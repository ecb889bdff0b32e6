/* sock_connect: connects that succeed, and those that fail in each way, told by the callback and never
 * inside the call; closed under way; the addresses of both ends. */
#include "io/sock.h"

#include <sys/resource.h>

#include "unit/io/help.h"

static void a_connect_is_told_later_and_costs_one_change_of_interest(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    uint16_t port;
    int listener = raw_listen(&port);
    sp_addr to = loopback(port), local, peer, dst;
    rec_init(&rec);
    count_calls(loop);
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &to, NULL, 0), 0);
    assert_int_equal(rec.connects, 0);
    run_until(loop, rec.connects);
    assert_int_equal(rec.connected, 0);
    sp_sock_read(&rec.sock, true);
    run_turns(loop, 3);
    assert_true(counts.watches <= 3); /* to await it; afterwards; reading, asked for outside of the turn */
    count_no_more(loop);

    assert_int_equal(sp_sock_local(&rec.sock, &local), 0);
    assert_int_equal(sp_sock_peer(&rec.sock, &peer), 0);
    assert_true(sp_addr_eq(&peer, &to));
    assert_true(sp_addr_is_loopback(&local) && local.port != 0);
    assert_int_equal(sp_sock_original_dst(&rec.sock, &dst), SP_E_MISSING);
    int on = 0;
    socklen_t len = sizeof(on);
    assert_int_equal(getsockopt(rec.sock.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    rec_close(&rec, loop);
    close(listener);
    sp_loop_free(loop);
}

static void a_connect_may_leave_from_a_given_address(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    uint16_t port;
    int listener = raw_listen(&port);
    sp_addr to = loopback(port), from = loopback(0), local;
    from.ip[3] = 77;
    rec_init(&rec);
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &to, &from, 0), 0);
    run_until(loop, rec.connects);
    assert_int_equal(sp_sock_local(&rec.sock, &local), 0);
    assert_int_equal(local.ip[3], 77);
    rec_close(&rec, loop);
    close(listener);

    sp_addr not_ours = { .family = SP_ADDR_IP4, .ip = { 203, 0, 113, 9 } };
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &to, &not_ours, 0), SP_E_UNREACHABLE);
    sp_loop_free(loop);
}

static void check_refused(const sp_addr *to, sp_err want)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    rec_init(&rec);
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, to, NULL, 0), 0);
    assert_int_equal(rec.connects, 0);
    run_until(loop, rec.connects);
    assert_int_equal(rec.connected, want);
    run_turns(loop, 3);
    assert_int_equal(rec.connects, 1);
    assert_int_equal(rec.ends, 0);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void a_connect_that_fails_says_how_and_never_inside_the_call(void **state)
{
    uint16_t port;
    int listener = raw_listen(&port);
    close(listener);
    sp_addr to = loopback(port);
    check_refused(&to, SP_E_REFUSED);
    sp_addr missing = { .family = SP_ADDR_UNIX, .path = "/nowhere/at/all.sock" };
    check_refused(&missing, SP_E_MISSING);
    sp_addr abstract = { .family = SP_ADDR_UNIX, .path = "@sampan-nobody-listens-here" };
    check_refused(&abstract, SP_E_REFUSED);
    sp_addr broadcast = { .family = SP_ADDR_IP4, .port = 9, .ip = { 255, 255, 255, 255 } };
    check_refused(&broadcast, SP_E_UNREACHABLE);
}

static void a_connect_under_way_can_be_closed(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    uint16_t port;
    int listener = raw_listen(&port);
    sp_addr to = loopback(port), missing = { .family = SP_ADDR_UNIX, .path = "/nowhere.sock" };
    for (int i = 0; i < 3; i++) {
        rec_init(&rec);
        assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, i < 2 ? &to : &missing, NULL, 0), 0);
        if (i == 1)
            sp_sock_apply_changed(loop); /* it is watched already */
        sp_sock_close(&rec.sock, false);
        run_turns(loop, 3);
        assert_int_equal(rec.connects, 0);
        rec_close(&rec, loop);
    }
    close(listener);
    sp_loop_free(loop);
}

static void out_of_descriptors_is_said_by_the_call_itself(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    struct rlimit before, none;
    sp_addr to = loopback(9);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    sp_err err = sp_sock_connect(&rec.sock, loop, &rec_ops, &to, NULL, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(err, SP_E_NOFILE);
    struct sp_loop_view view;
    sp_loop_get_view(loop, &view);
    assert_int_equal(view.socks_open, 0);
    sp_addr nothing = { .family = SP_ADDR_NONE };
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &nothing, NULL, 0), SP_E_INVALID);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_is_told_later_and_costs_one_change_of_interest),
        cmocka_unit_test(a_connect_may_leave_from_a_given_address),
        cmocka_unit_test(a_connect_that_fails_says_how_and_never_inside_the_call),
        cmocka_unit_test(a_connect_under_way_can_be_closed),
        cmocka_unit_test(out_of_descriptors_is_said_by_the_call_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
