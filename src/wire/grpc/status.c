/* status: how gRPC says what became of a call, and how long it may take.
 *
 * The status stands in the trailers (or in a head that is the whole answer), so HTTP's own is 200 whatever
 * happened. grpc-message is percent-coded text: bytes outside blank to tilde, and the percent sign itself. A
 * reader must not fail on what is not well coded (gRPC's page says so), so it stays as it is.
 *
 * grpc-timeout is at most eight digits and a unit; hours of eight digits fit into 64 bits of nanoseconds only
 * just not, and then mean "for ever". Written, it is the finest unit that holds it, rounded up: a limit that
 * is passed on must not end before ours. */
#include "wire/grpc/grpc.h"

#include "wire/chars_impl.h"

bool sp_grpc_is_type(sp_str type)
{
    static const sp_str word = { "application/grpc", 16 };
    return sp_str_starts_nocase(type, word) &&
           (type.len == word.len || type.ptr[word.len] == '+' || type.ptr[word.len] == ';');
}

const char *sp_grpc_code_name(uint32_t code)
{
    static const char *const names[SP_GRPC_CODES] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    return code < SP_GRPC_CODES ? names[code] : "UNKNOWN";
}

enum sp_grpc_code sp_grpc_of_http(uint32_t status)
{
    switch (status) {
    case 400: return SP_GRPC_INTERNAL;
    case 401: return SP_GRPC_UNAUTHENTICATED;
    case 403: return SP_GRPC_PERMISSION_DENIED;
    case 404: return SP_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return SP_GRPC_UNAVAILABLE;
    default: return SP_GRPC_UNKNOWN;
    }
}

enum sp_grpc_code sp_grpc_of_own(uint32_t status)
{
    switch (status) {
    case 408:
    case 504: return SP_GRPC_DEADLINE_EXCEEDED;
    case 413:
    case 431: return SP_GRPC_RESOURCE_EXHAUSTED;
    case 501: return SP_GRPC_UNIMPLEMENTED;
    default: return sp_grpc_of_http(status);
    }
}

sp_err sp_grpc_status(const struct sp_head *head, uint32_t *ret_code)
{
    sp_str text = sp_head_value_name(head, SP_STR("grpc-status"));
    uint64_t code;
    if (!text.ptr)
        return SP_E_MISSING;
    if (text.len > 3 || sp_str_to_u64(text, &code) != SP_OK)
        return SP_E_INVALID;
    *ret_code = (uint32_t)code;
    return SP_OK;
}

size_t sp_grpc_message(const struct sp_head *head, char *out, size_t room)
{
    sp_str text = sp_head_value_name(head, SP_STR("grpc-message"));
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < room; i++) {
        char c = text.ptr[i];
        if (c == '%' && text.len - i > 2 && sp_char_is(text.ptr[i + 1], SP_CHAR_HEX) &&
            sp_char_is(text.ptr[i + 2], SP_CHAR_HEX)) {
            c = (char)(sp_char_hex(text.ptr[i + 1]) << 4 | sp_char_hex(text.ptr[i + 2]));
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

size_t sp_grpc_put_message(sp_str words, char *out, size_t room)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < words.len;) {
        size_t run = sp_str_utf8_at(sp_str_from(words, i)), first = n;
        run = run ? run : 1;
        for (size_t k = 0; k < run; k++) {
            unsigned char c = (unsigned char)words.ptr[i + k];
            bool plain = c >= ' ' && c <= '~' && c != '%';
            /* blanks at the ends would be taken off as a header's */
            plain = plain && !(c == ' ' && (i + k == 0 || i + k + 1 == words.len));
            if (room - n < (plain ? 1u : 3u))
                return first;
            if (plain) {
                out[n++] = (char)c;
            } else {
                out[n++] = '%';
                out[n++] = hex[c >> 4];
                out[n++] = hex[c & 15];
            }
        }
        i += run;
    }
    return n;
}

uint32_t sp_grpc_trailers(enum sp_grpc_code code, sp_str message, char code_text[4], char *words,
                          struct sp_header headers[2])
{
    uint32_t digits = 0;
    if (code > 9)
        code_text[digits++] = (char)('0' + code / 10);
    code_text[digits++] = (char)('0' + code % 10);
    headers[0] = (struct sp_header){ "grpc-status", code_text, digits, 11, SP_HDR_OTHER, 0 };
    if (!message.len)
        return 1;
    size_t len = sp_grpc_put_message(message, words, 3 * SP_GRPC_MESSAGE_MOST);
    headers[1] = (struct sp_header){ "grpc-message", words, (uint32_t)len, 12, SP_HDR_OTHER, 0 };
    return 2;
}

static const struct {
    char letter;
    uint64_t ns;
} units[] = {
    { 'n', 1 },           { 'u', 1000 },         { 'm', 1000000 },
    { 'S', 1000000000u }, { 'M', 60000000000u }, { 'H', 3600000000000u },
};

sp_err sp_grpc_timeout(sp_str value, uint64_t *ret_ns)
{
    uint64_t count;
    if (value.len < 2 || value.len > 9 || sp_str_to_u64(sp_str_upto(value, value.len - 1), &count) != SP_OK)
        return SP_E_INVALID;
    for (size_t i = 0; i < SP_COUNTOF(units); i++) {
        if (units[i].letter != value.ptr[value.len - 1])
            continue;
        *ret_ns = count > UINT64_MAX / units[i].ns ? UINT64_MAX : count * units[i].ns;
        return SP_OK;
    }
    return SP_E_INVALID;
}

size_t sp_grpc_put_timeout(uint64_t ns, char out[SP_GRPC_TIMEOUT_ROOM])
{
    size_t unit = 0;
    uint64_t count = ns;
    while (count > 99999999 && unit + 1 < SP_COUNTOF(units)) {
        unit++;
        count = ns / units[unit].ns + (ns % units[unit].ns != 0);
    }
    count = SP_MIN(count, (uint64_t)99999999);
    char digits[8];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + count % 10);
    while (count /= 10);
    memcpy(out, digits + n, sizeof digits - n);
    out[sizeof digits - n] = units[unit].letter;
    return sizeof digits - n + 1;
}
