package com.acme;

/** A business error: on the wire it is an answer with success status and the header sofa_head_response_error. */
public class EchoException extends Exception
{
    private static final long serialVersionUID = 1L;

    private final int code;

    public EchoException(String why, int code)
    {
        super(why);
        this.code = code;
    }

    public int getCode()
    {
        return code;
    }
}
