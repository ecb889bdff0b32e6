#!/usr/bin/env python3
"""One side of a walk (src/upgrade/walk.h) that dies or hangs at a step: `walker.py old|new SOCKET STEP die|hang`.

It is a process of its own because the other side makes sure by its pidfd that it is dead. The schema of its hello
is on standard input. When it has come to its step it says so in one line, and then no more.
"""

import array
import fcntl
import os
import signal
import socket
import struct
import sys

HELLO = struct.Struct("=8sII64s")


def hello(schema):
    return b"H" + HELLO.pack(b"SPWALK1", os.getpid(), 1, b"walker") + schema


def hear(sock, wanted):
    """The next message, which must begin with one of these letters; its descriptors are kept open."""
    data, ancillary, _, _ = sock.recvmsg(1 << 17, socket.CMSG_SPACE(253 * 4))
    if data[:1] not in wanted:
        sys.exit(f"walker: {wanted} was expected, {data[:80]!r} came")
    hear.kept.append(ancillary)
    return data


hear.kept = []


def empty_set(descriptors):
    """A set without a record: whole, as far as length, hash (XXH3 of nothing) and count of descriptors go."""
    fd = os.memfd_create("set", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, 1033, 1 | 2 | 4 | 8)      # F_ADD_SEALS: seal, shrink, grow, write
    return struct.pack("=QQQII", 0, 0x2d06800538d394c2, 0, descriptors, 0), fd


def end(step, here, how):
    if step != here:
        return
    print(f"at {step}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL if how == "die" else signal.SIGSTOP)


def new(path, step, how, schema):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(path)
        end("connected", step, how)
        sock.send(hello(schema))
        end("hello", step, how)
        hear(sock, b"H")
        end("greeted", step, how)
        sock.send(b"W")
        end("ahead", step, how)
        while hear(sock, b"BPE")[:1] != b"E":
            pass
        end("told", step, how)
        sock.send(b"G")
        end("go", step, how)
        while hear(sock, b"FS")[:1] == b"F":
            pass
        end("set", step, how)
        if step == "no":
            print("at no", flush=True)
            sock.send(b"Nthe walker cannot read it")
            hear(sock, b"A")
            sys.exit(0)
        sock.send(b"R")
        end("ready", step, how)
        hear(sock, b"Y")
        end("yours", step, how)


def old(path, step, how, schema):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(path)
        os.chmod(path, 0o600)
        door.listen()
        print("listens", flush=True)
        sock, _ = door.accept()
        hear(sock, b"H")
        end("hello", step, how)
        sock.send(hello(schema))
        end("greeted", step, how)
        hear(sock, b"W")
        end("ahead", step, how)
        sock.send(b"E")
        end("told", step, how)
        hear(sock, b"G")
        end("go", step, how)
        pair = socket.socketpair()
        sock.sendmsg([b"F"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pair[0].fileno()]))])
        end("batch", step, how)
        said, fd = empty_set(1)
        sock.sendmsg([b"S" + said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        end("set", step, how)
        if hear(sock, b"RN")[:1] == b"N":   # a set of nothing: it may say so
            end("ready", step, how)
            sys.exit("walker: the set was refused")
        end("ready", step, how)
        sock.send(b"Y")
        end("yours", step, how)


def capture(path):
    """What a successor's hello says it can read, to standard output."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(path)
        door.listen()
        print("listens", flush=True)
        sock, _ = door.accept()
        data = hear(sock, b"H")
        sock.send(b"Nonly looking")
        print(data[1 + HELLO.size:].hex(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "capture":
        capture(sys.argv[2])
    else:
        schema_bytes = bytes.fromhex(sys.stdin.read().strip())
        {"new": new, "old": old}[sys.argv[1]](*sys.argv[2:5], schema_bytes)
