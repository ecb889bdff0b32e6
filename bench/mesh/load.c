/* load.c - a load generator on one thread: HTTP/1.1, Bolt v1, reading of plain TCP.
 *
 *     load --proto http1|bolt|tcp --port P [--conns N] [--depth M] [--rate R] [--warm S] [--secs S]
 *          [--windows W] [--size B] [--path /128] [--settle] [--marks] [--ask] [--hold]
 *
 * --rate 0   the closed loop: M requests under way on each connection (HTTP/1.1: one). Shows what a request
 *            costs; its latencies say nothing, since a slow server is asked less.
 * --rate R   request k is due at t0 + k/R on connection k mod N, whether or not earlier answers have come.
 *            Latency runs from the due time, so a stall is charged to every request that it delayed (no
 *            coordinated omission).
 * --windows W
 *            counts W windows of S seconds, one behind the other under the same load, and reports each: what
 *            happens in one of them is compared with one in which nothing did.
 * --settle   opens the connections a few at a time and has one request answered on each before the clock
 *            starts, as a load of thousands must: dialled all at once, they overflow the peer's backlog. One
 *            that is lost later is dialled when its next request is due.
 * --marks    prints SETTLED and how many live (--settle), START and END at the borders of what is counted,
 *            NEXT between windows, so that the driver reads the proxy's CPU time over just that.
 * --ask      for a line on standard input, prints COUNT and the answers so far; end of input ends the run.
 *            The driver brackets a trace with it.
 * --hold     opens N connections, has one request answered on each, prints READY and keeps them until
 *            standard input ends.
 *
 * The result is one line of JSON for each window (load_stat.c).
 *
 *     t0        from                                   to
 *      ├── warm ──┼───── window ─────┼───── window ─────┼── last answers, at most 1 s ──► report
 *               START              NEXT                END
 *
 * It was written because no packaged generator speaks Bolt and marks its window; for HTTP/1.1 in the closed
 * loop the rig uses wrk, so that anyone can repeat those figures.
 */
#include "load_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, OPEN_AT_ONCE = 64, SIZE_MAX_BYTES = 60000, CONNS_MAX = 100000 };
static const uint64_t second_ns = 1000000000;

uint64_t sp_load_now(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t))
        sp_rig_die("clock_gettime");
    return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

static void mark(const struct load *l, const char *word)
{
    if (!l->set.marks)
        return;
    puts(word);
    fflush(stdout);
}

/* Wait until `until_ns` at the latest and handle what came. False when standard input ended (--ask). */
static bool turn(struct load *l, uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t now_ns = sp_load_now();
    uint64_t left = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec wait = { .tv_sec = (time_t)(left / second_ns), .tv_nsec = (long)(left % second_ns) };
    bool open = true;
    int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            sp_load_conn_event(l, events[i].data.ptr, events[i].events);
            continue;
        }
        char line[64];
        open = read(STDIN_FILENO, line, sizeof line) > 0;
        if (open) {
            printf("COUNT %llu\n", (unsigned long long)l->answers);
            fflush(stdout);
        }
    }
    return open;
}

/* Hand out every request that is due by now and before the window ends; returns when the next one is due. */
static uint64_t hand_out(struct load *l, uint64_t *k, uint64_t now_ns)
{
    double step_ns = 1e9 / l->set.rate;
    for (;;) {
        uint64_t due_ns = l->begin_ns + (uint64_t)((double)*k * step_ns);
        if (due_ns > now_ns || due_ns >= l->to_ns)
            return due_ns;
        sp_load_conn_due(l, &l->conn[*k % (uint64_t)l->set.conns], due_ns, now_ns);
        (*k)++;
    }
}

static uint64_t count_open(const struct load *l)
{
    uint64_t left = 0;
    for (int i = 0; i < l->set.conns; i++)
        left += sp_load_conn_open(&l->conn[i]);
    return left;
}

static void await_last_answers(struct load *l)
{
    uint64_t end_ns = sp_load_now() + second_ns;
    while (count_open(l) && sp_load_now() < end_ns && turn(l, end_ns)) {
    }
    for (int i = 0; i < l->set.conns; i++)
        sp_load_conn_charge(l, &l->conn[i], sp_load_now());
}

/* Connections among the first `opened` that have had their answer, or are lost. */
static int count_ready(const struct load *l, int opened)
{
    int ready = 0;
    for (int i = 0; i < opened; i++) {
        const struct load_conn *c = &l->conn[i];
        ready += c->fd < 0 || (l->set.protocol == SP_LOAD_TCP ? c->up : c->answers > 0);
    }
    return ready;
}

/* Open all connections, a few at a time, with one request answered on each; returns how many live. */
static int open_all(struct load *l)
{
    uint64_t give_up_ns = sp_load_now() + 30 * second_ns;
    int opened = 0, ready = 0, live = 0;
    l->opening = true;
    while (ready < l->set.conns && sp_load_now() < give_up_ns) {
        while (opened < l->set.conns && opened - ready < OPEN_AT_ONCE)
            sp_load_conn_dial(l, &l->conn[opened++]);
        (void)turn(l, give_up_ns); /* standard input is not watched when holding */
        ready = count_ready(l, opened);
    }
    for (int i = 0; i < l->set.conns; i++)
        live += l->conn[i].up;
    return live;
}

static void start_timed(struct load *l)
{
    const uint64_t head_start_ns = 20000000; /* connections come up before the first request is due */
    if (l->set.settle) {
        int live = open_all(l);
        l->opening = false;
        if (l->set.marks)
            printf("SETTLED %d\n", live);
    } else {
        for (int i = 0; i < l->set.conns; i++)
            sp_load_conn_dial(l, &l->conn[i]);
    }
    l->begin_ns = sp_load_now() + (l->set.rate > 0 ? head_start_ns : 0);
    l->from_ns = l->begin_ns + (uint64_t)(l->set.warm_s * 1e9);
    l->to_ns = l->from_ns + (uint64_t)l->set.windows * (uint64_t)(l->set.secs * 1e9);
    l->measuring = l->set.rate > 0; /* there the due time of each request says whether it counts */
}

static int run_timed(struct load *l)
{
    start_timed(l);
    uint64_t window_ns = (uint64_t)(l->set.secs * 1e9), border_ns = l->from_ns, k = 0;
    bool started = false;
    for (;;) {
        uint64_t now_ns = sp_load_now();
        if (now_ns >= border_ns && border_ns < l->to_ns) {
            mark(l, started ? "NEXT" : "START");
            l->at += started;
            started = l->measuring = true;
            border_ns += window_ns;
        }
        uint64_t until_ns = border_ns;
        if (l->set.rate > 0) {
            uint64_t next_ns = hand_out(l, &k, now_ns); /* before the look at the end: none may be left out */
            until_ns = next_ns < until_ns ? next_ns : until_ns;
        }
        if (now_ns >= l->to_ns || !turn(l, until_ns))
            break;
    }
    double last_s = (double)(sp_load_now() - l->from_ns - (uint64_t)l->at * window_ns) / 1e9;
    mark(l, "END");
    if (l->set.rate > 0)
        await_last_answers(l);
    sp_load_report(l, last_s);
    return 0;
}

static int run_hold(struct load *l)
{
    printf("READY %d\n", open_all(l));
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
}

static double seconds(const char *option, const char *text, double max)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= 0) || v > max) {
        fprintf(stderr, "%s: %s is not a number between 0 and %g\n", option, text, max);
        exit(2);
    }
    return v;
}

static enum load_protocol protocol_named(const char *name)
{
    static const char *const names[] = {
        [SP_LOAD_HTTP] = "http1", [SP_LOAD_BOLT] = "bolt", [SP_LOAD_TCP] = "tcp"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum load_protocol)i;
    fprintf(stderr, "--proto: %s is none of http1, bolt, tcp\n", name);
    exit(2);
}

/* An option without a value. */
static bool take_flag(struct load *l, const char *option)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = { { "--hold", &l->set.hold },
                  { "--settle", &l->set.settle },
                  { "--marks", &l->set.marks },
                  { "--ask", &l->set.ask } };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(option, flags[i].name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    }
    return false;
}

static void take_option(struct load *l, const char *o, const char *value)
{
    if (!strcmp(o, "--proto"))
        l->set.protocol = protocol_named(value);
    else if (!strcmp(o, "--port"))
        l->set.target = sp_rig_loopback((uint16_t)sp_rig_number(o, value, 1, 65535));
    else if (!strcmp(o, "--conns"))
        l->set.conns = (int)sp_rig_number(o, value, 1, CONNS_MAX);
    else if (!strcmp(o, "--depth"))
        l->set.depth = (int)sp_rig_number(o, value, 1, LOAD_DUE / 2);
    else if (!strcmp(o, "--windows"))
        l->set.windows = (int)sp_rig_number(o, value, 1, LOAD_WINDOWS);
    else if (!strcmp(o, "--size"))
        l->set.size = (size_t)sp_rig_number(o, value, 0, SIZE_MAX_BYTES);
    else if (!strcmp(o, "--rate"))
        l->set.rate = seconds(o, value, 1e6);
    else if (!strcmp(o, "--warm"))
        l->set.warm_s = seconds(o, value, 3600);
    else if (!strcmp(o, "--secs"))
        l->set.secs = seconds(o, value, 3600);
    else if (!strcmp(o, "--path"))
        l->set.path = value;
    else {
        fprintf(stderr, "unknown option %s\n", o);
        exit(2);
    }
}

static void take_options(struct load *l, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_flag(l, argv[i]))
            continue;
        if (i + 1 == argc) {
            fprintf(stderr, "%s needs a value\n", argv[i]);
            exit(2);
        }
        take_option(l, argv[i], argv[i + 1]);
        i++;
    }
    if (l->set.target.sin_port == 0 || strlen(l->set.path) > 1024) {
        fprintf(stderr, "load: --port is needed, and a path of at most 1024 bytes\n");
        exit(2);
    }
    if ((l->set.settle && l->set.rate <= 0) || l->set.secs < 0.001) {
        fprintf(stderr, "load: --settle needs --rate, and --secs is at least 0.001\n");
        exit(2);
    }
    if (l->set.protocol == SP_LOAD_HTTP)
        l->set.depth = 1;
}

int main(int argc, char **argv)
{
    struct load *l = sp_rig_alloc(sizeof *l);
    l->set.conns = l->set.depth = l->set.windows = 1;
    l->set.warm_s = 0.5;
    l->set.secs = 2;
    l->set.size = 1024;
    l->set.path = "/128";
    take_options(l, argc, argv);
    sp_rig_prepare();
    (void)prctl(PR_SET_TIMERSLACK, 1000); /* wake within a microsecond of the due time, not 50 */
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        sp_rig_die("epoll_create1");
    uint32_t armed = 0;
    if (l->set.ask)
        sp_rig_arm(l->epoll, STDIN_FILENO, &armed, EPOLLIN, NULL);
    sp_load_make_request(l);
    l->drain = sp_rig_alloc(LOAD_DRAIN);
    l->window = sp_rig_alloc((size_t)l->set.windows * sizeof *l->window);
    l->conn = sp_rig_alloc((size_t)l->set.conns * sizeof *l->conn);
    for (int i = 0; i < l->set.conns; i++)
        sp_load_conn_init(l, &l->conn[i], i);
    return l->set.hold ? run_hold(l) : run_timed(l);
}
