/* The schema's rules: what a value must keep to beyond its type.
 *
 * sampan.Rule in proto/ says it beside the field (a port is at most 65535, a virtual host has a domain, a
 * route must do something), so docs, tables and this check have one source. The walk is over the typed
 * value, not over the text: a resource that came by xDS is judged by the same rules, and its errors say the
 * same path, without a line.
 *
 * A field about which something was said already is not judged: "should be a number" and then "must be
 * at least 1" about the same word would be one slip and two sentences.
 *
 * An absent scalar counts as zero, since on the wire the two cannot be told apart; an absent message
 * (wrappers and durations are messages) is only judged by `required`. A oneof's member is judged when it is
 * the chosen one. */
#include <stdio.h>
#include <string.h>

#include "form/form_impl.h"
#include "form/pb.h"

struct check {
    struct sp_form_doc *doc;
    uint32_t found;
};

static struct sp_form_node *node_of(struct check *c, const void *msg, const struct sp_form_field *f)
{
    struct sp_form_node *node = sp_form_mark_get(c->doc, msg);
    return node ? sp_form_node_of_field(node, f->number) : NULL;
}

static bool said_already(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i)
{
    struct sp_form_node *node = node_of(c, msg, f);
    if (!node || node->bad)
        return node != NULL;
    if (!(f->flags & SP_FORM_F_REPEATED))
        return false;
    struct sp_form_node *item = node->first;
    while (item && i-- > 0)
        item = item->next;
    return item && item->bad;
}

static void broken(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i,
                   const char *text)
{
    if (said_already(c, msg, f, i))
        return;
    c->found++;
    sp_form_error_item(c->doc, SP_E_INVALID, msg, f->number, i, "%s", text);
}

static void broken_limit(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i,
                         const char *text, int64_t limit, const char *unit)
{
    if (said_already(c, msg, f, i))
        return;
    c->found++;
    sp_form_error_item(c->doc, SP_E_INVALID, msg, f->number, i, "%s %lld%s", text, (long long)limit, unit);
}

/* Control bytes that end a header, or a C string, before its time. */
static bool is_header_value(sp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\0' || s.ptr[i] == '\r' || s.ptr[i] == '\n')
            return false;
    return true;
}

/* RFC 9110's token, or one with a colon before it: HTTP/2's pseudo-headers, which matchers may name. */
static bool is_header_name(sp_str s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (s.len > 1 && s.ptr[0] == ':')
        s = sp_str_from(s, 1);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(marks, c)))
            return false;
    }
    return true;
}

static void check_text(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i, sp_str s)
{
    const struct sp_form_rule *rule = f->rule;
    if (s.len == 0 && rule->min_len)
        broken(c, msg, f, i, "must not be empty");
    else if (s.len < rule->min_len)
        broken_limit(c, msg, f, i, "must be at least", rule->min_len, " bytes long");
    else if (rule->max_len && s.len > rule->max_len)
        broken_limit(c, msg, f, i, "must be at most", rule->max_len, " bytes long");
    if (rule->header_name && !is_header_name(s))
        broken(c, msg, f, i, "cannot be a header's name");
    if (rule->header_value && !is_header_value(s))
        broken(c, msg, f, i, "cannot be a header's value: it holds a control byte");
}

/* A value as it is compared with min and max; what is too large for that is above every max. */
static bool comparable(const struct sp_form_field *f, const void *place, int64_t *ret_value)
{
    switch ((enum sp_form_kind)f->kind) {
    case SP_FORM_INT32:
    case SP_FORM_SINT32:
    case SP_FORM_SFIXED32:
    case SP_FORM_ENUM: *ret_value = *(const int32_t *)place; return true;
    case SP_FORM_INT64:
    case SP_FORM_SINT64:
    case SP_FORM_SFIXED64: *ret_value = *(const int64_t *)place; return true;
    case SP_FORM_UINT32:
    case SP_FORM_FIXED32: *ret_value = *(const uint32_t *)place; return true;
    case SP_FORM_UINT64:
    case SP_FORM_FIXED64:
        *ret_value = (int64_t)SP_MIN(*(const uint64_t *)place, (uint64_t)INT64_MAX);
        return true;
    case SP_FORM_BOOL:
    case SP_FORM_FLOAT:
    case SP_FORM_DOUBLE:
    case SP_FORM_STRING:
    case SP_FORM_BYTES:
    case SP_FORM_MESSAGE: break;
    }
    return false;
}

/* Nanoseconds; beyond what 64 bits hold, 292 years, the nearest that they do. */
static int64_t duration_ns(const struct sp_pb_google_duration *d)
{
    int64_t ns;
    if (__builtin_mul_overflow(d->seconds, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, d->nanos, &ns))
        return d->seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static void check_range(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i,
                        int64_t value, const char *unit)
{
    if (f->rule->has_min && value < f->rule->min)
        broken_limit(c, msg, f, i, "must be at least", f->rule->min, unit);
    if (f->rule->has_max && value > f->rule->max)
        broken_limit(c, msg, f, i, "must be at most", f->rule->max, unit);
}

/* `f` carries the rule and the place; `of` and `place` are the value, which a wrapper holds inside. */
static void check_value(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i,
                        const struct sp_form_field *of, const void *place)
{
    int64_t value;
    if (of->kind == SP_FORM_STRING || of->kind == SP_FORM_BYTES) {
        check_text(c, msg, f, i, *(const sp_str *)place);
    } else if (of->kind == SP_FORM_MESSAGE) {
        const void *inner = *(void *const *)place;
        if (inner && of->msg->special == SP_FORM_WRAPPER)
            check_value(c, msg, f, i, &of->msg->fields[0], (const char *)inner + of->msg->fields[0].offset);
        else if (inner && of->msg->special == SP_FORM_DURATION)
            check_range(c, msg, f, i, duration_ns(inner), " ns");
    } else if (comparable(of, place, &value)) {
        check_range(c, msg, f, i, value, "");
    }
}

static void check_field(struct check *c, const void *msg, const struct sp_form_field *f)
{
    uint32_t len = sp_form_len(msg, f);
    if (f->flags & SP_FORM_F_REPEATED) {
        if (len < f->rule->min_items)
            broken_limit(c, msg, f, UINT32_MAX, "must have at least", f->rule->min_items, " of them");
        if (f->rule->max_items && len > f->rule->max_items)
            broken_limit(c, msg, f, UINT32_MAX, "must have at most", f->rule->max_items, " of them");
        for (uint32_t i = 0; i < len && !(f->flags & SP_FORM_F_MAP); i++)
            check_value(c, msg, f, i, f, sp_form_at(msg, f, i));
        return;
    }
    if (f->flags & SP_FORM_F_ONEOF && !len)
        return;
    if (f->rule->required && !len)
        broken(c, msg, f, 0, "is missing");
    else
        check_value(c, msg, f, 0, f, sp_form_at(msg, f, 0));
}

/* Something was written for a member and refused or broken: that has been said. */
static bool member_was_tried(struct check *c, const void *msg, const struct sp_form_msg *type, uint32_t oneof)
{
    for (uint32_t i = 0; i < type->fields_len; i++) {
        const struct sp_form_field *f = &type->fields[i];
        struct sp_form_node *node = f->flags & SP_FORM_F_ONEOF && f->oneof == oneof ? node_of(c, msg, f)
                                                                                    : NULL;
        if (node && node->bad)
            return true;
    }
    return false;
}

static void check_oneofs(struct check *c, const void *msg, const struct sp_form_msg *type)
{
    for (uint32_t i = 0; i < type->oneofs_len; i++) {
        const struct sp_form_oneof *oneof = &type->oneofs[i];
        bool chosen = *(const uint32_t *)((const char *)msg + oneof->case_offset) != 0;
        if (!oneof->needed || chosen || member_was_tried(c, msg, type, i))
            continue;
        char list[256];
        size_t at = 0;
        for (uint32_t k = 0; k < type->fields_len && at < sizeof(list); k++)
            if (type->fields[k].flags & SP_FORM_F_ONEOF && type->fields[k].oneof == i &&
                type->fields[k].works)
                at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "",
                                       type->fields[k].name);
        c->found++;
        sp_form_error(c->doc, SP_E_INVALID, msg, 0, "one of these must be set: %s", list);
    }
}

/* What came by the wire may hold numbers of a later schema; a file's were judged when it was read. */
static void check_enum(struct check *c, const void *msg, const struct sp_form_field *f, uint32_t i)
{
    int32_t number = *(const int32_t *)sp_form_at(msg, f, i);
    const struct sp_form_value_name *named = sp_form_enum_value(f->en, number);
    if ((named && !named->refused) || said_already(c, msg, f, i))
        return;
    c->found++;
    if (named)
        sp_form_error_item(c->doc, SP_E_UNSUPPORTED, msg, f->number, i,
                           "%s is known to Envoy but not supported", named->name);
    else
        sp_form_error_item(c->doc, SP_E_INVALID, msg, f->number, i, "%d is no value of %s", (int)number,
                           f->en->name);
}

/* Both parts of a Duration have one sign and keep to bounds; a Timestamp's nanoseconds count forward. */
static void check_time(struct check *c, const void *msg, bool duration)
{
    const struct sp_pb_google_duration *t = msg; /* google.protobuf.Timestamp has the same two fields */
    int64_t min = duration ? -SP_FORM_DURATION_MAX : SP_FORM_TIMESTAMP_MIN;
    int64_t max = duration ? SP_FORM_DURATION_MAX : SP_FORM_TIMESTAMP_MAX;
    bool mixed = (t->seconds > 0 && t->nanos < 0) || (t->seconds < 0 && t->nanos > 0);
    bool in_bounds = t->seconds >= min && t->seconds <= max && t->nanos <= 999999999 &&
                     t->nanos >= (duration ? -999999999 : 0);
    if (in_bounds && !(duration && mixed))
        return;
    c->found++;
    sp_form_error(c->doc, SP_E_RANGE, msg, 0, "is out of bounds");
}

static void check_message(struct check *c, const void *msg)
{
    const struct sp_form_msg *type = ((const struct sp_form_head *)msg)->type;
    if (type->special == SP_FORM_ANY) {
        const void *inner = ((const struct sp_pb_google_any *)msg)->message;
        if (inner)
            check_message(c, inner);
        return;
    }
    if (type->special == SP_FORM_DURATION || type->special == SP_FORM_TIMESTAMP)
        check_time(c, msg, type->special == SP_FORM_DURATION);
    if (type->special != SP_FORM_PLAIN && type->special != SP_FORM_MAP_ENTRY)
        return;
    for (uint32_t i = 0; i < type->fields_len; i++) {
        const struct sp_form_field *f = &type->fields[i];
        if (f->rule)
            check_field(c, msg, f);
        for (uint32_t k = 0; f->kind == SP_FORM_ENUM && f->works && k < sp_form_len(msg, f); k++)
            check_enum(c, msg, f, k);
        for (uint32_t k = 0; f->kind == SP_FORM_MESSAGE && k < sp_form_len(msg, f); k++)
            if (sp_form_msg_at(msg, f, k))
                check_message(c, sp_form_msg_at(msg, f, k));
    }
    check_oneofs(c, msg, type);
}

sp_err sp_form_check(struct sp_form_doc *doc, void *msg)
{
    struct check c = { .doc = doc };
    check_message(&c, msg);
    return c.found ? SP_E_INVALID : SP_OK;
}
