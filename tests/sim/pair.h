/* pair: the mesh that most tests use, a shop that calls a bank, with a configuration drawn from the seed:
 * workers, how connections come in (an address, a path, interception, detection), how the bank is found (by
 * number, by name, by where the caller wanted to go), balancing, limits, short idle times; and what happens
 * to it meanwhile: snapshots that change under way, drains, the end of a process.
 *
 *    10.0.0.1  client apps ──> shop's sidecar ══════> bank's sidecar ──> servers  10.0.0.2 */
#ifndef SP_TESTS_SIM_PAIR_H
#define SP_TESTS_SIM_PAIR_H

#include "sim/trouble.h"

enum { PAIR_SERVERS = 3 };

struct pair {
    struct mesh *mesh;
    enum sp_protocol protocol;
    struct trouble trouble;
    struct mesh_sidecar *shop, *bank;
    uint32_t servers;                    /* how many the bank has */
    const char *addrs[PAIR_SERVERS + 1]; /* where they listen */
    const char *to;                      /* what clients connect to */
    struct sp_loop *client_loop, *server_loop;
    bool intercepted, by_name, by_path, detected, proxied;
    bool limited;             /* calls may be refused, unseen, though nothing broke */
    bool short_lived;         /* connections may end under a call that has not begun */
    bool swaps, drains, dies; /* the bank's process ends in the middle, and another begins */
    uint64_t swap_count;
    sp_ns next_swap, drain_at, die_at;
};

/* Draws everything but what the applications do. `degree` by the seed. */
void pair_open(struct pair *pair, struct mesh *mesh, enum sp_protocol protocol);
/* Runs with whatever befalls until `done`. */
void pair_run(struct pair *pair, sp_ns ns, bool (*done)(void *arg), void *arg);
/* The clients may be hurt by what the degree does; otherwise each call must be good, or refused or cut
 * before any server saw it where the configuration allows that. Checked when the servers have stopped, with
 * both sidecars idle. */
void pair_check(struct pair *pair);

#endif
