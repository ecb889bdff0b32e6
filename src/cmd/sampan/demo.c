/* demo: a small mesh on this machine: three services, a sidecar beside each, a steady load, and a live page
 * of who calls whom, until Ctrl-C ends all cleanly.
 *
 *    load ──> [sidecar] front [sidecar] ──HTTP/1.1──> [sidecar] stock
 *                                       └──Bolt────> [sidecar] price
 *
 * Services and sidecars are child processes, as they would be anywhere; this program writes the bootstraps,
 * starts the children, sends the load and reads the sidecars' Prometheus pages once a second. A child that
 * ends on its own ends the demo with the words of what happened. Children die with us, whatever way we end
 * (PDEATHSIG), and a second Ctrl-C does not wait for anyone.
 *
 * On a terminal the page is drawn in place; without one it is a line a second. `--for N` ends after N
 * seconds, for scripts and tests; the exit status is 0 when calls were answered. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "cmd/sampan/demo.h"
#include "cmd/sampan/demo_dir.h"
#include "cmd/sampan/verbs.h"
#include "io/child.h"
#include "io/file.h"
#include "io/signal.h"
#include "io/sock.h"
#include "io/timer.h"
#include "rpc/http.h"

enum { CHILDREN = 2 * DEMO_SERVICES, PATH_BYTES = 4096, CALLS_PER_SECOND = 100, START_SECONDS = 10 };

#define LOOK_NS (50 * SP_NS_PER_MS)
#define REST_NS (200 * SP_NS_PER_MS)

enum state { STARTING, RUNNING, ENDING };

struct demo;

struct question { /* to one sidecar, once a second */
    struct demo *demo;
    enum demo_service which;
};

struct demo {
    struct sp_loop *loop;
    struct sp_signals *signals;
    struct sp_http_client *client;
    struct demo_load *load;
    struct demo_page *page;
    struct demo_node nodes[DEMO_SERVICES];
    struct sp_child *children[CHILDREN];
    const char *child_names[CHILDREN];
    struct question questions[DEMO_SERVICES];
    struct sp_timer timer;
    struct demo_dir dir;
    char exe_dir[PATH_BYTES];
    enum state state;
    unsigned running, ready, asked, seconds, for_seconds;
    sp_ns began_ns, shown_ns;
    bool keep, screen, failed;
};

/* ---- children ---- */

static void begin_end(struct demo *d);

static void on_child_exit(void *arg, int status)
{
    struct demo *d = arg;
    d->running--;
    if (d->state == ENDING) {
        if (d->running == 0)
            sp_loop_stop(d->loop);
        return;
    }
    fprintf(stderr, "sampan demo: a child ended by itself (status %d); its output is above\n", status);
    d->failed = true;
    begin_end(d);
}

static sp_err start_child(struct demo *d, unsigned at, const char *name, const char *const *argv)
{
    struct sp_child_config config = { .argv = argv, .out_fd = -1, .err_fd = -1, .die_with_us = true };
    sp_err err = sp_child_start(d->loop, &config, on_child_exit, d, &d->children[at]);
    if (err) {
        fprintf(stderr, "sampan demo: %s cannot be started: %s: %s\n", name, argv[0], sp_err_str(err));
        return err;
    }
    d->child_names[at] = name;
    d->running++;
    return 0;
}

/* Programs lie beside us (installed: in libexec) or, in a build, in the folder of examples. */
static const char *find_program(struct demo *d, const char *name, char *out)
{
    static const char *const places[] = { "", "../../examples/", "../libexec/sampan/" };
    for (unsigned i = 0; i < SP_COUNTOF(places); i++) {
        snprintf(out, PATH_BYTES, "%.3000s/%s%s", d->exe_dir, places[i], name);
        if (access(out, X_OK) == 0)
            return out;
    }
    snprintf(out, PATH_BYTES, "%s", name);
    return out;
}

static sp_err start_service(struct demo *d, enum demo_service which)
{
    char program[PATH_BYTES], name[64], ports[3][8];
    const struct demo_node *node = &d->nodes[which];
    snprintf(name, sizeof(name), "demo-%s", node->name);
    snprintf(ports[0], sizeof(ports[0]), "%u", node->app);
    snprintf(ports[1], sizeof(ports[1]), "%u", node->http_out);
    snprintf(ports[2], sizeof(ports[2]), "%u", node->bolt_out);
    const char *argv[] = { find_program(d, name, program), ports[0], which == DEMO_FRONT ? ports[1] : NULL,
                           ports[2], NULL };
    return start_child(d, which, node->name, argv);
}

static sp_err start_sidecar(struct demo *d, enum demo_service which)
{
    char program[PATH_BYTES], file[PATH_BYTES + 64];
    struct sp_buf text;
    sp_buf_init(&text, 0);
    demo_bootstrap(&text, d->nodes, which);
    snprintf(file, sizeof(file), "%s/%s.yaml", d->dir.path, d->nodes[which].name);
    sp_err err = text.failed ? SP_E_NOMEM : sp_file_replace(file, sp_buf_str(&text), 0644);
    sp_buf_deinit(&text);
    if (err) {
        fprintf(stderr, "sampan demo: %s cannot be written: %s\n", file, sp_err_str(err));
        return err;
    }
    const char *argv[] = { find_program(d, "sampan-proxy", program),
                           "-c",
                           file,
                           "--concurrency",
                           "1",
                           "--base-dir",
                           d->dir.path,
                           "--log-level",
                           "error",
                           NULL };
    return start_child(d, DEMO_SERVICES + which, "sampan-proxy", argv);
}

/* ---- ports ---- */

/* Free ports of this moment: opened together, so that they differ, then closed for the children to take. */
static sp_err choose_ports(struct demo *d)
{
    uint16_t *ports[] = { &d->nodes[0].app,      &d->nodes[0].inbound, &d->nodes[0].http_out,
                          &d->nodes[0].bolt_out, &d->nodes[0].admin,   &d->nodes[1].app,
                          &d->nodes[1].inbound,  &d->nodes[1].admin,   &d->nodes[2].app,
                          &d->nodes[2].inbound,  &d->nodes[2].admin };
    struct sp_acceptor acceptors[SP_COUNTOF(ports)];
    memset(acceptors, 0, sizeof(acceptors));
    sp_err err = 0;
    unsigned open = 0;
    for (; open < SP_COUNTOF(ports); open++) {
        struct sp_listen_config config = { .backlog = 1 };
        sp_addr local;
        err = sp_addr_parse_ip(SP_STR("127.0.0.1"), 0, &config.addr);
        if (!err)
            err = sp_acceptor_listen(&acceptors[open], d->loop, &config);
        if (err)
            break;
        err = sp_acceptor_local(&acceptors[open], &local);
        *ports[open] = local.port;
    }
    while (open > 0)
        sp_acceptor_close(&acceptors[--open]);
    return err;
}

/* ---- figures ---- */

static void clear_screen(struct sp_buf *out)
{
    sp_buf_add_c(out, "\033[H\033[J");
}

static void show(struct demo *d)
{
    sp_ns now = sp_loop_now(d->loop);
    double seconds = (double)(now - d->shown_ns) / (double)SP_NS_PER_S;
    struct demo_load_view load = demo_load_view(d->load);
    struct sp_buf out;
    sp_buf_init(&out, 0);
    d->shown_ns = now;
    if (d->screen) {
        clear_screen(&out);
        sp_buf_printf(
            &out,
            "\033[1mSampan demo\033[0m   three services, three sidecars, %u calls a second   (%u s)\n\n"
            "  load -> [sidecar] front [sidecar] -> HTTP/1.1 -> [sidecar] stock\n"
            "                                    -> Bolt     -> [sidecar] price\n\n",
            CALLS_PER_SECOND, d->seconds);
    } else {
        sp_buf_printf(&out, "%u s  load: sent=%llu answered=%llu failed=%llu", d->seconds,
                      (unsigned long long)load.sent, (unsigned long long)load.answered,
                      (unsigned long long)load.failed);
    }
    demo_page_show(d->page, &out, seconds > 0 ? seconds : 1, d->screen, d->screen);
    if (d->screen)
        sp_buf_printf(&out,
                      "\n  load: %llu sent, %llu answered, %llu failed\n"
                      "  sidecars: %s/*.yaml, admin on ports %u %u %u\n"
                      "\n  Ctrl-C ends everything\n",
                      (unsigned long long)load.sent, (unsigned long long)load.answered,
                      (unsigned long long)load.failed, d->dir.path, d->nodes[0].admin, d->nodes[1].admin,
                      d->nodes[2].admin);
    else
        sp_buf_add_char(&out, '\n');
    fwrite(out.ptr, 1, out.len, stdout);
    fflush(stdout);
    sp_buf_deinit(&out);
}

static void on_page(void *arg, const struct sp_http_reply *reply)
{
    struct question *q = arg;
    struct demo *d = q->demo;
    if (!reply->err && reply->status == 200)
        demo_page_feed(d->page, q->which, reply->body);
    if (--d->asked == 0 && d->state == RUNNING)
        show(d);
}

static void ask_pages(struct demo *d)
{
    if (d->asked)
        return; /* the last round is not over: skip one */
    for (int i = 0; i < DEMO_SERVICES; i++) {
        struct question *q = &d->questions[i];
        struct sp_http_ask ask = { .path = SP_STR("/stats/prometheus") };
        *q = (struct question){ d, (enum demo_service)i };
        if (!sp_addr_parse_ip(SP_STR("127.0.0.1"), d->nodes[i].admin, &ask.to) &&
            !sp_http_client_send(d->client, &ask, on_page, q))
            d->asked++;
    }
}

/* ---- the course of it ---- */

static void on_ready(void *arg, const struct sp_http_reply *reply)
{
    struct demo *d = arg;
    d->asked--;
    if (!reply->err && reply->status == 200)
        d->ready++;
}

static void ask_ready(struct demo *d)
{
    d->ready = 0;
    for (int i = 0; i < DEMO_SERVICES; i++) {
        struct sp_http_ask ask = { .path = SP_STR("/ready"), .timeout_ns = SP_NS_PER_S };
        if (!sp_addr_parse_ip(SP_STR("127.0.0.1"), d->nodes[i].admin, &ask.to) &&
            !sp_http_client_send(d->client, &ask, on_ready, d))
            d->asked++;
    }
}

static void signal_children(struct demo *d)
{
    for (unsigned i = 0; i < CHILDREN; i++)
        if (d->children[i])
            sp_child_signal(d->children[i], SIGTERM);
    if (d->running == 0)
        sp_loop_stop(d->loop);
}

/* The load rests first, so that the calls under way find everyone still there. */
static void begin_end(struct demo *d)
{
    if (d->state == ENDING) {
        sp_loop_stop(d->loop); /* asked twice: children die with us */
        return;
    }
    d->state = ENDING;
    if (d->load)
        demo_load_rest(d->load);
    sp_timer_set(d->loop, &d->timer, d->load ? REST_NS : 0);
}

static void on_starting(struct demo *d)
{
    if (d->ready == DEMO_SERVICES) {
        d->load = demo_load_start(d->loop, d->nodes[DEMO_FRONT].inbound, CALLS_PER_SECOND);
        d->state = RUNNING;
        d->shown_ns = sp_loop_now(d->loop);
        sp_timer_set(d->loop, &d->timer, SP_NS_PER_S);
        return;
    }
    if (sp_loop_now(d->loop) - d->began_ns > START_SECONDS * SP_NS_PER_S) {
        fprintf(stderr, "sampan demo: the sidecars are not ready after %d s\n", START_SECONDS);
        d->failed = true;
        begin_end(d);
        return;
    }
    if (d->asked == 0)
        ask_ready(d);
    sp_timer_set(d->loop, &d->timer, LOOK_NS);
}

static void on_timer(struct sp_timer *timer)
{
    struct demo *d = SP_CONTAINER(timer, struct demo, timer);
    if (d->state == STARTING) {
        on_starting(d);
        return;
    }
    if (d->state == ENDING) {
        signal_children(d);
        return;
    }
    d->seconds++;
    if (d->for_seconds && d->seconds > d->for_seconds) {
        begin_end(d);
        return;
    }
    ask_pages(d);
    sp_timer_set(d->loop, timer, SP_NS_PER_S);
}

static void on_signal(void *arg, int signal)
{
    (void)signal;
    begin_end(arg);
}

/* ---- begin and end ---- */

static sp_err make_dir(struct demo *d)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || !*tmp)
        tmp = "/tmp";
    if (demo_dir_make(&d->dir, tmp, d->keep))
        return 0;
    fprintf(stderr, "sampan demo: no folder can be made in %s\n", tmp);
    return SP_E_IO;
}

static sp_err set_up(struct demo *d)
{
    static const int signals[] = { SIGINT, SIGTERM };
    ssize_t n = readlink("/proc/self/exe", d->exe_dir, sizeof(d->exe_dir) - 1);
    char *slash = n > 0 ? strrchr(d->exe_dir, '/') : NULL;
    if (slash)
        *slash = '\0';
    d->loop = sp_loop_new(NULL);
    if (!d->loop)
        return SP_E_IO;
    d->signals = sp_signals_new(d->loop, signals, SP_COUNTOF(signals), on_signal, d);
    d->client = sp_http_client_new(d->loop);
    d->page = demo_page_new();
    if (!d->signals || !d->client || !d->page)
        return SP_E_NOMEM;
    for (int i = 0; i < DEMO_SERVICES; i++)
        d->nodes[i].name = demo_names[i];
    sp_err err = make_dir(d);
    return err ? err : choose_ports(d);
}

static sp_err start_all(struct demo *d)
{
    sp_err err = 0;
    for (int i = 0; i < DEMO_SERVICES && !err; i++)
        err = start_service(d, (enum demo_service)i);
    for (int i = 0; i < DEMO_SERVICES && !err; i++)
        err = start_sidecar(d, (enum demo_service)i);
    d->began_ns = sp_loop_now(d->loop);
    d->timer.on_fire = on_timer;
    sp_timer_set(d->loop, &d->timer, LOOK_NS);
    return err;
}

static void take_down(struct demo *d)
{
    if (d->load)
        demo_load_stop(d->load);
    if (d->client)
        sp_http_client_free(d->client);
    for (unsigned i = 0; i < CHILDREN; i++)
        if (d->children[i])
            sp_child_free(d->children[i]);
    if (d->signals)
        sp_signals_free(d->signals);
    sp_timer_stop(d->loop, &d->timer);
    sp_loop_turn(d->loop, 0);
    sp_loop_free(d->loop);
    demo_page_free(d->page);
    demo_dir_end(&d->dir);
}

static int usage(FILE *to, int status)
{
    fprintf(to, "usage: sampan demo [--for SECONDS] [--keep]\n\n"
                "  --for SECONDS   end by itself after so long (default: until Ctrl-C)\n"
                "  --keep          leave the sidecars' bootstraps on disk\n");
    return status;
}

int sampan_demo(int argc, char **argv)
{
    struct demo d = { .screen = isatty(STDOUT_FILENO) };
    for (int i = 1; i < argc; i++) {
        uint64_t n;
        if (!strcmp(argv[i], "--keep"))
            d.keep = true;
        else if (!strcmp(argv[i], "--for") && i + 1 < argc && !sp_str_to_u64(sp_str_c(argv[++i]), &n) &&
                 n > 0 && n < 1000000)
            d.for_seconds = (unsigned)n;
        else
            return !strcmp(argv[i], "--help") ? usage(stdout, EXIT_SUCCESS) : usage(stderr, 2);
    }
    sp_err err = set_up(&d);
    if (!err)
        err = start_all(&d);
    if (!err)
        sp_loop_run(d.loop);
    struct demo_load_view load = d.load ? demo_load_view(d.load) : (struct demo_load_view){ 0 };
    if (d.loop)
        take_down(&d);
    if (!err && d.load)
        printf("%s%llu calls, %llu answered, %llu failed\n", d.screen ? "\n" : "",
               (unsigned long long)load.sent, (unsigned long long)load.answered,
               (unsigned long long)load.failed);
    return err || d.failed || load.answered == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
