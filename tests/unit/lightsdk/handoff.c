/* handoff: what applications said is the same in the successor; broken records say what is wrong. */
#include "lightsdk/handoff.h"

#include "lib/http.h"

#include "base/mem.h"
#include "lightsdk/lightsdk_impl.h"
#include "model/settings.h"

static uint64_t now_ns(void *arg)
{
    return 0;
}

struct world {
    struct sp_loop *loop;
    struct sp_settings settings;
    struct sp_lightsdk *sdk[2]; /* before and after */
    struct sp_record_writer writer;
    struct sp_record_reader reader;
};

static void open_world(struct world *w)
{
    *w = (struct world){ .loop = sp_loop_new(NULL) };
    for (int i = 0; i < 2; i++) {
        struct sp_lightsdk_config config = {
            .loop = w->loop, .settings = &w->settings, .seed = 1 + (uint64_t)i, .now_ns = now_ns
        };
        w->sdk[i] = sp_lightsdk_new(&config);
        assert_non_null(w->sdk[i]);
    }
    sp_record_writer_init(&w->writer, NULL);
}

static void close_world(struct world *w)
{
    sp_lightsdk_free(w->sdk[0]);
    sp_lightsdk_free(w->sdk[1]);
    sp_record_writer_deinit(&w->writer);
    sp_loop_turn(w->loop, 0);
    sp_loop_free(w->loop);
}

/* All three kinds, with and without pairs and addresses. */
static void say_everything(struct sp_lightsdk *sdk)
{
    struct sp_lightsdk_pair pairs[] = { { SP_STR("timeout"), SP_STR("3000") }, { SP_STR("w"), SP_STR("") } };
    struct sp_lightsdk_application a = { SP_STR("shop"), { pairs, 2 } };
    struct sp_lightsdk_publication p = {
        .service = SP_STR("com.acme.Echo:1.0"),
        .protocol_type = SP_STR("1"),
        .protocol = SP_STR("bolt"),
        .properties = { pairs, 1 },
        .only_in_cloud = true,
        .addr = { .family = SP_ADDR_IP4, .port = 12200, .ip = { 127, 0, 0, 1 } },
        .source = SP_LIGHTSDK_BY_PORT
    };
    struct sp_lightsdk_publication q = { .service = SP_STR("com.acme.Other:1.0"), .group = SP_STR("blue") };
    struct sp_lightsdk_subscription s = { .service = SP_STR("com.acme.Stock:1.0"),
                                          .target = SP_STR("10.0.0.9:12200"),
                                          .vip_only = true };
    assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_APPLICATIONS, &a), 0);
    assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &p), 0);
    assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &q), 0);
    assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &s), 0);
    sdk->view.asks = 9;
    sdk->view.wrong = 2;
    sdk->view.limited = 1;
}

/* Everything that was written, into the second; the first error. */
static sp_err load(struct world *w, sp_str bytes)
{
    uint16_t kind;
    int found;
    sp_record_reader_init(&w->reader, bytes, NULL, 0);
    while ((found = sp_record_next(&w->reader, &kind)) > 0) {
        sp_err err = sp_lightsdk_load(w->sdk[1], &w->reader, kind);
        if (err)
            return err;
    }
    return found;
}

static void what_was_said_is_the_same_in_the_successor(void **state)
{
    struct world w;
    struct sp_buf before, after;
    open_world(&w);
    say_everything(w.sdk[0]);
    sp_lightsdk_save(w.sdk[0], &w.writer);
    assert_int_equal(w.writer.err, 0);
    assert_int_equal(load(&w, sp_buf_str(&w.writer.out)), 0);
    sp_buf_init(&before, 0);
    sp_buf_init(&after, 0);
    sp_lightsdk_write_json(w.sdk[0], &before);
    sp_lightsdk_write_json(w.sdk[1], &after);
    assert_true(sp_str_eq(sp_buf_str(&before), sp_buf_str(&after)));
    assert_true(before.len > 100);
    struct sp_lightsdk_view one = sp_lightsdk_view(w.sdk[0]), two = sp_lightsdk_view(w.sdk[1]);
    assert_memory_equal(&one, &two, sizeof(one));
    const struct sp_lightsdk_publication *found = sp_lightsdk_find(w.sdk[1], SP_STR("com.acme.Echo:1.0"));
    assert_non_null(found);
    assert_int_equal(found->addr.port, 12200);
    sp_buf_deinit(&before);
    sp_buf_deinit(&after);
    close_world(&w);
}

static void records_that_end_early_are_refused_in_words(void **state)
{
    struct world w;
    open_world(&w);
    say_everything(w.sdk[0]);
    sp_lightsdk_save(w.sdk[0], &w.writer);
    sp_str whole = sp_buf_str(&w.writer.out);
    uint32_t refused = 0;
    for (size_t cut = 0; cut < whole.len; cut++) {
        char *copy = sp_mem_alloc(cut + 1); /* of its own, so that reading behind it is seen */
        memcpy(copy, whole.ptr, cut);
        if (load(&w, sp_str_of(copy, cut))) {
            assert_true(w.reader.trouble[0]);
            refused++;
        }
        sp_mem_free(copy);
    }
    assert_true(refused > whole.len / 2);
    close_world(&w);
}

static void what_is_more_than_can_be_kept_is_refused(void **state)
{
    struct world w;
    open_world(&w);
    for (int i = 0; i < SP_LIGHTSDK_APPLICATIONS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "other%d", i);
        struct sp_lightsdk_application a = { .name = sp_str_c(name) };
        assert_int_equal(sp_lightsdk_keep(w.sdk[1], SP_LIGHTSDK_APPLICATIONS, &a), 0);
    }
    say_everything(w.sdk[0]);
    sp_lightsdk_save(w.sdk[0], &w.writer);
    assert_int_equal(load(&w, sp_buf_str(&w.writer.out)), SP_E_INVALID);
    assert_non_null(strstr(w.reader.trouble, "more than is kept here"));
    close_world(&w);
}

/* ---- after each word ---- */

enum { WORDS = 8 };

static void say_word(struct sp_lightsdk *sdk, int word)
{
    struct sp_lightsdk_pair pair = { SP_STR("w"), SP_STR("1") };
    struct sp_lightsdk_publication p = { .service = SP_STR("com.acme.Echo:1.0"), .properties = { &pair, 1 } };
    struct sp_lightsdk_subscription q = { .service = SP_STR("com.acme.Stock:1.0") };
    struct sp_lightsdk_application a = { SP_STR("shop"), { &pair, 1 } };
    struct sp_lightsdk_ask ask = { .service = word == 4 ? q.service : p.service };
    switch (word) {
    case 0: assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_APPLICATIONS, &a), 0); break;
    case 1:
    case 6: assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &p), 0); break;
    case 2: assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &q), 0); break;
    case 3: /* in the place of the first */
        pair.value = SP_STR("2");
        assert_int_equal(sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &p), 0);
        break;
    case 4: assert_int_equal(sp_lightsdk_drop(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &ask), 1); break;
    default: assert_int_equal(sp_lightsdk_drop(sdk, SP_LIGHTSDK_PUBLICATIONS, &ask), 1); break;
    }
}

static void check_same(const struct world *w)
{
    struct sp_buf json[2];
    for (int i = 0; i < 2; i++) {
        sp_buf_init(&json[i], 0);
        sp_lightsdk_write_json(w->sdk[i], &json[i]);
    }
    assert_true(sp_str_eq(sp_buf_str(&json[0]), sp_buf_str(&json[1])));
    struct sp_lightsdk_view one = sp_lightsdk_view(w->sdk[0]), two = sp_lightsdk_view(w->sdk[1]);
    assert_int_equal(one.kept_bytes, two.kept_bytes);
    assert_int_equal(one.publications, two.publications);
    assert_int_equal(one.subscriptions, two.subscriptions);
    for (int i = 0; i < 2; i++)
        sp_buf_deinit(&json[i]);
}

/* The first never moves; the second takes over after `move` words, and both hear the rest. */
static void after_each_word_the_successor_goes_on_alike(void **state)
{
    for (int move = 0; move <= WORDS; move++) {
        struct world w;
        open_world(&w);
        for (int word = 0; word < move; word++)
            say_word(w.sdk[0], word);
        sp_lightsdk_save(w.sdk[0], &w.writer);
        assert_int_equal(load(&w, sp_buf_str(&w.writer.out)), 0);
        check_same(&w);
        for (int word = move; word < WORDS; word++) {
            say_word(w.sdk[0], word);
            say_word(w.sdk[1], word);
            check_same(&w);
        }
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_said_is_the_same_in_the_successor),
        cmocka_unit_test(records_that_end_early_are_refused_in_words),
        cmocka_unit_test(what_is_more_than_can_be_kept_is_refused),
        cmocka_unit_test(after_each_word_the_successor_goes_on_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
