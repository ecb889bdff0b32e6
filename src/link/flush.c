/* flush: everything that goes to one connection in one turn leaves in one system call.
 *
 * A conn's queue is a chain of small blocks of views; the blocks come from the link's free list, so a busy
 * connection borrows one for a turn and an idle one has none. Views that lie one behind the other in the same
 * slab (pipelined frames that were read together and leave together) melt into one.
 *
 *         ┌─> [seg seg seg ...] ──> [seg ...] ─┐ <- out_last
 *         │     |slab|ptr|len|                 │
 *         └────────────────────────────────────┘
 *
 * Heads that we write ourselves go into the link's write slab, which all conns of a turn share: reserve gives
 * the room, commit turns it into a view. It is retired when full, and at the turn's end it starts anew when
 * nobody holds it any more.
 *
 * The turn's end, in this order: conns that may go on decoding (they may queue more), then one writev each,
 * then partial input is settled into small slabs. What a full socket leaves behind in a big slab is copied to
 * blocks of its size, so that a peer that reads slowly pins what it owes and no more.
 *
 * Left aside: flushing at once when only one conn is active, because it would lose the merging of pipelined
 * answers; and MSG_ZEROCOPY, which needs an error-queue read for each write and so pays for large ones
 * only. */
#include <string.h>

#include "base/mem.h"
#include "link/conn_impl.h"

enum {
    IOV_MOST = 64,      /* of one writev: 64 * 16 B on the stack; more segments than that are rare */
    KEEP_BLOCKS = 256,  /* free blocks kept: 64 KiB */
    JOIN_MOST = 1024,   /* bytes of a piece that is rather copied than sent as a segment of its own */
    DECODE_ROUNDS = 16, /* how often conns may go on decoding in one turn's end */
};

sp_err sp_link_init(struct sp_link *link, struct sp_loop *loop)
{
    memset(link, 0, sizeof(*link));
    link->loop = loop;
    link->turn.on_turn_end = sp_flush_turn_end;
    sp_list_init(&link->work);
    return 0;
}

void sp_link_trim(struct sp_link *link)
{
    while (link->free_blocks) {
        struct sp_seg_block *block = link->free_blocks;
        link->free_blocks = block->next;
        sp_mem_free(block);
    }
    link->free_block_count = 0;
    sp_slab_unref(link->write);
    link->write = NULL;
}

void sp_link_deinit(struct sp_link *link)
{
    SP_ASSERT(sp_list_is_empty(&link->work));
    sp_loop_turn_cancel(&link->turn);
    sp_link_trim(link);
}

void sp_link_want(struct sp_conn *conn, enum sp_want what)
{
    struct sp_link *link = conn->link;
    if (!conn->wants)
        sp_list_push(&link->work, &conn->work_link);
    conn->wants |= what;
    link->wants |= (uint8_t)what;
    if (!link->ending)
        sp_loop_at_turn_end(link->loop, &link->turn);
}

void sp_link_unwant(struct sp_conn *conn, unsigned what)
{
    conn->wants &= ~what;
    if (!conn->wants)
        sp_list_remove(&conn->work_link);
}

static struct sp_seg_block *take_block(struct sp_link *link)
{
    struct sp_seg_block *block = link->free_blocks;
    if (block) {
        link->free_blocks = block->next;
        link->free_block_count--;
    } else {
        block = sp_mem_alloc(sizeof(*block));
        if (!block)
            return NULL;
    }
    block->first = block->count = 0;
    return block;
}

static void give_block(struct sp_link *link, struct sp_seg_block *block)
{
    if (link->free_block_count >= KEEP_BLOCKS) {
        sp_mem_free(block);
        return;
    }
    block->next = link->free_blocks;
    link->free_blocks = block;
    link->free_block_count++;
}

void sp_flush_want(struct sp_conn *conn)
{
    if (!conn->closed && !conn->connecting)
        sp_link_want(conn, SP_WANT_FLUSH);
}

/* The view right behind the last one, in the same slab? Then the last one grows. */
static bool melt(struct sp_conn *conn, const struct sp_view *view)
{
    struct sp_seg_block *last = conn->out_last;
    if (!last || last->count == last->first)
        return false;
    struct sp_view *tail = &last->segs[last->count - 1];
    if (tail->slab != view->slab || tail->ptr + tail->len != view->ptr)
        return false;
    tail->len += view->len;
    sp_slab_unref(view->slab); /* the tail's reference serves both */
    return true;
}

static bool push(struct sp_conn *conn, const struct sp_view *view)
{
    struct sp_seg_block *last = conn->out_last;
    if (!last || last->count == SP_SEGS) {
        struct sp_seg_block *block = take_block(conn->link);
        if (!block)
            return false;
        block->next = last ? last->next : block;
        if (last)
            last->next = block;
        conn->out_last = last = block;
    }
    last->segs[last->count++] = *view;
    return true;
}

static void count_queued(struct sp_conn *conn, size_t bytes)
{
    conn->out_bytes += (uint32_t)bytes;
    if (conn->out_bytes > conn->out_mark)
        conn->above_mark = true;
    sp_flush_want(conn);
}

/* Append a view whose reference is ours. */
static void append(struct sp_conn *conn, struct sp_view view)
{
    bool fits = view.len <= UINT32_MAX - conn->out_bytes;
    if (!fits || (!melt(conn, &view) && !push(conn, &view))) {
        sp_slab_unref(view.slab);
        sp_conn_fail_later(conn, fits ? SP_E_NOMEM : SP_E_LIMIT);
        return;
    }
    count_queued(conn, view.len);
}

/* A small piece behind what we wrote ourselves is copied there: one segment leaves by `send`, two need
 * `sendmsg`, which costs more than the copy. So a head and its small body are one run of bytes. */
static bool join(struct sp_conn *conn, const struct sp_view *view)
{
    struct sp_slab *write = conn->link->write;
    struct sp_seg_block *last = conn->out_last;
    if (view->len > JOIN_MOST || view->len > UINT32_MAX - conn->out_bytes || !last ||
        last->count == last->first || !write || write->cap - write->used < view->len)
        return false;
    struct sp_view *tail = &last->segs[last->count - 1];
    if (tail->slab != write || tail->ptr + tail->len != write->bytes + write->used)
        return false;
    memcpy(write->bytes + write->used, view->ptr, view->len);
    write->used += (uint32_t)view->len;
    tail->len += view->len;
    count_queued(conn, view->len);
    sp_slab_unref(view->slab);
    return true;
}

void sp_conn_queue(struct sp_conn *conn, struct sp_view view)
{
    if (view.len == 0 || conn->closed || conn->failed) {
        sp_slab_unref(view.slab);
        return;
    }
    if (join(conn, &view))
        return;
    if (view.slab) {
        append(conn, view);
        return;
    }
    char *room = sp_conn_reserve(conn, view.len);
    if (!room) {
        sp_conn_fail_later(conn, SP_E_NOMEM);
        return;
    }
    memcpy(room, view.ptr, view.len);
    sp_conn_commit(conn, view.len);
}

char *sp_conn_reserve(struct sp_conn *conn, size_t room)
{
    struct sp_link *link = conn->link;
    struct sp_slab *write = link->write;
    if (write && write->cap - write->used >= room)
        return write->bytes + write->used;
    if (write && write->refs == 1 && write->cap >= room) {
        write->used = 0;
        return write->bytes;
    }
    sp_slab_unref(write);
    struct sp_slab_pool *pool = sp_loop_slabs(link->loop);
    /* 16 KiB hold the heads of a turn; a huge head gets its own. */
    link->write = room <= 16 * 1024 ? sp_slab_take(pool, SP_SLAB_READ) : sp_slab_take_for(pool, room);
    return link->write ? link->write->bytes : NULL;
}

void sp_conn_commit(struct sp_conn *conn, size_t used)
{
    struct sp_slab *write = conn->link->write;
    SP_ASSERT(write && write->cap - write->used >= used);
    struct sp_view view = { write, write->bytes + write->used, used };
    write->used += (uint32_t)used;
    if (used == 0 || conn->closed || conn->failed)
        return;
    sp_slab_ref(write);
    append(conn, view);
}

static void drop_first(struct sp_conn *conn, struct sp_seg_block *block)
{
    if (block == conn->out_last)
        conn->out_last = NULL;
    else
        conn->out_last->next = block->next;
    give_block(conn->link, block);
}

/* `sent` bytes of the front have left. */
static void consume(struct sp_conn *conn, size_t sent)
{
    struct sp_seg_block *block;
    conn->out_bytes -= (uint32_t)sent;
    while ((block = sp_conn_first(conn))) {
        while (block->first < block->count) {
            struct sp_view *seg = &block->segs[block->first];
            if (sent < seg->len) {
                seg->ptr += sent;
                seg->len -= sent;
                return;
            }
            sent -= seg->len;
            sp_slab_unref(seg->slab);
            block->first++;
        }
        drop_first(conn, block);
    }
}

void sp_flush_drop(struct sp_conn *conn)
{
    struct sp_seg_block *block;
    while ((block = sp_conn_first(conn))) {
        for (uint16_t i = block->first; i < block->count; i++)
            sp_slab_unref(block->segs[i].slab);
        drop_first(conn, block);
    }
    conn->out_bytes = 0;
    sp_link_unwant(conn, SP_WANT_FLUSH);
}

static int gather(const struct sp_conn *conn, struct iovec *iov, size_t *ret_bytes)
{
    int count = 0;
    size_t bytes = 0;
    struct sp_seg_block *block = sp_conn_first(conn);
    for (; block && count < IOV_MOST; block = sp_conn_next(conn, block))
        for (uint16_t i = block->first; i < block->count && count < IOV_MOST; i++) {
            iov[count++] = (struct iovec){ (void *)(uintptr_t)block->segs[i].ptr, block->segs[i].len };
            bytes += block->segs[i].len;
        }
    *ret_bytes = bytes;
    return count;
}

/* What a full socket leaves behind: small pieces of big slabs move to slabs of their size. */
static void settle_output(struct sp_conn *conn)
{
    struct sp_slab_pool *pool = sp_loop_slabs(conn->link->loop);
    for (struct sp_seg_block *block = sp_conn_first(conn); block; block = sp_conn_next(conn, block))
        for (uint16_t i = block->first; i < block->count; i++) {
            struct sp_view *seg = &block->segs[i];
            if (!seg->slab || seg->len * 4 >= seg->slab->cap)
                continue;
            struct sp_slab *small = sp_slab_take_for(pool, seg->len);
            if (!small || small->cap >= seg->slab->cap) {
                sp_slab_unref(small);
                continue;
            }
            memcpy(small->bytes, seg->ptr, seg->len);
            small->used = (uint32_t)seg->len;
            sp_cell_add(&conn->link->copied_bytes, seg->len);
            sp_slab_unref(seg->slab);
            seg->slab = small;
            seg->ptr = small->bytes;
        }
}

static void after_send(struct sp_conn *conn)
{
    if (conn->above_mark && conn->out_bytes <= conn->out_mark / 2) {
        conn->above_mark = false;
        if (conn->ops->on_drained && !conn->close_flushed)
            conn->ops->on_drained(conn);
        if (conn->closed)
            return;
    }
    if (conn->out_bytes)
        return;
    if (conn->close_flushed)
        sp_conn_close(conn, false);
    else if (conn->fin_queued)
        sp_sock_shutdown(&conn->sock);
}

void sp_flush_conn(struct sp_conn *conn)
{
    struct iovec iov[IOV_MOST];
    if (conn->wait_room) { /* not now; but what has come in this turn may pin much */
        settle_output(conn);
        return;
    }
    while (conn->out_bytes) {
        size_t bytes;
        int count = gather(conn, iov, &bytes);
        ssize_t sent = sp_sock_send(&conn->sock, iov, count);
        if (sent < 0) {
            sp_flush_drop(conn);
            if (conn->close_flushed)
                sp_conn_close(conn, false);
            else if (conn->sock.ended) /* else the sock says it */
                sp_conn_fail_later(conn, (sp_err)sent);
            return;
        }
        sp_cell_add(&conn->link->writes, 1);
        sp_cell_add(&conn->link->bytes_out, (uint64_t)sent);
        conn->last_ns = conn->out_ns = sp_loop_now(conn->link->loop);
        consume(conn, (size_t)sent);
        if ((size_t)sent < bytes) {
            conn->wait_room = true;
            settle_output(conn);
            break;
        }
    }
    after_send(conn);
}

static void settle(struct sp_conn *conn)
{
    sp_conn_settle(conn);
    if (conn->in_len > 0 && conn->ops->on_part)
        conn->ops->on_part(conn);
}

/* Do it for all that want it by now. Who wants something else goes back onto the list, behind the mark, and
 * so does who wants it again meanwhile. */
static void each(struct sp_link *link, enum sp_want what, void (*act)(struct sp_conn *conn))
{
    struct sp_list *at, *mark = &link->work_mark;
    link->wants &= (uint8_t)~what;
    sp_list_push(&link->work, mark);
    while ((at = sp_list_pop_first(&link->work)) != mark) {
        struct sp_conn *conn = SP_CONTAINER(at, struct sp_conn, work_link);
        bool wanted = conn->wants & what;
        conn->wants &= ~(unsigned)what;
        if (conn->wants)
            sp_list_push(&link->work, at);
        if (wanted)
            act(conn);
    }
}

void sp_flush_turn_end(struct sp_turn *turn)
{
    struct sp_link *link = SP_CONTAINER(turn, struct sp_link, turn);
    link->ending = true;
    for (int round = 0; round < DECODE_ROUNDS && link->wants & SP_WANT_DECODE; round++)
        each(link, SP_WANT_DECODE, sp_conn_decode);
    while (link->wants & SP_WANT_FLUSH)
        each(link, SP_WANT_FLUSH, sp_flush_conn);
    while (link->wants & SP_WANT_SETTLE)
        each(link, SP_WANT_SETTLE, settle);
    if (link->write && link->write->refs == 1)
        link->write->used = 0;
    link->ending = false;
    if (!sp_list_is_empty(&link->work))
        sp_loop_at_turn_end(link->loop, turn);
}
