/* call: the one model in which all protocols meet. A call is (service, method, headers, body) ->
 * (status, headers, body); whatever the codec, the same slots are filled, so routes, policies and metrics
 * are written once.
 *
 * A head's strings point into the bytes that were decoded, or into the arena given to the decoder. */
#ifndef SP_WIRE_CALL_H
#define SP_WIRE_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sp_protocol {
    SP_PROTO_NONE,
    SP_PROTO_TCP,
    SP_PROTO_HTTP1,
    SP_PROTO_BOLT,
    SP_PROTO_BOLT2,
    SP_PROTO_COUNT
};

/* What a message is. */
enum sp_msg {
    SP_MSG_REQUEST,
    SP_MSG_ONEWAY, /* a request that gets no answer */
    SP_MSG_RESPONSE,
    SP_MSG_INTERIM,   /* 1xx: more answers follow */
    SP_MSG_HEARTBEAT, /* between neighbours; never forwarded */
    SP_MSG_HEARTBEAT_ACK,
    SP_MSG_GOAWAY, /* no new calls on this connection, please */
};

enum sp_head_flag {
    /* the sender closes, or wants closed, the connection behind this message */
    SP_HEAD_LAST = 1 << 0,
    SP_HEAD_UPGRADE = 1 << 1,     /* request asks for, response agrees to, another protocol (h1 Upgrade) */
    SP_HEAD_TUNNEL = 1 << 2,      /* CONNECT, or its 2xx: bytes are opaque from here on */
    SP_HEAD_EXPECT = 1 << 3,      /* client waits for 100 (Continue) */
    SP_HEAD_CHUNKED = 1 << 4,     /* body length is told by the body itself */
    SP_HEAD_UNTIL_CLOSE = 1 << 5, /* body ends with the connection (h1 response) */
    SP_HEAD_NO_BODY = 1 << 6,     /* answer to HEAD, 204, 304: lengths are about another body */
    SP_HEAD_APP_ERROR = 1 << 7,   /* a business error behind a success status */
    SP_HEAD_OLD = 1 << 8,         /* HTTP/1.0 */
    SP_HEAD_EDITED = 1 << 9,      /* head differs from its raw bytes: encode, do not copy */
    SP_HEAD_CRC = 1 << 10,        /* frame ends in a CRC (Bolt v2) */
};

/* Header names that somebody looks at; a codec fills `id` while it scans. For names on no list 0. */
enum sp_hdr {
    SP_HDR_OTHER,
    SP_HDR_HOST,
    SP_HDR_CONNECTION,
    SP_HDR_KEEP_ALIVE,
    SP_HDR_PROXY_CONNECTION,
    SP_HDR_TRANSFER_ENCODING,
    SP_HDR_CONTENT_LENGTH,
    SP_HDR_TE,
    SP_HDR_TRAILER,
    SP_HDR_UPGRADE,
    SP_HDR_EXPECT,
    SP_HDR_USER_AGENT,
    SP_HDR_CONTENT_TYPE,
    SP_HDR_LOCATION,
    SP_HDR_COOKIE,
    SP_HDR_X_FORWARDED_FOR,
    SP_HDR_X_FORWARDED_PROTO,
    SP_HDR_X_REQUEST_ID,
    SP_HDR_TRACEPARENT,
    SP_HDR_TRACESTATE,
    SP_HDR_B3_TRACE_ID,   /* x-b3-traceid */
    SP_HDR_X_ENVOY,       /* any x-envoy-*: by name */
    SP_HDR_SOFA_TRACE_ID, /* rpc_trace_context.sofaTraceId, SOFA-TraceId */
    SP_HDR_SOFA_RPC_ID,   /* rpc_trace_context.sofaRpcId, SOFA-RpcId */
    SP_HDR_SOFA_SERVICE,  /* service, sofa_head_target_service */
    SP_HDR_SOFA_METHOD,   /* sofa_head_method_name */
    SP_HDR_SOFA_TARGET_APP,
    SP_HDR_SOFA_APP,
    SP_HDR_SOFA_ERROR,    /* sofa_head_response_error */
    SP_HDR_SOFA_DEADLINE, /* sofa_head_deadline_remain_time */
    SP_HDR_COUNT
};

struct sp_header {
    const char *name;
    const char *value;
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;    /* enum sp_hdr */
    uint8_t flags; /* codec's own: 1 = hop-by-hop, not forwarded */
};

enum { SP_HEADERS_MAX = 128, SP_HEADER_HOP = 1 };

struct sp_head {
    uint8_t kind;        /* enum sp_msg */
    uint8_t protocol;    /* enum sp_protocol */
    uint8_t codec_id;    /* Bolt: body serialiser */
    uint8_t proto_ver;   /* Bolt v2: ver1; HTTP: minor version */
    uint32_t flags;      /* enum sp_head_flag */
    uint32_t id;         /* RPC: the request's id on its connection */
    uint32_t status;     /* response: as HTTP counts (200, 503 ...), whatever the protocol */
    uint32_t raw_status; /* response: as the protocol counts (Bolt 0x07) */
    int32_t timeout_ms;  /* request: how long the caller waits; <= 0 = it does not say */
    int64_t body_bytes;  /* exact length, or -1 when only the end tells */
    sp_str service;      /* HTTP: authority as sent; RPC: unique service name */
    sp_str method;
    sp_str path;       /* HTTP: origin-form target with query; RPC: empty, see sp_head_path */
    sp_str reason;     /* HTTP response: reason phrase */
    sp_str class_name; /* Bolt */
    sp_str raw;        /* the head's own bytes, behind which the body follows */
    struct sp_header *headers;
    uint32_t header_count, header_cap;
};

/* First header of that id / name (ASCII case folds when the protocol's does); NULL when absent. */
const struct sp_header *sp_head_find(const struct sp_head *head, enum sp_hdr id);
const struct sp_header *sp_head_find_name(const struct sp_head *head, sp_str name);
/* Value of the first, or a string with ptr NULL. */
sp_str sp_head_value(const struct sp_head *head, enum sp_hdr id);
sp_str sp_head_value_name(const struct sp_head *head, sp_str name);
/* The id for a name. HTTP names fold case, RPC names do not. */
enum sp_hdr sp_hdr_of(sp_str name, bool fold);

/* "/service/method" for RPC (built in `arena`), head->path for HTTP. ptr NULL when the arena is out. */
struct sp_arena;
sp_str sp_head_path(const struct sp_head *head, struct sp_arena *arena);

/* Copy what `from` holds in strings and headers into `arena`, so that it outlives the decoded bytes.
 * `strings`: false copies the header table only (the bytes are kept by a slab reference). */
sp_err sp_head_copy(struct sp_head *to, const struct sp_head *from, struct sp_arena *arena,
                    bool strings) SP_MUST_USE;

/* Edits mark the head SP_HEAD_EDITED. Names and values are borrowed for as long as the head lives. */
sp_err sp_head_add(struct sp_head *head, struct sp_arena *arena, sp_str name, sp_str value) SP_MUST_USE;
void sp_head_remove(struct sp_head *head, sp_str name); /* all of that name */
sp_err sp_head_set(struct sp_head *head, struct sp_arena *arena, sp_str name, sp_str value) SP_MUST_USE;

const char *sp_protocol_name(enum sp_protocol protocol); /* "http", "bolt", "tcp": as metrics spell it */

#endif
