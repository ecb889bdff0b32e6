/* intake: a connection that has been accepted and is not known yet: PROXY header, original destination,
 * first bytes. Ends by becoming a line (calls) or a relay (raw bytes), or by being cut with a reason. */
#ifndef SP_PROXY_INTAKE_H
#define SP_PROXY_INTAKE_H

#include "proxy/listener.h"

/* `fd` is taken over. */
void sp_intake_start(struct sp_listener *listener, int fd, const sp_addr *peer);

void sp_intake_cut_all(struct sp_worker *worker);

/* What an intake found out; handed to the line or the relay. */
struct sp_origin {
    sp_addr peer;   /* the caller, as the PROXY header says where there was one */
    sp_addr local;  /* where the connection came in */
    sp_addr dst;    /* original destination; family NONE when there is none */
    sp_addr direct; /* who connected, where a PROXY header says that it is not `peer`; else family NONE */
};

#endif
