/* h2_impl: what the files of HTTP/2 share: a connection's state, frames, the leaves. */
#ifndef SP_WIRE_H2_H2_IMPL_H
#define SP_WIRE_H2_H2_IMPL_H

#include <endian.h>

#include "wire/h2/h2.h"
#include "wire/h2/hpack_impl.h"

enum sp_h2_type {
    SP_H2_DATA,
    SP_H2_HEADERS,
    SP_H2_PRIORITY,
    SP_H2_RST_STREAM,
    SP_H2_SETTINGS_FRAME,
    SP_H2_PUSH_PROMISE,
    SP_H2_PING,
    SP_H2_GOAWAY_FRAME,
    SP_H2_WINDOW_UPDATE,
    SP_H2_CONTINUATION,
    SP_H2_TYPES
};

enum sp_h2_flag {
    SP_H2_END_STREAM = 1,
    SP_H2_ACK = 1,
    SP_H2_END_HEADERS = 4,
    SP_H2_PADDED = 8,
    SP_H2_WITH_PRIORITY = 32
};

enum sp_h2_setting {
    SP_H2_SET_TABLE = 1,
    SP_H2_SET_PUSH,
    SP_H2_SET_STREAMS,
    SP_H2_SET_WINDOW,
    SP_H2_SET_FRAME,
    SP_H2_SET_HEAD,
};

enum {
    SP_H2_FRAME_HEAD = 9,
    SP_H2_FRAME_MAX = 16384, /* what we take: the least that the RFC allows */
    SP_H2_WINDOW_FIRST = 65535,
    SP_H2_RING = 16, /* streams that ended a short while ago, of each kind */
    SP_H2_MAGIC = 24,
};
#define SP_H2_ID_MAX 0x7fffffffu

/* Where the decoder stands between two calls. */
enum sp_h2_phase {
    SP_H2_PHASE_MAGIC,    /* server: the client's 24 bytes */
    SP_H2_PHASE_SETTINGS, /* the first frame must be SETTINGS */
    SP_H2_PHASE_FRAME,    /* at a frame's head */
    SP_H2_PHASE_BODY,     /* inside DATA: `left` bytes, then `pad` */
    SP_H2_PHASE_PAD,      /* `left` bytes that nobody reads, of DATA or of what we do not know */
    SP_H2_PHASE_BROKEN,
    SP_H2_PHASES
};

enum sp_h2_stream_flag {
    SP_H2_PEER_ENDED = 1 << 0,
    SP_H2_WE_ENDED = 1 << 1,
    SP_H2_HEADED = 1 << 2,     /* the peer's final head has come */
    SP_H2_ASKED_HEAD = 1 << 3, /* client: the answer has no body */
    SP_H2_TUNNELS = 1 << 4,    /* CONNECT */
    SP_H2_ANSWERED = 1 << 5,   /* our final head has gone */
};

struct sp_h2_stream {
    uint32_t id; /* 0 = free slot */
    int32_t send_window, recv_window;
    uint32_t taken;   /* used up, and not yet given back as credit */
    uint32_t charged; /* what its head holds beyond what was sent for it */
    uint32_t flags;
    int64_t body_left; /* of what Content-Length told; -1 = it did not */
};

/* wide because one connection's windows, ids and budgets are read together on every frame, and an idle one
 * should be one small object. */
struct sp_h2 {
    const struct sp_h2_limits *limits;
    struct sp_h2_stream *streams; /* open addressing, by id */
    struct sp_hpack_table decoder;
    struct sp_hpack_encoder encoder;
    uint32_t stream_slots, stream_count; /* slots: a power of two */
    uint32_t peer_last;                  /* highest id that the peer opened */
    uint32_t our_last;                   /* that we opened */
    uint32_t goaway_sent, goaway_got;    /* last id; UINT32_MAX = none */
    int32_t send_window, recv_window;
    uint32_t taken; /* of all streams, as in a stream */
    int32_t peer_window;
    uint32_t peer_streams, peer_frame, peer_head;
    uint32_t charged;
    int32_t resets, controls; /* what is left of the budgets */
    uint32_t calm_rest;       /* milliseconds that did not yet make one of either */
    uint32_t need;            /* bytes that must be there before looking again makes sense */
    uint32_t left, stream_id; /* BODY, PAD */
    uint16_t pad;
    uint8_t phase, role;
    bool acked;   /* our settings are in force */
    bool end;     /* BODY: with the last byte of it the message ends */
    bool greeted; /* our preface has gone */
    uint8_t ended_at, cut_at;
    uint32_t ended[SP_H2_RING]; /* by the peer, whole or by reset: frames on them are wrong */
    uint32_t cut[SP_H2_RING];   /* by us: the peer could not know yet */
};

/* A frame's head. */
struct sp_h2_frame {
    uint32_t len, id;
    uint8_t type, flags;
};

static inline uint32_t sp_h2_get32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static inline char *sp_h2_put32(char *p, uint32_t value)
{
    uint32_t v = htobe32(value);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static inline struct sp_h2_frame sp_h2_get_frame(const char *p)
{
    return (struct sp_h2_frame){ .len = sp_h2_get32(p) >> 8,
                                 .id = sp_h2_get32(p + 5) & SP_H2_ID_MAX,
                                 .type = (uint8_t)p[3],
                                 .flags = (uint8_t)p[4] };
}

static inline char *sp_h2_put_frame(char *p, uint32_t len, enum sp_h2_type type, unsigned flags, uint32_t id)
{
    sp_h2_put32(p, len << 8 | type);
    p[4] = (char)flags;
    return sp_h2_put32(p + 5, id);
}

static inline uint32_t sp_h2_or(uint32_t limit, uint32_t standard)
{
    return limit ? limit : standard;
}

/* The limits, filled in. */
uint32_t sp_h2_window(const struct sp_h2 *h2);
uint32_t sp_h2_window_all(const struct sp_h2 *h2);
uint32_t sp_h2_head_bytes(const struct sp_h2_limits *limits);
uint32_t sp_h2_read_table(const struct sp_h2_limits *limits);
uint32_t sp_h2_write_table(const struct sp_h2_limits *limits);
uint32_t sp_h2_streams_most(const struct sp_h2_limits *limits);

void sp_h2_table_acked(struct sp_h2 *h2);

/* stream.c */
struct sp_h2_stream *sp_h2_find(const struct sp_h2 *h2, uint32_t id);
/* A new one; NULL: no slot (give SP_H2_STREAMS). */
struct sp_h2_stream *sp_h2_add(struct sp_h2 *h2, uint32_t id);
bool sp_h2_has_slot(const struct sp_h2 *h2);
/* It is over; `cut`: we cut it, the peer may not know yet. */
void sp_h2_remove(struct sp_h2 *h2, struct sp_h2_stream *stream, bool cut);
/* One side of it has ended; with both it is removed. */
void sp_h2_end_side(struct sp_h2 *h2, struct sp_h2_stream *stream, enum sp_h2_stream_flag side);
bool sp_h2_in_ring(const uint32_t ring[SP_H2_RING], uint32_t id);
void sp_h2_ring_put(uint32_t ring[SP_H2_RING], uint8_t *at, uint32_t id);
bool sp_h2_is_ours(const struct sp_h2 *h2, uint32_t id); /* would we open such an id? */
/* Was such a stream never opened? */
bool sp_h2_is_unopened(const struct sp_h2 *h2, uint32_t id);

/* reply.c: what decode answers with. */
void sp_h2_reply_reset(struct sp_h2_event *ev, uint32_t id, uint32_t code);
void sp_h2_reply_credit(struct sp_h2 *h2, struct sp_h2_event *ev);
/* The connection is over: GOAWAY, why, and the negative result. */
ssize_t sp_h2_broken(struct sp_h2 *h2, struct sp_h2_event *ev, enum sp_h2_code code, const char *why);
/* One stream is over; `used` or, when the budget is, the connection's end. */
ssize_t sp_h2_cut(struct sp_h2 *h2, struct sp_h2_event *ev, uint32_t id, enum sp_h2_code code,
                  const char *why, ssize_t used);
/* One more of the budget is used. False: it is empty. */
bool sp_h2_spend(int32_t *budget);
char *sp_h2_put_credit(struct sp_h2 *h2, struct sp_h2_stream *stream, char *out);

/* control.c: frames other than DATA and HEADERS, wholly there. */
ssize_t sp_h2_read_control(struct sp_h2 *h2, struct sp_h2_frame f, const char *payload,
                           struct sp_h2_event *ev);

/* head.c: a block of fields into ev->base.head. */
enum sp_h2_verdict {
    SP_H2_GOOD,
    SP_H2_MALFORMED,  /* a stream error */
    SP_H2_LARGE,      /* more than the limits */
    SP_H2_UNREADABLE, /* COMPRESSION_ERROR, the connection's end */
};
enum sp_h2_section { SP_H2_REQUEST, SP_H2_RESPONSE, SP_H2_TRAILERS, SP_H2_IGNORED };
enum sp_h2_verdict sp_h2_read_head(struct sp_h2 *h2, sp_str block, struct sp_hpack_scratch *scratch,
                                   enum sp_h2_section section, bool end, struct sp_h2_event *ev,
                                   uint32_t *ret_charged);

bool sp_h2_is_value(sp_str value);

/* decode_head.c */
ssize_t sp_h2_read_headers(struct sp_h2 *h2, struct sp_h2_frame f, sp_str in, struct sp_h2_event *ev);

#endif
