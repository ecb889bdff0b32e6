/* sock_handoff: socks, pumps and acceptors of real descriptors leave one loop and are taken by another, as
 * between two processes: no byte is lost, doubled or out of order, also of those that were inside a pipe;
 * what was told is not told again, and what was owed is; and no descriptor is left or closed twice. */
#include <dirent.h>

#include "base/rng.h"
#include "io/epoll_impl.h"
#include "io/pump.h"
#include "unit/io/help.h"

static uint32_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t count = 0;
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* ---- a relay ---- */

enum { GOAL = 3 << 20, PIECE = 256 * 1024 };

struct relay {
    struct sp_loop *loop;
    struct sp_sock a, b;
    struct sp_pump pump;
    uint64_t moved;
    uint32_t dones;
    sp_err done;
};

struct flow {
    int in, out; /* raw ends of the other side */
    struct relay *relay;
    struct sp_rng fed_rng, got_rng; /* the same sequence: what comes is compared with what was to go */
    uint64_t fed, got, piped_once;
};

static void ignore(struct sp_sock *sock)
{
    (void)sock;
}

static const struct sp_sock_ops ops = { .on_closed = ignore };

static void on_moved(struct sp_pump *pump, uint64_t bytes)
{
    SP_CONTAINER(pump, struct relay, pump)->moved += bytes;
}

static void on_done(struct sp_pump *pump, sp_err err)
{
    struct relay *relay = SP_CONTAINER(pump, struct relay, pump);
    relay->dones++;
    relay->done = err;
}

static struct relay *relay_new(void)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    relay->loop = new_loop();
    relay->pump.on_moved = on_moved;
    relay->pump.on_done = on_done;
    return relay;
}

static void flow_start(struct flow *flow, uint64_t seed)
{
    int one[2], two[2];
    struct relay *relay = relay_new();
    tcp_pair(one);
    tcp_pair(two);
    int small = 32 * 1024; /* so that a pipe's bytes do not all find room at once */
    assert_int_equal(setsockopt(two[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(setsockopt(two[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    *flow = (struct flow){ .in = one[1], .out = two[1], .relay = relay };
    sp_rng_init(&flow->fed_rng, seed);
    sp_rng_init(&flow->got_rng, seed);
    assert_int_equal(sp_sock_open_fd(&relay->a, relay->loop, &ops, one[0]), 0);
    assert_int_equal(sp_sock_open_fd(&relay->b, relay->loop, &ops, two[0]), 0);
    assert_int_equal(sp_pump_start(&relay->pump, &relay->a, &relay->b), 0);
}

/* Into a loop of its own; the first is no more. */
static void flow_move(struct flow *flow)
{
    struct relay *old = flow->relay, *fresh = relay_new();
    struct sp_sock_saved a, b;
    uint32_t piped = old->pump.running ? old->pump.piped : 0;
    bool runs = old->pump.running;
    flow->piped_once += piped;
    if (runs) {
        assert_int_equal(sp_pump_drain_pipe(&old->pump), 0);
        if (piped)
            assert_int_equal(sp_pump_inside(&old->pump).len, piped);
    }
    sp_sock_save(&old->a, &a);
    sp_sock_save(&old->b, &b);
    sp_str inside = runs ? sp_pump_inside(&old->pump) : SP_STR_NULL;
    char *copy = malloc(inside.len + 1);
    if (inside.len)
        memcpy(copy, inside.ptr, inside.len);
    int fd_a = sp_sock_detach(&old->a), fd_b = sp_sock_detach(&old->b);
    assert_false(old->pump.running);
    assert_int_equal(sp_sock_load(&fresh->a, fresh->loop, &ops, fd_a, &a), 0);
    assert_int_equal(sp_sock_load(&fresh->b, fresh->loop, &ops, fd_b, &b), 0);
    sp_sock_read(&fresh->a, false);
    sp_sock_read(&fresh->b, false);
    if (runs)
        assert_int_equal(sp_pump_load(&fresh->pump, &fresh->a, &fresh->b, sp_str_of(copy, inside.len)), 0);
    free(copy);
    fresh->moved = old->moved;
    fresh->dones = old->dones;
    fresh->done = old->done;
    sp_loop_free(old->loop); /* gives its pipes back */
    free(old);
    flow->relay = fresh;
}

static void feed(struct flow *flow)
{
    static char bytes[PIECE];
    struct sp_rng ahead = flow->fed_rng;
    size_t len = SP_MIN(GOAL - flow->fed, (uint64_t)PIECE);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)sp_rng_next(&ahead);
    ssize_t sent = send(flow->in, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (ssize_t i = 0; i < sent; i++)
        (void)sp_rng_next(&flow->fed_rng);
    flow->fed += sent > 0 ? (uint64_t)sent : 0;
    if (flow->fed == GOAL)
        shutdown(flow->in, SHUT_WR);
}

static void drain(struct flow *flow, size_t most)
{
    static char bytes[PIECE];
    ssize_t got = recv(flow->out, bytes, SP_MIN(most, sizeof(bytes)), MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] != (char)sp_rng_next(&flow->got_rng))
            fail_msg("byte %llu is another", (unsigned long long)flow->got + (unsigned long long)i);
    flow->got += got > 0 ? (uint64_t)got : 0;
}

/* With a hand-over after each `every` turns; a slow reader, so that pipes are full. */
static uint64_t run_flow(uint64_t seed, uint32_t every)
{
    uint32_t files = open_files();
    struct flow flow;
    flow_start(&flow, seed);
    for (uint32_t turn = 1; flow.got < GOAL || !flow.relay->dones; turn++) {
        assert_true(turn < 200000);
        feed(&flow);
        sp_loop_turn(flow.relay->loop, 0);
        if (turn % every == 0)
            flow_move(&flow);
        drain(&flow, turn % 3 ? 8 * 1024 : PIECE);
    }
    assert_int_equal(flow.relay->done, SP_E_CLOSED);
    assert_int_equal(flow.relay->moved, GOAL);
    sp_sock_close(&flow.relay->a, false);
    sp_sock_close(&flow.relay->b, false);
    run_turns(flow.relay->loop, 2);
    sp_loop_free(flow.relay->loop);
    free(flow.relay);
    close(flow.in);
    close(flow.out);
    assert_int_equal(open_files(), files);
    return flow.piped_once;
}

static void bytes_inside_a_pipe_come_out_whole_and_in_order(void **state)
{
    uint64_t piped = 0;
    for (uint32_t every = 1; every <= 17; every += 4)
        piped += run_flow(every, every);
    assert_true(piped > 0); /* else this says nothing */
}

static void a_pipe_that_was_drained_goes_back_empty(void **state)
{
    struct flow flow;
    flow_start(&flow, 1);
    struct relay *relay = flow.relay;
    for (int i = 0; i < 10000 && !relay->pump.piped; i++) {
        feed(&flow);
        sp_loop_turn(relay->loop, 0);
        if (relay->pump.held)
            drain(&flow, PIECE);
    }
    uint32_t piped = relay->pump.piped;
    assert_true(piped > 0);
    assert_int_equal(sp_pump_drain_pipe(&relay->pump), 0);
    assert_int_equal(relay->pump.pipe[0], -1);
    assert_int_equal(sp_epoll_of(relay->loop)->pipe_count, relay->loop->view.pipes_open);
    sp_str inside = sp_pump_inside(&relay->pump);
    assert_int_equal(inside.len, piped);
    assert_int_equal(sp_pump_drain_pipe(&relay->pump), 0); /* once more changes nothing */
    assert_ptr_equal(sp_pump_inside(&relay->pump).ptr, inside.ptr);
    while (flow.got < flow.fed) { /* and the old one can go on, if the new one did not come */
        sp_loop_turn(relay->loop, 0);
        drain(&flow, PIECE);
    }
    sp_sock_close(&relay->a, false);
    sp_sock_close(&relay->b, false);
    run_turns(relay->loop, 2);
    sp_loop_free(relay->loop);
    free(relay);
    close(flow.in);
    close(flow.out);
}

/* ---- a sock ---- */

struct pair {
    struct sp_loop *loop[2]; /* before and after */
    struct rec rec[2];
    int raw;
};

static void pair_start(struct pair *pair)
{
    int fds[2];
    memset(pair, 0, sizeof(*pair));
    tcp_pair(fds);
    for (int i = 0; i < 2; i++)
        pair->loop[i] = new_loop();
    rec_open(&pair->rec[0], pair->loop[0], fds[0], true);
    pair->raw = fds[1];
}

/* To the second loop, which has not run when this returns. */
static void pair_move(struct pair *pair)
{
    struct sp_sock_saved saved;
    sp_sock_save(&pair->rec[0].sock, &saved);
    int fd = sp_sock_detach(&pair->rec[0].sock);
    rec_init(&pair->rec[1]);
    assert_int_equal(sp_sock_load(&pair->rec[1].sock, pair->loop[1], &rec_ops, fd, &saved), 0);
    sp_sock_read(&pair->rec[1].sock, true);
    assert_int_equal(pair->rec[1].reads + pair->rec[1].ends, 0);
    run_turns(pair->loop[0], 2);
    assert_int_equal(pair->rec[0].closes, 0); /* it has left, and was not closed */
}

static void pair_stop(struct pair *pair)
{
    rec_close(&pair->rec[1], pair->loop[1]);
    free(pair->rec[0].bytes);
    for (int i = 0; i < 2; i++)
        sp_loop_free(pair->loop[i]);
    if (pair->raw >= 0)
        close(pair->raw);
}

static void what_the_kernel_holds_is_read_over_there(void **state)
{
    struct pair pair;
    pair_start(&pair);
    raw_write(pair.raw, "before ", 7);
    run_until(pair.loop[0], pair.rec[0].len == 7);
    raw_write(pair.raw, "between ", 8);
    pair_move(&pair);
    raw_write(pair.raw, "after", 5);
    run_until(pair.loop[1], pair.rec[1].len == 13);
    rec_check(&pair.rec[0], "before ");
    rec_check(&pair.rec[1], "between after");
    char answer[8] = "";
    assert_int_equal(rec_send(&pair.rec[1], "answer", 6), 6);
    assert_int_equal(raw_read(pair.raw, answer, 6), 6);
    assert_string_equal(answer, "answer");
    pair_stop(&pair);
}

static void an_end_that_was_told_is_not_told_again(void **state)
{
    struct pair pair;
    pair_start(&pair);
    shutdown(pair.raw, SHUT_WR);
    run_until(pair.loop[0], pair.rec[0].ends);
    pair_move(&pair);
    run_turns(pair.loop[1], 5);
    assert_int_equal(pair.rec[1].ends, 0);
    char answer[8] = "";
    assert_int_equal(rec_send(&pair.rec[1], "still", 5), 5); /* our direction goes on */
    assert_int_equal(raw_read(pair.raw, answer, 5), 5);
    pair_stop(&pair);
}

static void an_end_that_was_not_told_is_told_over_there(void **state)
{
    struct pair pair;
    pair_start(&pair);
    shutdown(pair.raw, SHUT_WR);
    pair_move(&pair);
    run_until(pair.loop[1], pair.rec[1].ends);
    assert_int_equal(pair.rec[1].end, SP_E_CLOSED);
    pair_stop(&pair);
}

static void our_end_is_said_once(void **state)
{
    struct pair pair;
    char byte;
    pair_start(&pair);
    sp_sock_shutdown(&pair.rec[0].sock);
    assert_int_equal(raw_read(pair.raw, &byte, 1), 0);
    pair_move(&pair);
    assert_true(pair.rec[1].sock.shut);
    raw_write(pair.raw, "heard", 5);
    run_until(pair.loop[1], pair.rec[1].len == 5);
    shutdown(pair.raw, SHUT_WR);
    run_until(pair.loop[1], pair.rec[1].ends);
    assert_int_equal(pair.rec[1].end, SP_E_CLOSED);
    pair_stop(&pair);
}

/* A send fails, and before the loop could tell of it the sock moves. */
static void a_break_that_is_owed_is_told_over_there_once(void **state)
{
    struct pair pair;
    pair_start(&pair);
    raw_reset(pair.raw);
    pair.raw = -1;
    for (int i = 0; i < 1000 && rec_send(&pair.rec[0], "x", 1) >= 0; i++)
        continue;
    struct sp_sock_saved saved;
    sp_sock_save(&pair.rec[0].sock, &saved);
    assert_true(saved.broken && saved.late);
    pair_move(&pair);
    run_until(pair.loop[1], pair.rec[1].ends);
    run_turns(pair.loop[1], 5);
    assert_int_equal(pair.rec[1].ends, 1);
    assert_int_equal(pair.rec[1].end, SP_E_RESET);
    pair_stop(&pair);
}

static void states_that_no_sock_was_in_are_refused_and_the_descriptor_stays(void **state)
{
    static const struct sp_sock_saved bad[] = {
        { .late = SP_E_RESET },                                /* owed, and nothing broke */
        { .broken = true },                                    /* broke, and nobody was or will be told */
        { .broken = true, .ended = true, .late = SP_E_RESET }, /* told, and owed */
        { .broken = true, .late = 1 },                         /* no error */
        { .broken = true, .late = SP_E_CANCELLED - 1 },
    };
    struct sp_loop *loop = new_loop();
    int fds[2];
    unix_pair(fds);
    uint32_t files = open_files();
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct sp_sock sock = { 0 };
        assert_int_equal(sp_sock_load(&sock, loop, &rec_ops, fds[0], &bad[i]), SP_E_INVALID);
        assert_int_equal(open_files(), files);
    }
    sp_loop_free(loop);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void our_copy_is_closed_and_the_connection_lives_on(void **state)
{
    struct sp_loop *loop = new_loop();
    int fds[2];
    char heard[8] = "";
    tcp_pair(fds);
    int theirs = dup(fds[0]); /* as another process has it */
    uint32_t files = open_files();
    raw_write(fds[1], "unread", 6);
    sp_sock_forget_fd(loop, fds[0]);
    assert_int_equal(open_files(), files - 1);
    assert_int_equal(raw_read(theirs, heard, 6), 6);
    assert_string_equal(heard, "unread");
    raw_write(theirs, "answer", 6);
    assert_int_equal(raw_read(fds[1], heard, 6), 6);
    close(theirs);
    close(fds[1]);
    sp_loop_free(loop);
}

/* ---- an acceptor ---- */

struct door {
    struct sp_acceptor acceptor;
    uint32_t accepted;
};

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    (void)peer;
    SP_CONTAINER(acceptor, struct door, acceptor)->accepted++;
    close(fd);
}

static void who_waits_in_the_queue_is_let_in_over_there(void **state)
{
    struct sp_loop *loop[2] = { new_loop(), new_loop() };
    struct door door[2] = { { .acceptor.on_accept = on_accept }, { .acceptor.on_accept = on_accept } };
    struct sp_listen_config config = { .addr = loopback(0) };
    sp_addr bound;
    int clients[8];
    assert_int_equal(sp_acceptor_listen(&door[0].acceptor, loop[0], &config), 0);
    assert_int_equal(sp_acceptor_local(&door[0].acceptor, &bound), 0);
    for (int i = 0; i < 4; i++)
        clients[i] = raw_connect(bound.port);
    int fd = sp_acceptor_detach(&door[0].acceptor);
    for (int i = 4; i < 8; i++)
        clients[i] = raw_connect(bound.port);
    run_turns(loop[0], 3);
    assert_int_equal(door[0].accepted, 0);
    sp_loop_free(loop[0]);
    assert_int_equal(sp_acceptor_open(&door[1].acceptor, loop[1], fd, false), 0);
    run_until(loop[1], door[1].accepted == 8);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    sp_acceptor_close(&door[1].acceptor);
    sp_loop_free(loop[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_inside_a_pipe_come_out_whole_and_in_order),
        cmocka_unit_test(a_pipe_that_was_drained_goes_back_empty),
        cmocka_unit_test(what_the_kernel_holds_is_read_over_there),
        cmocka_unit_test(an_end_that_was_told_is_not_told_again),
        cmocka_unit_test(an_end_that_was_not_told_is_told_over_there),
        cmocka_unit_test(our_end_is_said_once),
        cmocka_unit_test(a_break_that_is_owed_is_told_over_there_once),
        cmocka_unit_test(states_that_no_sock_was_in_are_refused_and_the_descriptor_stays),
        cmocka_unit_test(our_copy_is_closed_and_the_connection_lives_on),
        cmocka_unit_test(who_waits_in_the_queue_is_let_in_over_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
