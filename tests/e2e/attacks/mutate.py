"""S3: requests and frames that chance has broken, judged by what the upstream's strict reader receives.

Each run has another seed, which is printed; `ATTACK_SEED=N` repeats one.
"""

import asyncio
import os
import random
import socket
import struct

from attacks import wire
from attacks.house import Proxy, bolt, cluster, http, tell, to
from attacks.peers import BoltClient, BoltUpstream, Recorder, Server, ask, dial, read_all, talk
from harness import Failed, expect, free_port

REQUESTS, FRAMES, ANSWERS = 3000, 2000, 800
GOOD = [
    b"GET /a?b=c HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\nHost: test:80\r\nConnection: keep-alive, x\r\nX: y\r\n\r\n",
    b"PUT /e HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"OPTIONS http://test/o HTTP/1.1\r\nHost: test\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"DELETE /d HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n",
]
SPICE = [
    b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\x7f", b"\xff", b"0", b"-", b"+",
    b"\r\n ", b"\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: other\r\n",
    b"chunked", b"_", b"Connection: close\r\n", b"%00", b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"]


def mutated(rng, data):
    """One to three changes: a byte, a piece put in, a piece left out, a piece doubled, two pieces swapped."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind in (1, 2):
            data[at:at] = rng.choice(SPICE)
        elif kind == 3:
            del data[at:at + rng.randrange(1, 8)]
        elif kind == 4:
            data[at:at] = data[at:at + rng.randrange(1, 40)]
        else:
            data[at:at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)])
        if not data:
            data += b"x"
    return bytes(data)


def seed():
    return int(os.environ.get("ATTACK_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 32)


def requests(s):
    """What arrives is read by a strict reader without a fault, and each that arrives is answered once."""
    upstream = Recorder(s, answer=lambda request: request.target)
    far, near = free_port(), free_port()
    last = Proxy(s, "last", [http(far, [to("out")])], [cluster("out", upstream.port)])
    first = Proxy(s, "first", [http(near, [to("out")])], [cluster("out", far)])
    number = seed()
    rng = random.Random(number)
    tell(f"ATTACK_SEED={number}")

    def broken():
        passed = refused = 0
        for _ in range(REQUESTS):
            mark = upstream.count()
            sent = b"".join(mutated(rng, rng.choice(GOOD)) if rng.random() < 0.8 else rng.choice(GOOD)
                            for _ in range(rng.choice((1, 1, 2, 3))))
            got, how = talk(rng.choice((near, far)), sent)
            arrived = upstream.since(mark)
            why = faulty(upstream, got, how, arrived)
            if why:
                raise Failed(f"ATTACK_SEED={number}: {why}: sent {sent!r}, got {got!r}")
            passed += len(arrived)
            refused += not arrived
        tell(f"{REQUESTS} connections of broken requests: {passed} requests passed, {refused} connections had none")
        if not passed or not refused:
            raise Failed("chance broke all or none")

    s.check(f"{REQUESTS}-broken-requests", broken)
    s.check("an-honest-call-passes", lambda: expect(b"/honest", ask(near, "/honest").body))
    s.check("descriptors-come-back", last.expect_rest, 6)
    s.check("descriptors-come-back-in-the-chain", first.expect_rest, 6)


def faulty(upstream, got, how, arrived):
    """None, or what must not be."""
    if upstream.faults:
        return f"the upstream received {upstream.faults[0]}"
    if how == "open":
        return "the connection stayed open"
    try:
        answers = wire.responses(got, [request.method for request in arrived])
    except (wire.Ambiguous, wire.More) as err:
        return f"the answers cannot be read: {type(err).__name__} {err}"
    good = [answer for answer in answers if answer.status == 200]
    if len(good) > len(arrived):
        return f"{len(good)} answers to {len(arrived)} requests"
    for answer, request in zip(good, arrived):
        if request.method != b"HEAD" and answer.body != request.target and answer.whole:
            return f"the answer {answer.body!r} belongs to another request than {request.target!r}"
    return None


def frames(s):
    """Bolt frames that chance has broken; a good caller beside them keeps its answers."""
    services = BoltUpstream(s)
    port = free_port()
    proxy = Proxy(s, "sidecar", [bolt(port, {"echo": "calls"})], [cluster("calls", services.port, True)])
    number = seed()
    rng = random.Random(number)
    tell(f"ATTACK_SEED={number}")

    def broken():
        answered = cut = 0
        for i in range(FRAMES):
            v = rng.choice((1, 2))
            whole = [wire.call(n, "echo", b"x" * rng.randrange(200), v=v, oneway=rng.random() < 0.1) for n in (1, 2, 3)]
            at = rng.randrange(3)
            whole[at] = bent(rng, whole[at], v)
            with dial(port) as sock:
                sock.sendall(b"".join(whole))
                sock.shutdown(socket.SHUT_WR)
                got, how = read_all(sock)
            try:
                found, rest = wire.frames(got)
            except wire.Ambiguous as err:
                raise Failed(f"ATTACK_SEED={number}, {i}: the answer is no frame: {err}") from err
            if services.faults or how == "open" or rest:
                raise Failed(f"ATTACK_SEED={number}, {i}: {services.faults[:1]}, {how}, {len(rest)} bytes of a frame")
            ids = [frame.id for frame in found if frame.command == 2]
            if len(ids) > 3:
                raise Failed(f"ATTACK_SEED={number}, {i}: {len(ids)} answers to 3 calls")
            answered += len(ids)
            cut += not ids
        tell(f"{FRAMES} connections with a broken frame: {answered} answers, {cut} had none")
        if not answered:
            raise Failed("no call passed")

    s.check(f"{FRAMES}-broken-frames", broken)
    s.check("descriptors-come-back", proxy.expect_rest, 6)


def bent(rng, frame, v):
    """A length that lies, or anything else."""
    frame = bytearray(frame)
    if rng.random() < 0.5:
        at = (14 if v == 1 else 16) + rng.choice((0, 2, 4))
        value = rng.choice((0, 1, 127, 255, 32767, 32768, 65535, rng.randrange(65536)))
        struct.pack_into(">H", frame, at, value)
        return bytes(frame)
    for _ in range(rng.randrange(1, 4)):
        frame[rng.randrange(min(len(frame), 90))] = rng.randrange(256)
    return bytes(frame)


ANSWERED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello until the end",
]


class Mutant(asyncio.Protocol):
    """Answers each request with something that chance has broken, and hangs up now and then."""

    def __init__(self, rng):
        self.rng = rng
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if b"\r\n\r\n" not in data:
            return
        answer = self.rng.choice(ANSWERED)
        self.transport.write(mutated(self.rng, answer) if self.rng.random() < 0.9 else answer)
        if b"close" in answer or self.rng.random() < 0.5:
            self.transport.close()


def answers(s):
    """Upstreams that chance has broken: the caller reads one answer in good form, or sees that it is cut."""
    number = seed()
    rng = random.Random(number)
    tell(f"ATTACK_SEED={number}")
    mutant, healthy = Server(s, lambda: Mutant(rng)), Recorder(s, answer=lambda request: request.target)
    frames_of = BoltUpstream(s, answer=lambda frame: bent(rng, wire.answer(frame, b"x" * 50), frame.v))
    far, near, rpc = free_port(), free_port(), free_port()
    mutant_route = to("mutant", "/mutant/", timeout="0.15s")
    last = Proxy(s, "last", [http(far, [mutant_route, to("out")]),
                             bolt(rpc, {"echo": ("calls", {"timeout": "0.15s"})}, name="rpc")],
                 [cluster("mutant", mutant.port), cluster("out", healthy.port), cluster("calls", frames_of.port, True)])
    first = Proxy(s, "first", [http(near, "out")], [cluster("out", far)])

    def broken():
        good = 0
        for i in range(ANSWERS):
            got, how = talk(rng.choice((near, far)), b"GET /mutant/ HTTP/1.1\r\nHost: test\r\n\r\n", seconds=8)
            try:
                found = wire.responses(got)
            except (wire.Ambiguous, wire.More) as err:
                raise Failed(f"ATTACK_SEED={number}, {i}: {type(err).__name__} {err}: {got!r}, {how}") from err
            if how == "open" or len(found) > 1:
                raise Failed(f"ATTACK_SEED={number}, {i}: {len(found)} answers, {how}: {got!r}")
            good += bool(found)
            if i % 10 == 0:
                expect(b"/honest", ask(near, "/honest").body)
        tell(f"{ANSWERS} broken answers: {good} calls were answered, the rest were cut")

    def broken_frames():
        for i in range(ANSWERS // 10):
            client, v = BoltClient(rpc), rng.choice((1, 2))
            numbers = {client.send("echo", v=v, timeout=5000) for _ in range(3)}
            client.sock.shutdown(socket.SHUT_WR)
            got, how = read_all(client.sock, 8)
            found, rest = wire.frames(got)
            ids = [frame.id for frame in found]
            if how == "open" or len(set(ids)) < len(ids) or not set(ids) <= numbers:
                raise Failed(f"ATTACK_SEED={number}, {i}: {how}, ids {ids}, {len(rest)} bytes of one more")
            client.close()

    s.check(f"{ANSWERS}-broken-answers", broken)
    s.check(f"{ANSWERS // 10}-times-broken-frames", broken_frames)
    s.check("an-honest-call-passes", lambda: expect(b"/honest", ask(near, "/honest").body))
    s.check("descriptors-come-back", last.expect_rest, 16)
    s.check("descriptors-come-back-in-the-chain", first.expect_rest, 16)
