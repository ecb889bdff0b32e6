/* conn_impl: what conn.c and flush.c share: the queue of segments, and what a conn wants of a turn's end. */
#ifndef SP_LINK_CONN_IMPL_H
#define SP_LINK_CONN_IMPL_H

#include "link/conn.h"

enum { SP_SEGS = 10 };

/* A ring, so that a conn needs one pointer: the last block's next is the first. */
struct sp_seg_block {
    struct sp_seg_block *next;
    uint16_t first, count; /* segs[first .. count) wait */
    struct sp_view segs[SP_SEGS];
};

/* The block that goes out first; NULL when nothing is queued. */
static inline struct sp_seg_block *sp_conn_first(const struct sp_conn *conn)
{
    return conn->out_last ? conn->out_last->next : NULL;
}

/* The one behind it; NULL behind the last. */
static inline struct sp_seg_block *sp_conn_next(const struct sp_conn *conn, const struct sp_seg_block *block)
{
    return block == conn->out_last ? NULL : block->next;
}

/* What a conn wants of the turn's end, in the order in which it is given. */
enum sp_want {
    SP_WANT_DECODE = 1, /* go on decoding */
    SP_WANT_FLUSH = 2,  /* something is queued */
    SP_WANT_SETTLE = 4, /* it keeps a partial message */
};

/* Ask for it, once. */
void sp_link_want(struct sp_conn *conn, enum sp_want what);
void sp_link_unwant(struct sp_conn *conn, unsigned what);

/* Send what is queued; at the end of a turn, or when there is room again. */
void sp_flush_conn(struct sp_conn *conn);
/* Ask for a flush at the end of this turn. */
void sp_flush_want(struct sp_conn *conn);
/* Drop everything queued. */
void sp_flush_drop(struct sp_conn *conn);
/* Go on decoding at the end of this turn. */
void sp_conn_resume_later(struct sp_conn *conn);
void sp_conn_decode(struct sp_conn *conn);
/* As it is before it has a socket. */
void sp_conn_reset(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops);
/* Have the socket read or not, as the conn's state asks. */
void sp_conn_update_reading(struct sp_conn *conn);
extern const struct sp_sock_ops sp_conn_sock_ops;
/* The link's turn-end hook. */
void sp_flush_turn_end(struct sp_turn *turn);
/* What the conn keeps of its input in a big slab moves to one of its size. */
void sp_conn_settle(struct sp_conn *conn);

#endif
