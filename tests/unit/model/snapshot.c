/* snapshot: sharing, references, replacement, every failed allocation, workers that let go at once. */
#include "model/snapshot.h"

#include <pthread.h>

#include "base/mem.h"
#include "unit/base/help.h"

static struct sp_resource *cluster(const char *name, int *freed)
{
    struct sp_resource *resource = sp_resource_new(SP_RESOURCE_CLUSTER, sp_str_c(name));
    if (!resource)
        return NULL;
    resource->cluster = SP_ARENA_NEW(&resource->arena, struct sp_cluster_spec);
    if (!resource->cluster) {
        sp_resource_unref(resource);
        return NULL;
    }
    resource->cluster->name = resource->name;
    resource->hash = (uint64_t)(uintptr_t)freed;
    return resource;
}

static void count_free(struct sp_resource *resource)
{
    ++*(int *)(uintptr_t)resource->hash;
}

static struct sp_resource *counted(const char *name, int *freed)
{
    struct sp_resource *resource = cluster(name, freed);
    assert_non_null(resource);
    resource->on_free = count_free;
    return resource;
}

/* Put, and leave the snapshot as the only owner. */
static void put(struct sp_snapshot *snapshot, struct sp_resource *resource)
{
    assert_int_equal(sp_snapshot_put(snapshot, resource), 0);
    sp_resource_unref(resource);
}

static void a_name_is_found_in_its_own_kind_only(void **state)
{
    struct sp_snapshot *s = sp_snapshot_new(NULL);
    int freed = 0;
    put(s, counted("a", &freed));
    sp_snapshot_seal(s, 7);
    assert_int_equal(s->number, 7);
    check_str(sp_snapshot_cluster(s, SP_STR("a"))->name, "a");
    assert_null(sp_snapshot_cluster(s, SP_STR("b")));
    assert_null(sp_snapshot_listener(s, SP_STR("a")));
    assert_null(sp_snapshot_routes(s, SP_STR("a")));
    sp_snapshot_unref(s);
    assert_int_equal(freed, 1);
}

static void the_next_snapshot_shares_what_did_not_change(void **state)
{
    int freed[4] = { 0 };
    struct sp_snapshot *first = sp_snapshot_new(NULL);
    put(first, counted("kept", &freed[0]));
    put(first, counted("replaced", &freed[1]));
    put(first, counted("removed", &freed[2]));
    sp_snapshot_seal(first, 1);

    struct sp_snapshot *second = sp_snapshot_new(first);
    put(second, counted("replaced", &freed[3]));
    sp_snapshot_remove(second, SP_RESOURCE_CLUSTER, SP_STR("removed"));
    sp_snapshot_remove(second, SP_RESOURCE_CLUSTER, SP_STR("never there"));
    sp_snapshot_seal(second, 2);
    assert_ptr_equal(sp_snapshot_cluster(first, SP_STR("kept")), sp_snapshot_cluster(second, SP_STR("kept")));
    assert_ptr_not_equal(sp_snapshot_cluster(first, SP_STR("replaced")),
                         sp_snapshot_cluster(second, SP_STR("replaced")));
    assert_non_null(sp_snapshot_cluster(first, SP_STR("removed")));
    assert_null(sp_snapshot_cluster(second, SP_STR("removed")));
    assert_int_equal(freed[0] + freed[1] + freed[2] + freed[3], 0);

    sp_snapshot_unref(first);
    assert_int_equal(freed[0], 0);
    assert_int_equal(freed[1], 1);
    assert_int_equal(freed[2], 1);
    check_str(sp_snapshot_cluster(second, SP_STR("kept"))->name, "kept");
    sp_snapshot_unref(second);
    assert_int_equal(freed[0], 1);
    assert_int_equal(freed[3], 1);
}

static void a_resource_put_twice_stays(void **state)
{
    int freed = 0;
    struct sp_snapshot *s = sp_snapshot_new(NULL);
    struct sp_resource *resource = counted("a", &freed);
    assert_int_equal(sp_snapshot_put(s, resource), 0);
    assert_int_equal(sp_snapshot_put(s, resource), 0);
    sp_resource_unref(resource);
    assert_int_equal(freed, 0);
    check_str(sp_snapshot_cluster(s, SP_STR("a"))->name, "a");
    sp_snapshot_unref(s);
    assert_int_equal(freed, 1);
}

static void a_reference_outlives_the_snapshot(void **state)
{
    int freed = 0;
    struct sp_snapshot *s = sp_snapshot_new(NULL);
    struct sp_resource *resource = counted("a", &freed);
    assert_int_equal(sp_snapshot_put(s, resource), 0);
    sp_snapshot_unref(s);
    assert_int_equal(freed, 0);
    check_str(resource->cluster->name, "a");
    sp_resource_unref(resource);
    assert_int_equal(freed, 1);
}

static void nothing_is_freed_by_letting_go_of_nothing(void **state)
{
    sp_snapshot_unref(NULL);
    sp_resource_unref(NULL);
}

static void put_into_sealed(void)
{
    struct sp_snapshot *s = sp_snapshot_new(NULL);
    struct sp_resource *resource = cluster("a", NULL);
    sp_snapshot_seal(s, 1);
    SP_IGNORE(sp_snapshot_put(s, resource));
}

static void a_sealed_snapshot_is_not_written_to(void **state)
{
    check_dies(put_into_sealed, "sealed");
}

/* The set-up path: a snapshot of three, the next one from it with one replaced. False when memory was out. */
static bool build_two(void)
{
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };
    struct sp_snapshot *first = sp_snapshot_new(NULL), *second = NULL;
    struct sp_resource *resource = NULL;
    bool ok = false;
    if (!first)
        return false;
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        resource = cluster(names[i], NULL);
        if (!resource || sp_snapshot_put(first, resource))
            goto out;
        sp_resource_unref(resource);
        resource = NULL;
    }
    sp_snapshot_seal(first, 1);
    second = sp_snapshot_new(first);
    resource = second ? cluster("b", NULL) : NULL;
    if (!resource || sp_snapshot_put(second, resource))
        goto out;
    ok = sp_snapshot_cluster(second, SP_STR("b")) == resource->cluster &&
         sp_snapshot_cluster(second, SP_STR("j")) == sp_snapshot_cluster(first, SP_STR("j"));
out:
    sp_resource_unref(resource);
    sp_snapshot_unref(second);
    sp_snapshot_unref(first);
    return ok;
}

static void every_failed_allocation_leaves_nothing_behind(void **state)
{
    uint64_t before = sp_mem_live_blocks(), n = 1;
    bool ok = false;
    for (; !ok; n++) {
        (void)sp_mem_fail_at(n);
        ok = build_two();
        (void)sp_mem_fail_at(0);
        assert_int_equal(sp_mem_live_blocks(), before);
        assert_true(n < 1000);
    }
    assert_true(n > 10); /* some of them did fail */
}

static void *hold_and_let_go(void *opaque)
{
    struct sp_snapshot *s = opaque;
    struct sp_snapshot *next = sp_snapshot_new(s);
    for (int i = 0; i < 1000; i++) {
        sp_snapshot_ref(s);
        sp_snapshot_unref(s);
    }
    sp_snapshot_unref(s);
    sp_snapshot_unref(next);
    return NULL;
}

static void threads_share_one_snapshot(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int freed = 0;
    struct sp_snapshot *s = sp_snapshot_new(NULL);
    put(s, counted("a", &freed));
    sp_snapshot_seal(s, 1);
    for (int i = 0; i < THREADS; i++) {
        sp_snapshot_ref(s);
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_let_go, s), 0);
    }
    sp_snapshot_unref(s);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(freed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_found_in_its_own_kind_only),
        cmocka_unit_test(the_next_snapshot_shares_what_did_not_change),
        cmocka_unit_test(a_resource_put_twice_stays),
        cmocka_unit_test(a_reference_outlives_the_snapshot),
        cmocka_unit_test(nothing_is_freed_by_letting_go_of_nothing),
        cmocka_unit_test(a_sealed_snapshot_is_not_written_to),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
        cmocka_unit_test(threads_share_one_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
