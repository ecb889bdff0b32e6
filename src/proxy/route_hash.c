/* route_hash: one number for a call, so that calls that belong together meet the same endpoint.
 *
 * The number must be the one that Envoy computes, bit for bit: in a fleet where some sidecars are ours and
 * some are not, a session must not move because another proxy carried the call. So: XXH64 with seed 0 of each
 * policy's value (for several headers of one name: sorted, each seeded with the hash before it; for the
 * source its address as text, without the port), and several policies joined by rotating one bit and
 * exclusive or. A policy that finds nothing counts for nothing; a terminal one ends the walk once there is a
 * hash. */
#include "proxy/route.h"

#include "proxy/route_impl.h"

enum { SAME_NAME_MAX = 16 }; /* values of one name that count; more are left out */

static bool hash_header(const struct sp_head *head, sp_str name, uint64_t *ret_hash)
{
    sp_str values[SAME_NAME_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; count < SAME_NAME_MAX;) {
        sp_str value = sp_route_next_value(head, name, &at);
        if (!value.ptr)
            break;
        uint32_t i = count++;
        for (; i && sp_str_cmp(values[i - 1], value) > 0; i--)
            values[i] = values[i - 1];
        values[i] = value;
    }
    *ret_hash = 0;
    for (uint32_t i = 0; i < count; i++)
        *ret_hash = sp_str_xxh64(values[i], *ret_hash);
    return count != 0;
}

/* `a=1; b="2"`: the value of the first of that name, without its quotes. */
static sp_str find_cookie(const struct sp_head *head, sp_str name)
{
    uint32_t at = 0;
    for (;;) {
        sp_str line = sp_route_next_value(head, SP_STR("cookie"), &at);
        if (!line.ptr)
            return SP_STR_NULL;
        while (line.ptr) {
            sp_str part = sp_str_trim(sp_str_cut(&line, ';'));
            sp_str key = sp_str_cut(&part, '=');
            if (!part.ptr || !sp_str_eq(key, name))
                continue;
            if (part.len >= 2 && part.ptr[0] == '"' && part.ptr[part.len - 1] == '"')
                part = sp_str_of(part.ptr + 1, part.len - 2);
            return part;
        }
    }
}

static bool hash_one(const struct sp_hash_policy *policy, struct sp_route_input *in, const sp_addr *source,
                     uint64_t *ret_hash)
{
    sp_str value = SP_STR_NULL;
    char text[SP_ADDR_TEXT_BYTES];
    switch (policy->kind) {
    case SP_HASH_HEADER: return hash_header(in->head, policy->name, ret_hash);
    case SP_HASH_COOKIE: value = find_cookie(in->head, policy->name); break;
    case SP_HASH_SOURCE_IP:
        if (source && (source->family == SP_ADDR_IP4 || source->family == SP_ADDR_IP6))
            value = sp_str_of(text, sp_addr_print_ip(source, text, sizeof(text)));
        break;
    case SP_HASH_QUERY: value = sp_route_param(in, policy->name); break;
    }
    if (!value.ptr)
        return false;
    *ret_hash = sp_str_xxh64(value, 0);
    return true;
}

bool sp_route_hash(const struct sp_route *route, struct sp_route_input *in, const sp_addr *source,
                   uint64_t *ret_hash)
{
    uint64_t hash = 0;
    bool some = false;
    for (uint32_t i = 0; i < route->hash_count; i++) {
        uint64_t one;
        if (hash_one(&route->hash[i], in, source, &one)) {
            hash = (hash << 1 | hash >> 63) ^ one;
            some = true;
        }
        if (route->hash[i].terminal && some)
            break;
    }
    if (some)
        *ret_hash = hash;
    return some;
}
