"""Programs of others, through two sidecars that are replaced in turn: SOFARPC on Java, ws on Node.js, curl.

    SOFARPC ──┐                                        ┌── SOFARPC
    ws ───────┼── near (1 to 3 workers) ── far (same) ─┤
    curl ─────┘                                        └── node:http, ws

None of them knows of an upgrade. Each counts and hashes what it sent and got, and so does who it calls; here both are
laid side by side, and beside them what each sidecar counted over all its processes.
"""

import hashlib
import json
import os
import re
import subprocess
import threading
import time
import urllib.request

from harness import SOFA_JARS, expect, free_port, java, node, sofa_server
from upgrades.house import Line

MIB = 1 << 20
TURNS = 20
WORKERS = [2, 1, 2, 3, 2, 1, 3]
PAUSE = 0.35            # between two upgrades: some for each transfer, and none in the shadow of another
PATIENCE = 240          # seconds; only what hangs reaches it

# name -> (path or None for an upload, MiB, limit of curl): slow enough to live through most of the upgrades.
DOWNLOADS = {"slow-gib": ("/sea/slow-gib/1024", 1024, "80M"), "chunked": ("/sea/chunked/128?chunked", 128, "10M")}
UPLOADS = {"upload": (192, "15M"), "upload-chunked": (64, "5M")}
SERIES = 200            # calls of one curl, on one connection


class Transfer:
    """One curl; what it gets, or is fed with, is hashed here on its way."""

    def __init__(self, name, url, *argv, feed=0):
        self.name, self.bytes, self.hash, self.feed = name, 0, hashlib.sha256(), feed
        self.body = b""
        self.process = subprocess.Popen(
            ["curl", "-sS", "--http1.1", "-w", "%{stderr}%{http_code} %{num_connects} ", *argv, url],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = b""
        self.threads = [threading.Thread(target=body, daemon=True) for body in
                        (self.write if feed else self.read, self.read if feed else lambda: None, self.listen)]
        for thread in self.threads:
            thread.start()

    def add(self, part):
        self.bytes += len(part)
        self.hash.update(part)

    def write(self):
        """Bytes that nobody could mistake for others: each block is the hash of its place, many times."""
        try:
            for at in range(self.feed):
                part = hashlib.sha512(f"{self.name} {at}".encode()).digest() * (MIB // 64)
                self.process.stdin.write(part)
                self.add(part)
            self.process.stdin.close()
        except BrokenPipeError:
            pass    # its exit status tells it

    def read(self):
        while part := self.process.stdout.read(1 << 18):
            if self.feed:
                self.body += part
            else:
                self.add(part)
                self.body = self.body[:0] if len(self.body) > 1 << 20 else self.body + part[:4096]

    def listen(self):
        self.said = self.process.stderr.read()

    def is_going(self):
        return self.process.poll() is None

    def end(self):
        self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)

    def account(self):
        return [self.bytes, self.hash.hexdigest()]

    def expect_one_connection(self, answers=1):
        expect(0, self.process.returncode, f"exit status of curl ({self.said.decode()[-200:]})")
        expect("200 1 " + "200 0 " * (answers - 1), self.said.decode(), "statuses, and connections made for each")


class Clients:
    """All of them, between two sidecars."""

    def __init__(self, s):
        self.s = s
        self.under_way = 0      # upgrades that the slow download has lived through
        self.until = os.path.join(s.folder, "until")
        self.http_port, self.bolt_port = free_port(), free_port()
        s.spawn("server", node("upgrade-server.js", "--port", str(self.http_port)), ready="^ready")
        sofa_server(s, self.bolt_port, "--idle", "600000")
        upstream = {"http": self.http_port, "bolt": self.bolt_port, "tcp": self.http_port}
        self.far = Line(s, upstream, WORKERS[0], "far")
        self.near = Line(s, self.far.ports, WORKERS[0], "near")
        self.lines = [self.near, self.far]

    def url(self, path):
        return f"http://127.0.0.1:{self.near.ports['http']}{path}"

    def start(self):
        s, near = self.s, self.near
        calls = ["com.acme.UpgradeClient", "--url", f"bolt://127.0.0.1:{near.ports['bolt']}", "--until", self.until]
        self.sofa = s.spawn("sofa-client", [*java(s, "client.home"), "-cp", SOFA_JARS, *calls], ready="^(ready|not ok)")
        self.ws = s.spawn("ws-client", node("upgrade-client.js", "--url", f"ws://127.0.0.1:{near.ports['http']}",
                                            "--until", self.until), ready="^(ready|not ok)")
        self.transfers = {name: Transfer(name, self.url(path), "--limit-rate", limit)
                          for name, (path, _, limit) in DOWNLOADS.items()}
        for name, (mib, limit) in UPLOADS.items():
            length = [] if "chunked" in name else ["-H", f"Content-Length: {mib * MIB}", "-H", "Transfer-Encoding:"]
            self.transfers[name] = Transfer(name, self.url("/" + name), "-H", "Expect:", "-T", "-", *length,
                                            "--limit-rate", limit, feed=mib)
        self.series = Transfer("series", self.url(f"/series/[1-{SERIES}]"), "--rate", "20/s")

    def account(self):
        """What the HTTP server says, asked past the sidecars: this connection is one more."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/account", timeout=PATIENCE) as answer:
            return json.load(answer)

    def said(self, child):
        """The checks of a client, and the figures behind them."""
        child.process.wait(PATIENCE)
        for m in re.finditer(r"^(not )?ok (\S+?)(?:: (.*))?$", child.text(), re.M):
            name = f"{self.s.name}/{m[2]}"
            if m[1]:
                self.s.tally.not_ok(name, m[3])
            else:
                self.s.tally.ok(name)
        expect(0, child.process.returncode, f"exit status of {child.name} ({child.tail()})")
        return json.loads(re.search(r"^sum (.*)$", child.text(), re.M)[1])


def upgrades(clients):
    """One sidecar after the other."""
    before = {line: line.counters() for line in clients.lines}
    for turn in range(TURNS):
        line = clients.lines[turn % 2]
        line.upgrade(workers=WORKERS[(turn // 2 + 1) % len(WORKERS)])
        clients.under_way += clients.transfers["slow-gib"].is_going()
        before[line] = line.expect_no_step_back(before[line])
        time.sleep(PAUSE)
    expect(True, clients.under_way > 1, "did the slow download live through upgrades")


def download(clients, name):
    transfer = clients.transfers[name]
    transfer.expect_one_connection()
    expect(clients.server["sent"][name], transfer.account(), "bytes and hash, as sent and as received")
    expect(DOWNLOADS[name][1] * MIB, transfer.bytes, "bytes")


def upload(clients, name):
    transfer = clients.transfers[name]
    transfer.expect_one_connection()
    expect(transfer.account(), clients.server["got"][name], "bytes and hash, as sent and as received")
    expect(str(transfer.bytes), transfer.body.decode(), "the answer")


def series(clients):
    """Many calls, one connection, the answers in their order."""
    clients.series.expect_one_connection(SERIES)
    expect("".join(f"/series/{i}\n" for i in range(1, SERIES + 1)), clients.series.body.decode(), "the answers")


def websockets(clients, sums):
    expect(sums["sent"], sums["got"], "messages that were sent, and that came back")
    expect((sums["sockets"], sums["sent"]), (clients.server["handshakes"], clients.server["messages"]),
           "handshakes and messages, as the server counts")


def counters(clients, sockets, calls, connections):
    """Each sidecar, over all its processes, has counted what the ends have counted."""
    http_calls = clients.server["calls"] + sockets
    for line in clients.lines:
        found = line.stats()
        for name, want in {
                "http.in.downstream_cx_total": len(clients.transfers) + 1 + sockets if line is clients.near else None,
                "http.in.downstream_rq_total": http_calls, "cluster.http.upstream_rq_total": http_calls,
                "http.rpc.downstream_rq_total": calls, "cluster.bolt.upstream_rq_total": calls,
                "http.rpc.downstream_cx_total": connections if line is clients.near else None,
                "http.rpc.downstream_rq_5xx": 0, "http.in.downstream_rq_5xx": 0}.items():
            if want is not None:
                expect(want, found.get(name, 0), f"{line.name}: {name}")


def connections_between(clients):
    """Nothing that stood towards a Bolt server has been closed (one that was not yet there at an upgrade may have been
    asked for again, and counts twice); what one side says it has opened the other has accepted."""
    near, far = clients.near.stats(), clients.far.stats()
    for name, found in (("near", near), ("far", far)):
        expect(0, found["cluster.bolt.upstream_cx_destroy"], f"{name}: Bolt connections that ended")
    expect(near["cluster.http.upstream_cx_total"], far["http.in.downstream_cx_total"], "HTTP, from near to far")
    expect(near["cluster.bolt.upstream_cx_total"], far["http.rpc.downstream_cx_total"], "Bolt, from near to far")
    expect(far["cluster.http.upstream_cx_total"], clients.server["connections"] - 1, "from far to the server")


def run(s):
    clients = Clients(s)
    clients.start()
    s.check(f"{TURNS}-upgrades-one-after-the-other", upgrades, clients)
    open(clients.until, "w").close()
    for transfer in (*clients.transfers.values(), clients.series):
        transfer.end()
    sums = {}
    s.check("websockets-end-well", lambda: sums.update(clients.said(clients.ws)))
    s.check("sofarpc-ends-well", lambda: sums.update(clients.said(clients.sofa)))
    clients.server = clients.account()
    print(f"# {sums}; the slow download has lived through {clients.under_way} upgrades", flush=True)
    for name in DOWNLOADS:
        s.check(f"curl-{name}-is-the-same-at-both-ends", download, clients, name)
    for name in UPLOADS:
        s.check(f"curl-{name}-is-the-same-at-both-ends", upload, clients, name)
    s.check("curl-calls-in-their-order", series, clients)
    s.check("websockets-are-the-same-at-both-ends", websockets, clients, sums)
    s.check("stats-agree", lambda: counters(clients, sums["sockets"], sums["calls"], sums["connections"]))
    s.check("no-connection-was-closed-between", connections_between, clients)
