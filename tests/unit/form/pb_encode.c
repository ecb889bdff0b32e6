/* pb_encode: golden bytes, determinism, and values that go through all spellings unchanged, by seed. */
#include "unit/form/random.h"

static void check_encodes(const char *json, sp_str want)
{
    struct reading r;
    struct sp_buf out;
    sp_buf_init(&out, 0);
    read_as(&r, KINDS, "k.json", sp_str_c(json), 0);
    assert_int_equal(r.err, 0);
    assert_int_equal(sp_form_pb_encode(r.msg, &out), 0);
    if (!sp_str_eq(sp_buf_str(&out), want))
        fail_msg("%s becomes other bytes", json);
    sp_buf_deinit(&out);
    read_end(&r);
}

#define ENCODES(json, bytes) check_encodes(json, SP_STR(bytes))

static void each_kind_writes_its_golden_bytes(void **state)
{
    ENCODES("{}", "");
    ENCODES("{\"a_bool\":true,\"an_int32\":-1}", "\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    ENCODES("{\"a_uint64\":\"18446744073709551615\"}", "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    ENCODES("{\"a_sint32\":-1,\"a_sint64\":1}", "\x30\x01\x38\x02");
    ENCODES("{\"a_fixed32\":67305985,\"an_sfixed64\":-2}",
            "\x45\x01\x02\x03\x04\x59\xfe\xff\xff\xff\xff\xff\xff\xff");
    ENCODES("{\"a_float\":1.5,\"a_double\":-2.5}",
            "\x65\x00\x00\xc0\x3f\x69\x00\x00\x00\x00\x00\x00\x04\xc0");
    ENCODES("{\"a_double\":-0}", "\x69\x00\x00\x00\x00\x00\x00\x00\x80");
    ENCODES("{\"colour\":\"INFRARED\"}", "\x80\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    ENCODES("{\"int32s\":[1,150],\"uint32s\":[1,2]}", "\xb2\x01\x03\x01\x96\x01\xc0\x01\x01\xc0\x01\x02");
    ENCODES("{\"by_count\":0}", "\x98\x03\x00");
    ENCODES("{\"inner\":{\"strings\":[\"\"]}}", "\x8a\x01\x03\x92\x02\x00");
}

static void maps_are_written_by_key(void **state)
{
    ENCODES("{\"by_name\":{\"b\":2,\"a\":1,\"\":0}}", "\xca\x02\x00\xca\x02\x05\x0a\x01"
                                                      "a\x10\x01\xca\x02\x05\x0a\x01"
                                                      "b\x10\x02");
    ENCODES("{\"by_number\":{\"10\":\"\",\"-1\":\"x\"}}",
            "\xd2\x02\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x01x\xd2\x02\x02\x08\x0a");
}

/* Bodies of every length around 2^7 and 2^14, where the length itself takes one byte more. */
static void lengths_move_what_they_measure(void **state)
{
    static const size_t sizes[] = { 0, 1, 126, 127, 128, 129, 16382, 16383, 16384, 16385, 3000000 };
    struct sp_arena a;
    struct sp_buf out;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&out, 0);
    for (size_t i = 0; i < SP_COUNTOF(sizes); i++) {
        struct sp_pb_test_kinds *k = sp_form_new(&a, KINDS), *inner = sp_form_new(&a, KINDS);
        char *text = sp_arena_alloc(&a, sizes[i] + 1);
        memset(text, 'x', sizes[i]);
        inner->a_string = sp_str_of(text, sizes[i]);
        k->inner = inner;
        sp_buf_reset(&out);
        assert_int_equal(sp_form_pb_encode(k, &out), 0);
        assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_buf_str(&out), &msg), 0);
        assert_int_equal(((struct sp_pb_test_kinds *)msg)->inner->a_string.len, sizes[i]);
    }
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

static void unknown_fields_are_written_behind_the_known(void **state)
{
    static const char bytes[] = "\xf8\x3f\x05\x08\x01\xfb\x3f\xfc\x3f";
    struct sp_arena a;
    struct sp_buf out;
    void *msg;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&out, 0);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, sp_str_of(bytes, sizeof(bytes) - 1), &msg), 0);
    assert_int_equal(sp_form_pb_encode(msg, &out), 0);
    assert_true(sp_str_eq(sp_buf_str(&out), SP_STR("\x08\x01\xf8\x3f\x05\xfb\x3f\xfc\x3f")));
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

static void what_nobody_could_read_is_not_written(void **state)
{
    struct sp_arena a;
    struct sp_buf out;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    sp_buf_init(&out, 0);
    struct sp_pb_test_kinds *k = sp_form_new(&a, KINDS);
    for (int i = 0; i < 150; i++) {
        struct sp_pb_test_kinds *outer = sp_form_new(&a, KINDS);
        outer->inner = k;
        k = outer;
    }
    assert_int_equal(sp_form_pb_encode(k, &out), SP_E_LIMIT);
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
}

static const struct sp_form_msg *random_type(uint64_t seed)
{
    static const struct sp_form_msg *const types[] = {
        KINDS,
        SPECIAL,
        MAYBE,
        BOOTSTRAP,
        &sp_pb_route_route_configuration_msg,
        &sp_pb_cluster_cluster_msg,
        &sp_pb_hcm_http_connection_manager_msg,
    };
    return types[seed % SP_COUNTOF(types)];
}

/* Written, read and written again, a value gives the same bytes; so does one read from its own JSON. */
static void goes_round(uint64_t seed)
{
    struct sp_arena a;
    struct sp_buf first, second, json, third;
    struct sp_form_doc doc;
    void *msg, *back;
    sp_arena_init(&a, NULL, 0, 65536, 0);
    struct random_form r = { .arena = &a };
    sp_rng_init(&r.rng, seed);
    sp_buf_init(&first, 0);
    sp_buf_init(&second, 0);
    sp_buf_init(&third, 0);
    sp_buf_init(&json, 0);
    msg = random_message(&r, random_type(seed));
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    check_seed(seed, sp_form_pb_encode(msg, &first) == 0);
    check_seed(seed, sp_form_pb_decode(&a, type, sp_buf_str(&first), &back) == 0);
    check_seed(seed, sp_form_pb_encode(back, &second) == 0);
    check_seed(seed, sp_str_eq(sp_buf_str(&first), sp_buf_str(&second)));

    check_seed(seed, sp_form_write_json(&a, back, seed & 1 ? SP_FORM_PRETTY : SP_FORM_CAMEL, &json) == 0);
    check_seed(seed, sp_form_doc_init(&doc, &a, "random.json") == 0);
    check_seed(seed, sp_form_read_json(&doc, type, sp_buf_str(&json), SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES,
                                       &back) == 0);
    check_seed(seed, sp_form_pb_encode(back, &third) == 0);
    check_seed(seed, sp_str_eq(sp_buf_str(&first), sp_buf_str(&third)));
    sp_buf_deinit(&json);
    sp_buf_deinit(&third);
    sp_buf_deinit(&second);
    sp_buf_deinit(&first);
    sp_arena_deinit(&a);
}

static void values_go_through_all_spellings_unchanged(void **state)
{
    each_seed(2000, goes_round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_writes_its_golden_bytes),
        cmocka_unit_test(maps_are_written_by_key),
        cmocka_unit_test(lengths_move_what_they_measure),
        cmocka_unit_test(unknown_fields_are_written_behind_the_known),
        cmocka_unit_test(what_nobody_could_read_is_not_written),
        cmocka_unit_test(values_go_through_all_spellings_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
