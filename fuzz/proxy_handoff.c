/* proxy_handoff: a successor that is told nonsense. True records of a simulated sidecar, saved at instants of
 * all kinds of calls, are changed before a fresh worker loads them.
 *
 *      once:   calls ──> sidecar ──> app          scenes[i]: the records, each as its struct
 *                           │ save
 *      input:  scene, workers, ops ──> records ──> loader ──> refused in words, no socket touched
 *                                                        └──> taken: runs on among peers that say more of
 *                                                             what the ops name, until all have left
 *
 * An op is six bytes: what, which record, which field, how, and a value; so the fuzzer changes what is nearly
 * right, and a byte more or less does not make nonsense of the rest. Fields are found by the tables that the
 * records themselves are written with: one that is added later is changed too.
 *
 * Held to: the loader touches no socket (the world's digest stays), whatever it says; what is refused comes
 * with words; what is taken comes to its end when its peers do, with all limits given back; and in the end no
 * descriptor, slab or block is left, also of a worker that was half loaded and then left.
 *
 * Tried: any bytes as records. They never came past the first conn. */
#include "handoff_scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { OP_BYTES = 6, OPS_MOST = 24, FIELD_BYTES_MOST = 70000 };

enum what {
    OP_SET,      /* a field */
    OP_DROP,     /* a record */
    OP_COPY,     /* a record, to another place */
    OP_SWAP,     /* two records */
    OP_EXCHANGE, /* a field of two records of one kind */
    OP_CUT,      /* the bytes end here */
    OP_FLIP,     /* one byte of what was written */
    OP_FDS,      /* fewer descriptors, or two of them the other way round */
    OP_SAY,      /* a peer says something, when the successor runs */
    OP_WAIT,     /* time passes */
    OP_CALL,     /* somebody new connects */
    OPS
};

struct op {
    uint8_t what, record, field, how;
    uint16_t value;
};

struct input {
    uint8_t scene, flags;
    struct op ops[OPS_MOST];
    unsigned count;
};

struct changed { /* a record, perhaps not as it was */
    const struct sp_record_kind *kind;
    void *value;
};

struct fuzz {
    const struct scene *scene;
    const struct input *input;
    bool traced; /* SAMPAN_TRACE: say what is done, for a person who looks at one input */
    struct changed records[2 * RECORDS_MOST];
    uint32_t count;
    struct sp_arena arena; /* of what was changed */
    struct sp_record_writer writer;
    int fds[PEERS_MOST];
    uint32_t fd_count;
};

static struct input read_input(const uint8_t *data, size_t size)
{
    struct input in = { .scene = size > 0 ? data[0] : 0, .flags = size > 1 ? data[1] : 0 };
    for (size_t at = 2; at + OP_BYTES <= size && in.count < OPS_MOST; at += OP_BYTES)
        in.ops[in.count++] = (struct op){ .what = data[at] % OPS,
                                          .record = data[at + 1],
                                          .field = data[at + 2],
                                          .how = data[at + 3],
                                          .value = (uint16_t)(data[at + 4] | data[at + 5] << 8) };
    return in;
}

/* ---- changing a field ---- */

static uint64_t number_of(const struct op *op, uint64_t was)
{
    static const uint64_t borders[] = { 0,
                                        1,
                                        UINT8_MAX,
                                        INT16_MAX,
                                        UINT16_MAX,
                                        INT32_MAX,
                                        (uint64_t)INT32_MAX + 1,
                                        UINT32_MAX,
                                        INT64_MAX,
                                        (uint64_t)INT64_MAX + 1,
                                        UINT64_MAX - 1,
                                        UINT64_MAX };
    switch (op->how % 6) {
    case 0: return op->value;
    case 1: return was + op->value;
    case 2: return was - op->value;
    case 3: return borders[op->value % SP_COUNTOF(borders)];
    case 4: return was ^ (1ull << op->value % 64);
    default: return 0ull - op->value;
    }
}

static sp_str bytes_of(struct fuzz *f, const struct op *op, sp_str was)
{
    uint32_t len = op->how % 5 == 0 ? op->value % (was.len + 1) : op->value % FIELD_BYTES_MOST;
    if (op->how % 5 == 4)
        len = (uint32_t)was.len;
    char *to = sp_arena_alloc(&f->arena, len + 1);
    SP_ASSERT(to);
    for (uint32_t i = 0; i < len; i++)
        to[i] = i < was.len ? was.ptr[i] : (char)(op->how + i);
    if (len && op->how % 5 > 2)
        to[op->value % len] = (char)op->record;
    return len ? sp_str_of(to, len) : SP_STR_NULL;
}

static void set_addr(sp_addr *addr, const struct op *op)
{
    static const char *const paths[] = { "", "/a", "@a", "/a/path/that/is/longer/than/a/short/one" };
    if (op->how % 4 == 0)
        addr->port = op->value;
    else if (op->how % 4 == 1 && addr->family != SP_ADDR_UNIX)
        addr->ip[op->value % sizeof(addr->ip)] ^= op->record;
    else if (op->how % 4 < 3) /* where a path lies there is no number */
        *addr = (sp_addr){ .family = SP_ADDR_UNIX, .path = paths[op->value % SP_COUNTOF(paths)] };
    else
        *addr = (sp_addr){ .family = op->value % 2 ? SP_ADDR_IP6 : SP_ADDR_NONE, .port = op->value };
}

static void set_field(struct fuzz *f, struct changed *record, const struct op *op)
{
    const struct sp_record_field *field = &record->kind->fields[op->field % record->kind->field_count];
    void *at = (char *)record->value + field->offset;
    switch ((enum sp_record_type)field->type) {
    case SP_RECORD_BOOL: *(bool *)at = !*(bool *)at; break;
    case SP_RECORD_U8: *(uint8_t *)at = (uint8_t)number_of(op, *(uint8_t *)at); break;
    case SP_RECORD_U16: *(uint16_t *)at = (uint16_t)number_of(op, *(uint16_t *)at); break;
    case SP_RECORD_I32:
    case SP_RECORD_U32: *(uint32_t *)at = (uint32_t)number_of(op, *(uint32_t *)at); break;
    case SP_RECORD_I64:
    case SP_RECORD_U64:
    case SP_RECORD_CELL: *(uint64_t *)at = number_of(op, *(uint64_t *)at); break;
    case SP_RECORD_BYTES: *(sp_str *)at = bytes_of(f, op, *(sp_str *)at); break;
    case SP_RECORD_ADDR: set_addr(at, op); break;
    case SP_RECORD_TYPES: break;
    }
}

/* ---- changing the set ---- */

static struct changed *record_of(struct fuzz *f, uint32_t at)
{
    return &f->records[at % f->count];
}

static struct changed own_copy(struct fuzz *f, const struct changed *record)
{
    void *value = sp_arena_alloc(&f->arena, record->kind->size);
    SP_ASSERT(value);
    memcpy(value, record->value, record->kind->size);
    return (struct changed){ record->kind, value };
}

static void remove_record(struct fuzz *f, uint32_t at)
{
    memmove(&f->records[at], &f->records[at + 1], (--f->count - at) * sizeof(f->records[0]));
}

static void insert_record(struct fuzz *f, uint32_t at, struct changed record)
{
    if (f->count == SP_COUNTOF(f->records))
        return;
    memmove(&f->records[at + 1], &f->records[at], (f->count++ - at) * sizeof(f->records[0]));
    f->records[at] = record;
}

static void exchange(struct fuzz *f, const struct op *op)
{
    struct changed *one = record_of(f, op->record);
    const struct sp_record_field *field = &one->kind->fields[op->field % one->kind->field_count];
    for (uint32_t i = 1; i < f->count; i++) {
        const struct changed *other = record_of(f, op->record + op->value + i);
        if (other->kind != one->kind || other == one)
            continue;
        static const size_t sizes[] = { [SP_RECORD_BOOL] = 1,
                                        [SP_RECORD_U8] = 1,
                                        [SP_RECORD_U16] = 2,
                                        [SP_RECORD_U32] = 4,
                                        [SP_RECORD_I32] = 4,
                                        [SP_RECORD_U64] = 8,
                                        [SP_RECORD_I64] = 8,
                                        [SP_RECORD_CELL] = 8,
                                        [SP_RECORD_BYTES] = sizeof(sp_str),
                                        [SP_RECORD_ADDR] = sizeof(sp_addr) };
        *one = own_copy(f, one);
        memcpy((char *)one->value + field->offset, (char *)other->value + field->offset, sizes[field->type]);
        return;
    }
}

static void say_op(const struct fuzz *f, const struct op *op)
{
    static const char *const names[OPS] = { "set",  "drop", "copy", "swap", "exchange", "cut",
                                            "flip", "fds",  "say",  "wait", "call" };
    const struct sp_record_kind *kind = f->records[op->record % f->count].kind;
    fprintf(stderr, "%s record %u (%s) field %u (%s) how %u value %u, record %u (%s)\n", names[op->what],
            op->record % f->count, kind->name, op->field,
            kind->field_count ? kind->fields[op->field % kind->field_count].name : "", op->how, op->value,
            op->value % f->count, f->records[op->value % f->count].kind->name);
}

static void change_set(struct fuzz *f, const struct op *op)
{
    if (!f->count)
        return;
    uint32_t at = op->record % f->count;
    if (f->traced)
        say_op(f, op);
    switch ((enum what)op->what) {
    case OP_SET:
        f->records[at] = own_copy(f, &f->records[at]);
        set_field(f, &f->records[at], op);
        break;
    case OP_DROP: remove_record(f, at); break;
    case OP_COPY: insert_record(f, op->value % f->count, own_copy(f, &f->records[at])); break;
    case OP_SWAP: {
        struct changed *other = record_of(f, op->value), was = *other;
        *other = f->records[at];
        f->records[at] = was;
        break;
    }
    case OP_EXCHANGE: exchange(f, op); break;
    case OP_CUT:
    case OP_FLIP:
    case OP_FDS:
    case OP_SAY:
    case OP_WAIT:
    case OP_CALL:
    case OPS: break;
    }
}

static void change_bytes(struct fuzz *f, const struct op *op)
{
    struct sp_buf *out = &f->writer.out;
    if (op->what == OP_CUT && out->len)
        out->len -= op->value % out->len;
    if (op->what == OP_FLIP && out->len)
        out->ptr[op->value % out->len] ^= (char)(1 + op->how);
    if (op->what != OP_FDS || !f->fd_count)
        return;
    uint32_t one = op->record % f->fd_count, two = op->value % f->fd_count;
    int was = f->fds[one];
    f->fds[one] = f->fds[two];
    f->fds[two] = was;
    if (op->how % 4 == 0)
        f->fd_count = two;
}

static void make_records(struct fuzz *f)
{
    for (uint32_t i = 0; i < f->scene->count; i++)
        f->records[f->count++] = (struct changed){ f->scene->kinds[i], f->scene->values[i] };
    for (unsigned i = 0; i < f->input->count; i++)
        change_set(f, &f->input->ops[i]);
    sp_record_writer_init(&f->writer, NULL);
    for (uint32_t i = 0; i < f->count; i++)
        sp_record_put(&f->writer, f->records[i].kind, f->records[i].value);
    SP_ASSERT(!f->writer.err);
    for (unsigned i = 0; i < f->input->count; i++)
        change_bytes(f, &f->input->ops[i]);
}

/* ---- loading ---- */

static sp_err configure(struct mesh_sidecar *s, struct sp_handoff_listener *found, uint32_t count)
{
    sp_str names[PEERS_MOST];
    int fds[PEERS_MOST];
    sp_err err = 0;
    sp_handoff_spread(found, count, s->worker_count);
    for (uint32_t w = 0; w < s->worker_count; w++) {
        struct sp_listen_fds given = { .names = names, .fds = fds, .only = true };
        for (uint32_t i = 0; i < count; i++)
            if (found[i].to == w && !found[i].extra) {
                names[given.count] = found[i].name;
                fds[given.count++] = found[i].fd;
            }
        sp_err one = sp_worker_apply(&s->workers[w], s->process.snapshot, &given);
        err = err ? err : one;
    }
    for (uint32_t i = 0; i < count && !err; i++)
        if (found[i].extra) {
            err = sp_worker_add_door(&s->workers[found[i].to], found[i].name, found[i].fd);
            err = err == SP_E_MISSING ? 0 : err; /* cmd leaves it aside, and so do we */
        }
    return err;
}

static sp_err load_records(struct mesh_sidecar *s, struct sp_record_reader *reader)
{
    struct sp_worker *workers[] = { &s->workers[0], &s->workers[1] };
    struct sp_handoff *handoff;
    uint16_t kind;
    int more;
    SP_ASSERT(!sp_handoff_begin(workers, s->worker_count, &handoff));
    sp_err err = 0;
    while (!err && (more = sp_record_next(reader, &kind)) != 0)
        err = more < 0 ? (sp_err)more : sp_handoff_load(handoff, reader, kind);
    if (!err)
        err = sp_handoff_end(handoff, reader);
    sp_handoff_free(handoff);
    SP_ASSERT(!err || err == SP_E_MISSING || reader->trouble[0]); /* in words */
    return err;
}

static sp_err load(struct mesh_sidecar *s, struct sp_record_reader *reader)
{
    struct sp_handoff_listener *found = NULL;
    uint32_t count = 0;
    sp_err err = sp_handoff_listeners(reader, &found, &count);
    SP_ASSERT(!err || reader->trouble[0]);
    if (err) /* the successor has no configuration yet, and needs none */
        return err;
    err = configure(s, found, count);
    if (!err)
        err = load_records(s, reader);
    sp_mem_free(found);
    return err;
}

/* ---- running on ---- */

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

static void act(struct world *w, const struct op *op)
{
    static const char *const words[] = { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                                         "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
                                         "abcdef",
                                         "\r\n0\r\n\r\n",
                                         SWITCHING,
                                         "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n" };
    struct peer *peer = &w->peers[op->record % w->peer_count];
    if (op->what == OP_WAIT)
        sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + (10 * SP_NS_PER_MS << op->value % 12));
    if (op->what == OP_CALL)
        world_call(w, op->record);
    if (op->what != OP_SAY)
        return;
    if (op->how % 16 < SP_COUNTOF(words))
        peer_say(peer, words[op->how % 16], strlen(words[op->how % 16]));
    else if (op->how % 16 == 7)
        peer_fin(peer);
    else if (op->how % 16 == 8)
        peer_close(peer, op->value & 1);
    else
        peer_say_frame(peer, op->how % 16, op->field, op->value);
    sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
}

/* Whatever was taken comes to an end when everybody else has left. */
static void run_on(struct world *w, const struct input *in)
{
    for (uint32_t i = 0; i < w->sidecar->worker_count; i++)
        SP_IGNORE(sp_worker_open(&w->sidecar->workers[i]));
    sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
    for (unsigned i = 0; i < in->count; i++)
        act(w, &in->ops[i]);
    world_close(w);
    world_settle(w);
}

static void say_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

/* A run passes through ten thousand edges, and libFuzzer's book of how rare each is takes twenty times as
 * long as the run: without it. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char *with[64], plain[] = "-entropic=0";
    if (*argc < 1 || *argc > (int)SP_COUNTOF(with) - 2)
        return 0;
    memcpy(with, *argv, (size_t)*argc * sizeof(*with));
    memmove(&with[2], &with[1], (size_t)(*argc - 1) * sizeof(*with));
    with[1] = plain;
    *argv = with;
    ++*argc;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = read_input(data, size);
    struct fuzz f = { .scene = the_scene(in.scene), .input = &in, .traced = sp_proc_env("SAMPAN_TRACE") };
    uint64_t blocks = sp_mem_live_blocks();
    struct world w;
    int given[PEERS_MOST];
    sp_arena_init(&f.arena, NULL, 0, 4096, 0);
    world_open(&w, 1 + (in.flags & 1));
    world_give(&w, f.scene, given);
    if (f.traced)
        sp_sim_set_trace(w.mesh->sim, say_line, NULL);
    f.fd_count = f.scene->fd_count;
    memcpy(f.fds, given, sizeof(given));
    make_records(&f);

    struct sp_record_reader reader;
    sp_record_reader_init(&reader, sp_buf_str(&f.writer.out), f.fds, f.fd_count);
    uint64_t digest = sp_sim_digest(w.mesh->sim);
    sp_err err = load(w.sidecar, &reader);
    if (f.traced)
        fprintf(stderr, "%s: %s\n", err ? "refused" : "taken", err ? reader.trouble : "");
    SP_ASSERT(sp_sim_digest(w.mesh->sim) == digest); /* no socket was touched */
    SP_ASSERT(!err || in.count);                     /* the truth is taken */
    bool runs = !err && !(in.flags & 2);
    if (!runs)
        world_leave(&w);
    for (uint32_t i = 0; i < f.scene->fd_count; i++)
        world_close_number(&w, given[i]); /* those that nobody has */
    if (runs)
        run_on(&w, &in);
    world_free(&w);
    sp_record_writer_deinit(&f.writer);
    sp_arena_deinit(&f.arena);
    SP_ASSERT(sp_mem_live_blocks() == blocks);
    return 0;
}
