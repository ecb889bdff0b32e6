/* app_http: a client and a server that speak HTTP/1.1 with code of their own, so that what they agree on is
 * what two strangers agree on, and not what our codec thinks of itself.
 *
 * A request says in its head who it is (x-token), what it wants back (x-want bytes) and how the server is to
 * behave (x-mode); bodies are bytes that follow from the token. So whoever reads one knows at once whose it
 * is. */
#ifndef SP_TESTS_SIM_APP_HTTP_H
#define SP_TESTS_SIM_APP_HTTP_H

#include "sim/app.h"

/* What the server does. Behind HTTP_HONEST an answer may not come whole. */
enum http_mode {
    HTTP_LENGTH,
    HTTP_CHUNKED,
    HTTP_TRAILERS, /* chunked, with trailers */
    HTTP_LATE,     /* after up to 2 s */
    HTTP_INTERIM,  /* 100 and 103 first */
    HTTP_ERROR,    /* a 500 of its own */
    HTTP_TRICKLE,  /* in crumbs */
    HTTP_LAST,     /* the connection ends behind the answer */
    HTTP_HONEST,
    HTTP_UNTIL_CLOSE = HTTP_HONEST, /* honest too, but a cut looks like its end to no one but the sidecar */
    HTTP_EARLY,                     /* answers at the head, and reads on */
    HTTP_EARLY_CLOSE,               /* answers at the head, and closes */
    HTTP_RESET,                     /* instead of an answer */
    HTTP_RESET_IN_ANSWER,
    HTTP_FIN,   /* instead of an answer */
    HTTP_SHORT, /* less than it has said, then FIN */
    HTTP_SILENT,
    HTTP_GARBAGE,     /* what is no answer */
    HTTP_CLOSE_AFTER, /* closes without having said so */
    HTTP_MODES
};

/* One direction of a connection, being read. */
struct http_in {
    bool response, no_body; /* no_body: answer to HEAD */
    uint8_t state;
    bool head_done, done, broken;
    /* of the head */
    char method[8], reason[40];
    uint32_t status, want, mode;
    uint64_t token;
    bool has_token, chunked, last, upgrade, expect, old;
    int64_t length;
    uint64_t left, body_bytes; /* of the piece; seen so far */
};

struct http_server {
    struct app_server base;
    struct sp_list conns; /* of http_sconn.link */
    sp_ns read_pace;
    uint32_t requests;
};
void http_server_start(struct http_server *server, struct mesh *mesh, struct sp_loop *loop, const char *addr);
/* Closes everything. The loop must still turn afterwards. */
void http_server_stop(struct http_server *server);

struct http_plan {
    const char *to;
    uint32_t calls;      /* all together */
    uint32_t conns;      /* at once */
    uint32_t depth;      /* requests on the way on one connection */
    uint32_t calls_each; /* of one connection, then another is opened; 0 = any number */
    uint32_t ask_most, answer_most;
    uint32_t modes;    /* drawn from the first so many */
    uint32_t give_up;  /* permille of calls that the client leaves in the middle */
    uint32_t upgrades; /* permille of calls that become a tunnel (WebSocket) */
    uint32_t old;      /* permille of calls in HTTP/1.0 */
    uint32_t expect;   /* permille of calls whose body waits for 100 (Continue) */
    uint32_t broken;   /* permille of calls whose request is none */
    bool exact;        /* bodies of just that size, POST with a length */
    bool half_close;   /* FIN behind the last request of a connection */
    sp_ns think;       /* up to this long between calls */
    sp_ns read_pace, write_pace;
    uint32_t crumb;
};

struct http_client {
    struct mesh *mesh;
    struct sp_loop *loop;
    struct http_plan plan;
    sp_addr to;
    struct sp_list conns; /* of http_cconn.link */
    struct sp_timer again;
    uint32_t conn_count, left, under_way, connect_failures;
    bool stopped;
};
void http_client_start(struct http_client *client, struct mesh *mesh, struct sp_loop *loop,
                       const struct http_plan *plan);
bool http_client_is_done(const struct http_client *client);
/* Leaves whatever is under way, begins nothing more. */
void http_client_stop(struct http_client *client);

#endif
