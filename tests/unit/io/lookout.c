/* lookout: the loop tells of a descriptor and takes nothing from it. */
#include "io/lookout.h"

#include "unit/io/help.h"

struct watch {
    struct sp_lookout *lookout;
    int told;
    bool frees;
};

static void on_ready(void *arg)
{
    struct watch *watch = arg;
    watch->told++;
    if (watch->frees) {
        sp_lookout_free(watch->lookout);
        watch->lookout = NULL;
    }
}

static void what_can_be_read_is_told_each_turn_and_stays_unread(void **state)
{
    int pair[2];
    char got[4];
    struct sp_loop_config config = { .seed = 1 };
    struct sp_loop *loop = sp_loop_new(&config);
    struct watch watch = { 0 };
    unix_pair(pair);
    watch.lookout = sp_lookout_new(loop, pair[0], on_ready, &watch);
    assert_non_null(watch.lookout);
    sp_loop_turn(loop, 0);
    assert_int_equal(watch.told, 0);
    assert_int_equal(write(pair[1], "go", 2), 2);
    sp_loop_turn(loop, 1000 * SP_NS_PER_MS);
    sp_loop_turn(loop, 1000 * SP_NS_PER_MS);
    assert_int_equal(watch.told, 2);
    assert_int_equal(read(pair[0], got, sizeof(got)), 2);
    sp_loop_turn(loop, 0);
    assert_int_equal(watch.told, 2);
    close(pair[1]); /* an end is something to read too */
    sp_loop_turn(loop, 1000 * SP_NS_PER_MS);
    assert_int_equal(watch.told, 3);
    sp_lookout_free(watch.lookout);
    close(pair[0]);
    sp_loop_free(loop);
}

static void it_may_be_freed_while_it_tells(void **state)
{
    int pair[2];
    struct sp_loop_config config = { .seed = 1 };
    struct sp_loop *loop = sp_loop_new(&config);
    struct watch watch = { .frees = true };
    unix_pair(pair);
    watch.lookout = sp_lookout_new(loop, pair[0], on_ready, &watch);
    assert_int_equal(write(pair[1], "x", 1), 1);
    sp_loop_turn(loop, 1000 * SP_NS_PER_MS);
    sp_loop_turn(loop, 0);
    assert_int_equal(watch.told, 1);
    close(pair[0]);
    close(pair[1]);
    sp_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_read_is_told_each_turn_and_stays_unread),
        cmocka_unit_test(it_may_be_freed_while_it_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
