/* sm: what the table holds happens; what it does not hold ends the process with both names. */
#include "base/sm.h"

#include "unit/base/help.h"

enum { IDLE, BUSY, OVER };

static const struct sp_sm_state door[] = {
    [IDLE] = { "idle", SP_SM_TO(BUSY) | SP_SM_TO(OVER) },
    [BUSY] = { "busy", SP_SM_TO(IDLE) | SP_SM_TO(BUSY) },
    [OVER] = { "over", 0 },
};

static void moves_of_the_table_happen(void **state)
{
    uint8_t at = IDLE;

    sp_sm_move(door, &at, BUSY, "door");
    assert_int_equal(at, BUSY);
    sp_sm_move(door, &at, BUSY, "door");
    sp_sm_move(door, &at, IDLE, "door");
    sp_sm_move(door, &at, OVER, "door");
    assert_int_equal(at, OVER);
}

static void leave_the_end(void)
{
    uint8_t at = OVER;
    sp_sm_move(door, &at, IDLE, "door");
}

static void stand_still(void)
{
    uint8_t at = IDLE;
    sp_sm_move(door, &at, IDLE, "door");
}

static void go_beyond(void)
{
    uint8_t at = IDLE;
    sp_sm_move(door, &at, 33, "door"); /* 1 << 33 would wrap to a state that is allowed */
}

static void other_moves_end_the_process_with_both_names(void **state)
{
    check_dies(leave_the_end, "door: no move from over to idle");
    check_dies(stand_still, "door: no move from idle to idle");
    check_dies(go_beyond, "door: no move from idle to a state beyond 31");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_of_the_table_happen),
        cmocka_unit_test(other_moves_end_the_process_with_both_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
