"""What is given as a file and is none, and the files that a sidecar leaves: configurations, sockets."""

import os
import re
import signal
import socket
import subprocess

from attacks.house import Proxy, cluster, http, limits, log_to, says, tell
from attacks.peers import ask, await_true, close_all, dial
from harness import PROXY, Failed, expect, free_port

MIB = 1 << 20
CROWD = 1500    # more calls than a worker's ring has records


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


def reopen_fails(s):
    """SIGHUP when the log's name cannot be opened: lines go on into the old file, and everybody can see it."""
    port, path = free_port(), os.path.join(s.folder, "access.log")
    proxy = Proxy(s, "sidecar", [http(port, [says("/")], access_log=[log_to(path)])])
    expect(200, ask(port, "/before").status)

    def is_said():
        os.rename(path, path + ".1")
        os.mkdir(path)
        proxy.child.process.send_signal(signal.SIGHUP)
        await_true("a warning that names the file", lambda: f"path={path} error=" in proxy.child.text())
        if " warn a log file cannot be opened anew" not in proxy.child.text():
            raise Failed(proxy.child.tail())

    def is_counted():
        expect(1, proxy.counter("sampan.access_log.errors"))
        if b"\nsampan_access_log_errors_total 1\n" not in proxy.ask("/stats/prometheus")[2]:
            raise Failed("Prometheus is not told")

    def goes_on():
        expect(200, ask(port, "/after").status)
        await_true("the line is in the old file", lambda: "/after 200\n" in open(path + ".1").read())

    s.check("a-warning-names-the-file", is_said)
    s.check("it-is-counted", is_counted)
    s.check("lines-go-on-into-the-old-file", goes_on)


def last_lines(s):
    """A crowd of calls that are cut at the end: each has its line, or is counted as lost."""
    for name, settings, seconds in (("twice", {"drain_time": "30s"}, 5), ("deadline", {"drain_time": "1s"}, 10)):
        deaf = socket.create_server(("127.0.0.1", 0), backlog=CROWD * 2)
        s.closers.append(deaf.close)
        port, path = free_port(), os.path.join(s.folder, name + ".access")
        many = limits(max_connections=CROWD, max_pending_requests=CROWD, max_requests=CROWD)
        proxy = Proxy(s, name, [http(port, "out", access_log=[log_to(path, "%REQ(:PATH)% %SAMPAN_REASON%\n")])],
                      [cluster("out", deaf.getsockname()[1], **many)], settings=settings)
        crowd = [dial(port) for _ in range(CROWD)]
        for i, sock in enumerate(crowd):
            sock.sendall(f"GET /{i} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        s.check(f"{name}-all-are-under-way", await_true, f"{CROWD} calls are under way",
                lambda at=proxy: at.counter("sampan.streams_active") == CROWD)
        proxy.child.process.send_signal(signal.SIGTERM)
        await_true("it drains", lambda at=proxy: "draining" in at.child.text())
        if name == "twice":
            proxy.child.process.send_signal(signal.SIGTERM)
        s.check(f"{name}-it-ends", lambda at=proxy, most=seconds: expect(0, at.child.process.wait(most)))
        s.check(f"{name}-each-has-a-line-or-is-counted", whole, proxy, path, name == "twice")
        close_all(crowd)


def whole(proxy, path, none_lost):
    """Cut on the worker's own thread at the deadline, more may end at once than its ring takes: that is said."""
    with open(path) as f:
        lines = f.read().split("\n")[:-1]
    said = re.search(r"the access log is not whole lines=(\d+) lost=(\d+) lost_bytes=0", proxy.child.text())
    lost = int(said[2]) if said else 0
    tell(f"{len(lines)} lines, {lost} lost")
    expect(CROWD, len(lines) + lost, "lines and losses that were told")
    expect(len(lines), len(set(lines)), "different lines")
    expect({"DRAINING"}, {line.split(" ")[1] for line in lines}, "reasons")
    if none_lost:
        expect(0, lost, "lost lines")
