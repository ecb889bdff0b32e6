/* regex_impl: the syntax gate, apart from the engine. */
#ifndef SP_MODEL_REGEX_IMPL_H
#define SP_MODEL_REGEX_IMPL_H

#include "base/str.h"

/* What one byte of a pattern becomes at most: \W in a class, two bytes, is spelled out in 46. */
enum { SP_REGEX_GROWTH = 24 };

/* Read a pattern as RE2 reads it, and write it to `out`, of SP_REGEX_GROWTH bytes for each of the pattern's
 * and one more, in the spelling that means the same to PCRE2. What RE2 does not take is SP_E_INVALID (broken)
 * or SP_E_UNSUPPORTED (known elsewhere), with static words in *ret_why and the place in *ret_at. */
sp_err sp_regex_translate(sp_str pattern, char *out, size_t *ret_len, const char **ret_why,
                          size_t *ret_at) SP_MUST_USE;

#endif
