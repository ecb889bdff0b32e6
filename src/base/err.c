/* err: the words for error codes, and the end of a program that is wrong.
 *
 * Two kinds of trouble meet here and are kept apart. Wrong *input* is an sp_err: a small negative number
 * that travels up by return value until someone decides. Wrong *code* is SP_ASSERT: a state that we have
 * excluded by thought has come about, nothing that follows can be trusted, and the process ends at the
 * line that noticed. Asserts stay on in release builds: the checks are compares of what is in a register
 * anyhow, and a sidecar that goes on with a broken stream table answers one caller with another's answer.
 *
 * The words are short, lower case and without a full stop, because they are put behind a name and a
 * colon: "cluster reviews: a limit was reached". They never say which; that is the caller's to know.
 *
 * This file writes to standard error on its way down, by stdio. It is the one place in base that writes
 * anywhere: the log's sink may be the very thing that broke. */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *sp_err_str(sp_err err)
{
    switch (err) {
    case SP_OK: return "no error";
    case SP_E_NOMEM: return "out of memory";
    case SP_E_LIMIT: return "a limit was reached";
    case SP_E_AGAIN: return "not ready yet";
    case SP_E_INVALID: return "malformed";
    case SP_E_RANGE: return "out of range";
    case SP_E_EXISTS: return "exists already";
    case SP_E_MISSING: return "not found";
    case SP_E_DENIED: return "not permitted";
    case SP_E_UNSUPPORTED: return "not supported";
    case SP_E_TIMEOUT: return "timed out";
    case SP_E_REFUSED: return "connection refused";
    case SP_E_RESET: return "connection reset";
    case SP_E_CLOSED: return "closed by the peer";
    case SP_E_UNREACHABLE: return "unreachable";
    case SP_E_IO: return "input or output failed";
    case SP_E_NOFILE: return "out of file descriptors";
    case SP_E_CANCELLED: return "cancelled";
    }
    return "unknown error";
}

_Noreturn void sp_assert_failed(const char *what, const char *file, int line, const char *func)
{
    /* tidy: world because the process ends here, and the log's sink may be the very thing that broke. */
    fprintf(stderr, "sampan: assertion failed: %s (%s:%d, %s)\n", what, file, line, func);
    abort();
}
