/* log: levels, whole lines, nothing that a peer says can end a line or move a cursor. */
#include "base/log.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

struct kept {
    char text[SP_LOG_LINE_BYTES + 1];
    size_t len;
    int lines;
    enum sp_log_level level;
};

static void keep(void *sink_arg, enum sp_log_level level, sp_str line)
{
    struct kept *kept = sink_arg;
    assert_true(line.len <= SP_LOG_LINE_BYTES);
    memcpy(kept->text, line.ptr, line.len);
    kept->text[line.len] = '\0';
    kept->len = line.len;
    kept->level = level;
    kept->lines++;
}

static void a_line_is_the_message_and_its_pairs(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_INFO, keep, &kept };

    sp_log_line(&log, SP_LOG_WARN, "cluster has no endpoint", "cluster=%s tries=%d", "reviews", 3);
    assert_string_equal(kept.text, "cluster has no endpoint cluster=reviews tries=3\n");
    assert_int_equal(kept.level, SP_LOG_WARN);
    sp_log_line(&log, SP_LOG_INFO, "ready", NULL);
    assert_string_equal(kept.text, "ready\n");
    assert_int_equal(kept.lines, 2);
}

static void only_levels_that_are_on_reach_the_sink(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_WARN, keep, &kept };

    sp_log_line(&log, SP_LOG_INFO, "no", NULL);
    assert_int_equal(kept.lines, 0);
    sp_log_set_level(&log, SP_LOG_DEBUG);
    assert_true(sp_log_on(&log, SP_LOG_DEBUG));
    sp_log_line(&log, SP_LOG_DEBUG, "yes", NULL);
    assert_int_equal(kept.lines, 1);
    sp_log_set_level(&log, SP_LOG_ERROR);
    assert_false(sp_log_on(&log, SP_LOG_WARN));
    sp_log_line(&log, SP_LOG_ERROR, "yes", NULL);
    assert_int_equal(kept.lines, 2);
    sp_log_line(NULL, SP_LOG_ERROR, "nobody listens", NULL);
    assert_false(sp_log_on(NULL, SP_LOG_ERROR));
}

static void levels_are_read_by_all_their_names(void **state)
{
    static const struct {
        const char *name;
        enum sp_log_level level;
    } rows[] = { { "error", SP_LOG_ERROR }, { "warn", SP_LOG_WARN },     { "warning", SP_LOG_WARN },
                 { "info", SP_LOG_INFO },   { "debug", SP_LOG_DEBUG },   { "trace", SP_LOG_DEBUG },
                 { "off", SP_LOG_ERROR },   { "critical", SP_LOG_ERROR } };
    enum sp_log_level level;

    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        assert_int_equal(sp_log_level_parse(sp_str_c(rows[i].name), &level), 0);
        assert_int_equal(level, rows[i].level);
    }
    for (unsigned i = 0; i < SP_LOG_LEVELS; i++) {
        assert_int_equal(sp_log_level_parse(sp_str_c(sp_log_level_name((enum sp_log_level)i)), &level), 0);
        assert_int_equal(level, i);
    }
    level = SP_LOG_WARN;
    assert_int_equal(sp_log_level_parse(SP_STR("Info"), &level), SP_E_INVALID);
    assert_int_equal(sp_log_level_parse(SP_STR_NULL, &level), SP_E_INVALID);
    assert_int_equal(level, SP_LOG_WARN);
    assert_string_equal(sp_log_level_name(SP_LOG_LEVELS), "unknown");
}

static void a_peer_cannot_forge_a_line(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_INFO, keep, &kept };

    sp_log_line(&log, SP_LOG_INFO, "bad path", "path=%s", "/x\nroot logged in\r\t\x1b[2J\x7f");
    assert_string_equal(kept.text, "bad path path=/x\\x0aroot logged in\\x0d\\x09\\x1b[2J\\x7f\n");
    sp_log_line(&log, SP_LOG_INFO, "name", "a=%s b=%s", "\xE4\xB8\xAD",
                "\xC2\x9B"
                "31m\xFF");
    assert_string_equal(kept.text, "name a=\xE4\xB8\xAD b=\\xc2\\x9b31m\\xff\n");
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_INFO, keep, &kept };
    static char text[3 * SP_LOG_LINE_BYTES];

    for (size_t len = SP_LOG_LINE_BYTES - 20; len < sizeof(text); len += len < 4200 ? 1 : 999) {
        memset(text, 'a', len);
        text[len] = '\0';
        sp_log_line(&log, SP_LOG_INFO, "m", "%s", text);
        bool fits = len + 2 <= SP_LOG_LINE_BYTES - 4;
        assert_int_equal(kept.len, fits ? len + 3 : SP_LOG_LINE_BYTES);
        assert_int_equal(strcmp(kept.text + kept.len - 4, "...\n") == 0, !fits);
        sp_log_line(&log, SP_LOG_INFO, text, "tail=%d", 1); /* a long message is no better */
        assert_true(kept.len <= SP_LOG_LINE_BYTES && kept.text[kept.len - 1] == '\n');
    }
}

static void run_any_bytes(uint64_t seed)
{
    struct sp_rng rng;
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_INFO, keep, &kept };
    char text[SP_LOG_LINE_BYTES + 50];

    sp_rng_init(&rng, seed);
    size_t len = sp_rng_below(&rng, sizeof(text));
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(1 + sp_rng_below(&rng, 255));
    text[len] = '\0';
    sp_log_line(&log, SP_LOG_INFO, "m", "%s", text);
    check_seed(seed, kept.lines == 1 && kept.text[kept.len - 1] == '\n');
    check_seed(seed, sp_str_is_utf8(sp_str_of(kept.text, kept.len)));
    for (size_t i = 0; i + 1 < kept.len; i++)
        check_seed(seed, (unsigned char)kept.text[i] >= 0x20 && kept.text[i] != 0x7f);
}

static void any_bytes_make_one_clean_line(void **state)
{
    each_seed(300, run_any_bytes);
}

static void a_line_needs_no_memory(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_INFO, keep, &kept };

    (void)sp_mem_fail_at(1);
    sp_log_line(&log, SP_LOG_ERROR, "out of memory", "bytes=%zu", (size_t)1);
    assert_int_equal(sp_mem_fail_at(0), 0);
    assert_int_equal(kept.lines, 1);
}

static void *change_levels(void *arg)
{
    for (int i = 0; i < 100000; i++)
        sp_log_set_level(arg, i % 2 ? SP_LOG_ERROR : SP_LOG_DEBUG);
    return NULL;
}

static void levels_change_from_another_thread(void **state)
{
    struct kept kept = { 0 };
    struct sp_log log = { SP_LOG_DEBUG, keep, &kept };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, change_levels, &log), 0);
    for (int i = 0; i < 10000; i++)
        sp_log_line(&log, SP_LOG_ERROR, "always", NULL);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(kept.lines, 10000);
    assert_false(sp_log_on(&log, SP_LOG_WARN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_the_message_and_its_pairs),
        cmocka_unit_test(only_levels_that_are_on_reach_the_sink),
        cmocka_unit_test(levels_are_read_by_all_their_names),
        cmocka_unit_test(a_peer_cannot_forge_a_line),
        cmocka_unit_test(a_long_line_is_cut_and_says_so),
        cmocka_unit_test(any_bytes_make_one_clean_line),
        cmocka_unit_test(a_line_needs_no_memory),
        cmocka_unit_test(levels_change_from_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
