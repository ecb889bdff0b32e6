/* codec: the table by which links and proxy know HTTP/1.1, and its state as bytes.
 *
 * A connection that moves to another process takes the decoder's state along. It is saved field by field,
 * little-endian, behind a version: not as the struct, whose padding and limits pointer mean nothing over
 * there. What was not used up of the input moves beside it, so `scanned` and `line` stay true.
 *
 *      0 version   1 role   2 phase   3 wish   4 verdict   5 last   6 digits   7 place   8 interims
 *      9 blank   10 lines (2)   12 scanned (4)   16 line (4)   20 ext (4)   24 left (8)        32 bytes
 *
 * load trusts nothing: each enum and bound is checked, so bytes that save could not have written are refused
 * whole, and the state stays as it was. */
#include "wire/h1/h1_impl.h"

enum { SAVE_VERSION = 1, SAVE_BYTES = 32 };

static void init(struct sp_codec_state *state, enum sp_role role, const struct sp_codec_limits *limits)
{
    memset(state, 0, sizeof(*state));
    struct sp_h1 *s = sp_h1_of(state);
    s->limits = limits;
    s->role = (uint8_t)role;
    s->phase = SP_H1_HEAD;
}

static unsigned char *put_le(unsigned char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *at++ = (unsigned char)(value >> (8 * i));
    return at;
}

static uint64_t get_le(const unsigned char **at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t) * (*at)++ << (8 * i);
    return value;
}

static void save(const struct sp_codec_state *state, void *out)
{
    const struct sp_h1 *s = (const struct sp_h1 *)(const void *)state->bytes;
    const uint8_t small[] = { SAVE_VERSION, s->role,   s->phase, s->wish,     s->verdict,
                              s->last,      s->digits, s->place, s->interims, s->blank };
    unsigned char *at = out;
    memcpy(at, small, sizeof(small));
    at = put_le(at + sizeof(small), s->lines, 2);
    at = put_le(at, s->scanned, 4);
    at = put_le(at, s->line, 4);
    at = put_le(at, s->ext, 4);
    at = put_le(at, s->left, 8);
    SP_ASSERT(at == (unsigned char *)out + SAVE_BYTES);
}

/* Of a saved state, before it is put into the narrower fields of a live one. */
static bool is_in_range(const unsigned char *small, uint64_t lines, uint64_t ext, uint64_t left)
{
    return small[1] <= SP_ROLE_CLIENT && small[2] < SP_H1_PHASE_COUNT && small[3] < SP_H1_WISH_COUNT &&
           small[4] < SP_H1_VERDICT_COUNT && small[5] <= 1 && small[6] <= SP_H1_CHUNK_DIGITS &&
           small[7] < SP_H1_EXT_COUNT && small[8] <= SP_H1_INTERIMS && small[9] <= 1 &&
           lines <= SP_H1_LINES_MAX && ext <= SP_H1_EXT_BYTES && left <= INT64_MAX;
}

/* Fields that mean something in one phase only are zero in the others. */
static bool is_sound(const struct sp_h1 *s)
{
    bool server = s->role == SP_ROLE_SERVER;
    bool heads = s->phase == SP_H1_HEAD || s->phase == SP_H1_TRAILERS;
    if (!heads && s->phase != SP_H1_BROKEN && (s->scanned || s->line || s->lines))
        return false;
    if (s->line > s->scanned + 2 || s->lines > s->line)
        return false;
    if ((s->phase == SP_H1_COUNTED || s->phase == SP_H1_CHUNK_DATA) && s->left == 0)
        return false;
    if (s->phase == SP_H1_HELD && !(server && s->wish != SP_H1_WISH_NONE && s->verdict == SP_H1_OPEN))
        return false;
    if (server ? s->wish == SP_H1_WISH_PLAIN || s->wish == SP_H1_WISH_HEAD || s->phase == SP_H1_UNTIL_CLOSE
               : s->verdict != SP_H1_OPEN || s->blank)
        return false;
    return true;
}

static sp_err load(struct sp_codec_state *state, const void *in, const struct sp_codec_limits *limits)
{
    const unsigned char *small = in, *at = small + 10;
    uint64_t lines = get_le(&at, 2);
    uint32_t scanned = (uint32_t)get_le(&at, 4), line = (uint32_t)get_le(&at, 4);
    uint64_t ext = get_le(&at, 4), left = get_le(&at, 8);
    if (small[0] != SAVE_VERSION || !is_in_range(small, lines, ext, left))
        return SP_E_INVALID;

    struct sp_h1 s = {
        .limits = limits,
        .left = left,
        .scanned = scanned,
        .line = line,
        .ext = (uint16_t)ext,
        .lines = (uint8_t)lines,
        .phase = small[2],
        .digits = small[6],
        .place = small[7],
        .interims = small[8],
        .role = small[1] & 1,
        .wish = small[3] & 7,
        .verdict = small[4] & 3,
        .last = small[5] & 1,
        .blank = small[9] & 1,
    };
    if (!is_sound(&s))
        return SP_E_INVALID;

    memset(state, 0, sizeof(*state));
    *sp_h1_of(state) = s;
    return 0;
}

static enum sp_role role(const struct sp_codec_state *state)
{
    return (enum sp_role)((const struct sp_h1 *)(const void *)state)->role;
}

const struct sp_codec sp_h1_codec = {
    .name = "http/1.1",
    .protocol = SP_PROTO_HTTP1,
    .save_bytes = SAVE_BYTES,
    .init = init,
    .decode = sp_h1_decode,
    .asked = sp_h1_asked,
    .answered = sp_h1_answered,
    .finish = sp_h1_finish,
    .is_idle = sp_h1_is_idle,
    .encode_head = sp_h1_encode_head,
    .encode_chunk = sp_h1_encode_chunk,
    .chunk_suffix = { "\r\n", 2 },
    .encode_end = sp_h1_encode_end,
    .encode_error = sp_h1_encode_error,
    .save = save,
    .load = load,
    .role = role,
};
