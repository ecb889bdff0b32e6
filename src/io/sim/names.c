/* names: the resolver of the simulated world: a table of names, answers after a while, and failures by
 * chance.
 *
 * Answers are in the order that dns.c gives to all bodies, so that equal sets compare equal. A question
 * takes one to a few milliseconds, as one to a server near by does; the answer comes from a timer of the
 * asking loop, never inside the call. */
#include "io/sim/sim_impl.h"

#include <string.h>

#include "base/mem.h"
#include "io/dns_impl.h"

enum { ANSWER_MS = 4, NAME_MAX_BYTES = 255, TTL_S = 5 };

struct resolver {
    struct sp_dns dns;
    struct sp_list queries; /* of query.link */
};

struct query {
    struct sp_dns_query query;
    struct sp_list link;
    struct sp_timer timer;
    enum sp_dns_family family;
    size_t name_len;
    char name[];
};

sp_err sp_sim_name(struct sp_sim *sim, const char *name, const char *ip)
{
    sp_addr addr;
    sp_err err = sp_addr_parse_ip(sp_str_c(ip), 0, &addr);
    if (err)
        return err;
    size_t len = strlen(name);
    struct sp_sim_name *made = sp_mem_zalloc(sizeof(*made) + len + 1);
    if (!made)
        return SP_E_NOMEM;
    made->addr = addr;
    memcpy(made->text, name, len + 1);
    sp_list_push(&sim->names, &made->link);
    return 0;
}

static struct sp_dns *make(struct sp_loop *loop)
{
    struct resolver *r = sp_mem_zalloc(sizeof(*r));
    if (!r)
        return NULL;
    r->dns.loop = loop;
    sp_list_init(&r->queries);
    return &r->dns;
}

static void query_free(struct query *q)
{
    sp_timer_stop(q->query.dns->loop, &q->timer);
    sp_list_remove(&q->link);
    sp_mem_free(q);
}

static void resolver_free(struct sp_dns *dns)
{
    struct resolver *r = SP_CONTAINER(dns, struct resolver, dns);
    struct query *q;
    SP_LIST_EACH(&r->queries, q, next, struct query, link)
        query_free(q);
    sp_mem_free(r);
}

static sp_err set_servers(struct sp_dns *dns, const sp_addr *servers, uint32_t count)
{
    return 0; /* there is one world, and it knows all names */
}

/* Addresses of the name in one family (NONE: all) behind what is there. */
static uint32_t collect(const struct query *q, uint8_t family, sp_addr *out, uint32_t count)
{
    const struct sp_sim *sim = sp_sim_loop_of(q->query.dns->loop)->sim;
    const struct sp_sim_name *name;
    sp_addr number;
    sp_str asked = sp_str_of(q->name, q->name_len);
    if (!sp_addr_parse_ip(asked, 0, &number) && (!family || number.family == family))
        out[count++] = number;
    SP_LIST_EACH(&sim->names, name, next, struct sp_sim_name, link)
        if (sp_str_eq_nocase(sp_str_c(name->text), asked) && (!family || name->addr.family == family) &&
            count < SP_DNS_ADDRS_MAX)
            out[count++] = name->addr;
    return count;
}

static uint32_t look_up(const struct query *q, sp_addr *out)
{
    uint32_t count = 0;
    switch (q->family) {
    case SP_DNS_IP4_ONLY: return collect(q, SP_ADDR_IP4, out, 0);
    case SP_DNS_IP6_ONLY: return collect(q, SP_ADDR_IP6, out, 0);
    case SP_DNS_ANY:
        count = collect(q, SP_ADDR_IP6, out, 0);
        return count ? count : collect(q, SP_ADDR_IP4, out, 0);
    case SP_DNS_IP4_FIRST:
        count = collect(q, SP_ADDR_IP4, out, 0);
        return count ? count : collect(q, SP_ADDR_IP6, out, 0);
    case SP_DNS_ALL: break;
    }
    return collect(q, SP_ADDR_NONE, out, 0);
}

static void on_answer_due(struct sp_timer *timer)
{
    struct query *q = SP_CONTAINER(timer, struct query, timer);
    struct sp_sim *sim = sp_sim_loop_of(q->query.dns->loop)->sim;
    sp_addr addrs[SP_DNS_ADDRS_MAX];
    struct sp_dns_answer answer = { .addrs = addrs, .ttl_s = TTL_S };
    if (sp_sim_chance(sim, sim->faults.dns_fail, &sim->counts.dns_failed)) {
        answer.err = SP_E_TIMEOUT;
    } else {
        answer.count = sp_dns_sort(addrs, look_up(q, addrs));
        answer.err = answer.count ? 0 : SP_E_MISSING;
    }
    for (uint32_t i = 0; i < answer.count; i++)
        addrs[i].port = q->query.port;
    sp_sim_note(sim, "dns", 0, answer.count, (uint64_t)-answer.err);
    void (*on_answer)(void *, const struct sp_dns_answer *) = q->query.on_answer;
    void *arg = q->query.arg;
    query_free(q); /* first, so that a cancel from the callback finds nothing to cancel */
    on_answer(arg, &answer);
}

static struct sp_dns_query *resolve(struct sp_dns *dns, sp_str name, uint16_t port, enum sp_dns_family family,
                                    void (*on_answer)(void *arg, const struct sp_dns_answer *answer),
                                    void *arg)
{
    struct resolver *r = SP_CONTAINER(dns, struct resolver, dns);
    struct sp_sim *sim = sp_sim_loop_of(dns->loop)->sim;
    size_t len = SP_MIN(name.len, NAME_MAX_BYTES);
    struct query *q = sp_mem_zalloc(sizeof(*q) + len);
    if (!q)
        return NULL;
    q->query = (struct sp_dns_query){ .dns = dns, .port = port, .on_answer = on_answer, .arg = arg };
    q->family = family;
    q->name_len = len;
    if (len)
        memcpy(q->name, name.ptr, len);
    q->timer.on_fire = on_answer_due;
    sp_list_push(&r->queries, &q->link);
    sp_timer_set(dns->loop, &q->timer, SP_NS_PER_MS * (1 + sp_rng_below(&sim->rng, ANSWER_MS)));
    return &q->query;
}

static void cancel(struct sp_dns_query *query)
{
    query_free(SP_CONTAINER(query, struct query, query));
}

const struct sp_dns_body sp_sim_dns = {
    .make = make,
    .free = resolver_free,
    .set_servers = set_servers,
    .resolve = resolve,
    .cancel = cancel,
};
