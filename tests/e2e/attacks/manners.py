"""S8, S10, S13: headers that claim what is not so, answers that nobody reads, and logs that lie."""

import json
import os
import socket

from attacks import wire
from attacks.house import Proxy, Watch, bolt, cluster, http, log_to, says
from attacks.peers import Recorder, ask, await_true, talk
from harness import Failed, expect, free_port

MIB = 1 << 20


# ---- S8: who says who called ----

CLAIMS = ["X-Forwarded-For: 10.9.8.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil",
          "X-Request-Id: claimed", "X-Envoy-Retry-On: 5xx", "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
          "X-Envoy-Original-Dst-Host: 127.0.0.1:1", "X-Envoy-Internal: true", "X-Sampan-Reason: NO_ROUTE"]


def trust(s):
    """Inside a mesh the neighbour's word is passed on; at an edge (use_remote_address) it is not believed."""
    upstream = Recorder(s)
    inside, edge, behind = free_port(), free_port(), free_port()
    Proxy(s, "sidecar", [http(inside, "out", name="inside"),
                         http(edge, "out", name="edge", use_remote_address=True),
                         http(behind, "out", name="behind", use_remote_address=True, xff_num_trusted_hops=1)],
          [cluster("out", upstream.port)])

    def arrives(port):
        mark = upstream.count()
        expect(200, ask(port, "/claims", headers=CLAIMS).status)
        return dict(upstream.since(mark)[0].fields)

    def passed():
        got = arrives(inside)
        expect((b"10.9.8.7", b"https", b"claimed"),
               (got[b"x-forwarded-for"], got[b"x-forwarded-proto"], got[b"x-request-id"]))

    def judged():
        got = arrives(edge)
        expect(b"10.9.8.7, 127.0.0.1", got[b"x-forwarded-for"])
        expect(b"http", got[b"x-forwarded-proto"])
        if got[b"x-request-id"] == b"claimed":
            raise Failed("a caller from outside chose the request's id")
        left = [name for name in got if name.startswith(b"x-envoy-")]
        expect([], left, "headers that only the mesh may say")

    def one_hop():
        """The balancer may have said it in a line of its own behind the claim."""
        mark = upstream.count()
        ask(behind, headers=["X-Forwarded-For: claim", "X-Forwarded-For: 10.1.1.1"])
        said = [value for name, value in upstream.since(mark)[0].fields if name == b"x-forwarded-for"]
        expect(b"claim, 10.1.1.1, 127.0.0.1", b", ".join(said))
        got = arrives(behind)
        expect((b"10.9.8.7, 127.0.0.1", b"https"), (got[b"x-forwarded-for"], got[b"x-forwarded-proto"]))

    s.check("inside-the-neighbour-is-believed", passed)
    s.check("the-edge-believes-nothing", judged)
    s.check("behind-one-balancer-it-is-believed", one_hop)
    s.check("nobody-chooses-timeout-or-target", lambda: expect(
        200, ask(inside, headers=["X-Envoy-Upstream-Rq-Timeout-Ms: 0", "X-Envoy-Original-Dst-Host: 1.1.1.1:1"]).status))


# ---- S10: answers that nobody reads ----

def local_replies(s):
    """Callers who ask on and never read: our own answers must not pile up."""
    http_port, rpc_port = free_port(), free_port()
    proxy = Proxy(s, "sidecar", [http(http_port, [says("/", body="x" * 4000)]),
                                 bolt(rpc_port, {"known": "none"}, name="rpc")], [cluster("none", free_port())])
    request = b"GET /x HTTP/1.1\r\nHost: test\r\n\r\n"
    s.check("direct-answers", unread, proxy, http_port, request)
    s.check("not-found", unread, proxy, http_port, b"GET /x HTTP/1.1\r\nHost: test\r\nUpgrade: a\r\n\r\n")
    s.check("bolt-errors", unread, proxy, rpc_port, wire.call(1, "unknown"))
    heartbeat = wire.call(1, "", b"", name=b"", block=b"")
    s.check("bolt-heartbeats", unread, proxy, rpc_port, heartbeat[:2] + b"\0\0" + heartbeat[4:])
    s.check("descriptors-come-back", proxy.expect_rest)


def unread(proxy, port, request):
    """Pours until the sidecar takes no more; it has to stop before 24 MiB, and to hold little."""
    watch = Watch(proxy)
    many = request * (MIB // len(request))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(1.5)
        sent = 0
        try:
            while sent < 24 * MIB:
                sent += sock.send(many)
                watch.look()
        except TimeoutError:
            pass
        watch.look()
        if sent >= 24 * MIB:
            raise Failed(f"{sent} bytes of requests were taken, and no answer was read")
    watch.expect(8 * MIB, f"{sent // len(request)} requests unread:")


# ---- S13: logs and pages ----

NASTY = ["/plain", "/%0a%0dforged%20line", '/quote"and\\back', "/<script>alert(1)</script>", "/%00nul", "/a?b=%1b[2J"]


def logs(s):
    """One line for each call, whatever the caller says, and JSON that JSON readers read."""
    upstream = Recorder(s)
    text, rows = os.path.join(s.folder, "access.text"), os.path.join(s.folder, "access.json")
    port = free_port()
    line = "[%REQ(:METHOD)%] \"%REQ(:PATH)%\" \"%REQ(USER-AGENT)%\" %RESPONSE_CODE%\n"
    row = {"path": "%REQ(:PATH)%", "agent": "%REQ(USER-AGENT)%", "status": "%RESPONSE_CODE%"}
    proxy = Proxy(s, "sidecar", [http(port, "out", access_log=[log_to(text, line), log_to(rows, row)])],
                  [cluster("out", upstream.port)])
    agents = [b"plain", b'a"b\\c', b"tab\there", b"\xff\xfe\x80", b"\xc2\x9b2J", b"\xe2\x80\xa8line separator",
              b"${jndi:ldap://x}", b"%s%n", b"'; drop", b"<img src=x onerror=alert(1)>"]
    calls = [(path.encode(), agent) for path in NASTY for agent in agents]

    def send():
        for path, agent in calls:
            got, _ = talk(port, b"GET %s HTTP/1.1\r\nHost: test\r\nUser-Agent: %s\r\n\r\n" % (path, agent))
            expect(200, wire.responses(got)[0].status, f"{path} {agent}")

    def whole_lines(path, count):
        def written():
            with open(path, "rb") as f:
                return f.read().count(b"\n") >= count
        await_true(f"{count} lines in {os.path.basename(path)}", written)
        with open(path, "rb") as f:
            return f.read().split(b"\n")[:-1]

    def text_lines():
        lines = whole_lines(text, len(calls))
        expect(len(calls), len(lines), "lines")
        for at in lines:
            if not at.startswith(b"[GET] \"/") or not at.endswith(b"\" 200") or at.count(b'"') != 4:
                raise Failed(f"a line that a caller has forged: {at!r}")
            if any(byte < 32 or byte == 127 for byte in at):
                raise Failed(f"control bytes in a line: {at!r}")

    def json_lines():
        for at, (path, _) in zip(whole_lines(rows, len(calls)), calls):
            got = json.loads(at)
            expect(("200", path.decode()), (str(got["status"]), got["path"]))

    s.check("the-calls-pass", send)
    s.check("text-one-line-a-call", text_lines)
    s.check("json-one-row-a-call", json_lines)
    pages(s, proxy)


def pages(s, proxy):
    """Admin shows what callers said as text, never as a page that a browser would run."""
    def look(path):
        status, head, body = proxy.ask(path)
        kind = [row.split(":", 1)[1].strip() for row in head.split("\r\n") if row.lower().startswith("content-type:")]
        if len(kind) != 1 or "html" in kind[0] and "content-security-policy" not in head.lower():
            raise Failed(f"{path}: {status}, content-type {kind}")
        if "html" in kind[0] and b"<script>alert" in body:
            raise Failed(f"{path} shows a script as a script")
        if "nosniff" not in head.lower():
            raise Failed(f"{path}: browsers may guess the kind of this page (no X-Content-Type-Options: nosniff)")

    script = "<script>alert(1)</script>"
    for name, path in (("root", "/"), ("stats", "/stats"), ("prometheus", "/stats/prometheus"),
                       ("clusters", "/clusters"), ("listeners", "/listeners"), ("config_dump", "/config_dump"),
                       ("why", f"/why?id={script}"), ("no-page", f"/{script}"),
                       ("stats-asked", f"/stats?filter={script}")):
        s.check(f"admin-page-{name}", look, path)
