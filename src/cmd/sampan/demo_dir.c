/* demo_dir: a demo's folder, which goes with it, or with the next demo.
 *
 *      $TMPDIR/sampan-demo-4711-Xa9dQ2     of the demo whose process is 4711; gone when it ends
 *      $TMPDIR/sampan-demo-kept-b3Zk1m     --keep: nobody removes it
 *
 * A demo that was killed cannot clean up, so each new one does it for the dead ones. The folder of temporary
 * files belongs to everybody: what is removed has our form of name, is a folder and no link, belongs to this
 * user, names a process that is no more, and nobody holds its lock. The lock is asked too because a number
 * of a process means little: it may be of another container that shares the folder, where it lives. Nothing
 * but plain files and sockets is ever in such a folder; one with more in it stays.
 *
 * All names are looked up below an open folder, so nobody can put another one in its place meanwhile. */
#include "cmd/sampan/demo_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/file.h"

#define FRONT "sampan-demo-"

enum { RANDOM_LETTERS = 6, STAT_BYTES = 4096 };

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Everything in the folder `fd`, which stays open. */
static void empty(int fd)
{
    int again = dup(fd);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (!dir && again >= 0)
        close(again);
    for (struct dirent *at = dir ? readdir(dir) : NULL; at; at = readdir(dir))
        if (at->d_name[0] != '.')
            unlinkat(fd, at->d_name, 0); /* what stays, stays: the folder does then, too */
    if (dir)
        closedir(dir);
}

/* The process that the folder is named after; 0: it is none of ours. */
static pid_t owner_of(const char *name)
{
    uint64_t pid;
    sp_str rest = sp_str_c(name);
    if (strncmp(name, FRONT, strlen(FRONT)) != 0)
        return 0;
    rest = sp_str_from(rest, strlen(FRONT));
    sp_str number = sp_str_cut(&rest, '-');
    if (rest.len != RANDOM_LETTERS || sp_str_to_u64(number, &pid) || pid > INT32_MAX)
        return 0;
    return (pid_t)pid;
}

/* It has ended and nobody has asked how: some containers' first process never does. */
static bool is_zombie(pid_t pid)
{
    char path[64];
    struct sp_buf text;
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    sp_buf_init(&text, 0);
    sp_err err = sp_file_read(path, STAT_BYTES, &text);
    sp_str stat = sp_buf_str(&text);
    sp_str state = sp_str_from(stat,
                               SP_MIN(stat.len, sp_str_find_last(stat, ')') + 2)); /* "9 (name) Z 1 ..." */
    bool zombie = !err && state.len && state.ptr[0] == 'Z';
    sp_buf_deinit(&text);
    return zombie;
}

static bool is_dead(pid_t pid)
{
    return pid > 0 && ((kill(pid, 0) != 0 && errno == ESRCH) || is_zombie(pid));
}

static bool remove_left(int parent, const char *name, uid_t user)
{
    struct stat st;
    int fd = is_dead(owner_of(name)) ? open_folder(parent, name) : -1;
    bool gone = false;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && st.st_uid == user && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        empty(fd);
        gone = unlinkat(parent, name, AT_REMOVEDIR) == 0;
    }
    close(fd);
    return gone;
}

unsigned demo_dir_sweep(const char *parent, uid_t user)
{
    unsigned count = 0;
    DIR *dir = opendir(parent);
    for (struct dirent *at = dir ? readdir(dir) : NULL; at; at = readdir(dir))
        count += remove_left(dirfd(dir), at->d_name, user);
    if (dir)
        closedir(dir);
    return count;
}

bool demo_dir_make(struct demo_dir *dir, const char *parent, bool keep)
{
    dir->keep = keep;
    dir->fd = -1;
    (void)demo_dir_sweep(parent, geteuid()); /* what cannot be removed does no harm */
    if (keep)
        snprintf(dir->path, sizeof(dir->path), "%.3000s/" FRONT "kept-XXXXXX", parent);
    else
        snprintf(dir->path, sizeof(dir->path), "%.3000s/" FRONT "%ld-XXXXXX", parent, (long)getpid());
    if (!mkdtemp(dir->path)) {
        dir->path[0] = '\0';
        return false;
    }
    dir->fd = open_folder(AT_FDCWD, dir->path);
    if (dir->fd >= 0)
        (void)flock(dir->fd, LOCK_EX | LOCK_NB); /* a file system without locks: the name alone must do */
    return true;
}

void demo_dir_end(struct demo_dir *dir)
{
    if (!dir->path[0])
        return;
    if (dir->fd >= 0 && !dir->keep)
        empty(dir->fd);
    if (!dir->keep)
        (void)rmdir(dir->path); /* what somebody put into it is somebody's */
    if (dir->fd >= 0)
        close(dir->fd);
    dir->path[0] = '\0';
}
