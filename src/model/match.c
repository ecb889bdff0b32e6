/* match: does a string, a header's value or a query parameter's, meet one condition?
 *
 * The table of what absence means is Envoy's, since configurations are written against it:
 *
 *      value        missing_is_empty   condition       result
 *      absent       no                 PRESENT         want_present == invert
 *      absent       no                 any other       no, also when inverted: nothing can be said about it
 *      absent       yes                any             as for ""
 *      given        -                  PRESENT         want_present != invert
 *      given        -                  any other       (it holds) != invert
 *
 * Case folds for ASCII letters alone: header values are bytes, and folding by a locale or by Unicode would
 * make two proxies with two tables disagree. A regex is not folded from outside, it says (?i) itself.
 *
 * A regex that used up its bounded work has no answer; that is SP_E_LIMIT, and neither yes nor no, because a
 * route that is skipped, or taken, by mistake is worse than a refused call. */
#include "model/header.h"

#include "model/regex.h"

static bool is_equal(const struct sp_match *match, sp_str value)
{
    return match->ignore_case ? sp_str_eq_nocase(value, match->text) : sp_str_eq(value, match->text);
}

static bool is_prefix(const struct sp_match *match, sp_str value)
{
    return value.len >= match->text.len && is_equal(match, sp_str_upto(value, match->text.len));
}

static bool is_suffix(const struct sp_match *match, sp_str value)
{
    return value.len >= match->text.len && is_equal(match, sp_str_from(value, value.len - match->text.len));
}

static bool is_inside(const struct sp_match *match, sp_str value)
{
    if (!match->ignore_case)
        return match->text.len == 0 || sp_str_find_str(value, match->text) < value.len;
    for (size_t at = 0; at + match->text.len <= value.len; at++)
        if (is_prefix(match, sp_str_from(value, at)))
            return true;
    return false;
}

static bool is_in_range(const struct sp_match *match, sp_str value)
{
    int64_t number;
    return !sp_str_to_i64(value, &number) && number >= match->range_start && number < match->range_end;
}

sp_err sp_match_test(const struct sp_match *match, sp_str value, bool *ret_hit)
{
    bool hit = false;
    if (!value.ptr && !match->missing_is_empty) {
        *ret_hit = match->kind == SP_MATCH_PRESENT && match->want_present == match->invert;
        return 0;
    }
    switch (match->kind) {
    case SP_MATCH_EXACT: hit = is_equal(match, value); break;
    case SP_MATCH_PREFIX: hit = is_prefix(match, value); break;
    case SP_MATCH_SUFFIX: hit = is_suffix(match, value); break;
    case SP_MATCH_CONTAINS: hit = is_inside(match, value); break;
    case SP_MATCH_PRESENT: hit = match->want_present; break;
    case SP_MATCH_RANGE: hit = is_in_range(match, value); break;
    case SP_MATCH_REGEX: {
        sp_err err = sp_regex_match(match->regex, value, &hit);
        if (err)
            return err;
        break;
    }
    }
    *ret_hit = hit != match->invert;
    return 0;
}
