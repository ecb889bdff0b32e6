/* loop_contract: what both bodies of the loop promise, tested once against each: epoll, the simulation when
 * it is calm, and the simulation when it is rough (short reads and writes, pieces, delays, stalls, a small
 * window).
 *
 * Everything runs on one loop that talks to itself: turning it by hand moves virtual time as well as real
 * time. */
#include "io/dns.h"
#include "io/mail.h"
#include "io/pump.h"
#include "io/sim/sim.h"
#include "io/timer.h"
#include "unit/io/help.h"

enum { PAIRS_MAX = 4 };

struct world {
    struct sp_loop *loop;
    struct sp_sim *sim; /* NULL: epoll */
    struct sp_acceptor acceptor;
    sp_addr addr;
    bool listening;
    int fds[PAIRS_MAX];
    uint32_t accepted, full;
};

/* --- the worlds ----------------------------------------------------------------------------------------- */

static struct world *world_new(struct sp_sim *sim)
{
    struct world *w = calloc(1, sizeof(*w));
    w->sim = sim;
    w->loop = sim ? sp_sim_host(sim, "10.0.0.1") : sp_loop_new(NULL);
    assert_non_null(w->loop);
    return w;
}

static int up_epoll(void **state)
{
    *state = world_new(NULL);
    return 0;
}

static int up_sim(void **state)
{
    *state = world_new(sp_sim_new(1));
    return 0;
}

static int up_rough(void **state)
{
    const struct sp_sim_faults faults = { .short_read = 300,
                                          .short_write = 300,
                                          .stall = 20,
                                          .delay_min = 20 * SP_NS_PER_US,
                                          .delay_max = 2 * SP_NS_PER_MS,
                                          .stall_max = 50 * SP_NS_PER_MS,
                                          .window_bytes = 3000 };
    struct sp_sim *sim = sp_sim_new(2);
    sp_sim_set_faults(sim, &faults);
    *state = world_new(sim);
    return 0;
}

static int down(void **state)
{
    struct world *w = *state;
    struct sp_loop_view view;
    sp_loop_get_view(w->loop, &view);
    if (view.socks_open)
        return -1; /* the test failed half way: its own words matter */
    if (w->listening)
        sp_acceptor_close(&w->acceptor);
    if (w->sim)
        sp_sim_free(w->sim);
    else
        sp_loop_free(w->loop);
    free(w);
    return 0;
}

static void on_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct world *w = SP_CONTAINER(acceptor, struct world, acceptor);
    assert_true(w->accepted < PAIRS_MAX);
    assert_true(peer->family == w->addr.family);
    w->fds[w->accepted++] = fd;
}

static void on_full(struct sp_acceptor *acceptor, sp_err err)
{
    SP_CONTAINER(acceptor, struct world, acceptor)->full++;
}

static void listen_at(struct world *w, const sp_addr *addr)
{
    struct sp_listen_config config = { .addr = *addr };
    w->acceptor.on_accept = on_accept;
    w->acceptor.on_full = on_full;
    w->addr = *addr;
    assert_int_equal(sp_acceptor_listen(&w->acceptor, w->loop, &config), 0);
    w->listening = true;
    if (addr->family != SP_ADDR_UNIX)
        assert_int_equal(sp_acceptor_local(&w->acceptor, &w->addr), 0);
}

static void connect_to(struct world *w, struct rec *rec, const sp_addr *to)
{
    rec_init(rec);
    assert_int_equal(sp_sock_connect(&rec->sock, w->loop, &rec_ops, to, NULL, 0), 0);
    assert_int_equal(rec->connects, 0);
}

/* Two ends of a connection on the loop, both reading. */
static void pair(struct world *w, struct rec *client, struct rec *server)
{
    uint32_t before = w->accepted;
    if (!w->listening) {
        sp_addr any_port = loopback(0);
        listen_at(w, &any_port);
    }
    connect_to(w, client, &w->addr);
    run_until(w->loop, client->connects == 1 && w->accepted == before + 1);
    assert_int_equal(client->connected, 0);
    sp_sock_read(&client->sock, true);
    rec_open(server, w->loop, w->fds[before], true);
}

static void part(struct world *w, struct rec *a, struct rec *b)
{
    rec_close(a, w->loop);
    rec_close(b, w->loop);
}

/* All of it, however little the window takes at a time. */
static void say(struct world *w, struct rec *rec, const char *text)
{
    for (size_t at = 0, len = strlen(text); at < len;) {
        ssize_t sent = rec_send(rec, text + at, len - at);
        assert_true(sent >= 0);
        at += (size_t)sent;
        if (at < len)
            sp_loop_turn(w->loop, SP_NS_PER_MS);
    }
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

struct load {
    char *bytes;
    size_t len, at;
    bool wait;
};

static void pour(struct rec *rec)
{
    struct load *load = rec->arg;
    load->wait = false;
    while (load->at < load->len && !load->wait) {
        ssize_t sent = rec_send(rec, load->bytes + load->at, load->len - load->at);
        assert_true(sent >= 0);
        load->at += (size_t)sent;
        load->wait = load->at < load->len;
    }
}

static void load_init(struct load *load, size_t len)
{
    *load = (struct load){ .bytes = malloc(len), .len = len };
    for (size_t i = 0; i < len; i++)
        load->bytes[i] = (char)(i * 2654435761u >> 13);
}

static void all_bytes_arrive_in_order_through_a_small_window(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    struct load load;
    pair(w, &client, &server);
    load_init(&load, LOG_CAP);
    client.arg = &load;
    client.do_room = pour;
    pour(&client);
    run_until(w->loop, server.len == load.len);
    assert_memory_equal(server.bytes, load.bytes, load.len);
    part(w, &client, &server);
    free(load.bytes);
}

static void a_send_that_took_less_is_followed_by_room_once_the_peer_reads(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    struct load load;
    pair(w, &client, &server);
    sp_sock_read(&server.sock, false);
    load_init(&load, 64 * LOG_CAP);
    client.arg = &load;
    client.do_room = pour;
    pour(&client);
    uint64_t until = sp_loop_clock(w->loop) + 300 * SP_NS_PER_MS;
    while (sp_loop_clock(w->loop) < until)
        sp_loop_turn(w->loop, 20 * SP_NS_PER_MS);
    assert_true(load.at < load.len);
    assert_int_equal(server.reads, 0);
    uint32_t rooms = client.rooms;
    sp_sock_read(&server.sock, true);
    run_until(w->loop, client.rooms > rooms);
    part(w, &client, &server);
    free(load.bytes);
}

static void nothing_comes_while_reading_is_paused(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    pair(w, &client, &server);
    sp_sock_read(&server.sock, false);
    say(w, &client, "hello");
    for (int i = 0; i < 20; i++)
        sp_loop_turn(w->loop, 5 * SP_NS_PER_MS);
    assert_int_equal(server.reads, 0);
    sp_sock_read(&server.sock, true);
    run_until(w->loop, server.len == 5);
    part(w, &client, &server);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static void one_direction_ends_and_the_other_goes_on(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    struct load load;
    pair(w, &client, &server);
    sp_sock_shutdown(&client.sock);
    run_until(w->loop, server.ends == 1);
    assert_int_equal(server.end, SP_E_CLOSED);
    load_init(&load, 100000);
    server.arg = &load;
    server.do_room = pour;
    pour(&server);
    run_until(w->loop, client.len == load.len);
    assert_memory_equal(client.bytes, load.bytes, load.len);
    assert_int_equal(client.ends, 0);
    sp_sock_shutdown(&server.sock);
    run_until(w->loop, client.ends == 1);
    assert_int_equal(client.end, SP_E_CLOSED);
    part(w, &client, &server);
    free(load.bytes);
}

static void what_was_sent_before_a_close_arrives_before_the_end(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    pair(w, &client, &server);
    ssize_t sent = rec_send(&client, "last words", 10);
    assert_true(sent >= 0);
    rec_close(&client, w->loop);
    run_until(w->loop, server.ends == 1);
    assert_int_equal(server.end, SP_E_CLOSED);
    assert_int_equal(server.len, sent);
    rec_close(&server, w->loop);
}

static void a_reset_is_told_as_one(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    pair(w, &client, &server);
    sp_sock_close(&client.sock, true);
    run_until(w->loop, server.ends == 1);
    assert_int_equal(server.end, SP_E_RESET);
    part(w, &client, &server);
}

static void closing_with_bytes_unread_resets_the_peer(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    pair(w, &client, &server);
    sp_sock_read(&server.sock, false);
    say(w, &client, "never read");
    for (int i = 0; i < 20; i++)
        sp_loop_turn(w->loop, 5 * SP_NS_PER_MS);
    rec_close(&server, w->loop);
    run_until(w->loop, client.ends == 1);
    assert_int_equal(client.end, SP_E_RESET);
    rec_close(&client, w->loop);
}

static void sending_to_a_peer_that_is_gone_fails_in_the_end(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    ssize_t sent = 0;
    pair(w, &client, &server);
    sp_sock_read(&client.sock, false);
    rec_close(&server, w->loop);
    for (int i = 0; i < 1000 && sent >= 0 && !client.ends; i++) {
        sent = rec_send(&client, "anybody?", 8);
        sp_loop_turn(w->loop, SP_NS_PER_MS);
    }
    run_until(w->loop, client.ends == 1);
    assert_int_equal(client.end, SP_E_RESET);
    rec_close(&client, w->loop);
}

static void closing_tells_once_and_then_is_silent(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    pair(w, &client, &server);
    assert_true(rec_send(&client, "x", 1) >= 0);
    sp_sock_close(&server.sock, false);
    assert_int_equal(server.closes, 0);
    run_turns(w->loop, 1);
    assert_int_equal(server.closes, 1);
    for (int i = 0; i < 10; i++)
        sp_loop_turn(w->loop, 2 * SP_NS_PER_MS);
    assert_int_equal(server.closes + server.reads + server.ends, 1);
    part(w, &client, &server);
}

/* --- opening -------------------------------------------------------------------------------------------- */

static void a_connect_to_nobody_is_refused(void **state)
{
    struct world *w = *state;
    struct rec rec;
    sp_addr nobody = loopback(1);
    connect_to(w, &rec, &nobody);
    run_until(w->loop, rec.connects == 1);
    assert_int_equal(rec.connected, SP_E_REFUSED);
    rec_close(&rec, w->loop);
}

static void a_path_where_nobody_listens_is_missing(void **state)
{
    struct world *w = *state;
    struct rec rec;
    sp_addr nobody = { .family = SP_ADDR_UNIX, .path = "/nowhere/at/all" };
    connect_to(w, &rec, &nobody);
    run_until(w->loop, rec.connects == 1);
    assert_int_equal(rec.connected, SP_E_MISSING);
    rec_close(&rec, w->loop);
}

static void unix_paths_carry_bytes_both_ways(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    sp_addr at = { .family = SP_ADDR_UNIX, .path = "@sampan-contract" };
    listen_at(w, &at);
    assert_true(w->acceptor.is_unix);
    pair(w, &client, &server);
    say(w, &client, "ping");
    run_until(w->loop, server.len == 4);
    rec_check(&server, "ping");
    part(w, &client, &server);
}

static void both_sides_know_the_addresses(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    sp_addr a, b, none;
    pair(w, &client, &server);
    assert_int_equal(sp_sock_peer(&client.sock, &a), 0);
    assert_true(sp_addr_eq(&a, &w->addr));
    assert_int_equal(sp_sock_local(&server.sock, &b), 0);
    assert_true(sp_addr_eq(&b, &w->addr));
    assert_int_equal(sp_sock_local(&client.sock, &a), 0);
    assert_int_equal(sp_sock_peer(&server.sock, &b), 0);
    assert_true(sp_addr_eq(&a, &b));
    assert_int_equal(sp_sock_original_dst(&client.sock, &none), SP_E_MISSING);
    part(w, &client, &server);
}

static void a_second_listener_at_an_address_is_refused(void **state)
{
    struct world *w = *state;
    sp_addr any_port = loopback(0);
    listen_at(w, &any_port);
    struct sp_acceptor second = { .on_accept = on_accept, .on_full = on_full };
    struct sp_listen_config config = { .addr = w->addr };
    assert_int_equal(sp_acceptor_listen(&second, w->loop, &config), SP_E_EXISTS);
}

static void a_paused_acceptor_lets_them_wait(void **state)
{
    struct world *w = *state;
    struct rec client, server;
    sp_addr any_port = loopback(0);
    listen_at(w, &any_port);
    sp_acceptor_pause(&w->acceptor, true);
    connect_to(w, &client, &w->addr);
    run_until(w->loop, client.connects == 1);
    assert_int_equal(w->accepted, 0);
    sp_acceptor_pause(&w->acceptor, false);
    run_until(w->loop, w->accepted == 1);
    rec_open(&server, w->loop, w->fds[0], true);
    part(w, &client, &server);
}

static void who_waits_at_a_closed_acceptor_is_reset(void **state)
{
    struct world *w = *state;
    struct rec client;
    sp_addr any_port = loopback(0);
    listen_at(w, &any_port);
    sp_acceptor_pause(&w->acceptor, true);
    connect_to(w, &client, &w->addr);
    run_until(w->loop, client.connects == 1);
    sp_sock_read(&client.sock, true);
    sp_acceptor_close(&w->acceptor);
    w->listening = false;
    run_until(w->loop, client.ends == 1);
    assert_int_equal(client.end, SP_E_RESET);
    rec_close(&client, w->loop);
}

static void a_dropped_descriptor_is_cut(void **state)
{
    struct world *w = *state;
    struct rec client;
    sp_addr any_port = loopback(0);
    listen_at(w, &any_port);
    connect_to(w, &client, &w->addr);
    run_until(w->loop, client.connects == 1 && w->accepted == 1);
    sp_sock_read(&client.sock, true);
    sp_sock_drop_fd(w->loop, w->fds[0]);
    run_until(w->loop, client.ends == 1);
    assert_int_equal(client.end, SP_E_RESET);
    rec_close(&client, w->loop);
}

static void a_detached_sock_goes_on_as_another(void **state)
{
    struct world *w = *state;
    struct rec client, server, heir;
    pair(w, &client, &server);
    int fd = sp_sock_detach(&server.sock);
    free(server.bytes);
    say(w, &client, "hello");
    rec_open(&heir, w->loop, fd, true);
    run_until(w->loop, heir.len == 5);
    rec_check(&heir, "hello");
    part(w, &client, &heir);
}

/* --- pumps, timers, mail, names ------------------------------------------------------------------------- */

struct relay {
    struct sp_pump pump;
    uint64_t moved;
    sp_err done;
};

static void on_moved(struct sp_pump *pump, uint64_t bytes)
{
    SP_CONTAINER(pump, struct relay, pump)->moved += bytes;
}

static void on_done(struct sp_pump *pump, sp_err err)
{
    SP_CONTAINER(pump, struct relay, pump)->done = err;
    if (err == SP_E_CLOSED)
        sp_sock_shutdown(pump->to);
}

static void a_pump_carries_everything_and_then_the_end(void **state)
{
    struct world *w = *state;
    struct rec from, in, out, to;
    struct relay relay = { .pump = { .on_moved = on_moved, .on_done = on_done } };
    struct load load;
    pair(w, &from, &in);
    pair(w, &to, &out);
    sp_sock_read(&in.sock, false);
    assert_int_equal(sp_pump_start(&relay.pump, &in.sock, &out.sock), 0);
    load_init(&load, LOG_CAP);
    from.arg = &load;
    from.do_room = pour;
    pour(&from);
    run_until(w->loop, load.at == load.len);
    sp_sock_shutdown(&from.sock);
    run_until(w->loop, to.ends == 1);
    assert_int_equal(relay.done, SP_E_CLOSED);
    assert_int_equal(relay.moved, load.len);
    assert_int_equal(to.len, load.len);
    assert_memory_equal(to.bytes, load.bytes, load.len);
    part(w, &from, &in);
    part(w, &to, &out);
    free(load.bytes);
}

struct alarm {
    struct sp_timer timer;
    struct sp_loop *loop;
    sp_ns fired;
};

static void on_fire(struct sp_timer *timer)
{
    struct alarm *alarm = SP_CONTAINER(timer, struct alarm, timer);
    alarm->fired = sp_loop_now(alarm->loop);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct world *w = *state;
    struct alarm a = { .loop = w->loop, .timer.on_fire = on_fire }, b = a, stopped = a;
    sp_ns start = sp_loop_now(w->loop);
    sp_timer_set(w->loop, &b.timer, 12 * SP_NS_PER_MS);
    sp_timer_set(w->loop, &a.timer, 5 * SP_NS_PER_MS);
    sp_timer_set(w->loop, &stopped.timer, 3 * SP_NS_PER_MS);
    sp_timer_stop(w->loop, &stopped.timer);
    run_until(w->loop, b.fired);
    assert_true(a.fired >= start + 5 * SP_NS_PER_MS);
    assert_true(b.fired >= start + 12 * SP_NS_PER_MS);
    assert_true(a.fired <= b.fired);
    assert_int_equal(stopped.fired, 0);
}

struct letter {
    struct sp_mail mail;
    bool read;
};

static void on_mail(struct sp_mail *mail)
{
    SP_CONTAINER(mail, struct letter, mail)->read = true;
}

static void mail_is_delivered_in_a_later_turn(void **state)
{
    struct world *w = *state;
    struct letter letter = { .mail.on_mail = on_mail };
    sp_mail_post(w->loop, &letter.mail);
    assert_false(letter.read);
    run_until(w->loop, letter.read);
}

static void note_answer(void *arg, const struct sp_dns_answer *answer)
{
    int *count = arg;
    assert_int_equal(answer->err, 0);
    assert_int_equal(answer->addrs[0].port, 80);
    *count = (int)answer->count;
}

static void a_number_is_resolved_and_a_cancelled_question_is_not_answered(void **state)
{
    struct world *w = *state;
    struct sp_dns *dns = sp_dns_new(w->loop);
    int first = 0, second = 0;
    struct sp_dns_query *kept = sp_dns_resolve(dns, SP_STR("127.0.0.1"), 80, SP_DNS_ANY, note_answer, &first);
    struct sp_dns_query *dropped = sp_dns_resolve(dns, SP_STR("127.0.0.1"), 80, SP_DNS_ANY, note_answer,
                                                  &second);
    assert_non_null(kept);
    assert_int_equal(first, 0);
    sp_dns_cancel(dropped);
    run_until(w->loop, first == 1);
    run_turns(w->loop, 3);
    assert_int_equal(second, 0);
    sp_dns_free(dns);
}

#define EACH(test)                                                                                           \
    { "epoll: " #test, test, up_epoll, down, NULL }, { "sim: " #test, test, up_sim, down, NULL },            \
    {                                                                                                        \
        "rough sim: " #test, test, up_rough, down, NULL                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(all_bytes_arrive_in_order_through_a_small_window),
        EACH(a_send_that_took_less_is_followed_by_room_once_the_peer_reads),
        EACH(nothing_comes_while_reading_is_paused),
        EACH(one_direction_ends_and_the_other_goes_on),
        EACH(what_was_sent_before_a_close_arrives_before_the_end),
        EACH(a_reset_is_told_as_one),
        EACH(closing_with_bytes_unread_resets_the_peer),
        EACH(sending_to_a_peer_that_is_gone_fails_in_the_end),
        EACH(closing_tells_once_and_then_is_silent),
        EACH(a_connect_to_nobody_is_refused),
        EACH(a_path_where_nobody_listens_is_missing),
        EACH(unix_paths_carry_bytes_both_ways),
        EACH(both_sides_know_the_addresses),
        EACH(a_second_listener_at_an_address_is_refused),
        EACH(a_paused_acceptor_lets_them_wait),
        EACH(who_waits_at_a_closed_acceptor_is_reset),
        EACH(a_dropped_descriptor_is_cut),
        EACH(a_detached_sock_goes_on_as_another),
        EACH(a_pump_carries_everything_and_then_the_end),
        EACH(timers_fire_in_order_and_never_early),
        EACH(mail_is_delivered_in_a_later_turn),
        EACH(a_number_is_resolved_and_a_cancelled_question_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
