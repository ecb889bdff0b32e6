/* balance: who gets the next call, by each policy. Chance is drawn from fixed seeds, its bounds are five
 * standard deviations: a fair one passes for every seed in practice, a skewed one for none. */
#include "proxy/balance.h"

#include "base/mem.h"
#include "proxy/cluster.h"
#include "unit/base/help.h"

enum { MOST = 64 };

struct field {
    struct sp_endpoint endpoints[MOST], *set[MOST];
    struct sp_cluster_spec spec;
    struct sp_balance balance;
    struct sp_rng rng;
    uint32_t count;
    uint64_t blocks;
};

static void field_start(struct field *f, enum sp_balance_kind kind, const uint32_t *weights, uint32_t count)
{
    memset(f, 0, sizeof(*f));
    f->blocks = sp_mem_live_blocks();
    f->count = count;
    f->spec = (struct sp_cluster_spec){ .balance = kind };
    sp_rng_init(&f->rng, 42);
    for (uint32_t i = 0; i < count; i++) {
        struct sp_endpoint *ep = &f->endpoints[i];
        ep->weight = weights ? weights[i] : 1;
        ep->healthy = true;
        assert_int_equal(sp_addr_parse_ip(SP_STR("127.0.0.1"), (uint16_t)(90 + i), &ep->addr), 0);
        f->set[i] = ep;
    }
    assert_int_equal(sp_balance_init(&f->balance, &f->spec, &f->rng), 0);
    assert_int_equal(sp_balance_set(&f->balance, f->set, count), 0);
}

static void field_stop(struct field *f)
{
    sp_balance_deinit(&f->balance);
    assert_int_equal(sp_mem_live_blocks(), f->blocks);
}

static uint32_t pick(struct field *f)
{
    struct sp_balance_key key = { 0 };
    struct sp_endpoint *ep = sp_balance_pick(&f->balance, &key);
    assert_non_null(ep);
    return (uint32_t)(ep - f->endpoints);
}

static uint32_t pick_hash(struct field *f, uint64_t hash)
{
    struct sp_balance_key key = { .has_hash = true, .hash = hash };
    return (uint32_t)(sp_balance_pick(&f->balance, &key) - f->endpoints);
}

/* Of `n` draws with chance `p`: within five standard deviations? */
static void check_share(uint32_t hits, uint32_t n, double p)
{
    double want = n * p, off = hits - want;
    if (off * off > 5 * 5 * n * p * (1 - p))
        fail_msg("%u of %u, want about %.0f", hits, n, want);
}

/* --- nobody --------------------------------------------------------------------------------------------- */

static void an_empty_set_has_nobody(void **state)
{
    (void)state;
    for (int kind = SP_BALANCE_ROUND_ROBIN; kind <= SP_BALANCE_GIVEN; kind++) {
        struct field f;
        struct sp_balance_key key = { .has_hash = true, .hash = 1 };
        field_start(&f, (enum sp_balance_kind)kind, NULL, 0);
        assert_null(sp_balance_pick(&f.balance, &key));
        field_stop(&f);
    }
}

static void the_unhealthy_are_nobody(void **state)
{
    (void)state;
    for (int kind = SP_BALANCE_ROUND_ROBIN; kind <= SP_BALANCE_GIVEN; kind++) {
        struct field f;
        struct sp_balance_key key = { 0 };
        field_start(&f, (enum sp_balance_kind)kind, NULL, 3);
        f.endpoints[0].healthy = f.endpoints[2].healthy = false;
        assert_int_equal(sp_balance_set(&f.balance, f.set, 3), 0);
        for (int i = 0; i < 50; i++)
            assert_int_equal(pick(&f), 1);
        f.endpoints[1].healthy = false;
        assert_int_equal(sp_balance_set(&f.balance, f.set, 3), 0);
        assert_null(sp_balance_pick(&f.balance, &key));
        field_stop(&f);
    }
}

static void the_best_priority_that_has_any_is_used(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_ROUND_ROBIN, NULL, 3);
    f.endpoints[1].priority = 1;
    f.endpoints[2].priority = 7;
    assert_int_equal(sp_balance_set(&f.balance, f.set, 3), 0);
    assert_int_equal(pick(&f), 0);
    f.endpoints[0].healthy = false;
    assert_int_equal(sp_balance_set(&f.balance, f.set, 3), 0);
    assert_int_equal(pick(&f), 1);
    f.endpoints[1].healthy = false;
    assert_int_equal(sp_balance_set(&f.balance, f.set, 3), 0);
    assert_int_equal(pick(&f), 2);
    field_stop(&f);
}

/* --- round robin ---------------------------------------------------------------------------------------- */

static void equal_weights_go_round(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_ROUND_ROBIN, NULL, 5);
    uint32_t first = pick(&f);
    for (uint32_t i = 1; i < 50; i++)
        assert_int_equal(pick(&f), (first + i) % 5);
    field_stop(&f);
}

static void workers_begin_their_rounds_at_different_places(void **state)
{
    (void)state;
    struct field f;
    uint32_t seen = 0;
    field_start(&f, SP_BALANCE_ROUND_ROBIN, NULL, 8);
    for (uint32_t worker = 0; worker < 32; worker++) {
        struct sp_balance b;
        struct sp_balance_key key = { 0 };
        assert_int_equal(sp_balance_init(&b, &f.spec, &f.rng), 0);
        assert_int_equal(sp_balance_set(&b, f.set, 8), 0);
        seen |= 1u << (sp_balance_pick(&b, &key) - f.endpoints);
        sp_balance_deinit(&b);
    }
    assert_true(__builtin_popcount(seen) >= 5);
    field_stop(&f);
}

static void weights_are_smooth_and_exact(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 5, 1, 1 };
    struct field f;
    char order[15] = { 0 };
    field_start(&f, SP_BALANCE_ROUND_ROBIN, weights, 3);
    for (int i = 0; i < 14; i++)
        order[i] = (char)('a' + pick(&f));
    assert_string_equal(order, "aabacaaaabacaa");
    field_stop(&f);
}

static void any_weights_are_met_in_each_round(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 3, 100, 17, 1, 42 };
    struct field f;
    field_start(&f, SP_BALANCE_ROUND_ROBIN, weights, 5);
    for (int round = 0; round < 3; round++) {
        uint32_t hits[5] = { 0 };
        for (int i = 0; i < 163; i++)
            hits[pick(&f)]++;
        for (int i = 0; i < 5; i++)
            assert_int_equal(hits[i], weights[i]);
    }
    field_stop(&f);
}

/* --- random and least request --------------------------------------------------------------------------- */

static void random_follows_the_weights(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 1, 2, 3, 4 };
    enum { DRAWS = 20000 };
    for (int weighted = 0; weighted < 2; weighted++) {
        struct field f;
        uint32_t hits[4] = { 0 };
        field_start(&f, SP_BALANCE_RANDOM, weighted ? weights : NULL, 4);
        for (int i = 0; i < DRAWS; i++)
            hits[pick(&f)]++;
        for (uint32_t i = 0; i < 4; i++)
            check_share(hits[i], DRAWS, weighted ? weights[i] / 10.0 : 0.25);
        field_stop(&f);
    }
}

/* Two of four are drawn, the less busy one is taken: the busiest comes only when it is drawn twice. */
static void of_two_drawn_the_less_busy_is_taken(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    struct field f;
    uint32_t hits[4] = { 0 };
    field_start(&f, SP_BALANCE_LEAST_REQUEST, NULL, 4);
    for (uint32_t i = 0; i < 4; i++)
        f.endpoints[i].active = i;
    for (int i = 0; i < DRAWS; i++)
        hits[pick(&f)]++;
    for (uint32_t i = 0; i < 4; i++) /* of 16 pairs, those where i is the least */
        check_share(hits[i], DRAWS, (2 * (3 - i) + 1) / 16.0);
    field_stop(&f);
}

static void more_choices_avoid_the_busy_more(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_LEAST_REQUEST, NULL, 4);
    f.balance.choices = 40;
    for (uint32_t i = 0; i < 4; i++)
        f.endpoints[i].active = 10 - i;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pick(&f), 3);
    field_stop(&f);
}

static void a_heavy_endpoint_may_be_busier(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 10, 1 };
    struct field f;
    field_start(&f, SP_BALANCE_LEAST_REQUEST, weights, 2);
    f.balance.choices = 40;
    f.endpoints[0].active = 8; /* 9 / 10 < 1 / 1 */
    assert_int_equal(pick(&f), 0);
    f.endpoints[0].active = 10; /* 11 / 10 > 1 / 1 */
    assert_int_equal(pick(&f), 1);
    field_stop(&f);
}

/* --- the ring ------------------------------------------------------------------------------------------- */

/* Envoy's own table, of RingHashLoadBalancerTest.Basic: six hosts at 127.0.0.1:90 to 95, a ring of 12. */
static const struct {
    uint64_t hash;
    uint32_t host;
} envoys[] = {
    { 833437586790550860u, 4 },   { 928266305478181108u, 2 },   { 1033482794131418490u, 0 },
    { 3551244743356806947u, 5 },  { 3851675632748031481u, 3 },  { 5583722120771150861u, 1 },
    { 6311230543546372928u, 1 },  { 7700377290971790572u, 3 },  { 13144177310400110813u, 5 },
    { 13444792449719432967u, 2 }, { 15516499411664133160u, 4 }, { 16117243373044804889u, 0 },
};

static void the_ring_is_envoys(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_RING_HASH, NULL, 6);
    f.balance.ring_min = 12;
    assert_int_equal(sp_balance_set(&f.balance, f.set, 6), 0);
    assert_int_equal(f.balance.ring_count, SP_COUNTOF(envoys));
    for (unsigned i = 0; i < SP_COUNTOF(envoys); i++) {
        assert_true(f.balance.ring[i].hash == envoys[i].hash);
        assert_int_equal(pick_hash(&f, envoys[i].hash), envoys[i].host);     /* at it */
        assert_int_equal(pick_hash(&f, envoys[i].hash - 1), envoys[i].host); /* and before it */
        assert_int_equal(pick_hash(&f, envoys[i].hash + 1), envoys[(i + 1) % SP_COUNTOF(envoys)].host);
    }
    assert_int_equal(pick_hash(&f, 0), 4);
    assert_int_equal(pick_hash(&f, UINT64_MAX), 4);
    field_stop(&f);
}

/* Envoy: the least weight gets a whole number of points, the ring at least ring_min, at most ring_max. */
static void the_rings_size_follows_the_weights(void **state)
{
    (void)state;
    static const struct {
        uint32_t weights[3], count;
        uint64_t least, most;
        uint32_t points[3];
    } cases[] = {
        { { 1, 2 }, 2, 3, 100, { 1, 2 } },         { { 1, 2 }, 2, 4, 100, { 2, 4 } },
        { { 1, 1, 1 }, 3, 1, 100, { 1, 1, 1 } },   { { 1, 1, 1 }, 3, 1023, 8000, { 341, 341, 341 } },
        { { 1, 9 }, 2, 1024, 8000, { 103, 927 } }, { { 5, 1 }, 2, 6, 12, { 5, 1 } },
        { { 1, 1 }, 2, 100, 10, { 5, 5 } },
    };
    for (unsigned c = 0; c < SP_COUNTOF(cases); c++) {
        struct field f;
        uint32_t points[3] = { 0 };
        field_start(&f, SP_BALANCE_RING_HASH, cases[c].weights, cases[c].count);
        f.balance.ring_min = cases[c].least;
        f.balance.ring_max = cases[c].most;
        assert_int_equal(sp_balance_set(&f.balance, f.set, cases[c].count), 0);
        for (uint32_t i = 0; i < f.balance.ring_count; i++)
            points[f.balance.ring[i].endpoint]++;
        for (uint32_t i = 0; i < cases[c].count; i++)
            if (points[i] != cases[c].points[i])
                fail_msg("case %u: endpoint %u has %u points, want %u", c, i, points[i], cases[c].points[i]);
        field_stop(&f);
    }
}

/* Each of the others has a few more points on the ring of nine than on that of ten (114 for 103), so a few
 * keys move to them, and none between them. */
static void one_that_leaves_moves_little_but_its_own(void **state)
{
    (void)state;
    enum { KEYS = 5000 };
    struct field f;
    uint32_t before[KEYS];
    uint32_t own = 0, others = 0;
    field_start(&f, SP_BALANCE_RING_HASH, NULL, 10);
    for (uint32_t i = 0; i < KEYS; i++)
        before[i] = pick_hash(&f, i * 0x9e3779b97f4a7c15u);
    assert_int_equal(sp_balance_set(&f.balance, f.set, 9), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t now = pick_hash(&f, i * 0x9e3779b97f4a7c15u);
        own += before[i] == 9;
        others += before[i] != 9 && now != before[i];
    }
    assert_true(own > KEYS / 20 && own < KEYS / 5);
    assert_true(others < KEYS / 8); /* a table of remainders would move nine in ten */
    field_stop(&f);
}

static void without_a_hash_the_ring_is_entered_anywhere(void **state)
{
    (void)state;
    struct field f;
    uint32_t seen = 0;
    field_start(&f, SP_BALANCE_RING_HASH, NULL, 6);
    for (int i = 0; i < 200; i++)
        seen |= 1u << pick(&f);
    assert_int_equal(seen, 0x3f);
    field_stop(&f);
}

/* --- who was tried already ------------------------------------------------------------------------------ */

static void who_was_tried_is_passed_over_while_there_is_another(void **state)
{
    (void)state;
    for (int kind = SP_BALANCE_ROUND_ROBIN; kind <= SP_BALANCE_GIVEN; kind++) {
        struct field f;
        field_start(&f, (enum sp_balance_kind)kind, NULL, 4);
        struct sp_endpoint *tried[] = { f.set[0], f.set[1], f.set[3] };
        for (uint32_t i = 0; i < 200; i++) {
            struct sp_balance_key key = {
                .has_hash = true, .hash = i * 0x9e3779b97f4a7c15u, .avoid = tried, .avoid_count = 3
            };
            assert_ptr_equal(sp_balance_pick(&f.balance, &key), f.set[2]);
        }
        field_stop(&f);
    }
}

static void when_all_were_tried_one_is_tried_again(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_RANDOM, NULL, 2);
    struct sp_balance_key key = { .avoid = f.set, .avoid_count = 2 };
    assert_non_null(sp_balance_pick(&f.balance, &key));
    field_stop(&f);
}

static void a_retry_of_a_hashed_call_goes_along_the_ring(void **state)
{
    (void)state;
    struct field f;
    field_start(&f, SP_BALANCE_RING_HASH, NULL, 6);
    f.balance.ring_min = 12;
    assert_int_equal(sp_balance_set(&f.balance, f.set, 6), 0);
    struct sp_endpoint *tried[] = { f.set[4] };
    struct sp_balance_key key = { .has_hash = true, .avoid = tried, .avoid_count = 1 };
    assert_ptr_equal(sp_balance_pick(&f.balance, &key), f.set[2]);
    field_stop(&f);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void a_set_that_cannot_be_made_leaves_the_old_one(void **state)
{
    (void)state;
    for (int kind = SP_BALANCE_ROUND_ROBIN; kind <= SP_BALANCE_RING_HASH; kind++)
        for (uint64_t n = 1;; n++) {
            struct field f;
            field_start(&f, (enum sp_balance_kind)kind, NULL, 2);
            sp_mem_fail_at(n);
            sp_err err = sp_balance_set(&f.balance, f.set, 1);
            bool done = sp_mem_fail_at(0) < n;
            uint32_t seen = 0;
            for (int i = 0; i < 200; i++)
                seen |= 1u << pick(&f);
            field_stop(&f);
            assert_int_equal(err, done ? 0 : SP_E_NOMEM);
            assert_int_equal(seen, done ? 1 : 3);
            if (done)
                break;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nobody),
        cmocka_unit_test(the_unhealthy_are_nobody),
        cmocka_unit_test(the_best_priority_that_has_any_is_used),
        cmocka_unit_test(equal_weights_go_round),
        cmocka_unit_test(workers_begin_their_rounds_at_different_places),
        cmocka_unit_test(weights_are_smooth_and_exact),
        cmocka_unit_test(any_weights_are_met_in_each_round),
        cmocka_unit_test(random_follows_the_weights),
        cmocka_unit_test(of_two_drawn_the_less_busy_is_taken),
        cmocka_unit_test(more_choices_avoid_the_busy_more),
        cmocka_unit_test(a_heavy_endpoint_may_be_busier),
        cmocka_unit_test(the_ring_is_envoys),
        cmocka_unit_test(the_rings_size_follows_the_weights),
        cmocka_unit_test(one_that_leaves_moves_little_but_its_own),
        cmocka_unit_test(without_a_hash_the_ring_is_entered_anywhere),
        cmocka_unit_test(who_was_tried_is_passed_over_while_there_is_another),
        cmocka_unit_test(when_all_were_tried_one_is_tried_again),
        cmocka_unit_test(a_retry_of_a_hashed_call_goes_along_the_ring),
        cmocka_unit_test(a_set_that_cannot_be_made_leaves_the_old_one),
    };
    return cmocka_run_group_tests_name("proxy balance", tests, NULL, NULL);
}
