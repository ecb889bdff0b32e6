/* The binder's leaves: a scalar's text and a field's kind become a value, or a sentence for people.
 *
 * Here is decided what a YAML word (a scalar without quotes) may stand for. A number field takes a number, a
 * boolean field true and false, a string field any word that nobody could read as something else: 1.10 and
 * /healthz are taken, 8080 and true and yes are not, because Envoy's reader makes a number or a boolean of
 * them and then refuses; the person gets told to quote. Strings in quotes are taken for numbers too, as
 * proto3's JSON mapping has it. */
#include <math.h>
#include <stdio.h>

#include "form/bind_impl.h"
#include "form/pb.h"

static void fault_kind(struct sp_form_bind *b, struct sp_form_node *node, const char *wanted)
{
    sp_form_fault_node(b->doc, SP_E_INVALID, node, "should be %s, not %s", wanted,
                       sp_form_node_word((enum sp_form_node_kind)node->kind));
}

static void fault_text(struct sp_form_bind *b, struct sp_form_node *node, sp_err code, const char *what)
{
    sp_str shown = sp_str_upto(node->text, 60);
    sp_form_fault_node(b->doc, code, node, "\"%.*s\"%s %s", SP_STR_ARG(shown),
                       shown.len < node->text.len ? "..." : "", what);
}

/* YAML 1.1's booleans besides true and false, in the spellings that its readers take. */
static bool is_old_bool(sp_str text)
{
    static const char *const words[] = { "y", "yes", "n", "no", "on", "off", "true", "false" };
    for (size_t i = 0; i < SP_COUNTOF(words); i++)
        if (sp_str_eq_nocase(text, sp_str_c(words[i])))
            return true;
    return false;
}

static bool old_bool_is_true(sp_str text)
{
    char first = text.len ? (char)(text.ptr[0] | 0x20) : 0;
    return first == 'y' || first == 't' || sp_str_eq_nocase(text, SP_STR("on"));
}

static bool has_text(const struct sp_form_node *node)
{
    return node->kind == SP_NODE_NUMBER || node->kind == SP_NODE_STRING || node->kind == SP_NODE_WORD;
}

static void take_bool(struct sp_form_bind *b, struct sp_form_node *node, void *place)
{
    if (node->kind == SP_NODE_BOOL)
        *(bool *)place = node->text.ptr[0] == 't';
    else if (node->kind == SP_NODE_WORD && is_old_bool(node->text))
        fault_text(b, node, SP_E_INVALID,
                   old_bool_is_true(node->text) ? "is not a boolean here; write true"
                                                : "is not a boolean here; write false");
    else
        fault_kind(b, node, "true or false");
}

static void fault_number(struct sp_form_bind *b, struct sp_form_node *node, sp_err code, const char *wanted)
{
    char text[96];
    bool old_octal = node->text.len > 1 && node->text.ptr[0] == '0' && node->text.ptr[1] != '.';
    int n = snprintf(text, sizeof(text), "is not %s%s", wanted,
                     old_octal ? "; write it in decimal, without a leading zero" : "");
    SP_ASSERT(n > 0 && (size_t)n < sizeof(text));
    fault_text(b, node, code, code == SP_E_RANGE ? "does not fit" : text);
}

static void take_signed(struct sp_form_bind *b, struct sp_form_node *node, bool is_64, void *place)
{
    int64_t value = 0;
    if (!has_text(node)) {
        fault_kind(b, node, "a whole number");
        return;
    }
    sp_err err = sp_form_text_to_i64(node->text, &value);
    if (!err && !is_64 && (value < INT32_MIN || value > INT32_MAX))
        err = SP_E_RANGE;
    if (err)
        fault_number(b, node, err, "a whole number");
    else if (is_64)
        *(int64_t *)place = value;
    else
        *(int32_t *)place = (int32_t)value;
}

static void take_unsigned(struct sp_form_bind *b, struct sp_form_node *node, bool is_64, void *place)
{
    uint64_t value = 0;
    if (!has_text(node)) {
        fault_kind(b, node, "a whole number");
        return;
    }
    sp_err err = sp_form_text_to_u64(node->text, &value);
    if (!err && !is_64 && value > UINT32_MAX)
        err = SP_E_RANGE;
    if (err)
        fault_number(b, node, err, "a whole number");
    else if (is_64)
        *(uint64_t *)place = value;
    else
        *(uint32_t *)place = (uint32_t)value;
}

static sp_err special_double(sp_str text, double *ret_value)
{
    if (sp_str_eq(text, SP_STR("NaN")))
        *ret_value = (double)NAN;
    else if (sp_str_eq(text, SP_STR("Infinity")))
        *ret_value = (double)INFINITY;
    else if (sp_str_eq(text, SP_STR("-Infinity")))
        *ret_value = -(double)INFINITY;
    else
        return SP_E_INVALID;
    return SP_OK;
}

/* FLT_MAX is the largest double that is still a float when rounded; half a step above it is not. */
static bool fits_float(double value)
{
    return isinf(value) || isnan(value) || !isinf((float)value);
}

static void take_real(struct sp_form_bind *b, struct sp_form_node *node, bool is_64, void *place)
{
    double value = 0;
    if (!has_text(node)) {
        fault_kind(b, node, "a number");
        return;
    }
    sp_err err = node->kind != SP_NODE_NUMBER && !special_double(node->text, &value)
                     ? SP_OK
                     : sp_form_text_to_double(node->text, &value);
    if (!err && !is_64 && !fits_float(value))
        err = SP_E_RANGE;
    if (err)
        fault_number(b, node, err, "a number");
    else if (is_64)
        *(double *)place = value;
    else
        *(float *)place = (float)value;
}

static void take_string(struct sp_form_bind *b, struct sp_form_node *node, void *place)
{
    int64_t whole;
    if (node->kind == SP_NODE_WORD && (is_old_bool(node->text) || !sp_form_text_to_i64(node->text, &whole))) {
        fault_text(b, node, SP_E_INVALID, "could be read as another type; put it in quotes");
        return;
    }
    if (node->kind == SP_NODE_NUMBER || node->kind == SP_NODE_BOOL) {
        fault_text(b, node, SP_E_INVALID, "should be a string; put it in quotes");
        return;
    }
    if (!has_text(node))
        fault_kind(b, node, "a string");
    else if (!sp_str_is_utf8(node->text))
        fault_kind(b, node, "a string of valid UTF-8");
    else
        *(sp_str *)place = node->text;
}

static sp_err take_bytes(struct sp_form_bind *b, struct sp_form_node *node, void *place)
{
    if (node->kind != SP_NODE_STRING && node->kind != SP_NODE_WORD) {
        fault_kind(b, node, "a string in base64");
        return SP_OK;
    }
    sp_err err = sp_form_text_to_bytes(b->doc->arena, node->text, place);
    if (err == SP_E_NOMEM)
        return err;
    if (err)
        fault_text(b, node, SP_E_INVALID, "is not base64");
    return SP_OK;
}

static void fault_enum(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_enum *en)
{
    const char *names[256] = { NULL };
    size_t n = 0;
    for (uint32_t i = 0; i < en->values_len && n < SP_COUNTOF(names); i++)
        names[n++] = en->values[i].name;
    const char *near = sp_form_did_you_mean(node->text, names, n);
    if (near) {
        sp_form_fault_node(b->doc, SP_E_INVALID, node, "\"%.*s\" is no value of %s; did you mean %s?",
                           SP_STR_ARG(sp_str_upto(node->text, 60)), en->name, near);
        return;
    }
    char list[512];
    size_t at = 0;
    for (size_t i = 0; i < n && at < sizeof(list); i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", names[i]);
    sp_form_fault_node(b->doc, SP_E_INVALID, node, "\"%.*s\" is no value of %s; there are: %s",
                       SP_STR_ARG(sp_str_upto(node->text, 60)), en->name, list);
}

static void take_enum(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                      void *place)
{
    const struct sp_form_value_name *named = NULL;
    int64_t number = 0;
    if (node->kind == SP_NODE_NULL && sp_form_enum_value(f->en, 0)) { /* google.protobuf.NullValue */
        *(int32_t *)place = 0;
        return;
    }
    if (!has_text(node)) {
        fault_kind(b, node, "a name");
        return;
    }
    if (node->kind != SP_NODE_NUMBER)
        named = sp_form_enum_by_name(f->en, node->text);
    if (!named && !sp_form_text_to_i64(node->text, &number) && node->kind != SP_NODE_STRING &&
        number >= INT32_MIN && number <= INT32_MAX)
        named = sp_form_enum_value(f->en, (int32_t)number);
    if (!named) {
        fault_enum(b, node, f->en);
        return;
    }
    if (named->refused && !(b->flags & SP_FORM_TAKE_REFUSED)) {
        sp_form_fault_node(b->doc, SP_E_UNSUPPORTED, node, "%s is known to Envoy but not supported%s%s",
                           named->name, *named->refused ? ": " : "", named->refused);
        return;
    }
    *(int32_t *)place = named->number;
}

sp_err sp_form_bind_scalar(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                           void *place)
{
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_BOOL: take_bool(b, node, place); return SP_OK;
    case SP_FORM_INT32:
    case SP_FORM_SINT32:
    case SP_FORM_SFIXED32: take_signed(b, node, false, place); return SP_OK;
    case SP_FORM_INT64:
    case SP_FORM_SINT64:
    case SP_FORM_SFIXED64: take_signed(b, node, true, place); return SP_OK;
    case SP_FORM_UINT32:
    case SP_FORM_FIXED32: take_unsigned(b, node, false, place); return SP_OK;
    case SP_FORM_UINT64:
    case SP_FORM_FIXED64: take_unsigned(b, node, true, place); return SP_OK;
    case SP_FORM_FLOAT: take_real(b, node, false, place); return SP_OK;
    case SP_FORM_DOUBLE: take_real(b, node, true, place); return SP_OK;
    case SP_FORM_STRING: take_string(b, node, place); return SP_OK;
    case SP_FORM_BYTES: return take_bytes(b, node, place);
    case SP_FORM_ENUM: take_enum(b, node, f, place); return SP_OK;
    case SP_FORM_MESSAGE: break;
    }
    SP_ASSERT(!"a scalar kind");
    return SP_E_INVALID;
}

/* A key is text in every spelling; it is bound like a value of that text. */
sp_err sp_form_bind_key(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                        void *place)
{
    if (f->kind == SP_FORM_STRING && sp_str_is_utf8(node->key)) {
        *(sp_str *)place = node->key;
        return SP_OK;
    }
    struct sp_form_node key = {
        .parent = node->parent,
        .kind = SP_NODE_STRING,
        .text = node->key,
        .key = node->key,
        .line = node->key_line,
        .column = node->key_column,
    };
    if (f->kind == SP_FORM_BOOL &&
        (sp_str_eq(node->key, SP_STR("true")) || sp_str_eq(node->key, SP_STR("false"))))
        key.kind = SP_NODE_BOOL;
    return sp_form_bind_scalar(b, &key, f, place);
}

static void fault_duration(struct sp_form_bind *b, struct sp_form_node *node)
{
    int64_t ms;
    sp_str number = sp_str_upto(node->text, node->text.len - SP_MIN(node->text.len, (size_t)2));
    bool is_ms = sp_str_ends(node->text, SP_STR("ms")) && !sp_form_text_to_i64(number, &ms) && ms >= 0 &&
                 ms < 1000;
    if (is_ms)
        sp_form_fault_node(b->doc, SP_E_INVALID, node, "\"%.*s\" is not a duration; write seconds: 0.%03ds",
                           SP_STR_ARG(node->text), (int)ms);
    else
        fault_text(b, node, SP_E_INVALID, "is not a duration; write seconds with an s, such as 1.5s");
}

sp_err sp_form_bind_time(struct sp_form_bind *b, struct sp_form_node *node, void *msg)
{
    bool duration = ((struct sp_form_head *)msg)->type->special == SP_FORM_DURATION;
    int64_t seconds = 0;
    int32_t nanos = 0;
    if (!has_text(node)) {
        fault_kind(b, node, duration ? "a duration such as 1.5s" : "a time such as 2024-02-29T12:00:00Z");
        return SP_OK;
    }
    sp_err err = duration ? sp_form_text_to_duration(node->text, &seconds, &nanos)
                          : sp_form_text_to_timestamp(node->text, &seconds, &nanos);
    if (err == SP_E_RANGE) {
        fault_text(b, node, err, "is too long ago, too far ahead or too long");
    } else if (err && duration) {
        fault_duration(b, node);
    } else if (err) {
        fault_text(b, node, err, "is not a time; write it as 2024-02-29T12:00:00Z");
    } else if (duration) {
        ((struct sp_pb_google_duration *)msg)->seconds = seconds;
        ((struct sp_pb_google_duration *)msg)->nanos = nanos;
    } else {
        ((struct sp_pb_google_timestamp *)msg)->seconds = seconds;
        ((struct sp_pb_google_timestamp *)msg)->nanos = nanos;
    }
    return SP_OK;
}
