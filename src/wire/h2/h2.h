/* h2: HTTP/2 (RFC 9113) as a pure codec, both roles: bytes to events, calls to bytes. Many streams on one
 * connection; flow control both ways; no socket, no clock, no heap.
 *
 *      in ── sp_h2_decode ──> one event, and `reply`: what must go out at once (acks, resets, goodbye)
 *      call ── sp_h2_encode_* ──> bytes of frames; a piece of body follows its 9 bytes as it lies
 *      body bytes used up ── sp_h2_took ──> window updates
 *
 * Three pieces of memory are the caller's and are asked for when they are first needed (SP_E_AGAIN with
 * ev->needs): a connection without a call has none of them. State holds no pointer into another but these.
 *
 * A head's strings lie in the input, in the event's scratch, or in static memory: copy what must live. */
#ifndef SP_WIRE_H2_H2_H
#define SP_WIRE_H2_H2_H

#include "wire/codec.h"

struct sp_h2;

/* A head of HTTP/2 is an HTTP head: protocol SP_PROTO_HTTP1, and this in proto_ver. h1 can write it. */
enum { SP_H2_PROTO_VER = 20 };

enum sp_h2_code { /* RFC 9113 7 */
                  SP_H2_NO_ERROR,
                  SP_H2_PROTOCOL_ERROR,
                  SP_H2_INTERNAL_ERROR,
                  SP_H2_FLOW_CONTROL_ERROR,
                  SP_H2_SETTINGS_TIMEOUT,
                  SP_H2_STREAM_CLOSED,
                  SP_H2_FRAME_SIZE_ERROR,
                  SP_H2_REFUSED_STREAM,
                  SP_H2_CANCEL,
                  SP_H2_COMPRESSION_ERROR,
                  SP_H2_CONNECT_ERROR,
                  SP_H2_ENHANCE_YOUR_CALM,
                  SP_H2_INADEQUATE_SECURITY,
                  SP_H2_HTTP_1_1_REQUIRED,
};

/* 0 = the figure behind it. Borrowed for as long as the codec's state lives. */
struct sp_h2_limits {
    uint32_t streams;    /* at once, opened by the peer: 100 */
    uint32_t window;     /* bytes that a stream may have under way to us: 256 KiB */
    uint32_t window_all; /* that a connection may: 1 MiB; at least 65,535 */
    uint32_t
        head_bytes; /* of a head, 32 for each field added (RFC 9113 10.5.1); and of its coded form: 64 KiB */
    uint32_t headers;     /* SP_HEADERS_MAX */
    uint32_t held_bytes;  /* what heads of open streams hold beyond 4 times what was sent for them: 256 KiB */
    uint32_t read_table;  /* of the peer's encoder: 4096 */
    uint32_t write_table; /* of ours: 4096 */
    int64_t body_bytes;   /* of one message, where its length is told ahead; 0 = none */
    bool secure;          /* client: requests say https */
};

/* Flood budgets: how many may come at once; sp_h2_calm gives back with time, calls that end well do too. */
enum {
    SP_H2_RESETS = 200, /* streams that ended by a reset of either side, or were refused */
    SP_H2_CONTROLS =
        2000, /* frames that carry nothing: PING, SETTINGS, PRIORITY, empty DATA, updates, unknown */
    SP_H2_CONTINUATIONS = 16, /* of one head */
    SP_H2_SETTINGS_MAX = 64,  /* in one frame */
    SP_H2_STREAMS_MAX = 16384,
};

enum sp_h2_region { SP_H2_STREAMS, SP_H2_READ_TABLE, SP_H2_WRITE_TABLE, SP_H2_REGIONS };

enum sp_h2_note {
    SP_H2_QUIET,
    SP_H2_RESET,    /* stream `id` is gone, with `code`; `by_peer`, or by us with a reason in why */
    SP_H2_REFUSED,  /* the same of a stream that was never told: nothing to end, something to count */
    SP_H2_ROOM,     /* more may be sent on stream `id`, or (0) on all */
    SP_H2_SETTINGS, /* the peer said its settings */
    SP_H2_ACKED,    /* our settings are in force */
    SP_H2_PONG,     /* our ping came back: `opaque` */
    SP_H2_GOAWAY,   /* the peer takes no stream above `id`; those are forgotten, and may be tried again */
};

enum { SP_H2_REPLY_ROOM = 160 };

struct sp_h2_event {
    struct sp_event base; /* base.head is the caller's; HEAD, DATA, END: of stream `id` */
    uint32_t id;
    uint32_t code; /* enum sp_h2_code or the peer's */
    uint8_t note;  /* enum sp_h2_note */
    bool by_peer;
    uint8_t needs;        /* on SP_E_AGAIN: enum sp_h2_region */
    uint32_t needs_bytes; /* at least */
    uint64_t opaque;
    char *scratch; /* the caller's, sp_h2_scratch_bytes(limits); may be shared by all connections */
    size_t scratch_bytes;
    uint32_t reply_len; /* to be sent now, before anything else, also when the result is negative */
    char reply[SP_H2_REPLY_ROOM];
};

size_t sp_h2_bytes(void);
size_t sp_h2_scratch_bytes(const struct sp_h2_limits *limits);
/* In memory of sp_h2_bytes(), aligned to 8. */
struct sp_h2 *sp_h2_init(void *memory, enum sp_role role, const struct sp_h2_limits *limits);
/* What the region wants now; 0 = nothing. A caller that likes it simple asks for all at once. */
uint32_t sp_h2_region_bytes(const struct sp_h2 *h2, enum sp_h2_region region);
/* Give memory, aligned to 8; what was there before comes back, for whoever made it. NULL bytes 0: take it. */
void *sp_h2_give(struct sp_h2 *h2, enum sp_h2_region region, void *memory, uint32_t bytes);
/* Time has passed: the budgets fill up again. */
void sp_h2_calm(struct sp_h2 *h2, uint32_t milliseconds);

/* As sp_codec's decode: bytes used, 0 = want more, negative = the connection is over (reply holds GOAWAY);
 * but SP_E_AGAIN = nothing used, give memory and call again. */
ssize_t sp_h2_decode(struct sp_h2 *h2, sp_str in, struct sp_h2_event *ev);
/* The peer ended its direction. 0: between frames, and no stream is open. */
ssize_t sp_h2_finish(const struct sp_h2 *h2);
/* Every byte of every DATA and HEAD event is taken once, when its consumer is through with it, whether its
 * stream lives or not. Writes updates that are due: at most 26 bytes. */
ssize_t sp_h2_took(struct sp_h2 *h2, uint32_t id, uint32_t bytes, char *out, size_t room);

/* All encoders: bytes written; SP_E_LIMIT: no room, nothing changed. */
/* What a connection begins with: the client's magic, settings, the window. At most 96 bytes. */
ssize_t sp_h2_encode_preface(struct sp_h2 *h2, char *out, size_t room);
/* Client: the next stream, with the request's head. SP_E_LIMIT with *ret_id 0: the peer allows no more now
 * (sp_h2_can_open). SP_E_AGAIN: give SP_H2_STREAMS. */
ssize_t sp_h2_encode_request(struct sp_h2 *h2, const struct sp_head *head, bool end, uint32_t *ret_id,
                             char *out, size_t room);
bool sp_h2_can_open(const struct sp_h2 *h2);
/* Server: interim or final head. SP_E_MISSING: the stream is gone. */
ssize_t sp_h2_encode_answer(struct sp_h2 *h2, uint32_t id, const struct sp_head *head, bool end, char *out,
                            size_t room);
/* How many bytes of body may be sent on it now; 0 when it is gone. */
uint32_t sp_h2_room(const struct sp_h2 *h2, uint32_t id);
/* The 9 bytes before `len` bytes of body, at most sp_h2_room and sp_h2_frame_most. */
ssize_t sp_h2_encode_data(struct sp_h2 *h2, uint32_t id, uint32_t len, bool end, char *out, size_t room);
uint32_t sp_h2_frame_most(const struct sp_h2 *h2);
/* The end of a message: trailers, or an empty DATA. */
ssize_t sp_h2_encode_end(struct sp_h2 *h2, uint32_t id, const struct sp_head *trailers, char *out,
                         size_t room);
/* A complete answer of our own, as codec.encode_error: h1 words, gRPC's where the request was gRPC. */
ssize_t sp_h2_encode_error(struct sp_h2 *h2, uint32_t id, const struct sp_head *request, uint32_t status,
                           sp_str reason_code, sp_str text, char *out, size_t room);
/* 0 bytes when it is gone already. */
ssize_t sp_h2_encode_reset(struct sp_h2 *h2, uint32_t id, enum sp_h2_code code, char *out, size_t room);
/* `last`: streams above it are not taken; UINT32_MAX: those that have come are (RFC 9113 6.8 asks for a first
 * goodbye with 2^31 - 1: INT32_MAX). */
ssize_t sp_h2_encode_goaway(struct sp_h2 *h2, uint32_t last, enum sp_h2_code code, char *out, size_t room);
ssize_t sp_h2_encode_ping(uint64_t opaque, char *out, size_t room);

uint32_t sp_h2_streams(const struct sp_h2 *h2); /* that are open */
bool sp_h2_is_idle(const struct sp_h2 *h2);     /* no stream, and between frames */

/* The state as bytes, for another process; what was not used up of the input moves beside it. load refuses
 * (SP_E_INVALID) what save could not have written; SP_E_NOMEM: a region is too small, see sp_h2_load_bytes.
 * */
size_t sp_h2_save_bytes(const struct sp_h2 *h2);
void sp_h2_save(const struct sp_h2 *h2, void *out);
/* Regions that the saved state needs. */
sp_err sp_h2_load_bytes(sp_str saved, uint32_t ret_bytes[SP_H2_REGIONS]) SP_MUST_USE;
sp_err sp_h2_load(struct sp_h2 *h2,
                  sp_str saved) SP_MUST_USE; /* into one that was initialised and given memory */

const char *sp_h2_code_name(uint32_t code);

#endif
