/* basedir: names of sockets that others find without being told.
 *
 *      /run/sampan/0f3a59c2d17be684.admin.sock      admin, for tools
 *      /run/sampan/0f3a59c2d17be684.sock            the way to a successor
 *
 * The number is the xxh64 of the configuration file's absolute path: each sidecar of a machine has its own,
 * and whoever knows the file finds the process. The content is not part of it: the successor's configuration
 * may differ, that is what upgrades are for.
 *
 * Whoever can write into the folder can put his own socket in the place of ours. He could not take over, nor
 * be taken over from, for the kernel says whose process is at the other end; but tools would talk to him, and
 * no successor would find us. So a folder that others can write into is refused, with what makes it so. A
 * folder that does not exist is made, for us alone: that is the way in a volume that is everybody's. */
#include "cmd/sampan-proxy/basedir.h"

#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

/* Of the last part of the path itself, also where it ends in a slash. */
static bool look_at(const char *folder, struct stat *ret_st)
{
    char bare[BASEDIR_BYTES];
    snprintf(bare, sizeof(bare), "%s", folder);
    for (size_t len = strlen(bare); len > 1 && bare[len - 1] == '/'; len--)
        bare[len - 1] = 0;
    return lstat(bare, ret_st) == 0;
}

bool basedir_is_ours(const struct proxy_options *options)
{
    char folder[BASEDIR_BYTES];
    struct stat st;
    basedir_print(options, folder);
    if (!look_at(folder, &st))
        return true; /* it is made when it is needed, or cannot be: then there are no sockets in it */
    char why[192];
    unsigned mode = st.st_mode & 07777;
    if (S_ISLNK(st.st_mode))
        snprintf(why, sizeof(why), "is a symbolic link: name the folder itself");
    else if (!S_ISDIR(st.st_mode))
        snprintf(why, sizeof(why), "is no folder");
    else if (st.st_uid != geteuid() && st.st_uid != 0)
        snprintf(why, sizeof(why), "belongs to user %u, and this process is of user %u", st.st_uid,
                 geteuid());
    else if (mode & (S_IWGRP | S_IWOTH))
        snprintf(why, sizeof(why),
                 "others can write into it (mode %04o): take one of mode 0700, or name a folder inside it, "
                 "which is made so",
                 mode);
    else
        return true;
    fprintf(stderr, "sampan-proxy: base directory %s: %s\n", folder, why);
    return false;
}

/* The name alone: nothing is made. */
static sp_err name_socket(const char *folder, const char *config_path, const char *suffix,
                          char out[BASEDIR_BYTES])
{
    uint64_t hash = sp_str_xxh64(sp_str_c(config_path), 0);
    int n = snprintf(out, BASEDIR_BYTES, "%.3900s/%016llx%s", folder, (unsigned long long)hash, suffix);
    return n < 0 || n >= BASEDIR_BYTES ? SP_E_LIMIT : 0;
}

sp_err basedir_path(const struct proxy_options *options, const struct proxy_config *config,
                    const char *suffix, char out[BASEDIR_BYTES])
{
    char folder[BASEDIR_BYTES];
    basedir_print(options, folder);
    sp_err err = name_socket(folder, config->real_path, suffix, out);
    return err ? err : sp_file_make_dirs(folder, 0700);
}

bool basedir_can_hold(const struct proxy_options *options, const struct proxy_config *config, bool sockets)
{
    char path[BASEDIR_BYTES];
    struct sockaddr_un name;
    if (!options->base_dir)
        return true;
    sp_err err = basedir_path(options, config, ADMIN_SUFFIX, path);
    const char *why = NULL;
    if (err == SP_E_EXISTS || err == SP_E_MISSING)
        why = "cannot be made: something on the way to it is no folder";
    else if (err == SP_E_DENIED)
        why = "cannot be made: this process may not write there";
    else if (err)
        why = "cannot be made";
    else if (strlen(path) >= sizeof(name.sun_path))
        why = "the system takes no Unix socket with a name as long: name a shorter one";
    else if (sockets && access(options->base_dir, W_OK | X_OK))
        why = "this process may not write into it";
    if (why)
        fprintf(stderr, "sampan-proxy: base directory %s: %s\n", options->base_dir, why);
    return !why;
}

int basedir_tell_admin(const struct proxy_options *options)
{
    char folder[BASEDIR_BYTES], config[BASEDIR_BYTES], path[BASEDIR_BYTES];
    basedir_print(options, folder);
    sp_err err = sp_file_real_path(options->config, config, sizeof(config));
    if (!err)
        err = name_socket(folder, config, ADMIN_SUFFIX, path);
    if (err) {
        fprintf(stderr, "sampan-proxy: %s: %s\n", options->config, sp_err_str(err));
        return EXIT_FAILURE;
    }
    printf("%s\n", path);
    if (access(path, F_OK) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr,
            "sampan-proxy: no sidecar with %s has this socket: does it run, and with the same --base-dir?\n",
            options->config);
    return EXIT_FAILURE;
}
