/* demo_load: calls at a steady rate, over a few connections that are kept.
 *
 * One timer ticks ten times a second-fraction; each tick hands its share of calls to connections that are
 * free. A connection has one call at a time; when all are busy the call waits for the next tick, so that a
 * slow mesh shows as a lower rate and not as a heap. A connection that breaks is opened again with the next
 * call. */
#include "cmd/sampan/demo.h"

#include <string.h>

#include "base/mem.h"
#include "io/timer.h"
#include "link/conn.h"
#include "wire/h1/h1.h"

enum { CONNECTIONS = 8 };

#define TICK_NS (10 * SP_NS_PER_MS)

struct seat {
    struct sp_conn conn;
    struct demo_load *load;
    bool open, busy, dying;
};

struct demo_load {
    struct sp_loop *loop;
    struct sp_link link;
    struct sp_timer timer;
    sp_addr to;
    uint32_t rate;
    sp_ns began_ns;
    uint64_t due; /* calls that should have been sent since began_ns */
    struct demo_load_view view;
    struct seat seats[CONNECTIONS];
};

static struct seat *seat_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct seat, conn);
}

static void drop(struct seat *seat)
{
    if (seat->busy)
        seat->load->view.failed++;
    seat->busy = false;
    seat->dying = true;
    sp_conn_close(&seat->conn, true);
}

static void send_call(struct seat *seat)
{
    static const char request[] = "GET /order HTTP/1.1\r\nhost: front\r\nuser-agent: sampan-demo\r\n\r\n";
    struct sp_head asked = { .kind = SP_MSG_REQUEST, .method = SP_STR("GET"), .path = SP_STR("/order") };
    seat->busy = true;
    seat->load->view.sent++;
    sp_h1_codec.asked(&seat->conn.codec_state, &asked);
    sp_conn_queue(&seat->conn, (struct sp_view){ NULL, request, sizeof(request) - 1 });
}

static void on_connected(struct sp_conn *conn, sp_err err)
{
    struct seat *seat = seat_of(conn);
    if (err)
        drop(seat);
}

static void on_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    struct seat *seat = seat_of(conn);
    (void)slab;
    if (ev->kind == SP_EVENT_HEAD && ev->head->kind == SP_MSG_RESPONSE && ev->head->status >= 500)
        seat->load->view.failed++;
    if (ev->end && seat->busy) {
        seat->busy = false;
        seat->load->view.answered++;
    }
}

static void on_broken(struct sp_conn *conn, struct sp_event *ev)
{
    (void)ev;
    drop(seat_of(conn));
}

static void on_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    (void)err, (void)mid_message;
    drop(seat_of(conn));
}

static void on_closed(struct sp_conn *conn)
{
    struct seat *seat = seat_of(conn);
    seat->open = seat->dying = false;
}

static const struct sp_conn_ops ops = { .on_connected = on_connected,
                                        .on_event = on_event,
                                        .on_broken = on_broken,
                                        .on_end = on_end,
                                        .on_closed = on_closed };

static bool give_to(struct seat *seat)
{
    struct demo_load *load = seat->load;
    if (seat->busy || seat->dying)
        return false;
    if (!seat->open) {
        if (sp_conn_connect(&seat->conn, &load->link, &ops, &load->to, NULL, 0))
            return false;
        seat->open = true;
        sp_conn_speak(&seat->conn, &sp_h1_codec, SP_ROLE_CLIENT, NULL);
    }
    send_call(seat);
    return true;
}

static void on_tick(struct sp_timer *timer)
{
    struct demo_load *load = SP_CONTAINER(timer, struct demo_load, timer);
    uint64_t due = (sp_loop_now(load->loop) - load->began_ns) * load->rate / SP_NS_PER_S;
    uint64_t late = due - load->due;
    for (unsigned i = 0; i < CONNECTIONS && late > 0; i++)
        late -= give_to(&load->seats[i]);
    load->due = due; /* what found no seat is not made up for */
    sp_timer_set(load->loop, timer, TICK_NS);
}

struct demo_load *demo_load_start(struct sp_loop *loop, uint16_t port, uint32_t calls_per_second)
{
    struct demo_load *load = sp_mem_zalloc(sizeof(*load));
    if (!load)
        return NULL;
    load->loop = loop;
    load->rate = calls_per_second;
    load->began_ns = sp_loop_now(loop);
    load->timer.on_fire = on_tick;
    if (sp_link_init(&load->link, loop) || sp_addr_parse_ip(SP_STR("127.0.0.1"), port, &load->to)) {
        sp_mem_free(load);
        return NULL;
    }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        load->seats[i].load = load;
    sp_timer_set(loop, &load->timer, TICK_NS);
    return load;
}

struct demo_load_view demo_load_view(const struct demo_load *load)
{
    return load->view;
}

void demo_load_rest(struct demo_load *load)
{
    sp_timer_stop(load->loop, &load->timer);
}

void demo_load_stop(struct demo_load *load)
{
    demo_load_rest(load);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        if (load->seats[i].open && !load->seats[i].dying)
            sp_conn_close(&load->seats[i].conn, true);
    sp_loop_turn(load->loop, 0);
    sp_link_deinit(&load->link);
    sp_mem_free(load);
}
