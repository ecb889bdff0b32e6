/* upgrade_told: the part of a set of records that is about the process, made and taken as sampan-proxy does
 * it (upgrade.c and doors.c), without its sockets and threads.
 *
 *      server (1), door (2)              counted by this file: the program keeps them to itself
 *      applications, publications ...    into the light SDK's own shelves
 *      runtime, access log, admin        into an admin that serves nobody */
#include "unit/cmd/upgrade_told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cmd/sampan-proxy/upgrade.h"
#include "lightsdk/handoff.h"
/* tidy: include because what applications said is put there without their HTTP */
#include "lightsdk/lightsdk_impl.h"
#include "observe/handoff.h"

static uint64_t no_time(void *arg)
{
    return 0;
}

static sp_err set_runtime(void *arg, uint32_t key, uint64_t value)
{
    struct told *told = arg;
    if (key == SP_RUNTIME_DRAIN_TIME)
        told->drain_ms = value;
    return 0;
}

static const struct sp_admin_ops admin_ops = { .set_runtime = set_runtime };

void open_told(struct told *t)
{
    *t = (struct told){ .loop = sp_loop_new(NULL), .log = { .level = SP_LOG_INFO } };
    struct sp_lightsdk_config config = {
        .loop = t->loop, .settings = &t->settings, .seed = 1, .now_ns = no_time
    };
    t->sdk = sp_lightsdk_new(&config);
    t->accesslog = sp_accesslog_new(t->loop, SP_STR("host"));
    assert_true(t->sdk && t->accesslog);
    t->admin.loop = t->loop;
    t->admin.started_ns = sp_loop_now(t->loop);
    t->admin.config = (struct sp_admin_config){ .ops = &admin_ops, .arg = t, .log = &t->log };
    sp_runtime_init(&t->admin.runtime, NULL, SP_LOG_INFO);
}

void close_told(struct told *t)
{
    sp_lightsdk_free(t->sdk);
    sp_accesslog_free(t->accesslog);
    sp_loop_turn(t->loop, 0);
    sp_loop_free(t->loop);
}

void say_told(struct told *t)
{
    struct sp_lightsdk_pair pairs[] = { { SP_STR("timeout"), SP_STR("3000") } };
    struct sp_lightsdk_application a = { SP_STR("shop"), { pairs, 1 } };
    struct sp_lightsdk_publication p = {
        .service = SP_STR("com.acme.Echo:1.0"),
        .protocol_type = SP_STR("1"),
        .group = SP_STR("blue"),
        .protocol = SP_STR("bolt"),
        .version = SP_STR("4.0"),
        .serialize_type = SP_STR("hessian2"),
        .application = SP_STR("shop"),
        .properties = { pairs, 1 },
        .only_in_cloud = true,
        .addr = { .family = SP_ADDR_IP4, .port = 12200, .ip = { 127, 0, 0, 1 } },
        .source = SP_LIGHTSDK_BY_PORT,
    };
    struct sp_lightsdk_subscription s = { .service = SP_STR("com.acme.Stock:1.0"),
                                          .protocol_type = SP_STR("1"),
                                          .group = SP_STR("blue"),
                                          .target = SP_STR("10.0.0.9:12200"),
                                          .properties = { pairs, 1 },
                                          .vip_enforce = true,
                                          .vip_only = true,
                                          .local_cloud_first = true };
    assert_int_equal(sp_lightsdk_keep(t->sdk, SP_LIGHTSDK_APPLICATIONS, &a), 0);
    assert_int_equal(sp_lightsdk_keep(t->sdk, SP_LIGHTSDK_PUBLICATIONS, &p), 0);
    assert_int_equal(sp_lightsdk_keep(t->sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &s), 0);
    t->sdk->view.asks = 9;
    t->sdk->view.wrong = 2;
    t->sdk->view.limited = 1;
    assert_int_equal(sp_admin_heed(&t->admin, SP_RUNTIME_LOG_LEVEL, SP_LOG_DEBUG), 0);
    assert_int_equal(sp_admin_heed(&t->admin, SP_RUNTIME_DRAIN_TIME, 1500), 0);
    sp_accesslog_count(t->accesslog,
                       &(struct sp_accesslog_view){ .lines = 5, .lost = 2, .lost_bytes = 7, .errors = 1 });
}

void save_told(struct told *t, const struct sp_record_schema *receiver, struct sp_record_writer *writer)
{
    sp_record_writer_init(writer, receiver);
    const struct upgrade_server_record server = { .generation = 3 };
    const struct upgrade_door_record door = {
        .role = UPGRADE_ADMIN_TCP,
        .fd = sp_record_add_fd(writer, 0),
        .addr = { .family = SP_ADDR_IP4, .port = 15000, .ip = { 127, 0, 0, 1 } }
    };
    sp_record_put(writer, &upgrade_server_kind, &server);
    sp_record_put(writer, &upgrade_door_kind, &door);
    sp_lightsdk_save(t->sdk, writer);
    sp_admin_save(&t->admin, writer);
    sp_accesslog_save(t->accesslog, writer);
    assert_int_equal(writer->err, 0);
}

static sp_err load_own(struct told *t, struct sp_record_reader *reader, uint16_t kind)
{
    struct upgrade_server_record server;
    struct upgrade_door_record door;
    sp_err err = SP_E_MISSING;
    if (kind == upgrade_server_kind.number && !(err = sp_record_get(reader, &upgrade_server_kind, &server)))
        t->generation = server.generation;
    if (kind == upgrade_door_kind.number && !(err = sp_record_get(reader, &upgrade_door_kind, &door)))
        t->doors += door.role == UPGRADE_ADMIN_TCP && door.fd == 1 && door.addr.port == 15000;
    return err;
}

void load_told(struct told *t, sp_str records)
{
    struct sp_record_reader reader;
    uint16_t kind = 0;
    int found;
    sp_record_reader_init(&reader, records, NULL, 0);
    while ((found = sp_record_next(&reader, &kind)) > 0) {
        sp_err err = load_own(t, &reader, kind);
        if (err == SP_E_MISSING)
            err = sp_lightsdk_load(t->sdk, &reader, kind);
        if (err == SP_E_MISSING)
            err = sp_observe_load(&t->admin, t->accesslog, &reader, kind);
        if (err)
            fail_msg("told.records: kind %u: %s: %s", kind, sp_err_str(err), reader.trouble);
    }
    assert_int_equal(found, 0);
}
