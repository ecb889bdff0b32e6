/* gather_threads: figures are gathered while their workers are at work, each on its own thread: no data
 * race (run under TSan), and sums that only grow. The workers are real ones. */
#include "unit/observe/help.h"

#include <pthread.h>

#include "observe/gather.h"
#include "proxy/worker.h"

enum { WORKERS = 3, ROUNDS = 60 };

struct busy {
    struct sp_worker worker;
    struct sp_loop *loop;
    pthread_t thread;
    struct sp_timer timer;
    uint32_t made;
};

struct world {
    struct sp_loop *loop;
    struct sp_process process;
    struct sp_log log;
    struct sp_settings settings;
    struct busy workers[WORKERS];
    struct sp_gather *whole;
    int out;
};

struct asking {
    struct sp_ask ask;
    struct world *world;
    struct sp_gather *part;
};

/* New series and more calls, many times a second. */
static void on_timer(struct sp_timer *timer)
{
    struct busy *b = SP_CONTAINER(timer, struct busy, timer);
    for (uint32_t i = 0; i < 200; i++) {
        struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                     .protocol = SP_PROTO_HTTP1,
                                     .cluster = SP_STR("c") };
        key.status = (uint16_t)(200 + (b->made < 100 ? b->made++ : i % 100));
        struct sp_series *s = sp_worker_series(&b->worker, &key, NULL);
        sp_cell_add(&s->requests, 1);
        sp_hist_add(&s->duration_ns, i * 1000);
        sp_hist_add(&s->request_bytes, i);
        sp_hist_add(&s->response_bytes, i * 10);
        sp_cell_add(&b->worker.cells.streams_total, 1);
        sp_cell_add(&b->worker.cells.why[SP_WHY_TIMEOUT], 1);
    }
    sp_timer_set(b->loop, timer, SP_NS_PER_MS);
}

static void *run(void *arg)
{
    struct busy *b = arg;
    sp_loop_run(b->loop);
    return NULL;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    static const struct sp_codec *const codecs[SP_PROTO_COUNT];
    w->loop = sp_loop_new(NULL);
    w->settings.why_records = 64;
    assert_int_equal(sp_process_init(&w->process, w->loop, &w->log, &w->settings, codecs, WORKERS), 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct busy *b = &w->workers[i];
        b->loop = sp_loop_new(NULL);
        assert_int_equal(sp_worker_init(&b->worker, &w->process, b->loop, i), 0);
        b->timer.on_fire = on_timer;
        sp_timer_set(b->loop, &b->timer, 0);
        assert_int_equal(pthread_create(&b->thread, NULL, run, b), 0);
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < WORKERS; i++)
        sp_loop_stop(w->workers[i].loop);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(w->workers[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++) {
        sp_timer_stop(w->workers[i].loop, &w->workers[i].timer);
        sp_worker_deinit(&w->workers[i].worker);
        sp_loop_free(w->workers[i].loop);
    }
    sp_process_deinit(&w->process);
    sp_loop_free(w->loop);
    free(w);
    return 0;
}

static void gather_one(struct sp_worker *worker, void *arg)
{
    sp_gather_worker(((struct asking *)arg)->part, worker, sp_worker_walk);
}

static void add_one(struct sp_ask *ask)
{
    struct asking *a = SP_CONTAINER(ask, struct asking, ask);
    sp_gather_add(a->world->whole, a->part, &a->world->settings.labels);
    sp_gather_free(a->part);
    a->world->out--;
    free(a);
}

static uint64_t requests_of(const struct sp_gather *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->series.len; i++) {
        const struct sp_gather_series *s = *(struct sp_gather_series **)sp_vec_at(&g->series, i);
        uint64_t buckets = 0;
        for (int b = 0; b < SP_FOLD_BOUNDS; b++)
            buckets += s->duration_ms.at[b];
        assert_true(buckets <= s->duration_ms.count); /* what is above the last bound is not there */
        sum += s->requests;
    }
    return sum;
}

static void sums_only_grow_while_workers_work(void **state)
{
    struct world *w = *state;
    uint64_t requests = 0, streams = 0, why = 0;
    for (int round = 0; round < ROUNDS; round++) {
        w->whole = sp_gather_new(1);
        for (int i = 0; i < WORKERS; i++) {
            struct asking *a = calloc(1, sizeof *a);
            a->world = w;
            a->part = sp_gather_new(2);
            a->ask = (struct sp_ask){ .fn = gather_one, .then = add_one, .arg = a };
            w->out++;
            sp_worker_ask(&w->workers[i].worker, &a->ask);
        }
        turn_until(w->loop, w->out == 0);
        sp_gather_seal(w->whole);
        assert_false(w->whole->failed);
        assert_int_equal(w->whole->workers, WORKERS);
        uint64_t now = requests_of(w->whole);
        assert_true(now >= requests);
        assert_true(w->whole->worker_values[1] >= streams); /* streams_total */
        assert_true(w->whole->why[SP_WHY_TIMEOUT] >= why);
        requests = now;
        streams = w->whole->worker_values[1];
        why = w->whole->why[SP_WHY_TIMEOUT];
        sp_gather_free(w->whole);
        if (round + 1 == ROUNDS && requests == 0)
            round--; /* a machine that is slow to start its threads */
    }
    assert_true(requests > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_only_grow_while_workers_work, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
