/* bolt_crc: the checksum by its definition, bit by bit, against tables and deltas. */
#include "bolt_help.h"

#include "base/rng.h"

/* The definition: divide, one bit at a time. */
static uint32_t slow_crc(const unsigned char *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static uint32_t at32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void crc_is_the_known_one_of_the_known_words(void **unused)
{
    assert_int_equal(sp_bolt_crc(0, SP_STR("123456789")), 0xcbf43926);
    assert_int_equal(sp_bolt_crc(0, SP_STR("")), 0);
    assert_int_equal(sp_bolt_crc(sp_bolt_crc(0, SP_STR("1234")), SP_STR("56789")), 0xcbf43926);
}

static void crc_agrees_with_its_definition_at_every_length(void **unused)
{
    unsigned char bytes[600];
    struct sp_rng rng;
    sp_rng_init(&rng, 1);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)sp_rng_next(&rng);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        assert_int_equal(sp_bolt_crc(0, sp_str_of(bytes, len)), slow_crc(bytes, len));
        size_t cut = len / 3;
        assert_int_equal(
            sp_bolt_crc(sp_bolt_crc(0, sp_str_of(bytes, cut)), sp_str_of(bytes + cut, len - cut)),
            slow_crc(bytes, len));
    }
}

static void a_delta_equals_computing_anew(void **unused)
{
    static unsigned char bytes[300 * 1024];
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sp_rng rng;
        sp_rng_init(&rng, seed);
        size_t len = 4 + sp_rng_below(&rng, seed % 8 ? 4096 : sizeof bytes - 4);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)sp_rng_next(&rng);
        uint32_t crc = sp_bolt_crc(0, sp_str_of(bytes, len));
        uint32_t at = (uint32_t)sp_rng_below(&rng, len - 3), after = (uint32_t)sp_rng_next(&rng);
        uint32_t before = at32(bytes + at);
        uint32_t patched = sp_bolt_crc_patch(crc, len, at, before, after);
        put_number(bytes, at, 4, after);
        if (patched != sp_bolt_crc(0, sp_str_of(bytes, len)))
            fail_msg("seed %llu: %zu bytes, patched at %u", (unsigned long long)seed, len, at);
        if (sp_bolt_crc_patch(patched, len, at, after, before) != crc)
            fail_msg("seed %llu: not its own reverse", (unsigned long long)seed);
    }
}

static void a_delta_reaches_over_the_longest_frames(void **unused)
{
    /* Shifting in two steps is shifting once: what no test could afford to compute by its definition. */
    const uint64_t ends[] = { 0xff,       0x100,      0xffff,     0x10000,   0x1234567,
                              0x7ffffffe, 0x7fffffff, 0x80000017, 0xffffffff };
    for (size_t i = 0; i < SP_COUNTOF(ends); i++) {
        uint32_t near = sp_bolt_crc_delta(100, 6, 0x11223344, 0x55667788);
        uint32_t far = sp_bolt_crc_delta(ends[i] - 94 + 100, 6, 0x11223344, 0x55667788);
        /* 4 bytes that stand at the end of a frame are shifted by themselves alone, so ... */
        uint32_t back = __builtin_bswap32(near);
        assert_int_equal(sp_bolt_crc_delta(ends[i] - 94, 0, back, 0), far);
    }
}

static void a_delta_of_two_heads_equals_computing_anew(void **unused)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        unsigned char a[1200], b[1200];
        struct sp_rng rng;
        sp_rng_init(&rng, seed);
        size_t a_len = sp_rng_below(&rng, 500), b_len = sp_rng_below(&rng, 500),
               body = sp_rng_below(&rng, 700);
        for (size_t i = 0; i < a_len; i++)
            a[i] = (unsigned char)sp_rng_next(&rng);
        for (size_t i = 0; i < b_len; i++)
            b[i] = (unsigned char)sp_rng_next(&rng);
        for (size_t i = 0; i < body; i++)
            a[a_len + i] = b[b_len + i] = (unsigned char)sp_rng_next(&rng);
        uint32_t delta = sp_bolt_crc_delta_head(sp_str_of(a, a_len), sp_str_of(b, b_len), body);
        if ((slow_crc(a, a_len + body) ^ delta) != slow_crc(b, b_len + body))
            fail_msg("seed %llu: %zu and %zu before %zu", (unsigned long long)seed, a_len, b_len, body);
    }
}

static void a_delta_is_applied_whatever_pieces_the_crc_comes_in(void **unused)
{
    for (uint64_t left = 4; left <= 12; left++) {
        for (size_t cut = 0; cut <= left; cut++) {
            for (size_t second = cut; second <= left; second++) {
                char bytes[12] = { 0 };
                sp_bolt_crc_apply(bytes, cut, left - cut, 0x01020304);
                sp_bolt_crc_apply(bytes + cut, second - cut, left - second, 0x01020304);
                sp_bolt_crc_apply(bytes + second, left - second, 0, 0x01020304);
                for (size_t i = 0; i < left; i++)
                    assert_int_equal(bytes[i], i < left - 4 ? 0 : i - (left - 4) + 1);
            }
        }
    }
}

static void a_flipped_bit_stays_visible_after_the_patch(void **unused)
{
    struct golden g;
    golden_load(&g, "bolt/v2.hex", "request-crc");
    assert_true(sp_bolt_crc_ok(sp_str_of(g.bytes, g.len)));
    for (size_t bit = 8; bit < 8 * g.len; bit++) { /* with another first byte the id stands elsewhere */
        unsigned char f[64];
        memcpy(f, g.bytes, g.len);
        f[bit / 8] ^= (unsigned char)(1 << bit % 8);
        uint32_t delta = sp_bolt_crc_delta(g.len - 4, 6, at32(f + 6), 0xcafe);
        sp_bolt_patch_id((char *)f, 0xcafe);
        sp_bolt_crc_apply((char *)f, g.len, 0, delta);
        if (sp_bolt_crc_ok(sp_str_of(f, g.len)))
            fail_msg("bit %zu was repaired", bit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_the_known_one_of_the_known_words),
        cmocka_unit_test(crc_agrees_with_its_definition_at_every_length),
        cmocka_unit_test(a_delta_equals_computing_anew),
        cmocka_unit_test(a_delta_reaches_over_the_longest_frames),
        cmocka_unit_test(a_delta_of_two_heads_equals_computing_anew),
        cmocka_unit_test(a_delta_is_applied_whatever_pieces_the_crc_comes_in),
        cmocka_unit_test(a_flipped_bit_stays_visible_after_the_patch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
