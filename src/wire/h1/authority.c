/* authority: is this `host` or `host:port`, and do two of them mean one place?
 *
 * The authority decides where a call goes and who may make it, so two readers that read it differently are as
 * dangerous as two that see different lengths. RFC 9110 takes Host from RFC 3986, which allows nearly
 * anything. Parsers in the field accept yet more: `user@host`, `host:99x`. This one takes less:
 *
 *      host  letters, digits, - . _ ~, no empty label but a dot at the very end, 255 bytes
 *      [ip]  a well-formed IPv6 address without a zone
 *      port  one to five digits, no leading zero, 1..65535; a colon without a port is refused
 *
 * Left out on purpose: percent-encoding (two spellings of one host), sub-delims (a comma makes a list, the
 * rest occurs in no name that resolves), user names (they belong to no HTTP request), IPvFuture.
 *
 * What a name resolves to, and which case or trailing dot a route compares, is the router's affair. */
#include "wire/h1/h1_impl.h"

#include <arpa/inet.h>

#include "wire/h1/sixteen_impl.h"

/* Looked for from behind: a port has five digits, so its colon is near. */
void sp_h1_split_authority(sp_str authority, sp_str *ret_host, sp_str *ret_port)
{
    size_t at = authority.len;
    while (at > 0 && authority.ptr[at - 1] != ':' && sp_char_is(authority.ptr[at - 1], SP_CHAR_DIGIT))
        at--;
    if (at == 0 || authority.ptr[at - 1] != ':') {
        *ret_host = authority;
        *ret_port = SP_STR_NULL;
        return;
    }
    *ret_host = sp_str_upto(authority, at - 1);
    *ret_port = sp_str_from(authority, at);
}

/* The split lets digits through only. */
static unsigned port_of(sp_str port, uint16_t standard)
{
    if (!port.ptr)
        return standard;
    unsigned value = 0;
    for (size_t i = 0; i < port.len; i++)
        value = value * 10 + (unsigned)(port.ptr[i] - '0');
    return value;
}

static bool is_port(sp_str port)
{
    if (port.len == 0 || port.len > 5 || port.ptr[0] == '0')
        return false;
    return port_of(port, 0) <= UINT16_MAX;
}

static bool is_ip6(sp_str ip)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (ip.len == 0 || ip.len >= sizeof(text) || memchr(ip.ptr, '\0', ip.len))
        return false;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = '\0';
    return inet_pton(AF_INET6, text, address) == 1;
}

/* A name of 4 to 64 bytes, one bit for each. */
static bool is_name_by_bits(sp_str host)
{
    uint64_t bad = 0, dots = 0;
    if (host.len < 16) {
        sp_sixteen v = sp_sixteen_short(host.ptr, host.len);
        bad = sp_sixteen_not_host(v);
        dots = sp_sixteen_places(sp_sixteen_dots(v), host.len);
    }
    for (size_t at = 0; at < host.len && host.len >= 16; at += 16) {
        at = SP_MIN(at, host.len - 16);
        sp_sixteen v = sp_sixteen_load(host.ptr + at);
        bad |= sp_sixteen_not_host(v);
        dots |= (uint64_t)sp_sixteen_dots(v) << at;
    }
    return bad == 0 && (dots & (dots << 1 | 1)) == 0;
}

static bool is_name(sp_str host)
{
    if (host.len >= 4 && host.len <= 64)
        return is_name_by_bits(host);
    if (host.len == 0 || host.len > SP_H1_HOST_BYTES)
        return false;
    char before = '.';
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!sp_char_is(c, SP_CHAR_UNRESERVED) || (c == '.' && before == '.'))
            return false;
        before = c;
    }
    return true;
}

bool sp_h1_is_authority(sp_str authority, bool port_needed)
{
    sp_str host, port;
    sp_h1_split_authority(authority, &host, &port);
    if (port.ptr ? !is_port(port) : port_needed)
        return false;
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return is_ip6((sp_str){ host.ptr + 1, host.len - 2 });
    return is_name(host);
}

bool sp_h1_same_authority(sp_str a, sp_str b, uint16_t port)
{
    sp_str host_a, host_b, port_a, port_b;
    sp_h1_split_authority(a, &host_a, &port_a);
    sp_h1_split_authority(b, &host_b, &port_b);
    return sp_str_eq_nocase(host_a, host_b) && port_of(port_a, port) == port_of(port_b, port);
}
