/* child: a program that we start and whose end we are told of. Ended by pidfd, never by name. */
#ifndef SP_IO_CHILD_H
#define SP_IO_CHILD_H

#include "base/buf.h"
#include "io/loop.h"

struct sp_child;

struct sp_child_config {
    const char *const *argv; /* argv[0] is looked up in PATH; ends with NULL */
    int out_fd, err_fd;      /* -1 = ours */
    bool die_with_us;        /* the kernel ends it when we die */
};

/* `status` as a shell counts: the exit code, or 128 + the signal. SP_E_MISSING: no such program. */
sp_err sp_child_start(struct sp_loop *loop, const struct sp_child_config *config,
                      void (*on_exit)(void *arg, int status), void *arg,
                      struct sp_child **ret_child) SP_MUST_USE;
int sp_child_pid(const struct sp_child *child);
void sp_child_signal(struct sp_child *child, int signal);
void sp_child_free(struct sp_child *child); /* after on_exit, or to forget a running one */

/* Run to the end, feed `input`, collect standard output and error; no loop. For `nft -f -`. */
sp_err sp_child_run(const char *const *argv, sp_str input, struct sp_buf *out, int *ret_status) SP_MUST_USE;

#endif
