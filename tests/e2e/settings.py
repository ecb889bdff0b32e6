"""run.py's scenario of settings whose effect only the system shows: sockets, names of figures, families of addresses.

Real programs are not needed for it: `attacks.peers` calls and serves.
"""

import json
import os
import re
import socket
import stat
import subprocess

from attacks import wire
from attacks.house import Proxy, cluster, http, tell, typed
from attacks.peers import Recorder, ask, await_true, read_answer
from harness import PROXY, Failed, expect, free_port

TEXT = {"text_format_source": {"inline_string": "logged %REQ(:PATH)%\n"}}


def stream_log(kind):
    return {"name": "envoy.access_loggers." + kind.lower(),
            "typed_config": typed(f"envoy.extensions.access_loggers.stream.v3.{kind}AccessLog", log_format=TEXT)}


def listening(port):
    """The queue's length of each socket that listens on the port, as the kernel has it."""
    out = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], check=True, capture_output=True, text=True, timeout=60)
    return [int(line.split()[2]) for line in out.stdout.splitlines()]


def six(s):
    """A port on ::1; None where the machine has no IPv6."""
    port = free_port()
    try:
        s.closers.append(socket.create_server(("::1", port), family=socket.AF_INET6).close)
    except OSError:
        return None
    return port


def scenario(s):
    if s.mode != "sidecar":
        return  # there is nothing to look at
    upstream, port = Recorder(s), free_port()
    path = os.path.join(s.folder, "door.sock")
    listeners = [http(port, "out", access_log=[stream_log("Stdout"), stream_log("Stderr")]),
                 http(0, "out", name="door", use_remote_address=True)]
    listeners[0].update(traffic_direction="OUTBOUND", tcp_backlog_size=77, enable_reuse_port=True)
    listeners[-1]["address"] = {"pipe": {"path": path, "mode": 0o620}}
    clusters = [cluster("out", upstream.port, alt_stat_name="other")]
    sixth = six(s)
    if sixth:
        by_six = cluster("six", sixth, type="STRICT_DNS", dns_lookup_family="V6_ONLY")
        endpoint = by_six["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["socket_address"]["address"] = "localhost"
        clusters.append(by_six)
    proxy = Proxy(s, "sidecar", listeners, clusters, workers=2)

    def alt_stat_name():
        expect(200, ask(port, "/figures").status)
        found = proxy.stats()
        expect((1, False), (found.get("cluster.other.upstream_rq_total"), "cluster.out.upstream_rq_total" in found))

    def traffic_direction():
        said = proxy.ask("/stats/prometheus")[2].decode()
        if not re.search(r'^istio_requests_total\{[^}]*reporter="source"', said, re.M):
            raise Failed("no call is counted by its source")

    def logs():
        """Both go to the one file that the harness keeps of it."""
        await_true("two lines", lambda: proxy.child.text().count("logged /figures") == 2)

    def pipe():
        expect(0o620, stat.S_IMODE(os.stat(path).st_mode), "the socket file's mode")
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(path)
            for claim in (b"", b"X-Forwarded-For: 192.0.2.1\r\n"):
                door.sendall(b"GET /by-path HTTP/1.1\r\nHost: test\r\n" + claim + b"\r\n")
                expect(200, read_answer(door).status)
        said = [wire.values(request.fields, b"x-forwarded-for") for request in upstream.since(0)
                if request.target == b"/by-path"]
        expect([[], [b"192.0.2.1"]], said, "x-forwarded-for of who has no address")

    def family():
        """The name has an address of each family; the cluster takes the one that is asked for."""
        found = proxy.ask("/clusters")[2].decode()
        if f"six::[::1]:{sixth}::" not in found:
            raise Failed(f"six is not at ::1 in {found}")

    def not_ours():
        away = http(free_port(), "out", name="away")
        away["address"]["socket_address"]["address"] = "203.0.113.9"  # RFC 5737: nobody's
        config = os.path.join(s.folder, "away.json")
        with open(config, "w") as f:
            json.dump({"static_resources": {"listeners": [away], "clusters": clusters}}, f)
        base = os.path.join(s.folder, "away.base")
        done = subprocess.run([PROXY, "-c", config, "--base-dir", base], capture_output=True, text=True, timeout=60)
        expect(1, done.returncode)
        if "the address is not of this machine" not in done.stderr:
            raise Failed(done.stderr)

    s.check("an-address-of-another-machine-is-called-one", not_ours)
    s.check("alt-stat-name", alt_stat_name)
    s.check("traffic-direction", traffic_direction)
    s.check("stdout-and-stderr-logs", logs)
    s.check("pipe-and-mode", pipe)
    s.check("enable-reuse-port-gives-each-worker-a-socket", lambda: expect(2, len(listening(port))))
    s.check("tcp-backlog-size", lambda: expect({77}, set(listening(port))))
    if sixth:
        s.check("dns-lookup-family", await_true, "the name is looked up", lambda: is_true(family))
    else:
        tell("no IPv6 on this machine: dns_lookup_family is shown by the unit tests alone")


def is_true(body):
    try:
        body()
    except Failed:
        return False
    return True
