/* process: what outlives and joins the workers.
 *
 * Budgets of a cluster are kept by its name for the life of the process: a cluster that is taken out and
 * comes back finds what is still lent, and a changed limit holds at once for all workers. Names in
 * configuration are the operator's, so their number is bounded by what he wrote.
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
    return 0;
}

void sp_process_deinit(struct sp_process *process)
{
    sp_resolve_free(process->resolve);
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&process->clusters, &at, &name, &value))
        sp_mem_free(value);
    sp_map_deinit(&process->clusters);
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

struct sp_cluster_shared *sp_process_cluster(struct sp_process *process, const struct sp_cluster_spec *spec)
{
    struct sp_cluster_shared *shared = sp_map_get(&process->clusters, spec->name);
    if (!shared) {
        shared = sp_mem_zalloc(sizeof(*shared) + spec->name.len);
        if (!shared)
            return NULL;
        char *name = (char *)(shared + 1);
        memcpy(name, spec->name.ptr, spec->name.len);
        shared->name = sp_str_of(name, spec->name.len);
        if (sp_map_put(&process->clusters, shared->name, shared, NULL)) {
            sp_mem_free(shared);
            return NULL;
        }
    }
    set_limits(shared, &spec->limits, process->worker_count);
    return shared;
}
