/* crc: the checksum of a Bolt v2 frame, and how it follows a change without a look at the body.
 *
 * A CRC is a remainder: the frame's bits are a polynomial over GF(2), divided by P. Remainders add, and
 * adding is XOR. If 4 bytes in the middle change, the frame changes by the polynomial
 *
 *      d(x) * x^(8 * bytes behind them)          d = before ^ after
 *
 * and the CRC by its remainder, whatever else the frame holds. A proxy gives each call the id of another
 * connection, so it changes 4 bytes of each frame; with a CRC over a 1 MiB body that would cost a walk over
 * 1 MiB. It costs one multiplication modulo P for each nonzero hexadecimal digit of the distance instead:
 * `powers` holds x^(8*d*16^k), so 3 for a frame of 1 KiB, 5 for one of 1 MiB, 35 ns each.
 *
 * A whole new head is the same thought: crc(A || B) = crc(A) * x^(8|B|) + crc(B), so when A becomes A', the
 * term of B drops out of the difference. (Standard CRCs invert at both ends; these constants cancel too.)
 *
 * What is left is a constant to be XORed onto the old CRC. So a frame that arrived broken leaves broken, and
 * the end that checks it finds out: recomputing would hide what a bad cable or bad memory before us did.
 *
 * Left: carry-less multiplication instructions. They would make the 100 ns of a patched frame 10, on one
 * kind of machine; most SOFA traffic is v1 and has no CRC. */
#include "wire/bolt/frame_impl.h"

#define POLY 0xedb88320u /* of IEEE 802.3, lowest power in the highest bit, as all of it here */

static const uint32_t powers[8][16] = {
    { 0x80000000, 0x00800000, 0x00008000, 0x00000080, 0xedb88320, 0x3b83984b, 0xe1351b80, 0xed59b63b,
      0xb1e6b092, 0x1eb014d8, 0x8816eaf2, 0x533b85da, 0x6655004f, 0xe6050901, 0x77e1359f, 0x60c76fe0 },
    { 0x80000000, 0xa06a2517, 0xed627dae, 0x15141c31, 0x88d14467, 0x4721589f, 0xe5b592b8, 0x6325605c,
      0xd7bbfe6a, 0xdb54814c, 0x0eaee722, 0x784d2a56, 0x62b6ca4b, 0x291ea462, 0x6b1d2b53, 0x8fd2cd3c },
    { 0x80000000, 0xec447f11, 0x8e7ea170, 0x05616c82, 0x6427800e, 0x5ef840e2, 0xbf110f7e, 0x118f848e,
      0x4d47bae0, 0xa84bdc84, 0x0b19ae7f, 0xaf5619bc, 0x6347a4bd, 0xd91ef3cb, 0x13d40d42, 0x5b6cda72 },
    { 0x80000000, 0x09fe548f, 0x83852d0f, 0xe4b54665, 0x30362f1a, 0x668145e1, 0xf27674ad, 0xb8c9f94b,
      0x7b5a9cc3, 0x866744b2, 0xc99622b9, 0xafe90854, 0xec735cea, 0xefe9d761, 0x0f9f0002, 0xf014301e },
    { 0x80000000, 0x31fec169, 0x9fec022a, 0x169810b5, 0x6c8dedc4, 0x2484f1bc, 0x0abf1a4f, 0x31ca80c2,
      0x15d6874d, 0xbd2a626f, 0xaddc2f07, 0x6736439c, 0x07474644, 0xf4165146, 0xfb765627, 0xe2faf430 },
    { 0x80000000, 0x5fde7a4e, 0xbad90e37, 0x799a8cf7, 0x2e4e5eef, 0x7ad256cc, 0x725d2aad, 0xc340f13e,
      0x4eaba214, 0x05efb6ad, 0x36a60923, 0x65b78f8d, 0xdfcd2365, 0x55252240, 0x2177bc48, 0x3446c848 },
    { 0x80000000, 0xa8a472c0, 0x429a969e, 0x3e855758, 0x148d302a, 0xec8302fa, 0x6633295b, 0x9dd77bf8,
      0xc40ba6d0, 0xc0262b6b, 0x9c7b4c60, 0x48536a3e, 0x966bbc20, 0x21476b31, 0xa1c375b0, 0x33f2d7b5 },
    { 0x80000000, 0xc4e22c3c, 0x40000000, 0x6271161e, 0x20000000, 0x31388b0f, 0x10000000, 0xf524c6a7,
      0x08000000, 0x972ae073, 0x04000000, 0xa62df319, 0x02000000, 0xbeae7aac, 0x01000000, 0x5f573d56 },
};

/* The remainder of each byte, shifted through. */
static const uint32_t bytes_crc[256] = {
    0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f, 0xe963a535, 0x9e6495a3,
    0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988, 0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91,
    0x1db71064, 0x6ab020f2, 0xf3b97148, 0x84be41de, 0x1adad47d, 0x6ddde4eb, 0xf4d4b551, 0x83d385c7,
    0x136c9856, 0x646ba8c0, 0xfd62f97a, 0x8a65c9ec, 0x14015c4f, 0x63066cd9, 0xfa0f3d63, 0x8d080df5,
    0x3b6e20c8, 0x4c69105e, 0xd56041e4, 0xa2677172, 0x3c03e4d1, 0x4b04d447, 0xd20d85fd, 0xa50ab56b,
    0x35b5a8fa, 0x42b2986c, 0xdbbbc9d6, 0xacbcf940, 0x32d86ce3, 0x45df5c75, 0xdcd60dcf, 0xabd13d59,
    0x26d930ac, 0x51de003a, 0xc8d75180, 0xbfd06116, 0x21b4f4b5, 0x56b3c423, 0xcfba9599, 0xb8bda50f,
    0x2802b89e, 0x5f058808, 0xc60cd9b2, 0xb10be924, 0x2f6f7c87, 0x58684c11, 0xc1611dab, 0xb6662d3d,
    0x76dc4190, 0x01db7106, 0x98d220bc, 0xefd5102a, 0x71b18589, 0x06b6b51f, 0x9fbfe4a5, 0xe8b8d433,
    0x7807c9a2, 0x0f00f934, 0x9609a88e, 0xe10e9818, 0x7f6a0dbb, 0x086d3d2d, 0x91646c97, 0xe6635c01,
    0x6b6b51f4, 0x1c6c6162, 0x856530d8, 0xf262004e, 0x6c0695ed, 0x1b01a57b, 0x8208f4c1, 0xf50fc457,
    0x65b0d9c6, 0x12b7e950, 0x8bbeb8ea, 0xfcb9887c, 0x62dd1ddf, 0x15da2d49, 0x8cd37cf3, 0xfbd44c65,
    0x4db26158, 0x3ab551ce, 0xa3bc0074, 0xd4bb30e2, 0x4adfa541, 0x3dd895d7, 0xa4d1c46d, 0xd3d6f4fb,
    0x4369e96a, 0x346ed9fc, 0xad678846, 0xda60b8d0, 0x44042d73, 0x33031de5, 0xaa0a4c5f, 0xdd0d7cc9,
    0x5005713c, 0x270241aa, 0xbe0b1010, 0xc90c2086, 0x5768b525, 0x206f85b3, 0xb966d409, 0xce61e49f,
    0x5edef90e, 0x29d9c998, 0xb0d09822, 0xc7d7a8b4, 0x59b33d17, 0x2eb40d81, 0xb7bd5c3b, 0xc0ba6cad,
    0xedb88320, 0x9abfb3b6, 0x03b6e20c, 0x74b1d29a, 0xead54739, 0x9dd277af, 0x04db2615, 0x73dc1683,
    0xe3630b12, 0x94643b84, 0x0d6d6a3e, 0x7a6a5aa8, 0xe40ecf0b, 0x9309ff9d, 0x0a00ae27, 0x7d079eb1,
    0xf00f9344, 0x8708a3d2, 0x1e01f268, 0x6906c2fe, 0xf762575d, 0x806567cb, 0x196c3671, 0x6e6b06e7,
    0xfed41b76, 0x89d32be0, 0x10da7a5a, 0x67dd4acc, 0xf9b9df6f, 0x8ebeeff9, 0x17b7be43, 0x60b08ed5,
    0xd6d6a3e8, 0xa1d1937e, 0x38d8c2c4, 0x4fdff252, 0xd1bb67f1, 0xa6bc5767, 0x3fb506dd, 0x48b2364b,
    0xd80d2bda, 0xaf0a1b4c, 0x36034af6, 0x41047a60, 0xdf60efc3, 0xa867df55, 0x316e8eef, 0x4669be79,
    0xcb61b38c, 0xbc66831a, 0x256fd2a0, 0x5268e236, 0xcc0c7795, 0xbb0b4703, 0x220216b9, 0x5505262f,
    0xc5ba3bbe, 0xb2bd0b28, 0x2bb45a92, 0x5cb36a04, 0xc2d7ffa7, 0xb5d0cf31, 0x2cd99e8b, 0x5bdeae1d,
    0x9b64c2b0, 0xec63f226, 0x756aa39c, 0x026d930a, 0x9c0906a9, 0xeb0e363f, 0x72076785, 0x05005713,
    0x95bf4a82, 0xe2b87a14, 0x7bb12bae, 0x0cb61b38, 0x92d28e9b, 0xe5d5be0d, 0x7cdcefb7, 0x0bdbdf21,
    0x86d3d2d4, 0xf1d4e242, 0x68ddb3f8, 0x1fda836e, 0x81be16cd, 0xf6b9265b, 0x6fb077e1, 0x18b74777,
    0x88085ae6, 0xff0f6a70, 0x66063bca, 0x11010b5c, 0x8f659eff, 0xf862ae69, 0x616bffd3, 0x166ccf45,
    0xa00ae278, 0xd70dd2ee, 0x4e048354, 0x3903b3c2, 0xa7672661, 0xd06016f7, 0x4969474d, 0x3e6e77db,
    0xaed16a4a, 0xd9d65adc, 0x40df0b66, 0x37d83bf0, 0xa9bcae53, 0xdebb9ec5, 0x47b2cf7f, 0x30b5ffe9,
    0xbdbdf21c, 0xcabac28a, 0x53b39330, 0x24b4a3a6, 0xbad03605, 0xcdd70693, 0x54de5729, 0x23d967bf,
    0xb3667a2e, 0xc4614ab8, 0x5d681b02, 0x2a6f2b94, 0xb40bbe37, 0xc30c8ea1, 0x5a05df1b, 0x2d02ef8d,
};

/* a * b modulo P. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int i = 0; i < 32; i++) {
        product ^= b & (0u - (a >> 31));
        a <<= 1;
        b = (b >> 1) ^ (POLY & (0u - (b & 1)));
    }
    return product;
}

/* value * x^(8 * bytes) modulo P: what a remainder becomes when `bytes` bytes follow. */
static uint32_t shift(uint32_t value, uint64_t bytes)
{
    SP_ASSERT(bytes <= UINT32_MAX);
    for (int k = 0; bytes; k++, bytes >>= 4) {
        if (bytes & 15)
            value = multiply(powers[k][bytes & 15], value);
    }
    return value;
}

uint32_t sp_bolt_crc(uint32_t crc, sp_str bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++)
        crc = bytes_crc[(crc ^ (unsigned char)bytes.ptr[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

uint32_t sp_bolt_crc_delta(uint64_t frame_len, uint32_t at, uint32_t before, uint32_t after)
{
    SP_ASSERT((uint64_t)at + 4 <= frame_len);
    /* The first byte on the wire is the lowest of a reflected remainder, hence the swap. The 4 bytes
     * themselves are shifted through as well: the distance counts from where they begin. */
    return shift(__builtin_bswap32(before ^ after), frame_len - at);
}

/* Two changes at once, the second `gap` bytes behind the first: one walk over the distance. */
uint32_t sp_bolt_crc_delta2(uint64_t frame_len, uint32_t at, uint32_t first, uint32_t gap, uint32_t second)
{
    uint32_t moved = shift(__builtin_bswap32(first), gap) ^ __builtin_bswap32(second);
    return shift(moved, frame_len - at - gap);
}

uint32_t sp_bolt_crc_patch(uint32_t crc, uint64_t frame_len, uint32_t at, uint32_t before, uint32_t after)
{
    return crc ^ sp_bolt_crc_delta(frame_len, at, before, after);
}

uint32_t sp_bolt_crc_delta_head(sp_str before, sp_str after, uint64_t content_bytes)
{
    return shift(sp_bolt_crc(0, before) ^ sp_bolt_crc(0, after), content_bytes);
}

void sp_bolt_crc_apply(char *bytes, size_t len, uint64_t left, uint32_t delta)
{
    for (size_t n = 0; delta && n < len && left + n < SP_BOLT_CRC_BYTES; n++) {
        char *last = &bytes[len - 1 - n]; /* has left + n bytes behind it: the CRC's lowest byte has none */
        *last = (char)((unsigned char)*last ^ (delta >> (8 * (left + n)) & 0xff));
    }
}

bool sp_bolt_crc_ok(sp_str frame)
{
    if (frame.len < SP_BOLT_CRC_BYTES)
        return false;
    sp_str body = sp_str_upto(frame, frame.len - SP_BOLT_CRC_BYTES);
    return sp_bolt_crc(0, body) == sp_bolt_get32(frame.ptr + body.len);
}
