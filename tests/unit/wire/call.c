/* call: numbers of header names, and the edits of a head. */
#include "wire/call.h"

#include "base/arena.h"
#include "base/mem.h"
#include "unit/base/help.h"

static const struct {
    const char *name;
    enum sp_hdr http, rpc;
} names[] = {
    { "host", SP_HDR_HOST, SP_HDR_OTHER },
    { "connection", SP_HDR_CONNECTION, SP_HDR_OTHER },
    { "keep-alive", SP_HDR_KEEP_ALIVE, SP_HDR_OTHER },
    { "proxy-connection", SP_HDR_PROXY_CONNECTION, SP_HDR_OTHER },
    { "transfer-encoding", SP_HDR_TRANSFER_ENCODING, SP_HDR_OTHER },
    { "content-length", SP_HDR_CONTENT_LENGTH, SP_HDR_OTHER },
    { "te", SP_HDR_TE, SP_HDR_OTHER },
    { "trailer", SP_HDR_TRAILER, SP_HDR_OTHER },
    { "upgrade", SP_HDR_UPGRADE, SP_HDR_OTHER },
    { "expect", SP_HDR_EXPECT, SP_HDR_OTHER },
    { "user-agent", SP_HDR_USER_AGENT, SP_HDR_OTHER },
    { "content-type", SP_HDR_CONTENT_TYPE, SP_HDR_OTHER },
    { "location", SP_HDR_LOCATION, SP_HDR_OTHER },
    { "cookie", SP_HDR_COOKIE, SP_HDR_OTHER },
    { "x-forwarded-for", SP_HDR_X_FORWARDED_FOR, SP_HDR_OTHER },
    { "x-forwarded-proto", SP_HDR_X_FORWARDED_PROTO, SP_HDR_OTHER },
    { "x-request-id", SP_HDR_X_REQUEST_ID, SP_HDR_X_REQUEST_ID },
    { "traceparent", SP_HDR_TRACEPARENT, SP_HDR_TRACEPARENT },
    { "tracestate", SP_HDR_TRACESTATE, SP_HDR_TRACESTATE },
    { "x-b3-traceid", SP_HDR_B3_TRACE_ID, SP_HDR_OTHER },
    { "x-envoy-retry-on", SP_HDR_X_ENVOY, SP_HDR_OTHER },
    { "x-envoy-a", SP_HDR_X_ENVOY, SP_HDR_OTHER },
    { "x-envoy-", SP_HDR_OTHER, SP_HDR_OTHER },
    { "SOFA-TraceId", SP_HDR_SOFA_TRACE_ID, SP_HDR_OTHER },
    { "SOFA-RpcId", SP_HDR_SOFA_RPC_ID, SP_HDR_OTHER },
    { "rpc_trace_context.sofaTraceId", SP_HDR_OTHER, SP_HDR_SOFA_TRACE_ID },
    { "rpc_trace_context.sofaRpcId", SP_HDR_OTHER, SP_HDR_SOFA_RPC_ID },
    { "service", SP_HDR_OTHER, SP_HDR_SOFA_SERVICE },
    { "sofa_head_target_service", SP_HDR_SOFA_SERVICE, SP_HDR_SOFA_SERVICE },
    { "sofa_head_method_name", SP_HDR_SOFA_METHOD, SP_HDR_SOFA_METHOD },
    { "sofa_head_target_app", SP_HDR_SOFA_TARGET_APP, SP_HDR_SOFA_TARGET_APP },
    { "app", SP_HDR_OTHER, SP_HDR_SOFA_APP },
    { "sofa_head_response_error", SP_HDR_SOFA_ERROR, SP_HDR_SOFA_ERROR },
    { "sofa_head_deadline_remain_time", SP_HDR_SOFA_DEADLINE, SP_HDR_SOFA_DEADLINE },
    { "hos", SP_HDR_OTHER, SP_HDR_OTHER },
    { "hoss", SP_HDR_OTHER, SP_HDR_OTHER },
    { "content_length", SP_HDR_OTHER, SP_HDR_OTHER },
    { "accept", SP_HDR_OTHER, SP_HDR_OTHER },
};

static void each_known_name_has_its_number(void **state)
{
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        sp_str name = sp_str_c(names[i].name);
        if (sp_hdr_of(name, true) != names[i].http || sp_hdr_of(name, false) != names[i].rpc)
            fail_msg("%s is %d in HTTP and %d in RPC", names[i].name, sp_hdr_of(name, true),
                     sp_hdr_of(name, false));
    }
    assert_int_equal(sp_hdr_of(SP_STR(""), true), SP_HDR_OTHER);
}

static void http_names_fold_and_rpc_names_do_not(void **state)
{
    char large[64];
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        size_t len = strlen(names[i].name);
        for (size_t k = 0; k <= len; k++)
            large[k] = names[i].name[k] >= 'a' && names[i].name[k] <= 'z' ? names[i].name[k] - 32
                                                                          : names[i].name[k];
        assert_int_equal(sp_hdr_of(sp_str_c(large), true), names[i].http);
        assert_int_equal(sp_hdr_of(sp_str_c(large), false), SP_HDR_OTHER);
    }
}

static void a_name_that_differs_in_one_byte_has_no_number(void **state)
{
    char other[64];
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        size_t len = strlen(names[i].name);
        if (names[i].http == SP_HDR_OTHER || names[i].http == SP_HDR_X_ENVOY)
            continue;
        for (size_t k = 0; k < len; k++) {
            memcpy(other, names[i].name, len);
            other[k] = '!';
            assert_int_equal(sp_hdr_of(sp_str_of(other, len), true), SP_HDR_OTHER);
            other[k] = (char)(names[i].name[k] ^ 0x80);
            assert_int_equal(sp_hdr_of(sp_str_of(other, len), true), SP_HDR_OTHER);
        }
    }
}

struct fixture {
    struct sp_arena arena;
    struct sp_header table[3];
    struct sp_head head;
};

static void set_up(struct fixture *f, enum sp_protocol protocol)
{
    memset(f, 0, sizeof *f);
    sp_arena_init(&f->arena, NULL, 0, 1024, 0);
    f->head.protocol = (uint8_t)protocol;
    f->head.headers = f->table;
    f->head.header_cap = SP_COUNTOF(f->table);
}

static void headers_are_found_by_number_and_by_name(void **state)
{
    struct fixture f;
    set_up(&f, SP_PROTO_HTTP1);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("User-Agent"), SP_STR("x")), 0);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("A"), SP_STR("1")), 0);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("a"), SP_STR("2")), 0);
    check_str(sp_head_value(&f.head, SP_HDR_USER_AGENT), "x");
    check_str(sp_head_value_name(&f.head, SP_STR("a")), "1");
    assert_null(sp_head_find(&f.head, SP_HDR_COOKIE));
    assert_null(sp_head_find_name(&f.head, SP_STR("b")));
    assert_null(sp_head_value(&f.head, SP_HDR_COOKIE).ptr);
    assert_int_equal(f.head.flags, SP_HEAD_EDITED);
    sp_arena_deinit(&f.arena);
}

static void rpc_names_are_compared_as_they_are(void **state)
{
    struct fixture f;
    set_up(&f, SP_PROTO_BOLT);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("Service"), SP_STR("1")), 0);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("service"), SP_STR("2")), 0);
    check_str(sp_head_value_name(&f.head, SP_STR("service")), "2");
    check_str(sp_head_value(&f.head, SP_HDR_SOFA_SERVICE), "2");
    sp_head_remove(&f.head, SP_STR("service"));
    assert_int_equal(f.head.header_count, 1);
    sp_arena_deinit(&f.arena);
}

static void the_table_moves_into_the_arena_when_it_is_full(void **state)
{
    struct fixture f;
    char name[8];
    set_up(&f, SP_PROTO_HTTP1);
    static char kept[2 * SP_HEADERS_MAX + 1][8];
    for (unsigned i = 0; i < 2 * SP_HEADERS_MAX; i++) {
        snprintf(kept[i], sizeof kept[i], "h%u", i);
        assert_int_equal(sp_head_add(&f.head, &f.arena, sp_str_c(kept[i]), sp_str_c(kept[i])), 0);
    }
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("more"), SP_STR("")), SP_E_LIMIT);
    assert_int_equal(f.head.header_count, 2 * SP_HEADERS_MAX);
    for (unsigned i = 0; i < 2 * SP_HEADERS_MAX; i += 17) {
        snprintf(name, sizeof name, "H%u", i);
        check_str(sp_head_value_name(&f.head, sp_str_c(name)), kept[i]);
    }
    sp_arena_deinit(&f.arena);
}

static void removing_takes_all_of_a_name_and_keeps_the_order(void **state)
{
    struct fixture f;
    set_up(&f, SP_PROTO_HTTP1);
    const char *list[] = { "x", "a", "X", "b", "x" };
    for (size_t i = 0; i < SP_COUNTOF(list); i++)
        assert_int_equal(sp_head_add(&f.head, &f.arena, sp_str_c(list[i]), SP_STR("v")), 0);
    f.head.flags = 0;
    sp_head_remove(&f.head, SP_STR("nothing"));
    assert_int_equal(f.head.flags, 0);
    sp_head_remove(&f.head, SP_STR("x"));
    assert_int_equal(f.head.flags, SP_HEAD_EDITED);
    assert_int_equal(f.head.header_count, 2);
    check_str(sp_str_of(f.head.headers[0].name, 1), "a");
    check_str(sp_str_of(f.head.headers[1].name, 1), "b");
    sp_arena_deinit(&f.arena);
}

static void setting_leaves_one_of_a_name_where_the_first_stood(void **state)
{
    struct fixture f;
    set_up(&f, SP_PROTO_HTTP1);
    const char *list[] = { "a", "X", "b", "x", "c" };
    for (size_t i = 0; i < SP_COUNTOF(list); i++)
        assert_int_equal(sp_head_add(&f.head, &f.arena, sp_str_c(list[i]), SP_STR("v")), 0);
    f.head.headers[1].flags = SP_HEADER_HOP;
    assert_int_equal(sp_head_set(&f.head, &f.arena, SP_STR("x"), SP_STR("new")), 0);
    assert_int_equal(f.head.header_count, 4);
    assert_int_equal(f.head.headers[1].flags, 0);
    check_str(sp_str_of(f.head.headers[1].value, f.head.headers[1].value_len), "new");
    check_str(sp_str_of(f.head.headers[2].name, 1), "b");
    check_str(sp_str_of(f.head.headers[3].name, 1), "c");
    assert_int_equal(sp_head_set(&f.head, &f.arena, SP_STR("d"), SP_STR("")), 0);
    assert_int_equal(f.head.header_count, 5);
    assert_int_equal(f.head.headers[4].value_len, 0);
    assert_int_equal(sp_head_set(&f.head, &f.arena, SP_STR(""), SP_STR("")), SP_E_RANGE);
    sp_arena_deinit(&f.arena);
}

static void names_and_values_that_no_field_holds_are_refused(void **state)
{
    struct fixture f;
    static char name[UINT16_MAX + 1];
    set_up(&f, SP_PROTO_HTTP1);
    memset(name, 'n', sizeof name);
    sp_str fits = sp_str_of(name, UINT16_MAX), too_long = sp_str_of(name, sizeof name);
    sp_str too_large = sp_str_of("", (size_t)UINT32_MAX + 1); /* never looked at */
    assert_int_equal(sp_head_add(&f.head, &f.arena, too_long, SP_STR("")), SP_E_RANGE);
    assert_int_equal(sp_head_set(&f.head, &f.arena, too_long, SP_STR("")), SP_E_RANGE);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR(""), SP_STR("")), SP_E_RANGE);
    assert_int_equal(sp_head_set(&f.head, &f.arena, SP_STR(""), SP_STR("")), SP_E_RANGE);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("a"), too_large), SP_E_RANGE);
    assert_int_equal(sp_head_set(&f.head, &f.arena, SP_STR("a"), too_large), SP_E_RANGE);
    assert_int_equal(f.head.header_count, 0);
    assert_int_equal(sp_head_set(&f.head, &f.arena, fits, SP_STR("")), 0);
    assert_int_equal(f.head.headers[0].name_len, UINT16_MAX);
    sp_arena_deinit(&f.arena);
}

static void a_copy_outlives_the_bytes_it_was_made_from(void **state)
{
    struct fixture f;
    struct sp_head copy;
    char raw[] = "GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    set_up(&f, SP_PROTO_HTTP1);
    f.head.raw = sp_str_c(raw);
    f.head.method = sp_str_of(raw, 3);
    f.head.path = sp_str_of(raw + 4, 2);
    f.head.service = sp_str_of(raw + 23, 1);
    f.table[0] = (struct sp_header){ raw + 17, raw + 23, 1, 4, SP_HDR_HOST, 0 };
    f.head.header_count = 1;
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("x-own"), SP_STR("v")), 0);
    assert_int_equal(sp_head_copy(&copy, &f.head, &f.arena, true), 0);
    memset(raw, '?', sizeof raw);
    memset(f.table, 0, sizeof f.table);
    check_str(copy.method, "GET");
    check_str(copy.path, "/p");
    check_str(copy.service, "h");
    check_str(sp_head_value(&copy, SP_HDR_HOST), "h");
    check_str(sp_head_value_name(&copy, SP_STR("X-Own")), "v");
    assert_ptr_equal(copy.method.ptr, copy.raw.ptr);
    assert_true(sp_head_find(&copy, SP_HDR_HOST)->name > copy.raw.ptr);
    sp_arena_deinit(&f.arena);
}

static void a_copy_of_the_table_alone_borrows_the_bytes(void **state)
{
    struct fixture f;
    struct sp_head copy;
    set_up(&f, SP_PROTO_HTTP1);
    assert_int_equal(sp_head_add(&f.head, &f.arena, SP_STR("a"), SP_STR("b")), 0);
    assert_int_equal(sp_head_copy(&copy, &f.head, &f.arena, false), 0);
    assert_ptr_not_equal(copy.headers, f.head.headers);
    assert_ptr_equal(copy.headers[0].name, f.head.headers[0].name);
    f.head.header_count = 0;
    f.head.headers = NULL;
    assert_int_equal(sp_head_copy(&copy, &f.head, &f.arena, true), 0);
    assert_null(copy.headers);
    sp_arena_deinit(&f.arena);
}

static void every_failed_allocation_is_said_so(void **state)
{
    for (uint64_t n = 1; n < 100; n++) {
        struct fixture f;
        struct sp_head copy = { .id = 7 };
        char name[600];
        memset(name, 'n', sizeof name);
        set_up(&f, SP_PROTO_HTTP1);
        f.head.method = SP_STR("GET");
        sp_mem_fail_at(n);
        sp_err err = 0;
        for (int i = 0; i < 6 && !err; i++)
            err = sp_head_add(&f.head, &f.arena, sp_str_of(name, sizeof name), sp_str_of(name, sizeof name));
        if (!err)
            err = sp_head_copy(&copy, &f.head, &f.arena, true);
        uint64_t left = sp_mem_fail_at(0);
        sp_arena_deinit(&f.arena);
        if (!err) {
            assert_true(n > 3 && left < n);
            return;
        }
        assert_int_equal(err, SP_E_NOMEM);
        assert_int_equal(copy.id, 7);
    }
    fail_msg("never came through");
}

static void a_path_is_the_target_in_http_and_made_up_in_rpc(void **state)
{
    struct fixture f;
    set_up(&f, SP_PROTO_HTTP1);
    f.head.path = SP_STR("/a?b");
    assert_ptr_equal(sp_head_path(&f.head, &f.arena).ptr, f.head.path.ptr);
    f.head.protocol = SP_PROTO_BOLT;
    f.head.service = SP_STR("com.acme.Echo:1.0");
    f.head.method = SP_STR("say");
    check_str(sp_head_path(&f.head, &f.arena), "/com.acme.Echo:1.0/say");
    f.head.service = f.head.method = SP_STR_NULL;
    check_str(sp_head_path(&f.head, &f.arena), "//");
    sp_arena_deinit(&f.arena);

    struct sp_arena none;
    char storage[4];
    sp_arena_init(&none, storage, sizeof storage, 16, 4);
    f.head.service = SP_STR("com.acme.Echo:1.0 and a name that fits into no block of sixteen bytes");
    assert_null(sp_head_path(&f.head, &none).ptr);
    sp_arena_deinit(&none);
}

static void protocols_are_named_as_metrics_spell_them(void **state)
{
    assert_string_equal(sp_protocol_name(SP_PROTO_HTTP1), "http");
    assert_string_equal(sp_protocol_name(SP_PROTO_BOLT2), "bolt");
    assert_string_equal(sp_protocol_name(SP_PROTO_TCP), "tcp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_known_name_has_its_number),
        cmocka_unit_test(http_names_fold_and_rpc_names_do_not),
        cmocka_unit_test(a_name_that_differs_in_one_byte_has_no_number),
        cmocka_unit_test(headers_are_found_by_number_and_by_name),
        cmocka_unit_test(rpc_names_are_compared_as_they_are),
        cmocka_unit_test(the_table_moves_into_the_arena_when_it_is_full),
        cmocka_unit_test(removing_takes_all_of_a_name_and_keeps_the_order),
        cmocka_unit_test(setting_leaves_one_of_a_name_where_the_first_stood),
        cmocka_unit_test(names_and_values_that_no_field_holds_are_refused),
        cmocka_unit_test(a_copy_outlives_the_bytes_it_was_made_from),
        cmocka_unit_test(a_copy_of_the_table_alone_borrows_the_bytes),
        cmocka_unit_test(every_failed_allocation_is_said_so),
        cmocka_unit_test(a_path_is_the_target_in_http_and_made_up_in_rpc),
        cmocka_unit_test(protocols_are_named_as_metrics_spell_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
