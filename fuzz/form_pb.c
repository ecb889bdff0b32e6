/* form_pb: any bytes to the protobuf reader. The first byte chooses the message.
 *
 * Held against: itself (what is read, written and read again is the same bytes, and so is its way through
 * JSON), and for the messages of the test schema protobuf-c: where both take the bytes, they must have read
 * the same value. The two may differ in whether they take them: protobuf-c refuses groups and foreign wire
 * types, and lets text through that is not UTF-8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "form/pb.h"
#include "form/pb_wire.h"
#include "form/read.h"
#include "form/walk.h"
#include "form/write.h"
#include "schema/kinds.h"
#include "schema/oracle.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static const struct sp_form_msg *const types[] = {
    &sp_pb_test_kinds_msg,
    &sp_pb_bootstrap_bootstrap_msg,
    &sp_pb_google_struct_msg,
    &sp_pb_google_any_msg,
};

/* Read again what was written: the same bytes come out. */
static void check_round(struct sp_arena *a, const struct sp_form_msg *type, sp_str written)
{
    struct sp_buf out;
    void *again;
    sp_buf_init(&out, 0);
    must(sp_form_pb_decode(a, type, written, &again) == 0, "what was written can be read");
    must(sp_form_pb_encode(again, &out) == 0, "and written");
    must(sp_str_eq(written, sp_buf_str(&out)), "and is the same bytes");
    sp_buf_deinit(&out);
}

struct oddities {
    bool found;
    bool unknown; /* fields: protobuf-c writes their keys anew, we as they came */
};

/* protobuf-c ends a string at its first NUL and takes -0.0 for absent. */
static bool look(void *arg, void *msg, const struct sp_form_field *f, uint32_t i)
{
    struct oddities *odd = arg;
    const void *place = sp_form_at(msg, f, i);
    double real = 1;
    if (f->kind == SP_FORM_STRING && memchr(((const sp_str *)place)->ptr, '\0', ((const sp_str *)place)->len))
        odd->found = true;
    if (f->kind == SP_FORM_DOUBLE)
        real = *(const double *)place;
    else if (f->kind == SP_FORM_FLOAT)
        real = (double)*(const float *)place;
    if (real == 0)
        odd->found = true;
    return true;
}

/* protobuf-c takes a bool from any wire type; for us it is another schema's field. */
static void look_unknown(void *arg, void *msg)
{
    struct oddities *odd = arg;
    const struct sp_form_head *head = msg;
    odd->unknown = true;
    struct sp_form_wire w = { .rest = head->unknown };
    while (sp_form_wire_next(&w) == 1)
        if (sp_form_field(head->type, w.number))
            odd->found = true;
}

/* Is a message in two pieces that have to be merged? protobuf-c forgets the scalars of the first. */
static bool has_pieces(const struct sp_form_msg *type, sp_str bytes)
{
    struct sp_form_wire w = { .rest = bytes };
    uint64_t seen = 0;
    while (sp_form_wire_next(&w) == 1) {
        const struct sp_form_field *f = sp_form_field(type, w.number);
        if (!f || f->kind != SP_FORM_MESSAGE || w.wire != 2)
            continue;
        uint64_t bit = f->flags & SP_FORM_F_REPEATED ? 0 : UINT64_C(1) << (f->number % 64);
        if (seen & bit || has_pieces(f->msg, w.bytes))
            return true;
        seen |= bit;
    }
    return false;
}

static void check_oracle(struct sp_arena *a, sp_str bytes, void *msg, sp_str written)
{
    Sampan__Test__V1__Kinds *k = sampan__test__v1__kinds__unpack(
        NULL, bytes.len, (const uint8_t *)(bytes.len ? bytes.ptr : ""));
    struct oddities odd = { 0 };
    struct sp_form_visitor visitor = { .arg = &odd, .on_field = look, .on_unknown = look_unknown };
    struct sp_buf out, ours;
    void *again;
    if (!k)
        return;
    sp_form_walk(msg, &visitor);
    size_t len = sampan__test__v1__kinds__get_packed_size(k);
    char *theirs = sp_arena_alloc(a, len + 1);
    must(theirs && sampan__test__v1__kinds__pack(k, (uint8_t *)theirs) == len, "the oracle writes");
    sampan__test__v1__kinds__free_unpacked(k, NULL);
    if (odd.found || has_pieces(&sp_pb_test_kinds_msg, bytes))
        return;
    must(sp_form_pb_decode(a, &sp_pb_test_kinds_msg, sp_str_of(theirs, len), &again) == 0,
         "what the oracle writes can be read");
    sp_buf_init(&out, 0);
    sp_buf_init(&ours, 0);
    if (odd.unknown) {
        must(sp_form_write_json(a, msg, 0, &ours) == 0 && sp_form_write_json(a, again, 0, &out) == 0,
             "shown");
        written = sp_buf_str(&ours);
    } else {
        must(sp_form_pb_encode(again, &out) == 0, "and written");
    }
    must(sp_str_eq(written, sp_buf_str(&out)), "and is the value that we read");
    sp_buf_deinit(&ours);
    sp_buf_deinit(&out);
}

/* The walks, for the sanitizers' eyes; JSON must read back as what it was made from. */
static void check_inside(struct sp_arena *a, const struct sp_form_msg *type, void *msg)
{
    struct sp_form_doc doc, text_doc;
    struct sp_buf json, again;
    void *read;
    sp_buf_init(&json, 0);
    sp_buf_init(&again, 0);
    if (sp_form_unpack(a, msg) == 0 && sp_form_doc_init(&doc, a, "f") == 0 &&
        sp_form_doc_adopt(&doc, msg) == 0)
        (void)sp_form_check(&doc, msg); /* breaking a rule is no fault of the reader */
    sp_err err = sp_form_write_json(a, msg, SP_FORM_PRETTY, &json);
    must(err == 0 || err == SP_E_LIMIT, "it can be shown");
    must(sp_form_doc_init(&text_doc, a, "f.json") == 0, "memory");
    err = err ? err
              : sp_form_read_json(&text_doc, type, sp_buf_str(&json), SP_FORM_TAKE_REFUSED | SP_FORM_NO_RULES,
                                  &read);
    if (!err) {
        must(sp_form_write_json(a, read, SP_FORM_PRETTY, &again) == 0, "what was read can be shown");
        must(sp_str_eq(sp_buf_str(&json), sp_buf_str(&again)), "and looks the same");
    }
    sp_buf_deinit(&again);
    sp_buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena a;
    struct sp_buf written;
    void *msg;
    if (size < 1)
        return 0;
    const struct sp_form_msg *type = types[data[0] % SP_COUNTOF(types)];
    sp_str bytes = sp_str_of(data + 1, size - 1);
    sp_arena_init(&a, NULL, 0, 16384, 0);
    sp_buf_init(&written, 0);
    if (sp_form_pb_decode(&a, type, bytes, &msg) == 0) {
        must(sp_form_pb_encode(msg, &written) == 0, "what was read can be written");
        check_round(&a, type, sp_buf_str(&written));
        if (type == &sp_pb_test_kinds_msg)
            check_oracle(&a, bytes, msg, sp_buf_str(&written));
        check_inside(&a, type, msg);
    }
    sp_buf_deinit(&written);
    sp_arena_deinit(&a);
    return 0;
}
