/* walk_impl: what both sides of a walk share: its messages, and the process at the other end. */
#ifndef SP_UPGRADE_WALK_IMPL_H
#define SP_UPGRADE_WALK_IMPL_H

#include "io/fdpass.h"
#include "upgrade/walk.h"

/* The first byte of a message. Letters, so that strace can be read. */
enum sp_walk_message {
    SP_WALK_HELLO = 'H',
    SP_WALK_NO = 'N',         /* words */
    SP_WALK_AHEAD = 'W',      /* tell what can be told before `go` */
    SP_WALK_PART = 'P',       /* as a set: what is told ahead */
    SP_WALK_PART_BATCH = 'B', /* its descriptors */
    SP_WALK_END = 'E',        /* of the parts */
    SP_WALK_GO = 'G',
    SP_WALK_BATCH = 'F', /* descriptors; all batches but the last are full */
    SP_WALK_SET = 'S',   /* struct sp_walk_set, and one descriptor: the records */
    SP_WALK_READY = 'R',
    SP_WALK_YOURS = 'Y',
    SP_WALK_RUNNING = 'U',
    SP_WALK_ABORT = 'A', /* words */
};

enum {
    SP_WALK_MESSAGE_BYTES = 64 * 1024, /* the longest is hello, with a schema */
    SP_WALK_FDS_MAX = 1 << 20,
    SP_WALK_SET_MAX = 1 << 30,
    /* How long a process whose connection has ended may take to end itself. */
    SP_WALK_GRACE_MS = 1000,
    /* How long one may take that was killed: the kernel closes its descriptors. */
    SP_WALK_KILL_MS = 5000,
};

/* Numbers as the machine has them: both processes are on it. */
struct sp_walk_set {
    uint64_t bytes, hash, records;
    uint32_t fds, zero;
};

struct sp_walk_talk {
    int sock;
    int process; /* pidfd of the other side; -1: the caller has it */
    bool shut;   /* our ear */
    struct sp_walk_peer peer;
    struct sp_walk_times times;      /* none is 0 */
    struct sp_record_schema *schema; /* of the other side */
    /* What was heard last. */
    uint8_t kind;
    sp_str body; /* in `bytes` */
    int fds[SP_FDPASS_MAX];
    uint32_t fd_count; /* 0 once somebody took them; the rest is closed before the next is heard */
    char bytes[SP_WALK_MESSAGE_BYTES];
};

/* Takes the socket, also on failure. SP_E_DENIED: neither our user nor root, or one that we could not end;
 * SP_E_MISSING: it is dead; others as they come. Words in `trouble`. */
sp_err sp_walk_talk_init(struct sp_walk_talk *talk, int sock, const struct sp_walk_times *times,
                         char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
void sp_walk_talk_deinit(struct sp_walk_talk *talk);

/* SP_E_RESET: nobody hears it any more; SP_E_TIMEOUT: it takes no more messages. */
sp_err sp_walk_say(struct sp_walk_talk *talk, enum sp_walk_message kind, sp_str body, const int *fds,
                   uint32_t count, uint32_t timeout_ms) SP_MUST_USE;
sp_err sp_walk_say_hello(struct sp_walk_talk *talk, const struct sp_record_book *book, uint32_t workers,
                         const char *build) SP_MUST_USE;
/* The next message into `kind` and `body`. SP_E_CLOSED: the end, after all that was said; SP_E_TIMEOUT;
 * SP_E_INVALID: no message of this walk; SP_E_LIMIT: we have no room for its descriptors. */
sp_err sp_walk_hear(struct sp_walk_talk *talk, uint32_t timeout_ms) SP_MUST_USE;
/* The last of what has come by now, and the end behind it: nothing that is said later is heard, and whoever
 * says it is told (SP_E_RESET). With the ear shut sp_walk_hear does not wait. */
void sp_walk_shut(struct sp_walk_talk *talk);
/* Why a talk has ended: SP_E_TIMEOUT where our ear is shut, SP_E_CLOSED where the other's end came. */
sp_err sp_walk_end_of(const struct sp_walk_talk *talk, sp_err err);
/* The hello just heard, into peer and schema. */
sp_err sp_walk_take_hello(struct sp_walk_talk *talk, const struct sp_record_book *book,
                          char trouble[SP_WALK_TROUBLE]) SP_MUST_USE;
/* Make sure that the other process is dead: by itself within the grace, else by our hand. False: it lives,
 * and cannot be ended. */
bool sp_walk_end_peer(struct sp_walk_talk *talk, uint32_t grace_ms) SP_MUST_USE;

void sp_walk_words(char trouble[SP_WALK_TROUBLE], const char *fmt, ...) SP_PRINTF(2, 3);
/* Why `want` did not come: `err` of hearing, or another message in its place. */
void sp_walk_words_for(const struct sp_walk_talk *talk, sp_err err, const char *want, uint32_t waited_ms,
                       char trouble[SP_WALK_TROUBLE]);

#endif
