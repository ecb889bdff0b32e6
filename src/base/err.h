/* err: the one error type of the house. 0 is good, negative says why; a reason for people travels apart.
 *
 * Functions that eat bytes return ssize_t instead: used > 0, 0 = want more, negative = an sp_err. */
#ifndef SP_BASE_ERR_H
#define SP_BASE_ERR_H

#include <stddef.h> /* offsetof, for SP_CONTAINER */
#include <stdint.h>
#include <sys/types.h>

typedef int32_t sp_err;

enum {
    SP_OK = 0,
    SP_E_NOMEM = -1,   /* memory, or an arena's own limit, is used up */
    SP_E_LIMIT = -2,   /* a limit with a name was reached */
    SP_E_AGAIN = -3,   /* not now; the caller will be told when */
    SP_E_INVALID = -4, /* the input breaks its grammar or its schema */
    SP_E_RANGE = -5,   /* a number lies outside what its field may hold */
    SP_E_EXISTS = -6,
    SP_E_MISSING = -7,
    SP_E_DENIED = -8,
    SP_E_UNSUPPORTED = -9, /* well formed, known, and refused by name */
    SP_E_TIMEOUT = -10,
    SP_E_REFUSED = -11, /* the peer refused the connection */
    SP_E_RESET = -12,   /* the peer cut the connection */
    SP_E_CLOSED = -13,  /* the peer ended its direction in order */
    SP_E_UNREACHABLE = -14,
    SP_E_IO = -15,     /* the system said something else; errno at that instant tells */
    SP_E_NOFILE = -16, /* out of file descriptors, of the process or the machine */
    SP_E_CANCELLED = -17,
};

/* The words for `err`, for logs and people; never NULL, static storage. */
const char *sp_err_str(sp_err err);

#define SP_MUST_USE __attribute__((warn_unused_result))
/* For a result that cannot matter, with the reason beside it: gcc heeds no cast to void. */
#define SP_IGNORE(expr) ((void)!(expr))
#define SP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SP_LIKELY(x) __builtin_expect(!!(x), 1)
#define SP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Wrong code, as against wrong input: says where, and ends the process. Stays on in release builds. */
_Noreturn void sp_assert_failed(const char *what, const char *file, int line, const char *func);
#define SP_ASSERT(expr)                                                                                      \
    ((void)(SP_LIKELY(expr) || (sp_assert_failed(#expr, __FILE__, __LINE__, __func__), 0)))

#define SP_COUNTOF(array) (sizeof(array) / sizeof((array)[0]))
#define SP_CONTAINER(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))
#define SP_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SP_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
