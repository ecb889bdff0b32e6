/* upgrade: a sidecar hands itself to a successor on the same machine, in one instant of the simulated world.
 *
 *      old workers ── records ──> (bytes, numbers of descriptors) ──> new workers, perhaps more or fewer
 *
 * Here both live in one process, so the old one leaves its descriptors before the new one adopts them; all
 * else is as cmd/sampan-proxy does it. Peers must not notice, and no counter may go back. */
#include "sim/mesh.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proxy/handoff.h"
#include "proxy/resolve.h"
#include "proxy/view.h"

/* --- figures -------------------------------------------------------------------------------------------- */

struct figure {
    char name[96];
    uint64_t value;
};

struct figures {
    struct sp_vec all; /* of struct figure */
};

static void add(struct figures *f, const char *kind, sp_str subject, const char *cell, uint64_t value)
{
    char name[96];
    snprintf(name, sizeof(name), "%s %.*s %s", kind, SP_STR_ARG(sp_str_upto(subject, 40)), cell);
    for (size_t i = 0; i < f->all.len; i++) {
        struct figure *at = sp_vec_at(&f->all, i);
        if (strcmp(at->name, name) != 0)
            continue;
        at->value += value;
        return;
    }
    struct figure *fresh = sp_vec_push(&f->all);
    SP_ASSERT(fresh);
    memcpy(fresh->name, name, sizeof(name));
    fresh->value = value;
}

static void add_cells(struct figures *f, const char *kind, sp_str subject, const void *cells,
                      const struct sp_cell_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(f, kind, subject, names[i].name, sp_cell_get((const sp_cell *)cells + i));
}

static void on_listener(void *arg, const struct sp_listener_spec *spec, const sp_addr *bound,
                        const struct sp_listener_cells *cells)
{
    (void)bound;
    add_cells(arg, "listener", spec->name, cells, sp_listener_cell_names, SP_COUNTOF(sp_listener_cell_names));
}

static void on_chain(void *arg, sp_str stat_prefix, const struct sp_chain_cells *cells,
                     const struct sp_hist *rq_time_ns)
{
    add_cells(arg, "chain", stat_prefix, cells, sp_chain_cell_names, SP_COUNTOF(sp_chain_cell_names));
    add(arg, "chain", stat_prefix, "times", sp_cell_get(&rq_time_ns->count));
}

static void on_cluster(void *arg, const struct sp_cluster_spec *spec, const struct sp_cluster_cells *cells,
                       const struct sp_hist *rq_time_ns)
{
    add_cells(arg, "cluster", spec->name, cells, sp_cluster_cell_names, SP_COUNTOF(sp_cluster_cell_names));
    add(arg, "cluster", spec->name, "times", sp_cell_get(&rq_time_ns->sum));
}

static void on_endpoint(void *arg, const struct sp_cluster_spec *spec, const sp_addr *addr,
                        const struct sp_endpoint_view *ep)
{
    char text[SP_ADDR_TEXT_BYTES];
    (void)spec;
    sp_str at = sp_str_of(text, sp_addr_print(addr, text, sizeof(text)));
    add(arg, "endpoint", at, "rq_total", ep->rq_total);
    add(arg, "endpoint", at, "rq_error", ep->rq_error);
    add(arg, "endpoint", at, "rq_active", ep->rq_active);
    add(arg, "endpoint", at, "cx_total", ep->cx_total);
}

static void on_tcp(void *arg, sp_str stat_prefix, const struct sp_tcp_cells *cells)
{
    add_cells(arg, "tcp", stat_prefix, cells, sp_tcp_cell_names, SP_COUNTOF(sp_tcp_cell_names));
}

static void on_series(void *arg, const struct sp_series *series)
{
    add(arg, "series", series->key.cluster, "requests", sp_cell_get(&series->requests));
    add(arg, "series", series->key.cluster, "times", sp_cell_get(&series->duration_ns.sum));
    add(arg, "series", series->key.cluster, "bytes", sp_cell_get(&series->tcp_sent));
}

static void on_worker(void *arg, uint32_t index, const struct sp_worker_cells *cells)
{
    (void)index;
    add(arg, "worker", SP_STR_NULL, "streams_total", sp_cell_get(&cells->streams_total));
    add(arg, "worker", SP_STR_NULL, "connections_total", sp_cell_get(&cells->connections_total));
    for (unsigned i = 0; i < SP_WHY_COUNT; i++)
        add(arg, "worker", sp_str_c(sp_why_row((enum sp_why)i)->code), "why", sp_cell_get(&cells->why[i]));
}

static void look(struct mesh_sidecar *s, struct figures *f)
{
    static const struct sp_view_ops ops = { .on_listener = on_listener,
                                            .on_chain = on_chain,
                                            .on_tcp = on_tcp,
                                            .on_cluster = on_cluster,
                                            .on_endpoint = on_endpoint,
                                            .on_series = on_series,
                                            .on_worker = on_worker };
    sp_vec_init(&f->all, sizeof(struct figure));
    for (uint32_t i = 0; i < s->worker_count; i++)
        sp_worker_walk(&s->workers[i], &ops, f);
}

/* Lines that were connecting are counted again: gauges of connections may fall, nothing else may. */
static void check_figures(struct mesh *mesh, const struct figures *before, const struct figures *after)
{
    for (size_t i = 0; i < before->all.len; i++) {
        const struct figure *b = sp_vec_at(&before->all, i);
        uint64_t now = 0;
        for (size_t k = 0; k < after->all.len; k++) {
            const struct figure *a = sp_vec_at(&after->all, k);
            if (strcmp(a->name, b->name) == 0)
                now = a->value;
        }
        bool anew = strstr(b->name, "cx_active") || strncmp(b->name, "endpoint", 8) == 0;
        if (now < b->value && !(anew && strstr(b->name, "active")))
            mesh_fail(mesh, "%s was %llu and is %llu after an upgrade", b->name, (unsigned long long)b->value,
                      (unsigned long long)now);
    }
}

/* --- the walk ------------------------------------------------------------------------------------------- */

/* What is told ahead, if anything is. */
struct told {
    struct sp_ahead *of[MESH_WORKERS_MAX];
    struct sp_vec parts; /* of struct sp_record_writer */
};

/* The world goes on between two parts, and behind the last. */
static void tell_ahead(struct mesh_sidecar *s, struct told *told)
{
    struct mesh *mesh = s->mesh;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        bool more = true;
        told->of[i] = sp_ahead_new(&s->workers[i]);
        SP_ASSERT(told->of[i]);
        while (more) {
            struct sp_record_writer *part = sp_vec_push(&told->parts);
            SP_ASSERT(part);
            sp_record_writer_init(part, NULL);
            more = sp_ahead_save(told->of[i], part, 1 + (uint32_t)mesh_below(mesh, 8));
            if (part->err)
                mesh_fail(mesh, "nothing can be told ahead: %s", part->trouble);
            for (uint64_t steps = mesh_below(mesh, 12); steps; steps--)
                SP_IGNORE(sp_sim_step(mesh->sim)); /* a world without events stays as it is */
        }
    }
}

static void forget_told(struct told *told)
{
    for (size_t i = 0; i < told->parts.len; i++)
        sp_record_writer_deinit(sp_vec_at(&told->parts, i));
    sp_vec_deinit(&told->parts);
    for (uint32_t i = 0; i < MESH_WORKERS_MAX; i++)
        sp_ahead_free(told->of[i]);
}

static void save(struct mesh_sidecar *s, struct sp_record_writer *writer, const struct told *told)
{
    sp_record_writer_init(writer, NULL);
    sp_process_save(&s->process, writer);
    for (uint32_t i = 0; i < s->worker_count; i++)
        sp_worker_save_rest(&s->workers[i], writer, told->of[i]);
    if (writer->err)
        mesh_fail(s->mesh, "a sidecar cannot be saved: %s: %s", sp_err_str(writer->err), writer->trouble);
}

/* The old process is no more; its descriptors are. */
static void leave(struct mesh_sidecar *s)
{
    s->up = false;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        sp_worker_leave(&s->workers[i], false);
        sp_loop_free(s->loops[i]);
    }
    sp_process_deinit(&s->process);
    sp_dns_free(s->process.dns);
    sp_loop_free(s->main);
    sp_snapshot_unref(s->next);
    sp_list_remove(&s->link);
    sp_mem_free(s);
}

static void configure_worker(struct mesh_sidecar *s, uint32_t worker, struct sp_handoff_listener *found,
                             uint32_t count)
{
    sp_str *names = sp_mem_alloc((count + 1) * sizeof(*names));
    int *fds = sp_mem_alloc((count + 1) * sizeof(*fds));
    SP_ASSERT(names && fds);
    struct sp_listen_fds given = { .names = names, .fds = fds, .only = true };
    for (uint32_t i = 0; i < count; i++) {
        if (found[i].to != worker || found[i].extra)
            continue;
        names[given.count] = found[i].name;
        fds[given.count++] = found[i].fd;
    }
    sp_err err = sp_worker_apply(&s->workers[worker], s->process.snapshot, &given);
    for (uint32_t i = 0; i < count && !err; i++)
        if (found[i].to == worker && found[i].extra)
            err = sp_worker_add_door(&s->workers[worker], found[i].name, found[i].fd);
    sp_mem_free(names);
    sp_mem_free(fds);
    if (err)
        mesh_fail(s->mesh, "the successor cannot be configured: %s", sp_err_str(err));
}

static void configure(struct mesh_sidecar *s, struct sp_handoff_listener *found, uint32_t count)
{
    size_t at = 0;
    void *value;
    bool names = false;
    SP_ASSERT(!sp_process_share(&s->process, s->process.snapshot));
    while (sp_map_next(&s->process.snapshot->by_name[SP_RESOURCE_CLUSTER], &at, NULL, &value))
        names |= ((struct sp_resource *)value)->cluster->kind == SP_CLUSTER_STRICT_DNS;
    sp_handoff_spread(found, count, s->worker_count);
    for (uint32_t i = 0; i < s->worker_count; i++)
        configure_worker(s, i, found, count);
    if (names)
        s->process.dns = sp_dns_new(s->main);
    if (names)
        SP_ASSERT(s->process.dns && !sp_resolve_update(&s->process));
}

static const struct sp_sock_ops no_ops;

static int nobodys_fd(struct mesh_sidecar *s)
{
    struct sp_sock sock;
    const sp_addr nowhere = { .family = SP_ADDR_IP4, .port = 9, .ip = { 192, 0, 2, 1 } };
    SP_ASSERT(!sp_sock_connect(&sock, s->loops[0], &no_ops, &nowhere, NULL, 0));
    return sp_sock_detach(&sock);
}

/* Is it still that of a line that was told, and not told again with the freeze? */
static bool is_left(struct mesh_sidecar *s, const struct sp_record_writer *rest, int fd)
{
    struct sp_sock sock;
    for (uint32_t i = 0; i < rest->fd_count; i++)
        if (rest->fds[i] == fd)
            return false;
    if (sp_sock_open_fd(&sock, s->loops[0], &no_ops, fd)) /* closed, or somebody else's by now */
        return false;
    SP_IGNORE(sp_sock_detach(&sock));
    return true;
}

/* A descriptor told ahead was a copy. Here numbers cannot be copied, so one whose connection comes with the
 * freeze, or has ended, is replaced by one that leads nowhere: whoever uses it loses a call. A number that
 * was told twice was closed in between, the last is meant. Replacements come last: they take free numbers. */
static void settle_copies(struct mesh_sidecar *s, struct told *told, const struct sp_record_writer *rest)
{
    struct sp_idmap seen;
    sp_idmap_init(&seen);
    for (size_t p = told->parts.len; p--;) {
        struct sp_record_writer *part = sp_vec_at(&told->parts, p);
        for (uint32_t i = part->fd_count; i--;) {
            int fd = part->fds[i];
            if (sp_idmap_get(&seen, (uint64_t)fd) || !is_left(s, rest, fd))
                part->fds[i] = -1;
            else
                SP_ASSERT(!sp_idmap_put(&seen, (uint64_t)fd, told));
        }
    }
    sp_idmap_deinit(&seen);
    for (size_t p = 0; p < told->parts.len; p++) {
        struct sp_record_writer *part = sp_vec_at(&told->parts, p);
        for (uint32_t i = 0; i < part->fd_count; i++)
            if (part->fds[i] < 0)
                part->fds[i] = nobodys_fd(s);
    }
}

static sp_err load_records(struct sp_handoff *handoff, struct sp_record_reader *reader)
{
    uint16_t kind;
    int more;
    sp_err err = 0;
    while (!err && (more = sp_record_next(reader, &kind)) != 0)
        err = more < 0 ? (sp_err)more : sp_handoff_load(handoff, reader, kind);
    return err;
}

static void check_loaded(struct mesh_sidecar *s, const struct sp_record_reader *reader, sp_err err)
{
    if (err)
        mesh_fail(s->mesh, "the successor refuses: %s: %s", sp_err_str(err), reader->trouble);
    for (uint32_t i = 0; i < reader->fd_count; i++)
        if (reader->fds[i] >= 0)
            mesh_fail(s->mesh, "descriptor %d belongs to nobody", reader->fds[i]);
}

static void load_part(struct mesh_sidecar *s, struct sp_handoff *handoff, const struct sp_record_writer *part)
{
    struct sp_record_reader reader;
    sp_record_reader_init(&reader, sp_buf_str(&part->out), part->fds, part->fd_count);
    sp_err err = load_records(handoff, &reader);
    check_loaded(s, &reader, err ? err : sp_handoff_end_part(handoff, &reader));
}

static void load(struct mesh_sidecar *s, struct sp_record_reader *reader, const struct told *told)
{
    struct sp_worker *workers[MESH_WORKERS_MAX];
    struct sp_handoff *handoff;
    for (uint32_t i = 0; i < s->worker_count; i++)
        workers[i] = &s->workers[i];
    SP_ASSERT(!sp_handoff_begin(workers, s->worker_count, &handoff));
    for (size_t i = 0; i < told->parts.len; i++)
        load_part(s, handoff, sp_vec_at(&told->parts, i));
    sp_err err = load_records(handoff, reader);
    check_loaded(s, reader, err ? err : sp_handoff_end(handoff, reader));
    sp_handoff_free(handoff);
}

struct mesh_sidecar *mesh_upgrade(struct mesh_sidecar *old, uint32_t workers)
{
    return mesh_upgrade_by(old, workers, NULL, NULL);
}

struct mesh_sidecar *mesh_upgrade_by(struct mesh_sidecar *old, uint32_t workers,
                                     void (*on_records)(void *arg, struct sp_record_writer *writer),
                                     void *arg)
{
    struct mesh *mesh = old->mesh;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    struct sp_handoff_listener *found = NULL;
    struct figures before, after;
    struct told told = { 0 };
    uint32_t count = 0;
    sp_vec_init(&told.parts, sizeof(struct sp_record_writer));
    if (!on_records && mesh_chance(mesh, 700))
        tell_ahead(old, &told);
    sp_loop_turn(old->main, 0);
    for (uint32_t i = 0; i < old->worker_count; i++)
        sp_loop_turn(old->loops[i], 0); /* orders that are in the mail */
    look(old, &before);
    save(old, &writer, &told);
    if (on_records)
        on_records(arg, &writer);
    struct mesh_sidecar *s = mesh_sidecar_beside(old, workers);
    s->settings = old->settings;
    s->versions = old->versions;
    s->process.snapshot = sp_snapshot_new(old->process.snapshot);
    SP_ASSERT(s->process.snapshot);
    sp_snapshot_seal(s->process.snapshot, ++s->versions);
    sp_snapshot_unref(s->next);
    s->next = sp_snapshot_new(s->process.snapshot);
    SP_ASSERT(s->next);
    leave(old);

    sp_record_reader_init(&reader, sp_buf_str(&writer.out), writer.fds, writer.fd_count);
    if (sp_handoff_listeners(&reader, &found, &count))
        mesh_fail(mesh, "listeners cannot be read: %s", reader.trouble);
    configure(s, found, count);
    settle_copies(s, &told, &writer);
    load(s, &reader, &told);
    sp_mem_free(found);
    forget_told(&told);
    look(s, &after);
    if (!on_records)
        check_figures(mesh, &before, &after);
    sp_vec_deinit(&before.all);
    sp_vec_deinit(&after.all);
    sp_record_writer_deinit(&writer);
    for (uint32_t i = 0; i < workers; i++)
        SP_IGNORE(sp_worker_open(&s->workers[i])); /* without descriptors the others accept */
    mesh->upgrades_done++;
    return s;
}
