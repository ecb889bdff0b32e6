/* pump: bytes go through whole and in order, copied or spliced, also to slow readers; ends and breaks are
 * told once, in order; stopping gives out what is inside; pipes and slabs come back. */
#include "io/pump.h"

#include <sys/ioctl.h>

#include "base/rng.h"
#include "io/epoll_impl.h"
#include "unit/io/help.h"

struct relay {
    struct sp_loop *loop;
    struct rec a, b; /* a is fed by in, b feeds out */
    int in, out;     /* raw ends of the other side */
    struct sp_pump pump;
    uint64_t moved;
    uint32_t dones;
    sp_err done;
    bool saw_pipe, saw_slab;
    void (*do_done)(struct relay *relay);
    void (*do_moved)(struct relay *relay);
};

static void on_moved(struct sp_pump *pump, uint64_t bytes)
{
    struct relay *relay = SP_CONTAINER(pump, struct relay, pump);
    relay->moved += bytes;
    if (relay->do_moved)
        relay->do_moved(relay);
}

static void on_done(struct sp_pump *pump, sp_err err)
{
    struct relay *relay = SP_CONTAINER(pump, struct relay, pump);
    assert_false(pump->running);
    relay->dones++;
    relay->done = err;
    if (relay->do_done)
        relay->do_done(relay);
}

static void relay_start(struct relay *relay, struct sp_loop *loop)
{
    int one[2], two[2];
    memset(relay, 0, sizeof(*relay));
    relay->loop = loop;
    tcp_pair(one);
    tcp_pair(two);
    relay->in = one[1];
    relay->out = two[1];
    rec_open(&relay->a, loop, one[0], false);
    rec_open(&relay->b, loop, two[0], false);
    relay->pump.on_moved = on_moved;
    relay->pump.on_done = on_done;
    assert_int_equal(sp_pump_start(&relay->pump, &relay->a.sock, &relay->b.sock), 0);
}

/* Pipes that wait to be lent again are empty, and none is out. */
static void check_pipes(struct sp_loop *loop)
{
    struct sp_epoll *e = (struct sp_epoll *)loop;
    assert_int_equal(loop->view.pipes_open, e->pipe_count);
    for (int i = 0; i < e->pipe_count; i++) {
        int waiting = -1;
        assert_int_equal(ioctl(e->pipes[i][0], FIONREAD, &waiting), 0);
        assert_int_equal(waiting, 0);
    }
}

static void relay_end(struct relay *relay)
{
    if (relay->in >= 0)
        close(relay->in);
    if (relay->out >= 0)
        close(relay->out);
    rec_close(&relay->a, relay->loop);
    rec_close(&relay->b, relay->loop);
    assert_int_equal(relay->a.reads + relay->b.rooms, 0); /* the pump's matter, not the owner's */
}

/* --- whole and in order --------------------------------------------------------------------------------- */

/* The feeding side and the reading side, each by its own pace, on the test's thread. */
struct flow {
    uint64_t fed, got, goal;
    uint64_t fed_hash, got_hash;
    size_t feed_step, read_step;
    uint32_t read_each; /* reads once in so many rounds */
};

static uint64_t mix(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3ull;
    return hash;
}

static void feed(struct relay *relay, struct flow *flow, struct sp_rng *rng)
{
    static char bytes[256 * 1024];
    uint64_t left = flow->goal - flow->fed;
    size_t len = left < flow->feed_step ? (size_t)left : flow->feed_step;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t some = sp_rng_next(rng);
        memcpy(bytes + i, &some, 8);
    }
    ssize_t sent = send(relay->in, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        flow->fed += (uint64_t)sent;
        flow->fed_hash = mix(flow->fed_hash, bytes, (size_t)sent);
    }
    if (flow->fed == flow->goal)
        shutdown(relay->in, SHUT_WR);
}

static void drain(struct relay *relay, struct flow *flow)
{
    static char bytes[256 * 1024];
    ssize_t got = recv(relay->out, bytes, flow->read_step, MSG_DONTWAIT);
    if (got > 0) {
        flow->got += (uint64_t)got;
        flow->got_hash = mix(flow->got_hash, bytes, (size_t)got);
    }
}

static void run_flow(struct relay *relay, struct flow *flow, uint64_t seed)
{
    struct sp_rng rng;
    sp_rng_init(&rng, seed);
    uint64_t give_up = sp_loop_clock(relay->loop) + 60 * SP_NS_PER_S;
    for (uint32_t round = 0; !(relay->dones && flow->got == flow->goal); round++) {
        if (flow->fed < flow->goal)
            feed(relay, flow, &rng);
        sp_loop_turn(relay->loop, 0);
        relay->saw_pipe |= relay->pump.mode != 0 || relay->pump.piped > 0;
        relay->saw_slab |= relay->pump.held != NULL;
        if (round % flow->read_each == 0)
            drain(relay, flow);
        if (sp_loop_clock(relay->loop) > give_up)
            fail_msg("seed %llu: only %llu of %llu came through", (unsigned long long)seed,
                     (unsigned long long)flow->got, (unsigned long long)flow->goal);
    }
}

enum way { COPIED, SPLICED, EITHER };

static void check_flow(size_t feed_step, size_t read_step, uint32_t read_each, uint64_t goal, enum way way)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    struct flow flow = {
        .goal = goal, .feed_step = feed_step, .read_step = read_step, .read_each = read_each
    };
    relay_start(&relay, loop);
    run_flow(&relay, &flow, feed_step + read_step);
    assert_int_equal(flow.got_hash, flow.fed_hash);
    assert_int_equal(relay.moved, goal);
    assert_int_equal(relay.done, SP_E_CLOSED);
    assert_int_equal(relay.dones, 1);
    if (way != EITHER)
        assert_int_equal(relay.saw_pipe, way == SPLICED);
    sp_sock_shutdown(&relay.b.sock);
    char x;
    assert_int_equal(raw_read(relay.out, &x, 1), 0);
    relay_end(&relay);
    check_pipes(loop);
    sp_loop_free(loop);
}

static void small_messages_are_copied_through(void **state)
{
    check_flow(100, 256 * 1024, 1, 200000, COPIED);
}

static void bulk_goes_by_splice_and_comes_out_the_same(void **state)
{
    check_flow(256 * 1024, 256 * 1024, 1, 24 << 20, SPLICED);
}

static void a_slow_reader_gets_the_same_bytes(void **state)
{
    check_flow(256 * 1024, 30001, 3, 12 << 20, SPLICED);
    check_flow(5000, 997, 2, 3 << 20, EITHER);
}

static void without_pipes_bulk_is_copied_through(void **state)
{
    struct sp_loop *loop = new_loop();
    struct sp_loop_body no_splice = *loop->body;
    const struct sp_loop_body *body = loop->body;
    struct relay relay;
    struct flow flow = { .goal = 12 << 20, .feed_step = 256 * 1024, .read_step = 30001, .read_each = 2 };
    no_splice.splice = NULL;
    loop->body = &no_splice;
    relay_start(&relay, loop);
    run_flow(&relay, &flow, 7);
    assert_int_equal(flow.got_hash, flow.fed_hash);
    assert_true(relay.saw_slab);
    assert_false(relay.saw_pipe);
    relay_end(&relay);
    loop->body = body;
    sp_loop_free(loop);
}

/* --- modes ---------------------------------------------------------------------------------------------- */

static void fill_until_piped(struct relay *relay)
{
    static char bytes[256 * 1024];
    for (int i = 0; i < 10000 && relay->pump.piped == 0; i++) {
        (void)send(relay->in, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        sp_loop_turn(relay->loop, 0);
        if (relay->pump.held) /* room for the next, so that the copying gets by */
            (void)recv(relay->out, bytes, sizeof(bytes), MSG_DONTWAIT);
    }
    assert_true(relay->pump.piped > 0);
}

static void flows_that_find_all_pipes_lent_are_copied_through(void **state)
{
    struct sp_loop *loop = sp_loop_new(&(struct sp_loop_config){ .pipes = 1 });
    struct relay first, other;
    struct flow flow = { .goal = 12 << 20, .feed_step = 256 * 1024, .read_step = 30001, .read_each = 2 };
    relay_start(&first, loop);
    fill_until_piped(&first); /* and there it stays: nobody reads */
    relay_start(&other, loop);
    run_flow(&other, &flow, 11);
    assert_int_equal(flow.got_hash, flow.fed_hash);
    assert_true(other.saw_slab);
    assert_int_equal(other.pump.pipe[0], -1);
    assert_int_equal(loop->view.pipes_open, 1);
    relay_end(&other);
    relay_end(&first);
    sp_loop_free(loop);
}

static void a_loop_may_have_no_pipes_at_all(void **state)
{
    struct sp_loop *loop = sp_loop_new(&(struct sp_loop_config){ .pipes = 9, .no_pipes = true });
    struct relay relay;
    struct flow flow = { .goal = 4 << 20, .feed_step = 256 * 1024, .read_step = 256 * 1024, .read_each = 2 };
    relay_start(&relay, loop);
    run_flow(&relay, &flow, 12);
    assert_int_equal(flow.got_hash, flow.fed_hash);
    assert_int_equal(loop->view.pipes_open, 0);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void a_flow_that_thins_out_is_copied_again_and_holds_no_pipe(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    static char bytes[1 << 20];
    relay_start(&relay, loop);
    fill_until_piped(&relay);
    while (recv(relay.out, bytes, sizeof(bytes), MSG_DONTWAIT) > 0 || relay.pump.piped || relay.pump.held)
        sp_loop_turn(loop, 0);
    assert_int_equal(relay.pump.pipe[0], -1);
    for (int i = 0; i < 20; i++) {
        raw_write(relay.in, "thin", 4);
        uint64_t moved = relay.moved;
        run_until(loop, relay.moved > moved);
    }
    assert_int_equal(relay.pump.mode, 0);
    relay_end(&relay);
    sp_loop_free(loop);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static void a_source_that_breaks_is_told_by_the_pump(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    run_turns(loop, 2);
    raw_reset(relay.in);
    relay.in = -1;
    run_until(loop, relay.dones);
    assert_int_equal(relay.done, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(relay.dones, 1);
    assert_int_equal(relay.a.ends, 0);
    assert_int_equal(relay.b.ends, 0);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void a_receiver_that_breaks_is_told_by_the_pump(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    run_turns(loop, 2);
    raw_reset(relay.out);
    relay.out = -1;
    for (int i = 0; i < 100 && !relay.dones; i++) {
        (void)send(relay.in, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        sp_loop_turn(loop, SP_NS_PER_MS);
    }
    assert_int_equal(relay.dones, 1);
    assert_int_equal(relay.done, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(relay.dones, 1);
    assert_int_equal(relay.b.ends, 1); /* no pump reads from it: its end is its owner's */
    assert_int_equal(relay.b.end, SP_E_RESET);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void a_receiver_found_broken_by_the_sending_is_told_both_ways(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    run_turns(loop, 2);
    raw_write(relay.in, "x",
              1); /* the first to be ready, so the sending comes before the event of the break */
    raw_reset(relay.out);
    relay.out = -1;
    run_until(loop, relay.dones && relay.b.ends);
    assert_int_equal(relay.done, SP_E_RESET);
    assert_int_equal(relay.b.end, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(relay.dones + relay.b.ends, 2);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void a_receiver_that_breaks_with_bytes_inside_gives_the_pipe_back(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    fill_until_piped(&relay);
    raw_reset(relay.out);
    relay.out = -1;
    run_until(loop, relay.dones);
    assert_int_equal(relay.done, SP_E_RESET);
    relay_end(&relay);
    check_pipes(loop);
    sp_loop_free(loop);
}

static void shut_on(struct relay *relay)
{
    if (relay->done == SP_E_CLOSED)
        sp_sock_shutdown(&relay->b.sock);
}

/* Two pumps between the same two socks: one direction ends, the other goes on. */
static void half_close_passes_through_and_the_answer_comes_back(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay there;
    struct relay back = { .loop = loop };
    char got[32];
    relay_start(&there, loop);
    there.do_done = shut_on;
    back.pump.on_moved = on_moved;
    back.pump.on_done = on_done;
    assert_int_equal(sp_pump_start(&back.pump, &there.b.sock, &there.a.sock), 0);
    raw_write(there.in, "question", 8);
    shutdown(there.in, SHUT_WR);
    run_until(loop, there.dones);
    assert_int_equal(raw_read(there.out, got, sizeof(got)), 8); /* and then the end */
    assert_int_equal(back.dones, 0);
    raw_write(there.out, "answer", 6);
    close(there.out);
    there.out = -1;
    run_until(loop, back.dones);
    assert_int_equal(back.done, SP_E_CLOSED);
    assert_int_equal(raw_read(there.in, got, 6), 6);
    assert_memory_equal(got, "answer", 6);
    relay_end(&there);
    sp_loop_free(loop);
}

static void a_break_is_told_by_both_pumps_of_a_relay(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay there;
    struct relay back = { .loop = loop };
    relay_start(&there, loop);
    back.pump.on_done = on_done;
    assert_int_equal(sp_pump_start(&back.pump, &there.b.sock, &there.a.sock), 0);
    run_turns(loop, 2);
    raw_reset(there.out);
    there.out = -1;
    run_until(loop, there.dones && back.dones);
    assert_int_equal(there.done, SP_E_RESET);
    assert_int_equal(back.done, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(there.dones + back.dones, 2);
    relay_end(&there);
    sp_loop_free(loop);
}

static void close_both(struct relay *relay)
{
    sp_sock_close(&relay->a.sock, true);
    sp_sock_close(&relay->b.sock, true);
}

static void both_socks_may_close_inside_its_callbacks(void **state)
{
    for (int which = 0; which < 2; which++) {
        struct sp_loop *loop = new_loop();
        struct relay relay;
        relay_start(&relay, loop);
        if (which)
            relay.do_done = close_both;
        else
            relay.do_moved = close_both;
        raw_write(relay.in, "x", 1);
        shutdown(relay.in, SHUT_WR);
        run_until(loop, relay.a.closes && relay.b.closes);
        assert_int_equal(relay.dones, which);
        relay_end(&relay);
        sp_loop_free(loop);
    }
}

/* --- stopping ------------------------------------------------------------------------------------------- */

static void an_empty_pump_stops_at_once_and_the_owner_reads_on(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    raw_write(relay.in, "through", 7);
    run_until(loop, relay.moved == 7);
    assert_true(sp_pump_stop(&relay.pump));
    assert_true(sp_pump_stop(&relay.pump));
    raw_write(relay.in, "owner's", 7);
    run_turns(loop, 3);
    assert_int_equal(relay.moved, 7);
    sp_sock_read(&relay.a.sock, true);
    run_until(loop, relay.a.len == 7);
    rec_check(&relay.a, "owner's");
    assert_int_equal(relay.dones, 0);
    relay.a.reads = 0; /* its owner's this time */
    assert_int_equal(sp_pump_start(&relay.pump, &relay.a.sock, &relay.b.sock),
                     0); /* and the pump can run again */
    raw_write(relay.in, "more", 4);
    run_until(loop, relay.moved == 11);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void a_full_pump_stops_when_its_bytes_are_out(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    static char bytes[1 << 20];
    relay_start(&relay, loop);
    fill_until_piped(&relay);
    uint64_t inside = relay.pump.piped, before = relay.moved;
    assert_false(sp_pump_stop(&relay.pump));
    uint64_t give_up = sp_loop_clock(loop) + 10 * SP_NS_PER_S;
    while (!relay.dones && sp_loop_clock(loop) < give_up) {
        (void)recv(relay.out, bytes, sizeof(bytes), MSG_DONTWAIT);
        sp_loop_turn(loop, 0);
    }
    assert_int_equal(relay.dones, 1);
    assert_int_equal(relay.done, SP_E_CANCELLED);
    assert_int_equal(relay.moved - before, inside);
    relay_end(&relay);
    sp_loop_free(loop);
}

static void cancelling_drops_what_is_inside_without_a_word(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay;
    relay_start(&relay, loop);
    fill_until_piped(&relay);
    sp_pump_cancel(&relay.pump);
    sp_pump_cancel(&relay.pump);
    run_turns(loop, 3);
    assert_int_equal(relay.dones, 0);
    relay_end(&relay);
    check_pipes(loop);
    sp_loop_free(loop);
}

static void a_sock_has_one_pump_for_each_direction(void **state)
{
    struct sp_loop *loop = new_loop();
    struct relay relay, other;
    relay_start(&relay, loop);
    relay_start(&other, loop);
    struct sp_pump second = { .on_done = on_done };
    assert_int_equal(sp_pump_start(&second, &relay.a.sock, &other.a.sock), SP_E_EXISTS);
    assert_int_equal(sp_pump_start(&second, &other.b.sock, &relay.b.sock), SP_E_EXISTS);
    sp_sock_shutdown(&other.a.sock);
    assert_int_equal(sp_pump_start(&second, &relay.b.sock, &other.a.sock), SP_E_CLOSED);
    relay_end(&relay);
    relay_end(&other);
    sp_loop_free(loop);
}

/* --- shortage ------------------------------------------------------------------------------------------- */

static void without_slabs_it_waits_and_goes_on(void **state)
{
    struct sp_loop_config config = { .slab_limit_bytes = 80000 };
    struct sp_loop *loop = sp_loop_new(&config);
    struct relay relay;
    struct sp_slab *taken[4];
    relay_start(&relay, loop);
    for (int i = 0; i < 4; i++)
        taken[i] = sp_slab_take(sp_loop_slabs(loop), SP_SLAB_READ);
    raw_write(relay.in, "patience", 8);
    for (int i = 0; i < 5; i++)
        sp_loop_turn(loop, SP_NS_PER_MS);
    assert_int_equal(relay.moved, 0);
    for (int i = 0; i < 4; i++)
        sp_slab_unref(taken[i]);
    run_until(loop, relay.moved == 8);
    relay_end(&relay);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_messages_are_copied_through),
        cmocka_unit_test(bulk_goes_by_splice_and_comes_out_the_same),
        cmocka_unit_test(a_slow_reader_gets_the_same_bytes),
        cmocka_unit_test(without_pipes_bulk_is_copied_through),
        cmocka_unit_test(flows_that_find_all_pipes_lent_are_copied_through),
        cmocka_unit_test(a_loop_may_have_no_pipes_at_all),
        cmocka_unit_test(a_flow_that_thins_out_is_copied_again_and_holds_no_pipe),
        cmocka_unit_test(a_source_that_breaks_is_told_by_the_pump),
        cmocka_unit_test(a_receiver_that_breaks_is_told_by_the_pump),
        cmocka_unit_test(a_receiver_found_broken_by_the_sending_is_told_both_ways),
        cmocka_unit_test(a_receiver_that_breaks_with_bytes_inside_gives_the_pipe_back),
        cmocka_unit_test(half_close_passes_through_and_the_answer_comes_back),
        cmocka_unit_test(a_break_is_told_by_both_pumps_of_a_relay),
        cmocka_unit_test(both_socks_may_close_inside_its_callbacks),
        cmocka_unit_test(an_empty_pump_stops_at_once_and_the_owner_reads_on),
        cmocka_unit_test(a_full_pump_stops_when_its_bytes_are_out),
        cmocka_unit_test(cancelling_drops_what_is_inside_without_a_word),
        cmocka_unit_test(a_sock_has_one_pump_for_each_direction),
        cmocka_unit_test(without_slabs_it_waits_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
