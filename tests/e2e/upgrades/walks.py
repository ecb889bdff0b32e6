"""Deaths and silences of either side at each step of a walk: exactly one serves afterwards.

The side under test is the real program; the other is walker.py, which speaks the walk's messages and at its step
kills or stops itself. While the real one is the old process, callers go on through all of it. Two real ones are in
crashes.py, and there is more standing still.
"""

import glob
import os
import socket
import subprocess
import sys

from harness import Failed, expect
from upgrades.house import Line
from upgrades.load import Count, Load

WALKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "walker.py")
NEW_STEPS = ["connected", "hello", "greeted", "ahead", "told", "go", "set", "ready", "yours"]
NEW_HANGS = ["set", "yours"]
OLD_STEPS = ["hello", "greeted", "ahead", "told", "go", "batch", "set", "ready", "yours"]
SECONDS = 30


class Walker:
    """The other side, in a process of its own."""

    def __init__(self, *argv, schema=""):
        self.process = subprocess.Popen([sys.executable, WALKER, *argv], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.process.stdin.write(schema)
        self.process.stdin.close()

    def line(self):
        return self.process.stdout.readline().strip()

    def has_ended(self, seconds=SECONDS):
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def upgrade_socket(line):
    return next(path for path in glob.glob(os.path.join(line.base, "*.sock")) if ".admin." not in path)


def schema_of(line):
    """What the program can read, as it says itself; it is told that we were only looking."""
    path = upgrade_socket(line)
    os.rename(path, path + ".kept")
    with Walker("capture", path) as walker:
        expect("listens", walker.line())
        child = line.successor()
        schema = walker.line()
        child.process.wait(SECONDS)
        expect(True, "only looking" in child.text(), f"its words ({child.tail()})")
    os.rename(path + ".kept", path)
    return schema


def call(line):
    with socket.create_connection(("127.0.0.1", line.ports["http"]), SECONDS) as sock:
        sock.settimeout(SECONDS)
        sock.sendall(b"GET /echo/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while part := sock.recv(4096):
            got += part
    if not got.endswith(b"\r\n\r\n/echo/7"):
        raise Failed(f"a call was answered by {got[:200]!r}")


def old_goes_on(line, step, how, schema):
    """The successor dies or hangs."""
    before = line.child.text().count("serving goes on")
    with Walker("new", upgrade_socket(line), step, how, schema=schema) as walker:
        expect(f"at {step}", walker.line(), "the successor")
        if how == "hang" and step == "yours":
            expect(True, walker.has_ended(), "was a successor ended that hangs with everything in its hands")
        elif step not in ("connected", "hello"):
            line.child.wait_for_line(r"(?s)(serving goes on.*){%d}" % (before + 1), SECONDS)
        call(line)
    line.expect_alive()


def new_begins(line, step, schema):
    """The old one dies; the successor is real."""
    line.child.process.kill()
    line.child.process.wait()
    path = upgrade_socket(line)
    os.unlink(path)
    with Walker("old", path, step, "die", schema=schema) as walker:
        expect("listens", walker.line())
        child = line.successor()
        line.child = child
        expect(f"at {step}", walker.line(), "the old one")
        child.wait_for_line(r"\bready\b", SECONDS)
        if step != "yours":
            expect(True, walker.has_ended(), "is the old one dead")
        call(line)
    line.expect_alive()


def run(s):
    load = Load({})
    line = Line(s, load.serve())
    load.ports = line.ports
    schema = schema_of(line)
    load.start({"http": 8, "bolt": 4, "tcp": 4})
    for how, steps in (("die", NEW_STEPS), ("hang", NEW_HANGS)):
        for step in steps:
            s.check(f"successor-{how}s-at-{step}", old_goes_on, line, step, how, schema)
    s.check("successor-says-no", old_goes_on, line, "no", "die", schema)
    s.check("upgrade-behind-all-that", line.upgrade)
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", nothing, count)
    for step in OLD_STEPS:
        s.check(f"old-one-dies-at-{step}", new_begins, line, step, schema)


def nothing(count):
    faults = {fault: getattr(count, fault) for fault in Count.FAULTS}
    if any(faults.values()) or not count.calls:
        raise Failed(f"{count.calls} calls, {faults}; the first: {count.first}")
