/* Golden records: what the former build (tests/upgrade/previous) sends to a successor, kept in
 * tests/conform/upgrade, is read by this build and loses nothing; and what this one writes for that one can
 * be read there. A checkout without history tests both by these files.
 *
 *      former build                          this build
 *      scene.begin ── its records ─> file    scene.begin, saved: its descriptors
 *                                            the file's records with these descriptors, loaded
 *                                            saved again for the former schema: must say what the file says
 *                                            scene.finish: peers hear the rest, to the byte
 *
 * schema      what the former build can read, as its hello says it        schema.txt   with names
 * SCENE.records      as they go over the wire                             SCENE.txt    the same for people
 *
 * `test_cmd_upgrade_golden write FOLDER` writes all of them as this build would; tests/upgrade/golden.py has
 * it done by the commit that is to be the former one. */
#include "unit/cmd/upgrade_scenes.h"

#include "base/mem.h"
#include "cmd/sampan-proxy/upgrade.h"
#include "proxy/handoff.h"
#include "unit/cmd/upgrade_listing.h"
#include "unit/cmd/upgrade_rule.h"
#include "unit/cmd/upgrade_told.h"

#define FOLDER SP_TESTS_DIR "/conform/upgrade"
enum { FDS_MOST = 64, PATH_BYTES = 1024, HELD = 8 };

/* What may differ when a set was loaded and saved again. */
static const struct {
    const char *kind, *field;
    uint64_t by; /* at most */
    const char *because;
} differs[] = {
    { "worker", "now_ns", SP_NS_PER_S, "time has passed" },
    { "worker", "cells.snapshots", 1, "the successor has applied its configuration" },
    { "line", "linger_ns", 10, "what is left of a timer is rounded up" },
    { "intake", "left_ns", 10, "what is left of a timer is rounded up" },
    { "admin", "served_ns", 60 * SP_NS_PER_S, "time has passed" },
};

struct golden_set {
    char *schema_text, *records;
    size_t schema_len, records_len;
    char *schema;
    struct listing_book *former;
    struct sp_record_schema *known; /* what the former build can read */
};

static char *path_of(const char *folder, const char *name, const char *ending, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s%s", folder, name, ending);
    return path;
}

static void open_set(struct golden_set *g, const char *name)
{
    char path[PATH_BYTES], trouble[SP_RECORD_TROUBLE] = "";
    *g = (struct golden_set){ 0 };
    g->schema_text = listing_file(path_of(FOLDER, "schema", ".txt", path), NULL);
    g->schema = listing_file(path_of(FOLDER, "schema", "", path), &g->schema_len);
    g->former = listing_book_read(g->schema_text);
    if (sp_record_schema_read(sp_str_of(g->schema, g->schema_len), upgrade_book(), &g->known, trouble))
        fail_msg("the former build cannot be talked to: %s", trouble);
    if (name)
        g->records = listing_file(path_of(FOLDER, name, ".records", path), &g->records_len);
}

static void close_set(struct golden_set *g)
{
    sp_record_schema_free(g->known);
    listing_book_free(g->former);
    free(g->schema_text);
    free(g->schema);
    free(g->records);
}

static sp_str records_of(const struct golden_set *g)
{
    return sp_str_of(g->records, g->records_len);
}

/* ---- the rule for schemas ---- */

static void what_the_former_build_writes_means_the_same_here(void **state)
{
    struct golden_set g;
    char words[UPGRADE_RULE_WORDS] = "";
    open_set(&g, NULL);
    if (!upgrade_rule(listing_book(g.former), upgrade_book(), words))
        fail_msg("%s", words);
    close_set(&g);
}

static void the_former_schema_is_what_its_listing_says(void **state)
{
    struct golden_set g;
    struct sp_buf bytes;
    open_set(&g, NULL);
    sp_buf_init(&bytes, 0);
    sp_record_schema_write(listing_book(g.former), &bytes);
    if (!sp_str_eq(sp_buf_str(&bytes), sp_str_of(g.schema, g.schema_len)))
        fail_msg("schema and schema.txt were not written by one build: tests/upgrade/golden.py");
    sp_buf_deinit(&bytes);
    close_set(&g);
}

/* ---- sets that move ---- */

/* False at the end. `kind` is that of the last line that began a record. */
static bool next_line(const char **text, char kind[64], char line[512], uint32_t *record)
{
    size_t len = strcspn(*text, "\n");
    snprintf(line, 512, "%.*s", (int)len, *text);
    if (!len)
        return false;
    *text += len + ((*text)[len] == '\n');
    if (line[0] != ' ') {
        snprintf(kind, 64, "%.63s", line);
        ++*record;
    }
    return true;
}

/* A number that may be another, within bounds. */
static bool may_differ(const char *kind, const char *was, const char *is)
{
    char was_field[80], is_field[80];
    unsigned long long before, after;
    if (sscanf(was, "  %79s = %llu", was_field, &before) != 2 ||
        sscanf(is, "  %79s = %llu", is_field, &after) != 2 || strcmp(was_field, is_field) != 0)
        return false;
    for (size_t i = 0; i < SP_COUNTOF(differs); i++)
        if (strcmp(kind, differs[i].kind) == 0 && strcmp(was_field, differs[i].field) == 0)
            return (after > before ? after - before : before - after) <= differs[i].by;
    return false;
}

static void compare(const char *name, const char *was, const char *is)
{
    char was_kind[64] = "", is_kind[64] = "", was_line[512], is_line[512];
    uint32_t was_record = 0, is_record = 0;
    bool more;
    do {
        more = next_line(&was, was_kind, was_line, &was_record);
        more |= next_line(&is, is_kind, is_line, &is_record);
        if (strcmp(was_line, is_line) != 0 && !may_differ(was_kind, was_line, is_line))
            fail_msg(
                "%s: record %u (%s) of the former build, taken over and saved again: \"%s\" became \"%s\" "
                "(%s)",
                name, was_record, was_kind, was_line, is_line, is_kind);
    } while (more);
}

static char *text_of(const struct sp_record_book *book, sp_str records)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    listing_records(book, records, &out);
    char *text = malloc(out.len + 1);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    sp_buf_deinit(&out);
    return text;
}

/* What was just saved is put aside for the golden records, save its descriptors: each goes where the one of
 * the same kind, field and turn was. */
static void give_golden(void *arg, struct sp_record_writer *writer)
{
    const struct golden_set *g = arg;
    struct listing_fd ours[FDS_MOST], theirs[FDS_MOST];
    int fds[FDS_MOST];
    uint32_t count = listing_fds(upgrade_book(), sp_buf_str(&writer->out), ours, FDS_MOST);
    uint32_t wanted = listing_fds(upgrade_book(), records_of(g), theirs, FDS_MOST);
    if (count != wanted || count != writer->fd_count)
        fail_msg("this build sends %u descriptors where the former one sends %u", count, wanted);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < count && (ours[k].kind != theirs[i].kind || ours[k].field != theirs[i].field))
            k++;
        if (k == count)
            fail_msg("field %u.%u of the former build has a descriptor, and none here", theirs[i].kind,
                     theirs[i].field);
        fds[theirs[i].place - 1] = writer->fds[ours[k].place - 1];
        ours[k].kind = 0; /* taken */
    }
    memcpy(writer->fds, fds, count * sizeof(*fds));
    sp_buf_reset(&writer->out);
    sp_buf_add_str(&writer->out, records_of(g));
}

static void save(struct kit *kit, const struct sp_record_schema *receiver, struct sp_record_writer *writer)
{
    sp_record_writer_init(writer, receiver);
    sp_process_save(&kit->sidecar->process, writer);
    for (uint32_t i = 0; i < kit->sidecar->worker_count; i++)
        sp_worker_save(&kit->sidecar->workers[i], writer);
}

/* Saved for the former build, and read there by its tables. */
static void goes_back(struct kit *kit, const struct golden_set *g, const char *name, const char *was)
{
    struct sp_record_writer writer;
    save(kit, g->known, &writer);
    if (writer.err)
        fail_msg("%s cannot go back to the former build: %s", name, writer.trouble);
    char *is = text_of(listing_book(g->former), sp_buf_str(&writer.out));
    if (was)
        compare(name, was, is);
    free(is);
    sp_record_writer_deinit(&writer);
}

/* What the worker has of each limit of the process, without what it was lent in advance. */
static uint64_t in_use(const struct sp_lease *lease)
{
    return sp_budget_out(lease->budget) - lease->spare;
}

static void look(struct kit *kit, uint64_t held[HELD])
{
    const struct sp_cluster *cluster = the_cluster(kit, "app");
    held[0] = in_use(&kit->worker->connection_lease);
    held[1] = in_use(&kit->worker->stream_lease);
    held[2] = in_use(&cluster->connections);
    held[3] = in_use(&cluster->pending);
    held[4] = in_use(&cluster->requests);
    held[5] = in_use(&cluster->retries);
    held[6] = sp_cell_get(&cluster->cells.cx_active);
    held[7] = sp_cell_get(&kit->worker->cells.streams_active);
}

static void same_held(const char *name, const uint64_t was[HELD], const uint64_t is[HELD])
{
    static const char *const names[HELD] = { "connections of the process",
                                             "calls of the process",
                                             "connections of the cluster",
                                             "pending calls of the cluster",
                                             "calls of the cluster",
                                             "retries of the cluster",
                                             "cx_active",
                                             "streams_active" };
    for (int i = 0; i < HELD; i++)
        if (was[i] != is[i])
            fail_msg("%s: %s were %llu, and are %llu after the former build's records", name, names[i],
                     (unsigned long long)was[i], (unsigned long long)is[i]);
}

static void taken_over(const struct scene_kind *kind)
{
    struct golden_set g;
    struct scene s = { 0 };
    open_set(&g, kind->name);
    char *was = text_of(listing_book(g.former), records_of(&g));
    char path[PATH_BYTES], *listing = listing_file(path_of(FOLDER, kind->name, ".txt", path), NULL);
    if (strcmp(was, listing) != 0)
        fail_msg("%s.txt is not what %s.records says: tests/upgrade/golden.py", kind->name, kind->name);
    uint64_t before[HELD], after[HELD];
    kind->begin(&s);
    look(s.kit, before);
    s.kit->sidecar = mesh_upgrade_by(s.kit->sidecar, 1, give_golden, &g);
    s.kit->worker = &s.kit->sidecar->workers[0];
    look(s.kit, after);
    same_held(kind->name, before, after);
    goes_back(s.kit, &g, kind->name, was);
    kind->finish(&s);
    kit_free(s.kit);
    free(listing);
    free(was);
    close_set(&g);
}

static void http_connections_of_the_former_build_go_on(void **state)
{
    taken_over(&scenes[0]);
}

static void a_waiting_call_of_the_former_build_goes_on(void **state)
{
    taken_over(&scenes[1]);
}

static void bolt_calls_of_the_former_build_find_their_callers(void **state)
{
    taken_over(&scenes[2]);
}

static void a_tunnel_of_the_former_build_goes_on(void **state)
{
    taken_over(&scenes[3]);
}

static void bytes_inside_a_relay_of_the_former_build_go_on(void **state)
{
    taken_over(&scenes[4]);
}

static void undecoded_bytes_of_the_former_build_go_on(void **state)
{
    taken_over(&scenes[5]);
}

static void listening_sockets_of_the_former_build_go_on(void **state)
{
    taken_over(&scenes[6]);
}

static void a_call_behind_a_proxy_goes_back_to_the_former_build(void **state)
{
    struct golden_set g;
    struct scene s = { 0 };
    open_set(&g, NULL);
    scene_begin_forwarded(&s);
    goes_back(s.kit, &g, "a call", NULL);
    scene_finish_forwarded(&s);
    kit_free(s.kit);
    close_set(&g);
}

/* ---- what applications and operators said ---- */

static void what_the_former_build_was_told_holds_here(void **state)
{
    struct golden_set g;
    struct told t;
    struct sp_record_writer writer;
    open_set(&g, "told");
    open_told(&t);
    load_told(&t, records_of(&g));
    assert_int_equal(t.generation, 3);
    assert_int_equal(t.doors, 1);
    assert_int_equal(t.log.level, SP_LOG_DEBUG);
    assert_int_equal(t.drain_ms, 1500);
    assert_int_equal(sp_accesslog_view(t.accesslog).lines, 5);
    save_told(&t, g.known, &writer);
    char *was = text_of(listing_book(g.former), records_of(&g));
    char *is = text_of(listing_book(g.former), sp_buf_str(&writer.out));
    compare("told", was, is);
    free(was);
    free(is);
    sp_record_writer_deinit(&writer);
    close_told(&t);
    close_set(&g);
}

/* ---- all of it ---- */

static void every_kind_is_in_a_golden_set(void **state)
{
    struct golden_set g;
    bool seen[UINT16_MAX + 1] = { false };
    for (int i = 0; i <= SCENES; i++) {
        struct sp_record_reader reader;
        uint16_t kind = 0;
        open_set(&g, i < SCENES ? scenes[i].name : "told");
        sp_record_reader_init(&reader, records_of(&g), NULL, 0);
        while (sp_record_next(&reader, &kind) > 0)
            seen[kind] = true;
        close_set(&g);
    }
    open_set(&g, NULL);
    const struct sp_record_book *book = listing_book(g.former);
    for (uint32_t i = 0; i < book->count; i++)
        if (!seen[book->kinds[i]->number])
            fail_msg("no golden record is a \"%s\" (%u): add a scene", book->kinds[i]->name,
                     book->kinds[i]->number);
    close_set(&g);
}

/* One record of that kind, with a field more and that in use, for the former build. */
static void put_with_more(const struct golden_set *g, struct sp_record_kind kind, bool spare)
{
    static char record[16 * 1024];
    struct sp_record_field fields[] = { { 999, SP_RECORD_U8, spare, kind.size, "tomorrow" } };
    struct sp_record_writer writer;
    kind.fields = fields;
    kind.field_count = 1;
    memset(record, 0, sizeof(record));
    assert_true(kind.size < sizeof(record));
    record[kind.size++] = 1;
    sp_record_writer_init(&writer, g->known);
    sp_record_put(&writer, &kind, record);
    bool known = listing_kind(listing_book(g->former), kind.number) != NULL;
    bool left_out = known ? spare : kind.spare;
    assert_int_equal(writer.err, left_out ? 0 : SP_E_UNSUPPORTED);
    if (!left_out && (!strstr(writer.trouble, kind.name) || (known && !strstr(writer.trouble, "tomorrow"))))
        fail_msg("\"%s\" does not name %s", writer.trouble, kind.name);
    if (left_out && known)
        assert_int_equal(writer.out.ptr[writer.out.len - 1], 0); /* an empty record */
    else
        assert_int_equal(writer.out.len, 0);
    sp_record_writer_deinit(&writer);
}

static void what_the_former_build_does_not_know_is_left_out_or_refused_by_name(void **state)
{
    struct golden_set g;
    open_set(&g, NULL);
    const struct sp_record_book *book = upgrade_book();
    for (uint32_t i = 0; i < book->count; i++)
        for (int spare = 0; spare < 2; spare++)
            put_with_more(&g, *book->kinds[i], spare);
    close_set(&g);
}

/* ---- writing ---- */

static int write_file(const char *folder, const char *name, const char *ending, sp_str bytes)
{
    char path[PATH_BYTES];
    FILE *f = fopen(path_of(folder, name, ending, path), "wb");
    if (!f || fwrite(bytes.ptr, 1, bytes.len, f) != bytes.len || fclose(f)) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
    return 0;
}

static void write_set(const char *folder, const char *name, const struct sp_record_writer *writer)
{
    if (writer->err) {
        fprintf(stderr, "%s cannot be saved: %s\n", name, writer->trouble);
        exit(1);
    }
    char *text = text_of(upgrade_book(), sp_buf_str(&writer->out));
    write_file(folder, name, ".records", sp_buf_str(&writer->out));
    write_file(folder, name, ".txt", sp_str_c(text));
    free(text);
}

/* A test of its own kind, so that what goes wrong in a scene is told as everywhere. */
static void all_golden_records_are_written(void **state)
{
    const char *folder = *state;
    struct sp_record_writer writer;
    struct sp_buf schema, listing;
    struct told t;
    sp_buf_init(&schema, 0);
    sp_buf_init(&listing, 0);
    sp_record_schema_write(upgrade_book(), &schema);
    listing_schema(upgrade_book(), &listing);
    write_file(folder, "schema", "", sp_buf_str(&schema));
    write_file(folder, "schema", ".txt", sp_buf_str(&listing));
    sp_buf_deinit(&schema);
    sp_buf_deinit(&listing);
    for (int i = 0; i < SCENES; i++) {
        struct scene s = { 0 };
        scenes[i].begin(&s);
        save(s.kit, NULL, &writer);
        write_set(folder, scenes[i].name, &writer);
        sp_record_writer_deinit(&writer);
        scenes[i].finish(&s);
        kit_free(s.kit);
    }
    open_told(&t);
    say_told(&t);
    save_told(&t, NULL, &writer);
    write_set(folder, "told", &writer);
    sp_record_writer_deinit(&writer);
    close_told(&t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_former_build_writes_means_the_same_here),
        cmocka_unit_test(the_former_schema_is_what_its_listing_says),
        cmocka_unit_test(http_connections_of_the_former_build_go_on),
        cmocka_unit_test(a_waiting_call_of_the_former_build_goes_on),
        cmocka_unit_test(bolt_calls_of_the_former_build_find_their_callers),
        cmocka_unit_test(a_tunnel_of_the_former_build_goes_on),
        cmocka_unit_test(bytes_inside_a_relay_of_the_former_build_go_on),
        cmocka_unit_test(undecoded_bytes_of_the_former_build_go_on),
        cmocka_unit_test(listening_sockets_of_the_former_build_go_on),
        cmocka_unit_test(a_call_behind_a_proxy_goes_back_to_the_former_build),
        cmocka_unit_test(what_the_former_build_was_told_holds_here),
        cmocka_unit_test(every_kind_is_in_a_golden_set),
        cmocka_unit_test(what_the_former_build_does_not_know_is_left_out_or_refused_by_name),
    };
    const struct CMUnitTest writing[] = { cmocka_unit_test_prestate(all_golden_records_are_written,
                                                                    argc > 2 ? argv[2] : NULL) };
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return cmocka_run_group_tests(writing, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
