/* intake: from an accepted descriptor to a line or a relay.
 *
 *   PROXY header (if the listener reads one) ──> original destination ──> listener of that destination (if
 *   asked) ──> chains that still match ──> first bytes (if some of them depend on what is spoken) ──> chain
 *
 * An intake owns the socket while it looks. Most connections need no look at all: a listener with one chain
 * of a known protocol hands over at once, without a read. Where bytes decide, reading starts and wire/detect
 * says what they are; a protocol in which the server speaks first sends none, so after the listener's time
 * (detect_ns) the connection is taken as raw TCP. A relay to such a server needs the chain for raw bytes;
 * where there is none the connection is cut with NOT_DETECTED, in words that say what is missing.
 *
 * The choice among chains is Envoy's, condition by condition: destination port, destination address (longest
 * prefix), transport, application protocol, source address. Each keeps the chains that say the most special
 * thing that holds, and there is no way back: when those fail a later condition, the default chain is left.
 * */
#include "proxy/intake.h"

#include <string.h>

#include "base/mem.h"
#include "proxy/intake_impl.h"
#include "proxy/line.h"
#include "proxy/tcp.h"
#include "proxy/worker.h"
#include "wire/detect.h"
#include "wire/proxyproto.h"

#define DETECT_NS_DEFAULT (300 * SP_NS_PER_MS)
#define PROXY_HEADER_NS (5 * SP_NS_PER_S)
#define IDLE_NS_DEFAULT (3600 * SP_NS_PER_S) /* a chain's own, where it says nothing */

/* ---- which chain ---- */

static int net_bits(const struct sp_net *nets, uint32_t count, const sp_addr *addr)
{
    int best = count ? -1 : 0;
    for (uint32_t i = 0; i < count; i++)
        if (sp_addr_in_net(addr, &nets[i].addr, nets[i].bits))
            best = SP_MAX(best, (int)nets[i].bits + 1);
    return best;
}

static bool speaks(const struct sp_chain_spec *spec, enum sp_protocol protocol)
{
    if (!spec->match_protocol_count)
        return true;
    for (uint32_t i = 0; i < spec->match_protocol_count; i++) {
        sp_str name = spec->match_protocols[i];
        bool http = sp_str_eq(name, SP_STR("http/1.1")) || sp_str_eq(name, SP_STR("http/1.0"));
        if (protocol == SP_PROTO_HTTP1 ? http : sp_str_eq(name, sp_str_c(sp_protocol_name(protocol))))
            return true;
    }
    return false;
}

/* A condition of a chain: -1 = it does not hold, 0 = the chain has none, more = the more special one. */
typedef int (*condition)(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                         enum sp_protocol protocol);

static const sp_addr *called(const struct sp_origin *origin)
{
    return origin->dst.family ? &origin->dst : &origin->local;
}

static int on_port(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                   enum sp_protocol protocol)
{
    (void)protocol;
    return !spec->match_port ? 0 : spec->match_port == called(origin)->port ? 1 : -1;
}

static int on_address(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                      enum sp_protocol protocol)
{
    (void)protocol;
    return net_bits(spec->match_nets, spec->match_net_count, called(origin));
}

static int on_transport(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                        enum sp_protocol protocol)
{
    (void)origin, (void)protocol;
    return spec->match_raw; /* there is no other yet */
}

static int on_protocol(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                       enum sp_protocol protocol)
{
    (void)origin;
    if (!spec->match_protocol_count || protocol == SP_PROTO_NONE)
        return 0;
    return speaks(spec, protocol) ? 1 : -1;
}

static int on_source(const struct sp_chain_spec *spec, const struct sp_origin *origin,
                     enum sp_protocol protocol)
{
    (void)protocol;
    return net_bits(spec->match_sources, spec->match_source_count, &origin->peer);
}

/* In Envoy's order. */
static const condition conditions[] = { on_port, on_address, on_transport, on_protocol, on_source };

/* Of the chains that are left (sp_chain.fits), keep those that say the most special thing of `c`. */
static void narrow(const struct sp_intake *in, uint32_t count, condition c, enum sp_protocol protocol)
{
    struct sp_chain **chains = in->listener->chains;
    int best = 0;
    for (uint32_t i = 0; i < count; i++)
        if (chains[i]->fits)
            best = SP_MAX(best, c(chains[i]->spec, &in->origin, protocol));
    for (uint32_t i = 0; i < count; i++)
        chains[i]->fits = chains[i]->fits && c(chains[i]->spec, &in->origin, protocol) == best;
}

/* `protocol` NONE: not known yet; *ret_depends: the answer may change when it is. */
static struct sp_chain *choose(const struct sp_intake *in, enum sp_protocol protocol, bool *ret_depends)
{
    const struct sp_listener *listener = in->listener;
    uint32_t count = listener->spec->has_default ? listener->chain_count - 1 : listener->chain_count;
    struct sp_chain *best = NULL;
    *ret_depends = false;
    for (uint32_t i = 0; i < count; i++)
        listener->chains[i]->fits = true;
    for (unsigned c = 0; c < SP_COUNTOF(conditions); c++) {
        if (conditions[c] == on_protocol && protocol == SP_PROTO_NONE)
            for (uint32_t i = 0; i < count; i++)
                *ret_depends |= listener->chains[i]->fits && listener->chains[i]->spec->match_protocol_count;
        narrow(in, count, conditions[c], protocol);
    }
    for (uint32_t i = 0; i < count && !best; i++)
        if (listener->chains[i]->fits)
            best = listener->chains[i];
    if (!best && listener->spec->has_default)
        best = listener->chains[listener->chain_count - 1];
    if (best && best->spec->kind != SP_CHAIN_TCP && best->spec->protocol == SP_PROTO_NONE)
        *ret_depends = true; /* "auto": the bytes choose the codec */
    return best;
}

/* ---- hand over ---- */

static const struct sp_codec *codec_for(const struct sp_intake *in, const struct sp_chain *chain,
                                        enum sp_protocol protocol)
{
    enum sp_protocol p = chain->spec->protocol ? chain->spec->protocol : protocol;
    if (p == SP_PROTO_BOLT && protocol == SP_PROTO_BOLT2)
        p = SP_PROTO_BOLT2; /* one name for both versions: the first byte tells */
    if (chain->spec->kind == SP_CHAIN_RPC && p == SP_PROTO_HTTP1 && !chain->spec->protocol)
        return NULL;
    return p < SP_PROTO_COUNT ? in->listener->worker->process->codecs[p] : NULL;
}

static void leave(struct sp_intake *in)
{
    sp_timer_stop(in->listener->worker->loop, &in->timer);
    sp_list_remove(&in->link);
}

static void cut(struct sp_intake *in, enum sp_why why)
{
    in->why = why;
    leave(in);
    sp_conn_close(&in->conn, true);
}

/* The connection is `chain`'s from here. */
static void hand_over(struct sp_intake *in, struct sp_chain *chain, enum sp_protocol protocol)
{
    bool raw = chain->spec->kind == SP_CHAIN_TCP;
    const struct sp_codec *codec = raw ? NULL : codec_for(in, chain, protocol);
    if (!raw && !codec) { /* what is not recognised is for the default chain, if that takes raw bytes */
        chain = in->listener->chains[in->listener->chain_count - 1];
        if (!in->listener->spec->has_default || chain->spec->kind != SP_CHAIN_TCP) {
            cut(in, SP_WHY_NOT_DETECTED);
            return;
        }
    }
    leave(in);
    struct sp_view first = sp_conn_release_input(&in->conn);
    int fd = sp_sock_detach(&in->conn.sock);
    struct sp_origin origin = in->origin;
    sp_conn_forget(&in->conn);
    sp_mem_free(in);
    if (codec)
        sp_line_accept(chain, fd, &origin, codec, first);
    else
        sp_tcp_start(chain, fd, &origin, first);
}

static void arm_detection(struct sp_intake *in)
{
    uint64_t ns = in->listener->spec->detect_ns;
    sp_timer_set(in->listener->worker->loop, &in->timer, ns ? ns : DETECT_NS_DEFAULT);
}

/* Is there a chain for a connection that says nothing, or nothing that we know? */
static bool takes_raw(const struct sp_intake *in)
{
    bool depends;
    const struct sp_chain *raw = choose(in, SP_PROTO_TCP, &depends);
    return raw && raw->spec->kind == SP_CHAIN_TCP;
}

/* Nothing has come in time, and raw bytes have no chain here: it was opened ahead, and may wait as long as an
 * idle connection does. `likely`: the chain that would have been its own, or NULL. False: not (any more). */
static bool rest(struct sp_intake *in, const struct sp_chain *likely)
{
    if (in->conn.in_len || in->rests || takes_raw(in))
        return false;
    in->rests = true;
    uint64_t ns = likely ? likely->spec->idle_ns : IDLE_NS_DEFAULT;
    if (ns)
        sp_timer_set(in->listener->worker->loop, &in->timer, ns);
    return true;
}

/* As far as the first bytes tell; a chain for Bolt asks the first one alone, for the version. */
static enum sp_protocol spoken(const struct sp_intake *in, bool depends)
{
    if (!in->conn.in_len)
        return SP_PROTO_NONE;
    if (!depends)
        return in->conn.in_at[0] == 2 ? SP_PROTO_BOLT2 : SP_PROTO_BOLT;
    return sp_detect(sp_str_of(in->conn.in_at, in->conn.in_len), NULL);
}

/* Look at what is known; hand over, cut, or wait for (more) bytes. `late`: no more will come in time. */
static void look(struct sp_intake *in, bool late)
{
    bool depends;
    struct sp_chain *chain = choose(in, SP_PROTO_NONE, &depends);
    enum sp_protocol protocol = SP_PROTO_NONE;
    bool bolt = chain && chain->spec->protocol == SP_PROTO_BOLT;
    if (depends || bolt) {
        protocol = spoken(in, depends);
        if (protocol == SP_PROTO_NONE && in->rests && in->conn.in_len && !late) {
            in->rests = false; /* it speaks: now the words must come in time */
            arm_detection(in);
        }
        if (protocol == SP_PROTO_NONE && (!late || rest(in, chain)))
            return;
        if (protocol == SP_PROTO_NONE && in->rests && !in->conn.in_len) {
            cut(in, SP_WHY_IDLE);
            return;
        }
        if (protocol == SP_PROTO_NONE)
            protocol = SP_PROTO_TCP;
        chain = choose(in, protocol, &depends);
    }
    if (!chain) {
        sp_cell_add(&in->listener->cells.no_filter_chain_match, 1);
        cut(in, SP_WHY_NO_CHAIN);
        return;
    }
    hand_over(in, chain, protocol);
}

/* ---- PROXY header and original destination ---- */

/* False: wait for more, or cut. */
static bool read_proxy_header(struct sp_intake *in)
{
    struct sp_proxyproto header;
    if (!in->conn.in_len)
        return false;
    ssize_t used = sp_proxyproto_read(sp_str_of(in->conn.in_at, in->conn.in_len), &header);
    if (used == 0)
        return false;
    if (used < 0 && in->listener->spec->proxy_protocol_optional) {
        in->proxy_header_done = true;
        return true;
    }
    if (used < 0) {
        sp_cell_add(&in->listener->cells.proxy_protocol_error, 1);
        cut(in, SP_WHY_PROXY_PROTOCOL);
        return false;
    }
    sp_conn_skip(&in->conn, (size_t)used);
    in->proxy_header_done = true;
    bool is_ip = header.from.family == SP_ADDR_IP4 || header.from.family == SP_ADDR_IP6;
    if (!header.local && is_ip) { /* a path would be known no longer than the header lives */
        in->origin.direct = in->origin.peer;
        in->origin.peer = header.from;
        in->origin.dst = header.to;
    }
    return true;
}

/* The connection is another listener's from here: that one counts it, and lives as long. False: it is full.
 * */
static bool move_to(struct sp_intake *in, struct sp_listener *to)
{
    struct sp_listener *from = in->listener;
    sp_cell_add(&to->cells.cx_total, 1);
    if (!sp_lease_take(&to->connections)) {
        sp_cell_add(&to->cells.cx_overflow, 1);
        cut(in, SP_WHY_LISTENER_FULL);
        return false;
    }
    to->active++;
    sp_cell_add(&to->cells.cx_active, 1);
    in->listener = to;
    sp_listener_unuse(from);
    return true;
}

/* use_original_dst: the chains are those of the listener at that address (or its port on any address). False:
 * there is one, and it is full. */
static bool find_listener(struct sp_intake *in)
{
    struct sp_listener *home = in->listener, *at, *found = NULL;
    if (!home->spec->use_original_dst || !in->origin.dst.family)
        return true;
    SP_LIST_EACH(&home->worker->listeners, at, next, struct sp_listener, link) {
        static const uint8_t any[16];
        const sp_addr *addr = &at->spec->addr;
        if (at == home || addr->family != in->origin.dst.family || addr->port != in->origin.dst.port)
            continue;
        if (sp_addr_eq(addr, &in->origin.dst))
            return move_to(in, at);
        if (!memcmp(addr->ip, any, sizeof(any)))
            found = at;
    }
    return !found || move_to(in, found);
}

static void go_on(struct sp_intake *in, bool late)
{
    if (in->listener->spec->proxy_protocol && !in->proxy_header_done) {
        if (!read_proxy_header(in)) {
            if (late && !in->conn.closed)
                cut(in, SP_WHY_PROXY_PROTOCOL);
            return;
        }
        if (!find_listener(in))
            return;
        arm_detection(in);
        late = in->conn.end_told; /* then no more will come */
    }
    look(in, late);
}

/* ---- the connection's events ---- */

static struct sp_intake *intake_of(struct sp_conn *conn)
{
    return SP_CONTAINER(conn, struct sp_intake, conn);
}

void sp_intake_on_timer(struct sp_timer *timer)
{
    struct sp_intake *in = SP_CONTAINER(timer, struct sp_intake, timer);
    sp_cell_add(&in->listener->cells.detect_timeout, !in->rests);
    go_on(in, true);
}

/* Bytes wait undecoded (the conn is held); this is called when some have come. */
static void on_part(struct sp_conn *conn)
{
    go_on(intake_of(conn), false);
}

static void on_end(struct sp_conn *conn, sp_err err, bool mid_message)
{
    struct sp_intake *in = intake_of(conn);
    (void)mid_message;
    bool spoke = conn->in_len > 0; /* all that it will say: an HTTP/1.0 request with a half-closed end */
    bool waits = !in->listener->spec->proxy_protocol || in->proxy_header_done;
    if (err == SP_E_CLOSED && (spoke || (waits && takes_raw(in))))
        go_on(in, true);
    else
        cut(in, SP_WHY_CLIENT_GONE);
}

static void on_closed(struct sp_conn *conn)
{
    struct sp_intake *in = intake_of(conn);
    struct sp_listener *listener = in->listener;
    enum sp_why why = in->why;
    sp_mem_free(in);
    sp_listener_refuse(listener, -1, why);
}

static void on_event(struct sp_conn *conn, struct sp_event *ev, struct sp_slab *slab)
{
    (void)ev, (void)slab;
    SP_ASSERT(!conn); /* held: nothing is decoded */
}

static void on_broken(struct sp_conn *conn, struct sp_event *ev)
{
    (void)ev;
    SP_ASSERT(!conn);
}

const struct sp_conn_ops sp_intake_conn_ops = {
    .on_event = on_event, .on_broken = on_broken, .on_end = on_end, .on_part = on_part, .on_closed = on_closed
};

/* Where the call was going before rules of the kernel brought it here. A connection that called this very
 * port was going nowhere else, though the kernel (where it tracks connections) gives that as its destination:
 * forwarded there it would come back to us, again and again. */
static void find_destination(struct sp_intake *in)
{
    struct sp_origin *origin = &in->origin;
    const struct sp_listener_spec *spec = in->listener->spec;
    bool by_name = origin->local.port == in->listener->bound.port;
    if (by_name && sp_addr_eq(&origin->dst, &origin->local))
        origin->dst = (sp_addr){ .family = SP_ADDR_NONE };
    if (spec->transparent && !by_name && !origin->dst.family)
        origin->dst = origin->local; /* TPROXY: the socket has the address that was called */
}

void sp_intake_start(struct sp_listener *listener, int fd, const sp_addr *peer)
{
    struct sp_worker *worker = listener->worker;
    struct sp_intake *in = sp_mem_zalloc(sizeof(*in));
    if (!in) {
        sp_listener_refuse(listener, fd, SP_WHY_MEMORY);
        return;
    }
    in->listener = listener;
    in->origin.peer = *peer;
    in->origin.local = listener->bound;
    in->timer.on_fire = sp_intake_on_timer;
    if (sp_conn_open(&in->conn, &worker->link, &sp_intake_conn_ops, fd)) {
        sp_mem_free(in);
        sp_listener_refuse(listener, fd, SP_WHY_MEMORY);
        return;
    }
    sp_conn_hold(&in->conn, true); /* bytes gather; on_part says when some have come */
    sp_list_push(&worker->intakes, &in->link);
    const struct sp_listener_spec *spec = listener->spec;
    if (spec->addr.family != SP_ADDR_UNIX &&
        (spec->read_original_dst || spec->use_original_dst || spec->transparent))
        SP_IGNORE(sp_sock_original_dst(&in->conn.sock, &in->origin.dst)); /* none: it was called directly */
    if (spec->addr.family != SP_ADDR_UNIX)
        SP_IGNORE(sp_sock_local(&in->conn.sock, &in->origin.local)); /* the bound address stands in */
    find_destination(in);
    if (!spec->proxy_protocol && !find_listener(in))
        return;
    spec = in->listener->spec;
    sp_ns wait = spec->proxy_protocol ? PROXY_HEADER_NS
                 : spec->detect_ns    ? spec->detect_ns
                                      : DETECT_NS_DEFAULT;
    sp_timer_set(worker->loop, &in->timer, wait);
    go_on(in, false);
}

void sp_intake_cut_all(struct sp_worker *worker)
{
    struct sp_intake *in;
    SP_LIST_EACH(&worker->intakes, in, next, struct sp_intake, link)
        cut(in, SP_WHY_DRAINING);
}
