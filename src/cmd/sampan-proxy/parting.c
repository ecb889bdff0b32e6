/* parting: seeing to it that who should go does.
 *
 *      watch ── it has ended ─────────────────────────> forgotten
 *        │
 *        └───── ten seconds ──> ended ── it has ended ──> forgotten
 *
 * In a walk both processes hold all sockets for a moment. The one that does not serve in the end, a
 * predecessor that handed over or a successor that was sent away, ends by itself within milliseconds, unless
 * it hangs: a stopped process, a disk that does not take its logs. Its copies then keep every connection open
 * that we close: peers wait for an end that does not come, ports and descriptors stay taken. It is of no use
 * to anybody any more, so it is ended by our hand.
 *
 * Ten seconds, because a predecessor has five to wait for our word to its supervisor (upgrade.c), and then
 * writes the logs that it has left. One process is watched at a time: whoever comes to a second walk within
 * ten seconds has had no patience with the first either. */
#include "cmd/sampan-proxy/parting.h"

#include <unistd.h>

#include "base/mem.h"
#include "cmd/sampan-proxy/server.h"
#include "io/lookout.h"
#include "io/pidfd.h"
#include "io/timer.h"

enum { PATIENCE_S = 10 };

struct parting {
    struct server *server;
    int process; /* pidfd */
    struct sp_lookout *end;
    struct sp_timer late;
};

static void forget(struct parting *parting)
{
    struct server *server = parting->server;
    sp_timer_stop(server->loop, &parting->late);
    sp_lookout_free(parting->end);
    close(parting->process);
    sp_mem_free(parting);
    server->parting = NULL;
}

static void on_end(void *arg)
{
    forget(arg);
}

static void end_it(struct server *server, int process)
{
    if (sp_pidfd_wait(process, 0) == SP_OK)
        return;
    sp_err err = sp_pidfd_end(process);
    if (err != SP_E_MISSING)
        sp_log_line(&server->log, SP_LOG_WARN, "the other process did not end by itself", "ended=%s",
                    err ? sp_err_str(err) : "yes");
}

static void on_late(struct sp_timer *timer)
{
    struct parting *parting = SP_CONTAINER(timer, struct parting, late);
    end_it(parting->server, parting->process); /* on_end follows */
}

void parting_watch(struct server *server, int process)
{
    if (process < 0)
        return;
    parting_end(server);
    struct parting *parting = sp_mem_zalloc(sizeof(*parting));
    if (parting)
        *parting = (struct parting){ .server = server,
                                     .process = process,
                                     .late.on_fire = on_late,
                                     .end = sp_lookout_new(server->loop, process, on_end, parting) };
    if (!parting || !parting->end) { /* it cannot be watched */
        end_it(server, process);
        close(process);
        sp_mem_free(parting);
        return;
    }
    sp_timer_set(server->loop, &parting->late, PATIENCE_S * SP_NS_PER_S);
    server->parting = parting;
}

void parting_end(struct server *server)
{
    if (!server->parting)
        return;
    end_it(server, server->parting->process);
    forget(server->parting);
}
