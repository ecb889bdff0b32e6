/* flush: how what is queued leaves: once a turn, melted, in order, small while it waits, or not at all. */
#include "unit/link/kit.h"

static void many_pieces_of_a_turn_leave_in_one_write(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 }, other = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    struct far *far2 = world_join(&w, &other, &toy_codec);
    for (int i = 0; i < 30; i++) {
        near_say(&near, "a");
        near_say(&other, "b");
    }
    assert_int_equal(sp_cell_get(&w.link.writes), 0);
    run(&w);
    assert_int_equal(sp_cell_get(&w.link.writes), 2); /* one for each conn */
    assert_int_equal(sp_cell_get(&w.link.bytes_out), 60);
    check_got(far, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    check_got(far2, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    near_stop(&other);
    run(&w);
    sp_buf_deinit(&other.said);
    world_stop(&w, &near);
}

static void answers_made_in_events_leave_with_the_turn(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_say(far, "\001a\001b\001c");
    run(&w);
    near_say(&near, "1");
    near_say(&near, "2");
    run(&w);
    near_say(&near, "3");
    run(&w);
    assert_int_equal(sp_cell_get(&w.link.writes), 2);
    check_got(far, "123");
    world_stop(&w, &near);
}

static void views_that_touch_melt(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    struct sp_slab *slab = sp_slab_take(sp_loop_slabs(w.loop), SP_SLAB_SMALL);
    memcpy(slab->bytes, "abcdef", 6);
    slab->used = 6;
    sp_conn_queue(&near.conn, (struct sp_view){ sp_slab_ref(slab), slab->bytes, 2 });
    sp_conn_queue(&near.conn, (struct sp_view){ sp_slab_ref(slab), slab->bytes + 2, 2 });
    assert_int_equal(near.conn.out_last->count, 1);
    assert_int_equal(slab->refs, 2);
    sp_conn_queue(&near.conn, (struct sp_view){ sp_slab_ref(slab), slab->bytes + 5, 1 }); /* a gap */
    assert_int_equal(near.conn.out_last->count, 2);
    sp_slab_unref(slab);
    run(&w);
    check_got(far, "abcdf");
    world_stop(&w, &near);
}

static void a_small_piece_joins_what_was_written_before_it(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char *room = sp_conn_reserve(&near.conn, 64);
    memcpy(room, "head:", 5);
    sp_conn_commit(&near.conn, 5);
    struct sp_slab *slab = sp_slab_take(sp_loop_slabs(w.loop), SP_SLAB_READ);
    memset(slab->bytes, 'b', 6000);
    slab->used = 6000;
    sp_conn_queue(&near.conn, (struct sp_view){ sp_slab_ref(slab), slab->bytes, 100 });
    assert_int_equal(near.conn.out_last->count, 1);
    assert_int_equal(slab->refs, 1);
    sp_conn_queue(&near.conn,
                  (struct sp_view){ sp_slab_ref(slab), slab->bytes, 6000 }); /* too big for that */
    assert_int_equal(near.conn.out_last->count, 2);
    assert_int_equal(slab->refs, 2);
    sp_slab_unref(slab);
    room = sp_conn_reserve(&near.conn, 64); /* what was joined is not written over */
    memcpy(room, "end", 3);
    sp_conn_commit(&near.conn, 3);
    run(&w);
    assert_int_equal(far->got.len, 5 + 100 + 6000 + 3);
    assert_memory_equal(far->got.ptr, "head:b", 6);
    assert_memory_equal(far->got.ptr + 5 + 6100, "end", 3);
    assert_int_equal(sp_cell_get(&w.link.writes), 1);
    world_stop(&w, &near);
}

static void more_pieces_than_a_write_takes_leave_in_order(void **state)
{
    (void)state;
    enum { PIECES = 300 };
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    struct sp_slab *slabs[2];
    for (int i = 0; i < 2; i++) {
        slabs[i] = sp_slab_take(sp_loop_slabs(w.loop), SP_SLAB_SMALL);
        slabs[i]->used = PIECES;
        for (int k = 0; k < PIECES; k++)
            slabs[i]->bytes[k] = (char)('a' + (2 * k + i) % 26);
    }
    for (int k = 0; k < PIECES; k++) /* in turn from both, so that none melts */
        for (int i = 0; i < 2; i++)
            sp_conn_queue(&near.conn, (struct sp_view){ sp_slab_ref(slabs[i]), slabs[i]->bytes + k, 1 });
    for (int i = 0; i < 2; i++)
        sp_slab_unref(slabs[i]);
    run(&w);
    assert_int_equal(far->got.len, 2 * PIECES);
    for (int k = 0; k < 2 * PIECES; k++)
        assert_int_equal(far->got.ptr[k], 'a' + k % 26);
    assert_int_equal(w.link.free_block_count, 60);
    world_stop(&w, &near);
}

/* --- a peer that reads slowly --------------------------------------------------------------------------- */

static void fill(struct near *near, size_t bytes)
{
    static const char text[50 * 1024];
    for (size_t at = 0; at < bytes; at += sizeof(text))
        sp_conn_queue(&near->conn, (struct sp_view){ NULL, text, SP_MIN(bytes - at, sizeof(text)) });
}

/* A view of some bytes in a large slab of its own. */
static void queue_in_large_slab(struct near *near, uint32_t bytes)
{
    struct sp_slab *slab = sp_slab_take(sp_loop_slabs(near->world->loop), SP_SLAB_READ);
    memset(slab->bytes, 'x', bytes);
    slab->used = bytes;
    sp_conn_queue(&near->conn, (struct sp_view){ slab, slab->bytes, bytes });
}

static void what_a_full_socket_leaves_moves_to_small_slabs(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_sock_read(&far->sock, false);
    fill(&near, 200 * 1024);              /* more than the window */
    queue_in_large_slab(&near, 5 * 1024); /* too big to be joined to what was copied */
    for (int i = 0; i < 100; i++)
        queue_in_large_slab(&near, 100);
    assert_true(slab_bytes(&w) > 100 * 16384);
    run(&w);
    assert_true(near.conn.wait_room);
    uint64_t first = slab_bytes(&w);
    assert_true(first < 256 * 1024 + 100 * 512 + 64 * 1024);
    for (int i = 0; i < 100; i++) { /* what comes while it is full pins as little */
        queue_in_large_slab(&near, 100);
        run(&w);
    }
    assert_true(slab_bytes(&w) < first + 100 * 512 + 64 * 1024);
    sp_sock_read(&far->sock, true);
    run(&w);
    assert_int_equal(far->got.len, 205 * 1024 + 200 * 100);
    for (size_t i = 200 * 1024; i < far->got.len; i++)
        assert_int_equal(far->got.ptr[i], 'x');
    world_stop(&w, &near);
}

static void drained_is_told_once_below_half_the_mark(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    near.conn.out_mark = 100 * 1024;
    fill(&near, 100 * 1024);
    assert_false(sp_conn_is_full(&near.conn));
    run(&w);
    assert_int_equal(near.drained, 0); /* it never was above */
    sp_sock_read(&far->sock, false);
    fill(&near, 200 * 1024);
    assert_true(sp_conn_is_full(&near.conn));
    run(&w);
    assert_int_equal(near.drained, 0);
    sp_sock_read(&far->sock, true);
    run(&w);
    assert_int_equal(near.drained, 1);
    assert_int_equal(far->got.len, 300 * 1024);
    world_stop(&w, &near);
}

/* --- reserve and commit --------------------------------------------------------------------------------- */

static void reserved_room_becomes_what_was_used_of_it(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 }, other = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    struct far *far2 = world_join(&w, &other, &toy_codec);
    for (int i = 0; i < 1000; i++) {
        char *room = sp_conn_reserve(&near.conn, 64);
        memcpy(room, "near", 4);
        sp_conn_commit(&near.conn, 4);
        room = sp_conn_reserve(&other.conn, 64);
        memcpy(room, "other", 5);
        sp_conn_commit(&other.conn, 5);
    }
    (void)sp_conn_reserve(&near.conn, 64);
    sp_conn_commit(&near.conn, 0);
    run(&w);
    assert_int_equal(far->got.len, 4000);
    assert_int_equal(far2->got.len, 5000);
    assert_memory_equal(far->got.ptr + 3996, "near", 4);
    assert_memory_equal(far2->got.ptr + 4995, "other", 5);
    assert_int_equal(w.link.write->used, 0); /* it starts anew when nobody holds it */
    near_stop(&other);
    run(&w);
    sp_buf_deinit(&other.said);
    world_stop(&w, &near);
}

static void a_head_larger_than_the_write_slab_gets_its_own(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char *room = sp_conn_reserve(&near.conn, 100 * 1000);
    assert_non_null(room);
    memset(room, 'h', 100 * 1000);
    sp_conn_commit(&near.conn, 100 * 1000);
    assert_null(sp_conn_reserve(&near.conn, 1000 * 1000)); /* no slab is so large */
    run(&w);
    assert_int_equal(far->got.len, 100 * 1000);
    world_stop(&w, &near);
}

/* --- the end of our direction --------------------------------------------------------------------------- */

static void fin_stands_behind_what_is_queued(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    fill(&near, 300 * 1024);
    sp_conn_finish(&near.conn);
    sp_conn_finish(&near.conn);
    run(&w);
    assert_int_equal(far->got.len, 300 * 1024);
    assert_true(far->ended);
    assert_false(far->reset);
    far_tell(far, "still heard");
    run(&w);
    check_said(&near, "[still heard]");
    world_stop(&w, &near);
}

static void close_flushed_closes_behind_the_last_byte(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_sock_read(&far->sock, false);
    fill(&near, 300 * 1024);
    sp_conn_close_flushed(&near.conn);
    run(&w);
    assert_int_equal(near.closed, 0);
    far_tell(far, "ignored");
    sp_sock_read(&far->sock, true);
    run(&w);
    assert_int_equal(far->got.len, 300 * 1024);
    assert_int_equal(near.closed, 1);
    check_said(&near, ""); /* no more events */
    world_stop(&w, &near);
}

static void close_flushed_with_nothing_queued_closes_at_once(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_conn_close_flushed(&near.conn);
    assert_true(near.conn.closed);
    run(&w);
    assert_int_equal(near.closed, 1);
    assert_true(far->ended);
    world_stop(&w, &near);
}

static void close_flushed_ends_when_the_peer_is_gone(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_sock_read(&far->sock, false);
    fill(&near, 300 * 1024);
    sp_conn_close_flushed(&near.conn);
    sp_conn_hold(&near.conn, false); /* events are over all the same */
    run(&w);
    far_close(far, true);
    run(&w);
    assert_int_equal(near.closed, 1);
    check_said(&near, "");
    world_stop(&w, &near);
}

static void close_drops_what_is_queued(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    near_say(&near, "never");
    sp_conn_close(&near.conn, false);
    sp_conn_close(&near.conn, false);
    near_say(&near, "never");
    run(&w);
    check_got(far, "");
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

/* --- failure -------------------------------------------------------------------------------------------- */

static void close_at_end(struct near *near, sp_err err)
{
    if (err != SP_E_CLOSED)
        sp_conn_close(&near->conn, true);
}

/* Both directions are told apart: the peer has ended, in order, and is still sent to; then it is gone. */
static void a_send_that_fails_after_the_peers_fin_is_told(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_end = close_at_end };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, ".");
    far_close(far, true);
    run(&w);
    near_say(&near, "anybody?");
    run(&w);
    char want[32];
    snprintf(want, sizeof(want), "#%d", SP_E_RESET);
    check_said(&near, want);
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

/* The same while the end in order still waits behind a held request: a caller that asked, ended and left. */
static void a_send_that_fails_is_told_even_while_held(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_end = close_at_end };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_conn_hold(&near.conn, true);
    far_tell(far, "ask");
    sp_sock_shutdown(&far->sock);
    run(&w);
    far_close(far, true);
    run(&w);
    near_say(&near, "anybody?");
    run(&w);
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

static void queue_all_ways(struct near *near, struct sp_slab *big)
{
    near_say(near, "[head]");
    for (int i = 0; i < 12; i++) { /* more than a block of views holds */
        sp_conn_queue(&near->conn, (struct sp_view){ sp_slab_ref(big), big->bytes, 2 });
        near_say(near, "-");
    }
    near_say(near, "[tail]");
}

/* A gap would change the meaning of all behind it: either everything arrives, or the end is told and nothing
 * but a beginning has arrived. */
static void memory_that_is_out_ends_the_conn_without_a_gap(void **state)
{
    (void)state;
    static const char whole[] = "[head]##-##-##-##-##-##-##-##-##-##-##-##-[tail]";
    for (uint64_t n = 1;; n++) {
        struct world w;
        struct near near = { .on_end = close_at_end };
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        struct sp_slab *big = sp_slab_take(sp_loop_slabs(w.loop), SP_SLAB_SMALL);
        memcpy(big->bytes, "##", 2);
        big->used = 2;
        sp_mem_fail_at(n);
        queue_all_ways(&near, big);
        uint64_t made = sp_mem_fail_at(0);
        sp_slab_unref(big);
        run(&w);
        if (made < n) {
            assert_true(n > 2);
            check_got(far, whole);
            check_said(&near, "");
            world_stop(&w, &near);
            return;
        }
        char want[32];
        snprintf(want, sizeof(want), "#%d", SP_E_NOMEM);
        check_said(&near, want);
        check_got(far, "");
        assert_int_equal(near.closed, 1);
        world_stop(&w, &near);
    }
}

static void memory_that_is_out_for_input_ends_the_conn(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_end = close_at_end };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char text[200];
    memset(text, 'x', sizeof(text));
    far_say(far, "\310"); /* 200 follow */
    far_say_bytes(far, text, 190);
    run(&w);
    assert_int_equal(near.conn.in->klass, SP_SLAB_SMALL);
    struct sp_slab_pool *pool = sp_loop_slabs(w.loop);
    sp_slab_pool_trim(pool);
    pool->limit_bytes = pool->held_bytes + 16384; /* enough to read into, not to join */
    far_say_bytes(far, text, 5);
    run(&w);
    pool->limit_bytes = 0;
    char want[32];
    snprintf(want, sizeof(want), "#%d", SP_E_NOMEM);
    check_said(&near, want);
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

static void an_end_of_memory_follows_an_end_in_order(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_end = close_at_end };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, ".");
    near_say(&near, "begin");
    sp_conn_fail_later(&near.conn, SP_E_NOMEM);
    near_say(&near, "end");
    run(&w);
    char want[32];
    snprintf(want, sizeof(want), "#%d", SP_E_NOMEM);
    check_said(&near, want);
    check_got(far, "");
    world_stop(&w, &near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_pieces_of_a_turn_leave_in_one_write),
        cmocka_unit_test(answers_made_in_events_leave_with_the_turn),
        cmocka_unit_test(views_that_touch_melt),
        cmocka_unit_test(a_small_piece_joins_what_was_written_before_it),
        cmocka_unit_test(more_pieces_than_a_write_takes_leave_in_order),
        cmocka_unit_test(what_a_full_socket_leaves_moves_to_small_slabs),
        cmocka_unit_test(drained_is_told_once_below_half_the_mark),
        cmocka_unit_test(reserved_room_becomes_what_was_used_of_it),
        cmocka_unit_test(a_head_larger_than_the_write_slab_gets_its_own),
        cmocka_unit_test(fin_stands_behind_what_is_queued),
        cmocka_unit_test(close_flushed_closes_behind_the_last_byte),
        cmocka_unit_test(close_flushed_with_nothing_queued_closes_at_once),
        cmocka_unit_test(close_flushed_ends_when_the_peer_is_gone),
        cmocka_unit_test(close_drops_what_is_queued),
        cmocka_unit_test(a_send_that_fails_after_the_peers_fin_is_told),
        cmocka_unit_test(a_send_that_fails_is_told_even_while_held),
        cmocka_unit_test(memory_that_is_out_ends_the_conn_without_a_gap),
        cmocka_unit_test(memory_that_is_out_for_input_ends_the_conn),
        cmocka_unit_test(an_end_of_memory_follows_an_end_in_order),
    };
    return cmocka_run_group_tests_name("link flush", tests, NULL, NULL);
}
