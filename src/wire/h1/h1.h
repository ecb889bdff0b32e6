/* h1: HTTP/1.1 by RFC 9112, strict where leniency lets requests be smuggled.
 *
 * What a user of the codec must know beyond codec.h:
 *
 * Decoding. A server answers one request after the other: it calls `answered` for each final answer, with
 * NULL for one that encode_error made, before it decodes on. Behind a request that asks for an upgrade or a
 * tunnel decode returns 0 until then; afterwards decode again with what is buffered. Behind the last message
 * of a connection (SP_HEAD_LAST, a refused CONNECT) bytes are used up and thrown away. A client calls `asked`
 * for each request when its head is encoded; an answer to nothing is refused.
 * For a header the flag SP_HEADER_HOP says: not to be forwarded; the encoder leaves it out by itself. An edit
 * that sets such a header takes the flag away.
 *
 * Encoding. Flags are read from the receiver's side; who forwards a head sets them for that receiver:
 *   SP_HEAD_LAST     Connection: close is written
 *   SP_HEAD_OLD      of a response: who gets it speaks HTTP/1.0. Never chunked; a body without a length is
 *                    told by closing; keep-alive is written unless LAST. Of a request: ignored.
 *   SP_HEAD_UPGRADE  Upgrade is kept and Connection: upgrade written
 *   SP_HEAD_TUNNEL   CONNECT and its 2xx: no framing
 *   SP_HEAD_NO_BODY  answer to HEAD, 304: a Content-Length header is kept as it stands; 204: none
 *   body_bytes       >= 0: Content-Length; -1: chunked (so a response that came until close leaves chunked)
 * Host is written from `service`, whatever the headers say; `service` and `path` are checked, and names and
 * values too: SP_E_INVALID rather than a head that would be read as another one.
 * encode_head wants SP_H1_HEAD_ROOM bytes more than the texts of the head are long together. */
#ifndef SP_WIRE_H1_H1_H
#define SP_WIRE_H1_H1_H

#include "wire/codec.h"

extern const struct sp_codec sp_h1_codec;

enum {
    SP_H1_HEAD_ROOM = 192,    /* beyond names, values (and 4 bytes for each), service, method, path, reason */
    SP_H1_CHUNK_ROOM = 18,    /* for encode_chunk: 16 digits and CR LF */
    SP_H1_ERROR_ROOM = 256,   /* for encode_error, beyond reason_code, text and the request's id */
    SP_H1_ERROR_ID_MAX = 256, /* an x-request-id that is longer is not repeated by encode_error */
};

/* "Not Found" for 404; "Unknown" for what has no phrase. */
sp_str sp_h1_reason(uint32_t status);

#endif
