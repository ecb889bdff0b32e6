/* addr: addresses as values: read, print, compare, hash.
 *
 * Kept apart from the system's own structures: those differ in length by family, hold their numbers in
 * another byte order and carry fields (flow, scope) that would make equal addresses compare unequal. One
 * small struct is a key of tables, travels in messages between workers and prints itself. The translation
 * to and from the system's form is io/net.c's.
 *
 * Only numbers are read here. A name is no address: it becomes one by io/dns.h, and what may be a name says
 * so in its own place. IPv4 in IPv6 (::ffff:10.0.0.1) stays what it was written as; connections that the
 * system shows in that form are turned into IPv4 where they enter.
 *
 * Hash and equality look at the bytes that the family uses and no others, so what a caller left in the unused
 * ones does not matter. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static size_t ip_bytes(const sp_addr *addr)
{
    return addr->family == SP_ADDR_IP4 ? 4 : addr->family == SP_ADDR_IP6 ? 16 : 0;
}

sp_err sp_addr_parse_ip(sp_str ip, uint16_t port, sp_addr *ret_addr)
{
    char text[INET6_ADDRSTRLEN];
    bool bracket = ip.len >= 2 && ip.ptr[0] == '[' && ip.ptr[ip.len - 1] == ']';
    if (bracket)
        ip = sp_str_of(ip.ptr + 1, ip.len - 2);
    if (ip.len == 0 || ip.len >= sizeof(text) || memchr(ip.ptr, 0, ip.len))
        return SP_E_INVALID;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = 0;

    sp_addr addr = { .family = SP_ADDR_IP6, .port = port };
    if (inet_pton(AF_INET6, text, addr.ip) != 1) {
        if (bracket || inet_pton(AF_INET, text, addr.ip) != 1)
            return SP_E_INVALID;
        addr.family = SP_ADDR_IP4;
    }
    *ret_addr = addr;
    return 0;
}

sp_err sp_addr_parse(sp_str text, sp_addr *ret_addr)
{
    size_t colon = sp_str_find_last(text, ':');
    if (colon >= text.len)
        return SP_E_INVALID;
    sp_str ip = sp_str_upto(text, colon);
    if (sp_str_find(ip, ':') < ip.len && ip.ptr[0] != '[')
        return SP_E_INVALID; /* "::1:80" could mean two things */

    uint64_t port;
    if (sp_str_to_u64(sp_str_from(text, colon + 1), &port) || port > UINT16_MAX)
        return SP_E_INVALID;
    return sp_addr_parse_ip(ip, (uint16_t)port, ret_addr);
}

/* snprintf's length, held to what is in `out`. */
static size_t printed(int len, size_t out_bytes)
{
    if (len < 0 || out_bytes == 0)
        return 0;
    return (size_t)len < out_bytes ? (size_t)len : out_bytes - 1;
}

size_t sp_addr_print_ip(const sp_addr *addr, char *out, size_t out_bytes)
{
    char text[INET6_ADDRSTRLEN] = "";
    switch ((enum sp_addr_family)addr->family) {
    case SP_ADDR_IP4: inet_ntop(AF_INET, addr->ip, text, sizeof(text)); break;
    case SP_ADDR_IP6: inet_ntop(AF_INET6, addr->ip, text, sizeof(text)); break;
    case SP_ADDR_UNIX:
        return printed(snprintf(out, out_bytes, "%s", addr->path ? addr->path : ""), out_bytes);
    case SP_ADDR_NONE: break;
    }
    return printed(snprintf(out, out_bytes, "%s", text), out_bytes);
}

size_t sp_addr_print(const sp_addr *addr, char *out, size_t out_bytes)
{
    char ip[SP_ADDR_TEXT_BYTES];
    if (ip_bytes(addr) == 0)
        return sp_addr_print_ip(addr, out, out_bytes);
    sp_addr_print_ip(addr, ip, sizeof(ip));
    const char *form = addr->family == SP_ADDR_IP6 ? "[%s]:%u" : "%s:%u";
    return printed(snprintf(out, out_bytes, form, ip, addr->port), out_bytes);
}

static sp_str path_of(const sp_addr *addr)
{
    return sp_str_c(addr->path ? addr->path : "");
}

bool sp_addr_eq(const sp_addr *a, const sp_addr *b)
{
    if (a->family != b->family)
        return false;
    if (a->family == SP_ADDR_UNIX)
        return sp_str_eq(path_of(a), path_of(b));
    return ip_bytes(a) == 0 || (a->port == b->port && memcmp(a->ip, b->ip, ip_bytes(a)) == 0);
}

uint64_t sp_addr_hash(const sp_addr *a)
{
    if (a->family == SP_ADDR_UNIX)
        return sp_str_hash(path_of(a));
    uint8_t key[19] = { a->family, (uint8_t)(a->port >> 8), (uint8_t)a->port };
    memcpy(key + 3, a->ip, ip_bytes(a));
    return sp_str_hash(sp_str_of(key, ip_bytes(a) ? 3 + ip_bytes(a) : 1));
}

bool sp_addr_in_net(const sp_addr *a, const sp_addr *net, uint32_t bits)
{
    size_t bytes = ip_bytes(a);
    if (a->family != net->family || bytes == 0 || bits > bytes * 8)
        return false;
    if (memcmp(a->ip, net->ip, bits / 8) != 0)
        return false;
    uint32_t rest = bits % 8;
    return rest == 0 || (a->ip[bits / 8] ^ net->ip[bits / 8]) >> (8 - rest) == 0;
}

bool sp_addr_is_loopback(const sp_addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    static const uint8_t mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };
    if (a->family == SP_ADDR_IP4)
        return a->ip[0] == 127;
    return a->family == SP_ADDR_IP6 &&
           (memcmp(a->ip, one, sizeof(one)) == 0 || memcmp(a->ip, mapped, sizeof(mapped)) == 0);
}
