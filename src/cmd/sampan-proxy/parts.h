/* parts: what this program is put together from, as tables that can be read. */
#ifndef SP_CMD_PROXY_PARTS_H
#define SP_CMD_PROXY_PARTS_H

#include "wire/codec.h"

/* By enum sp_protocol. */
extern const struct sp_codec *const proxy_codecs[SP_PROTO_COUNT];

#endif
