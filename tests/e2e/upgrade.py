#!/usr/bin/env python3
"""Hot upgrade with real processes: nothing that lives is closed, lost, doubled or crossed.

    python3 tests/e2e/upgrade.py [SCENARIO...]      `make test` runs it
    python3 tests/e2e/upgrade.py --soak             100 upgrades under 8,000 connections

$SAMPAN_BUILD names the folder with the sidecar.
"""

import argparse
import json
import os
import resource
import socket
import sys

sys.dont_write_bytecode = True

from harness import Failed, PROXY, Scenario, Tally, expect, main_guard  # noqa: E402
from upgrades.house import Line  # noqa: E402
from upgrades.load import Count, Load  # noqa: E402
from upgrades import clients, crashes, guests, places, versions, walks  # noqa: E402

# Of 200: the shares that a sidecar of services has, and some of everything.
KINDS = {"http": 70, "unix": 10, "fresh": 8, "uploads": 16, "downloads": 8, "websocket": 24, "tcp": 24, "bolt": 40}
TURNS = 20
# A raw connection takes six descriptors of the sidecar and the others two or less: all fit into 20,000.
SOAK = {"http": 6300, "unix": 500, "fresh": 40, "uploads": 160, "downloads": 60, "websocket": 120, "tcp": 120,
        "bolt": 700}
SOAK_TURNS, SOAK_PAUSE = 100, 10.0
WORKERS = [2, 2, 1, 2, 3, 2]        # of one process after the other


def loaded(s, turns, kinds, pause, workers=WORKERS):
    """Upgrades under load, then the account."""
    load = Load({}, pause)
    line = Line(s, load.serve(), workers=workers[0])
    load.ports = line.ports
    load.start(kinds)
    before = line.counters()
    times = []

    def turn(number):
        nonlocal before
        times.append(line.upgrade(workers=workers[(number + 1) % len(workers)]))
        before = line.expect_no_step_back(before)

    done = 0
    for number in range(turns):
        try:
            turn(number)
            done += 1
        except Failed as err:
            s.tally.not_ok(f"{s.name}/upgrade-{number + 1}", err)
            break
    if done == turns:
        s.tally.ok(f"{s.name}/{turns}-upgrades-one-after-the-other")
        s.tally.ok(f"{s.name}/no-counter-went-back")
    load.end()
    connections = sum(count.callers for count in load.counts.values())
    print(f"# {done} upgrades under {connections} connections of {len(kinds)} kinds; from start to end of one: "
          f"{1000 * min(times, default=0):.0f} to {1000 * max(times, default=0):.0f} ms", flush=True)
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", account, name, count)
    return line


def account(name, count):
    print(f"#   {name:10} {count.callers:5} callers {count.calls:7} calls {count.bytes >> 10:8} KiB, longest "
          f"{1000 * count.longest:.0f} ms", flush=True)
    if not count.calls:
        raise Failed("it has called nothing")
    faults = {fault: getattr(count, fault) for fault in Count.FAULTS}
    if any(faults.values()):
        raise Failed(f"{faults}; the first: {count.first}")


def under_load(s):
    loaded(s, TURNS, KINDS, 0.2)


def soak(s):
    loaded(s, SOAK_TURNS, SOAK, SOAK_PAUSE)


def idle_load(s, workers=2):
    load = Load({})
    line = Line(s, load.serve(), workers=workers)
    load.ports = line.ports
    return load, line


def worker_counts(s):
    """1 to 2, 2 to 1, 2 to 3, 3 to 1: connections find their way."""
    load, line = idle_load(s, 1)
    load.start({"http": 12, "bolt": 4, "tcp": 4})
    for workers in (2, 1, 2, 3, 1):
        s.check(f"to-{workers}-workers", lambda: line.upgrade(workers=workers))
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", account, name, count)


def post(port, path, value):
    body = json.dumps(value).encode()
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: sdk\r\nConnection: close\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return read_all(sock)


def get(port, path):
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return read_all(sock)


def read_all(sock):
    got = b""
    while part := sock.recv(1 << 16):
        got += part
    return got.partition(b"\r\n\r\n")[2]


def said_once(s):
    """What light SDKs said and what an operator changed."""
    load, line = idle_load(s)

    def says():
        answer = post(line.sdk_port, "/services/publish", {"serviceName": "com.acme.Echo:1.0", "protocolType": "1",
                                                           "providerMetaInfo": {"protocol": "bolt"}, "port": 12200})
        expect(True, json.loads(answer)["success"], "publish")
        expect(200, line.ask("/logging?level=debug", "POST")[0], "logging")
        expect(200, line.ask("/runtime_modify?drain.time_ms=1500", "POST")[0], "runtime_modify")

    def is_kept():
        before = get(line.sdk_port, "/services")
        runtime = line.ask("/runtime")[2]
        for _ in range(2):
            line.upgrade()
            expect(before, get(line.sdk_port, "/services"), "what was published")
            expect(runtime.split(b"layer_values")[1:2], line.ask("/runtime")[2].split(b"layer_values")[1:2])
            expect(True, b"debug" in line.ask("/logging")[2], "the level of the log")

    s.check("is-said", says)
    s.check("is-kept", is_kept)


def doors(s):
    """Who may come in, and what is said to who may not."""
    load, line = idle_load(s)

    def nobody_there():
        line.child.end()
        child = line.successor()
        child.wait_for_line(r"\bready\b")
        expect(True, "nobody to take over from, starting afresh" in child.text(), "its words")
        line.child = child

    def second():
        argv = [word for word in line.argv if word != "--takeover"]
        child = s.spawn("second", argv)
        child.process.wait(30)
        expect(1, child.process.returncode, "exit status")
        expect(True, "take its place with --takeover" in child.text(), f"its words ({child.tail()})")
        line.expect_alive()

    def stale():
        line.child.process.kill()
        line.child.process.wait()
        left = [name for name in os.listdir(line.base) if name.endswith(".sock") and ".admin." not in name]
        expect(1, len(left), "socket files after a kill -9")
        line.start()
        expect(0o600, os.stat(os.path.join(line.base, left[0])).st_mode & 0o777, "mode of the socket")
        line.upgrade()

    def clean():
        line.child.end()
        expect([], os.listdir(line.base), "files after a clean end")
        line.start()

    for check in (nobody_there, second, stale, clean):
        s.check(check.__name__.replace("_", "-"), check)
    del load


def supervised(s):
    """systemd's side: READY=1, then MAINPID= of the successor before the old one ends."""
    load, line = idle_load(s)
    path = os.path.join(s.folder, "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(30)

        def told():
            line.upgrade(env={"NOTIFY_SOCKET": path})
            expect(f"READY=1\nMAINPID={line.pid}\n", systemd.recv(500).decode(), "after an upgrade")
            line.child.end()
            expect("STOPPING=1\n", systemd.recv(500).decode(), "while draining")
            line.spawn = {"env": {"NOTIFY_SOCKET": path}}
            line.start()
            expect("READY=1\n", systemd.recv(500).decode(), "after a start")

        s.check("is-told", told)
    del load


SCENARIOS = {
    "under-load": under_load,
    "worker-counts": worker_counts,
    "said-once": said_once,
    "doors": doors,
    "supervised": supervised,
    "places": places.run,
    "walks": walks.run,
    "crashes": crashes.run,
    "guests": guests.run,
    "versions": versions.run,
    "clients": clients.run,
    "previous": versions.previous,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soak", action="store_true", help="100 upgrades under 8,000 connections")
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    args = parser.parse_args()
    scenarios = {"soak": soak} if args.soak else SCENARIOS
    for name in args.scenario:
        if name not in scenarios:
            parser.error(f"unknown scenario: {name}")
    if not os.access(PROXY, os.X_OK):
        print(f"not ok start: no sidecar at {PROXY}\n0 passed, 1 failed")
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tally = Tally("sidecar")
    for name in args.scenario or scenarios:
        with Scenario(tally, name) as s:
            scenarios[name](s)
    return tally.finish()


if __name__ == "__main__":
    main_guard(main)
