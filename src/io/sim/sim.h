/* sim: a false world with the same face: many loops on one thread, virtual time, sockets between them,
 * and trouble by seed: short reads and writes, delays, resets, stalls, partitions, refused connects.
 *
 * The same seed gives the same run, so a failure replays from the number that it printed. */
#ifndef SP_IO_SIM_SIM_H
#define SP_IO_SIM_SIM_H

#include "base/addr.h"
#include "io/loop.h"

struct sp_sim;

struct sp_sim_faults {    /* permille for each operation */
    uint32_t short_read;  /* a read gives less than waits; a send arrives in pieces */
    uint32_t short_write; /* a send takes less than fits, perhaps nothing */
    uint32_t reset;       /* of sends: the connection is reset soon after, bytes under way are lost */
    uint32_t refuse;      /* of connects */
    uint32_t stall;       /* of deliveries: this one, and what follows on the connection, comes late */
    uint32_t pause;       /* of turns: the loop stands still after it, as a process does that is starved */
    uint32_t dns_fail;    /* of look-ups */
    sp_ns delay_min, delay_max; /* of each delivery */
    sp_ns stall_max;            /* 0 = 1 s */
    sp_ns pause_max;            /* 0 = 20 ms */
    uint32_t window_bytes;      /* of each direction of a connection; 0 = 64 KiB */
};

/* How often each kind of trouble came, so that a test can show that it did. */
struct sp_sim_counts {
    uint64_t turns, connects, accepts, bytes;
    uint64_t short_reads, short_writes, splits, resets, lost_bytes, refused, stalls, pauses, dns_failed;
    uint64_t held_back;  /* deliveries that a partition kept */
    uint64_t retried;    /* connects that met a full queue or a partition and asked again */
    uint64_t no_file;    /* descriptors that were not to be had */
    uint64_t no_memory;  /* turns in which an allocation was to fail */
    uint64_t unread_cut; /* closes with bytes unread, which reset the peer */
};

struct sp_sim *sp_sim_new(uint64_t seed);
void sp_sim_free(struct sp_sim *sim); /* asserts that nothing leaked: socks, timers, slabs, descriptors */
void sp_sim_set_faults(struct sp_sim *sim, const struct sp_sim_faults *faults);
const struct sp_sim_counts *sp_sim_counts(const struct sp_sim *sim);
/* A line for each thing that happens, without its end; for a person who looks at one seed. */
void sp_sim_set_trace(struct sp_sim *sim, void (*on_line)(void *arg, const char *line), void *arg);

/* A machine with one loop; `ip` is its address ("10.0.0.1"); it reaches its own 127.0.0.1 too. NULL when
 * memory is out or the address is none. The loop is the world's: sp_sim_free ends it, or sp_loop_free does
 * earlier. */
struct sp_loop *sp_sim_host(struct sp_sim *sim, const char *ip);
/* Another loop on the machine of `host`: a second process, or a second worker. */
struct sp_loop *sp_sim_loop(struct sp_sim *sim, struct sp_loop *host);
/* Cut (or heal) what passes between two hosts: bytes wait, connects time out. */
void sp_sim_partition(struct sp_sim *sim, struct sp_loop *a, struct sp_loop *b, bool cut);
/* Reset every connection of the host, as a crash would. Listeners stay: it is up again at once. */
void sp_sim_crash(struct sp_sim *sim, struct sp_loop *host);
/* One more address of a name, for dns. */
sp_err sp_sim_name(struct sp_sim *sim, const char *name, const char *ip) SP_MUST_USE;
/* Most descriptors that the machine of `host` may have open; 0 = any number. */
void sp_sim_limit_files(struct sp_sim *sim, struct sp_loop *host, uint32_t most);
/* In that many permille of the loop's turns one of the first allocations fails: of what runs on it, never of
 * the world's own. */
void sp_sim_fail_memory(struct sp_loop *loop, uint32_t permille);
uint32_t sp_sim_open_files(const struct sp_sim *sim, const struct sp_loop *host);

/* Interception, as `sampan-proxy intercept` asks the kernel for it. out: what `app` connects to anything but
 * loopback arrives on this port of its own machine. in: what comes to the machine of `host` from another one
 * arrives on this port. sp_sock_original_dst tells where it was going. 0 ends it. */
void sp_sim_redirect_out(struct sp_loop *app, uint16_t port);
void sp_sim_redirect_in(struct sp_loop *host, uint16_t port);

/* Run until nothing is left to do or `until` (virtual) is reached; returns the virtual time. */
sp_ns sp_sim_run(struct sp_sim *sim, sp_ns until);
/* One step of one loop; false when nothing is left to do. */
bool sp_sim_step(struct sp_sim *sim);
sp_ns sp_sim_now(const struct sp_sim *sim);
/* A digest over everything that happened: equal seeds must give equal digests. */
uint64_t sp_sim_digest(const struct sp_sim *sim);

#endif
