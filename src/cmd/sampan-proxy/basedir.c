/* basedir: names of sockets that others find without being told.
 *
 *      /run/sampan/0f3a59c2d17be684.admin.sock      admin, for tools
 *      /run/sampan/0f3a59c2d17be684.sock            the way to a successor
 *
 * The number is the xxh64 of the configuration file's absolute path: each sidecar of a machine has its own,
 * and whoever knows the file finds the process. The content is not part of it: the successor's configuration
 * may differ, that is what upgrades are for. */
#include "cmd/sampan-proxy/basedir.h"

#include <stdio.h>

#include "cmd/sampan-proxy/config.h"
#include "cmd/sampan-proxy/options.h"
#include "io/file.h"

void basedir_print(const struct proxy_options *options, char out[BASEDIR_BYTES])
{
    const char *runtime = sp_proc_env("XDG_RUNTIME_DIR");
    if (options->base_dir)
        snprintf(out, BASEDIR_BYTES, "%s", options->base_dir);
    else
        snprintf(out, BASEDIR_BYTES, "%s/sampan", runtime && *runtime ? runtime : "/run");
}

sp_err basedir_path(const struct proxy_options *options, const struct proxy_config *config,
                    const char *suffix, char out[BASEDIR_BYTES])
{
    char folder[BASEDIR_BYTES];
    basedir_print(options, folder);
    uint64_t hash = sp_str_xxh64(sp_str_c(config->real_path), 0);
    int n = snprintf(out, BASEDIR_BYTES, "%.3900s/%016llx%s", folder, (unsigned long long)hash, suffix);
    return n < 0 || n >= BASEDIR_BYTES ? SP_E_LIMIT : sp_file_make_dirs(folder, 0700);
}
