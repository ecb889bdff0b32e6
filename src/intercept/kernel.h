/* kernel: puts the rules of a plan into the kernel, and takes them out again, by `nft` and, for TPROXY, `ip`.
 *
 * Both block until it is done, and are for a command line. Both act on the network namespace that they run
 * in. */
#ifndef SP_INTERCEPT_KERNEL_H
#define SP_INTERCEPT_KERNEL_H

#include "base/buf.h"
#include "base/err.h"

struct sp_intercept_plan;

/* Makes the rules; those of an earlier call are replaced at one instant. On failure the earlier rules stand
 * as before and `say` holds what went wrong and what to do: SP_E_DENIED, SP_E_MISSING (no nft, no ip),
 * SP_E_IO. */
sp_err sp_intercept_apply(const struct sp_intercept_plan *plan, struct sp_buf *say) SP_MUST_USE;
/* Takes away the plan's table and what TPROXY left beside it. That nothing is there is fine. */
sp_err sp_intercept_remove(const struct sp_intercept_plan *plan, struct sp_buf *say) SP_MUST_USE;

#endif
