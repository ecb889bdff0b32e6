/* route_edit: headers, host and path on the way on; the Location of redirects; every failed allocation. */
#include "base/mem.h"
#include "proxy/route.h"
#include "unit/proxy/route_kit.h"

static sp_err edit(struct kit *k)
{
    assert_int_equal(kit_find(k), SP_WHY_NONE);
    return sp_route_edit_request(&k->table, &k->choice, &k->in, &k->head);
}

static void check_header(const struct kit *k, size_t at, const char *name, const char *value)
{
    assert_true(at < k->head.header_count);
    const struct sp_header *h = &k->head.headers[at];
    check_str(sp_str_of(h->name, h->name_len), name);
    check_str(sp_str_of(h->value, h->value_len), value);
}

static void a_table_without_edits_leaves_the_head_as_it_came(void **state)
{
    struct kit k;
    kit_http(&k, "A.com", "/a//b?c");
    kit_header(&k, "x-a", "1");
    struct sp_head before = k.head;
    k.in.normalize = true;
    assert_int_equal(edit(&k), 0);
    assert_memory_equal(&k.head, &before, sizeof(before));
    struct sp_head answer = { .protocol = SP_PROTO_HTTP1, .kind = SP_MSG_RESPONSE };
    assert_int_equal(sp_route_edit_response(&k.table, &k.choice, &k.arena, &answer), 0);
    assert_int_equal(answer.flags, 0);
    kit_end(&k);
}

static void each_action_does_what_its_name_says(void **state)
{
    static const struct {
        uint8_t action;
        bool keep_empty;
        const char *name, *value;
        const char *a[2], *b[2]; /* the head's x-a: 1 and then x-b; after */
    } rows[] = {
        { SP_HEADER_APPEND, false, "x-a", "2", { "1", "2" }, { NULL } },
        { SP_HEADER_APPEND, false, "x-b", "2", { "1" }, { "2" } },
        { SP_HEADER_APPEND, false, "x-b", "", { "1" }, { NULL } },
        { SP_HEADER_APPEND, true, "x-b", "", { "1" }, { "" } },
        { SP_HEADER_ADD_IF_ABSENT, false, "X-A", "2", { "1" }, { NULL } },
        { SP_HEADER_ADD_IF_ABSENT, false, "x-b", "2", { "1" }, { "2" } },
        { SP_HEADER_OVERWRITE, false, "X-A", "2", { "2" }, { NULL } },
        { SP_HEADER_OVERWRITE, false, "x-b", "2", { "1" }, { "2" } },
        { SP_HEADER_OVERWRITE_IF_PRESENT, false, "x-a", "2", { "2" }, { NULL } },
        { SP_HEADER_OVERWRITE_IF_PRESENT, false, "x-b", "2", { "1" }, { NULL } },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct kit k;
        struct sp_header_add add = { .name = sp_str_c(rows[i].name),
                                     .value = sp_str_c(rows[i].value),
                                     .action = rows[i].action,
                                     .keep_empty = rows[i].keep_empty };
        kit_http(&k, "a", "/");
        kit_header(&k, "x-a", "1");
        k.route.request = (struct sp_header_edits){ .add = &add, .add_count = 1 };
        assert_int_equal(edit(&k), 0);
        const char *const *want[] = { rows[i].a, rows[i].b };
        size_t count = 0;
        for (size_t name = 0; name < 2; name++)
            for (size_t v = 0; v < 2 && want[name][v]; v++, count++)
                if (count >= k.head.header_count ||
                    !sp_str_eq(sp_str_of(k.head.headers[count].value, k.head.headers[count].value_len),
                               sp_str_c(want[name][v])))
                    fail_msg("row %zu", i);
        assert_int_equal(k.head.header_count, count);
        kit_end(&k);
    }
}

static void the_innermost_level_goes_first_and_removal_before_addition(void **state)
{
    struct sp_header_add adds[] = {
        { .name = SP_STR("x"), .value = SP_STR("weighted") },
        { .name = SP_STR("x"), .value = SP_STR("route") },
        { .name = SP_STR("x"), .value = SP_STR("vhost") },
        { .name = SP_STR("x"), .value = SP_STR("table") },
    };
    sp_str removed = SP_STR("X");
    struct sp_weighted weighted = { .weight = 1,
                                    .request = { &adds[0], 1, &removed, 1 },
                                    .response = { &adds[0], 1, &removed, 1 } };
    struct kit k;
    kit_http(&k, "a", "/");
    kit_header(&k, "x", "sent");
    k.route.weighted = &weighted;
    k.route.weighted_count = k.route.weight_total = 1;
    k.route.request = k.route.response = (struct sp_header_edits){ &adds[1], 1, NULL, 0 };
    k.vhost.request = k.vhost.response = (struct sp_header_edits){ &adds[2], 1, NULL, 0 };
    k.table.request = k.table.response = (struct sp_header_edits){ &adds[3], 1, NULL, 0 };
    assert_int_equal(edit(&k), 0);
    assert_int_equal(k.head.header_count, 4);
    for (size_t i = 0; i < 4; i++)
        check_str(sp_str_of(k.head.headers[i].value, k.head.headers[i].value_len), adds[i].value.ptr);
    assert_true(k.head.flags & SP_HEAD_EDITED);

    k.head.header_count = 0;
    k.head.flags = 0;
    kit_header(&k, "x", "sent");
    assert_int_equal(sp_route_edit_response(&k.table, &k.choice, &k.arena, &k.head), 0);
    assert_int_equal(k.head.header_count, 4);
    check_header(&k, 0, "x", "weighted");
    check_header(&k, 3, "x", "table");
    k.table.response.remove = &removed; /* the outermost has the last word */
    k.table.response.remove_count = 1;
    assert_int_equal(sp_route_edit_response(&k.table, &k.choice, &k.arena, &k.head), 0);
    assert_int_equal(k.head.header_count, 1);
    check_header(&k, 0, "x", "table");
    kit_end(&k);
}

static void the_prefix_that_matched_is_replaced(void **state)
{
    static const struct {
        enum sp_path_kind kind;
        const char *wanted, *with, *target, *after;
    } rows[] = {
        { SP_PATH_PREFIX, "/a", "/b", "/a/x?q=1", "/b/x?q=1" },
        { SP_PATH_PREFIX, "/a", "/b", "/a", "/b" },
        { SP_PATH_PREFIX, "/a/", "/", "/a/x", "/x" },
        { SP_PATH_PREFIX, "/", "/v1/", "/x?", "/v1/x?" },
        { SP_PATH_PREFIX, "/", "/v1", "/x", "/v1x" },
        { SP_PATH_EXACT, "/a", "/b/c", "/a?q", "/b/c?q" },
        { SP_PATH_SEPARATED_PREFIX, "/a", "/b", "/a/x", "/b/x" },
        { SP_PATH_PREFIX, "/a", "/a", "/a/x", "/a/x" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct kit k;
        kit_http(&k, "a", rows[i].target);
        k.route.match.kind = rows[i].kind;
        k.route.match.path = sp_str_c(rows[i].wanted);
        k.route.prefix_rewrite = sp_str_c(rows[i].with);
        assert_int_equal(edit(&k), 0);
        check_str(k.head.path, rows[i].after);
        bool changed = strcmp(rows[i].target, rows[i].after) != 0;
        sp_str told = sp_head_value_name(&k.head, SP_STR("x-envoy-original-path"));
        check_str(told, changed ? rows[i].target : "");
        kit_end(&k);
    }
}

static void the_canonical_path_goes_on_with_its_query(void **state)
{
    struct kit k;
    kit_http(&k, "a", "/x/../%61?q=%61");
    k.in.normalize = true;
    assert_int_equal(edit(&k), 0);
    check_str(k.head.path, "/a?q=%61");
    assert_true(k.head.flags & SP_HEAD_EDITED);
    assert_int_equal(k.head.header_count, 0);
    kit_end(&k);

    /* The walk remembers path and `changed` and brings them back, but not the query. */
    kit_http(&k, "a", "/x/../%61?q=%61");
    k.in.normalize = true;
    k.route.match.path = SP_STR("/a");
    k.route.prefix_rewrite = SP_STR("/b");
    assert_int_equal(kit_find(&k), SP_WHY_NONE);
    struct sp_route_input again = {
        .head = &k.head, .arena = &k.arena, .path = k.in.path, .changed = k.in.changed
    };
    assert_int_equal(sp_route_edit_request(&k.table, &k.choice, &again, &k.head), 0);
    check_str(k.head.path, "/b?q=%61");
    kit_end(&k);
}

static void the_host_is_rewritten_for_http_alone(void **state)
{
    struct kit k;
    kit_http(&k, "a", "/");
    k.route.host_rewrite = SP_STR("b");
    assert_int_equal(edit(&k), 0);
    check_str(k.head.service, "b");
    assert_true(k.head.flags & SP_HEAD_EDITED);
    kit_end(&k);

    kit_rpc(&k, "s", "m");
    k.route.host_rewrite = SP_STR("b");
    k.route.prefix_rewrite = SP_STR("/c");
    assert_int_equal(edit(&k), 0);
    check_str(k.head.service, "s");
    assert_null(k.head.path.ptr);
    assert_int_equal(k.head.flags, 0);
    kit_end(&k);

    kit_http(&k, "a:443", NULL); /* CONNECT: what it asks for is where it goes */
    k.route.match.kind = SP_PATH_CONNECT;
    k.route.host_rewrite = SP_STR("b");
    k.route.prefix_rewrite = SP_STR("/c");
    assert_int_equal(edit(&k), 0);
    check_str(k.head.service, "a:443");
    assert_null(k.head.path.ptr);
    kit_end(&k);
}

static void rpc_headers_are_edited_byte_for_byte(void **state)
{
    struct sp_header_add add = { .name = SP_STR("App"),
                                 .value = SP_STR("two"),
                                 .action = SP_HEADER_OVERWRITE };
    sp_str removed = SP_STR("zone");
    struct kit k;
    kit_rpc(&k, "s", "m");
    kit_header(&k, "app", "one");
    kit_header(&k, "Zone", "z");
    k.route.request = (struct sp_header_edits){ &add, 1, &removed, 1 };
    assert_int_equal(edit(&k), 0);
    assert_int_equal(k.head.header_count, 3);
    check_header(&k, 0, "app", "one");
    check_header(&k, 2, "App", "two");
    kit_end(&k);
}

/* ---- Location ---- */

static sp_str location(struct kit *k)
{
    k->route.kind = SP_ROUTE_REDIRECT;
    assert_int_equal(kit_find(k), SP_WHY_NONE);
    return sp_route_location(&k->route, &k->in);
}

static void a_redirect_changes_what_it_names(void **state)
{
    static const struct {
        struct sp_redirect redirect;
        const char *host, *target, *want;
    } rows[] = {
        { { .https = true }, "a.com", "/p?q", "https://a.com/p?q" },
        { { .https = true }, "a.com:80", "/p", "https://a.com/p" },
        { { .https = true }, "a.com:8080", "/p", "https://a.com:8080/p" },
        { { .https = true, .port = 8443 }, "a.com:8080", "/p", "https://a.com:8443/p" },
        { { .port = 65535 }, "[::1]:80", "/p", "http://[::1]:65535/p" },
        { { .https = true }, "[::1]:80", "/p", "https://[::1]/p" },
        { { .https = true }, "[::1]", "/p", "https://[::1]/p" },
        { { .scheme = { "ftp", 3 } }, "a.com:80", "/p", "ftp://a.com/p" },
        { { .host = { "b.com:81", 8 } }, "a.com", "/p?q", "http://b.com:81/p?q" },
        { { .path = { "/n", 2 } }, "a.com", "/p?q", "http://a.com/n?q" },
        { { .path = { "/n?x", 4 } }, "a.com", "/p?q", "http://a.com/n?x" },
        { { .path = { "/n?x", 4 }, .strip_query = true }, "a.com", "/p?q", "http://a.com/n?x" },
        { { .path = { "/n", 2 }, .strip_query = true }, "a.com", "/p?q", "http://a.com/n" },
        { { .strip_query = true }, "a.com", "/p?q", "http://a.com/p" },
        { { .prefix = { "/new", 4 } }, "a.com", "/p/x?q", "http://a.com/newp/x?q" }, /* prefix "/" went */
        { { .prefix = { "/new/", 5 }, .strip_query = true }, "a.com", "/p/x?q", "http://a.com/new/p/x" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct kit k;
        kit_http(&k, rows[i].host, rows[i].target);
        k.route.redirect = rows[i].redirect;
        check_str(location(&k), rows[i].want);
        kit_end(&k);
    }
}

static void who_came_by_tls_is_sent_back_by_tls(void **state)
{
    struct kit k;
    kit_http(&k, "a.com:443", "/p");
    kit_header(&k, "x-forwarded-proto", "https");
    check_str(location(&k), "https://a.com:443/p");
    k.route.redirect.scheme = SP_STR("http");
    check_str(location(&k), "http://a.com/p");
    kit_end(&k);

    kit_http(&k, "a.com", "/p"); /* nobody's scheme but these two */
    kit_header(&k, "x-forwarded-proto", "javascript");
    check_str(location(&k), "http://a.com/p");
    kit_end(&k);
}

static void a_location_cannot_carry_another_header_or_host(void **state)
{
    static const struct {
        const char *host, *target, *want;
    } rows[] = {
        { "a.com", "/p\r\nset-cookie: x", "http://a.com/p%0D%0Aset-cookie:%20x" },
        { "a.com\r\nx: y", "/p", "http://a.com%0D%0Ax:%20y/p" },
        { "a.com", "/p?\n\x7f\xc3\xa9", "http://a.com/p?%0A%7F%C3%A9" },
        { "a.com/x", "/p", "http://a.com%2Fx/p" },
        { "a@b.com", "/p", "http://a%40b.com/p" },
        { "a.com", "/\\evil.com", "http://a.com/%5Cevil.com" },
        { "a.com", "//evil.com", "http://a.com//evil.com" },
        { "", "//evil.com", "/evil.com" },
        { "", "///evil.com", "/evil.com" },
        { "", "/\\evil.com", "/%5Cevil.com" },
        { "", "/p?q", "/p?q" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct kit k;
        kit_http(&k, rows[i].host, rows[i].target);
        check_str(location(&k), rows[i].want);
        kit_end(&k);
    }
}

static void a_redirect_leads_to_the_canonical_path(void **state)
{
    struct kit k;
    kit_http(&k, "a", "/x/../y?q");
    k.in.normalize = true;
    check_str(location(&k), "http://a/y?q");
    kit_end(&k);
}

/* ---- memory ---- */

static void every_failed_allocation_is_told(void **state)
{
    struct sp_header_add add = { .name = SP_STR("x"), .value = SP_STR("1") };
    uint64_t before = sp_mem_live_blocks(), n = 1;
    sp_err err = SP_E_NOMEM;
    for (; err; n++) {
        struct kit k;
        struct sp_arena small;
        kit_http(&k, "a", "/x/../y?q");
        k.head.header_cap = 0;
        k.in.normalize = true;
        k.route.match.path = SP_STR("/y");
        k.route.prefix_rewrite = SP_STR("/z");
        k.route.request = (struct sp_header_edits){ &add, 1, NULL, 0 };
        assert_int_equal(kit_find(&k), SP_WHY_NONE);
        sp_arena_init(&small, NULL, 0, 48, 0);
        k.in.arena = &small;
        (void)sp_mem_fail_at(n);
        err = sp_route_edit_request(&k.table, &k.choice, &k.in, &k.head);
        sp_str to = err ? SP_STR_NULL : sp_route_location(&k.route, &k.in);
        (void)sp_mem_fail_at(0);
        assert_true(err == 0 || err == SP_E_NOMEM);
        if (!err && !to.ptr)
            err = SP_E_NOMEM; /* the Location's own */
        sp_arena_deinit(&small);
        kit_end(&k);
        assert_int_equal(sp_mem_live_blocks(), before);
        assert_true(n < 100);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_without_edits_leaves_the_head_as_it_came),
        cmocka_unit_test(each_action_does_what_its_name_says),
        cmocka_unit_test(the_innermost_level_goes_first_and_removal_before_addition),
        cmocka_unit_test(the_prefix_that_matched_is_replaced),
        cmocka_unit_test(the_canonical_path_goes_on_with_its_query),
        cmocka_unit_test(the_host_is_rewritten_for_http_alone),
        cmocka_unit_test(rpc_headers_are_edited_byte_for_byte),
        cmocka_unit_test(a_redirect_changes_what_it_names),
        cmocka_unit_test(who_came_by_tls_is_sent_back_by_tls),
        cmocka_unit_test(a_location_cannot_carry_another_header_or_host),
        cmocka_unit_test(a_redirect_leads_to_the_canonical_path),
        cmocka_unit_test(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
