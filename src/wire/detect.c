/* detect: the first bytes of a connection, and who speaks like that.
 *
 * Where a listener says "auto", the caller decides what is spoken, and says so only by speaking. A wrong
 * guess costs the connection (bytes of another protocol are broken frames) or the policies (opaque bytes have
 * no route), so a protocol is named only when its first bytes can hardly be anything else, and TCP, which
 * suits everyone, as soon as they cannot be it:
 *
 *      first byte   then
 *      01, 02       a Bolt request or heartbeat: every byte of the fixed part that has few values has one
 *      16           TLS: record version 3.0..3.4, a length that a hello may have, handshake type 1
 *      A..Z, CR     a method, a blank, and a target that HTTP may have: "/", "*", "http://", a host
 *      others       TCP at once
 *
 *      "GET /" is HTTP; "GET key" is somebody's text protocol; "PRI *" is HTTP/2, which is not spoken here
 *      yet; "OPTIONS rtsp:" is RTSP; "EHLO x" is mail.
 *
 * A method need not be a known one when "/" follows it, for servers invent methods. A version is not waited
 * for: it comes behind the target, which may be long. Bytes that break HTTP's grammar later are refused by
 * its decoder; bytes that break it here are TCP, as they would be for a server that knows no HTTP.
 *
 * A server that speaks first (MySQL, SMTP) leaves us without bytes: how long to wait for the client before
 * the connection counts as TCP is the listener's affair, as time is not known here. */
#include "wire/detect.h"

enum { METHOD_MAX = 20, TLS_HELLO = 1, TLS_HELLO_MIN = 4, TLS_RECORD_MAX = 16384 };

static enum sp_protocol detect_bolt(const unsigned char *p, size_t len);
static enum sp_protocol detect_tls(const unsigned char *p, size_t len, bool *ret_hello);
static enum sp_protocol detect_http(sp_str bytes);

enum sp_protocol sp_detect(sp_str bytes, bool *ret_tls_hello)
{
    bool hello = false;
    enum sp_protocol protocol = SP_PROTO_TCP;
    if (bytes.len == 0)
        protocol = SP_PROTO_NONE;
    else if (bytes.ptr[0] == 1 || bytes.ptr[0] == 2)
        protocol = detect_bolt((const unsigned char *)bytes.ptr, bytes.len);
    else if (bytes.ptr[0] == 0x16)
        protocol = detect_tls((const unsigned char *)bytes.ptr, bytes.len, &hello);
    else if (bytes.ptr[0] == '\r' || (bytes.ptr[0] >= 'A' && bytes.ptr[0] <= 'Z'))
        protocol = detect_http(bytes);
    if (ret_tls_hello)
        *ret_tls_hello = hello;
    return protocol;
}

/* May byte `at` of a Bolt request's fixed part be `byte`? `k` is 1 for v2, whose type and all behind it stand
 * one byte later, and all behind the codec two. */
static bool bolt_byte(const unsigned char *p, size_t at, size_t k)
{
    if (k && at == 1)
        return p[1] == 1 || p[1] == 2;
    if (k && at == 11)
        return p[11] <= 127; /* switches */
    if (at == 1 + k)
        return p[at] == 1 || p[at] == 2; /* who dials asks: request or one-way */
    if (at == 2 + k)
        return p[at] == 0;
    if (at == 3 + k)
        return p[at] <= 1 || p[at] == 100; /* heartbeat, request, goaway */
    if (at == 4 + k)
        return p[at] == 1; /* command version */
    if (at == 14 + 2 * k || at == 16 + 2 * k || at == 18 + 2 * k)
        return p[at] <= 127; /* the top byte of a length: Java reads them signed */
    return true;
}

static enum sp_protocol detect_bolt(const unsigned char *p, size_t len)
{
    size_t k = p[0] == 2, fixed = 22 + 2 * k;
    for (size_t at = 1; at < len && at < fixed; at++) {
        if (!bolt_byte(p, at, k))
            return SP_PROTO_TCP;
    }
    return len < fixed ? SP_PROTO_NONE : k ? SP_PROTO_BOLT2 : SP_PROTO_BOLT;
}

static enum sp_protocol detect_tls(const unsigned char *p, size_t len, bool *ret_hello)
{
    if ((len > 1 && p[1] != 3) || (len > 2 && p[2] > 4))
        return SP_PROTO_TCP;
    if (len > 4) {
        unsigned record = (unsigned)p[3] << 8 | p[4];
        if (record < TLS_HELLO_MIN || record > TLS_RECORD_MAX)
            return SP_PROTO_TCP;
    }
    if (len < 6)
        return SP_PROTO_NONE;
    *ret_hello = p[5] == TLS_HELLO;
    return SP_PROTO_TCP;
}

/* Does `bytes` begin with `word`, as far as there are bytes? HTTP1, NONE or TCP. */
static enum sp_protocol begins(sp_str bytes, sp_str word)
{
    size_t len = SP_MIN(bytes.len, word.len);
    if (!sp_str_eq_nocase(sp_str_upto(bytes, len), sp_str_upto(word, len)))
        return SP_PROTO_TCP;
    return len < word.len ? SP_PROTO_NONE : SP_PROTO_HTTP1;
}

/* What may stand behind the method and its blank. */
static enum sp_protocol detect_target(sp_str method, sp_str target)
{
    if (target.len == 0)
        return SP_PROTO_NONE;
    char c = target.ptr[0];
    if (sp_str_eq(method, SP_STR("CONNECT"))) {
        bool host = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '[';
        return host ? SP_PROTO_HTTP1 : SP_PROTO_TCP;
    }
    if (c == '/')
        return SP_PROTO_HTTP1;
    if (c == '*')
        return sp_str_eq(method, SP_STR("OPTIONS")) ? SP_PROTO_HTTP1 : SP_PROTO_TCP;
    enum sp_protocol plain = begins(target, SP_STR("http://"));
    return plain != SP_PROTO_TCP ? plain : begins(target, SP_STR("https://"));
}

static enum sp_protocol detect_http(sp_str bytes)
{
    if (bytes.ptr[0] == '\r') { /* one empty line before a request is forgiven (RFC 9112, 2.2) */
        if (bytes.len > 1 && bytes.ptr[1] != '\n')
            return SP_PROTO_TCP;
        bytes = sp_str_from(bytes, 2);
    }
    for (size_t at = 0; at < bytes.len && at <= METHOD_MAX; at++) {
        char c = bytes.ptr[at];
        if (c == ' ' && at >= 3)
            return detect_target(sp_str_upto(bytes, at), sp_str_from(bytes, at + 1));
        if (!(c >= 'A' && c <= 'Z') && !(c == '-' && at > 0))
            return SP_PROTO_TCP;
    }
    return bytes.len <= METHOD_MAX ? SP_PROTO_NONE : SP_PROTO_TCP;
}

bool sp_detect_is_h2(sp_str bytes)
{
    sp_str preface = SP_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    size_t len = SP_MIN(bytes.len, preface.len);
    return len >= 5 && memcmp(bytes.ptr, preface.ptr, len) == 0;
}
