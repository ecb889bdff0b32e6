"""The ends of processes: SIGTERM drains, a second one ends, a deadline cuts, SIGHUP opens logs anew, kill -9."""

import os
import random
import signal
import sys
import threading
import time

from attacks import wire
from attacks.house import Proxy, bolt, cluster, http, log_to, tell
from attacks.peers import (BoltClient, BoltUpstream, Recorder, Scripted, ask, await_true, dial, read_answer,
                           read_head)
from harness import Failed, expect, free_port

GET = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n"


class Late:
    """An upstream that answers when the test says so."""

    def __init__(self, s):
        self.go = False
        self.under_way = 0
        self.port = Scripted(s, self.play).port

    def play(self, sock, number):
        while True:
            read_head(sock)
            self.under_way += 1
            while not self.go:
                time.sleep(0.01)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def refuses(port):
    try:
        dial(port, 1).close()
        return False
    except ConnectionRefusedError:
        return True
    except (TimeoutError, ConnectionResetError):
        return False  # it met the listener while that was going


def terms(s):
    """SIGTERM: nobody new comes in, who is inside is served, idle connections end, exit 0 well before the deadline."""
    late, port, rpc = Late(s), free_port(), free_port()
    held = []
    services = BoltUpstream(s, answer=lambda frame: held.append(frame))
    proxy = Proxy(s, "sidecar", [http(port, "out"), bolt(rpc, {"echo": "calls"}, name="rpc")],
                  [cluster("out", late.port), cluster("calls", services.port, True)],
                  workers=2, settings={"drain_time": "20s"})
    idle, busy, client = dial(port), dial(port), BoltClient(rpc)
    busy.sendall(GET)
    number = client.send("echo", b"held", timeout=15000)
    await_true("both calls are under way", lambda: late.under_way and held)
    began = time.monotonic()
    proxy.child.process.send_signal(signal.SIGTERM)

    def idle_ends():
        idle.settimeout(5)
        expect(b"", idle.recv(1), "what an idle connection reads")

    def answers():
        late.go = True
        got = read_answer(busy)
        expect((200, "close"), (got.status, (got.value("connection") or "").lower()))
        line = services.lines[0]
        services.server.loop.call_soon_threadsafe(line.transport.write, wire.answer(held[0], b"after all"))
        expect(b"after all", client.answers(1)[number].content)

    def ends():
        expect(0, proxy.child.process.wait(10), "exit status")
        took = time.monotonic() - began
        if took > 10:
            raise Failed(f"it took {took:.1f} s to end though nothing was left to wait for")
        tell(f"drained in {took:.1f} s")

    s.check("new-callers-are-refused", await_true, "connects are refused", lambda: refuses(port) and refuses(rpc), 5)
    s.check("idle-connections-end", idle_ends)
    s.check("it-waits-for-calls-under-way", proxy.expect_alive)
    s.check("calls-under-way-end-well", answers)
    s.check("it-ends", ends)


def deadline(s):
    """What has not ended when the drain time is over is cut, with the reason where it can be said."""
    late, port, rpc = Late(s), free_port(), free_port()
    services = BoltUpstream(s, answer=lambda frame: None)
    proxy = Proxy(s, "sidecar", [http(port, "out"), bolt(rpc, {"echo": "calls"}, name="rpc")],
                  [cluster("out", late.port), cluster("calls", services.port, True)], settings={"drain_time": "1s"})
    busy, client = dial(port), BoltClient(rpc)
    busy.sendall(GET)
    number = client.send("echo", timeout=15000)
    await_true("both calls are under way", lambda: late.under_way and services.count())
    began = time.monotonic()
    proxy.child.process.send_signal(signal.SIGTERM)

    def told():
        got = read_answer(busy, seconds=5)
        expect((503, "DRAINING"), (got.status, got.reason))

    def told_in_bolt():
        expect("DRAINING", client.answers(1, 5)[number].reason)

    def ends():
        expect(0, proxy.child.process.wait(5), "exit status")
        if not 0.9 < time.monotonic() - began < 4:
            raise Failed(f"it ended after {time.monotonic() - began:.1f} s, not 1")

    s.check("the-caller-is-told", told)
    s.check("the-bolt-caller-is-told", told_in_bolt)
    s.check("it-ends-at-the-deadline", ends)
    late.go = True


def twice(s):
    """Asked twice, it ends at once."""
    late, port = Late(s), free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out")], [cluster("out", late.port)], settings={"drain_time": "30s"})
    busy = dial(port)
    busy.sendall(GET)
    await_true("the call is under way", lambda: late.under_way)
    proxy.child.process.send_signal(signal.SIGTERM)
    s.check("it-drains", await_true, "connects are refused", lambda: refuses(port), 5)
    s.check("it-waits", proxy.expect_alive)
    began = time.monotonic()
    proxy.child.process.send_signal(signal.SIGTERM)

    def ends():
        expect(0, proxy.child.process.wait(5), "exit status")
        if time.monotonic() - began > 2:
            raise Failed(f"it took {time.monotonic() - began:.1f} s")

    s.check("it-ends-at-once", ends)
    late.go = True


def crowded(s):
    """A drain under load: each call of a crowd, sent before the signal, ends well."""
    upstream, port = Recorder(s), free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out")], [cluster("out", upstream.port)], workers=2)
    socks = [dial(port) for _ in range(50)]
    for sock in socks:
        expect(200, ask(port, sock=sock).status)
    mark = upstream.count()
    for sock in socks:
        sock.sendall(GET)
    proxy.child.process.send_signal(signal.SIGTERM)

    def answered():
        """All were sent before the signal."""
        good = lost = 0
        for sock in socks:
            try:
                expect(200, read_answer(sock, seconds=10).status)
                good += 1
            except Failed as err:
                if "expected" in str(err):
                    raise
                lost += 1
        carried = upstream.count() - mark
        tell(f"{good} answered, {lost} closed before they were taken")
        expect(good, carried, "calls that the upstream served")
        expect(50, good, "calls that were answered")

    s.check("each-is-answered", answered)
    s.check("it-ends", lambda: expect(0, proxy.child.process.wait(10), "exit status"))


def kept_alive(s):
    """A drain under keep-alive load: no call is lost, for a line that is in use ends behind an answer that says so."""
    upstream, port = Recorder(s), free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out")], [cluster("out", upstream.port)], workers=2)
    go, ends = threading.Barrier(31), []

    def client():
        """Calls until an answer says that it was the last; adds how it ended."""
        sock, calls, got = dial(port), 0, None
        try:
            while not got or (got.value("connection") or "").lower() != "close":
                if calls == 3:
                    go.wait()
                sock.sendall(GET)
                got = read_answer(sock)
                calls += 1
                time.sleep(0.02 * random.random())
            ends.append("told" if got.status == 200 else f"status {got.status}")
        except (Failed, OSError) as err:
            ends.append(f"lost after {calls} calls: {err}")
        finally:
            sock.close()

    clients = [threading.Thread(target=client, daemon=True) for _ in range(30)]
    for each in clients:
        each.start()
    go.wait()
    time.sleep(0.3)
    began = time.monotonic()
    proxy.child.process.send_signal(signal.SIGTERM)

    def told():
        for each in clients:
            each.join(10)
        expect(["told"] * 30, ends, "how the lines ended")

    def ends_soon():
        expect(0, proxy.child.process.wait(10), "exit status")
        tell(f"drained in {time.monotonic() - began:.1f} s")

    s.check("no-call-is-lost", told)
    s.check("it-ends", ends_soon)


def reopens(s):
    """SIGHUP: the file that was moved away gets no more lines, a new one does, and no line is lost."""
    upstream, port = Recorder(s), free_port()
    path = os.path.join(s.folder, "access.log")
    proxy = Proxy(s, "sidecar", [http(port, "out", access_log=[log_to(path)])], [cluster("out", upstream.port)])

    def lines(name):
        try:
            with open(name) as f:
                return f.read().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def moved():
        for i in range(5):
            ask(port, f"/before/{i}")
        os.rename(path, path + ".1")
        proxy.child.process.send_signal(signal.SIGHUP)
        await_true("the file is there anew", lambda: os.path.exists(path))
        for i in range(5):
            ask(port, f"/after/{i}")
        await_true("ten lines", lambda: len(lines(path)) + len(lines(path + ".1")) == 10)
        found = lines(path + ".1") + lines(path)
        expect([f"/{when}/{i} 200" for when in ("before", "after") for i in range(5)], found)
        if not any("after" in line for line in lines(path)):
            raise Failed("the new file has none of the new lines")

    def barred():
        os.rename(path, path + ".2")
        os.mkdir(path)
        proxy.child.process.send_signal(signal.SIGHUP)
        proxy.child.wait_for_line(r"path=\S+access\.log error=.?it is a folder")
        ask(port, "/on")
        await_true("the line is in the old file", lambda: "/on 200" in lines(path + ".2"))

    s.check("logs-are-opened-anew", moved)
    s.check("a-folder-in-a-logs-place-is-called-one", barred)
    s.check("it-goes-on", proxy.expect_alive)


def killed(s):
    """kill -9 of an upstream, and of the second sidecar of two: the caller is told, and all goes on afterwards."""
    served, far, near = free_port(), free_port(), free_port()
    server = [sys.executable, "-u", "-c", SERVER, str(served)]
    child = s.spawn("server", server, ready="^ready")
    last = Proxy(s, "last", [http(far, "out")], [cluster("out", served)])
    Proxy(s, "first", [http(near, "out")], [cluster("out", far)])
    expect(200, ask(near, "/").status)

    def hangs(victim, reasons):
        sock = dial(near)
        sock.sendall(b"GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
        await_true("the call is there", lambda: child.text().count("hang") > hangs.seen)
        hangs.seen += 1
        victim.kill()
        victim.wait()
        got = read_answer(sock)
        if got.status != 503 or got.reason not in reasons:
            raise Failed(f"the caller was told {got.status} {got.reason}")

    hangs.seen = 0
    both = ("UPSTREAM_RESET", "UPSTREAM_CLOSED")

    def upstream_dies():
        hangs(child.process, both)
        got = ask(near)
        expect((503, "CONNECT"), (got.status, got.reason))

    def upstream_comes_back():
        nonlocal child
        hangs.seen = 0
        child = s.spawn("server-again", server, ready="^ready")
        expect(200, ask(near).status)

    def sidecar_dies():
        hangs(last.child.process, both)
        got = ask(near)
        expect((503, "CONNECT"), (got.status, got.reason))

    def sidecar_comes_back():
        last.start()
        expect(200, ask(near).status)

    s.check("upstream-dies", upstream_dies)
    s.check("upstream-comes-back", upstream_comes_back)
    s.check("sidecar-dies", sidecar_dies)
    s.check("sidecar-comes-back", sidecar_comes_back)


SERVER = """
import socket, sys, threading
def serve(sock):
    while head := sock.recv(65536):
        if head.startswith(b"GET /hang"):
            print("hang", flush=True)
        else:
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
