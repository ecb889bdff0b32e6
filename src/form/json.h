/* json: a pull reader of JSON (RFC 8259), one event a call, with line and column of each.
 *
 * Strict: no comments, no trailing commas, no second value, strings in valid UTF-8. Numbers stay text, so
 * nothing is rounded. It holds the whole text and allocates only for strings with escapes (in the arena). */
#ifndef SP_FORM_JSON_H
#define SP_FORM_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "form/form.h"

struct sp_arena;

enum sp_json_event {
    SP_JSON_END, /* the one value is over, and the text too */
    SP_JSON_MAP,
    SP_JSON_MAP_END,
    SP_JSON_LIST,
    SP_JSON_LIST_END,
    SP_JSON_KEY,
    SP_JSON_STRING,
    SP_JSON_NUMBER,
    SP_JSON_TRUE,
    SP_JSON_FALSE,
    SP_JSON_NULL,
};

struct sp_json {
    struct sp_arena *arena;
    sp_str text;
    size_t at;
    size_t counted;        /* how far line and column have been counted */
    uint32_t line, column; /* of the last event, from 1; columns are characters */
    uint32_t depth;
    uint8_t state;
    bool is_map[SP_FORM_DEPTH_MAX];
    sp_str value;        /* of KEY, STRING (without quotes and escapes) and NUMBER (as written) */
    const char *problem; /* after a negative result: what is wrong, at line and column */
};

void sp_json_init(struct sp_json *j, struct sp_arena *arena, sp_str text);
/* An event, or negative: SP_E_INVALID, SP_E_LIMIT (too deep), SP_E_NOMEM. After an end only that again. */
int sp_json_next(struct sp_json *j);

#endif
