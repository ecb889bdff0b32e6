/* accesslog: records from rings become lines in files; nothing that a peer sends makes a line or a field of
 * its own; what cannot be written is counted. */
#include "lib/http.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "base/buf.h"
#include "base/ring.h"
#include "model/snapshot.h"
#include "observe/accesslog.h"
#include "observe/line_impl.h"
#include "proxy/report.h"
#include "proxy/why.h"
#include "wire/call.h"

enum { RING = 64 };

struct world {
    struct sp_loop *loop;
    struct sp_accesslog *log;
    struct sp_ring ring;
    char folder[64], path[100], moved[100];
    struct sp_listener_spec *listener;
    int errors;
};

/* ---- one line ---- */

static void set_str(struct sp_report *r, enum sp_report_str which, const char *text, size_t len)
{
    size_t at = 0, behind = 0;
    for (int i = 0; i < SP_REPORT_STRS; i++) {
        at += i < (int)which ? r->len[i] : 0;
        behind += i > (int)which ? r->len[i] : 0;
    }
    memmove(r->text + at + len, r->text + at + r->len[which], behind);
    memcpy(r->text + at, text, len);
    r->len[which] = (uint16_t)len;
}

static struct sp_report sample(void)
{
    static const struct {
        enum sp_report_str which;
        const char *text;
    } strs[] = {
        { SP_REPORT_SERVICE, "shop.example:80" },
        { SP_REPORT_METHOD, "GET" },
        { SP_REPORT_PATH, "/a?b=c" },
        { SP_REPORT_REQUEST_ID, "id-1" },
        { SP_REPORT_TRACE_ID, "0af7651916cd43dd8448eb211c80319c" },
        { SP_REPORT_USER_AGENT, "curl/8" },
        { SP_REPORT_FORWARDED_FOR, "1.2.3.4" },
        { SP_REPORT_CLUSTER, "reviews" },
        { SP_REPORT_ROUTE, "all" },
        { SP_REPORT_CHAIN, "in" },
    };
    struct sp_report r = {
        .wall_start_ns = 1706659200u * 1000000000ull + 123456789, /* 2024-01-31T00:00:00.123456789Z */
        .duration_ns = 25400000,
        .request_ns = 3000000,
        .upstream_ns = 20000000,
        .bytes_received = 5,
        .bytes_sent = 77,
        .downstream = { .family = SP_ADDR_IP4, .ip = { 10, 0, 0, 9 }, .port = 4711 },
        .downstream_direct = { .family = SP_ADDR_IP4, .ip = { 10, 0, 0, 8 }, .port = 4712 },
        .downstream_local = { .family = SP_ADDR_IP4, .ip = { 10, 0, 0, 1 }, .port = 80 },
        .upstream = { .family = SP_ADDR_IP6, .ip = { [15] = 1 }, .port = 9080 },
        .status = 200,
        .protocol = SP_PROTO_HTTP1,
        .proto_minor = 1,
        .attempts = 2,
        .log_mask = 1,
    };
    for (size_t i = 0; i < SP_COUNTOF(strs); i++)
        set_str(&r, strs[i].which, strs[i].text, strlen(strs[i].text));
    return r;
}

static void expect_line(const struct sp_log_spec *spec, const struct sp_report *report, const char *wanted)
{
    struct sp_arena arena;
    struct sp_line_format format;
    struct sp_buf buf;
    const char *why = NULL;
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    sp_buf_init(&buf, 0);
    if (sp_line_compile(spec, &arena, &format, &why))
        fail_msg("%.*s: %s", SP_STR_ARG(spec->text), why);
    sp_line_write(&format, report, SP_STR("host-1"), &buf);
    sp_buf_add_char(&buf, '\0');
    assert_string_equal(buf.ptr, wanted);
    sp_buf_deinit(&buf);
    sp_arena_deinit(&arena);
}

static void expect_text(const char *format, const struct sp_report *report, const char *wanted)
{
    const struct sp_log_spec spec = { .format = SP_LOG_TEXT, .text = sp_str_c(format) };
    expect_line(&spec, report, wanted);
}

static void the_default_line_is_envoys(void **state)
{
    struct sp_report r = sample();
    expect_text(
        "", &r,
        "[2024-01-31T00:00:00.123Z] \"GET /a?b=c HTTP/1.1\" 200 - 5 77 25 17 \"1.2.3.4\" \"curl/8\" \"id-1\" "
        "\"shop.example:80\" \"[::1]:9080\"\n");
    struct sp_report empty = { .why = SP_WHY_NO_ROUTE, .status = 404, .protocol = SP_PROTO_BOLT };
    expect_text("", &empty,
                "[1970-01-01T00:00:00.000Z] \"- - bolt\" 404 NR 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n");
}

static void a_request_that_could_not_be_read_has_no_version(void **state)
{
    struct sp_report broken = { .why = SP_WHY_BAD_REQUEST, .status = 400, .protocol = SP_PROTO_HTTP1 };
    expect_text("", &broken,
                "[1970-01-01T00:00:00.000Z] \"- - -\" 400 DPE 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n");
    const struct sp_log_field fields[] = { { SP_STR("one"), SP_STR("%PROTOCOL%") },
                                           { SP_STR("two"), SP_STR("%RESPONSE_CODE% %PROTOCOL%") } };
    const struct sp_log_spec spec = { .format = SP_LOG_JSON, .fields = fields, .field_count = 2 };
    expect_line(&spec, &broken, "{\"one\":null,\"two\":\"400 -\"}\n");
    struct sp_report old = sample();
    old.proto_minor = 0;
    expect_text("%PROTOCOL%", &old, "HTTP/1.0\n");
}

static void each_operator_says_its_part(void **state)
{
    struct sp_report r = sample();
    static const struct {
        const char *format, *wanted;
    } rows[] = {
        { "%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s %z %F %T %6f %9f)%",
          "2024/01/31 00:00:00.123 1706659200 +0000 2024-01-31 00:00:00 123456 123456789\n" },
        { "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(HOST)%",
          "GET /a?b=c shop.example:80 shop.example:80\n" },
        { "%REQ(USER-AGENT):4% %REQ(X-REQUEST-ID)% %REQ(X-FORWARDED-FOR)%", "curl id-1 1.2.3.4\n" },
        { "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "200 - via_upstream\n" },
        { "%PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT%", "HTTP/1.1 5 77\n" },
        { "%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION%", "25 3 20\n" },
        { "%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS%", "[::1]:9080 reviews -\n" },
        { "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
          "10.0.0.8:4712 10.0.0.8\n" },
        { "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%",
          "10.0.0.9:4711 10.0.0.9 10.0.0.1:80\n" },
        { "%ROUTE_NAME% %HOSTNAME% %TRACE_ID%", "all host-1 0af7651916cd43dd8448eb211c80319c\n" },
        { "%UPSTREAM_TRANSPORT_FAILURE_REASON% %%", "- %\n" },
        { "%SAMPAN_REASON% %SERVICE% %METHOD% %ATTEMPTS%", "- shop.example:80 GET 2\n" },
        { "two\nlines\n", "two\nlines\n" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++)
        expect_text(rows[i].format, &r, rows[i].wanted);
    r.why = SP_WHY_POOL_FULL;
    r.status = 503;
    expect_text("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %SAMPAN_REASON%", &r,
                "503 UO upstream_reset_before_response_started{overflow} POOL_FULL\n");
}

static void details_say_whether_the_answer_had_begun(void **state)
{
    static const char format[] = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%";
    static const struct {
        struct sp_report report;
        const char *wanted;
    } rows[] = {
        { { .why = SP_WHY_UPSTREAM_RESET, .status = 503 },
          "503 UC upstream_reset_before_response_started{connection_termination}\n" },
        { { .why = SP_WHY_UPSTREAM_RESET, .status = 200, .raw_status = 200, .upstream_ns = 1 },
          "200 UC upstream_reset_after_response_started{connection_termination}\n" },
        { { .why = SP_WHY_UPSTREAM_CLOSED, .status = 503, .raw_status = 503, .upstream_ns = 1 },
          "503 UC upstream_reset_after_response_started{connection_termination}\n" },
        { { .why = SP_WHY_UPSTREAM_CLOSED, .status = 200, .upstream_ns = 1, .protocol = SP_PROTO_BOLT },
          "200 UC upstream_reset_after_response_started{connection_termination}\n" },
        { { .why = SP_WHY_UPSTREAM_PROTOCOL, .status = 200, .raw_status = 200, .upstream_ns = 1 },
          "200 UPE upstream_reset_after_response_started{protocol_error}\n" },
        { { .why = SP_WHY_UPSTREAM_PROTOCOL, .status = 502, .upstream_ns = 1 },
          "502 UPE upstream_reset_before_response_started{protocol_error}\n" },
        { { .why = SP_WHY_DRAINING }, "0 LR draining\n" }, /* cut at the drain's end: nothing could be said */
        { { .why = SP_WHY_DRAINING, .status = 200, .raw_status = 200, .upstream_ns = 1 },
          "200 LR draining\n" },
        { { .why = SP_WHY_CLIENT_GONE }, "0 DC downstream_remote_disconnect\n" },
        { { .oneway = 1 }, "0 - -\n" },
    };
    for (size_t i = 0; i < SP_COUNTOF(rows); i++)
        expect_text(format, &rows[i].report, rows[i].wanted);
}

static void every_reason_has_a_line(void **state)
{
    for (int why = 0; why < SP_WHY_COUNT; why++) {
        struct sp_report r = { .why = (uint16_t)why, .status = 500 };
        char wanted[64];
        snprintf(wanted, sizeof wanted, "%s\n", why ? sp_why_row(why)->code : "-");
        expect_text("%SAMPAN_REASON%", &r, wanted);
    }
}

static void what_a_peer_sends_makes_no_line_and_no_field(void **state)
{
    struct sp_report r = sample();
    static const char evil[] = "a\" 200 - \"\r\n[2024] \\ \x7f\x1b[31m\0z\xff\xc2\x85\xe4\xb8\xad";
    set_str(&r, SP_REPORT_USER_AGENT, evil, sizeof evil - 1);
    expect_text(
        "\"%REQ(USER-AGENT)%\"", &r,
        "\"a\\x22 200 - \\x22\\x0d\\x0a[2024] \\x5c \\x7f\\x1b[31m\\x00z\\xff\\xc2\\x85\xe4\xb8\xad\"\n");
    const struct sp_log_field fields[] = { { SP_STR("ua"), SP_STR("%REQ(USER-AGENT)%") } };
    const struct sp_log_spec spec = { .format = SP_LOG_JSON, .fields = fields, .field_count = 1 };
    expect_line(&spec, &r,
                "{\"ua\":\"a\\\" 200 - \\\"\\r\\n[2024] \\\\ \x7f\\u001b[31m"
                "\\u0000z\xef\xbf\xbd\xc2\x85\xe4\xb8\xad\"}\n");
}

static void json_keeps_numbers_and_says_null(void **state)
{
    struct sp_report r = sample();
    const struct sp_log_field fields[] = {
        { SP_STR("code"), SP_STR("%RESPONSE_CODE%") },
        { SP_STR("took \"ms\""), SP_STR("%DURATION%") },
        { SP_STR("flags"), SP_STR("%RESPONSE_FLAGS%") },
        { SP_STR("what"), SP_STR("%REQ(:METHOD)% %REQ(:PATH)%") },
        { SP_STR("fixed"), SP_STR("yes") },
        { SP_STR("both"), SP_STR("%RESPONSE_CODE%%RESPONSE_FLAGS%") },
    };
    const struct sp_log_spec spec = { .format = SP_LOG_JSON,
                                      .fields = fields,
                                      .field_count = SP_COUNTOF(fields) };
    expect_line(
        &spec, &r,
        "{\"code\":200,\"took \\\"ms\\\"\":25,\"flags\":null,\"what\":\"GET /a?b=c\",\"fixed\":\"yes\","
        "\"both\":\"200-\"}\n");
}

/* ---- files ---- */

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->loop = sp_loop_new(NULL);
    w->log = sp_accesslog_new(w->loop, SP_STR("host-1"));
    assert_int_equal(sp_ring_init(&w->ring, RING, sizeof(struct sp_report)), 0);
    assert_int_equal(sp_accesslog_add_ring(w->log, &w->ring), 0);
    snprintf(w->folder, sizeof w->folder, "/tmp/sampan-test-accesslog-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/a.log", w->folder);
    snprintf(w->moved, sizeof w->moved, "%s/b.log", w->folder);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    sp_accesslog_free(w->log);
    sp_ring_deinit(&w->ring);
    sp_loop_free(w->loop);
    unlink(w->path);
    unlink(w->moved);
    rmdir(w->folder);
    free(w);
    return 0;
}

/* A snapshot with one listener whose one chain logs `format` to the world's file. */
static const struct sp_chain_spec *apply(struct world *w, const char *format, sp_err wanted)
{
    struct sp_snapshot *snapshot = sp_snapshot_new(NULL);
    struct sp_resource *r = sp_resource_new(SP_RESOURCE_LISTENER, SP_STR("l"));
    struct sp_log_spec *log = SP_ARENA_NEW(&r->arena, struct sp_log_spec);
    struct sp_chain_spec *chain = SP_ARENA_NEW(&r->arena, struct sp_chain_spec);
    r->listener = SP_ARENA_NEW(&r->arena, struct sp_listener_spec);
    *log = (struct sp_log_spec){ .path = sp_str_dup(&r->arena, sp_str_c(w->path)),
                                 .format = SP_LOG_TEXT,
                                 .text = sp_str_dup(&r->arena, sp_str_c(format)) };
    chain->logs = log;
    chain->log_count = 1;
    r->listener->name = r->name;
    r->listener->chains = chain;
    r->listener->chain_count = 1;
    assert_int_equal(sp_snapshot_put(snapshot, r), 0);
    sp_resource_unref(r);
    sp_snapshot_seal(snapshot, 1);
    const char *why = NULL;
    assert_int_equal(sp_accesslog_apply(w->log, snapshot, &why), wanted);
    sp_snapshot_unref(snapshot);
    return chain;
}

static bool push(struct world *w, const struct sp_chain_spec *chain, uint16_t status)
{
    struct sp_report *r = sp_ring_reserve(&w->ring);
    if (!r)
        return false;
    memset(r, 0, sizeof *r);
    r->chain = chain;
    r->log_mask = 1;
    r->status = status;
    sp_ring_push(&w->ring);
    return true;
}

static void expect_file(const char *path, const char *wanted)
{
    char text[8192];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, wanted);
}

static void records_become_lines_without_being_asked(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    push(w, chain, 200);
    push(w, chain, 201);
    turn_until(w->loop, sp_accesslog_view(w->log).lines == 2);
    expect_file(w->path, "200\n201\n");
    push(w, chain, 202);
    turn_until(w->loop, sp_accesslog_view(w->log).lines == 3);
    expect_file(w->path, "200\n201\n202\n");
    assert_int_equal(sp_accesslog_view(w->log).lost, 0);
}

static void what_is_left_at_the_end_is_written(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    for (int i = 0; i < RING; i++)
        push(w, chain, 200);
    sp_accesslog_free(w->log);
    char wanted[RING * 4 + 1];
    for (int i = 0; i < RING; i++)
        memcpy(wanted + i * 4, "200\n", 5);
    expect_file(w->path, wanted);
    w->log = NULL;
}

static void a_full_ring_loses_records_and_counts_them(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    int lost = 0;
    for (int i = 0; i < RING + 10; i++)
        lost += !push(w, chain, 200);
    assert_int_equal(lost, 10);
    sp_accesslog_wake(w->log);
    assert_int_equal(sp_accesslog_view(w->log).lines, RING);
    assert_int_equal(sp_accesslog_view(w->log).lost, 10);
}

static void after_rotation_lines_go_to_the_new_file(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    push(w, chain, 200);
    sp_accesslog_wake(w->log);
    assert_int_equal(rename(w->path, w->moved), 0);
    push(w, chain, 201); /* was there before the signal: goes to the old one */
    sp_accesslog_reopen(w->log, NULL, NULL);
    push(w, chain, 202);
    sp_accesslog_wake(w->log);
    expect_file(w->moved, "200\n201\n");
    expect_file(w->path, "202\n");
}

static void remember_error(void *arg, const char *path, sp_err err)
{
    struct world *w = arg;
    assert_string_equal(path, w->path);
    assert_int_equal(err, SP_E_UNSUPPORTED); /* a folder */
    w->errors++;
}

static void a_file_that_cannot_be_opened_anew_goes_on_as_it_is_and_is_told(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    push(w, chain, 200);
    sp_accesslog_wake(w->log);
    assert_int_equal(rename(w->path, w->moved), 0);
    assert_int_equal(mkdir(w->path, 0700), 0);
    sp_accesslog_reopen(w->log, remember_error, w);
    sp_accesslog_reopen(w->log, remember_error, w);
    assert_int_equal(w->errors, 2);
    assert_int_equal(sp_accesslog_view(w->log).errors, 2);
    push(w, chain, 201);
    sp_accesslog_wake(w->log);
    expect_file(w->moved, "200\n201\n");
    assert_int_equal(rmdir(w->path), 0);
    sp_accesslog_reopen(w->log, remember_error, w);
    push(w, chain, 202);
    sp_accesslog_finish(w->log);
    expect_file(w->path, "202\n");
    assert_int_equal(sp_accesslog_view(w->log).errors, 2);
}

static void a_new_snapshot_changes_the_format_and_late_records_keep_theirs(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *old = apply(w, "old %RESPONSE_CODE%", 0);
    const struct sp_chain_spec *new = apply(w, "new %RESPONSE_CODE%", 0);
    push(w, old, 1);
    push(w, new, 2);
    sp_accesslog_wake(w->log);
    expect_file(w->path, "old 1\nnew 2\n");
    apply(w, "newest %RESPONSE_CODE%", 0);
    push(w, old, 3); /* two generations ago: nobody knows it */
    sp_accesslog_wake(w->log);
    expect_file(w->path, "old 1\nnew 2\n");
    assert_int_equal(sp_accesslog_view(w->log).lost, 1);
}

static void a_snapshot_that_cannot_be_logged_leaves_the_one_before(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    apply(w, "%NO_SUCH_THING%", SP_E_INVALID);
    char kept[sizeof w->path];
    memcpy(kept, w->path, sizeof kept);
    snprintf(w->path, sizeof w->path, "/nowhere/at/all.log");
    apply(w, "%RESPONSE_CODE%", SP_E_MISSING);
    memcpy(w->path, kept, sizeof kept);
    assert_int_equal(sp_accesslog_view(w->log).errors, 1);
    push(w, chain, 200);
    sp_accesslog_wake(w->log);
    expect_file(w->path, "200\n");
}

static void switched_off_it_takes_records_and_writes_none(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "%RESPONSE_CODE%", 0);
    sp_accesslog_set(w->log, false, 1);
    push(w, chain, 200);
    sp_accesslog_wake(w->log);
    assert_null(sp_ring_peek(&w->ring));
    sp_accesslog_set(w->log, true, 1);
    push(w, chain, 201);
    sp_accesslog_wake(w->log);
    expect_file(w->path, "201\n");
    assert_int_equal(sp_accesslog_view(w->log).lost, 0);
}

static void a_pipe_that_is_full_loses_bytes_and_never_waits(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkfifo(w->path, 0600), 0);
    int reader = open(w->path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    const struct sp_chain_spec *chain = apply(
        w, "%RESPONSE_CODE% ........................................................", 0);
    for (int i = 0; i < 5000; i++) { /* 300 KB into a pipe of 64 */
        if (!push(w, chain, 200)) {
            sp_accesslog_wake(w->log);
            push(w, chain, 200);
        }
    }
    sp_accesslog_wake(w->log);
    assert_true(sp_accesslog_view(w->log).lost_bytes > 100000);
    char *text = malloc(1 << 20);
    ssize_t len = read(reader, text, (1 << 20) - 1);
    assert_true(len > 0);
    push(w, chain, 299);
    sp_accesslog_wake(w->log); /* what comes behind a loss begins on a line of its own */
    len = read(reader, text, (1 << 20) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    assert_non_null(strstr(text, "\n299 ..."));
    free(text);
    close(reader);
}

struct trouble {
    int begun, over;
    sp_err err;
    uint64_t lost;
};

static void remember_trouble(void *arg, const char *path, sp_err err, uint64_t lost)
{
    struct trouble *t = arg;
    t->begun += err != 0;
    t->over += err == 0;
    t->err = err ? err : t->err;
    t->lost = lost;
}

enum { LINE_BYTES = 61 };

/* So many lines of LINE_BYTES. */
static void push_lines(struct world *w, const struct sp_chain_spec *chain, int count)
{
    for (int i = 0; i < count; i++) {
        if (i % RING == 0)
            sp_accesslog_wake(w->log);
        assert_true(push(w, chain, 200));
    }
    sp_accesslog_wake(w->log);
}

/* Lines in the pipe that are whole. */
static uint64_t read_lines(int reader)
{
    char *text = malloc(1 << 20);
    ssize_t len = read(reader, text, (1 << 20) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    uint64_t whole = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1)
        whole += end + 1 - at == LINE_BYTES;
    free(text);
    return whole;
}

static void lines_that_a_file_does_not_take_are_told_once_and_counted_apart(void **state)
{
    struct world *w = *state;
    struct trouble t = { 0 };
    assert_int_equal(mkfifo(w->path, 0600), 0);
    int reader = open(w->path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    const struct sp_chain_spec *chain = apply(
        w, "%RESPONSE_CODE% ........................................................", 0);
    sp_accesslog_watch(w->log, remember_trouble, &t);
    push_lines(w, chain, 5000); /* 300 KB into a pipe of 64 */
    struct sp_accesslog_view view = sp_accesslog_view(w->log);
    assert_int_equal(view.lines + view.lost, 5000);
    assert_in_range(view.lines, 900, 1200);
    assert_int_equal(t.begun, 1);
    assert_int_equal(t.over, 0);
    assert_int_equal(t.err, SP_E_AGAIN);
    assert_int_equal(read_lines(reader), view.lines);
    push_lines(w, chain, 10);
    assert_int_equal(t.over, 1);
    assert_int_equal(t.lost, view.lost);
    assert_int_equal(sp_accesslog_view(w->log).lines, view.lines + 10);
    assert_int_equal(read_lines(reader), 10);
    for (int i = 0; i < 3; i++) { /* soon again: counted, and not worth another line */
        push_lines(w, chain, 2000);
        read_lines(reader);
        push_lines(w, chain, 1);
        read_lines(reader);
    }
    view = sp_accesslog_view(w->log);
    assert_int_equal(view.lines + view.lost, 5000 + 10 + 3 * 2001);
    assert_int_equal(t.begun, 1);
    assert_int_equal(t.over, 1);
    close(reader);
}

static void memory_that_is_out_at_any_place_of_applying_is_said(void **state)
{
    struct world *w = *state;
    const struct sp_chain_spec *chain = apply(w, "first %RESPONSE_CODE%", 0);
    struct sp_snapshot *snapshot = sp_snapshot_new(NULL);
    sp_snapshot_seal(snapshot, 2);
    int failed = 0;
    for (uint64_t n = 1; n < 50; n++) {
        const char *why = NULL;
        (void)sp_mem_fail_at(n);
        sp_err err = sp_accesslog_apply(w->log, snapshot, &why);
        (void)sp_mem_fail_at(0);
        if (!err)
            break;
        assert_int_equal(err, SP_E_NOMEM);
        assert_non_null(why);
        failed++;
    }
    assert_true(failed >= 1);
    push(w, chain, 200);
    sp_accesslog_wake(w->log);
    expect_file(w->path, "first 200\n");
    sp_snapshot_unref(snapshot);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_line_is_envoys),
        cmocka_unit_test(a_request_that_could_not_be_read_has_no_version),
        cmocka_unit_test(each_operator_says_its_part),
        cmocka_unit_test(details_say_whether_the_answer_had_begun),
        cmocka_unit_test(every_reason_has_a_line),
        cmocka_unit_test(what_a_peer_sends_makes_no_line_and_no_field),
        cmocka_unit_test(json_keeps_numbers_and_says_null),
        TEST(records_become_lines_without_being_asked),
        TEST(what_is_left_at_the_end_is_written),
        TEST(a_full_ring_loses_records_and_counts_them),
        TEST(after_rotation_lines_go_to_the_new_file),
        TEST(a_file_that_cannot_be_opened_anew_goes_on_as_it_is_and_is_told),
        TEST(a_new_snapshot_changes_the_format_and_late_records_keep_theirs),
        TEST(a_snapshot_that_cannot_be_logged_leaves_the_one_before),
        TEST(switched_off_it_takes_records_and_writes_none),
        TEST(a_pipe_that_is_full_loses_bytes_and_never_waits),
        TEST(lines_that_a_file_does_not_take_are_told_once_and_counted_apart),
        TEST(memory_that_is_out_at_any_place_of_applying_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
