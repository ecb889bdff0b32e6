package com.acme;

import com.google.protobuf.StringValue;

/** The same over the protobuf codec, for clients that have no Hessian. The well-known type saves a generator. */
public interface ProtoEcho
{
    StringValue echo(StringValue text);
}
