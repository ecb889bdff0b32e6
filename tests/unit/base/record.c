/* record: each type there and back, what is left out for whom, each trouble's words, broken bytes. */
#include "base/record.h"

#include "base/mem.h"
#include "base/rng.h"
#include "unit/base/help.h"
#include "unit/base/record_kinds.h"

static void check_same(const struct all *a, const struct all *b)
{
    assert_int_equal(a->yes, b->yes);
    assert_int_equal(a->u8, b->u8);
    assert_int_equal(a->u16, b->u16);
    assert_int_equal(a->u32, b->u32);
    assert_true(a->u64 == b->u64);
    assert_int_equal(a->i32, b->i32);
    assert_true(a->i64 == b->i64);
    assert_true(sp_str_eq(a->bytes, b->bytes));
    assert_int_equal(a->addr.family, b->addr.family);
    assert_int_equal(a->addr.port, b->addr.port);
    if (a->addr.family != SP_ADDR_NONE)
        assert_true(sp_addr_eq(&a->addr, &b->addr));
    assert_true(sp_cell_get(&a->cell) == sp_cell_get(&b->cell));
}

/* Write one record, read it, hold it to what was written. Returns the bytes that it took. */
static size_t there_and_back(const struct all *record)
{
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &all_kind, record);
    assert_int_equal(writer.err, 0);
    assert_int_equal(writer.records, 1);

    struct sp_record_reader reader;
    struct all again;
    uint16_t kind = 0;
    memset(&again, 0xa5, sizeof(again));
    sp_record_reader_init(&reader, sp_buf_str(&writer.out), NULL, 0);
    assert_int_equal(sp_record_next(&reader, &kind), 1);
    assert_int_equal(kind, 300);
    assert_int_equal(sp_record_get(&reader, &all_kind, &again), 0);
    check_same(record, &again);
    assert_int_equal(sp_record_next(&reader, &kind), 0);
    assert_int_equal(reader.records, 1);
    size_t bytes = writer.out.len;
    sp_record_writer_deinit(&writer);
    return bytes;
}

static void every_type_comes_back_at_its_ends(void **state)
{
    struct all record = full();
    there_and_back(&record);
    record.i32 = INT32_MAX;
    record.i64 = INT64_MAX;
    there_and_back(&record);
    record.i32 = -1;
    record.i64 = -1;
    there_and_back(&record);
    record = (struct all){ .u8 = 1, .u16 = 1, .u32 = 1, .u64 = 1, .i32 = 1, .i64 = 1, .cell = { 1 } };
    there_and_back(&record);
    for (unsigned bit = 0; bit < 64; bit++) {
        record = (struct all){ .u64 = 1ull << bit, .i64 = (int64_t)(1ull << bit), .cell = { 1ull << bit } };
        record.u32 = (uint32_t)record.u64;
        there_and_back(&record);
        record.u64--;
        there_and_back(&record);
    }
}

static void every_family_of_address_comes_back(void **state)
{
    struct all record = { 0 };
    record.addr = (sp_addr){ .port = 9, .family = SP_ADDR_NONE };
    there_and_back(&record);
    record.addr = (sp_addr){ .family = SP_ADDR_IP4 };
    there_and_back(&record);
    assert_int_equal(sp_addr_parse(SP_STR("[2001:db8::77]:65535"), &record.addr), 0);
    there_and_back(&record);
    record.addr = (sp_addr){ .path = "/run/x.sock", .family = SP_ADDR_UNIX };
    there_and_back(&record);
    record.addr = (sp_addr){ .path = "@abstract", .family = SP_ADDR_UNIX };
    there_and_back(&record);
    record.addr = (sp_addr){ .path = "", .family = SP_ADDR_UNIX };
    there_and_back(&record);
}

static void a_path_that_is_not_there_is_an_empty_one(void **state)
{
    struct all record = { .addr = { .path = NULL, .family = SP_ADDR_UNIX } }, again;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    uint16_t kind;
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &all_kind, &record);
    sp_record_reader_init(&reader, sp_buf_str(&writer.out), NULL, 0);
    assert_int_equal(sp_record_next(&reader, &kind), 1);
    assert_int_equal(sp_record_get(&reader, &all_kind, &again), 0);
    assert_string_equal(again.addr.path, "");
    sp_record_writer_deinit(&writer);
}

static void what_is_zero_takes_no_bytes(void **state)
{
    struct all record = { 0 };
    assert_int_equal(there_and_back(&record), 3); /* kind 300 takes two, the length one */
    record.bytes = sp_str_of("x", 0);
    record.addr.ip[3] = 7; /* of no family: nobody reads it */
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &all_kind, &record);
    assert_int_equal(writer.out.len, 3);
    sp_record_writer_deinit(&writer);
}

/* The bytes themselves: another build reads them. */
static void the_bytes_are_as_the_page_says(void **state)
{
    struct small record = { .a = 300, .b = 1, .c = SP_STR("hi") };
    static const uint8_t want[] = { 7, 9, 2, 0xac, 2, 4, 1, 7, 2, 'h', 'i' };
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &small_kind, &record);
    assert_int_equal(writer.out.len, sizeof(want));
    assert_memory_equal(writer.out.ptr, want, sizeof(want));
    sp_record_writer_deinit(&writer);
}

/* --- what the receiver knows ---------------------------------------------------------------------------- */

static const struct sp_record_field poor_fields[] = { SP_RECORD_FIELD(1, U64, small, a) };
static const struct sp_record_kind poor_kind = { 7, false, "small", sizeof(struct small), poor_fields, 1 };
static const struct sp_record_kind *const poor_kinds[] = { &poor_kind };
static const struct sp_record_book poor = { poor_kinds, 1 };

static struct sp_record_schema *schema_of(const struct sp_record_book *theirs,
                                          const struct sp_record_book *ours)
{
    struct sp_buf bytes;
    struct sp_record_schema *schema = NULL;
    char trouble[SP_RECORD_TROUBLE] = "";
    sp_buf_init(&bytes, 0);
    sp_record_schema_write(theirs, &bytes);
    if (sp_record_schema_read(sp_buf_str(&bytes), ours, &schema, trouble))
        fail_msg("%s", trouble);
    sp_buf_deinit(&bytes);
    return schema;
}

/* What a writer says of `record`, towards `theirs`. */
static sp_err write_for(const struct sp_record_book *theirs, const struct sp_record_kind *kind,
                        const struct small *record, char *trouble, size_t *ret_bytes)
{
    struct sp_record_schema *schema = schema_of(theirs, &both);
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, schema);
    sp_record_put(&writer, kind, record);
    sp_err err = writer.err;
    *ret_bytes = writer.out.len;
    memcpy(trouble, writer.trouble, SP_RECORD_TROUBLE);
    sp_record_writer_deinit(&writer);
    sp_record_schema_free(schema);
    return err;
}

static void a_receiver_that_knows_less_gets_what_it_can_read(void **state)
{
    char trouble[SP_RECORD_TROUBLE];
    size_t bytes;
    struct small record = { .a = 1 };
    assert_int_equal(write_for(&poor, &small_kind, &record, trouble, &bytes), 0);
    assert_int_equal(bytes, 4);
    record.b = 5; /* spare */
    assert_int_equal(write_for(&poor, &small_kind, &record, trouble, &bytes), 0);
    assert_int_equal(bytes, 4);
    record.c = SP_STR("x"); /* not spare */
    assert_int_equal(write_for(&poor, &small_kind, &record, trouble, &bytes), SP_E_UNSUPPORTED);
    assert_int_equal(bytes, 0);
    assert_string_equal(trouble, "small.c (7.3) is in use, and the other side does not know it");
    assert_int_equal(write_for(&both, &small_kind, &record, trouble, &bytes), 0);
    assert_true(bytes > 4);
}

static void an_unknown_kind_is_left_out_or_refused_by_name(void **state)
{
    char trouble[SP_RECORD_TROUBLE];
    size_t bytes;
    struct small record = { 0 };
    assert_int_equal(write_for(&poor, &hint_kind, &record, trouble, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(write_for(&poor, &all_kind, &record, trouble, &bytes), SP_E_UNSUPPORTED);
    assert_string_equal(trouble, "all (300) is in use, and the other side does not know it");
}

static void the_first_refusal_stays(void **state)
{
    struct sp_record_writer writer;
    struct small record = { .a = 1 };
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &small_kind, &record);
    sp_record_refuse(&writer, "stream %d waits for a pipe", 5);
    sp_record_refuse(&writer, "later");
    size_t len = writer.out.len;
    sp_record_put(&writer, &small_kind, &record);
    assert_int_equal(sp_record_add_fd(&writer, 3), 0);
    assert_int_equal(writer.err, SP_E_UNSUPPORTED);
    assert_string_equal(writer.trouble, "stream 5 waits for a pipe");
    assert_int_equal(writer.out.len, len);
    assert_int_equal(writer.records, 1);
    sp_record_writer_deinit(&writer);
}

static void a_receiver_that_knows_more_is_fine(void **state)
{
    struct sp_record_schema *schema = schema_of(&both, &poor);
    struct sp_record_writer writer;
    struct small record = { .a = 1 };
    sp_record_writer_init(&writer, schema);
    sp_record_put(&writer, &poor_kind, &record);
    assert_int_equal(writer.err, 0);
    assert_int_equal(writer.out.len, 4);
    sp_record_writer_deinit(&writer);
    sp_record_schema_free(schema);
}

static void no_kinds_at_all_are_a_schema(void **state)
{
    static const struct sp_record_book none = { NULL, 0 };
    struct sp_record_schema *schema = schema_of(&none, &both);
    sp_record_schema_free(schema);
    sp_record_schema_free(NULL);
}

static sp_err read_schema(const void *bytes, size_t len, char *trouble)
{
    struct sp_record_schema *schema = NULL;
    char *exact = sp_mem_alloc(len); /* so that ASan sees a read behind the end */
    assert_non_null(exact);
    if (len)
        memcpy(exact, bytes, len);
    trouble[0] = 0;
    sp_err err = sp_record_schema_read(sp_str_of(exact, len), &both, &schema, trouble);
    assert_true(err ? trouble[0] && !schema : schema && !trouble[0]);
    sp_record_schema_free(schema);
    sp_mem_free(exact);
    return err;
}

static void check_schema(const char *bytes, size_t len, const char *words)
{
    char trouble[SP_RECORD_TROUBLE];
    assert_int_equal(read_schema(bytes, len, trouble), words ? SP_E_INVALID : SP_OK);
    check_str(sp_str_c(trouble), words ? words : "");
}

static void a_broken_schema_says_where(void **state)
{
    check_schema("", 0, "schema: ends early, at byte 0");
    check_schema("\x00", 1, NULL);
    check_schema("\x00\x01", 2, "schema: bytes behind the end, at byte 1");
    check_schema("\x02\x05\x00\x05\x00", 5, "schema: numbers out of order, at byte 4");
    check_schema("\x01\x00\x00", 3, "schema: numbers out of order, at byte 2");
    check_schema("\x01\x80\x80\x04\x00", 5, "schema: numbers out of order, at byte 4");
    check_schema("\x81\x02", 2, "schema: a count beyond its limit, at byte 2");
    check_schema("\x01\x05\x81\x01", 4, "schema: a count beyond its limit, at byte 4");
    check_schema("\x80\x00", 2, "schema: a number longer than it need be, at byte 2");
    check_schema("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10,
                 "schema: a number of more than 64 bits, at byte 10");
    check_schema("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11,
                 "schema: a number of more than 64 bits, at byte 10");
}

static void a_number_with_another_type_there_is_refused(void **state)
{
    check_schema("\x01\x07\x01\x01\x03", 5, "schema: small.a (7.1) is u64 here and u32 there");
    check_schema("\x01\x07\x02\x01\x04\x03\x63", 7,
                 "schema: small.c (7.3) is bytes here and of a type not known here there");
    /* Types of later builds in fields, and kinds, that we do not know. */
    check_schema("\x02\x07\x02\x01\x04\x05\x63\x08\x01\x01\x63", 11, NULL);
}

static void every_cut_and_flipped_schema_is_judged_without_harm(void **state)
{
    struct sp_buf bytes;
    char trouble[SP_RECORD_TROUBLE];
    sp_buf_init(&bytes, 0);
    sp_record_schema_write(&both, &bytes);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(read_schema(bytes.ptr, len, trouble), SP_E_INVALID);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        (void)read_schema(bytes.ptr, bytes.len, trouble); /* may be another valid one */
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(read_schema(bytes.ptr, bytes.len, trouble), 0);
    sp_buf_deinit(&bytes);
}

/* --- broken bytes --------------------------------------------------------------------------------------- */

/* Read all, in a block of exactly that size. 0, or the first error. */
static sp_err read_all(const void *bytes, size_t len, char *trouble)
{
    struct sp_record_reader reader;
    struct all record;
    uint16_t kind;
    int more;
    sp_err err = 0;
    char *exact = sp_mem_alloc(len);
    assert_non_null(exact);
    if (len)
        memcpy(exact, bytes, len);
    sp_record_reader_init(&reader, sp_str_of(exact, len), NULL, 0);
    while (!err && (more = sp_record_next(&reader, &kind)) != 0) {
        struct small *small = (struct small *)&record;
        if (more < 0)
            err = more;
        else if (kind == 300)
            err = sp_record_get(&reader, &all_kind, &record);
        else if (kind == 7)
            err = sp_record_get(&reader, &small_kind, small);
        else
            err = sp_record_bad(&reader, NULL, "kind %u", kind);
        static const struct all none;
        if (err && kind == 300 && more > 0)
            assert_memory_equal(&record, &none, sizeof(none));
    }
    if (err)
        assert_int_equal(err, SP_E_INVALID);
    memcpy(trouble, reader.trouble, SP_RECORD_TROUBLE);
    sp_mem_free(exact);
    return err;
}

#define TWO "\xac\x02" /* kind 300 */

static void check_bad(const char *bytes, size_t len, const char *words)
{
    char trouble[SP_RECORD_TROUBLE];
    if (!read_all(bytes, len, trouble))
        fail_msg("it was read; want \"%s\"", words);
    check_str(sp_str_c(trouble), words);
}
#define CHECK_BAD(bytes, words) check_bad(bytes, sizeof(bytes) - 1, words)

static void each_trouble_has_its_words(void **state)
{
    CHECK_BAD("\x07", "record 1: ends early");
    CHECK_BAD("\x87", "record 1: ends early");
    CHECK_BAD("\x07\x02\x02\x01\x07\x01", "record 2: ends early");
    CHECK_BAD("\x00\x00", "record 1: a kind that cannot be");
    CHECK_BAD("\x80\x80\x04\x00", "record 1: a kind that cannot be");
    CHECK_BAD("\x87\x00", "record 1: a number longer than it need be");
    CHECK_BAD("\x07\x80\x00", "record 1: a number longer than it need be");
    CHECK_BAD("\x08\x00", "record 1: kind 8");
    CHECK_BAD("\x07\x01\x02", "record 1 (small): a (1): ends early");
    CHECK_BAD("\x07\x01\x82\x00", "record 1 (small): ends early");
    CHECK_BAD("\x07\x02\x08\x01", "record 1 (small): field 4 is not known");
    CHECK_BAD("\x07\x02\x00\x01", "record 1 (small): field 0 out of order");
    CHECK_BAD("\x07\x04\x02\x01\x02\x01", "record 1 (small): field 1 out of order");
    CHECK_BAD("\x07\x04\x04\x01\x02\x01", "record 1 (small): field 1 out of order");
    CHECK_BAD("\x07\x02\x03\x01", "record 1 (small): a (1): bytes where a number belongs");
    CHECK_BAD("\x07\x02\x06\x01", "record 1 (small): c (3): a number where bytes belong");
    CHECK_BAD("\x07\x02\x02\x00", "record 1 (small): a (1): a zero that need not be there");
    CHECK_BAD("\x07\x03\x02\x81\x00", "record 1 (small): a (1): a number longer than it need be");
    CHECK_BAD("\x07\x0b\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
              "record 1 (small): a (1): a number of more than 64 bits");
    CHECK_BAD("\x07\x02\x07\x00", "record 1 (small): c (3): empty bytes that need not be there");
    CHECK_BAD("\x07\x03\x07\x02x", "record 1 (small): c (3): ends early");
}

static void numbers_too_large_and_broken_addresses_are_refused(void **state)
{
#define ADDR "\xd3\x8c\x01" /* field 9001, bytes */
    CHECK_BAD(TWO "\x02\x02\x02", "record 1 (all): yes (1): a number too large for its type");
    CHECK_BAD(TWO "\x03\x04\x80\x02", "record 1 (all): u8 (2): a number too large for its type");
    CHECK_BAD(TWO "\x04\x06\x80\x80\x04", "record 1 (all): u16 (3): a number too large for its type");
    CHECK_BAD(TWO "\x06\x0a\x80\x80\x80\x80\x10", "record 1 (all): u32 (5): a number too large for its type");
    CHECK_BAD(TWO "\x07\x8e\x01\x80\x80\x80\x80\x10",
              "record 1 (all): i32 (71): a number too large for its type");
    CHECK_BAD(TWO "\x06" ADDR "\x02\x01\x01", "record 1 (all): addr (9001): an address that ends early");
    CHECK_BAD(TWO "\x07" ADDR "\x03\x00\x00\x00", "record 1 (all): addr (9001): an address of no family");
    CHECK_BAD(TWO "\x08" ADDR "\x04\x00\x00\x01\x01", "record 1 (all): addr (9001): an address of no family");
    CHECK_BAD(TWO "\x07" ADDR "\x03\x01\x00\x00",
              "record 1 (all): addr (9001): an address of a wrong length");
    CHECK_BAD(TWO "\x0b" ADDR "\x07\x02\x00\x00\x01\x02\x03\x04",
              "record 1 (all): addr (9001): an address of a wrong length");
    CHECK_BAD(TWO "\x07" ADDR "\x03\x04\x00\x00",
              "record 1 (all): addr (9001): an address of an unknown family");
    CHECK_BAD(TWO "\x07" ADDR "\x03\x03\x00\x00", "record 1 (all): addr (9001): a path without its end");
    CHECK_BAD(TWO "\x08" ADDR "\x04\x03\x00\x00/", "record 1 (all): addr (9001): a path without its end");
    CHECK_BAD(TWO "\x09" ADDR "\x05\x03\x00\x00\x00\x00",
              "record 1 (all): addr (9001): a path without its end");
#undef ADDR
}

static void words_that_are_too_long_are_cut(void **state)
{
    struct sp_record_reader reader;
    char words[SP_RECORD_TROUBLE * 2];
    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = 0;
    sp_record_reader_init(&reader, SP_STR_NULL, NULL, 0);
    assert_int_equal(sp_record_bad(&reader, &all_kind, "%s", words), SP_E_INVALID);
    assert_int_equal(strlen(reader.trouble), SP_RECORD_TROUBLE - 1);
    struct sp_record_kind wordy = small_kind;
    wordy.name = words;
    assert_int_equal(sp_record_bad(&reader, &wordy, "lost"), SP_E_INVALID);
    assert_int_equal(strlen(reader.trouble), SP_RECORD_TROUBLE - 1);
}

static void every_cut_and_flipped_byte_is_judged_without_harm(void **state)
{
    struct sp_record_writer writer;
    struct all record = full(), unix_record = { .addr = { .path = "/a/b", .family = SP_ADDR_UNIX } };
    struct small small = { .a = 1, .c = SP_STR("body") };
    char trouble[SP_RECORD_TROUBLE];
    sp_record_writer_init(&writer, NULL);
    sp_record_put(&writer, &all_kind, &record);
    size_t ends[3] = { 0, writer.out.len };
    sp_record_put(&writer, &small_kind, &small);
    ends[2] = writer.out.len;
    sp_record_put(&writer, &all_kind, &unix_record);
    char *bytes = writer.out.ptr;
    for (size_t len = 0; len < writer.out.len; len++) {
        bool whole = len == ends[0] || len == ends[1] || len == ends[2];
        assert_int_equal(read_all(bytes, len, trouble), whole ? SP_OK : SP_E_INVALID);
    }
    for (size_t at = 0; at < writer.out.len; at++) {
        char was = bytes[at];
        for (int value = 0; value < 256; value++) {
            bytes[at] = (char)value;
            (void)read_all(bytes, writer.out.len, trouble); /* may be another valid one */
        }
        bytes[at] = was;
    }
    assert_int_equal(read_all(bytes, writer.out.len, trouble), 0);
    sp_record_writer_deinit(&writer);
}

static void random_records_come_back(uint64_t seed)
{
    struct sp_rng rng;
    struct sp_record_writer writer;
    struct sp_record_reader reader;
    struct all put[16], got;
    uint16_t kind;
    static const char text[64] = "some bytes to borrow from";
    sp_rng_init(&rng, seed);
    sp_record_writer_init(&writer, NULL);
    for (unsigned i = 0; i < 16; i++) {
        put[i] = full();
        put[i].yes = sp_rng_below(&rng, 2);
        put[i].u32 = (uint32_t)(sp_rng_next(&rng) >> (32 + sp_rng_below(&rng, 32)));
        put[i].u64 = sp_rng_next(&rng) >> sp_rng_below(&rng, 64);
        put[i].i64 = (int64_t)sp_rng_next(&rng) >> sp_rng_below(&rng, 64);
        put[i].bytes = sp_str_of(text, sp_rng_below(&rng, sizeof(text)));
        sp_record_put(&writer, &all_kind, &put[i]);
    }
    sp_record_reader_init(&reader, sp_buf_str(&writer.out), NULL, 0);
    for (unsigned i = 0; i < 16; i++) {
        check_seed(seed, sp_record_next(&reader, &kind) == 1 && kind == 300);
        check_seed(seed, sp_record_get(&reader, &all_kind, &got) == 0);
        check_same(&put[i], &got);
    }
    check_seed(seed, sp_record_next(&reader, &kind) == 0);
    sp_record_writer_deinit(&writer);
}

static void any_values_come_back(void **state)
{
    each_seed(200, random_records_come_back);
}

/* --- descriptors and memory ----------------------------------------------------------------------------- */

static void a_descriptor_is_taken_once(void **state)
{
    struct sp_record_writer writer;
    sp_record_writer_init(&writer, NULL);
    assert_int_equal(sp_record_add_fd(&writer, -1), 0);
    for (int fd = 0; fd < 200; fd++)
        assert_int_equal(sp_record_add_fd(&writer, 1000 + fd), fd + 1);
    assert_int_equal(writer.fd_count, 200);

    struct sp_record_reader reader;
    int fd = 77;
    sp_record_reader_init(&reader, SP_STR_NULL, writer.fds, writer.fd_count);
    assert_int_equal(sp_record_take_fd(&reader, 0, &fd), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(sp_record_take_fd(&reader, 200, &fd), 0);
    assert_int_equal(fd, 1199);
    assert_int_equal(writer.fds[199], -1);
    fd = 77;
    assert_int_equal(sp_record_take_fd(&reader, 200, &fd), SP_E_INVALID);
    assert_string_equal(reader.trouble, "record 0: descriptor 200 is taken");
    assert_int_equal(sp_record_take_fd(&reader, 201, &fd), SP_E_INVALID);
    assert_string_equal(reader.trouble, "record 0: descriptor 201 of 200");
    assert_int_equal(fd, 77);
    sp_record_writer_deinit(&writer);
}

/* One walk through all that allocates; false: it was told that memory is out. */
static bool exchange(void)
{
    struct sp_buf bytes;
    struct sp_record_schema *schema = NULL;
    struct sp_record_writer writer;
    struct all record = full();
    char trouble[SP_RECORD_TROUBLE] = "";
    bool good = false;
    sp_buf_init(&bytes, 0);
    sp_record_schema_write(&both, &bytes);
    if (bytes.failed)
        goto out_bytes;
    sp_err err = sp_record_schema_read(sp_buf_str(&bytes), &both, &schema, trouble);
    if (err) {
        assert_int_equal(err, SP_E_NOMEM);
        assert_string_equal(trouble, "schema: out of memory");
        goto out_bytes;
    }
    sp_record_writer_init(&writer, schema);
    for (unsigned i = 0; i < 20; i++) {
        sp_record_put(&writer, &all_kind, &record);
        sp_record_add_fd(&writer, 5);
    }
    if (writer.err)
        assert_int_equal(writer.err, SP_E_NOMEM);
    good = !writer.err && writer.records == 20 && writer.fd_count == 20;
    sp_record_writer_deinit(&writer);
    sp_record_schema_free(schema);
out_bytes:
    sp_buf_deinit(&bytes);
    return good;
}

static void every_failed_allocation_is_told(void **state)
{
    uint64_t live = sp_mem_live_blocks();
    sp_mem_fail_at(0);
    assert_true(exchange());
    uint64_t count = sp_mem_fail_at(0);
    assert_true(count >= 5);
    for (uint64_t n = 1; n <= count; n++) {
        sp_mem_fail_at(n);
        bool good = exchange();
        sp_mem_fail_at(0);
        if (good)
            fail_msg("allocation %llu failed and nobody said so", (unsigned long long)n);
        assert_int_equal(sp_mem_live_blocks(), live);
    }
}

static void write_a_table_out_of_order(void)
{
    static const struct sp_record_field fields[] = { SP_RECORD_FIELD(2, U64, small, a),
                                                     SP_RECORD_FIELD(1, U64, small, b) };
    static const struct sp_record_kind kind = { 1, false, "wrong", sizeof(struct small), fields, 2 };
    static const struct sp_record_kind *const kinds[] = { &kind };
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_record_schema_write(&(struct sp_record_book){ kinds, 1 }, &out);
}

static void write_a_field_beyond_its_struct(void)
{
    static const struct sp_record_field fields[] = { SP_RECORD_FIELD(1, U64, small, c) };
    static const struct sp_record_kind kind = { 1, false, "wrong", offsetof(struct small, c) + 7, fields, 1 };
    static const struct sp_record_kind *const kinds[] = { &kind };
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_record_schema_write(&(struct sp_record_book){ kinds, 1 }, &out);
}

static void write_two_kinds_of_one_number(void)
{
    static const struct sp_record_kind *const kinds[] = { &small_kind, &poor_kind };
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_record_schema_write(&(struct sp_record_book){ kinds, 2 }, &out);
}

static void a_table_that_breaks_its_rules_is_wrong_code(void **state)
{
    check_dies(write_a_table_out_of_order, "field->number > last");
    check_dies(write_a_field_beyond_its_struct, "type_bytes[field->type] <= kind->size - field->offset");
    check_dies(write_two_kinds_of_one_number, "book->kinds[i - 1]->number < book->kinds[i]->number");
}

/* --- the fuzzer's corpus -------------------------------------------------------------------------------- */

/* The first byte says to the target what the rest is: 0 records, 1 a schema. */
static void corpus_bytes(const char *name, struct sp_buf *out)
{
    struct all record = full();
    struct small small = { .a = 300, .b = 1, .c = SP_STR("hi") };
    struct sp_record_writer writer;
    bool schema = strncmp(name, "schema", 6) == 0;
    sp_buf_add_char(out, schema);
    if (schema)
        sp_record_schema_write(strcmp(name, "schema_poor") == 0 ? &poor : &both, out);
    sp_record_writer_init(&writer, NULL);
    if (strcmp(name, "unix") == 0)
        record = (struct all){ .addr = { .path = "/run/x.sock", .family = SP_ADDR_UNIX } };
    if (strcmp(name, "ip6") == 0)
        assert_int_equal(sp_addr_parse(SP_STR("[2001:db8::77]:65535"), &record.addr), 0);
    if (!schema)
        sp_record_put(&writer, &all_kind, &record);
    if (strcmp(name, "several") == 0) {
        sp_record_put(&writer, &small_kind, &small);
        sp_record_put(&writer, &hint_kind, &small);
        sp_record_put(&writer, &all_kind, &(struct all){ 0 });
    }
    sp_buf_add_str(out, sp_buf_str(&writer.out));
    sp_record_writer_deinit(&writer);
}

static bool write_corpus; /* by the argument "write" */

static void the_corpus_of_the_fuzzer_is_what_is_written(void **state)
{
    static const char *const names[] = { "full", "unix", "ip6", "several", "schema", "schema_poor" };
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        struct sp_buf want;
        char path[512], have[1024];
        snprintf(path, sizeof(path), "%s/../fuzz/corpus/base_record/%s", SP_TESTS_DIR, names[i]);
        sp_buf_init(&want, 0);
        corpus_bytes(names[i], &want);
        FILE *file = fopen(path, write_corpus ? "wb" : "rb");
        if (!file)
            fail_msg("%s cannot be opened; test_base_record write makes it", path);
        if (write_corpus)
            assert_int_equal(fwrite(want.ptr, 1, want.len, file), want.len);
        else if (fread(have, 1, sizeof(have), file) != want.len || memcmp(have, want.ptr, want.len) != 0)
            fail_msg("%s holds other bytes; test_base_record write makes them anew", path);
        assert_int_equal(fclose(file), 0);
        sp_buf_deinit(&want);
    }
}

int main(int argc, char **argv)
{
    write_corpus = argc == 2 && strcmp(argv[1], "write") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_at_its_ends),
        cmocka_unit_test(every_family_of_address_comes_back),
        cmocka_unit_test(a_path_that_is_not_there_is_an_empty_one),
        cmocka_unit_test(what_is_zero_takes_no_bytes),
        cmocka_unit_test(the_bytes_are_as_the_page_says),
        cmocka_unit_test(a_receiver_that_knows_less_gets_what_it_can_read),
        cmocka_unit_test(an_unknown_kind_is_left_out_or_refused_by_name),
        cmocka_unit_test(the_first_refusal_stays),
        cmocka_unit_test(a_receiver_that_knows_more_is_fine),
        cmocka_unit_test(no_kinds_at_all_are_a_schema),
        cmocka_unit_test(a_broken_schema_says_where),
        cmocka_unit_test(a_number_with_another_type_there_is_refused),
        cmocka_unit_test(every_cut_and_flipped_schema_is_judged_without_harm),
        cmocka_unit_test(each_trouble_has_its_words),
        cmocka_unit_test(numbers_too_large_and_broken_addresses_are_refused),
        cmocka_unit_test(words_that_are_too_long_are_cut),
        cmocka_unit_test(every_cut_and_flipped_byte_is_judged_without_harm),
        cmocka_unit_test(any_values_come_back),
        cmocka_unit_test(a_descriptor_is_taken_once),
        cmocka_unit_test(every_failed_allocation_is_told),
        cmocka_unit_test(a_table_that_breaks_its_rules_is_wrong_code),
        cmocka_unit_test(the_corpus_of_the_fuzzer_is_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
