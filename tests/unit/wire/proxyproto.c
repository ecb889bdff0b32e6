/* proxyproto: headers as balancers send them, cut at every byte; and those that would leak into a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "wire/proxyproto.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BINARY(rest) SP_STR(SIGNATURE rest)

static void check_addr(const sp_addr *have, const char *want)
{
    char text[SP_ADDR_TEXT_BYTES];
    sp_addr_print(have, text, sizeof text);
    if (strcmp(text, want) != 0)
        fail_msg("have %s, want %s", text, want);
}

/* Read bytes that have exactly that much memory. */
static ssize_t read_exact(sp_str bytes, size_t len, struct sp_proxyproto *ret)
{
    char *exact = malloc(len + 1);
    memcpy(exact, bytes.ptr, len);
    ssize_t used = sp_proxyproto_read(sp_str_of(exact, len), ret);
    free(exact);
    return used;
}

/* Every beginning wants more; the whole is used up, and not a byte of what stands behind it. */
static void read_all(sp_str header, struct sp_proxyproto *ret)
{
    char behind[5000];
    assert_true(header.len + 20 <= sizeof behind);
    for (size_t len = 0; len < header.len; len++) {
        ssize_t used = read_exact(header, len, ret);
        if (used != 0)
            fail_msg("%zu of %zu bytes: %zd", len, header.len, used);
    }
    memset(ret, 0x5a, sizeof *ret);
    assert_int_equal(read_exact(header, header.len, ret), header.len);
    memcpy(behind, header.ptr, header.len);
    memcpy(behind + header.len, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(sp_proxyproto_read(sp_str_of(behind, header.len + 18), ret), header.len);
}

static void text_headers_give_their_addresses(void **unused)
{
    struct sp_proxyproto h;
    read_all(SP_STR("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"), &h);
    check_addr(&h.from, "192.0.2.1:56324");
    check_addr(&h.to, "198.51.100.7:443");
    assert_int_equal(h.version, 1);
    assert_false(h.local);
    read_all(SP_STR("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), &h);
    check_addr(&h.from, "[2001:db8::1]:0");
    check_addr(&h.to, "[::1]:65535");
    read_all(SP_STR("PROXY UNKNOWN\r\n"), &h);
    assert_int_equal(h.from.family + h.to.family, SP_ADDR_NONE);
    read_all(SP_STR("PROXY UNKNOWN anything that stands here\r\n"), &h);
    assert_int_equal(h.from.family, SP_ADDR_NONE);
    read_all(
        SP_STR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "65535 65535\r\n"),
        &h);
    assert_int_equal(h.to.port, 65535);
    read_all(
        SP_STR(
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            "65535 65535\r\n"),
        &h); /* 107 bytes: the longest there may be */
}

static void broken_text_headers_are_refused(void **unused)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 +2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999999999999\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 a.example 1.2.3.4 1 2\r\n",
        "PROXY\r\n",
    };
    struct sp_proxyproto h;
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        if (sp_proxyproto_read(sp_str_c(bad[i]), &h) != SP_E_INVALID)
            fail_msg("was taken: %s", bad[i]);
    }
    char line[200];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(sp_proxyproto_read(sp_str_of(line, 106), &h), 0);
    assert_int_equal(sp_proxyproto_read(sp_str_of(line, 107), &h), SP_E_INVALID);
    line[105] = '\r';
    line[106] = '\n';
    assert_int_equal(sp_proxyproto_read(sp_str_of(line, 150), &h), 107);
    line[105] = 'x';
    line[106] = '\r';
    line[107] = '\n';
    assert_int_equal(sp_proxyproto_read(sp_str_of(line, 150), &h), SP_E_INVALID);
}

static void binary_headers_give_their_addresses(void **unused)
{
    struct sp_proxyproto h;
    read_all(BINARY("\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\7\xdc\4\1\xbb"), &h);
    check_addr(&h.from, "192.0.2.1:56324");
    check_addr(&h.to, "198.51.100.7:443");
    assert_int_equal(h.version, 2);
    read_all(BINARY("\x21\x21\0\x24\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\x50\xff\xff"),
             &h);
    check_addr(&h.from, "[2001:db8::1]:80");
    check_addr(&h.to, "[::1]:65535");
    read_all(BINARY("\x20\0\0\0"), &h);
    assert_true(h.local);
    assert_int_equal(h.from.family, SP_ADDR_NONE);
    read_all(BINARY("\x20\xff\0\5abcde"), &h); /* LOCAL: the family is not looked at */
    assert_true(h.local);
    read_all(BINARY("\x21\0\0\3xyz"), &h);
    assert_false(h.local);
    assert_int_equal(h.from.family, SP_ADDR_NONE);
    read_all(BINARY("\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\7\xdc\4\1\xbb"), &h); /* UDP on a stream */
    assert_int_equal(h.from.family, SP_ADDR_NONE);
    read_all(BINARY("\x21\x11\0\x16\xc0\0\2\1\xc6\x33\x64\7\xdc\4\1\xbb\4\0\0\xee\0\4GET "), &h); /* TLVs */
    check_addr(&h.to, "198.51.100.7:443");
}

static void a_tlv_that_leaves_the_header_is_refused(void **unused)
{
    struct sp_proxyproto h;
#define ADDRESSES "\xc0\0\2\1\xc6\x33\x64\7\xdc\4\1\xbb"
    static const struct {
        sp_str bytes;
    } bad[] = {
        { BINARY("\x21\x11\0\x0d" ADDRESSES "\4") },
        { BINARY("\x21\x11\0\x0e" ADDRESSES "\4\0") },
        { BINARY("\x21\x11\0\x0f" ADDRESSES "\4\0\1GET / HTTP/1.1") },
        { BINARY("\x21\x11\0\x0f" ADDRESSES "\4\xff\xffGET / HTTP/1.1") },
        { BINARY("\x21\x11\0\x12" ADDRESSES "\4\0\1x\4\0GET / HTTP/1.1") },
        { BINARY("\x21\x11\0\x0f" ADDRESSES "\3\0\0") },     /* a CRC without bytes */
        { BINARY("\x21\x11\0\x13" ADDRESSES "\3\0\4abcd") }, /* a CRC that is wrong */
        { BINARY("\x21\x11\0\x0b" ADDRESSES) },              /* addresses longer than the header */
        { BINARY("\x21\x11\0\0" ADDRESSES) },
        { BINARY("\x21\x21\0\x23" ADDRESSES) },
        { BINARY("\x21\x31\0\xd7" ADDRESSES) },
        { BINARY("\x22\x11\0\x0c" ADDRESSES) },
        { BINARY("\x11\x11\0\x0c" ADDRESSES) },
        { BINARY("\x21\x10\0\x0c" ADDRESSES) },
        { BINARY("\x21\x01\0\x0c" ADDRESSES) },
        { BINARY("\x21\x13\0\x0c" ADDRESSES) },
        { BINARY("\x21\x41\0\x0c" ADDRESSES) },
        { SP_STR("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" ADDRESSES) },
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        if (sp_proxyproto_read(bad[i].bytes, &h) != SP_E_INVALID)
            fail_msg("case %zu was taken", i);
    }
    /* Lengths around the powers: refused at the 16th byte, however many come. */
    for (uint32_t length = 0; length <= 0xffff; length++) {
        char head[16] = SIGNATURE "\x20\0";
        head[14] = (char)(length >> 8);
        head[15] = (char)length;
        ssize_t want = length == 0 ? 16 : length + 16 > SP_PROXYPROTO_BYTES ? SP_E_LIMIT : 0;
        assert_int_equal(sp_proxyproto_read(sp_str_of(head, 16), &h), want);
    }
}

static uint32_t slow_crc32c(const unsigned char *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void a_checksum_is_verified_wherever_it_stands(void **unused)
{
    assert_int_equal(slow_crc32c((const unsigned char *)"123456789", 9), 0xe3069283);
    for (unsigned before = 0; before < 3; before++) {
        unsigned char f[128] = SIGNATURE "\x21\x11\0\0" ADDRESSES;
        struct sp_proxyproto h;
        size_t at = 28;
        for (unsigned i = 0; i < before; i++)
            at += (size_t)snprintf((char *)f + at, 8, "%c%c%c%s", 4, 0, 3, "abc");
        size_t crc_at = at + 3;
        memcpy(f + at, "\3\0\4\0\0\0\0\5\0\1z", 11);
        at += 11;
        f[15] = (unsigned char)(at - 16);
        uint32_t crc = slow_crc32c(f, at);
        for (int i = 0; i < 4; i++)
            f[crc_at + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
        assert_int_equal(sp_proxyproto_read(sp_str_of(f, at), &h), at);
        for (size_t bit = 8 * 16; bit < 8 * at; bit++) {
            f[bit / 8] ^= (unsigned char)(1 << bit % 8);
            ssize_t used = sp_proxyproto_read(sp_str_of(f, at), &h);
            /* Another TLV type in the sum's place is a header without a sum. */
            bool type_of_sum = bit / 8 == crc_at - 3;
            if (used != (type_of_sum ? (ssize_t)at : SP_E_INVALID))
                fail_msg("bit %zu: %zd", bit, used);
            f[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
}

static void unix_paths_come_and_go(void **unused)
{
    char long_path[109], too_long[110], out[SP_PROXYPROTO_WRITE_BYTES];
    memset(long_path, 'p', 108);
    long_path[108] = '\0';
    memset(too_long, 'p', 109);
    too_long[109] = '\0';
    static const char *const shorts[] = { "/run/a.sock", "", "@abstract" };
    const char *paths[] = { shorts[0], shorts[1], shorts[2], long_path };
    for (size_t i = 0; i < SP_COUNTOF(paths); i++) {
        for (size_t j = 0; j < SP_COUNTOF(paths); j++) {
            struct sp_proxyproto h = { .version = 2 }, back;
            h.from = (sp_addr){ .family = SP_ADDR_UNIX, .path = paths[i] };
            h.to = (sp_addr){ .family = SP_ADDR_UNIX, .path = paths[j] };
            ssize_t len = sp_proxyproto_write(&h, out, sizeof out);
            assert_int_equal(len, 232);
            read_all(sp_str_of(out, (size_t)len), &back);
            assert_string_equal(back.from.path, paths[i]);
            assert_string_equal(back.to.path, paths[j]);
        }
    }
    struct sp_proxyproto h = { .version = 2 };
    h.from = h.to = (sp_addr){ .family = SP_ADDR_UNIX, .path = too_long };
    assert_int_equal(sp_proxyproto_write(&h, out, sizeof out), SP_E_INVALID);
    h.version = 1; /* text has no word for a path */
    assert_int_equal(sp_proxyproto_write(&h, out, sizeof out), 15);
    assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);

    /* A NUL inside, and a path that only looks abstract. */
    char f[232] = SIGNATURE "\x21\x31\0\xd8/a\0b";
    assert_int_equal(sp_proxyproto_read(sp_str_of(f, sizeof f), &h), SP_E_INVALID);
    char g[232] = SIGNATURE "\x21\x31\0\xd8@a";
    assert_int_equal(sp_proxyproto_read(sp_str_of(g, sizeof g), &h), SP_E_INVALID);
}

static void what_is_written_is_read_back_the_same(void **unused)
{
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct sp_proxyproto h = { 0 }, back;
        struct sp_rng rng;
        char out[SP_PROXYPROTO_WRITE_BYTES];
        sp_rng_init(&rng, seed);
        h.version = (uint8_t)(1 + seed % 2);
        unsigned kind = (unsigned)sp_rng_below(&rng, 4); /* NONE, IP4, IP6, or local */
        h.local = kind == 3;
        h.from.family = h.to.family = kind == 1 ? SP_ADDR_IP4 : kind == 2 ? SP_ADDR_IP6 : SP_ADDR_NONE;
        for (unsigned i = 0; i < (kind == 1 ? 4u : kind == 2 ? 16u : 0u); i++) {
            h.from.ip[i] = sp_rng_chance(&rng, 500) ? 0 : (uint8_t)sp_rng_next(&rng);
            h.to.ip[i] = (uint8_t)sp_rng_next(&rng);
        }
        if (kind == 1 || kind == 2) {
            h.from.port = (uint16_t)sp_rng_next(&rng);
            h.to.port = (uint16_t)sp_rng_next(&rng);
        }
        ssize_t len = sp_proxyproto_write(&h, out, sizeof out);
        if (len <= 0)
            fail_msg("seed %llu: not written: %zd", (unsigned long long)seed, len);
        for (size_t room = 0; room < (size_t)len; room++) {
            char none[SP_PROXYPROTO_WRITE_BYTES] = { 0 };
            assert_int_equal(sp_proxyproto_write(&h, none, room), SP_E_LIMIT);
            assert_int_equal(none[0], 0);
        }
        read_all(sp_str_of(out, (size_t)len), &back);
        if (!sp_addr_eq(&h.from, &back.from) || !sp_addr_eq(&h.to, &back.to) || back.version != h.version ||
            back.local != (h.local && h.version == 2))
            fail_msg("seed %llu: read back otherwise", (unsigned long long)seed);
    }
}

static void what_cannot_be_said_is_not_written(void **unused)
{
    char out[SP_PROXYPROTO_WRITE_BYTES];
    struct sp_proxyproto h = { .version = 2,
                               .from = { .family = SP_ADDR_IP4 },
                               .to = { .family = SP_ADDR_IP6 } };
    assert_int_equal(sp_proxyproto_write(&h, out, sizeof out), SP_E_INVALID);
    h.to.family = SP_ADDR_IP4;
    h.version = 3;
    assert_int_equal(sp_proxyproto_write(&h, out, sizeof out), SP_E_INVALID);
    h.version = 0;
    assert_int_equal(sp_proxyproto_write(&h, out, sizeof out), SP_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_headers_give_their_addresses),
        cmocka_unit_test(broken_text_headers_are_refused),
        cmocka_unit_test(binary_headers_give_their_addresses),
        cmocka_unit_test(a_tlv_that_leaves_the_header_is_refused),
        cmocka_unit_test(a_checksum_is_verified_wherever_it_stands),
        cmocka_unit_test(unix_paths_come_and_go),
        cmocka_unit_test(what_is_written_is_read_back_the_same),
        cmocka_unit_test(what_cannot_be_said_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
