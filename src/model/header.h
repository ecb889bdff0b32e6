/* header: matching and editing of a head's headers, as configuration says it. */
#ifndef SP_MODEL_HEADER_H
#define SP_MODEL_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct sp_regex; /* model/regex.h */

enum sp_match_kind {
    SP_MATCH_EXACT,
    SP_MATCH_PREFIX,
    SP_MATCH_SUFFIX,
    SP_MATCH_CONTAINS,
    SP_MATCH_REGEX,
    SP_MATCH_PRESENT, /* the value does not matter */
    SP_MATCH_RANGE,   /* an integer in [range_start, range_end) */
};

/* One condition on a string, a header's value or a query parameter's. */
struct sp_match {
    enum sp_match_kind kind;
    bool ignore_case;
    bool invert;
    bool missing_is_empty; /* treat an absent header as "" */
    bool want_present;     /* PRESENT: false = must be absent */
    sp_str name;           /* of the header or parameter; empty for a plain string match */
    uint8_t id; /* enum sp_hdr of wire/call.h when the name has one, else 0: a hint, the name decides */
    sp_str text;
    struct sp_regex *regex;
    int64_t range_start, range_end;
};

enum sp_header_action {
    SP_HEADER_APPEND,
    SP_HEADER_ADD_IF_ABSENT,
    SP_HEADER_OVERWRITE,
    SP_HEADER_OVERWRITE_IF_PRESENT
};

struct sp_header_add {
    sp_str name, value; /* literal value; %...% operators are refused at load until they can be honoured */
    uint8_t action;     /* enum sp_header_action */
    bool keep_empty;
};

/* What a route, virtual host or table does to heads; applied innermost first. */
struct sp_header_edits {
    const struct sp_header_add *add;
    uint32_t add_count;
    const sp_str *remove;
    uint32_t remove_count;
};

/* SP_OK with *ret_hit; SP_E_LIMIT when a regex reached its limit (the call is refused: REGEX_LIMIT).
 * `value.ptr` NULL = absent. Case folding is ASCII; a regex says (?i) itself. */
sp_err sp_match_test(const struct sp_match *match, sp_str value, bool *ret_hit) SP_MUST_USE;

#endif
