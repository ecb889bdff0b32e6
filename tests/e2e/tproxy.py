"""netns.py's scenario of TPROXY: a sidecar before a server, whose callers arrive untranslated.

      caller's namespace                keeper's namespace
    ┌────────────────────┐            ┌────────────────────────────────────────────────────────────┐
    │ curl, sockets      ├── veth ── tproxy ─> :15006 door ─ lends to ─> any | second ─> program   │
    │ 10.213.7.1  ...::1 │            │ 10.213.7.2 and .3, fd5a:e2e::2 and ::3                     │
    └────────────────────┘            └────────────────────────────────────────────────────────────┘

The doors are transparent (their sockets have the address that was called) and lend each connection to the listener
that stands for that address (`use_original_dst`): `any` for HTTP's port of every address, `second` for that of one
address alone; what none stands for passes as bytes. There is one of each for each family. The program listens on both
addresses and says which of them it was called by, so a wrong original destination is seen at both ends; the
access log says what the sidecar believed.
"""

import os
import socket
import subprocess
import sys
import time

from attacks.house import ROUTER, HCM, address, log_to, typed
from harness import PROXY, Failed, Sidecar, expect

UID = 21337
HTTP, RAW, INBOUND, ADMIN = 8080, 9999, 15006, 15000
LINE = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST%\n"
PATIENCE = 60

PROGRAM = """
import socket, sys, threading
def serve(listener):
    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()
def one(sock):
    at, port = sock.getsockname()[:2]
    if port == 9999:
        sock.sendall(at.encode() + b"\\n")
        sock.sendall(sock.recv(100)[::-1])
    else:
        while sock.recv(65536):
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(at), at.encode()))
    sock.close()
for host in sys.argv[1:]:
    for port in (8080, 9999):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""

CALL = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
said = sock.makefile("rb")
at = said.readline().decode().strip()
sock.sendall(b"abc")
print(at, said.read().decode(), "%s:%d" % sock.getsockname()[:2])
"""


# ---- the sidecar's configuration ----

def lends(name, host):
    proxy = typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=name, cluster="called")
    return {"name": name, "traffic_direction": "INBOUND", "address": address(INBOUND, host), "transparent": True,
            "use_original_dst": True,
            "default_filter_chain": {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}}


def stands_for(name, host, log):
    """Not bound: it has the connections that a door lends to it."""
    hosts = [{"name": "all", "domains": ["*"],
              "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "called", "timeout": "0s"}}]}]
    routes = {"name": name, "virtual_hosts": hosts,
              "response_headers_to_add": [{"header": {"key": "x-door", "value": name}}]}
    manager = typed(HCM, stat_prefix=name, route_config=routes, http_filters=[ROUTER], access_log=[log_to(log, LINE)])
    return {"name": name, "bind_to_port": False, "address": address(HTTP, host), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def bootstrap(log, second4, second6):
    return {"admin": {"address": address(ADMIN)}, "static_resources": {
        "listeners": [lends("door-ipv4", "0.0.0.0"), lends("door-ipv6", "::"),
                      stands_for("any-ipv4", "0.0.0.0", log), stands_for("any-ipv6", "::", log),
                      stands_for("second-ipv4", second4, log), stands_for("second-ipv6", second6, log)],
        "clusters": [{"name": "called", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
                      "connect_timeout": "20s"}]}}


def run(space, *argv, status=0):
    done = subprocess.run([*space.at, *argv], capture_output=True, text=True, timeout=2 * PATIENCE)
    if done.returncode != status:
        raise Failed(f"{' '.join(argv[:4])} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def joined(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ---- what is asserted ----

def ask(client, host):
    """(x-door, what the program says, the caller's own address and port)."""
    out = run(client, "curl", "-sS", "-i", "-m", str(PATIENCE), "-w", "\n%{local_ip} %{local_port}",
              f"http://{joined(host, HTTP)}/")
    head, _, rest = out.partition("\n\n")
    doors = [line.split(": ")[1] for line in head.split("\n") if line.lower().startswith("x-door: ")]
    body, caller = rest.split("\n")
    return (doors or [None])[0], body, joined(*caller.split(" "))


def lent(client, log, host, door):
    """The listener, the program and the log agree on where the call was going."""
    got = ask(client, host)
    expect((door, host), got[:2], "the listener that had it, the address at which the program was called")
    wanted = f"{got[2]} {joined(host, HTTP)} {joined(host, HTTP)}"
    end = time.monotonic() + PATIENCE
    while True:
        lines = []
        if os.path.exists(log):
            with open(log) as f:
                lines = f.read().split("\n")[:-1]
        if wanted in lines:
            return
        if time.monotonic() > end:
            raise Failed(f"the log has no line {wanted!r}, but {lines[-3:]}")
        time.sleep(0.05)


def passes(client, host):
    """No listener stands for this port: the door carries the bytes to where they were going; the server begins."""
    at, said, _ = run(client, sys.executable, "-c", CALL, host, str(RAW)).split()
    expect((host, "cba"), (at, said), "the address at which the program was called, its answer")


def no_circle(client, sidecar, host):
    """Who calls a door by its own port goes nowhere: it must not come to call itself."""
    family = "socket.AF_INET6" if ":" in host else "socket.AF_INET"
    program = "\n".join((
        f"import socket; s = socket.socket({family}); s.settimeout({PATIENCE})",
        f"try: s.connect(({host!r}, {INBOUND})); s.sendall(b'anybody there?'); print(s.recv(100))",
        "except (ConnectionResetError, BrokenPipeError): print(b'')"))
    before = sidecar.stats().get("sampan.connections_total", 0)
    expect("b''", run(client, sys.executable, "-c", program).strip(), "what the door says")
    opened = sidecar.stats().get("sampan.connections_total", 0) - before
    if opened > 4:  # the caller's, and two questions to admin
        raise Failed(f"one call to the door opened {opened} connections")


def straight(client, host):
    expect((None, host), ask(client, host)[:2], "x-door, the address at which the program was called")


def scenario(s, client, server):
    second4, second6 = server.four[:-1] + "3", server.six[:-1] + "3"
    run(server, "ip", "addr", "add", second4 + "/24", "dev", server.link)
    run(server, "ip", "addr", "add", second6 + "/64", "dev", server.link, "nodad")
    s.spawn("program", [*server.at, sys.executable, "-c", PROGRAM, server.four, server.six, second4, second6],
            ready="^ready")
    log = os.path.join(s.folder, "access.log")
    prefix = [*server.at, "setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups",
              "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin", "--"]
    sidecar = Sidecar(s, "sidecar", bootstrap(log, second4, second6), prefix=prefix, owner=UID, ADMIN_PORT=ADMIN)
    run(server, PROXY, "intercept", "apply", "--mode", "tproxy", "--uid", str(UID))
    for family, first, second in (("ipv4", server.four, second4), ("ipv6", server.six, second6)):
        s.check(f"the-port-of-any-address-{family}", lent, client, log, first, f"any-{family}")
        s.check(f"an-address-of-its-own-{family}", lent, client, log, second, f"second-{family}")
        for name, host in (("first", first), ("second", second)):
            s.check(f"what-none-stands-for-{name}-{family}", passes, client, host)
        s.check(f"a-call-to-the-door-itself-{family}", no_circle, client, sidecar, first)
    run(server, PROXY, "intercept", "remove")
    for family, first in (("ipv4", server.four), ("ipv6", server.six)):
        s.check(f"after-remove-all-is-direct-{family}", straight, client, first)
