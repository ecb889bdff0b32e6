/* What the two directions of protobuf share. */
#ifndef SP_FORM_PB_IMPL_H
#define SP_FORM_PB_IMPL_H

#include "form/form.h"

enum sp_pb_wire {
    SP_PB_VARINT = 0,
    SP_PB_64 = 1,
    SP_PB_BYTES = 2,
    SP_PB_GROUP = 3,
    SP_PB_GROUP_END = 4,
    SP_PB_32 = 5,
};

enum sp_pb_wire sp_form_pb_wire(enum sp_form_kind kind);
/* The order of two map entries by their keys. */
int sp_form_pb_compare_entries(const void *a, const void *b);

#endif
