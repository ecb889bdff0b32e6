/* call: the slots of a head, found and edited.
 *
 * A head is a flat table of headers, in the order in which they came. It is not a map: a call has six
 * headers, rarely twenty, and walking twenty entries of 24 bytes is cheaper than hashing one name. What
 * somebody looks at by name gets a number (`enum sp_hdr`) while the codec scans it, so most look-ups compare
 * one byte for each entry; only names that no list knows are compared as text.
 *
 * The number comes from a perfect hash: length, first, middle and last letter, each times a constant, index
 * one of 64 slots, and the one name that may stand there is compared. The constants were found by trying;
 * the compiler refuses the table (override-init) when two names would fall into one slot, and the test asks
 * for each name. Letters are folded for the hash only; whether they fold in the comparison is the protocol's
 * affair: HTTP names do, Bolt's header keys are Java strings and do not. A name counts only in the protocols
 * where it means what the number says: `service` is a slot of Bolt and an unknown header in HTTP.
 *
 * Editing never touches bytes that were received: an added header is a new entry that borrows its name and
 * value, and the head is marked SP_HEAD_EDITED, so that the encoder writes it anew instead of copying it. The
 * table that a decoder filled belongs to the decoder's caller and has a fixed size; when it is full the first
 * addition moves the table into the arena.
 *
 * Nothing here knows how a header is written on a wire, or which of them are policy. */
#include "wire/call.h"

#include "base/arena.h"

/* Most headers that edits may grow a head to: what a decoder lets in, and as many again of our own. */
enum { HEADERS_GROWN_MAX = 2 * SP_HEADERS_MAX };

enum { HTTP = 1, RPC = 2, BOTH = HTTP | RPC };

struct known_name {
    const char *name;
    uint8_t len;
    uint8_t id; /* enum sp_hdr */
    uint8_t in; /* protocols in which it has that meaning */
};

#define SLOT(len, first, middle, last)                                                                       \
    (((len)*62 + ((first) | 0x20) * 10 + ((middle) | 0x20) * 15 + ((last) | 0x20) * 57) & 63)

/* middle is name[len / 2]; 0x20 makes letters small, and does no harm to the rest. */
static const struct known_name known_names[64] = {
    [SLOT(4, 'h', 's', 't')] = { "host", 4, SP_HDR_HOST, HTTP },
    [SLOT(10, 'c', 'c', 'n')] = { "connection", 10, SP_HDR_CONNECTION, HTTP },
    [SLOT(10, 'k', 'a', 'e')] = { "keep-alive", 10, SP_HDR_KEEP_ALIVE, HTTP },
    [SLOT(16, 'p', 'n', 'n')] = { "proxy-connection", 16, SP_HDR_PROXY_CONNECTION, HTTP },
    [SLOT(17, 't', '-', 'g')] = { "transfer-encoding", 17, SP_HDR_TRANSFER_ENCODING, HTTP },
    [SLOT(14, 'c', '-', 'h')] = { "content-length", 14, SP_HDR_CONTENT_LENGTH, HTTP },
    [SLOT(2, 't', 'e', 'e')] = { "te", 2, SP_HDR_TE, HTTP },
    [SLOT(7, 't', 'i', 'r')] = { "trailer", 7, SP_HDR_TRAILER, HTTP },
    [SLOT(7, 'u', 'r', 'e')] = { "upgrade", 7, SP_HDR_UPGRADE, HTTP },
    [SLOT(6, 'e', 'e', 't')] = { "expect", 6, SP_HDR_EXPECT, HTTP },
    [SLOT(10, 'u', 'a', 't')] = { "user-agent", 10, SP_HDR_USER_AGENT, HTTP },
    [SLOT(12, 'c', 't', 'e')] = { "content-type", 12, SP_HDR_CONTENT_TYPE, HTTP },
    [SLOT(8, 'l', 't', 'n')] = { "location", 8, SP_HDR_LOCATION, HTTP },
    [SLOT(6, 'c', 'k', 'e')] = { "cookie", 6, SP_HDR_COOKIE, HTTP },
    [SLOT(15, 'x', 'r', 'r')] = { "x-forwarded-for", 15, SP_HDR_X_FORWARDED_FOR, HTTP },
    [SLOT(17, 'x', 'd', 'o')] = { "x-forwarded-proto", 17, SP_HDR_X_FORWARDED_PROTO, HTTP },
    [SLOT(12, 'x', 'e', 'd')] = { "x-request-id", 12, SP_HDR_X_REQUEST_ID, BOTH },
    [SLOT(11, 't', 'p', 't')] = { "traceparent", 11, SP_HDR_TRACEPARENT, BOTH },
    [SLOT(10, 't', 's', 'e')] = { "tracestate", 10, SP_HDR_TRACESTATE, BOTH },
    [SLOT(12, 'x', 'r', 'd')] = { "x-b3-traceid", 12, SP_HDR_B3_TRACE_ID, HTTP },
    [SLOT(12, 's', 'r', 'd')] = { "sofa-traceid", 12, SP_HDR_SOFA_TRACE_ID, HTTP },
    [SLOT(29, 'r', 'e', 'd')] = { "rpc_trace_context.sofaTraceId", 29, SP_HDR_SOFA_TRACE_ID, RPC },
    [SLOT(10, 's', 'r', 'd')] = { "sofa-rpcid", 10, SP_HDR_SOFA_RPC_ID, HTTP },
    [SLOT(27, 'r', 't', 'd')] = { "rpc_trace_context.sofaRpcId", 27, SP_HDR_SOFA_RPC_ID, RPC },
    [SLOT(7, 's', 'v', 'e')] = { "service", 7, SP_HDR_SOFA_SERVICE, RPC },
    [SLOT(24, 's', 'r', 'e')] = { "sofa_head_target_service", 24, SP_HDR_SOFA_SERVICE, BOTH },
    [SLOT(21, 's', 'm', 'e')] = { "sofa_head_method_name", 21, SP_HDR_SOFA_METHOD, BOTH },
    [SLOT(20, 's', 't', 'p')] = { "sofa_head_target_app", 20, SP_HDR_SOFA_TARGET_APP, BOTH },
    [SLOT(3, 'a', 'p', 'p')] = { "app", 3, SP_HDR_SOFA_APP, RPC },
    [SLOT(24, 's', 's', 'r')] = { "sofa_head_response_error", 24, SP_HDR_SOFA_ERROR, BOTH },
    [SLOT(30, 's', 'i', 'e')] = { "sofa_head_deadline_remain_time", 30, SP_HDR_SOFA_DEADLINE, BOTH },
};

static const sp_str envoy_prefix = { "x-envoy-", 8 };

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t load4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* 1 to 3 bytes: the first, the middle and the last of them, which may be one. */
static uint64_t load_few(const char *p, size_t len)
{
    return (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[len / 2] << 8 |
           (uint64_t)(unsigned char)p[len - 1] << 16;
}

/* Do eight bytes differ in the case of letters only? `text` is a known name's: ASCII, letters small. */
static bool same_folded(uint64_t name, uint64_t text)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t letters = ((text + ones * (0x80 - 'a')) & high) >> 2; /* 0x20 where a letter stands */
    return ((name ^ text) & ~letters) == 0;
}

/* Of equal length. The last eight bytes may overlap those before them. */
static bool is_folded(const char *name, const char *text, size_t len)
{
    if (len < 4)
        return same_folded(load_few(name, len), load_few(text, len));
    if (len < 8)
        return same_folded(load4(name) | load4(name + len - 4) << 32, load4(text) | load4(text + len - 4)
                                                                                        << 32);
    for (size_t i = 0; i + 8 < len; i += 8)
        if (!same_folded(load8(name + i), load8(text + i)))
            return false;
    return same_folded(load8(name + len - 8), load8(text + len - 8));
}

enum sp_hdr sp_hdr_of(sp_str name, bool fold)
{
    if (name.len == 0)
        return SP_HDR_OTHER;

    unsigned len = (unsigned)name.len;
    const char *p = name.ptr;
    const struct known_name *known =
        &known_names[SLOT(len, (unsigned char)p[0], (unsigned char)p[len / 2], (unsigned char)p[len - 1])];
    if (name.len == known->len) {
        if (fold && (known->in & HTTP) && is_folded(p, known->name, len))
            return known->id;
        if (!fold && (known->in & RPC) && memcmp(p, known->name, len) == 0)
            return known->id;
    }
    if (fold && len > envoy_prefix.len && (p[0] | 0x20) == 'x' && sp_str_starts_nocase(name, envoy_prefix))
        return SP_HDR_X_ENVOY;
    return SP_HDR_OTHER;
}

static bool folds(const struct sp_head *head)
{
    return head->protocol == SP_PROTO_HTTP1;
}

static sp_str header_name(const struct sp_header *h)
{
    return (sp_str){ h->name, h->name_len };
}

static bool is_named(const struct sp_header *h, sp_str name, bool fold)
{
    return fold ? sp_str_eq_nocase(header_name(h), name) : sp_str_eq(header_name(h), name);
}

const struct sp_header *sp_head_find(const struct sp_head *head, enum sp_hdr id)
{
    for (uint32_t i = 0; i < head->header_count; i++)
        if (head->headers[i].id == id)
            return &head->headers[i];
    return NULL;
}

const struct sp_header *sp_head_find_name(const struct sp_head *head, sp_str name)
{
    bool fold = folds(head);
    for (uint32_t i = 0; i < head->header_count; i++)
        if (is_named(&head->headers[i], name, fold))
            return &head->headers[i];
    return NULL;
}

static sp_str header_value(const struct sp_header *h)
{
    return h ? (sp_str){ h->value, h->value_len } : SP_STR_NULL;
}

sp_str sp_head_value(const struct sp_head *head, enum sp_hdr id)
{
    return header_value(sp_head_find(head, id));
}

sp_str sp_head_value_name(const struct sp_head *head, sp_str name)
{
    return header_value(sp_head_find_name(head, name));
}

sp_str sp_head_path(const struct sp_head *head, struct sp_arena *arena)
{
    if (head->protocol == SP_PROTO_HTTP1)
        return head->path;

    size_t len = 1 + head->service.len + 1 + head->method.len;
    char *path = sp_arena_alloc_align(arena, len, 1);
    if (!path)
        return SP_STR_NULL;

    char *at = path;
    *at++ = '/';
    if (head->service.len)
        memcpy(at, head->service.ptr, head->service.len);
    at += head->service.len;
    *at++ = '/';
    if (head->method.len)
        memcpy(at, head->method.ptr, head->method.len);
    return (sp_str){ path, len };
}

/* A copy of the table with room for `cap` entries. */
static struct sp_header *copy_table(const struct sp_head *head, struct sp_arena *arena, uint32_t cap)
{
    struct sp_header *table = sp_arena_array(arena, cap, sizeof(*table));
    if (table && head->header_count)
        memcpy(table, head->headers, head->header_count * sizeof(*table));
    return table;
}

/* Move `*s`, which lies in the run that was copied from `from` to `to`, or else copy it by itself. */
static sp_err move_str(sp_str *s, sp_str from, const char *to, struct sp_arena *arena)
{
    if (s->len == 0 || !s->ptr)
        return 0;
    uintptr_t at = (uintptr_t)s->ptr, start = (uintptr_t)from.ptr;
    if (to && at >= start && at - start < from.len && s->len <= from.len - (at - start)) {
        s->ptr = to + (at - start);
        return 0;
    }
    *s = sp_str_dup(arena, *s);
    return s->ptr ? 0 : SP_E_NOMEM;
}

static sp_err copy_strings(struct sp_head *to, struct sp_arena *arena)
{
    sp_str from = to->raw;
    if (from.len) {
        to->raw = sp_str_dup(arena, from);
        if (!to->raw.ptr)
            return SP_E_NOMEM;
    }
    const char *raw = from.len ? to->raw.ptr : NULL;

    sp_str *slots[] = { &to->service, &to->method, &to->path, &to->reason, &to->class_name };
    for (size_t i = 0; i < SP_COUNTOF(slots); i++) {
        sp_err err = move_str(slots[i], from, raw, arena);
        if (err)
            return err;
    }
    for (uint32_t i = 0; i < to->header_count; i++) {
        struct sp_header *h = &to->headers[i];
        sp_str name = header_name(h), value = header_value(h);
        sp_err err = move_str(&name, from, raw, arena);
        if (!err)
            err = move_str(&value, from, raw, arena);
        if (err)
            return err;
        h->name = name.ptr;
        h->value = value.ptr;
    }
    return 0;
}

sp_err sp_head_copy(struct sp_head *to, const struct sp_head *from, struct sp_arena *arena, bool strings)
{
    struct sp_head copy = *from;
    copy.header_cap = from->header_count;
    copy.headers = NULL;
    if (from->header_count) {
        copy.headers = copy_table(from, arena, from->header_count);
        if (!copy.headers)
            return SP_E_NOMEM;
    }
    if (strings) {
        sp_err err = copy_strings(&copy, arena);
        if (err)
            return err;
    }
    *to = copy;
    return 0;
}

static sp_err grow(struct sp_head *head, struct sp_arena *arena)
{
    if (head->header_count >= HEADERS_GROWN_MAX)
        return SP_E_LIMIT;

    uint32_t cap = SP_MIN(head->header_count * 2 + 8, (uint32_t)HEADERS_GROWN_MAX);
    struct sp_header *table = copy_table(head, arena, cap);
    if (!table)
        return SP_E_NOMEM;
    head->headers = table;
    head->header_cap = cap;
    return 0;
}

sp_err sp_head_add(struct sp_head *head, struct sp_arena *arena, sp_str name, sp_str value)
{
    if (name.len == 0 || name.len > UINT16_MAX || value.len > UINT32_MAX)
        return SP_E_RANGE;
    if (head->header_count >= head->header_cap) {
        sp_err err = grow(head, arena);
        if (err)
            return err;
    }
    head->headers[head->header_count++] = (struct sp_header){
        .name = name.ptr,
        .value = value.len ? value.ptr : "",
        .name_len = (uint16_t)name.len,
        .value_len = (uint32_t)value.len,
        .id = (uint8_t)sp_hdr_of(name, folds(head)),
    };
    head->flags |= SP_HEAD_EDITED;
    return 0;
}

void sp_head_remove(struct sp_head *head, sp_str name)
{
    bool fold = folds(head);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        if (is_named(&head->headers[i], name, fold))
            continue;
        if (kept != i)
            head->headers[kept] = head->headers[i];
        kept++;
    }
    if (kept == head->header_count)
        return;
    head->header_count = kept;
    head->flags |= SP_HEAD_EDITED;
}

sp_err sp_head_set(struct sp_head *head, struct sp_arena *arena, sp_str name, sp_str value)
{
    if (name.len == 0 || name.len > UINT16_MAX || value.len > UINT32_MAX)
        return SP_E_RANGE;

    bool fold = folds(head);
    for (uint32_t i = 0; i < head->header_count; i++) {
        if (!is_named(&head->headers[i], name, fold))
            continue;
        struct sp_header first = head->headers[i];
        first.value = value.len ? value.ptr : "";
        first.value_len = (uint32_t)value.len;
        first.flags = 0;
        sp_head_remove(head, name);
        memmove(&head->headers[i + 1], &head->headers[i], (head->header_count - i) * sizeof(first));
        head->headers[i] = first;
        head->header_count++;
        return 0;
    }
    return sp_head_add(head, arena, name, value);
}

const char *sp_protocol_name(enum sp_protocol protocol)
{
    switch (protocol) {
    case SP_PROTO_NONE: return "none";
    case SP_PROTO_TCP: return "tcp";
    case SP_PROTO_HTTP1: return "http";
    case SP_PROTO_BOLT: return "bolt";
    case SP_PROTO_BOLT2: return "bolt";
    case SP_PROTO_COUNT: break;
    }
    return "none";
}
