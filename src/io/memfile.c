/* memfile: a large run of bytes for another process.
 *
 * A socket could carry them too, but in pieces, with both sides waiting for each other at every full buffer,
 * while no call is served. A file of memory (memfd) goes over as one descriptor and is read by mapping it.
 *
 * What is mapped can change while it is read, or shrink so that reading it is a SIGBUS, if the other side is
 * broken or was taken over. Seals forbid both for ever, so the reader insists on them: no writing, no
 * growing, no shrinking, and no taking the seals off again (F_SEAL_SEAL is about adding more; it keeps the
 * set plain). Writing by mapping was tried: pages are faulted in one by one, which for 8 MiB took longer than
 * write(). */
#include "io/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK };

static sp_err err_of(int system_error)
{
    switch (system_error) {
    case EMFILE:
    case ENFILE: return SP_E_NOFILE;
    case ENOMEM:
    case ENOSPC: return SP_E_NOMEM; /* the second: the memory's file system is full */
    case EBADF:
    case EINVAL: return SP_E_INVALID;
    default: return SP_E_IO;
    }
}

sp_err sp_memfile_new(sp_str bytes, int *ret_fd)
{
    int fd = memfd_create("sampan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_of(errno);
    sp_err err = SP_OK;
    while (!err && bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written > 0)
            bytes = sp_str_from(bytes, (size_t)written);
        else if (written == 0 || errno != EINTR)
            err = written ? err_of(errno) : SP_E_IO;
    }
    if (!err && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL))
        err = err_of(errno);
    if (err) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return SP_OK;
}

sp_err sp_memfile_map(int fd, uint64_t limit_bytes, sp_str *ret_bytes)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) || st.st_size < 0)
        return SP_E_INVALID;
    if ((uint64_t)st.st_size > limit_bytes)
        return SP_E_LIMIT;
    if (st.st_size == 0) { /* nothing to map */
        *ret_bytes = SP_STR_NULL;
        return SP_OK;
    }
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED)
        return err_of(errno);
    *ret_bytes = sp_str_of(at, (size_t)st.st_size);
    return SP_OK;
}

void sp_memfile_unmap(sp_str bytes)
{
    if (bytes.len > 0)
        (void)munmap((void *)bytes.ptr, bytes.len); /* fails for a range that is none: not one of ours */
}
