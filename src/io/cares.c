/* cares: names to addresses by c-ares, its sockets and its clock hung onto the loop.
 *
 *    sp_dns_resolve ──> ares_getaddrinfo ──> sockets that c-ares opens
 *                                               │ sock_state_cb: watch, change, forget
 *                            loop: readiness ───┤
 *                            loop: timer ───────┴──> ares_process_fd ──> on_result: keep it in the query
 *                                                                          │
 *                            end of the turn  <────────────────────────────┘ on_answer
 *
 * Answers are kept until the end of the turn, because c-ares calls back from wherever it stands: inside the
 * very call (a line of /etc/hosts), inside the processing of another answer, inside ares_destroy.
 * Nobody who is told from there could cancel, ask again or free us.
 *
 * c-ares cannot cancel one query: a cancelled one is only marked, and dies when its result comes.
 *
 * It reads resolv.conf when a channel is made, and never again; but networks change while a sidecar runs, and
 * then every name would fail until it is started anew. So before a query, at most once in LOOK_NS, the file
 * is looked at, and when it is another one a new channel takes over. The old one stays until its queries are
 * answered:
 *
 *      channels:  [now] ──> [old, 2 queries] ──> [older, 1 query]      an old one without queries is gone
 *
 * Newer versions can read it anew by themselves (ares_reinit). They would do the same with queries that fail
 * in between, and two ways are twice the tests; this one works with every version.
 *
 * ARES_AI_NOSORT: its own sorting opens a socket for each address to ask the kernel for a route; we sort by
 * bytes anyway. One lookup asks for both families where more than one may do, and the family rule is applied
 * to what came. Search domains and ndots of resolv.conf hold, as for any program on the machine. */
#include "io/dns_impl.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/epoll_impl.h"
#include "io/timer.h"

enum {
    TRY_MS = 2000, /* for the first try of a server; c-ares doubles it for each round */
    TRIES = 3,
    NAME_MAX_BYTES = 255,
};

#define LOOK_NS (5 * SP_NS_PER_S)

/* What a file was like; all zero: it is not there. */
struct stamp {
    uint64_t dev, ino, bytes, changed_ns;
};

struct resolver {
    struct sp_dns dns;
    struct channel *now;
    struct sp_list channels; /* of channel.link: now, and old ones with queries under way */
    struct sp_list queries;  /* of query.link */
    const char *path;        /* of resolv.conf; NULL: where c-ares looks */
    uint16_t port;           /* of servers; 0: the usual one */
    struct stamp stamp;      /* of it, when `now` was made */
    sp_ns look_ns, next_look;
    bool given; /* servers were given: no file counts */
};

struct channel {
    struct sp_list link; /* on resolver->channels */
    struct resolver *resolver;
    ares_channel ares;
    struct sp_timer timer;
    struct sp_turn turn;    /* an old one without queries: c-ares may not be freed from its own callback */
    struct sp_list watches; /* of resolver_watch.link */
    uint32_t under_way;     /* queries */
};

struct resolver_watch {
    struct sp_fd_watch watch;
    struct sp_list link;
    struct channel *channel;
};

struct query {
    struct sp_dns_query query;
    struct sp_list link;
    struct sp_turn turn; /* the answer waits for the end of the turn */
    struct channel *channel;
    enum sp_dns_family family;
    bool under_way; /* c-ares will call back */
    bool cancelled;
    struct sp_dns_answer answer;
    sp_addr *addrs; /* of the answer */
};

static struct resolver *resolver_of(struct sp_dns *dns)
{
    return SP_CONTAINER(dns, struct resolver, dns);
}

static sp_err err_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: return 0;
    case ARES_ENODATA:
    case ARES_ENOTFOUND: return SP_E_MISSING;
    case ARES_ETIMEOUT: return SP_E_TIMEOUT;
    case ARES_ENOMEM: return SP_E_NOMEM;
    case ARES_EBADNAME: return SP_E_INVALID;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return SP_E_CANCELLED;
    default: return SP_E_IO;
    }
}

/* --- c-ares on the loop --------------------------------------------------------------------------------- */

static void on_time(struct sp_timer *timer);

/* After every call into c-ares: when does it want to be called again? */
static void set_timer(struct channel *c)
{
    struct timeval left;
    if (!ares_timeout(c->ares, NULL, &left)) {
        sp_timer_stop(c->resolver->dns.loop, &c->timer);
        return;
    }
    sp_timer_set(c->resolver->dns.loop, &c->timer,
                 (sp_ns)left.tv_sec * SP_NS_PER_S + (sp_ns)left.tv_usec * SP_NS_PER_US);
}

static void on_time(struct sp_timer *timer)
{
    struct channel *c = SP_CONTAINER(timer, struct channel, timer);
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(c);
}

static void on_ready(struct sp_fd_watch *watch, uint32_t events)
{
    struct channel *c = SP_CONTAINER(watch, struct resolver_watch, watch)->channel;
    int fd = watch->fd; /* the watch may be gone when c-ares is done */
    bool out = events & EPOLLOUT;
    bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    ares_process_fd(c->ares, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    set_timer(c);
}

static struct resolver_watch *find_watch(struct channel *c, int fd)
{
    struct resolver_watch *w;
    SP_LIST_EACH(&c->watches, w, next, struct resolver_watch, link)
        if (w->watch.fd == fd)
            return w;
    return NULL;
}

static void forget(struct channel *c, struct resolver_watch *w)
{
    sp_epoll_unwatch(c->resolver->dns.loop, &w->watch);
    sp_list_remove(&w->link);
    sp_mem_free(w);
}

/* Neither readable nor writable: c-ares is about to close it. */
static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = arg;
    struct resolver_watch *w = find_watch(c, fd);
    if (!readable && !writable) {
        if (w)
            forget(c, w);
        return;
    }
    bool again = w != NULL;
    if (!again) {
        w = sp_mem_zalloc(sizeof(*w));
        if (!w)
            return; /* the query will come to its timeout */
        w->watch = (struct sp_fd_watch){ .fd = fd, .on_ready = on_ready };
        w->channel = c;
        sp_list_push(&c->watches, &w->link);
    }
    uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
    if (sp_epoll_watch(c->resolver->dns.loop, &w->watch, events, again))
        forget(c, w); /* the query will come to its timeout */
}

/* --- channels ------------------------------------------------------------------------------------------- */

static void free_channel(struct channel *c)
{
    struct sp_loop *loop = c->resolver->dns.loop;
    ares_destroy(c->ares); /* calls back for all that is under way, closes its sockets */
    SP_ASSERT(sp_list_is_empty(&c->watches));
    sp_timer_stop(loop, &c->timer);
    sp_loop_turn_cancel(&c->turn);
    sp_list_remove(&c->link);
    sp_mem_free(c);
}

static void on_unused(struct sp_turn *turn)
{
    free_channel(SP_CONTAINER(turn, struct channel, turn));
}

static void free_if_unused(struct channel *c)
{
    if (c != c->resolver->now && c->under_way == 0)
        sp_loop_at_turn_end(c->resolver->dns.loop, &c->turn);
}

static sp_err make_channel(struct resolver *r)
{
    struct channel *c = sp_mem_zalloc(sizeof(*c));
    if (!c)
        return SP_E_NOMEM;
    c->resolver = r;
    c->timer.on_fire = on_time;
    c->turn.on_turn_end = on_unused;
    sp_list_init(&c->watches);
    struct ares_options options = { .timeout = TRY_MS,
                                    .tries = TRIES,
                                    .sock_state_cb = on_sock_state,
                                    .sock_state_cb_data = c,
                                    .udp_port = r->port,
                                    .tcp_port = r->port,
                                    .resolvconf_path = (char *)(uintptr_t)r->path };
    int which = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    which |= r->path ? ARES_OPT_RESOLVCONF : 0;
    which |= r->port ? ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT : 0;
    if (ares_init_options(&c->ares, &options, which)) {
        sp_mem_free(c);
        return SP_E_IO;
    }
    struct channel *old = r->now;
    sp_list_push(&r->channels, &c->link);
    r->now = c;
    if (old)
        free_if_unused(old);
    return 0;
}

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path ? path : "/etc/resolv.conf", &st))
        return (struct stamp){ 0 };
    return (struct stamp){ .dev = st.st_dev,
                           .ino = st.st_ino,
                           .bytes = (uint64_t)st.st_size,
                           .changed_ns = (uint64_t)st.st_mtim.tv_sec * SP_NS_PER_S +
                                         (uint64_t)st.st_mtim.tv_nsec };
}

/* Where no new channel can be had the old one goes on, and it is tried again at the next look. */
static void look(struct resolver *r)
{
    sp_ns now = sp_loop_now(r->dns.loop);
    if (r->given || now < r->next_look)
        return;
    r->next_look = now + r->look_ns;
    struct stamp stamp = stamp_of(r->path); /* before it is read: what changes in between is seen later */
    if (memcmp(&stamp, &r->stamp, sizeof(stamp)) != 0 && make_channel(r) == 0)
        r->stamp = stamp;
}

sp_err sp_cares_use(struct sp_dns *dns, const char *path, uint16_t port, sp_ns look_ns)
{
    struct resolver *r = resolver_of(dns);
    r->path = path;
    r->port = port;
    r->look_ns = look_ns;
    r->next_look = 0;
    r->stamp = stamp_of(path);
    return make_channel(r);
}

/* --- queries -------------------------------------------------------------------------------------------- */

static void free_query(struct query *q)
{
    sp_loop_turn_cancel(&q->turn);
    sp_list_remove(&q->link);
    sp_mem_free(q->addrs);
    sp_mem_free(q);
}

static void give_answer(struct sp_turn *turn)
{
    struct query *q = SP_CONTAINER(turn, struct query, turn);
    void (*on_answer)(void *, const struct sp_dns_answer *) = q->query.on_answer;
    void *arg = q->query.arg;
    struct sp_dns_answer answer = q->answer;
    sp_addr *addrs = q->addrs;
    q->addrs = NULL;
    free_query(q); /* first, so that a cancel from the callback finds nothing to cancel */
    on_answer(arg, &answer);
    sp_mem_free(addrs);
}

static bool has_family(const struct ares_addrinfo *info, int family)
{
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        if (node->ai_family == family)
            return true;
    return false;
}

/* The one family that is wanted of what came; AF_UNSPEC = all. */
static int family_to_take(const struct ares_addrinfo *info, enum sp_dns_family family)
{
    switch (family) {
    case SP_DNS_IP4_ONLY: return AF_INET;
    case SP_DNS_IP6_ONLY: return AF_INET6;
    case SP_DNS_ANY: return has_family(info, AF_INET6) ? AF_INET6 : AF_INET;
    case SP_DNS_IP4_FIRST: return has_family(info, AF_INET) ? AF_INET : AF_INET6;
    case SP_DNS_ALL: break;
    }
    return AF_UNSPEC;
}

static void keep(struct query *q, const struct ares_addrinfo *info)
{
    int family = family_to_take(info, q->family);
    int64_t ttl = INT32_MAX;
    uint32_t count = 0;
    for (const struct ares_addrinfo_node *node = info->nodes; node && count < SP_DNS_ADDRS_MAX;
         node = node->ai_next) {
        struct sockaddr_storage os = { 0 };
        if ((family != AF_UNSPEC && node->ai_family != family) || node->ai_addrlen > sizeof(os))
            continue;
        memcpy(&os, node->ai_addr, node->ai_addrlen);
        q->addrs[count] = sp_net_from_os(&os, node->ai_addrlen);
        q->addrs[count].port = q->query.port;
        count++;
        if (node->ai_ttl < ttl)
            ttl = node->ai_ttl;
    }
    for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next)
        if (cname->ttl < ttl)
            ttl = cname->ttl;
    q->answer.addrs = q->addrs;
    q->answer.count = sp_dns_sort(q->addrs, count);
    q->answer.ttl_s = count > 0 && ttl > 0 ? (uint32_t)ttl : 0;
    if (count == 0)
        q->answer.err = SP_E_MISSING;
}

static void on_result(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct query *q = arg;
    q->under_way = false;
    q->channel->under_way--;
    if (status != ARES_EDESTRUCTION)
        free_if_unused(q->channel);
    if (q->cancelled || status == ARES_EDESTRUCTION) {
        free_query(q);
    } else {
        q->answer.err = err_of(status);
        if (!q->answer.err && !(q->addrs = sp_mem_alloc(SP_DNS_ADDRS_MAX * sizeof(*q->addrs))))
            q->answer.err = SP_E_NOMEM;
        if (!q->answer.err)
            keep(q, info);
        sp_loop_at_turn_end(q->query.dns->loop, &q->turn);
    }
    ares_freeaddrinfo(info);
}

/* A number answers itself (c-ares 1.18 asks servers for one when both families would do). */
static bool is_number(struct query *q, sp_str name)
{
    sp_addr addr;
    if (sp_addr_parse_ip(name, q->query.port, &addr))
        return false;
    bool fits = addr.family == SP_ADDR_IP4 ? q->family != SP_DNS_IP6_ONLY : q->family != SP_DNS_IP4_ONLY;
    if (!fits) {
        q->answer.err = SP_E_MISSING;
    } else if (!(q->addrs = sp_mem_alloc(sizeof(addr)))) {
        q->answer.err = SP_E_NOMEM;
    } else {
        q->addrs[0] = addr;
        q->answer.addrs = q->addrs;
        q->answer.count = 1;
    }
    sp_loop_at_turn_end(q->query.dns->loop, &q->turn);
    return true;
}

static struct sp_dns_query *cares_resolve(struct sp_dns *dns, sp_str name, uint16_t port,
                                          enum sp_dns_family family,
                                          void (*on_answer)(void *arg, const struct sp_dns_answer *answer),
                                          void *arg)
{
    struct resolver *r = resolver_of(dns);
    struct query *q = sp_mem_zalloc(sizeof(*q));
    if (!q)
        return NULL;
    q->query = (struct sp_dns_query){ .dns = dns, .port = port, .on_answer = on_answer, .arg = arg };
    q->family = family;
    q->turn.on_turn_end = give_answer;
    sp_list_push(&r->queries, &q->link);

    if (is_number(q, name))
        return &q->query;
    char text[NAME_MAX_BYTES + 1];
    if (name.len == 0 || name.len >= sizeof(text) || memchr(name.ptr, 0, name.len)) {
        q->answer.err = SP_E_INVALID;
        sp_loop_at_turn_end(dns->loop, &q->turn);
        return &q->query;
    }
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    int asked = family == SP_DNS_IP4_ONLY ? AF_INET : family == SP_DNS_IP6_ONLY ? AF_INET6 : AF_UNSPEC;
    struct ares_addrinfo_hints hints = { .ai_family = asked,
                                         .ai_socktype = SOCK_STREAM,
                                         .ai_flags = ARES_AI_NOSORT };
    look(r);
    struct channel *c = r->now;
    q->under_way = true;
    q->channel = c;
    c->under_way++;
    ares_getaddrinfo(c->ares, text, NULL, &hints, on_result, q);
    set_timer(c);
    return &q->query;
}

static void cares_cancel(struct sp_dns_query *query)
{
    struct query *q = SP_CONTAINER(query, struct query, query);
    if (q->under_way)
        q->cancelled = true;
    else
        free_query(q);
}

/* --- birth and death ------------------------------------------------------------------------------------ */

static struct sp_dns *cares_make(struct sp_loop *loop)
{
    struct resolver *r = sp_mem_zalloc(sizeof(*r));
    if (!r)
        return NULL;
    r->dns.loop = loop;
    sp_list_init(&r->channels);
    sp_list_init(&r->queries);
    if (sp_cares_use(&r->dns, NULL, 0, LOOK_NS) == 0)
        return &r->dns;
    sp_mem_free(r);
    return NULL;
}

static void cares_free(struct sp_dns *dns)
{
    struct resolver *r = resolver_of(dns);
    struct sp_list *link;
    struct channel *c;
    SP_LIST_EACH(&r->channels, c, next, struct channel, link)
        free_channel(c);
    while ((link = sp_list_pop_first(&r->queries)))
        free_query(SP_CONTAINER(link, struct query, link));
    sp_mem_free(r);
}

static sp_err cares_set_servers(struct sp_dns *dns, const sp_addr *servers, uint32_t count)
{
    struct resolver *r = resolver_of(dns);
    struct ares_addr_port_node *nodes = sp_mem_zalloc(sizeof(*nodes) * (count ? count : 1));
    if (!nodes)
        return SP_E_NOMEM;
    sp_err err = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_ip6 = servers[i].family == SP_ADDR_IP6;
        if (!is_ip6 && servers[i].family != SP_ADDR_IP4)
            err = SP_E_INVALID;
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
        nodes[i].family = is_ip6 ? AF_INET6 : AF_INET;
        nodes[i].udp_port = nodes[i].tcp_port = servers[i].port;
        memcpy(&nodes[i].addr, servers[i].ip, is_ip6 ? 16 : 4);
    }
    if (!err && count == 0)
        err = SP_E_INVALID;
    if (!err && ares_set_servers_ports(r->now->ares, nodes))
        err = SP_E_AGAIN; /* queries are under way */
    r->given |= !err;
    sp_mem_free(nodes);
    return err;
}

const struct sp_dns_body sp_dns_cares = {
    .make = cares_make,
    .free = cares_free,
    .set_servers = cares_set_servers,
    .resolve = cares_resolve,
    .cancel = cares_cancel,
};
