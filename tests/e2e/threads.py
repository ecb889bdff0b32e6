#!/usr/bin/env python3
"""A whole sidecar of four workers under ThreadSanitizer: everything that crosses threads, at the same time.

    SAMPAN_BUILD=build-tsan/src/cmd tests/e2e/threads.py

        HTTP, Bolt, raw bytes ──┐                       ┌── names that are asked again each second
        light SDK ──────────────┤ 4 workers, one lender ├── upstreams that answer, reset, are late
        admin, on both doors ───┘ of every limit        └── a log that is moved and opened anew (SIGHUP)

Workers share little, so there is little that can go wrong, and all of it is here: snapshots (a name's addresses
change), limits that are lent in shares (connections, requests, retries; small ones, so that shares come back and go
out again), cells that admin adds up while they are counted, records that `/why` looks for, the access log's file,
log levels, the light SDK's door, the drain at the end with calls under way. A run without ThreadSanitizer is refused:
it would prove nothing. Any report of it in the sidecar's output is a failure, word for word; so is a call that was
answered wrongly. Behind it come those of attack.py's scenarios where workers meet, with as many workers.
"""

import contextlib
import http.client
import os
import re
import signal
import socket
import threading
import time

import attack
from attacks.house import Proxy, bolt, cluster, http as http_listener, limits, log_to, tcp, tell, to
from attacks.peers import BoltClient, BoltUpstream, Recorder, Scripted, ask, cut, dial, read_head
from harness import PROXY, Failed, Scenario, Tally, expect, free_port, main_guard

SECONDS = 15
WORKERS = 4
ATTACKS = ("connections", "descriptors", "cluster-limits", "terms", "deadline", "twice", "crowded", "upgrades",
           "killed")
CHANGES = ("/logging?level=debug", "/logging?level=info", "/reset_counters")
SDK = (("configs/application", '{"appName":"threads"}'),
       ("services/publish", '{"serviceName":"com.acme.S%d:1.0","protocolType":"DEFAULT","port":"12200",'
                            '"providerMetaInfo":{"protocol":"1","serializeType":"hessian2","appName":"threads"}}'),
       ("services/subscribe", '{"serviceName":"com.acme.S%d:1.0"}'),
       ("services/unsubscribe", '{"serviceName":"com.acme.S%d:1.0"}'),
       ("services/unpublish", '{"serviceName":"com.acme.S%d:1.0"}'))


class Crowd:
    """Threads that do one thing again and again until the time is over; the first error of each is kept."""

    def __init__(self):
        self.end = threading.Event()
        self.threads, self.errors, self.counts = [], [], {}

    def add(self, name, body, *args):
        def run():
            count = 0
            try:
                while not self.end.is_set():
                    body(count, *args)
                    count += 1
            except Exception as err:
                self.errors.append(f"{name}: {type(err).__name__}: {err}")
            self.counts[name] = self.counts.get(name, 0) + count

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def join(self):
        self.end.set()
        for thread in self.threads:
            thread.join(60)
        if any(thread.is_alive() for thread in self.threads):
            self.errors.append("some of the load hangs")


# ---- what is asked ----

def call_http(number, ports):
    """A connection of its own for some calls, so that all workers accept; each answer is the caller's own."""
    with dial(ports["http"]) as sock:
        for i in range(8):
            path = f"/n/{threading.get_ident()}/{number}/{i}"
            got = ask(ports["http"], path, sock=sock)
            expect((200, path.encode()), (got.status, got.body))
    for path, reason in (("/resets/", "UPSTREAM_RESET"), ("/dead/", "CONNECT")):  # the second is tried three times
        got = ask(ports["http"], path)
        expect((503, reason), (got.status, got.reason))
    ask(ports["http"], "/few/")  # 200, or a reason: its limits are small
    with dial(ports["http"]) as sock:  # and one that leaves in mid-call
        sock.sendall(b"GET /late/ HTTP/1.1\r\nHost: test\r\n\r\n")
        cut(sock)


def call_bolt(number, ports):
    client = BoltClient(ports["bolt"])
    wanted = {client.send("echo", b"%d/%d" % (number, i), timeout=30000): b"%d/%d" % (number, i) for i in range(16)}
    client.send("echo", b"nobody waits", oneway=True)
    for number_, frame in client.answers(16).items():
        expect((0, wanted[number_]), (frame.status, frame.content))
    client.close()


def call_tcp(number, ports):
    with dial(ports["tcp"]) as sock:
        data = os.urandom(100_000)
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            part = sock.recv(1 << 16)
            if not part:
                raise Failed(f"the end behind {len(got)} of {len(data)} bytes")
            got += part
        sender.join()
        expect(True, got == data, "the bytes came back as they were")


def call_sdk(number, ports):
    path, body = SDK[number % len(SDK)]
    door = http.client.HTTPConnection("127.0.0.1", ports["sdk"], timeout=30)
    door.request("POST", "/" + path, body % (number % 7) if "%d" in body else body,
                 {"Content-Type": "application/json"})
    answer = door.getresponse()
    said = answer.read()
    expect((200, True), (answer.status, b'"success":true' in said), f"{path} said {said!r}")
    door.close()


def pages_of(proxy):
    """All that /help lists for reading, and their other forms."""
    pages = []
    for path, text in re.findall(r"^  (/\S*): (.*)$", proxy.ask("/help")[2].decode(), re.M):
        if "(POST" not in text and path != "/why":  # that one is asked for an id
            pages += [path] + [path + word for word in re.findall(r"\?(?:format=json|usedonly)", text)]
    return pages


def look(number, proxy, pages):
    """Each page by the Unix socket, every other also on loopback; now and then something is changed."""
    page = pages[number % len(pages)]
    expect(200, proxy.ask(page)[0], page)
    expect(404, proxy.ask(f"/why?id={number}")[0], "/why of nobody's id")
    if number % 2:
        proxy.admin(page)
    if number % 5 == 0:
        change = CHANGES[number // 5 % len(CHANGES)]
        expect(200, proxy.ask(change, "POST")[0], change)


def move_log(number, proxy, path):
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, path + ".1")
    proxy.child.process.send_signal(signal.SIGHUP)
    time.sleep(0.05)


# ---- the upstreams ----

def echo_bytes(sock, number):
    while part := sock.recv(1 << 16):
        sock.sendall(part)


def resets(sock, number):
    read_head(sock)
    cut(sock)


def late(sock, number):
    while True:
        read_head(sock)
        time.sleep(0.3)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")


def by_name(made):
    """The cluster's endpoints are names (of this machine's own hosts file), looked up again each second."""
    made["type"], made["dns_refresh_rate"], made["dns_lookup_family"] = "STRICT_DNS", "1s", "V4_ONLY"
    for place in made["load_assignment"]["endpoints"]:
        for endpoint in place["lb_endpoints"]:
            endpoint["endpoint"]["address"]["socket_address"]["address"] = "localhost"
    return made


def start(s, ports, log):
    upstream = Recorder(s, answer=lambda request: request.target)
    services = BoltUpstream(s)
    raw, ill, slow = Scripted(s, echo_bytes, 256), Scripted(s, resets, 256), Scripted(s, late, 256)
    retry = {"retry_on": "connect-failure", "num_retries": 2}
    listeners = [
        http_listener(ports["http"], [to("ill", "/resets/"), to("dead", "/dead/", retry_policy=retry),
                                      to("late", "/late/"), to("few", "/few/"), to("out")], access_log=[log_to(log)]),
        bolt(ports["bolt"], {"echo": "calls"}, name="rpc", access_log=[log_to(log)]),
        tcp(ports["tcp"], "raw", name="raw")]
    clusters = [by_name(cluster("out", upstream.port)), by_name(cluster("calls", services.port, True)),
                by_name(cluster("raw", raw.port)), cluster("ill", ill.port), cluster("dead", free_port()),
                cluster("late", slow.port),
                cluster("few", slow.port, **limits(max_connections=3, max_pending_requests=3, max_requests=5))]
    settings = {"drain_time": "20s", "caps": {"max_connections": 300},
                "light_sdk": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["sdk"]}},
                              "traffic_listener": "rpc"}}
    return Proxy(s, "sidecar", listeners, clusters, workers=WORKERS, settings=settings)


def drains(proxy, ports):
    """SIGTERM with calls of each kind under way; it ends by itself, and with nothing to report."""
    held = [dial(ports["http"]) for _ in range(12)]
    for sock in held:
        sock.sendall(b"GET /late/ HTTP/1.1\r\nHost: test\r\n\r\n")
    time.sleep(0.1)
    proxy.child.process.send_signal(signal.SIGTERM)
    proxy.child.process.wait(60)
    for sock in held:
        sock.close()


def no_report(proxy):
    """ThreadSanitizer reports to standard error and then exits with 66; all of a report is one paragraph."""
    text = proxy.child.text()
    at = text.find("WARNING: ThreadSanitizer")
    if at >= 0:
        count = text.count("WARNING: ThreadSanitizer")
        raise Failed(f"{count} reports, the first of them: {text[at:at + 3000]}")
    expect(0, proxy.child.process.returncode, f"exit status ({proxy.child.tail()})")


def threads(s):
    ports = {name: free_port() for name in ("http", "bolt", "tcp", "sdk")}
    log = os.path.join(s.folder, "access.log")
    proxy = start(s, ports, log)
    crowd = Crowd()
    for _ in range(3):
        for name, body in (("http", call_http), ("bolt", call_bolt), ("tcp", call_tcp)):
            crowd.add(name, body, ports)
    for _ in range(2):
        crowd.add("admin", look, proxy, pages_of(proxy))
        crowd.add("light-sdk", call_sdk, ports)
    crowd.add("log", move_log, proxy, log)
    crowd.end.wait(SECONDS)
    crowd.join()
    tell(", ".join(f"{count} {name}" for name, count in sorted(crowd.counts.items())))
    s.check("every-call-was-answered-rightly", lambda: expect([], crowd.errors[:3]))
    for name in ("http", "bolt", "tcp", "admin", "light-sdk", "log"):
        s.check(f"{name}-went-on", lambda count: expect(True, count > 2, f"{count} rounds"), crowd.counts.get(name, 0))
    s.check("it-drains", drains, proxy, ports)
    s.check("thread-sanitizer-reports-nothing", no_report, proxy)


def main():
    with contextlib.suppress(OSError), open(PROXY, "rb") as f:
        if b"__tsan_init" in f.read():
            tally = Tally("sidecar")
            with Scenario(tally, "threads") as s:
                threads(s)
            os.environ["SAMPAN_WORKERS"] = str(WORKERS)
            for name in ATTACKS:
                with Scenario(tally, name) as s:
                    attack.SCENARIOS[name](s)
            return tally.finish()
    print(f"not ok threads/start: {PROXY} is not built with ThreadSanitizer\n0 passed, 1 failed")
    return 1


if __name__ == "__main__":
    main_guard(main)
