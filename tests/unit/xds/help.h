/* help: reading a bootstrap in a test, and what it was expected to say.
 *
 * A test says one fragment, at the place of a frame: the rest of a bootstrap that works. Lines, columns and
 * paths of what is said are those of the fragment, so that a test can be read alone. */
#ifndef SP_TESTS_XDS_HELP_H
#define SP_TESTS_XDS_HELP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "form/pb.h"
#include "form/read.h"
#include "unit/base/help.h"
#include "xds/types.h"

/* ---- reading ---- */

/* One bootstrap that was read; `snapshot` is NULL when it was refused. */
struct loaded {
    struct sp_arena arena, keep;
    struct sp_form_doc doc;
    struct sp_settings settings;
    struct sp_snapshot *snapshot;
    sp_err err;
};

static inline void load_as(struct loaded *l, const char *file, sp_str text, uint32_t flags)
{
    void *msg = NULL;
    *l = (struct loaded){ 0 };
    sp_arena_init(&l->arena, NULL, 0, 4096, 0);
    sp_arena_init(&l->keep, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_doc_init(&l->doc, &l->arena, file), 0);
    l->err = sp_form_read_text(&l->doc, &sp_pb_bootstrap_bootstrap_msg, text, flags, &msg);
    if (msg) {
        sp_err err = sp_xds_bootstrap(&l->doc, msg, &l->keep, &l->settings, &l->snapshot);
        l->err = l->err ? l->err : err;
    }
    assert_true((l->err == 0) == (l->snapshot != NULL));
    assert_true((l->err == 0) == (l->doc.errors_len == 0));
    if (!l->err)
        sp_arena_deinit(&l->arena); /* nothing may need the message any more */
}

static inline void load(struct loaded *l, const char *file, sp_str text)
{
    load_as(l, file, text, SP_FORM_GO_ON);
}

static inline void unload(struct loaded *l)
{
    if (l->err)
        sp_arena_deinit(&l->arena);
    sp_snapshot_unref(l->snapshot);
    sp_arena_deinit(&l->keep);
}

/* ---- frames ---- */

struct frame {
    const char *head; /* ends in a newline, or is empty */
    unsigned indent;  /* of the fragment's lines */
    const char *path; /* where it stands */
};

#define AT_PORT                                                                                              \
    "endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: "
#define AT_END "}}}}]}]"
#define CLUSTERS                                                                                             \
    "static_resources:\n"                                                                                    \
    "  clusters:\n"                                                                                          \
    "  - {name: out, load_assignment: {cluster_name: out, " AT_PORT "9001" AT_END "}}\n"                     \
    "  - {name: other, load_assignment: {cluster_name: other, " AT_PORT "9002" AT_END "}}\n"                 \
    "  - name: bolt\n"                                                                                       \
    "    load_assignment: {cluster_name: bolt, " AT_PORT "9003" AT_END "}\n"                                 \
    "    typed_extension_protocol_options:\n"                                                                \
    "      sampan.rpc.v1: {\"@type\": type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions,\n"               \
    "        protocol: bolt}\n"
#define LISTENER                                                                                             \
    CLUSTERS                                                                                                 \
    "  listeners:\n"                                                                                         \
    "  - name: in\n"                                                                                         \
    "    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n"
#define FILTER                                                                                               \
    LISTENER                                                                                                 \
    "    filter_chains:\n"                                                                                   \
    "    - filters:\n"                                                                                       \
    "      - name: the filter\n"                                                                             \
    "        typed_config:\n"
#define ROUTER                                                                                               \
    "http_filters: [{name: router, typed_config: {\"@type\": "                                               \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]\n"
#define HCM                                                                                                  \
    FILTER                                                                                                   \
    "          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."  \
    "HttpConnectionManager\n"                                                                                \
    "          stat_prefix: in\n"
#define RPC                                                                                                  \
    FILTER                                                                                                   \
    "          \"@type\": type.googleapis.com/sampan.rpc.v1.RpcConnectionManager\n"                          \
    "          stat_prefix: in\n"
#define TCP                                                                                                  \
    FILTER                                                                                                   \
    "          \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n"      \
    "          stat_prefix: in\n"
#define ALL_TO_OUT                                                                                           \
    "          route_config: {virtual_hosts: [{name: all, domains: [\"*\"],\n"                               \
    "            routes: [{match: {prefix: \"\"}, route: {cluster: out}}]}]}\n"
#define TABLE "          route_config:\n"
#define ROUTE                                                                                                \
    "            virtual_hosts:\n            - name: all\n              domains: [\"*\"]\n"                  \
    "              routes:\n              -\n"
#define FILTER_PATH "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"

static const struct frame whole = { "", 0, "" };
static const struct frame cluster_frame = { "static_resources:\n  clusters:\n  -\n", 4,
                                            "static_resources.clusters[0]" };
static const struct frame listener_frame = { LISTENER, 4, "static_resources.listeners[0]" };
static const struct frame hcm_frame = { HCM "          " ROUTER ALL_TO_OUT, 10, FILTER_PATH };
static const struct frame rpc_frame = { RPC "          " ROUTER ALL_TO_OUT, 10, FILTER_PATH };
static const struct frame tcp_frame = { TCP, 10, FILTER_PATH };
static const struct frame table_frame = { HCM "          " ROUTER TABLE, 12, FILTER_PATH ".route_config" };
static const struct frame route_frame = { HCM "          " ROUTER TABLE ROUTE, 16,
                                          FILTER_PATH ".route_config.virtual_hosts[0].routes[0]" };
static const struct frame rpc_table_frame = { RPC "          protocol: bolt\n          " ROUTER TABLE, 12,
                                              FILTER_PATH ".route_config" };
static const struct frame rpc_route_frame = { RPC "          protocol: bolt\n          " ROUTER TABLE ROUTE,
                                              16, FILTER_PATH ".route_config.virtual_hosts[0].routes[0]" };

static inline void put_fragment(const struct frame *frame, const char *fragment, struct sp_buf *out)
{
    sp_buf_add_c(out, frame->head);
    for (sp_str rest = sp_str_c(fragment); rest.ptr;) {
        sp_str line = sp_str_cut(&rest, '\n');
        if (line.len)
            sp_buf_printf(out, "%*s%.*s\n", (int)frame->indent, "", SP_STR_ARG(line));
        else
            sp_buf_add_char(out, '\n');
    }
    assert_false(out->failed);
}

/* "file:LINE:COLUMN: PATH: words" with the numbers and the path of the fragment. */
static inline void put_said(const struct frame *frame, const struct sp_form_error *error, struct sp_buf *out)
{
    unsigned above = 0;
    for (const char *c = frame->head; *c; c++)
        above += *c == '\n';
    sp_str path = sp_str_c(error->path), prefix = sp_str_c(frame->path);
    bool inside = error->line > above;
    if (prefix.len && sp_str_starts(path, prefix))
        path = sp_str_from(path, prefix.len);
    if (path.len && path.ptr[0] == '.')
        path = sp_str_from(path, 1);
    if (inside)
        sp_buf_printf(out, "%u:%u: ", (unsigned)error->line - above, (unsigned)error->column - frame->indent);
    else
        sp_buf_add_c(out, "above: ");
    sp_buf_printf(out, "%.*s%s%s\n", SP_STR_ARG(path), path.len ? ": " : "", error->text);
}

/* The fragment is refused with exactly these lines, in the order in which they were found. */
static inline void check_says(const struct frame *frame, const char *fragment, const char *want)
{
    struct loaded l;
    struct sp_buf text, said;
    uint64_t blocks = sp_mem_live_blocks();
    sp_buf_init(&text, 0);
    sp_buf_init(&said, 0);
    put_fragment(frame, fragment, &text);
    load(&l, "f.yaml", sp_buf_str(&text));
    for (uint32_t i = 0; i < l.doc.errors_len; i++)
        put_said(frame, &l.doc.errors[i], &said);
    if (!sp_str_eq(sp_buf_str(&said), sp_str_c(want))) {
        fprintf(stderr, "of\n%s\nit says\n%.*sbut should say\n%s", fragment, SP_STR_ARG(sp_buf_str(&said)),
                want);
        fail(); /* whose own words are cut at 1,024 bytes */
    }
    assert_int_equal(l.doc.errors_dropped, 0);
    unload(&l);
    sp_buf_deinit(&said);
    sp_buf_deinit(&text);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

static inline void check_takes_as(const struct frame *frame, const char *fragment, uint32_t flags,
                                  struct loaded *ret_loaded)
{
    struct sp_buf text, said;
    sp_buf_init(&text, 0);
    put_fragment(frame, fragment, &text);
    load_as(ret_loaded, "f.yaml", sp_buf_str(&text), flags);
    if (ret_loaded->err) {
        sp_buf_init(&said, 0);
        sp_form_print_errors(&ret_loaded->doc, &said);
        fail_msg("of\n%s\nit says\n%.*s", fragment, SP_STR_ARG(sp_buf_str(&said)));
    }
    sp_buf_deinit(&text);
}

/* The fragment is taken; the caller unloads. */
static inline void check_takes(const struct frame *frame, const char *fragment, struct loaded *ret_loaded)
{
    check_takes_as(frame, fragment, SP_FORM_GO_ON, ret_loaded);
}

/* The same for what files may not say and the wire may bring: the model has a place for it. */
static inline void check_takes_by_wire(const struct frame *frame, const char *fragment,
                                       struct loaded *ret_loaded)
{
    check_takes_as(frame, fragment, SP_FORM_TAKE_REFUSED, ret_loaded);
}

/* It is taken, and that is all that matters. */
static inline void check_fine(const struct frame *frame, const char *fragment)
{
    struct loaded l;
    uint64_t blocks = sp_mem_live_blocks();
    check_takes(frame, fragment, &l);
    unload(&l);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

/* ---- looking ---- */

static inline const struct sp_listener_spec *listener_of(const struct loaded *l)
{
    const struct sp_listener_spec *spec = sp_snapshot_listener(l->snapshot, SP_STR("in"));
    assert_non_null(spec);
    return spec;
}

static inline const struct sp_chain_spec *chain_of(const struct loaded *l)
{
    assert_int_equal(listener_of(l)->chain_count, 1);
    return &listener_of(l)->chains[0];
}

static inline const struct sp_route *route_of(const struct loaded *l)
{
    const struct sp_route_table *table = chain_of(l)->routes;
    assert_non_null(table);
    assert_true(table->vhost_count > 0 && table->vhosts[0].route_count > 0);
    return &table->vhosts[0].routes[0];
}

static inline const struct sp_cluster_spec *cluster_of(const struct loaded *l, const char *name)
{
    const struct sp_cluster_spec *spec = sp_snapshot_cluster(l->snapshot, sp_str_c(name));
    assert_non_null(spec);
    return spec;
}

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

#endif
