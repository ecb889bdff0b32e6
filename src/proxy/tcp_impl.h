/* tcp_impl: what tcp.c shares with the files of the hand-over. */
#ifndef SP_PROXY_TCP_IMPL_H
#define SP_PROXY_TCP_IMPL_H

#include "io/pump.h"
#include "io/timer.h"
#include "proxy/tcp.h"
#include "proxy/why.h"

enum { SP_RELAY_TRIED = 4 };

/* wide because a connection of raw bytes has all this and nothing else. */
struct sp_relay {
    struct sp_list link; /* worker->relays */
    struct sp_worker *worker;
    struct sp_chain *chain;
    struct sp_cluster *cluster;
    struct sp_endpoint *endpoint;
    struct sp_sock down, up;
    struct sp_pump to_up, to_down;
    struct sp_origin origin;
    struct sp_view first; /* still to be sent ahead of what the pump brings */
    struct sp_timer timer;
    sp_addr up_local;
    sp_ns started_ns, active_ns, connected_ns;
    uint64_t wall_ns, sent, received;  /* towards the caller; from the caller */
    uint64_t sent_told, received_told; /* of these, in the figures already */
    struct sp_series *series;          /* where it was opened and its bytes go; NULL before */
    uint32_t attempts;
    struct sp_endpoint *tried[SP_RELAY_TRIED]; /* known by their address alone: they may be gone */
    enum sp_why why;
    bool up_open, connected, ended_one, closing;
    bool moved;    /* from another process: sp_relay_go_on in the first turn */
    uint8_t socks; /* whose on_closed is still to come */
    sp_err failure;
};

extern const struct sp_sock_ops sp_relay_down_ops, sp_relay_up_ops;
/* Its callbacks. */
void sp_relay_wire(struct sp_relay *r);
/* What it was about to do when it was moved: connect, or send its first bytes. In a turn of its loop. */
void sp_relay_go_on(struct sp_relay *r);
/* Where its figures go, as long as it has no reason to end. */
struct sp_series *sp_relay_series(struct sp_relay *r);
/* The timer of one that relays. */
void sp_relay_arm(struct sp_relay *r);

#endif
