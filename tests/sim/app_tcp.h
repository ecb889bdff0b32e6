/* app_tcp: a client and a server of a protocol that no sidecar knows: a line of text says what is asked,
 * bytes that follow from the token go both ways, and each side ends its direction when it has said all. One
 * call a connection. */
#ifndef SP_TESTS_SIM_APP_TCP_H
#define SP_TESTS_SIM_APP_TCP_H

#include "sim/app.h"

enum tcp_mode {
    TCP_AFTER, /* answers when the whole request has come */
    TCP_EARLY, /* answers at the first line, and reads on */
    TCP_LATE,  /* after up to 1 s */
    TCP_HONEST,
    TCP_RESET = TCP_HONEST,
    TCP_FIN, /* instead of an answer */
    TCP_RESET_IN_ANSWER,
    TCP_MODES
};

struct tcp_plan {
    const char *to;
    uint32_t calls, conns, ask_most, answer_most, modes, give_up;
    sp_ns read_pace, write_pace;
    uint32_t crumb;
    bool exact;   /* bodies of just that size */
    bool greeted; /* the server speaks first, and the client waits for that */
};

struct tcp_app {
    struct mesh *mesh;
    struct sp_loop *loop;
    struct sp_list conns; /* of tcp_conn.link */
    struct tcp_plan plan;
    sp_addr to;
    struct app_server server;
    struct sp_timer again;
    uint32_t conn_count, left, requests;
    sp_ns read_pace; /* of the server */
    bool greets, stopped;
};

void tcp_server_start(struct tcp_app *app, struct mesh *mesh, struct sp_loop *loop, const char *addr,
                      bool greets);
void tcp_client_start(struct tcp_app *app, struct mesh *mesh, struct sp_loop *loop,
                      const struct tcp_plan *plan);
bool tcp_client_is_done(const struct tcp_app *app);
void tcp_app_stop(struct tcp_app *app);

#endif
