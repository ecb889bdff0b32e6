/* edit: what configuration does to a head's headers.
 *
 * A value is a literal. Envoy's operators (%REQ(x)% and so on) are refused until they can be honoured: a
 * header that carries the text "%DOWNSTREAM_REMOTE_ADDRESS%" is worse than none. "%%" is one per cent sign,
 * as it is there.
 *
 * Some headers are not for sale. Those that frame the message (content-length, transfer-encoding) or belong
 * to one connection are the codec's: an edit could make two messages of one, or a length that is not the
 * body's. The parts of the request line are changed by host_rewrite_literal and prefix_rewrite, which every
 * later step knows of. Envoy lets some of these through, so whoever brings a configuration from there is
 * told what to write instead. */
#include "xds/types/types_impl.h"

/* How HTTP calls it; RPC keys are compared as they are. */
static bool is_named(sp_str name, const char *wanted)
{
    return sp_str_eq_nocase(name, sp_str_c(wanted));
}

static bool is_codecs(sp_str name)
{
    static const char *const names[] = {
        "connection",        "content-length", "keep-alive", "proxy-connection", "te",
        "transfer-encoding", "trailer",        "upgrade",    "http2-settings"
    };
    for (size_t i = 0; i < SP_COUNTOF(names); i++)
        if (is_named(name, names[i]))
            return true;
    return false;
}

static bool may_edit(struct sp_xds_build *b, const void *msg, uint32_t field, uint32_t item, sp_str name)
{
    if (b->rpc)
        return true;
    if (name.len && name.ptr[0] == ':')
        SP_XDS_WRONG_ITEM(
            b, msg, field, item,
            "%.*s is not a header that can be edited; host_rewrite_literal and prefix_rewrite change "
            "a request",
            SP_STR_ARG(name));
    else if (is_named(name, "host"))
        SP_XDS_WRONG_ITEM(b, msg, field, item,
                          "the host is not edited as a header; write host_rewrite_literal");
    else if (is_codecs(name))
        SP_XDS_WRONG_ITEM(b, msg, field, item, "%.*s belongs to the connection and cannot be edited",
                          SP_STR_ARG(name));
    else
        return true;
    return false;
}

/* "%%" becomes "%"; any other per cent sign begins an operator. */
static sp_str read_value(struct sp_xds_build *b, const struct sp_pb_core_header_value *h)
{
    char *out = sp_arena_alloc_align(b->arena, h->value.len + 1, 1);
    size_t len = 0;
    if (!out) {
        b->no_memory = true;
        return SP_STR("");
    }
    for (size_t i = 0; i < h->value.len; i++) {
        bool percent = h->value.ptr[i] == '%';
        if (percent && (i + 1 == h->value.len || h->value.ptr[i + 1] != '%')) {
            sp_str rest = sp_str_from(h->value, i + 1);
            sp_str shown = sp_str_upto(rest, SP_MIN(sp_str_find(rest, '%'), 40));
            SP_XDS_REFUSE(
                b, h, SP_FIELD_CORE_HEADER_VALUE_VALUE,
                "the operator %%%.*s%% is not supported in headers; a per cent sign itself is written %%%%",
                SP_STR_ARG(shown));
            return SP_STR("");
        }
        i += percent;
        out[len++] = h->value.ptr[i];
    }
    return sp_str_of(out, len);
}

static bool is_clean(sp_str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\0' || value.ptr[i] == '\r' || value.ptr[i] == '\n')
            return false;
    return true;
}

static sp_str take_value(struct sp_xds_build *b, const struct sp_pb_core_header_value *h)
{
    if (!h->raw_value.len)
        return read_value(b, h);
    if (h->value.len)
        SP_XDS_WRONG(b, h, SP_FIELD_CORE_HEADER_VALUE_RAW_VALUE,
                     "stands beside value; one of them is enough");
    if (!is_clean(h->raw_value))
        SP_XDS_WRONG(b, h, SP_FIELD_CORE_HEADER_VALUE_RAW_VALUE,
                     "cannot be a header's value: it holds a control byte");
    return sp_xds_str(b, h->raw_value);
}

static enum sp_header_action take_action(struct sp_xds_build *b,
                                         const struct sp_pb_core_header_value_option *option)
{
    if (option->append) {
        if (option->append_action)
            SP_XDS_WRONG(b, option, SP_FIELD_CORE_HEADER_VALUE_OPTION_APPEND,
                         "stands beside append_action, which took its place");
        return option->append->value ? SP_HEADER_APPEND : SP_HEADER_OVERWRITE;
    }
    switch (option->append_action) {
    case SP_PB_CORE_HEADER_VALUE_OPTION_HEADER_APPEND_ACTION_APPEND_IF_EXISTS_OR_ADD: return SP_HEADER_APPEND;
    case SP_PB_CORE_HEADER_VALUE_OPTION_HEADER_APPEND_ACTION_ADD_IF_ABSENT: return SP_HEADER_ADD_IF_ABSENT;
    case SP_PB_CORE_HEADER_VALUE_OPTION_HEADER_APPEND_ACTION_OVERWRITE_IF_EXISTS_OR_ADD:
        return SP_HEADER_OVERWRITE;
    case SP_PB_CORE_HEADER_VALUE_OPTION_HEADER_APPEND_ACTION_OVERWRITE_IF_EXISTS:
        return SP_HEADER_OVERWRITE_IF_PRESENT;
    default: break;
    }
    SP_XDS_WRONG(b, option, SP_FIELD_CORE_HEADER_VALUE_OPTION_APPEND_ACTION, "%d is no action",
                 (int)option->append_action);
    return SP_HEADER_APPEND;
}

static sp_str take_name(struct sp_xds_build *b, sp_str name)
{
    if (b->rpc)
        return sp_xds_str(b, name);
    sp_str lower = sp_str_dup_lower(b->arena, name);
    if (!lower.ptr)
        b->no_memory = true;
    return lower;
}

static void take_adds(struct sp_xds_build *b, const struct sp_xds_edit_lists *lists,
                      struct sp_header_edits *edits)
{
    struct sp_header_add *add = sp_xds_array(b, lists->add_count, sizeof(*add));
    edits->add = add;
    for (uint32_t i = 0; add && i < lists->add_count; i++) {
        const struct sp_pb_core_header_value_option *option = lists->add[i];
        if (!option->header ||
            !may_edit(b, option->header, SP_FIELD_CORE_HEADER_VALUE_KEY, 0, option->header->key))
            continue;
        struct sp_header_add *to = &add[edits->add_count++];
        to->name = take_name(b, option->header->key);
        to->value = take_value(b, option->header);
        to->action = (uint8_t)take_action(b, option);
        to->keep_empty = option->keep_empty_value;
    }
}

void sp_xds_edits(struct sp_xds_build *b, const struct sp_xds_edit_lists *lists,
                  struct sp_header_edits *ret_edits)
{
    take_adds(b, lists, ret_edits);
    sp_str *remove = sp_xds_array(b, lists->remove_count, sizeof(*remove));
    ret_edits->remove = remove;
    for (uint32_t i = 0; remove && i < lists->remove_count; i++)
        if (may_edit(b, lists->msg, lists->remove_field, i, lists->remove[i]))
            remove[ret_edits->remove_count++] = take_name(b, lists->remove[i]);
}
