"""S11: clients that take for ever. They hold little, hurt nobody, and are cut at their deadline."""

import contextlib
import json
import re
import resource
import socket
import sys
import time

from attacks import wire
from attacks.house import Proxy, Watch, bolt, cluster, http, limits, tell
from attacks.peers import (BoltClient, BoltUpstream, Recorder, ask, await_true, close_all, dial, innocent, quantile,
                           read_all, script, unhurt)
from harness import CLIENT_SECONDS, Failed, expect, free_port

MIB = 1 << 20
HEAD_SECONDS, BODY_SECONDS, BOLT_SECONDS = 12, 14, 60   # the last is the sidecar's own: no setting changes it
WANTED = 10000
SAMPLES = 400


class Crowd:
    """A child that plays many slow clients."""

    def __init__(self, s, name, port, count, kind, every=1, seconds=CLIENT_SECONDS):
        self.child = s.spawn(name, [sys.executable, script("slowly.py"), str(port), str(count), kind, str(every),
                                    str(seconds)])
        self.count = count

    def await_open(self):
        self.child.wait_for_line(r"^open \d+$", 60)
        opened = int(re.search(r"^open (\d+)$", self.child.text(), re.M)[1])
        if opened < self.count:
            raise Failed(f"only {opened} of {self.count} connections were opened")

    def result(self, seconds=CLIENT_SECONDS):
        self.child.wait_for_line(r"^done ", seconds)
        return json.loads(re.search(r"^done (.*)$", self.child.text(), re.M)[1])


def fits():
    """How many slow clients the descriptors allow: the sidecar has two for those whose body it forwards."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(WANTED, (hard - 500) * 4 // 5)


def slow_clients(s):
    """Half are slow in their head, a quarter in a body that is forwarded, a quarter in a Bolt frame."""
    count = fits()
    upstream, services = Recorder(s), BoltUpstream(s)
    port, rpc = free_port(), free_port()
    caps = limits(max_connections=count, max_pending_requests=count, max_requests=count)
    proxy = Proxy(s, "sidecar", [http(port, "out", request_headers_timeout=f"{HEAD_SECONDS}s",
                                      request_timeout=f"{BODY_SECONDS}s"),
                                 bolt(rpc, {"echo": "calls"}, name="rpc")],
                  [cluster("out", upstream.port, **caps), cluster("calls", services.port, True)],
                  settings={"caps": {"max_connections": count + 1000}})
    before = innocent(port, SAMPLES)
    watch = Watch(proxy)
    crowds = {kind: Crowd(s, f"slow-{kind}", at, share, kind) for kind, at, share in (
        ("head", port, count // 2), ("body", port, count // 8), ("chunk", port, count // 8), ("bolt", rpc, count // 4))}
    s.check("all-are-let-in", lambda: [crowd.await_open() for crowd in crowds.values()])
    tell(f"{count} slow clients")
    s.check("innocent-callers-feel-little", beside, port, before, watch)
    s.check("heads-are-cut-at-the-deadline", is_cut, crowds["head"], HEAD_SECONDS, "HTTP/1.1 408")
    s.check("bodies-are-cut-at-the-deadline", is_cut, crowds["body"], BODY_SECONDS, "HTTP/1.1 408")
    s.check("chunks-are-cut-at-the-deadline", is_cut, crowds["chunk"], BODY_SECONDS, "HTTP/1.1 408")
    watch.look()
    s.check("memory", watch.expect, 40 * MIB, f"{count} slow clients:")
    crowds["bolt"].child.end()
    s.check("heads-are-counted", counted, proxy, "http.in.downstream_rq_header_timeout", count // 2)
    s.check("bodies-are-counted", counted, proxy, "sampan.reason.REQUEST_TIMEOUT", count // 8 * 2)
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("descriptors-come-back", proxy.expect_rest, 8)


def beside(port, before, watch):
    """What an innocent caller of the same worker waits, before and meanwhile, in the same run."""
    took = innocent(port, SAMPLES)
    watch.look()
    unhurt(before, took, "the slow")


def is_cut(crowd, deadline, words):
    got = crowd.result()
    tell(f"{crowd.child.name}: {got['cut']} of {got['open']} were cut, {got['first']:.1f} to {got['last']:.1f} s after "
         f"their first byte: {got['words']}")
    expect((crowd.count, crowd.count), (got["open"], got["cut"]), "opened, cut")
    if got["first"] < deadline - 1:
        raise Failed(f"the first was cut after {got['first']:.1f} s, not {deadline}")
    if got["last"] > deadline + 6:
        raise Failed(f"the last was cut after {got['last']:.1f} s, not {deadline}")
    told = sum(number for said, number in got["words"].items() if said.startswith(words))
    if told < crowd.count * 0.95:  # who writes while it is cut may read a reset instead
        raise Failed(f"{told} of {crowd.count} were told why: {got['words']}")


def counted(proxy, name, least):
    got = proxy.counter(name)
    if got < least:
        raise Failed(f"{name} is {got}, not at least {least}")


def bolt_deadline(s):
    """Ten frames that do not end. It takes a minute, so it begins before the others and is judged behind them."""
    services = BoltUpstream(s)
    port = free_port()
    proxy = Proxy(s, "sidecar", [bolt(port, {"echo": "calls"})], [cluster("calls", services.port, True)])
    crowd = Crowd(s, "slow-bolt", port, 10, "bolt", seconds=BOLT_SECONDS + 20)
    s.check("all-are-let-in", crowd.await_open)
    yield
    s.check("frames-are-cut-at-the-deadline", frames_are_cut, crowd)
    s.check("frames-are-counted", counted, proxy, "sampan.reason.HEADERS_TIMEOUT", 10)
    s.check("nothing-arrived", lambda: expect(0, services.count()))


def frames_are_cut(crowd):
    got = crowd.result(BOLT_SECONDS + 30)
    expect((10, 10), (got["open"], got["cut"]), "opened, cut")
    if not BOLT_SECONDS - 1 < got["first"] <= got["last"] < BOLT_SECONDS + 6:
        raise Failed(f"cut between {got['first']:.1f} and {got['last']:.1f} s, not at {BOLT_SECONDS}")


DEAF = 100
DEAF_HOLD = 352 << 10       # the mark of a connection's queue, 256 KiB, passed by one read of 64; heads and structs
STALL_SECONDS = 30          # the sidecar's own, as with Bolt's frames


def deaf_callers(s):
    """Callers ask for much and read nothing: each pins a queue's mark and no more, and is cut when it has stalled."""
    upstream = Recorder(s, answer=lambda request: GIFT if request.target == b"/much" else b"ok")
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out")], [cluster("out", upstream.port)])
    expect(200, ask(port).status)
    watch = Watch(proxy)
    crowd = [deaf(port) for _ in range(DEAF)]

    def pinned():
        await_true("all have asked", lambda: upstream.count() > DEAF)
        innocent(port, 50)
        watch.look()
        watch.expect(DEAF * DEAF_HOLD, f"{DEAF} deaf callers:")

    s.check("memory", pinned)
    yield
    s.check("they-are-cut-when-they-stall-and-counted", await_true, "all the deaf are cut",
            lambda: proxy.counter("sampan.reason.STALLED") >= DEAF, STALL_SECONDS + 15)
    s.check("descriptors-come-back", proxy.expect_rest, 4)
    close_all(crowd)


GIFT = b"x" * (8 * MIB)


def deaf(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(b"GET /much HTTP/1.1\r\nHost: test\r\n\r\n")
    return sock


def late_reader(s):
    """Whoever reads the last answer of its connection late gets all of it: the sidecar has let the connection go by
    then, but in order, so the kernel delivers what it holds."""
    upstream = Recorder(s, lambda request: b"late" * (MIB // 4))
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out")], [cluster("out", upstream.port)])

    def gets_it():
        with dial(port) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            await_true("the connection is let go", lambda: upstream.requests and
                       proxy.counter("http.in.downstream_cx_active") == 0, 60)
            got, how = read_all(sock)
        expect(("end", MIB), (how, len(got.partition(b"\r\n\r\n")[2])), "the end, and bytes of the answer")

    s.check("gets-all-of-its-last-answer", gets_it)


def deaf_beside_others(s):
    """In Bolt the callers of an endpoint share a connection to it. One that does not read must not stop the others."""
    held = []
    services = BoltUpstream(s, answer=lambda frame: held.append(frame) if frame.content == b"later" else
                            wire.answer(frame, frame.content))
    port = free_port()
    proxy = Proxy(s, "sidecar", [bolt(port, {"echo": "calls"})], [cluster("calls", services.port, True)])
    good = BoltClient(port)
    expect(b"ahoy", good.call("echo").content)

    def others_go_on():
        later = good.send("echo", b"later", timeout=20000)
        await_true("the call is at the upstream", lambda: held)
        crowd.append(pours(port))
        worst = max(timed(good, b"%d" % i) for i in range(100))
        tell(f"beside a deaf caller of the same endpoint the slowest of 100 calls took {worst * 1000:.0f} ms")
        if worst > 1:
            raise Failed(f"a call took {worst:.1f} s beside a deaf caller")
        began = time.monotonic()
        services.server.loop.call_soon_threadsafe(held[0].line.transport.write, wire.answer(held[0], b"at last"))
        found = good.answers(1)
        expect(b"at last", found[later].content)
        tell(f"the answer on the line that it blocked came after {time.monotonic() - began:.1f} s")
        if time.monotonic() - began > 6:
            raise Failed(f"an answer was kept back for {time.monotonic() - began:.1f} s")

    def nibbles():
        """One that reads a little now and then, so that it is never quite stuck."""
        sock = pours(port)
        crowd.append(sock)
        took, end = [], time.monotonic() + 4
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sock.recv(1 << 16)
            took.append(timed(good, b"beside"))
        tell(f"beside one that nibbles: p99 {quantile(took, 0.99) * 1000:.0f} ms, "
             f"the slowest {max(took) * 1000:.0f} ms")
        if max(took) > 4:
            raise Failed(f"a call took {max(took):.1f} s beside a caller that nibbles")

    crowd = []
    s.check("others-go-on", others_go_on)
    s.check("others-go-on-beside-one-that-nibbles", nibbles)
    s.check("it-is-cut-and-counted", await_true, "its calls are counted",
            lambda: proxy.counter("sampan.reason.STALLED") > 0, 10)
    close_all(crowd)
    good.close()
    s.check("descriptors-come-back", lambda: proxy.expect_rest(len(services.lines) + 2))


def pours(port):
    """Sends 18 MiB of calls as far as they are taken, and leaves the answers where they are."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        sock.sendall(b"".join(wire.call(i, "echo", b"x" * 60000, timeout=60000) for i in range(1, 300)))
    sock.setblocking(False)
    return sock


def timed(client, content):
    began = time.monotonic()
    frame = client.call("echo", content, timeout=15000)
    expect((0, content), (frame.status, frame.content), f"status ({frame.reason}) and content")
    return time.monotonic() - began
