/* read: a text in YAML or JSON becomes a typed value, and everything that is wrong with it is said at once.
 *
 * A document (sp_form_doc) belongs to its reader and lives in an arena: the tree of the text with lines and
 * columns, which message came from which place, and the errors. It can be asked later where a field stood,
 * so that whoever finds a contradiction (a route to a cluster that does not exist) says it at file, line,
 * path like any other error. When the arena goes, all goes. One thread.
 *
 * What a person wrote is taken strictly: an unknown field, a field that Envoy knows and we do not support, a
 * type or an enum value of that kind, a key that stands twice, a broken rule of the schema are errors. */
#ifndef SP_FORM_READ_H
#define SP_FORM_READ_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "form/form.h"

struct sp_buf;
struct sp_form_node;

/* Errors kept of one document; what comes after is counted. */
#define SP_FORM_ERRORS_MAX 100
/* Values in one document, aliases of YAML counted each time they stand for something. */
#define SP_FORM_NODES_MAX 1000000
/* Values that aliases alone may add: a bomb needs few lines, a configuration few copies. */
#define SP_FORM_ALIAS_NODES_MAX 50000

struct sp_form_error {
    uint32_t line, column; /* from 1; 0 = no place in a text */
    const char *path;      /* static_resources.listeners[0].name; "" = the document */
    const char *text;
    sp_err code; /* SP_E_INVALID, SP_E_UNSUPPORTED (known and refused by name), SP_E_RANGE, ... */
};

struct sp_form_place {
    uint32_t line, column; /* 0 when it came by the wire */
    const char *path;
};

struct sp_form_doc {
    struct sp_arena *arena;
    const char *file; /* as it is shown in front of each error */
    struct sp_form_node *root;
    struct sp_form_error *errors; /* in the order in which they were found */
    uint32_t errors_len, errors_dropped;
    uint32_t nodes, alias_nodes;
    struct sp_form_mark *marks; /* message -> node; open addressing, in the arena */
    uint32_t marks_cap, marks_len;
};

enum {
    SP_FORM_TAKE_REFUSED = 1 << 0, /* take fields, types and enum values that files may not set */
    SP_FORM_NO_RULES = 1 << 1,     /* do not check the schema's rules */
    SP_FORM_GO_ON = 1 << 2,        /* give the value in spite of errors, without what they are about */
};

/* `file` is copied. Nothing needs to be undone. */
sp_err sp_form_doc_init(struct sp_form_doc *doc, struct sp_arena *arena, const char *file) SP_MUST_USE;

/* The typed value, of type `type`. On failure the document has at least one error; SP_E_NOMEM alone may come
 * without. With SP_FORM_GO_ON the value is given besides the error, unless the grammar is broken, for whoever
 * finds what is wrong with its meaning at the same time.
 * `_text` takes JSON when the file's name ends in .json, else YAML. The text may go afterwards. */
sp_err sp_form_read_yaml(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg) SP_MUST_USE;
sp_err sp_form_read_json(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg) SP_MUST_USE;
sp_err sp_form_read_text(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg) SP_MUST_USE;

/* A value that came by the wire takes part in places too: afterwards sp_form_where knows its paths. */
sp_err sp_form_doc_adopt(struct sp_form_doc *doc, void *msg) SP_MUST_USE;

/* Check the schema's rules (sampan.Rule, sampan.needed) in all of `msg`; errors go to the document. Reading
 * a text does it already. SP_E_INVALID when a rule is broken. */
sp_err sp_form_check(struct sp_form_doc *doc, void *msg) SP_MUST_USE;

/* Where field `number` of `msg` stands; where it would stand when it is absent: the place of the message,
 * the path of the field. number 0 = the message itself. `_item` is item i of a list or map. */
struct sp_form_place sp_form_where(struct sp_form_doc *doc, const void *msg, uint32_t number);
struct sp_form_place sp_form_where_item(struct sp_form_doc *doc, const void *msg, uint32_t number,
                                        uint32_t i);

/* Does a text say the field, be it that it says the default? By the wire a plain false is absent. */
bool sp_form_is_said(struct sp_form_doc *doc, const void *msg, uint32_t number);

/* Say what is wrong with a field (0 = with the message), as readers of the meaning do. */
void sp_form_error(struct sp_form_doc *doc, sp_err code, const void *msg, uint32_t number, const char *fmt,
                   ...) SP_PRINTF(5, 6);
void sp_form_error_item(struct sp_form_doc *doc, sp_err code, const void *msg, uint32_t number, uint32_t i,
                        const char *fmt, ...) SP_PRINTF(6, 7);

/* All errors in the order of the text, one a line: "file:line:column: path: text". */
void sp_form_print_errors(const struct sp_form_doc *doc, struct sp_buf *out);

/* The near miss: the candidate that `word` was probably meant to be, or NULL. */
const char *sp_form_did_you_mean(sp_str word, const char *const *candidates, size_t len);

#endif
