/* listener: how many may come in, and what happens to who is in when it changes. */
#include "proxy/listener.h"

#include "base/mem.h"
#include "io/sock.h"
#include "unit/proxy/worker_kit.h"
#include "wire/h1/h1.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

static void the_listeners_own_cap_cuts_who_is_over_it(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1)->max_connections = 2;
    kit_apply(kit);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT), *three = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    check_cut(three);
    hear_nothing(one, 10);
    assert_int_equal(sp_cell_get(&the_listener(kit, "out")->cells.cx_overflow), 1);
    assert_int_equal(sp_cell_get(&the_listener(kit, "out")->cells.cx_active), 2);
    assert_int_equal(why_count(kit, SP_WHY_LISTENER_FULL), 1);
    leave(two, false);
    kit_run(kit, 3000);
    hear_nothing(kit_call(kit, KIT_OUT), 10);
    kit_free(kit);
}

static void at_the_cap_of_the_process_callers_wait_their_turn(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    sp_budget_set_limit(&kit->sidecar->process.connections, 2, 1);
    struct peer *callers[5];
    for (int i = 0; i < 5; i++) {
        callers[i] = kit_call(kit, KIT_OUT);
        say(callers[i], ask_a);
    }
    kit_run(kit, 100);
    assert_int_equal(sp_cell_get(&kit->worker->cells.connections_active), 2);
    assert_true(sp_cell_get(&the_listener(kit, "out")->cells.accept_paused) > 0);
    for (int i = 0; i < 5; i++) { /* each leaves, and the next gets in */
        struct peer *server = door_next(door);
        hear_head(server, "GET /a");
        say(server, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        hear_head(callers[i], "HTTP/1.1 204");
        leave(callers[i], false);
    }
    kit_run(kit, 100);
    assert_int_equal(why_count(kit, SP_WHY_LISTENER_FULL), 0); /* none was cut */
    kit_free(kit);
}

static void without_descriptors_accepting_rests_and_goes_on(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct sp_loop *other = sp_sim_host(kit->mesh->sim,
                                        "10.0.0.9"); /* its own machine, its own descriptors */
    mesh_listener(kit->sidecar, "wide", "10.0.0.1:15002", SP_PROTO_HTTP1, "app");
    kit_apply(kit);
    sp_sim_limit_files(kit->mesh->sim, kit->sidecar->main,
                       sp_sim_open_files(kit->mesh->sim, kit->sidecar->main));
    struct peer *caller = kit_call_from(kit, other, "10.0.0.1:15002");
    say(caller, ask_a);
    hear_nothing(caller, 500);
    assert_true(sp_cell_get(&kit->worker->cells.accept_errors) > 0);
    sp_sim_limit_files(kit->mesh->sim, kit->sidecar->main, 0);
    hear_head(door_next(door), "GET /a"); /* at the next tick */
    kit_free(kit);
}

static void who_is_in_keeps_the_chain_he_came_by(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *old = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    struct sp_chain *chain = the_chain(kit);
    struct sp_route *route = mesh_route(kit_listener(kit, SP_PROTO_HTTP1));
    route->kind = SP_ROUTE_DIRECT;
    route->direct_status = 418;
    kit_apply(kit);
    assert_true(chain->gone);
    assert_ptr_not_equal(the_chain(kit), chain);
    struct peer *new = kit_call(kit, KIT_OUT);
    say(new, ask_a);
    hear_head(new, "HTTP/1.1 418");
    say(old, ask_a);
    hear_head(door_next(door), "GET /a");
    assert_int_equal(sp_cell_get(&chain->cells.rq_total), 1);
    kit_free(kit);
}

/* --- memory that is out --------------------------------------------------------------------------------- */

static void new_fails_at_each_allocation_and_leaves_nothing(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    mesh_listener(kit->sidecar, "new", "127.0.0.1:15009", SP_PROTO_HTTP1, "app")->bind = false;
    struct sp_resource *r = sp_map_get(&kit->sidecar->next->by_name[SP_RESOURCE_LISTENER], SP_STR("new"));
    for (uint64_t n = 1;; n++) {
        uint64_t blocks = sp_mem_live_blocks();
        struct sp_listener *listener = NULL;
        sp_mem_fail_at(n);
        sp_err err = sp_listener_new(kit->worker, r, -1, false, &listener);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        if (done) {
            for (uint64_t k = 1;; k++) { /* and so does a change, which leaves the old chains */
                struct sp_chain *chain = listener->chains[0];
                sp_mem_fail_at(k);
                err = sp_listener_update(listener, r);
                bool changed = sp_mem_fail_at(0) < k;
                assert_int_equal(err, changed ? 0 : SP_E_NOMEM);
                if (changed)
                    break;
                assert_ptr_equal(listener->chains[0], chain);
            }
            sp_listener_free(listener);
        }
        assert_int_equal(sp_mem_live_blocks(), blocks);
        if (done) {
            assert_true(n > 3);
            break;
        }
    }
    kit_free(kit);
}

/* Lines are made inside the loop, where the world allocates too; so a descriptor is accepted by hand, and
 * given to each kind of line with memory out at each place. */
struct taker {
    struct sp_acceptor acceptor;
    struct kit *kit;
    struct sp_chain *chain;
    uint64_t fail_at, made;
    bool raw;
};

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct taker *t = SP_CONTAINER(acceptor, struct taker, acceptor);
    struct sp_worker *worker = t->kit->worker;
    struct sp_origin origin = { .peer = *peer, .local = *peer };
    struct sp_listener *listener = t->chain->listener;
    assert_true(sp_lease_take(&worker->connection_lease)); /* as the listener does */
    listener->active++;
    assert_true(sp_lease_take(&listener->connections));
    sp_cell_add(&listener->cells.cx_active, 1);
    sp_cell_add(&worker->cells.connections_active, 1);
    struct sp_slab *slab = sp_slab_take(sp_loop_slabs(worker->loop), SP_SLAB_SMALL);
    memcpy(slab->bytes, "GET /a ", 7);
    slab->used = 7;
    struct sp_view first = { slab, slab->bytes, 7 };
    sp_mem_fail_at(t->fail_at);
    sp_line_accept(t->chain, fd, &origin, &sp_h1_codec, first);
    t->made = sp_mem_fail_at(0);
}

static void a_line_that_cannot_be_made_is_refused_and_counted(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 10; n++) {
        struct door *door;
        struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
        struct taker t = { .acceptor.on_accept = on_accept, .kit = kit, .fail_at = n };
        t.chain = the_chain(kit);
        struct sp_listen_config config = { .addr = app_addr("127.0.0.1:15010") };
        assert_int_equal(sp_acceptor_listen(&t.acceptor, kit->worker->loop, &config), 0);
        struct peer *caller = kit_call(kit, "127.0.0.1:15010");
        kit_run(kit, 10);
        sp_acceptor_close(&t.acceptor);
        bool done = t.made < n;
        if (done) {
            say(caller, "HTTP/1.1\r\nHost: a\r\n\r\n"); /* what was read before counts */
            hear_head(door_next(door), "GET /a HTTP/1.1");
        } else {
            check_cut(caller);
            assert_int_equal(why_count(kit, SP_WHY_MEMORY), 1);
            assert_int_equal(sp_cell_get(&kit->worker->cells.memory_refused), 1);
        }
        kit_free(kit);
        if (done) {
            assert_int_equal(n, 2); /* the line is all that it takes */
            return;
        }
    }
    fail();
}

static uint64_t of_all_workers(struct kit *kit, size_t cell)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kit->sidecar->worker_count; i++) {
        struct sp_listener *listener;
        SP_LIST_EACH(&kit->sidecar->workers[i].listeners, listener, next, struct sp_listener, link)
            sum += sp_cell_get((const sp_cell *)(const void *)((const char *)&listener->cells + cell));
    }
    return sum;
}

static void the_listeners_cap_holds_for_all_workers_together(void **state)
{
    (void)state;
    enum { CALLERS = 24, MOST = 5 };
    struct kit *kit = kit_new(3);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1)->max_connections = MOST;
    kit_apply(kit);
    struct peer *callers[CALLERS];
    int in = 0;
    for (int i = 0; i < CALLERS; i++)
        callers[i] = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    for (int i = 0; i < CALLERS; i++)
        in += !callers[i]->ended && !callers[i]->open_err;
    assert_int_equal(in, MOST);
    assert_int_equal(of_all_workers(kit, offsetof(struct sp_listener_cells, cx_active)), MOST);
    assert_int_equal(of_all_workers(kit, offsetof(struct sp_listener_cells, cx_overflow)), CALLERS - MOST);
    for (int i = 0; i < CALLERS; i++)
        leave(callers[i], false);
    kit_run(kit, 3000);
    hear_nothing(kit_call(kit, KIT_OUT), 10); /* what was lent has come back */
    kit_free(kit);
}

static void a_listeners_cap_may_change_while_connections_live(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    kit_listener(kit, SP_PROTO_HTTP1)->max_connections = 2;
    kit_apply(kit);
    kit_run(kit, 3000); /* what a worker held unused goes back */
    struct peer *three = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    check_cut(three);
    leave(one, false);
    kit_run(kit, 3000);
    hear_nothing(kit_call(kit, KIT_OUT), 10);
    hear_nothing(two, 10);
    kit_free(kit);
}

/* --- the terms of a chain and of a cluster -------------------------------------------------------------- */

static bool has(sp_str text, const char *part)
{
    return sp_str_find_str(text, sp_str_c(part)) < text.len;
}

/* A sidecar with that pair, its chain and cluster still to be changed. */
static struct kit *kit_open(struct sp_chain_spec **ret_chain, struct sp_cluster_spec **ret_cluster)
{
    struct kit *kit = kit_new(1);
    *ret_cluster = kit_cluster(kit);
    *ret_chain = mesh_chain(kit_listener(kit, SP_PROTO_HTTP1));
    return kit;
}

/* What the server reads of that request. */
static sp_str forwarded(struct kit *kit, const char *request)
{
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, request);
    return hear_head(door_next(door), "GET /a HTTP/1.1\r\n");
}

static void a_balancer_of_ours_before_us_is_believed_and_nobody_else(void **state)
{
    (void)state;
    for (uint32_t hops = 0; hops < 2; hops++) {
        struct sp_chain_spec *chain;
        struct sp_cluster_spec *cluster;
        struct kit *kit = kit_open(&chain, &cluster);
        chain->use_remote_address = true;
        chain->xff_hops = hops;
        kit_apply(kit);
        sp_str head = forwarded(kit, "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
        assert_int_equal(has(head, ": https\r\n"), hops == 1);
        assert_int_equal(has(head, ": http\r\n"), hops == 0);
        kit_free(kit);
    }
}

static void an_edge_gives_an_id_of_its_own_unless_it_keeps_the_callers(void **state)
{
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct sp_chain_spec *chain;
        struct sp_cluster_spec *cluster;
        struct kit *kit = kit_open(&chain, &cluster);
        chain->use_remote_address = chain->generate_request_id = true;
        chain->preserve_request_id = keep;
        kit_apply(kit);
        sp_str head = forwarded(kit, "GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n");
        assert_int_equal(has(head, "-Id: mine\r\n"), keep);
        kit_free(kit);
    }
}

static void without_being_told_no_id_is_made(void **state)
{
    (void)state;
    struct sp_chain_spec *chain;
    struct sp_cluster_spec *cluster;
    struct kit *kit = kit_open(&chain, &cluster);
    chain->generate_request_id = false;
    kit_apply(kit);
    assert_false(has(forwarded(kit, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), "x-request-id"));
    kit_free(kit);
}

static void calls_leave_from_the_address_that_the_cluster_binds(void **state)
{
    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        struct kit *kit = kit_new(1);
        struct sp_cluster_spec *cluster = kit_cluster(kit);
        assert_int_equal(sp_addr_parse_ip(SP_STR("127.0.0.9"), 0, &cluster->bind), 0);
        kit_listener(kit, raw ? SP_PROTO_TCP : SP_PROTO_HTTP1);
        kit_apply(kit);
        struct door *door = kit_door(kit, KIT_APP);
        say(kit_call(kit, KIT_OUT), "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        sp_addr from, want;
        assert_int_equal(sp_sock_peer(&door_next(door)->conn.sock, &from), 0);
        assert_int_equal(sp_addr_parse_ip(SP_STR("127.0.0.9"), from.port, &want), 0);
        assert_true(sp_addr_eq(&from, &want));
        kit_free(kit);
    }
}

/* A request of so many lines and, where `bytes` is given, of a head of that size. */
static char *request_of(uint32_t headers, size_t bytes, char *out, size_t room)
{
    size_t len = (size_t)snprintf(out, room, "GET /a HTTP/1.1\r\nHost: a\r\n");
    for (uint32_t i = 1; i < headers; i++)
        len += (size_t)snprintf(out + len, room - len, "x-%u: %u\r\n", i, i);
    if (bytes > len + 7) {
        len += (size_t)snprintf(out + len, room - len, "f: ");
        while (len < bytes - 4)
            out[len++] = 'f';
        len += (size_t)snprintf(out + len, room - len, "\r\n");
    }
    SP_IGNORE(snprintf(out + len, room - len, "\r\n")); /* it has room */
    return out;
}

static void a_chain_takes_so_many_headers_and_not_one_more(void **state)
{
    (void)state;
    struct sp_chain_spec *chain;
    struct sp_cluster_spec *cluster;
    struct kit *kit = kit_open(&chain, &cluster);
    char text[512];
    chain->generate_request_id = false;
    chain->max_headers = 5;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    say(kit_call(kit, KIT_OUT), request_of(5, 0, text, sizeof(text)));
    assert_true(has(hear_head(door_next(door), "GET /a"), "x-4: 4\r\n"));
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, request_of(6, 0, text, sizeof(text)));
    hear_refusal(caller, 431, "HEAD_TOO_LARGE");
    kit_free(kit);
}

static void a_chain_takes_a_head_of_so_many_kilobytes_and_no_more(void **state)
{
    (void)state;
    struct sp_chain_spec *chain;
    struct sp_cluster_spec *cluster;
    struct kit *kit = kit_open(&chain, &cluster);
    char text[4096];
    chain->max_headers_kb = 1;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    say(kit_call(kit, KIT_OUT), request_of(1, 1024, text, sizeof(text)));
    assert_true(has(hear_head(door_next(door), "GET /a"), "fff\r\n"));
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, request_of(1, 1100, text, sizeof(text)));
    hear_refusal(caller, 431, "HEAD_TOO_LARGE");
    kit_free(kit);
}

static void callers_wait_while_buffers_are_nearly_used_up(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct sp_slab_pool *pool = sp_loop_slabs(kit->worker->loop);
    struct peer *before = kit_call(kit, KIT_OUT);
    kit_run(kit, 10);
    struct sp_slab *held[8];
    for (int i = 0; i < 8; i++)
        held[i] = sp_slab_take(pool, SP_SLAB_LARGE);
    pool->limit_bytes = pool->held_bytes - pool->kept_bytes + held[0]->cap;
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    kit_run(kit, 3000);
    assert_int_equal(sp_cell_get(&the_listener(kit, "out")->cells.cx_active), 1);
    assert_int_equal(why_count(kit, SP_WHY_MEMORY), 1);
    say(before, ask_a); /* who is in may go on */
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(before, "HTTP/1.1 204");
    for (int i = 0; i < 8; i++)
        sp_slab_unref(held[i]);
    hear_head(server, "GET /a"); /* the next tick lets it in */
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    pool->limit_bytes = 0;
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_listeners_own_cap_cuts_who_is_over_it),
        cmocka_unit_test(at_the_cap_of_the_process_callers_wait_their_turn),
        cmocka_unit_test(without_descriptors_accepting_rests_and_goes_on),
        cmocka_unit_test(who_is_in_keeps_the_chain_he_came_by),
        cmocka_unit_test(new_fails_at_each_allocation_and_leaves_nothing),
        cmocka_unit_test(a_line_that_cannot_be_made_is_refused_and_counted),
        cmocka_unit_test(the_listeners_cap_holds_for_all_workers_together),
        cmocka_unit_test(a_listeners_cap_may_change_while_connections_live),
        cmocka_unit_test(a_balancer_of_ours_before_us_is_believed_and_nobody_else),
        cmocka_unit_test(an_edge_gives_an_id_of_its_own_unless_it_keeps_the_callers),
        cmocka_unit_test(without_being_told_no_id_is_made),
        cmocka_unit_test(calls_leave_from_the_address_that_the_cluster_binds),
        cmocka_unit_test(a_chain_takes_so_many_headers_and_not_one_more),
        cmocka_unit_test(a_chain_takes_a_head_of_so_many_kilobytes_and_no_more),
        cmocka_unit_test(callers_wait_while_buffers_are_nearly_used_up),
    };
    return cmocka_run_group_tests_name("proxy listener", tests, NULL, NULL);
}
