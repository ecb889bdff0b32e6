/* worker_kit: peers made of the simulation's app_conn, that keep what they hear until the test asks. */
#include "unit/proxy/worker_kit.h"

#include "base/mem.h"
#include "io/dns.h"

enum { PATIENCE_MS = 5000, HEADERS = 32 };

/* --- the world ------------------------------------------------------------------------------------------ */

struct kit *kit_new(uint32_t workers)
{
    uint64_t blocks = sp_mem_live_blocks();
    struct kit *kit = calloc(1, sizeof(*kit));
    kit->blocks = blocks;
    kit->mesh = mesh_new(1);
    kit->sidecar = mesh_sidecar(kit->mesh, "10.0.0.1", workers);
    kit->worker = &kit->sidecar->workers[0];
    kit->app = mesh_app_loop(kit->sidecar);
    sp_list_init(&kit->peers);
    sp_list_init(&kit->doors);
    return kit;
}

void kit_run(struct kit *kit, uint32_t ms)
{
    mesh_run(kit->mesh, ms * SP_NS_PER_MS);
}

bool kit_until(struct kit *kit, uint32_t ms, bool (*done)(void *arg), void *arg)
{
    for (uint32_t i = 0; i <= ms && !done(arg); i++)
        sp_sim_run(kit->mesh->sim, sp_sim_now(kit->mesh->sim) + SP_NS_PER_MS);
    return done(arg);
}

void kit_free(struct kit *kit)
{
    struct peer *peer;
    SP_LIST_EACH(&kit->peers, peer, next, struct peer, link)
        leave(peer, false);
    struct door *door;
    SP_LIST_EACH(&kit->doors, door, next_door, struct door, link)
        app_server_close(&door->server);
    kit_run(kit, 20000);
    if (kit->sidecar->up)
        mesh_check_idle(kit->sidecar);
    SP_LIST_EACH(&kit->peers, peer, next_gone, struct peer, link) {
        assert_true(peer->gone);
        sp_list_remove(&peer->door_link);
        sp_list_remove(&peer->link);
        free(peer);
    }
    SP_LIST_EACH(&kit->doors, door, next_left, struct door, link) {
        sp_list_remove(&door->link);
        free(door);
    }
    mesh_free(kit->mesh);
    assert_int_equal(sp_mem_live_blocks(), kit->blocks);
    free(kit);
}

struct sp_cluster_spec *kit_cluster(struct kit *kit)
{
    static const char *const addrs[] = { KIT_APP, NULL };
    return mesh_cluster(kit->sidecar, "app", addrs);
}

struct sp_listener_spec *kit_listener(struct kit *kit, enum sp_protocol protocol)
{
    struct sp_listener_spec *spec = mesh_listener(kit->sidecar, "out", KIT_OUT, protocol, "app");
    mesh_chain(spec)->generate_request_id = false; /* it is random */
    return spec;
}

void kit_apply(struct kit *kit)
{
    mesh_apply(kit->sidecar);
    kit_run(kit, 1);
}

struct kit *kit_usual(enum sp_protocol protocol, struct door **ret_door)
{
    struct kit *kit = kit_new(1);
    kit_cluster(kit);
    kit_listener(kit, protocol);
    kit_apply(kit);
    *ret_door = kit_door(kit, KIT_APP);
    return kit;
}

/* --- peers ---------------------------------------------------------------------------------------------- */

static struct peer *peer_of(struct app_conn *conn)
{
    return SP_CONTAINER(conn, struct peer, conn);
}

static void on_open(struct app_conn *conn, sp_err err)
{
    struct peer *peer = peer_of(conn);
    peer->opened = true;
    peer->open_err = err;
    if (err)
        app_conn_close(conn, true);
}

static void on_input(struct app_conn *conn)
{
    (void)conn; /* kept until the test asks */
}

static void on_end(struct app_conn *conn, sp_err err)
{
    peer_of(conn)->ended = true;
    peer_of(conn)->end_err = err;
}

static void on_closed(struct app_conn *conn)
{
    peer_of(conn)->gone = true;
}

static const struct app_ops peer_ops = { on_open, on_input, on_end, NULL, on_closed };

static struct peer *peer_new(struct kit *kit)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    peer->kit = kit;
    sp_list_push(&kit->peers, &peer->link);
    return peer;
}

static bool is_opened(void *arg)
{
    return ((struct peer *)arg)->opened;
}

struct peer *kit_call_from(struct kit *kit, struct sp_loop *loop, const char *addr)
{
    struct peer *peer = peer_new(kit);
    sp_addr to = app_addr(addr);
    assert_int_equal(app_conn_connect(&peer->conn, kit->mesh, loop, &peer_ops, &to), 0);
    assert_true(kit_until(kit, PATIENCE_MS, is_opened, peer));
    return peer;
}

struct peer *kit_call(struct kit *kit, const char *addr)
{
    return kit_call_from(kit, kit->app, addr);
}

static void on_accept(struct app_server *server, int fd)
{
    struct door *door = SP_CONTAINER(server, struct door, server);
    struct peer *peer = peer_new(door->kit);
    app_conn_accept(&peer->conn, server->mesh, server->loop, &peer_ops, fd);
    peer->opened = true;
    sp_list_push(&door->waiting, &peer->door_link);
    door->accepted++;
}

struct door *kit_door(struct kit *kit, const char *addr)
{
    struct door *door = calloc(1, sizeof(*door));
    door->kit = kit;
    sp_list_init(&door->waiting);
    sp_list_push(&kit->doors, &door->link);
    door->server = (struct app_server){ .loop = kit->app, .mesh = kit->mesh, .on_accept = on_accept };
    app_server_listen(&door->server, addr);
    return door;
}

void door_close(struct door *door)
{
    app_server_close(&door->server);
}

static bool has_waiting(void *arg)
{
    return !sp_list_is_empty(&((struct door *)arg)->waiting);
}

struct peer *door_next(struct door *door)
{
    if (!kit_until(door->kit, PATIENCE_MS, has_waiting, door))
        fail_msg("nobody comes to the door");
    return SP_CONTAINER(sp_list_pop_first(&door->waiting), struct peer, door_link);
}

bool door_is_quiet(struct door *door, uint32_t ms)
{
    kit_run(door->kit, ms);
    return sp_list_is_empty(&door->waiting);
}

/* --- saying and hearing --------------------------------------------------------------------------------- */

void say_bytes(struct peer *peer, const void *bytes, size_t len)
{
    if (peer->gone)
        return;
    sp_buf_add(&peer->conn.out, bytes, len);
    app_conn_flush(&peer->conn);
}

void say(struct peer *peer, const char *text)
{
    say_bytes(peer, text, strlen(text));
}

void say_fin(struct peer *peer)
{
    app_conn_finish(&peer->conn);
}

void leave(struct peer *peer, bool reset)
{
    if (!peer->gone)
        app_conn_close(&peer->conn, reset);
}

sp_str heard(const struct peer *peer)
{
    return peer->gone ? SP_STR_NULL : app_conn_in(&peer->conn);
}

struct want {
    struct peer *peer;
    sp_str mark;
    size_t bytes;
};

static bool has_bytes(void *arg)
{
    const struct want *want = arg;
    return heard(want->peer).len >= want->bytes;
}

static bool has_mark(void *arg)
{
    const struct want *want = arg;
    sp_str in = heard(want->peer);
    return sp_str_find_str(in, want->mark) < in.len;
}

void hear_bytes(struct peer *peer, size_t len)
{
    struct want want = { .peer = peer, .bytes = len };
    if (!kit_until(peer->kit, PATIENCE_MS, has_bytes, &want))
        fail_msg("%zu bytes have come, %zu were to come", heard(peer).len, len);
    app_conn_use(&peer->conn, len);
}

void hear(struct peer *peer, const char *text)
{
    sp_str wanted = sp_str_c(text);
    struct want want = { .peer = peer, .bytes = wanted.len };
    kit_until(peer->kit, PATIENCE_MS, has_bytes, &want);
    sp_str in = heard(peer);
    if (!sp_str_eq(sp_str_upto(in, wanted.len), wanted))
        fail_msg("heard \"%.*s\", want \"%s\"", SP_STR_ARG(in), text);
    app_conn_use(&peer->conn, wanted.len);
}

sp_str hear_to(struct peer *peer, const char *mark)
{
    struct want want = { .peer = peer, .mark = sp_str_c(mark) };
    if (!kit_until(peer->kit, PATIENCE_MS, has_mark, &want))
        fail_msg("heard \"%.*s\", want \"%s\" in it", SP_STR_ARG(heard(peer)), mark);
    sp_str in = heard(peer);
    in = sp_str_upto(in, sp_str_find_str(in, want.mark) + want.mark.len);
    app_conn_use(&peer->conn, in.len);
    return in;
}

void hear_nothing(struct peer *peer, uint32_t ms)
{
    kit_run(peer->kit, ms);
    if (heard(peer).len || peer->ended)
        fail_msg("heard \"%.*s\"%s, want silence", SP_STR_ARG(heard(peer)),
                 peer->ended ? " and the end" : "");
}

static bool has_ended(void *arg)
{
    return ((struct peer *)arg)->ended;
}

void hear_end(struct peer *peer, sp_err err)
{
    if (!kit_until(peer->kit, PATIENCE_MS, has_ended, peer))
        fail_msg("heard \"%.*s\", want the end", SP_STR_ARG(heard(peer)));
    if (heard(peer).len)
        fail_msg("heard \"%.*s\" before the end", SP_STR_ARG(heard(peer)));
    assert_int_equal(peer->end_err, err);
}

void check_cut(const struct peer *peer)
{
    assert_true(peer->opened);
    assert_int_equal(peer->open_err ? peer->open_err : peer->end_err, SP_E_RESET);
}

sp_str hear_head(struct peer *peer, const char *first)
{
    sp_str head = hear_to(peer, "\r\n\r\n");
    if (!sp_str_starts(head, sp_str_c(first)))
        fail_msg("heard \"%.*s\", want \"%s\" first", SP_STR_ARG(head), first);
    return head;
}

void hear_refusal(struct peer *peer, uint32_t status, const char *reason)
{
    char first[64], code[80];
    snprintf(first, sizeof(first), "HTTP/1.1 %u ", status);
    snprintf(code, sizeof(code), "x-sampan-reason: %s\r\n", reason);
    sp_str head = hear_head(peer, first);
    if (sp_str_find_str(head, sp_str_c(code)) == head.len)
        fail_msg("heard \"%.*s\", want %s in it", SP_STR_ARG(head), reason);
    sp_str length = sp_str_from(head, sp_str_find_str(head, SP_STR("ontent-Length:")));
    length = sp_str_from(length, sp_str_find(length, ':') + 1);
    uint64_t bytes = 0;
    sp_str digits = sp_str_trim(sp_str_cut(&length, '\r'));
    if (!sp_str_to_u64(digits, &bytes))
        hear_bytes(peer, bytes);
}

/* --- Bolt ----------------------------------------------------------------------------------------------- */

static char *encode(const struct sp_head *head, const char *body, size_t body_bytes, size_t *ret_len)
{
    size_t room = 1024 + body_bytes;
    char *bytes = malloc(room);
    ssize_t n = sp_bolt_codec.encode_head(head, bytes, room);
    assert_true(n > 0);
    if (body_bytes)
        memcpy(bytes + n, body, body_bytes);
    *ret_len = (size_t)n + body_bytes;
    return bytes;
}

char *ask_bytes(const struct ask *ask, size_t *ret_len)
{
    const char *service = ask->service ? ask->service : "com.acme.Echo:1.0";
    size_t body_bytes = ask->body_bytes ? ask->body_bytes : strlen(ask->body);
    struct sp_header headers[] = {
        { .name = "service", .name_len = 7, .value = service, .value_len = (uint32_t)strlen(service) },
        { .name = "sofa_head_method_name", .name_len = 21, .value = "say", .value_len = 3 },
    };
    struct sp_head head = { .kind = ask->oneway ? SP_MSG_ONEWAY : SP_MSG_REQUEST,
                            .protocol = ask->v2 ? SP_PROTO_BOLT2 : SP_PROTO_BOLT,
                            .proto_ver = 1,
                            .codec_id = 1,
                            .id = ask->id,
                            .timeout_ms = ask->timeout_ms,
                            .class_name = SP_STR("com.alipay.sofa.rpc.core.request.SofaRequest"),
                            .body_bytes = (int64_t)body_bytes,
                            .headers = headers,
                            .header_count = SP_COUNTOF(headers) };
    return encode(&head, ask->body, body_bytes, ret_len);
}

size_t say_ask(struct peer *peer, const struct ask *ask)
{
    size_t len;
    char *bytes = ask_bytes(ask, &len);
    say_bytes(peer, bytes, ask->say_bytes ? ask->say_bytes : len);
    free(bytes);
    return len;
}

static void answer(struct peer *peer, uint32_t id, const char *body, size_t body_bytes, size_t say)
{
    struct sp_head head = { .kind = SP_MSG_RESPONSE,
                            .protocol = SP_PROTO_BOLT,
                            .proto_ver = 1,
                            .codec_id = 1,
                            .id = id,
                            .class_name = SP_STR("com.alipay.sofa.rpc.core.response.SofaResponse"),
                            .body_bytes = (int64_t)body_bytes };
    size_t len;
    char *bytes = encode(&head, body, say, &len);
    say_bytes(peer, bytes, len);
    free(bytes);
}

void say_answer(struct peer *peer, uint32_t id, const char *body)
{
    answer(peer, id, body, strlen(body), strlen(body));
}

void say_answer_head(struct peer *peer, uint32_t id, size_t body_bytes)
{
    answer(peer, id, NULL, body_bytes, 0);
}

void say_heartbeat(struct peer *peer, uint32_t id, bool ack)
{
    char bytes[64];
    ssize_t n = sp_bolt_codec.encode_heartbeat(NULL, id, ack, bytes, sizeof(bytes));
    assert_true(n > 0);
    say_bytes(peer, bytes, (size_t)n);
}

struct decoding {
    struct peer *peer;
    struct sp_head head;
    struct sp_header headers[HEADERS];
    size_t bytes; /* of the whole frame; 0 = its head is not there */
};

static bool has_frame(void *arg)
{
    struct decoding *d = arg;
    struct sp_codec_state state;
    sp_str in = heard(d->peer);
    struct sp_event ev = { .head = &d->head };
    d->head = (struct sp_head){ .headers = d->headers, .header_cap = HEADERS };
    const struct sp_codec *codec = in.len && in.ptr[0] == 2 ? &sp_bolt2_codec : &sp_bolt_codec;
    struct sp_codec_limits limits = { 0 };
    codec->init(&state, SP_ROLE_SERVER, &limits);
    ssize_t used = in.len ? codec->decode(&state, in, &ev) : 0;
    if (used < 0)
        fail_msg("heard a broken frame: %s", ev.why);
    if (used == 0 || ev.kind != SP_EVENT_HEAD)
        return false;
    d->bytes = d->head.raw.len + (d->head.body_bytes > 0 ? (size_t)d->head.body_bytes : 0);
    return in.len >= d->bytes;
}

static void keep(char *to, size_t room, sp_str s)
{
    snprintf(to, room, "%.*s", SP_STR_ARG(s));
}

void hear_frame(struct peer *peer, struct frame *ret_frame)
{
    struct decoding d = { .peer = peer };
    if (!kit_until(peer->kit, PATIENCE_MS, has_frame, &d))
        fail_msg("heard %zu bytes, want a frame", heard(peer).len);
    const struct sp_head *head = &d.head;
    *ret_frame = (struct frame){ .kind = (enum sp_msg)head->kind,
                                 .id = head->id,
                                 .status = head->status,
                                 .raw_status = head->raw_status,
                                 .timeout_ms = head->timeout_ms,
                                 .body_bytes = d.bytes - head->raw.len };
    keep(ret_frame->reason, sizeof(ret_frame->reason), sp_head_value_name(head, SP_STR("x-sampan-reason")));
    keep(ret_frame->service, sizeof(ret_frame->service), head->service);
    ret_frame->body = malloc(ret_frame->body_bytes + 1);
    memcpy(ret_frame->body, heard(peer).ptr + head->raw.len, ret_frame->body_bytes);
    ret_frame->body[ret_frame->body_bytes] = '\0';
    app_conn_use(&peer->conn, d.bytes);
}

void frame_free(struct frame *frame)
{
    free(frame->body);
    frame->body = NULL;
}

uint32_t hear_ask(struct peer *peer, const char *body)
{
    struct frame f;
    hear_frame(peer, &f);
    assert_true(f.kind == SP_MSG_REQUEST || f.kind == SP_MSG_ONEWAY);
    assert_string_equal(f.body, body);
    frame_free(&f);
    return f.id;
}

void hear_answer(struct peer *peer, uint32_t id, const char *body)
{
    struct frame f;
    hear_frame(peer, &f);
    assert_int_equal(f.kind, SP_MSG_RESPONSE);
    assert_int_equal(f.id, id);
    assert_string_equal(f.body, body);
    assert_int_equal(f.status, 200);
    frame_free(&f);
}

void hear_bolt_refusal(struct peer *peer, uint32_t id, const char *reason)
{
    struct frame f;
    hear_frame(peer, &f);
    assert_int_equal(f.kind, SP_MSG_RESPONSE);
    assert_int_equal(f.id, id);
    assert_string_equal(f.reason, reason);
    assert_int_not_equal(f.raw_status, SP_BOLT_SUCCESS);
    frame_free(&f);
}

/* --- figures -------------------------------------------------------------------------------------------- */

struct sp_cluster *the_cluster(struct kit *kit, const char *name)
{
    struct sp_cluster *cluster = sp_worker_cluster(kit->worker, sp_str_c(name));
    assert_non_null(cluster);
    return cluster;
}

struct sp_endpoint *the_endpoint(struct kit *kit, const char *cluster, uint32_t index)
{
    const struct sp_cluster *c = the_cluster(kit, cluster);
    assert_true(index < c->set_count);
    return c->set[index];
}

struct sp_listener *the_listener(struct kit *kit, const char *name)
{
    struct sp_listener *listener;
    SP_LIST_EACH(&kit->worker->listeners, listener, next, struct sp_listener, link)
        if (sp_str_eq(listener->spec->name, sp_str_c(name)))
            return listener;
    fail_msg("there is no listener %s", name);
    return NULL;
}

struct sp_chain *the_chain(struct kit *kit)
{
    return the_listener(kit, "out")->chains[0];
}

uint64_t why_count(struct kit *kit, enum sp_why why)
{
    return sp_cell_get(&kit->worker->cells.why[why]);
}

static bool keep_first(void *arg, const struct sp_report *report)
{
    *(const struct sp_report **)arg = report;
    return false;
}

const struct sp_report *last_report(struct kit *kit)
{
    const struct sp_report *report = NULL;
    sp_worker_recent(kit->worker, keep_first, &report);
    assert_non_null(report);
    return report;
}
