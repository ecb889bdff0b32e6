/* pb_decode: golden bytes, the wire's rules, and everything that is not protobuf. */
#include "unit/form/help.h"

/* What the bytes become, as JSON; unknown fields behind it in hexadecimal. */
static void check_decodes(const struct sp_form_msg *type, sp_str bytes, const char *want)
{
    struct sp_arena a;
    struct sp_buf out;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&out, 0);
    sp_err err = sp_form_pb_decode(&a, type, bytes, &msg);
    if (err)
        fail_msg("refused with %d; should become %s", err, want);
    assert_int_equal(sp_form_write_json(&a, msg, 0, &out), 0);
    sp_str unknown = ((struct sp_form_head *)msg)->unknown;
    for (size_t i = 0; i < unknown.len; i++)
        sp_buf_printf(&out, "%s%02x", i ? "" : " ", (unsigned char)unknown.ptr[i]);
    if (!sp_str_eq(sp_buf_str(&out), sp_str_c(want)))
        fail_msg("became %.*s; should become %s", SP_STR_ARG(sp_buf_str(&out)), want);
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

static void check_refused(const struct sp_form_msg *type, sp_str bytes, sp_err want)
{
    struct sp_arena a;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&a, type, bytes, &msg), want);
    sp_arena_deinit(&a);
}

#define DECODES(bytes, want) check_decodes(KINDS, SP_STR(bytes), want)
#define REFUSED(bytes) check_refused(KINDS, SP_STR(bytes), SP_E_INVALID)

static void each_kind_reads_its_golden_bytes(void **state)
{
    DECODES("", "{}");
    DECODES("\x08\x01", "{\"a_bool\":true}");
    DECODES("\x08\x80\x01", "{\"a_bool\":true}");
    DECODES("\x10\x96\x01", "{\"an_int32\":150}");
    DECODES("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "{\"an_int32\":-1}");
    DECODES("\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "{\"an_int64\":\"-9223372036854775808\"}");
    DECODES("\x20\xff\xff\xff\xff\x0f", "{\"a_uint32\":4294967295}");
    DECODES("\x20\xff\xff\xff\xff\x1f", "{\"a_uint32\":4294967295}"); /* more than 32 bits: the low ones */
    DECODES("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "{\"a_uint64\":\"18446744073709551615\"}");
    DECODES("\x30\x01\x38\x02", "{\"a_sint32\":-1,\"a_sint64\":\"1\"}");
    DECODES("\x45\x01\x02\x03\x04\x49\x01\x00\x00\x00\x00\x00\x00\x80",
            "{\"a_fixed32\":67305985,\"a_fixed64\":\"9223372036854775809\"}");
    DECODES("\x55\xff\xff\xff\xff\x59\xfe\xff\xff\xff\xff\xff\xff\xff",
            "{\"an_sfixed32\":-1,\"an_sfixed64\":\"-2\"}");
    DECODES("\x65\x00\x00\xc0\x3f\x69\x00\x00\x00\x00\x00\x00\x04\xc0",
            "{\"a_float\":1.5,\"a_double\":-2.5}");
    DECODES("\x72\x02hi\x7a\x02\x00\xff\x80\x01\x07",
            "{\"a_string\":\"hi\",\"some_bytes\":\"AP8=\",\"colour\":\"DEEP_BLUE\"}");
    DECODES("\x80\x01\x2a", "{\"colour\":42}"); /* a value of a later schema stays */
    DECODES("\x8a\x01\x02\x08\x01", "{\"inner\":{\"a_bool\":true}}");
    DECODES("\xca\x02\x05\x0a\x01k\x10\x05\xca\x02\x00", "{\"by_name\":{\"\":0,\"k\":5}}");
}

static void lists_are_read_packed_and_unpacked(void **state)
{
    DECODES("\xb2\x01\x03\x01\x02\x03", "{\"int32s\":[1,2,3]}");
    DECODES("\xb0\x01\x01\xb0\x01\x02\xb2\x01\x01\x03", "{\"int32s\":[1,2,3]}");
    DECODES("\xc2\x01\x02\x01\x02", "{\"uint32s\":[1,2]}"); /* declared unpacked */
    DECODES("\xe2\x01\x08\x01\x00\x00\x00\x02\x00\x00\x00", "{\"fixed32s\":[1,2]}");
    DECODES("\xb2\x01\x00", "{}");
    REFUSED("\xb2\x01\x02\x01\x80");
    REFUSED("\xe2\x01\x05\x01\x00\x00\x00\x02");
}

static void the_last_scalar_wins_and_messages_merge(void **state)
{
    DECODES("\x10\x01\x10\x02\x72\x01"
            "a\x72\x01"
            "b",
            "{\"an_int32\":2,\"a_string\":\"b\"}");
    DECODES("\x8a\x01\x04\x10\x01\x18\x01\x8a\x01\x05\x10\x02\x72\x01x",
            "{\"inner\":{\"an_int32\":2,\"an_int64\":\"1\",\"a_string\":\"x\"}}");
    DECODES("\x8a\x01\x03\xb0\x01\x01\x8a\x01\x03\xb0\x01\x02", "{\"inner\":{\"int32s\":[1,2]}}");
    DECODES("\xca\x02\x05\x0a\x01k\x10\x05\xca\x02\x05\x0a\x01"
            "a\x10\x01\xca\x02\x05\x0a\x01k\x10\x07",
            "{\"by_name\":{\"a\":1,\"k\":7}}");
}

static void the_last_member_of_a_oneof_wins(void **state)
{
    DECODES("\x98\x03\x05\xa2\x03\x01x", "{\"by_word\":\"x\"}");
    DECODES("\xa2\x03\x01x\x98\x03\x00", "{\"by_count\":0}");
    DECODES("\xaa\x03\x02\x08\x01\xa2\x03\x01x\xaa\x03\x02\x10\x05", "{\"by_kinds\":{\"an_int32\":5}}");
    DECODES("\xaa\x03\x02\x08\x01\xaa\x03\x02\x10\x05", "{\"by_kinds\":{\"a_bool\":true,\"an_int32\":5}}");
}

static void a_zero_that_was_sent_counts_where_absence_can_be_told(void **state)
{
    DECODES("\x10\x00", "{}");
    check_decodes(MAYBE, SP_STR("\x08\x00\x12\x00\x20\x00"), "{\"count\":0,\"word\":\"\",\"flag\":false}");
}

static void unknown_fields_are_kept_in_order(void **state)
{
    DECODES("\xf8\x3f\x05\x08\x01\xfa\x3f\x01x", "{\"a_bool\":true} f83f05fa3f0178");
    DECODES("\xf8\x3f\x05\xfd\x3f\x01\x02\x03\x04\xf9\x3f\x01\x02\x03\x04\x05\x06\x07\x08",
            "{} f83f05fd3f01020304f93f0102030405060708");
    DECODES("\x12\x01x", "{} 120178"); /* an_int32 as a string: another schema's field */
    DECODES("\xfb\x3f\x08\x01\x13\x14\xfc\x3f", "{} fb3f08011314fc3f"); /* a group, and one inside */
}

static void unknown_fields_of_merged_messages_are_joined(void **state)
{
    struct sp_arena a;
    struct sp_buf bytes;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&bytes, 0);
    for (int i = 0; i < 5000; i++)
        sp_buf_add(&bytes, "\x8a\x01\x05\x08\x01\xf8\x3f\x05", 8); /* inner: known, unknown */
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&bytes), &msg), 0);
    sp_str unknown = ((struct sp_pb_test_kinds *)msg)->inner->head.unknown;
    assert_int_equal(unknown.len, 15000);
    for (size_t i = 0; i < unknown.len; i += 3)
        assert_memory_equal(unknown.ptr + i, "\xf8\x3f\x05", 3);
    assert_true(a.held_bytes < 200000);
    sp_buf_deinit(&bytes);
    sp_arena_deinit(&a);
}

static void large_maps_are_settled_in_good_time(void **state)
{
    struct sp_arena a;
    struct sp_buf bytes;
    void *msg;
    sp_arena_init(&a, NULL, 0, 65536, 0);
    sp_buf_init(&bytes, 0);
    for (uint32_t i = 0; i < 200000; i++) {
        char key[3] = { (char)('a' + i % 26), (char)('a' + i / 26 % 26), (char)('a' + i / 676 % 26) };
        sp_buf_add(&bytes, "\xca\x02\x07\x0a\x03", 5);
        sp_buf_add(&bytes, key, 3);
        sp_buf_add(&bytes, "\x10\x05", 2);
    }
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&bytes), &msg), 0);
    assert_int_equal(((struct sp_pb_test_kinds *)msg)->by_name_len, 17576);
    sp_buf_deinit(&bytes);
    sp_arena_deinit(&a);
}

static void what_is_not_protobuf_is_refused(void **state)
{
    REFUSED("\x08");                                             /* cut off behind a key */
    REFUSED("\x80");                                             /* in a key */
    REFUSED("\x08\x80");                                         /* in a varint */
    REFUSED("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* eleven bytes */
    REFUSED("\x45\x01\x02\x03");                                 /* in four bytes */
    REFUSED("\x49\x01\x02\x03\x04\x05\x06\x07");                 /* in eight */
    REFUSED("\x72\x05hi");                                       /* length over the rest */
    REFUSED("\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");     /* length of 2^64 - 1 */
    REFUSED("\x00\x01");                                         /* number 0 */
    REFUSED("\x80\x80\x80\x80\x10\x00");                         /* number 2^29 */
    REFUSED("\x0e\x01");                                         /* wire type 6 */
    REFUSED("\x0f\x01");                                         /* wire type 7 */
    REFUSED("\xfc\x3f");                                         /* a group's end without its start */
    REFUSED("\xfb\x3f\x08\x01");                                 /* a group without its end */
    REFUSED("\xfb\x3f\x84\x40");                                 /* a group with another's end */
    REFUSED("\x72\x02\xc0\xaf");                                 /* no UTF-8 */
    REFUSED("\xca\x02\x04\x0a\x02\xff\xff");                     /* no UTF-8 in a key */
    REFUSED("\x8a\x01\x01\x08");                                 /* broken inside */
}

/* Kinds.inner, n levels deep. */
static void nest(struct sp_buf *out, int levels)
{
    sp_buf_reset(out);
    for (int i = 0; i < levels; i++) {
        struct sp_buf outer;
        size_t len = out->len;
        sp_buf_init(&outer, 0);
        sp_buf_add(&outer, "\x8a\x01", 2);
        for (; len >= 0x80; len >>= 7)
            sp_buf_add_char(&outer, (char)(len | 0x80));
        sp_buf_add_char(&outer, (char)len);
        sp_buf_add_str(&outer, sp_buf_str(out));
        sp_buf_deinit(out);
        *out = outer;
    }
}

static void depth_is_limited(void **state)
{
    struct sp_buf bytes;
    struct sp_arena a;
    void *msg;
    sp_buf_init(&bytes, 0);
    sp_arena_init(&a, NULL, 0, 4096, 0);
    nest(&bytes, 99);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&bytes), &msg), 0);
    nest(&bytes, 100);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&bytes), &msg), SP_E_LIMIT);
    sp_buf_reset(&bytes);
    for (int i = 0; i < 101; i++)
        sp_buf_add(&bytes, "\xfb\x3f", 2);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&bytes), &msg), SP_E_LIMIT);
    sp_buf_deinit(&bytes);
    sp_arena_deinit(&a);
}

static void what_is_too_large_is_not_looked_at(void **state)
{
    struct sp_arena a;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_str_of("", SP_FORM_BYTES_MAX + 1), &msg), SP_E_LIMIT);
    sp_arena_deinit(&a);
}

static void each_cut_of_a_message_is_refused_or_shorter(void **state)
{
    static const char bytes[] =
        "\x08\x01\x72\x02hi\x8a\x01\x04\x10\x96\x01\x08\xca\x02\x05\x0a\x01k\x10\x05\xfb\x3f\xfc\x3f";
    struct sp_arena a;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        char *copy = sp_arena_alloc_align(&a, cut ? cut : 1,
                                          1); /* the sanitizer sees a step beyond a heap block's end */
        void *msg = NULL;
        memcpy(copy, bytes, cut);
        sp_err err = sp_form_pb_decode(&a, KINDS, sp_str_of(copy, cut), &msg);
        assert_true(err == 0 || err == SP_E_INVALID);
    }
    sp_arena_deinit(&a);
}

static void any_is_decoded_when_asked_for(void **state)
{
    struct sp_arena a;
    void *msg, *inner;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    struct sp_pb_google_any *any = sp_form_new(&a, &sp_pb_google_any_msg);
    any->type_url = SP_STR("type.googleapis.com/google.protobuf.Duration");
    any->value = SP_STR("\x08\x05");
    assert_int_equal(sp_form_any_get(&a, any, &msg), 0);
    assert_int_equal(((struct sp_pb_google_duration *)msg)->seconds, 5);
    assert_int_equal(sp_form_any_get(&a, any, &inner), 0);
    assert_ptr_equal(msg, inner);
    any->message = NULL;
    any->value = SP_STR("\x08");
    assert_int_equal(sp_form_any_get(&a, any, &msg), SP_E_INVALID);
    any->type_url = SP_STR("type.googleapis.com/of.nobody");
    assert_int_equal(sp_form_any_get(&a, any, &msg), SP_E_MISSING);
    any->type_url = SP_STR("x/envoy.extensions.filters.http.lua.v3.Lua");
    assert_int_equal(sp_form_any_get(&a, any, &msg), SP_E_UNSUPPORTED);
    sp_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_reads_its_golden_bytes),
        cmocka_unit_test(lists_are_read_packed_and_unpacked),
        cmocka_unit_test(the_last_scalar_wins_and_messages_merge),
        cmocka_unit_test(the_last_member_of_a_oneof_wins),
        cmocka_unit_test(a_zero_that_was_sent_counts_where_absence_can_be_told),
        cmocka_unit_test(unknown_fields_are_kept_in_order),
        cmocka_unit_test(unknown_fields_of_merged_messages_are_joined),
        cmocka_unit_test(large_maps_are_settled_in_good_time),
        cmocka_unit_test(what_is_not_protobuf_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(what_is_too_large_is_not_looked_at),
        cmocka_unit_test(each_cut_of_a_message_is_refused_or_shorter),
        cmocka_unit_test(any_is_decoded_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
