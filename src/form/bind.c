/* The binder: a tree and a message's table become a typed value.
 *
 * One walk over the tree, the table beside it. Whatever does not fit is said at its place and the walk goes
 * on with the next field, so that a file's slips come out together. What proto3's JSON mapping allows is
 * taken: original and camel-case names, numbers as strings, enum values by name or number, null for absent.
 *
 *     node            field                     becomes
 *     MAP             message                   its fields, one by one
 *     LIST            repeated                  items
 *     MAP             map                       entries
 *     scalar          scalar, enum, wrapper,    bind_scalar.c
 *                     Duration, Timestamp
 *     MAP "@type"     Any                       the message of that type, from the rest of the map
 *     anything        Value, Struct, ListValue  itself
 *
 * What Envoy knows and we refuse is refused here, by name, without looking inside: the person who wrote it
 * did nothing wrong, and a list of errors about its inner fields would only hide that. */
#include "form/bind_impl.h"
#include "form/pb.h"

static sp_err bind_message(struct sp_form_bind *b, struct sp_form_node *node, void *msg);

static void fault_unknown(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_msg *type)
{
    const char *names[256] = { NULL };
    size_t n = 0;
    if (b->doc->errors_len >= SP_FORM_ERRORS_MAX) { /* nobody would read the suggestion */
        b->doc->errors_dropped++;
        return;
    }
    for (uint32_t i = 0; i < type->fields_len && n < SP_COUNTOF(names); i++)
        names[n++] = type->fields[i].name;
    const char *near = sp_form_did_you_mean(node->key, names, n);
    sp_form_fault_key(b->doc, SP_E_INVALID, node, "unknown field of %s%s%s%s", type->name,
                      near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static void fault_refused(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f)
{
    sp_form_fault_key(b->doc, SP_E_UNSUPPORTED, node, "is known to Envoy but not supported%s%s",
                      f->hint ? ": " : "", f->hint ? f->hint : "");
}

static sp_err wrong_kind(struct sp_form_bind *b, struct sp_form_node *node, const char *wanted)
{
    sp_form_fault_node(b->doc, SP_E_INVALID, node, "should be %s, not %s", wanted,
                       sp_form_node_word((enum sp_form_node_kind)node->kind));
    return SP_OK;
}

sp_err sp_form_bind_value(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                          void *place)
{
    if (f->kind != SP_FORM_MESSAGE)
        return sp_form_bind_scalar(b, node, f, place);
    void *msg = sp_form_new(b->doc->arena, f->msg);
    if (!msg)
        return SP_E_NOMEM;
    *(void **)place = msg;
    return bind_message(b, node, msg);
}

static sp_err bind_list(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                        void *msg)
{
    if (node->kind != SP_NODE_LIST)
        return wrong_kind(b, node, "a list");
    for (struct sp_form_node *item = node->first; item; item = item->next) {
        bool any_value = f->kind == SP_FORM_MESSAGE && f->msg->special == SP_FORM_VALUE;
        if (item->kind == SP_NODE_NULL && !any_value) {
            sp_form_fault_node(b->doc, SP_E_INVALID, item, "null cannot be an item of this list");
            continue;
        }
        void *place = sp_form_add(b->doc->arena, msg, f);
        sp_err err = place ? sp_form_bind_value(b, item, f, place) : SP_E_NOMEM;
        if (err)
            return err;
    }
    return SP_OK;
}

static sp_err bind_map(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                       void *msg)
{
    if (node->kind != SP_NODE_MAP)
        return wrong_kind(b, node, "a map");
    const struct sp_form_field *key = sp_form_field(f->msg, 1), *value = sp_form_field(f->msg, 2);
    for (struct sp_form_node *child = node->first; child; child = child->next) {
        bool any_value = value->kind == SP_FORM_MESSAGE && value->msg->special == SP_FORM_VALUE;
        if (child->kind == SP_NODE_NULL && !any_value) {
            sp_form_fault_node(b->doc, SP_E_INVALID, child, "null cannot be a value of this map");
            continue;
        }
        void *entry = sp_form_new(b->doc->arena, f->msg), **place = sp_form_add(b->doc->arena, msg, f);
        if (!entry || !place)
            return SP_E_NOMEM;
        *place = entry;
        sp_err err = sp_form_bind_key(b, child, key, (char *)entry + key->offset);
        if (!err)
            err = sp_form_bind_value(b, child, value, (char *)entry + value->offset);
        if (err)
            return err;
    }
    return SP_OK;
}

static sp_err bind_known_field(struct sp_form_bind *b, struct sp_form_node *node,
                               const struct sp_form_field *f, void *msg)
{
    if (f->flags & SP_FORM_F_MAP)
        return bind_map(b, node, f, msg);
    if (f->flags & SP_FORM_F_REPEATED)
        return bind_list(b, node, f, msg);
    if (f->flags & SP_FORM_F_ONEOF) {
        const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
        uint32_t other = *(uint32_t *)((char *)msg + f->side_offset);
        if (other) {
            sp_form_fault_key(b->doc, SP_E_INVALID, node,
                              "cannot stand beside %s: one of the two must go (%s)",
                              sp_form_field(type, other)->name, type->oneofs[f->oneof].name);
            return SP_OK;
        }
    }
    void *place = sp_form_add(b->doc->arena, msg, f);
    return place ? sp_form_bind_value(b, node, f, place) : SP_E_NOMEM;
}

/* null means absent, save where null is a value of its own. */
static bool null_is_value(const struct sp_form_field *f)
{
    if (f->flags & SP_FORM_F_REPEATED)
        return false;
    if (f->kind == SP_FORM_MESSAGE)
        return f->msg->special == SP_FORM_VALUE;
    return f->kind == SP_FORM_ENUM && sp_str_eq(sp_str_c(f->en->name), SP_STR("google.protobuf.NullValue"));
}

static sp_err bind_field(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                         void *msg)
{
    bool refused = !f->works || (f->kind == SP_FORM_MESSAGE && f->msg->special == SP_FORM_REFUSED);
    node->number = f->number;
    if (node->kind == SP_NODE_NULL && !null_is_value(f))
        return SP_OK;
    if (refused && !(b->flags & SP_FORM_TAKE_REFUSED)) {
        fault_refused(b, node, f);
        return SP_OK;
    }
    return bind_known_field(b, node, f, msg);
}

/* Two spellings of one name are one field that stands twice. */
static bool seen_before(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_node *map,
                        const struct sp_form_field *f)
{
    const struct sp_form_node *first = sp_form_node_of_field(map, f->number);
    if (!first)
        return false;
    if (!node->bad) /* the tree has not said it already */
        sp_form_fault_key(b->doc, SP_E_INVALID, node, "stands twice; first in line %u as %.*s",
                          (unsigned)first->key_line, SP_STR_ARG(first->key));
    return true;
}

sp_err sp_form_bind_fields(struct sp_form_bind *b, struct sp_form_node *node, void *msg, bool skip_type)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    if (node->kind != SP_NODE_MAP)
        return wrong_kind(b, node, "a map");
    for (struct sp_form_node *child = node->first; child; child = child->next) {
        if (skip_type && sp_str_eq(child->key, SP_STR("@type")))
            continue;
        const struct sp_form_field *f = sp_form_field_by_name(type, child->key);
        if (!f) {
            if (!child->bad)
                fault_unknown(b, child, type);
            continue;
        }
        if (seen_before(b, child, node, f))
            continue;
        sp_err err = bind_field(b, child, f, msg);
        if (err)
            return err;
    }
    return SP_OK;
}

static void fault_type(struct sp_form_bind *b, struct sp_form_node *node, sp_str name,
                       const struct sp_form_set *set)
{
    if (sp_form_is_known(set, name)) {
        sp_form_fault_node(b->doc, SP_E_UNSUPPORTED, node, "%.*s is known to Envoy but not supported",
                           SP_STR_ARG(name));
        return;
    }
    const char **names = sp_arena_array(b->doc->arena, set->msgs_len, sizeof(*names));
    const char *near = NULL;
    if (names) {
        for (uint32_t i = 0; i < set->msgs_len; i++)
            names[i] = set->msgs[i]->name;
        near = sp_form_did_you_mean(name, names, set->msgs_len);
    }
    sp_form_fault_node(b->doc, SP_E_INVALID, node, "unknown type %.*s%s%s%s",
                       SP_STR_ARG(sp_str_upto(name, 200)), near ? "; did you mean " : "", near ? near : "",
                       near ? "?" : "");
}

static struct sp_form_node *child_named(struct sp_form_node *node, sp_str key)
{
    for (struct sp_form_node *child = node->first; child; child = child->next)
        if (sp_str_eq(child->key, key))
            return child;
    return NULL;
}

/* Types with a JSON form of their own stand under "value". */
static sp_err bind_any_value(struct sp_form_bind *b, struct sp_form_node *node, void *msg)
{
    struct sp_form_node *value = child_named(node, SP_STR("value"));
    for (struct sp_form_node *child = node->first; child; child = child->next)
        if (child != value && !sp_str_eq(child->key, SP_STR("@type")))
            sp_form_fault_key(b->doc, SP_E_INVALID, child, "only value may stand beside @type for this type");
    if (!value) {
        sp_form_fault_node(b->doc, SP_E_INVALID, node, "value is missing beside @type");
        return SP_OK;
    }
    return bind_message(b, value, msg);
}

static sp_err bind_any(struct sp_form_bind *b, struct sp_form_node *node, struct sp_pb_google_any *any)
{
    const struct sp_form_set *set = any->head.type->set;
    if (node->kind != SP_NODE_MAP)
        return wrong_kind(b, node, "a map with \"@type\"");
    struct sp_form_node *type_node = child_named(node, SP_STR("@type"));
    if (!type_node) {
        sp_form_fault_node(b->doc, SP_E_INVALID, node,
                           "\"@type\" is missing: it says what kind of map this is");
        return SP_OK;
    }
    if (type_node->kind != SP_NODE_STRING && type_node->kind != SP_NODE_WORD)
        return wrong_kind(b, type_node, "a string");
    sp_str name = sp_form_type_name(type_node->text);
    if (name.len == type_node->text.len) {
        sp_form_fault_node(b->doc, SP_E_INVALID, type_node, "a type is written type.googleapis.com/<name>");
        return SP_OK;
    }
    const struct sp_form_msg *type = sp_form_find(set, name);
    if (!type) {
        fault_type(b, type_node, name, set);
        return SP_OK;
    }
    void *msg = sp_form_new(b->doc->arena, type);
    if (!msg)
        return SP_E_NOMEM;
    any->type_url = type_node->text;
    any->message = msg;
    if (type->special != SP_FORM_PLAIN)
        return bind_any_value(b, node, msg);
    sp_err err = sp_form_mark_put(b->doc, msg, node);
    return err ? err : sp_form_bind_fields(b, node, msg, true);
}

/* A Value holds whatever stands there. Words of YAML become what Envoy's reader makes of them: whole numbers
 * that fit 32 bits are numbers, everything else is a string. */
static sp_err bind_free(struct sp_form_bind *b, struct sp_form_node *node, struct sp_pb_google_value *value)
{
    const struct sp_form_msg *type = value->head.type;
    int64_t whole;
    switch ((enum sp_form_node_kind)node->kind) {
    case SP_NODE_NULL: value->kind_case = SP_FIELD_GOOGLE_VALUE_NULL_VALUE; return SP_OK;
    case SP_NODE_BOOL:
        value->kind_case = SP_FIELD_GOOGLE_VALUE_BOOL_VALUE;
        value->bool_value = node->text.ptr[0] == 't';
        return SP_OK;
    case SP_NODE_NUMBER:
        value->kind_case = SP_FIELD_GOOGLE_VALUE_NUMBER_VALUE;
        return sp_form_bind_scalar(b, node, sp_form_field(type, SP_FIELD_GOOGLE_VALUE_NUMBER_VALUE),
                                   &value->number_value);
    case SP_NODE_WORD:
        if (!sp_form_text_to_i64(node->text, &whole) && whole >= INT32_MIN && whole <= INT32_MAX) {
            value->kind_case = SP_FIELD_GOOGLE_VALUE_NUMBER_VALUE;
            value->number_value = (double)whole;
            return SP_OK;
        }
        break;
    case SP_NODE_STRING: break;
    case SP_NODE_LIST:
        value->kind_case = SP_FIELD_GOOGLE_VALUE_LIST_VALUE;
        return sp_form_bind_value(b, node, sp_form_field(type, SP_FIELD_GOOGLE_VALUE_LIST_VALUE),
                                  &value->list_value);
    case SP_NODE_MAP:
        value->kind_case = SP_FIELD_GOOGLE_VALUE_STRUCT_VALUE;
        return sp_form_bind_value(b, node, sp_form_field(type, SP_FIELD_GOOGLE_VALUE_STRUCT_VALUE),
                                  &value->struct_value);
    }
    value->kind_case = SP_FIELD_GOOGLE_VALUE_STRING_VALUE;
    value->string_value = node->text;
    return SP_OK;
}

static sp_err bind_message(struct sp_form_bind *b, struct sp_form_node *node, void *msg)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    sp_err err = sp_form_mark_put(b->doc, msg, node);
    if (err)
        return err;
    switch ((enum sp_form_special)type->special) {
    case SP_FORM_ANY: return bind_any(b, node, msg);
    case SP_FORM_DURATION:
    case SP_FORM_TIMESTAMP: return sp_form_bind_time(b, node, msg);
    case SP_FORM_STRUCT: return bind_map(b, node, &type->fields[0], msg);
    case SP_FORM_LIST_VALUE: return bind_list(b, node, &type->fields[0], msg);
    case SP_FORM_VALUE: return bind_free(b, node, msg);
    case SP_FORM_WRAPPER:
        return sp_form_bind_scalar(b, node, &type->fields[0], (char *)msg + type->fields[0].offset);
    case SP_FORM_PLAIN: return sp_form_bind_fields(b, node, msg, false);
    case SP_FORM_REFUSED: /* taken because the caller takes what is refused; nothing of it can be kept */
        return SP_OK;
    case SP_FORM_MAP_ENTRY: break;
    }
    SP_ASSERT(!"entries are bound by their map");
    return SP_E_INVALID;
}

sp_err sp_form_bind(struct sp_form_doc *doc, const struct sp_form_msg *type, uint32_t flags, void **ret_msg)
{
    struct sp_form_bind b = { .doc = doc, .flags = flags };
    void *msg = sp_form_new(doc->arena, type);
    if (!msg)
        return SP_E_NOMEM;
    sp_err err = bind_message(&b, doc->root, msg);
    if (err)
        return err;
    *ret_msg = msg;
    return SP_OK;
}
