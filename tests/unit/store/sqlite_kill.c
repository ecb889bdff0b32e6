/* sqlite_kill: a process that writes is killed at any instant; what it had acknowledged is there, and nothing
 * that it had not been asked for.
 *
 * The writer keeps several operations of a ledger under way, so that batches hold more than one, and says
 * each acknowledgement by a byte in a pipe. It is killed behind a random number of them and a random moment,
 * on its first file (which it may not have finished making) as well as on one that has a history. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "unit/store/ledger.h"

enum { ROUNDS = 60, UNDER_WAY = 6, FRESH_EVERY = 6, ACKS_MAX = 24, WAIT_NS = 3000000 };

struct writer {
    int pipe;
    struct rig rig;
    struct ledger *ledger;
};

static void post_next(struct writer *writer);

static void on_acknowledged(void *arg, const struct sp_store_answer *answer)
{
    struct writer *writer = arg;
    if (answer->why != SP_STORE_FINE && answer->why != SP_STORE_COMPACTED)
        _exit(3);
    if (write(writer->pipe, "+", 1) != 1)
        _exit(4);
    post_next(writer);
}

static void post_next(struct writer *writer)
{
    sp_store_ask_post(ledger_ask(&writer->rig, writer->ledger), on_acknowledged, writer);
    ledger_step(writer->ledger);
}

_Noreturn static void write_for_ever(const char *path, struct ledger *ledger, int pipe)
{
    struct writer writer = { .pipe = pipe, .rig.path = path, .ledger = ledger };
    if (rig_try(&writer.rig))
        _exit(2);
    for (int i = 0; i < UNDER_WAY; i++)
        post_next(&writer);
    while (ledger->revision < LEDGER_REVISIONS - UNDER_WAY)
        sp_loop_turn(writer.rig.loop, 1000000);
    _exit(5);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How many acknowledgements came before it died. */
static uint64_t run_and_kill(const char *path, struct ledger *ledger, struct sp_rng *rng)
{
    int fds[2], status;
    uint64_t acks = 0, wanted = sp_rng_below(rng, ACKS_MAX), spin = sp_rng_below(rng, WAIT_NS);
    char byte;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        write_for_ever(path, ledger, fds[1]);
    }
    close(fds[1]);
    while (acks < wanted && read(fds[0], &byte, 1) == 1)
        acks++;
    for (uint64_t until = clock_ns() + spin; clock_ns() < until;)
        ;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status))
        fail_msg("SAMPAN_SEED=%llu: the writer ended with %d", (unsigned long long)ledger->seed,
                 WEXITSTATUS(status));
    while (read(fds[0], &byte, 1) == 1)
        acks++;
    close(fds[0]);
    return acks;
}

static void kill_a_writer_again_and_again(uint64_t seed)
{
    struct ledger ledger;
    struct place place;
    struct sp_rng rng;
    uint64_t all = 0;
    sp_rng_init(&rng, seed);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % FRESH_EVERY == 0) {
            if (round) {
                place_remove(&place);
                ledger_deinit(&ledger);
            }
            place_make(&place);
            ledger_init(&ledger, seed * 100 + (uint64_t)round);
        }
        uint64_t acks = run_and_kill(place.file, &ledger, &rng);
        struct rig rig = { .path = place.file };
        rig_open(&rig);
        ledger_check(&ledger, &rig, ledger.done + acks, ledger.done + acks + UNDER_WAY);
        rig_close(&rig);
        all += acks;
    }
    assert_true(all > ROUNDS);
    place_remove(&place);
    ledger_deinit(&ledger);
}

static void a_killed_writer_loses_nothing_acknowledged_and_invents_nothing(void **state)
{
    each_seed(1, kill_a_writer_again_and_again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_writer_loses_nothing_acknowledged_and_invents_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
