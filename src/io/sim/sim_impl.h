/* sim_impl: the inside of the simulated world.
 *
 *   sim ── machines ── loops (of sp_sim_loop.link)      what runs
 *    │        └────── files by number                   what a number stands for: an end, or a listener
 *    └─── cxs: both ends of each connection             what bytes pass through
 *    └─── due: a heap of instants                       what will happen */
#ifndef SP_IO_SIM_SIM_IMPL_H
#define SP_IO_SIM_SIM_IMPL_H

#include "base/heap.h"
#include "base/rng.h"
#include "io/loop_impl.h"
#include "io/sim/sim.h"

struct sp_sim_machine;
struct sp_sim_loop;
struct sp_sim_cx;

enum {
    SP_SIM_WINDOW = 64 * 1024,
    SP_SIM_BACKLOG = 4096,
    SP_SIM_PATH_MAX = 108,
    SP_SIM_FIRST_NUMBER =
        1 << 20, /* far from real descriptors: a real close of one of ours fails and does no harm */
};

struct sp_sim_event {
    struct sp_heap_node node; /* in no heap = will not happen */
    void (*on_due)(struct sp_sim_event *event);
};

enum sp_sim_kind { SP_SIM_END, SP_SIM_LISTENER };

/* What a number stands for. */
struct sp_sim_file {
    struct sp_sim_machine *machine;
    struct sp_sim_loop *loop;  /* whose wait says what is ready; NULL = nobody's */
    struct sp_list ready_link; /* on loop->ready */
    enum sp_sim_kind kind;
    int number; /* -1 = none: closed, or not accepted yet */
};

enum sp_sim_what { SP_SIM_BYTES, SP_SIM_FIN, SP_SIM_RST };

/* What one delivery brings. */
struct sp_sim_seg {
    struct sp_list link; /* on an end's under_way or arrived */
    sp_ns at;
    enum sp_sim_what what;
    uint32_t len, read;
    char bytes[];
};

enum sp_sim_end_state {
    SP_SIM_UNBORN, /* the server's end before the client's first word came */
    SP_SIM_CONNECTING,
    SP_SIM_QUEUED, /* in a listener's queue */
    SP_SIM_OPEN,
    SP_SIM_CLOSED, /* nobody holds it any more; what arrives is answered with a reset */
};

struct sp_sim_end {
    struct sp_sim_file file;
    struct sp_sim_cx *cx;
    struct sp_sock *sock;      /* NULL while no loop has it */
    struct sp_list queue_link; /* on a listener's queue */
    uint8_t state;             /* enum sp_sim_end_state */
    uint8_t watched;           /* enum sp_watch */
    bool shut;                 /* our FIN is sent */
    bool rst_sent;
    bool fin_came;
    bool err_told;
    sp_err err; /* why it is dead */
    sp_addr local, peer, original;
    /* towards the other end */
    struct sp_list under_way; /* of sp_sim_seg.link */
    struct sp_list arrived;   /* of sp_sim_seg.link: waits to be read by the other end */
    uint32_t held_bytes;      /* of both */
    uint32_t arrived_bytes;
    sp_ns last_at; /* nothing sent later arrives earlier */
    struct sp_sim_event event;
};

struct sp_sim_cx {
    struct sp_list link; /* on sim->cxs */
    struct sp_sim *sim;
    uint64_t serial;
    uint32_t window;
    struct sp_sim_end end[2]; /* 0 connected */
    /* while connecting */
    sp_addr to;
    char to_path[SP_SIM_PATH_MAX];
    sp_ns started, retry;
    bool decided; /* what the event brings is `outcome` */
    sp_err outcome;
    struct sp_sim_event connect;
    struct sp_sim_event cut;
};

struct sp_sim_listener {
    struct sp_sim_file file;
    struct sp_list link; /* on machine->listeners */
    struct sp_acceptor *acceptor;
    sp_addr addr;
    char path[SP_SIM_PATH_MAX];
    uint32_t backlog, queued;
    bool reuse_port, watched;
    struct sp_list queue; /* of sp_sim_end.queue_link */
};

struct sp_sim_machine {
    struct sp_list link; /* on sim->machines */
    struct sp_sim *sim;
    sp_addr ip;
    uint32_t index;
    struct sp_sim_file **files; /* by number - first_number; NULL = free */
    uint32_t file_cap, open, limit;
    int first_number;
    uint16_t next_port, redirect_in;
    struct sp_list listeners; /* of sp_sim_listener.link */
};

struct sp_sim_loop {
    struct sp_loop loop;
    struct sp_sim *sim;
    struct sp_sim_machine *machine;
    struct sp_list link;  /* on sim->loops */
    struct sp_list ready; /* of sp_sim_file.ready_link: may be ready */
    sp_ns free_at;        /* its last turn has taken until then */
    uint16_t redirect_out;
    uint32_t index;
    uint32_t fail_memory; /* permille */
};

struct sp_sim_cut {
    struct sp_list link;
    const struct sp_sim_machine *a, *b;
};

struct sp_sim_name {
    struct sp_list link;
    sp_addr addr;
    char text[];
};

struct sp_sim {
    sp_ns now;
    uint64_t digest, serials;
    struct sp_rng rng;
    struct sp_sim_faults faults;
    struct sp_sim_counts counts;
    struct sp_heap due;      /* of sp_sim_event.node */
    struct sp_list loops;    /* of sp_sim_loop.link */
    struct sp_list machines; /* of sp_sim_machine.link */
    struct sp_list cxs;      /* of sp_sim_cx.link */
    struct sp_list cuts;     /* of sp_sim_cut.link */
    struct sp_list names;    /* of sp_sim_name.link */
    uint32_t loop_count, machine_count;
    uint64_t fail_at; /* the allocation of this turn that is to fail; 0 = none */
    void (*on_line)(void *arg, const char *line);
    void *trace_arg;
};

static inline struct sp_sim_loop *sp_sim_loop_of(const struct sp_loop *loop)
{
    return SP_CONTAINER(loop, struct sp_sim_loop, loop);
}

/* sim.c */
extern const struct sp_loop_body sp_sim_body;
void sp_sim_note(struct sp_sim *sim, const char *what, uint64_t serial, uint64_t a, uint64_t b);
void sp_sim_at(struct sp_sim *sim, struct sp_sim_event *event, sp_ns at);
void sp_sim_not(struct sp_sim *sim, struct sp_sim_event *event);
bool sp_sim_chance(struct sp_sim *sim, uint32_t permille, uint64_t *counter);
sp_ns sp_sim_delay(struct sp_sim *sim);
bool sp_sim_is_cut(const struct sp_sim *sim, const struct sp_sim_machine *a, const struct sp_sim_machine *b);

/* The world's own memory does not fail. */
void *sp_sim_alloc(struct sp_sim *sim, size_t bytes);

/* host.c: machines, numbers, readiness. */
sp_err sp_sim_file_open(struct sp_sim_machine *machine, struct sp_sim_file *file);
void sp_sim_file_close(struct sp_sim_file *file);
struct sp_sim_file *sp_sim_file_find(struct sp_sim_machine *machine, int number);
void sp_sim_file_touch(struct sp_sim_file *file);
uint32_t sp_sim_file_ready(const struct sp_sim_file *file);
struct sp_sim_machine *sp_sim_machine_at(struct sp_sim *sim, const sp_addr *addr,
                                         struct sp_sim_machine *from);
void sp_sim_machine_free(struct sp_sim_machine *machine);

/* end.c: the body's entries for socks. */
struct sp_sim_cx *sp_sim_cx_new(struct sp_sim *sim);
void sp_sim_cx_cut(struct sp_sim_cx *cx);
void sp_sim_cx_free(struct sp_sim_cx *cx);
void sp_sim_end_heal(struct sp_sim_end *end);
void sp_sim_end_drop(struct sp_sim_end *end, bool reset);
uint32_t sp_sim_end_ready(const struct sp_sim_end *end);
sp_err sp_sim_open(struct sp_sock *sock, int number);
void sp_sim_watch(struct sp_sock *sock, uint8_t interest);
ssize_t sp_sim_recv(struct sp_sock *sock, char *to, size_t bytes);
ssize_t sp_sim_send(struct sp_sock *sock, const struct iovec *iov, int count);
sp_err sp_sim_error(struct sp_sock *sock);
void sp_sim_shutdown(struct sp_sock *sock);
void sp_sim_close(struct sp_sock *sock, bool reset);
int sp_sim_detach(struct sp_sock *sock);
sp_err sp_sim_addr(const struct sp_sock *sock, enum sp_addr_which which, sp_addr *ret_addr);

/* listen.c: how connections come to be. */
sp_err sp_sim_connect(struct sp_sock *sock, const sp_addr *to, const sp_addr *from, uint32_t flags,
                      sp_err *ret_late);
sp_err sp_sim_connected(struct sp_sock *sock);
sp_err sp_sim_listen(struct sp_acceptor *acceptor, const struct sp_listen_config *config);
sp_err sp_sim_acceptor_open(struct sp_acceptor *acceptor, int number, bool shared);
void sp_sim_acceptor_watch(struct sp_acceptor *acceptor, bool on);
int sp_sim_accept(struct sp_acceptor *acceptor, sp_addr *ret_peer);
void sp_sim_acceptor_close(struct sp_acceptor *acceptor);
int sp_sim_acceptor_detach(struct sp_acceptor *acceptor);
sp_err sp_sim_acceptor_addr(const struct sp_acceptor *acceptor, sp_addr *ret_addr);

/* names.c */
extern const struct sp_dns_body sp_sim_dns;

#endif
