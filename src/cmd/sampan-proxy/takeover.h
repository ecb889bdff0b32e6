/* takeover: this process as the successor of a running one (--takeover). Main thread, before any thread is
 * made. The order is that of the functions here; serve.c has it in `start`. */
#ifndef SP_CMD_PROXY_TAKEOVER_H
#define SP_CMD_PROXY_TAKEOVER_H

#include "base/addr.h"
#include "base/err.h"

struct server;
struct takeover;

/* Find the running process and be judged by it. `server->takeover` stays NULL when nobody is there, which is
 * said on the log. On a refusal the words are on standard error, and nothing has happened. */
sp_err takeover_greet(struct server *server) SP_MUST_USE;
/* Workers have their configuration and no sockets: what the old one can tell while it serves. */
sp_err takeover_ahead(struct server *server) SP_MUST_USE;
/* Everything that needs no state is made: have the other one stop and send everything. Listening sockets are
 * then in `server->threads`. From here on this process ends by takeover_give_up alone. */
sp_err takeover_receive(struct server *server) SP_MUST_USE;
/* Did the listener get a socket? */
bool takeover_has(const struct server *server, sp_str listener);
/* A listening socket of the predecessor's for that role and address, ours from here on; -1: there is none. */
int takeover_door(struct server *server, uint8_t role, const sp_addr *addr);
/* Workers have their configuration, doors are open: load everything. */
sp_err takeover_load(struct server *server) SP_MUST_USE;
/* Ask for the last word. After it the other one is gone or about to go. */
void takeover_finish(struct server *server);
/* Threads run. */
void takeover_end(struct server *server);
/* It cannot be done: tell the other one, which goes on, and end this process touching no socket. */
_Noreturn void takeover_give_up(struct server *server, sp_err err);

#endif
