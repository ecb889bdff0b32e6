/* types_impl: what the files of this folder share: a resource while it is being built, and the small values
 * that stand in all of them. Functions that return nothing have said in the document what was wrong, and go
 * on. */
#ifndef SP_XDS_TYPES_IMPL_H
#define SP_XDS_TYPES_IMPL_H

#include "form/pb.h"
#include "form/read.h"
#include "model/header.h"
#include "wire/call.h"
#include "xds/types.h"

struct sp_regex;

#define SP_XDS_NS_PER_S UINT64_C(1000000000)
#define SP_XDS_NS_PER_MS UINT64_C(1000000)
/* A time whose end nobody will see, where the model has another meaning for 0: a hundred years. */
#define SP_XDS_NEVER_NS (UINT64_C(100) * 365 * 86400 * SP_XDS_NS_PER_S)

/* What lies outside the resource's arena and goes with it. */
struct sp_xds_hold {
    struct sp_xds_hold *next;
    struct sp_regex *regex;       /* one of the two */
    struct sp_route_table *table; /* whose maps are heap memory */
};

/* A resource under construction. */
struct sp_xds_build {
    const struct sp_xds_reading *in;
    struct sp_form_doc *doc;
    struct sp_arena *arena; /* of the resource */
    struct sp_resource *resource;
    struct sp_xds_hold **holds;
    uint64_t errors_before;
    bool no_memory;
    /* of the chain whose routes are read */
    bool rpc;
    uint8_t chain;    /* enum sp_chain_kind */
    uint8_t protocol; /* enum sp_protocol */
    bool may_miss;    /* clusters need not exist */
};

/* Say what is wrong with a field (0: with the message), or with an item of a list; unless it follows from
 * what is wrong with the text. WRONG contradicts itself, REFUSE cannot be done here. */
#define SP_XDS_SAY(in, code, msg, field, i, ...)                                                             \
    (sp_xds_is_spoilt((in), (msg), (field), (i))                                                             \
         ? (void)0                                                                                           \
         : sp_form_error_item((in)->doc, (code), (msg), (field), (i), __VA_ARGS__))
#define SP_XDS_WRONG(b, msg, field, ...)                                                                     \
    SP_XDS_SAY((b)->in, SP_E_INVALID, msg, field, SP_XDS_NO_ITEM, __VA_ARGS__)
#define SP_XDS_WRONG_ITEM(b, msg, field, i, ...) SP_XDS_SAY((b)->in, SP_E_INVALID, msg, field, i, __VA_ARGS__)
#define SP_XDS_REFUSE(b, msg, field, ...)                                                                    \
    SP_XDS_SAY((b)->in, SP_E_UNSUPPORTED, msg, field, SP_XDS_NO_ITEM, __VA_ARGS__)
#define SP_XDS_REFUSE_ITEM(b, msg, field, i, ...)                                                            \
    SP_XDS_SAY((b)->in, SP_E_UNSUPPORTED, msg, field, i, __VA_ARGS__)
enum { SP_XDS_NO_ITEM = UINT32_MAX }; /* the field itself */

/* ---- spoilt.c ---- */
bool sp_xds_is_spoilt(const struct sp_xds_reading *in, const void *msg, uint32_t field, uint32_t item);
/* Is anything wrong with the text at or below the field? */
bool sp_xds_is_broken_below(const struct sp_xds_reading *in, const void *msg, uint32_t field);

/* ---- build.c ---- */
uint64_t sp_xds_error_count(const struct sp_form_doc *doc);
/* `spec` of the kind lies zeroed in the resource. */
sp_err sp_xds_open(struct sp_xds_build *b, const struct sp_xds_reading *in, enum sp_resource_kind kind,
                   sp_str name);
sp_err sp_xds_close(struct sp_xds_build *b, struct sp_resource **ret_resource);
/* Zeroed; NULL for none, and when memory is out, which the build then remembers. */
void *sp_xds_array(struct sp_xds_build *b, size_t count, size_t item_bytes);
sp_str sp_xds_str(struct sp_xds_build *b, sp_str s);
void sp_xds_hold_regex(struct sp_xds_build *b, struct sp_regex *regex);
void sp_xds_hold_table(struct sp_xds_build *b, struct sp_route_table *table);
void sp_xds_use(struct sp_xds_build *b, sp_str cluster, const void *msg, uint32_t field);

/* ---- value.c ---- */
/* The message in an Any; NULL, and said, when it is absent or nothing that we know. */
void *sp_xds_any(struct sp_xds_build *b, const void *msg, uint32_t field, struct sp_pb_google_any *any);
bool sp_xds_is(const void *msg, const struct sp_form_msg *type);
/* `absent` when d is NULL. */
uint64_t sp_xds_ns(struct sp_xds_build *b, const void *msg, uint32_t field,
                   const struct sp_pb_google_duration *d, uint64_t absent);
uint32_t sp_xds_u32(const struct sp_pb_google_uint32_value *value, uint32_t absent);
bool sp_xds_bool(const struct sp_pb_google_bool_value *value, bool absent);
/* False when it was wrong. With `ret_host` a name is taken too: then the family is NONE. */
bool sp_xds_addr(struct sp_xds_build *b, const void *msg, uint32_t field, const struct sp_pb_core_address *a,
                 sp_addr *ret_addr, sp_str *ret_host);
/* The IP address in it, quietly; false when there is none, which is said where it is read. */
bool sp_xds_peek_addr(const struct sp_pb_core_address *a, sp_addr *ret_addr);
bool sp_xds_socket_addr(struct sp_xds_build *b, const struct sp_pb_core_socket_address *s, sp_addr *ret_addr,
                        sp_str *ret_host);
/* A field that has no effect in this place, though it has in others; refused when it is set. What has none
 * anywhere is refused by the schema. */
void sp_xds_unset(struct sp_xds_build *b, const void *msg, uint32_t field, const char *why);
/* The string under `key`, or empty. NULL is an empty struct. */
sp_str sp_xds_struct_str(const struct sp_pb_google_struct *s, const char *key);
const struct sp_pb_google_value *sp_xds_struct_get(const struct sp_pb_google_struct *s, const char *key);
const struct sp_pb_google_struct *sp_xds_metadata(const struct sp_pb_core_metadata *m, const char *filter);

/* ---- chain.c ---- */
/* What HTTP/1.1 always does here may be said, and not be taken away. NULL is fine. */
void sp_xds_check_http1(struct sp_xds_build *b, const struct sp_pb_core_http1_protocol_options *m);

/* ---- match.c ---- */
struct sp_regex *sp_xds_regex(struct sp_xds_build *b, const struct sp_pb_matcher_regex_matcher *m);
const struct sp_match *sp_xds_header_matches(struct sp_xds_build *b,
                                             struct sp_pb_route_header_matcher *const *list, uint32_t count);
const struct sp_match *sp_xds_param_matches(struct sp_xds_build *b,
                                            struct sp_pb_route_query_parameter_matcher *const *list,
                                            uint32_t count);

/* ---- edit.c ---- */
/* One pair of lists of a message: headers to add and names to remove, with their field numbers. */
struct sp_xds_edit_lists {
    const void *msg;
    struct sp_pb_core_header_value_option *const *add;
    const sp_str *remove;
    uint32_t add_count, remove_count;
    uint32_t add_field, remove_field;
};
void sp_xds_edits(struct sp_xds_build *b, const struct sp_xds_edit_lists *lists,
                  struct sp_header_edits *ret_edits);

/* ---- route.c, action.c ---- */
const struct sp_route_table *sp_xds_route_table(struct sp_xds_build *b,
                                                const struct sp_pb_route_route_configuration *msg,
                                                struct sp_route_table *table);
void sp_xds_route_action(struct sp_xds_build *b, const struct sp_pb_route_route_action *msg,
                         struct sp_route *route);
void sp_xds_redirect(struct sp_xds_build *b, const struct sp_pb_route_redirect_action *msg,
                     struct sp_route *route);
void sp_xds_direct(struct sp_xds_build *b, const struct sp_pb_route_direct_response_action *msg,
                   uint32_t body_max, struct sp_route *route);
void sp_xds_retry(struct sp_xds_build *b, const struct sp_pb_route_retry_policy *msg,
                  struct sp_retry *ret_retry);

/* ---- chain.c, log.c ---- */
void sp_xds_chain(struct sp_xds_build *b, const struct sp_pb_listener_filter_chain *msg,
                  struct sp_chain_spec *chain);
const struct sp_log_spec *sp_xds_logs(struct sp_xds_build *b, struct sp_pb_accesslog_access_log *const *list,
                                      uint32_t count, uint32_t *ret_count);

/* ---- endpoint.c ---- */
void sp_xds_endpoints(struct sp_xds_build *b, const struct sp_pb_endpoint_cluster_load_assignment *msg,
                      struct sp_cluster_spec *spec);

#endif
