/* http_sim: our server and our client on two machines of the false world, while it does its worst: short
 * reads and writes, resets, refused connects, stalls, partitions. By seed; a failure prints it, and it
 * replays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/sim/sim.h"
#include "io/sock.h"
#include "io/timer.h"
#include "rpc/http.h"

enum { ASKS = 40, SEEDS = 60 };

struct world {
    uint64_t seed;
    struct sp_sim *sim;
    struct sp_loop *here, *there;
    struct sp_http_server *server;
    struct sp_http_client *client;
    struct piece {
        struct sp_http_source source;
        struct world *world;
        uint32_t left, at;
    } sources[ASKS * 2];
    uint32_t source_count, sources_open;
    uint32_t good, failed, waiting;
};

#define CHECK(w, cond)                                                                                       \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            fail_msg("seed %llu: %s does not hold", (unsigned long long)(w)->seed, #cond);                   \
    } while (0)

/* Byte i of every body that is `len` long: nobody's bytes can be taken for another's. */
static char byte_of(uint32_t len, uint32_t i)
{
    return (char)('a' + (i * 7 + len) % 26);
}

static void echo(void *arg, struct sp_http_call *call)
{
    sp_http_answer(call, 200, NULL, sp_http_request(call)->body);
}

static enum sp_http_next more(struct sp_http_source *source, struct sp_buf *out)
{
    struct piece *p = SP_CONTAINER(source, struct piece, source);
    for (uint32_t i = 0; i < 9000 && p->at < p->left; i++, p->at++)
        sp_buf_add_char(out, byte_of(p->left, p->at));
    return p->at == p->left ? SP_HTTP_END : SP_HTTP_MORE;
}

static void on_end(struct sp_http_source *source, bool whole)
{
    struct piece *p = SP_CONTAINER(source, struct piece, source);
    p->world->sources_open--;
}

static void stream(void *arg, struct sp_http_call *call)
{
    struct world *w = arg;
    uint64_t len = 0;
    CHECK(w, sp_str_to_u64(sp_http_param(call, "len"), &len) == 0);
    CHECK(w, w->source_count < SP_COUNTOF(w->sources));
    struct piece *p = &w->sources[w->source_count++];
    *p = (struct piece){ { more, on_end }, w, (uint32_t)len, 0 };
    w->sources_open++;
    sp_http_stream(call, 200, NULL, &p->source);
}

static const struct sp_http_route routes[] = { { "/echo", "POST", echo }, { "/stream", "GET", stream } };

struct question {
    struct world *world;
    uint32_t len;
    char path[64];
    char *body;
};

static void on_reply(void *arg, const struct sp_http_reply *reply)
{
    struct question *q = arg;
    struct world *w = q->world;
    w->waiting--;
    if (reply->err) {
        CHECK(w, reply->why);
        w->failed++;
    } else {
        CHECK(w, reply->status == 200);
        CHECK(w, reply->body.len == q->len);
        for (uint32_t i = 0; i < q->len; i++)
            CHECK(w, reply->body.ptr[i] == byte_of(q->len, i));
        w->good++;
    }
}

static uint64_t run(struct world *w, uint64_t seed, const struct sp_sim_faults *faults, bool cut)
{
    static struct question questions[ASKS];
    *w = (struct world){ .seed = seed, .sim = sp_sim_new(seed), .waiting = ASKS };
    w->here = sp_sim_host(w->sim, "10.0.0.1");
    w->there = sp_sim_host(w->sim, "10.0.0.2");
    sp_sim_set_faults(w->sim, faults);
    const struct sp_http_config config = { .routes = routes, .route_count = SP_COUNTOF(routes), .arg = w };
    w->server = sp_http_server_new(w->there, &config);
    w->client = sp_http_client_new(w->here);
    const sp_addr at = { .family = SP_ADDR_IP4, .ip = { 10, 0, 0, 2 }, .port = 15000 };
    const struct sp_listen_config where = { .addr = at };
    CHECK(w, sp_http_server_listen(w->server, &where) == 0);
    for (uint32_t i = 0; i < ASKS; i++) {
        struct question *q = &questions[i];
        *q = (struct question){ .world = w, .len = i * i * 50 + (uint32_t)(seed % 97) };
        struct sp_http_ask ask = { .to = at, .timeout_ns = 30 * SP_NS_PER_S };
        if (i % 2) {
            snprintf(q->path, sizeof q->path, "/stream?len=%u", q->len);
        } else {
            snprintf(q->path, sizeof q->path, "/echo");
            q->body = malloc(q->len + 1);
            for (uint32_t b = 0; b < q->len; b++)
                q->body[b] = byte_of(q->len, b);
            ask.method = "POST";
            ask.body = sp_str_of(q->body, q->len);
        }
        ask.path = sp_str_c(q->path);
        CHECK(w, sp_http_client_send(w->client, &ask, on_reply, q) == 0);
    }
    if (cut) {
        sp_sim_run(w->sim, sp_sim_now(w->sim) + 3 * SP_NS_PER_MS);
        sp_sim_partition(w->sim, w->here, w->there, true);
        sp_sim_run(w->sim, sp_sim_now(w->sim) + SP_NS_PER_S);
        sp_sim_partition(w->sim, w->here, w->there, false);
    }
    sp_sim_run(w->sim, sp_sim_now(w->sim) + 120 * SP_NS_PER_S);
    CHECK(w, w->waiting == 0);
    CHECK(w, w->good + w->failed == ASKS);
    CHECK(w, w->sources_open == 0);
    CHECK(w, sp_http_server_view(w->server).connections == 0);
    for (uint32_t i = 0; i < ASKS; i++)
        free(questions[i].body);
    uint64_t digest = sp_sim_digest(w->sim);
    sp_http_client_free(w->client);
    sp_http_server_free(w->server);
    sp_sim_run(w->sim, sp_sim_now(w->sim) + 120 * SP_NS_PER_S);
    sp_sim_free(w->sim); /* nothing may be left */
    return digest;
}

static void in_a_kind_world_every_question_is_answered(void **state)
{
    struct world w;
    const struct sp_sim_faults none = { .delay_max = SP_NS_PER_MS };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run(&w, seed, &none, false);
        CHECK(&w, w.good == ASKS);
    }
}

static void bytes_that_come_and_go_in_pieces_change_no_answer(void **state)
{
    struct world w;
    const struct sp_sim_faults pieces = {
        .short_read = 500, .short_write = 500, .delay_max = 2 * SP_NS_PER_MS, .window_bytes = 3000
    };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run(&w, seed, &pieces, false);
        CHECK(&w, w.good == ASKS);
    }
}

static void whatever_happens_an_answer_is_right_or_there_is_none(void **state)
{
    struct world w;
    uint32_t good = 0, failed = 0;
    const struct sp_sim_faults bad = { .short_read = 200,
                                       .short_write = 200,
                                       .reset = 4,
                                       .refuse = 50,
                                       .stall = 10,
                                       .pause = 20,
                                       .delay_max = 5 * SP_NS_PER_MS };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(&w, seed, &bad, seed % 3 == 0);
        good += w.good;
        failed += w.failed;
    }
    assert_true(good > SEEDS * ASKS / 4); /* there was trouble, and there were answers */
    assert_true(failed > SEEDS);
}

static void the_same_seed_is_the_same_run(void **state)
{
    struct world w;
    const struct sp_sim_faults bad = {
        .short_read = 200, .short_write = 200, .reset = 4, .delay_max = 5 * SP_NS_PER_MS
    };
    assert_true(run(&w, 7, &bad, true) == run(&w, 7, &bad, true));
    assert_true(run(&w, 7, &bad, true) != run(&w, 8, &bad, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_kind_world_every_question_is_answered),
        cmocka_unit_test(bytes_that_come_and_go_in_pieces_change_no_answer),
        cmocka_unit_test(whatever_happens_an_answer_is_right_or_there_is_none),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
