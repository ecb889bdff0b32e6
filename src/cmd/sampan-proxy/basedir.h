/* basedir: where this sidecar's sockets live, and their names. */
#ifndef SP_CMD_PROXY_BASEDIR_H
#define SP_CMD_PROXY_BASEDIR_H

#include <stdbool.h>

#include "base/err.h"

struct proxy_config;
struct proxy_options;

enum { BASEDIR_BYTES = 4096 };
#define ADMIN_SUFFIX ".admin.sock"

/* The folder: --base-dir, $XDG_RUNTIME_DIR/sampan, /run/sampan. */
void basedir_print(const struct proxy_options *options, char out[BASEDIR_BYTES]);
/* False: nobody but us and root may be able to write into it, and that is not so: said on standard error. */
bool basedir_is_ours(const struct proxy_options *options) SP_MUST_USE;
/* Where a folder was named it must be of use: it is made, names in it are not too long, and (`sockets`) they
 * can be made in it. False: it is said on standard error why not. What nobody has named may be missing:
 * serving goes on without, and says so. */
bool basedir_can_hold(const struct proxy_options *options, const struct proxy_config *config,
                      bool sockets) SP_MUST_USE;
/* Print where admin's socket is, for tools; the configuration need not be good. Returns the exit status: 1,
 * and words on standard error, where no such socket is. */
int basedir_tell_admin(const struct proxy_options *options);
/* <folder>/<hash of the configuration file's path><suffix>; the folder is made where it is
 * missing. */
sp_err basedir_path(const struct proxy_options *options, const struct proxy_config *config,
                    const char *suffix, char out[BASEDIR_BYTES]) SP_MUST_USE;

#endif
