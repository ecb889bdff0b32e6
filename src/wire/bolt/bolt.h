/* bolt: SOFABolt v1 and v2 frames. A frame whose head was not edited leaves as its own bytes with the
 * request id patched in place; a v2 frame's CRC follows by its linearity, without reading the body. */
#ifndef SP_WIRE_BOLT_BOLT_H
#define SP_WIRE_BOLT_BOLT_H

#include "wire/codec.h"

extern const struct sp_codec sp_bolt_codec;  /* v1 */
extern const struct sp_codec sp_bolt2_codec; /* v2 */

/* Response status words of the protocol (sofa-bolt ResponseStatus). */
enum sp_bolt_status {
    SP_BOLT_SUCCESS = 0x00, SP_BOLT_ERROR = 0x01, SP_BOLT_SERVER_EXCEPTION = 0x02, SP_BOLT_UNKNOWN = 0x03,
    SP_BOLT_BUSY = 0x04, SP_BOLT_ERROR_COMM = 0x05, SP_BOLT_NO_PROCESSOR = 0x06, SP_BOLT_TIMEOUT = 0x07,
    SP_BOLT_CLIENT_SEND_ERROR = 0x08, SP_BOLT_CODEC_EXCEPTION = 0x09, SP_BOLT_CONNECTION_CLOSED = 0x10,
    SP_BOLT_SERVER_SERIAL_EXCEPTION = 0x11, SP_BOLT_SERVER_DESERIAL_EXCEPTION = 0x12,
};

/* Write `id` into the raw frame at `frame` (v1 or v2 by its first byte). */
void sp_bolt_patch_id(char *frame, uint32_t id);
/* Write the caller's remaining time into a raw request frame. */
void sp_bolt_patch_timeout(char *frame, int32_t timeout_ms);
/* The CRC of a frame of `frame_len` bytes (CRC itself not counted) after the 4 bytes at `at` changed from
 * `before` to `after` (both as they stand on the wire, big-endian values): the same as computing it anew.
 * An error that was in the frame stays visible to the receiver. */
uint32_t sp_bolt_crc_patch(uint32_t crc, uint64_t frame_len, uint32_t at, uint32_t before, uint32_t after);

#endif
