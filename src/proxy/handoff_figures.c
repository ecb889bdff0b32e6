/* handoff_figures: counters, histograms and series, on their way to another process.
 *
 * What was counted here is added to what has been counted there, so that the sum over the workers is the same
 * whatever their number; a scrape in the next second sees no counter go back. Gauges are not told: each thing
 * that is under way counts itself when it is loaded.
 *
 * Reasons and series are told by the codes that the log knows, and not by their places in an enum, which move
 * when a reason is added. All of this is `spare`: an older build that lacks a counter loses that counter, and
 * nothing else. */
#include "base/buf.h"
#include "proxy/handoff_impl.h"

struct worker_record {
    uint32_t index;
    uint64_t now_ns;
    struct sp_worker_cells cells;
    sp_cell bytes_in, bytes_out, writes, copied_bytes; /* of its link */
};

#define RECORD worker_record
#define CELL(number, member) SP_RECORD_SPARE(number, CELL, RECORD, member)
static const struct sp_record_field worker_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, index),
    SP_RECORD_FIELD(2, U64, RECORD, now_ns),
    CELL(10, cells.streams_total),
    CELL(11, cells.streams_refused),
    CELL(12, cells.memory_refused),
    CELL(13, cells.connections_total),
    CELL(14, cells.reports_lost),
    CELL(15, cells.series_overflow),
    CELL(16, cells.snapshots),
    CELL(17, cells.accept_errors),
    CELL(60, bytes_in),
    CELL(61, bytes_out),
    CELL(62, writes),
    CELL(63, copied_bytes),
};
const struct sp_record_kind sp_handoff_worker_kind = SP_RECORD_KIND(SP_KIND_WORKER, false, "worker", RECORD,
                                                                    worker_fields);
#undef RECORD

struct why_record {
    sp_str code;
    sp_cell count;
};

#define RECORD why_record
static const struct sp_record_field why_fields[] = {
    SP_RECORD_SPARE(1, BYTES, RECORD, code),
    CELL(2, count),
};
const struct sp_record_kind sp_handoff_why_kind = SP_RECORD_KIND(SP_KIND_WHY, true, "reason", RECORD,
                                                                 why_fields);
#undef RECORD

struct series_record {
    uint8_t direction, protocol;
    uint16_t status;
    sp_str why;
    bool app_error, overflow;
    sp_str cluster, workload, workload_namespace;
    sp_cell requests, tcp_opened, tcp_closed, tcp_sent, tcp_received;
    sp_str duration_ns, request_bytes, response_bytes; /* histograms */
};

#define RECORD series_record
static const struct sp_record_field series_fields[] = {
    SP_RECORD_SPARE(1, U8, RECORD, direction),
    SP_RECORD_SPARE(2, U8, RECORD, protocol),
    SP_RECORD_SPARE(3, U16, RECORD, status),
    SP_RECORD_SPARE(4, BYTES, RECORD, why),
    SP_RECORD_SPARE(5, BOOL, RECORD, app_error),
    SP_RECORD_SPARE(6, BOOL, RECORD, overflow),
    SP_RECORD_SPARE(7, BYTES, RECORD, cluster),
    SP_RECORD_SPARE(8, BYTES, RECORD, workload),
    SP_RECORD_SPARE(9, BYTES, RECORD, workload_namespace),
    CELL(10, requests),
    CELL(11, tcp_opened),
    CELL(12, tcp_closed),
    CELL(13, tcp_sent),
    CELL(14, tcp_received),
    SP_RECORD_SPARE(15, BYTES, RECORD, duration_ns),
    SP_RECORD_SPARE(16, BYTES, RECORD, request_bytes),
    SP_RECORD_SPARE(17, BYTES, RECORD, response_bytes),
};
const struct sp_record_kind sp_handoff_series_kind = SP_RECORD_KIND(SP_KIND_SERIES, true, "series", RECORD,
                                                                    series_fields);
#undef RECORD

/* directions and protocols that series and streams write */
_Static_assert(SP_DIRECTION_INBOUND == 1 && SP_DIRECTION_OUTBOUND == 2, "written as numbers");
_Static_assert(SP_PROTO_TCP == 1 && SP_PROTO_HTTP1 == 2 && SP_PROTO_BOLT == 3 && SP_PROTO_BOLT2 == 4,
               "written as numbers");

/* ---- saving ---- */

static void save_series(struct sp_saver *saver, const struct sp_series *s)
{
    const struct sp_series *over = sp_map_get(&saver->worker->series_by_key, SP_STR("overflow"));
    struct series_record record = {
        .direction = s->key.direction,
        .protocol = s->key.protocol,
        .status = s->key.status,
        .why = sp_saver_why(s->key.why),
        .app_error = s->key.app_error,
        .overflow = s == over,
        .cluster = s->key.cluster,
        .workload = s->key.workload,
        .workload_namespace = s->key.workload_namespace,
        .requests = s->requests,
        .tcp_opened = s->tcp_opened,
        .tcp_closed = s->tcp_closed,
        .tcp_sent = s->tcp_sent,
        .tcp_received = s->tcp_received,
        .duration_ns = sp_saver_hist(saver, 0, &s->duration_ns),
        .request_bytes = sp_saver_hist(saver, 1, &s->request_bytes),
        .response_bytes = sp_saver_hist(saver, 2, &s->response_bytes),
    };
    sp_record_put(saver->writer, &sp_handoff_series_kind, &record);
}

void sp_save_figures(struct sp_saver *saver)
{
    const struct sp_worker *w = saver->worker;
    struct worker_record record = {
        .index = w->index,
        .now_ns = sp_loop_now(w->loop),
        .cells = w->cells,
        .bytes_in = w->link.bytes_in,
        .bytes_out = w->link.bytes_out,
        .writes = w->link.writes,
        .copied_bytes = w->link.copied_bytes,
    };
    sp_record_put(saver->writer, &sp_handoff_worker_kind, &record);
    for (unsigned why = 1; why < SP_WHY_COUNT; why++) {
        struct why_record reason = { .code = sp_saver_why(why), .count = w->cells.why[why] };
        if (sp_cell_get(&reason.count))
            sp_record_put(saver->writer, &sp_handoff_why_kind, &reason);
    }
    for (const struct sp_series *s = w->series; s; s = s->next)
        save_series(saver, s);
}

/* ---- loading ---- */

void sp_handoff_add_cells(const struct sp_record_kind *kind, void *into, const void *record, size_t base,
                          size_t bytes)
{
    for (uint32_t i = 0; i < kind->field_count; i++) {
        const struct sp_record_field *f = &kind->fields[i];
        if (f->type != SP_RECORD_CELL || f->offset < base || f->offset >= base + bytes)
            continue;
        const sp_cell *from = (const void *)((const char *)record + f->offset);
        sp_cell_add((sp_cell *)(void *)((char *)into + f->offset - base), from->value);
    }
}

sp_err sp_handoff_add_hist(struct sp_handoff *h, struct sp_hist *hist, sp_str bytes)
{
    if (!bytes.len)
        return 0;
    sp_err err = sp_hist_load(hist, bytes);
    return err ? SP_HANDOFF_BAD(h, "a histogram is broken, or memory is out") : 0;
}

sp_err sp_load_worker(struct sp_handoff *h)
{
    struct worker_record record;
    sp_err err = sp_record_get(h->reader, h->kind, &record);
    if (err)
        return err;
    if (record.index != h->sections)
        return SP_HANDOFF_BAD(h, "worker %u comes where %u should", record.index, h->sections);
    if (!record.now_ns)
        return SP_HANDOFF_BAD(h, "its clock stands still");
    sp_handoff_begin_section(h, record.now_ns);
    struct sp_worker *w = h->worker;
    const sp_cell *from = (const sp_cell *)(const void *)&record.cells;
    sp_cell *into = (sp_cell *)(void *)&w->cells;
    for (size_t i = 0; i < offsetof(struct sp_worker_cells, why) / sizeof(sp_cell); i++)
        sp_cell_add(&into[i], from[i].value); /* gauges are zero there */
    sp_cell_add(&w->link.bytes_in, record.bytes_in.value);
    sp_cell_add(&w->link.bytes_out, record.bytes_out.value);
    sp_cell_add(&w->link.writes, record.writes.value);
    sp_cell_add(&w->link.copied_bytes, record.copied_bytes.value);
    return 0;
}

sp_err sp_load_why(struct sp_handoff *h)
{
    struct why_record record;
    uint16_t why;
    sp_err err = sp_record_get(h->reader, h->kind, &record);
    if (err)
        return err;
    for (why = 1; why < SP_WHY_COUNT; why++)
        if (sp_str_eq(record.code, sp_saver_why(why)))
            sp_cell_add(&h->worker->cells.why[why], record.count.value);
    return 0; /* one that this build does not know has nowhere to go */
}

sp_err sp_load_series(struct sp_handoff *h)
{
    struct series_record r;
    uint16_t why = 0;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (!err)
        err = sp_handoff_why(h, r.why, &why);
    if (err)
        return err;
    if (r.direction > SP_DIRECTION_OUTBOUND || r.protocol >= SP_PROTO_COUNT)
        return SP_HANDOFF_BAD(h, "direction %u or protocol %u is none", r.direction, r.protocol);
    const struct sp_series_key key = { .direction = r.direction,
                                       .protocol = r.protocol,
                                       .status = r.status,
                                       .why = why,
                                       .app_error = r.app_error,
                                       .cluster = r.cluster,
                                       .workload = r.workload,
                                       .workload_namespace = r.workload_namespace };
    const struct sp_cluster *cluster = sp_worker_cluster(h->worker, r.cluster);
    struct sp_series *s = r.overflow ? sp_worker_series_overflow(h->worker)
                                     : sp_worker_series(h->worker, &key, cluster ? cluster->spec : NULL);
    if (!s)
        return SP_HANDOFF_BAD(h, "memory is out, or its labels are too long");
    sp_cell_add(&s->requests, r.requests.value);
    sp_cell_add(&s->tcp_opened, r.tcp_opened.value);
    sp_cell_add(&s->tcp_closed, r.tcp_closed.value);
    sp_cell_add(&s->tcp_sent, r.tcp_sent.value);
    sp_cell_add(&s->tcp_received, r.tcp_received.value);
    err = sp_handoff_add_hist(h, &s->duration_ns, r.duration_ns);
    if (!err)
        err = sp_handoff_add_hist(h, &s->request_bytes, r.request_bytes);
    return err ? err : sp_handoff_add_hist(h, &s->response_bytes, r.response_bytes);
}
