/* intake: which chain a connection comes to, by where it was going, whence it came, and what it says first.
 * */
#include "unit/proxy/worker_kit.h"

/* --- a listener with several chains --------------------------------------------------------------------- */

enum { CHAINS = 4 };

/* Raw chains "a".."d", each to a door of its own at port 9001.. */
struct choice {
    struct kit *kit;
    struct sp_chain_spec chains[CHAINS];
    struct sp_listener_spec *spec;
    struct door *doors[CHAINS];
    uint32_t count;
};

static void choice_start(struct choice *c, uint32_t count)
{
    static const char *const addrs[CHAINS][2] = { { "127.0.0.1:9001", NULL },
                                                  { "127.0.0.1:9002", NULL },
                                                  { "127.0.0.1:9003", NULL },
                                                  { "127.0.0.1:9004", NULL } };
    static const char *const names[CHAINS] = { "a", "b", "c", "d" };
    memset(c, 0, sizeof(*c));
    c->kit = kit_new(1);
    c->count = count;
    c->spec = mesh_listener(c->kit->sidecar, "out", "0.0.0.0:15001", SP_PROTO_TCP, "a");
    for (uint32_t i = 0; i < count; i++) {
        mesh_cluster(c->kit->sidecar, names[i], addrs[i]);
        c->chains[i] = *c->spec->chains;
        c->chains[i].cluster = sp_str_c(names[i]);
    }
    c->spec->chains = c->chains;
    c->spec->chain_count = count;
    c->spec->detect_ns = 200 * SP_NS_PER_MS;
}

static void choice_apply(struct choice *c)
{
    static const char *const addrs[CHAINS] = { "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003",
                                               "127.0.0.1:9004" };
    kit_apply(c->kit);
    for (uint32_t i = 0; i < c->count; i++)
        c->doors[i] = kit_door(c->kit, addrs[i]);
}

/* What says `text` must come to chain `want`; -1 = to none. */
static void check_choice(struct choice *c, const char *to, const char *text, int want)
{
    struct peer *caller = kit_call(c->kit, to);
    say(caller, text);
    kit_run(c->kit, 300);
    for (uint32_t i = 0; i < c->count; i++)
        if ((int)i == want)
            hear(door_next(c->doors[i]), text);
        else if (!door_is_quiet(c->doors[i], 0))
            fail_msg("\"%s\" came to chain %u, want %d", text, i, want);
    if (want < 0)
        check_cut(caller);
    leave(caller, true);
    kit_run(c->kit, 10);
}

static struct sp_net net(const char *ip, uint32_t bits)
{
    struct sp_net net = { .bits = bits };
    assert_int_equal(sp_addr_parse_ip(sp_str_c(ip), 0, &net.addr), 0);
    return net;
}

static void the_longest_prefix_of_the_address_wins(void **state)
{
    (void)state;
    struct choice c;
    struct sp_net nets[] = { net("127.0.0.0", 8), net("127.1.0.0", 16), net("10.0.0.0", 8) };
    choice_start(&c, 3);
    for (int i = 0; i < 3; i++) {
        c.chains[i].match_nets = &nets[i];
        c.chains[i].match_net_count = 1;
    }
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "x", 0);
    check_choice(&c, "127.1.2.3:15001", "x", 1);
    check_choice(&c, "10.0.0.1:15001", "x", 2);
    kit_free(c.kit);
}

static void a_port_counts_before_an_address_and_there_is_no_way_back(void **state)
{
    (void)state;
    struct choice c;
    struct sp_net narrow = net("127.0.0.1", 32), other = net("10.9.9.9", 32);
    choice_start(&c, 3);
    c.chains[0].match_nets = &narrow;
    c.chains[0].match_net_count = 1;
    c.chains[1].match_port = 15001; /* the more special condition comes first, whatever others say later */
    c.chains[1].match_sources = &other;
    c.chains[1].match_source_count = 1;
    c.spec->has_default = true; /* chain c */
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "x", 2); /* as Envoy: the port matched, its source did not */
    kit_free(c.kit);
}

static void the_source_counts_last(void **state)
{
    (void)state;
    struct choice c;
    struct sp_net from = net("127.0.0.0", 8), to = net("127.0.0.0", 8);
    choice_start(&c, 3);
    c.chains[0].match_sources = &from;
    c.chains[0].match_source_count = 1;
    c.chains[1].match_nets = &to;
    c.chains[1].match_net_count = 1;
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "x", 1);
    kit_free(c.kit);
}

static void what_is_spoken_chooses_where_chains_ask_for_it(void **state)
{
    (void)state;
    static const sp_str http[] = { { "http/1.0", 8 }, { "http/1.1", 8 } }, bolt[] = { { "bolt", 4 } };
    struct choice c;
    choice_start(&c, 3);
    c.chains[0].match_protocols = http;
    c.chains[0].match_protocol_count = 2;
    c.chains[1].match_protocols = bolt;
    c.chains[1].match_protocol_count = 1;
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "GET / HTTP/1.1\r\n", 0);
    check_choice(&c, "127.0.0.1:15001", "EHLO me\r\n", 2);
    struct peer *caller = kit_call(c.kit, KIT_OUT);
    size_t len = say_ask(caller, &(struct ask){ .id = 1, .body = "x" });
    hear_bytes(door_next(c.doors[1]), len);
    kit_free(c.kit);
}

static void a_transport_that_is_named_counts_before_the_protocol(void **state)
{
    (void)state;
    static const sp_str http[] = { { "http/1.1", 8 } };
    struct choice c;
    choice_start(&c, 2);
    c.chains[0].match_protocols = http;
    c.chains[0].match_protocol_count = 1;
    c.chains[1].match_raw = true;
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "GET / HTTP/1.1\r\n", 1);
    kit_free(c.kit);
}

static void a_connection_that_no_chain_takes_is_cut(void **state)
{
    (void)state;
    struct choice c;
    choice_start(&c, 1);
    c.chains[0].match_port = 1;
    choice_apply(&c);
    check_choice(&c, "127.0.0.1:15001", "x", -1);
    assert_int_equal(sp_cell_get(&the_listener(c.kit, "out")->cells.no_filter_chain_match), 1);
    assert_int_equal(why_count(c.kit, SP_WHY_NO_CHAIN), 1);
    kit_free(c.kit);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static void a_server_that_speaks_first_is_reached_after_the_listeners_time(void **state)
{
    (void)state;
    static const sp_str http[] = { { "http/1.1", 8 } };
    struct choice c;
    choice_start(&c, 2);
    c.chains[0].match_protocols = http;
    c.chains[0].match_protocol_count = 1;
    choice_apply(&c);
    struct peer *caller = kit_call(c.kit, KIT_OUT);
    assert_true(door_is_quiet(c.doors[1], 150));
    struct peer *server = door_next(c.doors[1]);
    say(server, "220 ready\r\n");
    hear(caller, "220 ready\r\n");
    assert_int_equal(sp_cell_get(&the_listener(c.kit, "out")->cells.detect_timeout), 1);
    kit_free(c.kit);
}

static void a_half_closed_caller_of_such_a_server_is_not_waited_for(void **state)
{
    (void)state;
    static const sp_str http[] = { { "http/1.1", 8 } };
    struct choice c;
    choice_start(&c, 2);
    c.chains[0].match_protocols = http;
    c.chains[0].match_protocol_count = 1;
    choice_apply(&c);
    struct peer *caller = kit_call(c.kit, KIT_OUT);
    say_fin(caller);
    kit_run(c.kit, 50); /* well before the time is over */
    struct peer *server = door_next(c.doors[1]);
    hear_end(server, SP_E_CLOSED);
    say(server, "Tue Nov 24\r\n");
    hear(caller, "Tue Nov 24\r\n");
    kit_free(c.kit);
}

static void a_caller_of_calls_that_says_nothing_and_goes_is_gone(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_BOLT); /* v1 or v2: the first byte tells */
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    leave(caller, false);
    kit_run(kit, 50);
    assert_int_equal(sp_cell_get(&the_listener(kit, "out")->cells.cx_active), 0);
    assert_int_equal(why_count(kit, SP_WHY_CLIENT_GONE), 1);
    assert_int_equal(why_count(kit, SP_WHY_NONE), 0);
    kit_free(kit);
}

static void both_versions_of_bolt_are_told_apart_even_when_they_wait(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    for (int v2 = 0; v2 < 2; v2++) {
        struct peer *caller = kit_call(kit, KIT_OUT);
        hear_nothing(caller, 2000); /* opened ahead, as connection pools do */
        say_ask(caller, &(struct ask){ .id = 3, .v2 = v2, .timeout_ms = 1000, .body = "hello" });
        struct peer *server = door_next(door);
        struct frame f;
        hear_frame(server, &f);
        assert_string_equal(f.body, "hello");
        frame_free(&f);
    }
    kit_free(kit);
}

static void a_slow_head_of_bolt_v2_is_not_taken_for_v1(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_BOLT, &door);
    struct peer *caller = kit_call(kit, KIT_OUT);
    size_t len;
    char *bytes = ask_bytes(&(struct ask){ .id = 3, .v2 = true, .timeout_ms = 1000, .body = "hello" }, &len);
    say_bytes(caller, bytes, 5);
    hear_nothing(caller, 1000); /* longer than detection may take */
    say_bytes(caller, bytes + 5, len - 5);
    free(bytes);
    hear_ask(door_next(door), "hello");
    kit_free(kit);
}

static void first_words_that_do_not_end_have_their_time(void **state)
{
    (void)state;
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, SP_PROTO_NONE); /* "auto" */
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_bytes(caller, "\001\001\000", 3);
    kit_run(kit, 1000);
    check_cut(caller);
    assert_int_equal(why_count(kit, SP_WHY_NOT_DETECTED), 1);
    kit_free(kit);
}

/* --- PROXY header --------------------------------------------------------------------------------------- */

static struct kit *kit_behind_balancer(struct door **ret_door, bool optional)
{
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    struct sp_listener_spec *spec = kit_listener(kit, SP_PROTO_HTTP1);
    spec->proxy_protocol = true;
    spec->proxy_protocol_optional = optional;
    mesh_chain(spec)->use_remote_address = true; /* so that the server sees who called */
    kit_apply(kit);
    *ret_door = kit_door(kit, KIT_APP);
    return kit;
}

static const char header_v1[] = "PROXY TCP4 192.0.2.7 198.51.100.1 5555 80\r\n";
static const char request[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

static void check_forwarded_for(struct door *door, const char *ip)
{
    char line[64];
    snprintf(line, sizeof(line), "x-forwarded-for: %s\r\n", ip);
    sp_str head = hear_head(door_next(door), "GET /a HTTP/1.1\r\n");
    if (sp_str_find_str(head, sp_str_c(line)) == head.len)
        fail_msg("heard \"%.*s\", want %s", SP_STR_ARG(head), line);
}

static void a_proxy_header_cut_anywhere_says_who_calls(void **state)
{
    (void)state;
    char all[256];
    snprintf(all, sizeof(all), "%s%s", header_v1, request);
    for (size_t cut = 1; cut < strlen(header_v1) + 3; cut++) {
        struct door *door;
        struct kit *kit = kit_behind_balancer(&door, false);
        struct peer *caller = kit_call(kit, KIT_OUT);
        say_bytes(caller, all, cut);
        kit_run(kit, 10);
        say(caller, all + cut);
        check_forwarded_for(door, "192.0.2.7");
        kit_free(kit);
    }
}

static void a_record_tells_who_connected_beside_whom_the_header_names(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_behind_balancer(&door, false);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, header_v1);
    say(caller, request);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a HTTP/1.1\r\n");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    for (int broken = 0; broken < 2; broken++) {
        const struct sp_report *report = last_report(kit);
        assert_int_equal(report->status, broken ? 400 : 204);
        assert_int_equal(report->downstream.ip[0], 192);
        assert_int_equal(report->downstream.port, 5555);
        assert_int_equal(report->downstream_direct.ip[0], 127);
        assert_int_equal(report->downstream_local.ip[0], 198);
        assert_int_equal(report->downstream_local.port, 80);
        if (broken)
            break;
        say(caller, "no request\r\n\r\n");
        hear_refusal(caller, 400, "BAD_REQUEST");
    }
    kit_free(kit);
}

static void a_header_alone_leaves_nothing_behind(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_behind_balancer(&door, false);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, header_v1);
    kit_run(kit, 10);
    assert_false(sp_list_is_empty(&kit->worker->lines)); /* the slab of the header must not go along */
    say(caller, request);
    check_forwarded_for(door, "192.0.2.7");
    kit_free(kit);
}

static void a_missing_header_is_refused_or_forgiven(void **state)
{
    (void)state;
    for (int optional = 0; optional < 2; optional++) {
        struct door *door;
        struct kit *kit = kit_behind_balancer(&door, optional);
        struct peer *caller = kit_call(kit, KIT_OUT);
        say(caller, request);
        if (optional) {
            check_forwarded_for(door, "127.0.0.1");
        } else {
            hear_end(caller, SP_E_RESET);
            assert_int_equal(why_count(kit, SP_WHY_PROXY_PROTOCOL), 1);
            assert_int_equal(sp_cell_get(&the_listener(kit, "out")->cells.proxy_protocol_error), 1);
        }
        kit_free(kit);
    }
}

static void a_header_that_does_not_come_is_waited_for_five_seconds(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_behind_balancer(&door, false);
    struct peer *silent = kit_call(kit, KIT_OUT), *half = kit_call(kit, KIT_OUT);
    say(half, "PROXY TCP4 ");
    hear_nothing(half, 4900);
    hear_end(half, SP_E_RESET);
    hear_end(silent, SP_E_RESET);
    assert_int_equal(why_count(kit, SP_WHY_PROXY_PROTOCOL), 2);
    kit_free(kit);
}

/* A v2 header may name Unix sockets; its paths live no longer than the header, and are nobody's address. */
static void a_header_with_paths_changes_no_address(void **state)
{
    (void)state;
    struct door *door;
    struct kit *kit = kit_behind_balancer(&door, false);
    unsigned char header[16 + 216] = { '\r', '\n', '\r', '\n', 0,    '\r', '\n', 'Q',
                                       'U',  'I',  'T',  '\n', 0x21, 0x31, 0,    216 };
    memcpy(header + 16, "/run/caller", 11);
    memcpy(header + 16 + 108, "/run/called", 11);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say_bytes(caller, header, sizeof(header));
    say(caller, request);
    check_forwarded_for(door, "127.0.0.1");
    kit_free(kit);
}

/* --- original destination ------------------------------------------------------------------------------- */

/* Everything that the app calls comes to :15001, which hands it to the listener of where it was going. */
static struct kit *kit_intercepted(struct sp_listener_spec **ret_home, struct sp_listener_spec **ret_target)
{
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    *ret_home = mesh_listener(kit->sidecar, "home", "0.0.0.0:15001", SP_PROTO_TCP, "none");
    (*ret_home)->use_original_dst = true;
    *ret_target = mesh_listener(kit->sidecar, "target", "0.0.0.0:80", SP_PROTO_HTTP1, "app");
    (*ret_target)->bind = false;
    sp_sim_redirect_out(kit->app, 15001);
    return kit;
}

static uint64_t active(struct kit *kit, const char *listener)
{
    return sp_cell_get(&the_listener(kit, listener)->cells.cx_active);
}

static void a_connection_is_counted_by_the_listener_it_was_going_to(void **state)
{
    (void)state;
    struct sp_listener_spec *home, *target;
    struct kit *kit = kit_intercepted(&home, &target);
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, "10.5.5.5:80");
    say(caller, request);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    assert_int_equal(active(kit, "home"), 0);
    assert_int_equal(active(kit, "target"), 1);
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    leave(caller, false);
    kit_run(kit, 3000);
    assert_int_equal(active(kit, "target"), 0);
    assert_int_equal(sp_cell_get(&the_listener(kit, "target")->cells.cx_destroy), 1);
    kit_free(kit);
}

static void a_listener_that_goes_while_one_is_looked_at_lives_on_for_it(void **state)
{
    (void)state;
    static const sp_str http[] = { { "http/1.1", 8 } };
    struct sp_listener_spec *home, *target;
    struct kit *kit = kit_intercepted(&home, &target);
    mesh_chain(target)->match_protocols = http; /* so that it waits for the first words */
    mesh_chain(target)->match_protocol_count = 1;
    target->detect_ns = SP_NS_PER_S;
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    struct peer *caller = kit_call(kit, "10.5.5.5:80");
    kit_run(kit, 10);
    mesh_drop_listener(kit->sidecar, "target");
    kit_apply(kit);
    say(caller, request);
    struct peer *server = door_next(door);
    hear_head(server, "GET /a");
    say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    hear_head(caller, "HTTP/1.1 204");
    kit_free(kit);
}

static void the_cap_of_the_listener_it_was_going_to_holds(void **state)
{
    (void)state;
    struct sp_listener_spec *home, *target;
    struct kit *kit = kit_intercepted(&home, &target);
    target->max_connections = 1;
    kit_apply(kit);
    struct peer *one = kit_call(kit, "10.5.5.5:80"), *two = kit_call(kit, "10.5.5.5:80");
    check_cut(two);
    hear_nothing(one, 10);
    assert_int_equal(why_count(kit, SP_WHY_LISTENER_FULL), 1);
    assert_int_equal(sp_cell_get(&the_listener(kit, "target")->cells.cx_overflow), 1);
    kit_free(kit);
}

static void the_listener_that_stands_for_a_port_is_of_the_calls_own_family(void **state)
{
    (void)state;
    for (int target_is_six = 0; target_is_six < 2; target_is_six++) { /* whichever was made first */
        struct sp_listener_spec *home, *target;
        struct kit *kit = kit_intercepted(&home, &target);
        struct sp_listener_spec *other = mesh_listener(kit->sidecar, "other", "0.0.0.0:80", SP_PROTO_HTTP1,
                                                       "app");
        other->bind = false;
        struct sp_listener_spec *six = target_is_six ? target : other;
        assert_int_equal(sp_addr_parse_ip(SP_STR("::"), 80, &six->addr), 0);
        kit_apply(kit);
        struct door *door = kit_door(kit, KIT_APP);
        struct peer *caller = kit_call(kit, "10.5.5.5:80");
        say(caller, request);
        hear_head(door_next(door), "GET /a");
        assert_int_equal(active(kit, "target"), !target_is_six);
        assert_int_equal(active(kit, "other"), target_is_six);
        kit_free(kit);
    }
}

static void a_call_to_the_port_itself_does_not_go_round_in_a_circle(void **state)
{
    (void)state;
    static const char *const nowhere[] = { NULL };
    struct kit *kit = kit_new(1);
    mesh_cluster(kit->sidecar, "called", nowhere)->kind = SP_CLUSTER_ORIGINAL_DST;
    struct sp_listener_spec *home = mesh_listener(kit->sidecar, "home", "0.0.0.0:15001", SP_PROTO_TCP,
                                                  "called");
    home->use_original_dst = true;
    sp_sim_redirect_in(kit->app, 15001); /* so that the kernel tracks connections */
    kit_apply(kit);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, "anybody there?");
    check_cut(caller);
    assert_int_equal(sp_cell_get(&the_listener(kit, "home")->cells.cx_total), 1);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_of_the_address_wins),
        cmocka_unit_test(a_port_counts_before_an_address_and_there_is_no_way_back),
        cmocka_unit_test(the_source_counts_last),
        cmocka_unit_test(what_is_spoken_chooses_where_chains_ask_for_it),
        cmocka_unit_test(a_transport_that_is_named_counts_before_the_protocol),
        cmocka_unit_test(a_connection_that_no_chain_takes_is_cut),
        cmocka_unit_test(a_server_that_speaks_first_is_reached_after_the_listeners_time),
        cmocka_unit_test(a_half_closed_caller_of_such_a_server_is_not_waited_for),
        cmocka_unit_test(a_caller_of_calls_that_says_nothing_and_goes_is_gone),
        cmocka_unit_test(both_versions_of_bolt_are_told_apart_even_when_they_wait),
        cmocka_unit_test(a_slow_head_of_bolt_v2_is_not_taken_for_v1),
        cmocka_unit_test(first_words_that_do_not_end_have_their_time),
        cmocka_unit_test(a_proxy_header_cut_anywhere_says_who_calls),
        cmocka_unit_test(a_record_tells_who_connected_beside_whom_the_header_names),
        cmocka_unit_test(a_header_alone_leaves_nothing_behind),
        cmocka_unit_test(a_missing_header_is_refused_or_forgiven),
        cmocka_unit_test(a_header_that_does_not_come_is_waited_for_five_seconds),
        cmocka_unit_test(a_header_with_paths_changes_no_address),
        cmocka_unit_test(a_connection_is_counted_by_the_listener_it_was_going_to),
        cmocka_unit_test(a_listener_that_goes_while_one_is_looked_at_lives_on_for_it),
        cmocka_unit_test(the_cap_of_the_listener_it_was_going_to_holds),
        cmocka_unit_test(the_listener_that_stands_for_a_port_is_of_the_calls_own_family),
        cmocka_unit_test(a_call_to_the_port_itself_does_not_go_round_in_a_circle),
    };
    return cmocka_run_group_tests_name("proxy intake", tests, NULL, NULL);
}
