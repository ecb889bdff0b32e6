/* resolve: names of clusters, looked up again and again, by the simulation's table of names. */
#include "proxy/resolve.h"

#include "base/mem.h"
#include "unit/proxy/worker_kit.h"

static const char ask_a[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

static void name(struct kit *kit, const char *host, const char *ip)
{
    assert_int_equal(sp_sim_name(kit->mesh->sim, host, ip), 0);
}

static struct kit *kit_named(uint32_t workers, const char *const *addrs)
{
    struct kit *kit = kit_new(workers);
    mesh_cluster(kit->sidecar, "app", addrs); /* refreshed each second */
    kit_listener(kit, SP_PROTO_HTTP1);
    return kit;
}

static const struct sp_cluster_cells *cells(struct kit *kit)
{
    return &the_cluster(kit, "app")->cells;
}

static void a_name_leads_to_its_addresses_in_every_worker(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", "127.0.0.7:7",
                                         NULL }; /* an address may be among names */
    struct kit *kit = kit_named(3, addrs);
    name(kit, "bank", "127.0.0.1");
    name(kit, "bank", "127.0.0.2");
    mesh_apply(kit->sidecar);
    kit_run(kit, 500);
    for (int i = 0; i < 3; i++) {
        struct sp_cluster *cluster = sp_worker_cluster(&kit->sidecar->workers[i], SP_STR("app"));
        assert_int_equal(cluster->set_count, 3);
        assert_true(cluster->resolved);
    }
    kit_free(kit);
}

static void a_call_follows_the_name(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    kit_apply(kit);
    struct door *door = kit_door(kit, KIT_APP);
    kit_run(kit, 500);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_head(door_next(door), "GET /a");
    check_str(the_endpoint(kit, "app", 0)->hostname, "bank");
    kit_free(kit);
}

static void a_name_that_is_not_known_is_said_as_such_until_it_is(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    kit_apply(kit);
    kit_run(kit, 500);
    struct peer *caller = kit_call(kit, KIT_OUT);
    say(caller, ask_a);
    hear_refusal(caller, 503, "DNS");
    assert_true(sp_cell_get(&cells(kit)->update_failure) > 0);
    assert_false(the_cluster(kit, "app")->resolved);
    struct door *door = kit_door(kit, KIT_APP);
    name(kit, "bank", "127.0.0.1");
    kit_run(kit, 2000);
    say(caller, ask_a);
    hear_head(door_next(door), "GET /a");
    assert_int_equal(sp_cell_get(&cells(kit)->update_success), 1);
    kit_free(kit);
}

static void new_addresses_join_and_equal_answers_change_nothing(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    kit_apply(kit);
    kit_run(kit, 500);
    struct sp_endpoint *first = the_endpoint(kit, "app", 0);
    kit_run(kit, 5000); /* five answers, all the same */
    assert_int_equal(sp_cell_get(&cells(kit)->update_success), 1);
    name(kit, "bank", "127.0.0.2");
    kit_run(kit, 2000);
    assert_int_equal(the_cluster(kit, "app")->set_count, 2);
    assert_true(the_endpoint(kit, "app", 0) == first || the_endpoint(kit, "app", 1) == first);
    kit_free(kit);
}

/* A name server that is away must not empty a cluster. */
static void failed_look_ups_keep_what_is_known(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    kit_apply(kit);
    kit_run(kit, 500);
    sp_sim_set_faults(kit->mesh->sim, &(struct sp_sim_faults){ .dns_fail = 1000 });
    kit_run(kit, 5000);
    assert_int_equal(the_cluster(kit, "app")->set_count, 1);
    assert_true(sp_cell_get(&cells(kit)->update_failure) >= 3);
    sp_sim_set_faults(kit->mesh->sim, &(struct sp_sim_faults){ 0 });
    kit_free(kit);
}

static void a_changed_cluster_asks_for_its_new_names(void **state)
{
    (void)state;
    static const char *const before[] = { "bank:8080", NULL }, *const after[] = { "shop:8080", NULL };
    static const char *const fixed[] = { "127.0.0.9:8080", NULL };
    struct kit *kit = kit_named(1, before);
    name(kit, "bank", "127.0.0.1");
    name(kit, "shop", "127.0.0.2");
    kit_apply(kit);
    kit_run(kit, 500);
    check_str(the_endpoint(kit, "app", 0)->hostname, "bank");
    mesh_cluster(kit->sidecar, "app", after);
    kit_apply(kit);
    kit_run(kit, 500);
    assert_int_equal(the_cluster(kit, "app")->set_count, 1);
    check_str(the_endpoint(kit, "app", 0)->hostname, "shop");
    mesh_cluster(kit->sidecar, "app", fixed); /* and one without names asks for none */
    kit_apply(kit);
    kit_run(kit, 5000);
    assert_int_equal(the_cluster(kit, "app")->set_count, 1);
    assert_int_equal(the_endpoint(kit, "app", 0)->addr.ip[3], 9);
    kit_free(kit);
}

static void a_cluster_may_go_while_its_name_is_looked_up(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    mesh_apply(kit->sidecar); /* the question is out */
    sp_snapshot_remove(kit->sidecar->next, SP_RESOURCE_CLUSTER, SP_STR("app"));
    mesh_apply(kit->sidecar);
    kit_run(kit, 5000);
    assert_null(sp_worker_cluster(kit->worker, SP_STR("app")));
    kit_free(kit);
}

static void count_told(void *arg)
{
    ++*(uint32_t *)arg;
}

static void a_start_waits_for_the_first_answer_or_failure_of_each_name(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", "127.0.0.7:7", "nobody:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    struct sp_process *process = &kit->sidecar->process;
    uint32_t told = 0;
    assert_int_equal(sp_resolve_await(process, count_told, &told), 0); /* nothing has been asked */
    name(kit, "bank", "127.0.0.1");
    mesh_apply(kit->sidecar);
    assert_int_equal(sp_resolve_await(process, count_told, &told), 2);
    assert_int_equal(told, 0);
    kit_run(kit, 5000); /* and later answers are no first ones */
    assert_int_equal(told, 1);
    assert_int_equal(sp_resolve_await(process, count_told, &told), 0);
    assert_int_equal(the_cluster(kit, "app")->set_count, 2);
    kit_free(kit);
}

static void names_that_leave_are_not_waited_for(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    struct sp_process *process = &kit->sidecar->process;
    uint32_t told = 0;
    mesh_apply(kit->sidecar);
    assert_int_equal(sp_resolve_await(process, count_told, &told), 1);
    sp_snapshot_remove(kit->sidecar->next, SP_RESOURCE_CLUSTER, SP_STR("app"));
    mesh_apply(kit->sidecar);
    assert_int_equal(told, 1);
    kit_free(kit);
}

static void the_process_may_end_while_names_are_looked_up(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    mesh_apply(kit->sidecar);
    mesh_kill(kit->sidecar);
    kit_free(kit);
}

static void looking_after_names_fails_at_each_allocation_and_leaves_nothing(void **state)
{
    (void)state;
    static const char *const addrs[] = { "bank:8080", "127.0.0.7:7", "shop:8080", NULL };
    struct kit *kit = kit_named(1, addrs);
    name(kit, "bank", "127.0.0.1");
    name(kit, "shop", "127.0.0.2");
    kit_apply(kit);
    kit_run(kit, 500);
    struct sp_process *process = &kit->sidecar->process;
    uint32_t refused = 0;
    for (uint64_t n = 1;; n++) {
        sp_resolve_free(process->resolve);
        process->resolve = NULL;
        kit_run(kit, 50); /* the mail of the round before is read */
        uint64_t blocks = sp_mem_live_blocks();
        sp_mem_fail_at(n);
        sp_err err = sp_resolve_update(process);
        bool done = sp_mem_fail_at(0) < n;
        refused += err != 0;
        if (err) { /* a question that could not be asked is asked later, and no error */
            assert_int_equal(err, SP_E_NOMEM);
            assert_int_equal(sp_resolve_update(process), 0);
        }
        kit_run(kit, 6000);
        assert_int_equal(the_cluster(kit, "app")->set_count, 3);
        if (done) {
            assert_true(refused >= 4);
            break;
        }
        sp_resolve_free(process->resolve);
        process->resolve = NULL;
        kit_run(kit, 50);
        assert_int_equal(sp_mem_live_blocks(), blocks);
    }
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_leads_to_its_addresses_in_every_worker),
        cmocka_unit_test(a_call_follows_the_name),
        cmocka_unit_test(a_name_that_is_not_known_is_said_as_such_until_it_is),
        cmocka_unit_test(new_addresses_join_and_equal_answers_change_nothing),
        cmocka_unit_test(failed_look_ups_keep_what_is_known),
        cmocka_unit_test(a_changed_cluster_asks_for_its_new_names),
        cmocka_unit_test(a_cluster_may_go_while_its_name_is_looked_up),
        cmocka_unit_test(a_start_waits_for_the_first_answer_or_failure_of_each_name),
        cmocka_unit_test(names_that_leave_are_not_waited_for),
        cmocka_unit_test(the_process_may_end_while_names_are_looked_up),
        cmocka_unit_test(looking_after_names_fails_at_each_allocation_and_leaves_nothing),
    };
    return cmocka_run_group_tests_name("proxy resolve", tests, NULL, NULL);
}
