/* detach: the command returns when the program serves; the program goes on. */
#ifndef SP_CMD_PROXY_DETACH_H
#define SP_CMD_PROXY_DETACH_H

/* Before anything is opened or any thread is made. Returns in another process, with the descriptor for
 * detach_ready; that one is no child of the caller but of whoever adopts orphans (systemd). The process that
 * called it waits and ends with 0 when the other serves, with 1 when it ends before that. -1: there is no
 * more room for a process. */
int detach_begin(void);
/* It serves. -1 is fine. */
void detach_ready(int fd);

#endif
