#!/usr/bin/env python3
"""Unmodified programs in two network namespaces call each other's plain addresses, through both sidecars.

    tests/e2e/build.sh && tests/e2e/netns.py          with `sampan-proxy intercept`; needs root
    tests/e2e/netns.py --direct                       without: checks the namespaces and the programs

      client's namespace                                   server's namespace
    ┌─────────────────────────────────┐                  ┌─────────────────────────────────┐
    │ program ─ redirect ─> sidecar ──┼── veth ── redirect ─> sidecar ── loopback ─> program │
    │ 10.213.7.1  fd5a:e2e::1         │                  │  10.213.7.2  fd5a:e2e::2        │
    └─────────────────────────────────┘                  └─────────────────────────────────┘

That the calls really passed both is asked of two witnesses: the sidecars' own statistics, and rules of nft
that belong to this test and count packets by user and by interface. The namespaces have this process's id in
their names and are deleted at the end, whatever happened.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import names
import tproxy
from harness import (PROXY, Failed, Scenario, Sidecar, Tally, expect, main_guard, node, sofa_client, sofa_server,
                     spring_client, spring_server)

UID = 21337  # the sidecars' own user; it needs no name
HTTP, BOLT = 8080, 12200
OUTBOUND, INBOUND, ADMIN = 15001, 15006, 15000
NET4, NET6 = "10.213.7.", "fd5a:e2e::"


def sh(*argv, data=None):
    done = subprocess.run(argv, input=data, capture_output=True, text=True, timeout=90)
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Space:
    """A network namespace with loopback and one end of the veth pair."""

    def __init__(self, s, name, host):
        self.name = f"e2e-{os.getpid()}-{name}"
        self.link = f"e2e{os.getpid()}{name[0]}"
        self.four, self.six = NET4 + str(host), NET6 + str(host)
        self.at = ["ip", "netns", "exec", self.name]
        self.host = host
        sh("ip", "netns", "add", self.name)
        s.closers.append(self.delete)
        sh(*self.at, "ip", "link", "set", "lo", "up")

    def attach(self):
        sh(*self.at, "ip", "addr", "add", self.four + "/24", "dev", self.link)
        sh(*self.at, "ip", "addr", "add", self.six + "/64", "dev", self.link, "nodad")
        sh(*self.at, "ip", "link", "set", self.link, "up")

    def watch(self):
        """Counters of the test's own. `out` is what leaves by the link, `in` what comes in by it after any redirect."""
        sh(*self.at, "nft", "-f", "-", data=f"""
            table inet e2e_watch {{
                counter out_program {{ }}
                counter out_sidecar {{ }}
                counter in_program {{ }}
                counter in_sidecar {{ }}
                chain out {{
                    type filter hook postrouting priority 300;
                    oifname {self.link} tcp dport {{ {HTTP}, {BOLT} }} meta skuid != {UID} counter name out_program
                    oifname {self.link} tcp dport {{ {HTTP}, {BOLT} }} meta skuid {UID} counter name out_sidecar
                }}
                chain in {{
                    type filter hook input priority 300;
                    iifname {self.link} tcp dport {{ {HTTP}, {BOLT} }} counter name in_program
                    iifname {self.link} tcp dport {INBOUND} counter name in_sidecar
                }}
            }}""")

    def packets(self):
        listed = json.loads(sh(*self.at, "nft", "-j", "list", "counters", "table", "inet", "e2e_watch"))
        return {c["counter"]["name"]: c["counter"]["packets"] for c in listed["nftables"] if "counter" in c}

    def rules(self):
        """Everything but the test's own table, without figures."""
        text = sh(*self.at, "nft", "-s", "list", "ruleset")
        return re.sub(r"table inet e2e_watch \{.*?\n\}\n?", "", text, flags=re.S).strip()

    def delete(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=30)


def build_net(s, client="client", server="server"):
    client, server = Space(s, client, 1), Space(s, server, 2)
    sh("ip", "link", "add", client.link, "netns", client.name, "type", "veth",
       "peer", "name", server.link, "netns", server.name)
    for space in (client, server):
        space.attach()
        space.watch()
    return client, server


# ---- interception ----

def intercept(space, verb):
    more = ["--uid", str(UID), "--outbound-port", str(OUTBOUND), "--inbound-port", str(INBOUND)]
    if verb == "remove":
        more = []
    return sh(*space.at, PROXY, "intercept", verb, *more)


def apply_twice(space):
    before = space.rules()
    expect("", before, "rules before")
    intercept(space, "apply")
    once = space.rules()
    if not once:
        raise Failed("apply left no rules")
    intercept(space, "apply")
    expect(once, space.rules(), "rules after the second apply")


def remove_twice(space):
    intercept(space, "remove")
    expect("", space.rules(), "rules after remove")
    intercept(space, "remove")


def start_sidecars(s, client, server):
    for name, space in (("server-sidecar", server), ("client-sidecar", client)):
        prefix = [*space.at, "setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--"]
        sidecar = Sidecar(s, name, "intercept.yaml.in", prefix=prefix, owner=UID, ADMIN_PORT=ADMIN, OUTBOUND=OUTBOUND,
                          INBOUND=INBOUND, HTTP=HTTP, BOLT=BOLT)
        space.sidecar = sidecar
        s.check(f"intercept-apply-is-idempotent-{name.split('-')[0]}", apply_twice, space)


# ---- what is asserted of a set of calls ----

class Passage:
    """Figures before and after some calls: did they pass both sidecars?"""

    def __init__(self, s, client, server, outbound, inbound):
        self.s, self.client, self.server = s, client, server
        self.clusters = (outbound, inbound)
        self.before = self.figures()

    def figures(self):
        found = {"client": self.client.packets(), "server": self.server.packets()}
        if self.s.mode == "sidecar":
            found["calls"] = [space.sidecar.calls(name)
                              for space, name in zip((self.client, self.server), self.clusters)]
        return found

    def moved(self, side, name):
        return self.figures()[side][name] - self.before[side][name]

    def through_both(self, least):
        expect(0, self.moved("client", "out_program"), "packets of the program itself that left the client's namespace")
        expect(0, self.moved("server", "in_program"), "packets that reached the server's program past its sidecar")
        for side, name in (("client", "out_sidecar"), ("server", "in_sidecar")):
            if self.moved(side, name) < least / 10:  # many calls may share a packet
                raise Failed(f"{name} of the {side} counted {self.moved(side, name)} packets for {least} calls")
        after = self.figures()["calls"]
        for side, was, now in zip(("client", "server"), self.before["calls"], after):
            if now - was < least:
                raise Failed(f"the {side}'s sidecar counted {now - was} calls, not at least {least}")

    def past_both(self):
        for side, name in (("client", "out_program"), ("server", "in_program")):
            if self.moved(side, name) == 0:
                raise Failed(f"{name} of the {side} counted nothing")
        for side, name in (("client", "out_sidecar"), ("server", "in_sidecar")):
            expect(0, self.moved(side, name), f"{name} of the {side}")

    def check(self, name, least):
        if self.s.mode == "sidecar":
            self.s.check(f"{name}-passed-both-sidecars", self.through_both, least)
        else:
            self.s.check(f"{name}-went-directly", self.past_both)


# ---- the run ----

def spring_pair(s, client, server):
    for version, host in (("ipv4", server.four), ("ipv6", f"[{server.six}]")):
        passage = Passage(s, client, server, "outbound-http", "inbound-http")
        only = [] if version == "ipv4" else ["--acme.only=json,not-found,two-mib-body,keep-alive"]
        spring_client(s, f"spring-{version}", f"http://{host}:{HTTP}", *only, prefix=client.at,
                      said=f"spring-{version}-", expected=8 if version == "ipv4" else 4)
        passage.check(f"spring-{version}", 40)


def sofarpc_pair(s, client, server):
    passage = Passage(s, client, server, "outbound-bolt", "inbound-bolt")
    sofa_client(s, "sofarpc", "--url", f"bolt://{server.four}:{BOLT}", prefix=client.at, said="sofarpc-")
    passage.check("sofarpc", 2000)


def node_client(s, client, server):
    passage = Passage(s, client, server, "outbound-bolt", "inbound-bolt")
    s.run_checks("node", node("sofa-client.js", "--url", f"{server.four}:{BOLT}", prefix=client.at), prefix="node-",
                 expected=8)
    passage.check("node", 600)


def other_ports(s, client, server):
    """What is neither HTTP nor Bolt passes too, byte for byte: the server speaks first, as MySQL's does."""
    program = "\n".join((
        "import socket",
        "l = socket.create_server(('0.0.0.0', 9999)); print('ready', flush=True)",
        "while True:",
        "    c, _ = l.accept(); c.sendall(b'ahoy\\n'); c.sendall(c.recv(100)[::-1]); c.close()"))
    s.spawn("tcp-server", [*server.at, sys.executable, "-c", program], ready="^ready")
    call = ("import socket; c = socket.create_connection(('%s', 9999), 60); f = c.makefile('rb');"
            "assert f.readline() == b'ahoy\\n'; c.sendall(b'abc'); assert f.read() == b'cba'" % server.four)
    s.check("server-first-tcp", lambda: sh(*client.at, sys.executable, "-c", call))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--direct", action="store_true", help="no interception: checks the namespaces and the programs")
    args = parser.parse_args()
    missing = [name for name in ("ip", "nft", "setpriv", "unshare") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        print(f"not ok netns/start: needs root and {', '.join(missing) or 'nothing else'}\n0 passed, 1 failed")
        return 1
    if not args.direct and not os.access(PROXY, os.X_OK):
        print(f"not ok netns/start: no sidecar at {PROXY}\n0 passed, 1 failed")
        return 1

    tally = Tally("direct" if args.direct else "sidecar")
    with Scenario(tally, "netns") as s:
        client, server = build_net(s)
        if s.mode == "sidecar":
            start_sidecars(s, client, server)
        spring_server(s, HTTP, prefix=server.at)
        sofa_server(s, BOLT, "--host", "0.0.0.0", prefix=server.at)
        spring_pair(s, client, server)
        sofarpc_pair(s, client, server)
        node_client(s, client, server)
        other_ports(s, client, server)
        if s.mode == "sidecar":
            for name, space in (("client", client), ("server", server)):
                s.check(f"intercept-remove-{name}", remove_twice, space)
            s.mode = "direct"
            for sidecar in s.sidecars:  # what they keep open to each other would be counted
                sidecar.child.end()
            passage = Passage(s, client, server, "", "")
            spring_client(s, "spring-after", f"http://{server.four}:{HTTP}", "--acme.only=json", prefix=client.at,
                          said="after-remove-", expected=1)
            passage.check("after-remove", 1)
    if tally.mode == "sidecar":
        with Scenario(tally, "tproxy") as s:
            tproxy.scenario(s, *build_net(s, "caller", "keeper"))
        with Scenario(tally, "names") as s:
            names.scenario(s)
    return tally.finish()


if __name__ == "__main__":
    main_guard(main)
