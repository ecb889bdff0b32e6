#!/usr/bin/env python3
"""Real programs call each other through real sidecars on this machine.

    tests/e2e/build.sh && tests/e2e/run.py            all scenarios, two sidecars between the programs
    tests/e2e/run.py bolt-direct http-curl            only these
    tests/e2e/run.py --direct | --relay               no sidecars, or stand-ins that copy bytes: checks this harness

         program ──> client's sidecar ──> server's sidecar ──> program

The proxy is taken from $SAMPAN_BUILD (build/). One line for each check, then `N passed, N failed`.
"""

import argparse
import os
import re
import subprocess
import time

import settings
from harness import (HERE, PROXY, PYTHON, Failed, MeshApi, Relay, Scenario, Sidecar, Tally, await_free, expect,
                     free_port, main_guard, node, sofa_client, sofa_server, spring_client, spring_server)

# Fixed inside SOFARPC and anthunder (SOFARPC's API address can be given; its traffic port cannot).
MESH_API = 13330
MESH_TRAFFIC = 12220
LOG_SECONDS = 60  # SOFATracer writes behind the calls


# ---- what stands between the programs ----

def between(s, template, port):
    """Puts a client's and a server's sidecar in front of `port`; returns the port to call."""
    if s.mode == "direct":
        return port
    near, far = free_port(), free_port()
    if s.mode == "relay":
        for listen, upstream in ((far, port), (near, far)):
            s.closers.append(Relay(listen, ("127.0.0.1", upstream)).close)
        return near
    Sidecar(s, "server-sidecar", template, PORT=far, UPSTREAM_PORT=port)
    Sidecar(s, "client-sidecar", template, PORT=near, UPSTREAM_PORT=far)
    return near


def both_carried(s, least, cluster="out"):
    """The sidecars' own figures say that the calls passed both."""
    for sidecar in s.sidecars:
        s.check(f"{sidecar.name}-carried-the-calls", sidecar.expect_calls, cluster, least)


# ---- the scenarios ----

def bolt_direct(s):
    port = free_port()
    sofa_server(s, port)
    sofa_client(s, "client", "--url", f"bolt://127.0.0.1:{between(s, 'bolt.yaml.in', port)}")
    both_carried(s, 2000)
    s.check("trace-ids-pass", trace_ids_pass, s)


def trace_ids_pass(s):
    """Each of the first fifty traces in the client's SOFATracer log is in the server's."""
    def ids(home):
        with open(os.path.join(s.folder, home, "logs/tracelog", f"rpc-{home.split('.')[0]}-digest.log")) as f:
            return re.findall(r'"?(?:tracerId|traceId)"?:\s*"([^"]+)"', f.read())

    wanted = ids("client.home")[:50]
    expect(50, len(wanted), "traces in the client's log")
    end = time.monotonic() + LOG_SECONDS
    while late := set(wanted) - set(ids("server.home")):
        if time.monotonic() > end:
            raise Failed(f"not in the server's log: {sorted(late)[:3]}")
        time.sleep(0.1)


def bolt_mesh_registry(s):
    """SOFARPC's `mesh` registry on both sides. Its traffic port is fixed: the client's sidecar has to hold it."""
    port, far, far_api = free_port(), free_port(), free_port()
    await_free(MESH_API, MESH_TRAFFIC)
    apis = []
    if s.mode == "sidecar":
        Sidecar(s, "server-sidecar", "mesh-server.yaml.in", PORT=far, API_PORT=far_api, APP_PORT=port)
        Sidecar(s, "client-sidecar", "mesh-client.yaml.in", PORT=MESH_TRAFFIC, API_PORT=MESH_API, UPSTREAM_PORT=far,
                OWN_PORT=free_port())
    else:
        for api in (far_api, MESH_API):
            apis.append(MeshApi(api))
            s.closers.append(apis[-1].close)
        s.closers.append(Relay(MESH_TRAFFIC, ("127.0.0.1", port)).close)
    sofa_server(s, port, "--mesh", f"http://127.0.0.1:{far_api}")
    sofa_client(s, "client", "--mesh", f"http://127.0.0.1:{MESH_API}")
    both_carried(s, 2000)
    if apis:
        s.check("provider-published", lambda: expect(
            ["com.acme.EchoService:1.0", "com.acme.ProtoEcho:1.0"],
            sorted(body["serviceName"] for path, body in apis[0].heard if path == "/services/publish")))


def node_bolt(s):
    """sofa-rpc-node against the Java server: Bolt v1, v2, v2 with CRC."""
    port = free_port()
    sofa_server(s, port)
    url = f"127.0.0.1:{between(s, 'bolt.yaml.in', port)}"
    for name, more in (("v1", []), ("v2", ["--bolt", "2"]), ("v2-crc", ["--bolt", "2", "--crc"])):
        s.run_checks(f"client-{name}", node("sofa-client.js", "--url", url, *more), prefix=f"{name}-", expected=8)
    both_carried(s, 1980)
    for sidecar in s.sidecars:
        s.check(f"{sidecar.name}-refused-only-what-was-slow", refused_only_the_slow, sidecar)


def refused_only_the_slow(sidecar):
    """When a call's time is over the sidecar says so to the caller; sofa-rpc-node, whose own clock may be later, then
    tells its user no status. So that each of the three clients had one TIMEOUT, and nothing else, is asked here."""
    stats = sidecar.stats()
    expect((3, 0), tuple(stats.get(f"http.in.downstream_rq_{name}", 0) for name in ("5xx", "reset")),
           "answers of 5xx, calls that were cut")
    odd = {name: n for name, n in stats.items() if name.startswith("sampan.reason.") and n}
    odd = [name for name in odd if name.rpartition(".")[2] not in ("TIMEOUT", "NO_ROUTE")]
    expect([], odd, "reasons besides TIMEOUT and the unknown service's")


def anthunder(s):
    """The Python library for the light SDK's interface; its calls are Bolt v1 with the protobuf codec."""
    port, far, far_api, own = free_port(), free_port(), free_port(), free_port()
    await_free(MESH_API, MESH_TRAFFIC)
    more = []
    if s.mode == "sidecar":
        Sidecar(s, "server-sidecar", "mesh-server.yaml.in", PORT=far, API_PORT=far_api, APP_PORT=port)
        Sidecar(s, "client-sidecar", "mesh-client.yaml.in", PORT=MESH_TRAFFIC, API_PORT=MESH_API, UPSTREAM_PORT=far,
                OWN_PORT=own)
        more = ["--own-port", str(own)]
    else:
        s.closers.append(MeshApi(MESH_API).close)
        s.closers.append(Relay(MESH_TRAFFIC, ("127.0.0.1", port)).close)
    sofa_server(s, port)
    s.run_checks("client", [PYTHON, os.path.join(HERE, "python", "client.py"), *more], expected=9)
    both_carried(s, 300)


def spring(s):
    port = free_port()
    spring_server(s, port, "--server.address=127.0.0.1")
    spring_client(s, "client", f"http://127.0.0.1:{between(s, 'http.yaml.in', port)}")
    both_carried(s, 600)


def websocket(s):
    port = free_port()
    s.spawn("server", node("ws-server.js", "--port", str(port)), ready="^ready")
    near = between(s, "http.yaml.in", port)
    s.run_checks("client", node("ws-client.js", "--url", f"ws://127.0.0.1:{near}"), expected=10)
    both_carried(s, 10)


def http_server(s):
    port = free_port()
    s.spawn("server", node("http-server.js", "--port", str(port)), ready="^ready")
    return between(s, "http.yaml.in", port)


def wrk(s):
    """Two seconds of load; not how fast, but that nothing failed. A call may take as long as the machine lets it."""
    port = http_server(s)
    counts = []

    def load(path, *more):
        argv = ["wrk", "-t1", "-c16", "-d2s", "--timeout", "60s", *more, f"http://127.0.0.1:{port}{path}"]
        out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
        counts.append(int(re.search(r"(\d+) requests in", out)[1]))
        if not counts[-1] or "Socket errors" in out or "Non-2xx" in out:
            raise Failed(out)

    s.check("no-error-in-two-seconds", load, "/hello")
    s.check("no-error-with-a-connection-each", load, "/hello", "-H", "Connection: close")
    both_carried(s, sum(counts))


def http_curl(s):
    from curl import Curl  # its own file: there are many
    Curl(s, http_server(s)).run()
    both_carried(s, 40)


SCENARIOS = {
    "bolt-direct": bolt_direct,
    "bolt-mesh-registry": bolt_mesh_registry,
    "node-bolt": node_bolt,
    "anthunder": anthunder,
    "spring": spring,
    "http-curl": http_curl,
    "wrk": wrk,
    "websocket": websocket,
    "settings": settings.scenario,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--direct", action="store_true", help="no sidecars: the programs call each other")
    parser.add_argument("--relay", action="store_true", help="a relay of bytes in the place of each sidecar")
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    args = parser.parse_args()
    for name in args.scenario:
        if name not in SCENARIOS:
            parser.error(f"unknown scenario: {name}")
    mode = "direct" if args.direct else "relay" if args.relay else "sidecar"
    if mode == "sidecar" and not os.access(PROXY, os.X_OK):
        print(f"not ok start: no sidecar at {PROXY}\n0 passed, 1 failed")
        return 1

    tally = Tally(mode)
    for name in args.scenario or SCENARIOS:
        with Scenario(tally, name) as s:
            SCENARIOS[name](s)
    return tally.finish()


if __name__ == "__main__":
    main_guard(main)
