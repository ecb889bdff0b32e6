/* ahead: what a successor can be told while this process serves: the quiet connections of each worker. */
#ifndef SP_CMD_PROXY_AHEAD_H
#define SP_CMD_PROXY_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

struct server;
struct sp_ahead;
struct sp_record_writer;
struct sp_walk_old;

struct ahead;
/* `on_part` is called on the main loop for each part, and with NULL behind the last; false: it has given up,
 * and has called ahead_end. Until then the walk must live: workers read the successor's schema. NULL: memory
 * is out. */
struct ahead *ahead_begin(struct server *server, const struct sp_walk_old *walk,
                          bool (*on_part)(void *arg, const struct sp_record_writer *part), void *arg);
/* Every part has been told. */
bool ahead_is_done(const struct ahead *ahead);
/* What of that worker's was told; NULL: nothing that counts. */
const struct sp_ahead *ahead_of(const struct ahead *ahead, uint32_t worker);
/* Frees both, at once or when the worker that is asked has answered. NULL is fine for either. */
void ahead_end(struct ahead *ahead, struct sp_walk_old *walk);

#endif
