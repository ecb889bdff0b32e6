/* stream_impl: what the files of the call's walk share: stream.c (the walk), forward.c (bytes from line to
 * line), finish.c (answers of our own, the report, the end). */
#ifndef SP_PROXY_STREAM_IMPL_H
#define SP_PROXY_STREAM_IMPL_H

#include "proxy/stream.h"
#include "proxy/worker.h"

enum sp_stream_state {
    SP_STREAM_FREE,
    SP_STREAM_WALK,     /* phases run */
    SP_STREAM_PENDING,  /* waits for a line */
    SP_STREAM_ATTACHED, /* the request flows; no answer yet */
    SP_STREAM_ANSWER,   /* the answer flows */
    SP_STREAM_DONE,
};

void sp_stream_move(struct sp_stream *stream, enum sp_stream_state to);

/* stream.c */
/* From the pool of the worker, counted, on no list yet; NULL when a limit is reached (*ret_why). */
struct sp_stream *sp_stream_take(struct sp_worker *worker, enum sp_why *ret_why);
void sp_stream_give(struct sp_stream *stream);
/* Storage alone, zeroed, with an empty arena; NULL when memory is out. */
struct sp_stream *sp_stream_block(struct sp_worker *worker);
void sp_stream_on_timer(struct sp_timer *timer);
/* Set the timer: the call's deadline or its idleness, whichever comes first. */
void sp_stream_arm(struct sp_stream *stream);
/* Its line has ended, for `why`: may the call be sent anew on a fresh one? While the line is still its
 * own. */
bool sp_stream_may_go_again(const struct sp_stream *stream, enum sp_why why);
/* It has left that line. False: the cluster's retries are used up. */
bool sp_stream_go_again(struct sp_stream *stream, enum sp_why why);
/* Give back what the attempt holds: endpoint, pending place, share of the retries. */
void sp_stream_unpick(struct sp_stream *stream);

enum { SP_STREAM_ID_BYTES = 36 };
/* Of a call, for x-request-id. */
void sp_stream_make_id(struct sp_worker *worker, char out[SP_STREAM_ID_BYTES]);

/* forward.c */
/* Send what there is of the request to the callee. False when the call is over (memory). */
bool sp_forward_request(struct sp_stream *stream);
void sp_forward_drop_held(struct sp_stream *stream);
/* Encode `head` onto the line; *ret_sent are the bytes as they stand there. */
sp_err sp_forward_head(struct sp_line *to, const struct sp_head *head, sp_str *ret_sent) SP_MUST_USE;
/* Keep a piece until it can be sent. False: memory is out. */
bool sp_forward_hold(struct sp_stream *stream, struct sp_slab *slab, sp_str bytes);

/* finish.c */
/* Refuse with our own answer, or cut where an answer has begun. The stream is gone. */
void sp_stream_refuse(struct sp_stream *stream, enum sp_why why);
/* Answer with the route's redirect or direct response. The stream is gone. */
void sp_stream_answer_self(struct sp_stream *stream);
/* The call is over: figures, report, lines go on. The stream is gone. */
void sp_stream_finish(struct sp_stream *stream);
/* report.c */
/* The lines that the call has just left, as far as they are known. */
void sp_report_call(struct sp_stream *stream, const struct sp_line *caller, const struct sp_line *callee);
/* Of what never became a call. `request` says its id where it has one; `failure` may be NULL. */
void sp_report_unborn(struct sp_line *line, const struct sp_head *request, enum sp_why why, uint32_t status,
                      const char *failure);

/* Write an error answer onto the line; false: not possible inside a frame, the line must end. */
bool sp_stream_write_error(struct sp_line *line, const struct sp_head *request, enum sp_why why,
                           uint32_t status, bool last);
/* The same for what never became a call, with its count and its record, which is found by an id that the
 * answer says. `failure` may be NULL. */
bool sp_stream_refuse_unborn(struct sp_line *line, const struct sp_head *request, enum sp_why why,
                             uint32_t status, const char *failure, bool last);

#endif
