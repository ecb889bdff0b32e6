/* acceptor: how many connections a turn takes, pauses, shortage of descriptors, sharing, and listening
 * sockets of every kind: TCP of both families, Unix by path and by abstract name, left over, in use. */
#include "io/sock.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "unit/io/help.h"

enum { MANY = 200 };

struct door {
    struct sp_acceptor acceptor;
    int fds[MANY + 1];
    uint32_t count, in_turn, most_in_turn, fulls;
    uint64_t turn;
    sp_err full;
    sp_addr peer;
    void (*do_accept)(struct door *door);
};

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct door *door = SP_CONTAINER(acceptor, struct door, acceptor);
    uint64_t turn = acceptor->loop->view.turns;
    door->in_turn = turn == door->turn ? door->in_turn + 1 : 1;
    door->turn = turn;
    if (door->in_turn > door->most_in_turn)
        door->most_in_turn = door->in_turn;
    door->fds[door->count++] = fd;
    door->peer = *peer;
    if (door->do_accept)
        door->do_accept(door);
}

static void on_full(struct sp_acceptor *acceptor, sp_err err)
{
    struct door *door = SP_CONTAINER(acceptor, struct door, acceptor);
    door->fulls++;
    door->full = err;
}

static void door_init(struct door *door)
{
    memset(door, 0, sizeof(*door));
    door->acceptor.on_accept = on_accept;
    door->acceptor.on_full = on_full;
}

static uint16_t door_open(struct door *door, struct sp_loop *loop)
{
    struct sp_listen_config config = { .addr = loopback(0) };
    sp_addr local;
    door_init(door);
    assert_int_equal(sp_acceptor_listen(&door->acceptor, loop, &config), 0);
    assert_int_equal(sp_acceptor_local(&door->acceptor, &local), 0);
    return local.port;
}

static void door_close(struct door *door)
{
    for (uint32_t i = 0; i < door->count; i++)
        close(door->fds[i]);
    if (door->acceptor.fd >= 0)
        sp_acceptor_close(&door->acceptor);
}

static void a_connection_comes_with_its_peer_and_without_nagle(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    struct sockaddr_in mine;
    socklen_t len = sizeof(mine);
    int on = 0;
    uint16_t port = door_open(&door, loop);
    int fd = raw_connect(port);
    run_until(loop, door.count == 1);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
    sp_addr want = loopback(ntohs(mine.sin_port));
    assert_true(sp_addr_eq(&door.peer, &want));
    len = sizeof(on);
    assert_int_equal(getsockopt(door.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    assert_true(fcntl(door.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(door.fds[0], F_GETFD) & FD_CLOEXEC);
    close(fd);
    door_close(&door);
    sp_loop_free(loop);
}

/* The body's accept, counted. */
static uint64_t accepts, accepts_in_vain;
static struct sp_loop_body with_count;

static int counting_accept(struct sp_acceptor *acceptor, sp_addr *ret_peer)
{
    int fd = counted->accept(acceptor, ret_peer);
    accepts++;
    accepts_in_vain += fd == SP_E_AGAIN;
    return fd;
}

static void count_accepts(struct sp_loop *loop)
{
    counted = loop->body;
    with_count = *counted;
    with_count.accept = counting_accept;
    loop->body = &with_count;
    accepts = accepts_in_vain = 0;
}

static void single_connections_cost_one_accept_each(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    uint16_t port = door_open(&door, loop);
    int fds[20];
    count_accepts(loop);
    for (uint32_t i = 0; i < 20; i++) {
        fds[i] = raw_connect(port);
        run_until(loop, door.count == i + 1);
        run_turns(loop, 2);
    }
    assert_int_equal(accepts, 20);
    assert_int_equal(accepts_in_vain, 0);
    count_no_more(loop);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    door_close(&door);
    sp_loop_free(loop);
}

static void a_crowd_is_taken_in_few_turns_but_never_above_the_batch(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    uint16_t port = door_open(&door, loop);
    door.acceptor.batch = 16;
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connect(port);
    struct sp_loop_view before, after;
    sp_loop_get_view(loop, &before);
    run_until(loop, door.count == MANY);
    sp_loop_get_view(loop, &after);
    assert_int_equal(door.most_in_turn, 16);
    assert_true(after.turns - before.turns < 25);
    run_turns(loop, 2);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    door_close(&door);
    sp_loop_free(loop);
}

static void after_a_crowd_single_connections_are_cheap_again(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    uint16_t port = door_open(&door, loop);
    int fds[60];
    for (int i = 0; i < 50; i++)
        fds[i] = raw_connect(port);
    run_until(loop, door.count == 50);
    count_accepts(loop);
    for (uint32_t i = 50; i < 60; i++) {
        fds[i] = raw_connect(port);
        run_until(loop, door.count == i + 1);
        run_turns(loop, 2);
    }
    assert_true(accepts_in_vain <= 1); /* the one that found out */
    count_no_more(loop);
    for (int i = 0; i < 60; i++)
        close(fds[i]);
    door_close(&door);
    sp_loop_free(loop);
}

static void a_paused_acceptor_takes_nobody_until_resumed(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    uint16_t port = door_open(&door, loop);
    sp_acceptor_pause(&door.acceptor, true);
    sp_acceptor_pause(&door.acceptor, true);
    int fd = raw_connect(port);
    run_turns(loop, 5);
    assert_int_equal(door.count, 0);
    sp_acceptor_pause(&door.acceptor, false);
    run_until(loop, door.count == 1);
    sp_acceptor_pause(&door.acceptor, true);
    door_close(&door); /* a paused one can be closed */
    close(fd);
    sp_loop_free(loop);
}

static void out_of_descriptors_it_pauses_itself_and_says_so_once(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    struct rlimit before, low;
    uint16_t port = door_open(&door, loop);
    int fd = raw_connect(port);
    int next = dup(0); /* the lowest free number: nothing may be opened from here on */
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &low);
    for (int i = 0; i < 10 && !door.fulls; i++)
        sp_loop_turn(loop, SP_NS_PER_MS);
    run_turns(loop, 5);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(door.fulls, 1);
    assert_int_equal(door.full, SP_E_NOFILE);
    assert_true(door.acceptor.paused);
    assert_int_equal(door.count, 0);
    sp_acceptor_pause(&door.acceptor, false);
    run_until(loop, door.count == 1); /* it waited in the queue */
    close(fd);
    door_close(&door);
    sp_loop_free(loop);
}

static void close_and_forget(struct door *door)
{
    sp_acceptor_close(&door->acceptor);
    close(door->fds[0]);
    memset(door, 0xa5, sizeof(*door));
    free(door);
}

static void it_may_close_inside_its_callback_and_be_gone(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door *door = malloc(sizeof(*door));
    uint16_t port = door_open(door, loop);
    door->acceptor.quota = 8;
    door->do_accept = close_and_forget;
    int a = raw_connect(port), b = raw_connect(port);
    run_turns(loop, 5);
    close(a);
    close(b);
    sp_loop_free(loop);
}

static void close_the_door(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    struct door *door = rec->arg;
    sp_acceptor_close(&door->acceptor);
    memset(door, 0xa5, sizeof(*door));
    free(door);
}

static void one_closed_in_the_same_batch_takes_nobody(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door *door = malloc(sizeof(*door));
    struct rec rec;
    int fds[2];
    uint16_t port = door_open(door, loop);
    unix_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 1);
    rec.do_bytes = close_the_door;
    rec.arg = door;
    raw_write(fds[1], "x", 1); /* the first to be ready, so the first to be told */
    int fd = raw_connect(port);
    run_until(loop, rec.reads);
    run_turns(loop, 2);
    close(fd);
    close(fds[1]);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void pause_now(struct door *door)
{
    sp_acceptor_pause(&door->acceptor, true);
}

static void pausing_inside_the_callback_ends_the_batch(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    uint16_t port = door_open(&door, loop);
    door.acceptor.quota = 8;
    door.do_accept = pause_now;
    int a = raw_connect(port), b = raw_connect(port);
    run_turns(loop, 5);
    assert_int_equal(door.count, 1);
    close(a);
    close(b);
    door_close(&door);
    sp_loop_free(loop);
}

static void one_descriptor_serves_two_loops(void **state)
{
    struct sp_loop *loops[2] = { new_loop(), new_loop() };
    struct door doors[2];
    struct sp_listen_config config = { .addr = loopback(0) };
    sp_addr local;
    int fd, copy;
    assert_int_equal(sp_listen_fd(&config, &fd), 0);
    copy = dup(fd);
    for (int i = 0; i < 2; i++) {
        door_init(&doors[i]);
        assert_int_equal(sp_acceptor_open(&doors[i].acceptor, loops[i], i ? copy : fd, true), 0);
    }
    assert_int_equal(sp_acceptor_local(&doors[0].acceptor, &local), 0);
    int a = raw_connect(local.port);
    run_until(loops[1], doors[1].count == 1);
    sp_acceptor_pause(&doors[1].acceptor, true);
    int b = raw_connect(local.port);
    run_turns(loops[1], 3);
    assert_int_equal(doors[1].count, 1);
    run_until(loops[0], doors[0].count == 1);
    sp_acceptor_pause(&doors[1].acceptor, false);
    close(a);
    close(b);
    for (int i = 0; i < 2; i++) {
        door_close(&doors[i]);
        sp_loop_free(loops[i]);
    }
}

static void an_address_in_use_is_said_and_reuse_port_shares_it(void **state)
{
    struct sp_listen_config config = { .addr = loopback(0), .reuse_port = true };
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int first, second, third;
    assert_int_equal(sp_listen_fd(&config, &first), 0);
    assert_int_equal(getsockname(first, (struct sockaddr *)&in, &len), 0);
    config.addr.port = ntohs(in.sin_port);
    assert_int_equal(sp_listen_fd(&config, &second), 0);
    config.reuse_port = false;
    assert_int_equal(sp_listen_fd(&config, &third), SP_E_EXISTS);
    close(first);
    close(second);
}

static void what_cannot_listen_is_refused(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door door;
    int fds[2], fd;
    unix_pair(fds);
    door_init(&door);
    assert_int_equal(sp_acceptor_open(&door.acceptor, loop, fds[0], false), SP_E_INVALID);
    struct sp_listen_config config = { .addr = { .family = SP_ADDR_IP4, .ip = { 203, 0, 113, 1 } } };
    assert_int_equal(sp_listen_fd(&config, &fd), SP_E_UNREACHABLE);
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    config.addr = (sp_addr){ .family = SP_ADDR_UNIX, .path = path };
    assert_int_equal(sp_listen_fd(&config, &fd), SP_E_INVALID);
    config.addr.path = "/nowhere/at/all.sock";
    assert_int_equal(sp_listen_fd(&config, &fd), SP_E_MISSING);
    close(fds[0]);
    close(fds[1]);
    sp_loop_free(loop);
}

static void ipv6_and_ipv4_wildcards_stand_side_by_side(void **state)
{
    struct sp_loop *loop = new_loop();
    struct door six;
    sp_addr local;
    int four = -1;
    for (int i = 0; i < 100 && four < 0; i++) { /* until a port is met that no other program has in IPv4 */
        struct sp_listen_config config = { .addr = { .family = SP_ADDR_IP6 } };
        if (i > 0)
            sp_acceptor_close(&six.acceptor);
        door_init(&six);
        assert_int_equal(sp_acceptor_listen(&six.acceptor, loop, &config), 0);
        assert_int_equal(sp_acceptor_local(&six.acceptor, &local), 0);
        assert_int_equal(local.family, SP_ADDR_IP6);
        config.addr = (sp_addr){ .family = SP_ADDR_IP4, .port = local.port };
        sp_err err = sp_listen_fd(&config, &four);
        assert_true(!err || err == SP_E_EXISTS);
    }
    assert_true(four >= 0);

    sp_addr to = { .family = SP_ADDR_IP6, .port = local.port, .ip = { [15] = 1 } };
    struct rec rec;
    rec_init(&rec);
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &to, NULL, 0), 0);
    run_until(loop, six.count == 1 && rec.connects);
    assert_int_equal(rec.connected, 0);
    assert_int_equal(six.peer.family, SP_ADDR_IP6);
    rec_close(&rec, loop);
    close(four);
    door_close(&six);
    sp_loop_free(loop);
}

/* --- Unix sockets --------------------------------------------------------------------------------------- */

static void check_unix(struct sp_loop *loop, const char *path)
{
    struct door door;
    struct rec rec;
    struct sp_listen_config config = { .addr = { .family = SP_ADDR_UNIX, .path = path } };
    door_init(&door);
    assert_int_equal(sp_acceptor_listen(&door.acceptor, loop, &config), 0);
    assert_true(door.acceptor.is_unix);
    rec_init(&rec);
    assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &config.addr, NULL, 0), 0);
    run_until(loop, door.count == 1 && rec.connects);
    assert_int_equal(rec.connected, 0);
    assert_int_equal(door.peer.family, SP_ADDR_UNIX);
    raw_write(door.fds[0], "by path", 7);
    sp_sock_read(&rec.sock, true);
    run_until(loop, rec.len == 7);
    rec_close(&rec, loop);
    door_close(&door);
}

static void a_unix_path_left_over_is_taken_a_live_one_is_not(void **state)
{
    struct sp_loop *loop = new_loop();
    char dir[] = "/tmp/sampan-acceptor-XXXXXX", path[64];
    struct stat st;
    int fd, second;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s.sock", dir);
    mode_t mask = umask(0777); /* takes away everything: the mode asked for must come out all the same */
    check_unix(loop, path);    /* leaves its file behind */
    umask(mask);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    struct sp_listen_config config = { .addr = { .family = SP_ADDR_UNIX, .path = path }, .mode = 0666 };
    assert_int_equal(sp_listen_fd(&config, &fd), 0);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    assert_int_equal(sp_listen_fd(&config, &second), SP_E_EXISTS);
    close(fd);
    unlink(path);

    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* no socket: nothing of ours */
    assert_int_equal(sp_listen_fd(&config, &second), SP_E_EXISTS);
    assert_int_equal(lstat(path, &st), 0);
    close(file);
    unlink(path);
    rmdir(dir);
    sp_loop_free(loop);
}

static void an_abstract_unix_name_leaves_nothing_behind(void **state)
{
    struct sp_loop *loop = new_loop();
    char name[64];
    snprintf(name, sizeof(name), "@sampan-test-%d", (int)getpid());
    check_unix(loop, name);
    check_unix(loop, name);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_comes_with_its_peer_and_without_nagle),
        cmocka_unit_test(single_connections_cost_one_accept_each),
        cmocka_unit_test(a_crowd_is_taken_in_few_turns_but_never_above_the_batch),
        cmocka_unit_test(after_a_crowd_single_connections_are_cheap_again),
        cmocka_unit_test(a_paused_acceptor_takes_nobody_until_resumed),
        cmocka_unit_test(out_of_descriptors_it_pauses_itself_and_says_so_once),
        cmocka_unit_test(it_may_close_inside_its_callback_and_be_gone),
        cmocka_unit_test(one_closed_in_the_same_batch_takes_nobody),
        cmocka_unit_test(pausing_inside_the_callback_ends_the_batch),
        cmocka_unit_test(one_descriptor_serves_two_loops),
        cmocka_unit_test(an_address_in_use_is_said_and_reuse_port_shares_it),
        cmocka_unit_test(what_cannot_listen_is_refused),
        cmocka_unit_test(ipv6_and_ipv4_wildcards_stand_side_by_side),
        cmocka_unit_test(a_unix_path_left_over_is_taken_a_live_one_is_not),
        cmocka_unit_test(an_abstract_unix_name_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
