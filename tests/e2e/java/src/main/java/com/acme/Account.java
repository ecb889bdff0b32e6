package com.acme;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashSet;
import java.util.Set;

/** What one side has seen of numbered bodies, in any order: two sides that saw the same have the same sums. */
final class Account
{
    private final Set<Long> numbers = new HashSet<>();
    private long calls, bytes, digests;

    void add(long number, byte[] body)
    {
        long digest = digest(number, body);
        synchronized (this) {
            numbers.add(number);
            calls++;
            bytes += body.length;
            digests += digest;
        }
    }

    /** Calls, different numbers, bytes, the sum of the digests. */
    synchronized long[] sums()
    {
        return new long[] { calls, numbers.size(), bytes, digests };
    }

    private static long digest(long number, byte[] body)
    {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            sha.update(Long.toString(number).getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            return new java.math.BigInteger(sha.digest(body)).longValue();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
