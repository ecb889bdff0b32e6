/* detect: which protocol do the first bytes speak? Pure; asks for more until it is sure. */
#ifndef SP_WIRE_DETECT_H
#define SP_WIRE_DETECT_H

#include "wire/call.h"

/* SP_PROTO_NONE = cannot tell yet, want more. SP_PROTO_TCP = none that we know (TLS hello included: it
 * passes as opaque bytes). `tls_hello`, may be NULL: the bytes begin a TLS handshake. */
enum sp_protocol sp_detect(sp_str bytes, bool *ret_tls_hello);

#endif
