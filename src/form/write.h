/* write: a typed value as JSON, in proto3's mapping.
 *
 * Absent fields are left out, 64-bit numbers and bytes are strings, enums names, durations "1.500s", an Any
 * shows its message beside "@type". Map entries come by key, so equal values give equal text. What is read
 * back by sp_form_read_json is the same value, save unknown fields, which JSON cannot hold. */
#ifndef SP_FORM_WRITE_H
#define SP_FORM_WRITE_H

#include "base/err.h"
#include "form/form.h"

struct sp_arena;
struct sp_buf;

enum {
    SP_FORM_CAMEL = 1 << 0,  /* lowerCamelCase instead of the original names */
    SP_FORM_PRETTY = 1 << 1, /* a line for each value, two blanks a level */
};

/* Appends. Any values that are still bytes are decoded into `scratch`; those that cannot be are shown as
 * base64 under "value". SP_E_LIMIT: nested too deep; SP_E_NOMEM. */
sp_err sp_form_write_json(struct sp_arena *scratch, void *msg, uint32_t flags,
                          struct sp_buf *out) SP_MUST_USE;

#endif
