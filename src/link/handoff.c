/* handoff: a conn's passage from one process to another.
 *
 *      old                                         new
 *      socket ─────────── the descriptor ────────> socket      the kernel's own queues go with it
 *      in  |####|   ───── bytes, as they wait ───> in  |####|  decoded on from where the codec's state says
 *      out |##|#|   ───── one run of bytes ──────> out |##|#|  sent by the first turn
 *
 * A frame may be cut anywhere: in the input because the codec's state goes along, in the output because the
 * rest of it does. So there is no quiet instant to wait for.
 *
 * What can be found out again is not carried: whether the socket is full (the first send tells), on which of
 * the link's lists the conn is (that follows from what waits), whether reading rests for want of decoding.
 *
 * The loader believes nothing. Bytes that are too long for a slab, states of a socket that cannot be, a codec
 * state that its codec refuses: each is told in words, and the conn is not made. */
#include "link/handoff.h"

#include "base/buf.h"
#include "link/conn_impl.h"

enum { OUT_PIECE = 64 * 1024, READ_ROOM = 2048, STATE_MOST = 64 };

#define FIELD(number, type, member) SP_RECORD_FIELD(number, type, sp_conn_record, member)

static const struct sp_record_field fields[] = {
    FIELD(1, U32, fd),
    FIELD(2, BYTES, in),
    FIELD(3, BYTES, out),
    FIELD(4, BYTES, state),
    FIELD(5, U8, protocol),
    FIELD(6, U32, out_mark),
    FIELD(7, U64, last_ns),
    FIELD(8, U64, out_ns),
    FIELD(9, BOOL, held),
    FIELD(10, BOOL, paused),
    FIELD(11, BOOL, broken),
    FIELD(12, BOOL, failed),
    FIELD(13, BOOL, above_mark),
    FIELD(14, BOOL, end_pending),
    FIELD(15, BOOL, end_told),
    FIELD(16, BOOL, fin_queued),
    FIELD(17, BOOL, close_flushed),
    FIELD(18, I32, end_err),
    FIELD(19, BOOL, sock_ended),
    FIELD(20, BOOL, sock_shut),
    FIELD(21, BOOL, sock_broken),
    FIELD(22, I32, sock_late),
};

const struct sp_record_kind sp_conn_kind = SP_RECORD_KIND(SP_KIND_CONN, false, "conn", sp_conn_record,
                                                          fields);

/* ---- saving ---- */

static void gather_out(const struct sp_conn *conn, struct sp_buf *out)
{
    for (const struct sp_seg_block *block = sp_conn_first(conn); block; block = sp_conn_next(conn, block))
        for (uint16_t i = block->first; i < block->count; i++)
            sp_buf_add(out, block->segs[i].ptr, block->segs[i].len);
}

bool sp_conn_is_quiet(const struct sp_conn *conn)
{
    struct sp_sock_saved sock;
    if (conn->closed || conn->connecting || conn->decoding || !conn->codec || conn->in_len ||
        conn->out_bytes || conn->held || conn->paused || conn->broken || conn->failed || conn->above_mark ||
        conn->end_pending || conn->end_told || conn->fin_queued || conn->close_flushed)
        return false;
    sp_sock_save(&conn->sock, &sock);
    return !sock.ended && !sock.shut && !sock.broken && !sock.late;
}

void sp_conn_save(const struct sp_conn *conn, struct sp_record_writer *writer)
{
    SP_ASSERT(!conn->closed && !conn->connecting && !conn->decoding);
    struct sp_sock_saved sock;
    struct sp_buf out;
    char state[STATE_MOST];
    sp_sock_save(&conn->sock, &sock);
    sp_buf_init(&out, 0);
    gather_out(conn, &out);
    if (out.failed && !writer->err)
        writer->err = SP_E_NOMEM;
    struct sp_conn_record record = {
        .fd = sp_record_add_fd(writer, conn->sock.fd),
        .in = sp_str_of(conn->in_at, conn->in_len),
        .out = sp_buf_str(&out),
        .out_mark = conn->out_mark,
        .last_ns = conn->last_ns,
        .out_ns = conn->out_ns,
        .held = conn->held,
        .paused = conn->paused,
        .broken = conn->broken,
        .failed = conn->failed,
        .above_mark = conn->above_mark,
        .end_pending = conn->end_pending,
        .end_told = conn->end_told,
        .fin_queued = conn->fin_queued,
        .close_flushed = conn->close_flushed,
        .end_err = conn->end_err,
        .sock_ended = sock.ended,
        .sock_shut = sock.shut,
        .sock_broken = sock.broken,
        .sock_late = sock.late,
    };
    if (conn->codec) {
        SP_ASSERT(conn->codec->save_bytes <= sizeof(state));
        conn->codec->save(&conn->codec_state, state);
        record.protocol = (uint8_t)conn->codec->protocol;
        record.state = sp_str_of(state, conn->codec->save_bytes);
    }
    sp_record_put(writer, &sp_conn_kind, &record);
    sp_buf_deinit(&out);
}

/* ---- loading ---- */

static const char *judge(const struct sp_conn_record *r, const struct sp_codec *codec)
{
    if (!codec != !r->protocol || (codec && codec->protocol != r->protocol))
        return "it speaks another protocol";
    if (codec && r->state.len != codec->save_bytes)
        return "the state of its decoder has a wrong length";
    if (r->failed && (!r->broken || !r->end_pending || r->out.len))
        return "it has failed and goes on";
    if (r->end_err > 0 || r->end_err < SP_E_CANCELLED)
        return "its end is no error";
    if (r->end_pending && !r->end_err)
        return "its end has no reason";
    if (r->sock_shut && (r->out.len || !r->fin_queued))
        return "its direction is over and has bytes, or was never to be";
    if (r->sock_late > 0 || r->sock_late < SP_E_CANCELLED)
        return "what is owed to it is no error";
    return NULL;
}

/* `in` into a slab with room for the next read, where one is large enough for both. */
static sp_err load_input(struct sp_conn *conn, sp_str in)
{
    struct sp_slab_pool *pool = sp_loop_slabs(conn->link->loop);
    if (!in.len)
        return 0;
    struct sp_slab *slab = sp_slab_take_for(pool, in.len + READ_ROOM);
    if (!slab && !(slab = sp_slab_take_for(pool, in.len)))
        return SP_E_NOMEM;
    memcpy(slab->bytes, in.ptr, in.len);
    slab->used = (uint32_t)in.len;
    conn->in = slab;
    conn->in_at = slab->bytes;
    conn->in_len = slab->used;
    sp_sock_read_into(&conn->sock, slab);
    return 0;
}

static sp_err load_output(struct sp_conn *conn, sp_str out)
{
    struct sp_slab_pool *pool = sp_loop_slabs(conn->link->loop);
    uint64_t all = out.len;
    while (out.len) {
        sp_str piece = sp_str_upto(out, OUT_PIECE);
        struct sp_slab *slab = sp_slab_take_for(pool, piece.len);
        if (!slab)
            return SP_E_NOMEM;
        memcpy(slab->bytes, piece.ptr, piece.len);
        slab->used = (uint32_t)piece.len;
        sp_conn_queue(conn, (struct sp_view){ slab, slab->bytes, piece.len });
        out = sp_str_from(out, piece.len);
    }
    return conn->out_bytes == all ? 0 : SP_E_NOMEM;
}

static void set_bits(struct sp_conn *conn, const struct sp_conn_record *r)
{
    conn->held = r->held;
    conn->paused = r->paused;
    conn->broken = r->broken;
    conn->failed = r->failed;
    conn->above_mark |= r->above_mark;
    conn->end_pending = r->end_pending;
    conn->end_told = r->end_told;
    conn->end_err = (int8_t)r->end_err;
    conn->fin_queued = r->fin_queued;
    conn->close_flushed = r->close_flushed;
    conn->starved = r->held && conn->in_len >= SP_CONN_IN_MAX;
    conn->last_ns = r->last_ns;
    conn->out_ns = r->out_ns;
}

sp_err sp_conn_load(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops, int fd,
                    const struct sp_conn_record *r, const struct sp_codec *codec,
                    const struct sp_codec_limits *limits, const char **ret_words)
{
    struct sp_sock_saved sock = {
        .ended = r->sock_ended, .shut = r->sock_shut, .broken = r->sock_broken, .late = (int8_t)r->sock_late
    };
    *ret_words = judge(r, codec);
    if (*ret_words)
        return SP_E_INVALID;
    sp_conn_reset(conn, link, ops);
    if (codec && codec->load(&conn->codec_state, r->state.ptr, limits)) {
        *ret_words = "its decoder refuses its state";
        return SP_E_INVALID;
    }
    conn->codec = codec;
    sp_err err = sp_sock_load(&conn->sock, link->loop, &sp_conn_sock_ops, fd, &sock);
    if (err) {
        *ret_words = "its socket cannot be adopted";
        return err;
    }
    conn->out_mark = r->out_mark;
    err = load_input(conn, r->in);
    if (!err)
        err = load_output(conn, r->out);
    if (err) {
        *ret_words = "there is no memory for what waits";
        (void)sp_conn_leave(conn); /* the number is the caller's own */
        return err;
    }
    set_bits(conn, r);
    if (conn->in_len || (conn->end_pending && !conn->end_told))
        sp_conn_resume_later(conn);
    if (conn->close_flushed || (conn->fin_queued && !sock.shut))
        sp_flush_want(conn);
    /* behind what is broken bytes are read and dropped, so that its end is seen */
    sp_sock_read(&conn->sock, !conn->paused && !conn->starved && !conn->end_told && !conn->failed);
    return 0;
}

int sp_conn_leave(struct sp_conn *conn)
{
    conn->closed = true;
    sp_flush_drop(conn);
    sp_link_unwant(conn, conn->wants);
    sp_slab_unref(conn->in);
    conn->in = NULL;
    conn->in_len = 0;
    return sp_sock_detach(&conn->sock);
}
