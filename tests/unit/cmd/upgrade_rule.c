/* upgrade_rule: what a schema of records may become from one build to the next, so that both can hand over to
 * each other.
 *
 *      a number of a kind or a field     keeps its name and its type, and is never used again
 *      what the former build writes      is read here: it stays in the tables for one version more
 *      what is new                       is spare, for the former build would refuse it otherwise
 *
 * The last can have exceptions, by name and with the reason. When `tests/upgrade/previous` moves, what stood
 * only for the build before it can go. */
#include "unit/cmd/upgrade_rule.h"

#include <stdio.h>
#include <string.h>

#include "unit/cmd/upgrade_listing.h"

/* Fields and kinds (field 0) of this build which must not be lost and which the former one does not know:
 * while one is in use going back is refused. That breaks N to N-1, so each has its reason, and goes when
 * `previous` moves. */
static const struct {
    uint16_t kind, field;
    const char *because;
} newer[] = {
    { 114, 0, "ahead: told only to who knows it" },
    { 115, 0, "still: belongs to what was told ahead" },
};

static bool is_excused(uint16_t kind, uint16_t field)
{
    for (size_t i = 0; i < SP_COUNTOF(newer); i++)
        if (newer[i].kind == kind && newer[i].field == field)
            return true;
    return false;
}

static bool judge_field(const struct sp_record_kind *kind, const struct sp_record_field *was,
                        const struct sp_record_field *is, char words[UPGRADE_RULE_WORDS])
{
    if (!is)
        snprintf(
            words, UPGRADE_RULE_WORDS,
            "%s.%s (%u.%u) of the former build is gone: keep it in the table, read what it says and write "
            "zero, until `previous` has moved past the build that wrote it",
            kind->name, was->name, kind->number, was->number);
    else if (is->type != was->type)
        snprintf(words, UPGRADE_RULE_WORDS,
                 "%s.%s (%u.%u) was %s and is %s: a number keeps its type; give the new meaning a new number",
                 kind->name, was->name, kind->number, was->number, listing_type(was->type),
                 listing_type(is->type));
    else if (strcmp(is->name, was->name) != 0)
        snprintf(
            words, UPGRADE_RULE_WORDS,
            "%s (%u): field %u was \"%s\" and is \"%s\": a number is never used again for another meaning; "
            "where the meaning is the same, keep the name",
            kind->name, kind->number, was->number, was->name, is->name);
    else
        return true;
    return false;
}

static bool judge_kind(const struct sp_record_kind *was, const struct sp_record_kind *is,
                       char words[UPGRADE_RULE_WORDS])
{
    if (!is || strcmp(is->name, was->name) != 0) {
        snprintf(words, UPGRADE_RULE_WORDS, "kind %u of the former build was \"%s\" and is \"%s\": %s",
                 was->number, was->name, is ? is->name : "gone",
                 is ? "a number is never used again for another meaning"
                    : "keep it, and its loader, until `previous` has moved past the build that wrote it");
        return false;
    }
    for (uint32_t i = 0; i < was->field_count; i++)
        if (!judge_field(was, &was->fields[i], listing_field(is, was->fields[i].number), words))
            return false;
    for (uint32_t i = 0; i < is->field_count; i++) {
        const struct sp_record_field *field = &is->fields[i];
        if (field->spare || listing_field(was, field->number) || is_excused(is->number, field->number))
            continue;
        snprintf(
            words, UPGRADE_RULE_WORDS,
            "%s.%s (%u.%u) is new and must not be lost: while it is in use nobody can go back to the former "
            "build. Make it spare (SP_RECORD_SPARE), or say in upgrade_rule.c, `newer`, why not",
            is->name, field->name, is->number, field->number);
        return false;
    }
    return true;
}

bool upgrade_rule(const struct sp_record_book *was, const struct sp_record_book *is,
                  char words[UPGRADE_RULE_WORDS])
{
    for (uint32_t i = 0; i < was->count; i++)
        if (!judge_kind(was->kinds[i], listing_kind(is, was->kinds[i]->number), words))
            return false;
    for (uint32_t i = 0; i < is->count; i++) {
        const struct sp_record_kind *kind = is->kinds[i];
        if (kind->spare || listing_kind(was, kind->number) || is_excused(kind->number, 0))
            continue;
        snprintf(
            words, UPGRADE_RULE_WORDS,
            "kind %u \"%s\" is new and must not be lost: while there is one nobody can go back to the former "
            "build. Make it spare, or say in upgrade_rule.c, `newer`, why not",
            kind->number, kind->name);
        return false;
    }
    return true;
}
