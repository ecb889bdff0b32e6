/* match: conditions on headers, query parameters and strings, as Envoy spells them, into the model's one
 * kind.
 *
 * Envoy has three spellings for the same thing: string_match, the older exact_match, prefix_match and their
 * kin, and no condition at all, which asks whether the header is there. All end as struct sp_match, so that
 * a call meets one test.
 *
 * A header's number (enum sp_hdr) is looked up here, once, so that the test compares a byte for each header
 * and not a name. Two numbers stand for several names (x-envoy-*; the two names of SOFA's service), and
 * those conditions go by name.
 *
 * A regex is compiled here; what RE2 would refuse is refused with its words. */
#include "xds/types/types_impl.h"

#include "model/regex.h"

struct sp_regex *sp_xds_regex(struct sp_xds_build *b, const struct sp_pb_matcher_regex_matcher *m)
{
    struct sp_regex *regex;
    const char *why = "";
    if (!m)
        return NULL;
    sp_err err = sp_regex_new(m->regex, b->doc->arena, &regex, &why);
    if (err == SP_E_NOMEM)
        b->no_memory = true;
    else if (err)
        SP_XDS_WRONG(b, m, SP_FIELD_MATCHER_REGEX_MATCHER_REGEX, "is not a regex that RE2 takes: %s", why);
    if (err)
        return NULL;
    sp_xds_hold_regex(b, regex);
    return regex;
}

static void take_text(struct sp_xds_build *b, struct sp_match *match, enum sp_match_kind kind, sp_str text)
{
    match->kind = kind;
    match->text = sp_xds_str(b, text);
}

static void take_string_match(struct sp_xds_build *b, struct sp_match *match,
                              const struct sp_pb_matcher_string_matcher *m)
{
    if (!m)
        return;
    match->ignore_case = m->ignore_case;
    switch (m->match_pattern_case) {
    case SP_FIELD_MATCHER_STRING_MATCHER_EXACT: take_text(b, match, SP_MATCH_EXACT, m->exact); break;
    case SP_FIELD_MATCHER_STRING_MATCHER_PREFIX: take_text(b, match, SP_MATCH_PREFIX, m->prefix); break;
    case SP_FIELD_MATCHER_STRING_MATCHER_SUFFIX: take_text(b, match, SP_MATCH_SUFFIX, m->suffix); break;
    case SP_FIELD_MATCHER_STRING_MATCHER_CONTAINS: take_text(b, match, SP_MATCH_CONTAINS, m->contains); break;
    case SP_FIELD_MATCHER_STRING_MATCHER_SAFE_REGEX:
        match->kind = SP_MATCH_REGEX;
        match->regex = sp_xds_regex(b, m->safe_regex);
        break;
    default: SP_XDS_REFUSE(b, m, 0, "says no pattern that is supported"); break;
    }
}

static void take_range(struct sp_xds_build *b, struct sp_match *match,
                       const struct sp_pb_route_header_matcher *m)
{
    const struct sp_pb_type_int64_range *range = m->range_match;
    match->kind = SP_MATCH_RANGE;
    if (!range)
        return;
    match->range_start = range->start;
    match->range_end = range->end;
    if (range->start >= range->end)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_HEADER_MATCHER_RANGE_MATCH,
                     "holds no number: start is in the range, end is not");
}

static void take_header_match(struct sp_xds_build *b, struct sp_match *match,
                              const struct sp_pb_route_header_matcher *m)
{
    match->kind = SP_MATCH_PRESENT;
    match->want_present = true;
    match->invert = m->invert_match;
    match->missing_is_empty = m->treat_missing_header_as_empty;
    match->name = sp_xds_str(b, m->name);
    enum sp_hdr id = sp_hdr_of(m->name, !b->rpc);
    match->id = id == SP_HDR_X_ENVOY || id == SP_HDR_SOFA_SERVICE ? SP_HDR_OTHER : (uint8_t)id;
    switch (m->header_match_specifier_case) {
    case 0: break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_PRESENT_MATCH: match->want_present = m->present_match; break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_RANGE_MATCH: take_range(b, match, m); break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_EXACT_MATCH:
        take_text(b, match, SP_MATCH_EXACT, m->exact_match);
        break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_PREFIX_MATCH:
        take_text(b, match, SP_MATCH_PREFIX, m->prefix_match);
        break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_SUFFIX_MATCH:
        take_text(b, match, SP_MATCH_SUFFIX, m->suffix_match);
        break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_CONTAINS_MATCH:
        take_text(b, match, SP_MATCH_CONTAINS, m->contains_match);
        break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_SAFE_REGEX_MATCH:
        match->kind = SP_MATCH_REGEX;
        match->regex = sp_xds_regex(b, m->safe_regex_match);
        break;
    case SP_FIELD_ROUTE_HEADER_MATCHER_STRING_MATCH: take_string_match(b, match, m->string_match); break;
    default: SP_XDS_REFUSE(b, m, 0, "says no condition that is supported"); break;
    }
}

const struct sp_match *sp_xds_header_matches(struct sp_xds_build *b,
                                             struct sp_pb_route_header_matcher *const *list, uint32_t count)
{
    struct sp_match *matches = sp_xds_array(b, count, sizeof(*matches));
    for (uint32_t i = 0; matches && i < count; i++)
        take_header_match(b, &matches[i], list[i]);
    return matches;
}

const struct sp_match *sp_xds_param_matches(struct sp_xds_build *b,
                                            struct sp_pb_route_query_parameter_matcher *const *list,
                                            uint32_t count)
{
    struct sp_match *matches = sp_xds_array(b, count, sizeof(*matches));
    for (uint32_t i = 0; matches && i < count; i++) {
        const struct sp_pb_route_query_parameter_matcher *m = list[i];
        bool asks_present = m->query_parameter_match_specifier_case ==
                            SP_FIELD_ROUTE_QUERY_PARAMETER_MATCHER_PRESENT_MATCH;
        matches[i].kind = SP_MATCH_PRESENT;
        matches[i].want_present = asks_present ? m->present_match : true;
        matches[i].name = sp_xds_str(b, m->name);
        take_string_match(b, &matches[i], m->string_match);
    }
    return matches;
}
