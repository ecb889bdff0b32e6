/* handoff_impl: what the files of the hand-over share: numbers of kinds, the saver and the loader.
 *
 * A thing (a listener, a line, a stream ...) has a number within its worker's records, and other records name
 * it by that. Numbers of kinds and fields are never used again for another meaning; so are the enums that
 * records hold, which is why each file pins those that it writes. */
#ifndef SP_PROXY_HANDOFF_IMPL_H
#define SP_PROXY_HANDOFF_IMPL_H

#include "base/arena.h"
#include "base/vec.h"
#include "link/handoff.h"
#include "proxy/handoff.h"
#include "proxy/listener.h"
#include "proxy/stream_impl.h"
#include "proxy/tcp_impl.h"
#include "proxy/worker.h"

enum {
    SP_KIND_WORKER = 100,
    SP_KIND_WHY = 101,
    SP_KIND_LISTENER = 102,
    SP_KIND_DOOR = 103,
    SP_KIND_CHAIN = 104,
    SP_KIND_CLUSTER = 105,
    SP_KIND_ENDPOINT = 106,
    SP_KIND_SERIES = 107,
    SP_KIND_LINE = 108,
    SP_KIND_MUX = 109,
    SP_KIND_INTAKE = 110,
    SP_KIND_RELAY = 111,
    SP_KIND_STREAM = 112,
    SP_KIND_TIE = 113,
    SP_KIND_AHEAD = 114,
    SP_KIND_STILL = 115,
};

extern const struct sp_record_kind sp_handoff_worker_kind, sp_handoff_why_kind, sp_handoff_listener_kind,
    sp_handoff_door_kind, sp_handoff_chain_kind, sp_handoff_cluster_kind, sp_handoff_endpoint_kind,
    sp_handoff_series_kind, sp_handoff_line_kind, sp_handoff_mux_kind, sp_handoff_intake_kind,
    sp_handoff_relay_kind, sp_handoff_stream_kind, sp_handoff_tie_kind, sp_handoff_ahead_kind,
    sp_handoff_still_kind;

/* ---- saving ---- */

struct sp_saver {
    struct sp_worker *worker;
    const struct sp_ahead *ahead; /* what was told before; NULL: nothing */
    struct sp_record_writer *writer;
    struct sp_idmap numbers; /* where a thing is -> its number */
    uint32_t last;
    struct sp_buf bytes[3]; /* for what a record borrows while it is put */
};
/* `worker`, `writer` and `ahead` are set. */
void sp_saver_init(struct sp_saver *saver);
void sp_saver_deinit(struct sp_saver *saver);
uint32_t sp_saver_new(struct sp_saver *saver, const void *thing);
/* 0: NULL, or nothing that was saved. */
uint32_t sp_saver_number(const struct sp_saver *saver, const void *thing);
/* One of `bytes`, empty. */
struct sp_buf *sp_saver_buf(struct sp_saver *saver, unsigned which);
sp_str sp_saver_hist(struct sp_saver *saver, unsigned which, const struct sp_hist *hist);
static inline sp_str sp_saver_why(unsigned why)
{
    return why ? sp_str_c(sp_why_row((enum sp_why)why)->code) : SP_STR_NULL;
}

void sp_save_figures(struct sp_saver *saver);
void sp_save_listeners(struct sp_saver *saver);
void sp_save_clusters(struct sp_saver *saver);
void sp_save_lines(struct sp_saver *saver);
/* One downstream line; all of them, less those that are as they were told ahead. */
void sp_save_caller(struct sp_saver *saver, const struct sp_line *line);
void sp_save_callers(struct sp_saver *saver);
/* A chain and its listener, where records have not told them yet: their names alone. */
void sp_save_chain_name(struct sp_saver *saver, const struct sp_chain *chain);
void sp_save_intakes(struct sp_saver *saver);
void sp_save_relays(struct sp_saver *saver);
void sp_save_streams(struct sp_saver *saver);
void sp_save_ties(struct sp_saver *saver);

/* ---- loading ---- */

enum sp_handoff_what {
    SP_HANDOFF_LISTENER,
    SP_HANDOFF_CHAIN,
    SP_HANDOFF_CLUSTER,
    SP_HANDOFF_ENDPOINT,
    SP_HANDOFF_LINE,
    SP_HANDOFF_STREAM,
    SP_HANDOFF_WHATS
};

struct sp_handoff {
    struct sp_worker *workers[SP_WORKERS_MAX];
    uint32_t count;
    uint32_t sections;
    struct sp_worker *worker; /* to which the current section goes; NULL before the first */
    struct sp_record_reader *reader;
    const struct sp_record_kind *kind;         /* of the current record */
    struct sp_idmap things[SP_HANDOFF_WHATS];  /* number -> thing */
    struct sp_idmap missing[SP_HANDOFF_WHATS]; /* number -> its name (char *): not in this configuration */
    struct sp_arena names;
    struct sp_vec
        aheads[SP_WORKERS_MAX]; /* of struct sp_line *: came ahead, by old worker; not counted yet */
    struct sp_vec *ahead;       /* such records are being read; NULL: the others */
    struct sp_conn_record conn; /* waits for its owner's record */
    bool has_conn;
    sp_ns saved_now; /* the saver's clock */
    uint64_t shift;  /* what is to be added to its instants; modulo 2^64 */
};

/* Words about the current record; SP_E_INVALID. */
#define SP_HANDOFF_BAD(handoff, ...) sp_record_bad((handoff)->reader, (handoff)->kind, __VA_ARGS__)
sp_err sp_handoff_put(struct sp_handoff *handoff, enum sp_handoff_what what, uint32_t number,
                      void *thing) SP_MUST_USE;
/* The configuration has none of that name: whoever needs it is refused in these words. */
sp_err sp_handoff_put_missing(struct sp_handoff *handoff, enum sp_handoff_what what, uint32_t number,
                              const char *fmt, ...) SP_PRINTF(4, 5) SP_MUST_USE;
/* NULL when there is none of that number, or it is missing. */
void *sp_handoff_peek(const struct sp_handoff *handoff, enum sp_handoff_what what, uint32_t number);
/* The same, and words when it is NULL (`optional`: number 0 is nothing). */
sp_err sp_handoff_find(struct sp_handoff *handoff, enum sp_handoff_what what, uint32_t number, bool optional,
                       void *ret_thing) SP_MUST_USE;
/* An instant of the saver's, as this process counts; 0 stays 0. */
sp_ns sp_handoff_time(const struct sp_handoff *handoff, sp_ns at);
sp_err sp_handoff_why(struct sp_handoff *handoff, sp_str code, uint16_t *ret_why) SP_MUST_USE;
/* Addresses outlive the records: a path becomes empty. */
sp_addr sp_handoff_addr(const sp_addr *addr);
struct sp_origin sp_handoff_origin(const sp_addr *peer, const sp_addr *local, const sp_addr *dst,
                                   const sp_addr *direct);
/* The conn that waits for this record, in the owner's storage. On failure there is none. */
sp_err sp_handoff_take_conn(struct sp_handoff *handoff, struct sp_conn *conn, const struct sp_conn_ops *ops,
                            const struct sp_codec *codec, const struct sp_codec_limits *limits) SP_MUST_USE;
/* That conn's codec; NULL where it is raw. */
sp_err sp_handoff_conn_codec(struct sp_handoff *handoff, const struct sp_codec **ret_codec) SP_MUST_USE;
/* Give a descriptor that was taken back to the reader. */
void sp_handoff_return_fd(struct sp_handoff *handoff, uint32_t place, int fd);
/* A downstream connection of that listener: line, relay or intake. */
void sp_handoff_count_connection(struct sp_listener *listener);

/* Add the counters of a record, in `bytes` from offset `base` on, to those of `into`, which lie alike. */
void sp_handoff_add_cells(const struct sp_record_kind *kind, void *into, const void *record, size_t base,
                          size_t bytes);
sp_err sp_handoff_add_hist(struct sp_handoff *handoff, struct sp_hist *hist, sp_str bytes) SP_MUST_USE;
void sp_handoff_begin_section(struct sp_handoff *handoff, sp_ns saved_now);
void sp_handoff_set_clock(struct sp_handoff *handoff, sp_ns saved_now);
/* May that kind come ahead? */
bool sp_handoff_goes_ahead(uint16_t kind);
/* A downstream line that came ahead waits here. */
sp_err sp_handoff_keep_ahead(struct sp_handoff *handoff, struct sp_line *line) SP_MUST_USE;
/* A downstream line is counted, and hangs on its worker. */
void sp_handoff_place_line(struct sp_line *line);
/* The copies of lines that nobody confirmed are closed. */
void sp_handoff_drop_ahead(struct sp_handoff *handoff);

/* Each loads the current record. */
sp_err sp_load_worker(struct sp_handoff *handoff);
sp_err sp_load_why(struct sp_handoff *handoff);
sp_err sp_load_listener(struct sp_handoff *handoff);
sp_err sp_load_door(struct sp_handoff *handoff);
sp_err sp_load_chain(struct sp_handoff *handoff);
sp_err sp_load_cluster(struct sp_handoff *handoff);
sp_err sp_load_endpoint(struct sp_handoff *handoff);
sp_err sp_load_series(struct sp_handoff *handoff);
sp_err sp_load_line(struct sp_handoff *handoff);
sp_err sp_load_mux(struct sp_handoff *handoff);
sp_err sp_load_intake(struct sp_handoff *handoff);
sp_err sp_load_relay(struct sp_handoff *handoff);
sp_err sp_load_stream(struct sp_handoff *handoff);
sp_err sp_load_tie(struct sp_handoff *handoff);
sp_err sp_load_ahead(struct sp_handoff *handoff);
sp_err sp_load_still(struct sp_handoff *handoff);
/* All records of the section have come. */
sp_err sp_finish_lines(struct sp_handoff *handoff);
sp_err sp_finish_streams(struct sp_handoff *handoff);
void sp_finish_clusters(struct sp_handoff *handoff);

#endif
