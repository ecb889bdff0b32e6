/* chinese: what figures count and what run-time keys do, in Chinese, by the words that the program has for
 * it. The pages docs/metrics.zh.md and docs/runtime.zh.md are printed with it; words that are missing here
 * fail the test. */
#ifndef SP_TESTS_OBSERVE_CHINESE_H
#define SP_TESTS_OBSERVE_CHINESE_H

#include <stddef.h>
#include <string.h>

static const char *const chinese_words[][2] = {
    /* clusters, chains, listeners */
    { "calls sent", "发出的调用" },
    { "calls under way", "正在进行的调用" },
    { "calls by the class of their status", "按状态类别统计的调用" },
    { "calls whose time ran out", "超时的调用" },
    { "attempts after the first", "第一次之后的尝试" },
    { "calls that a retry saved", "靠重试成功的调用" },
    { "retries that the limit refused", "被上限拒绝的重试" },
    { "calls that waited for a connection", "等待过连接的调用" },
    { "calls that wait for a connection", "正在等待连接的调用" },
    { "calls refused because the queue was full", "因排队已满被拒绝的调用" },
    { "calls refused because too many were under way", "因正在进行的调用太多被拒绝的调用" },
    { "business errors behind a success status", "成功状态背后的业务错误" },
    { "calls whose connection ended before the answer did", "应答结束前连接就断了的调用" },
    { "calls whose caller went away", "调用方离开了的调用" },
    { "connections begun", "开始的连接" },
    { "connections", "连接" },
    { "connects that failed", "失败的建连" },
    { "connects that took too long", "超时的建连" },
    { "connects that the limit refused", "被上限拒绝的建连" },
    { "connections ended while idle", "空闲时结束的连接" },
    { "connections ended with calls under way", "还有调用正在进行时结束的连接" },
    { "connections that had their number of calls", "用满调用次数的连接" },
    { "connections closed because idle", "因空闲而关闭的连接" },
    { "answers that broke the protocol", "违反协议的应答" },
    { "bytes received; of calls the bodies", "收到的字节；对调用只计消息体" },
    { "bytes sent; of calls the bodies", "发出的字节；对调用只计消息体" },
    { "bytes received", "收到的字节" },
    { "bytes sent", "发出的字节" },
    { "heartbeats sent", "发出的心跳" },
    { "heartbeats not answered", "没有应答的心跳" },
    { "heartbeats answered", "应答过的心跳" },
    { "calls for which no endpoint was usable", "没有可用端点的调用" },
    { "sets of addresses that names have led to", "名字解析得到的地址集合" },
    { "name look-ups that failed", "失败的名字解析" },
    { "calls received", "收到的调用" },
    { "calls that ask for no answer", "单向调用" },
    { "calls in which nothing moved", "太久没有任何字节往来的调用" },
    { "heads that did not end in time", "没有及时发完的请求头" },
    { "calls whose line, head or body was too large", "请求行、请求头或请求体过大的调用" },
    { "calls whose line or head was too large", "请求行或请求头过大的调用" },
    { "calls that no route takes", "没有路由匹配的调用" },
    { "connections now", "当前的连接" },
    { "connections accepted", "接受的连接" },
    { "connections ended", "结束的连接" },
    { "connections that the peer ended", "对方结束的连接" },
    { "connections that reached their age", "到了年龄上限的连接" },
    { "connections that broke the protocol", "违反协议的连接" },
    { "connections whose cluster is not there", "集群不存在的连接" },
    { "upgrades and tunnels", "升级和隧道" },
    { "upgrades and tunnels now", "当前的升级和隧道" },
    { "connections refused at the listener's limit", "因监听器上限被拒绝的连接" },
    { "connections refused at the process's limit", "因进程上限被拒绝的连接" },
    { "connections that no chain takes", "没有过滤链匹配的连接" },
    { "connections whose first bytes did not come in time", "开头的字节没有及时到来的连接" },
    { "connections with a missing or broken PROXY header", "PROXY 头缺失或损坏的连接" },
    { "times that accepting had to rest", "暂停接受连接的次数" },
    { "whole calls, in milliseconds", "整个调用的时长，毫秒" },
    { "endpoints", "端点" },
    { "endpoints that may be used", "可用的端点" },
    /* workers */
    { "calls begun", "开始的调用" },
    { "calls refused at the process's limit", "因进程上限被拒绝的调用" },
    { "calls refused because memory was out", "因内存用完被拒绝的调用" },
    { "downstream connections", "来自调用方的连接" },
    { "downstream connections accepted", "接受的来自调用方的连接" },
    { "records that found the access log's ring full", "遇到访问日志环满的记录" },
    { "calls counted in the shared series, because there were too many others",
      "因序列太多而计入共用序列的调用" },
    { "configurations taken over, over all workers", "采用过的配置，各 worker 之和" },
    { "accepts that failed", "失败的接受" },
    { "calls and connections by the reason for what was done to them; docs/reasons.md",
      "按原因码统计的调用和连接；见 [reasons.zh.md](reasons.zh.md)" },
    /* the process */
    { "1 while calls are taken, 0 while starting or draining", "接受调用时为 1，启动和排空时为 0" },
    { "seconds since the start", "启动以来的秒数" },
    { "workers", "worker 数" },
    { "bytes allocated and not freed", "已分配未释放的字节" },
    { "workers whose figures are in this page", "本页计入了几个 worker" },
    { "connections to admin", "到 admin 的连接" },
    { "requests to admin", "到 admin 的请求" },
    { "connections to admin beyond their limit", "超过上限的到 admin 的连接" },
    { "lines written", "写出的行" },
    { "records that no line was written of", "没有写成行的记录" },
    { "bytes that a file did not take", "文件没有收下的字节" },
    { "times that a file could not be opened, at first or anew",
      "文件打不开的次数，包括第一次打开和重新打开" },
    { "applications that told their name to the light SDK's door", "向轻量 SDK 接口报过名字的应用" },
    { "services that applications publish there", "应用在那里发布的服务" },
    { "services that applications subscribe to there", "应用在那里订阅的服务" },
    { "memory for what is kept of them", "保留这些内容所用的内存" },
    { "requests of light SDKs", "轻量 SDK 的请求" },
    { "requests of light SDKs that break the interface", "不符合接口的轻量 SDK 请求" },
    { "requests of light SDKs that a limit refused", "被上限拒绝的轻量 SDK 请求" },
    { "processor time, of the user and the system", "处理器时间，用户态和内核态" },
    { "memory that is there", "驻留内存" },
    { "open descriptors", "打开的描述符" },
    { "when the process began, in seconds since 1970", "进程开始的时刻，1970 年以来的秒数" },
    { "what this is", "这是什么" },
    /* Istio's */
    { "calls", "调用" },
    { "whole calls", "整个调用的时长" },
    { "bodies of requests", "请求体" },
    { "bodies of answers", "应答体" },
    { "bytes to the caller", "发给调用方的字节" },
    { "bytes from the caller", "来自调用方的字节" },
    /* run-time keys */
    { "how much the process says on standard error; /logging changes the same",
      "进程在标准错误上说多少；/logging 改的是同一项" },
    { "whether access log lines are written; others are not counted as lost",
      "是否写访问日志；不写的行不算丢失" },
    { "how often an idle sidecar looks for records", "空闲的 sidecar 多久看一次有没有记录，毫秒" },
    { "how long SIGTERM and /quitquitquit wait for calls under way",
      "SIGTERM 和 /quitquitquit 等待正在进行的调用多久，毫秒" },
    { "whether answers of our own carry x-sampan-reason", "我们自己的应答是否带 x-sampan-reason" },
};

/* NULL: nobody has said it in Chinese yet. */
static inline const char *chinese_for(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof(chinese_words) / sizeof(chinese_words[0]); i++)
        if (strlen(chinese_words[i][0]) == len && memcmp(chinese_words[i][0], text, len) == 0)
            return chinese_words[i][1];
    return NULL;
}

#endif
