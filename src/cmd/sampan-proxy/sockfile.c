/* sockfile: who takes a Unix socket's file away, and when.
 *
 *      bind ──> note: a descriptor of the file ──> ... serving ... ──> end: is it still at the path?
 *                                                                       yes: remove it
 *                                                                       another one is: leave it
 *                                                                       a successor serves: leave it
 *
 * A socket's file outlives its process: who connects to it later is refused by what looks alive, and tools
 * that list folders count dead sidecars. So it goes at a clean end. But by then another process may have put
 * its own file there: our listener closes when draining begins, whoever starts meanwhile finds a dead file,
 * replaces it, and would lose the new one to our last act.
 *
 * The file's number alone does not tell the two apart: some file systems give the number of a removed file
 * to the next one. A descriptor (O_PATH: it opens nothing but the name's file) keeps the number taken for as
 * long as it is held, so equal numbers mean the same file.
 * Between the look and the removal a file can still be replaced; there is no call that does both, and that
 * successor would have to begin within the same microseconds.
 *
 * Killed processes leave their file: the next one that binds finds out that nobody answers (io/net.c). */
#include "cmd/sampan-proxy/sockfile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void sockfile_note(struct sockfile *file, const char *path)
{
    file->path = path;
    file->fd = path[0] == '@' ? -1 : open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

bool sockfile_end(struct sockfile *file, bool leave)
{
    struct stat ours, there;
    if (file->fd < 0)
        return false;
    bool same = fstat(file->fd, &ours) == 0 && lstat(file->path, &there) == 0 &&
                ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
    close(file->fd);
    file->fd = -1;
    return same && !leave && unlink(file->path) == 0;
}
