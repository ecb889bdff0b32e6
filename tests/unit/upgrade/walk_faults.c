/* walk_faults: each side does each wrong at each step of the walk, against a real other side: crash, hang,
 * nonsense, an end, a refusal. Always exactly one serves, with the right counter and an unbroken socket.
 *
 * The wrongdoer is a side by script, for a real one cannot be stopped between two of its own messages; where
 * the caller's code runs (saving, loading), real ones crash and hang too. */
#include "upgrade/walk.h"

#include <sched.h>
#include <sys/mman.h>

#include "io/memfile.h"
#include "io/pidfd.h"
#include "unit/upgrade/kit.h"

/* Until the process has stopped. */
static void stop(uint32_t pid)
{
    char path[64], line[512] = "";
    const char *state = NULL;
    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    must(kill((pid_t)pid, SIGSTOP) == 0);
    do {
        FILE *file = fopen(path, "r");
        must(file && fgets(line, sizeof(line), file));
        fclose(file);
        state = strrchr(line, ')');
        sched_yield();
    } while (!state || state[2] != 'T');
}

/* Or nobody hears it any more. */
static void put_in(struct play *play, const void *message, size_t len)
{
    sp_err err = sp_fdpass_send(play->talk.sock, message, len, NULL, 0, 1000);
    must(err == SP_OK || err == SP_E_RESET);
}

/* Do what the test wants at this step. True: the side has left its way; false: it goes on. */
static bool stray(struct play *play, enum step step)
{
    static const char nonsense[] = "?nonsense";
    if (!crash_or_hang(play, step))
        return false;
    switch (play->act) {
    case GARBAGE: put_in(play, nonsense, sizeof(nonsense)); return true;
    case REFUSE: put_in(play, "N I would rather not", 20); return true;
    case DEAF:
        wait_readable(play->talk.sock);
        put_in(play, "A I go on", 9);
        close(play->talk.sock);
        serve(play, 'o', 'r', "");
    case END:
        close(play->talk.sock);
        play->talk.sock = -1;
        return true;
    case LATE:
        stop(play->talk.peer.pid); /* it shall find both when it looks */
        put_in(play, nonsense, sizeof(nonsense));
        put_in(play, "U", 1);
        must(kill((pid_t)play->talk.peer.pid, SIGCONT) == 0);
        serve(play, 'n', 'm', "");
    case SHUT: sp_walk_shut(&play->talk); return false;
    case EMPTY_BATCH:
        must(sp_walk_say(&play->talk, SP_WALK_BATCH, SP_STR_NULL, NULL, 0, 1000) == SP_OK);
        return false;
    case NOTHING:
    case CRASH:
    case HANG:
    case UNSEALED:
    case OTHER_BYTES:
    case OTHER_LENGTH:
    case FEWER_FDS:
    case SHORT_SET: return false;
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
    while (talk->sock >= 0 && talk->kind != SP_WALK_NO && sp_walk_hear(talk, PATIENCE_MS) == SP_OK)
        ;
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
    set.hash += play->act == OTHER_BYTES;
    set.bytes += play->act == OTHER_LENGTH;
    set.fds += play->act == FEWER_FDS;
    must(sp_memfile_new(records, &file) == SP_OK);
    if (play->act == UNSEALED) {
        file = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        must(file >= 0 && write(file, records.ptr, records.len) == (ssize_t)records.len);
    }
    old_says(play, SP_WALK_SET, sp_str_of(&set, sizeof(set) - (play->act == SHORT_SET)), &file);
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
    if (play->act == SHUT)
        wait_to_be_killed(play);
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
    if (play->act == SHUT)
        wait_to_be_killed(play);
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
    check(OLD_ACCEPTED, "nf nf or or or", scripted_old, real_new); /* to hang is to be stopped */
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
    check(OLD_ACCEPTED, "nf nf -- -- --", real_old, real_new);
    check(OLD_GREETED, "nf nf -- -- --", real_old, real_new);
    check(OLD_WENT, "nf nf -- -- or", real_old, real_new);
    check(NEW_GREETED, "or or -- -- or", real_old, real_new);
    check(NEW_LOADED, "or or -- -- or", real_old, real_new);
    check(NEW_KILLS, "nm -- -- -- --", real_old, real_new);
}

/* The kernel tells the new one of a reset first, and of the abort behind it. */
static void an_abort_is_heard_though_ready_was_not(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    play.step = OLD_SENT;
    play.act = DEAF;
    assert_int_equal(play_run(&play, scripted_old, real_new, &other).who, 'o');
    assert_int_equal(other.how, 'r');
    assert_non_null(strstr(other.trouble, "gives up:  I go on"));
}

static void a_set_that_is_not_whole_is_turned_back(void **state)
{
    for (enum act act = UNSEALED; act <= EMPTY_BATCH; act++) {
        struct play play;
        struct told other;
        play_init(&play);
        play.step = OLD_HALF;
        play.act = act;
        struct told told = play_run(&play, scripted_old, real_new, &other);
        if (told.who != 'o' || told.how != 'r' || other.how != 'r')
            fail_msg("act %d: '%c%c' serves: %s", act, told.who, told.how, other.trouble);
        if (!strstr(other.trouble,
                    act == EMPTY_BATCH ? "was not understood where `set` belongs" : "cannot be taken: "))
            fail_msg("act %d: %s", act, other.trouble);
    }
}

/* Whatever else it says: it has begun, and is not ended. */
static void one_that_has_said_running_is_left_alone(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    play.step = NEW_OWNS;
    play.act = LATE;
    assert_int_equal(play_run(&play, real_old, scripted_new, &other).who, 'n');
    assert_int_equal(other.how, 'm');
    assert_non_null(strstr(other.trouble, "was not understood where `running` belongs"));
}

/* The old one takes everything back while the new one wakes: the latter begins over its dead body only. */
static void a_running_that_is_refused_is_no_beginning(void **state)
{
    struct play play;
    play_init(&play);
    play.step = OLD_ASKED;
    play.act = SHUT;
    struct told other, told = play_run(&play, scripted_old, real_new, &other);
    assert_int_equal(told.who, 'n');
    assert_int_equal(told.how, 'm');
    assert_int_equal(other.who, 0); /* it was ended */
    assert_non_null(strstr(told.trouble, "does not hear `running`"));
}

/* The new one takes the old one for dead while that wakes. */
static void an_abort_that_is_refused_is_no_going_on(void **state)
{
    struct play play;
    play_init(&play);
    play.step = NEW_LOADED;
    play.act = SHUT;
    play.times = (struct sp_walk_times){ .load_ms = 300 };
    struct told other, told = play_run(&play, real_old, scripted_new, &other);
    assert_int_equal(told.who, 'o');
    assert_int_equal(told.how, 'r');
    assert_int_equal(other.who, 0);
    assert_non_null(strstr(told.trouble, "did not say `ready` within 300 ms"));
}

/* More batches than a send buffer takes (about 280 on Linux 6.18), all of one descriptor. */
static sp_err save_many(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer)
{
    struct play *play = arg;
    for (uint32_t i = 0; i < 1000 * SP_FDPASS_MAX; i++)
        (void)sp_record_add_fd(writer, play->have); /* nobody looks for their places */
    return SP_OK;
}

static void many_old(struct play *play)
{
    static const struct sp_walk_old_ops ops = { save_many, note_resume };
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    must(sp_walk_old_greet(accept_one(play), &counter_book, 2, "9.8.7", &play->times, &walk, trouble) ==
         SP_OK);
    wait_readable(sp_walk_old_fd(walk));
    must(sp_walk_old_run(walk, &ops, play, trouble) == SP_WALK_RESUMED && play->resumed == 1);
    serve(play, 'o', 'r', trouble);
}

static void one_that_cannot_be_told_to_give_up_is_ended(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    play.step = NEW_WENT;
    play.act = HANG;
    play.times = (struct sp_walk_times){ .load_ms = 300 };
    struct told told = play_run(&play, many_old, scripted_new, &other);
    assert_int_equal(told.who, 'o');
    assert_non_null(strstr(told.trouble, "did not get 0 records and 253000 descriptors: "));
    /* Who is not root may not have as many on their way: then there is room for `abort`, and it wakes. */
    if (strstr(told.trouble, "timed out"))
        assert_int_equal(other.who, 0); /* it never woke */
    else
        assert_non_null(strstr(told.trouble, sp_err_str(SP_E_NOFILE)));
}

/* It said yours, and holds the sockets for ever: our closes would not be seen. */
static void impatient_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    struct sp_record_reader *reader;
    wait_listening(play);
    must(sp_walk_new_greet(play->path, &counter_book, 3, "9.8.8", NULL, &walk, trouble) == SP_OK);
    must(sp_walk_new_take(walk, &reader, trouble) == SP_WALK_MOVED);
    load_counter(play, reader);
    must(sp_walk_new_finish(walk, trouble) == SP_WALK_MOVED);
    int old = sp_walk_new_take_pidfd(walk);
    must(old >= 0 && sp_walk_new_take_pidfd(walk) < 0);
    sp_walk_new_free(walk);
    must(sp_pidfd_end(old) == SP_OK && sp_pidfd_wait(old, PATIENCE_MS) == SP_OK);
    serve(play, 'n', 'm', "");
}

static void an_old_one_that_does_not_exit_can_be_ended(void **state)
{
    struct play play;
    play_init(&play);
    play.step = OLD_GAVE;
    play.act = HANG;
    assert_int_equal(play_run(&play, scripted_old, impatient_new, NULL).how, 'm');
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
        cmocka_unit_test(an_abort_is_heard_though_ready_was_not),
        cmocka_unit_test(a_set_that_is_not_whole_is_turned_back),
        cmocka_unit_test(one_that_has_said_running_is_left_alone),
        cmocka_unit_test(a_running_that_is_refused_is_no_beginning),
        cmocka_unit_test(an_abort_that_is_refused_is_no_going_on),
        cmocka_unit_test(one_that_cannot_be_told_to_give_up_is_ended),
        cmocka_unit_test(an_old_one_that_does_not_exit_can_be_ended),
        cmocka_unit_test(real_ones_may_fail_wherever_their_own_code_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
