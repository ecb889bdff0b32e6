/* regex: PCRE2 (JIT) behind RE2's syntax: whole-string match, bounded work. What RE2 would not accept
 * (back references, look-around) is refused when it is compiled. Immutable, shared by all workers. */
#ifndef SP_MODEL_REGEX_H
#define SP_MODEL_REGEX_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct sp_arena;
struct sp_regex;

/* On failure `ret_why` points to words in `arena`. Free with sp_regex_free. */
sp_err sp_regex_new(sp_str pattern, struct sp_arena *arena, struct sp_regex **ret_regex,
                    const char **ret_why) SP_MUST_USE;
void sp_regex_free(struct sp_regex *regex);
/* SP_E_LIMIT when the bounded work did not suffice. */
sp_err sp_regex_match(const struct sp_regex *regex, sp_str text, bool *ret_hit) SP_MUST_USE;

#endif
