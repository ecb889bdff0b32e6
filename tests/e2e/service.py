#!/usr/bin/env python3
"""The unit that `make install` puts in place, under a real systemd: started, upgraded, killed, stopped.

    python3 tests/e2e/service.py        `make test` runs it; needs root, and build/ made by `make build`

systemd runs in namespaces of its own (upgrades/machine.py) and gets what tools/install.sh installs. What it knows of
the service is asked with systemctl, never taken from the sidecar's words; callers hold connections all the while.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from attacks.house import address, bolt, cluster, http, log_to, tcp  # noqa: E402
from harness import PROXY, ROOT, Failed, Scenario, Tally, expect, free_port, main_guard  # noqa: E402
from upgrades.load import Count, Load, sea  # noqa: E402
from upgrades.machine import UNSHARE, Machine, keep_mounts  # noqa: E402

UNIT = "sampan-proxy"
CONFIG = "/etc/sampan/sampan-proxy.yaml"
LOG = "/var/log/sampan/access.log"
PROGRAM = "/usr/local/bin/sampan-proxy"
CALLERS = {"http": 8, "unix": 2, "bolt": 4, "tcp": 4, "websocket": 4, "downloads": 2, "uploads": 2}
RELOADS = 5
SECONDS = 30


class Service:
    """The unit, by systemctl."""

    def __init__(self, scenario):
        self.machine = Machine(scenario)
        self.load = Load({})
        self.upstream = self.load.serve()
        self.ports = {kind: free_port() for kind in ("http", "bolt", "tcp")}
        self.admin = free_port()

    def install(self):
        """As an operator does; his file is a JSON document, which is YAML as well."""
        env = dict(os.environ, DESTDIR=self.machine.root, PREFIX="/usr/local")
        subprocess.run([os.path.join(ROOT, "tools", "install.sh"), "install"], env=env, check=True, cwd=ROOT,
                       stdout=subprocess.DEVNULL)
        self.must("systemd-sysusers", "/usr/local/lib/sysusers.d/sampan.conf")
        self.configure(self.bootstrap())
        self.must("systemctl", "daemon-reload")

    def bootstrap(self):
        listeners = [http(self.ports["http"], "http", upgrade_configs=[{"upgrade_type": "websocket"}],
                          access_log=[log_to(LOG)]),
                     bolt(self.ports["bolt"], {"com.acme.EchoService:1.0": "bolt"}, name="rpc"),
                     tcp(self.ports["tcp"], "tcp", name="raw"), http(0, "http", name="unix")]
        listeners[-1]["address"] = {"pipe": {"path": "/run/sampan/listener.sock", "mode": 0o600}}
        clusters = [cluster(name, self.upstream[name], name == "bolt") for name in ("http", "bolt", "tcp")]
        return {"admin": {"address": address(self.admin)},
                "static_resources": {"listeners": listeners, "clusters": clusters}}

    def configure(self, bootstrap):
        text = bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap, indent=1)
        self.machine.write(CONFIG, text)

    def begin_load(self):
        self.load.ports = dict(self.ports, unix=self.machine.path("/run/sampan/listener.sock"))
        self.load.start(CALLERS)

    def must(self, *argv):
        done = self.machine.call(*argv)
        if done.returncode:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}; {self.tail()}")
        return done.stdout

    def ask(self, name):
        return self.must("systemctl", "show", "-P", name, UNIT).strip()

    @property
    def main(self):
        return int(self.ask("MainPID"))

    def journal(self):
        self.must("journalctl", "--sync")
        return self.must("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")

    def said(self, pattern, times=1):
        found = len(re.findall(pattern, self.journal()))
        if found < times:
            raise Failed(f"the journal has {pattern!r} {found} times, not {times}: {self.tail()}")

    def tail(self):
        return " | ".join(self.machine.call("journalctl", "-u", UNIT, "-o", "cat", "-n", "8", "--no-pager")
                          .stdout.splitlines())

    def expect_serves(self, restarts=0):
        """It is active, of one process, which is the one that systemd takes for it."""
        expect("active running", f"{self.ask('ActiveState')} {self.ask('SubState')}", "state of the unit")
        expect(str(restarts), self.ask("NRestarts"), "restarts")
        expect([self.main], self.processes(), "processes of the unit, and its MainPID")
        self.expect_answers()

    def processes(self):
        """Of the unit's group, as they are called inside."""
        path = os.path.join(self.machine.group.path, "system.slice", UNIT + ".service", "cgroup.procs")
        with open(path) as f:
            return [self.machine.inside(int(pid)) for pid in f.read().split()]

    def expect_answers(self):
        done = subprocess.run(["curl", "-sS", "-m", str(SECONDS), f"http://127.0.0.1:{self.ports['http']}/echo/7"],
                              capture_output=True, text=True)
        expect("/echo/7", done.stdout, f"an answer ({done.stderr.strip()})")


def until(holds, what):
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {SECONDS} s")
        time.sleep(0.05)


# ---- the checks, in this order ----

def starts(service):
    """`systemctl start` returns when the program has said READY=1."""
    service.must("systemctl", "start", UNIT)
    service.expect_serves()
    expect("sampan", service.must("stat", "-c", "%U", "/run/sampan").strip(), "owner of /run/sampan")
    service.begin_load()


def reloads(service):
    """Each is an upgrade: another process, another MainPID, one unit that is active all the time."""
    pids = [service.main]
    since = service.ask("ActiveEnterTimestampMonotonic")
    for _ in range(RELOADS):
        service.must("systemctl", "reload", UNIT)
        service.expect_serves()
        pids.append(service.main)
    expect(len(pids), len(set(pids)), f"different MainPIDs of {pids}")
    expect(since, service.ask("ActiveEnterTimestampMonotonic"), "the instant since which it is active")
    service.said("handed over", RELOADS)
    service.said("taking over", RELOADS)
    # Of one that is another's child it would not see the end: a stop would kill where it should wait.
    expect(0, len(re.findall("not our child", service.journal())), "processes that systemd holds for strangers")


def reloads_a_new_program(service):
    """The file of the program is another one afterwards, and so is what runs."""
    fresh = service.machine.path(PROGRAM) + ".new"
    shutil.copy(os.path.realpath(PROXY), fresh)
    os.rename(fresh, service.machine.path(PROGRAM))
    service.must("systemctl", "reload", UNIT)
    service.expect_serves()
    pid = service.machine.outside(service.main)
    expect(os.stat(service.machine.path(PROGRAM)).st_ino, os.stat(f"/proc/{pid}/exe").st_ino, "the program's file")


def keeps_what_served(service, broken, words):
    """A reload with a configuration that cannot be used: it fails, and that is all that happens."""
    before = service.main
    service.configure(broken)
    done = service.machine.call("systemctl", "reload", UNIT)
    expect(True, done.returncode != 0, f"status of a reload that must fail ({service.tail()})")
    service.said(words)
    service.expect_serves()
    expect(before, service.main, "MainPID")
    service.configure(service.bootstrap())
    service.must("systemctl", "reload", UNIT)
    service.expect_serves()


def less(service):
    """Lacks a listener whose connections are alive."""
    bootstrap = service.bootstrap()
    bootstrap["static_resources"]["listeners"].pop(1)
    return bootstrap


def opens_logs_anew(service):
    """logrotate's turn."""
    path = service.machine.path(LOG)
    os.rename(path, path + ".1")
    service.must("systemctl", "kill", "--kill-whom=main", "-s", "HUP", UNIT)
    until(lambda: os.path.exists(path), "a new access log")
    service.expect_serves()


def callers_noticed_nothing(service):
    service.load.end()
    for name, count in service.load.counts.items():
        faults = {fault: getattr(count, fault) for fault in Count.FAULTS}
        print(f"#   {name:10} {count.callers:3} callers {count.calls:6} calls {count.bytes >> 10:8} KiB", flush=True)
        if any(faults.values()) or not count.calls:
            raise Failed(f"{name}: {count.calls} calls, {faults}; the first: {count.first}")


def is_started_again(service, restarts):
    """kill -9 of a process that systemd has not started itself: it is the service's all the same."""
    before = service.main
    service.must("systemctl", "kill", "--kill-whom=main", "-s", "KILL", UNIT)
    until(lambda: service.ask("NRestarts") == str(restarts) and service.ask("SubState") == "running", "a restart")
    service.expect_serves(restarts)
    expect(True, before != service.main, "another MainPID")


def can_be_reloaded_after_that(service):
    before = service.main
    service.must("systemctl", "reload", UNIT)
    service.expect_serves(1)
    expect(True, before != service.main, "another MainPID")


def drains(service):
    """`systemctl stop` while a call is under way, whose caller reads on only when the program has ended: the kernel
    still has the rest for him."""
    length = 16 * 16384
    call = subprocess.Popen(["curl", "-sS", "-m", str(2 * SECONDS),
                             f"http://127.0.0.1:{service.ports['http']}/sea/7/{length}/20"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    first = call.stdout.read(1)
    service.must("systemctl", "stop", UNIT)
    rest, said = call.communicate(timeout=2 * SECONDS)
    expect(0, call.returncode, f"status of a call under way ({said.decode()})")
    expect(True, first + rest == sea(7, length), f"is its answer whole ({len(first + rest)} bytes)")
    expect(["inactive", "dead", "success", "0"],
           [service.ask(name) for name in ("ActiveState", "SubState", "Result", "ExecMainStatus")], "after the stop")
    expect(False, os.path.exists(service.machine.path("/run/sampan")), "is its folder still there")


def run(s):
    service = Service(s)
    s.closers.append(service.machine.close)
    service.machine.start()
    service.install()
    broken = "static_resources: {listeners: [{name: in"
    for name, body, *more in (
            ("starts-and-is-ready", starts), ("reloads-are-upgrades", reloads),
            ("reload-brings-a-new-program", reloads_a_new_program),
            ("broken-configuration-changes-nothing", keeps_what_served, broken, r"sampan-proxy\.yaml"),
            ("refused-configuration-changes-nothing", keeps_what_served, less(service), r"cannot take over.*rpc"),
            ("logs-are-opened-anew", opens_logs_anew), ("callers-noticed-nothing", callers_noticed_nothing),
            ("kill-9-is-answered-by-a-restart", is_started_again, 1), ("reload-after-a-restart",
                                                                      can_be_reloaded_after_that),
            ("stop-drains", drains)):
        s.check(name, body, service, *more)
    with open(os.path.join(s.folder, "journal"), "w") as f:
        f.write(service.machine.call("journalctl", "-o", "short-monotonic", "--no-pager").stdout)
    service.machine.close()     # unshare would not heed the signal that ends a scenario's children


def main():
    if os.environ.pop("SAMPAN_APART", "") != "1":   # a network and a view of mounts of our own, loopback only
        os.environ["SAMPAN_APART"] = "1"
        os.execvp("unshare", [*UNSHARE, "--net", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    keep_mounts()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    tally = Tally("sidecar")
    with Scenario(tally, "systemd") as s:
        run(s)
    return tally.finish()


if __name__ == "__main__":
    main_guard(main)
