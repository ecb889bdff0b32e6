/* intake_impl: what intake.c shares with the files of the hand-over. */
#ifndef SP_PROXY_INTAKE_IMPL_H
#define SP_PROXY_INTAKE_IMPL_H

#include "io/timer.h"
#include "link/conn.h"
#include "proxy/intake.h"

struct sp_intake {
    struct sp_conn conn;
    struct sp_listener *listener; /* which counts it; may be another than it came in by: find_listener */
    struct sp_list link;          /* worker->intakes */
    struct sp_timer timer;
    struct sp_origin origin;
    enum sp_why why;
    bool proxy_header_done;
    bool rests; /* the time for detection is over, and it may stay all the same */
};

extern const struct sp_conn_ops sp_intake_conn_ops;
void sp_intake_on_timer(struct sp_timer *timer);

#endif
