/* proxyproto: who the caller was before a balancer stood between, said in front of the first byte.
 *
 * A balancer that terminates TCP opens a connection of its own; the server sees the balancer's address. The
 * PROXY header puts the original pair of addresses in front of the stream, as a line of text (v1) or in
 * binary with optional TLVs behind (v2):
 *
 *      v1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n
 *      v2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | 2:cmd | family:transport | length | addresses | TLVs
 *
 * Whatever follows the header is the stream's, and whatever belongs to the header must not reach it. So the
 * header's own length counts (v2), the TLVs inside are walked and must end exactly there, and a header that
 * claims more than we keep is refused at its 16th byte: a length that is believed in one place and not in
 * another is how such headers were made to leak into the stream elsewhere.
 *
 * A listener that expects the header takes nothing else; nobody here guesses whether there is one, since
 * then any client could say where it comes from. Reading is a function of the bytes, so "want more" keeps
 * nothing; the bytes are few, and come once in a connection's life.
 *
 * LOCAL and unspecified families say nothing about addresses: all up to the length is skipped unread, as the
 * specification asks. Datagram families are known and useless on a stream: their addresses are not used. */
#include "wire/proxyproto.h"

#include <stdio.h>

#define SIGNATURE SP_STR("\r\n\r\n\0\r\nQUIT\n")
#define V1_PREFIX SP_STR("PROXY ")

enum { V1_MAX = 107, V2_FIXED = 16, V2_UNIX = 108 };
enum { FAMILY_UNSPEC = 0x0, FAMILY_IP4 = 0x1, FAMILY_IP6 = 0x2, FAMILY_UNIX = 0x3 };
enum { TRANSPORT_STREAM = 1, TRANSPORT_DATAGRAM = 2 };
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { TLV_CRC32C = 0x03, TLV_HEAD = 3 };

static ssize_t read_text(sp_str bytes, struct sp_proxyproto *ret);
static ssize_t read_binary(const unsigned char *p, size_t len, struct sp_proxyproto *ret);

/* As far as there are bytes, are they the word's? */
static bool may_begin(sp_str bytes, sp_str word)
{
    size_t len = SP_MIN(bytes.len, word.len);
    return memcmp(bytes.ptr, word.ptr, len) == 0;
}

ssize_t sp_proxyproto_read(sp_str bytes, struct sp_proxyproto *ret_header)
{
    if (bytes.len == 0)
        return 0;
    struct sp_proxyproto header = { 0 };
    ssize_t used = SP_E_INVALID;
    if (may_begin(bytes, V1_PREFIX))
        used = read_text(bytes, &header);
    else if (may_begin(bytes, SIGNATURE))
        used = read_binary((const unsigned char *)bytes.ptr, bytes.len, &header);
    if (used <= 0)
        return used;
    *ret_header = header;
    if (header.from.family == SP_ADDR_UNIX)
        ret_header->from.path = ret_header->from_path;
    if (header.to.family == SP_ADDR_UNIX)
        ret_header->to.path = ret_header->to_path;
    return used;
}

/* ---- v1 ---------------------------------------------------------------------------------------------- */

/* A port as the specification writes it: no sign, no zeros in front. */
static bool read_port(sp_str text, uint16_t *ret_port)
{
    uint64_t port;
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    if (sp_str_to_u64(text, &port) != SP_OK || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool read_ip(sp_str text, enum sp_addr_family family, sp_addr *ret_addr)
{
    sp_addr addr;
    if (sp_str_find(text, '[') < text.len || sp_addr_parse_ip(text, 0, &addr) != SP_OK ||
        addr.family != family)
        return false;
    *ret_addr = addr;
    return true;
}

/* "TCP4 a b 1 2", exactly one blank between. */
static bool read_line(sp_str line, struct sp_proxyproto *ret)
{
    sp_str word = sp_str_cut(&line, ' ');
    if (sp_str_eq(word, SP_STR("UNKNOWN")))
        return true; /* the rest is to be ignored */
    enum sp_addr_family family = sp_str_eq(word, SP_STR("TCP4"))   ? SP_ADDR_IP4
                                 : sp_str_eq(word, SP_STR("TCP6")) ? SP_ADDR_IP6
                                                                   : SP_ADDR_NONE;
    sp_str part[4];
    for (size_t i = 0; i < SP_COUNTOF(part); i++) {
        if (!line.ptr)
            return false;
        part[i] = sp_str_cut(&line, ' ');
    }
    return family != SP_ADDR_NONE && !line.ptr && read_ip(part[0], family, &ret->from) &&
           read_ip(part[1], family, &ret->to) && read_port(part[2], &ret->from.port) &&
           read_port(part[3], &ret->to.port);
}

static ssize_t read_text(sp_str bytes, struct sp_proxyproto *ret)
{
    sp_str seen = sp_str_upto(bytes, V1_MAX);
    size_t end = sp_str_find(seen, '\r');
    if (end + 1 >= seen.len)
        return seen.len == V1_MAX ? SP_E_INVALID : 0;
    if (seen.ptr[end + 1] != '\n' || end < V1_PREFIX.len)
        return SP_E_INVALID;
    ret->version = 1;
    if (!read_line(sp_str_of(seen.ptr + V1_PREFIX.len, end - V1_PREFIX.len), ret))
        return SP_E_INVALID;
    return (ssize_t)end + 2;
}

/* ---- v2 ---------------------------------------------------------------------------------------------- */

static uint32_t crc32c(uint32_t crc, const unsigned char *bytes, size_t len)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = nibbles[crc & 15] ^ (crc >> 4);
        crc = nibbles[crc & 15] ^ (crc >> 4);
    }
    return crc;
}

/* The sum is over the whole header with its own 4 bytes as zeros. */
static bool crc_is_right(const unsigned char *p, size_t len, size_t value_at)
{
    static const unsigned char zeros[4] = { 0 };
    uint32_t crc = crc32c(UINT32_MAX, p, value_at);
    crc = crc32c(crc, zeros, sizeof zeros);
    crc = ~crc32c(crc, p + value_at + 4, len - value_at - 4);
    const unsigned char *v = p + value_at;
    return crc == ((uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3]);
}

/* The TLVs from `at` must fill the header to its last byte. */
static bool walk_tlvs(const unsigned char *p, size_t len, size_t at)
{
    while (at < len) {
        if (len - at < TLV_HEAD)
            return false;
        unsigned type = p[at];
        size_t value_len = (size_t)p[at + 1] << 8 | p[at + 2];
        at += TLV_HEAD;
        if (value_len > len - at)
            return false;
        if (type == TLV_CRC32C && (value_len != 4 || !crc_is_right(p, len, at)))
            return false;
        at += value_len;
    }
    return true;
}

/* A field of 108 bytes to a path, "@name" for an abstract one. Bytes behind a NUL would be read by nobody. */
static bool read_path(const unsigned char *field, char *path, sp_addr *ret_addr)
{
    size_t len = V2_UNIX;
    while (len > 0 && field[len - 1] == 0)
        len--;
    bool abstract = len > 0 && field[0] == 0;
    memcpy(path, field, len);
    path[len] = '\0';
    if (abstract)
        path[0] = '@';
    if (memchr(path, '\0', len) || (!abstract && path[0] == '@'))
        return false;
    *ret_addr = (sp_addr){ .family = SP_ADDR_UNIX, .path = path };
    return true;
}

static bool read_addresses(const unsigned char *p, unsigned family, struct sp_proxyproto *ret)
{
    if (family == FAMILY_UNIX)
        return read_path(p, ret->from_path, &ret->from) && read_path(p + V2_UNIX, ret->to_path, &ret->to);
    size_t bytes = family == FAMILY_IP6 ? 16 : 4;
    ret->from.family = ret->to.family = family == FAMILY_IP6 ? SP_ADDR_IP6 : SP_ADDR_IP4;
    memcpy(ret->from.ip, p, bytes);
    memcpy(ret->to.ip, p + bytes, bytes);
    p += 2 * bytes;
    ret->from.port = (uint16_t)(p[0] << 8 | p[1]);
    ret->to.port = (uint16_t)(p[2] << 8 | p[3]);
    return true;
}

static size_t address_bytes(unsigned family)
{
    return family == FAMILY_IP4 ? 12 : family == FAMILY_IP6 ? 36 : 2 * V2_UNIX;
}

static ssize_t read_binary(const unsigned char *p, size_t len, struct sp_proxyproto *ret)
{
    if (len > 12 && p[12] != COMMAND_LOCAL && p[12] != COMMAND_PROXY)
        return SP_E_INVALID;
    unsigned family = len > 13 ? p[13] >> 4 : FAMILY_UNSPEC, transport = len > 13 ? p[13] & 15u : 0;
    bool local = len > 12 && p[12] == COMMAND_LOCAL;
    bool none = family == FAMILY_UNSPEC && transport == 0;
    bool some = family >= FAMILY_IP4 && family <= FAMILY_UNIX && transport >= TRANSPORT_STREAM &&
                transport <= TRANSPORT_DATAGRAM;
    if (!local && !none && !some)
        return SP_E_INVALID;
    if (len < V2_FIXED)
        return 0;

    size_t whole = V2_FIXED + ((size_t)p[14] << 8 | p[15]);
    bool addresses = !local && some;
    if (addresses && whole - V2_FIXED < address_bytes(family))
        return SP_E_INVALID;
    if (whole > SP_PROXYPROTO_BYTES)
        return SP_E_LIMIT;
    if (len < whole)
        return 0;
    ret->version = 2;
    ret->local = local;
    if (addresses && !walk_tlvs(p, whole, V2_FIXED + address_bytes(family)))
        return SP_E_INVALID;
    if (addresses && transport == TRANSPORT_STREAM && !read_addresses(p + V2_FIXED, family, ret))
        return SP_E_INVALID;
    return (ssize_t)whole;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static bool is_ip(const sp_addr *addr)
{
    return addr->family == SP_ADDR_IP4 || addr->family == SP_ADDR_IP6;
}

static ssize_t write_text(const struct sp_proxyproto *header, char *out, size_t room)
{
    char line[V1_MAX + 1], from[SP_ADDR_TEXT_BYTES], to[SP_ADDR_TEXT_BYTES];
    int len;
    if (!header->local && is_ip(&header->from)) {
        sp_addr_print_ip(&header->from, from, sizeof from);
        sp_addr_print_ip(&header->to, to, sizeof to);
        len = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n",
                       header->from.family == SP_ADDR_IP4 ? "TCP4" : "TCP6", from, to, header->from.port,
                       header->to.port);
    } else {
        len = snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    }
    SP_ASSERT(len > 0 && (size_t)len < sizeof line);
    if ((size_t)len > room)
        return SP_E_LIMIT;
    memcpy(out, line, (size_t)len);
    return len;
}

/* The bytes of one path's field; false when they do not fit. */
static bool write_path(const char *path, unsigned char *field)
{
    size_t len = path ? strlen(path) : 0;
    bool abstract = len > 0 && path[0] == '@';
    if (len > V2_UNIX)
        return false;
    memset(field, 0, V2_UNIX);
    if (len)
        memcpy(field, path, len);
    if (abstract)
        field[0] = 0;
    return true;
}

static ssize_t write_binary(const struct sp_proxyproto *header, char *out, size_t room)
{
    unsigned char bytes[V2_FIXED + 2 * V2_UNIX] = { 0 };
    unsigned char *at = bytes + V2_FIXED;
    unsigned family = FAMILY_UNSPEC;
    memcpy(bytes, SIGNATURE.ptr, SIGNATURE.len);
    bytes[12] = header->local ? COMMAND_LOCAL : COMMAND_PROXY;
    if (!header->local && header->from.family == SP_ADDR_UNIX) {
        family = FAMILY_UNIX;
        if (!write_path(header->from.path, at) || !write_path(header->to.path, at + V2_UNIX))
            return SP_E_INVALID;
    } else if (!header->local && is_ip(&header->from)) {
        size_t ip_bytes = header->from.family == SP_ADDR_IP4 ? 4 : 16;
        family = header->from.family == SP_ADDR_IP4 ? FAMILY_IP4 : FAMILY_IP6;
        memcpy(at, header->from.ip, ip_bytes);
        memcpy(at + ip_bytes, header->to.ip, ip_bytes);
        at[2 * ip_bytes] = (unsigned char)(header->from.port >> 8);
        at[2 * ip_bytes + 1] = (unsigned char)header->from.port;
        at[2 * ip_bytes + 2] = (unsigned char)(header->to.port >> 8);
        at[2 * ip_bytes + 3] = (unsigned char)header->to.port;
    }
    size_t length = family == FAMILY_UNSPEC ? 0 : address_bytes(family);
    bytes[13] = (unsigned char)(family == FAMILY_UNSPEC ? 0 : family << 4 | TRANSPORT_STREAM);
    bytes[15] = (unsigned char)length; /* 216 at most */
    if (V2_FIXED + length > room)
        return SP_E_LIMIT;
    memcpy(out, bytes, V2_FIXED + length);
    return (ssize_t)(V2_FIXED + length);
}

ssize_t sp_proxyproto_write(const struct sp_proxyproto *header, char *out, size_t room)
{
    if (!header->local && header->from.family != header->to.family)
        return SP_E_INVALID;
    return header->version == 1   ? write_text(header, out, room)
           : header->version == 2 ? write_binary(header, out, room)
                                  : SP_E_INVALID;
}
