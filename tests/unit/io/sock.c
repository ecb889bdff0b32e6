/* sock: every promise of the face, on real sockets: where bytes land, pauses, ends of each kind, room,
 * closing in each callback, connects that fail in each way; and what the steady state must not do. */
#include "io/sock.h"

#include "io/epoll_impl.h"
#include "unit/io/help.h"

/* --- where bytes land ----------------------------------------------------------------------------------- */

static void bytes_come_as_they_were_sent(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    unix_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    raw_write(fds[1], "hello ", 6);
    run_until(loop, rec.len == 6);
    raw_write(fds[1], "there", 5);
    run_until(loop, rec.len == 11);
    rec_check(&rec, "hello there");
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void a_slab_that_nobody_kept_serves_the_next_sock(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec a, b;
    int one[2], two[2];
    unix_pair(one);
    unix_pair(two);
    rec_open(&a, loop, one[0], true);
    rec_open(&b, loop, two[0], true);
    raw_write(one[1], "a", 1);
    run_until(loop, a.reads == 1);
    raw_write(two[1], "b", 1);
    run_until(loop, b.reads == 1);
    assert_ptr_equal(a.last_slab, b.last_slab);
    assert_int_equal(loop->slabs.held_bytes, a.last_slab->cap);
    rec_close(&a, loop);
    rec_close(&b, loop);
    close(one[1]);
    close(two[1]);
    sp_loop_free(loop);
}

static void keep_slab(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    if (!rec->kept)
        rec->kept = sp_slab_ref(slab);
}

static void a_kept_slab_is_not_written_again(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    unix_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    rec.do_bytes = keep_slab;
    raw_write(fds[1], "first", 5);
    run_until(loop, rec.reads == 1);
    raw_write(fds[1], "second", 6);
    run_until(loop, rec.reads == 2);
    assert_ptr_equal(rec.kept, rec.last_slab); /* there is room behind what was kept */
    assert_memory_equal(rec.kept->bytes, "firstsecond", 11);

    static char big[9000]; /* leaves too little room for a good read */
    raw_write(fds[1], big, sizeof(big));
    run_until(loop, rec.reads == 3);
    raw_write(fds[1], "third", 5);
    run_until(loop, rec.reads == 4);
    assert_ptr_not_equal(rec.kept, rec.last_slab);
    assert_int_equal(rec.kept->refs, 1);
    assert_memory_equal(rec.kept->bytes, "firstsecond", 11);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void keep_and_read_into(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    keep_slab(rec, slab, ptr, len);
    sp_sock_read_into(&rec->sock, rec->kept);
}

static void what_follows_lands_behind_what_is_held(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    unix_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    rec.do_bytes = keep_and_read_into;
    raw_write(fds[1], "one", 3);
    run_until(loop, rec.len == 3);
    raw_write(fds[1], "two", 3);
    run_until(loop, rec.len == 6);
    assert_ptr_equal(rec.kept, rec.last_slab);
    assert_int_equal(rec.kept->used, 6);
    assert_memory_equal(rec.kept->bytes, "onetwo", 6);
    assert_int_equal(rec.kept->refs, 1); /* nobody else's bytes can come between */

    rec.kept->used = rec.kept->cap - SP_SOCK_INTO_MIN + 1; /* now there is too little room */
    raw_write(fds[1], "three", 5);
    run_until(loop, rec.len == 11);
    assert_ptr_not_equal(rec.kept, rec.last_slab);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void note_cap(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    *(uint32_t *)rec->arg = slab->cap;
}

static void a_full_read_makes_the_next_a_large_one(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2], big = 1 << 20;
    uint32_t cap = 0, small_cap;
    static char bytes[100000];
    unix_pair(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    rec_open(&rec, loop, fds[0], true);
    rec.do_bytes = note_cap;
    rec.arg = &cap;
    raw_write(fds[1], "x", 1);
    run_until(loop, rec.reads == 1);
    small_cap = cap;
    raw_write(fds[1], bytes, sizeof(bytes));
    run_until(loop, rec.reads == 2);
    assert_int_equal(rec.last_len, small_cap);
    run_until(loop, rec.reads == 3);
    assert_true(cap > small_cap);
    run_until(loop, rec.len == 1 + sizeof(bytes));
    raw_write(fds[1], "x", 1);
    run_until(loop, rec.len == 2 + sizeof(bytes));
    raw_write(fds[1], "x", 1);
    run_until(loop, rec.len == 3 + sizeof(bytes));
    assert_int_equal(cap, small_cap);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

/* --- pauses --------------------------------------------------------------------------------------------- */

static void a_paused_sock_hears_nothing_and_then_everything(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 1);
    sp_sock_read(&rec.sock, false);
    raw_write(fds[1], "waits", 5);
    run_turns(loop, 5);
    assert_int_equal(rec.reads, 0);
    sp_sock_read(&rec.sock, true);
    run_until(loop, rec.len == 5);
    rec_check(&rec, "waits");
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void a_paused_sock_with_bytes_waiting_does_not_wake_the_loop(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    struct sp_loop_view before, after;
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 1);
    sp_sock_read(&rec.sock, false);
    raw_write(fds[1], "waits", 5);
    run_turns(loop, 3);
    sp_loop_get_view(loop, &before);
    for (int i = 0; i < 20; i++)
        sp_loop_turn(loop, SP_NS_PER_MS);
    sp_loop_get_view(loop, &after);
    assert_int_equal(after.events, before.events);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void answer_and_pause(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    assert_int_equal(rec_send(rec, ptr, len), (ssize_t)len);
    sp_sock_read(&rec->sock, false);
    sp_sock_read(&rec->sock, true);
    sp_sock_read(&rec->sock, false); /* as while a request is under way; on again before the next comes */
}

static void the_steady_state_meets_no_epoll_ctl_and_no_eagain(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    char back[64];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    rec.do_bytes = answer_and_pause;
    run_turns(loop, 2);
    count_calls(loop);
    for (uint32_t i = 0; i < 500; i++) {
        raw_write(fds[1], "ping", 4);
        run_until(loop, rec.reads == i + 1);
        sp_sock_read(&rec.sock, true);
        assert_int_equal(raw_read(fds[1], back, 4), 4);
    }
    assert_int_equal(counts.watches, 0);
    assert_int_equal(counts.recvs, 500);
    assert_int_equal(counts.recvs_in_vain, 0);
    assert_int_equal(counts.sends, 500);
    count_no_more(loop);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void a_pause_taken_back_in_the_same_turn_costs_nothing(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], false);
    run_turns(loop, 2);
    count_calls(loop);
    sp_sock_read(&rec.sock, true);
    sp_sock_read(&rec.sock, false);
    run_turns(loop, 2);
    assert_int_equal(counts.watches, 0);
    count_no_more(loop);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static void the_end_of_the_peers_direction_leaves_ours_open(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    char back[8];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    raw_write(fds[1], "last", 4);
    shutdown(fds[1], SHUT_WR);
    run_until(loop, rec.ends);
    rec_check(&rec, "last");
    assert_int_equal(rec.end, SP_E_CLOSED);
    assert_int_equal(rec_send(&rec, "answer", 6), 6);
    assert_int_equal(raw_read(fds[1], back, 6), 6);
    assert_memory_equal(back, "answer", 6);
    struct sp_loop_view before, after;
    sp_loop_get_view(loop, &before);
    run_turns(loop, 10);
    sp_loop_get_view(loop, &after);
    assert_int_equal(after.events, before.events); /* the end is told once, by the kernel too */
    assert_int_equal(rec.ends, 1);
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void our_end_stands_behind_everything_sent(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    char back[8];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    assert_int_equal(rec_send(&rec, "bye", 3), 3);
    sp_sock_shutdown(&rec.sock);
    sp_sock_shutdown(&rec.sock);
    assert_int_equal(raw_read(fds[1], back, 8), 3);
    raw_write(fds[1], "late", 4);
    run_until(loop, rec.len == 4);
    close(fds[1]);
    run_until(loop, rec.ends);
    assert_int_equal(rec.end, SP_E_CLOSED);
    struct sp_loop_view before, after;
    sp_loop_get_view(loop, &before);
    run_turns(loop, 10);
    sp_loop_get_view(loop, &after);
    assert_true(after.events - before.events <= 1); /* both directions are over: HUP is not heard for ever */
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void a_reset_is_told_once(void **state)
{
    for (int paused = 0; paused < 2; paused++) {
        struct sp_loop *loop = new_loop();
        struct rec rec;
        int fds[2];
        tcp_pair(fds);
        rec_open(&rec, loop, fds[0], !paused);
        run_turns(loop, 2);
        raw_reset(fds[1]);
        run_until(loop, rec.ends);
        assert_int_equal(rec.end, SP_E_RESET);
        run_turns(loop, 5);
        assert_int_equal(rec.ends, 1);
        assert_true(rec_send(&rec, "x", 1) < 0);
        run_turns(loop, 5);
        assert_int_equal(rec.ends, 1);
        rec_close(&rec, loop);
        sp_loop_free(loop);
    }
}

static void a_pause_is_no_shield_from_a_reset_that_bytes_precede(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 2);
    sp_sock_read(&rec.sock, false);
    raw_write(fds[1], "unread", 6);
    run_turns(loop, 3);
    raw_reset(fds[1]);
    run_until(loop, rec.ends);
    assert_int_equal(rec.end, SP_E_RESET);
    assert_int_equal(rec.reads, 0);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void a_connection_over_in_order_keeps_its_bytes_for_a_paused_reader(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    struct sp_loop_view before, after;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], false);
    run_turns(loop, 2);
    sp_sock_shutdown(&rec.sock);
    raw_write(fds[1], "kept for you", 12);
    close(fds[1]);
    run_turns(loop, 5);
    assert_int_equal(rec.ends, 0);
    sp_loop_get_view(loop, &before);
    for (int i = 0; i < 10; i++)
        sp_loop_turn(loop, SP_NS_PER_MS);
    sp_loop_get_view(loop, &after);
    assert_int_equal(after.events, before.events);
    sp_sock_read(&rec.sock, true);
    run_until(loop, rec.ends);
    rec_check(&rec, "kept for you");
    assert_int_equal(rec.end, SP_E_CLOSED);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

enum { EARLY_BYTES = 100000 };

/* The peer answers early and cuts, because it does not want the rest of what we send. */
static void early_answer(int fds[2])
{
    char some[4];
    static char answer[EARLY_BYTES];
    memset(answer, 'e', sizeof(answer));
    assert_int_equal(raw_read(fds[1], some, 4), 4);
    raw_write(fds[1], answer, sizeof(answer));
}

static void after_a_failed_send_the_answer_can_still_be_read(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 1);
    assert_int_equal(rec_send(&rec, "body body", 9), 9);
    early_answer(fds);
    close(fds[1]); /* five bytes unread: RST */
    ssize_t sent = 0;
    for (int i = 0; i < 100 && sent >= 0; i++) /* the first may meet a connection not yet known to be dead */
        sent = rec_send(&rec, "more", 4);
    assert_int_equal(sent, SP_E_RESET);
    assert_int_equal(rec.ends, 0); /* never inside the call */
    run_until(loop, rec.ends);
    assert_int_equal(rec.len, EARLY_BYTES); /* all of it, in several reads */
    assert_int_equal(rec.end, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(rec.ends, 1);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void a_failed_send_on_a_paused_sock_is_told_at_the_end_of_the_turn(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], false);
    raw_reset(fds[1]);
    ssize_t sent = 0;
    for (int i = 0; i < 100 && sent >= 0; i++)
        sent = rec_send(&rec, "more", 4);
    assert_int_equal(sent, SP_E_RESET);
    assert_int_equal(rec_send(&rec, "more", 4), SP_E_RESET);
    assert_int_equal(rec.ends, 0);
    sp_loop_turn(loop, 0);
    assert_int_equal(rec.ends, 1);
    assert_int_equal(rec.end, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(rec.ends, 1);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void pausing_after_a_failed_send_still_brings_the_end(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    run_turns(loop, 1);
    raw_reset(fds[1]);
    ssize_t sent = 0;
    for (int i = 0; i < 100 && sent >= 0; i++)
        sent = rec_send(&rec, "more", 4);
    sp_sock_read(&rec.sock, false);
    run_until(loop, rec.ends);
    assert_int_equal(rec.end, SP_E_RESET);
    run_turns(loop, 3);
    assert_int_equal(rec.ends, 1);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

static void a_unix_peer_that_is_gone_ends_in_order(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    unix_pair(fds);
    rec_open(&rec, loop, fds[0], true);
    raw_write(fds[1], "x", 1);
    close(fds[1]);
    run_until(loop, rec.ends);
    assert_int_equal(rec.end, SP_E_CLOSED);
    rec_check(&rec, "x");
    assert_int_equal(rec_send(&rec, "y", 1), SP_E_RESET);
    run_turns(loop, 5);
    assert_int_equal(rec.ends, 1);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

/* --- writing -------------------------------------------------------------------------------------------- */

struct flood {
    size_t sent, goal;
};

static void go_on_flooding(struct rec *rec)
{
    static char bytes[256 * 1024];
    struct flood *flood = rec->arg;
    while (flood->sent < flood->goal) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)((flood->sent + i) * 31 >> 3);
        size_t left = flood->goal - flood->sent;
        size_t len = left < sizeof(bytes) ? left : sizeof(bytes);
        struct iovec iov[3] = { { bytes, len / 3 },
                                { bytes + len / 3, 0 },
                                { bytes + len / 3, len - len / 3 } };
        ssize_t sent = sp_sock_send(&rec->sock, iov, 3);
        assert_true(sent >= 0);
        flood->sent += (size_t)sent;
        if ((size_t)sent < len)
            return;
    }
}

static void room_comes_after_a_send_that_took_less(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    struct flood flood = { 0, 20 * 1024 * 1024 };
    int fds[2];
    tcp_pair(fds);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    rec_open(&rec, loop, fds[0], true);
    rec.do_room = go_on_flooding;
    rec.arg = &flood;
    go_on_flooding(&rec);
    assert_true(flood.sent < flood.goal);
    size_t got = 0;
    char step[50000];
    while (got < flood.goal) {
        ssize_t now = recv(fds[1], step, sizeof(step), MSG_DONTWAIT);
        for (ssize_t i = 0; i < now; i++)
            assert_int_equal((uint8_t)step[i], (uint8_t)((got + (size_t)i) * 31 >> 3));
        if (now > 0)
            got += (size_t)now;
        sp_loop_turn(loop, 0);
    }
    assert_int_equal(flood.sent, flood.goal);
    assert_true(rec.rooms > 0);
    uint32_t rooms = rec.rooms;
    run_turns(loop, 5);
    assert_int_equal(rec.rooms, rooms); /* nobody waits any more */
    rec_close(&rec, loop);
    close(fds[1]);
    sp_loop_free(loop);
}

static void a_reset_while_waiting_for_room_ends_it(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec rec;
    int fds[2];
    static char bytes[8 << 20];
    tcp_pair(fds);
    rec_open(&rec, loop, fds[0], false);
    assert_true(rec_send(&rec, bytes, sizeof(bytes)) < (ssize_t)sizeof(bytes));
    run_turns(loop, 2);
    raw_reset(fds[1]);
    run_until(loop, rec.ends);
    assert_int_equal(rec.end, SP_E_RESET);
    rec_close(&rec, loop);
    sp_loop_free(loop);
}

/* --- closing -------------------------------------------------------------------------------------------- */

static void close_other(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    if (rec->other->sock.state == SP_SOCK_OPEN)
        sp_sock_close(&rec->other->sock, false);
}

static void a_sock_closed_in_the_same_batch_hears_nothing_more(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec a, b;
    int one[2], two[2];
    unix_pair(one);
    unix_pair(two);
    rec_open(&a, loop, one[0], true);
    rec_open(&b, loop, two[0], true);
    run_turns(loop, 1);
    a.do_bytes = b.do_bytes = close_other;
    a.other = &b;
    b.other = &a;
    raw_write(one[1], "x", 1);
    raw_write(two[1], "x", 1);
    sp_loop_turn(loop, 0);
    assert_int_equal(a.reads + b.reads, 1);
    assert_int_equal(a.closes + b.closes, 1); /* at the end of that very turn */
    rec_close(&a, loop);
    rec_close(&b, loop);
    close(one[1]);
    close(two[1]);
    sp_loop_free(loop);
}

static void a_sock_closed_and_reset_in_the_same_batch_hears_no_end(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec a, b;
    int one[2], two[2];
    unix_pair(one);
    tcp_pair(two);
    rec_open(&a, loop, one[0], true);
    rec_open(&b, loop, two[0], true);
    run_turns(loop, 1);
    a.do_bytes = close_other;
    a.other = &b;
    raw_write(one[1], "x", 1); /* the first to be ready, so the first to be told */
    raw_reset(two[1]);
    sp_loop_turn(loop, 0);
    assert_int_equal(a.reads, 1);
    assert_int_equal(b.ends, 0);
    assert_int_equal(b.closes, 1);
    rec_close(&a, loop);
    rec_close(&b, loop);
    close(one[1]);
    sp_loop_free(loop);
}

static void detach_other(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    *(int *)rec->arg = sp_sock_detach(&rec->other->sock);
    free(rec->other->bytes);
    memset(rec->other, 0xa5, sizeof(*rec->other)); /* the storage is gone at once */
    rec->other = NULL;
}

static void a_detached_sock_leaves_at_once_with_its_descriptor(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    int one[2], two[2], fd = -1;
    char x;
    unix_pair(one);
    unix_pair(two);
    rec_open(a, loop, one[0], true);
    rec_open(b, loop, two[0], true);
    run_turns(loop, 1);
    a->do_bytes = b->do_bytes = detach_other;
    a->other = b;
    b->other = a;
    a->arg = b->arg = &fd;
    raw_write(one[1], "x", 1);
    raw_write(two[1], "x", 1);
    run_turns(loop, 2);
    struct rec *left = fd == one[0] ? b : a;
    assert_true(fd >= 0);
    assert_int_equal(left->reads, 1);
    assert_int_equal(recv(fd, &x, 1, MSG_DONTWAIT), 1); /* unread, and still open */
    close(fd);
    rec_close(left, loop);
    close(one[1]);
    close(two[1]);
    free(a);
    free(b);
    sp_loop_free(loop);
}

static void detach_self(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    *(int *)rec->arg = sp_sock_detach(&rec->sock);
    free(rec->bytes);
    free(rec);
}

static void a_sock_may_detach_inside_its_own_callback(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec *rec = calloc(1, sizeof(*rec));
    int fds[2], fd = -1;
    unix_pair(fds);
    rec_open(rec, loop, fds[0], true);
    rec->do_bytes = detach_self;
    rec->arg = &fd;
    raw_write(fds[1], "x", 1);
    run_until(loop, fd >= 0);
    close(fd);
    close(fds[1]);
    sp_loop_free(loop);
}

static void detach_for_room(struct rec *rec)
{
    detach_self(rec, NULL, NULL, 0);
}

static void a_sock_that_detaches_for_room_is_not_read_in_the_same_event(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec *rec = calloc(1, sizeof(*rec));
    static char bytes[8 << 20];
    int fds[2], fd = -1;
    char x;
    tcp_pair(fds);
    rec_open(rec, loop, fds[0], true);
    assert_true(rec_send(rec, bytes, sizeof(bytes)) < (ssize_t)sizeof(bytes));
    run_turns(loop, 2);
    rec->do_room = detach_for_room;
    rec->arg = &fd;
    raw_write(fds[1], "y", 1); /* room and bytes come in one event */
    while (recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    run_until(loop, fd >= 0);
    assert_int_equal(recv(fd, &x, 1, MSG_DONTWAIT), 1); /* not read by us */
    close(fd);
    close(fds[1]);
    sp_loop_free(loop);
}

static void close_now(struct rec *rec)
{
    sp_sock_close(&rec->sock, false);
}

static void close_at_bytes(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len)
{
    sp_sock_close(&rec->sock, false);
}

static void a_sock_may_close_inside_each_of_its_callbacks(void **state)
{
    static char bytes[8 << 20];
    for (int which = 0; which < 4; which++) {
        struct sp_loop *loop = new_loop();
        struct rec rec;
        uint16_t port;
        int fds[2], listener = raw_listen(&port);
        sp_addr to = loopback(port);
        if (which == 3) {
            rec_init(&rec);
            rec.do_connected = close_now;
            assert_int_equal(sp_sock_connect(&rec.sock, loop, &rec_ops, &to, NULL, 0), 0);
        } else {
            tcp_pair(fds);
            rec_open(&rec, loop, fds[0], true);
            rec.do_bytes = which == 0 ? close_at_bytes : NULL;
            rec.do_end = which == 1 ? close_now : NULL;
            rec.do_room = which == 2 ? close_now : NULL;
        }
        if (which == 0)
            raw_write(fds[1], "x", 1);
        if (which == 1)
            shutdown(fds[1], SHUT_WR);
        if (which == 2) {
            assert_true(rec_send(&rec, bytes, sizeof(bytes)) < (ssize_t)sizeof(bytes));
            for (int i = 0; i < 1000 && !rec.rooms; i++) {
                (void)recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT);
                sp_loop_turn(loop, SP_NS_PER_MS);
            }
        }
        run_until(loop, rec.closes);
        run_turns(loop, 3);
        rec_close(&rec, loop);
        if (which != 3)
            close(fds[1]);
        close(listener);
        sp_loop_free(loop);
    }
}

static void closing_with_reset_cuts_and_without_ends_in_order(void **state)
{
    for (int reset = 0; reset < 2; reset++) {
        struct sp_loop *loop = new_loop();
        struct rec rec;
        int fds[2];
        char x;
        tcp_pair(fds);
        rec_open(&rec, loop, fds[0], true);
        sp_sock_close(&rec.sock, reset);
        ssize_t got = recv(fds[1], &x, 1, 0);
        if (reset)
            assert_true(got < 0 && errno == ECONNRESET);
        else
            assert_int_equal(got, 0);
        rec_close(&rec, loop);
        close(fds[1]);
        sp_loop_free(loop);
    }
}

static void a_descriptor_that_nobody_takes_is_cut(void **state)
{
    struct sp_loop *loop = new_loop();
    int fds[2];
    char x;
    tcp_pair(fds);
    sp_sock_drop_fd(loop, fds[0]);
    assert_true(recv(fds[1], &x, 1, 0) < 0 && errno == ECONNRESET);
    close(fds[1]);
    sp_loop_free(loop);
}

/* A copy of the descriptor keeps the connection open, and with it, were it not taken out, its registration.
 * */
static void a_closed_sock_is_forgotten_though_a_copy_of_it_is_open(void **state)
{
    struct sp_loop *loop = new_loop();
    struct rec *rec = calloc(1, sizeof(*rec));
    int fds[2];
    tcp_pair(fds);
    int copy = dup(fds[0]);
    rec_open(rec, loop, fds[0], true);
    run_turns(loop, 2);
    rec_close(rec, loop);
    free(rec);
    raw_write(fds[1], "x", 1);
    struct sp_loop_view before, after;
    sp_loop_get_view(loop, &before);
    run_turns(loop, 3);
    sp_loop_get_view(loop, &after);
    assert_int_equal(after.events, before.events);
    close(copy);
    close(fds[1]);
    sp_loop_free(loop);
}

/* --- slabs run out -------------------------------------------------------------------------------------- */

static void without_slabs_reading_waits_and_goes_on_when_one_returns(void **state)
{
    struct sp_loop_config config = { .slab_limit_bytes = 20000 };
    struct sp_loop *loop = sp_loop_new(&config);
    struct rec a, b;
    struct sp_loop_view view;
    int one[2], two[2];
    unix_pair(one);
    unix_pair(two);
    rec_open(&a, loop, one[0], true);
    rec_open(&b, loop, two[0], true);
    a.do_bytes = keep_slab;
    static char big[9000]; /* keeps the only slab */
    raw_write(one[1], big, sizeof(big));
    run_until(loop, a.reads == 1);
    raw_write(two[1], "has to wait", 11);
    for (int i = 0; i < 10; i++)
        sp_loop_turn(loop, SP_NS_PER_MS);
    assert_int_equal(b.reads, 0);
    sp_loop_get_view(loop, &view);
    assert_int_equal(view.starved, 1); /* once, not in each turn */

    sp_slab_unref(a.kept);
    a.kept = NULL;
    a.do_bytes = NULL;
    run_until(loop, b.reads == 1);
    rec_check(&b, "has to wait");
    assert_int_equal(b.ends, 0);

    a.do_bytes = keep_slab; /* starved socks can be paused and closed */
    raw_write(one[1], big, sizeof(big));
    run_until(loop, a.reads == 2);
    raw_write(two[1], "x", 1);
    run_turns(loop, 3);
    assert_true(b.sock.starved);
    sp_sock_read(&b.sock, false);
    run_turns(loop, 3);
    sp_sock_read(&b.sock, true);
    run_turns(loop, 3);
    assert_true(b.sock.starved);
    rec_close(&b, loop);
    rec_close(&a, loop);
    close(one[1]);
    close(two[1]);
    sp_loop_free(loop);
}

int main(void)
{
    signal(SIGPIPE, SIG_DFL); /* sends must not raise it */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_as_they_were_sent),
        cmocka_unit_test(a_slab_that_nobody_kept_serves_the_next_sock),
        cmocka_unit_test(a_kept_slab_is_not_written_again),
        cmocka_unit_test(what_follows_lands_behind_what_is_held),
        cmocka_unit_test(a_full_read_makes_the_next_a_large_one),
        cmocka_unit_test(a_paused_sock_hears_nothing_and_then_everything),
        cmocka_unit_test(a_paused_sock_with_bytes_waiting_does_not_wake_the_loop),
        cmocka_unit_test(the_steady_state_meets_no_epoll_ctl_and_no_eagain),
        cmocka_unit_test(a_pause_taken_back_in_the_same_turn_costs_nothing),
        cmocka_unit_test(the_end_of_the_peers_direction_leaves_ours_open),
        cmocka_unit_test(our_end_stands_behind_everything_sent),
        cmocka_unit_test(a_reset_is_told_once),
        cmocka_unit_test(a_pause_is_no_shield_from_a_reset_that_bytes_precede),
        cmocka_unit_test(a_connection_over_in_order_keeps_its_bytes_for_a_paused_reader),
        cmocka_unit_test(after_a_failed_send_the_answer_can_still_be_read),
        cmocka_unit_test(a_failed_send_on_a_paused_sock_is_told_at_the_end_of_the_turn),
        cmocka_unit_test(pausing_after_a_failed_send_still_brings_the_end),
        cmocka_unit_test(a_unix_peer_that_is_gone_ends_in_order),
        cmocka_unit_test(room_comes_after_a_send_that_took_less),
        cmocka_unit_test(a_reset_while_waiting_for_room_ends_it),
        cmocka_unit_test(a_sock_closed_in_the_same_batch_hears_nothing_more),
        cmocka_unit_test(a_sock_closed_and_reset_in_the_same_batch_hears_no_end),
        cmocka_unit_test(a_detached_sock_leaves_at_once_with_its_descriptor),
        cmocka_unit_test(a_sock_may_detach_inside_its_own_callback),
        cmocka_unit_test(a_sock_that_detaches_for_room_is_not_read_in_the_same_event),
        cmocka_unit_test(a_sock_may_close_inside_each_of_its_callbacks),
        cmocka_unit_test(closing_with_reset_cuts_and_without_ends_in_order),
        cmocka_unit_test(a_descriptor_that_nobody_takes_is_cut),
        cmocka_unit_test(a_closed_sock_is_forgotten_though_a_copy_of_it_is_open),
        cmocka_unit_test(without_slabs_reading_waits_and_goes_on_when_one_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
