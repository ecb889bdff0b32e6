"""Two real sidecars, and one of them dies or stops at a step of the walk: exactly one serves afterwards, connections
that could survive did, and no process is left over.

Where the one that fails is between two messages is told by step.c, which is loaded into it. Each case has a sidecar
of its own, and several run beside one another: most of their time they wait for somebody who stands still.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from harness import Failed, expect
from upgrades.house import Line
from upgrades.load import Load

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 40
AT_ONCE = 6
MANY = 320              # more descriptors than one message takes

# Step of the old process: who serves then, and what lives on: "all", "queue" (listening sockets with who waits there),
# "none".
OLD = {
    "hear H 1 after": "none",           # before its hello
    "say H 1 after": "none",            # before `go`
    "hear W 1 after": "none",           # before it tells anything ahead
    "say P 1 after": "none",            # told ahead, and serving
    "say E 1 after": "none",
    "hear G 1 after": "none",           # before it stops its workers
    "say F 1 before": "none",           # saved, and nothing sent
    "say F 1 after": "queue",           # in the middle of the set
    "say S 1 before": "queue",
    "say S 1 after": "all",
    "hear R 1 after": "all",
    "say Y 1 before": "all",
    "say Y 1 after": "all",
    "hear U 1 after": "all",            # it had only to end
}
# Step of the successor that dies: the old one serves, with all. One that stops: "late" = it is turned away, or goes on
# when it wakes; "ended" = the old one makes an end of it; "begun" = everything is its own, and is left to it.
NEW = {
    "say H 1 before": "late",
    "say H 1 after": "late",
    "hear H 1 after": "late",
    "say W 1 after": "late",
    "hear P 1 after": "late",           # it holds connections that the old one serves
    "hear E 1 after": "late",
    "say G 1 before": "late",
    "say G 1 after": "ended",
    "hear F 1 after": "ended",
    "hear S 1 after": "ended",
    "say R 1 before": "ended",
    "say R 1 after": "ended",
    "hear Y 1 after": "ended",
    "say U 1 before": "ended",
    "say U 1 after": "begun",
}
making = threading.Lock()


def build(s):
    path = os.path.join(s.folder, "step.so")
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path,
                    os.path.join(HERE, "step.c")], check=True, timeout=60)
    return path


class Pair(Line):
    """A sidecar and its successor, of which one has a step to fail at."""

    def __init__(self, scenario, upstream, library, name, side, step, act):
        self.step = {"LD_PRELOAD": library, "SAMPAN_STEP": f"{step} {act}"}
        self.side = side
        super().__init__(scenario, upstream, name=name)
        self.old, self.new = self.child, None

    def start(self):
        self.spawn = {"env": self.step} if self.side == "old" else {}
        super().start()

    def begin(self, workers=None):
        self.new = self.successor(env=self.step if self.side == "new" else None, workers=workers)
        return self.old if self.side == "old" else self.new


def state(process):
    with open(f"/proc/{process.pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def wait_until(what, holds, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"after {seconds} s: {what}")
        time.sleep(0.02)


class Caller:
    """One connection: `say` and `hear` come before and behind the walk."""

    def __init__(self, where):
        self.sock = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.sock.settimeout(SECONDS)
        self.sock.connect(where if isinstance(where, str) else ("127.0.0.1", where))

    def say(self, data):
        self.sock.sendall(data)

    def hear(self, ending):
        got = b""
        while not got.endswith(ending):
            part = self.sock.recv(4096)
            if not part:
                raise Failed(f"ended behind {got[-200:]!r} where {ending!r} belongs")
            got += part
        return got

    def get(self, number, more=b""):
        self.say(f"GET /echo/{number} HTTP/1.1\r\nHost: a\r\n".encode() + more + b"\r\n")

    def heard(self, number):
        self.hear(f"\r\n\r\n/echo/{number}".encode())

    def expect_end(self):
        """It must not wait for ever. What had been on its way may still come."""
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionError:
            pass


class Callers:
    """An idle connection, one by a Unix listener, a raw one, one in the middle of a request; and who comes later."""

    BODY = bytes(range(256)) * 40

    def __init__(self, line, many):
        self.idle, self.unix, self.raw, self.middle = [Caller(line.ports[kind]) for kind in
                                                       ("http", "unix", "tcp", "http")]
        self.many = [Caller(line.ports["http"]) for _ in range(many)]
        for caller in (self.idle, self.unix, *self.many):
            caller.get(1)
            caller.heard(1)
        for caller in self.many:
            caller.say(b"GET /half")    # quiet ones would be told ahead
        self.raw.say(b"one")
        self.raw.hear(b"one")
        self.middle.say(f"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: {len(self.BODY)}\r\n\r\n".encode())
        self.middle.say(self.BODY[:5000])
        self.queued = None

    def queue(self, line):
        """Somebody comes while nobody looks."""
        self.queued = Caller(line.ports["http"])
        self.queued.get(2)

    def expect(self, kept):
        if self.queued and kept != "none":
            self.queued.heard(2)
        elif self.queued:
            self.queued.expect_end()
        if kept != "all":
            for caller in (self.idle, self.unix, self.raw, self.middle, *self.many):
                caller.expect_end()
            return
        for caller in (self.idle, self.unix, *self.many):
            caller.get(3)
            caller.heard(3)
        self.raw.say(b"two")
        self.raw.hear(b"two")
        self.middle.say(self.BODY[5000:])
        self.middle.hear(hashlib.sha256(self.BODY).hexdigest().encode())

    def expect_closes(self):
        """What we close is seen to be closed: nobody else holds it."""
        self.unix.get(4, b"Connection: close\r\n")
        self.unix.heard(4)
        self.unix.expect_end()


def serves(line, child, kept_raw=True):
    """It does, and says so at every door."""
    for kind in ("http", "unix"):
        caller = Caller(line.ports[kind])
        caller.get(5, b"Connection: close\r\n")
        caller.heard(5)
    if kept_raw:
        raw = Caller(line.ports["tcp"])
        raw.say(b"x")
        raw.hear(b"x")
    line.child = child
    line.expect_alive()
    expect((200, b"LIVE\n"), line.ask("/ready")[::2], "admin's answer")


def end(line, callers):
    """Both have ended, the one that serves at our word, and no file is left."""
    for caller in (callers.idle, callers.unix, callers.raw, callers.middle, callers.queued, *callers.many):
        if caller:
            caller.sock.close()
    line.end_cleanly()
    line.scenario.sidecars.remove(line)
    expect([], os.listdir(line.base), "files in the base directory")
    expect(False, os.path.exists(line.ports["unix"]), "the Unix listener's file")
    for child in (line.old, line.new):
        expect(False, child.alive(), f"does {child.name} live")


def fail(line, act, callers, workers=None):
    """A successor comes, and the one that is to fail has done so."""
    one = line.begin(workers)
    if act == "kill":
        wait_until(f"{one.name} has not come to its step: {one.tail()}", lambda: not one.alive())
        expect(-signal.SIGKILL, one.process.returncode, f"status of {one.name}")
    else:
        wait_until(f"{one.name} has not come to its step: {one.tail()}", lambda: state(one.process) == "T")
        callers.queue(line)
    return one


def old_fails(line, act, kept, callers):
    fail(line, act, callers)
    line.new.wait_for_line(r"\bready\b", SECONDS)
    callers.expect(kept)
    serves(line, line.new)
    wait_until(f"the old one lives on: {line.new.tail()}", lambda: not line.old.alive())
    if kept == "all":
        callers.expect_closes()


def new_fails(line, act, how, callers):
    one = fail(line, act, callers)
    if how == "begun":
        expect(0, line.old.process.wait(SECONDS), "status of the old one")
        one.process.send_signal(signal.SIGCONT)
        one.wait_for_line(r"\bready\b", SECONDS)
        callers.expect("all")
        serves(line, one)
        return
    callers.expect("all")
    if act == "stop" and how == "late":
        serves(line, line.old)
        woken(line, one, callers)
        return
    serves(line, line.old)
    wait_until(f"the successor lives on: {line.old.tail()}", lambda: not one.alive())
    callers.expect_closes()


def woken(line, one, callers):
    """A successor that was stopped before it asked for anything has missed its time, or goes on."""
    turned_away = any(words in line.old.text() for words in ("turned away", "upgrade given up"))
    one.process.send_signal(signal.SIGCONT)
    if turned_away:
        one.process.wait(SECONDS)
        expect(1, one.process.returncode, f"status of {one.name} ({one.tail()})")
        serves(line, line.old)
        return
    one.wait_for_line(r"\bready\b", SECONDS)
    expect(0, line.old.process.wait(SECONDS), "status of the old one")
    serves(line, line.new)
    callers.idle.get(6)
    callers.idle.heard(6)


def anew(line, act, callers):
    """The successor cannot load what it got, says so, and nobody hears it: it starts itself anew."""
    with open(line.config) as f:
        bootstrap = json.load(f)
    listeners = bootstrap["static_resources"]["listeners"]
    bootstrap["static_resources"]["listeners"] = [made for made in listeners if made["name"] != "raw"]
    with open(line.config, "w") as f:
        json.dump(bootstrap, f)
    fail(line, act, callers, workers=3)
    line.new.wait_for_line(r"(?s)starting anew.*\bready\b", SECONDS)
    callers.expect("none")
    serves(line, line.new, kept_raw=False)
    wait_until("the old one lives on", lambda: not line.old.alive())


def case(s, upstream, library, name, side, step, act, body, what, many=0):
    with making:    # ports are given out one at a time
        line = Pair(s, upstream, library, name, side, step, act)
    callers = Callers(line, many)
    try:
        body(line, act, what, callers) if what else body(line, act, callers)
        end(line, callers)
    finally:
        for child in (line.old, line.new):
            if child and child.alive():
                child.process.kill()
                child.process.wait()
        if line in s.sidecars:
            s.sidecars.remove(line)


def run(s):
    library = build(s)
    load = Load({})
    upstream = load.serve()
    cases = []
    for act in ("stop", "kill"):    # those that take long first
        cases += [("old", step, act, old_fails, kept) for step, kept in OLD.items()]
        cases += [("new", step, act, new_fails, how) for step, how in NEW.items()
                  if (act, how) != ("kill", "begun")]   # that is an ordinary crash
        cases.append(("old", "hear N 1 after", act, anew, None))
    cases.append(("old", "say F 2 before", "kill", old_fails, "queue", MANY))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = []
        for side, step, act, *rest in cases:
            name = f"{side}-{re.sub('[ 1]+', '-', step)}-{act}"
            jobs.append((name, pool.submit(case, s, upstream, library, name, side, step, act, *rest)))
        for name, job in jobs:
            s.check(name, job.result)
