/* form: the real schema's tables hold together, near misses are near, and no failed allocation is missed. */
#include "form/form.h"

#include "base/mem.h"
#include "unit/form/help.h"

static void tables_are_sorted_and_whole(void **state)
{
    for (uint32_t i = 0; i < sp_pb_set.msgs_len; i++) {
        const struct sp_form_msg *m = sp_pb_set.msgs[i];
        assert_ptr_equal(sp_form_find(&sp_pb_set, sp_str_c(m->name)), m);
        for (uint32_t k = 0; k < m->fields_len; k++) {
            const struct sp_form_field *f = &m->fields[k];
            assert_ptr_equal(sp_form_field(m, f->number), f);
            assert_ptr_equal(sp_form_field_by_name(m, sp_str_c(f->name)), f);
            assert_ptr_equal(sp_form_field_by_name(m, sp_str_c(f->json_name)), f);
            assert_true(f->offset + sp_form_kind_bytes(f->kind) <= m->size || f->flags & SP_FORM_F_REPEATED);
            assert_true((f->kind == SP_FORM_MESSAGE) == (f->msg != NULL));
            assert_true((f->kind == SP_FORM_ENUM) == (f->en != NULL));
        }
    }
    for (uint32_t i = 0; i < sp_pb_set.known_len; i++) {
        assert_true(sp_form_is_known(&sp_pb_set, sp_str_c(sp_pb_set.known[i])));
        assert_null(sp_form_find(&sp_pb_set, sp_str_c(sp_pb_set.known[i])));
    }
    assert_null(sp_form_find(&sp_pb_set, SP_STR("")));
    assert_null(sp_form_field(BOOTSTRAP, 11));
}

/* A oneof that is asked for has a member that can be set, else nobody could ever obey. */
static void what_is_needed_can_be_set(void **state)
{
    for (uint32_t i = 0; i < sp_pb_set.msgs_len; i++) {
        const struct sp_form_msg *m = sp_pb_set.msgs[i];
        for (uint32_t o = 0; o < m->oneofs_len; o++) {
            uint32_t settable = 0;
            for (uint32_t k = 0; k < m->fields_len; k++) {
                const struct sp_form_field *f = &m->fields[k];
                settable += f->flags & SP_FORM_F_ONEOF && f->oneof == o && f->works;
            }
            if (m->oneofs[o].needed && !settable)
                fail_msg("%s needs %s, but every member of it is refused", m->name, m->oneofs[o].name);
        }
        for (uint32_t k = 0; k < m->fields_len; k++)
            if (m->fields[k].rule && m->fields[k].rule->required && !m->fields[k].works)
                fail_msg("%s needs %s, which is refused", m->name, m->fields[k].name);
    }
}

static void near_misses_are_near(void **state)
{
    static const char *const words[] = { "prefix", "path", "safe_regex", "port_value", "connect_timeout" };
    static const struct {
        const char *word, *want;
    } cases[] = {
        { "prefx", "prefix" },
        { "perfix", "prefix" },
        { "pathh", "path" },
        { "portValue", "port_value" },
        { "conect_timeout", "connect_timeout" },
        { "regex", NULL },
        { "p", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const char *near = sp_form_did_you_mean(sp_str_c(cases[i].word), words, SP_COUNTOF(words));
        if ((near == NULL) != (cases[i].want == NULL) || (near && strcmp(near, cases[i].want) != 0))
            fail_msg("%s: %s", cases[i].word, near ? near : "nothing");
    }
}

static const char text[] = "inner: &i {strings: [a, b], by_name: {x: 1}, some_bytes: YWJj}\n"
                           "inners: [*i, {by_bool: {true: {an_int32: many}}}]\n"
                           "unheard: of\n";

/* Everything of a reading that asks for memory, with the n-th time refused. */
static sp_err read_with_failure(uint64_t n, uint64_t *ret_made)
{
    struct sp_arena a;
    struct sp_form_doc doc;
    struct sp_buf out;
    void *msg = NULL;
    uint64_t live = sp_mem_live_blocks();
    sp_arena_init(&a, NULL, 0, 128, 0); /* small blocks: many allocations */
    sp_buf_init(&out, 0);
    (void)sp_mem_fail_at(n);
    sp_err err = sp_form_doc_init(&doc, &a, "k.yaml");
    if (!err)
        err = sp_form_read_yaml(&doc, KINDS, sp_str_c(text), 0, &msg);
    if (!err)
        err = sp_form_pb_encode(msg, &out);
    *ret_made = sp_mem_fail_at(0);
    sp_buf_deinit(&out);
    sp_arena_deinit(&a);
    assert_int_equal(sp_mem_live_blocks(), live);
    return err;
}

static void a_failed_allocation_anywhere_leaves_nothing_behind(void **state)
{
    uint64_t made;
    assert_int_equal(read_with_failure(0, &made), SP_E_INVALID);
    uint64_t all = made;
    assert_true(all > 20);
    for (uint64_t n = 1; n <= all; n++) {
        sp_err err = read_with_failure(n, &made);
        assert_true(err == SP_E_NOMEM || err == SP_E_INVALID);
    }
}

/* The same for writing, whose buffers are elsewhere. */
static void a_failed_allocation_in_writing_is_told(void **state)
{
    struct reading r;
    struct sp_buf out;
    read_as(
        &r, KINDS, "k.json",
        SP_STR("{\"by_name\": {\"b\": 1, \"a\": 2}, \"inner\": {\"a_string\": \"some text\"}, \"by_bool\": "
               "{\"true\": {}}}"),
        0);
    for (uint64_t n = 1; n <= 3; n++) {
        sp_buf_init(&out, 0);
        (void)sp_mem_fail_at(n);
        assert_int_equal(sp_form_write_json(&r.arena, r.msg, 0, &out), SP_E_NOMEM);
        (void)sp_mem_fail_at(0);
        sp_buf_deinit(&out);
        sp_buf_init(&out, 0);
        (void)sp_mem_fail_at(n);
        assert_int_equal(sp_form_pb_encode(r.msg, &out), SP_E_NOMEM);
        (void)sp_mem_fail_at(0);
        sp_buf_deinit(&out);
    }
    read_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sorted_and_whole),
        cmocka_unit_test(what_is_needed_can_be_set),
        cmocka_unit_test(near_misses_are_near),
        cmocka_unit_test(a_failed_allocation_anywhere_leaves_nothing_behind),
        cmocka_unit_test(a_failed_allocation_in_writing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
