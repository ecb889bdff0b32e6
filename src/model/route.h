/* route: the route table: domains -> virtual hosts -> routes in order -> where the call goes and on which
 * terms. Immutable; lives in its resource's arena; indices are built once (sp_route_table_index). */
#ifndef SP_MODEL_ROUTE_H
#define SP_MODEL_ROUTE_H

#include <stdint.h>

#include "base/map.h"
#include "base/str.h"
#include "model/header.h"

struct sp_arena;

enum sp_path_kind { SP_PATH_PREFIX, SP_PATH_EXACT, SP_PATH_REGEX, SP_PATH_SEPARATED_PREFIX, SP_PATH_CONNECT };

struct sp_route_match {
    enum sp_path_kind kind;
    bool ignore_case;
    sp_str path;
    struct sp_regex *regex;
    const struct sp_match *headers;
    uint32_t header_count;
    const struct sp_match *params;
    uint32_t param_count;
    uint32_t fraction_ppm; /* of calls that match; 1,000,000 = all */
};

struct sp_weighted {
    sp_str cluster;
    uint32_t weight;
    struct sp_header_edits request, response;
};

/* When to try again; bits in sp_retry.on. */
enum sp_retry_on {
    SP_RETRY_CONNECT_FAILURE = 1 << 0, /* no byte of the call left us */
    SP_RETRY_REFUSED = 1 << 1,         /* refused-stream: peer said it did nothing (goaway, limit) */
    SP_RETRY_RESET = 1 << 2,           /* connection cut before an answer began */
    SP_RETRY_5XX = 1 << 3,
    SP_RETRY_GATEWAY = 1 << 4, /* 502, 503, 504 */
    SP_RETRY_4XX = 1 << 5,     /* 409 */
    SP_RETRY_STATUS = 1 << 6,  /* one of statuses[] */
};

struct sp_retry {
    uint32_t on;
    uint32_t retries;    /* 0 = none */
    uint64_t per_try_ns; /* 0 = the call's own */
    uint64_t back_off_ns, back_off_max_ns;
    const uint32_t *statuses;
    uint32_t status_count;
};

enum sp_hash_kind { SP_HASH_HEADER, SP_HASH_COOKIE, SP_HASH_SOURCE_IP, SP_HASH_QUERY };

struct sp_hash_policy {
    enum sp_hash_kind kind;
    bool terminal;
    sp_str name;
};

enum sp_route_kind { SP_ROUTE_FORWARD, SP_ROUTE_REDIRECT, SP_ROUTE_DIRECT };

struct sp_redirect {
    sp_str scheme, host, path, prefix; /* empty = as it was */
    uint32_t port;                     /* 0 = as it was */
    uint32_t status;
    bool strip_query, https;
};

struct sp_route {
    sp_str name;
    struct sp_route_match match;
    enum sp_route_kind kind;
    /* FORWARD */
    sp_str cluster;                     /* one cluster, or ... */
    const struct sp_weighted *weighted; /* ... several by weight */
    uint32_t weighted_count;
    uint32_t weight_total;
    sp_str cluster_header;
    uint64_t timeout_ns;      /* whole answer; 0 = none */
    uint64_t idle_timeout_ns; /* no byte either way; 0 = listener's */
    struct sp_retry retry;    /* the virtual host's where the route has none */
    sp_str host_rewrite, prefix_rewrite;
    bool auto_host_rewrite;
    const struct sp_hash_policy *hash;
    uint32_t hash_count;
    bool upgrade_websocket; /* allowed unless the listener's list says no */
    bool connect;           /* CONNECT ends here (terminate) */
    /* REDIRECT, DIRECT */
    struct sp_redirect redirect;
    uint32_t direct_status;
    sp_str direct_body;
    struct sp_header_edits request, response;
};

struct sp_vhost {
    sp_str name;
    const sp_str *domains;
    uint32_t domain_count;
    const struct sp_route *routes;
    uint32_t route_count;
    struct sp_header_edits request, response;
};

struct sp_route_table {
    sp_str name;
    const struct sp_vhost *vhosts;
    uint32_t vhost_count;
    struct sp_header_edits request, response;
    bool fold_domains; /* HTTP: case folds and the port may be left out; RPC: byte for byte */
    bool ignore_port;
    /* Built by sp_route_table_index: */
    struct sp_map exact;                     /* domain -> vhost */
    const struct sp_vhost *any;              /* "*" */
    const struct sp_domain_suffix *suffixes; /* "*.x", longest first */
    uint32_t suffix_count;
    const struct sp_domain_suffix *prefixes; /* "x.*", longest first */
    uint32_t prefix_count;
    bool path_matters; /* some route looks at more than prefix "/" */
};

struct sp_domain_suffix {
    sp_str text;
    const struct sp_vhost *vhost;
};

/* Build the indices. SP_E_EXISTS and *ret_domain: the same domain twice. SP_E_DENIED and *ret_domain: the
 * name of a header edit that could make two messages out of one (framing headers, line ends). SP_E_NOMEM.
 * After a failure the table has no indices. `table` lives in `arena`; the maps' slots are heap memory,
 * freed by sp_route_table_deinit. */
sp_err sp_route_table_index(struct sp_route_table *table, struct sp_arena *arena,
                            sp_str *ret_domain) SP_MUST_USE;
void sp_route_table_deinit(struct sp_route_table *table);

/* Exact, then "*.suffix" longest first, then "prefix.*" longest first, then "*"; NULL when none. `service`
 * is canonical already (sp_host_canonical) where the table folds. */
const struct sp_vhost *sp_route_table_vhost(const struct sp_route_table *table, sp_str service);

/* Lower case, without a trailing dot; into `out` (at least host.len); the port stays. */
sp_str sp_host_canonical(sp_str host, char *out, size_t out_bytes);

#endif
