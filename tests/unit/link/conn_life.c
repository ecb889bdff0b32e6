/* conn_life: a conn's beginning and end: connecting, and closing inside each callback. */
#include "unit/link/kit.h"

static void close_in_event(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    sp_str body = ev->body;
    (void)slab;
    near_say(near, "queued and dropped");
    sp_conn_close(&near->conn, false);
    (void)body;
}

static void close_now(struct near *near)
{
    sp_conn_close(&near->conn, false);
}

static void close_at_end(struct near *near, sp_err err)
{
    (void)err;
    sp_conn_close(&near->conn, false);
}

static void closing_inside_an_event_ends_all_events(void **state)
{
    (void)state;
    for (int held = 0; held < 2; held++) {
        struct world w;
        struct near near = { .on_event = close_in_event };
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        sp_conn_hold(&near.conn, held);
        far_tell(far, "one");
        far_tell(far, "two");
        sp_sock_shutdown(&far->sock);
        run(&w);
        if (held) { /* now the conn alone holds the slab that the event lies in */
            sp_conn_hold(&near.conn, false);
            run(&w);
        }
        check_said(&near, "[one]");
        assert_int_equal(near.closed, 1);
        check_got(far, "");
        world_stop(&w, &near);
    }
}

static void closing_inside_on_broken_ends_it(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_broken = close_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_say(far, "\377\001a");
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, "!");
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

static void closing_inside_on_end_ends_it(void **state)
{
    (void)state;
    static const char *const said[] = { "\001a", "\373flow", "\005par", "" };
    for (unsigned i = 0; i < SP_COUNTOF(said); i++) {
        struct world w;
        struct near near = { .on_end = close_at_end };
        world_start(&w);
        struct far *far = world_join(&w, &near, &toy_codec);
        far_say(far, said[i]);
        sp_sock_shutdown(&far->sock);
        run(&w);
        assert_int_equal(near.closed, 1);
        world_stop(&w, &near);
    }
}

static void closing_inside_the_end_of_a_flow_tells_no_end(void **state)
{
    (void)state;
    struct world w;
    struct near near = { 0 };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_say(far, "\373flow");
    run(&w);
    near.on_event = close_in_event;
    sp_sock_shutdown(&far->sock);
    run(&w);
    check_said(&near, "<flow>");
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

static void closing_inside_on_part_ends_it(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_part = close_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    far_say(far, "\005par");
    run(&w);
    assert_int_equal(near.parts, 1);
    assert_int_equal(near.closed, 1);
    world_stop(&w, &near);
}

static void closing_inside_on_drained_ends_it(void **state)
{
    (void)state;
    struct world w;
    struct near near = { .on_drained = close_now };
    world_start(&w);
    struct far *far = world_join(&w, &near, &toy_codec);
    char *text = calloc(1, 200 * 1024);
    near.conn.out_mark = 10 * 1024;
    sp_conn_queue(&near.conn, (struct sp_view){ NULL, text, 200 * 1024 });
    sp_conn_finish(&near.conn);
    run(&w);
    free(text);
    assert_int_equal(near.drained, 1);
    assert_int_equal(near.closed, 1);
    assert_true(far->ended);
    world_stop(&w, &near);
}

/* --- connecting ----------------------------------------------------------------------------------------- */

struct caller {
    struct world *world;
    struct near near;
    struct near server; /* what it reaches */
};

static void caller_start(struct world *w, struct caller *c, const char *to)
{
    sp_addr addr;
    assert_int_equal(sp_addr_parse(sp_str_c(to), &addr), 0);
    c->near.world = w;
    c->server.codec = NULL;
    w->accepting = &c->server;
    assert_int_equal(sp_conn_connect(&c->near.conn, &w->link, &near_ops, &addr, NULL, 0), 0);
    sp_conn_speak(&c->near.conn, &toy_codec, SP_ROLE_CLIENT, NULL);
}

static void caller_stop(struct world *w, struct caller *c)
{
    w->accepting = NULL;
    near_stop(&c->server);
    run(w);
    sp_buf_deinit(&c->server.said);
    world_stop(w, &c->near);
}

static void what_is_queued_before_it_is_open_leaves_then(void **state)
{
    (void)state;
    struct world w;
    struct caller c = { 0 };
    world_start(&w);
    caller_start(&w, &c, "10.0.0.1:80");
    near_say(&c.near, "early");
    sp_conn_finish(&c.near.conn);
    assert_int_equal(c.near.connected, 0);
    run(&w);
    assert_int_equal(c.near.connected, 1);
    assert_int_equal(c.near.connect_err, 0);
    check_said(&c.server, "early.");
    caller_stop(&w, &c);
}

static void a_refused_connect_is_told_once(void **state)
{
    (void)state;
    struct world w;
    struct caller c = { .near.on_connected = close_now };
    world_start(&w);
    caller_start(&w, &c, "10.0.0.1:81");
    near_say(&c.near, "never");
    run(&w);
    assert_int_equal(c.near.connected, 1);
    assert_int_equal(c.near.connect_err, SP_E_REFUSED);
    assert_int_equal(c.near.closed, 1);
    caller_stop(&w, &c);
}

static void closing_while_connecting_calls_nothing_but_closed(void **state)
{
    (void)state;
    struct world w;
    struct caller c = { 0 };
    world_start(&w);
    caller_start(&w, &c, "10.0.0.1:80");
    near_say(&c.near, "never");
    sp_conn_close(&c.near.conn, false);
    run(&w);
    assert_int_equal(c.near.connected, 0);
    assert_int_equal(c.near.closed, 1);
    caller_stop(&w, &c);
}

static void closing_inside_on_connected_ends_it(void **state)
{
    (void)state;
    struct world w;
    struct caller c = { .near.on_connected = close_now };
    world_start(&w);
    caller_start(&w, &c, "10.0.0.1:80");
    near_say(&c.near, "never");
    run(&w);
    assert_int_equal(c.near.connected, 1);
    assert_int_equal(c.near.closed, 1);
    caller_stop(&w, &c);
}

/* --- one conn's event closes another -------------------------------------------------------------------- */

static void close_both(struct near *near, struct sp_event *ev, struct sp_slab *slab)
{
    (void)ev, (void)slab;
    struct near *other = near->arg;
    sp_conn_close(&other->conn, false);
    sp_conn_close(&near->conn, false);
}

static void a_conn_that_waits_to_go_on_may_be_closed_by_another(void **state)
{
    (void)state;
    struct world w;
    struct near one = { .on_event = close_both }, two = { .on_event = close_both };
    one.arg = &two;
    two.arg = &one;
    world_start(&w);
    struct far *far = world_join(&w, &one, &toy_codec);
    struct far *far2 = world_join(&w, &two, &toy_codec);
    sp_conn_hold(&one.conn, true);
    sp_conn_hold(&two.conn, true);
    far_tell(far, "one");
    far_tell(far2, "two");
    run(&w);
    near_say(&one, "a");
    near_say(&two, "b");
    sp_conn_hold(&one.conn, false);
    sp_conn_hold(&two.conn, false);
    run(&w);
    assert_int_equal(one.events + two.events, 1);
    assert_int_equal(one.closed + two.closed, 2);
    sp_buf_deinit(&two.said);
    world_stop(&w, &one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_inside_an_event_ends_all_events),
        cmocka_unit_test(closing_inside_on_broken_ends_it),
        cmocka_unit_test(closing_inside_on_end_ends_it),
        cmocka_unit_test(closing_inside_the_end_of_a_flow_tells_no_end),
        cmocka_unit_test(closing_inside_on_part_ends_it),
        cmocka_unit_test(closing_inside_on_drained_ends_it),
        cmocka_unit_test(what_is_queued_before_it_is_open_leaves_then),
        cmocka_unit_test(a_refused_connect_is_told_once),
        cmocka_unit_test(closing_while_connecting_calls_nothing_but_closed),
        cmocka_unit_test(closing_inside_on_connected_ends_it),
        cmocka_unit_test(a_conn_that_waits_to_go_on_may_be_closed_by_another),
    };
    return cmocka_run_group_tests_name("link conn_life", tests, NULL, NULL);
}
