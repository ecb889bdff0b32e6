/* route_hash: the numbers that Envoy would compute. */
#include "proxy/route.h"
#include "unit/proxy/route_kit.h"

/* Of xxHash's own test vectors (XXH64, seed 0), so that the hash itself stands on something. */
#define XXH64_EMPTY 0xef46db3751d8e999u
#define XXH64_A 0xd24ec4f1a98c6e5bu
#define XXH64_ABC 0x44bc2cf5ad770999u

static uint64_t rotated(uint64_t hash)
{
    return hash << 1 | hash >> 63;
}

static bool hash_of(struct kit *k, const struct sp_hash_policy *policies, uint32_t count, uint64_t *ret_hash)
{
    sp_addr source = { .family = SP_ADDR_IP4, .port = 4711, .ip = { 10, 0, 0, 1 } };
    k->route.hash = policies;
    k->route.hash_count = count;
    *ret_hash = 0;
    return sp_route_hash(&k->route, &k->in, &source, ret_hash);
}

static void one_value_is_its_xxh64(void **state)
{
    struct kit k;
    uint64_t hash;
    kit_http(&k, "s", "/p?q=a&e=&q=b");
    kit_header(&k, "X-User", "abc");
    kit_header(&k, "cookie", "x=1; sid=abc; sid=d");
    kit_header(&k, "Cookie", "late=\"a\"; bare");
    kit_header(&k, "x-empty", "");
    const struct {
        struct sp_hash_policy policy;
        uint64_t hash;
    } rows[] = {
        { { SP_HASH_HEADER, false, SP_STR("x-user") }, XXH64_ABC },
        { { SP_HASH_HEADER, false, SP_STR("x-empty") }, XXH64_EMPTY },
        { { SP_HASH_COOKIE, false, SP_STR("sid") }, XXH64_ABC },
        { { SP_HASH_COOKIE, false, SP_STR("late") }, XXH64_A },
        { { SP_HASH_QUERY, false, SP_STR("q") }, XXH64_A },
        { { SP_HASH_QUERY, false, SP_STR("e") }, XXH64_EMPTY },
        { { SP_HASH_SOURCE_IP, false, SP_STR_NULL }, sp_str_xxh64(SP_STR("10.0.0.1"), 0) },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        if (!hash_of(&k, &rows[i].policy, 1, &hash) || hash != rows[i].hash)
            fail_msg("row %zu: %llx", i, (unsigned long long)hash);
    }
    kit_end(&k);
}

static void what_is_not_there_counts_for_nothing(void **state)
{
    const struct sp_hash_policy policies[] = {
        { SP_HASH_HEADER, false, SP_STR("x-none") },
        { SP_HASH_COOKIE, false, SP_STR("none") },
        { SP_HASH_QUERY, false, SP_STR("none") },
        { SP_HASH_COOKIE, false, SP_STR("bare") },
    };
    struct kit k;
    uint64_t hash;
    kit_http(&k, "s", "/p?q=a");
    kit_header(&k, "cookie", "bare; x=1");
    assert_false(hash_of(&k, policies, SP_COUNTOF(policies), &hash));
    assert_false(hash_of(&k, policies, 0, &hash));
    k.route.hash = &(struct sp_hash_policy){ .kind = SP_HASH_SOURCE_IP };
    k.route.hash_count = 1;
    sp_addr unix_path = { .family = SP_ADDR_UNIX, .path = "/x" };
    assert_false(sp_route_hash(&k.route, &k.in, &unix_path, &hash));
    assert_false(sp_route_hash(&k.route, &k.in, NULL, &hash));
    kit_end(&k);
}

static void several_policies_are_rotated_and_joined(void **state)
{
    struct sp_hash_policy policies[] = {
        { SP_HASH_QUERY, false, SP_STR("q") },
        { SP_HASH_HEADER, false, SP_STR("x-none") },
        { SP_HASH_HEADER, false, SP_STR("x-user") },
        { SP_HASH_QUERY, false, SP_STR("q") },
    };
    struct kit k;
    uint64_t hash;
    kit_http(&k, "s", "/p?q=a");
    kit_header(&k, "x-user", "abc");
    uint64_t two = rotated(XXH64_A) ^ XXH64_ABC;
    assert_true(hash_of(&k, policies, 3, &hash));
    assert_true(hash == two);
    assert_true(hash_of(&k, policies, 4, &hash));
    assert_true(hash == (rotated(two) ^ XXH64_A));
    policies[2].terminal = true;
    assert_true(hash_of(&k, policies, 4, &hash));
    assert_true(hash == two);
    policies[1].terminal = true; /* terminal counts once there is a hash, from whichever policy */
    assert_true(hash_of(&k, policies, 4, &hash));
    assert_true(hash == XXH64_A);
    kit_end(&k);
}

static void values_of_one_header_are_sorted_first(void **state)
{
    const struct sp_hash_policy policy = { SP_HASH_HEADER, false, SP_STR("x") };
    struct kit k;
    uint64_t one, other;
    kit_http(&k, "s", "/");
    kit_header(&k, "x", "abc");
    kit_header(&k, "x", "a");
    assert_true(hash_of(&k, &policy, 1, &one));
    assert_true(one == sp_str_xxh64(SP_STR("abc"), XXH64_A));
    kit_end(&k);
    kit_http(&k, "s", "/");
    kit_header(&k, "x", "a");
    kit_header(&k, "x", "abc");
    assert_true(hash_of(&k, &policy, 1, &other));
    assert_true(one == other);
    kit_end(&k);
}

static void an_rpc_call_hashes_by_its_headers(void **state)
{
    const struct sp_hash_policy policies[] = { { SP_HASH_QUERY, false, SP_STR("q") },
                                               { SP_HASH_HEADER, false, SP_STR("User") } };
    struct kit k;
    uint64_t hash;
    kit_rpc(&k, "s", "m?q=a");
    kit_header(&k, "User", "abc");
    assert_true(hash_of(&k, policies, 2, &hash));
    assert_true(hash == XXH64_ABC);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_is_its_xxh64),
        cmocka_unit_test(what_is_not_there_counts_for_nothing),
        cmocka_unit_test(several_policies_are_rotated_and_joined),
        cmocka_unit_test(values_of_one_header_are_sorted_first),
        cmocka_unit_test(an_rpc_call_hashes_by_its_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
