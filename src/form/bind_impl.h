/* The binder's two files: bind.c walks messages, bind_scalar.c takes single values. */
#ifndef SP_FORM_BIND_IMPL_H
#define SP_FORM_BIND_IMPL_H

#include "form/form_impl.h"

struct sp_form_bind {
    struct sp_form_doc *doc;
    uint32_t flags; /* SP_FORM_TAKE_REFUSED */
};

/* All of these say what is wrong to the document and return SP_OK; only SP_E_NOMEM ends the walk. */
sp_err sp_form_bind_value(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                          void *place);
sp_err sp_form_bind_fields(struct sp_form_bind *b, struct sp_form_node *node, void *msg, bool skip_type);
sp_err sp_form_bind_scalar(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                           void *place);
/* The key of `node` as a map's key. */
sp_err sp_form_bind_key(struct sp_form_bind *b, struct sp_form_node *node, const struct sp_form_field *f,
                        void *place);
/* Duration and Timestamp. */
sp_err sp_form_bind_time(struct sp_form_bind *b, struct sp_form_node *node, void *msg);

#endif
