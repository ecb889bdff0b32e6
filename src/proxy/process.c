/* process: what outlives and joins the workers.
 *
 * Budgets of a cluster are kept by its name for the life of the process: a cluster that is taken out and
 * comes back finds what is still lent, and a changed limit holds at once for all workers. Names in
 * configuration are the operator's, so their number is bounded by what he wrote.
 *
 * A listener's limit of connections likewise: each worker has a listening socket of its own, and how the
 * kernel spreads callers over them is nothing that an operator could count with.
 *
 * Only the main thread changes what is here; workers read settings and take from budgets. */
#include "proxy/process.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "proxy/resolve.h"

enum { STREAMS_DEFAULT = 100000 };

sp_err sp_process_init(struct sp_process *process, struct sp_loop *loop, struct sp_log *log,
                       const struct sp_settings *settings, const struct sp_codec *const *codecs,
                       uint32_t workers)
{
    memset(process, 0, sizeof(*process));
    process->loop = loop;
    process->log = log;
    process->settings = settings;
    process->codecs = codecs;
    process->worker_count = workers;
    sp_budget_init(&process->connections, settings->max_connections ? settings->max_connections : UINT32_MAX,
                   workers);
    sp_budget_init(&process->streams, settings->max_streams ? settings->max_streams : STREAMS_DEFAULT,
                   workers);
    sp_map_init(&process->clusters, sp_rng_next(sp_loop_rng(loop)));
    sp_map_init(&process->listeners, sp_rng_next(sp_loop_rng(loop)));
    return 0;
}

static void free_all(struct sp_map *map)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(map, &at, &name, &value))
        sp_mem_free(value);
    sp_map_deinit(map);
}

void sp_process_deinit(struct sp_process *process)
{
    sp_resolve_free(process->resolve);
    free_all(&process->clusters);
    free_all(&process->listeners);
    if (process->snapshot)
        sp_snapshot_unref(process->snapshot);
    process->snapshot = NULL;
}

static void set_limits(struct sp_cluster_shared *shared, const struct sp_cluster_limits *limits,
                       uint32_t workers)
{
    sp_budget_set_limit(&shared->connections, limits->connections, workers);
    sp_budget_set_limit(&shared->pending, limits->pending, workers);
    sp_budget_set_limit(&shared->requests, limits->requests, workers);
    sp_budget_set_limit(&shared->retries, limits->retries, workers);
}

/* `bytes` of zeros with the name behind them; its first member is where the name is told. */
static void *make_share(struct sp_map *map, sp_str name, size_t bytes)
{
    char *share = sp_mem_zalloc(bytes + name.len);
    if (!share)
        return NULL;
    sp_str kept = sp_str_of(share + bytes, name.len);
    if (name.len)
        memcpy(share + bytes, name.ptr, name.len);
    memcpy(share, &kept, sizeof(kept));
    if (!sp_map_put(map, kept, share, NULL))
        return share;
    sp_mem_free(share);
    return NULL;
}

struct sp_cluster_shared *sp_process_cluster(struct sp_process *process, const struct sp_cluster_spec *spec)
{
    struct sp_cluster_shared *shared = sp_map_get(&process->clusters, spec->name);
    if (!shared)
        shared = make_share(&process->clusters, spec->name, sizeof(*shared));
    if (!shared)
        return NULL;
    set_limits(shared, &spec->limits, process->worker_count);
    return shared;
}

struct sp_listener_shared *sp_process_listener(struct sp_process *process,
                                               const struct sp_listener_spec *spec)
{
    struct sp_listener_shared *shared = sp_map_get(&process->listeners, spec->name);
    if (!shared)
        shared = make_share(&process->listeners, spec->name, sizeof(*shared));
    if (shared)
        sp_budget_set_limit(&shared->connections, spec->max_connections ? spec->max_connections : UINT32_MAX,
                            process->worker_count);
    return shared;
}

sp_err sp_process_share(struct sp_process *process, const struct sp_snapshot *snapshot)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_CLUSTER], &at, &name, &value))
        if (!sp_process_cluster(process, ((struct sp_resource *)value)->cluster))
            return SP_E_NOMEM;
    at = 0;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_LISTENER], &at, &name, &value))
        if (!sp_process_listener(process, ((struct sp_resource *)value)->listener))
            return SP_E_NOMEM;
    return 0;
}
