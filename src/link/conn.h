/* conn: where a socket meets a grammar. Bytes that land are decoded where they lie and handed up as the
 * events of messages; what goes out is queued as views and leaves in one writev at the end of the turn.
 *
 * A conn is embedded in its owner (proxy's downstream or upstream side, a door of rpc) and knows nothing
 * of routes. One thread: the worker whose link it hangs on.
 *
 *    sock ── on_bytes ──> in [slab view] ── codec->decode ──> ops->on_event ──> owner
 *    sock <── writev ──── out [views] <── sp_conn_queue / reserve+commit ────── owner
 */
#ifndef SP_LINK_CONN_H
#define SP_LINK_CONN_H

#include "base/cell.h"
#include "base/list.h"
#include "base/slab.h"
#include "io/sock.h"
#include "wire/codec.h"

struct sp_conn;

struct sp_conn_ops {
    /* After sp_conn_connect. err != 0: close it. */
    void (*on_connected)(struct sp_conn *conn, sp_err err);
    /* One event; its strings point into `slab`, which is the conn's: take a reference to keep them.
     * NULL codec: DATA events only. The callee may close, hold or send. */
    void (*on_event)(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab);
    /* What came breaks the grammar (ev->why, ev->status); nothing more is decoded. */
    void (*on_broken)(struct sp_conn *conn, struct sp_event *ev);
    /* The peer ended its direction, in order (SP_E_CLOSED, mid_message false), inside a message (true), or
     * the connection is gone (any other err; that may come after an end in order, too). An end in order comes
     * after all events before it, and not while held, unless the conn is raw. */
    void (*on_end)(struct sp_conn *conn, sp_err err, bool mid_message);
    /* Bytes wait undecoded at the end of the turn in which they came: a message is incomplete, or decoding is
     * held. May be NULL. */
    void (*on_part)(struct sp_conn *conn);
    /* Queued bytes fell below the low mark after they had been above the high one. */
    void (*on_drained)(struct sp_conn *conn);
    void (*on_closed)(struct sp_conn *conn); /* once, after sp_conn_close: storage is the owner's again */
};

struct sp_seg_block; /* conn_impl.h */

/* What the conns of one worker share. */
struct sp_link {
    struct sp_loop *loop;
    struct sp_turn turn;
    struct sp_list work;      /* of sp_conn.work_link: who wants something of this turn's end */
    struct sp_list work_mark; /* on it while the list is gone through */
    uint8_t wants;            /* enum sp_want: what any of them may want */
    struct sp_slab *write;    /* what heads are encoded into; shared by all conns of a turn */
    struct sp_seg_block *free_blocks;
    uint32_t free_block_count;
    bool ending;         /* inside the turn-end hook */
    struct sp_head head; /* scratch of the decoder, valid during on_event */
    struct sp_header headers[SP_HEADERS_MAX];
    sp_cell bytes_in, bytes_out, writes, copied_bytes;
};

sp_err sp_link_init(struct sp_link *link, struct sp_loop *loop) SP_MUST_USE;
void sp_link_deinit(struct sp_link *link); /* all conns must be closed */
/* Free what is kept for speed alone; when the worker goes idle. */
void sp_link_trim(struct sp_link *link);

/* wide because one connection's input, output and flags are read together on every event; an idle one should
 * be one object. */
struct sp_conn {
    struct sp_sock sock;
    const struct sp_conn_ops *ops;
    struct sp_link *link;
    const struct sp_codec *codec; /* NULL = raw bytes */
    /* holds [in_at, in_at + in_len), not used up yet; NULL when there is none */
    struct sp_slab *in;
    char *in_at;
    uint32_t in_len;
    uint32_t out_mark;             /* high mark of queued bytes; half of it is the low one */
    struct sp_seg_block *out_last; /* of the queue, a ring; NULL when it is empty: see sp_conn_first */
    struct sp_list work_link;      /* on link->work while it wants something */
    sp_ns last_ns;                 /* when bytes last came or went */
    sp_ns out_ns;                  /* when bytes last went */
    uint32_t out_bytes;            /* that are queued */
    uint32_t wait_room : 1;        /* the socket is full: on_room will come */
    uint32_t connecting : 1;
    uint32_t held : 1;     /* decoding rests: see sp_conn_hold */
    uint32_t starved : 1;  /* reading rests, because much is waiting undecoded */
    uint32_t paused : 1;   /* reading rests, asked by the owner */
    uint32_t decoding : 1; /* inside the decode loop */
    uint32_t broken : 1;   /* nothing more is decoded */
    uint32_t failed : 1;   /* nothing more is sent: see sp_conn_fail_later */
    uint32_t above_mark : 1;
    uint32_t end_pending : 1; /* end_err waits until what came before is decoded */
    uint32_t end_told : 1;
    uint32_t fin_queued : 1;    /* shut our direction down behind the last queued byte */
    uint32_t close_flushed : 1; /* close behind the last queued byte */
    uint32_t closed : 1;
    uint32_t wants : 3; /* enum sp_want, in conn_impl.h */
    int8_t end_err;     /* sp_err */
    struct sp_codec_state codec_state;
};

enum { SP_CONN_MARK_DEFAULT = 256 * 1024, SP_CONN_IN_MAX = 96 * 1024 };

/* Adopt an accepted descriptor; reading starts. `codec` NULL = raw. On failure the descriptor is still the
 * caller's. */
sp_err sp_conn_open(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops,
                    int fd) SP_MUST_USE;
/* Queueing is allowed at once; the bytes leave when it is open. */
sp_err sp_conn_connect(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops,
                       const sp_addr *to, const sp_addr *from, uint32_t sock_flags) SP_MUST_USE;
/* From now on bytes are that grammar's; also those that wait undecoded. */
void sp_conn_speak(struct sp_conn *conn, const struct sp_codec *codec, enum sp_role role,
                   const struct sp_codec_limits *limits);

/* Nothing more is read, nor decoded, until another grammar is spoken. */
void sp_conn_deafen(struct sp_conn *conn);

/* Bytes that somebody else has read from the socket come first; the reference goes along. Before any
 * other. */
void sp_conn_feed(struct sp_conn *conn, struct sp_view first);
/* While held nothing is decoded; bytes still come until SP_CONN_IN_MAX wait. Letting go decodes what waits:
 * at once inside an on_event of this conn, else before this turn's flush. */
void sp_conn_hold(struct sp_conn *conn, bool on);
/* Stop (or go on) reading from the socket: back-pressure. */
void sp_conn_pause(struct sp_conn *conn, bool on);

/* Queue bytes. The view's reference, if it has a slab, is taken over; slab NULL: the bytes are copied. When
 * memory is out the conn fails (sp_conn_fail_later); commit likewise. */
void sp_conn_queue(struct sp_conn *conn, struct sp_view view);
/* `room` bytes to write into, until commit (or the next call on any conn of the link); NULL when out. */
char *sp_conn_reserve(struct sp_conn *conn, size_t room);
void sp_conn_commit(struct sp_conn *conn, size_t used);
/* What had to go out cannot, and nothing may follow a gap: what is queued is dropped, what is queued from now
 * on too, and on_end(err) follows at the end of the turn, even if an end in order has been told before. */
void sp_conn_fail_later(struct sp_conn *conn, sp_err err);

static inline bool sp_conn_is_full(const struct sp_conn *conn)
{
    return conn->out_bytes > conn->out_mark;
}

/* FIN behind everything queued. */
void sp_conn_finish(struct sp_conn *conn);
/* Close now; what is queued is dropped. `reset` cuts with RST. */
void sp_conn_close(struct sp_conn *conn, bool reset);
/* Close when everything queued has left (or the peer is gone); no more events. */
void sp_conn_close_flushed(struct sp_conn *conn);
/* The first `bytes` of what waits undecoded have been used up by the owner itself. */
void sp_conn_skip(struct sp_conn *conn, size_t bytes);
/* Give the socket to another use (raw relay by pump): undecoded bytes are returned as a view whose
 * reference goes to the caller, without a slab when there are none; the conn then only sends what is
 * queued. */
struct sp_view sp_conn_release_input(struct sp_conn *conn);
/* Leave the link: the socket has been detached, nothing is queued, no callback will come. */
void sp_conn_forget(struct sp_conn *conn);

#endif
