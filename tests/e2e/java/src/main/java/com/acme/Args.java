package com.acme;

import java.util.HashMap;
import java.util.Map;

/** `--name value` pairs; what is not known is an error. */
final class Args
{
    private final Map<String, String> given = new HashMap<>();

    Args(String[] args, String... known)
    {
        for (int i = 0; i < args.length; i += 2) {
            String name = args[i].startsWith("--") ? args[i].substring(2) : "";
            if (!java.util.Arrays.asList(known).contains(name) || i + 1 == args.length)
                throw new IllegalArgumentException("unknown or incomplete option: " + args[i]);
            given.put(name, args[i + 1]);
        }
    }

    String get(String name, String otherwise)
    {
        return given.getOrDefault(name, otherwise);
    }

    int number(String name, int otherwise)
    {
        String text = given.get(name);
        return text == null ? otherwise : Integer.parseInt(text);
    }
}
