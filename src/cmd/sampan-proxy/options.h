/* options: the command line of sampan-proxy. Unknown options are errors. */
#ifndef SP_CMD_PROXY_OPTIONS_H
#define SP_CMD_PROXY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

enum proxy_mode {
    PROXY_SERVE,
    PROXY_VALIDATE,
    PROXY_ADMIN_SOCKET,
    PROXY_INTERCEPT,
    PROXY_HELP,
    PROXY_VERSION
};

struct proxy_options {
    enum proxy_mode mode;
    const char *config;   /* -c FILE */
    uint32_t concurrency; /* workers; 0 = as many as processors that we may use */
    enum sp_log_level log_level;
    const char *base_dir; /* NULL: $XDG_RUNTIME_DIR/sampan, else /run/sampan */
    bool takeover;        /* take the place of the running process */
    bool detach;          /* the command ends when the program serves */
    int ready_fd;         /* for detach.h; -1: nobody waits */
    char **argv;          /* all of it */
    int intercept_argc;   /* what follows `intercept` */
    char **intercept_argv;
};

/* On failure says what is wrong and what to do on standard error. */
sp_err proxy_options_parse(int argc, char **argv, struct proxy_options *ret_options) SP_MUST_USE;
void proxy_options_help(void); /* standard output */

#endif
