/* handoff_ahead: callers' lines that are quiet go to the next process while this one still serves.
 *
 *      old worker, between two turns            new process                    the freeze
 *      ahead: 250 quiet lines  ───────────────> holds them, touching none
 *      goes on serving
 *      ahead: 250 more         ───────────────> holds them
 *      goes on serving; some are called on
 *                                                                              still: 1 0 1 1 ...
 *                                               1: takes its place             line, stream, ... of the rest
 *                                               0: its copy is closed
 *
 * Most connections of a sidecar are quiet at any instant. Telling 8,000 of them took 30 ms in which nobody
 * was served; told ahead, the freeze has left what was called on in the meantime.
 *
 * A line that was told is not marked, and nothing on a call's way knows of this: at the freeze each line is
 * compared with what was noted of it. It is the same line in the same state when it began at the same time,
 * has had as many calls, and when bytes last came or went at the same time; and it must be quiet again, by
 * the same test. Marking was drawn first: it needs a word in each of the dozen places that change a line, and
 * one that is forgotten gives a caller somebody else's answer.
 *
 * Upstream lines are few and seldom quiet for long, and calls hang on them by number: they stay with the
 * freeze, as do tunnels, relays and whatever is bound, waits or rests. */
#include <string.h>

#include "base/mem.h"
#include "proxy/handoff_impl.h"
#include "proxy/line_impl.h"

/* What is noted of a line that was told. */
struct stamp {
    sp_ns opened_ns, last_ns;
    uint32_t calls;
};

struct sp_ahead {
    struct sp_worker *worker;
    struct sp_idmap places; /* where a line is -> its place in `stamps`, from 1 */
    struct sp_vec stamps;
    uint64_t left; /* lines to look at; they move to the end of the worker's list behind it */
    bool begun;
};

/* ---- records ---- */

struct ahead_record {
    uint32_t worker;
    uint64_t now_ns;
};

#define RECORD ahead_record
static const struct sp_record_field ahead_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, worker),
    SP_RECORD_FIELD(2, U64, RECORD, now_ns),
};
const struct sp_record_kind sp_handoff_ahead_kind = SP_RECORD_KIND(SP_KIND_AHEAD, false, "ahead", RECORD,
                                                                   ahead_fields);
#undef RECORD

struct still_record {
    uint32_t count; /* lines told ahead by this worker */
    sp_str bits;    /* of the first in the lowest bit: it is as it was told */
};

#define RECORD still_record
static const struct sp_record_field still_fields[] = {
    SP_RECORD_FIELD(1, U32, RECORD, count),
    SP_RECORD_FIELD(2, BYTES, RECORD, bits),
};
const struct sp_record_kind sp_handoff_still_kind = SP_RECORD_KIND(SP_KIND_STILL, false, "still", RECORD,
                                                                   still_fields);
#undef RECORD

/* ---- saving ---- */

static bool is_mux_quiet(const struct sp_line *line)
{
    const struct sp_line_mux *mux = line->mux;
    if (mux == &line->worker->no_mux)
        return true;
    return !mux->sending && !mux->refusals && !mux->blocks_ns && sp_list_is_empty(&mux->behind) &&
           sp_list_is_empty(&mux->binds);
}

/* Nothing is under way on it and nobody knows it but its caller. */
static bool is_quiet(const struct sp_line *line)
{
    return line->state == SP_LINE_OPEN && !line->last && !line->tunnel && !line->receiving &&
           !line->part_ns && !line->full_ns && sp_list_is_empty(&line->calls_in) &&
           sp_list_is_empty(&line->calls_out) && sp_list_is_empty(&line->waiters) &&
           !sp_list_is_on(&line->wait_link) && is_mux_quiet(line) && sp_conn_is_quiet(&line->conn);
}

struct sp_ahead *sp_ahead_new(struct sp_worker *worker)
{
    struct sp_ahead *ahead = sp_mem_zalloc(sizeof(*ahead));
    if (!ahead)
        return NULL;
    ahead->worker = worker;
    sp_idmap_init(&ahead->places);
    sp_vec_init(&ahead->stamps, sizeof(struct stamp));
    return ahead;
}

void sp_ahead_free(struct sp_ahead *ahead)
{
    if (!ahead)
        return;
    sp_idmap_deinit(&ahead->places);
    sp_vec_deinit(&ahead->stamps);
    sp_mem_free(ahead);
}

static sp_err note(struct sp_ahead *ahead, const struct sp_line *line)
{
    struct stamp *stamp = sp_vec_push(&ahead->stamps);
    if (!stamp)
        return SP_E_NOMEM;
    *stamp = (struct stamp){ line->opened_ns, line->conn.last_ns, line->calls };
    return sp_idmap_put(&ahead->places, (uintptr_t)line, (void *)(uintptr_t)ahead->stamps.len);
}

static void begin(struct sp_ahead *ahead)
{
    const struct sp_list *lines = &ahead->worker->lines;
    for (const struct sp_list *at = lines->next; at != lines; at = at->next)
        ahead->left++;
    ahead->begun = true;
}

bool sp_ahead_save(struct sp_ahead *ahead, struct sp_record_writer *writer, uint32_t most)
{
    struct sp_worker *worker = ahead->worker;
    struct sp_saver saver = { .worker = worker, .writer = writer };
    struct ahead_record record = { .worker = worker->index, .now_ns = sp_loop_now(worker->loop) };
    if (!ahead->begun)
        begin(ahead);
    sp_saver_init(&saver);
    sp_record_put(writer, &sp_handoff_ahead_kind, &record);
    while (ahead->left && most-- && !writer->err && !sp_list_is_empty(&worker->lines)) {
        struct sp_line *line = SP_CONTAINER(worker->lines.next, struct sp_line, link);
        sp_list_remove(&line->link);
        sp_list_push(&worker->lines, &line->link);
        ahead->left--;
        if (!is_quiet(line) || sp_idmap_get(&ahead->places, (uintptr_t)line))
            continue;
        sp_err err = note(ahead, line);
        sp_save_chain_name(&saver, line->chain);
        sp_save_caller(&saver, line);
        if (err)
            writer->err = err;
    }
    sp_saver_deinit(&saver);
    return ahead->left && !sp_list_is_empty(&worker->lines);
}

/* The place of a line that is as it was told; 0: it was not, or is not. */
static uint32_t find_unchanged(const struct sp_ahead *ahead, const struct sp_line *line)
{
    uint32_t place = (uint32_t)(uintptr_t)sp_idmap_get(&ahead->places, (uintptr_t)line);
    if (!place || !is_quiet(line))
        return 0;
    const struct stamp *stamp = sp_vec_at(&ahead->stamps, place - 1);
    bool same = stamp->opened_ns == line->opened_ns && stamp->last_ns == line->conn.last_ns &&
                stamp->calls == line->calls;
    return same ? place : 0;
}

/* Zeroed bits for all that was told, or NULL. */
static char *take_bits(struct sp_saver *saver, size_t bytes)
{
    char *bits = bytes ? sp_buf_room(sp_saver_buf(saver, 0), bytes) : NULL;
    if (!bits && bytes && !saver->writer->err)
        saver->writer->err = SP_E_NOMEM;
    return bits ? memset(bits, 0, bytes) : NULL;
}

void sp_save_callers(struct sp_saver *saver)
{
    size_t count = saver->ahead ? saver->ahead->stamps.len : 0, bytes = (count + 7) / 8;
    char *bits = take_bits(saver, bytes);
    const struct sp_line *line;
    SP_LIST_EACH(&saver->worker->lines, line, next, struct sp_line, link) {
        uint32_t place = bits ? find_unchanged(saver->ahead, line) : 0;
        if (place)
            bits[(place - 1) / 8] = (char)(bits[(place - 1) / 8] | 1 << (place - 1) % 8);
        else
            sp_save_caller(saver, line);
    }
    struct still_record record = { .count = (uint32_t)count, .bits = sp_str_of(bits, bytes) };
    if (bits)
        sp_record_put(saver->writer, &sp_handoff_still_kind, &record);
}

/* ---- loading ---- */

bool sp_handoff_goes_ahead(uint16_t kind)
{
    return kind == SP_KIND_AHEAD || kind == SP_KIND_LISTENER || kind == SP_KIND_CHAIN ||
           kind == SP_KIND_CONN || kind == SP_KIND_LINE || kind == SP_KIND_MUX;
}

sp_err sp_load_ahead(struct sp_handoff *h)
{
    struct ahead_record r;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    if (h->ahead || h->sections)
        return SP_HANDOFF_BAD(h, "it comes among other records");
    if (r.worker >= SP_WORKERS_MAX || !r.now_ns)
        return SP_HANDOFF_BAD(h, "worker %u, or its clock, is none", r.worker);
    h->worker = h->workers[r.worker % h->count];
    sp_handoff_set_clock(h, r.now_ns);
    h->ahead = &h->aheads[r.worker];
    return 0;
}

/* It was never counted, and hangs nowhere. */
static void drop(struct sp_line *line)
{
    struct sp_loop *loop = line->worker->loop;
    sp_sock_forget_fd(loop, sp_conn_leave(&line->conn));
    sp_line_give(line);
}

sp_err sp_handoff_keep_ahead(struct sp_handoff *h, struct sp_line *line)
{
    struct sp_line **held = sp_vec_push(h->ahead);
    if (!held) {
        drop(line);
        return SP_HANDOFF_BAD(h, "memory is out");
    }
    *held = line;
    return 0;
}

static void drop_all(struct sp_vec *held)
{
    for (size_t i = 0; i < held->len; i++)
        drop(*(struct sp_line **)sp_vec_at(held, i));
    sp_vec_reset(held);
}

void sp_handoff_drop_ahead(struct sp_handoff *h)
{
    for (uint32_t i = 0; i < SP_WORKERS_MAX; i++)
        drop_all(&h->aheads[i]);
}

sp_err sp_load_still(struct sp_handoff *h)
{
    struct still_record r;
    struct sp_vec *held = h->sections ? &h->aheads[h->sections - 1] : NULL;
    sp_err err = sp_record_get(h->reader, h->kind, &r);
    if (err)
        return err;
    if (h->ahead || !held || r.count != held->len || r.bits.len != (held->len + 7) / 8)
        return SP_HANDOFF_BAD(h, "%u lines came ahead, and it tells of %u", held ? (unsigned)held->len : 0,
                              r.count);
    for (uint32_t i = 0; i < r.count; i++) {
        struct sp_line *line = *(struct sp_line **)sp_vec_at(held, i);
        if (!(r.bits.ptr[i / 8] >> i % 8 & 1)) {
            drop(line);
            continue;
        }
        sp_handoff_place_line(line);
        sp_line_arm(line);
    }
    sp_vec_reset(held);
    return 0;
}
