/* The tree of a text: what YAML and JSON have in common once their spelling is gone.
 *
 * Both parsers tell the same events (key, scalar, open, close) and this file hangs nodes together. A node
 * knows its parent and its place among its siblings, so its path needs no storage of its own: it is spelled
 * by walking up when somebody asks, which is when there is an error.
 *
 *     root MAP
 *      +- key "admin"             MAP
 *      |                           +- key "address" ...
 *      +- key "static_resources"  MAP
 *                                  +- key "listeners"  LIST
 *                                                       +- index 0  MAP     static_resources.listeners[0]
 *
 * Two limits are kept here: the depth, and the number of nodes, with a tighter one for the nodes that
 * aliases of YAML add. A bomb (nine levels of nine aliases) is stopped by the latter after 50,000 copies and
 * some megabytes.
 *
 * Keys that stand twice in one map are found when the map closes: pair by pair in a small one, by sorting in
 * a large one, so that a hostile map of a hundred thousand keys costs no quadratic time. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "form/form_impl.h"

/* Pairwise comparison beats sorting up to about here; most maps of a configuration are smaller. */
#define PAIRWISE_MAX 24

const char *sp_form_node_word(enum sp_form_node_kind kind)
{
    switch (kind) {
    case SP_NODE_NULL: return "null";
    case SP_NODE_BOOL: return "true or false";
    case SP_NODE_NUMBER: return "a number";
    case SP_NODE_STRING: return "a string";
    case SP_NODE_WORD: return "a bare word";
    case SP_NODE_LIST: return "a list";
    case SP_NODE_MAP: return "a map";
    }
    SP_ASSERT(!"a kind of node");
    return "";
}

static sp_err node_new(struct sp_form_tree *t, enum sp_form_node_kind kind, uint32_t line, uint32_t column,
                       struct sp_form_node **ret_node)
{
    struct sp_form_doc *doc = t->doc;
    if (doc->nodes >= SP_FORM_NODES_MAX) {
        sp_form_fault(doc, SP_E_LIMIT, line, column, "", "more than %d values in one document",
                      SP_FORM_NODES_MAX);
        return SP_E_LIMIT;
    }
    struct sp_form_node *node = SP_ARENA_NEW(doc->arena, struct sp_form_node);
    if (!node)
        return SP_E_NOMEM;
    doc->nodes++;
    node->kind = (uint8_t)kind;
    node->line = line;
    node->column = column;
    node->parent = t->at;
    if (t->at) {
        node->index = t->at->len++;
        if (t->at->last)
            t->at->last->next = node;
        else
            t->at->first = node;
        t->at->last = node;
        SP_ASSERT(t->has_key == (t->at->kind == SP_NODE_MAP));
        if (t->has_key) {
            node->key = t->key;
            node->key_line = t->key_line;
            node->key_column = t->key_column;
            t->has_key = false;
        }
    } else {
        SP_ASSERT(!doc->root);
        doc->root = node;
    }
    *ret_node = node;
    return SP_OK;
}

sp_err sp_form_tree_key(struct sp_form_tree *t, sp_str key, uint32_t line, uint32_t column)
{
    t->key = sp_str_dup(t->doc->arena, key);
    if (!t->key.ptr)
        return SP_E_NOMEM;
    t->key_line = line;
    t->key_column = column;
    t->has_key = true;
    return SP_OK;
}

sp_err sp_form_tree_scalar(struct sp_form_tree *t, enum sp_form_node_kind kind, sp_str text, uint32_t line,
                           uint32_t column, struct sp_form_node **ret_node)
{
    struct sp_form_node *node;
    sp_err err = node_new(t, kind, line, column, &node);
    if (err)
        return err;
    node->text = sp_str_dup(t->doc->arena, text);
    if (!node->text.ptr)
        return SP_E_NOMEM;
    if (ret_node)
        *ret_node = node;
    return SP_OK;
}

sp_err sp_form_tree_open(struct sp_form_tree *t, enum sp_form_node_kind kind, uint32_t line, uint32_t column,
                         struct sp_form_node **ret_node)
{
    if (t->depth >= SP_FORM_DEPTH_MAX) {
        sp_form_fault(t->doc, SP_E_LIMIT, line, column, "", "nested deeper than %d", SP_FORM_DEPTH_MAX);
        return SP_E_LIMIT;
    }
    struct sp_form_node *node;
    sp_err err = node_new(t, kind, line, column, &node);
    if (err)
        return err;
    t->at = node;
    t->depth++;
    if (ret_node)
        *ret_node = node;
    return SP_OK;
}

static void twice(struct sp_form_doc *doc, const struct sp_form_node *first, struct sp_form_node *second)
{
    sp_form_fault_key(doc, SP_E_INVALID, second, "stands twice; first in line %u", (unsigned)first->key_line);
}

static int compare_keys(const void *left, const void *right)
{
    const struct sp_form_node *a = *(struct sp_form_node *const *)left,
                              *b = *(struct sp_form_node *const *)right;
    int order = sp_str_cmp(a->key, b->key);
    if (order)
        return order;
    return a->index < b->index ? -1 : 1;
}

static sp_err find_twice(struct sp_form_doc *doc, struct sp_form_node *map)
{
    if (map->len <= PAIRWISE_MAX) {
        for (struct sp_form_node *second = map->first; second; second = second->next) {
            for (struct sp_form_node *first = map->first; first != second; first = first->next) {
                if (sp_str_eq(first->key, second->key)) {
                    twice(doc, first, second);
                    break;
                }
            }
        }
        return SP_OK;
    }
    struct sp_form_node **sorted = sp_arena_array(doc->arena, map->len, sizeof(struct sp_form_node *));
    if (!sorted)
        return SP_E_NOMEM;
    size_t n = 0;
    for (struct sp_form_node *child = map->first; child; child = child->next)
        sorted[n++] = child;
    qsort(sorted, n, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < n; i++)
        if (sp_str_eq(sorted[i - 1]->key, sorted[i]->key))
            twice(doc, sorted[i - 1], sorted[i]);
    return SP_OK;
}

sp_err sp_form_tree_close(struct sp_form_tree *t)
{
    struct sp_form_node *closed = t->at;
    SP_ASSERT(closed && t->depth > 0 && !t->has_key);
    t->at = closed->parent;
    t->depth--;
    return closed->kind == SP_NODE_MAP ? find_twice(t->doc, closed) : SP_OK;
}

/* The copy's place is where the alias stands: that is what the reader of an error has to look at. */
sp_err sp_form_tree_copy(struct sp_form_tree *t, const struct sp_form_node *node, uint32_t line,
                         uint32_t column)
{
    if (++t->doc->alias_nodes > SP_FORM_ALIAS_NODES_MAX) {
        sp_form_fault(t->doc, SP_E_LIMIT, line, column, "", "aliases stand for more than %d values",
                      SP_FORM_ALIAS_NODES_MAX);
        return SP_E_LIMIT;
    }
    if (node->kind != SP_NODE_LIST && node->kind != SP_NODE_MAP)
        return sp_form_tree_scalar(t, node->kind, node->text, line, column, NULL);

    sp_err err = sp_form_tree_open(t, node->kind, line, column, NULL);
    for (const struct sp_form_node *child = node->first; child && !err; child = child->next) {
        if (node->kind == SP_NODE_MAP)
            err = sp_form_tree_key(t, child->key, line, column);
        if (!err)
            err = sp_form_tree_copy(t, child, line, column);
    }
    if (err)
        return err;
    t->at = t->at->parent; /* its keys were compared where it was written */
    t->depth--;
    return SP_OK;
}

/* A key that is a name stands behind a dot, any other in brackets and quotes. */
static bool is_name(sp_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return key.len > 0;
}

static void add_step(struct sp_buf *path, const struct sp_form_node *node)
{
    if (node->bare)
        return;
    if (node->parent->kind == SP_NODE_LIST) {
        sp_buf_add_char(path, '[');
        sp_buf_add_u64(path, node->index);
        sp_buf_add_char(path, ']');
    } else if (is_name(node->key)) {
        if (path->len)
            sp_buf_add_char(path, '.');
        sp_buf_add_str(path, node->key);
    } else {
        sp_buf_add_char(path, '[');
        sp_buf_add_json(path, sp_str_upto(node->key, 200));
        sp_buf_add_char(path, ']');
    }
}

const char *sp_form_node_path(struct sp_form_doc *doc, const struct sp_form_node *node)
{
    const struct sp_form_node *steps[2 * SP_FORM_DEPTH_MAX + 2];
    size_t n = 0;
    for (; node && node->parent; node = node->parent) {
        SP_ASSERT(n < SP_COUNTOF(steps));
        steps[n++] = node;
    }
    struct sp_buf path;
    sp_buf_init(&path, 0);
    while (n > 0)
        add_step(&path, steps[--n]);
    char *made = path.failed ? NULL : sp_str_dup_z(doc->arena, sp_buf_str(&path));
    sp_buf_deinit(&path);
    return made;
}
