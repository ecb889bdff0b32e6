/* What cannot be taken over is refused in words, by the old process or by the new one; and what is taken over
 * counts on. */
#include "proxy/handoff.h"

#include "base/buf.h"
#include "base/mem.h"
#include "unit/proxy/worker_kit.h"

struct set {
    struct sp_record_writer writer;
    struct sp_record_reader reader;
};

static void save(struct kit *kit, struct set *set)
{
    sp_record_writer_init(&set->writer, NULL);
    sp_process_save(&kit->sidecar->process, &set->writer);
    for (uint32_t i = 0; i < kit->sidecar->worker_count; i++)
        sp_worker_save(&kit->sidecar->workers[i], &set->writer);
    sp_record_reader_init(&set->reader, sp_buf_str(&set->writer.out), set->writer.fds, set->writer.fd_count);
}

/* Into a sidecar beside it, as far as it goes. */
static sp_err load(struct mesh_sidecar *into, struct set *set)
{
    struct sp_worker *workers[] = { &into->workers[0] };
    struct sp_handoff *handoff;
    uint16_t kind;
    int more = 0;
    sp_err err = 0;
    assert_int_equal(sp_handoff_begin(workers, 1, &handoff), 0);
    while (!err && (more = sp_record_next(&set->reader, &kind)) > 0)
        err = sp_handoff_load(handoff, &set->reader, kind);
    if (!err)
        err = more < 0 ? (sp_err)more : sp_handoff_end(handoff, &set->reader);
    sp_handoff_free(handoff);
    return err;
}

static void says(const char *trouble, const char *words)
{
    if (!strstr(trouble, words))
        fail_msg("the trouble is \"%s\", want \"%s\" in it", trouble, words);
}

static void saving_changes_nothing(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *client = kit_call(kit, KIT_OUT);
    struct set first, second;
    say(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET /a ");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    kit_run(kit, 5);
    save(kit, &first);
    save(kit, &second);
    assert_int_equal(first.writer.err, 0);
    assert_true(sp_str_eq(first.reader.in, second.reader.in));
    say(server, "cd");
    hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
    sp_record_writer_deinit(&first.writer);
    sp_record_writer_deinit(&second.writer);
    kit_free(kit);
}

static void a_listener_in_use_that_the_configuration_lacks_is_named(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct set set;
    kit_call(kit, KIT_OUT);
    kit_run(kit, 5);
    struct mesh_sidecar *other = mesh_sidecar_beside(kit->sidecar, 1);
    mesh_apply(other); /* nothing at all */
    save(kit, &set);
    assert_int_equal(load(other, &set), SP_E_INVALID);
    says(set.reader.trouble, "listener \"out\" is in use, and not in the new configuration");
    sp_record_writer_deinit(&set.writer);
    kit_free(kit);
}

static void a_cluster_in_use_that_the_configuration_lacks_is_named(void **state)
{
    static const char *const addrs[] = { KIT_APP, NULL };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct set set;
    struct peer *client = kit_call(kit, KIT_OUT);
    say(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_head(door_next(door), "GET /a ");
    struct mesh_sidecar *other = mesh_sidecar_beside(kit->sidecar, 1);
    mesh_cluster(other, "elsewhere", addrs);
    mesh_listener(other, "out", "127.0.0.1:15002", SP_PROTO_HTTP1, "elsewhere");
    mesh_apply(other);
    save(kit, &set);
    assert_int_equal(load(other, &set), SP_E_INVALID);
    says(set.reader.trouble, "cluster \"app\" is in use, and not in the new configuration");
    sp_record_writer_deinit(&set.writer);
    kit_free(kit);
}

static void what_nobody_uses_may_be_missing(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct set set;
    struct mesh_sidecar *other = mesh_sidecar_beside(kit->sidecar, 1);
    mesh_apply(other);
    save(kit, &set);
    assert_int_equal(load(other, &set), 0);
    sp_record_writer_deinit(&set.writer);
    kit_free(kit);
}

static void a_process_that_drains_refuses(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct set set;
    struct peer *client = kit_call(kit, KIT_OUT);
    say(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    mesh_drain(kit->sidecar, 10 * SP_NS_PER_S);
    kit_run(kit, 5);
    save(kit, &set);
    assert_int_equal(set.writer.err, SP_E_UNSUPPORTED);
    says(set.writer.trouble, "draining");
    sp_record_writer_deinit(&set.writer);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    kit_run(kit, 50);
    kit_free(kit);
}

static void round_robin_goes_on_where_it_stood(void **state)
{
    static const char *const addrs[] = { "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", NULL };
    struct kit *kit = kit_new(1);
    struct mesh_sidecar *s = kit->sidecar;
    mesh_cluster(s, "app", addrs);
    kit_listener(kit, SP_PROTO_HTTP1);
    kit_apply(kit);
    struct sp_balance *b = &the_cluster(kit, "app")->balance;
    b->at = 7;
    kit->sidecar = mesh_upgrade(s, 1);
    kit->worker = &kit->sidecar->workers[0];
    assert_int_equal(the_cluster(kit, "app")->balance.at, 7);
    kit_free(kit);
}

static void listeners_are_spread_over_more_and_fewer_workers(void **state)
{
    struct sp_handoff_listener l[] = { { .name = SP_STR("a"), .worker = 0 },
                                       { .name = SP_STR("b"), .worker = 0 },
                                       { .name = SP_STR("a"), .worker = 1 },
                                       { .name = SP_STR("b"), .worker = 1 } };
    sp_handoff_spread(l, 4, 1);
    assert_true(!l[0].extra && !l[1].extra && l[2].extra && l[3].extra);
    sp_handoff_spread(l, 4, 2);
    assert_true(l[0].to == 0 && l[2].to == 1 && !l[2].extra);
    struct sp_handoff_listener joined[] = { { .name = SP_STR("a"), .worker = 0 },
                                            { .name = SP_STR("a"), .worker = 0 } };
    sp_handoff_spread(joined, 2, 2); /* one worker that had two: each of two gets one */
    assert_true(joined[0].to == 0 && joined[1].to == 1 && !joined[1].extra);
}

static void a_record_out_of_place_is_refused(void **state)
{
    struct kit *kit = kit_new(1);
    kit_apply(kit);
    static const struct {
        const char *bytes;
        size_t len;
        const char *words;
    } bad[] = {
        { "\x6c\x00", 2, "before any worker" },   /* a line */
        { "\x64\x02\x02\x05", 4, "comes where" }, /* worker 5 first */
        { "\x64\x00", 2, "clock stands still" },         { "\x64\x02\x04\x01\x6c\x00", 6, "no conn" },
        { "\x64\x02\x04\x01\x70\x00", 6, "protocol 0" }, { "\x64\x02\x04\x01\x71\x02\x02\x01", 8, "no line" },
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct set set = { 0 };
        sp_record_reader_init(&set.reader, sp_str_of(bad[i].bytes, bad[i].len), NULL, 0);
        assert_int_equal(load(kit->sidecar, &set), SP_E_INVALID);
        says(set.reader.trouble, bad[i].words);
    }
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_changes_nothing),
        cmocka_unit_test(a_listener_in_use_that_the_configuration_lacks_is_named),
        cmocka_unit_test(a_cluster_in_use_that_the_configuration_lacks_is_named),
        cmocka_unit_test(what_nobody_uses_may_be_missing),
        cmocka_unit_test(a_process_that_drains_refuses),
        cmocka_unit_test(round_robin_goes_on_where_it_stood),
        cmocka_unit_test(listeners_are_spread_over_more_and_fewer_workers),
        cmocka_unit_test(a_record_out_of_place_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
