/* verbs: what `sampan` can do; each takes its own arguments, argv[0] being the verb, and returns the exit
 * status. */
#ifndef SP_CMD_SAMPAN_VERBS_H
#define SP_CMD_SAMPAN_VERBS_H

int sampan_demo(int argc, char **argv);

#endif
