"""What is given as a file and is none, and the files that a sidecar leaves: configurations, sockets."""

import os
import signal
import socket
import subprocess

from attacks.house import Proxy, http, says
from harness import PROXY, Failed, expect, free_port

MIB = 1 << 20


def configurations(s):
    """-c with something that is no bootstrap: it ends at once, with status 1 and one line that says what it is."""
    pipe, folder, large = (os.path.join(s.folder, name) for name in ("pipe", "folder", "large"))
    os.mkfifo(pipe)
    os.mkdir(folder)
    with open(large, "wb") as f:
        f.truncate(65 * MIB)

    def ends(path, words, mode):
        got = subprocess.run([PROXY, "-c", path, "--mode", mode], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, timeout=10)
        expect((1, ""), (got.returncode, got.stdout), "exit status and output")
        if words not in got.stderr or not got.stderr.startswith(path) or got.stderr.count("\n") != 1:
            raise Failed(f"it said {got.stderr!r}")

    for name, path, words in (("pipe", pipe, "is a pipe; write the bootstrap into a file"),
                              ("folder", folder, "is a folder; name the bootstrap file in it"),
                              ("device", "/dev/zero", "is a device or a socket; name a file"),
                              ("large", large, f"has {65 * MIB} bytes, more than the 64 MiB"),
                              ("missing", os.path.join(s.folder, "none"), "does not exist")):
        s.check(f"{name}-is-refused", ends, path, words, "serve")
        s.check(f"{name}-does-not-pass-for-valid", ends, path, words, "validate")


def socket_files(s):
    """A Unix listener's file goes at a clean end, and stays when another process has put its own there."""
    path = os.path.join(s.folder, "in.sock")

    def sidecar(name):
        door = http(free_port(), [says("/")])
        door["address"] = {"pipe": {"path": path}}
        return Proxy(s, name, [door], workers=2)

    def asks():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            expect(b"HTTP/1.1 200 OK", sock.recv(15))

    def ends(proxy):
        expect(0, proxy.child.end(), "exit status")
        if os.listdir(proxy.base):
            raise Failed(f"{os.listdir(proxy.base)} is left under its base directory")

    def is_gone():
        if os.path.lexists(path):
            raise Failed("the socket's file is still there")

    first = sidecar("first")
    s.check("it-serves", asks)
    s.check("it-ends", ends, first)
    s.check("the-file-went-with-it", is_gone)

    second = sidecar("second")
    os.unlink(path)  # as somebody does who puts another process there by hand
    third = sidecar("third")
    s.check("the-former-ends", ends, second)
    s.check("the-file-of-the-next-one-stays", asks)

    third.child.process.send_signal(signal.SIGKILL)
    third.child.process.wait()
    s.check("a-killed-one-leaves-its-file", lambda: expect(True, os.path.exists(path)))
    third.start()
    s.check("which-the-next-one-replaces", asks)
