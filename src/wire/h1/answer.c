/* answer: what we say ourselves: status words, and a complete error answer.
 *
 *      HTTP/1.1 503 Service Unavailable
 *      x-sampan-reason: NO_HEALTHY         the code that log and metrics show
 *      x-request-id: 7f3c...               the request's, when it had one: for /why?id=
 *      Content-Type: text/plain
 *      Content-Length: 31
 *      Connection: close                   when this is the last answer here
 *
 *      no healthy endpoint for cluster     for the person who reads curl's output
 *
 * There is no Date: codecs have no clock, and RFC 9110 6.6.1 lets an origin without one leave it out. The
 * answer to HEAD says the length and has no body. A request whose head was never understood is NULL; its
 * answer is framed for HTTP/1.1, which any client of 1.0 can read when the connection closes behind it. */
#include "wire/h1/h1_impl.h"

#include "wire/chars_impl.h"

struct phrase {
    uint16_t status;
    sp_str words;
};

#define PHRASE(status, words)                                                                                \
    {                                                                                                        \
        status,                                                                                              \
        {                                                                                                    \
            words, sizeof(words) - 1                                                                         \
        }                                                                                                    \
    }

/* RFC 9110 15, RFC 6585, RFC 4918; in the order of what is common. */
static const struct phrase phrases[] = {
    PHRASE(200, "OK"),
    PHRASE(404, "Not Found"),
    PHRASE(503, "Service Unavailable"),
    PHRASE(500, "Internal Server Error"),
    PHRASE(201, "Created"),
    PHRASE(204, "No Content"),
    PHRASE(304, "Not Modified"),
    PHRASE(302, "Found"),
    PHRASE(301, "Moved Permanently"),
    PHRASE(307, "Temporary Redirect"),
    PHRASE(308, "Permanent Redirect"),
    PHRASE(400, "Bad Request"),
    PHRASE(401, "Unauthorized"),
    PHRASE(403, "Forbidden"),
    PHRASE(429, "Too Many Requests"),
    PHRASE(502, "Bad Gateway"),
    PHRASE(504, "Gateway Timeout"),
    PHRASE(100, "Continue"),
    PHRASE(101, "Switching Protocols"),
    PHRASE(103, "Early Hints"),
    PHRASE(202, "Accepted"),
    PHRASE(203, "Non-Authoritative Information"),
    PHRASE(205, "Reset Content"),
    PHRASE(206, "Partial Content"),
    PHRASE(300, "Multiple Choices"),
    PHRASE(303, "See Other"),
    PHRASE(405, "Method Not Allowed"),
    PHRASE(406, "Not Acceptable"),
    PHRASE(407, "Proxy Authentication Required"),
    PHRASE(408, "Request Timeout"),
    PHRASE(409, "Conflict"),
    PHRASE(410, "Gone"),
    PHRASE(411, "Length Required"),
    PHRASE(412, "Precondition Failed"),
    PHRASE(413, "Content Too Large"),
    PHRASE(414, "URI Too Long"),
    PHRASE(415, "Unsupported Media Type"),
    PHRASE(416, "Range Not Satisfiable"),
    PHRASE(417, "Expectation Failed"),
    PHRASE(421, "Misdirected Request"),
    PHRASE(422, "Unprocessable Content"),
    PHRASE(425, "Too Early"),
    PHRASE(426, "Upgrade Required"),
    PHRASE(428, "Precondition Required"),
    PHRASE(431, "Request Header Fields Too Large"),
    PHRASE(501, "Not Implemented"),
    PHRASE(505, "HTTP Version Not Supported"),
    PHRASE(507, "Insufficient Storage"),
    PHRASE(511, "Network Authentication Required"),
};

sp_str sp_h1_reason(uint32_t status)
{
    for (size_t i = 0; i < SP_COUNTOF(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].words;
    return SP_STR("Unknown");
}

/* The request's id as a header of the answer; one that nobody would make as long is left out. */
static bool copy_id(const struct sp_head *request, struct sp_header *ret_header)
{
    sp_str id = request ? sp_head_value(request, SP_HDR_X_REQUEST_ID) : SP_STR_NULL;
    if (!id.len || id.len > SP_H1_ERROR_ID_MAX || !sp_char_all(id, SP_CHAR_VALUE))
        return false;
    *ret_header = (struct sp_header){ "x-request-id", id.ptr, (uint32_t)id.len, 12, SP_HDR_X_REQUEST_ID, 0 };
    return true;
}

ssize_t sp_h1_encode_error(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text,
                           bool last, char *out, size_t room)
{
    SP_ASSERT(status >= 200 && status != 204 && status != 304);
    if (!sp_char_all(reason_code, SP_CHAR_TOKEN))
        return SP_E_INVALID;
    bool no_body = request && sp_str_eq(request->method, SP_STR("HEAD"));

    struct sp_header headers[3];
    uint32_t count = 0;
    if (reason_code.len) /* else unsaid */
        headers[count++] = (struct sp_header){
            "x-sampan-reason", reason_code.ptr, (uint32_t)reason_code.len, 15, SP_HDR_OTHER, 0
        };
    count += copy_id(request, &headers[count]);
    headers[count++] = (struct sp_header){ "Content-Type", "text/plain", 10, 12, SP_HDR_CONTENT_TYPE, 0 };
    struct sp_head head = {
        .kind = SP_MSG_RESPONSE,
        .protocol = SP_PROTO_HTTP1,
        .status = status,
        .body_bytes = (int64_t)text.len,
        .headers = headers,
        .header_count = count,
        .flags = last ? SP_HEAD_LAST : 0,
    };
    if (request)
        head.flags |= request->flags & SP_HEAD_OLD;

    ssize_t len = sp_h1_encode_head(&head, out, room);
    if (len < 0 || no_body || text.len == 0)
        return len;
    if (text.len > room - (size_t)len)
        return SP_E_LIMIT;
    memcpy(out + len, text.ptr, text.len);
    return len + (ssize_t)text.len;
}
