/* worker: configuration that changes under live calls, draining, the end with everything open, series. */
#include "proxy/worker.h"

#include "base/mem.h"
#include "unit/proxy/worker_kit.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
static const char answer_ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void hear_ok(struct peer *caller)
{
    hear_head(caller, "HTTP/1.1 200 OK\r\n");
    hear(caller, "ok");
}

/* Apply what is being put together, here and now; the mesh would let no failure pass. */
static sp_err apply_now(struct kit *kit)
{
    struct sp_snapshot *snapshot = sp_snapshot_new(kit->sidecar->next);
    size_t at = 0;
    void *value;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_CLUSTER], &at, NULL, &value))
        assert_non_null(sp_process_cluster(&kit->sidecar->process, ((struct sp_resource *)value)->cluster));
    sp_snapshot_seal(snapshot, 1);
    sp_err err = sp_worker_apply(kit->worker, snapshot, NULL);
    sp_snapshot_unref(snapshot);
    return err;
}

static void drop_cluster(struct kit *kit, const char *name)
{
    sp_snapshot_remove(kit->sidecar->next, SP_RESOURCE_CLUSTER, sp_str_c(name));
}

/* --- configuration -------------------------------------------------------------------------------------- */

static void calls_go_on_while_snapshots_follow_each_other(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    for (int i = 0; i < 5; i++) {
        kit_cluster(kit);
        kit_listener(kit, SP_PROTO_HTTP1);
        kit_apply(kit);
    }
    say(server, answer_ok);
    hear_ok(caller);
    say(caller, ask_a); /* the same lines go on */
    hear_head(server, "GET /a");
    say(server, answer_ok);
    hear_ok(caller);
    assert_int_equal(door->accepted, 1);
    assert_int_equal(sp_cell_get(&kit->worker->cells.snapshots), 6);
    kit_free(kit);
}

static void a_listener_that_goes_takes_no_new_caller_and_keeps_its_old(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    mesh_drop_listener(kit->sidecar, "out");
    kit_apply(kit);
    assert_int_equal(kit_call(kit, KIT_OUT)->open_err, SP_E_REFUSED);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, answer_ok);
    hear_ok(caller);
    leave(caller, false);
    kit_run(kit, 3000);
    assert_true(sp_list_is_empty(&kit->worker->gone_listeners));
    kit_free(kit);
}

static void a_cluster_that_goes_lets_its_calls_finish(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *other = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    drop_cluster(kit, "app");
    kit_apply(kit);
    assert_false(sp_list_is_empty(&kit->worker->gone_clusters));
    say(other, ask_a);
    hear_refusal(other, 503, "NO_CLUSTER");
    say(server, answer_ok);
    hear_ok(caller);
    hear_end(server, SP_E_CLOSED);
    assert_true(sp_list_is_empty(&kit->worker->gone_clusters));
    kit_free(kit);
}

/* The other endpoint of the cluster has left with it, so a retry must not find it. */
static void a_call_that_retries_finds_its_cluster_gone(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.3:80", "10.0.0.3:81", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    mesh_cluster(kit->sidecar, "app", addrs);
    mesh_route(kit_listener(kit, SP_PROTO_HTTP1))->retry = (struct sp_retry){ .on = SP_RETRY_CONNECT_FAILURE,
                                                                              .retries = 2 };
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_nothing(caller, 1000);
    drop_cluster(kit, "app");
    kit_apply(kit);
    hear_refusal(caller, 503, "NO_CLUSTER");
    kit_free(kit);
}

static void endpoints_that_stay_keep_their_lines(void **state)
{
    (void)state;
    static const char *const both[] = { "127.0.0.1:8081", KIT_APP, NULL };
    static const char *const other[] = { "127.0.0.1:8081", NULL };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct door *door2 = kit_door(kit, "127.0.0.1:8081");
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    struct sp_endpoint *before = the_endpoint(kit, "app", 0);
    mesh_cluster(kit->sidecar, "app", both);
    kit_apply(kit);
    assert_ptr_equal(the_endpoint(kit, "app", 1), before);
    assert_int_equal(before->active, 1);
    mesh_cluster(kit->sidecar, "app", other);
    kit_apply(kit);
    assert_true(before->gone);
    say(server, answer_ok); /* who has gone answers what he was asked before */
    hear_ok(caller);
    hear_end(server, SP_E_CLOSED);
    say(caller, ask_a);
    hear_head(door_next(door2), "GET /a");
    kit_free(kit);
}

static void a_listener_whose_new_address_is_taken_stays_where_it_is(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct sp_acceptor taken = { 0 };
    struct sp_listen_config config = { .addr = app_addr("127.0.0.1:15002") };
    assert_int_equal(sp_acceptor_listen(&taken, kit->app, &config), 0);
    mesh_listener(kit->sidecar, "out", "127.0.0.1:15002", SP_PROTO_HTTP1, "app");
    assert_int_equal(apply_now(kit), SP_E_EXISTS);
    struct peer *caller = kit_call(kit, KIT_OUT);
    assert_int_equal(caller->open_err, 0);
    sp_acceptor_close(&taken);
    assert_int_equal(apply_now(kit), 0); /* and moves when it is free */
    assert_int_equal(kit_call(kit, KIT_OUT)->open_err, SP_E_REFUSED);
    assert_int_equal(kit_call(kit, "127.0.0.1:15002")->open_err, 0);
    kit_free(kit);
}

static void a_listener_that_is_bound_later_begins_to_accept(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1)->bind = false;
    kit_apply(kit);
    assert_int_equal(kit_call(kit, KIT_OUT)->open_err, SP_E_REFUSED);
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    assert_int_equal(kit_call(kit, KIT_OUT)->open_err, 0);
    kit_free(kit);
}

/* --- memory that is out --------------------------------------------------------------------------------- */

static void init_fails_at_each_allocation_and_leaves_nothing(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_loop *loop = sp_sim_loop(kit->mesh->sim, kit->sidecar->main);
    for (uint64_t n = 1;; n++) {
        struct sp_process process;
        struct sp_worker *worker = calloc(1, sizeof(*worker));
        uint64_t blocks = sp_mem_live_blocks();
        sp_mem_fail_at(n);
        sp_err err = sp_process_init(&process, kit->sidecar->main, &kit->sidecar->log,
                                     &kit->sidecar->settings, kit->sidecar->process.codecs, 1);
        if (!err)
            err = sp_worker_init(worker, &process, loop, 0);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        if (done)
            sp_worker_deinit(worker);
        sp_process_deinit(&process);
        assert_int_equal(sp_mem_live_blocks(), blocks);
        free(worker);
        if (!done)
            continue;
        assert_true(n > 2);
        break;
    }
    sp_loop_free(loop);
    kit_free(kit);
}

/* A worker on a loop of the system's: the simulated world takes memory of its own to listen. */
struct real {
    struct kit *kit; /* where resources come from */
    struct sp_loop *loop;
    struct sp_process process;
    struct sp_worker *worker;
};

static void real_start(struct real *r)
{
    static const char *const addrs[] = { KIT_APP, "127.0.0.1:8081", NULL };
    r->kit = kit_new(1);
    r->loop = sp_loop_new(NULL);
    r->worker = calloc(1, sizeof(*r->worker));
    assert_non_null(r->loop);
    struct mesh_sidecar *s = r->kit->sidecar;
    assert_int_equal(sp_process_init(&r->process, r->loop, &s->log, &s->settings, s->process.codecs, 1), 0);
    assert_int_equal(sp_worker_init(r->worker, &r->process, r->loop, 0), 0);
    mesh_cluster(s, "app", addrs)->balance = SP_BALANCE_RING_HASH;
    mesh_listener(s, "out", "127.0.0.1:0", SP_PROTO_HTTP1, "app");
}

static struct sp_snapshot *real_snapshot(struct real *r)
{
    struct sp_snapshot *snapshot = sp_snapshot_new(r->kit->sidecar->next);
    struct sp_resource *cluster = sp_map_get(&snapshot->by_name[SP_RESOURCE_CLUSTER], SP_STR("app"));
    assert_non_null(sp_process_cluster(&r->process, cluster->cluster));
    sp_snapshot_seal(snapshot, 1);
    return snapshot;
}

static void real_stop(struct real *r)
{
    sp_worker_deinit(r->worker);
    sp_process_deinit(&r->process);
    sp_loop_free(r->loop);
    free(r->worker);
    kit_free(r->kit);
}

/* A failure leaves a worker that can be given the same again, and then works. */
static void apply_fails_at_each_allocation_and_can_be_said_again(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct real r;
        real_start(&r);
        struct sp_snapshot *snapshot = real_snapshot(&r);
        sp_mem_fail_at(n);
        sp_err err = sp_worker_apply(r.worker, snapshot, NULL);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        if (!done)
            assert_int_equal(sp_worker_apply(r.worker, snapshot, NULL), 0);
        sp_snapshot_unref(snapshot);
        assert_int_equal(sp_worker_cluster(r.worker, SP_STR("app"))->set_count, 2);
        assert_false(sp_list_is_empty(&r.worker->listeners));
        real_stop(&r);
        if (done) {
            assert_true(n > 12);
            return;
        }
    }
}

/* The same on top of what is there: what cannot be changed stays as it was. */
static void a_change_fails_at_each_allocation_and_keeps_what_was(void **state)
{
    (void)state;
    static const char *const other[] = { KIT_APP, "127.0.0.1:8082", "127.0.0.1:8083", NULL };
    for (uint64_t n = 1;; n++) {
        struct real r;
        real_start(&r);
        struct sp_snapshot *first = real_snapshot(&r);
        assert_int_equal(sp_worker_apply(r.worker, first, NULL), 0);
        sp_snapshot_unref(first);
        mesh_cluster(r.kit->sidecar, "app", other);
        mesh_listener(r.kit->sidecar, "out", "127.0.0.1:0", SP_PROTO_BOLT, "app");
        struct sp_snapshot *next = real_snapshot(&r);
        sp_mem_fail_at(n);
        sp_err err = sp_worker_apply(r.worker, next, NULL);
        bool done = sp_mem_fail_at(0) < n;
        struct sp_cluster *cluster = sp_worker_cluster(r.worker, SP_STR("app"));
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        assert_true(cluster->set_count == 3 || (!done && cluster->set_count == 2));
        assert_false(sp_list_is_empty(&r.worker->listeners));
        assert_int_equal(sp_worker_apply(r.worker, next, NULL), 0);
        assert_int_equal(cluster->set_count, 3);
        sp_snapshot_unref(next);
        real_stop(&r);
        if (done) {
            assert_true(n > 10);
            return;
        }
    }
}

/* --- draining ------------------------------------------------------------------------------------------- */

static void draining_ends_with_the_last_call(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *idle = kit_call(kit, KIT_OUT), *busy = kit_call(kit, KIT_OUT);
    say(busy, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    mesh_drain(kit->sidecar, 10 * SP_NS_PER_S);
    hear_end(idle, SP_E_CLOSED);
    leave(idle, false);
    assert_int_equal(kit_call(kit, KIT_OUT)->open_err, SP_E_REFUSED);
    kit_run(kit, 3000);
    assert_int_equal(kit->sidecar->drained, 0);
    say(server, answer_ok);
    sp_str head = hear_head(busy, "HTTP/1.1 200 OK\r\n");
    assert_true(sp_str_find_str(head, SP_STR("onnection: close\r\n")) < head.len);
    hear(busy, "ok");
    hear_end(busy, SP_E_CLOSED);
    leave(busy, false);
    kit_run(kit, 100);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

/* One call on a fresh line, and then the drain. */
static struct peer *call_and_drain(struct kit *kit, struct door *door, struct peer **ret_server,
                                   sp_ns deadline_ns)
{
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    *ret_server = door_next(door);
    hear_head(*ret_server, "GET /a");
    say(*ret_server, answer_ok);
    hear_ok(caller);
    mesh_drain(kit->sidecar, deadline_ns);
    return caller;
}

static void a_call_that_meets_the_drain_on_its_way_is_served(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server, *caller = call_and_drain(kit, door, &server, 10 * SP_NS_PER_S);
    hear_nothing(caller, 900);
    say(caller, ask_a);
    hear_head(server, "GET /a");
    kit_run(kit, 3000);
    say(server, answer_ok);
    sp_str head = hear_head(caller, "HTTP/1.1 200 OK\r\n");
    assert_true(sp_str_find_str(head, SP_STR("onnection: close\r\n")) < head.len);
    hear(caller, "ok");
    hear_end(caller, SP_E_CLOSED);
    leave(caller, false);
    kit_run(kit, 100);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

static void a_line_of_a_drain_ends_when_it_has_been_quiet_for_a_second(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *quiet = kit_call(kit, KIT_OUT);
    kit_run(kit, 1100);
    struct peer *server, *caller = call_and_drain(kit, door, &server, 10 * SP_NS_PER_S);
    kit_run(kit, 50);
    assert_true(quiet->ended && quiet->end_err == SP_E_CLOSED); /* for longer than that: at once */
    assert_false(caller->ended);
    hear_nothing(caller, 900);
    kit_run(kit, 100);
    assert_true(caller->ended && caller->end_err == SP_E_CLOSED);
    kit_free(kit);
}

static void a_quiet_line_outlives_no_deadline_of_the_drain(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server, *caller = call_and_drain(kit, door, &server, 300 * SP_NS_PER_MS);
    hear_nothing(caller, 250);
    kit_run(kit, 100);
    assert_true(caller->ended && caller->end_err == SP_E_CLOSED);
    leave(caller, false);
    kit_run(kit, 100);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

/* Bolt cannot say that a call was the last. */
static void a_bolt_line_of_a_drain_serves_until_it_is_quiet(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    for (uint32_t id = 1; id <= 4; id++) {
        say_ask(caller, &(struct ask){ .id = id, .timeout_ms = 1000, .body = "again" });
        server = id == 2 ? server : door_next(door); /* while it drains none is kept for later */
        say_answer(server, hear_ask(server, "again"), "yes");
        hear_answer(caller, id, "yes");
        if (id == 1)
            mesh_drain(kit->sidecar, 10 * SP_NS_PER_S);
        kit_run(kit, 800);
        assert_false(caller->ended);
    }
    kit_run(kit, 300);
    assert_true(caller->ended && caller->end_err == SP_E_CLOSED);
    leave(caller, false);
    kit_run(kit, 100);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

static void draining_waits_for_who_is_not_known_yet(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT); /* v1 or v2: it waits for the first byte */
    mesh_drain(kit->sidecar, 4 * SP_NS_PER_S);
    kit_run(kit, 1000);
    assert_int_equal(kit->sidecar->drained, 0);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 1000, .body = "in time" });
    struct peer *server = door_next(door);
    say_answer(server, hear_ask(server, "in time"), "yes");
    hear_answer(caller, 1, "yes");
    kit_run(kit, 4000);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

static void calls_under_way_at_the_deadline_are_told(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_head(door_next(door), "GET /a");
    mesh_drain(kit->sidecar, SP_NS_PER_S);
    hear_refusal(caller, 503, "DRAINING");
    kit_run(kit, 1000);
    assert_int_equal(kit->sidecar->drained, 1);
    kit_free(kit);
}

/* At the deadline one call, half answered, takes its caller's line along, and with it the next on the list.
 * */
static void calls_that_end_with_another_at_the_deadline_end_once(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    char part[100000] = { 0 };
    for (uint32_t id = 1; id <= 4; id++)
        say_ask(caller, &(struct ask){ .id = id, .timeout_ms = 60000, .body = "hello" });
    struct peer *server = door_next(door);
    uint32_t first = hear_ask(server, "hello");
    say_answer_head(server, first, 200000);
    say_bytes(server, part, sizeof(part));
    kit_run(kit, 100);
    mesh_drain(kit->sidecar, SP_NS_PER_S);
    kit_run(kit, 2000);
    assert_int_equal(kit->sidecar->drained, 1);
    assert_int_equal(sp_cell_get(&kit->worker->cells.streams_active), 0);
    assert_true(caller->ended);
    kit_free(kit);
}

/* --- the end with everything open ----------------------------------------------------------------------- */

static void the_end_cuts_whatever_is_open(void **state)
{
    (void)state;
    static const char *const dead[] = { "10.0.0.3:80", NULL };
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_HTTP1);
    mesh_cluster(kit->sidecar, "dead", dead)->connect_timeout_ns = 100 * SP_NS_PER_S;
    mesh_listener(kit->sidecar, "to dead", "127.0.0.1:15002", SP_PROTO_HTTP1, "dead");
    mesh_listener(kit->sidecar, "raw", "127.0.0.1:15003", SP_PROTO_TCP, "app");
    mesh_listener(kit->sidecar, "bolt", "127.0.0.1:15004", SP_PROTO_BOLT, "app");
    mesh_listener(kit->sidecar, "raw to dead", "127.0.0.1:15005", SP_PROTO_TCP, "dead");
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *done = kit_call(kit, KIT_OUT), *busy = kit_call(kit, KIT_OUT);
    say(done, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, answer_ok); /* an idle line to the server is left */
    hear_ok(done);
    say(busy, ask_a);
    hear_head(server, "GET /a");
    say(kit_call(kit, "127.0.0.1:15002"), ask_a); /* connecting */
    say(kit_call(kit, "127.0.0.1:15003"), "raw");
    kit_call(kit, "127.0.0.1:15004"); /* not known yet */
    struct peer *bolt = kit_call(kit, "127.0.0.1:15004");
    say_ask(bolt, &(struct ask){ .id = 1, .body = "hello" });
    kit_call(kit, "127.0.0.1:15005");
    kit_run(kit, 100);
    drop_cluster(kit, "dead"); /* the connects under way are those of a cluster that has gone */
    mesh_drop_listener(kit->sidecar, "to dead");
    kit_apply(kit);
    mesh_kill(kit->sidecar);
    kit_run(kit, 10);
    assert_true(done->ended && busy->ended && bolt->ended);
    kit_free(kit);
}

/* --- series --------------------------------------------------------------------------------------------- */

static void series_beyond_the_bound_share_one(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_series *last = NULL;
    for (uint32_t i = 0; i < SP_SERIES_MAX; i++) {
        struct sp_series_key key = { .status = (uint16_t)(i & 1023), .why = (uint16_t)(i >> 10) };
        last = sp_worker_series(kit->worker, &key, NULL);
        assert_non_null(last);
    }
    assert_int_equal(kit->worker->series_count, SP_SERIES_MAX);
    struct sp_series_key known = { .status = 1023, .why = 3 };
    assert_ptr_equal(sp_worker_series(kit->worker, &known, NULL), last);
    struct sp_series_key one = { .why = 100 }, two = { .why = 101 };
    struct sp_series *overflow = sp_worker_series(kit->worker, &one, NULL);
    assert_non_null(overflow);
    assert_ptr_equal(sp_worker_series(kit->worker, &two, NULL), overflow);
    check_str(overflow->key.cluster, "overflow");
    assert_int_equal(kit->worker->series_count, SP_SERIES_MAX + 1);
    assert_int_equal(sp_cell_get(&kit->worker->cells.series_overflow), 2);
    kit_free(kit);
}

static void series_differ_in_each_label(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    const struct sp_series_key keys[] = {
        { .cluster = SP_STR("a") },
        { .cluster = SP_STR("b") },
        { .cluster = SP_STR("a"), .direction = SP_DIRECTION_INBOUND },
        { .cluster = SP_STR("a"), .protocol = SP_PROTO_BOLT },
        { .cluster = SP_STR("a"), .status = 200 },
        { .cluster = SP_STR("a"), .why = SP_WHY_TIMEOUT },
        { .cluster = SP_STR("a"), .app_error = true },
        { .cluster = SP_STR("a"), .workload = SP_STR("w") },
        { .cluster = SP_STR("a"), .workload_namespace = SP_STR("w") },
        { .cluster = SP_STR("aw") },
    };
    struct sp_series *made[SP_COUNTOF(keys)];
    for (unsigned i = 0; i < SP_COUNTOF(keys); i++) {
        made[i] = sp_worker_series(kit->worker, &keys[i], NULL);
        for (unsigned k = 0; k < i; k++)
            assert_ptr_not_equal(made[i], made[k]);
    }
    for (unsigned i = 0; i < SP_COUNTOF(keys); i++)
        assert_ptr_equal(sp_worker_series(kit->worker, &keys[i], NULL), made[i]);
    kit_free(kit);
}

static void a_series_of_names_too_long_is_none(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    char name[2000];
    memset(name, 'x', sizeof(name));
    struct sp_series_key key = { .cluster = sp_str_of(name, sizeof(name)) };
    assert_null(sp_worker_series(kit->worker, &key, NULL));
    kit_free(kit);
}

/* --- records and questions ------------------------------------------------------------------------------ */

static bool note_path(void *arg, const struct sp_report *report)
{
    struct sp_buf *paths = arg;
    sp_buf_add_str(paths, sp_report_str(report, SP_REPORT_PATH));
    return paths->len < 30 * 3;
}

static void the_last_calls_are_remembered_newest_first(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door); /* it remembers 16 */
    struct peer *caller = kit_call(kit, KIT_OUT), *server = NULL;
    for (int i = 10; i < 30; i++) {
        char ask[80];
        snprintf(ask, sizeof(ask), "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        say(caller, ask);
        server = server ? server : door_next(door);
        hear_head(server, "GET /");
        say(server, answer_ok);
        hear_ok(caller);
    }
    struct sp_buf paths = { 0 };
    sp_worker_recent(kit->worker, note_path, &paths);
    check_str(sp_str_of(paths.ptr, paths.len), "/29/28/27/26/25/24/23/22/21/20/19/18/17/16/15/14");
    sp_buf_deinit(&paths);
    kit_free(kit);
}

static uint32_t asked, answered;

static void on_asked(struct sp_worker *worker, void *arg)
{
    assert_non_null(worker);
    assert_ptr_equal(arg, &asked);
    assert_int_equal(answered, 0);
    asked++;
}

static void on_answered(struct sp_ask *ask)
{
    assert_int_equal(asked, 1);
    assert_ptr_equal(ask->arg, &asked);
    answered++;
}

static void a_question_is_asked_there_and_answered_here(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_ask ask = { .fn = on_asked, .then = on_answered, .arg = &asked };
    asked = answered = 0;
    sp_worker_ask(kit->worker, &ask);
    assert_int_equal(asked, 0);
    kit_run(kit, 10);
    assert_int_equal(answered, 1);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_on_while_snapshots_follow_each_other),
        cmocka_unit_test(a_listener_that_goes_takes_no_new_caller_and_keeps_its_old),
        cmocka_unit_test(a_cluster_that_goes_lets_its_calls_finish),
        cmocka_unit_test(a_call_that_retries_finds_its_cluster_gone),
        cmocka_unit_test(endpoints_that_stay_keep_their_lines),
        cmocka_unit_test(a_listener_whose_new_address_is_taken_stays_where_it_is),
        cmocka_unit_test(a_listener_that_is_bound_later_begins_to_accept),
        cmocka_unit_test(init_fails_at_each_allocation_and_leaves_nothing),
        cmocka_unit_test(apply_fails_at_each_allocation_and_can_be_said_again),
        cmocka_unit_test(a_change_fails_at_each_allocation_and_keeps_what_was),
        cmocka_unit_test(draining_ends_with_the_last_call),
        cmocka_unit_test(a_call_that_meets_the_drain_on_its_way_is_served),
        cmocka_unit_test(a_line_of_a_drain_ends_when_it_has_been_quiet_for_a_second),
        cmocka_unit_test(a_quiet_line_outlives_no_deadline_of_the_drain),
        cmocka_unit_test(a_bolt_line_of_a_drain_serves_until_it_is_quiet),
        cmocka_unit_test(draining_waits_for_who_is_not_known_yet),
        cmocka_unit_test(calls_under_way_at_the_deadline_are_told),
        cmocka_unit_test(calls_that_end_with_another_at_the_deadline_end_once),
        cmocka_unit_test(the_end_cuts_whatever_is_open),
        cmocka_unit_test(series_beyond_the_bound_share_one),
        cmocka_unit_test(series_differ_in_each_label),
        cmocka_unit_test(a_series_of_names_too_long_is_none),
        cmocka_unit_test(the_last_calls_are_remembered_newest_first),
        cmocka_unit_test(a_question_is_asked_there_and_answered_here),
    };
    return cmocka_run_group_tests_name("proxy worker", tests, NULL, NULL);
}
