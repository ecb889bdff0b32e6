/* handoff: a conn is saved and made again after each of its events, and goes on as one that never was: the
 * same messages, cut in the same places or not at all, the same end, told once, and every byte that waited to
 * go. */
#include "link/handoff.h"

#include "unit/link/kit.h"

/* --- the toy grammar, with a state that can be told ----------------------------------------------------- */

static void save_toy(const struct sp_codec_state *state, void *out)
{
    *(unsigned char *)out = state->bytes[0];
}

static sp_err load_toy(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits)
{
    unsigned char flows = *(const unsigned char *)in;
    (void)limits;
    if (flows && flows != TOY_FLOWS && flows != TOY_TO_THE_END)
        return SP_E_INVALID;
    state->bytes[0] = flows;
    return 0;
}

static const struct sp_codec moving = { .name = "toy",
                                        .protocol = SP_PROTO_HTTP1,
                                        .init = toy_init,
                                        .decode = toy_decode,
                                        .finish = toy_finish,
                                        .save_bytes = 1,
                                        .save = save_toy,
                                        .load = load_toy };

/* --- moving --------------------------------------------------------------------------------------------- */

struct told {
    struct sp_record_writer writer;
    struct sp_conn_record record;
};

static void tell(const struct near *near, struct told *told)
{
    struct sp_record_reader reader;
    uint16_t kind;
    sp_record_writer_init(&told->writer, NULL);
    sp_conn_save(&near->conn, &told->writer);
    assert_int_equal(told->writer.err, 0);
    sp_record_reader_init(&reader, sp_buf_str(&told->writer.out), told->writer.fds, told->writer.fd_count);
    assert_int_equal(sp_record_next(&reader, &kind), 1);
    assert_int_equal(kind, SP_KIND_CONN);
    assert_int_equal(sp_record_get(&reader, &sp_conn_kind, &told->record), 0);
    assert_int_equal(told->record.fd, 1);
}

/* In the same storage, which is wiped in between. */
static void move(struct near *near)
{
    struct told told;
    const char *words = NULL;
    struct sp_link *link = near->conn.link;
    bool raw = !near->conn.codec;
    tell(near, &told);
    uint32_t events = near->events, parts = near->parts, closed = near->closed;
    int fd = sp_conn_leave(&near->conn);
    assert_int_equal(fd, told.writer.fds[0]);
    memset(&near->conn, 0xee, sizeof(near->conn));
    sp_err err = sp_conn_load(&near->conn, link, &near_ops, fd, &told.record, raw ? NULL : &moving, NULL,
                              &words);
    if (err)
        fail_msg("refused: %s", words);
    assert_int_equal(near->events + near->parts + near->closed,
                     events + parts + closed); /* not before it runs */
    struct told again;
    tell(near, &again); /* it is told as it was */
    assert_true(sp_str_eq(sp_buf_str(&told.writer.out), sp_buf_str(&again.writer.out)));
    sp_record_writer_deinit(&told.writer);
    sp_record_writer_deinit(&again.writer);
}

/* A script is run without a hand-over and then with one after each step. */
struct script {
    struct world world;
    struct near near;
    struct far *far;
    uint32_t step, move;
    bool moved;
};

static void step(struct script *s)
{
    run(&s->world);
    if (s->step++ == s->move && !s->near.conn.closed) {
        move(&s->near);
        s->moved = true;
        run(&s->world);
    }
}

static void each_step(void (*play)(struct script *s), const char *said, const char *got)
{
    for (uint32_t at = 0; at < 100; at++) {
        struct script s = { .move = at };
        world_start(&s.world);
        s.far = world_join(&s.world, &s.near, &moving);
        play(&s);
        run(&s.world);
        check_said(&s.near, said);
        check_got(s.far, got);
        bool moved = s.moved;
        world_stop(&s.world, &s.near);
        if (!moved)
            return; /* the last was without */
    }
    fail_msg("a script of more than 100 steps");
}

static void say_bytewise(struct script *s, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        far_say_bytes(s->far, bytes + i, 1);
        step(s);
    }
}

/* --- what comes ----------------------------------------------------------------------------------------- */

static void play_messages(struct script *s)
{
    static const char bytes[] = "\003abc\001d\372flow\n\005again";
    say_bytewise(s, bytes, sizeof(bytes) - 1);
    sp_sock_shutdown(&s->far->sock);
    step(s);
    step(s);
}

static void messages_in_single_bytes_are_the_same_at_each_of_them(void **state)
{
    each_step(play_messages, "[abc][d]<flow>[again].", "");
}

static void play_to_the_end(struct script *s)
{
    say_bytewise(s, "\373abc", 4);
    sp_sock_shutdown(&s->far->sock);
    step(s);
    step(s);
}

static void a_message_that_ends_with_the_connection_ends_once(void **state)
{
    each_step(play_to_the_end, "<abc>.", "");
}

static void play_cut_short(struct script *s)
{
    say_bytewise(s, "\005abc", 4);
    sp_sock_shutdown(&s->far->sock);
    step(s);
    step(s);
}

static void an_end_inside_a_message_is_told_as_that(void **state)
{
    each_step(play_cut_short, "~", "");
}

static void play_broken(struct script *s)
{
    say_bytewise(s, "\001a\377\001b", 5);
    sp_sock_shutdown(&s->far->sock);
    step(s);
}

static void behind_what_is_broken_nothing_is_decoded_over_there_either(void **state)
{
    each_step(play_broken, "[a]!.", "");
}

static void play_reset(struct script *s)
{
    say_bytewise(s, "\001a", 2);
    far_close(s->far, true);
    step(s);
    step(s);
}

static void a_reset_is_told_once(void **state)
{
    char want[16];
    snprintf(want, sizeof(want), "[a]#%d", SP_E_RESET);
    each_step(play_reset, want, "");
}

static void hold_after_first(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    (void)ev, (void)slab;
    if (near->events == 1)
        sp_conn_hold(&near->conn, true);
}

static void play_held(struct script *s)
{
    s->near.on_event = hold_after_first;
    far_say_bytes(s->far, "\001a\001b\372c", 6);
    step(s);
    far_say_bytes(s->far, "d\n", 2);
    sp_sock_shutdown(&s->far->sock);
    step(s);
    step(s);
    check_str(sp_buf_str(&s->near.said), "[a]"); /* not even the end */
    sp_conn_hold(&s->near.conn, false);
    step(s);
}

static void what_waits_undecoded_behind_one_that_is_held_waits_on(void **state)
{
    each_step(play_held, "[a][b]<cd>.", "");
}

static void play_paused(struct script *s)
{
    far_say_bytes(s->far, "\001a", 2);
    step(s);
    sp_conn_pause(&s->near.conn, true);
    far_say_bytes(s->far, "\001b", 2);
    step(s);
    step(s);
    check_str(sp_buf_str(&s->near.said), "[a]");
    sp_conn_pause(&s->near.conn, false);
    step(s);
}

static void reading_that_rests_rests_on(void **state)
{
    each_step(play_paused, "[a][b]", "");
}

/* --- what goes ------------------------------------------------------------------------------------------ */

enum { MANY = 300 * 1024 };

static char pattern_at(size_t i)
{
    return (char)('!' + (i * 7 + i / 253) % 90);
}

static void say_many(struct script *s)
{
    char *bytes = malloc(MANY);
    for (size_t i = 0; i < MANY; i++)
        bytes[i] = pattern_at(i);
    sp_conn_queue(&s->near.conn, (struct sp_view){ NULL, bytes, MANY / 3 });
    sp_conn_queue(&s->near.conn, (struct sp_view){ NULL, bytes + MANY / 3, MANY - MANY / 3 });
    free(bytes);
}

static void check_many(struct script *s)
{
    sp_sock_read(&s->far->sock, true);
    step(s);
    run(&s->world);
    assert_int_equal(s->far->got.len, MANY);
    for (size_t i = 0; i < MANY; i++)
        if (s->far->got.ptr[i] != pattern_at(i))
            fail_msg("byte %zu is another", i);
    s->far->got.len = 0;
}

static void play_slow(struct script *s)
{
    sp_sock_read(&s->far->sock, false);
    say_many(s);
    step(s);
    step(s);
    assert_true(s->near.conn.above_mark || s->near.conn.out_bytes);
    check_many(s);
    near_say(&s->near, "behind");
    step(s);
    far_tell(s->far, "heard");
    step(s);
}

static void output_that_waits_for_a_slow_peer_goes_whole_and_in_order(void **state)
{
    each_step(play_slow, "[heard]", "behind");
}

static void play_fin(struct script *s)
{
    sp_sock_read(&s->far->sock, false);
    say_many(s);
    sp_conn_finish(&s->near.conn);
    step(s);
    step(s);
    assert_false(s->far->ended);
    check_many(s);
    assert_true(s->far->ended);
    assert_false(s->far->reset);
    step(s);
    far_tell(s->far, "heard"); /* their direction is open still */
    step(s);
}

static void an_end_of_ours_comes_behind_the_last_byte(void **state)
{
    each_step(play_fin, "[heard]", "");
}

static void play_close(struct script *s)
{
    sp_sock_read(&s->far->sock, false);
    say_many(s);
    sp_conn_close_flushed(&s->near.conn);
    step(s);
    step(s);
    check_many(s);
    assert_true(s->far->ended);
    assert_int_equal(s->near.closed, 1);
}

static void one_that_closes_behind_its_last_byte_does_so_over_there(void **state)
{
    each_step(play_close, "", "");
}

static void a_mark_that_was_passed_is_told_to_be_passed_back_once(void **state)
{
    for (uint32_t at = 0; at < 3; at++) {
        struct script s = { .move = at };
        world_start(&s.world);
        s.far = world_join(&s.world, &s.near, &moving);
        sp_sock_read(&s.far->sock, false);
        say_many(&s);
        assert_true(s.near.conn.above_mark);
        step(&s);
        step(&s);
        assert_int_equal(s.near.drained, 0);
        sp_sock_read(&s.far->sock, true);
        step(&s);
        run(&s.world);
        assert_int_equal(s.near.drained, 1);
        world_stop(&s.world, &s.near);
    }
}

/* --- what no conn was ----------------------------------------------------------------------------------- */

static void set_fail(struct sp_conn_record *r)
{
    r->failed = true;
}
static void set_end(struct sp_conn_record *r)
{
    r->end_err = 1;
}
static void set_far_end(struct sp_conn_record *r)
{
    r->end_err = -1000;
}
static void set_pending(struct sp_conn_record *r)
{
    r->end_pending = true;
}
static void set_late(struct sp_conn_record *r)
{
    r->sock_late = 1;
}
static void set_shut(struct sp_conn_record *r)
{
    r->sock_shut = true;
}
static void set_broken(struct sp_conn_record *r)
{
    r->sock_broken = true;
}
static void set_state(struct sp_conn_record *r)
{
    r->state = SP_STR("\001");
}
static void set_long(struct sp_conn_record *r)
{
    r->state = SP_STR("too long");
}
static void set_other(struct sp_conn_record *r)
{
    r->protocol = SP_PROTO_BOLT;
}
static void set_raw(struct sp_conn_record *r)
{
    r->protocol = SP_PROTO_NONE;
}
static void set_huge(struct sp_conn_record *r)
{
    r->in.len = 64 << 20;
}

static void what_no_conn_was_is_refused_and_the_descriptor_stays(void **state)
{
    static const struct {
        void (*change)(struct sp_conn_record *r);
        const char *words;
    } bad[] = { { set_fail, "failed" },       { set_end, "no error" },      { set_far_end, "no error" },
                { set_pending, "no reason" }, { set_late, "no error" },     { set_shut, "direction is over" },
                { set_broken, "be adopted" }, { set_state, "its decoder" }, { set_long, "wrong length" },
                { set_other, "another" },     { set_raw, "another" },       { set_huge, "memory" } };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct script s = { .move = 100 };
        struct told told;
        const char *words = NULL;
        world_start(&s.world);
        s.far = world_join(&s.world, &s.near, &moving);
        far_say_bytes(s.far, "\005ab", 3);
        run(&s.world);
        tell(&s.near, &told);
        struct sp_conn_record good = told.record;
        int fd = sp_conn_leave(&s.near.conn);
        bad[i].change(&told.record);
        sp_err err = sp_conn_load(&s.near.conn, &s.world.link, &near_ops, fd, &told.record, &moving, NULL,
                                  &words);
        assert_int_not_equal(err, 0);
        if (!words || !strstr(words, bad[i].words))
            fail_msg("the words are \"%s\", want \"%s\" in them", words ? words : "", bad[i].words);
        /* and the truth is still taken, with the same descriptor */
        assert_int_equal(
            sp_conn_load(&s.near.conn, &s.world.link, &near_ops, fd, &good, &moving, NULL, &words), 0);
        far_say(s.far, "cde");
        run(&s.world);
        check_said(&s.near, "[abcde]");
        sp_record_writer_deinit(&told.writer);
        world_stop(&s.world, &s.near);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_single_bytes_are_the_same_at_each_of_them),
        cmocka_unit_test(a_message_that_ends_with_the_connection_ends_once),
        cmocka_unit_test(an_end_inside_a_message_is_told_as_that),
        cmocka_unit_test(behind_what_is_broken_nothing_is_decoded_over_there_either),
        cmocka_unit_test(a_reset_is_told_once),
        cmocka_unit_test(what_waits_undecoded_behind_one_that_is_held_waits_on),
        cmocka_unit_test(reading_that_rests_rests_on),
        cmocka_unit_test(output_that_waits_for_a_slow_peer_goes_whole_and_in_order),
        cmocka_unit_test(an_end_of_ours_comes_behind_the_last_byte),
        cmocka_unit_test(one_that_closes_behind_its_last_byte_does_so_over_there),
        cmocka_unit_test(a_mark_that_was_passed_is_told_to_be_passed_back_once),
        cmocka_unit_test(what_no_conn_was_is_refused_and_the_descriptor_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
