"""S1, S2, S9: what two readers could read in two ways has one meaning, or is refused.

The upstream reads strictly and keeps all that it was sent, so the judgement is not the sidecar's: whatever the
client says, what arrives is the requests that the record names and nothing else.
"""

import socket
import struct

from attacks import wire
from attacks.ambiguous import records
from attacks.house import Proxy, bolt, cluster, http, to
from attacks.peers import BoltClient, BoltUpstream, Recorder, ask, await_true, dial, read_all, talk
from harness import Failed, expect, free_port

HEADERS = {"common_http_protocol_options": {"max_headers_count": 128}}
POWERS = (8, 15, 16, 31, 32, 63, 64)

# The first sidecar adds x-request-id and x-forwarded-proto: a head that filled the limit is over it at the second.
FULL_HEADS = {"size: 128 headers"}
STEPPED_BYTES = 300     # longer records are not sent byte by byte


def ambiguous(s):
    upstream = Recorder(s)
    near, far = free_port(), free_port()
    star = {"match": {"path": "*"}, "route": {"cluster": "out"}}  # OPTIONS *: no prefix but its own fits
    last = Proxy(s, "last", [http(far, [star, to("out")], **HEADERS)], [cluster("out", upstream.port)])
    first = Proxy(s, "first", [http(near, [star, to("out")], **HEADERS)], [cluster("out", far)])
    found = records()
    for name, port, step, chained in (("one-sidecar", far, 0, False), ("two-sidecars", near, 0, True),
                                      ("byte-by-byte", far, 1, False)):
        bad = []
        for record in found:
            if step and len(record.bytes) > STEPPED_BYTES:
                continue
            why = judge(record, upstream, port, step, chained)
            if why:
                bad.append(f"{record.name}: {why}")
        s.check(f"{len(found)}-records-{name}", none_of, bad)
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("descriptors-come-back", last.expect_rest, 4)
    s.check("descriptors-come-back-in-the-chain", first.expect_rest, 4)


def none_of(bad):
    if bad:
        raise Failed(f"{len(bad)} failed: {'; '.join(bad[:6])}")


def judge(record, upstream, port, step, chained):
    """None, or what was wrong."""
    mark, faults = upstream.count(), len(upstream.faults)
    got, how = talk(port, record.bytes, step=step)
    if len(upstream.faults) > faults:
        return f"the upstream received {upstream.faults[-1]}"
    arrived = [request.brief() for request in upstream.since(mark)]
    try:
        heard = [answer.status for answer in wire.responses(got, [wanted[0] for wanted in record.wanted])]
    except (wire.Ambiguous, wire.More) as err:
        return f"the answer cannot be read ({type(err).__name__} {err}): {got[:120]!r}"
    if chained and record.name in FULL_HEADS and heard == [431] and not arrived:
        return None
    statuses = [200] * len(record.wanted) + ([record.status] if record.status else [])
    if how == "open":
        return f"the connection stayed open; answers {heard}"
    if heard != statuses:
        return f"answers {heard}, not {statuses}"
    if len(arrived) != len(record.wanted):
        return f"{len(arrived)} requests arrived, not {len(record.wanted)}: {arrived}"
    for is_, wanted in zip(arrived, record.wanted):
        if wanted[2] is None:
            is_, wanted = (*is_[:2], is_[3]), (*wanted[:2], wanted[3])
        if is_ != wanted:
            return f"arrived as {is_}, not {wanted}"
    return None


# ---- lengths ----

def lengths(s):
    upstream = Recorder(s, answer=lambda request: b"%d" % len(request.body))
    services = BoltUpstream(s)
    port, rpc = free_port(), free_port()
    Proxy(s, "sidecar", [http(port, "out"), bolt(rpc, {"echo": "calls"}, name="rpc")],
          [cluster("out", upstream.port), cluster("calls", services.port, speaks_bolt=True)])
    for power in POWERS:
        for number in (2 ** power - 1, 2 ** power, 2 ** power + 1):
            s.check(f"content-length-{name_of(number)}", content_length, port, upstream, number)
            s.check(f"chunk-size-{name_of(number)}", chunk_size, port, upstream, number)
    for what in range(3):
        for power in (8, 15, 16, 31, 32)[:3 if what < 2 else 5]:
            for number in (2 ** power - 1, 2 ** power, 2 ** power + 1):
                if number < 2 ** (16 if what < 2 else 32):
                    s.check(f"bolt-{('class', 'header', 'content')[what]}-length-{name_of(number)}",
                            bolt_length, rpc, services, what, number)
    s.check("bolt-pair-lengths", bolt_pairs, rpc, services)
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("bolt-upstream-read-no-fault", services.expect_no_fault)
    s.check("an-honest-call-still-passes", lambda: expect(b"5", ask(port, method="POST", body=b"hello").body))


def name_of(number):
    """2^16+1 is easier to read than 65537."""
    for power in POWERS:
        if abs(number - 2 ** power) <= 1:
            return f"2^{power}{number - 2 ** power:+d}" if number != 2 ** power else f"2^{power}"
    return str(number)


def content_length(port, upstream, number):
    target = f"/length/{number}".encode()
    head = b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (target, number)
    mark = upstream.count()
    if number <= 2 ** 17:
        answers = wire.responses(talk(port, head + b"x" * number)[0])
        expect([(200, b"%d" % number)], [(answer.status, answer.body) for answer in answers])
        return
    if number >= 2 ** 63:
        expect([400], [answer.status for answer in wire.responses(talk(port, head + b"hello")[0])])
        expect(mark, upstream.count(), "whole requests at the upstream")
        return
    with dial(port) as sock:
        sock.sendall(head + b"hello")
        await_true("the upstream has the beginning", lambda: upstream.begun(target) and upstream.begun(target).body)
        begun = upstream.begun(target)
        expect((number, b"hello"), (begun.length, begun.body), "length and body at the upstream")
        sock.shutdown(socket.SHUT_WR)
        expect(b"", read_all(sock)[0], "an answer to half a request")
    await_true("the upstream sees that it breaks off", lambda: not upstream.begun(target))
    expect(mark, upstream.count(), "whole requests at the upstream")


def chunk_size(port, upstream, number):
    head = b"POST /chunk HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    mark = upstream.count()
    if number <= 2 ** 17:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (number, b"x" * number)
        answers = wire.responses(talk(port, head + body)[0])
        expect([(200, b"%d" % number)], [(answer.status, answer.body) for answer in answers])
        return
    got, _ = talk(port, head + b"%x\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n" % number)
    expect(mark, upstream.count(), "whole requests at the upstream")
    if number >= 2 ** 63:
        expect([400], [answer.status for answer in wire.responses(got)])
    else:
        expect(b"", got, "an answer to half a request")


def bolt_length(port, services, what, number):
    """A frame that is as long as it says where that can be sent; else its beginning alone."""
    mark = services.count()
    client = BoltClient(port)
    honest = number <= (32767 if what < 2 else 2 ** 17)
    fill = b"x" * number if number <= 2 ** 17 else b"hello"
    name, block, content = wire.CLASS, wire.pairs({"service": "echo"}), b"ahoy"
    if what == 0:
        name = fill
    elif what == 1:
        block += struct.pack(">I", 1) + b"n" + struct.pack(">I", number - len(block) - 9) + \
            b"v" * (number - len(block) - 9)
    else:
        content = fill
    said = [len(name), len(block), len(content)]
    said[what] = number
    if honest and what < 2 and sum(said[:2]) + 22 > 60 * 1024:
        honest = False
    client.sock.sendall(wire.call(7, "echo", content, name=name, block=block, lengths=tuple(said)))
    if honest:
        answer = client.answers(1)[7]
        expect((0, content), (answer.status, answer.content))
    elif what == 2 and number <= 2 ** 31 - 1 - len(name) - len(block):
        client.sock.close()
        expect(mark, services.count(), "whole frames at the upstream")
    else:
        answer = client.answers(1).get(7)
        if not answer or answer.status == 0:
            raise Failed(f"no refusal with the request's id, but {answer and answer.status}")
        expect(b"", client.sock.recv(1), "what follows a broken frame")
        expect(mark, services.count(), "whole frames at the upstream")
    client.close()


def bolt_pairs(port, services):
    """Lengths inside the header block that lie."""
    good = wire.pairs({"service": "echo"})
    for number in (2 ** 8, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2):
        for block in (good + struct.pack(">I", number) + b"name", good + struct.pack(">I", 1) + b"n" +
                      struct.pack(">I", number) + b"value", good + struct.pack(">I", number)[:3]):
            mark = services.count()
            client = BoltClient(port)
            client.sock.sendall(wire.call(9, "echo", block=block))
            answer = client.answers(1).get(9)
            if not answer or answer.status == 0:
                raise Failed(f"{number}: no refusal with the request's id")
            expect(mark, services.count(), "whole frames at the upstream")
            client.close()


# ---- sizes ----

def sizes(s):
    upstream = Recorder(s)
    services = BoltUpstream(s)
    port, rpc = free_port(), free_port()
    proxy = Proxy(s, "sidecar", [http(port, "out", max_request_headers_kb=8), bolt(rpc, {"echo": "calls"}, "rpc")],
                  [cluster("out", upstream.port), cluster("calls", services.port, speaks_bolt=True)])
    start = b"GET / HTTP/1.1\r\nHost: test\r\n"
    for name, begin, endless, status in (
            ("a-request-line-without-end", b"GET /", b"a", 414),
            ("a-header-name-without-end", start, b"a", 431),
            ("a-header-value-without-end", start + b"a: ", b"b", 431),
            ("headers-without-end", start, b"a: b\r\n", 431),
            ("empty-headers-without-end", start, b"a:\r\n", 431),
            ("chunk-extensions-without-end",
             b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5", b";a", 400),
            ("chunk-zeros-without-end",
             b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 400),
            ("trailers-without-end",
             b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n", 431)):
        s.check(name, endless_is_cut, port, begin, endless, status)
    s.check("nothing-of-them-arrived", lambda: expect(0, upstream.count()))
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("a-bolt-head-over-the-limit", bolt_head, rpc)
    s.check("too-many-pairs", bolt_many_pairs, rpc)
    s.check("descriptors-come-back", proxy.expect_rest, 6)


def endless_is_cut(port, begin, endless, status):
    """In pieces, so that it is the limit that stops it and not the end of a read; cut after 64 KiB at most."""
    piece = endless * (512 // len(endless))
    with dial(port) as sock:
        sock.sendall(begin)
        sent = 0
        got = b""
        try:
            while not got and sent < 1 << 20:
                sock.sendall(piece)
                sent += len(piece)
                sock.settimeout(0.001)
                try:
                    got = sock.recv(1 << 16)
                    if not got:
                        break
                except (TimeoutError, BlockingIOError):
                    pass
                sock.settimeout(20)
        except ConnectionError:
            pass
        rest, how = read_all(sock, 20)
        answers = wire.responses(got + rest)
        expect([status], [answer.status for answer in answers])
        if how == "open":
            raise Failed("the connection stayed open")
        if sent > 64 << 10:
            raise Failed(f"{sent} bytes were taken before it was cut")


def bolt_head(port):
    """Class and block are each allowed, both together are too long for 60 KiB."""
    block = wire.pairs({"service": "echo", "n": "v" * 32000})
    client = BoltClient(port)
    client.sock.sendall(wire.call(3, "echo", name=b"c" * 32000, block=block))
    answer = client.answers(1)[3]
    expect("HEAD_TOO_LARGE", answer.reason)
    client.close()


def bolt_many_pairs(port):
    client = BoltClient(port)
    block = wire.pairs({"service": "echo", **{f"n{i}": "v" for i in range(3000)}})
    client.sock.sendall(wire.call(4, "echo", block=block[:32767]))
    answer = client.answers(1)[4]
    if answer.status == 0:
        raise Failed("3000 pairs were taken")
    client.close()
