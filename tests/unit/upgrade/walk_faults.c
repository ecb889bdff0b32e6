/* walk_faults: each side does each wrong at each step of the walk, against a real other side: crash, hang,
 * nonsense, an end, a refusal. Always exactly one serves, with the right counter and an unbroken socket.
 *
 * The wrongdoer is a side by script, for a real one cannot be stopped between two of its own messages; where
 * the caller's code runs (saving, loading), real ones crash and hang too. */
#include "upgrade/walk.h"

#include "io/memfile.h"
#include "unit/upgrade/kit.h"

/* Do what the test wants at this step. True: the side has left its way; false: it goes on. */
static bool stray(struct play *play, enum step step)
{
    static const char nonsense[] = "?nonsense";
    if (!crash_or_hang(play, step))
        return false;
    switch (play->act) {
    case GARBAGE:
        must(sp_fdpass_send(play->talk.sock, nonsense, sizeof(nonsense), NULL, 0, 1000) == SP_OK);
        return true;
    case REFUSE:
        must(sp_walk_say(&play->talk, SP_WALK_NO, SP_STR("I would rather not"), NULL, 0, 1000) == SP_OK);
        return true;
    case END:
        close(play->talk.sock);
        play->talk.sock = -1;
        return true;
    case NOTHING:
    case CRASH:
    case HANG: return false;
    }
    return false;
}

static void wait_to_be_killed(struct play *play)
{
    char byte;
    (void)!read(play->release[0], &byte, 1);
    _exit(1);
}

/* --- sides by script ------------------------------------------------------------------------------------ */

/* An old one that has not given itself away: it goes on as soon as the other side lets it. */
static void old_goes_on(struct play *play)
{
    struct sp_walk_talk *talk = &play->talk;
    if (play->act == END && play->step > OLD_ACCEPTED)
        wait_to_be_killed(play); /* who ends without a word is taken for dead */
    while (talk->sock >= 0 && sp_walk_hear(talk, PATIENCE_MS) == SP_OK)
        if (talk->kind == SP_WALK_NO)
            break;
    if (talk->sock >= 0) /* it may be gone */
        SP_IGNORE(sp_walk_say(talk, SP_WALK_ABORT, SP_STR("I go on"), NULL, 0, 1000));
    serve(play, 'o', 'r', "");
}

/* Hear `kind`, or go on serving. */
static void old_waits(struct play *play, enum sp_walk_message kind)
{
    if (sp_walk_hear(&play->talk, PATIENCE_MS) != SP_OK || play->talk.kind != kind)
        old_goes_on(play);
}

static void old_says(struct play *play, enum sp_walk_message kind, sp_str body, const int *fd)
{
    if (sp_walk_say(&play->talk, kind, body, fd, fd ? 1 : 0, 1000))
        old_goes_on(play);
}

static void old_sends_set(struct play *play)
{
    struct sp_record_writer writer;
    int file;
    sp_record_writer_init(&writer, play->talk.schema);
    must(save_counter(play, &play->talk.peer, &writer) == SP_OK);
    sp_str records = sp_buf_str(&writer.out);
    struct sp_walk_set set = { records.len, sp_str_hash(records), 1, 1, 0 };
    must(sp_memfile_new(records, &file) == SP_OK);
    old_says(play, SP_WALK_SET, sp_str_of(&set, sizeof(set)), &file);
}

static void scripted_old(struct play *play)
{
    char trouble[SP_WALK_TROUBLE];
    struct sp_walk_talk *talk = &play->talk;
    must(sp_walk_talk_init(talk, accept_one(play), NULL, trouble) == SP_OK);
    old_waits(play, SP_WALK_HELLO);
    must(sp_walk_take_hello(talk, &counter_book, trouble) == SP_OK);
    if (stray(play, OLD_ACCEPTED))
        old_goes_on(play);
    if (sp_walk_say_hello(talk, &counter_book, 1, "script") || stray(play, OLD_GREETED))
        old_goes_on(play);
    old_waits(play, SP_WALK_GO);
    if (play->act != REFUSE && stray(play, OLD_WENT)) /* save_counter knows how to refuse */
        old_goes_on(play);
    old_says(play, SP_WALK_BATCH, SP_STR_NULL, &play->have);
    if (stray(play, OLD_HALF))
        old_goes_on(play);
    old_sends_set(play);
    if (stray(play, OLD_SENT))
        old_goes_on(play);
    old_waits(play, SP_WALK_READY);
    if (stray(play, OLD_ASKED))
        old_goes_on(play);
    old_says(play, SP_WALK_YOURS, SP_STR_NULL, NULL);
    (void)stray(play, OLD_GAVE);
    if (talk->sock >= 0)
        must(sp_walk_hear(talk, PATIENCE_MS) == SP_OK && talk->kind == SP_WALK_RUNNING);
    leave(play, 'o', 'm', "");
}

/* A new one that owns nothing, or has left its way. */
static void new_gives_up(struct play *play)
{
    struct sp_walk_talk *talk = &play->talk;
    if (play->act == END && play->step == NEW_OWNS)
        wait_to_be_killed(play);
    while (talk->sock >= 0 && talk->kind != SP_WALK_ABORT && sp_walk_hear(talk, PATIENCE_MS) == SP_OK)
        ;
    leave(play, 'n', 'r', "");
}

static void new_waits(struct play *play, enum sp_walk_message kind)
{
    if (sp_walk_hear(&play->talk, PATIENCE_MS) != SP_OK || play->talk.kind != kind)
        new_gives_up(play);
}

static void new_says(struct play *play, enum sp_walk_message kind)
{
    if (sp_walk_say(&play->talk, kind, SP_STR_NULL, NULL, 0, 1000))
        new_gives_up(play);
}

static void new_takes_set(struct play *play)
{
    struct sp_walk_talk *talk = &play->talk;
    struct sp_record_reader reader;
    sp_str records;
    new_waits(play, SP_WALK_BATCH);
    int fd = talk->fds[0];
    talk->fd_count = 0;
    new_waits(play, SP_WALK_SET);
    must(sp_memfile_map(talk->fds[0], 1 << 20, &records) == SP_OK);
    sp_record_reader_init(&reader, records, &fd, 1);
    load_counter(play, &reader);
}

static void scripted_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE];
    struct sp_walk_talk *talk = &play->talk;
    int sock;
    wait_listening(play);
    must(sp_fdpass_connect(play->path, 1000, &sock) == SP_OK);
    must(sp_walk_talk_init(talk, sock, NULL, trouble) == SP_OK);
    if (stray(play, NEW_CONNECTED) || sp_walk_say_hello(talk, &counter_book, 1, "script"))
        new_gives_up(play);
    new_waits(play, SP_WALK_HELLO);
    must(sp_walk_take_hello(talk, &counter_book, trouble) == SP_OK);
    if (stray(play, NEW_GREETED))
        new_gives_up(play);
    new_says(play, SP_WALK_GO);
    if (stray(play, NEW_WENT))
        new_gives_up(play);
    new_takes_set(play);
    if (stray(play, NEW_LOADED))
        new_gives_up(play);
    new_says(play, SP_WALK_READY);
    if (stray(play, NEW_READY))
        new_gives_up(play);
    new_waits(play, SP_WALK_YOURS);
    if (stray(play, NEW_OWNS))
        new_gives_up(play);
    new_says(play, SP_WALK_RUNNING);
    (void)stray(play, NEW_RUNS);
    serve(play, 'n', 'm', "");
}

/* --- the tests ------------------------------------------------------------------------------------------ */

static const enum act acts[] = { CRASH, HANG, GARBAGE, END, REFUSE };

/* `want` has a pair for each of the acts: who serves, and how. */
static void check(enum step step, const char *want, void (*old_main)(struct play *play),
                  void (*new_main)(struct play *play))
{
    for (size_t i = 0; i < SP_COUNTOF(acts); i++, want += 3) {
        struct play play;
        if (want[0] == '-')
            continue;
        play_init(&play);
        play.step = step;
        play.act = acts[i];
        if (play.act == HANG)
            play.times = (struct sp_walk_times){ 300, 300, 300, 300, 300, 300 };
        struct told told = play_run(&play, old_main, new_main, NULL);
        if (told.who != want[0] || told.how != want[1])
            fail_msg("step %d, act %d: '%c%c' serves, want '%.2s' (%s)", step, acts[i], told.who, told.how,
                     want, told.trouble);
        if (told.count != (told.how == 'f' ? 1 : START + 1))
            fail_msg("step %d, act %d: the counter is %u", step, acts[i], told.count);
    }
}

/* Crash, hang, nonsense, end, refusal. */
static void an_old_one_that_fails_before_hello_serves_unless_it_is_dead(void **state)
{
    check(OLD_ACCEPTED, "nf or or or or", scripted_old, real_new);
}

static void an_old_one_that_fails_before_go_is_followed_afresh(void **state)
{
    check(OLD_GREETED, "nf nf or nf or", scripted_old, real_new);
}

static void an_old_one_that_fails_in_saving_is_followed_afresh(void **state)
{
    check(OLD_WENT, "nf nf or nf --", scripted_old, real_new);
}

static void an_old_one_that_fails_in_mid_set_is_followed_afresh(void **state)
{
    check(OLD_HALF, "nf nf or nf or", scripted_old, real_new);
}

static void an_old_one_that_fails_behind_its_set_is_followed_with_it(void **state)
{
    check(OLD_SENT, "nm nm or nm or", scripted_old, real_new);
}

static void an_old_one_that_fails_at_ready_is_followed_with_its_set(void **state)
{
    check(OLD_ASKED, "nm nm or nm or", scripted_old, real_new);
}

static void an_old_one_that_fails_behind_yours_is_not_missed(void **state)
{
    check(OLD_GAVE, "nm nm nm nm nm", scripted_old, real_new);
}

static void a_new_one_that_fails_before_hello_changes_nothing(void **state)
{
    check(NEW_CONNECTED, "os os os os os", real_old, scripted_new);
}

static void a_new_one_that_fails_before_go_changes_nothing(void **state)
{
    check(NEW_GREETED, "or or or or or", real_old, scripted_new);
}

static void a_new_one_that_fails_behind_go_changes_nothing(void **state)
{
    check(NEW_WENT, "or or or or or", real_old, scripted_new);
}

static void a_new_one_that_fails_in_loading_changes_nothing(void **state)
{
    check(NEW_LOADED, "or or or or or", real_old, scripted_new);
}

static void a_new_one_that_fails_behind_ready_gives_it_all_back(void **state)
{
    check(NEW_READY, "or or or or or", real_old, scripted_new);
}

static void a_new_one_that_fails_with_all_in_hand_gives_it_back(void **state)
{
    check(NEW_OWNS, "or or or or or", real_old, scripted_new);
}

static void a_new_one_that_hangs_behind_running_still_owns_it_all(void **state)
{
    check(NEW_RUNS, "-- nm -- -- --", real_old, scripted_new);
}

/* Both real: crash, hang, and refusal where the caller can. */
static void real_ones_may_fail_wherever_their_own_code_runs(void **state)
{
    check(OLD_ACCEPTED, "nf os -- -- --", real_old, real_new);
    check(OLD_GREETED, "nf nf -- -- --", real_old, real_new);
    check(OLD_WENT, "nf nf -- -- or", real_old, real_new);
    check(NEW_GREETED, "or or -- -- or", real_old, real_new);
    check(NEW_LOADED, "or or -- -- or", real_old, real_new);
    check(NEW_KILLS, "nm -- -- -- --", real_old, real_new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_one_that_fails_before_hello_serves_unless_it_is_dead),
        cmocka_unit_test(an_old_one_that_fails_before_go_is_followed_afresh),
        cmocka_unit_test(an_old_one_that_fails_in_saving_is_followed_afresh),
        cmocka_unit_test(an_old_one_that_fails_in_mid_set_is_followed_afresh),
        cmocka_unit_test(an_old_one_that_fails_behind_its_set_is_followed_with_it),
        cmocka_unit_test(an_old_one_that_fails_at_ready_is_followed_with_its_set),
        cmocka_unit_test(an_old_one_that_fails_behind_yours_is_not_missed),
        cmocka_unit_test(a_new_one_that_fails_before_hello_changes_nothing),
        cmocka_unit_test(a_new_one_that_fails_before_go_changes_nothing),
        cmocka_unit_test(a_new_one_that_fails_behind_go_changes_nothing),
        cmocka_unit_test(a_new_one_that_fails_in_loading_changes_nothing),
        cmocka_unit_test(a_new_one_that_fails_behind_ready_gives_it_all_back),
        cmocka_unit_test(a_new_one_that_fails_with_all_in_hand_gives_it_back),
        cmocka_unit_test(a_new_one_that_hangs_behind_running_still_owns_it_all),
        cmocka_unit_test(real_ones_may_fail_wherever_their_own_code_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
