/* process: what workers share: budgets by a cluster's name, for the life of the process. */
#include "proxy/process.h"

#include "base/mem.h"
#include "io/sim/sim.h"
#include "unit/base/help.h"

struct world {
    struct sp_sim *sim;
    struct sp_process process;
    struct sp_settings settings;
    struct sp_log log;
    uint64_t blocks;
};

static void world_start(struct world *w, uint32_t connections, uint32_t streams, uint32_t workers)
{
    static const struct sp_codec *const codecs[SP_PROTO_COUNT];
    memset(w, 0, sizeof(*w));
    w->blocks = sp_mem_live_blocks();
    w->settings.max_connections = connections;
    w->settings.max_streams = streams;
    w->sim = sp_sim_new(1);
    assert_int_equal(
        sp_process_init(&w->process, sp_sim_host(w->sim, "10.0.0.1"), &w->log, &w->settings, codecs, workers),
        0);
}

static void world_stop(struct world *w)
{
    sp_process_deinit(&w->process);
    sp_sim_free(w->sim);
    assert_int_equal(sp_mem_live_blocks(), w->blocks);
}

static void caps_come_from_the_settings_or_have_defaults(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, 0, 0, 2);
    assert_true(w.process.connections.limit == UINT32_MAX);
    assert_int_equal(w.process.streams.limit, 100000);
    world_stop(&w);
    world_start(&w, 7, 9, 1);
    assert_int_equal(w.process.connections.limit, 7);
    assert_int_equal(w.process.streams.limit, 9);
    world_stop(&w);
}

static void a_clusters_budgets_stay_when_it_comes_back(void **state)
{
    (void)state;
    struct world w;
    char name[] = "app";
    struct sp_cluster_spec spec = { .name = sp_str_c(name), .limits = { 1, 2, 3, 4 } };
    world_start(&w, 0, 0, 1);
    struct sp_cluster_shared *shared = sp_process_cluster(&w.process, &spec);
    assert_int_equal(shared->connections.limit, 1);
    assert_int_equal(shared->pending.limit, 2);
    assert_int_equal(shared->requests.limit, 3);
    assert_int_equal(shared->retries.limit, 4);
    memset(name, '?', 3); /* the name is our own */
    check_str(shared->name, "app");
    struct sp_lease lease;
    sp_lease_init(&lease, &shared->requests);
    assert_true(sp_lease_take(&lease));
    struct sp_cluster_spec again = { .name = SP_STR("app"), .limits = { 10, 20, 1, 40 } };
    assert_ptr_equal(sp_process_cluster(&w.process, &again), shared);
    assert_int_equal(shared->connections.limit, 10);
    assert_int_equal(sp_budget_out(&shared->requests), 1); /* what is lent is still known */
    assert_false(sp_lease_take(&lease));
    sp_lease_give(&lease);
    sp_lease_deinit(&lease);
    struct sp_cluster_spec other = { .name = SP_STR("other") };
    assert_ptr_not_equal(sp_process_cluster(&w.process, &other), shared);
    world_stop(&w);
}

static void a_cluster_that_cannot_be_made_is_none(void **state)
{
    (void)state;
    struct sp_cluster_spec spec = { .name = SP_STR("app") };
    struct world w;
    world_start(&w, 0, 0, 1);
    for (uint64_t n = 1; n <= 2; n++) { /* the budgets, the map */
        sp_mem_fail_at(n);
        struct sp_cluster_shared *shared = sp_process_cluster(&w.process, &spec);
        assert_true(sp_mem_fail_at(0) >= n);
        assert_null(shared);
    }
    assert_non_null(sp_process_cluster(&w.process, &spec));
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caps_come_from_the_settings_or_have_defaults),
        cmocka_unit_test(a_clusters_budgets_stay_when_it_comes_back),
        cmocka_unit_test(a_cluster_that_cannot_be_made_is_none),
    };
    return cmocka_run_group_tests_name("proxy process", tests, NULL, NULL);
}
