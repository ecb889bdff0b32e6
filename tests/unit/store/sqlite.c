/* sqlite: which files are opened, which are refused and by what words, and what a copy is worth. */
#include "store/sqlite/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "unit/store/help.h"

enum { FLIPS = 150 };

static void expect_trouble(const struct rig *rig, sp_err have, sp_err want, const char *words)
{
    if (have != want || !strstr(rig->trouble, words) || !strstr(rig->trouble, rig->path))
        fail_msg("have %d \"%s\", want %d \"%s\"", have, rig->trouble, want, words);
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL))
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int64_t count_rows(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *count;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM history", -1, &count, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(count), SQLITE_ROW);
    int64_t rows = sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    sqlite3_close(db);
    return rows;
}

/* a store with some history, closed */
static void make_store(struct rig *rig, struct place *place)
{
    place_make(place);
    *rig = (struct rig){ .path = place->file };
    rig_open(rig);
    struct sp_store_ask *ask = ask_new(rig);
    sp_store_ask_grant(ask, 7, 60);
    assert_int_equal(ask_wait(rig, ask).why, SP_STORE_FINE);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof(key), "key%d", i % 15);
        assert_int_equal(put(rig, key, "a value of some length that fills pages", i % 5 ? 0 : 7).why,
                         SP_STORE_FINE);
    }
    assert_int_equal(del(rig, "key3").why, SP_STORE_FINE);
    rig_close(rig);
}

static void a_file_is_made_for_its_owner_alone_and_read_back_whole(void **state)
{
    struct place place;
    struct rig rig;
    struct stat made;
    make_store(&rig, &place);
    assert_int_equal(stat(place.file, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0600);
    rig_open(&rig);
    struct reply reply = get_all(&rig, 0);
    assert_int_equal(reply.revision, 41);
    assert_int_equal(reply.count, 14);
    expect(&reply, " key0=a value of some length that fills pages@1,31,3,7");
    rig_close(&rig);
    place_remove(&place);
}

static void a_second_store_on_the_same_file_is_refused(void **state)
{
    struct place place;
    struct rig rig, second;
    int status;
    make_store(&rig, &place);
    rig_open(&rig);
    second = (struct rig){ .path = place.file };
    expect_trouble(&second, rig_try(&second), SP_E_EXISTS, "another process has it open");
    sp_loop_free(second.loop);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rig other = { .path = place.file };
        _exit(rig_try(&other) == SP_E_EXISTS && strstr(other.trouble, "another process has it open") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(put(&rig, "still", "here", 0).why, SP_STORE_FINE);
    rig_close(&rig);
    place_remove(&place);
}

static void a_newer_schema_and_a_strangers_file_are_refused_by_name(void **state)
{
    struct place place;
    struct rig rig;
    make_store(&rig, &place);
    run_sql(place.file, "PRAGMA user_version = 2");
    expect_trouble(&rig, rig_try(&rig), SP_E_UNSUPPORTED, "schema 2: this build knows up to 1");
    run_sql(place.file, "PRAGMA user_version = 1; PRAGMA application_id = 5");
    expect_trouble(&rig, rig_try(&rig), SP_E_UNSUPPORTED, "a SQLite file of another program");
    unlink(place.file);
    run_sql(place.file, "CREATE TABLE theirs (x)");
    expect_trouble(&rig, rig_try(&rig), SP_E_UNSUPPORTED, "a SQLite file of another program");
    FILE *file = fopen(place.file, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is a text\n", file);
    fclose(file);
    expect_trouble(&rig, rig_try(&rig), SP_E_INVALID, "this is no store");
    unlink(place.file);
    assert_int_equal(mkdir(place.file, 0700), 0);
    expect_trouble(&rig, rig_try(&rig), SP_E_IO, "unable to open");
    assert_int_equal(rmdir(place.file), 0);
    sp_loop_free(rig.loop);
    place_remove(&place);
}

/* What SQLite itself finds in order and a history cannot be. */
static void rows_that_make_no_history_are_refused_by_their_number(void **state)
{
    static const struct {
        const char *damage, *words;
    } cases[] = {
        { "UPDATE history SET value = x'00' WHERE number = 20", "change 20: its sum is wrong" },
        { "UPDATE history SET lease = 0 WHERE number = 1", "change 1: its sum is wrong" },
        { "DELETE FROM history WHERE number = 41", "40 changes are there, 41 were kept" },
        { "DELETE FROM history WHERE number = 5", "change 20: the version before it is missing" },
        { "UPDATE meta SET revision = 90", "the revision is missing or damaged" },
        { "DELETE FROM meta", "the revision is missing or damaged" },
        { "DELETE FROM leases", "its lease is missing" },
        { "INSERT INTO leases VALUES (9, -4)", "lease 9 is damaged" },
        { "DROP TABLE leases", "no such table" },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct place place;
        struct rig rig;
        make_store(&rig, &place);
        run_sql(place.file, cases[i].damage);
        sp_err err = rig_try(&rig);
        if (!err || !strstr(rig.trouble, cases[i].words))
            fail_msg("%s: have %d \"%s\", want \"%s\"", cases[i].damage, err, rig.trouble, cases[i].words);
        sp_loop_free(rig.loop);
        place_remove(&place);
    }
}

static char *read_all(const char *path, size_t *ret_bytes)
{
    struct stat there;
    assert_int_equal(stat(path, &there), 0);
    char *bytes = malloc((size_t)there.st_size);
    FILE *file = fopen(path, "r");
    assert_int_equal(fread(bytes, 1, (size_t)there.st_size, file), (size_t)there.st_size);
    fclose(file);
    *ret_bytes = (size_t)there.st_size;
    return bytes;
}

static void write_all(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* A flipped bit may lie where nothing is kept; else it must be noticed. Nothing wrong is ever told. */
static void flip_bits(uint64_t seed)
{
    struct place place;
    struct rig rig;
    struct sp_rng rng;
    size_t size;
    int refused = 0;
    sp_rng_init(&rng, seed);
    make_store(&rig, &place);
    char *good = read_all(place.file, &size);
    rig_open(&rig);
    struct reply want = get_all(&rig, 0);
    rig_close(&rig);
    for (int i = 0; i < FLIPS; i++) {
        size_t cut = i % 10 == 9 ? sp_rng_below(&rng, size) : size, at = sp_rng_below(&rng, size);
        char *bad = malloc(size);
        memcpy(bad, good, size);
        bad[at] ^= (char)(1 << sp_rng_below(&rng, 8));
        write_all(place.file, bad, cut);
        free(bad);
        sp_err err = rig_try(&rig);
        if (err) {
            refused++;
            if (strlen(rig.trouble) < strlen(place.file) + 10)
                fail_msg("SAMPAN_SEED=%llu: refused without words: %s", (unsigned long long)seed,
                         rig.trouble);
        } else {
            struct reply have = get_all(&rig, 0);
            if (strcmp(have.text, want.text) != 0 && cut)
                fail_msg("SAMPAN_SEED=%llu: flip %d at %zu of %zu is believed: %s", (unsigned long long)seed,
                         i, at, cut, have.text);
            rig_shut(&rig);
        }
    }
    assert_true(refused > FLIPS / 8);
    sp_loop_free(rig.loop);
    free(good);
    place_remove(&place);
}

static void a_flipped_bit_is_refused_or_lies_where_nothing_is_kept(void **state)
{
    each_seed(2, flip_bits);
}

static void a_backup_of_a_running_store_opens_as_that_store(void **state)
{
    struct place place;
    struct rig rig;
    char copy[128];
    struct stat made;
    make_store(&rig, &place);
    rig_open(&rig);
    assert_int_equal(put(&rig, "last", "word", 0).why, SP_STORE_FINE);
    struct reply want = get_all(&rig, 0);
    snprintf(copy, sizeof(copy), "%s.copy", place.file);
    struct sp_store_ask *ask = ask_new(&rig);
    sp_store_ask_backup(ask, sp_str_c(copy));
    assert_int_equal(ask_wait(&rig, ask).why, SP_STORE_FINE);
    assert_int_equal(stat(copy, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0600);
    ask = ask_new(&rig);
    sp_store_ask_backup(ask, sp_str_c(copy));
    struct reply again = ask_wait(&rig, ask);
    assert_int_equal(again.why, SP_STORE_NO_BACKUP);
    struct rig second = { .path = copy };
    rig_open(&second);
    struct reply have = get_all(&second, 0);
    assert_string_equal(have.text, want.text);
    rig_close(&second);
    rig_close(&rig);
    place_remove(&place);
}

static void what_is_compacted_leaves_the_file(void **state)
{
    struct place place;
    struct rig rig;
    make_store(&rig, &place);
    assert_int_equal(count_rows(place.file), 41);
    rig_open(&rig);
    assert_int_equal(compact_to(&rig, 41).why, SP_STORE_FINE);
    for (int i = 0; i < 5; i++)
        sp_loop_turn(rig.loop, 0);
    rig_close(&rig);
    assert_int_equal(count_rows(place.file), 14); /* one for each key that is there */
    rig_open(&rig);
    struct reply reply = get_all(&rig, 0);
    assert_int_equal(reply.count, 14);
    assert_int_equal(reply.compacted, 41);
    assert_int_equal(put(&rig, "key3", "again", 0).revision, 42);
    rig_close(&rig);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_made_for_its_owner_alone_and_read_back_whole),
        cmocka_unit_test(a_second_store_on_the_same_file_is_refused),
        cmocka_unit_test(a_newer_schema_and_a_strangers_file_are_refused_by_name),
        cmocka_unit_test(rows_that_make_no_history_are_refused_by_their_number),
        cmocka_unit_test(a_flipped_bit_is_refused_or_lies_where_nothing_is_kept),
        cmocka_unit_test(a_backup_of_a_running_store_opens_as_that_store),
        cmocka_unit_test(what_is_compacted_leaves_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
