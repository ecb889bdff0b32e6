/* mem: a store that keeps nothing: local.c with a commit that always succeeds at once.
 *
 * Tests and the simulation use it, and so may a control plane that reads all it knows from elsewhere. What it
 * shares with the body on a disk is everything but the disk: the same tree, the same batches at the end of a
 * turn, the same limits. So what is shown with it by ten thousand seeds holds for the other as well, as far
 * as the disk does what it says. */
#include "store/mem/mem.h"

#include "store/local_impl.h"

static enum sp_store_why commit(void *keep, const struct sp_keep_batch *batch)
{
    return SP_STORE_FINE;
}

static enum sp_store_why backup(void *keep, const char *path)
{
    return SP_STORE_NO_BACKUP;
}

static void forget(void *keep)
{
}

static const struct sp_keep_ops mem_ops = { .commit = commit, .backup = backup, .free = forget };

struct sp_store *sp_store_mem_open(const struct sp_store_mem_config *config)
{
    struct sp_local *local = sp_local_new(&(struct sp_local_config){ .loop = config->loop,
                                                                     .limit_bytes = config->limit_bytes,
                                                                     .keep_events = config->keep_events,
                                                                     .ops = &mem_ops });
    return local ? &local->store : NULL;
}
