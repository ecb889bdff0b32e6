/* YAML: libyaml's events, hung into the tree.
 *
 * libyaml does the scanning (indentation, flow, quotes, escapes, block scalars, UTF-8) and gives events with
 * line and column. This file decides what of YAML a configuration may use:
 *
 *     taken     one document; block and flow style; all scalar styles; anchors and aliases, within
 *               SP_FORM_ALIAS_NODES_MAX; comments; the tags !!str !!int !!float !!bool !!null !!map !!seq
 *     refused   a second document, merge keys (<<), keys that are not scalars, other tags, directives,
 *               an alias inside the value that its own anchor names
 *
 * A scalar without quotes is typed as Envoy's reader does: null and ~ and nothing are null, true and false
 * are booleans, and for all else the field that it stands for decides (SP_NODE_WORD). YAML 1.1's other
 * booleans (yes, no, on, off) are nobody's friends: the binder refuses them where a boolean is wanted and
 * where a string is, and says what to write.
 *
 * An alias becomes a copy of the anchor's value: the binder then needs to know nothing of them, and the limit
 * on copies is the whole defence against bombs. */
#include <yaml.h>

#include "form/form_impl.h"

/* Anchors that one document may define. */
#define ANCHORS_MAX 1000

struct anchor {
    sp_str name;
    struct sp_form_node *node;
    struct anchor *next; /* of yaml.anchors, newest first: a name may be defined again */
};

struct yaml {
    struct sp_form_tree tree;
    struct sp_form_doc *doc;
    struct anchor *anchors;
    uint32_t anchors_len;
    uint32_t documents;
};

static uint32_t line_of(const yaml_mark_t *mark)
{
    return (uint32_t)SP_MIN(mark->line, UINT32_MAX - 1) + 1;
}

static uint32_t column_of(const yaml_mark_t *mark)
{
    return (uint32_t)SP_MIN(mark->column, UINT32_MAX - 1) + 1;
}

/* Says where the tree stands, as the path of an error about what comes next. */
static sp_err refuse(struct yaml *y, const yaml_event_t *event, const char *text)
{
    const char *path = y->tree.at ? sp_form_node_path(y->doc, y->tree.at) : "";
    sp_form_fault(y->doc, SP_E_INVALID, line_of(&event->start_mark), column_of(&event->start_mark), path,
                  "%s", text);
    return SP_E_INVALID;
}

static sp_err anchor_add(struct yaml *y, const yaml_event_t *event, const yaml_char_t *name,
                         struct sp_form_node *node)
{
    if (!name)
        return SP_OK;
    if (++y->anchors_len > ANCHORS_MAX)
        return refuse(y, event, "more than 1000 anchors in one document");
    struct anchor *anchor = SP_ARENA_NEW(y->doc->arena, struct anchor);
    if (!anchor)
        return SP_E_NOMEM;
    anchor->name = sp_str_dup(y->doc->arena, sp_str_c((const char *)name));
    if (!anchor->name.ptr)
        return SP_E_NOMEM;
    anchor->node = node;
    anchor->next = y->anchors;
    y->anchors = anchor;
    return SP_OK;
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
    return tag && sp_str_eq(sp_str_c((const char *)tag), sp_str_c(name));
}

static bool is_null_word(sp_str text)
{
    return text.len == 0 || sp_str_eq(text, SP_STR("~")) || sp_str_eq(text, SP_STR("null")) ||
           sp_str_eq(text, SP_STR("Null")) || sp_str_eq(text, SP_STR("NULL"));
}

static bool is_bool_word(sp_str text)
{
    return sp_str_eq(text, SP_STR("true")) || sp_str_eq(text, SP_STR("false"));
}

static enum sp_form_node_kind scalar_kind(const yaml_event_t *event, sp_str text)
{
    const yaml_char_t *tag = event->data.scalar.tag;
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || tag_is(tag, YAML_STR_TAG))
        return SP_NODE_STRING;
    if (is_null_word(text))
        return SP_NODE_NULL;
    return is_bool_word(text) ? SP_NODE_BOOL : SP_NODE_WORD;
}

static bool scalar_tag_ok(const yaml_char_t *tag)
{
    return !tag || tag_is(tag, "!") || tag_is(tag, YAML_STR_TAG) || tag_is(tag, YAML_INT_TAG) ||
           tag_is(tag, YAML_FLOAT_TAG) || tag_is(tag, YAML_BOOL_TAG) || tag_is(tag, YAML_NULL_TAG);
}

static bool wants_key(const struct yaml *y)
{
    return y->tree.at && y->tree.at->kind == SP_NODE_MAP && !y->tree.has_key;
}

static sp_err on_key(struct yaml *y, const yaml_event_t *event, sp_str text)
{
    if (sp_str_eq(text, SP_STR("<<")) && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return refuse(y, event,
                      "merge keys (<<) are not supported; write the fields out, or alias the whole value");
    if (event->data.scalar.anchor)
        return refuse(y, event, "an anchor on a key is not supported");
    return sp_form_tree_key(&y->tree, text, line_of(&event->start_mark), column_of(&event->start_mark));
}

static sp_err on_scalar(struct yaml *y, const yaml_event_t *event)
{
    sp_str text = sp_str_of(event->data.scalar.value, event->data.scalar.length);
    if (!scalar_tag_ok(event->data.scalar.tag))
        return refuse(y, event, "this tag is not supported");
    if (wants_key(y))
        return on_key(y, event, text);
    struct sp_form_node *node;
    sp_err err = sp_form_tree_scalar(&y->tree, scalar_kind(event, text), text, line_of(&event->start_mark),
                                     column_of(&event->start_mark), &node);
    return err ? err : anchor_add(y, event, event->data.scalar.anchor, node);
}

static sp_err on_open(struct yaml *y, const yaml_event_t *event)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *name = map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    if (tag && !tag_is(tag, map ? YAML_MAP_TAG : YAML_SEQ_TAG))
        return refuse(y, event, "this tag is not supported");
    if (wants_key(y))
        return refuse(y, event, "a key must be a scalar");
    struct sp_form_node *node;
    sp_err err = sp_form_tree_open(&y->tree, map ? SP_NODE_MAP : SP_NODE_LIST, line_of(&event->start_mark),
                                   column_of(&event->start_mark), &node);
    return err ? err : anchor_add(y, event, name, node);
}

static bool is_open(const struct yaml *y, const struct sp_form_node *node)
{
    for (const struct sp_form_node *open = y->tree.at; open; open = open->parent)
        if (open == node)
            return true;
    return false;
}

static sp_err on_alias(struct yaml *y, const yaml_event_t *event)
{
    sp_str name = sp_str_c((const char *)event->data.alias.anchor);
    if (wants_key(y))
        return refuse(y, event, "an alias as a key is not supported");
    for (struct anchor *anchor = y->anchors; anchor; anchor = anchor->next) {
        if (!sp_str_eq(anchor->name, name))
            continue;
        if (is_open(y, anchor->node))
            return refuse(y, event, "the alias stands inside the value that it names");
        return sp_form_tree_copy(&y->tree, anchor->node, line_of(&event->start_mark),
                                 column_of(&event->start_mark));
    }
    return refuse(y, event, "no anchor of this name stands before the alias");
}

static sp_err on_document(struct yaml *y, const yaml_event_t *event)
{
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
        return refuse(y, event, "directives are not supported");
    if (++y->documents > 1)
        return refuse(y, event, "a second document begins here; there must be one");
    return SP_OK;
}

static sp_err on_event(struct yaml *y, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT: return on_document(y, event);
    case YAML_SCALAR_EVENT: return on_scalar(y, event);
    case YAML_ALIAS_EVENT: return on_alias(y, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return on_open(y, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return sp_form_tree_close(&y->tree);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT: break;
    }
    return SP_OK;
}

static sp_err grammar_error(struct yaml *y, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return SP_E_NOMEM;
    const char *path = y->tree.at ? sp_form_node_path(y->doc, y->tree.at) : "";
    const char *context = parser->context ? parser->context : "";
    if (parser->error == YAML_READER_ERROR) {
        /* The reader knows no lines; problem_offset counts bytes. */
        sp_form_fault(y->doc, SP_E_INVALID, line_of(&parser->mark), column_of(&parser->mark), path,
                      "not YAML: %s at byte %zu", parser->problem, parser->problem_offset);
        return SP_E_INVALID;
    }
    sp_form_fault(y->doc, SP_E_INVALID, line_of(&parser->problem_mark), column_of(&parser->problem_mark),
                  path, "not YAML: %s%s%s", parser->problem ? parser->problem : "broken",
                  *context ? ", " : "", context);
    return SP_E_INVALID;
}

static sp_err parse(struct yaml *y, yaml_parser_t *parser)
{
    bool end = false;
    while (!end) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return grammar_error(y, parser);
        end = event.type == YAML_STREAM_END_EVENT;
        sp_err err = on_event(y, &event);
        yaml_event_delete(&event);
        if (err)
            return err;
    }
    return SP_OK;
}

sp_err sp_form_parse_yaml(struct sp_form_doc *doc, sp_str text)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return SP_E_NOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    struct yaml y = { .doc = doc, .tree = { .doc = doc } };
    sp_err err = parse(&y, &parser);
    yaml_parser_delete(&parser);
    if (!err && !doc->root) {
        sp_form_fault(doc, SP_E_INVALID, 1, 1, "", "the document is empty");
        err = SP_E_INVALID;
    }
    return err;
}
