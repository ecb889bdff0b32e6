/* detect: which protocol do the first bytes speak? Pure; asks for more until it is sure. */
#ifndef SP_WIRE_DETECT_H
#define SP_WIRE_DETECT_H

#include "wire/call.h"

/* With so many bytes the answer is never SP_PROTO_NONE. */
enum { SP_DETECT_BYTES = 32 };

/* SP_PROTO_NONE = cannot tell yet, want more. SP_PROTO_TCP = none that we know (TLS hello included: it
 * passes as opaque bytes). `tls_hello`, may be NULL: the bytes begin a TLS handshake. An answer other than
 * NONE is final: more bytes would not change it. */
enum sp_protocol sp_detect(sp_str bytes, bool *ret_tls_hello);

/* Of bytes that are SP_PROTO_TCP: do they begin HTTP/2 in the clear (its preface)? Nobody here speaks it
 * yet, so it passes as opaque bytes; whoever counts or logs may say so. */
bool sp_detect_is_h2(sp_str bytes);

#endif
