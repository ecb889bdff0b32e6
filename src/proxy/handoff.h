/* handoff: a worker's whole state as records, for its successor in another process.
 *
 * Saving changes nothing: a worker whose loop does not run is read, and goes on if the loop runs again.
 * (Bytes inside a splice pipe are read out of it into the pump's own buffer, where they wait as if they had
 * been copied.) Loading touches no socket: descriptors are adopted, nothing is read, sent or closed until
 * the loop runs.
 *
 * Order of a worker's records: itself, listeners, chains, clusters, endpoints, series, then upstream and
 * downstream lines, intakes, relays, then streams (which name lines by number), then what ties them (who
 * waits for whom). Times are instants of the saver's monotonic clock, with the clock itself in the first
 * record: the loader shifts them when its clock is another one. */
#ifndef SP_PROXY_HANDOFF_H
#define SP_PROXY_HANDOFF_H

#include "base/err.h"
#include "base/record.h"

struct sp_ahead;
struct sp_handoff;
struct sp_listen_fds;
struct sp_process;
struct sp_worker;

/* Kinds 100 to 199. */
extern const struct sp_record_book sp_proxy_records;

/* What the workers share and no worker carries: cluster-wide state of the process. May be empty. */
void sp_process_save(const struct sp_process *process, struct sp_record_writer *writer);
/* The loop must not run. Errors stay in the writer: what the receiver cannot take is refused by name. */
void sp_worker_save(struct sp_worker *worker, struct sp_record_writer *writer);
/* The same, less the lines that were told ahead and have not changed. NULL: none was. */
void sp_worker_save_rest(struct sp_worker *worker, struct sp_record_writer *writer,
                         const struct sp_ahead *ahead);

/* Ahead of all that, while the worker serves: its quiet downstream lines, part by part, as records of their
 * own with descriptors that are still the worker's. On the worker's own thread, between two turns. False:
 * that was the last part. The receiver must know the kind sp_handoff_ahead_kind. NULL: memory is out. */
extern const struct sp_record_kind sp_handoff_ahead_kind;
struct sp_ahead *sp_ahead_new(struct sp_worker *worker);
bool sp_ahead_save(struct sp_ahead *ahead, struct sp_record_writer *writer, uint32_t most_lines);
void sp_ahead_free(struct sp_ahead *ahead); /* NULL is fine */

/* Reading has two passes, since listening sockets are needed before a worker has a configuration.
 * First: the listeners of all workers, by name, with the old worker's number. */
struct sp_handoff_listener {
    sp_str name; /* borrowed from the reader */
    uint32_t worker;
    int fd;
    sp_addr bound;
    bool taken; /* by the caller */
    /* Set by sp_handoff_spread: */
    uint32_t to; /* the new worker */
    bool extra;  /* that has one of this name already: sp_worker_add_door */
    bool placed;
};
/* The array is the caller's (sp_mem_free). */
sp_err sp_handoff_listeners(struct sp_record_reader *reader, struct sp_handoff_listener **ret_listeners,
                            uint32_t *ret_count) SP_MUST_USE;
/* To which of the new workers each goes: old worker k to new worker k mod `workers`; what would be the second
 * there goes to a worker that would have none. The caller applies the configuration with those that are not
 * `extra` (sp_listen_fds.only), then adds the extra ones, and opens what is left by sp_worker_open when it
 * runs. */
void sp_handoff_spread(struct sp_handoff_listener *listeners, uint32_t count, uint32_t workers);
/* Second: each record, in order. `workers` have their configuration (with those sockets); the record that
 * begins old worker k sends what follows to worker k mod count. Kinds of other rooms: SP_E_MISSING, the
 * caller asks the next room. On an error the reader's trouble says what is wrong; the process must end
 * without touching a socket. */
sp_err sp_handoff_begin(struct sp_worker *const *workers, uint32_t count,
                        struct sp_handoff **ret_handoff) SP_MUST_USE;
sp_err sp_handoff_load(struct sp_handoff *handoff, struct sp_record_reader *reader,
                       uint16_t kind) SP_MUST_USE;
/* Records that were told ahead are loaded in the same way and before the others, where the workers have their
 * configuration by then: each of a part, then this. The lines rest until their worker's records confirm them;
 * copies of those that have changed are closed. */
sp_err sp_handoff_end_part(struct sp_handoff *handoff, struct sp_record_reader *reader) SP_MUST_USE;
/* All records have come: check that nothing is missing, arm timers, tie what is left. */
sp_err sp_handoff_end(struct sp_handoff *handoff, struct sp_record_reader *reader) SP_MUST_USE;
void sp_handoff_free(struct sp_handoff *handoff);

/* Forget everything without touching a socket: what the old worker does when the new one has it all, where
 * its process lives on (tests, the simulation). Descriptors are left open for their new owners in the
 * simulation, and are closed where they were duplicated (`close_fds`). */
void sp_worker_leave(struct sp_worker *worker, bool close_fds);

#endif
