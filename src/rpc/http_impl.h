/* http_impl: what server.c and answer.c share: a connection and the one call that is on it. */
#ifndef SP_RPC_HTTP_IMPL_H
#define SP_RPC_HTTP_IMPL_H

#include "base/arena.h"
#include "io/sock.h"
#include "io/timer.h"
#include "link/conn.h"
#include "rpc/http.h"

/*      IDLE ──first byte──► READING ──whole──► ANSWERING ──all queued──┬─► IDLE
 *        │                     │ 408, broken       │                   └─► LINGER ──► closed
 *        └────────────► closed ◄───────────────────┘                                              */
enum sp_http_phase { SP_HTTP_IDLE, SP_HTTP_READING, SP_HTTP_ANSWERING, SP_HTTP_LINGER, SP_HTTP_PHASE_COUNT };

enum { SP_HTTP_PIECE = 16 * 1024 }; /* what is queued at once: as much as a write slab of the link holds */

struct sp_http_call {
    struct sp_http_request request;
    struct sp_head head; /* in line->arena */
    struct sp_buf body_in;
    uint16_t refuse; /* answer this status when the request has come */
    const char *refuse_text;
    bool answered;  /* head queued */
    bool streaming; /* `source` or `body_out` is asked for more */
    bool waiting;   /* the source said WAIT */
    void (*on_gone)(void *arg);
    void *on_gone_arg;
    struct sp_header headers[SP_HTTP_HEADERS + 4];
    uint32_t header_count;
    struct sp_head answer; /* what the framing follows */
    struct sp_http_source *source;
    struct sp_buf body_out;
    size_t body_at;
};

struct sp_http_line {
    struct sp_conn conn;
    struct sp_http_server *server;
    struct sp_http_door *door;
    struct sp_list link; /* on server->lines; the longest idle first */
    struct sp_timer timer;
    struct sp_arena arena; /* of the call */
    enum sp_http_phase phase;
    sp_ns phase_ns; /* since when */
    struct sp_http_call call;
};

struct sp_http_door {
    struct sp_acceptor acceptor;
    struct sp_http_server *server;
    struct sp_timer resume; /* after the descriptors were used up */
    uint32_t lines;
};

struct sp_http_server {
    struct sp_loop *loop;
    struct sp_link link;
    struct sp_http_config config;
    struct sp_codec_limits limits;
    struct sp_http_door doors[SP_HTTP_ADDRESSES];
    uint32_t door_count;
    struct sp_list lines; /* of sp_http_line.link */
    struct sp_http_server_view view;
    bool freed;
};

void sp_http_line_phase(struct sp_http_line *line, enum sp_http_phase to);
/* The answer is queued wholly: on to the next request, or to the end. */
void sp_http_line_answered(struct sp_http_line *line);
/* Everything that waits for this call's answer is told that there is none. */
void sp_http_call_gone(struct sp_http_call *call);
/* As much of the answer as there is room for. */
void sp_http_pump(struct sp_http_line *line);
/* A short text, and the connection ends behind it when `last`. */
void sp_http_refuse(struct sp_http_line *line, uint16_t status, const char *text, bool last);

#endif
