/* logsink: where log lines go. One write for each line, so that lines of several threads do not mix:
 *
 *      2026-11-24T13:34:51.123Z info cluster has no endpoint cluster=out
 *
 * base/log makes the line and knows neither time nor files; this puts both to it. A line that cannot be
 * written is lost: there is nobody to tell.
 * Colour is left out: log lines are read by programs. */
#include "cmd/sampan-proxy/logsink.h"

#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void to_stderr(void *arg, enum sp_log_level level, sp_str line)
{
    (void)arg;
    struct timespec now;
    struct tm utc;
    char front[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(front, sizeof(front), "%Y-%m-%dT%H:%M:%S", &utc);
    int m = snprintf(front + n, sizeof(front) - n, ".%03ldZ %s ", now.tv_nsec / 1000000,
                     sp_log_level_name(level));
    struct iovec iov[2] = { { front, n + (size_t)m }, { (void *)(uintptr_t)line.ptr, line.len } };
    ssize_t sent = writev(STDERR_FILENO, iov, 2);
    (void)sent; /* nobody to tell */
}

void proxy_log_init(struct sp_log *log, enum sp_log_level level)
{
    *log = (struct sp_log){ .level = level, .sink = to_stderr };
}
