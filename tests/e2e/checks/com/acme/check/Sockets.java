package com.acme.check;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Which of this process's own TCP connections go to a port: asked from the kernel, not from the library. */
public final class Sockets
{
    private static final String ESTABLISHED = "01";

    private Sockets()
    {
    }

    /** Local ports of the established connections to `port` that this process holds. */
    public static Set<Integer> to(int port) throws IOException
    {
        Set<String> own = inodes();
        Set<Integer> locals = new TreeSet<>();
        for (String table : List.of("/proc/self/net/tcp", "/proc/self/net/tcp6")) {
            if (!Files.exists(Path.of(table)))
                continue;
            for (String line : Files.readAllLines(Path.of(table))) {
                String[] field = line.trim().split("\\s+");
                if (field.length < 10 || !field[3].equals(ESTABLISHED) || !own.contains(field[9]))
                    continue;
                if (portOf(field[2]) == port)
                    locals.add(portOf(field[1]));
            }
        }
        return locals;
    }

    private static int portOf(String address)
    {
        return Integer.parseInt(address.substring(address.lastIndexOf(':') + 1), 16);
    }

    private static Set<String> inodes() throws IOException
    {
        Set<String> inodes = new HashSet<>();
        try (DirectoryStream<Path> fds = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path fd : fds) {
                try {
                    String target = Files.readSymbolicLink(fd).toString();
                    if (target.startsWith("socket:["))
                        inodes.add(target.substring(8, target.length() - 1));
                } catch (IOException e) {
                    continue; /* closed meanwhile: the listing's own descriptor is one of these */
                }
            }
        }
        return inodes;
    }
}
