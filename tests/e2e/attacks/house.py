"""A sidecar under attack: its bootstrap from parts, and what the kernel says of it.

Bootstraps are built as Python values and written as JSON, because each scenario needs another one: a dozen
clusters that are each ill in their own way, a cap of 20 connections, a deadline of 2 s. What the sidecar holds
and spends is read from /proc, not asked of the sidecar.
"""

import contextlib
import glob
import json
import os
import re
import socket
import time

from harness import PROXY, Failed, Sidecar, free_port

TYPE = "type.googleapis.com/"
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "envoy.filters.http.router",
          "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}}
TICKS = os.sysconf("SC_CLK_TCK")


def typed(name, **fields):
    return {"@type": TYPE + name, **fields}


def address(port, host="127.0.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


# ---- parts of a bootstrap ----

def to(name, prefix="/", **more):
    """A route that forwards. More of the action: timeout, retry_policy."""
    return {"match": {"prefix": prefix}, "route": {"cluster": name, "timeout": "0s", **more}}


def says(prefix, status=200, body="ahoy"):
    """A route that answers by itself."""
    return {"match": {"prefix": prefix}, "direct_response": {"status": status, "body": {"inline_string": body}}}


def listener(name, port, filter_name, config):
    filters = [{"name": filter_name, "typed_config": config}]
    return {"name": name, "address": address(port), "filter_chains": [{"filters": filters}]}


def http(port, routes, name="in", **more):
    """A listener that speaks HTTP/1.1. `routes`: a list, or the name of the one cluster."""
    routes = [to(routes)] if isinstance(routes, str) else routes
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    config = typed(HCM, stat_prefix=name, route_config={"name": "local", "virtual_hosts": hosts},
                   http_filters=[ROUTER], **more)
    return listener(name, port, "envoy.filters.network.http_connection_manager", config)


def bolt(port, services, name="in", **more):
    """A listener that speaks Bolt: service -> cluster, or service -> (cluster, more of the action)."""
    hosts = []
    for service, where in services.items():
        cluster_name, action = where if isinstance(where, tuple) else (where, {})
        hosts.append({"name": service, "domains": [service], "routes": [to(cluster_name, **action)]})
    config = typed("sampan.rpc.v1.RpcConnectionManager", protocol="bolt", stat_prefix=name,
                   route_config={"name": "local", "virtual_hosts": hosts}, http_filters=[ROUTER], **more)
    return listener(name, port, "sampan.filters.network.rpc", config)


def tcp(port, cluster_name, name="in"):
    config = typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=name, cluster=cluster_name)
    return listener(name, port, "envoy.filters.network.tcp_proxy", config)


def cluster(name, port, speaks_bolt=False, **more):
    endpoint = {"endpoint": {"address": address(port)}}
    made = {"name": name, "type": "STATIC", "connect_timeout": "2s", "lb_policy": "ROUND_ROBIN",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}, **more}
    if speaks_bolt:
        made["typed_extension_protocol_options"] = {
            "sampan.rpc.v1": typed("sampan.rpc.v1.RpcProtocolOptions", protocol="bolt")}
    return made


def limits(**most):
    """Circuit breakers: max_connections, max_pending_requests, max_requests."""
    return {"circuit_breakers": {"thresholds": [most]}}


def log_to(path, form="%REQ(:PATH)% %RESPONSE_CODE%\n"):
    """An access log: a line of text, or a dict of fields for rows of JSON."""
    form = {"json_format": form} if isinstance(form, dict) else {"text_format_source": {"inline_string": form}}
    return {"name": "envoy.access_loggers.file",
            "typed_config": typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", path=path, log_format=form)}


def tell(text):
    """A figure for people; nothing is judged by it."""
    print(f"# {text}", flush=True)


# ---- the process ----

def is_sanitized():
    """Is the sidecar built with AddressSanitizer? Its shadow and its quarantine are no memory of ours."""
    with open(PROXY, "rb") as f:
        return b"__asan_init" in f.read()


class Proxy(Sidecar):
    """A sidecar from parts. `settings` are fields of sampan.proxy.v1.Settings. $SAMPAN_WORKERS asks for more workers
    than the scenario needs."""

    def __init__(self, scenario, name, listeners, clusters=(), workers=1, settings=None, **spawn):
        self.scenario, self.name, self.prefix = scenario, name, []
        self.admin_port = free_port()
        self.config = os.path.join(scenario.folder, name + ".json")
        self.base = os.path.join(scenario.folder, name + ".base")
        os.mkdir(self.base, 0o700)
        bootstrap = {"admin": {"address": address(self.admin_port)},
                     "static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}
        if settings:
            bootstrap["bootstrap_extensions"] = [
                {"name": "sampan.proxy", "typed_config": typed("sampan.proxy.v1.Settings", **settings)}]
        with open(self.config, "w") as f:
            json.dump(bootstrap, f, indent=1)
        workers = max(workers, int(os.environ.get("SAMPAN_WORKERS", "1")))
        self.argv = [PROXY, "-c", self.config, "--concurrency", str(workers), "--base-dir", self.base]
        self.spawn = spawn
        scenario.sidecars.append(self)
        self.start()

    def start(self):
        """Starts it (again: after a kill -9 the same configuration comes back)."""
        self.child = self.scenario.spawn(self.name, self.argv, **self.spawn)
        self.child.wait_for_line(r"\bready\b")
        self.rest_fds = self.fds()

    @property
    def pid(self):
        return self.child.process.pid

    def read(self, name):
        with open(f"/proc/{self.pid}/{name}") as f:
            return f.read()

    def pss(self):
        """Bytes of memory that are its own share."""
        return int(re.search(r"^Pss:\s+(\d+) kB", self.read("smaps_rollup"), re.M)[1]) << 10

    def cpu(self):
        """Seconds of processor time that it has used."""
        fields = self.read("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def expect_rest(self, most=2, seconds=10):
        """All descriptors that an attack took have come back, but for idle ones of the pools."""
        end = time.monotonic() + seconds
        while self.fds() > self.rest_fds + most:
            if time.monotonic() > end:
                raise Failed(f"{self.name} holds {self.fds()} descriptors, {self.rest_fds} when it had just started")
            time.sleep(0.05)

    def expect_alive(self):
        if not self.child.alive():
            raise Failed(f"{self.name} has ended with {self.child.process.returncode}: {self.child.tail()}")

    def ask(self, path, method="GET"):
        """A question by admin's Unix socket; (status, head, body)."""
        found = glob.glob(os.path.join(self.base, "*.admin.sock"))
        if not found:
            raise Failed(f"{self.name} has no admin socket under its base directory")
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(30)
            door.connect(found[0])
            door.sendall(f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
            got = b""
            while part := door.recv(1 << 16):
                got += part
        head, _, body = got.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head.decode(errors="replace"), body

    def stats(self):
        found = {}
        status, _, body = self.ask("/stats")
        if status != 200:
            raise Failed(f"/stats answered {status}")
        for line in body.decode().splitlines():
            name, _, value = line.rpartition(": ")
            with contextlib.suppress(ValueError):
                found[name] = int(value)
        return found

    def counter(self, name):
        """One figure of /stats; it is an error not to have it."""
        found = self.stats()
        if name not in found:
            raise Failed(f"{self.name}: /stats has no {name}")
        return found[name]


class Watch:
    """The most memory that a sidecar held meanwhile, above what it held at the beginning."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.base = self.most = proxy.pss()

    def look(self):
        self.most = max(self.most, self.proxy.pss())
        return self.growth()

    def growth(self):
        return self.most - self.base

    def expect(self, most_bytes, what=""):
        """AddressSanitizer keeps what was freed and adds to all: then the figure is told and not judged."""
        mib = self.growth() / (1 << 20)
        tell(f"{self.proxy.name}: {what or 'memory'} grew by {mib:.1f} MiB, at most {most_bytes / (1 << 20):.0f}")
        if self.growth() > most_bytes and not is_sanitized():
            raise Failed(f"{self.proxy.name}: memory grew by {mib:.1f} MiB, more than {most_bytes / (1 << 20):.0f}")
