/* dns: the face's half of name resolving: it hands to whatever body the loop has, and puts answers into one
 * order. Equal sets of addresses must compare equal, or a cluster would be rebuilt at every answer of a
 * server that turns its records round; spreading calls over the addresses is the balancer's matter.
 *
 *   production: cares.c, queries to the configured servers, /etc/hosts first
 *   simulation: a table of names in the simulated world */
#include "io/dns.h"

#include <string.h>

#include "io/dns_impl.h"
#include "io/loop_impl.h"

struct sp_dns *sp_dns_new(struct sp_loop *loop)
{
    return loop->body->dns ? loop->body->dns->make(loop) : NULL;
}

void sp_dns_free(struct sp_dns *dns)
{
    if (dns)
        dns->loop->body->dns->free(dns);
}

sp_err sp_dns_set_servers(struct sp_dns *dns, const sp_addr *servers, uint32_t count)
{
    return dns->loop->body->dns->set_servers(dns, servers, count);
}

struct sp_dns_query *sp_dns_resolve(struct sp_dns *dns, sp_str name, uint16_t port, enum sp_dns_family family,
                                    void (*on_answer)(void *arg, const struct sp_dns_answer *answer),
                                    void *arg)
{
    return dns->loop->body->dns->resolve(dns, name, port, family, on_answer, arg);
}

void sp_dns_cancel(struct sp_dns_query *query)
{
    if (query)
        query->dns->loop->body->dns->cancel(query);
}

static int order(const sp_addr *a, const sp_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* By insertion: at most SP_DNS_ADDRS_MAX, mostly a handful. */
uint32_t sp_dns_sort(sp_addr *addrs, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        sp_addr addr = addrs[i];
        uint32_t at = kept;
        while (at > 0 && order(&addrs[at - 1], &addr) > 0)
            at--;
        if (at > 0 && order(&addrs[at - 1], &addr) == 0)
            continue;
        memmove(&addrs[at + 1], &addrs[at], (kept - at) * sizeof(*addrs));
        addrs[at] = addr;
        kept++;
    }
    return kept;
}
