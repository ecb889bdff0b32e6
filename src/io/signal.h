/* signal: signals as events of a loop (signalfd). Blocks them in the calling thread: call it before any
 * other thread is made. */
#ifndef SP_IO_SIGNAL_H
#define SP_IO_SIGNAL_H

#include "io/loop.h"

struct sp_signals;

struct sp_signals *sp_signals_new(struct sp_loop *loop, const int *signals, uint32_t count,
                                  void (*on_signal)(void *arg, int signal), void *arg);
void sp_signals_free(struct sp_signals *signals);

#endif
