/* disk: a VFS of SQLite that stands between it and the real one, and can run full, refuse to sync, and lose
 * power: then every file is what was synced, and of what was written since, each write is there or not. */
#ifndef SP_TESTS_STORE_DISK_H
#define SP_TESTS_STORE_DISK_H

#include <sqlite3.h>

#include "unit/store/help.h"

enum { DISK_FILES = 4, DISK_WRITES = 4096, DISK_FILE_BYTES = 4 << 20 };

struct disk_write {
    sqlite3_int64 at;
    int bytes; /* -1: truncated to `at` */
    char *copy;
};

struct disk_image { /* of one file */
    char name[128];
    char *synced;
    sqlite3_int64 synced_bytes;
    struct disk_write writes[DISK_WRITES];
    int write_count;
    bool there;
};

struct disk {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct disk_image images[DISK_FILES];
    int64_t room;     /* writes that still succeed; negative: all */
    int64_t syncs;    /* syncs that still succeed; negative: all */
    int64_t steps;    /* writes and syncs until the power fails; negative: never */
    uint64_t written; /* writes so far */
    bool dead;
};

struct disk_file {
    sqlite3_file file;
    struct disk *disk;
    struct disk_image *image; /* NULL: not kept, a temporary file */
    sqlite3_file real[];
};

static inline struct disk_file *disk_of(sqlite3_file *file)
{
    return (struct disk_file *)file;
}

static inline bool disk_dies(struct disk *disk)
{
    if (disk->steps == 0)
        disk->dead = true;
    else if (disk->steps > 0)
        disk->steps--;
    return disk->dead;
}

static inline void disk_forget_writes(struct disk_image *image)
{
    for (int i = 0; i < image->write_count; i++)
        free(image->writes[i].copy);
    image->write_count = 0;
}

static inline void disk_note(struct disk_image *image, sqlite3_int64 at, const void *bytes, int count)
{
    if (!image)
        return;
    assert_true(image->write_count < DISK_WRITES);
    struct disk_write *write = &image->writes[image->write_count++];
    *write = (struct disk_write){ .at = at, .bytes = count };
    if (count > 0) {
        write->copy = malloc((size_t)count);
        memcpy(write->copy, bytes, (size_t)count);
    }
}

/* ---- files ---- */

static inline int disk_close(sqlite3_file *file)
{
    return disk_of(file)->real->pMethods->xClose(disk_of(file)->real);
}

static inline int disk_read(sqlite3_file *file, void *into, int bytes, sqlite3_int64 at)
{
    return disk_of(file)->disk->dead
               ? SQLITE_IOERR_READ
               : disk_of(file)->real->pMethods->xRead(disk_of(file)->real, into, bytes, at);
}

static inline int disk_write_at(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
    struct disk *disk = disk_of(file)->disk;
    if (disk_dies(disk))
        return SQLITE_IOERR_WRITE;
    if (disk->room == 0)
        return SQLITE_FULL;
    if (disk->room > 0)
        disk->room--;
    disk->written++;
    disk_note(disk_of(file)->image, at, from, bytes);
    return disk_of(file)->real->pMethods->xWrite(disk_of(file)->real, from, bytes, at);
}

static inline int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (disk_dies(disk_of(file)->disk))
        return SQLITE_IOERR_TRUNCATE;
    disk_note(disk_of(file)->image, size, NULL, -1);
    return disk_of(file)->real->pMethods->xTruncate(disk_of(file)->real, size);
}

static inline int disk_sync(sqlite3_file *file, int flags)
{
    struct disk *disk = disk_of(file)->disk;
    struct disk_image *image = disk_of(file)->image;
    if (disk_dies(disk))
        return SQLITE_IOERR_FSYNC;
    if (disk->syncs == 0)
        return SQLITE_IOERR_FSYNC;
    if (disk->syncs > 0)
        disk->syncs--;
    if (!image)
        return SQLITE_OK;
    sqlite3_int64 size = 0;
    assert_int_equal(disk_of(file)->real->pMethods->xFileSize(disk_of(file)->real, &size), SQLITE_OK);
    assert_true(size <= DISK_FILE_BYTES);
    image->synced = realloc(image->synced, (size_t)size + 1);
    if (size)
        assert_int_equal(
            disk_of(file)->real->pMethods->xRead(disk_of(file)->real, image->synced, (int)size, 0),
            SQLITE_OK);
    image->synced_bytes = size;
    disk_forget_writes(image);
    return SQLITE_OK; /* the real one need not: what is lost is decided here */
}

static inline int disk_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return disk_of(file)->real->pMethods->xFileSize(disk_of(file)->real, size);
}

static inline int disk_lock(sqlite3_file *file, int level)
{
    return disk_of(file)->real->pMethods->xLock(disk_of(file)->real, level);
}

static inline int disk_unlock(sqlite3_file *file, int level)
{
    return disk_of(file)->real->pMethods->xUnlock(disk_of(file)->real, level);
}

static inline int disk_reserved(sqlite3_file *file, int *reserved)
{
    return disk_of(file)->real->pMethods->xCheckReservedLock(disk_of(file)->real, reserved);
}

static inline int disk_control(sqlite3_file *file, int op, void *arg)
{
    return disk_of(file)->real->pMethods->xFileControl(disk_of(file)->real, op, arg);
}

static inline int disk_sector(sqlite3_file *file)
{
    return disk_of(file)->real->pMethods->xSectorSize(disk_of(file)->real);
}

static inline int disk_traits(sqlite3_file *file)
{
    return disk_of(file)->real->pMethods->xDeviceCharacteristics(disk_of(file)->real);
}

/* Version 1: no shared memory, which an exclusive store must not need, and no mapping. */
static const sqlite3_io_methods disk_methods = {
    .iVersion = 1,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write_at,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_reserved,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_traits,
};

static inline struct disk_image *disk_image(struct disk *disk, const char *name)
{
    for (int i = 0; i < DISK_FILES; i++) {
        struct disk_image *image = &disk->images[i];
        if (!image->there) {
            snprintf(image->name, sizeof(image->name), "%s", name);
            image->there = true;
        }
        if (strcmp(image->name, name) == 0)
            return image;
    }
    fail_msg("more than %d files", DISK_FILES);
    return NULL;
}

static inline int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *got)
{
    struct disk *disk = SP_CONTAINER(vfs, struct disk, vfs);
    disk_of(file)->disk = disk;
    disk_of(file)->image = name ? disk_image(disk, name) : NULL;
    int code = disk->dead ? SQLITE_CANTOPEN
                          : disk->real->xOpen(disk->real, name, disk_of(file)->real, flags, got);
    file->pMethods = code == SQLITE_OK ? &disk_methods : NULL;
    return code;
}

/* A name that goes is gone at once: SQLite syncs the folder, or does not mind. */
static inline int disk_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct disk *disk = SP_CONTAINER(vfs, struct disk, vfs);
    if (disk_dies(disk))
        return SQLITE_IOERR_DELETE;
    struct disk_image *image = disk_image(disk, name);
    disk_forget_writes(image);
    image->synced_bytes = 0;
    return disk->real->xDelete(disk->real, name, sync);
}

static inline int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    struct disk *disk = SP_CONTAINER(vfs, struct disk, vfs);
    return disk->real->xAccess(disk->real, name, flags, result);
}

static inline int disk_path(sqlite3_vfs *vfs, const char *name, int bytes, char *out)
{
    struct disk *disk = SP_CONTAINER(vfs, struct disk, vfs);
    return disk->real->xFullPathname(disk->real, name, bytes, out);
}

static inline int disk_random(sqlite3_vfs *vfs, int bytes, char *out)
{
    memset(out, 7, (size_t)bytes); /* salts of the log: the same run for the same seed */
    return bytes;
}

static inline int disk_sleep(sqlite3_vfs *vfs, int us)
{
    return us;
}

static inline int disk_time(sqlite3_vfs *vfs, double *now)
{
    *now = 2460000.5;
    return SQLITE_OK;
}

static inline void disk_init(struct disk *disk)
{
    memset(disk, 0, sizeof(*disk));
    disk->room = disk->syncs = disk->steps = -1;
    disk->real = sqlite3_vfs_find(NULL);
    disk->vfs = (sqlite3_vfs){ .iVersion = 1,
                               .szOsFile = (int)sizeof(struct disk_file) + disk->real->szOsFile,
                               .mxPathname = disk->real->mxPathname,
                               .zName = "disk",
                               .xOpen = disk_open,
                               .xDelete = disk_delete,
                               .xAccess = disk_access,
                               .xFullPathname = disk_path,
                               .xRandomness = disk_random,
                               .xSleep = disk_sleep,
                               .xCurrentTime = disk_time };
    assert_int_equal(sqlite3_vfs_register(&disk->vfs, 0), SQLITE_OK);
}

/* The machine comes up again: each file is what was synced and a part of what was not. */
static inline void disk_power(struct disk *disk, struct sp_rng *rng)
{
    for (int i = 0; i < DISK_FILES && disk->images[i].there; i++) {
        struct disk_image *image = &disk->images[i];
        char *bytes = calloc(1, DISK_FILE_BYTES);
        sqlite3_int64 size = image->synced_bytes;
        uint32_t chance = (uint32_t)sp_rng_below(rng, 1001);
        if (size)
            memcpy(bytes, image->synced, (size_t)size);
        for (int w = 0; w < image->write_count; w++) {
            struct disk_write *write = &image->writes[w];
            if (!sp_rng_chance(rng, chance))
                continue;
            if (write->bytes < 0) {
                size = write->at;
                continue;
            }
            memcpy(bytes + write->at, write->copy, (size_t)write->bytes);
            size = SP_MAX(size, write->at + write->bytes);
        }
        if (access(image->name, F_OK) == 0) {
            FILE *file = fopen(image->name, "w");
            assert_non_null(file);
            assert_int_equal(fwrite(bytes, 1, (size_t)size, file), (size_t)size);
            assert_int_equal(fclose(file), 0);
        }
        image->synced = realloc(image->synced, (size_t)size + 1);
        memcpy(image->synced, bytes, (size_t)size);
        image->synced_bytes = size;
        disk_forget_writes(image);
        free(bytes);
    }
    disk->steps = -1;
    disk->dead = false;
}

static inline void disk_deinit(struct disk *disk)
{
    for (int i = 0; i < DISK_FILES; i++) {
        disk_forget_writes(&disk->images[i]);
        free(disk->images[i].synced);
    }
    sqlite3_vfs_unregister(&disk->vfs);
}

#endif
