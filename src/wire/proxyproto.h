/* proxyproto: HAProxy's PROXY protocol, v1 (text) and v2 (binary), read and written. */
#ifndef SP_WIRE_PROXYPROTO_H
#define SP_WIRE_PROXYPROTO_H

#include "base/addr.h"
#include "base/str.h"

/* The longest header that is read; that is written; and a Unix path with '@' and NUL around it. */
enum { SP_PROXYPROTO_BYTES = 4096, SP_PROXYPROTO_WRITE_BYTES = 256, SP_PROXYPROTO_PATH_BYTES = 110 };

struct sp_proxyproto {
    bool local;       /* a health check of the balancer itself: addresses are to be ignored */
    sp_addr from, to; /* family NONE for UNKNOWN, unspecified, and datagram families */
    uint8_t version;
    /* Read: where the paths of Unix addresses stand, so from.path and to.path point into this struct. */
    char from_path[SP_PROXYPROTO_PATH_BYTES], to_path[SP_PROXYPROTO_PATH_BYTES];
};

/* Bytes of the whole header used up, 0 = want more, SP_E_INVALID = not a PROXY header or a broken one,
 * SP_E_LIMIT = longer than SP_PROXYPROTO_BYTES. Each of these as soon as the bytes decide it. TLVs of v2 are
 * walked by their lengths, never leak into the stream, and must end where the header ends; a CRC-32c among
 * them must be right. `ret_header` is touched on success alone. */
ssize_t sp_proxyproto_read(sp_str bytes, struct sp_proxyproto *ret_header);
/* Version 1 or 2; returns the length. What the version cannot say (v1: Unix) is said as UNKNOWN.
 * SP_E_INVALID: another version, two different families, a path that does not fit. SP_E_LIMIT: room is too
 * small; nothing is written then. */
ssize_t sp_proxyproto_write(const struct sp_proxyproto *header, char *out, size_t room);

#endif
