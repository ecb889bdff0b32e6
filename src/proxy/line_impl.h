/* line_impl: what line.c shares with the files of the hand-over: storage, and the events of its conn. */
#ifndef SP_PROXY_LINE_IMPL_H
#define SP_PROXY_LINE_IMPL_H

#include "proxy/line.h"

extern const struct sp_conn_ops sp_line_conn_ops;
/* Zeroed storage with empty lists, CONNECTING; `codec` says whether calls come many at a time (NULL: no).
 * NULL when memory is out. */
struct sp_line *sp_line_take(struct sp_worker *worker, const struct sp_codec *codec);
/* Its conn is no more, and it is on no list. */
void sp_line_give(struct sp_line *line);

#endif
