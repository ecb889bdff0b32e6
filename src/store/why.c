/* why: each refusal of the store has a name; here are its words and the error that stands for it.
 *
 * The words are for people who read an answer of the API or a log, and say what to do where something can be
 * done. They hold no values: which key, how large, is known to the one who asked. The error is for code that
 * only wants to know what kind of trouble it is: a limit (ask differently), something that is not there, the
 * disk. */
#include "store/store.h"

static const struct {
    const char *words;
    sp_err err;
} whys[SP_STORE_WHYS] = {
    [SP_STORE_FINE] = { "fine", SP_OK },
    [SP_STORE_NO_MEMORY] = { "out of memory", SP_E_NOMEM },
    [SP_STORE_BAD_KEY] = { "a key is empty or longer than 4096 bytes", SP_E_LIMIT },
    [SP_STORE_BAD_VALUE] = { "a value is longer than 1048576 bytes", SP_E_LIMIT },
    [SP_STORE_TOO_MANY] = { "more than 128 comparisons or operations in a transaction", SP_E_LIMIT },
    [SP_STORE_TOO_LARGE] = { "more than 4194304 bytes in a transaction", SP_E_LIMIT },
    [SP_STORE_WIDE] = { "more than 65536 keys would change in one revision, or hang on one lease",
                        SP_E_LIMIT },
    [SP_STORE_TWICE] = { "a transaction changes a key twice", SP_E_INVALID },
    [SP_STORE_COMPACTED] = { "the history at this revision is compacted", SP_E_RANGE },
    [SP_STORE_FUTURE] = { "this revision is not yet", SP_E_RANGE },
    [SP_STORE_NO_LEASE] = { "there is no such lease", SP_E_MISSING },
    [SP_STORE_LEASE_TAKEN] = { "a lease of this id exists", SP_E_EXISTS },
    [SP_STORE_BAD_TTL] = { "the time of a lease is between 1 second and 365 days", SP_E_RANGE },
    [SP_STORE_LEASES_FULL] = { "there are 1048576 leases", SP_E_LIMIT },
    [SP_STORE_FULL] = { "the store holds as many bytes as it may: delete keys and compact", SP_E_LIMIT },
    [SP_STORE_DISK_FULL] = { "the disk is full: nothing was changed; make room and try again", SP_E_LIMIT },
    [SP_STORE_BROKEN] = { "the disk failed: nothing is written until the store is opened anew", SP_E_IO },
    [SP_STORE_NO_BACKUP] = { "the backup was not written: the file exists, the place cannot be written, or "
                             "this store is not on a disk",
                             SP_E_IO },
};

const char *sp_store_why_words(enum sp_store_why why)
{
    return whys[why].words;
}

sp_err sp_store_why_err(enum sp_store_why why)
{
    return whys[why].err;
}
