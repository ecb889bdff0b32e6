/* h1: HTTP/1.1 by RFC 9112, strict where leniency lets requests be smuggled. */
#ifndef SP_WIRE_H1_H1_H
#define SP_WIRE_H1_H1_H

#include "wire/codec.h"

extern const struct sp_codec sp_h1_codec;

#endif
