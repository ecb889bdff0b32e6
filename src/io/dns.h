/* dns: names to addresses, by c-ares on the loop (the simulation has its own table). Answers come from
 * /etc/hosts and the servers that /etc/resolv.conf names at the time. */
#ifndef SP_IO_DNS_H
#define SP_IO_DNS_H

#include "base/addr.h"
#include "io/loop.h"

struct sp_dns;
struct sp_dns_query;

enum sp_dns_family {
    SP_DNS_ANY, /* IPv6 when there is any, else IPv4 (what xDS calls AUTO) */
    SP_DNS_IP4_ONLY,
    SP_DNS_IP6_ONLY,
    SP_DNS_IP4_FIRST, /* IPv4 when there is any, else IPv6 */
    SP_DNS_ALL,
};

enum { SP_DNS_ADDRS_MAX = 256 };

struct sp_dns_answer {
    sp_err err;           /* SP_E_MISSING: the name does not exist; SP_E_TIMEOUT; SP_E_INVALID: no name;
                * SP_E_IO */
    const sp_addr *addrs; /* port as asked; sorted, so that equal sets compare equal */
    uint32_t count;
    uint32_t ttl_s; /* the smallest of the records; 0 = it says nothing (/etc/hosts) */
};

/* NULL when c-ares cannot start. */
struct sp_dns *sp_dns_new(struct sp_loop *loop);
void sp_dns_free(struct sp_dns *dns); /* queries under way are cancelled */
/* In place of what /etc/resolv.conf names, now and later. */
sp_err sp_dns_set_servers(struct sp_dns *dns, const sp_addr *servers, uint32_t count) SP_MUST_USE;
/* on_answer is called once, on the loop, never inside this call; not after cancel. */
struct sp_dns_query *sp_dns_resolve(struct sp_dns *dns, sp_str name, uint16_t port, enum sp_dns_family family,
                                    void (*on_answer)(void *arg, const struct sp_dns_answer *answer),
                                    void *arg) SP_MUST_USE;
void sp_dns_cancel(struct sp_dns_query *query);

#endif
