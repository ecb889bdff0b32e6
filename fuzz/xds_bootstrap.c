/* xds_bootstrap: any text, read as YAML, becomes settings and a snapshot or a list of errors. Read twice:
 * strictly, as a file is, and without rules and marks, as what comes by the wire may look. Whatever comes
 * of it: errors if and only if there is no snapshot, nothing left behind, and what was built can be looked
 * at. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "form/pb.h"
#include "form/read.h"
#include "model/logformat.h"
#include "xds/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static size_t look_at_table(const struct sp_route_table *table)
{
    size_t sum = 0;
    for (uint32_t i = 0; table && i < table->vhost_count; i++) {
        const struct sp_vhost *vhost = &table->vhosts[i];
        sum += vhost->name.len + vhost->route_count;
        for (uint32_t k = 0; k < vhost->domain_count; k++)
            sum += sp_route_table_vhost(table, vhost->domains[k]) != NULL;
        for (uint32_t k = 0; k < vhost->route_count; k++) {
            const struct sp_route *route = &vhost->routes[k];
            for (uint32_t n = 0; n < route->match.header_count; n++) {
                bool hit;
                sum += sp_match_test(&route->match.headers[n], SP_STR("value"), &hit) == 0;
            }
            must(!route->weighted_count || route->weight_total, "weights lead somewhere");
        }
    }
    return sum;
}

static void look_at_logs(const struct sp_chain_spec *chain)
{
    for (uint32_t i = 0; i < chain->log_count; i++) {
        struct sp_log_part *parts;
        uint32_t count;
        const char *why;
        struct sp_arena arena;
        sp_arena_init(&arena, NULL, 0, 1024, 0);
        must(sp_log_format_parse(chain->logs[i].text, &arena, &parts, &count, &why) == 0,
             "a format that was taken can be read");
        sp_arena_deinit(&arena);
    }
}

static size_t look_at(const struct sp_snapshot *snapshot)
{
    size_t sum = 0, at = 0;
    void *value;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_LISTENER], &at, NULL, &value)) {
        const struct sp_listener_spec *spec = ((struct sp_resource *)value)->listener;
        for (uint32_t i = 0; i < spec->chain_count; i++) {
            look_at_logs(&spec->chains[i]);
            sum += look_at_table(spec->chains[i].routes);
        }
    }
    at = 0;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_CLUSTER], &at, NULL, &value)) {
        const struct sp_cluster_spec *spec = ((struct sp_resource *)value)->cluster;
        for (uint32_t i = 0; i < spec->endpoint_count; i++) {
            must(spec->endpoints[i].addr.family || spec->endpoints[i].host.len, "an endpoint is somewhere");
            sum += spec->endpoints[i].hostname.len;
        }
    }
    return sum;
}

static void read_as(sp_str text, uint32_t flags)
{
    struct sp_arena arena, keep;
    struct sp_form_doc doc;
    struct sp_settings settings;
    struct sp_snapshot *snapshot = NULL;
    struct sp_buf said;
    void *msg = NULL;
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    sp_arena_init(&keep, NULL, 0, 4096, 0);
    sp_buf_init(&said, 0);
    must(sp_form_doc_init(&doc, &arena, "f.yaml") == 0, "memory is there");
    sp_err err = sp_form_read_yaml(&doc, &sp_pb_bootstrap_bootstrap_msg, text, flags | SP_FORM_GO_ON, &msg);
    if (msg) {
        sp_err meant = sp_xds_bootstrap(&doc, msg, &keep, &settings, &snapshot);
        must(!err || meant, "a broken text has no meaning");
        err = err ? err : meant;
    }
    must((err == 0) == (snapshot != NULL), "a snapshot or an error");
    must((err == 0) == (doc.errors_len == 0), "an error has words");
    sp_form_print_errors(&doc, &said);
    sp_arena_deinit(&arena); /* nothing that was built needs the message */
    if (snapshot) {
        volatile size_t sum = look_at(snapshot) + settings.node_id.len;
        (void)sum;
        sp_snapshot_seal(snapshot, 1);
    }
    sp_snapshot_unref(snapshot);
    sp_buf_deinit(&said);
    sp_arena_deinit(&keep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t blocks = sp_mem_live_blocks();
    read_as(sp_str_of(data, size), 0);
    read_as(sp_str_of(data, size), SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES);
    must(sp_mem_live_blocks() == blocks, "nothing is left behind");
    return 0;
}
