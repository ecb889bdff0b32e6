/* resolve: STRICT_DNS. Each name of each such cluster is looked up on the main loop, again and again; when
 * the answers of a cluster change, the whole set goes to every worker by mail.
 *
 *    name ── query ──> answer ──> wait (refresh, or the records' ttl; longer after failures) ──> query ...
 *
 * Each name counts as unheard until its first answer or failure: a process that starts lets nobody in before
 * (sp_resolve_await), or its first callers would be told that there is nobody.
 *
 * A failed look-up keeps the addresses that were known: a name server that is away must not empty a cluster.
 * Names are known by pointer into the cluster's resource, which the entry holds a reference to. */
#include "proxy/resolve.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/mail.h"
#include "io/timer.h"
#include "proxy/worker.h"

#define REFRESH_NS_DEFAULT (5 * SP_NS_PER_S)

struct entry; /* one cluster */

struct name {
    struct entry *entry;
    const struct sp_endpoint_spec *spec;
    struct sp_dns_query *query; /* under way */
    struct sp_timer timer;
    sp_addr *addrs; /* the last good answer */
    uint32_t count;
    bool answered;
    bool heard; /* there was an answer, or a failure */
};

struct entry {
    struct sp_list link; /* sp_resolve.entries */
    struct sp_process *process;
    struct sp_resource *resource;
    struct name *names;
    uint32_t count;
    bool untold; /* memory was out: some worker has still to hear of the last change */
};

struct sp_resolve {
    struct sp_list entries; /* of entry.link */
    uint32_t unheard;       /* names */
    void (*on_heard)(void *arg);
    void *arg;
};

/* One worker's copy of a new set. */
struct update {
    struct sp_mail mail;
    struct sp_worker *worker;
    struct sp_resource *resource; /* a reference: found[].spec lives there */
    bool failed;
    uint32_t count;
    struct sp_endpoint_found found[];
};

static void on_update(struct sp_mail *mail)
{
    struct update *u = SP_CONTAINER(mail, struct update, mail);
    sp_worker_set_endpoints(u->worker, u->resource->name, u->found, u->count, u->failed);
    sp_resource_unref(u->resource);
    sp_mem_free(u);
}

static uint32_t total(const struct entry *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->count; i++)
        n += e->names[i].count;
    return n;
}

static void tell_workers(struct entry *e, bool failed)
{
    e->untold = e->untold && failed;
    for (uint32_t w = 0; w < e->process->worker_count; w++) {
        if (!e->process->workers[w])
            continue; /* it has ended already */
        struct update *u = sp_mem_zalloc(sizeof(*u) + total(e) * sizeof(u->found[0]));
        if (!u) {
            e->untold = true; /* the next answer tells, though it be the same */
            continue;
        }
        for (uint32_t i = 0; i < e->count; i++)
            for (uint32_t k = 0; k < e->names[i].count; k++)
                u->found[u->count++] = (struct sp_endpoint_found){ e->names[i].addrs[k], e->names[i].spec };
        u->mail.on_mail = on_update;
        u->worker = e->process->workers[w];
        u->failed = failed;
        sp_resource_ref(e->resource);
        u->resource = e->resource;
        sp_mail_post(u->worker->loop, &u->mail);
    }
}

static sp_ns wait_ns(const struct name *n, const struct sp_dns_answer *answer)
{
    const struct sp_cluster_spec *spec = n->entry->resource->cluster;
    sp_ns refresh = spec->dns_refresh_ns ? spec->dns_refresh_ns : REFRESH_NS_DEFAULT;
    if (answer->err)
        return spec->dns_failure_refresh_ns ? spec->dns_failure_refresh_ns : refresh;
    if (spec->dns_respect_ttl && answer->ttl_s)
        return (sp_ns)answer->ttl_s * SP_NS_PER_S;
    return refresh;
}

static bool is_same(const struct name *n, const struct sp_dns_answer *answer)
{
    if (!n->answered || n->count != answer->count)
        return false;
    for (uint32_t i = 0; i < n->count; i++)
        if (!sp_addr_eq(&n->addrs[i], &answer->addrs[i]))
            return false;
    return true;
}

static void hear(struct name *n)
{
    struct sp_resolve *resolve = n->entry->process->resolve;
    if (n->heard)
        return;
    n->heard = true;
    if (--resolve->unheard || !resolve->on_heard)
        return;
    void (*tell)(void *arg) = resolve->on_heard;
    resolve->on_heard = NULL;
    tell(resolve->arg);
}

static void take_answer(struct name *n, const struct sp_dns_answer *answer)
{
    if (answer->err) {
        tell_workers(n->entry, true);
        return;
    }
    if (is_same(n, answer) && !n->entry->untold)
        return;
    sp_addr *addrs = sp_mem_alloc((answer->count + 1) * sizeof(*addrs));
    if (!addrs)
        return;
    memcpy(addrs, answer->addrs, answer->count * sizeof(*addrs));
    sp_mem_free(n->addrs);
    n->addrs = addrs;
    n->count = answer->count;
    n->answered = true;
    tell_workers(n->entry, false);
}

static void on_answer(void *arg, const struct sp_dns_answer *answer)
{
    struct name *n = arg;
    n->query = NULL;
    sp_timer_set(n->entry->process->loop, &n->timer, wait_ns(n, answer));
    take_answer(n, answer);
    hear(n); /* behind the mail: whoever begins now finds it there */
}

static void ask(struct name *n)
{
    const struct sp_cluster_spec *spec = n->entry->resource->cluster;
    n->query = sp_dns_resolve(n->entry->process->dns, n->spec->host, n->spec->port,
                              (enum sp_dns_family)spec->dns_family, on_answer, n);
    if (!n->query)
        sp_timer_set(n->entry->process->loop, &n->timer, REFRESH_NS_DEFAULT);
}

static void on_timer(struct sp_timer *timer)
{
    ask(SP_CONTAINER(timer, struct name, timer));
}

static void entry_free(struct entry *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->names[i].query)
            sp_dns_cancel(e->names[i].query);
        sp_timer_stop(e->process->loop, &e->names[i].timer);
        if (e->names[i].spec && e->names[i].spec->host.len)
            hear(&e->names[i]); /* it is not waited for any more */
        sp_mem_free(e->names[i].addrs);
    }
    sp_list_remove(&e->link);
    sp_resource_unref(e->resource);
    sp_mem_free(e->names);
    sp_mem_free(e);
}

static sp_err entry_new(struct sp_process *process, struct sp_resource *resource)
{
    const struct sp_cluster_spec *spec = resource->cluster;
    struct entry *e = sp_mem_zalloc(sizeof(*e));
    struct name *names = sp_mem_zalloc((spec->endpoint_count + 1) * sizeof(*names));
    if (!e || !names) {
        sp_mem_free(e);
        sp_mem_free(names);
        return SP_E_NOMEM;
    }
    e->process = process;
    sp_resource_ref(resource);
    e->resource = resource;
    e->names = names;
    e->count = spec->endpoint_count;
    sp_list_push(&process->resolve->entries, &e->link);
    for (uint32_t i = 0; i < e->count; i++) {
        names[i].entry = e;
        names[i].spec = &spec->endpoints[i];
        names[i].timer.on_fire = on_timer;
        if (spec->endpoints[i].host.len) {
            process->resolve->unheard++;
            ask(&names[i]);
            continue;
        }
        names[i].addrs = sp_mem_alloc(sizeof(sp_addr)); /* an address among names */
        if (!names[i].addrs) {
            entry_free(e);
            return SP_E_NOMEM;
        }
        names[i].addrs[0] = spec->endpoints[i].addr;
        names[i].count = 1;
    }
    if (total(e))
        tell_workers(e, false);
    return 0;
}

static struct entry *find(struct sp_resolve *resolve, const struct sp_resource *resource)
{
    struct entry *e;
    SP_LIST_EACH(&resolve->entries, e, next, struct entry, link)
        if (e->resource == resource)
            return e;
    return NULL;
}

sp_err sp_resolve_update(struct sp_process *process)
{
    if (!process->dns)
        return 0;
    if (!process->resolve) {
        process->resolve = sp_mem_zalloc(sizeof(*process->resolve));
        if (!process->resolve)
            return SP_E_NOMEM;
        sp_list_init(&process->resolve->entries);
    }
    const struct sp_map *clusters = &process->snapshot->by_name[SP_RESOURCE_CLUSTER];
    struct entry *e;
    SP_LIST_EACH(&process->resolve->entries, e, next, struct entry, link)
        if (sp_map_get(clusters, e->resource->name) != e->resource)
            entry_free(e);
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(clusters, &at, &name, &value)) {
        struct sp_resource *resource = value;
        if (resource->cluster->kind != SP_CLUSTER_STRICT_DNS || find(process->resolve, resource))
            continue;
        sp_err err = entry_new(process, resource);
        if (err)
            return err;
    }
    return 0;
}

uint32_t sp_resolve_await(struct sp_process *process, void (*on_heard)(void *arg), void *arg)
{
    struct sp_resolve *resolve = process->resolve;
    if (!resolve)
        return 0;
    resolve->on_heard = resolve->unheard ? on_heard : NULL;
    resolve->arg = arg;
    return resolve->unheard;
}

void sp_resolve_free(struct sp_resolve *resolve)
{
    if (!resolve)
        return;
    resolve->on_heard = NULL;
    struct entry *e;
    SP_LIST_EACH(&resolve->entries, e, next, struct entry, link)
        entry_free(e);
    sp_mem_free(resolve);
}
