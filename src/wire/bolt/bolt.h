/* bolt: SOFABolt v1 and v2 frames. A frame whose head was not edited leaves as its own bytes with the
 * request id patched in place; a v2 frame's CRC follows by its linearity, without reading the body.
 *
 *      | fixed part | class | header block | content | CRC |
 *      |<------------ head->raw ---------->|<-- body ----->|     body_bytes = content + CRC
 *
 * Body views and body_bytes count the CRC (SP_HEAD_CRC says that there is one: the last 4 bytes of the
 * body): raw and then all body views are the frame, byte for byte. The content alone is
 * body_bytes - sp_bolt_crc_bytes(head), and is what sp_codec_limits.body_bytes bounds.
 *
 * A change of the head changes the CRC by a constant that does not depend on the body: a delta, to be
 * XORed onto the CRC when its bytes pass, be it in the same read or a later one. Deltas of several
 * changes XOR together. An error that was in the frame stays visible to the receiver: the decoder does
 * not check CRCs, ends do.
 *
 * One meaning or a refusal. Lengths that Java reads as negative, a type and command that disagree, and
 * header blocks that do not end where their pairs end break the frame. A pair with a null, and all but the
 * last of a name, are dropped as Java drops them, and the head is marked SP_HEAD_EDITED, so that peers
 * that read such blocks otherwise never see one. service = `service`, else `sofa_head_target_service`.
 *
 * When decode() says broken and the fixed part of the frame was there, ev->head holds it in `raw`, with
 * kind, protocol, codec_id and id, so that the caller can answer with encode_error before the connection
 * ends; else raw.len is 0. */
#ifndef SP_WIRE_BOLT_BOLT_H
#define SP_WIRE_BOLT_BOLT_H

#include "wire/codec.h"

extern const struct sp_codec sp_bolt_codec;  /* v1 */
extern const struct sp_codec sp_bolt2_codec; /* v2 */

/* Response status words of the protocol (sofa-bolt ResponseStatus). */
enum sp_bolt_status {
    SP_BOLT_SUCCESS = 0x00,
    SP_BOLT_ERROR = 0x01,
    SP_BOLT_SERVER_EXCEPTION = 0x02,
    SP_BOLT_UNKNOWN = 0x03,
    SP_BOLT_BUSY = 0x04,
    SP_BOLT_ERROR_COMM = 0x05,
    SP_BOLT_NO_PROCESSOR = 0x06,
    SP_BOLT_TIMEOUT = 0x07,
    SP_BOLT_CLIENT_SEND_ERROR = 0x08,
    SP_BOLT_CODEC_EXCEPTION = 0x09,
    SP_BOLT_CONNECTION_CLOSED = 0x10,
    SP_BOLT_SERVER_SERIAL_EXCEPTION = 0x11,
    SP_BOLT_SERVER_DESERIAL_EXCEPTION = 0x12,
};

/* A response status as HTTP counts: 200, 502, 503, 504, else 500. */
uint32_t sp_bolt_http_status(uint32_t bolt_status);
/* The other way, for an answer of our own: the HTTP status that we would give and the reason's code, to the
 * word that makes a Java client throw the nearest exception. */
uint32_t sp_bolt_status_of(uint32_t http_status, sp_str reason_code);

/* Write `id` into the raw frame at `frame` (v1 or v2 by its first byte). */
void sp_bolt_patch_id(char *frame, uint32_t id);
/* Write the caller's remaining time into a raw request frame. */
void sp_bolt_patch_timeout(char *frame, int32_t timeout_ms);
/* Where these two stand in a frame, for sp_bolt_crc_delta. */
uint32_t sp_bolt_id_at(enum sp_protocol protocol);
uint32_t sp_bolt_timeout_at(enum sp_protocol protocol);

/* How many of the last bytes of the body are CRC: 4 or 0. */
static inline uint32_t sp_bolt_crc_bytes(const struct sp_head *head)
{
    return head->flags & SP_HEAD_CRC ? 4 : 0;
}

/* What to XOR onto the CRC of a frame of `frame_len` bytes (CRC itself not counted: raw.len + body_bytes -
 * 4) when the 4 bytes at `at` change from `before` to `after` (big-endian values). O(log frame_len). */
uint32_t sp_bolt_crc_delta(uint64_t frame_len, uint32_t at, uint32_t before, uint32_t after);
/* The same for a head that was encoded anew: `before` as it was received, `after` as it is sent, with
 * `content_bytes` behind it. Reads both heads, not the content. */
uint32_t sp_bolt_crc_delta_head(sp_str before, sp_str after, uint64_t content_bytes);
/* Apply a delta as the body passes: `bytes` is a piece of it, with `left` bytes of body_bytes still to come
 * behind it. XORs those of the frame's last 4 bytes that are in the piece. */
void sp_bolt_crc_apply(char *bytes, size_t len, uint64_t left, uint32_t delta);

/* The CRC after such a change: crc ^ delta. */
uint32_t sp_bolt_crc_patch(uint32_t crc, uint64_t frame_len, uint32_t at, uint32_t before, uint32_t after);
/* The CRC-32 of IEEE 802.3 (zlib's), to be fed in pieces: start with 0. */
uint32_t sp_bolt_crc(uint32_t crc, sp_str bytes);
/* Does the whole frame `frame`, CRC included, agree with its CRC? */
bool sp_bolt_crc_ok(sp_str frame);

/* The codec's functions, as far as codec.h leaves it open:
 * patch: relative to what stands in head->raw now; a second patch's delta XORs onto the first's.
 * encode_head: writes the fixed part, class_name and `headers`; id, codec_id, timeout_ms or raw_status come
 *      from the head, the length of the content from body_bytes, v2's switch byte from `raw` where there is
 *      one. SP_E_RANGE: class or header block over 32767 bytes, or a frame over what Java can add up;
 *      SP_E_INVALID: body_bytes unknown, or not a Bolt head.
 * encode_error: our status (sp_bolt_status_of), no class, no content, no CRC, and the one header pair
 *      `x-sampan-reason`. A one-way call and an answer get nothing: 0 bytes. */

#endif
