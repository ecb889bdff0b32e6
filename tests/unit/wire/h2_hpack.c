/* h2_hpack: the examples of RFC 7541 read and written, and blocks that must break. */
#include "lib/golden.h"

#include "base/mem.h"
#include "base/rng.h"
#include "wire/h2/hpack_impl.h"

enum { ROOM = 64 * 1024 };

struct rig {
    struct sp_hpack_table table;
    struct sp_hpack_encoder encoder;
    char memory[ROOM + ROOM / 16], encoder_memory[ROOM];
    char scratch[ROOM];
    char text[ROOM]; /* what was decoded: "name: value\n" for each field */
    size_t text_len;
};

static struct rig *rig_new(uint32_t limit)
{
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    sp_hpack_table_init(&rig->table, rig->memory, limit, limit);
    sp_hpack_encoder_init(&rig->encoder);
    return rig;
}

static void add_text(struct rig *rig, sp_str s)
{
    assert_true(s.len < sizeof rig->text - rig->text_len);
    if (s.len)
        memcpy(rig->text + rig->text_len, s.ptr, s.len);
    rig->text_len += s.len;
}

/* The result of the last call: 0 = good to the end. */
static int decode(struct rig *rig, const void *block, size_t len)
{
    char *copy = malloc(len ? len : 1); /* so that a look behind it is reported */
    memcpy(copy, block, len);
    const char *at = copy, *end = copy + len;
    struct sp_hpack_scratch scratch = { rig->scratch, rig->scratch + sizeof rig->scratch };
    struct sp_hpack_field field;
    int result;
    rig->text_len = 0;
    for (bool first = true; (result = sp_hpack_next(&rig->table, &at, end, first, &scratch, &field)) == 1;
         first = false) {
        add_text(rig, field.name);
        add_text(rig, SP_STR(": "));
        add_text(rig, field.value);
        add_text(rig, SP_STR("\n"));
    }
    rig->text[rig->text_len] = '\0';
    free(copy);
    return result;
}

static void check_golden(struct rig *rig, const char *name, const char *text, uint32_t size)
{
    struct golden *g = malloc(sizeof *g);
    golden_load(g, "h2/hpack.hex", name);
    assert_int_equal(decode(rig, g->bytes, g->len), 0);
    assert_string_equal(rig->text, text);
    assert_int_equal(rig->table.size, size);
    free(g);
}

static void single_fields_of_the_rfc(void **unused)
{
    struct rig *rig = rig_new(4096);
    check_golden(rig, "C.2.1", "custom-key: custom-header\n", 55);
    free(rig);
    rig = rig_new(4096);
    check_golden(rig, "C.2.2", ":path: /sample/path\n", 0);
    check_golden(rig, "C.2.3", "password: secret\n", 0);
    check_golden(rig, "C.2.4", ":method: GET\n", 0);
    free(rig);
}

static void three_requests(const char *first, const char *second, const char *third)
{
    struct rig *rig = rig_new(4096);
    check_golden(rig, first, ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n", 57);
    check_golden(
        rig, second,
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n", 110);
    check_golden(rig, third,
                 ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
                 "custom-key: custom-value\n",
                 164);
    free(rig);
}

static void requests_of_the_rfc(void **unused)
{
    three_requests("C.3.1", "C.3.2", "C.3.3");
    three_requests("C.4.1", "C.4.2", "C.4.3");
}

static void three_answers(const char *first, const char *second, const char *third)
{
    struct rig *rig = rig_new(256);
    check_golden(rig, first,
                 ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
                 "location: https://www.example.com\n",
                 222);
    check_golden(rig, second,
                 ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
                 "location: https://www.example.com\n",
                 222);
    check_golden(rig, third,
                 ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"
                 "location: https://www.example.com\ncontent-encoding: gzip\n"
                 "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
                 215);
    free(rig);
}

static void answers_of_the_rfc_with_eviction(void **unused)
{
    three_answers("C.5.1", "C.5.2", "C.5.3");
    three_answers("C.6.1", "C.6.2", "C.6.3");
}

static void broken_blocks_are_refused(void **unused)
{
    static const struct {
        const char *why, *bytes;
        size_t len;
    } broken[] = {
        { "index 0", "\x80", 1 },
        { "index behind both tables", "\xbe", 1 },
        { "name index behind both tables", "\x7f\x20\x01x", 4 },
        { "block ends in an index", "\xff", 1 },
        { "number that never ends", "\xff\x80\x80\x80\x80\x80\x80\x00", 8 },
        { "number too large", "\xff\xff\xff\xff\xff\x0f", 6 },
        { "no value", "\x40\x01x", 3 },
        { "text longer than the block", "\x40\x01x\x05yy", 6 },
        { "no name", "\x40", 1 },
        { "size update behind a field", "\x82\x20", 2 },
        { "three size updates", "\x20\x20\x20\x82", 4 },
        { "size update above the limit", "\x3f\xe2\x1f\x82", 4 },
        { "padding of eight ones", "\x40\x01x\x82\x1f\xff", 6 },
        { "padding of zeros", "\x40\x01x\x81\x18", 5 },
        { "the end in the text", "\x40\x01x\x84\xff\xff\xff\xff", 8 },
        { "nothing but padding", "\x40\x01x\x81\xff", 5 },
    };
    for (size_t i = 0; i < SP_COUNTOF(broken); i++) {
        struct rig *rig = rig_new(4096);
        if (decode(rig, broken[i].bytes, broken[i].len) != SP_E_INVALID)
            fail_msg("%s: not refused", broken[i].why);
        free(rig);
    }
}

static void size_updates_push_out(void **unused)
{
    struct rig *rig = rig_new(4096);
    assert_int_equal(decode(rig,
                            "\x40\x01"
                            "a\x01"
                            "b\x40\x01"
                            "c\x01"
                            "d",
                            10),
                     0);
    assert_int_equal(rig->table.count, 2);
    assert_int_equal(decode(rig, "\x3f\x03\xbe", 3), 0); /* 34 bytes: one entry stays */
    assert_string_equal(rig->text, "c: d\n");
    assert_int_equal(rig->table.count, 1);
    assert_int_equal(decode(rig, "\x20\x3f\xe1\x1f\x82", 5), 0);
    assert_int_equal(rig->table.count, 0);
    assert_int_equal(rig->table.limit, 4096);
    free(rig);
}

static void an_entry_that_evicts_its_own_name_is_whole(void **unused)
{
    struct rig *rig = rig_new(40);
    assert_int_equal(decode(rig, "\x40\x04name\x01v", 8), 0);
    assert_int_equal(decode(rig, "\x7e\x02zz", 4), 0);
    assert_string_equal(rig->text, "name: zz\n");
    assert_int_equal(decode(rig, "\xbe", 1), 0);
    assert_string_equal(rig->text, "name: zz\n");
    free(rig);
}

static void every_code_of_huffman_decodes(void **unused)
{
    /* Each byte alone, as the plain definition codes it: symbols by length, codes counting upward. */
    static const uint8_t lengths[257] = {
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
        28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
        5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
        7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
        15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
        7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
        23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
        21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
    };
    uint32_t codes[257], code = 0;
    for (unsigned bits = 1; bits <= 30; bits++, code <<= 1)
        for (unsigned s = 0; s < 257; s++)
            if (lengths[s] == bits)
                codes[s] = code++;

    struct sp_rng rng;
    sp_rng_init(&rng, 7541);
    for (int round = 0; round < 4000; round++) {
        unsigned char text[64], coded[300] = { 0 };
        size_t len = round < 256 ? 1 : sp_rng_below(&rng, sizeof text) + 1, bit = 0;
        for (size_t i = 0; i < len; i++) {
            uint64_t any = round & 1 ? 'a' + sp_rng_below(&rng, 26) : sp_rng_below(&rng, 256);
            text[i] = (unsigned char)(round < 256 ? (uint64_t)round : any);
            for (unsigned b = lengths[text[i]]; b--; bit++)
                coded[bit / 8] |= (unsigned char)((codes[text[i]] >> b & 1) << (7 - bit % 8));
        }
        for (; bit % 8; bit++)
            coded[bit / 8] |= (unsigned char)(1 << (7 - bit % 8));
        char *exact = malloc(bit / 8), out[64];
        memcpy(exact, coded, bit / 8);
        assert_int_equal(sp_huffman_decode(sp_str_of(exact, bit / 8), out, len), len);
        assert_memory_equal(out, text, len);
        assert_int_equal(sp_huffman_decode(sp_str_of(exact, bit / 8), out, len - 1), SP_E_LIMIT);
        free(exact);
    }
}

static void static_names_are_found(void **unused)
{
    for (uint32_t i = 1; i <= SP_HPACK_STATIC; i++) {
        uint32_t at = sp_hpack_static_name(sp_hpack_static[i].name);
        assert_true(at >= 1 && at <= i);
        assert_true(sp_str_eq(sp_hpack_static[at].name, sp_hpack_static[i].name));
    }
    assert_int_equal(sp_hpack_static_name(SP_STR("x-request-id")), 0);
    assert_int_equal(sp_hpack_static_name(SP_STR("")), 0);
}

/* What one end writes the other reads, and both tables stay alike, whatever the limits. */
static void both_ends_agree_over_many_blocks(void **unused)
{
    struct sp_rng rng;
    sp_rng_init(&rng, 4711);
    for (uint32_t limit = 0; limit <= 4096; limit += 512) {
        struct rig *rig = rig_new(4096);
        sp_hpack_encoder_give(&rig->encoder, rig->encoder_memory, limit + 64);
        for (int block = 0; block < 300; block++) {
            char out[8192], want[8192];
            size_t want_len = 0;
            char *at = out;
            if (block % 50 == 49)
                sp_hpack_encoder_most(&rig->encoder, (uint32_t)sp_rng_below(&rng, 4096));
            at = sp_hpack_begin(&rig->encoder, at);
            for (int i = 0; i < 12; i++) {
                char name[32], value[300];
                size_t spread = sp_rng_below(&rng, 20) ? 12 : 200;
                int n = snprintf(name, sizeof name, "x-%d", (int)sp_rng_below(&rng, 40));
                int v = snprintf(value, sizeof value, "%0*d", (int)sp_rng_below(&rng, spread) + 1,
                                 (int)sp_rng_below(&rng, 3));
                at = sp_hpack_put(
                    &rig->encoder, at, 0, sp_str_of(name, (size_t)n), sp_str_of(value, (size_t)v),
                    (enum sp_hpack_way)(sp_rng_below(&rng, 10) ? SP_HPACK_KEEP : SP_HPACK_NEVER));
                want_len += (size_t)snprintf(want + want_len, sizeof want - want_len, "%s: %s\n", name,
                                             value);
            }
            assert_int_equal(decode(rig, out, (size_t)(at - out)), 0);
            assert_string_equal(rig->text, want);
            assert_int_equal(rig->table.size, rig->encoder.table.size);
            assert_int_equal(rig->table.count, rig->encoder.table.count);
        }
        free(rig);
    }
}

static void what_comes_again_becomes_one_byte(void **unused)
{
    struct rig *rig = rig_new(4096);
    char out[256];
    sp_hpack_encoder_give(&rig->encoder, rig->encoder_memory, 4096);
    sp_str name = SP_STR("x-app"), value = SP_STR("orders");
    char *end = sp_hpack_put(&rig->encoder, out, 0, name, value, SP_HPACK_KEEP);
    assert_int_equal(end - out, 14);
    assert_int_equal(out[0], 0x00);
    assert_int_equal(sp_hpack_put(&rig->encoder, out, 0, name, value, SP_HPACK_KEEP) - out, 14);
    assert_int_equal(out[0], 0x40);
    assert_int_equal(sp_hpack_put(&rig->encoder, out, 0, name, value, SP_HPACK_KEEP) - out, 1);
    assert_int_equal((unsigned char)out[0], 0xbe);
    end = sp_hpack_put(&rig->encoder, out, 0, name, value, SP_HPACK_NEVER);
    assert_int_equal(out[0], 0x10);
    free(rig);
}

/* Forty headers with each request: in the long run nearly all are one or two bytes, whoever meets whom. */
static void many_headers_stay_in_the_table(void **unused)
{
    struct rig *rig = rig_new(4096);
    static char out[8192];
    char *end = out;
    sp_hpack_encoder_give(&rig->encoder, rig->encoder_memory, 4096);
    for (int round = 0; round < 60; round++) {
        uint32_t before = rig->encoder.table.next;
        end = sp_hpack_begin(&rig->encoder, out);
        for (int i = 0; i < 40; i++) {
            char name[16], value[32];
            int n = snprintf(name, sizeof name, "x-name-%d", i),
                v = snprintf(value, sizeof value, "value-%d", i * i);
            end = sp_hpack_put(&rig->encoder, end, 0, sp_str_of(name, (size_t)n), sp_str_of(value, (size_t)v),
                               SP_HPACK_KEEP);
        }
        assert_int_equal(decode(rig, out, (size_t)(end - out)), 0);
        assert_true(round < 30 || rig->encoder.table.next - before <= 1);
    }
    assert_in_range(end - out, 40, 40 * 3);
    free(rig);
}

/* H6: entries that fill the table, evicted and pushed together as fast as they come. */
static void a_storm_of_entries_keeps_the_table_in_its_memory(void **unused)
{
    struct rig *rig = rig_new(4096);
    struct sp_rng rng;
    sp_rng_init(&rng, 6581);
    for (int i = 0; i < 20000; i++) {
        unsigned char block[5000] = { 0x40, 0x01, 'n', 0x7f };
        size_t len = 127 + sp_rng_below(&rng, 4200);
        char *at = sp_hpack_put_int((char *)block + 3, 0, 7, (uint32_t)len);
        memset(at, 'v', len);
        assert_int_equal(decode(rig, block, (size_t)(at + len - (char *)block)), 0);
        assert_true(rig->table.size <= 4096 && rig->table.high <= 4096);
    }
    free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_fields_of_the_rfc),
        cmocka_unit_test(requests_of_the_rfc),
        cmocka_unit_test(answers_of_the_rfc_with_eviction),
        cmocka_unit_test(broken_blocks_are_refused),
        cmocka_unit_test(size_updates_push_out),
        cmocka_unit_test(an_entry_that_evicts_its_own_name_is_whole),
        cmocka_unit_test(every_code_of_huffman_decodes),
        cmocka_unit_test(static_names_are_found),
        cmocka_unit_test(both_ends_agree_over_many_blocks),
        cmocka_unit_test(what_comes_again_becomes_one_byte),
        cmocka_unit_test(many_headers_stay_in_the_table),
        cmocka_unit_test(a_storm_of_entries_keeps_the_table_in_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
