/* sm: a state machine as data.
 *
 * The states are an enum, the drawing stands above it, and the moves are a table that says the same as the
 * drawing. All moves go through the one function below, so a move that nobody drew cannot happen quietly:
 * the process says which machine wanted to go from where to where, and ends.
 *
 * No actions hang on moves. What is to be done is written where it is decided; hooks that fire on entry
 * make the order of things invisible, which is what a drawing is there to show. */
#include "base/sm.h"

#include <stdio.h>

#include "base/err.h"

static _Noreturn void refuse(const struct sp_sm_state *table, uint8_t from, uint8_t to, const char *what)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "%s: no move from %s to %s", what, table[from].name,
                   to < 32 ? table[to].name : "a state beyond 31"); /* cut is fine */
    sp_assert_failed(text, __FILE__, __LINE__, "sp_sm_move");
}

void sp_sm_move(const struct sp_sm_state *table, uint8_t *state, uint8_t to, const char *what)
{
    if (SP_UNLIKELY(to >= 32 || !(table[*state].next & SP_SM_TO(to))))
        refuse(table, *state, to, what);
    *state = to;
}
