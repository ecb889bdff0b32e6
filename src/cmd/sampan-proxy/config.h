/* config: a bootstrap file becomes settings and a snapshot. */
#ifndef SP_CMD_PROXY_CONFIG_H
#define SP_CMD_PROXY_CONFIG_H

#include "base/arena.h"
#include "form/read.h"
#include "model/settings.h"
#include "model/snapshot.h"

struct proxy_config {
    struct sp_arena arena; /* document, typed value, settings */
    struct sp_form_doc doc;
    void *bootstrap; /* the typed value as it was read, for /config_dump */
    struct sp_settings settings;
    struct sp_snapshot *snapshot;
    char real_path[4096];
};

/* Says all errors on standard error: file:line:column: path: text. */
sp_err proxy_config_read(struct proxy_config *config, const char *path) SP_MUST_USE;
void proxy_config_free(struct proxy_config *config);

#endif
