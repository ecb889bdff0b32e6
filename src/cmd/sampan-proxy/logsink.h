/* logsink: log lines onto standard error, with time and level in front. */
#ifndef SP_CMD_PROXY_LOGSINK_H
#define SP_CMD_PROXY_LOGSINK_H

#include "base/log.h"

void proxy_log_init(struct sp_log *log, enum sp_log_level level);

#endif
