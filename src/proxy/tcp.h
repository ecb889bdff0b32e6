/* tcp: raw relaying, for TcpProxy chains: one connection in, one out, bytes both ways by two pumps. */
#ifndef SP_PROXY_TCP_H
#define SP_PROXY_TCP_H

#include "base/slab.h"
#include "proxy/intake.h"

/* `fd` is taken over; `first`: bytes that the intake has read, their reference goes along. */
void sp_tcp_start(struct sp_chain *chain, int fd, const struct sp_origin *origin, struct sp_view first);

/* Once a second: what has passed goes into the figures. */
void sp_relay_tick(struct sp_worker *worker);
void sp_relay_cut_all(struct sp_worker *worker);

#endif
