/* client: who called, when proxies stand between. Each proxy adds at the right whom it was called by:
 *
 *      x-forwarded-for: what the client claims, client, balancer 1        balancer 2 ──connects──> us
 *                       └─ anybody can write this       └ balancer 2 says so
 *
 * How far to the left words are believed is xff_num_trusted_hops, and from where it counts depends on
 * use_remote_address. The meaning is Envoy's:
 *
 *      at an edge (true)      who connects is known. 0: that is the client. N: the N-th from the right, for
 *                             N proxies of ours stand before us, and the first of them has written that
 *      inside (false)         who connects is a proxy of the mesh, which has written the last. 0: that one is
 *                             the client. N: the one N further to the left
 *
 * Where there are fewer, or that one is no address, it is whoever connected: to take the leftmost instead
 * would let a client that leaves the header out, or writes nonsense, choose its name.
 *
 * Lines of one name are one list, as RFC 9110 5.3 has it. What is found is for records, logs and hashing by
 * source; which chain takes a connection, and whom the PROXY header names, is a matter of the connection. */
#include "proxy/client.h"

#include "model/listener.h"

/* The next entry to the left in `list`, which is cut by it; ptr NULL when there is none. */
static sp_str cut_last(sp_str *list)
{
    if (!list->ptr)
        return SP_STR_NULL;
    size_t at = list->len;
    while (at && list->ptr[at - 1] != ',')
        at--;
    sp_str entry = sp_str_trim(sp_str_from(*list, at));
    *list = at ? sp_str_upto(*list, at - 1) : SP_STR_NULL;
    return entry;
}

/* The entry with `skip` others to its right. */
static bool find_from_right(const struct sp_head *head, uint32_t skip, sp_addr *ret_addr)
{
    for (uint32_t i = head->header_count; i-- > 0;) {
        const struct sp_header *h = &head->headers[i];
        if (h->id != SP_HDR_X_FORWARDED_FOR || !h->value_len)
            continue;
        sp_str list = sp_str_of(h->value, h->value_len), entry;
        while ((entry = cut_last(&list)).ptr)
            if (skip-- == 0)
                return !sp_addr_parse_ip(entry, 0, ret_addr);
    }
    return false;
}

bool sp_client_find(const struct sp_chain_spec *spec, const struct sp_head *head, sp_addr *ret_addr)
{
    if (spec->use_remote_address)
        return spec->xff_hops && find_from_right(head, spec->xff_hops - 1, ret_addr);
    return find_from_right(head, spec->xff_hops, ret_addr);
}
