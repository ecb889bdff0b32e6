/* admin_docs: pages for people that must say what the program says: docs/reasons.md (and .zh.md) from the
 * table of reasons, docs/metrics.md from a scrape, docs/runtime.md from the table of keys, each in Chinese
 * besides (.zh.md). The tests compare;
 * this program, called as `test_observe_admin_docs write`, writes them. */
#include "unit/observe/chinese.h"
#include "unit/observe/help.h"

#include "base/buf.h"
#include "observe/accesslog.h"
#include "observe/gather.h"

#define DOCS SP_TESTS_DIR "/../docs/"

/* The reasons in Chinese; a reason without its words does not pass. */
static const struct {
    const char *text, *advice;
} chinese[SP_WHY_COUNT] = {
    [SP_WHY_NONE] = { "上游自己的应答", "无需处理" },
    [SP_WHY_DIRECT] = { "路由自己应答", "无需处理；路由写了 direct_response" },
    [SP_WHY_REDIRECT] = { "路由重定向", "无需处理；路由写了 redirect" },
    [SP_WHY_NO_ROUTE] = { "没有路由匹配这次调用", "把服务名和路径与 /config_dump 里的路由表对照" },
    [SP_WHY_NO_CLUSTER] = { "路由指向不存在的集群", "补上集群，或改正路由" },
    [SP_WHY_NO_HEALTHY] = { "集群没有可用的端点", "看 /clusters：是没有端点，还是全都不健康" },
    [SP_WHY_NO_ORIGINAL_DST] = { "不知道这次调用原来的目的地址",
                                 "到这个集群的调用必须经过流量拦截，或带上它的头" },
    [SP_WHY_DNS] = { "集群里的名字还没有解析出地址", "这台机器能解析这个名字吗？看集群的 update_failure" },
    [SP_WHY_CONNECT] = { "连不上端点", "端点在运行吗？从这里能到达吗？" },
    [SP_WHY_CONNECT_TIMEOUT] = { "端点没有及时接受连接", "端点在运行吗？时限是集群的 connect_timeout" },
    [SP_WHY_POOL_FULL] = { "集群的连接数和排队数都到了上限",
                           "调高 max_connections 或 max_pending_requests，或增加端点" },
    [SP_WHY_BREAKER] = { "集群正在进行的调用到了上限", "调高 max_requests，或增加端点" },
    [SP_WHY_RETRY_LIMIT] = { "重试次数用完", "看端点的错误" },
    [SP_WHY_UPSTREAM_RESET] = { "端点切断了连接", "看端点在那一刻的日志" },
    [SP_WHY_UPSTREAM_CLOSED] = { "端点没有应答就关闭了连接", "它关闭空闲连接是不是比我们早？" },
    [SP_WHY_UPSTREAM_PROTOCOL] = { "端点的应答违反协议", "访问日志的 failure 写明错在哪里" },
    [SP_WHY_TIMEOUT] = { "应答没有及时到来", "调高路由的 timeout，或查端点为什么慢" },
    [SP_WHY_STREAM_IDLE] = { "太久没有任何字节往来", "调高 stream_idle_timeout，或查是哪一方停了" },
    [SP_WHY_CLIENT_GONE] = { "调用方走了", "这里无需处理；与调用方自己的超时对照" },
    [SP_WHY_BAD_REQUEST] = { "请求违反语法", "访问日志的 failure 写明错在哪里" },
    [SP_WHY_BAD_FRAME] = { "帧违反语法", "访问日志的 failure 写明错在哪里" },
    [SP_WHY_HEAD_TOO_LARGE] = { "请求头超过上限", "调高 max_request_headers_kb，或少发一些" },
    [SP_WHY_URI_TOO_LONG] = { "请求行超过上限", "缩短路径" },
    [SP_WHY_UNSUPPORTED] = { "请求要求了我们拒绝的东西", "只转发 chunked 编码" },
    [SP_WHY_HTTP_VERSION] = { "版本不是 HTTP/1.0 或 1.1", "请用 HTTP/1.1" },
    [SP_WHY_HEADERS_TIMEOUT] = { "请求头没有及时发完", "客户端慢，还是攻击？时限是 request_headers_timeout" },
    [SP_WHY_REQUEST_TIMEOUT] = { "请求体没有及时发完",
                                 "客户端慢吗？时限是 stream_idle_timeout 和 request_timeout" },
    [SP_WHY_TOO_MANY_STREAMS] = { "进程里正在进行的调用太多",
                                  "增加实例：一个进程最多同时承载 100,000 个调用" },
    [SP_WHY_MEMORY] = { "给调用用的内存用完", "调高 memory_bytes，或看 /memory 是谁占着" },
    [SP_WHY_DESCRIPTORS] = { "没有文件描述符了", "调高 LimitNOFILE" },
    [SP_WHY_REGEX_LIMIT] = { "路由表里的正则表达式到了工作量上限", "把表达式写简单" },
    [SP_WHY_UPGRADE_REFUSED] = { "监听器不允许这种升级或 CONNECT", "把它加进 upgrade_configs" },
    [SP_WHY_PROTOCOL_MISMATCH] = { "集群说的协议与调用方不同", "让路由指向这种协议的集群" },
    [SP_WHY_BACKWARD] = { "在几个调用方共用的连接上来了反向请求",
                          "从现在起调用方各用各的连接：请再调用一次" },
    [SP_WHY_DRAINING] = { "进程就要结束", "无需处理：再调用一次，会有别的实例应答" },
    [SP_WHY_LISTENER_FULL] = { "监听器或进程的连接太多", "调高 max_connections" },
    [SP_WHY_NO_CHAIN] = { "没有过滤链匹配这个连接", "加一个 default_filter_chain" },
    [SP_WHY_NOT_DETECTED] = { "开头的字节不是任何链接受的协议", "给认不出的连接加一条 TCP 链" },
    [SP_WHY_PROXY_PROTOCOL] = { "PROXY 头缺失或损坏", "我们前面的负载均衡器发它吗？" },
    [SP_WHY_IDLE] = { "太久没有调用", "无需处理" },
    [SP_WHY_MAX_AGE] = { "连接到了年龄上限", "无需处理" },
    [SP_WHY_STALLED] = { "对方太久一个字节也不收，而别人在等", "对方卡住了吗？" },
    [SP_WHY_HEARTBEAT_LOST] = { "端点没有应答三次心跳", "端点卡住了吗？" },
};

static void cell(struct sp_buf *out, const char *text)
{
    sp_buf_add_char(out, ' ');
    for (const char *c = text; *c; c++) {
        if (*c == '|')
            sp_buf_add_char(out, '\\');
        sp_buf_add_char(out, *c);
    }
    sp_buf_add_c(out, " |");
}

static void code_cell(struct sp_buf *out, const char *text)
{
    sp_buf_printf(out, " %s%s%s |", *text == '-' ? "" : "`", text, *text == '-' ? "" : "`");
}

static void reason_rows(struct sp_buf *out, int from, int to, bool zh)
{
    for (int i = from; i < to; i++) {
        const struct sp_why_row *row = sp_why_row(i);
        char status[16] = "-";
        if (row->status)
            snprintf(status, sizeof status, "%u", row->status);
        sp_buf_add_char(out, '|');
        code_cell(out, row->code);
        cell(out, status);
        cell(out, row->flag);
        code_cell(out, row->detail);
        cell(out, zh ? chinese[i].text : row->text);
        cell(out, zh ? chinese[i].advice : row->advice);
        sp_buf_add_char(out, '\n');
    }
}

static void reasons(struct sp_buf *out)
{
    sp_buf_add_c(
        out, "# Reasons: why a call was answered, refused or cut\n\n"
             "Every decision leaves one code. The same code stands in the answer's header `x-sampan-\n"
             "reason`, in the access log (`%SAMPAN_REASON%`), in `/why?id=`, and in the counter\n"
             "`sampan_reason_total`. *Status* is what the caller gets, as HTTP counts; other protocols say\n"
             "the same in their own words. *Flag* and *details* are what Envoy's dashboards know\n"
             "(`%RESPONSE_FLAGS%`, `%RESPONSE_CODE_DETAILS%`). This page is printed from the program's own\n"
             "table.\n\n"
             "## Of calls\n"
             "| code | status | flag | details | what happened | what to do |\n|---|---|---|---|---|---|\n");
    reason_rows(out, 0, SP_WHY_LISTENER_FULL, false);
    sp_buf_add_c(
        out, "\n## Of connections\n"
             "| code | status | flag | details | what happened | what to do |\n|---|---|---|---|---|---|\n");
    reason_rows(out, SP_WHY_LISTENER_FULL, SP_WHY_COUNT, false);
}

static void reasons_zh(struct sp_buf *out)
{
    sp_buf_add_c(
        out,
        "# 原因码：一次调用为什么被这样应答、拒绝或切断\n\n"
        "每个决定都留下一个原因码。应答头 `x-sampan-reason`、访问日志（`%SAMPAN_REASON%`）、`/why?id=` 和计数器\n"
        "`sampan_reason_total` 用的是同一个码。*状态* 是调用方得到的状态，按 HTTP 计；别的协议用自己的方式表达同样的意思。\n"
        "*标志* 和 *细节* 是 Envoy 的看板认识的写法（`%RESPONSE_FLAGS%`、`%RESPONSE_CODE_DETAILS%`）。本页由程序自己的表打印。\n\n"
        "## 调用\n"
        "| 原因码 | 状态 | 标志 | 细节 | 发生了什么 | 怎么办 |\n|---|---|---|---|---|---|\n");
    reason_rows(out, 0, SP_WHY_LISTENER_FULL, true);
    sp_buf_add_c(out, "\n## 连接\n"
                      "| 原因码 | 状态 | 标志 | 细节 | 发生了什么 | 怎么办 |\n|---|---|---|---|---|---|\n");
    reason_rows(out, SP_WHY_LISTENER_FULL, SP_WHY_COUNT, true);
}

static void add_words(struct sp_buf *out, const char *text, size_t len, bool zh)
{
    const char *words = zh ? chinese_for(text, len) : NULL;
    if (zh && !words)
        fail_msg("say it in Chinese, in tests/unit/observe/chinese.h: %.*s", (int)len, text);
    if (words)
        sp_buf_add_c(out, words);
    else
        sp_buf_add(out, text, len);
}

/* A family of the scrape: its HELP, TYPE, and the labels of its first sample. */
static void metric_row(struct sp_buf *out, const char *help, bool zh)
{
    const char *name = help + 7, *text = strchr(name, ' ');
    const char *type = strstr(help, "\n# TYPE "), *sample = type ? strchr(type + 1, '\n') : NULL;
    int name_len = (int)(text - name);
    assert_non_null(sample);
    type += 8 + name_len + 1;
    sp_buf_printf(out, "| `%.*s` | %.*s |", name_len, name, (int)strcspn(type, "\n"), type);
    char labels[1024] = "";
    size_t at = 0;
    const char *brace = sample + 1 + strcspn(sample + 1, "{ \n");
    for (const char *p = *brace == '{' ? brace : ""; *p && *p != '}' && strstr(p, "=\"");) {
        const char *label = p + 1;
        size_t len = strcspn(label, "=");
        if (!(len == 2 && strncmp(label, "le", 2) == 0))
            at += (size_t)snprintf(labels + at, sizeof labels - at, "%s`%.*s`", at ? ", " : "", (int)len,
                                   label);
        p = strchr(label + len + 2, '"') + 1;
    }
    bool istio = strncmp(name, "istio_", 6) == 0 && strncmp(name, "istio_build", 11) != 0;
    sp_buf_printf(out, " %s | ",
                  istio && zh ? "Istio 的标准标签"
                  : istio     ? "Istio's standard labels"
                  : *labels   ? labels
                              : "-");
    add_words(out, text + 1, strcspn(text + 1, "\n"), zh);
    sp_buf_add_c(out, " |\n");
}

static const char metrics_head[] =
    "# Figures for Prometheus\n\n"
    "`/stats/prometheus` of admin shows these families; `/stats` shows the same by Envoy's dotted\n"
    "names. Clusters, chains and listeners have Envoy's names, calls between services Istio's, so\n"
    "dashboards for either go on working; what neither has is `sampan_*`. Labels of Istio's\n"
    "families are the standard ones (`reporter`, `source_*`, `destination_*`, `request_protocol`,\n"
    "`response_code`, `grpc_response_status`, `response_flags`, `connection_security_policy`);\n"
    "what is not known is `unknown`. RPC protocols count like HTTP: `request_protocol` is `bolt`,\n"
    "the status is the one that HTTP would have; a business error behind a success has the label\n"
    "`app_error=\"true\"` besides. At most 4096 different label sets are shown; the rest is counted\n"
    "under `reporter=\"overflow\"`. Histograms know values to an eighth. This page is printed from\n"
    "a scrape.\n\n"
    "| family | type | labels | what it counts |\n|---|---|---|---|\n";

static const char metrics_head_zh[] =
    "# 给 Prometheus 的指标\n\n"
    "admin 的 `/stats/prometheus` 给出下面这些指标；`/stats` 用 Envoy 的点分名字给出同样的内容。集群、过滤链、监听器用\n"
    "Envoy 的名字，服务之间的调用用 Istio 的名字，所以为其中任何一个做的看板都能继续使用；两者都没有的叫 `sampan_*`。Istio\n"
    "指标的标签是标准的那些（`reporter`、`source_*`、`destination_*`、`request_protocol`、`response_code`、\n"
    "`grpc_response_status`、`response_flags`、`connection_security_policy`）；不知道的写 `unknown`。RPC 协议与 HTTP\n"
    "同样计数：`request_protocol` 是 `bolt`，状态是 HTTP 会有的那个；成功状态背后的业务错误另带标签 `app_error=\"true\"`。\n"
    "至多显示 4096 组不同的标签；其余计入 `reporter=\"overflow\"`。直方图的值精确到八分之一。本页由一次抓取打印。\n\n"
    "| 指标 | 类型 | 标签 | 计的是什么 |\n|---|---|---|---|\n";

static void print_metrics(struct sp_buf *out, bool zh)
{
    struct paper *p = paper_new();
    const struct sp_series_key http = { .direction = SP_DIRECTION_OUTBOUND,
                                        .protocol = SP_PROTO_HTTP1,
                                        .status = 200 };
    const struct sp_series_key tcp = { .direction = SP_DIRECTION_OUTBOUND, .protocol = SP_PROTO_TCP };
    char *answer;
    p->config.accesslog = sp_accesslog_new(p->loop, SP_STR("host"));
    p->lightsdk = &(const struct sp_admin_lightsdk){ 0 };
    paper_open(p);
    (void)paper_series(&p->workers[0], http);
    (void)paper_series(&p->workers[0], tcp);
    char *page = paper_page(p, "/stats/prometheus", &answer);
    sp_buf_add_c(out, zh ? metrics_head_zh : metrics_head);
    for (const char *at = page; (at = strstr(at, "# HELP ")); at++)
        metric_row(out, at, zh);
    free(answer);
    struct sp_accesslog *log = p->config.accesslog;
    sp_accesslog_free(log);
    paper_free(p);
}

static void metrics(struct sp_buf *out)
{
    print_metrics(out, false);
}

static void metrics_zh(struct sp_buf *out)
{
    print_metrics(out, true);
}

static const char runtime_head[] =
    "# What can be changed while it runs\n\n"
    "`/runtime` of admin shows these keys, `POST /runtime_modify?key=value` on admin's Unix\n"
    "socket changes them until the process ends. This page is printed from the program's own\n"
    "table.\n\n"
    "| key | values | default | heeded by | what it does |\n|---|---|---|---|---|\n";

static const char runtime_head_zh[] =
    "# 运行中可以改的东西\n\n"
    "admin 的 `/runtime` 显示这些键；在 admin 的 Unix 套接字上 `POST /runtime_modify?key=value` 可以改，直到进程结束。\n"
    "本页由程序自己的表打印。\n\n"
    "| 键 | 取值 | 默认值 | 由谁执行 | 作用 |\n|---|---|---|---|---|\n";

static void print_runtime(struct sp_buf *out, bool zh)
{
    sp_buf_add_c(out, zh ? runtime_head_zh : runtime_head);
    for (int i = 0; i < SP_RUNTIME_KEYS; i++) {
        const struct sp_runtime_key *key = sp_runtime_key(i);
        sp_buf_printf(out, "| `%s` | ", key->name);
        if (key->kind == SP_RUNTIME_BOOL)
            sp_buf_add_c(out, "true, false");
        for (uint64_t c = 0; key->kind == SP_RUNTIME_CHOICE && key->choices[c]; c++)
            sp_buf_printf(out, "%s%s", c ? ", " : "", key->choices[c]);
        if (key->kind == SP_RUNTIME_NUMBER)
            sp_buf_printf(out, zh ? "%llu 到 %llu" : "%llu to %llu", (unsigned long long)key->min,
                          (unsigned long long)key->max);
        sp_buf_add_c(out, " | ");
        sp_runtime_print(i, key->fallback, out);
        sp_buf_printf(out, " | %s | ", key->owner);
        add_words(out, key->text, strlen(key->text), zh);
        sp_buf_add_c(out, " |\n");
    }
}

static void runtime(struct sp_buf *out)
{
    print_runtime(out, false);
}

static void runtime_zh(struct sp_buf *out)
{
    print_runtime(out, true);
}

static const struct {
    const char *path;
    void (*print)(struct sp_buf *out);
} pages[] = {
    { DOCS "reasons.md", reasons }, { DOCS "reasons.zh.md", reasons_zh },
    { DOCS "metrics.md", metrics }, { DOCS "metrics.zh.md", metrics_zh },
    { DOCS "runtime.md", runtime }, { DOCS "runtime.zh.md", runtime_zh },
};

static void pages_for_people_say_what_the_program_says(void **state)
{
    enum { ROOM = 256 * 1024 };
    char *there = malloc(ROOM);
    for (size_t i = 0; i < SP_COUNTOF(pages); i++) {
        struct sp_buf now;
        sp_buf_init(&now, 0);
        pages[i].print(&now);
        sp_buf_add_char(&now, '\0');
        assert_false(now.failed);
        FILE *f = fopen(pages[i].path, "r");
        if (!f)
            fail_msg("%s is missing: test_observe_admin_docs write", pages[i].path);
        there[fread(there, 1, ROOM - 1, f)] = '\0';
        fclose(f);
        if (strcmp(there, now.ptr) != 0)
            fail_msg("%s is not current: test_observe_admin_docs write", pages[i].path);
        sp_buf_deinit(&now);
    }
    free(there);
}

static void every_reason_has_words_in_both_languages(void **state)
{
    for (int i = 0; i < SP_WHY_COUNT; i++) {
        const struct sp_why_row *row = sp_why_row(i);
        if (!*row->text || !*row->advice || !chinese[i].text || !chinese[i].advice)
            fail_msg("%s has not", row->code);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(row->code, sp_why_row(k)->code);
    }
}

static void every_figure_of_the_worker_is_shown(void **state)
{
    assert_int_equal(offsetof(struct sp_worker_cells, why) / sizeof(sp_cell), SP_WORKER_FIGURES);
    for (int i = 0; i < SP_WORKER_FIGURES; i++)
        for (int k = 0; k < i; k++)
            assert_true(sp_worker_figures[i].offset != sp_worker_figures[k].offset);
}

static int write_pages(void)
{
    for (size_t i = 0; i < SP_COUNTOF(pages); i++) {
        struct sp_buf now;
        sp_buf_init(&now, 0);
        pages[i].print(&now);
        FILE *f = fopen(pages[i].path, "w");
        if (!f || fwrite(now.ptr, 1, now.len, f) != now.len || fclose(f)) {
            fprintf(stderr, "cannot write %s\n", pages[i].path);
            return 1;
        }
        sp_buf_deinit(&now);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "write") == 0)
        return write_pages();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_for_people_say_what_the_program_says),
        cmocka_unit_test(every_reason_has_words_in_both_languages),
        cmocka_unit_test(every_figure_of_the_worker_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
