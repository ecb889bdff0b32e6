/* codec: what every protocol offers: bytes in, events out; events in, bytes out. Pure: no socket, no
 * clock, no allocation for a message; state is data that can be saved and restored.
 *
 * Decoding is pulled: the caller hands what has come and not been used up, and gets at most one event.
 *      used > 0   that many bytes are used up; ev tells what they were (kind NONE: nothing to act on yet)
 *      0          want more bytes: call again with the same bytes and more behind them. The codec remembers
 *                 how far it looked, so the work for a message is linear in its length.
 *      < 0        broken: ev->why says how; the connection cannot go on in this direction
 * A message is HEAD (perhaps with the first body bytes and the end in the same event), DATA ..., END.
 * A small message that is wholly there is one event.
 *
 * Encoding writes into room that the caller has; SP_E_LIMIT = not enough room, nothing written. */
#ifndef SP_WIRE_CODEC_H
#define SP_WIRE_CODEC_H

#include "base/err.h"
#include "base/str.h"
#include "wire/call.h"

struct sp_arena;

enum sp_role { SP_ROLE_SERVER, SP_ROLE_CLIENT }; /* a server decodes requests; Bolt decodes both in both */

enum sp_event_kind { SP_EVENT_NONE, SP_EVENT_HEAD, SP_EVENT_DATA, SP_EVENT_END };

struct sp_event {
    enum sp_event_kind kind;
    bool end;             /* the message is complete with this event (END implies it) */
    sp_str body;          /* HEAD and DATA: body bytes as they stand in the input (chunk framing taken off) */
    const char *why;      /* on a negative result: static words for people */
    uint16_t status;      /* on a negative result: the HTTP status to refuse with (400, 413, 414, 431, 501, 505) */
    struct sp_head *head; /* given by the caller, filled by HEAD; END with trailers: headers[] are the trailers */
};

struct sp_codec_limits {
    uint32_t head_bytes;  /* of a whole head; 0 = 64 KiB */
    uint32_t line_bytes;  /* h1: of the request line; 0 = 16 KiB */
    uint32_t headers;     /* how many; 0 = SP_HEADERS_MAX */
    int64_t body_bytes;   /* of one message, where its length is told ahead; 0 = none */
};

enum { SP_CODEC_STATE_BYTES = 48 };

/* Room for any codec's state inside a connection. */
struct sp_codec_state {
    _Alignas(8) unsigned char bytes[SP_CODEC_STATE_BYTES];
};

struct sp_codec {
    const char *name;
    enum sp_protocol protocol;
    bool multiplexed;   /* many calls at once on a connection, told apart by id */
    bool both_ways;     /* a "client" may receive requests too */
    uint32_t save_bytes; /* size of a saved state */

    /* `state` zeroed or not; limits are borrowed for as long as the state lives. */
    void (*init)(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits);
    ssize_t (*decode)(struct sp_codec_state *state, sp_str in, struct sp_event *ev);
    /* Client role, h1: what was asked, so that the answer's length is understood (HEAD, CONNECT). Called
     * for each request sent, in order. */
    void (*asked)(struct sp_codec_state *state, const struct sp_head *request);
    /* Server role, h1: the answer's head as it was sent, so that upgrade and tunnel take effect. */
    void (*answered)(struct sp_codec_state *state, const struct sp_head *response);
    /* The peer ended its direction: is that the end of a message (h1 body until close), between messages
     * (kind NONE, 0), or in the middle (negative)? */
    ssize_t (*finish)(struct sp_codec_state *state, struct sp_event *ev);
    /* True between messages. */
    bool (*is_idle)(const struct sp_codec_state *state);

    /* The head with its framing as flags and body_bytes say. */
    ssize_t (*encode_head)(const struct sp_head *head, char *out, size_t room);
    /* Bytes around a piece of body: written before (`*ret_before` long, into out) and behind it. NULL: a
     * body is its bytes (Bolt). */
    ssize_t (*encode_chunk)(const struct sp_head *head, size_t body_len, char *out, size_t room);
    /* What ends the body (last chunk and trailers); 0 where nothing does. */
    ssize_t (*encode_end)(const struct sp_head *head, const struct sp_head *trailers, char *out, size_t room);
    /* A complete error answer of our own. */
    ssize_t (*encode_error)(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text, bool last,
                            char *out, size_t room);
    /* Multiplexed: a heartbeat (ack false) or its answer. NULL where the protocol has none. */
    ssize_t (*encode_heartbeat)(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room);

    /* Exactly save_bytes; load refuses (SP_E_INVALID) what save could not have written. */
    void (*save)(const struct sp_codec_state *state, void *out);
    sp_err (*load)(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits);
};

#endif
