/* path: one canonical form of a request target's path, made once, before anybody looks at it: policy, routes
 * and the next hop then see the same bytes. */
#ifndef SP_WIRE_PATH_H
#define SP_WIRE_PATH_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct sp_arena;

/* What becomes of %2F and %5C, which some readers take for slashes and some do not. */
enum sp_path_escaped {
    SP_PATH_ESCAPED_KEEP, /* stay as they are: opaque; still refused beside a dot segment */
    SP_PATH_ESCAPED_REFUSE,
    SP_PATH_ESCAPED_DECODE, /* become slashes before anything else */
};

/* All zero: the path is only checked for bytes that no target may hold. */
struct sp_path_rules {
    bool normalize;     /* %XX of unreserved characters decoded, hex digits large, "\" = "/", dots removed */
    bool merge_slashes; /* runs of slashes become one, after that */
    uint8_t escaped;    /* enum sp_path_escaped */
};

/* `target` is a path with or without a query, or "*". *ret_target is `target` itself when nothing had to be
 * changed, else lies in `arena`; the query is left as it is. SP_E_INVALID with *ret_why (static words) when
 * there is no one meaning: the caller answers 400. SP_E_NOMEM when the arena is out. The result is a fixed
 * point: canonical again, it does not change. */
sp_err sp_path_canonical(sp_str target, const struct sp_path_rules *rules, struct sp_arena *arena,
                         sp_str *ret_target, const char **ret_why) SP_MUST_USE;

/* The part before the query. */
sp_str sp_path_without_query(sp_str target);

#endif
