/* lease: how leases end, and what does not end them. In the simulated world, whose clock the test moves. */
#include "io/sim/sim.h"

#include "unit/store/help.h"

enum { MANY = 3000 };

struct world {
    struct sp_sim *sim;
    struct rig rig;
};

static void world_open(struct world *w, const char *path)
{
    *w = (struct world){ .sim = sp_sim_new(1), .rig.path = path };
    w->rig.loop = sp_sim_host(w->sim, "10.0.0.1");
    rig_open(&w->rig);
}

static void world_close(struct world *w)
{
    bool closed = false;
    sp_store_client_close(w->rig.client, mark_true, &closed);
    sp_sim_run(w->sim, sp_sim_now(w->sim) + SP_NS_PER_MS);
    assert_true(closed);
    sp_store_free(w->rig.store);
    sp_sim_free(w->sim);
}

static void pass(struct world *w, uint64_t ms)
{
    sp_sim_run(w->sim, sp_sim_now(w->sim) + ms * SP_NS_PER_MS);
}

static struct reply wait_for(struct world *w, struct sp_store_ask *ask)
{
    struct reply reply = { 0 };
    sp_store_ask_post(ask, on_reply, &reply);
    pass(w, 1);
    assert_true(reply.done);
    return reply;
}

static struct reply lease(struct world *w, void (*what)(struct sp_store_ask *, uint64_t), uint64_t id)
{
    struct sp_store_ask *ask = ask_new(&w->rig);
    what(ask, id);
    return wait_for(w, ask);
}

static uint64_t grant(struct world *w, uint64_t id, uint32_t ttl_s)
{
    struct sp_store_ask *ask = ask_new(&w->rig);
    sp_store_ask_grant(ask, id, ttl_s);
    struct reply reply = wait_for(w, ask);
    assert_int_equal(reply.why, SP_STORE_FINE);
    return reply.lease;
}

static struct reply put_on(struct world *w, const char *key, uint64_t id)
{
    struct sp_store_ask *ask = ask_new(&w->rig);
    sp_store_ask_put(ask, sp_str_c(key), SP_STR("v"), id, false);
    return wait_for(w, ask);
}

static struct reply all(struct world *w)
{
    struct sp_store_ask *ask = ask_new(&w->rig);
    sp_store_ask_range(ask, &(struct sp_store_span){ .kind = SP_STORE_PREFIX }, 0, 0, false);
    return wait_for(w, ask);
}

static void a_lease_that_is_over_takes_its_keys_under_one_revision(void **state)
{
    struct world w;
    world_open(&w, NULL);
    uint64_t id = grant(&w, 0, 5);
    put_on(&w, "a", id);
    put_on(&w, "b", id);
    put_on(&w, "c", 0);
    pass(&w, 4500);
    assert_int_equal(all(&w).count, 3);
    pass(&w, 1000);
    struct reply reply = all(&w);
    assert_int_equal(reply.count, 1);
    assert_int_equal(reply.revision, 4);
    assert_int_equal(lease(&w, sp_store_ask_keep_alive, id).why, SP_STORE_NO_LEASE);
    assert_int_equal(put_on(&w, "d", id).why, SP_STORE_NO_LEASE);
    world_close(&w);
}

static void a_lease_that_is_kept_alive_does_not_end(void **state)
{
    struct world w;
    world_open(&w, NULL);
    uint64_t id = grant(&w, 9, 5);
    put_on(&w, "a", id);
    for (int i = 0; i < 20; i++) {
        pass(&w, 4000);
        struct reply reply = lease(&w, sp_store_ask_keep_alive, id);
        assert_int_equal(reply.why, SP_STORE_FINE);
        assert_int_equal(reply.left_s, 5);
    }
    assert_int_equal(all(&w).count, 1);
    pass(&w, 2000);
    assert_int_equal(lease(&w, sp_store_ask_lease, id).left_s, 3);
    world_close(&w);
}

static void a_key_follows_its_newest_version_from_lease_to_lease(void **state)
{
    struct world w;
    world_open(&w, NULL);
    grant(&w, 1, 5);
    grant(&w, 2, 50);
    put_on(&w, "a", 1);
    put_on(&w, "a", 2);
    put_on(&w, "b", 1);
    put_on(&w, "b", 0);
    pass(&w, 7000);
    assert_int_equal(all(&w).count, 2);
    struct reply reply = lease(&w, sp_store_ask_revoke, 2);
    assert_int_equal(reply.why, SP_STORE_FINE);
    reply = all(&w);
    expect(&reply, "range 1 b=v@3,4,2,0");
    world_close(&w);
}

/* The machine stands still for an hour: whoever was alive before is alive behind it. */
static void a_pause_of_an_hour_ends_no_lease(void **state)
{
    struct world w;
    world_open(&w, NULL);
    for (uint64_t id = 1; id <= 100; id++) {
        grant(&w, id, 10);
        char key[8];
        snprintf(key, sizeof(key), "%d", (int)id);
        put_on(&w, key, id);
    }
    sp_sim_set_faults(w.sim, &(struct sp_sim_faults){ .pause = 1000, .pause_max = 3600 * SP_NS_PER_S });
    sp_ns before = sp_sim_now(w.sim);
    while (sp_sim_now(w.sim) < before + 1200 * SP_NS_PER_S)
        assert_true(sp_sim_step(w.sim));
    sp_sim_set_faults(w.sim, &(struct sp_sim_faults){ 0 });
    struct reply reply = { 0 };
    struct sp_store_ask *ask = ask_new(&w.rig);
    sp_store_ask_range(ask, &(struct sp_store_span){ .kind = SP_STORE_PREFIX }, 0, 0, true);
    sp_store_ask_post(ask, on_reply, &reply);
    while (!reply.done)
        assert_true(sp_sim_step(w.sim));
    assert_int_equal(reply.count, 100);
    pass(&w, 12000); /* but nobody keeps them alive any more */
    assert_int_equal(all(&w).count, 0);
    world_close(&w);
}

static void a_restart_gives_every_lease_its_whole_time_again(void **state)
{
    struct place place;
    struct world w;
    place_make(&place);
    world_open(&w, place.file);
    grant(&w, 1, 10);
    grant(&w, 2, 20);
    put_on(&w, "a", 1);
    put_on(&w, "b", 2);
    pass(&w, 9500);
    world_close(&w);
    world_open(&w, place.file);
    pass(&w, 9500);
    assert_int_equal(all(&w).count, 2);
    pass(&w, 1000);
    assert_int_equal(all(&w).count, 1);
    assert_int_equal(lease(&w, sp_store_ask_lease, 1).why, SP_STORE_NO_LEASE);
    world_close(&w);
    world_open(&w, place.file);
    assert_int_equal(all(&w).count, 1);
    assert_int_equal(lease(&w, sp_store_ask_lease, 1).why, SP_STORE_NO_LEASE);
    assert_int_equal(lease(&w, sp_store_ask_lease, 2).left_s, 20);
    world_close(&w);
    place_remove(&place);
}

static void thousands_of_leases_end_together_each_under_its_revision(void **state)
{
    struct world w;
    world_open(&w, NULL);
    for (uint64_t id = 1; id <= MANY; id++) {
        struct sp_store_ask *ask = ask_new(&w.rig);
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)id);
        sp_store_ask_grant(ask, id, 10);
        sp_store_ask_post(ask, NULL, NULL);
        ask = ask_new(&w.rig);
        sp_store_ask_put(ask, sp_str_c(key), SP_STR("v"), id, false);
        sp_store_ask_post(ask, NULL, NULL);
    }
    pass(&w, 10);
    struct sp_store_ask *ask = ask_new(&w.rig);
    sp_store_ask_range(ask, &(struct sp_store_span){ .kind = SP_STORE_PREFIX }, 0, 0, true);
    assert_int_equal(wait_for(&w, ask).count, MANY);
    pass(&w, 12000);
    struct reply reply = all(&w);
    assert_int_equal(reply.count, 0);
    assert_int_equal(reply.revision, 2 * MANY);
    world_close(&w);
}

static void a_grant_is_refused_for_a_taken_id_and_an_odd_time(void **state)
{
    static const struct {
        uint64_t id;
        uint32_t ttl_s;
        enum sp_store_why why;
    } cases[] = {
        { 1, 10, SP_STORE_LEASE_TAKEN },
        { 2, 0, SP_STORE_BAD_TTL },
        { 2, SP_STORE_TTL_MAX_S + 1, SP_STORE_BAD_TTL },
        { UINT64_MAX, 10, SP_STORE_NO_LEASE },
        { 2, SP_STORE_TTL_MAX_S, SP_STORE_FINE },
    };
    struct world w;
    world_open(&w, NULL);
    grant(&w, 1, 10);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_store_ask *ask = ask_new(&w.rig);
        sp_store_ask_grant(ask, cases[i].id, cases[i].ttl_s);
        assert_int_equal(wait_for(&w, ask).why, cases[i].why);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_that_is_over_takes_its_keys_under_one_revision),
        cmocka_unit_test(a_lease_that_is_kept_alive_does_not_end),
        cmocka_unit_test(a_key_follows_its_newest_version_from_lease_to_lease),
        cmocka_unit_test(a_pause_of_an_hour_ends_no_lease),
        cmocka_unit_test(a_restart_gives_every_lease_its_whole_time_again),
        cmocka_unit_test(thousands_of_leases_end_together_each_under_its_revision),
        cmocka_unit_test(a_grant_is_refused_for_a_taken_id_and_an_odd_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
