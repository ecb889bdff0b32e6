/* What the three programs of the rig share: sockets on loopback, big-endian numbers, memory or the end.
 * Nothing here is part of Sampan; the rig stands outside the house and links no room, so that what it
 * measures cannot change what it measures with. All faults are fatal: a broken rig must not give a figure. */
#ifndef SP_BENCH_MESH_RIG_H
#define SP_BENCH_MESH_RIG_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* Say what failed, with errno's words, and end with status 1. */
_Noreturn void sp_rig_die(const char *what);

/* Raise the limit on open descriptors as far as allowed and let writes to dead peers be errors. */
void sp_rig_prepare(void);

/* A number of an option between min and max; anything else ends the program with status 2. */
long sp_rig_number(const char *option, const char *text, long min, long max);

/* Zeroed memory, or the end. */
void *sp_rig_alloc(size_t bytes);

/* `old` grown to `bytes`, or the end. */
void *sp_rig_grow(void *old, size_t bytes);

/* The loopback address with this port. */
struct sockaddr_in sp_rig_loopback(uint16_t port);

/* A listening non-blocking socket on loopback. */
int sp_rig_listen(uint16_t port);

/* A non-blocking socket that is connected or connecting to `to`; -1 when that failed at once. */
int sp_rig_dial(const struct sockaddr_in *to);

/* Switch off Nagle's delay: all programs answer small messages at once. */
void sp_rig_nodelay(int fd);

/* Make epoll report `want` for fd with `mark`; `armed` is what it reports now, 0 = not added yet.
 * Costs a system call only when the wish has changed. */
void sp_rig_arm(int epoll, int fd, uint32_t *armed, uint32_t want, void *mark);

static inline uint32_t sp_rig_be32(const void *at)
{
    const uint8_t *p = at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t sp_rig_be16(const void *at)
{
    const uint8_t *p = at;
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void sp_rig_put32(void *at, uint32_t v)
{
    uint8_t *p = at;
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void sp_rig_put16(void *at, uint16_t v)
{
    uint8_t *p = at;
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

#endif
