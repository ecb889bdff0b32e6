/* intercept: `sampan-proxy intercept print|apply|remove`. */
#ifndef SP_CMD_PROXY_INTERCEPT_H
#define SP_CMD_PROXY_INTERCEPT_H

/* `argv` begins behind the word `intercept`. Returns the exit status: 0, 1 = it failed, 2 = wrong options. */
int proxy_intercept(int argc, char **argv);

#endif
