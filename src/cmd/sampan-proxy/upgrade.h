/* upgrade: this process and its successor, from the serving side: the socket where a successor knocks, and
 * what happens when one does. Main thread. */
#ifndef SP_CMD_PROXY_UPGRADE_H
#define SP_CMD_PROXY_UPGRADE_H

#include <stdbool.h>

#include "base/record.h"

struct server;
struct upgrade;

/* Who knocks at <base-dir>/<hash>.sock is served from here on. `replace`: we have taken over from whoever
 * listens there now. Says on the log when there can be no such socket; serving goes on without. */
void upgrade_open(struct server *server, bool replace);
/* Is somebody alive behind that socket? */
bool upgrade_is_taken(struct server *server);
/* Draining begins: whoever wants to take over is turned away from here on. */
void upgrade_drain(struct server *server);
/* The end. `server->upgrade` may be NULL, here and above. */
void upgrade_close(struct server *server);

/* What this program can save and load: kinds of all rooms, in the order of their numbers. */
const struct sp_record_book *upgrade_book(void);

/* ---- kinds of this program, for takeover.c ---- */

enum { UPGRADE_KIND_NEXT = 99 }; /* of test builds */
enum upgrade_role { UPGRADE_ADMIN_UNIX = 1, UPGRADE_ADMIN_TCP, UPGRADE_LIGHT_SDK, UPGRADE_ROLES };

struct upgrade_server_record {
    uint32_t generation; /* how many predecessors there were */
    uint64_t tomorrow;   /* of test builds: see SP_UPGRADE_NEXT in upgrade.c */
};

struct upgrade_door_record {
    uint8_t role;
    uint32_t fd;
    sp_addr addr;
};

extern const struct sp_record_kind upgrade_server_kind, upgrade_door_kind;

#endif
