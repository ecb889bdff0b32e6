/* help: a proxy of paper for the pages: workers whose cells the test fills, reached as cmd reaches real
 * ones. */
#ifndef SP_TESTS_OBSERVE_HELP_H
#define SP_TESTS_OBSERVE_HELP_H

#include "lib/http.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "form/json.h"
#include "io/mail.h"
#include "model/settings.h"
#include "observe/admin.h"
#include "observe/runtime.h"
#include "wire/call.h"

enum { PAPER_WORKERS = 2, PAPER_ENDPOINTS = 2, PAPER_RECENT = 8 };

struct paper_worker {
    struct sp_cluster_cells cluster;
    struct sp_hist cluster_time, chain_time;
    struct sp_chain_cells chain;
    struct sp_tcp_cells tcp;
    struct sp_listener_cells listener;
    struct sp_worker_cells cells;
    struct sp_endpoint_view endpoints[PAPER_ENDPOINTS];
    struct sp_series *series;
    struct sp_report recent[PAPER_RECENT];
    int recent_count;
    bool gone, silent;
    uint32_t index;
    struct paper *paper;
};

struct paper {
    struct sp_loop *loop;
    struct sp_admin *admin;
    struct sp_log log;
    struct sp_settings settings;
    struct sp_admin_config config;
    struct sp_cluster_spec cluster;
    struct sp_endpoint_spec endpoint_specs[PAPER_ENDPOINTS];
    struct sp_listener_spec listener;
    sp_addr bound;
    sp_str stat_prefix;
    struct paper_worker workers[PAPER_WORKERS];
    enum sp_admin_state state;
    int drained, inbound_only, graceful, quits;
    uint32_t runtime_key;
    uint64_t runtime_value;
    const struct sp_admin_lightsdk *lightsdk; /* NULL: there is no such door */
    sp_addr tcp, local;
    char path[64];
    int asks_out;
    struct paper_ask *held; /* of a silent worker */
};

struct paper_ask {
    struct sp_mail mail;
    struct paper_worker *worker;
    struct paper_ask *next;
    sp_admin_fn fn;
    sp_admin_then then;
    void *arg;
};

static inline void paper_then(struct sp_mail *mail)
{
    struct paper_ask *ask = SP_CONTAINER(mail, struct paper_ask, mail);
    ask->worker->paper->asks_out--;
    ask->then(ask->arg);
    free(ask);
}

static inline void paper_asked(struct sp_mail *mail)
{
    struct paper_ask *ask = SP_CONTAINER(mail, struct paper_ask, mail);
    struct paper *paper = ask->worker->paper;
    if (ask->worker->silent) {
        ask->next = paper->held;
        paper->held = ask;
        return;
    }
    ask->fn((struct sp_worker *)(void *)ask->worker, ask->arg);
    ask->mail.on_mail = paper_then;
    sp_mail_post(paper->loop, &ask->mail);
}

/* What the silent workers owe. */
static inline void paper_release(struct paper *paper)
{
    while (paper->held) {
        struct paper_ask *ask = paper->held;
        paper->held = ask->next;
        ask->worker->silent = false;
        paper_asked(&ask->mail);
    }
}

static inline bool paper_ask(void *arg, uint32_t index, sp_admin_fn fn, sp_admin_then then, void *ask_arg)
{
    struct paper *paper = arg;
    assert_true(index < PAPER_WORKERS);
    if (paper->workers[index].gone)
        return false;
    struct paper_ask *ask = calloc(1, sizeof *ask);
    *ask = (struct paper_ask){ .worker = &paper->workers[index], .fn = fn, .then = then, .arg = ask_arg };
    ask->mail.on_mail = paper_asked;
    paper->asks_out++;
    sp_mail_post(paper->loop, &ask->mail);
    return true;
}

static inline void paper_walk(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg)
{
    struct paper_worker *w = (struct paper_worker *)(void *)worker;
    struct paper *paper = w->paper;
    ops->on_listener(arg, &paper->listener, &paper->bound, &w->listener);
    ops->on_chain(arg, paper->stat_prefix, &w->chain, &w->chain_time);
    ops->on_tcp(arg, paper->stat_prefix, &w->tcp);
    ops->on_cluster(arg, &paper->cluster, &w->cluster, &w->cluster_time);
    for (int i = 0; i < PAPER_ENDPOINTS; i++)
        ops->on_endpoint(arg, &paper->cluster, &paper->endpoint_specs[i].addr, &w->endpoints[i]);
    for (const struct sp_series *s = w->series; s; s = s->next)
        ops->on_series(arg, s);
    ops->on_worker(arg, w->index, &w->cells);
}

static inline void paper_recent(struct sp_worker *worker,
                                bool (*each)(void *each_arg, const struct sp_report *report), void *each_arg)
{
    struct paper_worker *w = (struct paper_worker *)(void *)worker;
    for (int i = w->recent_count; i-- > 0;)
        if (!each(each_arg, &w->recent[i]))
            return;
}

static inline enum sp_admin_state paper_state(void *arg)
{
    return ((struct paper *)arg)->state;
}

static inline void paper_drain(void *arg, bool inbound_only, bool graceful)
{
    struct paper *paper = arg;
    paper->drained++;
    paper->inbound_only += inbound_only;
    paper->graceful += graceful;
}

static inline void paper_quit(void *arg)
{
    ((struct paper *)arg)->quits++;
}

static inline sp_err paper_runtime(void *arg, uint32_t key, uint64_t value)
{
    struct paper *paper = arg;
    paper->runtime_key = key;
    paper->runtime_value = value;
    return 0;
}

static inline bool paper_lightsdk(void *arg, struct sp_admin_lightsdk *ret_figures, struct sp_buf *json)
{
    struct paper *paper = arg;
    if (!paper->lightsdk)
        return false;
    *ret_figures = *paper->lightsdk;
    if (json)
        sp_buf_add_c(json, "{\"applications\":[]}\n");
    return true;
}

static const struct sp_admin_ops paper_ops = {
    .ask = paper_ask,
    .walk = paper_walk,
    .recent = paper_recent,
    .state = paper_state,
    .drain_listeners = paper_drain,
    .quit = paper_quit,
    .lightsdk = paper_lightsdk,
    .set_runtime = paper_runtime,
};

static inline void paper_sink(void *arg, enum sp_log_level level, sp_str line)
{
}

/* A proxy with one listener, chain, cluster of two endpoints; `admin` is opened by paper_open. */
static inline struct paper *paper_new(void)
{
    struct paper *p = calloc(1, sizeof *p);
    p->loop = sp_loop_new(NULL);
    p->state = SP_ADMIN_LIVE;
    p->log = (struct sp_log){ .level = SP_LOG_INFO, .sink = paper_sink };
    p->settings.labels.workload = SP_STR("shop");
    p->settings.labels.workload_namespace = SP_STR("prod");
    p->settings.node_id = SP_STR("node-1");
    p->settings.drain_ns = 30 * SP_NS_PER_S;
    p->settings.reason_header = true;
    p->stat_prefix = SP_STR("in");
    p->bound = (sp_addr){ .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 }, .port = 8080 };
    p->listener = (struct sp_listener_spec){ .name = SP_STR("front"), .addr = p->bound };
    for (int i = 0; i < PAPER_ENDPOINTS; i++)
        p->endpoint_specs[i] = (struct sp_endpoint_spec){
            .addr = { .family = SP_ADDR_IP4, .ip = { 10, 0, 0, (uint8_t)(i + 1) }, .port = 9080 },
            .hostname = SP_STR("host"),
            .weight = 1,
        };
    p->cluster = (struct sp_cluster_spec){ .name = SP_STR("reviews"),
                                           .endpoints = p->endpoint_specs,
                                           .endpoint_count = PAPER_ENDPOINTS,
                                           .limits = { 1024, 1025, 1026, 3 } };
    for (uint32_t i = 0; i < PAPER_WORKERS; i++) {
        struct paper_worker *w = &p->workers[i];
        w->index = i;
        w->paper = p;
        sp_hist_init(&w->cluster_time);
        sp_hist_init(&w->chain_time);
        for (int e = 0; e < PAPER_ENDPOINTS; e++)
            w->endpoints[e] = (struct sp_endpoint_view){ .weight = 1, .healthy = true };
    }
    return p;
}

static inline void paper_open(struct paper *p)
{
    const char *why = NULL;
    snprintf(p->path, sizeof p->path, "/tmp/sampan-test-admin-%d.sock", (int)getpid());
    p->config.ops = &paper_ops;
    p->config.arg = p;
    p->config.log = &p->log;
    p->config.settings = &p->settings;
    p->config.unix_path = p->path;
    p->config.tcp = (sp_addr){ .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 } };
    p->config.workers = PAPER_WORKERS;
    p->admin = sp_admin_new(p->loop, &p->config, &why);
    if (!p->admin)
        fail_msg("admin: %s", why);
    assert_int_equal(sp_admin_local(p->admin, &p->tcp), 0);
    p->local = (sp_addr){ .family = SP_ADDR_UNIX, .path = p->path };
}

static inline struct sp_series *paper_series(struct paper_worker *w, struct sp_series_key key)
{
    struct sp_series *s = calloc(1, sizeof *s);
    s->key = key;
    sp_hist_init(&s->duration_ns);
    sp_hist_init(&s->request_bytes);
    sp_hist_init(&s->response_bytes);
    s->next = w->series;
    w->series = s;
    return s;
}

static inline void paper_free(struct paper *p)
{
    sp_admin_free(p->admin);
    paper_release(p);
    for (int i = 0; i < 4 || p->asks_out; i++)
        sp_loop_turn(p->loop, 0);
    for (int i = 0; i < PAPER_WORKERS; i++) {
        struct paper_worker *w = &p->workers[i];
        sp_hist_deinit(&w->cluster_time);
        sp_hist_deinit(&w->chain_time);
        while (w->series) {
            struct sp_series *s = w->series;
            w->series = s->next;
            sp_hist_deinit(&s->duration_ns);
            sp_hist_deinit(&s->request_bytes);
            sp_hist_deinit(&s->response_bytes);
            free(s);
        }
    }
    sp_loop_free(p->loop);
    unlink(p->path);
    free(p);
}

static inline int paper_set_up(void **state)
{
    struct paper *p = paper_new();
    paper_open(p);
    *state = p;
    return 0;
}

static inline int paper_tear_down(void **state)
{
    paper_free(*state);
    return 0;
}

/* The whole answer to METHOD PATH; free it. */
static inline char *paper_get(struct paper *p, const sp_addr *at, const char *method, const char *path)
{
    char request[2048];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
             method, path);
    return http_talk(p->loop, at, request);
}

/* Status 200 and the body alone; free *ret_answer. */
static inline char *paper_page(struct paper *p, const char *path, char **ret_answer)
{
    char *answer = paper_get(p, &p->local, "GET", path);
    if (http_status(answer) != 200)
        fail_msg("%s: %s", path, answer);
    *ret_answer = answer;
    return http_body(answer);
}

/* Well-formed JSON, by the reader of form. */
static inline void expect_json(const char *text)
{
    struct sp_arena arena;
    struct sp_json json;
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    sp_json_init(&json, &arena, sp_str_c(text));
    int event;
    do
        event = sp_json_next(&json);
    while (event > 0);
    if (event < 0)
        fail_msg("not JSON at column %u (%s): %.2000s", json.column, json.problem, text);
    sp_arena_deinit(&arena);
}

static inline void expect_line(const char *page, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = page; (at = strstr(at, line)); at++)
        if ((at == page || at[-1] == '\n') && (at[len] == '\n' || at[len] == '\0'))
            return;
    fail_msg("no line\n%s\nin\n%.3000s", line, page);
}

#endif
