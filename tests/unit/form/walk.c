/* walk: who is visited, in which order, and what is inside an Any. */
#include "form/walk.h"

#include "unit/form/help.h"

struct seen {
    struct sp_buf list;
    bool skip_lists;
};

static bool note_field(void *arg, void *msg, const struct sp_form_field *f, uint32_t i)
{
    struct seen *seen = arg;
    sp_buf_printf(&seen->list, "%s[%u] ", f->name, (unsigned)i);
    return !(seen->skip_lists && f->flags & SP_FORM_F_REPEATED);
}

static void note_unknown(void *arg, void *msg)
{
    struct seen *seen = arg;
    sp_buf_printf(&seen->list, "unknown(%zu) ", ((struct sp_form_head *)msg)->unknown.len);
}

static void check_walk(const char *json, bool skip_lists, const char *want)
{
    struct seen seen = { .skip_lists = skip_lists };
    struct sp_form_visitor visitor = { .arg = &seen, .on_field = note_field, .on_unknown = note_unknown };
    struct reading r;
    sp_buf_init(&seen.list, 0);
    read_as(&r, SPECIAL, "s.json", sp_str_c(json), 0);
    assert_int_equal(r.err, 0);
    sp_form_walk(r.msg, &visitor);
    check_str(sp_buf_str(&seen.list), want);
    sp_buf_deinit(&seen.list);
    read_end(&r);
}

static void outer_fields_come_before_inner_ones(void **state)
{
    check_walk(
        "{\"duration\": \"1s\", \"durations\": [\"2s\", \"0s\"], \"durations_by_name\": {\"a\": \"0.5s\"}}",
        false,
        "duration[0] seconds[0] durations[0] seconds[0] durations[1] durations_by_name[0] key[0] "
        "value[0] nanos[0] ");
    check_walk("{\"duration\": \"1s\", \"durations\": [\"2s\", \"0s\"]}", true,
               "duration[0] seconds[0] durations[0] durations[1] ");
}

static void what_an_any_holds_is_visited_in_its_place(void **state)
{
    check_walk("{\"any\": {\"@type\": \"x/envoy.type.v3.FractionalPercent\", \"numerator\": 3}}", false,
               "any[0] numerator[0] ");
}

static void unknown_fields_are_told(void **state)
{
    struct seen seen = { 0 };
    struct sp_form_visitor visitor = { .arg = &seen, .on_unknown = note_unknown };
    struct sp_arena a;
    void *msg;
    sp_buf_init(&seen.list, 0);
    sp_arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_pb_decode(&a, KINDS, SP_STR("\xf8\x3f\x05\x8a\x01\x04\xf8\x3f\x85\x01"), &msg),
                     0);
    sp_form_walk(msg, &visitor);
    check_str(sp_buf_str(&seen.list), "unknown(3) unknown(4) ");
    sp_buf_deinit(&seen.list);
    sp_arena_deinit(&a);
}

/* An Any in an Any in ..., `levels` deep, as bytes. */
static sp_str nested_any(struct sp_arena *a, int levels)
{
    struct sp_pb_google_any *any = sp_form_new(a, &sp_pb_google_any_msg);
    struct sp_buf out;
    for (int i = 0; i < levels; i++) {
        sp_buf_init(&out, 0);
        assert_int_equal(sp_form_pb_encode(any, &out), 0);
        any = sp_form_new(a, &sp_pb_google_any_msg);
        any->type_url = SP_STR("x/google.protobuf.Any");
        any->value = sp_str_dup(a, sp_buf_str(&out));
        sp_buf_deinit(&out);
    }
    sp_buf_init(&out, 0);
    assert_int_equal(sp_form_pb_encode(any, &out), 0);
    sp_str bytes = sp_str_dup(a, sp_buf_str(&out));
    sp_buf_deinit(&out);
    return bytes;
}

static void unpacking_counts_depth_over_all_layers(void **state)
{
    struct sp_arena a;
    void *msg;
    sp_arena_init(&a, NULL, 0, 65536, 0);
    assert_int_equal(sp_form_pb_decode(&a, &sp_pb_google_any_msg, nested_any(&a, 50), &msg), 0);
    assert_int_equal(sp_form_unpack(&a, msg), 0);
    assert_int_equal(sp_form_pb_decode(&a, &sp_pb_google_any_msg, nested_any(&a, 150), &msg), 0);
    assert_int_equal(sp_form_unpack(&a, msg), SP_E_LIMIT);
    sp_arena_deinit(&a);
}

static void unpacking_leaves_what_it_does_not_know(void **state)
{
    struct sp_arena a;
    sp_arena_init(&a, NULL, 0, 4096, 0);
    struct sp_pb_test_special *s = sp_form_new(&a, SPECIAL);
    s->any = sp_form_new(&a, &sp_pb_google_any_msg);
    s->any->type_url = SP_STR("x/of.nobody");
    s->any->value = SP_STR("\xff");
    assert_int_equal(sp_form_unpack(&a, s), 0);
    assert_null(s->any->message);
    s->any->type_url = SP_STR("x/google.protobuf.Duration");
    assert_int_equal(sp_form_unpack(&a, s), SP_E_INVALID);
    sp_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outer_fields_come_before_inner_ones),
        cmocka_unit_test(what_an_any_holds_is_visited_in_its_place),
        cmocka_unit_test(unknown_fields_are_told),
        cmocka_unit_test(unpacking_counts_depth_over_all_layers),
        cmocka_unit_test(unpacking_leaves_what_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
