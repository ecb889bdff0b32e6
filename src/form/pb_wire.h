/* pb_wire: typed values <-> protobuf's bytes.
 *
 * Reading checks what the grammar asks: wire types, lengths, varints of at most 10 bytes, UTF-8 in strings,
 * balanced groups (skipped), SP_FORM_DEPTH_MAX. Unknown fields are kept, in order, and written back behind
 * the known ones. A message field that occurs twice is merged, a scalar takes the last, lists grow; packed
 * and unpacked are both taken. A known field with a foreign wire type counts as unknown, as elsewhere.
 *
 * Writing is deterministic: fields by number, map entries by key, no field that is absent. The same value
 * gives the same bytes, which is what caches and comparisons stand on. */
#ifndef SP_FORM_PB_WIRE_H
#define SP_FORM_PB_WIRE_H

#include "base/err.h"
#include "base/str.h"
#include "form/form.h"

struct sp_arena;
struct sp_buf;

/* Strings, bytes, Any values and unknown fields of the result are views into `bytes`: keep them as long.
 * SP_E_INVALID: the grammar; SP_E_LIMIT: depth or size; SP_E_NOMEM. */
sp_err sp_form_pb_decode(struct sp_arena *a, const struct sp_form_msg *type, sp_str bytes,
                         void **ret_msg) SP_MUST_USE;

/* Appends. SP_E_LIMIT when nested too deep; SP_E_NOMEM when the buffer failed. An Any that holds a decoded
 * message is written from it. */
sp_err sp_form_pb_encode(const void *msg, struct sp_buf *out) SP_MUST_USE;

/* One field of a message, or the end: for those who look into bytes without a schema.
 * 1 = a field, 0 = the end, negative = broken. */
struct sp_form_wire {
    sp_str rest;
    uint32_t number;
    uint8_t wire;   /* 0 varint, 1 fixed64, 2 length, 5 fixed32, 3 group (its body in `bytes`) */
    uint64_t value; /* of 0, 1, 5 */
    sp_str bytes;   /* of 2 and 3 */
    sp_str whole;   /* key and value together */
};
int sp_form_wire_next(struct sp_form_wire *w);

#endif
