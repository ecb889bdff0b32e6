/* walk: visit every set field of a typed value, outer before inner.
 *
 * What xDS calls ignored, what a dump must hide, what a report counts: each is one visitor. Where a field
 * stood is sp_form_where_item(doc, msg, f->number, i) of form/read.h. */
#ifndef SP_FORM_WALK_H
#define SP_FORM_WALK_H

#include "form/form.h"

struct sp_form_visitor {
    void *arg;
    /* Item i of field f of msg (0 for a singular one). False: do not go into it. NULL: go everywhere. */
    bool (*on_field)(void *arg, void *msg, const struct sp_form_field *f, uint32_t i);
    /* msg holds fields that the schema does not know (head.unknown). May be NULL. */
    void (*on_unknown)(void *arg, void *msg);
};

/* Goes into an Any only when its message has been decoded (sp_form_unpack). Entries of maps are visited as
 * items of the map's field, then their value's fields. */
void sp_form_walk(void *msg, const struct sp_form_visitor *visitor);

/* Decode every Any inside whose type the schema has and does not refuse; others stay bytes. SP_E_INVALID: the
 * bytes of one break the grammar; SP_E_LIMIT: nested deeper than SP_FORM_DEPTH_MAX in all. */
sp_err sp_form_unpack(struct sp_arena *a, void *msg) SP_MUST_USE;

#endif
