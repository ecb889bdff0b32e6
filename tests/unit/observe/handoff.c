/* handoff: what was changed at run time holds in the successor; what it does not know is refused in words. */
#include "observe/handoff.h"

#include "lib/http.h"

#include "base/buf.h"
#include "observe/accesslog.h"
#include "observe/admin_impl.h"

static uint64_t heeded;

static sp_err set_runtime(void *arg, uint32_t key, uint64_t value)
{
    heeded = value;
    return 0;
}

static const struct sp_admin_ops ops = { .set_runtime = set_runtime };

struct side {
    struct sp_log log;
    struct sp_admin admin;
    struct sp_accesslog *accesslog;
};

static void open_side(struct side *side, struct sp_loop *loop)
{
    *side = (struct side){ .log = { .level = SP_LOG_INFO } };
    side->accesslog = sp_accesslog_new(loop, SP_STR("host"));
    assert_non_null(side->accesslog);
    side->admin.loop = loop;
    side->admin.started_ns = sp_loop_now(loop);
    side->admin.config = (struct sp_admin_config){ .ops = &ops, .log = &side->log };
    sp_runtime_init(&side->admin.runtime, NULL, SP_LOG_INFO);
}

static sp_err load(struct side *side, const struct sp_record_writer *writer, struct sp_record_reader *reader)
{
    uint16_t kind;
    int found;
    sp_record_reader_init(reader, sp_buf_str(&writer->out), NULL, 0);
    while ((found = sp_record_next(reader, &kind)) > 0) {
        sp_err err = sp_observe_load(&side->admin, side->accesslog, reader, kind);
        if (err)
            return err;
    }
    return found;
}

static void what_was_changed_holds_in_the_successor(void **state)
{
    struct sp_loop *loop = sp_loop_new(NULL);
    struct side before, after;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    open_side(&before, loop);
    open_side(&after, loop);
    assert_int_equal(sp_admin_heed(&before.admin, SP_RUNTIME_LOG_LEVEL, SP_LOG_DEBUG), 0);
    assert_int_equal(sp_admin_heed(&before.admin, SP_RUNTIME_DRAIN_TIME, 1500), 0);
    before.admin.before_ns = 7;
    before.admin.before_requests = 9;
    before.admin.before_refused = 3;
    sp_accesslog_count(before.accesslog, &(struct sp_accesslog_view){ .lines = 5, .lost = 2, .errors = 1 });
    heeded = 0;
    sp_record_writer_init(&writer, NULL);
    sp_admin_save(&before.admin, &writer);
    sp_accesslog_save(before.accesslog, &writer);
    assert_int_equal(writer.err, 0);
    assert_int_equal(load(&after, &writer, &reader), 0);
    assert_int_equal(after.log.level, SP_LOG_DEBUG);
    assert_int_equal(heeded, 1500);
    assert_true(after.admin.runtime.changed[SP_RUNTIME_DRAIN_TIME]);
    assert_false(after.admin.runtime.changed[SP_RUNTIME_REASON_HEADER]);
    assert_true(after.admin.before_ns >= 7);
    assert_int_equal(after.admin.before_requests, 9);
    assert_int_equal(after.admin.before_refused, 3);
    assert_int_equal(sp_accesslog_view(after.accesslog).lines, 5);
    assert_int_equal(sp_accesslog_view(after.accesslog).lost, 2);
    assert_int_equal(sp_accesslog_view(after.accesslog).errors, 1);
    sp_record_writer_deinit(&writer);
    sp_accesslog_free(before.accesslog);
    sp_accesslog_free(after.accesslog);
    sp_loop_free(loop);
}

static void a_value_that_is_out_of_range_is_refused_by_name(void **state)
{
    struct sp_loop *loop = sp_loop_new(NULL);
    struct side before, after;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    open_side(&before, loop);
    open_side(&after, loop);
    before.admin.runtime.changed[SP_RUNTIME_DRAIN_TIME] = true;
    before.admin.runtime.values[SP_RUNTIME_DRAIN_TIME] = UINT64_MAX;
    sp_record_writer_init(&writer, NULL);
    sp_admin_save(&before.admin, &writer);
    assert_int_equal(load(&after, &writer, &reader), SP_E_INVALID);
    assert_non_null(strstr(reader.trouble, "drain.time_ms"));
    sp_record_writer_deinit(&writer);
    sp_accesslog_free(before.accesslog);
    sp_accesslog_free(after.accesslog);
    sp_loop_free(loop);
}

static bool is_set_here(enum sp_runtime_id id)
{
    return id == SP_RUNTIME_LOG_LEVEL || id == SP_RUNTIME_DRAIN_TIME;
}

/* Handed on after each change, from each successor to the next: what was changed once stays changed. */
static void each_change_is_handed_on_from_successor_to_successor(void **state)
{
    static const struct {
        enum sp_runtime_id id;
        uint64_t value;
    } changes[] = { { SP_RUNTIME_DRAIN_TIME, 1500 },
                    { SP_RUNTIME_LOG_LEVEL, SP_LOG_DEBUG },
                    { SP_RUNTIME_DRAIN_TIME, 2500 },
                    { SP_RUNTIME_LOG_LEVEL, SP_LOG_WARN } };
    struct sp_loop *loop = sp_loop_new(NULL);
    struct side stays, moves, next;
    open_side(&stays, loop);
    open_side(&moves, loop);
    for (size_t i = 0; i < SP_COUNTOF(changes); i++) {
        struct sp_record_writer writer;
        struct sp_record_reader reader;
        assert_int_equal(sp_admin_heed(&stays.admin, changes[i].id, changes[i].value), 0);
        assert_int_equal(sp_admin_heed(&moves.admin, changes[i].id, changes[i].value), 0);
        sp_accesslog_count(stays.accesslog, &(struct sp_accesslog_view){ .lines = 3, .lost = i });
        sp_accesslog_count(moves.accesslog, &(struct sp_accesslog_view){ .lines = 3, .lost = i });
        open_side(&next, loop);
        sp_record_writer_init(&writer, NULL);
        sp_admin_save(&moves.admin, &writer);
        sp_accesslog_save(moves.accesslog, &writer);
        assert_int_equal(load(&next, &writer, &reader), 0);
        sp_record_writer_deinit(&writer);
        sp_accesslog_free(moves.accesslog);
        moves = next;
        moves.admin.config.log = &moves.log; /* it has moved within this test */
        for (int id = 0; id < SP_RUNTIME_KEYS; id++) {
            assert_int_equal(moves.admin.runtime.changed[id], stays.admin.runtime.changed[id]);
            if (is_set_here((enum sp_runtime_id)id))
                assert_int_equal(moves.admin.runtime.values[id], stays.admin.runtime.values[id]);
        }
        assert_int_equal(moves.log.level, stays.log.level);
        assert_int_equal(sp_accesslog_view(moves.accesslog).lines, sp_accesslog_view(stays.accesslog).lines);
        assert_int_equal(sp_accesslog_view(moves.accesslog).lost, sp_accesslog_view(stays.accesslog).lost);
    }
    sp_accesslog_free(moves.accesslog);
    sp_accesslog_free(stays.accesslog);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_changed_holds_in_the_successor),
        cmocka_unit_test(a_value_that_is_out_of_range_is_refused_by_name),
        cmocka_unit_test(each_change_is_handed_on_from_successor_to_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
