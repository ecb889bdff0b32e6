/* demo_dir: the folder of one demo's bootstraps and sockets. */
#ifndef SP_CMD_SAMPAN_DEMO_DIR_H
#define SP_CMD_SAMPAN_DEMO_DIR_H

#include <stdbool.h>
#include <sys/types.h>

struct demo_dir {
    char path[4096]; /* empty: there is none */
    int fd;          /* holds the folder's lock for as long as we live */
    bool keep;
};

/* A new folder in `parent`; those that dead demos have left there go first. False: it cannot be made. */
bool demo_dir_make(struct demo_dir *dir, const char *parent, bool keep);
/* With what is in it, unless it is to be kept. Storage of zeros is fine. */
void demo_dir_end(struct demo_dir *dir);
/* Removes what dead demos of this user have left in `parent`; returns how many folders. */
unsigned demo_dir_sweep(const char *parent, uid_t user);

#endif
