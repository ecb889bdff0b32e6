/* sampan: the operator's program. Verbs stand in a table; each is a file of its own.
 *
 *    sampan demo        a small mesh on this machine, live in the terminal
 *
 * Unknown verbs and options are errors that say what there is. The control plane (`serve`) and the operator's
 * other verbs come with it; a verb that is not there yet is not listed.
 * Exit status: 0 done, 1 it failed, 2 the command line is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cmd/sampan/verbs.h"

struct verb {
    const char *name, *help;
    int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
    { "demo", "run three small services, a sidecar beside each, and show who calls whom", sampan_demo },
};

static void help(FILE *to)
{
    fprintf(to,
            "sampan: the operator's program of the Sampan service mesh\n\nusage: sampan VERB [options]\n\n");
    for (unsigned i = 0; i < SP_COUNTOF(verbs); i++)
        fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fprintf(to, "\n  sampan VERB --help says more; sampan --version names the version\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help(stdout);
        return EXIT_SUCCESS;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("sampan " SP_VERSION "\n");
        return EXIT_SUCCESS;
    }
    for (unsigned i = 0; i < SP_COUNTOF(verbs); i++)
        if (!strcmp(argv[1], verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "sampan: there is no verb '%s'; see sampan --help\n", argv[1]);
    return 2;
}
