"""Both ends of a call, from bare sockets: upstreams that record or misbehave, clients that say what they like."""

import asyncio
import contextlib
import os
import select
import socket
import struct
import threading
import time

from attacks import wire
from harness import Failed, free_port

RESET = struct.pack("ii", 1, 0)
PATIENCE = 20


def cut(sock):
    """Close so that the other side reads a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def await_true(what, ready, seconds=PATIENCE):
    """Waits until `ready()` is true. `what` should be; `seconds` is how long we believe in it."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Failed(f"after {seconds} s not yet: {what}")
        time.sleep(0.01)


# ---- upstreams ----

class Server:
    """An upstream on an asyncio loop of its own thread. `protocol` makes what speaks on each connection."""

    def __init__(self, scenario, protocol, backlog=4096):
        self.port = free_port()
        self.loop = asyncio.new_event_loop()
        self.server = None
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(
                self.loop.create_server(protocol, "127.0.0.1", self.port, backlog=backlog))
            started.set()
            self.loop.run_forever()
            self.server.close()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        if not started.wait(10):
            raise Failed("an upstream of the test does not start")
        scenario.closers.append(self.close)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


class Recorder:
    """An HTTP upstream that reads strictly, keeps every request, and answers 200.

    `answer(request)` may give the body; `requests` are whole ones, in the order in which they came; `faults` is
    what a strict reader could not accept."""

    def __init__(self, scenario, answer=None):
        self.answer = answer or (lambda request: b"ok")
        self.lock = threading.Lock()
        self.requests, self.faults = [], []
        self.lines = set()
        self.server = Server(scenario, lambda: RecorderLine(self))
        self.port = self.server.port

    def count(self):
        with self.lock:
            return len(self.requests)

    def open(self):
        return len(self.lines)

    def since(self, mark):
        with self.lock:
            return self.requests[mark:]

    def begun(self, target):
        """The request for `target` whose body has begun and not ended, or None."""
        for line in list(self.lines):
            half = line.requests.begun
            if half and half.target == target:
                return half
        return None

    def expect_no_fault(self):
        if self.faults:
            raise Failed(f"the upstream received what is not one request: {self.faults[0]}"
                         f"{f' and {len(self.faults) - 1} more' if len(self.faults) > 1 else ''}")


class RecorderLine(asyncio.Protocol):
    def __init__(self, recorder):
        self.recorder = recorder
        self.requests = wire.Requests()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.recorder.lines.add(self)

    def data_received(self, data):
        recorder = self.recorder
        try:
            found = self.requests.feed(data)
        except wire.Ambiguous as err:
            with recorder.lock:
                recorder.faults.append(f"{err} in {self.requests.data[:200]!r}")
            self.transport.abort()
            return
        with recorder.lock:
            recorder.requests += found
        out = []
        for request in found:
            body = recorder.answer(request)
            out.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            if request.method != b"HEAD":
                out.append(body)
        if out:
            self.transport.write(b"".join(out))

    def connection_lost(self, exc):
        self.recorder.lines.discard(self)


class BoltUpstream:
    """A Bolt upstream that answers each request; `answer(frame)` gives bytes, or None to say nothing."""

    def __init__(self, scenario, answer=None):
        self.answer = answer or (lambda frame: wire.answer(frame, frame.content))
        self.lock = threading.Lock()
        self.frames, self.faults, self.lines = [], [], []
        self.server = Server(scenario, lambda: BoltLine(self))
        self.port = self.server.port

    def count(self):
        with self.lock:
            return len(self.frames)

    def expect_no_fault(self):
        if self.faults:
            raise Failed(f"the upstream received what is no frame: {self.faults[0]}")


class BoltLine(asyncio.Protocol):
    def __init__(self, upstream):
        self.upstream = upstream
        self.frames = wire.Frames()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.upstream.lines.append(self)

    def data_received(self, data):
        try:
            found = self.frames.feed(data)
        except wire.Ambiguous as err:
            self.upstream.faults.append(str(err))
            self.transport.abort()
            return
        for frame in found:
            if frame.command == 0:
                self.transport.write(wire.heartbeat_ack(frame))
                continue
            frame.line = self
            with self.upstream.lock:
                self.upstream.frames.append(frame)
            said = self.upstream.answer(frame)
            if said is not None:
                self.transport.write(said)

    def connection_lost(self, exc):
        with contextlib.suppress(ValueError):
            self.upstream.lines.remove(self)


class Scripted:
    """An upstream whose every connection is given to `play(sock, number)` in a thread of its own."""

    def __init__(self, scenario, play, backlog=64):
        self.play = play
        self.port = free_port()
        self.count = 0
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=backlog)
        threading.Thread(target=self.accept, daemon=True).start()
        scenario.closers.append(self.close)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            sock.settimeout(PATIENCE)
            threading.Thread(target=self.one, args=(sock, self.count), daemon=True).start()

    def one(self, sock, number):
        with contextlib.suppress(OSError):
            self.play(sock, number)
        with contextlib.suppress(OSError):
            sock.close()

    def close(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class BlackHole:
    """An address that takes connects and never completes them: a queue of one that is full."""

    def __init__(self, scenario):
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self.fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self.fillers.append(filler)
        self.check()
        scenario.closers.append(self.close)

    def check(self):
        with socket.socket() as probe:
            probe.settimeout(0.3)
            try:
                probe.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        raise Failed("the black hole of the test accepts")

    def close(self):
        for sock in [*self.fillers, self.listener]:
            sock.close()


def read_head(sock):
    """Reads one request's head (and what came with it)."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = sock.recv(1 << 16)
        if not part:
            raise ConnectionError("ended before a head")
        got += part
    return got


# ---- clients ----

def dial(port, seconds=PATIENCE):
    sock = socket.create_connection(("127.0.0.1", port), seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_all(sock, seconds=PATIENCE):
    """Everything until the end, and how it ended: "end", "reset", or "open" when the time was over."""
    got, end = [], time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return b"".join(got), "open"
        sock.settimeout(left)
        try:
            part = sock.recv(1 << 18)
        except TimeoutError:
            return b"".join(got), "open"
        except ConnectionError:
            return b"".join(got), "reset"
        if not part:
            return b"".join(got), "end"
        got.append(part)


def talk(port, data, half_close=True, step=0, seconds=PATIENCE):
    """Sends `data` (in pieces of `step` bytes), says that this is all, and reads to the end."""
    with dial(port, seconds) as sock:
        try:
            for at in range(0, len(data), step or max(len(data), 1)):
                sock.sendall(data[at:at + (step or len(data))])
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before all had left: the answer is there to be read
        return read_all(sock, seconds)


def ask(port, path="/", method="GET", body=None, headers=(), seconds=PATIENCE, sock=None):
    """One call; the answer as a `wire.Response`. The connection is `sock`, or one for this call."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    data = ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
    with contextlib.ExitStack() as stack:
        if sock is None:
            sock = stack.enter_context(dial(port, seconds))
        sock.settimeout(seconds)
        sock.sendall(data)
        return read_answer(sock, method.encode(), seconds)


def read_answer(sock, method=b"GET", seconds=PATIENCE):
    got, end = b"", time.monotonic() + seconds
    while True:
        with contextlib.suppress(wire.More):
            found = wire.responses(got, [method])
            if found and found[0].whole and not until_close(found[0], method):
                return found[0]
        if time.monotonic() > end:
            raise Failed(f"no answer after {seconds} s, only {got[:200]!r}")
        try:
            part = sock.recv(1 << 16)
        except ConnectionError as err:
            raise Failed(f"{type(err).__name__} after {got[:200]!r}") from err
        if not part:
            found = wire.responses(got, [method]) if got else []
            if not found:
                raise Failed("the connection ended without an answer")
            return found[0]
        got += part


def until_close(response, method):
    return (method != b"HEAD" and response.status not in (204, 304) and response.status >= 200 and
            wire.length_of(response.fields) is None)


class BoltClient:
    """A Bolt connection on which calls can be under way side by side."""

    def __init__(self, port):
        self.sock = dial(port)
        self.frames = wire.Frames()
        self.next = 0

    def send(self, service, content=b"ahoy", **more):
        self.next += 1
        self.sock.sendall(wire.call(self.next, service, content, **more))
        return self.next

    def answers(self, count, seconds=PATIENCE):
        """The next `count` response frames, by id; fewer where the connection ended."""
        found, end, part = {}, time.monotonic() + seconds, b""
        while len(found) < count:
            for frame in self.frames.feed(part):
                if frame.command == 0:
                    continue
                if frame.id in found:
                    raise Failed(f"call {frame.id} was answered twice")
                found[frame.id] = frame
            if len(found) >= count:
                break
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise Failed(f"{len(found)} of {count} answers after {seconds} s")
            part = self.sock.recv(1 << 20)
            if not part:
                break
        return found

    def call(self, service, content=b"ahoy", **more):
        number = self.send(service, content, **more)
        found = self.answers(1)
        if number not in found:
            raise Failed(f"no answer to call {number}, but {sorted(found)}")
        return found[number]

    def close(self):
        self.sock.close()


def quantile(samples, part):
    samples = sorted(samples)
    return samples[min(len(samples) - 1, int(len(samples) * part))]


def innocent(port, count, seconds=60):
    """How long, in ms, each of `count` calls took, one after the other, while others do what they do."""
    took, end = [], time.monotonic() + seconds
    with dial(port) as sock:
        for _ in range(count):
            began = time.monotonic()
            got = ask(port, sock=sock)
            took.append((time.monotonic() - began) * 1000)
            if got.status != 200:
                raise Failed(f"an innocent call got {got.status} {got.reason}")
            if time.monotonic() > end:
                break
    return took


def unhurt(before, beside, what):
    """Tells both percentiles. What is judged is generous, for other programs of the machine stand in the way too:
    half of the calls may not take much longer, and none may hang."""
    print(f"# innocent calls beside {what}: p50 {quantile(beside, 0.5):.1f} ms, p99 {quantile(beside, 0.99):.1f} ms; "
          f"before: {quantile(before, 0.5):.1f} and {quantile(before, 0.99):.1f}", flush=True)
    if quantile(beside, 0.5) > max(20 * quantile(before, 0.5), 250):
        raise Failed(f"half of the innocent calls took {quantile(beside, 0.5):.0f} ms and more")
    if max(beside) > 5000:
        raise Failed(f"an innocent call took {max(beside):.0f} ms")


def close_all(socks):
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.close()


def script(name):
    """The path of a child's program in this folder."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
