/* http: a small honest HTTP/1.1 server and client for our own doors: admin, the light SDK, pages. Never on an
 * application's call: no filters, no routes by host, whole requests in memory.
 *
 * A server stands on one loop and belongs to its thread. Its handlers are a table of paths; each gets a call:
 * one request and the answer to it. The request is whole when the handler is called. The answer is given
 *
 *    at once     sp_http_answer            a body that is there
 *    in pieces   sp_http_stream            a source that is asked for more whenever the client has room
 *    later       sp_http_on_gone, return   and one of the above, unless the client went away meanwhile
 *
 *      struct sp_http_server *server = sp_http_server_new(loop, &(struct sp_http_config){
 *          .routes = routes, .route_count = SP_COUNTOF(routes), .arg = door });
 *      sp_err err = sp_http_server_listen(server, &(struct sp_listen_config){ .addr = addr });
 *
 * What it does by itself: HEAD where GET is, 404, 405 with Allow, 413, 431, 100-continue, keep-alive,
 * pipelined requests one after the other, close on what breaks the grammar, limits on connections and on
 * slow peers. */
#ifndef SP_RPC_HTTP_H
#define SP_RPC_HTTP_H

#include "base/addr.h"
#include "base/buf.h"
#include "io/loop.h"
#include "wire/call.h"

struct sp_http_call;
struct sp_http_server;
struct sp_http_client;
struct sp_listen_config;

struct sp_http_route {
    const char *path;    /* compared byte for byte; what ends in "*" takes all that begin so */
    const char *methods; /* as Allow says them: "GET", "GET, POST"; HEAD goes with GET */
    void (*handle)(void *arg, struct sp_http_call *call);
};

/* Lives until the answer is given or on_gone. */
struct sp_http_request {
    sp_str method, path; /* path without the query */
    sp_str query;        /* behind the first '?'; ptr NULL when there is none */
    sp_str host;         /* as it was sent, with its port; empty when it was not (HTTP/1.0) */
    sp_str body;
    const struct sp_head *head;
    sp_addr peer;      /* TCP */
    bool is_unix;      /* came by a Unix socket */
    uint32_t peer_uid; /* Unix: who connected; UINT32_MAX when the system does not say */
    const struct sp_http_route *route;
};

struct sp_http_config {
    const struct sp_http_route *routes; /* the first that fits is taken */
    uint32_t route_count;
    void *arg; /* of guard and handlers */
    /* Asked before the body is read (request->body is empty). 0 lets it pass, else the status to refuse
     * with and its words. May be NULL. */
    uint16_t (*guard)(void *arg, const struct sp_http_request *request, const char **ret_text);
    uint32_t body_bytes;  /* of a request; 0 = 1 MiB */
    uint32_t connections; /* of each address; 0 = 64. Beyond it the longest idle one goes, else the new one */
    sp_ns request_ns;     /* a request must have come wholly, from its first byte; 0 = 10 s */
    sp_ns idle_ns;        /* between requests; 0 = 60 s */
    sp_ns stall_ns;       /* the client takes nothing of the answer; 0 = 30 s */
};

struct sp_http_server_view {
    uint64_t connections, accepted, refused; /* refused: at the limit of connections */
    uint64_t requests, too_slow, broken;
};

/* `config` is copied; what it points to is borrowed. NULL when memory is out. */
struct sp_http_server *sp_http_server_new(struct sp_loop *loop, const struct sp_http_config *config);
/* Any number of addresses, up to SP_HTTP_ADDRESSES: then SP_E_LIMIT. */
sp_err sp_http_server_listen(struct sp_http_server *server, const struct sp_listen_config *where) SP_MUST_USE;
/* The same with a listening descriptor that a predecessor handed over; on failure it stays the caller's. */
sp_err sp_http_server_adopt(struct sp_http_server *server, int fd) SP_MUST_USE;
/* The i-th listening descriptor, borrowed; -1 beyond the last. */
int sp_http_server_fd(const struct sp_http_server *server, uint32_t i);
/* The i-th address; SP_E_MISSING beyond the last. */
sp_err sp_http_server_local(const struct sp_http_server *server, uint32_t i, sp_addr *ret_addr) SP_MUST_USE;
struct sp_http_server_view sp_http_server_view(const struct sp_http_server *server);
/* Cuts everything; each open call gets its on_gone or its source's on_end. Its memory goes when the sockets
 * are closed, at the end of the turn: turn the loop once before freeing it. */
void sp_http_server_free(struct sp_http_server *server);

enum { SP_HTTP_ADDRESSES = 4 };

/* --- a call
 * ---------------------------------------------------------------------------------------------- */

const struct sp_http_request *sp_http_request(const struct sp_http_call *call);
/* A parameter of the query, percent-decoded (a '+' stays one); ptr NULL when it is absent, empty when it
 * has no value. Lives as the request does. */
sp_str sp_http_param(struct sp_http_call *call, const char *name);
/* For an answer that comes later: `fn` is called once when the client is gone (or the server goes) before
 * that; then, and from the answer on, the call must not be touched. */
void sp_http_on_gone(struct sp_http_call *call, void (*fn)(void *arg), void *arg);

/* A header of the answer, before it is given; copied. Beyond SP_HTTP_HEADERS it is dropped. */
void sp_http_header(struct sp_http_call *call, const char *name, sp_str value);
/* The whole answer; bytes are copied. `type` is a literal; NULL: text/plain in UTF-8. */
void sp_http_answer(struct sp_http_call *call, uint16_t status, const char *type, sp_str body);
/* The same without copying: the buf's memory goes along, the buf is empty afterwards. A failed buf makes a
 * 500. */
void sp_http_answer_buf(struct sp_http_call *call, uint16_t status, const char *type, struct sp_buf *body);

enum sp_http_next {
    SP_HTTP_MORE, /* ask again when there is room */
    SP_HTTP_WAIT, /* nothing now: sp_http_wake says when */
    SP_HTTP_END,
};

struct sp_http_source {
    /* Append the next piece, some ten KiB; `out` is empty. A failed buf ends the answer in the middle,
     * which the client can tell from the missing end. */
    enum sp_http_next (*more)(struct sp_http_source *source, struct sp_buf *out);
    /* Once: everything was queued, or the client went away. The source's storage is its owner's again. */
    void (*on_end)(struct sp_http_source *source, bool whole);
};

/* The answer in pieces: chunked, or until close for a client of HTTP/1.0. HEAD: `more` is never called. */
void sp_http_stream(struct sp_http_call *call, uint16_t status, const char *type,
                    struct sp_http_source *source);
void sp_http_wake(struct sp_http_call *call);

enum { SP_HTTP_HEADERS = 16 };

/* --- the client
 * ------------------------------------------------------------------------------------------ */

struct sp_http_ask {
    sp_addr to;
    const char *method; /* NULL: GET, or POST when there is a body */
    sp_str host;        /* empty: "localhost" */
    sp_str path;
    const char *type; /* of the body */
    sp_str body;
    sp_ns timeout_ns;      /* for everything; 0 = 10 s */
    uint32_t answer_bytes; /* most; 0 = 16 MiB */
};

struct sp_http_reply {
    sp_err err; /* not 0: there is no answer, `why` says how it failed */
    const char *why;
    uint32_t status;
    const struct sp_head *head;
    sp_str body;
};

/* A connection for each question, on `loop`. */
struct sp_http_client *sp_http_client_new(struct sp_loop *loop);
/* Open questions are dropped without a word; as with the server, turn the loop once afterwards. */
void sp_http_client_free(struct sp_http_client *client);
/* `fn` is called once, later, with what is valid during the call; not when this fails. */
sp_err sp_http_client_send(struct sp_http_client *client, const struct sp_http_ask *ask,
                           void (*fn)(void *arg, const struct sp_http_reply *reply), void *arg) SP_MUST_USE;

#endif
