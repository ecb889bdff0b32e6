/* app_bolt: Bolt as two applications speak it. A frame is looked at when all of it is there.
 *
 *          proto ver1 type cmd ver2  id codec switch  timeout|status  lengths of class, block, content
 *      v1    1    -    1    2   1    4    1     -         4 | 2          2       2       4
 *      v2    1    1    1    2   1    4    1     1         4 | 2          2       2       4
 *
 * The table of calls of a connection is a short array: what must not happen (an answer to an id that is not
 * outstanding, one more answer to the same) is found by looking, not by a map that could have the same fault
 * as the sidecar's. */
#include "sim/app_bolt.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "wire/bolt/bolt.h"

enum {
    CALLS = 64,
    TYPE_RESPONSE = 0,
    TYPE_REQUEST = 1,
    TYPE_ONEWAY = 2,
    CMD_HEARTBEAT = 0,
    CMD_REQUEST = 1,
    CMD_RESPONSE = 2,
    CMD_GOAWAY = 100,
    STATUS_ERROR = 2,
    BLOCK_MAX = 1024,
    LATE_MS = 1000
};

/* A call that we have made and wait for. */
struct made {
    struct mesh_call *call;
    uint32_t id;
    struct served *for_whom; /* backward: the request that it was made for */
};

/* A request that we have got and not answered yet. */
struct served {
    struct sp_list link;
    struct sp_timer timer;
    struct bolt_conn *conn;
    struct mesh_call *call;
    uint32_t id;
    uint8_t version;
};

struct bolt_conn {
    struct app_conn conn;
    struct sp_list link;
    struct bolt_app *app;
    struct made made[CALLS];
    uint32_t made_count, begun, most;
    struct sp_list served; /* of served.link */
    struct sp_timer timer;
    uint32_t next_id;
    size_t last_frame; /* its length, at the end of what is queued */
    bool is_client, gives_up, no_more, reset_sent;
};

static struct bolt_conn *conn_of(struct app_conn *conn)
{
    return SP_CONTAINER(conn, struct bolt_conn, conn);
}

/* --- frames --------------------------------------------------------------------------------------------- */

struct frame {
    uint32_t version;             /* 1, 2, 3 = 2 with checksum */
    uint32_t type, cmd, id, wait; /* wait: timeout or status */
    sp_str block, content;
    /* read from the block */
    uint64_t token;
    uint32_t want, mode;
    bool has_token, app_error;
    char reason[40];
};

static void put(struct sp_buf *out, uint32_t bytes, uint32_t value)
{
    while (bytes--)
        sp_buf_add_char(out, (char)(value >> (8 * bytes)));
}

static uint32_t get(const char **at, uint32_t bytes)
{
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | (unsigned char)*(*at)++;
    return value;
}

static void put_pair(struct sp_buf *out, const char *name, const char *value)
{
    put(out, 4, (uint32_t)strlen(name));
    sp_buf_add_c(out, name);
    put(out, 4, (uint32_t)strlen(value));
    sp_buf_add_c(out, value);
}

/* The content is the token's bytes, `len` of them. */
static void put_frame(struct sp_buf *out, const struct frame *f, const char *class_name, uint64_t token,
                      size_t len)
{
    size_t start = out->len;
    bool two = f->version >= 2;
    put(out, 1, two ? 2 : 1);
    if (two)
        put(out, 1, f->version == 3 ? 2 : 1);
    put(out, 1, f->type);
    put(out, 2, f->cmd);
    put(out, 1, 1);
    put(out, 4, f->id);
    put(out, 1, 1);
    if (two)
        put(out, 1, f->version == 3);
    put(out, f->type == TYPE_RESPONSE ? 2 : 4, f->wait);
    put(out, 2, (uint32_t)strlen(class_name));
    put(out, 2, (uint32_t)f->block.len);
    put(out, 4, (uint32_t)len);
    sp_buf_add_c(out, class_name);
    sp_buf_add_str(out, f->block);
    char *room = sp_buf_room(out, len + 1);
    SP_ASSERT(room);
    mesh_fill(token, f->type == TYPE_RESPONSE, 0, room, len);
    out->len += len;
    if (f->version == 3)
        put(out, 4, sp_bolt_crc(0, sp_str_of(out->ptr + start, out->len - start)));
}

static void read_pair(struct frame *f, sp_str name, sp_str value)
{
    uint64_t n = 0;
    if (sp_str_eq(name, SP_STR("x-token"))) {
        f->has_token = !sp_str_hex_to_u64(value, &f->token);
    } else if (sp_str_eq(name, SP_STR("x-want"))) {
        f->want = sp_str_to_u64(value, &n) ? 0 : (uint32_t)n;
    } else if (sp_str_eq(name, SP_STR("x-mode"))) {
        f->mode = sp_str_to_u64(value, &n) ? UINT32_MAX : (uint32_t)n;
    } else if (sp_str_eq(name, SP_STR("sofa_head_response_error"))) {
        f->app_error = true;
    } else if (sp_str_eq(name, SP_STR("x-sampan-reason"))) {
        snprintf(f->reason, sizeof(f->reason), "%.*s", SP_STR_ARG(value));
    }
}

static bool read_block(struct frame *f)
{
    const char *at = f->block.ptr, *end = at + f->block.len;
    while (at != end) {
        sp_str pair[2];
        for (int i = 0; i < 2; i++) {
            if (end - at < 4)
                return false;
            size_t len = get(&at, 4);
            if (len > (size_t)(end - at))
                return false;
            pair[i] = sp_str_of(at, len);
            at += len;
        }
        read_pair(f, pair[0], pair[1]);
    }
    return true;
}

/* The frame at the front: its length, 0 when it is not all there, -1 when it is none. */
static ssize_t read_frame(sp_str in, struct frame *f)
{
    const char *at = in.ptr;
    memset(f, 0, sizeof(*f));
    if (in.len < 3)
        return 0;
    bool two = in.ptr[0] == 2;
    size_t fixed = (two ? 22 : 20) + (in.ptr[two ? 2 : 1] == TYPE_RESPONSE ? 0 : 2u);
    if (in.len < fixed)
        return 0;
    at++;
    bool sums = two && get(&at, 1) == 2;
    f->type = get(&at, 1);
    f->cmd = get(&at, 2);
    if (get(&at, 1) != 1 || f->type > TYPE_ONEWAY)
        return -1;
    f->id = get(&at, 4);
    at++;
    sums = two && get(&at, 1) && sums;
    f->version = sums ? 3 : two ? 2 : 1;
    f->wait = get(&at, f->type == TYPE_RESPONSE ? 2 : 4);
    size_t class_len = get(&at, 2), block_len = get(&at, 2), content_len = get(&at, 4);
    size_t whole = fixed + class_len + block_len + content_len + (sums ? 4 : 0);
    if (in.len < whole)
        return 0;
    f->block = sp_str_of(at + class_len, block_len);
    f->content = sp_str_of(f->block.ptr + block_len, content_len);
    if (sums && !sp_bolt_crc_ok(sp_str_upto(in, whole)))
        return -1;
    return read_block(f) ? (ssize_t)whole : -1;
}

/* --- calls that we make --------------------------------------------------------------------------------- */

static void end_made(struct bolt_conn *c, uint32_t at, enum mesh_outcome outcome)
{
    struct made made = c->made[at];
    c->made[at] = c->made[--c->made_count];
    if (c->is_client)
        c->app->under_way--;
    else if (outcome == MESH_GOOD)
        c->app->back_good++;
    else if (outcome == MESH_REFUSED)
        c->app->back_refused++;
    else
        c->app->back_cut++;
    mesh_call_end(c->conn.mesh, made.call, outcome);
}

static void end_all(struct bolt_conn *c, enum mesh_outcome outcome)
{
    while (c->made_count)
        end_made(c, 0, outcome);
}

static uint32_t draw_id(struct bolt_conn *c)
{
    for (;;) {
        uint32_t id = mesh_chance(c->conn.mesh, 900) ? c->next_id++
                                                     : (uint32_t)mesh_below(c->conn.mesh, UINT32_MAX);
        uint32_t i = 0;
        while (i < c->made_count && c->made[i].id != id)
            i++;
        if (i == c->made_count)
            return id;
    }
}

static struct mesh_call *make_call(struct bolt_conn *c, uint32_t version, uint32_t mode, bool one_way,
                                   uint32_t ask, uint32_t answer, struct served *for_whom)
{
    char text[40];
    char block_bytes[BLOCK_MAX];
    struct sp_buf block;
    struct mesh_call *call = mesh_call_begin(c->conn.mesh);
    struct frame f = { .version = version,
                       .type = one_way ? TYPE_ONEWAY : TYPE_REQUEST,
                       .cmd = CMD_REQUEST,
                       .id = draw_id(c),
                       .wait = (uint32_t)c->app->plan.timeout_ms };
    call->mode = mode;
    call->ask_bytes = ask;
    call->answer_bytes = answer;
    call->oneway = one_way;
    call->backward = !c->is_client;
    sp_buf_init_fixed(&block, block_bytes, sizeof(block_bytes));
    put_pair(&block, "service", "com.acme.Bank:1.0");
    put_pair(&block, "sofa_head_method_name", "ask");
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)call->token);
    put_pair(&block, "x-token", text);
    snprintf(text, sizeof(text), "%u", answer);
    put_pair(&block, "x-want", text);
    snprintf(text, sizeof(text), "%u", mode);
    put_pair(&block, "x-mode", text);
    f.block = sp_buf_str(&block);
    size_t before = c->conn.out.len;
    put_frame(&c->conn.out, &f, "com.alipay.sofa.rpc.core.request.SofaRequest", call->token, ask);
    c->last_frame = c->conn.out.len - before;
    if (!one_way)
        c->made[c->made_count++] = (struct made){ call, f.id, for_whom };
    return call;
}

static void answer(struct served *s);

static void on_response(struct bolt_conn *c, const struct frame *f)
{
    struct mesh *mesh = c->conn.mesh;
    uint32_t at = 0;
    while (at < c->made_count && c->made[at].id != f->id)
        at++;
    if (at == c->made_count)
        mesh_fail(mesh, "an answer came with the id %u, which nobody waits for", f->id);
    struct made made = c->made[at];
    unsigned long long token = made.call->token;
    if (f->has_token && f->token != made.call->token)
        mesh_fail(mesh, "call %016llx was answered with the answer of %016llx", token,
                  (unsigned long long)f->token);
    if (f->has_token && f->content.len != made.call->answer_bytes)
        mesh_fail(mesh, "call %016llx: %zu bytes of %u came back", token, f->content.len,
                  made.call->answer_bytes);
    if (f->has_token && mesh_verify(f->token, true, 0, f->content.ptr, f->content.len) >= 0)
        mesh_fail(mesh, "call %016llx: its answer holds bytes of another's", token);
    if (f->has_token && made.call->mode < BOLT_MODES && !made.call->backward &&
        ((f->wait == STATUS_ERROR) != (made.call->mode == BOLT_ERROR) ||
         f->app_error != (made.call->mode == BOLT_APP_ERROR)))
        mesh_fail(mesh, "call %016llx: its status changed on the way", token);
    if (!f->has_token && !f->reason[0])
        mesh_fail(mesh, "call %016llx was answered by nobody, with status %u", token, f->wait);
    memcpy(made.call->reason, f->reason, sizeof(f->reason));
    end_made(c, at, f->has_token ? MESH_GOOD : MESH_REFUSED);
    if (made.for_whom)
        answer(made.for_whom);
}

/* --- calls that we serve -------------------------------------------------------------------------------- */

static void served_free(struct served *s)
{
    sp_timer_stop(s->conn->conn.loop, &s->timer);
    sp_list_remove(&s->link);
    sp_mem_free(s);
}

static void bolt_close(struct bolt_conn *c, enum mesh_outcome outcome, bool reset)
{
    struct served *s;
    for (uint32_t i = 0; i < c->made_count; i++)
        c->made[i].for_whom = NULL;
    SP_LIST_EACH(&c->served, s, next, struct served, link)
        served_free(s);
    end_all(c, outcome);
    sp_timer_stop(c->conn.loop, &c->timer);
    app_conn_close(&c->conn, reset);
}

static void put_answer(struct bolt_conn *c, const struct mesh_call *call, uint32_t id, uint32_t version)
{
    char text[40], block_bytes[BLOCK_MAX];
    struct sp_buf block;
    bool error = call->mode == BOLT_ERROR && !call->backward;
    struct frame f = { .version = version,
                       .type = TYPE_RESPONSE,
                       .cmd = CMD_RESPONSE,
                       .id = id,
                       .wait = error ? STATUS_ERROR : 0 };
    sp_buf_init_fixed(&block, block_bytes, sizeof(block_bytes));
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)call->token);
    put_pair(&block, "x-token", text);
    if (call->mode == BOLT_APP_ERROR && !call->backward)
        put_pair(&block, "sofa_head_response_error", "true");
    f.block = sp_buf_str(&block);
    put_frame(&c->conn.out, &f, "com.alipay.sofa.rpc.core.response.SofaResponse", call->token,
              call->answer_bytes);
}

static void answer(struct served *s)
{
    struct bolt_conn *c = s->conn;
    struct mesh_call *call = s->call;
    if (!s->call->oneway && !c->reset_sent) { /* nothing behind half a frame */
        call->answered++;
        put_answer(c, call, s->id, s->version);
        if (call->mode == BOLT_TWICE && !call->backward)
            put_answer(c, call, s->id, s->version);
        if (call->mode == BOLT_PLUS && !call->backward)
            put_answer(c, call, s->id ^ 0x40000000u, s->version);
    }
    served_free(s);
    app_conn_flush(&c->conn);
}

static void on_late(struct sp_timer *timer)
{
    answer(SP_CONTAINER(timer, struct served, timer));
}

static void call_back(struct served *s)
{
    struct mesh *mesh = s->conn->conn.mesh;
    if (s->conn->made_count == CALLS || s->conn->reset_sent) {
        answer(s);
        return;
    }
    make_call(s->conn, s->version, 0, false, (uint32_t)mesh_below(mesh, 3000),
              (uint32_t)mesh_below(mesh, 3000), s);
    app_conn_flush(&s->conn->conn);
}

static void put_goaway(struct bolt_conn *c, uint32_t version)
{
    struct frame f = {
        .version = version == 3 ? 2 : version, .type = TYPE_ONEWAY, .cmd = CMD_GOAWAY, .id = 1
    };
    put_frame(&c->conn.out, &f, "", 0, 0);
}

/* Do as the request says. */
static void act(struct served *s)
{
    struct bolt_conn *c = s->conn;
    uint32_t mode = s->call->backward || s->call->oneway ? BOLT_NOW : s->call->mode;
    switch ((enum bolt_mode)mode) {
    case BOLT_LATE:
        sp_timer_set(c->conn.loop, &s->timer, mesh_below(c->conn.mesh, LATE_MS) * SP_NS_PER_MS);
        return;
    case BOLT_CALL_BACK: call_back(s); return;
    case BOLT_SILENT: served_free(s); return;
    case BOLT_RESET: bolt_close(c, MESH_CUT, true); return;
    case BOLT_FIN: bolt_close(c, MESH_CUT, false); return;
    case BOLT_GARBAGE:
        if (c->reset_sent)
            return;
        sp_buf_add_c(&c->conn.out, "\x01\x00\x00\x09this is no frame");
        app_conn_flush(&c->conn);
        return;
    case BOLT_HALF: {
        if (c->reset_sent)
            return;
        size_t before = c->conn.out.len;
        put_answer(c, s->call, s->id, s->version);
        c->conn.out.len -= (c->conn.out.len - before) / 2;
        s->call->answered++;
        c->reset_sent = true;
        served_free(s);
        app_conn_flush(&c->conn);
        return;
    }
    case BOLT_GOAWAY: put_goaway(c, s->version); break;
    case BOLT_NOW:
    case BOLT_ERROR:
    case BOLT_APP_ERROR:
    case BOLT_PLUS:
    case BOLT_TWICE:
    case BOLT_MODES: break;
    }
    answer(s);
}

static void on_request(struct bolt_conn *c, const struct frame *f)
{
    struct mesh *mesh = c->conn.mesh;
    struct mesh_call *call = f->has_token ? mesh_call_find(mesh, f->token) : NULL;
    c->app->requests++;
    if (!call)
        mesh_fail(mesh, "a request came that nobody made");
    unsigned long long token = call->token;
    if (call->backward != c->is_client)
        mesh_fail(mesh, "call %016llx came to the wrong side", token);
    mesh_call_seen(mesh, call);
    if (f->want != call->answer_bytes || f->mode != call->mode || (f->type == TYPE_ONEWAY) != call->oneway)
        mesh_fail(mesh, "call %016llx: its head changed on the way", token);
    if (f->content.len != call->ask_bytes ||
        mesh_verify(f->token, false, 0, f->content.ptr, f->content.len) >= 0)
        mesh_fail(mesh, "call %016llx: its request holds bytes of another's", token);
    struct served *s = sp_mem_zalloc(sizeof(*s));
    SP_ASSERT(s);
    *s = (struct served){
        .conn = c, .call = call, .id = f->id, .version = (uint8_t)f->version, .timer.on_fire = on_late
    };
    sp_list_push(&c->served, &s->link);
    act(s);
}

/* --- connections ---------------------------------------------------------------------------------------- */

static void on_heartbeat(struct bolt_conn *c, const struct frame *f)
{
    struct frame ack = { .version = f->version, .type = TYPE_RESPONSE, .cmd = CMD_HEARTBEAT, .id = f->id };
    if (f->type == TYPE_RESPONSE) {
        c->app->acks++;
        return;
    }
    if (c->conn.fin_wanted || c->reset_sent || c->app->deaf)
        return; /* all that we have said will be all */
    put_frame(&c->conn.out, &ack, "", 0, 0);
    app_conn_flush(&c->conn);
}

static void begin_calls(struct bolt_conn *c);

static void on_input(struct app_conn *conn)
{
    struct bolt_conn *c = conn_of(conn);
    struct frame f;
    ssize_t used;
    while (!conn->closing && (used = read_frame(app_conn_in(conn), &f)) != 0) {
        if (used < 0)
            mesh_fail(conn->mesh, "what came is no frame, or its checksum is wrong");
        if (f.cmd == CMD_HEARTBEAT)
            on_heartbeat(c, &f);
        else if (f.cmd == CMD_GOAWAY)
            c->no_more = true;
        else if (f.type == TYPE_RESPONSE)
            on_response(c, &f);
        else
            on_request(c, &f);
        if (!conn->closing) /* else its buffers are given back later, and nothing more is read */
            app_conn_use(conn, (size_t)used);
    }
    if (!conn->closing && c->is_client && !sp_timer_is_set(&c->timer))
        begin_calls(c);
}

static void on_sent(struct app_conn *conn)
{
    struct bolt_conn *c = conn_of(conn);
    if (c->reset_sent)
        bolt_close(c, MESH_CUT, true);
    else if (c->is_client && c->no_more && c->made_count == 0 && !c->gives_up)
        bolt_close(c, MESH_CUT, false); /* the last was one-way, and has left */
}

static void on_end(struct app_conn *conn, sp_err err)
{
    struct bolt_conn *c = conn_of(conn);
    bool waits = err == SP_E_CLOSED && !c->is_client && !sp_list_is_empty(&c->served);
    if (!waits) /* else answers are still ours to give */
        bolt_close(c, MESH_CUT, false);
}

static void more_conns(struct bolt_app *app);

static void on_closed(struct app_conn *conn)
{
    struct bolt_conn *c = conn_of(conn);
    struct bolt_app *app = c->app;
    bool client = c->is_client;
    sp_list_remove(&c->link);
    sp_mem_free(c);
    app->conn_count--;
    if (client && app->left && !app->stopped && !sp_timer_is_set(&app->again))
        sp_timer_set(app->loop, &app->again, mesh_below(app->mesh, 5 * SP_NS_PER_MS));
}

static void on_open(struct app_conn *conn, sp_err err)
{
    struct bolt_conn *c = conn_of(conn);
    if (err)
        bolt_close(c, MESH_CUT, false);
    else
        begin_calls(c);
}

static const struct app_ops ops = { on_open, on_input, on_end, on_sent, on_closed };

static struct bolt_conn *conn_new(struct bolt_app *app, bool is_client)
{
    struct bolt_conn *c = sp_mem_zalloc(sizeof(*c));
    SP_ASSERT(c);
    c->app = app;
    c->is_client = is_client;
    sp_list_init(&c->served);
    c->next_id = 1;
    sp_list_push(&app->conns, &c->link);
    app->conn_count++;
    return c;
}

/* --- the client ----------------------------------------------------------------------------------------- */

static void begin_one(struct bolt_conn *c)
{
    struct bolt_app *app = c->app;
    struct mesh *mesh = app->mesh;
    const struct bolt_plan *plan = &app->plan;
    bool big = mesh_chance(mesh, plan->big), one_way = mesh_chance(mesh, plan->one_way);
    uint32_t ask = (uint32_t)mesh_below(mesh, big ? plan->ask_most + 1 : 2000);
    uint32_t back = (uint32_t)mesh_below(mesh, big ? plan->answer_most + 1 : 2000);
    if (plan->exact) {
        ask = plan->ask_most;
        back = plan->answer_most;
    }
    struct mesh_call *call = make_call(c, plan->version, (uint32_t)mesh_below(mesh, plan->modes), one_way,
                                       ask, back, NULL);
    app->left--;
    if (mesh_chance(mesh, plan->broken) && !one_way) { /* what is written last is spoilt */
        static const struct {
            uint32_t at;
            char byte;
        } spoilt[] = { { 0, 7 }, { 4, 9 } };
        size_t start = c->conn.out.len - c->last_frame;
        uint64_t which = mesh_below(mesh, SP_COUNTOF(spoilt));
        c->conn.out.ptr[start + spoilt[which].at] = spoilt[which].byte;
        call->broken = c->no_more = true;
    }
    if (one_way)
        mesh_call_end(mesh, call, MESH_GOOD); /* as far as anybody will ever know */
    else
        app->under_way++;
    if (mesh_chance(mesh, plan->heartbeats)) {
        struct frame f = {
            .version = SP_MIN(plan->version, 2u), .type = TYPE_REQUEST, .cmd = CMD_HEARTBEAT, .id = draw_id(c)
        };
        app->heartbeats++;
        put_frame(&c->conn.out, &f, "", 0, 0);
    }
    if (mesh_chance(mesh, plan->give_up)) {
        c->gives_up = c->no_more = true;
        sp_timer_set(c->conn.loop, &c->timer, mesh_below(mesh, 20 * SP_NS_PER_MS));
    }
}

static void begin_calls(struct bolt_conn *c)
{
    struct bolt_app *app = c->app;
    const struct bolt_plan *plan = &app->plan;
    while (!c->no_more && c->made_count < SP_MIN(plan->depth, (uint32_t)CALLS) && app->left &&
           !app->stopped) {
        begin_one(c);
        if (++c->begun == c->most)
            c->no_more = true;
        if (plan->think && mesh_chance(app->mesh, 300) && !c->gives_up) {
            sp_timer_set(c->conn.loop, &c->timer, mesh_below(app->mesh, plan->think));
            break;
        }
    }
    c->no_more |= app->left == 0;
    if (c->no_more && plan->half_close && c->made_count && !c->gives_up)
        app_conn_finish(&c->conn);
    app_conn_flush(&c->conn);
    if (!c->conn.closing && c->no_more && c->made_count == 0 && c->conn.out.len == 0 && !c->gives_up)
        bolt_close(c, MESH_CUT, false);
}

static void on_time(struct sp_timer *timer)
{
    struct bolt_conn *c = SP_CONTAINER(timer, struct bolt_conn, timer);
    if (c->gives_up)
        bolt_close(c, MESH_GIVEN_UP, mesh_chance(c->conn.mesh, 500));
    else
        begin_calls(c);
}

static void more_conns(struct bolt_app *app)
{
    while (app->conn_count < app->plan.conns && app->left && !app->stopped) {
        struct bolt_conn *c = conn_new(app, true);
        c->timer.on_fire = on_time;
        c->most = app->plan.calls_each ? 1 + (uint32_t)mesh_below(app->mesh, app->plan.calls_each)
                                       : UINT32_MAX;
        c->conn.read_pace = app->plan.read_pace;
        c->conn.write_pace = app->plan.write_pace;
        c->conn.crumb = app->plan.crumb;
        if (app_conn_connect(&c->conn, app->mesh, app->loop, &ops, &app->to)) {
            sp_list_remove(&c->link); /* no descriptor is left: later */
            sp_mem_free(c);
            app->conn_count--;
            sp_timer_set(app->loop, &app->again, 20 * SP_NS_PER_MS);
            return;
        }
    }
}

static void on_again(struct sp_timer *timer)
{
    more_conns(SP_CONTAINER(timer, struct bolt_app, again));
}

void bolt_client_start(struct bolt_app *app, struct mesh *mesh, struct sp_loop *loop,
                       const struct bolt_plan *plan)
{
    *app = (struct bolt_app){
        .mesh = mesh, .loop = loop, .plan = *plan, .to = app_addr(plan->to), .left = plan->calls
    };
    app->again.on_fire = on_again;
    sp_list_init(&app->conns);
    more_conns(app);
}

bool bolt_client_is_done(const struct bolt_app *app)
{
    return app->left == 0 && app->under_way == 0 && app->conn_count == 0;
}

/* --- the server ----------------------------------------------------------------------------------------- */

static void on_accept(struct app_server *server, int fd)
{
    struct bolt_app *app = SP_CONTAINER(server, struct bolt_app, server);
    struct bolt_conn *c = conn_new(app, false);
    c->conn.read_pace = app->read_pace;
    app_conn_accept(&c->conn, app->mesh, app->loop, &ops, fd);
}

void bolt_server_start(struct bolt_app *app, struct mesh *mesh, struct sp_loop *loop, const char *addr)
{
    *app = (struct bolt_app){ .mesh = mesh,
                              .loop = loop,
                              .server = { .mesh = mesh, .loop = loop, .on_accept = on_accept } };
    sp_list_init(&app->conns);
    app_server_listen(&app->server, addr);
}

void bolt_app_stop(struct bolt_app *app)
{
    struct bolt_conn *c;
    app->stopped = true;
    app->left = 0;
    sp_timer_stop(app->loop, &app->again);
    if (app->server.loop)
        app_server_close(&app->server);
    SP_LIST_EACH(&app->conns, c, next, struct bolt_conn, link)
        bolt_close(c, MESH_GIVEN_UP, false);
}
