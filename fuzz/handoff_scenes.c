/* handoff_scenes: calls of every kind through a simulated sidecar, each left in its middle.
 *
 *      client ── says ──> 127.0.0.1:15001 ... 15008 sidecar ──> door at 127.0.0.1:8080 ── says ──> back
 *
 * A script is a row of words, who says what; what it says is followed by a millisecond. The last scene has
 * all of the scripts at once, in a sidecar of two workers.
 *
 * The configuration is one snapshot for all worlds: it is immutable, and making it anew would cost more than
 * the rest of a run. */
#include "handoff_scenes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/cluster.h"
#include "wire/bolt/bolt.h"

enum { LISTENERS = 8, CHUNK = 64 * 1024, TCP_FILL = 600 * 1024, FRAME_MOST = 200 * 1024 };
enum { HTTP, BOLT, TCP, ANY, PROXIED, VOID_HTTP, VOID_TCP, CONNECT }; /* listeners, from port 15001 */

#define OUT "127.0.0.1:1500"

/* ---- the configuration ---- */

/* Short enough that what hangs on a time-out alone ends within a run. */
static struct sp_listener_spec *impatient(struct sp_listener_spec *listener)
{
    for (uint32_t i = 0; i < listener->chain_count; i++) {
        mesh_chain(listener)[i].stream_idle_ns = 20 * SP_NS_PER_S;
        mesh_chain(listener)[i].idle_ns = mesh_chain(listener)[i].tcp_idle_ns = 60 * SP_NS_PER_S;
    }
    return listener;
}

static void configure(struct mesh_sidecar *s)
{
    static const char *const app[] = { "127.0.0.1:8080", "127.0.0.1:8081", NULL };
    static const char *const nobody[] = { "10.0.0.2:80", NULL };
    struct sp_cluster_spec *cluster = mesh_cluster(s, "app", app);
    ((struct sp_endpoint_spec *)(uintptr_t)cluster->endpoints)[1].healthy = false;
    mesh_cluster(s, "void", nobody)->connect_timeout_ns = 30 * SP_NS_PER_S;
    struct sp_listener_spec *l = impatient(mesh_listener(s, "http", OUT "1", SP_PROTO_HTTP1, "app"));
    mesh_chain(l)->upgrade_websocket = true;
    impatient(mesh_listener(s, "bolt", OUT "2", SP_PROTO_BOLT, "app"));
    impatient(mesh_listener(s, "tcp", OUT "3", SP_PROTO_TCP, "app"));
    l = impatient(mesh_listener_any(s, "any", OUT "4", "app", "app", "app"));
    l->detect_ns = 10 * SP_NS_PER_S;
    l = impatient(mesh_listener(s, "proxied", OUT "5", SP_PROTO_TCP, "app"));
    l->proxy_protocol = true;
    l = impatient(mesh_listener(s, "void http", OUT "6", SP_PROTO_HTTP1, "void"));
    mesh_route(l)->retry = (struct sp_retry){ .on = SP_RETRY_CONNECT_FAILURE | SP_RETRY_GATEWAY,
                                              .retries = 2 };
    impatient(mesh_listener(s, "void tcp", OUT "7", SP_PROTO_TCP, "void"));
    l = impatient(mesh_listener(s, "connect", OUT "8", SP_PROTO_HTTP1, "app"));
    mesh_chain(l)->upgrade_connect = mesh_route(l)->connect = true;
    mesh_route(l)->match.kind = SP_PATH_CONNECT;
}

/* ---- peers ---- */

static void on_open(struct app_conn *conn, sp_err err)
{
    if (err)
        app_conn_close(conn, true);
}

static void on_input(struct app_conn *conn)
{
    if (app_conn_in(conn).len > CHUNK) /* the beginning is enough: ids are read from it */
        app_conn_use(conn, app_conn_in(conn).len);
}

static void on_end(struct app_conn *conn, sp_err err)
{
    if (err != SP_E_CLOSED)
        app_conn_close(conn, true);
}

static void on_closed(struct app_conn *conn)
{
    SP_CONTAINER(conn, struct peer, conn)->gone = true;
}

static const struct app_ops peer_ops = { on_open, on_input, on_end, NULL, on_closed };

static struct peer *peer_new(struct world *w)
{
    if (w->peer_count == PEERS_MOST)
        return NULL;
    struct peer *peer = &w->peers[w->peer_count++];
    memset(peer, 0, sizeof(*peer));
    return peer;
}

void peer_say(struct peer *peer, const void *bytes, size_t len)
{
    if (peer->gone || peer->conn.closing || peer->conn.fin_wanted)
        return;
    sp_buf_add(&peer->conn.out, bytes, len);
    app_conn_flush(&peer->conn);
}

void peer_fin(struct peer *peer)
{
    if (!peer->gone && !peer->conn.closing)
        app_conn_finish(&peer->conn);
}

void peer_close(struct peer *peer, bool reset)
{
    if (!peer->gone)
        app_conn_close(&peer->conn, reset);
}

static size_t encode(unsigned which, uint32_t id, uint32_t body_bytes, char *to, size_t room)
{
    static const char service[] = "com.acme.Echo:1.0";
    struct sp_header headers[] = {
        { .name = "service", .name_len = 7, .value = service, .value_len = sizeof(service) - 1 },
        { .name = "sofa_head_method_name", .name_len = 21, .value = "say", .value_len = 3 },
    };
    bool answer = which == 10, v2 = which == 14;
    struct sp_head head = { .kind = answer        ? SP_MSG_RESPONSE
                                    : which == 13 ? SP_MSG_ONEWAY
                                                  : SP_MSG_REQUEST,
                            .protocol = v2 ? SP_PROTO_BOLT2 : SP_PROTO_BOLT,
                            .proto_ver = v2 ? 2 : 1,
                            .codec_id = 1,
                            .id = id,
                            .timeout_ms = 3000,
                            .class_name = SP_STR("com.alipay.sofa.rpc.core.request.SofaRequest"),
                            .body_bytes = body_bytes,
                            .headers = headers,
                            .header_count = answer ? 0 : SP_COUNTOF(headers) };
    ssize_t n = (v2 ? &sp_bolt2_codec : &sp_bolt_codec)->encode_head(&head, to, room);
    SP_ASSERT(n > 0);
    memset(to + n, 'b', body_bytes);
    return (size_t)n + body_bytes;
}

void peer_say_frame(struct peer *peer, unsigned which, uint32_t id, uint32_t body_bytes)
{
    size_t room = 1024 + body_bytes;
    char *bytes = sp_mem_alloc(room);
    SP_ASSERT(bytes && body_bytes <= FRAME_MOST);
    ssize_t n;
    if (which == 11 || which == 12) {
        n = sp_bolt_codec.encode_heartbeat(NULL, id, which == 12, bytes, room);
        SP_ASSERT(n > 0);
    } else {
        n = (ssize_t)encode(which, id, body_bytes, bytes, room);
    }
    peer_say(peer, bytes, which == 15 ? (size_t)n / 2 : (size_t)n);
    sp_mem_free(bytes);
}

/* The id of the last request in what it heard, which the sidecar has chosen. */
static uint32_t heard_id(struct peer *peer)
{
    sp_str in = peer->conn.in.len ? app_conn_in(&peer->conn) : SP_STR_NULL;
    if (in.len < 22)
        return 0;
    const uint8_t *at = (const uint8_t *)in.ptr + (in.ptr[0] == 2 ? 6 : 5);
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- worlds ---- */

static void on_door(struct app_server *server, int fd)
{
    struct world *w = SP_CONTAINER(server, struct world, door);
    struct peer *peer = peer_new(w);
    if (peer)
        app_conn_accept(&peer->conn, w->mesh, w->loop, &peer_ops, fd);
    else
        sp_sock_drop_fd(w->loop, fd);
}

static void open_empty(struct world *w, uint32_t workers)
{
    memset(w, 0, offsetof(struct world, peers));
    w->peer_count = w->given_count = 0;
    w->mesh = mesh_new(1);
    w->sidecar = mesh_sidecar(w->mesh, "10.0.0.1", workers);
    w->loop = mesh_app_loop(w->sidecar);
    w->door = (struct app_server){ .loop = w->loop, .mesh = w->mesh, .on_accept = on_door };
    app_server_listen(&w->door, "127.0.0.1:8080");
}

static struct peer *call(struct world *w, const char *to)
{
    struct peer *peer = peer_new(w);
    sp_addr addr = app_addr(to);
    if (peer)
        SP_ASSERT(!app_conn_connect(&peer->conn, w->mesh, w->loop, &peer_ops, &addr));
    return peer;
}

struct peer *world_call(struct world *w, uint32_t which)
{
    static const char *const to[LISTENERS] = { OUT "1", OUT "2", OUT "3", OUT "4",
                                               OUT "5", OUT "6", OUT "7", OUT "8" };
    return call(w, to[which % LISTENERS]);
}

static void on_given(struct app_server *server, int fd)
{
    struct world *w = SP_CONTAINER(server, struct world, giver);
    w->given[w->given_count++] = fd;
}

void world_give(struct world *w, const struct scene *scene, int fds[PEERS_MOST])
{
    int given[PEERS_MOST];
    uint32_t next = 0;
    w->given = given;
    w->giver = (struct app_server){ .loop = w->loop, .mesh = w->mesh, .on_accept = on_given };
    app_server_listen(&w->giver, "127.0.0.1:9");
    for (uint32_t i = 0; i < scene->fd_count; i++)
        if (!scene->listens[i])
            call(w, "127.0.0.1:9");
    sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
    app_server_close(&w->giver);
    SP_ASSERT(w->given_count == w->peer_count);
    for (uint32_t i = 0; i < scene->fd_count; i++) {
        if (!scene->listens[i]) {
            fds[i] = given[next++];
            continue;
        }
        struct sp_acceptor acceptor = { 0 };
        struct sp_listen_config config = { .addr = app_addr("127.0.0.1:0"), .reuse_port = true };
        SP_ASSERT(!sp_acceptor_listen(&acceptor, w->loop, &config));
        fds[i] = sp_acceptor_detach(&acceptor);
    }
    w->given = NULL;
}

void world_close_number(struct world *w, int fd)
{
    struct sp_acceptor acceptor = { 0 };
    if (fd < 0)
        return;
    if (sp_acceptor_open(&acceptor, w->loop, fd, false))
        sp_sock_drop_fd(w->loop, fd);
    else
        sp_acceptor_close(&acceptor);
}

void world_close(struct world *w)
{
    app_server_close(&w->door);
    for (uint32_t i = 0; i < w->peer_count; i++)
        peer_close(&w->peers[i], i & 1);
}

static bool is_quiet(const struct sp_worker *worker)
{
    size_t at = 0;
    void *value;
    const struct sp_endpoint *ep;
    while (sp_map_next(&worker->clusters, &at, NULL, &value))
        SP_LIST_EACH(&((struct sp_cluster *)value)->all, ep, next, struct sp_endpoint, link)
            if (ep->gone || !sp_list_is_empty(&ep->connecting) || !sp_list_is_empty(&ep->idle) ||
                !sp_list_is_empty(&ep->busy) || !sp_list_is_empty(&ep->lingering))
                return false;
    return sp_list_is_empty(&worker->streams) && sp_list_is_empty(&worker->lines) &&
           sp_list_is_empty(&worker->relays) && sp_list_is_empty(&worker->intakes);
}

void world_settle(struct world *w)
{
    bool quiet = false;
    for (sp_ns ns = SP_NS_PER_MS; !quiet && ns < 20000 * SP_NS_PER_S; ns *= 8) {
        sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + ns);
        quiet = true;
        for (uint32_t i = 0; i < w->sidecar->worker_count; i++)
            quiet &= is_quiet(&w->sidecar->workers[i]);
    }
    SP_ASSERT(quiet);
    mesh_check_idle(w->sidecar);
}

void world_leave(struct world *w)
{
    struct mesh_sidecar *s = w->sidecar;
    s->up = false;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        sp_worker_leave(&s->workers[i], false);
        sp_loop_free(s->loops[i]);
    }
    sp_process_deinit(&s->process);
    sp_loop_free(s->main);
    sp_snapshot_unref(s->next);
}

void world_free(struct world *w)
{
    if (w->sidecar->up)
        mesh_kill(w->sidecar);
    world_close(w);
    sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
    mesh_free(w->mesh);
}

/* ---- scripts ---- */

struct word {
    char who; /* see say_word; 0 = the end */
    const char *text;
    uint32_t id, bytes;
};

enum { WORDS_MOST = 7 };

struct script {
    uint8_t to;
    struct word words[WORDS_MOST + 1];
};

#define HEAD "Host: a\r\n"
#define C(text)                                                                                              \
    {                                                                                                        \
        'c', text, 0, 0                                                                                      \
    } /* the client says */
#define S(text)                                                                                              \
    {                                                                                                        \
        's', text, 0, 0                                                                                      \
    } /* the server says */
#define ASK(id, bytes)                                                                                       \
    {                                                                                                        \
        'q', NULL, id, bytes                                                                                 \
    }
#define HALF_ASK(id, bytes)                                                                                  \
    {                                                                                                        \
        'Q', NULL, id, bytes                                                                                 \
    }
#define ANSWER(bytes)                                                                                        \
    {                                                                                                        \
        'a', NULL, 0, bytes                                                                                  \
    }

static const struct script scripts[SCENES - 1] = {
    { HTTP, { C("GET /a HT") } },
    { HTTP, { C("POST /a HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nab") } },
    { HTTP,
      { C("POST /a HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n") } },
    { HTTP, { C("POST /a HTTP/1.1\r\n" HEAD "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n") } },
    { HTTP,
      { C("POST /a HTTP/1.1\r\n" HEAD "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"),
        S("HTTP/1.1 100 Continue\r\n\r\n"), C("abc") } },
    { HTTP, { C("GET /a HTTP/1.1\r\n" HEAD "\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") } },
    { HTTP, { C("GET /a HTTP/1.1\r\n" HEAD "\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc") } },
    { HTTP,
      { C("GET /a HTTP/1.1\r\n" HEAD "TE: trailers\r\n\r\n"),
        S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n") } },
    { HTTP, { C("GET /1 HTTP/1.1\r\n" HEAD "\r\nGET /2 HTTP/1.1\r\n" HEAD "\r\n"), { 'f' } } },
    { HTTP,
      { C("GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"),
        C("from here"),
        { 'f' } } },
    { CONNECT,
      { C("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), S("HTTP/1.1 200 OK\r\n\r\n"), C("through") } },
    { HTTP, { C("GET nonsense\r\n\r\n") } },
    { HTTP, { C("GET /a HTTP/1.1\r\n" HEAD "\r\n"), { 'w', NULL, 0, TCP_FILL } } },
    { VOID_HTTP, { C("POST /a HTTP/1.1\r\n" HEAD "Content-Length: 6\r\n\r\nabc") } },
    { BOLT, { ASK(1, 4), ASK(2, 4), ANSWER(8), { 'n' }, ASK(3, 4) } },
    { BOLT, { ASK(1, 4), HALF_ASK(2, 150000), { 'n' }, ASK(9, 5) } },
    { BOLT, { ASK(1, 4), { 'A', NULL, 0, 100000 }, ASK(4, 4), { 'h', NULL, 9, 0 } } },
    { BOLT, { ASK(1, 4), { 'b', NULL, 5, 6 } } },
    { BOLT, { { 'o', NULL, 1, 4 }, { 'o', NULL, 2, 90000 }, { 'f' } } },
    { BOLT, { { '2', NULL, 1, 40 }, { '2', NULL, 2, 80000 } } },
    { TCP, { C("up"), S("down"), C("more"), { 'f' } } },
    { TCP, { C("up"), { 'w', NULL, 0, TCP_FILL }, { 'W', NULL, 0, TCP_FILL } } },
    { VOID_TCP, { C("first bytes") } },
    { ANY, { C("GE") } },
    { PROXIED, { C("PROXY TCP4 1.2.3.4 ") } },
    { ANY, { C("raw bytes"), S("answer"), { 'F' }, { 'n' }, C("GET /a HTTP/1.1\r\n" HEAD "\r\n") } },
};

static void fill(struct peer *peer, uint32_t bytes, struct peer *slow)
{
    char *some = sp_mem_zalloc(bytes);
    SP_ASSERT(some);
    sp_sock_read(&slow->conn.sock, false);
    peer_say(peer, some, bytes);
    sp_mem_free(some);
}

static void say_word(struct world *w, const struct script *script, const struct word *word,
                     struct peer **client, struct peer *server)
{
    switch (word->who) {
    case 'c': peer_say(*client, word->text, strlen(word->text)); break;
    case 's': peer_say(server, word->text, strlen(word->text)); break;
    case 'f': peer_fin(*client); break;
    case 'F': peer_fin(server); break;
    case 'n': *client = world_call(w, script->to); break;
    case 'q': peer_say_frame(*client, 9, word->id, word->bytes); break;
    case 'Q': peer_say_frame(*client, 15, word->id, word->bytes); break;
    case 'o': peer_say_frame(*client, 13, word->id, word->bytes); break;
    case '2': peer_say_frame(*client, 14, word->id, word->bytes); break;
    case 'h': peer_say_frame(*client, 11, word->id, 0); break;
    case 'a': peer_say_frame(server, 10, heard_id(server), word->bytes); break;
    case 'A': { /* half of an answer */
        char *bytes = sp_mem_alloc(1024 + word->bytes);
        SP_ASSERT(bytes);
        size_t len = encode(10, heard_id(server), word->bytes, bytes, 1024 + word->bytes);
        peer_say(server, bytes, len / 2);
        sp_mem_free(bytes);
        break;
    }
    case 'b': peer_say_frame(server, 9, word->id, word->bytes); break;
    case 'w': fill(server, word->bytes, *client); break; /* the client does not read */
    case 'W': fill(*client, word->bytes, server); break;
    default: SP_ASSERT(!"such a word");
    }
}

/* Scripts to one listener may share a line to its server. */
static void run_script(struct world *w, const struct script *script, struct peer *servers[LISTENERS])
{
    struct peer *client = world_call(w, script->to), **server = &servers[script->to];
    uint32_t before = w->peer_count;
    sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
    for (const struct word *word = script->words; word->who; word++) {
        if (w->peer_count > before && word->who != 'n')
            *server = &w->peers[before];
        SP_ASSERT(*server || !strchr("sFaAbwW", word->who));
        say_word(w, script, word, &client, *server);
        sp_sim_run(w->mesh->sim, sp_sim_now(w->mesh->sim) + SP_NS_PER_MS);
    }
}

/* ---- scenes ---- */

static struct sp_snapshot *the_snapshot;

void world_open(struct world *w, uint32_t workers)
{
    open_empty(w, workers);
    sp_snapshot_ref(the_snapshot);
    w->sidecar->process.snapshot = the_snapshot;
    SP_ASSERT(!sp_process_share(&w->sidecar->process, the_snapshot));
}

static const struct sp_record_kind *kind_of(uint16_t number)
{
    for (uint32_t i = 0; i < sp_proxy_records.count; i++)
        if (sp_proxy_records.kinds[i]->number == number)
            return sp_proxy_records.kinds[i];
    return NULL;
}

/* A socket of a listener's own, by the names of what tells it. */
static void note_listening(struct scene *scene, const struct sp_record_kind *kind, const void *value)
{
    if (strcmp(kind->name, "listener") != 0 && strcmp(kind->name, "door") != 0)
        return;
    for (uint32_t i = 0; i < kind->field_count; i++) {
        uint32_t place = 0;
        if (strcmp(kind->fields[i].name, "fd") == 0)
            memcpy(&place, (const char *)value + kind->fields[i].offset, sizeof(place));
        if (place)
            scene->listens[place - 1] = true;
    }
}

static void save(struct world *w, struct scene *scene)
{
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    uint16_t number;
    sp_record_writer_init(&writer, NULL);
    for (uint32_t i = 0; i < w->sidecar->worker_count; i++)
        sp_worker_save(&w->sidecar->workers[i], &writer);
    SP_ASSERT(!writer.err && writer.fd_count <= PEERS_MOST);
    scene->fd_count = writer.fd_count;
    char *kept = sp_mem_alloc(writer.out.len); /* strings are borrowed from it */
    SP_ASSERT(kept);
    memcpy(kept, writer.out.ptr, writer.out.len);
    sp_record_reader_init(&reader, sp_str_of(kept, writer.out.len), NULL, 0);
    while (sp_record_next(&reader, &number) > 0) {
        const struct sp_record_kind *kind = kind_of(number);
        SP_ASSERT(kind && scene->count < RECORDS_MOST);
        void *value = sp_mem_alloc(kind->size);
        SP_ASSERT(value && !sp_record_get(&reader, kind, value));
        note_listening(scene, kind, value);
        scene->kinds[scene->count] = kind;
        scene->values[scene->count++] = value;
    }
    sp_record_writer_deinit(&writer);
}

static void make_scene(struct scene *scene, const struct script *script, uint32_t count, uint32_t workers)
{
    struct world *w = sp_mem_zalloc(sizeof(*w));
    SP_ASSERT(w);
    open_empty(w, workers);
    struct sp_loop *away = sp_sim_host(w->mesh->sim, "10.0.0.2");
    sp_sim_partition(w->mesh->sim, w->loop, away, true); /* so that connects wait */
    configure(w->sidecar);
    mesh_apply(w->sidecar);
    if (!the_snapshot) {
        the_snapshot = w->sidecar->process.snapshot;
        sp_snapshot_ref(the_snapshot);
    }
    struct peer *servers[LISTENERS] = { NULL };
    for (uint32_t i = 0; i < count; i++)
        run_script(w, &script[i], servers);
    save(w, scene);
    world_close(w);
    world_settle(w);
    mesh_free(w->mesh);
    sp_mem_free(w);
}

const struct scene *the_scene(uint32_t which)
{
    static struct scene *scenes[SCENES];
    struct scene **place = &scenes[which % SCENES];
    if (*place)
        return *place;
    *place = sp_mem_zalloc(sizeof(**place));
    SP_ASSERT(*place);
    if (which % SCENES == SCENES - 1)
        make_scene(*place, scripts, SCENES - 1, 2);
    else
        make_scene(*place, &scripts[which % SCENES], 1, 1);
    return *place;
}
