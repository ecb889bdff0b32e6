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
    bool end;        /* the message is complete with this event (END implies it) */
    bool trailers;   /* END: head->headers[] hold trailers; the rest of the head is left as it was */
    sp_str body;     /* HEAD and DATA: body bytes as they stand in the input (chunk framing taken off) */
    const char *why; /* on a negative result: static words for people */
    /* on a negative result: the HTTP status to refuse with (400, 413, 414, 431, 501, 505) */
    uint16_t status;
    struct sp_head *head; /* given by the caller with its headers and header_cap; filled by HEAD, and by END
                           * with trailers. NULL will do for what cannot be a HEAD: trailers are dropped
                           * then */
};

struct sp_codec_limits {
    uint32_t head_bytes;  /* of a whole head; 0 = 64 KiB */
    uint32_t line_bytes;  /* h1: of the request line; 0 = 16 KiB */
    uint32_t headers;     /* how many; 0 = SP_HEADERS_MAX */
    uint32_t whole_bytes; /* a message of at most this many bytes comes as one event, when it is all there */
    int64_t body_bytes;   /* of one message, where its length is told ahead; 0 = none */
};

enum { SP_CODEC_STATE_BYTES = 32 }; /* each byte is paid for every connection */

/* Room for any codec's state inside a connection. */
struct sp_codec_state {
    _Alignas(8) unsigned char bytes[SP_CODEC_STATE_BYTES];
};

struct sp_codec {
    const char *name;
    enum sp_protocol protocol;
    bool multiplexed;    /* many calls at once on a connection, told apart by id */
    bool both_ways;      /* a "client" may receive requests too */
    uint32_t save_bytes; /* size of a saved state */

    /* `state` zeroed or not; limits are borrowed for as long as the state lives. */
    void (*init)(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits);
    ssize_t (*decode)(struct sp_codec_state *state, sp_str in, struct sp_event *ev);
    /* Client role, h1: what was asked, so that the answer's length is understood (HEAD, CONNECT). Called
     * for each request sent, in order. */
    void (*asked)(struct sp_codec_state *state, const struct sp_head *request);
    /* Server role, h1: the answer's head as it was sent, so that upgrade and tunnel take effect. NULL: an
     * error of our own (encode_error) was sent. */
    void (*answered)(struct sp_codec_state *state, const struct sp_head *response);
    /* The peer ended its direction: is that the end of a message (h1 body until close), between messages
     * (kind NONE, 0), or in the middle (negative)? */
    ssize_t (*finish)(struct sp_codec_state *state, struct sp_event *ev);
    /* True between messages. */
    bool (*is_idle)(const struct sp_codec_state *state);

    /* The head with its framing as flags and body_bytes say. */
    ssize_t (*encode_head)(const struct sp_head *head, char *out, size_t room);
    /* Bytes before a piece of body. > 0: write them, then the piece, then chunk_suffix. 0: the piece goes as
     * it is (its length was told ahead, or it is empty). NULL: a body is its bytes (Bolt). */
    ssize_t (*encode_chunk)(const struct sp_head *head, size_t body_len, char *out, size_t room);
    sp_str chunk_suffix;
    /* What ends the body (last chunk and trailers); 0 where nothing does. */
    ssize_t (*encode_end)(const struct sp_head *head, const struct sp_head *trailers, char *out, size_t room);
    /* A complete error answer of our own. */
    ssize_t (*encode_error)(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text,
                            bool last, char *out, size_t room);
    /* Multiplexed: forwarding a head as its own bytes. `patch` writes another id and, unless it is 0, the
     * time that is left into head->raw where it lies; `delta` is for a head that was encoded anew as `sent`.
     * Both return what `fix` must XOR onto the frame's checksum as the body passes (0: nothing); `bytes` is a
     * piece of the body with `left` bytes of body_bytes still to come behind it. */
    uint32_t (*patch)(const struct sp_head *head, uint32_t id, int32_t timeout_ms);
    uint32_t (*delta)(const struct sp_head *head, sp_str sent);
    void (*fix)(char *bytes, size_t len, uint64_t left, uint32_t delta);
    /* Multiplexed: a heartbeat (ack false) or its answer. NULL where the protocol has none. */
    ssize_t (*encode_heartbeat)(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room);

    /* Exactly save_bytes; load refuses (SP_E_INVALID) what save could not have written. */
    void (*save)(const struct sp_codec_state *state, void *out);
    sp_err (*load)(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits);
    /* For which it was made; NULL where a state does not say. */
    enum sp_role (*role)(const struct sp_codec_state *state);
};

#endif
