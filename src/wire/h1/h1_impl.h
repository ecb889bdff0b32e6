/* h1_impl: what the files of the HTTP/1.1 codec share: the state, the limits, the leaves of the decoder. */
#ifndef SP_WIRE_H1_H1_IMPL_H
#define SP_WIRE_H1_H1_IMPL_H

#include "wire/h1/h1.h"

/* Where the decoder stands. The moves are in decode.c, with the drawing. */
enum sp_h1_phase {
    SP_H1_HEAD,        /* between messages, or inside a head: nothing of it is used up yet */
    SP_H1_COUNTED,     /* `left` bytes of body */
    SP_H1_CHUNK_SIZE,  /* hex digits; `left` is the number so far */
    SP_H1_CHUNK_EXT,   /* behind the digits, up to CR */
    SP_H1_CHUNK_LF,    /* behind that CR */
    SP_H1_CHUNK_DATA,  /* `left` bytes of this chunk */
    SP_H1_CHUNK_END,   /* the CR LF behind a chunk */
    SP_H1_TRAILERS,    /* behind the last chunk's line: nothing of them is used up yet */
    SP_H1_UNTIL_CLOSE, /* a response body that ends with the connection */
    SP_H1_HELD,        /* a request asked for an upgrade or a tunnel: nothing moves before the answer */
    SP_H1_TUNNEL,      /* opaque bytes for ever */
    SP_H1_DONE,        /* behind the last message: what comes is thrown away */
    SP_H1_BROKEN,      /* the grammar was broken: no byte behind it means anything */
    SP_H1_PHASE_COUNT
};

/* What the message at hand wishes beyond its body. Server: of the request. Client: what was asked. */
enum sp_h1_wish {
    SP_H1_WISH_NONE,  /* server: nothing special. client: nothing was asked, so nothing may be answered */
    SP_H1_WISH_PLAIN, /* client only: an ordinary request is out */
    SP_H1_WISH_HEAD,  /* client only: the answer has no body, whatever it says */
    SP_H1_WISH_UPGRADE,
    SP_H1_WISH_CONNECT,
    SP_H1_WISH_COUNT
};

enum sp_h1_verdict { SP_H1_OPEN, SP_H1_AGREED, SP_H1_REFUSED, SP_H1_VERDICT_COUNT };

/* Places inside a chunk extension. */
enum sp_h1_ext {
    SP_H1_EXT_GAP,
    SP_H1_EXT_NAME,
    SP_H1_EXT_WORD,
    SP_H1_EXT_QUOTED,
    SP_H1_EXT_ESCAPED,
    SP_H1_EXT_COUNT
};

struct sp_h1 {
    const struct sp_codec_limits *limits;
    uint64_t left;       /* of a counted body or a chunk */
    uint32_t scanned;    /* bytes of the head or trailers that were looked at */
    uint32_t line;       /* where the line begins that `scanned` stands in */
    uint16_t ext;        /* bytes of chunk extensions in this message */
    uint8_t lines;       /* complete lines below `scanned` */
    uint8_t phase;       /* enum sp_h1_phase */
    uint8_t digits;      /* of the chunk size */
    uint8_t place;       /* enum sp_h1_ext, or 1 = CR seen in SP_H1_CHUNK_END */
    uint8_t interims;    /* 1xx answers to what was asked */
    uint8_t role : 1;    /* enum sp_role */
    uint8_t wish : 3;    /* enum sp_h1_wish */
    uint8_t verdict : 2; /* enum sp_h1_verdict; server, with a wish */
    uint8_t last : 1;    /* 1: behind this message comes none */
    uint8_t blank : 1;   /* 1: the one empty line before a request was passed over */
};

_Static_assert(sizeof(struct sp_h1) <= SP_CODEC_STATE_BYTES, "the state fits into a connection's room");

/* Limits that have a name. */
enum {
    SP_H1_HEAD_BYTES = 64 << 10,   /* of a head, unless the caller says otherwise */
    SP_H1_LINE_BYTES = 16 << 10,   /* of a start line, unless the caller says otherwise */
    SP_H1_METHOD_BYTES = 32,       /* the longest registered one has 17 (UPDATEREDIRECTREF) */
    SP_H1_HOST_BYTES = 255,        /* RFC 1035 2.3.4 */
    SP_H1_LENGTH_DIGITS = 19,      /* 2^63 - 1 has 19 */
    SP_H1_CHUNK_DIGITS = 16,       /* leading zeros count: no storms of them */
    SP_H1_EXT_BYTES = 4096,        /* chunk extensions of one message together; nobody is known to use them */
    SP_H1_INTERIMS = 16,           /* 1xx before one answer */
    SP_H1_CONNECTION_OPTIONS = 32, /* names in Connection: each costs a walk over the headers */
};

/* The limits of one head, defaults filled in. */
struct sp_h1_bounds {
    uint32_t head_bytes;
    uint32_t line_bytes; /* of the first line */
    uint32_t lines;      /* of header lines and, in a head, the start line */
    uint32_t start;      /* lines that are not headers: 1 in a head, 0 in trailers */
};

/* Most lines that a head may have, so that their ends fit on the stack. */
enum { SP_H1_LINES_MAX = SP_HEADERS_MAX + 1 };
_Static_assert(SP_H1_LINES_MAX <= UINT8_MAX && (int)SP_H1_EXT_BYTES < UINT16_MAX, "both fit into the state");

/* What the header lines of one head said about framing and connection. */
struct sp_h1_fields {
    const struct sp_header *host, *length, *coding, *upgrade, *expect;
    uint8_t hosts, lengths, codings;
    bool close, keep_alive, wants_upgrade; /* options of Connection */
    bool options;                          /* there was a Connection header */
};

/* Set ev->why and ev->status, and return the error that goes with the status. */
ssize_t sp_h1_refuse(struct sp_event *ev, uint16_t status, const char *why);

/* head.c: look for the empty line. Length of the head with it, 0 = not yet there, or refused. `ends`
 * (SP_H1_LINES_MAX of them) gets the offset of each line's CR; s->lines says how many. */
ssize_t sp_h1_scan(struct sp_h1 *s, sp_str in, const struct sp_h1_bounds *b, uint32_t *ends,
                   struct sp_event *ev);
/* Lines `first`.. of the scanned head into ev->head->headers. 0 or refused. */
ssize_t sp_h1_read_fields(sp_str in, const uint32_t *ends, uint32_t first, uint32_t lines,
                          struct sp_event *ev, struct sp_h1_fields *ret_fields);
/* One header line, from `at` to its CR at `end`; bytes may be looked at up to `there`. */
ssize_t sp_h1_read_line(const char *at, const char *end, const char *there, struct sp_header *ret_header,
                        struct sp_event *ev);
/* Names listed in Connection become hop-by-hop; its options go to `fields`. */
ssize_t sp_h1_read_connection(struct sp_head *head, struct sp_h1_fields *fields, struct sp_event *ev);
/* Digits only, no sign, no list. */
ssize_t sp_h1_read_length(const struct sp_header *h, int64_t *ret_bytes, struct sp_event *ev);
/* The one coding that is understood. */
bool sp_h1_is_chunked(const struct sp_header *h);

/* request.c, response.c: a whole head lies in `in`, its lines end at `ends`. 0 or refused. */
ssize_t sp_h1_read_request(struct sp_h1 *s, sp_str in, const uint32_t *ends, struct sp_event *ev);
ssize_t sp_h1_read_response(struct sp_h1 *s, sp_str in, const uint32_t *ends, struct sp_event *ev);

/* authority.c */
/* host [":" port], the port needed or not. */
bool sp_h1_is_authority(sp_str authority, bool port_needed);
/* Do both mean one place? `port` is what no port means, 0 = nothing. */
bool sp_h1_same_authority(sp_str a, sp_str b, uint16_t port);
/* Split at the port's colon; the port without it, ptr NULL when there is none. */
void sp_h1_split_authority(sp_str authority, sp_str *ret_host, sp_str *ret_port);

/* chunk.c: take framing off. As decode. */
ssize_t sp_h1_read_chunked(struct sp_h1 *s, sp_str in, struct sp_event *ev);
/* May a trailer of that name be passed on? */
bool sp_h1_is_trailer(const struct sp_header *h);

/* decode.c */
void sp_h1_move(struct sp_h1 *s, enum sp_h1_phase to);
void sp_h1_end_message(struct sp_h1 *s);

ssize_t sp_h1_decode(struct sp_codec_state *state, sp_str in, struct sp_event *ev);
void sp_h1_asked(struct sp_codec_state *state, const struct sp_head *request);
void sp_h1_answered(struct sp_codec_state *state, const struct sp_head *response);
ssize_t sp_h1_finish(struct sp_codec_state *state, struct sp_event *ev);
bool sp_h1_is_idle(const struct sp_codec_state *state);

/* encode.c, answer.c */
ssize_t sp_h1_encode_head(const struct sp_head *head, char *out, size_t room);
ssize_t sp_h1_encode_chunk(const struct sp_head *head, size_t body_len, char *out, size_t room);
ssize_t sp_h1_encode_end(const struct sp_head *head, const struct sp_head *trailers, char *out, size_t room);
ssize_t sp_h1_encode_error(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text,
                           bool last, char *out, size_t room);

static inline struct sp_h1 *sp_h1_of(struct sp_codec_state *state)
{
    return (struct sp_h1 *)(void *)state->bytes;
}

static inline uint32_t sp_h1_or(uint32_t limit, uint32_t standard)
{
    return limit ? limit : standard;
}

#endif
