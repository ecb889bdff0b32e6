/* accesslog: lines for people and machines, one for each finished call whose chain has a log.
 *
 * Lives on the main loop. Workers put records into their rings and never wait; here the rings are emptied,
 * records become lines by formats that were read once, and lines go to their files in batches. When a ring
 * was full or a file does not take its bytes, records are lost and counted.
 *
 *   log = sp_accesslog_new(loop, hostname)
 *   sp_accesslog_apply(log, snapshot)            before the workers get it; again for each later snapshot
 *   sp_accesslog_add_ring(log, &worker->reports) for each worker
 *   sp_accesslog_wake(log)                       by mail, when a worker's ring is a quarter full
 *   sp_accesslog_reopen(log)                     SIGHUP
 *   sp_accesslog_free(log)                       threads have ended, workers are there: writes the rest */
#ifndef SP_OBSERVE_ACCESSLOG_H
#define SP_OBSERVE_ACCESSLOG_H

#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

struct sp_accesslog;
struct sp_ring;
struct sp_snapshot;

struct sp_accesslog_view {
    uint64_t lines;      /* that a file took whole */
    uint64_t lost;       /* others: rings that were full, files that did not take it, chains long gone */
    uint64_t lost_bytes; /* that files did not take */
    uint64_t errors;     /* times that a file could not be opened, at first or anew */
    uint64_t waiting;    /* records in the rings: no lines yet */
};

/* `hostname` is copied. NULL when memory is out. */
struct sp_accesslog *sp_accesslog_new(struct sp_loop *loop, sp_str hostname);
void sp_accesslog_free(struct sp_accesslog *log);
/* Keeps a reference to the snapshot and the one before it. On failure *ret_why says which file or format,
 * in memory of the log, and what was there before goes on. */
sp_err sp_accesslog_apply(struct sp_accesslog *log, struct sp_snapshot *snapshot,
                          const char **ret_why) SP_MUST_USE;
sp_err sp_accesslog_add_ring(struct sp_accesslog *log, struct sp_ring *ring) SP_MUST_USE;
/* Empty the rings now. */
void sp_accesslog_wake(struct sp_accesslog *log);
/* Every file by its name. One that cannot be opened goes on as it is; `on_error` (may be NULL) is told. */
void sp_accesslog_reopen(struct sp_accesslog *log, void (*on_error)(void *arg, const char *path, sp_err err),
                         void *arg);
/* `fn` hears when lines of a file begin to be lost (`err` says why), and when they are written again (`err`
 * is 0, `lost` lines are missing); at most once a minute for each file, whatever comes and goes meanwhile. */
void sp_accesslog_watch(struct sp_accesslog *log,
                        void (*fn)(void *arg, const char *path, sp_err err, uint64_t lost), void *arg);
/* Everything that workers have put into their rings is in the files, or counted as lost. */
void sp_accesslog_finish(struct sp_accesslog *log);
/* Off: records are taken and dropped. */
void sp_accesslog_set(struct sp_accesslog *log, bool on, uint32_t flush_ms);
struct sp_accesslog_view sp_accesslog_view(const struct sp_accesslog *log);
/* Figures of a predecessor: added to ours. */
void sp_accesslog_count(struct sp_accesslog *log, const struct sp_accesslog_view *before);

#endif
