/* help: what the tests of base share: checks that name their seed, and a child that is expected to die. */
#ifndef SP_TESTS_BASE_HELP_H
#define SP_TESTS_BASE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

/* In property tests: a failure names the seed; SAMPAN_SEED=n runs that one alone. */
#define check_seed(seed, expr)                                                                               \
    do {                                                                                                     \
        if (!(expr))                                                                                         \
            fail_msg("SAMPAN_SEED=%llu breaks %s", (unsigned long long)(seed), #expr);                       \
    } while (0)

/* The seeds to run: 1 .. count, or the one that the environment names. */
static inline void each_seed(uint64_t count, void (*run)(uint64_t seed))
{
    const char *one = getenv("SAMPAN_SEED");
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= count; seed++)
        run(seed);
}

static inline void check_str(sp_str have, const char *want)
{
    if (!sp_str_eq(have, sp_str_c(want)))
        fail_msg("have \"%.*s\", want \"%s\"", SP_STR_ARG(have), want);
}

/* `act` must end the process, saying `words` on standard error. */
static inline void check_dies(void (*act)(void), const char *words)
{
    int fds[2];
    char said[8192];
    size_t len = 0;
    ssize_t got;

    fflush(NULL);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        act();
        _exit(0);
    }
    close(fds[1]);
    while (len < sizeof(said) - 1 && (got = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)got;
    said[len] = '\0';
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("it should have died saying \"%s\"", words);
    if (!strstr(said, words))
        fail_msg("it died saying \"%s\", want \"%s\"", said, words);
}

#endif
