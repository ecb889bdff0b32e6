/* handoff: what this room carries into a successor: settings that were changed while it ran, and figures of
 * its own. Main thread. */
#ifndef SP_OBSERVE_HANDOFF_H
#define SP_OBSERVE_HANDOFF_H

#include "base/record.h"

struct sp_accesslog;
struct sp_admin;

/* Kinds 240 to 255. */
extern const struct sp_record_book sp_observe_records;

void sp_admin_save(const struct sp_admin *admin, struct sp_record_writer *writer);
void sp_accesslog_save(const struct sp_accesslog *log, struct sp_record_writer *writer);
/* The current record. SP_E_MISSING: not of this room; SP_E_INVALID: the reader's trouble says what is wrong.
 * What was changed at run time holds from here on, over what the command line says. */
sp_err sp_observe_load(struct sp_admin *admin, struct sp_accesslog *log, struct sp_record_reader *reader,
                       uint16_t kind) SP_MUST_USE;

#endif
