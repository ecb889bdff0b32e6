/* upgrade_scenes: a small set of everything that moves, each at an instant at which much is under way.
 *
 *      http       idle connections on both sides, a request half read, an answer half sent, a refusal counted
 *      waiting    a call that waits for its line, with all of its request so far
 *      bolt       calls in both directions, one with a time-out, an answer in the middle of its frame
 *      websocket  a tunnel
 *      tcp        a relay of which one end is half closed, and more inside than the receiver takes
 *      proxied    a connection whose PROXY header is half read: its bytes wait undecoded
 *      doors      two workers' sockets in one worker
 *
 * Names of scenes and their order are those of files: a scene that is added has no golden records until they
 * are written anew. */
#include "unit/cmd/upgrade_scenes.h"

#define HEAD "Host: a\r\n"

enum { BIG = 3000, WINDOW = 1000, FLOOD = 5000 };

/* ---- HTTP/1.1 ---- */

static void begin_http(struct scene *s)
{
    s->kit = kit_usual(SP_PROTO_HTTP1, &s->door);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say(s->peers[0], "POST /up HTTP/1.1\r\n" HEAD "Content-Length: 10\r\n\r\nabcde");
    s->peers[1] = door_next(s->door);
    s->peers[2] = kit_call(s->kit, KIT_OUT);
    say(s->peers[2], "GET /down HTTP/1.1\r\n" HEAD "\r\n");
    s->peers[3] = door_next(s->door);
    hear_head(s->peers[3], "GET /down ");
    say(s->peers[3], "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    s->peers[4] = kit_call(s->kit, KIT_OUT);
    say(s->peers[4], "GET /idle HTTP/1.1\r\n" HEAD "\r\n");
    s->peers[5] = door_next(s->door);
    hear_head(s->peers[5], "GET /idle ");
    say(s->peers[5], "HTTP/1.1 204 None\r\n\r\n");
    hear_head(s->peers[4], "HTTP/1.1 204 ");
    s->peers[6] = kit_call(s->kit, KIT_OUT);
    say(s->peers[6], "GET nowhere HTTP/1.1\r\n\r\n");
    hear_head(s->peers[6], "HTTP/1.1 400 ");
    s->peers[7] = kit_call(s->kit, KIT_OUT); /* a head of which half is there */
    say(s->peers[7], "GET /late HTTP/1.1\r\nHo");
    kit_run(s->kit, 5);
}

static void finish_http(struct scene *s)
{
    hear_head(s->peers[1], "POST /up ");
    hear(s->peers[1], "abcde");
    say(s->peers[0], "fghij");
    hear(s->peers[1], "fghij");
    say(s->peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear_head(s->peers[0], "HTTP/1.1 200 ");
    hear(s->peers[0], "ok");
    hear_head(s->peers[2], "HTTP/1.1 200 ");
    hear(s->peers[2], "abc");
    say(s->peers[3], "def");
    hear(s->peers[2], "def");
    say(s->peers[7], "st: a\r\n\r\n");
    struct peer *server = NULL; /* one of the idle lines is used again */
    for (int i = 0; i < 200 && !server; i++) {
        for (int k = 1; k <= 5; k += 2)
            if (heard(s->peers[k]).len)
                server = s->peers[k];
        kit_run(s->kit, 1);
    }
    assert_non_null(server);
    hear_head(server, "GET /late ");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    hear_head(s->peers[7], "HTTP/1.1 200 ");
    assert_true(door_is_quiet(s->door, 5));
}

/* ---- a call without a line ---- */

static void begin_waiting(struct scene *s)
{
    s->kit = kit_usual(SP_PROTO_HTTP1, &s->door);
    kit_cluster(s->kit)->limits.connections = 1;
    kit_apply(s->kit);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say(s->peers[0], "GET /first HTTP/1.1\r\n" HEAD "\r\n");
    s->peers[1] = door_next(s->door);
    hear_head(s->peers[1], "GET /first ");
    s->peers[2] = kit_call(s->kit, KIT_OUT); /* there is no line for it */
    say(s->peers[2], "POST /a?b HTTP/1.1\r\n" HEAD "Content-Length: 6\r\nx-mine: yes\r\n\r\nabc");
    kit_run(s->kit, 5);
}

static void finish_waiting(struct scene *s)
{
    say(s->peers[2], "def");
    kit_run(s->kit, 5);
    assert_int_equal(heard(s->peers[1]).len, 0); /* it waits on, and nobody else came */
    assert_true(door_is_quiet(s->door, 5));
    say(s->peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    hear_head(s->peers[0], "HTTP/1.1 200 ");
    sp_str head = hear_head(s->peers[1], "POST /a?b HTTP/1.1\r\n");
    assert_true(sp_str_find_str(head, SP_STR("x-mine: yes\r\n")) < head.len);
    hear(s->peers[1], "abcdef");
    say(s->peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    hear(s->peers[2], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

/* ---- Bolt ---- */

static void big_answer(struct peer *server, size_t from, size_t to)
{
    char body[BIG];
    for (size_t i = 0; i < BIG; i++)
        body[i] = (char)('a' + i % 23);
    say_bytes(server, body + from, to - from);
}

static void begin_bolt(struct scene *s)
{
    static const struct ask one = { .id = 7, .body = "one", .timeout_ms = 9000 },
                            two = { .id = 8, .body = "two" }, three = { .id = 9, .body = "three" },
                            back = { .id = 5, .body = "back" };
    s->kit = kit_usual(SP_PROTO_BOLT, &s->door);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say_ask(s->peers[0], &one);
    s->peers[1] = door_next(s->door);
    s->ids[0] = hear_ask(s->peers[1], "one");
    say_ask(s->peers[0], &two);
    s->ids[1] = hear_ask(s->peers[1], "two");
    say_ask(s->peers[0], &three);
    s->ids[2] = hear_ask(s->peers[1], "three");
    say_ask(s->peers[1], &back);
    s->ids[3] = hear_ask(s->peers[0], "back");
    say_answer_head(s->peers[1], s->ids[1], BIG);
    big_answer(s->peers[1], 0, BIG / 2);
    kit_run(s->kit, 5);
}

static void finish_bolt(struct scene *s)
{
    struct frame frame;
    say_answer(s->peers[0], s->ids[3], "yes"); /* passes the frame that flows the other way */
    hear_answer(s->peers[1], 5, "yes");
    big_answer(s->peers[1], BIG / 2, BIG);
    hear_frame(s->peers[0], &frame);
    assert_int_equal(frame.id, 8);
    assert_int_equal(frame.body_bytes, BIG);
    for (size_t i = 0; i < BIG; i++)
        assert_int_equal(frame.body[i], 'a' + i % 23);
    frame_free(&frame);
    say_answer(s->peers[1], s->ids[2], "three's");
    say_answer(s->peers[1], s->ids[0], "one's");
    hear_answer(s->peers[0], 9, "three's");
    hear_answer(s->peers[0], 7, "one's");
}

/* ---- tunnels and raw bytes ---- */

static void begin_websocket(struct scene *s)
{
    s->kit = kit_usual(SP_PROTO_HTTP1, &s->door);
    mesh_chain(kit_listener(s->kit, SP_PROTO_HTTP1))->upgrade_websocket = true;
    kit_apply(s->kit);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say(s->peers[0], "GET /ws HTTP/1.1\r\n" HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    s->peers[1] = door_next(s->door);
    hear_head(s->peers[1], "GET /ws ");
    say(s->peers[1],
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
    hear_head(s->peers[0], "HTTP/1.1 101 ");
    hear(s->peers[0], "hello");
    say(s->peers[0], "from here");
    hear(s->peers[1], "from here");
}

static void finish_websocket(struct scene *s)
{
    say(s->peers[1], "from there");
    hear(s->peers[0], "from there");
    say_fin(s->peers[0]);
    hear_end(s->peers[1], SP_E_CLOSED);
    say(s->peers[1], "last words");
    say_fin(s->peers[1]);
    hear(s->peers[0], "last words");
    hear_end(s->peers[0], SP_E_CLOSED);
}

static void begin_tcp(struct scene *s)
{
    char flood[FLOOD];
    s->kit = kit_usual(SP_PROTO_TCP, &s->door);
    sp_sim_set_faults(s->kit->mesh->sim, &(struct sp_sim_faults){ .window_bytes = WINDOW });
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    s->peers[1] = door_next(s->door);
    say(s->peers[0], "up");
    hear(s->peers[1], "up");
    sp_sock_read(&s->peers[0]->conn.sock, false);
    memset(flood, 'f', sizeof(flood));
    say_bytes(s->peers[1], flood, sizeof(flood));
    kit_run(s->kit, 50); /* the caller takes nothing more: it stands in the relay and before it */
    say_fin(s->peers[0]);
    hear_end(s->peers[1], SP_E_CLOSED);
}

static void finish_tcp(struct scene *s)
{
    sp_sock_read(&s->peers[0]->conn.sock, true);
    hear_bytes(s->peers[0], FLOOD);
    say(s->peers[1], "still");
    hear(s->peers[0], "still");
    say_fin(s->peers[1]);
    hear_end(s->peers[0], SP_E_CLOSED);
}

static void begin_proxied(struct scene *s)
{
    s->kit = kit_usual(SP_PROTO_TCP, &s->door);
    kit_cluster(s->kit)->proxyproto = SP_PROXYPROTO_V1;
    kit_listener(s->kit, SP_PROTO_TCP)->proxy_protocol = true;
    kit_apply(s->kit);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say(s->peers[0], "PROXY TCP4 1.2.3.4 ");
    kit_run(s->kit, 5);
}

static void finish_proxied(struct scene *s)
{
    say(s->peers[0], "5.6.7.8 1000 2000\r\nfirst");
    struct peer *server = door_next(s->door);
    hear(server, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\nfirst");
    say(server, "heard");
    hear(s->peers[0], "heard");
}

/* ---- listening sockets ---- */

static void as_they_are(void *arg, struct sp_record_writer *writer)
{
    (void)arg, (void)writer;
}

/* The replacement takes no time: the records of the former build are of the instant at which it ends. */
static void begin_doors(struct scene *s)
{
    s->kit = kit_new(2);
    kit_cluster(s->kit);
    kit_listener(s->kit, SP_PROTO_HTTP1);
    kit_apply(s->kit);
    s->door = kit_door(s->kit, KIT_APP);
    s->kit->sidecar = mesh_upgrade_by(s->kit->sidecar, 1, as_they_are, NULL);
    s->kit->worker = &s->kit->sidecar->workers[0];
}

static void finish_doors(struct scene *s)
{
    for (int i = 0; i < SCENE_PEERS; i++) { /* some come by each of the two */
        s->peers[i] = kit_call(s->kit, KIT_OUT);
        say(s->peers[i], "GET / HTTP/1.1\r\n" HEAD "Connection: close\r\n\r\n");
    }
    for (int i = 0; i < SCENE_PEERS; i++) {
        struct peer *server = door_next(s->door);
        hear_head(server, "GET / ");
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < SCENE_PEERS; i++)
        hear_head(s->peers[i], "HTTP/1.1 200 ");
}

const struct scene_kind scenes[SCENES] = {
    { "http", begin_http, finish_http },    { "waiting", begin_waiting, finish_waiting },
    { "bolt", begin_bolt, finish_bolt },    { "websocket", begin_websocket, finish_websocket },
    { "tcp", begin_tcp, finish_tcp },       { "proxied", begin_proxied, finish_proxied },
    { "doors", begin_doors, finish_doors },
};

/* ---- what the former build may not know ---- */

void scene_begin_forwarded(struct scene *s)
{
    s->kit = kit_usual(SP_PROTO_HTTP1, &s->door);
    s->peers[0] = kit_call(s->kit, KIT_OUT);
    say(s->peers[0], "GET /a HTTP/1.1\r\n" HEAD "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n\r\n");
    s->peers[1] = door_next(s->door);
    hear_head(s->peers[1], "GET /a ");
}

void scene_finish_forwarded(struct scene *s)
{
    say(s->peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    hear_head(s->peers[0], "HTTP/1.1 200 ");
}
