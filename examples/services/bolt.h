/* bolt: the few bytes of Bolt v1 that the examples speak: one request with a service and a method in its
 * header block, one response. */
#ifndef EXAMPLES_BOLT_H
#define EXAMPLES_BOLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOLT_RESPONSE = 0, BOLT_REQUEST = 1, BOLT_ROOM = 4096 };

struct bolt_frame {
    unsigned type;    /* BOLT_REQUEST or BOLT_RESPONSE */
    unsigned command; /* 0 = heartbeat */
    unsigned status;  /* of a response; 0 = success */
    uint32_t id;
    char content[BOLT_ROOM]; /* ends in NUL */
    size_t content_len;
};

/* The next frame; its class and header block are read over. */
bool bolt_read(int fd, struct bolt_frame *frame);
bool bolt_write_request(int fd, uint32_t id, const char *service, const char *method, const char *content);
/* The answer to `request`. A business error has status 0 and says so in its header block. */
bool bolt_write_response(int fd, const struct bolt_frame *request, unsigned status, bool app_error,
                         const char *content);

#endif
