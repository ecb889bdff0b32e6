/* notify: what a service says to its supervisor (systemd's Type=notify): one datagram of NAME=value lines. */
#ifndef SP_IO_NOTIFY_H
#define SP_IO_NOTIFY_H

#include "base/err.h"
#include "base/str.h"

/* `to` is what NOTIFY_SOCKET says: the path of a Unix socket, or "@name". Does not wait. SP_E_INVALID: no
 * such address; SP_E_MISSING, SP_E_REFUSED: nobody is there; SP_E_AGAIN: it does not take it now. */
sp_err sp_notify(const char *to, sp_str lines) SP_MUST_USE;

#endif
