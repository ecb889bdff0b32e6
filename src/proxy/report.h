/* report: one record for each finished call (or TCP connection), written into the worker's ring when it
 * ends, formatted by observe/ on another thread. Fixed size: long strings are cut, and the cut is marked. */
#ifndef SP_PROXY_REPORT_H
#define SP_PROXY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"
#include "proxy/why.h"

enum { SP_REPORT_TEXT = 456 };

/* Strings of the call, in this order one behind the other in `text`, `len[]` long each. */
enum sp_report_str {
    SP_REPORT_REQUEST_ID, /* x-request-id, or the SOFA trace id */
    SP_REPORT_TRACE_ID,   /* of traceparent, or the SOFA trace id */
    SP_REPORT_CLUSTER,
    SP_REPORT_ROUTE,
    SP_REPORT_CHAIN,   /* stat_prefix */
    SP_REPORT_FAILURE, /* upstream transport failure, in words */
    SP_REPORT_METHOD,
    SP_REPORT_SERVICE,    /* authority, unique service name */
    SP_REPORT_CALLER_APP, /* Bolt: app */
    SP_REPORT_USER_AGENT,
    SP_REPORT_FORWARDED_FOR,
    SP_REPORT_PATH, /* last: what is long is cut, not what the call is found by */
    SP_REPORT_STRS
};

/* wide because it is a record: a field for each thing that can be asked of a call. */
struct sp_report {
    uint64_t wall_start_ns;                         /* since 1970 */
    uint64_t duration_ns;                           /* first byte in to last byte out */
    uint64_t request_ns;                            /* until the request's last byte came; 0 = it did not */
    uint64_t upstream_ns;                           /* until the answer's first byte came; 0 = none */
    uint64_t bytes_received, bytes_sent;            /* bodies */
    sp_addr downstream, downstream_local, upstream; /* `upstream.family` NONE: never picked */
    sp_addr upstream_local;
    sp_addr downstream_direct; /* whoever connected; `downstream` is whom proxies before us name */
    uint32_t raw_status;
    uint16_t status;
    uint16_t why;       /* enum sp_why */
    uint16_t retry_why; /* of the last attempt that was followed by another */
    uint8_t protocol;   /* enum sp_protocol */
    uint8_t proto_minor;
    uint8_t direction;              /* enum sp_direction */
    uint8_t attempts;               /* 1 = no retry */
    uint8_t app_error, oneway, cut; /* cut: some string did not fit */
    uint8_t log_mask;               /* which of the chain's logs want it: bit i = logs[i] */
    const void *chain;              /* identity of the chain, to find its logs; never followed */
    uint16_t len[SP_REPORT_STRS];
    char text[SP_REPORT_TEXT];
};

/* An address for a record: whoever owns a path may be gone when the record is read. */
static inline sp_addr sp_report_addr(sp_addr addr)
{
    if (addr.family == SP_ADDR_UNIX)
        addr.path = NULL;
    return addr;
}

struct sp_origin;
/* Who called, who connected, what was called. */
void sp_report_origin(struct sp_report *report, const struct sp_origin *origin);

/* Is it one that somebody will ask after? A success by one notion for all protocols is none, whatever else
 * was refused: what the route itself answers well is none either. */
static inline bool sp_report_failed(const struct sp_report *report)
{
    bool by_route = report->why == SP_WHY_DIRECT || report->why == SP_WHY_REDIRECT;
    return (report->why != SP_WHY_NONE && !(by_route && report->status < 400)) || report->status >= 500 ||
           report->app_error;
}

static inline sp_str sp_report_str(const struct sp_report *report, enum sp_report_str which)
{
    size_t at = 0;
    for (int i = 0; i < (int)which; i++)
        at += report->len[i];
    return (sp_str){ report->text + at, report->len[which] };
}

#endif
