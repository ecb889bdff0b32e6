/* stream: the walk of a call: what each phase adds, refuses, and how long it may take. */
#include "unit/proxy/worker_kit.h"

#include "wire/h1/h1.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

static bool has(sp_str text, const char *part)
{
    return sp_str_find_str(text, sp_str_c(part)) < text.len;
}

static void check_has(sp_str head, const char *part)
{
    if (!has(head, part))
        fail_msg("\"%.*s\" should have \"%s\"", SP_STR_ARG(head), part);
}

/* --- refusals, phase by phase --------------------------------------------------------------------------- */

static void too_many_streams_are_refused_and_the_next_is_not(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    sp_budget_set_limit(&kit->sidecar->process.streams, 1, 1);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say(one, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(two, ask_a);
    hear_refusal(two, 503, "TOO_MANY_STREAMS");
    hear_end(two, SP_E_CLOSED);
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(one, "HTTP/1.1 204");
    say(one, ask_a);
    hear_head(server, "GET /a");
    assert_int_equal(sp_cell_get(&kit->worker->cells.streams_refused), 1);
    kit_free(kit);
}

static void too_many_streams_of_bolt_leave_the_line_open(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    sp_budget_set_limit(&kit->sidecar->process.streams, 1, 1);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 3000, .body = "one" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "one");
    say_ask(caller, &(struct ask){ .id = 2, .timeout_ms = 3000, .body = "two" });
    say_ask(caller,
            &(struct ask){ .id = 3, .oneway = true, .body = "three" }); /* gets no answer, not even this */
    hear_bolt_refusal(caller, 2, "TOO_MANY_STREAMS");
    say_answer(server, id, "done");
    hear_answer(caller, 1, "done");
    hear_nothing(caller, 10);
    kit_free(kit);
}

static void what_no_route_takes_is_refused(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_route(kit_listener(kit, SP_PROTO_HTTP1))->match.path = SP_STR("/only");
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 404, "NO_ROUTE");
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.no_route), 1);
    say(caller, ask_a); /* the line lives on */
    hear_refusal(caller, 404, "NO_ROUTE");
    kit_free(kit);
}

static void a_cluster_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "NO_CLUSTER");
    kit_free(kit);
}

static void a_cluster_of_another_protocol_is_refused(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->protocol = SP_PROTO_BOLT;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 502, "PROTOCOL_MISMATCH");
    kit_free(kit);
}

static void connect_and_upgrades_need_to_be_allowed(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    hear_refusal(caller, 403, "UPGRADE_REFUSED");
    struct peer *ws = kit_call(kit, KIT_OUT);
    say(ws, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    sp_str head = hear_head(door_next(door), "GET /a");
    assert_false(has(head, "pgrade")); /* it may be ignored: RFC 9110, 7.8 */
    kit_free(kit);
}

static void calls_beyond_the_clusters_limit_are_refused(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit)->limits.requests = 1;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say(one, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(two, ask_a);
    hear_refusal(two, 503, "BREAKER");
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_overflow), 1);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_active), 1);
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(one, "HTTP/1.1 204");
    say(two, ask_a);
    hear_head(server, "GET /a");
    kit_free(kit);
}

static void a_cluster_without_a_usable_endpoint_is_refused(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_cluster_spec *spec = kit_cluster(kit);
    ((struct sp_endpoint_spec *)(uintptr_t)spec->endpoints)[0].healthy = false;
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "NO_HEALTHY");
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.lb_no_endpoint), 1);
    kit_free(kit);
}

static void an_endpoint_that_refuses_is_said_as_such(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    door_close(door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "CONNECT");
    const struct sp_report *report = last_report(kit);
    check_str(sp_report_str(report, SP_REPORT_FAILURE), sp_err_str(SP_E_REFUSED));
    assert_int_equal(report->upstream.port, 8080); /* who refused */
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 1);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_connect_fail), 1);
    kit_free(kit);
}

static void a_connect_that_takes_too_long_is_said_as_such(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.3:80", NULL };
    for (int bolt = 0; bolt < 2; bolt++) {
        struct kit *kit = kit_new(1);
        struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
        sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
        mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = SP_NS_PER_S;
        kit_listener(kit, bolt ? SP_PROTO_BOLT : SP_PROTO_HTTP1);
        kit_apply(kit);
        struct peer *caller = kit_call(kit, KIT_OUT);
        if (bolt)
            say_ask(caller, &(struct ask){ .id = 7, .timeout_ms = 3000, .body = "x" });
        else
            say(caller, ask_a);
        hear_nothing(caller, 900);
        if (bolt)
            hear_bolt_refusal(caller, 7, "CONNECT_TIMEOUT");
        else
            hear_refusal(caller, 503, "CONNECT_TIMEOUT");
        assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.cx_connect_timeout), 1);
        kit_free(kit);
    }
}

/* --- what is added to a request ------------------------------------------------------------------------- */

static void a_request_gets_an_id_and_says_who_forwarded(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_chain_spec *chain = mesh_chain(kit_listener(kit, SP_PROTO_HTTP1));
    chain->generate_request_id = chain->use_remote_address = true;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Envoy-Lie: 1\r\n\r\n");
    sp_str head = hear_head(door_next(door), "GET /a HTTP/1.1\r\n");
    check_has(head, "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n");
    check_has(head, "x-forwarded-proto: http\r\n");
    assert_false(has(head, "X-Envoy-Lie"));
    sp_str id = sp_str_from(head, sp_str_find_str(head, SP_STR("x-request-id: ")) + 14);
    assert_int_equal(sp_str_find(id, '\r'), 36);
    for (unsigned i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(id.ptr[i], '-');
        else
            assert_true((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f'));
    assert_int_equal(id.ptr[14], '4'); /* RFC 9562: version 4 */
    assert_true(id.ptr[19] == '8' || id.ptr[19] == '9' || id.ptr[19] == 'a' || id.ptr[19] == 'b');
    kit_free(kit);
}

/* What was answered says an id, and its record is found by it. `mine`: the caller's own. */
static void check_id_of_answer(struct kit *kit, const char *ask, const char *mine, uint32_t status,
                               enum sp_why why)
{
    char first[40];
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask);
    snprintf(first, sizeof(first), "HTTP/1.1 %u", status);
    sp_str head = hear_head(caller, first);
    size_t at = sp_str_find_str(head, SP_STR("x-request-id: "));
    if (at == head.len)
        fail_msg("no id in %.*s", SP_STR_ARG(head));
    sp_str rest = sp_str_from(head, at + 14), id = sp_str_cut(&rest, '\r');
    assert_int_equal(id.len, mine ? strlen(mine) : 36);
    if (mine)
        check_str(id, mine);
    const struct sp_report *r = last_report(kit);
    assert_int_equal(r->why, why);
    assert_true(sp_str_eq(sp_report_str(r, SP_REPORT_REQUEST_ID), id));
}

/* Each with no id of the caller's and with one. */
static void check_ids_of_answers(struct kit *kit, const char *line, uint32_t status, enum sp_why why)
{
    char ask[200];
    snprintf(ask, sizeof(ask), "%s HTTP/1.1\r\nHost: a:80\r\n\r\n", line);
    check_id_of_answer(kit, ask, NULL, status, why);
    snprintf(ask, sizeof(ask), "%s HTTP/1.1\r\nHost: a:80\r\nX-Request-Id: mine\r\n\r\n", line);
    check_id_of_answer(kit, ask, "mine", status, why);
}

static void every_answer_of_our_own_says_an_id_and_is_found_by_it(void **state)
{
    (void)state;
    static const struct sp_redirect elsewhere = { .host = SP_STR("else.where"), .status = 308 };
    for (int kind = 0; kind < 4; kind++) {
        struct kit *kit = kit_new(1);
        if (kind)
            kit_cluster(kit);
        struct sp_listener_spec *listener = kit_listener(kit, SP_PROTO_HTTP1);
        mesh_chain(listener)->generate_request_id = true;
        struct sp_route *route = mesh_route(listener);
        route->match.path = SP_STR("/a");
        route->kind = kind == 1 ? SP_ROUTE_DIRECT : kind == 2 ? SP_ROUTE_REDIRECT : SP_ROUTE_FORWARD;
        route->direct_status = 204;
        route->redirect = elsewhere;
        kit_apply(kit);
        check_ids_of_answers(kit, "GET /b", 404, SP_WHY_NO_ROUTE);
        check_ids_of_answers(kit, "CONNECT a:80", 403, SP_WHY_UPGRADE_REFUSED);
        if (kind == 0)
            check_ids_of_answers(kit, "GET /a", 503, SP_WHY_NO_CLUSTER);
        else if (kind == 1)
            check_ids_of_answers(kit, "GET /a", 204, SP_WHY_DIRECT);
        else if (kind == 2)
            check_ids_of_answers(kit, "GET /a", 308, SP_WHY_REDIRECT);
        else
            check_ids_of_answers(kit, "GET /a", 503, SP_WHY_CONNECT);
        kit_free(kit);
    }
}

static void what_never_became_a_call_has_an_id_too(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->generate_request_id = true;
    kit_apply(kit);
    check_id_of_answer(kit, "GET /a HTTP/1.1\r\nHost a\r\n\r\n", NULL, 400, SP_WHY_BAD_REQUEST);
    check_id_of_answer(kit, "GET /a HTTP/3.1\r\nHost: a\r\n\r\n", NULL, 505, SP_WHY_HTTP_VERSION);
    sp_budget_set_limit(&kit->sidecar->process.streams, 0, 1);
    check_ids_of_answers(kit, "GET /a", 503, SP_WHY_TOO_MANY_STREAMS);
    assert_int_equal(sp_cell_get(&kit->worker->cells.why[SP_WHY_TOO_MANY_STREAMS]), 2);
    kit_free(kit);
}

static void no_id_is_made_where_none_is_wanted(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_route(kit_listener(kit, SP_PROTO_HTTP1))->match.path = SP_STR("/only");
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    assert_false(has(hear_head(caller, "HTTP/1.1 404"), "x-request-id"));
    kit_free(kit);
}

static void an_id_that_is_there_stays_inside_the_mesh(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->generate_request_id = true;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nX-Forwarded-Proto: https\r\n\r\n");
    sp_str head = hear_head(door_next(door), "GET /a HTTP/1.1\r\n");
    check_has(head, "X-Request-Id: mine\r\n");
    check_has(head, "X-Forwarded-Proto: https\r\n");
    kit_free(kit);
}

static void a_request_without_host_is_given_the_address_it_called(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "GET /a HTTP/1.0\r\n\r\n");
    sp_str head = hear_head(door_next(door), "GET /a HTTP/1.1\r\n");
    check_has(head, "Host: 127.0.0.1:15001\r\n");
    kit_free(kit);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static void the_routes_time_begins_when_the_request_is_whole(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_route(kit_listener(kit, SP_PROTO_HTTP1))->timeout_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear_nothing(caller, 4000); /* as Envoy: an upload may take its time */
    say(caller, "cd");
    hear(server, "abcd");
    hear_nothing(caller, 1900);
    hear_refusal(caller, 504, "TIMEOUT");
    hear_end(server, SP_E_RESET);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_timeout), 1);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_timeout), 1);
    kit_free(kit);
}

static void a_bolt_caller_waits_no_longer_than_it_says(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door); /* the route's time is 15 s */
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = 1000, .body = "hello" });
    struct peer *server = door_next(door);
    uint32_t id = hear_ask(server, "hello");
    hear_nothing(caller, 900);
    hear_bolt_refusal(caller, 1, "TIMEOUT");
    say_answer(server, id, "late"); /* nobody wants it any more */
    hear_nothing(caller, 100);
    say_ask(caller, &(struct ask){ .id = 2, .timeout_ms = 1000, .body = "again" });
    say_answer(server, hear_ask(server, "again"), "in time"); /* on the same line */
    hear_answer(caller, 2, "in time");
    kit_free(kit);
}

static void bolts_time_is_reduced_by_ours_and_by_what_was_spent(void **state)
{
    (void)state;
    static const struct {
        uint32_t route_ms, wait_ms;
        int32_t asked, least, most;
    } cases[] = {
        { 15000, 0, 3000, 2995, 3000 },                           /* next to nothing spent */
        { 15000, 1000, 10000, 6000, 9000 },                       /* some seconds were spent connecting */
        { 2000, 0, 3000, 1995, 2000 },                            /* our time is the smaller one */
        { 8000, 1000, 10000, 4000, 7000 },  { 2000, 0, 0, 0, 0 }, /* it does not say: we do not say for it */
    };
    for (unsigned i = 0; i < SP_COUNTOF(cases); i++) {
        static const char *const addrs[] = { "10.0.0.3:80", NULL };
        struct kit *kit = kit_new(1);
        struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
        mesh_cluster(kit->sidecar, "app", addrs)->connect_timeout_ns = 5 * SP_NS_PER_S;
        mesh_route(kit_listener(kit, SP_PROTO_BOLT))->timeout_ns = cases[i].route_ms * SP_NS_PER_MS;
        kit_apply(kit);
        struct sp_loop *app = kit->app;
        kit->app = far;
        struct door *door = kit_door(kit, "10.0.0.3:80");
        kit->app = app;
        struct peer *caller = kit_call(kit, KIT_OUT);
        if (cases[i].wait_ms)
            sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
        say_ask(caller, &(struct ask){ .id = 1, .timeout_ms = cases[i].asked, .body = "hello" });
        kit_run(kit, cases[i].wait_ms);
        sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, false);
        struct frame f;
        hear_frame(door_next(door), &f);
        if (f.timeout_ms < cases[i].least || f.timeout_ms > cases[i].most)
            fail_msg("case %u: the server was told %d ms", i, f.timeout_ms);
        frame_free(&f);
        kit_free(kit);
    }
}

static void a_call_in_which_nothing_moves_ends(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_listener_spec *spec = kit_listener(kit, SP_PROTO_HTTP1);
    mesh_chain(spec)->stream_idle_ns = 2 * SP_NS_PER_S;
    mesh_route(spec)->timeout_ns = 0;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    struct peer *server = door_next(door);
    hear_head(server, "GET");
    hear_nothing(caller, 1900);
    hear_refusal(caller, 504, "STREAM_IDLE");
    struct peer *slow = kit_call(kit, KIT_OUT);
    say(slow, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    kit_run(kit, 1000);
    say(slow, "c"); /* it moves */
    hear_nothing(slow, 1900);
    hear_refusal(slow, 408, "REQUEST_TIMEOUT");
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_idle_timeout), 2);
    assert_int_equal(sp_cell_get(&the_chain(kit)->cells.rq_4xx), 1);
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_4xx), 0); /* the servers did nothing */
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_5xx), 1);
    kit_free(kit);
}

static void the_routes_idle_time_replaces_the_listeners(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_listener_spec *spec = kit_listener(kit, SP_PROTO_HTTP1);
    mesh_route(spec)->timeout_ns = 0;
    mesh_route(spec)->idle_timeout_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_head(door_next(door), "GET");
    hear_nothing(caller, 900);
    hear_refusal(caller, 504, "STREAM_IDLE");
    kit_free(kit);
}

static void a_request_that_never_becomes_whole_ends_by_the_listeners_time(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_HTTP1))->request_timeout_ns = 3 * SP_NS_PER_S;
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    kit_door(kit, KIT_APP);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        say(caller, "x"); /* it moves all the time */
        hear_nothing(caller, 500);
    }
    hear_refusal(caller, 408, "REQUEST_TIMEOUT");
    kit_free(kit);
}

static void a_one_way_request_that_stops_in_the_middle_ends(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    mesh_chain(kit_listener(kit, SP_PROTO_BOLT))->stream_idle_ns = 2 * SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_ask(caller, &(struct ask){ .id = 2, .oneway = true, .body = "a line is there" });
    struct peer *server = door_next(door);
    hear_ask(server, "a line is there");
    char *body = calloc(1, 200000);
    say_ask(caller, &(struct ask){
                        .id = 1, .oneway = true, .body = body, .body_bytes = 200000, .say_bytes = 100000 });
    free(body);
    kit_run(kit, 1000);
    assert_int_equal(sp_cell_get(&kit->worker->cells.streams_active), 1);
    kit_run(kit, 1500);
    assert_int_equal(sp_cell_get(&kit->worker->cells.streams_active), 0);
    assert_true(server->ended); /* with half a frame on its line */
    kit_free(kit);
}

/* --- trying again --------------------------------------------------------------------------------------- */

/* Weights 2:1, so that the order is known: first, second, first. */
static void cluster_of_two(struct kit *kit, const char *first, const char *second, uint32_t retries)
{
    const char *const addrs[] = { first, second, NULL };
    struct sp_cluster_spec *spec = mesh_cluster(kit->sidecar, "app", addrs);
    ((struct sp_endpoint_spec *)(uintptr_t)spec->endpoints)[0].weight = 2;
    spec->limits.retries = 1;
    mesh_route(kit_listener(kit, SP_PROTO_HTTP1))->retry = (struct sp_retry){ .on = SP_RETRY_CONNECT_FAILURE,
                                                                              .retries = retries };
    kit_apply(kit);
}

static void a_connect_that_fails_is_tried_elsewhere(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    cluster_of_two(kit, "127.0.0.1:9", KIT_APP, 1);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    struct peer *server = door_next(door);
    hear_head(server, "POST /a");
    hear(server, "body");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    const struct sp_cluster *cluster = the_cluster(kit, "app");
    assert_int_equal(sp_cell_get(&cluster->cells.rq_retry), 1);
    assert_int_equal(sp_cell_get(&cluster->cells.rq_retry_success), 1);
    assert_int_equal(sp_cell_get(&cluster->cells.rq_total), 1);
    assert_int_equal(cluster->retries.used, 0);
    assert_int_equal(last_report(kit)->attempts, 2);
    check_str(sp_report_str(last_report(kit), SP_REPORT_FAILURE), "");
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 0)->rq_error), 1);
    assert_int_equal(sp_cell_get(&the_endpoint(kit, "app", 1)->rq_error), 0);
    kit_free(kit);
}

static void retries_that_are_used_up_end_in_the_last_failure(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    cluster_of_two(kit, "127.0.0.1:9", "127.0.0.1:10", 3);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "CONNECT");
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_retry), 3);
    assert_int_equal(last_report(kit)->attempts, 4);
    kit_free(kit);
}

/* The share is held while the second attempt is under way, not taken and given at once. */
static void retries_at_once_are_limited(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    struct sp_loop *far = sp_sim_host(kit->mesh->sim, "10.0.0.3");
    sp_sim_partition(kit->mesh->sim, kit->sidecar->main, far, true);
    cluster_of_two(kit, "127.0.0.1:9", "10.0.0.3:80", 1);
    struct peer *one = kit_call(kit, KIT_OUT), *two = kit_call(kit, KIT_OUT);
    say(one, ask_a);
    hear_nothing(one, 500); /* it is at its second attempt */
    assert_int_equal(the_cluster(kit, "app")->retries.used, 1);
    say(two, ask_a);
    hear_refusal(two, 503, "RETRY_LIMIT");
    assert_int_equal(sp_cell_get(&the_cluster(kit, "app")->cells.rq_retry_overflow), 1);
    hear_refusal(one, 503, "CONNECT_TIMEOUT");
    assert_int_equal(the_cluster(kit, "app")->retries.used, 0);
    kit_free(kit);
}

static void without_a_policy_nothing_is_tried_again(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    cluster_of_two(kit, "127.0.0.1:9", KIT_APP, 0);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "CONNECT");
    assert_int_equal(door->accepted, 0);
    kit_free(kit);
}

static void a_hash_sends_equal_calls_to_one_endpoint(void **state)
{
    (void)state;
    static const char *const addrs[] = { "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003", NULL };
    static const struct sp_hash_policy hash = { .kind = SP_HASH_HEADER, .name = SP_STR("x-user") };
    struct kit *kit = kit_new(1);
    mesh_cluster(kit->sidecar, "app", addrs)->balance = SP_BALANCE_RING_HASH;
    struct sp_route *route = mesh_route(kit_listener(kit, SP_PROTO_HTTP1));
    route->hash = &hash;
    route->hash_count = 1;
    kit_apply(kit);
    struct door *doors[3];
    for (int i = 0; i < 3; i++)
        doors[i] = kit_door(kit, addrs[i]);
    int first = -1;
    for (int i = 0; i < 6; i++) {
        struct peer *caller = kit_call(kit, KIT_OUT);
        say(caller, "GET /a HTTP/1.1\r\nHost: a\r\nX-User: someone\r\n\r\n");
        kit_run(kit, 50);
        for (int k = 0; k < 3; k++)
            if (!sp_list_is_empty(&doors[k]->waiting)) {
                hear_head(door_next(doors[k]), "GET /a");
                if (first < 0)
                    first = k;
                assert_int_equal(k, first);
            }
    }
    assert_true(first >= 0);
    assert_int_equal(doors[first]->accepted, 6);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_streams_are_refused_and_the_next_is_not),
        cmocka_unit_test(too_many_streams_of_bolt_leave_the_line_open),
        cmocka_unit_test(what_no_route_takes_is_refused),
        cmocka_unit_test(a_cluster_that_is_not_there_is_refused),
        cmocka_unit_test(a_cluster_of_another_protocol_is_refused),
        cmocka_unit_test(connect_and_upgrades_need_to_be_allowed),
        cmocka_unit_test(calls_beyond_the_clusters_limit_are_refused),
        cmocka_unit_test(a_cluster_without_a_usable_endpoint_is_refused),
        cmocka_unit_test(an_endpoint_that_refuses_is_said_as_such),
        cmocka_unit_test(a_connect_that_takes_too_long_is_said_as_such),
        cmocka_unit_test(a_request_gets_an_id_and_says_who_forwarded),
        cmocka_unit_test(every_answer_of_our_own_says_an_id_and_is_found_by_it),
        cmocka_unit_test(what_never_became_a_call_has_an_id_too),
        cmocka_unit_test(no_id_is_made_where_none_is_wanted),
        cmocka_unit_test(an_id_that_is_there_stays_inside_the_mesh),
        cmocka_unit_test(a_request_without_host_is_given_the_address_it_called),
        cmocka_unit_test(the_routes_time_begins_when_the_request_is_whole),
        cmocka_unit_test(a_bolt_caller_waits_no_longer_than_it_says),
        cmocka_unit_test(bolts_time_is_reduced_by_ours_and_by_what_was_spent),
        cmocka_unit_test(a_call_in_which_nothing_moves_ends),
        cmocka_unit_test(the_routes_idle_time_replaces_the_listeners),
        cmocka_unit_test(a_request_that_never_becomes_whole_ends_by_the_listeners_time),
        cmocka_unit_test(a_one_way_request_that_stops_in_the_middle_ends),
        cmocka_unit_test(a_connect_that_fails_is_tried_elsewhere),
        cmocka_unit_test(retries_that_are_used_up_end_in_the_last_failure),
        cmocka_unit_test(retries_at_once_are_limited),
        cmocka_unit_test(without_a_policy_nothing_is_tried_again),
        cmocka_unit_test(a_hash_sends_equal_calls_to_one_endpoint),
    };
    return cmocka_run_group_tests_name("proxy stream", tests, NULL, NULL);
}
