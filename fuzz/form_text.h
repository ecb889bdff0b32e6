/* form_text: what the fuzz targets for JSON and YAML have in common.
 *
 * A text is read as a bootstrap, as a Struct or as a route table; the first byte says which, and whether
 * strictly. What is refused must say why, inside the text; what is taken must be a fixed point of JSON, and
 * of protobuf where it is not nested too deep for that. */
#ifndef SP_FUZZ_FORM_TEXT_H
#define SP_FUZZ_FORM_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "form/pb.h"
#include "form/pb_wire.h"
#include "form/read.h"
#include "form/write.h"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static void check_errors(const struct sp_form_doc *doc, sp_str text)
{
    struct sp_buf said;
    uint32_t lines = 1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        lines += c == '\n' || c == '\r' || (c == '\xc2' && i + 1 < text.len && text.ptr[i + 1] == '\x85') ||
                 (c == '\xe2' && i + 2 < text.len &&
                  text.ptr[i + 1] == '\x80'); /* YAML breaks lines there too */
    }
    for (uint32_t i = 0; i < doc->errors_len; i++) {
        must(doc->errors[i].line <= lines + 1, "an error stands inside the text");
        must(doc->errors[i].text[0] != '\0', "an error says something");
    }
    sp_buf_init(&said, 0);
    sp_form_print_errors(doc, &said);
    must(!said.failed, "errors can be printed");
    sp_buf_deinit(&said);
}

/* The value's JSON, read as JSON, shows the same JSON; and so does its way through protobuf. */
static void check_value(struct sp_arena *a, const struct sp_form_msg *type, void *msg)
{
    struct sp_buf first, again, wire;
    struct sp_form_doc doc;
    void *back;
    sp_buf_init(&first, 0);
    sp_buf_init(&again, 0);
    sp_buf_init(&wire, 0);
    must(sp_form_doc_init(&doc, a, "again.json") == 0, "memory");
    must(sp_form_write_json(a, msg, 0, &first) == 0, "what was read can be shown");
    must(sp_form_read_json(&doc, type, sp_buf_str(&first), SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES, &back) ==
             0,
         "what is shown can be read");
    must(sp_form_write_json(a, back, 0, &again) == 0, "and shown");
    must(sp_str_eq(sp_buf_str(&first), sp_buf_str(&again)), "and looks the same");
    sp_err err = sp_form_pb_encode(msg, &wire);
    must(err == 0 || err == SP_E_LIMIT, "it can be written");
    if (!err) {
        sp_buf_reset(&again);
        must(sp_form_pb_decode(a, type, sp_buf_str(&wire), &back) == 0, "what is written can be read");
        must(sp_form_write_json(a, back, 0, &again) == 0, "and shown");
        must(sp_str_eq(sp_buf_str(&first), sp_buf_str(&again)), "and is the same value");
    }
    sp_buf_deinit(&wire);
    sp_buf_deinit(&again);
    sp_buf_deinit(&first);
}

static int fuzz_text(const uint8_t *data, size_t size, const char *file)
{
    static const struct sp_form_msg *const types[] = {
        &sp_pb_bootstrap_bootstrap_msg,
        &sp_pb_google_struct_msg,
        &sp_pb_route_route_configuration_msg,
        &sp_pb_google_value_msg,
    };
    struct sp_arena a;
    struct sp_form_doc doc;
    void *msg;
    if (size < 1)
        return 0;
    const struct sp_form_msg *type = types[data[0] % SP_COUNTOF(types)];
    sp_str text = sp_str_of(data + 1, size - 1);
    sp_arena_init(&a, NULL, 0, 16384, 0);
    must(sp_form_doc_init(&doc, &a, file) == 0, "memory");
    uint32_t flags = data[0] & 0x80 ? SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES : 0;
    sp_err err = sp_form_read_text(&doc, type, text, flags, &msg);
    must((err != 0) == (doc.errors_len != 0), "who refuses says why");
    if (err)
        check_errors(&doc, text);
    else
        check_value(&a, type, msg);
    sp_arena_deinit(&a);
    return 0;
}

#endif
