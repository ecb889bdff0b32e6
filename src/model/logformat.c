/* logformat: access log formats, from text to parts.
 *
 *      %%                      a per cent sign
 *      %NAME%                  an operator
 *      %NAME(args)%            with arguments
 *      %NAME(args):12%         cut after 12 bytes
 *
 * Lines are written on a thread of their own, from reports of a fixed size; so an operator can only show
 * what a report keeps. Of headers those are few, and each has a slot: whoever asks for another learns it
 * when the configuration is read, and does not find a column of "-" a week later. Operators of Envoy that
 * we lack are known by name, and refused as such; what nobody knows is a slip of the pen.
 *
 * Envoy's default line asks for x-envoy-original-path, else :path. Here :path is the path as it came,
 * before any rewriting, so both names mean the same slot. It also asks for the response's
 * x-envoy-upstream-service-time, which the report has as a time of its own.
 *
 * How a part is shown (the time zone, "-" for nothing, quotes in JSON) is for observe to say. */
#include "model/logformat.h"

#include "base/arena.h"

enum { PARTS_MAX = 256, CUT_MAX = 65536 };

const sp_str sp_log_format_default = SP_STR(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" "
    "\"%UPSTREAM_HOST%\"\n");

static const char *const op_names[SP_LOG_OPS] = {
    [SP_LOG_OP_START_TIME] = "START_TIME",
    [SP_LOG_OP_REQ] = "REQ",
    [SP_LOG_OP_RESP] = "RESP",
    [SP_LOG_OP_RESPONSE_CODE] = "RESPONSE_CODE",
    [SP_LOG_OP_RESPONSE_FLAGS] = "RESPONSE_FLAGS",
    [SP_LOG_OP_RESPONSE_CODE_DETAILS] = "RESPONSE_CODE_DETAILS",
    [SP_LOG_OP_PROTOCOL] = "PROTOCOL",
    [SP_LOG_OP_BYTES_RECEIVED] = "BYTES_RECEIVED",
    [SP_LOG_OP_BYTES_SENT] = "BYTES_SENT",
    [SP_LOG_OP_DURATION] = "DURATION",
    [SP_LOG_OP_REQUEST_DURATION] = "REQUEST_DURATION",
    [SP_LOG_OP_RESPONSE_DURATION] = "RESPONSE_DURATION",
    [SP_LOG_OP_UPSTREAM_SERVICE_TIME] = "UPSTREAM_SERVICE_TIME",
    [SP_LOG_OP_UPSTREAM_HOST] = "UPSTREAM_HOST",
    [SP_LOG_OP_UPSTREAM_CLUSTER] = "UPSTREAM_CLUSTER",
    [SP_LOG_OP_UPSTREAM_LOCAL_ADDRESS] = "UPSTREAM_LOCAL_ADDRESS",
    [SP_LOG_OP_UPSTREAM_TRANSPORT_FAILURE_REASON] = "UPSTREAM_TRANSPORT_FAILURE_REASON",
    [SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS] = "DOWNSTREAM_REMOTE_ADDRESS",
    [SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT] = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    [SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS] = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    [SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT] =
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    [SP_LOG_OP_DOWNSTREAM_LOCAL_ADDRESS] = "DOWNSTREAM_LOCAL_ADDRESS",
    [SP_LOG_OP_ROUTE_NAME] = "ROUTE_NAME",
    [SP_LOG_OP_HOSTNAME] = "HOSTNAME",
    [SP_LOG_OP_TRACE_ID] = "TRACE_ID",
    [SP_LOG_OP_SAMPAN_REASON] = "SAMPAN_REASON",
    [SP_LOG_OP_SERVICE] = "SERVICE",
    [SP_LOG_OP_METHOD] = "METHOD",
    [SP_LOG_OP_ATTEMPTS] = "ATTEMPTS",
};

/* Envoy's others: known, and not kept by a report. */
static const char *const refused_names[] = {
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED_AT",
    "COMMON_DURATION",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT",
    "DYNAMIC_METADATA",
    "CLUSTER_METADATA",
    "EMIT_TIME",
    "ENVIRONMENT",
    "FILTER_CHAIN_NAME",
    "FILTER_STATE",
    "GRPC_STATUS",
    "GRPC_STATUS_NUMBER",
    "METADATA",
    "PATH",
    "QUERY_PARAM",
    "REQ_WITHOUT_QUERY",
    "REQUEST_HEADERS_BYTES",
    "REQUEST_TX_DURATION",
    "REQUESTED_SERVER_NAME",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_TX_DURATION",
    "STREAM_ID",
    "TRAILER",
    "UNIQUE_ID",
    "UPSTREAM_CONNECTION_ID",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_FILTER_STATE",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HOST_NAME",
    "UPSTREAM_HOSTS_ATTEMPTED",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_PORT",
    "UPSTREAM_METADATA",
    "UPSTREAM_PROTOCOL",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "UPSTREAM_TLS_VERSION",
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_WIRE_BYTES_SENT",
    "VIRTUAL_CLUSTER_NAME",
    "PROTOCOL_ERROR_CODE",
    "CUSTOM_FLAGS",
    "FILTER_CHAIN_INFO",
    "DOWNSTREAM_LOCAL_DNS_SAN",
    "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_DETECTED_CLOSE_TYPE",
};

static const struct {
    const char *name; /* lower case */
    enum sp_log_header header;
} headers[] = {
    { ":method", SP_LOG_HEADER_METHOD },
    { ":path", SP_LOG_HEADER_PATH },
    { "x-envoy-original-path", SP_LOG_HEADER_PATH },
    { ":authority", SP_LOG_HEADER_AUTHORITY },
    { "host", SP_LOG_HEADER_AUTHORITY },
    { "user-agent", SP_LOG_HEADER_USER_AGENT },
    { "x-request-id", SP_LOG_HEADER_REQUEST_ID },
    { "x-forwarded-for", SP_LOG_HEADER_FORWARDED_FOR },
};

struct reading {
    sp_str rest; /* not read yet */
    struct sp_arena *arena;
    struct sp_log_part *parts;
    uint32_t count;
    const char *why;
};

const char *sp_log_op_name(enum sp_log_op op)
{
    return op < SP_LOG_OPS ? op_names[op] : NULL;
}

static sp_err complain(struct reading *r, sp_err err, const char *before, sp_str what, const char *behind)
{
    const char *why = sp_arena_printf(r->arena, "%s%.*s%s", before, SP_STR_ARG(sp_str_upto(what, 80)),
                                      behind);
    r->why = why ? why : "memory is out";
    return err;
}

static sp_err add(struct reading *r, struct sp_log_part part)
{
    if (r->count == PARTS_MAX)
        return complain(r, SP_E_LIMIT, "has more than 256 operators and pieces of text", SP_STR(""), "");
    r->parts[r->count++] = part;
    return 0;
}

/* ---- arguments ---- */

static bool is_time_conversion(sp_str format, size_t *at)
{
    char digit = *at < format.len ? format.ptr[*at] : '\0';
    if (digit == '3' || digit == '6' || digit == '9')
        return ++*at < format.len && format.ptr[*at] == 'f';
    return digit && memchr("YmdHMSFTszf%", digit, 12) != NULL;
}

static sp_err read_time(struct reading *r, sp_str args, struct sp_log_part *part)
{
    part->text = args;
    for (size_t i = 0; i < args.len; i++) {
        if (args.ptr[i] != '%')
            continue;
        size_t from = i++;
        if (!is_time_conversion(args, &i))
            return complain(r, SP_E_UNSUPPORTED, "START_TIME does not know ",
                            sp_str_upto(sp_str_from(args, from), 2),
                            "; it knows %Y %m %d %H %M %S %F %T %s %z, %f, %3f, %6f and %9f");
    }
    return 0;
}

static enum sp_log_header find_header(sp_str name)
{
    for (size_t i = 0; i < SP_COUNTOF(headers); i++)
        if (sp_str_eq_nocase(name, sp_str_c(headers[i].name)))
            return headers[i].header;
    return SP_LOG_HEADER_NONE;
}

static sp_err read_header(struct reading *r, sp_str name, enum sp_log_header *ret_header)
{
    *ret_header = find_header(name);
    if (*ret_header)
        return 0;
    if (sp_str_eq_nocase(name, SP_STR("traceparent")))
        return complain(r, SP_E_UNSUPPORTED, "of traceparent the id alone is kept; write %TRACE_ID%",
                        SP_STR(""), "");
    return complain(
        r, SP_E_UNSUPPORTED, "the header \"", name,
        "\" is not kept for logs; these are: :method, :path, :authority, user-agent, x-request-id, "
        "x-forwarded-for");
}

static sp_err read_req(struct reading *r, sp_str args, struct sp_log_part *part)
{
    sp_str second = args, first = sp_str_cut(&second, '?');
    sp_err err = read_header(r, first, &part->header);
    if (err || !second.ptr)
        return err;
    err = read_header(r, second, &part->or_header);
    if (!err && part->or_header == part->header)
        part->or_header = SP_LOG_HEADER_NONE;
    return err;
}

static sp_err read_resp(struct reading *r, sp_str args, struct sp_log_part *part)
{
    if (!sp_str_eq_nocase(args, SP_STR("x-envoy-upstream-service-time")))
        return complain(r, SP_E_UNSUPPORTED,
                        "of a response only x-envoy-upstream-service-time is kept for logs, not \"", args,
                        "\"");
    part->op = SP_LOG_OP_UPSTREAM_SERVICE_TIME;
    return 0;
}

/* ---- operators ---- */

static sp_err find_op(struct reading *r, sp_str name, enum sp_log_op *ret_op)
{
    for (int op = SP_LOG_OP_LITERAL + 1; op < SP_LOG_OPS; op++)
        if (sp_str_eq(name, sp_str_c(op_names[op]))) {
            *ret_op = (enum sp_log_op)op;
            return 0;
        }
    if (sp_str_eq(name, SP_STR("UPSTREAM_CLUSTER_RAW"))) {
        *ret_op = SP_LOG_OP_UPSTREAM_CLUSTER;
        return 0;
    }
    for (size_t i = 0; i < SP_COUNTOF(refused_names); i++)
        if (sp_str_eq(name, sp_str_c(refused_names[i])))
            return complain(r, SP_E_UNSUPPORTED, "the operator %", name, "% is not supported");
    return complain(r, SP_E_INVALID, "there is no operator %", name,
                    "%; a per cent sign itself is written %%");
}

static sp_err read_args(struct reading *r, enum sp_log_op op, sp_str name, bool has_args, sp_str args,
                        struct sp_log_part *part)
{
    switch (op) {
    case SP_LOG_OP_START_TIME: return read_time(r, args, part);
    case SP_LOG_OP_REQ: return read_req(r, args, part);
    case SP_LOG_OP_RESP: return read_resp(r, args, part);
    default: break;
    }
    return has_args ? complain(r, SP_E_INVALID, "the operator %", name, "% takes no argument") : 0;
}

/* ":12" before the closing per cent sign. */
static sp_err read_cut(struct reading *r, sp_str name, struct sp_log_part *part)
{
    uint64_t cut;
    r->rest = sp_str_from(r->rest, 1);
    sp_str digits = sp_str_upto(r->rest, sp_str_find(r->rest, '%'));
    if (sp_str_to_u64(digits, &cut) || cut == 0 || cut > CUT_MAX)
        return complain(r, SP_E_INVALID, "after the colon of %", name,
                        "% a length from 1 to 65536 is expected");
    part->max_bytes = (uint32_t)cut;
    r->rest = sp_str_from(r->rest, digits.len);
    return 0;
}

/* Behind the first per cent sign. */
static sp_err read_op(struct reading *r)
{
    struct sp_log_part part = { .op = SP_LOG_OP_LITERAL };
    size_t len = 0;
    while (len < r->rest.len &&
           ((r->rest.ptr[len] >= 'A' && r->rest.ptr[len] <= 'Z') || r->rest.ptr[len] == '_'))
        len++;
    sp_str name = sp_str_upto(r->rest, len), args = SP_STR("");
    sp_err err = find_op(r, name.len ? name : sp_str_upto(r->rest, sp_str_find(r->rest, '%')), &part.op);
    if (err)
        return err;
    r->rest = sp_str_from(r->rest, len);
    bool has_args = r->rest.len && r->rest.ptr[0] == '(';
    if (has_args) {
        size_t end = sp_str_find(r->rest, ')');
        if (end == r->rest.len)
            return complain(r, SP_E_INVALID, "the parenthesis of %", name, " is not closed");
        args = sp_str_from(sp_str_upto(r->rest, end), 1);
        r->rest = sp_str_from(r->rest, end + 1);
    }
    err = read_args(r, part.op, name, has_args, args, &part);
    if (!err && r->rest.len && r->rest.ptr[0] == ':')
        err = read_cut(r, name, &part);
    if (err)
        return err;
    if (!r->rest.len || r->rest.ptr[0] != '%')
        return complain(r, SP_E_INVALID, "a per cent sign is missing behind %", name, "");
    r->rest = sp_str_from(r->rest, 1);
    return add(r, part);
}

static sp_err read_next(struct reading *r)
{
    size_t len = sp_str_find(r->rest, '%');
    sp_str literal = sp_str_upto(r->rest, len);
    if (!len && r->rest.len > 1 && r->rest.ptr[1] == '%')
        literal = sp_str_upto(r->rest, 1);
    if (!literal.len) {
        r->rest = sp_str_from(r->rest, 1);
        return read_op(r);
    }
    r->rest = sp_str_from(r->rest, len ? len : 2);
    return add(r, (struct sp_log_part){ .op = SP_LOG_OP_LITERAL, .text = literal });
}

sp_err sp_log_format_parse(sp_str text, struct sp_arena *arena, struct sp_log_part **ret_parts,
                           uint32_t *ret_count, const char **ret_why)
{
    size_t most = 1; /* each per cent sign begins a part, and ends one */
    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == '%';
    struct reading r = { .rest = text, .arena = arena, .why = "memory is out" };
    r.parts = sp_arena_array(arena, SP_MIN(most + 1, (size_t)PARTS_MAX), sizeof(*r.parts));
    sp_err err = r.parts ? 0 : SP_E_NOMEM;
    while (!err && r.rest.len)
        err = read_next(&r);
    if (err) {
        *ret_why = r.why;
        return err;
    }
    *ret_parts = r.parts;
    *ret_count = r.count;
    return 0;
}
