"""S6, S7, S14 and what a connection turns into: paths and hosts that pass a route's door by another spelling, PROXY
headers that lie, upgrades that do not happen."""

import os
import re
import socket
import struct
import time

from attacks import wire
from attacks.ambiguous import unescape
from attacks.house import Proxy, cluster, http, says, to, typed
from attacks.peers import Recorder, Scripted, await_true, dial, read_all, read_head, talk
from harness import ROOT, Failed, expect, free_port

MIB = 1 << 20
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


# ---- S6, S7: another spelling of the same place ----

def spellings():
    """Paths of tests/conform/paths.txt that are the same as /secret... by the rules of a file system."""
    words = set()
    with open(os.path.join(ROOT, "tests", "conform", "paths.txt"), "rb") as f:
        for line in f:
            m = re.match(rb"(/\S*) =>", line)
            if m:
                words.add(unescape(m[1]))
    made = {b"/secret", b"/secret/", b"//secret", b"/./secret", b"/a/../secret", b"/%73ecret", b"/s%65cret",
            b"/a/%2e%2e/secret", b"/a/.%2E/secret", b"/%2e/secret", b"/../secret", b"/secret/../secret",
            b"/secret?x=/../open", b"/a//../secret", b"/open/..//secret", b"/%2e%2e/%2e%2e/secret", b"/.//secret",
            b"/a/b/../../secret/x", b"/secret/.", b"/%53ecret", b"/open/%2e%2e/secret", b"/a/./../secret"}
    for path in words:
        made.add(path)
        made.add(path.replace(b"a", b"secret"))
        if path.startswith(b"/"):
            made.add(b"/open/.." + path.replace(b"a", b"secret"))
    return sorted(made)


def resolve(target):
    """Where a simple server would look: unreserved bytes decoded, slashes merged, dot segments gone."""
    path = target.split(b"?")[0]
    path = re.sub(rb"%([0-9A-Fa-f]{2})", decode, path)
    out = []
    for part in path.split(b"/"):
        if part == b"..":
            out = out[:-1]
        elif part not in (b"", b"."):
            out.append(part)
    return b"/" + b"/".join(out)


def decode(m):
    byte = bytes([int(m[1], 16)])
    return byte if re.match(rb"[0-9A-Za-z._~-]", byte) else m[0].upper()


def paths(s):
    upstream = Recorder(s)
    port = free_port()
    Proxy(s, "sidecar", [http(port, [says("/secret", 403, "no"), to("out")], normalize_path=True, merge_slashes=True)],
          [cluster("out", upstream.port)])
    found = spellings()

    def no_way_around():
        bad = []
        for path in found:
            mark = upstream.count()
            talk(port, b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % path)
            bad += [f"{path!r} arrived as {request.target!r}" for request in upstream.since(mark)
                    if resolve(request.target).startswith(b"/secret")]
        if bad:
            raise Failed(f"{len(bad)} of {len(found)} passed the door: {'; '.join(bad[:5])}")

    s.check(f"{len(found)}-spellings-none-passes", no_way_around)
    s.check("upstream-read-no-fault", upstream.expect_no_fault)


def hosts(s):
    """A virtual host that says no cannot be passed by another spelling of its name."""
    upstream = Recorder(s)
    port = free_port()
    made = http(port, "out")
    config = made["filter_chains"][0]["filters"][0]["typed_config"]
    config["route_config"]["virtual_hosts"].insert(
        0, {"name": "closed", "domains": ["closed.example", "closed.example:*"], "routes": [says("/", 403, "no")]})
    Proxy(s, "sidecar", [made], [cluster("out", upstream.port)])

    def closed():
        for name in ("closed.example", "CLOSED.example", "Closed.Example:80", "closed.example:8080", "closed.example."):
            got, _ = talk(port, f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            status = wire.responses(got)[0].status
            if status == 200 and not name.endswith("."):
                raise Failed(f"{name} passed")
        got, _ = talk(port, b"GET http://closed.example/ HTTP/1.1\r\nHost: closed.example\r\n\r\n")
        expect(403, wire.responses(got)[0].status)
        got, _ = talk(port, b"GET http://closed.example/ HTTP/1.1\r\nHost: open.example\r\n\r\n")
        expect(400, wire.responses(got)[0].status)

    s.check("no-spelling-passes", closed)


# ---- S14: PROXY headers ----

def v2(command=0x21, family=0x11, body=None, length=None):
    body = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8") + struct.pack(">HH", 1111, 80) \
        if body is None else body
    return SIGNATURE + struct.pack(">BBH", command, family, len(body) if length is None else length) + body


ADDRESSES = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8") + struct.pack(">HH", 1111, 80)
GOOD_HEADERS = {
    "v1": b"PROXY TCP4 192.0.2.7 192.0.2.8 1111 80\r\n",
    "v1-ipv6": b"PROXY TCP6 2001:db8::7 2001:db8::8 1111 80\r\n",
    "v1-unknown": b"PROXY UNKNOWN\r\n",
    "v2": v2(),
    "v2-with-tlvs": v2(body=ADDRESSES + b"\x04\0\3abc" + b"\x02\0\1x"),
    "v2-local": v2(command=0x20, family=0, body=b""),
}
BAD_HEADERS = {
    "none": b"",
    "v1-too-long": b"PROXY TCP4 192.0.2.7 192.0.2.8 1111 80" + b" " * 100 + b"\r\n",
    "v1-without-end": b"PROXY TCP4 " + b"1" * 300,
    "v1-port-65536": b"PROXY TCP4 192.0.2.7 192.0.2.8 65536 80\r\n",
    "v1-lf-alone": b"PROXY TCP4 192.0.2.7 192.0.2.8 1111 80\n",
    "v2-tlv-over-the-end": v2(body=ADDRESSES + b"\x04\0\xffabc"),
    "v2-tlv-cut": v2(body=ADDRESSES + b"\x04\0"),
    "v2-length-of-a-byte": v2(body=ADDRESSES, length=1),
    "v2-addresses-too-short": v2(body=ADDRESSES[:8]),
    "v2-version-3": v2(command=0x31),
    "v2-command-5": v2(command=0x25),
    "v2-length-65535": v2(body=b"", length=65535),
    "v2-smuggles": v2(body=ADDRESSES + b"\x04\0\x40GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"),
}


def proxy_headers(s):
    upstream = Recorder(s)
    port = free_port()
    made = http(port, "out", use_remote_address=True)
    kind = typed("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol")
    made["listener_filters"] = [{"name": "envoy.filters.listener.proxy_protocol", "typed_config": kind}]
    proxy = Proxy(s, "sidecar", [made], [cluster("out", upstream.port)])
    get = b"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n"

    def good(header, step):
        mark = upstream.count()
        got, _ = talk(port, header + get, step=step)
        expect([200], [answer.status for answer in wire.responses(got)])
        expect([b"/behind"], [request.target for request in upstream.since(mark)])
        claimed = dict(upstream.since(mark)[0].fields)[b"x-forwarded-for"]
        if b"192.0.2.7" in header or ADDRESSES[:4] in header:
            expect(b"192.0.2.7", claimed)

    def bad(header):
        mark = upstream.count()
        got, how = talk(port, header + get, half_close=not header.startswith(b"PROXY TCP4 1111"), seconds=8)
        expect((b"", mark), (got, upstream.count()), "answers, requests at the upstream")
        if how == "open":
            raise Failed("the connection stayed open")

    for name, header in GOOD_HEADERS.items():
        s.check(f"good-{name}", good, header, 0)
        s.check(f"good-{name}-byte-by-byte", good, header, 1)
    for name, header in BAD_HEADERS.items():
        s.check(f"bad-{name}", bad, header)
    s.check("upstream-read-no-fault", upstream.expect_no_fault)
    s.check("descriptors-come-back", proxy.expect_rest, 4)


# ---- upgrades that do not happen ----

UPGRADE = b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
SMUGGLED = b"GET /secret HTTP/1.1\r\nHost: test\r\n\r\n"


def refuses_upgrades(sock, number):
    """An upstream that reads strictly, and says 426 to every upgrade and 200 to the rest."""
    reader = wire.Requests()
    while part := sock.recv(1 << 16):
        for request in reader.feed(part):
            upgrade = wire.values(request.fields, b"upgrade")
            sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n" if upgrade else
                         b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(request.target), request.target))


def echoes(sock, number):
    read_head(sock)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    while part := sock.recv(1 << 16):
        sock.sendall(part)
    sock.sendall(b"bye")
    sock.shutdown(socket.SHUT_WR)


def resets_in_the_tunnel(sock, number):
    read_head(sock)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhalf")
    time.sleep(0.1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def upgrades(s):
    refusing, echoing, ill = Scripted(s, refuses_upgrades), Scripted(s, echoes), Scripted(s, resets_in_the_tunnel)
    port, closed = free_port(), free_port()
    routes = [says("/secret", 403, "no"), to("echo", "/echo"), to("ill", "/ill"), to("out")]
    clusters = [cluster("out", refusing.port), cluster("echo", echoing.port), cluster("ill", ill.port)]
    proxy = Proxy(s, "sidecar", [http(port, routes, upgrade_configs=[{"upgrade_type": "websocket"}]),
                                 http(closed, routes, name="closed")], clusters)

    def statuses(at, data):
        got, how = talk(at, data)
        if how == "open":
            raise Failed("the connection stayed open")
        return [answer.status for answer in wire.responses(got)]

    def early_bytes():
        """Bytes behind an upgrade that is refused are a request, and pass the route's door as any other."""
        expect([426, 403], statuses(port, UPGRADE % b"websocket" + SMUGGLED))

    def no_upgrade_asked():
        for name in (b"h2c", b"TLS/1.0", b"websocket2", b"websocket, h2c"):
            got = statuses(port, UPGRADE % name + SMUGGLED)
            if got[-1] != 403:
                raise Failed(f"Upgrade: {name!r} got {got}")
        expect([200, 403], statuses(closed, UPGRADE % b"websocket" + SMUGGLED))

    def connect():
        expect([403], statuses(port, b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n" + SMUGGLED))

    def tunnel():
        """Half-closed by the caller: what the other side still says arrives."""
        with dial(port) as sock:
            sock.sendall(UPGRADE.replace(b"/ws", b"/echo") % b"websocket")
            expect(101, read_answer_101(sock))
            data = os.urandom(MIB)
            sock.sendall(data[:1000])
            expect(data[:1000], read_exactly(sock, 1000))
            sock.shutdown(socket.SHUT_WR)
            got, how = read_all(sock)
            expect((b"bye", "end"), (got, how))

    def ill_tunnel():
        with dial(port) as sock:
            sock.sendall(UPGRADE.replace(b"/ws", b"/ill") % b"websocket")
            got, how = read_all(sock, 10)
            if how == "open" or not got.endswith(b"half"):
                raise Failed(f"{got[-40:]!r}, then {how}")

    s.check("bytes-behind-a-refused-upgrade", early_bytes)
    s.check("other-protocols-are-not-asked-for", no_upgrade_asked)
    s.check("connect-is-refused", connect)
    s.check("a-tunnel-half-closed", tunnel)
    s.check("a-tunnel-that-is-reset", ill_tunnel)
    s.check("nothing-is-left-open", await_true, "no tunnel is counted",
            lambda: proxy.counter("http.in.downstream_cx_upgrades_active") == 0, 5)
    s.check("descriptors-come-back", proxy.expect_rest, 4)


def read_exactly(sock, count):
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:
            raise Failed(f"the end behind {len(got)} of {count} bytes")
        got += part
    return got


def read_answer_101(sock):
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        got += read_exactly(sock, 1)
    return int(got.split(b" ")[1])
