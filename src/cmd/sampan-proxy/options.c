/* options: the command line. A table says each option, so that the help and the parser cannot disagree.
 *
 * "--name value", "--name=value" and a one-letter alias are understood; what is not in the table is an error
 * that names it. `intercept` is a program of its own behind the first word: its options are its own.
 *
 * Values are checked here for their form; what they lead to is found out by whoever uses them.
 * Nothing here starts anything. */
#include "cmd/sampan-proxy/options.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum option_id {
    OPT_CONFIG,
    OPT_MODE,
    OPT_CONCURRENCY,
    OPT_LOG_LEVEL,
    OPT_BASE_DIR,
    OPT_TAKEOVER,
    OPT_DETACH,
    OPT_HELP,
    OPT_VERSION
};

struct option_row {
    const char *name, *alias, *value, *help;
};

static const struct option_row rows[] = {
    [OPT_CONFIG] = { "--config", "-c", "FILE", "the bootstrap: Envoy v3, YAML or JSON" },
    [OPT_MODE] = { "--mode", NULL, "MODE",
                   "serve (default); validate: read the bootstrap, say all errors, end; admin-socket: print "
                   "where admin's socket is, end" },
    [OPT_CONCURRENCY] = { "--concurrency", NULL, "N",
                          "worker threads, 1 to 64 (default: one for each processor)" },
    [OPT_LOG_LEVEL] = { "--log-level", "-l", "LEVEL",
                        "error, warn, info or debug (default: info); at run time: /logging" },
    [OPT_BASE_DIR] = { "--base-dir", NULL, "DIR",
                       "where our sockets live (default: $XDG_RUNTIME_DIR/sampan, else /run/sampan)" },
    [OPT_TAKEOVER] = { "--takeover", NULL, NULL,
                       "take the place of the running one, with all its connections" },
    [OPT_DETACH] = { "--detach", NULL, NULL, "go on in the background; the command ends when it serves" },
    [OPT_HELP] = { "--help", "-h", NULL, "this text" },
    [OPT_VERSION] = { "--version", NULL, NULL, "name and version" },
};

void proxy_options_help(void)
{
    printf("sampan-proxy: the sidecar of the Sampan service mesh\n\n"
           "usage: sampan-proxy -c FILE [options]\n"
           "       sampan-proxy intercept print|apply|remove [options]   (intercept --help says more)\n\n");
    for (unsigned i = 0; i < SP_COUNTOF(rows); i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s %s", rows[i].alias ? rows[i].alias : "",
                 rows[i].alias ? ", " : "", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-32s %s\n", left, rows[i].help);
    }
    printf("\nexample:\n  sampan-proxy -c examples/sidecar.yaml --mode validate\n"
           "\nSIGTERM and SIGINT drain and end; SIGHUP re-opens the log files.\n");
}

static sp_err wrong(const char *what, const char *arg)
{
    fprintf(stderr, "sampan-proxy: %s%s%s; see sampan-proxy --help\n", what, arg ? ": " : "", arg ? arg : "");
    return SP_E_INVALID;
}

static sp_err set_value(struct proxy_options *o, enum option_id id, const char *value)
{
    uint64_t n;
    switch (id) {
    case OPT_CONFIG: o->config = value; return 0;
    case OPT_MODE:
        o->mode = strcmp(value, "validate") == 0       ? PROXY_VALIDATE
                  : strcmp(value, "admin-socket") == 0 ? PROXY_ADMIN_SOCKET
                                                       : PROXY_SERVE;
        if (o->mode == PROXY_SERVE && strcmp(value, "serve") != 0)
            return wrong("--mode is serve, validate or admin-socket, not", value);
        return 0;
    case OPT_CONCURRENCY:
        if (sp_str_to_u64(sp_str_c(value), &n) || n < 1 || n > 64)
            return wrong("--concurrency is a number from 1 to 64, not", value);
        o->concurrency = (uint32_t)n;
        return 0;
    case OPT_LOG_LEVEL:
        if (sp_log_level_parse(sp_str_c(value), &o->log_level))
            return wrong("--log-level is error, warn, info or debug, not", value);
        return 0;
    case OPT_BASE_DIR: o->base_dir = value; return 0;
    case OPT_TAKEOVER: o->takeover = true; return 0;
    case OPT_DETACH: o->detach = true; return 0;
    case OPT_HELP: o->mode = PROXY_HELP; return 0;
    case OPT_VERSION: o->mode = PROXY_VERSION; return 0;
    }
    return SP_E_INVALID;
}

/* "--name value", "--name=value", "-n value". Returns how many arguments were used, or an error. */
static int parse_one(int left, char **argv, struct proxy_options *o)
{
    const char *arg = argv[0];
    size_t name_len = strcspn(arg, "=");
    for (unsigned i = 0; i < SP_COUNTOF(rows); i++) {
        bool alias = rows[i].alias && strcmp(arg, rows[i].alias) == 0;
        if (!alias && (strlen(rows[i].name) != name_len || strncmp(arg, rows[i].name, name_len) != 0))
            continue;
        const char *value = arg[name_len] == '=' ? arg + name_len + 1 : NULL;
        if (!rows[i].value)
            return value                                   ? wrong("no value is taken by", rows[i].name)
                   : set_value(o, (enum option_id)i, NULL) ? SP_E_INVALID
                                                           : 1;
        if (!value && left < 2)
            return wrong("a value is missing behind", arg);
        sp_err err = set_value(o, (enum option_id)i, value ? value : argv[1]);
        return err ? err : value ? 1 : 2;
    }
    return wrong("unknown option", arg);
}

sp_err proxy_options_parse(int argc, char **argv, struct proxy_options *ret_options)
{
    struct proxy_options o = { .mode = PROXY_SERVE, .log_level = SP_LOG_INFO, .argv = argv, .ready_fd = -1 };
    if (argc > 1 && strcmp(argv[1], "intercept") == 0) {
        o.mode = PROXY_INTERCEPT;
        o.intercept_argc = argc - 2;
        o.intercept_argv = argv + 2;
        *ret_options = o;
        return 0;
    }
    for (int i = 1; i < argc;) {
        int used = parse_one(argc - i, argv + i, &o);
        if (used < 0)
            return used;
        i += used;
    }
    if (!o.config && (o.mode == PROXY_SERVE || o.mode == PROXY_VALIDATE || o.mode == PROXY_ADMIN_SOCKET))
        return wrong("which configuration? -c FILE is missing", NULL);
    *ret_options = o;
    return 0;
}
