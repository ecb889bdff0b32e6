/* The rule for schemas, broken in each way: it must be named which field or kind it is. */
#include "unit/cmd/upgrade_listing.h"
#include "unit/cmd/upgrade_rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_schema_that_breaks_the_rule_is_named(void **state)
{
    static const char was[] = "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n"
                              "kind 6 spare other\n  field 1 spare u64 count\n";
    static const struct {
        const char *is, *words; /* NULL: nothing is wrong */
    } cases[] = {
        { was, NULL },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n  field 3 spare u8 "
          "more\n"
          "kind 6 spare other\n  field 1 spare u64 count\nkind 7 spare third\n  field 1 spare u8 more\n",
          NULL },
        { "kind 5 must thing\n  field 1 must u32 number\nkind 6 spare other\n  field 1 spare u64 count\n",
          "thing.name (5.2) of the former build is gone" },
        { "kind 5 must thing\n  field 1 must u64 number\n  field 2 spare bytes name\n"
          "kind 6 spare other\n  field 1 spare u64 count\n",
          "thing.number (5.1) was u32 and is u64" },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes title\n"
          "kind 6 spare other\n  field 1 spare u64 count\n",
          "field 2 was \"name\" and is \"title\"" },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n",
          "kind 6 of the former build was \"other\" and is \"gone\"" },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n"
          "kind 6 spare else\n  field 1 spare u64 count\n",
          "kind 6 of the former build was \"other\" and is \"else\"" },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n  field 3 must u8 more\n"
          "kind 6 spare other\n  field 1 spare u64 count\n",
          "thing.more (5.3) is new and must not be lost" },
        { "kind 5 must thing\n  field 1 must u32 number\n  field 2 spare bytes name\n"
          "kind 6 spare other\n  field 1 spare u64 count\nkind 7 must third\n  field 1 must u8 more\n",
          "kind 7 \"third\" is new and must not be lost" },
    };
    struct listing_book *former = listing_book_read(was);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char words[UPGRADE_RULE_WORDS] = "";
        struct listing_book *today = listing_book_read(cases[i].is);
        bool good = upgrade_rule(listing_book(former), listing_book(today), words);
        if (good != !cases[i].words || (!good && !strstr(words, cases[i].words)))
            fail_msg("case %zu: \"%s\", want \"%s\"", i, words, cases[i].words ? cases[i].words : "");
        listing_book_free(today);
    }
    listing_book_free(former);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_schema_that_breaks_the_rule_is_named) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
