"""Upstreams that are dead, slow, deaf, cut off or out of their minds: the caller gets the documented reason.

One sidecar stands before a dozen sick servers, a cluster for each; behind each call another one to the healthy
cluster shows that nothing else has suffered. The reasons are those of docs/reasons.md, the statuses too.
"""

import socket
import struct
import time

from attacks import wire
from attacks.house import Proxy, Watch, bolt, cluster, http, to
from attacks.peers import (BlackHole, BoltClient, BoltUpstream, Recorder, Scripted, ask, cut, dial, read_all, read_head,
                           talk)
from harness import Failed, expect, free_port

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def says(*parts, then=None):
    """An upstream that reads a request, says `parts`, and then does `then(sock)`."""
    def play(sock, number):
        read_head(sock)
        for part in parts:
            sock.sendall(part)
        if then:
            then(sock)
        else:
            sock.recv(1)
    return play


def closes(sock):
    sock.shutdown(socket.SHUT_WR)
    read_until_end(sock)


def read_until_end(sock):
    while sock.recv(1 << 16):
        pass


def once(*heads):
    return b"\r\n".join(heads) + b"\r\n\r\n"


# name -> (what plays on the upstream's connections, the status and the reason that the caller is told)
ANSWERED = {
    "closes-unasked": (lambda sock, number: closes(sock), 503, "UPSTREAM_CLOSED"),
    "closes-after-the-request": (says(then=closes), 503, "UPSTREAM_CLOSED"),
    "resets-after-the-request": (says(then=cut), 503, "UPSTREAM_RESET"),
    "resets-in-mid-head": (says(b"HTTP/1.1 200 OK\r\nContent-Le", then=cut), 503, "UPSTREAM_RESET"),
    "closes-in-mid-head": (says(b"HTTP/1.1 200 OK\r\nContent-Le", then=closes), 503, "UPSTREAM_CLOSED"),
    "garbage": (says(b"what is this?\r\n\r\n"), 502, "UPSTREAM_PROTOCOL"),
    "binary": (says(bytes(range(256)) * 8), 502, "UPSTREAM_PROTOCOL"),
    "no-status": (says(once(b"HTTP/1.1 OK")), 502, "UPSTREAM_PROTOCOL"),
    "status-099": (says(once(b"HTTP/1.1 099 Low", b"Content-Length: 0")), 502, "UPSTREAM_PROTOCOL"),
    "http-2": (says(once(b"HTTP/2.0 200 OK", b"Content-Length: 0")), 502, "UPSTREAM_PROTOCOL"),
    "two-lengths": (says(once(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Content-Length: 3") + b"abc"),
                    502, "UPSTREAM_PROTOCOL"),
    "length-and-chunked": (says(once(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"ok"),
                           502, "UPSTREAM_PROTOCOL"),
    "length-minus-one": (says(once(b"HTTP/1.1 200 OK", b"Content-Length: -1")), 502, "UPSTREAM_PROTOCOL"),
    "length-2^64": (says(once(b"HTTP/1.1 200 OK", b"Content-Length: 18446744073709551616")), 502, "UPSTREAM_PROTOCOL"),
    "folded-header": (says(once(b"HTTP/1.1 200 OK", b"a: b", b" c", b"Content-Length: 0")), 502, "UPSTREAM_PROTOCOL"),
    "lf-alone": (says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), 502, "UPSTREAM_PROTOCOL"),
    "nul-in-a-header": (says(once(b"HTTP/1.1 200 OK", b"a: b\0c", b"Content-Length: 0")), 502, "UPSTREAM_PROTOCOL"),
    "10000-headers": (says(once(b"HTTP/1.1 200 OK", *[b"h: v"] * 10000, b"Content-Length: 0")),
                      502, "UPSTREAM_PROTOCOL"),
    "head-of-4-mib": (says(b"HTTP/1.1 200 OK\r\na: ", *[b"b" * MIB] * 4, b"\r\n\r\n"), 502, "UPSTREAM_PROTOCOL"),
    "switches-unasked": (says(once(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: x", b"Connection: upgrade")),
                         502, "UPSTREAM_PROTOCOL"),
    "never-answers": (says(), 504, "TIMEOUT"),
    "dribbles-its-head": (says(b"HTTP/1.1 2", then=lambda sock: dribble(sock)), 504, "TIMEOUT"),
}


def dribble(sock):
    for _ in range(100):
        sock.sendall(b"0")
        if sock.recv(1) == b"":
            return


# What has begun cannot be taken back: the caller sees that the answer is cut, and not a whole one.
CUT = {
    "resets-in-mid-body": says(once(b"HTTP/1.1 200 OK", b"Content-Length: 100") + b"half", then=cut),
    "closes-in-mid-body": says(once(b"HTTP/1.1 200 OK", b"Content-Length: 100") + b"half", then=closes),
    "resets-in-mid-chunk": says(once(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"5\r\nhal", then=cut),
    "closes-between-chunks": says(once(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"4\r\nhalf\r\n",
                                  then=closes),
    "breaks-a-chunk": says(once(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"4\r\nhalf\r\nzz\r\n"),
    "resets-before-the-close": says(once(b"HTTP/1.1 200 OK") + b"half", then=cut),
}


def http_upstreams(s):
    healthy = Recorder(s, answer=lambda request: b"%d" % len(request.body))
    routes, clusters = [], [cluster("healthy", healthy.port)]

    def add(name, port, **more):
        routes.append(to(name, f"/{name}/", timeout="1.5s"))
        clusters.append(cluster(name, port, **more))

    add("dead", free_port())
    add("black-hole", BlackHole(s).port, connect_timeout="0.5s")
    for name, (play, _, _) in ANSWERED.items():
        add(name, Scripted(s, play).port)
    for name, play in CUT.items():
        add(name, Scripted(s, play).port)
    early, double = Scripted(s, early_answer), Scripted(s, two_answers)
    five, storm = Scripted(s, says_interims(5)), Scripted(s, says_interims(100000))
    endless = Scripted(s, interim_without_end)
    for name, upstream in (("early", early), ("double", double), ("five", five), ("storm", storm),
                           ("endless", endless)):
        add(name, upstream.port)
    port = free_port()
    proxy = Proxy(s, "sidecar", [http(port, [*routes, to("healthy")])], clusters)

    def refused(name, status, reason):
        began = time.monotonic()
        answer = ask(port, f"/{name}/")
        expect((status, reason), (answer.status, answer.reason))
        if time.monotonic() - began > 5:
            raise Failed(f"the answer took {time.monotonic() - began:.1f} s")
        expect(200, ask(port).status, "the healthy cluster beside it")

    s.check("dead", refused, "dead", 503, "CONNECT")
    s.check("black-hole", refused, "black-hole", 503, "CONNECT_TIMEOUT")
    for name, (_, status, reason) in ANSWERED.items():
        s.check(name, refused, name, status, reason)
    for name in CUT:
        s.check(name, is_cut, port, name)
    s.check("answers-before-the-request-is-whole", answers_early, port, early)
    s.check("two-answers-to-one-request", no_answer_of_anothers, port)
    s.check("five-interim-answers-pass", interims, port, proxy, "five", 200, None)
    s.check("100000-interim-answers-are-refused", interims, port, proxy, "storm", 502, "UPSTREAM_PROTOCOL")
    s.check("interim-answers-without-end-to-a-deaf-caller", interims_are_bounded, port, proxy)
    s.check("caller-goes-and-the-upstream-hears", caller_goes, port, proxy)
    s.check("healthy-read-no-fault", healthy.expect_no_fault)
    s.check("descriptors-come-back", proxy.expect_rest, 4)


def is_cut(port, name):
    """The beginning arrives, its end does not, and the caller can tell."""
    got, how = talk(port, f"GET /{name}/ HTTP/1.1\r\nHost: test\r\n\r\n".encode(), half_close=False)
    if how == "open":
        raise Failed("the connection stayed open")
    if not got:  # half an answer that had not left yet
        expect("reset", how)
        return
    answer = wire.responses(got)[0]
    expect(200, answer.status)
    if answer.whole and (how != "reset" or b"half" not in answer.body):
        raise Failed(f"a whole answer was made of half of one: {got!r}, then {how}")
    expect(200, ask(port).status, "the healthy cluster beside it")


def early_answer(sock, number):
    read_head(sock)
    sock.sendall(once(b"HTTP/1.1 413 Too Large", b"Content-Length: 0", b"Connection: close"))
    closes(sock)


def answers_early(port, upstream):
    """The answer reaches the caller while it still sends, and its connection is not used for a next call."""
    with dial(port) as sock:
        sock.sendall(b"POST /early/ HTTP/1.1\r\nHost: test\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1000)
        got, how = read_all(sock, 10)
    answers = wire.responses(got)
    expect([413], [answer.status for answer in answers])
    expect("close", (answers[0].value("connection") or "").lower(), "Connection of the answer")
    if how == "open":
        raise Failed("the connection stayed open, in the middle of a request")
    expect(200, ask(port).status, "the healthy cluster beside it")


def two_answers(sock, number):
    """To the first request it says two answers; later connections are honest."""
    while True:
        target = read_head(sock).split(b" ")[1]
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))
        if target.endswith(b"/0"):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")


def no_answer_of_anothers(port):
    with dial(port) as sock:
        for i in (0, 1, 2, 0, 3, 4):
            expect(f"/double/{i}".encode(), ask(port, f"/double/{i}", sock=sock).body)
            time.sleep(0.05)  # the answer to nothing is to have arrived: what comes later nobody can tell


def says_interims(count):
    return says(once(b"HTTP/1.1 103 Early Hints", b"link: </a>") * count + OK)


def interim_without_end(sock, number):
    read_head(sock)
    many = once(b"HTTP/1.1 103 Early Hints", b"link: </a>") * 1000
    while True:
        sock.sendall(many)


def interims(port, proxy, name, status, reason):
    watch = Watch(proxy)
    answer = ask(port, f"/{name}/")
    expect((status, reason), (answer.status, answer.reason))
    watch.look()
    watch.expect(8 * MIB, "interim answers:")


def interims_are_bounded(port, proxy):
    """Nobody reads them: they must not pile up, and the route's time ends it."""
    watch = Watch(proxy)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET /endless/ HTTP/1.1\r\nHost: test\r\n\r\n")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            watch.look()
            time.sleep(0.05)
    watch.expect(8 * MIB, "interim answers without end:")


def caller_goes(port, proxy):
    """A caller that leaves takes its call along: the upstream's connection ends, it is not left to hang."""
    with dial(port) as sock:
        sock.sendall(b"GET /never-answers/ HTTP/1.1\r\nHost: test\r\n\r\n")
        time.sleep(0.1)
        cut(sock)
    proxy.expect_rest(4, 5)


# ---- Bolt ----

def bolt_upstreams(s):
    healthy = BoltUpstream(s, answer=answer_or_not)
    services, clusters = {"healthy": ("healthy", {"timeout": "20s"})}, [cluster("healthy", healthy.port, True)]
    ill = {
        "dead": (free_port(), "CONNECT"),
        "black-hole": (BlackHole(s).port, "CONNECT_TIMEOUT"),
        "resets": (Scripted(s, bolt_says(then=cut)).port, "UPSTREAM_RESET"),
        "closes": (Scripted(s, bolt_says(then=closes)).port, "UPSTREAM_CLOSED"),
        "resets-in-mid-frame": (Scripted(s, bolt_says(lambda f: wire.answer(f, b"x" * 100)[:50], cut)).port,
                                "UPSTREAM_RESET"),
        "garbage": (Scripted(s, bolt_says(lambda f: b"\x09" * 64)).port, "UPSTREAM_PROTOCOL"),
        "http": (Scripted(s, bolt_says(lambda f: OK)).port, "UPSTREAM_PROTOCOL"),
        "lengths-that-java-cannot": (Scripted(s, bolt_says(too_long)).port, "UPSTREAM_PROTOCOL"),
        "block-that-lies": (Scripted(s, bolt_says(block_lies)).port, "UPSTREAM_PROTOCOL"),
        "another-id": (Scripted(s, bolt_says(another_id)).port, "TIMEOUT"),
        "never-answers": (Scripted(s, bolt_says()).port, "TIMEOUT"),
    }
    for name, (upstream, _) in ill.items():
        services[name] = (name, {"timeout": "1.5s"})
        clusters.append(cluster(name, upstream, True, connect_timeout="0.5s"))
    twice, half = Scripted(s, answers_twice), Scripted(s, half_answers)
    for name, upstream in (("twice", twice), ("half", half)):
        services[name] = (name, {"timeout": "3s"})
        clusters.append(cluster(name, upstream.port, True))
    port = free_port()
    proxy = Proxy(s, "sidecar", [bolt(port, services)], clusters)
    for v in (1, 2):
        for name, (_, reason) in ill.items():
            s.check(f"v{v}-{name}", bolt_refused, port, name, reason, v)
        s.check(f"v{v}-unknown-service", bolt_refused, port, "unknown", "NO_ROUTE", v)
    s.check("a-call-that-is-late-hurts-no-other", late_call, port)
    s.check("answered-twice-counts-once", first_counts, port)
    s.check("half-an-answer-then-the-end", bolt_half, port)
    s.check("one-way-to-the-dead-says-nothing", oneway_to_the_dead, port)
    s.check("100-kinds-side-by-side", side_by_side, port, ill)
    s.check("healthy-read-no-fault", healthy.expect_no_fault)
    s.check("descriptors-come-back", proxy.expect_rest, 12)  # some of the ill keep their connection


def answer_or_not(frame):
    """What begins with `late` gets no answer."""
    return None if frame.content.startswith(b"late") else wire.answer(frame, frame.content)


def read_frame(sock, data=b""):
    while True:
        found = wire.one_frame(data, 0) if data else None
        if found:
            return found[0], data[found[1]:]
        part = sock.recv(1 << 16)
        if not part:
            raise ConnectionError("ended before a frame")
        data += part


def bolt_says(make=None, then=None):
    """An upstream that reads one call, says what `make(frame)` gives, then does `then(sock)` or waits."""
    def play(sock, number):
        frame, _ = read_frame(sock)
        if make:
            sock.sendall(make(frame))
        if then:
            then(sock)
        else:
            read_until_end(sock)
    return play


def too_long(frame):
    said = bytearray(wire.answer(frame, b"x" * 10))
    at = 12 if frame.v == 1 else 14
    said[at:at + 2] = struct.pack(">H", 40000)
    return bytes(said)


def block_lies(frame):
    said = bytearray(wire.answer(frame, b"\x7f" * 8))
    at = 14 if frame.v == 1 else 16
    said[at:at + 6] = struct.pack(">HI", 8, 0)
    return bytes(said)


def another_id(frame):
    frame.id ^= 0x5a5a5a5a
    return wire.answer(frame)


def bolt_refused(port, service, reason, v):
    """Two calls on one connection: the ill one gets its reason and its id, the other its answer."""
    client = BoltClient(port)
    ill = client.send(service, v=v, timeout=10000)
    good = client.send("healthy", b"beside", v=v)
    found = client.answers(2)
    expect({ill, good}, set(found), "ids that were answered")
    expect((0, b"beside"), (found[good].status, found[good].content), "the call beside it")
    frame = found[ill]
    expect((v, 0, 2, reason), (frame.v, frame.kind, frame.command, frame.reason))
    if frame.status == 0:
        raise Failed("a refusal with the status of a success")
    expect((0, b"after"), (lambda f: (f.status, f.content))(client.call("healthy", b"after", v=v)), "the next call")
    client.close()


def late_call(port):
    """One call on a shared upstream connection runs out of its caller's time; 50 others pass meanwhile."""
    client = BoltClient(port)
    late = client.send("healthy", b"late", timeout=400)
    others = [client.send("healthy", b"%d" % i) for i in range(50)]
    found = client.answers(51)
    expect("TIMEOUT", found[late].reason)
    expect([b"%d" % i for i in range(50)], [found[number].content for number in others])
    client.close()


def answers_twice(sock, number):
    """A large answer that is begun, a whole one twice, and the rest of the large one."""
    data = b""
    first, data = read_frame(sock, data)
    second, data = read_frame(sock, data)
    large = wire.answer(first, b"L" * 300000)
    sock.sendall(large[:200000])
    time.sleep(0.2)
    sock.sendall(large[200000:] + wire.answer(second, b"one") + wire.answer(second, b"two") + wire.answer(first, b"no"))
    read_until_end(sock)


def first_counts(port):
    client = BoltClient(port)
    large, small = client.send("twice"), client.send("twice")
    found = client.answers(2)
    expect((300000, b"one"), (found[large].content.count(b"L"), found[small].content))
    expect(b"still", client.call("healthy", b"still").content)
    client.close()


def half_answers(sock, number):
    """Begins a large answer and dies; another call of the same caller waits behind it."""
    first, data = read_frame(sock)
    sock.sendall(wire.answer(first, b"L" * 300000)[:200000])
    time.sleep(0.2)
    cut(sock)


def bolt_half(port):
    """Half a frame cannot be taken back: this caller's connection is cut, and only this one's."""
    other = BoltClient(port)
    client = BoltClient(port)
    client.send("half")
    got, how = read_all(client.sock)
    if how == "open":
        raise Failed("the connection stayed open behind half a frame")
    found, rest = wire.frames(got)
    if found or not rest:
        raise Failed(f"{len(found)} answers, {len(rest)} bytes of the half one")
    expect(b"unhurt", other.call("healthy", b"unhurt").content)
    other.close()


def oneway_to_the_dead(port):
    client = BoltClient(port)
    for service in ("dead", "unknown", "resets"):
        client.send(service, oneway=True)
    number = client.send("healthy", b"after")
    expect([number], list(client.answers(1)))
    client.close()


def side_by_side(port, ill):
    """All kinds of failure at once, between good calls, on one connection."""
    client, wanted = BoltClient(port), {}
    for i in range(100):
        name = list(ill)[i % len(ill)] if i % 2 else "healthy"
        wanted[client.send(name, b"%d" % i, timeout=10000)] = (name, b"%d" % i)
    for number, frame in client.answers(100).items():
        name, content = wanted.pop(number)
        if name == "healthy":
            expect((0, content), (frame.status, frame.content))
        elif frame.reason != ill[name][1] and not (name in ("resets", "closes", "garbage", "http") and frame.reason):
            raise Failed(f"{name} gave {frame.reason}")
    expect({}, wanted, "calls without an answer")
    client.close()
