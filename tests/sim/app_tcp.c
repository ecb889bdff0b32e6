/* app_tcp: what is said, both ways:
 *
 *     client:  "<token> <want> <mode> <ask>\n"  ask bytes   FIN
 *     server:  ["hello\n"]  "<token>\n"  want bytes         FIN
 *
 * Nothing in between knows where a message ends; so what is lost or added shows in the count of bytes. */
#include "sim/app_tcp.h"

#include <stdio.h>

#include "base/mem.h"

#define GREETING SP_STR("hello\n")

struct tcp_conn {
    struct app_conn conn;
    struct sp_list link;
    struct tcp_app *app;
    struct mesh_call *call;
    struct sp_timer timer;
    uint64_t got; /* body bytes */
    bool is_client, greeted, has_line, answered, reset_sent;
};

static struct tcp_conn *conn_of(struct app_conn *conn)
{
    return SP_CONTAINER(conn, struct tcp_conn, conn);
}

static void tcp_close(struct tcp_conn *c, enum mesh_outcome outcome, bool reset)
{
    if (c->is_client && c->call && c->call->outcome == MESH_OPEN)
        mesh_call_end(c->conn.mesh, c->call, outcome);
    sp_timer_stop(c->conn.loop, &c->timer);
    app_conn_close(&c->conn, reset);
}

static void put_body(struct tcp_conn *c, bool answer, size_t len)
{
    char *room = sp_buf_room(&c->conn.out, len + 1);
    SP_ASSERT(room);
    mesh_fill(c->call->token, answer, 0, room, len);
    c->conn.out.len += len;
}

/* --- the server ----------------------------------------------------------------------------------------- */

static void answer(struct tcp_conn *c)
{
    struct mesh_call *call = c->call;
    size_t len = call->answer_bytes;
    c->answered = true;
    call->answered++;
    sp_buf_printf(&c->conn.out, "%016llx\n", (unsigned long long)call->token);
    if (call->mode == TCP_RESET_IN_ANSWER)
        len /= 2;
    put_body(c, true, len);
    c->reset_sent = call->mode == TCP_RESET_IN_ANSWER;
    if (c->reset_sent)
        app_conn_flush(&c->conn);
    else
        app_conn_finish(&c->conn);
}

static void act(struct tcp_conn *c)
{
    if (c->answered)
        return;
    switch ((enum tcp_mode)c->call->mode) {
    case TCP_AFTER:
    case TCP_EARLY:
    case TCP_RESET_IN_ANSWER: answer(c); return;
    case TCP_LATE: sp_timer_set(c->conn.loop, &c->timer, mesh_below(c->conn.mesh, SP_NS_PER_S)); return;
    case TCP_RESET: tcp_close(c, MESH_CUT, true); return;
    case TCP_FIN: tcp_close(c, MESH_CUT, false); return;
    case TCP_MODES: return;
    }
}

static void on_time(struct sp_timer *timer)
{
    struct tcp_conn *c = SP_CONTAINER(timer, struct tcp_conn, timer);
    if (c->is_client)
        tcp_close(c, MESH_GIVEN_UP, mesh_chance(c->conn.mesh, 500));
    else
        answer(c);
}

static void read_request_line(struct tcp_conn *c, sp_str line)
{
    struct mesh *mesh = c->conn.mesh;
    uint64_t word[4] = { 0 };
    for (int i = 0; i < 4; i++) {
        sp_str text = sp_str_cut(&line, ' ');
        sp_err err = i == 0 ? sp_str_hex_to_u64(text, &word[i]) : sp_str_to_u64(text, &word[i]);
        if (err)
            mesh_fail(mesh, "a server got a first line that is none: %.*s", SP_STR_ARG(text));
    }
    c->app->requests++;
    c->call = mesh_call_find(mesh, word[0]);
    if (!c->call)
        mesh_fail(mesh, "a server got a request that nobody made");
    mesh_call_seen(mesh, c->call);
    if (word[1] != c->call->answer_bytes || word[2] != c->call->mode || word[3] != c->call->ask_bytes)
        mesh_fail(mesh, "call %016llx: its line changed on the way", (unsigned long long)word[0]);
}

/* --- both ----------------------------------------------------------------------------------------------- */

static void read_answer_line(struct tcp_conn *c, sp_str line)
{
    uint64_t token;
    if (sp_str_hex_to_u64(line, &token) || token != c->call->token)
        mesh_fail(c->conn.mesh, "call %016llx was answered with %.*s", (unsigned long long)c->call->token,
                  SP_STR_ARG(line));
}

/* The line at the front. False: it is not all there. */
static bool read_line(struct tcp_conn *c)
{
    sp_str in = app_conn_in(&c->conn);
    size_t end = sp_str_find(in, '\n');
    if (end == in.len)
        return false;
    sp_str line = sp_str_upto(in, end);
    if (c->is_client && c->app->plan.greeted && !c->greeted) {
        if (!sp_str_eq(line, sp_str_upto(GREETING, GREETING.len - 1)))
            mesh_fail(c->conn.mesh, "the greeting is %.*s", SP_STR_ARG(line));
        c->greeted = true;
    } else {
        c->has_line = true;
        if (c->is_client)
            read_answer_line(c, line);
        else
            read_request_line(c, line);
    }
    app_conn_use(&c->conn, end + 1);
    return true;
}

static void send_request(struct tcp_conn *c);

static void on_input(struct app_conn *conn)
{
    struct tcp_conn *c = conn_of(conn);
    bool had_greeting = c->greeted;
    while (!c->has_line)
        if (!read_line(c))
            break;
    if (c->greeted && !had_greeting)
        send_request(c);
    if (!c->has_line)
        return;
    sp_str in = app_conn_in(conn);
    if (mesh_verify(c->call->token, c->is_client, c->got, in.ptr, in.len) >= 0)
        mesh_fail(conn->mesh, "call %016llx: bytes of another's", (unsigned long long)c->call->token);
    c->got += in.len;
    app_conn_use(conn, in.len);
    uint64_t all = c->is_client ? c->call->answer_bytes : c->call->ask_bytes;
    if (c->got > all)
        mesh_fail(conn->mesh, "call %016llx: %llu bytes of %llu came", (unsigned long long)c->call->token,
                  (unsigned long long)c->got, (unsigned long long)all);
    if (!c->is_client && (c->got == all || c->call->mode == TCP_EARLY))
        act(c);
}

static void on_sent(struct app_conn *conn)
{
    struct tcp_conn *c = conn_of(conn);
    if (c->reset_sent)
        tcp_close(c, MESH_CUT, true);
}

static void on_end(struct app_conn *conn, sp_err err)
{
    struct tcp_conn *c = conn_of(conn);
    if (!c->is_client) {
        bool waits = err == SP_E_CLOSED && c->call && c->got == c->call->ask_bytes && !conn->fin_sent;
        if (!waits) /* else the answer is still ours to give */
            tcp_close(c, MESH_CUT, false);
        return;
    }
    bool good = err == SP_E_CLOSED && c->has_line && c->got == c->call->answer_bytes;
    tcp_close(c, good ? MESH_GOOD : MESH_CUT, false);
}

static void on_closed(struct app_conn *conn)
{
    struct tcp_conn *c = conn_of(conn);
    struct tcp_app *app = c->app;
    bool client = c->is_client;
    sp_list_remove(&c->link);
    sp_mem_free(c);
    app->conn_count--;
    if (client && app->left && !app->stopped && !sp_timer_is_set(&app->again))
        sp_timer_set(app->loop, &app->again, mesh_below(app->mesh, 5 * SP_NS_PER_MS));
}

static void on_open(struct app_conn *conn, sp_err err)
{
    struct tcp_conn *c = conn_of(conn);
    if (err)
        tcp_close(c, MESH_CUT, false);
    else if (!c->app->plan.greeted)
        send_request(c);
}

static const struct app_ops ops = { on_open, on_input, on_end, on_sent, on_closed };

static struct tcp_conn *conn_new(struct tcp_app *app, bool is_client)
{
    struct tcp_conn *c = sp_mem_zalloc(sizeof(*c));
    SP_ASSERT(c);
    c->app = app;
    c->is_client = is_client;
    c->timer.on_fire = on_time;
    sp_list_push(&app->conns, &c->link);
    app->conn_count++;
    return c;
}

/* --- the client ----------------------------------------------------------------------------------------- */

static void send_request(struct tcp_conn *c)
{
    struct mesh *mesh = c->conn.mesh;
    const struct tcp_plan *plan = &c->app->plan;
    struct mesh_call *call = c->call = mesh_call_begin(mesh);
    call->ask_bytes = (uint32_t)mesh_below(mesh, plan->ask_most + 1);
    call->answer_bytes = (uint32_t)mesh_below(mesh, plan->answer_most + 1);
    if (plan->exact) {
        call->ask_bytes = plan->ask_most;
        call->answer_bytes = plan->answer_most;
    }
    call->mode = (uint32_t)mesh_below(mesh, plan->modes);
    sp_buf_printf(&c->conn.out, "%016llx %u %u %u\n", (unsigned long long)call->token, call->answer_bytes,
                  call->mode, call->ask_bytes);
    put_body(c, false, call->ask_bytes);
    if (mesh_chance(mesh, plan->give_up))
        sp_timer_set(c->conn.loop, &c->timer, mesh_below(mesh, 20 * SP_NS_PER_MS));
    if (mesh_chance(mesh, 500))
        app_conn_finish(&c->conn);
    else
        app_conn_flush(&c->conn);
}

static void more_conns(struct tcp_app *app)
{
    while (app->conn_count < app->plan.conns && app->left && !app->stopped) {
        struct tcp_conn *c = conn_new(app, true);
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
        app->left--;
    }
}

static void on_again(struct sp_timer *timer)
{
    more_conns(SP_CONTAINER(timer, struct tcp_app, again));
}

void tcp_client_start(struct tcp_app *app, struct mesh *mesh, struct sp_loop *loop,
                      const struct tcp_plan *plan)
{
    *app = (struct tcp_app){
        .mesh = mesh, .loop = loop, .plan = *plan, .to = app_addr(plan->to), .left = plan->calls
    };
    app->again.on_fire = on_again;
    sp_list_init(&app->conns);
    more_conns(app);
}

bool tcp_client_is_done(const struct tcp_app *app)
{
    return app->left == 0 && app->conn_count == 0;
}

/* --- the server's door ---------------------------------------------------------------------------------- */

static void on_accept(struct app_server *server, int fd)
{
    struct tcp_app *app = SP_CONTAINER(server, struct tcp_app, server);
    struct tcp_conn *c = conn_new(app, false);
    c->conn.read_pace = app->read_pace;
    app_conn_accept(&c->conn, app->mesh, app->loop, &ops, fd);
    if (!app->greets)
        return;
    sp_buf_add_str(&c->conn.out, GREETING);
    app_conn_flush(&c->conn);
}

void tcp_server_start(struct tcp_app *app, struct mesh *mesh, struct sp_loop *loop, const char *addr,
                      bool greets)
{
    *app = (struct tcp_app){ .mesh = mesh,
                             .loop = loop,
                             .greets = greets,
                             .server = { .mesh = mesh, .loop = loop, .on_accept = on_accept } };
    sp_list_init(&app->conns);
    app_server_listen(&app->server, addr);
}

void tcp_app_stop(struct tcp_app *app)
{
    struct tcp_conn *c;
    app->stopped = true;
    app->left = 0;
    sp_timer_stop(app->loop, &app->again);
    if (app->server.loop)
        app_server_close(&app->server);
    SP_LIST_EACH(&app->conns, c, next, struct tcp_conn, link)
        tcp_close(c, MESH_GIVEN_UP, false);
}
