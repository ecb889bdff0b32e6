/* frame: gRPC's messages in the body of a stream.
 *
 *      flag (0 or 1) | length, 4 bytes, big-endian | message
 *
 * DATA frames cut messages anywhere, so the prefix may come in pieces: its bytes are the only ones that are
 * copied. A length is judged when its last byte is there, before a byte of the message. A compressed message
 * is refused by name unless the caller said that it can read one: a sidecar passes them on, a server of ours
 * does not speak gzip and never says that it does. */
#include "wire/grpc/grpc.h"

#include <endian.h>

static ssize_t refuse(struct sp_grpc_event *ev, sp_err err, uint32_t code, const char *why)
{
    ev->code = code;
    ev->why = why;
    return err;
}

static ssize_t read_prefix(struct sp_grpc_reader *r, sp_str in, struct sp_grpc_event *ev)
{
    size_t here = SP_MIN(in.len, (size_t)(SP_GRPC_PREFIX - r->got));
    memcpy(r->prefix + r->got, in.ptr, here);
    r->got = (uint8_t)(r->got + here);
    if (r->prefix[0] > 1)
        return refuse(ev, SP_E_INVALID, SP_GRPC_INTERNAL, "a message's flag is neither 0 nor 1");
    if (r->prefix[0] == 1 && !r->takes_packed)
        return refuse(ev, SP_E_UNSUPPORTED, SP_GRPC_UNIMPLEMENTED, "compressed messages are not read here");
    if (r->got < SP_GRPC_PREFIX)
        return (ssize_t)here;
    uint32_t bytes;
    memcpy(&bytes, r->prefix + 1, sizeof bytes);
    bytes = be32toh(bytes);
    if (bytes > (r->most ? r->most : (uint32_t)SP_GRPC_BYTES))
        return refuse(ev, SP_E_LIMIT, SP_GRPC_RESOURCE_EXHAUSTED, "message is larger than its limit");
    ev->begins = true;
    ev->packed = r->prefix[0];
    ev->bytes = bytes;
    r->left = bytes;
    return (ssize_t)here;
}

ssize_t sp_grpc_read(struct sp_grpc_reader *r, sp_str in, struct sp_grpc_event *ev)
{
    *ev = (struct sp_grpc_event){ .packed = r->got && r->prefix[0] };
    if (!in.len)
        return 0;
    ssize_t used = 0;
    if (r->got < SP_GRPC_PREFIX) {
        used = read_prefix(r, in, ev);
        if (used < 0 || r->got < SP_GRPC_PREFIX)
            return used;
    }
    ev->piece = sp_str_upto(sp_str_from(in, (size_t)used), r->left);
    r->left -= (uint32_t)ev->piece.len;
    if (!r->left) {
        ev->ends = true;
        r->got = 0;
    }
    return used + (ssize_t)ev->piece.len;
}

bool sp_grpc_is_between(const struct sp_grpc_reader *r)
{
    return r->got == 0;
}

void sp_grpc_put_prefix(char out[SP_GRPC_PREFIX], uint32_t bytes, bool packed)
{
    uint32_t v = htobe32(bytes);
    out[0] = packed;
    memcpy(out + 1, &v, sizeof v);
}
