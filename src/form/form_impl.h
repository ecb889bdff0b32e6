/* What the files of this room share: the tree of a text, and the steps of a reading. */
#ifndef SP_FORM_FORM_IMPL_H
#define SP_FORM_FORM_IMPL_H

#include "form/form.h"
#include "form/read.h"

enum sp_form_node_kind {
    SP_NODE_NULL,
    SP_NODE_BOOL,   /* text is true or false */
    SP_NODE_NUMBER, /* text is a JSON number */
    SP_NODE_STRING,
    SP_NODE_WORD, /* YAML without quotes, and neither null nor true nor false: the field decides */
    SP_NODE_LIST,
    SP_NODE_MAP,
};

struct sp_form_node {
    struct sp_form_node *parent, *first, *last, *next;
    sp_str text; /* of a scalar */
    sp_str key;  /* in a map */
    uint32_t line, column, key_line, key_column;
    uint32_t index;  /* among its siblings */
    uint32_t len;    /* children */
    uint32_t number; /* of the field that it was bound to, or 0 */
    uint8_t kind;    /* enum sp_form_node_kind */
    bool bad;        /* an error was said about it: do not say a second one */
    bool bare;       /* adds nothing to the path: the fields of a Struct, the value of an Any */
};

/* Message -> node. */
struct sp_form_mark {
    const void *msg;
    struct sp_form_node *node;
};

/* Builds the tree from events. `at` is the open container. */
struct sp_form_tree {
    struct sp_form_doc *doc;
    struct sp_form_node *at;
    sp_str key;
    uint32_t key_line, key_column;
    uint32_t depth;
    bool has_key;
};

const char *sp_form_node_word(enum sp_form_node_kind kind);

sp_err sp_form_tree_key(struct sp_form_tree *t, sp_str key, uint32_t line, uint32_t column);
sp_err sp_form_tree_scalar(struct sp_form_tree *t, enum sp_form_node_kind kind, sp_str text, uint32_t line,
                           uint32_t column, struct sp_form_node **ret_node);
sp_err sp_form_tree_open(struct sp_form_tree *t, enum sp_form_node_kind kind, uint32_t line, uint32_t column,
                         struct sp_form_node **ret_node);
sp_err sp_form_tree_close(struct sp_form_tree *t);
/* A copy of `node` with all below it, as the next value. */
sp_err sp_form_tree_copy(struct sp_form_tree *t, const struct sp_form_node *node, uint32_t line,
                         uint32_t column);

/* The tree of a text; NULL root in the document when the grammar is broken, which is then an error of it. */
sp_err sp_form_parse_yaml(struct sp_form_doc *doc, sp_str text);
sp_err sp_form_parse_json(struct sp_form_doc *doc, sp_str text);

/* A new message of `type` from the document's tree. Errors go to the document and do not stop it. */
sp_err sp_form_bind(struct sp_form_doc *doc, const struct sp_form_msg *type, uint32_t flags, void **ret_msg);

/* Errors by place. */
void sp_form_fault(struct sp_form_doc *doc, sp_err code, uint32_t line, uint32_t column, const char *path,
                   const char *fmt, ...) SP_PRINTF(6, 7);
/* At a value; at its key. The node is marked bad. */
void sp_form_fault_node(struct sp_form_doc *doc, sp_err code, struct sp_form_node *node, const char *fmt, ...)
    SP_PRINTF(4, 5);
void sp_form_fault_key(struct sp_form_doc *doc, sp_err code, struct sp_form_node *node, const char *fmt, ...)
    SP_PRINTF(4, 5);

sp_err sp_form_mark_put(struct sp_form_doc *doc, const void *msg, struct sp_form_node *node);
struct sp_form_node *sp_form_mark_get(const struct sp_form_doc *doc, const void *msg);
/* The child that was bound to field `number`. */
struct sp_form_node *sp_form_node_of_field(const struct sp_form_node *node, uint32_t number);
/* NULL when the arena is out. */
const char *sp_form_node_path(struct sp_form_doc *doc, const struct sp_form_node *node);

/* Text to values, as the JSON mapping has it. */
sp_err sp_form_text_to_i64(sp_str text, int64_t *ret_value) SP_MUST_USE;
sp_err sp_form_text_to_u64(sp_str text, uint64_t *ret_value) SP_MUST_USE;
sp_err sp_form_text_to_double(sp_str text, double *ret_value) SP_MUST_USE;
bool sp_form_text_is_number(sp_str text);
sp_err sp_form_text_to_duration(sp_str text, int64_t *ret_seconds, int32_t *ret_nanos) SP_MUST_USE;
sp_err sp_form_text_to_timestamp(sp_str text, int64_t *ret_seconds, int32_t *ret_nanos) SP_MUST_USE;
sp_err sp_form_text_to_bytes(struct sp_arena *a, sp_str text, sp_str *ret_bytes) SP_MUST_USE;

/* Bounds of google.protobuf.Duration and Timestamp, in seconds. */
#define SP_FORM_DURATION_MAX INT64_C(315576000000)
#define SP_FORM_TIMESTAMP_MIN INT64_C(-62135596800)
#define SP_FORM_TIMESTAMP_MAX INT64_C(253402300799)

#endif
