/* golden: bytes that real programs sent, read from tests/conform. A file holds frames: "= name" begins one,
 * hexadecimal digits with blanks as one likes are its bytes, "#" begins a line for people. */
#ifndef SP_TESTS_LIB_GOLDEN_H
#define SP_TESTS_LIB_GOLDEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct golden {
    char name[64];
    unsigned char bytes[16 * 1024];
    size_t len;
};

static inline int golden_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Append one line's digits; -1 when there is something else in it. */
static inline int golden_line(struct golden *g, const char *line)
{
    int high = -1;
    for (const char *c = line; *c; c++) {
        if (*c == ' ' || *c == '\n')
            continue;
        int digit = golden_digit(*c);
        if (digit < 0 || g->len == sizeof g->bytes)
            return -1;
        if (high >= 0)
            g->bytes[g->len++] = (unsigned char)(high << 4 | digit);
        high = high >= 0 ? -1 : digit;
    }
    return high >= 0 ? -1 : 0;
}

/* The frame `name` of tests/conform/<file>; a test that asks for one that is not there fails. */
static inline void golden_load(struct golden *g, const char *file, const char *name)
{
    char path[1024], line[256];
    int found = 0;
    snprintf(path, sizeof path, "%s/conform/%s", SP_TESTS_DIR, file);
    FILE *in = fopen(path, "r");
    if (!in)
        fail_msg("cannot open %s", path);
    memset(g, 0, sizeof *g);
    snprintf(g->name, sizeof g->name, "%s", name);
    while (fgets(line, sizeof line, in)) {
        if (line[0] == '=') {
            line[strcspn(line, "\n")] = '\0';
            found = strcmp(line + 1 + strspn(line + 1, " "), name) == 0 ? 1 : found ? 2 : 0;
        } else if (found == 1 && line[0] != '#' && golden_line(g, line) != 0) {
            fail_msg("%s: %s: not hexadecimal: %s", path, name, line);
        }
    }
    fclose(in);
    if (!found)
        fail_msg("%s has no frame %s", path, name);
}

#endif
