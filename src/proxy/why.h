/* why: every decision leaves a reason, one code. Set where it is decided, never overwritten; shown in the
 * access log, the metrics, x-sampan-reason, /why and docs/reasons.md (generated from the table here). */
#ifndef SP_PROXY_WHY_H
#define SP_PROXY_WHY_H

#include <stdint.h>

enum sp_why {
    SP_WHY_NONE,     /* the upstream's own answer */
    SP_WHY_DIRECT,   /* route says direct_response */
    SP_WHY_REDIRECT, /* route says redirect */
    SP_WHY_NO_ROUTE,
    SP_WHY_NO_CLUSTER,
    SP_WHY_NO_HEALTHY,
    SP_WHY_NO_ORIGINAL_DST,
    SP_WHY_DNS, /* the cluster's names have no address yet */
    SP_WHY_CONNECT,
    SP_WHY_CONNECT_TIMEOUT,
    SP_WHY_POOL_FULL,   /* connections and the pending queue are at their limits */
    SP_WHY_BREAKER,     /* requests of the cluster are at their limit */
    SP_WHY_RETRY_LIMIT, /* retries were wanted and are used up; the last failure is the answer */
    SP_WHY_UPSTREAM_RESET,
    SP_WHY_UPSTREAM_CLOSED,
    SP_WHY_UPSTREAM_PROTOCOL,
    SP_WHY_TIMEOUT,
    SP_WHY_STREAM_IDLE,
    SP_WHY_CLIENT_GONE,
    SP_WHY_BAD_REQUEST,
    SP_WHY_BAD_FRAME,
    SP_WHY_HEAD_TOO_LARGE,
    SP_WHY_URI_TOO_LONG,
    SP_WHY_UNSUPPORTED, /* well formed, known, refused: transfer coding, upgrade */
    SP_WHY_HTTP_VERSION,
    SP_WHY_HEADERS_TIMEOUT,
    SP_WHY_REQUEST_TIMEOUT,
    SP_WHY_TOO_MANY_STREAMS,
    SP_WHY_MEMORY,
    SP_WHY_DESCRIPTORS,
    SP_WHY_REGEX_LIMIT,
    SP_WHY_UPGRADE_REFUSED,
    SP_WHY_PROTOCOL_MISMATCH, /* cluster speaks another protocol than the caller */
    SP_WHY_BACKWARD,          /* a request came backwards and it is not clear to whom */
    SP_WHY_DRAINING,
    /* of connections */
    SP_WHY_LISTENER_FULL,
    SP_WHY_NO_CHAIN,
    SP_WHY_NOT_DETECTED,
    SP_WHY_PROXY_PROTOCOL,
    SP_WHY_IDLE,
    SP_WHY_MAX_AGE,
    SP_WHY_STALLED, /* a reader took nothing for too long */
    SP_WHY_HEARTBEAT_LOST,
    SP_WHY_COUNT
};

struct sp_why_row {
    const char *code;   /* "NO_ROUTE" */
    uint16_t status;    /* what the caller gets, as HTTP counts; 0 = nothing can be said */
    const char *flag;   /* Envoy's response flag, "-" when none */
    const char *detail; /* Envoy's response_code_details where it has one, else ours */
    const char *text;   /* for people: what happened */
    const char *advice; /* for people: what to do */
};

const struct sp_why_row *sp_why_row(enum sp_why why);

#endif
