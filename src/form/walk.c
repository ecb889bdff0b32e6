/* Walks over typed values: visiting, unpacking what stands in Any, and giving paths to what came by the wire.
 *
 * Three walks, one shape: for each field that is set, for each item, look, then go inside. They differ in
 * what inside means. The visitor goes where it is told; unpacking makes the inside of an Any first, counting
 * depth over all layers, since each layer's own bytes start counting anew; adopting leaves a node of the
 * document's tree behind for everything that it meets:
 *
 *     value (from the wire)                       tree (as the text readers would have left it)
 *     Listener --filter_chains--> FilterChain     MAP -key filter_chains-> LIST -0-> MAP
 *
 * so that sp_form_where answers for both alike, only without lines. */
#include "form/walk.h"

#include "base/arena.h"
#include "base/buf.h"
#include "form/form_impl.h"
#include "form/pb.h"

static void *any_inside(void *msg)
{
    const struct sp_form_head *head = msg;
    return head->type->special == SP_FORM_ANY ? ((struct sp_pb_google_any *)msg)->message : NULL;
}

void sp_form_walk(void *msg, const struct sp_form_visitor *visitor)
{
    const struct sp_form_head *head = msg;
    if (head->unknown.len && visitor->on_unknown)
        visitor->on_unknown(visitor->arg, msg);
    if (any_inside(msg)) {
        sp_form_walk(any_inside(msg), visitor);
        return;
    }
    for (uint32_t n = 0; n < head->type->fields_len; n++) {
        const struct sp_form_field *f = &head->type->fields[n];
        uint32_t len = sp_form_len(msg, f);
        for (uint32_t i = 0; i < len; i++) {
            bool inside = !visitor->on_field || visitor->on_field(visitor->arg, msg, f, i);
            if (inside && f->kind == SP_FORM_MESSAGE && sp_form_msg_at(msg, f, i))
                sp_form_walk(sp_form_msg_at(msg, f, i), visitor);
        }
    }
}

static sp_err unpack(struct sp_arena *a, void *msg, uint32_t depth)
{
    const struct sp_form_head *head = msg;
    sp_err err = SP_OK;
    if (depth > SP_FORM_DEPTH_MAX)
        return SP_E_LIMIT;
    if (head->type->special == SP_FORM_ANY) {
        void *inner;
        err = sp_form_any_get(a, msg, &inner);
        if (err == SP_E_MISSING || err == SP_E_UNSUPPORTED)
            return SP_OK;
        return err ? err : unpack(a, inner, depth + 1);
    }
    for (uint32_t n = 0; n < head->type->fields_len && !err; n++) {
        const struct sp_form_field *f = &head->type->fields[n];
        uint32_t len = f->kind == SP_FORM_MESSAGE ? sp_form_len(msg, f) : 0;
        for (uint32_t i = 0; i < len && !err; i++)
            if (sp_form_msg_at(msg, f, i))
                err = unpack(a, sp_form_msg_at(msg, f, i), depth + 1);
    }
    return err;
}

sp_err sp_form_unpack(struct sp_arena *a, void *msg)
{
    return unpack(a, msg, 0);
}

struct adopt {
    struct sp_form_doc *doc;
    struct sp_form_tree tree;
};

static sp_err adopt_message(struct adopt *ad, void *msg);

static sp_err adopt_value(struct adopt *ad, void *msg, const struct sp_form_field *f, uint32_t i)
{
    if (f->kind == SP_FORM_MESSAGE && sp_form_msg_at(msg, f, i))
        return adopt_message(ad, sp_form_msg_at(msg, f, i));
    return sp_form_tree_scalar(&ad->tree, SP_NODE_STRING, SP_STR(""), 0, 0, NULL);
}

static void add_key_number(struct sp_buf *digits, enum sp_form_kind kind, const void *place)
{
    bool is_signed = kind == SP_FORM_INT32 || kind == SP_FORM_SINT32 || kind == SP_FORM_SFIXED32 ||
                     kind == SP_FORM_INT64 || kind == SP_FORM_SINT64 || kind == SP_FORM_SFIXED64;
    bool is_64 = sp_form_kind_bytes(kind) == 8;
    if (is_signed)
        sp_buf_add_i64(digits, is_64 ? *(const int64_t *)place : *(const int32_t *)place);
    else
        sp_buf_add_u64(digits, is_64 ? *(const uint64_t *)place : *(const uint32_t *)place);
}

/* A map's key as the text would have spelled it. */
static sp_err adopt_key(struct adopt *ad, const void *entry)
{
    const struct sp_form_field *key = &((const struct sp_form_head *)entry)->type->fields[0];
    const void *place = (const char *)entry + key->offset;
    if (key->kind == SP_FORM_STRING)
        return sp_form_tree_key(&ad->tree, *(const sp_str *)place, 0, 0);
    if (key->kind == SP_FORM_BOOL)
        return sp_form_tree_key(&ad->tree, *(const bool *)place ? SP_STR("true") : SP_STR("false"), 0, 0);
    char text[24];
    struct sp_buf digits;
    sp_buf_init_fixed(&digits, text, sizeof(text));
    add_key_number(&digits, key->kind, place);
    return sp_form_tree_key(&ad->tree, sp_buf_str(&digits), 0, 0);
}

static sp_err adopt_map(struct adopt *ad, void *msg, const struct sp_form_field *f)
{
    const struct sp_form_field *value = &f->msg->fields[1];
    sp_err err = SP_OK;
    for (uint32_t i = 0; i < sp_form_len(msg, f) && !err; i++) {
        void *entry = sp_form_msg_at(msg, f, i);
        err = adopt_key(ad, entry);
        if (!err)
            err = adopt_value(ad, entry, value, 0);
    }
    return err;
}

static sp_err adopt_list(struct adopt *ad, void *msg, const struct sp_form_field *f)
{
    bool is_map = f->flags & SP_FORM_F_MAP;
    struct sp_form_node *node;
    sp_err err = sp_form_tree_open(&ad->tree, is_map ? SP_NODE_MAP : SP_NODE_LIST, 0, 0, &node);
    if (err)
        return err;
    node->number = f->number;
    if (is_map)
        err = adopt_map(ad, msg, f);
    else
        for (uint32_t i = 0; i < sp_form_len(msg, f) && !err; i++)
            err = adopt_value(ad, msg, f, i);
    return err ? err : sp_form_tree_close(&ad->tree);
}

static sp_err adopt_fields(struct adopt *ad, void *msg)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)msg)->type;
    sp_err err = SP_OK;
    for (uint32_t n = 0; n < type->fields_len && !err; n++) {
        const struct sp_form_field *f = &type->fields[n];
        if (!sp_form_has(msg, f))
            continue;
        err = sp_form_tree_key(&ad->tree, sp_str_c(f->name), 0, 0);
        if (err)
            break;
        if (f->flags & SP_FORM_F_REPEATED) {
            err = adopt_list(ad, msg, f);
            continue;
        }
        struct sp_form_node *parent = ad->tree.at;
        err = adopt_value(ad, msg, f, 0);
        if (!err)
            parent->last->number = f->number;
    }
    return err;
}

/* An Any and the message in it share a node, as they do in a text. */
static sp_err adopt_message(struct adopt *ad, void *msg)
{
    struct sp_form_node *node;
    void *inner = any_inside(msg);
    sp_err err = sp_form_tree_open(&ad->tree, SP_NODE_MAP, 0, 0, &node);
    if (!err)
        err = sp_form_mark_put(ad->doc, msg, node);
    if (!err && inner)
        err = sp_form_mark_put(ad->doc, inner, node);
    if (!err)
        err = adopt_fields(ad, inner ? inner : msg);
    return err ? err : sp_form_tree_close(&ad->tree);
}

sp_err sp_form_doc_adopt(struct sp_form_doc *doc, void *msg)
{
    struct adopt ad = { .doc = doc, .tree = { .doc = doc } };
    SP_ASSERT(!doc->root);
    return adopt_message(&ad, msg);
}
