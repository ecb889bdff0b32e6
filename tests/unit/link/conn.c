/* conn: how what comes is decoded: cut anywhere, held, paused, kept small, ended. */
#include "unit/link/kit.h"

#include "wire/h1/h1.h"

/* --- cut anywhere --------------------------------------------------------------------------------------- */

static const char toy_text[] = "\003abc\001d\372flow\nx"; /* [abc] [d] <flow> and a broken length */

static void a_message_cut_at_every_byte_is_one_event(void **state)
{
    (void)state;
    static const char bytes[] = "\003abc\005defgh\001i";
    size_t len = sizeof(bytes) - 1;
    for (size_t cut = 1; cut < len; cut++) {
        struct world w;
        struct near near = { 0 };
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        far_say_bytes(far, bytes, cut);
        run(&w);
        far_say_bytes(far, bytes + cut, len - cut);
        run(&w);
        check_said(&near, "[abc][defgh][i]");
        assert_null(near.conn.in);
        world_stop(&w, &near);
    }
}

static void a_message_in_single_bytes_is_one_event(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    for (size_t i = 0; i < sizeof(toy_text) - 2; i++) {
        far_say_bytes(far, toy_text + i, 1);
        run(&w);
    }
    check_said(&near, "[abc][d]<flow>");
    world_stop(&w, &near);
}

struct heads {
    char text[512];
    size_t bytes;
};

static void note_http(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    struct heads *heads = near->arg;
    (void)slab;
    if (ev->kind == SP_EVENT_HEAD)
        heads->bytes += (size_t)snprintf(heads->text + heads->bytes, sizeof(heads->text) - heads->bytes,
                                         "%.*s %.*s %u;", SP_STR_ARG(ev->head->method),
                                         SP_STR_ARG(ev->head->path), ev->head->header_count);
    if (ev->end)
        heads->bytes += (size_t)snprintf(heads->text + heads->bytes, sizeof(heads->text) - heads->bytes, "E");
}

static void http_cut_at_every_byte_reads_the_same(void **state)
{
    (void)state;
    static const char bytes[] = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n"
                                "POST /b HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n"
                                "3\r\nabc\r\n0\r\n\r\n"
                                "POST /c HTTP/1.1\r\nhost: c\r\ncontent-length: 4\r\n\r\nwxyz";
    size_t len = sizeof(bytes) - 1;
    struct world w;
    world_start(&w);
    for (size_t cut = 0; cut < len; cut++) {
        struct heads heads = { .bytes = 0 };
        struct near near = { .on_event = note_http, .arg = &heads };
        struct far *far = world_join(&w, &near, &sp_h1_codec);
        far_say_bytes(far, bytes, cut);
        run(&w);
        far_say_bytes(far, bytes + cut, len - cut);
        run(&w);
        assert_string_equal(heads.text, "GET /a 1;EPOST /b 2;EPOST /c 2;E");
        sp_buf_deinit(&near.said);
        near_stop(&near);
        run(&w);
        far_close(far, true);
        run(&w);
        sp_buf_deinit(&far->got);
        sp_buf_deinit(&far->late);
        memset(far, 0, sizeof(*far));
    }
    struct near none = { 0 };
    world_stop(&w, &none);
}

static void raw_bytes_pass_as_they_come(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, NULL);
    far_say(far, "any");
    run(&w);
    far_say(far, "thing");
    run(&w);
    check_said(&near, "anything");
    assert_null(near.conn.in);
    world_stop(&w, &near);
}

/* --- what is kept --------------------------------------------------------------------------------------- */

static void an_idle_conn_owns_no_buffer(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "abc");
    run(&w);
    near_say(&near, "answer");
    run(&w);
    check_got(far, "answer");
    assert_null(near.conn.in);
    assert_null(near.conn.out_last);
    sp_link_trim(&w.link);
    assert_true(slab_bytes(&w) <= 16384); /* the loop's own spare */
    world_stop(&w, &near);
}

static void a_small_remainder_moves_to_a_small_slab(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_say(far, "\011begin");
    run(&w);
    assert_non_null(near.conn.in);
    assert_int_equal(near.conn.in_len, 6);
    assert_int_equal(near.conn.in->klass, SP_SLAB_SMALL);
    assert_int_equal(near.parts, 1);
    far_say(far, "ning");
    run(&w);
    check_said(&near, "[beginning]");
    assert_null(near.conn.in);
    assert_int_equal(near.parts, 1);
    world_stop(&w, &near);
}

/* A head of 60 KiB that comes a byte at a time: without room behind what waits each byte would move all
 * before it, 1.8 GB in all. */
static void a_head_that_trickles_is_moved_seldom(void **state)
{
    (void)state;
    enum { LEN = 60000, STEP = 16 };
    struct world w;
    struct heads heads = { .bytes = 0 };
    struct near near = { .on_event = note_http, .arg = &heads };
    world_start(&w);
    struct far *far = world_join(&w, &near, &sp_h1_codec);
    char *text = malloc(LEN);
    memset(text, 'x', LEN);
    memcpy(text, "GET / HTTP/1.1\r\nhost: a\r\n", 25);
    for (size_t at = 25; at + 100 < LEN; at += 100)
        memcpy(text + at, "x: ", 3), memcpy(text + at + 98, "\r\n", 2);
    for (size_t at = 0; at < LEN; at += STEP) {
        far_say_bytes(far, text + at, STEP);
        run(&w);
    }
    uint64_t copied = sp_cell_get(&w.link.copied_bytes);
    if (copied > 6 * LEN)
        fail_msg("%llu bytes were moved for a head of %d", (unsigned long long)copied, LEN);
    free(text);
    world_stop(&w, &near);
}

/* --- hold ----------------------------------------------------------------------------------------------- */

static void hold_now(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    (void)ev, (void)slab;
    sp_conn_hold(&near->conn, true);
}

static void a_held_conn_decodes_one_message_at_a_time(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_event = hold_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "one");
    far_tell(far, "two");
    far_tell(far, "three");
    run(&w);
    check_said(&near, "[one]");
    sp_conn_hold(&near.conn, false);
    check_said(&near, ""); /* not inside the call */
    run(&w);
    check_said(&near, "[two]");
    sp_conn_hold(&near.conn, false);
    run(&w);
    check_said(&near, "[three]");
    world_stop(&w, &near);
}

struct depth {
    const char *lowest, *highest;
    struct sp_turn turn;
    struct near *near;
};

static void note_depth(struct depth *depth)
{
    const char *here = __builtin_frame_address(0);
    if (!depth->lowest || here < depth->lowest)
        depth->lowest = here;
    if (here > depth->highest)
        depth->highest = here;
}

static void answer_later(struct sp_turn *turn)
{
    struct depth *depth = SP_CONTAINER(turn, struct depth, turn);
    sp_conn_hold(&depth->near->conn, false);
}

static void hold_and_let_go(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    struct depth *depth = near->arg;
    (void)slab;
    note_depth(depth);
    sp_conn_hold(&near->conn, true);
    if (ev->body.ptr[0] == 'i')
        sp_conn_hold(&near->conn, false); /* answered inside the event */
    else
        sp_loop_at_turn_end(near->world->loop, &depth->turn); /* from outside */
}

static void deep_pipelining_does_not_deepen_the_stack(void **state)
{
    (void)state;
    enum { MESSAGES = 20000 };
    for (int inside = 0; inside < 2; inside++) {
        struct world w;
        struct depth depth = { .turn.on_turn_end = answer_later };
        struct near near = { .on_event = hold_and_let_go, .arg = &depth };
        depth.near = &near;
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        for (int i = 0; i < MESSAGES; i++)
            far_tell(far, inside ? "i" : "o");
        for (int i = 0; i < 100 && near.events < MESSAGES; i++)
            run(&w);
        assert_int_equal(near.events, MESSAGES);
        assert_true(depth.highest - depth.lowest < 2048);
        world_stop(&w, &near);
    }
}

static void a_held_conn_stops_reading_when_much_waits(void **state)
{
    (void)state;
    enum { MESSAGES = 10000 };
    struct world w;
    struct near near = { .on_event = hold_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char payload[200];
    memset(payload, 'x', sizeof(payload) - 1);
    payload[sizeof(payload) - 1] = '\0';
    for (int i = 0; i < MESSAGES; i++)
        far_tell(far, payload);
    run(&w);
    assert_int_equal(near.events, 1);
    assert_true(near.conn.in_len >= SP_CONN_IN_MAX);
    assert_true(near.conn.in_len < SP_CONN_IN_MAX + 64 * 1024);
    assert_true(far->late.len > 1000 * 1000);
    near.on_event = NULL;
    sp_conn_hold(&near.conn, false);
    run(&w);
    assert_int_equal(near.events, MESSAGES);
    assert_int_equal(far->late.len, 0);
    world_stop(&w, &near);
}

static void a_paused_conn_reads_nothing_until_it_goes_on(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    sp_conn_pause(&near.conn, true);
    run(&w);
    far_tell(far, "later");
    run(&w);
    check_said(&near, "");
    sp_conn_pause(&near.conn, false);
    run(&w);
    check_said(&near, "[later]");
    world_stop(&w, &near);
}

/* --- grammars that change ------------------------------------------------------------------------------- */

static void speak_toy(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    (void)slab;
    if (sp_str_eq(ev->body, SP_STR("raw")))
        sp_conn_speak(&near->conn, NULL, SP_ROLE_SERVER, NULL);
}

static void another_grammar_holds_for_what_waits(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_event = speak_toy };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "one");
    far_tell(far, "raw");
    far_say(far, "\377 is not broken now");
    run(&w);
    check_said(&near, "[one][raw]\377 is not broken now");
    world_stop(&w, &near);
}

static void linger(struct near *near)
{
    sp_conn_speak(&near->conn, NULL, SP_ROLE_SERVER, NULL);
}

/* Last words reach a peer only if what it still sends is read; else the kernel answers it with a reset. */
static void a_broken_conn_reads_on_when_it_becomes_raw(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_event = hold_now, .on_broken = linger };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char junk[200];
    memset(junk, 'x', sizeof(junk));
    far_tell(far, "one");
    far_say(far, "\377");
    for (int i = 0; i < 5000; i++) /* so much that reading stopped while it was held */
        far_say_bytes(far, junk, sizeof(junk));
    run(&w);
    check_said(&near, "[one]");
    assert_true(far->late.len > 0);
    near.on_event = NULL;
    sp_conn_hold(&near.conn, false);
    run(&w);
    assert_int_equal(far->late.len, 0);
    assert_true(near.said.len > 1000 * 1000);
    assert_int_equal(near.said.ptr[0], '!');
    world_stop(&w, &near);
}

static void nothing_is_decoded_behind_what_is_broken(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "good");
    far_say(far, "\377");
    far_tell(far, "never");
    run(&w);
    far_tell(far, "never");
    run(&w);
    check_said(&near, "[good]!");
    assert_null(near.conn.in);
    world_stop(&w, &near);
}

static void expect_no_head(struct near *near)
{
    assert_int_equal(near->conn.link->head.header_count, 0);
    assert_int_equal(near->conn.link->head.raw.len, 0);
}

/* The scratch of a link is all conns'; an answer to what is broken was once made of another's request. */
static void what_is_broken_has_no_head_of_another(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_broken = expect_no_head };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "good");
    run(&w);
    near.conn.link->head.header_count = 3;
    near.conn.link->head.raw = SP_STR("of another");
    far_say(far, "\377");
    run(&w);
    check_said(&near, "[good]!");
    world_stop(&w, &near);
}

/* --- the peer's end ------------------------------------------------------------------------------------- */

static void the_end_comes_behind_what_was_said(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_event = hold_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "one");
    far_tell(far, "two");
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, "[one]");
    sp_conn_hold(&near.conn, false);
    run(&w);
    check_said(&near, "[two]");
    sp_conn_hold(&near.conn, false);
    run(&w);
    check_said(&near, ".");
    world_stop(&w, &near);
}

static void an_end_inside_a_message_is_told_as_such(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *said;
    } cases[] = { { "\005ab", "~" }, { "\372flo", "<flo~" }, { "\373all", "<all>." }, { "\001a", "[a]." } };
    for (unsigned i = 0; i < SP_COUNTOF(cases); i++) {
        struct world w;
        struct near near = { 0 };
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        far_say(far, cases[i].bytes);
        run(&w);
        sp_sock_shutdown(&far->sock);
        run(&w);
        check_said(&near, cases[i].said);
        world_stop(&w, &near);
    }
}

static void who_gathers_raw_bytes_is_told_of_the_end(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, NULL);
    sp_conn_hold(&near.conn, true);
    far_say(far, "abc");
    run(&w);
    assert_int_equal(near.parts, 1);
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, ".");
    assert_int_equal(near.conn.in_len, 3);
    world_stop(&w, &near);
}

static void a_reset_is_told_even_while_held(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_event = hold_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_tell(far, "one");
    run(&w);
    far_close(far, true);
    run(&w);
    char want[32];
    snprintf(want, sizeof(want), "[one]#%d", SP_E_RESET);
    check_said(&near, want);
    world_stop(&w, &near);
}

/* --- bytes that others have read ------------------------------------------------------------------------ */

static void fed_bytes_come_before_all_others(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    struct sp_slab *slab = sp_slab_take(sp_loop_slabs(w.loop), SP_SLAB_SMALL);
    memcpy(slab->bytes, "\005fir", 4);
    slab->used = 4;
    sp_conn_feed(&near.conn, (struct sp_view){ slab, slab->bytes, 4 });
    far_say(far, "st\006second");
    run(&w);
    check_said(&near, "[\x66irst][second]"); /* "first" */
    world_stop(&w, &near);
}

static void released_input_goes_along_to_another_conn(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 }, next = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, NULL);
    sp_conn_hold(&near.conn, true);
    far_say(far, "PROXY\003abc\004d");
    run(&w);
    assert_int_equal(near.conn.in_len, 11);
    sp_conn_skip(&near.conn, 5);
    struct sp_view first = sp_conn_release_input(&near.conn);
    check_str(sp_view_str(first), "\003abc\004d");
    int fd = sp_sock_detach(&near.conn.sock);
    sp_conn_forget(&near.conn);

    next.world = &w;
    assert_int_equal(sp_conn_open(&next.conn, &w.link, &near_ops, fd), 0);
    sp_conn_speak(&next.conn, &toy_codec, SP_ROLE_SERVER, NULL);
    sp_conn_feed(&next.conn, first);
    run(&w);
    far_say(far, "efg");
    run(&w);
    check_said(&next, "[abc][defg]");
    assert_int_equal(near.closed, 0); /* forgotten, not closed */
    world_stop(&w, &next);
}

static void input_that_is_used_up_is_released_as_nothing(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, NULL);
    sp_conn_hold(&near.conn, true);
    far_say(far, "PROXY");
    run(&w);
    sp_conn_skip(&near.conn, 5);
    struct sp_view first = sp_conn_release_input(&near.conn);
    assert_null(first.slab); /* who takes no empty view would leak its slab */
    assert_int_equal(first.len, 0);
    world_stop(&w, &near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_cut_at_every_byte_is_one_event),
        cmocka_unit_test(a_message_in_single_bytes_is_one_event),
        cmocka_unit_test(http_cut_at_every_byte_reads_the_same),
        cmocka_unit_test(raw_bytes_pass_as_they_come),
        cmocka_unit_test(an_idle_conn_owns_no_buffer),
        cmocka_unit_test(a_small_remainder_moves_to_a_small_slab),
        cmocka_unit_test(a_head_that_trickles_is_moved_seldom),
        cmocka_unit_test(a_held_conn_decodes_one_message_at_a_time),
        cmocka_unit_test(deep_pipelining_does_not_deepen_the_stack),
        cmocka_unit_test(a_held_conn_stops_reading_when_much_waits),
        cmocka_unit_test(a_paused_conn_reads_nothing_until_it_goes_on),
        cmocka_unit_test(another_grammar_holds_for_what_waits),
        cmocka_unit_test(a_broken_conn_reads_on_when_it_becomes_raw),
        cmocka_unit_test(nothing_is_decoded_behind_what_is_broken),
        cmocka_unit_test(what_is_broken_has_no_head_of_another),
        cmocka_unit_test(the_end_comes_behind_what_was_said),
        cmocka_unit_test(an_end_inside_a_message_is_told_as_such),
        cmocka_unit_test(who_gathers_raw_bytes_is_told_of_the_end),
        cmocka_unit_test(a_reset_is_told_even_while_held),
        cmocka_unit_test(fed_bytes_come_before_all_others),
        cmocka_unit_test(released_input_goes_along_to_another_conn),
        cmocka_unit_test(input_that_is_used_up_is_released_as_nothing),
    };
    return cmocka_run_group_tests_name("link conn", tests, NULL, NULL);
}
