"""Floods: connections, resets, pipelines 10,000 deep, chunks and segments of one byte."""

import re
import select
import sys
import time

from attacks import wire
from attacks.house import Proxy, Watch, bolt, cluster, http, is_sanitized, tell, to
from attacks.peers import (BoltUpstream, Recorder, Scripted, ask, cut, dial, innocent, read_answer, read_head, script,
                           unhurt)
from harness import Failed, expect, free_port

MIB = 1 << 20
SECONDS = 1.5
DEPTH = 10000
CHUNKS = 200000


def connections(s):
    """Two children connect as fast as they can; innocent callers are served beside them."""
    upstream, services = Recorder(s), BoltUpstream(s)
    port, rpc = free_port(), free_port()
    proxy = Proxy(s, "sidecar",
                  [http(port, [to("resets", "/resets/"), to("out")]), bolt(rpc, {"echo": "calls"}, "rpc")],
                  [cluster("out", upstream.port), cluster("calls", services.port, True),
                   cluster("resets", Scripted(s, lambda sock, number: (read_head(sock), cut(sock))).port)])
    before = innocent(port, 200)
    watch = Watch(proxy)
    for kind, at in (("fin", port), ("rst", port), ("request", port), ("half", port), ("bolt", rpc)):
        s.check(f"{kind}-flood", flooded, s, proxy, port, at, kind, before, watch)
    s.check("upstream-that-resets-every-call", resets, port)
    watch.look()
    s.check("memory", watch.expect, 16 * MIB, "floods:")
    s.check("descriptors-come-back", lambda: proxy.expect_rest(4 + upstream.open()))  # the pool keeps what it opened
    s.check("nobody-is-counted-in", nobody_inside, proxy)


def flooded(s, proxy, port, at, kind, before, watch):
    argv = [sys.executable, script("flood.py"), str(at), str(SECONDS), kind]
    children = [s.spawn(f"flood-{kind}-{i}", argv) for i in range(2)]
    took = innocent(port, 100, seconds=SECONDS)
    for child in children:
        child.wait_for_line("^done", SECONDS + 20)
    count = sum(int(re.search(r"^done (\d+)", child.text(), re.M)[1]) for child in children)
    watch.look()
    tell(f"{kind}: {count / SECONDS:.0f} connections a second")
    if count < 100:
        raise Failed(f"a flood of {count} connections is none")
    unhurt(before, took, f"the {kind} flood")
    expect(200, ask(port).status)


def resets(port):
    with dial(port) as sock:
        for i in range(1000):
            got = ask(port, f"/resets/{i}", sock=sock)
            expect((503, "UPSTREAM_RESET"), (got.status, got.reason))


def nobody_inside(proxy):
    found = proxy.stats()
    expect((0, 0), (found["sampan.streams_active"], found["http.in.downstream_rq_active"]), "calls under way")
    if found["sampan.connections_active"] > 2:
        raise Failed(f"{found['sampan.connections_active']} connections are counted in, nobody is there")


def depths(s):
    """Much in one connection: its cost is told beside that of the same calls one after the other."""
    upstream, services = Recorder(s, answer=lambda request: request.target), BoltUpstream(s)
    counts = Scripted(s, count_chunks)
    port, rpc = free_port(), free_port()
    proxy = Proxy(s, "sidecar",
                  [http(port, [to("chunks", "/chunks/"), to("out")]), bolt(rpc, {"echo": "calls"}, "rpc")],
                  [cluster("out", upstream.port), cluster("calls", services.port, True),
                   cluster("chunks", counts.port)])
    watch = Watch(proxy)
    s.check("pipeline-of-10000", pipelined, port, proxy)
    s.check("bolt-10000-under-way", bolt_deep, rpc)
    s.check("chunks-of-one-byte", tiny_chunks, port, proxy, 0)
    s.check("segments-of-one-chunk", tiny_chunks, port, proxy, 6)
    s.check("bolt-byte-by-byte", bolt_bytes, rpc)
    watch.look()
    s.check("memory", watch.expect, 16 * MIB, "depths:")
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("bolt-upstream-read-no-fault", services.expect_no_fault)
    s.check("descriptors-come-back", proxy.expect_rest, 8)


def get(i):
    return b"GET /n/%d HTTP/1.1\r\nHost: test\r\n\r\n" % i


def exchange(sock, data, until, seconds=60):
    """Sends while it reads; all that was read when `until(bytes of it)`."""
    got, at, end = bytearray(), 0, time.monotonic() + seconds
    sock.setblocking(False)
    while not until(got):
        if time.monotonic() > end:
            raise Failed(f"only {len(got)} bytes of answers after {seconds} s")
        ready, room, _ = select.select([sock], [sock] if at < len(data) else [], [], 1)
        if room:
            at += sock.send(data[at:at + 65536])
        if ready:
            part = sock.recv(1 << 18)
            if not part:
                break
            got += part
    return bytes(got)


def pipelined(port, proxy):
    used = proxy.cpu()
    with dial(port) as sock:
        for i in range(2000):
            expect(b"/n/%d" % i, ask(port, f"/n/{i}", sock=sock).body)
    alone = (proxy.cpu() - used) / 2000
    used = proxy.cpu()
    with dial(port) as sock:
        got = exchange(sock, b"".join(get(i) for i in range(DEPTH)), lambda got: got.endswith(b"/n/%d" % (DEPTH - 1)))
    deep = (proxy.cpu() - used) / DEPTH
    expect([b"/n/%d" % i for i in range(DEPTH)], [answer.body for answer in wire.responses(got)])
    tell(f"a call costs {alone * 1e6:.0f} us of processor alone, {deep * 1e6:.0f} us in a pipeline of {DEPTH}")
    if deep > 4 * alone + 20e-6:
        raise Failed(f"a call in a deep pipeline costs {deep * 1e6:.0f} us, alone {alone * 1e6:.0f} us")


def bolt_deep(port):
    """More calls at once than a line of the pool holds; each has its own answer, or a refusal with its id."""
    reader = wire.Frames()
    found = {}

    def all_there(got):
        for frame in reader.feed(bytes(got)):
            found[frame.id] = frame
        got.clear()
        return len(found) == DEPTH

    with dial(port) as sock:
        exchange(sock, b"".join(wire.call(i, "echo", b"%d" % i, timeout=30000) for i in range(1, DEPTH + 1)), all_there)
    good = 0
    for i, frame in found.items():
        if frame.status == 0:
            expect(b"%d" % i, frame.content)
            good += 1
        elif frame.reason not in ("BREAKER", "POOL_FULL"):
            raise Failed(f"call {i} was refused with {frame.reason}")
    tell(f"{good} of {DEPTH} Bolt calls under way at once were served, the rest refused in good form")
    if good < 1000:
        raise Failed(f"only {good} of {DEPTH} calls were served")


def count_chunks(sock, number):
    """Reads one chunked or sized request to its end, then answers how many bytes its body had."""
    while True:
        got = bytearray(read_head(sock))
        head, _, _ = bytes(got).partition(b"\r\n\r\n")
        sized = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while not (len(got) >= len(head) + 4 + int(sized[1]) if sized else got.endswith(b"\r\n0\r\n\r\n")):
            part = sock.recv(1 << 18)
            if not part:
                return
            got += part
        body = b"%d" % len(wire.Requests().feed(bytes(got))[0].body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def tiny_chunks(port, proxy, step):
    """The same bytes on the wire as one body of a known length, and as chunks of one byte (in segments of `step`)."""
    count = CHUNKS // (20 if step else 1)
    plain = b"x" * (6 * count)
    head = b"POST /chunks/ HTTP/1.1\r\nHost: test\r\n"
    used = proxy.cpu()
    with dial(port) as sock:
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(plain))
        send_in(sock, plain, step)
        expect(b"%d" % len(plain), read_answer(sock).body)
    usual = proxy.cpu() - used
    used = proxy.cpu()
    with dial(port) as sock:
        sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        send_in(sock, b"1\r\nx\r\n" * count + b"0\r\n\r\n", step)
        expect(b"%d" % count, read_answer(sock, seconds=60).body)
    tiny = proxy.cpu() - used
    tell(f"{count} chunks of a byte: {tiny * 1e6 / count:.1f} us of processor each; {6 * count} bytes "
         f"with a length {usual * 1000:.0f} ms, chunked {tiny * 1000:.0f} ms")
    if tiny > count * 40e-6 * (10 if is_sanitized() else 1) + usual:
        raise Failed(f"a chunk of one byte costs {tiny * 1e6 / count:.0f} us of processor")


def send_in(sock, data, step):
    for at in range(0, len(data), step or len(data)):
        sock.sendall(data[at:at + (step or len(data))])


def bolt_bytes(port):
    with dial(port) as sock:
        send_in(sock, b"".join(wire.call(i, "echo", b"%d" % i) for i in range(1, 21)), 1)
        reader, found = wire.Frames(), []
        while len(found) < 20:
            part = sock.recv(1 << 16)
            if not part:
                raise Failed(f"the connection ended behind {len(found)} answers")
            found += reader.feed(part)
    expect({i: b"%d" % i for i in range(1, 21)}, {frame.id: frame.content for frame in found})
