/* upgrade_rule: may a schema of records become another, from one build to the next? */
#ifndef SP_TESTS_CMD_UPGRADE_RULE_H
#define SP_TESTS_CMD_UPGRADE_RULE_H

#include "base/record.h"

enum { UPGRADE_RULE_WORDS = 400 };

/* False, and in `words` which kind or field breaks the rule, and what to do. */
bool upgrade_rule(const struct sp_record_book *was, const struct sp_record_book *is,
                  char words[UPGRADE_RULE_WORDS]);

#endif
