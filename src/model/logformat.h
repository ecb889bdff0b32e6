/* logformat: the language of access log lines: literal text and Envoy's operators, read once into parts.
 *
 *      "%REQ(:METHOD)% %RESPONSE_CODE% in %DURATION% ms\n"
 *
 * Who reads configuration refuses with it what cannot be written, and who writes lines walks the parts.
 * Only what a report keeps can be asked for. No allocation besides the array of parts. */
#ifndef SP_MODEL_LOGFORMAT_H
#define SP_MODEL_LOGFORMAT_H

#include <stdint.h>

#include "base/str.h"

struct sp_arena;

enum sp_log_op {
    SP_LOG_OP_LITERAL,
    SP_LOG_OP_START_TIME, /* of %Y %m %d %H %M %S %F %T %s %z %f %3f %6f %9f; ISO, ms */
    SP_LOG_OP_REQ,        /* a request's header; `header` says which */
    SP_LOG_OP_RESP,
    SP_LOG_OP_RESPONSE_CODE,
    SP_LOG_OP_RESPONSE_FLAGS,
    SP_LOG_OP_RESPONSE_CODE_DETAILS,
    SP_LOG_OP_PROTOCOL,
    SP_LOG_OP_BYTES_RECEIVED,
    SP_LOG_OP_BYTES_SENT,
    SP_LOG_OP_DURATION, /* all four in ms */
    SP_LOG_OP_REQUEST_DURATION,
    SP_LOG_OP_RESPONSE_DURATION,
    SP_LOG_OP_UPSTREAM_SERVICE_TIME, /* RESP(X-ENVOY-UPSTREAM-SERVICE-TIME) */
    SP_LOG_OP_UPSTREAM_HOST,
    SP_LOG_OP_UPSTREAM_CLUSTER, /* and UPSTREAM_CLUSTER_RAW */
    SP_LOG_OP_UPSTREAM_LOCAL_ADDRESS,
    SP_LOG_OP_UPSTREAM_TRANSPORT_FAILURE_REASON,
    SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS,
    SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT,
    SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS,
    SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT,
    SP_LOG_OP_DOWNSTREAM_LOCAL_ADDRESS,
    SP_LOG_OP_ROUTE_NAME,
    SP_LOG_OP_HOSTNAME,
    SP_LOG_OP_TRACE_ID,
    /* ours */
    SP_LOG_OP_SAMPAN_REASON,
    SP_LOG_OP_SERVICE,
    SP_LOG_OP_METHOD,
    SP_LOG_OP_ATTEMPTS,
    SP_LOG_OPS
};

/* Of a request, what a report keeps. */
enum sp_log_header {
    SP_LOG_HEADER_NONE,
    SP_LOG_HEADER_METHOD,    /* :method */
    SP_LOG_HEADER_PATH,      /* :path as it came; x-envoy-original-path too */
    SP_LOG_HEADER_AUTHORITY, /* :authority, host */
    SP_LOG_HEADER_USER_AGENT,
    SP_LOG_HEADER_REQUEST_ID,
    SP_LOG_HEADER_FORWARDED_FOR,
};

struct sp_log_part {
    enum sp_log_op op;
    enum sp_log_header header;    /* REQ */
    enum sp_log_header or_header; /* REQ(X?Y): when X is empty; NONE = there is none */
    uint32_t max_bytes;           /* of the value; 0 = all of it */
    sp_str text;                  /* LITERAL; START_TIME: its format, empty = the default */
};

/* Parts point into `text`, which the caller keeps. SP_E_UNSUPPORTED: Envoy knows the operator or header and
 * we do not; SP_E_INVALID: it is none. Then *ret_why says which and what to write, in `arena`. */
sp_err sp_log_format_parse(sp_str text, struct sp_arena *arena, struct sp_log_part **ret_parts,
                           uint32_t *ret_count, const char **ret_why) SP_MUST_USE;

/* "RESPONSE_CODE"; NULL for LITERAL. */
const char *sp_log_op_name(enum sp_log_op op);

/* Envoy's line where a log says no format of its own. */
extern const sp_str sp_log_format_default;

#endif
