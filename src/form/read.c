/* Reading: parse, bind, check; and the near miss.
 *
 *     text --yaml.c, json.c--> tree --bind.c--> typed value --check.c--> the schema's rules
 *
 * A broken grammar ends it, since there is no telling what the rest meant. Everything later goes on to the
 * end of the document and all that was found is in the document's list.
 *
 * The near miss is the candidate with the fewest edits (insert, drop, change, swap of neighbours) if that is
 * at most a third of the word and no more than six. A swap counts once: it is the commonest slip. */
#include "form/read.h"

#include <string.h>

#include "form/form_impl.h"

typedef sp_err parse_fn(struct sp_form_doc *doc, sp_str text);

static sp_err read_as(struct sp_form_doc *doc, parse_fn *parse, const struct sp_form_msg *type, sp_str text,
                      uint32_t flags, void **ret_msg)
{
    void *msg = NULL;
    SP_ASSERT(!doc->root); /* a document is read once */
    if (text.len > SP_FORM_BYTES_MAX) {
        sp_form_fault(doc, SP_E_LIMIT, 0, 0, "", "larger than %zu bytes", SP_FORM_BYTES_MAX);
        return SP_E_LIMIT;
    }
    sp_err err = parse(doc, text);
    if (!err)
        err = sp_form_bind(doc, type, flags, &msg);
    if (!err && !(flags & SP_FORM_NO_RULES)) {
        err = sp_form_check(doc, msg);
        if (err == SP_E_INVALID)
            err = SP_OK; /* it is in the list, as the binder's findings are */
    }
    if (err)
        return err;
    if (!doc->errors_len || flags & SP_FORM_GO_ON)
        *ret_msg = msg;
    return doc->errors_len ? doc->errors[0].code : SP_OK;
}

sp_err sp_form_read_yaml(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg)
{
    return read_as(doc, sp_form_parse_yaml, type, text, flags, ret_msg);
}

sp_err sp_form_read_json(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg)
{
    return read_as(doc, sp_form_parse_json, type, text, flags, ret_msg);
}

sp_err sp_form_read_text(struct sp_form_doc *doc, const struct sp_form_msg *type, sp_str text, uint32_t flags,
                         void **ret_msg)
{
    bool json = sp_str_ends(sp_str_c(doc->file), SP_STR(".json"));
    return json ? sp_form_read_json(doc, type, text, flags, ret_msg)
                : sp_form_read_yaml(doc, type, text, flags, ret_msg);
}

/* Longest name that is compared; the longest of the schema has 99 letters. */
#define WORD_MAX 128
/* Most edits that can still be a slip: of type names, which are long and alike, a third would be too many. */
#define EDITS_MAX 6

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = SP_MIN(a, b);
    return SP_MIN(ab, c);
}

/* Edits between two words, three rows of the table at a time. */
static unsigned distance(sp_str a, sp_str b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);
            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
            bool swapped = i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && y == lower(a.ptr[i - 2]);
            if (swapped)
                row[j] = SP_MIN(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

const char *sp_form_did_you_mean(sp_str word, const char *const *candidates, size_t len)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)SP_MIN(word.len / 3, (size_t)EDITS_MAX) + 1;
    if (word.len == 0 || word.len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        sp_str candidate = sp_str_c(candidates[i]);
        size_t longer = SP_MAX(candidate.len, word.len), shorter = SP_MIN(candidate.len, word.len);
        if (candidate.len > WORD_MAX || longer - shorter >= best_distance)
            continue;
        unsigned d = distance(word, candidate);
        if (d < best_distance) {
            best_distance = d;
            best = candidates[i];
        }
    }
    return best;
}
