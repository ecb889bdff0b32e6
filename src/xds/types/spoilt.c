/* spoilt: is this the second half of an error that has been said already?
 *
 * Everything that is wrong with a configuration is to be said at once: what the text breaks (a field that
 * nobody knows, a number where a map should be) and what its meaning breaks (a cluster that does not
 * exist). The readers of this folder therefore also read what is left of a broken text. Then many things
 * are missing only because they were misspelt one line above, and to say so would send people looking for
 * two errors.
 *
 *      clusters:
 *      - name: out
 *        load_asignment: ...        unknown field; did you mean load_assignment?      said by form
 *                                   load_assignment: is missing                       not said
 *
 * Three rules, over the paths of the errors that the text has:
 *
 *      at or below       what is wrong with a place is spoilt where the text is wrong with it or inside
 *      absent            a field that is not there is spoilt when the text is wrong with its message, or
 *                        with a field beside it, which may be the one
 *      what names        a name that nothing bears is spoilt when something is wrong among what bears names:
 *                        callers ask for that (sp_xds_is_broken_below)
 *
 * Paths are compared as text: there are a hundred errors at most, and the tree of the text is form's own. */
#include "xds/types/types_impl.h"

/* The path is `above` itself or lies below it. */
static bool is_within(sp_str path, sp_str above)
{
    if (!sp_str_starts(path, above))
        return false;
    return path.len == above.len || above.len == 0 || path.ptr[above.len] == '.' ||
           path.ptr[above.len] == '[';
}

/* The path is of the message at `above`, or of a field of it: one name below. */
static bool is_of_message(sp_str path, sp_str above)
{
    if (!is_within(path, above))
        return false;
    sp_str rest = sp_str_from(path, above.len ? above.len + 1 : 0);
    return sp_str_find(rest, '.') == rest.len && sp_str_find(rest, '[') == rest.len;
}

bool sp_xds_is_spoilt(const struct sp_xds_reading *in, const void *msg, uint32_t field, uint32_t item)
{
    if (!in->text_errors)
        return false;
    struct sp_form_place place = sp_form_where_item(in->doc, msg, field, item);
    struct sp_form_place whole = sp_form_where(in->doc, msg, 0);
    sp_str path = sp_str_c(place.path), message = sp_str_c(whole.path);
    bool absent = place.line == whole.line && place.column == whole.column && path.len != message.len;
    for (uint32_t i = 0; i < in->text_errors && i < in->doc->errors_len; i++) {
        sp_str wrong = sp_str_c(in->doc->errors[i].path);
        if (is_within(wrong, path) || (absent && is_of_message(wrong, message)))
            return true;
    }
    return false;
}

bool sp_xds_is_broken_below(const struct sp_xds_reading *in, const void *msg, uint32_t field)
{
    sp_str path = sp_str_c(sp_form_where(in->doc, msg, field).path);
    for (uint32_t i = 0; i < in->text_errors && i < in->doc->errors_len; i++)
        if (is_within(sp_str_c(in->doc->errors[i].path), path))
            return true;
    return false;
}
