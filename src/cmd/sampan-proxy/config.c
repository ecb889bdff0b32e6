/* config: reads a bootstrap.
 *
 * from the file to the model: form reads the text into typed values, xds turns these into what the
 * proxy runs on. Every error of both is said at once, each with file, line, column and path; nothing has
 * started by then.
 *
 * Not known here: what the settings mean, and whether anything runs. */
#include "cmd/sampan-proxy/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "form/pb.h"
#include "io/file.h"
#include "xds/types.h"

enum { CONFIG_BYTES_MAX = 64 * 1024 * 1024, BLOCK_BYTES = 64 * 1024 };

static sp_err say_errors(const struct sp_form_doc *doc, sp_err err)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_form_print_errors(doc, &out);
    if (out.len)
        fwrite(out.ptr, 1, out.len, stderr);
    else
        fprintf(stderr, "%s: %s\n", doc->file, sp_err_str(err));
    sp_buf_deinit(&out);
    return err;
}

static sp_err build(struct proxy_config *config, const char *path, sp_str text)
{
    sp_err err = sp_form_doc_init(&config->doc, &config->arena, path);
    if (err)
        return err;
    err = sp_form_read_text(&config->doc, &sp_pb_bootstrap_bootstrap_msg, text, SP_FORM_GO_ON,
                            &config->bootstrap);
    if (config->bootstrap) { /* the meaning is judged too, however broken the text */
        sp_err meant = sp_xds_bootstrap(&config->doc, config->bootstrap, &config->arena, &config->settings,
                                        &config->snapshot);
        err = err ? err : meant;
    }
    if (!err)
        sp_snapshot_seal(config->snapshot, 1);
    return err ? say_errors(&config->doc, err) : 0;
}

static sp_err refuse_file(const char *path, sp_err err, const char *text)
{
    fprintf(stderr, "%s: %s\n", path, text);
    return err;
}

/* Opening a pipe would wait for somebody who writes into it; so what it is is asked first. */
static sp_err check_file(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return 0; /* reading says why */
    if (S_ISDIR(st.st_mode))
        return refuse_file(path, SP_E_INVALID, "is a folder; name the bootstrap file in it");
    if (S_ISFIFO(st.st_mode))
        return refuse_file(path, SP_E_INVALID, "is a pipe; write the bootstrap into a file and name that");
    if (!S_ISREG(st.st_mode))
        return refuse_file(path, SP_E_INVALID, "is a device or a socket; name a file with the bootstrap");
    if (st.st_size <= CONFIG_BYTES_MAX)
        return 0;
    fprintf(stderr,
            "%s: has %lld bytes, more than the %d MiB that a bootstrap may have: is it the right file?\n",
            path, (long long)st.st_size, CONFIG_BYTES_MAX / (1024 * 1024));
    return SP_E_LIMIT;
}

static sp_err read_file(struct proxy_config *config, const char *path, struct sp_buf *text)
{
    sp_err err = check_file(path);
    if (err)
        return err;
    err = sp_file_real_path(path, config->real_path, sizeof(config->real_path));
    if (!err)
        err = sp_file_read(path, CONFIG_BYTES_MAX, text);
    if (err == SP_E_MISSING)
        return refuse_file(path, err, "does not exist; -c names the bootstrap file");
    if (err == SP_E_DENIED)
        return refuse_file(path, err, "may not be read by this user; see its permissions");
    return err ? refuse_file(path, err, sp_err_str(err)) : 0;
}

sp_err proxy_config_read(struct proxy_config *config, const char *path)
{
    memset(config, 0, sizeof(*config));
    sp_arena_init(&config->arena, NULL, 0, BLOCK_BYTES, 0);
    struct sp_buf text;
    sp_buf_init(&text, 0);
    sp_err err = read_file(config, path, &text);
    if (!err)
        err = build(config, path, sp_buf_str(&text));
    sp_buf_deinit(&text);
    if (err)
        proxy_config_free(config);
    return err;
}

void proxy_config_free(struct proxy_config *config)
{
    if (config->snapshot)
        sp_snapshot_unref(config->snapshot);
    config->snapshot = NULL;
    sp_arena_deinit(&config->arena);
}
