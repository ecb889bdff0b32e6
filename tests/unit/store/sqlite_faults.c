/* sqlite_faults: a disk that is full, that refuses to sync, and that loses power, at each write in turn. */
#include "unit/store/disk.h"
#include "unit/store/ledger.h"

enum { CUTS = 80, UNDER_WAY = 4 };

struct fixture {
    struct disk *disk;
    struct place place;
    struct rig rig;
};

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->disk = malloc(sizeof(*f->disk));
    disk_init(f->disk);
    place_make(&f->place);
    f->rig.path = f->place.file;
    f->rig.vfs = "disk";
    return f;
}

static void fixture_free(struct fixture *f)
{
    if (f->rig.loop)
        rig_close(&f->rig);
    disk_deinit(f->disk);
    free(f->disk);
    place_remove(&f->place);
    free(f);
}

/* ---- full ---- */

static void a_full_disk_refuses_changes_by_name_and_works_again_when_there_is_room(void **state)
{
    struct fixture *f = fixture_new();
    rig_open(&f->rig);
    assert_int_equal(put(&f->rig, "a", "1", 0).why, SP_STORE_FINE);
    f->disk->room = 0;
    for (int i = 0; i < 3; i++) {
        struct reply reply = put(&f->rig, "a", "2", 0);
        assert_int_equal(reply.why, SP_STORE_DISK_FULL);
        assert_int_equal(reply.revision, 1);
        expect(&reply, "the disk is full: nothing was changed");
        reply = get(&f->rig, "a");
        expect(&reply, "range 1 a=1@1,1,1,0");
    }
    assert_int_equal(del(&f->rig, "a").why, SP_STORE_DISK_FULL);
    assert_int_equal(compact_to(&f->rig, 1).why, SP_STORE_DISK_FULL);
    f->disk->room = -1;
    assert_int_equal(put(&f->rig, "a", "3", 0).revision, 2);
    rig_shut(&f->rig);
    rig_open(&f->rig);
    struct reply reply = get(&f->rig, "a");
    expect(&reply, "range 1 a=3@1,2,2,0");
    fixture_free(f);
}

static void a_store_opens_and_reads_on_a_full_disk(void **state)
{
    struct fixture *f = fixture_new();
    rig_open(&f->rig);
    assert_int_equal(put(&f->rig, "a", "1", 0).why, SP_STORE_FINE);
    rig_shut(&f->rig);
    f->disk->room = 0;
    rig_open(&f->rig);
    struct reply reply = get(&f->rig, "a");
    expect(&reply, "range 1 a=1@1,1,1,0");
    assert_int_equal(put(&f->rig, "a", "2", 0).why, SP_STORE_DISK_FULL);
    rig_shut(&f->rig);
    rig_open(&f->rig);
    f->disk->room = -1;
    assert_int_equal(put(&f->rig, "a", "3", 0).revision, 2);
    fixture_free(f);
}

static void a_new_store_on_a_full_disk_is_refused_and_made_when_there_is_room(void **state)
{
    struct fixture *f = fixture_new();
    int refused = 0;
    for (int64_t room = 0;; room++) {
        f->disk->room = room;
        sp_err err = rig_try(&f->rig);
        if (!err)
            break;
        if (err != SP_E_LIMIT || !strstr(f->rig.trouble, "the disk is full"))
            fail_msg("room for %d writes: %d \"%s\"", (int)room, err, f->rig.trouble);
        refused++;
    }
    assert_true(refused > 2);
    f->disk->room = -1;
    assert_int_equal(put(&f->rig, "a", "1", 0).revision, 1);
    fixture_free(f);
}

/* One batch: a put, a read that sees it, a transaction that would go the other way without it. */
static void a_batch_that_is_not_kept_is_answered_as_if_it_had_not_been(void **state)
{
    struct fixture *f = fixture_new();
    struct reply replies[4] = { 0 };
    rig_open(&f->rig);
    assert_int_equal(put(&f->rig, "a", "1", 0).why, SP_STORE_FINE);
    f->disk->room = 0;
    struct sp_store_span a = { .from = SP_STR("a") };
    struct sp_store_ask *asks[4];
    for (int i = 0; i < 4; i++)
        asks[i] = ask_new(&f->rig);
    sp_store_ask_put(asks[0], SP_STR("a"), SP_STR("2"), 0, false);
    sp_store_ask_range(asks[1], &a, 0, 0, false);
    sp_store_ask_if_value(asks[2], SP_STR("a"), SP_STORE_EQUAL, SP_STR("2"));
    sp_store_ask_range(asks[2], &a, 0, 0, false);
    sp_store_ask_else(asks[2]);
    sp_store_ask_put(asks[2], SP_STR("b"), SP_STR("3"), 0, false);
    sp_store_ask_grant(asks[3], 5, 100);
    for (int i = 0; i < 4; i++)
        sp_store_ask_post(asks[i], on_reply, &replies[i]);
    turn_until(f->rig.loop, &replies[3].done);
    assert_int_equal(replies[0].why, SP_STORE_DISK_FULL);
    expect(&replies[1], "fine, revision 1, compacted 0, held; range 1 a=1@1,1,1,0");
    assert_int_equal(replies[2].why, SP_STORE_DISK_FULL);
    assert_int_equal(replies[3].why, SP_STORE_DISK_FULL);
    f->disk->room = -1;
    struct sp_store_ask *again = ask_new(&f->rig);
    sp_store_ask_grant(again, 5, 100);
    assert_int_equal(ask_wait(&f->rig, again).why, SP_STORE_FINE);
    fixture_free(f);
}

/* The disk runs full at the n-th write from now, for each n; then there is room again. */
static void a_disk_that_runs_full_at_any_write_keeps_whole_batches(void **state)
{
    struct fixture *f = fixture_new();
    struct ledger ledger;
    uint64_t refused = 0;
    ledger_init(&ledger, 3);
    rig_open(&f->rig);
    for (int64_t room = 0; room < 60; room++) {
        f->disk->room = room % 12;
        for (int i = 0; i < 4; i++) {
            struct reply reply = ask_wait(&f->rig, ledger_ask(&f->rig, &ledger));
            if (reply.why == SP_STORE_DISK_FULL) {
                refused++;
                f->disk->room = -1;
                reply = ask_wait(&f->rig, ledger_ask(&f->rig, &ledger));
            }
            assert_true(reply.why == SP_STORE_FINE || reply.why == SP_STORE_COMPACTED);
            ledger_step(&ledger);
        }
        f->disk->room = -1;
        if (room % 10 == 9) {
            rig_shut(&f->rig);
            rig_open(&f->rig);
        }
        ledger_check(&ledger, &f->rig, ledger.done, ledger.done);
    }
    assert_true(refused > 20);
    ledger_deinit(&ledger);
    fixture_free(f);
}

/* ---- broken ---- */

static void a_disk_that_does_not_sync_leaves_a_store_that_only_reads(void **state)
{
    struct fixture *f = fixture_new();
    rig_open(&f->rig);
    assert_int_equal(put(&f->rig, "a", "1", 0).why, SP_STORE_FINE);
    f->disk->syncs = 0;
    struct reply reply = put(&f->rig, "a", "2", 0);
    assert_int_equal(reply.why, SP_STORE_BROKEN);
    expect(&reply, "the disk failed");
    f->disk->syncs = -1;
    assert_int_equal(put(&f->rig, "a", "3", 0).why, SP_STORE_BROKEN);
    reply = get(&f->rig, "a");
    expect(&reply, "range 1 a=1@1,1,1,0");
    rig_shut(&f->rig);
    rig_open(&f->rig);
    reply = get(&f->rig, "a");
    assert_non_null(strstr(reply.text, "a=1@1,1,1,0") ? strstr(reply.text, "a=1")
                                                      : strstr(reply.text, "a=2"));
    assert_int_equal(put(&f->rig, "b", "4", 0).why, SP_STORE_FINE);
    fixture_free(f);
}

/* ---- power ---- */

struct lamp {
    struct fixture *f;
    struct ledger *ledger;
    uint64_t acks, asked;
    bool out;
};

static void lamp_post(struct lamp *lamp);

static void on_lamp(void *arg, const struct sp_store_answer *answer)
{
    struct lamp *lamp = arg;
    lamp->out |= answer->why == SP_STORE_BROKEN;
    if (lamp->out)
        return;
    assert_true(answer->why == SP_STORE_FINE || answer->why == SP_STORE_COMPACTED);
    lamp->acks++;
    lamp_post(lamp);
}

static void lamp_post(struct lamp *lamp)
{
    sp_store_ask_post(ledger_ask(&lamp->f->rig, lamp->ledger), on_lamp, lamp);
    ledger_step(lamp->ledger);
    lamp->asked++;
}

static struct ledger ledger_copy(const struct ledger *ledger)
{
    struct ledger copy = *ledger;
    for (int i = 0; i < LEDGER_REVISIONS; i++)
        copy.texts[i] = ledger->texts[i] ? strdup(ledger->texts[i]) : NULL;
    return copy;
}

static void cut_the_power(uint64_t seed)
{
    struct fixture *f = fixture_new();
    struct ledger *ledger = malloc(sizeof(*ledger));
    struct sp_rng rng;
    uint64_t acks = 0;
    sp_rng_init(&rng, seed);
    ledger_init(ledger, seed);
    for (int cut = 0; cut < CUTS; cut++) {
        struct ledger asked = ledger_copy(ledger);
        struct lamp lamp = { .f = f, .ledger = &asked };
        f->disk->steps = (int64_t)sp_rng_below(&rng, cut % 8 ? 80 : 12); /* while it opens, or later */
        if (rig_try(&f->rig) == SP_OK) {
            for (int i = 0; i < UNDER_WAY; i++)
                lamp_post(&lamp);
            for (int i = 0; i < 1000 && !lamp.out; i++)
                sp_loop_turn(f->rig.loop, 0);
            assert_true(lamp.out);
            rig_close(&f->rig);
        }
        disk_power(f->disk, &rng);
        rig_open(&f->rig);
        ledger_check(ledger, &f->rig, ledger->done + lamp.acks, ledger->done + lamp.asked);
        if (cut % 2)
            rig_close(&f->rig);
        else { /* and now without an orderly end */
            f->disk->steps = 0;
            rig_close(&f->rig);
            disk_power(f->disk, &rng);
        }
        acks += lamp.acks;
        ledger_deinit(&asked);
    }
    assert_true(acks > CUTS);
    ledger_deinit(ledger);
    free(ledger);
    fixture_free(f);
}

static void a_power_cut_at_any_write_loses_nothing_acknowledged(void **state)
{
    each_seed(2, cut_the_power);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_changes_by_name_and_works_again_when_there_is_room),
        cmocka_unit_test(a_store_opens_and_reads_on_a_full_disk),
        cmocka_unit_test(a_new_store_on_a_full_disk_is_refused_and_made_when_there_is_room),
        cmocka_unit_test(a_batch_that_is_not_kept_is_answered_as_if_it_had_not_been),
        cmocka_unit_test(a_disk_that_runs_full_at_any_write_keeps_whole_batches),
        cmocka_unit_test(a_disk_that_does_not_sync_leaves_a_store_that_only_reads),
        cmocka_unit_test(a_power_cut_at_any_write_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
