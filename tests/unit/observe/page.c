/* page: a page is the same text wherever the borders between its pieces fall. */
#include "unit/observe/help.h"

#include "observe/admin_impl.h"

#include "unit/observe/expo.h"

enum { CLUSTERS_MAX = 400 };

/* Clusters of two endpoints, of one and of none, in turns. */
struct crowd {
    struct sp_cluster_spec clusters[CLUSTERS_MAX];
    char names[CLUSTERS_MAX][24];
    uint32_t count;
};

static struct crowd crowd;

static void crowd_walk(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg)
{
    struct paper_worker *w = (struct paper_worker *)(void *)worker;
    paper_walk(worker, ops, arg);
    for (uint32_t i = 0; i < crowd.count; i++) {
        struct sp_cluster_spec *spec = &crowd.clusters[i];
        snprintf(crowd.names[i], sizeof crowd.names[i], "cluster-%u", i);
        *spec = w->paper->cluster;
        spec->name = sp_str_c(crowd.names[i]);
        ops->on_cluster(arg, spec, &w->cluster, &w->cluster_time);
        for (uint32_t e = 0; e < i % 3; e++)
            ops->on_endpoint(arg, spec, &w->paper->endpoint_specs[e].addr, &w->endpoints[e]);
    }
}

static int set_up(void **state)
{
    static struct sp_admin_ops ops;
    struct paper *p = paper_new();
    paper_open(p);
    ops = paper_ops;
    ops.walk = crowd_walk;
    p->admin->config.ops = &ops;
    for (int i = 0; i < 3; i++) {
        const struct sp_series_key key = { .direction = SP_DIRECTION_OUTBOUND,
                                           .protocol = i == 2 ? SP_PROTO_TCP : SP_PROTO_BOLT,
                                           .status = i == 2 ? 0 : 200,
                                           .workload = i ? SP_STR("a") : SP_STR("b") };
        struct sp_series *s = paper_series(&p->workers[0], key);
        sp_cell_add(i == 2 ? &s->tcp_opened : &s->requests, 4);
    }
    sp_hist_add(&p->workers[0].cluster_time, SP_NS_PER_MS);
    *state = p;
    return 0;
}

/* Figures that change from page to page: their values are left out. */
static void forget_what_changes(char *page)
{
    static const char *const names[] = { "server.memory_allocated", "server.uptime",
                                         "server_memory_allocated", "server_uptime",
                                         "admin_requests",          "process_" };
    for (size_t i = 0; i < SP_COUNTOF(names); i++)
        for (char *at = page; (at = strstr(at, names[i]));) {
            at += strlen(names[i]);
            char *to = at, *end = at + strcspn(at, "\n,}");
            if (*end == ',') /* "name":"...","value":1 */
                end += strcspn(end, "}");
            for (char *from = at; from < end; from++)
                if (!strchr("0123456789.", *from))
                    *to++ = *from;
            memmove(to, end, strlen(end) + 1);
        }
}

static size_t first_piece(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    return body ? strtoul(body + 4, NULL, 16) : 0;
}

/* The page in pieces of 1 byte and up. Sizes below what the first piece came to make the same first piece, so
 * that each border is met when the next size is one byte more. */
static void expect_same_in_all_pieces(struct paper *p, const char *path)
{
    char *whole_answer;
    p->admin->piece_bytes = UINT32_MAX;
    char *whole = paper_page(p, path, &whole_answer);
    size_t len = strlen(whole);
    forget_what_changes(whole);
    for (size_t size = 1; size <= len;) {
        char *answer;
        p->admin->piece_bytes = (uint32_t)size;
        answer = paper_get(p, &p->local, "GET", path);
        size_t first = first_piece(answer);
        char *page = http_body(answer);
        forget_what_changes(page);
        size_t at = 0;
        while (page[at] && page[at] == whole[at])
            at++;
        if (page[at] != whole[at])
            fail_msg("%s in pieces of %zu bytes differs at byte %zu: %.200s, not %.200s", path, size, at,
                     page + at, whole + at);
        free(answer);
        assert_true(first >= size || first + 64 > len); /* figures that change have changed its length */
        size = SP_MAX(size, first) + 1;
    }
    free(whole_answer);
}

static void pages_are_the_same_in_pieces_of_every_size(void **state)
{
    struct paper *p = *state;
    static const char *const paths[] = {
        "/clusters", "/clusters?format=json", "/listeners",      "/listeners?format=json",
        "/stats",    "/stats?format=json",    "/stats?usedonly",
    };
    crowd.count = 5;
    for (size_t i = 0; i < SP_COUNTOF(paths); i++)
        expect_same_in_all_pieces(p, paths[i]);
}

static void prometheus_is_the_same_in_pieces_of_every_size(void **state)
{
    crowd.count = 2;
    expect_same_in_all_pieces(*state, "/stats/prometheus");
}

static uint32_t count_of(const char *page, const char *what)
{
    uint32_t count = 0;
    for (const char *at = page; (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* The first name's length puts the borders elsewhere. */
static void a_page_of_many_clusters_says_each_once(void **state)
{
    static const char name[] = "a-name-that-is-long-enough-to-move-what-is-behind-it-by-any-part-of-a-line";
    struct paper *p = *state;
    crowd.count = CLUSTERS_MAX;
    for (size_t len = 1; len < sizeof name; len += 6) {
        char *answer;
        p->cluster.name = sp_str_of(name, len);
        char *page = paper_page(p, "/clusters?format=json", &answer);
        expect_json(page);
        assert_int_equal(count_of(page, "\"observability_name\""), CLUSTERS_MAX + 1);
        free(answer);
        page = paper_page(p, "/clusters", &answer);
        assert_int_equal(count_of(page, "::observability_name::"), CLUSTERS_MAX + 1);
        free(answer);
    }
}

/* Each number of clusters puts the borders elsewhere. */
static void a_family_of_many_lines_has_one_head(void **state)
{
    struct paper *p = *state;
    for (crowd.count = CLUSTERS_MAX - 40; crowd.count < CLUSTERS_MAX; crowd.count += 4) {
        struct expo e;
        char *answer;
        char *page = paper_page(p, "/stats/prometheus", &answer);
        if (!expo_read(&e, page))
            fail_msg("not an exposition with %u clusters: %s", crowd.count, e.why);
        expo_free(&e);
        free(answer);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, paper_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(pages_are_the_same_in_pieces_of_every_size),
        TEST(prometheus_is_the_same_in_pieces_of_every_size),
        TEST(a_page_of_many_clusters_says_each_once),
        TEST(a_family_of_many_lines_has_one_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
