/* sim: what the simulated world adds to the contract: the same seed is the same run; each kind of trouble
 * does come; machines, partitions, crashes, limits, interception and names.
 *
 * The apps are an echo server and clients that check what comes back, on loops of their own. */
#include "io/sim/sim.h"

#include "io/dns.h"
#include "io/timer.h"
#include "unit/io/help.h"

enum { CONNS = 8, MESSAGE = 700 };

/* --- an echo server ------------------------------------------------------------------------------------- */

struct server {
    struct sp_loop *loop;
    struct sp_acceptor acceptor;
    uint32_t accepted, full, gone;
    sp_addr original; /* of the last that came */
    sp_addr peer, local;
};

struct echo {
    struct sp_sock sock;
    struct server *server;
    char *bytes;
    size_t len, sent;
    bool ended;
};

static struct echo *echo_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct echo, sock);
}

static void echo_flush(struct sp_sock *sock)
{
    struct echo *echo = echo_of(sock);
    struct iovec iov = { echo->bytes + echo->sent, echo->len - echo->sent };
    ssize_t n = iov.iov_len && !echo->ended ? sp_sock_send(sock, &iov, 1) : 0;
    if (n > 0)
        echo->sent += (size_t)n;
    if (echo->sent == echo->len)
        echo->sent = echo->len = 0;
}

static void echo_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    struct echo *echo = echo_of(sock);
    bool idle = echo->len == 0;
    echo->bytes = realloc(echo->bytes, echo->len + len);
    memcpy(echo->bytes + echo->len, ptr, len);
    echo->len += len;
    if (idle)
        echo_flush(sock);
}

static void echo_end(struct sp_sock *sock, sp_err err)
{
    echo_of(sock)->ended = true;
    sp_sock_close(sock, false);
}

static void echo_closed(struct sp_sock *sock)
{
    struct echo *echo = echo_of(sock);
    echo->server->gone++;
    free(echo->bytes);
    free(echo);
}

static const struct sp_sock_ops echo_ops = { NULL, echo_bytes, echo_flush, echo_end, echo_closed };

static void server_accept(struct sp_acceptor *acceptor, int fd, const sp_addr *peer)
{
    struct server *server = SP_CONTAINER(acceptor, struct server, acceptor);
    struct echo *echo = calloc(1, sizeof(*echo));
    server->accepted++;
    echo->server = server;
    assert_int_equal(sp_sock_open_fd(&echo->sock, server->loop, &echo_ops, fd), 0);
    sp_sock_read(&echo->sock, true);
    server->peer = *peer;
    server->original.family = SP_ADDR_NONE;
    SP_IGNORE(sp_sock_original_dst(&echo->sock, &server->original)); /* none is fine */
    SP_IGNORE(sp_sock_local(&echo->sock, &server->local));           /* looked at where it matters */
}

static void server_full(struct sp_acceptor *acceptor, sp_err err)
{
    struct server *server = SP_CONTAINER(acceptor, struct server, acceptor);
    assert_int_equal(err, SP_E_NOFILE);
    server->full++;
}

static void server_start(struct server *server, struct sp_loop *loop, const char *at, uint32_t backlog)
{
    struct sp_listen_config config = { .backlog = backlog, .reuse_port = true };
    *server = (struct server){ .loop = loop,
                               .acceptor = { .on_accept = server_accept, .on_full = server_full } };
    assert_int_equal(sp_addr_parse(sp_str_c(at), &config.addr), 0);
    assert_int_equal(sp_acceptor_listen(&server->acceptor, loop, &config), 0);
}

/* --- clients -------------------------------------------------------------------------------------------- */

struct client {
    struct sp_sock sock;
    char sent[MESSAGE], came[MESSAGE];
    size_t at, have;
    sp_err connected, end;
    bool is_connected, done, closed;
};

static struct client *client_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct client, sock);
}

static void client_room(struct sp_sock *sock)
{
    struct client *c = client_of(sock);
    struct iovec iov = { c->sent + c->at, MESSAGE - c->at };
    ssize_t n = sp_sock_send(sock, &iov, 1);
    c->at += n > 0 ? (size_t)n : 0;
}

static void client_connected(struct sp_sock *sock, sp_err err)
{
    struct client *c = client_of(sock);
    c->is_connected = true;
    c->connected = err;
    if (err) {
        sp_sock_close(sock, false);
        return;
    }
    sp_sock_read(sock, true);
    client_room(sock);
}

static void client_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    struct client *c = client_of(sock);
    assert_true(c->have + len <= MESSAGE);
    memcpy(c->came + c->have, ptr, len);
    c->have += len;
    if (c->have < MESSAGE)
        return;
    assert_memory_equal(c->came, c->sent, MESSAGE);
    c->done = true;
    sp_sock_close(sock, false);
}

static void client_end(struct sp_sock *sock, sp_err err)
{
    client_of(sock)->end = err;
    sp_sock_close(sock, false);
}

static void client_closed(struct sp_sock *sock)
{
    client_of(sock)->closed = true;
}

static const struct sp_sock_ops client_ops = { client_connected, client_bytes, client_room, client_end,
                                               client_closed };

static sp_err client_start(struct client *c, struct sp_loop *loop, const char *to, int number)
{
    sp_addr addr;
    memset(c, 0, sizeof(*c));
    for (int i = 0; i < MESSAGE; i++)
        c->sent[i] = (char)(number * 31 + i * 7);
    assert_int_equal(sp_addr_parse(sp_str_c(to), &addr), 0);
    return sp_sock_connect(&c->sock, loop, &client_ops, &addr, NULL, 0);
}

/* A world with two machines, an echo server on the second. */
struct pair {
    struct sp_sim *sim;
    struct sp_loop *a, *b;
    struct server server;
    struct client clients[CONNS];
};

static void pair_open(struct pair *p, uint64_t seed, const struct sp_sim_faults *faults)
{
    memset(p, 0, sizeof(*p));
    p->sim = sp_sim_new(seed);
    if (faults)
        sp_sim_set_faults(p->sim, faults);
    p->a = sp_sim_host(p->sim, "10.0.0.1");
    p->b = sp_sim_host(p->sim, "10.0.0.2");
    server_start(&p->server, p->b, "10.0.0.2:80", 0);
}

static void pair_connect(struct pair *p, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(client_start(&p->clients[i], p->a, "10.0.0.2:80", i), 0);
}

static void pair_run(struct pair *p, sp_ns ns)
{
    sp_sim_run(p->sim, sp_sim_now(p->sim) + ns);
}

static void pair_close(struct pair *p)
{
    pair_run(p, 300 * SP_NS_PER_S);
    sp_acceptor_close(&p->server.acceptor);
    pair_run(p, SP_NS_PER_S);
    assert_int_equal(p->server.gone, p->server.accepted);
    sp_sim_free(p->sim);
}

/* --- the same seed is the same run ---------------------------------------------------------------------- */

static const struct sp_sim_faults rough = {
    .short_read = 200,
    .short_write = 200,
    .reset = 20,
    .refuse = 100,
    .stall = 50,
    .pause = 20,
    .dns_fail = 200,
    .delay_min = 10 * SP_NS_PER_US,
    .delay_max = 3 * SP_NS_PER_MS,
    .window_bytes = 500,
};

static uint64_t run_rough(uint64_t seed, struct sp_sim_counts *ret_counts, uint32_t *ret_done)
{
    struct pair p;
    pair_open(&p, seed, &rough);
    pair_connect(&p, CONNS);
    pair_run(&p, 200 * SP_NS_PER_S);
    for (int i = 0; i < CONNS; i++) {
        if (!p.clients[i].closed)
            fail_msg("SAMPAN_SEED=%llu: client %d came to no end", (unsigned long long)seed, i);
        *ret_done += p.clients[i].done;
    }
    uint64_t digest = sp_sim_digest(p.sim);
    *ret_counts = *sp_sim_counts(p.sim);
    pair_close(&p);
    return digest;
}

static void equal_seeds_give_equal_runs_and_others_do_not(void **state)
{
    struct sp_sim_counts c;
    uint32_t done = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t first = run_rough(seed, &c, &done);
        assert_int_equal(run_rough(seed, &c, &done), first);
        assert_int_not_equal(run_rough(seed + 1000, &c, &done), first);
    }
}

static void each_kind_of_trouble_does_come(void **state)
{
    struct sp_sim_counts sum = { 0 };
    uint32_t done = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct sp_sim_counts c;
        run_rough(seed, &c, &done);
        sum.short_reads += c.short_reads;
        sum.short_writes += c.short_writes;
        sum.splits += c.splits;
        sum.resets += c.resets;
        sum.lost_bytes += c.lost_bytes;
        sum.refused += c.refused;
        sum.stalls += c.stalls;
        sum.pauses += c.pauses;
    }
    assert_true(sum.short_reads > 100 && sum.short_writes > 100 && sum.splits > 100);
    assert_true(sum.resets > 10 && sum.lost_bytes > 100 && sum.refused > 10);
    assert_true(sum.stalls > 10 && sum.pauses > 10);
    assert_in_range(done, 100, 50 * CONNS - 50); /* some calls live, some do not */
}

static void a_calm_world_loses_nothing_and_is_fast(void **state)
{
    struct pair p;
    pair_open(&p, 1, NULL);
    pair_connect(&p, CONNS);
    pair_run(&p, SP_NS_PER_MS);
    for (int i = 0; i < CONNS; i++)
        assert_true(p.clients[i].done);
    assert_int_equal(sp_sim_counts(p.sim)->resets, 0);
    pair_close(&p);
}

static void connections_overtake_each_other(void **state)
{
    const struct sp_sim_faults slow = { .delay_max = 100 * SP_NS_PER_MS };
    uint32_t overtaken = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p;
        pair_open(&p, seed, &slow);
        pair_connect(&p, 2);
        while (!p.clients[0].done && !p.clients[1].done && sp_sim_step(p.sim))
            ;
        overtaken += p.clients[1].done;
        pair_run(&p, 10 * SP_NS_PER_S);
        assert_true(p.clients[0].done && p.clients[1].done);
        pair_close(&p);
    }
    assert_in_range(overtaken, 4, 16);
}

/* --- partitions and crashes ----------------------------------------------------------------------------- */

static void a_partition_holds_bytes_back_until_it_heals(void **state)
{
    const struct sp_sim_faults slow = { .delay_min = SP_NS_PER_MS, .delay_max = 5 * SP_NS_PER_MS };
    struct pair p;
    pair_open(&p, 3, &slow);
    pair_connect(&p, CONNS);
    pair_run(&p, 4 * SP_NS_PER_MS);
    sp_sim_partition(p.sim, p.a, p.b, true);
    pair_run(&p, 60 * SP_NS_PER_S);
    for (int i = 0; i < CONNS; i++)
        assert_false(p.clients[i].done || p.clients[i].closed);
    assert_true(sp_sim_counts(p.sim)->held_back > 0);
    sp_sim_partition(p.sim, p.a, p.b, false);
    pair_run(&p, 70 * SP_NS_PER_S);
    for (int i = 0; i < CONNS; i++)
        assert_true(p.clients[i].done);
    pair_close(&p);
}

static void a_connect_into_a_partition_times_out(void **state)
{
    struct pair p;
    pair_open(&p, 4, NULL);
    sp_sim_partition(p.sim, p.b, p.a, true);
    pair_connect(&p, 1);
    pair_run(&p, 120 * SP_NS_PER_S);
    assert_false(p.clients[0].is_connected);
    pair_run(&p, 20 * SP_NS_PER_S);
    assert_int_equal(p.clients[0].connected, SP_E_TIMEOUT);
    pair_close(&p);
}

static void a_crash_resets_every_connection(void **state)
{
    const struct sp_sim_faults slow = { .delay_min = SP_NS_PER_MS, .delay_max = 5 * SP_NS_PER_MS };
    struct pair p;
    pair_open(&p, 5, &slow);
    pair_connect(&p, CONNS);
    pair_run(&p, 12 * SP_NS_PER_MS);
    sp_sim_crash(p.sim, p.b);
    pair_run(&p, 100 * SP_NS_PER_MS);
    int reset = 0;
    for (int i = 0; i < CONNS; i++) {
        assert_true(p.clients[i].closed);
        reset += p.clients[i].end == SP_E_RESET;
    }
    assert_true(reset > 0);
    assert_int_equal(client_start(&p.clients[0], p.a, "10.0.0.2:80", 1), 0);
    pair_run(&p, SP_NS_PER_S);
    assert_true(p.clients[0].done);
    pair_close(&p);
}

static void an_address_that_nobody_has_is_unreachable(void **state)
{
    struct pair p;
    pair_open(&p, 6, NULL);
    assert_int_equal(client_start(&p.clients[0], p.a, "10.0.0.99:80", 1), 0);
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(p.clients[0].connected, SP_E_UNREACHABLE);
    pair_close(&p);
}

/* --- limits --------------------------------------------------------------------------------------------- */

static void descriptors_run_out_and_come_back(void **state)
{
    struct pair p;
    pair_open(&p, 7, NULL);
    sp_sim_limit_files(p.sim, p.a, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_start(&p.clients[i], p.a, "10.0.0.2:80", i), 0);
    assert_int_equal(client_start(&p.clients[3], p.a, "10.0.0.2:80", 3), SP_E_NOFILE);
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(sp_sim_open_files(p.sim, p.a), 0);
    assert_int_equal(client_start(&p.clients[3], p.a, "10.0.0.2:80", 3), 0);
    pair_close(&p);
}

static void an_acceptor_out_of_descriptors_rests_until_it_is_told(void **state)
{
    struct pair p;
    pair_open(&p, 8, NULL);
    sp_sim_limit_files(p.sim, p.b, 1); /* the acceptor itself */
    pair_connect(&p, 2);
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(p.server.full, 1);
    assert_int_equal(p.server.accepted, 0);
    sp_sim_limit_files(p.sim, p.b, 0);
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(p.server.accepted, 0);
    sp_acceptor_pause(&p.server.acceptor, false);
    pair_run(&p, SP_NS_PER_S);
    assert_true(p.clients[0].done && p.clients[1].done);
    pair_close(&p);
}

static void a_full_queue_makes_connects_ask_again(void **state)
{
    struct pair p;
    struct server small;
    pair_open(&p, 9, NULL);
    server_start(&small, p.b, "10.0.0.2:81", 2);
    sp_acceptor_pause(&small.acceptor, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_start(&p.clients[i], p.a, "10.0.0.2:81", i), 0);
    pair_run(&p, 2 * SP_NS_PER_S);
    assert_int_equal(p.clients[0].is_connected + p.clients[1].is_connected + p.clients[2].is_connected +
                         p.clients[3].is_connected,
                     2);
    assert_true(sp_sim_counts(p.sim)->retried >= 2);
    sp_acceptor_pause(&small.acceptor, false);
    pair_run(&p, 20 * SP_NS_PER_S);
    for (int i = 0; i < 4; i++)
        assert_true(p.clients[i].done);
    sp_acceptor_close(&small.acceptor);
    pair_close(&p);
}

static void a_loop_without_slabs_starves_and_goes_on(void **state)
{
    struct pair p;
    pair_open(&p, 10, NULL);
    struct sp_slab_pool *pool = sp_loop_slabs(p.a);
    pool->limit_bytes = 1;
    pair_connect(&p, 2);
    pair_run(&p, SP_NS_PER_S);
    assert_false(p.clients[0].done || p.clients[0].closed);
    assert_true(p.a->view.starved > 0);
    pool->limit_bytes = 0;
    pair_run(&p, SP_NS_PER_S);
    assert_true(p.clients[0].done && p.clients[1].done);
    pair_close(&p);
}

/* --- machines ------------------------------------------------------------------------------------------- */

static void loops_of_a_machine_share_its_address_and_reach_each_other(void **state)
{
    struct pair p;
    struct server other;
    pair_open(&p, 11, NULL);
    struct sp_loop *c = sp_sim_loop(p.sim, p.a);
    server_start(&other, c, "127.0.0.1:9000", 0);
    assert_int_equal(client_start(&p.clients[0], p.a, "127.0.0.1:9000", 1), 0);
    assert_int_equal(client_start(&p.clients[1], p.b, "127.0.0.1:9000", 2), 0);
    pair_run(&p, SP_NS_PER_S);
    assert_true(p.clients[0].done);
    assert_int_equal(p.clients[1].connected, SP_E_REFUSED); /* loopback is each machine's own */
    sp_acceptor_close(&other.acceptor);
    pair_close(&p);
}

static void listeners_that_share_a_port_each_get_some(void **state)
{
    struct pair p;
    struct server second;
    uint32_t first_got = 0, second_got = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        pair_open(&p, seed, NULL);
        server_start(&second, sp_sim_loop(p.sim, p.b), "10.0.0.2:80", 0);
        pair_connect(&p, CONNS);
        pair_run(&p, SP_NS_PER_S);
        first_got += p.server.accepted;
        second_got += second.accepted;
        sp_acceptor_close(&second.acceptor);
        pair_close(&p);
    }
    assert_int_equal(first_got + second_got, 5 * CONNS);
    assert_true(first_got >= CONNS && second_got >= CONNS);
}

static void interception_leads_elsewhere_and_tells_where_it_was_going(void **state)
{
    struct pair p;
    struct server out, in;
    sp_addr want;
    pair_open(&p, 12, NULL);
    server_start(&out, sp_sim_loop(p.sim, p.a), "127.0.0.1:15001", 0);
    server_start(&in, sp_sim_loop(p.sim, p.b), "0.0.0.0:15006", 0);
    sp_sim_redirect_out(p.a, 15001);
    sp_sim_redirect_in(p.b, 15006);
    assert_int_equal(client_start(&p.clients[0], p.a, "10.0.0.2:80", 1), 0);
    assert_int_equal(client_start(&p.clients[1], out.loop, "10.0.0.2:80", 2), 0);
    pair_run(&p, SP_NS_PER_S);
    assert_true(p.clients[0].done && p.clients[1].done);
    assert_int_equal(sp_addr_parse(SP_STR("10.0.0.2:80"), &want), 0);
    assert_int_equal(out.accepted, 1);
    assert_true(sp_addr_eq(&out.original, &want));
    assert_int_equal(in.accepted, 1);
    assert_true(sp_addr_eq(&in.original, &want));
    assert_int_equal(in.local.port, 15006);
    assert_int_equal(p.server.accepted, 0);
    sp_acceptor_close(&out.acceptor);
    sp_acceptor_close(&in.acceptor);
    pair_close(&p);
}

/* --- names ---------------------------------------------------------------------------------------------- */

struct asked {
    struct sp_dns_answer answer;
    sp_addr addrs[4];
    uint32_t count;
};

static void on_answer(void *arg, const struct sp_dns_answer *answer)
{
    struct asked *asked = arg;
    asked->count++;
    asked->answer = *answer;
    memcpy(asked->addrs, answer->addrs, SP_MIN(answer->count, 4u) * sizeof(sp_addr));
}

static void names_are_resolved_from_the_worlds_table(void **state)
{
    struct pair p;
    struct asked both = { 0 }, six = { 0 }, none = { 0 };
    pair_open(&p, 13, NULL);
    struct sp_dns *dns = sp_dns_new(p.a);
    assert_int_equal(sp_sim_name(p.sim, "svc", "10.0.0.9"), 0);
    assert_int_equal(sp_sim_name(p.sim, "svc", "10.0.0.2"), 0);
    assert_int_equal(sp_sim_name(p.sim, "svc", "fd00::1"), 0);
    assert_non_null(sp_dns_resolve(dns, SP_STR("SVC"), 80, SP_DNS_IP4_FIRST, on_answer, &both));
    assert_non_null(sp_dns_resolve(dns, SP_STR("svc"), 80, SP_DNS_ANY, on_answer, &six));
    assert_non_null(sp_dns_resolve(dns, SP_STR("nobody"), 80, SP_DNS_ANY, on_answer, &none));
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(both.answer.count, 2);
    assert_true(both.addrs[0].ip[3] == 2 && both.addrs[1].ip[3] == 9);
    assert_true(six.answer.count == 1 && six.addrs[0].family == SP_ADDR_IP6);
    assert_int_equal(none.answer.err, SP_E_MISSING);
    sp_dns_free(dns);
    pair_close(&p);
}

static void look_ups_fail_by_chance(void **state)
{
    struct pair p;
    const struct sp_sim_faults faults = { .dns_fail = 500 };
    struct asked asked = { 0 };
    pair_open(&p, 14, &faults);
    struct sp_dns *dns = sp_dns_new(p.a);
    for (int i = 0; i < 40; i++)
        assert_non_null(sp_dns_resolve(dns, SP_STR("10.0.0.2"), 80, SP_DNS_ANY, on_answer, &asked));
    pair_run(&p, SP_NS_PER_S);
    assert_int_equal(asked.count, 40);
    assert_in_range(sp_sim_counts(p.sim)->dns_failed, 8, 32);
    sp_dns_free(dns);
    pair_close(&p);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static void count_fire(struct sp_timer *timer)
{
    (void)timer;
}

static void hours_pass_in_no_time(void **state)
{
    struct sp_sim *sim = sp_sim_new(15);
    struct sp_loop *loop = sp_sim_host(sim, "10.0.0.1");
    struct sp_timer timer = { .on_fire = count_fire };
    sp_timer_set(loop, &timer, 3600 * SP_NS_PER_S);
    sp_ns start = sp_sim_now(sim);
    sp_sim_run(sim, start + 3599 * SP_NS_PER_S);
    assert_true(sp_timer_is_set(&timer));
    sp_sim_run(sim, start + 3601 * SP_NS_PER_S);
    assert_false(sp_timer_is_set(&timer));
    assert_int_equal(loop->view.timers_fired, 1);
    assert_true(loop->view.turns < 50);
    assert_false(sp_sim_step(sim)); /* nothing is left to do */
    sp_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_give_equal_runs_and_others_do_not),
        cmocka_unit_test(each_kind_of_trouble_does_come),
        cmocka_unit_test(a_calm_world_loses_nothing_and_is_fast),
        cmocka_unit_test(connections_overtake_each_other),
        cmocka_unit_test(a_partition_holds_bytes_back_until_it_heals),
        cmocka_unit_test(a_connect_into_a_partition_times_out),
        cmocka_unit_test(a_crash_resets_every_connection),
        cmocka_unit_test(an_address_that_nobody_has_is_unreachable),
        cmocka_unit_test(descriptors_run_out_and_come_back),
        cmocka_unit_test(an_acceptor_out_of_descriptors_rests_until_it_is_told),
        cmocka_unit_test(a_full_queue_makes_connects_ask_again),
        cmocka_unit_test(a_loop_without_slabs_starves_and_goes_on),
        cmocka_unit_test(loops_of_a_machine_share_its_address_and_reach_each_other),
        cmocka_unit_test(listeners_that_share_a_port_each_get_some),
        cmocka_unit_test(interception_leads_elsewhere_and_tells_where_it_was_going),
        cmocka_unit_test(names_are_resolved_from_the_worlds_table),
        cmocka_unit_test(look_ups_fail_by_chance),
        cmocka_unit_test(hours_pass_in_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
