/* path: the table of paths and their one form; every form is its own form, and no memory is taken for it. */
#include "wire/path.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/rng.h"
#include "unit/base/help.h"

static struct sp_path_rules read_rules(const char *words)
{
    struct sp_path_rules rules = { 0 };
    rules.normalize = strstr(words, "normalize") != NULL;
    rules.merge_slashes = strstr(words, "merge") != NULL;
    if (strstr(words, "decode"))
        rules.escaped = SP_PATH_ESCAPED_DECODE;
    if (strstr(words, "refuse"))
        rules.escaped = SP_PATH_ESCAPED_REFUSE;
    return rules;
}

static void unescape(struct sp_buf *out, sp_str text)
{
    static const char names[] = "rnts\\", means[] = "\r\n\t \\";
    for (size_t i = 0; i < text.len; i++) {
        char kind = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        uint64_t byte;
        if (text.ptr[i] != '\\') {
            sp_buf_add_char(out, text.ptr[i]);
        } else if (kind == 'x') {
            assert_int_equal(sp_str_hex_to_u64(sp_str_upto(sp_str_from(text, i + 2), 2), &byte), 0);
            sp_buf_add_char(out, (char)byte);
            i += 3;
        } else {
            if (kind != 'e') {
                assert_non_null(strchr(names, kind));
                sp_buf_add_char(out, means[strchr(names, kind) - names]);
            }
            i++;
        }
    }
}

/* A copy of exactly its size, so that the sanitizer sees a read beyond it. */
static sp_str exact(sp_str s)
{
    char *copy = malloc(s.len ? s.len : 1);
    memcpy(copy, s.ptr, s.len);
    return sp_str_of(copy, s.len);
}

static void check_fixed(sp_str form, const struct sp_path_rules *rules, struct sp_arena *arena)
{
    sp_str again = SP_STR_NULL;
    const char *why = NULL;
    assert_int_equal(sp_path_canonical(form, rules, arena, &again, &why), 0);
    if (again.ptr != form.ptr || again.len != form.len)
        fail_msg("\"%.*s\" is no form of its own: \"%.*s\"", SP_STR_ARG(form), SP_STR_ARG(again));
}

static void check_line(char *line, const struct sp_path_rules *rules, size_t number)
{
    struct sp_buf in, want;
    struct sp_arena arena;
    char *arrow = strstr(line, " => ");
    if (!arrow)
        fail_msg("line %zu is no case: %s", number, line);
    *arrow = '\0';
    const char *form = arrow + 4;
    sp_buf_init(&in, 0);
    sp_buf_init(&want, 0);
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    unescape(&in, sp_str_c(line));
    unescape(&want, sp_str_c(form));

    sp_str path = exact(sp_buf_str(&in)), have = SP_STR_NULL;
    const char *why = NULL;
    sp_err err = sp_path_canonical(path, rules, &arena, &have, &why);
    if (strcmp(form, "refused") == 0) {
        if (err != SP_E_INVALID || !why)
            fail_msg("line %zu: %s is not refused but \"%.*s\"", number, line, SP_STR_ARG(have));
    } else {
        if (err)
            fail_msg("line %zu: %s is refused: %s", number, line, why);
        check_str(have, want.len ? (sp_buf_add_char(&want, '\0'), want.ptr) : "");
        if (sp_str_eq(have, path))
            assert_ptr_equal(have.ptr, path.ptr);
        check_fixed(have, rules, &arena);
    }
    free((void *)(uintptr_t)path.ptr);
    sp_arena_deinit(&arena);
    sp_buf_deinit(&in);
    sp_buf_deinit(&want);
}

static void every_path_of_the_table_has_its_one_form(void **state)
{
    char line[1024];
    struct sp_path_rules rules = { 0 };
    size_t cases = 0;
    FILE *in = fopen(SP_TESTS_DIR "/conform/paths.txt", "r");
    assert_non_null(in);
    for (size_t number = 1; fgets(line, sizeof line, in); number++) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (strncmp(line, "rules ", 6) == 0) {
            rules = read_rules(line + 6);
            continue;
        }
        check_line(line, &rules, number);
        cases++;
    }
    fclose(in);
    assert_true(cases >= 300);
}

static void a_plain_path_takes_no_memory(void **state)
{
    struct sp_arena arena = { 0 }; /* the first byte taken would need a block */
    struct sp_path_rules rules = { .normalize = true,
                                   .merge_slashes = true,
                                   .escaped = SP_PATH_ESCAPED_DECODE };
    sp_str path = SP_STR("/api/v1/users/42.json?q=%2F..//"), have;
    const char *why = NULL;
    assert_int_equal(sp_path_canonical(path, &rules, &arena, &have, &why), 0);
    assert_ptr_equal(have.ptr, path.ptr);
    assert_null(arena.blocks);
}

static void an_arena_that_is_out_is_said_so(void **state)
{
    struct sp_arena arena;
    char storage[8];
    struct sp_path_rules rules = { .normalize = true };
    sp_str have;
    const char *why = NULL;
    sp_arena_init(&arena, storage, sizeof storage, 16, 8);
    assert_int_equal(
        sp_path_canonical(SP_STR("/a/../0123456789/0123456789/0123456789"), &rules, &arena, &have, &why),
        SP_E_NOMEM);
    sp_arena_deinit(&arena);
}

static void the_query_is_cut_off_at_the_first_question_mark(void **state)
{
    check_str(sp_path_without_query(SP_STR("/a?b?c")), "/a");
    check_str(sp_path_without_query(SP_STR("/a")), "/a");
    check_str(sp_path_without_query(SP_STR("/?")), "/");
}

/* No dots, no doubled slash where they are merged, nothing that decodes to an unreserved character. */
static void check_form(uint64_t seed, sp_str form, const struct sp_path_rules *rules)
{
    sp_str path = sp_path_without_query(form);
    char padded[256];
    check_seed(seed, path.len + 2 < sizeof padded && path.len > 0 && path.ptr[0] == '/');
    memcpy(padded, path.ptr, path.len);
    padded[path.len] = '/';
    padded[path.len + 1] = '\0';
    if (rules->merge_slashes)
        check_seed(seed, !memmem(path.ptr, path.len, "//", 2));
    if (!rules->normalize)
        return;
    check_seed(seed, !strstr(padded, "/./") && !strstr(padded, "/../") && !strstr(padded, "\\"));
    check_seed(seed, !strstr(padded, "%2e") && !strstr(padded, "%2E") && !strstr(padded, "%61"));
    check_seed(seed, !strstr(padded, "/..;") && !strstr(padded, "/.;") && !strstr(padded, "/..%2F"));
}

static void run_seed(uint64_t seed)
{
    static const char *const words[] = { "/", "..",  ".",   "a",   "%2e", "%2F", "%5c", "\\",
                                         ";", "%3B", "%61", "%25", "b",   "%7E", "%2",  "//" };
    struct sp_rng rng;
    struct sp_buf in;
    struct sp_arena arena;
    sp_rng_init(&rng, seed);
    sp_buf_init(&in, 0);
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    sp_buf_add_char(&in, '/');
    for (uint64_t n = sp_rng_below(&rng, 16); n; n--)
        sp_buf_add_c(&in, words[sp_rng_below(&rng, SP_COUNTOF(words))]);

    struct sp_path_rules rules = {
        .normalize = sp_rng_chance(&rng, 800),
        .merge_slashes = sp_rng_chance(&rng, 500),
        .escaped = (uint8_t)sp_rng_below(&rng, 3),
    };
    sp_str path = exact(sp_buf_str(&in)), have = SP_STR_NULL;
    const char *why = NULL;
    sp_err err = sp_path_canonical(path, &rules, &arena, &have, &why);
    check_seed(seed, err == 0 || (err == SP_E_INVALID && why));
    if (!err) {
        check_form(seed, have, &rules);
        check_fixed(have, &rules, &arena);
    }
    free((void *)(uintptr_t)path.ptr);
    sp_arena_deinit(&arena);
    sp_buf_deinit(&in);
}

static void forms_of_random_paths_hold_what_they_promise(void **state)
{
    each_seed(20000, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_the_table_has_its_one_form),
        cmocka_unit_test(a_plain_path_takes_no_memory),
        cmocka_unit_test(an_arena_that_is_out_is_said_so),
        cmocka_unit_test(the_query_is_cut_off_at_the_first_question_mark),
        cmocka_unit_test(forms_of_random_paths_hold_what_they_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
