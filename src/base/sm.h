/* sm: a state machine as data. An enum of states, a table of allowed moves, one function that moves.
 *
 * A move that the table does not hold is wrong code: it asserts with both names. */
#ifndef SP_BASE_SM_H
#define SP_BASE_SM_H

#include <stdint.h>

struct sp_sm_state {
    const char *name;
    uint32_t next; /* bit set of the states that may follow */
};

#define SP_SM_TO(state) (1u << (state))

/* Asserts that `table[*state].next` holds `to`, then stores it. */
void sp_sm_move(const struct sp_sm_state *table, uint8_t *state, uint8_t to, const char *what);

#endif
