/* file: whole files for configuration, append-only files for logs, and what the process asks of the system
 * about itself. All of it is off a request's way: these calls may wait for a disk.
 *
 * A log line is one write to a descriptor opened with O_APPEND, so lines of several workers and of several
 * processes never mix inside a line. A disk that is full must not stop calls: what cannot be written is
 * counted and forgotten. Standard output and error are written to as they are, never opened again by name:
 * under systemd they are sockets, which cannot be opened by a path.
 *
 * A file is replaced by rename of a complete and synced one beside it: a reader, and a machine that lost
 * power, sees the old or the new, never half. */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { READ_STEP = 16 * 1024 };

static sp_err err_of(int system_error)
{
    switch (system_error) {
    case ENOENT:
    case ENOTDIR: return SP_E_MISSING;
    case EACCES:
    case EPERM:
    case EROFS: return SP_E_DENIED;
    case EEXIST: return SP_E_EXISTS;
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOMEM: return SP_E_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return SP_E_LIMIT;
    case EAGAIN: return SP_E_AGAIN;
    case EISDIR: return SP_E_UNSUPPORTED; /* nothing else here is: whoever tells people may say folder */
    case ENAMETOOLONG:
    case EINVAL: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

/* --- whole files ---------------------------------------------------------------------------------------- */

sp_err sp_file_read(const char *path, size_t limit_bytes, struct sp_buf *into)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_of(errno);

    char step[READ_STEP];
    sp_err err = 0;
    size_t total = 0;
    for (;;) {
        ssize_t got = read(fd, step, sizeof(step));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            err = got < 0 ? err_of(errno) : 0;
            break;
        }
        total += (size_t)got;
        if (total > limit_bytes) {
            err = SP_E_LIMIT;
            break;
        }
        sp_buf_add(into, step, (size_t)got);
        if (into->failed) {
            err = SP_E_NOMEM;
            break;
        }
    }
    close(fd);
    return err;
}

static sp_err write_all(int fd, sp_str bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_of(errno);
        bytes = sp_str_from(bytes, (size_t)written);
    }
    return 0;
}

sp_err sp_file_replace(const char *path, sp_str bytes, uint32_t mode)
{
    char beside[PATH_MAX];
    int len = snprintf(beside, sizeof(beside), "%s.%d.new", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(beside))
        return SP_E_INVALID;
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_of(errno);

    sp_err err = write_all(fd, bytes);
    if (!err && (fchmod(fd, mode) || fsync(fd)))
        err = err_of(errno);
    if (close(fd) && !err)
        err = err_of(errno);
    if (!err && rename(beside, path))
        err = err_of(errno);
    if (err)
        (void)unlink(beside); /* the first fault is the one that is told */
    return err;
}

/* --- logs ----------------------------------------------------------------------------------------------- */

static int log_fd(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
}

static void close_log_fd(int fd)
{
    if (fd > STDERR_FILENO)
        close(fd);
}

sp_err sp_file_log_open(struct sp_file_log *log, const char *path)
{
    *log = (struct sp_file_log){ .fd = -1 };
    size_t bytes = strlen(path) + 1;
    char *copy = sp_mem_alloc(bytes);
    if (!copy)
        return SP_E_NOMEM;
    memcpy(copy, path, bytes);

    int fd = log_fd(path);
    if (fd < 0) {
        sp_err err = err_of(errno);
        sp_mem_free(copy);
        return err;
    }
    log->path = copy;
    log->fd = fd;
    return 0;
}

/* Standard output may be a pipe that nobody empties, and its mode is not ours to change: other programs share
 * it. A pipe that says it can be written to takes PIPE_BUF bytes without waiting. */
static size_t step_without_waiting(int fd, size_t bytes)
{
    if (fd > STDERR_FILENO)
        return bytes;
    struct pollfd out = { .fd = fd, .events = POLLOUT };
    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
        return 0;
    return bytes < PIPE_BUF ? bytes : PIPE_BUF;
}

void sp_file_log_write(struct sp_file_log *log, sp_str bytes)
{
    while (bytes.len > 0) {
        size_t step = step_without_waiting(log->fd, bytes.len);
        ssize_t written = step ? write(log->fd, bytes.ptr, step) : 0;
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log->lost_err = written < 0 ? err_of(errno) : SP_E_AGAIN;
            log->lost_bytes += bytes.len;
            return;
        }
        bytes = sp_str_from(bytes, (size_t)written);
    }
}

sp_err sp_file_log_reopen(struct sp_file_log *log)
{
    int fd = log_fd(log->path);
    if (fd < 0)
        return err_of(errno);
    close_log_fd(log->fd);
    log->fd = fd;
    return 0;
}

void sp_file_log_close(struct sp_file_log *log)
{
    close_log_fd(log->fd);
    sp_mem_free(log->path);
    *log = (struct sp_file_log){ .fd = -1 };
}

/* --- paths ---------------------------------------------------------------------------------------------- */

sp_err sp_file_real_path(const char *path, char *out, size_t out_bytes)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return err_of(errno);
    size_t bytes = strlen(real) + 1;
    if (bytes > out_bytes)
        return SP_E_LIMIT;
    memcpy(out, real, bytes);
    return 0;
}

static sp_err make_dir(const char *path, uint32_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : SP_E_EXISTS;
    return err_of(errno);
}

sp_err sp_file_make_dirs(const char *path, uint32_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part))
        return SP_E_INVALID;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = 0;
        sp_err err = make_dir(part, mode);
        part[i] = '/';
        if (err)
            return err;
    }
    return make_dir(part, mode);
}

/* --- about ourselves ------------------------------------------------------------------------------------ */

uint64_t sp_proc_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return soft;
    return limit.rlim_cur;
}

uint64_t sp_proc_rss_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (got <= 0)
        return 0;
    sp_str rest = { text, (size_t)got };
    uint64_t pages;
    sp_str_cut(&rest, ' ');
    if (sp_str_to_u64(sp_str_cut(&rest, ' '), &pages))
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t sp_proc_cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void sp_proc_reserve_files(uint64_t count)
{
    int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int high = any >= 0 && count > 0 && count <= INT_MAX ? fcntl(any, F_DUPFD_CLOEXEC, (int)count - 1) : -1;
    if (high >= 0)
        close(high);
    if (any >= 0)
        close(any);
}

uint32_t sp_proc_open_files(void)
{
    struct stat st; /* since Linux 6.2 the folder's size is their number; reading 8,000 names takes 40 ms */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint32_t)st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    uint32_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the one that looked */
}

const char *sp_proc_env(const char *name)
{
    return getenv(name);
}

void sp_proc_random(void *out, size_t bytes)
{
    char *at = out;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);
        if (got < 0) {
            SP_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        bytes -= (size_t)got;
    }
}
