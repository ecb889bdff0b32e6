/* sampan-proxy: the sidecar.
 *
 *    options ──> bootstrap ──> (validate: end here) ──> addresses opened ──> workers ──> ready ──> wait ──>
 * drain
 *
 * This file is the table of contents: options.c reads the command line, config.c the bootstrap, parts.c lists
 * the codecs, serve.c runs the threads. Nothing is decided here. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/sampan-proxy/basedir.h"
#include "cmd/sampan-proxy/config.h"
#include "cmd/sampan-proxy/detach.h"
#include "cmd/sampan-proxy/intercept.h"
#include "cmd/sampan-proxy/options.h"
#include "cmd/sampan-proxy/serve.h"

static int validate(const struct proxy_options *options)
{
    struct proxy_config config;
    if (proxy_config_read(&config, options->config))
        return EXIT_FAILURE;
    printf("%s: ok\n", options->config);
    proxy_config_free(&config);
    return EXIT_SUCCESS;
}

static int serve(struct proxy_options *options)
{
    struct proxy_config config;
    options->ready_fd = options->detach ? detach_begin() : -1;
    if (options->detach && options->ready_fd < 0) {
        perror("sampan-proxy: --detach");
        return EXIT_FAILURE;
    }
    if (!basedir_is_ours(options) || proxy_config_read(&config, options->config))
        return EXIT_FAILURE;
    bool held = basedir_can_hold(options, &config, !options->takeover);
    int status = held ? proxy_serve(options, &config) : EXIT_FAILURE;
    proxy_config_free(&config);
    return status;
}

int main(int argc, char **argv)
{
    struct proxy_options options;
    if (proxy_options_parse(argc, argv, &options))
        return 2;
    switch (options.mode) {
    case PROXY_HELP: proxy_options_help(); return EXIT_SUCCESS;
    case PROXY_VERSION: printf("sampan-proxy " SP_VERSION "\n"); return EXIT_SUCCESS;
    case PROXY_VALIDATE: return validate(&options);
    case PROXY_ADMIN_SOCKET: return basedir_tell_admin(&options);
    case PROXY_SERVE: return serve(&options);
    case PROXY_INTERCEPT: return proxy_intercept(options.intercept_argc, options.intercept_argv);
    }
    return 2;
}
