/* memory: how much this process may have. The kernel kills who takes more, without a word, so whoever bounds
 * himself has to ask where the bound is.
 *
 *      /proc/meminfo                     MemTotal: what the machine has
 *      /proc/self/cgroup                 0::/pod/container          version 2
 *                                        4:memory:/pod/container    version 1
 *      /sys/fs/cgroup[/memory]/pod/container, /pod, /               memory.max, memory.limit_in_bytes
 *
 * The least of all holds: a group inside another may take no more than that one. In a container the path may
 * be one of the host's, that is not there; then its parents are not there either, up to the root, which is
 * the container's own group. "max", and the number with which version 1 says the same, are more than the
 * machine has, so they need no case of their own.
 *
 * Left aside: memory.high, at which the kernel slows down and does not kill; swap. */
#include "io/file.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 16 * 1024, PATH_BYTES = 1024 };

static bool read_text(const char *root, const char *path, struct sp_buf *into)
{
    char full[PATH_BYTES];
    int n = snprintf(full, sizeof(full), "%s%s", root, path);
    sp_buf_reset(into);
    return n > 0 && (size_t)n < sizeof(full) && !sp_file_read(full, TEXT_BYTES, into);
}

static uint64_t total_bytes(sp_str meminfo)
{
    uint64_t kib;
    while (meminfo.ptr) {
        sp_str line = sp_str_cut(&meminfo, '\n');
        if (!sp_str_starts(line, SP_STR("MemTotal:")))
            continue;
        line = sp_str_trim(sp_str_from(line, 9));
        return sp_str_to_u64(sp_str_cut(&line, ' '), &kib) ? 0 : kib * 1024;
    }
    return 0;
}

/* The least of the group's own limit and those of the groups around it. */
static uint64_t least_above(const char *root, const char *mount, sp_str group, const char *file,
                            struct sp_buf *text)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char path[PATH_BYTES];
        uint64_t bytes;
        bool is_root = group.len == 1;
        int n = snprintf(path, sizeof(path), "%s%.*s/%s", mount, is_root ? 0 : (int)group.len, group.ptr,
                         file);
        bool is_there = n > 0 && (size_t)n < sizeof(path) && read_text(root, path, text);
        sp_str said = is_there ? sp_buf_str(text) : SP_STR_NULL;
        if (!sp_str_to_u64(sp_str_cut(&said, '\n'), &bytes))
            least = SP_MIN(least, bytes);
        if (group.len <= 1)
            return least;
        size_t len = group.len;
        while (len > 1 && group.ptr[len - 1] != '/')
            len--;
        group = sp_str_upto(group, len > 1 ? len - 1 : 1); /* "/a/b" -> "/a" -> "/" */
    }
}

static bool has_memory(sp_str controllers)
{
    while (controllers.ptr)
        if (sp_str_eq(sp_str_cut(&controllers, ','), SP_STR("memory")))
            return true;
    return false;
}

uint64_t sp_proc_memory_under(const char *root)
{
    struct sp_buf groups, text;
    sp_buf_init(&groups, 0);
    sp_buf_init(&text, 0);
    uint64_t least = read_text(root, "/proc/meminfo", &text) ? total_bytes(sp_buf_str(&text)) : 0;
    least = least ? least : UINT64_MAX;
    sp_str rest = read_text(root, "/proc/self/cgroup", &groups) ? sp_buf_str(&groups) : SP_STR_NULL;
    while (rest.ptr) {
        sp_str line = sp_str_cut(&rest, '\n');
        sp_str number = sp_str_cut(&line, ':'), controllers = sp_str_cut(&line, ':');
        uint64_t bytes = UINT64_MAX;
        if (!line.len || line.ptr[0] != '/')
            continue;
        if (sp_str_eq(number, SP_STR("0")) && !controllers.len)
            bytes = least_above(root, "/sys/fs/cgroup", line, "memory.max", &text);
        else if (has_memory(controllers))
            bytes = least_above(root, "/sys/fs/cgroup/memory", line, "memory.limit_in_bytes", &text);
        least = SP_MIN(least, bytes);
    }
    sp_buf_deinit(&text);
    sp_buf_deinit(&groups);
    return least == UINT64_MAX ? 0 : least;
}

uint64_t sp_proc_memory_bytes(void)
{
    return sp_proc_memory_under("");
}
