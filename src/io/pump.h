/* pump: one direction of a raw byte relay between two socks, done inside io by the cheapest way: small
 * reads are copied (recv, send at once), and when reads fill the buffer bytes go socket -> pipe -> socket
 * by splice without entering the process; back to copying when the flow thins out. Pipes belong to the
 * loop and are lent only while bytes flow, so an idle connection holds none.
 *
 * While a pump runs it owns the reading of `from` and the writing of `to`; at most one each. on_bytes and
 * on_end of `from` and on_room of `to` are not called: on_done tells instead. A relay is two pumps; when one
 * is done with SP_E_CLOSED its owner shuts `to` down and lets the other run, at any other error it closes
 * both socks. Closing or detaching a sock cancels its pumps; a pump's storage lives as long as its socks'. */
#ifndef SP_IO_PUMP_H
#define SP_IO_PUMP_H

#include "io/sock.h"

struct sp_pump {
    struct sp_sock *from, *to;
    /* `bytes` more have reached `to`'s socket. */
    void (*on_moved)(struct sp_pump *pump, uint64_t bytes);
    /* Source ended (SP_E_CLOSED, everything delivered) or either side broke. The pump is stopped. */
    void (*on_done)(struct sp_pump *pump, sp_err err);
    struct sp_slab *held; /* bytes that `to` could not take yet */
    uint32_t held_at, held_end;
    uint32_t piped; /* bytes inside the pipe */
    int pipe[2];    /* -1 when none is lent */
    uint8_t mode;   /* copy or splice */
    uint8_t run;    /* thin splices in a row: back to copying */
    bool running;
    bool stopping; /* sp_pump_stop was called: done when nothing is inside */
};

/* Storage zeroed by the owner, callbacks set. Nothing may wait to be sent on `to` (no room awaited).
 * SP_E_EXISTS: one of them has such a pump; SP_E_CLOSED: that direction is over. No callback comes inside
 * the call. */
sp_err sp_pump_start(struct sp_pump *pump, struct sp_sock *from, struct sp_sock *to) SP_MUST_USE;
/* Stops reading; false while bytes are still inside (on_done(SP_E_CANCELLED) when they are out). */
bool sp_pump_stop(struct sp_pump *pump);
/* For hand-over: what is inside a pipe is read into `held`, as if it had been copied, and the pump goes on
 * from there. SP_E_NOMEM, SP_E_IO: as it was. */
sp_err sp_pump_drain_pipe(struct sp_pump *pump) SP_MUST_USE;
/* What is held and not yet delivered; of a running pump whose pipe has been drained. */
sp_str sp_pump_inside(const struct sp_pump *pump);
/* As sp_pump_start, with bytes inside, which are copied. SP_E_LIMIT: more than a pump can hold. */
sp_err sp_pump_load(struct sp_pump *pump, struct sp_sock *from, struct sp_sock *to,
                    sp_str inside) SP_MUST_USE;
/* Drop what is inside; for closing. */
void sp_pump_cancel(struct sp_pump *pump);

#endif
