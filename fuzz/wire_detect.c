/* wire_detect: any bytes to the detection, growing byte by byte. Once it is sure it stays so; it is sure at
 * 32 bytes; and the decoder of the protocol it names does not refuse the first of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/bolt/bolt.h"
#include "wire/detect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum sp_protocol before = SP_PROTO_NONE;
    bool hello_before = false;
    for (size_t len = 0; len <= size && len <= 64; len++) {
        char *exact = malloc(len ? len : 1);
        if (len)
            memcpy(exact, data, len);
        bool hello = true;
        enum sp_protocol now = sp_detect(sp_str_of(exact, len), &hello);
        must(before == SP_PROTO_NONE || (now == before && hello == hello_before), "an answer is final");
        must(!hello || now == SP_PROTO_TCP, "a TLS hello is opaque bytes");
        must(now != SP_PROTO_NONE || len < SP_DETECT_BYTES, "sure in time");
        must(!sp_detect_is_h2(sp_str_of(exact, len)) || now == SP_PROTO_TCP, "HTTP/2 is opaque bytes");
        if (now != before && (now == SP_PROTO_BOLT || now == SP_PROTO_BOLT2)) {
            const struct sp_codec *codec = now == SP_PROTO_BOLT ? &sp_bolt_codec : &sp_bolt2_codec;
            struct sp_codec_limits limits = { .head_bytes = 1 << 20 };
            struct sp_codec_state state;
            struct sp_head head = { 0 };
            struct sp_event ev = { .head = &head };
            codec->init(&state, SP_ROLE_SERVER, &limits);
            must(codec->decode(&state, sp_str_of(exact, len), &ev) >= 0 || strstr(ev.why, "2^31") ||
                     strstr(ev.why, "header block") || strstr(ev.why, "pair"),
                 "Bolt is what its decoder takes");
        }
        before = now;
        hello_before = hello;
        free(exact);
    }
    return 0;
}
