/* route: which virtual host serves a name, by examples and against a slow reader by seed; what may not
 * stand in a table; every failed allocation. */
#include "model/route.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"

enum { HOSTS = 8, DOMAINS = 6 };

struct fixture {
    struct sp_arena arena;
    struct sp_route_table table;
    struct sp_vhost vhosts[HOSTS];
    sp_str domains[HOSTS][DOMAINS];
    sp_str complaint;
};

/* Each text is a virtual host: its domains, separated by blanks; it is named by the first. */
static sp_err fill(struct fixture *f, const char *const *texts, size_t count)
{
    sp_arena_init(&f->arena, NULL, 0, 1024, 0);
    for (size_t i = 0; i < count; i++) {
        sp_str rest = sp_str_c(texts[i]);
        while (rest.ptr)
            f->domains[i][f->vhosts[i].domain_count++] = sp_str_cut(&rest, ' ');
        f->vhosts[i].domains = f->domains[i];
        f->vhosts[i].name = f->domains[i][0];
    }
    f->table.vhosts = f->vhosts;
    f->table.vhost_count = (uint32_t)count;
    return sp_route_table_index(&f->table, &f->arena, &f->complaint);
}

static void drop(struct fixture *f)
{
    sp_route_table_deinit(&f->table);
    sp_arena_deinit(&f->arena);
}

static void check_host(const struct fixture *f, const char *service, const char *want)
{
    const struct sp_vhost *vhost = sp_route_table_vhost(&f->table, sp_str_c(service));
    if (!vhost != !want || (vhost && !sp_str_eq(vhost->name, sp_str_c(want))))
        fail_msg("%s is served by %.*s, want %s", service, SP_STR_ARG(vhost ? vhost->name : SP_STR("none")),
                 want ? want : "none");
}

static void exact_goes_before_suffix_before_prefix_before_any(void **state)
{
    static const char *const texts[] = { "*", "*.com", "a.*", "a.b.com", "*.b.com", "a.b.*", "*-x.b.com" };
    struct fixture f = { .table.fold_domains = true };
    assert_int_equal(fill(&f, texts, SP_COUNTOF(texts)), 0);
    check_host(&f, "a.b.com", "a.b.com");
    check_host(&f, "z.b.com", "*.b.com");
    check_host(&f, "z-x.b.com", "*-x.b.com");
    check_host(&f, "-x.b.com", "*.b.com"); /* the star stands for something */
    check_host(&f, ".b.com", "*.com");
    check_host(&f, "b.com", "*.com");
    check_host(&f, ".com", "*");
    check_host(&f, "a.b.org", "a.b.*");
    check_host(&f, "a.c.org", "a.*");
    check_host(&f, "a.", "*");
    check_host(&f, "", "*");
    check_host(&f, "org", "*");
    drop(&f);
}

static void without_any_an_unknown_name_has_no_host(void **state)
{
    static const char *const texts[] = { "a.com", "*.b.com" };
    struct fixture f = { .table.fold_domains = true };
    assert_int_equal(fill(&f, texts, SP_COUNTOF(texts)), 0);
    check_host(&f, "c.com", NULL);
    check_host(&f, "", NULL);
    drop(&f);
}

static void the_port_is_part_of_the_name(void **state)
{
    static const char *const texts[] = { "a.com", "b.com:80", "*.c.com", "[::1]", "[::2]:80" };
    struct fixture f = { .table.fold_domains = true };
    assert_int_equal(fill(&f, texts, SP_COUNTOF(texts)), 0);
    check_host(&f, "a.com:80", NULL);
    check_host(&f, "b.com:80", "b.com:80");
    check_host(&f, "b.com", NULL);
    check_host(&f, "x.c.com:80", NULL);
    check_host(&f, "[::1]", "[::1]");
    check_host(&f, "[::1]:80", NULL);
    drop(&f);
}

static void a_table_that_ignores_ports_still_prefers_them(void **state)
{
    static const char *const texts[] = { "a.com", "a.com:80", "*.c.com", "[::1]", "*", "d.com:80" };
    struct fixture f = { .table.fold_domains = true, .table.ignore_port = true };
    assert_int_equal(fill(&f, texts, SP_COUNTOF(texts)), 0);
    check_host(&f, "a.com:80", "a.com:80");
    check_host(&f, "a.com:81", "a.com");
    check_host(&f, "x.c.com:80", "*.c.com");
    check_host(&f, "[::1]:80", "[::1]");
    check_host(&f, "[::1]", "[::1]");
    check_host(&f, "d.com:81", "*");
    drop(&f);
}

static void http_domains_fold_and_rpc_names_do_not(void **state)
{
    static const char *const texts[] = { "A.Example.COM.", "*.B.com", "C.*" };
    static const char *const services[] = { "com.acme.Echo:1.0", "com.acme.echo:1.0", "*.Demo",
                                            "com.Acme.*" };
    struct fixture http = { .table.fold_domains = true }, rpc = { .table.ignore_port = true };
    assert_int_equal(fill(&http, texts, SP_COUNTOF(texts)), 0);
    check_host(&http, "a.example.com", "A.Example.COM.");
    check_host(&http, "x.b.com", "*.B.com");
    check_host(&http, "c.x", "C.*");
    assert_int_equal(fill(&rpc, services, SP_COUNTOF(services)), 0);
    check_host(&rpc, "com.acme.Echo:1.0", "com.acme.Echo:1.0");
    check_host(&rpc, "com.acme.echo:1.0", "com.acme.echo:1.0");
    check_host(&rpc, "com.acme.Echo", NULL);
    check_host(&rpc, "com.acme.Echo:2.0", NULL);
    check_host(&rpc, "x.Demo", "*.Demo");
    check_host(&rpc, "x.demo", NULL);
    check_host(&rpc, "com.Acme.X", "com.Acme.*");
    drop(&http);
    drop(&rpc);
}

static void the_same_domain_twice_is_named(void **state)
{
    static const struct {
        const char *a, *b, *named;
    } rows[] = {
        { "a.com", "b.com a.com", "a.com" }, { "a.com", "A.COM", "A.COM" }, { "a.com", "a.com.", "a.com." },
        { "*.a.com", "*.A.com", ".a.com" },  { "a.*", "x a.*", "a." },      { "*", "*", "*" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        const char *texts[] = { rows[i].a, rows[i].b };
        struct fixture f = { .table.fold_domains = true };
        assert_int_equal(fill(&f, texts, 2), SP_E_EXISTS);
        check_str(f.complaint, rows[i].named);
        check_host(&f, "a.com", NULL); /* no index is left */
        drop(&f);
    }
}

static void names_become_canonical(void **state)
{
    static const struct {
        const char *host, *want;
    } rows[] = {
        { "A.com", "a.com" }, { "a.com.", "a.com" }, { "a.com.:80", "a.com:80" },      { "", "" },
        { ".", "." },         { "a..", "a." },       { "[::A]:80", "[::a]:80" },       { "[::a]", "[::a]" },
        { ":80", ":80" },     { "x:", "x:" },        { "10.0.0.1:80", "10.0.0.1:80" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        char out[32];
        check_str(sp_host_canonical(sp_str_c(rows[i].host), out, sizeof(out)), rows[i].want);
    }
}

static void an_edit_that_could_make_two_messages_does_not_get_in(void **state)
{
    static const struct {
        const char *name, *value;
        sp_err http, rpc;
    } rows[] = {
        { "x-a", "b", 0, 0 },
        { "x-a", "b\tc", 0, 0 },
        { "x-a", "b\r\nc: d", SP_E_DENIED, 0 },
        { "x-a", "b\nc", SP_E_DENIED, 0 },
        { "x-a\r\nb", "c", SP_E_DENIED, 0 },
        { "x a", "c", SP_E_DENIED, 0 },
        { "x:a", "c", SP_E_DENIED, 0 },
        { ":path", "/", SP_E_DENIED, 0 },
        { "", "c", SP_E_DENIED, SP_E_DENIED },
        { "Host", "c", SP_E_DENIED, 0 },
        { "content-length", "1", SP_E_DENIED, 0 },
        { "Transfer-Encoding", "chunked", SP_E_DENIED, 0 },
        { "connection", "close", SP_E_DENIED, 0 },
        { "upgrade", "h2c", SP_E_DENIED, 0 },
        { "te", "trailers", SP_E_DENIED, 0 },
        { "keep-alive", "1", SP_E_DENIED, 0 },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++)
        for (unsigned where = 0; where < 16; where++) {
            struct sp_header_add add = { .name = sp_str_c(rows[i].name), .value = sp_str_c(rows[i].value) };
            struct sp_header_edits added = { .add = &add, .add_count = 1 };
            struct sp_weighted weighted = { .weight = 1 };
            struct sp_route route = { .weighted = &weighted, .weighted_count = 1 };
            struct sp_vhost vhost = { .routes = &route, .route_count = 1 };
            struct sp_route_table table = { .vhosts = &vhost, .vhost_count = 1, .fold_domains = where & 8 };
            struct sp_header_edits *places[] = { &table.request,    &table.response,   &vhost.request,
                                                 &vhost.response,   &route.request,    &route.response,
                                                 &weighted.request, &weighted.response };
            struct sp_arena arena;
            sp_str named = SP_STR("");
            sp_arena_init(&arena, NULL, 0, 1024, 0);
            *places[where & 7] = added;
            sp_err want = where & 8 ? rows[i].http : rows[i].rpc;
            if (sp_route_table_index(&table, &arena, &named) != want)
                fail_msg("row %zu, place %u", i, where);
            if (want)
                check_str(named, rows[i].name);
            sp_route_table_deinit(&table);
            sp_arena_deinit(&arena);
        }
}

static void framing_headers_are_not_removed(void **state)
{
    sp_str names[] = { SP_STR("x-a"), SP_STR("Content-Length") };
    struct sp_route_table table = { .fold_domains = true, .request = { .remove = names, .remove_count = 2 } };
    struct sp_arena arena;
    sp_str named = SP_STR("");
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    assert_int_equal(sp_route_table_index(&table, &arena, &named), SP_E_DENIED);
    check_str(named, "Content-Length");
    table.request.remove_count = 1;
    assert_int_equal(sp_route_table_index(&table, &arena, &named), 0);
    sp_route_table_deinit(&table);
    sp_arena_deinit(&arena);
}

static void a_table_knows_whether_paths_matter(void **state)
{
    struct sp_route routes[2] = { { .match = { .path = SP_STR("/") } },
                                  { .match = { .path = SP_STR("/") } } };
    struct sp_vhost vhost = { .routes = routes, .route_count = 2 };
    struct sp_route_table table = { .vhosts = &vhost, .vhost_count = 1 };
    struct sp_arena arena;
    sp_str named;
    sp_arena_init(&arena, NULL, 0, 1024, 0);
    assert_int_equal(sp_route_table_index(&table, &arena, &named), 0);
    assert_false(table.path_matters);
    sp_route_table_deinit(&table);
    routes[1].match.kind = SP_PATH_EXACT;
    assert_int_equal(sp_route_table_index(&table, &arena, &named), 0);
    assert_true(table.path_matters);
    sp_route_table_deinit(&table);
    sp_arena_deinit(&arena);
}

static void every_failed_allocation_leaves_nothing_behind(void **state)
{
    static const char *const texts[] = { "a b c d e f", "g h i j k l", "*.m *.n *.o", "p.* q.* r.*", "*" };
    uint64_t before = sp_mem_live_blocks(), n = 1;
    sp_err err = SP_E_NOMEM;
    for (; err; n++) {
        struct fixture f = { .table.fold_domains = true };
        (void)sp_mem_fail_at(n);
        err = fill(&f, texts, SP_COUNTOF(texts));
        (void)sp_mem_fail_at(0);
        assert_true(err == 0 || err == SP_E_NOMEM);
        check_host(&f, "l", err ? NULL : "g");
        drop(&f);
        assert_int_equal(sp_mem_live_blocks(), before);
        assert_true(n < 1000);
    }
    assert_true(n > 3);
}

/* ---- against a slow reader ---- */

static sp_str make_name(struct sp_rng *rng, struct sp_arena *arena)
{
    static const char *const parts[] = { "a", "b", "A", "a.", "b.", "-b", ":1", "." };
    char text[32] = "";
    size_t len = 0;
    for (uint64_t n = 1 + sp_rng_below(rng, 4); n; n--) {
        const char *part = parts[sp_rng_below(rng, SP_COUNTOF(parts))];
        memcpy(text + len, part, strlen(part));
        len += strlen(part);
    }
    return sp_str_dup(arena, sp_str_of(text, len));
}

static sp_str canonical(sp_str name, bool fold, struct sp_arena *arena)
{
    char *out = sp_arena_alloc(arena, name.len);
    return fold ? sp_host_canonical(name, out, name.len) : name;
}

/* How well a domain serves a name: 0 = not; the order of kinds, then length. */
static size_t quality(sp_str domain, sp_str name)
{
    if (sp_str_eq(domain, SP_STR("*")))
        return 1;
    if (domain.ptr[0] == '*') {
        sp_str end = sp_str_from(domain, 1);
        return name.len > end.len && sp_str_ends(name, end) ? 2000 + end.len : 0;
    }
    if (domain.ptr[domain.len - 1] == '*') {
        sp_str start = sp_str_upto(domain, domain.len - 1);
        return name.len > start.len && sp_str_starts(name, start) ? 1000 + start.len : 0;
    }
    return sp_str_eq(domain, name) ? 3000 : 0;
}

static const struct sp_vhost *slow(const struct sp_route_table *table, sp_str name, struct sp_arena *arena)
{
    const struct sp_vhost *best = NULL;
    size_t best_quality = 0;
    for (uint32_t i = 0; i < table->vhost_count; i++) {
        size_t q = quality(canonical(table->vhosts[i].domains[0], table->fold_domains, arena), name);
        if (q > best_quality) {
            best_quality = q;
            best = &table->vhosts[i];
        }
    }
    return best;
}

static void one_seed(uint64_t seed)
{
    struct sp_arena arena;
    struct sp_rng rng;
    struct sp_vhost vhosts[HOSTS] = { 0 };
    sp_str domains[HOSTS], named;
    struct sp_route_table table = { .vhosts = vhosts };
    sp_rng_init(&rng, seed);
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    table.fold_domains = sp_rng_below(&rng, 2);
    table.vhost_count = (uint32_t)sp_rng_below(&rng, HOSTS + 1);
    for (uint32_t i = 0; i < table.vhost_count; i++) {
        sp_str name = make_name(&rng, &arena);
        const char *forms[] = { "%.*s", "*%.*s", "%.*s*", "*" };
        char *text = sp_arena_printf(&arena, "%s", "*");
        switch (sp_rng_below(&rng, SP_COUNTOF(forms))) {
        case 0: text = sp_arena_printf(&arena, "%.*s", SP_STR_ARG(name)); break;
        case 1: text = sp_arena_printf(&arena, "*%.*s", SP_STR_ARG(name)); break;
        case 2: text = sp_arena_printf(&arena, "%.*s*", SP_STR_ARG(name)); break;
        default: break;
        }
        domains[i] = sp_str_c(text);
        vhosts[i].domains = &domains[i];
        vhosts[i].domain_count = 1;
    }
    sp_err err = sp_route_table_index(&table, &arena, &named);
    for (int i = 0; !err && i < 10; i++) {
        sp_str name = canonical(make_name(&rng, &arena), table.fold_domains, &arena);
        check_seed(seed, sp_route_table_vhost(&table, name) == slow(&table, name, &arena));
    }
    check_seed(seed, err == 0 || err == SP_E_EXISTS);
    sp_route_table_deinit(&table);
    sp_arena_deinit(&arena);
}

static void hosts_are_found_as_a_slow_reader_finds_them(void **state)
{
    each_seed(20000, one_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_goes_before_suffix_before_prefix_before_any),
        cmocka_unit_test(without_any_an_unknown_name_has_no_host),
        cmocka_unit_test(the_port_is_part_of_the_name),
        cmocka_unit_test(a_table_that_ignores_ports_still_prefers_them),
        cmocka_unit_test(http_domains_fold_and_rpc_names_do_not),
        cmocka_unit_test(the_same_domain_twice_is_named),
        cmocka_unit_test(names_become_canonical),
        cmocka_unit_test(an_edit_that_could_make_two_messages_does_not_get_in),
        cmocka_unit_test(framing_headers_are_not_removed),
        cmocka_unit_test(a_table_knows_whether_paths_matter),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
        cmocka_unit_test(hosts_are_found_as_a_slow_reader_finds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
