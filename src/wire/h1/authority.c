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

#include "wire/chars_impl.h"

void sp_h1_split_authority(sp_str authority, sp_str *ret_host, sp_str *ret_port)
{
    size_t colon = sp_str_find_last(authority, ':');
    bool literal = authority.len && authority.ptr[authority.len - 1] == ']';
    if (colon == authority.len || literal) {
        *ret_host = authority;
        *ret_port = SP_STR_NULL;
        return;
    }
    *ret_host = sp_str_upto(authority, colon);
    *ret_port = sp_str_from(authority, colon + 1);
}

static bool is_port(sp_str port)
{
    if (port.len == 0 || port.len > 5 || port.ptr[0] == '0')
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (!sp_char_is(port.ptr[i], SP_CHAR_DIGIT))
            return false;
        value = value * 10 + (unsigned)(port.ptr[i] - '0');
    }
    return value <= UINT16_MAX;
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

static bool is_name(sp_str host)
{
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

static unsigned port_of(sp_str port, uint16_t standard)
{
    if (!port.ptr)
        return standard;
    unsigned value = 0;
    for (size_t i = 0; i < port.len; i++)
        value = value * 10 + (unsigned)(port.ptr[i] - '0');
    return value;
}

bool sp_h1_same_authority(sp_str a, sp_str b, uint16_t port)
{
    sp_str host_a, host_b, port_a, port_b;
    sp_h1_split_authority(a, &host_a, &port_a);
    sp_h1_split_authority(b, &host_b, &port_b);
    return sp_str_eq_nocase(host_a, host_b) && port_of(port_a, port) == port_of(port_b, port);
}
