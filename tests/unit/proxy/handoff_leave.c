/* handoff_leave: a worker of real sockets leaves all that it has, while copies of its descriptors are where a
 * successor would have them. Peers notice nothing; no descriptor is left, and none is closed that was not its
 * own; and what was saved goes on, byte for byte, in a worker that is given the copies. */
#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#include "proxy/handoff.h"
#include "unit/io/help.h"
#include "unit/proxy/worker_kit.h"
#include "wire/h1/h1.h"

static const struct sp_codec *const codecs[SP_PROTO_COUNT] = {
    [SP_PROTO_HTTP1] = &sp_h1_codec,
    [SP_PROTO_BOLT] = &sp_bolt_codec,
};

enum { FDS_MOST = 32, LISTENERS = 3 };

/* The pieces of a sidecar, on loops of the kernel's. */
struct side {
    struct mesh_sidecar s;
};

static uint32_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t count = 0;
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static struct sp_worker *worker_of(struct side *side)
{
    return &side->s.workers[0];
}

static void side_start(struct side *side)
{
    struct mesh_sidecar *s = &side->s;
    memset(side, 0, sizeof(*side));
    s->worker_count = 1;
    s->settings = (struct sp_settings){ .drain_ns = SP_NS_PER_S, .why_records = 16 };
    s->log = (struct sp_log){ .level = SP_LOG_ERROR };
    s->main = new_loop();
    s->loops[0] = new_loop();
    assert_int_equal(sp_process_init(&s->process, s->main, &s->log, &s->settings, codecs, 1), 0);
    assert_int_equal(sp_worker_init(worker_of(side), &s->process, s->loops[0], 0), 0);
    s->next = sp_snapshot_new(NULL);
}

static void side_stop(struct side *side, bool leaves, bool close_fds)
{
    struct mesh_sidecar *s = &side->s;
    if (leaves)
        sp_worker_leave(worker_of(side), close_fds);
    else
        sp_worker_deinit(worker_of(side));
    sp_loop_free(s->loops[0]);
    sp_process_deinit(&s->process);
    sp_loop_free(s->main);
    sp_snapshot_unref(s->next);
}

static void turns(struct side *side)
{
    for (int i = 0; i < 20; i++)
        sp_loop_turn(side->s.loops[0], SP_NS_PER_MS);
}

/* HTTP, raw bytes, and one that looks first; all to the same address. */
static void configure(struct side *side, const char *app)
{
    const char *const addrs[] = { app, NULL };
    mesh_cluster(&side->s, "app", addrs);
    mesh_chain(mesh_listener(&side->s, "http", "127.0.0.1:0", SP_PROTO_HTTP1, "app"))->generate_request_id =
        false;
    mesh_listener(&side->s, "tcp", "127.0.0.1:0", SP_PROTO_TCP, "app");
    mesh_listener_any(&side->s, "any", "127.0.0.1:0", "app", "app", "app")->detect_ns = 60 * SP_NS_PER_S;
}

static uint16_t port_of(struct side *side, const char *name)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&worker_of(side)->listeners, listener, next, struct sp_listener, link)
        if (sp_str_eq(listener->spec->name, sp_str_c(name)))
            return listener->bound.port;
    fail_msg("there is no listener %s", name);
    return 0;
}

/* Peers of the sidecar: raw sockets. */
struct peers {
    int listener;
    int http, http_up, tcp, tcp_up, silent, queued;
};

static int accept_one(struct side *side, int listener)
{
    struct pollfd in = { .fd = listener, .events = POLLIN };
    for (int i = 0; i < 1000; i++) {
        sp_loop_turn(side->s.loops[0], SP_NS_PER_MS);
        if (poll(&in, 1, 0) == 1)
            return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    }
    fail_msg("nobody comes");
    return -1;
}

static void read_exactly(struct side *side, int fd, const char *want)
{
    char bytes[512] = "";
    size_t have = 0, len = strlen(want);
    for (int i = 0; i < 2000 && have < len; i++) {
        sp_loop_turn(side->s.loops[0], SP_NS_PER_MS);
        ssize_t got = recv(fd, bytes + have, len - have, MSG_DONTWAIT);
        have += got > 0 ? (size_t)got : 0;
    }
    assert_string_equal(bytes, want);
}

static void say_raw(int fd, const char *text)
{
    raw_write(fd, text, strlen(text));
}

/* A call half answered, a relay with bytes on their way, one who says nothing, and one in the queue. */
static void peers_start(struct peers *p, struct side *side)
{
    p->http = raw_connect(port_of(side, "http"));
    say_raw(p->http, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    p->http_up = accept_one(side, p->listener);
    read_exactly(side, p->http_up, "GET /a HTTP/1.1\r\nHost: a\r\nx-forwarded-proto: http\r\n\r\n");
    say_raw(p->http_up, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    p->tcp = raw_connect(port_of(side, "tcp"));
    p->tcp_up = accept_one(side, p->listener);
    say_raw(p->tcp, "up");
    read_exactly(side, p->tcp_up, "up");
    p->silent = raw_connect(port_of(side, "any"));
    turns(side);
    read_exactly(side, p->http, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    p->queued = raw_connect(port_of(side, "tcp")); /* nobody has accepted it */
}

static void unmoved(int fd)
{
    struct pollfd in = { .fd = fd, .events = POLLIN | POLLRDHUP };
    assert_int_equal(poll(&in, 1, 0), 0);
}

static void peers_go_on(struct peers *p, struct side *side)
{
    say_raw(p->http_up, "def");
    read_exactly(side, p->http, "def");
    say_raw(p->http, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    read_exactly(side, p->http_up, "GET /b HTTP/1.1\r\nHost: a\r\nx-forwarded-proto: http\r\n\r\n");
    say_raw(p->tcp_up, "down");
    read_exactly(side, p->tcp, "down");
    say_raw(p->silent, "GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    int more[2] = { accept_one(side, p->listener), accept_one(side, p->listener) };
    say_raw(p->queued, "let in");
    turns(side);
    for (int i = 0; i < 2; i++)
        assert_int_equal(close(more[i]), 0);
}

static void peers_stop(struct peers *p)
{
    const int all[] = { p->listener, p->http, p->http_up, p->tcp, p->tcp_up, p->silent, p->queued };
    for (size_t i = 0; i < SP_COUNTOF(all); i++)
        assert_int_equal(close(all[i]), 0);
}

/* As a successor: its configuration with those sockets, then the records. */
static void take_over(struct side *side, struct sp_record_reader *reader)
{
    struct mesh_sidecar *s = &side->s;
    struct sp_worker *workers[] = { worker_of(side) };
    struct sp_handoff_listener *found;
    struct sp_handoff *handoff;
    sp_str names[LISTENERS];
    int fds[LISTENERS];
    uint32_t count;
    uint16_t kind;
    struct sp_listen_fds given = { .names = names, .fds = fds, .only = true };
    assert_int_equal(sp_handoff_listeners(reader, &found, &count), 0);
    assert_int_equal(count, LISTENERS);
    for (uint32_t i = 0; i < count; i++) {
        names[given.count] = found[i].name;
        fds[given.count++] = found[i].fd;
    }
    sp_snapshot_seal(s->next, 1);
    assert_int_equal(sp_process_share(&s->process, s->next), 0);
    assert_int_equal(sp_worker_apply(worker_of(side), s->next, &given), 0);
    sp_mem_free(found);
    assert_int_equal(sp_handoff_begin(workers, 1, &handoff), 0);
    while (sp_record_next(reader, &kind) > 0)
        if (sp_handoff_load(handoff, reader, kind))
            fail_msg("refused: %s", reader->trouble);
    assert_int_equal(sp_handoff_end(handoff, reader), 0);
    sp_handoff_free(handoff);
    for (uint32_t i = 0; i < reader->fd_count; i++)
        assert_int_equal(reader->fds[i], -1);
}

static void start(struct side *old, struct peers *p, char app[32])
{
    uint16_t port;
    p->listener = raw_listen(&port);
    snprintf(app, 32, "127.0.0.1:%u", port);
    side_start(old);
    configure(old, app);
    mesh_apply(&old->s);
    peers_start(p, old);
}

static void copies_live_on_and_go_on_in_a_successor(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    uint32_t files = open_files();
    struct side old, fresh;
    struct peers p;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    char app[32];
    int copies[FDS_MOST];
    start(&old, &p, app);
    uint32_t before_copies = open_files();
    sp_record_writer_init(&writer, NULL);
    sp_worker_save(worker_of(&old), &writer);
    assert_int_equal(writer.err, 0);
    assert_int_equal(writer.fd_count, LISTENERS + 5); /* two for the call, two for the relay, one silent */
    for (uint32_t i = 0; i < writer.fd_count; i++)
        copies[i] = dup(writer.fds[i]);
    side_stop(&old, true, true);
    assert_true(open_files() < before_copies); /* its loops' own are gone too */
    assert_int_equal(open_files(), files + 7 + writer.fd_count);
    const int peers[] = { p.http, p.http_up, p.tcp, p.tcp_up, p.silent, p.queued };
    for (size_t i = 0; i < SP_COUNTOF(peers); i++)
        unmoved(peers[i]);
    side_start(&fresh);
    configure(&fresh, app);
    sp_record_reader_init(&reader, sp_buf_str(&writer.out), copies, writer.fd_count);
    take_over(&fresh, &reader);
    peers_go_on(&p, &fresh);
    sp_record_writer_deinit(&writer);
    side_stop(&fresh, false, false);
    peers_stop(&p);
    assert_int_equal(open_files(), files);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

static void descriptors_that_are_left_open_are_each_there_once(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    uint32_t files = open_files();
    struct side old;
    struct peers p;
    struct sp_record_writer writer;
    char app[32];
    start(&old, &p, app);
    sp_record_writer_init(&writer, NULL);
    sp_worker_save(worker_of(&old), &writer);
    side_stop(&old, true, false);
    assert_int_equal(open_files(), files + 7 + writer.fd_count);
    for (uint32_t i = 0; i < writer.fd_count; i++)
        assert_int_equal(close(writer.fds[i]), 0);
    sp_record_writer_deinit(&writer);
    peers_stop(&p);
    assert_int_equal(open_files(), files);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

/* A connection that was accepted, and waits for a place, is the successor's too. */
static void one_that_waits_for_a_place_is_not_reset(void **state)
{
    uint32_t files = open_files();
    struct side old;
    struct peers p;
    struct sp_record_writer writer;
    char app[32], heard[8] = "";
    int pair[2];
    start(&old, &p, app);
    struct sp_listener *listener = SP_LIST_FIRST(&worker_of(&old)->listeners, struct sp_listener, link);
    tcp_pair(pair);
    listener->waiting_fd = pair[0];
    int copy = dup(pair[0]);
    sp_record_writer_init(&writer, NULL);
    sp_worker_save(worker_of(&old), &writer);
    assert_int_equal(writer.fd_count, LISTENERS + 6);
    side_stop(&old, true, true);
    raw_write(copy, "hello", 5);
    assert_int_equal(close(copy), 0);
    assert_int_equal(raw_read(pair[1], heard, 5), 5); /* in order, and no reset behind it */
    struct pollfd in = { .fd = pair[1], .events = POLLIN };
    assert_int_equal(poll(&in, 1, 10000), 1);
    assert_int_equal(recv(pair[1], heard, 1, 0), 0);
    close(pair[1]);
    sp_record_writer_deinit(&writer);
    peers_stop(&p);
    assert_int_equal(open_files(), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_live_on_and_go_on_in_a_successor),
        cmocka_unit_test(descriptors_that_are_left_open_are_each_there_once),
        cmocka_unit_test(one_that_waits_for_a_place_is_not_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
