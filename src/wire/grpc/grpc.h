/* grpc: what gRPC adds to a stream of HTTP/2: messages with a length before them, a status in the trailers, a
 * time limit in a header. Pure; a message's pieces are views into the input. */
#ifndef SP_WIRE_GRPC_GRPC_H
#define SP_WIRE_GRPC_GRPC_H

#include "wire/call.h"

enum sp_grpc_code {
    SP_GRPC_OK,
    SP_GRPC_CANCELLED,
    SP_GRPC_UNKNOWN,
    SP_GRPC_INVALID_ARGUMENT,
    SP_GRPC_DEADLINE_EXCEEDED,
    SP_GRPC_NOT_FOUND,
    SP_GRPC_ALREADY_EXISTS,
    SP_GRPC_PERMISSION_DENIED,
    SP_GRPC_RESOURCE_EXHAUSTED,
    SP_GRPC_FAILED_PRECONDITION,
    SP_GRPC_ABORTED,
    SP_GRPC_OUT_OF_RANGE,
    SP_GRPC_UNIMPLEMENTED,
    SP_GRPC_INTERNAL,
    SP_GRPC_UNAVAILABLE,
    SP_GRPC_DATA_LOSS,
    SP_GRPC_UNAUTHENTICATED,
    SP_GRPC_CODES
};

enum {
    SP_GRPC_PREFIX = 5,         /* flag (1), length (4, big-endian) */
    SP_GRPC_BYTES = 4 << 20,    /* of a message, unless the caller says otherwise */
    SP_GRPC_MESSAGE_MOST = 256, /* bytes of words that we put into grpc-message */
    SP_GRPC_TIMEOUT_ROOM = 10,  /* 8 digits and a unit */
};

/* Where a direction of a stream stands. Zeroed is at the beginning. All of it may be saved as it is. */
struct sp_grpc_reader {
    uint32_t most;        /* 0 = SP_GRPC_BYTES */
    uint32_t left;        /* of the message at hand */
    uint8_t got;          /* bytes of the prefix */
    uint8_t takes_packed; /* 1: the caller has a decoder for compressed messages */
    uint8_t prefix[SP_GRPC_PREFIX];
};

struct sp_grpc_event {
    bool begins; /* a message of `bytes` */
    bool ends;   /* and this is all of it */
    bool packed; /* compressed, as grpc-encoding says */
    uint32_t bytes;
    sp_str piece;  /* of it, as it stands in the input */
    uint32_t code; /* on a negative result: enum sp_grpc_code, and words */
    const char *why;
};

/* used > 0 and at most one event (none: begins, ends false and no piece); 0 = want more. SP_E_LIMIT: larger
 * than `most`; SP_E_UNSUPPORTED: compressed, and nobody can read that; SP_E_INVALID: the flag is neither. */
ssize_t sp_grpc_read(struct sp_grpc_reader *reader, sp_str in, struct sp_grpc_event *ev);
/* May the stream end here? */
bool sp_grpc_is_between(const struct sp_grpc_reader *reader);
void sp_grpc_put_prefix(char out[SP_GRPC_PREFIX], uint32_t bytes, bool packed);

/* Is it "application/grpc", alone or with +proto and the like? */
bool sp_grpc_is_type(sp_str content_type);
const char *sp_grpc_code_name(uint32_t code);
/* By the table of gRPC's own page: for an answer that has no grpc-status. */
enum sp_grpc_code sp_grpc_of_http(uint32_t http_status);
/* For an answer of our own: as that, but a time that ran out is said as such. */
enum sp_grpc_code sp_grpc_of_own(uint32_t http_status);

/* The status of an answer: its trailers, or the head where there are none (trailers-only). SP_E_MISSING: it
 * says none (then sp_grpc_of_http, or UNKNOWN behind 200). SP_E_INVALID: no number. */
sp_err sp_grpc_status(const struct sp_head *head, uint32_t *ret_code) SP_MUST_USE;
/* grpc-message, its percent-coding undone, into `out`; bytes written, at most room. What is not well coded
 * stays as it is, as gRPC asks. */
size_t sp_grpc_message(const struct sp_head *head, char *out, size_t room);
/* Percent-code; bytes written. room 3 * words.len will do; else it is cut at a whole character. */
size_t sp_grpc_put_message(sp_str words, char *out, size_t room);
/* grpc-status and, where there are words, grpc-message. Headers filled: 1 or 2. `words` has room for
 * 3 * SP_GRPC_MESSAGE_MOST. They borrow both. */
uint32_t sp_grpc_trailers(enum sp_grpc_code code, sp_str message, char code_text[4], char *words,
                          struct sp_header headers[2]);

/* grpc-timeout: 1 to 8 digits and one of H M S m u n. SP_E_INVALID. */
sp_err sp_grpc_timeout(sp_str value, uint64_t *ret_ns) SP_MUST_USE;
/* The finest unit that holds it, rounded up. Length; the text is at `out`. */
size_t sp_grpc_put_timeout(uint64_t ns, char out[SP_GRPC_TIMEOUT_ROOM]);

#endif
