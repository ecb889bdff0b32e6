/* cluster: endpoints and their lives across changes. */
#include "proxy/cluster.h"

#include "base/mem.h"
#include "unit/proxy/worker_kit.h"

/* A cluster on a worker of a kit, without any configuration around it. */
struct alone {
    struct kit *kit;
    struct sp_resource *resource;
    struct sp_cluster_spec *spec;
    struct sp_cluster_shared shared;
    struct sp_cluster *cluster;
};

static struct sp_resource *make_resource(enum sp_cluster_kind kind, const char *const *addrs)
{
    struct sp_resource *r = sp_resource_new(SP_RESOURCE_CLUSTER, SP_STR("alone"));
    struct sp_cluster_spec *spec = SP_ARENA_NEW(&r->arena, struct sp_cluster_spec);
    struct sp_endpoint_spec *eps = sp_arena_array(&r->arena, 8, sizeof(*eps));
    *spec = (struct sp_cluster_spec){
        .name = r->name, .kind = kind, .endpoints = eps, .limits = { 10, 10, 10, 10 }
    };
    for (uint32_t i = 0; addrs && addrs[i]; i++) {
        eps[i] = (struct sp_endpoint_spec){ .weight = 1, .healthy = true, .addr = app_addr(addrs[i]) };
        spec->endpoint_count = i + 1;
    }
    r->cluster = spec;
    return r;
}

static void alone_start(struct alone *a, enum sp_cluster_kind kind, const char *const *addrs)
{
    memset(a, 0, sizeof(*a));
    a->kit = kit_new(1);
    a->resource = make_resource(kind, addrs);
    a->spec = a->resource->cluster;
    sp_budget_init(&a->shared.connections, 10, 1);
    sp_budget_init(&a->shared.pending, 10, 1);
    sp_budget_init(&a->shared.requests, 10, 1);
    sp_budget_init(&a->shared.retries, 10, 1);
    assert_int_equal(sp_cluster_new(a->kit->worker, a->resource, &a->shared, &a->cluster), 0);
}

static void alone_stop(struct alone *a)
{
    sp_cluster_free(a->cluster);
    sp_resource_unref(a->resource);
    kit_free(a->kit);
}

static sp_err set(struct alone *a, const char *const *addrs)
{
    struct sp_endpoint_found found[8];
    uint32_t count = 0;
    static const struct sp_endpoint_spec spec = { .weight = 1, .healthy = true };
    for (; addrs[count]; count++)
        found[count] = (struct sp_endpoint_found){ app_addr(addrs[count]), &spec };
    return sp_cluster_set_endpoints(a->cluster, found, count);
}

static uint32_t known(const struct sp_cluster *cluster)
{
    uint32_t count = 0;
    for (const struct sp_list *at = cluster->all.next; at != &cluster->all; at = at->next)
        count++;
    return count;
}

/* --- the set -------------------------------------------------------------------------------------------- */

static void a_new_set_keeps_who_stays_and_ends_who_goes(void **state)
{
    (void)state;
    static const char *const first[] = { "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", NULL };
    static const char *const next[] = { "10.0.0.1:3", "10.0.0.1:4", "10.0.0.1:1", NULL };
    struct alone a;
    alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
    assert_int_equal(set(&a, first), 0);
    struct sp_endpoint *one = a.cluster->set[0], *two = a.cluster->set[1], *three = a.cluster->set[2];
    two->users = 1; /* somebody calls it */
    sp_cell_add(&one->rq_total, 7);
    assert_int_equal(set(&a, next), 0);
    assert_int_equal(a.cluster->set_count, 3);
    assert_ptr_equal(a.cluster->set[0], three);
    assert_ptr_equal(a.cluster->set[2], one);
    assert_int_equal(sp_cell_get(&one->rq_total), 7);
    assert_int_equal(known(a.cluster), 4);
    assert_true(two->gone);
    sp_endpoint_unuse(two); /* its last user */
    assert_int_equal(known(a.cluster), 3);
    alone_stop(&a);
}

static void an_address_that_comes_twice_is_one_endpoint(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", "10.0.0.1:1", "[::1]:1", "10.0.0.1:1", NULL };
    struct alone a;
    alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
    assert_int_equal(set(&a, addrs), 0);
    assert_int_equal(a.cluster->set_count, 2);
    assert_int_equal(known(a.cluster), 2);
    alone_stop(&a);
}

static void an_endpoint_that_comes_back_is_a_new_one(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", NULL }, *const none[] = { NULL };
    struct alone a;
    alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
    assert_int_equal(set(&a, addrs), 0);
    struct sp_endpoint *before = a.cluster->set[0];
    before->users = 1;
    assert_int_equal(set(&a, none), 0);
    assert_int_equal(a.cluster->set_count, 0);
    assert_int_equal(set(&a, addrs), 0);
    assert_ptr_not_equal(a.cluster->set[0], before);
    sp_endpoint_unuse(before);
    assert_int_equal(known(a.cluster), 1);
    alone_stop(&a);
}

static void a_set_that_fails_leaves_the_old_one(void **state)
{
    (void)state;
    static const char *const first[] = { "10.0.0.1:1", "10.0.0.1:2", NULL };
    static const char *const next[] = { "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", NULL };
    for (uint64_t n = 1;; n++) {
        struct alone a;
        alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
        assert_int_equal(set(&a, first), 0);
        struct sp_endpoint *one = a.cluster->set[0];
        sp_mem_fail_at(n);
        sp_err err = set(&a, next);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        assert_int_equal(a.cluster->set_count, done ? 3 : 2);
        assert_int_equal(known(a.cluster), done ? 3 : 2);
        if (!done)
            assert_ptr_equal(a.cluster->set[0], one);
        alone_stop(&a);
        if (done) {
            assert_true(n > 5);
            return;
        }
    }
}

static void strings_of_endpoints_are_copies(void **state)
{
    (void)state;
    char host[] = "host", workload[] = "workload";
    struct alone a;
    alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
    struct sp_endpoint_spec spec = {
        .weight = 3, .healthy = true, .host = sp_str_c(host), .workload = sp_str_c(workload)
    };
    struct sp_endpoint_found found = { app_addr("/run/app"), &spec };
    assert_int_equal(sp_cluster_set_endpoints(a.cluster, &found, 1), 0);
    memset(host, '?', 4);
    memset(workload, '?', 8);
    const struct sp_endpoint *ep = a.cluster->set[0];
    check_str(ep->hostname, "host");
    check_str(ep->workload, "workload");
    assert_string_equal(ep->addr.path, "/run/app");
    assert_int_equal(ep->weight, 3);
    alone_stop(&a);
}

static void an_endpoint_that_stays_is_called_by_its_new_words(void **state)
{
    (void)state;
    struct alone a;
    alone_start(&a, SP_CLUSTER_STRICT_DNS, NULL);
    struct sp_endpoint_spec spec = { .host = SP_STR("old"), .workload = SP_STR("v1"), .weight = 1 };
    struct sp_endpoint_found found = { app_addr("/run/app"), &spec };
    assert_int_equal(sp_cluster_set_endpoints(a.cluster, &found, 1), 0);
    struct sp_endpoint *ep = a.cluster->set[0];
    struct sp_series series = { 0 };
    ep->last_series = &series;
    assert_int_equal(sp_cluster_set_endpoints(a.cluster, &found, 1), 0);
    assert_ptr_equal(ep->last_series, &series); /* nothing has changed */
    spec.hostname = SP_STR("new");
    spec.workload = SP_STR("v2");
    spec.workload_namespace = SP_STR("shop");
    for (uint64_t n = 1;; n++) { /* while memory is out the old words stay */
        sp_mem_fail_at(n);
        sp_err err = sp_cluster_set_endpoints(a.cluster, &found, 1);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        if (done)
            break;
    }
    assert_ptr_equal(a.cluster->set[0], ep);
    check_str(ep->hostname, "new");
    check_str(ep->workload, "v2");
    check_str(ep->workload_namespace, "shop");
    assert_string_equal(ep->addr.path, "/run/app");
    assert_null(ep->last_series); /* its labels are no longer those */
    alone_stop(&a);
}

/* --- new and update ------------------------------------------------------------------------------------- */

static void new_fails_at_each_allocation_and_leaves_nothing(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", "10.0.0.1:2", NULL };
    struct alone a;
    alone_start(&a, SP_CLUSTER_STATIC, addrs);
    a.spec->balance = SP_BALANCE_RING_HASH;
    for (uint64_t n = 1;; n++) {
        uint64_t blocks = sp_mem_live_blocks();
        struct sp_cluster *cluster = NULL;
        sp_mem_fail_at(n);
        sp_err err = sp_cluster_new(a.kit->worker, a.resource, &a.shared, &cluster);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        if (done)
            sp_cluster_free(cluster);
        else
            assert_null(cluster);
        assert_int_equal(sp_mem_live_blocks(), blocks);
        if (done) {
            assert_true(n > 6);
            break;
        }
    }
    alone_stop(&a);
}

static void update_fails_at_each_allocation_and_keeps_what_was(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", "10.0.0.1:2", NULL };
    static const char *const others[] = { "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", NULL };
    for (uint64_t n = 1;; n++) {
        struct alone a;
        struct sp_balance_key key = { 0 };
        enum sp_why why;
        alone_start(&a, SP_CLUSTER_STATIC, addrs);
        struct sp_resource *next = make_resource(SP_CLUSTER_STATIC, others);
        sp_mem_fail_at(n);
        sp_err err = sp_cluster_update(a.cluster, next);
        bool done = sp_mem_fail_at(0) < n;
        assert_int_equal(err, done ? 0 : SP_E_NOMEM);
        assert_ptr_equal(a.cluster->resource, done ? next : a.resource);
        assert_int_equal(a.cluster->set_count, done ? 3 : 2);
        for (int i = 0; i < 10; i++) /* and goes on choosing */
            assert_non_null(sp_cluster_pick(a.cluster, &key, NULL, &why));
        sp_resource_unref(next);
        alone_stop(&a);
        if (done) {
            assert_true(n > 5);
            return;
        }
    }
}

static void a_cluster_may_change_its_kind(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", "10.0.0.1:2", NULL };
    struct sp_balance_key key = { 0 };
    enum sp_why why = SP_WHY_NONE;
    struct alone a;
    alone_start(&a, SP_CLUSTER_STATIC, addrs);
    struct sp_resource *by_dst = make_resource(SP_CLUSTER_ORIGINAL_DST, NULL);
    assert_int_equal(sp_cluster_update(a.cluster, by_dst), 0);
    assert_int_equal(a.cluster->set_count, 0); /* nobody is left over from the set */
    assert_int_equal(known(a.cluster), 0);
    assert_null(sp_cluster_pick(a.cluster, &key, NULL, &why));
    assert_int_equal(why, SP_WHY_NO_ORIGINAL_DST);
    sp_addr dst = app_addr("10.9.9.9:99");
    assert_non_null(sp_cluster_pick(a.cluster, &key, &dst, &why));
    struct sp_resource *named = make_resource(SP_CLUSTER_STRICT_DNS, NULL);
    assert_int_equal(sp_cluster_update(a.cluster, named), 0);
    assert_null(sp_cluster_pick(a.cluster, &key, &dst, &why));
    assert_int_equal(why, SP_WHY_DNS);
    sp_cluster_tick(a.cluster); /* and who was made for a destination goes */
    assert_int_equal(known(a.cluster), 0);
    struct sp_resource *fixed = make_resource(SP_CLUSTER_STATIC, addrs);
    assert_int_equal(sp_cluster_update(a.cluster, fixed), 0);
    assert_int_equal(a.cluster->set_count, 2);
    sp_resource_unref(by_dst);
    sp_resource_unref(named);
    sp_resource_unref(fixed);
    alone_stop(&a);
}

static void a_cluster_that_has_gone_has_nobody(void **state)
{
    (void)state;
    static const char *const addrs[] = { "10.0.0.1:1", "10.0.0.1:2", NULL };
    struct sp_balance_key key = { 0 };
    enum sp_why why = SP_WHY_NONE;
    struct alone a;
    alone_start(&a, SP_CLUSTER_STATIC, addrs);
    a.cluster->users++; /* a call */
    sp_cluster_free(a.cluster);
    assert_null(sp_cluster_pick(a.cluster, &key, NULL, &why));
    assert_int_equal(why, SP_WHY_NO_CLUSTER);
    sp_cluster_unuse(a.cluster);
    sp_resource_unref(a.resource);
    kit_free(a.kit);
}

/* --- original destination ------------------------------------------------------------------------------- */

static void a_destination_has_one_endpoint_until_it_is_unused(void **state)
{
    (void)state;
    struct sp_balance_key key = { 0 };
    enum sp_why why = SP_WHY_NONE;
    struct alone a;
    alone_start(&a, SP_CLUSTER_ORIGINAL_DST, NULL);
    sp_addr one = app_addr("10.9.9.9:99"), two = app_addr("10.9.9.9:98"), six = app_addr("[fd00::1]:99");
    struct sp_endpoint *ep = sp_cluster_pick(a.cluster, &key, &one, &why);
    assert_ptr_equal(sp_cluster_pick(a.cluster, &key, &one, &why), ep);
    assert_ptr_not_equal(sp_cluster_pick(a.cluster, &key, &two, &why), ep);
    assert_non_null(sp_cluster_pick(a.cluster, &key, &six, &why));
    assert_int_equal(known(a.cluster), 3);
    ep->users++;
    sp_cluster_tick(a.cluster);
    assert_int_equal(known(a.cluster), 1);
    assert_ptr_equal(sp_cluster_pick(a.cluster, &key, &one, &why), ep);
    sp_endpoint_unuse(ep);
    sp_cluster_tick(a.cluster);
    assert_int_equal(known(a.cluster), 0);
    alone_stop(&a);
}

static void destinations_are_bounded(void **state)
{
    (void)state;
    struct sp_balance_key key = { 0 };
    enum sp_why why = SP_WHY_NONE;
    struct alone a;
    alone_start(&a, SP_CLUSTER_ORIGINAL_DST, NULL);
    sp_addr dst = app_addr("10.9.9.9:1");
    uint32_t made = 0;
    for (; made < 20000; made++) {
        dst.port = (uint16_t)(made + 1);
        if (!sp_cluster_pick(a.cluster, &key, &dst, &why))
            break;
    }
    assert_int_equal(made, 10000);
    assert_int_equal(why, SP_WHY_POOL_FULL);
    dst.port = 1;
    assert_non_null(sp_cluster_pick(a.cluster, &key, &dst, &why)); /* who is known is found */
    sp_cluster_tick(a.cluster);
    dst.port = 20001;
    assert_non_null(sp_cluster_pick(a.cluster, &key, &dst, &why));
    alone_stop(&a);
}

static void a_destination_that_cannot_be_made_is_said_as_such(void **state)
{
    (void)state;
    struct sp_balance_key key = { 0 };
    struct alone a;
    alone_start(&a, SP_CLUSTER_ORIGINAL_DST, NULL);
    sp_addr dst = app_addr("10.9.9.9:1");
    for (uint64_t n = 1; n <= 3; n++) { /* the endpoint, its text, the map */
        enum sp_why why = SP_WHY_NONE;
        sp_mem_fail_at(n);
        struct sp_endpoint *ep = sp_cluster_pick(a.cluster, &key, &dst, &why);
        sp_mem_fail_at(0);
        assert_null(ep);
        assert_int_equal(why, SP_WHY_MEMORY);
        assert_int_equal(known(a.cluster), 0);
    }
    alone_stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_set_keeps_who_stays_and_ends_who_goes),
        cmocka_unit_test(an_address_that_comes_twice_is_one_endpoint),
        cmocka_unit_test(an_endpoint_that_comes_back_is_a_new_one),
        cmocka_unit_test(a_set_that_fails_leaves_the_old_one),
        cmocka_unit_test(strings_of_endpoints_are_copies),
        cmocka_unit_test(an_endpoint_that_stays_is_called_by_its_new_words),
        cmocka_unit_test(new_fails_at_each_allocation_and_leaves_nothing),
        cmocka_unit_test(update_fails_at_each_allocation_and_keeps_what_was),
        cmocka_unit_test(a_cluster_may_change_its_kind),
        cmocka_unit_test(a_cluster_that_has_gone_has_nobody),
        cmocka_unit_test(a_destination_has_one_endpoint_until_it_is_unused),
        cmocka_unit_test(destinations_are_bounded),
        cmocka_unit_test(a_destination_that_cannot_be_made_is_said_as_such),
    };
    return cmocka_run_group_tests_name("proxy cluster", tests, NULL, NULL);
}
