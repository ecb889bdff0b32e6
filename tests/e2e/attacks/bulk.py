"""A body of 5 GiB with a reader that pauses, up and down: all bytes, in order, and flat memory."""

import re
import sys
import time

from attacks import wire
from attacks.house import Proxy, Watch, bolt, cluster, http, is_sanitized, tcp, tell
from attacks.peers import BoltClient, BoltUpstream, script
from harness import Failed, expect, free_port

MIB = 1 << 20
BYTES = 5 << 30
TCP_BYTES = 1 << 30
PAUSE = 1.5
SECONDS = 150       # loopback moves it in a few; a machine that does other things takes longer


def big_bodies(s):
    port, raw, far, served = free_port(), free_port(), free_port(), free_port()
    pump = [sys.executable, script("pump.py")]
    s.spawn("server", [*pump, "serve", str(served), str(PAUSE)], ready="^ready")
    proxy = Proxy(s, "sidecar", [http(port, "out", stream_idle_timeout="60s"), tcp(raw, "out", "raw")],
                  [cluster("out", served)])
    count = BYTES if not is_sanitized() else BYTES // 8
    s.check("up", moves, s, proxy, [*pump, "send", str(port), "/up", str(count)], "up", count)
    fetch = [*pump, "fetch", str(port), f"/down/{count}", str(count), str(PAUSE)]
    s.check("down", moves, s, proxy, fetch, "down", count)
    count = min(count, TCP_BYTES)
    s.check("tcp-up", moves, s, proxy, [*pump, "send", str(raw), "/up", str(count)], "tcp-up", count)
    fetch = [*pump, "fetch", str(raw), f"/down/{count}", str(count), str(PAUSE)]
    s.check("tcp-down", moves, s, proxy, fetch, "tcp-down", count)
    s.check("descriptors-come-back", proxy.expect_rest, 12)  # the loop keeps a few pipes for splicing
    services = BoltUpstream(s, answer=lambda frame: wire.answer(frame, frame.content))
    Proxy(s, "bolt-sidecar", [bolt(far, {"echo": "out"})], [cluster("out", services.port, True)])
    s.check("bolt-64-mib-both-ways", bolt_big, s.sidecars[-1], far)


def moves(s, proxy, argv, name, count):
    """Runs the child and looks at the sidecar's memory until it is done."""
    watch, began = Watch(proxy), time.monotonic()
    child = s.spawn(f"client-{name}", argv)
    while child.alive():
        watch.look()
        if time.monotonic() - began > SECONDS:
            raise Failed(f"not done after {SECONDS} s: {child.tail()}")
        time.sleep(0.05)
    took = time.monotonic() - began
    tell(f"{count / 2**30:.1f} GiB {name} in {took:.1f} s, {PAUSE} s of them a pause")
    said = re.search(r"^done (.*)$", child.text(), re.M)
    expect(f"200 {count} bytes, 0 bad", said and said[1], child.tail())
    watch.expect(8 * MIB, f"a body of {count / 2**30:.1f} GiB {name}:")


def bolt_big(proxy, port):
    """Longer than what is held until it is whole: it flows, and other calls find their way around it."""
    watch = Watch(proxy)
    content = bytes(range(256)) * (64 * MIB // 256)
    client = BoltClient(port)
    frame = client.call("echo", content, timeout=60000)
    expect((0, True), (frame.status, frame.content == content), "status, the same bytes")
    watch.look()
    watch.expect(8 * MIB, "a frame of 64 MiB both ways:")
    client.close()
