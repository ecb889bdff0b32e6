package com.acme.check;

import java.util.Arrays;
import java.util.List;

/** Runs named checks and says one line for each: `ok NAME`, or `not ok NAME: why`. */
public final class Checks
{
    /** One check: returns for good, throws for bad. */
    public interface Body
    {
        void run() throws Exception;
    }

    private final List<String> only;
    private int failed;

    /** `only`: names with commas between, or "" for all. */
    public Checks(String only)
    {
        this.only = only.isEmpty() ? List.of() : Arrays.asList(only.split(","));
    }

    public void check(String name, Body body)
    {
        if (!only.isEmpty() && !only.contains(name))
            return;
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            failed++;
            System.out.println("not ok " + name + ": " + e.toString().replace('\n', ' '));
            e.printStackTrace();
        }
        System.out.flush();
    }

    public int failed()
    {
        return failed;
    }

    public static void expect(boolean good, String why)
    {
        if (!good)
            throw new AssertionError(why);
    }

    public static void same(Object want, Object got)
    {
        expect(want == null ? got == null : want.equals(got), "expected " + want + ", got " + got);
    }
}
