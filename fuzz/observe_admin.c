/* observe_admin: any bytes to admin's doors. The first byte says by which door (TCP or Unix) and how the
 * rest is cut into sends. Behind the doors stands a proxy of paper with one worker whose names and records
 * are unkind.
 *
 * Held: nothing crashes or leaks; every answer begins as HTTP does; by TCP nothing is ever changed; a door
 * answers /ready behind whatever came. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/mail.h"
#include "model/settings.h"
#include "observe/admin.h"
#include "wire/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct paper {
    struct sp_loop *loop;
    struct sp_admin *admin;
    struct sp_log log;
    struct sp_settings settings;
    sp_addr tcp;
    char path[64];
    unsigned changes;
};

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

struct asking {
    struct sp_mail mail;
    sp_admin_fn fn;
    sp_admin_then then;
    void *arg;
};

static void on_mail(struct sp_mail *mail)
{
    struct asking *a = SP_CONTAINER(mail, struct asking, mail);
    a->fn(NULL, a->arg);
    a->then(a->arg);
    free(a);
}

static bool ask(void *arg, uint32_t index, sp_admin_fn fn, sp_admin_then then, void *ask_arg)
{
    struct paper *p = arg;
    struct asking *a = calloc(1, sizeof *a);
    *a = (struct asking){ .mail.on_mail = on_mail, .fn = fn, .then = then, .arg = ask_arg };
    sp_mail_post(p->loop, &a->mail);
    return true;
}

static const char unkind[] = "a\"}<>\n\r\\\xff\xc3 1";

static void walk(struct sp_worker *worker, const struct sp_view_ops *ops, void *arg)
{
    static const struct sp_cluster_cells cluster;
    static const struct sp_chain_cells chain;
    static const struct sp_tcp_cells tcp;
    static const struct sp_listener_cells listener;
    static const struct sp_worker_cells cells;
    static const struct sp_hist hist;
    const struct sp_endpoint_view endpoint = { .weight = 1 };
    const struct sp_cluster_spec spec = { .name = { unkind, sizeof unkind - 1 } };
    const struct sp_listener_spec where = { .name = spec.name };
    const sp_addr at = { .family = SP_ADDR_IP6, .port = 1 };
    static const struct sp_series series = { .key = { .workload = { unkind, sizeof unkind - 1 } } };
    ops->on_listener(arg, &where, &at, &listener);
    ops->on_chain(arg, spec.name, &chain, &hist);
    ops->on_tcp(arg, spec.name, &tcp);
    ops->on_cluster(arg, &spec, &cluster, &hist);
    ops->on_endpoint(arg, &spec, &at, &endpoint);
    ops->on_series(arg, &series);
    ops->on_worker(arg, 0, &cells);
}

static void recent(struct sp_worker *worker, bool (*each)(void *each_arg, const struct sp_report *report),
                   void *each_arg)
{
    struct sp_report r = { .why = SP_WHY_NO_ROUTE };
    r.len[SP_REPORT_REQUEST_ID] = r.len[SP_REPORT_PATH] = sizeof unkind - 1;
    memcpy(r.text, unkind, sizeof unkind - 1);
    memcpy(r.text + sizeof unkind - 1, unkind, sizeof unkind - 1);
    for (int i = 0; i < 20 && each(each_arg, &r); i++)
        r.wall_start_ns++;
}

static enum sp_admin_state state(void *arg)
{
    return SP_ADMIN_LIVE;
}

static void drain(void *arg, bool inbound_only, bool graceful)
{
    ((struct paper *)arg)->changes++;
}

static void quit(void *arg)
{
    ((struct paper *)arg)->changes++;
}

static sp_err set_runtime(void *arg, uint32_t key, uint64_t value)
{
    ((struct paper *)arg)->changes++;
    return 0;
}

static void sink(void *arg, enum sp_log_level level, sp_str line)
{
}

static const struct sp_admin_ops ops = { .ask = ask,
                                         .walk = walk,
                                         .recent = recent,
                                         .state = state,
                                         .drain_listeners = drain,
                                         .quit = quit,
                                         .set_runtime = set_runtime };

/* Hundreds of runs a second: at one address the ports would be used up by connections that have ended and are
 * still waited for (TIME_WAIT), and a run would fail that has nothing wrong. So each has its own. */
static sp_addr next_address(void)
{
    static uint16_t runs;
    runs++;
    return (sp_addr){ .family = SP_ADDR_IP4, .ip = { 127, 1, (uint8_t)(runs >> 8), (uint8_t)runs } };
}

static void open_doors(struct paper *p)
{
    const char *why = "";
    p->loop = sp_loop_new(NULL);
    p->log = (struct sp_log){ .level = SP_LOG_INFO, .sink = sink };
    snprintf(p->path, sizeof p->path, "/tmp/sampan-fuzz-admin-%d.sock", (int)getpid());
    const struct sp_admin_config config = {
        .ops = &ops,
        .arg = p,
        .log = &p->log,
        .settings = &p->settings,
        .unix_path = p->path,
        .tcp = next_address(),
        .workers = 1,
    };
    p->admin = sp_admin_new(p->loop, &config, &why);
    must(p->admin && sp_admin_local(p->admin, &p->tcp) == 0, "admin opens");
}

/* The fuzzer's own alarm may come in between; the connection goes on meanwhile. */
static bool connects(int fd, const struct sockaddr *at, socklen_t len)
{
    while (connect(fd, at, len) && errno != EISCONN)
        if (errno != EINTR && errno != EALREADY) {
            perror("connect");
            return false;
        }
    return true;
}

static int connect_to(const struct paper *p, bool tcp)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(p->tcp.port) };
    memcpy(&in.sin_addr, p->tcp.ip, sizeof in.sin_addr);
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    memcpy(un.sun_path, p->path, sizeof p->path);
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *at = tcp ? (const void *)&in : (const void *)&un;
    must(fd >= 0 && connects(fd, at, tcp ? sizeof in : sizeof un), "the door can be reached");
    return fd;
}

/* Everything that comes until the other side ends or nothing moves; the first bytes are looked at. */
static void read_all(struct paper *p, int fd)
{
    static char bytes[65536];
    size_t total = 0;
    for (int quiet = 0; quiet < 50;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return;
        if (got < 0) {
            quiet++;
            sp_loop_turn(p->loop, 0);
            continue;
        }
        if (total == 0 && got >= 7)
            must(memcmp(bytes, "HTTP/1.", 7) == 0, "an answer begins as HTTP does");
        total += (size_t)got;
        quiet = 0;
        sp_loop_turn(p->loop, 0);
    }
}

static void send_cut(struct paper *p, int fd, const uint8_t *data, size_t size, unsigned step)
{
    while (size) {
        size_t len = step && step < size ? step : size;
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return;
        sp_loop_turn(p->loop, 0);
        data += sent;
        size -= (size_t)sent;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct paper world = { 0 }, *p = &world;
    static const char ready[] = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    if (size == 0)
        return 0;
    open_doors(p);
    bool tcp = data[0] & 1;
    p->changes = 0;
    uint32_t level = p->log.level;

    int fd = connect_to(p, tcp);
    send_cut(p, fd, data + 1, size - 1, data[0] >> 1);
    shutdown(fd, SHUT_WR);
    read_all(p, fd);
    close(fd);
    must(!tcp || (p->changes == 0 && p->log.level == level), "by TCP nothing is changed");

    fd = connect_to(p, tcp);
    send_cut(p, fd, (const uint8_t *)ready, sizeof ready - 1, 0);
    char answer[512];
    ssize_t got = -1;
    for (int i = 0; i < 200 && got <= 0; i++) {
        sp_loop_turn(p->loop, 0);
        got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    }
    must(got > 15 && memcmp(answer, "HTTP/1.1 200 OK", 15) == 0, "the door answers behind whatever came");
    close(fd);
    sp_admin_free(p->admin);
    for (int i = 0; i < 3; i++) /* asks that were out come home */
        sp_loop_turn(p->loop, 0);
    sp_loop_free(p->loop);
    unlink(p->path);
    return 0;
}
