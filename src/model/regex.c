/* regex: PCRE2, just-in-time compiled, made to behave as RE2 does.
 *
 * Envoy's configurations are written for RE2: its syntax, a match of the whole string, and the promise that
 * a match costs at most so much. PCRE2's machine code is three times faster than RE2 on the short strings
 * of routes, but backtracks. So three things are put around it:
 *
 *   - The pattern is read by RE2's grammar first (regex_syntax.c) and spelled anew for PCRE2. What backtracks
 *     by its nature (back references, look-around) or means something else there does not get through.
 *   - Work is bounded. A pattern like (a|a)*b can still be slow; when it reaches MATCH_LIMIT there is no
 *     answer, and the call is refused (REGEX_LIMIT) rather than sent past a rule. The limit counts steps;
 *     an exponential pattern reaches it within tens of microseconds.
 *   - Strings are UTF-8, as for RE2; bytes that are not are matched by nothing.
 *
 * A compiled regex is read-only, so all workers share it. What a match writes to, PCRE2 wants as an object
 * of its own (where the match begins and ends, though we only ask whether). There is no place to keep one:
 * state that a thread owns would have to travel through every caller, and a pool would be a cache line that
 * all workers write to. So it is made anew for each match, in a block on the stack: PCRE2 takes its memory
 * from an allocator that we give, and ours hands that block out. That is two calls which fill in a few
 * fields, 20 ns of the 45 that `route/regex_match` of bench_micro shows.
 *
 * The machine code has 32 KB of stack for what it may have to come back to: about 1,300 turns of a group
 * like (a|b)*. More is the limit, too; the interpreter could go on, but took 0.5 ms until it gave up, a
 * gift to whoever sends long paths. It runs only where the machine forbids JIT (no memory both writable and
 * executable), with frames of 20 KB from the heap. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/regex.h"

#include <pcre2.h>

#include "base/arena.h"
#include "base/mem.h"
#include "model/regex_impl.h"

/* 10,000 steps are 15 to 35 us. A pattern whose work grows with the square of the text, like .*a.*[bc],
 * reaches them at 140 bytes of the worst text; one that is linear, never. */
enum { MATCH_LIMIT = 10000, DEPTH_LIMIT = 1000, HEAP_LIMIT_KIB = 256 };
enum { PATTERN_BYTES = 8192, NEST_LIMIT = 100, WORDS_BYTES = 160 };

struct sp_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    bool jit;
};

/* Where a match's own objects lie: see the essay. */
struct scratch {
    size_t used;
    _Alignas(16) char bytes[512];
};

static void *take_scratch(size_t bytes, void *opaque)
{
    struct scratch *scratch = opaque;
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (rounded < bytes || rounded > sizeof(scratch->bytes) - scratch->used)
        return sp_mem_alloc(bytes);
    void *block = scratch->bytes + scratch->used;
    scratch->used += rounded;
    return block;
}

static void give_scratch(void *block, void *opaque)
{
    struct scratch *scratch = opaque;
    uintptr_t at = (uintptr_t)block, start = (uintptr_t)scratch->bytes;
    if (block && (at < start || at >= start + sizeof(scratch->bytes)))
        sp_mem_free(block);
}

static void *take_heap(size_t bytes, void *opaque)
{
    return sp_mem_alloc(bytes);
}

static void give_heap(void *block, void *opaque)
{
    sp_mem_free(block);
}

/* ---- building ---- */

static sp_err complain(struct sp_arena *arena, int code, const char **ret_why)
{
    PCRE2_UCHAR words[WORDS_BYTES];
    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY) {
        *ret_why = "memory is out";
        return SP_E_NOMEM;
    }
    if (pcre2_get_error_message(code, words, sizeof(words)) < 0)
        words[0] = '\0';
    const char *why = sp_arena_printf(arena, "%s", (const char *)words);
    *ret_why = why ? why : "does not compile";
    return SP_E_INVALID;
}

static sp_err compile(struct sp_regex *regex, pcre2_general_context *memory, sp_str pattern,
                      struct sp_arena *arena, const char **ret_why)
{
    const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                             PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_ALT_CIRCUMFLEX;
    int code;
    size_t offset;
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    if (!context)
        return complain(arena, PCRE2_ERROR_NOMEMORY, ret_why);
    pcre2_set_parens_nest_limit(context, NEST_LIMIT);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!regex->code)
        return complain(arena, code, ret_why);

    regex->jit = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0; /* else the interpreter runs */
    return 0;
}

sp_err sp_regex_new(sp_str pattern, struct sp_arena *arena, struct sp_regex **ret_regex, const char **ret_why)
{
    if (pattern.len > PATTERN_BYTES) {
        *ret_why = "longer than 8192 bytes";
        return SP_E_LIMIT;
    }
    *ret_why = "memory is out";
    sp_err err = SP_E_NOMEM;
    struct sp_regex *regex = sp_mem_zalloc(sizeof(*regex));
    pcre2_general_context *memory = pcre2_general_context_create(take_heap, give_heap, NULL);
    char *spelled = sp_mem_alloc(pattern.len * SP_REGEX_GROWTH + 1);
    if (!regex || !memory || !spelled)
        goto fail_regex;
    size_t spelled_len, at;
    err = sp_regex_translate(pattern, spelled, &spelled_len, ret_why, &at);
    if (err) {
        const char *why = sp_arena_printf(arena, "%s (at byte %zu)", *ret_why, at);
        *ret_why = why ? why : *ret_why;
        goto fail_regex;
    }
    err = compile(regex, memory, sp_str_of(spelled, spelled_len), arena, ret_why);
    if (err)
        goto fail_regex;
    regex->limits = pcre2_match_context_create(memory);
    if (!regex->limits) {
        *ret_why = "memory is out";
        err = SP_E_NOMEM;
        goto fail_regex;
    }
    pcre2_set_match_limit(regex->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(regex->limits, HEAP_LIMIT_KIB);
    pcre2_general_context_free(memory);
    sp_mem_free(spelled);
    *ret_regex = regex;
    return 0;

fail_regex:
    sp_mem_free(spelled);
    pcre2_general_context_free(memory);
    sp_regex_free(regex);
    return err;
}

void sp_regex_free(struct sp_regex *regex)
{
    if (!regex)
        return;
    pcre2_match_context_free(regex->limits);
    pcre2_code_free(regex->code);
    sp_mem_free(regex);
}

/* ---- matching ---- */

sp_err sp_regex_match(const struct sp_regex *regex, sp_str text, bool *ret_hit)
{
    struct scratch scratch;
    scratch.used = 0;
    pcre2_general_context *memory = pcre2_general_context_create(take_scratch, give_scratch, &scratch);
    pcre2_match_data *data = memory ? pcre2_match_data_create(1, memory) : NULL;
    if (!data)
        return SP_E_LIMIT;

    PCRE2_SPTR subject = (PCRE2_SPTR)(text.ptr ? text.ptr : "");
    int code = regex->jit ? pcre2_jit_match(regex->code, subject, text.len, 0, 0, data, regex->limits)
                          : pcre2_match(regex->code, subject, text.len, 0, PCRE2_NO_JIT, data, regex->limits);
    pcre2_match_data_free(data);
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        return SP_E_LIMIT;
    *ret_hit = code >= 0;
    return 0;
}
