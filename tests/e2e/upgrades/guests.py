"""Successors that come at a bad time, or that have no business here: each is told so, and nothing is disturbed."""

import os
import re
import signal
import socket
import time

from harness import Failed, expect
from upgrades import crashes, walks
from upgrades.house import Line
from upgrades.load import Load, sea

SECONDS = 40
NOBODY = 65534


def refused(child, words):
    """It ends with 1 and says why."""
    status = child.process.wait(SECONDS)
    expect(1, status, f"status of {child.name} ({child.tail()})")
    if not re.search(words, child.text()):
        raise Failed(f"{child.name} does not say {words!r}: {child.tail()}")


def stopped_at(line, library, step):
    child = line.successor(env={"LD_PRELOAD": library, "SAMPAN_STEP": f"{step} stop"})
    crashes.wait_until(f"{child.name} has not come to {step}: {child.tail()}",
                       lambda: crashes.state(child.process) == "T")
    return child


def second_while_the_first_prepares(line, library):
    """Who asked last is who is wanted."""
    first = stopped_at(line, library, "say W 1 before")
    line.upgrade()
    first.process.send_signal(signal.SIGCONT)
    refused(first, "gives up: another successor has come")
    walks.call(line)


def second_while_the_first_hangs_with_what_it_was_told(line, library):
    """It holds copies of connections, and does not end by itself."""
    first = stopped_at(line, library, "say G 1 before")
    line.upgrade()
    expect(-signal.SIGKILL, first.process.wait(SECONDS), "status of the first")
    walks.call(line)


def second_while_the_old_one_is_busy_with_the_first(line, library):
    """It waits until the old one has given up with the first."""
    first = stopped_at(line, library, "say R 1 before")
    expect(False, "serving goes on" in line.child.text(), "the old one has given up already")
    old = line.child
    line.upgrade()
    expect(True, "did not say `ready`" in old.text(), f"the old one's words ({old.tail()})")
    crashes.wait_until("the first one lives on", lambda: not first.alive())
    walks.call(line)


def second_in_the_very_moment_of_the_first(line, library):
    """The first is about to begin: the second takes over from it."""
    first = stopped_at(line, library, "say U 1 after")
    old = line.child
    second = line.successor()
    time.sleep(0.2)     # it knocks at whom nobody hears any more; where it comes later it has less to do
    first.process.send_signal(signal.SIGCONT)
    second.wait_for_line(r"\bready\b", SECONDS)
    for child in (old, first):
        expect(0, child.process.wait(SECONDS), f"status of {child.name} ({child.tail()})")
    line.child = second
    walks.call(line)


def another_user(line):
    """First the files do not let him, then the kernel's word for who he is."""
    if os.getuid():
        print("# another user: only root can try", flush=True)
        return
    path = walks.upgrade_socket(line)
    argv = list(line.argv) + ["--takeover"]

    def comes(name, words):
        child = line.scenario.spawn(name, argv, user=NOBODY, group=NOBODY, extra_groups=[])
        refused(child, words)
        line.expect_alive()
        walks.call(line)

    comes("stranger", "sampan-proxy: cannot take over: .*\\.sock: not permitted")
    os.chmod(line.base, 0o755)
    os.chmod(path, 0o666)
    comes("stranger.2", "sampan-proxy: cannot take over: process [0-9]+ could not be ended if it hung: not permitted")
    os.chmod(path, 0o600)
    os.chmod(line.base, 0o700)


def while_it_drains(s, upstream, library):
    """It has been told to end: it finishes what is under way, and nobody takes that over."""
    line = Line(s, upstream, name="draining")
    prepares = stopped_at(line, library, "say G 1 before")
    with socket.create_connection(("127.0.0.1", line.ports["http"]), SECONDS) as sock:
        sock.sendall(b"GET /sea/7/200000/150 HTTP/1.1\r\nHost: a\r\n\r\n")    # some two seconds
        got = sock.recv(1 << 16)
        line.child.process.send_signal(signal.SIGTERM)
        line.child.wait_for_line("draining")
        prepares.process.send_signal(signal.SIGCONT)
        refused(prepares, "gives up: it drains")
        refused(line.successor(), "gives up: it drains")
        while len(got.partition(b"\r\n\r\n")[2]) < 200000:
            part = sock.recv(1 << 16)
            if not part:
                raise Failed(f"the download ended at {len(got)} bytes")
            got += part
    expect(sea(7, 200000), got.partition(b"\r\n\r\n")[2], "the download")
    expect(0, line.child.process.wait(SECONDS), "status of the old one")
    expect([], os.listdir(line.base), "files in the base directory")


def run(s):
    library = crashes.build(s)
    load = Load({})
    upstream = load.serve()
    line = Line(s, upstream)
    load.ports = line.ports
    load.start({"http": 8, "bolt": 4, "tcp": 4, "websocket": 2})
    for check in (second_while_the_first_prepares, second_while_the_first_hangs_with_what_it_was_told,
                  second_while_the_old_one_is_busy_with_the_first,
                  second_in_the_very_moment_of_the_first):
        s.check(check.__name__.replace("_", "-"), check, line, library)
    s.check("another-user", another_user, line)
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", walks.nothing, count)
    s.check("while-it-drains", while_it_drains, s, upstream, library)
