/* cluster: endpoints of a cluster as one worker sees them, and their lives across changes.
 *
 * A new set is merged into the old: an endpoint whose address stays keeps its lines, its figures and its
 * calls; one that went is `gone`: no new call, idle lines closed, freed when the last line and call have left
 * (users). Nothing learnt at run time lives in the configuration, so a snapshot can be swapped at any turn.
 *
 * ORIGINAL_DST clusters make an endpoint for each destination that a call asks for and drop it when a tick
 * finds it unused; their number has a limit, because a destination is the caller's word.
 *
 * A cluster taken out of the configuration goes the same way: gone, then freed with its last call. */
#include "proxy/cluster.h"

#include <string.h>

#include "base/mem.h"
#include "proxy/line.h"
#include "proxy/worker.h"

enum { DST_ENDPOINTS_MAX = 10000 };

/* ---- endpoints ---- */

/* What configuration says of it, and its address's path, in words of our own; the old ones go. */
static sp_err set_words(struct sp_endpoint *ep, const struct sp_endpoint_spec *spec)
{
    sp_str strs[] = {
        spec ? sp_endpoint_hostname(spec) : SP_STR_NULL,
        spec ? spec->workload : SP_STR_NULL,
        spec ? spec->workload_namespace : SP_STR_NULL,
        ep->addr.family == SP_ADDR_UNIX ? sp_str_of(ep->addr.path, strlen(ep->addr.path) + 1) : SP_STR_NULL,
    };
    sp_str *into[] = { &ep->hostname, &ep->workload, &ep->workload_namespace };
    char *text = sp_mem_alloc(strs[0].len + strs[1].len + strs[2].len + strs[3].len + 1), *at = text;
    if (!text)
        return SP_E_NOMEM;
    for (unsigned i = 0; i < SP_COUNTOF(strs); i++) {
        if (strs[i].len)
            memcpy(at, strs[i].ptr, strs[i].len);
        if (i < SP_COUNTOF(into))
            *into[i] = sp_str_of(at, strs[i].len);
        else if (strs[i].len)
            ep->addr.path = at;
        at += strs[i].len;
    }
    sp_mem_free(ep->text);
    ep->text = text;
    ep->last_series = NULL; /* its labels were the old words */
    return 0;
}

static struct sp_endpoint *endpoint_new(struct sp_cluster *cluster, const sp_addr *addr,
                                        const struct sp_endpoint_spec *spec)
{
    struct sp_endpoint *ep = sp_mem_zalloc(sizeof(*ep));
    if (!ep)
        return NULL;
    ep->addr = *addr;
    if (set_words(ep, spec)) {
        sp_mem_free(ep);
        return NULL;
    }
    ep->cluster = cluster;
    sp_list_init(&ep->idle);
    sp_list_init(&ep->busy);
    sp_list_init(&ep->connecting);
    sp_list_init(&ep->lingering);
    sp_list_init(&ep->pending);
    sp_list_push(&cluster->all, &ep->link);
    return ep;
}

static void endpoint_free(struct sp_endpoint *ep)
{
    SP_ASSERT(ep->users == 0 && sp_list_is_empty(&ep->pending) && sp_list_is_empty(&ep->idle));
    sp_list_remove(&ep->link);
    sp_mem_free(ep->text);
    sp_mem_free(ep);
}

static void cluster_free_now(struct sp_cluster *cluster);

static bool is_unused(const struct sp_cluster *cluster)
{
    return cluster->gone && cluster->users == 0 && sp_list_is_empty(&cluster->all);
}

void sp_endpoint_unuse(struct sp_endpoint *ep)
{
    struct sp_cluster *cluster = ep->cluster;
    SP_ASSERT(ep->users > 0);
    if (--ep->users || !ep->gone)
        return;
    endpoint_free(ep);
    if (is_unused(cluster))
        cluster_free_now(cluster);
}

/* Address, port and family lie one behind the other. */
static sp_str dst_key(const sp_addr *addr)
{
    return sp_str_of(addr, offsetof(sp_addr, family) + sizeof(addr->family));
}

/* No new call; what it has ends by itself. */
static void endpoint_leave(struct sp_endpoint *ep)
{
    if (ep->gone)
        return;
    ep->users++;
    ep->gone = true;
    if (ep->original_dst)
        sp_map_remove(&ep->cluster->by_dst, dst_key(&ep->addr));
    sp_pool_close_idle(ep);
    sp_endpoint_unuse(ep);
}

static bool has_same_words(const struct sp_endpoint *ep, const struct sp_endpoint_spec *spec)
{
    return sp_str_eq(ep->hostname, sp_endpoint_hostname(spec)) && sp_str_eq(ep->workload, spec->workload) &&
           sp_str_eq(ep->workload_namespace, spec->workload_namespace);
}

static void describe(struct sp_endpoint *ep, const struct sp_endpoint_spec *spec)
{
    ep->weight = spec && spec->weight ? spec->weight : 1;
    ep->priority = spec ? spec->priority : 0;
    ep->healthy = spec ? spec->healthy : true;
}

/* While a set is merged; else no mark is set. */
enum { MARK_OLD = 1, MARK_NEW = 2 };

static sp_str addr_key(const sp_addr *addr)
{
    return addr->family == SP_ADDR_UNIX ? sp_str_c(addr->path) : dst_key(addr);
}

/* The endpoints of `found`, known ones and fresh ones, into `set`; by_addr holds the known ones. */
static sp_err gather(struct sp_cluster *cluster, const struct sp_endpoint_found *found, uint32_t count,
                     struct sp_map *by_addr, struct sp_endpoint **set, uint32_t *ret_count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sp_endpoint *ep = sp_map_get(by_addr, addr_key(&found[i].addr));
        if (ep && ep->mark & MARK_NEW)
            continue; /* the same address twice is one endpoint */
        if (!ep) {
            ep = endpoint_new(cluster, &found[i].addr, found[i].spec);
            if (!ep)
                return SP_E_NOMEM;
        }
        ep->mark |= MARK_NEW;
        set[(*ret_count)++] = ep;
        describe(ep, found[i].spec);
        if (found[i].spec && !has_same_words(ep, found[i].spec) && set_words(ep, found[i].spec))
            return SP_E_NOMEM;
        if (!(ep->mark & MARK_OLD) && sp_map_put(by_addr, addr_key(&ep->addr), ep, NULL))
            return SP_E_NOMEM;
    }
    return 0;
}

/* Marks tell who is in both: those with `mark` alone leave. */
static void part(struct sp_endpoint **set, uint32_t count, uint8_t mark)
{
    for (uint32_t i = 0; i < count; i++)
        if (set[i]->mark == mark)
            endpoint_leave(set[i]);
}

static void unmark(struct sp_endpoint **set, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        set[i]->mark = 0;
}

sp_err sp_cluster_set_endpoints(struct sp_cluster *cluster, const struct sp_endpoint_found *found,
                                uint32_t count)
{
    struct sp_endpoint **before = cluster->set, **set = sp_mem_alloc((count + 1) * sizeof(*set));
    uint32_t before_count = cluster->set_count, n = 0;
    struct sp_map by_addr;
    if (!set)
        return SP_E_NOMEM;
    sp_map_init(&by_addr, sp_rng_next(sp_loop_rng(cluster->worker->loop)));
    sp_err err = 0;
    for (uint32_t i = 0; i < before_count; i++) {
        before[i]->mark = MARK_OLD;
        if (sp_map_put(&by_addr, addr_key(&before[i]->addr), before[i], NULL))
            err = SP_E_NOMEM;
    }
    if (!err)
        err = gather(cluster, found, count, &by_addr, set, &n);
    if (!err)
        err = sp_balance_set(&cluster->balance, set, n);
    sp_map_deinit(&by_addr);
    if (err) {
        unmark(before, before_count);
        part(set, n, MARK_NEW); /* the fresh ones: the others have no mark any more */
        sp_mem_free(set);
        return err;
    }
    cluster->set = set;
    cluster->set_count = n;
    unmark(set, n);
    part(before, before_count, MARK_OLD);
    sp_mem_free(before);
    return 0;
}

/* ---- the cluster ---- */

static sp_err set_static(struct sp_cluster *cluster)
{
    const struct sp_cluster_spec *spec = cluster->spec;
    if (spec->kind != SP_CLUSTER_STATIC)
        return 0;
    struct sp_endpoint_found *found = sp_mem_alloc((spec->endpoint_count + 1) * sizeof(*found));
    if (!found)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < spec->endpoint_count; i++)
        found[i] = (struct sp_endpoint_found){ spec->endpoints[i].addr, &spec->endpoints[i] };
    sp_err err = sp_cluster_set_endpoints(cluster, found, spec->endpoint_count);
    sp_mem_free(found);
    return err;
}

sp_err sp_cluster_new(struct sp_worker *worker, struct sp_resource *resource,
                      struct sp_cluster_shared *shared, struct sp_cluster **ret_cluster)
{
    struct sp_cluster *cluster = sp_mem_zalloc(sizeof(*cluster));
    if (!cluster)
        return SP_E_NOMEM;
    cluster->worker = worker;
    cluster->shared = shared;
    sp_resource_ref(resource);
    cluster->resource = resource;
    cluster->spec = resource->cluster;
    sp_list_init(&cluster->all);
    sp_map_init(&cluster->by_dst, sp_rng_next(sp_loop_rng(worker->loop)));
    sp_lease_init(&cluster->connections, &shared->connections);
    sp_lease_init(&cluster->pending, &shared->pending);
    sp_lease_init(&cluster->requests, &shared->requests);
    sp_lease_init(&cluster->retries, &shared->retries);
    cluster->limits.whole_bytes = SP_LINE_WHOLE_BYTES;
    sp_hist_init(&cluster->rq_time_ns);
    sp_err err = sp_balance_init(&cluster->balance, cluster->spec, sp_loop_rng(worker->loop));
    if (!err)
        err = set_static(cluster);
    if (err) {
        sp_cluster_free(cluster);
        return err;
    }
    *ret_cluster = cluster;
    return 0;
}

static void cluster_free_now(struct sp_cluster *cluster)
{
    sp_list_remove(&cluster->link);
    sp_map_deinit(&cluster->by_dst);
    sp_lease_deinit(&cluster->connections);
    sp_lease_deinit(&cluster->pending);
    sp_lease_deinit(&cluster->requests);
    sp_lease_deinit(&cluster->retries);
    sp_hist_deinit(&cluster->rq_time_ns);
    sp_resource_unref(cluster->resource);
    sp_mem_free(cluster);
}

void sp_cluster_free(struct sp_cluster *cluster)
{
    cluster->users++;
    cluster->gone = true;
    sp_list_push(&cluster->worker->gone_clusters, &cluster->link);
    sp_balance_deinit(&cluster->balance); /* a call that tries again finds nobody, and not who has left */
    sp_mem_free(cluster->set);
    cluster->set = NULL;
    cluster->set_count = 0;
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link)
        endpoint_leave(ep);
    sp_cluster_unuse(cluster);
}

void sp_cluster_unuse(struct sp_cluster *cluster)
{
    SP_ASSERT(cluster->users > 0);
    cluster->users--;
    if (is_unused(cluster))
        cluster_free_now(cluster);
}

sp_err sp_cluster_update(struct sp_cluster *cluster, struct sp_resource *resource)
{
    struct sp_resource *before = cluster->resource;
    const struct sp_cluster_spec *spec_before = cluster->spec;
    struct sp_balance balance;
    sp_err err = sp_balance_init(&balance, resource->cluster, sp_loop_rng(cluster->worker->loop));
    if (err)
        return err;
    struct sp_balance balance_before = cluster->balance;
    cluster->balance = balance;
    cluster->spec = resource->cluster;
    sp_resource_ref(resource);
    cluster->resource = resource;
    if (cluster->spec->kind == SP_CLUSTER_STATIC)
        err = set_static(cluster);
    else if (cluster->spec->kind == SP_CLUSTER_ORIGINAL_DST) /* calls say where: there is no set */
        err = sp_cluster_set_endpoints(cluster, NULL, 0);
    else
        err = sp_balance_set(&cluster->balance, cluster->set, cluster->set_count);
    if (err) {
        sp_balance_deinit(&cluster->balance);
        cluster->balance = balance_before;
        cluster->spec = spec_before;
        cluster->resource = before;
        sp_resource_unref(resource);
        return err;
    }
    sp_balance_deinit(&balance_before);
    sp_resource_unref(before);
    return 0;
}

/* ---- hand-over ---- */

/* Records come in the order of the saver's list, which mostly is ours: the head is moved behind what was
 * found, so the next one stands first. To begin at the same end each time keeps callers waiting where there
 * are thousands. */
static struct sp_endpoint *find_endpoint(struct sp_cluster *cluster, const sp_addr *addr)
{
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        if (!sp_addr_eq(&ep->addr, addr))
            continue;
        sp_list_remove(&cluster->all);
        sp_list_push_first(&ep->link, &cluster->all);
        return ep;
    }
    return NULL;
}

static bool join_set(struct sp_cluster *cluster, struct sp_endpoint *ep)
{
    struct sp_endpoint **set = sp_mem_alloc((cluster->set_count + 2) * sizeof(struct sp_endpoint *));
    if (!set)
        return false;
    for (uint32_t i = 0; i < cluster->set_count; i++)
        set[i] = cluster->set[i];
    set[cluster->set_count] = ep;
    if (sp_balance_set(&cluster->balance, set, cluster->set_count + 1)) {
        sp_mem_free(set);
        return false;
    }
    sp_mem_free(cluster->set);
    cluster->set = set;
    cluster->set_count++;
    return true;
}

struct sp_endpoint *sp_cluster_adopt(struct sp_cluster *cluster, const struct sp_endpoint_past *past)
{
    enum sp_cluster_kind kind = cluster->spec->kind;
    struct sp_endpoint *ep = past->addr.family ? find_endpoint(cluster, &past->addr) : NULL;
    if (ep || past->addr.family == SP_ADDR_NONE)
        return ep;
    ep = endpoint_new(cluster, &past->addr, &past->spec);
    if (!ep)
        return NULL;
    describe(ep, &past->spec);
    bool fails = false;
    if (kind == SP_CLUSTER_ORIGINAL_DST && past->original_dst && !past->gone) {
        fails = sp_map_put(&cluster->by_dst, dst_key(&ep->addr), ep, NULL) != 0;
        ep->original_dst = !fails;
    } else if (kind == SP_CLUSTER_STRICT_DNS && !cluster->resolved && !past->gone) {
        fails = !join_set(cluster, ep);
    } else {
        ep->gone = true; /* until sp_cluster_settle: somebody may use it */
    }
    if (fails) {
        endpoint_free(ep);
        return NULL;
    }
    return ep;
}

void sp_cluster_settle(struct sp_cluster *cluster)
{
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link)
        if (ep->gone && ep->users == 0)
            endpoint_free(ep);
}

static struct sp_endpoint *pick_dst(struct sp_cluster *cluster, const sp_addr *dst, enum sp_why *ret_why)
{
    if (!dst) {
        *ret_why = SP_WHY_NO_ORIGINAL_DST;
        return NULL;
    }
    sp_str key = dst_key(dst);
    struct sp_endpoint *ep = sp_map_get(&cluster->by_dst, key);
    if (ep)
        return ep;
    *ret_why = SP_WHY_MEMORY;
    if (cluster->by_dst.len >= DST_ENDPOINTS_MAX) {
        *ret_why = SP_WHY_POOL_FULL;
        return NULL;
    }
    ep = endpoint_new(cluster, dst, NULL);
    if (!ep)
        return NULL;
    describe(ep, NULL);
    if (sp_map_put(&cluster->by_dst, dst_key(&ep->addr), ep, NULL)) {
        endpoint_leave(ep);
        return NULL;
    }
    ep->original_dst = true;
    return ep;
}

struct sp_endpoint *sp_cluster_pick(struct sp_cluster *cluster, const struct sp_balance_key *key,
                                    const sp_addr *dst, enum sp_why *ret_why)
{
    if (cluster->gone) { /* a call that tries again: its cluster has left the configuration meanwhile */
        *ret_why = SP_WHY_NO_CLUSTER;
        return NULL;
    }
    if (cluster->spec->kind == SP_CLUSTER_ORIGINAL_DST)
        return pick_dst(cluster, dst, ret_why);
    struct sp_endpoint *ep = sp_balance_pick(&cluster->balance, key);
    if (!ep)
        *ret_why = cluster->spec->kind == SP_CLUSTER_STRICT_DNS && cluster->set_count == 0
                       ? SP_WHY_DNS
                       : SP_WHY_NO_HEALTHY;
    return ep;
}

void sp_cluster_tick(struct sp_cluster *cluster)
{
    sp_lease_idle(&cluster->connections);
    sp_lease_idle(&cluster->pending);
    sp_lease_idle(&cluster->requests);
    sp_lease_idle(&cluster->retries);
    if (cluster->by_dst.len == 0)
        return;
    struct sp_endpoint *ep;
    SP_LIST_EACH(&cluster->all, ep, next, struct sp_endpoint, link) {
        if (ep->original_dst && !ep->users)
            endpoint_leave(ep);
    }
}
