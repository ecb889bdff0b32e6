/* frame: where a Bolt frame keeps what, for the files of this folder. All numbers are big-endian.
 *
 *          proto ver1 type cmd ver2  id codec switch  timeout|status  lengths of    what they count
 *      v1    0    -    1   2-3   4  5-8   9     -      10-13 | 10-11  class 2       class, header block,
 *      v2    0    1    2   3-4   5  6-9  10    11      12-15 | 12-13  block 2       content; v2: perhaps CRC
 *                                                                     content 4
 *
 * v2 is v1 with one byte more in front of the type and one behind the codec: everything is computed from
 * `k` = 0 (v1) or 1 (v2), a constant wherever it is used, so that each version has its own straight code. */
#ifndef SP_WIRE_BOLT_FRAME_IMPL_H
#define SP_WIRE_BOLT_FRAME_IMPL_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire/bolt/bolt.h"

enum sp_bolt_type { SP_BOLT_TYPE_RESPONSE, SP_BOLT_TYPE_REQUEST, SP_BOLT_TYPE_ONEWAY };

enum sp_bolt_cmd {
    SP_BOLT_CMD_HEARTBEAT = 0,
    SP_BOLT_CMD_REQUEST = 1,
    SP_BOLT_CMD_RESPONSE = 2,
    SP_BOLT_CMD_GOAWAY = 100, /* MOSN's; a Java peer does not know it */
};

enum {
    SP_BOLT_VER2 = 1, /* the command's version: there has never been another */
    SP_BOLT_CRC_BYTES = 4,
    SP_BOLT_SWITCH_CRC = 1,
    SP_BOLT_FIELD_MAX = 32767,  /* class and header block: Java reads their lengths as signed shorts */
    SP_BOLT_CODEC_HESSIAN2 = 1, /* what heartbeats carry */
};
#define SP_BOLT_FRAME_MAX                                                                                    \
    ((uint64_t)INT32_MAX) /* class + header + content + CRC: Java adds them up in an int */

/* Offsets by version; the last four hold for a response and are 2 more in a request. */
#define SP_BOLT_AT_TYPE(k) (1 + (k))
#define SP_BOLT_AT_CMD(k) (2 + (k))
#define SP_BOLT_AT_VER2(k) (4 + (k))
#define SP_BOLT_AT_ID(k) (5 + (k))
#define SP_BOLT_AT_CODEC(k) (9 + (k))
#define SP_BOLT_AT_SWITCH 11
#define SP_BOLT_AT_WAIT(k) (10 + 2 * (k)) /* timeout of a request, status of a response */
#define SP_BOLT_AT_LENGTHS(k) (12 + 2 * (k))
#define SP_BOLT_FIXED(k) (20 + 2 * (k))

enum sp_bolt_phase { SP_BOLT_HEAD, SP_BOLT_BODY, SP_BOLT_BROKEN };

/* What hides in sp_codec_state. */
struct sp_bolt_state {
    const struct sp_codec_limits *limits;
    uint64_t left; /* BODY: bytes of the frame still to come, CRC included */
    uint32_t need; /* HEAD: bytes that must be there before looking again makes sense; 0 = nothing seen */
    uint8_t phase; /* enum sp_bolt_phase */
    uint8_t proto; /* 1 or 2 */
    uint8_t role;  /* enum sp_role: kept for whoever reads a saved state; both roles decode both ways */
};
_Static_assert(sizeof(struct sp_bolt_state) <= SP_CODEC_STATE_BYTES, "a codec's state has one size");

static inline uint32_t sp_bolt_get16(const char *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return be16toh(v);
}

static inline uint32_t sp_bolt_get32(const char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return be32toh(v);
}

static inline void sp_bolt_put16(char *at, uint32_t value)
{
    uint16_t v = htobe16((uint16_t)value);
    memcpy(at, &v, sizeof v);
}

static inline void sp_bolt_put32(char *at, uint32_t value)
{
    uint32_t v = htobe32(value);
    memcpy(at, &v, sizeof v);
}

/* decode.c */
ssize_t sp_bolt_decode1(struct sp_codec_state *state, sp_str in, struct sp_event *ev);
ssize_t sp_bolt_decode2(struct sp_codec_state *state, sp_str in, struct sp_event *ev);
ssize_t sp_bolt_finish(struct sp_codec_state *state, struct sp_event *ev);

/* crc.c: deltas (before ^ after) of two places, `gap` bytes apart. */
uint32_t sp_bolt_crc_delta2(uint64_t frame_len, uint32_t at, uint32_t first, uint32_t gap, uint32_t second);

/* encode.c */
ssize_t sp_bolt_encode_head(const struct sp_head *head, char *out, size_t room);
ssize_t sp_bolt_encode_error(const struct sp_head *request, uint32_t status, sp_str reason_code, sp_str text,
                             bool last, char *out, size_t room);
ssize_t sp_bolt_encode_heartbeat1(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room);
ssize_t sp_bolt_encode_heartbeat2(const struct sp_head *like, uint32_t id, bool ack, char *out, size_t room);

#endif
