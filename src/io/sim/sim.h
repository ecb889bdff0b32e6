/* sim: a false world with the same face: many loops on one thread, virtual time, sockets between them,
 * and trouble by seed: short reads and writes, delays, resets, stalls, partitions, refused connects.
 *
 * The same seed gives the same run, so a failure replays from the number that it printed. */
#ifndef SP_IO_SIM_SIM_H
#define SP_IO_SIM_SIM_H

#include "base/addr.h"
#include "io/loop.h"

struct sp_sim;

struct sp_sim_faults { /* permille for each operation */
    uint32_t short_read, short_write, reset, refuse, stall;
    sp_ns delay_min, delay_max; /* of each delivery */
    uint32_t window_bytes;      /* of a connection; 0 = 64 KiB */
};

struct sp_sim *sp_sim_new(uint64_t seed);
void sp_sim_free(struct sp_sim *sim); /* asserts that nothing leaked: socks, timers, slabs */
void sp_sim_set_faults(struct sp_sim *sim, const struct sp_sim_faults *faults);

/* A machine with one loop; `ip` is its address ("10.0.0.1"); it reaches its own 127.0.0.1 too. */
struct sp_loop *sp_sim_host(struct sp_sim *sim, const char *ip);
/* Cut (or heal) what passes between two hosts: bytes wait, connects time out. */
void sp_sim_partition(struct sp_sim *sim, struct sp_loop *a, struct sp_loop *b, bool cut);
/* Reset every connection of the host, as a crash would. */
void sp_sim_crash(struct sp_sim *sim, struct sp_loop *host);
void sp_sim_name(struct sp_sim *sim, const char *name, const char *ip); /* for dns */

/* Run until nothing is left to do or `until` (virtual) is reached; returns the virtual time. */
sp_ns sp_sim_run(struct sp_sim *sim, sp_ns until);
/* One step of one loop; false when nothing is left to do. */
bool sp_sim_step(struct sp_sim *sim);
/* A digest over everything that happened: equal seeds must give equal digests. */
uint64_t sp_sim_digest(const struct sp_sim *sim);

#endif
