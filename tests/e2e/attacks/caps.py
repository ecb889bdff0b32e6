"""S15: the process at its caps: connections, descriptors, memory, a cluster's own limits. Admin stays reachable."""

import os
import resource
import selectors
import socket
import threading
import time

from attacks.house import Proxy, Watch, bolt, cluster, http, limits, says, tcp, tell, to
from attacks.peers import (BoltClient, BoltUpstream, Recorder, Scripted, ask, await_true, close_all, dial, read_answer,
                           read_head)
from harness import Failed, expect, free_port

MIB = 1 << 20
FEW = 256       # descriptors of the sidecar that carries bulk
FLOWS = 150
CAP = 20
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def connections(s):
    """At the process's cap callers wait outside, in the kernel's queue; who leaves lets one in."""
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, [says("/")])], settings={"caps": {"max_connections": CAP}})
    inside = [dial(port) for _ in range(CAP)]
    outside = []

    def all_inside():
        for sock in inside:
            expect(200, ask(port, sock=sock).status)

    def outside_waits():
        """For longer than the tick at which accepting is looked at again."""
        for _ in range(5):
            outside.append(dial(port))
            outside[-1].sendall(GET)
        for sock in outside:
            sock.settimeout(0.5)
            try:
                got = sock.recv(1)
                raise Failed(f"a connection over the cap was {'answered' if got else 'cut'}, it is to wait")
            except TimeoutError:
                pass

    def goes_on():
        close_all(inside)
        for sock in outside:
            expect(200, read_answer(sock).status)

    s.check("the-cap-is-let-in", all_inside)
    s.check("one-more-waits", outside_waits)
    s.check("those-inside-go-on", all_inside)
    s.check("admin-answers-meanwhile", lambda: expect(200, proxy.ask("/stats")[0]))
    s.check("admin-on-loopback-answers-meanwhile", lambda: proxy.admin("/stats"))
    s.check("nobody-was-cut", nothing, proxy, "sampan.reason.LISTENER_FULL")
    s.check("the-pause-is-counted", lambda: some(proxy, f"listener.127.0.0.1_{port}.accept_paused"))
    s.check("it-rests-without-spinning", rests, proxy)
    s.check("accepting-goes-on", goes_on)
    close_all(outside)
    s.check("descriptors-come-back", proxy.expect_rest)


def nothing(proxy, name):
    expect(0, proxy.counter(name), name)


def some(proxy, name):
    if proxy.counter(name) < 1:
        raise Failed(f"{name} is 0")


def some_of(proxy, *names):
    if not any(proxy.counter(name) for name in names):
        raise Failed(f"{' and '.join(names)} are 0")


def rests(proxy, seconds=1.5, most=0.3):
    """It may not use more than a part of a processor."""
    before, began = proxy.cpu(), time.monotonic()
    time.sleep(seconds)
    used = (proxy.cpu() - before) / (time.monotonic() - began)
    tell(f"{proxy.name}: {used * 100:.0f} % of a processor meanwhile")
    if used > most:
        raise Failed(f"{used * 100:.0f} % of a processor for nothing")


def descriptors(s):
    """The limit is taken away while it runs: it neither spins nor ends, and goes on as soon as it can."""
    upstream = Recorder(s)
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, [says("/self"), to("out")])], [cluster("out", upstream.port)])
    expect(200, ask(port, "/self").status)
    few = proxy.fds() + 12
    hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (few, hard))
    crowd = []

    def comes():
        for _ in range(60):
            crowd.append(dial(port))
        await_true("it has run out of descriptors", lambda: proxy.fds() >= few)

    def upstream_has_none():
        """Those inside are answered; a call that needs one more is told why."""
        got = ask(port, "/self", sock=crowd[0])
        expect(200, got.status)
        got = ask(port, "/x", sock=crowd[1])
        expect((503, "DESCRIPTORS"), (got.status, got.reason))

    def recovers():
        close_all(crowd)
        for _ in range(20):
            expect(200, ask(port, "/x").status)

    s.check("a-crowd-comes", comes)
    s.check("it-rests-without-spinning", rests, proxy)
    s.check("calls-inside-go-on-and-are-told", upstream_has_none)
    s.check("it-recovers", recovers)
    s.check("it-is-counted", lambda: some(proxy, "sampan.accept_errors"))
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (hard, hard))
    s.check("descriptors-come-back", proxy.expect_rest, 4)


def bulk_flows(s):
    """More raw bulk than the descriptors suffice for, pipes included: admin still answers, and all flows end well."""
    go, port = threading.Event(), free_port()
    block = bytes(range(256)) * 256

    def counts(sock, number):
        """Reads nothing until it is told, so that bytes stay where the sidecar put them; then says how many came."""
        sock.settimeout(60)
        go.wait(60)
        got, room = 0, bytearray(MIB)
        while n := sock.recv_into(room):
            got += n
        sock.sendall(str(got).encode())

    upstream = Scripted(s, counts, backlog=FLOWS)
    proxy = Proxy(s, "sidecar", [tcp(port, "out")], [cluster("out", upstream.port)], workers=2,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW)))
    crowd = Pourers(port, block, 8 * MIB)

    def pours():
        crowd.pour(until_stuck=1.5)
        names = [os.readlink(f"/proc/{proxy.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{proxy.pid}/fd")]
        pipes, more = sum(name.startswith("pipe:") for name in names), crowd.sent >> 20
        tell(f"{FLOWS} callers, {upstream.count} let in, {more} MiB sent, {len(names)} descriptors, {pipes} of pipes")
        if upstream.count < 60:
            raise Failed(f"only {upstream.count} flows are under way")
        if not pipes:
            raise Failed("no pipe is in use: nothing of this was tried")

    def admin_answers():
        for _ in range(5):
            expect(200, proxy.ask("/stats")[0])
            proxy.admin("/stats/prometheus")

    def ends():
        go.set()
        crowd.pour()
        expect([str(8 * MIB).encode()] * FLOWS, crowd.answers(), "what upstreams counted")

    s.check("bulk-is-held", pours)
    s.check("admin-answers", admin_answers)
    s.check("it-rests-without-spinning", rests, proxy)
    s.check("all-flows-end-well", ends)
    s.check("admin-answers-afterwards", admin_answers)
    close_all(crowd.socks)
    s.check("descriptors-come-back", proxy.expect_rest, 40)  # the loops keep a few pipes


class Pourers:
    """Callers that each send so many bytes as fast as they are taken, and then end their direction."""

    def __init__(self, port, block, most):
        self.block, self.most, self.sent = block, most, 0
        self.socks = [dial(port) for _ in range(FLOWS)]
        self.left = dict.fromkeys(self.socks, most)
        self.select = selectors.DefaultSelector()
        for sock in self.socks:
            sock.setblocking(False)
            self.select.register(sock, selectors.EVENT_WRITE)

    def pour(self, until_stuck=60):
        """Until all is sent, or nothing is taken for so long."""
        while self.left and (ready := self.select.select(until_stuck)):
            for key, _ in ready:
                self.send(key.fileobj)

    def send(self, sock):
        n = sock.send(self.block[:self.left[sock]])
        self.sent += n
        self.left[sock] -= n
        if not self.left[sock]:
            del self.left[sock]
            self.select.unregister(sock)
            sock.shutdown(socket.SHUT_WR)

    def answers(self):
        got = []
        for sock in self.socks:
            sock.settimeout(30)
            got.append(sock.recv(100))
        return got


def memory(s):
    """A cap of 8 MiB under callers whose upstream does not read: back-pressure or a reason, never more memory."""
    never_reads = Scripted(s, deaf, backlog=512)
    healthy = Recorder(s)
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, [to("deaf", "/deaf/"), to("healthy")])],
                  [cluster("deaf", never_reads.port), cluster("healthy", healthy.port)],
                  settings={"caps": {"memory_bytes": 8 * MIB}})
    expect(200, ask(port).status)
    watch = Watch(proxy)
    crowd = []

    def pours():
        for _ in range(100):
            sock = dial(port)
            sock.setblocking(False)
            crowd.append(sock)
            sock.send(b"POST /deaf/ HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n")
        block, end, sent = b"x" * 65536, time.monotonic() + 2, 0
        while time.monotonic() < end:
            for sock in list(crowd):
                try:
                    sent += sock.send(block)
                except BlockingIOError:
                    pass
                except OSError:
                    crowd.remove(sock)
                    sock.close()
            watch.look()
            time.sleep(0.02)
        tell(f"100 callers poured {sent >> 20} MiB into upstreams that do not read; {len(crowd)} still wait")

    def recovers():
        close_all(crowd)
        await_true("a call passes", lambda: ask(port).status == 200)

    s.check("callers-pour", pours)
    s.check("memory", watch.expect, 16 * MIB, "callers that pour:")
    s.check("it-recovers", recovers)
    s.check("descriptors-come-back", proxy.expect_rest, 6)


def deaf(sock, number):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    time.sleep(15)


def cluster_limits(s):
    """A cluster's own limits: calls over them are told at once, and are well-formed refusals."""
    slow, slow_bolt = Scripted(s, answers_late, backlog=64), BoltUpstream(s, answer=lambda frame: None)
    port, rpc = free_port(), free_port()
    proxy = Proxy(s, "sidecar", [
        http(port, [to("pool", "/pool/", timeout="8s"), to("calls", "/calls/", timeout="8s")]),
        bolt(rpc, {"echo": ("rpc", {"timeout": "8s"})}, name="rpc")],
        [cluster("pool", slow.port, **limits(max_connections=2, max_pending_requests=3)),
         cluster("calls", slow.port, **limits(max_requests=4)),
         cluster("rpc", slow_bolt.port, True, **limits(max_requests=4))])

    def refused(path, least, most, reason):
        socks = [dial(port) for _ in range(12)]
        for sock in socks:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        got = [read_answer(sock, seconds=15) for sock in socks]
        told = [answer for answer in got if answer.status == 503]
        expect({reason}, {answer.reason for answer in told}, "reasons")
        passed = len([answer for answer in got if answer.status == 200])
        expect(12, passed + len(told), "calls that passed, and those that were refused")
        if not least <= passed <= most:
            raise Failed(f"{passed} calls passed, not {least} to {most}")
        close_all(socks)

    def bolt_refused():
        client = BoltClient(rpc)
        numbers = [client.send("echo", timeout=500) for _ in range(12)]
        found = client.answers(12)
        expect(set(numbers), set(found))
        reasons = [frame.reason for frame in found.values()]
        expect((8, 4), (reasons.count("BREAKER"), reasons.count("TIMEOUT")))
        client.close()

    # A worker that has no line of its own, and gets none, has nothing that a call could wait for.
    full = ("cluster.pool.upstream_rq_pending_overflow", "cluster.pool.upstream_cx_overflow")
    s.check("connections-and-queue", refused, "/pool/", 3, 5, "POOL_FULL")  # who waits for its connect is pending
    s.check("calls-under-way", refused, "/calls/", 4, 4, "BREAKER")
    s.check("bolt-calls-under-way", bolt_refused)
    s.check("it-is-counted", lambda: (some_of(proxy, *full), some(proxy, "sampan.reason.BREAKER")))


def answers_late(sock, number):
    while True:
        read_head(sock)
        time.sleep(0.3)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
