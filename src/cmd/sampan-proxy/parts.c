/* parts: the tables. A new protocol is one folder under wire/ and one line here.
 *
 * Rooms below are given what they run by tables like these and never name it: the proxy speaks the protocols
 * that stand here, and would speak others without a change. There are no constructors and no registration at
 * link time, so what is part of the program can be read.
 * Filters and exporters get their tables here too. */
#include "cmd/sampan-proxy/parts.h"

#include "wire/bolt/bolt.h"
#include "wire/h1/h1.h"

const struct sp_codec *const proxy_codecs[SP_PROTO_COUNT] = {
    [SP_PROTO_HTTP1] = &sp_h1_codec,
    [SP_PROTO_BOLT] = &sp_bolt_codec,
    [SP_PROTO_BOLT2] = &sp_bolt2_codec,
};
