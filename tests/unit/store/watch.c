/* watch: what a watch is told, when it is slow, when it resumes, when it ends. What it is told over random
 * histories is store_model's; here are the single promises. */
#include "unit/store/help.h"

enum { MANY = 1000, LONG = 3000 };

struct seen {
    struct sp_store_watch *watch;
    char text[4096];
    struct sp_buf buf;
    uint64_t revision, batches, events, ended_at;
    const struct sp_store_kv *last;
    bool close_at_once, ended;
};

static void on_batch(void *arg, const struct sp_store_batch *batch)
{
    struct seen *seen = arg;
    sp_buf_printf(&seen->buf, "[%llu", (unsigned long long)batch->revision);
    for (uint32_t i = 0; i < batch->count; i++) {
        write_kv(&seen->buf, batch->events[i].kv);
        if (batch->events[i].previous) {
            sp_buf_add_c(&seen->buf, " was");
            write_kv(&seen->buf, batch->events[i].previous);
        }
        seen->last = batch->events[i].kv;
    }
    sp_buf_add_c(&seen->buf, "]");
    seen->revision = batch->revision;
    seen->events += batch->count;
    seen->batches++;
    if (seen->close_at_once)
        sp_store_watch_close(seen->watch);
}

static void on_end(void *arg, enum sp_store_why why, uint64_t compacted)
{
    struct seen *seen = arg;
    assert_int_equal(why, SP_STORE_COMPACTED);
    assert_false(seen->ended);
    seen->ended = true;
    seen->ended_at = compacted;
}

static void watch(struct seen *seen, struct sp_store_client *client, const char *prefix, uint64_t from,
                  bool previous)
{
    *seen = (struct seen){ 0 };
    sp_buf_init_fixed(&seen->buf, seen->text, sizeof(seen->text));
    seen->watch = sp_store_watch_open(
        client,
        &(struct sp_store_watch_config){ .span = { .from = sp_str_c(prefix), .kind = SP_STORE_PREFIX },
                                         .from = from,
                                         .want_previous = previous,
                                         .on_batch = on_batch,
                                         .on_end = on_end,
                                         .arg = seen });
    assert_non_null(seen->watch);
}

static void turns(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++)
        sp_loop_turn(rig->loop, 0);
}

static void a_watch_tells_where_it_begins_and_then_what_changes(void **state)
{
    struct rig rig = { 0 };
    struct seen seen;
    rig_open(&rig);
    put(&rig, "a1", "x", 0);
    watch(&seen, rig.client, "a", 0, true);
    put(&rig, "a2", "y", 0);
    put(&rig, "b", "z", 0);
    put(&rig, "a1", "w", 0);
    del(&rig, "a1");
    turns(&rig, 3);
    assert_string_equal(seen.text, "[1][2 a2=y@2,2,1,0][4 a1=w@1,4,2,0 was a1=x@1,1,1,0]"
                                   "[5 a1=@0,5,0,0 was a1=w@1,4,2,0]");
    rig_close(&rig);
}

static void a_watch_resumes_behind_what_it_was_told(void **state)
{
    struct rig rig = { 0 };
    struct seen first, second;
    rig_open(&rig);
    watch(&first, rig.client, "", 1, false);
    put(&rig, "a", "1", 0);
    put(&rig, "b", "2", 0);
    turns(&rig, 3);
    sp_store_watch_close(first.watch);
    put(&rig, "c", "3", 0);
    turns(&rig, 3);
    watch(&second, rig.client, "", first.revision + 1, false);
    turns(&rig, 3);
    assert_string_equal(first.text, "[0][1 a=1@1,1,1,0][2 b=2@2,2,1,0]");
    assert_string_equal(second.text, "[3 c=3@3,3,1,0]");
    rig_close(&rig);
}

static void a_watch_of_the_future_waits_for_it(void **state)
{
    struct rig rig = { 0 };
    struct seen seen;
    rig_open(&rig);
    watch(&seen, rig.client, "", 3, false);
    for (int i = 0; i < 4; i++)
        put(&rig, "a", "x", 0);
    turns(&rig, 3);
    assert_string_equal(seen.text, "[2][3 a=x@1,3,3,0][4 a=x@1,4,4,0]");
    rig_close(&rig);
}

static void a_watch_below_the_compacted_revision_is_told_so(void **state)
{
    struct rig rig = { 0 };
    struct seen at, behind;
    rig_open(&rig);
    for (int i = 0; i < 5; i++)
        put(&rig, "a", "x", 0);
    assert_int_equal(compact_to(&rig, 3).why, SP_STORE_FINE);
    watch(&at, rig.client, "", 3, false);
    watch(&behind, rig.client, "", 4, false);
    turns(&rig, 5);
    assert_true(at.ended && at.ended_at == 3 && at.batches == 0);
    assert_string_equal(behind.text, "[5 a=x@1,4,4,0 a=x@1,5,5,0]");
    sp_store_watch_close(at.watch);
    rig_close(&rig);
}

/* A client whose loop does not turn: its watch holds one batch, whatever happens meanwhile. */
static void a_slow_watch_costs_one_batch_and_is_told_when_it_lost_its_place(void **state)
{
    struct rig rig = { .config.keep_events = 100 };
    struct sp_loop *slow = sp_loop_new(NULL);
    struct seen seen;
    bool closed = false;
    rig_open(&rig);
    struct sp_store_client *client = sp_store_client_new(rig.store, slow);
    watch(&seen, client, "", 1, false);
    for (int i = 0; i < 200; i++)
        put(&rig, "a", "x", 0);
    uint64_t before = sp_mem_used_bytes();
    for (int i = 0; i < LONG; i++)
        put(&rig, "a", "x", 0);
    if (sp_mem_used_bytes() > before + 65536)
        fail_msg("%llu bytes more for a slow watch", (unsigned long long)(sp_mem_used_bytes() - before));
    for (int i = 0; i < 10; i++) {
        sp_loop_turn(slow, 0);
        sp_loop_turn(rig.loop, 0);
    }
    assert_true(seen.ended);
    assert_true(seen.revision <= seen.ended_at && seen.ended_at >= LONG);
    sp_store_client_close(client, mark_true, &closed);
    for (int i = 0; i < 10 && !closed; i++) {
        sp_loop_turn(rig.loop, 0);
        sp_loop_turn(slow, 0);
    }
    assert_true(closed);
    rig_close(&rig);
    sp_loop_free(slow);
}

static void a_watch_may_be_closed_from_its_own_callback_and_is_silent_then(void **state)
{
    struct rig rig = { 0 };
    struct seen seen;
    rig_open(&rig);
    watch(&seen, rig.client, "", 0, false);
    seen.close_at_once = true;
    for (int i = 0; i < 3; i++)
        put(&rig, "a", "x", 0);
    turns(&rig, 3);
    assert_int_equal(seen.batches, 1);
    rig_close(&rig);
}

static void a_long_history_comes_in_batches_of_whole_revisions(void **state)
{
    struct rig rig = { 0 };
    struct seen seen;
    rig_open(&rig);
    for (int i = 0; i < LONG / 100; i++) {
        struct sp_store_ask *ask = ask_new(&rig);
        for (int k = 0; k < 100; k++) {
            char key[16];
            snprintf(key, sizeof(key), "k%d", k);
            sp_store_ask_put(ask, sp_str_c(key), SP_STR("v"), 0, false);
        }
        assert_int_equal(ask_wait(&rig, ask).why, SP_STORE_FINE);
    }
    watch(&seen, rig.client, "", 1, false);
    turns(&rig, 40);
    assert_int_equal(seen.events, LONG);
    assert_int_equal(seen.batches, 5); /* 600 events each: the first full revision behind 512 */
    rig_close(&rig);
}

static void a_thousand_watches_share_the_bytes_of_one_put(void **state)
{
    struct rig rig = { 0 };
    struct seen *seen = calloc(MANY, sizeof(*seen));
    char *large = malloc(100001);
    rig_open(&rig);
    for (int i = 0; i < MANY; i++)
        watch(&seen[i], rig.client, "key", 0, false);
    turns(&rig, 3);
    memset(large, 'x', 100000);
    large[100000] = 0;
    uint64_t before = sp_mem_used_bytes();
    put(&rig, "key", large, 0);
    if (sp_mem_used_bytes() > before + 100000 + MANY * 128)
        fail_msg("%llu bytes for one put", (unsigned long long)(sp_mem_used_bytes() - before));
    turns(&rig, 3);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i].events, 1);
        assert_ptr_equal(seen[i].last, seen[0].last);
    }
    free(large);
    rig_close(&rig);
    free(seen);
}

static void a_mark_of_progress_comes_when_others_changed(void **state)
{
    struct rig rig = { 0 };
    struct seen seen = { 0 };
    rig_open(&rig);
    sp_buf_init_fixed(&seen.buf, seen.text, sizeof(seen.text));
    seen.watch = sp_store_watch_open(
        rig.client, &(struct sp_store_watch_config){ .span = { .from = SP_STR("a"), .kind = SP_STORE_PREFIX },
                                                     .want_progress = true,
                                                     .on_batch = on_batch,
                                                     .on_end = on_end,
                                                     .arg = &seen });
    put(&rig, "b", "x", 0);
    put(&rig, "b", "x", 0);
    for (int i = 0; i < 1000 && seen.batches < 2; i++)
        sp_loop_turn(rig.loop, 20 * SP_NS_PER_MS);
    assert_string_equal(seen.text, "[0][2]");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_tells_where_it_begins_and_then_what_changes),
        cmocka_unit_test(a_watch_resumes_behind_what_it_was_told),
        cmocka_unit_test(a_watch_of_the_future_waits_for_it),
        cmocka_unit_test(a_watch_below_the_compacted_revision_is_told_so),
        cmocka_unit_test(a_slow_watch_costs_one_batch_and_is_told_when_it_lost_its_place),
        cmocka_unit_test(a_watch_may_be_closed_from_its_own_callback_and_is_silent_then),
        cmocka_unit_test(a_long_history_comes_in_batches_of_whole_revisions),
        cmocka_unit_test(a_thousand_watches_share_the_bytes_of_one_put),
        cmocka_unit_test(a_mark_of_progress_comes_when_others_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
