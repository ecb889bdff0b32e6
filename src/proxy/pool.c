/* pool: the upstream lines of one endpoint in one worker, and the calls that wait for one.
 *
 *          take                    connected                  last call left
 *   stream ────> pending ──┐   connecting ──────> idle | busy ──────────────> idle
 *                          └──── bound to the first line that can take it ────┘
 *
 * HTTP/1.1: a line has one call. The line used last is taken first, so that surplus lines grow idle and go.
 * Each waiting call has one connect under way for it, as far as the cluster's limit allows; whichever line is
 * free first serves the call that waits longest.
 * Multiplexed: all calls share one line until it holds MUX_CALLS_MAX; while it connects they wait together.
 * A line that rests, because one of its callers does not read, gets no new calls unless there can be no
 * other.
 * A call that is too big to be held back until it is whole (stream->exclusive) takes a line alone, and so
 * does everyone towards an endpoint that talks back: there, each downstream line has lines of its own.
 *
 * A call whose line was closed under it (stream->fresh) takes none that has been used, unless no other can be
 * had: what closed that one may have closed them all.
 *
 * No byte of a call is written before its line is open: a connect that fails costs nothing but time, and
 * the call may go elsewhere. */
#include "proxy/line.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

enum { MUX_CALLS_MAX = 4096 };

static bool fits(const struct sp_line *line, const struct sp_stream *stream, bool multiplexed, bool resting)
{
    if (line->last || line->state != SP_LINE_OPEN || line->conn.codec != stream->codec)
        return false;
    bool free = sp_list_is_empty(&line->calls_out);
    if (!multiplexed)
        return free;
    if (sp_list_is_on(&line->wait_link) && !resting)
        return false;
    if (line->calls > 0 && line->mux->version != stream->request.proto_ver)
        return false; /* a Bolt server learns the version from a connection's first frame and keeps to it */
    if (line->mux->exclusive || (stream->exclusive && !free) || line->mux->ids.len >= MUX_CALLS_MAX)
        return false;
    if (stream->exclusive && !sp_list_is_empty(&line->calls_in))
        return false;
    if (stream->endpoint->talks_back && line->calls > 0)
        return line->mux->bound == stream->caller && !line->mux->shared;
    return true;
}

static struct sp_line *find(const struct sp_endpoint *endpoint, const struct sp_stream *stream,
                            bool multiplexed, bool resting)
{
    struct sp_line *line;
    SP_LIST_EACH(&endpoint->idle, line, next_idle, struct sp_line, pool_link)
        if (fits(line, stream, multiplexed, resting))
            return line;
    if (!multiplexed)
        return NULL;
    SP_LIST_EACH(&endpoint->busy, line, next_busy, struct sp_line, pool_link)
        if (fits(line, stream, multiplexed, resting))
            return line;
    return NULL;
}

/* Remember through whom this line is known, for requests that come backwards. */
static void note_caller(struct sp_line *line, struct sp_stream *stream)
{
    struct sp_line_mux *mux = line->mux;
    if (mux->shared || mux->bound == stream->caller || !stream->caller)
        return;
    if (mux->bound || line->calls > 1) {
        mux->shared = true;
        mux->bound = NULL;
        sp_list_remove(&mux->bind_link);
        return;
    }
    mux->bound = stream->caller;
    sp_list_push(&stream->caller->mux->binds, &mux->bind_link);
}

static void bind(struct sp_line *line, struct sp_stream *stream)
{
    struct sp_endpoint *endpoint = line->endpoint;
    sp_list_remove(&line->pool_link);
    sp_list_push_first(&endpoint->busy, &line->pool_link);
    line->calls++;
    line->mux->exclusive = stream->exclusive && line->conn.codec->multiplexed;
    if (line->conn.codec->multiplexed)
        line->mux->version = stream->request.proto_ver;
    if (line->conn.codec->both_ways)
        note_caller(line, stream);
    sp_stream_attached(stream, line);
}

/* A connect for the calls that wait. False with *ret_why when there can be none. */
static bool start_connect(struct sp_stream *stream, enum sp_why *ret_why)
{
    struct sp_endpoint *endpoint = stream->endpoint;
    struct sp_cluster *cluster = stream->cluster;
    if (!sp_lease_take(&cluster->connections)) {
        sp_cell_add(&cluster->cells.cx_overflow, 1);
        *ret_why = SP_WHY_POOL_FULL;
        return false;
    }
    struct sp_line *line;
    sp_err err = sp_line_connect(endpoint, stream->codec, &line);
    if (err) {
        sp_lease_give(&cluster->connections);
        *ret_why = err == SP_E_NOFILE  ? SP_WHY_DESCRIPTORS
                   : err == SP_E_NOMEM ? SP_WHY_MEMORY
                                       : SP_WHY_CONNECT;
        return false;
    }
    sp_list_push(&endpoint->connecting, &line->pool_link);
    endpoint->connecting_count++;
    return true;
}

static bool is_connecting(const struct sp_endpoint *endpoint, const struct sp_codec *codec)
{
    const struct sp_line *line;
    SP_LIST_EACH(&endpoint->connecting, line, next, struct sp_line, pool_link)
        if (line->conn.codec == codec)
            return true;
    return false;
}

static bool may_come_free(const struct sp_endpoint *endpoint)
{
    return !sp_list_is_empty(&endpoint->busy) || !sp_list_is_empty(&endpoint->connecting);
}

static bool wants_connect(const struct sp_endpoint *endpoint, const struct sp_stream *stream,
                          bool multiplexed)
{
    if (multiplexed && !stream->exclusive && !endpoint->talks_back)
        return !is_connecting(endpoint, stream->codec);
    return endpoint->connecting_count <= endpoint->pending_count;
}

sp_err sp_pool_take(struct sp_stream *stream, enum sp_why *ret_why)
{
    struct sp_endpoint *endpoint = stream->endpoint;
    struct sp_cluster *cluster = stream->cluster;
    bool multiplexed = stream->codec->multiplexed;
    bool first = sp_list_is_empty(&endpoint->pending), fresh = stream->fresh;
    struct sp_line *line = first && !fresh ? find(endpoint, stream, multiplexed, false) : NULL;
    stream->fresh = false;
    if (line) {
        bind(line, stream);
        return 0;
    }
    if (!sp_lease_take(&cluster->pending)) {
        sp_cell_add(&cluster->cells.rq_pending_overflow, 1);
        *ret_why = SP_WHY_POOL_FULL;
        return SP_E_LIMIT;
    }
    if (wants_connect(endpoint, stream, multiplexed) && !start_connect(stream, ret_why)) {
        line = first && (multiplexed || fresh) ? find(endpoint, stream, multiplexed, true) : NULL;
        if (line) {
            sp_lease_give(&cluster->pending);
            bind(line, stream);
            return 0;
        }
        bool comes = fresh || may_come_free(endpoint); /* the line that it has left is about to be gone */
        if (*ret_why != SP_WHY_POOL_FULL || !comes) {
            sp_lease_give(&cluster->pending);
            return SP_E_LIMIT;
        }
    }
    sp_cell_add(&cluster->cells.rq_pending_total, 1);
    sp_cell_add(&cluster->cells.rq_pending_active, 1);
    stream->waits = true;
    endpoint->pending_count++;
    sp_list_push(&endpoint->pending, &stream->pool_link);
    return SP_E_AGAIN;
}

void sp_pool_forget(struct sp_stream *stream)
{
    if (!stream->waits)
        return;
    stream->waits = false;
    stream->endpoint->pending_count--;
    sp_list_remove(&stream->pool_link);
    sp_cell_sub(&stream->cluster->cells.rq_pending_active, 1);
    sp_lease_give(&stream->cluster->pending);
}

/* Lines came free: serve who waits, oldest first. A call that is over as soon as it is sent (one-way) frees
 * its line inside the loop: the loop sees it, there is no need to come here again. */
static void serve_pending(struct sp_endpoint *endpoint)
{
    if (endpoint->serving)
        return;
    endpoint->serving = true;
    endpoint->users++; /* a call that ends meanwhile must not take the endpoint along */
    struct sp_stream *stream;
    SP_LIST_EACH(&endpoint->pending, stream, next, struct sp_stream, pool_link) {
        struct sp_line *line = find(endpoint, stream, stream->codec->multiplexed, false);
        if (!line && !stream->codec->multiplexed && sp_list_is_empty(&endpoint->idle))
            break;
        if (!line)
            continue; /* one behind it may speak what there is a line for */
        sp_pool_forget(stream);
        bind(line, stream);
        next = endpoint->pending.next; /* binding may have run other calls: begin again */
    }
    endpoint->serving = false;
    enum sp_why why;
    stream = SP_LIST_FIRST(&endpoint->pending, struct sp_stream, pool_link);
    if (stream && stream->codec->multiplexed && endpoint->connecting_count == 0)
        (void)start_connect(stream, &why); /* refused: the next line that closes tries anew */
    sp_endpoint_unuse(endpoint);
}

void sp_pool_line_open(struct sp_line *line)
{
    sp_list_remove(&line->pool_link);
    line->endpoint->connecting_count--;
    sp_list_push_first(&line->endpoint->idle, &line->pool_link);
    serve_pending(line->endpoint);
}

/* Calls that wait and for which no connect is under way any more have failed with it. */
void sp_pool_line_failed(struct sp_line *line, enum sp_why why, sp_err err)
{
    struct sp_endpoint *endpoint = line->endpoint;
    struct sp_cluster *cluster = endpoint->cluster;
    sp_pool_line_gone(line);
    sp_cell_add(&endpoint->cx_connect_fail, 1);
    sp_cell_add(&cluster->cells.cx_connect_fail, 1);
    endpoint->users++;
    const struct sp_codec *codec = line->conn.codec;
    bool shared = codec->multiplexed && !endpoint->talks_back;
    struct sp_stream *stream;
    SP_LIST_EACH(&endpoint->pending, stream, next, struct sp_stream, pool_link) {
        if (!shared && endpoint->pending_count <= endpoint->connecting_count)
            break;
        if (shared && stream->codec != codec)
            continue;
        sp_pool_forget(stream);
        sp_stream_connect_failed(stream, why, sp_err_str(err));
        if (shared && is_connecting(endpoint, codec))
            break;                     /* a retry has begun another connect: the rest waits for that one */
        next = endpoint->pending.next; /* telling may have run other calls: begin again */
    }
    sp_endpoint_unuse(endpoint);
}

void sp_pool_line_free(struct sp_line *line)
{
    struct sp_endpoint *endpoint = line->endpoint;
    if (sp_list_is_empty(&line->calls_out)) {
        sp_list_remove(&line->pool_link);
        if (endpoint->gone || line->worker->draining) {
            sp_line_end(line, SP_WHY_NONE);
            return;
        }
        sp_list_push_first(&endpoint->idle, &line->pool_link);
    }
    if (endpoint->pending_count)
        serve_pending(endpoint);
}

void sp_pool_line_gone(struct sp_line *line)
{
    if (line->state == SP_LINE_CONNECTING && sp_list_is_on(&line->pool_link))
        line->endpoint->connecting_count--;
    sp_list_remove(&line->pool_link);
}

/* No line is to be had, and there is none that could come free. */
static void fail_pending(struct sp_endpoint *endpoint, enum sp_why why)
{
    struct sp_stream *stream;
    endpoint->users++;
    while ((stream = SP_LIST_FIRST(&endpoint->pending, struct sp_stream, pool_link)) &&
           !may_come_free(endpoint)) {
        sp_pool_forget(stream);
        sp_stream_connect_failed(stream, why, "no connection to be had");
    }
    sp_endpoint_unuse(endpoint);
}

void sp_pool_line_closed(struct sp_endpoint *endpoint)
{
    enum sp_why why;
    sp_lease_give(&endpoint->cluster->connections);
    sp_cell_sub(&endpoint->cluster->cells.cx_active, 1);
    sp_cell_sub(&endpoint->cx_active, 1);
    struct sp_stream *first = SP_LIST_FIRST(&endpoint->pending, struct sp_stream, pool_link);
    if (!first || endpoint->connecting_count >= endpoint->pending_count)
        return;
    if (!start_connect(first, &why) && !may_come_free(endpoint))
        fail_pending(endpoint, why);
}

void sp_pool_close_idle(struct sp_endpoint *endpoint)
{
    struct sp_line *line;
    SP_LIST_EACH(&endpoint->idle, line, next, struct sp_line, pool_link)
        sp_line_end(line, SP_WHY_NONE);
}

void sp_pool_restart(struct sp_endpoint *endpoint)
{
    enum sp_why why = SP_WHY_NONE;
    uint32_t place = 0;
    bool refused = false;
    endpoint->users++;
    serve_pending(endpoint);
    struct sp_stream *stream;
    SP_LIST_EACH(&endpoint->pending, stream, next, struct sp_stream, pool_link) {
        bool shared = stream->codec->multiplexed && !stream->exclusive && !endpoint->talks_back;
        bool served = shared ? is_connecting(endpoint, stream->codec) : endpoint->connecting_count > place++;
        if (refused || served)
            continue;
        refused = !start_connect(stream, &why);
    }
    if (refused && !may_come_free(endpoint))
        fail_pending(endpoint, why);
    sp_endpoint_unuse(endpoint);
}
