/* serve: the running process: main loop, workers, signals, the end. */
#ifndef SP_CMD_PROXY_SERVE_H
#define SP_CMD_PROXY_SERVE_H

struct proxy_config;
struct proxy_options;

/* Returns the exit status. */
int proxy_serve(const struct proxy_options *options, struct proxy_config *config);

#endif
