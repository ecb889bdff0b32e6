/* form: the schema as tables, and what every typed value has in common.
 *
 * proto/ holds our subset of Envoy's schema and our own; tools/pbgen turns it at build time into form/pb.h
 * (a struct for each message) and the tables described here. One table-driven reader and writer serves all
 * messages and all three spellings: protobuf, JSON, YAML.
 *
 * A typed value lives in an arena, whole: message, strings, lists, sub-messages. Nobody frees a part of it.
 * What is zeroed is valid: it is the empty message once its head names its type (sp_form_new does).
 *
 *   scalar, enum     the value; zero when absent. `optional` in proto: bool has_<name> besides
 *   message          a pointer, NULL when absent. Wrappers (google.protobuf.UInt32Value ...) are messages
 *   repeated         a pointer to the items and <name>_len; items of messages are pointers
 *   map              repeated entries: a struct with key and value
 *   oneof            each member as above and uint32_t <oneof>_case: the number of the set one, 0 = none;
 *                    the others are zero
 *   Any              type_url and value (bytes), and `message`: the value, once it has been decoded */
#ifndef SP_FORM_FORM_H
#define SP_FORM_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sp_arena;
struct sp_form_field;
struct sp_form_set;

/* Deepest nesting of messages, lists and maps in any spelling; protobuf's own limit. */
#define SP_FORM_DEPTH_MAX 100
/* Largest document or message that is read: a gRPC message of an xDS server with everything in it. */
#define SP_FORM_BYTES_MAX ((size_t)64 << 20)

enum sp_form_kind {
    SP_FORM_BOOL,
    SP_FORM_INT32,
    SP_FORM_INT64,
    SP_FORM_UINT32,
    SP_FORM_UINT64,
    SP_FORM_SINT32,
    SP_FORM_SINT64,
    SP_FORM_FIXED32,
    SP_FORM_FIXED64,
    SP_FORM_SFIXED32,
    SP_FORM_SFIXED64,
    SP_FORM_FLOAT,
    SP_FORM_DOUBLE,
    SP_FORM_STRING, /* sp_str, valid UTF-8 */
    SP_FORM_BYTES,  /* sp_str */
    SP_FORM_ENUM,   /* int32_t; numbers without a name are kept */
    SP_FORM_MESSAGE,
};

/* Messages that have a JSON form of their own, or that the readers treat apart. */
enum sp_form_special {
    SP_FORM_PLAIN,
    SP_FORM_ANY,
    SP_FORM_DURATION,
    SP_FORM_TIMESTAMP,
    SP_FORM_STRUCT,
    SP_FORM_VALUE,
    SP_FORM_LIST_VALUE,
    SP_FORM_WRAPPER,
    SP_FORM_MAP_ENTRY,
    SP_FORM_REFUSED, /* sampan.Refused: Envoy knows what is in it, we do not; only its bytes are kept */
};

enum {
    SP_FORM_F_REPEATED = 1 << 0, /* maps too */
    SP_FORM_F_MAP = 1 << 1,
    SP_FORM_F_PACKED = 1 << 2, /* written packed; read either way */
    SP_FORM_F_OPTIONAL = 1 << 3,
    SP_FORM_F_ONEOF = 1 << 4,
    SP_FORM_F_WORKS = 1 << 5, /* without it a file that sets the field is refused */
    SP_FORM_F_DEPRECATED = 1 << 6,
};

/* What a value must keep to (sampan.Rule). Zero in a length means no such limit. */
struct sp_form_rule {
    bool required;
    bool header_name, header_value;
    bool has_min, has_max;
    uint32_t min_len, max_len;
    uint32_t min_items, max_items;
    int64_t min, max;
};

struct sp_form_value_name {
    const char *name;
    int32_t number;
    const char *refused; /* why, or NULL */
};

struct sp_form_enum {
    const char *name; /* full name, as all names of types here */
    const struct sp_form_value_name *values;
    uint32_t values_len;
};

struct sp_form_oneof {
    const char *name;
    uint32_t case_offset;
    bool needed;
};

struct sp_form_field {
    const char *name;
    const char *json_name; /* lowerCamelCase */
    const char *works;     /* the test that shows it; "" = none named yet; NULL = refused in files */
    const char *hint;      /* what to say besides when it is refused, or NULL */
    const struct sp_form_rule *rule;
    const struct sp_form_msg *msg; /* of SP_FORM_MESSAGE */
    const struct sp_form_enum *en; /* of SP_FORM_ENUM */
    uint32_t number;
    uint32_t offset;
    uint32_t side_offset; /* of <name>_len, has_<name> or <oneof>_case */
    uint8_t kind;         /* enum sp_form_kind */
    uint8_t flags;        /* SP_FORM_F_ */
    uint8_t oneof;        /* index into the message's oneofs, when SP_FORM_F_ONEOF */
};

struct sp_form_msg {
    const char *name;
    const struct sp_form_set *set;
    const struct sp_form_field *fields; /* ascending numbers */
    const struct sp_form_oneof *oneofs;
    uint32_t fields_len, oneofs_len;
    uint32_t size;
    uint8_t special; /* enum sp_form_special */
};

/* All messages of one generated file. */
struct sp_form_set {
    const struct sp_form_msg *const *msgs; /* ascending names */
    const char *const *known;              /* types that are refused by name; ascending */
    uint32_t msgs_len, known_len;
};

/* Every generated struct begins with it. */
struct sp_form_head {
    const struct sp_form_msg *type;
    sp_str unknown;        /* fields that the schema does not know, as they came by the wire */
    uint32_t unknown_room; /* bytes behind unknown.ptr when the reader copied them, else 0 */
};

/* The struct of sampan.Refused. */
struct sp_form_refused {
    struct sp_form_head head;
};

/* An empty message; NULL when the arena is out. */
void *sp_form_new(struct sp_arena *a, const struct sp_form_msg *type);

/* NULL when absent. `sp_form_field_by_name` takes the original name or the JSON name. */
const struct sp_form_msg *sp_form_find(const struct sp_form_set *set, sp_str full_name);
bool sp_form_is_known(const struct sp_form_set *set, sp_str full_name);
const struct sp_form_field *sp_form_field(const struct sp_form_msg *type, uint32_t number);
const struct sp_form_field *sp_form_field_by_name(const struct sp_form_msg *type, sp_str name);
const struct sp_form_value_name *sp_form_enum_value(const struct sp_form_enum *en, int32_t number);
const struct sp_form_value_name *sp_form_enum_by_name(const struct sp_form_enum *en, sp_str name);

/* The part of a type URL behind the last slash. */
sp_str sp_form_type_name(sp_str type_url);

/* Is the field set: a message there, a list not empty, a oneof chosen, a scalar not zero or marked given? */
bool sp_form_has(const void *msg, const struct sp_form_field *f);
/* Items of a repeated field; for a singular one 1 when it is set, else 0. */
uint32_t sp_form_len(const void *msg, const struct sp_form_field *f);
/* The address of item i (0 for a singular value): of a bool, int32_t, ..., sp_str or pointer to a message. */
void *sp_form_at(const void *msg, const struct sp_form_field *f, uint32_t i);
/* The message in item i. */
void *sp_form_msg_at(const void *msg, const struct sp_form_field *f, uint32_t i);

/* Make room for one more item and return its zeroed place; for a singular field its place, marked as set
 * (a oneof's other members become zero). NULL when the arena is out. */
void *sp_form_add(struct sp_arena *a, void *msg, const struct sp_form_field *f);

/* The message inside a google.protobuf.Any (struct sp_pb_google_any): decoded before, or now from its bytes.
 * SP_E_MISSING: the type is not in the schema; SP_E_UNSUPPORTED: it is refused by name; SP_E_INVALID: the
 * bytes break the grammar. */
sp_err sp_form_any_get(struct sp_arena *a, void *any, void **ret_msg) SP_MUST_USE;

/* Bytes that a value of this kind takes in a struct or list. */
size_t sp_form_kind_bytes(enum sp_form_kind kind);

#endif
