/* proxyproto: HAProxy's PROXY protocol, v1 (text) and v2 (binary), read and written. */
#ifndef SP_WIRE_PROXYPROTO_H
#define SP_WIRE_PROXYPROTO_H

#include "base/addr.h"
#include "base/err.h"
#include "base/str.h"

struct sp_proxyproto {
    bool local;        /* a health check of the balancer itself: addresses are to be ignored */
    sp_addr from, to;  /* family NONE for UNKNOWN and unspecified */
    uint8_t version;
};

enum { SP_PROXYPROTO_BYTES = 4096, SP_PROXYPROTO_WRITE_BYTES = 128 };

/* Bytes of the whole header used up, 0 = want more, SP_E_INVALID = not a PROXY header or a broken one.
 * TLVs of v2 are skipped by length and never leak into the stream; at most SP_PROXYPROTO_BYTES. */
ssize_t sp_proxyproto_read(sp_str bytes, struct sp_proxyproto *ret_header);
/* version 1 or 2; SP_E_LIMIT when room is too small. */
ssize_t sp_proxyproto_write(const struct sp_proxyproto *header, char *out, size_t room);

#endif
