/* handoff: what applications said to the light SDK's door, for a successor: they do not say it twice. */
#ifndef SP_LIGHTSDK_HANDOFF_H
#define SP_LIGHTSDK_HANDOFF_H

#include "base/record.h"

struct sp_lightsdk;

/* Kinds 220 to 239. */
extern const struct sp_record_book sp_lightsdk_records;

void sp_lightsdk_save(const struct sp_lightsdk *sdk, struct sp_record_writer *writer);
/* The current record, and the pairs that follow it. SP_E_MISSING: not of this room; SP_E_INVALID: the
 * reader's trouble says what is wrong. Nobody is told of a change. */
sp_err sp_lightsdk_load(struct sp_lightsdk *sdk, struct sp_record_reader *reader, uint16_t kind) SP_MUST_USE;

#endif
