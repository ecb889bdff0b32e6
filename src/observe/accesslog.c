/* accesslog: from the workers' rings to files.
 *
 *      worker 0: ring ──┐                       ┌──► /var/log/a   64 KiB at a time
 *      worker 1: ring ──┴─► drain ─► lines by ──┴──► /dev/stdout
 *
 * A worker's part is one copy of a record; formatting and writing happen here, on the main thread. A ring
 * holds a thousand records, so it must be emptied sooner than a thousand calls end. The timer follows the
 * traffic: while rings are found with much in them it comes every millisecond, while they are found empty
 * it comes at flush_ms; a worker whose ring is a quarter full can say so besides (wake). Without any log
 * there is no timer at all.
 *
 * A record names its chain by address and is never asked for more; the address is looked up in a table that
 * was made from the snapshot. Records may still be on their way when the next snapshot comes, so the former
 * table and snapshot are kept until the one after: an address cannot mean another chain while a record of
 * the old one may come.
 *
 * A file that does not take bytes (disk full, pipe full) loses them, and the loss is counted, in lines too:
 * where each ends in the batch is kept until it is written. Whoever watches hears of the first one and of the
 * end, since figures are looked at by nobody who does not know yet. A log must never be what stops the calls.
 * Two logs with the same path share the file and its lines do not mix, since lines are written whole. */
#include "observe/accesslog.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/vec.h"
#include "io/file.h"
#include "io/timer.h"
#include "model/snapshot.h"
#include "observe/line_impl.h"

enum {
    LOGS_MAX = 8, /* of a chain: as many as a record's mask has bits */
    BATCH_BYTES = 64 * 1024,
    DRAIN_MAX = 4096, /* records of a ring in one go; the rest in the next turn */
    FLUSH_MS = 50,
    BUSY_NS = 1000000,
    SOME_NS = 10000000,
    BUSY_RECORDS = 64, /* a sixteenth of a ring */
    TELL_S = 60,
};

struct file {
    struct sp_file_log log;
    struct sp_buf batch;
    struct sp_vec ends; /* of uint32_t: where each line of the batch ends */
    bool used;          /* by a table that is kept */
    bool torn;          /* bytes were lost, perhaps in the middle of a line: the next begins on a new one */
    bool told;          /* the watcher knows that lines are lost */
    sp_ns quiet_ns;     /* until then it hears of no further trouble */
    uint64_t lost;      /* lines, since it was told */
};

struct chain_log {
    struct file *file;
    struct sp_line_format format;
};

struct chain {
    const struct sp_chain_spec *spec; /* identity */
    uint32_t log_count;
    struct chain_log logs[LOGS_MAX];
};

/* What one snapshot says. */
struct table {
    struct sp_arena arena;
    struct sp_idmap chains; /* address of the spec -> struct chain */
    struct sp_snapshot *snapshot;
};

struct sp_accesslog {
    struct sp_loop *loop;
    struct sp_timer timer;
    struct sp_vec rings; /* of struct sp_ring * */
    struct sp_vec files; /* of struct file * */
    struct table *now, *before;
    char *hostname;
    size_t hostname_len;
    bool on;
    uint32_t flush_ms;
    struct sp_accesslog_view view;
    void (*watch)(void *arg, const char *path, sp_err err, uint64_t lost); /* or NULL */
    void *watch_arg;
    char why[512];
};

static void on_timer(struct sp_timer *timer);

struct sp_accesslog *sp_accesslog_new(struct sp_loop *loop, sp_str hostname)
{
    struct sp_accesslog *log = sp_mem_zalloc(sizeof(*log));
    if (!log)
        return NULL;
    log->loop = loop;
    log->timer.on_fire = on_timer;
    log->on = true;
    log->flush_ms = FLUSH_MS;
    sp_vec_init(&log->rings, sizeof(struct sp_ring *));
    sp_vec_init(&log->files, sizeof(struct file *));
    log->hostname = sp_mem_alloc(hostname.len + 1);
    if (!log->hostname) {
        sp_mem_free(log);
        return NULL;
    }
    if (hostname.len)
        memcpy(log->hostname, hostname.ptr, hostname.len);
    log->hostname_len = hostname.len;
    return log;
}

/* ---- files ---- */

static struct file *file_at(const struct sp_accesslog *log, size_t i)
{
    return *(struct file **)sp_vec_at(&log->files, i);
}

/* `lost`: lines that have just been lost; 0: all of a batch was written. */
static void tell(struct sp_accesslog *log, struct file *file, uint64_t lost)
{
    sp_ns now = sp_loop_now(log->loop);
    bool news = lost ? !file->told && now >= file->quiet_ns : file->told;
    file->lost = file->told || news ? file->lost + lost : 0;
    if (!news)
        return;
    file->told = lost > 0;
    if (lost)
        file->quiet_ns = now + TELL_S * SP_NS_PER_S;
    if (log->watch)
        log->watch(log->watch_arg, file->log.path, lost ? file->log.lost_err : 0, file->lost);
    if (!lost)
        file->lost = 0;
}

static void flush_file(struct sp_accesslog *log, struct file *file)
{
    if (file->batch.len <= file->torn)
        return; /* nothing but the newline */
    uint64_t before = file->log.lost_bytes;
    sp_file_log_write(&file->log, sp_buf_str(&file->batch));
    uint64_t lost_bytes = file->log.lost_bytes - before, written = file->batch.len - lost_bytes;
    size_t whole = lost_bytes ? 0 : file->ends.len;
    while (whole < file->ends.len && *(uint32_t *)sp_vec_at(&file->ends, whole) <= written)
        whole++;
    uint64_t lost = file->ends.len - whole;
    log->view.lines += whole;
    log->view.lost += lost;
    log->view.lost_bytes += lost_bytes;
    sp_vec_reset(&file->ends);
    sp_buf_reset(&file->batch);
    file->torn = lost_bytes > 0;
    if (file->torn)
        sp_buf_add_char(&file->batch, '\n');
    tell(log, file, lost);
}

static void close_file(struct sp_accesslog *log, struct file *file)
{
    flush_file(log, file);
    sp_file_log_close(&file->log);
    sp_buf_deinit(&file->batch);
    sp_vec_deinit(&file->ends);
    sp_mem_free(file);
}

static struct file *find_file(struct sp_accesslog *log, sp_str path)
{
    for (size_t i = 0; i < log->files.len; i++)
        if (sp_str_eq(sp_str_c(file_at(log, i)->log.path), path))
            return file_at(log, i);
    return NULL;
}

static sp_err open_file(struct sp_accesslog *log, sp_str path, struct sp_arena *arena, struct file **ret_file)
{
    struct file *file = find_file(log, path);
    if (file) {
        *ret_file = file;
        return 0;
    }
    const char *name = sp_str_dup_z(arena, path);
    file = name ? sp_mem_zalloc(sizeof(*file)) : NULL;
    if (!file)
        return SP_E_NOMEM;
    sp_buf_init(&file->batch, 0);
    sp_vec_init(&file->ends, sizeof(uint32_t));
    sp_err err = sp_file_log_open(&file->log, name);
    if (err) {
        sp_mem_free(file);
        return err;
    }
    struct file **slot = sp_vec_push(&log->files);
    if (!slot) {
        close_file(log, file);
        return SP_E_NOMEM;
    }
    *slot = file;
    *ret_file = file;
    return 0;
}

/* ---- tables ---- */

static void free_table(struct table *table)
{
    if (!table)
        return;
    sp_idmap_deinit(&table->chains);
    sp_arena_deinit(&table->arena);
    if (table->snapshot)
        sp_snapshot_unref(table->snapshot);
    sp_mem_free(table);
}

static sp_err add_chain(struct sp_accesslog *log, struct table *table, const struct sp_chain_spec *spec)
{
    if (!spec->log_count)
        return 0;
    struct chain *chain = SP_ARENA_NEW(&table->arena, struct chain);
    if (!chain)
        return SP_E_NOMEM;
    chain->spec = spec;
    for (uint32_t i = 0; i < SP_MIN(spec->log_count, (uint32_t)LOGS_MAX); i++) {
        const struct sp_log_spec *l = &spec->logs[i];
        const char *why = NULL;
        sp_err err = sp_line_compile(l, &table->arena, &chain->logs[i].format, &why);
        if (!err && (err = open_file(log, l->path, &table->arena, &chain->logs[i].file))) {
            why = sp_err_str(err);
            log->view.errors++;
        }
        if (err) {
            struct sp_buf words;
            sp_buf_init_fixed(&words, log->why, sizeof(log->why));
            sp_buf_printf(&words, "access log %.*s: %s", SP_STR_ARG(sp_str_upto(l->path, 200)), why);
            return err;
        }
        chain->log_count = i + 1;
    }
    return sp_idmap_put(&table->chains, (uint64_t)(uintptr_t)spec, chain);
}

static sp_err fill_table(struct sp_accesslog *log, struct table *table, struct sp_snapshot *snapshot)
{
    size_t at = 0;
    sp_str name;
    void *value;
    while (sp_map_next(&snapshot->by_name[SP_RESOURCE_LISTENER], &at, &name, &value)) {
        const struct sp_listener_spec *spec = ((struct sp_resource *)value)->listener;
        for (uint32_t i = 0; i < spec->chain_count; i++) {
            sp_err err = add_chain(log, table, &spec->chains[i]);
            if (err)
                return err;
        }
    }
    return 0;
}

static void mark_files(const struct table *table)
{
    uint32_t at = 0;
    uint64_t key;
    void *value;
    while (table && sp_idmap_next(&table->chains, &at, &key, &value)) {
        const struct chain *chain = value;
        for (uint32_t i = 0; i < chain->log_count; i++)
            chain->logs[i].file->used = true;
    }
}

/* Files that neither table names are closed. */
static void drop_files(struct sp_accesslog *log)
{
    for (size_t i = 0; i < log->files.len; i++)
        file_at(log, i)->used = false;
    mark_files(log->now);
    mark_files(log->before);
    for (size_t i = log->files.len; i-- > 0;) {
        struct file *file = file_at(log, i);
        if (file->used)
            continue;
        close_file(log, file);
        sp_vec_remove(&log->files, i);
    }
}

sp_err sp_accesslog_apply(struct sp_accesslog *log, struct sp_snapshot *snapshot, const char **ret_why)
{
    struct table *table = sp_mem_zalloc(sizeof(*table));
    *ret_why = sp_err_str(SP_E_NOMEM);
    if (!table)
        return SP_E_NOMEM;
    sp_arena_init(&table->arena, NULL, 0, 4096, 0);
    sp_idmap_init_seed(&table->chains, sp_rng_next(sp_loop_rng(log->loop)) | 1);
    log->why[0] = '\0';
    sp_err err = fill_table(log, table, snapshot);
    if (err) {
        if (log->why[0])
            *ret_why = log->why;
        free_table(table);
        drop_files(log);
        return err;
    }
    sp_snapshot_ref(snapshot);
    table->snapshot = snapshot;
    free_table(log->before);
    log->before = log->now;
    log->now = table;
    drop_files(log);
    if (log->files.len && !sp_timer_is_set(&log->timer))
        sp_timer_set(log->loop, &log->timer, BUSY_NS);
    return 0;
}

/* ---- draining ---- */

static void add_line(struct sp_accesslog *log, struct chain_log *to, const struct sp_report *report)
{
    struct file *file = to->file;
    size_t from = file->batch.len;
    sp_line_write(&to->format, report, sp_str_of(log->hostname, log->hostname_len), &file->batch);
    uint32_t *end = file->batch.failed ? NULL : sp_vec_push(&file->ends);
    if (end) {
        *end = (uint32_t)file->batch.len;
        if (file->batch.len >= BATCH_BYTES)
            flush_file(log, file);
        return;
    }
    log->view.lost++;
    file->batch.len = from;
    file->batch.failed = false;
}

static void take(struct sp_accesslog *log, const struct sp_report *report)
{
    uint64_t key = (uint64_t)(uintptr_t)report->chain;
    struct chain *chain = log->now ? sp_idmap_get(&log->now->chains, key) : NULL;
    if (!chain && log->before)
        chain = sp_idmap_get(&log->before->chains, key);
    if (!chain) {
        log->view.lost++;
        return;
    }
    for (uint32_t i = 0; i < chain->log_count; i++) {
        if (report->log_mask & (1u << i))
            add_line(log, &chain->logs[i], report);
    }
}

static uint32_t drain_ring(struct sp_accesslog *log, struct sp_ring *ring, uint32_t most)
{
    uint32_t count = 0;
    const struct sp_report *report;
    while (count < most && (report = sp_ring_peek(ring))) {
        if (log->on)
            take(log, report);
        sp_ring_pop(ring);
        count++;
    }
    return count;
}

static uint32_t drain(struct sp_accesslog *log, uint32_t most)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < log->rings.len; i++) {
        uint32_t count = drain_ring(log, *(struct sp_ring **)sp_vec_at(&log->rings, i), most);
        largest = SP_MAX(largest, count);
    }
    for (size_t i = 0; i < log->files.len; i++)
        flush_file(log, file_at(log, i));
    return largest;
}

static void on_timer(struct sp_timer *timer)
{
    struct sp_accesslog *log = SP_CONTAINER(timer, struct sp_accesslog, timer);
    uint32_t found = drain(log, DRAIN_MAX);
    sp_ns idle = (sp_ns)log->flush_ms * SP_NS_PER_MS;
    sp_ns next = found >= BUSY_RECORDS ? BUSY_NS : found ? SP_MIN((sp_ns)SOME_NS, idle) : idle;
    if (log->files.len || found)
        sp_timer_set(log->loop, timer, next);
}

void sp_accesslog_wake(struct sp_accesslog *log)
{
    on_timer(&log->timer);
}

sp_err sp_accesslog_add_ring(struct sp_accesslog *log, struct sp_ring *ring)
{
    struct sp_ring **slot = sp_vec_push(&log->rings);
    if (!slot)
        return SP_E_NOMEM;
    *slot = ring;
    return 0;
}

void sp_accesslog_reopen(struct sp_accesslog *log, void (*on_error)(void *arg, const char *path, sp_err err),
                         void *arg)
{
    (void)drain(log, DRAIN_MAX); /* how many there were matters to the timer alone */
    for (size_t i = 0; i < log->files.len; i++) {
        struct sp_file_log *file = &file_at(log, i)->log;
        sp_err err = sp_file_log_reopen(file);
        if (!err)
            continue;
        log->view.errors++;
        if (on_error)
            on_error(arg, file->path, err);
    }
}

void sp_accesslog_watch(struct sp_accesslog *log,
                        void (*fn)(void *arg, const char *path, sp_err err, uint64_t lost), void *arg)
{
    log->watch = fn;
    log->watch_arg = arg;
}

void sp_accesslog_finish(struct sp_accesslog *log)
{
    while (drain(log, DRAIN_MAX) == DRAIN_MAX)
        ;
}

void sp_accesslog_set(struct sp_accesslog *log, bool on, uint32_t flush_ms)
{
    log->on = on;
    log->flush_ms = flush_ms ? flush_ms : 1;
}

struct sp_accesslog_view sp_accesslog_view(const struct sp_accesslog *log)
{
    struct sp_accesslog_view view = log->view;
    for (size_t i = 0; i < log->rings.len; i++) {
        const struct sp_ring *ring = *(struct sp_ring **)sp_vec_at(&log->rings, i);
        view.lost += sp_ring_dropped(ring);
        view.waiting += sp_ring_waiting(ring);
    }
    return view;
}

void sp_accesslog_count(struct sp_accesslog *log, const struct sp_accesslog_view *before)
{
    log->view.lines += before->lines;
    log->view.lost += before->lost;
    log->view.lost_bytes += before->lost_bytes;
    log->view.errors += before->errors;
}

void sp_accesslog_free(struct sp_accesslog *log)
{
    if (!log)
        return;
    sp_accesslog_finish(log);
    sp_timer_stop(log->loop, &log->timer);
    while (log->files.len) {
        close_file(log, file_at(log, log->files.len - 1));
        sp_vec_remove(&log->files, log->files.len - 1);
    }
    free_table(log->now);
    free_table(log->before);
    sp_vec_deinit(&log->rings);
    sp_vec_deinit(&log->files);
    sp_mem_free(log->hostname);
    sp_mem_free(log);
}
