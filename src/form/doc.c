/* A document's errors and places: what is wrong, and where everything stood.
 *
 * Errors are collected, never thrown: whoever reads a configuration wants to hear of all slips at once, and
 * whoever finds one goes on with the next field. A hundred are kept, the rest is counted. They are printed
 * in the order of the text, whatever the order in which the passes found them.
 *
 * Places are a table from the address of a message to the node that it was made from. A field's place is
 * found from there among the node's children by the field's number, which the binder left in each node. The
 * value itself carries nothing of this: the same structs come from the wire, where there are no lines.
 *
 *     msg  --marks-->  node of the message  --child with .number-->  node of the field  --> line, path
 *
 * For a value that came by the wire, sp_form_doc_adopt builds the same tree from the value, without lines:
 * then a path can be said in a NACK just as well.
 *
 * It was considered to keep line and column in each struct's head: 8 bytes for each message, but only of
 * messages, and errors are mostly about scalars. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "form/form_impl.h"

sp_err sp_form_doc_init(struct sp_form_doc *doc, struct sp_arena *arena, const char *file)
{
    *doc = (struct sp_form_doc){ .arena = arena };
    doc->file = sp_str_dup_z(arena, sp_str_c(file));
    doc->errors = sp_arena_array(arena, SP_FORM_ERRORS_MAX, sizeof(*doc->errors));
    return doc->file && doc->errors ? SP_OK : SP_E_NOMEM;
}

static void fault_v(struct sp_form_doc *doc, sp_err code, uint32_t line, uint32_t column, const char *path,
                    const char *fmt, va_list args)
{
    char text[1024];
    if (doc->errors_len >= SP_FORM_ERRORS_MAX) {
        doc->errors_dropped++;
        return;
    }
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a longer one is cut: it is for people */
    const char *kept = sp_str_dup_z(doc->arena, sp_str_c(text));
    doc->errors[doc->errors_len++] = (struct sp_form_error){
        .line = line,
        .column = column,
        .path = path ? path : "",
        .text = kept ? kept : "out of memory while this error was written down",
        .code = code,
    };
}

void sp_form_fault(struct sp_form_doc *doc, sp_err code, uint32_t line, uint32_t column, const char *path,
                   const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fault_v(doc, code, line, column, path, fmt, args);
    va_end(args);
}

void sp_form_fault_node(struct sp_form_doc *doc, sp_err code, struct sp_form_node *node, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fault_v(doc, code, node->line, node->column, sp_form_node_path(doc, node), fmt, args);
    va_end(args);
    node->bad = true;
}

void sp_form_fault_key(struct sp_form_doc *doc, sp_err code, struct sp_form_node *node, const char *fmt, ...)
{
    va_list args;
    bool keyed = node->key_line != 0;
    va_start(args, fmt);
    fault_v(doc, code, keyed ? node->key_line : node->line, keyed ? node->key_column : node->column,
            sp_form_node_path(doc, node), fmt, args);
    va_end(args);
    node->bad = true;
}

/* Addresses in an arena differ in their upper bits too; multiplying by an odd constant mixes them (2^64 over
 * the golden ratio, Knuth's choice). */
static size_t mark_slot(const struct sp_form_doc *doc, const void *msg)
{
    return (size_t)(((uint64_t)(uintptr_t)msg * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (doc->marks_cap - 1);
}

static void mark_insert(struct sp_form_doc *doc, const void *msg, struct sp_form_node *node)
{
    size_t slot = mark_slot(doc, msg);
    while (doc->marks[slot].msg && doc->marks[slot].msg != msg)
        slot = (slot + 1) & (doc->marks_cap - 1);
    if (!doc->marks[slot].msg)
        doc->marks_len++;
    doc->marks[slot] = (struct sp_form_mark){ msg, node };
}

static sp_err marks_grow(struct sp_form_doc *doc)
{
    struct sp_form_mark *old = doc->marks;
    uint32_t old_cap = doc->marks_cap, cap = old_cap ? old_cap * 2 : 64;
    struct sp_form_mark *grown = sp_arena_array(doc->arena, cap, sizeof(*grown));
    if (!grown)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < cap; i++)
        grown[i] = (struct sp_form_mark){ NULL, NULL };
    doc->marks = grown;
    doc->marks_cap = cap;
    doc->marks_len = 0;
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i].msg)
            mark_insert(doc, old[i].msg, old[i].node);
    return SP_OK;
}

sp_err sp_form_mark_put(struct sp_form_doc *doc, const void *msg, struct sp_form_node *node)
{
    if (doc->marks_len >= doc->marks_cap / 2) {
        sp_err err = marks_grow(doc);
        if (err)
            return err;
    }
    mark_insert(doc, msg, node);
    return SP_OK;
}

struct sp_form_node *sp_form_mark_get(const struct sp_form_doc *doc, const void *msg)
{
    if (!doc->marks_cap)
        return NULL;
    size_t slot = mark_slot(doc, msg);
    while (doc->marks[slot].msg && doc->marks[slot].msg != msg)
        slot = (slot + 1) & (doc->marks_cap - 1);
    return doc->marks[slot].node;
}

struct sp_form_node *sp_form_node_of_field(const struct sp_form_node *node, uint32_t number)
{
    for (struct sp_form_node *child = node->first; child; child = child->next)
        if (child->number == number)
            return child;
    return NULL;
}

static struct sp_form_place node_place(struct sp_form_doc *doc, const struct sp_form_node *node)
{
    bool scalar = node->kind != SP_NODE_LIST && node->kind != SP_NODE_MAP;
    bool at_value = scalar || node->key_line == 0;
    const char *path = sp_form_node_path(doc, node);
    return (struct sp_form_place){
        .line = at_value ? node->line : node->key_line,
        .column = at_value ? node->column : node->key_column,
        .path = path ? path : "",
    };
}

/* The path that an absent field would have. */
static const char *absent_path(struct sp_form_doc *doc, const char *path, const void *msg, uint32_t number)
{
    const struct sp_form_field *f = sp_form_field(((const struct sp_form_head *)msg)->type, number);
    if (!f)
        return path;
    const char *made = sp_arena_printf(doc->arena, "%s%s%s", path, *path ? "." : "", f->name);
    return made ? made : path;
}

struct sp_form_place sp_form_where(struct sp_form_doc *doc, const void *msg, uint32_t number)
{
    struct sp_form_node *node = sp_form_mark_get(doc, msg);
    if (!node)
        return (struct sp_form_place){ .path = "" };
    if (number == 0)
        return node_place(doc, node);
    struct sp_form_node *child = sp_form_node_of_field(node, number);
    if (child)
        return node_place(doc, child);
    struct sp_form_place place = node_place(doc, node);
    place.path = absent_path(doc, place.path, msg, number);
    return place;
}

struct sp_form_place sp_form_where_item(struct sp_form_doc *doc, const void *msg, uint32_t number, uint32_t i)
{
    struct sp_form_node *node = sp_form_mark_get(doc, msg);
    struct sp_form_node *child = node ? sp_form_node_of_field(node, number) : NULL;
    if (!child || i >= child->len)
        return sp_form_where(doc, msg, number);
    struct sp_form_node *item = child->first;
    while (i-- > 0)
        item = item->next;
    return node_place(doc, item);
}

bool sp_form_is_said(struct sp_form_doc *doc, const void *msg, uint32_t number)
{
    struct sp_form_node *node = sp_form_mark_get(doc, msg);
    struct sp_form_node *child = node ? sp_form_node_of_field(node, number) : NULL;
    return child && child->kind != SP_NODE_NULL;
}

void sp_form_error(struct sp_form_doc *doc, sp_err code, const void *msg, uint32_t number, const char *fmt,
                   ...)
{
    struct sp_form_place place = sp_form_where(doc, msg, number);
    va_list args;
    va_start(args, fmt);
    fault_v(doc, code, place.line, place.column, place.path, fmt, args);
    va_end(args);
}

void sp_form_error_item(struct sp_form_doc *doc, sp_err code, const void *msg, uint32_t number, uint32_t i,
                        const char *fmt, ...)
{
    struct sp_form_place place = sp_form_where_item(doc, msg, number, i);
    va_list args;
    va_start(args, fmt);
    fault_v(doc, code, place.line, place.column, place.path, fmt, args);
    va_end(args);
}

static void print_error(const struct sp_form_doc *doc, const struct sp_form_error *error, struct sp_buf *out)
{
    sp_buf_add_c(out, doc->file);
    if (error->line)
        sp_buf_printf(out, ":%u:%u", (unsigned)error->line, (unsigned)error->column);
    sp_buf_add_c(out, ": ");
    if (*error->path)
        sp_buf_printf(out, "%s: ", error->path);
    sp_buf_add_c(out, error->text);
    sp_buf_add_char(out, '\n');
}

static bool before(const struct sp_form_error *a, const struct sp_form_error *b)
{
    if (a->line != b->line)
        return a->line < b->line;
    if (a->column != b->column)
        return a->column < b->column;
    return a < b;
}

/* At most a hundred errors: picking the next one each time needs no second array. */
void sp_form_print_errors(const struct sp_form_doc *doc, struct sp_buf *out)
{
    const struct sp_form_error *printed = NULL;
    for (uint32_t n = 0; n < doc->errors_len; n++) {
        const struct sp_form_error *next = NULL;
        for (uint32_t i = 0; i < doc->errors_len; i++) {
            const struct sp_form_error *error = &doc->errors[i];
            if ((!printed || before(printed, error)) && (!next || before(error, next)))
                next = error;
        }
        SP_ASSERT(next);
        print_error(doc, next, out);
        printed = next;
    }
    if (doc->errors_dropped)
        sp_buf_printf(out, "%s: and %u errors more\n", doc->file, (unsigned)doc->errors_dropped);
}
