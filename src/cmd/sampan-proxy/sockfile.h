/* sockfile: the file of a Unix socket that this process bound, so that it goes with the process, and a file
 * that somebody else has put there since does not. Main thread. */
#ifndef SP_CMD_PROXY_SOCKFILE_H
#define SP_CMD_PROXY_SOCKFILE_H

#include <stdbool.h>

struct sockfile {
    const char *path; /* borrowed */
    int fd;           /* the file itself, whatever is at the path by now; -1: there is none of ours */
};

/* Right behind the bind. A socket without a file ("@name") is fine. */
void sockfile_note(struct sockfile *file, const char *path);
/* The end. What is at the path is removed when it is still ours; `leave`: a successor serves it, it stays.
 * Says whether a file was removed. */
bool sockfile_end(struct sockfile *file, bool leave);

#endif
