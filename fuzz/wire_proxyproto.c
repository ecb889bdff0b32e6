/* wire_proxyproto: any bytes as a PROXY header. What is used up does not depend on what stands behind, every
 * beginning of a good header wants more, and what was read can be written and read again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static ssize_t read_exact(const uint8_t *data, size_t len, struct sp_proxyproto *ret)
{
    char *exact = malloc(len ? len : 1);
    if (len)
        memcpy(exact, data, len);
    ssize_t used = sp_proxyproto_read(sp_str_of(exact, len), ret);
    free(exact);
    return used;
}

static void check_same(const struct sp_proxyproto *a, const struct sp_proxyproto *b)
{
    must(sp_addr_eq(&a->from, &b->from) && sp_addr_eq(&a->to, &b->to), "the same addresses");
    must(a->version == b->version && a->local == b->local, "the same kind");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_proxyproto header, again;
    ssize_t used = read_exact(data, size, &header);
    if (used <= 0) {
        must(used == 0 || used == SP_E_INVALID || used == SP_E_LIMIT, "one of the errors that are promised");
        must(used != 0 || size < SP_PROXYPROTO_BYTES, "no header is waited for for ever");
        return 0;
    }
    must((size_t)used <= size && used <= SP_PROXYPROTO_BYTES, "no more is used than there is");
    for (size_t len = 0; len < (size_t)used; len++)
        must(read_exact(data, len, &again) == 0, "a beginning wants more");
    must(read_exact(data, (size_t)used, &again) == used, "what stands behind does not matter");
    check_same(&header, &again);

    char out[SP_PROXYPROTO_WRITE_BYTES];
    ssize_t len = sp_proxyproto_write(&header, out, sizeof out);
    must(len > 0, "what was read can be written");
    must(sp_proxyproto_read(sp_str_of(out, (size_t)len), &again) == len, "and read again");
    check_same(&header, &again);
    return 0;
}
