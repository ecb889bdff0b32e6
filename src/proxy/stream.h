/* stream: one call under way, from its head to its report. The walk itself is in stream.c. */
#ifndef SP_PROXY_STREAM_H
#define SP_PROXY_STREAM_H

#include "base/arena.h"
#include "io/timer.h"
#include "proxy/line.h"
#include "proxy/route.h"
#include "proxy/why.h"
#include "wire/call.h"

enum { SP_STREAM_ARENA = 1536, SP_STREAM_HELD_BYTES = 64 * 1024, SP_STREAM_TRIED = 4 };

/* A piece of the request that waits for a line. */
struct sp_held {
    struct sp_held *next;
    struct sp_view view;
};

/* wide because the whole state of a call is one block, allocated once and reused; grouped by concern. */
struct sp_stream {
    struct sp_worker *worker;
    struct sp_list link;    /* worker->streams */
    struct sp_line *caller; /* NULL: gone */
    struct sp_line *callee; /* NULL: not attached, or gone */
    struct sp_list in_link, out_link, pool_link;
    struct sp_chain *chain;
    const struct sp_codec *codec; /* of both lines */
    sp_addr client; /* whom x-forwarded-for names, as far as it is trusted; family NONE: whoever connected */
    struct sp_cluster *cluster;
    struct sp_endpoint *endpoint;
    const struct sp_route_table *table;
    struct sp_route_choice choice;
    struct sp_head request; /* headers in the arena, strings in request_slab */
    struct sp_slab *request_slab;
    struct sp_head answer;                  /* of its head: flags, status, body length; no strings */
    sp_str path;                            /* canonical, without the query: what routing saw */
    struct sp_head *trailers;               /* of the request, while they are being forwarded */
    struct sp_view first;                   /* body bytes that came with the head; kept by request_slab */
    struct sp_held *held_first, *held_last; /* what cannot be sent yet: of the request, later of the answer */
    struct sp_held *held_spare;             /* nodes to use again */
    uint32_t held_bytes;
    bool held_end;              /* the message ends with what is held */
    struct sp_list behind_link; /* on a line's list of who waits for its current frame to end */
    uint32_t callee_id;         /* our id on the callee's line */
    struct sp_timer timer;
    sp_ns started_ns, attached_ns, request_end_ns, answer_ns;
    sp_ns deadline_ns; /* 0 = none */
    sp_ns active_ns;   /* last byte either way */
    uint64_t started_wall_ns;
    uint64_t request_bytes, answer_bytes;
    sp_str again_head,
        again_body; /* a copy of what was sent, on a line that had been used before; or empty */
    struct sp_endpoint *tried[SP_STREAM_TRIED];
    /* to fix the frame's checksum with as the body passes; request's, then answer's */
    uint32_t delta;
    uint64_t body_left; /* of the message that passes */
    uint16_t why;       /* enum sp_why */
    uint16_t retry_why; /* of the last attempt that failed and was followed by another */
    uint8_t state;      /* enum sp_stream_state */
    uint8_t attempts;
    bool request_done; /* all of it has come */
    bool request_sent; /* all of it has been queued to the callee */
    bool head_sent;    /* something of it has been queued to the callee */
    bool answer_started, answer_done;
    bool counted;  /* requests lease and active counters are ours to give back */
    bool waits;    /* in the pool's pending list */
    bool failed;   /* by the endpoint's fault: no connection, or it ended before the answer did */
    bool retrying; /* a share of the cluster's retries is ours to give back */
    bool interim;  /* an interim answer has come */
    bool repeated; /* it was sent anew, because its line had just been closed: once is all */
    bool fresh;    /* wants a line that has not been used */
    bool tunnel;
    bool own_answer; /* the answer is ours, not the upstream's */
    uint8_t tunnel_ends;
    bool backward; /* came from an upstream line */
    bool oneway;
    bool normalized;     /* path is not what the caller wrote */
    bool exclusive;      /* too big to be held: its request flows over a line of its own */
    bool caller_last;    /* the caller's line ends behind the answer */
    const char *failure; /* words about the upstream's failure, static */
    struct sp_arena arena;
    char storage[SP_STREAM_ARENA];
    /* nearly 60 fields: the whole state of a call in one block, allocated once and reused; grouped above by
 * concern */
};

/* Events of the caller's line. */
void sp_stream_request(struct sp_line *line, struct sp_event *ev, struct sp_slab *slab);
void sp_stream_request_more(struct sp_stream *stream, struct sp_event *ev, struct sp_slab *slab);
void sp_stream_caller_gone(struct sp_stream *stream, enum sp_why why);
/* Events of the callee's line. */
void sp_stream_answer(struct sp_stream *stream, struct sp_event *ev, struct sp_slab *slab);
void sp_stream_answer_more(struct sp_stream *stream, struct sp_event *ev, struct sp_slab *slab);
void sp_stream_callee_gone(struct sp_stream *stream, enum sp_why why);
/* `line` is free again for what the stream holds back for it. */
void sp_stream_go_on(struct sp_stream *stream, struct sp_line *line);
/* One side of a tunnel has ended its direction. */
void sp_stream_tunnel_end(struct sp_stream *stream, struct sp_line *from);
/* From the pool. */
void sp_stream_attached(struct sp_stream *stream, struct sp_line *line);
/* `failure`: static words. */
void sp_stream_connect_failed(struct sp_stream *stream, enum sp_why why, const char *failure);
/* What came could not be read; the caller gets a well-formed refusal and the line ends behind it. */
void sp_stream_broken(struct sp_line *line, struct sp_event *ev);
void sp_stream_cut(struct sp_stream *stream, enum sp_why why); /* drain deadline, memory */

#endif
