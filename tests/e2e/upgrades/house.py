"""A sidecar that is replaced again and again: one bootstrap, one base directory, one process after the other."""

import os
import re
import subprocess
import time

from attacks import house
from attacks.house import Proxy, bolt, cluster, http, tcp
from harness import PROXY, Failed, free_port

READY = 30


def unix_listener(path, routes):
    made = http(0, routes, name="unix")
    made["address"] = {"pipe": {"path": path, "mode": 0o600}}
    return made


class Line(Proxy):
    """The sidecar that serves now; `upgrade` puts another in its place. `children` are all that there were."""

    def __init__(self, scenario, upstream, workers=2, name="proxy"):
        ports = {kind: free_port() for kind in ("http", "bolt", "tcp")}
        ports["unix"] = os.path.join(scenario.folder, name + ".listener.sock")
        self.ports = ports
        self.sdk_port = free_port()
        listeners = [http(ports["http"], "http", upgrade_configs=[{"upgrade_type": "websocket"}]),
                     bolt(ports["bolt"], {"com.acme.EchoService:1.0": "bolt"}, name="rpc"),
                     tcp(ports["tcp"], "tcp", name="raw"), unix_listener(ports["unix"], "http")]
        clusters = [cluster("http", upstream["http"]), cluster("bolt", upstream["bolt"], speaks_bolt=True),
                    cluster("tcp", upstream["tcp"])]
        for made in clusters:
            made["circuit_breakers"] = {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000,
                                                        "max_requests": 100000}]}
        self.serial = 0
        super().__init__(scenario, name, listeners, clusters, workers,
                         {"light_sdk": {"address": house.address(self.sdk_port), "traffic_listener": "rpc"}})
        self.argv = [PROXY, "-c", self.config, "--concurrency", str(workers), "--base-dir", self.base]

    def successor(self, *more, workers=None, program=None, env=None):
        """Starts one; whether it takes over is the caller's to find out."""
        self.serial += 1
        argv = list(self.argv) + ["--takeover", *more]
        if program:
            argv[0] = program
        if workers:
            argv[argv.index("--concurrency") + 1] = str(workers)
        return self.scenario.spawn(f"{self.name}.{self.serial}", argv, **({"env": env} if env else {}))

    def upgrade(self, **how):
        """Puts a successor in the place of the one that serves; seconds until the old one had ended."""
        began, old = time.monotonic(), self.child
        new = self.successor(**how)
        new.wait_for_line(r"\bready\b", READY)
        self.child = new
        try:
            status = old.process.wait(READY)
        except subprocess.TimeoutExpired:
            raise Failed("the old process has not ended") from None
        if status:
            raise Failed(f"the old process ended with {status}: {old.tail()}")
        if "handed over" not in old.text():
            raise Failed(f"the old process has not handed over: {old.tail()}")
        return time.monotonic() - began

    def counters(self):
        """Everything that Prometheus is told to be a counter: with its labels -> value."""
        status, _, body = self.ask("/stats/prometheus")
        if status != 200:
            raise Failed(f"/stats/prometheus answered {status}")
        found, counting = {}, False
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                counting = line.endswith((" counter", " histogram"))
            elif line.startswith("process_"):
                continue  # of this process, as process_start_time_seconds says
            elif counting and (m := re.match(r"(\S+(?:\{.*\})?) ([0-9.eE+-]+)$", line)):
                found[m[1]] = float(m[2])
        return found

    def expect_no_step_back(self, before):
        after = self.counters()
        back = [f"{name}: {value:g} -> {after.get(name)}" for name, value in before.items()
                if after.get(name, -1) < value]
        if back:
            raise Failed(f"{len(back)} of {len(before)} counters went back: {'; '.join(sorted(back)[:8])}")
        return after
