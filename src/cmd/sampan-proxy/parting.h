/* parting: a process that walked with this one and should end by itself now. Main thread. */
#ifndef SP_CMD_PROXY_PARTING_H
#define SP_CMD_PROXY_PARTING_H

struct server;
struct parting;

/* It is held by its pidfd, ours from here on (-1: it is dead), and ended when it still lives after some
 * seconds. One that was watched before is ended at once. */
void parting_watch(struct server *server, int process);
/* The end of this process: nobody will watch any more. */
void parting_end(struct server *server);

#endif
