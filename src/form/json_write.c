/* Typed values become JSON text.
 *
 * The mirror of the binder: what it reads, this writes. The value's kind decides the spelling, the special
 * messages have theirs:
 *
 *     int64, uint64        "123"        a string: JSON readers elsewhere have doubles only
 *     float, double        1.5          the shortest text that reads back as the same bits; "NaN", "Infinity"
 *     Duration             "1.500s"     0, 3, 6 or 9 digits
 *     Timestamp            "2024-02-29T12:00:00Z"
 *     wrappers             the bare value
 *     Struct, Value        themselves
 *     Any                  {"@type": url, fields...}, or "value" for a type that has its own form
 *
 * A Duration or Timestamp that is out of its bounds, which only the wire can bring, has no such form and is
 * shown as the object that it is. */
#include "form/write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "form/form_impl.h"
#include "form/pb.h"
#include "form/pb_impl.h"

/* Levels of messages that are written: what the text readers bring (a Struct takes three a level), in an
 * Any of an Any of what the wire brings. */
#define WRITE_DEPTH_MAX (4 * SP_FORM_DEPTH_MAX)

struct writer {
    struct sp_arena *scratch;
    struct sp_buf *out;
    uint32_t flags;
    uint32_t depth;  /* messages */
    uint32_t indent; /* open brackets */
};

static sp_err write_message(struct writer *w, void *msg);

static void new_line(struct writer *w)
{
    if (!(w->flags & SP_FORM_PRETTY))
        return;
    sp_buf_add_char(w->out, '\n');
    for (uint32_t i = 0; i < w->indent; i++)
        sp_buf_add_str(w->out, SP_STR("  "));
}

static void open_bracket(struct writer *w, char bracket)
{
    sp_buf_add_char(w->out, bracket);
    w->indent++;
}

static void close_bracket(struct writer *w, char bracket, bool empty)
{
    w->indent--;
    if (!empty)
        new_line(w);
    sp_buf_add_char(w->out, bracket);
}

static void next_item(struct writer *w, bool *first)
{
    if (!*first)
        sp_buf_add_char(w->out, ',');
    *first = false;
    new_line(w);
}

static void write_key(struct writer *w, sp_str key)
{
    sp_buf_add_json(w->out, key);
    sp_buf_add_str(w->out, w->flags & SP_FORM_PRETTY ? SP_STR(": ") : SP_STR(":"));
}

static void write_base64(struct writer *w, sp_str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    sp_buf_add_char(w->out, '"');
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = SP_MIN(bytes.len - i, (size_t)3);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (uint8_t)bytes.ptr[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            sp_buf_add_char(w->out, k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=');
    }
    sp_buf_add_char(w->out, '"');
}

/* The fewest digits that read back as the same bits: at most 17 for a double, 9 for a float. */
static void write_real(struct writer *w, double value, bool is_float)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        sp_buf_add_c(w->out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = 1; digits <= (is_float ? 9 : 17); digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value); /* 25 bytes at most */
        double back = strtod(text, NULL);
        if (is_float ? (float)back == (float)value : back == value)
            break;
    }
    sp_buf_add_c(w->out, text);
}

static void write_enum(struct writer *w, const struct sp_form_enum *en, int32_t number)
{
    const struct sp_form_value_name *named = sp_form_enum_value(en, number);
    if (sp_str_eq(sp_str_c(en->name), SP_STR("google.protobuf.NullValue")))
        sp_buf_add_c(w->out, "null");
    else if (named)
        sp_buf_add_json(w->out, sp_str_c(named->name));
    else
        sp_buf_add_i64(w->out, number);
}

static void write_scalar(struct writer *w, const struct sp_form_field *f, const void *place)
{
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_BOOL: sp_buf_add_c(w->out, *(const bool *)place ? "true" : "false"); return;
    case SP_FORM_INT32:
    case SP_FORM_SINT32:
    case SP_FORM_SFIXED32: sp_buf_add_i64(w->out, *(const int32_t *)place); return;
    case SP_FORM_UINT32:
    case SP_FORM_FIXED32: sp_buf_add_u64(w->out, *(const uint32_t *)place); return;
    case SP_FORM_INT64:
    case SP_FORM_SINT64:
    case SP_FORM_SFIXED64: sp_buf_printf(w->out, "\"%" PRId64 "\"", *(const int64_t *)place); return;
    case SP_FORM_UINT64:
    case SP_FORM_FIXED64: sp_buf_printf(w->out, "\"%" PRIu64 "\"", *(const uint64_t *)place); return;
    case SP_FORM_FLOAT: write_real(w, (double)*(const float *)place, true); return;
    case SP_FORM_DOUBLE: write_real(w, *(const double *)place, false); return;
    case SP_FORM_STRING: sp_buf_add_json(w->out, *(const sp_str *)place); return;
    case SP_FORM_BYTES: write_base64(w, *(const sp_str *)place); return;
    case SP_FORM_ENUM: write_enum(w, f->en, *(const int32_t *)place); return;
    case SP_FORM_MESSAGE: break;
    }
    SP_ASSERT(!"a scalar kind");
}

static sp_err write_value(struct writer *w, const struct sp_form_field *f, void *place)
{
    if (f->kind == SP_FORM_MESSAGE) {
        void *inner = *(void **)place;
        if (inner)
            return write_message(w, inner);
        sp_buf_add_c(w->out, "null");
        return SP_OK;
    }
    write_scalar(w, f, place);
    return SP_OK;
}

/* Map keys are strings in JSON, whatever they are here. */
static void write_map_key(struct writer *w, const struct sp_form_field *key, const void *place)
{
    if (key->kind == SP_FORM_STRING) {
        write_key(w, *(const sp_str *)place);
        return;
    }
    char text[32];
    struct sp_buf digits, *out = w->out;
    sp_buf_init_fixed(&digits, text, sizeof(text));
    w->out = &digits;
    write_scalar(w, key, place);
    w->out = out;
    sp_str s = sp_buf_str(&digits);
    if (s.len >= 2 && s.ptr[0] == '"') /* 64 bits have their quotes already */
        s = sp_str_of(s.ptr + 1, s.len - 2);
    write_key(w, s);
}

static int compare_entries(const void *left, const void *right)
{
    return sp_form_pb_compare_entries(*(const void *const *)left, *(const void *const *)right);
}

static sp_err write_map(struct writer *w, const struct sp_form_field *f, void *msg)
{
    uint32_t len = sp_form_len(msg, f);
    void **sorted = sp_mem_alloc((len + 1) * sizeof(*sorted));
    if (!sorted)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < len; i++)
        sorted[i] = sp_form_msg_at(msg, f, i);
    qsort(sorted, len, sizeof(*sorted), compare_entries);
    const struct sp_form_field *key = &f->msg->fields[0], *value = &f->msg->fields[1];
    bool first = true;
    sp_err err = SP_OK;
    open_bracket(w, '{');
    for (uint32_t i = 0; i < len && !err; i++) {
        next_item(w, &first);
        write_map_key(w, key, (char *)sorted[i] + key->offset);
        err = write_value(w, value, (char *)sorted[i] + value->offset);
    }
    close_bracket(w, '}', first);
    sp_mem_free(sorted);
    return err;
}

static sp_err write_list(struct writer *w, const struct sp_form_field *f, void *msg)
{
    bool first = true;
    sp_err err = SP_OK;
    open_bracket(w, '[');
    for (uint32_t i = 0; i < sp_form_len(msg, f) && !err; i++) {
        next_item(w, &first);
        err = write_value(w, f, sp_form_at(msg, f, i));
    }
    close_bracket(w, ']', first);
    return err;
}

static sp_err write_fields(struct writer *w, void *msg, bool *first)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    sp_err err = SP_OK;
    for (uint32_t n = 0; n < type->fields_len && !err; n++) {
        const struct sp_form_field *f = &type->fields[n];
        if (!sp_form_has(msg, f))
            continue;
        next_item(w, first);
        write_key(w, sp_str_c(w->flags & SP_FORM_CAMEL ? f->json_name : f->name));
        if (f->flags & SP_FORM_F_MAP)
            err = write_map(w, f, msg);
        else if (f->flags & SP_FORM_F_REPEATED)
            err = write_list(w, f, msg);
        else
            err = write_value(w, f, sp_form_at(msg, f, 0));
    }
    return err;
}

static sp_err write_plain(struct writer *w, void *msg)
{
    bool first = true;
    open_bracket(w, '{');
    sp_err err = write_fields(w, msg, &first);
    close_bracket(w, '}', first);
    return err;
}

static void write_fraction(struct writer *w, uint32_t nanos)
{
    if (nanos == 0)
        return;
    if (nanos % 1000000 == 0)
        sp_buf_printf(w->out, ".%03u", (unsigned)(nanos / 1000000));
    else if (nanos % 1000 == 0)
        sp_buf_printf(w->out, ".%06u", (unsigned)(nanos / 1000));
    else
        sp_buf_printf(w->out, ".%09u", (unsigned)nanos);
}

static sp_err write_duration(struct writer *w, struct sp_pb_google_duration *d)
{
    bool negative = d->seconds < 0 || d->nanos < 0;
    bool mixed = (d->seconds < 0 && d->nanos > 0) || (d->seconds > 0 && d->nanos < 0);
    bool outside = d->seconds > SP_FORM_DURATION_MAX || d->seconds < -SP_FORM_DURATION_MAX ||
                   d->nanos > 999999999 || d->nanos < -999999999 ||
                   (d->nanos && (d->seconds == SP_FORM_DURATION_MAX || d->seconds == -SP_FORM_DURATION_MAX));
    if (mixed || outside)
        return write_plain(w, d);
    sp_buf_printf(w->out, "\"%s%" PRId64, negative ? "-" : "", d->seconds < 0 ? -d->seconds : d->seconds);
    write_fraction(w, (uint32_t)(d->nanos < 0 ? -d->nanos : d->nanos));
    sp_buf_add_c(w->out, "s\"");
    return SP_OK;
}

/* Days since 1970 to a date; the way back from days_from_civil in text.c. */
static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* months since March */
    *ret_day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static sp_err write_timestamp(struct writer *w, struct sp_pb_google_timestamp *t)
{
    if (t->seconds < SP_FORM_TIMESTAMP_MIN || t->seconds > SP_FORM_TIMESTAMP_MAX || t->nanos < 0 ||
        t->nanos > 999999999)
        return write_plain(w, t);
    int64_t days = t->seconds / 86400, second = t->seconds % 86400, year;
    unsigned month, day;
    if (second < 0) {
        second += 86400;
        days--;
    }
    civil_from_days(days, &year, &month, &day);
    sp_buf_printf(w->out, "\"%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month, day, (int)(second / 3600),
                  (int)(second / 60 % 60), (int)(second % 60));
    write_fraction(w, (uint32_t)t->nanos);
    sp_buf_add_c(w->out, "Z\"");
    return SP_OK;
}

static sp_err write_free(struct writer *w, struct sp_pb_google_value *value)
{
    const struct sp_form_msg *type = value->head.type;
    const struct sp_form_field *f = sp_form_field(type, value->kind_case);
    if (!f) {
        sp_buf_add_c(w->out, "null");
        return SP_OK;
    }
    return write_value(w, f, sp_form_at(value, f, 0));
}

static sp_err write_any(struct writer *w, struct sp_pb_google_any *any)
{
    bool first = true;
    void *inner = NULL;
    sp_err err = any->type_url.len || any->message ? sp_form_any_get(w->scratch, any, &inner) : SP_E_MISSING;
    if (err == SP_E_NOMEM)
        return err;
    open_bracket(w, '{');
    if (any->type_url.len) {
        next_item(w, &first);
        write_key(w, SP_STR("@type"));
        sp_buf_add_json(w->out, any->type_url);
    }
    bool plain = !err && ((struct sp_form_head *)inner)->type->special == SP_FORM_PLAIN;
    bool opaque = err && any->value.len == 0;
    sp_err failed = SP_OK;
    if (plain) {
        failed = write_fields(w, inner, &first);
    } else if (!opaque) {
        next_item(w, &first);
        write_key(w, SP_STR("value"));
        if (err)
            write_base64(w, any->value);
        else
            failed = write_message(w, inner);
    }
    close_bracket(w, '}', first);
    return failed;
}

static sp_err write_special(struct writer *w, void *msg)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    switch ((enum sp_form_special)type->special) {
    case SP_FORM_ANY: return write_any(w, msg);
    case SP_FORM_DURATION: return write_duration(w, msg);
    case SP_FORM_TIMESTAMP: return write_timestamp(w, msg);
    case SP_FORM_STRUCT: return write_map(w, &type->fields[0], msg);
    case SP_FORM_LIST_VALUE: return write_list(w, &type->fields[0], msg);
    case SP_FORM_VALUE: return write_free(w, msg);
    case SP_FORM_WRAPPER:
        write_scalar(w, &type->fields[0], (char *)msg + type->fields[0].offset);
        return SP_OK;
    case SP_FORM_PLAIN:
    case SP_FORM_REFUSED:
    case SP_FORM_MAP_ENTRY: break;
    }
    return write_plain(w, msg);
}

static sp_err write_message(struct writer *w, void *msg)
{
    if (w->depth >= WRITE_DEPTH_MAX)
        return SP_E_LIMIT;
    w->depth++;
    sp_err err = write_special(w, msg);
    w->depth--;
    return err;
}

sp_err sp_form_write_json(struct sp_arena *scratch, void *msg, uint32_t flags, struct sp_buf *out)
{
    struct writer w = { .scratch = scratch, .out = out, .flags = flags };
    sp_err err = write_message(&w, msg);
    if (err)
        return err;
    return out->failed ? SP_E_NOMEM : SP_OK;
}
