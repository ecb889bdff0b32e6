#!/usr/bin/env python3
"""`sampan-proxy intercept` in network namespaces: where each connection ends up, and what is left afterwards.

    tests/e2e/intercept_test.py          needs root; one line for each check, then `N passed, N failed`

      near: the rules are here                          far: a peer
    ┌────────────────────────────────────────┐        ┌──────────────────────┐
    │ program   sidecar :15001 :15006        │  veth  │ servers and callers  │
    │ 10.214.7.1  fd5a:ca11::1               ├────────┤ 10.214.7.2  ...::2   │
    └────────────────────────────────────────┘        └──────────────────────┘

There is no sidecar here: sockets of this test stand where it would listen, and tell which connection came to
whom and where it was going (SO_ORIGINAL_DST). A socket belongs to the namespace and to the user that its
thread has when it is made, so one process plays all parts. The namespaces bear this process's id and are
deleted at the end, whatever happened.
"""

import contextlib
import ctypes
import os
import select
import shutil
import socket
import struct
import subprocess
import sys

from harness import PROXY, Failed, Tally, expect, main_guard

SIDECAR, PROGRAM, GROUP = 21337, 21338, 21339  # users without names; a group
OUTBOUND, INBOUND = 15001, 15006
SECONDS = 30  # what has not come by then does not come; no check waits for it in vain
SO_ORIGINAL_DST, IP_TRANSPARENT, IPV6_TRANSPARENT = 80, 19, 75
LIBC = ctypes.CDLL(None, use_errno=True)


def sh(*argv, data=None, status=0):
    done = subprocess.run(argv, input=data, capture_output=True, text=True, timeout=30)
    if done.returncode != status:
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout + done.stderr


class Space:
    """A network namespace with loopback and one end of the veth pair."""

    def __init__(self, name, host):
        self.name = f"icept-{os.getpid()}-{name}"
        self.link = f"ic{os.getpid()}{name[0]}"
        self.at = ["ip", "netns", "exec", self.name]
        self.addr = {4: f"10.214.7.{host}", 6: f"fd5a:ca11::{host}"}
        sh("ip", "netns", "add", self.name)
        sh(*self.at, "ip", "link", "set", "lo", "up")

    def attach(self):
        sh(*self.at, "ip", "addr", "add", self.addr[4] + "/24", "dev", self.link)
        sh(*self.at, "ip", "addr", "add", self.addr[6] + "/64", "dev", self.link, "nodad")
        sh(*self.at, "ip", "link", "set", self.link, "up")

    def delete(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=30)

    @contextlib.contextmanager
    def inside(self, uid=0, gid=0):
        """What this thread makes meanwhile is made in the namespace, by that user."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            if LIBC.setns(there.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
            LIBC.setfsgid(gid)
            LIBC.setfsuid(uid)
            try:
                yield
            finally:
                LIBC.setfsuid(0)
                LIBC.setfsgid(0)
                if LIBC.setns(home.fileno(), 0):
                    raise OSError(ctypes.get_errno(), "setns")

    def rules(self):
        """All that could be left: rules, policies, routes of other tables."""
        lists = [sh(*self.at, "nft", "-s", "list", "ruleset"), sh(*self.at, "ip", "-4", "rule"),
                 sh(*self.at, "ip", "-6", "rule")]
        routes = [sh(*self.at, "ip", family, "route", "show", "table", "all") for family in ("-4", "-6")]
        return lists + [sorted(line for line in text.splitlines() if " table " in line and "table local" not in line)
                        for text in routes]


def family_of(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def make_transparent(s):
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    else:
        s.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)


def original_dst(conn):
    if conn.family == socket.AF_INET:
        raw = conn.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack("!H", raw[2:4])[0]
    raw = conn.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]


class World:
    """Both namespaces, and who listens where."""

    def __init__(self):
        self.near, self.far = Space("near", 1), Space("far", 2)
        self.doors = {}  # socket -> name

    def build(self):
        near, far = self.near, self.far
        sh("ip", "link", "add", near.link, "netns", near.name, "type", "veth",
           "peer", "name", far.link, "netns", far.name)
        near.attach()
        far.attach()
        for space in (near, far):
            for version, net, peer in ((4, "10.214.8", far), (6, "fd5a:ca12", far)):
                addr = f"{net}.2/32" if version == 4 else f"{net}::2/128"
                if space is far:
                    sh(*far.at, "ip", "addr", "add", addr, "dev", "lo")
                else:
                    sh(*near.at, "ip", f"-{version}", "route", "add", addr, "via", peer.addr[version])
        sh(*near.at, "ip", "-6", "addr", "add", "::6/128", "dev", "lo")  # all of 127/8 is there by itself
        for port in (8080, 9100, 22, 15000):
            self.listen(near, f"program:{port}", port)
        for port in (8080, 3306, 9090):
            self.listen(far, f"far:{port}", port)
        self.listen(near, "outbound", OUTBOUND, uid=SIDECAR)
        self.listen(near, "inbound", INBOUND, uid=SIDECAR)

    def listen(self, space, name, port, uid=PROGRAM, transparent=False):
        with space.inside(uid):
            for family, addr in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                s = socket.socket(family, socket.SOCK_STREAM)
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if transparent:
                    make_transparent(s)
                s.bind((addr, port))
                s.listen(16)
                self.doors[s] = name

    def be_silent(self, name):
        for s in [s for s, n in self.doors.items() if n == name]:
            del self.doors[s]
            s.close()

    def call(self, space, addr, port, uid=PROGRAM, gid=0, source=None, transparent=False):
        """Calls, sees who accepts, sends a byte each way; returns (name, the caller's end, the other end)."""
        with space.inside(uid, gid):
            caller = socket.socket(family_of(addr), socket.SOCK_STREAM)
        caller.settimeout(SECONDS)
        if transparent:
            make_transparent(caller)
        if source:
            caller.bind((source, 0))
        caller.connect((addr, port))
        ready = select.select(list(self.doors), [], [], SECONDS)[0]
        if len(ready) != 1:
            raise Failed(f"a call to {addr} {port} was accepted by {[self.doors[s] for s in ready] or 'nobody'}")
        callee, _ = ready[0].accept()
        callee.settimeout(SECONDS)
        exchange(caller, callee)
        return self.doors[ready[0]], caller, callee

    def lands(self, want, space, addr, port, origin=None, **more):
        """The call comes to `want`, and its original destination is `origin`."""
        name, caller, callee = self.call(space, addr, port, **more)
        with caller, callee:
            expect(want, name, f"who accepted a call to {addr} {port}")
            if origin:
                expect(origin, original_dst(callee), "original destination")


def exchange(a, b):
    for source, sink in ((a, b), (b, a)):
        source.sendall(b"x")
        expect(b"x", sink.recv(1), "a byte on the connection")


class Suite:
    """The checks, in order; each applies what it needs and leaves the rules to the next."""

    def __init__(self, tally, world):
        self.tally = tally
        self.world = world
        self.near, self.far = world.near, world.far

    def check(self, name, body, *args):
        try:
            body(*args)
        except Exception as err:
            self.tally.not_ok(f"intercept/{name}", err if isinstance(err, Failed) else f"{type(err).__name__}: {err}")
            return
        self.tally.ok(f"intercept/{name}")

    def both(self, name, body, *args):
        for version in (4, 6):
            self.check(f"{name}-ipv{version}", body, version, *args)

    def intercept(self, verb, *more, status=0):
        uid = [] if verb == "remove" else ["--uid", str(SIDECAR)]
        return sh(*self.near.at, PROXY, "intercept", verb, *uid, *more, status=status)

    # ---- where calls go ----

    def outbound(self, v):
        far = self.far.addr[v]
        self.world.lands("outbound", self.near, far, 8080, origin=(far, 8080))
        self.world.lands("outbound", self.near, far, 3306, origin=(far, 3306), uid=0)

    def sidecar_itself(self, v):
        self.world.lands("far:8080", self.near, self.far.addr[v], 8080, uid=SIDECAR)

    def loopback(self, v):
        for addr in ("127.0.0.1" if v == 4 else "::1", self.near.addr[v]):
            for uid in (PROGRAM, SIDECAR):
                self.world.lands("program:8080", self.near, addr, 8080, uid=uid)

    def inbound(self, v):
        near = self.near.addr[v]
        self.world.lands("inbound", self.far, near, 8080, origin=(near, 8080))

    def inbound_exceptions(self, v):
        for port in (22, 15000):
            self.world.lands(f"program:{port}", self.far, self.near.addr[v], port)

    def direct(self, v):
        self.world.lands("far:8080", self.near, self.far.addr[v], 8080)
        self.world.lands("program:8080", self.far, self.near.addr[v], 8080)

    def excluded(self, v):
        self.world.lands("far:3306", self.near, self.far.addr[v], 3306)
        self.world.lands("outbound", self.near, self.far.addr[v], 8080)
        self.world.lands("far:8080", self.near, "10.214.8.2" if v == 4 else "fd5a:ca12::2", 8080)
        self.world.lands("far:8080", self.near, self.far.addr[v], 8080, gid=GROUP)
        self.world.lands("program:9100", self.far, self.near.addr[v], 9100)
        self.world.lands("program:22", self.far, self.near.addr[v], 22)
        self.world.lands("inbound", self.far, self.near.addr[v], 8080)

    def included(self, v):
        self.world.lands("outbound", self.near, self.far.addr[v], 8080)
        self.world.lands("far:3306", self.near, self.far.addr[v], 3306)
        self.world.lands("far:8080", self.near, "10.214.8.2" if v == 4 else "fd5a:ca12::2", 8080)
        self.world.lands("inbound", self.far, self.near.addr[v], 9100)
        self.world.lands("program:8080", self.far, self.near.addr[v], 8080)

    def own_calls(self, v):
        near, source = self.near.addr[v], "127.0.0.6" if v == 4 else "::6"
        self.world.lands("inbound", self.near, near, 8080, uid=SIDECAR, origin=(near, 8080))
        self.world.lands("program:8080", self.near, near, 8080, uid=SIDECAR, source=source)
        self.world.lands("program:8080", self.near, "127.0.0.1" if v == 4 else "::1", 8080, uid=SIDECAR)
        self.world.lands("program:8080", self.near, near, 8080)
        self.world.lands("program:22", self.near, near, 22, uid=SIDECAR)
        self.world.lands("far:8080", self.near, self.far.addr[v], 8080, uid=SIDECAR)

    def datagrams(self, v):
        """UDP is not touched, whatever its port."""
        far, family = self.far.addr[v], socket.AF_INET if v == 4 else socket.AF_INET6
        with self.far.inside():
            there = socket.socket(family, socket.SOCK_DGRAM)
        there.settimeout(SECONDS)
        there.bind((far, 8080))
        with self.near.inside(PROGRAM):
            here = socket.socket(family, socket.SOCK_DGRAM)
        with there, here:
            here.sendto(b"ahoy", (far, 8080))
            expect(b"ahoy", there.recv(10))

    def passing_through(self, v):
        """What near only forwards is not for its program: the router's refusal comes, not the sidecar."""
        net = "10.214.9.0/24" if v == 4 else "fd5a:ca13::/64"
        addr = "10.214.9.9" if v == 4 else "fd5a:ca13::9"
        sysctl = "net/ipv4/ip_forward" if v == 4 else "net/ipv6/conf/all/forwarding"
        sh(*self.near.at, "sh", "-c", f"echo 1 > /proc/sys/{sysctl}")
        sh(*self.near.at, "ip", f"-{v}", "route", "add", "unreachable", net)
        sh(*self.far.at, "ip", f"-{v}", "route", "add", net, "via", self.near.addr[v])
        try:
            self.world.call(self.far, addr, 8080)
        except OSError as err:
            if isinstance(err, TimeoutError):
                raise
            return
        raise Failed("a call that is only forwarded came to the sidecar")

    # ---- rules as a whole ----

    def twice(self, *more):
        self.intercept("apply", *more)
        once = self.near.rules()
        self.intercept("apply", *more)
        expect(once, self.near.rules(), "rules after the second apply")

    def others_stay(self):
        sh(*self.near.at, "nft", "-f", "-", data="table inet others { chain c { type filter hook input priority 0; "
           "tcp dport 1 drop; }; }")
        before = self.near.rules()
        self.intercept("apply")
        self.intercept("remove")
        expect(before, self.near.rules(), "rules of others")
        sh(*self.near.at, "nft", "delete", "table", "inet", "others")

    def leaves_nothing(self, before):
        self.intercept("remove")
        expect(before, self.near.rules(), "rules after remove")
        self.intercept("remove")
        expect(before, self.near.rules(), "rules after the second remove")

    def printing_changes_nothing(self, before):
        printed = self.intercept("print")
        expect(printed, self.intercept("apply", "--dry-run"), "--dry-run")
        self.intercept("remove", "--dry-run")
        expect(before, self.near.rules(), "rules after printing")
        sh(*self.near.at, "nft", "-f", "-", data=printed)
        by_hand = self.near.rules()
        self.intercept("remove")
        self.intercept("apply")
        expect(by_hand, self.near.rules(), "rules that came by what print said")

    def open_ones_stay(self, before, *more):
        """Connections that were open before the rules came go on, both ways, and through their removal."""
        world = self.world
        held = [world.call(space, other.addr[v], 8080) for v in (4, 6)
                for space, other in ((self.near, self.far), (self.far, self.near))]
        expect(before, self.near.rules(), "rules while they are opened")
        self.intercept("apply", *more)
        for _, caller, callee in held:
            exchange(caller, callee)
        world.lands("outbound", self.near, self.far.addr[4], 8080)
        for _, caller, callee in held:
            exchange(callee, caller)
        self.intercept("remove")
        for _, caller, callee in held:
            exchange(caller, callee)
            caller.close()
            callee.close()

    def taken_ones_stay(self):
        """Connections through the sidecar go on when the rules are applied anew; and through their removal where
        somebody else's rules translate addresses too, as those of containers do."""
        sh(*self.near.at, "nft", "-f", "-",
           data="table ip others { chain c { type nat hook postrouting priority 0; ip daddr 192.0.2.1 masquerade; }; }")
        self.intercept("apply")
        held = [self.world.call(space, other.addr[4], 8080)
                for space, other in ((self.near, self.far), (self.far, self.near))]
        expect(["outbound", "inbound"], [name for name, _, _ in held])
        self.intercept("apply", "--exclude-outbound-ports", "8080", "--exclude-inbound-ports", "8080")
        for _, caller, callee in held:
            exchange(caller, callee)
        self.intercept("remove")
        for _, caller, callee in held:
            exchange(caller, callee)
            caller.close()
            callee.close()
        sh(*self.near.at, "nft", "delete", "table", "ip", "others")

    def draining(self, *mode):
        """After `apply --drain` new connections go past the sidecar, and those that it carries go on."""
        self.intercept("apply", *mode)
        held = [self.world.call(space, other.addr[v], 8080) for v in (4, 6)
                for space, other in ((self.near, self.far), (self.far, self.near))]
        expect(["outbound", "inbound"] * 2, [name for name, _, _ in held])
        self.intercept("apply", "--drain")
        for v in (4, 6):
            self.direct(v)
        for _, caller, callee in held:
            exchange(caller, callee)
            callee.close()
            expect(b"", caller.recv(1), "after the end of a connection")
            caller.close()

    def wrong_options(self):
        for argv, words in ((("apply", "--frobnicate"), "unknown option: --frobnicate"),
                            (("apply", "--uid", "no-such-user"), "there is no such user"),
                            (("apply", "--uid", "1", "--exclude-cidrs", "10.0.0.1/8"), "10.0.0.0/8 is meant"),
                            (("apply", "--uid", "1", "--ipv4-only", "--ipv6-only"), "leave nothing"),
                            (("frobnicate",), "the verbs are"), ((), "what is to be done?")):
            said = sh(*self.near.at, PROXY, "intercept", *argv, status=2)
            if words not in said:
                raise Failed(f"{argv} says {said!r}, not {words!r}")

    def without_rights(self):
        argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", PROXY, "intercept"]
        for verb in ("apply", "remove"):
            said = sh(*self.near.at, *argv, verb, "--uid", "1", status=1)
            if "CAP_NET_ADMIN" not in said:
                raise Failed(f"it says {said!r}")
        sh(*self.near.at, *argv, "print", "--uid", "1")

    def without_nft(self):
        script = 'mount -t tmpfs none /usr/sbin && PATH=/usr/bin:/bin exec "$0" intercept apply --uid 1'
        said = sh(*self.near.at, "unshare", "--mount", "sh", "-c", script, PROXY, status=1)
        if "apt install nftables" not in said:
            raise Failed(f"it says {said!r}")

    def failure_changes_nothing(self, before):
        """A table's name that is a word of nft's language: nft refuses it, and TPROXY's routes go again."""
        self.intercept("apply", "--mode", "tproxy", "--table", "counter", status=1)
        expect(before, self.near.rules(), "rules after a failed apply")

    # ---- TPROXY ----

    def tproxy(self, v):
        near, far = self.near.addr[v], self.far.addr[v]
        name, caller, callee = self.world.call(self.far, near, 8080)
        with caller, callee:
            expect("inbound", name, "who accepted")
            expect((near, 8080), callee.getsockname()[:2], "the local address of the accepted socket")
            expect(caller.getsockname()[:2], callee.getpeername()[:2], "the caller's address as it is seen")
        self.world.lands("outbound", self.near, far, 8080, origin=(far, 8080))
        self.world.lands("program:22", self.far, near, 22)
        for uid in (PROGRAM, SIDECAR):
            self.world.lands("program:8080", self.near, near, 8080, uid=uid)

    def callers_address(self, v):
        """The sidecar calls the program from the caller's own address; the answers find their way back to it."""
        near, far = self.near.addr[v], self.far.addr[v]
        name, caller, callee = self.world.call(self.near, near, 8080, uid=SIDECAR, source=far, transparent=True)
        with caller, callee:
            expect("program:8080", name, "who accepted")
            expect(far, callee.getpeername()[0], "the caller as the program sees it")
            big = b"y" * 300_000
            callee.sendall(big[:100_000])
            got = b""
            while len(got) < 100_000:
                got += caller.recv(65536)
            expect(big[:100_000], got)

    def run_redirect(self, before):
        self.both("without-rules-all-is-direct", self.direct)
        self.check("apply-is-idempotent", self.twice)
        for name in ("outbound", "sidecar_itself", "loopback", "inbound", "inbound_exceptions", "datagrams",
                     "passing_through"):
            self.both(name.replace("_", "-"), getattr(self, name))
        exceptions = ["--exclude-outbound-ports", "3306", "--exclude-cidrs", "10.214.8.0/24,fd5a:ca12::/32",
                      "--exclude-inbound-ports", "9100", "--gid", str(GROUP)]
        self.check("apply-with-exceptions", self.twice, *exceptions)
        self.both("exceptions-pass", self.excluded)
        includes = ["--include-outbound-ports", "8080,9090", "--include-inbound-ports", "9100",
                    "--include-cidrs", "10.214.7.0/24,fd5a:ca11::/64"]
        self.check("apply-with-includes", self.twice, *includes)
        self.both("only-what-is-included", self.included)
        self.check("apply-for-own-calls", self.twice, "--inbound-source", "127.0.0.6,::6")
        self.both("own-calls-come-in", self.own_calls)
        self.check("apply-ipv4-only", self.twice, "--ipv4-only")
        self.check("ipv4-is-taken", self.outbound, 4)
        self.check("ipv6-is-left", self.direct, 6)
        self.check("remove-leaves-nothing", self.leaves_nothing, before)
        self.both("after-remove-all-is-direct", self.direct)

    def run_tproxy(self, before):
        self.world.be_silent("inbound")
        self.world.listen(self.near, "inbound", INBOUND, uid=SIDECAR, transparent=True)
        self.check("tproxy-apply-is-idempotent", self.twice, "--mode", "tproxy")
        self.both("tproxy-keeps-both-addresses", self.tproxy)
        self.both("tproxy-from-the-callers-address", self.callers_address)
        self.check("tproxy-apply-with-other-numbers", self.twice, "--mode", "tproxy", "--mark", "77",
                   "--route-table", "78", "--ipv4-only")
        self.check("tproxy-with-other-numbers", self.tproxy, 4)
        self.check("tproxy-remove-leaves-nothing", self.leaves_nothing, before)
        self.intercept("apply", "--mode", "tproxy")
        self.check("redirect-takes-the-place-of-tproxy", self.twice)
        self.both("redirect-after-tproxy", self.inbound)
        self.check("remove-after-both-leaves-nothing", self.leaves_nothing, before)
        self.check("open-connections-stay-with-tproxy", self.open_ones_stay, before, "--mode", "tproxy")
        self.check("draining-with-tproxy", self.draining, "--mode", "tproxy", "--mark", "78")
        self.check("remove-after-draining-tproxy-leaves-nothing", self.leaves_nothing, before)

    def run(self):
        before = self.near.rules()
        self.check("open-connections-stay", self.open_ones_stay, before)
        self.run_redirect(before)
        self.check("rules-of-others-stay", self.others_stay)
        self.check("taken-connections-stay", self.taken_ones_stay)
        self.check("draining-lets-taken-connections-end", self.draining)
        self.check("remove-after-draining-leaves-nothing", self.leaves_nothing, before)
        self.check("print-shows-what-apply-does", self.printing_changes_nothing, before)
        self.check("remove-what-print-made", self.leaves_nothing, before)
        self.run_tproxy(before)
        self.check("a-failure-changes-nothing", self.failure_changes_nothing, before)
        self.check("wrong-options-are-told", self.wrong_options)
        self.check("missing-rights-are-told", self.without_rights)
        self.check("missing-nft-is-told", self.without_nft)


def main():
    missing = [name for name in ("ip", "nft", "setpriv", "unshare") if not shutil.which(name)]
    if os.geteuid() != 0 or missing or not os.access(PROXY, os.X_OK):
        print(f"not ok intercept/start: needs root, {PROXY}, {', '.join(missing)}\n0 passed, 1 failed")
        return 1
    tally = Tally("sidecar")
    with contextlib.ExitStack() as stack:
        world = World()
        stack.callback(world.near.delete)
        stack.callback(world.far.delete)
        world.build()
        Suite(tally, world).run()
    return tally.finish()


if __name__ == "__main__":
    main_guard(main)
