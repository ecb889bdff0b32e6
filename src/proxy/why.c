/* why: the table of reasons. docs/reasons.md is printed from it, so a reason cannot be without its words.
 *
 * Order is that of enum sp_why. status 0: nothing can be said to the caller (it is gone, or the reason is a
 * connection's). Flags are Envoy's response flags, so that dashboards go on working; detail is Envoy's
 * response_code_details where it has one. */
#include "proxy/why.h"

#include "base/err.h"

static const struct sp_why_row rows[] = {
    [SP_WHY_NONE] = { "NONE", 0, "-", "via_upstream", "the upstream answered", "nothing" },
    [SP_WHY_DIRECT] = { "DIRECT", 200, "-", "direct_response", "the route answers by itself", "nothing; the route says direct_response" },
    [SP_WHY_REDIRECT] = { "REDIRECT", 301, "-", "direct_response", "the route redirects", "nothing; the route says redirect" },
    [SP_WHY_NO_ROUTE] = { "NO_ROUTE", 404, "NR", "route_not_found", "no route matches the call",
                          "compare service and path with the route table in /config_dump" },
    [SP_WHY_NO_CLUSTER] = { "NO_CLUSTER", 503, "NC", "cluster_not_found", "the route names a cluster that does not exist",
                            "add the cluster, or mend the route" },
    [SP_WHY_NO_HEALTHY] = { "NO_HEALTHY", 503, "UH", "no_healthy_upstream", "the cluster has no usable endpoint",
                            "look at /clusters: is the set empty, or is everything unhealthy?" },
    [SP_WHY_NO_ORIGINAL_DST] = { "NO_ORIGINAL_DST", 503, "UH", "no_healthy_upstream", "the call's original destination is not known",
                                 "calls to this cluster must come through interception, or carry its header" },
    [SP_WHY_DNS] = { "DNS", 503, "DF", "dns_resolution_failure", "the cluster's names have no address",
                     "does the name resolve on this machine? see update_failure of the cluster" },
    [SP_WHY_CONNECT] = { "CONNECT", 503, "UF", "upstream_reset_before_response_started{connection_failure}",
                         "no connection to the endpoint", "is the endpoint up and reachable from here?" },
    [SP_WHY_CONNECT_TIMEOUT] = { "CONNECT_TIMEOUT", 503, "UF", "upstream_reset_before_response_started{connection_timeout}",
                                 "the endpoint did not accept in time", "is the endpoint up? connect_timeout of the cluster bounds this" },
    [SP_WHY_POOL_FULL] = { "POOL_FULL", 503, "UO", "upstream_reset_before_response_started{overflow}",
                           "connections and waiting calls of the cluster are at their limits",
                           "raise max_connections or max_pending_requests, or add endpoints" },
    [SP_WHY_BREAKER] = { "BREAKER", 503, "UO", "upstream_reset_before_response_started{overflow}",
                         "calls under way to the cluster are at their limit", "raise max_requests, or add endpoints" },
    [SP_WHY_RETRY_LIMIT] = { "RETRY_LIMIT", 503, "URX", "upstream_retry_limit_exceeded", "retries are used up", "look at the endpoints' errors" },
    [SP_WHY_UPSTREAM_RESET] = { "UPSTREAM_RESET", 503, "UC", "upstream_reset_before_response_started{connection_termination}",
                                "the endpoint cut the connection", "look at the endpoint's log for that instant" },
    [SP_WHY_UPSTREAM_CLOSED] = { "UPSTREAM_CLOSED", 503, "UC", "upstream_reset_before_response_started{connection_termination}",
                                 "the endpoint closed the connection without an answer", "does it close idle connections earlier than we do?" },
    [SP_WHY_UPSTREAM_PROTOCOL] = { "UPSTREAM_PROTOCOL", 502, "UPE", "upstream_reset_before_response_started{protocol_error}",
                                   "the endpoint's answer breaks the protocol", "the access log's failure names the fault" },
    [SP_WHY_TIMEOUT] = { "TIMEOUT", 504, "UT", "response_timeout", "the answer did not come in time", "raise the route's timeout, or look why the endpoint is slow" },
    [SP_WHY_STREAM_IDLE] = { "STREAM_IDLE", 504, "SI", "stream_idle_timeout", "nothing moved for too long", "raise stream_idle_timeout, or look who stopped" },
    [SP_WHY_CLIENT_GONE] = { "CLIENT_GONE", 0, "DC", "downstream_remote_disconnect", "the caller went away", "nothing here; compare with the caller's own timeout" },
    [SP_WHY_BAD_REQUEST] = { "BAD_REQUEST", 400, "DPE", "http1.codec_error", "the request breaks the grammar", "the access log's failure names the fault" },
    [SP_WHY_BAD_FRAME] = { "BAD_FRAME", 400, "DPE", "rpc.codec_error", "the frame breaks the grammar", "the access log's failure names the fault" },
    [SP_WHY_HEAD_TOO_LARGE] = { "HEAD_TOO_LARGE", 431, "DPE", "request_headers_too_large", "the head is larger than allowed", "raise max_request_headers_kb, or send less" },
    [SP_WHY_URI_TOO_LONG] = { "URI_TOO_LONG", 414, "DPE", "request_uri_too_long", "the request line is longer than allowed", "send less in the path" },
    [SP_WHY_BODY_TOO_LARGE] = { "BODY_TOO_LARGE", 413, "DPE", "request_payload_too_large", "the body is larger than allowed", "send less" },
    [SP_WHY_UNSUPPORTED] = { "UNSUPPORTED", 501, "DPE", "http1.unsupported", "the request asks for something we refuse", "only the chunked coding is forwarded" },
    [SP_WHY_HTTP_VERSION] = { "HTTP_VERSION", 505, "DPE", "http1.version", "the version is not HTTP/1.0 or 1.1", "speak HTTP/1.1" },
    [SP_WHY_HEADERS_TIMEOUT] = { "HEADERS_TIMEOUT", 408, "DPE", "request_header_timeout", "the request's head did not end in time", "is the client slow, or an attack? request_headers_timeout bounds this" },
    [SP_WHY_REQUEST_TIMEOUT] = { "REQUEST_TIMEOUT", 408, "SI", "request_overall_timeout", "the request's body did not come in time", "is the client slow? stream_idle_timeout and request_timeout bound this" },
    [SP_WHY_TOO_MANY_STREAMS] = { "TOO_MANY_STREAMS", 503, "OM", "overload", "the process has too many calls under way", "raise max_streams, or add instances" },
    [SP_WHY_MEMORY] = { "MEMORY", 503, "OM", "overload", "memory for the call is used up", "raise memory_bytes, or look who holds it: /memory" },
    [SP_WHY_DESCRIPTORS] = { "DESCRIPTORS", 503, "OM", "overload", "no file descriptor is left", "raise LimitNOFILE" },
    [SP_WHY_REGEX_LIMIT] = { "REGEX_LIMIT", 500, "NR", "regex_limit", "a regular expression of the route table reached its limit", "simplify the expression" },
    [SP_WHY_UPGRADE_REFUSED] = { "UPGRADE_REFUSED", 403, "-", "upgrade_failed", "the listener does not allow this upgrade or CONNECT", "add it to upgrade_configs" },
    [SP_WHY_PROTOCOL_MISMATCH] = { "PROTOCOL_MISMATCH", 502, "NC", "protocol_mismatch", "the cluster speaks another protocol than the caller", "send the route to a cluster of this protocol" },
    [SP_WHY_BACKWARD] = { "BACKWARD", 503, "NR", "backward_unknown", "a request came backwards on a connection that several callers shared",
                          "from now on callers get connections of their own: call again" },
    [SP_WHY_DRAINING] = { "DRAINING", 503, "-", "draining", "the process is about to end", "nothing: call again, another instance answers" },
    [SP_WHY_LISTENER_FULL] = { "LISTENER_FULL", 0, "-", "overload", "the listener or process has too many connections", "raise max_connections" },
    [SP_WHY_NO_CHAIN] = { "NO_CHAIN", 0, "NR", "filter_chain_not_found", "no filter chain matches the connection", "add a default_filter_chain" },
    [SP_WHY_NOT_DETECTED] = { "NOT_DETECTED", 0, "-", "not_detected", "the first bytes speak no protocol that a chain takes", "add a TCP chain for what is not recognised" },
    [SP_WHY_PROXY_PROTOCOL] = { "PROXY_PROTOCOL", 0, "-", "proxy_protocol", "the PROXY header is missing or broken", "does the balancer before us send it?" },
    [SP_WHY_IDLE] = { "IDLE", 0, "-", "idle_timeout", "nothing was called for too long", "nothing" },
    [SP_WHY_MAX_AGE] = { "MAX_AGE", 0, "-", "max_connection_duration", "the connection reached its age", "nothing" },
    [SP_WHY_STALLED] = { "STALLED", 0, "-", "stalled", "the peer took no byte for too long while others waited", "is the peer stuck?" },
    [SP_WHY_HEARTBEAT_LOST] = { "HEARTBEAT_LOST", 503, "UC", "heartbeat", "the endpoint did not answer three heartbeats", "is the endpoint stuck?" },
};

const struct sp_why_row *sp_why_row(enum sp_why why)
{
    SP_ASSERT(SP_COUNTOF(rows) == SP_WHY_COUNT && why < SP_WHY_COUNT && rows[why].code);
    return &rows[why];
}
