/* dns_impl: what a body of the loop gives to dns.h. dns.c holds the face and dispatches; cares.c is the
 * body of the epoll loop, the simulation has a table of names. */
#ifndef SP_IO_DNS_IMPL_H
#define SP_IO_DNS_IMPL_H

#include "io/dns.h"

/* First member of a body's own struct. */
struct sp_dns {
    struct sp_loop *loop;
};

/* First member of a body's own struct; made and freed by the body. */
struct sp_dns_query {
    struct sp_dns *dns;
    uint16_t port;
    void (*on_answer)(void *arg, const struct sp_dns_answer *answer);
    void *arg;
};

struct sp_dns_body {
    struct sp_dns *(*make)(struct sp_loop *loop);
    void (*free)(struct sp_dns *dns);
    sp_err (*set_servers)(struct sp_dns *dns, const sp_addr *servers, uint32_t count);
    /* NULL when memory is out. The answer must not come inside the call. */
    struct sp_dns_query *(*resolve)(struct sp_dns *dns, sp_str name, uint16_t port, enum sp_dns_family family,
                                    void (*on_answer)(void *arg, const struct sp_dns_answer *answer),
                                    void *arg);
    void (*cancel)(struct sp_dns_query *query);
};

/* Sort by family (IPv4 first unless `ip6_first`) and bytes, drop doubles; returns how many are left. */
uint32_t sp_dns_sort(sp_addr *addrs, uint32_t count);

extern const struct sp_dns_body sp_dns_cares;

/* Of the epoll loop's: read `path` (borrowed) in place of /etc/resolv.conf, ask the servers that it names at
 * `port`, and look whether it has changed at most once in `look_ns`. NULL and 0: as the system has it. */
sp_err sp_cares_use(struct sp_dns *dns, const char *path, uint16_t port, sp_ns look_ns) SP_MUST_USE;

#endif
