/* help: reading a text in a test, and what it was expected to say. */
#ifndef SP_TESTS_FORM_HELP_H
#define SP_TESTS_FORM_HELP_H

#include "base/arena.h"
#include "base/buf.h"
#include "form/pb.h"
#include "form/pb_wire.h"
#include "form/read.h"
#include "form/write.h"
#include "unit/base/help.h"
#include "unit/form/kinds.h"

/* One text that was read; `msg` is NULL when it was refused. */
struct reading {
    struct sp_arena arena;
    struct sp_form_doc doc;
    void *msg;
    sp_err err;
};

static inline void read_as(struct reading *r, const struct sp_form_msg *type, const char *file, sp_str text,
                           uint32_t flags)
{
    r->msg = NULL;
    sp_arena_init(&r->arena, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_doc_init(&r->doc, &r->arena, file), 0);
    r->err = sp_form_read_text(&r->doc, type, text, flags, &r->msg);
    assert_true((r->err == 0) == (r->msg != NULL));
    assert_true((r->err == 0) == (r->doc.errors_len == 0));
}

static inline void read_end(struct reading *r)
{
    sp_arena_deinit(&r->arena);
}

/* The text is refused with exactly these lines, each without the file's name in front. */
static inline void check_says(const struct sp_form_msg *type, const char *file, const char *text,
                              const char *want)
{
    struct reading r;
    struct sp_buf said, lines;
    read_as(&r, type, file, sp_str_c(text), 0);
    sp_buf_init(&said, 0);
    sp_buf_init(&lines, 0);
    sp_form_print_errors(&r.doc, &said);
    size_t prefix = strlen(file) + 1;
    for (sp_str rest = sp_buf_str(&said); rest.len;) {
        sp_str line = sp_str_cut(&rest, '\n');
        sp_buf_add_str(&lines, sp_str_from(line, prefix));
        sp_buf_add_char(&lines, '\n');
    }
    if (!sp_str_eq(sp_buf_str(&lines), sp_str_c(want)))
        fail_msg("of\n%s\nit says\n%.*sbut should say\n%s", text, SP_STR_ARG(sp_buf_str(&lines)), want);
    sp_buf_deinit(&lines);
    sp_buf_deinit(&said);
    read_end(&r);
}

/* What is read from `text` is written as the JSON `want`. */
static inline void check_reads(const struct sp_form_msg *type, const char *file, const char *text,
                               const char *want)
{
    struct reading r;
    struct sp_buf out;
    sp_buf_init(&out, 0);
    read_as(&r, type, file, sp_str_c(text), 0);
    if (r.err) {
        sp_form_print_errors(&r.doc, &out);
        fail_msg("of\n%s\nit says\n%.*s", text, SP_STR_ARG(sp_buf_str(&out)));
    }
    assert_int_equal(sp_form_write_json(&r.arena, r.msg, 0, &out), 0);
    if (!sp_str_eq(sp_buf_str(&out), sp_str_c(want)))
        fail_msg("of\n%s\nit reads\n%.*s\nbut should read\n%s", text, SP_STR_ARG(sp_buf_str(&out)), want);
    sp_buf_deinit(&out);
    read_end(&r);
}

#define KINDS (&sp_pb_test_kinds_msg)
#define SPECIAL (&sp_pb_test_special_msg)
#define MAYBE (&sp_pb_test_maybe_msg)
#define STRICT (&sp_pb_test_strict_msg)
#define BOOTSTRAP (&sp_pb_bootstrap_bootstrap_msg)

#endif
