/* upgrade_told: what no worker carries: what SDKs said, what an operator changed, figures of the process. */
#ifndef SP_TESTS_CMD_UPGRADE_TOLD_H
#define SP_TESTS_CMD_UPGRADE_TOLD_H

#include "base/record.h"
#include "lightsdk/lightsdk.h"
#include "model/settings.h"
#include "observe/accesslog.h"
/* tidy: include because a whole admin would need workers that it can ask */
#include "observe/admin_impl.h"

struct told {
    struct sp_loop *loop;
    struct sp_settings settings;
    struct sp_lightsdk *sdk;
    struct sp_log log;
    struct sp_admin admin;
    struct sp_accesslog *accesslog;
    uint32_t generation, doors;
    uint64_t drain_ms;
};

void open_told(struct told *t);
void close_told(struct told *t);
/* Something of everything. */
void say_told(struct told *t);
/* As sampan-proxy does it; `receiver` as for sp_record_writer_init. */
void save_told(struct told *t, const struct sp_record_schema *receiver, struct sp_record_writer *writer);
/* A record that is not taken fails the test. */
void load_told(struct told *t, sp_str records);

#endif
