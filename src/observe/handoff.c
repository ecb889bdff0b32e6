/* handoff: run-time settings and own figures, for a successor.
 *
 * An operator who has set the level of the log to debug at three in the morning wants it so after an upgrade
 * too; so whatever /runtime_modify or /logging changed goes along, by name, and is heeded there as if it had
 * been asked for again. What nobody changed does not: the successor's own command line and bootstrap say it.
 *
 *      runtime (240)     one for each changed key                    unknown name or value: refused
 *      accesslog (241)   lines, lost ...: counters                   spare
 *      admin (242)       how long, and how often it was asked        spare
 *
 * Not carried: what /reset_counters keeps. It would be as large as all figures together, for a page that
 * tests use; after an upgrade counters show what they have counted since the first start.
 *
 * Records that wait in the workers' rings stay with the old process, which writes them when it has handed
 * over; they are in its count of lines already here. */
#include "observe/handoff.h"

#include "base/ring.h"
#include "observe/accesslog.h"
#include "observe/admin_impl.h"

struct runtime_record {
    sp_str name;
    uint64_t value;
};

struct accesslog_record {
    uint64_t lines, lost, lost_bytes, errors;
};

struct admin_record {
    uint64_t served_ns, requests, refused;
};

static const struct sp_record_field runtime_fields[] = {
    SP_RECORD_FIELD(1, BYTES, runtime_record, name),
    SP_RECORD_FIELD(2, U64, runtime_record, value),
};
static const struct sp_record_field accesslog_fields[] = {
    SP_RECORD_SPARE(1, U64, accesslog_record, lines),
    SP_RECORD_SPARE(2, U64, accesslog_record, lost),
    SP_RECORD_SPARE(3, U64, accesslog_record, lost_bytes),
    SP_RECORD_SPARE(4, U64, accesslog_record, errors),
};
static const struct sp_record_field admin_fields[] = {
    SP_RECORD_SPARE(1, U64, admin_record, served_ns),
    SP_RECORD_SPARE(2, U64, admin_record, requests),
    SP_RECORD_SPARE(3, U64, admin_record, refused),
};

static const struct sp_record_kind runtime_kind = SP_RECORD_KIND(240, false, "runtime", runtime_record,
                                                                 runtime_fields);
static const struct sp_record_kind accesslog_kind = SP_RECORD_KIND(241, true, "accesslog", accesslog_record,
                                                                   accesslog_fields);
static const struct sp_record_kind admin_kind = SP_RECORD_KIND(242, true, "admin", admin_record,
                                                               admin_fields);

static const struct sp_record_kind *const kinds[] = { &runtime_kind, &accesslog_kind, &admin_kind };
const struct sp_record_book sp_observe_records = { kinds, SP_COUNTOF(kinds) };

void sp_admin_save(const struct sp_admin *admin, struct sp_record_writer *writer)
{
    for (int i = 0; i < SP_RUNTIME_KEYS; i++) {
        if (!admin->runtime.changed[i])
            continue;
        const struct runtime_record record = { .name = sp_str_c(sp_runtime_key(i)->name),
                                               .value = admin->runtime.values[i] };
        sp_record_put(writer, &runtime_kind, &record);
    }
    struct sp_http_server_view view = { 0 };
    if (admin->server)
        view = sp_http_server_view(admin->server);
    const struct admin_record record = { admin->before_ns + sp_loop_now(admin->loop) - admin->started_ns,
                                         admin->before_requests + view.requests,
                                         admin->before_refused + view.refused };
    sp_record_put(writer, &admin_kind, &record);
}

void sp_accesslog_save(const struct sp_accesslog *log, struct sp_record_writer *writer)
{
    struct sp_accesslog_view view = sp_accesslog_view(log);
    const struct accesslog_record record = { .lines = view.lines + view.waiting,
                                             .lost = view.lost,
                                             .lost_bytes = view.lost_bytes,
                                             .errors = view.errors };
    sp_record_put(writer, &accesslog_kind, &record);
}

static sp_err load_runtime(struct sp_admin *admin, struct sp_record_reader *reader)
{
    struct runtime_record record;
    sp_err err = sp_record_get(reader, &runtime_kind, &record);
    if (err)
        return err;
    enum sp_runtime_id id = sp_runtime_find(record.name);
    if (id == SP_RUNTIME_KEYS)
        return sp_record_bad(reader, &runtime_kind, "there is no key %.*s here",
                             SP_STR_ARG(sp_str_upto(record.name, 64)));
    const struct sp_runtime_key *key = sp_runtime_key(id);
    if (record.value < key->min || record.value > key->max)
        return sp_record_bad(reader, &runtime_kind, "%s cannot be %llu here", key->name,
                             (unsigned long long)record.value);
    if (sp_admin_heed(admin, id, record.value))
        return sp_record_bad(reader, &runtime_kind, "%s cannot be changed here", key->name);
    return 0;
}

static sp_err load_accesslog(struct sp_accesslog *log, struct sp_record_reader *reader)
{
    struct accesslog_record record;
    sp_err err = sp_record_get(reader, &accesslog_kind, &record);
    if (err)
        return err;
    sp_accesslog_count(log, &(struct sp_accesslog_view){ .lines = record.lines,
                                                         .lost = record.lost,
                                                         .lost_bytes = record.lost_bytes,
                                                         .errors = record.errors });
    return 0;
}

static sp_err load_admin(struct sp_admin *admin, struct sp_record_reader *reader)
{
    struct admin_record record;
    sp_err err = sp_record_get(reader, &admin_kind, &record);
    if (err)
        return err;
    admin->before_ns = record.served_ns;
    admin->before_requests = record.requests;
    admin->before_refused = record.refused;
    return 0;
}

sp_err sp_observe_load(struct sp_admin *admin, struct sp_accesslog *log, struct sp_record_reader *reader,
                       uint16_t kind)
{
    if (kind == runtime_kind.number)
        return load_runtime(admin, reader);
    if (kind == accesslog_kind.number)
        return load_accesslog(log, reader);
    if (kind == admin_kind.number)
        return load_admin(admin, reader);
    return SP_E_MISSING;
}
