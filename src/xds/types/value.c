/* value: the small things that stand in every resource: times, addresses, numbers that may be absent,
 * metadata.
 *
 * Absent is not zero: Envoy's wrappers and durations are messages, so a default is taken when there is none
 * and never when somebody wrote 0, which for most times means "no such limit".
 *
 * Times are nanoseconds in 64 bits here, and so end at some 290 years; what is longer is refused and not
 * cut, because whoever writes it thinks of milliseconds.
 *
 * An address is numbers or a Unix path. A name is only good where somebody resolves it, which clusters of
 * the type STRICT_DNS do; everywhere else it would be looked up once, when the file is read, and be wrong a
 * day later. So there it is refused. */
#include <stdio.h>

#include "xds/types/types_impl.h"

/* sun_path has 108 bytes, the NUL among them. */
enum { UNIX_PATH_MAX = 107, HOST_MAX = 253 };

void *sp_xds_any(struct sp_xds_build *b, const void *msg, uint32_t field, struct sp_pb_google_any *any)
{
    void *inner = NULL;
    if (!any) {
        SP_XDS_WRONG(b, msg, field, "is missing: it says what this is, by its \"@type\"");
        return NULL;
    }
    sp_err err = sp_form_any_get(b->doc->arena, any, &inner);
    sp_str name = sp_form_type_name(any->type_url);
    if (err == SP_E_NOMEM)
        b->no_memory = true;
    else if (err == SP_E_INVALID)
        SP_XDS_WRONG(b, msg, field, "%.*s does not decode", SP_STR_ARG(name));
    else if (err)
        SP_XDS_REFUSE(b, msg, field, "%.*s is not supported", SP_STR_ARG(name));
    return err ? NULL : inner;
}

bool sp_xds_is(const void *msg, const struct sp_form_msg *type)
{
    return ((const struct sp_form_head *)msg)->type == type;
}

uint64_t sp_xds_ns(struct sp_xds_build *b, const void *msg, uint32_t field,
                   const struct sp_pb_google_duration *d, uint64_t absent)
{
    int64_t ns;
    if (!d)
        return absent;
    if (d->seconds < 0 || d->nanos < 0) {
        SP_XDS_WRONG(b, msg, field, "must not be negative");
        return absent;
    }
    if (__builtin_mul_overflow(d->seconds, (int64_t)SP_XDS_NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, d->nanos, &ns)) {
        SP_XDS_WRONG(b, msg, field, "must be less than 290 years; 0s means no limit");
        return absent;
    }
    return (uint64_t)ns;
}

uint32_t sp_xds_u32(const struct sp_pb_google_uint32_value *value, uint32_t absent)
{
    return value ? value->value : absent;
}

bool sp_xds_bool(const struct sp_pb_google_bool_value *value, bool absent)
{
    return value ? value->value : absent;
}

/* ---- addresses ---- */

static bool is_host(sp_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_';
        if (!fine && (c != '.' || i == 0 || name.ptr[i - 1] == '.'))
            return false;
    }
    return name.len > 0 && name.len <= HOST_MAX;
}

bool sp_xds_socket_addr(struct sp_xds_build *b, const struct sp_pb_core_socket_address *s, sp_addr *ret_addr,
                        sp_str *ret_host)
{
    if (s->port_value > UINT16_MAX) {
        SP_XDS_WRONG(b, s, SP_FIELD_CORE_SOCKET_ADDRESS_PORT_VALUE, "must be at most 65535");
        return false;
    }
    if (!sp_addr_parse_ip(s->address, (uint16_t)s->port_value, ret_addr))
        return true;
    sp_str shown = sp_str_upto(s->address, HOST_MAX);
    if (!ret_host) {
        SP_XDS_WRONG(b, s, SP_FIELD_CORE_SOCKET_ADDRESS_ADDRESS,
                     "\"%.*s\" is not an IP address; names are resolved in clusters of type STRICT_DNS only",
                     SP_STR_ARG(shown));
        return false;
    }
    if (!is_host(s->address)) {
        SP_XDS_WRONG(b, s, SP_FIELD_CORE_SOCKET_ADDRESS_ADDRESS,
                     "\"%.*s\" is neither an IP address nor a host name", SP_STR_ARG(shown));
        return false;
    }
    *ret_addr = (sp_addr){ .family = SP_ADDR_NONE, .port = (uint16_t)s->port_value };
    *ret_host = sp_xds_str(b, s->address);
    return true;
}

static bool read_pipe(struct sp_xds_build *b, const struct sp_pb_core_pipe *pipe, sp_addr *ret_addr)
{
    sp_str path = pipe->path;
    if (path.len > UNIX_PATH_MAX || sp_str_find(path, '\0') < path.len) {
        SP_XDS_WRONG(b, pipe, SP_FIELD_CORE_PIPE_PATH,
                     "must be at most %d bytes, none of them NUL: a socket's name is no longer",
                     UNIX_PATH_MAX);
        return false;
    }
    const char *kept = sp_str_dup_z(b->arena, path);
    if (!kept) {
        b->no_memory = true;
        return false;
    }
    *ret_addr = (sp_addr){ .family = SP_ADDR_UNIX, .path = kept };
    return true;
}

bool sp_xds_addr(struct sp_xds_build *b, const void *msg, uint32_t field, const struct sp_pb_core_address *a,
                 sp_addr *ret_addr, sp_str *ret_host)
{
    if (a && a->socket_address)
        return sp_xds_socket_addr(b, a->socket_address, ret_addr, ret_host);
    if (a && a->pipe)
        return read_pipe(b, a->pipe, ret_addr);
    SP_XDS_WRONG(b, msg, field, "is missing: write socket_address: {address, port_value} or pipe: {path}");
    return false;
}

void sp_xds_unset(struct sp_xds_build *b, const void *msg, uint32_t field, const char *why)
{
    const struct sp_form_field *f = sp_form_field(((const struct sp_form_head *)msg)->type, field);
    if (f && sp_form_has(msg, f))
        SP_XDS_REFUSE(b, msg, field, "is not supported: %s", why);
}

bool sp_xds_peek_addr(const struct sp_pb_core_address *a, sp_addr *ret_addr)
{
    const struct sp_pb_core_socket_address *s = a ? a->socket_address : NULL;
    return s && s->port_value <= UINT16_MAX &&
           !sp_addr_parse_ip(s->address, (uint16_t)s->port_value, ret_addr);
}

/* ---- metadata ---- */

const struct sp_pb_google_value *sp_xds_struct_get(const struct sp_pb_google_struct *s, const char *key)
{
    for (uint32_t i = 0; s && i < s->fields_len; i++)
        if (sp_str_eq(s->fields[i]->key, sp_str_c(key)))
            return s->fields[i]->value;
    return NULL;
}

sp_str sp_xds_struct_str(const struct sp_pb_google_struct *s, const char *key)
{
    const struct sp_pb_google_value *value = sp_xds_struct_get(s, key);
    return value && value->string_value.len ? value->string_value : SP_STR("");
}

const struct sp_pb_google_struct *sp_xds_metadata(const struct sp_pb_core_metadata *m, const char *filter)
{
    for (uint32_t i = 0; m && i < m->filter_metadata_len; i++)
        if (sp_str_eq(m->filter_metadata[i]->key, sp_str_c(filter)))
            return m->filter_metadata[i]->value;
    return NULL;
}
