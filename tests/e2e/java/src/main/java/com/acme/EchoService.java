package com.acme;

/** What the two programs talk about: one method for each way in which a call can go well or badly. */
public interface EchoService
{
    /** The same text again. */
    String echo(String text);

    /** The same bytes, each one XORed with 0x5a: what went up cannot be mistaken for what came down. */
    byte[] turn(byte[] body);

    /** Never answers with a value. A checked exception that the client's class path knows. */
    String refuse(String why) throws EchoException;

    /** Never answers with a value. An unchecked exception. */
    String crash(String why);

    /** The same text, after so many milliseconds. */
    String slow(int millis, String text);

    /** One-way: counts, and answers nothing. */
    void tick(String key);

    /** How many ticks of this key have been seen. */
    int ticks(String key);

    /** The same as `turn`, and the call is entered into the account by its number. */
    byte[] enter(long number, byte[] body);

    /** One-way, and entered by its number too. */
    void note(long number, byte[] body);

    /** What `enter` and `note` have seen: calls, different numbers, bytes, and the sum of the bodies' digests. */
    long[] account();

    /** A value with structure: nested, with numbers at the edges, a null, and text beyond ASCII. */
    Parcel carry(Parcel parcel);
}
