/* listener: where calls come in and what is done with them. Immutable; lives in its resource's arena. */
#ifndef SP_MODEL_LISTENER_H
#define SP_MODEL_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"
#include "model/route.h"

enum sp_direction { SP_DIRECTION_NONE, SP_DIRECTION_INBOUND, SP_DIRECTION_OUTBOUND };

/* How an access log line is made. */
enum sp_log_format { SP_LOG_TEXT, SP_LOG_JSON };

struct sp_log_spec {
    sp_str path; /* /dev/stdout, /dev/stderr or a file */
    enum sp_log_format format;
    sp_str text;                       /* Envoy's operators; TEXT */
    const struct sp_log_field *fields; /* JSON: key -> format text, in order */
    uint32_t field_count;
};

struct sp_log_field {
    sp_str key, text;
};

enum sp_chain_kind { SP_CHAIN_HTTP, SP_CHAIN_RPC, SP_CHAIN_TCP };

/* wide because it is a record of configuration: a field for each thing that can be said.
 * HttpConnectionManager, RpcConnectionManager and TcpProxy as the proxy sees them. */
struct sp_chain_spec {
    sp_str name;
    enum sp_chain_kind kind;
    sp_str stat_prefix;
    /* which connections: all conditions that are set must hold; most specific first (Envoy's order) */
    uint16_t match_port;             /* original destination; 0 = any */
    const struct sp_net *match_nets; /* original destination */
    uint32_t match_net_count;
    const struct sp_net *match_sources;
    uint32_t match_source_count;
    const sp_str *match_protocols; /* as detected: "http/1.1", "bolt"; application_protocols */
    uint32_t match_protocol_count;
    bool match_raw; /* transport_protocol: raw_buffer */
    /* HTTP, RPC */
    uint8_t protocol; /* enum sp_protocol; NONE = by the first bytes */
    const struct sp_route_table *routes;
    uint64_t stream_idle_ns;     /* Envoy's default 5 min */
    uint64_t request_timeout_ns; /* whole request must have come; 0 = none */
    uint64_t headers_timeout_ns; /* a head, or what is waited for whole, must be there; 0 = 30 s */
    uint64_t idle_ns;            /* connection without a call; Envoy's default 1 h */
    uint64_t max_connection_ns;  /* 0 = none */
    uint32_t max_headers_kb;     /* 60 */
    uint32_t max_headers;        /* 100 */
    bool use_remote_address;     /* edge: do not believe x-forwarded-for */
    uint32_t xff_hops;           /* proxies of ours before us: see proxy/client.c */
    sp_str server_name;          /* "server:" header; empty = none */
    bool generate_request_id;    /* true */
    bool preserve_request_id;
    bool upgrade_websocket, upgrade_connect;
    bool normalize_path, merge_slashes;
    /* TCP */
    sp_str cluster;
    const struct sp_weighted *weighted;
    uint32_t weighted_count, weight_total;
    uint64_t tcp_idle_ns;      /* 1 h */
    uint32_t connect_attempts; /* 1 */
    const struct sp_log_spec *logs;
    uint32_t log_count;
};

struct sp_net {
    sp_addr addr;
    uint32_t bits;
};

struct sp_listener_spec {
    sp_str name;
    sp_addr addr;
    enum sp_direction direction;
    bool bind;              /* false: only reached through another's original destination */
    bool use_original_dst;  /* hand a connection to the listener of its original destination */
    bool read_original_dst; /* listener filter original_dst */
    bool transparent;       /* TPROXY */
    bool proxy_protocol;    /* listener filter proxy_protocol */
    bool proxy_protocol_optional;
    bool detect;        /* some chain needs the first bytes */
    uint64_t detect_ns; /* listener_filters_timeout: then it is TCP (server-first protocols) */
    uint32_t backlog;
    uint32_t buffer_bytes;    /* per connection; 0 = 1 MiB */
    uint32_t max_connections; /* in all workers together; 0 = the process's cap only */
    uint32_t unix_mode;
    const struct sp_chain_spec *chains; /* default chain last */
    uint32_t chain_count;
    bool has_default;
};

#endif
