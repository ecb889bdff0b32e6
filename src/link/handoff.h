/* handoff: a conn as a record, for the process that takes over from this one. The descriptor goes along and
 * is never touched here; what the process held of it (undecoded input, unsent output, the grammar's state,
 * why it rests) becomes bytes, and a conn again over there. */
#ifndef SP_LINK_HANDOFF_H
#define SP_LINK_HANDOFF_H

#include "base/record.h"
#include "link/conn.h"

/* One conn; whoever owns it follows in the next record. Strings are borrowed from what is read. */
struct sp_conn_record {
    uint32_t fd; /* its place in the writer's list */
    sp_str in, out;
    sp_str state;     /* as codec->save wrote it */
    uint8_t protocol; /* enum sp_protocol: whose grammar; NONE = raw */
    uint32_t out_mark;
    uint64_t last_ns, out_ns;
    bool held, paused, broken, failed, above_mark, end_pending, end_told, fin_queued, close_flushed;
    int32_t end_err;
    bool sock_ended, sock_shut, sock_broken;
    int32_t sock_late;
};
enum { SP_KIND_CONN = 200 };
extern const struct sp_record_kind sp_conn_kind;

/* Nothing waits in either direction, and nothing has ended or rests: what is told of it is whose grammar it
 * speaks, and since when it is still. */
bool sp_conn_is_quiet(const struct sp_conn *conn);
/* The conn is open (not connecting, not closed) and its loop does not run. */
void sp_conn_save(const struct sp_conn *conn, struct sp_record_writer *writer);
/* A conn in `conn`'s storage, with `fd` adopted. Nothing is read, decoded or sent before the loop runs; its
 * owner has no event before that. `codec` and `limits` as for sp_conn_speak; NULL when the record has no
 * protocol. SP_E_INVALID with *ret_words: no conn can have written this. SP_E_NOMEM. On failure the
 * descriptor is still the caller's, and the conn is nothing. */
sp_err sp_conn_load(struct sp_conn *conn, struct sp_link *link, const struct sp_conn_ops *ops, int fd,
                    const struct sp_conn_record *record, const struct sp_codec *codec,
                    const struct sp_codec_limits *limits, const char **ret_words) SP_MUST_USE;
/* Leave the link and the loop touching no socket; what waits in either direction is dropped, and the
 * descriptor is the caller's. No callback comes. */
int sp_conn_leave(struct sp_conn *conn);

#endif
