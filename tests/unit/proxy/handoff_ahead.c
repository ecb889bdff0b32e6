/* What is told ahead: quiet lines alone, each once, and none that has changed when the freeze comes. */
#include "base/buf.h"
#include "proxy/handoff_impl.h"
#include "unit/proxy/worker_kit.h"

enum { PART = 2, PARTS_MOST = 8 };

struct told {
    struct sp_ahead *ahead;
    struct sp_record_writer part[PARTS_MOST];
    uint32_t parts, lines; /* lines: in all parts */
};

static uint32_t count_kind(const struct sp_record_writer *writer, uint16_t wanted)
{
    struct sp_record_reader reader;
    uint16_t kind;
    uint32_t count = 0;
    sp_record_reader_init(&reader, sp_buf_str(&writer->out), writer->fds, writer->fd_count);
    while (sp_record_next(&reader, &kind) > 0)
        count += kind == wanted;
    return count;
}

static void tell(struct kit *kit, struct told *told)
{
    bool more = true;
    *told = (struct told){ .ahead = sp_ahead_new(&kit->sidecar->workers[0]) };
    assert_non_null(told->ahead);
    while (more) {
        assert_true(told->parts < PARTS_MOST);
        struct sp_record_writer *part = &told->part[told->parts++];
        sp_record_writer_init(part, NULL);
        more = sp_ahead_save(told->ahead, part, PART);
        assert_int_equal(part->err, 0);
        assert_int_equal(part->fd_count, count_kind(part, SP_KIND_LINE));
        told->lines += part->fd_count;
    }
}

static void forget(struct told *told)
{
    for (uint32_t i = 0; i < told->parts; i++)
        sp_record_writer_deinit(&told->part[i]);
    sp_ahead_free(told->ahead);
}

/* How many lines the freeze need not tell. */
static uint32_t spared(struct kit *kit, const struct told *told)
{
    struct sp_record_writer all, rest;
    sp_record_writer_init(&all, NULL);
    sp_record_writer_init(&rest, NULL);
    sp_worker_save(&kit->sidecar->workers[0], &all);
    sp_worker_save_rest(&kit->sidecar->workers[0], &rest, told->ahead);
    assert_int_equal(rest.err, 0);
    assert_int_equal(count_kind(&rest, SP_KIND_STILL), told->lines > 0);
    uint32_t less = count_kind(&all, SP_KIND_LINE) - count_kind(&rest, SP_KIND_LINE);
    assert_int_equal(all.fd_count - rest.fd_count, less);
    sp_record_writer_deinit(&all);
    sp_record_writer_deinit(&rest);
    return less;
}

static void call(struct kit *kit, struct peer *client, struct peer **server, struct door *door)
{
    say(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    if (!*server)
        *server = door_next(door);
    hear_head(*server, "GET /a ");
    say(*server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    kit_run(kit, 5);
}

static void quiet_lines_are_told_in_parts_and_spared_by_the_freeze(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server = NULL;
    struct told told;
    for (int i = 0; i < 5; i++)
        call(kit, kit_call(kit, KIT_OUT), &server, door);
    tell(kit, &told);
    assert_int_equal(told.lines, 5);
    assert_int_equal(told.parts, 3);
    assert_int_equal(spared(kit, &told), 5);
    forget(&told);
    kit_free(kit);
}

static void a_line_that_was_called_on_is_told_again(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server = NULL;
    struct told told;
    struct peer *busy = kit_call(kit, KIT_OUT), *quiet = kit_call(kit, KIT_OUT);
    call(kit, busy, &server, door);
    call(kit, quiet, &server, door);
    tell(kit, &told);
    assert_int_equal(told.lines, 2);
    call(kit, busy, &server, door); /* and is as quiet as before */
    assert_int_equal(spared(kit, &told), 1);
    forget(&told);
    kit_free(kit);
}

static void a_line_with_a_call_under_way_is_not_told(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct told told;
    struct peer *client = kit_call(kit, KIT_OUT);
    say(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *server = door_next(door);
    hear_head(server, "GET /a ");
    say(kit_call(kit, KIT_OUT), "GET /half HT");
    kit_run(kit, 5);
    tell(kit, &told);
    assert_int_equal(told.lines, 0);
    assert_int_equal(spared(kit, &told), 0);
    forget(&told);
    kit_free(kit);
}

static void a_call_that_begins_behind_the_telling_goes_with_the_freeze(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server = NULL;
    struct told told;
    struct peer *client = kit_call(kit, KIT_OUT);
    call(kit, client, &server, door);
    tell(kit, &told);
    say(client, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_head(server, "GET /b ");
    assert_int_equal(spared(kit, &told), 0);
    forget(&told);
    kit_free(kit);
}

/* Storage of lines is used again, so the new one may lie where the old one lay. */
static void a_line_in_the_place_of_one_that_ended_is_another_one(void **state)
{
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server = NULL;
    struct told told;
    struct peer *client = kit_call(kit, KIT_OUT);
    call(kit, client, &server, door);
    tell(kit, &told);
    assert_int_equal(told.lines, 1);
    leave(client, false);
    kit_run(kit, 100);
    call(kit, kit_call(kit, KIT_OUT), &server, door);
    assert_int_equal(spared(kit, &told), 0);
    forget(&told);
    kit_free(kit);
}

static void what_did_not_come_cannot_be_confirmed(void **state)
{
    static const char *const addrs[] = { KIT_APP, NULL };
    struct door *door;
    struct kit *kit = kit_usual(SP_PROTO_HTTP1, &door);
    struct peer *server = NULL;
    struct told told;
    struct sp_record_writer rest;
    struct sp_record_reader reader;
    struct sp_handoff *handoff;
    uint16_t kind;
    sp_err err = 0;
    call(kit, kit_call(kit, KIT_OUT), &server, door);
    tell(kit, &told);
    sp_record_writer_init(&rest, NULL);
    sp_worker_save_rest(&kit->sidecar->workers[0], &rest, told.ahead);
    struct mesh_sidecar *other = mesh_sidecar_beside(kit->sidecar, 1);
    mesh_cluster(other, "app", addrs);
    mesh_listener(other, "out", KIT_OUT, SP_PROTO_HTTP1, "app");
    mesh_apply(other);
    struct sp_worker *workers[] = { &other->workers[0] };
    assert_int_equal(sp_handoff_begin(workers, 1, &handoff), 0);
    sp_record_reader_init(&reader, sp_buf_str(&rest.out), rest.fds, rest.fd_count);
    while (!err && sp_record_next(&reader, &kind) > 0)
        if (kind != SP_KIND_CONN && kind != SP_KIND_LINE) /* their descriptors are not ours */
            err = sp_handoff_load(handoff, &reader, kind);
    assert_int_equal(err, SP_E_INVALID);
    if (!strstr(reader.trouble, "0 lines came ahead, and it tells of 1"))
        fail_msg("%s", reader.trouble);
    sp_handoff_free(handoff);
    sp_record_writer_deinit(&rest);
    forget(&told);
    kit_free(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_lines_are_told_in_parts_and_spared_by_the_freeze),
        cmocka_unit_test(a_line_that_was_called_on_is_told_again),
        cmocka_unit_test(a_line_with_a_call_under_way_is_not_told),
        cmocka_unit_test(a_call_that_begins_behind_the_telling_goes_with_the_freeze),
        cmocka_unit_test(a_line_in_the_place_of_one_that_ended_is_another_one),
        cmocka_unit_test(what_did_not_come_cannot_be_confirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
