/* huffman: strings of RFC 7541's fixed code, read several bits at a step.
 *
 * The code is canonical: within a length, codes count upward in the order of their symbols, and every longer
 * code is a larger number than every shorter one when both are written from the left. So two small tables
 * hold all of it, where a tree or a machine that steps through four bits needs sixteen kilobytes:
 *
 *      next 8 bits ──> short_codes[256]: symbol and length    letters, digits and what URLs are made of:
 *                        │ 0                                  74 symbols of 5 to 8 bits, one load for each
 *                        ▼
 *      next 32 bits ──> long_codes[17]: the first row whose end lies above    183 symbols of 10 to 30 bits
 *
 * 64 bits are held in a register, filled up eight bytes at a time: seven symbols of the common kind between
 * two fills. A string ends in at most 7 bits of ones (the beginning of the code for the end, which itself may
 * not occur); anything else there is refused, or one header would have several spellings.
 *
 * It does not know what a header is. There is no encoder: a string that comes again goes into the dynamic
 * table, and of one that does not the code saves a quarter of the bytes for 1 ns each, which is a bad bargain
 * between neighbours of one machine or rack. */
#include <endian.h>

#include "wire/h2/hpack_impl.h"

/* Bits << 8 | symbol; 0: the code is longer than 8 bits. */
static const uint16_t short_codes[256] = {
    0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531,
    0x531, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561,
    0x561, 0x561, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x565, 0x565, 0x565, 0x565, 0x565,
    0x565, 0x565, 0x565, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x56f, 0x56f, 0x56f, 0x56f,
    0x56f, 0x56f, 0x56f, 0x56f, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x574, 0x574, 0x574,
    0x574, 0x574, 0x574, 0x574, 0x574, 0x620, 0x620, 0x620, 0x620, 0x625, 0x625, 0x625, 0x625, 0x62d, 0x62d,
    0x62d, 0x62d, 0x62e, 0x62e, 0x62e, 0x62e, 0x62f, 0x62f, 0x62f, 0x62f, 0x633, 0x633, 0x633, 0x633, 0x634,
    0x634, 0x634, 0x634, 0x635, 0x635, 0x635, 0x635, 0x636, 0x636, 0x636, 0x636, 0x637, 0x637, 0x637, 0x637,
    0x638, 0x638, 0x638, 0x638, 0x639, 0x639, 0x639, 0x639, 0x63d, 0x63d, 0x63d, 0x63d, 0x641, 0x641, 0x641,
    0x641, 0x65f, 0x65f, 0x65f, 0x65f, 0x662, 0x662, 0x662, 0x662, 0x664, 0x664, 0x664, 0x664, 0x666, 0x666,
    0x666, 0x666, 0x667, 0x667, 0x667, 0x667, 0x668, 0x668, 0x668, 0x668, 0x66c, 0x66c, 0x66c, 0x66c, 0x66d,
    0x66d, 0x66d, 0x66d, 0x66e, 0x66e, 0x66e, 0x66e, 0x670, 0x670, 0x670, 0x670, 0x672, 0x672, 0x672, 0x672,
    0x675, 0x675, 0x675, 0x675, 0x73a, 0x73a, 0x742, 0x742, 0x743, 0x743, 0x744, 0x744, 0x745, 0x745, 0x746,
    0x746, 0x747, 0x747, 0x748, 0x748, 0x749, 0x749, 0x74a, 0x74a, 0x74b, 0x74b, 0x74c, 0x74c, 0x74d, 0x74d,
    0x74e, 0x74e, 0x74f, 0x74f, 0x750, 0x750, 0x751, 0x751, 0x752, 0x752, 0x753, 0x753, 0x754, 0x754, 0x755,
    0x755, 0x756, 0x756, 0x757, 0x757, 0x759, 0x759, 0x76a, 0x76a, 0x76b, 0x76b, 0x771, 0x771, 0x776, 0x776,
    0x777, 0x777, 0x778, 0x778, 0x779, 0x779, 0x77a, 0x77a, 0x826, 0x82a, 0x82c, 0x83b, 0x858, 0x85a, 0x000,
    0x000,
};

/* Symbols of longer codes, in the order of their codes; 256 is the end, which may not occur. */
static const uint16_t long_symbols[183] = {
    33,  34,  40,  41,  63,  39,  43,  124, 35,  62,  0,   36,  64,  91,  93,  126, 94,  125, 60,  96,  123,
    92,  195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217,
    227, 229, 230, 129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186,
    187, 189, 190, 196, 198, 228, 232, 233, 1,   135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152,
    155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9,   142, 144, 145, 148,
    159, 171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219,
    238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251,
    252, 253, 254, 2,   3,   4,   5,   6,   7,   8,   11,  12,  14,  15,  16,  17,  18,  19,  20,  21,  23,
    24,  25,  26,  27,  28,  29,  30,  31,  127, 220, 249, 10,  13,  22,  256,
};

/* For each length: how many codes it has, where their symbols begin, and the number behind its last code,
 * written from the left into 32 bits. */
static const struct {
    uint8_t bits, count, first;
    uint64_t end;
} long_codes[] = {
    { 10, 5, 0, 0xff400000u },    { 11, 3, 5, 0xffa00000u },    { 12, 2, 8, 0xffc00000u },
    { 13, 6, 10, 0xfff00000u },   { 14, 2, 16, 0xfff80000u },   { 15, 3, 18, 0xfffe0000u },
    { 19, 3, 21, 0xfffe6000u },   { 20, 8, 24, 0xfffee000u },   { 21, 13, 32, 0xffff4800u },
    { 22, 26, 45, 0xffffb000u },  { 23, 29, 71, 0xffffea00u },  { 24, 12, 100, 0xfffff600u },
    { 25, 4, 112, 0xfffff800u },  { 26, 15, 116, 0xfffffbc0u }, { 27, 19, 131, 0xfffffe20u },
    { 28, 29, 150, 0xfffffff0u }, { 30, 4, 179, 0x100000000u },
};

/* The symbol whose code `acc` begins with, and its length; -1: none, or the end. */
static int long_symbol(uint64_t acc, unsigned *ret_bits)
{
    uint64_t top = acc >> 32;
    for (size_t i = 0; i < SP_COUNTOF(long_codes); i++) {
        if (top >= long_codes[i].end)
            continue;
        unsigned bits = long_codes[i].bits;
        unsigned back = (unsigned)((long_codes[i].end - top - 1) >> (32 - bits)); /* from the last */
        *ret_bits = bits;
        unsigned symbol = long_symbols[long_codes[i].first + long_codes[i].count - 1 - back];
        return symbol > UINT8_MAX ? -1 : (int)symbol;
    }
    return -1;
}

/* What is left in the register when no byte is left behind it: `have` bits, ones behind them. */
static char *finish(uint64_t acc, unsigned have, char *out, const char *end, ssize_t *ret_err)
{
    *ret_err = SP_OK;
    while (have) {
        unsigned entry = short_codes[acc >> 56], bits = entry >> 8;
        int symbol = (int)(entry & UINT8_MAX);
        if (have < 8 && acc >> (64 - have) == (1u << have) - 1)
            return out; /* the padding */
        if (!entry)
            symbol = long_symbol(acc, &bits);
        if (symbol < 0 || bits > have) {
            *ret_err = SP_E_INVALID;
            return out;
        }
        if (out == end) {
            *ret_err = SP_E_LIMIT;
            return out;
        }
        *out++ = (char)symbol;
        acc = acc << bits | (((uint64_t)1 << bits) - 1);
        have -= bits;
    }
    return out;
}

ssize_t sp_huffman_decode(sp_str in, char *out, size_t room)
{
    const char *at = in.ptr, *stop = in.ptr + in.len;
    char *begin = out, *end = out + room;
    uint64_t acc = 0;
    unsigned have = 0;
    while (stop - at >= 8) {
        uint64_t more;
        memcpy(&more, at, sizeof more);
        acc |= be64toh(more) >> have;
        at += (63 - have) >> 3; /* the bits of the next byte that are there already are read again */
        have |= 56;
        if (end - out < 7) /* the loop below asks for room each time */
            break;
        for (int i = 0; i < 7; i++) {
            unsigned entry = short_codes[acc >> 56], bits = entry >> 8;
            int symbol = (int)(entry & UINT8_MAX);
            if (SP_UNLIKELY(!entry)) {
                if (have < 30)
                    break; /* fill up first */
                symbol = long_symbol(acc, &bits);
                if (symbol < 0)
                    return SP_E_INVALID;
            }
            if (bits > have)
                break;
            *out++ = (char)symbol;
            acc <<= bits;
            have -= bits;
        }
    }
    for (;;) {
        while (have <= 56 && at < stop) {
            acc |= (uint64_t)(unsigned char)*at++ << (56 - have);
            have += 8;
        }
        if (at == stop)
            break;
        unsigned entry = short_codes[acc >> 56], bits = entry >> 8;
        int symbol = (int)(entry & UINT8_MAX);
        if (!entry)
            symbol = long_symbol(acc, &bits);
        if (symbol < 0)
            return SP_E_INVALID;
        if (out == end)
            return SP_E_LIMIT;
        *out++ = (char)symbol;
        acc <<= bits;
        have -= bits;
    }
    ssize_t err;
    out = finish(have < 64 ? acc | UINT64_MAX >> have : acc, have, out, end, &err);
    return err ? err : out - begin;
}
